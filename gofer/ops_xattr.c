/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended attributes. The f*xattr calls refuse O_PATH descriptors, so these go by the name "N" in
 * the working directory, which is /proc/self/fd (confine.c): it leads to the inode behind
 * descriptor N, symlinks included.
 */
#include "gofer_priv.h"

#include <errno.h>
#include <string.h>
#include <sys/xattr.h>

struct xattr_call {
    struct goferp_xattr_req q;
    char name[GOFERP_XATTR_NAME_MAX + 1];
    struct gofercodec_bytes value;
    struct gofer_fid *f;
};

static int get_xattr_name(struct gofer_call *c, char name[GOFERP_XATTR_NAME_MAX + 1])
{
    struct gofercodec_bytes b = gofercodec_get_blob(&c->in, GOFERP_PATH_MAX);

    if (b.size == 0 || b.size > GOFERP_XATTR_NAME_MAX)
        return -ERANGE;
    if (memchr(b.data, 0, b.size))
        return -EINVAL;
    memcpy(name, b.data, b.size);
    name[b.size] = 0;
    return 0;
}

static int xattr_begin(struct gofer_call *c, struct xattr_call *x, bool has_name, bool has_value)
{
    bool changes;
    int rc = 0;

    gofercodec_get(&c->in, &x->q, sizeof(x->q));
    changes = has_value;
    if (has_name)
        rc = get_xattr_name(c, x->name);
    if (has_value)
        x->value = gofercodec_get_blob32(&c->in, GOFERP_DATA_MAX);
    if (gofer_call_end(c) < 0)
        return -EBADMSG;
    return rc < 0 ? rc : gofer_call_node(c, x->q.fid, changes, &x->f);
}

/* Only what a guest may own: "user.*". The others steer the host's own security. */
static bool may_change(const char *name)
{
    return strncmp(name, "user.", 5) == 0;
}

static int reply_value(struct gofer_call *c, struct xattr_call *x, bool list)
{
    size_t room = x->q.size < GOFERP_DATA_MAX ? x->q.size : GOFERP_DATA_MAX;
    size_t mark = c->out.size;
    char path[GOFER_FDNAME_SIZE];
    const char *at = gofer_fdname(x->f->fd, path);
    uint32_t *head = gofercodec_reserve(&c->out, sizeof(uint32_t) + room);
    uint32_t size32;
    ssize_t size;

    if (!head)
        return -EOVERFLOW;
    size = list ? listxattr(at, (char *)(head + 1), room) : getxattr(at, x->name, head + 1, room);
    if (size < 0)
        return -errno;
    size32 = (uint32_t)size;
    memcpy(head, &size32, sizeof(size32));
    c->out.size = mark + sizeof(uint32_t) + (room ? (size_t)size : 0);
    return 0;
}

int gofer_op_getxattr(struct gofer_call *c)
{
    struct xattr_call x = {0};
    int rc = xattr_begin(c, &x, /*has_name=*/true, /*has_value=*/false);

    if (rc < 0)
        return rc;
    rc = reply_value(c, &x, /*list=*/false);
    gofer_call_put(c, x.f);
    return rc;
}

int gofer_op_listxattr(struct gofer_call *c)
{
    struct xattr_call x = {0};
    int rc = xattr_begin(c, &x, /*has_name=*/false, /*has_value=*/false);

    if (rc < 0)
        return rc;
    rc = reply_value(c, &x, /*list=*/true);
    gofer_call_put(c, x.f);
    return rc;
}

int gofer_op_setxattr(struct gofer_call *c)
{
    struct xattr_call x = {0};
    char path[GOFER_FDNAME_SIZE];
    int rc = xattr_begin(c, &x, /*has_name=*/true, /*has_value=*/true);

    if (rc < 0)
        return rc;
    if (!may_change(x.name))
        rc = -EOPNOTSUPP;
    else if (setxattr(gofer_fdname(x.f->fd, path), x.name, x.value.data, x.value.size,
                      (int)x.q.flags) < 0)
        rc = -errno;
    gofer_call_put(c, x.f);
    return rc;
}

int gofer_op_removexattr(struct gofer_call *c)
{
    struct xattr_call x = {0};
    char path[GOFER_FDNAME_SIZE];
    struct gofer_fid *f;
    int rc = xattr_begin(c, &x, /*has_name=*/true, /*has_value=*/false);

    if (rc < 0)
        return rc;
    gofer_call_put(c, x.f);
    rc = gofer_call_node(c, x.q.fid, /*changes=*/true, &f);
    if (rc < 0)
        return rc;
    if (!may_change(x.name))
        rc = -EOPNOTSUPP;
    else if (removexattr(gofer_fdname(f->fd, path), x.name) < 0)
        rc = -errno;
    gofer_call_put(c, f);
    return rc;
}
