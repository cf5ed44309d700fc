/* read, write and their vectored and positioned kin; lseek. */
#include "syscalls/sys_fs.h"

#include <linux/fs.h>

/* One plain buffer. A range that cannot be the guest's is told by vfs_*, in Linux's order; a size
 * that is no size at all never is one. */
static void buffer_init(struct uio *u, struct task *t, const struct sysargs *a)
{
    bool ok = uaddr_range_ok(a->v[1], a->v[2]);
    uio_init_user(u, t->mm, uaddr(ok ? a->v[1] : UINT64_MAX), a->v[2]);
}

/* /proc/PID/io */
static int64_t counted(struct task *t, bool write, int64_t r)
{
    uint64_t bytes = r > 0 ? r : 0;
    if (write) {
        t->io.writes++;
        t->io.write_bytes += bytes;
    } else {
        t->io.reads++;
        t->io.read_bytes += bytes;
    }
    return r;
}

int64_t sys_read(struct task *t, const struct sysargs *a)
{
    SYS_FILE f = fdtable_get_io(t->fds, a->v[0]);
    if (!f)
        return -EBADF;
    struct uio u;
    buffer_init(&u, t, a);
    return counted(t, /*write=*/false, vfs_read(t, f, &u));
}

int64_t sys_write(struct task *t, const struct sysargs *a)
{
    SYS_FILE f = fdtable_get_io(t->fds, a->v[0]);
    if (!f)
        return -EBADF;
    struct uio u;
    buffer_init(&u, t, a);
    return counted(t, /*write=*/true, vfs_write(t, f, &u));
}

int64_t sys_pread64(struct task *t, const struct sysargs *a)
{
    if ((int64_t)a->v[3] < 0)
        return -EINVAL;
    SYS_FILE f = fdtable_get_io(t->fds, a->v[0]);
    if (!f)
        return -EBADF;
    struct uio u;
    buffer_init(&u, t, a);
    return counted(t, /*write=*/false, vfs_pread(t, f, &u, a->v[3]));
}

int64_t sys_pwrite64(struct task *t, const struct sysargs *a)
{
    if ((int64_t)a->v[3] < 0)
        return -EINVAL;
    SYS_FILE f = fdtable_get_io(t->fds, a->v[0]);
    if (!f)
        return -EBADF;
    struct uio u;
    buffer_init(&u, t, a);
    return counted(t, /*write=*/true, vfs_pwrite(t, f, &u, a->v[3], 0));
}

enum { AT_POSITION = -1 };

/* pos AT_POSITION: at the file's own. */
static int64_t vectored_move(struct task *t, struct file *f, struct uio *u, bool write, int64_t pos,
                             unsigned rwf)
{
    if (!u->remaining && !(f->mode & (write ? FMODE_WRITE : FMODE_READ)))
        return -EBADF;
    if (!u->remaining && (write ? !!f->ops->write : !!f->ops->read))
        return 0;
    int r = rwf ? vfs_rwf_check(f, rwf) : 0;
    if (r)
        return r;
    u->nowait = rwf & RWF_NOWAIT;
    if (pos == AT_POSITION)
        return write ? vfs_write_flags(t, f, u, rwf) : vfs_read(t, f, u);
    return write ? vfs_pwrite(t, f, u, pos, rwf) : vfs_pread(t, f, u, pos);
}

static int64_t vectored(struct task *t, const struct sysargs *a, bool write, int64_t pos,
                        unsigned rwf)
{
    SYS_FILE f = fdtable_get_io(t->fds, a->v[0]);
    if (!f)
        return -EBADF;
    if (pos != AT_POSITION && f->ops->stream)
        return -ESPIPE;
    if (!(f->mode & (write ? FMODE_WRITE : FMODE_READ)))
        return -EBADF;
    if (write ? !f->ops->write : !f->ops->read)
        return S_ISDIR(f->inode->mode) ? -EISDIR : -EINVAL;
    struct uio u;
    int r = uio_import(&u, t->mm, uaddr(a->v[1]), a->v[2]);
    if (r)
        return r;
    int64_t n = vectored_move(t, f, &u, write, pos, rwf);
    uio_free(&u);
    return counted(t, write, n);
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
