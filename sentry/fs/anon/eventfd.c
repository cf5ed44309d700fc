/* eventfd: a counter that reads take from and writes add to. */
#include "base/overflow.h"
#include "fs/vfs.h"
#include "kernel/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>

struct eventfd {
    struct lock lock; /* LR_LEAF */
    uint64_t count;   /* lock: lock to write, atomic to read */
    bool semaphore;   /* const */
    struct waitq wq;
};

static const struct file_ops g_eventfd_ops;

static uint64_t count_load(struct eventfd *e)
{
    return __atomic_load_n(&e->count, __ATOMIC_ACQUIRE);
}

/* What may still be added; nothing to a counter that has overflowed. */
static uint64_t room_for(uint64_t count)
{
    return count == UINT64_MAX ? 0 : UINT64_MAX - 1 - count;
}

/* What a read gets: 0 = nothing there. */
static uint64_t eventfd_take(struct eventfd *e)
{
    LOCK_GUARD(&e->lock);
    uint64_t n = e->semaphore ? e->count != 0 : e->count;
    __atomic_store_n(&e->count, e->count - n, __ATOMIC_RELEASE);
    return n;
}

static bool eventfd_give(struct eventfd *e, uint64_t n)
{
    LOCK_GUARD(&e->lock);
    if (n > room_for(e->count))
        return false;
    __atomic_store_n(&e->count, e->count + n, __ATOMIC_RELEASE);
    return true;
}

static int64_t efd_read(struct file *f, struct uio *u, int64_t pos)
{
    struct eventfd *e = f->priv;
    struct task *t = task_current();
    uint64_t n;
    if (u->remaining < sizeof(n))
        return -EINVAL;
    while (!(n = eventfd_take(e))) {
        if (file_nonblock(f, u) || !t)
            return -EAGAIN;
        int r = wait_event_mask(t, &e->wq, POLLIN, DEADLINE_NONE, count_load(e));
        if (r)
            return r;
    }
    waitq_wake(&e->wq, POLLOUT | POLLWRNORM);
    return uio_to_user(u, &n, sizeof(n)) == sizeof(n) ? (int64_t)sizeof(n) : -EFAULT;
}

static int64_t efd_write(struct file *f, struct uio *u, int64_t pos)
{
    struct eventfd *e = f->priv;
    struct task *t = task_current();
    uint64_t n;
    if (u->remaining != sizeof(n))
        return -EINVAL;
    if (uio_from_user(u, &n, sizeof(n)) != sizeof(n))
        return -EFAULT;
    if (n == UINT64_MAX)
        return -EINVAL;
    while (!eventfd_give(e, n)) {
        if (file_nonblock(f, u) || !t)
            return -EAGAIN;
        int r =
            wait_event_mask(t, &e->wq, POLLOUT, DEADLINE_NONE, n <= room_for(count_load(e)));
        if (r)
            return r;
    }
    waitq_wake(&e->wq, POLLIN | POLLRDNORM);
    return sizeof(n);
}

int eventfd_signal(struct file *f, uint64_t n)
{
    if (f->ops != &g_eventfd_ops)
        return -EINVAL;
    struct eventfd *e = f->priv;
    if (!n)
        return 0;
    if (!eventfd_give(e, n)) { /* nobody can be made to wait: it is full for good, and says so */
        lock_acquire(&e->lock);
        __atomic_store_n(&e->count, UINT64_MAX, __ATOMIC_RELEASE);
        lock_release(&e->lock);
    }
    waitq_wake(&e->wq, POLLIN | POLLRDNORM);
    return 0;
}

static unsigned eventfd_poll(struct file *f)
{
    uint64_t n = count_load(f->priv);
    return (n ? POLLIN : 0) | (n < UINT64_MAX - 1 ? POLLOUT : 0) |
           (n == UINT64_MAX ? POLLERR : 0);
}

static struct waitq *eventfd_waitq(struct file *f)
{
    struct eventfd *e = f->priv;
    return &e->wq;
}

static void eventfd_release(struct file *f)
{
    struct eventfd *e = f->priv;
    lock_destroy(&e->lock);
    free(e);
}

static int eventfd_fdinfo(struct file *f, char *buf, size_t size)
{
    return snprintf(buf, size, "eventfd-count: %16llx\n", (unsigned long long)count_load(f->priv));
}

static int eventfd_fdname(struct file *f, char *buf, size_t size)
{
    return snprintf(buf, size, "anon_inode:[eventfd]");
}

static const struct file_ops g_eventfd_ops = {
    .read = efd_read,
    .write = efd_write,
    .poll = eventfd_poll,
    .waitq = eventfd_waitq,
    .release = eventfd_release,
    .fdinfo = eventfd_fdinfo,
    .fdname = eventfd_fdname,
    .lseek = vfs_lseek_noop,
    .no_splice_read = true,
    .no_splice_write = true,
    .stream = true,
    .no_fasync = true,
    .nowait = true,
};

int eventfd_new(unsigned initial, unsigned flags, struct file **out)
{
    if (flags & ~(EFD_SEMAPHORE | EFD_CLOEXEC | EFD_NONBLOCK))
        return -EINVAL;
    struct eventfd *e = calloc(1, sizeof(*e));
    if (!e)
        return -ENOMEM;
    lock_init(&e->lock, LR_LEAF);
    waitq_init(&e->wq);
    e->count = initial;
    e->semaphore = flags & EFD_SEMAPHORE;
    int r = file_new_anon(&g_eventfd_ops, O_RDWR | (flags & O_NONBLOCK), e, 0600, out);
    if (r)
        free(e);
    return r;
}
