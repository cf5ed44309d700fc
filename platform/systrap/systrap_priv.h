/* systrap's own structures. See README.md for the whole picture, stub_layout.h for the stub side.
 */
#pragma once

#include "platform.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "stub_layout.h"

enum {
    ST_POOL_MAX = 8, /* stubs kept ready */
    ST_PROTECT_MAX =
        256, /* pieces that as_protect is carried out in; a range with more is unmapped */
    ST_BATCH_MAX = 128, /* mapping changes queued before they are carried out unasked */
    ST_WAIT_MS = 1000,  /* patience with a stub that must react at once */
    ST_BLOCK_COUNT =
        2048,            /* stubs at most; one descriptor or more each, so the limit comes first */
    ST_FPU_MAX = 16384,  /* what platform.h promises of fpu_size */
    ST_START_MS = 10000, /* patience with a stub or thread that starts, on a loaded machine */
};

/* The kernel's signal frame on x86-64, struct rt_sigframe up to the siginfo. */
struct st_sigcontext {
    uint64_t r8, r9, r10, r11, r12, r13, r14, r15, di, si, bp, bx, dx, ax, cx, sp, ip, flags;
    uint16_t cs, gs, fs, ss;
    uint64_t err, trapno, oldmask, cr2, fpstate;
    uint64_t reserved[8];
};

struct st_frame {
    uint64_t pretcode;
    uint64_t uc_flags, uc_link;
    uint64_t ss_sp;
    uint32_t ss_flags, ss_pad;
    uint64_t ss_size;
    struct st_sigcontext sc;
    uint64_t sigmask;
    uint64_t siginfo[16];
};
_Static_assert(offsetof(struct st_frame, siginfo) == 312, "the kernel's layout");
_Static_assert(offsetof(struct st_frame, siginfo[2]) == FRAME_FS, "siginfo carries the bases");

/* Mapped parts of an address space, see ranges.c. */
struct st_range {
    uint64_t start, end;
};
struct st_ranges {
    unsigned count, room;
    struct st_range *v;
};

/* One queued mapping call, as the mapper reads it. */
struct st_call {
    uint64_t nr;
    uint64_t args[6];
    uint64_t pad;
};
_Static_assert(sizeof(struct st_call) == BATCH_ENTRY, "stub.S steps by this");

/* An order to the zygote and its answer: a stub process, and the descriptors at which its mapper
 * and its first thread put their listeners. */
struct st_newborn {
    unsigned block;
    bool answered;
    int err;
    pid_t pid;
    int mapper_target, thread_target;
};

struct systrap {
    struct platform pl;
    int memfile_fd; /* const after init */
    void (*log)(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
    int stub_fd;          /* the stub file; const after init */
    int text_fd;          /* closed to writes for good; const after init */
    char *stub_base;      /* the stub file, mapped whole; block 0 belongs to the zygote */
    uint32_t slot_size;   /* const after init */
    bool poll_first;      /* before Linux 6.11 RECV sleeps on when the stub dies, poll does not */
    pid_t zygote;         /* const after init */
    uint8_t sw_bytes[48]; /* the kernel's marks in a frame's FP image; const after calibration */
    bool calibrated;
    uint32_t mxcsr_mask; /* const after calibration */
    uint32_t pkru; /* the protection-key register of a fresh thread; const after calibration */

    pthread_mutex_t zygote_lock;
    uint32_t zygote_seq;             /* lock: zygote_lock */
    struct st_newborn *zygote_order; /* lock: zygote_lock; the one order that is not answered yet */

    pthread_mutex_t lock;
    unsigned free_count;                  /* lock: lock */
    uint16_t free_blocks[ST_BLOCK_COUNT]; /* lock: lock */
    struct pl_aspace *pool[ST_POOL_MAX];  /* lock: lock */
    unsigned pool_count;                  /* lock: lock */
    struct pl_aspace *coming;             /* lock: lock; ordered, to be waited for */

    pthread_mutex_t watch_lock;
    pthread_cond_t watch_cond;
    bool watch_running;     /* lock: watch_lock */
    bool watch_stop;        /* lock: watch_lock */
    pthread_t watch_thread; /* lock: watch_lock */
    struct pl_ctx *watched; /* lock: watch_lock; contexts with an interrupt on the way */
};

struct pl_aspace {
    struct systrap *p;
    unsigned block; /* index in the stub file; const */
    pid_t pid;      /* const; not reaped before destroy, so never another's */
    int mapper_fd;  /* const */
    atomic_bool dead;

    pthread_mutex_t lock;
    uint64_t mapper_id;      /* lock: lock; the parked mapper's notification */
    unsigned queued;         /* lock: lock */
    atomic_bool dirty;       /* something is queued; written under lock */
    bool strict;             /* lock: lock; a map failed: carry out the next one at once */
    struct st_ranges mapped; /* lock: lock; as it will be when the queue is done */
    struct st_call queue[ST_BATCH_MAX]; /* lock: lock */

    pthread_mutex_t spawn_lock;
    uint32_t spawn_seq;     /* lock: spawn_lock */
    unsigned slot_next;     /* lock: spawn_lock; slots from here on have never been used */
    uint32_t slots_mapped;  /* lock: spawn_lock; bytes of slots that the stub can see */
    uint16_t *slots;        /* lock: spawn_lock; used and free again */
    unsigned slots_count;   /* lock: spawn_lock */
    unsigned slots_room;    /* lock: spawn_lock */
    struct pl_ctx *spare;   /* lock: spawn_lock; the thread of slot 1, parked and clean, or NULL */
    struct pl_ctx *coming;  /* lock: spawn_lock; ordered, to be waited for */
    struct pl_ctx *failed;  /* lock: spawn_lock; did not start; its target stays reserved */
    struct st_newborn born; /* lock: the creator's until as_create returns */
};

enum st_where {
    ST_PARKED, /* in the handler: the frame and regs are valid */
    ST_LIGHT,  /* in a notified system call of the guest */
    ST_GONE,   /* dead, or condemned */
};

/* Bits of pl_ctx.run_state. */
enum { ST_RUNNING = 1, ST_INTERRUPT = 2 };

struct pl_ctx {
    struct pl_aspace *as;
    unsigned slot;     /* const */
    int listener;      /* const */
    pid_t tid;         /* const */
    uint64_t frame_va; /* where the kernel always puts this thread's frame; const after start */
    uint64_t fpu_va;   /* and its FP image; const after start */

    /* All task-private but run_state and the watch fields. */
    enum st_where where;
    uint64_t notif_id;
    int64_t result;   /* ST_LIGHT: what the call returns */
    uint64_t call_nr; /* of the last PL_EV_SYSCALL */
    uint64_t call_args[6];
    bool was_syscall; /* the last event was PL_EV_SYSCALL and set_regs has not been called */
    bool owed;        /* an interrupt landed while converting: report it on the next run */
    bool signalled;   /* our signal is on its way and will land on the next run */
    unsigned resume;  /* RESUME_* flags for the next run */
    struct user_regs_struct regs; /* valid while ST_PARKED */
    atomic_uint run_state;

    struct pl_ctx *watch_next; /* lock: watch_lock */
    bool watch_on;             /* lock: watch_lock */
    uint64_t watch_since;      /* lock: watch_lock; ns */
    uint64_t watch_cpu;        /* lock: watch_lock; ns of processor time of the stub then */
};

/* The blob of stub.S. */
struct st_callsite {
    uint32_t offset; /* from the start of the text; of the instruction after SYSCALL */
    uint32_t nr;
    uint32_t who; /* CALL_* */
};
extern const char rf_stub_start[], rf_stub_end[];
extern const char rf_stub_boot[], rf_stub_handler[], rf_stub_restorer[], rf_stub_parked[];
extern const struct st_callsite rf_stub_calls[], rf_stub_calls_end[];

/* Address in a stub of a label of stub.S. */
static inline uint64_t st_text_va(const char *label)
{
    return STUB_TEXT + (uint64_t)(label - rf_stub_start);
}

/* notify.c: seccomp notifications and futexes, from the sentry's side. */
struct st_notif {
    uint64_t id;
    uint32_t pid;
    uint32_t flags;
    int32_t nr;
    uint32_t arch;
    uint64_t ip;
    uint64_t args[6];
};
/* Waits for the next notification. -ESRCH: every thread behind the listener is gone. With
 * timeout_ms
 * >= 0 also -ETIMEDOUT. */
int st_notif_recv(const struct systrap *p, int fd, struct st_notif *n, int timeout_ms);
/* -ENOENT: the thread has been killed meanwhile. */
int st_notif_send(int fd, uint64_t id, int64_t value);
int st_notif_continue(int fd, uint64_t id);
/* Sets the listener's flags. -ENOTTY: it is no listener. */
int st_notif_setup(int fd);
void st_futex_wake(void *word);
/* 0 or -ETIMEDOUT once *word has stayed equal to value for so long. */
int st_futex_wait(void *word, uint32_t value, int timeout_ms);
uint64_t st_now_ns(void);

/* filter.c: writes the four programs at base, the sentry's view of STUB_PROGS; size bytes of room.
 */
int st_filter_build(const struct pl_config *c, void *base, size_t size);

/* zygote.c */
int st_zygote_start(struct systrap *p, const struct pl_config *c);
void st_zygote_stop(struct systrap *p);
/* Orders a stub for b->block; b must live until st_zygote_collect has returned. */
int st_zygote_order(struct systrap *p, struct st_newborn *b);
/* Waits for the answer: 0 and b filled in, or b->err. */
int st_zygote_collect(struct systrap *p, struct st_newborn *b);

/* aspace.c */
int st_aspace_create(struct platform *pl, struct pl_aspace **out);
void st_aspace_destroy(struct pl_aspace *as);
/* Ends the process behind as: every context of it will report PL_EV_DIED. */
void st_aspace_kill(struct pl_aspace *as);
/* Frees a pooled address space for good. */
void st_aspace_free(struct pl_aspace *as);
/* Frees everything pooled or on its way. */
void st_pool_stop(struct systrap *p);
char *st_aspace_ctl(const struct pl_aspace *as);
char *st_aspace_slot(const struct pl_aspace *as, unsigned slot);

/* ranges.c */
unsigned st_ranges_find(const struct st_ranges *r, uint64_t va, bool strict);
int st_ranges_add(struct st_ranges *r, uint64_t start, uint64_t end);
void st_ranges_remove(struct st_ranges *r, uint64_t start, uint64_t end);
void st_ranges_clear(struct st_ranges *r);

/* map.c */
int st_map_start(struct pl_aspace *as);
int st_as_map(struct pl_aspace *as, uint64_t va, uint64_t size, unsigned prot,
              const struct pl_backing *b, bool precommit);
int st_as_unmap(struct pl_aspace *as, uint64_t va, uint64_t size);
int st_as_protect(struct pl_aspace *as, uint64_t va, uint64_t size, unsigned prot);
int st_as_flush(struct pl_aspace *as);
/* A new descriptor number, for a stub thread to put its listener at. */
int st_map_reserve(struct pl_aspace *as, int *target);
/* Makes sure that the stub sees its first count slots. */
int st_map_slots(struct pl_aspace *as, unsigned count);
/* Removes all of the guest's memory. */
int st_map_empty(struct pl_aspace *as);

/* thread.c: start, park and end guest threads. A start has two halves: order (which may be written
 * before the stub exists) and wait. spawn_lock is held by the caller from the one to the other. */
int st_thread_order(struct pl_aspace *as, bool first, struct pl_ctx **out);
int st_thread_wait(struct pl_ctx *c);
/* Waits until the thread that was to put its listener at *target has done so, as the ready word
 * says; the word is a hint only. */
int st_target_wait(struct pl_aspace *as, int target, void *ready);
int st_ctx_create(struct pl_aspace *as, struct pl_ctx **out);
void st_ctx_destroy(struct pl_ctx *c);
void st_thread_free(struct pl_ctx *c);

/* ctx.c */
void st_ctx_run(struct pl_ctx *c, struct pl_event *ev);
void st_ctx_set_result(struct pl_ctx *c, int64_t value);
void st_ctx_interrupt(struct pl_ctx *c);
/* Brings a context that is in a light call into the handler. -ESRCH: dead. */
int st_ctx_park(struct pl_ctx *c, int timeout_ms);

/* regs.c */
int st_ctx_get_regs(struct pl_ctx *c, struct user_regs_struct *regs);
int st_ctx_set_regs(struct pl_ctx *c, const struct user_regs_struct *regs);
int st_ctx_set_base(struct pl_ctx *c, bool gs, uint64_t base);
int st_ctx_get_fpu(struct pl_ctx *c, void *buf);
int st_ctx_set_fpu(struct pl_ctx *c, const void *buf);
struct st_frame *st_frame_of(struct pl_ctx *c);
/* Copies the registers out of a frame that has just been parked, with the bases it reported. */
void st_frame_read(struct pl_ctx *c, uint64_t fs, uint64_t gs);
/* Writes everything that rt_sigreturn will read but the FP image. */
void st_frame_write(struct pl_ctx *c);
/* Learns from a fresh thread's frame what the FP image looks like on this machine. */
int st_frame_calibrate(struct pl_ctx *c);
/* Zero registers and the initial FP state. */
void st_frame_reset(struct pl_ctx *c);

/* watch.c: condemns a guest that blocks our interrupt signal. */
void st_watch_add(struct pl_ctx *c);
void st_watch_remove(struct pl_ctx *c);
void st_watch_stop(struct systrap *p);

/* probe.c */
int st_probe(int kvm_fd, bool measure, struct pl_probe *p);
