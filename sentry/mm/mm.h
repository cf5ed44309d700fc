/* Guest memory: address spaces, the memory file, and the only code that touches guest memory.
 *
 *   memfile   one sparse memfd for all anonymous and tmpfs memory, handed out in counted page
 * frames mappable  what an inode offers to be mapped (host descriptor, or frames of the memory
 * file) mm        one guest address space: VMAs, which frames its private pages have, the
 * platform's pl_aspace that mirrors them lazily uaccess   copies between guest memory and ours;
 * struct uaddr cannot be dereferenced uio       a guest (or kernel) buffer being consumed by read,
 * write and their kin
 *
 * Life of a page: no frame (reads see the mappable, or zeros) → private frame in the memory file →
 * shared copy-on-write after fork → freed, and its bytes punched out of the memory file.
 * Locks: mm.lock (LR_MM) guards VMAs and frame tables; see base/lockrank.h. */
#pragma once

#include "base/list.h"
#include "base/lock.h"
#include "base/ref.h"
#include "base/tree.h"
#include "platform.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct file;
struct mm;
struct kernel;

/* ---- the memory file ------------------------------------------------------------------------ */

#define MEMFILE_NONE UINT64_MAX

/* Create the memory file and map it whole. Once, at start, single-threaded. fd < 0: memfd_create.
 */
int memfile_init(void);
int memfile_fd(void);
void *memfile_base(void);
uint64_t memfile_size(void);
/* Allocate size bytes (page multiple) contiguous, zero-filled, one reference per page. Backing host
 * memory is committed only when touched. -ENOMEM beyond the sandbox's ceiling. */
int memfile_alloc(uint64_t size, uint64_t *offset);
/* Add, drop one reference on every page of the extent. Pages that reach zero are punched out of the
 * file (fallocate) and may be reused. The caller has made sure that no translation is left. */
void memfile_get(uint64_t offset, uint64_t size);
void memfile_put(uint64_t offset, uint64_t size);
uint32_t memfile_refs(uint64_t offset);
/* Our own address of a frame; valid while a reference is held. */
static inline void *memfile_ptr(uint64_t offset)
{
    return (char *)memfile_base() + offset;
}
/* Bytes in use, and the ceiling (0 = none). */
uint64_t memfile_used(void);
void memfile_set_limit(uint64_t bytes); /* 0: none */
uint64_t memfile_limit(void);

/* ---- the window: pieces of donated host files mapped into the sentry ------------------------- */

int window_init(void);
void *window_base(void);
uint64_t window_size(void);

/* ---- what files offer for mapping ------------------------------------------------------------ */

struct mappable;

/* Where bytes [offset, offset+size) of a mappable are. */
struct mm_backing {
    int fd; /* memfile_fd(), or a donated descriptor that stays open while the mappable lives */
    uint64_t offset; /* in that fd */
    uint64_t size; /* how many bytes from the asked offset on are contiguous there; page multiple */
    bool writable; /* the fd was opened for writing, so shared stores may go through it */
};

struct mappable_ops {
    /* Find (allocating for tmpfs) the backing of the page at offset (page multiple). access is a
     * PL_* mask. Called with mm.lock held; takes LR_MAPPING at most. -ENXIO: beyond the end
     * (SIGBUS); -ENOSPC, -ENOMEM, -EIO likewise become SIGBUS. For memory-file backings no
     * reference is passed: the mappable keeps the frames until mappable_zap has returned. */
    int (*backing)(struct mappable *m, uint64_t offset, unsigned access, struct mm_backing *out);
    /* MAP_SHARED|PROT_WRITE mapping appears / disappears (ETXTBSY, seals). May be NULL. */
    int (*writable_get)(struct mappable *m);
    void (*writable_put)(struct mappable *m);
    /* A counted mapping was split or forked: one more, that no seal may refuse. NULL: writable_get
     * is called instead. */
    void (*writable_dup)(struct mappable *m);
};

/* Embedded in an inode's private struct; lives as long as the inode (VMAs hold the file). */
struct mappable {
    const struct mappable_ops *ops;
    struct lock lock;   /* LR_MAPPING */
    struct list vmas;   /* lock: lock; VMAs that map it, through vma.mappable_node */
    struct tree window; /* lock: LR_WINDOW; cached window pieces of a donated file */
};
void mappable_init(struct mappable *m, const struct mappable_ops *ops);
/* Forget every translation of [offset, offset+size) (size 0 = to the end) in every address space:
 * for truncation, hole punching and replacement of the backing. even_private: also drop private
 * copies (truncate does, hole punching does not). On return no guest can reach the old frames.
 * Takes mm.lock of each mapper in turn; the caller holds nothing from LR_MM on. */
void mappable_zap(struct mappable *m, uint64_t offset, uint64_t size, bool even_private);
/* When the inode dies or its donated fd is replaced: drop cached window pieces. */
void mappable_drop_window(struct mappable *m);

/* ---- address spaces -------------------------------------------------------------------------- */

/* mm_create makes an empty one on the platform. */
int mm_create(struct platform *p, struct mm **out);
void mm_get(struct mm *mm);
void mm_put(struct mm *mm); /* the last one unmaps everything and destroys the pl_aspace */
struct pl_aspace *mm_aspace(struct mm *mm);
/* Something of another room's that dies with the address space (AIO contexts). */
struct mm_tenant {
    void (*destroy)(struct mm_tenant *tenant); /* no locks held */
};
struct mm_tenant *mm_tenant_peek(struct mm *mm); /* NULL: none */
/* The one that is there then: tenant, whose owner mm is now, or another that came first. */
struct mm_tenant *mm_tenant_install(struct mm *mm, struct mm_tenant *tenant);
/* fork(2): same VMAs (less MADV_DONTFORK; zeroed for WIPEONFORK), private pages copy-on-write. */
int mm_fork(struct mm *src, struct mm **out);

struct mm_map {
    uint64_t addr;     /* hint, or the place itself with MAP_FIXED* */
    uint64_t size;     /* any; rounded up */
    unsigned prot;     /* PROT_* */
    unsigned flags;    /* MAP_*; exactly as mmap(2) */
    struct file *file; /* NULL for anonymous; a reference is taken on success */
    uint64_t offset;   /* page multiple */
    const char *name;  /* for /proc/PID/maps: "[heap]", "[vdso]", …; static string or NULL */
    uint64_t memfile_offset; /* if has_frames: map these very frames privately (vDSO); counted */
    bool has_frames;
};
/* Checks of file type and access mode (EACCES, ENODEV) are made here too, through file->ops->mmap.
 */
int mm_mmap(struct mm *mm, const struct mm_map *m, uint64_t *va);
int mm_munmap(struct mm *mm, uint64_t addr, uint64_t size);
int mm_mprotect(struct mm *mm, uint64_t addr, uint64_t size, unsigned prot);
int mm_mremap(struct mm *mm, uint64_t addr, uint64_t old_size, uint64_t new_size, unsigned flags,
              uint64_t new_addr, uint64_t *va);
uint64_t mm_brk(struct mm *mm, uint64_t brk); /* as brk(2): the new or unchanged break */
int mm_madvise(struct mm *mm, uint64_t addr, uint64_t size, int advice);
bool mm_advice_remote(int advice); /* may be given to another process's memory */
int mm_msync(struct mm *mm, uint64_t addr, uint64_t size, int flags);
int mm_mincore(struct mm *mm, uint64_t addr, uint64_t size, uint8_t *vec /* one byte a page */);
int mm_mlock(struct mm *mm, uint64_t addr, uint64_t size, bool lock, bool onfault);
int mm_mlockall(struct mm *mm, int flags);
/* PR_SET_VMA_ANON_NAME: name NULL takes names away. -EBADF: a file's mapping; -ENOMEM: holes. */
int mm_name_range(struct mm *mm, uint64_t addr, uint64_t size, const char *name);
int mm_munlockall(struct mm *mm);

/* A memory policy (mempolicy(7)), of a range or a task. On one node it decides nothing. */
struct mempolicy {
    uint16_t mode;  /* MPOL_*; MPOL_DEFAULT: none */
    uint16_t flags; /* MPOL_F_STATIC_NODES and kin, as in the mode argument */
    int32_t home;   /* home node + 1, or 0 */
    uint64_t nodes; /* the first nodes, as the guest gave them */
};
int mm_bind(struct mm *mm, uint64_t addr, uint64_t size, const struct mempolicy *p);
int mm_home_node(struct mm *mm, uint64_t addr, uint64_t size, int node);
int mm_policy_get(struct mm *mm, uint64_t addr, struct mempolicy *out); /* -EFAULT */
int mm_page_node(struct mm *mm, uint64_t addr); /* 0, -ENOENT not present, -EFAULT not mapped */
/* The local descriptor table, which is only kept. read: false if there is none; all LDT_ENTRIES. */
int mm_ldt_write(struct mm *mm, unsigned entry, uint64_t descriptor);
bool mm_ldt_read(struct mm *mm, uint64_t *all);
/* Nothing of [addr, addr+size) may be unmapped, moved, protected or emptied any more. */
int mm_seal(struct mm *mm, uint64_t addr, uint64_t size);
/* remap_file_pages(2): show another part of the shared object behind addr. */
int mm_remap_file_pages(struct mm *mm, uint64_t addr, uint64_t size, uint64_t offset);

/* ---- userfaultfd: whom a VMA asks about its faults. Embedded in the descriptor's object. */
struct uffd_hook {
    struct ref ref;
    void (*release)(struct uffd_hook *h); /* the last reference is gone; no locks */
};
enum { MM_UFFD_MISSING = 1, MM_UFFD_WP = 2 };
/* Page multiples. -EINVAL, -EPERM, -EBUSY as the ioctl; unregister: NULL for whoever's. */
int mm_uffd_register(struct mm *mm, uint64_t addr, uint64_t size, struct uffd_hook *h,
                     unsigned modes);
int mm_uffd_unregister(struct mm *mm, uint64_t addr, uint64_t size, struct uffd_hook *h);
/* Give a missing page its contents (NULL: zeros). -ENOENT not registered, -EEXIST there already. */
int mm_uffd_place(struct mm *mm, uint64_t addr, const struct uffd_hook *h, const void *page,
                  bool protect);
int mm_uffd_protect(struct mm *mm, uint64_t addr, uint64_t size, const struct uffd_hook *h,
                    bool protect);
/* Is this access one that *h (counted for the caller) decides? MM_UFFD_MISSING, MM_UFFD_WP or 0. */
unsigned mm_uffd_fault(struct mm *mm, uint64_t addr, unsigned access, struct uffd_hook **h);
/* Has this thread's uaccess failed (-EFAULT) for such a page since this was last asked? */
bool mm_uffd_blocked(uint64_t *addr, unsigned *access);

/* Repair a fault: 1 a userfaultfd decides (mm_uffd_fault), 0 retry, -EFAULT nothing mapped (SEGV_MAPERR), -EACCES (SEGV_ACCERR), -ENXIO and
 * other errors SIGBUS (BUS_ADRERR). Grows stacks. access: one PL_* bit. */
int mm_fault(struct mm *mm, uint64_t addr, unsigned access);

/* Layout and accounting, set by the loader, shown in /proc. lock: mm.lock */
struct mm_layout {
    uint64_t start_code, end_code, start_data, end_data, start_brk, brk, start_stack;
    uint64_t arg_start, arg_end, env_start, env_end;
    uint64_t mmap_base; /* top-down search starts here */
};
void mm_layout_get(struct mm *mm, struct mm_layout *out);
void mm_layout_set(struct mm *mm, const struct mm_layout *in);
/* /proc/PID/exe: counted; NULL if none. set consumes nothing, takes its own reference. */
struct file *mm_exe_get(struct mm *mm);
void mm_exe_set(struct mm *mm, struct file *f);
/* auxv for /proc/PID/auxv: count of uint64_t words copied. */
void mm_auxv_set(struct mm *mm, const uint64_t *auxv, unsigned words);
unsigned mm_auxv_get(struct mm *mm, uint64_t *auxv, unsigned max_words);

struct mm_usage {
    uint64_t vm_size, vm_peak, rss, rss_peak, data, stack, text, locked, shared;
};
void mm_usage_get(struct mm *mm, struct mm_usage *out);

/* /proc/sys/vm. Atomic. */
struct mm_knobs {
    int64_t overcommit_memory, overcommit_ratio, overcommit_kbytes, max_map_count;
    int64_t unprivileged_userfaultfd;
};
extern struct mm_knobs g_mm_knobs;
uint64_t mm_committed(void); /* bytes that all address spaces may come to need */
uint64_t mm_commit_limit(void);

/* Limits consulted on every growth; set at exec and by prlimit. Bytes; UINT64_MAX = none. memlock
 * is UINT64_MAX for holders of CAP_IPC_LOCK. */
struct mm_limits {
    uint64_t as, data, stack, memlock;
};
void mm_limits_set(struct mm *mm, const struct mm_limits *l);

/* One VMA at or above addr, for /proc/PID/{maps,smaps}. False when there is none. */
struct mm_vma_info {
    uint64_t start, end, offset;
    unsigned prot, flags; /* flags: MAP_SHARED / MAP_PRIVATE, MAP_GROWSDOWN, MAP_LOCKED */
    struct file *file;    /* counted for the caller, or NULL */
    const char *name;     /* "[heap]" …, or NULL */
    uint64_t rss, anon;
    bool dont_dump;       /* MADV_DONTDUMP */
};
bool mm_vma_next(struct mm *mm, uint64_t addr, struct mm_vma_info *out);

/* ---- uaccess: copies to and from the guest --------------------------------------------------- */

struct uaddr {
    uint64_t v;
};
static inline struct uaddr uaddr(uint64_t v)
{
    return (struct uaddr){v};
}
/* Could [addr, addr+size) be the guest's at all? What Linux's access_ok asks, before any page is
 * looked at: calls are refused by it even where nothing would have been moved. */
#define UADDR_END 0x7ffffffff000ull
static inline bool uaddr_range_ok(uint64_t addr, uint64_t size)
{
    return addr <= UADDR_END && size <= UADDR_END - addr;
}
static inline struct uaddr uaddr_add(struct uaddr a, uint64_t n)
{
    return (struct uaddr){a.v + n};
}

#define MUST_CHECK __attribute__((warn_unused_result))

/* All or nothing from the caller's view: 0 or -EFAULT (bytes before the bad page may be written).
 * Faults pages in; survives truncated host files. No lock but (copy) classes may be held. */
int uaccess_read(struct mm *mm, void *dst, struct uaddr src, size_t size) MUST_CHECK;
int uaccess_write(struct mm *mm, struct uaddr dst, const void *src, size_t size) MUST_CHECK;
int uaccess_zero(struct mm *mm, struct uaddr dst, size_t size) MUST_CHECK;
/* As much as possible: bytes moved before the first bad page. */
size_t uaccess_read_some(struct mm *mm, void *dst, struct uaddr src, size_t size) MUST_CHECK;
size_t uaccess_write_some(struct mm *mm, struct uaddr dst, const void *src, size_t size) MUST_CHECK;
/* As _some, but disregards VMA protection (breaks copy-on-write): ptrace, /proc/PID/mem. */
size_t uaccess_read_forced(struct mm *mm, void *dst, struct uaddr src, size_t size) MUST_CHECK;
size_t uaccess_write_forced(struct mm *mm, struct uaddr dst, const void *src,
                            size_t size) MUST_CHECK;
/* NUL-terminated string; length without NUL, -ENAMETOOLONG if no NUL within size, -EFAULT. */
ssize_t uaccess_read_str(struct mm *mm, char *dst, struct uaddr src, size_t size) MUST_CHECK;

/* Atomic 32-bit operations on guest memory, for futexes. addr must be 4-aligned (-EINVAL). */
int uaccess_load32(struct mm *mm, struct uaddr a, uint32_t *value) MUST_CHECK;
/* Store desired if *a == *expected; *expected receives the old value. 0 also when it differed. */
int uaccess_cmpxchg32(struct mm *mm, struct uaddr a, uint32_t *expected,
                      uint32_t desired) MUST_CHECK;
/* A name for the word that is equal in all address spaces that share it (shared futexes). private:
 * (mm, address). *obj is not counted; it is only compared. */
struct futex_key {
    uint64_t obj, offset;
};
int uaccess_futex_key(struct mm *mm, struct uaddr a, bool shared, struct futex_key *key) MUST_CHECK;

#define uaccess_read_obj(mm, ptr, ua)  uaccess_read((mm), (ptr), (ua), sizeof(*(ptr)))
#define uaccess_write_obj(mm, ua, ptr) uaccess_write((mm), (ua), (ptr), sizeof(*(ptr)))

/* ---- uio: scatter lists ---------------------------------------------------------------------- */

#define UIO_MAX_SEGS  1024          /* UIO_MAXIOV */
#define UIO_MAX_BYTES 0x7ffff000ull /* MAX_RW_COUNT: read(2) moves no more at once */

struct uio_seg {
    uint64_t addr; /* guest address, or our own pointer when mm is NULL */
    uint64_t size;
};

/* A buffer of remaining bytes, consumed from the front. mm == NULL: kernel memory. */
struct uio {
    struct mm *mm; /* borrowed */
    const struct uio_seg *segs;
    unsigned count, index;
    uint64_t seg_done;  /* bytes of segs[index] consumed */
    uint64_t remaining; /* all segments together */
    bool nowait;        /* RWF_NOWAIT and kin: as if the file had O_NONBLOCK, for this call */
    struct uio_seg one; /* storage for the single-segment case */
};
void uio_init_user(struct uio *u, struct mm *mm, struct uaddr addr, uint64_t size);
void uio_init_kernel(struct uio *u, void *buf, uint64_t size);
/* Import a guest iovec array: -EINVAL (count, sum), -EFAULT. *segs is malloc'd for the caller if
 * count > the inline storage; free with uio_free. */
int uio_import(struct uio *u, struct mm *mm, struct uaddr iov, uint64_t count) MUST_CHECK;
void uio_free(struct uio *u);
/* Every segment could be the guest's (uaddr_range_ok). uio_import has checked that already. */
bool uio_range_ok(const struct uio *u);
/* Copy and consume; bytes moved, short at a bad page. */
size_t uio_to_user(struct uio *u, const void *src, size_t size) MUST_CHECK; /* for read(2) */
size_t uio_from_user(struct uio *u, void *dst, size_t size) MUST_CHECK;     /* for write(2) */
size_t uio_zero_user(struct uio *u, size_t size) MUST_CHECK;
void uio_advance(struct uio *u, size_t size);
/* One copy only: translate the front of the buffer into host iovecs (at most max, at most
 * max_bytes), faulting pages in for the given access (PL_WRITE for read(2)). Holds mm.lock for
 * reading until uio_unpin. Count of iovecs; 0 with -EFAULT semantics if the first page is bad:
 * returns -EFAULT. Then advance by what the host call moved, and unpin. Pages of donated files are
 * bounced by the caller: pin stops in front of them and returns -EOPNOTSUPP when the first byte is
 * in one. */
int uio_pin(struct uio *u, unsigned access, struct iovec *iov, int max,
            uint64_t max_bytes) MUST_CHECK;
void uio_unpin(struct uio *u);

/* Host SIGSEGV/SIGBUS inside a guarded copy lands here: called from the sentry's fault handler with
 * the ucontext; true if it was ours and the context has been repaired. Async-signal-safe. */
bool uaccess_fixup(void *ucontext, uint64_t fault_addr);
