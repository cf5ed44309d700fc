/* A signal in the middle of every call that blocks: EINTR without SA_RESTART; with it, what signal(7) says. */
#include "guest.h"
#include <linux/futex.h>
#include <mqueue.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>

static volatile int g_hits;
static int g_fd[2];
static char g_buf[1 << 20];

static void on_alarm(int sig)
{
    g_hits++;
}

/* Makes a blocked call ready a little after the signal, so that a restarted one ends. */
static pid_t later(void (*fn)(void))
{
    pid_t p = OK(fork());
    if (!p) {
        sleep_ms(120);
        fn();
        _exit(0);
    }
    return p;
}

static void alarm_in_40ms(int flags)
{
    struct itimerval it = {{0, 0}, {0, 40000}};
    g_hits = 0;
    handle(SIGALRM, on_alarm, flags);
    OK(setitimer(ITIMER_REAL, &it, NULL));
}

#define INTERRUPTED(call)                                                                          \
    do {                                                                                           \
        alarm_in_40ms(0);                                                                          \
        CHECK_ERR(call, EINTR);                                                                    \
        CHECK_EQ(g_hits, 1);                                                                       \
    } while (0)
#define NEVER_RESTARTED(call)                                                                      \
    do {                                                                                           \
        INTERRUPTED(call);                                                                         \
        alarm_in_40ms(SA_RESTART);                                                                 \
        CHECK_ERR(call, EINTR);                                                                    \
        CHECK_EQ(g_hits, 1);                                                                       \
    } while (0)
#define RESTARTED(call, want, make_ready)                                                          \
    do {                                                                                           \
        INTERRUPTED(call);                                                                         \
        pid_t helper_ = later(make_ready);                                                         \
        alarm_in_40ms(SA_RESTART);                                                                 \
        CHECK_EQ(OK(call), want);                                                                  \
        CHECK_EQ(g_hits, 1);                                                                       \
        WAIT_EXIT(helper_, 0);                                                                     \
    } while (0)

static void put_byte(void)
{
    write(g_fd[1], "x", 1);
}

static void drain(void)
{
    read(g_fd[0], g_buf, sizeof(g_buf));
}

static void pipe_read(void)
{
    OK(pipe(g_fd));
    RESTARTED(read(g_fd[0], g_buf, 1), 1, put_byte);
}

static void pipe_readv(void)
{
    struct {
        void *p;
        size_t n;
    } v = {g_buf, 1};
    OK(pipe(g_fd));
    RESTARTED(syscall(SYS_readv, g_fd[0], &v, 1), 1, put_byte);
}

static void pipe_write(void)
{
    OK(pipe(g_fd));
    OK(write(g_fd[1], g_buf, 65536));
    RESTARTED(write(g_fd[1], g_buf, 10), 10, drain);
}

static void pipe_partial_write(void)
{
    OK(pipe(g_fd));
    alarm_in_40ms(0);
    CHECK_EQ(write(g_fd[1], g_buf, 100000), 65536); /* a part was taken: that is the answer */
    CHECK_EQ(g_hits, 1);
}

static void open_writer(void)
{
    close(open("ff", O_WRONLY));
}

static void fifo_open(void)
{
    OK(mkfifo("ff", 0600));
    INTERRUPTED(open("ff", O_RDONLY));
    pid_t p = later(open_writer);
    alarm_in_40ms(SA_RESTART);
    close(OK(open("ff", O_RDONLY)));
    CHECK_EQ(g_hits, 1);
    WAIT_EXIT(p, 0);
}

static void send_byte(void)
{
    send(g_fd[1], "x", 1, 0);
}

static void socket_recv(void)
{
    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, g_fd));
    RESTARTED(recv(g_fd[0], g_buf, 1, 0), 1, send_byte);
    struct iovec {
        void *p;
        size_t n;
    } v = {g_buf, 1};
    struct msghdr m = {.msg_iov = (void *)&v, .msg_iovlen = 1};
    RESTARTED(recvmsg(g_fd[0], &m, 0), 1, send_byte);
}

static void socket_recv_with_timeout_option(void)
{
    struct timeval tv = {5, 0};
    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, g_fd));
    OK(setsockopt(g_fd[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
    NEVER_RESTARTED(recv(g_fd[0], g_buf, 1, 0));
}

static void connect_late(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "sock"};
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    connect(s, (void *)&a, sizeof(a));
}

static void socket_accept(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "sock"};
    int s = OK(socket(AF_UNIX, SOCK_STREAM, 0));
    OK(bind(s, (void *)&a, sizeof(a)));
    OK(listen(s, 5));
    INTERRUPTED(accept(s, NULL, NULL));
    pid_t p = later(connect_late);
    alarm_in_40ms(SA_RESTART);
    close(OK(accept(s, NULL, NULL)));
    CHECK_EQ(g_hits, 1);
    WAIT_EXIT(p, 0);
}

static void add_one(void)
{
    uint64_t one = 1;
    write(g_fd[0], &one, 8);
}

static void eventfd_reading(void)
{
    g_fd[0] = OK(eventfd(0, 0));
    RESTARTED(read(g_fd[0], g_buf, 8), 8, add_one);
}

static void timerfd_reading(void)
{
    int fd = OK(timerfd_create(CLOCK_MONOTONIC, 0));
    INTERRUPTED(read(fd, g_buf, 8));
    struct itimerspec it = {{0, 0}, {0, 100000000}};
    OK(timerfd_settime(fd, 0, &it, NULL));
    alarm_in_40ms(SA_RESTART);
    CHECK_EQ(OK(read(fd, g_buf, 8)), 8);
    CHECK_EQ(g_hits, 1);
}

static void inotify_read(void)
{
    int fd = OK(inotify_init());
    INTERRUPTED(read(fd, g_buf, 500));
}

static void nothing_ready(void)
{
    struct pollfd p = {-1, 0, 0};
    struct epoll_event e;
    struct timespec ts = {5, 0};
    int ep = OK(epoll_create1(0));
    NEVER_RESTARTED(poll(&p, 1, -1));
    NEVER_RESTARTED(ppoll(&p, 1, &ts, NULL));
    NEVER_RESTARTED(select(0, NULL, NULL, NULL, NULL));
    NEVER_RESTARTED(epoll_wait(ep, &e, 1, -1));
    NEVER_RESTARTED(pause());
}

static void sleeps(void)
{
    struct timespec ts = {5, 0}, left = {0, 0};
    NEVER_RESTARTED(nanosleep(&ts, &left));
    CHECK(left.tv_sec == 4 && left.tv_nsec > 800000000);
    alarm_in_40ms(0);
    CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, &left), EINTR);
    CHECK(left.tv_sec == 4);
    clock_gettime(CLOCK_REALTIME, &ts);
    ts.tv_sec += 5;
    left.tv_sec = 77;
    alarm_in_40ms(0);
    CHECK_EQ(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &ts, &left), EINTR);
    CHECK_EQ(left.tv_sec, 77); /* absolute: not touched */
}

static void waits(void)
{
    pid_t p = OK(fork());
    if (!p) {
        sleep_ms(700);
        _exit(5);
    }
    int st;
    INTERRUPTED(waitpid(p, &st, 0));
    siginfo_t si;
    INTERRUPTED(waitid(P_PID, p, &si, WEXITED));
    alarm_in_40ms(SA_RESTART);
    CHECK_EQ(OK(waitpid(p, &st, 0)), p);
    CHECK_EQ(g_hits, 1);
}

static void locks(void)
{
    int a = OK(open("f", O_RDWR | O_CREAT, 0644)), b = OK(open("f", O_RDWR));
    OK(flock(a, LOCK_EX));
    INTERRUPTED(flock(b, LOCK_EX));
    struct flock l = {.l_type = F_WRLCK};
    OK(fcntl(a, F_OFD_SETLK, &l));
    struct flock l2 = {.l_type = F_WRLCK};
    INTERRUPTED(fcntl(b, F_OFD_SETLKW, &l2));
    close(a), close(b);
}

static void sysv_ipc(void)
{
    struct sembuf op = {0, -1, 0};
    struct {
        long type;
        char text[8];
    } m;
    int s = OK(semget(IPC_PRIVATE, 1, 0600)), q = OK(msgget(IPC_PRIVATE, 0600));
    NEVER_RESTARTED(semop(s, &op, 1));
    NEVER_RESTARTED(msgrcv(q, &m, 8, 0, 0));
    OK(semctl(s, 0, IPC_RMID));
    OK(msgctl(q, IPC_RMID, NULL));
}

static void handler_of_another_signal_does_not_end_it(void)
{
    /* an ignored signal, and one whose default is to be ignored, interrupt nothing */
    OK(pipe(g_fd));
    pid_t me = getpid(), p = OK(fork());
    if (!p) {
        sleep_ms(30);
        kill(me, SIGWINCH);
        kill(me, SIGUSR2);
        kill(me, SIGCONT);
        sleep_ms(30);
        put_byte();
        _exit(0);
    }
    handle(SIGUSR2, SIG_IGN, 0);
    CHECK_EQ(OK(read(g_fd[0], g_buf, 1)), 1);
    WAIT_EXIT(p, 0);
}

static void stop_and_continue_is_not_an_interruption(void)
{
    OK(pipe(g_fd));
    pid_t p = OK(fork());
    if (!p) {
        ssize_t n = read(g_fd[0], g_buf, 1);
        _exit(n == 1 ? 0 : errno);
    }
    wait_state(p, "S");
    int st;
    OK(kill(p, SIGSTOP));
    CHECK_EQ(OK(waitpid(p, &st, WUNTRACED)), p);
    OK(kill(p, SIGCONT));
    sleep_ms(20);
    put_byte();
    WAIT_EXIT(p, 0);
}

static void stop_in_a_sleep_keeps_the_time(void)
{
    int64_t start = now_ns();
    pid_t p = OK(fork());
    if (!p) {
        struct timespec ts = {0, 300000000};
        _exit(nanosleep(&ts, NULL) != 0);
    }
    int st;
    wait_state(p, "S");
    OK(kill(p, SIGSTOP));
    CHECK_EQ(OK(waitpid(p, &st, WUNTRACED)), p);
    OK(kill(p, SIGCONT));
    WAIT_EXIT(p, 0);
    int64_t t = now_ns() - start;
    CHECK(t >= 290000000 && t < 3000000000);
}

static void kill_ends_any_blocked_call(void)
{
    for (int kind = 0; kind < 6; kind++) {
        pid_t p = OK(fork());
        if (!p) {
            int f[2], word = 0;
            struct epoll_event e;
            pipe(f);
            switch (kind) {
            case 0: read(f[0], g_buf, 1); break;
            case 1: write(f[1], g_buf, 100000); break;
            case 2: syscall(SYS_futex, &word, FUTEX_WAIT, 0, NULL); break;
            case 3: epoll_wait(epoll_create1(0), &e, 1, -1); break;
            case 4: sleep_ms(100000); break;
            default:
                p = getpid();
                if (!vfork()) {
                    prctl(PR_SET_PDEATHSIG, SIGKILL);
                    while (getppid() == p) /* it may have died before the prctl */
                        sleep_ms(1000);
                    _exit(0);
                }
            }
            _exit(0);
        }
        wait_state(p, "SD");
        int64_t start = now_ns();
        OK(kill(p, SIGKILL));
        WAIT_SIGNAL(p, SIGKILL);
        CHECK(now_ns() - start < 1000000000);
    }
}

GUEST_MAIN(C(pipe_read), C(pipe_readv), C(pipe_write), C(pipe_partial_write), C(fifo_open), C(socket_recv),
           C(socket_recv_with_timeout_option), C(socket_accept), C(eventfd_reading), C(timerfd_reading), C(inotify_read),
           C(nothing_ready), C(sleeps), C(waits), C(locks), C(sysv_ipc), C(handler_of_another_signal_does_not_end_it),
           C(stop_and_continue_is_not_an_interruption), C(stop_in_a_sleep_keeps_the_time), C(kill_ends_any_blocked_call))
