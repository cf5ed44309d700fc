/* The task loop: the only caller of ctx_run.
 *
 * The short way of a light system call is ctx_run → g_syscalls[nr] → ctx_set_result → ctx_run,
 * without a lock or an allocation. Whatever else a task must do before guest code runs again is
 * announced in task.notify and done in task_work.
 *
 * Registers are pulled from the platform only when someone asks (task_regs); a result goes back by
 * ctx_set_result unless the registers were changed (task_regs_dirty).
 *
 * Restart codes end here: a call that was interrupted without a handler having run is simply
 * answered again, in place; if a handler runs, sigframe.c rewinds the registers or says EINTR. */
#include "kernel/kernel_priv.h"
#include "kernel/syscall_table.h"

#include "base/host.h"
#include "base/log.h"
#include "fs/vfs.h"
#include "trace/trace.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static __thread struct task *t_current;

struct task *task_current(void)
{
    return t_current;
}

/* ---- registers --------------------------------------------------------------------------------
 */

struct user_regs_struct *task_regs(struct task *t)
{
    if (t->regs_valid)
        return &t->regs;
    if (pl_ops()->ctx_get_regs(t->ctx, &t->regs))
        return NULL;
    t->regs_valid = true;
    t->regs_dirty = false;
    return &t->regs;
}

void task_regs_dirty(struct task *t)
{
    t->regs_dirty = true;
}

static void loop_set_result(struct task *t, int64_t value)
{
    if (t->regs_valid)
        t->regs.rax = value;
    if (!t->regs_dirty)
        pl_ops()->ctx_set_result(t->ctx, value);
}

/* ---- system calls ------------------------------------------------------------------------------
 */

static inline bool is_restart_code(int64_t r)
{
    return r <= -ERESTARTSYS && r >= -ERESTART_RESTARTBLOCK;
}

/* The call failed on guest memory. If that waits for a userfaultfd, so do we, and call again. */
static __attribute__((noinline)) int64_t syscall_unblock(struct task *t, const struct sysargs *a,
                                                         syscall_fn *fn)
{
    int64_t r = -EFAULT;
    uint64_t addr;
    unsigned access;
    while (r == -EFAULT && mm_uffd_blocked(&addr, &access)) {
        if (userfault_handle(t, addr, access, /*in_kernel=*/true))
            break;
        r = signal_pending(t) ? -ERESTARTSYS : fn(t, a);
    }
    return r;
}

static int64_t syscall_run(struct task *t, const struct sysargs *a)
{
    uint32_t nr = (uint32_t)a->nr; /* Linux too looks at the lower half only */
    syscall_fn *fn = nr < SYSCALL_TABLE_COUNT ? g_syscalls[nr] : NULL;
    int64_t r = fn ? fn(t, a) : -ENOSYS;
    return __builtin_expect(r == -EFAULT, 0) ? syscall_unblock(t, a, fn) : r;
}

/* Interrupted: let signals be handled, then answer the call again unless a handler was entered
 * (restart_code is 0 then: sigframe.c has decided and the registers say what happens). */
static int64_t syscall_restart(struct task *t, const struct sysargs *a, int64_t r)
{
    while (is_restart_code(r)) {
        t->restart_code = -r;
        bool alive = task_work(t);
        if (!t->restart_code || !alive) {
            t->no_result = true;
            break;
        }
        t->restart_code = 0;
        if (r == -ERESTART_RESTARTBLOCK)
            r = t->restart.fn(t, &t->restart);
        else
            r = syscall_run(t, a);
    }
    return r;
}

/* A watcher was interrupted before the call was made: it must see the call anew, so unless a
 * handler decides otherwise the guest makes it again. */
static int64_t syscall_reenter(struct task *t, const struct sysargs *a, int64_t r)
{
    t->restart_code = -r;
    bool alive = task_work(t);
    t->no_result = true;
    struct user_regs_struct *regs = alive && t->restart_code ? task_regs(t) : NULL;
    t->restart_code = 0;
    if (!regs)
        return -EINTR;
    regs->rax = a->nr;
    regs->rip -= 2;
    task_regs_dirty(t);
    return -EINTR;
}

/* Someone watches: seccomp filters of the guest's own, a tracer, strace. */
static __attribute__((noinline)) int64_t syscall_slow(struct task *t, const struct sysargs *args)
{
    struct sysargs a = *args;
    int64_t r = -ENOSYS;
    if ((t->slow_entry & TASK_SLOW_DISPATCH) && user_dispatch_check(t, &a))
        return r; /* before all other watchers: the call is not made at all */
    bool skip = (t->slow_entry & TASK_SLOW_PTRACE) && ptrace_syscall_enter(t, &a, &r);
    if (!skip && (t->slow_entry & TASK_SLOW_SECCOMP))
        skip = seccomp_check(t, &a, &r);
    if (t->slow_entry & TASK_SLOW_STRACE)
        trace_enter(t, &a);
    if (!skip)
        r = syscall_run(t, &a);
    if (is_restart_code(r))
        r = skip ? syscall_reenter(t, &a, r) : syscall_restart(t, &a, r);
    if (t->slow_entry & TASK_SLOW_STRACE)
        trace_exit(t, &a, r);
    if (t->slow_entry & TASK_SLOW_PTRACE) {
        if (!t->no_result)
            loop_set_result(t, r);
        ptrace_syscall_exit(t, r);
        t->no_result = true;
    }
    return r;
}

static void loop_syscall(struct task *t, const struct pl_event *ev)
{
    struct sysargs a = {.nr = ev->syscall.nr};
    memcpy(a.v, ev->syscall.args, sizeof(a.v));
    t->current_nr = (uint32_t)a.nr;
    memcpy(t->current_args, a.v, sizeof(a.v));
    t->syscall_ip = ev->syscall.ip;
    int64_t r;
    if (__builtin_expect(t->slow_entry, 0)) {
        r = syscall_slow(t, &a);
    } else {
        r = syscall_run(t, &a);
        if (__builtin_expect(is_restart_code(r), 0))
            r = syscall_restart(t, &a, r);
    }
    if (!t->no_result)
        loop_set_result(t, r);
    t->no_result = false;
}

/* ---- faults and exceptions ----------------------------------------------------------------------
 */

static void loop_fault(struct task *t, const struct pl_event *ev)
{
    int r = ev->fault.bus ? -ENXIO : mm_fault(t->mm, ev->fault.addr, ev->fault.access);
    t->min_flt++;
    if (__builtin_expect(r > 0, 0))
        r = userfault_handle(t, ev->fault.addr, ev->fault.access, /*in_kernel=*/false);
    if (!r || (r == -ENOMEM && container_out_of_memory(t)))
        return;
    siginfo_t info = {.si_addr = (void *)ev->fault.addr};
    bool segv = r == -EFAULT || r == -EACCES;
    info.si_signo = segv ? SIGSEGV : SIGBUS;
    info.si_code = !segv ? BUS_ADRERR : r == -EFAULT ? SEGV_MAPERR : SEGV_ACCERR;
    t->trap.trapno = 14;
    t->trap.cr2 = ev->fault.addr;
    t->trap.error = 4 | (r != -EFAULT) | (ev->fault.access == PL_WRITE ? 2 : 0) |
                    (ev->fault.access == PL_EXEC ? 16 : 0);
    signal_force(t, info.si_signo, &info);
}

/* si_code of #MF and #XM: the first unmasked exception, in the processor's own order. */
static int fpe_code(struct task *t, unsigned trapno)
{
    uint8_t *image = malloc(g_kernel.platform->fpu_size);
    if (!image || pl_ops()->ctx_get_fpu(t->ctx, image)) {
        free(image);
        return FPE_FLTINV;
    }
    uint16_t cwd, swd;
    uint32_t mxcsr;
    memcpy(&cwd, image, 2);
    memcpy(&swd, image + 2, 2);
    memcpy(&mxcsr, image + 24, 4);
    free(image);
    unsigned err = trapno == 16 ? swd & ~cwd : ~(mxcsr >> 7) & mxcsr;
    return err & 1            ? FPE_FLTINV
           : err & 4          ? FPE_FLTDIV
           : err & 8          ? FPE_FLTOVF
           : err & (2 | 0x10) ? FPE_FLTUND
           : err & 0x20       ? FPE_FLTRES
                              : FPE_FLTINV;
}

static void exception_info(struct task *t, const struct pl_event *ev, siginfo_t *info)
{
    info->si_addr = (void *)ev->exception.ip;
    switch (ev->exception.trapno) {
    case 0:
        info->si_signo = SIGFPE, info->si_code = FPE_INTDIV;
        break;
    case 1:
        info->si_signo = SIGTRAP, info->si_code = TRAP_TRACE;
        break;
    case 3:
        info->si_signo = SIGTRAP, info->si_code = SI_KERNEL, info->si_addr = NULL;
        break;
    case 6:
        info->si_signo = SIGILL, info->si_code = ILL_ILLOPN;
        break;
    case 16:
    case 19:
        info->si_signo = SIGFPE, info->si_code = fpe_code(t, ev->exception.trapno);
        break;
    case 17:
        info->si_signo = SIGBUS, info->si_code = BUS_ADRALN, info->si_addr = NULL;
        break;
    default: /* #GP, #OF, #BR, #NP, #SS …: Linux names no address */
        info->si_signo = SIGSEGV, info->si_code = SI_KERNEL, info->si_addr = NULL;
    }
}

static void loop_exception(struct task *t, const struct pl_event *ev)
{
    siginfo_t info = {0};
    exception_info(t, ev, &info);
    t->trap.trapno = ev->exception.trapno;
    t->trap.error = ev->exception.error;
    signal_force(t, info.si_signo, &info);
}

static void loop_died(struct task *t)
{
    log_debug("task %d: its platform thread died", t->tid);
    LOCK_GUARD(&t->process->sig_lock);
    process_exit_group_locked(t->process, SIGKILL);
}

/* ---- the loop -----------------------------------------------------------------------------------
 */

bool task_work(struct task *t)
{
    if (t->exit_wanted)
        return false;
    /* Cleared first: whoever sets it after that finds us looking again before guest code runs. */
    __atomic_and_fetch(&t->notify, ~TASK_NOTIFY_WORK, __ATOMIC_SEQ_CST);
    if (__builtin_expect(__atomic_load_n(&t->process->container->held, __ATOMIC_SEQ_CST), 0))
        container_hold_here(t);
    return signal_deliver(t);
}

static void loop_event(struct task *t, const struct pl_event *ev)
{
    switch (ev->kind) {
    case PL_EV_SYSCALL:
        loop_syscall(t, ev);
        break;
    case PL_EV_FAULT:
        loop_fault(t, ev);
        break;
    case PL_EV_EXCEPTION:
        loop_exception(t, ev);
        break;
    case PL_EV_INTERRUPTED:
        t->nivcsw++;
        break;
    case PL_EV_DIED:
        loop_died(t);
        break;
    }
}

/* in_guest goes up before notify is looked at, and a kicker sets notify before it looks at
 * in_guest: one of the two always sees the other. */
static void loop_enter_guest(struct task *t, struct pl_event *ev)
{
    __atomic_store_n(&t->in_guest, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&t->notify, __ATOMIC_SEQ_CST)) {
        ev->kind = 0;
    } else {
        time_account_begin(t);
        pl_ops()->ctx_run(t->ctx, ev);
        time_account_end(t);
        t->regs_valid = false;
    }
    __atomic_store_n(&t->guest_exits, t->guest_exits + 1, __ATOMIC_RELEASE);
    __atomic_store_n(&t->in_guest, 0, __ATOMIC_RELEASE);
}

/* ---- membarrier ---------------------------------------------------------------------------------
 */

#define BARRIER_POLL_NS 20000

/* Kick t out of guest code, if it is there, and wait until it has been out. */
static void task_barrier(struct task *t)
{
    static const uint32_t never;
    uint32_t seen = __atomic_load_n(&t->guest_exits, __ATOMIC_SEQ_CST);
    if (!__atomic_load_n(&t->in_guest, __ATOMIC_SEQ_CST))
        return;
    task_kick(t, 0);
    while (__atomic_load_n(&t->guest_exits, __ATOMIC_ACQUIRE) == seen &&
           __atomic_load_n(&t->in_guest, __ATOMIC_ACQUIRE))
        (void)host_futex_wait(&never, 0, time_after(BARRIER_POLL_NS));
}

void process_barrier(struct process *p)
{
    struct task *t;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    for (int tid = 0; (t = task_next(p, tid)); task_put(t)) {
        tid = t->tid;
        if (t != task_current())
            task_barrier(t);
    }
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static void task_loop(struct task *t)
{
    struct pl_event ev;
    for (;;) {
        if (__builtin_expect(__atomic_load_n(&t->notify, __ATOMIC_RELAXED) || t->exit_wanted, 0) &&
            !task_work(t))
            return;
        if (t->regs_dirty) {
            t->regs_dirty = false;
            pl_ops()->ctx_set_regs(t->ctx, &t->regs); /* -ESRCH: ctx_run will say so */
        }
        lock_check_none_held();
        loop_enter_guest(t, &ev);
        loop_event(t, &ev);
    }
}

void task_thread_run(struct task *t)
{
    t_current = t;
    if (__atomic_load_n(&t->process->container->held, __ATOMIC_SEQ_CST))
        __atomic_or_fetch(&t->notify, TASK_NOTIFY_WORK, __ATOMIC_SEQ_CST);
    if (t->set_child_tid) {
        int32_t nr = t->vtid;
        (void)!uaccess_write_obj(t->mm, uaddr(t->set_child_tid), &nr);
    }
    task_loop(t);
    task_exit(t);
    t_current = NULL;
    task_put(t);
}
