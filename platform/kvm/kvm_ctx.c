/* Guest threads: their registers, between runs. */
#include "kvm_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int kvm_ctx_create(struct pl_aspace *as, struct pl_ctx **out)
{
    struct pl_ctx *c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    c->fpu = malloc(sizeof(*c->fpu));
    if (!c->fpu) {
        free(c);
        return -ENOMEM;
    }
    kvm_fpu_init_image(c->fpu);
    c->as = as;
    c->bases_dirty = true;
    c->orig_rax = (uint64_t)-1;
    *out = c;
    return 0;
}

void kvm_ctx_destroy(struct pl_ctx *c)
{
    struct kvm_platform *p = KVM_CTX_P(c);
    struct kvm_vcpu *v = kvm_pool_take_holder(p, c);
    if (v) {
        kvm_pool_detach(p, v);
        kvm_pool_put(p, v);
    }
    free(c->fpu);
    free(c);
}

void kvm_ctx_set_result(struct pl_ctx *c, int64_t value)
{
    c->regs.rax = (uint64_t)value;
}

void kvm_ctx_interrupt(struct pl_ctx *c)
{
    atomic_store(&c->interrupt, true);
    struct kvm_vcpu *v = atomic_load(&c->active);
    if (v)
        kvm_vcpu_kick(v);
    else
        kvm_pool_interrupt(KVM_CTX_P(c), c);
}

/* Bring the bases into memory; the vCPU keeps them too. */
static int ctx_pull_bases(struct pl_ctx *c)
{
    struct kvm_platform *p = KVM_CTX_P(c);
    struct kvm_vcpu *v = kvm_pool_take_holder(p, c);
    if (!v)
        return 0;
    int rc = kvm_vcpu_save_bases(v, c);
    kvm_pool_put(p, v);
    return rc;
}

int kvm_ctx_get_regs(struct pl_ctx *c, struct user_regs_struct *u)
{
    const struct kvm_regs *r = &c->regs;
    if (c->dead || ctx_pull_bases(c) < 0)
        return -ESRCH;
    *u = (struct user_regs_struct){
        .r15 = r->r15,
        .r14 = r->r14,
        .r13 = r->r13,
        .r12 = r->r12,
        .rbp = r->rbp,
        .rbx = r->rbx,
        .r11 = r->r11,
        .r10 = r->r10,
        .r9 = r->r9,
        .r8 = r->r8,
        .rax = r->rax,
        .rcx = r->rcx,
        .rdx = r->rdx,
        .rsi = r->rsi,
        .rdi = r->rdi,
        .rip = r->rip,
        .rsp = r->rsp,
        .orig_rax = c->orig_rax,
        .eflags = r->rflags,
        .cs = KVM_SEL_UCODE,
        .ss = KVM_SEL_UDATA,
        .fs_base = c->fs_base,
        .gs_base = c->gs_base,
    };
    return 0;
}

static uint64_t canonical_base(uint64_t base)
{
    return (uint64_t)((int64_t)(base << 16) >> 16);
}

int kvm_ctx_set_regs(struct pl_ctx *c, const struct user_regs_struct *u)
{
    if (c->dead || ctx_pull_bases(c) < 0)
        return -ESRCH;
    c->regs = (struct kvm_regs){
        .r15 = u->r15,
        .r14 = u->r14,
        .r13 = u->r13,
        .r12 = u->r12,
        .rbp = u->rbp,
        .rbx = u->rbx,
        .r11 = u->r11,
        .r10 = u->r10,
        .r9 = u->r9,
        .r8 = u->r8,
        .rax = u->rax,
        .rcx = u->rcx,
        .rdx = u->rdx,
        .rsi = u->rsi,
        .rdi = u->rdi,
        .rip = u->rip,
        .rsp = u->rsp,
        .rflags = (u->eflags & 0x254dd5) | 0x202,
    };
    c->orig_rax = u->orig_rax;
    if (u->fs_base != c->fs_base || u->gs_base != c->gs_base) {
        c->fs_base = canonical_base(u->fs_base);
        c->gs_base = canonical_base(u->gs_base);
        c->bases_dirty = true;
    }
    return 0;
}

int kvm_ctx_set_base(struct pl_ctx *c, bool gs, uint64_t base)
{
    if (c->dead || ctx_pull_bases(c) < 0)
        return -ESRCH;
    *(gs ? &c->gs_base : &c->fs_base) = canonical_base(base);
    c->bases_dirty = true;
    return 0;
}

int kvm_ctx_get_fpu(struct pl_ctx *c, void *buf)
{
    struct kvm_platform *p = KVM_CTX_P(c);
    if (c->dead)
        return -ESRCH;
    struct kvm_vcpu *v = kvm_pool_take_holder(p, c);
    int rc = 0;
    if (v) {
        rc = kvm_vcpu_save_bases(v, c); /* the stub runs in its own segment state */
        if (rc == 0)
            rc = kvm_vcpu_save_fpu(p, v, c);
        c->bases_dirty = true;
        kvm_pool_put(p, v);
    }
    memcpy(buf, c->fpu, p->pl.fpu_size);
    return rc < 0 ? -ESRCH : 0;
}

/* The image in memory becomes the true one: what the vCPU holds is given up. */
int kvm_ctx_set_fpu(struct pl_ctx *c, const void *buf)
{
    struct kvm_platform *p = KVM_CTX_P(c);
    if (c->dead)
        return -ESRCH;
    struct kvm_vcpu *v = kvm_pool_take_holder(p, c);
    if (v) {
        int rc = kvm_vcpu_save_bases(v, c);
        c->bases_dirty = true;
        kvm_pool_detach(p, v);
        kvm_pool_put(p, v);
        if (rc < 0)
            return -ESRCH;
    }
    memcpy(c->fpu, buf, p->pl.fpu_size);
    kvm_fpu_clean(p, c->fpu);
    return 0;
}
