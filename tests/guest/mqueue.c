/* POSIX message queues. */
#include "guest.h"
#include <mqueue.h>
#include <poll.h>

static char g_name[32];

static mqd_t make(int flags)
{
    struct mq_attr a = {.mq_maxmsg = 3, .mq_msgsize = 16};
    snprintf(g_name, sizeof(g_name), "/rf.%d", getpid());
    mqd_t q = mq_open(g_name, O_RDWR | O_CREAT | O_EXCL | flags, 0600, &a);
    if (q < 0 && errno == ENOSYS)
        SKIP("this kernel has no message queues");
    return OK(q);
}

static void priorities(void)
{
    char buf[16];
    unsigned prio;
    mqd_t q = make(0);
    OK(mq_send(q, "low", 3, 1));
    OK(mq_send(q, "high", 4, 9));
    OK(mq_send(q, "high2", 5, 9));
    CHECK_EQ(mq_receive(q, buf, 16, &prio), 4);
    CHECK_EQ(prio, 9);
    CHECK_EQ(mq_receive(q, buf, 16, &prio), 5);
    CHECK_EQ(mq_receive(q, buf, 16, &prio), 3);
    OK(mq_unlink(g_name));
    CHECK_ERR(mq_unlink(g_name), ENOENT);
    OK(mq_send(q, "x", 1, 0)); /* open ones go on */
    mq_close(q);
}

static void limits(void)
{
    char buf[16];
    struct mq_attr a;
    mqd_t q = make(O_NONBLOCK);
    CHECK_ERR(mq_receive(q, buf, 16, NULL), EAGAIN);
    CHECK_ERR(mq_receive(q, buf, 15, NULL), EMSGSIZE);
    CHECK_ERR(mq_send(q, "0123456789abcdefg", 17, 0), EMSGSIZE);
    CHECK_ERR(mq_send(q, "x", 1, 40000), EINVAL);
    for (int i = 0; i < 3; i++)
        OK(mq_send(q, "x", 1, 0));
    CHECK_ERR(mq_send(q, "x", 1, 0), EAGAIN);
    OK(mq_getattr(q, &a));
    CHECK(a.mq_curmsgs == 3 && a.mq_maxmsg == 3 && a.mq_msgsize == 16 && a.mq_flags == O_NONBLOCK);
    struct pollfd p = {q, POLLIN | POLLOUT, 0};
    CHECK_EQ(poll(&p, 1, 0), 1);
    CHECK_EQ(p.revents, POLLIN);
    CHECK_ERR(mq_open(g_name, O_RDWR | O_CREAT | O_EXCL, 0600, NULL), EEXIST);
    OK(mq_unlink(g_name));
    mq_close(q);
    CHECK_ERR(mq_open("/rf.nothing", O_RDONLY), ENOENT);
}

static void blocks_and_times_out(void)
{
    char buf[16];
    struct timespec ts;
    mqd_t q = make(0);
    clock_gettime(CLOCK_REALTIME, &ts);
    ts.tv_nsec += 30000000;
    if (ts.tv_nsec >= 1000000000)
        ts.tv_sec++, ts.tv_nsec -= 1000000000;
    CHECK_ERR(mq_timedreceive(q, buf, 16, NULL, &ts), ETIMEDOUT);
    pid_t p = OK(fork());
    if (!p) {
        sleep_ms(30);
        _exit(mq_send(q, "late", 4, 0) != 0);
    }
    CHECK_EQ(mq_receive(q, buf, 16, NULL), 4);
    WAIT_EXIT(p, 0);
    OK(mq_unlink(g_name));
    mq_close(q);
}

static volatile int g_note;

static void on_note(int sig, siginfo_t *si, void *uc)
{
    g_note = si->si_code == SI_MESGQ ? si->si_value.sival_int : -1;
}

static void notification(void)
{
    struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 5};
    mqd_t q = make(0);
    g_note = 0;
    handle_info(SIGUSR1, on_note, 0);
    OK(mq_notify(q, &ev));
    CHECK_ERR(mq_notify(q, &ev), EBUSY);
    OK(mq_send(q, "x", 1, 0));
    for (int i = 0; i < 200 && !g_note; i++)
        sleep_ms(2);
    CHECK_EQ(g_note, 5);
    OK(mq_unlink(g_name));
    mq_close(q);
}

GUEST_MAIN(C(priorities), C(limits), C(blocks_and_times_out), C(notification))
