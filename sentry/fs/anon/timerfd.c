/* timerfd: expirations as something to read.
 *
 * A periodic timer is not re-armed when it fires but when it is looked at: what nobody reads costs
 * nothing. The periods that passed in between are counted then, as Linux does. */
#include "base/overflow.h"
#include "fs/vfs.h"
#include "kernel/kernel.h"
#include "time/time.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>

struct timerfd {
    struct timer timer;
    struct lock lock;  /* LR_TIMERFD */
    int clockid;       /* const; without the _ALARM variants */
    int given_clockid; /* const; as the guest named it */
    int64_t deadline;  /* lock: lock; monotonic; DEADLINE_NEVER when disarmed or fired once */
    int64_t interval;  /* lock: lock; 0 = one shot */
    uint64_t ticks;    /* lock: lock to write, atomic to read */
    bool fired;        /* lock: lock; waiting to be looked at */
    int settime_flags; /* lock: lock */
    bool wall;         /* lock: lock; set until a time of the wall clock */
    bool cancels;      /* lock: lock; TFD_TIMER_CANCEL_ON_SET */
    uint64_t steps;    /* lock: lock; time_steps as they were last reported */
    struct clock_watch watch; /* linked for timers on the wall clock */
    struct waitq wq;
};

static const struct file_ops g_timerfd_ops;

static uint64_t ticks_load(struct timerfd *tf)
{
    return __atomic_load_n(&tf->ticks, __ATOMIC_ACQUIRE);
}

static void ticks_store(struct timerfd *tf, uint64_t n)
{
    __atomic_store_n(&tf->ticks, n, __ATOMIC_RELEASE);
}

static void timerfd_fire(struct timer *timer)
{
    struct timerfd *tf = container_of(timer, struct timerfd, timer);
    lock_acquire(&tf->lock);
    /* A settime that raced with us has moved the deadline. */
    bool due = !tf->fired && tf->deadline <= time_now();
    if (due) {
        ticks_store(tf, tf->ticks + 1);
        tf->fired = true;
    }
    lock_release(&tf->lock);
    if (due)
        waitq_wake(&tf->wq, POLLIN | POLLRDNORM);
}

/* Count the periods since it fired and arm for the next. */
static void timerfd_catch_up_locked(struct timerfd *tf)
{
    if (!tf->fired)
        return;
    tf->fired = false;
    if (!tf->interval) {
        tf->deadline = DEADLINE_NEVER;
        return;
    }
    int64_t late = time_now() - tf->deadline;
    int64_t periods = late > 0 ? late / tf->interval : 0;
    ticks_store(tf, tf->ticks + periods);
    tf->deadline += (periods + 1) * tf->interval;
    timer_arm(&tf->timer, tf->deadline);
}

static void timerfd_clock_set(struct clock_watch *w, int64_t delta)
{
    struct timerfd *tf = container_of(w, struct timerfd, watch);
    lock_acquire(&tf->lock);
    bool cancel = tf->cancels;
    if (cancel)
        ticks_store(tf, tf->ticks + 1); /* something to read: ECANCELED */
    if (tf->wall && tf->deadline != DEADLINE_NEVER && !tf->fired) {
        if (__builtin_sub_overflow(tf->deadline, delta, &tf->deadline))
            tf->deadline = delta > 0 ? 0 : DEADLINE_NEVER - 1;
        timer_arm(&tf->timer, tf->deadline);
    }
    lock_release(&tf->lock);
    if (cancel)
        waitq_wake(&tf->wq, POLLIN | POLLRDNORM);
}

/* Has the clock been set since this was last asked? */
static bool timerfd_canceled_locked(struct timerfd *tf)
{
    uint64_t steps = time_steps();
    if (!tf->cancels || tf->steps == steps)
        return false;
    tf->steps = steps;
    return true;
}

#define TICKS_CANCELED UINT64_MAX

/* The time has come, whether or not the timer thread has been here yet. */
static void timerfd_notice_locked(struct timerfd *tf)
{
    if (tf->fired || tf->deadline > time_now())
        return;
    ticks_store(tf, tf->ticks + 1);
    tf->fired = true;
}

static uint64_t timerfd_take(struct timerfd *tf)
{
    LOCK_GUARD(&tf->lock);
    timerfd_notice_locked(tf);
    if (!tf->ticks)
        return 0;
    if (timerfd_canceled_locked(tf)) {
        ticks_store(tf, 0);
        return TICKS_CANCELED;
    }
    timerfd_catch_up_locked(tf);
    uint64_t n = tf->ticks;
    ticks_store(tf, 0);
    return n;
}

static int64_t timerfd_read(struct file *f, struct uio *u, int64_t pos)
{
    struct timerfd *tf = f->priv;
    struct task *t = task_current();
    uint64_t n;
    if (u->remaining < sizeof(n))
        return -EINVAL;
    while (!(n = timerfd_take(tf))) {
        if (file_nonblock(f, u) || !t)
            return -EAGAIN;
        int r = wait_event(t, &tf->wq, DEADLINE_NONE, ticks_load(tf));
        if (r)
            return r;
    }
    if (n == TICKS_CANCELED)
        return -ECANCELED;
    return uio_to_user(u, &n, sizeof(n)) == sizeof(n) ? (int64_t)sizeof(n) : -EFAULT;
}

static void timerfd_get_locked(struct timerfd *tf, struct itimerspec *out)
{
    timerfd_catch_up_locked(tf);
    int64_t left = 0;
    if (tf->deadline != DEADLINE_NEVER)
        left = MAX(tf->deadline - time_now(), (int64_t)1);
    time_to_timespec(left, &out->it_value);
    time_to_timespec(tf->interval, &out->it_interval);
}

int timerfd_get(struct file *f, struct itimerspec *out)
{
    if (f->ops != &g_timerfd_ops)
        return -EINVAL;
    struct timerfd *tf = f->priv;
    LOCK_GUARD(&tf->lock);
    timerfd_get_locked(tf, out);
    return 0;
}

static int64_t first_deadline(struct timerfd *tf, int flags, int64_t value)
{
    if (!value)
        return DEADLINE_NEVER;
    return flags & TFD_TIMER_ABSTIME ? time_to_deadline(tf->clockid, value) : time_after(value);
}

int timerfd_set(struct file *f, int flags, const struct itimerspec *next, struct itimerspec *old)
{
    int64_t value, interval;
    if (f->ops != &g_timerfd_ops || flags & ~(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET))
        return -EINVAL;
    if (time_from_timespec(&next->it_value, &value) ||
        time_from_timespec(&next->it_interval, &interval))
        return -EINVAL;
    struct timerfd *tf = f->priv;
    timer_cancel(&tf->timer);
    LOCK_GUARD(&tf->lock);
    timerfd_get_locked(tf, old);
    tf->fired = false;
    tf->interval = interval;
    tf->settime_flags = flags;
    tf->wall = flags & TFD_TIMER_ABSTIME && tf->clockid == CLOCK_REALTIME;
    tf->cancels = tf->wall && flags & TFD_TIMER_CANCEL_ON_SET;
    tf->deadline = first_deadline(tf, flags, value);
    ticks_store(tf, 0);
    if (tf->deadline == DEADLINE_NEVER)
        return 0;
    timer_arm(&tf->timer, tf->deadline);
    return timerfd_canceled_locked(tf) ? -ECANCELED : 0;
}

static unsigned timerfd_poll(struct file *f)
{
    return ticks_load(f->priv) ? POLLIN : 0;
}

static struct waitq *timerfd_waitq(struct file *f)
{
    struct timerfd *tf = f->priv;
    return &tf->wq;
}

#define IOC_SET_TICKS _IOW('T', 0, uint64_t) /* TFD_IOC_SET_TICKS */

static int64_t timerfd_ioctl(struct file *f, struct task *t, unsigned cmd, uint64_t arg)
{
    struct timerfd *tf = f->priv;
    uint64_t ticks;
    if (cmd != IOC_SET_TICKS)
        return -ENOTTY;
    if (uaccess_read_obj(t->mm, &ticks, uaddr(arg)))
        return -EFAULT;
    if (!ticks)
        return -EINVAL;
    lock_acquire(&tf->lock);
    bool canceled = timerfd_canceled_locked(tf);
    if (!canceled)
        ticks_store(tf, ticks);
    lock_release(&tf->lock);
    if (canceled)
        return -ECANCELED;
    waitq_wake(&tf->wq, POLLIN | POLLRDNORM);
    return 0;
}

static void timerfd_release(struct file *f)
{
    struct timerfd *tf = f->priv;
    if (list_linked(&tf->watch.node))
        clock_unwatch(&tf->watch);
    timer_cancel(&tf->timer);
    lock_destroy(&tf->lock);
    free(tf);
}

static int timerfd_fdinfo(struct file *f, char *buf, size_t size)
{
    struct timerfd *tf = f->priv;
    struct itimerspec its;
    LOCK_GUARD(&tf->lock);
    timerfd_get_locked(tf, &its);
    return snprintf(buf, size,
                    "clockid: %d\nticks: %llu\nsettime flags: 0%o\nit_value: (%ld, %ld)\n"
                    "it_interval: (%ld, %ld)\n",
                    tf->given_clockid, (unsigned long long)tf->ticks, tf->settime_flags,
                    its.it_value.tv_sec, its.it_value.tv_nsec, its.it_interval.tv_sec,
                    its.it_interval.tv_nsec);
}

static int timerfd_fdname(struct file *f, char *buf, size_t size)
{
    return snprintf(buf, size, "anon_inode:[timerfd]");
}

static const struct file_ops g_timerfd_ops = {
    .read = timerfd_read,
    .poll = timerfd_poll,
    .waitq = timerfd_waitq,
    .ioctl = timerfd_ioctl,
    .release = timerfd_release,
    .fdinfo = timerfd_fdinfo,
    .fdname = timerfd_fdname,
    .lseek = vfs_lseek_noop,
    .no_splice_read = true,
    .no_splice_write = true,
    .stream = true,
    .no_fasync = true,
    .nowait = true,
};

static int clock_of(int given, int *clockid)
{
    switch (given) {
    case CLOCK_REALTIME:
    case CLOCK_MONOTONIC:
    case CLOCK_BOOTTIME:
        *clockid = given;
        return 0;
    case CLOCK_REALTIME_ALARM:
        *clockid = CLOCK_REALTIME;
        return 1;
    case CLOCK_BOOTTIME_ALARM:
        *clockid = CLOCK_BOOTTIME;
        return 1;
    default:
        return -EINVAL;
    }
}

int timerfd_new(int clockid, unsigned flags, struct file **out)
{
    int clock;
    int alarm = clock_of(clockid, &clock);
    if (alarm < 0 || flags & ~(TFD_NONBLOCK | TFD_CLOEXEC))
        return -EINVAL;
    struct task *t = task_current();
    if (alarm && t && !cred_has_cap(t->cred, CAP_WAKE_ALARM))
        return -EPERM;
    struct timerfd *tf = calloc(1, sizeof(*tf));
    if (!tf)
        return -ENOMEM;
    timer_init(&tf->timer, timerfd_fire);
    lock_init(&tf->lock, LR_TIMERFD);
    waitq_init(&tf->wq);
    tf->clockid = clock;
    tf->given_clockid = clockid;
    tf->deadline = DEADLINE_NEVER;
    tf->steps = time_steps();
    list_node_init(&tf->watch.node);
    int r = file_new_anon(&g_timerfd_ops, O_RDWR | (flags & O_NONBLOCK), tf, 0600, out);
    if (r)
        free(tf);
    else if (clock == CLOCK_REALTIME)
        clock_watch(&tf->watch, timerfd_clock_set);
    return r;
}
