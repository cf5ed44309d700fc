/* Frame tables: which frame of the memory file holds each private page of an address space.
 *
 * A radix tree of four levels of 512 entries over 48-bit page numbers, as the processor's own. An
 * entry is a frame offset and flags; zero is "none". Nodes appear when an entry is made and go when
 * their last entry is cleared, so a sparse space costs what it uses. The caller locks. */
#include "mm_priv.h"

#include <stdlib.h>
#include <string.h>

#define FANOUT     512u
#define LEAF_SPAN  (RF_PAGE_SIZE * FANOUT)
#define TOP_LEVEL  3
#define VA_SPACE   (1ull << 48)

static unsigned slot_of(uint64_t va, int level)
{
    return (va >> (RF_PAGE_SHIFT + 9 * level)) & (FANOUT - 1);
}

static uint64_t span_of(int level) /* bytes that one entry of a node at level covers */
{
    return RF_PAGE_SIZE << (9 * level);
}

uint64_t *frames_peek(const struct frame_table *t, uint64_t va)
{
    void **node = t->root;
    for (int level = TOP_LEVEL; node && level > 0; level--)
        node = node[slot_of(va, level)];
    return node ? (uint64_t *)node + slot_of(va, 0) : NULL;
}

uint64_t *frames_make(struct frame_table *t, uint64_t va)
{
    void **at = (void **)&t->root;
    for (int level = TOP_LEVEL;; level--) {
        if (!*at && !(*at = calloc(FANOUT, sizeof(uint64_t))))
            return NULL;
        if (level == 0)
            return (uint64_t *)*at + slot_of(va, 0);
        at = (void **)*at + slot_of(va, level);
    }
}

static bool node_empty(void *const *node)
{
    for (unsigned i = 0; i < FANOUT; i++)
        if (node[i])
            return false;
    return true;
}

/* Free the empty nodes below *at within [va, end); base is the address that *at begins at. */
static void prune(void **at, int level, uint64_t base, uint64_t va, uint64_t end)
{
    void **node = *at;
    if (level > 0) {
        uint64_t span = span_of(level);
        unsigned first = va > base ? (va - base) / span : 0;
        for (unsigned i = first; i < FANOUT && base + i * span < end; i++)
            if (node[i])
                prune((void **)&node[i], level - 1, base + i * span, va, end);
    }
    if (node_empty(node)) {
        free(node);
        *at = NULL;
    }
}

void frames_prune(struct frame_table *t, uint64_t va, uint64_t end)
{
    if (t->root)
        prune((void **)&t->root, TOP_LEVEL, 0, va, end);
}

/* The first address >= va whose leaf exists (leaf in *leaf), or end. */
static uint64_t next_leaf(const struct frame_table *t, uint64_t va, uint64_t end, uint64_t **leaf)
{
    while (va < end) {
        void **node = t->root;
        int level = TOP_LEVEL;
        for (; node && level > 0; level--)
            node = node[slot_of(va, level)];
        if (node) {
            *leaf = (uint64_t *)node;
            return va;
        }
        uint64_t span = span_of(level + 1); /* nothing under this entry: step over it */
        va = (va & ~(span - 1)) + span;
    }
    return end;
}

uint64_t frames_next(const struct frame_table *t, uint64_t va, uint64_t end)
{
    uint64_t *leaf;
    while ((va = next_leaf(t, va, end, &leaf)) < end) {
        for (unsigned i = slot_of(va, 0); i < FANOUT && va < end; i++, va += RF_PAGE_SIZE)
            if (leaf[i])
                return va;
    }
    return end;
}

bool frames_run(const struct frame_table *t, uint64_t va, uint64_t end, uint64_t flag_mask,
                struct frame_run *out)
{
    va = frames_next(t, va, end);
    if (va >= end)
        return false;
    uint64_t e = *frames_peek(t, va);
    uint64_t keep = RF_PAGE_MASK | flag_mask;
    *out = (struct frame_run){.va = va, .offset = FRAME_OFFSET(e), .flags = e & flag_mask};
    uint64_t *p = NULL;
    for (uint64_t at = va; at < end; at += RF_PAGE_SIZE, p++) {
        if (at == va || !slot_of(at, 0))
            p = frames_peek(t, at);
        if (!p || !*p || (*p & keep) != (out->flags | (out->offset + (at - va))))
            break;
        out->size += RF_PAGE_SIZE;
    }
    return true;
}

bool frames_span(const struct frame_table *t, uint64_t va, uint64_t end, uint64_t mask,
                 uint64_t want, uint64_t *start, uint64_t *size)
{
    struct frame_run run;
    *size = 0;
    for (; frames_run(t, va, end, mask, &run); va = run.va + run.size) {
        if (*size && (run.flags != want || run.va != *start + *size))
            return true;
        if (run.flags != want)
            continue;
        if (!*size)
            *start = run.va;
        *size += run.size;
    }
    return *size;
}

int frames_fill(struct frame_table *t, uint64_t va, uint64_t offset, uint64_t size, uint64_t flags)
{
    /* Make every leaf first, so that nothing has to be undone. */
    for (uint64_t at = va; at < va + size; at = (at & ~(LEAF_SPAN - 1)) + LEAF_SPAN) {
        if (!frames_make(t, at)) {
            frames_prune(t, va, va + size);
            return -ENOMEM;
        }
    }
    uint64_t *p = NULL;
    for (uint64_t i = 0; i < size; i += RF_PAGE_SIZE) {
        p = i && slot_of(va + i, 0) ? p + 1 : frames_peek(t, va + i);
        t->count += !*p;
        *p = (offset + i) | flags;
    }
    return 0;
}

void frames_clear(struct frame_table *t, uint64_t va, uint64_t end)
{
    struct frame_run run;
    bool any = false;
    for (uint64_t at = va; frames_run(t, at, end, 0, &run); at = run.va + run.size) {
        uint64_t *p = NULL;
        for (uint64_t i = 0; i < run.size; i += RF_PAGE_SIZE) {
            p = i && slot_of(run.va + i, 0) ? p + 1 : frames_peek(t, run.va + i);
            *p = 0;
        }
        t->count -= run.size >> RF_PAGE_SHIFT;
        memfile_put(run.offset, run.size);
        any = true;
    }
    if (any)
        frames_prune(t, va, end);
}

void frames_change(struct frame_table *t, uint64_t va, uint64_t end, uint64_t set, uint64_t clear)
{
    uint64_t *leaf;
    while ((va = next_leaf(t, va, end, &leaf)) < end)
        for (unsigned i = slot_of(va, 0); i < FANOUT && va < end; i++, va += RF_PAGE_SIZE)
            if (leaf[i])
                leaf[i] = (leaf[i] & ~clear) | set;
}

static int fork_leaf(struct frame_table *src, uint64_t *from, struct frame_table *dst, uint64_t va,
                     uint64_t end, bool *tightened)
{
    uint64_t *to = frames_make(dst, va);
    if (!to)
        return -ENOMEM;
    to -= slot_of(va, 0);
    for (unsigned i = slot_of(va, 0); i < FANOUT && va < end; i++, va += RF_PAGE_SIZE) {
        if (!from[i])
            continue;
        *tightened |= !(from[i] & FRAME_COW);
        from[i] |= FRAME_COW;
        memfile_get(FRAME_OFFSET(from[i]), RF_PAGE_SIZE);
        dst->count += !to[i];
        to[i] = from[i] & ~(uint64_t)(FRAME_MAPPED | FRAME_UFFD_WP);
    }
    return 0;
}

int frames_fork(struct frame_table *src, struct frame_table *dst, uint64_t va, uint64_t end,
                bool *tightened)
{
    uint64_t *leaf;
    while ((va = next_leaf(src, va, end, &leaf)) < end) {
        int r = fork_leaf(src, leaf, dst, va, end, tightened);
        if (r)
            return r;
        va = (va & ~(LEAF_SPAN - 1)) + LEAF_SPAN;
    }
    return 0;
}

int frames_move(struct frame_table *t, uint64_t from, uint64_t to, uint64_t size)
{
    struct frame_run run;
    uint64_t end = from + size;
    for (uint64_t at = from; frames_run(t, at, end, 0, &run); at = run.va + run.size)
        for (uint64_t i = 0; i < run.size; i += RF_PAGE_SIZE)
            if (!frames_make(t, run.va - from + to + i)) {
                frames_prune(t, to, to + size);
                return -ENOMEM;
            }
    /* Disjoint ranges: mremap has unmapped the destination. */
    for (uint64_t at = frames_next(t, from, end); at < end; at = frames_next(t, at, end)) {
        uint64_t *p = frames_peek(t, at);
        *frames_peek(t, at - from + to) = *p & ~FRAME_MAPPED;
        *p = 0;
    }
    frames_prune(t, from, end);
    return 0;
}
