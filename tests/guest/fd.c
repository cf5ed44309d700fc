/* Descriptors: dup, dup2, dup3, fcntl, close_range, limits. */
#include "guest.h"
#include <sys/ioctl.h>
#include <sys/resource.h>

static void dup_takes_the_lowest(void)
{
    int a = OK(open("/dev/null", O_RDONLY)), b = OK(dup(a)), c = OK(dup(a));
    CHECK(b > a && c > b);
    close(a);
    CHECK_EQ(OK(dup(c)), a);
    close(a), close(b), close(c);
    CHECK_ERR(dup(a), EBADF);
    CHECK_ERR(dup(-1), EBADF);
}

static void dup2_semantics(void)
{
    write_file("f", "abc", 3);
    int a = OK(open("f", O_RDONLY)), b = 77;
    CHECK_EQ(OK(dup2(a, b)), b);
    char c;
    CHECK_EQ(read(a, &c, 1), 1);
    CHECK_EQ(read(b, &c, 1), 1);
    CHECK_EQ(c, 'b'); /* one offset */
    CHECK_EQ(OK(dup2(a, a)), a);
    CHECK_ERR(dup2(999, 5), EBADF);
    CHECK_ERR(dup2(999, 999), EBADF);
    CHECK_ERR(dup2(a, -1), EBADF);
    CHECK_ERR(dup2(a, 1 << 20), EBADF);
    CHECK_ERR(syscall(SYS_dup3, a, a, 0), EINVAL);
    CHECK_ERR(syscall(SYS_dup3, a, b, O_APPEND), EINVAL);
    OK(syscall(SYS_dup3, a, b, O_CLOEXEC));
    CHECK_EQ(fcntl(b, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(a, F_GETFD), 0);
    close(a), close(b);
}

static void f_dupfd(void)
{
    int a = OK(open("/dev/null", O_RDWR));
    CHECK_EQ(OK(fcntl(a, F_DUPFD, 100)), 100);
    CHECK_EQ(OK(fcntl(a, F_DUPFD, 100)), 101);
    int c = OK(fcntl(a, F_DUPFD_CLOEXEC, 50));
    CHECK_EQ(c, 50);
    CHECK_EQ(fcntl(c, F_GETFD), FD_CLOEXEC);
    CHECK_ERR(fcntl(a, F_DUPFD, -1), EINVAL);
    CHECK_ERR(fcntl(a, F_DUPFD, 1 << 20), EINVAL);
    close(a), close(100), close(101), close(c);
}

static void flags(void)
{
    int a = OK(open("f", O_RDWR | O_CREAT | O_APPEND, 0644));
    int fl = OK(fcntl(a, F_GETFL));
    CHECK_EQ(fl & (O_ACCMODE | O_APPEND | O_NONBLOCK | O_CREAT), O_RDWR | O_APPEND);
    OK(fcntl(a, F_SETFL, O_NONBLOCK | O_WRONLY | O_TRUNC)); /* only some bits can change */
    fl = OK(fcntl(a, F_GETFL));
    CHECK_EQ(fl & (O_ACCMODE | O_APPEND | O_NONBLOCK), O_RDWR | O_NONBLOCK);
    OK(fcntl(a, F_SETFD, FD_CLOEXEC));
    CHECK_EQ(fcntl(a, F_GETFD), FD_CLOEXEC);
    OK(ioctl(a, FIONCLEX));
    CHECK_EQ(fcntl(a, F_GETFD), 0);
    OK(ioctl(a, FIOCLEX));
    CHECK_EQ(fcntl(a, F_GETFD), FD_CLOEXEC);
    int zero = 0;
    OK(ioctl(a, FIONBIO, &zero));
    CHECK_EQ(fcntl(a, F_GETFL) & O_NONBLOCK, 0);
    CHECK_ERR(fcntl(a, 9999), EINVAL);
    CHECK_ERR(fcntl(999, F_GETFD), EBADF);
    CHECK_ERR(ioctl(a, 0x12345678, 0), ENOTTY);
    close(a);
}

static void nofile_limit(void)
{
    IN_CHILD({
        struct rlimit rl = {20, 20};
        OK(setrlimit(RLIMIT_NOFILE, &rl));
        int n = 0;
        while (open("/dev/null", O_RDONLY) >= 0)
            n++;
        CHECK_EQ(errno, EMFILE);
        CHECK(n >= 10 && n <= 17);
        CHECK_ERR(dup(0), EMFILE);
        CHECK_ERR(fcntl(0, F_DUPFD, 0), EMFILE);
        CHECK_ERR(fcntl(0, F_DUPFD, 20), EINVAL);
        CHECK_ERR(dup2(0, 20), EBADF);
        int p[2];
        CHECK_ERR(pipe(p), EMFILE);
        close(19);
        CHECK_ERR(pipe(p), EMFILE);
        OK(dup(0)); /* the one that pipe gave back */
    });
}

static void close_range_works(void)
{
    int fd[10];
    for (int i = 0; i < 10; i++)
        fd[i] = OK(fcntl(0, F_DUPFD, 200 + i));
    OK(syscall(436, 203, 205, 0));
    CHECK_ERR(fcntl(204, F_GETFD), EBADF);
    CHECK_EQ(fcntl(206, F_GETFD), 0);
    OK(syscall(436, 206, ~0u, 4 /* CLOEXEC */));
    CHECK_EQ(fcntl(206, F_GETFD), FD_CLOEXEC);
    CHECK_ERR(syscall(436, 5, 4, 0), EINVAL);
    CHECK_ERR(syscall(436, 5, 6, 0x100), EINVAL);
    OK(syscall(436, 200, 300, 0));
    (void)fd;
}

static void close_errors(void)
{
    CHECK_ERR(close(-1), EBADF);
    CHECK_ERR(close(4000), EBADF);
    int a = OK(open("/dev/null", O_RDONLY));
    OK(close(a));
    CHECK_ERR(close(a), EBADF);
}

static void append_mode(void)
{
    write_file("f", "12345", 5);
    int a = OK(open("f", O_WRONLY | O_APPEND)), b = OK(open("f", O_WRONLY));
    OK(lseek(a, 0, SEEK_SET));
    CHECK_EQ(write(a, "ab", 2), 2);
    CHECK_EQ(lseek(a, 0, SEEK_CUR), 7);
    CHECK_EQ(write(b, "XY", 2), 2);
    CHECK_EQ(pwrite(a, "end", 3, 0), 3); /* Linux: appends, whatever the offset */
    char buf[32];
    read_file("f", buf, sizeof(buf));
    CHECK_STR(buf, "XY345abend");
    close(a), close(b);
}

static void own_pid(void)
{
    int p[2];
    OK(pipe(p));
    OK(fcntl(p[0], F_SETOWN, getpid()));
    CHECK_EQ(OK(fcntl(p[0], F_GETOWN)), getpid());
    OK(fcntl(p[0], F_SETSIG, SIGUSR1));
    CHECK_EQ(OK(fcntl(p[0], F_GETSIG)), SIGUSR1);
    close(p[0]), close(p[1]);
}

static volatile int g_io;

static void on_io(int sig)
{
    g_io++;
}

static void async_io_signal(void)
{
    int p[2];
    g_io = 0;
    OK(pipe(p));
    handle(SIGIO, on_io, 0);
    OK(fcntl(p[0], F_SETOWN, getpid()));
    OK(fcntl(p[0], F_SETFL, O_ASYNC));
    OK(write(p[1], "x", 1));
    for (int i = 0; i < 100 && !g_io; i++)
        sleep_ms(5);
    CHECK(g_io >= 1);
    close(p[0]), close(p[1]);
}

static void kcmp_or_same_file(void)
{
    struct stat a, b;
    int x = OK(open("/dev/null", O_RDONLY)), y = OK(dup(x));
    OK(fstat(x, &a));
    OK(fstat(y, &b));
    CHECK(a.st_ino == b.st_ino && a.st_dev == b.st_dev);
    close(x), close(y);
}

GUEST_MAIN(C(dup_takes_the_lowest), C(dup2_semantics), C(f_dupfd), C(flags), C(nofile_limit), C(close_range_works),
           C(close_errors), C(append_mode), C(own_pid), C(async_io_signal), C(kcmp_or_same_file))
