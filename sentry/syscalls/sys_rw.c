/* read, write and their vectored and positioned kin; lseek. */
#include "syscalls/sys_fs.h"

#include <linux/fs.h>

#define RWF_KNOWN (RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND)

static int64_t clamp_size(uint64_t size, int64_t *r)
{
    *r = (int64_t)size < 0 ? -EINVAL : 0;
    return size > UIO_MAX_BYTES ? UIO_MAX_BYTES : size;
}

int64_t sys_read(struct task *t, const struct sysargs *a)
{
    SYS_FILE f = fdtable_get_io(t->fds, a->v[0]);
    if (!f)
        return -EBADF;
    int64_t r;
    uint64_t size = clamp_size(a->v[2], &r);
    if (r)
        return r;
    struct uio u;
    uio_init_user(&u, t->mm, uaddr(a->v[1]), size);
    return vfs_read(t, f, &u);
}

int64_t sys_write(struct task *t, const struct sysargs *a)
{
    SYS_FILE f = fdtable_get_io(t->fds, a->v[0]);
    if (!f)
        return -EBADF;
    int64_t r;
    uint64_t size = clamp_size(a->v[2], &r);
    if (r)
        return r;
    struct uio u;
    uio_init_user(&u, t->mm, uaddr(a->v[1]), size);
    return vfs_write(t, f, &u);
}

int64_t sys_pread64(struct task *t, const struct sysargs *a)
{
    if ((int64_t)a->v[3] < 0)
        return -EINVAL;
    SYS_FILE f = fdtable_get_io(t->fds, a->v[0]);
    if (!f)
        return -EBADF;
    int64_t r;
    uint64_t size = clamp_size(a->v[2], &r);
    struct uio u;
    uio_init_user(&u, t->mm, uaddr(a->v[1]), size);
    return r ? r : vfs_pread(t, f, &u, a->v[3]);
}

int64_t sys_pwrite64(struct task *t, const struct sysargs *a)
{
    if ((int64_t)a->v[3] < 0)
        return -EINVAL;
    SYS_FILE f = fdtable_get_io(t->fds, a->v[0]);
    if (!f)
        return -EBADF;
    int64_t r;
    uint64_t size = clamp_size(a->v[2], &r);
    struct uio u;
    uio_init_user(&u, t->mm, uaddr(a->v[1]), size);
    return r ? r : vfs_pwrite(t, f, &u, a->v[3], 0);
}

enum { AT_POSITION = -1 };

static int rwf_check(uint64_t rwf, bool write)
{
    if (rwf & ~(uint64_t)RWF_KNOWN)
        return -EOPNOTSUPP;
    if (!write && (rwf & (RWF_DSYNC | RWF_SYNC | RWF_APPEND)))
        return rwf & RWF_APPEND ? -EINVAL : 0;
    return 0;
}

/* pos AT_POSITION: at the file's own. */
static int64_t vectored(struct task *t, const struct sysargs *a, bool write, int64_t pos,
                        uint64_t rwf)
{
    SYS_FILE f = fdtable_get_io(t->fds, a->v[0]);
    if (!f)
        return -EBADF;
    int r = rwf_check(rwf, write);
    if (r)
        return r;
    struct uio u;
    r = uio_import(&u, t->mm, uaddr(a->v[1]), a->v[2]);
    if (r)
        return r;
    int64_t n;
    if (pos == AT_POSITION)
        n = write ? vfs_write_flags(t, f, &u, rwf) : vfs_read(t, f, &u);
    else
        n = write ? vfs_pwrite(t, f, &u, pos, rwf) : vfs_pread(t, f, &u, pos);
    uio_free(&u);
    return n;
}

int64_t sys_readv(struct task *t, const struct sysargs *a)
{
    return vectored(t, a, /*write=*/false, AT_POSITION, 0);
}

int64_t sys_writev(struct task *t, const struct sysargs *a)
{
    return vectored(t, a, /*write=*/true, AT_POSITION, 0);
}

/* On x86-64 the low half of the position is the whole position. */
int64_t sys_preadv(struct task *t, const struct sysargs *a)
{
    return (int64_t)a->v[3] < 0 ? -EINVAL : vectored(t, a, /*write=*/false, a->v[3], 0);
}

int64_t sys_pwritev(struct task *t, const struct sysargs *a)
{
    return (int64_t)a->v[3] < 0 ? -EINVAL : vectored(t, a, /*write=*/true, a->v[3], 0);
}

int64_t sys_preadv2(struct task *t, const struct sysargs *a)
{
    int64_t pos = a->v[3];
    return pos < -1 ? -EINVAL : vectored(t, a, /*write=*/false, pos, a->v[5]);
}

int64_t sys_pwritev2(struct task *t, const struct sysargs *a)
{
    int64_t pos = a->v[3];
    return pos < -1 ? -EINVAL : vectored(t, a, /*write=*/true, pos, a->v[5]);
}

int64_t sys_lseek(struct task *t, const struct sysargs *a)
{
    SYS_FILE f = fdtable_get_io(t->fds, a->v[0]);
    if (!f)
        return -EBADF;
    return vfs_lseek(f, a->v[1], (unsigned)a->v[2] > 4 ? -1 : (int)a->v[2]);
}
