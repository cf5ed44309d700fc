/* Signals: queueing them and choosing who hears. signal_deliver.c takes them out again.
 *
 * Two queues can hold a signal: the task's own and the process's shared one, both under sig_lock.
 * A queued signal that its target does not block sets TASK_NOTIFY_SIGNAL there and kicks it. A
 * fatal one ends the whole process at once, without waiting for the target to look. */
#include "kernel/kernel_priv.h"

#include "base/log.h"
#include "kernel/signal_priv.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

void sigpending_init(struct sigpending *p)
{
    p->set = 0;
    list_init(&p->queue);
}

static void sigqueue_free_locked(struct process *p, struct sigqueue *q)
{
    list_del(&q->node);
    p->sig_queued--;
    free(q);
}

/* Forget every queued signal of mask. */
static void sigpending_remove_locked(struct process *p, struct sigpending *sp, sigmask_t mask)
{
    if (!(sp->set & mask))
        return;
    struct sigqueue *q, *tmp;
    list_for_each_safe(q, tmp, &sp->queue, node) if (mask & SIGMASK(q->info.si_signo))
        sigqueue_free_locked(p, q);
    sp->set &= ~mask;
}

void sigpending_flush_locked(struct process *p, struct sigpending *sp)
{
    sigpending_remove_locked(p, sp, ~0ull);
}

void signal_remove_locked(struct process *p, sigmask_t mask)
{
    sigpending_remove_locked(p, &p->shared_pending, mask);
    struct task *t;
    list_for_each(t, &p->tasks, process_node) sigpending_remove_locked(p, &t->pending, mask);
}

void signal_recalc_locked(struct task *t)
{
    struct process *p = t->process;
    uint32_t want = 0;
    if ((t->pending.set | p->shared_pending.set) & ~t->blocked)
        want |= TASK_NOTIFY_SIGNAL;
    if ((p->stop_signal && !t->stop_done) || p->continued_untold || ptrace_work_pending(t))
        want |= TASK_NOTIFY_STOP;
    if (p->group_exiting || (p->exec_task && p->exec_task != t))
        want |= TASK_NOTIFY_EXIT;
    uint32_t mask = TASK_NOTIFY_SIGNAL | TASK_NOTIFY_STOP | TASK_NOTIFY_EXIT;
    __atomic_or_fetch(&t->notify, want, __ATOMIC_SEQ_CST);
    __atomic_and_fetch(&t->notify, want | ~mask, __ATOMIC_SEQ_CST);
}

bool signal_pending(struct task *t)
{
    return __atomic_load_n(&t->notify, __ATOMIC_SEQ_CST) &
           (TASK_NOTIFY_SIGNAL | TASK_NOTIFY_STOP | TASK_NOTIFY_EXIT);
}

bool signal_fatal_pending(struct task *t)
{
    return __atomic_load_n(&t->notify, __ATOMIC_SEQ_CST) & TASK_NOTIFY_EXIT;
}

struct waitq *signal_waitq(struct process *p)
{
    return &p->signal_wq;
}

/* ---- is it wanted -------------------------------------------------------------------------------
 */

bool signal_default_ignored(int sig)
{
    return SIGMASK(sig) & SIGS_IGNORED;
}

static bool signal_ignored_locked(struct process *p, struct task *t, int sig)
{
    struct task *looked = t ? t : list_first(&p->tasks, struct task, process_node);
    if (looked && ((looked->blocked | looked->waiting_for) & SIGMASK(sig)))
        return false; /* its handler may change before it is unblocked */
    if (looked && looked->ptrace && sig != SIGKILL)
        return false;
    uint64_t handler = p->actions[sig - 1].handler;
    return handler == (uint64_t)SIG_IGN ||
           (handler == (uint64_t)SIG_DFL && (signal_default_ignored(sig) || p->unkillable));
}

/* The init of a PID namespace hears nothing that it has no handler for, but for SIGKILL and SIGSTOP
 * from above its namespace (and from the sentry itself). */
static bool signal_spared_locked(struct process *p, int sig)
{
    struct task *sender = task_current();
    return p->unkillable && (SIGMASK(sig) & SIGS_UNBLOCKABLE) && sender &&
           process_nr(sender->process, p->pid_ns);
}

static bool signal_wanted_by(struct task *t, int sig)
{
    if (t->exiting)
        return false;
    if (t->stop_counted && !t->stop_done && sig != SIGKILL)
        return false; /* stopped: it will look when it is continued */
    return sig == SIGKILL || !(t->blocked & SIGMASK(sig)) || (t->waiting_for & SIGMASK(sig));
}

/* Who shall take a shared signal: the leader if it can, else whoever does not block it. */
static struct task *signal_target_locked(struct process *p, int sig)
{
    struct task *t;
    list_for_each(t, &p->tasks, process_node) if (signal_wanted_by(t, sig)) return t;
    return NULL;
}

static bool signal_kills_at_once(struct process *p, struct task *t, int sig)
{
    if (sig == SIGKILL)
        return true;
    if ((t->waiting_for & SIGMASK(sig)) || t->ptrace)
        return false;
    return p->actions[sig - 1].handler == (uint64_t)SIG_DFL &&
           !(SIGMASK(sig) & (SIGS_IGNORED | SIGS_STOP | SIGS_CORE));
}

static void signal_tell_locked(struct process *p, struct task *t, int sig)
{
    if (p->group_exiting)
        return;
    struct task *target = t ? (signal_wanted_by(t, sig) ? t : NULL) : signal_target_locked(p, sig);
    if (!target)
        return;
    if (signal_kills_at_once(p, target, sig)) {
        process_exit_group_locked(p, sig);
        return;
    }
    if (target->blocked & SIGMASK(sig)) /* only sigtimedwait is after it */
        task_wake(target);
    else
        task_kick(target, TASK_NOTIFY_SIGNAL);
}

/* After t has blocked more, or is leaving: shared signals that it would have taken go to others. */
void signal_retarget_locked(struct task *t, sigmask_t which)
{
    struct process *p = t->process;
    which &= p->shared_pending.set;
    for (int sig = 1; which && sig <= SIG_COUNT; sig++) {
        if (!(which & SIGMASK(sig)))
            continue;
        which &= ~SIGMASK(sig);
        struct task *other;
        list_for_each(other, &p->tasks, process_node)
        {
            if (other == t || other->exiting || (other->blocked & SIGMASK(sig)))
                continue;
            task_kick(other, TASK_NOTIFY_SIGNAL);
            break;
        }
    }
}

/* ---- queueing -----------------------------------------------------------------------------------
 */

/* SIGCONT wakes a stopped process even when it is blocked or ignored; stop signals and SIGCONT
 * cancel each other while pending. */
static void signal_continue_locked(struct process *p)
{
    signal_remove_locked(p, SIGS_STOP);
    if (!p->stop_signal)
        return;
    if (p->state == PROCESS_STOPPED) {
        p->state = PROCESS_RUNNING;
        p->continued_unreported = true;
        p->continued_untold = true;
    }
    p->stop_signal = 0;
    p->stopped_count = 0;
    struct task *t;
    list_for_each(t, &p->tasks, process_node)
    {
        t->stop_counted = t->stop_done = false;
        task_kick(t, TASK_NOTIFY_STOP);
    }
}

static void signal_prepare_locked(struct process *p, int sig)
{
    if (sig == SIGCONT)
        signal_continue_locked(p);
    else if (SIGMASK(sig) & SIGS_STOP)
        signal_remove_locked(p, SIGMASK(SIGCONT));
}

static void signal_fill_info(siginfo_t *to, int sig, const siginfo_t *from)
{
    if (from) {
        *to = *from;
    } else {
        memset(to, 0, sizeof(*to));
        to->si_code = SI_KERNEL;
    }
    to->si_signo = sig;
}

/* A real-time signal sent by sigqueue must not lose its value silently: EAGAIN. Others are reduced
 * to a bit. */
static int signal_enqueue_locked(struct process *p, struct sigpending *sp, int sig,
                                 const siginfo_t *info)
{
    bool from_guest = info && info->si_code < 0;
    bool may_drop = sig < SIGRTMIN_K || !from_guest;
    struct sigqueue *q = NULL;
    if (may_drop || p->sig_queued < p->rlimits[RLIMIT_SIGPENDING].rlim_cur)
        q = malloc(sizeof(*q));
    if (!q && !may_drop)
        return -EAGAIN;
    if (q && sig >= SIGRTMIN_K && p->sig_queued >= SIGQUEUE_MAX) {
        free(q);
        q = NULL;
    }
    if (q) {
        signal_fill_info(&q->info, sig, info);
        list_push_back(&sp->queue, &q->node);
        p->sig_queued++;
    }
    sp->set |= SIGMASK(sig);
    return 0;
}

int signal_queue_locked(struct task *t, struct process *p, int sig, const siginfo_t *info)
{
    lock_check_held(LR_SIGHAND);
    struct sigpending *sp = t ? &t->pending : &p->shared_pending;
    if (p->state == PROCESS_ZOMBIE || p->state == PROCESS_DEAD || (t && t->exiting))
        return 0;
    if (signal_spared_locked(p, sig))
        return 0;
    signal_prepare_locked(p, sig);
    if (!(SIGMASK(sig) & SIGS_UNBLOCKABLE) && signal_ignored_locked(p, t, sig))
        return 0;
    if (!(sig < SIGRTMIN_K && (sp->set & SIGMASK(sig)))) {
        int r = signal_enqueue_locked(p, sp, sig, info);
        if (r)
            return r;
    }
    signal_tell_locked(p, t, sig);
    return 0;
}

static int signal_send(struct task *t, struct process *p, int sig, const siginfo_t *info)
{
    if (sig == 0)
        return 0;
    lock_acquire(&p->sig_lock);
    int r = signal_queue_locked(t, p, sig, info);
    lock_release(&p->sig_lock);
    waitq_wake(&p->signal_wq, POLLIN);
    return r;
}

int signal_send_task(struct task *t, int sig, const siginfo_t *info)
{
    return signal_send(t, t->process, sig, info);
}

int signal_send_process(struct process *p, int sig, const siginfo_t *info)
{
    return signal_send(NULL, p, sig, info);
}

int signal_send_pgrp(int pgid, int sig, const siginfo_t *info)
{
    LOCK_GUARD(&g_kernel.tasks_lock);
    struct pid *n = pid_find_locked(pgid);
    if (!n || !n->pgrp)
        return -ESRCH;
    struct process *p;
    list_for_each(p, &n->pgrp->members, pgrp_node) signal_send_process(p, sig, info);
    return 0;
}

void signal_force(struct task *t, int sig, const siginfo_t *info)
{
    struct process *p = t->process;
    LOCK_GUARD(&p->sig_lock);
    struct sigaction_k *act = p->actions + (sig - 1);
    bool blocked = t->blocked & SIGMASK(sig);
    if (blocked || act->handler == (uint64_t)SIG_IGN) {
        act->handler = (uint64_t)SIG_DFL;
        act->flags = 0;
    }
    if (act->handler == (uint64_t)SIG_DFL)
        p->unkillable = false;
    t->blocked &= ~SIGMASK(sig);
    if (!(t->pending.set & SIGMASK(sig)))
        signal_enqueue_locked(p, &t->pending, sig, info);
    signal_recalc_locked(t);
    task_kick(t, TASK_NOTIFY_SIGNAL);
}

/* ---- who may ------------------------------------------------------------------------------------
 */

static int signal_session_of(struct process *p)
{
    LOCK_GUARD(&g_kernel.tasks_lock);
    return p->pgrp ? p->pgrp->session->sid : -1;
}

int signal_may_send(struct task *caller, struct process *target, int sig)
{
    if (caller->process == target)
        return 0;
    lock_acquire(&g_kernel.tasks_lock);
    struct task *leader = target->leader;
    struct cred *tc = leader ? task_cred_get(leader) : NULL;
    lock_release(&g_kernel.tasks_lock);
    if (!tc)
        return 0;
    const struct cred *c = caller->cred;
    bool ok = c->euid == tc->suid || c->euid == tc->uid || c->uid == tc->suid ||
              c->uid == tc->uid || cred_capable(c, tc->user_ns, CAP_KILL);
    cred_put(tc);
    if (!ok && sig == SIGCONT)
        ok = signal_session_of(caller->process) == signal_session_of(target);
    return ok ? 0 : -EPERM;
}

/* ---- the parent is told
 * --------------------------------------------------------------------------- */

static void signal_child_info(struct process *child, int code, int status, siginfo_t *info)
{
    int64_t utime, stime;
    memset(info, 0, sizeof(*info));
    info->si_signo = SIGCHLD;
    info->si_code = code;
    info->si_pid = process_nr(child, child->parent->pid_ns);
    const struct task *reader = child->parent->leader;
    info->si_uid = child->leader ? child->leader->cred->uid : 0;
    if (reader && reader->cred->user_ns->level)
        info->si_uid = uid_to(reader->cred->user_ns, info->si_uid);
    info->si_status = status;
    process_cpu_times(child, &utime, &stime);
    info->si_utime = utime / 10000000;
    info->si_stime = stime / 10000000;
}

void signal_parent_locked(struct process *child, int code, int status)
{
    lock_check_held(LR_TASKS);
    struct process *parent = child->parent;
    if (!parent)
        return;
    siginfo_t info;
    bool end = code == CLD_EXITED || code == CLD_KILLED || code == CLD_DUMPED;
    int sig = end ? child->exit_signal : SIGCHLD;
    if (sig > SIG_COUNT) /* clone(2) takes any byte */
        sig = 0;
    signal_child_info(child, code, status, &info);
    lock_acquire(&parent->sig_lock);
    bool quiet = !end && (parent->actions[SIGCHLD - 1].flags & SA_NOCLDSTOP);
    info.si_signo = sig;
    if (sig && !quiet)
        signal_queue_locked(NULL, parent, sig, &info);
    lock_release(&parent->sig_lock);
    waitq_wake(&parent->signal_wq, POLLIN);
    waitq_wake(&parent->child_wq, ~0u);
}

bool signal_child_autoreap(struct process *parent)
{
    LOCK_GUARD(&parent->sig_lock);
    const struct sigaction_k *a = &parent->actions[SIGCHLD - 1];
    return a->handler == (uint64_t)SIG_IGN || (a->flags & SA_NOCLDWAIT);
}

bool signal_is_ignored_by(struct process *p, int sig)
{
    LOCK_GUARD(&p->sig_lock);
    return p->actions[sig - 1].handler == (uint64_t)SIG_IGN;
}

/* ---- actions ------------------------------------------------------------------------------------
 */

struct sighand *sighand_new(void)
{
    struct sighand *h = calloc(1, sizeof(*h));
    if (!h)
        return NULL;
    ref_init(&h->ref);
    lock_init(&h->lock, LR_LEAF);
    return h;
}

void sighand_put(struct sighand *h)
{
    if (!ref_put(&h->ref))
        return;
    lock_destroy(&h->lock);
    free(h);
}

int sighand_unshare(struct process *p)
{
    struct sighand *old = p->sighand;
    if (ref_read(&old->ref) == 1) /* nobody else can take a reference but through p */
        return 0;
    struct sighand *h = sighand_new();
    if (!h)
        return -ENOMEM;
    lock_acquire(&p->sig_lock);
    lock_acquire(&old->lock);
    memcpy(h->actions, old->actions, sizeof(h->actions));
    lock_release(&old->lock);
    p->sighand = h;
    p->actions = h->actions;
    lock_release(&p->sig_lock);
    sighand_put(old);
    return 0;
}

void signal_exec_reset(struct process *p)
{
    LOCK_GUARD(&p->sig_lock);
    for (int i = 0; i < SIG_COUNT; i++) {
        struct sigaction_k *a = &p->actions[i];
        uint64_t keep = a->handler == (uint64_t)SIG_IGN ? a->handler : (uint64_t)SIG_DFL;
        *a = (struct sigaction_k){.handler = keep};
    }
}
