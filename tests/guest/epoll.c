/* epoll(7). */
#include "guest.h"
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <poll.h>

static int g_ep, g_fd[2];

static void make(unsigned events)
{
    struct epoll_event e = {.events = events, .data.u64 = 0x1122334455667788};
    g_ep = OK(epoll_create1(0));
    OK(pipe2(g_fd, O_NONBLOCK));
    OK(epoll_ctl(g_ep, EPOLL_CTL_ADD, g_fd[0], &e));
}

static void done(void)
{
    close(g_ep);
    close(g_fd[0]);
    close(g_fd[1]);
}

static int wait_now(struct epoll_event *e)
{
    return OK(epoll_wait(g_ep, e, 8, 0));
}

static void level_triggered(void)
{
    struct epoll_event e[8];
    make(EPOLLIN);
    CHECK_EQ(wait_now(e), 0);
    OK(write(g_fd[1], "x", 1));
    CHECK_EQ(wait_now(e), 1);
    CHECK_EQ(e[0].events, EPOLLIN);
    CHECK(e[0].data.u64 == 0x1122334455667788);
    CHECK_EQ(wait_now(e), 1);
    char c;
    OK(read(g_fd[0], &c, 1));
    CHECK_EQ(wait_now(e), 0);
    done();
}

static void edge_triggered(void)
{
    struct epoll_event e[8];
    make(EPOLLIN | EPOLLET);
    OK(write(g_fd[1], "x", 1));
    CHECK_EQ(wait_now(e), 1);
    CHECK_EQ(wait_now(e), 0);
    OK(write(g_fd[1], "y", 1));
    CHECK_EQ(wait_now(e), 1); /* a new edge though not drained */
    CHECK_EQ(wait_now(e), 0);
    done();
}

static void oneshot(void)
{
    struct epoll_event e[8], m = {.events = EPOLLIN | EPOLLONESHOT};
    make(EPOLLIN | EPOLLONESHOT);
    OK(write(g_fd[1], "x", 1));
    CHECK_EQ(wait_now(e), 1);
    OK(write(g_fd[1], "x", 1));
    CHECK_EQ(wait_now(e), 0);
    OK(epoll_ctl(g_ep, EPOLL_CTL_MOD, g_fd[0], &m));
    CHECK_EQ(wait_now(e), 1);
    done();
}

static void hangup_is_always_told(void)
{
    struct epoll_event e[8];
    make(0);
    close(g_fd[1]);
    CHECK_EQ(wait_now(e), 1);
    CHECK_EQ(e[0].events, EPOLLHUP);
    close(g_ep);
    close(g_fd[0]);
}

static void ctl_errors(void)
{
    struct epoll_event e = {.events = EPOLLIN};
    make(EPOLLIN);
    CHECK_ERR(epoll_ctl(g_ep, EPOLL_CTL_ADD, g_fd[0], &e), EEXIST);
    CHECK_ERR(epoll_ctl(g_ep, EPOLL_CTL_MOD, g_fd[1], &e), ENOENT);
    CHECK_ERR(epoll_ctl(g_ep, EPOLL_CTL_DEL, g_fd[1], &e), ENOENT);
    CHECK_ERR(epoll_ctl(g_ep, 99, g_fd[0], &e), EINVAL);
    CHECK_ERR(epoll_ctl(g_ep, EPOLL_CTL_ADD, 999, &e), EBADF);
    CHECK_ERR(epoll_ctl(999, EPOLL_CTL_ADD, g_fd[0], &e), EBADF);
    CHECK_ERR(epoll_ctl(g_fd[0], EPOLL_CTL_ADD, g_fd[1], &e), EINVAL);
    CHECK_ERR(epoll_ctl(g_ep, EPOLL_CTL_ADD, g_ep, &e), EINVAL);
    CHECK_ERR(epoll_ctl(g_ep, EPOLL_CTL_ADD, g_fd[1], (void *)8), EFAULT);
    write_file("f", "", 0);
    int f = OK(open("f", O_RDONLY));
    CHECK_ERR(epoll_ctl(g_ep, EPOLL_CTL_ADD, f, &e), EPERM);
    close(f);
    CHECK_ERR(epoll_wait(g_ep, &e, 0, 0), EINVAL);
    CHECK_ERR(epoll_wait(g_ep, (void *)0xffff800000000000ul, 1, 0), EFAULT);
    CHECK_ERR(epoll_wait(g_fd[0], &e, 1, 0), EINVAL);
    CHECK_ERR(epoll_create(0), EINVAL);
    CHECK_ERR(epoll_create1(0x10), EINVAL);
    done();
}

static void closing_removes(void)
{
    struct epoll_event e[8];
    make(EPOLLIN);
    OK(write(g_fd[1], "x", 1));
    int copy = OK(dup(g_fd[0]));
    close(g_fd[0]);
    CHECK_EQ(wait_now(e), 1); /* the description is still open */
    close(copy);
    CHECK_EQ(wait_now(e), 0);
    close(g_ep);
    close(g_fd[1]);
}

static void nested(void)
{
    struct epoll_event e[8], in = {.events = EPOLLIN, .data.fd = 5};
    make(EPOLLIN);
    int outer = OK(epoll_create1(EPOLL_CLOEXEC));
    OK(epoll_ctl(outer, EPOLL_CTL_ADD, g_ep, &in));
    CHECK_EQ(epoll_wait(outer, e, 8, 0), 0);
    OK(write(g_fd[1], "x", 1));
    CHECK_EQ(epoll_wait(outer, e, 8, 1000), 1);
    CHECK_EQ(e[0].data.fd, 5);
    CHECK_ERR(epoll_ctl(g_ep, EPOLL_CTL_ADD, outer, &in), ELOOP);
    struct pollfd p = {outer, POLLIN, 0};
    CHECK_EQ(poll(&p, 1, 0), 1);
    close(outer);
    done();
}

static void too_deep_nesting(void)
{
    int ep[8];
    struct epoll_event in = {.events = EPOLLIN};
    for (int i = 0; i < 8; i++)
        ep[i] = OK(epoll_create1(0));
    int failed_at = -1;
    for (int i = 1; i < 8 && failed_at < 0; i++)
        if (epoll_ctl(ep[i], EPOLL_CTL_ADD, ep[i - 1], &in)) {
            CHECK(errno == ELOOP || errno == EINVAL);
            failed_at = i;
        }
    CHECK(failed_at > 3);
    for (int i = 0; i < 8; i++)
        close(ep[i]);
}

static void *write_later(void *arg)
{
    sleep_ms(40);
    return (void *)(intptr_t)write(g_fd[1], "x", 1);
}

static void blocks_until_ready(void)
{
    struct epoll_event e[8];
    pthread_t t;
    make(EPOLLIN | EPOLLET);
    CHECK_ZERO(pthread_create(&t, NULL, write_later, NULL));
    CHECK_EQ(OK(epoll_wait(g_ep, e, 8, 5000)), 1);
    pthread_join(t, NULL);
    done();
}

static void times_out(void)
{
    struct epoll_event e[8];
    make(EPOLLIN);
    int64_t t = now_ns();
    CHECK_EQ(OK(epoll_wait(g_ep, e, 8, 40)), 0);
    t = now_ns() - t;
    CHECK(t >= 40000000 && t < 2000000000);
    struct timespec ts = {0, 20000000};
    CHECK_EQ(OK(syscall(441 /* epoll_pwait2 */, g_ep, e, 8, &ts, NULL, 0)), 0);
    done();
}

static void round_robin(void)
{
    /* more ready than asked for: each gets its turn */
    int ep = OK(epoll_create1(0)), fd[6], seen = 0;
    uint64_t one = 1;
    for (int i = 0; i < 6; i++) {
        fd[i] = OK(eventfd(1, 0));
        struct epoll_event e = {.events = EPOLLIN, .data.u32 = i};
        OK(epoll_ctl(ep, EPOLL_CTL_ADD, fd[i], &e));
        (void)one;
    }
    for (int i = 0; i < 3; i++) {
        struct epoll_event e[2];
        CHECK_EQ(OK(epoll_wait(ep, e, 2, 0)), 2);
        seen |= 1 << e[0].data.u32 | 1 << e[1].data.u32;
    }
    CHECK_EQ(seen, 63);
    for (int i = 0; i < 6; i++)
        close(fd[i]);
    close(ep);
}

static volatile int g_got;

static void on_sig(int sig)
{
    g_got++;
}

static void pwait_mask(void)
{
    struct epoll_event e[8];
    sigset_t none;
    sigemptyset(&none);
    make(EPOLLIN);
    g_got = 0;
    handle(SIGUSR1, on_sig, SA_RESTART);
    sig_block(SIG_BLOCK, SIGUSR1);
    raise(SIGUSR1);
    CHECK_ERR(epoll_pwait(g_ep, e, 8, 5000, &none), EINTR);
    CHECK_EQ(g_got, 1);
    done();
}

static void exclusive(void)
{
    struct epoll_event e = {.events = EPOLLIN | EPOLLEXCLUSIVE}, bad = {.events = EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT};
    g_ep = OK(epoll_create1(0));
    OK(pipe(g_fd));
    CHECK_ERR(epoll_ctl(g_ep, EPOLL_CTL_ADD, g_fd[0], &bad), EINVAL);
    OK(epoll_ctl(g_ep, EPOLL_CTL_ADD, g_fd[0], &e));
    CHECK_ERR(epoll_ctl(g_ep, EPOLL_CTL_MOD, g_fd[0], &e), EINVAL);
    done();
}

static void thousand_fds(void)
{
    enum { N = 1000 };
    static int fd[N];
    int ep = OK(epoll_create1(0));
    for (int i = 0; i < N; i++) {
        fd[i] = OK(eventfd(0, EFD_NONBLOCK));
        struct epoll_event e = {.events = EPOLLIN | EPOLLET, .data.u32 = i};
        OK(epoll_ctl(ep, EPOLL_CTL_ADD, fd[i], &e));
    }
    for (int round = 0; round < 20; round++) {
        uint64_t one = 1;
        struct epoll_event e[4];
        int k = round * 47 % N;
        OK(write(fd[k], &one, 8));
        CHECK_EQ(OK(epoll_wait(ep, e, 4, 1000)), 1);
        CHECK_EQ(e[0].data.u32, k);
    }
    for (int i = 0; i < N; i++)
        close(fd[i]);
    close(ep);
}

GUEST_MAIN(C(level_triggered), C(edge_triggered), C(oneshot), C(hangup_is_always_told), C(ctl_errors),
           C(closing_removes), C(nested), C(too_deep_nesting), C(blocks_until_ready), C(times_out), C(round_robin),
           C(pwait_mask), C(exclusive), C(thousand_fds))
