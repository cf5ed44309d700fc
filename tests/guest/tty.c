/* Terminals: every ioctl of ioctl_tty(2) on both ends of a pseudo terminal, the modes of the line
 * discipline, packet mode, hangup and job control. */
#include "guest.h"

#include <asm/termbits.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define BAD ((void *)-1L)

static int g_m, g_s;
static char g_name[64];

static void pair(void)
{
    int n, zero = 0;
    g_m = OK(open("/dev/ptmx", O_RDWR | O_NOCTTY));
    CHECK_RET(ioctl(g_m, TIOCGPTN, &n), 0);
    CHECK_RET(ioctl(g_m, TIOCSPTLCK, &zero), 0);
    snprintf(g_name, sizeof(g_name), "/dev/pts/%d", n);
    g_s = OK(open(g_name, O_RDWR | O_NOCTTY));
}

static void done(void)
{
    close(g_s);
    close(g_m);
}

static struct termios tio_get(int fd)
{
    struct termios t;
    CHECK_RET(ioctl(fd, TCGETS, &t), 0);
    return t;
}

static void set_modes(unsigned lset, unsigned lclear)
{
    struct termios t = tio_get(g_s);
    t.c_lflag = (t.c_lflag & ~lclear) | lset;
    CHECK_RET(ioctl(g_s, TCSETS, &t), 0);
}

static void raw(void)
{
    struct termios t = tio_get(g_s);
    t.c_lflag &= ~(ICANON | ECHO | ISIG | IEXTEN);
    t.c_oflag &= ~OPOST;
    t.c_iflag = 0;
    t.c_cc[VMIN] = 1;
    t.c_cc[VTIME] = 0;
    CHECK_RET(ioctl(g_s, TCSETS, &t), 0);
}

static void type(const char *s)
{
    CHECK_EQ(OK(write(g_m, s, strlen(s))), strlen(s));
    sleep_ms(5); /* Linux hands it to the line discipline from a work queue */
}

/* What the master sees now. */
static const char *screen(void)
{
    static char b[4096];
    struct pollfd p = {g_m, POLLIN, 0};
    size_t n = 0;
    while (poll(&p, 1, 30) == 1 && (p.revents & POLLIN)) {
        ssize_t r = read(g_m, b + n, sizeof(b) - 1 - n);
        if (r <= 0)
            break;
        n += r;
    }
    b[n] = 0;
    return b;
}

static const char *input(void)
{
    static char b[4096];
    ssize_t r = OK(read(g_s, b, sizeof(b) - 1));
    b[r] = 0;
    return b;
}

static void locking(void)
{
    int n, one = 1, zero = 0;
    g_m = OK(open("/dev/ptmx", O_RDWR | O_NOCTTY));
    CHECK_RET(ioctl(g_m, TIOCGPTLCK, &n), 0);
    CHECK_EQ(n, 1);
    CHECK_RET(ioctl(g_m, TIOCGPTN, &n), 0);
    snprintf(g_name, sizeof(g_name), "/dev/pts/%d", n);
    CHECK_RET(open(g_name, O_RDWR | O_NOCTTY), -EIO);
    CHECK_RET(ioctl(g_m, TIOCSPTLCK, &zero), 0);
    g_s = OK(open(g_name, O_RDWR | O_NOCTTY));
    CHECK_RET(ioctl(g_m, TIOCSPTLCK, &one), 0);
    CHECK_RET(open(g_name, O_RDWR | O_NOCTTY), -EIO);
    CHECK_RET(ioctl(g_m, TIOCSPTLCK, BAD), -EFAULT);
    CHECK_RET(ioctl(g_s, TIOCGPTN, &n), -ENOTTY);
    CHECK_RET(ioctl(g_s, TIOCSPTLCK, &n), -ENOTTY);
    CHECK_RET(ioctl(g_m, TIOCGPTPEER, O_RDWR | O_NOCTTY), -EIO);
    CHECK_RET(ioctl(g_m, TIOCSPTLCK, &zero), 0);
    int peer = OK(ioctl(g_m, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
    CHECK_RET(fcntl(peer, F_GETFD), 1);
    CHECK_RET(fcntl(peer, F_GETFL) & O_ACCMODE, O_RDWR);
    CHECK_RET(ioctl(g_s, TIOCGPTPEER, O_RDWR | O_NOCTTY), -EIO);
    struct stat a, b;
    OK(fstat(peer, &a));
    OK(stat(g_name, &b));
    CHECK_EQ(a.st_rdev, b.st_rdev);
    CHECK_EQ(a.st_ino, b.st_ino);
    OK(close(g_m));
    CHECK_RET(stat(g_name, &b), -ENOENT);
    done();
}

static void settings(void)
{
    pair();
    struct termios t = tio_get(g_s);
    CHECK_EQ(t.c_iflag, ICRNL | IXON);
    CHECK_EQ(t.c_oflag, OPOST | ONLCR);
    CHECK_EQ(t.c_cflag, B38400 | CS8 | CREAD);
    CHECK_EQ(t.c_lflag, ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN);
    CHECK_EQ(t.c_cc[VINTR], 3);
    CHECK_EQ(t.c_cc[VMIN], 1);
    CHECK_EQ(t.c_cc[VEOF], 4);
    CHECK_EQ(tio_get(g_m).c_lflag, t.c_lflag);
    CHECK_RET(ioctl(g_s, TCGETS, BAD), -EFAULT);
    CHECK_RET(ioctl(g_s, TCSETS, BAD), -EFAULT);
    t.c_cc[VEOF] = 7;
    t.c_cflag |= PARENB | CSTOPB;
    CHECK_RET(ioctl(g_s, TCSETS, &t), 0);
    t = tio_get(g_s);
    CHECK_EQ(t.c_cc[VEOF], 7);
    CHECK_EQ(t.c_cflag, B38400 | CS8 | CREAD | CSTOPB);
    t.c_cflag = (t.c_cflag & ~CSIZE) | CS5;
    CHECK_RET(ioctl(g_s, TCSETSW, &t), 0);
    CHECK_EQ(tio_get(g_s).c_cflag & CSIZE, CS8);
    struct termios2 t2;
    CHECK_RET(ioctl(g_s, TCGETS2, &t2), 0);
    CHECK_EQ(t2.c_ospeed, 38400);
    t2.c_cflag = (t2.c_cflag & ~CBAUD) | BOTHER;
    t2.c_ospeed = t2.c_ispeed = 12345;
    CHECK_RET(ioctl(g_s, TCSETS2, &t2), 0);
    CHECK_RET(ioctl(g_s, TCGETS2, &t2), 0);
    CHECK_EQ(t2.c_ospeed, 12345);
    t = tio_get(g_s);
    t.c_cflag = (t.c_cflag & ~CBAUD) | B9600;
    CHECK_RET(ioctl(g_s, TCSETS, &t), 0);
    CHECK_RET(ioctl(g_s, TCGETS2, &t2), 0);
    CHECK_EQ(t2.c_ospeed, 9600);
    struct termio old;
    CHECK_RET(ioctl(g_s, TCGETA, &old), 0);
    CHECK_EQ(old.c_lflag, (unsigned short)t.c_lflag);
    CHECK_EQ(old.c_cc[VINTR], 3);
    old.c_lflag &= ~ECHO;
    CHECK_RET(ioctl(g_s, TCSETA, &old), 0);
    CHECK_EQ(tio_get(g_s).c_lflag & ECHO, 0);
    CHECK_RET(ioctl(g_s, TCSETAW, &old), 0);
    CHECK_RET(ioctl(g_s, TCSETAF, &old), 0);
    done();
}

static void small_ioctls(void)
{
    pair();
    int n = 77, pid = 0;
    unsigned u;
    struct winsize ws = {24, 80, 1, 2}, got;
    CHECK_RET(ioctl(g_s, TIOCGWINSZ, &got), 0);
    CHECK_EQ(got.ws_row, 0);
    CHECK_RET(ioctl(g_s, TIOCSWINSZ, &ws), 0);
    CHECK_RET(ioctl(g_m, TIOCGWINSZ, &got), 0);
    CHECK(got.ws_row == 24 && got.ws_col == 80 && got.ws_xpixel == 1 && got.ws_ypixel == 2);
    CHECK_RET(ioctl(g_s, TIOCGWINSZ, BAD), -EFAULT);
    CHECK_RET(ioctl(g_s, TIOCSWINSZ, BAD), -EFAULT);
    CHECK_RET(ioctl(g_s, TIOCGETD, &n), 0);
    CHECK_EQ(n, 0);
    CHECK_RET(ioctl(g_s, TIOCSETD, &n), 0);
    n = 999;
    CHECK_RET(ioctl(g_s, TIOCSETD, &n), -EINVAL);
    CHECK_RET(ioctl(g_s, TIOCSETD, BAD), -EFAULT);
    CHECK_RET(ioctl(g_s, TIOCGDEV, &u), 0);
    struct stat st;
    OK(fstat(g_s, &st));
    CHECK_EQ(u, st.st_rdev);
    CHECK_RET(ioctl(g_s, TCXONC, 9), -EINVAL);
    CHECK_RET(ioctl(g_s, TCFLSH, 9), -EINVAL);
    CHECK_RET(ioctl(g_s, TCFLSH, TCIOFLUSH), 0);
    CHECK_RET(ioctl(g_s, TCSBRK, 1), 0);
    CHECK_RET(ioctl(g_s, TCSBRK, 0), 0);
    CHECK_RET(ioctl(g_s, TCSBRKP, 0), 0);
    CHECK_RET(ioctl(g_s, TIOCSBRK, 0), 0);
    CHECK_RET(ioctl(g_s, TIOCCBRK, 0), 0);
    CHECK_RET(ioctl(g_s, TIOCGSOFTCAR, &n), 0);
    CHECK_EQ(n, 0);
    n = 1;
    CHECK_RET(ioctl(g_s, TIOCSSOFTCAR, &n), 0);
    CHECK_RET(ioctl(g_s, TIOCGSOFTCAR, &n), 0);
    CHECK_EQ(n, 1);
    CHECK_RET(ioctl(g_s, TIOCMGET, &n), -ENOTTY);
    CHECK_RET(ioctl(g_s, TIOCMSET, &n), -ENOTTY);
    CHECK_RET(ioctl(g_s, TIOCGICOUNT, &n), -ENOTTY);
    CHECK_RET(ioctl(g_s, TIOCGSERIAL, &n), -ENOTTY);
    CHECK_RET(ioctl(g_s, TIOCGPGRP, &pid), -ENOTTY);
    CHECK_RET(ioctl(g_s, TIOCSPGRP, &pid), -ENOTTY);
    CHECK_RET(ioctl(g_s, TIOCGSID, &pid), -ENOTTY);
    CHECK_RET(ioctl(g_s, TIOCNOTTY), -ENOTTY);
    CHECK_RET(ioctl(g_m, TIOCSIG, 99), -EINVAL);
    CHECK_RET(ioctl(g_s, 0x54ff, &n), -ENOTTY);
    CHECK_RET(ioctl(g_s, TIOCGEXCL, &n), 0);
    CHECK_EQ(n, 0);
    CHECK_RET(ioctl(g_s, TIOCEXCL), 0);
    CHECK_RET(ioctl(g_s, TIOCGEXCL, &n), 0);
    CHECK_EQ(n, 1);
    IN_CHILD({
        OK(setresuid(65534, 65534, 65534));
        CHECK_RET(open(g_name, O_RDWR | O_NOCTTY), -EACCES);
    });
    CHECK_RET(ioctl(g_s, TIOCNXCL), 0);
    done();
}

static void exclusive_use(void)
{
    pair();
    OK(fchmod(g_s, 0666));
    CHECK_RET(ioctl(g_s, TIOCEXCL), 0);
    OK(close(OK(open(g_name, O_RDWR | O_NOCTTY)))); /* root may */
    IN_CHILD({
        OK(setresuid(65534, 65534, 65534));
        CHECK_RET(open(g_name, O_RDWR | O_NOCTTY), -EBUSY);
    });
    CHECK_RET(ioctl(g_s, TIOCNXCL), 0);
    IN_CHILD({
        OK(setresuid(65534, 65534, 65534));
        CHECK(open(g_name, O_RDWR | O_NOCTTY) >= 0);
    });
    done();
}

static void counting(void)
{
    int n;
    pair();
    type("abc");
    CHECK_RET(ioctl(g_s, FIONREAD, &n), 0);
    CHECK_EQ(n, 0);
    type("d\n");
    CHECK_RET(ioctl(g_s, FIONREAD, &n), 0);
    CHECK_EQ(n, 5);
    CHECK_STR(screen(), "abcd\r\n");
    CHECK_STR(input(), "abcd\n");
    CHECK_RET(ioctl(g_s, FIONREAD, &n), 0);
    CHECK_EQ(n, 0);
    CHECK_RET(ioctl(g_s, TIOCOUTQ, &n), 0);
    CHECK_EQ(n, 0);
    CHECK_RET(ioctl(g_s, FIONREAD, BAD), -EFAULT);
    done();
}

static void flushing(void)
{
    pair();
    raw();
    type("abc");
    CHECK_RET(ioctl(g_s, TCFLSH, TCIFLUSH), 0);
    CHECK_RET(fcntl(g_s, F_SETFL, O_NONBLOCK), 0);
    char b[8];
    CHECK_RET(read(g_s, b, 8), -EAGAIN);
    type("abc");
    struct termios t = tio_get(g_s);
    CHECK_RET(ioctl(g_s, TCSETSF, &t), 0);
    CHECK_RET(read(g_s, b, 8), -EAGAIN);
    OK(write(g_s, "out", 3));
    CHECK_RET(ioctl(g_m, TCFLSH, TCIFLUSH), 0);
    done();
}

static void stopping_output(void)
{
    pair();
    raw();
    CHECK_RET(fcntl(g_s, F_SETFL, O_NONBLOCK), 0);
    CHECK_RET(ioctl(g_s, TCXONC, TCOOFF), 0);
    CHECK_RET(write(g_s, "x", 1), -EAGAIN);
    struct pollfd p = {g_s, POLLOUT, 0};
    CHECK_RET(poll(&p, 1, 0), 0);
    CHECK_RET(ioctl(g_s, TCXONC, TCOON), 0);
    CHECK_RET(write(g_s, "x", 1), 1);
    CHECK_STR(screen(), "x");
    CHECK_RET(ioctl(g_s, TCXONC, TCIOFF), 0);
    CHECK_STR(screen(), "\x13");
    CHECK_RET(ioctl(g_s, TCXONC, TCION), 0);
    CHECK_STR(screen(), "\x11");
    done();
}

static void editing(void)
{
    pair();
    type("abx\177c\n");
    CHECK_STR(input(), "abc\n");
    CHECK_STR(screen(), "abx\b \bc\r\n");
    type("foo bar\027baz\n");
    CHECK_STR(input(), "foo baz\n");
    CHECK_STR(screen(), "foo bar\b \b\b \b\b \bbaz\r\n");
    type("junk\025ok\n");
    CHECK_STR(input(), "ok\n");
    CHECK_STR(screen(), "junk\b \b\b \b\b \b\b \bok\r\n");
    type("a\026\003b\n");
    CHECK_STR(input(), "a\003b\n");
    CHECK_STR(screen(), "a^\b^Cb\r\n");
    type("re\022do\n");
    CHECK_STR(input(), "redo\n");
    CHECK_STR(screen(), "re^R\r\nredo\r\n");
    type("\004");
    char b[8];
    CHECK_RET(read(g_s, b, 8), 0);
    type("xy\004");
    CHECK_RET(read(g_s, b, 8), 2);
    type("long line\n");
    CHECK_RET(read(g_s, b, 4), 4);
    CHECK_RET(read(g_s, b, 8), 6);
    screen();
    set_modes(0, ECHO);
    type("q\n");
    CHECK_STR(input(), "q\n");
    CHECK_STR(screen(), "");
    set_modes(ECHONL, 0);
    type("q\n");
    CHECK_STR(input(), "q\n");
    CHECK_STR(screen(), "\r\n");
    done();
}

static void input_modes(void)
{
    pair();
    struct termios t = tio_get(g_s);
    t.c_lflag &= ~ECHO;
    t.c_iflag = INLCR | ISTRIP;
    CHECK_RET(ioctl(g_s, TCSETS, &t), 0);
    t.c_lflag &= ~ICANON;
    CHECK_RET(ioctl(g_s, TCSETS, &t), 0);
    type("a\n\xe1");
    CHECK_STR(input(), "a\ra");
    t.c_iflag = IGNCR | IUCLC;
    CHECK_RET(ioctl(g_s, TCSETS, &t), 0);
    type("A\rB");
    CHECK_STR(input(), "ab");
    t.c_iflag = PARMRK;
    CHECK_RET(ioctl(g_s, TCSETS, &t), 0);
    type("\xff");
    CHECK_STR(input(), "\xff\xff");
    done();
}

static void output_modes(void)
{
    pair();
    struct termios t = tio_get(g_s);
    OK(write(g_s, "a\nb\tc", 5));
    CHECK_STR(screen(), "a\r\nb\tc");
    t.c_oflag = OPOST | OCRNL;
    CHECK_RET(ioctl(g_s, TCSETS, &t), 0);
    OK(write(g_s, "a\rb\n", 4));
    CHECK_STR(screen(), "a\nb\n");
    t.c_oflag = OPOST | ONOCR | ONLRET;
    CHECK_RET(ioctl(g_s, TCSETS, &t), 0);
    OK(write(g_s, "\n\ra\r", 4));
    CHECK_STR(screen(), "\na\r");
    t.c_oflag = OPOST | TAB3;
    CHECK_RET(ioctl(g_s, TCSETS, &t), 0);
    OK(write(g_s, "\r12\t3", 5));
    CHECK_STR(screen(), "\r12      3");
    t.c_oflag = OPOST | OLCUC;
    CHECK_RET(ioctl(g_s, TCSETS, &t), 0);
    OK(write(g_s, "aBc", 3));
    CHECK_STR(screen(), "ABC");
    t.c_oflag = ONLCR;
    CHECK_RET(ioctl(g_s, TCSETS, &t), 0);
    OK(write(g_s, "a\n", 2));
    CHECK_STR(screen(), "a\n");
    done();
}

static void raw_reads(void)
{
    pair();
    raw();
    char b[16];
    struct termios t = tio_get(g_s);
    t.c_cc[VMIN] = 0;
    CHECK_RET(ioctl(g_s, TCSETS, &t), 0);
    CHECK_RET(read(g_s, b, 8), 0);
    type("xy");
    CHECK_RET(read(g_s, b, 8), 2);
    t.c_cc[VTIME] = 1;
    CHECK_RET(ioctl(g_s, TCSETS, &t), 0);
    int64_t t0 = now_ns();
    CHECK_RET(read(g_s, b, 8), 0);
    CHECK(now_ns() - t0 >= 90000000);
    t.c_cc[VTIME] = 0;
    t.c_cc[VMIN] = 3;
    CHECK_RET(ioctl(g_s, TCSETS, &t), 0);
    struct pollfd p = {g_s, POLLIN, 0};
    type("ab");
    CHECK_RET(poll(&p, 1, 0), 0);
    type("c");
    CHECK_RET(poll(&p, 1, 0), 1);
    CHECK_RET(read(g_s, b, 8), 3);
    type("abcde");
    CHECK_RET(read(g_s, b, 2), 2);
    CHECK_RET(read(g_s, b, 16), 3);
    t.c_cc[VTIME] = 1;
    CHECK_RET(ioctl(g_s, TCSETS, &t), 0);
    type("a");
    CHECK_RET(read(g_s, b, 16), 1); /* the time between characters has run out */
    done();
}

static void packet_mode(void)
{
    pair();
    int on = 1, off = 0, n;
    char b[64];
    CHECK_RET(ioctl(g_m, TIOCPKT, &on), 0);
    CHECK_RET(ioctl(g_m, TIOCGPKT, &n), 0);
    CHECK_EQ(n, 1);
    CHECK_RET(ioctl(g_s, TIOCPKT, &on), -ENOTTY);
    OK(write(g_s, "hi", 2));
    CHECK_RET(read(g_m, b, 64), 3);
    CHECK(b[0] == TIOCPKT_DATA && b[1] == 'h');
    CHECK_RET(ioctl(g_s, TCFLSH, TCIFLUSH), 0);
    struct pollfd p = {g_m, POLLIN | POLLPRI, 0};
    CHECK_RET(poll(&p, 1, 0), 1);
    CHECK(p.revents & POLLPRI);
    CHECK_RET(read(g_m, b, 64), 1);
    CHECK_EQ(b[0], TIOCPKT_FLUSHREAD);
    CHECK_RET(ioctl(g_s, TCXONC, TCOOFF), 0);
    CHECK_RET(read(g_m, b, 64), 1);
    CHECK_EQ(b[0], TIOCPKT_STOP);
    CHECK_RET(ioctl(g_s, TCXONC, TCOON), 0);
    CHECK_RET(read(g_m, b, 64), 1);
    CHECK_EQ(b[0], TIOCPKT_START);
    struct termios t = tio_get(g_s);
    t.c_iflag &= ~IXON;
    CHECK_RET(ioctl(g_s, TCSETS, &t), 0);
    CHECK_RET(read(g_m, b, 64), 1);
    CHECK_EQ(b[0], TIOCPKT_NOSTOP);
    t.c_iflag |= IXON;
    CHECK_RET(ioctl(g_s, TCSETS, &t), 0);
    CHECK_RET(read(g_m, b, 64), 1);
    CHECK_EQ(b[0], TIOCPKT_DOSTOP);
    t.c_lflag |= EXTPROC;
    CHECK_RET(ioctl(g_s, TCSETS, &t), 0);
    CHECK_RET(read(g_m, b, 64), 1);
    CHECK_EQ(b[0], TIOCPKT_IOCTL);
    CHECK_RET(ioctl(g_m, TIOCPKT, &off), 0);
    done();
}

static void ends_close(void)
{
    char b[8];
    pair();
    OK(write(g_s, "bye", 3));
    OK(close(g_s));
    CHECK_RET(read(g_m, b, 8), 3);
    CHECK_RET(read(g_m, b, 8), -EIO);
    struct pollfd p = {g_m, POLLIN | POLLOUT, 0};
    CHECK_RET(poll(&p, 1, 0), 1);
    CHECK_EQ(p.revents, POLLHUP | POLLOUT);
    CHECK_RET(write(g_m, "x", 1), 1);
    g_s = OK(open(g_name, O_RDWR | O_NOCTTY));
    OK(close(g_m));
    CHECK_RET(read(g_s, b, 8), 0);
    CHECK_RET(write(g_s, "x", 1), -EIO);
    struct termios t;
    CHECK_RET(ioctl(g_s, TCGETS, &t), -EIO);
    CHECK_RET(ioctl(g_s, FIONREAD, b), -EIO);
    p = (struct pollfd){g_s, POLLIN | POLLOUT, 0};
    CHECK_RET(poll(&p, 1, 0), 1);
    CHECK_EQ(p.revents, POLLIN | POLLOUT | POLLERR | POLLHUP);
    CHECK_RET(open(g_name, O_RDWR | O_NOCTTY), -ENOENT);
    done();
}

/* ---- the controlling terminal ---- */

static volatile int g_sig;
static void on_sig(int sig)
{
    g_sig = sig;
}

static void in_new_session(void (*fn)(void))
{
    pid_t pid = OK(fork());
    if (!pid) {
        OK(setsid());
        pair();
        fn();
        _exit(0);
    }
    WAIT_EXIT(pid, 0);
}

static void controlling_body(void)
{
    int pid;
    CHECK_RET(open("/dev/tty", O_RDWR), -ENXIO);
    CHECK_RET(ioctl(g_s, TIOCSCTTY, 0), 0);
    CHECK_RET(ioctl(g_s, TIOCSCTTY, 0), 0);
    CHECK_RET(ioctl(g_s, TIOCGPGRP, &pid), 0);
    CHECK_EQ(pid, getpid());
    CHECK_RET(ioctl(g_s, TIOCGSID, &pid), 0);
    CHECK_EQ(pid, getpid());
    CHECK_RET(ioctl(g_m, TIOCGPGRP, &pid), 0);
    CHECK_EQ(pid, getpid());
    CHECK_RET(ioctl(g_m, TIOCGSID, &pid), 0);
    CHECK_EQ(pid, getpid());
    int tty = OK(open("/dev/tty", O_RDWR));
    CHECK_RET(ioctl(tty, TIOCGSID, &pid), 0);
    pid = 4194300;
    CHECK_RET(ioctl(tty, TIOCSPGRP, &pid), -ESRCH);
    pid = -1;
    CHECK_RET(ioctl(tty, TIOCSPGRP, &pid), -EINVAL);
    pid = 1;
    long r = ioctl(tty, TIOCSPGRP, &pid);
    CHECK(r == -1 && (errno == EPERM || errno == ESRCH));
    CHECK_RET(ioctl(tty, TIOCSPGRP, BAD), -EFAULT);
    handle(SIGINT, on_sig, 0);
    handle(SIGQUIT, on_sig, 0);
    handle(SIGTSTP, on_sig, 0);
    handle(SIGWINCH, on_sig, 0);
    type("\003");
    for (int i = 0; i < 500 && !g_sig; i++)
        sleep_ms(1);
    CHECK_EQ(g_sig, SIGINT);
    CHECK_RET(ioctl(g_m, TIOCSIG, SIGQUIT), 0);
    for (int i = 0; i < 500 && g_sig != SIGQUIT; i++)
        sleep_ms(1);
    CHECK_EQ(g_sig, SIGQUIT);
    struct winsize ws = {10, 10, 0, 0};
    CHECK_RET(ioctl(g_m, TIOCSWINSZ, &ws), 0);
    for (int i = 0; i < 500 && g_sig != SIGWINCH; i++)
        sleep_ms(1);
    CHECK_EQ(g_sig, SIGWINCH);
    handle(SIGHUP, on_sig, 0);
    handle(SIGCONT, on_sig, 0);
    CHECK_RET(ioctl(tty, TIOCNOTTY), 0);
    CHECK_RET(open("/dev/tty", O_RDWR), -ENXIO);
    CHECK(g_sig == SIGHUP || g_sig == SIGCONT);
}

static void controlling(void)
{
    in_new_session(controlling_body);
}

static void hangup_body(void)
{
    char b[4];
    CHECK_RET(ioctl(g_s, TIOCSCTTY, 0), 0);
    handle(SIGHUP, on_sig, 0);
    CHECK_RET(vhangup(), 0);
    for (int i = 0; i < 500 && g_sig != SIGHUP; i++)
        sleep_ms(1);
    CHECK_EQ(g_sig, SIGHUP);
    CHECK_RET(read(g_s, b, 4), 0);
    CHECK_RET(write(g_s, b, 4), -EIO);
    CHECK_RET(open("/dev/tty", O_RDWR), -ENXIO);
    CHECK_RET(fcntl(g_m, F_SETFL, O_NONBLOCK), 0);
    CHECK_RET(read(g_m, b, 4), -EAGAIN);
    int again = OK(open(g_name, O_RDWR | O_NOCTTY));
    CHECK_RET(write(again, "x", 1), 1);
    CHECK_RET(read(g_m, b, 4), 1);
}

static void hanging_up(void)
{
    in_new_session(hangup_body);
    IN_CHILD({
        OK(setresuid(65534, 65534, 65534));
        CHECK_RET(vhangup(), -EPERM);
    });
}

static void background_body(void)
{
    char b[8];
    CHECK_RET(ioctl(g_s, TIOCSCTTY, 0), 0);
    pid_t pid = OK(fork());
    if (!pid) {
        OK(setpgid(0, 0));
        struct termios t = tio_get(g_s);
        signal(SIGTTIN, SIG_IGN);
        CHECK_RET(read(g_s, b, 1), -EIO);
        signal(SIGTTOU, SIG_IGN);
        CHECK_RET(ioctl(g_s, TCSETS, &t), 0);
        t.c_lflag |= TOSTOP;
        CHECK_RET(ioctl(g_s, TCSETS, &t), 0);
        CHECK_RET(write(g_s, "x", 1), 1);
        signal(SIGTTOU, SIG_DFL);
        write(g_s, "y", 1);
        signal(SIGTTIN, SIG_DFL);
        read(g_s, b, 1);
        _exit(7);
    }
    int st;
    CHECK_EQ(OK(waitpid(pid, &st, WUNTRACED)), pid);
    CHECK(WIFSTOPPED(st) && WSTOPSIG(st) == SIGTTOU);
    CHECK_STR(screen(), "x");
    int pgrp = pid;
    CHECK_RET(ioctl(g_s, TIOCSPGRP, &pgrp), 0);
    OK(kill(pid, SIGCONT));
    for (int i = 0; i < 100 && strcmp(screen(), "y"); i++)
        ;
    type("z\n");
    WAIT_EXIT(pid, 7);
}

static void background(void)
{
    in_new_session(background_body);
}

static void faking_body(void)
{
    CHECK_RET(ioctl(g_s, TIOCSCTTY, 0), 0);
    char c = 'k', name[] = "/proc/sys/dev/tty/legacy_tiocsti", b[8];
    int fd = open(name, O_RDONLY);
    b[0] = '1';
    if (fd >= 0)
        read(fd, b, 1);
    if (b[0] == '1') {
        CHECK_RET(ioctl(g_s, TIOCSTI, &c), 0);
        c = '\n';
        CHECK_RET(ioctl(g_s, TIOCSTI, &c), 0);
        CHECK_STR(input(), "k\n");
        CHECK_RET(ioctl(g_s, TIOCSTI, BAD), -EFAULT);
    }
}

static void faking_input(void)
{
    in_new_session(faking_body);
}

GUEST_MAIN(C(locking), C(settings), C(small_ioctls), C(exclusive_use), C(counting), C(flushing),
           C(stopping_output), C(editing), C(input_modes), C(output_modes), C(raw_reads),
           C(packet_mode), C(ends_close), C(controlling), C(hanging_up), C(background),
           C(faking_input))
