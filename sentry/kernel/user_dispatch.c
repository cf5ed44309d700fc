/* Syscall user dispatch (PR_SET_SYSCALL_USER_DISPATCH): calls from outside one range of code become
 * SIGSYS while a byte of the program's own says so. For emulators. */
#include "kernel/kernel_priv.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/prctl.h>

#define SYS_USER_DISPATCH_K 2 /* si_code */

static void dispatch_off(struct task *t)
{
    t->dispatch.on = false;
    __atomic_and_fetch(&t->slow_entry, (uint8_t)~TASK_SLOW_DISPATCH, __ATOMIC_SEQ_CST);
}

int64_t user_dispatch_set(struct task *t, const uint64_t *v)
{
    uint64_t start = v[1], size = v[2], selector = v[3];
    if (v[0] == PR_SYS_DISPATCH_OFF) {
        if (start | size | selector)
            return -EINVAL;
        dispatch_off(t);
        return 0;
    }
    if (v[0] != PR_SYS_DISPATCH_ON)
        return -EINVAL;
    if (start && start + size <= start)
        return -EINVAL;
    if (selector >= g_kernel.platform->va_end) /* read only when it is needed */
        return -EFAULT;
    t->dispatch =
        (struct user_dispatch){.on = true, .start = start, .size = size, .selector = selector};
    __atomic_or_fetch(&t->slow_entry, TASK_SLOW_DISPATCH, __ATOMIC_SEQ_CST);
    return 0;
}

void user_dispatch_exec(struct task *t)
{
    dispatch_off(t);
}

static void dispatch_kill(struct task *t, int sig)
{
    siginfo_t info = {.si_signo = sig, .si_code = SI_KERNEL};
    lock_acquire(&t->process->sig_lock);
    t->process->actions[sig - 1].handler = (uint64_t)SIG_DFL;
    lock_release(&t->process->sig_lock);
    signal_force(t, sig, &info);
}

bool user_dispatch_check(struct task *t, const struct sysargs *a)
{
    const struct user_dispatch *d = &t->dispatch;
    uint8_t state = PR_SYS_DISPATCH_ON;
    if (!d->on || t->syscall_ip - d->start < d->size)
        return false;
    if (d->selector) {
        if (uaccess_read_obj(t->mm, &state, uaddr(d->selector))) {
            dispatch_kill(t, SIGSEGV);
            t->no_result = true;
            return true;
        }
        if (state == SYSCALL_DISPATCH_FILTER_ALLOW)
            return false;
        if (state != SYSCALL_DISPATCH_FILTER_BLOCK) {
            dispatch_kill(t, SIGSYS);
            t->no_result = true;
            return true;
        }
    }
    siginfo_t info = {.si_signo = SIGSYS, .si_code = SYS_USER_DISPATCH_K};
    info.si_call_addr = (void *)t->syscall_ip;
    info.si_syscall = a->nr;
    info.si_arch = AUDIT_ARCH_X86_64;
    struct user_regs_struct *r = task_regs(t);
    if (r) { /* the registers are as if the call had never been made */
        r->rax = a->nr;
        task_regs_dirty(t);
    }
    signal_force(t, SIGSYS, &info);
    t->no_result = true;
    return true;
}
