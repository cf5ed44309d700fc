/* Connected sockets: byte streams (TCP, unix stream) and message streams (unix seqpacket).
 *
 * Sending appends packets to the peer's queue while it is below its limit; receiving takes from the
 * front of our own. A reader that takes part of a stream packet leaves the rest; ancillary data
 * ends a read. Urgent data is a packet of one byte that a read stops in front of.
 *
 * The end of a TCP connection: each side's end of file (shutdown or close) is rx_eof at the other;
 * when both have gone the sockets are done. Writing to a side that is closed meets a reset. */
#include "base/overflow.h"
#include "net/net_priv.h"
#include "time/time.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define STREAM_CHUNK 65536 /* bytes per packet of a stream: bounds one allocation */

/* ---- states
 * ------------------------------------------------------------------------------------------ */

void stream_update_state_locked(struct socket *s)
{
    if (s->kind & K_TCP && s->state == SOCK_CONNECTED && s->rx_eof && s->shut_write)
        s->state = SOCK_DONE;
}

void stream_reset_locked(struct socket *s)
{
    if (s->kind & K_TCP) {
        s->error = s->rx_eof ? EPIPE : ECONNRESET;
        s->state = SOCK_DONE;
    } else {
        s->error = ECONNRESET;
    }
    s->fin_first = false;
    s->peer_gone = true;
    s->shut_read = s->shut_write = true;
}

int stream_tcp_state(const struct socket *s)
{
    switch (s->state) {
    case SOCK_LISTENING:
        return TCP_LISTEN;
    case SOCK_TIME_WAIT:
        return TCP_TIME_WAIT;
    case SOCK_CONNECTED:
        return s->rx_eof ? TCP_CLOSE_WAIT : s->shut_write ? TCP_FIN_WAIT2 : TCP_ESTABLISHED;
    default:
        return TCP_CLOSE;
    }
}

/* ---- connect
 * ------------------------------------------------------------------------------------------ */

/* What an earlier connect has left to tell. */
static int connect_told_locked(struct socket *s)
{
    int was = s->connecting;
    s->connecting = CONNECT_NONE;
    if (was == CONNECT_OK)
        return 1;
    if (was == CONNECT_WAITING) {
        s->connecting = was;
        return -EALREADY;
    }
    int err = s->error ? -s->error : -ECONNABORTED;
    s->error = 0;
    s->shut_read = s->shut_write = false;
    return err;
}

static int connect_state_locked(struct socket *s)
{
    if (s->connecting)
        return connect_told_locked(s);
    switch (s->state) {
    case SOCK_CONNECTED:
        return -EISCONN;
    case SOCK_DONE: /* the address stays until it is dissolved */
        return -EISCONN;
    case SOCK_LISTENING:
        return socket_is_unix(s) ? -EINVAL : -EISCONN;
    default:
        return s->error ? -s->error : 0;
    }
}

/* The accepted end is made like the listener. */
static void inherit_locked(struct socket *server, struct socket *l)
{
    server->own_id = l->own_id;
    if (server->own_id)
        ref_get(&server->own_id->ref);
    server->local = l->local;
    server->rcvbuf = l->rcvbuf;
    server->sndbuf = l->sndbuf;
    if (socket_is_unix(l)) {
        server->opt[OPT_PASSCRED] = l->opt[OPT_PASSCRED];
        server->opt[OPT_PASSPIDFD] = l->opt[OPT_PASSPIDFD];
        server->opt[OPT_PASSSEC] = l->opt[OPT_PASSSEC];
        return;
    }
    memcpy(server->opt, l->opt, sizeof(l->opt));
    memcpy(server->congestion, l->congestion, sizeof(l->congestion));
    server->linger = l->linger;
    server->rcvtimeo = l->rcvtimeo;
    server->sndtimeo = l->sndtimeo;
    server->filter = filter_get(l->filter);
}

static void establish_locked(struct socket *s, struct socket *l, struct socket *server,
                             const struct net_addr *a)
{
    inherit_locked(server, l);
    socket_connect_pair_locked(s, server);
    if (!socket_is_unix(s)) {
        inet_connection_names_locked(s, server, a);
        inet_accepted_locked(server, l);
        s->shut_read = s->shut_write = s->rx_eof = s->fin_first = false;
        s->sndbuf = server->sndbuf = s->opt[OPT_BUF_LOCK] & 1 ? s->sndbuf : 2626560;
        s->last_in_ns = s->last_out_ns = server->last_in_ns = server->last_out_ns = time_now();
    }
    socket_get(server);
    list_push_back(&l->accept_queue, &server->accept_node);
    l->accept_count++;
}

/* The accepted end, queued at the listener. 0, -EAGAIN (backlog full), -ECONNREFUSED. */
static int connect_locked(struct socket *s, struct socket *l, struct socket *server,
                          const struct net_addr *a)
{
    LOCK_GUARD(&g_net_lock);
    if (s->state != SOCK_IDLE && s->state != SOCK_DONE)
        return -EISCONN;
    if (l->state != SOCK_LISTENING || (socket_is_unix(l) && l->shut_read))
        return -ECONNREFUSED;
    if (l->accept_count > l->backlog)
        return -EAGAIN;
    establish_locked(s, l, server, a);
    return 0;
}

/* A TCP socket that connects to its own name is its own peer. */
static int connect_self(struct socket *s, const struct net_addr *a)
{
    struct inet_name to, own;
    LOCK_GUARD(&g_net_lock);
    if (inet_name_parse(s, a, &to) || s->state != SOCK_IDLE)
        return -ECONNREFUSED;
    inet_to_local(&to, s);
    inet_name_local(s, &own);
    inet_to_local(&own, s);
    if (to.port != own.port || !IN6_ARE_ADDR_EQUAL(&to.ip, &own.ip))
        return -ECONNREFUSED;
    inet_connection_names_locked(s, s, a);
    socket_get(s);
    s->peer = s;
    s->state = SOCK_CONNECTED;
    return 0;
}

static int connect_once(struct task *t, struct socket *s, const struct net_addr *a,
                        struct socket **listener)
{
    struct socket *l, *server;
    int err = s->family->find(t, s, a, &l);
    if (err == -ECONNREFUSED && s->kind & K_TCP)
        return connect_self(s, a);
    if (err)
        return err;
    err = socket_new(t, l->domain, s->type, s->protocol, &server);
    if (!err) {
        socket_same_ns(server, l);
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

static bool listener_has_room(struct socket *l)
{
    LOCK_GUARD(&g_net_lock);
    return l->accept_count <= l->backlog || l->state != SOCK_LISTENING;
}

/* TCP: s is let in as soon as somebody is accepted. */
static int pending_add(struct socket *s, struct socket *l, const struct net_addr *a)
{
    LOCK_GUARD(&g_net_lock);
    if (l->state != SOCK_LISTENING || s->pending_at)
        return -ECONNREFUSED;
    socket_get(s);
    socket_get(l);
    s->pending_at = l;
    s->remote = *a;
    list_push_back(&l->pending, &s->accept_node);
    return -EAGAIN;
}

static bool admit_one(struct task *t, struct socket *l, struct socket *server)
{
    lock_acquire(&g_net_lock);
    struct socket *c = list_first(&l->pending, struct socket, accept_node);
    bool room = c && l->state == SOCK_LISTENING && l->accept_count <= l->backlog;
    if (room) {
        struct net_addr to = c->remote;
        list_del(&c->accept_node);
        c->pending_at = NULL;
        establish_locked(c, l, server, &to);
        c->connecting = CONNECT_OK;
    }
    lock_release(&g_net_lock);
    if (!room)
        return false;
    waitq_wake(&l->wq, POLLIN | POLLRDNORM);
    waitq_wake(&c->wq, ~0u);
    socket_put(c);
    socket_put(l);
    return true;
}

void stream_admit(struct task *t, struct socket *l)
{
    for (bool more = true; more;) {
        struct socket *server;
        lock_acquire(&g_net_lock);
        bool any = !list_empty(&l->pending);
        lock_release(&g_net_lock);
        if (!any || socket_new(t, l->domain, l->type, l->protocol, &server))
            return;
        socket_same_ns(server, l);
        more = admit_one(t, l, server);
        socket_put(server);
    }
}

/* Take c out of its listener's list; its references are then the caller's. */
static struct socket *pending_take_locked(struct socket *c)
{
    struct socket *l = c->pending_at;
    if (l)
        list_del(&c->accept_node);
    c->pending_at = NULL;
    return l;
}

static void refuse_pending(struct socket *l, struct socket *c)
{
    waitq_wake(&c->wq, ~0u);
    socket_put(c);
    socket_put(l);
}

void stream_pending_end(struct socket *s)
{
    lock_acquire(&g_net_lock);
    struct socket *l = pending_take_locked(s), *c;
    lock_release(&g_net_lock);
    if (l)
        refuse_pending(l, s);
    for (;;) {
        lock_acquire(&g_net_lock);
        c = list_first(&s->pending, struct socket, accept_node);
        if (c) {
            (void)pending_take_locked(c);
            c->connecting = CONNECT_FAILED;
            c->error = ECONNREFUSED;
            c->shut_read = c->shut_write = true;
        }
        lock_release(&g_net_lock);
        if (!c)
            return;
        refuse_pending(s, c);
    }
}

/* A listener without room: the caller waits, or (TCP) is told when it is through. */
static int connect_full(struct task *t, struct socket *s, struct file *f, struct socket *l,
                        const struct net_addr *a, int64_t deadline)
{
    if (socket_nonblocking(f, 0))
        return s->kind & K_TCP ? pending_add(s, l, a) : -EAGAIN;
    int err = wait_event(t, &l->wq, deadline, listener_has_room(l));
    err = socket_wait_result(err, s->sndtimeo);
    return err == -EAGAIN && s->kind & K_TCP ? -EINPROGRESS : err;
}

/* TCP without waiting: the result is told by poll, SO_ERROR and the next connect. */
static int connect_later(struct socket *s, int err)
{
    LOCK_GUARD(&g_net_lock);
    if (err == -EAGAIN) { /* unless it has been let in already */
        s->connecting = s->pending_at ? CONNECT_WAITING : CONNECT_OK;
    } else if (err) {
        s->connecting = CONNECT_FAILED;
        s->error = -err;
        s->shut_read = s->shut_write = true;
    } else {
        s->connecting = CONNECT_OK;
    }
    return -EINPROGRESS;
}

static int connect_begin(struct task *t, struct socket *s)
{
    struct peer_id *id = socket_is_unix(s) ? peer_id_new(t) : NULL;
    lock_acquire(&g_net_lock);
    int err = connect_state_locked(s);
    s->error = 0;
    struct peer_id *old = NULL;
    if (!err && socket_is_unix(s)) {
        old = s->own_id;
        s->own_id = id;
        id = old;
    }
    lock_release(&g_net_lock);
    peer_id_put(id);
    return err;
}

int stream_connect(struct task *t, struct socket *s, struct file *f, const struct net_addr *a)
{
    int64_t deadline = socket_deadline(s->sndtimeo);
    int err = connect_begin(t, s);
    if (err)
        return err > 0 ? 0 : err;
    if (!socket_is_unix(s))
        err = inet_reachable_addr(s, a);
    if (!err && !socket_is_unix(s))
        err = s->family->autobind(t, s);
    while (!err) {
        struct socket *l = NULL;
        err = connect_once(t, s, a, &l);
        if (err != -EAGAIN)
            break;
        err = connect_full(t, s, f, l, a, deadline);
        socket_put(l);
    }
    if (s->kind & K_TCP && socket_nonblocking(f, 0) &&
        (!err || err == -ECONNREFUSED || err == -EAGAIN))
        err = connect_later(s, err);
    waitq_wake(&s->wq, ~0u);
    return err;
}

/* ---- packets
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
    p->scm = m->scm;
    m->scm = NULL;
    p->from = s->local;
    if (m->has_creds)
        p->creds = m->creds;
    else
        socket_fill_cred(t, &p->creds);
    *out = p;
    return n;
}

/* ---- send
 * --------------------------------------------------------------------------------------------- */

/* Why nothing can be sent now: 0 = it can, -EAGAIN = the peer's queue is full. */
static int send_state_locked(struct socket *s)
{
    bool local = socket_is_unix(s);
    if (s->error && !local) {
        int err = -s->error;
        s->error = 0;
        return err;
    }
    if (s->state == SOCK_IDLE || s->state == SOCK_LISTENING)
        return local ? -ENOTCONN : -EPIPE;
    if (s->shut_write || (local && (!s->peer || s->peer->shut_read)) || s->state == SOCK_DONE)
        return -EPIPE;
    if (!s->peer)
        return 0; /* TCP: it goes out, and a reset comes back */
    return s->peer->rx_bytes >= MIN(s->peer->rcvbuf, s->sndbuf) ? -EAGAIN : 0;
}

static int send_state(struct socket *s)
{
    LOCK_GUARD(&g_net_lock);
    return send_state_locked(s);
}

static void queue_locked(struct socket *s, struct socket *to, struct packet *p)
{
    list_push_back(&to->rx, &p->node);
    to->rx_bytes += p->size;
    if (p->urgent) {
        to->urgent = p;
        to->urgent_unread = true;
        to->urgent_byte = p->data[0];
    }
    if (s->kind & K_TCP) {
        s->bytes_out += p->size;
        to->bytes_in += p->size;
        s->segs_out++;
        to->segs_in++;
        to->last_in_ns = s->last_out_ns = time_now();
    }
}

/* *peer counted for the wake-up after the lock; NULL: p met a reset. */
static int enqueue(struct socket *s, struct packet *p, struct socket **peer)
{
    LOCK_GUARD(&g_net_lock);
    *peer = NULL;
    int err = send_state_locked(s);
    if (err && (err != -EAGAIN || !s->peer))
        return err; /* EAGAIN: another writer was quicker; the limit is soft, so let this in */
    if (!s->peer) {
        s->rx_eof = true;
        stream_reset_locked(s);
        return 0;
    }
    if (s->kind & K_TCP && s->peer->shut_read && s->peer->shut_write) {
        s->peer->state = SOCK_DONE; /* nobody there will ever read it: tcp(7) resets */
        stream_reset_locked(s);
        return 0;
    }
    if (s->peer->filter && !filter_run(s->peer, p, NULL, 0))
        return 0;
    queue_locked(s, s->peer, p);
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

/* SIGURG to the owner of the socket's descriptor: socket(7). */
static void signal_urgent(struct socket *s)
{
    lock_acquire(&g_net_lock);
    struct file *f = s->file && ref_get_unless_zero(&s->file->ref) ? s->file : NULL;
    lock_release(&g_net_lock);
    if (!f)
        return;
    lock_acquire(&f->lock);
    int id = f->async_owner, type = f->async_owner_type;
    lock_release(&f->lock);
    if (id && type == F_OWNER_PGRP)
        signal_send_pgrp(id, SIGURG, NULL);
    struct process *p = id && type != F_OWNER_PGRP ? process_lookup(id) : NULL;
    if (p) {
        signal_send_process(p, SIGURG, NULL);
        process_put(p);
    }
    file_put(f);
}

static int64_t send_piece(struct task *t, struct socket *s, struct net_msg *m, size_t size,
                          bool urgent)
{
    struct packet *p;
    struct socket *peer;
    int64_t n = packet_fill(t, s, m, size, &p);
    if (n < 0)
        return n;
    p->urgent = urgent;
    p->eor = m->flags & MSG_EOR;
    errqueue_tx_stamp(s, m, p);
    int err = enqueue(s, p, &peer);
    if (err || !peer)
        packet_free(p);
    if (err || !peer)
        return err ? err : n;
    waitq_wake(&peer->wq, POLLIN | POLLRDNORM | (urgent ? POLLPRI : 0));
    if (urgent)
        signal_urgent(peer);
    socket_put(peer);
    return n;
}

static int check_send(struct task *t, struct socket *s, struct file *f, struct net_msg *m)
{
    if ((m->flags & MSG_OOB) && (s->type == SOCK_SEQPACKET || !m->uio->remaining))
        return socket_is_unix(s) ? -EOPNOTSUPP : 0;
    if (m->addr_size && socket_is_unix(s) && socket_is_stream(s))
        return s->state == SOCK_CONNECTED ? -EISCONN : -EOPNOTSUPP;
    if (s->type == SOCK_SEQPACKET && m->uio->remaining > s->sndbuf)
        return -EMSGSIZE;
    if ((m->flags & MSG_FASTOPEN) && s->kind & K_TCP && s->state == SOCK_IDLE) {
        struct net_addr a = {.size = m->addr_size};
        if (!m->addr_size)
            return -EINVAL;
        memcpy(&a.ss, &m->addr, sizeof(a.ss));
        int err = s->family->check(s, &a);
        return err ? err : stream_connect(t, s, f, &a);
    }
    return 0;
}

/* The next piece to send: the last byte of urgent data goes by itself. */
static size_t next_piece(struct socket *s, struct net_msg *m, bool *urgent)
{
    size_t left = m->uio->remaining;
    *urgent = (m->flags & MSG_OOB) && left == 1;
    if (!socket_is_stream(s))
        return left;
    if ((m->flags & MSG_OOB) && left > 1)
        left--;
    return MIN(left, (size_t)STREAM_CHUNK);
}

int64_t stream_send(struct task *t, struct socket *s, struct file *f, struct net_msg *m)
{
    int64_t sent = 0, deadline = socket_deadline(s->sndtimeo);
    int err = check_send(t, s, f, m);
    if (err)
        return err;
    do {
        bool urgent;
        int64_t n = send_wait(t, s, f, m->flags, deadline);
        size_t size = next_piece(s, m, &urgent);
        if (n == 0 && (size || !socket_is_stream(s)))
            n = send_piece(t, s, m, size, urgent);
        if (n < 0)
            return sent ? sent : n;
        sent += n;
    } while (m->uio->remaining && socket_is_stream(s));
    if ((m->flags & MSG_ZEROCOPY) && s->opt[OPT_ZEROCOPY] && sent)
        errqueue_zerocopy(s);
    return sent;
}

/* ---- receive
 * ------------------------------------------------------------------------------------------ */

/* With nothing queued: 0 end of file, -EAGAIN nothing yet, others. */
static int recv_state_locked(struct socket *s)
{
    bool local = socket_is_unix(s);
    if (!local && s->state == SOCK_LISTENING)
        return -ENOTCONN;
    if (!local && s->rx_eof)
        return 0;
    if (s->error) {
        int err = -s->error;
        s->error = 0;
        return err;
    }
    if (local && (s->state == SOCK_IDLE || s->state == SOCK_LISTENING))
        return socket_is_stream(s) ? -EINVAL : -ENOTCONN;
    if (s->rx_eof || s->shut_read)
        return 0;
    return s->state == SOCK_IDLE ? -ENOTCONN : s->state == SOCK_DONE ? 0 : -EAGAIN;
}

/* First packet to read, or NULL with *err. recv_lock held, so it stays until we take it out. */
static struct packet *first_packet(struct socket *s, int *err)
{
    LOCK_GUARD(&g_net_lock);
    struct packet *p = list_first(&s->rx, struct packet, node);
    *err = p ? 0 : recv_state_locked(s);
    return p;
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
    if (whole) {
        list_del(&p->node);
        if (s->urgent == p)
            s->urgent = NULL;
    }
    if (s->opt[OPT_PEEK_OFF] > 0)
        s->opt[OPT_PEEK_OFF] = MAX(0, s->opt[OPT_PEEK_OFF] - (int)n);
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

/* A read stops in front of the mark, once; at the mark the urgent byte is passed over, or (inline)
 * read like any other. A mark that a newer one has replaced is an ordinary byte. */
enum mark { MARK_NONE, MARK_STOP, MARK_SKIP };
static enum mark at_mark(struct socket *s, const struct packet *p, int64_t total)
{
    LOCK_GUARD(&g_net_lock);
    if (!p->urgent || p != s->urgent)
        return MARK_NONE;
    if (total)
        return MARK_STOP;
    return s->opt[OPT_OOBINLINE] ? MARK_NONE : MARK_SKIP;
}

static bool same_sender(struct socket *s, const struct packet *a, const struct ucred *c)
{
    return !(s->opt[OPT_PASSCRED] || s->opt[OPT_PASSPIDFD]) || !memcmp(&a->creds, c, sizeof(*c));
}

static size_t take_bytes(struct socket *s, struct net_msg *m, struct packet *p, size_t from,
                         size_t want)
{
    if ((m->flags & MSG_TRUNC) && !socket_is_unix(s)) {
        uio_advance(m->uio, want);
        return want;
    }
    return uio_to_user(m->uio, p->data + from, want);
}

/* Copy from packets until the buffer is full, or ancillary data or another sender begins. */
static int64_t take_stream(struct socket *s, struct net_msg *m, struct packet *p)
{
    int64_t total = 0;
    struct ucred first = p->creds;
    bool peek = m->flags & MSG_PEEK;
    size_t skip = peek && s->opt[OPT_PEEK_OFF] > 0 ? s->opt[OPT_PEEK_OFF] : 0;
    while (p && m->uio->remaining) {
        if (total && !same_sender(s, p, &first))
            break;
        enum mark mark = at_mark(s, p, total);
        struct packet *next = next_packet(s, p);
        if (mark == MARK_STOP)
            break;
        size_t have = p->size - p->done, pass = MIN(skip, have);
        skip -= pass;
        if (mark == MARK_SKIP || pass == have) {
            if (!peek)
                consume(s, p, have, /*whole=*/true);
            p = next;
            continue;
        }
        bool had_files = p->scm;
        if (!total || had_files)
            packet_attach(p, s, m);
        size_t want = MIN(have - pass, m->uio->remaining);
        size_t n = take_bytes(s, m, p, p->done + pass, want);
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
    if (peek && s->opt[OPT_PEEK_OFF] >= 0)
        s->opt[OPT_PEEK_OFF] += total;
    return total ? total : m->uio->remaining ? -EAGAIN : 0;
}

static int64_t take_message(struct socket *s, struct net_msg *m, struct packet *p)
{
    size_t want = MIN(p->size, m->uio->remaining);
    packet_attach(p, s, m);
    size_t n = uio_to_user(m->uio, p->data, want);
    if (want < p->size)
        m->out_flags |= MSG_TRUNC;
    int64_t ret = n < want ? -EFAULT : m->flags & MSG_TRUNC ? (int64_t)p->size : (int64_t)n;
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
        return err ? err : STREAM_END;
    if (!socket_is_stream(s))
        return take_message(s, m, p);
    int64_t n = take_stream(s, m, p);
    if (n != -EAGAIN || first_packet(s, &err))
        return n;
    return err ? err : STREAM_END; /* only the mark was there */
}

static bool readable(struct socket *s)
{
    LOCK_GUARD(&g_net_lock);
    return !list_empty(&s->rx) || s->rx_eof || s->shut_read || s->error ||
           (s->state != SOCK_CONNECTED);
}

/* A peek has looked at n bytes already, and a mark in front is none of them. */
static bool more_than(struct socket *s, uint64_t n)
{
    LOCK_GUARD(&g_net_lock);
    if (s->urgent && !s->opt[OPT_OOBINLINE])
        n++;
    return s->rx_bytes > n || s->rx_eof || s->shut_read || s->error || s->state != SOCK_CONNECTED;
}

/* MSG_OOB: the urgent byte, while it has not been taken and is not inline. */
static int64_t recv_urgent(struct socket *s, struct net_msg *m)
{
    lock_acquire(&g_net_lock);
    int err = 0;
    char byte = s->urgent_byte;
    if (s->opt[OPT_OOBINLINE] || !s->urgent || !s->urgent_unread)
        err = -EINVAL;
    if (!err && !(m->flags & MSG_PEEK))
        s->urgent_unread = false;
    lock_release(&g_net_lock);
    if (err)
        return err;
    m->out_flags |= MSG_OOB;
    if (!m->uio->remaining) {
        m->out_flags |= MSG_TRUNC;
        return 0;
    }
    return uio_to_user(m->uio, &byte, 1) ? 1 : -EFAULT;
}

int stream_at_mark(struct socket *s)
{
    LOCK_GUARD(&g_net_lock);
    struct packet *p = list_first(&s->rx, struct packet, node);
    return p && p == s->urgent;
}

/* TCP tells what a read would give; a unix socket all that is there. */
int stream_unread_locked(struct socket *s)
{
    if (!socket_is_stream(s)) {
        return s->rx_bytes;
    }
    uint64_t n = s->rx_bytes;
    if (s->kind & K_TCP && s->urgent && !s->opt[OPT_OOBINLINE]) {
        struct packet *p;
        n = 0;
        list_for_each(p, &s->rx, node)
        {
            if (p == s->urgent)
                break;
            n += p->size - p->done;
        }
    }
    return MIN(n, (uint64_t)INT32_MAX);
}

/* How much must be there before a read returns: SO_RCVLOWAT, MSG_WAITALL. */
static uint64_t target_of(struct socket *s, struct net_msg *m)
{
    uint64_t want = m->uio->remaining;
    if (!socket_is_stream(s) || (m->flags & MSG_PEEK))
        return 1;
    if (!(m->flags & MSG_WAITALL))
        want = MIN(want, (uint64_t)s->opt[OPT_RCVLOWAT]);
    return want ? want : 1;
}

int64_t stream_recv(struct task *t, struct socket *s, struct file *f, struct net_msg *m)
{
    int64_t total = 0, deadline = socket_deadline(s->rcvtimeo);
    if (m->flags & MSG_OOB)
        return s->type == SOCK_SEQPACKET ? -EOPNOTSUPP : recv_urgent(s, m);
    int64_t target = target_of(s, m);
    bool peek = m->flags & MSG_PEEK;
    uint64_t at_offset = peek && s->opt[OPT_PEEK_OFF] > 0 ? s->opt[OPT_PEEK_OFF] : 0;
    for (;;) {
        int64_t n = recv_once(s, m);
        if (n == STREAM_END)
            return total;
        if (n >= 0)
            total += n;
        if (n >= 0 && (total >= target || !m->uio->remaining || m->scm || !socket_is_stream(s)))
            return total;
        if (n < 0 && n != -EAGAIN)
            return total ? total : n;
        if (n > 0)
            continue;
        if (socket_nonblocking(f, m->flags))
            return total ? total : -EAGAIN;
        int r = wait_event_mask(t, &s->wq, POLLIN | POLLERR | POLLHUP | POLLRDHUP, deadline,
                                peek ? more_than(s, at_offset) : readable(s));
        if (r)
            return total ? total : socket_wait_result(r, s->rcvtimeo);
    }
}
