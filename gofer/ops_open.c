/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OPEN, CREATE, FSYNC, FLUSH, FALLOCATE: whatever needs a real descriptor.
 *
 * An O_PATH descriptor is opened for real through /proc/self/fd/N below `procfd`, which leads to
 * exactly that inode: not by its name, which may mean another file by now, and also when it has no
 * name left.
 */
#include "gofer_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define OPEN_FLAGS                                                                                 \
    (O_ACCMODE | O_TRUNC | O_APPEND | O_DIRECT | O_SYNC | O_DSYNC | O_NOATIME | O_NONBLOCK)

int gofer_open_flags_check(const struct gofer_server *s, uint32_t flags, uint16_t export)
{
    if ((flags & ~(uint32_t)OPEN_FLAGS) || (flags & O_ACCMODE) == O_ACCMODE)
        return -EINVAL;
    if ((flags & (O_ACCMODE | O_TRUNC)) && (s->exports[export].flags & GOFERP_EXPORT_RO))
        return -EROFS;
    return 0;
}

int gofer_reopen(const struct gofer_server *s, int fd, int flags)
{
    char name[GOFER_FDNAME_SIZE];
    int got = openat(s->procfd, gofer_fdname(fd, name), flags | O_CLOEXEC | O_NOCTTY);

    return got < 0 ? -errno : got;
}

/* May a node of this type be opened at all, other than as a directory? */
static int open_type_check(const struct gofer_server *s, uint16_t format)
{
    switch (format) {
    case S_IFREG:
        return 0;
    case S_IFDIR:
        return -EISDIR;
    case S_IFLNK:
        return -ELOOP;
    case S_IFSOCK:
        return -ENXIO;
    case S_IFIFO:
        return s->policy.fifos ? 0 : -EACCES;
    default:
        return -EACCES;
    }
}

/* A descriptor to donate. Fifos never block here: their opener waits in the sentry. */
static int open_donated(struct gofer_call *c, const struct gofer_inode *inode, int fd,
                        uint32_t flags)
{
    int rc = open_type_check(c->server, inode->format);

    if (rc < 0)
        return rc;
    if (inode->format == S_IFIFO)
        flags |= O_NONBLOCK;
    rc = gofer_reopen(c->server, fd, (int)flags);
    if (rc < 0)
        return rc;
    c->fd = rc;
    return 0;
}

int gofer_open_dir(struct gofer_call *c, struct gofer_fid *node, uint32_t flags, uint64_t *fid)
{
    struct gofer_fid *f;
    int fd, rc;

    if (flags & (O_ACCMODE | O_TRUNC))
        return -EISDIR;
    rc = gofer_fid_reserve(&c->server->fids, &f);
    if (rc < 0)
        return rc;
    fd = gofer_reopen(c->server, node->fd, O_RDONLY | O_DIRECTORY | (int)(flags & O_NOATIME));
    if (fd < 0) {
        gofer_fid_cancel(&c->server->fids, f);
        return fd;
    }
    *fid = gofer_fid_install(&c->server->fids, f, fd, GOFER_FID_DIR, node->export, &node->inode);
    gofer_fid_put(&c->server->fids, f);
    return 0;
}

static int open_node(struct gofer_call *c, struct gofer_fid *f, uint32_t flags)
{
    struct goferp_node r = {.fid = GOFERP_NOFID};
    struct statx st;
    int rc = gofer_open_flags_check(c->server, flags, f->export);

    if (rc < 0)
        return rc;
    if (f->inode.format != S_IFDIR)
        rc = open_donated(c, &f->inode, f->fd, flags);
    if (rc == 0)
        rc = gofer_stat_fd(f->fd, &st);
    if (rc == 0 && f->inode.format == S_IFDIR)
        rc = gofer_open_dir(c, f, flags, &r.fid);
    if (rc < 0)
        return rc;
    gofer_attr_from(&st, &r.attr);
    gofercodec_put(&c->out, &r, sizeof(r));
    return 0;
}

int gofer_op_open(struct gofer_call *c)
{
    struct goferp_open_req q;
    struct gofer_fid *f;
    int rc;

    gofercodec_get(&c->in, &q, sizeof(q));
    if (gofer_call_end(c) < 0)
        return -EBADMSG;
    rc = gofer_call_node(c, q.fid, /*changes=*/false, &f);
    if (rc < 0)
        return rc;
    rc = open_node(c, f, q.flags);
    gofer_call_put(c, f);
    return rc;
}

/* ---- CREATE ---- */

struct create {
    struct gofer_call *call;
    struct goferp_create_req q;
    struct gofer_name name;
    struct gofer_fid *dir;
    int path_fd; /* O_PATH of the file, found or made; -1 */
    struct statx st;
    bool created;
};

/* An existing name, as open(2) without O_EXCL would take it. */
static int create_found(struct create *k)
{
    struct gofer_inode inode = gofer_inode_from(&k->st);

    return open_donated(k->call, &inode, k->path_fd, k->q.flags);
}

/* Owner, then the mode bits that a change of owner clears. */
static int create_own(struct create *k, int fd)
{
    if ((k->q.uid != GOFERP_ID_KEEP || k->q.gid != GOFERP_ID_KEEP) &&
        fchown(fd, k->q.uid, k->q.gid) < 0)
        return -errno;
    if ((k->q.mode & 06000) && fchmod(fd, k->q.mode & 07777) < 0)
        return -errno;
    return 0;
}

static int create_new(struct create *k)
{
    int flags = (int)(k->q.flags & ~(uint32_t)O_TRUNC) | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(k->dir->fd, k->name.s, flags, k->q.mode & 07777);
    int rc;

    if (fd < 0)
        return -errno;
    k->call->fd = fd; /* closed by the failure path of dispatch */
    k->created = true;
    rc = create_own(k, fd);
    if (rc < 0)
        return rc;
    k->path_fd = gofer_reopen(k->call->server, fd, O_PATH);
    if (k->path_fd < 0)
        return k->path_fd;
    return gofer_stat_fd(k->path_fd, &k->st);
}

/* Without O_EXCL another process may make or remove the name between our two looks: try again a few
 * times. */
static int create_or_open(struct create *k)
{
    bool excl = k->q.flags & O_EXCL;
    int rc = -EEXIST, tries;

    k->q.flags &= ~(uint32_t)O_EXCL;
    for (tries = 0; tries < 8 && rc == -EEXIST; tries++) {
        rc =
            excl ? -ENOENT : gofer_step(k->dir->fd, &k->dir->inode, k->name.s, &k->path_fd, &k->st);
        if (rc == 0)
            return create_found(k);
        if (rc == -ENOENT)
            rc = create_new(k);
        if (excl)
            break;
    }
    return rc;
}

static void create_reply(struct create *k, struct gofer_fid *slot)
{
    struct gofer_inode inode = gofer_inode_from(&k->st);
    struct goferp_create_rep r = {.created = k->created};

    gofer_attr_from(&k->st, &r.node.attr);
    r.node.fid = gofer_fid_install(&k->call->server->fids, slot, k->path_fd, GOFER_FID_NODE,
                                   k->dir->export, &inode);
    gofercodec_put(&k->call->out, &r, sizeof(r));
}

static int create_run(struct create *k)
{
    struct gofer_fid_table *t = &k->call->server->fids;
    struct gofer_fid *slot;
    int rc = gofer_fid_reserve(t, &slot);

    if (rc < 0)
        return rc;
    rc = create_or_open(k);
    if (rc == 0)
        create_reply(k, slot);
    else if (k->path_fd >= 0)
        close(k->path_fd);
    if (rc < 0 && k->created)
        unlinkat(k->dir->fd, k->name.s, 0);
    gofer_fid_put(t, slot);
    return rc;
}

int gofer_op_create(struct gofer_call *c)
{
    struct create k = {.call = c, .path_fd = -1};
    int rc;

    gofercodec_get(&c->in, &k.q, sizeof(k.q));
    rc = gofer_call_name(c, &k.name);
    if (c->in.bad || gofer_call_end(c) < 0)
        return -EBADMSG;
    if (rc == 0)
        rc = gofer_call_dir(c, k.q.dir, /*changes=*/true, &k.dir);
    if (rc < 0)
        return rc;
    rc = gofer_open_flags_check(c->server, k.q.flags & ~(uint32_t)O_EXCL, k.dir->export);
    if (rc == 0)
        rc = create_run(&k);
    gofer_call_put(c, k.dir);
    return rc;
}

/* ---- TMPFILE ---- */

static int tmpfile_make(struct create *k)
{
    int flags = (int)(k->q.flags & ~(uint32_t)O_TRUNC) | O_TMPFILE | O_CLOEXEC;
    int fd = openat(k->dir->fd, ".", flags, k->q.mode & 07777);
    int rc;

    if (fd < 0)
        return -errno;
    k->call->fd = fd; /* closed by the failure path of dispatch */
    rc = create_own(k, fd);
    if (rc < 0)
        return rc;
    k->path_fd = gofer_reopen(k->call->server, fd, O_PATH);
    return k->path_fd < 0 ? k->path_fd : gofer_stat_fd(k->path_fd, &k->st);
}

static int tmpfile_run(struct create *k)
{
    struct gofer_fid_table *t = &k->call->server->fids;
    struct goferp_node r;
    struct gofer_inode inode;
    struct gofer_fid *slot;
    int rc = gofer_fid_reserve(t, &slot);

    if (rc < 0)
        return rc;
    rc = tmpfile_make(k);
    if (rc == 0) {
        inode = gofer_inode_from(&k->st);
        gofer_attr_from(&k->st, &r.attr);
        r.fid = gofer_fid_install(t, slot, k->path_fd, GOFER_FID_NODE, k->dir->export, &inode);
        gofercodec_put(&k->call->out, &r, sizeof(r));
    } else if (k->path_fd >= 0) {
        close(k->path_fd);
    }
    gofer_fid_put(t, slot);
    return rc;
}

int gofer_op_tmpfile(struct gofer_call *c)
{
    struct create k = {.call = c, .path_fd = -1};
    int rc;

    gofercodec_get(&c->in, &k.q, sizeof(k.q));
    if (gofer_call_end(c) < 0)
        return -EBADMSG;
    rc = gofer_call_dir(c, k.q.dir, /*changes=*/true, &k.dir);
    if (rc < 0)
        return rc;
    rc = gofer_open_flags_check(c->server, k.q.flags & ~(uint32_t)O_EXCL, k.dir->export);
    if (rc == 0 && (k.q.flags & O_ACCMODE) == O_RDONLY)
        rc = -EINVAL; /* as open(2) */
    if (rc == 0)
        rc = tmpfile_run(&k);
    gofer_call_put(c, k.dir);
    return rc;
}

/* ---- on a temporary descriptor ---- */

/* Any fid of a file or directory; a real descriptor that is the caller's to close. */
static int temporary_open(struct gofer_call *c, uint64_t fid, int flags)
{
    struct gofer_fid *f = gofer_fid_get(&c->server->fids, fid);
    int rc = -EINVAL;

    if (!f)
        return -EBADF;
    if (f->inode.format == S_IFREG || f->inode.format == S_IFDIR)
        rc = gofer_reopen(c->server, f->fd, flags);
    if (rc == -EACCES && flags == O_RDONLY && f->inode.format == S_IFREG)
        rc = gofer_reopen(c->server, f->fd, O_WRONLY); /* a file that may only be written */
    gofer_call_put(c, f);
    return rc;
}

int gofer_op_fsync(struct gofer_call *c)
{
    struct goferp_fsync_req q;
    int fd, rc;

    gofercodec_get(&c->in, &q, sizeof(q));
    if (gofer_call_end(c) < 0)
        return -EBADMSG;
    fd = temporary_open(c, q.fid, O_RDONLY);
    if (fd < 0)
        return fd;
    rc = (q.datasync ? fdatasync(fd) : fsync(fd)) < 0 ? -errno : 0;
    close(fd);
    return rc;
}

int gofer_op_flush(struct gofer_call *c)
{
    struct goferp_fid_req q;
    int fd, rc;

    gofercodec_get(&c->in, &q, sizeof(q));
    if (gofer_call_end(c) < 0)
        return -EBADMSG;
    fd = temporary_open(c, q.fid, O_RDONLY);
    if (fd < 0)
        return fd;
    rc = syncfs(fd) < 0 ? -errno : 0;
    close(fd);
    return rc;
}

int gofer_op_fallocate(struct gofer_call *c)
{
    struct goferp_fallocate_req q;
    struct gofer_fid *f;
    int fd, rc;

    gofercodec_get(&c->in, &q, sizeof(q));
    if (gofer_call_end(c) < 0)
        return -EBADMSG;
    rc = gofer_call_node(c, q.fid, /*changes=*/true, &f);
    if (rc < 0)
        return rc;
    rc = f->inode.format == S_IFREG ? 0 : f->inode.format == S_IFDIR ? -EISDIR : -ENODEV;
    gofer_call_put(c, f);
    if (rc < 0)
        return rc;
    fd = temporary_open(c, q.fid, O_WRONLY);
    if (fd < 0)
        return fd;
    rc = fallocate(fd, (int)q.mode, (off_t)q.offset, (off_t)q.length) < 0 ? -errno : 0;
    close(fd);
    return rc;
}
