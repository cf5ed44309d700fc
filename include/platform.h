/* The platform contract: everything that the sentry asks of the machinery that runs guest code.
 *
 * A platform runs guest threads in ring 3 and hands every trap back. It knows nothing of files,
 * signals or tasks; it never includes a sentry header. The sentry never includes platform/ headers.
 *
 *   struct platform    one per sandbox
 *   struct pl_aspace   one guest address space (a stub process, or a set of page tables)
 *   struct pl_ctx      one guest thread, bound to one address space for its whole life
 *
 * Conventions: 0 or a negative errno; objects come through the last out-parameter and are written
 * only on success. Sizes are bytes. Guest addresses are integers. va, size and offset are always
 * multiples of the page size, and lie in [0, platform->va_end) (the sentry guarantees it).
 *
 * Threads: an aspace may be used by several sentry threads at once (the platform locks it). A ctx
 * belongs to one sentry thread at a time; only ctx_interrupt may come from any other thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/user.h> /* struct user_regs_struct: the guest's general registers, Linux's own layout */

#define PL_PAGE_SIZE 4096u

struct platform;
struct pl_aspace;
struct pl_ctx;

/* Access and protection bits, equal to PROT_READ, PROT_WRITE and PROT_EXEC. */
enum { PL_READ = 1, PL_WRITE = 2, PL_EXEC = 4 };

enum pl_event_kind {
    PL_EV_SYSCALL = 1, /* the guest executed SYSCALL */
    PL_EV_FAULT,       /* page fault: nothing (suitable) mapped at an address */
    PL_EV_EXCEPTION,   /* any other processor exception */
    PL_EV_INTERRUPTED, /* ctx_interrupt, or spuriously: the guest has stopped between instructions
                        */
    PL_EV_DIED, /* the guest thread is gone or has broken the platform's rules: kill its process */
};

struct pl_event {
    enum pl_event_kind kind;
    union {
        struct {
            uint64_t nr;      /* as the guest gave it in rax, all 64 bits */
            uint64_t args[6]; /* rdi rsi rdx r10 r8 r9 */
            uint64_t ip;      /* of the instruction after SYSCALL */
        } syscall;
        struct {
            uint64_t addr;   /* the faulting address, not aligned */
            uint64_t ip;     /* of the faulting instruction */
            unsigned access; /* one of PL_READ, PL_WRITE, PL_EXEC */
            bool bus;        /* mapped, but the backing has no page there (end of a host file) */
        } fault;
        struct {
            unsigned trapno; /* x86 vector: 0 #DE, 1 #DB, 3 #BP, 4 #OF, 6 #UD, 13 #GP, 16 #MF, 17
                                #AC, 19 #XM … */
            uint64_t error;  /* the processor's error code, 0 where the vector has none */
            uint64_t ip; /* as the processor saved it (after INT3, at the instruction otherwise) */
        } exception;
    };
};

/* What may be mapped. The memory file (fd memfile_fd of pl_config) holds all anonymous memory; any
 * other fd is a host file donated by the gofer. hva is the address at which the sentry itself has
 * mapped [offset, offset + size) of that fd; it is given only if the platform's needs_hva is set,
 * is inside one of the pl_config regions, and stays mapped until the range is unmapped or replaced.
 */
struct pl_backing {
    int fd;
    uint64_t offset;
    void *hva;
};

/* What the sentry tells a platform when the sandbox starts. */
struct pl_config {
    int memfile_fd;
    void
        *memfile_base; /* where the sentry has the whole memory file mapped, linear from offset 0 */
    uint64_t memfile_size;
    void *window_base; /* region in which the sentry maps pieces of donated files */
    uint64_t window_size;
    /* 64-bit bitmap of system call numbers, indexed nr/64, that usually need the whole register
     * state (fork, clone, execve, rt_sigreturn, exit…). A hint for speed, never for correctness. */
    const uint64_t *full_calls;
    unsigned full_calls_count; /* words in full_calls */
    /* Opened before the sandbox was confined: /dev/kvm, or -1. Ownership stays with the caller. */
    int kvm_fd;
    /* A line for --debug-log. Never NULL. */
    void (*log)(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
};

/* One measured answer of probe(), for --platform=auto and --debug-log. */
struct pl_probe {
    uint64_t trap_ns; /* median of a few trap round trips; 0 = not measured */
    char reason[200]; /* on failure: a whole sentence for a person; on success: a few words */
};

struct pl_ops {
    const char *name; /* "systrap", "kvm" */
    bool needs_hva;

    /* Can this platform run here, and how fast? Called in the launcher, before confinement, at most
     * once per start; must leave nothing behind. kvm_fd as in pl_config. With measure=false only
     * the cheap question "can it" is answered (well below 1 ms). -ENOSYS, -EPERM, … with p->reason
     * set. */
    int (*probe)(int kvm_fd, bool measure, struct pl_probe *p);

    /* Create the sandbox's platform. Called once in the sentry, before its seccomp list is loaded
     * and while it has only one thread (systrap forks its stub zygote here). Host threads and
     * processes that the platform starts are its own and end with destroy, or with the sentry's
     * death. */
    int (*create)(const struct pl_config *c, struct platform **out);
    void (*destroy)(struct platform *p);

    /* An empty address space. destroy requires that all its contexts are destroyed; the memory it
     * mapped may be reused by the caller as soon as destroy has returned. */
    int (*as_create)(struct platform *p, struct pl_aspace **out);
    void (*as_destroy)(struct pl_aspace *as);

    /* Change mappings. Replaces whatever was mapped in the range. The change may be queued: it
     * holds for a context at the latest when that context next returns to guest code after as_flush
     * (or a ctx_run of any context of the address space) has been called. prot may be 0 (mapped, no
     * access) and never includes more than fd allows. precommit asks the platform to fill its page
     * tables now. Mapping is always MAP_SHARED: a store reaches the backing, so the caller gives
     * PL_WRITE only where that is meant. -ENOMEM leaves the range unmapped, and later faults in it
     * are reported. */
    int (*as_map)(struct pl_aspace *as, uint64_t va, uint64_t size, unsigned prot,
                  const struct pl_backing *b, bool precommit);
    int (*as_unmap)(struct pl_aspace *as, uint64_t va, uint64_t size);
    /* Parts of the range that are not mapped stay so. */
    int (*as_protect)(struct pl_aspace *as, uint64_t va, uint64_t size, unsigned prot);
    /* Carry out everything queued. On return no guest thread of the address space, even one that is
     * running in guest code now, can still use a translation that was unmapped, replaced or
     * tightened: frames behind it may be given to others. -EIO: the address space is dead (its
     * contexts report PL_EV_DIED) and can use nothing any more, which also makes the frames safe to
     * reuse. */
    int (*as_flush)(struct pl_aspace *as);

    /* A guest thread. Registers start as zero; the sentry sets them before the first run. destroy
     * may be called in any state between runs. Neither blocks on guest behaviour for more than 1 s.
     */
    int (*ctx_create)(struct pl_aspace *as, struct pl_ctx **out);
    void (*ctx_destroy)(struct pl_ctx *c);

    /* Return to the guest until the next event. After a PL_EV_SYSCALL whose registers were not
     * replaced by ctx_set_regs, rax is what ctx_set_result said. Always 0 or an event; a failure of
     * any kind is PL_EV_DIED. Blocks without using the processor while the guest runs. */
    void (*ctx_run)(struct pl_ctx *c, struct pl_event *ev);
    void (*ctx_set_result)(struct pl_ctx *c, int64_t value);

    /* Make the present ctx_run, or else the next one, return PL_EV_INTERRUPTED promptly. Any
     * thread, any time between ctx_create and ctx_destroy; never blocks; coalesces. */
    void (*ctx_interrupt)(struct pl_ctx *c);

    /* The whole register state, between runs only. After PL_EV_SYSCALL: rip is behind the SYSCALL
     * instruction, orig_rax holds the number, rax what ctx_set_result last said (else -ENOSYS), rcx
     * and r11 are as SYSCALL leaves them. After other events orig_rax is -1. fs_base and gs_base
     * are true. cs, ss, ds, es, fs, gs are given as Linux's user values and ignored by set_regs;
     * set_regs accepts any values: it cleans rflags and makes a non-canonical rip fault in the
     * guest, never in the host. May cost a trap (systrap light entries), so ask only when needed.
     * -ESRCH: the thread has died; ctx_run will say so. */
    int (*ctx_get_regs)(struct pl_ctx *c, struct user_regs_struct *regs);
    int (*ctx_set_regs)(struct pl_ctx *c, const struct user_regs_struct *regs);

    /* Only fs_base/gs_base, without moving the other registers (arch_prctl). */
    int (*ctx_set_base)(struct pl_ctx *c, bool gs, uint64_t base);

    /* FP and vector state in XSAVE's standard (non-compacted) layout, fpu_size bytes (see below). A
     * hostile image is cleaned (mxcsr, xstate_bv, reserved header bytes) or refused with -EINVAL.
     */
    int (*ctx_get_fpu)(struct pl_ctx *c, void *buf);
    int (*ctx_set_fpu)(struct pl_ctx *c, const void *buf);
};

/* Each platform embeds this as the first member of its own struct. */
struct platform {
    const struct pl_ops *ops;
    uint64_t va_end;    /* first address guest mappings may not use; at least 0x7f0000000000 */
    uint32_t fpu_size;  /* bytes of ctx_get_fpu's image, at least 576; at most 16384 */
    uint64_t xfeatures; /* XCR0 bits the image can hold (bit 0 x87, 1 SSE, 2 AVX, 5-7 AVX-512) */
    bool host_tsc;      /* RDTSC in guest code reads what it reads in the sentry */
    uint64_t hwcap2;    /* AT_HWCAP2 bits that are true of guest code here (bit 1: FSGSBASE) */
};

/* The platforms compiled in, in order of preference, ending with NULL. */
extern const struct pl_ops *const g_platforms[];
extern const struct pl_ops g_platform_systrap;
extern const struct pl_ops g_platform_kvm;
extern const struct pl_ops g_platform_skeleton;
