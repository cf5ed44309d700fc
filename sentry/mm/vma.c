/* The tree of VMAs of one address space: lookup, split, merge, counting, and the search for gaps.
 *
 * VMAs never overlap, are page aligned and are keyed by their start. Nothing here talks to the
 * platform: that is the business of map.c and fault.c. */
#include "mm_priv.h"

#include "base/log.h"
#include "fs/vfs.h"

#include <stdlib.h>
#include <string.h>

#define vma_of(n) ((n) ? tree_entry((n), struct vma, node) : NULL)

static int vma_cmp(const struct tree_node *a, const struct tree_node *b)
{
    uint64_t x = tree_entry(a, struct vma, node)->start, y = tree_entry(b, struct vma, node)->start;
    return x < y ? -1 : x > y;
}

/* Orders an address against VMAs so that the lower bound is the first VMA with end > addr. */
static int vma_end_key(const void *key, const struct tree_node *n)
{
    return *(const uint64_t *)key < tree_entry(n, struct vma, node)->end ? -1 : 1;
}

struct vma *vma_above(const struct mm *mm, uint64_t addr)
{
    return vma_of(tree_lower_bound(&mm->vmas, &addr, vma_end_key));
}

struct vma *vma_find(const struct mm *mm, uint64_t addr)
{
    struct vma *v = __atomic_load_n(&mm->hint, __ATOMIC_RELAXED);
    if (v && v->start <= addr && addr < v->end)
        return v;
    v = vma_above(mm, addr);
    if (!v || v->start > addr)
        return NULL;
    /* VMAs go only under the write lock, which clears the hint; readers may race to set it. */
    __atomic_store_n(&((struct mm *)mm)->hint, v, __ATOMIC_RELAXED);
    return v;
}

struct vma *vma_next(const struct vma *v)
{
    return vma_of(tree_next(&v->node));
}

struct vma *vma_prev(const struct vma *v)
{
    return vma_of(tree_prev(&v->node));
}

struct vma *vma_new(struct mm *mm, uint64_t start, uint64_t end)
{
    struct vma *v = calloc(1, sizeof(*v));
    if (!v)
        return NULL;
    v->mm = mm;
    v->start = start;
    v->end = end;
    list_node_init(&v->mappable_node);
    list_node_init(&v->dead_node);
    return v;
}

static void vma_get_objects(struct vma *v)
{
    uffd_vma_get(v);
    if (v->file)
        file_get(v->file);
    if (v->map && mappable_is_anon_shared(v->map))
        anon_shared_get(v->map);
    if (v->flags & VMA_WRITER && v->map->ops->writable_dup)
        v->map->ops->writable_dup(v->map);
    else if (v->flags & VMA_WRITER && v->map->ops->writable_get(v->map))
        v->flags &= ~VMA_WRITER;
}

int vma_dup(struct mm *mm, const struct vma *v, uint64_t start, uint64_t end, struct vma **out)
{
    struct vma *n = vma_new(mm, start, end);
    if (!n)
        return -ENOMEM;
    n->prot = v->prot;
    n->flags = v->flags;
    n->file = v->file;
    n->map = v->map;
    n->name = v->name;
    n->policy = v->policy;
    n->uffd = v->uffd;
    n->uffd_modes = v->uffd_modes;
    n->offset = v->offset + (start - v->start);
    vma_get_objects(n);
    *out = n;
    return 0;
}

void vma_free(struct vma *v)
{
    uffd_vma_put(v);
    if (v->flags & VMA_WRITER)
        v->map->ops->writable_put(v->map);
    if (v->map && mappable_is_anon_shared(v->map))
        anon_shared_put(v->map);
    if (v->file)
        file_put(v->file);
    free(v);
}

void vma_free_list(struct list *dead)
{
    while (!list_empty(dead)) {
        struct vma *v = list_first(dead, struct vma, dead_node);
        list_del(&v->dead_node);
        vma_free(v);
    }
}

/* Add (or with a wrapped negative size take away) v's kind of memory to the counters. */
static void vma_account(struct mm *mm, const struct vma *v, uint64_t size)
{
    mm->vm_size += size;
    mm->vm_peak = MAX(mm->vm_peak, mm->vm_size);
    if (v->flags & VMA_LOCKED)
        mm->locked += size;
    if (vma_shared(v) ? v->map && mappable_is_anon_shared(v->map) : v->prot & PROT_WRITE)
        mm_commit_add(size);
    if (v->flags & VMA_GROWSDOWN)
        mm->stack += size;
    else if (v->prot & PROT_WRITE && !vma_shared(v))
        mm->data += size;
    else if (v->prot & PROT_EXEC)
        mm->text += size;
}

void vma_insert(struct mm *mm, struct vma *v)
{
    v->mm = mm;
    bug_on(!tree_insert(&mm->vmas, &v->node, vma_cmp));
    mm->vma_count++;
    vma_account(mm, v, vma_size(v));
    if (v->map)
        mappable_link(v);
}

void vma_remove(struct mm *mm, struct vma *v)
{
    if (v->map)
        mappable_unlink(v);
    tree_erase(&mm->vmas, &v->node);
    mm->vma_count--;
    vma_account(mm, v, -vma_size(v));
    mm->hint = NULL;
}

void vma_set_prot(struct mm *mm, struct vma *v, unsigned prot, unsigned flags)
{
    vma_account(mm, v, -vma_size(v));
    v->prot = prot;
    v->flags = flags;
    vma_account(mm, v, vma_size(v));
}

void vma_resize(struct mm *mm, struct vma *v, uint64_t start, uint64_t end)
{
    vma_account(mm, v, -vma_size(v));
    v->offset += start - v->start;
    v->start = start;
    v->end = end;
    vma_account(mm, v, vma_size(v));
    mm->hint = NULL;
}

static int vma_split(struct mm *mm, struct vma *v, uint64_t at)
{
    struct vma *n;
    if (mm->vma_count >= mm_map_count_max())
        return -ENOMEM;
    int r = vma_dup(mm, v, at, v->end, &n);
    if (r)
        return r;
    vma_resize(mm, v, v->start, at);
    vma_insert(mm, n);
    return 0;
}

int vma_split_range(struct mm *mm, uint64_t start, uint64_t end)
{
    struct vma *v = vma_find(mm, start);
    int r = v && v->start < start ? vma_split(mm, v, start) : 0;
    if (r)
        return r;
    v = vma_find(mm, end - 1);
    return v && v->end > end ? vma_split(mm, v, end) : 0;
}

static bool vma_alike(const struct vma *a, const struct vma *b)
{
    const unsigned ignored = VMA_TOUCHED;
    return a->end == b->start && a->prot == b->prot &&
           !((a->flags ^ b->flags) & ~ignored) && a->file == b->file && a->map == b->map && a->uffd == b->uffd &&
           a->uffd_modes == b->uffd_modes &&
           a->name == b->name && !memcmp(&a->policy, &b->policy, sizeof(a->policy)) && (!a->map || a->offset + vma_size(a) == b->offset);
}

void vma_merge_range(struct mm *mm, uint64_t start, uint64_t end, struct list *dead)
{
    struct vma *v = start ? vma_above(mm, start - 1) : vma_above(mm, 0);
    while (v && v->start < end) {
        struct vma *n = vma_next(v);
        if (!n || n->start > end)
            return;
        if (!vma_alike(v, n)) {
            v = n;
            continue;
        }
        uint64_t new_end = n->end;
        v->flags |= n->flags & VMA_TOUCHED;
        vma_remove(mm, n);
        list_push_back(dead, &n->dead_node);
        vma_resize(mm, v, v->start, new_end);
    }
}

bool vma_covered(struct mm *mm, uint64_t start, uint64_t end)
{
    for (struct vma *v = vma_above(mm, start); v && v->start <= start; v = vma_next(v)) {
        if (v->end >= end)
            return true;
        start = v->end;
        if (!vma_next(v) || vma_next(v)->start != start)
            return false;
    }
    return false;
}

/* Where the room below v ends: stacks keep a guard gap under them. */
static uint64_t vma_start_gap(const struct vma *v)
{
    if (!(v->flags & VMA_GROWSDOWN))
        return v->start;
    return v->start > MM_STACK_GUARD ? v->start - MM_STACK_GUARD : 0;
}

bool vma_range_free(struct mm *mm, uint64_t start, uint64_t end, bool with_guard)
{
    struct vma *v = vma_above(mm, start);
    return !v || end <= (with_guard ? vma_start_gap(v) : v->start);
}

/* The highest gap of size in [low, high), or 0. */
static uint64_t gap_below(struct mm *mm, uint64_t size, uint64_t low, uint64_t high)
{
    struct vma *above = vma_above(mm, high - 1);
    struct vma *v = above ? vma_prev(above) : vma_of(tree_last(&mm->vmas));
    uint64_t top = above ? MIN(high, vma_start_gap(above)) : high;
    for (; v && v->end > low; v = vma_prev(v)) {
        if (top >= v->end && top - v->end >= size)
            return top - size;
        top = MIN(top, vma_start_gap(v));
    }
    return top >= low && top - low >= size ? top - size : 0;
}

/* The lowest gap of size in [low, high), or 0. */
static uint64_t gap_above(struct mm *mm, uint64_t size, uint64_t low, uint64_t high)
{
    for (struct vma *v = vma_above(mm, low); v; v = vma_next(v)) {
        uint64_t end = MIN(high, vma_start_gap(v));
        if (end > low && end - low >= size)
            return low;
        low = MAX(low, v->end);
        if (low >= high)
            return 0;
    }
    return high > low && high - low >= size ? low : 0;
}

int vma_gap(struct mm *mm, uint64_t size, bool low32, uint64_t *va)
{
    uint64_t at;
    if (low32) { /* the kernel's range: the second gigabyte */
        at = gap_above(mm, size, 0x40000000, 0x80000000);
    } else {
        uint64_t high = mm->layout.mmap_base;
        /* Gaps above the last one that fitted are too small, until something is unmapped. */
        if (size >= mm->gap_size)
            high = MIN(high, mm->gap_top);
        at = high ? gap_below(mm, size, MM_MMAP_MIN_ADDR, high) : 0;
        if (!at)
            at = gap_above(mm, size, mm->layout.mmap_base, mm->platform->va_end);
        else {
            mm->gap_size = size;
            mm->gap_top = at + size;
        }
    }
    if (!at)
        return -ENOMEM;
    *va = at;
    return 0;
}
