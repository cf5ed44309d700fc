/* --network=host: AF_INET and AF_INET6 stream and datagram sockets, and NETLINK_ROUTE for reading,
 * are sockets of the host, in the network namespace that the sentry was started in.
 *
 * Every host socket is non-blocking; a guest that waits sleeps on the socket's wait queue, which
 * the poller thread wakes. Data goes between the host kernel and guest memory in one copy. What a
 * guest gives the host kernel is a copy of ours, of known shape: options that hold pointers or
 * descriptors are refused. The sentry has no capabilities, so neither have its sockets: no raw
 * sockets, no ports that are the host administrator's. */
#include "base/host.h"
#include "base/overflow.h"
#include "net/net_priv.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/if.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#define BOUNCE_MAX   (256 * 1024)
#define IOV_MAX_HOST 64

struct host_socket {            /* socket.priv */
    int fd;                     /* const */
    struct poller_entry *entry; /* const */
};

static bool g_enabled; /* const after init */
extern const struct family g_family_host4, g_family_host6, g_family_host_netlink;

void net_use_host(void)
{
    g_enabled = true;
}

const struct family *hostnet_family(int domain, int type, int protocol)
{
    if (!g_enabled)
        return NULL;
    if (domain == AF_INET)
        return &g_family_host4;
    if (domain == AF_INET6)
        return &g_family_host6;
    return domain == AF_NETLINK && protocol == NETLINK_ROUTE ? &g_family_host_netlink : NULL;
}

static int fd_of(struct socket *s)
{
    return ((struct host_socket *)s->priv)->fd;
}

/* Tell us when these become true: they are not now. */
static void want(struct socket *s, unsigned events)
{
    poller_want(((struct host_socket *)s->priv)->entry, events);
}

/* ---- life
 * ------------------------------------------------------------------------ */

/* fd is consumed, also on failure. */
static int attach(struct socket *s, int fd)
{
    struct host_socket *h = calloc(1, sizeof(*h));
    int err = h ? poller_add(fd, EPOLLIN | EPOLLOUT, &s->wq, &h->entry) : -ENOMEM;
    if (err) {
        host_close(fd);
        free(h);
        return err;
    }
    h->fd = fd;
    s->priv = h;
    s->kind = K_HOST;
    return 0;
}

static int host_init(struct task *t, struct socket *s)
{
    bool netlink = s->domain == AF_NETLINK;
    if (s->type == SOCK_RAW && !netlink)
        return s->protocol ? -EPERM : -EPROTONOSUPPORT;
    if (s->type != SOCK_STREAM && s->type != SOCK_DGRAM && !netlink)
        return -ESOCKTNOSUPPORT;
    if (s->type == SOCK_STREAM ? s->protocol && s->protocol != IPPROTO_TCP
                               : s->protocol && s->protocol != IPPROTO_UDP &&
                                     s->protocol != IPPROTO_ICMP && s->protocol != IPPROTO_ICMPV6)
        return s->protocol < 0 || s->protocol > 262 ? -EINVAL : -EPROTONOSUPPORT;
    if (netlink && s->type != SOCK_RAW && s->type != SOCK_DGRAM)
        return -ESOCKTNOSUPPORT;
    int fd = host_socket(s->domain, netlink ? SOCK_RAW : s->type, s->protocol);
    if (fd < 0)
        return fd;
    if (!netlink && !s->protocol)
        s->protocol = s->type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP;
    return attach(s, fd);
}

static void host_socket_close(struct socket *s)
{
    struct host_socket *h = s->priv;
    poller_remove(h->entry);
    host_close(h->fd);
    h->entry = NULL;
    h->fd = -1;
}

/* ---- names
 * ------------------------------------------------------------------------ */

static int host_bind_(struct task *t, struct socket *s, const struct net_addr *a)
{
    return host_bind(fd_of(s), &a->ss, a->size);
}

static int host_name(struct socket *s, bool peer, struct net_addr *out)
{
    unsigned size = sizeof(out->ss);
    memset(out, 0, sizeof(*out));
    int err = host_sockname(fd_of(s), peer, &out->ss, &size);
    out->size = MIN(size, (unsigned)sizeof(out->ss));
    return err;
}

/* ---- connect, accept
 * ------------------------------------------------------------------------ */

/* Is it decided? 1 connected, 0 not yet, else the error. */
static int connect_result(struct socket *s)
{
    struct pollfd p = {.fd = fd_of(s), .events = POLLOUT};
    int err = 0;
    unsigned size = sizeof(err);
    if (host_poll(&p, 1, 0) <= 0) {
        want(s, EPOLLOUT);
        return 0;
    }
    int r = host_getsockopt(fd_of(s), SOL_SOCKET, SO_ERROR, &err, &size);
    return r ? r : err ? -err : 1;
}

static int host_connect_(struct task *t, struct socket *s, struct file *f, const struct net_addr *a)
{
    int err = host_connect(fd_of(s), &a->ss, a->size);
    bool waits = err == -EINPROGRESS || err == -EALREADY;
    if (!waits || socket_nonblocking(f, 0)) {
        if (waits)
            want(s, EPOLLOUT);
        return err;
    }
    int done = 0;
    int r = wait_event_mask(t, &s->wq, ~0u, socket_deadline(s->sndtimeo),
                            (done = connect_result(s)) != 0);
    if (r)
        return r == -ETIMEDOUT ? -EINPROGRESS : socket_wait_result(r, s->sndtimeo);
    if (done < 0) { /* one that waits leaves the socket as it was; ours, which did not, must be told */
        const struct sockaddr none = {.sa_family = AF_UNSPEC};
        (void)host_connect(fd_of(s), &none, sizeof(none));
    }
    return done > 0 ? 0 : done;
}

static int host_listen_(struct socket *s, int backlog)
{
    return host_listen(fd_of(s), backlog);
}

static int try_accept(struct task *t, struct socket *s, struct socket **out)
{
    struct net_addr a = {.size = sizeof(a.ss)};
    int fd = host_accept(fd_of(s), &a.ss, &a.size);
    if (fd == -EAGAIN)
        want(s, EPOLLIN);
    if (fd < 0)
        return fd;
    struct socket *c;
    int err = socket_new_of(t, s->family, s->type, s->protocol, /*init=*/false, &c);
    if (err) {
        host_close(fd);
        return err;
    }
    err = attach(c, fd);
    if (err) {
        socket_put(c);
        return err;
    }
    c->rcvtimeo = s->rcvtimeo;
    c->sndtimeo = s->sndtimeo;
    c->remote = a;
    *out = c;
    return 0;
}

static int host_accept_(struct task *t, struct socket *s, struct file *f, struct socket **out)
{
    int err = try_accept(t, s, out);
    if (err != -EAGAIN || socket_nonblocking(f, 0))
        return err;
    int r = wait_event_mask(t, &s->wq, ~0u, socket_deadline(s->rcvtimeo),
                            (err = try_accept(t, s, out)) != -EAGAIN);
    return r ? socket_wait_result(r, s->rcvtimeo) : err;
}

static int host_shutdown_(struct socket *s, int how)
{
    int err = how < SHUT_RD || how > SHUT_RDWR ? -EINVAL : host_shutdown(fd_of(s), how);
    return err;
}

/* ---- data
 * ------------------------------------------------------------------------ */

/* What the host kernel is given of the caller's flags: all but those that would make it wait, or
 * hold on to guest memory. */
static int flags_out(int flags, bool send)
{
    int f = flags & (MSG_OOB | MSG_PEEK | MSG_DONTROUTE | MSG_TRUNC | MSG_ERRQUEUE | MSG_MORE |
                     MSG_EOR | MSG_CONFIRM | MSG_FASTOPEN);
    if (send)
        f &= ~(MSG_PEEK | MSG_TRUNC | MSG_ERRQUEUE);
    return f | MSG_DONTWAIT | MSG_NOSIGNAL;
}

static size_t iov_size(const struct iovec *iov, int n)
{
    size_t total = 0;
    for (int i = 0; i < n; i++)
        total += iov[i].iov_len;
    return total;
}

/* One host call on a buffer of ours: where guest memory cannot be given to the host directly. */
static int64_t move_bounced(struct socket *s, struct net_msg *m, struct msghdr *h, bool send)
{
    size_t size = MIN(m->uio->remaining, (uint64_t)BOUNCE_MAX);
    char *buf = malloc(size + 1);
    if (!buf)
        return -ENOBUFS;
    struct uio look = *m->uio; /* what is not sent now is sent again */
    if (send && size && uio_from_user(&look, buf, size) < size) {
        free(buf);
        return -EFAULT;
    }
    struct iovec iov = {buf, size};
    h->msg_iov = &iov;
    h->msg_iovlen = 1;
    int64_t n = send ? host_sendmsg(fd_of(s), h, flags_out(m->flags, true))
                     : host_recvmsg(fd_of(s), h, flags_out(m->flags, false));
    size_t moved = n > 0 ? MIN((size_t)n, size) : 0;
    bool discard = !send && s->type == SOCK_STREAM && (m->flags & MSG_TRUNC);
    if (send || discard)
        uio_advance(m->uio, moved);
    else if (moved && uio_to_user(m->uio, buf, moved) < moved)
        n = -EFAULT;
    free(buf);
    return n;
}

/* One host call straight on guest memory. -EOPNOTSUPP: it has to be bounced. */
static int64_t move_pinned(struct socket *s, struct net_msg *m, struct msghdr *h, bool send)
{
    struct iovec iov[IOV_MAX_HOST];
    if (!m->uio->remaining || !m->uio->mm)
        return -EOPNOTSUPP;
    int n = uio_pin(m->uio, send ? PL_READ : PL_WRITE, iov, IOV_MAX_HOST, m->uio->remaining);
    if (n <= 0)
        return n ? n : -EFAULT;
    if (s->type != SOCK_STREAM && iov_size(iov, n) < m->uio->remaining) {
        uio_unpin(m->uio);
        return -EOPNOTSUPP; /* a datagram is one piece */
    }
    h->msg_iov = iov;
    h->msg_iovlen = n;
    int64_t ret = send ? host_sendmsg(fd_of(s), h, flags_out(m->flags, true))
                       : host_recvmsg(fd_of(s), h, flags_out(m->flags, false));
    size_t all = iov_size(iov, n);
    uio_unpin(m->uio);
    if (ret > 0)
        uio_advance(m->uio, MIN((size_t)ret, all));
    return ret;
}

static int64_t move(struct socket *s, struct net_msg *m, struct msghdr *h, bool send)
{
    int64_t n = move_pinned(s, m, h, send);
    if (n == -EOPNOTSUPP)
        n = move_bounced(s, m, h, send);
    if (n == -EAGAIN)
        want(s, send ? EPOLLOUT : EPOLLIN);
    return n;
}

static int64_t try_send(struct socket *s, struct net_msg *m)
{
    struct msghdr h = {.msg_name = m->addr_size ? &m->addr : NULL,
                       .msg_namelen = m->addr_size,
                       .msg_control = m->raw_control,
                       .msg_controllen = m->raw_control_size};
    return move(s, m, &h, /*send=*/true);
}

static int64_t try_recv(struct socket *s, struct net_msg *m)
{
    struct msghdr h = {.msg_name = &m->addr,
                       .msg_namelen = sizeof(m->addr),
                       .msg_control = m->control,
                       .msg_controllen = m->control_room};
    int64_t n = move(s, m, &h, /*send=*/false);
    if (n < 0)
        return n;
    m->addr_size = h.msg_namelen;
    m->out_flags = h.msg_flags & ~MSG_CMSG_CLOEXEC;
    m->control_size = MIN((size_t)h.msg_controllen, m->control_room);
    return n;
}

static int64_t host_send_(struct task *t, struct socket *s, struct file *f, struct net_msg *m)
{
    int64_t sent = 0, deadline = socket_deadline(s->sndtimeo), n = 0;
    bool stream = s->type == SOCK_STREAM;
    do {
        n = try_send(s, m);
        if (n == -EAGAIN && !socket_nonblocking(f, m->flags)) {
            int r = wait_event_mask(t, &s->wq, ~0u, deadline, (n = try_send(s, m)) != -EAGAIN);
            if (r)
                n = socket_wait_result(r, s->sndtimeo);
        }
        if (n < 0)
            break;
        sent += n;
    } while (stream && m->uio->remaining && n);
    if (sent)
        return sent;
    if (n == -EPIPE && stream && !(m->flags & MSG_NOSIGNAL))
        (void)signal_send_task(t, SIGPIPE, NULL);
    return n;
}

static int64_t host_recv_(struct task *t, struct socket *s, struct file *f, struct net_msg *m)
{
    int64_t total = 0, deadline = socket_deadline(s->rcvtimeo), n;
    bool all = s->type == SOCK_STREAM && (m->flags & MSG_WAITALL) &&
               !(m->flags & (MSG_PEEK | MSG_ERRQUEUE | MSG_OOB));
    bool now = socket_nonblocking(f, m->flags) || (m->flags & (MSG_ERRQUEUE | MSG_OOB));
    do {
        n = try_recv(s, m);
        if (n == -EAGAIN && !now) {
            int r = wait_event_mask(t, &s->wq, ~0u, deadline, (n = try_recv(s, m)) != -EAGAIN);
            if (r)
                n = socket_wait_result(r, s->rcvtimeo);
        }
        if (n > 0)
            total += n;
    } while (all && n > 0 && m->uio->remaining);
    return total ? total : n;
}

/* The host kernel checks them; descriptors are not for it. */
static int host_parse_control(struct net_msg *m, const char *buf, size_t size)
{
    for (size_t at = 0; size - at >= sizeof(struct cmsghdr);) {
        struct cmsghdr h;
        memcpy(&h, buf + at, sizeof(h));
        if (h.cmsg_len < sizeof(h) || h.cmsg_len > size - at)
            return -EINVAL;
        if (h.cmsg_level == SOL_SOCKET &&
            (h.cmsg_type == SCM_RIGHTS || h.cmsg_type == SCM_CREDENTIALS))
            return -EINVAL;
        size_t step = CMSG_ALIGN(h.cmsg_len);
        if (step >= size - at)
            break;
        at += step;
    }
    m->raw_control = malloc(size);
    if (!m->raw_control)
        return -ENOBUFS;
    memcpy(m->raw_control, buf, size);
    m->raw_control_size = size;
    return 0;
}

/* ---- readiness
 * ------------------------------------------------------------------------ */

static unsigned host_poll_(struct socket *s)
{
    struct pollfd p = {.fd = fd_of(s),
                       .events = POLLIN | POLLRDNORM | POLLPRI | POLLOUT | POLLWRNORM | POLLWRBAND |
                                 POLLRDHUP};
    unsigned missing = 0;
    if (host_poll(&p, 1, 0) < 0)
        return POLLERR;
    if (!(p.revents & POLLIN))
        missing |= EPOLLIN | EPOLLPRI | EPOLLRDHUP;
    if (!(p.revents & POLLOUT))
        missing |= EPOLLOUT;
    if (missing && !(p.revents & (POLLERR | POLLHUP)))
        want(s, missing);
    return p.revents;
}

/* ---- options
 * ------------------------------------------------------------------------ */

/* Values with pointers or descriptors in them, and what would tie guest memory to the host kernel.
 */
static int option_refused(int level, int name)
{
    if (level == SOL_SOCKET) {
        switch (name) {
        case SO_ATTACH_FILTER: /* also SO_GET_FILTER */
        case SO_ATTACH_BPF:
        case SO_ATTACH_REUSEPORT_CBPF:
        case SO_ATTACH_REUSEPORT_EBPF:
        case SO_ZEROCOPY:
        case SO_PEERSEC:
        case 77 /* SO_PEERPIDFD */:
            return -ENOPROTOOPT;
        }
        return 0;
    }
    if (level == IPPROTO_TCP)
        return name == TCP_ULP ? -ENOENT : name == 35 /* TCP_ZEROCOPY_RECEIVE */ ? -EINVAL : 0;
    if (level == IPPROTO_IP || level == IPPROTO_IPV6)
        return name >= 64 && name < 66 ? -ENOPROTOOPT : 0; /* netfilter's tables */
    return level == IPPROTO_UDP || level == 270 /* SOL_NETLINK */ ? 0 : -ENOPROTOOPT;
}

/* A filter is copied, as all else is; the host kernel checks it. */
static int set_filter(struct task *t, struct socket *s, const struct opt_in *in)
{
    struct sock_fprog prog;
    if (in->size != sizeof(prog))
        return -EINVAL;
    if (in->fault)
        return -EFAULT;
    memcpy(&prog, in->value, sizeof(prog));
    if (!prog.len || prog.len > BPF_MAXINSNS)
        return -EINVAL;
    size_t size = prog.len * sizeof(struct sock_filter);
    struct sock_filter *code = malloc(size);
    if (!code)
        return -ENOMEM;
    int err = uaccess_read(t->mm, code, uaddr((uint64_t)prog.filter), size) ? -EFAULT : 0;
    prog.filter = code;
    if (!err)
        err = host_setsockopt(fd_of(s), SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog));
    free(code);
    return err;
}

static int host_setopt_(struct task *t, struct socket *s, int level, int name,
                        const struct opt_in *in)
{
    if (level == SOL_SOCKET && name == SO_ATTACH_FILTER)
        return set_filter(t, s, in);
    int err = option_refused(level, name);
    if (err)
        return err;
    bool receive = name == SO_RCVTIMEO || name == SO_RCVTIMEO_NEW;
    if (level == SOL_SOCKET && (receive || name == SO_SNDTIMEO || name == SO_SNDTIMEO_NEW))
        return opt_set_timeout(in, receive ? &s->rcvtimeo : &s->sndtimeo);
    if (in->fault && in->size)
        return -EFAULT;
    return host_setsockopt(fd_of(s), level, name, in->value, MIN(in->size, NET_OPT_MAX));
}

static int host_getopt_(struct task *t, struct socket *s, int level, int name, void *v,
                        unsigned *size)
{
    int err = option_refused(level, name);
    if (err)
        return err;
    bool receive = name == SO_RCVTIMEO || name == SO_RCVTIMEO_NEW;
    if (level == SOL_SOCKET && (receive || name == SO_SNDTIMEO || name == SO_SNDTIMEO_NEW))
        return opt_give_timeout(v, size, receive ? s->rcvtimeo : s->sndtimeo);
    memset(v, 0, *size);
    return host_getsockopt(fd_of(s), level, name, v, size);
}

/* ---- ioctls
 * ------------------------------------------------------------------------ */

static int64_t ifconf(struct task *t, int fd, uint64_t arg)
{
    struct ifconf c;
    if (uaccess_read_obj(t->mm, &c, uaddr(arg)))
        return -EFAULT;
    uint64_t at = (uint64_t)c.ifc_req;
    int room = c.ifc_len < 0 ? 0 : MIN(c.ifc_len, 65536);
    char *buf = at ? calloc(1, room + 1) : NULL;
    if (at && !buf)
        return -ENOMEM;
    c.ifc_buf = buf;
    c.ifc_len = room;
    int err = host_ioctl(fd, SIOCGIFCONF, &c);
    int n = MIN(c.ifc_len, room);
    if (!err && at && n > 0 && uaccess_write(t->mm, uaddr(at), buf, n))
        err = -EFAULT;
    free(buf);
    if (!err && uaccess_write(t->mm, uaddr(arg), &c.ifc_len, sizeof(c.ifc_len)))
        err = -EFAULT;
    return err;
}

static int64_t ioctl_interface(struct task *t, int fd, unsigned cmd, uint64_t arg)
{
    struct ifreq r;
    static const uint16_t known[] = {SIOCGIFNAME,  SIOCGIFFLAGS,   SIOCGIFADDR,    SIOCGIFDSTADDR,
                                     SIOCGIFMTU,   SIOCGIFBRDADDR, SIOCGIFNETMASK, SIOCGIFMETRIC,
                                     SIOCGIFINDEX, SIOCGIFHWADDR,  SIOCGIFTXQLEN,  SIOCGIFMAP};
    bool found = false;
    if (cmd == SIOCGIFCONF)
        return ifconf(t, fd, arg);
    for (unsigned i = 0; i < ARRAY_COUNT(known); i++)
        found |= known[i] == cmd;
    if (!found)
        return cmd >= 0x8910 && cmd <= 0x8950 ? -EPERM : -ENOTTY;
    if (uaccess_read_obj(t->mm, &r, uaddr(arg)))
        return -EFAULT;
    int err = host_ioctl(fd, cmd, &r);
    return err ? err : uaccess_write_obj(t->mm, uaddr(arg), &r) ? -EFAULT : 0;
}

int64_t hostnet_ioctl_interface(struct task *t, unsigned cmd, uint64_t arg)
{
    int fd = host_socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0)
        return fd;
    int64_t r = ioctl_interface(t, fd, cmd, arg);
    host_close(fd);
    return r;
}

static int64_t host_ioctl_(struct task *t, struct socket *s, unsigned cmd, uint64_t arg)
{
    int n = 0, err;
    struct timespec ts;
    switch (cmd) {
    case FIONREAD:
    case TIOCOUTQ:
    case SIOCATMARK:
    case SIOCOUTQNSD:
        err = host_ioctl(fd_of(s), cmd, &n);
        return err ? err : uaccess_write_obj(t->mm, uaddr(arg), &n) ? -EFAULT : 0;
    case 0x8906: /* SIOCGSTAMP, SIOCGSTAMPNS */
    case 0x8907:
        err = host_ioctl(fd_of(s), cmd, &ts);
        return err ? err : uaccess_write_obj(t->mm, uaddr(arg), &ts) ? -EFAULT : 0;
    }
    return ioctl_interface(t, fd_of(s), cmd, arg);
}

static const struct net_provider g_provider = {
    .listen = host_listen_,
    .accept = host_accept_,
    .shutdown = host_shutdown_,
    .recv = host_recv_,
    .setopt = host_setopt_,
    .getopt = host_getopt_,
    .poll = host_poll_,
    .ioctl = host_ioctl_,
    .parse_control = host_parse_control,
    .close = host_socket_close,
};

#define HOST_FAMILY(d)                                                                             \
    {                                                                                              \
        .domain = d, .init = host_init, .bind = host_bind_, .connect = host_connect_,              \
        .name = host_name, .send = host_send_, .provider = &g_provider,                            \
    }
const struct family g_family_host4 = HOST_FAMILY(AF_INET);
const struct family g_family_host6 = HOST_FAMILY(AF_INET6);
const struct family g_family_host_netlink = HOST_FAMILY(AF_NETLINK);
