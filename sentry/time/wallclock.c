/* The sandbox's wall clock: the host's plus an offset that a holder of CAP_SYS_TIME sets
 * (clock_settime, settimeofday, adjtimex). A step is told to whoever waits by the wall clock: the
 * watchers, and (by kernel/) the tasks that sleep until a time of it.
 *
 * Of the kernel's clock discipline the variables are kept and told; they do not steer the rate. */
#include "base/host.h"
#include "base/lock.h"
#include "base/overflow.h"
#include "time/time.h"
#include "time/time_priv.h"

#include <errno.h>
#include <string.h>
#include <sys/timex.h>

#define SETTIME_MAX    ((INT64_MAX / NSEC_PER_SEC) - 30ll * 365 * 24 * 3600) /* thirty years to go */
#define SLEW_NS_PER_S  500000ll /* adjtime(3) moves the clock this fast */
#define SLEW_MAX_US    2145000000ll
#define PHASE_LIMIT_NS 500000000ll
#define FREQ_LIMIT     (500ll << 16)
#define STATUS_READONLY                                                                            \
    (STA_PPSSIGNAL | STA_PPSJITTER | STA_PPSWANDER | STA_PPSERROR | STA_CLOCKERR | STA_NANO |      \
     STA_MODE | STA_CLK)

static struct {
    struct lock lock;     /* LR_CLOCK */
    struct list watchers; /* lock: lock */
    int64_t offset_ns;    /* lock: lock to write, atomic to read */
    uint64_t steps;       /* atomic */
    struct timezone tz;   /* lock: lock */
    /* lock: lock; the discipline's variables, in adjtimex's own units */
    int64_t freq, maxerror, esterror, constant, tick, phase;
    int64_t slew_ns;    /* lock: lock to write, atomic to read; adjtime(3): still to be made up */
    int64_t slew_since; /* lock: lock; monotonic */
    int status, tai;
} g_wall = {.lock = LOCK_INITIALIZER(LR_CLOCK),
            .watchers = LIST_INIT(g_wall.watchers),
            .maxerror = 16000000,
            .esterror = 16000000,
            .constant = 2,
            .tick = 10000,
            .status = STA_UNSYNC};

int64_t wallclock_offset(void)
{
    return __atomic_load_n(&g_wall.offset_ns, __ATOMIC_RELAXED);
}

uint64_t time_steps(void)
{
    return __atomic_load_n(&g_wall.steps, __ATOMIC_ACQUIRE);
}

int64_t wallclock_tai_ns(void)
{
    return __atomic_load_n(&g_wall.tai, __ATOMIC_RELAXED) * NSEC_PER_SEC;
}

void time_stamp(struct timespec *ts)
{
    clock_gettime(CLOCK_REALTIME_COARSE, ts);
    int64_t offset = wallclock_offset();
    if (offset)
        time_to_timespec(ts->tv_sec * NSEC_PER_SEC + ts->tv_nsec + offset, ts);
}

void clock_watch(struct clock_watch *w, void (*fn)(struct clock_watch *w, int64_t delta))
{
    LOCK_GUARD(&g_wall.lock);
    w->fn = fn;
    list_push_back(&g_wall.watchers, &w->node);
}

void clock_unwatch(struct clock_watch *w)
{
    LOCK_GUARD(&g_wall.lock);
    list_del(&w->node);
}

static void shift_locked(int64_t delta)
{
    __atomic_store_n(&g_wall.offset_ns, g_wall.offset_ns + delta, __ATOMIC_RELAXED);
    vdso_clock_set();
}

static void step_locked(int64_t delta)
{
    struct clock_watch *w;
    shift_locked(delta);
    __atomic_fetch_add(&g_wall.steps, 1, __ATOMIC_RELEASE);
    list_for_each(w, &g_wall.watchers, node) w->fn(w, delta);
}

/* What the slew has made up since it was last looked at. */
static void slew_settle_locked(void)
{
    int64_t now = time_now(), done = (now - g_wall.slew_since) / NSEC_PER_SEC * SLEW_NS_PER_S +
                                     (now - g_wall.slew_since) % NSEC_PER_SEC / 2000;
    int64_t left = g_wall.slew_ns;
    done = left < 0 ? MAX(-done, left) : MIN(done, left);
    g_wall.slew_since = now;
    __atomic_store_n(&g_wall.slew_ns, left - done, __ATOMIC_RELAXED);
    if (done)
        shift_locked(done);
}

void time_settle(void)
{
    if (!__atomic_load_n(&g_wall.slew_ns, __ATOMIC_RELAXED))
        return;
    LOCK_GUARD(&g_wall.lock);
    slew_settle_locked();
}

/* The wall clock cannot be earlier than the monotonic one, nor too near its end. */
static bool settable(int64_t ns)
{
    return ns >= time_now() && ns / NSEC_PER_SEC < SETTIME_MAX;
}

int time_set_realtime(int64_t ns)
{
    LOCK_GUARD(&g_wall.lock);
    if (!settable(ns))
        return -EINVAL;
    g_wall.slew_ns = g_wall.phase = 0;
    g_wall.status |= STA_UNSYNC;
    g_wall.maxerror = g_wall.esterror = 16000000;
    step_locked(ns - time_realtime());
    return 0;
}

void time_zone_get(struct timezone *tz)
{
    LOCK_GUARD(&g_wall.lock);
    *tz = g_wall.tz;
}

void time_zone_set(const struct timezone *tz)
{
    LOCK_GUARD(&g_wall.lock);
    g_wall.tz = *tz;
}

/* ---- adjtimex ---------------------------------------------------------------------------------
 */

static bool step_valid(const struct timex *tx)
{
    int64_t limit = tx->modes & ADJ_NANO ? NSEC_PER_SEC : 1000000;
    return tx->time.tv_usec >= 0 && tx->time.tv_usec < limit;
}

int time_adjust_check(const struct timex *tx, bool privileged)
{
    if (tx->modes & 0x8000) { /* adjtime(3): ADJ_OFFSET_SINGLESHOT, or _SS_READ */
        if (!(tx->modes & ADJ_OFFSET))
            return -EINVAL;
        if (!(tx->modes & ADJ_NANO) && !privileged)
            return -EPERM;
    } else {
        if (tx->modes && !privileged)
            return -EPERM;
        if (tx->modes & ADJ_TICK && (tx->tick < 9000 || tx->tick > 11000))
            return -EINVAL;
    }
    if (tx->modes & ADJ_SETOFFSET && !privileged)
        return -EPERM;
    if (tx->modes & ADJ_SETOFFSET && !step_valid(tx))
        return -EINVAL;
    if (tx->modes & ADJ_FREQUENCY && (tx->freq > INT64_MAX / 65536 || tx->freq < INT64_MIN / 65536))
        return -EINVAL;
    return 0;
}

static int64_t clamped(int64_t v, int64_t low, int64_t high)
{
    return v < low ? low : v > high ? high : v;
}

static void status_locked(const struct timex *tx)
{
    if (tx->modes & ADJ_STATUS)
        g_wall.status = (g_wall.status & STATUS_READONLY) | (tx->status & ~STATUS_READONLY);
    if (tx->modes & ADJ_NANO)
        g_wall.status |= STA_NANO;
    if (tx->modes & ADJ_MICRO)
        g_wall.status &= ~STA_NANO;
}

static void variables_locked(const struct timex *tx)
{
    if (tx->modes & ADJ_FREQUENCY)
        g_wall.freq = clamped(tx->freq, -FREQ_LIMIT, FREQ_LIMIT);
    if (tx->modes & ADJ_MAXERROR)
        g_wall.maxerror = clamped(tx->maxerror, 0, 16000000);
    if (tx->modes & ADJ_ESTERROR)
        g_wall.esterror = clamped(tx->esterror, 0, 16000000);
    if (tx->modes & ADJ_TIMECONST)
        g_wall.constant =
            clamped(clamped(tx->constant, 0, 10) + (g_wall.status & STA_NANO ? 0 : 4), 0, 10);
    if (tx->modes & ADJ_TAI && tx->constant >= 0 && tx->constant <= 100000)
        __atomic_store_n(&g_wall.tai, (int)tx->constant, __ATOMIC_RELAXED);
    if (tx->modes & ADJ_OFFSET && g_wall.status & STA_PLL)
        g_wall.phase = clamped(clamped(tx->offset, -NSEC_PER_SEC, NSEC_PER_SEC) *
                                   (g_wall.status & STA_NANO ? 1 : 1000),
                               -PHASE_LIMIT_NS, PHASE_LIMIT_NS);
    if (tx->modes & ADJ_TICK)
        g_wall.tick = tx->tick;
}

static void report_locked(struct timex *tx)
{
    bool nano = g_wall.status & STA_NANO;
    int64_t now = time_realtime();
    if ((tx->modes & 0x8000) == 0)
        tx->offset = nano ? g_wall.phase : g_wall.phase / 1000;
    tx->freq = g_wall.freq;
    tx->maxerror = g_wall.maxerror;
    tx->esterror = g_wall.esterror;
    tx->status = g_wall.status;
    tx->constant = g_wall.constant;
    tx->precision = 1;
    tx->tolerance = FREQ_LIMIT;
    tx->tick = g_wall.tick;
    tx->tai = g_wall.tai;
    tx->ppsfreq = tx->jitter = tx->stabil = tx->jitcnt = tx->calcnt = tx->errcnt = 0;
    tx->shift = 0;
    tx->stbcnt = 0;
    tx->time.tv_sec = now / NSEC_PER_SEC;
    tx->time.tv_usec = now % NSEC_PER_SEC / (nano ? 1 : 1000);
}

int time_adjust(struct timex *tx)
{
    LOCK_GUARD(&g_wall.lock);
    if (tx->modes & ADJ_SETOFFSET) {
        int64_t delta, unit = tx->modes & ADJ_NANO ? 1 : 1000, target;
        if (__builtin_mul_overflow((int64_t)tx->time.tv_sec, NSEC_PER_SEC, &delta) ||
            __builtin_add_overflow(delta, tx->time.tv_usec * unit, &delta) ||
            __builtin_add_overflow(time_realtime(), delta, &target) || !settable(target))
            return -EINVAL;
        step_locked(delta);
    }
    slew_settle_locked();
    if (tx->modes & 0x8000) {
        int64_t left = g_wall.slew_ns / 1000, by = clamped(tx->offset, -SLEW_MAX_US, SLEW_MAX_US);
        if (!(tx->modes & ADJ_NANO))
            __atomic_store_n(&g_wall.slew_ns, by * 1000, __ATOMIC_RELAXED);
        tx->offset = left;
    } else {
        status_locked(tx);
        variables_locked(tx);
    }
    report_locked(tx);
    return g_wall.status & (STA_UNSYNC | STA_CLOCKERR) ? TIME_ERROR : TIME_OK;
}

void wallclock_init(void)
{
    int64_t lead = host_clock_ns(CLOCK_TAI) - host_clock_ns(CLOCK_REALTIME);
    g_wall.tai = (int)((lead + NSEC_PER_SEC / 2) / NSEC_PER_SEC);
}
