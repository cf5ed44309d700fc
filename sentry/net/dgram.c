/* Datagrams: unix and UDP. A message goes whole into the receiver's queue or not at all. */
#include "base/overflow.h"
#include "net/net_priv.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define UDP_MAX_PAYLOAD 65507

/* ---- send
 * --------------------------------------------------------------------------------------------- */

static int pending_error(struct socket *s)
{
    LOCK_GUARD(&g_net_lock);
    int err = s->error;
    s->error = 0;
    return -err;
}

/* The receiver, counted: the address given, else the association. */
static int destination(struct task *t, struct socket *s, struct net_msg *m, struct socket **out)
{
    struct net_addr a = {.size = m->addr_size};
    if (m->addr_size) {
        memcpy(&a.ss, &m->addr, sizeof(a.ss));
        int err = s->family->check ? s->family->check(s, &a) : 0;
        return err ? err : s->family->find(t, s, &a, out);
    }
    lock_acquire(&g_net_lock);
    struct socket *peer = s->peer;
    if (peer)
        socket_get(peer);
    a = s->remote;
    bool gone = s->peer_gone;
    lock_release(&g_net_lock);
    if (peer) {
        *out = peer;
        return 0;
    }
    if (!a.size)
        return gone ? -ECONNREFUSED : s->domain == AF_UNIX ? -ENOTCONN : -EDESTADDRREQ;
    return s->family->refuses_when_gone ? s->family->find(t, s, &a, out) : -ECONNREFUSED;
}

static int room_locked(struct socket *s, struct socket *dest, size_t size)
{
    if (s->shut_write)
        return -EPIPE;
    if (dest->state == SOCK_CLOSED)
        return -ECONNREFUSED;
    if (dest->shut_read)
        return -EPIPE;
    if (dest->peer && dest->peer != s && s->domain == AF_UNIX)
        return -EPERM; /* it hears only the one it is connected to */
    if (dest->rx_bytes + size > dest->rcvbuf && dest->rx_bytes)
        return -EAGAIN;
    return 0;
}

static int room(struct socket *s, struct socket *dest, size_t size)
{
    LOCK_GUARD(&g_net_lock);
    return room_locked(s, dest, size);
}

static int deliver(struct socket *s, struct socket *dest, struct packet *p)
{
    lock_acquire(&g_net_lock);
    int err = room_locked(s, dest, p->size);
    if (!err) {
        list_push_back(&dest->rx, &p->node);
        dest->rx_bytes += p->size + 1; /* empty messages take room too */
    }
    lock_release(&g_net_lock);
    if (!err)
        waitq_wake(&dest->wq, POLLIN | POLLRDNORM);
    return err;
}

static int64_t send_to(struct task *t, struct socket *s, struct file *f, struct net_msg *m,
                       struct socket *dest)
{
    size_t size = m->uio->remaining;
    struct packet *p;
    int64_t n = packet_fill(t, s, m, size, &p);
    if (n < 0)
        return n;
    int err;
    if (s->domain != AF_UNIX)
        inet_sender_name(s, dest, &p->from);
    while ((err = deliver(s, dest, p)) == -EAGAIN) {
        if (s->family->drops_when_full) {
            packet_free(p);
            return n;
        }
        if (socket_nonblocking(f, m->flags))
            break;
        int r = wait_event_mask(t, &dest->wq, ~0u, socket_deadline(s->sndtimeo),
                                room(s, dest, size) != -EAGAIN);
        if (r) {
            err = socket_wait_result(r, s->sndtimeo);
            break;
        }
    }
    if (err) {
        packet_free(p);
        return err;
    }
    return n;
}

int64_t dgram_send(struct task *t, struct socket *s, struct file *f, struct net_msg *m)
{
    struct socket *dest;
    if (m->flags & MSG_OOB)
        return -EOPNOTSUPP;
    if (m->uio->remaining > (s->domain == AF_UNIX ? s->sndbuf : UDP_MAX_PAYLOAD))
        return -EMSGSIZE;
    int64_t err = pending_error(s);
    if (!err)
        err = destination(t, s, m, &dest);
    if (s->family->refuses_when_gone && err == -ECONNREFUSED) {
        /* Nobody there: the datagram is gone, and a connected sender hears of it next time (ICMP).
         */
        lock_acquire(&g_net_lock);
        if (s->remote.size && !m->addr_size)
            s->error = ECONNREFUSED;
        lock_release(&g_net_lock);
        err = s->family->autobind(t, s);
        return err ? err : (int64_t)m->uio->remaining;
    }
    if (err)
        return err;
    if (s->domain != AF_UNIX)
        err = s->family->autobind(t, s);
    if (!err)
        err = send_to(t, s, f, m, dest);
    socket_put(dest);
    return err;
}

/* ---- receive
 * ------------------------------------------------------------------------------------------ */

static struct packet *peek_first(struct socket *s, int *err)
{
    LOCK_GUARD(&g_net_lock);
    struct packet *p = list_first(&s->rx, struct packet, node);
    *err = -EAGAIN;
    if (s->error) {
        *err = -s->error;
        s->error = 0;
        return NULL;
    }
    if (!p && (s->shut_read || s->rx_eof))
        *err = 0;
    return p;
}

static void finish(struct socket *s, struct packet *p)
{
    lock_acquire(&g_net_lock);
    list_del(&p->node);
    s->rx_bytes -= p->size + 1;
    struct socket *peer = s->peer;
    if (peer)
        socket_get(peer);
    lock_release(&g_net_lock);
    waitq_wake(&s->wq, POLLOUT | POLLWRNORM); /* senders wait on the receiver's queue */
    if (peer) {
        waitq_wake(&peer->wq, POLLOUT | POLLWRNORM);
        socket_put(peer);
    }
    packet_free(p);
}

static int64_t recv_once(struct socket *s, struct net_msg *m)
{
    int err;
    LOCK_GUARD(&s->recv_lock);
    struct packet *p = peek_first(s, &err);
    if (!p)
        return err;
    size_t want = MIN(p->size, m->uio->remaining);
    size_t n = uio_to_user(m->uio, p->data, want);
    packet_attach(p, s, m);
    m->addr = p->from.ss;
    m->addr_size = p->from.size;
    if (want < p->size)
        m->out_flags |= MSG_TRUNC;
    int64_t ret = n < want ? -EFAULT : m->flags & MSG_TRUNC ? (int64_t)p->size : (int64_t)n;
    if (!(m->flags & MSG_PEEK))
        finish(s, p);
    return ret;
}

static bool readable(struct socket *s)
{
    LOCK_GUARD(&g_net_lock);
    return !list_empty(&s->rx) || s->shut_read || s->rx_eof || s->error;
}

int64_t dgram_recv(struct task *t, struct socket *s, struct file *f, struct net_msg *m)
{
    if (m->flags & MSG_OOB)
        return -EOPNOTSUPP;
    for (;;) {
        int64_t n = recv_once(s, m);
        if (n != -EAGAIN || socket_nonblocking(f, m->flags))
            return n;
        int r = wait_event_mask(t, &s->wq, POLLIN | POLLERR | POLLHUP | POLLRDHUP,
                                socket_deadline(s->rcvtimeo), readable(s));
        if (r)
            return socket_wait_result(r, s->rcvtimeo);
    }
}
