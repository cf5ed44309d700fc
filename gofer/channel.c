/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Channels: one thread each, which receives, serves, replies, and so needs no hand-over to any
 * other thread.
 *
 * A wake-up on the caller's own CPU costs about a fifth of one across CPUs (9 us against 50 us for
 * a round trip in a virtual machine), and the scheduler does not find that by itself: so the thread
 * moves to the CPU that the request names, after the reply, when nobody waits for it. The client
 * prefers a channel whose thread is already there.
 */
#include "gofer_priv.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define THREAD_STACK (256u << 10)

struct channel {
    struct gofer_server *server;
    int fd;
    uint32_t cpu; /* thread-private: where we asked to be */
    _Alignas(8) uint8_t in[GOFERP_MSG_MAX];
    _Alignas(8) uint8_t out[GOFERP_MSG_MAX];
};

static void channel_follow(struct channel *ch, uint32_t cpu)
{
    cpu_set_t set;

    if (cpu == ch->cpu || cpu >= CPU_SETSIZE)
        return;
    ch->cpu = cpu; /* also on failure: a CPU that is not ours is not tried again and again */
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    sched_setaffinity(0, sizeof(set), &set);
}

static int channel_send(struct channel *ch, size_t size, int fd)
{
    union {
        struct cmsghdr align;
        char buf[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec iov = {.iov_base = ch->out, .iov_len = size};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t sent;

    if (fd >= 0) {
        struct cmsghdr *cm;

        msg.msg_control = control.buf;
        msg.msg_controllen = sizeof(control.buf);
        cm = CMSG_FIRSTHDR(&msg);
        *cm = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(cm), &fd, sizeof(fd));
    }
    do
        sent = sendmsg(ch->fd, &msg, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : 0;
}

/* A reply that cannot carry its descriptor (too many in flight) is an error reply instead. */
static int channel_reply(struct channel *ch, size_t size, int fd)
{
    struct goferp_rep rep;
    int rc = channel_send(ch, size, fd);

    if (rc != -ETOOMANYREFS || fd < 0)
        return rc;
    memcpy(&rep, ch->out, sizeof(rep));
    rep.status = -EMFILE;
    rep.size = sizeof(rep);
    rep.fd_count = 0;
    memcpy(ch->out, &rep, sizeof(rep));
    return channel_send(ch, sizeof(rep), -1);
}

static struct channel *channel_make(struct gofer_server *s, int fd)
{
    struct channel *ch = malloc(sizeof(*ch));

    if (ch) {
        ch->server = s;
        ch->fd = fd;
        ch->cpu = GOFERP_NOCPU;
    }
    return ch;
}

static void channel_loop(struct channel *ch);

static void *channel_thread(void *arg)
{
    struct channel *ch = arg;
    struct gofer_server *s = ch->server;

    channel_loop(ch);
    close(ch->fd);
    free(ch);
    __atomic_sub_fetch(&s->channel_count, 1, __ATOMIC_ACQ_REL);
    return NULL;
}

/* consumes fd. On failure the client finds its end closed. */
static void channel_start(struct gofer_server *s, int fd)
{
    struct channel *ch = channel_make(s, fd);
    pthread_attr_t attr;
    pthread_t thread;
    int rc = -ENOMEM;

    if (ch) {
        pthread_attr_init(&attr);
        pthread_attr_setstacksize(&attr, THREAD_STACK);
        pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
        rc = pthread_create(&thread, &attr, channel_thread, ch);
        pthread_attr_destroy(&attr);
    }
    if (rc) {
        close(fd);
        free(ch);
        __atomic_sub_fetch(&s->channel_count, 1, __ATOMIC_ACQ_REL);
    }
}

static int channel_serve_one(struct channel *ch, size_t got)
{
    uint32_t cpu = GOFERP_NOCPU;
    struct gofer_call call;
    size_t size = gofer_server_dispatch(ch->server, ch->in, got, ch->out, &call);
    int rc = channel_reply(ch, size, call.fd);

    if (call.fd >= 0)
        close(call.fd);
    if (call.channel_fd >= 0)
        channel_start(ch->server, call.channel_fd);
    if (got >= sizeof(struct goferp_req))
        memcpy(&cpu, ch->in + offsetof(struct goferp_req, cpu), sizeof(cpu));
    channel_follow(ch, cpu);
    return rc;
}

static void channel_loop(struct channel *ch)
{
    for (;;) {
        /* MSG_TRUNC: the true size, so that an oversized message fails the header's check.
         * Descriptors sent to us are dropped by the kernel, as there is no room for them. */
        ssize_t got = recv(ch->fd, ch->in, sizeof(ch->in), MSG_TRUNC);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return;
        if (channel_serve_one(ch, got > (ssize_t)sizeof(ch->in) ? 0 : (size_t)got) < 0)
            return;
    }
}

void gofer_channel_serve(struct gofer_server *s, int fd)
{
    struct channel *ch = channel_make(s, fd);

    if (!ch)
        return;
    channel_loop(ch);
    free(ch);
}
