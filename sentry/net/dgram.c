/* Datagrams: what all families receive, and how unix sends. A message goes whole into the
 * receiver's queue or not at all. */
#include "base/overflow.h"
#include "net/net_priv.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

/* ---- send
 * --------------------------------------------------------------------------------------------- */

/* The receiver, counted: the address given, else the association. */
static int destination(struct task *t, struct socket *s, struct net_msg *m, struct socket **out)
{
    struct net_addr a = {.size = m->addr_size};
    if (m->addr_size) {
        memcpy(&a.ss, &m->addr, sizeof(a.ss));
        int err = s->family->check(s, &a);
        return err ? err : s->family->find(t, s, &a, out);
    }
    lock_acquire(&g_net_lock);
    struct socket *peer = s->peer;
    bool gone = peer && peer->state == SOCK_CLOSED;
    if (gone) { /* told once, and the association is dissolved */
        s->peer = NULL;
        s->state = SOCK_IDLE;
        s->remote.size = 0;
    } else if (peer) {
        socket_get(peer);
    }
    lock_release(&g_net_lock);
    if (gone)
        socket_put(peer);
    *out = peer;
    return gone ? -ECONNREFUSED : peer ? 0 : -ENOTCONN;
}

static int room_locked(struct socket *s, struct socket *dest, size_t size)
{
    if (s->shut_write)
        return -EPIPE;
    if (dest->state == SOCK_CLOSED)
        return -ECONNREFUSED;
    if (dest->shut_read)
        return -EPIPE;
    if (dest->peer && dest->peer != s)
        return -EPERM; /* it hears only the one it is connected to */
    if (dest->peer != s && dest->rx_count > net_knob(NET_UNIX_QLEN))
        return -EAGAIN;
    return dest->rx_bytes + size > s->sndbuf && dest->rx_bytes ? -EAGAIN : 0;
}

static int room(struct socket *s, struct socket *dest, size_t size)
{
    LOCK_GUARD(&g_net_lock);
    return room_locked(s, dest, size);
}

static void queue_locked(struct socket *dest, struct packet *p)
{
    list_push_back(&dest->rx, &p->node);
    dest->rx_bytes += p->size + sizeof(*p); /* empty messages take room too */
    dest->rx_count++;
}

static int deliver(struct socket *s, struct socket *dest, struct packet *p)
{
    lock_acquire(&g_net_lock);
    int err = room_locked(s, dest, p->size);
    size_t keep = err ? 0 : filter_run(dest, p, NULL, 0);
    if (!err && dest->filter && !keep)
        err = 1; /* the filter does not want it */
    if (!err) {
        if (keep < p->size)
            p->size = keep;
        queue_locked(dest, p);
    }
    lock_release(&g_net_lock);
    if (!err)
        waitq_wake(&dest->wq, POLLIN | POLLRDNORM);
    return err;
}

int dgram_queue(struct socket *to, struct packet *p)
{
    lock_acquire(&g_net_lock);
    bool fits = to->rx_bytes + p->size + sizeof(*p) <= to->rcvbuf || !to->rx_bytes;
    bool ok = fits && to->state != SOCK_CLOSED;
    if (ok)
        queue_locked(to, p);
    else
        to->drops++;
    lock_release(&g_net_lock);
    if (ok)
        waitq_wake(&to->wq, POLLIN | POLLRDNORM);
    else
        packet_free(p);
    return ok ? 0 : -EAGAIN;
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
    while ((err = deliver(s, dest, p)) == -EAGAIN) {
        if (socket_nonblocking(f, m->flags))
            break;
        int r = wait_event_mask(t, &dest->wq, ~0u, socket_deadline(s->sndtimeo),
                                room(s, dest, size) != -EAGAIN);
        if (r) {
            err = socket_wait_result(r, s->sndtimeo);
            break;
        }
    }
    if (err)
        packet_free(p);
    return err < 0 ? err : n;
}

int64_t dgram_send(struct task *t, struct socket *s, struct file *f, struct net_msg *m)
{
    struct socket *dest;
    if (m->flags & MSG_OOB)
        return -EOPNOTSUPP;
    int64_t err = socket_take_error(s);
    if (!err && m->uio->remaining > s->sndbuf - MIN(s->sndbuf, (uint64_t)32))
        err = -EMSGSIZE;
    if (!err)
        err = destination(t, s, m, &dest);
    if (err)
        return err;
    if ((s->opt[OPT_PASSCRED] || s->opt[OPT_PASSPIDFD]) && !s->local.size)
        err = s->family->autobind(t, s);
    if (!err)
        err = send_to(t, s, f, m, dest);
    socket_put(dest);
    return err;
}

/* ---- connect
 * ------------------------------------------------------------------------------------------ */

static int unix_dgram_connect(struct task *t, struct socket *s, const struct net_addr *a)
{
    struct socket *dest = NULL;
    int err = s->family->find(t, s, a, &dest);
    if (!err && s->opt[OPT_PASSCRED] && !s->local.size)
        err = s->family->autobind(t, s);
    if (err) {
        if (dest)
            socket_put(dest);
        return err;
    }
    lock_acquire(&g_net_lock);
    struct socket *old = s->peer;
    if (dest->peer && dest->peer != s)
        err = -EPERM;
    if (!err) {
        s->peer = dest;
        s->remote = *a;
        s->state = SOCK_CONNECTED;
        s->peer_gone = false;
    }
    lock_release(&g_net_lock);
    if (err)
        socket_put(dest);
    else if (old)
        socket_put(old);
    return err;
}

/* UDP keeps only the address: the receiver may come and go. */
int dgram_connect(struct task *t, struct socket *s, const struct net_addr *a)
{
    if (socket_is_unix(s))
        return unix_dgram_connect(t, s, a);
    int err = inet_reachable_addr(s, a);
    if (!err)
        err = s->family->autobind(t, s);
    if (err)
        return err;
    LOCK_GUARD(&g_net_lock);
    inet_connected_locked(s, a);
    return 0;
}

/* ---- receive
 * ------------------------------------------------------------------------------------------ */

/* The first message, or the one at the peek offset; *skip: bytes of it that were peeked before. */
static struct packet *peek_first(struct socket *s, bool peek, size_t *skip, int *err)
{
    LOCK_GUARD(&g_net_lock);
    struct packet *p;
    *err = -EAGAIN;
    *skip = 0;
    if (s->error) {
        *err = -s->error;
        s->error = 0;
        return NULL;
    }
    int off = peek ? s->opt[OPT_PEEK_OFF] : -1;
    list_for_each(p, &s->rx, node)
    {
        if (off <= 0 || (size_t)off < p->size) {
            *skip = MAX(off, 0);
            return p;
        }
        off -= p->size;
    }
    if (s->shut_read)
        *err = 0;
    return NULL;
}

static void finish(struct socket *s, struct packet *p)
{
    lock_acquire(&g_net_lock);
    list_del(&p->node);
    s->rx_bytes -= p->size + sizeof(*p);
    s->rx_count--;
    if (s->opt[OPT_PEEK_OFF] > 0)
        s->opt[OPT_PEEK_OFF] = MAX(0, s->opt[OPT_PEEK_OFF] - (int)p->size);
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

static void source_name(struct socket *s, struct packet *p, struct net_msg *m)
{
    m->addr = p->from.ss;
    m->addr_size = p->from.size;
}

static int64_t recv_once(struct socket *s, struct net_msg *m)
{
    int err;
    size_t skip;
    bool peek = m->flags & MSG_PEEK;
    LOCK_GUARD(&s->recv_lock);
    struct packet *p = peek_first(s, peek, &skip, &err);
    if (!p)
        return err;
    size_t want = MIN(p->size - skip, m->uio->remaining);
    size_t n = uio_to_user(m->uio, p->data + skip, want);
    if (n < want && !(s->kind & K_UNIX) && !peek) {
        finish(s, p); /* as Linux: a datagram that cannot be copied is lost */
        return -EFAULT;
    }
    packet_attach(p, s, m);
    source_name(s, p, m);
    if (want < p->size - skip)
        m->out_flags |= MSG_TRUNC;
    int64_t ret = n < want               ? -EFAULT
                  : m->flags & MSG_TRUNC ? (int64_t)(p->size - skip)
                                         : (int64_t)n;
    if (peek && s->opt[OPT_PEEK_OFF] >= 0)
        s->opt[OPT_PEEK_OFF] += n;
    if (!peek)
        finish(s, p);
    return ret;
}

static bool readable(struct socket *s, bool peek)
{
    LOCK_GUARD(&g_net_lock);
    uint64_t data = s->rx_bytes - s->rx_count * sizeof(struct packet);
    bool news = !peek || s->opt[OPT_PEEK_OFF] <= 0 || data > (uint64_t)s->opt[OPT_PEEK_OFF];
    return (!list_empty(&s->rx) && news) || s->shut_read || s->error;
}

int64_t dgram_recv(struct task *t, struct socket *s, struct file *f, struct net_msg *m)
{
    int64_t deadline = socket_deadline(s->rcvtimeo);
    if ((m->flags & MSG_OOB) && s->kind & (K_UNIX | K_RAW | K_PING | K_NETLINK))
        return -EOPNOTSUPP;
    for (;;) {
        int64_t n = recv_once(s, m);
        if (n != -EAGAIN || socket_nonblocking(f, m->flags))
            return n;
        int r = wait_event_mask(t, &s->wq, POLLIN | POLLERR | POLLHUP | POLLRDHUP, deadline,
                                readable(s, m->flags & MSG_PEEK));
        if (r)
            return socket_wait_result(r, s->rcvtimeo);
    }
}
