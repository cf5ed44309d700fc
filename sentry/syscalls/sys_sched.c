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
    int which, who, id; /* id: whom who means */
    bool set;
    int nice;   /* to set */
    int best;   /* highest priority found, as 20-nice */
    int result; /* of the walk */
};

static bool prio_matches(const struct prio_walk *w, struct process *p, struct task *o)
{
    switch (w->which) {
    case PRIO_PROCESS:
        return o->tid == w->id;
    case PRIO_PGRP:
        return process_pgid(p) == w->id;
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
    w->id = task_means_id(t, w->who);
    if (!w->who)
        w->id = w->which == PRIO_PROCESS ? t->tid : process_pgid(t->process);
    if (!w->who && w->which == PRIO_USER)
        w->who = t->cred->uid;
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

#define POLICY_DEADLINE 6
#define POLICY_KEEP     (-1) /* sched_setparam, SCHED_FLAG_KEEP_POLICY */

#define ATTR_RESET_ON_FORK 0x01
#define ATTR_KEEP_POLICY   0x08
#define ATTR_KEEP_PARAMS   0x10
#define ATTR_UTIL_CLAMP    0x60
#define ATTR_FLAGS_ALL     0x7f

struct sched_attr_k {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
    uint32_t util_min, util_max;
};
#define ATTR_SIZE_0 48 /* of the first version, without the clamps */

static bool policy_is_rt(int policy)
{
    return policy == SCHED_FIFO || policy == SCHED_RR;
}

static bool policy_is_fair(int policy)
{
    return policy == SCHED_OTHER || policy == SCHED_BATCH;
}

static bool policy_known(int policy)
{
    return policy_is_fair(policy) || policy_is_rt(policy) || policy == SCHED_IDLE ||
           policy == POLICY_DEADLINE;
}

#define DL_RUNTIME_MIN 1024
#define DL_PERIOD_MIN  100000ull             /* 100 us, sched_deadline_period_min_us */
#define DL_PERIOD_MAX  ((1ull << 22) * 1000) /* sched_deadline_period_max_us */

static bool deadline_params_ok(struct sched_attr_k *k)
{
    if (!k->deadline || (int64_t)k->deadline < 0 || (int64_t)k->period < 0)
        return false;
    if (!k->period)
        k->period = k->deadline;
    return k->runtime >= DL_RUNTIME_MIN && k->deadline >= k->runtime && k->period >= k->deadline &&
           k->period >= DL_PERIOD_MIN && k->period <= DL_PERIOD_MAX;
}

static bool nice_within_limit(struct task *o, int nice)
{
    return nice >= o->nice || (uint64_t)(20 - nice) <= rlimit_get(o->process, RLIMIT_NICE);
}

/* What one without CAP_SYS_NICE may do to o. */
static int policy_permitted(struct task *t, struct task *o, const struct sched_attr_k *k,
                            int policy)
{
    uint64_t rt = rlimit_get(o->process, RLIMIT_RTPRIO);
    if (cred_has_cap(t->cred, CAP_SYS_NICE))
        return 0;
    if (policy_is_fair(policy) && !nice_within_limit(o, k->nice))
        return -EPERM;
    if (policy_is_rt(policy) && ((policy != o->sched_policy && !rt) ||
                                 ((int)k->priority > o->sched_priority && k->priority > rt)))
        return -EPERM;
    if (policy == POLICY_DEADLINE)
        return -EPERM;
    if (o->sched_policy == SCHED_IDLE && policy != SCHED_IDLE &&
        (uint64_t)(20 - o->nice) > rlimit_get(o->process, RLIMIT_NICE))
        return -EPERM;
    if (o->sched_reset_on_fork && !(k->flags & ATTR_RESET_ON_FORK))
        return -EPERM;
    return may_change(t, o);
}

static int policy_check(struct task *t, struct task *o, struct sched_attr_k *k, int policy)
{
    if (!policy_known(policy) || (k->flags & ~(uint64_t)ATTR_FLAGS_ALL) || k->priority > 99)
        return -EINVAL;
    if (policy == POLICY_DEADLINE && !deadline_params_ok(k))
        return -EINVAL;
    if (policy_is_rt(policy) != (k->priority != 0))
        return -EINVAL;
    if (k->flags & ATTR_UTIL_CLAMP)
        return -EOPNOTSUPP;
    return policy_permitted(t, o, k, policy);
}

static void policy_store(struct task *o, const struct sched_attr_k *k, int policy)
{
    LOCK_GUARD(&o->lock);
    bool dl = policy == POLICY_DEADLINE;
    o->sched_policy = policy;
    o->sched_priority = k->priority;
    o->sched_reset_on_fork = k->flags & ATTR_RESET_ON_FORK;
    o->sched_runtime = dl ? k->runtime : 0;
    o->sched_deadline = dl ? k->deadline : 0;
    o->sched_period = dl ? k->period : 0;
    if (policy_is_fair(policy))
        o->nice = k->nice;
}

static void attr_of(struct task *o, struct sched_attr_k *k)
{
    LOCK_GUARD(&o->lock);
    *k = (struct sched_attr_k){.size = sizeof(*k),
                               .policy = o->sched_policy,
                               .flags = o->sched_reset_on_fork ? ATTR_RESET_ON_FORK : 0,
                               .priority = o->sched_priority,
                               .runtime = o->sched_runtime,
                               .deadline = o->sched_deadline,
                               .period = o->sched_period};
    if (policy_is_fair(k->policy))
        k->nice = o->nice;
}

/* policy POLICY_KEEP: as it is, reset-on-fork included. */
static int policy_set(struct task *t, struct task *o, struct sched_attr_k *k, int policy)
{
    struct sched_attr_k now;
    attr_of(o, &now);
    if (k->flags & ATTR_KEEP_PARAMS) {
        k->nice = now.nice, k->priority = now.priority;
        k->runtime = now.runtime, k->deadline = now.deadline, k->period = now.period;
    }
    if (policy == POLICY_KEEP) {
        policy = now.policy;
        k->flags = (k->flags & ~(uint64_t)ATTR_RESET_ON_FORK) | now.flags;
    }
    int r = policy_check(t, o, k, policy);
    if (!r)
        policy_store(o, k, policy);
    return r;
}

/* sched_setscheduler and sched_setparam: all but the priority stays. */
static int64_t scheduler_set(struct task *t, int pid, int policy, uint64_t param)
{
    struct sched_attr_k k = {0};
    if (!param || pid < 0)
        return -EINVAL;
    if (uaccess_read_obj(t->mm, &k.priority, uaddr(param)))
        return -EFAULT;
    struct task *o = target_get(t, pid);
    if (!o)
        return -ESRCH;
    k.nice = o->nice;
    if (policy != POLICY_KEEP && (policy & RESET_ON_FORK_K)) {
        k.flags = ATTR_RESET_ON_FORK;
        policy &= ~RESET_ON_FORK_K;
    }
    int r = policy_set(t, o, &k, policy);
    task_put(o);
    return r;
}

int64_t sys_sched_setscheduler(struct task *t, const struct sysargs *a)
{
    int policy = a->v[1];
    return policy < 0 ? -EINVAL : scheduler_set(t, (int)a->v[0], policy, a->v[2]);
}

int64_t sys_sched_setparam(struct task *t, const struct sysargs *a)
{
    return scheduler_set(t, (int)a->v[0], POLICY_KEEP, a->v[1]);
}

static int attr_get(struct task *t, int pid, struct sched_attr_k *k)
{
    if (pid < 0)
        return -EINVAL;
    struct task *o = target_get(t, pid);
    if (!o)
        return -ESRCH;
    attr_of(o, k);
    task_put(o);
    return 0;
}

int64_t sys_sched_getscheduler(struct task *t, const struct sysargs *a)
{
    struct sched_attr_k k;
    int r = attr_get(t, (int)a->v[0], &k);
    return r ? r : (int64_t)(k.policy | (k.flags & ATTR_RESET_ON_FORK ? RESET_ON_FORK_K : 0));
}

int64_t sys_sched_getparam(struct task *t, const struct sysargs *a)
{
    struct sched_attr_k k;
    if (!a->v[1])
        return -EINVAL;
    int r = attr_get(t, (int)a->v[0], &k);
    return r ? r : uaccess_write_obj(t->mm, uaddr(a->v[1]), &k.priority);
}

int64_t sys_sched_get_priority_max(struct task *t, const struct sysargs *a)
{
    int policy = a->v[0];
    if (policy_is_rt(policy))
        return 99;
    return policy_known(policy) ? 0 : -EINVAL;
}

int64_t sys_sched_get_priority_min(struct task *t, const struct sysargs *a)
{
    int64_t max = sys_sched_get_priority_max(t, a);
    return max > 0 ? 1 : max;
}

int64_t sys_sched_rr_get_interval(struct task *t, const struct sysargs *a)
{
    struct sched_attr_k k;
    int r = attr_get(t, (int)a->v[0], &k);
    if (r)
        return r;
    int64_t ms = k.policy == SCHED_RR ? __atomic_load_n(&g_sched_rr_timeslice_ms, __ATOMIC_RELAXED)
                 : policy_is_fair(k.policy) ? 4
                                            : 0;
    struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    return uaccess_write_obj(t->mm, uaddr(a->v[1]), &ts);
}

/* A struct of another size than ours: the caller is told what we know. */
static int attr_refuse_size(struct task *t, uint64_t ua)
{
    uint32_t ours = sizeof(struct sched_attr_k);
    return uaccess_write_obj(t->mm, uaddr(ua), &ours) ? -EFAULT : -E2BIG;
}

static int attr_import(struct task *t, uint64_t ua, struct sched_attr_k *k)
{
    uint32_t size;
    uint8_t tail[256];
    memset(k, 0, sizeof(*k));
    if (uaccess_read_obj(t->mm, &size, uaddr(ua)))
        return -EFAULT;
    if (!size)
        size = ATTR_SIZE_0;
    if (size < ATTR_SIZE_0 || size > 4096)
        return attr_refuse_size(t, ua);
    if (uaccess_read(t->mm, k, uaddr(ua), MIN(size, (uint32_t)sizeof(*k))))
        return -EFAULT;
    for (uint32_t at = sizeof(*k); at < size;) {
        uint32_t n = MIN(size - at, (uint32_t)sizeof(tail));
        if (uaccess_read(t->mm, tail, uaddr(ua + at), n))
            return -EFAULT;
        for (uint32_t i = 0; i < n; i++)
            if (tail[i])
                return attr_refuse_size(t, ua);
        at += n;
    }
    if ((k->flags & ATTR_UTIL_CLAMP) && size < sizeof(*k))
        return -EINVAL;
    k->nice = k->nice < NICE_MIN ? NICE_MIN : k->nice > NICE_MAX ? NICE_MAX : k->nice;
    return 0;
}

int64_t sys_sched_setattr(struct task *t, const struct sysargs *a)
{
    struct sched_attr_k k;
    if (!a->v[1] || (int)a->v[0] < 0 || a->v[2])
        return -EINVAL;
    int r = attr_import(t, a->v[1], &k);
    if (r)
        return r;
    if ((int)k.policy < 0)
        return -EINVAL;
    struct task *o = target_get(t, (int)a->v[0]);
    if (!o)
        return -ESRCH;
    r = policy_set(t, o, &k, k.flags & ATTR_KEEP_POLICY ? POLICY_KEEP : (int)k.policy);
    task_put(o);
    return r;
}

int64_t sys_sched_getattr(struct task *t, const struct sysargs *a)
{
    struct sched_attr_k k;
    uint32_t size = a->v[2];
    if (!a->v[1] || (int)a->v[0] < 0 || size < ATTR_SIZE_0 || size > 4096 || a->v[3])
        return -EINVAL;
    int r = attr_get(t, (int)a->v[0], &k);
    if (r)
        return r;
    k.size = MIN(size, (uint32_t)sizeof(k));
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
