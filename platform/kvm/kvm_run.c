/* ctx_run: take a vCPU, enter, and turn what came out into an event. */
#include "kvm_priv.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RUN_EFAULT_MAX   1000u
#define RUN_SPURIOUS_MAX 16u

/* The kick must be able to reach this thread in KVM_RUN. */
static void run_unblock_kick(void)
{
    static __thread bool done;
    sigset_t set;
    if (done)
        return;
    sigemptyset(&set);
    sigaddset(&set, KVM_KICK_SIGNAL);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    done = true;
}

static bool run_died(struct pl_ctx *c, struct pl_event *ev)
{
    c->dead = true;
    ev->kind = PL_EV_DIED;
    return true;
}

static bool run_fatal(struct pl_ctx *c, struct kvm_vcpu *v, struct pl_event *ev, const char *why)
{
    const struct kvm_regs *r = &v->run->s.regs.regs;
    KVM_CTX_P(c)->cfg.log("kvm: a guest thread dies: %s (exit %u, errno %d, rip %llx, rsp %llx)",
                          why, v->run->exit_reason, errno, r->rip, r->rsp);
    v->broken = true;
    return run_died(c, ev);
}

static bool run_syscall(struct pl_ctx *c, struct pl_event *ev)
{
    struct kvm_regs *r = &c->regs;
    ev->kind = PL_EV_SYSCALL;
    ev->syscall.nr = c->orig_rax = r->rax;
    ev->syscall.args[0] = r->rdi;
    ev->syscall.args[1] = r->rsi;
    ev->syscall.args[2] = r->rdx;
    ev->syscall.args[3] = r->r10;
    ev->syscall.args[4] = r->r8;
    ev->syscall.args[5] = r->r9;
    ev->syscall.ip = r->rip;
    r->rax = (uint64_t)-ENOSYS;
    return true;
}

static unsigned fault_access(uint64_t error)
{
    return error & 0x10 ? PL_EXEC : error & 2 ? PL_WRITE : PL_READ;
}

/* Nothing to report: another thread has mapped it meanwhile, or the backing is there again. Not
 * believed for ever, so that no disagreement with the processor can become a loop. */
static bool fault_is_spurious(struct pl_ctx *c, uint64_t addr, uint64_t error, bool *bus)
{
    struct pl_aspace *as = c->as;
    if (addr >= KVM_VA_END || error & 8)
        return false;
    pthread_mutex_lock(&as->lock);
    uint64_t pte = kvm_pt_get_locked(as, addr);
    bool fine = kvm_pte_allows(pte, fault_access(error));
    if (!fine && !(pte & KVM_PTE_P) && pte & KVM_PTE_BUS) {
        fine = kvm_pt_retry_bus_locked(as, addr);
        *bus = !fine;
    }
    pthread_mutex_unlock(&as->lock);
    if (!fine)
        return false;
    if (c->spurious_addr != addr)
        c->spurious_count = 0;
    c->spurious_addr = addr;
    return c->spurious_count++ < RUN_SPURIOUS_MAX;
}

static bool run_fault(struct pl_ctx *c, struct kvm_vcpu *v, const struct kvm_trap *t,
                      struct pl_event *ev)
{
    struct kvm_sregs s;
    bool bus = false;
    if (kvm_ioctl(v->fd, KVM_GET_SREGS, &s) < 0)
        return run_fatal(c, v, ev, "no segment registers");
    if (fault_is_spurious(c, s.cr2, t->error, &bus))
        return false;
    c->spurious_count = 0;
    ev->kind = PL_EV_FAULT;
    ev->fault.addr = s.cr2;
    ev->fault.ip = t->rip;
    ev->fault.access = fault_access(t->error);
    ev->fault.bus = bus;
    return true;
}

static bool run_trap(struct pl_ctx *c, struct kvm_vcpu *v, const struct kvm_trap *t,
                     struct pl_event *ev)
{
    c->regs = v->run->s.regs.regs;
    c->regs.rip = t->rip;
    c->regs.rsp = t->rsp;
    c->regs.rflags = t->rflags;
    c->orig_rax = (uint64_t)-1;
    c->efault_count = 0;
    if (t->vector == 14)
        return run_fault(c, v, t, ev);
    c->spurious_count = 0;
    if (t->vector == -1)
        return run_syscall(c, ev);
    ev->kind = PL_EV_EXCEPTION;
    ev->exception.trapno = (unsigned)t->vector;
    ev->exception.error = t->error;
    ev->exception.ip = t->rip;
    return true;
}

/* KVM could not get at the memory behind a mapping: the page lies behind the end of a host file.
 * Take such pages out of the tables, so that the access is tried again and faults with an exact
 * address. */
static bool run_efault(struct pl_ctx *c, struct kvm_vcpu *v, struct pl_event *ev)
{
    bool known = v->run->exit_reason == KVM_EXIT_MEMORY_FAULT_NR;
    uint64_t gpa = 0;
    if (known)
        memcpy(&gpa, (const uint8_t *)&v->run->hw + 8, 8);
    pthread_mutex_lock(&c->as->lock);
    int found = kvm_pt_mark_bus_locked(c->as, gpa, known);
    pthread_mutex_unlock(&c->as->lock);
    if (!found && c->efault_count++ > RUN_EFAULT_MAX)
        return run_fatal(c, v, ev, "memory cannot be reached");
    if (!found)
        sched_yield();
    return false;
}

static void run_publish(struct pl_ctx *c, struct kvm_vcpu *v)
{
    kvm_vcpu_arm(v);
    atomic_store(&c->active, v);
    atomic_store(&v->active, c->as);
}

static void run_withdraw(struct pl_ctx *c, struct kvm_vcpu *v)
{
    atomic_store(&v->active, NULL);
    atomic_store(&c->active, NULL);
    atomic_fetch_add(&v->left, 1);
    if (atomic_load(&KVM_CTX_P(c)->flush_waiters))
        syscall(SYS_futex, &v->left, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* One entry. True: there is an event. The order of publish, generation and interrupt is what makes
 * kicks safe: who changes something first and looks for runners after is always seen here. */
static bool run_once(struct pl_ctx *c, struct kvm_vcpu *v, struct pl_event *ev)
{
    struct kvm_platform *p = KVM_CTX_P(c);
    struct kvm_trap t;
    bool started = false;
    if (c->bases_dirty && kvm_vcpu_load_bases(v, c) < 0)
        return run_fatal(c, v, ev, "segment bases refused");
    run_publish(c, v);
    int rc = kvm_enter_prepare(p, v, &c->regs, c->as);
    if (rc < 0 || atomic_load(&c->interrupt)) {
        v->as_id = 0;
        run_withdraw(c, v);
        return rc < 0 ? run_fatal(c, v, ev, "CR3 refused") : false;
    }
    enum kvm_stop stop = kvm_enter(p, v, &t, &started);
    run_withdraw(c, v);
    if (stop == KVM_STOP_TRAP)
        return run_trap(c, v, &t, ev);
    if (stop == KVM_STOP_FATAL)
        return run_fatal(c, v, ev, "unexpected exit");
    if (started) {
        c->regs = v->run->s.regs.regs;
        c->orig_rax = (uint64_t)-1;
    }
    return stop == KVM_STOP_EFAULT ? run_efault(c, v, ev) : false;
}

/* An rip that is not canonical would fault in the iretq: say so without going in. */
static bool run_refused(struct pl_ctx *c, struct pl_event *ev)
{
    if (c->dead)
        return run_died(c, ev);
    if (atomic_exchange(&c->interrupt, false)) {
        c->orig_rax = (uint64_t)-1;
        ev->kind = PL_EV_INTERRUPTED;
        return true;
    }
    if (kvm_canonical(c->regs.rip))
        return false;
    c->orig_rax = (uint64_t)-1;
    ev->kind = PL_EV_EXCEPTION;
    ev->exception.trapno = 13;
    ev->exception.ip = c->regs.rip;
    return true;
}

void kvm_ctx_run(struct pl_ctx *c, struct pl_event *ev)
{
    struct kvm_platform *p = KVM_CTX_P(c);
    bool event = false;
    memset(ev, 0, sizeof(*ev));
    run_unblock_kick();
    while (!event && !run_refused(c, ev)) {
        struct kvm_vcpu *v;
        kvm_as_flush(c->as);
        int rc = kvm_pool_take(p, c, &v);
        if (rc == -EINTR)
            continue;
        if (rc < 0) {
            p->cfg.log("kvm: a guest thread dies: its vCPU cannot be loaded (%d)", rc);
            run_died(c, ev);
            return;
        }
        event = run_once(c, v, ev);
        kvm_pool_put(p, v);
    }
}
