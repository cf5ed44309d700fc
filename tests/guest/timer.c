/* Clocks and timers: clock_*, nanosleep, setitimer, alarm, timer_create, times, getrusage. */
#include "guest.h"
#include <linux/time_types.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/timex.h>
#include <sys/times.h>

static volatile int g_hits;
static volatile siginfo_t g_info;

static void on_tick(int sig, siginfo_t *si, void *uc)
{
    g_hits++;
    g_info = *si;
}

static void clocks_advance(void)
{
    static const int ids[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_BOOTTIME, CLOCK_REALTIME_COARSE,
                              CLOCK_MONOTONIC_COARSE, CLOCK_TAI};
    for (int i = 0; i < 7; i++) {
        struct timespec a, b, res;
        OK(clock_getres(ids[i], &res));
        OK(clock_gettime(ids[i], &a));
        CHECK(a.tv_nsec >= 0 && a.tv_nsec < 1000000000);
        sleep_ms(15);
        OK(clock_gettime(ids[i], &b));
        int64_t d = (b.tv_sec - a.tv_sec) * 1000000000LL + b.tv_nsec - a.tv_nsec;
        CHECK(d > 5000000 && d < 1000000000);
        /* the vDSO and the call agree */
        OK(syscall(SYS_clock_gettime, ids[i], &a));
        d = (a.tv_sec - b.tv_sec) * 1000000000LL + a.tv_nsec - b.tv_nsec;
        CHECK(d > -10000000 && d < 200000000);
    }
}

static void monotonic_never_goes_back(void)
{
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (int i = 0; i < 200000; i++) {
        clock_gettime(CLOCK_MONOTONIC, &b);
        CHECK(b.tv_sec > a.tv_sec || (b.tv_sec == a.tv_sec && b.tv_nsec >= a.tv_nsec));
        a = b;
    }
    for (int i = 0; i < 500; i++) {
        syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &a);
        clock_gettime(CLOCK_MONOTONIC, &b);
        CHECK(b.tv_sec > a.tv_sec || (b.tv_sec == a.tv_sec && b.tv_nsec >= a.tv_nsec));
        syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &a);
        CHECK(a.tv_sec > b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec >= b.tv_nsec));
    }
}

static void time_of_day_agrees(void)
{
    struct timespec ts;
    struct timeval tv;
    clock_gettime(CLOCK_REALTIME, &ts);
    gettimeofday(&tv, NULL);
    time_t t = time(NULL);
    CHECK(tv.tv_sec - ts.tv_sec <= 1 && t - ts.tv_sec <= 1 && t >= ts.tv_sec - 1);
    CHECK(t > 1700000000);
}

static void cpu_clocks(void)
{
    struct timespec a, b, c;
    OK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a));
    OK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &c));
    for (int64_t end = now_ns() + 100000000; now_ns() < end;)
        ;
    OK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b));
    int64_t d = (b.tv_sec - a.tv_sec) * 1000000000LL + b.tv_nsec - a.tv_nsec;
    CHECK(d > 10000000 && d < 1000000000);
    OK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a));
    sleep_ms(100);
    OK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b));
    d = (b.tv_sec - a.tv_sec) * 1000000000LL + b.tv_nsec - a.tv_nsec;
    CHECK(d < 60000000); /* asleep */
    clockid_t id;
    CHECK_ZERO(clock_getcpuclockid(getpid(), &id));
    OK(clock_gettime(id, &a));
}

static void bad_clocks(void)
{
    struct timespec ts;
    CHECK_ERR(clock_gettime(77, &ts), EINVAL);
    CHECK_ERR(syscall(SYS_clock_gettime, 0, 8L), EFAULT);
    CHECK_ERR(syscall(SYS_clock_getres, 99, &ts), EINVAL);
    OK(clock_getres(CLOCK_MONOTONIC, NULL));
    ts = (struct timespec){0, -1};
    CHECK_ERR(nanosleep(&ts, NULL), EINVAL);
    ts = (struct timespec){-1, 0};
    CHECK_ERR(nanosleep(&ts, NULL), EINVAL);
    CHECK_ERR(nanosleep((void *)8, NULL), EFAULT);
    CHECK_EQ(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &ts, NULL), EINVAL);
    IN_CHILD({
        OK(setresuid(65534, 65534, 65534));
        struct timespec now = {1000000000, 0};
        CHECK_ERR(clock_settime(CLOCK_REALTIME, &now), EPERM);
    });
    struct timespec zero = {0, 0};
    CHECK_ERR(clock_settime(CLOCK_MONOTONIC, &zero), EINVAL);
}

static void sleeping_takes_its_time(void)
{
    struct timespec ts = {0, 100000000};
    int64_t t = now_ns();
    OK(nanosleep(&ts, NULL));
    t = now_ns() - t;
    CHECK(t >= 100000000 && t < 1000000000);
    clock_gettime(CLOCK_MONOTONIC, &ts);
    ts.tv_nsec += 50000000;
    if (ts.tv_nsec >= 1000000000)
        ts.tv_sec++, ts.tv_nsec -= 1000000000;
    t = now_ns();
    CHECK_ZERO(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL));
    t = now_ns() - t;
    CHECK(t >= 45000000 && t < 1000000000);
    ts.tv_sec -= 100;
    CHECK_ZERO(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL)); /* the past: at once */
}

static void interval_timer(void)
{
    struct itimerval it = {{0, 20000}, {0, 20000}}, old;
    g_hits = 0;
    handle_info(SIGALRM, on_tick, SA_RESTART);
    OK(setitimer(ITIMER_REAL, &it, NULL));
    for (int64_t end = now_ns() + 500000000; g_hits < 5 && now_ns() < end;)
        sleep_ms(5);
    CHECK(g_hits >= 5);
    CHECK_EQ(g_info.si_code, SI_KERNEL);
    OK(getitimer(ITIMER_REAL, &old));
    CHECK_EQ(old.it_interval.tv_usec, 20000);
    it = (struct itimerval){{0, 0}, {0, 0}};
    OK(setitimer(ITIMER_REAL, &it, &old));
    CHECK_EQ(old.it_interval.tv_usec, 20000);
    CHECK_ERR(setitimer(77, &it, NULL), EINVAL);
    it.it_value.tv_usec = 1000000;
    CHECK_ERR(setitimer(ITIMER_REAL, &it, NULL), EINVAL);
    CHECK_ERR(getitimer(ITIMER_REAL, (void *)8), EFAULT);
}

static void cpu_interval_timers(void)
{
    struct itimerval it = {{0, 0}, {0, 30000}};
    g_hits = 0;
    handle_info(SIGVTALRM, on_tick, 0);
    OK(setitimer(ITIMER_VIRTUAL, &it, NULL));
    sleep_ms(80);
    CHECK_EQ(g_hits, 0); /* no time runs asleep */
    for (int64_t end = now_ns() + 3000000000; !g_hits && now_ns() < end;)
        ;
    CHECK_EQ(g_hits, 1);
    handle_info(SIGPROF, on_tick, 0);
    OK(setitimer(ITIMER_PROF, &it, NULL));
    for (int64_t end = now_ns() + 3000000000; g_hits < 2 && now_ns() < end;)
        ;
    CHECK_EQ(g_hits, 2);
}

static void alarm_returns_the_rest(void)
{
    CHECK_EQ(alarm(10), 0);
    int left = alarm(0);
    CHECK(left == 10 || left == 9);
    CHECK_EQ(alarm(0), 0);
    alarm(100);
    IN_CHILD(CHECK_EQ(alarm(0), 0)); /* not inherited */
    alarm(0);
}

static void alarm_survives_exec(void)
{
    pid_t p = OK(fork());
    if (!p) {
        alarm(1);
        execl("/bin/sleep", "sleep", "5", NULL);
        _exit(9);
    }
    WAIT_SIGNAL(p, SIGALRM);
}

static void posix_timer(void)
{
    struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 1, .sigev_value.sival_int = 4242};
    struct itimerspec it = {{0, 0}, {0, 30000000}}, now;
    timer_t t;
    g_hits = 0;
    handle_info(SIGRTMIN + 1, on_tick, 0);
    OK(timer_create(CLOCK_MONOTONIC, &ev, &t));
    OK(timer_settime(t, 0, &it, NULL));
    OK(timer_gettime(t, &now));
    CHECK(now.it_value.tv_nsec > 0 && now.it_value.tv_nsec <= 30000000);
    for (int i = 0; i < 500 && !g_hits; i++)
        sleep_ms(2);
    CHECK_EQ(g_hits, 1);
    CHECK_EQ(g_info.si_code, SI_TIMER);
    CHECK_EQ(g_info.si_value.sival_int, 4242);
    OK(timer_gettime(t, &now));
    CHECK_EQ(now.it_value.tv_nsec, 0);
    OK(timer_delete(t));
    CHECK_ERR(syscall(SYS_timer_delete, 12345), EINVAL);
    CHECK_ERR(syscall(SYS_timer_settime, 12345, 0, &it, NULL), EINVAL);
    CHECK_ERR(timer_create(99, &ev, &t), EINVAL);
}

static timer_t g_timer;
static volatile int g_overrun;

static void on_tick_disarm(int sig, siginfo_t *si, void *uc)
{
    static const struct itimerspec off;
    on_tick(sig, si, uc);
    g_overrun = timer_getoverrun(g_timer);
    timer_settime(g_timer, 0, &off, NULL);
}

static void posix_timer_overruns(void)
{
    struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 1};
    struct itimerspec it = {{0, 5000000}, {0, 5000000}};
    handle_info(SIGRTMIN + 1, on_tick_disarm, 0);
    sig_block(SIG_BLOCK, SIGRTMIN + 1);
    OK(timer_create(CLOCK_MONOTONIC, &ev, &g_timer));
    OK(timer_settime(g_timer, 0, &it, NULL));
    sleep_ms(100);
    g_hits = 0;
    sig_block(SIG_UNBLOCK, SIGRTMIN + 1);
    CHECK_EQ(g_hits, 1); /* one signal only is queued; the others are counted */
    CHECK(g_info.si_overrun >= 5);
    CHECK_EQ(g_overrun, g_info.si_overrun);
    OK(timer_delete(g_timer));
}

static void posix_timer_to_a_thread(void)
{
    struct sigevent ev = {.sigev_notify = 4 /* SIGEV_THREAD_ID */, .sigev_signo = SIGUSR1};
    ev._sigev_un._tid = syscall(SYS_gettid);
    struct itimerspec it = {{0, 0}, {0, 10000000}};
    timer_t t;
    g_hits = 0;
    handle_info(SIGUSR1, on_tick, 0);
    OK(timer_create(CLOCK_REALTIME, &ev, &t));
    OK(timer_settime(t, 0, &it, NULL));
    for (int i = 0; i < 500 && !g_hits; i++)
        sleep_ms(2);
    CHECK_EQ(g_hits, 1);
    OK(timer_delete(t));
    ev._sigev_un._tid = 7654321;
    CHECK_ERR(timer_create(CLOCK_REALTIME, &ev, &t), EINVAL);
}

static void absolute_timer_in_the_past(void)
{
    struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct itimerspec it = {{0, 0}, {1, 0}};
    timer_t t;
    g_hits = 0;
    handle_info(SIGUSR1, on_tick, 0);
    OK(timer_create(CLOCK_MONOTONIC, &ev, &t));
    OK(timer_settime(t, TIMER_ABSTIME, &it, NULL));
    for (int i = 0; i < 500 && !g_hits; i++)
        sleep_ms(2);
    CHECK_EQ(g_hits, 1);
    OK(timer_delete(t));
}

static void usage(void)
{
    struct tms a, b;
    struct rusage ru;
    clock_t t0 = times(&a);
    for (int64_t end = now_ns() + 150000000; now_ns() < end;)
        syscall(SYS_getppid);
    clock_t t1 = times(&b);
    CHECK(t1 - t0 >= 10 && t1 - t0 < 500);
    CHECK(b.tms_utime + b.tms_stime >= a.tms_utime + a.tms_stime);
    OK(getrusage(RUSAGE_SELF, &ru));
    CHECK(ru.ru_utime.tv_usec || ru.ru_stime.tv_usec || ru.ru_utime.tv_sec);
    CHECK(ru.ru_maxrss > 0);
    OK(getrusage(RUSAGE_THREAD, &ru));
    CHECK_ERR(getrusage(55, &ru), EINVAL);
    CHECK_ERR(getrusage(RUSAGE_SELF, (void *)8), EFAULT);
}

static void cpu_limit(void)
{
    pid_t p = OK(fork());
    if (!p) {
        struct rlimit rl = {1, 3};
        setrlimit(RLIMIT_CPU, &rl);
        for (;;)
            ;
    }
    WAIT_SIGNAL(p, SIGXCPU);
}

static void adjtimex_reads(void)
{
    struct timex t = {0};
    int r = adjtimex(&t);
    CHECK(r >= 0 && r <= 5);
}

static void load_and_uptime(void)
{
    struct sysinfo s;
    OK(sysinfo(&s));
    CHECK(s.uptime > 0 && s.totalram > 0 && s.mem_unit >= 1 && s.procs >= 1);
    struct timespec ts;
    clock_gettime(CLOCK_BOOTTIME, &ts);
    CHECK(llabs((long long)ts.tv_sec - s.uptime) <= 2);
}

GUEST_MAIN(C(clocks_advance), C(monotonic_never_goes_back), C(time_of_day_agrees), C(cpu_clocks), C(bad_clocks),
           C(sleeping_takes_its_time), C(interval_timer), C(cpu_interval_timers), C(alarm_returns_the_rest),
           C(alarm_survives_exec), C(posix_timer), C(posix_timer_overruns), C(posix_timer_to_a_thread),
           C(absolute_timer_in_the_past), C(usage), C(cpu_limit), C(adjtimex_reads), C(load_and_uptime))
