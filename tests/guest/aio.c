/* Linux native AIO, by the raw system calls. */
#include "guest.h"

#include <linux/aio_abi.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/uio.h>

#define BAD ((void *)-1L)

static long setup(unsigned n, aio_context_t *c)
{
    return syscall(SYS_io_setup, n, c);
}
static long destroy(aio_context_t c)
{
    return syscall(SYS_io_destroy, c);
}
static long submit(aio_context_t c, long n, struct iocb **list)
{
    return syscall(SYS_io_submit, c, n, list);
}
static long getev(aio_context_t c, long min, long n, struct io_event *ev, struct timespec *ts)
{
    return syscall(SYS_io_getevents, c, min, n, ev, ts);
}
static long cancel(aio_context_t c, struct iocb *io, struct io_event *ev)
{
    return syscall(SYS_io_cancel, c, io, ev);
}

static struct iocb rw(int op, int fd, void *buf, size_t n, off_t off)
{
    return (struct iocb){.aio_lio_opcode = op,
                         .aio_fildes = fd,
                         .aio_buf = (uint64_t)(uintptr_t)buf,
                         .aio_nbytes = n,
                         .aio_offset = off,
                         .aio_data = 0x1234};
}

static long one(aio_context_t c, struct iocb *io)
{
    struct iocb *list[1] = {io};
    return submit(c, 1, list);
}

/* Submit one and give what its completion says. */
static long result(aio_context_t c, struct iocb io)
{
    struct io_event ev = {0};
    long r = one(c, &io);
    if (r != 1)
        return -errno;
    CHECK_EQ(getev(c, 1, 1, &ev, NULL), 1);
    CHECK_EQ(ev.data, io.aio_data);
    CHECK_EQ(ev.obj, (uint64_t)(uintptr_t)&io);
    CHECK_EQ(ev.res2, 0);
    return ev.res;
}

static int file(const char *content)
{
    write_file("f", content, strlen(content));
    return OK(open("f", O_RDWR));
}

static void setup_errors(void)
{
    aio_context_t c = 0, d = 5;
    CHECK_RET(setup(0, &c), -EINVAL);
    CHECK_RET(setup(1, &d), -EINVAL);
    CHECK_RET(setup(1, BAD), -EFAULT);
    CHECK_RET(setup(1, NULL), -EFAULT);
    CHECK_RET(setup(0xffffffffu, &c), -EINVAL);
    CHECK_RET(setup(1 << 20, &c), -EAGAIN);
    CHECK_EQ(c, 0);
    CHECK_RET(setup(1, &c), 0);
    CHECK(c != 0);
    CHECK_RET(destroy(c), 0);
    CHECK_RET(destroy(c), -EINVAL);
    CHECK_RET(destroy(0), -EINVAL);
    CHECK_RET(destroy(-1), -EINVAL);
}

static void submit_errors(void)
{
    aio_context_t c = 0;
    char b[16];
    int fd = file("hello"), rd = OK(open("f", O_RDONLY)), wr = OK(open("f", O_WRONLY));
    OK(setup(4, &c));
    struct iocb good = rw(IOCB_CMD_PREAD, fd, b, 5, 0), io, *list[3] = {&good, BAD, &good};
    CHECK_RET(submit(0, 1, list), -EINVAL);
    CHECK_RET(submit(c + 4096, 1, list), -EINVAL);
    CHECK_RET(submit(c, -1, list), -EINVAL);
    CHECK_RET(submit(c, 0, BAD), 0);
    CHECK_RET(submit(c, 1, BAD), -EFAULT);
    CHECK_RET(submit(c, 1, NULL), -EFAULT);
    CHECK_RET(submit(c, 3, list), 1);
    struct io_event ev[4];
    CHECK_RET(getev(c, 0, 4, ev, NULL), 1);
    io = good, io.aio_fildes = -1;
    CHECK_RET(one(c, &io), -EBADF);
    io = good, io.aio_fildes = wr;
    CHECK_RET(one(c, &io), -EBADF);
    io = good, io.aio_fildes = rd, io.aio_lio_opcode = IOCB_CMD_PWRITE;
    CHECK_RET(one(c, &io), -EBADF);
    io = good, io.aio_lio_opcode = 99;
    CHECK_RET(one(c, &io), -EINVAL);
    io = good, io.aio_lio_opcode = IOCB_CMD_NOOP;
    CHECK_RET(one(c, &io), -EINVAL);
    io = good, io.aio_nbytes = -1;
    CHECK_RET(one(c, &io), -EINVAL);
    io = good, io.aio_offset = -1;
    CHECK_RET(one(c, &io), -EINVAL);
    io = good, io.aio_reserved2 = 1;
    CHECK_RET(one(c, &io), -EINVAL);
    io = good, io.aio_buf = (uint64_t)-1;
    CHECK_RET(one(c, &io), -EFAULT);
    io = good, io.aio_rw_flags = 0x10000;
    CHECK_RET(one(c, &io), -EOPNOTSUPP);
    io = good, io.aio_flags = IOCB_FLAG_RESFD, io.aio_resfd = -1;
    CHECK_RET(one(c, &io), -EBADF);
    io.aio_resfd = fd;
    CHECK_RET(one(c, &io), -EINVAL);
    io = (struct iocb){.aio_lio_opcode = IOCB_CMD_FSYNC, .aio_fildes = fd, .aio_nbytes = 1};
    CHECK_RET(one(c, &io), -EINVAL);
    io = (struct iocb){.aio_lio_opcode = IOCB_CMD_POLL, .aio_fildes = fd, .aio_buf = POLLIN};
    CHECK_RET(result(c, io), POLLIN);
    io.aio_nbytes = 1;
    CHECK_RET(one(c, &io), -EINVAL);
    CHECK_RET(getev(c, 0, 4, ev, NULL), 0);
    OK(destroy(c));
}

static void reads_and_writes(void)
{
    aio_context_t c = 0;
    char b[16] = {0};
    int fd = file("0123456789"), p[2];
    OK(pipe(p));
    OK(setup(8, &c));
    CHECK_RET(result(c, rw(IOCB_CMD_PREAD, fd, b, 4, 2)), 4);
    CHECK_STR(b, "2345");
    CHECK_RET(result(c, rw(IOCB_CMD_PREAD, fd, b, 16, 10)), 0);
    CHECK_RET(result(c, rw(IOCB_CMD_PWRITE, fd, "abcd", 4, 8)), 4);
    struct iovec v[2] = {{b, 3}, {b + 3, 20}};
    CHECK_RET(result(c, rw(IOCB_CMD_PREADV, fd, v, 2, 6)), 6);
    CHECK(!memcmp(b, "67abcd", 6));
    v[1].iov_len = 1;
    CHECK_RET(result(c, rw(IOCB_CMD_PWRITEV, fd, v, 2, 0)), 4);
    CHECK_RET(result(c, rw(IOCB_CMD_PREADV, fd, BAD, 1, 0)), -EFAULT);
    CHECK_RET(result(c, rw(IOCB_CMD_PREADV, fd, v, 2000, 0)), -EINVAL);
    char *ro = OK(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    CHECK_RET(result(c, rw(IOCB_CMD_PREAD, fd, ro, 4, 0)), -EFAULT);
    CHECK_RET(result(c, rw(IOCB_CMD_PWRITE, p[1], "xyz", 3, 0)), 3);
    CHECK_RET(result(c, rw(IOCB_CMD_PREAD, p[0], b, 8, 0)), 3);
    CHECK_RET(result(c, rw(IOCB_CMD_FSYNC, fd, NULL, 0, 0)), 0);
    CHECK_RET(result(c, rw(IOCB_CMD_FDSYNC, fd, NULL, 0, 0)), 0);
    CHECK_RET(result(c, rw(IOCB_CMD_FSYNC, p[0], NULL, 0, 0)), -EINVAL);
    OK(destroy(c));
}

static void many_at_once(void)
{
    aio_context_t c = 0;
    char b[64];
    int fd = file("0123456789");
    struct iocb io[20], *list[20];
    struct io_event ev[20];
    OK(setup(20, &c));
    for (int i = 0; i < 20; i++) {
        io[i] = rw(IOCB_CMD_PREAD, fd, b + i, 1, i % 10);
        io[i].aio_data = i;
        list[i] = &io[i];
    }
    CHECK_RET(submit(c, 20, list), 20);
    CHECK_RET(getev(c, 20, 20, ev, NULL), 20);
    for (int i = 0; i < 20; i++)
        CHECK(ev[i].res == 1 && ev[i].obj == (uint64_t)(uintptr_t)&io[ev[i].data]);
    CHECK_RET(getev(c, 0, 20, ev, NULL), 0);
    OK(destroy(c));
}

static void eventfd_is_told(void)
{
    aio_context_t c = 0;
    char b[8];
    uint64_t n;
    int fd = file("0123456789"), ev = OK(eventfd(0, EFD_NONBLOCK));
    struct iocb io = rw(IOCB_CMD_PREAD, fd, b, 8, 0), *list[2] = {&io, &io};
    OK(setup(8, &c));
    io.aio_flags = IOCB_FLAG_RESFD;
    io.aio_resfd = ev;
    CHECK_RET(submit(c, 2, list), 2);
    CHECK_RET(read(ev, &n, 8), 8);
    CHECK_EQ(n, 2);
    OK(destroy(c));
}

static volatile int g_hits;
static void on_alarm(int sig)
{
    g_hits++;
}

static void waiting(void)
{
    aio_context_t c = 0;
    struct io_event ev[2];
    struct timespec ts = {0, 1000000}, zero = {0, 0};
    OK(setup(8, &c));
    CHECK_RET(getev(c, 1, 1, ev, &ts), 0);
    CHECK_RET(getev(c, 1, 1, ev, &zero), 0);
    CHECK_RET(getev(c, 0, 1, ev, NULL), 0);
    CHECK_RET(getev(c, 0, 0, ev, NULL), 0);
    CHECK_RET(getev(c, -1, 1, ev, &zero), -EINVAL);
    CHECK_RET(getev(c, 1, -1, ev, &zero), -EINVAL);
    CHECK_RET(getev(c, 2, 1, ev, &zero), -EINVAL);
    CHECK_RET(getev(0, 1, 1, ev, &zero), -EINVAL);
    CHECK_RET(getev(c, 1, 1, ev, BAD), -EFAULT);
    handle(SIGALRM, on_alarm, SA_RESTART);
    struct itimerval it = {{0, 0}, {0, 20000}};
    OK(setitimer(ITIMER_REAL, &it, NULL));
    CHECK_RET(getev(c, 1, 1, ev, NULL), -EINTR);
    CHECK_EQ(g_hits, 1);
    sig_block(SIG_BLOCK, SIGALRM);
    sigset_t none;
    sigemptyset(&none);
    struct {
        sigset_t *s;
        size_t n;
    } arg = {&none, 8};
    OK(setitimer(ITIMER_REAL, &it, NULL));
    CHECK_RET(syscall(SYS_io_pgetevents, c, 1, 1, ev, NULL, &arg), -EINTR);
    CHECK_EQ(g_hits, 2);
    arg.n = 4;
    CHECK_RET(syscall(SYS_io_pgetevents, c, 1, 1, ev, &zero, &arg), -EINVAL);
    CHECK_RET(syscall(SYS_io_pgetevents, c, 1, 1, ev, &zero, BAD), -EFAULT);
    CHECK_RET(syscall(SYS_io_pgetevents, c, 1, 1, ev, &zero, NULL), 0);
    int fd = file("x");
    struct iocb io = rw(IOCB_CMD_PREAD, fd, ev, 0, 0);
    CHECK_RET(one(c, &io), 1);
    CHECK_RET(getev(c, 1, 1, BAD, NULL), -EFAULT);
    OK(destroy(c));
}

static void polls(void)
{
    aio_context_t c = 0;
    struct io_event ev[2];
    int p[2], fd = OK(eventfd(0, EFD_NONBLOCK));
    uint64_t n;
    OK(pipe(p));
    OK(setup(8, &c));
    struct iocb io = {.aio_lio_opcode = IOCB_CMD_POLL, .aio_fildes = p[0], .aio_buf = POLLIN};
    io.aio_flags = IOCB_FLAG_RESFD;
    io.aio_resfd = fd;
    CHECK_RET(one(c, &io), 1);
    CHECK_RET(getev(c, 0, 1, ev, NULL), 0);
    OK(write(p[1], "x", 1));
    CHECK_RET(getev(c, 1, 1, ev, NULL), 1);
    CHECK(ev[0].res & POLLIN);
    for (int i = 0; i < 500 && read(fd, &n, 8) != 8; i++)
        sleep_ms(2);
    CHECK_EQ(n, 1);
    CHECK_RET(one(c, &io), 1);
    CHECK_RET(getev(c, 1, 1, ev, NULL), 1);
    io.aio_fildes = p[1];
    io.aio_buf = 0;
    CHECK_RET(one(c, &io), 1);
    OK(close(p[0]));
    CHECK_RET(getev(c, 1, 1, ev, NULL), 1);
    CHECK_EQ(ev[0].res, POLLERR);
    OK(destroy(c));
}

static void cancelling(void)
{
    aio_context_t c = 0;
    struct io_event ev[2];
    int p[2];
    OK(pipe(p));
    OK(setup(8, &c));
    struct iocb io = {.aio_lio_opcode = IOCB_CMD_POLL, .aio_fildes = p[0], .aio_buf = POLLIN};
    CHECK_RET(cancel(c, &io, ev), -EINVAL);
    CHECK_RET(cancel(0, &io, ev), -EINVAL);
    CHECK_RET(cancel(c, BAD, ev), -EFAULT);
    CHECK_RET(one(c, &io), 1);
    struct iocb wrong = io;
    wrong.aio_key = 7;
    CHECK_RET(cancel(c, &wrong, ev), -EINVAL);
    CHECK_RET(cancel(c, &io, ev), -EINPROGRESS);
    CHECK_RET(getev(c, 1, 1, ev, NULL), 1);
    CHECK_EQ(ev[0].obj, (uint64_t)(uintptr_t)&io);
    CHECK_RET(cancel(c, &io, ev), -EINVAL);
    CHECK_RET(one(c, &io), 1);
    OK(destroy(c));
}

static void *destroyer(void *arg)
{
    sleep_ms(50);
    return (void *)destroy((aio_context_t)arg);
}

static void destroyed_under_a_waiter(void)
{
    aio_context_t c = 0;
    struct io_event ev;
    pthread_t th;
    OK(setup(8, &c));
    CHECK_ZERO(pthread_create(&th, NULL, destroyer, (void *)c));
    long r = getev(c, 1, 1, &ev, NULL);
    CHECK(r == -1 && errno == EINVAL);
    pthread_join(th, NULL);
}

static void not_inherited(void)
{
    aio_context_t c = 0;
    struct io_event ev;
    OK(setup(8, &c));
    IN_CHILD({ CHECK_RET(getev(c, 0, 1, &ev, NULL), -EINVAL); });
    char b[32];
    OK(read_file("/proc/sys/fs/aio-max-nr", b, sizeof(b)));
    CHECK(atol(b) >= 8);
    read_file("/proc/sys/fs/aio-nr", b, sizeof(b));
    CHECK(atol(b) >= 8);
    OK(destroy(c));
}

GUEST_MAIN(C(setup_errors), C(submit_errors), C(reads_and_writes), C(many_at_once),
           C(eventfd_is_told), C(waiting), C(polls), C(cancelling), C(destroyed_under_a_waiter),
           C(not_inherited))
