/* The guest's own seccomp: strict mode and BPF filters, interpreted here.
 *
 * Filters form a chain from the newest to the oldest, shared by fork and counted. Every filter
 * runs; the most restrictive answer wins, the newest among equals. Programs are checked when
 * installed as Linux does: only loads of aligned words of struct seccomp_data, forward jumps, a RET
 * at the end. */
#include "kernel/seccomp_priv.h"

#include "base/log.h"
#include "fs/vfs.h"
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#define CHAIN_INSNS_MAX 32768

struct seccomp_chain {
    struct ref ref;
    struct seccomp_chain *next;        /* const; counted; older */
    unsigned total;                    /* instructions in this and all older ones */
    unsigned depth;                    /* how many there are with this one */
    struct seccomp_listener *listener; /* const; counted, or NULL: RET_USER_NOTIF's supervisor */
    unsigned count;
    struct sock_filter insns[];
};

static void chain_put(struct seccomp_chain *c)
{
    while (c && ref_put(&c->ref)) {
        struct seccomp_chain *next = c->next;
        if (c->listener) {
            listener_orphan(c->listener);
            listener_put(c->listener);
        }
        free(c);
        c = next;
    }
}

void seccomp_get(struct task *from, struct task *to)
{
    struct seccomp_chain *c = from->seccomp;
    if (c)
        ref_get(&c->ref);
    to->seccomp = c;
    to->seccomp_count = from->seccomp_count;
    to->seccomp_mode = from->seccomp_mode;
    if (to->seccomp_mode)
        to->slow_entry |= TASK_SLOW_SECCOMP;
}

void seccomp_put(struct task *t)
{
    chain_put(t->seccomp);
    t->seccomp = NULL;
}

/* ---- checking a program
 * ------------------------------------------------------------------------------ */

static bool insn_ok(const struct sock_filter *f, unsigned pc, unsigned count)
{
    switch (f->code) {
    case BPF_LD | BPF_W | BPF_ABS:
        return f->k < sizeof(struct seccomp_data) && !(f->k & 3);
    case BPF_LD | BPF_MEM:
    case BPF_LDX | BPF_MEM:
    case BPF_ST:
    case BPF_STX:
        return f->k < BPF_MEMWORDS;
    case BPF_JMP | BPF_JA:
        return f->k < count - pc - 1;
    case BPF_JMP | BPF_JEQ | BPF_K:
    case BPF_JMP | BPF_JEQ | BPF_X:
    case BPF_JMP | BPF_JGE | BPF_K:
    case BPF_JMP | BPF_JGE | BPF_X:
    case BPF_JMP | BPF_JGT | BPF_K:
    case BPF_JMP | BPF_JGT | BPF_X:
    case BPF_JMP | BPF_JSET | BPF_K:
    case BPF_JMP | BPF_JSET | BPF_X:
        return pc + f->jt + 1 < count && pc + f->jf + 1 < count;
    case BPF_ALU | BPF_DIV | BPF_K:
        return f->k != 0;
    case BPF_ALU | BPF_LSH | BPF_K:
    case BPF_ALU | BPF_RSH | BPF_K:
        return f->k < 32;
    case BPF_LD | BPF_W | BPF_LEN:
    case BPF_LDX | BPF_W | BPF_LEN:
    case BPF_LD | BPF_IMM:
    case BPF_LDX | BPF_IMM:
    case BPF_MISC | BPF_TAX:
    case BPF_MISC | BPF_TXA:
    case BPF_RET | BPF_K:
    case BPF_RET | BPF_A:
    case BPF_ALU | BPF_ADD | BPF_K:
    case BPF_ALU | BPF_ADD | BPF_X:
    case BPF_ALU | BPF_SUB | BPF_K:
    case BPF_ALU | BPF_SUB | BPF_X:
    case BPF_ALU | BPF_MUL | BPF_K:
    case BPF_ALU | BPF_MUL | BPF_X:
    case BPF_ALU | BPF_DIV | BPF_X:
    case BPF_ALU | BPF_AND | BPF_K:
    case BPF_ALU | BPF_AND | BPF_X:
    case BPF_ALU | BPF_OR | BPF_K:
    case BPF_ALU | BPF_OR | BPF_X:
    case BPF_ALU | BPF_XOR | BPF_K:
    case BPF_ALU | BPF_XOR | BPF_X:
    case BPF_ALU | BPF_LSH | BPF_X:
    case BPF_ALU | BPF_RSH | BPF_X:
    case BPF_ALU | BPF_NEG:
        return true;
    }
    return false;
}

static bool program_ok(const struct sock_filter *f, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (!insn_ok(&f[i], i, count))
            return false;
    return BPF_CLASS(f[count - 1].code) == BPF_RET;
}

/* ---- running
 * ------------------------------------------------------------------------------------------ */

static uint32_t alu(uint16_t code, uint32_t a, uint32_t b)
{
    switch (BPF_OP(code)) {
    case BPF_ADD:
        return a + b;
    case BPF_SUB:
        return a - b;
    case BPF_MUL:
        return a * b;
    case BPF_DIV:
        return b ? a / b : 0;
    case BPF_AND:
        return a & b;
    case BPF_OR:
        return a | b;
    case BPF_XOR:
        return a ^ b;
    case BPF_LSH:
        return b < 32 ? a << b : 0;
    case BPF_RSH:
        return b < 32 ? a >> b : 0;
    case BPF_NEG:
        return -a;
    }
    return 0;
}

static bool jump_taken(uint16_t code, uint32_t a, uint32_t b)
{
    switch (BPF_OP(code)) {
    case BPF_JEQ:
        return a == b;
    case BPF_JGE:
        return a >= b;
    case BPF_JGT:
        return a > b;
    }
    return a & b;
}

static void load(const struct sock_filter *f, const struct seccomp_data *d, const uint32_t *mem,
                 uint32_t *to)
{
    if (BPF_MODE(f->code) == BPF_ABS)
        memcpy(to, (const char *)d + f->k, 4);
    else if (BPF_MODE(f->code) == BPF_MEM)
        *to = mem[f->k];
    else
        *to = BPF_MODE(f->code) == BPF_LEN ? sizeof(*d) : f->k;
}

static uint32_t program_run(const struct seccomp_chain *c, const struct seccomp_data *d)
{
    uint32_t a = 0, x = 0, mem[BPF_MEMWORDS] = {0};
    for (unsigned pc = 0; pc < c->count; pc++) {
        const struct sock_filter *f = &c->insns[pc];
        uint32_t operand = BPF_SRC(f->code) == BPF_X ? x : f->k;
        switch (BPF_CLASS(f->code)) {
        case BPF_LD:
            load(f, d, mem, &a);
            break;
        case BPF_LDX:
            load(f, d, mem, &x);
            break;
        case BPF_ST:
            mem[f->k] = a;
            break;
        case BPF_STX:
            mem[f->k] = x;
            break;
        case BPF_ALU:
            a = alu(f->code, a, operand);
            break;
        case BPF_JMP:
            if (BPF_OP(f->code) == BPF_JA)
                pc += f->k;
            else
                pc += jump_taken(f->code, a, operand) ? f->jt : f->jf;
            break;
        case BPF_RET:
            return BPF_RVAL(f->code) == BPF_A ? a : f->k;
        default: /* MISC */
            if (BPF_MISCOP(f->code) == BPF_TAX)
                x = a;
            else
                a = x;
        }
    }
    return SECCOMP_RET_KILL_PROCESS;
}

static int32_t action_rank(uint32_t ret)
{
    return (int32_t)(ret & SECCOMP_RET_ACTION_FULL);
}

/* *match: the filter that said it. */
static uint32_t chain_run(const struct seccomp_chain *c, const struct seccomp_data *d,
                          const struct seccomp_chain **match)
{
    uint32_t best = SECCOMP_RET_ALLOW;
    for (*match = c; c; c = c->next) {
        uint32_t r = program_run(c, d);
        if (action_rank(r) < action_rank(best)) {
            best = r;
            *match = c;
        }
    }
    return best;
}

/* ---- acting on the answer
 * ------------------------------------------------------------------------------- */

static bool seccomp_filter(struct task *t, struct sysargs *a, bool again, int64_t *result);

static void seccomp_info(const struct sysargs *a, uint32_t data, uint64_t ip, siginfo_t *info)
{
    *info = (siginfo_t){.si_signo = SIGSYS, .si_code = 1 /* SYS_SECCOMP */, .si_errno = data};
    info->si_call_addr = (void *)ip;
    info->si_syscall = a->nr;
    info->si_arch = AUDIT_ARCH_X86_64;
}

static bool seccomp_kill(struct task *t, const struct sysargs *a, bool whole_process,
                         int64_t *result)
{
    siginfo_t info;
    lock_acquire(&t->process->sig_lock);
    bool all = whole_process || t->process->task_count == 1;
    lock_release(&t->process->sig_lock);
    seccomp_info(a, 0, t->syscall_ip, &info);
    bool dumped = all && core_dump(t, &info);
    lock_acquire(&t->process->sig_lock);
    if (all)
        process_exit_group_locked(t->process, SIGSYS | (dumped ? 0x80 : 0));
    lock_release(&t->process->sig_lock);
    t->exit_wanted = true;
    t->exit_code = SIGSYS;
    *result = -EPERM;
    return true;
}

static bool seccomp_trap(struct task *t, const struct sysargs *a, uint32_t data, uint64_t ip)
{
    siginfo_t info;
    seccomp_info(a, data, ip, &info);
    struct user_regs_struct *r = task_regs(t);
    if (r) { /* the handler finds the call number in rax and answers by writing it */
        r->rax = a->nr;
        task_regs_dirty(t);
    }
    signal_force(t, SIGSYS, &info);
    t->no_result = true;
    return true;
}

/* A tracer may change the call or say its answer; what it makes of it is looked at once more. */
static bool seccomp_trace(struct task *t, struct sysargs *a, uint32_t data, bool again,
                          int64_t *result)
{
    bool skip = false;
    *result = -ENOSYS;
    if (again) /* it saw this call already */
        return false;
    if (!ptrace_seccomp(t, data, a, &skip, result) || skip)
        return true;
    return seccomp_filter(t, a, /*again=*/true, result);
}

static bool seccomp_notify(struct task *t, const struct seccomp_chain *match,
                           const struct seccomp_data *d, int64_t *result)
{
    *result = -ENOSYS; /* nobody listens */
    return match->listener ? listener_ask(t, match->listener, d, result) : true;
}

static bool seccomp_act(struct task *t, struct sysargs *a, const struct seccomp_data *d, bool again,
                        int64_t *result)
{
    const struct seccomp_chain *match;
    uint32_t ret = chain_run(t->seccomp, d, &match);
    uint64_t ip = d->instruction_pointer;
    uint32_t data = ret & SECCOMP_RET_DATA;
    switch (ret & SECCOMP_RET_ACTION_FULL) {
    case SECCOMP_RET_ALLOW:
    case SECCOMP_RET_LOG:
        return false;
    case SECCOMP_RET_ERRNO:
        *result = -(int64_t)(data > 4095 ? 4095 : data);
        return true;
    case SECCOMP_RET_TRAP:
        *result = -ENOSYS;
        return seccomp_trap(t, a, data, ip);
    case SECCOMP_RET_TRACE:
        return seccomp_trace(t, a, data, again, result);
    case SECCOMP_RET_USER_NOTIF:
        return seccomp_notify(t, match, d, result);
    case SECCOMP_RET_KILL_THREAD:
        return seccomp_kill(t, a, /*whole_process=*/false, result);
    }
    return seccomp_kill(t, a, /*whole_process=*/true, result);
}

static bool strict_allows(uint64_t nr)
{
    return nr == SYS_read || nr == SYS_write || nr == SYS_exit || nr == SYS_rt_sigreturn;
}

static bool seccomp_filter(struct task *t, struct sysargs *a, bool again, int64_t *result)
{
    struct seccomp_data d = {.nr = (int)a->nr, .arch = AUDIT_ARCH_X86_64};
    d.instruction_pointer = t->syscall_ip;
    for (int i = 0; i < 6; i++)
        d.args[i] = a->v[i];
    return seccomp_act(t, a, &d, again, result);
}

bool seccomp_check(struct task *t, struct sysargs *a, int64_t *result)
{
    if (t->seccomp_mode == SECCOMP_MODE_STRICT) {
        if (strict_allows((uint32_t)a->nr))
            return false;
        lock_acquire(&t->process->sig_lock);
        bool alone = t->process->task_count == 1;
        lock_release(&t->process->sig_lock);
        t->exit_wanted = true;
        t->exit_code = SIGKILL;
        *result = -EPERM;
        if (alone)
            process_exit_group(t->process, SIGKILL);
        return true;
    }
    return seccomp_filter(t, a, /*again=*/false, result);
}

/* ---- installing
 * ------------------------------------------------------------------------------------------ */

int64_t seccomp_strict(struct task *t)
{
    if (t->seccomp_mode && t->seccomp_mode != SECCOMP_MODE_STRICT)
        return -EINVAL;
    t->seccomp_mode = SECCOMP_MODE_STRICT;
    t->slow_entry |= TASK_SLOW_SECCOMP;
    return 0;
}

struct sock_fprog_k {
    uint16_t len;
    uint8_t pad[6];
    uint64_t filter;
};

static int chain_new(unsigned count, struct seccomp_chain **out)
{
    if (!count || count > BPF_MAXINSNS)
        return -EINVAL;
    struct seccomp_chain *c = malloc(sizeof(*c) + count * sizeof(struct sock_filter));
    if (!c)
        return -ENOMEM;
    *c = (struct seccomp_chain){.count = count, .total = count};
    ref_init(&c->ref);
    *out = c;
    return 0;
}

static int chain_import(struct task *t, struct uaddr ua, struct seccomp_chain **out)
{
    struct sock_fprog_k prog;
    struct seccomp_chain *c;
    if (uaccess_read_obj(t->mm, &prog, ua))
        return -EFAULT;
    int r = chain_new(prog.len, &c);
    if (r)
        return r;
    bool may = t->cred->no_new_privs || (t->cred->cap_effective & 1ull << CAP_SYS_ADMIN);
    r = may ? uaccess_read(t->mm, c->insns, uaddr(prog.filter), c->count * sizeof(c->insns[0]))
            : -EACCES;
    if (!r && !program_ok(c->insns, c->count))
        r = -EINVAL;
    if (r) {
        free(c);
        return r;
    }
    *out = c;
    return 0;
}

static bool chain_is_ancestor(const struct seccomp_chain *old, const struct seccomp_chain *of)
{
    if (!old)
        return true;
    for (; of; of = of->next)
        if (of == old)
            return true;
    return false;
}

/* TSYNC: every other thread must run a chain that ours extends. The tid of one that does not. */
static int tsync_check_locked(struct task *t)
{
    struct task *o;
    list_for_each(o, &t->process->tasks, process_node)
    {
        if (o == t || o->exiting || o->leaving)
            continue;
        if (o->seccomp_mode == SECCOMP_MODE_STRICT || !chain_is_ancestor(o->seccomp, t->seccomp))
            return o->vtid;
    }
    return 0;
}

static void tsync_adopt_locked(struct task *t)
{
    struct task *o;
    list_for_each(o, &t->process->tasks, process_node)
    {
        if (o == t || o->exiting || o->leaving)
            continue;
        struct seccomp_chain *c = t->seccomp;
        ref_get(&c->ref);
        /* Its old chain may be in use by its own thread right now: ours contains (and counts) it,
         * and lives as long as t's; dropping only the reference is safe. */
        chain_put(__atomic_exchange_n(&o->seccomp, c, __ATOMIC_SEQ_CST));
        o->seccomp_count = c->depth;
        o->seccomp_mode = SECCOMP_MODE_FILTER;
        __atomic_or_fetch(&o->slow_entry, TASK_SLOW_SECCOMP, __ATOMIC_SEQ_CST);
    }
}

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV 32u
#endif
#define FLAGS_KNOWN                                                                                \
    (SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_SPEC_ALLOW |        \
     SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_TSYNC_ESRCH |                          \
     SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)

static int add_check_flags(unsigned flags)
{
    bool listener = flags & SECCOMP_FILTER_FLAG_NEW_LISTENER;
    if (flags & ~FLAGS_KNOWN)
        return -EINVAL;
    /* Two kinds of positive answers cannot be told apart. */
    if ((flags & SECCOMP_FILTER_FLAG_TSYNC) && listener &&
        !(flags & SECCOMP_FILTER_FLAG_TSYNC_ESRCH))
        return -EINVAL;
    return (flags & SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV) && !listener ? -EINVAL : 0;
}

static bool chain_has_listener(const struct seccomp_chain *c)
{
    for (; c; c = c->next)
        if (c->listener)
            return true;
    return false;
}

/* 0, or the tid that stands in the way of TSYNC, or an errno. c is consumed on success. */
static int64_t chain_attach(struct task *t, unsigned flags, struct seccomp_chain *c)
{
    struct seccomp_chain *old = t->seccomp;
    LOCK_GUARD(&t->process->sig_lock);
    int other = flags & SECCOMP_FILTER_FLAG_TSYNC ? tsync_check_locked(t) : 0;
    if (other)
        return flags & SECCOMP_FILTER_FLAG_TSYNC_ESRCH ? -ESRCH : other;
    c->next = old; /* our reference on it moves into c */
    c->total += old ? old->total + 4 : 0;
    c->depth = old ? old->depth + 1 : 1;
    t->seccomp = c;
    t->seccomp_count = c->depth;
    t->seccomp_mode = SECCOMP_MODE_FILTER;
    t->slow_entry |= TASK_SLOW_SECCOMP;
    if (flags & SECCOMP_FILTER_FLAG_TSYNC)
        tsync_adopt_locked(t);
    return 0;
}

int seccomp_filter_install(struct task *t, unsigned flags, const struct sock_filter *insns,
                           unsigned count)
{
    struct seccomp_chain *c;
    if (flags & ~FLAGS_KNOWN)
        return -EINVAL;
    int r = chain_new(count, &c);
    if (r)
        return r;
    memcpy(c->insns, insns, count * sizeof(*insns));
    if (!program_ok(c->insns, count)) {
        free(c);
        return -EINVAL;
    }
    return chain_attach(t, flags & ~(unsigned)SECCOMP_FILTER_FLAG_TSYNC, c);
}

/* The descriptor is there before the filter is: no call of another thread is asked about in vain.
 */
static int64_t chain_attach_listener(struct task *t, unsigned flags, struct seccomp_chain *c)
{
    struct file *f;
    int64_t r = listener_new(t, flags, &c->listener, &f);
    if (r)
        return r;
    int fd = fdtable_install(t, f, 0, /*cloexec=*/true);
    if (fd < 0) {
        file_put(f);
        return fd;
    }
    r = chain_attach(t, flags, c);
    if (r)
        fdtable_close(t, fd);
    return r ? r : fd;
}

int64_t seccomp_filter_add(struct task *t, unsigned flags, struct uaddr prog)
{
    struct seccomp_chain *c, *old = t->seccomp;
    bool listener = flags & SECCOMP_FILTER_FLAG_NEW_LISTENER;
    int64_t r = add_check_flags(flags);
    if (!r)
        r = chain_import(t, prog, &c);
    if (r)
        return r;
    if (t->seccomp_mode == SECCOMP_MODE_STRICT)
        r = -EINVAL;
    else if (listener && chain_has_listener(old))
        r = -EBUSY;
    else if (old && old->total + c->count + 4 > CHAIN_INSNS_MAX)
        r = -ENOMEM;
    if (!r)
        r = listener ? chain_attach_listener(t, flags, c) : chain_attach(t, flags, c);
    if (t->seccomp != c)
        chain_put(c);
    return r;
}
