/* madvise, mincore, msync, mlock: calls that walk a range and do something to each part of it. */
#include "mm_priv.h"

#include "fs/vfs.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/mman.h>
#include <string.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE  103
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif

/* Called on each mapped part of a range, in order; an error ends the walk. */
typedef int part_fn(struct mm *mm, struct vma *v, uint64_t lo, uint64_t hi, uint64_t arg);

/* 0, the first error of fn, or -ENOMEM after all parts are done if there were holes. */
static int each_part(struct mm *mm, uint64_t start, uint64_t end, part_fn *fn, uint64_t arg)
{
    int hole = 0;
    for (uint64_t at = start; at < end;) {
        struct vma *v = vma_above(mm, at);
        if (!v || v->start >= end)
            return -ENOMEM;
        if (v->start > at)
            hole = -ENOMEM;
        uint64_t lo = MAX(at, v->start), hi = MIN(end, v->end);
        at = hi; /* fn may split v */
        int r = fn(mm, v, lo, hi, arg);
        if (r)
            return r;
    }
    return hole;
}

/* Set and clear flags (set in the low half of arg, clear in the high) on exactly [lo, hi). */
#define FLAG_CHANGE(set, clear) ((uint64_t)(clear) << 32 | (set))
static int change_flags(struct mm *mm, struct vma *v, uint64_t lo, uint64_t hi, uint64_t arg)
{
    unsigned set = arg, clear = arg >> 32, flags = (v->flags & ~clear) | set;
    if (flags == v->flags)
        return 0;
    int r = vma_split_range(mm, lo, hi);
    if (r)
        return r == -ENOMEM ? -EAGAIN : r;
    v = vma_find(mm, lo);
    vma_set_prot(mm, v, v->prot, (v->flags & ~clear) | set);
    return 0;
}

/* ---- madvise --------------------------------------------------------------------------------- */

/* Pages that are ours alone keep their frame and mapping: emptying the file under them is enough,
 * and the next touch costs no trap. Shared ones must be let go. */
static void drop_private(struct mm *mm, struct vma *v, uint64_t lo, uint64_t hi)
{
    struct frame_run run;
    bool keep = vma_is_anon(v) && !v->uffd, drop = false;
    for (uint64_t at = lo; frames_run(&mm->frames, at, hi, FRAME_COW, &run);
         at = run.va + run.size) {
        if (keep && !(run.flags & FRAME_COW))
            memfile_punch(run.offset, run.size);
        else
            drop = true;
    }
    if (!drop)
        return;
    for (uint64_t at = lo; frames_run(&mm->frames, at, hi, FRAME_COW, &run);
         at = run.va + run.size) {
        if (keep && !(run.flags & FRAME_COW))
            continue;
        if (v->flags & VMA_TOUCHED)
            mm_unmap_platform(mm, run.va, run.va + run.size);
        frames_clear(&mm->frames, run.va, run.va + run.size);
    }
}

static int advise_dontneed(struct mm *mm, struct vma *v, uint64_t lo, uint64_t hi, uint64_t advice)
{
    if (v->flags & VMA_LOCKED && advice != MADV_DONTNEED_LOCKED)
        return -EINVAL;
    if (advice == MADV_FREE && (vma_shared(v) || !vma_is_anon(v)))
        return -EINVAL;
    if (!vma_shared(v))
        drop_private(mm, v, lo, hi);
    return 0;
}

/* What would lose the contents of memory that cannot be written is refused on a sealed mapping. */
static bool seal_forbids(const struct vma *v)
{
    return v->flags & VMA_SEALED && vma_is_anon(v) && !(v->prot & PROT_WRITE);
}

static int advise_guard(struct mm *mm, struct vma *v, uint64_t lo, uint64_t hi, uint64_t arg)
{
    if (v->flags & VMA_LOCKED)
        return -EINVAL;
    int r = change_flags(mm, v, lo, hi, FLAG_CHANGE(VMA_GUARD, 0));
    if (r)
        return r;
    v = vma_find(mm, lo);
    if (v->flags & VMA_TOUCHED)
        mm_unmap_platform(mm, lo, hi);
    if (!vma_shared(v))
        frames_clear(&mm->frames, lo, hi);
    return 0;
}

static int advise_wipeonfork(struct mm *mm, struct vma *v, uint64_t lo, uint64_t hi, uint64_t arg)
{
    if (!vma_is_anon(v) || vma_shared(v))
        return -EINVAL;
    return change_flags(mm, v, lo, hi, arg);
}

static int advise_keeponfork(struct mm *mm, struct vma *v, uint64_t lo, uint64_t hi, uint64_t arg)
{
    return v->flags & VMA_DROPPABLE ? -EINVAL : change_flags(mm, v, lo, hi, arg);
}

static int advise_pageout(struct mm *mm, struct vma *v, uint64_t lo, uint64_t hi, uint64_t arg)
{
    return v->flags & VMA_LOCKED ? -EINVAL : 0;
}

static int advise_nothing(struct mm *mm, struct vma *v, uint64_t lo, uint64_t hi, uint64_t arg)
{
    return 0;
}

struct advice {
    int advice;
    part_fn *fn;
    uint64_t arg;
};

static const struct advice g_advices[] = {
    {MADV_NORMAL, advise_nothing, 0},
    {MADV_RANDOM, advise_nothing, 0},
    {MADV_SEQUENTIAL, advise_nothing, 0},
    {MADV_WILLNEED, advise_nothing, 0},
    {MADV_DONTNEED, advise_dontneed, MADV_DONTNEED},
    {MADV_FREE, advise_dontneed, MADV_FREE},
    {MADV_DONTNEED_LOCKED, advise_dontneed, MADV_DONTNEED_LOCKED},
    {MADV_DONTFORK, change_flags, FLAG_CHANGE(VMA_DONTFORK, 0)},
    {MADV_DOFORK, change_flags, FLAG_CHANGE(0, VMA_DONTFORK)},
    {MADV_MERGEABLE, advise_nothing, 0},
    {MADV_UNMERGEABLE, advise_nothing, 0},
    {MADV_HUGEPAGE, advise_nothing, 0},
    {MADV_NOHUGEPAGE, advise_nothing, 0},
    {MADV_DONTDUMP, change_flags, FLAG_CHANGE(VMA_DONTDUMP, 0)},
    {MADV_DODUMP, change_flags, FLAG_CHANGE(0, VMA_DONTDUMP)},
    {MADV_WIPEONFORK, advise_wipeonfork, FLAG_CHANGE(VMA_WIPEONFORK, 0)},
    {MADV_KEEPONFORK, advise_keeponfork, FLAG_CHANGE(0, VMA_WIPEONFORK)},
    {MADV_COLD, advise_pageout, 0},
    {MADV_PAGEOUT, advise_pageout, 0},
    {MADV_GUARD_INSTALL, advise_guard, 0},
    {MADV_GUARD_REMOVE, change_flags, FLAG_CHANGE(0, VMA_GUARD)},
};

static const struct advice *find_advice(int advice)
{
    for (unsigned i = 0; i < ARRAY_COUNT(g_advices); i++)
        if (g_advices[i].advice == advice)
            return &g_advices[i];
    return NULL;
}

/* The range of one of these calls: -EINVAL, 1 if it is empty. */
static int check_range(struct mm *mm, uint64_t addr, uint64_t *size, int too_big)
{
    if (page_offset(addr))
        return -EINVAL;
    if (!page_up(*size, size))
        return too_big;
    if (!*size)
        return 1;
    uint64_t end;
    if (!add_u64(addr, *size, &end))
        return too_big;
    return mm_range_ok(mm, addr, *size) ? 0 : -ENOMEM;
}

static bool advice_sealed(struct mm *mm, uint64_t start, uint64_t end, int advice)
{
    if (advice != MADV_DONTNEED && advice != MADV_FREE && advice != MADV_DONTNEED_LOCKED &&
        advice != MADV_DONTFORK && advice != MADV_WIPEONFORK && advice != MADV_GUARD_INSTALL)
        return false;
    for (struct vma *v = vma_above(mm, start); v && v->start < end; v = vma_next(v))
        if (seal_forbids(v))
            return true;
    return false;
}

static int advise_range(struct mm *mm, uint64_t start, uint64_t end, int advice, part_fn *fn,
                        uint64_t arg)
{
    struct list dead = LIST_INIT(dead);
    rwlock_write(&mm->lock);
    int r = advice_sealed(mm, start, end, advice) ? -EPERM : each_part(mm, start, end, fn, arg);
    vma_merge_range(mm, start, end, &dead);
    rwlock_write_release(&mm->lock);
    vma_free_list(&dead);
    return r;
}

static int advise_populate(struct mm *mm, uint64_t start, uint64_t end, bool write)
{
    int r = 0;
    rwlock_write(&mm->lock);
    if (!vma_covered(mm, start, end))
        r = -ENOMEM;
    for (struct vma *v = vma_above(mm, start); !r && v && v->start < end; v = vma_next(v))
        if (!(v->prot & (write ? PROT_WRITE : PROT_READ)))
            r = -EINVAL;
    if (!r && fault_populate(mm, start, end, write))
        r = -EFAULT;
    rwlock_write_release(&mm->lock);
    return r;
}

/* What a file operation without mm.lock needs to know of one VMA. */
struct file_part {
    struct file *file; /* counted, or NULL */
    struct mappable *anon; /* counted; shared memory without a file */
    uint64_t offset, size, next;
    unsigned prot, flags;
};

/* The first mapped part at or above *at; false at the end. */
static bool file_part_get(struct mm *mm, uint64_t at, uint64_t end, struct file_part *p)
{
    rwlock_read(&mm->lock);
    struct vma *v = vma_above(mm, at);
    bool found = v && v->start < end;
    if (found) {
        uint64_t lo = MAX(at, v->start);
        *p = (struct file_part){.file = v->file,
                                .prot = v->prot,
                                .flags = v->flags | (v->start > at ? 1u << 31 : 0),
                                .offset = v->offset + (lo - v->start),
                                .next = MIN(end, v->end)};
        p->size = p->next - lo;
        if (p->file)
            file_get(p->file);
        if (v->map && mappable_is_anon_shared(v->map))
            anon_shared_get(p->anon = v->map);
    }
    rwlock_read_release(&mm->lock);
    return found;
}
#define PART_AFTER_HOLE (1u << 31)

static void file_part_put(struct file_part *p)
{
    if (p->file)
        file_put(p->file);
    if (p->anon)
        anon_shared_put(p->anon);
}

static int remove_part(const struct file_part *p)
{
    if (p->flags & VMA_LOCKED || (!p->file && !p->anon))
        return -EINVAL;
    if (!(p->flags & VMA_SHARED) || !(p->prot & PROT_WRITE))
        return -EACCES;
    if (p->anon)
        return anon_shared_punch(p->anon, p->offset, p->size);
    if (!p->file->ops->fallocate)
        return -EOPNOTSUPP;
    bool locked = p->file->ops->inode_locked;
    if (locked)
        lock_acquire(&p->file->inode->lock);
    int r = p->file->ops->fallocate(p->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, p->offset,
                                    p->size);
    if (locked)
        lock_release(&p->file->inode->lock);
    return r;
}

typedef int file_part_fn(const struct file_part *p);

static int each_file_part(struct mm *mm, uint64_t start, uint64_t end, file_part_fn *fn)
{
    struct file_part p;
    int hole = 0;
    for (uint64_t at = start; at < end; at = p.next) {
        if (!file_part_get(mm, at, end, &p))
            return -ENOMEM;
        if (p.flags & PART_AFTER_HOLE)
            hole = -ENOMEM;
        int r = fn(&p);
        file_part_put(&p);
        if (r)
            return r;
    }
    return hole;
}

int mm_madvise(struct mm *mm, uint64_t addr, uint64_t size, int advice)
{
    const struct advice *a = find_advice(advice);
    bool populate = advice == MADV_POPULATE_READ || advice == MADV_POPULATE_WRITE;
    if (!a && !populate && advice != MADV_REMOVE)
        return -EINVAL;
    int r = check_range(mm, addr, &size, -EINVAL);
    if (r)
        return r > 0 ? 0 : r;
    if (populate)
        return advise_populate(mm, addr, addr + size, advice == MADV_POPULATE_WRITE);
    if (advice == MADV_REMOVE)
        return each_file_part(mm, addr, addr + size, remove_part);
    if (a->fn == advise_nothing) {
        rwlock_read(&mm->lock);
        r = vma_covered(mm, addr, addr + size) ? 0 : -ENOMEM;
        rwlock_read_release(&mm->lock);
        return r;
    }
    return advise_range(mm, addr, addr + size, advice, a->fn, a->arg);
}

bool mm_advice_remote(int advice)
{
    return advice == MADV_COLD || advice == MADV_PAGEOUT || advice == MADV_WILLNEED ||
           advice == MADV_COLLAPSE;
}

int mm_seal(struct mm *mm, uint64_t addr, uint64_t size)
{
    struct list dead = LIST_INIT(dead);
    int r = check_range(mm, addr, &size, -EINVAL);
    if (r)
        return r > 0 ? 0 : r;
    rwlock_write(&mm->lock);
    r = vma_covered(mm, addr, addr + size) ? 0 : -ENOMEM;
    if (!r)
        r = each_part(mm, addr, addr + size, change_flags, FLAG_CHANGE(VMA_SEALED, 0));
    vma_merge_range(mm, addr, addr + size, &dead);
    rwlock_write_release(&mm->lock);
    vma_free_list(&dead);
    return r;
}

/* ---- msync ----------------------------------------------------------------------------------- */

static int sync_part(const struct file_part *p)
{
    if (p->file && p->flags & VMA_SHARED && p->file->ops->fsync)
        return p->file->ops->fsync(p->file, /*data_only=*/true);
    return 0;
}

static int nothing_part(const struct file_part *p)
{
    return 0;
}

static int invalidate_part(const struct file_part *p)
{
    return p->flags & VMA_LOCKED ? -EBUSY : 0;
}

int mm_msync(struct mm *mm, uint64_t addr, uint64_t size, int flags)
{
    if (flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC) || (flags & MS_ASYNC && flags & MS_SYNC))
        return -EINVAL;
    if (page_offset(addr))
        return -EINVAL;
    size = (size + RF_PAGE_SIZE - 1) & RF_PAGE_MASK; /* wraps, as Linux's */
    int r = check_range(mm, addr, &size, -ENOMEM);
    if (r)
        return r > 0 ? 0 : r;
    if (flags & MS_INVALIDATE) {
        r = each_file_part(mm, addr, addr + size, invalidate_part);
        if (r == -EBUSY)
            return r;
    }
    return each_file_part(mm, addr, addr + size, flags & MS_SYNC ? sync_part : nothing_part);
}

/* ---- mincore --------------------------------------------------------------------------------- */

static void mincore_part(struct mm *mm, struct vma *v, uint64_t lo, uint64_t hi,
                         uint8_t *in_core)
{
    struct frame_run run;
    /* Donated files are in the host's cache or a fault away from it. */
    memset(in_core, v->map ? 1 : 0, (hi - lo) >> RF_PAGE_SHIFT);
    if (vma_shared(v))
        return;
    for (uint64_t at = lo; frames_run(&mm->frames, at, hi, 0, &run); at = run.va + run.size) {
        memset(in_core + ((run.va - lo) >> RF_PAGE_SHIFT), 0, run.size >> RF_PAGE_SHIFT);
        for (uint64_t off = run.offset, n, end = off + run.size;
             (n = memfile_next_piece(&off, end, RF_PAGE_SIZE)); off += n)
            in_core[(run.va - lo + off - run.offset) >> RF_PAGE_SHIFT] = 1;
    }
}

int mm_mincore(struct mm *mm, uint64_t addr, uint64_t size, uint8_t *vec)
{
    int r = check_range(mm, addr, &size, -ENOMEM);
    if (r)
        return r > 0 ? 0 : r;
    rwlock_read(&mm->lock);
    r = vma_covered(mm, addr, addr + size) ? 0 : -ENOMEM;
    for (struct vma *v = vma_above(mm, addr); !r && v && v->start < addr + size; v = vma_next(v)) {
        uint64_t lo = MAX(addr, v->start), hi = MIN(addr + size, v->end);
        mincore_part(mm, v, lo, hi, vec + ((lo - addr) >> RF_PAGE_SHIFT));
    }
    rwlock_read_release(&mm->lock);
    return r;
}

/* ---- mlock ----------------------------------------------------------------------------------- */

/* Memory of the sandbox may be swapped by the host whatever we say; what a guest can observe of
 * locking (limits, errors, counts, presence) is kept. */

#define LOCK_BITS (VMA_LOCKED | VMA_LOCKONFAULT)

static int lock_part(struct mm *mm, struct vma *v, uint64_t lo, uint64_t hi, uint64_t arg)
{
    return v->flags & VMA_DROPPABLE ? 0 : change_flags(mm, v, lo, hi, arg);
}

/* Bytes of [start, end) that are locked already: they do not count twice. */
static uint64_t locked_bytes(struct mm *mm, uint64_t start, uint64_t end)
{
    uint64_t sum = 0;
    for (struct vma *v = vma_above(mm, start); v && v->start < end; v = vma_next(v))
        if (v->flags & VMA_LOCKED)
            sum += MIN(end, v->end) - MAX(start, v->start);
    return sum;
}

int mm_mlock(struct mm *mm, uint64_t addr, uint64_t size, bool lock, bool onfault)
{
    struct list dead = LIST_INIT(dead);
    uint64_t start = page_down(addr), end, sum;
    size = (size + page_offset(addr) + RF_PAGE_SIZE - 1) & RF_PAGE_MASK; /* wraps, as Linux's */
    if (!add_u64(start, size, &end))
        return -EINVAL;
    if (!size)
        return 0;
    if (!mm_range_ok(mm, start, end - start))
        return -ENOMEM;
    rwlock_write(&mm->lock);
    int r = 0;
    if (lock && !mm->limits.memlock)
        r = -EPERM;
    else if (lock && (!add_u64(mm->locked, end - start, &sum) || sum > mm->limits.memlock) &&
             sum - locked_bytes(mm, start, end) > mm->limits.memlock)
        r = -ENOMEM;
    unsigned set = !lock ? 0 : onfault ? LOCK_BITS : VMA_LOCKED;
    if (!r)
        r = each_part(mm, start, end, lock_part, FLAG_CHANGE(set, LOCK_BITS));
    vma_merge_range(mm, start, end, &dead);
    if (!r && lock && !onfault && fault_populate(mm, start, end, /*write=*/true))
        r = 0; /* pages beyond a file's end cannot be there; Linux says nothing either */
    rwlock_write_release(&mm->lock);
    vma_free_list(&dead);
    return r;
}

static void lock_everything(struct mm *mm, unsigned set, struct list *dead)
{
    (void)each_part(mm, 0, mm->platform->va_end, lock_part, FLAG_CHANGE(set, LOCK_BITS));
    vma_merge_range(mm, 0, mm->platform->va_end, dead);
    if ((set & LOCK_BITS) != VMA_LOCKED)
        return;
    for (struct vma *v = vma_above(mm, 0); v; v = vma_next(v))
        (void)fault_populate(mm, v->start, v->end, /*write=*/true);
}

int mm_mlockall(struct mm *mm, int flags)
{
    struct list dead = LIST_INIT(dead);
    if (!flags || flags & ~(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) || flags == MCL_ONFAULT)
        return -EINVAL;
    unsigned set = flags & MCL_ONFAULT ? LOCK_BITS : VMA_LOCKED;
    int r = 0;
    rwlock_write(&mm->lock);
    if (!mm->limits.memlock)
        r = -EPERM;
    else if (flags & MCL_CURRENT && mm->vm_size > mm->limits.memlock)
        r = -ENOMEM;
    if (!r) {
        mm->lock_future = flags & MCL_FUTURE ? set : 0;
        if (flags & MCL_CURRENT)
            lock_everything(mm, set, &dead);
    }
    rwlock_write_release(&mm->lock);
    vma_free_list(&dead);
    return r;
}

int mm_munlockall(struct mm *mm)
{
    struct list dead = LIST_INIT(dead);
    rwlock_write(&mm->lock);
    mm->lock_future = 0;
    lock_everything(mm, 0, &dead);
    rwlock_write_release(&mm->lock);
    vma_free_list(&dead);
    return 0;
}
