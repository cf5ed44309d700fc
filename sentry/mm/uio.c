/* Scatter lists: the buffer of a read, write or socket call, consumed from the front. */
#include "mm_priv.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static void uio_init_one(struct uio *u, struct mm *mm, uint64_t addr, uint64_t size)
{
    *u = (struct uio){.mm = mm, .count = 1, .one = {.addr = addr, .size = size}};
    u->remaining = size;
    u->segs = &u->one;
}

void uio_init_user(struct uio *u, struct mm *mm, struct uaddr addr, uint64_t size)
{
    uio_init_one(u, mm, addr.v, MIN(size, UIO_MAX_BYTES));
}

void uio_init_kernel(struct uio *u, void *buf, uint64_t size)
{
    uio_init_one(u, NULL, (uintptr_t)buf, size);
}

/* Sums are bounded as Linux does it: a negative length is an error, the total is cut. */
static int uio_adopt(struct uio *u, struct uio_seg *segs, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        if (segs[i].size > SSIZE_MAX)
            return -EINVAL;
    }
    for (uint64_t i = 0; i < count; i++) {
        uint64_t size = count == 1 ? MIN(segs[i].size, UIO_MAX_BYTES) : segs[i].size;
        if (!uaddr_range_ok(segs[i].addr, size))
            return -EFAULT;
        segs[i].size = MIN(segs[i].size, UIO_MAX_BYTES - u->remaining);
        u->remaining += segs[i].size;
    }
    return 0;
}

bool uio_range_ok(const struct uio *u)
{
    for (unsigned i = u->index; u->mm && i < u->count; i++)
        if (!uaddr_range_ok(u->segs[i].addr, u->segs[i].size))
            return false;
    return true;
}

/* The array cannot be read to its end: the first thing wrong in it, in its order, is the answer. */
static int first_error(struct mm *mm, struct uaddr iov, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        struct uio_seg seg;
        if (uaccess_read_obj(mm, &seg, uaddr(iov.v + i * sizeof(seg))))
            return -EFAULT;
        if (seg.size > SSIZE_MAX)
            return -EINVAL;
    }
    return -EFAULT;
}

int uio_import(struct uio *u, struct mm *mm, struct uaddr iov, uint64_t count)
{
    _Static_assert(sizeof(struct uio_seg) == sizeof(struct iovec), "a segment is an iovec");
    *u = (struct uio){.mm = mm};
    if (count > UIO_MAX_SEGS)
        return -EINVAL;
    struct uio_seg *segs = &u->one;
    if (count > 1 && !(segs = malloc(count * sizeof(*segs))))
        return -ENOMEM;
    int r = uaccess_read(mm, segs, iov, count * sizeof(*segs));
    r = r ? first_error(mm, iov, count) : uio_adopt(u, segs, count);
    if (r) {
        if (segs != &u->one)
            free(segs);
        *u = (struct uio){.mm = mm};
        return r;
    }
    u->segs = segs;
    u->count = count;
    return 0;
}

void uio_free(struct uio *u)
{
    if (u->segs != &u->one)
        free((void *)u->segs);
    *u = (struct uio){0};
}

void uio_advance(struct uio *u, size_t size)
{
    u->remaining -= size;
    while (u->index < u->count) {
        uint64_t left = u->segs[u->index].size - u->seg_done;
        if (size < left) {
            u->seg_done += size;
            return;
        }
        size -= left;
        u->index++;
        u->seg_done = 0;
    }
}

typedef size_t uio_move_fn(struct uio *u, uint64_t addr, void *buf, size_t size);

static size_t uio_move(struct uio *u, void *buf, size_t size, uio_move_fn *fn)
{
    size_t done = 0;
    size = MIN(size, u->remaining);
    while (done < size) {
        const struct uio_seg *s = &u->segs[u->index];
        size_t n = MIN(size - done, s->size - u->seg_done);
        size_t moved = n ? fn(u, s->addr + u->seg_done, buf ? (char *)buf + done : NULL, n) : 0;
        uio_advance(u, moved);
        done += moved;
        if (moved < n)
            break;
    }
    return done;
}

static size_t move_to(struct uio *u, uint64_t addr, void *buf, size_t size)
{
    if (u->mm)
        return uaccess_write_some(u->mm, uaddr(addr), buf, size);
    memcpy((void *)addr, buf, size);
    return size;
}

static size_t move_from(struct uio *u, uint64_t addr, void *buf, size_t size)
{
    if (u->mm)
        return uaccess_read_some(u->mm, buf, uaddr(addr), size);
    memcpy(buf, (void *)addr, size);
    return size;
}

static size_t move_zero(struct uio *u, uint64_t addr, void *buf, size_t size)
{
    (void)buf;
    if (u->mm)
        return uaccess_zero_some(u->mm, uaddr(addr), size);
    memset((void *)addr, 0, size);
    return size;
}

size_t uio_to_user(struct uio *u, const void *src, size_t size)
{
    return uio_move(u, (void *)src, size, move_to);
}

size_t uio_from_user(struct uio *u, void *dst, size_t size)
{
    return uio_move(u, dst, size, move_from);
}

size_t uio_zero_user(struct uio *u, size_t size)
{
    return uio_move(u, NULL, size, move_zero);
}

/* ---- pinning --------------------------------------------------------------------------------- */

struct pin {
    struct iovec *iov;
    int count, max;
};

static bool pin_add(struct pin *p, void *ptr, uint64_t size)
{
    struct iovec *last = p->count ? &p->iov[p->count - 1] : NULL;
    if (last && (char *)last->iov_base + last->iov_len == ptr) {
        last->iov_len += size;
        return true;
    }
    if (p->count == p->max)
        return false;
    p->iov[p->count++] = (struct iovec){.iov_base = ptr, .iov_len = size};
    return true;
}

/* Translate one segment's bytes. -EAGAIN: a fault dropped the lock, start again. */
static int pin_segment(struct uio *u, struct pin *p, unsigned access, uint64_t addr, uint64_t size)
{
    while (size) {
        void *ptr;
        uint64_t n = size;
        int r = uaccess_pin_span(u->mm, addr, &n, access, &ptr);
        if (r)
            return r;
        if (!pin_add(p, ptr, n))
            return -ENOSPC;
        addr += n;
        size -= n;
    }
    return 0;
}

static int pin_kernel(struct uio *u, struct iovec *iov, int max, uint64_t max_bytes)
{
    struct pin p = {.iov = iov, .max = max};
    uint64_t done = u->seg_done;
    for (unsigned i = u->index; i < u->count && max_bytes; i++, done = 0) {
        uint64_t n = MIN(max_bytes, u->segs[i].size - done);
        if (n && !pin_add(&p, (char *)u->segs[i].addr + done, n))
            break;
        max_bytes -= n;
    }
    return p.count;
}

static int pin_user(struct uio *u, struct pin *p, unsigned access, uint64_t max_bytes)
{
    uint64_t done = u->seg_done;
    int r = 0;
    for (unsigned i = u->index; i < u->count && max_bytes && !r; i++, done = 0) {
        uint64_t n = MIN(max_bytes, u->segs[i].size - done);
        r = pin_segment(u, p, access, u->segs[i].addr + done, n);
        max_bytes -= n;
    }
    if (r == -EAGAIN)
        return r;
    return p->count || !r || r == -ENOSPC ? p->count : r;
}

int uio_pin(struct uio *u, unsigned access, struct iovec *iov, int max, uint64_t max_bytes)
{
    if (!u->mm)
        return pin_kernel(u, iov, max, max_bytes);
    rwlock_read(&u->mm->lock);
    int r = -EAGAIN;
    /* Each fault brings a chunk in, so few rounds are needed; an adversary gets no more. */
    for (int tries = 0; tries < 4096 && r == -EAGAIN; tries++) {
        struct pin p = {.iov = iov, .max = max};
        r = pin_user(u, &p, access, max_bytes);
    }
    if (r < 0)
        rwlock_read_release(&u->mm->lock);
    return r == -EAGAIN ? -EFAULT : r;
}

void uio_unpin(struct uio *u)
{
    if (u->mm)
        rwlock_read_release(&u->mm->lock);
}
