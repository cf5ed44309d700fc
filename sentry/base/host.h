/* The only place that makes host calls on the sentry's behalf outside the platforms, and the only
 * one that reads errno. Each wrapper returns a value >= 0 or a negative errno and retries EINTR
 * where a retry is what every caller wants (host signals are kicks, never data). */
#pragma once
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

int64_t host_preadv(int fd, const struct iovec *iov, int count, off_t off);
int64_t host_pwritev(int fd, const struct iovec *iov, int count, off_t off);
/* Streams and terminals. -EAGAIN when nothing can move and the descriptor is non-blocking. */
int64_t host_readv(int fd, const struct iovec *iov, int count);
int64_t host_writev(int fd, const struct iovec *iov, int count);
/* The same, never blocking whatever the descriptor's flags: -EAGAIN; -EOPNOTSUPP where the host
 * cannot promise it (terminals). */
int64_t host_readv_nowait(int fd, const struct iovec *iov, int count);
int64_t host_writev_nowait(int fd, const struct iovec *iov, int count);
int host_close(int fd);
int host_access_mode(int fd); /* O_RDONLY, O_WRONLY or O_RDWR; -EBADF for neither */
int host_fstat(int fd, struct stat *st);
int host_ftruncate(int fd, off_t size);
int host_fallocate(int fd, int mode, off_t off, off_t len);
int host_fsync(int fd, bool data_only);
int64_t host_lseek(int fd, off_t off, int whence);
int host_epoll_create(void);
struct epoll_event;
int host_epoll_ctl(int epfd, int op, int fd, struct epoll_event *ev);
int host_epoll_wait(int epfd, struct epoll_event *evs, int max, int timeout_ms);
int host_poll(struct pollfd *fds, unsigned count, int timeout_ms);
int host_mmap(void *at, size_t size, int prot, int flags, int fd, off_t off, void **out);
int host_munmap(void *at, size_t size);
int host_madvise(void *at, size_t size, int advice);
int host_ioctl(int fd, unsigned long cmd, void *arg);
int host_memfd_create(const char *name, unsigned flags);
uint64_t host_memory_total(void); /* bytes of RAM and swap; 0 if unknown */
int host_getrandom(void *buf, size_t size);
int64_t host_clock_ns(clockid_t clk);
/* Futex on a private word. wait: 0 when woken or the value differs, -ETIMEDOUT at the absolute
 * CLOCK_MONOTONIC deadline (INT64_MAX = none), -EINTR. */
int host_futex_wait(const uint32_t *word, uint32_t expected, int64_t deadline_ns);
void host_futex_wake(const uint32_t *word, int count);

/* Sockets of the host, for --network=host alone: these are not on the usual list of host calls. Sockets
 * are made non-blocking and close-on-exec. */
struct msghdr;
int host_socket(int domain, int type, int protocol);
int host_bind(int fd, const void *addr, unsigned size);
int host_connect(int fd, const void *addr, unsigned size); /* -EINPROGRESS */
int host_listen(int fd, int backlog);
int host_accept(int fd, void *addr, unsigned *size);
int host_shutdown(int fd, int how);
int host_sockname(int fd, bool peer, void *addr, unsigned *size);
int host_getsockopt(int fd, int level, int name, void *value, unsigned *size);
int host_setsockopt(int fd, int level, int name, const void *value, unsigned size);
int64_t host_sendmsg(int fd, const struct msghdr *h, int flags);
int64_t host_recvmsg(int fd, struct msghdr *h, int flags);
