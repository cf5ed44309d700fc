/* The vDSO's image and parameter page in the memory file, and the calibration behind the page.
 *
 * Rate: the host's CLOCK_MONOTONIC against the TSC since start-up; the longer the baseline, the
 * better. The published rate is a little low on purpose, so that a reading extrapolated from the
 * page never runs ahead of the host's clock: what a system call answers later is then never
 * earlier. Refreshing happens when a guest's reading falls back to a system call. Until the
 * baseline is long enough, or if the TSC turns out not to be steady, or guest code does not see the
 * host's TSC, the page stays invalid. */
#include "base/host.h"
#include "base/lock.h"
#include "base/log.h"
#include "mm/mm.h"
#include "time/time.h"
#include "time/time_priv.h"
#include "time/vdso/vdso_params.h"

#include <string.h>
#include <x86intrin.h>

extern const char g_vdso_image_start[], g_vdso_image_end[];

#define CALIBRATE_MIN_NS  (50 * 1000000ll)   /* shortest baseline worth publishing */
#define CALIBRATE_LONG_NS (2 * NSEC_PER_SEC) /* from here on the estimate is as good as it gets */
#define VALID_NS          (1 * NSEC_PER_SEC) /* how long a published page answers */
#define REFRESH_MIN_NS    (20 * 1000000ll)   /* do not refresh more often */
#define STEADY_LIMIT      1000               /* estimates may differ by one part in this */

struct sample {
    uint64_t tsc;
    int64_t mono_ns;
};

static struct {
    struct lock lock;
    struct vdso_params *page; /* const after init */
    bool enabled;             /* lock: lock */
    struct sample first;      /* const after init */
    uint64_t mult;            /* lock: lock; last estimate, 0 = none */
    int64_t refreshed_ns;     /* lock: lock */
} g_vdso = {.lock = LOCK_INITIALIZER(LR_LEAF)};

/* The tightest of a few bracketed readings. */
static struct sample sample_take(void)
{
    struct sample best = {0};
    uint64_t best_width = UINT64_MAX;
    for (int i = 0; i < 5; i++) {
        uint64_t before = __rdtsc();
        int64_t ns = host_clock_ns(CLOCK_MONOTONIC);
        uint64_t width = __rdtsc() - before;
        if (width < best_width) {
            best_width = width;
            best = (struct sample){.tsc = before + width / 2, .mono_ns = ns};
        }
    }
    return best;
}

static uint64_t rate_estimate(const struct sample *now)
{
    uint64_t ticks = now->tsc - g_vdso.first.tsc;
    int64_t ns = now->mono_ns - g_vdso.first.mono_ns;
    return (uint64_t)(((unsigned __int128)ns << 32) / (ticks ? ticks : 1));
}

/* Relative safety margin of the published rate, shrinking as the baseline grows. */
static uint64_t rate_lowered(uint64_t mult, int64_t baseline_ns)
{
    return mult - mult / (baseline_ns < CALIBRATE_LONG_NS ? 100000 : 2000000);
}

static void page_publish(const struct sample *s, uint64_t mult, int64_t valid_ns)
{
    volatile struct vdso_params *p = g_vdso.page;
    __atomic_store_n(&p->seq, p->seq + 1, __ATOMIC_SEQ_CST);
    p->base_tsc = s->tsc;
    p->mult = mult;
    p->mono_ns = s->mono_ns;
    p->real_ns = s->mono_ns + (time_realtime() - host_clock_ns(CLOCK_MONOTONIC));
    p->boot_ns = s->mono_ns + (host_clock_ns(CLOCK_BOOTTIME) - host_clock_ns(CLOCK_MONOTONIC));
    p->valid_ticks = (uint64_t)(((unsigned __int128)valid_ns << 32) / mult);
    __atomic_store_n(&p->seq, p->seq + 1, __ATOMIC_SEQ_CST);
}

static void vdso_disable_locked(void)
{
    log_debug("vdso: the TSC is not steady; clock reads stay system calls");
    g_vdso.enabled = false;
    g_vdso.page->valid_ticks = 0;
}

static void vdso_refresh_locked(void)
{
    struct sample now = sample_take();
    int64_t baseline = now.mono_ns - g_vdso.first.mono_ns;
    if (baseline < CALIBRATE_MIN_NS || now.mono_ns - g_vdso.refreshed_ns < REFRESH_MIN_NS)
        return;
    uint64_t mult = rate_estimate(&now);
    uint64_t diff = mult > g_vdso.mult ? mult - g_vdso.mult : g_vdso.mult - mult;
    if (now.tsc <= g_vdso.first.tsc || !mult || (g_vdso.mult && diff > mult / STEADY_LIMIT)) {
        vdso_disable_locked();
        return;
    }
    g_vdso.mult = mult;
    g_vdso.refreshed_ns = now.mono_ns;
    page_publish(&now, rate_lowered(mult, baseline), baseline < VALID_NS ? baseline : VALID_NS);
}

void vdso_refresh(void)
{
    if (!__atomic_load_n(&g_vdso.enabled, __ATOMIC_RELAXED))
        return;
    LOCK_GUARD(&g_vdso.lock);
    if (g_vdso.enabled)
        vdso_refresh_locked();
}

/* Readers that saw the old offset finish before seq changes; the next one asks us. */
void vdso_clock_set(void)
{
    LOCK_GUARD(&g_vdso.lock);
    volatile struct vdso_params *p = g_vdso.page;
    if (!p)
        return;
    __atomic_store_n(&p->seq, p->seq + 1, __ATOMIC_SEQ_CST);
    p->valid_ticks = 0;
    __atomic_store_n(&p->seq, p->seq + 1, __ATOMIC_SEQ_CST);
    g_vdso.refreshed_ns -= REFRESH_MIN_NS;
    if (g_vdso.enabled)
        vdso_refresh_locked();
}

void vdso_enable(void)
{
    LOCK_GUARD(&g_vdso.lock);
    g_vdso.enabled = true;
}

int vdso_init(struct vdso *out)
{
    uint64_t size = g_vdso_image_end - g_vdso_image_start, image_size, offset;
    image_size = (size + PL_PAGE_SIZE - 1) & ~(uint64_t)(PL_PAGE_SIZE - 1);
    int err = memfile_alloc(image_size + PL_PAGE_SIZE, &offset);
    if (err)
        return err;
    g_vdso.page = memfile_ptr(offset);
    memcpy(memfile_ptr(offset + PL_PAGE_SIZE), g_vdso_image_start, size);
    g_vdso.first = sample_take();
    *out = (struct vdso){.image_offset = offset + PL_PAGE_SIZE,
                         .image_size = image_size,
                         .param_offset = offset,
                         .param_size = PL_PAGE_SIZE};
    return 0;
}
