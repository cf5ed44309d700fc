/* Linux native AIO: requests.
 *
 * A poll request waits on its file's queue. The wake callback leaves the look at the file to the
 * work thread. Whoever takes the request off its context's list (the work, a cancel, the end of the
 * context) completes it. */
#include "base/log.h"
#include "base/overflow.h"
#include "fs/anon/aio_priv.h"
#include "kernel/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/uio.h>

struct aio_poll {
    struct ref ref; /* one while on the context's list, one while the work is queued or runs */
    struct waiter waiter;
    struct work work;
    struct list_node node; /* lock: ctx->lock */
    struct aio_ctx *ctx;   /* const; counted */
    struct file *file;     /* const; counted */
    unsigned events;       /* const */
    struct aio_done done;  /* whoever completes it */
};

/* ---- IOCB_CMD_POLL ---- */

static void poll_put(struct aio_poll *p)
{
    if (!ref_put(&p->ref))
        return;
    file_put(p->file);
    aio_ctx_put(p->ctx);
    free(p);
}

/* Is it ours to complete? */
static bool poll_claim(struct aio_poll *p)
{
    LOCK_GUARD(&p->ctx->lock);
    bool ours = list_linked(&p->node);
    list_del(&p->node);
    return ours;
}

/* From here on anyone may claim it: the waiter stands on its queue already. */
static int poll_list(struct aio_poll *p)
{
    LOCK_GUARD(&p->ctx->lock);
    if (p->ctx->dead)
        return -EINVAL; /* nobody would come to cancel it */
    list_push_back(&p->ctx->polls, &p->node);
    return 0;
}

static void poll_unwatch(struct aio_poll *p)
{
    waitq_remove(p->file->ops->waitq(p->file), &p->waiter);
    if (work_cancel(&p->work))
        poll_put(p);
}

/* Consumes the list's reference: of a request that the caller has claimed, or that the list would
 * not have. */
static void poll_finish(struct aio_poll *p, int64_t res)
{
    poll_unwatch(p);
    aio_complete(p->ctx, &p->done, res);
    poll_put(p);
}

static void poll_unlisted(struct aio_poll *p)
{
    poll_unwatch(p);
    poll_put(p);
}

static unsigned poll_look(struct aio_poll *p)
{
    return vfs_poll(p->file) & (p->events | POLLERR | POLLHUP);
}

static void poll_run(struct work *w)
{
    struct aio_poll *p = container_of(w, struct aio_poll, work);
    unsigned got = poll_look(p);
    if (got && poll_claim(p))
        poll_finish(p, got);
    poll_put(p);
}

static void poll_wake(struct waiter *w, unsigned events)
{
    struct aio_poll *p = container_of(w, struct aio_poll, waiter);
    ref_get(&p->ref);
    if (!work_queue(&p->work))
        bug_on(ref_put(&p->ref)); /* not the last: the queued work has its own */
}

static struct aio_poll *poll_new(struct aio_ctx *c, struct file *f, unsigned events,
                                 const struct aio_done *d)
{
    struct aio_poll *p = calloc(1, sizeof(*p));
    if (!p || work_init(&p->work, poll_run)) {
        free(p);
        return NULL;
    }
    ref_init(&p->ref);
    ref_get(&c->ref);
    file_get(f);
    p->ctx = c;
    p->file = f;
    p->events = events;
    p->done = *d;
    p->waiter = (struct waiter){.wake = poll_wake, .events = events | POLLERR | POLLHUP};
    list_node_init(&p->waiter.node);
    list_node_init(&p->node);
    return p;
}

static int submit_poll(struct aio_ctx *c, struct file *f, const struct iocb *io, struct aio_done *d)
{
    if (io->aio_buf != (uint16_t)io->aio_buf || io->aio_offset || io->aio_nbytes ||
        io->aio_rw_flags)
        return -EINVAL;
    if (!f->ops->waitq) { /* always ready */
        aio_complete(c, d, vfs_poll(f) & io->aio_buf);
        return 0;
    }
    struct aio_poll *p = poll_new(c, f, io->aio_buf, d);
    if (!p)
        return -ENOMEM;
    ref_get(&p->ref); /* ours, while we look */
    waitq_add(f->ops->waitq(f), &p->waiter);
    int r = poll_list(p);
    unsigned got = r ? 0 : poll_look(p);
    if (r)
        poll_unlisted(p);
    else if (got && poll_claim(p))
        poll_finish(p, got);
    poll_put(p);
    return r;
}

static struct aio_poll *claim_first(struct aio_ctx *c)
{
    LOCK_GUARD(&c->lock);
    struct aio_poll *p = list_first(&c->polls, struct aio_poll, node);
    if (p)
        list_del(&p->node);
    return p;
}

void aio_cancel_polls(struct aio_ctx *c)
{
    struct aio_poll *p;
    while ((p = claim_first(c)))
        poll_finish(p, -ECANCELED);
}

int aio_cancel(struct aio_ctx *c, uint64_t obj)
{
    struct aio_poll *p, *found = NULL;
    lock_acquire(&c->lock);
    list_for_each(p, &c->polls, node) if (p->done.obj == obj)
    {
        found = p;
        break;
    }
    if (found)
        list_del(&found->node);
    lock_release(&c->lock);
    if (!found)
        return -EINVAL;
    poll_finish(found, -ECANCELED);
    return -EINPROGRESS; /* it is cancelled, and its completion is where completions are */
}

/* ---- reading, writing, syncing: done at once ---- */

static int64_t move(struct task *t, struct file *f, struct uio *u, const struct iocb *io, bool write)
{
    int64_t pos = io->aio_offset;
    if (f->ops->stream)
        return write ? vfs_write_flags(t, f, u, io->aio_rw_flags) : vfs_read(t, f, u);
    return write ? vfs_pwrite(t, f, u, pos, io->aio_rw_flags) : vfs_pread(t, f, u, pos);
}

static int rw_check(struct file *f, const struct iocb *io, bool write)
{
    if (!(f->mode & (write ? FMODE_WRITE : FMODE_READ)))
        return -EBADF;
    int r = vfs_rwf_check(f, io->aio_rw_flags);
    if (r)
        return r;
    if (write ? !f->ops->write : !f->ops->read)
        return -EINVAL;
    return !f->ops->stream && (int64_t)io->aio_offset < 0 ? -EINVAL : 0;
}

static int submit_rw(struct task *t, struct aio_ctx *c, struct file *f, const struct iocb *io,
                     struct aio_done *d)
{
    bool write = io->aio_lio_opcode == IOCB_CMD_PWRITE || io->aio_lio_opcode == IOCB_CMD_PWRITEV;
    bool vector = io->aio_lio_opcode == IOCB_CMD_PREADV || io->aio_lio_opcode == IOCB_CMD_PWRITEV;
    int r = rw_check(f, io, write);
    if (r)
        return r;
    struct uio u;
    if (vector)
        r = uio_import(&u, t->mm, uaddr(io->aio_buf), io->aio_nbytes);
    else
        uio_init_user(&u, t->mm, uaddr(io->aio_buf), io->aio_nbytes);
    if (!r && !uio_range_ok(&u))
        r = -EFAULT;
    if (r)
        return r;
    u.nowait = io->aio_rw_flags & RWF_NOWAIT;
    int64_t n = move(t, f, &u, io, write);
    if (vector)
        uio_free(&u);
    aio_complete(c, d, n == -ERESTARTSYS ? -EINTR : n);
    return 0;
}

static int submit_sync(struct aio_ctx *c, struct file *f, const struct iocb *io, struct aio_done *d)
{
    if (io->aio_buf || io->aio_offset || io->aio_nbytes || io->aio_rw_flags)
        return -EINVAL;
    if (!f->ops->fsync && !S_ISDIR(f->inode->mode))
        return -EINVAL;
    bool data_only = io->aio_lio_opcode == IOCB_CMD_FDSYNC;
    aio_complete(c, d, f->ops->fsync ? f->ops->fsync(f, data_only) : 0);
    return 0;
}

/* ---- io_submit ---- */

static int dispatch(struct task *t, struct aio_ctx *c, struct file *f, const struct iocb *io,
                    struct aio_done *d)
{
    switch (io->aio_lio_opcode) {
    case IOCB_CMD_PREAD:
    case IOCB_CMD_PREADV:
    case IOCB_CMD_PWRITE:
    case IOCB_CMD_PWRITEV:
        return submit_rw(t, c, f, io, d);
    case IOCB_CMD_FSYNC:
    case IOCB_CMD_FDSYNC:
        return submit_sync(c, f, io, d);
    case IOCB_CMD_POLL:
        return submit_poll(c, f, io, d);
    default:
        return -EINVAL;
    }
}

static int result_file(struct task *t, const struct iocb *io, struct file **out)
{
    if (!(io->aio_flags & IOCB_FLAG_RESFD))
        return 0;
    *out = fdtable_get_io(t->fds, io->aio_resfd);
    return !*out ? -EBADF : eventfd_signal(*out, 0) == -EINVAL ? -EINVAL : 0;
}

static int submit_reserved(struct task *t, struct aio_ctx *c, const struct iocb *io, uint64_t obj)
{
    struct aio_done d = {.data = io->aio_data, .obj = obj};
    struct file *f = fdtable_get_io(t->fds, io->aio_fildes);
    int r = f ? result_file(t, io, &d.resfd) : -EBADF;
    uint32_t key = 0; /* KIOCB_KEY, which io_cancel wants to see */
    if (!r && uaccess_write_obj(t->mm, uaddr(obj + offsetof(struct iocb, aio_key)), &key))
        r = -EFAULT;
    if (!r)
        r = dispatch(t, c, f, io, &d);
    if (r && d.resfd)
        file_put(d.resfd);
    if (f)
        file_put(f);
    return r;
}

int aio_submit(struct task *t, struct aio_ctx *c, const struct iocb *io, uint64_t obj)
{
    if (io->aio_reserved2 || (int64_t)io->aio_nbytes < 0 ||
        io->aio_flags & ~(IOCB_FLAG_RESFD | IOCB_FLAG_IOPRIO))
        return -EINVAL;
    int r = aio_reserve(c);
    if (r)
        return r;
    r = submit_reserved(t, c, io, obj);
    if (r)
        aio_unreserve(c);
    return r;
}
