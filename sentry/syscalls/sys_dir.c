/* Directories: getdents, getcwd, chdir, chroot; and the making, moving and removing of names. */
#include "base/overflow.h"
#include "syscalls/sys_fs.h"

#include <fcntl.h>
#include <linux/fanotify.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* ---- getdents ---- */

#define DENTS_BUFFER_MAX (32 * 1024u)

struct dents {
    struct dir_sink sink;
    char *buf;
    size_t size, used;
    size_t last; /* offset of the last entry */
    int64_t next_pos;
    bool old_format, too_small, any;
};

struct dirent64_k {
    uint64_t ino;
    int64_t off;
    uint16_t reclen;
    uint8_t type;
    char name[];
} __attribute__((packed));

struct dirent_k { /* getdents: the type is the record's last byte */
    uint64_t ino, off;
    uint16_t reclen;
    char name[];
} __attribute__((packed));

static int dents_emit(struct dir_sink *s, const char *name, size_t len, uint64_t ino,
                      unsigned type, int64_t next_pos)
{
    struct dents *d = container_of(s, struct dents, sink);
    size_t head = d->old_format ? sizeof(struct dirent_k) : sizeof(struct dirent64_k);
    size_t reclen = (head + len + (d->old_format ? 2 : 1) + 7) & ~7ul;
    if (reclen > d->size - d->used) {
        d->too_small = !d->any;
        return 1;
    }
    char *at = d->buf + d->used;
    memset(at, 0, reclen);
    if (d->old_format) {
        struct dirent_k e = {.ino = ino, .off = next_pos, .reclen = reclen};
        memcpy(at, &e, sizeof(e));
        at[reclen - 1] = type;
    } else {
        struct dirent64_k e = {.ino = ino, .off = next_pos, .reclen = reclen, .type = type};
        memcpy(at, &e, sizeof(e));
    }
    memcpy(at + head, name, len);
    d->used += reclen;
    d->next_pos = next_pos;
    d->any = true;
    return 0;
}

static int64_t dents_fill(struct task *t, struct file *f, struct dents *d, struct uaddr out)
{
    LOCK_GUARD(&f->pos_lock);
    if (f->inode->dead)
        return -ENOENT;
    int r = f->ops->readdir(f, f->pos, &d->sink);
    if (r && !d->any)
        return r;
    if (d->too_small)
        return -EINVAL;
    r = uaccess_write(t->mm, out, d->buf, d->used);
    if (r)
        return r;
    if (d->any)
        f->pos = d->next_pos;
    return d->used;
}

static int64_t do_getdents(struct task *t, const struct sysargs *a, bool old_format)
{
    SYS_FILE f = fdtable_get_io(t->fds, a->v[0]);
    if (!f)
        return -EBADF;
    if (!f->ops->readdir)
        return -ENOTDIR;
    unsigned size = MIN((unsigned)a->v[2], DENTS_BUFFER_MAX);
    int r = f->mode & FMODE_NONOTIFY ? 0 : fanotify_permission(t, &f->path, FAN_ACCESS_PERM);
    if (r)
        return r;
    SYS_STR buf = malloc(size ? size : 1);
    if (!buf)
        return -ENOMEM;
    struct dents d = {
        .sink = {dents_emit}, .buf = buf, .size = size, .old_format = old_format};
    int64_t n = dents_fill(t, f, &d, uaddr(a->v[1]));
    fsnotify_file(f, IN_ACCESS);
    return n;
}

int64_t sys_getdents(struct task *t, const struct sysargs *a)
{
    return do_getdents(t, a, /*old_format=*/true);
}

int64_t sys_getdents64(struct task *t, const struct sysargs *a)
{
    return do_getdents(t, a, /*old_format=*/false);
}

/* ---- where we are ---- */

int64_t sys_getcwd(struct task *t, const struct sysargs *a)
{
    char buf[VFS_PATH_MAX + 64];
    SYS_PATH root = {NULL, NULL};
    SYS_PATH cwd = {NULL, NULL};
    fs_struct_root(t->fs, &root);
    fs_struct_cwd(t->fs, &cwd);
    if (!cwd.dentry->hashed && cwd.dentry->parent != cwd.dentry)
        return -ENOENT;
    char *s = path_name(&cwd, &root, buf, sizeof(buf));
    if (!s)
        return -ENAMETOOLONG;
    size_t size = buf + sizeof(buf) - s;
    if (size > a->v[1])
        return -ERANGE;
    int r = uaccess_write(t->mm, uaddr(a->v[0]), s, size);
    return r ? r : (int64_t)size;
}

static int may_enter(struct task *t, const struct path *p)
{
    if (!S_ISDIR(p->dentry->inode->mode))
        return -ENOTDIR;
    return inode_permission(p->dentry->inode, X_OK, t->cred);
}

static int walk_dir(struct task *t, uint64_t name, struct path *p)
{
    SYS_FILE f = NULL;
    int r = sys_path_at(t, AT_FDCWD, uaddr(name), /*empty_ok=*/false,
                        WALK_FOLLOW | WALK_DIRECTORY, p, &f);
    return r ? r : may_enter(t, p);
}

int64_t sys_chdir(struct task *t, const struct sysargs *a)
{
    struct path p;
    int r = walk_dir(t, a->v[0], &p);
    if (r)
        path_put(&p);
    else
        fs_struct_set_cwd(t->fs, &p);
    return r;
}

int64_t sys_fchdir(struct task *t, const struct sysargs *a)
{
    SYS_FILE f = fdtable_get(t->fds, a->v[0]);
    if (!f)
        return -EBADF;
    if (!f->path.mnt)
        return -ENOTDIR;
    int r = may_enter(t, &f->path);
    if (r)
        return r;
    struct path p = f->path;
    path_get(&p);
    fs_struct_set_cwd(t->fs, &p);
    return 0;
}

int64_t sys_chroot(struct task *t, const struct sysargs *a)
{
    struct path p;
    int r = walk_dir(t, a->v[0], &p);
    if (!r && !cred_capable_here(t->cred, CAP_SYS_CHROOT))
        r = -EPERM;
    if (r)
        path_put(&p);
    else
        fs_struct_set_root(t->fs, &p);
    return r;
}

/* ---- names ---- */

static int64_t do_mkdir(struct task *t, int dirfd, uint64_t path, uint32_t mode)
{
    SYS_STR name = NULL;
    int r = vfs_path_import(t, uaddr(path), /*empty_ok=*/false, &name);
    return r ? r : vfs_mkdir(t, dirfd, name, mode);
}

int64_t sys_mkdir(struct task *t, const struct sysargs *a)
{
    return do_mkdir(t, AT_FDCWD, a->v[0], a->v[1]);
}

int64_t sys_mkdirat(struct task *t, const struct sysargs *a)
{
    return do_mkdir(t, a->v[0], a->v[1], a->v[2]);
}

static int64_t do_mknod(struct task *t, int dirfd, uint64_t path, uint32_t mode, uint32_t dev)
{
    SYS_STR name = NULL;
    dev_t d = makedev((dev >> 8) & 0xfff, (dev & 0xff) | ((dev >> 12) & 0xfff00));
    if (S_ISDIR(mode))
        return -EPERM;
    if ((mode & S_IFMT) && !S_ISREG(mode) && !S_ISCHR(mode) && !S_ISBLK(mode) && !S_ISFIFO(mode) &&
        !S_ISSOCK(mode))
        return -EINVAL;
    int r = vfs_path_import(t, uaddr(path), /*empty_ok=*/false, &name);
    return r ? r : vfs_mknod(t, dirfd, name, mode, d);
}

int64_t sys_mknod(struct task *t, const struct sysargs *a)
{
    return do_mknod(t, AT_FDCWD, a->v[0], a->v[1], a->v[2]);
}

int64_t sys_mknodat(struct task *t, const struct sysargs *a)
{
    return do_mknod(t, a->v[0], a->v[1], a->v[2], a->v[3]);
}

static int64_t do_unlink(struct task *t, int dirfd, uint64_t path, bool dir)
{
    SYS_STR name = NULL;
    int r = vfs_path_import(t, uaddr(path), /*empty_ok=*/false, &name);
    return r ? r : vfs_unlink(t, dirfd, name, dir);
}

int64_t sys_unlink(struct task *t, const struct sysargs *a)
{
    return do_unlink(t, AT_FDCWD, a->v[0], /*dir=*/false);
}

int64_t sys_rmdir(struct task *t, const struct sysargs *a)
{
    return do_unlink(t, AT_FDCWD, a->v[0], /*dir=*/true);
}

int64_t sys_unlinkat(struct task *t, const struct sysargs *a)
{
    unsigned flags = a->v[2];
    if (flags & ~AT_REMOVEDIR)
        return -EINVAL;
    return do_unlink(t, a->v[0], a->v[1], flags & AT_REMOVEDIR);
}

/* Two path arguments at once. */
static int import_two(struct task *t, uint64_t a, bool a_empty_ok, uint64_t b, char **x, char **y)
{
    int r = vfs_path_import(t, uaddr(a), a_empty_ok, x);
    return r ? r : vfs_path_import(t, uaddr(b), /*empty_ok=*/false, y);
}

/* The second path of a call could not be read: what is wrong with the first counts before that. */
static int64_t second_bad(struct task *t, int dirfd, const char *first, unsigned walk, bool parent,
                          int error)
{
    SYS_PATH p = {NULL, NULL};
    int r = parent ? vfs_walk_parent(t, dirfd, first) : vfs_walk(t, dirfd, first, walk, &p);
    return r ? r : error;
}

static int64_t do_symlink(struct task *t, uint64_t target, int dirfd, uint64_t path)
{
    SYS_STR to = NULL;
    SYS_STR name = NULL;
    int r = import_two(t, target, /*a_empty_ok=*/false, path, &to, &name);
    return r ? r : vfs_symlink(t, to, dirfd, name);
}

int64_t sys_symlink(struct task *t, const struct sysargs *a)
{
    return do_symlink(t, a->v[0], AT_FDCWD, a->v[1]);
}

int64_t sys_symlinkat(struct task *t, const struct sysargs *a)
{
    return do_symlink(t, a->v[0], a->v[1], a->v[2]);
}

static int64_t do_link(struct task *t, int olddir, uint64_t old, int newdir, uint64_t new_name,
                       unsigned flags)
{
    SYS_STR from = NULL;
    SYS_STR to = NULL;
    if (flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    int r = import_two(t, old, flags & AT_EMPTY_PATH, new_name, &from, &to);
    if (r && from && *from)
        return second_bad(t, olddir, from, flags & AT_SYMLINK_FOLLOW ? WALK_FOLLOW : 0,
                          /*parent=*/false, r);
    return r ? r : vfs_link(t, olddir, from, newdir, to, flags);
}

int64_t sys_link(struct task *t, const struct sysargs *a)
{
    return do_link(t, AT_FDCWD, a->v[0], AT_FDCWD, a->v[1], 0);
}

int64_t sys_linkat(struct task *t, const struct sysargs *a)
{
    return do_link(t, a->v[0], a->v[1], a->v[2], a->v[3], a->v[4]);
}

static int64_t do_rename(struct task *t, int olddir, uint64_t old, int newdir, uint64_t new_name,
                         unsigned flags)
{
    SYS_STR from = NULL;
    SYS_STR to = NULL;
    if (flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT) ||
        ((flags & RENAME_EXCHANGE) && (flags & (RENAME_NOREPLACE | RENAME_WHITEOUT))))
        return -EINVAL;
    int r = import_two(t, old, /*a_empty_ok=*/false, new_name, &from, &to);
    if (r && from)
        return second_bad(t, olddir, from, 0, /*parent=*/true, r);
    return r ? r : vfs_rename(t, olddir, from, newdir, to, flags);
}

int64_t sys_rename(struct task *t, const struct sysargs *a)
{
    return do_rename(t, AT_FDCWD, a->v[0], AT_FDCWD, a->v[1], 0);
}

int64_t sys_renameat(struct task *t, const struct sysargs *a)
{
    return do_rename(t, a->v[0], a->v[1], a->v[2], a->v[3], 0);
}

int64_t sys_renameat2(struct task *t, const struct sysargs *a)
{
    return do_rename(t, a->v[0], a->v[1], a->v[2], a->v[3], a->v[4]);
}

static int64_t do_readlink(struct task *t, int dirfd, uint64_t path, uint64_t buf, int size)
{
    SYS_PATH p = {NULL, NULL};
    SYS_FILE f = NULL;
    SYS_STR name = NULL;
    char target[VFS_PATH_MAX];
    if (size <= 0)
        return -EINVAL;
    int r = vfs_path_import(t, uaddr(path), /*empty_ok=*/true, &name);
    if (!r)
        r = sys_name_at(t, dirfd, name, /*empty_ok=*/true, 0, &p, &f);
    if (r)
        return r;
    struct inode *i = sys_inode(&p, f);
    if (!S_ISLNK(i->mode))
        return *name ? -EINVAL : -ENOENT; /* "" means dirfd, which must be a link then */
    if (!i->ops->readlink)
        return -EINVAL;
    r = i->ops->readlink(i, target, MIN((size_t)size, sizeof(target)));
    if (r < 0)
        return r;
    if (i->sb->own_attrs)
        path_accessed(p.mnt, i);
    int e = uaccess_write(t->mm, uaddr(buf), target, r);
    return e ? e : r;
}

int64_t sys_readlink(struct task *t, const struct sysargs *a)
{
    return do_readlink(t, AT_FDCWD, a->v[0], a->v[1], a->v[2]);
}

int64_t sys_readlinkat(struct task *t, const struct sysargs *a)
{
    return do_readlink(t, a->v[0], a->v[1], a->v[2], a->v[3]);
}

int64_t sys_umask(struct task *t, const struct sysargs *a)
{
    LOCK_GUARD(&t->fs->lock);
    uint32_t old = t->fs->umask;
    t->fs->umask = a->v[0] & 0777;
    return old;
}
