/* open, openat, openat2, creat, close, close_range. */
#include "syscalls/sys_fs.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/openat2.h>

#define OPEN_VALID                                                                                 \
    (O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_SYNC |          \
     O_DSYNC | O_ASYNC | O_DIRECT | 0100000 | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC |   \
     O_PATH | O_TMPFILE)
#define OPEN_LARGEFILE 0100000
#define OPEN_PATH_KEEP (O_DIRECTORY | O_NOFOLLOW | O_PATH | O_CLOEXEC)
#define TMPFILE_BIT    (O_TMPFILE & ~O_DIRECTORY)

int sys_path_at(struct task *t, int dirfd, struct uaddr ua, bool empty_ok, unsigned walk,
                struct path *p, struct file **f)
{
    SYS_STR name = NULL;
    *f = NULL;
    *p = (struct path){NULL, NULL};
    int r = vfs_path_import(t, ua, empty_ok, &name);
    return r ? r : sys_name_at(t, dirfd, name, empty_ok, walk, p, f);
}

int sys_name_at(struct task *t, int dirfd, const char *name, bool empty_ok, unsigned walk,
                struct path *p, struct file **f)
{
    *f = NULL;
    *p = (struct path){NULL, NULL};
    if (*name || dirfd == AT_FDCWD)
        return vfs_walk(t, dirfd, name, walk | (empty_ok ? WALK_EMPTY : 0), p);
    *f = fdtable_get(t->fds, dirfd);
    if (!*f)
        return -EBADF;
    *p = (*f)->path;
    path_get(p);
    return 0;
}

static int how_check(struct open_how_k *how)
{
    uint64_t acc = how->flags & O_ACCMODE;
    if (how->flags & O_PATH) {
        how->flags &= OPEN_PATH_KEEP;
        return 0;
    }
    if ((how->flags & O_SYNC) == (O_SYNC & ~O_DSYNC))
        how->flags |= O_DSYNC;
    if ((how->flags & TMPFILE_BIT)) {
        if ((how->flags & O_TMPFILE) != O_TMPFILE || (how->flags & O_CREAT))
            return -EINVAL;
        if (acc != O_WRONLY && acc != O_RDWR)
            return -EINVAL;
    }
    /* Directories cannot be made by open; Linux since 6.4 says so. */
    if ((how->flags & (O_CREAT | O_DIRECTORY)) == (O_CREAT | O_DIRECTORY))
        return -EINVAL;
    return 0;
}

static int64_t do_open(struct task *t, int dirfd, struct uaddr ua, struct open_how_k *how)
{
    SYS_STR name = NULL;
    struct file *f;
    int r = how_check(how);
    if (!r)
        r = vfs_path_import(t, ua, /*empty_ok=*/false, &name);
    if (!r && (how->flags & O_CREAT) && fdtable_full(t))
        r = -EMFILE; /* before a file is made for nothing */
    if (!r)
        r = vfs_open(t, dirfd, name, how, &f);
    if (r)
        return r;
    int fd = fdtable_install(t, f, 0, how->flags & O_CLOEXEC);
    if (fd < 0)
        file_put(f);
    return fd;
}

static int64_t open_old(struct task *t, int dirfd, uint64_t path, uint64_t flags, uint64_t mode)
{
    struct open_how_k how = {.flags = (uint32_t)flags & OPEN_VALID, .mode = mode & 07777};
    if (!(how.flags & O_PATH))
        how.flags |= OPEN_LARGEFILE;
    return do_open(t, dirfd, uaddr(path), &how);
}

int64_t sys_open(struct task *t, const struct sysargs *a)
{
    return open_old(t, AT_FDCWD, a->v[0], a->v[1], a->v[2]);
}

int64_t sys_openat(struct task *t, const struct sysargs *a)
{
    return open_old(t, a->v[0], a->v[1], a->v[2], a->v[3]);
}

int64_t sys_creat(struct task *t, const struct sysargs *a)
{
    return open_old(t, AT_FDCWD, a->v[0], O_CREAT | O_WRONLY | O_TRUNC, a->v[1]);
}

int sys_struct_import(struct task *t, struct uaddr ua, uint64_t size, void *out, size_t known,
                      size_t min)
{
    char buf[4096] = {0};
    if (size < min)
        return -EINVAL;
    if (size > sizeof(buf))
        return -E2BIG;
    int r = uaccess_read(t->mm, buf, ua, size);
    if (r)
        return r;
    for (size_t i = known; i < size; i++)
        if (buf[i])
            return -E2BIG;
    __builtin_memcpy(out, buf, known);
    return 0;
}

static int how2_check(const struct open_how_k *how)
{
    const uint64_t resolve = RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS |
                             RESOLVE_BENEATH | RESOLVE_IN_ROOT | RESOLVE_CACHED;
    bool makes = (how->flags & O_CREAT) || (how->flags & TMPFILE_BIT);
    if ((how->flags & ~(uint64_t)OPEN_VALID) || (how->resolve & ~resolve))
        return -EINVAL;
    if ((how->resolve & RESOLVE_BENEATH) && (how->resolve & RESOLVE_IN_ROOT))
        return -EINVAL;
    if (how->mode & ~(uint64_t)07777 || (!makes && how->mode))
        return -EINVAL;
    if ((how->flags & O_PATH) && (how->flags & ~(uint64_t)OPEN_PATH_KEEP))
        return -EINVAL;
    return 0;
}

int64_t sys_openat2(struct task *t, const struct sysargs *a)
{
    struct open_how_k how;
    int r = sys_struct_import(t, uaddr(a->v[2]), a->v[3], &how, sizeof(how), sizeof(how));
    if (!r)
        r = how2_check(&how);
    if (r)
        return r;
    if (!(how.flags & O_PATH))
        how.flags |= OPEN_LARGEFILE;
    return do_open(t, a->v[0], uaddr(a->v[1]), &how);
}

int64_t sys_close(struct task *t, const struct sysargs *a)
{
    return fdtable_close(t, a->v[0]);
}

int64_t sys_close_range(struct task *t, const struct sysargs *a)
{
    unsigned first = a->v[0], last = a->v[1], flags = a->v[2];
    if (flags & ~(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC) || first > last)
        return -EINVAL;
    if (flags & CLOSE_RANGE_UNSHARE) {
        struct fdtable *own;
        int r = fdtable_copy(t->fds, &own);
        if (r)
            return r;
        lock_acquire(&t->lock);
        struct fdtable *old = t->fds;
        t->fds = own;
        lock_release(&t->lock);
        fdtable_put(old, t);
    }
    return fdtable_close_range(t, first, last, flags & CLOSE_RANGE_CLOEXEC);
}
