/* epoll_create, epoll_create1, epoll_ctl, epoll_wait, epoll_pwait, epoll_pwait2. */
#include "base/overflow.h"
#include "fs/vfs.h"
#include "syscalls/syscalls.h"
#include "time/time.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>

#define EPOLL_MAX_EVENTS (INT_MAX / (int)sizeof(struct epoll_event))
#define EPOLL_BATCH      256 /* what one call reports at most */

static int64_t do_create(struct task *t, unsigned flags)
{
    struct file *f;
    if (flags & ~EPOLL_CLOEXEC)
        return -EINVAL;
    int r = epoll_new(0, &f);
    if (r)
        return r;
    r = fdtable_install(t, f, 0, flags & EPOLL_CLOEXEC);
    if (r < 0)
        file_put(f);
    return r;
}

int64_t sys_epoll_create(struct task *t, const struct sysargs *a)
{
    return (int)a->v[0] <= 0 ? -EINVAL : do_create(t, 0);
}

int64_t sys_epoll_create1(struct task *t, const struct sysargs *a)
{
    return do_create(t, a->v[0]);
}

int64_t sys_epoll_ctl(struct task *t, const struct sysargs *a)
{
    struct epoll_event ev = {0};
    int op = a->v[1], fd = a->v[2], r = -EBADF;
    if (op != EPOLL_CTL_DEL && uaccess_read_obj(t->mm, &ev, uaddr(a->v[3])))
        return -EFAULT;
    struct file *ep = fdtable_get_io(t->fds, a->v[0]);
    if (!ep)
        return -EBADF;
    struct file *f = fdtable_get_io(t->fds, fd);
    if (f) {
        r = epoll_control(ep, op, fd, f, &ev);
        file_put(f);
    }
    file_put(ep);
    return r;
}

static int64_t collect_and_copy(struct task *t, struct file *ep, uint64_t ua, unsigned max,
                                int64_t deadline)
{
    struct epoll_event few[16], *evs = few;
    unsigned room = MIN(max, (unsigned)EPOLL_BATCH);
    if (room > ARRAY_COUNT(few)) {
        evs = malloc(room * sizeof(*evs));
        if (!evs)
            return -ENOMEM;
    }
    int64_t n = epoll_collect(t, ep, evs, room, deadline);
    if (n > 0 && uaccess_write(t->mm, uaddr(ua), evs, n * sizeof(*evs)))
        n = -EFAULT;
    if (evs != few)
        free(evs);
    return n;
}

static int64_t do_wait(struct task *t, const struct sysargs *a, int64_t deadline)
{
    int max = a->v[2];
    if (max <= 0 || max > EPOLL_MAX_EVENTS)
        return -EINVAL;
    if (!uaddr_range_ok(a->v[1], max * sizeof(struct epoll_event)))
        return -EFAULT;
    struct file *ep = fdtable_get_io(t->fds, a->v[0]);
    if (!ep)
        return -EBADF;
    int64_t r = collect_and_copy(t, ep, a->v[1], max, deadline);
    file_put(ep);
    return r;
}

static int64_t wait_masked(struct task *t, const struct sysargs *a, int64_t deadline)
{
    sigmask_t mask;
    if (!a->v[4])
        return do_wait(t, a, deadline);
    if (a->v[5] != sizeof(mask))
        return -EINVAL;
    if (uaccess_read_obj(t->mm, &mask, uaddr(a->v[4])))
        return -EFAULT;
    signal_mask_swap(t, mask);
    int64_t r = do_wait(t, a, deadline);
    signal_mask_restore(t, r == -EINTR);
    return r;
}

static int64_t ms_deadline(int ms)
{
    return ms < 0 ? DEADLINE_NONE : ms == 0 ? 0 : time_after(ms * 1000000ll);
}

int64_t sys_epoll_wait(struct task *t, const struct sysargs *a)
{
    return do_wait(t, a, ms_deadline(a->v[3]));
}

int64_t sys_epoll_pwait(struct task *t, const struct sysargs *a)
{
    return wait_masked(t, a, ms_deadline(a->v[3]));
}

int64_t sys_epoll_pwait2(struct task *t, const struct sysargs *a)
{
    int64_t deadline = DEADLINE_NONE;
    if (a->v[3]) {
        struct timespec ts;
        int64_t ns;
        if (uaccess_read_obj(t->mm, &ts, uaddr(a->v[3])))
            return -EFAULT;
        int r = time_from_timespec(&ts, &ns);
        if (r)
            return r;
        deadline = ns ? time_after(ns) : 0;
    }
    return wait_masked(t, a, deadline);
}
