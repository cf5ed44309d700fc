/* The room's own view: a virtual machine whose ring 3 is the guest and whose ring 0 is a page of
 * hlts.
 *
 *   kvm_platform   the VM: memory slots, page-table arena, pool of vCPUs
 *   pl_aspace      one tree of page tables
 *   pl_ctx         one guest thread: registers in memory, FP state and segment bases in memory or
 * in the vCPU that ran it last kvm_vcpu       free, or busy in the hands of one sentry thread
 *
 * Guest-physical memory: [0, 4 MiB) kernel page images, [1 GiB, 2 GiB) page tables, from 4 GiB on
 * 64 MiB chunks of the sentry's two regions, given out in order of first use and never taken back.
 *
 * Locks, outermost first: aspace.lock, pool_lock, slot_lock, arena_lock. */
#pragma once

#include "platform.h"

#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>

#define KVM_BIT(n) (1ull << (n))

/* Kernel half: the last 2 GiB, the kernel slot linear from its start. */
#define KVM_KBASE       0xffffffff80000000ull
#define KVM_KMEM_SIZE   (4u << 20)
#define KVM_ARENA_GPA   (1ull << 30)
#define KVM_ARENA_SIZE  (1ull << 30)
#define KVM_ARENA_SLOT  (32ull << 20)
#define KVM_DATA_GPA    (4ull << 30)
#define KVM_CHUNK_SHIFT 26
#define KVM_CHUNK_SIZE  (1ull << KVM_CHUNK_SHIFT)
#define KVM_VA_END      0x7ffffffff000ull
#define KVM_VCPU_MAX    64u

/* Pages of the kernel slot. */
enum {
    KVM_KP_DESC = 1, /* GDT and IDT */
    KVM_KP_CODE = 2, /* ring 0 code */
    KVM_KP_PDPT = 3, /* the kernel half's page tables, shared by all aspaces */
    KVM_KP_PD = 4,
    KVM_KP_PT = 5,        /* two of them */
    KVM_KP_STUB_ROOT = 7, /* the tree under which our own ring 3 code runs: root, PDPT, PD, 2 PTs */
    KVM_KP_STUB_PDPT = 8,
    KVM_KP_STUB_PD = 9,
    KVM_KP_STUB_PT = 10,
    KVM_KP_STUB = 12,  /* ring 3 code */
    KVM_KP_TRIAL = 13, /* two pages for the stale-translation trial */
    KVM_KP_DUMMY = 15, /* the slot that is removed to make KVM drop its shadow pages */
    KVM_KP_VCPU = 16,  /* one page for each vCPU: TSS, entry frame, exception stack */
    KVM_KP_FPU = 128,  /* eight pages for each vCPU: FP image to save, FP image to load */
};
#define KVM_FPU_HALF    (4u * PL_PAGE_SIZE)
#define KVM_STUB_VA     0x1000000ull /* kernel slot page n of the stub tree: STUB_VA + n * 4096 */
#define KVM_STUB_TRIAL  (KVM_STUB_VA + KVM_KP_TRIAL * PL_PAGE_SIZE)
#define KVM_KADDR(page) (KVM_KBASE + (uint64_t)(page)*PL_PAGE_SIZE)

/* Offsets in the code page. */
#define KVM_CODE_LSTAR   0x000u /* hlt */
#define KVM_CODE_IRETQ   0x001u
#define KVM_CODE_CR3     0x010u /* load CR3 from rax, pop rax, iretq */
#define KVM_CODE_VECTORS 0x100u /* one hlt for each of 32 vectors */
#define KVM_LSTAR        (KVM_KADDR(KVM_KP_CODE) + KVM_CODE_LSTAR)

/* Offsets in a vCPU's page. */
#define KVM_VP_FRAME 0x800u  /* entry: [rax,] rip cs rflags rsp ss */
#define KVM_VP_STACK 0x1000u /* top of the exception stack */

#define KVM_SEL_KCODE 0x10
#define KVM_SEL_UDATA 0x2b
#define KVM_SEL_UCODE 0x33
#define KVM_SEL_TSS   0x40

/* Page-table entries. */
#define KVM_PTE_P     KVM_BIT(0)
#define KVM_PTE_W     KVM_BIT(1)
#define KVM_PTE_U     KVM_BIT(2)
#define KVM_PTE_A     KVM_BIT(5)
#define KVM_PTE_D     KVM_BIT(6)
#define KVM_PTE_PS    KVM_BIT(7)
#define KVM_PTE_NONE  KVM_BIT(9)  /* not present: mapped without access */
#define KVM_PTE_BUS   KVM_BIT(10) /* not present: the backing has no page here */
#define KVM_PTE_NX    KVM_BIT(63)
#define KVM_PTE_ADDR  0x000ffffffffff000ull
#define KVM_PTE_TABLE (KVM_PTE_P | KVM_PTE_W | KVM_PTE_U)

/* A signal that the sentry uses for nothing else; its handler does nothing. */
#define KVM_KICK_SIGNAL (SIGRTMIN + 6)

/* Newer than the headers of the oldest build host. */
#define KVM_EXIT_MEMORY_FAULT_NR 39

struct kvm_region {
    uint8_t *base; /* const after init */
    uint64_t size;
    _Atomic uint32_t *chunk; /* guest-physical chunk number of each piece; 0 = no slot yet */
};

struct kvm_vcpu {
    int fd;
    unsigned index;
    struct kvm_run *run;
    uint8_t *page;         /* its page of the kernel slot */
    bool busy;             /* lock: pool_lock */
    bool broken;           /* holder: must be set up anew before it runs a guest */
    struct pl_ctx *loaded; /* lock: pool_lock to write; the ctx whose FP state and bases it holds */
    uint64_t used;  /* lock: pool_lock; for choosing the longest unused, or longest running */
    pid_t last_tid; /* lock: pool_lock */
    pid_t pid;      /* const after init */
    struct kvm_sregs sregs; /* holder: what it is given, but for cr3 and the bases */
    uint64_t cr3;           /* holder: what it has loaded */
    bool in_user;           /* holder: it was stopped in ring 3 and must be put back to ring 0 */
    uint64_t as_id;         /* holder: which aspace and which generation its TLB may hold */
    uint64_t as_gen;
    _Atomic pid_t tid;
    _Atomic(struct pl_aspace *) active; /* set around KVM_RUN */
    _Atomic uint32_t left;              /* atomic; futex word: counts departures from KVM_RUN */
};

struct kvm_waiter {
    struct kvm_waiter *next;
    pthread_cond_t cond;
};

struct kvm_arena {
    pthread_mutex_t lock;
    uint8_t *base;
    struct kvm_table_info {
        uint32_t next;
        uint32_t live; /* entries that are not zero; lock: the aspace's */
    } * info;
    uint32_t used;  /* pages ever given out */
    uint32_t slots; /* slots in place */
    uint32_t free;  /* heads of lists by page number + 1 */
    uint32_t roots; /* free, but only to be roots again */
    uint32_t dirty; /* free, but KVM may still hold shadows of them */
    uint32_t dirty_count;
};

struct kvm_platform {
    struct platform pl;
    struct pl_config cfg;
    int vm_fd;
    size_t run_size;
    uint8_t *kmem;
    struct kvm_cpuid2 *cpuid;
    uint64_t cr4, xcr0;  /* const after init */
    bool shadow;         /* KVM shadows our page tables and does not see us change them */
    bool fpu_stub;       /* vector state moves by code in ring 3, not by ioctl */
    bool can_populate;   /* MADV_POPULATE_READ, Linux 5.14 */
    bool syscall_faults; /* SYSCALL faults on LSTAR in ring 3 (PVM) */
    pthread_mutex_t slot_lock;
    uint32_t slot_next;  /* lock: slot_lock */
    uint32_t chunk_next; /* lock: slot_lock */
    uint32_t chunk_end;
    uint8_t *_Atomic *chunk_hva; /* by chunk number - KVM_DATA_GPA >> KVM_CHUNK_SHIFT */
    struct kvm_region region[2];
    struct kvm_arena arena;
    pthread_mutex_t pool_lock;
    pthread_cond_t pool_saved;           /* a vCPU that held a stolen ctx has been saved */
    struct kvm_vcpu *vcpu[KVM_VCPU_MAX]; /* lock: pool_lock */
    unsigned vcpu_count, vcpu_max;
    uint64_t pool_clock;        /* lock: pool_lock */
    struct kvm_waiter *waiters; /* lock: pool_lock; first come first */
    bool starving;              /* lock: pool_lock: nobody may jump the queue */
    unsigned saved_waiters;     /* lock: pool_lock */
    pid_t pid;                  /* const after init */
    _Atomic uint64_t as_next_id;
    _Atomic uint32_t flush_waiters;
};

#define KVM_ZAP_MAX 32

struct pl_aspace {
    struct kvm_platform *p;
    pthread_mutex_t lock;
    uint64_t id;
    uint64_t root; /* guest-physical */
    _Atomic uint64_t gen;
    _Atomic bool need_flush;
    uint32_t deferred; /* lock: lock; tables to free after the next flush, by page number + 1 */
    struct kvm_zap {   /* lock: lock; sentry ranges whose translations KVM must drop (shadow) */
        uint64_t lo, hi;
    } zap[KVM_ZAP_MAX];
    unsigned zap_count;
    bool zap_all;
};

struct pl_ctx {
    struct pl_aspace *as;
    struct kvm_regs regs;
    uint64_t orig_rax;
    uint64_t fs_base, gs_base; /* true only while bases_dirty or not loaded anywhere */
    bool bases_dirty;
    _Atomic bool dead;      /* also set by who fails to move its state */
    uint64_t spurious_addr; /* last fault that was answered without the sentry */
    unsigned spurious_count;
    unsigned efault_count;
    struct kvm_vcpu *vcpu;             /* lock: pool_lock; where FP state and bases are, or NULL */
    _Atomic(struct kvm_vcpu *) active; /* set around KVM_RUN */
    _Atomic bool interrupt;
    _Atomic(struct kvm_waiter *) waiter; /* lock: pool_lock to write; its place in the queue */
    struct kvm_xsave *fpu;
};

#define KVM_CTX_P(c) ((c)->as->p)

/* kvm_vm.c: the machine, its memory slots. */
int kvm_vm_create(const struct pl_config *cfg, struct kvm_platform **out);
void kvm_vm_destroy(struct kvm_platform *p);
int kvm_slot_add(struct kvm_platform *p, uint64_t gpa, uint64_t size, void *hva);
/* The guest-physical address behind hva and how many bytes after it are contiguous. */
int kvm_gpa_find(struct kvm_platform *p, const void *hva, uint64_t *gpa, uint64_t *run);
uint8_t *kvm_hva_find(struct kvm_platform *p, uint64_t gpa);
/* Make KVM forget every shadow page. Slow; for shadow mode only. */
void kvm_shadow_drop(struct kvm_platform *p);

/* kvm_image.c: descriptor tables, ring 0 code and the stub tree in the kernel slot. */
void kvm_image_build(struct kvm_platform *p);
void kvm_image_vcpu(struct kvm_platform *p, unsigned index);
uint64_t kvm_stub_entry(unsigned which);
enum {
    KVM_STUB_FPU,
    KVM_STUB_FSGS,
    KVM_STUB_XGETBV,
    KVM_STUB_LOAD,
    KVM_STUB_CPUID,
    KVM_STUB_COUNT
};

/* kvm_arena.c: memory for page tables. */
int kvm_arena_create(struct kvm_platform *p);
void kvm_arena_destroy(struct kvm_platform *p);
int kvm_table_alloc(struct kvm_platform *p, uint64_t *gpa);
void kvm_table_free(struct kvm_platform *p, uint64_t gpa);
/* Roots have the kernel half in place. */
int kvm_root_alloc(struct kvm_platform *p, uint64_t *gpa);
void kvm_root_free(struct kvm_platform *p, uint64_t gpa);
static inline uint64_t *kvm_table(struct kvm_platform *p, uint64_t gpa)
{
    return (uint64_t *)(p->arena.base + ((gpa & KVM_PTE_ADDR) - KVM_ARENA_GPA));
}
static inline struct kvm_table_info *kvm_table_info(struct kvm_platform *p, uint64_t gpa)
{
    return &p->arena.info[((gpa & KVM_PTE_ADDR) - KVM_ARENA_GPA) / PL_PAGE_SIZE];
}

/* kvm_pt.c: page tables. The caller holds as->lock. */
int kvm_pt_map_locked(struct pl_aspace *as, uint64_t va, uint64_t size, uint64_t gpa,
                      unsigned prot);
int kvm_pt_unmap_locked(struct pl_aspace *as, uint64_t va, uint64_t size);
int kvm_pt_protect_locked(struct pl_aspace *as, uint64_t va, uint64_t size, unsigned prot);
uint64_t kvm_pt_get_locked(struct pl_aspace *as, uint64_t va);
void kvm_pt_free_all(struct pl_aspace *as);
bool kvm_pte_allows(uint64_t pte, unsigned access);
/* Take pages whose backing is gone out of the tables, marked: 1 if any was found, else 0. */
int kvm_pt_mark_bus_locked(struct pl_aspace *as, uint64_t gpa, bool gpa_known);
/* A marked page was touched: put it back if its backing has returned. */
bool kvm_pt_retry_bus_locked(struct pl_aspace *as, uint64_t va);

/* kvm_as.c */
int kvm_as_create(struct platform *pl, struct pl_aspace **out);
void kvm_as_destroy(struct pl_aspace *as);
int kvm_as_map(struct pl_aspace *as, uint64_t va, uint64_t size, unsigned prot,
               const struct pl_backing *b, bool precommit);
int kvm_as_unmap(struct pl_aspace *as, uint64_t va, uint64_t size);
int kvm_as_protect(struct pl_aspace *as, uint64_t va, uint64_t size, unsigned prot);
int kvm_as_flush(struct pl_aspace *as);

/* kvm_vcpu.c: making vCPUs and moving state in and out of them. */
int kvm_vcpu_create(struct kvm_platform *p, unsigned index, struct kvm_vcpu **out);
void kvm_vcpu_destroy(struct kvm_platform *p, struct kvm_vcpu *v);
int kvm_vcpu_setup(struct kvm_platform *p, struct kvm_vcpu *v);
/* Save what v holds of old (may be NULL) and load c (may be NULL). */
int kvm_vcpu_switch(struct kvm_platform *p, struct kvm_vcpu *v, struct pl_ctx *old,
                    struct pl_ctx *c);
int kvm_vcpu_save_bases(struct kvm_vcpu *v, struct pl_ctx *c);
int kvm_vcpu_save_fpu(struct kvm_platform *p, struct kvm_vcpu *v, struct pl_ctx *c);
int kvm_vcpu_load_bases(struct kvm_vcpu *v, struct pl_ctx *c);
void kvm_vcpu_kick(struct kvm_vcpu *v);
/* Take back kicks that were meant for an earlier entry. */
static inline void kvm_vcpu_arm(struct kvm_vcpu *v)
{
    __atomic_store_n(&v->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
}
int kvm_ioctl(int fd, unsigned long request, void *arg);

/* kvm_pool.c: who may use which vCPU. */
int kvm_pool_take(struct kvm_platform *p, struct pl_ctx *c, struct kvm_vcpu **out);
void kvm_pool_put(struct kvm_platform *p, struct kvm_vcpu *v);
/* The vCPU that holds c's state, taken; or NULL if all of it is in memory. */
struct kvm_vcpu *kvm_pool_take_holder(struct kvm_platform *p, struct pl_ctx *c);
/* c has no more state in its vCPU (v is held). */
void kvm_pool_detach(struct kvm_platform *p, struct kvm_vcpu *v);
void kvm_pool_interrupt(struct kvm_platform *p, struct pl_ctx *c);
extern unsigned g_kvm_vcpu_limit; /* for tests: at most so many vCPUs; 0 = KVM_VCPU_MAX */

/* kvm_enter.c: one entry into the guest and what came out of it. */
struct kvm_trap { /* a trap as the processor reported it */
    int vector;   /* -1: SYSCALL */
    uint64_t error, rip, cs, rflags, rsp;
    bool by_fault; /* a SYSCALL that arrived as a fault on LSTAR */
};
enum kvm_stop { KVM_STOP_TRAP, KVM_STOP_KICKED, KVM_STOP_EFAULT, KVM_STOP_FATAL };
/* Registers and address space for the next entry. as NULL: the stub tree. */
int kvm_enter_prepare(struct kvm_platform *p, struct kvm_vcpu *v, const struct kvm_regs *r,
                      struct pl_aspace *as);
/* KVM_STOP_KICKED and KVM_STOP_EFAULT: *started says whether the guest has run at all; if so its
 * registers are in v->run. */
enum kvm_stop kvm_enter(struct kvm_platform *p, struct kvm_vcpu *v, struct kvm_trap *t,
                        bool *started);
/* Run ring 3 stub code to its SYSCALL: 0, or -EIO with the vector in *vector. */
int kvm_stub_run(struct kvm_platform *p, struct kvm_vcpu *v, unsigned which, struct kvm_regs *r,
                 int *vector);

/* kvm_run.c, kvm_ctx.c */
void kvm_ctx_run(struct pl_ctx *c, struct pl_event *ev);
int kvm_ctx_create(struct pl_aspace *as, struct pl_ctx **out);
void kvm_ctx_destroy(struct pl_ctx *c);
void kvm_ctx_set_result(struct pl_ctx *c, int64_t value);
void kvm_ctx_interrupt(struct pl_ctx *c);
int kvm_ctx_get_regs(struct pl_ctx *c, struct user_regs_struct *regs);
int kvm_ctx_set_regs(struct pl_ctx *c, const struct user_regs_struct *regs);
int kvm_ctx_set_base(struct pl_ctx *c, bool gs, uint64_t base);
int kvm_ctx_get_fpu(struct pl_ctx *c, void *buf);
int kvm_ctx_set_fpu(struct pl_ctx *c, const void *buf);
void kvm_fpu_init_image(struct kvm_xsave *x);
void kvm_fpu_clean(struct kvm_platform *p, struct kvm_xsave *x);
uint32_t kvm_fpu_size(uint64_t xfeatures);

/* kvm_trial.c: find out by running what this KVM does. */
int kvm_trial_run(struct kvm_platform *p);
int kvm_probe(int kvm_fd, bool measure, struct pl_probe *pr);

static inline bool kvm_canonical(uint64_t va)
{
    return (uint64_t)((int64_t)(va << 16) >> 16) == va;
}
