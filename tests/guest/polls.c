/* poll, select and epoll by their man pages: every errno, what timeouts are told, what signals do;
 * fifos and how opening them waits. */
#include "guest.h"

#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#define BAD ((void *)-1L)

static void poll_errors(void)
{
    struct pollfd p = {-1, POLLIN, 7};
    CHECK_RET(poll(&p, 1, 0), 0);
    CHECK_EQ(p.revents, 0);
    p = (struct pollfd){999, POLLIN, 0};
    CHECK_RET(poll(&p, 1, -1), 1);
    CHECK_EQ(p.revents, POLLNVAL);
    CHECK_RET(poll(BAD, 1, 0), -EFAULT);
    CHECK_RET(poll(BAD, 0, 0), -EFAULT);
    CHECK_RET(poll(&p, -1, 0), -EINVAL);
    struct rlimit old, rl;
    OK(getrlimit(RLIMIT_NOFILE, &old));
    rl = old, rl.rlim_cur = 8;
    OK(setrlimit(RLIMIT_NOFILE, &rl));
    struct pollfd many[9];
    for (int i = 0; i < 9; i++)
        many[i] = (struct pollfd){-1, 0, 0};
    CHECK_RET(poll(many, 9, 0), -EINVAL);
    CHECK_RET(poll(many, 8, 0), 0);
    OK(setrlimit(RLIMIT_NOFILE, &old));
    struct timespec ts = {0, 1000000000}, neg = {-1, 0}, nn = {0, -1};
    CHECK_RET(ppoll(&p, 1, &ts, NULL), -EINVAL);
    CHECK_RET(ppoll(&p, 1, &neg, NULL), -EINVAL);
    CHECK_RET(ppoll(&p, 1, &nn, NULL), -EINVAL);
    sigset_t s;
    sigemptyset(&s);
    CHECK_RET(syscall(SYS_ppoll, &p, 1, BAD, NULL, 8), -EFAULT);
    CHECK_RET(syscall(SYS_ppoll, &p, 1, NULL, &s, 4), -EINVAL);
    CHECK_RET(syscall(SYS_ppoll, &p, 1, NULL, BAD, 8), -EFAULT);
    int path = (mkfifo("ff", 0600), OK(open("ff", O_PATH)));
    p = (struct pollfd){path, POLLIN, 0};
    CHECK_RET(poll(&p, 1, 0), 1);
    CHECK_EQ(p.revents, POLLNVAL);
}

static void poll_bits(void)
{
    int q[2], sv[2];
    OK(pipe(q));
    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
    struct pollfd p = {q[0], POLLIN | POLLRDNORM | POLLOUT, 0};
    CHECK_RET(poll(&p, 1, 0), 0);
    OK(write(q[1], "x", 1));
    CHECK_RET(poll(&p, 1, 0), 1);
    CHECK_EQ(p.revents, POLLIN | POLLRDNORM);
    OK(close(q[1]));
    CHECK_RET(poll(&p, 1, 0), 1);
    CHECK_EQ(p.revents, POLLIN | POLLRDNORM | POLLHUP);
    p.events = 0;
    CHECK_RET(poll(&p, 1, 0), 1);
    CHECK_EQ(p.revents, POLLHUP);
    OK(pipe(q));
    OK(close(q[0]));
    p = (struct pollfd){q[1], POLLOUT | POLLWRNORM, 0};
    CHECK_RET(poll(&p, 1, 0), 1);
    CHECK_EQ(p.revents, POLLOUT | POLLWRNORM | POLLERR);
    p = (struct pollfd){sv[0], POLLIN | POLLOUT | POLLRDHUP | POLLPRI, 0};
    CHECK_RET(poll(&p, 1, 0), 1);
    CHECK_EQ(p.revents, POLLOUT);
    OK(shutdown(sv[1], SHUT_WR));
    CHECK_RET(poll(&p, 1, 0), 1);
    CHECK_EQ(p.revents, POLLIN | POLLOUT | POLLRDHUP);
    OK(close(sv[1]));
    CHECK_RET(poll(&p, 1, 0), 1);
    CHECK_EQ(p.revents, POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
    p = (struct pollfd){OK(open("/dev/null", O_RDWR)), POLLIN | POLLOUT | POLLPRI, 0};
    CHECK_RET(poll(&p, 1, 0), 1);
    CHECK_EQ(p.revents, POLLIN | POLLOUT);
    p = (struct pollfd){OK(open(".", O_RDONLY)), POLLIN | POLLOUT | POLLRDNORM | POLLPRI, 0};
    CHECK_RET(poll(&p, 1, 0), 1);
    CHECK_EQ(p.revents, POLLIN | POLLOUT | POLLRDNORM);
    p = (struct pollfd){OK(epoll_create1(0)), POLLIN | POLLOUT, 0};
    CHECK_RET(poll(&p, 1, 0), 0);
    p = (struct pollfd){OK(eventfd(1, 0)), POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM, 0};
    CHECK_RET(poll(&p, 1, 0), 1);
    CHECK_EQ(p.revents, POLLIN | POLLOUT);
    p = (struct pollfd){OK(timerfd_create(CLOCK_MONOTONIC, 0)), POLLIN | POLLOUT, 0};
    CHECK_RET(poll(&p, 1, 0), 0);
}

static void select_errors(void)
{
    fd_set r;
    struct timeval tv = {0, 0}, neg = {-1, 0}, nu = {0, -1}, big = {0, 1000000};
    FD_ZERO(&r);
    CHECK_RET(select(-1, &r, NULL, NULL, &tv), -EINVAL);
    CHECK_RET(select(0, NULL, NULL, NULL, &tv), 0);
    CHECK_RET(select(0, NULL, NULL, NULL, &neg), -EINVAL);
    CHECK_RET(select(0, NULL, NULL, NULL, &nu), -EINVAL);
    FD_SET(40, &r);
    CHECK_RET(select(41, &r, NULL, NULL, &tv), -EBADF);
    CHECK_RET(select(40, &r, NULL, NULL, &tv), 0);
    CHECK_RET(select(5, BAD, NULL, NULL, &tv), -EFAULT);
    CHECK_RET(syscall(SYS_select, 5, NULL, NULL, NULL, BAD), -EFAULT);
    int q[2];
    OK(pipe(q));
    FD_ZERO(&r);
    FD_SET(q[0], &r);
    tv = (struct timeval){0, 20000};
    CHECK_RET(select(q[0] + 1, &r, NULL, NULL, &tv), 0);
    CHECK_EQ(FD_ISSET(q[0], &r), 0);
    CHECK_EQ(tv.tv_sec, 0);
    CHECK_EQ(tv.tv_usec, 0);
    OK(write(q[1], "x", 1));
    FD_SET(q[0], &r);
    fd_set w = r, e = r;
    FD_SET(q[1], &w);
    tv = (struct timeval){100, 0};
    CHECK_RET(select(q[1] + 1, &r, &w, &e, &tv), 2);
    CHECK(FD_ISSET(q[0], &r) && FD_ISSET(q[1], &w) && !FD_ISSET(q[0], &w) && !FD_ISSET(q[0], &e));
    CHECK(tv.tv_sec == 99 && tv.tv_usec > 0);
    CHECK_RET(syscall(SYS_select, 1, NULL, NULL, NULL, &big), 0);
    struct timespec ts = {0, 1000000000}, ok = {0, 0};
    CHECK_RET(pselect(0, NULL, NULL, NULL, &ts, NULL), -EINVAL);
    ts = (struct timespec){-1, 0};
    CHECK_RET(pselect(0, NULL, NULL, NULL, &ts, NULL), -EINVAL);
    struct {
        void *p;
        size_t n;
    } six = {&r, 4};
    CHECK_RET(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &ok, &six), -EINVAL);
    CHECK_RET(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &ok, BAD), -EFAULT);
    six.p = BAD, six.n = 8;
    CHECK_RET(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &ok, &six), -EFAULT);
    six.p = NULL, six.n = 3;
    CHECK_RET(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &ok, &six), 0);
}

static volatile int g_hits;
static void on_alarm(int sig)
{
    g_hits++;
}

static void alarm_in(int ms)
{
    struct itimerval it = {{0, 0}, {0, ms * 1000}};
    OK(setitimer(ITIMER_REAL, &it, NULL));
}

static void signals_interrupt_waits(void)
{
    int ep = OK(epoll_create1(0));
    struct epoll_event ev;
    sigset_t none;
    sigemptyset(&none);
    for (int restart = 0; restart < 2; restart++) {
        handle(SIGALRM, on_alarm, restart ? SA_RESTART : 0);
        struct timeval tv = {50, 0};
        struct timespec ts = {50, 0};
        alarm_in(20);
        CHECK_RET(poll(NULL, 0, -1), -EINTR);
        alarm_in(20);
        CHECK_RET(select(0, NULL, NULL, NULL, &tv), -EINTR);
        CHECK(tv.tv_sec == 49);
        alarm_in(20);
        CHECK_RET(syscall(SYS_ppoll, NULL, 0, &ts, NULL, 8), -EINTR);
        CHECK(ts.tv_sec == 49);
        ts = (struct timespec){50, 0};
        alarm_in(20);
        CHECK_RET(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &ts, NULL), -EINTR);
        CHECK(ts.tv_sec == 49);
        alarm_in(20);
        CHECK_RET(epoll_wait(ep, &ev, 1, -1), -EINTR);
        alarm_in(20);
        CHECK_RET(epoll_pwait(ep, &ev, 1, -1, &none), -EINTR);
    }
    CHECK_EQ(g_hits, 12);
    sig_block(SIG_BLOCK, SIGALRM);
    alarm_in(10);
    CHECK_RET(ppoll(NULL, 0, NULL, &none), -EINTR);
    CHECK_EQ(g_hits, 13);
    alarm_in(10);
    CHECK_RET(pselect(0, NULL, NULL, NULL, NULL, &none), -EINTR);
    CHECK_EQ(g_hits, 14);
    alarm_in(10);
    CHECK_RET(epoll_pwait(ep, &ev, 1, -1, &none), -EINTR);
    CHECK_EQ(g_hits, 15);
    struct timespec zero = {0, 0};
    raise(SIGALRM);
    CHECK_RET(ppoll(NULL, 0, &zero, &none), -EINTR);
    CHECK_EQ(g_hits, 16);
}

static void epoll_errors(void)
{
    int ep = OK(epoll_create1(0)), q[2], fd = OK(open("f", O_RDWR | O_CREAT, 0600));
    struct epoll_event ev = {.events = EPOLLIN, .data.u64 = 1}, out[4];
    OK(pipe(q));
    CHECK_RET(epoll_create(0), -EINVAL);
    CHECK_RET(epoll_create(-1), -EINVAL);
    CHECK_RET(epoll_create1(1), -EINVAL);
    CHECK_RET(fcntl(OK(epoll_create1(EPOLL_CLOEXEC)), F_GETFD), 1);
    CHECK_RET(epoll_ctl(-1, EPOLL_CTL_ADD, q[0], &ev), -EBADF);
    CHECK_RET(epoll_ctl(ep, EPOLL_CTL_ADD, -1, &ev), -EBADF);
    CHECK_RET(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev), -EPERM);
    CHECK_RET(epoll_ctl(ep, EPOLL_CTL_ADD, OK(open(".", O_RDONLY)), &ev), -EPERM);
    CHECK_RET(epoll_ctl(ep, EPOLL_CTL_ADD, ep, &ev), -EINVAL);
    CHECK_RET(epoll_ctl(q[0], EPOLL_CTL_ADD, q[1], &ev), -EINVAL);
    CHECK_RET(epoll_ctl(ep, 99, q[0], &ev), -EINVAL);
    CHECK_RET(epoll_ctl(ep, EPOLL_CTL_ADD, q[0], BAD), -EFAULT);
    CHECK_RET(epoll_ctl(ep, EPOLL_CTL_ADD, q[0], NULL), -EFAULT);
    CHECK_RET(epoll_ctl(ep, EPOLL_CTL_MOD, q[0], &ev), -ENOENT);
    CHECK_RET(epoll_ctl(ep, EPOLL_CTL_DEL, q[0], NULL), -ENOENT);
    CHECK_RET(epoll_ctl(ep, EPOLL_CTL_ADD, q[0], &ev), 0);
    CHECK_RET(epoll_ctl(ep, EPOLL_CTL_ADD, q[0], &ev), -EEXIST);
    CHECK_RET(epoll_ctl(ep, EPOLL_CTL_DEL, q[0], NULL), 0);
    CHECK_RET(epoll_wait(-1, out, 4, 0), -EBADF);
    CHECK_RET(epoll_wait(fd, out, 4, 0), -EINVAL);
    CHECK_RET(epoll_wait(ep, out, 0, 0), -EINVAL);
    CHECK_RET(epoll_wait(ep, out, -1, 0), -EINVAL);
    CHECK_RET(epoll_wait(ep, BAD, 4, 0), -EFAULT);
    CHECK_RET(epoll_wait(ep, NULL, 4, 0), 0);
    CHECK_RET(epoll_wait(ep, out, INT_MAX, 0), -EINVAL);
    CHECK_RET(epoll_pwait(ep, out, 4, 0, NULL), 0);
    CHECK_RET(syscall(SYS_epoll_pwait, ep, out, 4, 0, &ev, 4), -EINVAL);
    CHECK_RET(syscall(SYS_epoll_pwait, ep, out, 4, 0, BAD, 8), -EFAULT);
    struct timespec ts = {0, 1000000000}, zero = {0, 0};
    CHECK_RET(syscall(441, ep, out, 4, &ts, NULL, 8), -EINVAL);
    CHECK_RET(syscall(441, ep, out, 4, BAD, NULL, 8), -EFAULT);
    CHECK_RET(syscall(441, ep, out, 4, &zero, NULL, 8), 0);
    ev.events = EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT;
    CHECK_RET(epoll_ctl(ep, EPOLL_CTL_ADD, q[0], &ev), -EINVAL);
    ev.events = EPOLLIN | EPOLLEXCLUSIVE;
    CHECK_RET(epoll_ctl(ep, EPOLL_CTL_ADD, q[0], &ev), 0);
    CHECK_RET(epoll_ctl(ep, EPOLL_CTL_MOD, q[0], &ev), -EINVAL);
    ev.events = EPOLLIN;
    CHECK_RET(epoll_ctl(ep, EPOLL_CTL_MOD, q[0], &ev), -EINVAL);
    int other = OK(epoll_create1(0));
    ev.events = EPOLLIN | EPOLLEXCLUSIVE;
    CHECK_RET(epoll_ctl(ep, EPOLL_CTL_ADD, other, &ev), -EINVAL);
    ev.events = EPOLLIN;
    CHECK_RET(epoll_ctl(other, EPOLL_CTL_ADD, ep, &ev), 0);
    CHECK_RET(epoll_ctl(ep, EPOLL_CTL_ADD, other, &ev), -ELOOP);
    OK(write(q[1], "x", 1));
    char *ro = OK(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    CHECK_RET(epoll_wait(ep, (void *)ro, 1, 0), -EFAULT);
}

static void epoll_users_are_limited(void)
{
    char b[32];
    read_file("/proc/sys/fs/epoll/max_user_watches", b, sizeof(b));
    CHECK(atol(b) > 0);
}

/* ---- fifos ---- */

static void *open_reader(void *arg)
{
    return (void *)(long)open("p", O_RDONLY);
}

static void fifo_opening(void)
{
    pthread_t th;
    void *res;
    OK(mkfifo("p", 0600));
    CHECK_RET(open("p", O_WRONLY | O_NONBLOCK), -ENXIO);
    int rd = OK(open("p", O_RDONLY | O_NONBLOCK));
    char b[8];
    CHECK_RET(read(rd, b, 8), 0);
    struct pollfd p = {rd, POLLIN, 0};
    CHECK_RET(poll(&p, 1, 0), 0);
    int wr = OK(open("p", O_WRONLY | O_NONBLOCK));
    CHECK_RET(read(rd, b, 8), -EAGAIN);
    OK(close(wr));
    CHECK_RET(poll(&p, 1, 0), 1);
    CHECK_EQ(p.revents, POLLHUP);
    CHECK_RET(read(rd, b, 8), 0);
    OK(close(rd));
    int both = OK(open("p", O_RDWR));
    OK(write(both, "abc", 3));
    CHECK_RET(read(both, b, 8), 3);
    OK(close(both));
    CHECK_ZERO(pthread_create(&th, NULL, open_reader, NULL));
    wr = OK(open("p", O_WRONLY));
    CHECK_ZERO(pthread_join(th, &res));
    CHECK((long)res >= 0);
    OK(write(wr, "x", 1));
    CHECK_RET(read((int)(long)res, b, 8), 1);
    OK(close((int)(long)res));
    signal(SIGPIPE, SIG_IGN);
    CHECK_RET(write(wr, "x", 1), -EPIPE);
    handle(SIGALRM, on_alarm, 0);
    OK(close(wr));
    alarm_in(20);
    CHECK_RET(open("p", O_RDONLY), -EINTR);
    alarm_in(20);
    CHECK_RET(open("p", O_WRONLY), -EINTR);
    CHECK_RET(open("p", O_RDONLY | O_DIRECTORY), -ENOTDIR);
    CHECK_RET(truncate("p", 0), -EINVAL);
    CHECK_RET(lseek(OK(open("p", O_RDWR)), 0, SEEK_SET), -ESPIPE);
    struct stat st;
    OK(stat("p", &st));
    CHECK_EQ(st.st_mode, S_IFIFO | 0600);
    CHECK_EQ(st.st_size, 0);
}

static void atomic_and_partial_writes(void)
{
    int q[2];
    static char b[70000];
    OK(pipe2(q, O_NONBLOCK));
    CHECK_RET(write(q[1], b, 70000), 65536);
    CHECK_RET(write(q[1], b, 1), -EAGAIN);
    CHECK_RET(read(q[0], b, 4095), 4095);
    CHECK_RET(write(q[1], b, 1), -EAGAIN);
    CHECK_RET(read(q[0], b, 1), 1);
    CHECK_RET(write(q[1], b, 4096), 4096);
    CHECK_RET(read(q[0], b, 4096), 4096);
    CHECK_RET(write(q[1], b, 5000), 4096);
    CHECK_RET(read(q[0], b, 70000), 65536);
    CHECK_RET(read(q[0], b, 70000), -EAGAIN);
}

static void packets(void)
{
    int q[2];
    char b[8192];
    OK(pipe2(q, O_DIRECT | O_NONBLOCK));
    OK(write(q[1], "abc", 3));
    OK(write(q[1], "defg", 4));
    CHECK_RET(read(q[0], b, 2), 2);
    CHECK_RET(read(q[0], b, 8), 4);
    CHECK_RET(write(q[1], b, 5000), 5000);
    CHECK_RET(read(q[0], b, 8192), 4096);
    CHECK_RET(read(q[0], b, 8192), 904);
    for (int i = 0; i < 16; i++)
        CHECK_RET(write(q[1], "x", 1), 1);
    CHECK_RET(write(q[1], "x", 1), -EAGAIN);
    CHECK_RET(write(q[1], "x", 0), 0);
}

/* ---- timerfd, signalfd, eventfd: arguments ---- */

static void timerfd_errors(void)
{
    int tf = OK(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK)), fd = OK(open("f", O_CREAT | O_RDWR, 0600));
    struct itimerspec its = {{0, 0}, {0, 1000000000}}, old;
    CHECK_RET(timerfd_settime(tf, 0, &its, NULL), -EINVAL);
    its.it_value.tv_nsec = -1;
    CHECK_RET(timerfd_settime(tf, 0, &its, NULL), -EINVAL);
    its.it_value = (struct timespec){-1, 0};
    CHECK_RET(timerfd_settime(tf, 0, &its, NULL), -EINVAL);
    its.it_value = (struct timespec){100, 0};
    CHECK_RET(timerfd_settime(tf, 4, &its, NULL), -EINVAL);
    CHECK_RET(timerfd_settime(-1, 0, &its, NULL), -EBADF);
    CHECK_RET(timerfd_settime(fd, 0, &its, NULL), -EINVAL);
    CHECK_RET(timerfd_settime(tf, 0, BAD, NULL), -EFAULT);
    CHECK_RET(timerfd_settime(tf, 0, &its, BAD), -EFAULT);
    CHECK_RET(timerfd_settime(tf, 0, &its, &old), 0);
    CHECK(old.it_value.tv_sec == 99);
    CHECK_RET(timerfd_gettime(-1, &old), -EBADF);
    CHECK_RET(timerfd_gettime(fd, &old), -EINVAL);
    CHECK_RET(timerfd_gettime(tf, BAD), -EFAULT);
    CHECK_RET(timerfd_gettime(tf, &old), 0);
    CHECK_EQ(old.it_value.tv_sec, 99);
    memset(&its, 0, sizeof(its));
    CHECK_RET(timerfd_settime(tf, 0, &its, NULL), 0);
    CHECK_RET(timerfd_gettime(tf, &old), 0);
    CHECK(old.it_value.tv_sec == 0 && old.it_value.tv_nsec == 0);
    uint64_t n = 3;
    CHECK_RET(ioctl(tf, 0x40085400 /* TFD_IOC_SET_TICKS */, &n), 0);
    CHECK_RET(read(tf, &n, 8), 8);
    CHECK_EQ(n, 3);
    n = 0;
    CHECK_RET(ioctl(tf, 0x40085400, &n), -EINVAL);
    CHECK_RET(ioctl(tf, 0x40085400, BAD), -EFAULT);
    CHECK_RET(ioctl(tf, 0x5401, &n), -ENOTTY);
    int rt = OK(timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK));
    its.it_value.tv_sec = 1;
    CHECK_RET(timerfd_settime(rt, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &its, NULL), 0);
    CHECK_RET(read(rt, &n, 8), 8);
    CHECK_RET(timerfd_settime(rt, TFD_TIMER_CANCEL_ON_SET, &its, NULL), 0);
}

static void signalfd_errors(void)
{
    sigset_t s;
    sigemptyset(&s);
    sigaddset(&s, SIGUSR1);
    CHECK_RET(signalfd(-2, &s, 0), -EBADF);
    CHECK_RET(signalfd(999, &s, 0), -EBADF);
    CHECK_RET(signalfd(OK(eventfd(0, 0)), &s, 0), -EINVAL);
    CHECK_RET(signalfd(-1, &s, 1), -EINVAL);
    CHECK_RET(syscall(SYS_signalfd4, -1, &s, 4, 0), -EINVAL);
    CHECK_RET(syscall(SYS_signalfd4, -1, BAD, 8, 0), -EFAULT);
    int fd = OK(signalfd(-1, &s, SFD_NONBLOCK | SFD_CLOEXEC));
    CHECK_RET(fcntl(fd, F_GETFD), 1);
    CHECK_RET(signalfd(fd, &s, 0), fd);
    sig_block(SIG_BLOCK, SIGUSR1);
    OK(kill(getpid(), SIGUSR1));
    struct signalfd_siginfo si[2];
    CHECK_RET(read(fd, si, sizeof(si)), sizeof(si[0]));
    CHECK_EQ(si[0].ssi_signo, SIGUSR1);
    CHECK_EQ(si[0].ssi_pid, getpid());
    CHECK_EQ(si[0].ssi_code, SI_USER);
    CHECK_RET(read(fd, si, sizeof(si)), -EAGAIN);
    union sigval v = {.sival_int = 77};
    OK(sigqueue(getpid(), SIGUSR1, v));
    CHECK_RET(read(fd, si, sizeof(si)), sizeof(si[0]));
    CHECK_EQ(si[0].ssi_int, 77);
    CHECK_EQ(si[0].ssi_code, SI_QUEUE);
}

GUEST_MAIN(C(poll_errors), C(poll_bits), C(select_errors), C(signals_interrupt_waits),
           C(epoll_errors), C(epoll_users_are_limited), C(fifo_opening),
           C(atomic_and_partial_writes), C(packets), C(timerfd_errors), C(signalfd_errors))
