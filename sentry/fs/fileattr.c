/* Flags of files beyond the mode: immutable, append-only and their kin (FS_IOC_GETFLAGS, chattr(1));
 * and file capabilities as far as writers are concerned.
 *
 * They live in the inode, on filesystems whose attributes are ours (superblock.own_attrs). Immutable
 * is enforced in inode_permission, append-only in may_open; both where names and attributes change. */
#include "fs/vfs_priv.h"
#include "time/time.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/xattr.h>

#define SETTABLE (FS_IMMUTABLE_FL | FS_APPEND_FL | FS_NODUMP_FL | FS_NOATIME_FL)

static const struct {
    uint32_t fl, xflag;
} g_xflags[] = {
    {FS_IMMUTABLE_FL, FS_XFLAG_IMMUTABLE},
    {FS_APPEND_FL, FS_XFLAG_APPEND},
    {FS_NODUMP_FL, FS_XFLAG_NODUMP},
    {FS_NOATIME_FL, FS_XFLAG_NOATIME},
};

static uint32_t to_xflags(uint32_t fl)
{
    uint32_t x = 0;
    for (unsigned n = 0; n < sizeof(g_xflags) / sizeof(g_xflags[0]); n++)
        if (fl & g_xflags[n].fl)
            x |= g_xflags[n].xflag;
    return x;
}

/* -EOPNOTSUPP if x has a flag that is none of ours. */
static int from_xflags(uint32_t x, uint32_t *fl)
{
    *fl = 0;
    for (unsigned n = 0; n < sizeof(g_xflags) / sizeof(g_xflags[0]); n++) {
        if (x & g_xflags[n].xflag)
            *fl |= g_xflags[n].fl;
        x &= ~g_xflags[n].xflag;
    }
    return x & ~(uint32_t)FS_XFLAG_HASATTR ? -EOPNOTSUPP : 0;
}

static int set_checks(struct task *t, struct inode *i, uint32_t old, uint32_t next)
{
    if (!inode_owner_or_capable(i, t->cred))
        return -EPERM;
    if (((old ^ next) & (FS_IMMUTABLE_FL | FS_APPEND_FL)) &&
        !cred_has_cap(t->cred, CAP_LINUX_IMMUTABLE))
        return -EPERM;
    return next & ~(uint32_t)SETTABLE ? -EOPNOTSUPP : 0;
}

static int flags_set(struct task *t, struct file *f, uint32_t next)
{
    struct inode *i = f->inode;
    int r = path_want_write(&f->path);
    if (!r)
        r = inode_keep(i);
    if (r)
        return r;
    struct iattr a = {.valid = IATTR_CTIME};
    time_stamp(&a.ctime);
    LOCK_GUARD(&i->lock);
    r = set_checks(t, i, i->fsflags, next);
    if (!r && i->ops && i->ops->setattr)
        r = i->ops->setattr(i, &a);
    if (!r)
        __atomic_store_n(&i->fsflags, next, __ATOMIC_RELEASE);
    return r;
}

static int64_t ioctl_setflags(struct task *t, struct file *f, uint64_t arg)
{
    uint32_t next;
    int r = uaccess_read_obj(t->mm, &next, uaddr(arg));
    return r ? r : flags_set(t, f, next);
}

static int64_t ioctl_fssetxattr(struct task *t, struct file *f, uint64_t arg)
{
    struct fsxattr x;
    uint32_t next;
    int r = uaccess_read_obj(t->mm, &x, uaddr(arg));
    if (!r && (x.fsx_extsize || x.fsx_cowextsize || x.fsx_projid))
        r = -EOPNOTSUPP;
    if (!r)
        r = from_xflags(x.fsx_xflags, &next);
    return r ? r : flags_set(t, f, next);
}

int64_t fileattr_ioctl(struct task *t, struct file *f, unsigned cmd, uint64_t arg)
{
    struct inode *i = f->inode;
    if (!i->sb->own_attrs || !(inode_is_dir(i) || S_ISREG(i->mode)))
        return -ENOTTY;
    uint32_t fl = __atomic_load_n(&i->fsflags, __ATOMIC_RELAXED);
    switch (cmd) {
    case FS_IOC_GETFLAGS:
        return uaccess_write_obj(t->mm, uaddr(arg), &fl);
    case FS_IOC_SETFLAGS:
        return ioctl_setflags(t, f, arg);
    case FS_IOC_FSGETXATTR: {
        struct fsxattr x = {.fsx_xflags = to_xflags(fl)};
        return uaccess_write_obj(t->mm, uaddr(arg), &x);
    }
    case FS_IOC_FSSETXATTR:
        return ioctl_fssetxattr(t, f, arg);
    }
    return -ENOTTY;
}

/* struct vfs_cap_data in one of its three versions. */
static bool fcaps_decode(const uint32_t *w, int64_t size, struct file_caps *out)
{
    unsigned version = size >= (int64_t)sizeof(w[0]) ? w[0] >> 24 : 0;
    static const int64_t sizes[] = {0, XATTR_CAPS_SZ_1, XATTR_CAPS_SZ_2, XATTR_CAPS_SZ_3};
    if (version < 1 || version > 3 || size != sizes[version])
        return false;
    if (version == 3 && w[5]) /* for the root of another user namespace */
        return false;
    *out = (struct file_caps){
        .permitted = w[1], .inheritable = w[2], .effective = w[0] & VFS_CAP_FLAGS_EFFECTIVE};
    if (version > 1) {
        out->permitted |= (uint64_t)w[3] << 32;
        out->inheritable |= (uint64_t)w[4] << 32;
    }
    return true;
}

bool inode_file_caps(struct inode *i, struct file_caps *out)
{
    uint32_t words[XATTR_CAPS_SZ / sizeof(uint32_t)] = {0};
    if (__atomic_load_n(&i->fcaps, __ATOMIC_RELAXED) == FCAPS_NONE || !i->ops->getxattr)
        return false;
    int64_t n = i->ops->getxattr(i, XATTR_NAME_CAPS, words, sizeof(words));
    if (n < 0 && n != -ERANGE && !i->sb->revalidate)
        __atomic_store_n(&i->fcaps, FCAPS_NONE, __ATOMIC_RELAXED);
    return n > 0 && fcaps_decode(words, n, out);
}

void inode_kill_fcaps_slow(struct inode *i)
{
    bool none = !S_ISREG(i->mode) || !i->ops || !i->ops->removexattr;
    if (!none && i->ops->getxattr(i, XATTR_NAME_CAPS, NULL, 0) >= 0)
        i->ops->removexattr(i, XATTR_NAME_CAPS);
    __atomic_store_n(&i->fcaps, FCAPS_NONE, __ATOMIC_RELAXED);
}
