/* The memory file: one sparse memfd that holds every anonymous and tmpfs page of the sandbox.
 *
 * A page is free (count 0, a hole in the file) or counted. Free space is kept as extents in two
 * trees, by offset for merging and by size for best fit, so that low offsets are reused first and
 * the untouched end of the file stays one piece. Counts live in a sparse array beside the file.
 *
 * Pages that reach zero are punched out before their extent goes back into the trees, so whoever
 * gets them next reads zeros, and the host has its memory back at once. */
#include "mm_priv.h"

#include "base/host.h"
#include "base/log.h"
#include "base/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define MEMFILE_SIZE (1ull << 40)

struct extent {
    struct tree_node by_offset, by_size; /* lock: g_mf.lock */
    uint64_t offset, size;               /* lock: g_mf.lock */
};

static struct {
    int fd;         /* const after init */
    uint32_t *refs; /* const after init; entries atomic */
    struct lock lock;
    struct tree by_offset, by_size; /* lock: lock */
    uint64_t allocated;             /* lock: lock */
    uint64_t limit;                 /* atomic; 0 = none */
    uint64_t host_total;            /* const after init */
} g_mf = {.fd = -1};

char *g_memfile_base; /* const after init */

static int by_offset_cmp(const struct tree_node *a, const struct tree_node *b)
{
    uint64_t x = tree_entry(a, struct extent, by_offset)->offset;
    uint64_t y = tree_entry(b, struct extent, by_offset)->offset;
    return x < y ? -1 : x > y;
}

static int by_size_cmp(const struct tree_node *a, const struct tree_node *b)
{
    const struct extent *x = tree_entry(a, struct extent, by_size);
    const struct extent *y = tree_entry(b, struct extent, by_size);
    if (x->size != y->size)
        return x->size < y->size ? -1 : 1;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static int by_offset_key(const void *key, const struct tree_node *n)
{
    uint64_t x = *(const uint64_t *)key, y = tree_entry(n, struct extent, by_offset)->offset;
    return x < y ? -1 : x > y;
}

static int by_size_key(const void *key, const struct tree_node *n)
{
    uint64_t x = *(const uint64_t *)key, y = tree_entry(n, struct extent, by_size)->size;
    return x <= y ? -1 : 1;
}

static void extent_link(struct extent *e)
{
    tree_insert(&g_mf.by_offset, &e->by_offset, by_offset_cmp);
    tree_insert(&g_mf.by_size, &e->by_size, by_size_cmp);
}

static void extent_unlink(struct extent *e)
{
    tree_erase(&g_mf.by_offset, &e->by_offset);
    tree_erase(&g_mf.by_size, &e->by_size);
}

/* Join offset's extent with a free neighbour that it touches; the neighbour is unlinked. */
static void extent_absorb(uint64_t *offset, uint64_t *size, struct extent *e)
{
    extent_unlink(e);
    if (e->offset < *offset)
        *offset = e->offset;
    *size += e->size;
}

/* Give a hole back. Without memory for the bookkeeping its offsets are lost, which only costs a
 * piece of the 1 TiB of numbers: the host memory has already been returned. */
static void extent_free_locked(uint64_t offset, uint64_t size)
{
    struct tree_node *n = tree_lower_bound(&g_mf.by_offset, &offset, by_offset_key);
    struct tree_node *p = n ? tree_prev(n) : tree_last(&g_mf.by_offset);
    struct extent *next = n ? tree_entry(n, struct extent, by_offset) : NULL;
    struct extent *prev = p ? tree_entry(p, struct extent, by_offset) : NULL;
    struct extent *use = NULL;

    if (prev && prev->offset + prev->size == offset) {
        extent_absorb(&offset, &size, prev);
        use = prev;
    }
    if (next && offset + size == next->offset) {
        extent_absorb(&offset, &size, next);
        if (use)
            free(next);
        else
            use = next;
    }
    if (!use && !(use = malloc(sizeof(*use))))
        return;
    use->offset = offset;
    use->size = size;
    extent_link(use);
}

int memfile_init(void)
{
    int fd = host_memfd_create("ringfence-memory", MFD_CLOEXEC | MFD_EXEC);
    if (fd == -EINVAL) /* before Linux 6.3, where memfds were executable without asking */
        fd = host_memfd_create("ringfence-memory", MFD_CLOEXEC);
    if (fd < 0)
        return fd;
    void *base, *refs;
    int r = host_ftruncate(fd, MEMFILE_SIZE);
    if (!r)
        r = host_mmap(NULL, MEMFILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0,
                      &base);
    if (!r)
        r = host_mmap(NULL, (MEMFILE_SIZE >> RF_PAGE_SHIFT) * sizeof(uint32_t),
                      PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0,
                      &refs);
    if (r) {
        host_close(fd);
        return r;
    }
    lock_init(&g_mf.lock, LR_MEMFILE);
    g_mf.fd = fd;
    g_memfile_base = base;
    g_mf.refs = refs;
    g_mf.host_total = host_memory_total();
    /* The first page is never given out: offset 0 in a table means "no frame". */
    extent_free_locked(RF_PAGE_SIZE, MEMFILE_SIZE - RF_PAGE_SIZE);
    return 0;
}

int memfile_fd(void)
{
    return g_mf.fd;
}

void *memfile_base(void)
{
    return g_memfile_base;
}

uint64_t memfile_size(void)
{
    return MEMFILE_SIZE;
}

static uint64_t memfile_committed(void)
{
    struct stat st;
    if (host_fstat(g_mf.fd, &st) < 0)
        return 0;
    return (uint64_t)st.st_blocks * 512;
}

uint64_t memfile_used(void)
{
    return memfile_committed();
}

void memfile_set_limit(uint64_t bytes)
{
    __atomic_store_n(&g_mf.limit, bytes, __ATOMIC_RELAXED);
}

uint64_t memfile_limit(void)
{
    return __atomic_load_n(&g_mf.limit, __ATOMIC_RELAXED);
}

uint64_t memfile_total(void)
{
    return __atomic_load_n(&g_mf.limit, __ATOMIC_RELAXED) ?: g_mf.host_total;
}

uint64_t memfile_chunk_max(void)
{
    uint64_t limit = __atomic_load_n(&g_mf.limit, __ATOMIC_RELAXED);
    uint64_t used = __atomic_load_n(&g_mf.allocated, __ATOMIC_RELAXED);
    if (!limit)
        return UINT64_MAX;
    uint64_t part = used < limit ? (limit - used) / 64 : 0;
    return part < RF_PAGE_SIZE ? RF_PAGE_SIZE : 1ull << (63 - __builtin_clzll(part));
}

/* What is given out counts, not what is touched: a guest touches its frames without asking us. */
static bool memfile_over_limit(uint64_t size)
{
    uint64_t limit = __atomic_load_n(&g_mf.limit, __ATOMIC_RELAXED);
    return limit && __atomic_load_n(&g_mf.allocated, __ATOMIC_RELAXED) + size > limit;
}

static int extent_take_locked(uint64_t size, uint64_t *offset)
{
    struct tree_node *n = tree_lower_bound(&g_mf.by_size, &size, by_size_key);
    if (!n)
        return -ENOMEM;
    struct extent *e = tree_entry(n, struct extent, by_size);
    *offset = e->offset;
    extent_unlink(e);
    e->offset += size;
    e->size -= size;
    if (e->size)
        extent_link(e);
    else
        free(e);
    __atomic_fetch_add(&g_mf.allocated, size, __ATOMIC_RELAXED);
    return 0;
}

int memfile_alloc(uint64_t size, uint64_t *offset)
{
    if (!size || memfile_over_limit(size))
        return -ENOMEM;
    lock_acquire(&g_mf.lock);
    int r = extent_take_locked(size, offset);
    lock_release(&g_mf.lock);
    if (r)
        return r;
    uint32_t *refs = &g_mf.refs[*offset >> RF_PAGE_SHIFT];
    for (uint64_t i = 0; i < size >> RF_PAGE_SHIFT; i++)
        __atomic_store_n(&refs[i], 1, __ATOMIC_RELAXED);
    return 0;
}

void memfile_get(uint64_t offset, uint64_t size)
{
    uint32_t *refs = &g_mf.refs[offset >> RF_PAGE_SHIFT];
    for (uint64_t i = 0; i < size >> RF_PAGE_SHIFT; i++) {
        uint32_t old = __atomic_fetch_add(&refs[i], 1, __ATOMIC_RELAXED);
        bug_on(old == 0 || old == UINT32_MAX);
    }
}

void memfile_punch(uint64_t offset, uint64_t size)
{
    /* A failed punch would let the next owner read the last one's data. */
    if (host_fallocate(g_mf.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, size) < 0)
        memset(memfile_ptr(offset), 0, size);
}

void memfile_commit(uint64_t offset, uint64_t size)
{
    /* Best effort. fallocate would leave pages that SEEK_DATA does not count. */
    (void)host_madvise(frame_ptr(offset), size, MADV_POPULATE_WRITE);
}

/* A run whose counts have all reached zero: nobody can name these pages any more. */
static void memfile_release(uint64_t offset, uint64_t size)
{
    memfile_punch(offset, size);
    lock_acquire(&g_mf.lock);
    __atomic_fetch_sub(&g_mf.allocated, size, __ATOMIC_RELAXED);
    extent_free_locked(offset, size);
    lock_release(&g_mf.lock);
}

void memfile_put(uint64_t offset, uint64_t size)
{
    uint64_t run = 0;
    for (uint64_t off = offset; off < offset + size; off += RF_PAGE_SIZE) {
        uint32_t *ref = &g_mf.refs[off >> RF_PAGE_SHIFT];
        uint32_t old = __atomic_fetch_sub(ref, 1, __ATOMIC_ACQ_REL);
        bug_on(old == 0);
        if (old == 1) {
            run += RF_PAGE_SIZE;
        } else if (run) {
            memfile_release(off - run, run);
            run = 0;
        }
    }
    if (run)
        memfile_release(offset + size - run, run);
}

uint32_t memfile_refs(uint64_t offset)
{
    return __atomic_load_n(&g_mf.refs[offset >> RF_PAGE_SHIFT], __ATOMIC_ACQUIRE);
}

uint64_t memfile_next_data(uint64_t offset, uint64_t end)
{
    int64_t r = host_lseek(g_mf.fd, offset, SEEK_DATA);
    return r < 0 || (uint64_t)r > end ? end : (uint64_t)r;
}

/* SEEK_HOLE would walk all data up to the next hole, however far away, so data is looked for in
 * pieces: each begins with a committed page and may take a few holes with it. */
uint64_t memfile_next_piece(uint64_t *offset, uint64_t end, uint64_t piece)
{
    *offset = *offset < end ? memfile_next_data(*offset, end) : end;
    return MIN(piece, end - *offset);
}

int memfile_copy(uint64_t dst, uint64_t src, uint64_t size, uint64_t *copied)
{
    /* Reading a hole through a mapping would commit a page on both sides. */
    uint64_t end = src + size;
    for (uint64_t off = src, n; (n = memfile_next_piece(&off, end, 4 * RF_PAGE_SIZE)); off += n) {
        if (guarded_copy(frame_ptr(dst + (off - src)), frame_ptr(off), n))
            return -ENOMEM;
        *copied += n;
    }
    return 0;
}

uint64_t memfile_resident(uint64_t offset, uint64_t size)
{
    uint64_t piece = size <= 64 * RF_PAGE_SIZE ? RF_PAGE_SIZE : 16 * RF_PAGE_SIZE, sum = 0;
    for (uint64_t end = offset + size, n; (n = memfile_next_piece(&offset, end, piece)); offset += n)
        sum += n;
    return sum;
}
