/* One entry into ring 3 and the way out.
 *
 * In: the vCPU rests in ring 0; its rip is put on an iretq (after a CR3 load, if the address space
 * or its generation is another), its rsp on a frame in its own page. Out: a hlt at LSTAR or at one
 * of the vectors. So an entry is one KVM_RUN, with the registers in the shared kvm_run page. */
#include "kvm_priv.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#define RFLAGS_USER  0x254dd5ull /* what user code may set */
#define RFLAGS_FIXED 0x202ull
#define ENTER_TRIES  1000
#define CODE_BASE    KVM_KADDR(KVM_KP_CODE)
#define PF_ON_LSTAR  0x15u /* present, user, instruction fetch */

static uint64_t vcpu_page_va(const struct kvm_vcpu *v)
{
    return KVM_KADDR(KVM_KP_VCPU + v->index);
}

/* Under shadow paging a CR3 load in ring 0 is emulated, so an ioctl is cheaper; and there only the
 * address matters, since shadows are dropped by as_flush itself. */
static int enter_fix_sregs(struct kvm_platform *p, struct kvm_vcpu *v, uint64_t cr3)
{
    if (!v->in_user && (!p->shadow || v->cr3 == cr3))
        return 0;
    struct kvm_sregs s;
    int rc = kvm_ioctl(v->fd, KVM_GET_SREGS, &s);
    if (rc < 0)
        return rc;
    s.cs = v->sregs.cs;
    s.ss = v->sregs.ss;
    if (p->shadow)
        s.cr3 = cr3;
    rc = kvm_ioctl(v->fd, KVM_SET_SREGS, &s);
    v->cr3 = s.cr3;
    v->in_user = rc < 0;
    return rc;
}

int kvm_enter_prepare(struct kvm_platform *p, struct kvm_vcpu *v, const struct kvm_regs *r,
                      struct pl_aspace *as)
{
    uint64_t *frame = (uint64_t *)(v->page + KVM_VP_FRAME);
    uint64_t cr3 = as ? as->root : KVM_KP_STUB_ROOT * PL_PAGE_SIZE;
    uint64_t gen = as ? atomic_load(&as->gen) : 0, id = as ? as->id : 0;
    bool load = !p->shadow && (!id || v->as_id != id || v->as_gen != gen);
    int rc = enter_fix_sregs(p, v, cr3);
    struct kvm_regs *g = &v->run->s.regs.regs;
    v->as_id = id;
    v->as_gen = gen;
    *g = *r;
    frame[0] = r->rax;
    frame[1] = r->rip;
    frame[2] = KVM_SEL_UCODE;
    frame[3] = (r->rflags & RFLAGS_USER) | RFLAGS_FIXED;
    frame[4] = r->rsp;
    frame[5] = KVM_SEL_UDATA;
    if (load)
        g->rax = v->cr3 = cr3;
    g->rip = CODE_BASE + (load ? KVM_CODE_CR3 : KVM_CODE_IRETQ);
    g->rsp = vcpu_page_va(v) + KVM_VP_FRAME + (load ? 0 : 8);
    g->rflags = 2;
    v->run->kvm_dirty_regs = KVM_SYNC_X86_REGS;
    return rc;
}

static bool vector_has_error(int n)
{
    return n == 8 || (n >= 10 && n <= 14) || n == 17 || n == 21 || n == 29 || n == 30;
}

/* Read the frame that the processor pushed in ring 0's stack. */
static bool trap_read_frame(struct kvm_vcpu *v, struct kvm_trap *t)
{
    uint64_t frame[6], off = v->run->s.regs.regs.rsp - vcpu_page_va(v);
    unsigned n = vector_has_error(t->vector) ? 6 : 5;
    if (off < KVM_VP_FRAME || off > PL_PAGE_SIZE - n * 8)
        return false;
    memcpy(frame, v->page + off, n * 8);
    const uint64_t *f = frame + (n - 5);
    t->error = n == 6 ? frame[0] & 0xffffffffu : 0;
    t->rip = f[0];
    t->cs = f[1] & 0xffff;
    t->rflags = f[2];
    t->rsp = f[3];
    return true;
}

static void trap_syscall(struct kvm_vcpu *v, struct kvm_trap *t, uint64_t rsp)
{
    t->vector = -1;
    t->rip = v->run->s.regs.regs.rcx;
    t->rflags = v->run->s.regs.regs.r11;
    t->rsp = rsp;
}

static enum kvm_stop trap_decode(struct kvm_platform *p, struct kvm_vcpu *v, struct kvm_trap *t)
{
    uint64_t at = v->run->s.regs.regs.rip - CODE_BASE - 1;
    memset(t, 0, sizeof(*t));
    if (at == KVM_CODE_LSTAR) {
        trap_syscall(v, t, v->run->s.regs.regs.rsp);
        return KVM_STOP_TRAP;
    }
    t->vector = (int)(at - KVM_CODE_VECTORS);
    if (at < KVM_CODE_VECTORS || at >= KVM_CODE_VECTORS + 32 || !trap_read_frame(v, t))
        return KVM_STOP_FATAL;
    bool user = (t->cs & 3) == 3;
    if (!user && t->vector == 1 && t->rip == KVM_LSTAR) { /* SYSCALL with a single step pending */
        trap_syscall(v, t, t->rsp);
        return KVM_STOP_TRAP;
    }
    if (user && p->syscall_faults && t->vector == 14 && t->rip == KVM_LSTAR &&
        t->error == PF_ON_LSTAR) {
        trap_syscall(v, t, t->rsp);
        t->by_fault = true;
    }
    return user && t->vector != 2 && t->vector != 8 && t->vector != 18 ? KVM_STOP_TRAP
                                                                       : KVM_STOP_FATAL;
}

static bool event_pending(struct kvm_vcpu *v)
{
    struct kvm_vcpu_events e;
    if (kvm_ioctl(v->fd, KVM_GET_VCPU_EVENTS, &e) < 0)
        return false;
    return e.exception.injected || e.exception.pending || e.interrupt.injected || e.nmi.injected;
}

enum where { WHERE_GUEST, WHERE_BEFORE, WHERE_BETWEEN };

/* Where did an interrupted KVM_RUN stop? BETWEEN: on the way to a hlt, which has to be reached. A
 * guest that has jumped here from ring 3 is about to fault, and is taken for either without harm.
 */
static enum where enter_where(struct kvm_vcpu *v)
{
    uint64_t off = v->run->s.regs.regs.rip - CODE_BASE;
    if (off >= KVM_CODE_IRETQ && off < KVM_CODE_CR3 + 16)
        return WHERE_BEFORE;
    if (off < PL_PAGE_SIZE || event_pending(v))
        return WHERE_BETWEEN;
    return WHERE_GUEST;
}

static enum kvm_stop enter_stopped(struct kvm_vcpu *v, int err, bool *started)
{
    *started = enter_where(v) == WHERE_GUEST;
    v->in_user = *started;
    if (!*started)
        v->as_id = 0; /* CR3 may not have been loaded */
    return err == EFAULT ? KVM_STOP_EFAULT : KVM_STOP_KICKED;
}

enum kvm_stop kvm_enter(struct kvm_platform *p, struct kvm_vcpu *v, struct kvm_trap *t,
                        bool *started)
{
    for (int i = 0; i < ENTER_TRIES; i++) {
        v->run->exit_reason = KVM_EXIT_UNKNOWN;
        int rc = ioctl(v->fd, KVM_RUN, 0), err = rc < 0 ? errno : 0;
        v->run->kvm_dirty_regs = 0;
        if (rc >= 0)
            return v->run->exit_reason == KVM_EXIT_HLT ? trap_decode(p, v, t) : KVM_STOP_FATAL;
        if (err != EINTR && err != EAGAIN && err != EFAULT)
            return KVM_STOP_FATAL;
        if (enter_where(v) != WHERE_BETWEEN)
            return enter_stopped(v, err, started);
        kvm_vcpu_arm(v);
    }
    return KVM_STOP_FATAL;
}

/* A kick that finds a stub running is somebody else's late one: run on. */
int kvm_stub_run(struct kvm_platform *p, struct kvm_vcpu *v, unsigned which, struct kvm_regs *r,
                 int *vector)
{
    r->rip = kvm_stub_entry(which);
    for (int i = 0; i < ENTER_TRIES; i++) {
        struct kvm_trap t;
        bool started = false;
        kvm_vcpu_arm(v);
        int rc = kvm_enter_prepare(p, v, r, NULL);
        if (rc < 0)
            return rc;
        enum kvm_stop stop = kvm_enter(p, v, &t, &started);
        if (stop == KVM_STOP_TRAP) {
            *r = v->run->s.regs.regs;
            if (vector)
                *vector = t.by_fault ? 14 : t.vector;
            return t.vector == -1 ? 0 : -EIO;
        }
        if (stop != KVM_STOP_KICKED)
            return -EIO;
        if (started) /* go on where it stopped: the FP stub must not save twice */
            *r = v->run->s.regs.regs;
    }
    return -EIO;
}
