/* Find out by running what this KVM does: how SYSCALL arrives, whether it notices changed page
 * tables, what vector state ring 3 has and who can move it, whether wrfsbase works. Then, for
 * --platform=auto, what a trap costs. */
#include "kvm_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

static int trial_load(struct kvm_platform *p, uint64_t *value, int *vector)
{
    struct kvm_regs r = {.rdi = KVM_STUB_TRIAL};
    int rc = kvm_stub_run(p, p->vcpu[0], KVM_STUB_LOAD, &r, vector);
    *value = r.rbx;
    return rc;
}

/* Does KVM see that we pointed a page-table entry elsewhere? */
static int trial_paging(struct kvm_platform *p)
{
    uint8_t *page = p->kmem + KVM_KP_TRIAL * PL_PAGE_SIZE;
    uint64_t *pte = (uint64_t *)(p->kmem + KVM_KP_STUB_PT * PL_PAGE_SIZE) + KVM_KP_TRIAL;
    uint64_t first, second;
    int vector = 0;
    *(uint64_t *)page = 1;
    *(uint64_t *)(page + PL_PAGE_SIZE) = 2;
    p->syscall_faults = true; /* accept both, and see which it is */
    int rc = trial_load(p, &first, &vector);
    if (rc < 0)
        return rc;
    p->syscall_faults = vector == 14;
    __atomic_store_n(pte, *pte + PL_PAGE_SIZE, __ATOMIC_SEQ_CST);
    rc = trial_load(p, &second, NULL);
    if (rc < 0)
        return rc;
    p->shadow = p->syscall_faults || second != 2;
    return first == 1 ? 0 : -EIO;
}

static void trial_bases(struct kvm_platform *p)
{
    struct kvm_regs r = {0};
    struct kvm_sregs s;
    int rc = kvm_stub_run(p, p->vcpu[0], KVM_STUB_FSGS, &r, NULL);
    if (rc == 0 && r.rbx == 0x123450000 && kvm_ioctl(p->vcpu[0]->fd, KVM_GET_SREGS, &s) == 0 &&
        s.fs.base == 0x123450000)
        p->pl.hwcap2 |= 2;
}

/* If ring 3 has more vector state than KVM's ioctls carry, our stub must carry it. */
static int trial_fpu(struct kvm_platform *p)
{
    struct kvm_regs r = {0};
    p->pl.xfeatures = p->xcr0 ? p->xcr0 : 3;
    int rc = kvm_stub_run(p, p->vcpu[0], KVM_STUB_XGETBV, &r, NULL);
    if (rc == 0 && (r.rbx & ~p->pl.xfeatures & 0xe4)) {
        p->fpu_stub = true;
        p->pl.xfeatures = r.rbx & 0xe7;
    }
    p->pl.fpu_size = kvm_fpu_size(p->pl.xfeatures);
    if (p->pl.fpu_size > sizeof(struct kvm_xsave))
        return -EOPNOTSUPP;
    return p->fpu_stub ? kvm_vcpu_switch(p, p->vcpu[0], NULL, NULL) : 0;
}

int kvm_trial_run(struct kvm_platform *p)
{
    int rc = kvm_vcpu_create(p, 0, &p->vcpu[0]);
    if (rc < 0)
        return rc;
    p->vcpu_count = 1;
    struct kvm_vcpu *v = p->vcpu[0];
    rc = trial_paging(p);
    if (rc == 0)
        trial_bases(p);
    if (rc == 0)
        rc = trial_fpu(p);
    if (rc < 0)
        p->cfg.log("kvm: the trial run failed: %d (exit %u, rip %llx)", rc, v->run->exit_reason,
                   v->run->s.regs.regs.rip);
    v->broken = true; /* set up anew for its first guest */
    return rc;
}

static int probe_refuse(struct pl_probe *pr, int rc, const char *why)
{
    snprintf(pr->reason, sizeof(pr->reason), "%s", why);
    return rc;
}

static int probe_cheap(int fd, struct pl_probe *pr)
{
    if (fd < 0)
        return probe_refuse(
            pr, -ENOENT, "the kvm platform needs /dev/kvm, which is missing or may not be opened");
    int version = ioctl(fd, KVM_GET_API_VERSION, 0);
    if (version != KVM_API_VERSION)
        return probe_refuse(pr, -ENODEV, "/dev/kvm does not answer like a KVM of today");
    int sync = ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_SYNC_REGS);
    if (sync < 0 || !(sync & KVM_SYNC_X86_REGS) ||
        ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_IMMEDIATE_EXIT) <= 0)
        return probe_refuse(pr, -EOPNOTSUPP,
                            "this kernel's KVM is too old: it lacks register sharing (Linux 4.17)");
    return 0;
}

static void probe_log(const char *fmt, ...) {}

static uint64_t probe_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

enum { PROBE_ROUNDS = 21 };

static uint64_t probe_time(struct kvm_platform *p)
{
    uint64_t ns[PROBE_ROUNDS], value;
    for (int i = 0; i < PROBE_ROUNDS; i++) {
        uint64_t start = probe_now();
        if (trial_load(p, &value, NULL) < 0)
            return 0;
        ns[i] = probe_now() - start;
    }
    qsort(ns, PROBE_ROUNDS, sizeof(ns[0]), compare_u64);
    return ns[PROBE_ROUNDS / 2] ? ns[PROBE_ROUNDS / 2] : 1;
}

static int probe_measure(int fd, struct pl_probe *pr)
{
    struct pl_config cfg = {.memfile_fd = -1, .kvm_fd = fd, .log = probe_log};
    struct kvm_platform *p;
    int rc = kvm_vm_create(&cfg, &p);
    if (rc < 0) {
        snprintf(pr->reason, sizeof(pr->reason), "/dev/kvm refuses to make a virtual machine: %s",
                 strerror(-rc));
        return rc;
    }
    rc = kvm_trial_run(p);
    if (rc < 0) {
        snprintf(pr->reason, sizeof(pr->reason), "code does not run as expected in this KVM: %s",
                 strerror(-rc));
    } else {
        pr->trap_ns = probe_time(p);
        snprintf(pr->reason, sizeof(pr->reason), "%s, %s page tables, vector state by %s",
                 p->syscall_faults ? "software KVM (PVM)" : "KVM",
                 p->shadow ? "shadowed" : "nested", p->fpu_stub ? "stub" : "ioctl");
    }
    kvm_vm_destroy(p);
    return rc;
}

int kvm_probe(int kvm_fd, bool measure, struct pl_probe *pr)
{
    memset(pr, 0, sizeof(*pr));
    int rc = probe_cheap(kvm_fd, pr);
    if (rc == 0 && measure)
        rc = probe_measure(kvm_fd, pr);
    else if (rc == 0)
        snprintf(pr->reason, sizeof(pr->reason), "/dev/kvm answers");
    return rc;
}
