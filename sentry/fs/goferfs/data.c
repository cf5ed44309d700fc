/* Bytes of host files, through donated descriptors: reads and writes go straight between the host's
 * page cache and guest memory, maps show the same pages.
 *
 * An inode has up to two descriptors, made as they are needed: one for reading, one for writing
 * (opened for both if the file's mode allows, so that it serves maps). They stay while the file is
 * open; afterwards a bounded number is kept for the next open. */
#include "base/host.h"
#include "base/overflow.h"
#include "fs/goferfs/goferfs_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define IDLE_MAX     1024 /* inodes whose descriptors are kept although nobody has them open */
#define PIN_IOVS     64
#define PIN_BYTES    (1u << 20)
#define BOUNCE_BYTES (256 * 1024u)

static int fd_load(const int *fd)
{
    return __atomic_load_n(fd, __ATOMIC_ACQUIRE);
}

static int read_fd(const struct gofer_inode *gi)
{
    int fd = fd_load(&gi->fd_r);
    if (fd >= 0)
        return fd;
    fd = fd_load(&gi->fd_w);
    return fd >= 0 && gi->fd_w_readable ? fd : -1;
}

/* For fstat; inode->lock held, which keeps idle ones from being closed. */
int goferfs_any_fd(struct gofer_inode *gi)
{
    int fd = fd_load(&gi->fd_r);
    return fd >= 0 ? fd : fd_load(&gi->fd_w);
}

/* ---- keeping descriptors ---- */

static struct gofer_inode *idle_victim_locked(struct gofer_fs *fs)
{
    struct gofer_inode *gi;
    list_for_each(gi, &fs->idle, idle_node)
    {
        if (!ref_get_unless_zero(&gi->inode->ref))
            continue;
        if (lock_try(&gi->inode->lock)) {
            list_del(&gi->idle_node);
            fs->idle_count--;
            return gi;
        }
        /* Busy: its reference must not be the last one that we drop here, under the lock. */
        list_del(&gi->idle_node);
        list_push_back(&fs->idle, &gi->idle_node);
        return gi;
    }
    return NULL;
}

static void fds_close(struct gofer_inode *gi)
{
    if (gi->fd_r >= 0)
        host_close(gi->fd_r);
    if (gi->fd_w >= 0)
        host_close(gi->fd_w);
    gi->fd_r = gi->fd_w = -1;
}

static void idle_trim(struct gofer_fs *fs)
{
    lock_acquire(&fs->lock);
    struct gofer_inode *gi = fs->idle_count > IDLE_MAX ? idle_victim_locked(fs) : NULL;
    bool ours = gi && !list_linked(&gi->idle_node);
    lock_release(&fs->lock);
    if (!gi)
        return;
    if (ours) {
        mappable_drop_window(&gi->mappable);
        fds_close(gi);
        lock_release(&gi->inode->lock);
    }
    inode_put(gi->inode);
}

static void open_count_add(struct gofer_fs *fs, struct gofer_inode *gi)
{
    LOCK_GUARD(&fs->lock);
    if (gi->open_files++ == 0 && list_linked(&gi->idle_node)) {
        list_del(&gi->idle_node);
        fs->idle_count--;
    }
}

static void idle_add_locked(struct gofer_fs *fs, struct gofer_inode *gi)
{
    if (list_linked(&gi->idle_node))
        return;
    list_push_back(&fs->idle, &gi->idle_node);
    fs->idle_count++;
}

static void release_op(struct file *f)
{
    struct gofer_inode *gi = gofer_of(f->data);
    struct gofer_fs *fs = gofer_fs_of(f->data);
    lock_acquire(&fs->lock);
    if (--gi->open_files == 0)
        idle_add_locked(fs, gi);
    bool trim = fs->idle_count > IDLE_MAX;
    lock_release(&fs->lock);
    if (trim)
        idle_trim(fs);
}

void goferfs_fd_adopt(struct inode *i, int fd)
{
    if (!i) {
        host_close(fd);
        return;
    }
    struct gofer_inode *gi = gofer_of(i);
    struct gofer_fs *fs = gofer_fs_of(i);
    lock_acquire(&i->lock);
    if (gi->fd_w >= 0) {
        host_close(fd);
    } else {
        gi->fd_w_readable = true;
        __atomic_store_n(&gi->fd_w, fd, __ATOMIC_RELEASE);
    }
    lock_acquire(&fs->lock);
    if (!gi->open_files)
        idle_add_locked(fs, gi);
    lock_release(&fs->lock);
    lock_release(&i->lock);
}

void goferfs_data_free(struct gofer_inode *gi)
{
    mappable_drop_window(&gi->mappable);
    fds_close(gi);
}

/* ---- opening ---- */

static int open_for_read_locked(struct gofer_fs *fs, struct gofer_inode *gi)
{
    int fd;
    if (read_fd(gi) >= 0)
        return 0;
    uint64_t fid = goferfs_fid_open(gi->inode, O_RDONLY, &fd);
    if (fid == GOFERP_NOFID)
        return -ENOENT;
    int r = fd >= 0 ? 0 : gofer_open(fs->g, fid, O_RDONLY, &fd, NULL);
    if (!r)
        __atomic_store_n(&gi->fd_r, fd, __ATOMIC_RELEASE);
    return r;
}

/* The guest's rights have been checked; if the gofer may not read the file, writing alone will do. */
static int open_for_write_locked(struct gofer_fs *fs, struct gofer_inode *gi)
{
    int fd;
    if (gi->fd_w >= 0)
        return 0;
    bool readable = true;
    uint64_t fid = goferfs_fid(gi->inode);
    if (fid == GOFERP_NOFID)
        return -ENOENT;
    int r = gofer_open(fs->g, fid, O_RDWR, &fd, NULL);
    if (r == -EACCES || r == -EPERM) {
        readable = false;
        r = gofer_open(fs->g, fid, O_WRONLY, &fd, NULL);
    }
    if (r)
        return r;
    gi->fd_w_readable = readable;
    __atomic_store_n(&gi->fd_w, fd, __ATOMIC_RELEASE);
    return 0;
}

int goferfs_file_open(struct inode *i, struct file *f)
{
    struct gofer_inode *gi = gofer_of(i);
    struct gofer_fs *fs = gofer_fs_of(i);
    int r = 0;
    lock_acquire_nested(&i->lock); /* an overlay above may hold its own */
    if (f->mode & FMODE_WRITE)
        r = open_for_write_locked(fs, gi);
    if (!r && ((f->mode & FMODE_READ) || !f->mode))
        r = open_for_read_locked(fs, gi);
    if (!r)
        open_count_add(fs, gi);
    lock_release(&i->lock);
    f->data = i;
    f->ops = &g_goferfs_file_ops;
    return r;
}

/* ---- reading ---- */

static int64_t read_bounced(int fd, struct uio *u, int64_t pos)
{
    size_t size = MIN(u->remaining, (uint64_t)BOUNCE_BYTES);
    char *buf = malloc(size);
    if (!buf)
        return -ENOMEM;
    struct iovec iov = {buf, size};
    int64_t n = host_preadv(fd, &iov, 1, pos);
    if (n > 0) {
        size_t moved = uio_to_user(u, buf, n);
        n = moved ? (int64_t)moved : -EFAULT;
    }
    free(buf);
    return n;
}

/* One host call, as much as the guest's memory lets it be; *asked: what it was asked for. */
static int64_t read_direct(int fd, struct uio *u, int64_t pos, uint64_t *asked)
{
    struct iovec iov[PIN_IOVS];
    int count = uio_pin(u, PL_WRITE, iov, PIN_IOVS, MIN(u->remaining, (uint64_t)PIN_BYTES));
    if (count == -EOPNOTSUPP) {
        *asked = MIN(u->remaining, (uint64_t)BOUNCE_BYTES);
        return read_bounced(fd, u, pos);
    }
    if (count < 0)
        return count;
    *asked = 0;
    for (int k = 0; k < count; k++)
        *asked += iov[k].iov_len;
    int64_t n = host_preadv(fd, iov, count, pos);
    uio_unpin(u);
    if (n > 0)
        uio_advance(u, n);
    return n;
}

static int64_t read_op(struct file *f, struct uio *u, int64_t pos)
{
    struct gofer_inode *gi = gofer_of(f->data);
    int fd = read_fd(gi);
    int64_t done = 0, n = 0;
    uint64_t asked;
    if (fd < 0)
        return -EBADF;
    while (u->remaining) {
        n = read_direct(fd, u, pos + done, &asked);
        if (n <= 0)
            break;
        done += n;
        if ((uint64_t)n < asked)
            break;
    }
    return done ? done : n;
}

/* ---- writing; f->inode->lock held ---- */

static int64_t write_bounced(int fd, struct uio *u, int64_t pos)
{
    size_t size = MIN(u->remaining, (uint64_t)BOUNCE_BYTES);
    char *buf = malloc(size);
    if (!buf)
        return -ENOMEM;
    size_t got = uio_from_user(u, buf, size);
    struct iovec iov = {buf, got};
    int64_t n = got ? host_pwritev(fd, &iov, 1, pos) : -EFAULT;
    free(buf);
    return n;
}

static int64_t write_direct(int fd, struct uio *u, int64_t pos, uint64_t *asked)
{
    struct iovec iov[PIN_IOVS];
    int count = uio_pin(u, PL_READ, iov, PIN_IOVS, MIN(u->remaining, (uint64_t)PIN_BYTES));
    if (count == -EOPNOTSUPP) {
        *asked = MIN(u->remaining, (uint64_t)BOUNCE_BYTES);
        return write_bounced(fd, u, pos);
    }
    if (count < 0)
        return count;
    *asked = 0;
    for (int k = 0; k < count; k++)
        *asked += iov[k].iov_len;
    int64_t n = host_pwritev(fd, iov, count, pos);
    uio_unpin(u);
    if (n > 0)
        uio_advance(u, n);
    return n;
}

static void size_grow(struct inode *i, uint64_t end)
{
    if (end > i->size)
        __atomic_store_n(&i->size, end, __ATOMIC_RELEASE);
}

static int64_t write_op(struct file *f, struct uio *u, int64_t pos)
{
    struct inode *i = f->data;
    struct gofer_inode *gi = gofer_of(i);
    int fd = fd_load(&gi->fd_w);
    int64_t done = 0, n = 0;
    uint64_t asked;
    if (fd < 0)
        return -EBADF;
    while (u->remaining) {
        n = write_direct(fd, u, pos + done, &asked);
        if (n <= 0)
            break;
        done += n;
        if ((uint64_t)n < asked)
            break;
    }
    if (done) {
        size_grow(i, pos + done);
        goferfs_mark_stale(i);
    }
    return done ? done : n;
}

static int64_t end_op(struct file *f)
{
    struct gofer_inode *gi = gofer_of(f->data);
    struct stat st;
    if (!gofer_fs_of(f->data)->shared)
        return f->data->size;
    int fd = goferfs_any_fd(gi);
    int r = fd < 0 ? -EIO : host_fstat(fd, &st);
    return r ? r : st.st_size;
}

/* ---- the rest ---- */

static int64_t lseek_op(struct file *f, int64_t off, int whence)
{
    struct gofer_inode *gi = gofer_of(f->data);
    int fd = read_fd(gi);
    if ((whence != SEEK_DATA && whence != SEEK_HOLE) || fd < 0)
        return vfs_lseek_generic(f, off, whence);
    return off < 0 ? -ENXIO : host_lseek(fd, off, whence);
}

static int fsync_op(struct file *f, bool data_only)
{
    int fd = goferfs_any_fd(gofer_of(f->data));
    return fd < 0 ? -EIO : host_fsync(fd, data_only);
}

static int fallocate_op(struct file *f, int mode, int64_t off, int64_t len)
{
    struct inode *i = f->data;
    struct gofer_inode *gi = gofer_of(i);
    struct stat st;
    if (gi->fd_w < 0)
        return -EBADF;
    int r = host_fallocate(gi->fd_w, mode, off, len);
    if (r)
        return r;
    if (!host_fstat(gi->fd_w, &st))
        __atomic_store_n(&i->size, st.st_size, __ATOMIC_RELEASE);
    goferfs_mark_stale(i);
    if (mode & (FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE))
        mappable_zap(i->mappable, page_down(off), 0, /*even_private=*/true);
    return 0;
}

static int mmap_op(struct file *f, unsigned prot, unsigned flags, struct mappable **m)
{
    int r = file_mmap_check(f, prot, flags);
    if (r)
        return r;
    if (read_fd(gofer_of(f->data)) < 0)
        return -ENODEV;
    *m = f->inode->mappable;
    bool shared = (flags & MAP_TYPE) != MAP_PRIVATE;
    if (shared && (f->mode & FMODE_WRITE))
        goferfs_mark_stale(f->data); /* stores change its times behind our back */
    return 0;
}

static int host_fd_op(struct file *f)
{
    struct gofer_inode *gi = gofer_of(f->data);
    return f->mode & FMODE_WRITE ? fd_load(&gi->fd_w) : read_fd(gi);
}

/* The end of what can be mapped: the host is asked if others may have cut or grown the file, or if
 * the page lies beyond what we believe. */
static int mapped_end(struct gofer_inode *gi, int fd, uint64_t offset, uint64_t *end)
{
    struct stat st;
    uint64_t size = __atomic_load_n(&gi->inode->size, __ATOMIC_ACQUIRE);
    if (gofer_fs_of(gi->inode)->shared || offset >= size) {
        int r = host_fstat(fd, &st);
        if (r)
            return r;
        size = st.st_size;
    }
    *end = page_down(size + RF_PAGE_SIZE - 1);
    return offset < *end ? 0 : -ENXIO;
}

static int backing(struct mappable *m, uint64_t offset, unsigned access, struct mm_backing *out)
{
    struct gofer_inode *gi = container_of(m, struct gofer_inode, mappable);
    int w = fd_load(&gi->fd_w);
    bool use_w = w >= 0 && gi->fd_w_readable;
    int fd = use_w ? w : fd_load(&gi->fd_r);
    uint64_t end;
    if (fd < 0)
        return -EIO;
    int r = mapped_end(gi, fd, offset, &end);
    if (r)
        return r;
    *out = (struct mm_backing){
        .fd = fd, .offset = offset, .size = end - offset, .writable = use_w};
    return 0;
}

const struct mappable_ops g_goferfs_mappable_ops = {.backing = backing};

const struct file_ops g_goferfs_file_ops = {
    .read = read_op,
    .write = write_op,
    .lseek = lseek_op,
    .nowait = true,
    .mmap = mmap_op,
    .fsync = fsync_op,
    .fallocate = fallocate_op,
    .release = release_op,
    .host_fd = host_fd_op,
    .inode_locked = true,
    .end = end_op,
};
