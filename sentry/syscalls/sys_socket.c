/* Socket calls: decode addresses, message headers and ancillary data, then the net room. */
#include "base/overflow.h"
#include "fs/vfs.h"
#include "net/net.h"
#include "syscalls/syscalls.h"
#include "time/time.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* Linux's struct msghdr and mmsghdr as the guest lays them out. */
struct guest_msghdr {
    uint64_t name;
    uint32_t name_size, pad;
    uint64_t iov, iov_count, control, control_size;
    uint32_t flags, pad2;
};
struct guest_mmsghdr {
    struct guest_msghdr hdr;
    uint32_t size, pad;
};

/* ---- addresses
 * ----------------------------------------------------------------------------------------- */

static int addr_import(struct task *t, uint64_t ua, uint64_t size, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof(*out));
    if ((int)size < 0 || (unsigned)size > sizeof(*out))
        return -EINVAL;
    return size ? uaccess_read(t->mm, out, uaddr(ua), (unsigned)size) : 0;
}

/* accept(2) and kin: *ua_size is the room on the way in, the true size on the way out. */
static int addr_export(struct task *t, uint64_t ua, uint64_t ua_size,
                       const struct sockaddr_storage *addr, unsigned size)
{
    int room;
    if (!ua)
        return 0;
    if (uaccess_read_obj(t->mm, &room, uaddr(ua_size)))
        return -EFAULT;
    if (room < 0)
        return -EINVAL;
    unsigned n = MIN(size, (unsigned)room);
    if (n && uaccess_write(t->mm, uaddr(ua), addr, n))
        return -EFAULT;
    return uaccess_write_obj(t->mm, uaddr(ua_size), &size);
}

/* ---- simple calls
 * ------------------------------------------------------------------------------------- */

int64_t sys_socket(struct task *t, const struct sysargs *a)
{
    return net_socket(t, (int)a->v[0], (int)a->v[1], (int)a->v[2]);
}

/* As Linux: the descriptors are there, and their numbers stored, before there are sockets. */
static int pair_room(struct task *t, uint64_t ua)
{
    int fds[2] = {0, 0};
    int taken = 0, n = 0;
    for (int fd = 0;
         taken < 2 && fd < (int)MIN(rlimit_get(t->process, RLIMIT_NOFILE), (uint64_t)INT32_MAX);
         fd++, n++) {
        struct file *f = fdtable_get(t->fds, fd);
        if (f)
            file_put(f);
        else
            fds[taken++] = fd;
    }
    if (taken < 2)
        return -EMFILE;
    return uaccess_write(t->mm, uaddr(ua), fds, sizeof(fds)) ? -EFAULT : 0;
}

static int64_t pair_install(struct task *t, struct file *f[2], bool cloexec, uint64_t ua)
{
    int fds[2];
    fds[0] = fdtable_install(t, f[0], 0, cloexec);
    if (fds[0] < 0)
        file_put(f[0]);
    fds[1] = fds[0] < 0 ? fds[0] : fdtable_install(t, f[1], 0, cloexec);
    if (fds[1] < 0)
        file_put(f[1]);
    if (fds[1] >= 0 && !uaccess_write(t->mm, uaddr(ua), fds, sizeof(fds)))
        return 0;
    if (fds[0] >= 0)
        (void)fdtable_close(t, fds[0]);
    if (fds[1] >= 0)
        (void)fdtable_close(t, fds[1]);
    return fds[1] < 0 ? fds[1] : -EFAULT;
}

int64_t sys_socketpair(struct task *t, const struct sysargs *a)
{
    struct file *f[2];
    int type = (int)a->v[1];
    if (type & ~(0xf | SOCK_CLOEXEC | SOCK_NONBLOCK))
        return -EINVAL;
    int64_t err = pair_room(t, a->v[3]);
    if (!err)
        err = net_socketpair(t, (int)a->v[0], type, (int)a->v[2], f);
    return err ? err : pair_install(t, f, type & SOCK_CLOEXEC, a->v[3]);
}

/* EBADF and ENOTSOCK come before what is wrong with the address. */
static int check_socket(struct task *t, int fd)
{
    struct file *f;
    struct socket *s;
    int err = net_socket_of(t, fd, &f, &s);
    if (!err)
        file_put(f);
    return err;
}

int64_t sys_bind(struct task *t, const struct sysargs *a)
{
    struct sockaddr_storage ss;
    int64_t err = check_socket(t, (int)a->v[0]);
    if (!err)
        err = addr_import(t, a->v[1], a->v[2], &ss);
    return err ? err : net_bind(t, (int)a->v[0], &ss, (unsigned)a->v[2]);
}

int64_t sys_connect(struct task *t, const struct sysargs *a)
{
    struct sockaddr_storage ss;
    struct file *f = fdtable_get_io(t->fds, (int)a->v[0]);
    if (!f)
        return -EBADF;
    file_put(f);
    int64_t err = addr_import(t, a->v[1], a->v[2], &ss); /* is it a socket: asked only then */
    return err ? err : net_connect(t, (int)a->v[0], &ss, (unsigned)a->v[2]);
}

int64_t sys_listen(struct task *t, const struct sysargs *a)
{
    return net_listen(t, (int)a->v[0], (int)a->v[1]);
}

static int64_t accept_common(struct task *t, const struct sysargs *a, int flags)
{
    struct sockaddr_storage ss;
    unsigned size;
    int64_t fd = net_accept(t, (int)a->v[0], flags, &ss, &size);
    if (fd < 0)
        return fd;
    int err = addr_export(t, a->v[1], a->v[2], &ss, size);
    if (err) {
        (void)fdtable_close(t, fd);
        return err;
    }
    return fd;
}

int64_t sys_accept(struct task *t, const struct sysargs *a)
{
    return accept_common(t, a, 0);
}

int64_t sys_accept4(struct task *t, const struct sysargs *a)
{
    return accept_common(t, a, (int)a->v[3]);
}

int64_t sys_shutdown(struct task *t, const struct sysargs *a)
{
    return net_shutdown(t, (int)a->v[0], (int)a->v[1]);
}

static int64_t name_common(struct task *t, const struct sysargs *a, bool peer)
{
    struct sockaddr_storage ss;
    unsigned size;
    int room;
    int64_t err = net_getname(t, (int)a->v[0], peer, &ss, &size);
    if (err)
        return err;
    if (uaccess_read_obj(t->mm, &room, uaddr(a->v[2])) || (!a->v[1] && room))
        return -EFAULT;
    if (room < 0)
        return -EINVAL;
    return a->v[1] ? addr_export(t, a->v[1], a->v[2], &ss, size) : 0;
}

int64_t sys_getsockname(struct task *t, const struct sysargs *a)
{
    return name_common(t, a, /*peer=*/false);
}

int64_t sys_getpeername(struct task *t, const struct sysargs *a)
{
    return name_common(t, a, /*peer=*/true);
}

int64_t sys_setsockopt(struct task *t, const struct sysargs *a)
{
    char value[NET_OPT_MAX];
    int size = (int)a->v[4];
    int64_t err = check_socket(t, (int)a->v[0]);
    if (err)
        return err;
    if (size < 0)
        return -EINVAL;
    unsigned n = MIN((unsigned)size, NET_OPT_MAX);
    bool fault = n && uaccess_read(t->mm, value, uaddr(a->v[3]), n);
    return net_setsockopt(t, (int)a->v[0], (int)a->v[1], (int)a->v[2], value, size, fault);
}

/* Options whose size is not in bytes, or is told when it was too small: SO_GET_FILTER
 * (instructions) and SO_PEERGROUPS. */
static unsigned value_bytes(const struct sysargs *a, unsigned size)
{
    bool filter = (int)a->v[1] == SOL_SOCKET && (int)a->v[2] == SO_ATTACH_FILTER;
    return filter ? size * 8 : size;
}

int64_t sys_getsockopt(struct task *t, const struct sysargs *a)
{
    char value[NET_OPT_MAX];
    int room;
    int64_t err = check_socket(t, (int)a->v[0]);
    if (err)
        return err;
    if (uaccess_read_obj(t->mm, &room, uaddr(a->v[4])))
        return -EFAULT;
    if (room < 0)
        return -EINVAL;
    unsigned size = MIN((unsigned)room, NET_OPT_MAX);
    err = net_getsockopt(t, (int)a->v[0], (int)a->v[1], (int)a->v[2], value, &size);
    if (err == -ERANGE && uaccess_write_obj(t->mm, uaddr(a->v[4]), &size))
        return -EFAULT;
    if (err)
        return err;
    unsigned n = room ? value_bytes(a, size) : 0;
    if (n && uaccess_write(t->mm, uaddr(a->v[3]), value, MIN(n, NET_OPT_MAX)))
        return -EFAULT;
    return uaccess_write_obj(t->mm, uaddr(a->v[4]), &size) ? -EFAULT : 0;
}

/* ---- ancillary data
 * ------------------------------------------------------------------------------------ */

static int control_import(struct task *t, struct net_msg *m, struct socket *s,
                          const struct guest_msghdr *h)
{
    if (h->control_size > INT32_MAX)
        return -ENOBUFS;
    if (!h->control_size)
        return 0;
    if (h->control_size > NET_CONTROL_MAX)
        return -ENOBUFS;
    char *buf = malloc(h->control_size);
    if (!buf)
        return -ENOBUFS;
    int err = uaccess_read(t->mm, buf, uaddr(h->control), h->control_size) ? -EFAULT : 0;
    if (!err)
        err = net_control_parse(t, s, m, buf, h->control_size);
    free(buf);
    return err;
}

/* ---- messages
 * ------------------------------------------------------------------------------------------ */

static int msghdr_check(struct guest_msghdr *h)
{
    if (!h->name)
        h->name_size = 0;
    if ((int)h->name_size < 0)
        return -EINVAL;
    h->name_size = MIN(h->name_size, (unsigned)sizeof(struct sockaddr_storage));
    return h->iov_count > UIO_MAX_SEGS ? -EMSGSIZE : 0;
}

static int64_t send_one(struct task *t, struct file *f, struct socket *s, struct guest_msghdr *h,
                        int flags)
{
    struct uio u;
    struct net_msg m;
    int64_t ret = msghdr_check(h);
    if (!ret)
        ret = uio_import(&u, t->mm, uaddr(h->iov), h->iov_count);
    if (ret)
        return ret;
    net_msg_init(&m, &u, flags);
    m.addr_size = h->name_size;
    ret = m.addr_size ? addr_import(t, h->name, m.addr_size, &m.addr) : 0;
    if (ret == 0)
        ret = control_import(t, &m, s, h);
    if (ret == 0)
        ret = net_sendmsg(t, s, f, &m);
    net_msg_release(&m);
    uio_free(&u);
    return ret;
}

static int64_t recv_finish(struct task *t, struct net_msg *m, struct guest_msghdr *h)
{
    unsigned n = MIN(m->addr_size, h->name_size);
    net_control_finish(t, m);
    if (m->control_size && uaccess_write(t->mm, uaddr(h->control), m->control, m->control_size))
        return -EFAULT;
    if (h->name && n && uaccess_write(t->mm, uaddr(h->name), &m->addr, n))
        return -EFAULT;
    if (h->name)
        h->name_size = m->addr_size;
    h->control_size = m->control_size;
    h->flags = m->out_flags | (m->flags & MSG_CMSG_CLOEXEC);
    return 0;
}

#define CONTROL_IN_MAX 4096 /* more than all that one receive can tell */

static int64_t recv_one(struct task *t, struct file *f, struct socket *s, struct guest_msghdr *h,
                        int flags)
{
    struct uio u;
    struct net_msg m;
    char control[CONTROL_IN_MAX];
    int64_t ret = msghdr_check(h);
    if (!ret)
        ret = uio_import(&u, t->mm, uaddr(h->iov), h->iov_count);
    if (ret)
        return ret;
    net_msg_init(&m, &u, flags);
    m.control = h->control ? control : NULL;
    m.control_room = h->control ? MIN(h->control_size, (uint64_t)sizeof(control)) : 0;
    ret = net_recvmsg(t, s, f, &m);
    if (ret >= 0) {
        int64_t err = recv_finish(t, &m, h);
        ret = err ? err : ret;
    }
    net_msg_release(&m);
    uio_free(&u);
    return ret;
}

int64_t sys_sendto(struct task *t, const struct sysargs *a)
{
    struct file *f;
    struct socket *s;
    struct net_msg m;
    struct uio u;
    int64_t ret = net_socket_of(t, (int)a->v[0], &f, &s);
    if (ret)
        return ret;
    uio_init_user(&u, t->mm, uaddr(a->v[1]), MIN(a->v[2], (uint64_t)UIO_MAX_BYTES));
    net_msg_init(&m, &u, (int)a->v[3]);
    if (a->v[4]) {
        ret = addr_import(t, a->v[4], a->v[5], &m.addr);
        m.addr_size = a->v[5];
    }
    if (ret == 0)
        ret = net_sendmsg(t, s, f, &m);
    net_msg_release(&m);
    file_put(f);
    return ret;
}

int64_t sys_recvfrom(struct task *t, const struct sysargs *a)
{
    struct file *f;
    struct socket *s;
    struct net_msg m;
    struct uio u;
    int64_t ret = net_socket_of(t, (int)a->v[0], &f, &s);
    if (ret)
        return ret;
    uio_init_user(&u, t->mm, uaddr(a->v[1]), MIN(a->v[2], (uint64_t)UIO_MAX_BYTES));
    net_msg_init(&m, &u, (int)a->v[3]);
    ret = net_recvmsg(t, s, f, &m);
    net_msg_release(&m); /* recvfrom has no place for descriptors: they are closed */
    if (ret >= 0 && a->v[4]) {
        int err = addr_export(t, a->v[4], a->v[5], &m.addr, m.addr_size);
        ret = err ? err : ret;
    }
    file_put(f);
    return ret;
}

int64_t sys_sendmsg(struct task *t, const struct sysargs *a)
{
    struct guest_msghdr h;
    struct file *f;
    struct socket *s;
    if ((unsigned)a->v[2] & 0x80000000) /* MSG_CMSG_COMPAT */
        return -EINVAL;
    int64_t ret = net_socket_of(t, (int)a->v[0], &f, &s);
    if (ret)
        return ret;
    ret =
        uaccess_read_obj(t->mm, &h, uaddr(a->v[1])) ? -EFAULT : send_one(t, f, s, &h, (int)a->v[2]);
    file_put(f);
    return ret;
}

/* What comes back of a header: the size of the name, if there is room for one, flags, and the size
 * of the control messages. */
static int msghdr_export(struct task *t, uint64_t at, const struct guest_msghdr *h)
{
    if ((h->name && uaccess_write_obj(t->mm, uaddr(at + offsetof(struct guest_msghdr, name_size)),
                                      &h->name_size)) ||
        uaccess_write_obj(t->mm, uaddr(at + offsetof(struct guest_msghdr, flags)), &h->flags) ||
        uaccess_write_obj(t->mm, uaddr(at + offsetof(struct guest_msghdr, control_size)),
                          &h->control_size))
        return -EFAULT;
    return 0;
}

int64_t sys_recvmsg(struct task *t, const struct sysargs *a)
{
    struct guest_msghdr h;
    struct file *f;
    struct socket *s;
    if ((unsigned)a->v[2] & 0x80000000)
        return -EINVAL;
    int64_t ret = net_socket_of(t, (int)a->v[0], &f, &s);
    if (ret)
        return ret;
    ret =
        uaccess_read_obj(t->mm, &h, uaddr(a->v[1])) ? -EFAULT : recv_one(t, f, s, &h, (int)a->v[2]);
    if (ret >= 0 && msghdr_export(t, a->v[1], &h))
        ret = -EFAULT;
    file_put(f);
    return ret;
}

/* ---- many messages
 * ------------------------------------------------------------------------------------- */

static int64_t many_one(struct task *t, struct file *f, struct socket *s, uint64_t at, bool send,
                        int flags)
{
    struct guest_mmsghdr h;
    if (uaccess_read_obj(t->mm, &h, uaddr(at)))
        return -EFAULT;
    int64_t ret = send ? send_one(t, f, s, &h.hdr, flags)
                       : recv_one(t, f, s, &h.hdr, flags & ~MSG_WAITFORONE);
    if (ret < 0)
        return ret;
    h.size = ret;
    if (!send && msghdr_export(t, at, &h.hdr))
        return -EFAULT;
    return uaccess_write_obj(t->mm, uaddr(at + offsetof(struct guest_mmsghdr, size)), &h.size)
               ? -EFAULT
               : 0;
}

/* An error after the first message is kept for the next call, if it is one that stays. */
static int64_t many(struct task *t, const struct sysargs *a, bool send, int64_t deadline)
{
    struct file *f;
    struct socket *s;
    unsigned count = MIN((unsigned)a->v[2], (unsigned)UIO_MAX_SEGS), done = 0;
    int flags = (int)a->v[3];
    if ((unsigned)flags & 0x80000000)
        return -EINVAL;
    int64_t ret = net_socket_of(t, (int)a->v[0], &f, &s);
    if (ret)
        return ret;
    while (done < count && ret == 0) {
        ret = many_one(t, f, s, a->v[1] + done * sizeof(struct guest_mmsghdr), send, flags);
        if (ret)
            break;
        done++;
        if (!send && (flags & MSG_WAITFORONE))
            flags |= MSG_DONTWAIT;
        if (time_now() > deadline)
            break;
    }
    if (!send && done && ret < 0 && ret != -EAGAIN && ret > -512)
        net_set_error(s, -ret);
    file_put(f);
    return done ? done : ret;
}

int64_t sys_sendmmsg(struct task *t, const struct sysargs *a)
{
    return many(t, a, /*send=*/true, DEADLINE_NONE);
}

/* As recvmmsg(2) and its BUGS: the timeout is looked at after each message only. */
int64_t sys_recvmmsg(struct task *t, const struct sysargs *a)
{
    struct timespec ts;
    int64_t ns, deadline = DEADLINE_NONE;
    if (!a->v[4])
        return many(t, a, /*send=*/false, deadline);
    if (uaccess_read_obj(t->mm, &ts, uaddr(a->v[4])))
        return -EFAULT;
    int err = time_from_timespec(&ts, &ns);
    if (err)
        return err;
    deadline = time_after(ns);
    int64_t done = many(t, a, /*send=*/false, deadline);
    if (done < 0)
        return done;
    time_to_timespec(MAX(deadline - time_now(), (int64_t)0), &ts);
    return uaccess_write_obj(t->mm, uaddr(a->v[4]), &ts) ? -EFAULT : done;
}
