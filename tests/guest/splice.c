/* Moving data inside the kernel: sendfile, splice, tee, vmsplice, copy_file_range. */
#include "guest.h"
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

static char g_a[300000], g_b[300000];

static void fill(void)
{
    for (size_t i = 0; i < sizeof(g_a); i++)
        g_a[i] = i * 31 >> 3;
    write_file("in", g_a, sizeof(g_a));
}

static void sendfile_to_file(void)
{
    fill();
    int in = OK(open("in", O_RDONLY)), out = OK(open("out", O_RDWR | O_CREAT, 0644));
    off_t off = 1000;
    CHECK_EQ(OK(sendfile(out, in, &off, 50000)), 50000);
    CHECK_EQ(off, 51000);
    CHECK_EQ(lseek(in, 0, SEEK_CUR), 0);
    CHECK_EQ(OK(sendfile(out, in, NULL, sizeof(g_a) * 2)), sizeof(g_a));
    CHECK_EQ(OK(sendfile(out, in, NULL, 10)), 0);
    CHECK_EQ(pread(out, g_b, 50000, 0), 50000);
    CHECK(!memcmp(g_a + 1000, g_b, 50000));
    CHECK_ERR(sendfile(in, out, NULL, 10), EBADF);
    off = -1;
    CHECK_ERR(sendfile(out, in, &off, 10), EINVAL);
    int app = OK(open("out", O_WRONLY | O_APPEND));
    CHECK_ERR(sendfile(app, in, NULL, 10), EINVAL);
    close(in), close(out), close(app);
}

static void sendfile_to_socket(void)
{
    int s[2], in;
    fill();
    in = OK(open("in", O_RDONLY));
    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    pid_t p = OK(fork());
    if (!p) {
        close(s[0]);
        size_t left = sizeof(g_a);
        while (left)
            left -= OK(sendfile(s[1], in, NULL, left));
        _exit(0);
    }
    close(s[1]);
    size_t got = 0;
    for (ssize_t n; (n = OK(read(s[0], g_b + got, sizeof(g_b) - got))) > 0;)
        got += n;
    CHECK_EQ(got, sizeof(g_a));
    CHECK(!memcmp(g_a, g_b, sizeof(g_a)));
    WAIT_EXIT(p, 0);
    close(s[0]), close(in);
}

static void splice_both_ways(void)
{
    int p[2];
    fill();
    OK(pipe(p));
    int in = OK(open("in", O_RDONLY)), out = OK(open("out", O_RDWR | O_CREAT, 0644));
    loff_t off = 5;
    CHECK_EQ(OK(splice(in, &off, p[1], NULL, 20000, 0)), 20000);
    CHECK_EQ(off, 20005);
    size_t moved = 0;
    while (moved < 20000)
        moved += OK(splice(p[0], NULL, out, NULL, 20000 - moved, SPLICE_F_MOVE));
    CHECK_EQ(pread(out, g_b, 20000, 0), 20000);
    CHECK(!memcmp(g_a + 5, g_b, 20000));
    CHECK_ERR(splice(in, NULL, out, NULL, 10, 0), EINVAL); /* one must be a pipe */
    CHECK_ERR(splice(p[0], &off, out, NULL, 10, 0), ESPIPE);
    CHECK_ERR(splice(p[0], NULL, out, NULL, 10, SPLICE_F_NONBLOCK), EAGAIN);
    CHECK_ERR(splice(999, NULL, p[1], NULL, 10, 0), EBADF);
    close(p[1]);
    CHECK_EQ(splice(p[0], NULL, out, NULL, 10, 0), 0);
    close(p[0]), close(in), close(out);
}

static void tee_duplicates(void)
{
    int a[2], b[2];
    char buf[16] = "";
    OK(pipe(a));
    OK(pipe(b));
    OK(write(a[1], "abcdef", 6));
    CHECK_EQ(OK(tee(a[0], b[1], 4, 0)), 4);
    CHECK_EQ(read(b[0], buf, 16), 4);
    CHECK_STR(buf, "abcd");
    CHECK_EQ(read(a[0], buf, 16), 6); /* still there */
    CHECK_STR(buf, "abcdef");
    CHECK_ERR(tee(a[0], b[1], 4, SPLICE_F_NONBLOCK), EAGAIN);
    CHECK_ERR(tee(a[0], a[1], 4, 0), EINVAL);
    close(a[0]), close(a[1]), close(b[0]), close(b[1]);
}

static void vmsplice_copies(void)
{
    int p[2];
    char buf[16] = "";
    struct iovec v[2] = {{"abc", 3}, {"def", 3}};
    OK(pipe(p));
    CHECK_EQ(OK(vmsplice(p[1], v, 2, 0)), 6);
    CHECK_EQ(read(p[0], buf, 16), 6);
    CHECK_STR(buf, "abcdef");
    close(p[0]), close(p[1]);
}

static void copy_range(void)
{
    fill();
    int in = OK(open("in", O_RDONLY)), out = OK(open("out", O_RDWR | O_CREAT, 0644));
    loff_t a = 100, b = 200;
    CHECK_EQ(OK(copy_file_range(in, &a, out, &b, 1000, 0)), 1000);
    CHECK_EQ(a, 1100);
    CHECK_EQ(b, 1200);
    CHECK_EQ(pread(out, g_b, 1000, 200), 1000);
    CHECK(!memcmp(g_a + 100, g_b, 1000));
    CHECK_ERR(copy_file_range(in, NULL, out, NULL, 10, 1), EINVAL);
    CHECK_ERR(copy_file_range(out, NULL, in, NULL, 10, 0), EBADF);
    a = 300000;
    CHECK_EQ(copy_file_range(in, &a, out, NULL, 10, 0), 0);
    a = 0, b = 10;
    int rw = OK(open("in", O_RDWR));
    CHECK_ERR(copy_file_range(rw, &a, rw, &b, 100, 0), EINVAL); /* overlapping */
    int p[2];
    OK(pipe(p));
    CHECK_ERR(copy_file_range(in, NULL, p[1], NULL, 10, 0), EINVAL);
    close(p[0]), close(p[1]), close(rw), close(in), close(out);
}

GUEST_MAIN(C(sendfile_to_file), C(sendfile_to_socket), C(splice_both_ways), C(tee_duplicates), C(vmsplice_copies),
           C(copy_range))
