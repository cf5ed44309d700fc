/* The socket object: life, descriptor operations, and the calls that are the same for all families.
 *
 * States: idle → listening, or idle → connected → closed. A descriptor's release closes: the peer
 * is told (end of file, or a reset when unread data is thrown away), the name is forgotten, waiting
 * connections are refused. The object itself lives on while a peer or a queue still refers to it.
 */
#include "base/log.h"
#include "base/overflow.h"
#include "net/net_priv.h"
#include "time/time.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

struct lock g_net_lock = LOCK_INITIALIZER(LR_SOCKET);

static const struct family *const g_families[] = {&g_family_unix, &g_family_inet, &g_family_inet6,
                                                  &g_family_netlink};

/* ---- packets
 * ------------------------------------------------------------------------------------------ */

struct packet *packet_new(size_t size)
{
    struct packet *p = malloc(sizeof(*p) + size);
    if (!p)
        return NULL;
    memset(p, 0, sizeof(*p));
    list_node_init(&p->node);
    p->size = size;
    return p;
}

void packet_free(struct packet *p)
{
    for (unsigned i = 0; i < p->file_count; i++)
        file_put(p->files[i]);
    free(p->files);
    free(p);
}

/* ---- life
 * --------------------------------------------------------------------------------------------- */

void socket_get(struct socket *s)
{
    ref_get(&s->ref);
}

static void packets_free(struct list *l)
{
    struct packet *p, *tmp;
    list_for_each_safe(p, tmp, l, node)
    {
        list_del(&p->node);
        packet_free(p);
    }
}

void socket_put(struct socket *s)
{
    if (!ref_put(&s->ref))
        return;
    packets_free(&s->rx);
    if (s->bound_path.mnt)
        path_put(&s->bound_path);
    lock_destroy(&s->recv_lock);
    free(s->priv);
    free(s);
}

void socket_fill_cred(struct task *t, struct ucred *c)
{
    *c = (struct ucred){.pid = t->process->pid, .uid = t->cred->euid, .gid = t->cred->egid};
}

static const struct family *family_find(int domain)
{
    for (size_t i = 0; i < ARRAY_COUNT(g_families); i++)
        if (g_families[i]->domain == domain)
            return g_families[i];
    return NULL;
}

static struct socket *socket_alloc(struct task *t, const struct family *fam, int type, int protocol)
{
    struct socket *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    ref_init(&s->ref);
    s->family = fam;
    s->domain = fam->domain;
    s->type = type;
    s->protocol = protocol;
    waitq_init(&s->wq);
    lock_init(&s->recv_lock, LR_SOCKET_IO);
    list_init(&s->rx);
    list_init(&s->accept_queue);
    list_node_init(&s->accept_node);
    list_node_init(&s->name_node);
    s->rcvbuf = s->sndbuf = NET_DEFAULT_BUF;
    s->rcvlowat = 1;
    s->ttl = 64;
    socket_fill_cred(t, &s->own_cred);
    return s;
}

int socket_new(struct task *t, int domain, int type, int protocol, struct socket **out)
{
    const struct family *fam = family_find(domain);
    if (!fam)
        return -EAFNOSUPPORT;
    if (type < SOCK_STREAM || type > SOCK_PACKET)
        return -EINVAL;
    struct socket *s = socket_alloc(t, fam, type, protocol);
    if (!s)
        return -ENOMEM;
    int err = fam->init(t, s);
    if (err) {
        socket_put(s);
        return err;
    }
    *out = s;
    return 0;
}

/* Both ends know each other; each holds a reference on the other. */
void socket_connect_pair_locked(struct socket *a, struct socket *b)
{
    lock_check_held(LR_SOCKET);
    socket_get(a);
    socket_get(b);
    a->peer = b;
    b->peer = a;
    a->state = b->state = SOCK_CONNECTED;
    a->peer_cred = b->own_cred;
    b->peer_cred = a->own_cred;
    a->remote = b->local;
    b->remote = a->local;
}

/* ---- closing
 * ------------------------------------------------------------------------------------------ */

/* Tell the peer. unread: data was thrown away, which a stream's peer learns as a reset. */
static struct socket *detach_peer_locked(struct socket *s, bool unread)
{
    struct socket *peer = s->peer;
    s->peer = NULL;
    if (!peer)
        return NULL;
    if (socket_is_connected_type(s) && peer->peer == s) {
        peer->peer = NULL;
        peer->peer_gone = true;
        peer->rx_eof = true;
        if (unread || (s->linger.l_onoff && s->linger.l_linger == 0 && s->domain != AF_UNIX))
            peer->error = ECONNRESET;
        bug_on(ref_put(&s->ref)); /* the caller still holds one */
    }
    return peer;
}

static void refuse_waiting(struct socket *s);

static void socket_close(struct socket *s)
{
    lock_acquire(&g_net_lock);
    bool unread = !list_empty(&s->rx);
    s->state = SOCK_CLOSED;
    s->shut_read = s->shut_write = true;
    struct socket *peer = detach_peer_locked(s, unread);
    if (s->family->release)
        s->family->release(s);
    lock_release(&g_net_lock);
    refuse_waiting(s);
    if (peer) {
        waitq_wake(&peer->wq, ~0u);
        socket_put(peer);
    }
    waitq_wake(&s->wq, ~0u);
}

/* Connections that nobody will accept any more: their other ends see a reset. */
static void refuse_waiting(struct socket *s)
{
    for (;;) {
        lock_acquire(&g_net_lock);
        struct socket *c = list_first(&s->accept_queue, struct socket, accept_node);
        if (c) {
            list_del(&c->accept_node);
            s->accept_count--;
            if (c->peer)
                c->peer->error = ECONNRESET;
        }
        lock_release(&g_net_lock);
        if (!c)
            return;
        socket_close(c);
        socket_put(c);
    }
}

/* ---- descriptor operations
 * ---------------------------------------------------------------------------- */

static int64_t sockfile_io(struct file *f, struct uio *u, bool write)
{
    struct socket *s = f->priv;
    struct net_msg *m = calloc(1, sizeof(*m));
    if (!m)
        return -ENOMEM;
    m->uio = u;
    m->flags = u->nowait ? MSG_DONTWAIT : 0;
    struct task *t = task_current();
    int64_t ret = write ? net_sendmsg(t, s, f, m) : net_recvmsg(t, s, f, m);
    for (unsigned i = 0; i < m->file_count; i++)
        file_put(m->files[i]);
    free(m);
    return ret;
}

static int64_t sockfile_read(struct file *f, struct uio *u, int64_t pos)
{
    return sockfile_io(f, u, /*write=*/false);
}

static int64_t sockfile_write(struct file *f, struct uio *u, int64_t pos)
{
    return sockfile_io(f, u, /*write=*/true);
}

unsigned socket_poll_locked(struct socket *s)
{
    unsigned ev = 0;
    if (s->state == SOCK_LISTENING)
        return s->accept_count ? POLLIN | POLLRDNORM : 0;
    if (s->error)
        ev |= POLLERR;
    if (!list_empty(&s->rx) || s->rx_eof || s->shut_read)
        ev |= POLLIN | POLLRDNORM;
    if (s->rx_eof || s->shut_read)
        ev |= POLLRDHUP;
    if ((s->rx_eof || s->shut_read) && (s->shut_write || s->peer_gone))
        ev |= POLLHUP;
    if (socket_is_connected_type(s) && s->state == SOCK_IDLE)
        return ev | POLLHUP | POLLOUT | POLLWRNORM;
    if (!s->peer || s->shut_write || s->peer->rx_bytes < MIN(s->peer->rcvbuf, s->sndbuf) ||
        s->family->drops_when_full)
        ev |= POLLOUT | POLLWRNORM;
    return ev;
}

static unsigned sockfile_poll(struct file *f)
{
    LOCK_GUARD(&g_net_lock);
    return socket_poll_locked(f->priv);
}

static struct waitq *sockfile_waitq(struct file *f)
{
    return &((struct socket *)f->priv)->wq;
}

static void sockfile_release(struct file *f)
{
    struct socket *s = f->priv;
    socket_close(s);
    socket_put(s);
}

static int sockfile_name(struct file *f, char *buf, size_t size)
{
    return snprintf(buf, size, "socket:[%lu]", (unsigned long)f->inode->ino);
}

/* Bytes of the first message (datagrams) or of everything (streams); of everything unread at the
 * peer. */
static int queued_bytes(struct socket *s, bool out)
{
    LOCK_GUARD(&g_net_lock);
    if (out)
        return s->peer && socket_is_connected_type(s) ? s->peer->rx_bytes : 0;
    struct packet *p = list_first(&s->rx, struct packet, node);
    if (socket_is_stream(s))
        return s->rx_bytes;
    return p ? p->size : 0;
}

static int64_t sockfile_ioctl(struct file *f, struct task *t, unsigned cmd, uint64_t arg)
{
    struct socket *s = f->priv;
    int n;
    switch (cmd) {
    case FIONREAD:
        if (s->state == SOCK_LISTENING)
            return -EINVAL;
        n = queued_bytes(s, /*out=*/false);
        break;
    case TIOCOUTQ:
        n = queued_bytes(s, /*out=*/true);
        break;
    case 0x8905: /* SIOCATMARK: no urgent data here, so never at its mark */
        n = 0;
        break;
    default:
        return net_ioctl_interface(t, cmd, arg);
    }
    return uaccess_write_obj(t->mm, uaddr(arg), &n) ? -EFAULT : 0;
}

const struct file_ops g_socket_file_ops = {
    .read = sockfile_read,
    .write = sockfile_write,
    .poll = sockfile_poll,
    .waitq = sockfile_waitq,
    .ioctl = sockfile_ioctl,
    .release = sockfile_release,
    .fdname = sockfile_name,
    .stream = true,
    .nowait = true,
};

bool net_file_is_socket(struct file *f)
{
    return f->ops == &g_socket_file_ops;
}

int net_socket_of(struct task *t, int fd, struct file **f, struct socket **out)
{
    struct file *file = fdtable_get_io(t->fds, fd);
    if (!file)
        return -EBADF;
    if (!net_file_is_socket(file)) {
        file_put(file);
        return -ENOTSOCK;
    }
    *f = file;
    *out = file->priv;
    return 0;
}

bool socket_nonblocking(struct file *f, int msg_flags)
{
    return (msg_flags & MSG_DONTWAIT) ||
           (f && (__atomic_load_n(&f->flags, __ATOMIC_RELAXED) & O_NONBLOCK));
}

int64_t socket_deadline(int64_t timeout_ns)
{
    return timeout_ns ? time_after(timeout_ns) : DEADLINE_NONE;
}

int socket_wait_result(int r, int64_t timeout_ns)
{
    if (r == -ETIMEDOUT)
        return -EAGAIN;
    return r == -ERESTARTSYS && socket_deadline(timeout_ns) != DEADLINE_NONE ? -EINTR : r;
}

int64_t socket_install(struct task *t, struct socket *s, int type_flags)
{
    struct file *f;
    unsigned flags = O_RDWR | (type_flags & SOCK_NONBLOCK ? O_NONBLOCK : 0);
    int err = file_new_anon(&g_socket_file_ops, flags, s, S_IFSOCK | 0777, &f);
    if (err) {
        socket_close(s);
        socket_put(s);
        return err;
    }
    int fd = fdtable_install(t, f, 0, type_flags & SOCK_CLOEXEC);
    if (fd < 0)
        file_put(f);
    return fd;
}

/* ---- calls
 * ------------------------------------------------------------------------------------------- */

#define SOCK_TYPE_BITS 0xf

int64_t net_socket(struct task *t, int family, int type, int protocol)
{
    struct socket *s;
    if (type & ~(SOCK_TYPE_BITS | SOCK_CLOEXEC | SOCK_NONBLOCK))
        return -EINVAL;
    int err = socket_new(t, family, type & SOCK_TYPE_BITS, protocol, &s);
    return err ? err : socket_install(t, s, type);
}

int64_t net_socketpair(struct task *t, int family, int type, int protocol, int fds[2])
{
    struct socket *a, *b;
    if (type & ~(SOCK_TYPE_BITS | SOCK_CLOEXEC | SOCK_NONBLOCK))
        return -EINVAL;
    int err = socket_new(t, family, type & SOCK_TYPE_BITS, protocol, &a);
    if (err)
        return err;
    if (family != AF_UNIX) {
        socket_put(a);
        return -EOPNOTSUPP;
    }
    err = socket_new(t, family, type & SOCK_TYPE_BITS, protocol, &b);
    if (err) {
        socket_put(a);
        return err;
    }
    lock_acquire(&g_net_lock);
    socket_connect_pair_locked(a, b);
    lock_release(&g_net_lock);
    int64_t fd0 = socket_install(t, a, type), fd1 = socket_install(t, b, type);
    if (fd0 < 0 || fd1 < 0) {
        if (fd0 >= 0)
            (void)fdtable_close(t, fd0);
        if (fd1 >= 0)
            (void)fdtable_close(t, fd1);
        return fd0 < 0 ? fd0 : fd1;
    }
    fds[0] = fd0;
    fds[1] = fd1;
    return 0;
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

/* AF_UNSPEC dissolves a datagram socket's association: connect(2). */
static int disconnect(struct socket *s)
{
    if (socket_is_connected_type(s) && s->domain == AF_UNIX)
        return -EINVAL;
    lock_acquire(&g_net_lock);
    struct socket *old = s->peer;
    s->peer = NULL;
    s->remote.size = 0;
    if (s->state == SOCK_CONNECTED)
        s->state = SOCK_IDLE;
    lock_release(&g_net_lock);
    if (old)
        socket_put(old);
    return 0;
}

static int64_t dgram_connect(struct task *t, struct socket *s, const struct net_addr *a)
{
    struct socket *dest = NULL;
    int err = s->family->find(t, s, a, &dest);
    if (err && !(s->family->refuses_when_gone && err == -ECONNREFUSED))
        return err;
    if (!err && s->domain == AF_UNIX && dest->peer && dest->peer != s) {
        socket_put(dest);
        return -EPERM;
    }
    if (s->family->autobind && s->domain != AF_UNIX && (err = s->family->autobind(t, s))) {
        if (dest)
            socket_put(dest);
        return err;
    }
    lock_acquire(&g_net_lock);
    struct socket *old = s->peer;
    /* UDP keeps only the address: the receiver may come and go. */
    s->peer = s->family->refuses_when_gone ? NULL : dest;
    s->remote = *a;
    s->state = SOCK_CONNECTED;
    s->peer_gone = false;
    lock_release(&g_net_lock);
    if (old)
        socket_put(old);
    if (dest && s->family->refuses_when_gone)
        socket_put(dest);
    return 0;
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
    if (size < sizeof(sa_family_t))
        err = -EINVAL;
    else if (addr->ss_family == AF_UNSPEC)
        err = disconnect(s);
    else if (s->family->check && (err = s->family->check(s, &a)))
        ;
    else
        err = socket_is_connected_type(s) ? stream_connect(t, s, f, &a) : dgram_connect(t, s, &a);
    file_put(f);
    return err;
}

static int listen_locked(struct socket *s, int backlog)
{
    LOCK_GUARD(&g_net_lock);
    if (s->state != SOCK_IDLE && s->state != SOCK_LISTENING)
        return -EINVAL;
    s->backlog = backlog < 0 || backlog > NET_SOMAXCONN ? NET_SOMAXCONN : backlog;
    s->state = SOCK_LISTENING;
    return 0;
}

int64_t net_listen(struct task *t, int fd, int backlog)
{
    struct file *f;
    struct socket *s;
    int64_t err = net_socket_of(t, fd, &f, &s);
    if (err)
        return err;
    if (!socket_is_connected_type(s))
        err = -EOPNOTSUPP;
    else if (s->domain == AF_UNIX && !s->local.size)
        err = -EINVAL;
    else if (s->domain != AF_UNIX)
        err = s->family->autobind(t, s);
    if (!err)
        err = listen_locked(s, backlog);
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

static int64_t accept_wait(struct task *t, struct socket *s, struct file *f, struct socket **out)
{
    int err = 0;
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
    if (flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK))
        return -EINVAL;
    int64_t ret = net_socket_of(t, fd, &f, &s);
    if (ret)
        return ret;
    ret = accept_wait(t, s, f, &c);
    if (ret == 0) {
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

static int shutdown_locked(struct socket *s, int how, struct socket **peer)
{
    LOCK_GUARD(&g_net_lock);
    if (s->state == SOCK_LISTENING && s->domain != AF_UNIX) {
        s->state = SOCK_IDLE;
        return 0;
    }
    if (s->state != SOCK_CONNECTED && !s->peer_gone)
        return -ENOTCONN;
    if (how != SHUT_WR)
        s->shut_read = true;
    if (how != SHUT_RD)
        s->shut_write = true;
    if (s->peer && socket_is_connected_type(s)) {
        *peer = s->peer;
        socket_get(*peer);
        if (how != SHUT_RD)
            (*peer)->rx_eof = true;
        if (how != SHUT_WR && s->domain == AF_UNIX)
            (*peer)->shut_write = true;
    }
    return 0;
}

int64_t net_shutdown(struct task *t, int fd, int how)
{
    struct file *f;
    struct socket *s, *peer = NULL;
    int64_t err = net_socket_of(t, fd, &f, &s);
    if (err)
        return err;
    err = how < SHUT_RD || how > SHUT_RDWR ? -EINVAL : shutdown_locked(s, how, &peer);
    if (!err)
        waitq_wake(&s->wq, ~0u);
    if (peer) {
        waitq_wake(&peer->wq, ~0u);
        socket_put(peer);
    }
    file_put(f);
    return err;
}

int64_t net_getname(struct task *t, int fd, bool peer, struct sockaddr_storage *addr,
                    unsigned *size)
{
    struct file *f;
    struct socket *s;
    int64_t err = net_socket_of(t, fd, &f, &s);
    if (err)
        return err;
    lock_acquire(&g_net_lock);
    struct net_addr a = peer ? s->remote : s->local;
    if (peer && (s->state != SOCK_CONNECTED || (s->peer_gone && s->domain != AF_UNIX)))
        err = -ENOTCONN;
    lock_release(&g_net_lock);
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

int64_t net_setsockopt(struct task *t, int fd, int level, int name, const void *value,
                       unsigned size)
{
    struct file *f;
    struct socket *s;
    int64_t err = net_socket_of(t, fd, &f, &s);
    if (err)
        return err;
    err = socket_setopt(t, s, level, name, value, size);
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
    err = socket_getopt(s, level, name, value, size);
    file_put(f);
    return err;
}

bool net_wants_creds(struct socket *s)
{
    return s->flags & SOCKF_PASSCRED;
}

int64_t net_sendmsg(struct task *t, struct socket *s, struct file *f, struct net_msg *m)
{
    if (s->family->send)
        return s->family->send(t, s, m);
    int64_t ret = socket_is_connected_type(s) ? stream_send(t, s, f, m) : dgram_send(t, s, f, m);
    if (ret == -EPIPE && socket_is_connected_type(s) && !(m->flags & MSG_NOSIGNAL))
        (void)signal_send_task(t, SIGPIPE, NULL);
    return ret;
}

int64_t net_recvmsg(struct task *t, struct socket *s, struct file *f, struct net_msg *m)
{
    return socket_is_connected_type(s) ? stream_recv(t, s, f, m) : dgram_recv(t, s, f, m);
}
