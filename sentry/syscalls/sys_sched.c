/* Scheduling parameters: kept and reported truly, without an effect on the host's scheduler. */
#include "syscalls/syscalls.h"

#include "base/overflow.h"
#include <errno.h>
#include <sched.h>
#include <string.h>

#define RESET_ON_FORK_K 0x40000000
#define NICE_MIN        (-20)
#define NICE_MAX        19

/* pid 0 is the caller. Counted, or NULL. */
static struct task *target_get(struct task *t, int pid)
{
    if (pid)
        return task_lookup(pid);
    task_get(t);
    return t;
}

static int may_change(struct task *t, struct task *o)
{
    if (o == t || cred_has_cap(t->cred, CAP_SYS_NICE))
        return 0;
    struct cred *c = task_cred_get(o);
    bool same = t->cred->euid == c->uid || t->cred->euid == c->euid;
    cred_put(c);
    return same ? 0 : -EPERM;
}

int64_t sys_sched_yield(struct task *t, const struct sysargs *a)
{
    sched_yield();
    return 0;
}

/* ---- nice -------------------------------------------------------------------------------------
 */

static int nice_may(struct task *t, struct task *o, int nice)
{
    int r = may_change(t, o);
    if (r)
        return r;
    if (nice >= o->nice || cred_has_cap(t->cred, CAP_SYS_NICE))
        return 0;
    return (uint64_t)(20 - nice) <= rlimit_get(o->process, RLIMIT_NICE) ? 0 : -EACCES;
}

struct prio_walk {
    struct task *t;
    int which, who;
    bool set;
    int nice;   /* to set */
    int best;   /* highest priority found, as 20-nice */
    int result; /* of the walk */
};

static bool prio_matches(const struct prio_walk *w, struct process *p, struct task *o)
{
    switch (w->which) {
    case PRIO_PROCESS:
        return o->tid == w->who;
    case PRIO_PGRP:
        return process_pgid(p) == w->who;
    default: {
        struct cred *c = task_cred_get(o);
        bool same = c->uid == (uint32_t)w->who;
        cred_put(c);
        return same;
    }
    }
}

static void prio_visit(struct prio_walk *w, struct task *o)
{
    if (!w->set) {
        w->best = MAX(w->best, 20 - o->nice);
        w->result = 0;
        return;
    }
    int r = nice_may(w->t, o, w->nice);
    if (!r)
        o->nice = w->nice;
    if (r || w->result == -ESRCH)
        w->result = r;
}

static void prio_walk(struct prio_walk *w)
{
    struct process *p;
    for (int pid = 0; (p = process_next(pid));) {
        struct task *o;
        pid = p->pid;
        for (int tid = 0; (o = task_next(p, tid));) {
            tid = o->tid;
            if (prio_matches(w, p, o))
                prio_visit(w, o);
            task_put(o);
        }
        process_put(p);
    }
}

static int prio_prepare(struct task *t, const struct sysargs *a, struct prio_walk *w)
{
    *w = (struct prio_walk){.t = t, .which = a->v[0], .who = a->v[1], .result = -ESRCH};
    if (w->which < PRIO_PROCESS || w->which > PRIO_USER)
        return -EINVAL;
    if (!w->who)
        w->who = w->which == PRIO_PROCESS ? t->tid
                 : w->which == PRIO_PGRP  ? process_pgid(t->process)
                                          : (int)t->cred->uid;
    return 0;
}

int64_t sys_getpriority(struct task *t, const struct sysargs *a)
{
    struct prio_walk w;
    int r = prio_prepare(t, a, &w);
    if (r)
        return r;
    prio_walk(&w);
    return w.result ? w.result : w.best;
}

int64_t sys_setpriority(struct task *t, const struct sysargs *a)
{
    struct prio_walk w;
    int r = prio_prepare(t, a, &w), nice = a->v[2];
    if (r)
        return r;
    w.set = true;
    w.nice = nice < NICE_MIN ? NICE_MIN : nice > NICE_MAX ? NICE_MAX : nice;
    prio_walk(&w);
    return w.result;
}

/* ---- policies ---------------------------------------------------------------------------------
 */

static bool policy_is_rt(int policy)
{
    return policy == SCHED_FIFO || policy == SCHED_RR;
}

static int policy_check(struct task *t, struct task *o, int policy, int priority)
{
    if (policy != SCHED_OTHER && policy != SCHED_BATCH && policy != SCHED_IDLE &&
        !policy_is_rt(policy))
        return -EINVAL;
    if (policy_is_rt(policy) ? priority < 1 || priority > 99 : priority != 0)
        return -EINVAL;
    int r = may_change(t, o);
    if (r || !policy_is_rt(policy) || cred_has_cap(t->cred, CAP_SYS_NICE))
        return r;
    return (uint64_t)priority <= rlimit_get(o->process, RLIMIT_RTPRIO) ? 0 : -EPERM;
}

static int policy_set(struct task *t, int pid, int policy, int priority, bool reset)
{
    struct task *o = target_get(t, pid);
    if (!o)
        return -ESRCH;
    int r = policy_check(t, o, policy, priority);
    if (!r) {
        LOCK_GUARD(&o->lock);
        o->sched_policy = policy;
        o->sched_priority = priority;
        o->sched_reset_on_fork = reset;
    }
    task_put(o);
    return r;
}

static int policy_get(struct task *t, int pid, int *policy, int *priority)
{
    struct task *o = pid < 0 ? NULL : target_get(t, pid);
    if (!o)
        return pid < 0 ? -EINVAL : -ESRCH;
    lock_acquire(&o->lock);
    *policy = o->sched_policy | (o->sched_reset_on_fork ? RESET_ON_FORK_K : 0);
    *priority = o->sched_priority;
    lock_release(&o->lock);
    task_put(o);
    return 0;
}

int64_t sys_sched_setscheduler(struct task *t, const struct sysargs *a)
{
    int32_t priority;
    int policy = a->v[1];
    if ((int)a->v[0] < 0 || policy < 0 || !a->v[2])
        return -EINVAL;
    if (uaccess_read_obj(t->mm, &priority, uaddr(a->v[2])))
        return -EFAULT;
    return policy_set(t, (int)a->v[0], policy & ~RESET_ON_FORK_K, priority,
                      policy & RESET_ON_FORK_K);
}

int64_t sys_sched_setparam(struct task *t, const struct sysargs *a)
{
    int32_t priority;
    int policy, old;
    if ((int)a->v[0] < 0 || !a->v[1])
        return -EINVAL;
    if (uaccess_read_obj(t->mm, &priority, uaddr(a->v[1])))
        return -EFAULT;
    int r = policy_get(t, (int)a->v[0], &policy, &old);
    return r ? r
             : policy_set(t, (int)a->v[0], policy & ~RESET_ON_FORK_K, priority,
                          policy & RESET_ON_FORK_K);
}

int64_t sys_sched_getscheduler(struct task *t, const struct sysargs *a)
{
    int policy, priority;
    int r = policy_get(t, (int)a->v[0], &policy, &priority);
    return r ? r : policy;
}

int64_t sys_sched_getparam(struct task *t, const struct sysargs *a)
{
    int policy;
    int32_t priority;
    if (!a->v[1])
        return -EINVAL;
    int r = policy_get(t, (int)a->v[0], &policy, &priority);
    return r ? r : uaccess_write_obj(t->mm, uaddr(a->v[1]), &priority);
}

int64_t sys_sched_get_priority_max(struct task *t, const struct sysargs *a)
{
    int policy = a->v[0];
    if (policy_is_rt(policy))
        return 99;
    return policy == SCHED_OTHER || policy == SCHED_BATCH || policy == SCHED_IDLE || policy == 6
               ? 0
               : -EINVAL;
}

int64_t sys_sched_get_priority_min(struct task *t, const struct sysargs *a)
{
    int64_t max = sys_sched_get_priority_max(t, a);
    return max > 0 ? 1 : max;
}

int64_t sys_sched_rr_get_interval(struct task *t, const struct sysargs *a)
{
    int policy, priority;
    int r = policy_get(t, (int)a->v[0], &policy, &priority);
    if (r)
        return r;
    policy &= ~RESET_ON_FORK_K;
    struct timespec ts = {.tv_nsec = policy == SCHED_RR     ? 100000000
                                     : policy == SCHED_FIFO ? 0
                                                            : 4000000};
    return uaccess_write_obj(t->mm, uaddr(a->v[1]), &ts);
}

struct sched_attr_k {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
    uint32_t util_min, util_max;
};

int64_t sys_sched_setattr(struct task *t, const struct sysargs *a)
{
    struct sched_attr_k k = {0};
    uint32_t size;
    if (!a->v[1] || (int)a->v[0] < 0 || a->v[2])
        return -EINVAL;
    if (uaccess_read_obj(t->mm, &size, uaddr(a->v[1])))
        return -EFAULT;
    if (!size)
        size = 48;
    if (size < 48 || size > 4096)
        return -E2BIG;
    if (uaccess_read(t->mm, &k, uaddr(a->v[1]), MIN(size, (uint32_t)sizeof(k))))
        return -EFAULT;
    if ((int)k.policy < 0 || (k.flags & ~0x7full))
        return -EINVAL;
    int r = policy_set(t, (int)a->v[0], k.policy, k.priority, k.flags & 1);
    if (r || policy_is_rt(k.policy))
        return r;
    struct sysargs p = {.v = {PRIO_PROCESS, a->v[0], k.nice}};
    return sys_setpriority(t, &p);
}

int64_t sys_sched_getattr(struct task *t, const struct sysargs *a)
{
    struct sched_attr_k k = {.size = sizeof(k), .util_max = 1024};
    int policy, priority;
    uint64_t size = a->v[2];
    if (!a->v[1] || size < 48 || size > 4096 || a->v[3])
        return -EINVAL;
    int r = policy_get(t, (int)a->v[0], &policy, &priority);
    if (r)
        return r;
    struct task *o = target_get(t, (int)a->v[0]);
    if (!o)
        return -ESRCH;
    k.policy = policy & ~RESET_ON_FORK_K;
    k.flags = policy & RESET_ON_FORK_K ? 1 : 0;
    k.priority = priority;
    k.nice = policy_is_rt(k.policy) ? 0 : o->nice;
    task_put(o);
    k.size = MIN(size, sizeof(k));
    return uaccess_write(t->mm, uaddr(a->v[1]), &k, k.size);
}

/* ---- processors -------------------------------------------------------------------------------
 */

static void cpus_possible(uint64_t mask[TASK_CPU_WORDS])
{
    memset(mask, 0, TASK_CPU_WORDS * 8);
    for (unsigned i = 0; i < g_kernel.cpu_count && i < TASK_CPU_WORDS * 64; i++)
        mask[i / 64] |= 1ull << (i % 64);
}

int64_t sys_sched_setaffinity(struct task *t, const struct sysargs *a)
{
    uint64_t mask[TASK_CPU_WORDS] = {0}, possible[TASK_CPU_WORDS], any = 0;
    if (uaccess_read(t->mm, mask, uaddr(a->v[2]), MIN((uint32_t)a->v[1], (uint32_t)sizeof(mask))))
        return -EFAULT;
    struct task *o = target_get(t, (int)a->v[0]);
    if (!o)
        return -ESRCH;
    int r = may_change(t, o);
    cpus_possible(possible);
    for (int i = 0; i < TASK_CPU_WORDS; i++)
        any |= mask[i] &= possible[i];
    if (!r && !any)
        r = -EINVAL;
    if (!r) {
        LOCK_GUARD(&o->lock);
        memcpy(o->affinity, mask, sizeof(mask));
    }
    task_put(o);
    return r;
}

int64_t sys_sched_getaffinity(struct task *t, const struct sysargs *a)
{
    uint32_t size = a->v[1], need = (MIN(g_kernel.cpu_count, TASK_CPU_WORDS * 64u) + 63) / 64 * 8;
    uint64_t mask[TASK_CPU_WORDS];
    if (size * 8ull < g_kernel.cpu_count || (size & 7))
        return -EINVAL;
    struct task *o = target_get(t, (int)a->v[0]);
    if (!o)
        return -ESRCH;
    lock_acquire(&o->lock);
    memcpy(mask, o->affinity, sizeof(mask));
    lock_release(&o->lock);
    task_put(o);
    size = MIN(size, need);
    if (uaccess_write(t->mm, uaddr(a->v[2]), mask, size))
        return -EFAULT;
    return size;
}

/* Some processor that the task may run on: where its host thread is, if that is one of them. */
static unsigned cpu_now(struct task *t)
{
    unsigned cpu = (unsigned)sched_getcpu() % g_kernel.cpu_count;
    if (cpu < TASK_CPU_WORDS * 64 && (t->affinity[cpu / 64] & 1ull << (cpu % 64)))
        return cpu;
    for (unsigned i = 0; i < TASK_CPU_WORDS; i++)
        if (t->affinity[i])
            return i * 64 + __builtin_ctzll(t->affinity[i]);
    return 0;
}

int64_t sys_getcpu(struct task *t, const struct sysargs *a)
{
    uint32_t cpu = cpu_now(t), node = 0;
    if (a->v[0] && uaccess_write_obj(t->mm, uaddr(a->v[0]), &cpu))
        return -EFAULT;
    return a->v[1] ? uaccess_write_obj(t->mm, uaddr(a->v[1]), &node) : 0;
}

int64_t sys_ioprio_set(struct task *t, const struct sysargs *a)
{
    int which = a->v[0], class = (int)a->v[2] >> 13;
    if (which < 1 || which > 3 || class < 0 || class > 3)
        return -EINVAL;
    return class == 1 && !cred_has_cap(t->cred, CAP_SYS_ADMIN) ? -EPERM : 0;
}

int64_t sys_ioprio_get(struct task *t, const struct sysargs *a)
{
    int which = a->v[0];
    return which < 1 || which > 3 ? -EINVAL : 4;
}
