/* userfaultfd(2): another thread gives a range its pages. */
#include "guest.h"

#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>

#define PAGE 4096ul

static int open_uffd(int flags, uint64_t features)
{
    int fd = syscall(SYS_userfaultfd, O_CLOEXEC | flags);
    if (fd < 0 && errno == ENOSYS)
        SKIP("no userfaultfd");
    struct uffdio_api api = {.api = UFFD_API, .features = features};
    OK(fd);
    OK(ioctl(fd, UFFDIO_API, &api));
    CHECK_EQ(api.api, UFFD_API);
    return fd;
}

static char *pages(unsigned count)
{
    return OK(mmap(NULL, count * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

static void enlist(int fd, char *p, unsigned count, int mode)
{
    struct uffdio_register r = {.range = {(uintptr_t)p, count * PAGE}, .mode = mode};
    OK(ioctl(fd, UFFDIO_REGISTER, &r));
    CHECK(r.ioctls & 1ull << _UFFDIO_COPY);
    CHECK(r.ioctls & 1ull << _UFFDIO_WAKE);
}

static int copy_page(int fd, char *dst, int fill, int mode)
{
    static char src[PAGE] __attribute__((aligned(4096)));
    memset(src, fill, PAGE);
    struct uffdio_copy c = {
        .dst = (uintptr_t)dst, .src = (uintptr_t)src, .len = PAGE, .mode = mode};
    return ioctl(fd, UFFDIO_COPY, &c);
}

/* Answers each missing page with its number in the range. */
static char *g_base;
static int g_fd, g_count, g_writes;
static void *server(void *arg)
{
    struct uffd_msg m;
    for (int i = 0; i < g_count; i++) {
        if (read(g_fd, &m, sizeof(m)) != sizeof(m))
            return "read";
        if (m.event != UFFD_EVENT_PAGEFAULT)
            return "event";
        if (m.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WRITE)
            g_writes++;
        char *at = (char *)(uintptr_t)m.arg.pagefault.address;
        if ((uintptr_t)at % PAGE)
            return "address";
        if (copy_page(g_fd, at, 'a' + (at - g_base) / PAGE, 0))
            return "copy";
    }
    return NULL;
}

static pthread_t serve(int fd, char *base, int count)
{
    pthread_t th;
    g_fd = fd;
    g_base = base;
    g_count = count;
    g_writes = 0;
    CHECK_ZERO(pthread_create(&th, NULL, server, NULL));
    return th;
}

static void join(pthread_t th)
{
    void *why;
    CHECK_ZERO(pthread_join(th, &why));
    if (why)
        FAIL("server: %s", (char *)why);
}

static void arguments(void)
{
    CHECK_ERR(syscall(SYS_userfaultfd, 2), EINVAL);
    int fd = syscall(SYS_userfaultfd, O_CLOEXEC);
    if (fd < 0 && errno == ENOSYS)
        SKIP("no userfaultfd");
    OK(fd);
    char buf[64], *p = pages(4);
    struct uffdio_register r = {.range = {(uintptr_t)p, PAGE},
                                .mode = UFFDIO_REGISTER_MODE_MISSING};
    CHECK_ERR(ioctl(fd, UFFDIO_REGISTER, &r), EINVAL);
    CHECK_ERR(read(fd, buf, sizeof(buf)), EINVAL);
    struct pollfd pfd = {fd, POLLIN, 0};
    CHECK_EQ(poll(&pfd, 1, 0), 1);
    CHECK_EQ(pfd.revents, POLLERR);
    struct uffdio_api api = {.api = 0x55};
    CHECK_ERR(ioctl(fd, UFFDIO_API, &api), EINVAL);
    api = (struct uffdio_api){.api = UFFD_API, .features = 1ull << 60};
    CHECK_ERR(ioctl(fd, UFFDIO_API, &api), EINVAL);
    CHECK_ERR(ioctl(fd, UFFDIO_API, 8), EFAULT);
    api = (struct uffdio_api){.api = UFFD_API};
    OK(ioctl(fd, UFFDIO_API, &api));
    CHECK_ERR(ioctl(fd, UFFDIO_API, &api), EINVAL);
    r.mode = 0;
    CHECK_ERR(ioctl(fd, UFFDIO_REGISTER, &r), EINVAL);
    r.mode = 1 << 20;
    CHECK_ERR(ioctl(fd, UFFDIO_REGISTER, &r), EINVAL);
    r.mode = UFFDIO_REGISTER_MODE_MISSING;
    r.range.len = 100;
    CHECK_ERR(ioctl(fd, UFFDIO_REGISTER, &r), EINVAL);
    r.range.len = 0;
    CHECK_ERR(ioctl(fd, UFFDIO_REGISTER, &r), EINVAL);
    r.range = (struct uffdio_range){(uintptr_t)p + 1, PAGE};
    CHECK_ERR(ioctl(fd, UFFDIO_REGISTER, &r), EINVAL);
    CHECK_ERR(ioctl(fd, UFFDIO_REGISTER, 8), EFAULT);
    CHECK_ERR(copy_page(fd, p, 1, 0), ENOENT);
    enlist(fd, p, 4, UFFDIO_REGISTER_MODE_MISSING);
    OK(copy_page(fd, p, 1, 0));
    CHECK_ERR(copy_page(fd, p, 1, 0), EEXIST);
    CHECK_ERR(copy_page(fd, p + 1, 1, 0), EINVAL);
    CHECK_ERR(copy_page(fd, p, 1, 1 << 10), EINVAL);
    struct uffdio_copy c = {.dst = (uintptr_t)p + PAGE, .src = 8, .len = PAGE};
    CHECK_ERR(ioctl(fd, UFFDIO_COPY, &c), EFAULT);
    int other = open_uffd(0, 0);
    r = (struct uffdio_register){.range = {(uintptr_t)p, PAGE},
                                 .mode = UFFDIO_REGISTER_MODE_MISSING};
    CHECK_ERR(ioctl(other, UFFDIO_REGISTER, &r), EBUSY);
    struct uffdio_range range = {(uintptr_t)p, 4 * PAGE};
    OK(ioctl(fd, UFFDIO_UNREGISTER, &range));
    OK(ioctl(other, UFFDIO_REGISTER, &r));
    close(fd);
    close(other);
}

static void missing_pages(void)
{
    char *p = pages(4);
    int fd = open_uffd(0, 0);
    enlist(fd, p, 4, UFFDIO_REGISTER_MODE_MISSING);
    pthread_t th = serve(fd, p, 4);
    CHECK_EQ(p[0], 'a');
    CHECK_EQ(p[3 * PAGE + 5], 'd');
    p[PAGE] = 'X';
    CHECK_EQ(p[PAGE + 1], 'b');
    CHECK_EQ(p[2 * PAGE], 'c');
    join(th);
    CHECK_EQ(g_writes, 1);
    OK(madvise(p, PAGE, MADV_DONTNEED)); /* missing again */
    th = serve(fd, p, 1);
    CHECK_EQ(p[7], 'a');
    join(th);
    close(fd);
    OK(madvise(p, PAGE, MADV_DONTNEED));
    CHECK_EQ(p[7], 0);
}

static void present_pages_stay(void)
{
    char *p = pages(3);
    p[PAGE] = 7;
    int fd = open_uffd(O_NONBLOCK, 0);
    enlist(fd, p, 3, UFFDIO_REGISTER_MODE_MISSING);
    CHECK_EQ(p[PAGE], 7);
    struct uffd_msg m;
    CHECK_ERR(read(fd, &m, sizeof(m)), EAGAIN);
    CHECK_ERR(read(fd, &m, 8), EINVAL);
    struct pollfd pfd = {fd, POLLIN, 0};
    CHECK_EQ(poll(&pfd, 1, 0), 0);
    struct uffdio_zeropage z = {.range = {(uintptr_t)p, PAGE}};
    OK(ioctl(fd, UFFDIO_ZEROPAGE, &z));
    CHECK_EQ(z.zeropage, PAGE);
    CHECK_EQ(p[9], 0);
    CHECK_ERR(ioctl(fd, UFFDIO_ZEROPAGE, &z), EEXIST);
    close(fd);
}

static void in_a_system_call(void)
{
    char *p = pages(2);
    int fd = open_uffd(0, 0), pp[2];
    OK(pipe(pp));
    enlist(fd, p, 2, UFFDIO_REGISTER_MODE_MISSING);
    pthread_t th = serve(fd, p, 2);
    CHECK_EQ(OK(write(pp[1], p, 3)), 3);
    CHECK_EQ(OK(read(pp[0], p + PAGE, 3)), 3);
    join(th);
    CHECK_EQ(p[PAGE], 'a');
    CHECK_EQ(p[PAGE + 3], 'b');
    close(fd);
}

static void shared_memory(void)
{
    int mem = OK(memfd_create("uffd", 0));
    OK(ftruncate(mem, 4 * PAGE));
    OK(pwrite(mem, "Q", 1, 3 * PAGE));
    char *p = OK(mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, mem, 0));
    char *q = OK(mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    int fd = open_uffd(0, UFFD_FEATURE_MISSING_SHMEM);
    enlist(fd, p, 4, UFFDIO_REGISTER_MODE_MISSING);
    CHECK_EQ(p[3 * PAGE], 'Q');
    pthread_t th = serve(fd, p, 3);
    CHECK_EQ(p[0], 'a');
    p[PAGE] = 'x';
    CHECK_EQ(p[PAGE + 1], 'b');
    int pp[2];
    OK(pipe(pp));
    CHECK_EQ(OK(write(pp[1], p + 2 * PAGE, 2)), 2);
    join(th);
    char buf[2];
    OK(pread(mem, buf, 2, PAGE)); /* it is the file's page */
    CHECK(buf[0] == 'x' && buf[1] == 'b');
    CHECK_ERR(copy_page(fd, p + 3 * PAGE, 1, 0), EEXIST);
    enlist(fd, q, 2, UFFDIO_REGISTER_MODE_MISSING);
    th = serve(fd, q, 1);
    q[PAGE] = 1;
    join(th);
    CHECK_EQ(q[PAGE + 1], 'b');
    close(fd);
    CHECK_EQ(q[0], 0);
}

static sigjmp_buf g_out;
static void on_bus(int sig, siginfo_t *info, void *uc)
{
    siglongjmp(g_out, sig);
}

static void sigbus_instead(void)
{
    char *p = pages(1);
    int fd = open_uffd(0, UFFD_FEATURE_SIGBUS);
    enlist(fd, p, 1, UFFDIO_REGISTER_MODE_MISSING);
    handle_info(SIGBUS, on_bus, 0);
    int sig = sigsetjmp(g_out, 1);
    if (!sig)
        *(volatile char *)p = 1;
    CHECK_EQ(sig, SIGBUS);
    close(fd);
}

static void *unprotect(void *arg)
{
    struct uffd_msg m;
    if (read(g_fd, &m, sizeof(m)) != sizeof(m))
        return "read";
    if (!(m.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP))
        return "flags";
    g_writes++;
    struct uffdio_writeprotect w = {.range = {m.arg.pagefault.address, PAGE}};
    return ioctl(g_fd, UFFDIO_WRITEPROTECT, &w) ? "ioctl" : NULL;
}

static void write_protection(void)
{
    char *p = pages(2);
    pthread_t th;
    memset(p, 3, 2 * PAGE);
    g_fd = open_uffd(0, UFFD_FEATURE_PAGEFAULT_FLAG_WP);
    g_writes = 0;
    struct uffdio_register r = {.range = {(uintptr_t)p, 2 * PAGE}, .mode = UFFDIO_REGISTER_MODE_WP};
    OK(ioctl(g_fd, UFFDIO_REGISTER, &r));
    CHECK(r.ioctls & 1ull << _UFFDIO_WRITEPROTECT);
    p[1] = 4; /* not protected yet */
    struct uffdio_writeprotect w = {.range = {(uintptr_t)p, 2 * PAGE},
                                    .mode = UFFDIO_WRITEPROTECT_MODE_WP};
    OK(ioctl(g_fd, UFFDIO_WRITEPROTECT, &w));
    CHECK_EQ(p[0] + p[1], 7);
    CHECK_ZERO(pthread_create(&th, NULL, unprotect, NULL));
    p[0] = 9;
    join(th);
    CHECK_EQ(g_writes, 1);
    CHECK_EQ(p[0], 9);
    p[2] = 9; /* the whole page is free */
    w.range.start = 0x10000;
    CHECK_ERR(ioctl(g_fd, UFFDIO_WRITEPROTECT, &w), ENOENT);
    close(g_fd);
    p[PAGE] = 1; /* closing let go of the other one */
}

static void fork_and_death(void)
{
    char *p = pages(1);
    int fd = open_uffd(0, 0);
    enlist(fd, p, 1, UFFDIO_REGISTER_MODE_MISSING);
    IN_CHILD({ CHECK_EQ(*p, 0); }); /* a child is nobody's business */
    pid_t child = OK(fork());
    if (!child) {
        char *q = pages(1);
        int mine = open_uffd(0, 0);
        enlist(mine, q, 1, UFFDIO_REGISTER_MODE_MISSING);
        *q = 1; /* nobody answers */
        _exit(1);
    }
    sleep_ms(50);
    kill(child, SIGKILL);
    WAIT_SIGNAL(child, SIGKILL);
    close(fd);
    CHECK_EQ(*p, 0);
}

static void moved_and_heap(void)
{
    char *p = pages(2);
    int fd = open_uffd(O_NONBLOCK, 0);
    enlist(fd, p, 2, UFFDIO_REGISTER_MODE_MISSING);
    char *q = OK(mremap(p, 2 * PAGE, 4 * PAGE, MREMAP_MAYMOVE));
    if (q == p)
        SKIP("it has not moved");
    CHECK_EQ(q[0] + q[3 * PAGE], 0); /* registered no more */
    char *heap = OK(sbrk(4 * PAGE));
    heap = (char *)(((uintptr_t)heap + PAGE - 1) & -PAGE);
    enlist(fd, heap, 1, UFFDIO_REGISTER_MODE_MISSING);
    OK(madvise(heap, PAGE, MADV_DONTNEED));
    OK(copy_page(fd, heap, 'h', 0));
    CHECK_EQ(heap[1], 'h');
    close(fd);
}

static void rights(void)
{
    if (open("/proc/sys/vm/unprivileged_userfaultfd", O_RDONLY) < 0)
        SKIP("no such knob");
    IN_CHILD({
        OK(setuid(1000));
        int fd = syscall(SYS_userfaultfd, O_CLOEXEC | 1 /* UFFD_USER_MODE_ONLY */);
        if (fd < 0)
            CHECK_EQ(errno, ENOSYS);
        CHECK_ERR(syscall(SYS_userfaultfd, O_CLOEXEC), EPERM);
    });
}

GUEST_MAIN(C(arguments), C(missing_pages), C(present_pages_stay), C(in_a_system_call),
           C(shared_memory), C(sigbus_instead), C(write_protection), C(fork_and_death),
           C(moved_and_heap), C(rights))
