/* timer_create(2) and its kin. A process's timers are a list under sig_lock. Those on wall clocks
 * have a host timer each; those on CPU clocks are looked at by itimer.c.
 *
 * At most one signal of a timer is pending at a time: further expirations count as overrun and the
 * timer is set again when the signal is taken (posix_timers_requeue). */
#include "kernel/kernel_priv.h"
#include "kernel/signal_priv.h"
#include "kernel/timer_priv.h"

#include "base/log.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define POSIX_TIMERS_MAX 4096

struct posix_timer {
    struct ref ref; /* the list's, and each running callback's */
    struct list_node node;
    struct process *process; /* counted */
    struct task *target;     /* SIGEV_THREAD_ID: counted, or NULL */
    int id, clockid, notify, signo;
    union sigval value;
    struct timer timer;
    struct clock_watch watch; /* linked for timers on the wall clock */
    bool wall;                /* set until a time of the wall clock */
    bool cpu, thread_clock;
    struct task *cpu_task; /* of a thread's CPU clock: counted, or NULL */
    int64_t deadline;      /* on the timer's own clock (monotonic ns, or CPU ns); 0 disarmed */
    int64_t interval;
    bool pending;   /* its signal is queued */
    int64_t missed; /* expirations since the signal was queued */
    int overrun;    /* of the signal taken last */
};

struct posix_timers {
    struct list list;
    unsigned count;
    int next_id;
};

static void posix_timer_put(struct posix_timer *pt)
{
    if (!ref_put(&pt->ref))
        return;
    if (pt->target)
        task_put(pt->target);
    if (pt->cpu_task)
        task_put(pt->cpu_task);
    process_put(pt->process);
    free(pt);
}

static struct posix_timer *posix_timer_find_locked(struct process *p, int id)
{
    struct posix_timer *pt;
    if (p->posix_timers)
        list_for_each(pt, &p->posix_timers->list, node) if (pt->id == id) return pt;
    return NULL;
}

/* ---- expiry
 * ----------------------------------------------------------------------------------------- */

static int64_t posix_timer_clock_locked(struct posix_timer *pt)
{
    int64_t u, s;
    if (!pt->cpu)
        return time_now();
    if (pt->cpu_task) {
        task_cpu_times(pt->cpu_task, &u, &s);
        return u + s;
    }
    struct task *t;
    int64_t sum = pt->process->dead_usage.ru_utime.tv_sec * NSEC_PER_SEC +
                  pt->process->dead_usage.ru_utime.tv_usec * 1000 +
                  pt->process->dead_usage.ru_stime.tv_sec * NSEC_PER_SEC +
                  pt->process->dead_usage.ru_stime.tv_usec * 1000;
    list_for_each(t, &pt->process->tasks, process_node)
    {
        task_cpu_times(t, &u, &s);
        sum += u + s;
    }
    return sum;
}

static void posix_timer_signal_locked(struct posix_timer *pt)
{
    siginfo_t info;
    memset(&info, 0, sizeof(info));
    info.si_signo = pt->signo;
    info.si_code = SI_TIMER;
    info.si_timerid = pt->id;
    info.si_value = pt->value;
    pt->pending = true;
    signal_queue_locked(pt->target, pt->process, pt->signo, &info);
    /* Ignored, or its target is gone: it was never queued. */
    sigmask_t queued = pt->target ? pt->target->pending.set : pt->process->shared_pending.set;
    if (!(queued & SIGMASK(pt->signo)))
        pt->pending = false;
}

/* Advance past now: how many expirations there were. */
static int64_t posix_timer_advance_locked(struct posix_timer *pt, int64_t now)
{
    if (!pt->deadline || now < pt->deadline)
        return 0;
    if (!pt->interval) {
        pt->deadline = 0;
        return 1;
    }
    int64_t n = (now - pt->deadline) / pt->interval + 1;
    pt->deadline += n * pt->interval;
    return n;
}

static void posix_timer_expire_locked(struct posix_timer *pt)
{
    int64_t n = posix_timer_advance_locked(pt, posix_timer_clock_locked(pt));
    if (n && pt->notify != SIGEV_NONE) {
        if (pt->pending) {
            pt->missed += n;
        } else {
            pt->missed = n - 1;
            posix_timer_signal_locked(pt);
        }
    }
    /* While a signal is pending, further expirations need no wake-up: requeue counts them. */
    if (!pt->cpu && pt->deadline && !pt->pending)
        timer_arm(&pt->timer, pt->deadline);
}

static void posix_timer_fired(struct timer *tm)
{
    struct posix_timer *pt = container_of(tm, struct posix_timer, timer);
    struct process *p = pt->process;
    lock_acquire(&p->sig_lock);
    if (list_linked(&pt->node))
        posix_timer_expire_locked(pt);
    lock_release(&p->sig_lock);
    waitq_wake(&p->signal_wq, POLLIN);
}

void posix_cpu_timers_look_locked(struct process *p, int64_t *wait)
{
    struct posix_timer *pt;
    if (!p->posix_timers)
        return;
    list_for_each(pt, &p->posix_timers->list, node)
    {
        if (!pt->cpu || !pt->deadline)
            continue;
        posix_timer_expire_locked(pt);
        int64_t left = pt->deadline ? pt->deadline - posix_timer_clock_locked(pt) : INT64_MAX;
        if (left < *wait)
            *wait = left > 0 ? left : 0;
    }
}

void posix_timers_requeue(struct process *p, int sig, siginfo_t *info)
{
    struct posix_timer *pt = posix_timer_find_locked(p, info->si_timerid);
    if (!pt || !pt->pending)
        return;
    pt->pending = false;
    int64_t n = pt->missed + posix_timer_advance_locked(pt, posix_timer_clock_locked(pt));
    pt->missed = 0;
    pt->overrun = n > INT32_MAX ? INT32_MAX : n;
    info->si_overrun = pt->overrun;
    if (!pt->cpu && pt->deadline)
        timer_arm(&pt->timer, pt->deadline);
}

/* ---- create
 * ----------------------------------------------------------------------------------------- */

static int posix_timer_event(struct task *t, const struct sigevent *ev, struct posix_timer *pt)
{
    pt->notify = ev ? ev->sigev_notify : SIGEV_SIGNAL;
    pt->signo = ev ? ev->sigev_signo : SIGALRM;
    if (ev)
        pt->value = ev->sigev_value;
    else
        pt->value.sival_int = pt->id;
    if (pt->notify == SIGEV_NONE)
        return 0;
    if (pt->signo < 1 || pt->signo > SIG_COUNT)
        return -EINVAL;
    if (pt->notify == SIGEV_SIGNAL || pt->notify == SIGEV_THREAD)
        return 0;
    if (pt->notify != (SIGEV_SIGNAL | SIGEV_THREAD_ID))
        return -EINVAL;
    struct task *target = task_lookup(ev->_sigev_un._tid);
    if (!target || target->process != t->process) {
        if (target)
            task_put(target);
        return -EINVAL;
    }
    pt->target = target;
    return 0;
}

/* The wall clock was set: what was armed for a time of it comes sooner or later by as much. */
static void posix_timer_clock_set(struct clock_watch *w, int64_t delta)
{
    struct posix_timer *pt = container_of(w, struct posix_timer, watch);
    LOCK_GUARD(&pt->process->sig_lock);
    if (!pt->wall || !pt->deadline || !list_linked(&pt->node))
        return;
    if (__builtin_sub_overflow(pt->deadline, delta, &pt->deadline) || pt->deadline < 1)
        pt->deadline = delta > 0 ? 1 : INT64_MAX;
    if (!pt->pending)
        timer_arm(&pt->timer, pt->deadline);
}

static int posix_timer_clock(struct task *t, int clockid, struct posix_timer *pt)
{
    int64_t ns;
    pt->clockid = clockid;
    if (clockid < 0 && (clockid & 7) == 3)
        return -EOPNOTSUPP; /* a clock behind a descriptor */
    if ((clockid == CLOCK_REALTIME_ALARM || clockid == CLOCK_BOOTTIME_ALARM) &&
        !cred_has_cap(t->cred, CAP_WAKE_ALARM))
        return -EPERM;
    if (clockid == CLOCK_PROCESS_CPUTIME_ID || clockid == CLOCK_THREAD_CPUTIME_ID || clockid < 0) {
        if (cpu_clock_get(t, clockid, &ns))
            return -EINVAL;
        pt->cpu = true;
        if (clockid == CLOCK_THREAD_CPUTIME_ID)
            pt->cpu_task = t, task_get(t);
        else if (clockid < 0 && (clockid & 4))
            pt->cpu_task = task_lookup(~(clockid >> 3));
        return 0;
    }
    if (clockid == CLOCK_MONOTONIC_RAW || clockid == CLOCK_REALTIME_COARSE ||
        clockid == CLOCK_MONOTONIC_COARSE)
        return -EOPNOTSUPP;
    return time_clock_get(clockid, &ns);
}

static int posix_timer_add(struct process *p, struct posix_timer *pt)
{
    LOCK_GUARD(&p->sig_lock);
    if (!p->posix_timers) {
        p->posix_timers = calloc(1, sizeof(*p->posix_timers));
        if (!p->posix_timers)
            return -ENOMEM;
        list_init(&p->posix_timers->list);
    }
    if (p->posix_timers->count >= POSIX_TIMERS_MAX)
        return -EAGAIN;
    while (posix_timer_find_locked(p, p->posix_timers->next_id))
        p->posix_timers->next_id = (p->posix_timers->next_id + 1) & INT32_MAX;
    pt->id = p->posix_timers->next_id;
    p->posix_timers->next_id = (pt->id + 1) & INT32_MAX;
    p->posix_timers->count++;
    list_push_back(&p->posix_timers->list, &pt->node);
    return 0;
}

int posix_timer_create(struct task *t, int clockid, const struct sigevent *ev, int *id)
{
    struct posix_timer *pt = calloc(1, sizeof(*pt));
    if (!pt)
        return -ENOMEM;
    ref_init(&pt->ref);
    list_node_init(&pt->node);
    list_node_init(&pt->watch.node);
    timer_init(&pt->timer, posix_timer_fired);
    pt->process = t->process;
    process_get(t->process);
    int r = posix_timer_clock(t, clockid, pt);
    if (!r)
        r = posix_timer_event(t, ev, pt);
    if (!r)
        r = posix_timer_add(t->process, pt);
    if (r) {
        posix_timer_put(pt);
        return r;
    }
    if (!ev)
        pt->value.sival_int = pt->id;
    *id = pt->id;
    if (clockid == CLOCK_REALTIME || clockid == CLOCK_REALTIME_ALARM || clockid == CLOCK_TAI)
        clock_watch(&pt->watch, posix_timer_clock_set);
    return 0;
}

/* ---- set, get, delete
 * ------------------------------------------------------------------------------- */

/* Periods that passed while a signal is pending count as missed. */
static void posix_timer_catch_up_locked(struct posix_timer *pt)
{
    if (pt->interval && (pt->pending || pt->notify == SIGEV_NONE))
        pt->missed += posix_timer_advance_locked(pt, posix_timer_clock_locked(pt));
}

static void posix_timer_read_locked(struct posix_timer *pt, struct itimerspec *out)
{
    int64_t left = 0;
    posix_timer_catch_up_locked(pt);
    if (pt->deadline) {
        left = pt->deadline - posix_timer_clock_locked(pt);
        left = left < 1 ? 1 : left;
    }
    time_to_timespec(left, &out->it_value);
    time_to_timespec(pt->interval, &out->it_interval);
}

static int64_t posix_timer_deadline_locked(struct posix_timer *pt, int flags, int64_t value)
{
    int64_t d;
    if (!value)
        return 0;
    if (!(flags & TIMER_ABSTIME)) {
        if (__builtin_add_overflow(posix_timer_clock_locked(pt), value, &d))
            return INT64_MAX;
        return d;
    }
    if (pt->cpu)
        return value;
    d = time_to_deadline(pt->clockid, value);
    return d > 0 ? d : 1;
}

int posix_timer_set(struct task *t, int id, int flags, const struct itimerspec *next,
                    struct itimerspec *old)
{
    struct process *p = t->process;
    int64_t value, interval;
    if (time_from_timespec(&next->it_value, &value) ||
        time_from_timespec(&next->it_interval, &interval))
        return -EINVAL;
    lock_acquire(&p->sig_lock);
    struct posix_timer *pt = posix_timer_find_locked(p, id);
    if (!pt) {
        lock_release(&p->sig_lock);
        return -EINVAL;
    }
    posix_timer_read_locked(pt, old);
    pt->interval = value ? interval : 0;
    pt->wall = flags & TIMER_ABSTIME && !pt->cpu && list_linked(&pt->watch.node);
    pt->deadline = posix_timer_deadline_locked(pt, flags, value);
    pt->pending = false;
    pt->missed = pt->overrun = 0;
    bool cpu = pt->cpu && pt->deadline;
    if (!pt->cpu && pt->deadline)
        timer_arm(&pt->timer, pt->deadline);
    lock_release(&p->sig_lock);
    if (cpu)
        cpu_timer_rearm(p);
    return 0;
}

int posix_timer_get(struct task *t, int id, struct itimerspec *out)
{
    LOCK_GUARD(&t->process->sig_lock);
    struct posix_timer *pt = posix_timer_find_locked(t->process, id);
    if (!pt)
        return -EINVAL;
    posix_timer_read_locked(pt, out);
    return 0;
}

int posix_timer_overrun(struct task *t, int id)
{
    LOCK_GUARD(&t->process->sig_lock);
    struct posix_timer *pt = posix_timer_find_locked(t->process, id);
    return pt ? pt->overrun : -EINVAL;
}

static void posix_timer_destroy(struct posix_timer *pt)
{
    if (list_linked(&pt->watch.node))
        clock_unwatch(&pt->watch);
    timer_cancel(&pt->timer); /* waits for a running callback, which finds it unlinked */
    posix_timer_put(pt);
}

static struct posix_timer *posix_timer_unlink(struct process *p, int id, bool any)
{
    LOCK_GUARD(&p->sig_lock);
    if (!p->posix_timers)
        return NULL;
    struct posix_timer *pt = any ? list_first(&p->posix_timers->list, struct posix_timer, node)
                                 : posix_timer_find_locked(p, id);
    if (pt) {
        list_del(&pt->node);
        p->posix_timers->count--;
    }
    return pt;
}

int posix_timer_delete(struct task *t, int id)
{
    struct posix_timer *pt = posix_timer_unlink(t->process, id, /*any=*/false);
    if (!pt)
        return -EINVAL;
    posix_timer_destroy(pt);
    return 0;
}

void posix_timers_exit(struct process *p)
{
    struct posix_timer *pt;
    while ((pt = posix_timer_unlink(p, 0, /*any=*/true)))
        posix_timer_destroy(pt);
    lock_acquire(&p->sig_lock);
    struct posix_timers *empty = p->posix_timers;
    p->posix_timers = NULL;
    lock_release(&p->sig_lock);
    free(empty);
}

bool posix_timer_next(struct process *p, int after, struct posix_timer_info *out)
{
    LOCK_GUARD(&p->sig_lock);
    struct posix_timer *pt, *best = NULL;
    if (!p->posix_timers)
        return false;
    list_for_each(pt, &p->posix_timers->list,
                  node) if (pt->id > after && (!best || pt->id < best->id)) best = pt;
    if (!best)
        return false;
    *out = (struct posix_timer_info){.id = best->id,
                                     .clockid = best->clockid,
                                     .notify = best->notify,
                                     .signo = best->signo,
                                     .tid = best->target ? best->target->vtid : 0,
                                     .value = (uint64_t)best->value.sival_ptr};
    return true;
}
