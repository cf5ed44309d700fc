/* mmap, munmap, mprotect and brk: changing the list of VMAs.
 *
 * Each call checks, then commits: the new VMA and the splits are made before anything is unmapped.
 * What unmapping removes is collected on a list of dead VMAs and freed when mm.lock is dropped,
 * because dropping a file may take any lock. */
#include "mm_priv.h"

#include "base/log.h"
#include "fs/vfs.h"

#include <sys/mount.h>

#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif

bool mm_range_ok(struct mm *mm, uint64_t addr, uint64_t size)
{
    return addr <= mm->platform->va_end && size <= mm->platform->va_end - addr;
}

static bool is_data(unsigned prot, unsigned flags)
{
    return prot & PROT_WRITE && !(flags & (VMA_SHARED | VMA_GROWSDOWN));
}

int mm_may_expand(struct mm *mm, uint64_t size, unsigned prot, unsigned vma_flags)
{
    uint64_t sum;
    if (!add_u64(mm->vm_size, size, &sum) || sum > mm->limits.as)
        return -ENOMEM;
    if (is_data(prot, vma_flags) &&
        (!add_u64(mm->data, size, &sum) || sum > mm->limits.data))
        return -ENOMEM;
    if (prot & PROT_WRITE && !(vma_flags & VMA_SHARED) &&
        mm_may_commit(size, vma_flags & VMA_NORESERVE))
        return -ENOMEM;
    if (vma_flags & VMA_LOCKED && mm->locked + size > mm->limits.memlock)
        return -EAGAIN;
    return 0;
}

bool mm_sealed(struct mm *mm, uint64_t start, uint64_t end)
{
    for (struct vma *v = vma_above(mm, start); v && v->start < end; v = vma_next(v))
        if (v->flags & VMA_SEALED)
            return true;
    return false;
}

/* ---- munmap ---------------------------------------------------------------------------------- */

/* May a VMA go with its translations still queued for removal? Nothing of it may be reused before
 * the platform has carried that out (at the latest when guest code runs again): it has no frames
 * of ours, and its file, so the descriptor, stays open through a neighbour or its successor. */
static bool may_linger(struct mm *mm, const struct vma *v, uint64_t start, uint64_t end,
                       const struct vma *next)
{
    if (!v->file || v->flags & VMA_FRAMES || frames_next(&mm->frames, start, end) < end)
        return false;
    const struct vma *after = vma_above(mm, end), *before = vma_above(mm, start - 1);
    if (before && before->end != start)
        before = NULL;
    return (next && next->file == v->file) || (before && before->file == v->file) ||
           (after && after->file == v->file);
}

int mm_unmap_locked(struct mm *mm, uint64_t start, uint64_t end, const struct vma *next,
                    struct list *dead)
{
    struct vma *v = vma_above(mm, start);
    bool touched = false, linger = true;
    if (!v || v->start >= end)
        return 0;
    if (mm_sealed(mm, start, end))
        return -EPERM;
    int r = vma_split_range(mm, start, end);
    if (r)
        return r;
    mm->gap_size = UINT64_MAX; /* a gap appears: search from the top again */
    for (v = vma_above(mm, start); v && v->start < end; v = vma_above(mm, start)) {
        touched |= v->flags & VMA_TOUCHED;
        linger = linger && may_linger(mm, v, start, end, next);
        vma_remove(mm, v);
        list_push_back(dead, &v->dead_node);
    }
    if (touched)
        (void)mm->platform->ops->as_unmap(mm->as, start, end - start);
    if ((touched || mm->lingering) && !linger)
        (void)mm->platform->ops->as_flush(mm->as);
    mm->lingering = linger && (touched || mm->lingering);
    frames_clear(&mm->frames, start, end);
    return 0;
}

int mm_munmap(struct mm *mm, uint64_t addr, uint64_t size)
{
    struct list dead = LIST_INIT(dead);
    if (page_offset(addr) || !size || !page_up(size, &size) || !mm_range_ok(mm, addr, size))
        return -EINVAL;
    rwlock_write(&mm->lock);
    int r = mm_unmap_locked(mm, addr, addr + size, /*next=*/NULL, &dead);
    rwlock_write_release(&mm->lock);
    vma_free_list(&dead);
    return r;
}

/* ---- mmap ------------------------------------------------------------------------------------ */

#define MAP_LEGACY_MASK                                                                            \
    (MAP_SHARED | MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS | MAP_DENYWRITE | MAP_EXECUTABLE |       \
     MAP_GROWSDOWN | MAP_LOCKED | MAP_NORESERVE | MAP_POPULATE | MAP_NONBLOCK | MAP_STACK |        \
     MAP_HUGETLB | MAP_32BIT | (0x3fu << MAP_HUGE_SHIFT))

static int check_flags(const struct mm_map *m)
{
    unsigned type = m->flags & MAP_TYPE;
    if (type != MAP_SHARED && type != MAP_PRIVATE && !(type == MAP_SHARED_VALIDATE && m->file) &&
        !(type == MAP_DROPPABLE && !m->file))
        return -EINVAL;
    if (type == MAP_DROPPABLE && m->flags & (MAP_LOCKED | MAP_GROWSDOWN))
        return -EINVAL;
    if (m->file && type == MAP_SHARED && m->flags & MAP_SYNC)
        return -EOPNOTSUPP;
    if (type == MAP_SHARED_VALIDATE && m->flags & ~(MAP_LEGACY_MASK | MAP_SHARED_VALIDATE))
        return -EOPNOTSUPP;
    if (m->flags & MAP_GROWSDOWN && (m->file || type != MAP_PRIVATE))
        return -EINVAL;
    if (m->flags & MAP_HUGETLB) { /* there are no huge pages, but there could be of 2 MiB and 1 GiB */
        unsigned log = m->flags >> MAP_HUGE_SHIFT & MAP_HUGE_MASK;
        return m->file || (log && log != 21 && log != 30) ? -EINVAL : -ENOMEM;
    }
    return 0;
}

/* What a file allows, as VMA_MAY* bits. */
static int file_rights(const struct mm_map *m, unsigned *flags)
{
    struct file *f = m->file;
    bool shared = (m->flags & MAP_TYPE) != MAP_PRIVATE;
    bool noexec = f->path.mnt && __atomic_load_n(&f->path.mnt->flags, __ATOMIC_RELAXED) & MS_NOEXEC;
    if (!f->ops)
        return -EBADF;
    if (!(f->mode & FMODE_READ))
        return -EACCES;
    if (shared && m->prot & PROT_WRITE && !(f->mode & FMODE_WRITE))
        return -EACCES;
    if (noexec && m->prot & PROT_EXEC)
        return -EPERM;
    if (!f->ops->mmap)
        return -ENODEV;
    if (shared && !(f->mode & FMODE_WRITE))
        *flags &= ~VMA_MAYWRITE;
    if (noexec)
        *flags &= ~VMA_MAYEXEC;
    return 0;
}

/* Count the mapping as a possible writer; where seals forbid that, it may just never write. */
static int writer_get(struct vma *v)
{
    if (!v->map || !v->map->ops->writable_get || !vma_shared(v) || !(v->flags & VMA_MAYWRITE))
        return 0;
    int r = v->map->ops->writable_get(v->map);
    if (!r)
        v->flags |= VMA_WRITER;
    else if (v->prot & PROT_WRITE)
        return r;
    else
        v->flags &= ~VMA_MAYWRITE;
    return 0;
}

static int attach_file(const struct mm_map *m, struct vma *v)
{
    int r = file_rights(m, &v->flags);
    if (r)
        return r;
    r = m->file->ops->mmap(m->file, m->prot, m->flags, &v->map);
    if (r)
        return r;
    v->file = m->file;
    file_get(v->file);
    v->offset = m->offset;
    return 0;
}

/* The VMA that m asks for, without a place yet. Takes locks above mm.lock (the file's). */
static int vma_build(struct mm *mm, const struct mm_map *m, uint64_t size, struct vma **out)
{
    struct vma *v = vma_new(mm, 0, size);
    if (!v)
        return -ENOMEM;
    v->prot = m->prot & (PROT_READ | PROT_WRITE | PROT_EXEC);
    v->flags = VMA_MAYREAD | VMA_MAYWRITE | VMA_MAYEXEC;
    v->name = m->name;
    if ((m->flags & MAP_TYPE) == MAP_DROPPABLE)
        v->flags |= VMA_DROPPABLE | VMA_WIPEONFORK | VMA_NORESERVE | VMA_DONTDUMP;
    else if ((m->flags & MAP_TYPE) != MAP_PRIVATE)
        v->flags |= VMA_SHARED;
    if (m->flags & MAP_GROWSDOWN)
        v->flags |= VMA_GROWSDOWN;
    if (m->flags & MAP_NORESERVE)
        v->flags |= VMA_NORESERVE;
    if (m->flags & MAP_LOCKED)
        v->flags |= VMA_LOCKED;
    int r = m->file ? attach_file(m, v) : 0;
    /* Shared memory without a file, or a file that stands for it (/dev/zero gives no mappable). */
    if (!r && !v->map && vma_shared(v)) {
        r = anon_shared_new(size, &v->map);
        v->offset = 0;
    }
    if (!r)
        r = writer_get(v);
    if (r) {
        vma_free(v);
        return r;
    }
    *out = v;
    return 0;
}

static int place_fixed(struct mm *mm, const struct mm_map *m, uint64_t size, const struct vma *v,
                       struct list *dead)
{
    if (page_offset(m->addr))
        return -EINVAL;
    if (!mm_range_ok(mm, m->addr, size))
        return -ENOMEM;
    if (m->addr < MM_MMAP_MIN_ADDR)
        return -EPERM;
    if (m->flags & MAP_FIXED_NOREPLACE)
        return vma_range_free(mm, m->addr, m->addr + size, /*with_guard=*/false) ? 0 : -EEXIST;
    return mm_unmap_locked(mm, m->addr, m->addr + size, v, dead);
}

static int place(struct mm *mm, const struct mm_map *m, uint64_t size, uint64_t *va)
{
    uint64_t hint = 0;
    if (m->addr && page_up(m->addr, &hint) && hint) {
        hint = MAX(hint, MM_MMAP_MIN_ADDR);
        if (mm_range_ok(mm, hint, size) &&
            vma_range_free(mm, hint, hint + size, /*with_guard=*/true) &&
            !(m->flags & MAP_32BIT && hint + size > UINT32_MAX)) {
            struct vma *prev = vma_above(mm, hint);
            prev = prev ? vma_prev(prev) : NULL;
            if (!prev || prev->end <= hint) {
                *va = hint;
                return 0;
            }
        }
    }
    return vma_gap(mm, size, m->flags & MAP_32BIT, va);
}

/* Put private references to given frames (the vDSO) into the table, copy-on-write. */
static int enter_frames(struct mm *mm, struct vma *v, uint64_t offset)
{
    memfile_get(offset, vma_size(v));
    int r = frames_fill(&mm->frames, v->start, offset, vma_size(v), FRAME_PRESENT | FRAME_COW);
    if (r)
        memfile_put(offset, vma_size(v));
    return r;
}

/* Bytes of [start, end) that are mapped. */
static uint64_t mapped_bytes(struct mm *mm, uint64_t start, uint64_t end)
{
    uint64_t sum = 0;
    for (struct vma *v = vma_above(mm, start); v && v->start < end; v = vma_next(v))
        sum += MIN(end, v->end) - MAX(start, v->start);
    return sum;
}

/* The limits on growth; what a fixed mapping replaces does not count. */
static int check_growth(struct mm *mm, const struct mm_map *m, const struct vma *v, uint64_t size)
{
    int r = mm_may_expand(mm, size, v->prot, v->flags);
    if (!r && v->map && mappable_is_anon_shared(v->map))
        r = mm_may_commit(size, v->flags & VMA_NORESERVE);
    if (r != -ENOMEM || !(m->flags & MAP_FIXED) || !mm_range_ok(mm, m->addr, size))
        return r;
    return mm_may_expand(mm, size - mapped_bytes(mm, m->addr, m->addr + size), v->prot, v->flags);
}

static int mmap_locked(struct mm *mm, const struct mm_map *m, struct vma *v, struct list *dead,
                       uint64_t *va)
{
    uint64_t size = v->end;
    if (m->flags & MAP_LOCKED && !mm->limits.memlock)
        return -EPERM;
    if (!(v->flags & VMA_DROPPABLE))
        v->flags |= mm->lock_future;
    int r = check_growth(mm, m, v, size);
    if (!r && mm->vma_count >= mm_map_count_max())
        r = -ENOMEM;
    if (!r && m->flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) {
        *va = m->addr;
        r = place_fixed(mm, m, size, v, dead);
    } else if (!r) {
        r = place(mm, m, size, va);
    }
    if (r)
        return r;
    v->start = *va;
    v->end = *va + size;
    if (m->has_frames && (r = enter_frames(mm, v, m->memfile_offset)))
        return r;
    vma_insert(mm, v);
    /* MAP_DENYWRITE does nothing and is given by dynamic loaders alone. For others a private page
     * goes on showing the file until it is written. */
    fault_ahead(mm, v, v->start, v->end, m->flags & MAP_DENYWRITE);
    vma_merge_range(mm, *va, *va + size, dead);
    if (m->flags & MAP_POPULATE || (v->flags & (VMA_LOCKED | VMA_LOCKONFAULT)) == VMA_LOCKED)
        (void)fault_populate(mm, *va, *va + size, /*write=*/true);
    return 0;
}

int mm_mmap(struct mm *mm, const struct mm_map *m, uint64_t *va)
{
    struct list dead = LIST_INIT(dead);
    struct vma *v;
    uint64_t size, end;
    if (!m->size || page_offset(m->offset))
        return -EINVAL;
    if (!page_up(m->size, &size) || size > mm->platform->va_end)
        return -ENOMEM;
    if (!add_u64(m->offset, size, &end) || end > INT64_MAX)
        return -EOVERFLOW;
    int r = check_flags(m);
    if (!r)
        r = vma_build(mm, m, size, &v);
    if (r)
        return r;
    rwlock_write(&mm->lock);
    r = mmap_locked(mm, m, v, &dead, va);
    rwlock_write_release(&mm->lock);
    if (r)
        vma_free(v);
    vma_free_list(&dead);
    return r;
}

/* ---- mprotect -------------------------------------------------------------------------------- */

/* A private VMA: writable only where a frame is ours alone. File pages that are not private yet
 * lose or gain only what has nothing to do with writing. */
static void protect_private(struct mm *mm, struct vma *v, uint64_t lo, uint64_t hi,
                            unsigned old_prot)
{
    unsigned prot = vma_pl_prot(v), read_prot = prot & ~PL_WRITE;
    if (v->map && read_prot != (old_prot & ~PL_WRITE))
        (void)mm->platform->ops->as_protect(mm->as, lo, hi - lo, read_prot);
    if (prot & PL_WRITE) {
        fault_protect_frames(mm, lo, hi, FRAME_COW, FRAME_COW, read_prot);
        fault_protect_frames(mm, lo, hi, FRAME_COW, 0, prot);
    } else {
        fault_protect_frames(mm, lo, hi, 0, 0, prot);
    }
}

/* The platform follows a change of v's protection in [lo, hi). */
static void protect_platform(struct mm *mm, struct vma *v, uint64_t lo, uint64_t hi,
                             unsigned old_prot)
{
    const struct pl_ops *ops = mm->platform->ops;
    unsigned prot = vma_pl_prot(v);
    if (!(v->flags & VMA_TOUCHED) || prot == old_prot)
        return;
    if (!vma_shared(v)) {
        protect_private(mm, v, lo, hi, old_prot);
    } else if (!(prot & PL_WRITE)) {
        (void)ops->as_protect(mm->as, lo, hi - lo, prot);
    } else {
        /* The host mapping may be of a descriptor without write access: by fault, then. */
        (void)ops->as_unmap(mm->as, lo, hi - lo);
    }
    if (old_prot & ~prot)
        (void)ops->as_flush(mm->as);
}

static int protect_allowed(struct mm *mm, const struct vma *v, unsigned prot, uint64_t size)
{
    /* VMA_MAYREAD, MAYWRITE and MAYEXEC stand in the order of PROT_*. */
    if (prot & ~(v->flags / VMA_MAYREAD) & (PROT_READ | PROT_WRITE | PROT_EXEC))
        return -EACCES;
    if (is_data(prot, v->flags) && !is_data(v->prot, v->flags) &&
        (mm->data + size > mm->limits.data))
        return -ENOMEM;
    return 0;
}

static int mprotect_one(struct mm *mm, struct vma *v, uint64_t lo, uint64_t hi, unsigned prot)
{
    unsigned old_prot = vma_pl_prot(v);
    int r = protect_allowed(mm, v, prot, hi - lo);
    if (r || v->prot == prot)
        return r;
    r = vma_split_range(mm, lo, hi);
    if (r)
        return r;
    v = vma_find(mm, lo);
    vma_set_prot(mm, v, prot, v->flags);
    protect_platform(mm, v, lo, hi, old_prot);
    return 0;
}

static int mprotect_locked(struct mm *mm, uint64_t start, uint64_t end, unsigned prot)
{
    unsigned grows = prot & PROT_GROWSDOWN;
    struct vma *v = vma_above(mm, start);
    prot &= PROT_READ | PROT_WRITE | PROT_EXEC;
    if (grows && v && v->start < end) {
        if (!(v->flags & VMA_GROWSDOWN))
            return -EINVAL;
        start = v->start;
    }
    for (uint64_t at = start; at < end; at = v->end) {
        v = vma_find(mm, at);
        if (!v)
            return -ENOMEM;
        if (v->flags & VMA_SEALED)
            return -EPERM;
        int r = mprotect_one(mm, v, at, MIN(end, v->end), prot);
        if (r)
            return r;
        v = vma_find(mm, at);
    }
    return 0;
}

int mm_mprotect(struct mm *mm, uint64_t addr, uint64_t size, unsigned prot)
{
    const unsigned grow = PROT_GROWSDOWN | PROT_GROWSUP;
    struct list dead = LIST_INIT(dead);
    if ((prot & grow) == grow || page_offset(addr) ||
        prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC | 0x8 /* PROT_SEM */ | grow))
        return -EINVAL;
    if (!size)
        return 0;
    if (prot & PROT_GROWSUP)
        return -EINVAL;
    if (!page_up(size, &size) || !mm_range_ok(mm, addr, size))
        return -ENOMEM;
    rwlock_write(&mm->lock);
    int r = mprotect_locked(mm, addr, addr + size, prot);
    vma_merge_range(mm, addr, addr + size, &dead);
    rwlock_write_release(&mm->lock);
    vma_free_list(&dead);
    return r;
}

/* ---- brk ------------------------------------------------------------------------------------- */

static bool brk_within_limit(struct mm *mm, uint64_t brk)
{
    const struct mm_layout *l = &mm->layout;
    return mm->limits.data == UINT64_MAX ||
           (brk - l->start_brk) + (l->end_data - l->start_data) <= mm->limits.data;
}

static bool brk_grow(struct mm *mm, uint64_t from, uint64_t to, struct list *dead)
{
    uint64_t guard;
    if (!add_u64(to, RF_PAGE_SIZE, &guard) || !mm_range_ok(mm, from, guard - from) ||
        !vma_range_free(mm, from, guard, /*with_guard=*/true) ||
        mm->vma_count >= mm_map_count_max())
        return false;
    unsigned flags = VMA_MAYREAD | VMA_MAYWRITE | VMA_MAYEXEC | mm->lock_future;
    if (mm_may_expand(mm, to - from, PROT_READ | PROT_WRITE, flags))
        return false;
    struct vma *v = vma_new(mm, from, to);
    if (!v)
        return false;
    v->prot = PROT_READ | PROT_WRITE;
    v->flags = flags;
    v->name = "[heap]";
    vma_insert(mm, v);
    fault_ahead(mm, v, from, to, /*program=*/false);
    vma_merge_range(mm, from, to, dead);
    if ((flags & (VMA_LOCKED | VMA_LOCKONFAULT)) == VMA_LOCKED)
        (void)fault_populate(mm, from, to, /*write=*/true);
    return true;
}

static bool brk_locked(struct mm *mm, uint64_t brk, struct list *dead)
{
    uint64_t from, to;
    if (brk < mm->layout.start_brk || !brk_within_limit(mm, brk) ||
        !page_up(mm->layout.brk, &from) || !page_up(brk, &to))
        return false;
    if (to < from)
        return !mm_unmap_locked(mm, to, from, /*next=*/NULL, dead);
    return to == from || brk_grow(mm, from, to, dead);
}

uint64_t mm_brk(struct mm *mm, uint64_t brk)
{
    struct list dead = LIST_INIT(dead);
    rwlock_write(&mm->lock);
    if (brk_locked(mm, brk, &dead))
        mm->layout.brk = brk;
    brk = mm->layout.brk;
    rwlock_write_release(&mm->lock);
    vma_free_list(&dead);
    return brk;
}
