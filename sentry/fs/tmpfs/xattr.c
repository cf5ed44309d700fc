/* Extended attributes of tmpfs inodes: a list in memory. Who may, is the VFS's business. */
#include "fs/tmpfs/tmpfs_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#define XATTR_TOTAL_MAX (128 * 1024) /* of one inode, names included */

static struct tmpfs_xattr *find(struct tmpfs_inode *ti, const char *name)
{
    struct tmpfs_xattr *x;
    list_for_each(x, &ti->xattrs, node) if (!strcmp(x->name, name)) return x;
    return NULL;
}

int64_t tmpfs_getxattr(struct inode *i, const char *name, void *buf, size_t size)
{
    LOCK_GUARD(&i->lock);
    struct tmpfs_xattr *x = find(tmpfs_of(i), name);
    if (!x)
        return -ENODATA;
    if (!size)
        return x->size;
    if (x->size > size)
        return -ERANGE;
    memcpy(buf, x->value, x->size);
    return x->size;
}

static void drop(struct tmpfs_inode *ti, struct tmpfs_xattr *x)
{
    list_del(&x->node);
    ti->xattr_bytes -= x->size + strlen(x->name);
    free(x);
}

int tmpfs_setxattr(struct inode *i, const char *name, const void *value, size_t size, int flags)
{
    struct tmpfs_inode *ti = tmpfs_of(i);
    size_t name_size = strlen(name) + 1;
    struct tmpfs_xattr *n = malloc(sizeof(*n) + name_size + size);
    if (!n)
        return -ENOMEM;
    LOCK_GUARD(&i->lock);
    struct tmpfs_xattr *old = find(ti, name);
    int r = 0;
    if (old && (flags & XATTR_CREATE))
        r = -EEXIST;
    else if (!old && (flags & XATTR_REPLACE))
        r = -ENODATA;
    else if (ti->xattr_bytes + size + name_size > XATTR_TOTAL_MAX)
        r = -ENOSPC;
    if (r) {
        free(n);
        return r;
    }
    if (old)
        drop(ti, old);
    memcpy(n->name, name, name_size);
    n->value = n->name + name_size;
    n->size = size;
    if (size)
        memcpy(n->value, value, size);
    list_push_back(&ti->xattrs, &n->node);
    ti->xattr_bytes += size + name_size - 1;
    inode_touch(i, IATTR_CTIME);
    return 0;
}

int64_t tmpfs_listxattr(struct inode *i, char *buf, size_t size)
{
    LOCK_GUARD(&i->lock);
    size_t total = 0;
    struct tmpfs_xattr *x;
    list_for_each(x, &tmpfs_of(i)->xattrs, node)
    {
        size_t n = strlen(x->name) + 1;
        if (size && total + n > size)
            return -ERANGE;
        if (size)
            memcpy(buf + total, x->name, n);
        total += n;
    }
    return total;
}

int tmpfs_removexattr(struct inode *i, const char *name)
{
    LOCK_GUARD(&i->lock);
    struct tmpfs_xattr *x = find(tmpfs_of(i), name);
    if (!x)
        return -ENODATA;
    drop(tmpfs_of(i), x);
    inode_touch(i, IATTR_CTIME);
    return 0;
}

void tmpfs_xattr_free(struct tmpfs_inode *ti)
{
    while (!list_empty(&ti->xattrs))
        drop(ti, list_first(&ti->xattrs, struct tmpfs_xattr, node));
}
