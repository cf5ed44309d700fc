/* Signals: taking them out of the queues and doing what they say, on the target's own thread. */
#include "kernel/kernel_priv.h"
#include "kernel/signal_priv.h"

#include "base/log.h"
#include "trace/trace.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- taking out ---------------------------------------------------------------------------------
 */

static int sigpending_next(const struct sigpending *sp, sigmask_t set)
{
    sigmask_t m = sp->set & set;
    if (!m)
        return 0;
    if (m & SIGS_SYNCHRONOUS)
        m &= SIGS_SYNCHRONOUS;
    return __builtin_ctzll(m) + 1;
}

static void sigpending_take_locked(struct process *p, struct sigpending *sp, int sig,
                                   siginfo_t *info)
{
    struct sigqueue *q, *found = NULL;
    bool more = false;
    list_for_each(q, &sp->queue, node)
    {
        if (q->info.si_signo != sig)
            continue;
        if (found) {
            more = true;
            break;
        }
        found = q;
    }
    memset(info, 0, sizeof(*info));
    info->si_signo = sig;
    if (found) {
        *info = found->info;
        list_del(&found->node);
        p->sig_queued--;
        free(found);
    }
    if (!more)
        sp->set &= ~SIGMASK(sig);
}

int signal_dequeue_locked(struct task *t, sigmask_t set, siginfo_t *info)
{
    struct process *p = t->process;
    struct sigpending *sp = &t->pending;
    int sig = sigpending_next(sp, set);
    if (!sig) {
        sp = &p->shared_pending;
        sig = sigpending_next(sp, set);
    }
    if (!sig)
        return 0;
    sigpending_take_locked(p, sp, sig, info);
    if (info->si_code == SI_TIMER)
        posix_timers_requeue(p, sig, info);
    return sig;
}

int signal_dequeue(struct task *t, sigmask_t set, siginfo_t *info)
{
    LOCK_GUARD(&t->process->sig_lock);
    int sig = signal_dequeue_locked(t, set, info);
    signal_recalc_locked(t);
    return sig;
}

/* ---- stopping -----------------------------------------------------------------------------------
 */

static void stop_tell_parent(struct process *p)
{
    lock_acquire(&g_kernel.tasks_lock);
    lock_acquire(&p->sig_lock);
    int sig = p->stop_signal;
    bool still = p->state == PROCESS_STOPPED;
    lock_release(&p->sig_lock);
    if (still)
        signal_parent_locked(p, CLD_STOPPED, sig);
    lock_release(&g_kernel.tasks_lock);
    if (!still || !p->watch)
        return;
    __atomic_store_n(&p->watch->stopped, sig, __ATOMIC_SEQ_CST);
    watcher_tell();
}

/* Count t among the stopped; true if the whole process has now stopped. */
static bool stop_count_locked(struct process *p, struct task *t)
{
    if (!t->stop_counted) {
        t->stop_counted = true;
        p->stopped_count++;
    }
    if (p->stopped_count < p->task_count || p->state != PROCESS_RUNNING)
        return false;
    p->state = PROCESS_STOPPED;
    p->stop_reported = false;
    p->continued_unreported = false;
    return true;
}

/* Stay here until SIGCONT or death. */
static void stop_here(struct task *t)
{
    struct process *p = t->process;
    for (;;) {
        task_sleep_prepare(t);
        lock_acquire(&p->sig_lock);
        int sig = p->stop_signal;
        bool stop = sig && !p->group_exiting && !(p->exec_task && p->exec_task != t);
        bool tell = stop && stop_count_locked(p, t);
        lock_release(&p->sig_lock);
        if (!stop)
            return;
        if (tell)
            stop_tell_parent(p);
        if (t->ptrace && ptrace_group_stop(t, sig))
            return;
        task_sleep(t, DEADLINE_NONE, /*interruptible=*/false);
    }
}

void signal_stop_recheck(struct process *p)
{
    lock_acquire(&p->sig_lock);
    bool done = p->stop_signal && p->task_count && p->stopped_count >= p->task_count &&
                p->state == PROCESS_RUNNING;
    if (done) {
        p->state = PROCESS_STOPPED;
        p->stop_reported = false;
    }
    lock_release(&p->sig_lock);
    if (done)
        stop_tell_parent(p);
}

static void continue_tell_parent(struct process *p)
{
    LOCK_GUARD(&g_kernel.tasks_lock);
    signal_parent_locked(p, CLD_CONTINUED, SIGCONT);
}

static bool stop_pgrp_orphaned(struct process *p)
{
    LOCK_GUARD(&g_kernel.tasks_lock);
    return !p->pgrp || pgrp_orphaned_locked(p->pgrp, NULL);
}

/* Default action of a stop signal: ask every task of the process to stop. */
static void stop_begin(struct task *t, int sig)
{
    struct process *p = t->process;
    if (sig != SIGSTOP && stop_pgrp_orphaned(p))
        return;
    LOCK_GUARD(&p->sig_lock);
    if (p->group_exiting || p->exec_task || (p->stop_signal && !t->stop_done))
        return;
    if (!p->stop_signal)
        p->stopped_count = 0;
    struct task *o;
    list_for_each(o, &p->tasks, process_node)
    {
        o->stop_done = false; /* what a tracer has set going stops again, and tells it so */
        if (!p->stop_signal)
            o->stop_counted = false;
        task_kick(o, TASK_NOTIFY_STOP);
    }
    p->stop_signal = sig;
}

/* ---- doing what it says
 * --------------------------------------------------------------------------- */

/* A namespace's init gets here with what it had blocked when it came; kills it otherwise only what
 * was meant to. */
static bool deliver_spared(struct process *p, int sig)
{
    LOCK_GUARD(&p->sig_lock);
    return p->unkillable && !(SIGMASK(sig) & SIGS_UNBLOCKABLE);
}

static void deliver_default(struct task *t, int sig, const siginfo_t *info)
{
    if (signal_default_ignored(sig) || deliver_spared(t->process, sig))
        return;
    if (SIGMASK(sig) & SIGS_STOP) {
        stop_begin(t, sig);
        return;
    }
    bool dumped = (SIGMASK(sig) & SIGS_CORE) && core_dump(t, info);
    LOCK_GUARD(&t->process->sig_lock);
    process_exit_group_locked(t->process, sig | (dumped ? 0x80 : 0));
}

static void deliver_handler(struct task *t, int sig, const struct sigaction_k *act,
                            const siginfo_t *info)
{
    sigmask_t saved = t->restore_blocked ? t->saved_blocked : t->blocked;
    t->restore_blocked = false;
    if (sigframe_setup(t, sig, act, info, saved)) {
        siginfo_t segv = {.si_signo = SIGSEGV, .si_code = SI_KERNEL};
        if (sig == SIGSEGV) { /* its own frame cannot be built: no handler will do */
            LOCK_GUARD(&t->process->sig_lock);
            t->process->actions[SIGSEGV - 1].handler = (uint64_t)SIG_DFL;
        }
        signal_force(t, SIGSEGV, &segv);
        return;
    }
    sigmask_t add = act->mask | (act->flags & SA_NODEFER ? 0 : SIGMASK(sig));
    signal_set_blocked(t, t->blocked | add);
}

enum deliver { DELIVER_NOTHING, DELIVER_AGAIN, DELIVER_HANDLER, DELIVER_END };

/* Look once, and act on the first thing found. */
static enum deliver deliver_one(struct task *t)
{
    struct process *p = t->process;
    siginfo_t info;
    if (t->ptrace && ptrace_work(t)) /* a stop that a tracer asked for, or the tracer has gone */
        return DELIVER_AGAIN;
    lock_acquire(&p->sig_lock);
    signal_recalc_locked(t);
    bool end = p->group_exiting || (p->exec_task && p->exec_task != t);
    bool untold = p->continued_untold, stop = p->stop_signal && !t->stop_done && !p->exec_task;
    p->continued_untold = false;
    int sig = end || untold || stop ? 0 : signal_dequeue_locked(t, ~t->blocked, &info);
    struct sigaction_k act = {0};
    if (sig) {
        lock_acquire(&p->sighand->lock);
        act = p->actions[sig - 1];
        lock_release(&p->sighand->lock);
        if ((act.flags & SA_RESETHAND) && act.handler > 1)
            p->actions[sig - 1].handler = (uint64_t)SIG_DFL;
    }
    signal_recalc_locked(t);
    lock_release(&p->sig_lock);
    if (end)
        return DELIVER_END;
    if (untold)
        continue_tell_parent(p);
    else if (stop)
        stop_here(t);
    if (!sig)
        return untold || stop ? DELIVER_AGAIN : DELIVER_NOTHING;
    if (t->ptrace && sig != SIGKILL && !(sig = ptrace_signal(t, sig, &info, &act)))
        return DELIVER_AGAIN;
    trace_signal(t, sig, &info);
    if (act.handler == (uint64_t)SIG_IGN)
        return DELIVER_AGAIN;
    if (act.handler != (uint64_t)SIG_DFL) {
        deliver_handler(t, sig, &act, &info);
        return DELIVER_HANDLER;
    }
    deliver_default(t, sig, &info);
    return DELIVER_AGAIN;
}

bool signal_deliver(struct task *t)
{
    for (;;) {
        enum deliver d = deliver_one(t);
        if (d == DELIVER_END)
            return false;
        if (d == DELIVER_NOTHING)
            break;
    }
    if (t->restore_blocked) { /* sigsuspend and ppoll, when no handler used the saved mask */
        t->restore_blocked = false;
        signal_set_blocked(t, t->saved_blocked);
    }
    return true;
}
