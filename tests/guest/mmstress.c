/* Random memory operations by several threads at once, with forks in the middle, against arrays
 * that say what every page must hold. */
#include "guest.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/uio.h>

#define P       4096l
#define PAGES   64
#define THREADS 4
#define STEPS   1500

struct area {
    char *base;
    int value[PAGES]; /* -1: not mapped */
    int prot[PAGES];
    unsigned seed;
    int fd; /* a file whose page i begins with 100 + i % 100 */
    int zero, null;
};

static void area_check(struct area *a)
{
    for (int i = 0; i < PAGES; i++)
        if (a->value[i] >= 0 && a->prot[i] & PROT_READ)
            CHECK_EQ(*(volatile unsigned char *)(a->base + i * P + 7), a->value[i]);
}

static void set(struct area *a, int at, int n, int value, int prot)
{
    for (int i = at; i < at + n; i++) {
        a->value[i] = value;
        a->prot[i] = prot;
    }
}

static void do_map(struct area *a, int at, int n, int file)
{
    char *p = a->base + at * P;
    int rw = PROT_READ | PROT_WRITE;
    if (!file) {
        OK(mmap(p, n * P, rw, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
        set(a, at, n, 0, rw);
        return;
    }
    OK(mmap(p, n * P, rw, MAP_PRIVATE | MAP_FIXED, a->fd, 0));
    for (int i = 0; i < n; i++)
        set(a, at + i, 1, 100 + i, rw);
}

static void do_protect(struct area *a, int at, int n)
{
    int prot = rand_r(&a->seed) & 1 ? PROT_READ : PROT_READ | PROT_WRITE;
    for (int i = at; i < at + n; i++)
        if (a->value[i] < 0)
            return;
    OK(mprotect(a->base + at * P, n * P, prot));
    for (int i = at; i < at + n; i++)
        a->prot[i] = prot;
}

/* By a store, or by the kernel on our behalf. */
static void do_write(struct area *a, int at)
{
    unsigned char v = rand_r(&a->seed) % 200;
    char *p = a->base + at * P + 7;
    bool writable = a->value[at] >= 0 && a->prot[at] & PROT_WRITE;
    if (rand_r(&a->seed) & 1) {
        ssize_t n = read(a->zero, p, 1);
        CHECK_EQ(n, writable ? 1 : -1);
        v = 0;
    } else if (writable) {
        *(volatile unsigned char *)p = v;
    }
    if (writable)
        a->value[at] = v;
}

static void do_move(struct area *a, int at, int n)
{
    int to = rand_r(&a->seed) % (PAGES - n + 1);
    if (to + n > at && at + n > to)
        return;
    for (int i = at; i < at + n; i++)
        if (a->value[i] < 0 || a->prot[i] != a->prot[at])
            return;
    char *p = mremap(a->base + at * P, n * P, n * P, MREMAP_MAYMOVE | MREMAP_FIXED,
                     a->base + to * P);
    if (p == MAP_FAILED) {
        CHECK_EQ(errno, EFAULT); /* more than one mapping; the target may be gone already */
        munmap(a->base + to * P, n * P);
        set(a, to, n, -1, 0);
        return;
    }
    for (int i = 0; i < n; i++)
        set(a, to + i, 1, a->value[at + i], a->prot[at + i]);
    set(a, at, n, -1, 0);
}

static void step(struct area *a)
{
    int at = rand_r(&a->seed) % PAGES, n = 1 + rand_r(&a->seed) % (PAGES - at);
    switch (rand_r(&a->seed) % 16) {
    case 0:
        do_map(a, at, n, 0);
        return;
    case 1:
        do_map(a, at, n, 1);
        return;
    case 2:
        OK(munmap(a->base + at * P, n * P));
        set(a, at, n, -1, 0);
        return;
    case 3:
        do_protect(a, at, 1 + n / 8);
        return;
    case 4:
        do_move(a, at, 1 + n / 4);
        return;
    default:
        do_write(a, at);
    }
}

static void *stress(void *arg)
{
    struct area *a = arg;
    for (int i = 0; i < STEPS; i++) {
        step(a);
        if (i % 100 == 0)
            area_check(a);
    }
    area_check(a);
    return NULL;
}

static int make_file(void)
{
    int fd = OK(open("pages", O_RDWR | O_CREAT, 0600));
    char page[P];
    for (int i = 0; i < PAGES; i++) {
        memset(page, 100 + i, P);
        CHECK_EQ(write(fd, page, P), P);
    }
    return fd;
}

static struct area area_new(unsigned seed, int fd)
{
    struct area a = {.seed = seed, .fd = fd};
    a.base = OK(mmap(NULL, PAGES * P, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    a.zero = OK(open("/dev/zero", O_RDONLY));
    do_map(&a, 0, PAGES, 0);
    return a;
}

static void threads(void)
{
    static struct area a[THREADS];
    pthread_t t[THREADS];
    int fd = make_file();
    for (int i = 0; i < THREADS; i++)
        a[i] = area_new(i + 1, fd);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&t[i], NULL, stress, &a[i]), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
}

/* Every generation goes on from what its parent had, while the parent changes its own. */
static void generations(void)
{
    int fd = make_file();
    struct area a = area_new(7, fd);
    for (int i = 0; i < 40; i++) {
        for (int k = 0; k < 30; k++)
            step(&a);
        pid_t p = OK(fork());
        if (!p) {
            area_check(&a);
            a.seed += i;
            for (int k = 0; k < 60; k++)
                step(&a);
            area_check(&a);
            _exit(0);
        }
        for (int k = 0; k < 60; k++)
            step(&a);
        area_check(&a);
        int status;
        CHECK_EQ(waitpid(p, &status, 0), p);
        CHECK_EQ(status, 0);
    }
}

static void *forker(void *arg)
{
    struct area *a = arg;
    for (int i = 0; i < 30; i++) {
        pid_t p = fork();
        if (!p) {
            area_check(a); /* nobody but the vanished thread could change it */
            _exit(0);
        }
        int status;
        CHECK_EQ(waitpid(p, &status, 0), p);
        CHECK_EQ(status, 0);
    }
    return NULL;
}

/* Forks while other threads map, write and unmap. */
static void fork_among_threads(void)
{
    static struct area busy[2], still;
    pthread_t t[3];
    int fd = make_file();
    still = area_new(3, fd);
    for (int i = 0; i < 200; i++)
        step(&still);
    for (int i = 0; i < 2; i++) {
        busy[i] = area_new(20 + i, fd);
        CHECK_EQ(pthread_create(&t[i], NULL, stress, &busy[i]), 0);
    }
    CHECK_EQ(pthread_create(&t[2], NULL, forker, &still), 0);
    for (int i = 0; i < 3; i++)
        pthread_join(t[i], NULL);
    area_check(&still);
}

/* The kernel copies into memory that another thread unmaps and maps again all the time. */
static char *g_target;
static volatile bool g_stop;

static void *remapper(void *arg)
{
    while (!g_stop) {
        munmap(g_target, 16 * P);
        mmap(g_target, 16 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    }
    return arg;
}

static void copies_race_with_unmap(void)
{
    pthread_t t;
    int zero = OK(open("/dev/zero", O_RDONLY)), fd = make_file();
    g_target = OK(mmap(NULL, 16 * P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    CHECK_EQ(pthread_create(&t, NULL, remapper, NULL), 0);
    for (int i = 0; i < 1500; i++) {
        ssize_t n = i & 1 ? read(zero, g_target, 16 * P) : pread(fd, g_target, 16 * P, 0);
        CHECK(n >= 0 || errno == EFAULT);
    }
    g_stop = true;
    pthread_join(t, NULL);
}

/* A mapped file that shrinks and grows under readers: data, zeros or EFAULT, nothing else. */
static void *resizer(void *arg)
{
    int fd = *(int *)arg;
    while (!g_stop) {
        OK(ftruncate(fd, P));
        OK(ftruncate(fd, 16 * P));
    }
    return NULL;
}

static void truncation_races(void)
{
    pthread_t t;
    int fd = make_file(), null = OK(open("/dev/null", O_WRONLY)), fds[2];
    char *shared = OK(mmap(NULL, 16 * P, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    g_stop = false;
    OK(pipe(fds));
    fcntl(fds[1], F_SETFL, O_NONBLOCK);
    CHECK_EQ(pthread_create(&t, NULL, resizer, &fd), 0);
    for (int i = 0; i < 1000; i++) {
        char buf[3 * P];
        ssize_t n = write(fds[1], shared + 2 * P, 3 * P);
        CHECK(n > 0 || errno == EFAULT || errno == EAGAIN);
        if (n > 0)
            CHECK(read(fds[0], buf, sizeof(buf)) > 0);
        (void)!write(null, shared, 16 * P);
    }
    g_stop = true;
    pthread_join(t, NULL);
}

GUEST_MAIN(C(threads), C(generations), C(fork_among_threads), C(copies_race_with_unmap),
           C(truncation_races))
