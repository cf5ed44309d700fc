/* Threads as programs use them: create, join, mutexes, conditions, pools, signals to threads, exits. */
#include "guest.h"
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/prctl.h>

static void *plus_one(void *arg)
{
    return (char *)arg + 1;
}

static void create_join(void)
{
    for (intptr_t i = 0; i < 200; i++) {
        pthread_t t;
        void *r;
        CHECK_ZERO(pthread_create(&t, NULL, plus_one, (void *)i));
        CHECK_ZERO(pthread_join(t, &r));
        CHECK_EQ((intptr_t)r, i + 1);
    }
}

static pthread_mutex_t g_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t g_cond = PTHREAD_COND_INITIALIZER;
static volatile long g_value;

static void *add(void *arg)
{
    for (int i = 0; i < 20000; i++) {
        pthread_mutex_lock(&g_lock);
        g_value++;
        pthread_mutex_unlock(&g_lock);
    }
    return NULL;
}

static void mutex_counts(void)
{
    pthread_t t[8];
    g_value = 0;
    for (int i = 0; i < 8; i++)
        CHECK_ZERO(pthread_create(&t[i], NULL, add, NULL));
    for (int i = 0; i < 8; i++)
        CHECK_ZERO(pthread_join(t[i], NULL));
    CHECK_EQ(g_value, 160000);
}

enum { POOL = 64, HANDOFFS = 100000 };
static struct {
    int turn;
    char pad[60];
} g_slot[POOL];
static volatile int g_passes;

static void *pool_thread(void *arg)
{
    int me = (intptr_t)arg, next = (me + 1) % POOL;
    for (;;) {
        while (!__atomic_load_n(&g_slot[me].turn, __ATOMIC_ACQUIRE))
            syscall(SYS_futex, &g_slot[me].turn, FUTEX_WAIT_PRIVATE, 0, NULL);
        g_slot[me].turn = 0;
        int over = g_passes >= HANDOFFS;
        if (!over)
            g_passes++;
        __atomic_store_n(&g_slot[next].turn, 1, __ATOMIC_RELEASE);
        syscall(SYS_futex, &g_slot[next].turn, FUTEX_WAKE_PRIVATE, 1);
        if (over)
            return NULL;
    }
}

static void pool_of_64_hands_off(void)
{
    pthread_t t[POOL];
    g_passes = 0;
    memset(g_slot, 0, sizeof(g_slot));
    for (intptr_t i = 0; i < POOL; i++)
        CHECK_ZERO(pthread_create(&t[i], NULL, pool_thread, (void *)i));
    __atomic_store_n(&g_slot[0].turn, 1, __ATOMIC_RELEASE);
    syscall(SYS_futex, &g_slot[0].turn, FUTEX_WAKE_PRIVATE, 1);
    for (int i = 0; i < POOL; i++)
        CHECK_ZERO(pthread_join(t[i], NULL));
    CHECK_EQ(g_passes, HANDOFFS);
}

static void *consumer(void *arg)
{
    long sum = 0;
    for (;;) {
        pthread_mutex_lock(&g_lock);
        while (!g_value)
            pthread_cond_wait(&g_cond, &g_lock);
        long v = g_value;
        if (v > 0)
            g_value = 0;
        pthread_cond_broadcast(&g_cond);
        pthread_mutex_unlock(&g_lock);
        if (v < 0)
            return (void *)sum;
        sum += v;
    }
}

static void condition_variables(void)
{
    pthread_t t[4];
    long total = 0;
    g_value = 0;
    for (int i = 0; i < 4; i++)
        CHECK_ZERO(pthread_create(&t[i], NULL, consumer, NULL));
    for (int i = 1; i <= 2001; i++) {
        pthread_mutex_lock(&g_lock);
        while (g_value)
            pthread_cond_wait(&g_cond, &g_lock);
        g_value = i == 2001 ? -1 : i;
        pthread_cond_broadcast(&g_cond);
        pthread_mutex_unlock(&g_lock);
    }
    for (int i = 0; i < 4; i++) {
        void *r;
        CHECK_ZERO(pthread_join(t[i], &r));
        total += (long)r;
    }
    CHECK_EQ(total, 2000L * 2001 / 2);
}

static void cond_timedwait(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    ts.tv_nsec += 30000000;
    if (ts.tv_nsec >= 1000000000)
        ts.tv_sec++, ts.tv_nsec -= 1000000000;
    pthread_mutex_lock(&g_lock);
    CHECK_EQ(pthread_cond_timedwait(&g_cond, &g_lock, &ts), ETIMEDOUT);
    pthread_mutex_unlock(&g_lock);
}

static void *tid_thread(void *arg)
{
    pid_t *out = arg;
    out[0] = syscall(SYS_gettid), out[1] = getpid(), out[2] = getppid();
    return NULL;
}

static void ids(void)
{
    pid_t r[3];
    pthread_t t;
    CHECK_ZERO(pthread_create(&t, NULL, tid_thread, r));
    CHECK_ZERO(pthread_join(t, NULL));
    CHECK(r[0] != getpid());
    CHECK_EQ(r[1], getpid());
    CHECK_EQ(r[2], getppid());
}

static volatile pid_t g_sig_tid;
static volatile int g_stop;

static void on_sig(int sig)
{
    g_sig_tid = syscall(SYS_gettid);
}

static void *spin_thread(void *arg)
{
    *(volatile pid_t *)arg = syscall(SYS_gettid);
    while (!g_stop)
        ;
    return NULL;
}

static void tgkill_reaches_that_thread(void)
{
    volatile pid_t tid = 0;
    pthread_t t;
    g_stop = 0, g_sig_tid = 0;
    handle(SIGUSR1, on_sig, 0);
    CHECK_ZERO(pthread_create(&t, NULL, spin_thread, (void *)&tid));
    while (!tid)
        sleep_ms(1);
    OK(syscall(SYS_tgkill, getpid(), tid, SIGUSR1));
    for (int i = 0; i < 1000 && !g_sig_tid; i++)
        sleep_ms(1);
    CHECK_EQ(g_sig_tid, tid);
    g_stop = 1;
    CHECK_ZERO(pthread_join(t, NULL));
}

static void process_signal_goes_to_a_thread_that_takes_it(void)
{
    volatile pid_t tid = 0;
    pthread_t t;
    g_stop = 0, g_sig_tid = 0;
    handle(SIGUSR1, on_sig, 0);
    CHECK_ZERO(pthread_create(&t, NULL, spin_thread, (void *)&tid));
    while (!tid)
        sleep_ms(1);
    sig_block(SIG_BLOCK, SIGUSR1);
    OK(kill(getpid(), SIGUSR1));
    for (int i = 0; i < 1000 && !g_sig_tid; i++)
        sleep_ms(1);
    CHECK_EQ(g_sig_tid, tid);
    g_stop = 1;
    CHECK_ZERO(pthread_join(t, NULL));
}

static void *exit_process(void *arg)
{
    sleep_ms(20);
    exit(23);
}

static void exit_from_a_thread(void)
{
    pid_t p = OK(fork());
    if (!p) {
        pthread_t t;
        pthread_create(&t, NULL, exit_process, NULL);
        for (;;)
            pause();
    }
    WAIT_EXIT(p, 23);
}

static void *late_exit(void *arg)
{
    sleep_ms(50);
    _exit(24);
}

static void main_thread_leaves_first(void)
{
    pid_t p = OK(fork());
    if (!p) {
        pthread_t t;
        pthread_create(&t, NULL, late_exit, NULL);
        syscall(SYS_exit, 3); /* the leader only */
    }
    int st;
    sleep_ms(20);
    CHECK_EQ(waitpid(p, &st, WNOHANG), 0);
    WAIT_EXIT(p, 24);
}

static void *fault_thread(void *arg)
{
    *(volatile int *)8 = 1;
    return NULL;
}

static void fault_in_a_thread_kills_all(void)
{
    pid_t p = OK(fork());
    if (!p) {
        pthread_t t;
        pthread_create(&t, NULL, fault_thread, NULL);
        for (;;)
            pause();
    }
    WAIT_SIGNAL(p, SIGSEGV);
}

static void *fork_thread(void *arg)
{
    pid_t p = fork();
    if (!p)
        _exit(syscall(SYS_gettid) == getpid() ? 31 : 1);
    int st;
    waitpid(p, &st, 0);
    return (void *)(intptr_t)WEXITSTATUS(st);
}

static void fork_from_a_thread(void)
{
    pthread_t t;
    void *r;
    CHECK_ZERO(pthread_create(&t, NULL, fork_thread, NULL));
    CHECK_ZERO(pthread_join(t, &r));
    CHECK_EQ((intptr_t)r, 31);
}

static __thread int g_tls = 7;

static void *tls_thread(void *arg)
{
    CHECK_EQ(g_tls, 7);
    g_tls = 9;
    sched_yield();
    return (void *)(intptr_t)g_tls;
}

static void thread_local_storage(void)
{
    pthread_t t;
    void *r;
    g_tls = 8;
    CHECK_ZERO(pthread_create(&t, NULL, tls_thread, NULL));
    CHECK_ZERO(pthread_join(t, &r));
    CHECK_EQ((intptr_t)r, 9);
    CHECK_EQ(g_tls, 8);
    g_tls = 7;
}

static void *masked(void *arg)
{
    sigset_t m;
    sigprocmask(0, NULL, &m);
    return (void *)(intptr_t)sigismember(&m, SIGUSR2);
}

static void mask_is_inherited(void)
{
    pthread_t t;
    void *r;
    sig_block(SIG_BLOCK, SIGUSR2);
    CHECK_ZERO(pthread_create(&t, NULL, masked, NULL));
    CHECK_ZERO(pthread_join(t, &r));
    CHECK_EQ((intptr_t)r, 1);
}

static void *named(void *arg)
{
    prctl(PR_SET_NAME, "worker");
    char buf[64] = "", path[64];
    snprintf(path, sizeof(path), "/proc/self/task/%ld/comm", syscall(SYS_gettid));
    int fd = open(path, O_RDONLY);
    if (fd < 0 || read(fd, buf, sizeof(buf) - 1) < 0)
        return "bad";
    close(fd);
    return strcmp(buf, "worker\n") ? "bad" : "good";
}

static void names(void)
{
    pthread_t t;
    void *r;
    CHECK_ZERO(pthread_create(&t, NULL, named, NULL));
    CHECK_ZERO(pthread_join(t, &r));
    CHECK_STR(r, "good");
}

static sem_t g_sem;

static void *poster(void *arg)
{
    for (int i = 0; i < 1000; i++)
        sem_post(&g_sem);
    return NULL;
}

static void semaphores(void)
{
    pthread_t t[4];
    CHECK_ZERO(sem_init(&g_sem, 0, 0));
    for (int i = 0; i < 4; i++)
        CHECK_ZERO(pthread_create(&t[i], NULL, poster, NULL));
    for (int i = 0; i < 4000; i++)
        CHECK_ZERO(sem_wait(&g_sem));
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
}

static void *cancel_me(void *arg)
{
    while (arg == NULL)
        pause();
    return arg;
}

static void cancel(void)
{
    pthread_t t;
    void *r;
    CHECK_ZERO(pthread_create(&t, NULL, cancel_me, NULL));
    sleep_ms(20);
    CHECK_ZERO(pthread_cancel(t));
    CHECK_ZERO(pthread_join(t, &r));
    CHECK(r == PTHREAD_CANCELED);
}

static pthread_barrier_t g_barrier;

static void *barrier_thread(void *arg)
{
    for (int i = 0; i < 50; i++)
        pthread_barrier_wait(&g_barrier);
    return NULL;
}

static void barriers(void)
{
    pthread_t t[16];
    CHECK_ZERO(pthread_barrier_init(&g_barrier, NULL, 16));
    for (int i = 0; i < 16; i++)
        CHECK_ZERO(pthread_create(&t[i], NULL, barrier_thread, NULL));
    for (int i = 0; i < 16; i++)
        CHECK_ZERO(pthread_join(t[i], NULL));
}

static void *mapper(void *arg)
{
    for (int i = 0; i < 300; i++) {
        char *p = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED)
            return "mmap failed";
        for (int k = 0; k < 65536; k += 4096)
            p[k] = i;
        mprotect(p + 4096, 4096, PROT_READ);
        if (p[8192] != (char)i)
            return "lost a byte";
        munmap(p, 65536);
    }
    return NULL;
}

static void mapping_in_parallel(void)
{
    pthread_t t[6];
    for (int i = 0; i < 6; i++)
        CHECK_ZERO(pthread_create(&t[i], NULL, mapper, NULL));
    for (int i = 0; i < 6; i++) {
        void *r;
        CHECK_ZERO(pthread_join(t[i], &r));
        if (r)
            FAIL("%s", (char *)r);
    }
}

static void kill_a_busy_pool(void)
{
    pid_t p = OK(fork());
    if (!p) {
        static volatile pid_t tid;
        pthread_t t;
        g_stop = 0;
        for (int i = 0; i < 8; i++)
            pthread_create(&t, NULL, spin_thread, (void *)&tid);
        for (;;)
            pause();
    }
    sleep_ms(50);
    int64_t start = now_ns();
    OK(kill(p, SIGKILL));
    WAIT_SIGNAL(p, SIGKILL);
    CHECK(now_ns() - start < 2000000000);
}

static void affinity(void)
{
    cpu_set_t set;
    OK(sched_getaffinity(0, sizeof(set), &set));
    CHECK(CPU_COUNT(&set) >= 1);
    CHECK_EQ(CPU_COUNT(&set), sysconf(_SC_NPROCESSORS_ONLN));
    unsigned cpu = 9999, node;
    OK(syscall(SYS_getcpu, &cpu, &node, NULL));
    CHECK(cpu < 9999);
    CHECK_ERR(sched_getaffinity(0, 1, &set), EINVAL);
    CHECK_ERR(sched_getaffinity(7654321, sizeof(set), &set), ESRCH);
}

GUEST_MAIN(C(create_join), C(mutex_counts), C(pool_of_64_hands_off), C(condition_variables), C(cond_timedwait), C(ids),
           C(tgkill_reaches_that_thread), C(process_signal_goes_to_a_thread_that_takes_it), C(exit_from_a_thread),
           C(main_thread_leaves_first), C(fault_in_a_thread_kills_all), C(fork_from_a_thread), C(thread_local_storage),
           C(mask_is_inherited), C(names), C(semaphores), C(cancel), C(barriers), C(mapping_in_parallel),
           C(kill_a_busy_pool), C(affinity))
