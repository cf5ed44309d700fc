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

#define CONTROL_MAX 65536 /* sysctl net.core.optmem_max's order of magnitude */

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

int64_t sys_socketpair(struct task *t, const struct sysargs *a)
{
    int fds[2];
    int64_t err = net_socketpair(t, (int)a->v[0], (int)a->v[1], (int)a->v[2], fds);
    if (err)
        return err;
    if (!uaccess_write(t->mm, uaddr(a->v[3]), fds, sizeof(fds)))
        return 0;
    (void)fdtable_close(t, fds[0]);
    (void)fdtable_close(t, fds[1]);
    return -EFAULT;
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
    int64_t err = check_socket(t, (int)a->v[0]);
    if (!err)
        err = addr_import(t, a->v[1], a->v[2], &ss);
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
    int room;
    if (a->v[1] && uaccess_read_obj(t->mm, &room, uaddr(a->v[2]))) {
        int err = check_socket(t, (int)a->v[0]);
        return err ? err : -EFAULT;
    }
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
    if (size > NET_OPT_MAX)
        size = NET_OPT_MAX;
    if (size && uaccess_read(t->mm, value, uaddr(a->v[3]), size))
        return -EFAULT;
    return net_setsockopt(t, (int)a->v[0], (int)a->v[1], (int)a->v[2], value, size);
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
    if (err)
        return err;
    if (size && uaccess_write(t->mm, uaddr(a->v[3]), value, size))
        return -EFAULT;
    return uaccess_write_obj(t->mm, uaddr(a->v[4]), &size);
}

/* ---- ancillary data
 * ------------------------------------------------------------------------------------ */

static int take_rights(struct task *t, struct net_msg *m, const char *data, size_t size)
{
    for (size_t i = 0; i + sizeof(int) <= size; i += sizeof(int)) {
        int fd;
        memcpy(&fd, data + i, sizeof(fd));
        if (m->file_count == NET_SCM_MAX_FDS)
            return -EINVAL;
        struct file *f = fdtable_get(t->fds, fd);
        if (!f)
            return -EBADF;
        m->files[m->file_count++] = f;
    }
    return 0;
}

static int take_creds(struct task *t, struct net_msg *m, const char *data, size_t size)
{
    const struct cred *c = t->cred;
    if (size < sizeof(m->creds))
        return -EINVAL;
    memcpy(&m->creds, data, sizeof(m->creds));
    bool pid_ok = m->creds.pid == t->process->vpid || cred_has_cap(c, CAP_SYS_ADMIN);
    m->creds.pid = task_means_id(t, m->creds.pid);
    bool uid_ok = m->creds.uid == c->uid || m->creds.uid == c->euid || m->creds.uid == c->suid ||
                  cred_has_cap(c, CAP_SETUID);
    bool gid_ok = m->creds.gid == c->gid || m->creds.gid == c->egid || m->creds.gid == c->sgid ||
                  cred_has_cap(c, CAP_SETGID);
    m->has_creds = true;
    return pid_ok && uid_ok && gid_ok ? 0 : -EPERM;
}

static int control_parse(struct task *t, struct net_msg *m, const char *buf, size_t size)
{
    for (size_t at = 0; size - at >= sizeof(struct cmsghdr);) {
        struct cmsghdr h;
        memcpy(&h, buf + at, sizeof(h));
        if (h.cmsg_len < sizeof(h) || h.cmsg_len > size - at)
            return -EINVAL;
        const char *data = buf + at + CMSG_ALIGN(sizeof(h));
        size_t data_size = h.cmsg_len - sizeof(h);
        int err = 0;
        if (h.cmsg_level == SOL_SOCKET && h.cmsg_type == SCM_RIGHTS)
            err = take_rights(t, m, data, data_size);
        else if (h.cmsg_level == SOL_SOCKET && h.cmsg_type == SCM_CREDENTIALS)
            err = take_creds(t, m, data, data_size);
        else if (h.cmsg_level == SOL_SOCKET)
            err = -EINVAL;
        if (err)
            return err;
        size_t step = CMSG_ALIGN(h.cmsg_len);
        if (step >= size - at)
            break;
        at += step;
    }
    return 0;
}

static int control_import(struct task *t, struct net_msg *m, const struct guest_msghdr *h)
{
    if (!h->control || h->control_size < sizeof(struct cmsghdr))
        return 0;
    if (h->control_size > CONTROL_MAX)
        return -ENOBUFS;
    char *buf = malloc(h->control_size);
    if (!buf)
        return -ENOBUFS;
    int err = uaccess_read(t->mm, buf, uaddr(h->control), h->control_size);
    if (!err)
        err = control_parse(t, m, buf, h->control_size);
    free(buf);
    return err;
}

struct control_out {
    struct task *t;
    uint64_t at, left; /* guest address and room */
    uint64_t used;
    int *out_flags;
};

static int control_put(struct control_out *o, int type, const void *data, size_t size)
{
    char buf[CMSG_SPACE(NET_SCM_MAX_FDS * sizeof(int))] = {0};
    struct cmsghdr h = {.cmsg_len = CMSG_LEN(size), .cmsg_level = SOL_SOCKET, .cmsg_type = type};
    memcpy(buf, &h, sizeof(h));
    memcpy(buf + CMSG_ALIGN(sizeof(h)), data, size);
    uint64_t n = MIN(CMSG_SPACE(size), o->left);
    if (uaccess_write(o->t->mm, uaddr(o->at), buf, n))
        return -EFAULT;
    o->at += n;
    o->left -= n;
    o->used += n;
    return 0;
}

static int put_rights(struct control_out *o, struct net_msg *m)
{
    int fds[NET_SCM_MAX_FDS];
    unsigned n = 0, room = o->left < sizeof(struct cmsghdr)
                               ? 0
                               : (o->left - sizeof(struct cmsghdr)) / sizeof(int);
    while (n < m->file_count && n < room) {
        int fd = fdtable_install(o->t, m->files[n], 0, m->flags & MSG_CMSG_CLOEXEC);
        if (fd < 0)
            break;
        fds[n++] = fd;
    }
    for (unsigned i = n; i < m->file_count; i++)
        file_put(m->files[i]);
    if (n < m->file_count)
        *o->out_flags |= MSG_CTRUNC;
    m->file_count = 0;
    return n ? control_put(o, SCM_RIGHTS, fds, n * sizeof(int)) : 0;
}

static int control_export(struct task *t, struct net_msg *m, const struct guest_msghdr *h,
                          uint64_t *used)
{
    struct control_out o = {.t = t,
                            .at = h->control,
                            .left = h->control ? h->control_size : 0,
                            .out_flags = &m->out_flags};
    int err = 0;
    if (m->has_creds) {
        m->creds.pid = task_sees_id(t, m->creds.pid);
        if (o.left >= CMSG_LEN(sizeof(m->creds)))
            err = control_put(&o, SCM_CREDENTIALS, &m->creds, sizeof(m->creds));
        else
            m->out_flags |= MSG_CTRUNC;
    }
    if (!err && m->file_count)
        err = put_rights(&o, m);
    *used = o.used;
    return err;
}

static void files_drop(struct net_msg *m)
{
    for (unsigned i = 0; i < m->file_count; i++)
        file_put(m->files[i]);
    m->file_count = 0;
}

/* ---- messages
 * ------------------------------------------------------------------------------------------ */

static int64_t send_one(struct task *t, struct file *f, struct socket *s,
                        const struct guest_msghdr *h, int flags)
{
    struct uio u;
    struct net_msg *m = calloc(1, sizeof(*m));
    if (!m)
        return -ENOMEM;
    int64_t ret = h->iov_count > UIO_MAX_SEGS ? -EMSGSIZE
                                              : uio_import(&u, t->mm, uaddr(h->iov), h->iov_count);
    if (ret == 0) {
        m->uio = &u;
        m->flags = flags;
        m->addr_size = h->name ? h->name_size : 0;
        ret = m->addr_size ? addr_import(t, h->name, m->addr_size, &m->addr) : 0;
        if (ret == 0)
            ret = control_import(t, m, h);
        if (ret == 0)
            ret = net_sendmsg(t, s, f, m);
        uio_free(&u);
    }
    files_drop(m);
    free(m);
    return ret;
}

static int64_t recv_finish(struct task *t, struct net_msg *m, struct guest_msghdr *h)
{
    uint64_t used = 0;
    unsigned n = MIN(m->addr_size, h->name_size);
    int err = control_export(t, m, h, &used);
    if (!err && h->name && n)
        err = uaccess_write(t->mm, uaddr(h->name), &m->addr, n);
    h->name_size = m->addr_size;
    h->control_size = used;
    h->flags = m->out_flags | (m->flags & MSG_CMSG_CLOEXEC);
    return err;
}

static int64_t recv_one(struct task *t, struct file *f, struct socket *s, struct guest_msghdr *h,
                        int flags)
{
    struct uio u;
    if ((int)h->name_size < 0)
        return -EINVAL;
    struct net_msg *m = calloc(1, sizeof(*m));
    if (!m)
        return -ENOMEM;
    int64_t ret = h->iov_count > UIO_MAX_SEGS ? -EMSGSIZE
                                              : uio_import(&u, t->mm, uaddr(h->iov), h->iov_count);
    if (ret == 0) {
        m->uio = &u;
        m->flags = flags;
        ret = net_recvmsg(t, s, f, m);
        if (ret >= 0) {
            int64_t err = recv_finish(t, m, h);
            ret = err ? err : ret;
        }
        uio_free(&u);
    }
    files_drop(m);
    free(m);
    return ret;
}

int64_t sys_sendto(struct task *t, const struct sysargs *a)
{
    struct file *f;
    struct socket *s;
    struct net_msg *m;
    struct uio u;
    int64_t ret = net_socket_of(t, (int)a->v[0], &f, &s);
    if (ret)
        return ret;
    m = calloc(1, sizeof(*m));
    ret = m ? 0 : -ENOMEM;
    if (m && a->v[4]) {
        ret = addr_import(t, a->v[4], a->v[5], &m->addr);
        m->addr_size = a->v[5];
    }
    if (ret == 0) {
        uio_init_user(&u, t->mm, uaddr(a->v[1]), MIN(a->v[2], (uint64_t)UIO_MAX_BYTES));
        m->uio = &u;
        m->flags = (int)a->v[3];
        ret = net_sendmsg(t, s, f, m);
    }
    free(m);
    file_put(f);
    return ret;
}

int64_t sys_recvfrom(struct task *t, const struct sysargs *a)
{
    struct file *f;
    struct socket *s;
    struct uio u;
    int64_t ret = net_socket_of(t, (int)a->v[0], &f, &s);
    if (ret)
        return ret;
    struct net_msg *m = calloc(1, sizeof(*m));
    ret = m ? 0 : -ENOMEM;
    if (m) {
        uio_init_user(&u, t->mm, uaddr(a->v[1]), MIN(a->v[2], (uint64_t)UIO_MAX_BYTES));
        m->uio = &u;
        m->flags = (int)a->v[3];
        ret = net_recvmsg(t, s, f, m);
        files_drop(m); /* recvfrom has no place for descriptors: they are closed */
    }
    if (ret >= 0 && a->v[4]) {
        int err = addr_export(t, a->v[4], a->v[5], &m->addr, m->addr_size);
        ret = err ? err : ret;
    }
    free(m);
    file_put(f);
    return ret;
}

int64_t sys_sendmsg(struct task *t, const struct sysargs *a)
{
    struct guest_msghdr h;
    struct file *f;
    struct socket *s;
    int64_t ret = net_socket_of(t, (int)a->v[0], &f, &s);
    if (ret)
        return ret;
    ret =
        uaccess_read_obj(t->mm, &h, uaddr(a->v[1])) ? -EFAULT : send_one(t, f, s, &h, (int)a->v[2]);
    file_put(f);
    return ret;
}

int64_t sys_recvmsg(struct task *t, const struct sysargs *a)
{
    struct guest_msghdr h;
    struct file *f;
    struct socket *s;
    int64_t ret = net_socket_of(t, (int)a->v[0], &f, &s);
    if (ret)
        return ret;
    ret =
        uaccess_read_obj(t->mm, &h, uaddr(a->v[1])) ? -EFAULT : recv_one(t, f, s, &h, (int)a->v[2]);
    if (ret >= 0 && uaccess_write_obj(t->mm, uaddr(a->v[1]), &h))
        ret = -EFAULT;
    file_put(f);
    return ret;
}

/* ---- many messages
 * ------------------------------------------------------------------------------------- */

static int64_t many(struct task *t, const struct sysargs *a, bool send, int64_t deadline)
{
    struct file *f;
    struct socket *s;
    unsigned count = MIN((unsigned)a->v[2], (unsigned)UIO_MAX_SEGS), done = 0;
    int flags = (int)a->v[3];
    int64_t ret = net_socket_of(t, (int)a->v[0], &f, &s);
    if (ret)
        return ret;
    for (; done < count && time_now() <= deadline; done++) {
        struct guest_mmsghdr h;
        uint64_t at = a->v[1] + done * sizeof(h);
        ret = uaccess_read_obj(t->mm, &h, uaddr(at)) ? -EFAULT
              : send                                 ? send_one(t, f, s, &h.hdr, flags)
                     : recv_one(t, f, s, &h.hdr, flags & ~MSG_WAITFORONE);
        if (ret < 0)
            break;
        h.size = ret;
        ret = uaccess_write_obj(t->mm, uaddr(at), &h) ? -EFAULT : 0;
        if (ret)
            break;
        if (!send && (flags & MSG_WAITFORONE))
            flags |= MSG_DONTWAIT;
    }
    file_put(f);
    return done ? done : ret;
}

int64_t sys_sendmmsg(struct task *t, const struct sysargs *a)
{
    return many(t, a, /*send=*/true, DEADLINE_NONE);
}

int64_t sys_recvmmsg(struct task *t, const struct sysargs *a)
{
    struct timespec ts;
    int64_t ns, deadline = DEADLINE_NONE;
    if (a->v[4]) {
        if (uaccess_read_obj(t->mm, &ts, uaddr(a->v[4])))
            return -EFAULT;
        int err = time_from_timespec(&ts, &ns);
        if (err)
            return err;
        deadline = time_after(ns);
    }
    return many(t, a, /*send=*/false, deadline);
}
