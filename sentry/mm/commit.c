/* Overcommit (vm/overcommit-accounting.rst): what has been promised to all address spaces, and
 * whether more may be. */
#include "mm_priv.h"

struct mm_knobs g_mm_knobs = {.overcommit_ratio = 50, .max_map_count = 65530};

enum { OVERCOMMIT_GUESS, OVERCOMMIT_ALWAYS, OVERCOMMIT_NEVER };

static uint64_t g_committed; /* atomic */

static int64_t knob(const int64_t *at)
{
    return __atomic_load_n(at, __ATOMIC_RELAXED);
}

void mm_commit_add(uint64_t size)
{
    __atomic_fetch_add(&g_committed, size, __ATOMIC_RELAXED);
}

uint64_t mm_committed(void)
{
    int64_t now = __atomic_load_n(&g_committed, __ATOMIC_RELAXED);
    return now > 0 ? now : 0;
}

uint64_t mm_commit_limit(void)
{
    uint64_t kbytes = knob(&g_mm_knobs.overcommit_kbytes);
    return kbytes ? kbytes << 10
                  : memfile_total() / 100 * (uint64_t)knob(&g_mm_knobs.overcommit_ratio);
}

int mm_may_commit(uint64_t size, bool noreserve)
{
    uint64_t sum;
    switch (knob(&g_mm_knobs.overcommit_memory)) {
    case OVERCOMMIT_GUESS: /* refuse only what can never fit */
        return !noreserve && size > memfile_total() ? -ENOMEM : 0;
    case OVERCOMMIT_NEVER:
        return !add_u64(mm_committed(), size, &sum) || sum > mm_commit_limit() ? -ENOMEM : 0;
    }
    return 0;
}
