/* sendfile, splice, tee, vmsplice, copy_file_range: bytes from file to file. */
#include "base/overflow.h"
#include "syscalls/sys_fs.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

#define CHUNK       (128 * 1024u)
#define WRITE_TRIES 16

/* A transfer through a buffer of ours. A position of NULL: the file's own, or a stream. */
struct xfer {
    struct task *t;
    struct file *in, *out;
    int64_t *in_pos, *out_pos;
    uint64_t size;
    bool nonblock;
    char *buf;
};

static bool is_pipe(struct file *f)
{
    return pipe_queued(f) >= 0;
}

static bool is_stream(const struct file *f)
{
    return f->ops->stream;
}

static bool splices_from(const struct file *f)
{
    return f->ops->read && !f->ops->no_splice_read;
}

static bool splices_to(const struct file *f)
{
    return f->ops->write && !f->ops->no_splice_write;
}

/* Wait for events of a stream; -EAGAIN if that is not wanted. */
static int wait_for(struct xfer *x, struct file *f, unsigned events, bool nonblock)
{
    if (!is_stream(f) || (vfs_poll(f) & (events | POLLERR | POLLHUP)))
        return 0;
    if (nonblock)
        return -EAGAIN;
    struct poll_item item = {.file = f, .events = events};
    int r = poll_wait(x->t, &item, 1, DEADLINE_NONE);
    return r < 0 ? -ERESTARTSYS : 0;
}

static int64_t read_chunk(struct xfer *x, uint64_t size)
{
    struct uio u;
    int r = wait_for(x, x->in, POLLIN, x->nonblock || (x->in->flags & O_NONBLOCK));
    if (r)
        return r;
    uio_init_kernel(&u, x->buf, size);
    return x->in_pos ? vfs_pread(x->t, x->in, &u, *x->in_pos) : vfs_read(x->t, x->in, &u);
}

static int64_t write_once(struct xfer *x, const char *buf, uint64_t size)
{
    struct uio u;
    uio_init_kernel(&u, (char *)buf, size);
    return x->out_pos ? vfs_pwrite(x->t, x->out, &u, *x->out_pos, 0) : vfs_write(x->t, x->out, &u);
}

/* What was taken from a stream must arrive: then wait where the file itself would not. But a file
 * may be ready (or hung up) for ever and take nothing: an eventfd near its end, a pty without a
 * reader. */
static int64_t write_chunk(struct xfer *x, uint64_t size, bool must)
{
    uint64_t done = 0;
    int64_t n = 0;
    unsigned tries = 0;
    while (done < size) {
        n = write_once(x, x->buf + done, size - done);
        if (n == -EAGAIN && must && tries++ < WRITE_TRIES && !signal_pending(x->t) &&
            !wait_for(x, x->out, POLLOUT, /*nonblock=*/false))
            continue;
        if (n <= 0)
            break;
        tries = 0;
        done += n;
        if (x->out_pos)
            *x->out_pos += n;
        if (done < size && !must)
            break;
    }
    return done ? (int64_t)done : n;
}

static int64_t xfer_run(struct xfer *x)
{
    int64_t done = 0, n = 0;
    SYS_STR buf = malloc(MIN(x->size, (uint64_t)CHUNK) + 1);
    if (!buf)
        return -ENOMEM;
    x->buf = buf;
    while ((uint64_t)done < x->size) {
        n = wait_for(x, x->out, POLLOUT, x->nonblock || (x->out->flags & O_NONBLOCK));
        if (!n)
            n = read_chunk(x, MIN(x->size - done, (uint64_t)CHUNK));
        if (n <= 0)
            break;
        bool back = is_pipe(x->in);
        int64_t w = write_chunk(x, n, !x->in_pos && !back);
        if (back && w < n)
            pipe_unread(x->in, buf + MAX(w, (int64_t)0), n - MAX(w, (int64_t)0));
        if (w <= 0) {
            n = w;
            break;
        }
        done += w;
        if (x->in_pos)
            *x->in_pos += w;
        if (w < n || is_stream(x->in) || is_stream(x->out))
            break; /* as much as there was; callers loop */
    }
    return done ? done : n;
}

static int pos_import(struct task *t, uint64_t ua, int64_t *pos)
{
    int r = uaccess_read_obj(t->mm, pos, uaddr(ua));
    return r ? r : *pos < 0 ? -EINVAL : 0;
}

static int64_t pos_current(struct file *f)
{
    if (f->ops->own_pos)
        return MAX(vfs_lseek(f, 0, SEEK_CUR), (int64_t)0);
    LOCK_GUARD(&f->pos_lock);
    return f->pos;
}

static void pos_store(struct file *f, int64_t pos)
{
    if (f->ops->own_pos) {
        vfs_lseek(f, pos, SEEK_SET);
        return;
    }
    LOCK_GUARD(&f->pos_lock);
    f->pos = pos;
}

/* ---- sendfile ---- */

static int64_t sendfile_all(struct xfer *x)
{
    int64_t done = 0, n = 0;
    uint64_t size = x->size;
    while ((uint64_t)done < size) {
        x->size = size - done;
        n = xfer_run(x);
        if (n <= 0)
            break;
        done += n;
    }
    return done ? done : n;
}

static int64_t sendfile_stream(struct task *t, struct file *in, struct file *out, uint64_t size)
{
    struct xfer x = {.t = t, .in = in, .out = out, .size = MIN(size, (uint64_t)UIO_MAX_BYTES)};
    return size ? xfer_run(&x) : 0;
}

int64_t sys_sendfile(struct task *t, const struct sysargs *a)
{
    SYS_FILE out = fdtable_get_io(t->fds, a->v[0]);
    SYS_FILE in = fdtable_get_io(t->fds, a->v[1]);
    int64_t pos = 0;
    if (a->v[2] && uaccess_read_obj(t->mm, &pos, uaddr(a->v[2])))
        return -EFAULT;
    if (!in || !(in->mode & FMODE_READ))
        return -EBADF;
    if (is_stream(in) && a->v[2])
        return -ESPIPE;
    if (!out || !(out->mode & FMODE_WRITE))
        return -EBADF;
    if (!splices_from(in) || !splices_to(out) || (out->flags & O_APPEND))
        return -EINVAL;
    if (is_stream(in)) /* a socket or terminal, into a pipe alone */
        return is_pipe(out) && !is_pipe(in) ? sendfile_stream(t, in, out, a->v[3]) : -EINVAL;
    if (pos < 0)
        return -EINVAL;
    if (!a->v[2])
        pos = pos_current(in);
    struct xfer x = {.t = t,
                     .in = in,
                     .out = out,
                     .in_pos = &pos,
                     .size = MIN(a->v[3], (uint64_t)UIO_MAX_BYTES)};
    int64_t n = sendfile_all(&x);
    if (!a->v[2])
        pos_store(in, pos);
    else if (uaccess_write_obj(t->mm, uaddr(a->v[2]), &pos))
        return -EFAULT;
    return n;
}

/* ---- splice ---- */

#define SPLICE_KNOWN    0xfu
#define SPLICE_NONBLOCK 2u

static int splice_check(struct file *in, struct file *out, const struct sysargs *a)
{
    if (!(in->mode & FMODE_READ) || !(out->mode & FMODE_WRITE))
        return -EBADF;
    bool in_pipe = is_pipe(in), out_pipe = is_pipe(out);
    if (!in_pipe && !out_pipe)
        return -EINVAL;
    if ((in_pipe && a->v[1]) || (out_pipe && a->v[3]))
        return -ESPIPE;
    if ((a->v[1] && is_stream(in)) || (a->v[3] && is_stream(out)))
        return -EINVAL;
    if (in_pipe && out_pipe && in->inode == out->inode)
        return -EINVAL;
    return out->flags & O_APPEND || !splices_from(in) || !splices_to(out) ? -EINVAL : 0;
}

static int64_t splice_run(struct task *t, struct file *in, struct file *out,
                          const struct sysargs *a)
{
    int64_t in_pos = 0, out_pos = 0;
    int r = a->v[1] ? pos_import(t, a->v[1], &in_pos) : 0;
    if (!r && a->v[3])
        r = pos_import(t, a->v[3], &out_pos);
    if (r)
        return r;
    bool own_pos = !a->v[1] && !is_stream(in) && !in->ops->own_pos;
    if (own_pos)
        in_pos = pos_current(in);
    struct xfer x = {.t = t,
                     .in = in,
                     .out = out,
                     .in_pos = a->v[1] || own_pos ? &in_pos : NULL,
                     .out_pos = a->v[3] ? &out_pos : NULL,
                     .size = MIN(a->v[4], (uint64_t)UIO_MAX_BYTES),
                     .nonblock = a->v[5] & SPLICE_NONBLOCK};
    int64_t n = xfer_run(&x);
    if (own_pos)
        pos_store(in, in_pos);
    if (n > 0 && a->v[1] && uaccess_write_obj(t->mm, uaddr(a->v[1]), &in_pos))
        return -EFAULT;
    if (n > 0 && a->v[3] && uaccess_write_obj(t->mm, uaddr(a->v[3]), &out_pos))
        return -EFAULT;
    return n;
}

int64_t sys_splice(struct task *t, const struct sysargs *a)
{
    if (!a->v[4])
        return 0;
    if (a->v[5] & ~(uint64_t)SPLICE_KNOWN)
        return -EINVAL;
    SYS_FILE in = fdtable_get_io(t->fds, a->v[0]);
    SYS_FILE out = fdtable_get_io(t->fds, a->v[2]);
    if (!in || !out)
        return -EBADF;
    int r = splice_check(in, out, a);
    return r ? r : splice_run(t, in, out, a);
}

int64_t sys_tee(struct task *t, const struct sysargs *a)
{
    if (a->v[3] & ~(uint64_t)SPLICE_KNOWN)
        return -EINVAL;
    if (!a->v[2])
        return 0;
    SYS_FILE in = fdtable_get_io(t->fds, a->v[0]);
    SYS_FILE out = fdtable_get_io(t->fds, a->v[1]);
    if (!in || !out || !(in->mode & FMODE_READ) || !(out->mode & FMODE_WRITE))
        return -EBADF;
    if (!is_pipe(in) || !is_pipe(out) || in->inode == out->inode)
        return -EINVAL;
    return pipe_tee(in, out, a->v[2], a->v[3] & SPLICE_NONBLOCK);
}

int64_t sys_vmsplice(struct task *t, const struct sysargs *a)
{
    SYS_FILE f = fdtable_get_io(t->fds, a->v[0]);
    struct uio u;
    if (a->v[3] & ~(uint64_t)SPLICE_KNOWN)
        return -EINVAL;
    if (!f)
        return -EBADF;
    int r = uio_import(&u, t->mm, uaddr(a->v[1]), a->v[2]);
    if (r)
        return r;
    if (u.remaining && !is_pipe(f)) {
        uio_free(&u);
        return -EBADF;
    }
    bool write = f->mode & FMODE_WRITE;
    struct xfer x = {.t = t};
    int64_t n = 0;
    if (u.remaining)
        n = wait_for(&x, f, write ? POLLOUT : POLLIN,
                     (a->v[3] & SPLICE_NONBLOCK) || (f->flags & O_NONBLOCK));
    if (!n && u.remaining)
        n = write ? vfs_write(t, f, &u) : vfs_read(t, f, &u);
    uio_free(&u);
    return n;
}

/* ---- copy_file_range ---- */

static int copy_check(struct file *in, struct file *out)
{
    if (S_ISDIR(in->inode->mode) || S_ISDIR(out->inode->mode))
        return -EISDIR;
    if (!S_ISREG(in->inode->mode) || !S_ISREG(out->inode->mode))
        return -EINVAL;
    if (!(in->mode & FMODE_READ) || !(out->mode & FMODE_WRITE) || (out->flags & O_APPEND))
        return -EBADF;
    return in->inode->sb == out->inode->sb ? 0 : -EXDEV; /* as Linux since 5.19 */
}

/* *size is cut to what there is to read. */
static int copy_range_check(struct file *in, struct file *out, int64_t in_pos, int64_t out_pos,
                            uint64_t *size)
{
    struct kstat st;
    uint64_t from = in_pos, to = out_pos, end; /* unsigned, as Linux adds them */
    if (__builtin_add_overflow(from, *size, &end) || __builtin_add_overflow(to, *size, &end))
        return -EOVERFLOW;
    if (in_pos < 0 || out_pos < 0)
        return -EINVAL;
    int r = inode_getattr(in->inode, &st);
    if (r)
        return r;
    *size = from < st.size ? MIN(*size, st.size - from) : 0;
    if (*size && to >= sb_max_bytes(out->inode->sb))
        return -EFBIG;
    bool overlap = in->inode == out->inode && from < to + *size && to < from + *size;
    return overlap ? -EINVAL : 0;
}

int64_t sys_copy_file_range(struct task *t, const struct sysargs *a)
{
    SYS_FILE in = fdtable_get_io(t->fds, a->v[0]);
    SYS_FILE out = fdtable_get_io(t->fds, a->v[2]);
    int64_t in_pos = 0, out_pos = 0;
    if (!in || !out)
        return -EBADF;
    if (a->v[1] && uaccess_read_obj(t->mm, &in_pos, uaddr(a->v[1])))
        return -EFAULT;
    if (a->v[3] && uaccess_read_obj(t->mm, &out_pos, uaddr(a->v[3])))
        return -EFAULT;
    if (a->v[5])
        return -EINVAL;
    int r = copy_check(in, out);
    if (r)
        return r;
    if (!a->v[1])
        in_pos = pos_current(in);
    if (!a->v[3])
        out_pos = pos_current(out);
    uint64_t size = MIN(a->v[4], (uint64_t)UIO_MAX_BYTES);
    r = copy_range_check(in, out, in_pos, out_pos, &size);
    if (r || !size)
        return r;
    struct xfer x = {
        .t = t, .in = in, .out = out, .in_pos = &in_pos, .out_pos = &out_pos, .size = size};
    int64_t n = xfer_run(&x);
    if (n <= 0)
        return n;
    if (!a->v[1])
        pos_store(in, in_pos);
    else if (uaccess_write_obj(t->mm, uaddr(a->v[1]), &in_pos))
        return -EFAULT;
    if (!a->v[3])
        pos_store(out, out_pos);
    else if (uaccess_write_obj(t->mm, uaddr(a->v[3]), &out_pos))
        return -EFAULT;
    return n;
}
