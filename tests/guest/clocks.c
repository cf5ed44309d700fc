/* Which clock can do what, for whom, and what is said of arguments that make no sense. Setting the
 * wall clock itself is tried by apps/cli/wallclock: outside it would be the host's. */
#include "guest.h"

#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <sys/times.h>
#include <sys/timex.h>

static const struct timespec g_zero, g_bad = {0, 1000000000}, g_negative = {-1, 0};

static long gettime(int clock, void *ts)
{
    return syscall(SYS_clock_gettime, clock, ts);
}
static long settime(int clock, const void *ts)
{
    return syscall(SYS_clock_settime, clock, ts);
}
static long nap(int clock, int flags, const void *ts)
{
    return syscall(SYS_clock_nanosleep, clock, flags, ts, NULL);
}

static int cpu_clock_of(int pid, int kind)
{
    return (int)((unsigned)~pid << 3) | kind;
}

static const int g_plain[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_TAI};
static const int g_fixed[] = {CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE};
static const int g_unknown[] = {10, 12, 16, INT32_MAX};

static void reading(void)
{
    struct timespec ts;
    for (int i = 0; i < 12; i++) {
        if (i == 8 || i == 9 || i == 10)
            continue;
        OK(gettime(i, &ts));
        CHECK_ERR(gettime(i, (void *)8), EFAULT);
        OK(syscall(SYS_clock_getres, i, NULL));
        CHECK_ERR(syscall(SYS_clock_getres, i, 8), EFAULT);
        OK(syscall(SYS_clock_getres, i, &ts));
        CHECK_EQ(ts.tv_sec, 0);
        if (i != CLOCK_REALTIME_COARSE && i != CLOCK_MONOTONIC_COARSE)
            CHECK_EQ(ts.tv_nsec, 1);
        else
            CHECK(ts.tv_nsec >= 1000000 && ts.tv_nsec <= 10000000);
    }
    for (int i = 0; i < 4; i++) {
        CHECK_ERR(gettime(g_unknown[i], &ts), EINVAL);
        CHECK_ERR(syscall(SYS_clock_getres, g_unknown[i], &ts), EINVAL);
        CHECK_ERR(nap(g_unknown[i], 0, &g_zero), EINVAL);
        CHECK_ERR(settime(g_unknown[i], &g_zero), EINVAL);
    }
    CHECK_ERR(gettime(-13, &ts), EINVAL); /* a descriptor that is no clock */
}

static void setting_errors(void)
{
    CHECK_ERR(settime(CLOCK_REALTIME, &g_bad), EINVAL);
    CHECK_ERR(settime(CLOCK_REALTIME, &g_negative), EINVAL);
    CHECK_ERR(settime(CLOCK_REALTIME, (void *)8), EFAULT);
    for (int i = 1; i < 8; i++)
        CHECK_ERR(settime(i, &g_zero), EINVAL);
    CHECK_ERR(settime(CLOCK_TAI, &g_zero), EINVAL);
    CHECK_ERR(settime(cpu_clock_of(getpid(), 2), &g_zero), EPERM);
    CHECK_ERR(settime(cpu_clock_of(99999, 2), &g_zero), EINVAL);
    struct timeval bad = {0, 1000001}, early = {-1, 0};
    CHECK_ERR(syscall(SYS_settimeofday, &bad, NULL), EINVAL);
    CHECK_ERR(syscall(SYS_settimeofday, &early, NULL), EINVAL);
    CHECK_ERR(syscall(SYS_settimeofday, 8, NULL), EFAULT);
    CHECK_ERR(syscall(SYS_settimeofday, NULL, 8), EFAULT);
    struct timezone tz = {1000, 0};
    CHECK_ERR(syscall(SYS_settimeofday, NULL, &tz), EINVAL);
}

static void setting_needs_a_right(void)
{
    IN_CHILD({
        struct timeval tv = {1600000000, 0};
        struct timespec ts = {1600000000, 0};
        OK(setuid(1000));
        CHECK_ERR(settime(CLOCK_REALTIME, &ts), EPERM);
        CHECK_ERR(settime(CLOCK_REALTIME, &g_bad), EINVAL);
        CHECK_ERR(syscall(SYS_settimeofday, &tv, NULL), EPERM);
        struct timex tx = {.modes = ADJ_FREQUENCY};
        CHECK_ERR(adjtimex(&tx), EPERM);
        tx = (struct timex){.modes = ADJ_OFFSET_SINGLESHOT};
        CHECK_ERR(adjtimex(&tx), EPERM);
        tx = (struct timex){.modes = ADJ_OFFSET_SS_READ};
        OK(adjtimex(&tx));
        tx = (struct timex){0};
        OK(adjtimex(&tx));
    });
}

static void discipline(void)
{
    struct timex tx = {0};
    CHECK(OK(adjtimex(&tx)) <= TIME_ERROR);
    CHECK_EQ(tx.tick, 10000);
    CHECK_EQ(tx.tolerance, 32768000);
    CHECK_EQ(tx.precision, 1);
    tx = (struct timex){.modes = ADJ_TICK, .tick = 8999};
    CHECK_ERR(adjtimex(&tx), EINVAL);
    tx = (struct timex){.modes = ADJ_TICK, .tick = 11001};
    CHECK_ERR(adjtimex(&tx), EINVAL);
    tx = (struct timex){.modes = 0x8000};
    CHECK_ERR(adjtimex(&tx), EINVAL);
    tx = (struct timex){.modes = ADJ_SETOFFSET, .time = {0, -1}};
    CHECK_ERR(adjtimex(&tx), EINVAL);
    tx = (struct timex){.modes = ADJ_SETOFFSET | ADJ_NANO, .time = {0, 1000000000}};
    CHECK_ERR(adjtimex(&tx), EINVAL);
    CHECK_ERR(syscall(SYS_adjtimex, 8), EFAULT);
    tx = (struct timex){0};
    OK(syscall(SYS_clock_adjtime, CLOCK_REALTIME, &tx));
    CHECK_ERR(syscall(SYS_clock_adjtime, CLOCK_MONOTONIC, &tx), EOPNOTSUPP);
    CHECK_ERR(syscall(SYS_clock_adjtime, CLOCK_MONOTONIC, 8), EFAULT);
    CHECK_ERR(syscall(SYS_clock_adjtime, 16, &tx), EINVAL);
}

static void sleeping_errors(void)
{
    for (int i = 0; i < 4; i++) {
        CHECK_ERR(nap(g_plain[i], 0, &g_bad), EINVAL);
        CHECK_ERR(nap(g_plain[i], TIMER_ABSTIME, &g_negative), EINVAL);
        CHECK_ERR(nap(g_plain[i], 0, (void *)8), EFAULT);
        OK(nap(g_plain[i], TIMER_ABSTIME, &g_zero));
        OK(nap(g_plain[i], 0x100, &g_zero));
    }
    for (int i = 0; i < 3; i++)
        CHECK_ERR(nap(g_fixed[i], 0, (void *)8), EOPNOTSUPP);
    CHECK_ERR(nap(CLOCK_THREAD_CPUTIME_ID, 0, &g_zero), EOPNOTSUPP);
    CHECK_ERR(nap(cpu_clock_of(getpid(), 6), 0, &g_zero), EINVAL);
    CHECK_ERR(nap(cpu_clock_of(99999, 2), 0, &g_zero), EINVAL);
    CHECK_ERR(nap(-13, 0, &g_zero), EOPNOTSUPP);
    CHECK_ERR(nanosleep(&g_bad, NULL), EINVAL);
    CHECK_ERR(syscall(SYS_nanosleep, 8, NULL), EFAULT);
}

static void clocks_of_others(void)
{
    pid_t child = OK(fork());
    if (!child) {
        pause();
        _exit(0);
    }
    struct timespec ts;
    OK(gettime(cpu_clock_of(child, 2), &ts));
    CHECK_EQ(ts.tv_sec, 0);
    CHECK_ERR(gettime(cpu_clock_of(child, 6), &ts),
              EINVAL); /* threads' clocks are not for others */
    OK(syscall(SYS_clock_getres, cpu_clock_of(child, 2), &ts));
    CHECK_EQ(ts.tv_nsec, 1);
    OK(syscall(SYS_clock_getres, cpu_clock_of(child, 0), &ts));
    CHECK(ts.tv_nsec >= 1000000);
    kill(child, SIGKILL);
    WAIT_SIGNAL(child, SIGKILL);
    CHECK_ERR(gettime(cpu_clock_of(child, 2), &ts), EINVAL);
}

static void timers_on_clocks(void)
{
    int id;
    struct sigevent none = {.sigev_notify = SIGEV_NONE};
    for (int i = 0; i < 4; i++) {
        OK(syscall(SYS_timer_create, g_plain[i], &none, &id));
        OK(syscall(SYS_timer_delete, id));
    }
    OK(syscall(SYS_timer_create, CLOCK_PROCESS_CPUTIME_ID, &none, &id));
    for (int i = 0; i < 3; i++)
        CHECK_ERR(syscall(SYS_timer_create, g_fixed[i], &none, &id), EOPNOTSUPP);
    CHECK_ERR(syscall(SYS_timer_create, 16, &none, &id), EINVAL);
    CHECK_ERR(syscall(SYS_timer_create, CLOCK_MONOTONIC, 8, &id), EFAULT);
    CHECK_ERR(syscall(SYS_timer_create, CLOCK_MONOTONIC, &none, 8), EFAULT);
    struct itimerspec its = {.it_interval = {5, 0}};
    OK(syscall(SYS_timer_create, CLOCK_MONOTONIC, &none, &id));
    OK(syscall(SYS_timer_settime, id, 0, &its, NULL));
    OK(syscall(SYS_timer_gettime, id, &its));
    CHECK_EQ(its.it_interval.tv_sec, 0);
    CHECK_EQ(its.it_value.tv_sec, 0);
    CHECK_ERR(syscall(SYS_timer_settime, id, 0, NULL, NULL), EINVAL);
    CHECK_ERR(syscall(SYS_timer_settime, id, 0, 8, NULL), EFAULT);
    CHECK_ERR(syscall(SYS_timer_settime, 9999, 0, &its, NULL), EINVAL);
    CHECK_ERR(syscall(SYS_timer_gettime, id, 8), EFAULT);
    CHECK_ERR(syscall(SYS_timer_getoverrun, 9999), EINVAL);
}

static void readings_agree(void)
{
    for (int i = 0; i < 200; i++) {
        struct timespec a, b, c;
        struct timeval tv;
        OK(clock_gettime(CLOCK_REALTIME, &a));
        OK(gettime(CLOCK_REALTIME, &b));
        OK(clock_gettime(CLOCK_REALTIME, &c));
        OK(gettimeofday(&tv, NULL));
        CHECK(a.tv_sec < b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec <= b.tv_nsec));
        CHECK(b.tv_sec < c.tv_sec || (b.tv_sec == c.tv_sec && b.tv_nsec <= c.tv_nsec));
        CHECK(tv.tv_sec > c.tv_sec || (tv.tv_sec == c.tv_sec && tv.tv_usec >= c.tv_nsec / 1000));
    }
}

static void set_ticks(void)
{
    const unsigned long set = _IOW('T', 0, uint64_t); /* TFD_IOC_SET_TICKS */
    uint64_t n = 7, zero = 0, got;
    int fd = OK(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
    if (ioctl(fd, set, &n) && errno == ENOTTY)
        SKIP("no TFD_IOC_SET_TICKS in this kernel");
    CHECK_EQ(OK(read(fd, &got, sizeof(got))), 8);
    CHECK_EQ(got, 7);
    CHECK_ERR(ioctl(fd, set, &zero), EINVAL);
    CHECK_ERR(ioctl(fd, set, 8), EFAULT);
    CHECK_ERR(ioctl(fd, _IOW('T', 1, uint64_t), &n), ENOTTY);
}

GUEST_MAIN(C(set_ticks), C(reading), C(setting_errors), C(setting_needs_a_right), C(discipline),
           C(sleeping_errors), C(clocks_of_others), C(timers_on_clocks), C(readings_agree))
