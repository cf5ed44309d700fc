/* Page faults: give a page of a VMA its frame, and show the platform as much as is useful.
 *
 * A trap costs ten microseconds and more, a host mapping call two, an untouched frame nothing. So
 * an anonymous fault allocates frames for 2 MiB around it and maps them with one call; a file
 * fault maps all that the donated descriptor has; a private write copies a small block.
 *
 * The platform's mappings are only a cache of our tables: what it loses comes back by a fault. */
#include "mm_priv.h"

#include "base/log.h"

#include <string.h>

#define COW_BLOCK  (16 * RF_PAGE_SIZE)  /* copied together; a power of two */
#define COW_BIG    (128 * RF_PAGE_SIZE) /* the same when the block below has been copied too */
#define REUSE_SPAN (2ull << 20)         /* looked at when a sole owner gets write access back */
#define FILE_SPAN  (256ull << 20)       /* most of a host file mapped by one fault */
#define AHEAD_ANON (1ull << 20)         /* new anonymous memory up to this is mapped unasked */
#define AHEAD_DATA (64ull << 10)        /* data segments up to this are copied unasked */
#define BIG_VMA    (64ull << 20)        /* from here on, sequential faults take larger chunks */
#define BIG_CHUNK  (16ull << 20)

unsigned vma_pl_prot(const struct vma *v)
{
    unsigned p = v->prot & (PROT_READ | PROT_WRITE | PROT_EXEC);
    return p && !(v->flags & VMA_GUARD) ? p | PL_READ : 0;
}

/* ---- telling the platform -------------------------------------------------------------------- */

static void *backing_hva(struct mm *mm, struct mappable *m, const struct mm_backing *b,
                         uint64_t *size, bool writable)
{
    struct window_piece *piece;
    uint64_t left;
    void *ptr;
    if (b->fd == memfile_fd())
        return frame_ptr(b->offset);
    if (window_pin(m, b->fd, b->offset, writable, /*hva=*/true, &ptr, &left, &piece))
        return NULL;
    window_unpin(piece); /* hva pieces stay */
    *size = MIN(*size, left);
    return ptr;
}

/* Out of host mappings or page tables: the cache is dropped whole, then the one thing wanted now
 * is tried again. */
static int pl_map_retry(struct mm *mm, uint64_t va, uint64_t size, unsigned prot,
                        const struct pl_backing *b)
{
    mm_unmap_platform(mm, 0, mm->platform->va_end);
    frames_change(&mm->frames, 0, mm->platform->va_end, 0, FRAME_MAPPED);
    return mm->platform->ops->as_map(mm->as, va, size, prot, b, /*precommit=*/false);
}

static int pl_map(struct mm *mm, uint64_t va, uint64_t size, unsigned prot,
                  const struct pl_backing *b, bool commit)
{
    int r = mm->platform->ops->as_map(mm->as, va, size, prot, b, commit);
    return r == -ENOMEM ? pl_map_retry(mm, va, size, prot, b) : r;
}

/* Map [va, va+size) of v from what its mappable says; the whole lies in one backing. */
static int map_backing(struct mm *mm, struct vma *v, uint64_t va, uint64_t size,
                       const struct mm_backing *mb)
{
    unsigned prot = vma_pl_prot(v);
    if (!vma_shared(v) || !mb->writable)
        prot &= ~PL_WRITE;
    struct mm_backing b = *mb;
    v->flags |= VMA_TOUCHED | (b.fd == memfile_fd() ? VMA_FRAMES : 0);
    for (uint64_t n; size; va += n, size -= n, b.offset += n) {
        struct pl_backing pb = {.fd = b.fd, .offset = b.offset};
        n = size;
        if (mm->platform->ops->needs_hva &&
            !(pb.hva = backing_hva(mm, v->map, &b, &n, prot & PL_WRITE)))
            return -ENOMEM;
        int r = pl_map(mm, va, n, prot, &pb, /*commit=*/false);
        if (r)
            return r;
    }
    return 0;
}

int fault_map_frames(struct mm *mm, struct vma *v, const struct frame_run *run, bool commit)
{
    unsigned prot = vma_pl_prot(v);
    if (run->flags & FRAME_COW)
        prot &= ~PL_WRITE;
    struct pl_backing b = {.fd = memfile_fd(), .offset = run->offset};
    if (mm->platform->ops->needs_hva)
        b.hva = frame_ptr(run->offset);
    v->flags |= VMA_TOUCHED;
    int r = pl_map(mm, run->va, run->size, prot, &b, commit);
    if (!r)
        frames_change(&mm->frames, run->va, run->va + run->size, FRAME_MAPPED, 0);
    return r;
}

void fault_protect_frames(struct mm *mm, uint64_t lo, uint64_t hi, uint64_t mask, uint64_t want,
                          unsigned prot)
{
    uint64_t va, size;
    for (; frames_span(&mm->frames, lo, hi, mask | FRAME_MAPPED, want | FRAME_MAPPED, &va, &size);
         lo = va + size)
        (void)mm->platform->ops->as_protect(mm->as, va, size, prot);
}

void mm_unmap_platform(struct mm *mm, uint64_t va, uint64_t end)
{
    /* An error means that the address space is dead, and then it uses nothing any more. */
    (void)mm->platform->ops->as_unmap(mm->as, va, end - va);
    (void)mm->platform->ops->as_flush(mm->as);
}

/* Frames for [*lo, *hi), or when there are not so many, for page alone. */
static int alloc_around(struct mm *mm, uint64_t page, uint64_t *lo, uint64_t *hi, uint64_t *offset)
{
    if (!memfile_alloc(*hi - *lo, offset))
        return 0;
    *lo = page;
    *hi = page + RF_PAGE_SIZE;
    if (!memfile_alloc(RF_PAGE_SIZE, offset))
        return 0;
    return mm_reclaim(mm) ? memfile_alloc(RF_PAGE_SIZE, offset) : -ENOMEM;
}

/* ---- anonymous memory ------------------------------------------------------------------------ */

/* How far around page nothing is present yet, within v and an aligned block of size. */
static void clip_absent(struct mm *mm, const struct vma *v, uint64_t page, uint64_t block,
                        uint64_t *lo, uint64_t *hi)
{
    if (v->uffd) /* which pages are there is told exactly */
        block = RF_PAGE_SIZE;
    uint64_t base = page & ~(block - 1);
    *lo = MAX(v->start, base);
    *hi = MIN(v->end, base + block);
    *hi = frames_next(&mm->frames, page, *hi);
    for (uint64_t at; (at = frames_next(&mm->frames, *lo, page)) < page;)
        *lo = at + RF_PAGE_SIZE;
}

static uint64_t anon_chunk(struct mm *mm, const struct vma *v, uint64_t page)
{
    uint64_t below = (page & ~(MM_CHUNK - 1)) - RF_PAGE_SIZE;
    if (vma_size(v) < BIG_VMA || below < v->start || below >= page)
        return MM_CHUNK;
    uint64_t *e = frames_peek(&mm->frames, below);
    return e && *e ? BIG_CHUNK : MM_CHUNK;
}

static int fault_anon(struct mm *mm, struct vma *v, uint64_t page)
{
    struct frame_run run = {.flags = FRAME_PRESENT};
    uint64_t lo, hi;
    uint64_t chunk = anon_chunk(mm, v, page);
    clip_absent(mm, v, page, MIN(chunk, memfile_chunk_max()), &lo, &hi);
    int r = alloc_around(mm, page, &lo, &hi, &run.offset);
    if (r)
        return r;
    run.va = lo;
    run.size = hi - lo;
    r = frames_fill(&mm->frames, lo, run.offset, run.size, FRAME_PRESENT);
    if (r) {
        memfile_put(run.offset, run.size);
        return r;
    }
    return fault_map_frames(mm, v, &run, /*commit=*/false);
}

/* ---- files ----------------------------------------------------------------------------------- */

static uint64_t vma_file_offset(const struct vma *v, uint64_t va)
{
    return v->offset + (va - v->start);
}

static int vma_backing(const struct vma *v, uint64_t va, unsigned access, struct mm_backing *b)
{
    int r = v->map->ops->backing(v->map, vma_file_offset(v, va), access, b);
    if (!r && !b->size)
        return -ENXIO;
    return r;
}

/* Show [lo, hi) of v, leaving out private pages, as far as backing is found. */
static int map_file_range(struct mm *mm, struct vma *v, uint64_t lo, uint64_t hi, unsigned access,
                          bool host_only)
{
    struct mm_backing b;
    for (uint64_t next; lo < hi; lo = next) {
        uint64_t *e = frames_peek(&mm->frames, lo);
        next = lo + RF_PAGE_SIZE;
        if (e && *e)
            continue;
        int r = vma_backing(v, lo, access, &b);
        if (r || (host_only && b.fd == memfile_fd()))
            return r;
        next = frames_next(&mm->frames, lo, MIN(hi, lo + b.size));
        r = map_backing(mm, v, lo, next - lo, &b);
        if (r)
            return r;
    }
    return 0;
}

static int fault_file(struct mm *mm, struct vma *v, uint64_t page, unsigned access)
{
    struct mm_backing b;
    int r = vma_backing(v, page, access, &b);
    if (r)
        return r;
    if (access == PL_WRITE && !b.writable)
        return -EACCES;
    uint64_t span = MIN(b.size, v->uffd ? RF_PAGE_SIZE : FILE_SPAN);
    uint64_t hi = frames_next(&mm->frames, page, MIN(v->end, page + span));
    return map_backing(mm, v, page, hi - page, &b);
}

/* Copy a page range of the mappable into frames; bytes copied before the first hole. */
static uint64_t copy_from_backing(struct vma *v, const struct mm_backing *b, uint64_t dst,
                                  uint64_t size)
{
    uint64_t done = 0;
    if (b->fd == memfile_fd())
        return memfile_copy(dst, b->offset, size, &done) ? 0 : size;
    while (done < size) {
        struct window_piece *piece;
        uint64_t n;
        void *src;
        if (window_pin(v->map, b->fd, b->offset + done, /*writable=*/false, /*hva=*/false, &src, &n,
                       &piece))
            return done;
        n = MIN(n, size - done);
        size_t left = guarded_copy(frame_ptr(dst + done), src, n);
        window_unpin(piece);
        done += n - left;
        if (left)
            return done & RF_PAGE_MASK;
    }
    return done;
}

/* First write to a private file page: a block around it becomes our own. */
static int fault_file_cow(struct mm *mm, struct vma *v, uint64_t page)
{
    struct mm_backing b;
    struct frame_run run = {.flags = FRAME_PRESENT};
    uint64_t lo, hi;
    clip_absent(mm, v, page, COW_BLOCK, &lo, &hi);
    int r = vma_backing(v, lo, PL_READ, &b);
    if (r || lo + b.size <= page) {
        lo = page;
        r = vma_backing(v, lo, PL_READ, &b);
        if (r)
            return r;
    }
    hi = MIN(hi, lo + b.size);
    uint64_t first = lo;
    r = alloc_around(mm, page, &lo, &hi, &run.offset);
    if (r)
        return r;
    b.offset += lo - first;
    uint64_t copied = copy_from_backing(v, &b, run.offset, hi - lo);
    if (copied < hi - lo) {
        memfile_put(run.offset + copied, hi - lo - copied);
        hi = lo + copied;
        if (hi <= page) {
            if (copied)
                memfile_put(run.offset, copied);
            return -ENXIO;
        }
    }
    r = frames_fill(&mm->frames, lo, run.offset, hi - lo, FRAME_PRESENT);
    if (r) {
        memfile_put(run.offset, hi - lo);
        return r;
    }
    run.va = lo;
    run.size = hi - lo;
    return fault_map_frames(mm, v, &run, /*commit=*/b.fd != memfile_fd());
}

/* ---- private frames -------------------------------------------------------------------------- */

static bool cow_sole(const uint64_t *e)
{
    return e && *e & FRAME_COW && !(*e & FRAME_UFFD_WP) && memfile_refs(FRAME_OFFSET(*e)) == 1;
}

/* The other side has gone: the page, and its neighbours in the same state, are simply ours. */
static int cow_reuse(struct mm *mm, struct vma *v, uint64_t page)
{
    uint64_t base = page & ~(REUSE_SPAN - 1), lo = page, hi = page;
    uint64_t min = MAX(v->start, base), max = MIN(v->end, base + REUSE_SPAN);
    while (lo > min && cow_sole(frames_peek(&mm->frames, lo - RF_PAGE_SIZE)))
        lo -= RF_PAGE_SIZE;
    while (hi < max && cow_sole(frames_peek(&mm->frames, hi)))
        hi += RF_PAGE_SIZE;
    frames_change(&mm->frames, lo, hi, 0, FRAME_COW);
    struct frame_run run;
    int bad = 0;
    for (uint64_t at = lo; frames_run(&mm->frames, at, hi, FRAME_MAPPED, &run);
         at = run.va + run.size) {
        int r;
        if (run.flags & FRAME_MAPPED) /* keeps the page tables behind it */
            r = mm->platform->ops->as_protect(mm->as, run.va, run.size, vma_pl_prot(v));
        else
            r = fault_map_frames(mm, v, &run, /*commit=*/false);
        if (page >= run.va && page < run.va + run.size)
            bad = r;
    }
    return bad;
}

struct cow_block {
    uint64_t lo, hi;
    uint64_t old[COW_BIG / RF_PAGE_SIZE]; /* frame offsets */
};

static bool cow_shared(const uint64_t *e)
{
    return e && *e & FRAME_COW && !(*e & FRAME_UFFD_WP) && memfile_refs(FRAME_OFFSET(*e)) > 1;
}

static void cow_block_find(struct mm *mm, struct vma *v, uint64_t page, struct cow_block *c)
{
    uint64_t base = page & ~(COW_BLOCK - 1), size = COW_BLOCK;
    uint64_t *below = base > v->start ? frames_peek(&mm->frames, base - RF_PAGE_SIZE) : NULL;
    if (below && *below && !(*below & FRAME_COW) && vma_size(v) > 8 * COW_BIG)
        size = COW_BIG; /* somebody writes his way up */
    uint64_t min = MAX(v->start, base), max = MIN(v->end, base + size);
    c->lo = page;
    c->hi = page + RF_PAGE_SIZE;
    while (c->lo > min && cow_shared(frames_peek(&mm->frames, c->lo - RF_PAGE_SIZE)))
        c->lo -= RF_PAGE_SIZE;
    while (c->hi < max && cow_shared(frames_peek(&mm->frames, c->hi)))
        c->hi += RF_PAGE_SIZE;
    for (uint64_t at = c->lo; at < c->hi; at += RF_PAGE_SIZE)
        c->old[(at - c->lo) >> RF_PAGE_SHIFT] = FRAME_OFFSET(*frames_peek(&mm->frames, at));
}

static int cow_block_copy(const struct cow_block *c, uint64_t to, uint64_t *copied)
{
    unsigned count = (c->hi - c->lo) >> RF_PAGE_SHIFT, n;
    for (unsigned i = 0; i < count; i += n) {
        for (n = 1; i + n < count && c->old[i + n] == c->old[i] + n * RF_PAGE_SIZE;)
            n++;
        int r = memfile_copy(to + i * RF_PAGE_SIZE, c->old[i], n * RF_PAGE_SIZE, copied);
        if (r)
            return r;
    }
    return 0;
}

/* Someone else still sees the frame: take a copy of it and of a few around it. */
static int cow_copy(struct mm *mm, struct vma *v, uint64_t page)
{
    struct cow_block c;
    struct frame_run run = {.flags = FRAME_PRESENT};
    cow_block_find(mm, v, page, &c);
    uint64_t wanted = c.old[(page - c.lo) >> RF_PAGE_SHIFT], first = c.lo;
    int r = alloc_around(mm, page, &c.lo, &c.hi, &run.offset);
    if (r)
        return r;
    if (c.lo != first)
        c.old[0] = wanted;
    uint64_t size = c.hi - c.lo, copied = 0;
    if (cow_block_copy(&c, run.offset, &copied)) {
        memfile_put(run.offset, size);
        return -ENOMEM;
    }
    /* The entries exist, so this cannot fail. */
    (void)frames_fill(&mm->frames, c.lo, run.offset, size, FRAME_PRESENT);
    run.va = c.lo;
    run.size = size;
    r = fault_map_frames(mm, v, &run, /*commit=*/copied == size);
    (void)mm->platform->ops->as_flush(mm->as);
    for (unsigned i = 0; i < size >> RF_PAGE_SHIFT; i++)
        memfile_put(c.old[i], RF_PAGE_SIZE);
    return r;
}

/* A frame is there: write to a shared one, or the platform has not (or no longer) mapped it. */
static int fault_private(struct mm *mm, struct vma *v, uint64_t page, uint64_t entry,
                         unsigned access)
{
    if (access == PL_WRITE && entry & FRAME_COW) {
        if (memfile_refs(FRAME_OFFSET(entry)) == 1)
            return cow_reuse(mm, v, page);
        return cow_copy(mm, v, page);
    }
    struct frame_run run;
    uint64_t base = page & ~(MM_CHUNK - 1);
    uint64_t lo = MAX(v->start, base), hi = MIN(v->end, base + MM_CHUNK);
    if (entry & FRAME_MAPPED) { /* lost, or another thread was quicker: little is enough */
        lo = page;
        hi = MIN(hi, page + COW_BLOCK);
    }
    for (uint64_t at = lo; frames_run(&mm->frames, at, hi, FRAME_COW | FRAME_MAPPED, &run);
         at = run.va + run.size)
        if (page >= run.va && page < run.va + run.size)
            return fault_map_frames(mm, v, &run, /*commit=*/false);
    return 0;
}

/* ---- the entry ------------------------------------------------------------------------------- */

/* Grow a stack downwards to page: true if v now covers it. */
static bool grow_stack(struct mm *mm, struct vma *v, uint64_t page)
{
    uint64_t size = v->end - page;
    struct vma *prev = vma_prev(v);
    if (page < MM_MMAP_MIN_ADDR || size > mm->limits.stack)
        return false;
    if (prev && !(prev->flags & VMA_GROWSDOWN) && prev->prot &&
        (prev->end > page || page - prev->end < MM_STACK_GUARD))
        return false;
    if (prev && prev->end > page)
        return false;
    if (mm_may_expand(mm, v->start - page, v->prot, v->flags))
        return false;
    /* A mappable's offset would have to go below zero; such stacks are anonymous in practice. */
    if (v->map && v->offset < v->start - page)
        return false;
    vma_resize(mm, v, page, v->end);
    return true;
}

static bool access_allowed(const struct vma *v, unsigned access)
{
    if (access == PL_WRITE)
        return v->prot & PROT_WRITE;
    if (access == PL_EXEC)
        return v->prot & PROT_EXEC;
    return v->prot & (PROT_READ | PROT_WRITE | PROT_EXEC);
}

static int fault_in(struct mm *mm, struct vma *v, uint64_t page, unsigned access)
{
    uint64_t *e = frames_peek(&mm->frames, page);
    if (v->uffd && uffd_wants(v, page, e ? *e : 0, access))
        return 1;
    if (e && *e)
        return fault_private(mm, v, page, *e, access);
    if (vma_is_anon(v))
        return fault_anon(mm, v, page);
    if (access == PL_WRITE && !vma_shared(v)) {
        int r = fault_file_cow(mm, v, page);
        /* Other threads must not go on reading the file's page once this one has been written. */
        (void)mm->platform->ops->as_flush(mm->as);
        return r;
    }
    return fault_file(mm, v, page, access);
}

int fault_locked(struct mm *mm, uint64_t addr, unsigned access, bool forced)
{
    uint64_t page = page_down(addr);
    if (addr >= mm->platform->va_end)
        return -EFAULT;
    struct vma *v = vma_find(mm, addr);
    if (!v) {
        v = vma_above(mm, addr);
        if (!v || !(v->flags & VMA_GROWSDOWN) || !grow_stack(mm, v, page))
            return -EFAULT;
    }
    if (v->flags & VMA_GUARD)
        return -EFAULT;
    if (!forced && !access_allowed(v, access))
        return -EACCES;
    return fault_in(mm, v, page, access);
}

int mm_fault(struct mm *mm, uint64_t addr, unsigned access)
{
    rwlock_write(&mm->lock);
    int r = fault_locked(mm, addr, access, /*forced=*/false);
    rwlock_write_release(&mm->lock);
    if (r < 0)
        log_debug("mm: fault at %#lx, access %u: %d", addr, access, r);
    return r;
}

void fault_populate_lazy(struct mm *mm, struct vma *v, uint64_t lo, uint64_t hi)
{
    struct frame_run run;
    if (v->flags & VMA_GUARD)
        return;
    for (uint64_t at = lo; frames_run(&mm->frames, at, hi, FRAME_COW, &run); at = run.va + run.size)
        if (fault_map_frames(mm, v, &run, /*commit=*/false))
            return;
    if (v->map && v->prot && !v->uffd)
        (void)map_file_range(mm, v, lo, hi,
                             PL_READ | (vma_shared(v) ? v->prot & PROT_WRITE : 0),
                             /*host_only=*/true);
}

/* The data segment of a library: nearly every page will be written within the next milliseconds. */
static void copy_ahead(struct mm *mm, struct vma *v, uint64_t lo, uint64_t hi)
{
    struct mm_backing b;
    if (vma_backing(v, lo, PL_READ, &b) || b.fd == memfile_fd())
        return;
    for (uint64_t at = lo; at < hi; at += RF_PAGE_SIZE) {
        uint64_t *e = frames_peek(&mm->frames, at);
        if (!(e && *e) && fault_file_cow(mm, v, at))
            return;
    }
}

void fault_ahead(struct mm *mm, struct vma *v, uint64_t lo, uint64_t hi, bool program)
{
    bool data = v->prot & PROT_WRITE && !vma_shared(v);
    if (v->map && program && data && hi - lo <= AHEAD_DATA)
        copy_ahead(mm, v, lo, hi);
    if (vma_is_anon(v) && data && !v->uffd && hi - lo <= AHEAD_ANON && memfile_chunk_max() >= AHEAD_ANON &&
        frames_next(&mm->frames, lo, hi) == hi)
        (void)fault_anon(mm, v, hi - RF_PAGE_SIZE);
    else
        fault_populate_lazy(mm, v, lo, hi);
}

static int populate_present(struct mm *mm, uint64_t lo, uint64_t hi, bool write)
{
    for (uint64_t at = lo, next; at < hi; at = next) {
        struct vma *v = vma_find(mm, at);
        uint64_t *e = frames_peek(&mm->frames, at);
        next = at + RF_PAGE_SIZE;
        if (!v)
            return -ENOMEM;
        if (v->flags & VMA_GUARD)
            return -EFAULT;
        bool w = write && v->prot & PROT_WRITE;
        if (e && *e && !(w && *e & FRAME_COW))
            continue;
        if (v->map && !(w && !vma_shared(v)) && !v->uffd) {
            int r = map_file_range(mm, v, at, MIN(hi, v->end), w ? PL_WRITE : PL_READ, false);
            if (r)
                return r;
            next = MIN(hi, v->end);
            continue;
        }
        int r = fault_locked(mm, at, w ? PL_WRITE : PL_READ, /*forced=*/false);
        if (r)
            return r;
    }
    return 0;
}

int fault_populate(struct mm *mm, uint64_t lo, uint64_t hi, bool write)
{
    struct frame_run run;
    int r = populate_present(mm, lo, hi, write);
    for (uint64_t at = lo; frames_run(&mm->frames, at, hi, 0, &run); at = run.va + run.size)
        memfile_commit(run.offset, run.size);
    return r;
}
