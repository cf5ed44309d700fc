/* Signals: rt_sig*, kill and its kin. */
#include "syscalls/syscalls.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#define SIGINFO_USED  48 /* bytes that the kernel's own siginfo has */
#define SI_DETHREAD_K (-7)

static int mask_import(struct task *t, uint64_t ua, uint64_t size, sigmask_t *out)
{
    if (size != sizeof(*out))
        return -EINVAL;
    return uaccess_read_obj(t->mm, out, uaddr(ua));
}

int64_t sys_rt_sigaction(struct task *t, const struct sysargs *a)
{
    struct { /* the kernel's order */
        uint64_t handler, flags, restorer;
        sigmask_t mask;
    } k;
    struct sigaction_k act, old;
    if (a->v[3] != sizeof(sigmask_t))
        return -EINVAL;
    if (a->v[1] && uaccess_read_obj(t->mm, &k, uaddr(a->v[1])))
        return -EFAULT;
    if (a->v[1])
        act = (struct sigaction_k){k.handler, k.flags, k.restorer, k.mask};
    int r = signal_action(t, (int)a->v[0], a->v[1] ? &act : NULL, &old);
    if (r)
        return r;
    k.handler = old.handler, k.flags = old.flags, k.restorer = old.restorer, k.mask = old.mask;
    return a->v[2] ? uaccess_write_obj(t->mm, uaddr(a->v[2]), &k) : 0;
}

int64_t sys_rt_sigprocmask(struct task *t, const struct sysargs *a)
{
    sigmask_t set, old = t->blocked;
    if (a->v[3] != sizeof(set))
        return -EINVAL;
    if (a->v[1]) {
        if (uaccess_read_obj(t->mm, &set, uaddr(a->v[1])))
            return -EFAULT;
        switch ((int)a->v[0]) {
        case SIG_BLOCK:
            set |= old;
            break;
        case SIG_UNBLOCK:
            set = old & ~set;
            break;
        case SIG_SETMASK:
            break;
        default:
            return -EINVAL;
        }
        signal_set_blocked(t, set);
    }
    return a->v[2] ? uaccess_write_obj(t->mm, uaddr(a->v[2]), &old) : 0;
}

int64_t sys_rt_sigpending(struct task *t, const struct sysargs *a)
{
    sigmask_t set = signal_pending_set(t) & t->blocked;
    if (a->v[1] > sizeof(set))
        return -EINVAL;
    return uaccess_write(t->mm, uaddr(a->v[0]), &set, a->v[1]);
}

int64_t sys_rt_sigsuspend(struct task *t, const struct sysargs *a)
{
    sigmask_t set;
    int r = mask_import(t, a->v[0], a->v[1], &set);
    return r ? r : signal_suspend(t, set);
}

int64_t sys_pause(struct task *t, const struct sysargs *a)
{
    for (;;) {
        task_sleep_prepare(t);
        if (task_sleep(t, DEADLINE_NONE, /*interruptible=*/true))
            return -ERESTARTNOHAND;
    }
}

int64_t sys_rt_sigtimedwait(struct task *t, const struct sysargs *a)
{
    sigmask_t set;
    siginfo_t info;
    int64_t deadline = DEADLINE_NONE, ns;
    int r = mask_import(t, a->v[0], a->v[3], &set);
    if (r)
        return r;
    if (a->v[2]) {
        struct timespec ts;
        if (uaccess_read_obj(t->mm, &ts, uaddr(a->v[2])))
            return -EFAULT;
        if (time_from_timespec(&ts, &ns))
            return -EINVAL;
        deadline = ns ? time_after(ns) : INT64_MIN;
    }
    r = signal_timedwait(t, set, deadline, &info);
    if (r > 0 && a->v[1] && uaccess_write_obj(t->mm, uaddr(a->v[1]), &info))
        return -EFAULT;
    return r;
}

int64_t sys_rt_sigreturn(struct task *t, const struct sysargs *a)
{
    t->no_result = true;
    if (sigframe_return(t)) {
        siginfo_t info = {.si_signo = SIGSEGV, .si_code = SI_KERNEL};
        signal_force(t, SIGSEGV, &info);
    }
    return 0;
}

int64_t sys_sigaltstack(struct task *t, const struct sysargs *a)
{
    struct {
        uint64_t sp;
        int32_t flags, pad;
        uint64_t size;
    } k;
    struct user_regs_struct *r = task_regs(t);
    if (!r)
        return -EFAULT;
    struct altstack next, old = t->altstack;
    int old_flags = altstack_flags(t, r->rsp) | (old.flags & (int)(1u << 31));
    if (a->v[0]) {
        if (uaccess_read_obj(t->mm, &k, uaddr(a->v[0])))
            return -EFAULT;
        next = (struct altstack){.sp = k.sp, .size = k.size, .flags = k.flags};
        int e = altstack_set(t, &next, r->rsp, altstack_min_size());
        if (e)
            return e;
    }
    memset(&k, 0, sizeof(k));
    k.sp = old.sp, k.size = old.size, k.flags = old_flags;
    return a->v[1] ? uaccess_write_obj(t->mm, uaddr(a->v[1]), &k) : 0;
}

/* ---- sending ----------------------------------------------------------------------------------
 */

int64_t sys_kill(struct task *t, const struct sysargs *a)
{
    return signal_kill(t, (int)a->v[0], (int)a->v[1]);
}

int64_t sys_tkill(struct task *t, const struct sysargs *a)
{
    return signal_tgkill(t, 0, (int)a->v[0], (int)a->v[1], NULL);
}

int64_t sys_tgkill(struct task *t, const struct sysargs *a)
{
    if ((int)a->v[0] <= 0)
        return -EINVAL;
    return signal_tgkill(t, (int)a->v[0], (int)a->v[1], (int)a->v[2], NULL);
}

/* A code whose fields Linux knows: beyond them such a siginfo may hold anything. */
static bool layout_known(const siginfo_t *info)
{
    int code = info->si_code;
    return code > 0 ? code <= 0x80 /* SI_KERNEL */ : code >= SI_DETHREAD_K || code == -60 /* SI_ASYNCNL */;
}

static bool is_zero(const char *p, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (p[i])
            return false;
    return true;
}

static int info_import(struct task *t, uint64_t ua, int sig, siginfo_t *info)
{
    if (uaccess_read_obj(t->mm, info, uaddr(ua)))
        return -EFAULT;
    if (!layout_known(info) && !is_zero((char *)info + SIGINFO_USED, sizeof(*info) - SIGINFO_USED))
        return -E2BIG;
    info->si_signo = sig;
    return 0;
}

/* Codes that the kernel itself uses may not be forged towards others. */
static bool is_forged(const siginfo_t *info)
{
    return info->si_code >= 0 || info->si_code == SI_TKILL;
}

int64_t sys_rt_sigqueueinfo(struct task *t, const struct sysargs *a)
{
    siginfo_t info;
    int pid = a->v[0], sig = a->v[1];
    int r = info_import(t, a->v[2], sig, &info);
    if (r)
        return r;
    if (pid != t->process->vpid && is_forged(&info))
        return -EPERM;
    return signal_kill_pid(t, pid, sig, &info);
}

int64_t sys_rt_tgsigqueueinfo(struct task *t, const struct sysargs *a)
{
    siginfo_t info;
    int tgid = a->v[0], tid = a->v[1], sig = a->v[2];
    int r = info_import(t, a->v[3], sig, &info);
    if (!r && (tgid <= 0 || tid <= 0))
        r = -EINVAL;
    if (!r && tid != t->vtid && is_forged(&info))
        r = -EPERM;
    return r ? r : signal_tgkill(t, tgid, tid, sig, &info);
}
