/* See mm_testlib.h. */
#include "mm/mm_testlib.h"

#include "base/log.h"
#include "base/overflow.h"
#include "fs/vfs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct fake_entry {
    struct fake_entry *next;
    uint64_t va;
    struct fake_page page;
};

bool g_fake_no_memory;

static struct fake_entry **fake_slot(struct pl_aspace *as, uint64_t va)
{
    struct fake_entry **e = &as->buckets[(va >> 12) % FAKE_BUCKETS];
    while (*e && (*e)->va != va)
        e = &(*e)->next;
    return e;
}

static void fake_drop(struct pl_aspace *as, uint64_t va)
{
    struct fake_entry **e = fake_slot(as, va), *dead = *e;
    if (dead) {
        *e = dead->next;
        free(dead);
    }
}

static int fake_as_create(struct platform *p, struct pl_aspace **out)
{
    (void)p;
    *out = calloc(1, sizeof(**out));
    return *out ? 0 : -ENOMEM;
}

static void fake_as_destroy(struct pl_aspace *as)
{
    for (unsigned i = 0; i < FAKE_BUCKETS; i++)
        while (as->buckets[i])
            fake_drop(as, as->buckets[i]->va);
    free(as);
}

static int fake_as_map(struct pl_aspace *as, uint64_t va, uint64_t size, unsigned prot,
                       const struct pl_backing *b, bool precommit)
{
    (void)precommit;
    bug_on((va | size | b->offset) & 4095 || !size || va + size > g_fake.va_end);
    as->maps++;
    if (g_fake_no_memory) {
        g_fake_no_memory = false;
        return -ENOMEM;
    }
    for (uint64_t i = 0; i < size; i += 4096) {
        struct fake_entry **e = fake_slot(as, va + i);
        if (!*e) {
            *e = calloc(1, sizeof(**e));
            (*e)->va = va + i;
        }
        (*e)->page = (struct fake_page){b->fd, b->offset + i, prot};
        bug_on(b->fd == memfile_fd() && !memfile_refs(b->offset + i));
    }
    return 0;
}

static int fake_as_unmap(struct pl_aspace *as, uint64_t va, uint64_t size)
{
    bug_on((va | size) & 4095 || !size || va + size > g_fake.va_end);
    as->unmaps++;
    for (unsigned i = 0; i < FAKE_BUCKETS; i++)
        for (struct fake_entry *e = as->buckets[i], *next; e; e = next) {
            next = e->next;
            if (e->va >= va && e->va < va + size)
                fake_drop(as, e->va);
        }
    return 0;
}

static int fake_as_protect(struct pl_aspace *as, uint64_t va, uint64_t size, unsigned prot)
{
    bug_on((va | size) & 4095 || !size);
    as->protects++;
    for (unsigned i = 0; i < FAKE_BUCKETS; i++)
        for (struct fake_entry *e = as->buckets[i]; e; e = e->next)
            if (e->va >= va && e->va < va + size)
                e->page.prot = prot;
    return 0;
}

static void check_aspace(struct pl_aspace *as)
{
    for (unsigned i = 0; i < FAKE_BUCKETS; i++)
        for (struct fake_entry *e = as->buckets[i]; e; e = e->next)
            bug_on(e->page.fd == memfile_fd() && !memfile_refs(e->page.offset));
}

static int fake_as_flush(struct pl_aspace *as)
{
    as->flushes++;
    check_aspace(as);
    return 0;
}

static const struct pl_ops g_fake_ops = {
    .name = "fake",
    .as_create = fake_as_create,
    .as_destroy = fake_as_destroy,
    .as_map = fake_as_map,
    .as_unmap = fake_as_unmap,
    .as_protect = fake_as_protect,
    .as_flush = fake_as_flush,
};
struct platform g_fake = {.ops = &g_fake_ops, .va_end = 0x7ffffffff000, .fpu_size = 576};

void fake_init(void)
{
    bug_on(memfile_init());
    bug_on(window_init());
}

struct fake_page fake_lookup(struct mm *mm, uint64_t va)
{
    struct fake_entry *e = *fake_slot(mm_aspace(mm), va & ~4095ull);
    return e ? e->page : (struct fake_page){.fd = -1};
}

void fake_check(struct mm *mm)
{
    check_aspace(mm_aspace(mm));
}

static int fake_access(struct mm *mm, uint64_t va, unsigned access, struct fake_page *out)
{
    for (int i = 0; i < 8; i++) {
        *out = fake_lookup(mm, va);
        if (out->fd >= 0 && out->prot & access)
            return 0;
        int r = mm_fault(mm, va, access);
        if (r)
            return r;
    }
    bug("a fault is repaired again and again");
}

int fake_load(struct mm *mm, uint64_t va, uint8_t *value)
{
    struct fake_page p;
    int r = fake_access(mm, va, PL_READ, &p);
    if (r)
        return r;
    uint64_t off = p.offset + (va & 4095);
    if (p.fd == memfile_fd()) {
        *value = *(uint8_t *)memfile_ptr(off);
        return 0;
    }
    uint64_t size = lseek(p.fd, 0, SEEK_END);
    if (p.offset >= size)
        return -ENXIO;
    *value = 0;
    return pread(p.fd, value, 1, off) < 0 ? -EIO : 0;
}

int fake_store(struct mm *mm, uint64_t va, uint8_t value)
{
    struct fake_page p;
    int r = fake_access(mm, va, PL_WRITE, &p);
    if (r)
        return r;
    uint64_t off = p.offset + (va & 4095);
    if (p.fd == memfile_fd()) {
        *(uint8_t *)memfile_ptr(off) = value;
        return 0;
    }
    if (off >= (uint64_t)lseek(p.fd, 0, SEEK_END))
        return -ENXIO;
    return pwrite(p.fd, &value, 1, off) == 1 ? 0 : -EIO;
}

uint64_t fake_mmap(struct mm *mm, uint64_t size, unsigned prot, unsigned flags)
{
    struct mm_map m = {.size = size, .prot = prot, .flags = flags};
    uint64_t va;
    bug_on(mm_mmap(mm, &m, &va));
    return va;
}

/* ---- files ----------------------------------------------------------------------------------- */

struct fake_file {
    struct file file;
    struct mappable map;
    int fd;
    uint64_t size;
    bool writable;
};

static struct fake_file *fake_of(struct mappable *m)
{
    return container_of(m, struct fake_file, map);
}

static int fake_backing(struct mappable *m, uint64_t offset, unsigned access,
                        struct mm_backing *out)
{
    struct fake_file *f = fake_of(m);
    uint64_t end = (f->size + 4095) & ~4095ull;
    (void)access;
    if (offset >= end)
        return -ENXIO;
    *out = (struct mm_backing){
        .fd = f->fd, .offset = offset, .size = end - offset, .writable = f->writable};
    return 0;
}

static int fake_file_mmap(struct file *f, unsigned prot, unsigned flags, struct mappable **m)
{
    (void)prot;
    (void)flags;
    *m = &container_of(f, struct fake_file, file)->map;
    return 0;
}

static const struct mappable_ops g_fake_map_ops = {.backing = fake_backing};
static const struct file_ops g_fake_file_ops = {.mmap = fake_file_mmap};

struct file *fake_file_new(const void *data, uint64_t size, bool writable)
{
    struct fake_file *f = calloc(1, sizeof(*f));
    f->fd = memfd_create("fake", MFD_CLOEXEC);
    bug_on(f->fd < 0 || write(f->fd, data, size) != (ssize_t)size);
    f->size = size;
    f->writable = writable;
    mappable_init(&f->map, &g_fake_map_ops);
    ref_init(&f->file.ref);
    f->file.ops = &g_fake_file_ops;
    f->file.mode = FMODE_READ | (writable ? FMODE_WRITE : 0);
    return &f->file;
}

struct mappable *fake_file_mappable(struct file *f)
{
    return &container_of(f, struct fake_file, file)->map;
}

int fake_file_fd(struct file *f)
{
    return container_of(f, struct fake_file, file)->fd;
}

unsigned fake_file_refs(struct file *f)
{
    return ref_read(&f->ref);
}

void fake_file_truncate(struct file *f, uint64_t size)
{
    struct fake_file *ff = container_of(f, struct fake_file, file);
    ff->size = size;
    bug_on(ftruncate(ff->fd, size));
    mappable_zap(&ff->map, (size + 4095) & ~4095ull, 0, /*even_private=*/true);
}

#pragma GCC diagnostic ignored "-Wmissing-prototypes"
void __attribute__((weak)) file_get(struct file *f)
{
    ref_get(&f->ref);
}

void __attribute__((weak)) file_put(struct file *f)
{
    fake_file_put(f);
}

void fake_file_put(struct file *f)
{
    struct fake_file *ff = container_of(f, struct fake_file, file);
    if (!ref_put(&f->ref))
        return;
    mappable_drop_window(&ff->map);
    close(ff->fd);
    free(ff);
}
