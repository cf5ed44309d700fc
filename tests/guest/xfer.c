/* sendfile, splice, tee, vmsplice, copy_file_range, and the calls that write back or advise: which
 * pairs of files they take, and with which errors. */
#include "guest.h"

#include <limits.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define BAD ((void *)-1L)

static int file(const char *name, const char *content, int flags)
{
    write_file(name, content, strlen(content));
    return OK(open(name, flags));
}

/* ---- sendfile ---- */

static void sendfile_errors(void)
{
    int in = file("in", "0123456789", O_RDONLY), out = file("out", "", O_RDWR), p[2], sv[2];
    int wr = OK(open("in", O_WRONLY)), dir = OK(open(".", O_RDONLY)), ap;
    off_t off = 0;
    OK(pipe(p));
    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
    CHECK_RET(sendfile(-1, in, NULL, 5), -EBADF);
    CHECK_RET(sendfile(out, -1, NULL, 5), -EBADF);
    CHECK_RET(sendfile(in, in, NULL, 5), -EBADF);
    CHECK_RET(sendfile(out, wr, NULL, 5), -EBADF);
    CHECK_RET(sendfile(out, dir, NULL, 5), -EINVAL);
    CHECK_RET(sendfile(dir, in, NULL, 5), -EBADF);
    CHECK_RET(sendfile(out, p[0], NULL, 5), -EINVAL);
    CHECK_RET(sendfile(out, p[0], &off, 5), -ESPIPE);
    CHECK_RET(sendfile(out, sv[0], NULL, 5), -EINVAL);
    CHECK_RET(sendfile(out, sv[0], &off, 5), -ESPIPE);
    CHECK_RET(sendfile(out, in, BAD, 5), -EFAULT);
    off = -1;
    CHECK_RET(sendfile(out, in, &off, 5), -EINVAL);
    off = LONG_MAX;
    CHECK_RET(sendfile(out, in, &off, 5), -EINVAL);
    ap = OK(open("out", O_WRONLY | O_APPEND));
    CHECK_RET(sendfile(ap, in, NULL, 5), -EINVAL);
    off = 3;
    CHECK_RET(sendfile(out, in, &off, 4), 4);
    CHECK_EQ(off, 7);
    CHECK_RET(lseek(in, 0, SEEK_CUR), 0);
    CHECK_RET(sendfile(out, in, NULL, 100), 10);
    CHECK_RET(lseek(in, 0, SEEK_CUR), 10);
    CHECK_RET(sendfile(out, in, NULL, 100), 0);
    CHECK_RET(sendfile(out, in, NULL, 0), 0);
    off = 2;
    CHECK_RET(sendfile(p[1], in, &off, 5), 5);
    CHECK_EQ(off, 7);
    CHECK_RET(sendfile(sv[0], in, &off, 5), 3);
    char b[20] = {0};
    CHECK_RET(pread(out, b, 20, 0), 14);
    CHECK_STR(b, "34560123456789");
    CHECK_RET(sendfile(OK(open("/dev/null", O_WRONLY)), OK(open("/dev/zero", O_RDONLY)), NULL, 100), 100);
    CHECK_RET(sendfile(OK(eventfd(0, 0)), OK(open("in", O_RDONLY)), NULL, 5), -EINVAL);
    CHECK_RET(sendfile(OK(epoll_create1(0)), OK(open("in", O_RDONLY)), NULL, 5), -EINVAL);
}

static void sendfile_full_pipe(void)
{
    int in = file("in", "0123456789", O_RDONLY), p[2];
    char b[4096];
    OK(pipe2(p, O_NONBLOCK));
    while (write(p[1], b, sizeof(b)) > 0)
        ;
    CHECK_RET(sendfile(p[1], in, NULL, 5), -EAGAIN);
    CHECK_RET(lseek(in, 0, SEEK_CUR), 0);
    signal(SIGPIPE, SIG_IGN);
    OK(close(p[0]));
    CHECK_RET(sendfile(p[1], in, NULL, 5), -EPIPE);
}

/* ---- splice ---- */

static void splice_errors(void)
{
    int in = file("in", "0123456789", O_RDONLY), out = file("out", "", O_RDWR), p[2], q[2], sv[2];
    loff_t off = 0;
    OK(pipe(p));
    OK(pipe(q));
    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
    CHECK_RET(splice(-1, NULL, p[1], NULL, 0, 0), 0);
    CHECK_RET(splice(-1, NULL, p[1], NULL, 5, 0), -EBADF);
    CHECK_RET(splice(in, NULL, -1, NULL, 5, 0), -EBADF);
    CHECK_RET(splice(in, NULL, p[1], NULL, 5, 0x10), -EINVAL);
    CHECK_RET(splice(in, NULL, out, NULL, 5, 0), -EINVAL);
    CHECK_RET(splice(in, NULL, p[0], NULL, 5, 0), -EBADF);
    CHECK_RET(splice(out, NULL, p[0], NULL, 5, 0), -EBADF);
    CHECK_RET(splice(p[1], NULL, out, NULL, 5, 0), -EBADF);
    CHECK_RET(splice(p[0], NULL, in, NULL, 5, 0), -EBADF);
    CHECK_RET(splice(in, NULL, p[1], &off, 5, 0), -ESPIPE);
    CHECK_RET(splice(p[0], &off, out, NULL, 5, 0), -ESPIPE);
    CHECK_RET(splice(p[0], &off, q[1], NULL, 5, 0), -ESPIPE);
    CHECK_RET(splice(p[0], NULL, p[1], NULL, 5, 0), -EINVAL);
    CHECK_RET(splice(sv[0], &off, p[1], NULL, 5, 0), -EINVAL);
    CHECK_RET(splice(p[0], NULL, sv[0], &off, 5, 0), -EINVAL);
    CHECK_RET(splice(in, BAD, p[1], NULL, 5, 0), -EFAULT);
    off = -1;
    CHECK_RET(splice(in, &off, p[1], NULL, 5, 0), -EINVAL);
    off = 100;
    CHECK_RET(splice(in, &off, p[1], NULL, 5, 0), 0);
    off = 4;
    CHECK_RET(splice(in, &off, p[1], NULL, 100, 0), 6);
    CHECK_EQ(off, 10);
    CHECK_RET(lseek(in, 0, SEEK_CUR), 0);
    CHECK_RET(splice(p[0], NULL, q[1], NULL, 2, 0), 2);
    off = 3;
    CHECK_RET(splice(p[0], NULL, out, &off, 100, 0), 4);
    CHECK_EQ(off, 7);
    CHECK_RET(splice(p[0], NULL, out, NULL, 5, SPLICE_F_NONBLOCK), -EAGAIN);
    CHECK_RET(splice(sv[0], NULL, p[1], NULL, 5, SPLICE_F_NONBLOCK), -EAGAIN);
    CHECK_RET(splice(q[0], NULL, sv[0], NULL, 5, 0), 2);
    CHECK_RET(splice(sv[1], NULL, p[1], NULL, 5, 0), 2);
    int ap = OK(open("out", O_WRONLY | O_APPEND)), dir = OK(open(".", O_RDONLY));
    CHECK_RET(splice(p[0], NULL, ap, NULL, 5, 0), -EINVAL);
    CHECK_RET(splice(dir, NULL, p[1], NULL, 5, 0), -EINVAL);
    CHECK_RET(splice(p[0], NULL, OK(open("/dev/null", O_WRONLY)), NULL, 5, 0), 2);
    OK(close(p[1]));
    CHECK_RET(splice(p[0], NULL, out, NULL, 5, 0), 0);
    CHECK_RET(splice(OK(open("/dev/zero", O_RDONLY)), NULL, q[1], NULL, 5, 0), 5);
    signal(SIGPIPE, SIG_IGN);
    OK(close(q[0]));
    CHECK_RET(splice(in, NULL, q[1], NULL, 5, 0), -EPIPE);
    CHECK_RET(lseek(in, 0, SEEK_CUR), 0);
}

static void tee_errors(void)
{
    int p[2], q[2], fd = file("in", "x", O_RDWR);
    char b[16];
    OK(pipe(p));
    OK(pipe(q));
    CHECK_RET(tee(-1, q[1], 5, 0), -EBADF);
    CHECK_RET(tee(p[0], -1, 5, 0), -EBADF);
    CHECK_RET(tee(p[0], q[1], 0, 0), 0);
    CHECK_RET(tee(-1, -1, 0, 0), 0);
    CHECK_RET(tee(p[0], q[1], 5, 0x10), -EINVAL);
    CHECK_RET(tee(fd, q[1], 5, 0), -EINVAL);
    CHECK_RET(tee(p[0], fd, 5, 0), -EINVAL);
    CHECK_RET(tee(p[0], p[1], 5, 0), -EINVAL);
    CHECK_RET(tee(p[1], q[1], 5, 0), -EBADF);
    CHECK_RET(tee(p[0], q[0], 5, 0), -EBADF);
    CHECK_RET(tee(p[0], q[1], 5, SPLICE_F_NONBLOCK), -EAGAIN);
    OK(write(p[1], "hello", 5));
    CHECK_RET(tee(p[0], q[1], 3, 0), 3);
    CHECK_RET(tee(p[0], q[1], 30, 0), 5);
    CHECK_RET(read(q[0], b, 16), 8);
    CHECK_RET(read(p[0], b, 16), 5);
    OK(close(p[1]));
    CHECK_RET(tee(p[0], q[1], 5, 0), 0);
}

static void vmsplice_errors(void)
{
    int p[2], fd = file("in", "x", O_RDWR);
    char b[16] = "0123456789";
    struct iovec v = {b, 10}, bad = {BAD, 10};
    OK(pipe(p));
    CHECK_RET(vmsplice(-1, &v, 1, 0), -EBADF);
    CHECK_RET(vmsplice(fd, &v, 1, 0), -EBADF);
    CHECK_RET(vmsplice(p[1], &v, 1, 0x10), -EINVAL);
    CHECK_RET(vmsplice(-1, &v, 1, 0x10), -EINVAL);
    CHECK_RET(vmsplice(p[1], &v, 1025, 0), -EINVAL);
    CHECK_RET(vmsplice(p[1], &v, 0, 0), 0);
    CHECK_RET(vmsplice(p[1], BAD, 1, 0), -EFAULT);
    CHECK_RET(vmsplice(p[1], &bad, 1, 0), -EFAULT);
    CHECK_RET(vmsplice(p[1], &v, 1, SPLICE_F_GIFT | SPLICE_F_MORE | SPLICE_F_MOVE), 10);
    v.iov_len = 5;
    CHECK_RET(vmsplice(p[0], &v, 1, 0), 5);
    CHECK_RET(vmsplice(p[0], &v, 1, SPLICE_F_NONBLOCK), 5);
    CHECK_RET(vmsplice(p[0], &v, 1, SPLICE_F_NONBLOCK), -EAGAIN);
}

/* ---- copy_file_range ---- */

static ssize_t cfr(int in, loff_t *ip, int out, loff_t *op, size_t n, unsigned flags)
{
    return syscall(SYS_copy_file_range, in, ip, out, op, n, flags);
}

static void copy_range_errors(void)
{
    int in = file("in", "0123456789", O_RDWR), out = file("out", "", O_RDWR), p[2];
    int rd = OK(open("out", O_RDONLY)), ap = OK(open("out", O_WRONLY | O_APPEND));
    int dir = OK(open(".", O_RDONLY)), wr = OK(open("in", O_WRONLY));
    loff_t a = 0, b = 0;
    OK(pipe(p));
    CHECK_RET(cfr(in, NULL, out, NULL, 5, 1), -EINVAL);
    CHECK_RET(cfr(-1, NULL, out, NULL, 5, 0), -EBADF);
    CHECK_RET(cfr(in, NULL, -1, NULL, 5, 0), -EBADF);
    CHECK_RET(cfr(in, NULL, rd, NULL, 5, 0), -EBADF);
    CHECK_RET(cfr(wr, NULL, out, NULL, 5, 0), -EBADF);
    CHECK_RET(cfr(in, NULL, ap, NULL, 5, 0), -EBADF);
    CHECK_RET(cfr(dir, NULL, out, NULL, 5, 0), -EISDIR);
    CHECK_RET(cfr(in, NULL, dir, NULL, 5, 0), -EISDIR);
    CHECK_RET(cfr(p[0], NULL, out, NULL, 5, 0), -EINVAL);
    CHECK_RET(cfr(in, NULL, p[1], NULL, 5, 0), -EINVAL);
    CHECK_RET(cfr(in, NULL, OK(open("/dev/null", O_WRONLY)), NULL, 5, 0), -EINVAL);
    CHECK_RET(cfr(OK(open("/dev/zero", O_RDONLY)), NULL, out, NULL, 5, 0), -EINVAL);
    CHECK_RET(cfr(in, BAD, out, NULL, 5, 0), -EFAULT);
    CHECK_RET(cfr(in, NULL, out, BAD, 5, 0), -EFAULT);
    a = -1;
    CHECK_RET(cfr(in, &a, out, NULL, 5, 0), -EOVERFLOW);
    a = 0;
    CHECK_RET(cfr(in, &a, in, NULL, 5, 0), -EINVAL);
    b = 5;
    CHECK_RET(cfr(in, &a, in, &b, 5, 0), 5);
    a = 0, b = 4;
    CHECK_RET(cfr(in, &a, in, &b, 5, 0), -EINVAL);
    a = LONG_MAX - 2;
    CHECK_RET(cfr(in, &a, out, NULL, 5, 0), 0);
    a = 0, b = LONG_MAX - 2;
    CHECK_RET(cfr(in, &a, out, &b, 5, 0), -EFBIG);
    a = 100;
    CHECK_RET(cfr(in, &a, out, NULL, 5, 0), 0);
    a = 0, b = 0;
    CHECK_RET(cfr(in, &a, out, &b, 0, 0), 0);
    CHECK_RET(cfr(in, &a, out, &b, 100, 0), 10);
    CHECK_EQ(a, 10);
    CHECK_EQ(b, 10);
    CHECK_RET(cfr(in, NULL, out, NULL, 4, 0), 4);
    CHECK_RET(lseek(in, 0, SEEK_CUR), 4);
    CHECK_RET(lseek(out, 0, SEEK_CUR), 4);
    struct rlimit old, rl;
    OK(getrlimit(RLIMIT_FSIZE, &old));
    rl = old;
    rl.rlim_cur = 12;
    signal(SIGXFSZ, SIG_IGN);
    OK(setrlimit(RLIMIT_FSIZE, &rl));
    a = 0, b = 10;
    CHECK_RET(cfr(in, &a, out, &b, 5, 0), 2);
    a = 0, b = 12;
    CHECK_RET(cfr(in, &a, out, &b, 5, 0), -EFBIG);
    OK(setrlimit(RLIMIT_FSIZE, &old));
    int mem = OK(memfd_create("m", 0));
    a = 0;
    CHECK_RET(cfr(in, &a, mem, NULL, 5, 0), -EXDEV);
}

/* ---- writing back, advice ---- */

static void sync_errors(void)
{
    int fd = file("f", "hello", O_RDONLY), p[2], path = OK(open("f", O_PATH)), sv[2];
    int dir = OK(open(".", O_RDONLY));
    OK(pipe(p));
    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
    CHECK_RET(fsync(-1), -EBADF);
    CHECK_RET(fsync(path), -EBADF);
    CHECK_RET(fsync(p[0]), -EINVAL);
    CHECK_RET(fsync(sv[0]), -EINVAL);
    CHECK_RET(fsync(fd), 0);
    CHECK_RET(fsync(dir), 0);
    CHECK_RET(fdatasync(-1), -EBADF);
    CHECK_RET(fdatasync(p[1]), -EINVAL);
    CHECK_RET(fdatasync(fd), 0);
    CHECK_RET(syncfs(-1), -EBADF);
    CHECK_RET(syncfs(path), -EBADF);
    CHECK_RET(syncfs(fd), 0);
    CHECK_RET(syncfs(p[0]), 0);
    CHECK_RET(sync_file_range(-1, 0, 1, 0), -EBADF);
    CHECK_RET(sync_file_range(fd, 0, 1, 8), -EINVAL);
    CHECK_RET(sync_file_range(fd, -1, 1, 0), -EINVAL);
    CHECK_RET(sync_file_range(fd, 0, -1, 0), -EINVAL);
    CHECK_RET(sync_file_range(fd, LONG_MAX, 1, 0), -EINVAL);
    CHECK_RET(sync_file_range(fd, 0, 0, 7), 0);
    CHECK_RET(sync_file_range(p[0], 0, 1, 0), -ESPIPE);
    CHECK_RET(sync_file_range(sv[0], 0, 1, 0), -ESPIPE);
    CHECK_RET(sync_file_range(OK(open("/dev/null", O_RDWR)), 0, 1, 0), -ESPIPE);
    CHECK_RET(sync_file_range(dir, 0, 1, 0), 0);
}

static long fadvise(int fd, long off, long len, int advice)
{
    return syscall(SYS_fadvise64, fd, off, len, advice);
}

static void advice(void)
{
    int fd = file("f", "hello", O_RDWR), p[2], path = OK(open("f", O_PATH)), wr = OK(open("f", O_WRONLY));
    int dir = OK(open(".", O_RDONLY)), sv[2];
    OK(pipe(p));
    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
    for (int i = 0; i < 6; i++)
        CHECK_RET(fadvise(fd, 0, 0, i), 0);
    CHECK_RET(fadvise(fd, 0, 0, 6), -EINVAL);
    CHECK_RET(fadvise(fd, 0, 0, -1), -EINVAL);
    CHECK_RET(fadvise(fd, 0, -1, 0), -EINVAL);
    CHECK_RET(fadvise(fd, -1, 0, 0), 0);
    CHECK_RET(fadvise(-1, 0, 0, 0), -EBADF);
    CHECK_RET(fadvise(path, 0, 0, 0), -EBADF);
    CHECK_RET(fadvise(p[0], 0, 0, 0), -ESPIPE);
    CHECK_RET(fadvise(p[0], 0, 0, 99), -ESPIPE);
    CHECK_RET(fadvise(sv[0], 0, 0, 0), 0);
    CHECK_RET(readahead(fd, 0, 10), 0);
    CHECK_RET(readahead(-1, 0, 10), -EBADF);
    CHECK_RET(readahead(wr, 0, 10), -EBADF);
    CHECK_RET(readahead(p[0], 0, 10), -EINVAL);
    CHECK_RET(readahead(dir, 0, 10), -EINVAL);
    CHECK_RET(readahead(sv[0], 0, 10), -EINVAL);
    CHECK_RET(readahead(path, 0, 10), -EBADF);
    CHECK_RET(readahead(OK(open("/dev/zero", O_RDONLY)), 0, 10), -EINVAL);
}

struct cs_range {
    uint64_t off, len;
};
struct cs {
    uint64_t cache, dirty, writeback, evicted, recently_evicted;
};

static void cached_pages(void)
{
    int fd = OK(open("f", O_RDWR | O_CREAT, 0600)), p[2];
    char b[4096] = {1};
    struct cs_range r = {0, 0};
    struct cs c;
    OK(pipe(p));
    for (int i = 0; i < 4; i++)
        OK(write(fd, b, 4096));
    CHECK_RET(syscall(451, fd, &r, &c, 0), 0);
    CHECK_EQ(c.cache, 4);
    r = (struct cs_range){4096, 8192};
    CHECK_RET(syscall(451, fd, &r, &c, 0), 0);
    CHECK_EQ(c.cache, 2);
    r = (struct cs_range){1 << 20, 4096};
    CHECK_RET(syscall(451, fd, &r, &c, 0), 0);
    CHECK_EQ(c.cache, 0);
    CHECK_RET(syscall(451, -1, &r, &c, 0), -EBADF);
    CHECK_RET(syscall(451, fd, &r, &c, 1), -EINVAL);
    CHECK_RET(syscall(451, fd, BAD, &c, 0), -EFAULT);
    CHECK_RET(syscall(451, fd, &r, BAD, 0), -EFAULT);
    CHECK_RET(syscall(451, p[0], &r, &c, 0), 0);
    CHECK_EQ(c.cache, 0);
    int mem = OK(memfd_create("m", 0));
    OK(ftruncate(mem, 1 << 20));
    OK(pwrite(mem, b, 4096, 8192));
    r = (struct cs_range){0, 0};
    CHECK_RET(syscall(451, mem, &r, &c, 0), 0);
    CHECK_EQ(c.cache, 1);
}

/* ---- what kinds of files allow ---- */

static void kinds_that_splice(void)
{
    int in = file("in", "0123456789", O_RDONLY), out = file("out", "", O_RDWR), p[2], sv[2];
    int nul = OK(open("/dev/null", O_RDWR)), full = OK(open("/dev/full", O_RDWR));
    int ev = OK(eventfd(1, EFD_NONBLOCK));
    OK(pipe2(p, O_NONBLOCK));
    OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv));
    CHECK_RET(sendfile(out, nul, NULL, 5), -EINVAL);
    CHECK_RET(sendfile(full, in, NULL, 5), -EINVAL);
    CHECK_RET(sendfile(ev, in, NULL, 8), -EINVAL);
    CHECK_RET(sendfile(out, full, NULL, 5), 5);
    CHECK_RET(sendfile(p[1], sv[0], NULL, 5), -EAGAIN);
    OK(write(sv[1], "hello", 5));
    CHECK_RET(sendfile(out, sv[0], NULL, 5), -EINVAL);
    CHECK_RET(sendfile(p[1], sv[0], NULL, 5), 5);
    CHECK_RET(splice(p[0], NULL, full, NULL, 5, 0), -EINVAL);
    CHECK_RET(splice(p[0], NULL, ev, NULL, 5, 0), -EINVAL);
    CHECK_RET(splice(ev, NULL, p[1], NULL, 8, 0), -EINVAL);
    CHECK_RET(splice(nul, NULL, p[1], NULL, 8, 0), -EINVAL);
    CHECK_RET(splice(p[0], NULL, nul, NULL, 5, 0), 5);
}

GUEST_MAIN(C(sendfile_errors), C(sendfile_full_pipe), C(splice_errors), C(tee_errors),
           C(vmsplice_errors), C(copy_range_errors), C(sync_errors), C(advice), C(cached_pages),
           C(kinds_that_splice))
