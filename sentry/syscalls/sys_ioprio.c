/* Disk priorities: kept and told, without an effect on the host's disks. */
#include "syscalls/syscalls.h"

#include <errno.h>
#include <linux/ioprio.h>
#include <sched.h>

struct io_walk {
    struct task *t;
    int which, who;
    bool set;
    int prio; /* to set, or the best one found */
    int result;
};

static int class_of(int prio)
{
    return prio >> IOPRIO_CLASS_SHIFT & 7;
}

/* What a task without a priority of its own has: by its scheduling policy and niceness. */
static int effective(struct task *o)
{
    if (class_of(o->ioprio))
        return o->ioprio;
    int level = (o->nice + 20) / 5, policy = o->sched_policy;
    if (policy == SCHED_IDLE)
        return IOPRIO_CLASS_IDLE << IOPRIO_CLASS_SHIFT;
    bool rt = policy == SCHED_FIFO || policy == SCHED_RR;
    return (rt ? IOPRIO_CLASS_RT : IOPRIO_CLASS_BE) << IOPRIO_CLASS_SHIFT | level;
}

static bool matches(const struct io_walk *w, struct process *p, struct task *o)
{
    if (w->which == IOPRIO_WHO_PROCESS)
        return o->tid == w->who;
    if (w->which == IOPRIO_WHO_PGRP)
        return process_pgid(p) == w->who;
    struct cred *c = task_cred_get(o);
    bool same = c->uid == (uint32_t)w->who;
    cred_put(c);
    return same;
}

static int may_set(struct task *t, struct task *o)
{
    struct cred *c = task_cred_get(o);
    bool ok = c->uid == t->cred->euid || c->uid == t->cred->uid;
    cred_put(c);
    return ok || cred_has_cap(t->cred, CAP_SYS_NICE) ? 0 : -EPERM;
}

static void visit(struct io_walk *w, struct task *o)
{
    if (w->set) {
        w->result = may_set(w->t, o);
        if (!w->result)
            o->ioprio = w->prio;
        return;
    }
    int prio = w->which == IOPRIO_WHO_PROCESS ? o->ioprio : effective(o);
    if (w->result || prio < w->prio)
        w->prio = prio;
    w->result = 0;
}

static void walk(struct io_walk *w)
{
    struct process *p;
    for (int pid = 0; (p = process_next(pid)); process_put(p)) {
        struct task *o;
        pid = p->pid;
        for (int tid = 0; (o = task_next(p, tid)); task_put(o)) {
            tid = o->tid;
            if (matches(w, p, o) && !(w->set && w->result && w->result != -ESRCH))
                visit(w, o);
        }
    }
}

static int prepare(struct task *t, const struct sysargs *a, struct io_walk *w)
{
    *w = (struct io_walk){.t = t, .which = a->v[0], .who = a->v[1], .result = -ESRCH};
    if (w->which < IOPRIO_WHO_PROCESS || w->which > IOPRIO_WHO_USER)
        return -EINVAL;
    if (!w->who)
        w->who = w->which == IOPRIO_WHO_PROCESS ? t->tid
                 : w->which == IOPRIO_WHO_PGRP  ? process_pgid(t->process)
                                                : (int)t->cred->uid;
    return 0;
}

static int check_prio(struct task *t, int prio)
{
    switch (class_of(prio)) {
    case IOPRIO_CLASS_RT:
        return cred_has_cap(t->cred, CAP_SYS_ADMIN) || cred_has_cap(t->cred, CAP_SYS_NICE) ? 0
                                                                                           : -EPERM;
    case IOPRIO_CLASS_BE:
    case IOPRIO_CLASS_IDLE:
        return 0;
    case IOPRIO_CLASS_NONE:
        return prio & 7 ? -EINVAL : 0;
    }
    return -EINVAL;
}

int64_t sys_ioprio_set(struct task *t, const struct sysargs *a)
{
    struct io_walk w;
    int r = check_prio(t, (int)a->v[2]);
    if (!r)
        r = prepare(t, a, &w);
    if (r)
        return r;
    w.set = true;
    w.prio = a->v[2];
    walk(&w);
    return w.result;
}

int64_t sys_ioprio_get(struct task *t, const struct sysargs *a)
{
    struct io_walk w;
    int r = prepare(t, a, &w);
    if (r)
        return r;
    walk(&w);
    return w.result ? w.result : w.prio;
}
