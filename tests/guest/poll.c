/* poll(2), ppoll, select(2), pselect. */
#include "guest.h"
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/select.h>

static int g_fd[2];

static void timeouts(void)
{
    int64_t t = now_ns();
    CHECK_EQ(OK(poll(NULL, 0, 40)), 0);
    t = now_ns() - t;
    CHECK(t >= 40000000 && t < 2000000000);
    struct timeval tv = {0, 40000};
    t = now_ns();
    CHECK_EQ(OK(select(0, NULL, NULL, NULL, &tv)), 0);
    CHECK(now_ns() - t >= 40000000);
    CHECK_EQ(tv.tv_sec * 1000000 + tv.tv_usec, 0); /* Linux writes back what is left */
}

static void bad_fd_is_pollnval(void)
{
    struct pollfd p[3] = {{999, POLLIN, 0}, {-1, POLLIN, 77}, {-5, 0, 1}};
    CHECK_EQ(OK(poll(p, 3, -1)), 1);
    CHECK_EQ(p[0].revents, POLLNVAL);
    CHECK_EQ(p[1].revents, 0);
    CHECK_EQ(p[2].revents, 0);
}

static void wakes_on_write(void)
{
    OK(pipe(g_fd));
    pid_t c = OK(fork());
    if (!c) {
        sleep_ms(40);
        _exit(write(g_fd[1], "x", 1) != 1);
    }
    struct pollfd p = {g_fd[0], POLLIN, 0};
    int64_t t = now_ns();
    CHECK_EQ(OK(poll(&p, 1, 5000)), 1);
    CHECK(now_ns() - t < 4000000000);
    CHECK_EQ(p.revents, POLLIN);
    WAIT_EXIT(c, 0);
    close(g_fd[0]);
    close(g_fd[1]);
}

static void regular_files_are_ready(void)
{
    write_file("f", "", 0);
    struct pollfd p = {OK(open("f", O_RDWR)), POLLIN | POLLOUT | POLLPRI, 0};
    CHECK_EQ(OK(poll(&p, 1, 0)), 1);
    CHECK_EQ(p.revents, POLLIN | POLLOUT);
    close(p.fd);
}

static void bad_arguments(void)
{
    struct pollfd p = {0, 0, 0};
    struct timespec ts = {0, 2000000000};
    CHECK_ERR(poll((void *)8, 1, 0), EFAULT);
    CHECK_ERR(syscall(SYS_poll, &p, 1u << 31, 0), EINVAL);
    CHECK_ERR(ppoll(&p, 1, &ts, NULL), EINVAL);
    fd_set s;
    FD_ZERO(&s);
    FD_SET(50, &s);
    struct timeval tv = {0, 0};
    CHECK_ERR(select(51, &s, NULL, NULL, &tv), EBADF);
    CHECK_ERR(syscall(SYS_select, -1, NULL, NULL, NULL, &tv), EINVAL);
    tv.tv_sec = -1;
    CHECK_ERR(syscall(SYS_select, 0, NULL, NULL, NULL, &tv), EINVAL);
    CHECK_ERR(syscall(SYS_select, 4, 8L, NULL, NULL, NULL), EFAULT);
    struct rlimit rl;
    OK(getrlimit(RLIMIT_NOFILE, &rl));
    CHECK_ERR(syscall(SYS_poll, &p, rl.rlim_cur + 1, 0), EINVAL);
}

static void select_sets(void)
{
    fd_set r, w;
    OK(pipe(g_fd));
    struct timeval tv = {0, 0};
    FD_ZERO(&r);
    FD_ZERO(&w);
    FD_SET(g_fd[0], &r), FD_SET(g_fd[1], &w);
    CHECK_EQ(OK(select(g_fd[1] + 1, &r, &w, NULL, &tv)), 1);
    CHECK(!FD_ISSET(g_fd[0], &r) && FD_ISSET(g_fd[1], &w));
    OK(write(g_fd[1], "x", 1));
    FD_SET(g_fd[0], &r);
    CHECK_EQ(OK(select(g_fd[1] + 1, &r, &w, NULL, NULL)), 2);
    CHECK(FD_ISSET(g_fd[0], &r) && FD_ISSET(g_fd[1], &w));
    close(g_fd[0]);
    close(g_fd[1]);
}

static volatile int g_got;

static void on_sig(int sig)
{
    g_got++;
}

static void signal_interrupts(void)
{
    struct itimerval it = {{0, 0}, {0, 30000}};
    struct pollfd p = {-1, 0, 0};
    handle(SIGALRM, on_sig, SA_RESTART); /* poll and select are never restarted */
    OK(setitimer(ITIMER_REAL, &it, NULL));
    CHECK_ERR(poll(&p, 1, 5000), EINTR);
    OK(setitimer(ITIMER_REAL, &it, NULL));
    struct timeval tv = {5, 0};
    CHECK_ERR(select(0, NULL, NULL, NULL, &tv), EINTR);
    CHECK(tv.tv_sec == 4);
}

static void ppoll_mask(void)
{
    sigset_t none, now;
    struct timespec ts = {5, 0};
    sigemptyset(&none);
    g_got = 0;
    handle(SIGUSR1, on_sig, 0);
    sig_block(SIG_BLOCK, SIGUSR1);
    raise(SIGUSR1);
    CHECK_EQ(g_got, 0);
    CHECK_ERR(ppoll(NULL, 0, &ts, &none), EINTR);
    CHECK_EQ(g_got, 1);
    sigprocmask(0, NULL, &now);
    CHECK(sigismember(&now, SIGUSR1)); /* the old mask is back */
    raise(SIGUSR1);
    CHECK_ERR(pselect(0, NULL, NULL, NULL, &ts, &none), EINTR);
    CHECK_EQ(g_got, 2);
    raise(SIGUSR1);
    ts = (struct timespec){0, 1000000};
    CHECK_EQ(ppoll(NULL, 0, &ts, NULL), 0); /* no mask given: stays blocked */
    CHECK_EQ(g_got, 2);
}

static void ready_wins_over_pending_signal(void)
{
    sigset_t none;
    sigemptyset(&none);
    g_got = 0;
    OK(pipe(g_fd));
    handle(SIGUSR1, on_sig, 0);
    sig_block(SIG_BLOCK, SIGUSR1);
    raise(SIGUSR1);
    struct pollfd p = {g_fd[1], POLLOUT, 0};
    CHECK_EQ(OK(ppoll(&p, 1, NULL, &none)), 1);
    close(g_fd[0]);
    close(g_fd[1]);
}

static void many_fds(void)
{
    enum { N = 300 };
    static struct pollfd p[N];
    for (int i = 0; i < N; i++)
        p[i] = (struct pollfd){OK(eventfd(0, 0)), POLLIN, 0};
    CHECK_EQ(OK(poll(p, N, 0)), 0);
    uint64_t one = 1;
    OK(write(p[123].fd, &one, 8));
    OK(write(p[299].fd, &one, 8));
    CHECK_EQ(OK(poll(p, N, -1)), 2);
    CHECK(p[123].revents == POLLIN && p[299].revents == POLLIN && p[0].revents == 0);
    for (int i = 0; i < N; i++)
        close(p[i].fd);
}

static void *poll_in_thread(void *arg)
{
    struct pollfd p = {g_fd[0], POLLIN, 0};
    return (void *)(intptr_t)(poll(&p, 1, 5000) == 1 && p.revents);
}

static void several_pollers(void)
{
    pthread_t t[5];
    OK(pipe(g_fd));
    for (int i = 0; i < 5; i++)
        CHECK_ZERO(pthread_create(&t[i], NULL, poll_in_thread, NULL));
    sleep_ms(40);
    OK(write(g_fd[1], "x", 1));
    for (int i = 0; i < 5; i++) {
        void *r;
        CHECK_ZERO(pthread_join(t[i], &r));
        CHECK(r != NULL);
    }
    close(g_fd[0]);
    close(g_fd[1]);
}

GUEST_MAIN(C(timeouts), C(bad_fd_is_pollnval), C(wakes_on_write), C(regular_files_are_ready), C(bad_arguments),
           C(select_sets), C(signal_interrupts), C(ppoll_mask), C(ready_wins_over_pending_signal), C(many_fds),
           C(several_pollers))
