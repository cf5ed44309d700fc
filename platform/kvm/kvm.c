/* The kvm platform's table, and its making. See README.md. */
#include "kvm_priv.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static void kick_handler(int sig) {}

static int kick_install(void)
{
    struct sigaction sa = {.sa_handler = kick_handler, .sa_flags = SA_RESTART};
    sigemptyset(&sa.sa_mask);
    return sigaction(KVM_KICK_SIGNAL, &sa, NULL) < 0 ? -errno : 0;
}

static void kvm_destroy(struct platform *pl)
{
    kvm_vm_destroy((struct kvm_platform *)pl);
}

static int kvm_create(const struct pl_config *cfg, struct platform **out)
{
    struct kvm_platform *p;
    if (cfg->kvm_fd < 0)
        return -ENOENT;
    int rc = kick_install();
    if (rc == 0)
        rc = kvm_vm_create(cfg, &p);
    if (rc < 0)
        return rc;
    p->pl.ops = &g_platform_kvm;
    p->pl.va_end = KVM_VA_END;
    rc = kvm_trial_run(p);
    if (rc < 0) {
        kvm_vm_destroy(p);
        return rc;
    }
    cfg->log("kvm: syscalls %s, page tables %s, vector state by %s, xfeatures %llx, up to %u vCPUs",
             p->syscall_faults ? "fault on LSTAR" : "reach LSTAR",
             p->shadow ? "shadowed" : "nested", p->fpu_stub ? "stub" : "ioctl",
             (unsigned long long)p->pl.xfeatures, p->vcpu_max);
    *out = &p->pl;
    return 0;
}

const struct pl_ops g_platform_kvm = {
    .name = "kvm",
    .needs_hva = true,
    .probe = kvm_probe,
    .create = kvm_create,
    .destroy = kvm_destroy,
    .as_create = kvm_as_create,
    .as_destroy = kvm_as_destroy,
    .as_map = kvm_as_map,
    .as_unmap = kvm_as_unmap,
    .as_protect = kvm_as_protect,
    .as_flush = kvm_as_flush,
    .ctx_create = kvm_ctx_create,
    .ctx_destroy = kvm_ctx_destroy,
    .ctx_run = kvm_ctx_run,
    .ctx_set_result = kvm_ctx_set_result,
    .ctx_interrupt = kvm_ctx_interrupt,
    .ctx_get_regs = kvm_ctx_get_regs,
    .ctx_set_regs = kvm_ctx_set_regs,
    .ctx_set_base = kvm_ctx_set_base,
    .ctx_get_fpu = kvm_ctx_get_fpu,
    .ctx_set_fpu = kvm_ctx_set_fpu,
};
