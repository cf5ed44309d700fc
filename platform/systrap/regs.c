/* Registers and FP state of a parked thread: they live in its signal frame, which is on the signal
 * stack and so open to the guest's other threads. It is copied once when the thread parks, and
 * written whole, from what we know, before the thread goes on. What the guest writes into it after
 * that only changes its own registers: the kernel's rt_sigreturn checks selectors and flags itself.
 */
#include "systrap_priv.h"

#include <cpuid.h>
#include <errno.h>
#include <string.h>

enum {
    FX_MXCSR = 24,
    FX_MXCSR_MASK = 28,
    FX_SW_BYTES = 464,
    FX_SIZE = 512,
    XSAVE_HEADER = 64,
    FX_FCW = 0x37f,
    MXCSR_INIT = 0x1f80,
    UC_FLAGS = 7, /* FP_XSTATE | SIGCONTEXT_SS | STRICT_RESTORE_SS */
    USER_CS = 0x33,
    USER_SS = 0x2b,
    REGS_PATIENCE_MS = 5000,
    EFLAGS_USER = 0x254dd5, /* ID AC RF OF DF TF SF ZF AF PF CF */
    EFLAGS_FIXED = 0x202,
    XFEATURE_PKRU = 9,
};
#define SW_MAGIC1 0x46505853u
#define SW_MAGIC2 0x46505845u

struct sw_bytes {
    uint32_t magic1;
    uint32_t extended_size;
    uint64_t xfeatures;
    uint32_t xstate_size;
    uint32_t padding[7];
};
_Static_assert(sizeof(struct sw_bytes) == FX_SIZE - FX_SW_BYTES, "the kernel's layout");

static char *slot_ptr(const struct pl_ctx *c, uint64_t va)
{
    return st_aspace_slot(c->as, 0) + (va - STUB_SLOTS);
}

struct st_frame *st_frame_of(struct pl_ctx *c)
{
    return (struct st_frame *)slot_ptr(c, c->frame_va);
}

void st_frame_read(struct pl_ctx *c, uint64_t fs, uint64_t gs)
{
    const struct st_sigcontext sc = st_frame_of(c)->sc;

    c->regs = (struct user_regs_struct){
        .r15 = sc.r15,
        .r14 = sc.r14,
        .r13 = sc.r13,
        .r12 = sc.r12,
        .rbp = sc.bp,
        .rbx = sc.bx,
        .r11 = sc.r11,
        .r10 = sc.r10,
        .r9 = sc.r9,
        .r8 = sc.r8,
        .rax = sc.ax,
        .rcx = sc.cx,
        .rdx = sc.dx,
        .rsi = sc.si,
        .rdi = sc.di,
        .orig_rax = -1ull,
        .rip = sc.ip,
        .cs = USER_CS,
        .eflags = sc.flags & (EFLAGS_USER | EFLAGS_FIXED),
        .rsp = sc.sp,
        .ss = USER_SS,
        .fs_base = fs,
        .gs_base = gs,
    };
}

void st_frame_write(struct pl_ctx *c)
{
    const struct user_regs_struct *r = &c->regs;
    struct st_frame *f = st_frame_of(c);
    uint64_t slot = STUB_SLOTS + (uint64_t)c->slot * c->as->p->slot_size;

    f->uc_flags = UC_FLAGS;
    f->uc_link = 0;
    f->ss_sp = slot + SLOT_HEAD;
    f->ss_flags = 1u << 31; /* SS_AUTODISARM */
    f->ss_size = c->as->p->slot_size - SLOT_HEAD;
    f->sigmask = 0;
    f->siginfo[2] = r->fs_base;
    f->siginfo[3] = r->gs_base;
    f->sc = (struct st_sigcontext){
        .r15 = r->r15,
        .r14 = r->r14,
        .r13 = r->r13,
        .r12 = r->r12,
        .bp = r->rbp,
        .bx = r->rbx,
        .r11 = r->r11,
        .r10 = r->r10,
        .r9 = r->r9,
        .r8 = r->r8,
        .ax = r->rax,
        .cx = r->rcx,
        .dx = r->rdx,
        .si = r->rsi,
        .di = r->rdi,
        .sp = r->rsp,
        .ip = r->rip,
        .flags = (r->eflags & EFLAGS_USER) | EFLAGS_FIXED,
        .cs = USER_CS,
        .ss = USER_SS,
        .fpstate = c->fpu_va,
    };
}

static uint32_t pkru_offset(const struct systrap *p)
{
    uint32_t a, b, cx, d;

    if (!(p->pl.xfeatures >> XFEATURE_PKRU & 1) ||
        !__get_cpuid_count(13, XFEATURE_PKRU, &a, &b, &cx, &d))
        return 0;
    return b + 4 <= p->pl.fpu_size ? b : 0;
}

/* The frame is a new stub's: no guest has run in it, so what it says is the kernel's word. */
int st_frame_calibrate(struct pl_ctx *c)
{
    struct systrap *p = c->as->p;
    struct sw_bytes sw;

    if (!c->fpu_va)
        return -EPROTO;
    const char *fpu = slot_ptr(c, c->fpu_va);
    memcpy(&sw, fpu + FX_SW_BYTES, sizeof(sw));
    if (sw.magic1 != SW_MAGIC1 || sw.xstate_size < FX_SIZE + XSAVE_HEADER ||
        sw.xstate_size > ST_FPU_MAX ||
        c->fpu_va + sw.xstate_size + 4 > STUB_SLOTS + (uint64_t)(c->slot + 1) * p->slot_size)
        return -ENOTSUP;
    memcpy(p->sw_bytes, &sw, sizeof(sw));
    memcpy(&p->mxcsr_mask, fpu + FX_MXCSR_MASK, 4);
    if (!p->mxcsr_mask)
        p->mxcsr_mask = 0xffbf;
    p->pl.fpu_size = sw.xstate_size;
    p->pl.xfeatures = sw.xfeatures;
    uint32_t at = pkru_offset(p);
    if (at)
        memcpy(&p->pkru, fpu + at, 4);
    p->calibrated = true;
    return 0;
}

/* Puts the kernel's marks into an image, without which rt_sigreturn takes only its first 512 bytes.
 */
static void fpu_seal(const struct systrap *p, char *fpu)
{
    const uint32_t magic2 = SW_MAGIC2;

    memcpy(fpu + FX_SW_BYTES, p->sw_bytes, sizeof(p->sw_bytes));
    memcpy(fpu + p->pl.fpu_size, &magic2, sizeof(magic2));
}

static void fpu_init(const struct systrap *p, char *fpu)
{
    const uint16_t fcw = FX_FCW;
    const uint32_t mxcsr = MXCSR_INIT;
    uint32_t at = pkru_offset(p);

    memset(fpu, 0, p->pl.fpu_size);
    memcpy(fpu, &fcw, sizeof(fcw));
    memcpy(fpu + FX_MXCSR, &mxcsr, sizeof(mxcsr));
    if (at) {
        const uint64_t bv = 1ull << XFEATURE_PKRU;
        memcpy(fpu + FX_SIZE, &bv, sizeof(bv));
        memcpy(fpu + at, &p->pkru, sizeof(p->pkru));
    }
    fpu_seal(p, fpu);
}

void st_frame_reset(struct pl_ctx *c)
{
    const struct systrap *p = c->as->p;

    memset(st_aspace_slot(c->as, c->slot), 0, p->slot_size);
    memset(&c->regs, 0, sizeof(c->regs));
    c->regs.orig_rax = -1ull;
    c->regs.cs = USER_CS;
    c->regs.ss = USER_SS;
    c->regs.eflags = EFLAGS_FIXED;
    c->resume = RESUME_FS | RESUME_GS | RESUME_SELECTOR;
    c->owed = c->signalled = c->was_syscall = false;
    atomic_store(&c->run_state, 0);
    fpu_init(p, slot_ptr(c, c->fpu_va));
    st_frame_write(c);
}

int st_ctx_get_regs(struct pl_ctx *c, struct user_regs_struct *regs)
{
    int err = st_ctx_park(c, REGS_PATIENCE_MS);

    if (!err)
        *regs = c->regs;
    return err;
}

/* wrfsbase raises #GP for a non-canonical value, and would do so in the stub. */
static uint64_t base_canonical(uint64_t base)
{
    return (uint64_t)((int64_t)(base << 16) >> 16);
}

int st_ctx_set_base(struct pl_ctx *c, bool gs, uint64_t base)
{
    int err = st_ctx_park(c, REGS_PATIENCE_MS);

    if (err)
        return err;
    if (gs)
        c->regs.gs_base = base_canonical(base);
    else
        c->regs.fs_base = base_canonical(base);
    c->resume |= gs ? RESUME_GS : RESUME_FS;
    return 0;
}

int st_ctx_set_regs(struct pl_ctx *c, const struct user_regs_struct *regs)
{
    int err = st_ctx_park(c, REGS_PATIENCE_MS);

    if (err)
        return err;
    uint64_t fs = c->regs.fs_base, gs = c->regs.gs_base, orig = c->regs.orig_rax;
    c->regs = *regs;
    c->regs.orig_rax = orig;
    c->regs.cs = USER_CS;
    c->regs.ss = USER_SS;
    c->regs.ds = c->regs.es = c->regs.fs = c->regs.gs = 0;
    c->regs.eflags = (regs->eflags & EFLAGS_USER) | EFLAGS_FIXED;
    c->regs.fs_base = base_canonical(regs->fs_base);
    c->regs.gs_base = base_canonical(regs->gs_base);
    if (c->regs.fs_base != fs)
        c->resume |= RESUME_FS;
    if (c->regs.gs_base != gs)
        c->resume |= RESUME_GS;
    c->was_syscall = false;
    return 0;
}

int st_ctx_get_fpu(struct pl_ctx *c, void *buf)
{
    int err = st_ctx_park(c, REGS_PATIENCE_MS);

    if (err)
        return err;
    memcpy(buf, slot_ptr(c, c->fpu_va), c->as->p->pl.fpu_size);
    memset((char *)buf + FX_SW_BYTES, 0, FX_SIZE - FX_SW_BYTES);
    return 0;
}

/* XRSTOR faults on reserved bits, so none is let in. */
int st_ctx_set_fpu(struct pl_ctx *c, const void *buf)
{
    const struct systrap *p = c->as->p;
    int err = st_ctx_park(c, REGS_PATIENCE_MS);
    uint64_t header[XSAVE_HEADER / 8] = {0};
    uint32_t mxcsr;

    if (err)
        return err;
    char *fpu = slot_ptr(c, c->fpu_va);
    memcpy(&mxcsr, (const char *)buf + FX_MXCSR, sizeof(mxcsr));
    memcpy(header, (const char *)buf + FX_SIZE, sizeof(header[0]));
    mxcsr &= p->mxcsr_mask;
    header[0] &= p->pl.xfeatures;
    memcpy(fpu, buf, p->pl.fpu_size);
    memcpy(fpu + FX_MXCSR, &mxcsr, sizeof(mxcsr));
    memcpy(fpu + FX_SIZE, header, sizeof(header));
    fpu_seal(p, fpu);
    return 0;
}
