/* io_setup, io_destroy, io_submit, io_cancel, io_getevents, io_pgetevents. */
#include "base/overflow.h"
#include "fs/vfs.h"
#include "syscalls/syscalls.h"
#include "time/time.h"

#include <errno.h>
#include <linux/aio_abi.h>
#include <time.h>

int64_t sys_io_setup(struct task *t, const struct sysargs *a)
{
    uint64_t id;
    if (uaccess_read_obj(t->mm, &id, uaddr(a->v[1])))
        return -EFAULT;
    if (id)
        return -EINVAL;
    int r = aio_setup(t->mm, a->v[0], &id);
    if (r)
        return r;
    r = uaccess_write_obj(t->mm, uaddr(a->v[1]), &id);
    if (r)
        aio_destroy(t->mm, id);
    return r;
}

int64_t sys_io_destroy(struct task *t, const struct sysargs *a)
{
    return aio_destroy(t->mm, a->v[0]);
}

static int submit_one(struct task *t, struct aio_ctx *c, uint64_t list, int64_t i)
{
    uint64_t obj;
    struct iocb io;
    if (uaccess_read_obj(t->mm, &obj, uaddr(list + i * sizeof(obj))) ||
        uaccess_read_obj(t->mm, &io, uaddr(obj)))
        return -EFAULT;
    return aio_submit(t, c, &io, obj);
}

int64_t sys_io_submit(struct task *t, const struct sysargs *a)
{
    int64_t count = a->v[1], i = 0;
    int r = 0;
    if (count < 0)
        return -EINVAL;
    struct aio_ctx *c = aio_find(t->mm, a->v[0]);
    if (!c)
        return -EINVAL;
    while (i < count && !(r = submit_one(t, c, a->v[2], i)))
        i++;
    aio_ctx_put(c);
    return i ? i : r;
}

int64_t sys_io_cancel(struct task *t, const struct sysargs *a)
{
    uint32_t key;
    if (uaccess_read_obj(t->mm, &key, uaddr(a->v[1] + offsetof(struct iocb, aio_key))))
        return -EFAULT;
    if (key)
        return -EINVAL;
    struct aio_ctx *c = aio_find(t->mm, a->v[0]);
    if (!c)
        return -EINVAL;
    int r = aio_cancel(c, a->v[1]);
    aio_ctx_put(c);
    return r;
}

/* The time is taken as it is: too many nanoseconds are just a long time. */
static int import_deadline(struct task *t, uint64_t ua, int64_t *deadline)
{
    struct timespec ts;
    int64_t ns;
    *deadline = DEADLINE_NONE;
    if (!ua)
        return 0;
    if (uaccess_read_obj(t->mm, &ts, uaddr(ua)))
        return -EFAULT;
    if (__builtin_mul_overflow(ts.tv_sec, NSEC_PER_SEC, &ns) ||
        __builtin_add_overflow(ns, ts.tv_nsec, &ns))
        ns = INT64_MAX;
    *deadline = ns > 0 ? time_after(ns) : 0;
    return 0;
}

static int64_t get_events(struct task *t, const struct sysargs *a, int64_t deadline)
{
    int64_t min = a->v[1], max = a->v[2];
    struct aio_ctx *c = aio_find(t->mm, a->v[0]);
    if (!c)
        return -EINVAL;
    int64_t n = -EINVAL;
    if (min >= 0 && max >= min)
        n = aio_collect(t, c, min, max, uaddr(a->v[3]), deadline);
    aio_ctx_put(c);
    return n;
}

int64_t sys_io_getevents(struct task *t, const struct sysargs *a)
{
    int64_t deadline;
    int r = import_deadline(t, a->v[4], &deadline);
    return r ? r : get_events(t, a, deadline);
}

int64_t sys_io_pgetevents(struct task *t, const struct sysargs *a)
{
    int64_t deadline;
    uint64_t sig[2] = {0}; /* address and size of the mask */
    sigmask_t mask;
    int r = import_deadline(t, a->v[4], &deadline);
    if (!r && a->v[5] && uaccess_read(t->mm, sig, uaddr(a->v[5]), sizeof(sig)))
        r = -EFAULT;
    if (r || !sig[0])
        return r ? r : get_events(t, a, deadline);
    if (sig[1] != sizeof(mask))
        return -EINVAL;
    if (uaccess_read_obj(t->mm, &mask, uaddr(sig[0])))
        return -EFAULT;
    signal_mask_swap(t, mask);
    int64_t n = get_events(t, a, deadline);
    signal_mask_restore(t, n == -EINTR);
    return n;
}
