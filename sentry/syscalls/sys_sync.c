/* fsync, sync and advice about what will be read. */
#include "syscalls/sys_fs.h"

#include <fcntl.h>
#include <sys/stat.h>

static int64_t do_fsync(struct task *t, int fd, bool data_only)
{
    SYS_FILE f = fdtable_get_io(t->fds, fd);
    if (!f)
        return -EBADF;
    if (!f->ops->fsync)
        return S_ISDIR(f->inode->mode) || S_ISREG(f->inode->mode) ? 0 : -EINVAL;
    return f->ops->fsync(f, data_only);
}

int64_t sys_fsync(struct task *t, const struct sysargs *a)
{
    return do_fsync(t, a->v[0], /*data_only=*/false);
}

int64_t sys_fdatasync(struct task *t, const struct sysargs *a)
{
    return do_fsync(t, a->v[0], /*data_only=*/true);
}

static int sb_sync(struct superblock *sb)
{
    return sb->ops && sb->ops->sync ? sb->ops->sync(sb) : 0;
}

int64_t sys_syncfs(struct task *t, const struct sysargs *a)
{
    SYS_FILE f = fdtable_get_io(t->fds, a->v[0]);
    return f ? sb_sync(f->inode->sb) : -EBADF;
}

/* Collected under the mount lock, synced after it. */
enum { SYNC_MAX = 64 };
struct sync_list {
    struct superblock *sb[SYNC_MAX];
    unsigned count;
};

static void sync_collect(struct mount *m, void *arg)
{
    struct sync_list *l = arg;
    for (unsigned i = 0; i < l->count; i++)
        if (l->sb[i] == m->sb)
            return;
    if (l->count == SYNC_MAX)
        return;
    superblock_get(m->sb);
    l->sb[l->count++] = m->sb;
}

int64_t sys_sync(struct task *t, const struct sysargs *a)
{
    struct sync_list l = {.count = 0};
    mount_for_each(t->mount_ns, sync_collect, &l);
    for (unsigned i = 0; i < l.count; i++) {
        sb_sync(l.sb[i]);
        superblock_put(l.sb[i]);
    }
    return 0;
}

int64_t sys_sync_file_range(struct task *t, const struct sysargs *a)
{
    int64_t off = a->v[1], size = a->v[2];
    SYS_FILE f = fdtable_get_io(t->fds, a->v[0]);
    if (!f)
        return -EBADF;
    if (a->v[3] & ~7ull || off < 0 || size < 0)
        return -EINVAL;
    if (S_ISFIFO(f->inode->mode) || S_ISSOCK(f->inode->mode))
        return -ESPIPE;
    /* Only the waiting forms promise anything. */
    return (a->v[3] & 4) && f->ops->fsync ? f->ops->fsync(f, true) : 0;
}

int64_t sys_fadvise64(struct task *t, const struct sysargs *a)
{
    SYS_FILE f = fdtable_get_io(t->fds, a->v[0]);
    if (!f)
        return -EBADF;
    if (S_ISFIFO(f->inode->mode))
        return -ESPIPE;
    return (int64_t)a->v[2] < 0 || a->v[3] > POSIX_FADV_NOREUSE ? -EINVAL : 0;
}

int64_t sys_readahead(struct task *t, const struct sysargs *a)
{
    SYS_FILE f = fdtable_get_io(t->fds, a->v[0]);
    if (!f || !(f->mode & FMODE_READ))
        return -EBADF;
    return S_ISREG(f->inode->mode) ? 0 : -EINVAL;
}
