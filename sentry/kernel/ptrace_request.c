/* ptrace(2), the tracer's side: one function per kind of request. A request looks at a stopped
 * tracee of the caller's under tasks_lock; guest memory is copied before or after, never under it.
 */
#include "kernel/ptrace_priv.h"

#include "base/overflow.h"
#include <elf.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/ptrace.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/user.h>

#define FXSAVE_SIZE 512
#define EFLAGS_USER                                                                                \
    0x50dd5ul /* the bits that a tracer may set: CF PF AF ZF SF TF DF OF NT RF AC                  \
               */
#define OPTIONS_ALL (PTRACE_O_MASK & ~(PTRACE_O_SUSPEND_SECCOMP))

struct request {
    struct task *me;
    int64_t op;
    int pid;
    uint64_t addr, data;
};

/* ---- beginning, interrupting
 * ---------------------------------------------------------------------- */

static int64_t do_traceme(struct request *q)
{
    LOCK_GUARD(&g_kernel.tasks_lock);
    struct process *parent = q->me->process->parent;
    return parent ? ptrace_attach_locked(parent, q->me, /*seized=*/false, 0) : -EPERM;
}

static int attach_check(struct request *q, struct task *target)
{
    if (target->process == q->me->process)
        return -EPERM;
    if (q->op == PTRACE_SEIZE && (q->addr || (q->data & ~(uint64_t)OPTIONS_ALL)))
        return -EIO;
    return cred_may_ptrace(q->me, target);
}

static int64_t do_attach(struct request *q)
{
    struct task *target = task_by_id(q->pid);
    if (!target)
        return -ESRCH;
    bool seize = q->op == PTRACE_SEIZE;
    int err = attach_check(q, target);
    if (!err) {
        lock_acquire(&g_kernel.tasks_lock);
        err = ptrace_attach_locked(q->me->process, target, seize, seize ? q->data : 0);
        if (!err)
            task_wake(target); /* if it sits in a group-stop: to stop for us as well */
        lock_release(&g_kernel.tasks_lock);
    }
    if (!err && !seize)
        err = signal_send_task(target, SIGSTOP, NULL);
    task_put(target);
    return err;
}

static int64_t do_interrupt(struct request *q)
{
    LOCK_GUARD(&g_kernel.tasks_lock);
    struct ptrace_link *l = ptrace_find_locked(q->me->process, q->pid);
    if (!l)
        return -ESRCH;
    if (!l->seized)
        return -EIO;
    if (l->stopped && !l->listening)
        return 0;
    l->interrupt = true;
    if (l->stopped) {
        task_wake(l->task);
        return 0;
    }
    __atomic_store_n(&l->poke, 1, __ATOMIC_SEQ_CST);
    task_kick(l->task, TASK_NOTIFY_STOP);
    return 0;
}

static int64_t do_kill(struct request *q)
{
    lock_acquire(&g_kernel.tasks_lock);
    struct ptrace_link *l = ptrace_find_locked(q->me->process, q->pid);
    struct process *p = l ? l->task->process : NULL;
    if (p)
        process_get(p);
    lock_release(&g_kernel.tasks_lock);
    if (!p)
        return -ESRCH;
    (void)signal_send_process(p, SIGKILL, NULL);
    process_put(p);
    return 0;
}

/* ---- going on
 * ------------------------------------------------------------------------------------- */

static int64_t do_resume_locked(struct request *q, struct ptrace_link *l)
{
    bool sysemu = q->op == PTRACE_SYSEMU || q->op == PTRACE_SYSEMU_SINGLESTEP;
    if (q->data > SIG_COUNT)
        return -EIO;
    if (q->op == PTRACE_DETACH) {
        l->resume_signal = q->data;
        l->stepping = false;
        ptrace_detach_locked(l);
        return 0;
    }
    l->sysemu = sysemu;
    l->stepping = q->op == PTRACE_SINGLESTEP || q->op == PTRACE_SYSEMU_SINGLESTEP;
    if (q->op == PTRACE_SYSCALL || sysemu)
        __atomic_or_fetch(&l->task->slow_entry, TASK_SLOW_PTRACE, __ATOMIC_SEQ_CST);
    else
        __atomic_and_fetch(&l->task->slow_entry, (uint8_t)~TASK_SLOW_PTRACE, __ATOMIC_SEQ_CST);
    ptrace_resume_locked(l, q->data);
    return 0;
}

static int64_t do_options_locked(struct request *q, struct ptrace_link *l)
{
    if (q->data & ~(uint64_t)OPTIONS_ALL)
        return -EINVAL;
    l->options = q->data;
    return 0;
}

/* ---- registers
 * ------------------------------------------------------------------------------------ */

static void regs_store(struct ptrace_link *l, const struct user_regs_struct *in)
{
    struct user_regs_struct *r = &l->task->regs, clean = *in;
    clean.eflags = (in->eflags & EFLAGS_USER) | (r->eflags & ~EFLAGS_USER);
    *r = clean;
    task_regs_dirty(l->task);
}

/* struct user: the registers come first; the debug registers are not there and read as zero. */
static int64_t peek_user_locked(struct request *q, struct ptrace_link *l, uint64_t *word)
{
    if ((q->addr & 7) || q->addr >= sizeof(struct user))
        return -EIO;
    *word = 0;
    if (q->addr < sizeof(l->task->regs))
        memcpy(word, (char *)&l->task->regs + q->addr, sizeof(*word));
    return 0;
}

static int64_t poke_user_locked(struct request *q, struct ptrace_link *l)
{
    struct user_regs_struct r = l->task->regs;
    if ((q->addr & 7) || q->addr >= sizeof(struct user))
        return -EIO;
    if (q->addr >= sizeof(r))
        return q->data && q->addr >= offsetof(struct user, u_debugreg) ? -EIO : 0;
    memcpy((char *)&r + q->addr, &q->data, sizeof(q->data));
    regs_store(l, &r);
    return 0;
}

/* A register set's image: what there is of it, and where. */
struct regset {
    size_t size;
    bool is_fpu;
};

static bool regset_find(uint64_t type, struct regset *out)
{
    switch (type) {
    case NT_PRSTATUS:
        *out = (struct regset){.size = sizeof(struct user_regs_struct)};
        return true;
    case NT_PRFPREG:
        *out = (struct regset){.size = FXSAVE_SIZE, .is_fpu = true};
        return true;
    case NT_X86_XSTATE:
        *out = (struct regset){.size = g_kernel.platform->fpu_size, .is_fpu = true};
        return true;
    default:
        return false;
    }
}

static int regset_get_locked(struct ptrace_link *l, const struct regset *rs, void *image)
{
    if (rs->is_fpu)
        return pl_ops()->ctx_get_fpu(l->task->ctx, image);
    memcpy(image, &l->task->regs, rs->size);
    return 0;
}

static int regset_set_locked(struct ptrace_link *l, const struct regset *rs, const void *image)
{
    if (rs->is_fpu)
        return pl_ops()->ctx_set_fpu(l->task->ctx, image);
    regs_store(l, image);
    return 0;
}

/* The stopped tracee, or -ESRCH. tasks_lock held. */
static struct ptrace_link *stopped_locked(struct request *q)
{
    struct ptrace_link *l = ptrace_find_locked(q->me->process, q->pid);
    return l && l->stopped && !l->listening ? l : NULL;
}

/* Room for the largest image; a set shorter than it is laid over what is there. */
static int64_t regset_move(struct request *q, const struct regset *rs, uint64_t ua, size_t size,
                           bool set)
{
    size_t room = MAX(sizeof(struct user_regs_struct), (size_t)g_kernel.platform->fpu_size);
    char *image = calloc(1, room), *given = set ? malloc(size ? size : 1) : NULL;
    int64_t err = image && (given || !set) ? 0 : -ENOMEM;
    if (!err && set && uaccess_read(q->me->mm, given, uaddr(ua), size))
        err = -EFAULT;
    if (!err) {
        LOCK_GUARD(&g_kernel.tasks_lock);
        struct ptrace_link *l = stopped_locked(q);
        err = l ? regset_get_locked(l, rs, image) : -ESRCH;
        if (!err && set) {
            memcpy(image, given, size);
            err = regset_set_locked(l, rs, image);
        }
    }
    if (!err && !set && uaccess_write(q->me->mm, uaddr(ua), image, size))
        err = -EFAULT;
    free(given);
    free(image);
    return err;
}

static int64_t do_regset(struct request *q)
{
    struct iovec iov;
    struct regset rs;
    if (!regset_find(q->addr, &rs))
        return -EINVAL;
    if (uaccess_read_obj(q->me->mm, &iov, uaddr(q->data)))
        return -EFAULT;
    iov.iov_len = MIN(iov.iov_len, rs.size);
    if (q->addr == NT_PRSTATUS && iov.iov_len % sizeof(uint64_t))
        return -EINVAL;
    int64_t err =
        regset_move(q, &rs, (uint64_t)iov.iov_base, iov.iov_len, q->op == PTRACE_SETREGSET);
    if (!err && uaccess_write_obj(q->me->mm, uaddr(q->data), &iov))
        err = -EFAULT;
    return err;
}

/* ---- memory
 * --------------------------------------------------------------------------------------- */

static int64_t do_memory(struct request *q)
{
    bool poke = q->op == PTRACE_POKETEXT || q->op == PTRACE_POKEDATA;
    lock_acquire(&g_kernel.tasks_lock);
    struct ptrace_link *l = stopped_locked(q);
    struct mm *mm = l ? task_mm_get(l->task) : NULL;
    lock_release(&g_kernel.tasks_lock);
    if (!mm)
        return -ESRCH;
    uint64_t word = q->data;
    size_t n = poke ? uaccess_write_forced(mm, uaddr(q->addr), &word, sizeof(word))
                    : uaccess_read_forced(mm, &word, uaddr(q->addr), sizeof(word));
    mm_put(mm);
    if (n < sizeof(word))
        return -EIO;
    return poke ? 0 : uaccess_write_obj(q->me->mm, uaddr(q->data), &word);
}

/* ---- what is asked about a stop
 * ------------------------------------------------------------------- */

static void syscall_info_locked(struct ptrace_link *l, struct ptrace_syscall_info *out)
{
    const struct user_regs_struct *r = &l->task->regs;
    *out = (struct ptrace_syscall_info){.op = l->syscall_op,
                                        .arch = AUDIT_ARCH_X86_64,
                                        .instruction_pointer = r->rip,
                                        .stack_pointer = r->rsp};
    if (l->syscall_op == PTRACE_SYSCALL_INFO_ENTRY) {
        uint64_t args[6] = {r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9};
        out->entry.nr = r->orig_rax;
        memcpy(out->entry.args, args, sizeof(args));
    } else if (l->syscall_op == PTRACE_SYSCALL_INFO_EXIT) {
        out->exit.rval = r->rax;
        out->exit.is_error = (int64_t)r->rax < 0 && (int64_t)r->rax >= -4095;
    } else if (l->syscall_op == PTRACE_SYSCALL_INFO_SECCOMP) {
        uint64_t args[6] = {r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9};
        out->seccomp.nr = r->orig_rax;
        memcpy(out->seccomp.args, args, sizeof(args));
        out->seccomp.ret_data = l->syscall_result;
    }
}

static size_t syscall_info_size(const struct ptrace_syscall_info *i)
{
    switch (i->op) {
    case PTRACE_SYSCALL_INFO_ENTRY:
        return offsetof(struct ptrace_syscall_info, entry) + sizeof(i->entry);
    case PTRACE_SYSCALL_INFO_EXIT:
        return offsetof(struct ptrace_syscall_info, exit.is_error) + sizeof(i->exit.is_error);
    case PTRACE_SYSCALL_INFO_SECCOMP:
        return offsetof(struct ptrace_syscall_info, seccomp.ret_data) + sizeof(i->seccomp.ret_data);
    default:
        return offsetof(struct ptrace_syscall_info, entry);
    }
}

static int64_t do_syscall_info(struct request *q)
{
    struct ptrace_syscall_info info;
    lock_acquire(&g_kernel.tasks_lock);
    struct ptrace_link *l = stopped_locked(q);
    if (l)
        syscall_info_locked(l, &info);
    lock_release(&g_kernel.tasks_lock);
    if (!l)
        return -ESRCH;
    size_t size = syscall_info_size(&info);
    if (uaccess_write(q->me->mm, uaddr(q->data), &info, MIN(q->addr, (uint64_t)size)))
        return -EFAULT;
    return size;
}

/* One word or structure that belongs to the stop. */
union answer {
    uint64_t word;
    siginfo_t info;
    struct user_regs_struct regs;
};

static int64_t get_locked(struct request *q, struct ptrace_link *l, union answer *out, size_t *size)
{
    switch (q->op) {
    case PTRACE_PEEKUSR:
        *size = sizeof(out->word);
        return peek_user_locked(q, l, &out->word);
    case PTRACE_GETEVENTMSG:
        *size = sizeof(out->word);
        out->word = l->message;
        return 0;
    case PTRACE_GETSIGMASK:
        *size = sizeof(out->word);
        out->word = l->task->blocked;
        return q->addr == sizeof(sigmask_t) ? 0 : -EINVAL;
    case PTRACE_GETSIGINFO:
        *size = sizeof(out->info);
        out->info = l->info;
        return l->no_info ? -EINVAL : 0;
    default: /* PTRACE_GETREGS */
        *size = sizeof(out->regs);
        out->regs = l->task->regs;
        return 0;
    }
}

static int64_t do_get(struct request *q)
{
    union answer out;
    size_t size = 0;
    lock_acquire(&g_kernel.tasks_lock);
    struct ptrace_link *l = stopped_locked(q);
    int64_t err = l ? get_locked(q, l, &out, &size) : -ESRCH;
    lock_release(&g_kernel.tasks_lock);
    return err ? err : uaccess_write(q->me->mm, uaddr(q->data), &out, size);
}

static int64_t set_locked(struct request *q, struct ptrace_link *l, const union answer *in)
{
    switch (q->op) {
    case PTRACE_SETREGS:
        regs_store(l, &in->regs);
        return 0;
    case PTRACE_SETSIGINFO:
        l->info = in->info;
        return l->no_info ? -EINVAL : 0;
    default: /* PTRACE_SETSIGMASK */
        if (q->addr != sizeof(sigmask_t))
            return -EINVAL;
        lock_acquire(&l->task->process->sig_lock);
        l->task->blocked = in->word & ~(SIGMASK(SIGKILL) | SIGMASK(SIGSTOP));
        signal_recalc_locked(l->task);
        lock_release(&l->task->process->sig_lock);
        return 0;
    }
}

static int64_t do_set(struct request *q)
{
    union answer in = {0};
    size_t size = q->op == PTRACE_SETREGS      ? sizeof(in.regs)
                  : q->op == PTRACE_SETSIGINFO ? sizeof(in.info)
                                               : sizeof(in.word);
    if (uaccess_read(q->me->mm, &in, uaddr(q->data), size))
        return -EFAULT;
    LOCK_GUARD(&g_kernel.tasks_lock);
    struct ptrace_link *l = stopped_locked(q);
    return l ? set_locked(q, l, &in) : -ESRCH;
}

static int64_t do_stopped(struct request *q)
{
    LOCK_GUARD(&g_kernel.tasks_lock);
    struct ptrace_link *l = stopped_locked(q);
    if (!l)
        return -ESRCH;
    switch (q->op) {
    case PTRACE_SETOPTIONS:
        return do_options_locked(q, l);
    case PTRACE_POKEUSR:
        return poke_user_locked(q, l);
    case PTRACE_LISTEN:
        if (!l->seized || l->code >> 8 != PTRACE_EVENT_STOP)
            return -EIO;
        l->listening = true;
        task_wake(l->task); /* it may have been continued since */
        return 0;
    default:
        return do_resume_locked(q, l);
    }
}

/* ---- the table
 * ------------------------------------------------------------------------------------ */

int64_t ptrace_request(struct task *t, int64_t op, int pid, uint64_t addr, uint64_t data)
{
    struct request q = {
        .me = t, .op = op, .pid = task_means_id(t, pid), .addr = addr, .data = data};
    static const struct regset fpregs = {.size = FXSAVE_SIZE, .is_fpu = true};
    switch (op) {
    case PTRACE_TRACEME:
        return do_traceme(&q);
    case PTRACE_ATTACH:
    case PTRACE_SEIZE:
        return do_attach(&q);
    case PTRACE_INTERRUPT:
        return do_interrupt(&q);
    case PTRACE_KILL:
        return do_kill(&q);
    case PTRACE_PEEKTEXT:
    case PTRACE_PEEKDATA:
    case PTRACE_POKETEXT:
    case PTRACE_POKEDATA:
        return do_memory(&q);
    case PTRACE_GETFPREGS:
    case PTRACE_SETFPREGS:
        return regset_move(&q, &fpregs, data, FXSAVE_SIZE, op == PTRACE_SETFPREGS);
    case PTRACE_GETREGSET:
    case PTRACE_SETREGSET:
        return do_regset(&q);
    case PTRACE_GET_SYSCALL_INFO:
        return do_syscall_info(&q);
    case PTRACE_PEEKUSR:
    case PTRACE_GETEVENTMSG:
    case PTRACE_GETSIGMASK:
    case PTRACE_GETSIGINFO:
    case PTRACE_GETREGS:
        return do_get(&q);
    case PTRACE_SETREGS:
    case PTRACE_SETSIGINFO:
    case PTRACE_SETSIGMASK:
        return do_set(&q);
    case PTRACE_SETOPTIONS:
    case PTRACE_POKEUSR:
    case PTRACE_LISTEN:
    case PTRACE_CONT:
    case PTRACE_SYSCALL:
    case PTRACE_SINGLESTEP:
    case PTRACE_SYSEMU:
    case PTRACE_SYSEMU_SINGLESTEP:
    case PTRACE_DETACH:
        return do_stopped(&q);
    default:
        return -EIO;
    }
}
