/* Descriptor tables: number → open file, with the close-on-exec bit.
 *
 * One table is shared by all tasks made with CLONE_FILES. A slot is NULL when free. close takes the
 * file out under the lock and drops it afterwards, so a racing read either has its own reference or
 * gets EBADF. */
#include "base/log.h"
#include "base/overflow.h"
#include "fs/vfs_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FDTABLE_INITIAL 64u
#define FDTABLE_MAX     (1u << 20) /* fs.nr_open */

struct fdtable {
    struct ref ref;
    struct lock lock;    /* LR_FDTABLE */
    struct file **files; /* lock: lock; size entries */
    uint64_t *open;      /* lock: lock; a bit per slot */
    uint64_t *cloexec;   /* lock: lock */
    unsigned size;       /* lock: lock; multiple of 64 */
    unsigned first_free; /* lock: lock; no slot below it is free */
};

static bool bit_get(const uint64_t *bits, unsigned n)
{
    return bits[n / 64] >> (n % 64) & 1;
}

static void bit_set(uint64_t *bits, unsigned n, bool on)
{
    uint64_t mask = 1ull << (n % 64);
    bits[n / 64] = on ? bits[n / 64] | mask : bits[n / 64] & ~mask;
}

static int storage_alloc(struct fdtable *ft, unsigned size)
{
    ft->files = calloc(size, sizeof(*ft->files));
    ft->open = calloc(size / 64, sizeof(*ft->open));
    ft->cloexec = calloc(size / 64, sizeof(*ft->cloexec));
    ft->size = size;
    if (ft->files && ft->open && ft->cloexec)
        return 0;
    free(ft->files);
    free(ft->open);
    free(ft->cloexec);
    return -ENOMEM;
}

static int table_new(unsigned size, struct fdtable **out)
{
    struct fdtable *ft = calloc(1, sizeof(*ft));
    if (!ft || storage_alloc(ft, size)) {
        free(ft);
        return -ENOMEM;
    }
    ref_init(&ft->ref);
    lock_init(&ft->lock, LR_FDTABLE);
    *out = ft;
    return 0;
}

int fdtable_new(struct fdtable **out)
{
    return table_new(FDTABLE_INITIAL, out);
}

/* Make room for slot fd. */
static int grow_locked(struct fdtable *ft, unsigned fd)
{
    if (fd < ft->size)
        return 0;
    if (fd >= FDTABLE_MAX)
        return -EMFILE;
    unsigned size = ft->size;
    while (size <= fd)
        size *= 2;
    struct fdtable bigger = {0};
    if (storage_alloc(&bigger, size))
        return -ENOMEM;
    memcpy(bigger.files, ft->files, ft->size * sizeof(*ft->files));
    memcpy(bigger.open, ft->open, ft->size / 8);
    memcpy(bigger.cloexec, ft->cloexec, ft->size / 8);
    free(ft->files);
    free(ft->open);
    free(ft->cloexec);
    ft->files = bigger.files;
    ft->open = bigger.open;
    ft->cloexec = bigger.cloexec;
    ft->size = size;
    return 0;
}

static unsigned last_open_locked(struct fdtable *ft)
{
    for (unsigned w = ft->size / 64; w-- > 0;)
        if (ft->open[w])
            return w * 64 + 63 - __builtin_clzll(ft->open[w]);
    return 0;
}

int fdtable_copy(struct fdtable *src, struct fdtable **out)
{
    lock_acquire(&src->lock);
    unsigned size = FDTABLE_INITIAL;
    while (size <= last_open_locked(src))
        size *= 2;
    struct fdtable *ft;
    int r = table_new(size, &ft);
    if (!r) {
        unsigned n = MIN(size, src->size);
        memcpy(ft->files, src->files, n * sizeof(*ft->files));
        memcpy(ft->open, src->open, n / 8);
        memcpy(ft->cloexec, src->cloexec, n / 8);
        ft->first_free = src->first_free;
        for (unsigned i = 0; i < n; i++)
            if (ft->files[i])
                file_get(ft->files[i]);
        *out = ft;
    }
    lock_release(&src->lock);
    return r;
}

void fdtable_get_ref(struct fdtable *ft)
{
    ref_get(&ft->ref);
}

/* What close(2) does with the file it took out of the table; consumes f. */
static int close_file(struct fdtable *ft, struct file *f, struct task *t)
{
    if (f->inode && f->inode->locks && !(f->mode & FMODE_PATH))
        locks_release_owner(f, ft);
    dnotify_close(f, ft);
    if (f->ops && f->ops->flush)
        f->ops->flush(f, t);
    file_put(f);
    return 0;
}

void fdtable_put(struct fdtable *ft, struct task *closer)
{
    if (!ref_put(&ft->ref))
        return;
    for (unsigned i = 0; i < ft->size; i++)
        if (ft->files[i])
            close_file(ft, ft->files[i], closer);
    lock_destroy(&ft->lock);
    free(ft->files);
    free(ft->open);
    free(ft->cloexec);
    free(ft);
}

struct file *fdtable_get(struct fdtable *ft, int fd)
{
    struct file *f = NULL;
    lock_acquire(&ft->lock);
    if ((unsigned)fd < ft->size && (f = ft->files[fd]))
        file_get(f);
    lock_release(&ft->lock);
    return f;
}

struct file *fdtable_get_io(struct fdtable *ft, int fd)
{
    struct file *f = NULL;
    lock_acquire(&ft->lock);
    if ((unsigned)fd < ft->size && (f = ft->files[fd])) {
        if (f->mode & FMODE_PATH)
            f = NULL;
        else
            file_get(f);
    }
    lock_release(&ft->lock);
    return f;
}

static unsigned find_free_locked(struct fdtable *ft, unsigned from)
{
    from = MAX(from, ft->first_free);
    for (unsigned w = from / 64; w < ft->size / 64; w++) {
        uint64_t freed = ~ft->open[w];
        if (w == from / 64)
            freed &= ~0ull << (from % 64);
        if (freed)
            return w * 64 + __builtin_ctzll(freed);
    }
    return MAX(from, ft->size);
}

static void slot_set_locked(struct fdtable *ft, unsigned fd, struct file *f, bool cloexec)
{
    ft->files[fd] = f;
    bit_set(ft->open, fd, f != NULL);
    bit_set(ft->cloexec, fd, cloexec);
    if (!f && fd < ft->first_free)
        ft->first_free = fd;
}

static unsigned fd_limit(struct task *t)
{
    return MIN(rlimit_get(t->process, RLIMIT_NOFILE), (uint64_t)FDTABLE_MAX);
}

int fdtable_install_at(struct fdtable *ft, int fd, struct file *f)
{
    LOCK_GUARD(&ft->lock);
    int r = grow_locked(ft, fd);
    if (!r)
        slot_set_locked(ft, fd, f, /*cloexec=*/false);
    return r;
}

int fdtable_install(struct task *t, struct file *f, int min, bool cloexec)
{
    struct fdtable *ft = t->fds;
    unsigned limit = fd_limit(t);
    LOCK_GUARD(&ft->lock);
    unsigned fd = find_free_locked(ft, min);
    if (fd >= limit)
        return -EMFILE;
    int r = grow_locked(ft, fd);
    if (r)
        return r;
    slot_set_locked(ft, fd, f, cloexec);
    if ((unsigned)min <= ft->first_free)
        ft->first_free = fd + 1;
    return fd;
}

bool fdtable_full(struct task *t)
{
    LOCK_GUARD(&t->fds->lock);
    return find_free_locked(t->fds, 0) >= fd_limit(t);
}

int fdtable_replace(struct task *t, int fd, struct file *f, bool cloexec)
{
    struct fdtable *ft = t->fds;
    if ((unsigned)fd >= fd_limit(t))
        return -EBADF;
    lock_acquire(&ft->lock);
    int r = grow_locked(ft, fd);
    struct file *old = NULL;
    if (!r) {
        old = ft->files[fd];
        slot_set_locked(ft, fd, f, cloexec);
    }
    lock_release(&ft->lock);
    if (old)
        close_file(ft, old, t);
    return r ? r : fd;
}

int fdtable_close(struct task *t, int fd)
{
    struct fdtable *ft = t->fds;
    struct file *f = NULL;
    lock_acquire(&ft->lock);
    if ((unsigned)fd < ft->size && (f = ft->files[fd]))
        slot_set_locked(ft, fd, NULL, false);
    lock_release(&ft->lock);
    return f ? close_file(ft, f, t) : -EBADF;
}

/* Take out the first open descriptor in [*fd, last]; NULL when there is none. */
static struct file *take_next(struct fdtable *ft, unsigned *fd, unsigned last, bool cloexec_only)
{
    LOCK_GUARD(&ft->lock);
    for (; *fd < ft->size && *fd <= last; ++*fd) {
        struct file *f = ft->files[*fd];
        if (!f || (cloexec_only && !bit_get(ft->cloexec, *fd)))
            continue;
        slot_set_locked(ft, *fd, NULL, false);
        return f;
    }
    return NULL;
}

int fdtable_close_range(struct task *t, unsigned first, unsigned last, bool set_cloexec)
{
    struct fdtable *ft = t->fds;
    if (set_cloexec) {
        LOCK_GUARD(&ft->lock);
        for (unsigned fd = first; fd < ft->size && fd <= last; fd++)
            if (ft->files[fd])
                bit_set(ft->cloexec, fd, true);
        return 0;
    }
    struct file *f;
    while ((f = take_next(ft, &first, last, /*cloexec_only=*/false)))
        close_file(ft, f, t);
    return 0;
}

void fdtable_close_on_exec(struct fdtable *ft, struct task *t)
{
    unsigned fd = 0;
    struct file *f;
    while ((f = take_next(ft, &fd, UINT32_MAX, /*cloexec_only=*/true)))
        close_file(ft, f, t);
}

int fdtable_flags(struct fdtable *ft, int fd, bool *cloexec)
{
    LOCK_GUARD(&ft->lock);
    if ((unsigned)fd >= ft->size || !ft->files[fd])
        return -EBADF;
    *cloexec = bit_get(ft->cloexec, fd);
    return 0;
}

int fdtable_set_flags(struct fdtable *ft, int fd, bool cloexec)
{
    LOCK_GUARD(&ft->lock);
    if ((unsigned)fd >= ft->size || !ft->files[fd])
        return -EBADF;
    bit_set(ft->cloexec, fd, cloexec);
    return 0;
}

int fdtable_next(struct fdtable *ft, int from)
{
    LOCK_GUARD(&ft->lock);
    for (unsigned fd = MAX(from, 0); fd < ft->size; fd++)
        if (ft->files[fd])
            return fd;
    return -1;
}
