/* Mappables: the list of VMAs that show one object, zapping translations out of all of them, and
 * the object behind MAP_SHARED|MAP_ANONYMOUS.
 *
 * Lock order is mm.lock before mappable.lock, so a zap cannot walk the list and lock each mm. It
 * visits the address spaces in the order of their addresses, one at a time, and needs no memory.
 * A VMA that appears meanwhile needs no visit: its translations come from backing(), which already
 * tells the new state (the caller has changed it before zapping). */
#include "mm_priv.h"

#include "base/log.h"

#include <stdlib.h>

void mappable_init(struct mappable *m, const struct mappable_ops *ops)
{
    m->ops = ops;
    m->window = (struct tree){0};
    lock_init(&m->lock, LR_MAPPING);
    list_init(&m->vmas);
}

void mappable_link(struct vma *v)
{
    lock_acquire(&v->map->lock);
    list_push_back(&v->map->vmas, &v->mappable_node);
    lock_release(&v->map->lock);
}

void mappable_unlink(struct vma *v)
{
    lock_acquire(&v->map->lock);
    list_del(&v->mappable_node);
    lock_release(&v->map->lock);
}

/* The living mapper with the least address above after, counted. One that is dying runs no guest
 * code any more. */
static struct mm *next_mapper(struct mappable *m, struct mm *after)
{
    struct mm *best;
    struct vma *v;
    lock_acquire(&m->lock);
    do {
        best = NULL;
        list_for_each(v, &m->vmas, mappable_node) if (v->mm > after && (!best || v->mm < best))
            best = v->mm;
        after = best;
    } while (best && !ref_get_unless_zero(&best->ref));
    lock_release(&m->lock);
    return best;
}

static void zap_vma(struct mm *mm, struct vma *v, uint64_t offset, uint64_t end, bool even_private)
{
    uint64_t lo = MAX(offset, v->offset), hi = MIN(end, v->offset + vma_size(v));
    if (lo >= hi)
        return;
    lo = lo - v->offset + v->start;
    hi = hi - v->offset + v->start;
    mm_unmap_platform(mm, lo, hi);
    if (even_private && !vma_shared(v))
        frames_clear(&mm->frames, lo, hi);
    else
        frames_change(&mm->frames, lo, hi, 0, FRAME_MAPPED);
}

static void zap_mm(struct mm *mm, struct mappable *m, uint64_t offset, uint64_t end,
                   bool even_private)
{
    rwlock_write(&mm->lock);
    for (struct vma *v = vma_above(mm, 0); v; v = vma_next(v))
        if (v->map == m)
            zap_vma(mm, v, offset, end, even_private);
    rwlock_write_release(&mm->lock);
}

void mappable_zap(struct mappable *m, uint64_t offset, uint64_t size, bool even_private)
{
    uint64_t end;
    if (!size || !add_u64(offset, size, &end))
        end = UINT64_MAX;
    struct mm *mm = NULL;
    while ((mm = next_mapper(m, mm))) {
        zap_mm(mm, m, offset, end, even_private);
        mm_put_later(mm); /* the caller may hold an inode's lock */
    }
}

/* ---- shared anonymous memory ----------------------------------------------------------------- */

struct anon_shared {
    struct mappable map;
    struct ref ref;
    uint64_t size;             /* const */
    struct frame_table frames; /* lock: map.lock; by offset in the object */
};

static struct anon_shared *anon_of(struct mappable *m)
{
    return container_of(m, struct anon_shared, map);
}

/* Allocate around offset, as far as nothing is there yet. */
static int anon_grow_locked(struct anon_shared *s, uint64_t offset)
{
    uint64_t max = memfile_chunk_max(), chunk = MIN(MM_CHUNK, max), frame;
    uint64_t lo = offset & ~(chunk - 1), hi = MIN(s->size, lo + chunk);
    for (uint64_t at; (at = frames_next(&s->frames, lo, offset)) < offset;)
        lo = at + RF_PAGE_SIZE;
    hi = frames_next(&s->frames, offset, hi);
    if (memfile_alloc(hi - lo, &frame)) {
        lo = offset;
        hi = offset + RF_PAGE_SIZE;
        int r = memfile_alloc(hi - lo, &frame);
        if (r)
            return r;
    }
    int r = frames_fill(&s->frames, lo, frame, hi - lo, FRAME_PRESENT);
    if (r)
        memfile_put(frame, hi - lo);
    return r;
}

static int anon_backing(struct mappable *m, uint64_t offset, unsigned access,
                        struct mm_backing *out)
{
    struct anon_shared *s = anon_of(m);
    struct frame_run run;
    if (offset >= s->size)
        return -ENXIO;
    LOCK_GUARD(&m->lock);
    uint64_t *e = frames_peek(&s->frames, offset);
    if (!e || !*e) {
        int r = anon_grow_locked(s, offset);
        if (r)
            return r;
    }
    frames_run(&s->frames, offset, MIN(s->size, offset + MM_CHUNK), 0, &run);
    *out = (struct mm_backing){
        .fd = memfile_fd(), .offset = run.offset, .size = run.size, .writable = true};
    return 0;
}

static const struct mappable_ops g_anon_shared_ops = {.backing = anon_backing};

bool mappable_is_anon_shared(const struct mappable *m)
{
    return m->ops == &g_anon_shared_ops;
}

int anon_shared_new(uint64_t size, struct mappable **out)
{
    struct anon_shared *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    mappable_init(&s->map, &g_anon_shared_ops);
    ref_init(&s->ref);
    s->size = size;
    *out = &s->map;
    return 0;
}

void anon_shared_get(struct mappable *m)
{
    ref_get(&anon_of(m)->ref);
}

void anon_shared_put(struct mappable *m)
{
    struct anon_shared *s = anon_of(m);
    if (!ref_put(&s->ref))
        return;
    frames_clear(&s->frames, 0, s->size);
    lock_destroy(&m->lock);
    free(s);
}

/* MADV_REMOVE: the frames leave the table first, so that no new translation can find them, then
 * the translations, then the frames are freed. */
int anon_shared_punch(struct mappable *m, uint64_t offset, uint64_t size)
{
    struct anon_shared *s = anon_of(m);
    uint64_t end = MIN(s->size, offset + size);
    while (offset < end) {
        struct frame_run run;
        lock_acquire(&m->lock);
        bool found = frames_run(&s->frames, offset, end, 0, &run);
        if (found) {
            memfile_get(run.offset, run.size);
            frames_clear(&s->frames, run.va, run.va + run.size);
        }
        lock_release(&m->lock);
        if (!found)
            return 0;
        mappable_zap(m, run.va, run.size, /*even_private=*/false);
        memfile_put(run.offset, run.size);
        offset = run.va + run.size;
    }
    return 0;
}
