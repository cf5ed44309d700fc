/* futex(2), set_robust_list(2), set_tid_address(2), CLONE_CHILD_CLEARTID. */
#include "guest.h"
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>

static long futex(void *addr, int op, unsigned val, const void *timeout, void *addr2, unsigned val3)
{
    return syscall(SYS_futex, addr, op, val, timeout, addr2, val3);
}

static void wrong_value_is_eagain(void)
{
    int f = 1;
    CHECK_ERR(futex(&f, FUTEX_WAIT, 2, NULL, NULL, 0), EAGAIN);
    CHECK_ERR(futex(&f, FUTEX_WAIT_PRIVATE, 2, NULL, NULL, 0), EAGAIN);
}

static void wait_times_out(void)
{
    int f = 1;
    struct timespec ts = {0, 40000000};
    int64_t t = now_ns();
    CHECK_ERR(futex(&f, FUTEX_WAIT, 1, &ts, NULL, 0), ETIMEDOUT);
    t = now_ns() - t;
    CHECK(t >= 40000000 && t < 2000000000);
}

static void bitset_timeout_is_absolute(void)
{
    int f = 1;
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    ts.tv_nsec += 40000000;
    if (ts.tv_nsec >= 1000000000)
        ts.tv_sec++, ts.tv_nsec -= 1000000000;
    int64_t t = now_ns();
    CHECK_ERR(futex(&f, FUTEX_WAIT_BITSET, 1, &ts, NULL, FUTEX_BITSET_MATCH_ANY), ETIMEDOUT);
    CHECK(now_ns() - t >= 35000000);
    clock_gettime(CLOCK_REALTIME, &ts);
    CHECK_ERR(futex(&f, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 1, &ts, NULL, 1), ETIMEDOUT);
    CHECK_ERR(futex(&f, FUTEX_WAIT_BITSET, 1, &ts, NULL, 0), EINVAL);
}

static void bad_arguments(void)
{
    int f[2] = {0, 0};
    struct timespec bad = {0, 1000000000};
    CHECK_ERR(futex((char *)f + 1, FUTEX_WAIT, 0, NULL, NULL, 0), EINVAL);
    CHECK_ERR(futex((void *)8, FUTEX_WAIT, 0, NULL, NULL, 0), EFAULT);
    CHECK_ERR(futex(f, FUTEX_WAIT, 0, &bad, NULL, 0), EINVAL);
    CHECK_ERR(futex(f, FUTEX_WAIT, 0, (void *)8, NULL, 0), EFAULT);
    CHECK_ERR(futex(f, 99, 0, NULL, NULL, 0), ENOSYS);
    CHECK_ERR(futex((void *)0xffff800000000000ul, FUTEX_WAIT, 0, NULL, NULL, 0), EFAULT);
    CHECK_EQ(futex(f, FUTEX_WAKE, 1, NULL, NULL, 0), 0);
}

static int g_f, g_f2, g_arrived, g_woken;

static void *waiter(void *arg)
{
    __atomic_add_fetch(&g_arrived, 1, __ATOMIC_SEQ_CST);
    unsigned bits = (uintptr_t)arg;
    while (futex(&g_f, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL, bits) && errno == EINTR)
        ;
    __atomic_add_fetch(&g_woken, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static void start(pthread_t *t, int n, unsigned bits)
{
    g_f = g_f2 = g_arrived = g_woken = 0;
    for (int i = 0; i < n; i++)
        CHECK_ZERO(pthread_create(&t[i], NULL, waiter, (void *)(uintptr_t)bits));
    while (__atomic_load_n(&g_arrived, __ATOMIC_SEQ_CST) < n)
        sleep_ms(1);
    sleep_ms(50);
}

static void join(pthread_t *t, int n)
{
    for (int i = 0; i < n; i++)
        CHECK_ZERO(pthread_join(t[i], NULL));
}

static void wake_counts(void)
{
    pthread_t t[5];
    start(t, 5, ~0u);
    CHECK_EQ(futex(&g_f, FUTEX_WAKE_PRIVATE, 2, NULL, NULL, 0), 2);
    sleep_ms(30);
    CHECK_EQ(g_woken, 2);
    CHECK_EQ(futex(&g_f, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0), 3);
    join(t, 5);
}

static void wake_bitset(void)
{
    pthread_t t[2];
    start(t, 2, 4);
    CHECK_EQ(futex(&g_f, FUTEX_WAKE_BITSET_PRIVATE, 9, NULL, NULL, 3), 0);
    CHECK_EQ(futex(&g_f, FUTEX_WAKE_BITSET_PRIVATE, 9, NULL, NULL, 6), 2);
    join(t, 2);
}

static void requeue(void)
{
    pthread_t t[4];
    start(t, 4, ~0u);
    CHECK_ERR(futex(&g_f, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)9, &g_f2, 77), EAGAIN);
    CHECK_EQ(futex(&g_f, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)2, &g_f2, 0), 3); /* one woken, two moved */
    CHECK_EQ(futex(&g_f, FUTEX_WAKE_PRIVATE, 9, NULL, NULL, 0), 1);
    CHECK_EQ(futex(&g_f2, FUTEX_WAKE_PRIVATE, 9, NULL, NULL, 0), 2);
    join(t, 4);
}

static void wake_op(void)
{
    pthread_t t[2];
    start(t, 2, ~0u);
    g_f2 = 5;
    /* f2 = f2 + 3; wake one of f; and one of f2 if the old value was > 4 */
    unsigned op = FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_GT, 4);
    CHECK_EQ(futex(&g_f, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1, &g_f2, op), 1);
    CHECK_EQ(g_f2, 8);
    op = FUTEX_OP(FUTEX_OP_SET, 1, FUTEX_OP_CMP_EQ, 8);
    CHECK_EQ(futex(&g_f2, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1, &g_f, op), 0);
    CHECK_EQ(g_f, 1);
    CHECK_EQ(futex(&g_f, FUTEX_WAKE_PRIVATE, 9, NULL, NULL, 0), 1);
    join(t, 2);
}

static void shared_between_processes(void)
{
    int *f = OK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    pid_t p = OK(fork());
    if (!p) {
        while (__atomic_load_n(f, __ATOMIC_SEQ_CST) == 0)
            futex(f, FUTEX_WAIT, 0, NULL, NULL, 0);
        _exit(3);
    }
    sleep_ms(30);
    __atomic_store_n(f, 1, __ATOMIC_SEQ_CST);
    futex(f, FUTEX_WAKE, 1, NULL, NULL, 0);
    WAIT_EXIT(p, 3);
}

static void shared_through_a_file(void)
{
    char zero[4096] = {0};
    write_file("f", zero, sizeof(zero));
    int fd = OK(open("f", O_RDWR));
    int *f = OK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    pid_t p = OK(fork());
    if (!p) {
        int *g = OK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)); /* another address */
        while (__atomic_load_n(g, __ATOMIC_SEQ_CST) == 0)
            futex(g, FUTEX_WAIT, 0, NULL, NULL, 0);
        _exit(3);
    }
    sleep_ms(30);
    __atomic_store_n(f, 1, __ATOMIC_SEQ_CST);
    futex(f, FUTEX_WAKE, 1, NULL, NULL, 0);
    WAIT_EXIT(p, 3);
    munmap(f, 4096);
    close(fd);
}

static void private_after_fork_is_separate(void)
{
    static int f;
    f = 0;
    pid_t p = OK(fork());
    if (!p) {
        struct timespec ts = {0, 150000000};
        _exit(futex(&f, FUTEX_WAIT, 0, &ts, NULL, 0) == -1 && errno == ETIMEDOUT ? 0 : 1);
    }
    sleep_ms(50);
    CHECK_EQ(futex(&f, FUTEX_WAKE, 1, NULL, NULL, 0), 0);
    WAIT_EXIT(p, 0);
}

static int g_word;

static void on_alarm(int sig)
{
    g_word = 1;
}

static void interrupted(void)
{
    int f = 0;
    struct itimerval it = {{0, 0}, {0, 30000}};
    struct timespec ts = {5, 0};
    handle(SIGALRM, on_alarm, 0);
    OK(setitimer(ITIMER_REAL, &it, NULL));
    CHECK_ERR(futex(&f, FUTEX_WAIT, 0, &ts, NULL, 0), EINTR);
    handle(SIGALRM, on_alarm, SA_RESTART);
    OK(setitimer(ITIMER_REAL, &it, NULL));
    CHECK_ERR(futex(&f, FUTEX_WAIT, 0, &ts, NULL, 0), EINTR); /* never restarted with a timeout */
    g_word = 0;
    OK(setitimer(ITIMER_REAL, &it, NULL));
    CHECK_ERR(futex(&g_word, FUTEX_WAIT, 0, NULL, NULL, 0), EAGAIN); /* restarted: sees the handler's store */
}

static char g_stack[65536] __attribute__((aligned(16)));

static int empty_fn(void *arg)
{
    return 0;
}

static void child_cleartid_wakes(void)
{
    static volatile int tid;
    tid = 1;
    OK(clone(empty_fn, g_stack + sizeof(g_stack), CLONE_VM | CLONE_CHILD_CLEARTID | CLONE_CHILD_SETTID | SIGCHLD, NULL, NULL,
             NULL, &tid));
    struct timespec ts = {5, 0};
    for (int v; (v = tid) != 0;)
        if (futex((void *)&tid, FUTEX_WAIT, v, &ts, NULL, 0) && errno == ETIMEDOUT)
            FAIL("the tid was not cleared");
    wait(NULL);
}

static void robust_mutex(void)
{
    pthread_mutexattr_t a;
    pthread_mutex_t *m = OK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    pthread_mutexattr_init(&a);
    pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
    pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
    CHECK_ZERO(pthread_mutex_init(m, &a));
    pid_t p = OK(fork());
    if (!p) {
        pthread_mutex_lock(m);
        raise(SIGKILL);
    }
    WAIT_SIGNAL(p, SIGKILL);
    CHECK_EQ(pthread_mutex_lock(m), EOWNERDEAD);
    CHECK_ZERO(pthread_mutex_consistent(m));
    CHECK_ZERO(pthread_mutex_unlock(m));
}

static void robust_list_calls(void)
{
    struct robust_list_head *head;
    size_t len;
    OK(syscall(SYS_get_robust_list, 0, &head, &len));
    CHECK_EQ(len, sizeof(*head));
    CHECK_ERR(syscall(SYS_set_robust_list, head, 5), EINVAL);
}

static void robust_list_loop_ends(void)
{
    pid_t p = OK(fork());
    if (!p) {
        static struct robust_list_head head;
        static struct robust_list a;
        head.list.next = &a, a.next = &a; /* never comes back to the head */
        syscall(SYS_set_robust_list, &head, sizeof(head));
        _exit(6);
    }
    WAIT_EXIT(p, 6);
    p = OK(fork());
    if (!p) {
        syscall(SYS_set_robust_list, 0x1000, sizeof(struct robust_list_head));
        _exit(7);
    }
    WAIT_EXIT(p, 7);
}

static void pi_mutex(void)
{
    pthread_mutexattr_t a;
    pthread_mutex_t m;
    pthread_mutexattr_init(&a);
    CHECK_ZERO(pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_INHERIT));
    CHECK_ZERO(pthread_mutex_init(&m, &a));
    CHECK_ZERO(pthread_mutex_lock(&m));
    CHECK_EQ(pthread_mutex_trylock(&m), EBUSY);
    CHECK_ZERO(pthread_mutex_unlock(&m));
}

static void waitv(void)
{
    struct futex_waitv w[2] = {{.val = 0, .uaddr = (uintptr_t)&g_f, .flags = FUTEX_32},
                               {.val = 9, .uaddr = (uintptr_t)&g_f2, .flags = FUTEX_32}};
    g_f = g_f2 = 0;
    CHECK_ERR(syscall(449, w, 2, 0, NULL, CLOCK_MONOTONIC), EAGAIN);
    CHECK_ERR(syscall(449, w, 0, 0, NULL, CLOCK_MONOTONIC), EINVAL);
}

/* ---- rules of addresses, and of a PI owner's death ---- */

static long fx(void *a, int op, unsigned val, const void *ts, void *b, unsigned val3)
{
    return syscall(SYS_futex, a, op, val, ts, b, val3);
}

static void read_only_words(void)
{
    struct timespec ts = {0, 1000};
    char *ro = OK(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    char *none = OK(mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    CHECK_ERR(fx(ro, FUTEX_WAIT, 0, &ts, NULL, 0), EFAULT);
    CHECK_ERR(fx(ro, FUTEX_WAIT_PRIVATE, 0, &ts, NULL, 0), ETIMEDOUT);
    CHECK_ERR(fx(ro, FUTEX_WAKE, 1, NULL, NULL, 0), EFAULT);
    CHECK_ERR(fx(none, FUTEX_WAKE, 1, NULL, NULL, 0), EFAULT);
    CHECK_EQ(OK(fx(none, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0)), 0);
    CHECK_ERR(fx(ro, FUTEX_LOCK_PI, 0, NULL, NULL, 0), EFAULT);
}

static void pi_corners(void)
{
    static uint32_t w[2];
    struct timespec past = {0, 0};
    CHECK_ERR(fx(w, FUTEX_CMP_REQUEUE_PI, 1, (void *)1, w, 0), EINVAL);
    CHECK_ERR(fx(w, FUTEX_CMP_REQUEUE_PI, 2, (void *)1, w + 1, 0), EINVAL);
    CHECK_ERR(fx(w, FUTEX_WAIT_REQUEUE_PI, 0, &past, w, 0), EINVAL);
    CHECK_ERR(fx(w, FUTEX_WAIT_REQUEUE_PI, 0, &past, w + 1, 0), ETIMEDOUT);
    w[0] = FUTEX_WAITERS; /* nobody waits: the bit goes */
    OK(fx(w, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0));
    CHECK_EQ(w[0], syscall(SYS_gettid));
    OK(fx(w, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0));
    CHECK_EQ(w[0], 0);
    w[0] = FUTEX_OWNER_DIED;
    OK(fx(w, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
    CHECK_EQ(w[0], FUTEX_OWNER_DIED | syscall(SYS_gettid));
}

static void pi_owner_dies(void)
{
    uint32_t *w = OK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    pid_t owner = OK(fork());
    if (!owner) {
        OK(fx(w, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
        w[1] = 1;
        while (!(__atomic_load_n(w, __ATOMIC_SEQ_CST) & FUTEX_WAITERS))
            sleep_ms(1);
        sleep_ms(20);
        _exit(0); /* without a robust list */
    }
    while (!__atomic_load_n(w + 1, __ATOMIC_SEQ_CST))
        sleep_ms(1);
    OK(fx(w, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
    CHECK_EQ(w[0] & FUTEX_TID_MASK, syscall(SYS_gettid));
    CHECK(w[0] & FUTEX_OWNER_DIED);
    WAIT_EXIT(owner, 0);
}

GUEST_MAIN(C(wrong_value_is_eagain), C(wait_times_out), C(bitset_timeout_is_absolute), C(bad_arguments), C(wake_counts),
           C(wake_bitset), C(requeue), C(wake_op), C(shared_between_processes), C(shared_through_a_file),
           C(private_after_fork_is_separate), C(interrupted), C(child_cleartid_wakes), C(robust_mutex),
           C(robust_list_calls), C(robust_list_loop_ends), C(pi_mutex), C(waitv),
           C(read_only_words), C(pi_corners), C(pi_owner_dies))
