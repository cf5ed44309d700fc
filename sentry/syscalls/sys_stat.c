/* stat, lstat, fstat, newfstatat, statx, statfs, access. */
#include "syscalls/sys_fs.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static int stat_export(struct task *t, struct uaddr out, const struct kstat *k)
{
    struct stat st;
    memset(&st, 0, sizeof(st));
    st.st_dev = k->dev;
    st.st_ino = k->ino;
    st.st_nlink = k->nlink;
    st.st_mode = k->mode;
    st.st_uid = uid_to(t->cred->user_ns, k->uid);
    st.st_gid = gid_to(t->cred->user_ns, k->gid);
    st.st_rdev = k->rdev;
    st.st_size = k->size;
    st.st_blksize = k->blksize;
    st.st_blocks = k->blocks;
    st.st_atim = k->atime;
    st.st_mtim = k->mtime;
    st.st_ctim = k->ctime;
    return uaccess_write_obj(t->mm, out, &st);
}

/* With AT_EMPTY_PATH a null path is as good as an empty one. */
static int stat_path_at(struct task *t, int dirfd, uint64_t path, unsigned flags, struct path *p,
                        struct file **f)
{
    unsigned walk = flags & AT_SYMLINK_NOFOLLOW ? 0 : WALK_FOLLOW;
    if (!path && (flags & AT_EMPTY_PATH))
        return sys_name_at(t, dirfd, "", /*empty_ok=*/true, walk, p, f);
    return sys_path_at(t, dirfd, uaddr(path), flags & AT_EMPTY_PATH, walk, p, f);
}

static int64_t stat_at(struct task *t, int dirfd, uint64_t path, uint64_t out, unsigned flags)
{
    struct kstat k;
    SYS_PATH p = {NULL, NULL};
    SYS_FILE f = NULL;
    int r = stat_path_at(t, dirfd, path, flags, &p, &f);
    if (!r)
        r = inode_getattr(sys_inode(&p, f), &k);
    return r ? r : stat_export(t, uaddr(out), &k);
}

int64_t sys_stat(struct task *t, const struct sysargs *a)
{
    return stat_at(t, AT_FDCWD, a->v[0], a->v[1], 0);
}

int64_t sys_lstat(struct task *t, const struct sysargs *a)
{
    return stat_at(t, AT_FDCWD, a->v[0], a->v[1], AT_SYMLINK_NOFOLLOW);
}

int64_t sys_fstat(struct task *t, const struct sysargs *a)
{
    SYS_FILE f = fdtable_get(t->fds, a->v[0]);
    if (!f)
        return -EBADF;
    struct kstat k;
    int r = inode_getattr(f->inode, &k);
    return r ? r : stat_export(t, uaddr(a->v[1]), &k);
}

int64_t sys_newfstatat(struct task *t, const struct sysargs *a)
{
    unsigned flags = a->v[3];
    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE))
        return -EINVAL;
    return stat_at(t, a->v[0], a->v[1], a->v[2], flags);
}

/* ---- statx ---- */

static struct statx_timestamp statx_time(const struct timespec *ts)
{
    return (struct statx_timestamp){.tv_sec = ts->tv_sec, .tv_nsec = ts->tv_nsec};
}

#ifndef STATX_MNT_ID
#define STATX_MNT_ID 0x1000u
#endif
#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x4000u /* our ids are never used again */
#endif

static void statx_fill(struct task *t, struct statx *x, const struct kstat *k)
{
    memset(x, 0, sizeof(*x));
    x->stx_mask = STATX_BASIC_STATS;
    x->stx_blksize = k->blksize;
    x->stx_attributes = k->attributes;
    x->stx_attributes_mask = k->attributes_mask | STATX_ATTR_AUTOMOUNT | 0x200000 /* …_DAX */;
    x->stx_nlink = k->nlink;
    x->stx_uid = uid_to(t->cred->user_ns, k->uid);
    x->stx_gid = gid_to(t->cred->user_ns, k->gid);
    x->stx_mode = k->mode;
    x->stx_ino = k->ino;
    x->stx_size = k->size;
    x->stx_blocks = k->blocks;
    x->stx_atime = statx_time(&k->atime);
    x->stx_mtime = statx_time(&k->mtime);
    x->stx_ctime = statx_time(&k->ctime);
    x->stx_rdev_major = major(k->rdev);
    x->stx_rdev_minor = minor(k->rdev);
    x->stx_dev_major = major(k->dev);
    x->stx_dev_minor = minor(k->dev);
    if (k->btime.tv_sec || k->btime.tv_nsec) {
        x->stx_btime = statx_time(&k->btime);
        x->stx_mask |= STATX_BTIME;
    }
}

/* Mount id and "this is a mount's root", which live beyond what older headers name. */
static void statx_fill_mount(struct statx *x, const struct path *p, unsigned mask)
{
    if (!p->mnt)
        return;
    uint64_t id = p->mnt->id;
    memcpy((char *)x + 0x90, &id, sizeof(id));
    x->stx_mask |= mask & STATX_MNT_ID_UNIQUE ? STATX_MNT_ID_UNIQUE : STATX_MNT_ID;
    x->stx_attributes_mask |= 0x2000; /* STATX_ATTR_MOUNT_ROOT */
    if (p->dentry == p->mnt->root)
        x->stx_attributes |= 0x2000;
}

static void statx_fill_flags(struct statx *x, const struct inode *i)
{
    const uint32_t told = FS_IMMUTABLE_FL | FS_APPEND_FL | FS_NODUMP_FL; /* STATX_ATTR_* are the same */
    if (!i->sb->own_attrs)
        return;
    x->stx_attributes_mask |= told;
    x->stx_attributes |= __atomic_load_n(&i->fsflags, __ATOMIC_RELAXED) & told;
}

int64_t sys_statx(struct task *t, const struct sysargs *a)
{
    unsigned flags = a->v[2], mask = a->v[3];
    unsigned sync = flags & AT_STATX_SYNC_TYPE;
    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE))
        return -EINVAL;
    if (sync == AT_STATX_SYNC_TYPE || (mask & 0x80000000u))
        return -EINVAL;
    SYS_PATH p = {NULL, NULL};
    SYS_FILE f = NULL;
    struct kstat k;
    struct statx x;
    int r = stat_path_at(t, a->v[0], a->v[1], flags, &p, &f);
    if (!r)
        r = inode_getattr(sys_inode(&p, f), &k);
    if (r)
        return r;
    statx_fill(t, &x, &k);
    statx_fill_mount(&x, &p, mask);
    statx_fill_flags(&x, sys_inode(&p, f));
    return uaccess_write_obj(t->mm, uaddr(a->v[4]), &x);
}

/* ---- statfs ---- */

static void statfs_flags(const struct path *p, struct inode *i, struct statfs *out)
{
    static const struct {
        unsigned mount, statfs;
    } map[] = {{MS_RDONLY, 1},   {MS_NOSUID, 2},     {MS_NODEV, 4},      {MS_NOEXEC, 8},
               {MS_NOATIME, 1024}, {MS_NODIRATIME, 2048}, {MS_RELATIME, 4096}};
    unsigned flags = p->mnt ? __atomic_load_n(&p->mnt->flags, __ATOMIC_RELAXED) : 0;
    out->f_flags = 0x20; /* ST_VALID */
    for (unsigned n = 0; n < sizeof(map) / sizeof(map[0]); n++)
        if (flags & map[n].mount)
            out->f_flags |= map[n].statfs;
    if (i->sb->read_only)
        out->f_flags |= 1;
}

static int64_t do_statfs(struct task *t, const struct path *p, struct inode *i, struct uaddr out)
{
    struct statfs st;
    memset(&st, 0, sizeof(st));
    st.f_type = i->sb->magic;
    st.f_bsize = st.f_frsize = 4096;
    st.f_namelen = VFS_NAME_MAX;
    int r = 0;
    if (i->ops && i->ops->statfs)
        r = i->ops->statfs(i, &st);
    else if (i->sb->ops && i->sb->ops->statfs)
        r = i->sb->ops->statfs(i->sb, &st);
    if (r)
        return r;
    vfs_fsid(i->sb->dev, &st.f_fsid);
    statfs_flags(p, i, &st);
    return uaccess_write_obj(t->mm, out, &st);
}

int64_t sys_statfs(struct task *t, const struct sysargs *a)
{
    SYS_PATH p = {NULL, NULL};
    SYS_FILE f = NULL;
    int r = sys_path_at(t, AT_FDCWD, uaddr(a->v[0]), /*empty_ok=*/false, WALK_FOLLOW, &p, &f);
    return r ? r : do_statfs(t, &p, p.dentry->inode, uaddr(a->v[1]));
}

int64_t sys_fstatfs(struct task *t, const struct sysargs *a)
{
    SYS_FILE f = fdtable_get(t->fds, a->v[0]);
    return f ? do_statfs(t, &f->path, f->inode, uaddr(a->v[1])) : -EBADF;
}

/* ---- access ---- */

/* access(2) asks on behalf of the real ids. The copy shares the groups with the original. */
static const struct cred *real_cred(const struct cred *c, struct cred *storage)
{
    uint64_t eff = c->uid == 0 ? c->cap_permitted : 0;
    if (c->uid == c->fsuid && c->gid == c->fsgid && eff == c->cap_effective)
        return c;
    *storage = *c;
    storage->fsuid = c->uid;
    storage->fsgid = c->gid;
    if (!(c->securebits & 4)) /* SECBIT_NO_SETUID_FIXUP */
        storage->cap_effective = eff;
    return storage;
}

static int access_check(const struct path *p, struct inode *i, unsigned mode, const struct cred *c)
{
    unsigned flags = p->mnt ? __atomic_load_n(&p->mnt->flags, __ATOMIC_RELAXED) : 0;
    if ((mode & X_OK) && S_ISREG(i->mode) && (flags & MS_NOEXEC))
        return -EACCES;
    int r = inode_permission(i, mode, c);
    if (!r && (mode & W_OK) && (flags & MS_RDONLY) &&
        (S_ISREG(i->mode) || S_ISDIR(i->mode) || S_ISLNK(i->mode)))
        r = -EROFS;
    return r;
}

static int64_t do_access(struct task *t, int dirfd, uint64_t path, unsigned mode, unsigned flags)
{
    struct cred storage;
    if (mode & ~(R_OK | W_OK | X_OK))
        return -EINVAL;
    if (flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    const struct cred *c = flags & AT_EACCESS ? t->cred : real_cred(t->cred, &storage);
    SYS_STR name = NULL;
    int r = vfs_path_import(t, uaddr(path), flags & AT_EMPTY_PATH, &name);
    if (r)
        return r;
    if (!*name && dirfd != AT_FDCWD) {
        SYS_FILE f = fdtable_get(t->fds, dirfd);
        return f ? access_check(&f->path, f->inode, mode, c) : -EBADF;
    }
    SYS_PATH p = {NULL, NULL};
    r = vfs_walk_as(t, c, dirfd, name,
                    (flags & AT_SYMLINK_NOFOLLOW ? 0 : WALK_FOLLOW) |
                        (flags & AT_EMPTY_PATH ? WALK_EMPTY : 0),
                    &p);
    return r || !mode ? r : access_check(&p, p.dentry->inode, mode, c);
}

int64_t sys_access(struct task *t, const struct sysargs *a)
{
    return do_access(t, AT_FDCWD, a->v[0], a->v[1], 0);
}

int64_t sys_faccessat(struct task *t, const struct sysargs *a)
{
    return do_access(t, a->v[0], a->v[1], a->v[2], 0);
}

int64_t sys_faccessat2(struct task *t, const struct sysargs *a)
{
    return do_access(t, a->v[0], a->v[1], a->v[2], a->v[3]);
}
