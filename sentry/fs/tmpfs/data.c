/* Bytes of tmpfs files: a tree of extents, each a run of pages in the memory file.
 *
 * Writes, truncation and hole punching run under inode->lock (the caller's), so only reads and page
 * faults are concurrent with them: faults find and make frames under mappable.lock; reads hold
 * data_lock so that the frames they copy from are not given back. Taking frames away is: hide them
 * from faults, zap every translation, wait for readers, drop them. */
#include "base/overflow.h"
#include "fs/tmpfs/tmpfs_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define AHEAD_MAX  64u /* pages allocated beyond a growing write */
#define AROUND_MAX 16u /* pages allocated at a fault in a hole */

static struct tmpfs_inode *of_mappable(struct mappable *m)
{
    return container_of(m, struct tmpfs_inode, mappable);
}

/* ---- the extent tree; mappable.lock held ---- */

static int extent_cmp(const struct tree_node *a, const struct tree_node *b)
{
    uint64_t x = tree_entry(a, struct tmpfs_extent, node)->page;
    uint64_t y = tree_entry(b, struct tmpfs_extent, node)->page;
    return x < y ? -1 : x > y;
}

static int extent_key(const void *key, const struct tree_node *n)
{
    uint64_t page = *(const uint64_t *)key;
    const struct tmpfs_extent *e = tree_entry(n, struct tmpfs_extent, node);
    return page < e->page ? -1 : page >= e->page + e->count;
}

/* The extent that holds page, or the next one, or NULL. */
static struct tmpfs_extent *extent_from(struct tmpfs_inode *ti, uint64_t page)
{
    struct tree_node *n = tree_lower_bound(&ti->extents, &page, extent_key);
    return n ? tree_entry(n, struct tmpfs_extent, node) : NULL;
}

static struct tmpfs_extent *extent_at(struct tmpfs_inode *ti, uint64_t page)
{
    struct tmpfs_extent *e = extent_from(ti, page);
    return e && e->page <= page ? e : NULL;
}

static struct tmpfs_extent *extent_before(struct tmpfs_inode *ti, uint64_t page)
{
    return page ? extent_at(ti, page - 1) : NULL;
}

static int pages_charge(struct tmpfs_sb *ts, uint64_t n)
{
    uint64_t now = __atomic_add_fetch(&ts->used_pages, n, __ATOMIC_RELAXED);
    if (!ts->max_pages || now <= ts->max_pages)
        return 0;
    __atomic_sub_fetch(&ts->used_pages, n, __ATOMIC_RELAXED);
    return -ENOSPC;
}

static void pages_uncharge(struct tmpfs_inode *ti, uint64_t n)
{
    struct tmpfs_sb *ts = ti->inode->sb->priv;
    __atomic_sub_fetch(&ts->used_pages, n, __ATOMIC_RELAXED);
}

/* Frames for the hole [page, page+count). */
static int extent_fill(struct tmpfs_inode *ti, uint64_t page, uint64_t count)
{
    uint64_t frame;
    int r = pages_charge(ti->inode->sb->priv, count);
    if (r)
        return r;
    r = memfile_alloc(count * RF_PAGE_SIZE, &frame);
    if (r) {
        pages_uncharge(ti, count);
        return r;
    }
    ti->page_count += count;
    struct tmpfs_extent *e = extent_before(ti, page);
    if (e && e->page + e->count == page && e->frame + e->count * RF_PAGE_SIZE == frame) {
        e->count += count;
        return 0;
    }
    e = malloc(sizeof(*e));
    if (!e) {
        memfile_put(frame, count * RF_PAGE_SIZE);
        pages_uncharge(ti, count);
        ti->page_count -= count;
        return -ENOMEM;
    }
    *e = (struct tmpfs_extent){.page = page, .count = count, .frame = frame};
    tree_insert(&ti->extents, &e->node, extent_cmp);
    return 0;
}

/* Pages from page on, at most max, that are a hole. */
static uint64_t hole_size(struct tmpfs_inode *ti, uint64_t page, uint64_t max)
{
    struct tmpfs_extent *e = extent_from(ti, page);
    return e && e->page - page < max ? e->page - page : max;
}

/* Find or make the frame of page: where it is, and how many pages are contiguous there. */
static int frame_get(struct tmpfs_inode *ti, uint64_t page, uint64_t want, uint64_t *frame,
                     uint64_t *count)
{
    struct tmpfs_extent *e = extent_at(ti, page);
    if (!e) {
        uint64_t room = hole_size(ti, page, want);
        int r = extent_fill(ti, page, room);
        if (r && room > 1)
            r = extent_fill(ti, page, 1); /* the last page of a small filesystem */
        if (r)
            return r;
        e = extent_at(ti, page);
    }
    *frame = e->frame + (page - e->page) * RF_PAGE_SIZE;
    *count = e->count - (page - e->page);
    return 0;
}

/* ---- giving frames back ---- */

struct freed {
    struct tree extents; /* cut out, in order */
    uint64_t pages;
};

/* Split so that page begins an extent. */
static int split_at(struct tmpfs_inode *ti, uint64_t page)
{
    struct tmpfs_extent *e = extent_at(ti, page);
    if (!e || e->page == page)
        return 0;
    struct tmpfs_extent *tail = malloc(sizeof(*tail));
    if (!tail)
        return -ENOMEM;
    uint64_t head = page - e->page;
    *tail = (struct tmpfs_extent){
        .page = page, .count = e->count - head, .frame = e->frame + head * RF_PAGE_SIZE};
    e->count = head;
    tree_insert(&ti->extents, &tail->node, extent_cmp);
    return 0;
}

static int cut_range(struct tmpfs_inode *ti, uint64_t first, uint64_t end, struct freed *out)
{
    LOCK_GUARD(&ti->mappable.lock);
    int r = split_at(ti, first);
    if (!r)
        r = split_at(ti, end);
    if (r)
        return r;
    struct tmpfs_extent *e;
    while ((e = extent_from(ti, first)) && e->page < end) {
        tree_erase(&ti->extents, &e->node);
        ti->page_count -= e->count;
        out->pages += e->count;
        tree_insert(&out->extents, &e->node, extent_cmp);
    }
    return 0;
}

static void freed_drop(struct tmpfs_inode *ti, struct freed *fr)
{
    rwlock_write_nested(&ti->data_lock); /* readers that found these frames are through */
    rwlock_write_release(&ti->data_lock);
    struct tree_node *n;
    while ((n = fr->extents.root)) {
        struct tmpfs_extent *e = tree_entry(n, struct tmpfs_extent, node);
        tree_erase(&fr->extents, n);
        memfile_put(e->frame, e->count * RF_PAGE_SIZE);
        free(e);
    }
    pages_uncharge(ti, fr->pages);
}

/* inode->lock held. */
static int drop_pages(struct tmpfs_inode *ti, uint64_t first, uint64_t end, bool even_private)
{
    struct freed fr = {0};
    int r = cut_range(ti, first, end, &fr);
    uint64_t size = end == UINT64_MAX ? 0 : (end - first) * RF_PAGE_SIZE;
    if (r)
        return r;
    mappable_zap(ti->inode->mappable, first * RF_PAGE_SIZE, size, even_private);
    freed_drop(ti, &fr);
    return 0;
}

/* Zero [from, to) within one page, if it has a frame. */
static void zero_partial(struct tmpfs_inode *ti, uint64_t from, uint64_t to)
{
    lock_acquire(&ti->mappable.lock);
    uint64_t page = from / RF_PAGE_SIZE;
    struct tmpfs_extent *e = from < to ? extent_at(ti, page) : NULL;
    if (e)
        memset((char *)memfile_ptr(e->frame) + (from - e->page * RF_PAGE_SIZE), 0, to - from);
    lock_release(&ti->mappable.lock);
}

static void size_set(struct tmpfs_inode *ti, uint64_t size)
{
    LOCK_GUARD(&ti->mappable.lock);
    __atomic_store_n(&ti->inode->size, size, __ATOMIC_RELEASE);
}

int tmpfs_data_truncate(struct tmpfs_inode *ti, uint64_t size)
{
    uint64_t old = ti->inode->size;
    if (size > INT64_MAX)
        return -EFBIG;
    if ((size < old && (ti->seals & F_SEAL_SHRINK)) || (size > old && (ti->seals & F_SEAL_GROW)))
        return -EPERM;
    size_set(ti, size);
    if (size >= old)
        return 0;
    uint64_t first = (size + RF_PAGE_SIZE - 1) / RF_PAGE_SIZE;
    int r = drop_pages(ti, first, UINT64_MAX, /*even_private=*/true);
    if (r)
        size_set(ti, old);
    else
        zero_partial(ti, size, MIN(first * RF_PAGE_SIZE, page_down(size) + RF_PAGE_SIZE));
    return r;
}

void tmpfs_data_free(struct tmpfs_inode *ti)
{
    struct tree_node *n;
    uint64_t pages = 0;
    mappable_drop_window(&ti->mappable);
    while ((n = ti->extents.root)) {
        struct tmpfs_extent *e = tree_entry(n, struct tmpfs_extent, node);
        tree_erase(&ti->extents, n);
        memfile_put(e->frame, e->count * RF_PAGE_SIZE);
        pages += e->count;
        free(e);
    }
    pages_uncharge(ti, pages);
}

/* ---- mapping ---- */

static int backing(struct mappable *m, uint64_t offset, unsigned access, struct mm_backing *out)
{
    struct tmpfs_inode *ti = of_mappable(m);
    LOCK_GUARD(&m->lock);
    uint64_t size = ti->inode->size, frame, count;
    if (offset >= size)
        return -ENXIO;
    uint64_t page = offset / RF_PAGE_SIZE;
    uint64_t end = (size + RF_PAGE_SIZE - 1) / RF_PAGE_SIZE;
    int r = frame_get(ti, page, MIN(end - page, (uint64_t)AROUND_MAX), &frame, &count);
    if (r)
        return r;
    *out = (struct mm_backing){
        .fd = memfile_fd(),
        .offset = frame,
        .size = MIN(count, end - page) * RF_PAGE_SIZE,
        .writable = true,
    };
    return 0;
}

static int writable_get(struct mappable *m)
{
    struct tmpfs_inode *ti = of_mappable(m);
    LOCK_GUARD(&m->lock);
    if (ti->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
        return -EPERM;
    ti->writable_maps++;
    return 0;
}

static void writable_put(struct mappable *m)
{
    LOCK_GUARD(&m->lock);
    of_mappable(m)->writable_maps--;
}

const struct mappable_ops g_tmpfs_mappable_ops = {
    .backing = backing,
    .writable_get = writable_get,
    .writable_put = writable_put,
};

static int mmap_op(struct file *f, unsigned prot, unsigned flags, struct mappable **m)
{
    int r = file_mmap_check(f, prot, flags);
    if (r)
        return r;
    struct tmpfs_inode *ti = tmpfs_of(f->data);
    bool shared_write = (flags & MAP_TYPE) != MAP_PRIVATE && (prot & PROT_WRITE);
    if (shared_write && (ti->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)))
        return -EPERM;
    *m = f->inode->mappable;
    file_accessed(f);
    return 0;
}

/* ---- reading and writing ---- */

/* What is at pos: a frame (its address) or a hole (NULL), and for how many bytes, at most max. */
static const char *data_at(struct tmpfs_inode *ti, uint64_t pos, uint64_t max, uint64_t *size)
{
    LOCK_GUARD(&ti->mappable.lock);
    uint64_t page = pos / RF_PAGE_SIZE;
    struct tmpfs_extent *e = extent_from(ti, page);
    if (!e || e->page > page) {
        *size = e ? MIN(max, e->page * RF_PAGE_SIZE - pos) : max;
        return NULL;
    }
    uint64_t in = pos - e->page * RF_PAGE_SIZE;
    *size = MIN(max, e->count * RF_PAGE_SIZE - in);
    return (char *)memfile_ptr(e->frame) + in;
}

static int64_t read_op(struct file *f, struct uio *u, int64_t pos)
{
    struct tmpfs_inode *ti = tmpfs_of(f->data);
    uint64_t done = 0;
    rwlock_read(&ti->data_lock);
    for (;;) {
        uint64_t size = __atomic_load_n(&ti->inode->size, __ATOMIC_ACQUIRE), n;
        if (!u->remaining || (uint64_t)pos + done >= size)
            break;
        uint64_t max = MIN(u->remaining, size - pos - done);
        const char *src = data_at(ti, pos + done, max, &n);
        size_t moved = src ? uio_to_user(u, src, n) : uio_zero_user(u, n);
        done += moved;
        if (moved < n)
            break;
    }
    rwlock_read_release(&ti->data_lock);
    if (done)
        file_accessed(f);
    return !done && u->remaining && (uint64_t)pos < ti->inode->size ? -EFAULT : (int64_t)done;
}

/* Pages to allocate ahead of a write that grows the file: nothing is committed until touched. */
static uint64_t pages_ahead(struct tmpfs_inode *ti, uint64_t pos)
{
    struct tmpfs_sb *ts = ti->inode->sb->priv;
    if (ts->max_pages || pos != ti->inode->size || pos < 16 * RF_PAGE_SIZE)
        return 0;
    return MIN(pos / RF_PAGE_SIZE / 8, (uint64_t)AHEAD_MAX);
}

static int64_t write_some(struct tmpfs_inode *ti, struct uio *u, uint64_t pos)
{
    uint64_t frame, count, page = pos / RF_PAGE_SIZE, in = pos % RF_PAGE_SIZE;
    uint64_t want = (in + u->remaining + RF_PAGE_SIZE - 1) / RF_PAGE_SIZE + pages_ahead(ti, pos);
    lock_acquire(&ti->mappable.lock);
    int r = frame_get(ti, page, want, &frame, &count);
    lock_release(&ti->mappable.lock);
    if (r)
        return r;
    uint64_t n = MIN(u->remaining, count * RF_PAGE_SIZE - in);
    size_t moved = uio_from_user(u, (char *)memfile_ptr(frame) + in, n);
    if (moved && pos + moved > ti->inode->size)
        size_set(ti, pos + moved);
    return moved < n ? (moved ? (int64_t)moved : -EFAULT) : (int64_t)n;
}

static int64_t write_pages(struct tmpfs_inode *ti, struct uio *u, int64_t pos)
{
    int64_t done = 0, r = 0;
    while (u->remaining) {
        uint64_t before = u->remaining;
        r = write_some(ti, u, pos + done);
        if (r < 0)
            break;
        done += r;
        if (before - u->remaining != (uint64_t)r)
            break;
    }
    return done ? done : r;
}

static int64_t write_op(struct file *f, struct uio *u, int64_t pos)
{
    struct inode *i = f->data;
    struct tmpfs_inode *ti = tmpfs_of(i);
    uint64_t held_back = 0;
    if (ti->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
        return -EPERM;
    if ((ti->seals & F_SEAL_GROW) && pos + u->remaining > i->size) {
        uint64_t whole = i->size & RF_PAGE_MASK; /* refused page by page */
        if ((uint64_t)pos >= whole)
            return -EPERM;
        held_back = u->remaining - (whole - pos);
        u->remaining -= held_back;
    }
    int64_t done = write_pages(ti, u, pos);
    u->remaining += held_back;
    if (done > 0)
        inode_touch(i, IATTR_MTIME | IATTR_CTIME);
    return done;
}

static int64_t end_op(struct file *f)
{
    return f->data->size;
}

static int fsync_op(struct file *f, bool data_only)
{
    return 0;
}

/* ---- holes ---- */

static int64_t seek_extent(struct tmpfs_inode *ti, uint64_t off, int whence)
{
    LOCK_GUARD(&ti->mappable.lock);
    uint64_t size = ti->inode->size;
    if (off >= size)
        return -ENXIO;
    struct tmpfs_extent *e = extent_from(ti, off / RF_PAGE_SIZE);
    if (whence == SEEK_DATA) {
        uint64_t at = e ? MAX(off, e->page * RF_PAGE_SIZE) : size;
        return at >= size ? -ENXIO : (int64_t)at;
    }
    uint64_t at = off;
    while (e && e->page * RF_PAGE_SIZE <= at) {
        at = (e->page + e->count) * RF_PAGE_SIZE;
        struct tree_node *n = tree_next(&e->node);
        e = n ? tree_entry(n, struct tmpfs_extent, node) : NULL;
    }
    return MIN(at, size);
}

static int64_t lseek_op(struct file *f, int64_t off, int whence)
{
    if (whence != SEEK_DATA && whence != SEEK_HOLE)
        return vfs_lseek_generic(f, off, whence);
    return off < 0 ? -ENXIO : seek_extent(tmpfs_of(f->data), off, whence);
}

/* Frames for every hole in the range. */
static int fill_range(struct tmpfs_inode *ti, uint64_t first, uint64_t end)
{
    LOCK_GUARD(&ti->mappable.lock);
    while (first < end) {
        struct tmpfs_extent *e = extent_at(ti, first);
        if (e) {
            first = e->page + e->count;
            continue;
        }
        uint64_t n = hole_size(ti, first, MIN(end - first, (uint64_t)1 << 18));
        int r = extent_fill(ti, first, n);
        if (r)
            return r;
        first += n;
    }
    return 0;
}

static int punch(struct tmpfs_inode *ti, uint64_t off, uint64_t end)
{
    uint64_t first = (off + RF_PAGE_SIZE - 1) / RF_PAGE_SIZE, last = end / RF_PAGE_SIZE;
    if (ti->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
        return -EPERM;
    int r = 0;
    if (first < last)
        r = drop_pages(ti, first, last, /*even_private=*/false);
    if (r)
        return r;
    if (off / RF_PAGE_SIZE == end / RF_PAGE_SIZE) {
        zero_partial(ti, off, end);
        return 0;
    }
    zero_partial(ti, off, first * RF_PAGE_SIZE);
    zero_partial(ti, last * RF_PAGE_SIZE, end);
    return 0;
}

static int allocate(struct tmpfs_inode *ti, int mode, uint64_t off, uint64_t end)
{
    bool grows = !(mode & FALLOC_FL_KEEP_SIZE) && end > ti->inode->size;
    struct tmpfs_sb *ts = ti->inode->sb->priv;
    uint64_t pages = (end - 1) / RF_PAGE_SIZE - off / RF_PAGE_SIZE + 1;
    if (grows && (ti->seals & F_SEAL_GROW))
        return -EPERM;
    if (ts->max_pages && pages > ts->max_pages)
        return -ENOSPC;
    int r = fill_range(ti, off / RF_PAGE_SIZE, (end + RF_PAGE_SIZE - 1) / RF_PAGE_SIZE);
    if (!r && grows)
        size_set(ti, end);
    else if (!r && end > ti->inode->size)
        ti->kept_size = true;
    return r == -ENOMEM ? -ENOSPC : r;
}

static int fallocate_op(struct file *f, int mode, int64_t off, int64_t len)
{
    struct tmpfs_inode *ti = tmpfs_of(f->data);
    uint64_t end = (uint64_t)off + len;
    int r;
    if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
        return -EOPNOTSUPP;
    if (mode & FALLOC_FL_PUNCH_HOLE)
        r = punch(ti, off, end);
    else if (mode & FALLOC_FL_ZERO_RANGE)
        r = punch(ti, off, end) ?: allocate(ti, mode, off, end);
    else
        r = allocate(ti, mode, off, end);
    if (!r)
        inode_touch(f->data, IATTR_MTIME | IATTR_CTIME);
    return r;
}

/* ---- seals ---- */

static struct tmpfs_inode *sealable(struct inode *i)
{
    return i->ops == &g_tmpfs_file_ops ? tmpfs_of(i) : NULL;
}

void tmpfs_seal_allow(struct inode *i)
{
    struct tmpfs_inode *ti = sealable(i);
    if (ti)
        ti->seals = 0;
}

int tmpfs_seals_get(struct inode *i)
{
    struct tmpfs_inode *ti = sealable(i);
    return ti ? (int)ti->seals : -EINVAL;
}

int tmpfs_seals_add(struct inode *i, unsigned seals)
{
    const unsigned all = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE |
                         F_SEAL_FUTURE_WRITE | F_SEAL_EXEC_K;
    struct tmpfs_inode *ti = sealable(i);
    if (!ti || (seals & ~all))
        return -EINVAL;
    LOCK_GUARD(&i->lock); /* no write is under way */
    lock_acquire(&ti->mappable.lock);
    int r = 0;
    if (ti->seals & F_SEAL_SEAL)
        r = -EPERM;
    else if ((seals & F_SEAL_WRITE) && !(ti->seals & F_SEAL_WRITE) && ti->writable_maps)
        r = -EBUSY;
    else
        ti->seals |= seals;
    lock_release(&ti->mappable.lock);
    return r;
}

const struct inode_ops g_tmpfs_file_ops = {
    .setattr = tmpfs_setattr,
    .getattr = tmpfs_getattr,
    .getxattr = tmpfs_getxattr,
    .setxattr = tmpfs_setxattr,
    .listxattr = tmpfs_listxattr,
    .removexattr = tmpfs_removexattr,
};

const struct file_ops g_tmpfs_file_file_ops = {
    .read = read_op,
    .write = write_op,
    .lseek = lseek_op,
    .mmap = mmap_op,
    .fsync = fsync_op,
    .fallocate = fallocate_op,
    .inode_locked = true,
    .end = end_op,
};
