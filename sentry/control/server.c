/* The server: one thread, all clients. See control.h for the rules and requests.c for what they
 * ask.
 *
 * A client is listened to unless a worker serves it (busy). Whoever sends nonsense, or does not
 * read what it asked for, is dropped. Descriptors that nobody took are closed with the request. */
#include "control/control_priv.h"
#include "control/server_priv.h"

#include "base/host.h"
#include "base/log.h"
#include "base/overflow.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define GOFERS_POLLED   64
#define END_PATIENCE_NS (2 * NSEC_PER_SEC) /* for tasks that do not die, workers that hang */

static struct {
    struct list clients;           /* server thread only */
    unsigned client_count;         /* server thread only */
    struct client *starter;        /* server thread only; counted; last words go there */
    int listener, wake_fd;         /* const after init */
    uint64_t signals, tty_signals; /* atomic; bit n-1: signal n has come from outside */
} g_server = {.clients = LIST_INIT(g_server.clients), .listener = -1, .wake_fd = -1};

bool g_control_stats;

/* ---- clients ---- */

static struct client *client_new(int fd)
{
    struct client *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    ref_init(&c->ref);
    c->fd = fd;
    return c;
}

void client_get(struct client *c)
{
    ref_get(&c->ref);
}

void client_put(struct client *c)
{
    if (!ref_put(&c->ref))
        return;
    host_close(c->fd);
    free(c);
}

bool client_busy(struct client *c)
{
    return __atomic_load_n(&c->busy, __ATOMIC_ACQUIRE);
}

static void client_enter(struct client *c)
{
    list_push_back(&g_server.clients, &c->node); /* the list's reference */
    g_server.client_count++;
}

static void client_drop(struct client *c)
{
    list_del(&c->node);
    g_server.client_count--;
    __atomic_store_n(&c->dead, true, __ATOMIC_RELEASE);
    request_client_gone(c);
    record_client_gone(c);
    client_put(c);
}

void client_send(struct client *c, uint32_t type, uint32_t id, const int32_t arg[4],
                 const void *text, size_t size, const void *item, size_t item_size)
{
    struct control_msg m = {.version = CONTROL_VERSION, .type = type, .id = id};
    m.text_size = MIN(size, (size_t)CONTROL_TEXT_MAX);
    if (arg)
        memcpy(m.arg, arg, sizeof(m.arg));
    struct iovec iov[3] = {{&m, sizeof(m)}, {(void *)text, m.text_size}, {(void *)item, item_size}};
    struct msghdr h = {.msg_iov = iov, .msg_iovlen = 3};
    if (__atomic_load_n(&c->dead, __ATOMIC_ACQUIRE) ||
        sendmsg(c->fd, &h, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
        return;
    __atomic_store_n(&c->dead, true, __ATOMIC_RELEASE);
    control_wake();
}

bool client_wait_room(struct client *c)
{
    struct pollfd p = {.fd = c->fd, .events = POLLOUT};
    return host_poll(&p, 1, CLIENT_PATIENCE_MS) > 0 && (p.revents & POLLOUT);
}

/* ---- waking ---- */

void control_wake(void)
{
    uint64_t one = 1;
    struct iovec iov = {&one, sizeof(one)};
    (void)host_writev(g_server.wake_fd, &iov, 1);
}

static void wake_drain(void)
{
    uint64_t count;
    struct iovec iov = {&count, sizeof(count)};
    (void)host_readv(g_server.wake_fd, &iov, 1);
}

/* Host signals sent to this process are meant for the root container's init; those of a terminal,
 * for whoever is in its foreground. */
static void on_signal(int sig, siginfo_t *info, void *ucontext)
{
    int saved = errno;
    uint64_t *set = info->si_code == SI_KERNEL ? &g_server.tty_signals : &g_server.signals;
    __atomic_fetch_or(set, 1ull << (sig - 1), __ATOMIC_SEQ_CST);
    control_wake();
    errno = saved;
}

static void take_signals(uint64_t *set, bool from_terminal)
{
    uint64_t signals = __atomic_exchange_n(set, 0, __ATOMIC_SEQ_CST);
    for (int sig = 1; signals; sig++, signals >>= 1)
        if (signals & 1)
            record_signal_root(sig, from_terminal);
}

static void install_signals(void)
{
    static const int signals[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGTERM, SIGUSR2,
                                  SIGALRM, SIGTSTP, SIGTTIN, SIGTTOU, SIGWINCH};
    struct sigaction sa = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigfillset(&sa.sa_mask);
    for (size_t i = 0; i < ARRAY_COUNT(signals); i++)
        sigaction(signals[i], &sa, NULL);
}

void control_open(int first_client, int listener)
{
    g_server.listener = listener;
    g_server.starter = client_new(first_client);
}

int control_init(bool signals)
{
    g_server.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (g_server.wake_fd < 0 || !g_server.starter)
        return -errno;
    if (signals)
        install_signals();
    return 0;
}

void control_fail(int exit_status, const char *fmt, ...)
{
    char text[512];
    int32_t arg[4] = {exit_status};
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    log_debug("failed: %s", text);
    if (g_server.starter)
        client_send(g_server.starter, CONTROL_ERROR, 0, arg, text, strlen(text), NULL, 0);
    _exit(exit_status);
}

/* ---- messages in ---- */

static void fds_close(struct control_fds *fds)
{
    for (unsigned i = 0; i < fds->count; i++)
        if (fds->fd[i] >= 0)
            host_close(fds->fd[i]);
    fds->count = 0;
}

void request_free(struct request *q)
{
    fds_close(&q->fds);
    client_put(q->client);
    free(q);
}

static void take_fds(struct msghdr *h, struct control_fds *fds)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
            if (fds->count < CONTROL_FDS_MAX)
                fds->fd[fds->count++] = fd;
            else
                host_close(fd);
        }
    }
}

/* 1: *out is a message; 0: none yet; -1: the client is to be dropped. */
static int receive(struct client *c, struct request *q)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * CONTROL_FDS_MAX)];
    struct iovec iov[2] = {{&q->msg, sizeof(q->msg)}, {q->text, CONTROL_TEXT_MAX}};
    struct msghdr h = {
        .msg_iov = iov, .msg_iovlen = 2, .msg_control = control, .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(c->fd, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    take_fds(&h, &q->fds);
    if (n < (ssize_t)sizeof(q->msg) || (h.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) ||
        q->msg.version != CONTROL_VERSION || q->msg.text_size != n - sizeof(q->msg))
        return -1;
    q->text[q->msg.text_size] = 0;
    return 1;
}

static void client_read(struct client *c)
{
    struct request *q = calloc(1, sizeof(*q));
    if (!q)
        return; /* later, perhaps */
    client_get(c);
    q->client = c;
    int r = receive(c, q);
    if (r > 0) {
        request_serve(q); /* consumes q */
        return;
    }
    request_free(q);
    if (r < 0)
        __atomic_store_n(&c->dead, true, __ATOMIC_RELEASE);
}

static void client_accept(void)
{
    int fd = accept4(g_server.listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    struct client *c = g_server.client_count < SERVER_CLIENTS_MAX ? client_new(fd) : NULL;
    if (c)
        client_enter(c);
    else
        host_close(fd);
}

/* ---- the end ---- */

static int status_of(int wait_status)
{
    return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

static bool workers_busy(void)
{
    struct client *c;
    list_for_each(c, &g_server.clients,
                  node) if (__atomic_load_n(&c->busy, __ATOMIC_ACQUIRE)) return true;
    return false;
}

/* Everybody who waits is answered before the process goes. */
static void answer_waiting(void)
{
    struct client *c, *next;
    list_for_each_safe(c, next, &g_server.clients, node)
    {
        bool busy = __atomic_load_n(&c->busy, __ATOMIC_ACQUIRE);
        if (!busy)
            request_waiting(c);
        if (!busy && __atomic_load_n(&c->dead, __ATOMIC_ACQUIRE))
            client_drop(c);
    }
}

/* ---- the loop ---- */

struct poll_set {
    struct pollfd p[2 + SERVER_CLIENTS_MAX + GOFERS_POLLED];
    struct client *client[2 + SERVER_CLIENTS_MAX];
    unsigned count, clients_end;
};

static void poll_prepare(struct poll_set *s)
{
    struct client *c;
    int gofers[GOFERS_POLLED];
    s->p[0] = (struct pollfd){.fd = g_server.wake_fd, .events = POLLIN};
    s->p[1] = (struct pollfd){.fd = g_server.listener, .events = POLLIN};
    s->count = 2;
    list_for_each(c, &g_server.clients, node)
    {
        if (__atomic_load_n(&c->busy, __ATOMIC_ACQUIRE))
            continue;
        s->client[s->count] = c;
        s->p[s->count++] = (struct pollfd){.fd = c->fd, .events = c->wait.type ? 0 : POLLIN};
    }
    s->clients_end = s->count;
    unsigned n = record_gofer_fds(gofers, GOFERS_POLLED);
    for (unsigned i = 0; i < n; i++)
        s->p[s->count++] = (struct pollfd){.fd = gofers[i]};
}

static void poll_clients(struct poll_set *s)
{
    for (unsigned i = 2; i < s->clients_end; i++) {
        struct client *c = s->client[i];
        if (s->p[i].revents & POLLIN)
            client_read(c);
        else if (s->p[i].revents)
            __atomic_store_n(&c->dead, true, __ATOMIC_RELEASE);
    }
}

/* Nobody could ever create a container any more. */
static bool abandoned(void)
{
    return !record_any() && !g_server.client_count;
}

static void turn(struct poll_set *s, int timeout_ms)
{
    poll_prepare(s);
    if (host_poll(s->p, s->count, timeout_ms) > 0) {
        if (s->p[0].revents)
            wake_drain();
        poll_clients(s);
        if (s->p[1].revents)
            client_accept();
    }
    take_signals(&g_server.signals, /*from_terminal=*/false);
    take_signals(&g_server.tty_signals, /*from_terminal=*/true);
}

void control_serve(const struct sandbox_config *c)
{
    static struct poll_set set;
    int status = 0;
    int64_t end = 0;
    g_control_stats = c->stats;
    g_kernel.watcher = control_wake;
    client_enter(g_server.starter);
    client_get(g_server.starter);
    for (;;) {
        bool ended = record_reap(&status);
        answer_waiting();
        if (ended && !end)
            end = time_after(END_PATIENCE_NS);
        if (ended && ((kernel_empty() && !workers_busy()) || time_now() >= end))
            _exit(status_of(status));
        if (abandoned())
            _exit(RF_EXIT_ERROR);
        turn(&set, ended ? 10 : -1);
    }
}
