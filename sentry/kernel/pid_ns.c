/* PID namespaces: making them, and the end of one.
 *
 * States: without init (unshare(2) has made it, nobody is born yet) → living (init is its number 1)
 * → dying (init's last task has ended: everybody in it is killed, no one can be born) → held only
 * by those who remember a number. */
#include "kernel/kernel_priv.h"

#include "base/log.h"
#include <errno.h>
#include <linux/sched.h>
#include <stdlib.h>

static int pid_enter(struct task *t, struct ns *ns, struct ns_switch *sw);
static void pid_ns_free(struct ns *ns);
static struct ns *pid_ns_parent(struct ns *ns);

static const struct ns_ops g_pid_ops = {.kind = NS_PID,
                                        .name = "pid",
                                        .clone_flag = CLONE_NEWPID,
                                        .free = pid_ns_free,
                                        .enter = pid_enter,
                                        .parent = pid_ns_parent};
static struct pid_ns g_root_pid_ns;

static struct pid_ns *of_ns(struct ns *ns)
{
    return container_of(ns, struct pid_ns, ns);
}

void pid_ns_init(void)
{
    struct pid_ns *ns = &g_root_pid_ns;
    *ns = (struct pid_ns){.pid_max = 32768};
    ns_init(&ns->ns, &g_pid_ops, g_kernel.root_user_ns);
    ns->ns.id = 0xeffffffc;
    g_kernel.root_pid_ns = ns;
}

int pid_ns_new(struct pid_ns *parent, struct user_ns *owner, struct pid_ns **out)
{
    if (parent->level + 1 >= PID_NS_DEPTH)
        return -ENOSPC;
    struct pid_ns *ns = calloc(1, sizeof(*ns));
    if (!ns)
        return -ENOMEM;
    ns_init(&ns->ns, &g_pid_ops, owner);
    pid_ns_get(parent);
    ns->parent = parent;
    ns->level = parent->level + 1;
    ns->pid_max = parent->pid_max;
    *out = ns;
    return 0;
}

void pid_ns_get(struct pid_ns *ns)
{
    ns_get(&ns->ns);
}

void pid_ns_put(struct pid_ns *ns)
{
    ns_put(&ns->ns);
}

static void pid_ns_free(struct ns *ns)
{
    struct pid_ns *p = of_ns(ns);
    bug_on(p->pids.root);
    pid_ns_put(p->parent); /* as deep as namespaces nest */
    free(p);
}

static struct ns *pid_ns_parent(struct ns *ns)
{
    struct pid_ns *parent = of_ns(ns)->parent;
    return parent ? &parent->ns : NULL;
}

/* Into one's own or one below it; and only the children move. */
static int pid_enter(struct task *t, struct ns *ns, struct ns_switch *sw)
{
    struct pid_ns *to = of_ns(ns), *a, *own = t->process->pid_ns;
    int r = ns_may_enter(t, ns, sw);
    if (r)
        return r;
    for (a = to; a->level > own->level; a = a->parent)
        ;
    if (a != own)
        return -EINVAL;
    pid_ns_get(to);
    pid_ns_put(sw->set->pid_children);
    sw->set->pid_children = to;
    return 0;
}

/* ---- who lives in it ---- */

void pid_ns_enter_locked(struct process *p)
{
    struct pid_ns *ns = p->pid_ns;
    if (p->vpid == 1 && ns->level) {
        ns->init = p;
        p->unkillable = true;
    }
    for (; ns->level; ns = ns->parent)
        ns->process_count++;
}

void pid_ns_leave_locked(struct process *p)
{
    struct pid_ns *ns = p->pid_ns;
    if (ns->init == p)
        ns->init = NULL;
    for (; ns->level; ns = ns->parent) {
        ns->process_count--;
        if (ns->zapper)
            task_wake(ns->zapper);
    }
}

void pid_ns_unborn_locked(struct process *p)
{
    struct pid_ns *ns = p->pid_ns;
    bool init = ns->init == p;
    pid_ns_leave_locked(p);
    if (init)
        ns->last_pid = 0;
}

struct process *pid_ns_reaper_locked(struct process *p)
{
    struct process *init = p->pid_ns->level ? p->pid_ns->init : g_kernel.init;
    return init == p ? NULL : init;
}

/* ---- the end ---- */

static void zap_kill_locked(struct pid_ns *ns, struct process *init)
{
    struct pid *id;
    for (int nr = 0; (id = pid_next_locked(ns, nr)); nr = pid_nr(id, ns))
        if (id->process && id->process != init)
            process_exit_group(id->process, SIGKILL);
}

static bool zap_begin(struct task *t)
{
    struct process *p = t->process;
    struct pid_ns *ns = p->pid_ns;
    LOCK_GUARD(&g_kernel.tasks_lock);
    if (ns->init != p || ns->dying)
        return false;
    ns->dying = true;
    ns->zapper = t;
    lock_acquire(&p->sig_lock); /* who falls to it from here on is nobody's concern */
    p->actions[SIGCHLD - 1] = (struct sigaction_k){.handler = (uint64_t)SIG_IGN};
    lock_release(&p->sig_lock);
    zap_kill_locked(ns, p);
    return true;
}

static bool zap_done(struct pid_ns *ns)
{
    LOCK_GUARD(&g_kernel.tasks_lock);
    if (ns->process_count > 1)
        return false;
    ns->zapper = NULL;
    return true;
}

void pid_ns_zap(struct task *t)
{
    struct pid_ns *ns = t->process->pid_ns;
    if (!ns->level || !zap_begin(t))
        return;
    for (;;) {
        task_sleep_prepare(t);
        if (zap_done(ns))
            return;
        task_sleep_dying(t);
    }
}
