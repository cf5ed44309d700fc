/* Host calls of the sentry: value or negative errno, EINTR retried where it carries no meaning. */
#include "base/host.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#define HOST_RETRY(expr)                                                                           \
    ({                                                                                             \
        int64_t ret_;                                                                              \
        do                                                                                         \
            ret_ = (expr);                                                                         \
        while (ret_ < 0 && errno == EINTR);                                                        \
        ret_ < 0 ? -(int64_t)errno : ret_;                                                         \
    })

/* One call for all transfers: preadv2 at offset -1 is readv. */
int64_t host_preadv(int fd, const struct iovec *iov, int count, off_t off)
{
    return HOST_RETRY(preadv2(fd, iov, count, off, 0));
}

int64_t host_pwritev(int fd, const struct iovec *iov, int count, off_t off)
{
    return HOST_RETRY(pwritev2(fd, iov, count, off, 0));
}

int64_t host_readv(int fd, const struct iovec *iov, int count)
{
    return HOST_RETRY(preadv2(fd, iov, count, -1, 0));
}

int64_t host_writev(int fd, const struct iovec *iov, int count)
{
    return HOST_RETRY(pwritev2(fd, iov, count, -1, 0));
}

int64_t host_readv_nowait(int fd, const struct iovec *iov, int count)
{
    return HOST_RETRY(preadv2(fd, iov, count, -1, RWF_NOWAIT));
}

int64_t host_writev_nowait(int fd, const struct iovec *iov, int count)
{
    return HOST_RETRY(pwritev2(fd, iov, count, -1, RWF_NOWAIT));
}

int host_epoll_create(void)
{
    return HOST_RETRY(epoll_create1(EPOLL_CLOEXEC));
}

int host_epoll_ctl(int epfd, int op, int fd, struct epoll_event *ev)
{
    return HOST_RETRY(epoll_ctl(epfd, op, fd, ev));
}

int host_epoll_wait(int epfd, struct epoll_event *evs, int max, int timeout_ms)
{
    return HOST_RETRY(epoll_wait(epfd, evs, max, timeout_ms));
}

int host_close(int fd)
{
    return close(fd) < 0 && errno != EINTR ? -errno : 0;
}

/* An empty transfer is refused by the access mode alone: no need for fcntl(2). */
int host_access_mode(int fd)
{
    bool reads = host_readv(fd, NULL, 0) != -EBADF, writes = host_writev(fd, NULL, 0) != -EBADF;
    if (!reads && !writes)
        return -EBADF;
    return reads && writes ? O_RDWR : reads ? O_RDONLY : O_WRONLY;
}

int host_fstat(int fd, struct stat *st)
{
    return HOST_RETRY(fstat(fd, st));
}

int host_ftruncate(int fd, off_t size)
{
    return HOST_RETRY(ftruncate(fd, size));
}

int host_fallocate(int fd, int mode, off_t off, off_t len)
{
    return HOST_RETRY(fallocate(fd, mode, off, len));
}

int host_fsync(int fd, bool data_only)
{
    return HOST_RETRY(data_only ? fdatasync(fd) : fsync(fd));
}

int64_t host_lseek(int fd, off_t off, int whence)
{
    return HOST_RETRY(lseek(fd, off, whence));
}

int host_poll(struct pollfd *fds, unsigned count, int timeout_ms)
{
    struct timespec ts = {.tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1000000};
    int n =
        ppoll(fds, count, timeout_ms < 0 ? NULL : &ts, NULL); /* poll itself is not on our list */
    return n < 0 ? -errno : n;
}

int host_mmap(void *at, size_t size, int prot, int flags, int fd, off_t off, void **out)
{
    void *p = mmap(at, size, prot, flags, fd, off);
    if (p == MAP_FAILED)
        return -errno;
    *out = p;
    return 0;
}

int host_munmap(void *at, size_t size)
{
    return munmap(at, size) < 0 ? -errno : 0;
}

int host_madvise(void *at, size_t size, int advice)
{
    return madvise(at, size, advice) < 0 ? -errno : 0;
}

int host_ioctl(int fd, unsigned long cmd, void *arg)
{
    return HOST_RETRY(ioctl(fd, cmd, arg));
}

int host_memfd_create(const char *name, unsigned flags)
{
    return HOST_RETRY(memfd_create(name, flags));
}

uint64_t host_memory_total(void)
{
    struct sysinfo si;
    return sysinfo(&si) ? 0 : (si.totalram + si.totalswap) * si.mem_unit;
}

int host_getrandom(void *buf, size_t size)
{
    char *p = buf;
    while (size) {
        int64_t n = HOST_RETRY(getrandom(p, size, 0));
        if (n < 0)
            return n;
        p += n;
        size -= n;
    }
    return 0;
}

int64_t host_clock_ns(clockid_t clk)
{
    struct timespec ts;
    clock_gettime(clk, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int host_futex_wait(const uint32_t *word, uint32_t expected, int64_t deadline_ns)
{
    struct timespec ts = {.tv_sec = deadline_ns / 1000000000, .tv_nsec = deadline_ns % 1000000000};
    /* WAIT_BITSET takes an absolute CLOCK_MONOTONIC time, WAIT a relative one. */
    long r = syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, expected,
                     deadline_ns == INT64_MAX ? NULL : &ts, NULL, FUTEX_BITSET_MATCH_ANY);
    if (r == 0 || errno == EAGAIN)
        return 0;
    return -errno;
}

void host_futex_wake(const uint32_t *word, int count)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

/* ---- sockets of the host ---- */

int host_socket(int domain, int type, int protocol)
{
    return HOST_RETRY(socket(domain, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol));
}

int host_bind(int fd, const void *addr, unsigned size)
{
    return HOST_RETRY(bind(fd, addr, size));
}

int host_connect(int fd, const void *addr, unsigned size)
{
    return connect(fd, addr, size) < 0 ? -errno : 0;
}

int host_listen(int fd, int backlog)
{
    return HOST_RETRY(listen(fd, backlog));
}

int host_accept(int fd, void *addr, unsigned *size)
{
    return HOST_RETRY(accept4(fd, addr, size, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

int host_shutdown(int fd, int how)
{
    return HOST_RETRY(shutdown(fd, how));
}

int host_sockname(int fd, bool peer, void *addr, unsigned *size)
{
    return HOST_RETRY(peer ? getpeername(fd, addr, size) : getsockname(fd, addr, size));
}

int host_getsockopt(int fd, int level, int name, void *value, unsigned *size)
{
    return HOST_RETRY(getsockopt(fd, level, name, value, size));
}

int host_setsockopt(int fd, int level, int name, const void *value, unsigned size)
{
    return HOST_RETRY(setsockopt(fd, level, name, value, size));
}

int64_t host_sendmsg(int fd, const struct msghdr *h, int flags)
{
    return HOST_RETRY(sendmsg(fd, h, flags));
}

int64_t host_recvmsg(int fd, struct msghdr *h, int flags)
{
    return HOST_RETRY(recvmsg(fd, h, flags));
}
