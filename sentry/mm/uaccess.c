/* Copies between guest memory and ours: the only code that touches guest memory.
 *
 * The short way: take mm.lock for reading, find the VMA (usually the last one found) and the frame,
 * copy. The lock is what makes it safe: unmapping and truncation need it for writing. A page that
 * is not there, or may not be written yet, is faulted in under the write lock, then tried again. */
#include "mm_priv.h"

#include "base/log.h"

#include <string.h>

/* Ways of access beyond PL_READ and PL_WRITE. */
#define ACCESS_FORCED 0x100

struct span { /* bytes of the guest as we can touch them */
    void *ptr;
    uint64_t size;
    struct window_piece *piece; /* NULL: in the memory file */
};

static bool access_ok(const struct vma *v, unsigned access)
{
    if (v->flags & VMA_GUARD)
        return false;
    if (access & ACCESS_FORCED) /* as FOLL_FORCE: what mprotect could give, but never write through
                                   a shared read-only mapping */
        return !(access & PL_WRITE) || v->prot & PROT_WRITE ||
               (!vma_shared(v) && v->flags & VMA_MAYWRITE);
    return access & PL_WRITE ? v->prot & PROT_WRITE : v->prot != 0;
}

/* Contiguous bytes from addr on, at most size, within frames that are all there. */
static bool span_frames(struct mm *mm, const struct vma *v, uint64_t addr, uint64_t size,
                        unsigned access, struct span *s)
{
    uint64_t bad = access & PL_WRITE ? FRAME_COW : 0, page = page_down(addr);
    uint64_t *e = frames_peek(&mm->frames, page);
    if (!e || !*e || *e & bad)
        return false;
    uint64_t frame = FRAME_OFFSET(*e), have = RF_PAGE_SIZE - page_offset(addr);
    uint64_t end = MIN(v->end, addr + size);
    while (addr + have < end) {
        uint64_t at = addr + have;
        e = at & ((2u << 20) - 1) ? e + 1 : frames_peek(&mm->frames, at);
        if (!e || !*e || *e & bad || FRAME_OFFSET(*e) != frame + (at - page))
            break;
        have += RF_PAGE_SIZE;
    }
    *s = (struct span){.ptr = frame_ptr(frame + page_offset(addr)), .size = MIN(have, size)};
    return true;
}

/* The same through a mappable. */
static int span_backing(struct vma *v, uint64_t addr, uint64_t size, unsigned access,
                        struct span *s)
{
    struct mm_backing b;
    uint64_t page = page_down(addr), left;
    int r = v->map->ops->backing(v->map, v->offset + (page - v->start), access & PL_WRITE ?: PL_READ,
                                 &b);
    if (r)
        return r;
    if (access & PL_WRITE && !b.writable)
        return -EFAULT;
    size = MIN(size, b.size - page_offset(addr));
    if (b.fd == memfile_fd()) {
        *s = (struct span){.ptr = frame_ptr(b.offset + page_offset(addr)), .size = size};
        return 0;
    }
    r = window_pin(v->map, b.fd, b.offset + page_offset(addr), access & PL_WRITE, /*hva=*/false,
                   &s->ptr, &left, &s->piece);
    s->size = MIN(size, left);
    return r;
}

/* Find addr under the read lock. -EAGAIN: fault it in first. */
static int span_get(struct mm *mm, uint64_t addr, uint64_t size, unsigned access, struct span *s)
{
    struct vma *v = vma_find(mm, addr);
    if (!v)
        return -EAGAIN; /* maybe a stack that grows */
    if (!access_ok(v, access))
        return -EFAULT;
    size = MIN(size, v->end - addr);
    if (!vma_shared(v) && span_frames(mm, v, addr, size, access, s))
        return 0;
    if (!v->map || (access & PL_WRITE && !vma_shared(v)))
        return -EAGAIN;
    if (v->uffd && vma_shared(v)) {
        if (uffd_wants(v, addr, 0, access & PL_WRITE))
            return -EAGAIN;
        size = MIN(size, RF_PAGE_SIZE - page_offset(addr));
    }
    if (!vma_shared(v)) { /* up to the next private page */
        uint64_t stop = frames_next(&mm->frames, page_down(addr), page_down(addr + size - 1));
        size = MIN(size, MAX(stop, page_down(addr) + RF_PAGE_SIZE) - addr);
    }
    return span_backing(v, addr, size, access, s);
}

static int span_fault(struct mm *mm, uint64_t addr, unsigned access)
{
    rwlock_read_release(&mm->lock);
    rwlock_write(&mm->lock);
    int r = fault_locked(mm, addr, access & PL_WRITE ?: PL_READ, access & ACCESS_FORCED);
    rwlock_write_release(&mm->lock);
    if (r > 0)
        uffd_note_blocked(addr, access & PL_WRITE ?: PL_READ);
    rwlock_read(&mm->lock);
    return r;
}

/* span_get, faulting as needed; the lock is dropped meanwhile. An adversary can undo our fault
 * between the locks, so the number of tries is bounded. */
static int span_find(struct mm *mm, uint64_t addr, uint64_t size, unsigned access, struct span *s)
{
    s->piece = NULL;
    if (addr >= mm->platform->va_end)
        return -EFAULT;
    for (int tries = 0; tries < 64; tries++) {
        int r = span_get(mm, addr, size, access, s);
        if (r != -EAGAIN)
            return r ? -EFAULT : 0;
        if (span_fault(mm, addr, access))
            return -EFAULT;
    }
    return -EFAULT;
}

typedef size_t span_fn(struct span *s, size_t size, void *arg); /* bytes NOT done */

/* Walk [addr, addr+size): call fn on each span in order; bytes done before the first bad one. */
static size_t walk(struct mm *mm, uint64_t addr, size_t size, unsigned access, span_fn *fn,
                   void **arg)
{
    size_t done = 0;
    rwlock_read(&mm->lock);
    while (done < size) {
        struct span s;
        if (span_find(mm, addr + done, size - done, access, &s))
            break;
        size_t left = fn(&s, s.size, *arg);
        if (s.piece)
            window_unpin(s.piece);
        done += s.size - left;
        if (*arg)
            *arg = (char *)*arg + s.size;
        if (left)
            break;
    }
    rwlock_read_release(&mm->lock);
    return done;
}

static size_t copy_out(struct span *s, size_t size, void *arg)
{
    return guarded_copy(arg, s->ptr, size);
}

static size_t copy_in(struct span *s, size_t size, void *arg)
{
    return guarded_copy(s->ptr, arg, size);
}

static size_t zero_in(struct span *s, size_t size, void *arg)
{
    (void)arg;
    return guarded_zero(s->ptr, size);
}

size_t uaccess_read_some(struct mm *mm, void *dst, struct uaddr src, size_t size)
{
    return walk(mm, src.v, size, PL_READ, copy_out, &dst);
}

size_t uaccess_write_some(struct mm *mm, struct uaddr dst, const void *src, size_t size)
{
    void *p = (void *)src;
    return walk(mm, dst.v, size, PL_WRITE, copy_in, &p);
}

size_t uaccess_zero_some(struct mm *mm, struct uaddr dst, size_t size)
{
    void *none = NULL;
    return walk(mm, dst.v, size, PL_WRITE, zero_in, &none);
}

size_t uaccess_read_forced(struct mm *mm, void *dst, struct uaddr src, size_t size)
{
    return walk(mm, src.v, size, PL_READ | ACCESS_FORCED, copy_out, &dst);
}

size_t uaccess_write_forced(struct mm *mm, struct uaddr dst, const void *src, size_t size)
{
    void *p = (void *)src;
    return walk(mm, dst.v, size, PL_WRITE | ACCESS_FORCED, copy_in, &p);
}

int uaccess_read(struct mm *mm, void *dst, struct uaddr src, size_t size)
{
    return uaccess_read_some(mm, dst, src, size) == size ? 0 : -EFAULT;
}

int uaccess_write(struct mm *mm, struct uaddr dst, const void *src, size_t size)
{
    return uaccess_write_some(mm, dst, src, size) == size ? 0 : -EFAULT;
}

int uaccess_zero(struct mm *mm, struct uaddr dst, size_t size)
{
    return uaccess_zero_some(mm, dst, size) == size ? 0 : -EFAULT;
}

ssize_t uaccess_read_str(struct mm *mm, char *dst, struct uaddr src, size_t size)
{
    size_t done = 0;
    while (done < size) {
        /* No further than the page: the string may end before an unmapped one. */
        size_t n = MIN(size - done, RF_PAGE_SIZE - page_offset(src.v + done));
        size_t got = uaccess_read_some(mm, dst + done, uaddr_add(src, done), n);
        char *nul = memchr(dst + done, 0, got);
        if (nul)
            return nul - dst;
        if (got < n)
            return -EFAULT;
        done += n;
    }
    return -ENAMETOOLONG;
}

/* ---- futex words ----------------------------------------------------------------------------- */

int uaccess_load32(struct mm *mm, struct uaddr a, uint32_t *value)
{
    struct span s;
    if (a.v & 3)
        return -EINVAL;
    rwlock_read(&mm->lock);
    int r = span_find(mm, a.v, sizeof(*value), PL_READ, &s);
    if (!r) {
        r = guarded_load32(s.ptr, value);
        if (s.piece)
            window_unpin(s.piece);
    }
    rwlock_read_release(&mm->lock);
    return r;
}

int uaccess_cmpxchg32(struct mm *mm, struct uaddr a, uint32_t *expected, uint32_t desired)
{
    struct span s;
    if (a.v & 3)
        return -EINVAL;
    rwlock_read(&mm->lock);
    int r = span_find(mm, a.v, sizeof(desired), PL_WRITE, &s);
    if (!r) {
        r = guarded_cmpxchg32(s.ptr, expected, desired);
        if (s.piece)
            window_unpin(s.piece);
    }
    rwlock_read_release(&mm->lock);
    return r;
}

int uaccess_futex_key(struct mm *mm, struct uaddr a, bool shared, struct futex_key *key)
{
    if (a.v & 3)
        return -EINVAL;
    *key = (struct futex_key){.obj = (uintptr_t)mm, .offset = a.v};
    if (a.v >= mm->platform->va_end)
        return -EFAULT;
    if (!shared)
        return 0;
    rwlock_read(&mm->lock);
    struct vma *v = vma_find(mm, a.v);
    /* A private page that cannot be written will never change: nothing to wait for. */
    if (v && (!v->prot || (vma_is_anon(v) && !(v->prot & PROT_WRITE))))
        v = NULL;
    if (v && vma_shared(v))
        *key = (struct futex_key){.obj = (uintptr_t)v->map, .offset = v->offset + (a.v - v->start)};
    rwlock_read_release(&mm->lock);
    return v ? 0 : -EFAULT;
}

/* ---- pins ------------------------------------------------------------------------------------ */

int uaccess_pin_span(struct mm *mm, uint64_t addr, uint64_t *size, unsigned access, void **ptr)
{
    struct span s = {0};
    if (addr >= mm->platform->va_end)
        return -EFAULT;
    int r = span_get(mm, addr, *size, access, &s);
    if (r == -EAGAIN)
        return span_fault(mm, addr, access) ? -EFAULT : -EAGAIN;
    if (r)
        return -EFAULT;
    if (s.piece) {
        window_unpin(s.piece);
        return -EOPNOTSUPP;
    }
    *ptr = s.ptr;
    *size = s.size;
    return 0;
}
