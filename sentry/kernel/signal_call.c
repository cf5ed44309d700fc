/* What the signal system calls ask for: masks, actions, the alternate stack, waiting. */
#include "kernel/kernel_priv.h"
#include "kernel/signal_priv.h"

#include <errno.h>
#include <string.h>

#define SS_AUTODISARM_K (1u << 31)
#define MINSIGSTKSZ_K   2048
#define SA_KNOWN                                                                                   \
    (SA_NOCLDSTOP | SA_NOCLDWAIT | SA_SIGINFO | 0x800 /* EXPOSE_TAGBITS */ | 0x04000000 |          \
     SA_ONSTACK | SA_RESTART | SA_NODEFER | SA_RESETHAND)

void signal_set_blocked(struct task *t, sigmask_t mask)
{
    mask &= ~SIGS_UNBLOCKABLE;
    if (mask == t->blocked)
        return;
    LOCK_GUARD(&t->process->sig_lock);
    sigmask_t newly = mask & ~t->blocked;
    t->blocked = mask;
    signal_retarget_locked(t, newly);
    signal_recalc_locked(t);
}

sigmask_t signal_pending_set(struct task *t)
{
    LOCK_GUARD(&t->process->sig_lock);
    return t->pending.set | t->process->shared_pending.set;
}

int signal_action(struct task *t, int sig, const struct sigaction_k *act, struct sigaction_k *old)
{
    if (sig < 1 || sig > SIG_COUNT || (act && (SIGMASK(sig) & SIGS_UNBLOCKABLE)))
        return -EINVAL;
    struct process *p = t->process;
    LOCK_GUARD(&p->sig_lock);
    struct sigaction_k *a = &p->actions[sig - 1];
    LOCK_GUARD(&p->sighand->lock);
    *old = *a;
    if (!act)
        return 0;
    *a = *act;
    a->mask &= ~SIGS_UNBLOCKABLE;
    a->flags &= SA_KNOWN;
    bool ignored = a->handler == (uint64_t)SIG_IGN ||
                   (a->handler == (uint64_t)SIG_DFL && signal_default_ignored(sig));
    if (ignored) /* POSIX: setting a signal to be ignored discards what is pending */
        signal_remove_locked(p, SIGMASK(sig));
    return 0;
}

int altstack_set(struct task *t, const struct altstack *a, uint64_t sp, uint64_t min_size)
{
    unsigned mode = a->flags & ~SS_AUTODISARM_K;
    const struct altstack *old = &t->altstack;
    if (altstack_flags(t, sp) == SS_ONSTACK)
        return -EPERM;
    if (mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0)
        return -EINVAL;
    if (old->sp == a->sp && old->size == a->size &&
        (old->flags & ~SS_DISABLE) == a->flags)
        return 0; /* as it is: its size is not looked at */
    if (mode == SS_DISABLE) {
        t->altstack = (struct altstack){.flags = a->flags};
        return 0;
    }
    if (a->size < min_size)
        return -ENOMEM;
    t->altstack = *a;
    return 0;
}

uint64_t altstack_min_size(void)
{
    return MINSIGSTKSZ_K;
}

int64_t signal_suspend(struct task *t, sigmask_t mask)
{
    t->saved_blocked = t->blocked;
    t->restore_blocked = true;
    signal_set_blocked(t, mask);
    for (;;) {
        task_sleep_prepare(t);
        if (task_sleep(t, DEADLINE_NONE, /*interruptible=*/true))
            return -ERESTARTNOHAND;
    }
}

void signal_mask_swap(struct task *t, sigmask_t mask)
{
    t->saved_blocked = t->blocked;
    t->restore_blocked = true;
    signal_set_blocked(t, mask);
}

void signal_mask_restore(struct task *t, bool interrupted)
{
    if (!t->restore_blocked || interrupted)
        return;
    t->restore_blocked = false;
    signal_set_blocked(t, t->saved_blocked);
}

static void signal_wait_set(struct task *t, sigmask_t set)
{
    LOCK_GUARD(&t->process->sig_lock);
    t->waiting_for = set;
}

int signal_timedwait(struct task *t, sigmask_t set, int64_t deadline, siginfo_t *info)
{
    set &= ~SIGS_UNBLOCKABLE;
    signal_wait_set(t, set);
    int r = 0, sig;
    for (;;) {
        task_sleep_prepare(t);
        sig = signal_dequeue(t, set, info);
        if (sig || r)
            break;
        r = deadline == INT64_MIN ? -ETIMEDOUT : task_sleep(t, deadline, /*interruptible=*/true);
    }
    signal_wait_set(t, 0);
    if (sig)
        return sig;
    return r == -ETIMEDOUT ? -EAGAIN : -EINTR;
}

/* ---- kill(2) ------------------------------------------------------------------------------------
 */

static void info_from(struct task *t, int sig, int code, siginfo_t *info)
{
    memset(info, 0, sizeof(*info));
    info->si_signo = sig;
    info->si_code = code;
    info->si_pid = t->process->vpid;
    info->si_uid = uid_to(t->cred->user_ns, t->cred->uid);
}

/* The number by which the target knows the sender: only what comes from itself or from above in the
 * tree of namespaces can differ. */
static const siginfo_t *info_for(struct task *t, struct process *p, const siginfo_t *info,
                                 siginfo_t *room)
{
    if (p->pid_ns == t->process->pid_ns)
        return info;
    *room = *info;
    if (info->si_pid == t->process->vpid || !process_nr(t->process, p->pid_ns))
        room->si_pid = process_nr(t->process, p->pid_ns);
    return room;
}

/* Linux looks at the number of the signal only once it has found whom to tell. */
int signal_kill_process(struct task *t, struct process *p, int sig, const siginfo_t *info)
{
    siginfo_t room;
    info = info_for(t, p, info, &room);
    int r = sig < 0 || sig > SIG_COUNT ? -EINVAL : signal_may_send(t, p, sig);
    return r ? r : signal_send_process(p, sig, info);
}

int signal_kill_pid(struct task *t, int pid, int sig, const siginfo_t *info)
{
    struct process *p = process_lookup(pid);
    if (!p)
        return -ESRCH;
    int r = signal_kill_process(t, p, sig, info);
    process_put(p);
    return r;
}

/* A group: 0 if any of it could be signalled, else the last error. Everybody (pgid 0): the last
 * error other than EPERM. */
static int kill_many(struct task *t, int pgid, int sig, const siginfo_t *info)
{
    int result = -ESRCH, after = 0;
    struct process *p;
    while ((p = process_next(after))) {
        after = p->pid;
        bool want = pgid ? process_pgid(p) == pgid
                         : process_nr(p, t->process->pid_ns) > 1 && p != t->process;
        if (want) {
            int r = signal_kill_process(t, p, sig, info);
            if (!pgid && (r != -EPERM || result == -ESRCH))
                result = r == -EPERM ? 0 : r;
            else if (pgid && (!r || result))
                result = r;
        }
        process_put(p);
    }
    return result;
}

int signal_kill(struct task *t, int pid, int sig)
{
    if (pid == INT32_MIN)
        return -ESRCH;
    siginfo_t info;
    info_from(t, sig, SI_USER, &info);
    if (pid > 0)
        return signal_kill_pid(t, pid, sig, &info);
    if (pid == -1)
        return kill_many(t, 0, sig, &info);
    return kill_many(t, pid ? task_means_id(t, -pid) : process_pgid(t->process), sig, &info);
}

int signal_tgkill(struct task *t, int tgid, int tid, int sig, const siginfo_t *given)
{
    if (tid <= 0)
        return -EINVAL;
    struct task *target = task_lookup(tid);
    if (!target)
        return -ESRCH;
    siginfo_t info;
    info_from(t, sig, SI_TKILL, &info);
    int r = tgid > 0 && process_nr(target->process, t->process->pid_ns) != tgid ? -ESRCH : 0;
    if (!r)
        r = sig < 0 || sig > SIG_COUNT ? -EINVAL : signal_may_send(t, target->process, sig);
    siginfo_t room;
    if (!r)
        r = signal_send_task(target, sig,
                             info_for(t, target->process, given ? given : &info, &room));
    task_put(target);
    return r;
}
