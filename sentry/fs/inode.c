/* Superblocks and inodes: their life, permissions, attributes, and who may write running text. */
#include "base/host.h"
#include "base/log.h"
#include "fs/vfs_priv.h"
#include "time/time.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static uint32_t g_next_dev = 20; /* atomic; minors of anonymous device numbers */

dev_t superblock_dev_new(void)
{
    return makedev(0, __atomic_fetch_add(&g_next_dev, 1, __ATOMIC_RELAXED));
}

struct superblock *superblock_new(const struct super_ops *ops, const char *type_name,
                                  uint64_t magic)
{
    struct superblock *sb = calloc(1, sizeof(*sb));
    if (!sb)
        return NULL;
    ref_init(&sb->ref);
    sb->ops = ops;
    sb->type_name = type_name;
    sb->magic = magic;
    sb->dev = superblock_dev_new();
    sb->next_ino = 2;
    lock_init(&sb->rename_lock, LR_RENAME);
    return sb;
}

void superblock_get(struct superblock *sb)
{
    ref_get(&sb->ref);
}

/* A superblock's root dentry and inode hold references on it: a mounted filesystem is a cycle, and
 * the reference of the last mount (or maker) is the one that breaks it. See superblock_retire. */
void superblock_put(struct superblock *sb)
{
    if (!ref_put(&sb->ref))
        return;
    if (sb->ops && sb->ops->shutdown)
        sb->ops->shutdown(sb);
    lock_destroy(&sb->rename_lock);
    free(sb);
}

struct inode *inode_new(struct superblock *sb, uint32_t mode)
{
    struct inode *i = calloc(1, sizeof(*i));
    if (!i)
        return NULL;
    ref_init(&i->ref);
    superblock_get(sb);
    i->sb = sb;
    i->mode = mode;
    i->nlink = 1;
    lock_init(&i->lock, LR_INODE);
    if (S_ISDIR(mode))
        lock_init(&i->dir_lock, LR_DIR);
    time_stamp(&i->btime);
    i->atime = i->mtime = i->ctime = i->btime;
    return i;
}

void inode_get(struct inode *i)
{
    ref_get(&i->ref);
}

void inode_put(struct inode *i)
{
    if (!ref_put(&i->ref))
        return;
    if (i->marks)
        fsnotify_inode_gone(i);
    locks_free(i);
    acl_free(i);
    struct superblock *sb = i->sb;
    if (sb->ops && sb->ops->inode_free)
        sb->ops->inode_free(i);
    if (S_ISDIR(i->mode))
        lock_destroy(&i->dir_lock);
    lock_destroy(&i->lock);
    free(i);
    superblock_put(sb);
}

/* ---- permissions ---- */

bool inode_capable(const struct inode *i, const struct cred *c, int cap)
{
    return cred_capable_here(c, cap) && ids_mapped(c->user_ns, i->uid, i->gid);
}

static int permission_by_caps(struct inode *i, unsigned mask, const struct cred *c)
{
    if (S_ISDIR(i->mode)) {
        if (!(mask & W_OK) && inode_capable(i, c, CAP_DAC_READ_SEARCH))
            return 0;
        return inode_capable(i, c, CAP_DAC_OVERRIDE) ? 0 : -EACCES;
    }
    if (mask == R_OK && inode_capable(i, c, CAP_DAC_READ_SEARCH))
        return 0;
    if (((mask & X_OK) && !(i->mode & 0111)) || !inode_capable(i, c, CAP_DAC_OVERRIDE))
        return -EACCES;
    return 0;
}

static int permission_generic(struct inode *i, unsigned mask, const struct cred *c)
{
    uint32_t bits = i->mode;
    if (c->fsuid == i->uid) {
        bits >>= 6;
    } else if (acl_has(i, ACL_ACCESS) && (bits & S_IRWXG)) {
        int r = acl_permission(i, mask, c);
        if (r <= 0)
            return r ? permission_by_caps(i, mask, c) : 0;
    } else if (((bits >> 3) & 7 & mask) != (bits & 7 & mask) && cred_in_group(c, i->gid)) {
        bits >>= 3; /* the group is looked up only where it makes a difference */
    }
    if (!(mask & ~bits & 7))
        return 0;
    return permission_by_caps(i, mask, c);
}

int inode_permission(struct inode *i, unsigned mask, const struct cred *c)
{
    if ((mask & W_OK) && i->sb->read_only &&
        (S_ISREG(i->mode) || S_ISDIR(i->mode) || S_ISLNK(i->mode)))
        return -EROFS;
    if ((mask & W_OK) && inode_has_flags(i, FS_IMMUTABLE_FL))
        return -EPERM;
    if (!c) /* the sentry itself, at start */
        return 0;
    if (i->ops && i->ops->permission)
        return i->ops->permission(i, mask, c);
    return permission_generic(i, mask, c);
}

bool inode_owner_or_capable(struct inode *i, const struct cred *c)
{
    return c->fsuid == i->uid || inode_capable(i, c, CAP_FOWNER);
}

int inode_keep(struct inode *i)
{
    return i->ops && i->ops->keep ? i->ops->keep(i) : 0;
}

void inode_init_owner(struct inode *dir, const struct cred *c, uint32_t *mode, uint32_t *uid,
                      uint32_t *gid)
{
    *uid = c ? c->fsuid : 0;
    *gid = c ? c->fsgid : 0;
    if (!dir || !(dir->mode & S_ISGID))
        return;
    *gid = dir->gid;
    if (S_ISDIR(*mode))
        *mode |= S_ISGID;
    else if ((*mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && c &&
             !cred_in_group(c, *gid) && !inode_capable(dir, c, CAP_FSETID))
        *mode &= ~S_ISGID;
}

/* ---- attributes ---- */

void inode_touch(struct inode *i, unsigned which)
{
    struct timespec now;
    time_stamp(&now);
    if (which & IATTR_ATIME)
        i->atime = now;
    if (which & IATTR_MTIME)
        i->mtime = now;
    if (which & IATTR_CTIME)
        i->ctime = now;
}

static void getattr_fields(struct inode *i, struct kstat *out)
{
    LOCK_GUARD(&i->lock);
    *out = (struct kstat){
        .dev = i->sb->dev,
        .rdev = i->rdev,
        .ino = i->ino,
        .size = i->size,
        .blocks = (i->size + 511) / 512,
        .blksize = 4096,
        .mode = i->mode,
        .nlink = i->nlink,
        .uid = i->uid,
        .gid = i->gid,
        .atime = i->atime,
        .mtime = i->mtime,
        .ctime = i->ctime,
        .btime = i->btime,
    };
}

int inode_getattr(struct inode *i, struct kstat *out)
{
    if (i->ops && i->ops->getattr)
        return i->ops->getattr(i, out);
    getattr_fields(i, out);
    return 0;
}

int inode_setattr_simple(struct inode *i, const struct iattr *a)
{
    if (a->valid & IATTR_MODE)
        i->mode = (i->mode & S_IFMT) | (a->mode & 07777);
    if (a->valid & IATTR_UID)
        i->uid = a->uid;
    if (a->valid & IATTR_GID)
        i->gid = a->gid;
    if (a->valid & IATTR_ATIME)
        i->atime = a->atime;
    if (a->valid & IATTR_MTIME)
        i->mtime = a->mtime;
    if (a->valid & IATTR_CTIME)
        i->ctime = a->ctime;
    else
        inode_touch(i, IATTR_CTIME);
    return 0;
}

/* ---- writers and deniers ---- */

static int write_count_add(struct inode *i, int by)
{
    int32_t *count = (int32_t *)&i->write_count;
    int32_t old = __atomic_load_n(count, __ATOMIC_RELAXED);
    do {
        if (by > 0 ? old < 0 : old > 0)
            return -ETXTBSY;
    } while (!__atomic_compare_exchange_n(count, &old, old + by, /*weak=*/true, __ATOMIC_ACQ_REL,
                                          __ATOMIC_RELAXED));
    return 0;
}

int inode_write_get(struct inode *i)
{
    return write_count_add(i, 1);
}

void inode_write_put(struct inode *i)
{
    __atomic_sub_fetch((int32_t *)&i->write_count, 1, __ATOMIC_ACQ_REL);
}

int inode_write_deny(struct inode *i)
{
    return write_count_add(i, -1);
}

void inode_write_allow(struct inode *i)
{
    __atomic_add_fetch((int32_t *)&i->write_count, 1, __ATOMIC_ACQ_REL);
}
