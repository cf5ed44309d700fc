/* The launcher's watch over a running sandbox: signals in, the exit status out, the terminal
 * restored.
 *
 * Every catchable signal of ours is forwarded to the sandbox. The end is known by the sentry's
 * message or, if it dies without one, by its wait status; the gofer ends by itself when the
 * sentry's socket closes, and is killed if it does not. */
#include "control.h"
#include "launch/launch_priv.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define GOFER_GRACE_MS  500
#define SENTRY_GRACE_MS 1000

struct watch {
    struct launch *l;
    int signal_fd;
    sigset_t old_mask;
    bool have_status;
    int wait_status;
    struct launch_error *e;
    bool failed;
    int tty_fd; /* -1: none of stdin, stdout, stderr is a terminal */
    struct termios saved;
};

static void control_send(struct watch *w, uint32_t type, int arg)
{
    struct control_msg m = {.version = CONTROL_VERSION, .type = type, .arg = arg};
    (void)send(w->l->control_fd, &m, sizeof(m), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void watch_terminal(struct watch *w)
{
    w->tty_fd = -1;
    for (int fd = 0; fd <= 2 && w->tty_fd < 0; fd++)
        if (isatty(fd) && tcgetattr(fd, &w->saved) == 0)
            w->tty_fd = fd;
}

static int watch_begin(struct watch *w)
{
    static const int forwarded[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGTERM, SIGUSR1,  SIGUSR2, SIGALRM,
                                    SIGCONT, SIGTSTP, SIGTTIN, SIGTTOU, SIGWINCH, SIGURG,  SIGIO};
    sigset_t set;
    sigemptyset(&set);
    /* Also those that we were started to ignore: a blocked signal is queued even so, and the program
     * inside starts with it ignored but may have set a handler since. */
    for (size_t i = 0; i < sizeof(forwarded) / sizeof(forwarded[0]); i++)
        sigaddset(&set, forwarded[i]);
    sigprocmask(SIG_BLOCK, &set, &w->old_mask);
    w->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    watch_terminal(w);
    return w->signal_fd < 0 ? -errno : 0;
}

static void watch_end(struct watch *w)
{
    sigset_t all;
    sigfillset(&all);
    if (w->tty_fd >= 0) {
        sigprocmask(SIG_BLOCK, &all, NULL); /* tcsetattr from the background would stop us */
        tcsetattr(w->tty_fd, TCSADRAIN, &w->saved);
    }
    close(w->signal_fd);
    sigprocmask(SIG_SETMASK, &w->old_mask, NULL);
}

/* Stop as the first process did, so that the shell that started us sees a stopped job. */
static void stop_self(struct watch *w)
{
    raise(SIGSTOP);
    control_send(w, CONTROL_CONT, SIGCONT);
}

static void on_signals(struct watch *w)
{
    struct signalfd_siginfo si;
    while (read(w->signal_fd, &si, sizeof(si)) == sizeof(si))
        control_send(w, CONTROL_SIGNAL, si.ssi_signo);
}

/* False at the end of the channel. */
static bool on_control(struct watch *w)
{
    struct {
        struct control_msg m;
        char text[CONTROL_TEXT_MAX + 1];
    } in;
    ssize_t n = recv(w->l->control_fd, &in, sizeof(in) - 1, 0);
    if (n < 0 && errno == EINTR)
        return true;
    if (n < (ssize_t)sizeof(in.m) || in.m.version != CONTROL_VERSION ||
        in.m.text_size > n - sizeof(in.m))
        return false;
    in.text[in.m.text_size] = 0;
    switch (in.m.type) {
    case CONTROL_EXITED:
        w->have_status = true;
        w->wait_status = in.m.arg;
        if (in.m.text_size)
            fprintf(stderr, "%s", in.text);
        break;
    case CONTROL_FAILED:
        w->failed = true;
        launch_fail(w->e, in.m.arg, "%s", in.text);
        break;
    case CONTROL_STOPPED:
        stop_self(w);
        break;
    }
    return true;
}

static bool pidfd_ended(int pidfd, int timeout_ms)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    int n;
    do
        n = poll(&p, 1, timeout_ms);
    while (n < 0 && errno == EINTR);
    return n > 0;
}

static int reap(pid_t pid, int pidfd, int grace_ms)
{
    int status = 0;
    if (!pidfd_ended(pidfd, grace_ms))
        kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    close(pidfd);
    return status;
}

static void watch_loop(struct watch *w)
{
    struct pollfd p[2] = {{.fd = w->l->control_fd, .events = POLLIN},
                          {.fd = w->signal_fd, .events = POLLIN}};
    for (;;) {
        if (poll(p, 2, -1) < 0 && errno != EINTR)
            return;
        if (p[1].revents)
            on_signals(w);
        if ((p[0].revents & (POLLIN | POLLHUP | POLLERR)) && !on_control(w))
            return;
    }
}

static int status_of(int wait_status)
{
    return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

/* The sentry left without a last word: say what is known about its end. */
static int broken(struct watch *w, int sentry_status, int gofer_status)
{
    if (WIFSIGNALED(sentry_status))
        launch_fail(
            w->e, RF_EXIT_ERROR, "the sentry was killed by signal %d (%s)%s; see --debug-log",
            WTERMSIG(sentry_status), strsignal(WTERMSIG(sentry_status)),
            WTERMSIG(sentry_status) == SIGSYS ? ": it made a host call that its list forbids" : "");
    else if (WIFSIGNALED(gofer_status) && WTERMSIG(gofer_status) != SIGKILL)
        launch_fail(w->e, RF_EXIT_ERROR, "the gofer was killed by signal %d (%s)",
                    WTERMSIG(gofer_status), strsignal(WTERMSIG(gofer_status)));
    else
        launch_fail(w->e, RF_EXIT_ERROR,
                    "the sentry ended with status %d before the program did; see --debug-log",
                    WEXITSTATUS(sentry_status));
    return RF_EXIT_ERROR;
}

int launch_wait(struct launch *l, const struct launch_spec *s, struct launch_error *e)
{
    struct watch w = {.l = l, .e = e};
    e->text[0] = 0;
    if (watch_begin(&w) < 0)
        launch_fail(e, RF_EXIT_ERROR, "cannot watch for signals: %s", strerror(errno));
    else
        watch_loop(&w);
    close(l->control_fd);
    int sentry_status =
        reap(l->sentry_pid, l->sentry_pidfd, w.have_status || w.failed ? 100 : SENTRY_GRACE_MS);
    int gofer_status = reap(l->gofer_pid, l->gofer_pidfd, GOFER_GRACE_MS);
    watch_end(&w);
    if (w.failed)
        return e->status;
    return w.have_status ? status_of(w.wait_status) : broken(&w, sentry_status, gofer_status);
}
