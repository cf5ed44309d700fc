/* rf-sentry: the process that is the guest's kernel. Started by the launcher with everything it
 * will ever have: a control channel, the configuration, the gofer's socket, perhaps /dev/kvm and a
 * log.
 *
 * Order matters and is all here: confine → read configuration → memory file → platform (which forks
 * its zygote, so still one thread) → seccomp → the rooms → mounts → first process → wait. */
#include "base/host.h"
#include "base/log.h"
#include "control.h"
#include "fs/gofer_client.h"
#include "fs/vfs.h"
#include "kernel/kernel.h"
#include "main/config.h"
#include "main/confine.h"
#include "main/channel.h"
#include "main/setup.h"
#include "mm/mm.h"
#include "time/time.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

struct arguments {
    int control_fd, config_fd, gofer_fd, kvm_fd, log_fd;
    const char *selftest;
    bool print_seccomp;
};

static int parse_arguments(int argc, char **argv, struct arguments *a)
{
    static const struct option options[] = {
        {"control-fd", required_argument, NULL, 'c'}, {"config-fd", required_argument, NULL, 'f'},
        {"gofer-fd", required_argument, NULL, 'g'},   {"kvm-fd", required_argument, NULL, 'k'},
        {"log-fd", required_argument, NULL, 'l'},     {"selftest", required_argument, NULL, 's'},
        {"print-seccomp", no_argument, NULL, 'p'},    {NULL, 0, NULL, 0},
    };
    *a = (struct arguments){
        .control_fd = -1, .config_fd = -1, .gofer_fd = -1, .kvm_fd = -1, .log_fd = -1};
    int opt;
    while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (opt) {
        case 'c':
            a->control_fd = atoi(optarg);
            break;
        case 'f':
            a->config_fd = atoi(optarg);
            break;
        case 'g':
            a->gofer_fd = atoi(optarg);
            break;
        case 'k':
            a->kvm_fd = atoi(optarg);
            break;
        case 'l':
            a->log_fd = atoi(optarg);
            break;
        case 's':
            a->selftest = optarg;
            break;
        case 'p':
            a->print_seccomp = true;
            break;
        default:
            return -EINVAL;
        }
    }
    return 0;
}

/* --selftest=forbidden: confined as in earnest, then one call too many. The test expects SIGSYS. */
static int selftest(void)
{
    int err = confine_seccomp();
    if (err)
        return RF_EXIT_ERROR;
    confine_break();
    return 0; /* alive: the test fails */
}

/* ---- faults of our own
 * ------------------------------------------------------------------------------ */

static void on_fault(int sig, siginfo_t *info, void *ucontext)
{
    if (uaccess_fixup(ucontext, (uint64_t)info->si_addr))
        return;
    ucontext_t *uc = ucontext;
    extern const char __executable_start[]; /* the linker's: offsets are what addr2line wants */
    log_user("the sentry itself faulted: signal %d, address %p, at rf-sentry+%#llx", sig,
             info->si_addr,
             (unsigned long long)uc->uc_mcontext.gregs[REG_RIP] - (uintptr_t)__executable_start);
    bug("fault in the sentry");
}

static void on_kick(int sig) {}

static void install_handlers(void)
{
    struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigaction(SIGSEGV, &sa, NULL);
    sigaction(SIGBUS, &sa, NULL);
    signal(SIGPIPE, SIG_IGN);
    /* A kick only interrupts a host call; it carries nothing. */
    struct sigaction kick = {.sa_handler = on_kick};
    sigaction(SIGUSR1, &kick, NULL);
}

/* ---- start
 * ------------------------------------------------------------------------------------------ */

static const struct pl_ops *platform_find(const char *name)
{
    for (const struct pl_ops *const *p = g_platforms; *p; p++)
        if (!strcmp((*p)->name, name))
            return *p;
    return NULL;
}

static int platform_start(const struct config *c, int kvm_fd, struct platform **out)
{
    const struct pl_ops *ops = platform_find(c->platform);
    if (!ops)
        return -ENOENT;
    unsigned words;
    const uint64_t *full = syscall_full_calls(&words);
    struct pl_config pc = {
        .memfile_fd = memfile_fd(),
        .memfile_base = memfile_base(),
        .memfile_size = memfile_size(),
        .window_base = window_base(),
        .window_size = window_size(),
        .full_calls = full,
        .full_calls_count = words,
        .kvm_fd = kvm_fd,
        .log = log_line,
    };
    return ops->create(&pc, out);
}

#define START_STEP(expr, what)                                                                     \
    do {                                                                                           \
        int err_ = (expr);                                                                         \
        if (err_)                                                                                  \
            control_fail(RF_EXIT_ERROR, "the sentry cannot start: %s: %s", what, strerror(-err_)); \
    } while (0)

static struct vdso g_vdso_image;

static void start_kernel(const struct config *c, struct platform *p)
{
    START_STEP(time_init(), "timers");
    START_STEP(vdso_init(&g_vdso_image), "the vDSO");
    if (p->host_tsc)
        vdso_enable();
    vfs_init();
    kernel_init(p);
    g_kernel.vdso = &g_vdso_image;
    g_kernel.init_stopped = control_stopped;
    g_kernel.cpu_count = c->cpus;
    g_kernel.memory_limit = c->memory_total;
    if (c->memory_limit)
        memfile_set_limit(c->memory_limit);
    struct uts *names = &g_kernel.root_uts_ns->names;
    snprintf(names->nodename, sizeof(names->nodename), "%s", c->hostname);
    if (c->strace)
        trace_enable(c->strace);
}

/* The exit status for an exec that failed, by the shell's convention. */
_Noreturn static void exec_failed(const char *name, int err)
{
    if (err == -ENOENT || err == -ENOTDIR)
        control_fail(RF_EXIT_NOTFOUND, "%s: %s", name,
                     strchr(name, '/') ? strerror(-err) : "command not found");
    if (err == -EISDIR || err == -EACCES)
        control_fail(RF_EXIT_NOEXEC, "%s: %s", name,
                     err == -EISDIR ? "is a directory" : strerror(-err));
    if (err == -ENOEXEC || err == -ELIBBAD)
        control_fail(RF_EXIT_NOEXEC, "%s: not a program for 64-bit x86 Linux (%s)", name,
                     strerror(-err));
    control_fail(RF_EXIT_NOEXEC, "%s: cannot be executed: %s", name, strerror(-err));
}

static const char *env_path(char *const *envp)
{
    for (; *envp; envp++)
        if (!strncmp(*envp, "PATH=", 5))
            return *envp + 5;
    return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

/* As execvp(3): go on after ENOENT and ENOTDIR, remember EACCES, stop at the first other answer. */
static int start_by_path(struct kernel_init_args *ka, const char *name)
{
    char candidate[VFS_PATH_MAX];
    int result = -ENOENT;
    for (const char *dir = env_path(ka->envp);; dir++) {
        int len = strcspn(dir, ":");
        int n = snprintf(candidate, sizeof(candidate), "%.*s%s%s", len, dir, len ? "/" : "", name);
        ka->path = candidate;
        int err = n < (int)sizeof(candidate) ? kernel_start(ka) : -ENAMETOOLONG;
        if (err == -EACCES)
            result = err;
        else if (err != -ENOENT && err != -ENOTDIR && err != -ENAMETOOLONG)
            return err;
        dir += len;
        if (!*dir)
            return result;
    }
}

static void start_first(const struct config *c, struct gofer *g)
{
    const char *what = "the mounts";
    int cwd_error = 0;
    struct kernel_init_args ka = {
        .cwd_error = &cwd_error,
        .argv = c->argv,
        .envp = c->envp,
        .cwd = c->cwd,
        .uid = c->uid,
        .gid = c->gid,
        .groups = c->groups,
        .group_count = c->group_count,
        .caps = c->caps,
        .rlimits = c->rlimits,
        .umask = c->umask,
        .ignored = c->ignored,
    };
    int err = setup_mounts(c, g, &ka.mount_ns, &what);
    if (err)
        control_fail(RF_EXIT_ERROR, "cannot set up %s inside: %s", what, strerror(-err));
    START_STEP(setup_stdio(c, &ka.fds, &ka.tty), "standard input and output");
    const char *name = c->argv[0];
    ka.path = name;
    err = strchr(name, '/') ? kernel_start(&ka) : *name ? start_by_path(&ka, name) : -ENOENT;
    if (cwd_error)
        control_fail(RF_EXIT_ERROR, "cannot start in %s: %s; --cwd chooses another directory",
                     c->cwd, strerror(-cwd_error));
    if (err)
        exec_failed(name, err);
}

static void *no_thread(void *arg)
{
    return NULL;
}

/* libc installs a signal handler of its own (rt_sigaction) with the first thread: let it do so
 * before the list of host calls, which does not have that one, is enforced. */
static int first_thread(void)
{
    pthread_t thread;
    int err = pthread_create(&thread, NULL, no_thread, NULL);
    return err ? -err : -pthread_join(thread, NULL);
}

static void run(const struct arguments *a)
{
    const char *what = "";
    struct config c;
    struct platform *p;
    struct gofer *g;
    int err = confine_enter(&what);
    if (err)
        control_fail(RF_EXIT_ERROR, "the sentry cannot confine itself: %s: %s", what,
                     strerror(-err));
    err = config_read(a->config_fd, &c, &what);
    if (err)
        control_fail(RF_EXIT_ERROR, "bad configuration: %s: %s", what, strerror(-err));
    host_close(a->config_fd);
    install_handlers();
    START_STEP(memfile_init(), "the memory file");
    START_STEP(window_init(), "the file window");
    START_STEP(platform_start(&c, a->kvm_fd, &p), "the platform");
    START_STEP(poller_init(), "the poller of host descriptors");
    START_STEP(first_thread(), "threads");
    START_STEP(confine_seccomp(), "seccomp");
    START_STEP(gofer_connect(a->gofer_fd, &g), "the gofer's handshake");
    start_kernel(&c, p);
    start_first(&c, g);
    START_STEP(control_serve(), "the control thread");
    control_exited(kernel_wait(), c.stats);
}

int main(int argc, char **argv)
{
    struct arguments a;
    if (parse_arguments(argc, argv, &a))
        return RF_EXIT_ERROR;
    if (a.print_seccomp) {
        confine_print();
        return 0;
    }
    if (a.selftest)
        return !strcmp(a.selftest, "forbidden") ? selftest() : RF_EXIT_ERROR;
    if (a.control_fd < 0 || a.config_fd < 0 || a.gofer_fd < 0) {
        fputs("rf-sentry is started by ringfence and runrf, not by hand\n", stderr);
        return RF_EXIT_ERROR;
    }
    log_open(a.log_fd);
    /* A copy: the guest closes the original when it closes its own descriptor 2. */
    int user_fd = fcntl(2, F_DUPFD_CLOEXEC, 3);
    log_user_open(user_fd < 0 ? 2 : user_fd);
    control_open(a.control_fd);
    run(&a);
}
