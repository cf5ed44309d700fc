/* chmod, chown, utimes, truncate, fallocate. */
#include "syscalls/sys_fs.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>
#include <utime.h>

/* ---- mode and owner ---- */

static int64_t setattr_at(struct task *t, int dirfd, uint64_t path, unsigned flags,
                          struct iattr *attr)
{
    SYS_PATH p = {NULL, NULL};
    SYS_FILE f = NULL;
    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    int r = sys_path_at(t, dirfd, uaddr(path), flags & AT_EMPTY_PATH,
                        flags & AT_SYMLINK_NOFOLLOW ? 0 : WALK_FOLLOW, &p, &f);
    if (r)
        return r;
    if (!p.dentry)
        return vfs_setattr_inode(t, &p, f->inode, attr);
    if ((attr->valid & IATTR_MODE) && S_ISLNK(p.dentry->inode->mode))
        return -EOPNOTSUPP;
    return vfs_setattr(t, &p, attr);
}

static int64_t setattr_fd(struct task *t, int fd, struct iattr *attr)
{
    SYS_FILE f = fdtable_get_io(t->fds, fd);
    return f ? vfs_setattr_inode(t, &f->path, f->inode, attr) : -EBADF;
}

static struct iattr mode_attr(uint64_t mode)
{
    return (struct iattr){.valid = IATTR_MODE, .mode = mode & 07777};
}

/* False: an id is said that nobody bears. */
static bool owner_attr(struct task *t, uint32_t uid, uint32_t gid, struct iattr *out)
{
    *out = (struct iattr){
        .valid = IATTR_CHOWN | (uid != UINT32_MAX ? IATTR_UID : 0) |
                 (gid != UINT32_MAX ? IATTR_GID : 0),
        .uid = uid_from(t->cred->user_ns, uid),
        .gid = gid_from(t->cred->user_ns, gid),
    };
    return (uid == UINT32_MAX || out->uid != UINT32_MAX) &&
           (gid == UINT32_MAX || out->gid != UINT32_MAX);
}

int64_t sys_chmod(struct task *t, const struct sysargs *a)
{
    struct iattr attr = mode_attr(a->v[1]);
    return setattr_at(t, AT_FDCWD, a->v[0], 0, &attr);
}

int64_t sys_fchmod(struct task *t, const struct sysargs *a)
{
    struct iattr attr = mode_attr(a->v[1]);
    return setattr_fd(t, a->v[0], &attr);
}

int64_t sys_fchmodat(struct task *t, const struct sysargs *a)
{
    struct iattr attr = mode_attr(a->v[2]);
    return setattr_at(t, a->v[0], a->v[1], 0, &attr);
}

int64_t sys_fchmodat2(struct task *t, const struct sysargs *a)
{
    struct iattr attr = mode_attr(a->v[2]);
    return setattr_at(t, a->v[0], a->v[1], a->v[3], &attr);
}

int64_t sys_chown(struct task *t, const struct sysargs *a)
{
    struct iattr attr;
    if (!owner_attr(t, a->v[1], a->v[2], &attr))
        return -EINVAL;
    return setattr_at(t, AT_FDCWD, a->v[0], 0, &attr);
}

int64_t sys_lchown(struct task *t, const struct sysargs *a)
{
    struct iattr attr;
    if (!owner_attr(t, a->v[1], a->v[2], &attr))
        return -EINVAL;
    return setattr_at(t, AT_FDCWD, a->v[0], AT_SYMLINK_NOFOLLOW, &attr);
}

int64_t sys_fchown(struct task *t, const struct sysargs *a)
{
    struct iattr attr;
    if (!owner_attr(t, a->v[1], a->v[2], &attr))
        return -EINVAL;
    return setattr_fd(t, a->v[0], &attr);
}

int64_t sys_fchownat(struct task *t, const struct sysargs *a)
{
    struct iattr attr;
    if (!owner_attr(t, a->v[2], a->v[3], &attr))
        return -EINVAL;
    return setattr_at(t, a->v[0], a->v[1], a->v[4], &attr);
}

/* ---- times ---- */

static bool valid_nsec(long nsec)
{
    return nsec == UTIME_NOW || nsec == UTIME_OMIT || (nsec >= 0 && nsec < 1000000000);
}

/* Both "now": being allowed to write is enough. Anything else is the owner's. */
static int times_check(struct task *t, struct inode *i, bool all_now)
{
    if (inode_owner_or_capable(i, t->cred))
        return 0;
    return all_now ? inode_permission(i, W_OK, t->cred) : -EPERM;
}

static void times_fill(struct iattr *attr, const struct timespec ts[2])
{
    struct timespec now;
    time_to_timespec(time_realtime(), &now);
    if (ts[0].tv_nsec != UTIME_OMIT) {
        attr->valid |= IATTR_ATIME;
        attr->atime = ts[0].tv_nsec == UTIME_NOW ? now : ts[0];
    }
    if (ts[1].tv_nsec != UTIME_OMIT) {
        attr->valid |= IATTR_MTIME;
        attr->mtime = ts[1].tv_nsec == UTIME_NOW ? now : ts[1];
    }
}

static int64_t set_times(struct task *t, const struct path *p, struct inode *i,
                         const struct timespec ts[2])
{
    struct iattr attr = {0};
    bool all_now = ts[0].tv_nsec == UTIME_NOW && ts[1].tv_nsec == UTIME_NOW;
    if (!valid_nsec(ts[0].tv_nsec) || !valid_nsec(ts[1].tv_nsec))
        return -EINVAL;
    if (p->mnt && (__atomic_load_n(&p->mnt->flags, __ATOMIC_RELAXED) & 1 /* MS_RDONLY */))
        return -EROFS;
    int r = times_check(t, i, all_now);
    if (r)
        return r;
    attr.valid = all_now ? IATTR_TOUCH : 0;
    times_fill(&attr, ts);
    return vfs_setattr_inode(t, p, i, &attr);
}

/* path 0: dirfd is the file itself. */
static int64_t times_at(struct task *t, int dirfd, uint64_t path, const struct timespec ts[2],
                        unsigned flags)
{
    if (ts[0].tv_nsec == UTIME_OMIT && ts[1].tv_nsec == UTIME_OMIT)
        return 0;
    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    if (!path && dirfd != AT_FDCWD) {
        if (flags)
            return -EINVAL;
        SYS_FILE f = fdtable_get_io(t->fds, dirfd);
        return f ? set_times(t, &f->path, f->inode, ts) : -EBADF;
    }
    SYS_PATH p = {NULL, NULL};
    SYS_FILE f = NULL;
    int r = sys_path_at(t, dirfd, uaddr(path), flags & AT_EMPTY_PATH,
                        flags & AT_SYMLINK_NOFOLLOW ? 0 : WALK_FOLLOW, &p, &f);
    return r ? r : set_times(t, &p, sys_inode(&p, f), ts);
}

static const struct timespec g_now[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};

int64_t sys_utimensat(struct task *t, const struct sysargs *a)
{
    struct timespec ts[2] = {g_now[0], g_now[1]};
    if (a->v[2]) {
        int r = uaccess_read(t->mm, ts, uaddr(a->v[2]), sizeof(ts));
        if (r)
            return r;
    }
    return times_at(t, a->v[0], a->v[1], ts, a->v[3]);
}

static int64_t timeval_at(struct task *t, int dirfd, uint64_t path, uint64_t times)
{
    struct timespec ts[2] = {g_now[0], g_now[1]};
    if (times) {
        struct timeval tv[2];
        int r = uaccess_read(t->mm, tv, uaddr(times), sizeof(tv));
        if (r)
            return r;
        for (int i = 0; i < 2; i++) {
            if (tv[i].tv_usec < 0 || tv[i].tv_usec >= 1000000)
                return -EINVAL;
            ts[i] = (struct timespec){tv[i].tv_sec, tv[i].tv_usec * 1000};
        }
    }
    return times_at(t, dirfd, path, ts, 0);
}

int64_t sys_utimes(struct task *t, const struct sysargs *a)
{
    return timeval_at(t, AT_FDCWD, a->v[0], a->v[1]);
}

int64_t sys_futimesat(struct task *t, const struct sysargs *a)
{
    return timeval_at(t, a->v[0], a->v[1], a->v[2]);
}

int64_t sys_utime(struct task *t, const struct sysargs *a)
{
    struct timespec ts[2] = {g_now[0], g_now[1]};
    if (a->v[1]) {
        struct utimbuf ub;
        int r = uaccess_read_obj(t->mm, &ub, uaddr(a->v[1]));
        if (r)
            return r;
        ts[0] = (struct timespec){.tv_sec = ub.actime};
        ts[1] = (struct timespec){.tv_sec = ub.modtime};
    }
    return times_at(t, AT_FDCWD, a->v[0], ts, 0);
}

/* ---- size ---- */

static int64_t truncate_path(struct task *t, const struct path *p, int64_t size)
{
    struct inode *i = p->dentry->inode;
    if (S_ISDIR(i->mode))
        return -EISDIR;
    if (!S_ISREG(i->mode))
        return -EINVAL;
    int r = inode_permission(i, W_OK, t->cred);
    if (!r && p->mnt && (__atomic_load_n(&p->mnt->flags, __ATOMIC_RELAXED) & 1 /* MS_RDONLY */))
        r = -EROFS;
    if (!r)
        r = inode_write_get(i);
    if (r)
        return r;
    r = lease_break(t, i, /*write=*/true, /*nonblock=*/false);
    if (!r)
        r = vfs_truncate(t, p, i, NULL, size);
    inode_write_put(i);
    return r;
}

int64_t sys_truncate(struct task *t, const struct sysargs *a)
{
    SYS_PATH p = {NULL, NULL};
    SYS_FILE f = NULL;
    if ((int64_t)a->v[1] < 0)
        return -EINVAL;
    int r = sys_path_at(t, AT_FDCWD, uaddr(a->v[0]), /*empty_ok=*/false, WALK_FOLLOW, &p, &f);
    return r ? r : truncate_path(t, &p, a->v[1]);
}

int64_t sys_ftruncate(struct task *t, const struct sysargs *a)
{
    if ((int64_t)a->v[1] < 0)
        return -EINVAL;
    SYS_FILE f = fdtable_get_io(t->fds, a->v[0]);
    if (!f)
        return -EBADF;
    if (!S_ISREG(f->inode->mode) || !(f->mode & FMODE_WRITE))
        return -EINVAL;
    return vfs_truncate(t, &f->path, f->inode, f, a->v[1]);
}

static int fallocate_mode_check(unsigned mode)
{
    const unsigned known = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_COLLAPSE_RANGE |
                           FALLOC_FL_ZERO_RANGE | FALLOC_FL_INSERT_RANGE | FALLOC_FL_UNSHARE_RANGE;
    if (mode & ~known)
        return -EOPNOTSUPP;
    if ((mode & FALLOC_FL_PUNCH_HOLE) && (mode & FALLOC_FL_ZERO_RANGE))
        return -EOPNOTSUPP;
    if ((mode & FALLOC_FL_PUNCH_HOLE) && !(mode & FALLOC_FL_KEEP_SIZE))
        return -EOPNOTSUPP;
    if ((mode & FALLOC_FL_COLLAPSE_RANGE) && (mode & ~FALLOC_FL_COLLAPSE_RANGE))
        return -EINVAL;
    if ((mode & FALLOC_FL_INSERT_RANGE) && (mode & ~FALLOC_FL_INSERT_RANGE))
        return -EINVAL;
    return 0;
}

static int64_t do_fallocate(struct task *t, struct file *f, unsigned mode, int64_t off,
                            int64_t size)
{
    if (!(f->mode & FMODE_WRITE))
        return -EBADF;
    if (S_ISFIFO(f->inode->mode))
        return -ESPIPE;
    if (S_ISDIR(f->inode->mode))
        return -EISDIR;
    if (!S_ISREG(f->inode->mode))
        return -ENODEV;
    int64_t end;
    if (__builtin_add_overflow(off, size, &end))
        return -EFBIG;
    if (!f->ops->fallocate)
        return -EOPNOTSUPP;
    if (inode_has_flags(f->inode, FS_IMMUTABLE_FL) ||
        (inode_has_flags(f->inode, FS_APPEND_FL) && (mode & ~FALLOC_FL_KEEP_SIZE)))
        return -EPERM;
    if ((uint64_t)end > sb_max_bytes(f->inode->sb))
        return -EFBIG;
    if (!(mode & (FALLOC_FL_KEEP_SIZE | FALLOC_FL_COLLAPSE_RANGE))) {
        int r = vfs_newsize_check(t, f->inode, end);
        if (r)
            return r;
    }
    if (f->ops->inode_locked)
        lock_acquire(&f->inode->lock);
    int64_t r = f->ops->fallocate(f, mode, off, size);
    if (f->ops->inode_locked)
        lock_release(&f->inode->lock);
    if (!r)
        fsnotify_file(f, IN_MODIFY);
    return r;
}

int64_t sys_fallocate(struct task *t, const struct sysargs *a)
{
    int64_t off = a->v[2], size = a->v[3];
    SYS_FILE f = fdtable_get_io(t->fds, a->v[0]);
    if (!f)
        return -EBADF;
    if (off < 0 || size <= 0)
        return -EINVAL;
    int r = fallocate_mode_check(a->v[1]);
    return r ? r : do_fallocate(t, f, a->v[1], off, size);
}
