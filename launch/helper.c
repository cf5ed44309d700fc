/* Small things of the launcher: errors, standard descriptors, finding and becoming a helper
 * program. */
#include "launch/launch_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int launch_fail(struct launch_error *e, int status, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    e->status = status;
    vsnprintf(e->text, sizeof(e->text), fmt, ap);
    va_end(ap);
    return -1;
}

static bool g_stdio_closed[3]; /* const after launch_stdio_hold */

void launch_stdio_hold(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        g_stdio_closed[fd] = fcntl(fd, F_GETFD) < 0;
        if (g_stdio_closed[fd])
            open("/dev/null", O_RDWR); /* takes the lowest free number: this one */
    }
}

int launch_stdio(int fd)
{
    return g_stdio_closed[fd] ? -1 : fd;
}

uint64_t launch_ignored_signals(void)
{
    uint64_t mask = 0;
    for (int sig = 1; sig <= 64; sig++) {
        struct sigaction sa;
        if (sigaction(sig, NULL, &sa) == 0 && sa.sa_handler == SIG_IGN)
            mask |= 1ull << (sig - 1);
    }
    return mask;
}

void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

int status_of(int wait_status)
{
    return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

int launch_helper_path(const char *name, char *out, size_t size, struct launch_error *e)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n < 0)
        return launch_fail(e, RF_EXIT_ERROR, "cannot read /proc/self/exe: %s; is /proc mounted?",
                           strerror(errno));
    self[n] = 0;
    char *slash = strrchr(self, '/');
    *slash = 0;
    for (int i = 0; i < 2; i++) {
        int len = snprintf(out, size, i == 0 ? "%s/%s" : "%s/../libexec/ringfence/%s", self, name);
        if (len > 0 && (size_t)len < size && access(out, X_OK) == 0)
            return 0;
    }
    return launch_fail(e, RF_EXIT_ERROR,
                       "the helper program %s is missing: it belongs beside %s/ringfence or in "
                       "libexec/ringfence; reinstall",
                       name, self);
}

void helper_arg(struct helper_args *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    if (a->argc < HELPER_ARGS_MAX - 1 && vasprintf(&a->argv[a->argc], fmt, ap) >= 0)
        a->argc++;
    va_end(ap);
}

void helper_arg_fd(struct helper_args *a, const char *name, int fd)
{
    if (fd < 0)
        return;
    fcntl(fd, F_SETFD, 0);
    helper_arg(a, "--%s=%d", name, fd);
}

/* A helper that outlives us must not hold our standard descriptors: someone may wait for their end.
 */
static void leave_stdio(bool attached)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; null >= 0 && fd <= 2; fd++)
        if (fd != 2 || !attached)
            dup2(null, fd);
}

void helper_exec(const struct sandbox_spec *spec, bool is_gofer, const char *path,
                 struct helper_args *a)
{
    const char *step = "";
    int err = spec->child_setup ? spec->child_setup(spec->child_arg, is_gofer, &step) : 0;
    bool attached = spec->attached;
    if (err == 0)
        err = launch_isolate_child(attached, &step);
    if (err == 0) {
        char *env[] = {NULL};
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        int user = fcntl(2, F_DUPFD_CLOEXEC, 3);
        leave_stdio(attached);
        execve(path, a->argv, env);
        err = -errno;
        step = path;
        dup2(user, 2);
    }
    dprintf(2, "ringfence: cannot start %s: %s: %s\n", a->argv[0], step, strerror(-err));
    _exit(RF_EXIT_ERROR);
}

int helper_fork_failed(const char *what, int err, struct launch_error *e)
{
    if (err == -EPERM || err == -ENOSPC || err == -EUSERS)
        return launch_fail(
            e, RF_EXIT_ERROR,
            "cannot make namespaces for the %s: %s; ringfence needs root, or user namespaces "
            "(see user.max_user_namespaces and kernel.unprivileged_userns_clone)",
            what, strerror(-err));
    return launch_fail(e, RF_EXIT_ERROR, "cannot start the %s: %s", what, strerror(-err));
}
