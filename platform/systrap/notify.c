/* Seccomp notifications and futexes from the sentry's side: thin wrappers that know the quirks. */
#include "systrap_priv.h"

#include <errno.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS      SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif

_Static_assert(sizeof(struct st_notif) == sizeof(struct seccomp_notif), "one layout");

/* 1 ready, 0 all threads gone, -ETIMEDOUT, or another errno. */
static int notif_poll(int fd, int timeout_ms)
{
    struct pollfd pfd = {.fd = fd, .events = POLLIN};
    struct timespec t = {.tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1000000l};
    int n = ppoll(&pfd, 1, timeout_ms < 0 ? NULL : &t, NULL);

    if (n < 0)
        return -errno;
    if (!n)
        return -ETIMEDOUT;
    if (pfd.revents & POLLIN)
        return 1;
    return pfd.revents & POLLHUP ? 0 : -EBADF;
}

/* After RECV said ENOENT. That is the end, or only a call that a signal has taken back before we
 * saw it (it will be made again). */
static int notif_check_gone(int fd)
{
    int ready = notif_poll(fd, 0);

    return ready == 0 ? -ESRCH : ready == -EBADF ? -EBADF : 0;
}

int st_notif_recv(const struct systrap *p, int fd, struct st_notif *n, int timeout_ms)
{
    for (;;) {
        if (timeout_ms >= 0 || p->poll_first) {
            int ready = notif_poll(fd, timeout_ms);
            if (ready == -EINTR)
                continue;
            if (ready <= 0)
                return ready ? ready : -ESRCH;
        }
        memset(n, 0, sizeof(*n));
        if (ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, n) == 0)
            return 0;
        if (errno == EINTR)
            continue;
        if (errno != ENOENT)
            return -errno;
        int err = notif_check_gone(fd);
        if (err)
            return err;
    }
}

static int notif_answer(int fd, struct seccomp_notif_resp *r)
{
    while (ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, r)) {
        if (errno != EINTR)
            return -errno;
    }
    return 0;
}

int st_notif_send(int fd, uint64_t id, int64_t value)
{
    struct seccomp_notif_resp r = {.id = id, .val = value};

    return notif_answer(fd, &r);
}

int st_notif_continue(int fd, uint64_t id)
{
    struct seccomp_notif_resp r = {.id = id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};

    return notif_answer(fd, &r);
}

/* Before Linux 6.6 the call is unknown (EINVAL): then all works the same, only slower. */
int st_notif_setup(int fd)
{
    if (ioctl(fd, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP) == 0)
        return 0;
    return errno == ENOTTY || errno == EBADF ? -ENOTTY : 0;
}

void st_futex_wake(void *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

uint64_t st_now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

int st_futex_wait(void *word, uint32_t value, int timeout_ms)
{
    uint64_t end = st_now_ns() + timeout_ms * 1000000ull;

    while (__atomic_load_n((uint32_t *)word, __ATOMIC_ACQUIRE) == value) {
        uint64_t now = st_now_ns();
        if (now >= end)
            return -ETIMEDOUT;
        struct timespec t = {.tv_sec = (end - now) / 1000000000,
                             .tv_nsec = (end - now) % 1000000000};
        syscall(SYS_futex, word, FUTEX_WAIT, value, &t, NULL, 0);
    }
    return 0;
}
