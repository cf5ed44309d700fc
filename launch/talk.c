/* The client's side of the control socket (include/control.h). The sentry is no friend either: what
 * it sends is checked like anything else. */
#include "launch/launch_priv.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int gone(struct launch_error *e)
{
    return launch_fail(e, RF_EXIT_ABSENT, "the sandbox has gone");
}

static void put_fds(struct msghdr *h, char *control, const struct message_fds *fds)
{
    if (!fds || !fds->count)
        return;
    h->msg_control = control;
    h->msg_controllen = CMSG_SPACE(fds->count * sizeof(int));
    struct cmsghdr *c = CMSG_FIRSTHDR(h);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(fds->count * sizeof(int));
    memcpy(CMSG_DATA(c), fds->fd, fds->count * sizeof(int));
}

static ssize_t send_msg(struct sandbox *s, const struct control_msg *m, const void *text, int flags,
                        const struct message_fds *fds)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * CONTROL_FDS_MAX)] = {0};
    struct iovec iov[2] = {{(void *)m, sizeof(*m)}, {(void *)text, m->text_size}};
    struct msghdr h = {.msg_iov = iov, .msg_iovlen = 2};
    put_fds(&h, control, fds);
    ssize_t n;
    do
        n = sendmsg(s->fd, &h, MSG_NOSIGNAL | flags);
    while (n < 0 && errno == EINTR);
    return n;
}

int talk_send(struct sandbox *s, uint32_t type, const int32_t arg[4], const void *text, size_t size,
              const struct message_fds *fds, struct launch_error *e)
{
    struct control_msg m = {.version = CONTROL_VERSION, .type = type, .text_size = size};
    if (size > CONTROL_TEXT_MAX)
        return launch_fail(e, RF_EXIT_ERROR, "a container id is at most %d bytes", CONTROL_ID_MAX);
    if (s->fd < 0)
        return gone(e);
    m.id = ++s->last_id ? s->last_id : ++s->last_id;
    if (arg)
        memcpy(m.arg, arg, sizeof(m.arg));
    if (send_msg(s, &m, text, 0, fds) >= 0)
        return 0;
    if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN)
        return gone(e);
    return launch_fail(e, RF_EXIT_ERROR, "cannot speak to the sandbox: %s", strerror(errno));
}

void talk_order(struct sandbox *s, uint32_t type, const int32_t arg[4], const char *text)
{
    struct control_msg m = {.version = CONTROL_VERSION, .type = type, .text_size = strlen(text)};
    memcpy(m.arg, arg, sizeof(m.arg));
    (void)send_msg(s, &m, text, MSG_DONTWAIT, NULL);
}

static int wait_readable(struct sandbox *s, int timeout_ms, struct launch_error *e)
{
    int64_t end = now_ms() + timeout_ms;
    struct pollfd p = {.fd = s->fd, .events = POLLIN};
    for (;;) {
        int left = timeout_ms < 0 ? -1 : end > now_ms() ? (int)(end - now_ms()) : 0;
        int n = poll(&p, 1, left);
        if (n > 0)
            return 0;
        if (n == 0)
            return launch_fail(e, RF_EXIT_ERROR, "the sandbox does not answer");
        if (errno != EINTR)
            return launch_fail(e, RF_EXIT_ERROR, "poll: %s", strerror(errno));
    }
}

int talk_receive(struct sandbox *s, struct talk_answer *a, int timeout_ms, struct launch_error *e)
{
    struct iovec iov[2] = {{&a->msg, sizeof(a->msg)}, {a->text, sizeof(a->text) - 1}};
    struct msghdr h = {.msg_iov = iov, .msg_iovlen = 2};
    ssize_t n;
    if (s->fd < 0)
        return 0;
    do {
        if (wait_readable(s, timeout_ms, e))
            return -1;
        n = recvmsg(s->fd, &h, MSG_DONTWAIT);
    } while (n < 0 && (errno == EINTR || errno == EAGAIN));
    if (n <= 0)
        return 0;
    if (n < (ssize_t)sizeof(a->msg) || (h.msg_flags & MSG_TRUNC) ||
        a->msg.version != CONTROL_VERSION || a->msg.text_size > n - sizeof(a->msg))
        return launch_fail(e, RF_EXIT_ERROR, "the sandbox answers in another tongue");
    a->size = n - sizeof(a->msg);
    a->text[a->size] = 0;
    return 1;
}

static int answer_error(const struct talk_answer *a, struct launch_error *e)
{
    return launch_fail(e, a->msg.arg[0], "%.*s", (int)a->msg.text_size, a->text);
}

int talk_wait(struct sandbox *s, int timeout_ms, int32_t out[4], talk_item_fn *on_item, void *arg,
              struct launch_error *e)
{
    struct talk_answer a;
    for (;;) {
        int r = talk_receive(s, &a, timeout_ms, e);
        if (r <= 0)
            return r ? -1 : gone(e);
        if (a.msg.type == CONTROL_ERROR && (!a.msg.id || a.msg.id == s->last_id))
            return answer_error(&a, e);
        if (a.msg.id != s->last_id)
            continue; /* an event, or an answer to what was given up */
        if (a.msg.type == CONTROL_OK) {
            if (out)
                memcpy(out, a.msg.arg, sizeof(a.msg.arg));
            return 0;
        }
        if (a.msg.type == CONTROL_ITEM && on_item && on_item(arg, &a))
            return launch_fail(e, RF_EXIT_ERROR, "the sandbox's answer makes no sense");
    }
}

int talk_ask(struct sandbox *s, uint32_t type, const int32_t arg[4], const char *id, int32_t out[4],
             struct launch_error *e)
{
    if (talk_send(s, type, arg, id, strlen(id), NULL, e))
        return -1;
    return talk_wait(s, s->timeout_ms, out, NULL, NULL, e);
}
