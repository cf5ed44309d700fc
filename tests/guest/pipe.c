/* pipe(2), pipe2, FIFOs: what pipe(7) says. */
#include "guest.h"
#include <limits.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

static int g_fd[2];

static void make(int flags)
{
    OK(pipe2(g_fd, flags));
}

static void done(void)
{
    close(g_fd[0]);
    close(g_fd[1]);
}

static void bytes_pass(void)
{
    char buf[16] = "";
    make(0);
    CHECK_EQ(write(g_fd[1], "hello", 5), 5);
    CHECK_EQ(write(g_fd[1], "world", 5), 5);
    CHECK_EQ(read(g_fd[0], buf, 7), 7);
    CHECK_STR(buf, "hellowo");
    int n;
    OK(ioctl(g_fd[0], FIONREAD, &n));
    CHECK_EQ(n, 3);
    done();
}

static void end_of_file(void)
{
    char c;
    make(0);
    OK(write(g_fd[1], "x", 1));
    close(g_fd[1]);
    CHECK_EQ(read(g_fd[0], &c, 1), 1);
    CHECK_EQ(read(g_fd[0], &c, 1), 0);
    done();
}

static void broken_pipe(void)
{
    make(0);
    close(g_fd[0]);
    pid_t p = OK(fork());
    if (!p) {
        write(g_fd[1], "x", 1);
        _exit(0);
    }
    WAIT_SIGNAL(p, SIGPIPE);
    handle(SIGPIPE, SIG_IGN, 0);
    CHECK_ERR(write(g_fd[1], "x", 1), EPIPE);
    done();
}

static void nonblocking(void)
{
    char c, big[4096] = {0};
    make(O_NONBLOCK);
    CHECK_ERR(read(g_fd[0], &c, 1), EAGAIN);
    long total = 0;
    for (ssize_t n; (n = write(g_fd[1], big, sizeof(big))) > 0;)
        total += n;
    CHECK_EQ(errno, EAGAIN);
    CHECK_EQ(total, 65536);
    CHECK_EQ(read(g_fd[0], big, 100), 100);
    CHECK_ERR(write(g_fd[1], big, 200), EAGAIN); /* up to PIPE_BUF: all or nothing */
    CHECK_EQ(fcntl(g_fd[0], F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    done();
}

static void partial_write_when_large(void)
{
    static char big[100000];
    make(O_NONBLOCK);
    CHECK_EQ(write(g_fd[1], big, sizeof(big)), 65536);
    done();
}

static void writes_up_to_pipe_buf_are_atomic(void)
{
    make(0);
    for (int k = 0; k < 4; k++)
        if (OK(fork()) == 0) {
            char block[PIPE_BUF];
            memset(block, 'a' + k, sizeof(block));
            for (int i = 0; i < 100; i++)
                if (write(g_fd[1], block, sizeof(block)) != sizeof(block))
                    _exit(1);
            _exit(0);
        }
    close(g_fd[1]);
    for (int i = 0; i < 400; i++) {
        char block[PIPE_BUF];
        for (size_t got = 0; got < sizeof(block);)
            got += OK(read(g_fd[0], block + got, sizeof(block) - got));
        for (int j = 1; j < PIPE_BUF; j++)
            CHECK_EQ(block[j], block[0]);
    }
    for (int st; wait(&st) > 0;)
        CHECK_EQ(st, 0);
    done();
}

static void blocked_writer_wakes(void)
{
    static char big[200000];
    make(0);
    pid_t p = OK(fork());
    if (!p) {
        close(g_fd[0]);
        _exit(write(g_fd[1], big, sizeof(big)) != sizeof(big));
    }
    close(g_fd[1]);
    wait_state(p, "S");
    long total = 0;
    for (ssize_t n; (n = read(g_fd[0], big, 1000)) > 0;)
        total += n;
    CHECK_EQ(total, 200000);
    WAIT_EXIT(p, 0);
    done();
}

static void blocked_writer_gets_epipe(void)
{
    static char big[200000];
    make(0);
    pid_t p = OK(fork());
    if (!p) {
        close(g_fd[0]);
        handle(SIGPIPE, SIG_IGN, 0);
        ssize_t n = write(g_fd[1], big, sizeof(big));
        _exit(n == 65536 ? 0 : 1); /* what went before the reader left counts */
    }
    wait_state(p, "S");
    done();
    WAIT_EXIT(p, 0);
}

static void hundred_megabytes(void)
{
    static char block[65536];
    make(0);
    pid_t p = OK(fork());
    if (!p) {
        close(g_fd[0]);
        unsigned x = 1;
        for (int i = 0; i < 1600; i++) {
            for (int j = 0; j < 65536; j += 4096)
                *(unsigned *)(block + j) = x++;
            for (size_t off = 0; off < sizeof(block);) {
                ssize_t n = write(g_fd[1], block + off, sizeof(block) - off);
                if (n < 0)
                    _exit(1);
                off += n;
            }
        }
        _exit(0);
    }
    close(g_fd[1]);
    unsigned x = 1;
    for (int i = 0; i < 1600; i++) {
        for (size_t got = 0; got < sizeof(block);) {
            ssize_t n = OK(read(g_fd[0], block + got, sizeof(block) - got));
            CHECK(n > 0);
            got += n;
        }
        for (int j = 0; j < 65536; j += 4096)
            CHECK_EQ(*(unsigned *)(block + j), x++);
    }
    CHECK_EQ(read(g_fd[0], block, 1), 0);
    WAIT_EXIT(p, 0);
    done();
}

static void size_can_change(void)
{
    make(0);
    CHECK_EQ(OK(fcntl(g_fd[0], F_GETPIPE_SZ)), 65536);
    CHECK_EQ(OK(fcntl(g_fd[1], F_SETPIPE_SZ, 100000)), 131072);
    CHECK_EQ(OK(fcntl(g_fd[0], F_GETPIPE_SZ)), 131072);
    CHECK_EQ(OK(fcntl(g_fd[1], F_SETPIPE_SZ, 1)), 4096);
    static char big[8192];
    OK(fcntl(g_fd[1], F_SETFL, O_NONBLOCK));
    CHECK_EQ(write(g_fd[1], big, sizeof(big)), 4096);
    CHECK_EQ(OK(fcntl(g_fd[1], F_SETPIPE_SZ, 16384)), 16384);
    CHECK_EQ(write(g_fd[1], big, sizeof(big)), 8192);
    CHECK_ERR(fcntl(g_fd[1], F_SETPIPE_SZ, 4096), EBUSY);
    int fd = OK(open("/dev/null", O_RDONLY));
    CHECK_ERR(fcntl(fd, F_GETPIPE_SZ), EBADF);
    close(fd);
    done();
}

static void polling(void)
{
    static char big[65536];
    make(O_NONBLOCK);
    struct pollfd p[2] = {{g_fd[0], POLLIN, 0}, {g_fd[1], POLLOUT, 0}};
    CHECK_EQ(OK(poll(p, 2, 0)), 1);
    CHECK_EQ(p[0].revents, 0);
    CHECK_EQ(p[1].revents, POLLOUT);
    CHECK_EQ(write(g_fd[1], big, sizeof(big)), 65536);
    CHECK_EQ(OK(poll(p, 2, 0)), 1);
    CHECK_EQ(p[0].revents, POLLIN);
    CHECK_EQ(p[1].revents, 0);
    close(g_fd[1]);
    CHECK_EQ(OK(poll(p, 1, 0)), 1);
    CHECK_EQ(p[0].revents, POLLIN | POLLHUP);
    done();
    make(0);
    close(g_fd[0]);
    p[1].fd = g_fd[1];
    CHECK_EQ(OK(poll(p + 1, 1, 0)), 1);
    CHECK_EQ(p[1].revents, POLLOUT | POLLERR);
    done();
}

static void wrong_ends(void)
{
    char c;
    make(0);
    CHECK_ERR(read(g_fd[1], &c, 1), EBADF);
    CHECK_ERR(write(g_fd[0], &c, 1), EBADF);
    CHECK_ERR(lseek(g_fd[0], 0, SEEK_SET), ESPIPE);
    CHECK_ERR(pread(g_fd[0], &c, 1, 0), ESPIPE);
    CHECK_ERR(pwrite(g_fd[1], &c, 1, 0), ESPIPE);
    CHECK_ERR(ftruncate(g_fd[1], 0), EINVAL);
    CHECK_ERR(fsync(g_fd[1]), EINVAL);
    struct stat st;
    OK(fstat(g_fd[0], &st));
    CHECK(S_ISFIFO(st.st_mode));
    CHECK_EQ(st.st_mode & 0777, 0600);
    done();
}

static void bad_arguments(void)
{
    CHECK_ERR(syscall(SYS_pipe2, 8L, 0), EFAULT);
    CHECK_ERR(syscall(SYS_pipe2, g_fd, 0x10), EINVAL);
    make(O_CLOEXEC);
    CHECK_EQ(fcntl(g_fd[0], F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(g_fd[1], F_GETFL) & O_ACCMODE, O_WRONLY);
    CHECK_EQ(read(g_fd[0], NULL, 0), 0);
    OK(write(g_fd[1], "abc", 3));
    CHECK_ERR(read(g_fd[0], (void *)8, 3), EFAULT);
    done();
}

static void gather_scatter(void)
{
    char a[3] = "", b[6] = "";
    make(0);
    struct iovec w[3] = {{"ab", 2}, {NULL, 0}, {"cdefg", 5}}, r[2] = {{a, 2}, {b, 5}};
    CHECK_EQ(writev(g_fd[1], w, 3), 7);
    CHECK_EQ(readv(g_fd[0], r, 2), 7);
    CHECK_STR(a, "ab");
    CHECK_STR(b, "cdefg");
    CHECK_ERR(readv(g_fd[0], r, -1), EINVAL);
    CHECK_ERR(readv(g_fd[0], r, 1025), EINVAL);
    w[0].iov_len = (size_t)-1;
    CHECK_ERR(writev(g_fd[1], w, 3), EINVAL);
    done();
}

static void packet_mode(void)
{
    char buf[16];
    make(O_DIRECT);
    OK(write(g_fd[1], "abc", 3));
    OK(write(g_fd[1], "defg", 4));
    CHECK_EQ(read(g_fd[0], buf, 16), 3);
    CHECK_EQ(read(g_fd[0], buf, 2), 2); /* the rest of a packet is lost */
    OK(write(g_fd[1], "h", 1));
    CHECK_EQ(read(g_fd[0], buf, 16), 1);
    done();
}

static void fifo(void)
{
    char c;
    OK(mkfifo("ff", 0644));
    CHECK_ERR(mkfifo("ff", 0644), EEXIST);
    CHECK_ERR(open("ff", O_WRONLY | O_NONBLOCK), ENXIO);
    pid_t p = OK(fork());
    if (!p) {
        int fd = open("ff", O_WRONLY); /* waits for the reader */
        _exit(write(fd, "q", 1) != 1);
    }
    int fd = OK(open("ff", O_RDONLY));
    CHECK_EQ(read(fd, &c, 1), 1);
    CHECK_EQ(c, 'q');
    WAIT_EXIT(p, 0);
    CHECK_EQ(read(fd, &c, 1), 0);
    close(fd);
    fd = OK(open("ff", O_RDWR)); /* Linux: does not block */
    CHECK_EQ(write(fd, "z", 1), 1);
    CHECK_EQ(read(fd, &c, 1), 1);
    close(fd);
    fd = OK(open("ff", O_RDONLY | O_NONBLOCK));
    CHECK_EQ(read(fd, &c, 1), 0);
    close(fd);
}

static void reopen_through_proc(void)
{
    char path[64], c;
    make(0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", g_fd[0]);
    int fd = OK(open(path, O_WRONLY));
    OK(write(fd, "k", 1));
    CHECK_EQ(read(g_fd[0], &c, 1), 1);
    char link[64] = "";
    OK(readlink(path, link, sizeof(link) - 1));
    CHECK(!strncmp(link, "pipe:[", 6));
    close(fd);
    done();
}

static void reopened_end_does_not_wait(void)
{
    char path[64], c;
    make(0);
    OK(write(g_fd[1], "k", 1));
    close(g_fd[1]);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", g_fd[0]);
    int fd = OK(open(path, O_RDONLY)); /* no writer is left: a fifo would wait for one */
    CHECK_EQ(read(fd, &c, 1), 1);
    CHECK_EQ(read(fd, &c, 1), 0);
    close(fd);
    close(g_fd[0]);
}

static void many_pipes(void)
{
    int fds[200][2];
    for (int i = 0; i < 200; i++)
        OK(pipe(fds[i]));
    for (int i = 0; i < 200; i++)
        OK(write(fds[i][1], &i, 4));
    for (int i = 0; i < 200; i++) {
        int x;
        CHECK_EQ(read(fds[i][0], &x, 4), 4);
        CHECK_EQ(x, i);
        close(fds[i][0]);
        close(fds[i][1]);
    }
}

static void ping_pong(void)
{
    int a[2], b[2];
    char c;
    OK(pipe(a));
    OK(pipe(b));
    pid_t p = OK(fork());
    if (!p) {
        close(a[1]);
        while (read(a[0], &c, 1) == 1)
            if (write(b[1], &c, 1) != 1)
                _exit(1);
        _exit(0);
    }
    close(a[0]);
    for (int i = 0; i < 5000; i++) {
        c = i;
        OK(write(a[1], &c, 1));
        CHECK_EQ(read(b[0], &c, 1), 1);
        CHECK_EQ(c, (char)i);
    }
    close(a[1]);
    WAIT_EXIT(p, 0);
    close(b[0]);
    close(b[1]);
}

GUEST_MAIN(C(bytes_pass), C(end_of_file), C(broken_pipe), C(nonblocking), C(partial_write_when_large),
           C(writes_up_to_pipe_buf_are_atomic), C(blocked_writer_wakes), C(blocked_writer_gets_epipe),
           C(hundred_megabytes), C(size_can_change), C(polling), C(wrong_ends), C(bad_arguments), C(gather_scatter),
           C(packet_mode), C(fifo), C(reopen_through_proc), C(reopened_end_does_not_wait), C(many_pipes), C(ping_pong))
