/* Address spaces: one tree of page tables each, and the flush that makes a taking-away true.
 *
 * as_map and friends change the tables at once. What a processor may still have cached is dealt
 * with by as_flush: every vCPU that is inside the guest under these tables is brought out, and
 * loads CR3 anew before it goes in again (as->gen). Where KVM shadows the tables, its shadow
 * entries are made to go by dropping the sentry's own translations of the same frames
 * (MADV_DONTNEED on a shared mapping loses nothing): KVM's MMU notifier then drops every shadow
 * entry that maps them. */
#include "kvm_priv.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

int kvm_as_create(struct platform *pl, struct pl_aspace **out)
{
    struct kvm_platform *p = (struct kvm_platform *)pl;
    struct pl_aspace *as = calloc(1, sizeof(*as));
    if (!as)
        return -ENOMEM;
    int rc = kvm_root_alloc(p, &as->root);
    if (rc < 0) {
        free(as);
        return rc;
    }
    as->p = p;
    as->id = atomic_fetch_add(&p->as_next_id, 1) + 1;
    pthread_mutex_init(&as->lock, NULL);
    *out = as;
    return 0;
}

/* Nobody runs here any more, so no flush: a vCPU that still has this CR3 goes by as->id. Under
 * shadow paging the frames may be given out again at once too, because the tables' addresses are
 * not. */
static void as_free_deferred_locked(struct pl_aspace *as)
{
    while (as->deferred) {
        uint32_t page = as->deferred - 1;
        as->deferred = as->p->arena.info[page].next;
        kvm_table_free(as->p, KVM_ARENA_GPA + (uint64_t)page * PL_PAGE_SIZE);
    }
}

void kvm_as_destroy(struct pl_aspace *as)
{
    as_free_deferred_locked(as);
    kvm_pt_free_all(as);
    pthread_mutex_destroy(&as->lock);
    free(as);
}

static int as_map_locked(struct pl_aspace *as, uint64_t va, uint64_t size, unsigned prot,
                         const uint8_t *hva)
{
    uint64_t done = 0, gpa, run;
    while (done < size) {
        int rc = kvm_gpa_find(as->p, hva + done, &gpa, &run);
        if (rc < 0)
            return rc;
        run = run < size - done ? run : size - done;
        rc = kvm_pt_map_locked(as, va + done, run, gpa, prot);
        if (rc < 0)
            return rc;
        done += run;
    }
    return 0;
}

static bool range_ok(uint64_t va, uint64_t size)
{
    return !((va | size) & (PL_PAGE_SIZE - 1)) && va <= KVM_VA_END && size <= KVM_VA_END - va;
}

int kvm_as_map(struct pl_aspace *as, uint64_t va, uint64_t size, unsigned prot,
               const struct pl_backing *b, bool precommit)
{
    if (!range_ok(va, size) || !b->hva || (uintptr_t)b->hva & (PL_PAGE_SIZE - 1))
        return -EINVAL;
    pthread_mutex_lock(&as->lock);
    int rc = as_map_locked(as, va, size, prot, b->hva);
    if (rc < 0)
        kvm_pt_unmap_locked(as, va, size);
    pthread_mutex_unlock(&as->lock);
    return rc;
}

int kvm_as_unmap(struct pl_aspace *as, uint64_t va, uint64_t size)
{
    if (!range_ok(va, size))
        return -EINVAL;
    pthread_mutex_lock(&as->lock);
    int rc = kvm_pt_unmap_locked(as, va, size);
    pthread_mutex_unlock(&as->lock);
    return rc;
}

int kvm_as_protect(struct pl_aspace *as, uint64_t va, uint64_t size, unsigned prot)
{
    if (!range_ok(va, size))
        return -EINVAL;
    pthread_mutex_lock(&as->lock);
    int rc = kvm_pt_protect_locked(as, va, size, prot);
    pthread_mutex_unlock(&as->lock);
    return rc;
}

/* Bring v out of the guest if it runs under as. A signal always gets a thread out of KVM_RUN, so
 * this ends; the time-out only covers a kick that came between two entries. */
static void as_kick_wait(struct pl_aspace *as, struct kvm_vcpu *v)
{
    const struct timespec again = {.tv_nsec = 2000000};
    uint32_t left = atomic_load(&v->left);
    while (atomic_load(&v->active) == as && atomic_load(&v->left) == left) {
        kvm_vcpu_kick(v);
        syscall(SYS_futex, &v->left, FUTEX_WAIT_PRIVATE, left, &again, NULL, 0);
    }
}

static void as_kick_all(struct pl_aspace *as)
{
    struct kvm_platform *p = as->p;
    pthread_mutex_lock(&p->pool_lock);
    unsigned count =
        p->vcpu_count; /* vCPUs are only ever added, and start with the new generation */
    pthread_mutex_unlock(&p->pool_lock);
    atomic_fetch_add(&p->flush_waiters, 1);
    for (unsigned i = 0; i < count; i++)
        as_kick_wait(as, p->vcpu[i]);
    atomic_fetch_sub(&p->flush_waiters, 1);
}

static void as_zap_shadow_locked(struct pl_aspace *as)
{
    for (unsigned i = 0; i < as->zap_count; i++) {
        struct kvm_zap *z = &as->zap[i];
        void *at = (void *)(uintptr_t)z->lo;
        if (madvise(at, z->hi - z->lo, MADV_DONTNEED) < 0 && errno != ENOMEM)
            as->zap_all = true;
    }
    if (as->zap_all)
        kvm_shadow_drop(as->p);
    as->zap_all = false;
    as->zap_count = 0;
}

int kvm_as_flush(struct pl_aspace *as)
{
    if (!atomic_load(&as->need_flush))
        return 0;
    pthread_mutex_lock(&as->lock);
    if (atomic_load(&as->need_flush)) {
        atomic_fetch_add(&as->gen, 1);
        as_kick_all(as);
        as_zap_shadow_locked(as);
        as_free_deferred_locked(as);
        /* Only now: who finds it false relies on the flush being over. */
        atomic_store(&as->need_flush, false);
    }
    pthread_mutex_unlock(&as->lock);
    return 0;
}
