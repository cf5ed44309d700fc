/* The vDSO image: clock reads without a trap. Runs in guest address spaces; uses nothing but its
 * own code and the parameter page. Symbols and version are Linux's (vdso(7)), so libc finds them.
 */
#include "time/vdso/vdso_params.h"

#include <stddef.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

extern const struct vdso_params vdso_params __attribute__((visibility("hidden")));

int __vdso_clock_gettime(clockid_t clk, struct timespec *ts);
int __vdso_gettimeofday(struct timeval *tv, void *tz);
time_t __vdso_time(time_t *out);
int __vdso_clock_getres(clockid_t clk, struct timespec *ts);
long __vdso_getcpu(unsigned *cpu, unsigned *node, void *unused);

static long vdso_syscall(long nr, long a, long b, long c)
{
    long ret;
    __asm__ volatile("syscall"
                     : "=a"(ret)
                     : "a"(nr), "D"(a), "S"(b), "d"(c)
                     : "rcx", "r11", "memory");
    return ret;
}

/* Ordered against the loads around it: lfence on both sides, as rdtsc alone is not. */
static uint64_t vdso_tsc(void)
{
    uint32_t lo, hi;
    __asm__ volatile("lfence; rdtsc; lfence" : "=a"(lo), "=d"(hi)::"memory");
    return (uint64_t)hi << 32 | lo;
}

static const volatile int64_t *vdso_base_of(clockid_t clk)
{
    const volatile struct vdso_params *p = &vdso_params;
    switch (clk) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
        return &p->real_ns;
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_MONOTONIC_RAW:
        return &p->mono_ns;
    case CLOCK_BOOTTIME:
        return &p->boot_ns;
    default:
        return NULL;
    }
}

/* Nonzero and *ns set if the page can answer. */
static int vdso_read(clockid_t clk, int64_t *ns)
{
    const volatile struct vdso_params *p = &vdso_params;
    const volatile int64_t *base = vdso_base_of(clk);
    if (!base)
        return 0;
    uint32_t seq = __atomic_load_n(&p->seq, __ATOMIC_ACQUIRE);
    uint64_t ticks = vdso_tsc() - p->base_tsc;
    int64_t value = *base + (int64_t)(((unsigned __int128)ticks * p->mult) >> 32);
    int good = ticks < p->valid_ticks;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (!good || (seq & 1) || p->seq != seq)
        return 0;
    *ns = value;
    return 1;
}

int __vdso_clock_gettime(clockid_t clk, struct timespec *ts)
{
    int64_t ns;
    if (!vdso_read(clk, &ns))
        return vdso_syscall(SYS_clock_gettime, clk, (long)ts, 0);
    ts->tv_sec = ns / 1000000000;
    ts->tv_nsec = ns % 1000000000;
    return 0;
}

int __vdso_gettimeofday(struct timeval *tv, void *tz)
{
    int64_t ns;
    if (tz || !tv || !vdso_read(CLOCK_REALTIME, &ns))
        return vdso_syscall(SYS_gettimeofday, (long)tv, (long)tz, 0);
    tv->tv_sec = ns / 1000000000;
    tv->tv_usec = ns % 1000000000 / 1000;
    return 0;
}

time_t __vdso_time(time_t *out)
{
    int64_t ns;
    if (!vdso_read(CLOCK_REALTIME, &ns))
        return vdso_syscall(SYS_time, (long)out, 0, 0);
    if (out)
        *out = ns / 1000000000;
    return ns / 1000000000;
}

int __vdso_clock_getres(clockid_t clk, struct timespec *ts)
{
    return vdso_syscall(SYS_clock_getres, clk, (long)ts, 0);
}

long __vdso_getcpu(unsigned *cpu, unsigned *node, void *unused)
{
    return vdso_syscall(SYS_getcpu, (long)cpu, (long)node, 0);
}

int clock_gettime(clockid_t, struct timespec *)
    __attribute__((weak, alias("__vdso_clock_gettime")));
int gettimeofday(struct timeval *, void *) __attribute__((weak, alias("__vdso_gettimeofday")));
time_t time(time_t *) __attribute__((weak, alias("__vdso_time")));
int clock_getres(clockid_t, struct timespec *) __attribute__((weak, alias("__vdso_clock_getres")));
