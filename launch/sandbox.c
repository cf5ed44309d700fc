/* Starting, finding and ending sandboxes: the sentry process. Containers: container.c. */
#include "launch/launch_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define SOCKET_NAME      "control.sock"
#define KILL_PATIENCE_MS 2000

/* Descriptors and strings that the sentry is started with. */
struct start {
    const struct sandbox_spec *spec;
    int kvm_fd, log_fd, config_fd, listen_fd, netns_fd;
    int control[2];
    char path[4096];
    const char *platform;
};

static void start_close(struct start *st)
{
    close_fd(&st->kvm_fd);
    close_fd(&st->log_fd);
    close_fd(&st->config_fd);
    close_fd(&st->listen_fd);
    close_fd(&st->netns_fd);
    close_fd(&st->control[0]);
    close_fd(&st->control[1]);
}

/* ---- the socket ---- */

/* Paths of sockets are short, those of directories need not be: through a descriptor. */
static int socket_address(const char *dir, const char *name, int *dir_fd, struct sockaddr_un *a)
{
    *dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (*dir_fd < 0)
        return -errno;
    *a = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(a->sun_path, sizeof(a->sun_path), "/proc/self/fd/%d/%.64s", *dir_fd, name);
    return 0;
}

static int listen_in(const char *dir, const char *name)
{
    struct sockaddr_un a;
    int dir_fd, err = socket_address(dir, name, &dir_fd, &a);
    if (err)
        return err;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    unlink(a.sun_path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 64) < 0) {
        err = -errno;
        close_fd(&fd);
    }
    close(dir_fd);
    return err ? err : fd;
}

/* ---- start ---- */

static int open_log(struct start *st, struct launch_error *e)
{
    const struct sandbox_spec *s = st->spec;
    if (s->debug_log) {
        st->log_fd = open(s->debug_log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (st->log_fd < 0)
            return launch_fail(e, RF_EXIT_ERROR, "--debug-log=%s: %s", s->debug_log,
                               strerror(errno));
    } else if (s->log_fd > 0) {
        st->log_fd = fcntl(s->log_fd, F_DUPFD_CLOEXEC, 3);
    }
    return 0;
}

static int open_listener(struct start *st, struct launch_error *e)
{
    if (!st->spec->dir)
        return 0;
    st->listen_fd =
        listen_in(st->spec->dir, st->spec->socket_name ? st->spec->socket_name : SOCKET_NAME);
    if (st->listen_fd >= 0)
        return 0;
    return launch_fail(e, RF_EXIT_ERROR, "cannot listen in %s: %s", st->spec->dir,
                       strerror(-st->listen_fd));
}

static int open_netns(struct start *st, struct launch_error *e)
{
    if (!st->spec->netns_path)
        return 0;
    st->netns_fd = open(st->spec->netns_path, O_RDONLY | O_CLOEXEC);
    if (st->netns_fd >= 0)
        return 0;
    return launch_fail(e, RF_EXIT_ERROR, "cannot open the network namespace %s: %s",
                       st->spec->netns_path, strerror(errno));
}

static int start_prepare(struct start *st, struct launch_error *e)
{
    const struct sandbox_spec *s = st->spec;
    if (launch_helper_path("rf-sentry", st->path, sizeof(st->path), e) || open_log(st, e) ||
        open_listener(st, e) || open_netns(st, e))
        return -1;
    if (strcmp(s->platform, "systrap"))
        st->kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (launch_platform_choose(s->platform, st->kvm_fd, st->log_fd, &st->platform, e))
        return -1;
    st->config_fd = describe_sandbox(s, st->platform, e);
    if (st->config_fd < 0)
        return -1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, st->control) == 0)
        return 0;
    return launch_fail(e, RF_EXIT_ERROR, "cannot make a socket pair: %s", strerror(errno));
}

_Noreturn static void child_sentry(struct start *st)
{
    static struct helper_args a;
    if (st->netns_fd >= 0 && setns(st->netns_fd, CLONE_NEWNET) < 0) {
        dprintf(2, "ringfence: cannot enter the network namespace: %s\n", strerror(errno));
        _exit(RF_EXIT_ERROR);
    }
    helper_arg(&a, "rf-sentry");
    helper_arg_fd(&a, "control-fd", st->control[1]);
    helper_arg_fd(&a, "config-fd", st->config_fd);
    helper_arg_fd(&a, "listen-fd", st->listen_fd);
    helper_arg_fd(&a, "kvm-fd", st->kvm_fd);
    helper_arg_fd(&a, "log-fd", st->log_fd);
    if (st->spec->attached)
        helper_arg(&a, "--attached");
    helper_exec(st->spec, /*is_gofer=*/false, st->path, &a);
}

static void sandbox_init(struct sandbox *s)
{
    *s = (struct sandbox){.fd = -1, .sentry_pidfd = -1, .timeout_ms = SB_TIMEOUT_MS};
}

int sandbox_start(const struct sandbox_spec *spec, struct sandbox *s, struct launch_error *e)
{
    struct start st = {.spec = spec,
                       .kvm_fd = -1,
                       .log_fd = -1,
                       .config_fd = -1,
                       .listen_fd = -1,
                       .netns_fd = -1,
                       .control = {-1, -1}};
    sandbox_init(s);
    int err = start_prepare(&st, e);
    if (!err) {
        pid_t pid = launch_isolate_fork(!strcmp(spec->network, "host"), &s->sentry_pidfd);
        if (pid == 0)
            child_sentry(&st);
        s->sentry_pid = pid;
        err = pid < 0 ? helper_fork_failed("sentry", pid, e) : 0;
    }
    if (!err) {
        s->fd = st.control[0];
        st.control[0] = -1;
        s->started = *spec;
        s->attached = spec->attached;
        snprintf(s->dir, sizeof(s->dir), "%s", spec->dir ? spec->dir : "");
    }
    start_close(&st);
    return err;
}

/* ---- find ---- */

int sandbox_connect(const char *dir, struct sandbox *s, struct launch_error *e)
{
    return sandbox_connect_named(dir, SOCKET_NAME, s, e);
}

int sandbox_connect_named(const char *dir, const char *name, struct sandbox *s,
                          struct launch_error *e)
{
    struct sockaddr_un a;
    int dir_fd = -1;
    sandbox_init(s);
    int err = socket_address(dir, name, &dir_fd, &a);
    if (!err) {
        s->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        if (s->fd < 0 || connect(s->fd, (struct sockaddr *)&a, sizeof(a)) < 0)
            err = -errno;
    }
    close_fd(&dir_fd);
    if (!err) {
        snprintf(s->dir, sizeof(s->dir), "%s", dir);
        return 0;
    }
    close_fd(&s->fd);
    bool absent = err == -ENOENT || err == -ECONNREFUSED || err == -ENOTDIR;
    return launch_fail(e, absent ? RF_EXIT_ABSENT : RF_EXIT_ERROR, "no sandbox in %s: %s", dir,
                       strerror(-err));
}

void sandbox_close(struct sandbox *s)
{
    close_fd(&s->fd);
    close_fd(&s->sentry_pidfd);
}

void sandbox_abandon(struct sandbox *s)
{
    close_fd(&s->fd);
    if (s->sentry_pid) {
        kill(s->sentry_pid, SIGKILL);
        while (waitpid(s->sentry_pid, NULL, 0) < 0 && errno == EINTR)
            ;
        s->sentry_pid = 0;
    }
    gofer_abandon(s);
    sandbox_close(s);
}

bool sandbox_alive(const char *dir)
{
    struct sandbox s;
    struct launch_error e;
    if (sandbox_connect(dir, &s, &e))
        return false;
    s.timeout_ms = 1000;
    bool alive = talk_ask(&s, CONTROL_INFO, NULL, "", NULL, &e) == 0;
    sandbox_close(&s);
    return alive;
}

/* ---- end ---- */

uint64_t sandbox_start_time(pid_t pid)
{
    char path[64], text[2048];
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    close_fd(&fd);
    if (n <= 0)
        return 0;
    text[n] = 0;
    char *at = strrchr(text, ')'); /* the name may hold anything; field 3 follows */
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    return at ? strtoull(at + 1, NULL, 10) : 0;
}

/* A zombie whose parent sleeps is as gone as can be. */
static bool is_dead(pid_t pid)
{
    char path[64], text[2048];
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    close_fd(&fd);
    if (n <= 0)
        return true;
    text[n] = 0;
    char *at = strrchr(text, ')');
    return !at || at[2] == 'Z' || at[2] == 'X';
}

int sandbox_kill(pid_t sentry_pid, uint64_t start_time, struct launch_error *e)
{
    int pidfd = syscall(SYS_pidfd_open, sentry_pid, 0);
    if (pidfd < 0 && errno == ESRCH)
        return 0;
    if (pidfd < 0)
        return launch_fail(e, RF_EXIT_ERROR, "pidfd_open %d: %s", (int)sentry_pid, strerror(errno));
    if (start_time && sandbox_start_time(sentry_pid) != start_time) {
        close(pidfd);
        return 0; /* the number is another's by now */
    }
    int err =
        syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) < 0 && errno != ESRCH ? errno : 0;
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    bool ended = !err && (poll(&p, 1, KILL_PATIENCE_MS) > 0 || is_dead(sentry_pid));
    close(pidfd);
    if (err)
        return launch_fail(e, RF_EXIT_ERROR, "cannot kill the sentry %d: %s", (int)sentry_pid,
                           strerror(err));
    return ended ? 0 : launch_fail(e, RF_EXIT_ERROR, "the sentry %d does not die", (int)sentry_pid);
}

/* ---- registering ---- */

int sandbox_runtime_dir(char *out, size_t size, struct launch_error *e)
{
    const char *xdg = getenv("XDG_RUNTIME_DIR");
    struct stat st;
    if (geteuid() == 0)
        snprintf(out, size, "/run/ringfence");
    else if (xdg && xdg[0] == '/')
        snprintf(out, size, "%s/ringfence", xdg);
    else
        snprintf(out, size, "/tmp/ringfence-%u", (unsigned)geteuid());
    if (mkdir(out, 0700) < 0 && errno != EEXIST)
        return launch_fail(e, RF_EXIT_ERROR, "cannot make %s: %s", out, strerror(errno));
    if (lstat(out, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022))
        return launch_fail(e, RF_EXIT_ERROR, "%s is not a directory of yours alone", out);
    return 0;
}
