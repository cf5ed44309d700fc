/* setitimer, alarm, and the CPU clocks' watch.
 *
 * ITIMER_REAL has a timer of its own. ITIMER_VIRTUAL, ITIMER_PROF, RLIMIT_CPU and POSIX timers on
 * CPU clocks share one, process.cpu_timer: it is set to the earliest moment any of them could be
 * due if all tasks ran all the time, and looks then. */
#include "kernel/kernel_priv.h"
#include "kernel/timer_priv.h"

#include <errno.h>
#include <string.h>
#include <sys/time.h>

#define CPU_LOOK_MIN_NS 4000000ll /* how often the CPU clocks are looked at, at most */

static int64_t timeval_to_ns(const struct timeval *tv, int64_t *ns)
{
    if (tv->tv_sec < 0 || tv->tv_usec < 0 || tv->tv_usec >= 1000000)
        return -EINVAL;
    *ns = tv->tv_sec > INT64_MAX / NSEC_PER_SEC - 1
              ? INT64_MAX / 4
              : tv->tv_sec * NSEC_PER_SEC + tv->tv_usec * 1000;
    return 0;
}

static void ns_to_timeval(int64_t ns, struct timeval *tv)
{
    tv->tv_sec = ns / NSEC_PER_SEC;
    tv->tv_usec = ns % NSEC_PER_SEC / 1000;
}

/* ---- the real one
 * --------------------------------------------------------------------------------- */

static void real_fired(struct timer *tm)
{
    struct process *p = container_of(tm, struct process, real_timer);
    lock_acquire(&p->sig_lock);
    struct itimer *i = &p->itimer_real;
    int64_t now = time_now(), next = 0;
    bool due = i->deadline_ns && i->deadline_ns <= now;
    if (due && i->interval_ns) {
        int64_t missed = (now - i->deadline_ns) / i->interval_ns;
        next = i->deadline_ns += (missed + 1) * i->interval_ns;
    } else if (due) {
        i->deadline_ns = 0;
    } else {
        next = i->deadline_ns;
    }
    if (next)
        timer_arm(tm, next);
    lock_release(&p->sig_lock);
    if (due)
        signal_send_process(p, SIGALRM, NULL);
}

/* ---- CPU clocks
 * ------------------------------------------------------------------------------------- */

static bool cpu_itimer_due(struct itimer *i, int64_t now)
{
    if (!i->deadline_ns || now < i->deadline_ns)
        return false;
    if (i->interval_ns)
        i->deadline_ns += ((now - i->deadline_ns) / i->interval_ns + 1) * i->interval_ns;
    else
        i->deadline_ns = 0;
    return true;
}

static void least(int64_t *best, int64_t deadline, int64_t now)
{
    if (deadline && deadline - now < *best)
        *best = deadline - now;
}

/* RLIMIT_CPU: SIGXCPU each second past the soft limit, SIGKILL at the hard one. */
static int cpu_limit_due(struct process *p, int64_t now, int64_t *wait)
{
    struct rlimit64 *r = &p->rlimits[RLIMIT_CPU];
    if (r->rlim_cur >= (uint64_t)INT64_MAX / NSEC_PER_SEC)
        return 0;
    uint64_t sec = now / NSEC_PER_SEC;
    uint64_t hard = r->rlim_max ? r->rlim_max : 1; /* none at all is one second: setrlimit(2) */
    int sig = sec >= hard ? SIGKILL : sec && sec >= r->rlim_cur ? SIGXCPU : 0;
    if (sig == SIGXCPU)
        r->rlim_cur = sec + 1;
    least(wait, (int64_t)(r->rlim_cur ? r->rlim_cur : 1) * NSEC_PER_SEC, now);
    return sig;
}

static bool process_is_running(struct process *p)
{
    struct task *t;
    list_for_each(t, &p->tasks, process_node) if (__atomic_load_n(&t->run_since_ns,
                                                                  __ATOMIC_RELAXED)) return true;
    return false;
}

/* Fire what is due; the CPU nanoseconds until the next can be, INT64_MAX: none is set. */
static int64_t cpu_look(struct process *p)
{
    int64_t u, s, wait = INT64_MAX;
    process_cpu_times(p, &u, &s);
    lock_acquire(&p->sig_lock);
    bool virt = cpu_itimer_due(&p->itimer_virtual, u);
    bool prof = cpu_itimer_due(&p->itimer_prof, u + s);
    int limit = cpu_limit_due(p, u + s, &wait);
    least(&wait, p->itimer_virtual.deadline_ns, u);
    least(&wait, p->itimer_prof.deadline_ns, u + s);
    if (virt)
        signal_queue_locked(NULL, p, SIGVTALRM, NULL);
    if (prof)
        signal_queue_locked(NULL, p, SIGPROF, NULL);
    if (limit)
        signal_queue_locked(NULL, p, limit, NULL);
    posix_cpu_timers_look_locked(p, &wait);
    if (wait != INT64_MAX && p->task_count) {
        wait /= p->task_count;
        /* Asleep with little left: look less often, the clock stands still meanwhile. */
        int64_t floor = process_is_running(p) ? CPU_LOOK_MIN_NS : 5 * CPU_LOOK_MIN_NS;
        wait = wait < floor ? floor : wait;
    }
    bool dead = p->state >= PROCESS_ZOMBIE;
    lock_release(&p->sig_lock);
    return dead ? INT64_MAX : wait;
}

void cpu_timer_rearm(struct process *p)
{
    int64_t wait = cpu_look(p);
    if (wait != INT64_MAX)
        timer_arm(&p->cpu_timer, time_after(wait));
}

static void cpu_fired(struct timer *tm)
{
    cpu_timer_rearm(container_of(tm, struct process, cpu_timer));
}

/* ---- set and get
 * ------------------------------------------------------------------------------------ */

void itimer_init(struct process *p)
{
    timer_init(&p->real_timer, real_fired);
    timer_init(&p->cpu_timer, cpu_fired);
}

void itimer_exit(struct process *p)
{
    lock_acquire(&p->sig_lock);
    memset(&p->itimer_real, 0, sizeof(p->itimer_real));
    memset(&p->itimer_virtual, 0, sizeof(p->itimer_virtual));
    memset(&p->itimer_prof, 0, sizeof(p->itimer_prof));
    p->rlimits[RLIMIT_CPU].rlim_cur = RLIM64_INFINITY;
    lock_release(&p->sig_lock);
    timer_cancel(&p->real_timer);
    timer_cancel(&p->cpu_timer);
}

/* The timer of which and the present time on its clock. */
static struct itimer *itimer_of(struct process *p, int which, int64_t *now)
{
    int64_t u, s;
    process_cpu_times(p, &u, &s);
    switch (which) {
    case ITIMER_REAL:
        *now = time_now();
        return &p->itimer_real;
    case ITIMER_VIRTUAL:
        *now = u;
        return &p->itimer_virtual;
    case ITIMER_PROF:
        *now = u + s;
        return &p->itimer_prof;
    }
    return NULL;
}

static void itimer_read(const struct itimer *i, int64_t now, struct itimerval *out)
{
    int64_t left = i->deadline_ns ? i->deadline_ns - now : 0;
    if (i->deadline_ns && left < 1000)
        left = 1000; /* armed: never zero */
    ns_to_timeval(left, &out->it_value);
    ns_to_timeval(i->interval_ns, &out->it_interval);
}

int itimer_get(struct task *t, int which, struct itimerval *out)
{
    int64_t now;
    struct itimer *i = itimer_of(t->process, which, &now);
    if (!i)
        return -EINVAL;
    LOCK_GUARD(&t->process->sig_lock);
    itimer_read(i, now, out);
    return 0;
}

int64_t itimer_set(struct task *t, int which, const struct itimerval *next, struct itimerval *old)
{
    struct process *p = t->process;
    int64_t now, value, interval;
    struct itimer *i = itimer_of(p, which, &now);
    if (!i || timeval_to_ns(&next->it_value, &value) ||
        timeval_to_ns(&next->it_interval, &interval))
        return -EINVAL;
    lock_acquire(&p->sig_lock);
    itimer_read(i, now, old);
    i->interval_ns = value ? interval : 0;
    i->deadline_ns = value ? now + value : 0;
    if (which == ITIMER_REAL && value)
        timer_arm(&p->real_timer, i->deadline_ns);
    lock_release(&p->sig_lock);
    if (which != ITIMER_REAL && value)
        cpu_timer_rearm(p);
    return 0;
}
