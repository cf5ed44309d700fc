/* CPU time, resource usage, limits.
 *
 * CPU time is measured by the task's own clock readings: from ctx_run to its return is user time,
 * the rest, less what task_sleep slept, is system time. It is wall time of a runnable task, so an
 * overcommitted host makes it larger than the host's own figure. */
#include "kernel/kernel_priv.h"

#include "base/overflow.h"
#include <errno.h>
#include <string.h>

/* ---- accounting
 * ----------------------------------------------------------------------------------- */

void time_account_begin(struct task *t)
{
    int64_t now = time_now(), since = t->current_since_ns;
    if (since) {
        int64_t busy = now - since - t->asleep_ns;
        if (busy > 0)
            __atomic_store_n(&t->stime_ns, t->stime_ns + busy, __ATOMIC_RELAXED);
    }
    t->asleep_ns = 0;
    __atomic_store_n(&t->current_since_ns, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&t->run_since_ns, now, __ATOMIC_RELAXED);
}

void time_account_end(struct task *t)
{
    int64_t now = time_now();
    __atomic_store_n(&t->utime_ns, t->utime_ns + now - t->run_since_ns, __ATOMIC_RELAXED);
    __atomic_store_n(&t->run_since_ns, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&t->current_since_ns, now, __ATOMIC_RELAXED);
}

void task_cpu_times(struct task *t, int64_t *utime_ns, int64_t *stime_ns)
{
    int64_t since = __atomic_load_n(&t->run_since_ns, __ATOMIC_RELAXED);
    *utime_ns = __atomic_load_n(&t->utime_ns, __ATOMIC_RELAXED);
    *stime_ns = __atomic_load_n(&t->stime_ns, __ATOMIC_RELAXED);
    if (since) {
        int64_t running = time_now() - since;
        *utime_ns += running > 0 ? running : 0;
    } else if (t == task_current() && t->current_since_ns) {
        *stime_ns += time_now() - t->current_since_ns - t->asleep_ns;
    }
}

static int64_t timeval_ns(const struct timeval *tv)
{
    return tv->tv_sec * NSEC_PER_SEC + tv->tv_usec * 1000;
}

static void process_cpu_times_locked(struct process *p, int64_t *utime_ns, int64_t *stime_ns)
{
    *utime_ns = timeval_ns(&p->dead_usage.ru_utime);
    *stime_ns = timeval_ns(&p->dead_usage.ru_stime);
    struct task *t;
    list_for_each(t, &p->tasks, process_node)
    {
        int64_t u, s;
        task_cpu_times(t, &u, &s);
        *utime_ns += u;
        *stime_ns += s;
    }
}

void process_cpu_times(struct process *p, int64_t *utime_ns, int64_t *stime_ns)
{
    LOCK_GUARD(&p->sig_lock);
    process_cpu_times_locked(p, utime_ns, stime_ns);
}

/* ---- rusage
 * --------------------------------------------------------------------------------------- */

static void timeval_set(struct timeval *tv, int64_t ns)
{
    tv->tv_sec = ns / NSEC_PER_SEC;
    tv->tv_usec = ns % NSEC_PER_SEC / 1000;
}

void usage_add_ns(struct timeval *tv, int64_t ns)
{
    timeval_set(tv, timeval_ns(tv) + ns);
}

void usage_add(struct rusage *to, const struct rusage *from)
{
    usage_add_ns(&to->ru_utime, timeval_ns(&from->ru_utime));
    usage_add_ns(&to->ru_stime, timeval_ns(&from->ru_stime));
    to->ru_maxrss = MAX(to->ru_maxrss, from->ru_maxrss);
    to->ru_minflt += from->ru_minflt;
    to->ru_majflt += from->ru_majflt;
    to->ru_inblock += from->ru_inblock;
    to->ru_oublock += from->ru_oublock;
    to->ru_nvcsw += from->ru_nvcsw;
    to->ru_nivcsw += from->ru_nivcsw;
}

void io_usage_add(struct io_usage *to, const struct io_usage *from)
{
    to->read_bytes += from->read_bytes;
    to->write_bytes += from->write_bytes;
    to->reads += from->reads;
    to->writes += from->writes;
}

void process_io_usage(struct process *p, struct io_usage *out)
{
    LOCK_GUARD(&p->sig_lock);
    struct task *t;
    *out = p->dead_io;
    list_for_each(t, &p->tasks, process_node) if (!t->exiting) io_usage_add(out, &t->io);
}

static void usage_add_task(struct rusage *u, struct task *t)
{
    u->ru_minflt += t->min_flt;
    u->ru_majflt += t->maj_flt;
    u->ru_nvcsw += t->nvcsw;
    u->ru_nivcsw += t->nivcsw;
}

void usage_process(struct process *p, struct rusage *out)
{
    int64_t utime, stime;
    LOCK_GUARD(&p->sig_lock);
    *out = p->dead_usage;
    process_cpu_times_locked(p, &utime, &stime);
    timeval_set(&out->ru_utime, utime);
    timeval_set(&out->ru_stime, stime);
    struct task *t;
    list_for_each(t, &p->tasks, process_node) if (!t->exiting) usage_add_task(out, t);
}

static void usage_self(struct task *t, struct rusage *out)
{
    struct mm_usage mu = {0};
    usage_process(t->process, out);
    mm_usage_get(t->mm, &mu);
    out->ru_maxrss = MAX(out->ru_maxrss, (long)(mu.rss_peak >> 10));
}

static void usage_thread(struct task *t, struct rusage *out)
{
    int64_t utime, stime;
    memset(out, 0, sizeof(*out));
    task_cpu_times(t, &utime, &stime);
    timeval_set(&out->ru_utime, utime);
    timeval_set(&out->ru_stime, stime);
    usage_add_task(out, t);
}

int usage_get(struct task *t, int who, struct rusage *out)
{
    switch (who) {
    case RUSAGE_SELF:
        usage_self(t, out);
        return 0;
    case RUSAGE_CHILDREN: {
        LOCK_GUARD(&t->process->sig_lock);
        *out = t->process->child_usage;
        return 0;
    }
    case RUSAGE_THREAD:
        usage_thread(t, out);
        return 0;
    }
    return -EINVAL;
}

int cpu_clock_get(struct task *t, int clockid, int64_t *ns)
{
    int64_t u, s;
    struct task *target = t;
    bool thread = clockid == CLOCK_THREAD_CPUTIME_ID;
    if (clockid < 0) { /* the clocks of clock_getcpuclockid and pthread_getcpuclockid */
        int id = ~(clockid >> 3), which = clockid & 3;
        thread = clockid & 4;
        if (which == 3)
            return -EINVAL; /* a dynamic clock's descriptor */
        target = id ? task_lookup(id) : t;
        if (!target)
            return -EINVAL;
        if (target == t)
            task_get(t);
    } else if (thread || clockid == CLOCK_PROCESS_CPUTIME_ID) {
        task_get(t);
    } else {
        return -EINVAL;
    }
    int r = thread && target->process != t->process ? -EINVAL : 0;
    if (thread)
        task_cpu_times(target, &u, &s);
    else
        process_cpu_times(target->process, &u, &s);
    task_put(target);
    *ns = u + s;
    return r;
}

/* ---- limits
 * --------------------------------------------------------------------------------------- */

uint64_t rlimit_get(struct process *p, int resource)
{
    return __atomic_load_n(&p->rlimits[resource].rlim_cur, __ATOMIC_RELAXED);
}

void rlimits_default(struct rlimit64 *out)
{
    for (int i = 0; i < RLIM_NLIMITS; i++)
        out[i] = (struct rlimit64){RLIM64_INFINITY, RLIM64_INFINITY};
    out[RLIMIT_STACK].rlim_cur = 8 << 20;
    out[RLIMIT_CORE].rlim_cur = 0;
    out[RLIMIT_NOFILE] = (struct rlimit64){1024, 1048576};
    out[RLIMIT_MEMLOCK] = (struct rlimit64){8 << 20, 8 << 20};
    out[RLIMIT_NPROC] = (struct rlimit64){TASKS_MAX, TASKS_MAX};
    out[RLIMIT_SIGPENDING] = (struct rlimit64){TASKS_MAX, TASKS_MAX};
    out[RLIMIT_MSGQUEUE] = (struct rlimit64){819200, 819200};
    out[RLIMIT_NICE] = out[RLIMIT_RTPRIO] = (struct rlimit64){0, 0};
}

void mm_limits_update(struct process *p, struct mm *mm)
{
    struct mm_limits l = {.as = rlimit_get(p, RLIMIT_AS),
                          .data = rlimit_get(p, RLIMIT_DATA),
                          .stack = rlimit_get(p, RLIMIT_STACK),
                          .memlock = rlimit_get(p, RLIMIT_MEMLOCK)};
    mm_limits_set(mm, &l);
}

static int rlimit_check(struct task *t, int resource, const struct rlimit64 *next,
                        const struct rlimit64 *now)
{
    if (next->rlim_cur > next->rlim_max)
        return -EINVAL;
    if (resource == RLIMIT_NOFILE && next->rlim_max > 1048576)
        return -EPERM;
    if (next->rlim_max > now->rlim_max && !cred_has_cap(t->cred, CAP_SYS_RESOURCE))
        return -EPERM;
    return 0;
}

static void rlimit_apply(struct process *p, int resource)
{
    if (resource == RLIMIT_CPU)
        cpu_timer_rearm(p);
    lock_acquire(&g_kernel.tasks_lock);
    struct mm *mm = p->leader ? task_mm_get(p->leader) : NULL;
    lock_release(&g_kernel.tasks_lock);
    if (!mm)
        return;
    mm_limits_update(p, mm);
    mm_put(mm);
}

int rlimit_change(struct task *t, struct process *p, int resource, const struct rlimit64 *next,
                  struct rlimit64 *old)
{
    if (resource < 0 || resource >= RLIM_NLIMITS)
        return -EINVAL;
    lock_acquire(&p->sig_lock);
    struct rlimit64 *r = &p->rlimits[resource];
    *old = *r;
    int err = next ? rlimit_check(t, resource, next, r) : 0;
    if (next && !err)
        *r = *next;
    lock_release(&p->sig_lock);
    if (next && !err)
        rlimit_apply(p, resource);
    return err;
}
