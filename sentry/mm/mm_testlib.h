/* A platform without guests: it records mappings page by page, and "guest" loads and stores in the
 * tests go through those records, faulting like the real thing. After every flush it checks that
 * no page of the memory file that it still maps has been freed. */
#pragma once

#include "mm/mm.h"

struct fake_page {
    int fd; /* -1: not mapped */
    uint64_t offset;
    unsigned prot;
};

#define FAKE_BUCKETS 4096
struct pl_aspace {
    struct fake_entry *buckets[FAKE_BUCKETS];
    unsigned maps, unmaps, protects, flushes; /* calls */
};

extern struct platform g_fake;
extern bool g_fake_no_memory; /* the next as_map fails */

void fake_init(void);
/* What the platform has at va. */
struct fake_page fake_lookup(struct mm *mm, uint64_t va);
/* Loads and stores as a guest: 0, or the error of mm_fault (-ENXIO also for a host SIGBUS). */
int fake_load(struct mm *mm, uint64_t va, uint8_t *value);
int fake_store(struct mm *mm, uint64_t va, uint8_t value);
/* bug() if a freed frame is mapped anywhere in mm. */
void fake_check(struct mm *mm);
uint64_t fake_mmap(struct mm *mm, uint64_t size, unsigned prot, unsigned flags);

/* A host file as a mappable. */
struct file *fake_file_new(const void *data, uint64_t size, bool writable);
struct mappable *fake_file_mappable(struct file *f);
int fake_file_fd(struct file *f);
void fake_file_put(struct file *f); /* what file_put does in these tests */
unsigned fake_file_refs(struct file *f);
/* Change the size as the owning filesystem would: new state, then zap. */
void fake_file_truncate(struct file *f, uint64_t size);
