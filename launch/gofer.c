/* One gofer for each container: what it may show is fixed when it starts, as open descriptors.
 * Export 0 is the root, then one for each bind mount. It ends by itself when the sentry's socket
 * closes. */
#include "launch/launch_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXPORTS_MAX 256

struct export
{
    int fd;
    const char *path; /* on the host; borrowed */
    bool writable;
};

struct exports {
    struct export e[EXPORTS_MAX];
    unsigned count;
};

static int open_export(struct exports *x, const char *path, bool dir_only, bool writable,
                       struct launch_error *e)
{
    if (x->count == EXPORTS_MAX)
        return launch_fail(e, RF_EXIT_ERROR, "more than %d bind mounts", EXPORTS_MAX - 1);
    int fd = open(path, O_PATH | O_CLOEXEC | (dir_only ? O_DIRECTORY : 0));
    if (fd < 0)
        return launch_fail(e, RF_EXIT_ERROR, "cannot open %s: %s", path, strerror(errno));
    /* O_PATH opens what cannot be read; refuse now, by name, rather than with a riddle later. */
    if (faccessat(AT_FDCWD, path, R_OK | (dir_only ? X_OK : 0), AT_EACCESS) < 0) {
        launch_fail(e, RF_EXIT_ERROR, "cannot read %s: %s", path, strerror(errno));
        close(fd);
        return -1;
    }
    x->e[x->count++] = (struct export){.fd = fd, .path = path, .writable = writable};
    return 0;
}

static int open_exports(struct exports *x, const struct sb_container *c, int *numbers,
                        struct launch_error *e)
{
    if (open_export(x, c->rootfs, /*dir_only=*/true, !strcmp(c->root_mode, "rw"), e))
        return -1;
    for (unsigned i = 0; i < c->mount_count; i++) {
        const struct sb_mount *m = &c->mounts[i];
        numbers[i] = -1;
        if (strcmp(m->type, "bind"))
            continue;
        numbers[i] = x->count;
        if (open_export(x, m->source, /*dir_only=*/false, !(m->flags & 1 /* MS_RDONLY */), e))
            return -1;
    }
    return 0;
}

static void close_exports(struct exports *x)
{
    for (unsigned i = 0; i < x->count; i++)
        close(x->e[i].fd);
}

/* ---- in the child ---- */

/* The launcher's descriptors belong to its mount namespace, in which the gofer cannot bind them
 * read-only. So the same places are opened again, in the gofer's own copy of the tree. */
static void child_reopen(struct exports *x)
{
    for (unsigned i = 0; i < x->count; i++) {
        struct stat was, is;
        int fd = open(x->e[i].path, O_PATH | O_CLOEXEC);
        if (fd < 0)
            continue; /* keep the first one; the gofer says what it cannot do with it */
        if (fstat(fd, &is) == 0 && fstat(x->e[i].fd, &was) == 0 && is.st_dev == was.st_dev &&
            is.st_ino == was.st_ino)
            dup3(fd, x->e[i].fd, O_CLOEXEC);
        close(fd);
    }
}

_Noreturn static void child_gofer(const struct sandbox_spec *spec, struct exports *x, int fd,
                                  int log_fd, const char *path)
{
    static struct helper_args a;
    bool any_rw = false;
    child_reopen(x);
    helper_arg(&a, "rf-gofer");
    helper_arg_fd(&a, "fd", fd);
    helper_arg_fd(&a, "debug-log-fd", log_fd);
    for (unsigned i = 0; i < x->count; i++) {
        fcntl(x->e[i].fd, F_SETFD, 0);
        helper_arg(&a, "--export=%d:%s", x->e[i].fd, x->e[i].writable ? "rw" : "ro");
        any_rw |= x->e[i].writable;
    }
    /* Who may read what is the sentry's to decide, so root's gofer must be able to read what root
     * can: a directory of mode 0700 that another user owns, say. One capability, and it only reads.
     * Writable exports need more, so that owners and modes of what is written come out right. Both:
     * CAVEATS.md. */
    if (geteuid() == 0)
        helper_arg(&a, "--keep-caps=%s",
                   any_rw ? "CHOWN,DAC_OVERRIDE,FOWNER,FSETID,DAC_READ_SEARCH" : "DAC_READ_SEARCH");
    helper_exec(spec, /*is_gofer=*/true, path, &a);
}

/* ---- in the launcher ---- */

static int open_log(const struct sandbox_spec *spec)
{
    if (!spec->debug_log && spec->log_fd <= 0)
        return -1;
    if (!spec->debug_log)
        return fcntl(spec->log_fd, F_DUPFD_CLOEXEC, 3);
    return open(spec->debug_log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static int gofer_fork(struct sandbox *s, struct exports *x, int pair[2], struct launch_error *e)
{
    char path[4096];
    int pidfd = -1;
    if (launch_helper_path("rf-gofer", path, sizeof(path), e))
        return -1;
    const struct sandbox_spec *spec = s->spec ? s->spec : &s->started;
    int log_fd = open_log(spec);
    pid_t pid = launch_isolate_fork(/*keep_net=*/false, &pidfd);
    if (pid == 0)
        child_gofer(spec, x, pair[1], log_fd, path);
    close_fd(&log_fd);
    close_fd(&pidfd);
    if (pid < 0)
        return helper_fork_failed("gofer", pid, e);
    s->gofer_pid = pid;
    return 0;
}

int gofer_start(struct sandbox *s, const struct sb_container *c, int *exports, int *fd,
                struct launch_error *e)
{
    struct exports x = {.count = 0};
    int pair[2] = {-1, -1};
    int err = open_exports(&x, c, exports, e);
    if (!err && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        err = launch_fail(e, RF_EXIT_ERROR, "cannot make a socket pair: %s", strerror(errno));
    if (!err)
        err = gofer_fork(s, &x, pair, e);
    close_exports(&x);
    close_fd(&pair[1]);
    if (err)
        close_fd(&pair[0]);
    *fd = pair[0];
    return err;
}

void gofer_abandon(struct sandbox *s)
{
    if (!s->gofer_pid)
        return;
    kill(s->gofer_pid, SIGKILL);
    while (waitpid(s->gofer_pid, NULL, 0) < 0 && errno == EINTR)
        ;
    s->gofer_pid = 0;
}
