/* stat, and the permission rules of chmod, chown, utimes and truncate. */
#include "base/overflow.h"
#include "fs/vfs_priv.h"
#include "time/time.h"

#include <errno.h>
#include <linux/fs.h>
#include <signal.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

int vfs_stat(const struct path *p, struct kstat *out)
{
    int r = inode_getattr(p->dentry->inode, out);
    if (!r && p->mnt)
        out->mnt_id = p->mnt->id;
    return r;
}

static int chown_check(struct inode *i, const struct iattr *a, const struct cred *c)
{
    if (inode_capable(i, c, CAP_CHOWN))
        return 0;
    if ((a->valid & IATTR_UID) && (c->fsuid != i->uid || a->uid != i->uid))
        return -EPERM;
    if ((a->valid & IATTR_GID) &&
        (c->fsuid != i->uid || (a->gid != i->gid && !cred_in_group(c, a->gid))))
        return -EPERM;
    return 0;
}

void vfs_fsid(dev_t dev, void *out)
{
    uint32_t id[2] = {(uint32_t)dev, 0x7266};
    memcpy(out, id, sizeof(id));
}

/* Which set-id bits a chown, a write or a truncation takes away. Without group execution set-group-id
 * is no privilege, but it is not for outsiders of the group to hand on either. */
uint32_t inode_setid_kill(const struct inode *i, const struct cred *c)
{
    uint32_t kill = i->mode & S_ISUID;
    if ((i->mode & S_ISGID) && ((i->mode & S_IXGRP) || (!cred_in_group(c, i->gid) &&
                                                        !inode_capable(i, c, CAP_FSETID))))
        kill |= S_ISGID;
    return kill;
}

/* chown takes the set-id bits of a program away, whoever calls it. */
static int chown_kill_setid(struct inode *i, struct iattr *a, const struct cred *c)
{
    uint32_t kill = inode_is_dir(i) || (a->valid & IATTR_MODE) ? 0 : inode_setid_kill(i, c);
    if (!kill)
        return 0;
    if (!(a->valid & (IATTR_UID | IATTR_GID)) && !inode_owner_or_capable(i, c))
        return -EPERM;
    a->valid |= IATTR_MODE;
    a->mode = i->mode & 07777 & ~kill;
    return 0;
}

static int chmod_check(struct inode *i, struct iattr *a, const struct cred *c)
{
    if (!inode_owner_or_capable(i, c))
        return -EPERM;
    uint32_t gid = a->valid & IATTR_GID ? a->gid : i->gid;
    if ((a->mode & S_ISGID) && !cred_in_group(c, gid) && !inode_capable(i, c, CAP_FSETID))
        a->mode &= ~S_ISGID;
    return 0;
}

static int setattr_check(struct inode *i, struct iattr *a, const struct cred *c)
{
    int r = 0;
    if (a->valid & (IATTR_UID | IATTR_GID | IATTR_CHOWN)) {
        r = chown_check(i, a, c);
        if (!r)
            r = chown_kill_setid(i, a, c);
    } else if (a->valid & IATTR_MODE) {
        r = chmod_check(i, a, c);
    }
    return r;
}

/* Immutable and append-only files keep their attributes. */
static int fsflags_check(struct inode *i, const struct iattr *a)
{
    uint32_t forbid = FS_IMMUTABLE_FL;
    if ((a->valid & (IATTR_MODE | IATTR_UID | IATTR_GID)) || !(a->valid & IATTR_TOUCH))
        forbid |= FS_APPEND_FL;
    return inode_has_flags(i, forbid) ? -EPERM : 0;
}

static int setattr_locked(struct inode *i, struct iattr *a)
{
    if (!(a->valid & IATTR_CTIME)) {
        time_stamp(&a->ctime);
        a->valid |= IATTR_CTIME;
    }
    int r;
    if (i->ops && i->ops->setattr)
        r = i->ops->setattr(i, a);
    else
        r = a->valid & IATTR_SIZE ? -EINVAL : inode_setattr_simple(i, a);
    if (!r && (a->valid & IATTR_MODE) && acl_has(i, ACL_ACCESS))
        acl_chmod(i);
    return r;
}

int vfs_setattr(struct task *t, const struct path *p, struct iattr *a)
{
    return vfs_setattr_inode(t, p, p->dentry->inode, a);
}

/* Times are checked by the caller (utimensat knows whether they are "now"). */
int vfs_setattr_inode(struct task *t, const struct path *p, struct inode *i, struct iattr *a)
{
    int r = path_want_write(p);
    if (!r)
        r = fsflags_check(i, a);
    if (r)
        return r;
    lock_acquire(&i->lock);
    r = setattr_check(i, a, t->cred);
    if (!r)
        r = setattr_locked(i, a);
    lock_release(&i->lock);
    if (!r && (a->valid & IATTR_CHOWN) && S_ISREG(i->mode))
        inode_kill_fcaps(i);
    if (!r && p->dentry)
        fsnotify_change(p, a->valid & (IATTR_MODE | IATTR_UID | IATTR_GID | IATTR_ATIME)
                             ? IN_ATTRIB
                             : IN_MODIFY);
    return r;
}

/* RLIMIT_FSIZE: how much of [pos, pos+size) may be written; -EFBIG (with SIGXFSZ) for none. */
int64_t vfs_fsize_limit(struct task *t, struct inode *i, int64_t pos, uint64_t size)
{
    if (pos < 0 || (uint64_t)pos > INT64_MAX - size)
        return pos < 0 ? -EINVAL : -EFBIG;
    if (!S_ISREG(i->mode) || !size)
        return size;
    uint64_t max = sb_max_bytes(i->sb), limit = t ? rlimit_get(t->process, RLIMIT_FSIZE) : max;
    if ((uint64_t)pos >= max && (uint64_t)pos < limit)
        return -EFBIG;
    size = (uint64_t)pos < max ? MIN(size, max - pos) : size;
    if (pos + size <= limit && size)
        return size;
    if ((uint64_t)pos < limit)
        return limit - pos;
    siginfo_t info = {.si_signo = SIGXFSZ, .si_code = SI_KERNEL};
    signal_send_task(t, SIGXFSZ, &info);
    return -EFBIG;
}

int vfs_newsize_check(struct task *t, struct inode *i, uint64_t size)
{
    struct kstat st;
    if (inode_getattr(i, &st) || size <= st.size)
        return 0;
    if (size <= (t ? rlimit_get(t->process, RLIMIT_FSIZE) : UINT64_MAX))
        return size > sb_max_bytes(i->sb) ? -EFBIG : 0;
    siginfo_t info = {.si_signo = SIGXFSZ, .si_code = SI_KERNEL};
    signal_send_task(t, SIGXFSZ, &info);
    return -EFBIG;
}

/* The inode may be an overlay's or a plain one; permission has been checked. p may be NULL. */
int vfs_truncate(struct task *t, const struct path *p, struct inode *i, struct file *f,
                 uint64_t size)
{
    if (!S_ISREG(i->mode))
        return -EINVAL;
    if (inode_has_flags(i, FS_APPEND_FL))
        return -EPERM;
    int r = vfs_newsize_check(t, i, size);
    if (r)
        return r;
    struct iattr a = {.valid = IATTR_SIZE | IATTR_MTIME, .size = size};
    time_stamp(&a.mtime);
    lock_acquire(&i->lock);
    uint32_t setid = i->mode & (S_ISUID | S_ISGID);
    if (setid && t && !inode_capable(i, t->cred, CAP_FSETID)) {
        a.valid |= IATTR_MODE;
        a.mode = i->mode & 07777 & ~inode_setid_kill(i, t->cred);
    }
    r = setattr_locked(i, &a);
    lock_release(&i->lock);
    if (!r && t)
        inode_kill_fcaps(i);
    if (!r && p && p->dentry)
        fsnotify_change(p, IN_MODIFY);
    return r;
}
