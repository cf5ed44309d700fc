/* What userfaultfd(2) needs of an address space: ranges whose missing or write-protected pages are
 * another's business. The descriptor itself is fs/anon/userfaultfd.c; a VMA holds a counted hook to
 * it. Private memory without a file, and shared memory of the memory file.
 *
 * A page of private memory is missing if it has no frame. Frames that were allocated around a fault
 * and never touched would not be missing, so they go when the range is registered, and none are
 * allocated ahead after that. A page of shared memory is missing if its frame has no contents, and
 * is mapped only when it has. A write-protected page is a copy-on-write entry with FRAME_UFFD_WP:
 * writes trap, and find the flag before they copy. */
#include "mm_priv.h"

#include "base/log.h"

#include <stdlib.h>
#include <string.h>

static void hook_get(struct uffd_hook *h)
{
    ref_get(&h->ref);
}

static void hook_put(struct uffd_hook *h)
{
    if (ref_put(&h->ref))
        h->release(h);
}

void uffd_vma_get(struct vma *v)
{
    if (v->uffd)
        hook_get(v->uffd);
}

/* For a copy of a registered VMA, which has a reference of its own: this is not the last. */
void uffd_vma_forget(struct vma *copy)
{
    if (copy->uffd)
        bug_on(ref_put(&copy->uffd->ref));
    copy->uffd = NULL;
    copy->uffd_modes = 0;
}

void uffd_vma_put(struct vma *v)
{
    if (v->uffd)
        hook_put(v->uffd);
    v->uffd = NULL;
}

/* ---- registering ------------------------------------------------------------------------------
 */

/* The frame behind addr of a shared VMA: 0, or an error also where it is a host file's. */
static int shared_frame(const struct vma *v, uint64_t addr, uint64_t *frame)
{
    struct mm_backing b;
    int r = v->map->ops->backing(v->map, v->offset + (page_down(addr) - v->start), PL_WRITE, &b);
    if (!r && (b.fd != memfile_fd() || !b.size))
        r = -ENXIO;
    if (!r)
        *frame = b.offset;
    return r;
}

static bool in_memory_file(const struct vma *v)
{
    uint64_t frame;
    return vma_shared(v) && !shared_frame(v, v->start, &frame);
}

static bool has_contents(uint64_t frame)
{
    return memfile_next_data(frame, frame + RF_PAGE_SIZE) < frame + RF_PAGE_SIZE;
}

static bool is_vdso(const struct vma *v)
{
    return v->name && !strncmp(v->name, "[v", 2);
}

static int may_register(struct mm *mm, uint64_t start, uint64_t end, const struct uffd_hook *h,
                        unsigned modes)
{
    struct vma *v = vma_above(mm, start);
    if (!v || v->start >= end)
        return -EINVAL;
    for (; v && v->start < end; v = vma_next(v)) {
        if (is_vdso(v) || (vma_is_anon(v) ? vma_shared(v) : !in_memory_file(v)))
            return -EINVAL;
        if (modes & MM_UFFD_WP && vma_shared(v))
            return -EINVAL;
        if (!(v->flags & VMA_MAYWRITE))
            return -EPERM;
        if (v->uffd && v->uffd != h)
            return -EBUSY;
    }
    return 0;
}

/* Frames of [lo, hi) without contents: not there, as far as the guest can tell. */
static void drop_untouched(struct mm *mm, uint64_t lo, uint64_t hi)
{
    struct frame_run run;
    for (uint64_t at = lo; frames_run(&mm->frames, at, hi, FRAME_COW, &run);
         at = run.va + run.size) {
        uint64_t end = run.offset + run.size, data;
        for (uint64_t f = run.offset; f < end; f = data + RF_PAGE_SIZE) {
            data = page_down(memfile_next_data(f, end));
            if (data > f)
                frames_clear(&mm->frames, run.va + (f - run.offset), run.va + (data - run.offset));
        }
    }
}

static int register_part(struct mm *mm, struct vma *v, uint64_t lo, uint64_t hi,
                         struct uffd_hook *h, unsigned modes)
{
    int r = vma_split_range(mm, lo, hi);
    if (r)
        return r;
    v = vma_find(mm, lo);
    if (!v->uffd) {
        hook_get(h);
        v->uffd = h;
    }
    v->uffd_modes = modes;
    if (modes & MM_UFFD_MISSING) {
        /* Not mapped, then looked at: a guest that touches a frame meanwhile faults and waits. */
        if (v->flags & VMA_TOUCHED)
            mm_unmap_platform(mm, lo, hi);
        frames_change(&mm->frames, lo, hi, 0, FRAME_MAPPED);
        if (!vma_shared(v))
            drop_untouched(mm, lo, hi);
    }
    return 0;
}

int mm_uffd_register(struct mm *mm, uint64_t addr, uint64_t size, struct uffd_hook *h,
                     unsigned modes)
{
    uint64_t end = addr + size;
    rwlock_write(&mm->lock);
    int r = mm_range_ok(mm, addr, size) ? may_register(mm, addr, end, h, modes) : -EINVAL;
    for (uint64_t at = addr, hi; at < end && !r; at = hi) {
        struct vma *v = vma_above(mm, at);
        if (!v || v->start >= end)
            break;
        hi = MIN(end, v->end);
        r = register_part(mm, v, MAX(at, v->start), hi, h, modes);
    }
    rwlock_write_release(&mm->lock);
    return r;
}

/* Take h (NULL: whoever's) off [lo, hi); *owed counts the references to drop without the lock. */
static void unregister_part(struct mm *mm, struct vma *v, uint64_t lo, uint64_t hi,
                            struct list *owed)
{
    struct vma *carrier = vma_new(mm, lo, hi); /* holds the reference until the lock is gone */
    if (!carrier || vma_split_range(mm, lo, hi)) {
        free(carrier);
        return;
    }
    v = vma_find(mm, lo);
    carrier->uffd = v->uffd;
    list_push_back(owed, &carrier->dead_node);
    v->uffd = NULL;
    v->uffd_modes = 0;
    frames_change(&mm->frames, lo, hi, 0, FRAME_UFFD_WP);
}

int mm_uffd_unregister(struct mm *mm, uint64_t addr, uint64_t size, struct uffd_hook *h)
{
    struct list owed = LIST_INIT(owed);
    uint64_t end = addr + size;
    int r = -EINVAL;
    rwlock_write(&mm->lock);
    for (uint64_t at = addr, hi; at < end; at = hi) {
        struct vma *v = vma_above(mm, at);
        if (!v || v->start >= end)
            break;
        hi = MIN(end, v->end);
        if (v->uffd || (vma_is_anon(v) && !vma_shared(v)) || in_memory_file(v))
            r = 0;
        if (v->uffd && (!h || v->uffd == h))
            unregister_part(mm, v, MAX(at, v->start), hi, &owed);
    }
    vma_merge_range(mm, addr, end, &owed);
    rwlock_write_release(&mm->lock);
    vma_free_list(&owed);
    return r;
}

/* ---- pages ------------------------------------------------------------------------------------
 */

static struct vma *registered(struct mm *mm, uint64_t addr, const struct uffd_hook *h)
{
    struct vma *v = addr < mm->platform->va_end ? vma_find(mm, addr) : NULL;
    return v && v->uffd == h ? v : NULL;
}

/* Contents for a frame that has none. The host may have no page for it. */
static int fill_frame(uint64_t frame, const void *page)
{
    size_t left = page ? guarded_copy(frame_ptr(frame), page, RF_PAGE_SIZE)
                       : guarded_zero(frame_ptr(frame), RF_PAGE_SIZE);
    return left ? -ENOMEM : 0;
}

static int place_shared(const struct vma *v, uint64_t addr, const void *page)
{
    uint64_t frame;
    if (shared_frame(v, addr, &frame))
        return -EFAULT;
    if (has_contents(frame))
        return -EEXIST;
    return fill_frame(frame, page);
}

static int place_private(struct mm *mm, uint64_t addr, uint64_t frame, const struct uffd_hook *h,
                         const void *page, bool protect)
{
    uint64_t flags = FRAME_PRESENT | (protect ? FRAME_COW | FRAME_UFFD_WP : 0);
    struct vma *v = registered(mm, addr, h);
    if (!v || (protect && !(v->uffd_modes & MM_UFFD_WP)))
        return -ENOENT;
    if (vma_shared(v)) {
        int r = place_shared(v, addr, page);
        return r ? r : 1; /* the frame was not needed */
    }
    uint64_t *e = frames_peek(&mm->frames, addr);
    return e && *e ? -EEXIST : frames_fill(&mm->frames, addr, frame, RF_PAGE_SIZE, flags);
}

int mm_uffd_place(struct mm *mm, uint64_t addr, const struct uffd_hook *h, const void *page,
                  bool protect)
{
    uint64_t frame;
    int r = memfile_alloc(RF_PAGE_SIZE, &frame);
    if (r)
        return r;
    r = fill_frame(frame, page);
    if (r) {
        memfile_put(frame, RF_PAGE_SIZE);
        return r;
    }
    rwlock_write(&mm->lock);
    r = place_private(mm, addr, frame, h, page, protect);
    rwlock_write_release(&mm->lock);
    if (r)
        memfile_put(frame, RF_PAGE_SIZE);
    return r > 0 ? 0 : r;
}

static void protect_part(struct mm *mm, struct vma *v, uint64_t lo, uint64_t hi, bool protect)
{
    if (!protect) {
        frames_change(&mm->frames, lo, hi, 0, FRAME_UFFD_WP);
        return;
    }
    frames_change(&mm->frames, lo, hi, FRAME_COW | FRAME_UFFD_WP, 0);
    if (v->flags & VMA_TOUCHED)
        fault_protect_frames(mm, lo, hi, 0, 0, vma_pl_prot(v) & ~PL_WRITE);
}

int mm_uffd_protect(struct mm *mm, uint64_t addr, uint64_t size, const struct uffd_hook *h,
                    bool protect)
{
    uint64_t end = addr + size;
    int r = -ENOENT;
    rwlock_write(&mm->lock);
    for (struct vma *v = vma_above(mm, addr); v && v->start < end; v = vma_next(v)) {
        if (v->uffd != h || !(v->uffd_modes & MM_UFFD_WP)) {
            r = -ENOENT;
            break;
        }
        protect_part(mm, v, MAX(addr, v->start), MIN(end, v->end), protect);
        r = 0;
    }
    (void)mm->platform->ops->as_flush(mm->as);
    rwlock_write_release(&mm->lock);
    return r;
}

/* ---- faults -----------------------------------------------------------------------------------
 */

unsigned uffd_wants(const struct vma *v, uint64_t addr, uint64_t entry, unsigned access)
{
    uint64_t frame;
    if (vma_shared(v)) /* beyond the end of a file there is nothing to give */
        return !shared_frame(v, addr, &frame) && !has_contents(frame)
                   ? v->uffd_modes & MM_UFFD_MISSING
                   : 0;
    if (!entry)
        return v->uffd_modes & MM_UFFD_MISSING;
    return access == PL_WRITE && entry & FRAME_UFFD_WP ? MM_UFFD_WP : 0;
}

unsigned mm_uffd_fault(struct mm *mm, uint64_t addr, unsigned access, struct uffd_hook **h)
{
    unsigned why = 0;
    rwlock_read(&mm->lock);
    struct vma *v = addr < mm->platform->va_end ? vma_find(mm, addr) : NULL;
    if (v && v->uffd) {
        uint64_t *e = frames_peek(&mm->frames, page_down(addr));
        why = uffd_wants(v, addr, e ? *e : 0, access);
        if (why) {
            hook_get(v->uffd);
            *h = v->uffd;
        }
    }
    rwlock_read_release(&mm->lock);
    return why;
}

static __thread uint64_t t_blocked_addr; /* 0: none */
static __thread unsigned t_blocked_access;

void uffd_note_blocked(uint64_t addr, unsigned access)
{
    t_blocked_addr = addr;
    t_blocked_access = access;
}

bool mm_uffd_blocked(uint64_t *addr, unsigned *access)
{
    *addr = t_blocked_addr;
    *access = t_blocked_access;
    t_blocked_addr = 0;
    return *addr;
}
