/* rf-sentry: the process that is the guest's kernel. Started by the launcher with a connection to
 * it, the sandbox's configuration, perhaps a listening control socket, /dev/kvm and a log.
 * Containers, their gofers and their descriptors come over the control socket.
 *
 * Order matters and is all here: confine → read configuration → memory file → platform (which forks
 * its zygote, so still one thread) → seccomp → the rooms → serve. */
#include "base/host.h"
#include "base/log.h"
#include "control.h"
#include "control/control.h"
#include "fs/vfs.h"
#include "kernel/kernel.h"
#include "main/confine.h"
#include "mm/mm.h"
#include "net/net.h"
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
    int control_fd, config_fd, listen_fd, kvm_fd, log_fd;
    const char *selftest;
    bool print_seccomp, attached, host_network;
};

static int parse_arguments(int argc, char **argv, struct arguments *a)
{
    static const struct option options[] = {
        {"control-fd", required_argument, NULL, 'c'},
        {"config-fd", required_argument, NULL, 'f'},
        {"listen-fd", required_argument, NULL, 'g'},
        {"kvm-fd", required_argument, NULL, 'k'},
        {"log-fd", required_argument, NULL, 'l'},
        {"selftest", required_argument, NULL, 's'},
        {"print-seccomp", no_argument, NULL, 'p'},
        {"attached", no_argument, NULL, 'a'},
        {"network", required_argument, NULL, 'n'}, /* for --print-seccomp and --selftest */
        {NULL, 0, NULL, 0},
    };
    *a = (struct arguments){
        .control_fd = -1, .config_fd = -1, .listen_fd = -1, .kvm_fd = -1, .log_fd = -1};
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
            a->listen_fd = atoi(optarg);
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
        case 'a':
            a->attached = true;
            break;
        case 'n':
            a->host_network = !strcmp(optarg, "host");
            break;
        default:
            return -EINVAL;
        }
    }
    return 0;
}

/* --selftest=forbidden: confined as in earnest, then one call too many. The test expects SIGSYS. */
static int selftest(bool host_network)
{
    int err = confine_seccomp(host_network);
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

static int platform_start(const struct sandbox_config *c, int kvm_fd, struct platform **out)
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

static void start_kernel(const struct sandbox_config *c, struct platform *p)
{
    START_STEP(time_init(), "timers");
    START_STEP(vdso_init(&g_vdso_image), "the vDSO");
    if (p->host_tsc)
        vdso_enable();
    vfs_init();
    kernel_init(p);
    g_kernel.vdso = &g_vdso_image;
    g_kernel.cpu_count = c->cpus;
    g_kernel.memory_limit = c->memory_total;
    if (c->memory_limit)
        memfile_set_limit(c->memory_limit);
    struct uts *names = &g_kernel.root_uts_ns->names;
    snprintf(names->nodename, sizeof(names->nodename), "%s", c->hostname);
    if (c->strace)
        trace_enable(c->strace);
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

_Noreturn static void run(const struct arguments *a)
{
    const char *what = "";
    struct sandbox_config c;
    struct platform *p;
    int err = confine_enter(a->attached, &what);
    if (err)
        control_fail(RF_EXIT_ERROR, "the sentry cannot confine itself: %s: %s", what,
                     strerror(-err));
    err = sandbox_config_read(a->config_fd, &c, &what);
    if (err)
        control_fail(RF_EXIT_ERROR, "bad configuration: %s: %s", what, strerror(-err));
    host_close(a->config_fd);
    install_handlers();
    START_STEP(memfile_init(), "the memory file");
    START_STEP(window_init(), "the file window");
    START_STEP(platform_start(&c, a->kvm_fd, &p), "the platform");
    START_STEP(poller_init(), "the poller of host descriptors");
    START_STEP(control_init(/*signals=*/!a->attached), "the control server");
    START_STEP(first_thread(), "threads");
    bool host_network = !strcmp(c.network, "host");
    START_STEP(confine_seccomp(host_network), "seccomp");
    if (host_network)
        net_use_host();
    start_kernel(&c, p);
    control_serve(&c);
}

int main(int argc, char **argv)
{
    struct arguments a;
    if (parse_arguments(argc, argv, &a))
        return RF_EXIT_ERROR;
    if (a.print_seccomp) {
        confine_print(a.host_network);
        return 0;
    }
    if (a.selftest)
        return !strcmp(a.selftest, "forbidden") ? selftest(a.host_network) : RF_EXIT_ERROR;
    if (a.control_fd < 0 || a.config_fd < 0) {
        fputs("rf-sentry is started by ringfence and runrf, not by hand\n", stderr);
        return RF_EXIT_ERROR;
    }
    log_open(a.log_fd);
    control_open(a.control_fd, a.listen_fd);
    run(&a);
}
