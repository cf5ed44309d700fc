/* Containers: groups of processes that are counted, limited, frozen and ended together.
 *
 * A process belongs to the container of its parent for life. *Held* tasks (paused, or out of CPU
 * budget) stay in task_work: between a guest's instructions, never inside a call, so nothing that
 * wakes them is lost; only death gets them out.
 *
 * CPU limit: a token bucket. quota nanoseconds are put in at each period, never more than quota;
 * a tick takes out what was used. Empty: the tasks are held until the next period brings the bucket
 * above zero, so a debt is paid back. The next tick comes when all processors together could have
 * emptied the bucket, so the limit holds to a millisecond of each processor.
 *
 * How the end is told: a struct exit_watch outlives its process; g_kernel.watcher is called (no
 * locks held) whenever one has news, or a container has become empty. */
#include "kernel/kernel_priv.h"

#include "base/log.h"
#include "base/overflow.h"
#include "mm/mm.h"
#include <errno.h>
#include <stdlib.h>

#define TICK_MIN_NS (1000000ll)

/* ---- objects ---- */

static void cpu_tick(struct timer *timer);

struct container *container_new(void)
{
    struct container *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    ref_init(&c->ref);
    lock_init(&c->cpu.lock, LR_LEAF);
    timer_init(&c->cpu.timer, cpu_tick);
    return c;
}

void container_get(struct container *c)
{
    ref_get(&c->ref);
}

void container_put(struct container *c)
{
    if (!ref_put(&c->ref))
        return;
    timer_cancel(&c->cpu.timer);
    lock_destroy(&c->cpu.lock);
    free(c);
}

struct exit_watch *exit_watch_new(void)
{
    struct exit_watch *w = calloc(1, sizeof(*w));
    if (w)
        ref_init(&w->ref);
    return w;
}

void exit_watch_get(struct exit_watch *w)
{
    ref_get(&w->ref);
}

void exit_watch_put(struct exit_watch *w)
{
    if (ref_put(&w->ref))
        free(w);
}

void watcher_tell(void)
{
    if (g_kernel.watcher)
        g_kernel.watcher();
}

/* ---- iteration ---- */

/* The process of c with the least pid > after; counted. */
struct process *container_next(struct container *c, int after)
{
    struct process *p;
    while ((p = process_next(after)) && p->container != c) {
        after = p->pid;
        process_put(p);
    }
    return p;
}

static void kick_all(struct container *c)
{
    LOCK_GUARD(&g_kernel.tasks_lock);
    struct process *p;
    struct task *t;
    list_for_each(p, &g_kernel.processes, all_node)
    {
        if (p->container != c)
            continue;
        list_for_each(t, &p->tasks, process_node) if (!t->exiting) task_kick(t, TASK_NOTIFY_WORK);
    }
}

void container_kill(struct container *c)
{
    struct process *p;
    lock_acquire(&g_kernel.tasks_lock);
    c->dying = true; /* no child can be entered behind our back from here on */
    lock_release(&g_kernel.tasks_lock);
    for (int after = 0; (p = container_next(c, after)); process_put(p)) {
        after = p->pid;
        process_exit_group(p, SIGKILL);
    }
}

int container_signal_all(struct container *c, int sig)
{
    siginfo_t info = {.si_signo = sig, .si_code = SI_USER};
    struct process *p;
    int count = 0;
    for (int after = 0; (p = container_next(c, after)); process_put(p)) {
        after = p->pid;
        count += !signal_send_process(p, sig, &info);
    }
    return count ? 0 : -ESRCH;
}

/* ---- holding ---- */

static void hold_set(struct container *c, uint32_t why)
{
    if (!(__atomic_fetch_or(&c->held, why, __ATOMIC_SEQ_CST) & why))
        kick_all(c);
}

static void hold_clear(struct container *c, uint32_t why)
{
    if (__atomic_fetch_and(&c->held, ~why, __ATOMIC_SEQ_CST) & why)
        kick_all(c);
}

void container_freeze(struct container *c, bool on)
{
    if (on)
        hold_set(c, CONTAINER_FROZEN);
    else
        hold_clear(c, CONTAINER_FROZEN);
}

bool container_frozen(struct container *c)
{
    return __atomic_load_n(&c->held, __ATOMIC_SEQ_CST) & CONTAINER_FROZEN;
}

void container_hold_here(struct task *t)
{
    struct container *c = t->process->container;
    for (;;) {
        task_sleep_prepare(t);
        if (!__atomic_load_n(&c->held, __ATOMIC_SEQ_CST) || signal_fatal_pending(t))
            return;
        task_sleep(t, DEADLINE_NONE, /*interruptible=*/false);
    }
}

/* ---- figures ---- */

void container_cpu_times(struct container *c, int64_t *user_ns, int64_t *system_ns)
{
    LOCK_GUARD(&g_kernel.tasks_lock);
    *user_ns = c->dead_utime_ns;
    *system_ns = c->dead_stime_ns;
    struct process *p;
    struct task *t;
    list_for_each(p, &g_kernel.processes, all_node)
    {
        if (p->container != c)
            continue;
        list_for_each(t, &p->tasks, process_node)
        {
            int64_t u, s;
            if (t->exiting)
                continue;
            task_cpu_times(t, &u, &s);
            *user_ns += u;
            *system_ns += s;
        }
    }
}

void container_figures(struct container *c, struct container_figures *out)
{
    container_cpu_times(c, &out->user_ns, &out->system_ns);
    lock_acquire(&c->cpu.lock);
    out->periods = c->cpu.periods;
    out->throttled_periods = c->cpu.throttled_periods;
    out->throttled_ns = c->cpu.throttled_ns;
    lock_release(&c->cpu.lock);
    LOCK_GUARD(&g_kernel.tasks_lock);
    out->tasks = c->task_count;
    out->tasks_limit = c->tasks_limit;
    out->forks = c->forks;
    out->processes = 0;
    struct process *p;
    list_for_each(p, &g_kernel.processes, all_node) out->processes += p->container == c;
    out->oom_kills = __atomic_load_n(&c->oom_kills, __ATOMIC_RELAXED);
}

/* ---- out of memory ---- */

#define OOM_PAUSE_NS 1000000ll /* for a victim to give back what it has */

/* Linux's measure: pages held, and oom_score_adj as thousandths of all there is. */
static int64_t oom_badness(struct process *p)
{
    int adj = __atomic_load_n(&p->oom_score_adj, __ATOMIC_RELAXED);
    struct task *t = adj > -1000 ? task_next(p, 0) : NULL;
    struct mm *mm = t ? task_mm_get(t) : NULL;
    int64_t points = -1;
    if (mm) {
        struct mm_usage u;
        mm_usage_get(mm, &u);
        mm_put(mm);
        points = MAX((int64_t)u.rss + adj * (int64_t)(memfile_limit() / 1000), 1);
    }
    if (t)
        task_put(t);
    return points;
}

static bool is_ending(struct process *p)
{
    LOCK_GUARD(&p->sig_lock);
    return p->group_exiting && p->state == PROCESS_RUNNING;
}

/* The worst process of c, counted; NULL: one is dying already, or none may be killed (*dying). */
static struct process *oom_choose(struct container *c, bool *dying)
{
    struct process *p, *worst = NULL;
    int64_t most = 0;
    *dying = false;
    for (int after = 0; (p = container_next(c, after)); process_put(p)) {
        after = p->pid;
        *dying |= is_ending(p);
        int64_t points = oom_badness(p);
        if (points <= most)
            continue;
        most = points;
        if (worst)
            process_put(worst);
        worst = p;
        process_get(worst);
    }
    if (worst && *dying) {
        process_put(worst);
        worst = NULL;
    }
    return worst;
}

bool container_out_of_memory(struct task *t)
{
    struct container *c = t->process->container;
    bool dying;
    struct process *victim = oom_choose(c, &dying);
    if (victim) {
        log_debug("out of memory: process %d is killed", victim->pid);
        __atomic_fetch_add(&c->oom_kills, 1, __ATOMIC_RELAXED);
        process_exit_group(victim, SIGKILL);
        process_put(victim);
    }
    if (!victim && !dying)
        return false;
    task_sleep_prepare(t);
    task_sleep(t, time_after(OOM_PAUSE_NS), /*interruptible=*/false);
    return true;
}

/* ---- CPU limit ---- */

static int64_t cpu_total(struct container *c)
{
    int64_t u, s;
    container_cpu_times(c, &u, &s);
    return u + s;
}

/* Take out what was used since the last tick; at a period's end put the quota in. */
static bool bucket_turn_locked(struct cpu_bucket *b, int64_t now, int64_t total)
{
    b->tokens -= total - b->seen;
    b->seen = total;
    if (now < b->period_end)
        return b->tokens > 0;
    b->periods++;
    b->throttled_periods += b->was_empty;
    b->was_empty = b->tokens <= 0;
    b->tokens = MIN(b->tokens + b->quota_ns, b->quota_ns);
    b->period_end = MAX(b->period_end + b->period_ns, now);
    return b->tokens > 0;
}

static int64_t bucket_next_locked(struct cpu_bucket *b, int64_t now)
{
    int64_t least = b->tokens / (int64_t)MAX(g_kernel.cpu_count, 1u);
    if (b->tokens <= 0)
        return b->period_end;
    return MIN(now + MAX(least, TICK_MIN_NS), b->period_end);
}

static void cpu_tick(struct timer *timer)
{
    struct container *c = container_of(timer, struct container, cpu.timer);
    struct cpu_bucket *b = &c->cpu;
    int64_t total = cpu_total(c), now = time_now(), next;
    lock_acquire(&b->lock);
    bool on = b->quota_ns > 0;
    bool run = !on || bucket_turn_locked(b, now, total);
    if (b->held_since && run)
        b->throttled_ns += now - b->held_since, b->held_since = 0;
    if (!run && !b->held_since)
        b->held_since = now, b->was_empty = true;
    next = bucket_next_locked(b, now);
    lock_release(&b->lock);
    if (run)
        hold_clear(c, CONTAINER_THROTTLED);
    else
        hold_set(c, CONTAINER_THROTTLED);
    if (on)
        timer_arm(timer, next);
}

void container_limit_cpu(struct container *c, int64_t quota_ns, int64_t period_ns)
{
    struct cpu_bucket *b = &c->cpu;
    int64_t total = cpu_total(c);
    lock_acquire(&b->lock);
    b->quota_ns = quota_ns;
    b->period_ns = period_ns;
    b->tokens = quota_ns;
    b->seen = total;
    b->period_end = time_now() + period_ns;
    lock_release(&b->lock);
    timer_arm(&b->timer, time_now());
}

void container_limit_tasks(struct container *c, unsigned max)
{
    LOCK_GUARD(&g_kernel.tasks_lock);
    c->tasks_limit = max;
}
