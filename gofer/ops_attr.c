/* SPDX-License-Identifier: Apache-2.0 */
/* GETATTR, SETATTR, STATFS, READLINK, ACCESS. */
#include "gofer_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

/* The body of a request that has only a fid, and that fid. Dir fids will do as well where any_kind
 * is set. */
static int call_only_fid(struct gofer_call *c, bool any_kind, struct gofer_fid **out)
{
    struct goferp_fid_req q;

    gofercodec_get(&c->in, &q, sizeof(q));
    if (gofer_call_end(c) < 0)
        return -EBADMSG;
    if (!any_kind)
        return gofer_call_node(c, q.fid, /*changes=*/false, out);
    *out = gofer_fid_get(&c->server->fids, q.fid);
    return *out ? 0 : -EBADF;
}

int gofer_op_getattr(struct gofer_call *c)
{
    struct gofer_fid *f;
    int rc = call_only_fid(c, /*any_kind=*/true, &f);

    if (rc < 0)
        return rc;
    rc = gofer_call_put_attr(c, f->fd);
    gofer_call_put(c, f);
    return rc;
}

static int set_size(struct gofer_call *c, struct gofer_fid *f, uint64_t size)
{
    int fd, rc = 0;

    if (f->inode.format != S_IFREG)
        return f->inode.format == S_IFDIR ? -EISDIR : -EINVAL;
    fd = gofer_reopen(c->server, f->fd, O_WRONLY);
    if (fd < 0)
        return fd;
    if (ftruncate(fd, (off_t)size) < 0)
        rc = -errno;
    close(fd);
    return rc;
}

static int set_mode(struct gofer_call *c, struct gofer_fid *f, uint32_t mode)
{
    char name[GOFER_FDNAME_SIZE];

    if (f->inode.format == S_IFLNK)
        return -EOPNOTSUPP;
    return fchmodat(c->server->procfd, gofer_fdname(f->fd, name), mode & 07777, 0) < 0 ? -errno : 0;
}

static int set_times(struct gofer_fid *f, const struct goferp_setattr_req *q)
{
    struct timespec ts[2] = {{q->atime, q->atime_nsec}, {q->mtime, q->mtime_nsec}};

    return utimensat(f->fd, "", ts, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

static int set_all(struct gofer_call *c, struct gofer_fid *f, const struct goferp_setattr_req *q)
{
    int rc = 0;

    if ((q->valid & GOFERP_SET_OWNER) && fchownat(f->fd, "", q->uid, q->gid, AT_EMPTY_PATH) < 0)
        return -errno;
    if (q->valid & GOFERP_SET_MODE)
        rc = set_mode(c, f, q->mode);
    if (rc == 0 && (q->valid & GOFERP_SET_SIZE))
        rc = set_size(c, f, q->size);
    if (rc == 0 && (q->valid & GOFERP_SET_TIMES))
        rc = set_times(f, q);
    return rc;
}

int gofer_op_setattr(struct gofer_call *c)
{
    struct goferp_setattr_req q;
    struct gofer_fid *f;
    int rc;

    gofercodec_get(&c->in, &q, sizeof(q));
    if (gofer_call_end(c) < 0)
        return -EBADMSG;
    if (q.valid & ~(GOFERP_SET_MODE | GOFERP_SET_OWNER | GOFERP_SET_SIZE | GOFERP_SET_TIMES))
        return -EINVAL;
    rc = gofer_call_node(c, q.fid, /*changes=*/true, &f);
    if (rc < 0)
        return rc;
    rc = set_all(c, f, &q);
    if (rc == 0)
        rc = gofer_call_put_attr(c, f->fd);
    gofer_call_put(c, f);
    return rc;
}

int gofer_op_statfs(struct gofer_call *c)
{
    struct goferp_statfs_rep r;
    struct gofer_fid *f;
    struct statfs s;
    int rc = call_only_fid(c, /*any_kind=*/true, &f);

    if (rc < 0)
        return rc;
    rc = fstatfs(f->fd, &s) < 0 ? -errno : 0;
    gofer_call_put(c, f);
    if (rc < 0)
        return rc;
    r = (struct goferp_statfs_rep){
        .type = (uint64_t)s.f_type,
        .bsize = (uint64_t)s.f_bsize,
        .blocks = s.f_blocks,
        .bfree = s.f_bfree,
        .bavail = s.f_bavail,
        .files = s.f_files,
        .ffree = s.f_ffree,
        .fsid = (uint32_t)s.f_fsid.__val[0] | (uint64_t)(uint32_t)s.f_fsid.__val[1] << 32,
        .namelen = (uint64_t)s.f_namelen,
        .frsize = (uint64_t)s.f_frsize,
        .flags = (uint64_t)s.f_flags,
    };
    gofercodec_put(&c->out, &r, sizeof(r));
    return 0;
}

int gofer_op_readlink(struct gofer_call *c)
{
    char target[GOFERP_PATH_MAX + 1];
    struct gofer_fid *f;
    ssize_t size;
    int rc = call_only_fid(c, /*any_kind=*/false, &f);

    if (rc < 0)
        return rc;
    if (f->inode.format != S_IFLNK)
        rc = -EINVAL;
    else if ((size = readlinkat(f->fd, "", target, sizeof(target))) < 0)
        rc = -errno;
    else if (size > (ssize_t)GOFERP_PATH_MAX)
        rc = -ENAMETOOLONG;
    else
        gofercodec_put_blob(&c->out, target, (size_t)size);
    gofer_call_put(c, f);
    return rc;
}

int gofer_op_access(struct gofer_call *c)
{
    char name[GOFER_FDNAME_SIZE];
    struct goferp_access_req q;
    struct gofer_fid *f;
    int rc;

    gofercodec_get(&c->in, &q, sizeof(q));
    if (gofer_call_end(c) < 0)
        return -EBADMSG;
    if (q.mode & ~(uint32_t)(R_OK | W_OK | X_OK))
        return -EINVAL;
    rc = gofer_call_node(c, q.fid, (q.mode & W_OK) != 0, &f);
    if (rc < 0)
        return rc;
    /* The C library's would be faccessat2, with flags that we do not need. */
    if (syscall(SYS_faccessat, c->server->procfd, gofer_fdname(f->fd, name), q.mode) < 0)
        rc = -errno;
    gofer_call_put(c, f);
    return rc;
}
