/* Files on donated host descriptors: the launcher's stdin, stdout and stderr.
 *
 * The open file description behind them is shared with processes we do not know. So we never change
 * its flags; a plain file is read and written at the host's own offset; and a stream is asked first
 * (RWF_NOWAIT, or poll and then a call that cannot block), so that only waits of our own block,
 * which guest signals interrupt. */
#include "fs/hostfile_priv.h"

#include "base/host.h"
#include "base/log.h"
#include "base/overflow.h"
#include "fs/vfs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <termios.h>

#define HOSTFS_MAGIC     0x52464853
#define BOUNCE_SIZE      65536
#define SAFE_WRITE       4096 /* PIPE_BUF: fits whenever poll(2) says that a pipe is writable */
#define HOSTFILE_SOON_MS 2
#define HOSTFILE_IOVS    64

static struct superblock *g_hostfs; /* const after first use; lock: g_hostfs_lock */
static struct lock g_hostfs_lock = LOCK_INITIALIZER(LR_LEAF);

/* ---- the descriptor ---- */

void hoststream_get(struct hoststream *hs)
{
    ref_get(&hs->ref);
}

void hoststream_put(struct hoststream *hs)
{
    if (!ref_put(&hs->ref))
        return;
    if (hs->entry)
        poller_remove(hs->entry);
    if (hs->mappable) {
        mappable_drop_window(hs->mappable);
        free(hs->mappable);
    }
    host_close(hs->fd);
    lock_destroy(&hs->io_lock);
    free(hs);
}

static void hoststream_arm(struct hoststream *hs, unsigned events)
{
    lock_acquire(&hs->io_lock);
    struct poller_entry *e = hs->entry;
    lock_release(&hs->io_lock);
    if (!e) {
        int r = poller_add(hs->fd, POLLIN | POLLOUT, &hs->wq, &e);
        if (r < 0)
            return; /* always ready, for the poller: nothing to wait for */
        lock_acquire(&hs->io_lock);
        struct poller_entry *mine = e;
        if (hs->entry)
            e = hs->entry;
        else
            hs->entry = e;
        lock_release(&hs->io_lock);
        if (e != mine)
            poller_remove(mine);
    }
    poller_want(e, events);
}

static unsigned poll_now(struct hoststream *hs, unsigned wanted)
{
    struct pollfd p = {.fd = hs->fd, .events = wanted};
    return host_poll(&p, 1, 0) > 0 ? p.revents : 0;
}

unsigned hoststream_poll(struct hoststream *hs, unsigned wanted)
{
    unsigned got = poll_now(hs, wanted);
    unsigned missing = wanted & (POLLIN | POLLOUT | POLLPRI | POLLRDHUP) & ~got;
    if (missing && !(got & (POLLHUP | POLLERR | POLLNVAL)))
        hoststream_arm(hs, missing);
    return got;
}

/* A busy peer is ready within moments: sleep on the descriptor itself for these, which saves the
 * way over the poller's thread. No longer than a guest signal may wait. */
static bool poll_soon(struct hoststream *hs, unsigned wanted)
{
    struct pollfd p = {.fd = hs->fd, .events = wanted};
    return host_poll(&p, 1, HOSTFILE_SOON_MS) > 0;
}

int hoststream_wait(struct file *f, struct hoststream *hs, unsigned wanted, int64_t deadline)
{
    struct task *t = task_current();
    if ((f->flags & O_NONBLOCK) || !t)
        return -EAGAIN;
    if (deadline == DEADLINE_NONE && poll_soon(hs, wanted))
        return 0;
    return wait_event_mask(t, &hs->wq, ~0u, deadline, hoststream_poll(hs, wanted));
}

static int64_t move_some(struct hoststream *hs, void *buf, size_t size, bool out)
{
    struct iovec iov = {.iov_base = buf, .iov_len = size};
    if (!__atomic_load_n(&hs->no_nowait, __ATOMIC_RELAXED)) {
        int64_t n = out ? host_writev_nowait(hs->fd, &iov, 1) : host_readv_nowait(hs->fd, &iov, 1);
        if (n != -EOPNOTSUPP && n != -EINVAL && n != -ENOSYS)
            return n;
        __atomic_store_n(&hs->no_nowait, true, __ATOMIC_RELAXED);
    }
    LOCK_GUARD(&hs->io_lock); /* two of ours must not race for what poll saw */
    if (!poll_now(hs, out ? POLLOUT : POLLIN))
        return -EAGAIN;
    if (out)
        iov.iov_len = MIN(size, (size_t)SAFE_WRITE);
    return out ? host_writev(hs->fd, &iov, 1) : host_readv(hs->fd, &iov, 1);
}

int64_t hoststream_read_some(struct hoststream *hs, void *buf, size_t size)
{
    return move_some(hs, buf, size, /*out=*/false);
}

int64_t hoststream_write_some(struct hoststream *hs, const void *buf, size_t size)
{
    return move_some(hs, (void *)buf, size, /*out=*/true);
}

/* Edge-triggered watchers of ours look once; tell them of the next change too. */
static void rearm_for_watchers(struct hoststream *hs, unsigned events)
{
    if (hs->entry && waitq_has_waiters(&hs->wq))
        hoststream_arm(hs, events);
}

/* ---- streams: pipes, sockets, devices ---- */

static int64_t stream_read_bounced(struct file *f, struct hoststream *hs, struct uio *u, char *buf)
{
    for (;;) {
        int64_t n = hoststream_read_some(hs, buf, MIN(u->remaining, (uint64_t)BOUNCE_SIZE));
        if (n > 0) {
            size_t moved = uio_to_user(u, buf, n);
            rearm_for_watchers(hs, POLLIN);
            return moved ? (int64_t)moved : -EFAULT;
        }
        if (n != -EAGAIN)
            return n;
        int r = hoststream_wait(f, hs, POLLIN, DEADLINE_NONE);
        if (r)
            return r;
    }
}

static int64_t stream_read(struct file *f, struct uio *u, int64_t pos)
{
    if (!u->remaining)
        return 0;
    char *buf = malloc(MIN(u->remaining, (uint64_t)BOUNCE_SIZE));
    if (!buf)
        return -ENOMEM;
    int64_t n = stream_read_bounced(f, f->priv, u, buf);
    free(buf);
    return n;
}

/* All of one bounced piece, waiting as needed. Bytes written, or an error if none. */
static int64_t stream_write_piece(struct file *f, struct hoststream *hs, const char *buf,
                                  size_t size)
{
    size_t done = 0;
    while (done < size) {
        int64_t n = hoststream_write_some(hs, buf + done, size - done);
        if (n >= 0) {
            done += n;
            continue;
        }
        if (n == -EAGAIN)
            n = hoststream_wait(f, hs, POLLOUT, DEADLINE_NONE);
        if (n == -EPIPE && !done && task_current())
            signal_send_task(task_current(), SIGPIPE, NULL);
        if (n)
            return done ? (int64_t)done : n;
    }
    return done;
}

int64_t hoststream_write(struct file *f, struct uio *u)
{
    struct hoststream *hs = f->priv;
    int64_t total = 0, n = 0;
    char *buf = malloc(MIN(MAX(u->remaining, 1ul), (uint64_t)BOUNCE_SIZE));
    if (!buf)
        return -ENOMEM;
    while (u->remaining) {
        size_t size = uio_from_user(u, buf, MIN(u->remaining, (uint64_t)BOUNCE_SIZE));
        n = size ? stream_write_piece(f, hs, buf, size) : -EFAULT;
        if (n > 0)
            total += n;
        if (n < (int64_t)size)
            break;
    }
    free(buf);
    return total ? total : n;
}

static int64_t stream_write(struct file *f, struct uio *u, int64_t pos)
{
    return hoststream_write(f, u);
}

unsigned hostfile_poll(struct file *f)
{
    struct hoststream *hs = f->priv;
    unsigned wanted = 0;
    if (f->mode & FMODE_READ)
        wanted |= POLLIN | POLLRDNORM | POLLPRI | POLLRDHUP;
    if (f->mode & FMODE_WRITE)
        wanted |= POLLOUT | POLLWRNORM;
    return hoststream_poll(hs, wanted);
}

struct waitq *hostfile_waitq(struct file *f)
{
    struct hoststream *hs = f->priv;
    return &hs->wq;
}

void hostfile_release(struct file *f)
{
    hoststream_put(f->priv);
}

int hostfile_host_fd(struct file *f)
{
    struct hoststream *hs = f->priv;
    return hs->fd;
}

static int64_t stream_ioctl(struct file *f, struct task *t, unsigned cmd, uint64_t arg)
{
    struct hoststream *hs = f->priv;
    int n;
    if (cmd != FIONREAD)
        return -ENOTTY;
    int r = host_ioctl(hs->fd, FIONREAD, &n);
    return r < 0 ? r : uaccess_write_obj(t->mm, uaddr(arg), &n);
}

static int hostfile_fdname(struct file *f, char *buf, size_t size)
{
    struct hoststream *hs = f->priv;
    const char *kind = S_ISFIFO(hs->mode)   ? "pipe"
                       : S_ISSOCK(hs->mode) ? "socket"
                       : S_ISREG(hs->mode)  ? "/host/file"
                                            : "/dev/host";
    struct stat st;
    int r = host_fstat(hs->fd, &st);
    return r < 0 ? r : snprintf(buf, size, "%s:[%lu]", kind, (unsigned long)st.st_ino);
}

static const struct file_ops g_stream_ops = {
    .read = stream_read,
    .write = stream_write,
    .poll = hostfile_poll,
    .waitq = hostfile_waitq,
    .ioctl = stream_ioctl,
    .release = hostfile_release,
    .fdname = hostfile_fdname,
    .host_fd = hostfile_host_fd,
    .stream = true,
};

/* ---- plain files: the host's offset ---- */

static int64_t plain_call(struct hoststream *hs, const struct iovec *iov, int count, int64_t pos,
                          bool out)
{
    if (pos < 0)
        return out ? host_writev(hs->fd, iov, count) : host_readv(hs->fd, iov, count);
    return out ? host_pwritev(hs->fd, iov, count, pos) : host_preadv(hs->fd, iov, count, pos);
}

static int64_t plain_bounced(struct hoststream *hs, struct uio *u, int64_t pos, bool out)
{
    size_t size = MIN(u->remaining, (uint64_t)BOUNCE_SIZE);
    char *buf = malloc(size);
    if (!buf)
        return -ENOMEM;
    struct iovec iov = {.iov_base = buf, .iov_len = size};
    if (out)
        iov.iov_len = uio_from_user(u, buf, size);
    int64_t n = iov.iov_len ? plain_call(hs, &iov, 1, pos, out) : -EFAULT;
    if (!out && n > 0)
        n = (int64_t)uio_to_user(u, buf, n);
    free(buf);
    return n;
}

/* One host call over as much of the buffer as can be pinned. */
static int64_t plain_piece(struct hoststream *hs, struct uio *u, int64_t pos, bool out,
                           uint64_t *asked)
{
    struct iovec iov[HOSTFILE_IOVS];
    *asked = MIN(u->remaining, (uint64_t)BOUNCE_SIZE);
    int count = uio_pin(u, out ? PL_READ : PL_WRITE, iov, HOSTFILE_IOVS, UIO_MAX_BYTES);
    if (count == -EOPNOTSUPP)
        return plain_bounced(hs, u, pos, out);
    if (count < 0)
        return count;
    *asked = 0;
    for (int i = 0; i < count; i++)
        *asked += iov[i].iov_len;
    int64_t n = plain_call(hs, iov, count, pos, out);
    if (n > 0)
        uio_advance(u, n);
    uio_unpin(u);
    return n;
}

static int64_t plain_move(struct file *f, struct uio *u, int64_t pos, bool out)
{
    struct hoststream *hs = f->priv;
    int64_t total = 0;
    while (u->remaining) {
        uint64_t asked;
        int64_t n = plain_piece(hs, u, pos < 0 ? -1 : pos + total, out, &asked);
        if (n < 0)
            return total ? total : n;
        total += n;
        if ((uint64_t)n < asked)
            break;
    }
    return total;
}

static int64_t plain_read(struct file *f, struct uio *u, int64_t pos)
{
    return plain_move(f, u, pos, /*out=*/false);
}

static int64_t plain_write(struct file *f, struct uio *u, int64_t pos)
{
    return plain_move(f, u, pos, /*out=*/true);
}

static int64_t plain_lseek(struct file *f, int64_t off, int whence)
{
    struct hoststream *hs = f->priv;
    return host_lseek(hs->fd, off, whence);
}

static int plain_fsync(struct file *f, bool data_only)
{
    struct hoststream *hs = f->priv;
    return host_fsync(hs->fd, data_only);
}

static int plain_fallocate(struct file *f, int mode, int64_t off, int64_t len)
{
    struct hoststream *hs = f->priv;
    return host_fallocate(hs->fd, mode, off, len);
}

static int plain_mmap(struct file *f, unsigned prot, unsigned flags, struct mappable **m)
{
    struct hoststream *hs = f->priv;
    *m = hs->mappable;
    return hs->mappable ? 0 : -ENODEV;
}

static const struct file_ops g_plain_ops = {
    .read = plain_read,
    .write = plain_write,
    .lseek = plain_lseek,
    .mmap = plain_mmap,
    .fsync = plain_fsync,
    .fallocate = plain_fallocate,
    .release = hostfile_release,
    .fdname = hostfile_fdname,
    .host_fd = hostfile_host_fd,
    .own_pos = true,
};

struct host_mappable {
    struct mappable m;
    struct hoststream *hs; /* borrowed: owns us */
};

static int host_backing(struct mappable *m, uint64_t offset, unsigned access,
                        struct mm_backing *out)
{
    struct hoststream *hs = container_of(m, struct host_mappable, m)->hs;
    struct stat st;
    int r = host_fstat(hs->fd, &st);
    if (r < 0)
        return r;
    if (offset >= (uint64_t)st.st_size)
        return -ENXIO;
    *out = (struct mm_backing){
        .fd = hs->fd,
        .offset = offset,
        .size = ((uint64_t)st.st_size - offset + RF_PAGE_SIZE - 1) & RF_PAGE_MASK,
        .writable = (hs->flags & O_ACCMODE) == O_RDWR,
    };
    return 0;
}

static const struct mappable_ops g_host_mappable_ops = {.backing = host_backing};

static struct mappable *host_mappable_new(struct hoststream *hs)
{
    struct host_mappable *hm = calloc(1, sizeof(*hm));
    if (!hm)
        return NULL;
    mappable_init(&hm->m, &g_host_mappable_ops);
    hm->hs = hs;
    return &hm->m;
}

/* ---- inodes ---- */

static int host_getattr(struct inode *inode, struct kstat *out)
{
    struct hoststream *hs = inode->priv;
    struct stat st;
    int r = host_fstat(hs->fd, &st);
    if (r < 0)
        return r;
    *out = (struct kstat){
        .dev = inode->sb->dev,
        .rdev = st.st_rdev,
        .ino = st.st_ino,
        .size = st.st_size,
        .blocks = st.st_blocks,
        .blksize = st.st_blksize,
        .mode = st.st_mode,
        .nlink = st.st_nlink,
        .uid = inode->uid,
        .gid = inode->gid,
        .atime = st.st_atim,
        .mtime = st.st_mtim,
        .ctime = st.st_ctim,
    };
    return 0;
}

static int host_setattr(struct inode *inode, const struct iattr *a)
{
    struct hoststream *hs = inode->priv;
    if (!(a->valid & IATTR_SIZE))
        return inode_setattr_simple(inode, a);
    if (!S_ISREG(inode->mode))
        return -EINVAL;
    return host_ftruncate(hs->fd, a->size);
}

/* Through /proc/self/fd: no more access than the descriptor has. */
static int host_reopen(struct inode *inode, struct file *f)
{
    struct hoststream *hs = inode->priv;
    unsigned have = hs->flags & O_ACCMODE;
    if ((f->mode & FMODE_READ && have == O_WRONLY) || (f->mode & FMODE_WRITE && have == O_RDONLY))
        return -EACCES;
    hoststream_get(hs);
    f->priv = hs;
    f->ops = S_ISREG(hs->mode) ? &g_plain_ops : &g_stream_ops;
    return 0;
}

static const struct inode_ops g_host_inode_ops = {
    .getattr = host_getattr,
    .setattr = host_setattr,
    .open = host_reopen,
};

static void hostfs_inode_free(struct inode *inode)
{
    if (inode->priv) /* the null device has no stream */
        hoststream_put(inode->priv);
}

static int hostfs_statfs(struct superblock *sb, struct statfs *out)
{
    *out = (struct statfs){.f_type = HOSTFS_MAGIC, .f_bsize = 4096, .f_namelen = 255};
    return 0;
}

static const struct super_ops g_hostfs_ops = {
    .statfs = hostfs_statfs,
    .inode_free = hostfs_inode_free,
};

static struct superblock *hostfs_get(void)
{
    LOCK_GUARD(&g_hostfs_lock);
    if (!g_hostfs)
        g_hostfs = superblock_new(&g_hostfs_ops, "hostfs", HOSTFS_MAGIC);
    return g_hostfs;
}

/* ---- opening ---- */

static int hoststream_new(int fd, const struct stat *st, struct hoststream **out)
{
    int flags = host_access_mode(fd);
    if (flags < 0)
        return flags;
    struct hoststream *hs = calloc(1, sizeof(*hs));
    if (!hs)
        return -ENOMEM;
    ref_init(&hs->ref);
    hs->fd = fd;
    hs->flags = flags;
    hs->mode = st->st_mode;
    waitq_init(&hs->wq);
    lock_init(&hs->io_lock, LR_LEAF);
    if (S_ISREG(st->st_mode) && !(hs->mappable = host_mappable_new(hs))) {
        free(hs);
        return -ENOMEM;
    }
    *out = hs;
    return 0;
}

/* consumes hs */
static int host_inode_new(struct hoststream *hs, const struct stat *st, struct inode **out)
{
    struct superblock *sb = hostfs_get();
    struct inode *inode = sb ? inode_new(sb, st->st_mode) : NULL;
    if (!inode) {
        hoststream_put(hs);
        return -ENOMEM;
    }
    inode->ino = st->st_ino;
    inode->rdev = st->st_rdev;
    inode->ops = &g_host_inode_ops;
    inode->priv = hs;
    inode->mappable = hs->mappable;
    *out = inode;
    return 0;
}

static int open_on_inode(struct inode *inode, struct hoststream *hs, const struct file_ops *ops,
                         struct file **out)
{
    int r = file_new_inode(inode, hs->flags, "host", out);
    if (r) {
        inode_put(inode);
        return r;
    }
    hoststream_get(hs);
    (*out)->ops = ops;
    (*out)->priv = hs;
    return 0;
}

static bool is_null_device(const struct stat *st)
{
    return S_ISCHR(st->st_mode) && major(st->st_rdev) == 1;
}

static bool is_terminal(int fd, const struct stat *st)
{
    struct termios tio;
    return S_ISCHR(st->st_mode) && host_ioctl(fd, TCGETS, &tio) == 0;
}

/* Our own /dev/null and kin answer for the host's. */
static int open_own_device(int fd, const struct stat *st, struct file **out)
{
    int flags = host_access_mode(fd);
    struct superblock *sb = hostfs_get();
    struct inode *inode = sb ? inode_new(sb, S_IFCHR | 0666) : NULL;
    if (!inode)
        return -ENOMEM;
    inode->ino = st->st_ino;
    inode->rdev = st->st_rdev;
    int r = flags < 0 ? flags : file_new_inode(inode, flags & O_ACCMODE, "host", out);
    if (r) {
        inode_put(inode);
        return r;
    }
    r = dev_open(inode, *out);
    if (r)
        file_put(*out);
    else
        host_close(fd);
    return r;
}

static int open_tty(struct hoststream *hs, const struct stat *st, struct file **out)
{
    struct tty *tty;
    int r = hosttty_of(hs, st, &tty);
    if (r)
        return r;
    hs->tty = tty;
    struct inode *inode = devpts_inode_get(tty);
    r = inode ? open_on_inode(inode, hs, &g_hosttty_ops, out) : -ENOMEM;
    if (r)
        tty_put(tty);
    return r; /* the file holds the terminal now */
}

static int open_other(struct hoststream *hs, const struct stat *st, struct file **out)
{
    struct inode *inode;
    hoststream_get(hs);
    int r = host_inode_new(hs, st, &inode);
    if (r)
        return r;
    return open_on_inode(inode, hs, S_ISREG(st->st_mode) ? &g_plain_ops : &g_stream_ops, out);
}

int hostfile_open(int host_fd, struct file **out)
{
    struct stat st;
    int r = host_fstat(host_fd, &st);
    if (r < 0)
        return r;
    if (is_null_device(&st) && open_own_device(host_fd, &st, out) == 0)
        return 0;
    struct hoststream *hs;
    r = hoststream_new(host_fd, &st, &hs);
    if (r)
        return r;
    r = is_terminal(host_fd, &st) ? open_tty(hs, &st, out) : open_other(hs, &st, out);
    hoststream_put(hs);
    return r;
}
