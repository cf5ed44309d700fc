/* Descriptors: dup and its kin, close_range, and the commands of fcntl(2) that are about neither
 * locks nor leases. */
#include "guest.h"

#include <linux/close_range.h>
#include <linux/fs.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <limits.h>

#ifndef F_DUPFD_QUERY
#define F_DUPFD_QUERY 1027
#endif
#ifndef F_CREATED_QUERY
#define F_CREATED_QUERY 1028
#endif
#define BAD ((void *)-1L)

static int file(void)
{
    return OK(open("f", O_RDWR | O_CREAT, 0644));
}

static void dup_errors(void)
{
    int fd = file();
    CHECK_RET(dup(-1), -EBADF);
    CHECK_RET(dup(1000000), -EBADF);
    CHECK_RET(dup2(-1, 5), -EBADF);
    CHECK_RET(dup2(fd, -1), -EBADF);
    CHECK_RET(dup2(fd, 1 << 30), -EBADF);
    CHECK_RET(dup2(999, 999), -EBADF);
    CHECK_RET(dup2(fd, fd), fd);
    CHECK_RET(dup3(fd, fd, 0), -EINVAL);
    CHECK_RET(dup3(999, 999, 0), -EINVAL);
    CHECK_RET(dup3(fd, 50, 1), -EINVAL);
    CHECK_RET(dup3(fd, 50, O_NONBLOCK), -EINVAL);
    CHECK_RET(dup3(-1, 50, O_CLOEXEC), -EBADF);
    CHECK_RET(dup3(fd, -1, 0), -EBADF);
    CHECK_RET(dup3(fd, 50, O_CLOEXEC), 50);
    CHECK_RET(fcntl(50, F_GETFD), FD_CLOEXEC);
    CHECK_RET(dup2(fd, 50), 50);
    CHECK_RET(fcntl(50, F_GETFD), 0);
    CHECK_RET(fcntl(fd, F_DUPFD, -1), -EINVAL);
    CHECK_RET(fcntl(fd, F_DUPFD, INT_MAX), -EINVAL);
    CHECK_RET(fcntl(fd, F_DUPFD, 60), 60);
    CHECK_RET(fcntl(fd, F_DUPFD_CLOEXEC, 60), 61);
    CHECK_RET(fcntl(61, F_GETFD), FD_CLOEXEC);
    CHECK_RET(fcntl(-1, F_DUPFD, 0), -EBADF);
    CHECK_RET(close(-1), -EBADF);
    CHECK_RET(close(12345), -EBADF);
}

static void limits(void)
{
    int fd = file();
    struct rlimit old, rl;
    OK(getrlimit(RLIMIT_NOFILE, &old));
    rl = old;
    rl.rlim_cur = 20;
    OK(setrlimit(RLIMIT_NOFILE, &rl));
    CHECK_RET(fcntl(fd, F_DUPFD, 20), -EINVAL);
    CHECK_RET(dup2(fd, 20), -EBADF);
    CHECK_RET(dup3(fd, 20, 0), -EBADF);
    CHECK_RET(fcntl(fd, F_DUPFD, 19), 19);
    CHECK_RET(fcntl(fd, F_DUPFD, 19), -EMFILE);
    int n = 0;
    while (dup(fd) >= 0)
        n++;
    CHECK_EQ(errno, EMFILE);
    int p[2];
    CHECK_RET(open("f", O_RDONLY), -EMFILE);
    CHECK_RET(pipe(p), -EMFILE);
    CHECK_RET(eventfd(0, 0), -EMFILE);
    CHECK_RET(socket(AF_UNIX, SOCK_STREAM, 0), -EMFILE);
    CHECK_RET(memfd_create("x", 0), -EMFILE);
    OK(setrlimit(RLIMIT_NOFILE, &old));
    for (int i = fd + 1; i < 20; i++)
        close(i);
}

static int is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static void closing_ranges(void)
{
    int fd = file();
    for (int i = 100; i < 110; i++)
        OK(dup2(fd, i));
    CHECK_RET(syscall(SYS_close_range, 105, 100, 0), -EINVAL);
    CHECK_RET(syscall(SYS_close_range, 100, 105, 1), -EINVAL);
    CHECK_RET(syscall(SYS_close_range, 100, 105, 8), -EINVAL);
    CHECK_RET(syscall(SYS_close_range, -1, -1, 0), 0);
    CHECK_RET(syscall(SYS_close_range, 102, 103, 0), 0);
    CHECK(is_open(101) && !is_open(102) && !is_open(103) && is_open(104));
    CHECK_RET(syscall(SYS_close_range, 104, 105, CLOSE_RANGE_CLOEXEC), 0);
    CHECK_RET(fcntl(104, F_GETFD), FD_CLOEXEC);
    CHECK_RET(fcntl(106, F_GETFD), 0);
    CHECK_RET(syscall(SYS_close_range, 100, ~0u, CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC), 0);
    CHECK_RET(fcntl(109, F_GETFD), FD_CLOEXEC);
    CHECK_RET(syscall(SYS_close_range, 100, ~0u, CLOSE_RANGE_UNSHARE), 0);
    CHECK(!is_open(100) && !is_open(109) && is_open(fd));
}

static int in_shared_table(void *arg)
{
    int fd = (int)(long)arg;
    if (syscall(SYS_close_range, fd, fd, CLOSE_RANGE_UNSHARE))
        return 1;
    return is_open(fd) ? 2 : 0;
}

static void unsharing_closes_for_oneself(void)
{
    static char stack[65536] __attribute__((aligned(16)));
    int fd = file();
    pid_t pid = OK(clone(in_shared_table, stack + sizeof(stack), CLONE_FILES | SIGCHLD,
                         (void *)(long)fd));
    WAIT_EXIT(pid, 0);
    CHECK(is_open(fd));
}

static void flags_of_descriptors(void)
{
    int fd = file(), path = OK(open("f", O_PATH)), p[2];
    OK(pipe2(p, O_NONBLOCK));
    CHECK_RET(fcntl(fd, F_SETFD, 0xff), 0);
    CHECK_RET(fcntl(fd, F_GETFD), 1);
    CHECK_RET(fcntl(fd, F_SETFD, 0xfe), 0);
    CHECK_RET(fcntl(fd, F_GETFD), 0);
    CHECK_RET(fcntl(path, F_GETFD), 0);
    CHECK_RET(fcntl(path, F_GETFL), O_PATH);
    CHECK_RET(fcntl(path, F_SETFL, 0), -EBADF);
    CHECK_RET(fcntl(path, F_GETOWN), -EBADF);
    CHECK_RET(fcntl(fd, 999), -EINVAL);
    CHECK_RET(fcntl(fd, -1), -EINVAL);
    CHECK_RET(fcntl(-1, 999), -EBADF);
    CHECK_RET(syscall(SYS_fcntl, fd, F_GETFL), O_RDWR | 0100000);
    CHECK_RET(fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK | O_WRONLY | O_CREAT | O_TRUNC), 0);
    CHECK_RET(syscall(SYS_fcntl, fd, F_GETFL), O_RDWR | O_APPEND | O_NONBLOCK | 0100000);
    CHECK_RET(fcntl(fd, F_SETFL, O_NOATIME), 0);
    CHECK_RET(syscall(SYS_fcntl, fd, F_GETFL), O_RDWR | O_NOATIME | 0100000);
    CHECK_RET(fcntl(fd, F_SETFL, O_SYNC), 0);
    CHECK_RET(syscall(SYS_fcntl, fd, F_GETFL), O_RDWR | 0100000);
    CHECK_RET(fcntl(p[0], F_GETFL), O_RDONLY | O_NONBLOCK);
    CHECK_RET(fcntl(p[1], F_GETFL), O_WRONLY | O_NONBLOCK);
    CHECK_RET(fcntl(p[1], F_SETFL, O_DIRECT), 0);
    CHECK_RET(fcntl(p[1], F_GETFL), O_WRONLY | O_DIRECT);
    CHECK_RET(fcntl(OK(eventfd(0, EFD_NONBLOCK)), F_GETFL), O_RDWR | O_NONBLOCK);
    CHECK_RET(fcntl(OK(memfd_create("x", 0)), F_GETFL), O_RDWR | 0100000);
    int sv[2];
    OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv));
    CHECK_RET(fcntl(sv[0], F_GETFL), O_RDWR | O_NONBLOCK);
    CHECK_RET(fcntl(OK(open(".", O_RDONLY | O_DIRECTORY)), F_GETFL), O_RDONLY | O_DIRECTORY | 0100000);
    CHECK_RET(fcntl(OK(open("f", O_RDONLY | O_NOFOLLOW | O_CLOEXEC)), F_GETFL),
              O_RDONLY | O_NOFOLLOW | 0100000);
    CHECK_RET(fcntl(OK(open("f", O_RDONLY | O_SYNC)), F_GETFL), O_RDONLY | O_SYNC | 0100000);
}

static void owners(void)
{
    int p[2];
    OK(pipe(p));
    struct f_owner_ex o = {99, 0};
    CHECK_RET(fcntl(p[0], F_GETOWN), 0);
    CHECK_RET(fcntl(p[0], F_GETOWN_EX, &o), 0);
    CHECK_EQ(o.type, F_OWNER_TID);
    CHECK_EQ(o.pid, 0);
    CHECK_RET(fcntl(p[0], F_SETOWN, getpid()), 0);
    CHECK_RET(fcntl(p[0], F_GETOWN), getpid());
    CHECK_RET(fcntl(p[0], F_SETOWN, 4194300), -ESRCH);
    CHECK_RET(fcntl(p[0], F_SETOWN, -4194300), -ESRCH);
    CHECK_RET(fcntl(p[0], F_SETOWN, INT_MIN), -EINVAL);
    CHECK_RET(fcntl(p[0], F_GETOWN), getpid());
    CHECK_RET(syscall(SYS_fcntl, p[0], F_SETOWN, (long)-getpgrp()), 0);
    CHECK_RET(fcntl(p[0], F_GETOWN_EX, &o), 0);
    CHECK_EQ(o.type, F_OWNER_PGRP);
    CHECK_EQ(o.pid, getpgrp());
    o = (struct f_owner_ex){F_OWNER_TID, getpid()};
    CHECK_RET(fcntl(p[0], F_SETOWN_EX, &o), 0);
    memset(&o, 0, sizeof(o));
    CHECK_RET(fcntl(p[0], F_GETOWN_EX, &o), 0);
    CHECK_EQ(o.type, F_OWNER_TID);
    CHECK_EQ(o.pid, getpid());
    o.type = 3;
    CHECK_RET(fcntl(p[0], F_SETOWN_EX, &o), -EINVAL);
    o = (struct f_owner_ex){F_OWNER_PID, 4194300};
    CHECK_RET(fcntl(p[0], F_SETOWN_EX, &o), -ESRCH);
    o = (struct f_owner_ex){F_OWNER_PID, -1};
    CHECK_RET(fcntl(p[0], F_SETOWN_EX, &o), -ESRCH);
    CHECK_RET(fcntl(p[0], F_SETOWN_EX, BAD), -EFAULT);
    CHECK_RET(fcntl(p[0], F_GETOWN_EX, BAD), -EFAULT);
    CHECK_RET(fcntl(p[0], F_SETOWN, 0), 0);
    CHECK_RET(fcntl(p[0], F_GETOWN), 0);
    CHECK_RET(fcntl(p[0], F_GETSIG), 0);
    CHECK_RET(fcntl(p[0], F_SETSIG, SIGUSR1), 0);
    CHECK_RET(fcntl(p[0], F_GETSIG), SIGUSR1);
    CHECK_RET(fcntl(p[0], F_SETSIG, -1), -EINVAL);
    CHECK_RET(fcntl(p[0], F_SETSIG, 65), -EINVAL);
    CHECK_RET(fcntl(p[0], F_SETSIG, 64), 0);
    CHECK_RET(fcntl(p[0], F_SETSIG, 0), 0);
    unsigned ids[2];
    CHECK_RET(fcntl(p[0], 17 /* F_GETOWNER_UIDS */, ids), 0);
    CHECK(ids[0] == getuid() && ids[1] == geteuid());
}

static volatile int g_sig, g_code, g_fd, g_band;
static void on_io(int sig, siginfo_t *si, void *uc)
{
    g_sig = sig;
    g_code = si->si_code;
    g_fd = si->si_fd;
    g_band = si->si_band;
}

static void signal_driven(void)
{
    int sv[2];
    char c;
    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
    handle_info(SIGIO, on_io, 0);
    handle_info(SIGRTMIN + 1, on_io, 0);
    OK(fcntl(sv[0], F_SETOWN, getpid()));
    CHECK_RET(fcntl(sv[0], F_SETFL, O_ASYNC | O_NONBLOCK), 0);
    CHECK_RET(fcntl(sv[0], F_GETFL), O_RDWR | O_ASYNC | O_NONBLOCK);
    OK(write(sv[1], "x", 1));
    for (int i = 0; i < 500 && !g_sig; i++)
        sleep_ms(2);
    CHECK_EQ(g_sig, SIGIO);
    OK(read(sv[0], &c, 1));
    sleep_ms(20);
    g_sig = 0;
    OK(fcntl(sv[0], F_SETSIG, SIGRTMIN + 1));
    OK(write(sv[1], "x", 1));
    for (int i = 0; i < 500 && !g_sig; i++)
        sleep_ms(2);
    CHECK_EQ(g_sig, SIGRTMIN + 1);
    CHECK_EQ(g_fd, sv[0]);
    CHECK_EQ(g_code, POLL_IN);
    CHECK(g_band & POLLIN);
    int off = 0, on = 1;
    CHECK_RET(ioctl(sv[0], FIOASYNC, &off), 0);
    CHECK_RET(fcntl(sv[0], F_GETFL), O_RDWR | O_NONBLOCK);
    CHECK_RET(ioctl(sv[0], FIONBIO, &off), 0);
    CHECK_RET(fcntl(sv[0], F_GETFL), O_RDWR);
    CHECK_RET(ioctl(sv[0], FIONBIO, &on), 0);
    CHECK_RET(fcntl(sv[0], F_GETFL), O_RDWR | O_NONBLOCK);
    CHECK_RET(ioctl(sv[0], FIONBIO, BAD), -EFAULT);
    CHECK_RET(ioctl(sv[0], FIOASYNC, BAD), -EFAULT);
    CHECK_RET(ioctl(file(), FIOASYNC, &on), -ENOTTY);
    CHECK_RET(ioctl(file(), FIOASYNC, &off), 0);
    CHECK_RET(ioctl(file(), FIONBIO, &on), 0);
}

static void queries(void)
{
    int fd = file(), same = OK(dup(fd)), other = file();
    CHECK_RET(fcntl(fd, F_DUPFD_QUERY, fd), 1);
    CHECK_RET(fcntl(fd, F_DUPFD_QUERY, same), 1);
    CHECK_RET(fcntl(fd, F_DUPFD_QUERY, other), 0);
    CHECK_RET(fcntl(fd, F_DUPFD_QUERY, -1), -EBADF);
    CHECK_RET(fcntl(fd, F_CREATED_QUERY), 1);
    CHECK_RET(fcntl(other, F_CREATED_QUERY), 0);
    int made = OK(open("new", O_CREAT | O_RDWR | O_EXCL, 0600));
    CHECK_RET(fcntl(made, F_CREATED_QUERY), 1);
    CHECK_RET(fcntl(OK(open("new", O_CREAT | O_RDWR, 0600)), F_CREATED_QUERY), 0);
    uint64_t hint = 77;
    CHECK_RET(fcntl(fd, F_GET_RW_HINT, &hint), 0);
    CHECK_EQ(hint, 0);
    hint = 2;
    CHECK_RET(fcntl(fd, F_SET_RW_HINT, &hint), 0);
    CHECK_RET(fcntl(other, F_GET_RW_HINT, &hint), 0);
    CHECK_EQ(hint, 2);
    hint = 6;
    CHECK_RET(fcntl(fd, F_SET_RW_HINT, &hint), -EINVAL);
    CHECK_RET(fcntl(fd, F_SET_RW_HINT, BAD), -EFAULT);
    CHECK_RET(fcntl(fd, F_GET_RW_HINT, BAD), -EFAULT);
    CHECK_RET(fcntl(fd, F_GET_FILE_RW_HINT, &hint), -EINVAL);
}

static void pipe_sizes(void)
{
    int p[2], fd = file();
    OK(pipe(p));
    CHECK_RET(fcntl(p[0], F_GETPIPE_SZ), 65536);
    CHECK_RET(fcntl(fd, F_GETPIPE_SZ), -EBADF);
    CHECK_RET(fcntl(fd, F_SETPIPE_SZ, 4096), -EBADF);
    CHECK_RET(fcntl(p[0], F_SETPIPE_SZ, 0), 4096);
    CHECK_RET(fcntl(p[0], F_SETPIPE_SZ, 1), 4096);
    CHECK_RET(fcntl(p[0], F_SETPIPE_SZ, 5000), 8192);
    CHECK_RET(fcntl(p[1], F_GETPIPE_SZ), 8192);
    CHECK_RET(fcntl(p[1], F_SETPIPE_SZ, 1 << 20), 1 << 20);
    CHECK_RET(fcntl(p[1], F_SETPIPE_SZ, -1), -EINVAL);
    char b[9000];
    OK(write(p[1], b, 9000));
    CHECK_RET(fcntl(p[1], F_SETPIPE_SZ, 8192), -EBUSY);
    CHECK_RET(fcntl(p[1], F_SETPIPE_SZ, 16384), 16384);
    IN_CHILD({
        OK(setresuid(65534, 65534, 65534));
        CHECK_RET(fcntl(p[1], F_SETPIPE_SZ, (1 << 20) + 1), -EPERM);
        CHECK_RET(fcntl(p[1], F_SETPIPE_SZ, 1 << 20), 1 << 20);
    });
}

static long sysctl_read(const char *name)
{
    char b[64];
    read_file(name, b, sizeof(b));
    return atol(b);
}

static void pipe_sysctls(void)
{
    CHECK_RET(sysctl_read("/proc/sys/fs/pipe-max-size"), 1048576);
    CHECK_RET(sysctl_read("/proc/sys/fs/pipe-user-pages-soft"), 16384);
    CHECK_RET(sysctl_read("/proc/sys/fs/pipe-user-pages-hard"), 0);
}

static void pipe_arguments(void)
{
    int p[2] = {-7, -7};
    CHECK_RET(pipe2(p, 1), -EINVAL);
    CHECK_RET(pipe2(p, O_APPEND), -EINVAL);
    CHECK_RET(pipe2(p, O_CLOEXEC | O_NONBLOCK | 0x40000000), -EINVAL);
    CHECK_EQ(p[0], -7);
    CHECK_RET(pipe2(NULL, 0), -EFAULT);
    CHECK_RET(syscall(SYS_pipe, BAD), -EFAULT);
    CHECK_RET(pipe2(p, O_EXCL), -ENOPKG);
    CHECK_RET(pipe2(p, O_CLOEXEC), 0);
    CHECK_RET(fcntl(p[0], F_GETFD), FD_CLOEXEC);
    CHECK_RET(fcntl(p[1], F_GETFD), FD_CLOEXEC);
    int next = OK(open("/dev/null", O_RDONLY));
    CHECK_EQ(next, p[1] + 1);
}

static void ioctls(void)
{
    int fd = file(), n = 0, dir = OK(open(".", O_RDONLY)), path = OK(open("f", O_PATH)), p[2];
    long long q = 0;
    OK(pipe(p));
    OK(write(fd, "hello", 5));
    CHECK_RET(ioctl(-1, FIONREAD, &n), -EBADF);
    CHECK_RET(ioctl(path, FIONREAD, &n), -EBADF);
    CHECK_RET(ioctl(fd, FIONREAD, BAD), -EFAULT);
    OK(lseek(fd, 2, SEEK_SET));
    CHECK_RET(ioctl(fd, FIONREAD, &n), 0);
    CHECK_EQ(n, 3);
    CHECK_RET(ioctl(fd, FIOQSIZE, &q), 0);
    CHECK_EQ(q % 512, 0);
    CHECK_RET(ioctl(p[0], FIOQSIZE, &q), -ENOTTY);
    CHECK_RET(ioctl(dir, FIOQSIZE, &q), 0);
    CHECK_RET(ioctl(fd, FIGETBSZ, &n), 0);
    CHECK_EQ(n, 4096);
    CHECK_RET(ioctl(fd, FICLONE, fd), -EOPNOTSUPP);
    CHECK_RET(ioctl(fd, FICLONE, -1), -EBADF);
    CHECK_RET(ioctl(dir, FIONREAD, &n), -ENOTTY);
    CHECK_RET(ioctl(fd, 0x5401 /* TCGETS */, &n), -ENOTTY);
    CHECK_RET(ioctl(p[0], 0x5401, &n), -ENOTTY);
    CHECK_RET(ioctl(fd, 0, &n), -ENOTTY);
    CHECK_RET(ioctl(fd, FIOCLEX), 0);
    CHECK_RET(fcntl(fd, F_GETFD), 1);
    CHECK_RET(ioctl(fd, FIONCLEX), 0);
    CHECK_RET(fcntl(fd, F_GETFD), 0);
    CHECK_RET(ioctl(path, FIOCLEX), -EBADF);
    OK(write(p[1], "abc", 3));
    CHECK_RET(ioctl(p[0], FIONREAD, &n), 0);
    CHECK_EQ(n, 3);
    CHECK_RET(ioctl(p[1], FIONREAD, &n), 0);
    CHECK_EQ(n, 3);
    int nul = OK(open("/dev/null", O_RDWR));
    CHECK_RET(ioctl(nul, FIONREAD, &n), -ENOTTY);
    CHECK_RET(ioctl(nul, 0x5401, &n), -ENOTTY);
}

static void seals(void)
{
    int plain = file(), no = OK(memfd_create("n", 0)), fd = OK(memfd_create("s", MFD_ALLOW_SEALING));
    CHECK_RET(fcntl(plain, F_GET_SEALS), -EINVAL);
    CHECK_RET(fcntl(plain, F_ADD_SEALS, 0), -EINVAL);
    CHECK_RET(fcntl(no, F_GET_SEALS), F_SEAL_SEAL);
    CHECK_RET(fcntl(no, F_ADD_SEALS, F_SEAL_WRITE), -EPERM);
    CHECK_RET(fcntl(fd, F_GET_SEALS), 0);
    CHECK_RET(fcntl(fd, F_ADD_SEALS, 0x1000), -EINVAL);
    OK(ftruncate(fd, 8192));
    CHECK_RET(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
    CHECK_RET(ftruncate(fd, 4096), -EPERM);
    CHECK_RET(ftruncate(fd, 12288), 0);
    CHECK_RET(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), 0);
    CHECK_RET(ftruncate(fd, 20000), -EPERM);
    CHECK_RET(pwrite(fd, "x", 1, 12288), -EPERM);
    CHECK_RET(pwrite(fd, "xy", 2, 12287), 1);
    CHECK_RET(fallocate(fd, 0, 0, 20000), -EPERM);
    CHECK_RET(pwrite(fd, "x", 1, 0), 1);
    void *m = OK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    CHECK_RET(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -EBUSY);
    CHECK_RET(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), 0);
    CHECK_RET(pwrite(fd, "x", 1, 0), -EPERM);
    CHECK_RET(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), -EPERM);
    void *ro = OK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0));
    CHECK_RET(mprotect(ro, 4096, PROT_READ | PROT_WRITE), -EACCES);
    *(volatile char *)m = 1;
    OK(munmap(m, 4096));
    CHECK_RET(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
    CHECK_RET(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), -EPERM);
    CHECK_RET(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL), 0);
    CHECK_RET(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL), -EPERM);
    CHECK_RET(fcntl(fd, F_GET_SEALS), 0x1f);
    char self[64];
    snprintf(self, sizeof(self), "/proc/self/fd/%d", no);
    CHECK_RET(fcntl(OK(open(self, O_RDONLY)), F_ADD_SEALS, F_SEAL_WRITE), -EPERM);
}

static void memory_files(void)
{
    char name[300];
    memset(name, 'n', 300);
    name[250] = 0;
    CHECK_RET(memfd_create(name, 0), -EINVAL);
    name[249] = 0;
    CHECK(memfd_create(name, 0) >= 0);
    CHECK(memfd_create("", 0) >= 0);
    CHECK_RET(memfd_create(BAD, 0), -EFAULT);
    CHECK_RET(memfd_create("x", 0x100), -EINVAL);
    CHECK_RET(memfd_create("x", 8 | 0x10), -EINVAL);
    CHECK_RET(memfd_create("x", 21u << 26), -EINVAL);
    int huge = memfd_create("x", MFD_HUGETLB);
    CHECK(huge >= 0);
    CHECK(memfd_create("x", MFD_HUGETLB | (21u << 26) | MFD_ALLOW_SEALING) >= 0);
    CHECK_RET(memfd_create("x", MFD_HUGETLB | (13u << 26)), -ENODEV);
    int fd = OK(memfd_create("x", 8 /* NOEXEC_SEAL */));
    CHECK_RET(fcntl(fd, F_GET_SEALS), 0x20);
    struct stat st;
    OK(fstat(fd, &st));
    CHECK_EQ(st.st_mode, S_IFREG | 0666);
    CHECK_RET(fchmod(fd, 0777), -EPERM);
    CHECK_RET(fchmod(fd, 0600), 0);
    fd = OK(memfd_create("x", 0x10 /* EXEC */ | MFD_CLOEXEC));
    CHECK_RET(fcntl(fd, F_GETFD), 1);
    OK(fstat(fd, &st));
    CHECK_EQ(st.st_mode, S_IFREG | 0777);
    CHECK_EQ(st.st_size, 0);
    CHECK_EQ(st.st_nlink, 0);
    CHECK_RET(sysctl_read("/proc/sys/vm/memfd_noexec"), 0);
    char link[64];
    snprintf(name, 64, "/proc/self/fd/%d", fd);
    int n = OK(readlink(name, link, 63));
    link[n] = 0;
    CHECK_STR(link, "/memfd:x (deleted)");
}

static void secret_memory(void)
{
    CHECK_RET(syscall(SYS_memfd_secret, 1), -EINVAL);
    int fd = syscall(SYS_memfd_secret, O_CLOEXEC);
    if (fd < 0 && errno == ENOSYS)
        SKIP("no memfd_secret here");
    char b[8];
    CHECK_RET(fcntl(fd, F_GETFD), 1);
    CHECK_RET(read(fd, b, 8), -EINVAL);
    CHECK_RET(write(fd, b, 8), -EINVAL);
    CHECK_RET(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0), -EINVAL);
    CHECK_RET(ftruncate(fd, 8192), 0);
    CHECK_RET(ftruncate(fd, 4096), -EINVAL);
    char *p = OK(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    CHECK_EQ(p[0], 0);
    p[5000] = 1;
    char *q = OK(mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 0));
    CHECK_EQ(q[5000], 1);
}

static int kind(const char *what)
{
    sigset_t s;
    sigemptyset(&s);
    switch (what[0]) {
    case 'e':
        return OK(eventfd(0, 0));
    case 's':
        return OK(signalfd(-1, &s, 0));
    case 't':
        return OK(timerfd_create(CLOCK_MONOTONIC, 0));
    case 'p':
        return OK(epoll_create1(0));
    default:
        return OK(open(what, O_RDWR));
    }
}

/* What the flags and general ioctls mean to files without a name, and to devices. */
static void odd_files(void)
{
    static const char *const names[] = {"e", "s", "t", "p"};
    int on = 1, n;
    for (int i = 0; i < 4; i++) {
        int fd = kind(names[i]);
        CHECK_RET(ioctl(fd, FIOASYNC, &on), -ENOTTY);
        CHECK_RET(fcntl(fd, F_SETFL, O_ASYNC), 0);
        CHECK_RET(fcntl(fd, F_GETFL) & O_ASYNC, 0);
        CHECK_RET(fcntl(fd, F_SETFL, O_DIRECT), -EINVAL);
        CHECK_RET(ioctl(fd, FIGETBSZ, &n), 0);
        CHECK_RET(ioctl(fd, FIONREAD, &n), i == 3 ? -EINVAL : -ENOTTY);
        CHECK_RET(fsync(fd), -EINVAL);
        OK(close(fd));
    }
    int rnd = kind("/dev/urandom"), proc = OK(open("/proc/self/stat", O_RDONLY));
    CHECK_RET(ioctl(rnd, FIONREAD, &n), -EINVAL);
    CHECK_RET(fcntl(rnd, F_SETFL, O_DIRECT), -EINVAL);
    CHECK_RET(fsync(proc), -EINVAL);
    CHECK_RET(fsync(OK(open("/proc/self", O_RDONLY))), -EINVAL);
    CHECK_RET(fsync(OK(open(".", O_RDONLY))), 0);
    CHECK_RET(fcntl(file(), F_SETFL, O_DIRECT), 0);
    CHECK_RET(fcntl(OK(memfd_create("m", 0)), F_SETFL, O_DIRECT), -EINVAL);
}

GUEST_MAIN(C(dup_errors), C(limits), C(closing_ranges), C(unsharing_closes_for_oneself),
           C(flags_of_descriptors), C(owners), C(signal_driven), C(queries), C(pipe_sizes),
           C(pipe_sysctls), C(pipe_arguments), C(ioctls), C(seals), C(memory_files),
           C(secret_memory), C(odd_files))
