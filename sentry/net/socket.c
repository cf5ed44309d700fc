/* The socket object: life, closing, and the operations of its descriptor.
 *
 * States: idle → listening, or idle → connected → done → closed. A descriptor's release closes: the
 * peer is told (end of file, or a reset when unread data is thrown away), the name is forgotten,
 * waiting connections are refused. The object itself lives on while a peer or a queue still refers
 * to it, or as a name in time-wait. */
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
                                                  &g_family_netlink, &g_family_packet};
static uint64_t g_cookies; /* atomic; SO_COOKIE */
static uint32_t g_stamps;  /* atomic; somebody wants the time of arrival of packets */

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
    p->stamp = packet_stamp();
    return p;
}

void scm_free(struct scm *scm)
{
    if (!scm)
        return;
    unix_scm_land(scm);
    for (unsigned i = 0; i < scm->count; i++)
        file_put(scm->files[i]);
    free(scm);
}

void packet_free(struct packet *p)
{
    if (!p)
        return;
    scm_free(p->scm);
    free(p);
}

void packets_free(struct list *l)
{
    struct packet *p, *tmp;
    list_for_each_safe(p, tmp, l, node)
    {
        list_del(&p->node);
        packet_free(p);
    }
}

static __thread struct {
    struct list list;
    bool busy;
} t_grave;

void packets_bury(struct list *l)
{
    if (!t_grave.list.head.next)
        list_init(&t_grave.list);
    list_splice_back(&t_grave.list, l);
    if (t_grave.busy)
        return;
    t_grave.busy = true;
    struct packet *p;
    while ((p = list_first(&t_grave.list, struct packet, node))) {
        list_del(&p->node);
        packet_free(p);
    }
    t_grave.busy = false;
}

int64_t packet_stamp(void)
{
    return __atomic_load_n(&g_stamps, __ATOMIC_RELAXED) ? time_realtime() : 0;
}

void packet_stamps_wanted(void)
{
    __atomic_store_n(&g_stamps, 1, __ATOMIC_RELAXED);
}

/* ---- who is at an end
 * ---------------------------------------------------------------------------------- */

struct peer_id *peer_id_new(struct task *t)
{
    struct peer_id *p = calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    ref_init(&p->ref);
    socket_fill_cred(t, &p->ids);
    p->cred = cred_get(t->cred);
    p->process = t->process;
    process_get(p->process);
    return p;
}

void peer_id_put(struct peer_id *p)
{
    if (!p || !ref_put(&p->ref))
        return;
    cred_put(p->cred);
    process_put(p->process);
    free(p);
}

static struct peer_id *peer_id_get(struct peer_id *p)
{
    if (p)
        ref_get(&p->ref);
    return p;
}

/* ---- life
 * --------------------------------------------------------------------------------------------- */

void socket_get(struct socket *s)
{
    ref_get(&s->ref);
}

/* A socket that never got a descriptor is in tables all the same. */
static void socket_unlist(struct socket *s)
{
    if (!list_linked(&s->all_node) && !list_linked(&s->name_node))
        return;
    LOCK_GUARD(&g_net_lock);
    list_del(&s->all_node);
    raw_release_locked(s);
    if (s->named && s->family->release)
        s->family->release(s);
}

void socket_put(struct socket *s)
{
    if (!ref_put(&s->ref))
        return;
    socket_unlist(s);
    packets_free(&s->rx);
    packets_free(&s->errq);
    packet_free(s->corked);
    if (s->bound_path.mnt)
        path_put(&s->bound_path);
    ns_put(s->ns);
    peer_id_put(s->own_id);
    peer_id_put(s->peer_id);
    filter_put(s->filter);
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
    s->cookie = __atomic_add_fetch(&g_cookies, 1, __ATOMIC_RELAXED);
    waitq_init(&s->wq);
    lock_init(&s->recv_lock, LR_SOCKET_IO);
    list_init(&s->rx);
    list_init(&s->errq);
    list_init(&s->accept_queue);
    list_init(&s->pending);
    list_init(&s->mcast);
    list_node_init(&s->mcast_node);
    list_node_init(&s->accept_node);
    list_node_init(&s->name_node);
    list_node_init(&s->wait_node);
    list_node_init(&s->flight_node);
    list_node_init(&s->gc_node);
    list_node_init(&s->all_node);
    s->rcvbuf = net_knob(NET_RMEM_DEFAULT);
    s->sndbuf = net_knob(NET_WMEM_DEFAULT);
    s->uid = t->cred->euid;
    return s;
}

int socket_new(struct task *t, int domain, int type, int protocol, struct socket **out)
{
    if (domain < 0 || domain >= 46 /* AF_MAX */)
        return -EAFNOSUPPORT;
    if (type < 0 || type >= 11 /* SOCK_MAX */)
        return -EINVAL;
    if (domain == AF_INET && type == SOCK_PACKET)
        domain = AF_PACKET; /* the old way to name it: packet(7) */
    const struct family *fam = hostnet_family(domain, type, protocol);
    if (!fam)
        fam = family_find(domain);
    return fam ? socket_new_of(t, fam, type, protocol, /*init=*/true, out) : -EAFNOSUPPORT;
}

int socket_new_of(struct task *t, const struct family *fam, int type, int protocol, bool init,
                  struct socket **out)
{
    struct socket *s = socket_alloc(t, fam, type, protocol);
    if (!s)
        return -ENOMEM;
    int err = socket_enter_ns(t, s);
    if (!err && init)
        err = fam->init(t, s);
    if (err) {
        socket_put(s);
        return err;
    }
    socket_options_init(s);
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
    a->peer_id = peer_id_get(b->own_id);
    b->peer_id = peer_id_get(a->own_id);
    a->remote = b->local;
    b->remote = a->local;
}

int socket_take_error(struct socket *s)
{
    LOCK_GUARD(&g_net_lock);
    int err = s->error;
    s->error = 0;
    return -err;
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
        bool reset =
            unread || s->embryo || (s->linger.l_onoff && !s->linger.l_linger && !socket_is_unix(s));
        if (!s->shut_write)
            s->fin_first = !s->rx_eof && !reset;
        if (reset) {
            stream_reset_locked(peer);
        } else {
            peer->rx_eof = true;
            if (socket_is_unix(s))
                peer->shut_read = peer->shut_write = true;
            stream_update_state_locked(peer);
        }
        if (peer != s)
            bug_on(ref_put(&s->ref)); /* the caller still holds one */
    }
    return peer;
}

static void refuse_waiting(struct socket *s);

/* A TCP socket whose end of file came first keeps its name for a while. */
static void forget_name_locked(struct socket *s)
{
    if (s->named && s->kind & K_TCP && s->fin_first && inet_time_wait_locked(s))
        return;
    s->state = SOCK_CLOSED;
    if (s->named && s->family->release)
        s->family->release(s);
    s->named = false;
}

static void socket_close(struct socket *s)
{
    if (s->family->provider) {
        s->family->provider->close(s);
        waitq_wake(&s->wq, ~0u);
        return;
    }
    (void)dgram_uncork(task_current(), s);
    stream_pending_end(s);
    lock_acquire(&g_net_lock);
    s->file = NULL;
    s->urgent = NULL;
    struct list unread = LIST_INIT(unread);
    list_splice_back(&unread, &s->rx);
    s->rx_bytes = 0;
    s->rx_count = 0;
    struct socket *peer = detach_peer_locked(s, !list_empty(&unread));
    list_del(&s->all_node);
    mcast_release(s);
    raw_release_locked(s);
    forget_name_locked(s);
    lock_release(&g_net_lock);
    packets_bury(&unread);
    refuse_waiting(s);
    if (peer) {
        waitq_wake(&peer->wq, ~0u);
        socket_put(peer);
    }
    waitq_wake(&s->wq, ~0u);
    if (socket_is_unix(s))
        unix_gc_socket_closed();
}

/* Connections that were never accepted. */
static void refuse_waiting(struct socket *s)
{
    for (;;) {
        lock_acquire(&g_net_lock);
        struct socket *c = list_first(&s->accept_queue, struct socket, accept_node);
        if (c) {
            list_del(&c->accept_node);
            s->accept_count--;
            c->embryo = true;
        }
        lock_release(&g_net_lock);
        if (!c)
            return;
        socket_discard(c);
    }
}

void socket_discard(struct socket *s)
{
    socket_close(s);
    socket_put(s);
}

/* ---- descriptor operations
 * ---------------------------------------------------------------------------- */

static int64_t sockfile_io(struct file *f, struct uio *u, bool write)
{
    struct socket *s = f->priv;
    struct net_msg m;
    net_msg_init(&m, u, u->nowait ? MSG_DONTWAIT : 0);
    struct task *t = task_current();
    int64_t ret = write ? net_sendmsg(t, s, f, &m) : net_recvmsg(t, s, f, &m);
    net_msg_release(&m);
    return ret;
}

static int64_t sockfile_read(struct file *f, struct uio *u, int64_t pos)
{
    if (!u->remaining)
        return 0; /* whatever the state of the socket, as System V did */
    return sockfile_io(f, u, /*write=*/false);
}

static int64_t sockfile_write(struct file *f, struct uio *u, int64_t pos)
{
    return sockfile_io(f, u, /*write=*/true);
}

static unsigned poll_ends(const struct socket *s)
{
    bool in_ended = s->shut_read || (s->rx_eof && !socket_is_unix(s)) ||
                    (s->rx_eof && socket_is_connected_type(s));
    unsigned ev = 0;
    if (s->error || !list_empty(&s->errq))
        ev |= POLLERR;
    if (in_ended)
        ev |= POLLRDHUP | POLLIN | POLLRDNORM;
    if (in_ended && s->shut_write)
        ev |= POLLHUP;
    if (socket_is_connected_type(s) && (s->state == SOCK_IDLE || s->state == SOCK_DONE))
        ev |= POLLHUP;
    return ev;
}

static bool poll_readable(const struct socket *s)
{
    if (list_empty(&s->rx))
        return false;
    return !(s->kind & K_TCP) || (int64_t)s->rx_bytes >= s->opt[OPT_RCVLOWAT] ||
           s->rx_bytes >= s->rcvbuf / 2;
}

static bool poll_writable(const struct socket *s)
{
    if (!s->peer || s->shut_write || s->family->drops_when_full)
        return !(s->type == SOCK_SEQPACKET && s->state == SOCK_LISTENING);
    const struct socket *to = s->peer;
    if (socket_is_unix(s) && !socket_is_connected_type(s))
        return (to->peer == s || to->rx_count <= net_knob(NET_UNIX_QLEN)) &&
               to->rx_bytes + sizeof(struct packet) <= s->sndbuf;
    return to->rx_bytes < MIN(to->rcvbuf, s->sndbuf);
}

unsigned socket_poll_locked(struct socket *s)
{
    if (s->state == SOCK_LISTENING)
        return s->accept_count ? POLLIN | POLLRDNORM : 0;
    if (s->connecting == CONNECT_WAITING)
        return s->error ? POLLERR : 0;
    unsigned ev = poll_ends(s);
    if (poll_readable(s))
        ev |= POLLIN | POLLRDNORM;
    if (s->urgent && s->urgent_unread)
        ev |= POLLPRI;
    if ((ev & POLLERR) && s->opt[OPT_SELECT_ERR_QUEUE] && !list_empty(&s->errq))
        ev |= POLLPRI;
    if (poll_writable(s))
        ev |= POLLOUT | POLLWRNORM | (s->kind & K_TCP ? 0 : POLLWRBAND);
    return ev;
}

static unsigned sockfile_poll(struct file *f)
{
    struct socket *s = f->priv;
    if (s->family->provider)
        return s->family->provider->poll(s);
    LOCK_GUARD(&g_net_lock);
    return socket_poll_locked(f->priv);
}

static struct waitq *sockfile_waitq(struct file *f)
{
    return &((struct socket *)f->priv)->wq;
}

static void sockfile_release(struct file *f)
{
    socket_discard(f->priv);
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
    if (socket_is_connected_type(s))
        return stream_unread_locked(s);
    struct packet *p = list_first(&s->rx, struct packet, node);
    return p ? p->size : 0;
}

/* SIOCGSTAMP, SIOCGSTAMPNS: when the last packet that was read came. */
static int64_t ioctl_stamp(struct task *t, struct socket *s, uint64_t arg, bool ns)
{
    packet_stamps_wanted();
    lock_acquire(&g_net_lock);
    int64_t at = s->last_stamp;
    lock_release(&g_net_lock);
    if (!at)
        return -ENOENT;
    struct timespec ts = {.tv_sec = at / NSEC_PER_SEC,
                          .tv_nsec = ns ? at % NSEC_PER_SEC : at % NSEC_PER_SEC / 1000};
    return uaccess_write_obj(t->mm, uaddr(arg), &ts) ? -EFAULT : 0;
}

/* The owner of SIGIO and SIGURG, as F_SETOWN and F_GETOWN: a process group is negative. */
static int64_t ioctl_owner(struct task *t, struct file *f, unsigned cmd, uint64_t arg)
{
    int id;
    if (cmd == 0x8903 || cmd == 0x8904) { /* FIOGETOWN, SIOCGPGRP */
        lock_acquire(&f->lock);
        id = f->async_owner_type == F_OWNER_PGRP ? -f->async_owner : f->async_owner;
        lock_release(&f->lock);
        return uaccess_write_obj(t->mm, uaddr(arg), &id) ? -EFAULT : 0;
    }
    if (uaccess_read_obj(t->mm, &id, uaddr(arg)))
        return -EFAULT;
    if (id == INT32_MIN)
        return -EINVAL;
    LOCK_GUARD(&f->lock);
    f->async_owner = id < 0 ? -id : id;
    f->async_owner_type = id < 0 ? F_OWNER_PGRP : F_OWNER_PID;
    return 0;
}

static int64_t sockfile_ioctl(struct file *f, struct task *t, unsigned cmd, uint64_t arg)
{
    struct socket *s = f->priv;
    int n;
    if (s->family->provider && (cmd < 0x8901 || cmd > 0x8904))
        return s->family->provider->ioctl(t, s, cmd, arg);
    switch (cmd) {
    case FIONREAD:
        if (s->state == SOCK_LISTENING)
            return -EINVAL;
        n = queued_bytes(s, /*out=*/false);
        break;
    case TIOCOUTQ:
    case 0x894b: /* SIOCOUTQNSD */
        if (s->state == SOCK_LISTENING)
            return -EINVAL;
        n = queued_bytes(s, /*out=*/true);
        break;
    case 0x8905: /* SIOCATMARK */
        if (!socket_is_stream(s))
            return s->kind & (K_TCP | K_UNIX) ? -EINVAL : -ENOTTY;
        n = stream_at_mark(s);
        break;
    case 0x8906: /* SIOCGSTAMP */
        if (socket_is_unix(s))
            return -ENOTTY;
        return ioctl_stamp(t, s, arg, /*ns=*/false);
    case 0x8907: /* SIOCGSTAMPNS */
        if (socket_is_unix(s))
            return -ENOTTY;
        return ioctl_stamp(t, s, arg, /*ns=*/true);
    case 0x8901 ... 0x8904: /* FIOSETOWN, SIOCSPGRP, FIOGETOWN, SIOCGPGRP */
        return ioctl_owner(t, f, cmd, arg);
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

int socket_file(struct socket *s, int type_flags, struct file **out)
{
    unsigned flags = O_RDWR | (type_flags & SOCK_NONBLOCK ? O_NONBLOCK : 0);
    int err = file_new_anon(&g_socket_file_ops, flags, s, S_IFSOCK | 0777, out);
    if (err) {
        socket_discard(s);
        return err;
    }
    LOCK_GUARD(&g_net_lock);
    s->file = *out;
    return 0;
}

int64_t socket_install(struct task *t, struct socket *s, int type_flags)
{
    struct file *f;
    int err = socket_file(s, type_flags, &f);
    if (err)
        return err;
    int fd = fdtable_install(t, f, 0, type_flags & SOCK_CLOEXEC);
    if (fd < 0)
        file_put(f);
    return fd;
}
