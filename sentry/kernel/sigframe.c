/* The x86-64 signal frame, byte for byte as Linux builds it, and its undoing.
 *
 *   high   … interrupted stack … 128 bytes red zone (not on a fresh alternate stack)
 *          XSAVE image, 64-aligned, then FP_XSTATE_MAGIC2
 *          siginfo, ucontext, return address (SA_RESTORER)      ← rsp = 16n+8
 *
 * rt_sigreturn believes nothing in the frame: general registers are cleaned by ctx_set_regs, the
 * XSAVE image by ctx_set_fpu, and whatever cannot be read is SIGSEGV. */
#include "kernel/kernel_priv.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define RED_ZONE               128
#define FP_XSTATE_MAGIC1_K     0x46505853u
#define FP_XSTATE_MAGIC2_K     0x46505845u
#define FXSAVE_SIZE            512
#define FPX_SW_OFFSET          464 /* of struct fpx_sw in the image's software-reserved bytes */
#define UC_FP_XSTATE_K         1
#define UC_SIGCONTEXT_SS_K     2
#define UC_STRICT_RESTORE_SS_K 4
#define SS_AUTODISARM_K        (1u << 31)
#define SA_RESTORER_K          0x04000000
#define USER_CS                0x33
#define USER_SS                0x2b
#define FIX_EFLAGS             0x50dd5ul /* AC OF DF TF SF ZF AF PF CF RF: what a guest may set */

struct sigcontext_k {
    uint64_t r8, r9, r10, r11, r12, r13, r14, r15, di, si, bp, bx, dx, ax, cx, sp, ip, flags;
    uint16_t cs, gs, fs, ss;
    uint64_t err, trapno, oldmask, cr2, fpstate, reserved[8];
};

struct stack_k {
    uint64_t sp;
    int32_t flags, pad;
    uint64_t size;
};

struct ucontext_k {
    uint64_t flags, link;
    struct stack_k stack;
    struct sigcontext_k mc;
    sigmask_t mask;
};

struct rt_sigframe {
    uint64_t restorer;
    struct ucontext_k uc;
    siginfo_t info;
};
_Static_assert(sizeof(struct sigcontext_k) == 256, "sigcontext");
_Static_assert(offsetof(struct rt_sigframe, info) == 8 + 304, "rt_sigframe");

struct fpx_sw {
    uint32_t magic1, extended_size;
    uint64_t xfeatures;
    uint32_t xstate_size, pad[7];
};

/* ---- alternate stack ----------------------------------------------------------------------------
 */

static bool on_altstack(const struct task *t, uint64_t sp)
{
    if (t->altstack.flags & SS_AUTODISARM_K)
        return false;
    return sp > t->altstack.sp && sp - t->altstack.sp <= t->altstack.size;
}

int altstack_flags(const struct task *t, uint64_t sp)
{
    if (!t->altstack.size)
        return SS_DISABLE;
    return on_altstack(t, sp) ? SS_ONSTACK : 0;
}

static void altstack_reset(struct task *t)
{
    t->altstack = (struct altstack){.flags = SS_DISABLE};
}

/* ---- building -----------------------------------------------------------------------------------
 */

/* The lowest byte the frame may use is below sp; 0 if the alternate stack would overflow. */
static uint64_t frame_top(struct task *t, const struct sigaction_k *act, uint64_t rsp, bool *fresh)
{
    *fresh = false;
    if ((act->flags & SA_ONSTACK) && altstack_flags(t, rsp) == 0) {
        *fresh = true;
        return t->altstack.sp + t->altstack.size;
    }
    return rsp - RED_ZONE;
}

static bool frame_fits(struct task *t, uint64_t rsp, bool fresh, uint64_t frame)
{
    if (fresh)
        return frame > t->altstack.sp && frame - t->altstack.sp <= t->altstack.size;
    return !on_altstack(t, rsp) || on_altstack(t, frame);
}

static int frame_put_fpu(struct task *t, uint64_t at)
{
    uint32_t size = g_kernel.platform->fpu_size;
    uint8_t *image = calloc(1, size + 4);
    if (!image)
        return -ENOMEM;
    int r = pl_ops()->ctx_get_fpu(t->ctx, image);
    struct fpx_sw sw = {.magic1 = FP_XSTATE_MAGIC1_K,
                        .extended_size = size + 4,
                        .xfeatures = g_kernel.platform->xfeatures,
                        .xstate_size = size};
    uint32_t magic2 = FP_XSTATE_MAGIC2_K;
    memcpy(image + FPX_SW_OFFSET, &sw, sizeof(sw));
    memcpy(image + size, &magic2, 4);
    if (!r)
        r = uaccess_write(t->mm, uaddr(at), image, size + 4);
    free(image);
    return r;
}

static void sigcontext_fill(struct sigcontext_k *mc, const struct user_regs_struct *r,
                            const struct task *t)
{
    *mc = (struct sigcontext_k){
        .r8 = r->r8,
        .r9 = r->r9,
        .r10 = r->r10,
        .r11 = r->r11,
        .r12 = r->r12,
        .r13 = r->r13,
        .r14 = r->r14,
        .r15 = r->r15,
        .di = r->rdi,
        .si = r->rsi,
        .bp = r->rbp,
        .bx = r->rbx,
        .dx = r->rdx,
        .ax = r->rax,
        .cx = r->rcx,
        .sp = r->rsp,
        .ip = r->rip,
        .flags = r->eflags,
        .cs = USER_CS,
        .ss = USER_SS,
        .err = t->trap.error,
        .trapno = t->trap.trapno,
        .cr2 = t->trap.cr2,
    };
}

/* An interrupted call: either it will be made again after the handler, or it says EINTR. */
static void frame_restart(struct task *t, struct user_regs_struct *r, const struct sigaction_k *act)
{
    int code = t->restart_code;
    if (!code)
        return;
    t->restart_code = 0;
    bool again = code == ERESTARTNOINTR || (code == ERESTARTSYS && (act->flags & SA_RESTART));
    if (again) {
        r->rax = t->current_nr;
        r->rip -= 2;
    } else {
        r->rax = -(int64_t)EINTR;
    }
}

int sigframe_setup(struct task *t, int sig, const struct sigaction_k *act, const siginfo_t *info,
                   sigmask_t saved_mask)
{
    struct user_regs_struct *r = task_regs(t);
    if (!r)
        return 0; /* the thread is dead; ctx_run will tell */
    frame_restart(t, r, act);
    task_regs_dirty(t);
    bool fresh;
    uint64_t sp = frame_top(t, act, r->rsp, &fresh);
    uint64_t fp = (sp - g_kernel.platform->fpu_size - 4) & ~63ull;
    uint64_t at = ((fp - sizeof(struct rt_sigframe)) & ~15ull) - 8;
    if (!(act->flags & SA_RESTORER_K) || !frame_fits(t, r->rsp, fresh, at))
        return -EFAULT;
    struct rt_sigframe f = {.restorer = act->restorer, .info = *info};
    f.uc.flags = UC_FP_XSTATE_K | UC_SIGCONTEXT_SS_K | UC_STRICT_RESTORE_SS_K;
    f.uc.stack = (struct stack_k){.sp = t->altstack.sp,
                                  .size = t->altstack.size,
                                  .flags = altstack_flags(t, r->rsp) |
                                           (t->altstack.flags & SS_AUTODISARM_K)};
    sigcontext_fill(&f.uc.mc, r, t);
    f.uc.mc.fpstate = fp;
    f.uc.mc.oldmask = saved_mask;
    f.uc.mask = saved_mask;
    if (frame_put_fpu(t, fp) || uaccess_write_obj(t->mm, uaddr(at), &f))
        return -EFAULT;
    if (t->altstack.flags & SS_AUTODISARM_K)
        altstack_reset(t);
    r->rdi = sig;
    r->rsi = at + offsetof(struct rt_sigframe, info);
    r->rdx = at + offsetof(struct rt_sigframe, uc);
    r->rax = 0;
    r->rsp = at;
    r->rip = act->handler;
    r->eflags &= ~(0x400ul | 0x100ul | 0x10000ul); /* DF TF RF */
    r->orig_rax = -1;
    return 0;
}

/* ---- undoing ------------------------------------------------------------------------------------
 */

/* The image in the frame: whole if its markers say so, else the legacy 512 bytes alone. */
static int frame_get_fpu(struct task *t, uint64_t at)
{
    uint32_t size = g_kernel.platform->fpu_size, magic2;
    uint8_t *image = calloc(1, size);
    if (!image)
        return -ENOMEM;
    struct fpx_sw sw;
    int r = uaccess_read(t->mm, image, uaddr(at), FXSAVE_SIZE);
    memcpy(&sw, image + FPX_SW_OFFSET, sizeof(sw));
    bool whole = !r && sw.magic1 == FP_XSTATE_MAGIC1_K && sw.xstate_size == size &&
                 !uaccess_read_obj(t->mm, &magic2, uaddr(at + size)) &&
                 magic2 == FP_XSTATE_MAGIC2_K;
    uint64_t legacy = 3;
    if (whole)
        r = uaccess_read(t->mm, image, uaddr(at), size);
    else
        memcpy(image + FXSAVE_SIZE, &legacy, 8);
    memset(image + FPX_SW_OFFSET, 0, sizeof(sw));
    if (!r)
        r = pl_ops()->ctx_set_fpu(t->ctx, image);
    free(image);
    return r;
}

/* All-default state, as a frame without fpstate asks for. */
static int fpu_reset(struct task *t)
{
    uint8_t *image = calloc(1, g_kernel.platform->fpu_size);
    if (!image)
        return -ENOMEM;
    uint16_t fcw = 0x37f;
    uint32_t mxcsr = 0x1f80;
    uint64_t legacy = 3;
    memcpy(image, &fcw, 2);
    memcpy(image + 24, &mxcsr, 4);
    memcpy(image + FXSAVE_SIZE, &legacy, 8);
    int r = pl_ops()->ctx_set_fpu(t->ctx, image);
    free(image);
    return r;
}

static void sigcontext_restore(struct user_regs_struct *r, const struct sigcontext_k *mc)
{
    r->r8 = mc->r8, r->r9 = mc->r9, r->r10 = mc->r10, r->r11 = mc->r11;
    r->r12 = mc->r12, r->r13 = mc->r13, r->r14 = mc->r14, r->r15 = mc->r15;
    r->rdi = mc->di, r->rsi = mc->si, r->rbp = mc->bp, r->rbx = mc->bx;
    r->rdx = mc->dx, r->rax = mc->ax, r->rcx = mc->cx, r->rsp = mc->sp, r->rip = mc->ip;
    r->eflags = (r->eflags & ~FIX_EFLAGS) | (mc->flags & FIX_EFLAGS);
    r->orig_rax = -1;
}

static void altstack_restore(struct task *t, const struct stack_k *s, uint64_t sp)
{
    struct altstack a = {.sp = s->sp, .size = s->size, .flags = s->flags};
    (void)altstack_set(t, &a, sp, /*min_size=*/0); /* Linux too ignores a failure here */
}

int sigframe_return(struct task *t)
{
    struct user_regs_struct *r = task_regs(t);
    if (!r)
        return -ESRCH;
    struct ucontext_k uc;
    uint64_t at = r->rsp - 8;
    if (uaccess_read_obj(t->mm, &uc, uaddr(at + offsetof(struct rt_sigframe, uc))))
        return -EFAULT;
    signal_set_blocked(t, uc.mask);
    sigcontext_restore(r, &uc.mc);
    task_regs_dirty(t);
    int e = uc.mc.fpstate ? frame_get_fpu(t, uc.mc.fpstate) : fpu_reset(t);
    if (e)
        return e;
    altstack_restore(t, &uc.stack, r->rsp);
    return 0;
}
