/* The calls on a socket's descriptor that are the same for all families: socket(2) … shutdown(2).
 */
#include "base/log.h"
#include "base/overflow.h"
#include "net/net_priv.h"
#include "time/time.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define SOCK_TYPE_BITS 0xf

int64_t net_socket(struct task *t, int family, int type, int protocol)
{
    struct socket *s;
    if (type & ~(SOCK_TYPE_BITS | SOCK_CLOEXEC | SOCK_NONBLOCK))
        return -EINVAL;
    int err = socket_new(t, family, type & SOCK_TYPE_BITS, protocol, &s);
    return err ? err : socket_install(t, s, type);
}

int net_socketpair(struct task *t, int family, int type, int protocol, struct file *out[2])
{
    struct socket *a, *b;
    int err = socket_new(t, family, type & SOCK_TYPE_BITS, protocol, &a);
    if (err)
        return err;
    err = family == AF_UNIX ? socket_new(t, family, type & SOCK_TYPE_BITS, protocol, &b)
                            : -EOPNOTSUPP;
    if (err) {
        socket_discard(a);
        return err;
    }
    lock_acquire(&g_net_lock);
    socket_connect_pair_locked(a, b);
    lock_release(&g_net_lock);
    err = socket_file(a, type, &out[0]);
    if (err) {
        socket_discard(b);
        return err;
    }
    err = socket_file(b, type, &out[1]);
    if (err)
        file_put(out[0]);
    return err;
}

static void addr_of(struct net_addr *a, const struct sockaddr_storage *ss, unsigned size)
{
    memset(a, 0, sizeof(*a));
    a->size = MIN(size, (unsigned)sizeof(a->ss));
    memcpy(&a->ss, ss, a->size);
}

int64_t net_bind(struct task *t, int fd, const struct sockaddr_storage *addr, unsigned size)
{
    struct file *f;
    struct socket *s;
    struct net_addr a;
    int64_t err = net_socket_of(t, fd, &f, &s);
    if (err)
        return err;
    addr_of(&a, addr, size);
    err = size < sizeof(sa_family_t) ? -EINVAL : s->family->bind(t, s, &a);
    file_put(f);
    return err;
}

/* ---- connect
 * ------------------------------------------------------------------------------------------ */

static struct socket *disconnect_locked(struct socket *s)
{
    struct socket *old = s->peer;
    s->peer = NULL;
    s->remote.size = 0;
    s->peer_gone = false;
    s->connecting = CONNECT_NONE;
    if (s->state == SOCK_CONNECTED && old && socket_is_connected_type(s)) {
        old->peer = NULL;
        old->peer_gone = true;
        stream_reset_locked(old);
        s->error = ECONNRESET;
        if (old != s)
            bug_on(ref_put(&s->ref)); /* the caller's descriptor holds one */
    }
    if (s->state == SOCK_LISTENING && socket_is_connected_type(s))
        return old;
    if (s->state == SOCK_CONNECTED || s->state == SOCK_DONE)
        s->state = SOCK_IDLE;
    s->rx_eof = s->shut_read = s->shut_write = s->fin_first = false;
    /* A port that was chosen for it goes back; a bound address stays. */
    if (s->named && !s->user_port && s->kind & K_UDP)
        inet_forget_port_locked(s);
    return old;
}

/* AF_UNSPEC dissolves an association: connect(2). */
static int disconnect(struct socket *s)
{
    if (socket_is_connected_type(s) && socket_is_unix(s))
        return -EINVAL;
    stream_pending_end(s);
    lock_acquire(&g_net_lock);
    struct socket *old = disconnect_locked(s);
    lock_release(&g_net_lock);
    if (old) {
        waitq_wake(&old->wq, ~0u);
        socket_put(old);
    }
    waitq_wake(&s->wq, ~0u);
    return 0;
}

static int connect_to(struct task *t, struct socket *s, struct file *f, const struct net_addr *a)
{
    if (a->size < sizeof(sa_family_t))
        return -EINVAL;
    if (s->family->connect)
        return s->family->connect(t, s, f, a);
    if (a->ss.ss_family == AF_UNSPEC)
        return disconnect(s);
    int err = s->family->check ? s->family->check(s, a) : 0;
    if (err)
        return err;
    if (s->kind & (K_RAW | K_PING))
        return raw_connect(t, s, a);
    return socket_is_connected_type(s) ? stream_connect(t, s, f, a) : dgram_connect(t, s, a);
}

int64_t net_connect(struct task *t, int fd, const struct sockaddr_storage *addr, unsigned size)
{
    struct file *f;
    struct socket *s;
    struct net_addr a;
    int64_t err = net_socket_of(t, fd, &f, &s);
    if (err)
        return err;
    addr_of(&a, addr, size);
    err = connect_to(t, s, f, &a);
    file_put(f);
    return err;
}

/* ---- listen, accept
 * ------------------------------------------------------------------------------------------ */

static int listen_locked(struct socket *s, int backlog, struct peer_id **id)
{
    LOCK_GUARD(&g_net_lock);
    if (s->state != SOCK_IDLE && s->state != SOCK_LISTENING)
        return -EINVAL;
    s->backlog = MIN((unsigned)backlog, (unsigned)net_knob(NET_SOMAXCONN_KNOB));
    s->state = SOCK_LISTENING;
    s->shut_read = s->shut_write = false;
    struct peer_id *old = s->own_id; /* who listens is who the clients see */
    if (socket_is_unix(s)) {
        s->own_id = *id;
        *id = old;
    }
    return 0;
}

static int listen_on(struct task *t, struct socket *s, int backlog)
{
    int err = 0;
    if (s->family->provider)
        return s->family->provider->listen(s, backlog);
    if (!socket_is_connected_type(s))
        return -EOPNOTSUPP;
    if (socket_is_unix(s) && !s->local.size)
        return -EINVAL;
    if (s->state != SOCK_IDLE && s->state != SOCK_LISTENING)
        return -EINVAL;
    if (!socket_is_unix(s))
        err = s->family->autobind(t, s);
    if (!err && s->kind & K_TCP && s->state != SOCK_LISTENING)
        err = inet_may_listen(s);
    struct peer_id *id = socket_is_unix(s) ? peer_id_new(t) : NULL;
    if (!err && socket_is_unix(s) && !id)
        err = -ENOMEM;
    if (!err)
        err = listen_locked(s, backlog, &id);
    peer_id_put(id);
    return err;
}

int64_t net_listen(struct task *t, int fd, int backlog)
{
    struct file *f;
    struct socket *s;
    int64_t err = net_socket_of(t, fd, &f, &s);
    if (err)
        return err;
    err = listen_on(t, s, backlog);
    file_put(f);
    return err;
}

static struct socket *accept_take(struct socket *s, int *err)
{
    LOCK_GUARD(&g_net_lock);
    *err = s->state != SOCK_LISTENING ? -EINVAL : -EAGAIN;
    struct socket *c = s->state == SOCK_LISTENING
                           ? list_first(&s->accept_queue, struct socket, accept_node)
                           : NULL;
    if (!c)
        return NULL;
    list_del(&c->accept_node);
    s->accept_count--;
    *err = 0;
    return c; /* the queue's reference is the caller's now */
}

static int accept_wait(struct task *t, struct socket *s, struct file *f, struct socket **out)
{
    int err = 0;
    if (s->family->provider)
        return s->family->provider->accept(t, s, f, out);
    if (!socket_is_connected_type(s))
        return -EOPNOTSUPP;
    *out = accept_take(s, &err);
    if (*out || err != -EAGAIN || socket_nonblocking(f, 0))
        return err;
    int r = wait_event_mask(t, &s->wq, ~0u, socket_deadline(s->rcvtimeo),
                            (*out = accept_take(s, &err)) || err != -EAGAIN);
    return r ? socket_wait_result(r, s->rcvtimeo) : err;
}

int64_t net_accept(struct task *t, int fd, int flags, struct sockaddr_storage *addr, unsigned *size)
{
    struct file *f;
    struct socket *s, *c;
    int64_t ret = net_socket_of(t, fd, &f, &s);
    if (ret != -EBADF && flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK)) {
        if (!ret)
            file_put(f);
        return -EINVAL;
    }
    if (ret)
        return ret;
    ret = accept_wait(t, s, f, &c);
    if (ret == 0) {
        stream_admit(t, s);
        waitq_wake(&s->wq, POLLOUT); /* a connector may wait for room in the backlog */
        *size = c->remote.size ? c->remote.size : sizeof(sa_family_t);
        memcpy(addr, &c->remote.ss, sizeof(*addr));
        if (!c->remote.size)
            addr->ss_family = c->domain;
        ret = socket_install(t, c, flags);
    }
    file_put(f);
    return ret;
}

/* ---- shutdown, names
 * ------------------------------------------------------------------------------------------ */

/* TCP and UDP: what is not connected is told so, but hears nothing more all the same. */
static int shutdown_unconnected(struct socket *s, int how)
{
    if (!socket_is_unix(s) && s->state != SOCK_LISTENING) {
        s->shut_read |= how != SHUT_WR;
        s->shut_write |= how != SHUT_RD;
    }
    return -ENOTCONN;
}

static int shutdown_locked(struct socket *s, int how, struct socket **peer)
{
    LOCK_GUARD(&g_net_lock);
    if (s->state == SOCK_LISTENING && !socket_is_unix(s)) {
        if (how != SHUT_WR)
            s->state = SOCK_IDLE;
        return 0;
    }
    if (s->kind & K_TCP && s->state == SOCK_CONNECTED && s->shut_write && s->rx_eof)
        return -ENOTCONN;
    if (s->state != SOCK_CONNECTED && !(socket_is_unix(s)))
        return shutdown_unconnected(s, how);
    if (how != SHUT_WR)
        s->shut_read = true;
    if (how != SHUT_RD && !s->shut_write) {
        s->shut_write = true;
        s->fin_first = !s->rx_eof;
    }
    if (s->peer && socket_is_connected_type(s)) {
        *peer = s->peer;
        socket_get(*peer);
        if (how != SHUT_RD)
            (*peer)->rx_eof = true;
        if (how != SHUT_RD && socket_is_unix(s))
            (*peer)->shut_read = true;
        if (how != SHUT_WR && socket_is_unix(s))
            (*peer)->shut_write = true;
        stream_update_state_locked(*peer);
    }
    stream_update_state_locked(s);
    return 0;
}

int64_t net_shutdown(struct task *t, int fd, int how)
{
    struct file *f;
    struct socket *s, *peer = NULL;
    int64_t err = net_socket_of(t, fd, &f, &s);
    if (err)
        return err;
    if (s->family->provider)
        err = s->family->provider->shutdown(s, how);
    else if (s->kind & (K_NETLINK | K_PACKET))
        err = -EOPNOTSUPP;
    else
        err = how < SHUT_RD || how > SHUT_RDWR ? -EINVAL : shutdown_locked(s, how, &peer);
    waitq_wake(&s->wq, ~0u);
    if (peer) {
        waitq_wake(&peer->wq, ~0u);
        socket_put(peer);
    }
    file_put(f);
    return err;
}

static int name_of(struct socket *s, bool peer, struct net_addr *a)
{
    if (s->family->provider)
        return s->family->name(s, peer, a);
    LOCK_GUARD(&g_net_lock);
    if (s->family->name)
        return s->family->name(s, peer, a);
    *a = peer ? s->remote : s->local;
    if (peer && s->state != SOCK_CONNECTED)
        return -ENOTCONN;
    if (peer && !socket_is_connected_type(s) && !socket_is_unix(s) && !a->size)
        return -ENOTCONN;
    return 0;
}

int64_t net_getname(struct task *t, int fd, bool peer, struct sockaddr_storage *addr,
                    unsigned *size)
{
    struct file *f;
    struct socket *s;
    struct net_addr a = {.size = 0};
    int64_t err = net_socket_of(t, fd, &f, &s);
    if (err)
        return err;
    err = name_of(s, peer, &a);
    if (!a.size) {
        memset(&a, 0, sizeof(a));
        a.ss.ss_family = s->domain;
        a.size = s->domain == AF_INET    ? sizeof(struct sockaddr_in)
                 : s->domain == AF_INET6 ? sizeof(struct sockaddr_in6)
                                         : sizeof(sa_family_t);
    }
    memcpy(addr, &a.ss, sizeof(*addr));
    *size = a.size;
    file_put(f);
    return err;
}

/* ---- options, messages
 * ------------------------------------------------------------------------------------------ */

int64_t net_setsockopt(struct task *t, int fd, int level, int name, const void *value,
                       unsigned size, bool fault)
{
    struct file *f;
    struct socket *s;
    const struct opt_in in = {.value = value, .size = size, .fault = fault};
    int64_t err = net_socket_of(t, fd, &f, &s);
    if (err)
        return err;
    err = (int)size < 0 ? -EINVAL : socket_setopt(t, s, level, name, &in);
    file_put(f);
    return err;
}

int64_t net_getsockopt(struct task *t, int fd, int level, int name, void *value, unsigned *size)
{
    struct file *f;
    struct socket *s;
    int64_t err = net_socket_of(t, fd, &f, &s);
    if (err)
        return err;
    err = socket_getopt(t, s, level, name, value, size);
    file_put(f);
    return err;
}

void net_set_error(struct socket *s, int err)
{
    LOCK_GUARD(&g_net_lock);
    s->error = err;
}

int net_pidfd_install(struct task *t, struct process *p)
{
    struct file *f;
    int err = pidfd_new(p, 0, &f);
    if (err)
        return err;
    int fd = fdtable_install(t, f, 0, /*cloexec=*/true);
    if (fd < 0)
        file_put(f);
    return fd;
}

int64_t net_sendmsg(struct task *t, struct socket *s, struct file *f, struct net_msg *m)
{
    if (s->family->send)
        return s->family->send(t, s, f, m);
    if (s->kind & (K_RAW | K_PING))
        return raw_send(t, s, f, m);
    if (s->kind & K_UDP)
        return udp_send(t, s, f, m);
    int64_t ret = socket_is_connected_type(s) ? stream_send(t, s, f, m) : dgram_send(t, s, f, m);
    if (ret == -EPIPE && socket_is_stream(s) && !(m->flags & MSG_NOSIGNAL))
        (void)signal_send_task(t, SIGPIPE, NULL);
    return ret;
}

int64_t net_recvmsg(struct task *t, struct socket *s, struct file *f, struct net_msg *m)
{
    if (s->family->provider)
        return s->family->provider->recv(t, s, f, m);
    if (m->flags & MSG_ERRQUEUE)
        return s->kind & K_INET ? errqueue_recv(s, m) : -EAGAIN;
    return socket_is_connected_type(s) ? stream_recv(t, s, f, m) : dgram_recv(t, s, f, m);
}
