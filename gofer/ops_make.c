/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MKDIR, SYMLINK, MKNOD, BIND: one name is made, then looked up again, checked to be of the type
 * just made, and given its owner; on a failure after the making the name is removed. The umask is
 * 0: modes come from the sentry as they are.
 */
#include "gofer_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct make {
    struct gofer_call *call;
    struct goferp_make_req q;
    struct gofer_name name;
    char target[GOFERP_PATH_MAX + 1];
    struct gofer_fid *dir;
    uint16_t format;
    int fd; /* O_PATH */
    struct statx st;
};

static int make_own(struct make *m)
{
    char name[GOFER_FDNAME_SIZE];

    if ((m->q.uid != GOFERP_ID_KEEP || m->q.gid != GOFERP_ID_KEEP) &&
        fchownat(m->fd, "", m->q.uid, m->q.gid, AT_EMPTY_PATH) < 0)
        return -errno;
    if (m->format == S_IFLNK || !(m->q.mode & 07000))
        return 0;
    if (fchmodat(m->call->server->procfd, gofer_fdname(m->fd, name), m->q.mode & 07777, 0) < 0)
        return -errno;
    return 0;
}

static int make_take(struct make *m)
{
    int rc = gofer_step(m->dir->fd, &m->dir->inode, m->name.s, &m->fd, &m->st);

    if (rc < 0)
        return rc;
    if ((m->st.stx_mode & S_IFMT) != m->format)
        return -EIO; /* swapped under us */
    rc = make_own(m);
    return rc < 0 ? rc : gofer_stat_fd(m->fd, &m->st);
}

static void make_reply(struct make *m, struct gofer_fid *slot)
{
    struct gofer_inode inode = gofer_inode_from(&m->st);
    struct goferp_node r;

    gofer_attr_from(&m->st, &r.attr);
    r.fid = gofer_fid_install(&m->call->server->fids, slot, m->fd, GOFER_FID_NODE, m->dir->export,
                              &inode);
    gofercodec_put(&m->call->out, &r, sizeof(r));
}

static int make_run(struct make *m, int (*create)(struct make *m))
{
    struct gofer_fid_table *t = &m->call->server->fids;
    struct gofer_fid *slot;
    int rc = gofer_fid_reserve(t, &slot);

    if (rc < 0)
        return rc;
    rc = create(m);
    if (rc == 0) {
        rc = make_take(m);
        if (rc == 0)
            make_reply(m, slot);
        else if (rc != -EIO)
            unlinkat(m->dir->fd, m->name.s, m->format == S_IFDIR ? AT_REMOVEDIR : 0);
        if (rc < 0 && m->fd >= 0)
            close(m->fd);
    }
    gofer_fid_put(t, slot);
    return rc;
}

/* Decodes the body (and, for a symlink, its target), then makes. */
static int make_op(struct gofer_call *c, struct make *m, int (*create)(struct make *m))
{
    int rc, rc_target = 0;

    m->call = c;
    m->fd = -1;
    rc = gofer_call_name(c, &m->name);
    if (m->format == S_IFLNK) {
        struct gofercodec_bytes b = gofercodec_get_blob(&c->in, GOFERP_PATH_MAX);

        if (b.size == 0)
            rc_target = -ENOENT;
        else if (memchr(b.data, 0, b.size))
            rc_target = -EINVAL;
        memcpy(m->target, b.data, b.size);
        m->target[b.size] = 0;
    }
    if (gofer_call_end(c) < 0)
        return -EBADMSG;
    if (rc == 0)
        rc = rc_target;
    if (rc == 0)
        rc = gofer_call_dir(c, m->q.dir, /*changes=*/true, &m->dir);
    if (rc < 0)
        return rc;
    rc = make_run(m, create);
    gofer_call_put(c, m->dir);
    return rc;
}

static int do_mkdir(struct make *m)
{
    return mkdirat(m->dir->fd, m->name.s, m->q.mode & 07777) < 0 ? -errno : 0;
}

int gofer_op_mkdir(struct gofer_call *c)
{
    struct make m = {.format = S_IFDIR};

    gofercodec_get(&c->in, &m.q, sizeof(m.q));
    return make_op(c, &m, do_mkdir);
}

static int do_symlink(struct make *m)
{
    return symlinkat(m->target, m->dir->fd, m->name.s) < 0 ? -errno : 0;
}

int gofer_op_symlink(struct gofer_call *c)
{
    struct make m = {.format = S_IFLNK};

    gofercodec_get(&c->in, &m.q, sizeof(m.q));
    return make_op(c, &m, do_symlink);
}

static int do_mknod(struct make *m)
{
    if (m->format != S_IFIFO && m->format != S_IFSOCK && m->format != S_IFREG)
        return m->format == S_IFCHR || m->format == S_IFBLK ? -EPERM : -EINVAL;
    return mknodat(m->dir->fd, m->name.s, m->format | (m->q.mode & 07777), 0) < 0 ? -errno : 0;
}

int gofer_op_mknod(struct gofer_call *c)
{
    struct make m = {0};

    gofercodec_get(&c->in, &m.q, sizeof(m.q));
    m.format = m.q.mode & S_IFMT;
    if (m.format == 0)
        m.format = S_IFREG; /* as mknod(2) */
    if (m.format == S_IFLNK)
        return -EINVAL;
    return make_op(c, &m, do_mknod);
}

/* ---- unix sockets ---- */

static int unix_socket(struct gofer_call *c, uint32_t type)
{
    int fd;

    if (!c->server->policy.unix_sockets)
        return -EACCES;
    if (type != SOCK_STREAM && type != SOCK_DGRAM && type != SOCK_SEQPACKET)
        return -ESOCKTNOSUPPORT;
    fd = socket(AF_UNIX, (int)type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return fd < 0 ? -errno : fd;
}

/* The working directory is procfd, so "N/name" is `name` in the directory behind descriptor N. */
static int do_bind(struct make *m)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    char dir[GOFER_FDNAME_SIZE];
    int fd = unix_socket(m->call, m->q.socktype);
    int size;

    if (fd < 0)
        return fd;
    m->call->fd = fd; /* closed by the failure path of dispatch */
    size = snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/%s", gofer_fdname(m->dir->fd, dir),
                    m->name.s);
    if (size >= (int)sizeof(addr.sun_path))
        return -ENAMETOOLONG;
    if (fchmod(fd, m->q.mode & 0777) < 0) /* bind(2) takes the new inode's mode from the socket's */
        return -errno;
    return bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ? -errno : 0;
}

int gofer_op_bind(struct gofer_call *c)
{
    struct make m = {.format = S_IFSOCK};

    gofercodec_get(&c->in, &m.q, sizeof(m.q));
    m.q.mode &= 0777;
    return make_op(c, &m, do_bind);
}

static int connect_fid(struct gofer_call *c, const struct gofer_fid *f, uint32_t type)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    char name[GOFER_FDNAME_SIZE];
    int fd;

    if (f->inode.format != S_IFSOCK)
        return -ECONNREFUSED;
    fd = unix_socket(c, type);
    if (fd < 0)
        return fd;
    c->fd = fd;
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", gofer_fdname(f->fd, name));
    return connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ? -errno : 0;
}

int gofer_op_connect(struct gofer_call *c)
{
    struct goferp_connect_req q;
    struct gofer_fid *f;
    int rc;

    gofercodec_get(&c->in, &q, sizeof(q));
    if (gofer_call_end(c) < 0)
        return -EBADMSG;
    rc = gofer_call_node(c, q.fid, /*changes=*/false, &f);
    if (rc < 0)
        return rc;
    rc = connect_fid(c, f, q.socktype);
    gofer_call_put(c, f);
    return rc;
}
