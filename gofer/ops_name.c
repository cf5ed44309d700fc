/* SPDX-License-Identifier: Apache-2.0 */
/* LINK, UNLINK, RENAME: names of what exists. */
#include "gofer_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

static int link_into(struct gofer_call *c, struct gofer_fid *f, uint64_t dir_fid, const char *name)
{
    char from[GOFER_FDNAME_SIZE];
    struct gofer_fid *dir;
    int rc = gofer_call_dir(c, dir_fid, /*changes=*/true, &dir);

    if (rc < 0)
        return rc;
    if (f->inode.format == S_IFDIR)
        rc = -EPERM;
    else if (f->export != dir->export)
        rc = -EXDEV;
    else if (linkat(c->server->procfd, gofer_fdname(f->fd, from), dir->fd, name,
                    AT_SYMLINK_FOLLOW) < 0)
        rc = -errno;
    gofer_call_put(c, dir);
    return rc;
}

int gofer_op_link(struct gofer_call *c)
{
    struct goferp_link_req q;
    struct gofer_name name;
    struct gofer_fid *f;
    int rc;

    gofercodec_get(&c->in, &q, sizeof(q));
    rc = gofer_call_name(c, &name);
    if (gofer_call_end(c) < 0)
        return -EBADMSG;
    if (rc == 0)
        rc = gofer_call_node(c, q.fid, /*changes=*/true, &f);
    if (rc < 0)
        return rc;
    rc = link_into(c, f, q.dir, name.s);
    if (rc == 0)
        rc = gofer_call_put_attr(c, f->fd);
    gofer_call_put(c, f);
    return rc;
}

int gofer_op_unlink(struct gofer_call *c)
{
    struct goferp_unlink_req q;
    struct gofer_name name;
    struct gofer_fid *dir;
    int rc;

    gofercodec_get(&c->in, &q, sizeof(q));
    rc = gofer_call_name(c, &name);
    if (gofer_call_end(c) < 0)
        return -EBADMSG;
    if (q.flags & ~(uint32_t)AT_REMOVEDIR)
        return -EINVAL;
    if (rc == 0)
        rc = gofer_call_dir(c, q.dir, /*changes=*/true, &dir);
    if (rc < 0)
        return rc;
    if (unlinkat(dir->fd, name.s, (int)q.flags) < 0)
        rc = -errno;
    gofer_call_put(c, dir);
    return rc;
}

static int rename_between(struct gofer_call *c, const struct goferp_rename_req *q, const char *from,
                          const char *to)
{
    struct gofer_fid *olddir = NULL, *newdir = NULL;
    int rc = gofer_call_dir(c, q->olddir, /*changes=*/true, &olddir);

    if (rc == 0)
        rc = gofer_call_dir(c, q->newdir, /*changes=*/true, &newdir);
    if (rc == 0 && olddir->export != newdir->export)
        rc = -EXDEV;
    if (rc == 0 &&
        syscall(SYS_renameat2, olddir->fd, from, newdir->fd, to, (unsigned long)q->flags) < 0)
        rc = -errno;
    gofer_call_put(c, newdir);
    gofer_call_put(c, olddir);
    return rc;
}

int gofer_op_rename(struct gofer_call *c)
{
    struct goferp_rename_req q;
    struct gofer_name from, to;
    int rc, rc_to;

    gofercodec_get(&c->in, &q, sizeof(q));
    rc = gofer_call_name(c, &from);
    rc_to = gofer_call_name(c, &to);
    if (gofer_call_end(c) < 0)
        return -EBADMSG;
    if (q.flags & ~(uint32_t)(RENAME_NOREPLACE | RENAME_EXCHANGE))
        return -EINVAL;
    if (rc == 0)
        rc = rc_to;
    return rc < 0 ? rc : rename_between(c, &q, from.s, to.s);
}
