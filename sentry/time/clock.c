/* Clocks: the host's own, read through libc's vDSO, and conversions with every overflow saturated.
 */
#include "base/host.h"
#include "time/time.h"
#include "time/time_priv.h"

#include <errno.h>

int64_t time_now(void)
{
    return host_clock_ns(CLOCK_MONOTONIC);
}

int64_t time_realtime(void)
{
    return host_clock_ns(CLOCK_REALTIME) + wallclock_offset();
}

/* A coarse clock answers like its fine one, as it does in the vDSO: together they never go back. */
int time_clock_get(int clockid, int64_t *ns)
{
    switch (clockid) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_REALTIME_ALARM:
        vdso_refresh();
        *ns = time_realtime();
        return 0;
    case CLOCK_TAI:
        *ns = time_realtime() + wallclock_tai_ns();
        return 0;
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE:
        vdso_refresh();
        *ns = host_clock_ns(CLOCK_MONOTONIC);
        return 0;
    case CLOCK_BOOTTIME:
    case CLOCK_BOOTTIME_ALARM:
        vdso_refresh();
        *ns = host_clock_ns(CLOCK_BOOTTIME);
        return 0;
    default:
        return -EINVAL;
    }
}

int64_t time_after(int64_t ns)
{
    int64_t sum;
    if (ns < 0)
        ns = 0;
    return __builtin_add_overflow(time_now(), ns, &sum) ? DEADLINE_NEVER : sum;
}

int64_t time_to_deadline(int clockid, int64_t ns)
{
    int64_t now, delta, sum;
    if (ns == DEADLINE_NEVER)
        return DEADLINE_NEVER;
    if (clockid == CLOCK_MONOTONIC || time_clock_get(clockid, &now))
        return ns;
    if (__builtin_sub_overflow(ns, now, &delta) || __builtin_add_overflow(time_now(), delta, &sum))
        return ns < 0 ? 0 : DEADLINE_NEVER;
    return sum < 0 ? 0 : sum;
}

int64_t time_sleep_deadline(int clockid, int64_t ns)
{
    if (ns == DEADLINE_NEVER)
        return ns;
    if (clockid == CLOCK_REALTIME || clockid == CLOCK_REALTIME_ALARM)
        return ~ns;
    if (clockid == CLOCK_TAI)
        return ~(ns > wallclock_tai_ns() ? ns - wallclock_tai_ns() : 0);
    return time_to_deadline(clockid, ns);
}

int time_from_timespec(const struct timespec *ts, int64_t *ns)
{
    int64_t v;
    if (ts->tv_nsec < 0 || ts->tv_nsec >= NSEC_PER_SEC || ts->tv_sec < 0)
        return -EINVAL;
    if (__builtin_mul_overflow((int64_t)ts->tv_sec, NSEC_PER_SEC, &v) ||
        __builtin_add_overflow(v, ts->tv_nsec, &v))
        v = DEADLINE_NEVER;
    *ns = v;
    return 0;
}

void time_to_timespec(int64_t ns, struct timespec *ts)
{
    ts->tv_sec = ns / NSEC_PER_SEC;
    ts->tv_nsec = ns % NSEC_PER_SEC;
    if (ts->tv_nsec < 0) {
        ts->tv_nsec += NSEC_PER_SEC;
        ts->tv_sec--;
    }
}
