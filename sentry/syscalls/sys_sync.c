/* fsync, sync and advice about what will be read. */
#include "base/overflow.h"
#include "syscalls/sys_fs.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <unistd.h>

/* Filesystems that only show what is elsewhere have nothing to sync. */
static bool sb_is_shown(const struct superblock *sb)
{
    return sb->magic == PROC_SUPER_MAGIC || sb->magic == SYSFS_MAGIC;
}

static int64_t do_fsync(struct task *t, int fd, bool data_only)
{
    SYS_FILE f = fdtable_get_io(t->fds, fd);
    if (!f)
        return -EBADF;
    if (!f->ops->fsync)
        return S_ISDIR(f->inode->mode) && !sb_is_shown(f->inode->sb) ? 0 : -EINVAL;
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
    int64_t end;
    if (a->v[3] & ~7ull || off < 0 || size < 0 || __builtin_add_overflow(off, size, &end))
        return -EINVAL;
    if (!S_ISREG(f->inode->mode) && !S_ISBLK(f->inode->mode) && !S_ISDIR(f->inode->mode))
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

/* ---- cachestat ---- */

struct cachestat_abi {
    uint64_t cache, dirty, writeback, evicted, recently_evicted;
};

/* Every page that holds data counts as cached: files of ours live in memory, and whether the host
 * still has a page of its files is the host's secret. */
static uint64_t pages_with_data(struct file *f, uint64_t off, uint64_t end)
{
    uint64_t pages = 0, next = off;
    while (next < end) {
        int64_t data = f->ops->lseek(f, next, SEEK_DATA);
        if (data < 0 || (uint64_t)data >= end)
            break;
        int64_t hole = f->ops->lseek(f, data, SEEK_HOLE);
        if (hole <= data)
            break;
        next = MIN((uint64_t)hole, end);
        pages += (next + RF_PAGE_SIZE - 1) / RF_PAGE_SIZE - data / RF_PAGE_SIZE;
    }
    return pages;
}

int64_t sys_cachestat(struct task *t, const struct sysargs *a)
{
    uint64_t range[2]; /* offset, size; a size of 0: to the end */
    struct cachestat_abi out = {0};
    SYS_FILE f = fdtable_get_io(t->fds, a->v[0]);
    if (!f)
        return -EBADF;
    if (uaccess_read(t->mm, range, uaddr(a->v[1]), sizeof(range)))
        return -EFAULT;
    if (a->v[3])
        return -EINVAL;
    if (S_ISREG(f->inode->mode) && f->ops->lseek && !f->ops->own_pos && range[0] < INT64_MAX) {
        uint64_t end = INT64_MAX;
        if (range[1] && range[1] < end - range[0])
            end = range[0] + range[1];
        out.cache = pages_with_data(f, range[0] & RF_PAGE_MASK, end);
    }
    return uaccess_write_obj(t->mm, uaddr(a->v[2]), &out);
}
