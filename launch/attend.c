/* A host process that stands for a guest process: signals in, the exit status out, the terminal
 * restored.
 *
 * Every catchable signal of ours is forwarded. The end is known by the sentry's message or, if it
 * dies without one, by its wait status; the gofer ends by itself when the sentry's socket closes,
 * and is killed if it does not. */
#include "launch/launch_priv.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define GOFER_GRACE_MS  500
#define SENTRY_GRACE_MS 1000

struct watch {
    struct sandbox *s;
    int signal_fd;
    bool have_status, failed, own_terminal;
    int wait_status;
    struct launch_error *e;
    int tty_fd; /* -1: none of stdin, stdout, stderr is a terminal */
    struct termios saved;
};

void sandbox_stand_for(struct sandbox *s, const char *id, int pid)
{
    s->stands_for = true;
    s->stands_for_pid = pid;
    snprintf(s->stands_for_id, sizeof(s->stands_for_id), "%s", id);
}

static void forward(struct watch *w, int sig)
{
    int32_t arg[4] = {w->s->stands_for_pid, sig, CONTROL_FOREGROUND};
    talk_order(w->s, CONTROL_SIGNAL, arg, w->s->stands_for_id);
}

static void watch_terminal(struct watch *w)
{
    w->tty_fd = -1;
    for (int fd = 0; w->own_terminal && fd <= 2 && w->tty_fd < 0; fd++)
        if (isatty(fd) && tcgetattr(fd, &w->saved) == 0)
            w->tty_fd = fd;
}

/* Signals are held back from the moment the program may run until they are forwarded: it may have
 * told somebody that it is up, and a signal then is meant for it and not for us. */
static sigset_t g_mask_before; /* valid if g_held */
static bool g_held;

static void forwarded_set(sigset_t *set)
{
    static const int forwarded[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGTERM, SIGUSR1,  SIGUSR2, SIGALRM,
                                    SIGCONT, SIGTSTP, SIGTTIN, SIGTTOU, SIGWINCH, SIGURG,  SIGIO};
    sigemptyset(set);
    /* Also those that we were started to ignore: a blocked signal is queued even so, and the
     * program inside starts with it ignored but may have set a handler since. */
    for (size_t i = 0; i < sizeof(forwarded) / sizeof(forwarded[0]); i++)
        sigaddset(set, forwarded[i]);
}

void attend_hold_signals(void)
{
    sigset_t set;
    if (g_held)
        return;
    forwarded_set(&set);
    g_held = sigprocmask(SIG_BLOCK, &set, &g_mask_before) == 0;
}

void attend_release_signals(void)
{
    if (g_held)
        sigprocmask(SIG_SETMASK, &g_mask_before, NULL);
    g_held = false;
}

static int watch_begin(struct watch *w)
{
    sigset_t set;
    forwarded_set(&set);
    attend_hold_signals();
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
    close_fd(&w->signal_fd);
    attend_release_signals();
}

/* Stop as the process did, so that the shell that started us sees a stopped job. */
static void stop_self(struct watch *w)
{
    if (!w->own_terminal)
        return;
    raise(SIGSTOP);
    forward(w, SIGCONT);
}

static void on_signals(struct watch *w)
{
    struct signalfd_siginfo si;
    while (read(w->signal_fd, &si, sizeof(si)) == sizeof(si))
        forward(w, si.ssi_signo);
}

/* False at the end. */
static bool on_message(struct watch *w)
{
    struct talk_answer a;
    struct launch_error e;
    if (talk_receive(w->s, &a, /*timeout_ms=*/0, &e) <= 0)
        return false;
    switch (a.msg.type) {
    case CONTROL_EXITED:
        w->have_status = true;
        w->wait_status = a.msg.arg[0];
        if (a.msg.text_size)
            fprintf(stderr, "%.*s", (int)a.msg.text_size, a.text);
        return false;
    case CONTROL_ERROR:
        w->failed = true;
        launch_fail(w->e, a.msg.arg[0], "%.*s", (int)a.msg.text_size, a.text);
        return false;
    case CONTROL_STOPPED:
        stop_self(w);
        break;
    }
    return true;
}

static void watch_loop(struct watch *w)
{
    struct pollfd p[2] = {{.fd = w->s->fd, .events = POLLIN},
                          {.fd = w->signal_fd, .events = POLLIN}};
    for (;;) {
        if (poll(p, 2, -1) < 0 && errno != EINTR)
            return;
        if (p[1].revents)
            on_signals(w);
        if ((p[0].revents & (POLLIN | POLLHUP | POLLERR)) && !on_message(w))
            return;
    }
}

/* ---- the processes, if they are our children ---- */

static bool pidfd_ended(int pidfd, int timeout_ms)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    int n;
    do
        n = poll(&p, 1, timeout_ms);
    while (n < 0 && errno == EINTR);
    return n > 0;
}

static int reap(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}

static int reap_sentry(struct watch *w)
{
    struct sandbox *s = w->s;
    if (!pidfd_ended(s->sentry_pidfd, SENTRY_GRACE_MS))
        kill(s->sentry_pid, SIGKILL);
    return reap(s->sentry_pid);
}

static int reap_gofer(struct watch *w)
{
    for (int i = 0; i < GOFER_GRACE_MS; i++) {
        int status = 0;
        if (waitpid(w->s->gofer_pid, &status, WNOHANG) == w->s->gofer_pid)
            return status;
        usleep(1000);
    }
    kill(w->s->gofer_pid, SIGKILL);
    return reap(w->s->gofer_pid);
}

/* The sentry left without a last word: say what is known about its end. */
static int broken(struct watch *w, int sentry_status)
{
    if (!w->s->sentry_pid)
        return launch_fail(w->e, RF_EXIT_ERROR, "the sandbox ended before the program did");
    if (WIFSIGNALED(sentry_status))
        return launch_fail(
            w->e, RF_EXIT_ERROR, "the sentry was killed by signal %d (%s)%s; see --debug-log",
            WTERMSIG(sentry_status), strsignal(WTERMSIG(sentry_status)),
            WTERMSIG(sentry_status) == SIGSYS ? ": it made a host call that its list forbids" : "");
    return launch_fail(w->e, RF_EXIT_ERROR,
                       "the sentry ended with status %d before the program did; see --debug-log",
                       WEXITSTATUS(sentry_status));
}

int attend_run(struct sandbox *s, bool own_terminal, struct launch_error *e)
{
    struct watch w = {.s = s, .e = e, .own_terminal = own_terminal, .signal_fd = -1};
    int sentry_status = 0;
    e->text[0] = 0;
    if (watch_begin(&w) < 0)
        launch_fail(e, RF_EXIT_ERROR, "cannot watch for signals: %s", strerror(errno));
    else
        watch_loop(&w);
    close_fd(&s->fd);
    if (s->sentry_pid && s->attached) {
        sentry_status = reap_sentry(&w);
        if (s->gofer_pid)
            reap_gofer(&w);
    }
    watch_end(&w);
    sandbox_close(s);
    if (w.failed)
        return e->status;
    if (w.have_status)
        return status_of(w.wait_status);
    broken(&w, sentry_status);
    return RF_EXIT_ERROR;
}

int sandbox_attend(struct sandbox *s, struct launch_error *e)
{
    return attend_run(s, /*own_terminal=*/true, e);
}
