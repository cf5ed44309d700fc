/* What the files of mm/ share. See mm.h for the room's contract and README.md for the picture. */
#pragma once

#include "base/overflow.h"
#include "base/tree.h"
#include "mm/mm.h"
#include <errno.h>
#include <sys/mman.h>

/* ---- memfile.c --------------------------------------------------------------------------------
 */

extern char *g_memfile_base; /* const after init */

static inline void *frame_ptr(uint64_t offset)
{
    return g_memfile_base + offset;
}
/* The next committed byte at or after offset, or end. */
uint64_t memfile_next_data(uint64_t offset, uint64_t end);
/* Advance *offset to committed data before end and say how much to take from there: at most piece,
 * 0 at the end. */
uint64_t memfile_next_piece(uint64_t *offset, uint64_t end, uint64_t piece);
/* Copy frames into fresh (zero) ones, committing little of what was never touched; *copied grows by
 * what is committed in dst. -ENOMEM: the host has no page. */
int memfile_copy(uint64_t dst, uint64_t src, uint64_t size, uint64_t *copied);
/* Committed bytes, to within a few pages for large ranges. */
uint64_t memfile_resident(uint64_t offset, uint64_t size);
/* Empty frames that stay in use: mappings of them read zeros from now on. */
void memfile_punch(uint64_t offset, uint64_t size);
/* Have host memory behind frames now. */
void memfile_commit(uint64_t offset, uint64_t size);
/* How much may be allocated around a fault (a power of two): less and less near the ceiling. */
uint64_t memfile_chunk_max(void);
/* What the sandbox has altogether: the ceiling, else the host's memory and swap. */
uint64_t memfile_total(void);

/* ---- frames.c ---------------------------------------------------------------------------------
 */

enum {
    FRAME_PRESENT = 1,
    FRAME_COW = 2,    /* may be shared with another table: copy before writing unless refs == 1 */
    FRAME_MAPPED = 4, /* the platform has been told of it (it may have forgotten) */
    FRAME_UFFD_WP = 8, /* a userfaultfd hears of writes; COW is set too */
};
#define FRAME_OFFSET(e) ((e)&RF_PAGE_MASK)

struct frame_table {
    void *root;
    uint64_t count; /* entries present */
};
struct frame_run { /* neighbours in address and in frame, with equal flags */
    uint64_t va, size, offset, flags;
};
/* The entry of a page: NULL, or maybe zero (peek); made if needed, NULL without memory (make). */
uint64_t *frames_peek(const struct frame_table *t, uint64_t va);
uint64_t *frames_make(struct frame_table *t, uint64_t va);
/* Address of the first present entry in [va, end), or end. */
uint64_t frames_next(const struct frame_table *t, uint64_t va, uint64_t end);
/* The first run in [va, end); entries are compared under flag_mask. */
bool frames_run(const struct frame_table *t, uint64_t va, uint64_t end, uint64_t flag_mask,
                struct frame_run *out);
/* The first stretch of [va, end) whose entries & mask == want, wherever their frames are. */
bool frames_span(const struct frame_table *t, uint64_t va, uint64_t end, uint64_t mask,
                 uint64_t want, uint64_t *start, uint64_t *size);
/* Enter consecutive frames, whose references the table takes over on success. */
int frames_fill(struct frame_table *t, uint64_t va, uint64_t offset, uint64_t size, uint64_t flags);
/* Forget the entries and put their frames: after the translations are gone. */
void frames_clear(struct frame_table *t, uint64_t va, uint64_t end);
void frames_change(struct frame_table *t, uint64_t va, uint64_t end, uint64_t set, uint64_t clear);
void frames_prune(struct frame_table *t, uint64_t va, uint64_t end);
/* Share [va, end) copy-on-write. *tightened is set if a source entry was not so before. */
int frames_fork(struct frame_table *src, struct frame_table *dst, uint64_t va, uint64_t end,
                bool *tightened);
int frames_move(struct frame_table *t, uint64_t from, uint64_t to, uint64_t size);

/* ---- window.c ---------------------------------------------------------------------------------
 */

struct window_piece;
/* Our own address of offset in fd; *size: bytes good from there on. The piece stays mapped until
 * window_unpin. hva: for a platform, keep it until the mappable is dropped. */
int window_pin(struct mappable *m, int fd, uint64_t offset, bool writable, bool hva, void **ptr,
               uint64_t *size, struct window_piece **out);
void window_unpin(struct window_piece *p);
/* Guarded copies: the count of bytes NOT copied (guarded.S-like asm in guarded.c). */
size_t guarded_copy(void *dst, const void *src, size_t size);
size_t guarded_zero(void *dst, size_t size);
int guarded_load32(const uint32_t *p, uint32_t *value);
int guarded_cmpxchg32(uint32_t *p, uint32_t *expected, uint32_t desired);

/* ---- address spaces ---------------------------------------------------------------------------
 */

enum { /* vma.flags */
       VMA_SHARED = 1,
       VMA_GROWSDOWN = 2,
       VMA_LOCKED = 4,
       VMA_DONTFORK = 8,
       VMA_WIPEONFORK = 16,
       VMA_MAYREAD = 32, /* what mprotect may give */
       VMA_MAYWRITE = 64,
       VMA_MAYEXEC = 128,
       VMA_WRITER = 256,  /* counted by mappable_ops.writable_get */
       VMA_TOUCHED = 512, /* something of it has been mapped by the platform */
       VMA_NORESERVE = 1024,
       VMA_DONTDUMP = 2048,
       VMA_LOCKONFAULT = 4096,
       VMA_FRAMES = 8192, /* frames of the memory file have been mapped through its mappable */
       VMA_SEALED = 16384, /* mseal(2) */
       VMA_DROPPABLE = 65536, /* MAP_DROPPABLE: wiped on fork, never locked */
       VMA_GUARD = 32768,  /* MADV_GUARD_INSTALL: mapped, but any access is a fault */
};

struct vma {
    struct tree_node node; /* lock: mm.lock; mm.vmas, by start */
    struct mm *mm;         /* const; borrowed */
    uint64_t start, end;   /* lock: mm.lock */
    unsigned prot, flags;  /* lock: mm.lock */
    uint64_t offset;       /* lock: mm.lock; of start in map */
    struct file *file;     /* const; counted, or NULL */
    struct mappable *map;  /* const; kept alive by file, or counted if anon_shared; or NULL */
    const char *name;      /* lock: mm.lock; static */
    struct mempolicy policy;        /* lock: mm.lock */
    struct uffd_hook *uffd;         /* lock: mm.lock; counted, or NULL */
    unsigned uffd_modes;            /* lock: mm.lock; MM_UFFD_* */
    struct list_node mappable_node; /* lock: map.lock */
    struct list_node dead_node;     /* while on a list of VMAs to free */
};

#define MM_AUXV_WORDS    64
#define MM_LDT_ENTRIES   8192
#define MM_MMAP_MIN_ADDR 65536ull
#define MM_STACK_GUARD   (256 * RF_PAGE_SIZE)
#define MM_CHUNK         (2ull << 20) /* frames allocated around an anonymous fault */

struct mm {
    struct ref ref;
    struct platform *platform; /* const */
    struct pl_aspace *as;      /* const */
    struct mm_tenant *tenant;  /* atomic; set once */
    struct rwlock lock;        /* LR_MM */
    struct tree vmas;          /* lock: lock */
    struct vma *hint;          /* atomic under a read lock; the last VMA found, or NULL */
    unsigned vma_count;        /* lock: lock */
    struct frame_table frames; /* lock: lock */
    struct mm_layout layout;   /* lock: lock */
    struct mm_limits limits;   /* lock: lock */
    /* Bytes, by kind of VMA. lock: lock */
    uint64_t vm_size, vm_peak, data, stack, text, locked;
    uint64_t rss_peak;            /* lock: lock */
    unsigned lock_future;         /* lock: lock; VMA_LOCKED|VMA_LOCKONFAULT or 0 */
    uint64_t gap_size, gap_top;   /* lock: lock; no gap of gap_size lies above gap_top */
    bool lingering;               /* lock: lock; VMAs went without a flush: see map.c */
    struct file *exe;             /* lock: lock; counted */
    uint64_t auxv[MM_AUXV_WORDS]; /* lock: lock */
    unsigned auxv_words;          /* lock: lock */
    uint64_t *ldt;                /* lock: lock; MM_LDT_ENTRIES, or NULL */
};

/* vma.c: the tree; all under the write lock unless said. */
struct vma *vma_find(const struct mm *mm, uint64_t addr);  /* the one that contains addr */
struct vma *vma_above(const struct mm *mm, uint64_t addr); /* the first with end > addr */
struct vma *vma_next(const struct vma *v);
struct vma *vma_prev(const struct vma *v);
struct vma *vma_new(struct mm *mm, uint64_t start, uint64_t end);
/* Another VMA like v over [start, end), with its own references; not in the tree. */
int vma_dup(struct mm *mm, const struct vma *v, uint64_t start, uint64_t end, struct vma **out);
void vma_insert(struct mm *mm, struct vma *v); /* counts it, links it to its mappable */
void vma_remove(struct mm *mm, struct vma *v); /* undoes vma_insert */
void vma_free(struct vma *v);                  /* drops references: no locks held */
void vma_free_list(struct list *dead);
void vma_set_prot(struct mm *mm, struct vma *v, unsigned prot, unsigned flags);
void vma_resize(struct mm *mm, struct vma *v, uint64_t start, uint64_t end);
/* Make [start, end) begin and end at VMA borders. */
int vma_split_range(struct mm *mm, uint64_t start, uint64_t end);
/* Merge v with its neighbours where they are alike; the survivors of [start, end). Absorbed ones
 * go to dead. */
void vma_merge_range(struct mm *mm, uint64_t start, uint64_t end, struct list *dead);
/* Is all of [start, end) covered by VMAs? */
bool vma_covered(struct mm *mm, uint64_t start, uint64_t end);
/* A free range: top-down below mmap_base, else bottom-up; low32 for MAP_32BIT. */
int vma_gap(struct mm *mm, uint64_t size, bool low32, uint64_t *va);
bool vma_range_free(struct mm *mm, uint64_t start, uint64_t end, bool with_guard);
static inline uint64_t vma_size(const struct vma *v)
{
    return v->end - v->start;
}
static inline bool vma_is_anon(const struct vma *v)
{
    return !v->map;
}
static inline bool vma_shared(const struct vma *v)
{
    return v->flags & VMA_SHARED;
}

/* fault.c; all under the write lock. */
unsigned vma_pl_prot(const struct vma *v); /* PL_* of v with PROT_WRITE and EXEC implying READ */
int fault_locked(struct mm *mm, uint64_t addr, unsigned access, bool forced);
/* Show the platform what it may already have of [lo, hi) of v: private frames, host files. */
void fault_populate_lazy(struct mm *mm, struct vma *v, uint64_t lo, uint64_t hi);
/* After mmap and brk: give the platform what will most likely be touched, sparing a fault. program:
 * v is a segment of a program or library. */
void fault_ahead(struct mm *mm, struct vma *v, uint64_t lo, uint64_t hi, bool program);
/* Make every page of [lo, hi) present as by touching it. Stops at the first error. */
int fault_populate(struct mm *mm, uint64_t lo, uint64_t hi, bool write);
/* commit: the frames have their memory already; the platform should fill its page tables. */
int fault_map_frames(struct mm *mm, struct vma *v, const struct frame_run *run, bool commit);
/* as_protect on the private pages that the platform has, and nothing else: a range with holes is
 * dear to platforms. Only entries & mask == want. */
void fault_protect_frames(struct mm *mm, uint64_t lo, uint64_t hi, uint64_t mask, uint64_t want,
                          unsigned prot);
/* Remove what the platform knows of a range; flushed, so frames behind it may go. */
void mm_unmap_platform(struct mm *mm, uint64_t va, uint64_t end);

/* reclaim.c: give back frames of mm that were allocated around faults and never touched. False if
 * there were none. */
bool mm_reclaim(struct mm *mm);

/* commit.c */
/* May a mapping that counts (private and writable, or shared memory without a file) grow by size? */
int mm_may_commit(uint64_t size, bool noreserve);
void mm_commit_add(uint64_t size); /* wraps: negative sizes take away */
static inline unsigned mm_map_count_max(void)
{
    return __atomic_load_n(&g_mm_knobs.max_map_count, __ATOMIC_RELAXED);
}

/* userfault.c */
void uffd_vma_get(struct vma *v);
void uffd_vma_put(struct vma *v); /* no locks */
void uffd_vma_forget(struct vma *copy);
/* Why a userfaultfd must hear of an access to a page with this entry: MM_UFFD_* or 0. */
unsigned uffd_wants(const struct vma *v, uint64_t addr, uint64_t entry, unsigned access);
void uffd_note_blocked(uint64_t addr, unsigned access);

/* map.c */
/* Unmap whole VMAs in [start, end) into dead; the caller frees them after unlocking. next: the VMA
 * that will take the place, or NULL. */
int mm_unmap_locked(struct mm *mm, uint64_t start, uint64_t end, const struct vma *next,
                    struct list *dead);
int mm_may_expand(struct mm *mm, uint64_t size, unsigned prot, unsigned vma_flags);
bool mm_sealed(struct mm *mm, uint64_t start, uint64_t end); /* any of it */
bool mm_range_ok(struct mm *mm, uint64_t addr, uint64_t size); /* inside the address space */

/* mm.c: as mm_put, where the last one may not release files (locks above LR_MM are held). */
void mm_put_later(struct mm *mm);

/* uaccess.c */
size_t uaccess_zero_some(struct mm *mm, struct uaddr dst, size_t size);
/* Our address of guest bytes in the memory file, under the read lock, *size in and out. -EAGAIN:
 * faulted in with the lock dropped meanwhile; -EOPNOTSUPP: in a donated file; -EFAULT. */
int uaccess_pin_span(struct mm *mm, uint64_t addr, uint64_t *size, unsigned access, void **ptr);

/* mappable.c */
int anon_shared_new(uint64_t size, struct mappable **out);
void anon_shared_get(struct mappable *m);
void anon_shared_put(struct mappable *m);
bool mappable_is_anon_shared(const struct mappable *m);
int anon_shared_punch(struct mappable *m, uint64_t offset, uint64_t size);
void mappable_link(struct vma *v);
void mappable_unlink(struct vma *v);
