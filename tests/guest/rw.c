/* read(2), write(2) and their kin, call by call: what is refused, in which order, and how far a call
 * gets that fails in the middle. */
#include "guest.h"

#include <limits.h>
#include <linux/fs.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>

#ifndef RWF_NOAPPEND
#define RWF_NOAPPEND 0x20
#endif
#ifndef RWF_ATOMIC
#define RWF_ATOMIC 0x40
#endif
#ifndef RWF_DONTCACHE
#define RWF_DONTCACHE 0x80
#endif
#define BAD ((void *)-1L)
#define MAX_RW 0x7ffff000L

static char *g_page; /* a good page before a bad one */

static char *edge(void)
{
    char *p = OK(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    OK(mprotect(p + 4096, 4096, PROT_NONE));
    memset(p, 'e', 4096);
    return p;
}

static int temp(const char *content, int flags)
{
    write_file("f", content, strlen(content));
    return OK(open("f", flags));
}

/* ---- which errors, on which kinds of files ---- */

static void refused_reads(void)
{
    char b[64];
    int wr = temp("hello", O_WRONLY), rd = OK(open("f", O_RDONLY)), dir = OK(open(".", O_RDONLY));
    int path = OK(open("f", O_PATH)), p[2], ep = OK(epoll_create1(0));
    OK(pipe(p));
    CHECK_RET(read(-1, b, 1), -EBADF);
    CHECK_RET(read(wr, b, 1), -EBADF);
    CHECK_RET(read(wr, BAD, 1), -EBADF);
    CHECK_RET(read(path, b, 1), -EBADF);
    CHECK_RET(read(p[1], b, 1), -EBADF);
    CHECK_RET(read(dir, b, 1), -EISDIR);
    CHECK_RET(read(dir, b, 0), -EISDIR);
    CHECK_RET(pread(dir, b, 1, 0), -EISDIR);
    CHECK_RET(read(ep, b, 1), -EINVAL);
    CHECK_RET(read(rd, BAD, 1), -EFAULT);
    CHECK_RET(read(rd, NULL, 1), -EFAULT);
    CHECK_RET(read(rd, b, -1), -EFAULT);
    CHECK_RET(read(rd, BAD, 0), -EFAULT);
    CHECK_RET(read(rd, NULL, 0), 0);
    CHECK_RET(read(rd, b, 64), 5);
    CHECK_RET(read(rd, b, 64), 0);
    CHECK_RET(read(rd, NULL, 64), 0);
    CHECK_RET(read(rd, BAD, 64), -EFAULT);
    CHECK_RET(pread(rd, b, 64, -1), -EINVAL);
    CHECK_RET(pread(-1, b, 64, -1), -EINVAL);
    CHECK_RET(pread(rd, b, 64, LONG_MAX), -EINVAL);
    CHECK_RET(pread(rd, b, 64, LONG_MAX - 63), -EINVAL);
    CHECK_RET(pread(rd, b, 64, LONG_MAX - 64), 0);
    CHECK_RET(pread(wr, b, 64, 0), -EBADF);
    CHECK_RET(pread(p[0], b, 64, 0), -ESPIPE);
    CHECK_RET(pread(p[1], b, 64, 0), -ESPIPE);
    CHECK_RET(pread(ep, b, 64, 0), -ESPIPE);
}

static void refused_writes(void)
{
    char b[64] = "x";
    int rd = temp("hello", O_RDONLY), wr = OK(open("f", O_WRONLY)), dir = OK(open(".", O_RDONLY));
    int p[2], ep = OK(epoll_create1(0)), sf;
    sigset_t s;
    sigemptyset(&s);
    sf = OK(signalfd(-1, &s, 0));
    OK(pipe(p));
    CHECK_RET(write(-1, b, 1), -EBADF);
    CHECK_RET(write(rd, b, 1), -EBADF);
    CHECK_RET(write(rd, b, 0), -EBADF);
    CHECK_RET(write(dir, b, 1), -EBADF);
    CHECK_RET(write(p[0], b, 1), -EBADF);
    CHECK_RET(write(ep, b, 1), -EINVAL);
    CHECK_RET(write(sf, b, 1), -EINVAL);
    CHECK_RET(write(wr, BAD, 1), -EFAULT);
    CHECK_RET(write(wr, NULL, 1), -EFAULT);
    CHECK_RET(write(wr, b, -1), -EFAULT);
    CHECK_RET(write(wr, BAD, 0), -EFAULT);
    CHECK_RET(pwrite(wr, b, 1, -1), -EINVAL);
    CHECK_RET(pwrite(-1, b, 1, -1), -EINVAL);
    CHECK_RET(pwrite(p[1], b, 1, 0), -ESPIPE);
    CHECK_RET(pwrite(rd, b, 1, 0), -EBADF);
    CHECK_RET(pwrite(wr, b, 1, LONG_MAX), -EINVAL);
    CHECK_RET(pwrite(wr, b, 1, LONG_MAX - 1), -EFBIG);
    CHECK_RET(write(p[1], BAD, 0), -EFAULT);
    CHECK_RET(write(p[1], BAD, 1), -EFAULT);
    CHECK_RET(write(p[1], NULL, 1), -EFAULT);
}

static void refused_vectors(void)
{
    char b[64];
    struct iovec v[2] = {{b, 4}, {b + 4, 4}};
    struct iovec *many = OK(calloc(1025, sizeof(*many)));
    int fd = temp("hello world", O_RDWR), p[2];
    OK(pipe(p));
    CHECK_RET(readv(-1, v, 2), -EBADF);
    CHECK_RET(readv(fd, v, -1), -EINVAL);
    CHECK_RET(readv(fd, v, 0), 0);
    CHECK_RET(readv(fd, BAD, 0), 0);
    CHECK_RET(readv(fd, BAD, 1), -EFAULT);
    CHECK_RET(readv(fd, NULL, 1), -EFAULT);
    CHECK_RET(writev(fd, v, -1), -EINVAL);
    CHECK_RET(writev(fd, BAD, 1), -EFAULT);
    CHECK_RET(writev(fd, NULL, 0), 0);
    for (int i = 0; i < 1025; i++)
        many[i] = (struct iovec){b, 0};
    CHECK_RET(readv(fd, many, 1025), -EINVAL);
    CHECK_RET(readv(fd, many, 1024), 0);
    many[1023] = (struct iovec){b, 1};
    CHECK_RET(readv(fd, many, 1024), 1);
    CHECK_RET(writev(fd, many, 1025), -EINVAL);
    v[1].iov_len = -1;
    CHECK_RET(readv(fd, v, 2), -EINVAL);
    CHECK_RET(writev(fd, v, 2), -EINVAL);
    v[1] = (struct iovec){BAD, 4};
    CHECK_RET(lseek(fd, 0, SEEK_SET), 0);
    CHECK_RET(readv(fd, v, 2), -EFAULT);
    CHECK_RET(lseek(fd, 0, SEEK_CUR), 0);
    v[1] = (struct iovec){NULL, 4};
    CHECK_RET(readv(fd, v, 2), 4);
    CHECK_RET(lseek(fd, 0, SEEK_CUR), 4);
    CHECK_RET(writev(fd, v, 2), 4);
    CHECK_RET(writev(p[1], v, 2), -EFAULT);
    CHECK_RET(writev(p[1], v, 1), 4);
    CHECK_RET(readv(p[0], v, 2), 4);
    v[0] = (struct iovec){b, LONG_MAX};
    v[1] = (struct iovec){b, 4};
    CHECK_RET(readv(fd, v, 2), -EFAULT);
    CHECK_RET(preadv(fd, v, 1, -1), -EINVAL);
    CHECK_RET(pwritev(fd, v, 1, -1), -EINVAL);
    CHECK_RET(preadv(p[0], v, 0, 0), -ESPIPE);
    CHECK_RET(pwritev(p[1], v, 0, 0), -ESPIPE);
    CHECK_RET(preadv(-1, v, 1, 0), -EBADF);
    CHECK_RET(preadv(fd, v, -1, 0), -EINVAL);
    free(many);
}

/* A buffer that ends in a hole: what comes before it is moved. */
static void faults_halfway(void)
{
    char *p = edge();
    int fd = OK(open("f", O_RDWR | O_CREAT, 0600)), q[2], sv[2];
    OK(pipe(q));
    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
    CHECK_RET(write(fd, p + 4000, 200), 96);
    CHECK_RET(lseek(fd, 0, SEEK_CUR), 96);
    CHECK_RET(pwrite(fd, p, 4096, 0), 4096);
    CHECK_RET(pwrite(fd, p, 4097, 4096), 4096);
    CHECK_RET(pread(fd, p + 4000, 200, 0), 96);
    CHECK_RET(pread(fd, p + 4096, 200, 0), -EFAULT);
    CHECK_RET(pwrite(fd, p + 4096, 200, 0), -EFAULT);
    CHECK_RET(write(q[1], p + 4000, 200), -EFAULT);
    CHECK_RET(write(q[1], p + 4000, 96), 96);
    CHECK_RET(read(q[0], p + 4090, 96), -EFAULT);
    CHECK_RET(write(sv[0], p + 4000, 200), -EFAULT);
    struct iovec v[3] = {{p, 10}, {p + 4090, 10}, {p, 10}};
    CHECK_RET(pwritev(fd, v, 3, 0), 16);
    CHECK_RET(preadv(fd, v, 3, 0), 16);
}

/* ---- the flags of preadv2 and pwritev2 ---- */

static ssize_t rd2(int fd, off_t pos, int flags)
{
    char b[4];
    struct iovec v = {b, 4};
    return preadv2(fd, &v, 1, pos, flags);
}

static ssize_t wr2(int fd, off_t pos, int flags)
{
    struct iovec v = {"abcd", 4};
    return pwritev2(fd, &v, 1, pos, flags);
}

static void rwf_flags(void)
{
    int fd = temp("hello world", O_RDWR), p[2], ap;
    OK(pipe(p));
    CHECK_RET(rd2(fd, 0, 0x10000), -EOPNOTSUPP);
    CHECK_RET(rd2(fd, 0, -1), -EOPNOTSUPP);
    CHECK_RET(wr2(fd, 0, 0x10000), -EOPNOTSUPP);
    CHECK_RET(rd2(fd, 0, RWF_HIPRI), 4);
    CHECK_RET(rd2(fd, 0, RWF_DSYNC), 4);
    CHECK_RET(rd2(fd, 0, RWF_SYNC), 4);
    CHECK_RET(rd2(fd, 0, RWF_APPEND), 4);
    CHECK_RET(rd2(fd, 0, RWF_NOAPPEND), 4);
    CHECK_RET(rd2(fd, 0, RWF_APPEND | RWF_NOAPPEND), -EINVAL);
    CHECK_RET(rd2(fd, 0, RWF_ATOMIC), -EOPNOTSUPP);
    CHECK_RET(rd2(fd, -1, 0), 4);
    CHECK_RET(lseek(fd, 0, SEEK_CUR), 4);
    CHECK_RET(rd2(fd, -2, 0), -EINVAL);
    CHECK_RET(wr2(fd, 0, RWF_SYNC), 4);
    CHECK_RET(wr2(fd, 0, RWF_DSYNC), 4);
    CHECK_RET(wr2(fd, 0, RWF_APPEND), 4);
    CHECK_RET(lseek(fd, 0, SEEK_END), 15);
    CHECK_RET(wr2(fd, 0, RWF_APPEND | RWF_NOAPPEND), -EINVAL);
    CHECK_RET(rd2(p[0], 0, 0), -ESPIPE);
    CHECK_RET(wr2(p[1], 0, 0), -ESPIPE);
    CHECK_RET(wr2(p[1], -1, 0), 4);
    CHECK_RET(rd2(p[0], -1, RWF_NOWAIT), 4);
    CHECK_RET(rd2(p[0], -1, RWF_NOWAIT), -EAGAIN);
    CHECK_RET(rd2(p[1], -1, 0), -EBADF);
    CHECK_RET(rd2(fd, 0, RWF_NOWAIT), 4);
    OK(close(fd));
    ap = OK(open("f", O_RDWR | O_APPEND));
    CHECK_RET(wr2(ap, 0, 0), 4);
    CHECK_RET(lseek(ap, 0, SEEK_END), 19);
    CHECK_RET(wr2(ap, 0, RWF_NOAPPEND), 4);
    CHECK_RET(lseek(ap, 0, SEEK_END), 19);
    CHECK_RET(pwrite(ap, "z", 1, 0), 1);
    CHECK_RET(lseek(ap, 0, SEEK_END), 20);
}

static void append_with_position_of_file(void)
{
    int fd = temp("0123456789", O_RDWR);
    CHECK_RET(lseek(fd, 2, SEEK_SET), 2);
    CHECK_RET(wr2(fd, -1, RWF_APPEND), 4);
    CHECK_RET(lseek(fd, 0, SEEK_CUR), 14);
}

/* ---- sizes ---- */

static void huge_counts(void)
{
    int fd = OK(open("/dev/zero", O_RDWR)), nul = OK(open("/dev/null", O_RDWR));
    size_t big = 3UL << 30;
    char *p = mmap(NULL, big, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    if (p == MAP_FAILED)
        SKIP("no room for 3 GiB of address space");
    CHECK_RET(write(nul, p, big), MAX_RW);
    CHECK_RET(write(fd, p, big), MAX_RW);
    CHECK_RET(read(nul, p, big), 0);
    struct iovec v[2] = {{p, 1L << 30}, {p, big - (1L << 30)}};
    CHECK_RET(writev(nul, v, 2), MAX_RW);
    OK(munmap(p, big));
}

static volatile int g_xfsz;
static void on_xfsz(int sig)
{
    g_xfsz++;
}

static void file_size_limit(void)
{
    char b[100] = {0};
    int fd = OK(open("f", O_RDWR | O_CREAT, 0600)), p[2];
    handle(SIGXFSZ, on_xfsz, 0);
    struct rlimit old, rl;
    OK(getrlimit(RLIMIT_FSIZE, &old));
    rl = old;
    rl.rlim_cur = 50;
    OK(setrlimit(RLIMIT_FSIZE, &rl));
    CHECK_RET(write(fd, b, 100), 50);
    CHECK_EQ(g_xfsz, 0);
    CHECK_RET(write(fd, b, 100), -EFBIG);
    CHECK_EQ(g_xfsz, 1);
    CHECK_RET(write(fd, b, 0), 0);
    CHECK_RET(pwrite(fd, b, 10, 49), 1);
    CHECK_RET(pwrite(fd, b, 10, 50), -EFBIG);
    CHECK_EQ(g_xfsz, 2);
    CHECK_RET(ftruncate(fd, 51), -EFBIG);
    CHECK_EQ(g_xfsz, 3);
    CHECK_RET(ftruncate(fd, 50), 0);
    CHECK_RET(truncate("f", 60), -EFBIG);
    CHECK_EQ(g_xfsz, 4);
    CHECK_RET(fallocate(fd, 0, 0, 60), -EFBIG);
    CHECK_EQ(g_xfsz, 5);
    OK(pipe(p));
    CHECK_RET(write(p[1], b, 100), 100);
    struct iovec v[2] = {{b, 30}, {b, 30}};
    CHECK_RET(pwritev(fd, v, 2, 0), 50);
    OK(setrlimit(RLIMIT_FSIZE, &old));
}

static void fsize_signal_kills(void)
{
    pid_t pid = OK(fork());
    if (!pid) {
        struct rlimit rl = {0, 0};
        setrlimit(RLIMIT_CORE, &rl);
        rl.rlim_cur = rl.rlim_max = 10;
        setrlimit(RLIMIT_FSIZE, &rl);
        int fd = open("f", O_WRONLY | O_CREAT, 0600);
        write(fd, "0123456789", 10);
        write(fd, "0", 1);
        _exit(0);
    }
    WAIT_SIGNAL(pid, SIGXFSZ);
}

/* ---- lseek ---- */

static void seeking(void)
{
    int fd = temp("0123456789", O_RDWR), p[2], dir = OK(open(".", O_RDONLY));
    OK(pipe(p));
    CHECK_RET(lseek(-1, 0, SEEK_SET), -EBADF);
    CHECK_RET(lseek(fd, -1, SEEK_SET), -EINVAL);
    CHECK_RET(lseek(fd, 0, 5), -EINVAL);
    CHECK_RET(lseek(fd, 0, -1), -EINVAL);
    CHECK_RET(lseek(fd, 100, SEEK_SET), 100);
    CHECK_RET(lseek(fd, -101, SEEK_CUR), -EINVAL);
    CHECK_RET(lseek(fd, LONG_MAX, SEEK_CUR), -EINVAL);
    CHECK_RET(lseek(fd, LONG_MAX, SEEK_END), -EINVAL);
    CHECK_RET(lseek(fd, -10, SEEK_END), 0);
    CHECK_RET(lseek(fd, -11, SEEK_END), -EINVAL);
    CHECK_RET(lseek(fd, 5, SEEK_DATA), 5);
    CHECK_RET(lseek(fd, 5, SEEK_HOLE), 10);
    CHECK_RET(lseek(fd, 10, SEEK_DATA), -ENXIO);
    CHECK_RET(lseek(fd, 10, SEEK_HOLE), -ENXIO);
    CHECK_RET(lseek(fd, -1, SEEK_DATA), -ENXIO);
    CHECK_RET(lseek(fd, -1, SEEK_HOLE), -ENXIO);
    CHECK_RET(lseek(p[0], 0, SEEK_SET), -ESPIPE);
    CHECK_RET(lseek(p[0], 0, 99), -EINVAL);
    CHECK_RET(lseek(dir, 0, SEEK_SET), 0);
    CHECK_RET(lseek(dir, 0, 99), -EINVAL);
    int path = OK(open("f", O_PATH));
    CHECK_RET(lseek(path, 0, SEEK_SET), -EBADF);
}

static void seeking_odd_files(void)
{
    sigset_t s;
    sigemptyset(&s);
    int sv[2];
    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
    CHECK_RET(lseek(OK(eventfd(0, 0)), 5, SEEK_SET), 0);
    CHECK_RET(lseek(OK(epoll_create1(0)), 5, SEEK_SET), 0);
    CHECK_RET(lseek(OK(signalfd(-1, &s, 0)), 5, SEEK_SET), 0);
    CHECK_RET(lseek(OK(timerfd_create(CLOCK_MONOTONIC, 0)), 5, SEEK_SET), 0);
    CHECK_RET(lseek(OK(inotify_init()), 5, SEEK_SET), 0);
    CHECK_RET(lseek(sv[0], 0, SEEK_SET), -ESPIPE);
    CHECK_RET(lseek(OK(open("/dev/null", O_RDWR)), 5, SEEK_SET), 0);
    CHECK_RET(lseek(OK(open("/dev/zero", O_RDWR)), 5, SEEK_SET), 0);
    CHECK_RET(lseek(OK(open("/dev/full", O_RDWR)), 5, SEEK_SET), 0);
    CHECK_RET(lseek(OK(open("/dev/urandom", O_RDWR)), 5, SEEK_SET), 0);
    CHECK_RET(lseek(OK(open("/dev/ptmx", O_RDWR)), 0, SEEK_SET), -ESPIPE);
    CHECK_RET(pread(OK(eventfd(1, 0)), &s, 8, 0), -ESPIPE);
    CHECK_RET(pwrite(OK(eventfd(1, 0)), &s, 8, 0), -ESPIPE);
    CHECK_RET(pread(OK(open("/dev/ptmx", O_RDWR)), &s, 1, 0), -ESPIPE);
    CHECK_RET(pread(sv[0], &s, 1, 0), -ESPIPE);
}

static void holes(const char *name)
{
    int fd = OK(open(name, O_RDWR | O_CREAT, 0600));
    CHECK_RET(pwrite(fd, "x", 1, 1 << 20), 1);
    CHECK_RET(lseek(fd, 0, SEEK_HOLE), 0);
    CHECK_RET(lseek(fd, 0, SEEK_DATA), 1 << 20);
    CHECK_RET(lseek(fd, 1 << 20, SEEK_HOLE), (1 << 20) + 1);
    CHECK_RET(ftruncate(fd, 4 << 20), 0);
    CHECK_RET(lseek(fd, 1 << 20, SEEK_HOLE), (1 << 20) + 4096);
    CHECK_RET(lseek(fd, (1 << 20) + 4096, SEEK_DATA), -ENXIO);
    CHECK_RET(lseek(fd, (1 << 20) + 4097, SEEK_HOLE), (1 << 20) + 4097);
    CHECK_RET(lseek(fd, 4 << 20, SEEK_HOLE), -ENXIO);
    CHECK_RET(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1 << 20, 4096), 0);
    CHECK_RET(lseek(fd, 0, SEEK_DATA), -ENXIO);
    CHECK_RET(lseek(fd, 0, SEEK_HOLE), 0);
    OK(close(fd));
}

static void holes_in_files(void)
{
    holes("f");
}

static void holes_in_memory(void)
{
    char name[64];
    snprintf(name, sizeof(name), "/dev/shm/rw.%d", getpid());
    int fd = OK(memfd_create("x", 0));
    char self[64];
    snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
    holes(self);
}

/* ---- devices ---- */

static void devices(void)
{
    char b[64] = {1};
    int nul = OK(open("/dev/null", O_RDWR)), zero = OK(open("/dev/zero", O_RDWR));
    int full = OK(open("/dev/full", O_RDWR)), rnd = OK(open("/dev/urandom", O_RDWR));
    CHECK_RET(read(nul, b, 64), 0);
    CHECK_RET(read(nul, BAD, 64), -EFAULT);
    CHECK_RET(read(nul, NULL, 64), 0);
    CHECK_RET(write(nul, NULL, 64), 64);
    CHECK_RET(write(nul, BAD, 64), -EFAULT);
    CHECK_RET(read(zero, b, 64), 64);
    CHECK_EQ(b[0], 0);
    CHECK_RET(read(zero, NULL, 64), -EFAULT);
    CHECK_RET(write(zero, NULL, 64), 64);
    CHECK_RET(read(full, b, 64), 64);
    CHECK_RET(write(full, b, 64), -ENOSPC);
    CHECK_RET(write(full, b, 0), -ENOSPC);
    CHECK_RET(write(full, NULL, 5), -ENOSPC);
    CHECK_RET(pwrite(full, b, 5, 0), -ENOSPC);
    CHECK_RET(pread(zero, b, 64, 1000), 64);
    CHECK_RET(pwrite(zero, b, 64, 1000), 64);
    CHECK_RET(read(rnd, b, 64), 64);
    CHECK_RET(read(rnd, NULL, 64), -EFAULT);
    CHECK_RET(read(rnd, b, 0), 0);
    CHECK_RET(write(rnd, b, 64), 64);
    CHECK_RET(write(rnd, NULL, 64), -EFAULT);
    char *p = edge();
    CHECK_RET(read(zero, p + 4000, 200), 96);
    CHECK_RET(read(rnd, p + 4000, 200), 96);
    CHECK_RET(write(nul, p + 4000, 200), 200);
    CHECK_RET(ftruncate(nul, 0), -EINVAL);
    CHECK_RET(fsync(nul), -EINVAL);
    CHECK_RET(fallocate(nul, 0, 0, 10), -ENODEV);
}

static void objects(void)
{
    char b[64];
    uint64_t v = 1;
    int ev = OK(eventfd(0, EFD_NONBLOCK)), tf = OK(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
    int in = OK(inotify_init1(IN_NONBLOCK));
    sigset_t s;
    sigemptyset(&s);
    int sf = OK(signalfd(-1, &s, SFD_NONBLOCK));
    CHECK_RET(read(ev, b, 7), -EINVAL);
    CHECK_RET(read(ev, b, 8), -EAGAIN);
    CHECK_RET(write(ev, b, 7), -EINVAL);
    v = UINT64_MAX;
    CHECK_RET(write(ev, &v, 8), -EINVAL);
    v = UINT64_MAX - 1;
    CHECK_RET(write(ev, &v, 8), 8);
    v = 1;
    CHECK_RET(write(ev, &v, 8), -EAGAIN);
    CHECK_RET(write(ev, BAD, 8), -EFAULT);
    CHECK_RET(write(ev, NULL, 8), -EFAULT);
    CHECK_RET(read(ev, NULL, 8), -EFAULT);
    CHECK_RET(read(ev, b, 64), -EAGAIN);
    v = 0;
    CHECK_RET(write(ev, &v, 64), -EINVAL);
    CHECK_RET(write(ev, &v, 8), 8);
    CHECK_RET(read(tf, b, 7), -EINVAL);
    CHECK_RET(read(tf, b, 8), -EAGAIN);
    CHECK_RET(write(tf, b, 8), -EINVAL);
    CHECK_RET(read(sf, b, 127), -EINVAL);
    CHECK_RET(read(sf, g_page, 128), -EAGAIN);
    CHECK_RET(read(in, b, 64), -EAGAIN);
    CHECK_RET(write(in, b, 8), -EBADF);
    CHECK_RET(eventfd(0, 0x10), -EINVAL);
    CHECK_RET(timerfd_create(100, 0), -EINVAL);
    CHECK_RET(timerfd_create(CLOCK_MONOTONIC, 1), -EINVAL);
    CHECK_RET(timerfd_create(CLOCK_PROCESS_CPUTIME_ID, 0), -EINVAL);
    CHECK_RET(inotify_init1(1), -EINVAL);
    CHECK_RET(ftruncate(ev, 0), -EINVAL);
    CHECK_RET(fsync(ev), -EINVAL);
    CHECK_RET(fallocate(ev, 0, 0, 10), -ENODEV);
    struct stat st;
    OK(fstat(ev, &st));
    CHECK_EQ(st.st_mode & 0777, 0600);
    CHECK_EQ(st.st_mode & S_IFMT, 0);
}

GUEST_MAIN(C(refused_reads), C(refused_writes), C(refused_vectors), C(faults_halfway), C(rwf_flags),
           C(append_with_position_of_file), C(huge_counts), C(file_size_limit),
           C(fsize_signal_kills), C(seeking), C(seeking_odd_files), C(holes_in_files),
           C(holes_in_memory), C(devices), C(objects))
