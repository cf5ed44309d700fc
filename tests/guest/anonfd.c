/* Descriptors without names: eventfd, signalfd, timerfd, memfd, pidfd, inotify. */
#include "guest.h"
#include <linux/memfd.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

static bool ready(int fd)
{
    struct pollfd p = {fd, POLLIN, 0};
    return OK(poll(&p, 1, 0)) == 1 && p.revents & POLLIN;
}

static void eventfd_counts(void)
{
    uint64_t v = 3;
    int fd = OK(eventfd(2, EFD_NONBLOCK | EFD_CLOEXEC));
    CHECK(ready(fd));
    OK(write(fd, &v, 8));
    CHECK_EQ(read(fd, &v, 8), 8);
    CHECK_EQ(v, 5);
    CHECK(!ready(fd));
    CHECK_ERR(read(fd, &v, 8), EAGAIN);
    CHECK_ERR(read(fd, &v, 7), EINVAL);
    v = ~0ull;
    CHECK_ERR(write(fd, &v, 8), EINVAL);
    v = ~0ull - 1;
    OK(write(fd, &v, 8));
    v = 1;
    CHECK_ERR(write(fd, &v, 8), EAGAIN);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    close(fd);
    CHECK_ERR(eventfd(0, 0x8000), EINVAL);
}

static void eventfd_semaphore(void)
{
    uint64_t v;
    int fd = OK(eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK));
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(read(fd, &v, 8), 8);
        CHECK_EQ(v, 1);
    }
    CHECK_ERR(read(fd, &v, 8), EAGAIN);
    close(fd);
}

static void signalfd_reads(void)
{
    sigset_t set;
    struct signalfd_siginfo si[4];
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGRTMIN + 2);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int fd = OK(signalfd(-1, &set, SFD_NONBLOCK));
    CHECK(!ready(fd));
    CHECK_ERR(read(fd, si, sizeof(si)), EAGAIN);
    OK(kill(getpid(), SIGUSR1));
    OK(sigqueue(getpid(), SIGRTMIN + 2, (union sigval){.sival_int = 99}));
    CHECK(ready(fd));
    CHECK_EQ(read(fd, si, sizeof(si)), 2 * sizeof(si[0]));
    CHECK_EQ(si[0].ssi_signo, SIGUSR1);
    CHECK_EQ(si[0].ssi_code, SI_USER);
    CHECK_EQ(si[0].ssi_pid, getpid());
    CHECK_EQ(si[1].ssi_signo, SIGRTMIN + 2);
    CHECK_EQ(si[1].ssi_int, 99);
    CHECK_ERR(read(fd, si, 10), EINVAL);
    sigdelset(&set, SIGUSR1);
    OK(signalfd(fd, &set, 0)); /* the mask can change */
    raise(SIGUSR1);
    CHECK(!ready(fd));
    CHECK_ERR(signalfd(0, &set, 0), EINVAL);
    CHECK_ERR(signalfd(-1, &set, 0x10), EINVAL);
    close(fd);
    struct timespec zero = {0, 0};
    sigaddset(&set, SIGUSR1);
    CHECK_EQ(sigtimedwait(&set, NULL, &zero), SIGUSR1);
}

static void signalfd_and_child(void)
{
    sigset_t set;
    struct signalfd_siginfo si;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int fd = OK(signalfd(-1, &set, 0));
    pid_t p = OK(fork());
    if (!p)
        _exit(13);
    CHECK_EQ(read(fd, &si, sizeof(si)), sizeof(si));
    CHECK_EQ(si.ssi_pid, p);
    CHECK_EQ(si.ssi_status, 13);
    WAIT_EXIT(p, 13);
    close(fd);
}

static void timerfd_fires(void)
{
    struct itimerspec it = {{0, 10000000}, {0, 20000000}}, now;
    uint64_t n = 0;
    int fd = OK(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
    CHECK_ERR(read(fd, &n, 8), EAGAIN);
    OK(timerfd_settime(fd, 0, &it, NULL));
    CHECK(!ready(fd));
    struct pollfd p = {fd, POLLIN, 0};
    CHECK_EQ(OK(poll(&p, 1, 2000)), 1);
    sleep_ms(60);
    CHECK_EQ(read(fd, &n, 8), 8);
    CHECK(n >= 3);
    OK(timerfd_gettime(fd, &now));
    CHECK_EQ(now.it_interval.tv_nsec, 10000000);
    it = (struct itimerspec){{0, 0}, {0, 0}};
    OK(timerfd_settime(fd, 0, &it, &now));
    CHECK_EQ(now.it_interval.tv_nsec, 10000000);
    sleep_ms(30);
    CHECK(!ready(fd));
    CHECK_ERR(timerfd_create(99, 0), EINVAL);
    CHECK_ERR(timerfd_create(CLOCK_MONOTONIC, 0x1000), EINVAL);
    it.it_value.tv_nsec = 1000000000;
    CHECK_ERR(timerfd_settime(fd, 0, &it, NULL), EINVAL);
    CHECK_ERR(timerfd_settime(0, 0, &now, NULL), EINVAL);
    close(fd);
}

static void timerfd_absolute(void)
{
    struct itimerspec it = {{0, 0}, {0, 0}};
    uint64_t n = 0;
    int fd = OK(timerfd_create(CLOCK_REALTIME, 0));
    clock_gettime(CLOCK_REALTIME, &it.it_value);
    it.it_value.tv_sec -= 10;
    OK(timerfd_settime(fd, TFD_TIMER_ABSTIME, &it, NULL));
    CHECK_EQ(read(fd, &n, 8), 8);
    CHECK_EQ(n, 1);
    close(fd);
}

static void memfd_and_seals(void)
{
    int fd = OK(memfd_create("name", MFD_ALLOW_SEALING | MFD_CLOEXEC));
    OK(ftruncate(fd, 8192));
    char *p = OK(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    strcpy(p, "hello");
    char buf[8] = "";
    CHECK_EQ(pread(fd, buf, 5, 0), 5);
    CHECK_STR(buf, "hello");
    CHECK_EQ(fcntl(fd, F_GET_SEALS), 0);
    CHECK_ERR(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY); /* mapped for writing */
    OK(munmap(p, 8192));
    OK(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW));
    CHECK_ERR(ftruncate(fd, 100), EPERM);
    CHECK_ERR(ftruncate(fd, 100000), EPERM);
    CHECK_EQ(pwrite(fd, "x", 1, 0), 1);
    CHECK_ERR(pwrite(fd, "x", 1, 8192), EPERM);
    OK(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL));
    CHECK_ERR(write(fd, "x", 1), EPERM);
    CHECK_ERR(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), EPERM);
    CHECK_ERR(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), EPERM);
    char path[64], link[64] = "";
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    OK(readlink(path, link, sizeof(link) - 1));
    CHECK_STR(link, "/memfd:name (deleted)");
    close(fd);
    CHECK_ERR(memfd_create("x", 0x8000), EINVAL);
    fd = OK(memfd_create("x", 0));
    CHECK_ERR(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EPERM);
    close(fd);
}

static void pidfd_basics(void)
{
    pid_t p = OK(fork());
    if (!p)
        for (;;)
            pause();
    int fd = OK(syscall(434 /* pidfd_open */, p, 0));
    CHECK(!ready(fd));
    OK(syscall(424 /* pidfd_send_signal */, fd, SIGTERM, NULL, 0));
    struct pollfd pf = {fd, POLLIN, 0};
    CHECK_EQ(OK(poll(&pf, 1, 5000)), 1);
    WAIT_SIGNAL(p, SIGTERM);
    CHECK_ERR(syscall(424, fd, 0, NULL, 0), ESRCH);
    close(fd);
    CHECK_ERR(syscall(434, 7654321, 0), ESRCH);
    CHECK_ERR(syscall(434, -1, 0), EINVAL);
    CHECK_ERR(syscall(434, getpid(), 0x1), EINVAL);
}

static void pidfd_getfd(void)
{
    int f[2], self = OK(syscall(434, getpid(), 0));
    OK(pipe(f));
    int copy = OK(syscall(438 /* pidfd_getfd */, self, f[1], 0));
    OK(write(copy, "x", 1));
    char c;
    CHECK_EQ(read(f[0], &c, 1), 1);
    CHECK_ERR(syscall(438, self, 999, 0), EBADF);
    close(copy), close(self), close(f[0]), close(f[1]);
}

static char g_events[8192];

static unsigned next(int fd, char **at, char *end, const char **name)
{
    if (*at >= end)
        FAIL("no further event");
    struct inotify_event *e = (void *)*at;
    *at += sizeof(*e) + e->len;
    *name = e->len ? e->name : "";
    return e->mask;
}

static void inotify_directory(void)
{
    const char *name;
    OK(mkdir("d", 0755));
    int fd = OK(inotify_init1(IN_NONBLOCK)), wd = OK(inotify_add_watch(fd, "d", IN_ALL_EVENTS));
    CHECK_ERR(read(fd, g_events, sizeof(g_events)), EAGAIN);
    int f = OK(open("d/x", O_RDWR | O_CREAT, 0644));
    OK(write(f, "a", 1));
    close(f);
    OK(rename("d/x", "d/y"));
    OK(unlink("d/y"));
    OK(mkdir("d/sub", 0755));
    CHECK(ready(fd));
    ssize_t n = OK(read(fd, g_events, sizeof(g_events)));
    char *at = g_events, *end = g_events + n;
    CHECK_EQ(next(fd, &at, end, &name), IN_CREATE);
    CHECK_STR(name, "x");
    CHECK_EQ(next(fd, &at, end, &name), IN_OPEN);
    CHECK_EQ(next(fd, &at, end, &name), IN_MODIFY);
    CHECK_EQ(next(fd, &at, end, &name), IN_CLOSE_WRITE);
    CHECK_EQ(next(fd, &at, end, &name), IN_MOVED_FROM);
    CHECK_EQ(next(fd, &at, end, &name), IN_MOVED_TO);
    CHECK_STR(name, "y");
    CHECK_EQ(next(fd, &at, end, &name), IN_DELETE);
    CHECK_EQ(next(fd, &at, end, &name), IN_CREATE | IN_ISDIR);
    CHECK(at == end);
    OK(inotify_rm_watch(fd, wd));
    OK(read(fd, g_events, sizeof(g_events)));
    CHECK_EQ(((struct inotify_event *)(void *)g_events)->mask, IN_IGNORED);
    CHECK_ERR(inotify_rm_watch(fd, wd), EINVAL);
    close(fd);
}

static void inotify_file(void)
{
    const char *name;
    write_file("f", "x", 1);
    int fd = OK(inotify_init1(IN_NONBLOCK));
    OK(inotify_add_watch(fd, "f", IN_MODIFY | IN_ATTRIB | IN_DELETE_SELF));
    OK(chmod("f", 0600));
    OK(truncate("f", 0));
    OK(unlink("f"));
    ssize_t n = OK(read(fd, g_events, sizeof(g_events)));
    char *at = g_events, *end = g_events + n;
    CHECK_EQ(next(fd, &at, end, &name), IN_ATTRIB);
    CHECK_EQ(next(fd, &at, end, &name), IN_MODIFY);
    CHECK_EQ(next(fd, &at, end, &name), IN_ATTRIB); /* the link count */
    CHECK_EQ(next(fd, &at, end, &name), IN_DELETE_SELF);
    CHECK_EQ(next(fd, &at, end, &name), IN_IGNORED);
    close(fd);
}

static void inotify_errors(void)
{
    int fd = OK(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    CHECK_ERR(inotify_add_watch(fd, "nothing", IN_MODIFY), ENOENT);
    CHECK_ERR(inotify_add_watch(fd, ".", 0), EINVAL);
    CHECK_ERR(inotify_add_watch(0, ".", IN_MODIFY), EINVAL);
    CHECK_ERR(inotify_init1(0x7), EINVAL);
    write_file("f", "", 0);
    CHECK_ERR(inotify_add_watch(fd, "f", IN_MODIFY | IN_ONLYDIR), ENOTDIR);
    int a = OK(inotify_add_watch(fd, "f", IN_MODIFY));
    CHECK_EQ(OK(inotify_add_watch(fd, "f", IN_ATTRIB)), a); /* one watch per inode */
    CHECK_ERR(inotify_add_watch(fd, "f", IN_ATTRIB | IN_MASK_CREATE), EEXIST);
    OK(chmod("f", 0600));
    CHECK_ERR(read(fd, g_events, 4), EINVAL); /* too small for the event */
    close(fd);
}

GUEST_MAIN(C(eventfd_counts), C(eventfd_semaphore), C(signalfd_reads), C(signalfd_and_child), C(timerfd_fires),
           C(timerfd_absolute), C(memfd_and_seals), C(pidfd_basics), C(pidfd_getfd), C(inotify_directory),
           C(inotify_file), C(inotify_errors))
