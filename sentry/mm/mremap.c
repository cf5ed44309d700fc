/* mremap(2): resize in place, or move a mapping with its pages. */
#include "mm_priv.h"

#include "base/log.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

struct remap {
    struct mm *mm;
    uint64_t addr, old_size, new_size, new_addr;
    unsigned flags;
    struct list *dead;
};

static int check_args(const struct remap *r)
{
    if (r->flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP))
        return -EINVAL;
    if (r->flags & (MREMAP_FIXED | MREMAP_DONTUNMAP) && !(r->flags & MREMAP_MAYMOVE))
        return -EINVAL;
    if (r->flags & MREMAP_DONTUNMAP && r->old_size != r->new_size)
        return -EINVAL;
    if (page_offset(r->addr) || !r->new_size)
        return -EINVAL;
    return 0;
}

static int check_target(const struct remap *r)
{
    if (page_offset(r->new_addr) || !mm_range_ok(r->mm, r->new_addr, r->new_size))
        return -EINVAL;
    if (r->addr + r->old_size > r->new_addr && r->new_addr + r->new_size > r->addr)
        return -EINVAL;
    if (r->flags & MREMAP_FIXED && r->new_addr < MM_MMAP_MIN_ADDR)
        return -EPERM;
    return r->mm->vma_count + 2 >= mm_map_count_max() - 3 ? -ENOMEM : 0;
}

/* May the VMA at addr become new_size long? */
static int check_resize(const struct remap *r, const struct vma *v)
{
    uint64_t end, grow = r->new_size > r->old_size ? r->new_size - r->old_size : 0;
    if (!r->old_size && !vma_shared(v))
        return -EINVAL;
    if (r->old_size > v->end - r->addr)
        return -EFAULT;
    if (!grow)
        return 0;
    if (!add_u64(v->offset + (r->addr - v->start), r->new_size, &end) || end > INT64_MAX)
        return -EINVAL;
    return mm_may_expand(r->mm, grow, v->prot, v->flags);
}

static int shrink_to(struct remap *r, uint64_t size)
{
    int e = mm_unmap_locked(r->mm, r->addr + size, r->addr + r->old_size,
                            /*next=*/NULL, r->dead);
    if (!e)
        r->old_size = size;
    return e;
}

/* Put a copy of the VMA at va and take the pages there. */
static int move_pages(struct remap *r, struct vma *v, uint64_t va)
{
    struct mm *mm = r->mm;
    struct vma *n;
    int e = vma_dup(mm, v, r->addr, r->addr + r->new_size, &n);
    if (e)
        return e;
    uffd_vma_forget(n); /* where it goes, its userfaultfd does not follow */
    frames_change(&mm->frames, r->addr, r->addr + r->old_size, 0, FRAME_UFFD_WP);
    if (v->flags & VMA_TOUCHED && r->old_size)
        mm_unmap_platform(mm, r->addr, r->addr + r->old_size);
    frames_change(&mm->frames, r->addr, r->addr + r->old_size, 0, FRAME_MAPPED);
    e = r->old_size ? frames_move(&mm->frames, r->addr, va, r->old_size) : 0;
    if (e) {
        list_push_back(r->dead, &n->dead_node);
        return e;
    }
    n->start = va;
    n->end = va + r->new_size;
    vma_insert(mm, n);
    if (n->prot)
        fault_populate_lazy(mm, n, n->start, n->end);
    return 0;
}

static int move(struct remap *r, uint64_t va)
{
    struct mm *mm = r->mm;
    uint64_t end = r->addr + r->old_size;
    struct vma *v = vma_find(mm, r->addr);
    bool keep = r->flags & MREMAP_DONTUNMAP;
    /* The old VMA is split out first: then its removal cannot fail after the pages have moved. */
    int e = keep || !r->old_size ? 0 : vma_split_range(mm, r->addr, end);
    if (!e && keep && mm_may_expand(mm, r->new_size, v->prot, v->flags))
        e = -ENOMEM;
    if (!e)
        e = move_pages(r, vma_find(mm, r->addr), va);
    if (e || !r->old_size)
        return e;
    if (!keep)
        return mm_unmap_locked(mm, r->addr, end, /*next=*/NULL, r->dead);
    v = vma_find(mm, r->addr);
    if (v->flags & VMA_LOCKED && !vma_split_range(mm, r->addr, end)) {
        v = vma_find(mm, r->addr);
        vma_set_prot(mm, v, v->prot, v->flags & ~(VMA_LOCKED | VMA_LOCKONFAULT));
    }
    return 0;
}

static int move_to_target(struct remap *r, uint64_t *va)
{
    int e = 0;
    if (r->flags & MREMAP_FIXED) {
        e = check_target(r);
        if (!e)
            e = mm_unmap_locked(r->mm, r->new_addr, r->new_addr + r->new_size, /*next=*/NULL,
                                r->dead);
        *va = r->new_addr;
    }
    if (!e && r->old_size > r->new_size)
        e = shrink_to(r, r->new_size);
    struct vma *v = e ? NULL : vma_find(r->mm, r->addr);
    if (!e)
        e = v ? check_resize(r, v) : -EFAULT;
    if (!e && !(r->flags & MREMAP_FIXED))
        e = vma_gap(r->mm, r->new_size, /*low32=*/false, va);
    return e ? e : move(r, *va);
}

static bool grow_in_place(struct remap *r, struct vma *v)
{
    struct mm *mm = r->mm;
    uint64_t end = r->addr + r->new_size;
    if (!r->old_size || r->addr + r->old_size != v->end ||
        !mm_range_ok(mm, r->addr, r->new_size) ||
        !vma_range_free(mm, v->end, end, /*with_guard=*/true))
        return false;
    uint64_t from = v->end;
    vma_resize(mm, v, v->start, end);
    if (v->map && v->flags & VMA_TOUCHED)
        fault_populate_lazy(mm, v, from, end);
    vma_merge_range(mm, r->addr, end, r->dead);
    return true;
}

static int remap_locked(struct remap *r, uint64_t *va)
{
    struct mm *mm = r->mm;
    struct vma *v = vma_find(mm, r->addr);
    if (!v)
        return -EFAULT;
    if (mm_sealed(mm, r->addr, r->addr + MAX(r->old_size, RF_PAGE_SIZE)))
        return -EPERM;
    if (r->flags & (MREMAP_FIXED | MREMAP_DONTUNMAP))
        return move_to_target(r, va);
    *va = r->addr;
    if (r->old_size >= r->new_size)
        return r->old_size > r->new_size ? shrink_to(r, r->new_size) : 0;
    int e = check_resize(r, v);
    if (e || grow_in_place(r, v))
        return e;
    if (!(r->flags & MREMAP_MAYMOVE))
        return -ENOMEM;
    e = vma_gap(mm, r->new_size, /*low32=*/false, va);
    return e ? e : move(r, *va);
}

int mm_mremap(struct mm *mm, uint64_t addr, uint64_t old_size, uint64_t new_size, unsigned flags,
              uint64_t new_addr, uint64_t *va)
{
    struct list dead = LIST_INIT(dead);
    struct remap r = {.mm = mm, .addr = addr, .new_addr = new_addr, .flags = flags, .dead = &dead};
    if (!page_up(old_size, &r.old_size) || !page_up(new_size, &r.new_size))
        return -EINVAL;
    int e = check_args(&r);
    if (e)
        return e;
    if (!mm_range_ok(mm, addr, r.old_size))
        return -EFAULT;
    if (r.new_size > mm->platform->va_end)
        return flags & MREMAP_FIXED ? -EINVAL : -ENOMEM;
    rwlock_write(&mm->lock);
    e = remap_locked(&r, va);
    if (!e)
        vma_merge_range(mm, *va, *va + r.new_size, &dead);
    if (!e && mm->lock_future & VMA_LOCKED)
        (void)fault_populate(mm, *va, *va + r.new_size, /*write=*/true);
    rwlock_write_release(&mm->lock);
    vma_free_list(&dead);
    return e;
}

/* ---- remap_file_pages ------------------------------------------------------------------------- */

/* The VMA at start goes on, maybe in neighbours that show the same object, up to end. */
static bool one_object(struct mm *mm, const struct vma *v, uint64_t end)
{
    for (const struct vma *n; v->end < end; v = n) {
        n = vma_next(v);
        if (!n || n->start != v->end || n->map != v->map || n->file != v->file ||
            n->prot != v->prot)
            return false;
    }
    return true;
}

/* As Linux since 4.0: the range becomes a mapping of its own. */
static int remap_pages_locked(struct mm *mm, uint64_t addr, uint64_t end, uint64_t offset,
                              struct list *dead)
{
    struct vma *v = vma_find(mm, addr), *n;
    if (!v || !vma_shared(v) || !v->map || !one_object(mm, v, end))
        return -EINVAL;
    if (mm->vma_count + 2 >= mm_map_count_max())
        return -ENOMEM;
    int r = vma_dup(mm, v, addr, end, &n);
    if (r)
        return r;
    n->flags &= ~VMA_TOUCHED;
    n->offset = offset;
    r = mm_unmap_locked(mm, addr, end, n, dead);
    if (r) {
        list_push_back(dead, &n->dead_node);
        return r;
    }
    vma_insert(mm, n);
    vma_merge_range(mm, addr, end, dead);
    return 0;
}

int mm_remap_file_pages(struct mm *mm, uint64_t addr, uint64_t size, uint64_t offset)
{
    struct list dead = LIST_INIT(dead);
    rwlock_write(&mm->lock);
    int r = remap_pages_locked(mm, addr, addr + size, offset, &dead);
    rwlock_write_release(&mm->lock);
    vma_free_list(&dead);
    return r;
}
