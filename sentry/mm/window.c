/* The window: a region of our address space in which pieces of donated host files are mapped.
 *
 * A piece is 1 MiB of one descriptor, aligned, mapped shared at a slot of the window. Pieces are
 * made on demand, kept in a tree per mappable, pinned while somebody copies through them, and
 * given up least-recently-used first. Platforms that need our address of what they map (needs_hva)
 * make a piece permanent: it goes with the mappable's last use.
 *
 * The bytes behind a piece can vanish (truncation by others): touch them with guarded_* only. */
#include "mm_priv.h"

#include "base/host.h"
#include "base/log.h"

#include <stdlib.h>

#define WINDOW_SIZE   (64ull << 30)
#define PIECE_SIZE    (1ull << 20)
#define PIECE_COUNT   (WINDOW_SIZE / PIECE_SIZE)
#define PIECES_CACHED 4096 /* beyond this many, an unpinned piece goes for each new one */

struct window_piece {
    struct tree_node node;  /* lock: LR_WINDOW; owner->window, by fd and index */
    struct list_node lru;   /* lock: LR_WINDOW; g_window.lru unless held for a platform */
    struct mappable *owner; /* const */
    int fd;                 /* const */
    uint64_t index;         /* const; offset / PIECE_SIZE */
    void *at;               /* const */
    unsigned slot;          /* const */
    unsigned pins;          /* atomic; raised under LR_WINDOW */
    bool writable, hva;     /* lock: LR_WINDOW */
    bool orphan;            /* lock: LR_WINDOW; dropped while pinned: goes with the last pin */
};

static struct {
    struct lock lock;
    char *base;         /* const after init */
    struct list lru;    /* lock: lock; front = oldest */
    unsigned count;     /* lock: lock; pieces that are mapped */
    unsigned next_slot; /* lock: lock; slots never used yet begin here */
    unsigned free_count;
    uint32_t *free_slots; /* lock: lock; stack of free_count slots given back */
} g_window;

int window_init(void)
{
    void *p, *slots;
    int r = host_mmap(NULL, WINDOW_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
                      0, &p);
    if (!r)
        r = host_mmap(NULL, PIECE_COUNT * sizeof(uint32_t), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0, &slots);
    if (r)
        return r;
    lock_init(&g_window.lock, LR_WINDOW);
    list_init(&g_window.lru);
    g_window.base = p;
    g_window.free_slots = slots;
    return 0;
}

void *window_base(void)
{
    return g_window.base;
}

uint64_t window_size(void)
{
    return WINDOW_SIZE;
}

static int piece_compare(int fd, uint64_t index, const struct window_piece *p)
{
    if (fd != p->fd)
        return fd < p->fd ? -1 : 1;
    return index < p->index ? -1 : index > p->index;
}

static int piece_cmp(const struct tree_node *a, const struct tree_node *b)
{
    const struct window_piece *p = tree_entry(a, struct window_piece, node);
    return piece_compare(p->fd, p->index, tree_entry(b, struct window_piece, node));
}

struct piece_key {
    int fd;
    uint64_t index;
};

static int piece_key_cmp(const void *key, const struct tree_node *n)
{
    const struct piece_key *k = key;
    return piece_compare(k->fd, k->index, tree_entry(n, struct window_piece, node));
}

/* Put the slot back to nothing; the reservation stays ours. */
static void piece_unmap_locked(struct window_piece *p)
{
    void *out;
    int r = host_mmap(p->at, PIECE_SIZE, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0, &out);
    g_window.count--;
    if (!r) /* else the slot keeps its mapping and is lost */
        g_window.free_slots[g_window.free_count++] = p->slot;
    free(p);
}

static void piece_detach_locked(struct window_piece *p)
{
    tree_erase(&p->owner->window, &p->node);
    list_del(&p->lru);
}

static bool evict_one_locked(void)
{
    struct window_piece *p;
    list_for_each(p, &g_window.lru, lru)
    {
        if (__atomic_load_n(&p->pins, __ATOMIC_ACQUIRE))
            continue;
        piece_detach_locked(p);
        piece_unmap_locked(p);
        return true;
    }
    return false;
}

static int slot_take_locked(unsigned *slot)
{
    if (g_window.count >= PIECES_CACHED)
        evict_one_locked();
    if (g_window.free_count) {
        *slot = g_window.free_slots[--g_window.free_count];
        return 0;
    }
    if (g_window.next_slot == PIECE_COUNT)
        return -ENOMEM;
    *slot = g_window.next_slot++;
    return 0;
}

static int piece_map(struct window_piece *p, bool writable)
{
    void *out;
    return host_mmap(p->at, PIECE_SIZE, PROT_READ | (writable ? PROT_WRITE : 0),
                     MAP_SHARED | MAP_FIXED | MAP_NORESERVE, p->fd, p->index * PIECE_SIZE, &out);
}

static int piece_new_locked(struct mappable *m, const struct piece_key *k, bool writable,
                            struct window_piece **out)
{
    struct window_piece *p = calloc(1, sizeof(*p));
    if (!p)
        return -ENOMEM;
    int r = slot_take_locked(&p->slot);
    if (r) {
        free(p);
        return r;
    }
    p->owner = m;
    p->fd = k->fd;
    p->index = k->index;
    p->at = g_window.base + p->slot * PIECE_SIZE;
    p->writable = writable;
    r = piece_map(p, writable);
    if (r) {
        g_window.free_slots[g_window.free_count++] = p->slot;
        free(p);
        return r;
    }
    g_window.count++;
    list_node_init(&p->lru);
    tree_insert(&m->window, &p->node, piece_cmp);
    *out = p;
    return 0;
}

static int pin_locked(struct mappable *m, const struct piece_key *k, bool writable, bool hva,
                      struct window_piece **out)
{
    struct tree_node *n = tree_find(&m->window, k, piece_key_cmp);
    struct window_piece *p = n ? tree_entry(n, struct window_piece, node) : NULL;
    if (!p) {
        int r = piece_new_locked(m, k, writable, &p);
        if (r)
            return r;
    } else if (writable && !p->writable) {
        int r = piece_map(p, /*writable=*/true);
        if (r)
            return r;
        p->writable = true;
    }
    p->hva |= hva;
    list_del(&p->lru);
    if (!p->hva)
        list_push_back(&g_window.lru, &p->lru);
    __atomic_fetch_add(&p->pins, 1, __ATOMIC_RELAXED);
    *out = p;
    return 0;
}

int window_pin(struct mappable *m, int fd, uint64_t offset, bool writable, bool hva, void **ptr,
               uint64_t *size, struct window_piece **out)
{
    struct piece_key k = {.fd = fd, .index = offset / PIECE_SIZE};
    uint64_t in = offset % PIECE_SIZE;
    lock_acquire(&g_window.lock);
    int r = pin_locked(m, &k, writable, hva, out);
    lock_release(&g_window.lock);
    if (r)
        return r;
    *ptr = (char *)(*out)->at + in;
    *size = PIECE_SIZE - in;
    return 0;
}

void window_unpin(struct window_piece *p)
{
    lock_acquire(&g_window.lock);
    if (__atomic_sub_fetch(&p->pins, 1, __ATOMIC_ACQ_REL) == 0 && p->orphan)
        piece_unmap_locked(p);
    lock_release(&g_window.lock);
}

void mappable_drop_window(struct mappable *m)
{
    lock_acquire(&g_window.lock);
    struct tree_node *n;
    while ((n = tree_first(&m->window))) {
        struct window_piece *p = tree_entry(n, struct window_piece, node);
        piece_detach_locked(p);
        if (p->pins)
            p->orphan = true;
        else
            piece_unmap_locked(p);
    }
    lock_release(&g_window.lock);
}
