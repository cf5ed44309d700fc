/* Page tables' memory: one sparse mapping, with memory slots put under it as it grows.
 *
 * Where KVM shadows our tables (no nested paging), it does not see us write to them, and keeps a
 * shadow of a table by its guest-physical address even after we have freed it. A page that was a
 * table there is *dirty*: it is not given out again until KVM was made to drop all shadows.
 *
 * Where paging is nested, a vCPU at rest keeps the CR3 that it had, and the first instruction of
 * its next entry, which loads the new one, is fetched through the old. So a page that was a root
 * never becomes anything else: it stays a root, with the kernel half in its place. */
#include "kvm_priv.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define ARENA_PAGES     (KVM_ARENA_SIZE / PL_PAGE_SIZE)
#define ARENA_DIRTY_MAX 2048u

int kvm_arena_create(struct kvm_platform *p)
{
    struct kvm_arena *a = &p->arena;
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    pthread_mutex_init(&a->lock, NULL);
    a->base = mmap(NULL, KVM_ARENA_SIZE, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (a->base == MAP_FAILED) {
        a->base = NULL;
        return -ENOMEM;
    }
    madvise(a->base, KVM_ARENA_SIZE, MADV_DONTDUMP);
    madvise(a->base, KVM_ARENA_SIZE, MADV_NOHUGEPAGE);
    void *info = mmap(NULL, ARENA_PAGES * sizeof(*a->info), PROT_READ | PROT_WRITE, flags, -1, 0);
    if (info == MAP_FAILED)
        return -ENOMEM;
    a->info = info;
    return 0;
}

void kvm_arena_destroy(struct kvm_platform *p)
{
    if (p->arena.base)
        munmap(p->arena.base, KVM_ARENA_SIZE);
    if (p->arena.info)
        munmap(p->arena.info, ARENA_PAGES * sizeof(*p->arena.info));
    pthread_mutex_destroy(&p->arena.lock);
}

static void arena_wash_locked(struct kvm_platform *p)
{
    struct kvm_arena *a = &p->arena;
    kvm_shadow_drop(p);
    a->free = a->dirty;
    a->dirty = 0;
    a->dirty_count = 0;
}

static uint32_t list_pop_locked(struct kvm_arena *a, uint32_t *list)
{
    uint32_t page = *list - 1;
    *list = a->info[page].next;
    return page;
}

static int arena_grow_locked(struct kvm_platform *p, uint32_t *page)
{
    struct kvm_arena *a = &p->arena;
    if (a->used == ARENA_PAGES)
        return -ENOMEM;
    if ((uint64_t)a->used * PL_PAGE_SIZE == a->slots * KVM_ARENA_SLOT) {
        uint64_t at = a->slots * KVM_ARENA_SLOT;
        int rc = kvm_slot_add(p, KVM_ARENA_GPA + at, KVM_ARENA_SLOT, a->base + at);
        if (rc < 0)
            return rc;
        a->slots++;
    }
    *page = a->used++;
    return 0;
}

static int arena_take(struct kvm_platform *p, bool root, uint64_t *gpa)
{
    struct kvm_arena *a = &p->arena;
    uint32_t page = 0;
    int rc = 0;
    pthread_mutex_lock(&a->lock);
    if (!a->free && a->dirty && (a->dirty_count >= ARENA_DIRTY_MAX || a->used == ARENA_PAGES))
        arena_wash_locked(p);
    if (root && a->roots)
        page = list_pop_locked(a, &a->roots);
    else if (a->free)
        page = list_pop_locked(a, &a->free);
    else
        rc = arena_grow_locked(p, &page);
    pthread_mutex_unlock(&a->lock);
    if (rc < 0)
        return rc;
    a->info[page] = (struct kvm_table_info){0};
    *gpa = KVM_ARENA_GPA + (uint64_t)page * PL_PAGE_SIZE;
    return 0;
}

int kvm_table_alloc(struct kvm_platform *p, uint64_t *gpa)
{
    int rc = arena_take(p, /*root=*/false, gpa);
    if (rc == 0)
        memset(kvm_table(p, *gpa), 0, PL_PAGE_SIZE);
    return rc;
}

int kvm_root_alloc(struct kvm_platform *p, uint64_t *gpa)
{
    int rc = arena_take(p, /*root=*/true, gpa);
    if (rc < 0)
        return rc;
    uint64_t *t = kvm_table(p, *gpa);
    memset(t, 0, 511 * sizeof(*t)); /* the last is never without its value, see above */
    __atomic_store_n(&t[511], KVM_KP_PDPT * PL_PAGE_SIZE | KVM_PTE_P | KVM_PTE_W, __ATOMIC_SEQ_CST);
    return 0;
}

static void arena_give(struct kvm_platform *p, uint64_t gpa, uint32_t *list)
{
    struct kvm_arena *a = &p->arena;
    uint32_t page = (uint32_t)(((gpa & KVM_PTE_ADDR) - KVM_ARENA_GPA) / PL_PAGE_SIZE);
    pthread_mutex_lock(&a->lock);
    a->info[page].next = *list;
    *list = page + 1;
    a->dirty_count += p->shadow;
    pthread_mutex_unlock(&a->lock);
}

void kvm_table_free(struct kvm_platform *p, uint64_t gpa)
{
    arena_give(p, gpa, p->shadow ? &p->arena.dirty : &p->arena.free);
}

void kvm_root_free(struct kvm_platform *p, uint64_t gpa)
{
    arena_give(p, gpa, p->shadow ? &p->arena.dirty : &p->arena.roots);
}
