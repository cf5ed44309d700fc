/* Counted references with saturation checks. */
#include "base/ref.h"
#include "base/log.h"

#define REF_MAX 0x40000000u /* far above any honest count: more is a leak about to overflow */

void ref_init(struct ref *r)
{
    __atomic_store_n(&r->count, 1, __ATOMIC_RELAXED);
}

void ref_get(struct ref *r)
{
    uint32_t old = __atomic_fetch_add(&r->count, 1, __ATOMIC_RELAXED);
    bug_on(old == 0 || old > REF_MAX);
}

bool ref_get_unless_zero(struct ref *r)
{
    uint32_t old = __atomic_load_n(&r->count, __ATOMIC_RELAXED);
    do {
        if (old == 0)
            return false;
        bug_on(old > REF_MAX);
    } while (!__atomic_compare_exchange_n(&r->count, &old, old + 1, /*weak=*/true, __ATOMIC_ACQUIRE,
                                          __ATOMIC_RELAXED));
    return true;
}

bool ref_put(struct ref *r)
{
    uint32_t old = __atomic_fetch_sub(&r->count, 1, __ATOMIC_ACQ_REL);
    bug_on(old == 0 || old > REF_MAX);
    return old == 1;
}

uint32_t ref_read(const struct ref *r)
{
    return __atomic_load_n(&r->count, __ATOMIC_ACQUIRE);
}
