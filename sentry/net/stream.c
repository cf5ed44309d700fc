/* Connected sockets: byte streams (TCP, unix stream) and message streams (unix seqpacket).
 *
 * Sending appends packets to the peer's queue while it is below its limit; receiving takes from the
 * front of our own. A reader that takes part of a stream packet leaves the rest; ancillary data
 * ends a read. */
#include "base/overflow.h"
#include "net/net_priv.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define STREAM_CHUNK 65536 /* bytes per packet of a stream: bounds one allocation */

/* ---- connect
 * ------------------------------------------------------------------------------------------ */

static int connect_state_locked(struct socket *s)
{
    switch (s->state) {
    case SOCK_CONNECTED:
        return -EISCONN;
    case SOCK_LISTENING:
        return s->domain == AF_UNIX ? -EINVAL : -EISCONN;
    default:
        return s->error ? -s->error : 0;
    }
}

/* The accepted end, queued at the listener. 0, -EAGAIN (backlog full), -ECONNREFUSED. */
static int connect_locked(struct socket *s, struct socket *l, struct socket *server,
                          const struct net_addr *a)
{
    LOCK_GUARD(&g_net_lock);
    int err = connect_state_locked(s);
    if (err) {
        s->error = 0;
        return err;
    }
    if (l->state != SOCK_LISTENING)
        return -ECONNREFUSED;
    if (l->accept_count > l->backlog)
        return -EAGAIN;
    server->own_cred = l->own_cred;
    server->local = l->local;
    server->rcvbuf = l->rcvbuf;
    server->sndbuf = l->sndbuf;
    server->flags = l->flags & ~(unsigned)SOCKF_REUSEPORT;
    socket_connect_pair_locked(s, server);
    if (s->domain != AF_UNIX)
        inet_connection_names_locked(s, server, a);
    socket_get(server);
    list_push_back(&l->accept_queue, &server->accept_node);
    l->accept_count++;
    return 0;
}

static int connect_once(struct task *t, struct socket *s, const struct net_addr *a,
                        struct socket **listener)
{
    struct socket *l, *server;
    int err = s->family->find(t, s, a, &l);
    if (err)
        return err;
    err = socket_new(t, l->domain, s->type, s->protocol, &server);
    if (!err) {
        err = connect_locked(s, l, server, a);
        socket_put(server);
    }
    if (err == 0)
        waitq_wake(&l->wq, POLLIN | POLLRDNORM);
    if (err == -EAGAIN)
        *listener = l; /* the caller waits on it */
    else
        socket_put(l);
    return err;
}

int64_t stream_connect(struct task *t, struct socket *s, struct file *f, const struct net_addr *a)
{
    lock_acquire(&g_net_lock);
    socket_fill_cred(t, &s->own_cred);
    int err = connect_state_locked(s);
    s->error = 0;
    lock_release(&g_net_lock);
    if (!err && s->domain != AF_UNIX)
        err = s->family->autobind(t, s);
    while (!err) {
        struct socket *l = NULL;
        err = connect_once(t, s, a, &l);
        if (err != -EAGAIN)
            break;
        if (!socket_nonblocking(f, 0)) {
            err = wait_event(t, &l->wq, socket_deadline(s->sndtimeo),
                             l->accept_count <= l->backlog || l->state != SOCK_LISTENING);
            err = socket_wait_result(err, s->sndtimeo);
            if (err == 0) {
                socket_put(l);
                continue;
            }
        }
        socket_put(l);
        break;
    }
    if (err == 0)
        waitq_wake(&s->wq, ~0u);
    return err;
}

/* ---- packets and ancillary data
 * ------------------------------------------------------------------------ */

int64_t packet_fill(struct task *t, struct socket *s, struct net_msg *m, size_t size,
                    struct packet **out)
{
    struct packet *p = packet_new(size);
    if (!p)
        return -ENOBUFS;
    size_t n = size ? uio_from_user(m->uio, p->data, size) : 0;
    if (n < size) {
        packet_free(p);
        return -EFAULT;
    }
    if (m->file_count) {
        p->files = malloc(m->file_count * sizeof(p->files[0]));
        if (!p->files) {
            packet_free(p);
            return -ENOMEM;
        }
        memcpy(p->files, m->files, m->file_count * sizeof(p->files[0]));
        p->file_count = m->file_count;
        m->file_count = 0; /* moved */
    }
    if (m->has_creds)
        p->creds = m->creds;
    else
        p->creds = (struct ucred){.pid = t->process->pid, .uid = t->cred->uid, .gid = t->cred->gid};
    p->from = s->local;
    *out = p;
    return n;
}

void packet_attach(struct packet *p, struct socket *s, struct net_msg *m)
{
    if (p->file_count && !m->file_count) {
        memcpy(m->files, p->files, p->file_count * sizeof(p->files[0]));
        m->file_count = p->file_count;
        if (m->flags & MSG_PEEK) {
            for (unsigned i = 0; i < p->file_count; i++)
                file_get(p->files[i]);
        } else {
            p->file_count = 0;
        }
    }
    if (s->flags & SOCKF_PASSCRED) {
        m->creds = p->creds;
        m->has_creds = true;
    }
}

/* ---- send
 * --------------------------------------------------------------------------------------------- */

/* Why nothing can be sent now: 0 = it can, -EAGAIN = the peer's queue is full. */
static int send_state_locked(struct socket *s)
{
    if (s->error && s->domain != AF_UNIX) {
        int err = -s->error;
        s->error = 0;
        return err;
    }
    if (s->state == SOCK_IDLE || s->state == SOCK_LISTENING)
        return s->domain == AF_UNIX ? -ENOTCONN : -EPIPE;
    if (s->shut_write || !s->peer || s->peer->shut_read)
        return -EPIPE;
    return s->peer->rx_bytes >= MIN(s->peer->rcvbuf, s->sndbuf) ? -EAGAIN : 0;
}

static int send_state(struct socket *s)
{
    LOCK_GUARD(&g_net_lock);
    return send_state_locked(s);
}

/* *peer counted for the wake-up after the lock. */
static int enqueue(struct socket *s, struct packet *p, struct socket **peer)
{
    LOCK_GUARD(&g_net_lock);
    int err = send_state_locked(s);
    if (err)
        return err;
    list_push_back(&s->peer->rx, &p->node);
    s->peer->rx_bytes += p->size;
    *peer = s->peer;
    socket_get(*peer);
    return 0;
}

static int send_wait(struct task *t, struct socket *s, struct file *f, int flags, int64_t deadline)
{
    int err = send_state(s);
    if (err != -EAGAIN || socket_nonblocking(f, flags))
        return err;
    int r = wait_event_mask(t, &s->wq, ~0u, deadline, (err = send_state(s)) != -EAGAIN);
    return r ? socket_wait_result(r, s->sndtimeo) : err;
}

static int64_t send_piece(struct task *t, struct socket *s, struct net_msg *m, size_t size)
{
    struct packet *p;
    struct socket *peer;
    int64_t n = packet_fill(t, s, m, size, &p);
    if (n < 0)
        return n;
    int err = enqueue(s, p, &peer);
    if (err == -EAGAIN) { /* another writer was quicker; the limit is soft, so let this piece in */
        lock_acquire(&g_net_lock);
        err = s->peer ? 0 : -EPIPE;
        if (!err) {
            list_push_back(&s->peer->rx, &p->node);
            s->peer->rx_bytes += p->size;
            peer = s->peer;
            socket_get(peer);
        }
        lock_release(&g_net_lock);
    }
    if (err) {
        packet_free(p);
        return err;
    }
    waitq_wake(&peer->wq, POLLIN | POLLRDNORM);
    socket_put(peer);
    return n;
}

static int check_send(struct socket *s, struct net_msg *m)
{
    if (m->flags & MSG_OOB)
        return -EOPNOTSUPP;
    if (m->addr_size && s->domain == AF_UNIX)
        return s->state == SOCK_CONNECTED ? -EISCONN : -EOPNOTSUPP;
    if (s->type == SOCK_SEQPACKET && m->uio->remaining > s->sndbuf)
        return -EMSGSIZE;
    return 0;
}

int64_t stream_send(struct task *t, struct socket *s, struct file *f, struct net_msg *m)
{
    int64_t sent = 0, deadline = socket_deadline(s->sndtimeo);
    int err = check_send(s, m);
    if (err)
        return err;
    do {
        int64_t n = send_wait(t, s, f, m->flags, deadline);
        size_t size = socket_is_stream(s) ? MIN(m->uio->remaining, (uint64_t)STREAM_CHUNK)
                                          : m->uio->remaining;
        if (n == 0 && (size || !socket_is_stream(s)))
            n = send_piece(t, s, m, size);
        if (n < 0)
            return sent ? sent : n;
        sent += n;
    } while (m->uio->remaining && socket_is_stream(s));
    return sent;
}

/* ---- receive
 * ------------------------------------------------------------------------------------------ */

/* First packet to read: NULL with *err: 0 end of file, -EAGAIN nothing yet, others. recv_lock held,
 * so the packet stays until we take it out. */
static struct packet *first_packet(struct socket *s, int *err)
{
    LOCK_GUARD(&g_net_lock);
    struct packet *p = list_first(&s->rx, struct packet, node);
    *err = 0;
    if (p)
        return p;
    if (s->error) {
        *err = -s->error;
        s->error = 0;
    } else if (s->rx_eof || s->shut_read) {
        *err = 0;
    } else if (s->state == SOCK_IDLE || s->state == SOCK_LISTENING) {
        *err = s->domain == AF_UNIX ? -EINVAL : -ENOTCONN;
    } else {
        *err = -EAGAIN;
    }
    return NULL;
}

static struct packet *next_packet(struct socket *s, struct packet *p)
{
    LOCK_GUARD(&g_net_lock);
    return p->node.next == &s->rx.head ? NULL : list_entry(p->node.next, struct packet, node);
}

/* n bytes of p are done with; whole: the packet too. Wakes a sender that waits for room. */
static void consume(struct socket *s, struct packet *p, size_t n, bool whole)
{
    lock_acquire(&g_net_lock);
    s->rx_bytes -= n;
    if (whole)
        list_del(&p->node);
    struct socket *peer = s->peer;
    if (peer)
        socket_get(peer);
    lock_release(&g_net_lock);
    if (peer) {
        waitq_wake(&peer->wq, POLLOUT | POLLWRNORM);
        socket_put(peer);
    }
    if (whole)
        packet_free(p);
}

/* Copy from packets until the buffer is full, or ancillary data or another sender begins. */
static int64_t take_stream(struct socket *s, struct net_msg *m, struct packet *p)
{
    int64_t total = 0;
    struct ucred first = p->creds;
    bool peek = m->flags & MSG_PEEK;
    while (p && m->uio->remaining) {
        if (total && (p->file_count ||
                      ((s->flags & SOCKF_PASSCRED) && memcmp(&first, &p->creds, sizeof(first)))))
            break;
        bool had_files = p->file_count;
        packet_attach(p, s, m);
        size_t want = MIN(p->size - p->done, m->uio->remaining);
        size_t n = m->flags & MSG_TRUNC && s->domain != AF_UNIX
                       ? (uio_advance(m->uio, want), want)
                       : uio_to_user(m->uio, p->data + p->done, want);
        struct packet *next = next_packet(s, p);
        total += n;
        if (!peek) {
            p->done += n;
            consume(s, p, n, p->done == p->size);
        }
        if (n < want)
            return total ? total : -EFAULT;
        if (had_files)
            break;
        p = next;
    }
    return total;
}

static int64_t take_message(struct socket *s, struct net_msg *m, struct packet *p)
{
    size_t want = MIN(p->size, m->uio->remaining);
    packet_attach(p, s, m);
    size_t n = uio_to_user(m->uio, p->data, want);
    if (want < p->size)
        m->out_flags |= MSG_TRUNC;
    int64_t ret = n < want ? -EFAULT : m->flags & MSG_TRUNC ? (int64_t)p->size : (int64_t)n;
    if (s->type == SOCK_SEQPACKET)
        m->out_flags |= MSG_EOR;
    if (!(m->flags & MSG_PEEK))
        consume(s, p, p->size, /*whole=*/true);
    return ret;
}

static int64_t recv_once(struct socket *s, struct net_msg *m)
{
    int err;
    LOCK_GUARD(&s->recv_lock);
    struct packet *p = first_packet(s, &err);
    if (!p)
        return err;
    if (!socket_is_stream(s))
        return take_message(s, m, p);
    return take_stream(s, m, p);
}

static bool readable(struct socket *s)
{
    LOCK_GUARD(&g_net_lock);
    return !list_empty(&s->rx) || s->rx_eof || s->shut_read || s->error || s->state == SOCK_CLOSED;
}

int64_t stream_recv(struct task *t, struct socket *s, struct file *f, struct net_msg *m)
{
    int64_t total = 0, deadline = socket_deadline(s->rcvtimeo);
    if (m->flags & MSG_OOB)
        return s->domain == AF_UNIX ? -EOPNOTSUPP : -EINVAL;
    for (;;) {
        int64_t n = recv_once(s, m);
        bool waitall = (m->flags & MSG_WAITALL) && !(m->flags & MSG_PEEK) && socket_is_stream(s);
        if (n > 0)
            total += n;
        if (n > 0 && (!waitall || !m->uio->remaining || m->file_count))
            return total;
        if (n == 0 || (n < 0 && n != -EAGAIN))
            return total ? total : n;
        if (n > 0)
            continue;
        if (socket_nonblocking(f, m->flags))
            return total ? total : -EAGAIN;
        int r = wait_event_mask(t, &s->wq, POLLIN | POLLERR | POLLHUP | POLLRDHUP, deadline,
                                readable(s));
        if (r)
            return total ? total : socket_wait_result(r, s->rcvtimeo);
    }
}
