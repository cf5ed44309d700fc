/* Clocks, sleeping, timers. The wall clock that can be set is the sandbox's own. */
#include "syscalls/syscalls.h"

#include <errno.h>
#include <string.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/timex.h>

#define TICK_NS 10000000ll /* USER_HZ is 100 */

static int timespec_import(struct task *t, uint64_t ua, int64_t *ns)
{
    struct timespec ts;
    if (uaccess_read_obj(t->mm, &ts, uaddr(ua)))
        return -EFAULT;
    return time_from_timespec(&ts, ns);
}

static int timespec_export(struct task *t, uint64_t ua, int64_t ns)
{
    struct timespec ts;
    time_to_timespec(ns, &ts);
    return uaccess_write_obj(t->mm, uaddr(ua), &ts);
}

/* ---- reading ----------------------------------------------------------------------------------
 */

/* A clock that is named by a descriptor; nobody here has one. */
static bool clock_dynamic(int clockid)
{
    return clockid < 0 && (clockid & 7) == 3;
}

static bool clock_cpu(int clockid)
{
    return clockid == CLOCK_PROCESS_CPUTIME_ID || clockid == CLOCK_THREAD_CPUTIME_ID ||
           (clockid < 0 && !clock_dynamic(clockid));
}

static bool clock_coarse(int clockid)
{
    return clockid == CLOCK_REALTIME_COARSE || clockid == CLOCK_MONOTONIC_COARSE;
}

static bool clock_known(int clockid)
{
    return clockid < 0 || (clockid <= CLOCK_TAI && clockid != 10 /* CLOCK_SGI_CYCLE */);
}

static int clock_read(struct task *t, int clockid, int64_t *ns)
{
    time_settle();
    if (clockid < 0 || clockid == CLOCK_PROCESS_CPUTIME_ID || clockid == CLOCK_THREAD_CPUTIME_ID)
        return cpu_clock_get(t, clockid, ns);
    return time_clock_get(clockid, ns);
}

int64_t sys_clock_gettime(struct task *t, const struct sysargs *a)
{
    int64_t ns;
    int r = clock_read(t, (int)a->v[0], &ns);
    return r ? r : timespec_export(t, a->v[1], ns);
}

int64_t sys_clock_getres(struct task *t, const struct sysargs *a)
{
    int64_t ns;
    int clockid = a->v[0];
    int r = clock_read(t, clockid, &ns);
    if (r)
        return r;
    /* A CPU clock of kind 0 or 1 (CPUCLOCK_PROF, CPUCLOCK_VIRT) counts ticks. */
    bool ticks = clock_coarse(clockid) || (clockid < 0 && (clockid & 3) < 2);
    return a->v[1] ? timespec_export(t, a->v[1], ticks ? 4000000 : 1) : 0;
}

int64_t sys_gettimeofday(struct task *t, const struct sysargs *a)
{
    time_settle();
    int64_t ns = time_realtime();
    struct timeval tv = {.tv_sec = ns / NSEC_PER_SEC, .tv_usec = ns % NSEC_PER_SEC / 1000};
    struct timezone tz;
    time_zone_get(&tz);
    if (a->v[0] && uaccess_write_obj(t->mm, uaddr(a->v[0]), &tv))
        return -EFAULT;
    return a->v[1] ? uaccess_write_obj(t->mm, uaddr(a->v[1]), &tz) : 0;
}

int64_t sys_time(struct task *t, const struct sysargs *a)
{
    time_settle();
    int64_t sec = time_realtime() / NSEC_PER_SEC;
    if (a->v[0] && uaccess_write_obj(t->mm, uaddr(a->v[0]), &sec))
        return -EFAULT;
    return sec;
}

static int64_t timeval_ticks(const struct timeval *tv)
{
    return (tv->tv_sec * NSEC_PER_SEC + tv->tv_usec * 1000) / TICK_NS;
}

int64_t sys_times(struct task *t, const struct sysargs *a)
{
    struct rusage self, children;
    usage_get(t, RUSAGE_SELF, &self);
    usage_get(t, RUSAGE_CHILDREN, &children);
    struct tms out = {.tms_utime = timeval_ticks(&self.ru_utime),
                      .tms_stime = timeval_ticks(&self.ru_stime),
                      .tms_cutime = timeval_ticks(&children.ru_utime),
                      .tms_cstime = timeval_ticks(&children.ru_stime)};
    if (a->v[0] && uaccess_write_obj(t->mm, uaddr(a->v[0]), &out))
        return -EFAULT;
    return time_now() / TICK_NS;
}

/* ---- setting ----------------------------------------------------------------------------------
 */

static int wall_set(struct task *t, int64_t ns)
{
    if (!cred_has_cap(t->cred, CAP_SYS_TIME))
        return -EPERM;
    int r = time_set_realtime(ns);
    if (!r)
        tasks_clock_set();
    return r;
}

int64_t sys_clock_settime(struct task *t, const struct sysargs *a)
{
    struct timespec ts;
    int clockid = a->v[0];
    int64_t ns;
    if (clockid != CLOCK_REALTIME && (clockid >= 0 || clock_dynamic(clockid)))
        return clock_dynamic(clockid) && uaccess_read_obj(t->mm, &ts, uaddr(a->v[1])) ? -EFAULT
                                                                                      : -EINVAL;
    if (uaccess_read_obj(t->mm, &ts, uaddr(a->v[1])))
        return -EFAULT;
    if (clockid < 0)
        return cpu_clock_get(t, clockid, &ns) ? -EINVAL : -EPERM;
    if (time_from_timespec(&ts, &ns) || ns == DEADLINE_NEVER)
        return -EINVAL;
    return wall_set(t, ns);
}

static int zone_set(struct task *t, const struct timezone *tz)
{
    if (!cred_has_cap(t->cred, CAP_SYS_TIME))
        return -EPERM;
    if (tz->tz_minuteswest > 15 * 60 || tz->tz_minuteswest < -15 * 60)
        return -EINVAL;
    time_zone_set(tz);
    return 0;
}

int64_t sys_settimeofday(struct task *t, const struct sysargs *a)
{
    struct timeval tv;
    struct timezone tz;
    struct timespec ts;
    int64_t ns = 0;
    if (a->v[0] && uaccess_read_obj(t->mm, &tv, uaddr(a->v[0])))
        return -EFAULT;
    if (a->v[0] && (tv.tv_usec < 0 || tv.tv_usec > 1000000))
        return -EINVAL;
    if (a->v[1] && uaccess_read_obj(t->mm, &tz, uaddr(a->v[1])))
        return -EFAULT;
    ts = (struct timespec){.tv_sec = a->v[0] ? tv.tv_sec : 0,
                           .tv_nsec = a->v[0] ? tv.tv_usec * 1000 : 0};
    if (time_from_timespec(&ts, &ns) || ns == DEADLINE_NEVER)
        return -EINVAL;
    if (!cred_has_cap(t->cred, CAP_SYS_TIME))
        return -EPERM;
    int r = a->v[1] ? zone_set(t, &tz) : 0;
    return r || !a->v[0] ? r : wall_set(t, ns);
}

static int64_t adjtimex_common(struct task *t, struct timex *tx, uint64_t ua)
{
    uint64_t steps = time_steps();
    int r = time_adjust_check(tx, cred_has_cap(t->cred, CAP_SYS_TIME));
    if (!r)
        r = time_adjust(tx);
    if (time_steps() != steps)
        tasks_clock_set();
    if (r >= 0 && uaccess_write_obj(t->mm, uaddr(ua), tx))
        return -EFAULT;
    return r;
}

int64_t sys_adjtimex(struct task *t, const struct sysargs *a)
{
    struct timex tx;
    if (uaccess_read_obj(t->mm, &tx, uaddr(a->v[0])))
        return -EFAULT;
    return adjtimex_common(t, &tx, a->v[0]);
}

int64_t sys_clock_adjtime(struct task *t, const struct sysargs *a)
{
    int clockid = a->v[0];
    struct timex tx;
    if (uaccess_read_obj(t->mm, &tx, uaddr(a->v[1])))
        return -EFAULT;
    if (!clock_known(clockid) || clock_dynamic(clockid))
        return -EINVAL;
    return clockid == CLOCK_REALTIME ? adjtimex_common(t, &tx, a->v[1]) : -EOPNOTSUPP;
}

/* ---- sleeping ---------------------------------------------------------------------------------
 */

static int sleep_until(struct task *t, int64_t deadline)
{
    for (;;) {
        task_sleep_prepare(t);
        int r = task_sleep(t, deadline, /*interruptible=*/true);
        if (r)
            return r == -ETIMEDOUT ? 0 : r;
    }
}

static int64_t nanosleep_again(struct task *t, struct restart_block *rb)
{
    int64_t deadline = rb->data[0];
    uint64_t rem = rb->data[1];
    if (!sleep_until(t, deadline))
        return 0;
    int64_t left = deadline - time_now();
    if (left <= 0)
        return 0;
    if (rem && timespec_export(t, rem, left))
        return -EFAULT;
    return -ERESTART_RESTARTBLOCK;
}

static int64_t sleep_relative(struct task *t, int64_t ns, uint64_t rem)
{
    t->restart = (struct restart_block){.fn = nanosleep_again};
    t->restart.data[0] = time_after(ns);
    t->restart.data[1] = rem;
    return nanosleep_again(t, &t->restart);
}

int64_t sys_nanosleep(struct task *t, const struct sysargs *a)
{
    int64_t ns;
    int r = timespec_import(t, a->v[0], &ns);
    return r ? r : sleep_relative(t, ns, a->v[1]);
}

/* A CPU clock runs at most one second a second for each thread: sleep that long, look again. */
static int64_t sleep_on_cpu_clock(struct task *t, int clockid, int64_t until)
{
    for (;;) {
        int64_t now;
        int r = cpu_clock_get(t, clockid, &now);
        if (r || now >= until)
            return r;
        int64_t step = (until - now) / (t->process->task_count ? t->process->task_count : 1);
        r = sleep_until(t, time_after(step > 1000000 ? step : 1000000));
        if (r)
            return -ERESTARTNOHAND;
    }
}

static bool clock_alarm(int clockid)
{
    return clockid == CLOCK_REALTIME_ALARM || clockid == CLOCK_BOOTTIME_ALARM;
}

/* A thread's own CPU clock stands still while it sleeps. */
static bool sleeps_on_itself(struct task *t, int clockid)
{
    int tid = ~(clockid >> 3);
    return clockid < 0 && clockid & 4 && (!tid || tid == t->tid);
}

int64_t sys_clock_nanosleep(struct task *t, const struct sysargs *a)
{
    int clockid = a->v[0], flags = a->v[1];
    int64_t ns, now;
    if (!clock_known(clockid))
        return -EINVAL;
    if (clockid == CLOCK_THREAD_CPUTIME_ID || clockid == CLOCK_MONOTONIC_RAW ||
        clock_coarse(clockid) || clock_dynamic(clockid))
        return -EOPNOTSUPP;
    int r = timespec_import(t, a->v[2], &ns);
    if (!r && sleeps_on_itself(t, clockid))
        r = -EINVAL;
    if (!r)
        r = clock_read(t, clockid, &now);
    if (!r && clock_alarm(clockid) && !cred_has_cap(t->cred, CAP_WAKE_ALARM))
        r = -EPERM;
    if (r)
        return r;
    if (clock_cpu(clockid))
        return sleep_on_cpu_clock(t, clockid, flags & TIMER_ABSTIME ? ns : now + ns);
    if (!(flags & TIMER_ABSTIME))
        return sleep_relative(t, ns, a->v[3]);
    return sleep_until(t, time_sleep_deadline(clockid, ns)) ? -ERESTARTNOHAND : 0;
}

int64_t sys_restart_syscall(struct task *t, const struct sysargs *a)
{
    return -EINTR; /* the sentry restarts calls itself; nothing is ever left over for the guest */
}

/* ---- interval timers --------------------------------------------------------------------------
 */

int64_t sys_getitimer(struct task *t, const struct sysargs *a)
{
    struct itimerval v;
    int r = itimer_get(t, (int)a->v[0], &v);
    return r ? r : uaccess_write_obj(t->mm, uaddr(a->v[1]), &v);
}

int64_t sys_setitimer(struct task *t, const struct sysargs *a)
{
    struct itimerval next = {0}, old;
    if (a->v[1] && uaccess_read_obj(t->mm, &next, uaddr(a->v[1])))
        return -EFAULT;
    int64_t r = itimer_set(t, (int)a->v[0], &next, &old);
    if (r || !a->v[2])
        return r;
    return uaccess_write_obj(t->mm, uaddr(a->v[2]), &old);
}

int64_t sys_alarm(struct task *t, const struct sysargs *a)
{
    struct itimerval next = {.it_value.tv_sec = (uint32_t)a->v[0]}, old;
    itimer_set(t, ITIMER_REAL, &next, &old);
    int64_t sec = old.it_value.tv_sec;
    if ((!sec && old.it_value.tv_usec) || old.it_value.tv_usec >= 500000)
        sec++;
    return sec;
}

/* ---- POSIX timers -----------------------------------------------------------------------------
 */

int64_t sys_timer_create(struct task *t, const struct sysargs *a)
{
    struct sigevent ev;
    int id;
    if (a->v[1] && uaccess_read_obj(t->mm, &ev, uaddr(a->v[1])))
        return -EFAULT;
    int r = posix_timer_create(t, (int)a->v[0], a->v[1] ? &ev : NULL, &id);
    if (r)
        return r;
    if (!uaccess_write_obj(t->mm, uaddr(a->v[2]), &id))
        return 0;
    posix_timer_delete(t, id);
    return -EFAULT;
}

int64_t sys_timer_settime(struct task *t, const struct sysargs *a)
{
    struct itimerspec next, old;
    if (!a->v[2])
        return -EINVAL;
    if (uaccess_read_obj(t->mm, &next, uaddr(a->v[2])))
        return -EFAULT;
    int r = posix_timer_set(t, (int)a->v[0], (int)a->v[1], &next, &old);
    if (r || !a->v[3])
        return r;
    return uaccess_write_obj(t->mm, uaddr(a->v[3]), &old);
}

int64_t sys_timer_gettime(struct task *t, const struct sysargs *a)
{
    struct itimerspec v;
    int r = posix_timer_get(t, (int)a->v[0], &v);
    return r ? r : uaccess_write_obj(t->mm, uaddr(a->v[1]), &v);
}

int64_t sys_timer_getoverrun(struct task *t, const struct sysargs *a)
{
    return posix_timer_overrun(t, (int)a->v[0]);
}

int64_t sys_timer_delete(struct task *t, const struct sysargs *a)
{
    return posix_timer_delete(t, (int)a->v[0]);
}
