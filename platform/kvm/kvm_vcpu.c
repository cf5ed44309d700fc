/* vCPUs: making them, and moving FP state and segment bases in and out of them.
 *
 * FP state goes by KVM_GET_XSAVE/KVM_SET_XSAVE where KVM offers the guest what the guest can use.
 * On PVM it does not: ring 3 runs on the real processor with AVX and more, which KVM carries
 * faithfully from exit to entry but shows to no ioctl. There the state is moved by an XSAVE and an
 * XRSTOR of our own that the vCPU runs in ring 3 under the stub tree. */
#include "kvm_priv.h"

#include <cpuid.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MSR_STAR  0xc0000081u
#define MSR_LSTAR 0xc0000082u
#define MSR_CSTAR 0xc0000083u
#define MSR_FMASK 0xc0000084u
#define FMASK_FLAGS                                                                                \
    0x257fd5u /* everything that SYSCALL can clear: ring 0 starts with clean flags */

static struct kvm_segment seg_make(unsigned selector, unsigned type, bool code, unsigned dpl)
{
    return (struct kvm_segment){.limit = 0xffffffff,
                                .selector = (uint16_t)selector,
                                .present = 1,
                                .type = (uint8_t)type,
                                .dpl = (uint8_t)dpl,
                                .s = 1,
                                .l = code,
                                .db = !code,
                                .g = 1};
}

/* Ring 0 at rest. Data segments have DPL 3, so that the iretq does not null them. */
static void sregs_fill(struct kvm_platform *p, struct kvm_vcpu *v, struct kvm_sregs *s)
{
    s->cr0 = 0x80050033; /* PG AM WP NE ET MP PE */
    s->cr3 = KVM_KP_STUB_ROOT * PL_PAGE_SIZE;
    s->cr4 = p->cr4;
    s->efer = 0xd01; /* SCE LME LMA NXE */
    s->cs = seg_make(KVM_SEL_KCODE, 11, true, 0);
    s->ss = seg_make(KVM_SEL_KCODE + 8, 3, false, 0);
    s->ds = s->es = s->fs = s->gs = seg_make(KVM_SEL_UDATA, 3, false, 3);
    s->gdt.base = KVM_KADDR(KVM_KP_DESC);
    s->gdt.limit = 8 * 8 - 1;
    s->idt.base = KVM_KADDR(KVM_KP_DESC) + 0x200;
    s->idt.limit = 32 * 16 - 1;
    s->tr = (struct kvm_segment){.base = KVM_KADDR(KVM_KP_VCPU + v->index),
                                 .limit = 0x67,
                                 .selector = KVM_SEL_TSS,
                                 .type = 11,
                                 .present = 1};
    s->ldt = (struct kvm_segment){.unusable = 1, .type = 2};
}

static int vcpu_msrs(struct kvm_vcpu *v)
{
    const struct kvm_msr_entry entry[] = {
        {.index = MSR_STAR, .data = (KVM_SEL_UDATA - 8ull) << 48 | (uint64_t)KVM_SEL_KCODE << 32},
        {.index = MSR_LSTAR, .data = KVM_LSTAR},
        {.index = MSR_CSTAR, .data = KVM_LSTAR},
        {.index = MSR_FMASK, .data = FMASK_FLAGS},
    };
    const int count = sizeof(entry) / sizeof(entry[0]);
    _Alignas(struct kvm_msrs) uint8_t buf[sizeof(struct kvm_msrs) + sizeof(entry)] = {0};
    struct kvm_msrs *m = (struct kvm_msrs *)buf;
    m->nmsrs = (uint32_t)count;
    memcpy(m->entries, entry, sizeof(entry));
    return kvm_ioctl(v->fd, KVM_SET_MSRS, m) == count ? 0 : -EIO;
}

/* The guest's time stamp counter is the host's: the vDSO computes with it. Refused where the
 * counter is not virtual (PVM), which comes to the same. */
static void vcpu_tsc(struct kvm_vcpu *v)
{
    uint64_t offset = 0;
    struct kvm_device_attr a = {.group = KVM_VCPU_TSC_CTRL,
                                .attr = KVM_VCPU_TSC_OFFSET,
                                .addr = (uint64_t)(uintptr_t)&offset};
    kvm_ioctl(v->fd, KVM_SET_DEVICE_ATTR, &a);
}

/* An exit for I/O leaves KVM with something to complete: let it, without running the guest. */
static void vcpu_drain(struct kvm_vcpu *v)
{
    v->run->kvm_dirty_regs = 0;
    v->run->immediate_exit = 1;
    ioctl(v->fd, KVM_RUN, 0);
    kvm_vcpu_arm(v);
}

static void vcpu_reset_events(struct kvm_vcpu *v)
{
    struct kvm_vcpu_events ev;
    struct kvm_mp_state mp = {.mp_state = KVM_MP_STATE_RUNNABLE};
    kvm_ioctl(v->fd, KVM_SET_MP_STATE, &mp);
    if (kvm_ioctl(v->fd, KVM_GET_VCPU_EVENTS, &ev) < 0)
        return;
    memset(&ev.exception, 0, sizeof(ev.exception));
    memset(&ev.interrupt, 0, sizeof(ev.interrupt));
    memset(&ev.nmi, 0, sizeof(ev.nmi));
    ev.flags &= KVM_VCPUEVENT_VALID_SHADOW;
    kvm_ioctl(v->fd, KVM_SET_VCPU_EVENTS, &ev);
}

int kvm_vcpu_setup(struct kvm_platform *p, struct kvm_vcpu *v)
{
    if (v->broken) {
        vcpu_drain(v);
        vcpu_reset_events(v);
    }
    kvm_image_vcpu(p, v->index);
    int rc = kvm_ioctl(v->fd, KVM_GET_SREGS, &v->sregs);
    if (rc < 0)
        return rc;
    sregs_fill(p, v, &v->sregs);
    rc = kvm_ioctl(v->fd, KVM_SET_SREGS, &v->sregs);
    v->cr3 = v->sregs.cr3;
    v->as_id = 0;
    v->in_user = false;
    if (rc == 0 && p->xcr0) {
        struct kvm_xcrs x = {.nr_xcrs = 1, .xcrs[0].value = p->xcr0};
        rc = kvm_ioctl(v->fd, KVM_SET_XCRS, &x);
    }
    rc = rc < 0 ? rc : vcpu_msrs(v);
    v->broken = rc < 0;
    return rc;
}

static int vcpu_open(struct kvm_platform *p, struct kvm_vcpu *v)
{
    v->fd = kvm_ioctl(p->vm_fd, KVM_CREATE_VCPU, (void *)(uintptr_t)v->index);
    if (v->fd < 0)
        return v->fd;
    void *run = mmap(NULL, p->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
    if (run == MAP_FAILED)
        return -ENOMEM;
    v->run = run;
    v->run->kvm_valid_regs = KVM_SYNC_X86_REGS;
    int rc = kvm_ioctl(v->fd, KVM_SET_CPUID2, p->cpuid);
    if (rc < 0)
        return rc;
    vcpu_tsc(v);
    return kvm_vcpu_setup(p, v);
}

int kvm_vcpu_create(struct kvm_platform *p, unsigned index, struct kvm_vcpu **out)
{
    struct kvm_vcpu *v = calloc(1, sizeof(*v));
    if (!v)
        return -ENOMEM;
    v->index = index;
    v->pid = p->pid;
    v->page = p->kmem + (size_t)(KVM_KP_VCPU + index) * PL_PAGE_SIZE;
    int rc = vcpu_open(p, v);
    if (rc < 0) {
        kvm_vcpu_destroy(p, v);
        return rc;
    }
    *out = v;
    return 0;
}

void kvm_vcpu_destroy(struct kvm_platform *p, struct kvm_vcpu *v)
{
    if (v->run)
        munmap(v->run, p->run_size);
    if (v->fd >= 0)
        close(v->fd);
    free(v);
}

/* immediate_exit covers the time up to KVM_RUN, the signal the time in it. */
void kvm_vcpu_kick(struct kvm_vcpu *v)
{
    __atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    pid_t tid = atomic_load(&v->tid);
    if (tid)
        syscall(SYS_tgkill, v->pid, tid, KVM_KICK_SIGNAL);
}

int kvm_vcpu_save_bases(struct kvm_vcpu *v, struct pl_ctx *c)
{
    struct kvm_sregs s;
    if (c->bases_dirty)
        return 0;
    int rc = kvm_ioctl(v->fd, KVM_GET_SREGS, &s);
    if (rc < 0)
        return rc;
    c->fs_base = s.fs.base;
    c->gs_base = s.gs.base;
    return 0;
}

int kvm_vcpu_load_bases(struct kvm_vcpu *v, struct pl_ctx *c)
{
    v->sregs.fs.base = c->fs_base;
    v->sregs.gs.base = c->gs_base;
    v->sregs.cr3 = v->cr3;
    int rc = kvm_ioctl(v->fd, KVM_SET_SREGS, &v->sregs);
    c->bases_dirty = rc < 0;
    v->in_user = false;
    return rc;
}

/* Save into old and load from c by running the stub; either may be NULL. */
static int fpu_swap_stub(struct kvm_platform *p, struct kvm_vcpu *v, struct pl_ctx *old,
                         struct pl_ctx *c)
{
    uint64_t page = KVM_KP_FPU + 8ull * v->index;
    uint8_t *save = p->kmem + page * PL_PAGE_SIZE, *load = save + KVM_FPU_HALF;
    uint64_t va = KVM_STUB_VA + page * PL_PAGE_SIZE;
    struct kvm_regs r = {.rax = p->pl.xfeatures, .rdi = va, .rsi = c ? va + KVM_FPU_HALF : va};
    if (c)
        memcpy(load, c->fpu, p->pl.fpu_size);
    int rc = kvm_stub_run(p, v, KVM_STUB_FPU, &r, NULL);
    if (rc == 0 && old)
        memcpy(old->fpu, save, p->pl.fpu_size);
    return rc;
}

int kvm_vcpu_save_fpu(struct kvm_platform *p, struct kvm_vcpu *v, struct pl_ctx *c)
{
    if (p->fpu_stub)
        return fpu_swap_stub(p, v, c, NULL);
    return kvm_ioctl(v->fd, KVM_GET_XSAVE, c->fpu);
}

int kvm_vcpu_switch(struct kvm_platform *p, struct kvm_vcpu *v, struct pl_ctx *old,
                    struct pl_ctx *c)
{
    int rc = old ? kvm_vcpu_save_bases(v, old) : 0;
    if (rc < 0)
        return rc;
    if (p->fpu_stub) {
        rc = fpu_swap_stub(p, v, old, c);
    } else {
        rc = old ? kvm_ioctl(v->fd, KVM_GET_XSAVE, old->fpu) : 0;
        if (rc == 0 && c)
            rc = kvm_ioctl(v->fd, KVM_SET_XSAVE, c->fpu);
    }
    if (rc < 0)
        return rc;
    if (old)
        old->bases_dirty = true; /* memory is the true copy now */
    return 0;
}

uint32_t kvm_fpu_size(uint64_t xfeatures)
{
    uint32_t size = 576, eax, ebx, ecx, edx;
    for (unsigned i = 2; i < 63; i++) {
        if (!(xfeatures & KVM_BIT(i)))
            continue;
        __cpuid_count(0xd, i, eax, ebx, ecx, edx);
        if (ebx + eax > size)
            size = ebx + eax;
    }
    return size;
}

/* x87 and SSE are always marked as in use: KVM leaves MXCSR as it was if neither is. */
#define FPU_LEGACY 3ull

static uint64_t *fpu_header(struct kvm_xsave *x)
{
    return (uint64_t *)((uint8_t *)x + 512);
}

static void fpu_init_x87(struct kvm_xsave *x)
{
    memset(x->region, 0, 24);         /* control, status, tags, last instruction */
    memset(x->region + 8, 0, 8 * 16); /* registers */
    x->region[0] = 0x37f;
}

void kvm_fpu_init_image(struct kvm_xsave *x)
{
    memset(x, 0, sizeof(*x));
    fpu_init_x87(x);
    x->region[6] = 0x1f80; /* MXCSR */
    x->region[7] = 0xffff; /* its mask */
    fpu_header(x)[0] = FPU_LEGACY;
}

/* XRSTOR faults on a header with reserved bits and on reserved bits of MXCSR. */
void kvm_fpu_clean(struct kvm_platform *p, struct kvm_xsave *x)
{
    uint64_t *header = fpu_header(x);
    if (!(header[0] & 1))
        fpu_init_x87(x);
    if (!(header[0] & 2))
        memset(x->region + 40, 0, 16 * 16);
    header[0] = (header[0] & p->pl.xfeatures) | FPU_LEGACY;
    memset(header + 1, 0, 56);
    x->region[6] &= 0xffff;
    x->region[7] = 0xffff;
}
