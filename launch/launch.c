/* From a description to two running processes. Everything that can be refused is refused before the
 * first of them is started; what was opened is closed on every way out. */
#include "launch/launch.h"
#include "control.h"
#include "launch/launch_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

void launch_fail(struct launch_error *e, int status, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    e->status = status;
    vsnprintf(e->text, sizeof(e->text), fmt, ap);
    va_end(ap);
}

/* Descriptors and strings that the two processes are started with. */
struct start {
    int kvm_fd, log_fd, config_fd;
    int control[2], gofer[2];
    int export_fd[LAUNCH_MAX_EXPORTS + 1];
    unsigned export_count;
    char sentry_path[PATH_MAX], gofer_path[PATH_MAX];
    const char *platform;
};

static void start_init(struct start *st)
{
    *st = (struct start){.kvm_fd = -1, .log_fd = -1, .config_fd = -1};
    st->control[0] = st->control[1] = st->gofer[0] = st->gofer[1] = -1;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void start_close(struct start *st)
{
    close_fd(&st->kvm_fd);
    close_fd(&st->log_fd);
    close_fd(&st->config_fd);
    for (int i = 0; i < 2; i++) {
        close_fd(&st->control[i]);
        close_fd(&st->gofer[i]);
    }
    for (unsigned i = 0; i < st->export_count; i++)
        close_fd(&st->export_fd[i]);
}

int launch_helper_path(const char *name, char *out, size_t size, struct launch_error *e)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n < 0) {
        launch_fail(e, RF_EXIT_ERROR, "cannot read /proc/self/exe: %s; is /proc mounted?",
                    strerror(errno));
        return -1;
    }
    self[n] = 0;
    char *slash = strrchr(self, '/');
    *slash = 0;
    static const char *const places[] = {"%s/%s", "%s/../libexec/ringfence/%s"};
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        int len = snprintf(out, size, i == 0 ? "%s/%s" : "%s/../libexec/ringfence/%s", self, name);
        if (len > 0 && (size_t)len < size && access(out, X_OK) == 0)
            return 0;
    }
    launch_fail(e, RF_EXIT_ERROR,
                "the helper program %s is missing: it belongs beside %s/ringfence or in "
                "libexec/ringfence; reinstall",
                name, self);
    return -1;
}

static int open_export(struct start *st, const char *path, bool dir_only, struct launch_error *e)
{
    int fd = open(path, O_PATH | O_CLOEXEC | (dir_only ? O_DIRECTORY : 0));
    if (fd < 0) {
        launch_fail(e, RF_EXIT_ERROR, "cannot open %s: %s", path, strerror(errno));
        return -1;
    }
    /* O_PATH opens what cannot be read; refuse now, by name, rather than with a riddle later. */
    if (faccessat(AT_FDCWD, path, R_OK | (dir_only ? X_OK : 0), AT_EACCESS) < 0) {
        launch_fail(e, RF_EXIT_ERROR, "cannot read %s: %s", path, strerror(errno));
        close(fd);
        return -1;
    }
    st->export_fd[st->export_count++] = fd;
    return 0;
}

static int open_exports(struct start *st, const struct launch_spec *s, struct launch_error *e)
{
    if (open_export(st, s->rootfs, /*dir_only=*/true, e) < 0)
        return -1;
    for (unsigned i = 0; i < s->export_count; i++)
        if (open_export(st, s->exports[i].host_path, /*dir_only=*/false, e) < 0)
            return -1;
    return 0;
}

static int open_log(struct start *st, const struct launch_spec *s, struct launch_error *e)
{
    if (!s->debug_log)
        return 0;
    st->log_fd = open(s->debug_log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (st->log_fd >= 0)
        return 0;
    launch_fail(e, RF_EXIT_ERROR, "--debug-log=%s: %s", s->debug_log, strerror(errno));
    return -1;
}

static int start_prepare(struct start *st, const struct launch_spec *s, struct launch_error *e)
{
    if (launch_helper_path("rf-sentry", st->sentry_path, sizeof(st->sentry_path), e) < 0 ||
        launch_helper_path("rf-gofer", st->gofer_path, sizeof(st->gofer_path), e) < 0 ||
        open_log(st, s, e) < 0 || open_exports(st, s, e) < 0)
        return -1;
    if (strcmp(s->platform, "systrap"))
        st->kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (launch_platform_choose(s->platform, st->kvm_fd, st->log_fd, &st->platform, e) < 0)
        return -1;
    st->config_fd = launch_config_write(s, st->platform, e);
    if (st->config_fd < 0)
        return -1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, st->control) == 0 &&
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, st->gofer) == 0)
        return 0;
    launch_fail(e, RF_EXIT_ERROR, "cannot make a socket pair: %s", strerror(errno));
    return -1;
}

/* ---- in the forked children
 * ----------------------------------------------------------------------- */

#define HELPER_ARGS_MAX (LAUNCH_MAX_EXPORTS + 16)

struct helper_args {
    char *argv[HELPER_ARGS_MAX];
    int argc;
};

__attribute__((format(printf, 2, 3))) static void arg_add(struct helper_args *a, const char *fmt,
                                                          ...)
{
    va_list ap;
    va_start(ap, fmt);
    if (a->argc < HELPER_ARGS_MAX - 1 && vasprintf(&a->argv[a->argc], fmt, ap) >= 0)
        a->argc++;
    va_end(ap);
}

/* Hand an fd through exec. */
static void arg_add_fd(struct helper_args *a, const char *name, int fd)
{
    if (fd < 0)
        return;
    fcntl(fd, F_SETFD, 0);
    arg_add(a, "--%s=%d", name, fd);
}

_Noreturn static void child_exec(const char *path, struct helper_args *a)
{
    const char *step = "";
    int err = launch_isolate_child(&step);
    if (err == 0) {
        char *env[] = {NULL};
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        execve(path, a->argv, env);
        err = -errno;
        step = path;
    }
    dprintf(2, "ringfence: cannot start %s: %s: %s\n", a->argv[0], step, strerror(-err));
    _exit(RF_EXIT_ERROR);
}

/* The launcher's descriptors belong to its mount namespace, in which the gofer cannot bind them
 * read-only. So the same places are opened again, in the gofer's own copy of the tree. */
static void child_reopen_exports(struct start *st, const struct launch_spec *s)
{
    for (unsigned i = 0; i < st->export_count; i++) {
        const char *path = i == 0 ? s->rootfs : s->exports[i - 1].host_path;
        struct stat was, is;
        int fd = open(path, O_PATH | O_CLOEXEC);
        if (fd < 0)
            continue; /* keep the first one; the gofer says what it cannot do with it */
        if (fstat(fd, &is) == 0 && fstat(st->export_fd[i], &was) == 0 && is.st_dev == was.st_dev &&
            is.st_ino == was.st_ino)
            dup3(fd, st->export_fd[i], O_CLOEXEC);
        close(fd);
    }
}

static void child_gofer(struct start *st, const struct launch_spec *s)
{
    struct helper_args a = {0};
    child_reopen_exports(st, s);
    arg_add(&a, "rf-gofer");
    arg_add_fd(&a, "fd", st->gofer[1]);
    arg_add_fd(&a, "debug-log-fd", st->log_fd);
    bool any_rw = false;
    for (unsigned i = 0; i < st->export_count; i++) {
        bool rw = i == 0 ? !strcmp(s->root_mode, "rw") : s->exports[i - 1].writable;
        fcntl(st->export_fd[i], F_SETFD, 0);
        arg_add(&a, "--export=%d:%s", st->export_fd[i], rw ? "rw" : "ro");
        any_rw |= rw;
    }
    /* Who may read what is the sentry's to decide, so root's gofer must be able to read what root can: a
     * directory of mode 0700 that another user owns, say. One capability, and it only reads. Writable exports
     * need more, so that owners and modes of what is written come out right. Both: CAVEATS.md. */
    if (geteuid() == 0)
        arg_add(&a, "--keep-caps=%s",
                any_rw ? "CHOWN,DAC_OVERRIDE,FOWNER,FSETID,DAC_READ_SEARCH" : "DAC_READ_SEARCH");
    child_exec(st->gofer_path, &a);
}

static void child_sentry(struct start *st)
{
    struct helper_args a = {0};
    arg_add(&a, "rf-sentry");
    arg_add_fd(&a, "control-fd", st->control[1]);
    arg_add_fd(&a, "config-fd", st->config_fd);
    arg_add_fd(&a, "gofer-fd", st->gofer[0]);
    arg_add_fd(&a, "kvm-fd", st->kvm_fd);
    arg_add_fd(&a, "log-fd", st->log_fd);
    child_exec(st->sentry_path, &a);
}

/* ---- in the launcher
 * ------------------------------------------------------------------------------ */

static void fork_failed(const char *what, int err, struct launch_error *e)
{
    if (err == -EPERM || err == -ENOSPC || err == -EUSERS)
        launch_fail(
            e, RF_EXIT_ERROR,
            "cannot make namespaces for the %s: %s; ringfence needs root, or user namespaces "
            "(see user.max_user_namespaces and kernel.unprivileged_userns_clone)",
            what, strerror(-err));
    else
        launch_fail(e, RF_EXIT_ERROR, "cannot start the %s: %s", what, strerror(-err));
}

static int start_processes(struct start *st, const struct launch_spec *s, struct launch *l,
                           struct launch_error *e)
{
    l->gofer_pid = launch_isolate_fork(&l->gofer_pidfd);
    if (l->gofer_pid == 0)
        child_gofer(st, s);
    if (l->gofer_pid < 0) {
        fork_failed("gofer", l->gofer_pid, e);
        return -1;
    }
    l->sentry_pid = launch_isolate_fork(&l->sentry_pidfd);
    if (l->sentry_pid == 0)
        child_sentry(st);
    if (l->sentry_pid < 0) {
        fork_failed("sentry", l->sentry_pid, e);
        kill(l->gofer_pid, SIGKILL);
        waitpid(l->gofer_pid, NULL, 0);
        close_fd(&l->gofer_pidfd);
        return -1;
    }
    return 0;
}

int launch_start(const struct launch_spec *s, struct launch *l, struct launch_error *e)
{
    struct start st;
    start_init(&st);
    *l = (struct launch){.control_fd = -1, .sentry_pidfd = -1, .gofer_pidfd = -1};
    int ret = start_prepare(&st, s, e);
    if (ret == 0)
        ret = start_processes(&st, s, l, e);
    if (ret == 0) {
        l->control_fd = st.control[0];
        st.control[0] = -1;
    }
    start_close(&st);
    return ret;
}
