/* Unix sockets: stream, datagram, seqpacket; names, abstract names; descriptors and credentials in messages. */
#include "guest.h"
#include <poll.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

static int g_s[2];

static void pair(int type)
{
    OK(socketpair(AF_UNIX, type, 0, g_s));
}

static void done(void)
{
    close(g_s[0]);
    close(g_s[1]);
}

static struct sockaddr_un name(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    strcpy(a.sun_path, path);
    return a;
}

static void stream_pair(void)
{
    char buf[16] = "";
    pair(SOCK_STREAM);
    CHECK_EQ(write(g_s[0], "abc", 3), 3);
    CHECK_EQ(send(g_s[0], "def", 3, 0), 3);
    CHECK_EQ(recv(g_s[1], buf, 4, MSG_PEEK), 4);
    CHECK_EQ(read(g_s[1], buf, 16), 6);
    CHECK_STR(buf, "abcdef");
    CHECK_EQ(write(g_s[1], "back", 4), 4);
    int n;
    OK(ioctl(g_s[0], FIONREAD, &n));
    CHECK_EQ(n, 4);
    CHECK_ERR(recv(g_s[1], buf, 1, MSG_DONTWAIT), EAGAIN);
    close(g_s[0]);
    CHECK(recv(g_s[1], buf, 1, 0) <= 0); /* the peer left with unread data: ECONNRESET, then end */
    CHECK_EQ(recv(g_s[1], buf, 1, 0), 0);
    handle(SIGPIPE, SIG_IGN, 0);
    CHECK_ERR(write(g_s[1], "x", 1), EPIPE);
    CHECK_ERR(send(g_s[1], "x", 1, MSG_NOSIGNAL), EPIPE);
    close(g_s[1]);
}

static void datagrams(void)
{
    char buf[16];
    pair(SOCK_DGRAM);
    OK(send(g_s[0], "one", 3, 0));
    OK(send(g_s[0], "", 0, 0));
    OK(send(g_s[0], "three", 5, 0));
    CHECK_EQ(recv(g_s[1], buf, 16, 0), 3);
    CHECK_EQ(recv(g_s[1], buf, 16, 0), 0);
    CHECK_EQ(recv(g_s[1], buf, 2, MSG_TRUNC), 5);
    CHECK_ERR(recv(g_s[1], buf, 16, MSG_DONTWAIT), EAGAIN); /* the rest of it is gone */
    static char big[1 << 20];
    CHECK_ERR(send(g_s[0], big, sizeof(big), 0), EMSGSIZE);
    done();
}

static void seqpacket(void)
{
    char buf[16];
    pair(SOCK_SEQPACKET);
    OK(send(g_s[0], "one", 3, 0));
    OK(send(g_s[0], "two!", 4, 0));
    CHECK_EQ(recv(g_s[1], buf, 16, 0), 3);
    struct iovec v = {buf, 2};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
    CHECK_EQ(recvmsg(g_s[1], &m, 0), 2);
    CHECK(m.msg_flags & MSG_TRUNC);
    close(g_s[0]);
    CHECK_EQ(recv(g_s[1], buf, 16, 0), 0);
    close(g_s[1]);
}

static void named_stream(void)
{
    struct sockaddr_un a = name("sock"), got;
    socklen_t len = sizeof(got);
    int l = OK(socket(AF_UNIX, SOCK_STREAM, 0)), c = OK(socket(AF_UNIX, SOCK_STREAM, 0));
    CHECK_ERR(connect(c, (void *)&a, sizeof(a)), ENOENT);
    OK(bind(l, (void *)&a, sizeof(a)));
    CHECK_ERR(connect(c, (void *)&a, sizeof(a)), ECONNREFUSED);
    OK(listen(l, 5));
    OK(connect(c, (void *)&a, sizeof(a)));
    CHECK_ERR(connect(c, (void *)&a, sizeof(a)), EISCONN);
    int s = OK(accept4(l, (void *)&got, &len, SOCK_CLOEXEC | SOCK_NONBLOCK));
    CHECK_EQ(len, 2); /* the client has no name */
    CHECK_EQ(fcntl(s, F_GETFD), FD_CLOEXEC);
    len = sizeof(got);
    OK(getpeername(c, (void *)&got, &len));
    CHECK_STR(got.sun_path, "sock");
    len = sizeof(got);
    OK(getsockname(l, (void *)&got, &len));
    CHECK_STR(got.sun_path, "sock");
    OK(write(c, "hi", 2));
    char buf[4];
    CHECK_EQ(read(s, buf, 4), 2);
    int l2 = OK(socket(AF_UNIX, SOCK_STREAM, 0));
    CHECK_ERR(bind(l2, (void *)&a, sizeof(a)), EADDRINUSE);
    struct stat st;
    OK(stat("sock", &st));
    CHECK(S_ISSOCK(st.st_mode));
    OK(unlink("sock"));
    OK(bind(l2, (void *)&a, sizeof(a)));
    close(l), close(l2), close(c), close(s);
}

static void abstract_names(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    socklen_t len = offsetof(struct sockaddr_un, sun_path) + 1 + snprintf(a.sun_path + 1, 50, "rf-test-%d", getpid());
    int l = OK(socket(AF_UNIX, SOCK_STREAM, 0)), l2 = OK(socket(AF_UNIX, SOCK_STREAM, 0)), c = OK(socket(AF_UNIX, SOCK_STREAM, 0));
    OK(bind(l, (void *)&a, len));
    CHECK_ERR(bind(l2, (void *)&a, len), EADDRINUSE);
    OK(listen(l, 1));
    OK(connect(c, (void *)&a, len));
    close(l);
    CHECK_ERR(connect(l2, (void *)&a, len), ECONNREFUSED);
    OK(bind(l2, (void *)&a, len)); /* free again when its socket is closed */
    close(l2), close(c);
    int d = OK(socket(AF_UNIX, SOCK_DGRAM, 0));
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    OK(bind(d, (void *)&un, sizeof(sa_family_t))); /* a name is chosen */
    len = sizeof(un);
    OK(getsockname(d, (void *)&un, &len));
    CHECK_EQ(len, offsetof(struct sockaddr_un, sun_path) + 6);
    close(d);
}

static void named_datagrams(void)
{
    struct sockaddr_un a = name("a"), b = name("b"), from;
    socklen_t len = sizeof(from);
    char buf[16] = "";
    int x = OK(socket(AF_UNIX, SOCK_DGRAM, 0)), y = OK(socket(AF_UNIX, SOCK_DGRAM, 0));
    OK(bind(x, (void *)&a, sizeof(a)));
    CHECK_ERR(sendto(x, "q", 1, 0, (void *)&b, sizeof(b)), ENOENT);
    OK(bind(y, (void *)&b, sizeof(b)));
    CHECK_EQ(sendto(x, "hello", 5, 0, (void *)&b, sizeof(b)), 5);
    CHECK_EQ(recvfrom(y, buf, 16, 0, (void *)&from, &len), 5);
    CHECK_STR(from.sun_path, "a");
    CHECK_ERR(send(x, "q", 1, 0), ENOTCONN);
    OK(connect(x, (void *)&b, sizeof(b)));
    CHECK_EQ(send(x, "q", 1, 0), 1);
    CHECK_ERR(listen(x, 1), EOPNOTSUPP);
    close(y);
    CHECK_ERR(send(x, "q", 1, 0), ECONNREFUSED);
    close(x);
}

static ssize_t send_fds(int s, const int *fds, int n, const char *text)
{
    union {
        char raw[CMSG_SPACE(sizeof(int) * 300)];
        struct cmsghdr align;
    } u;
    struct iovec v = {(void *)text, strlen(text)};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = u.raw, .msg_controllen = CMSG_SPACE(sizeof(int) * n)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS, c->cmsg_len = CMSG_LEN(sizeof(int) * n);
    memcpy(CMSG_DATA(c), fds, sizeof(int) * n);
    return sendmsg(s, &m, 0);
}

static int recv_fds(int s, int *fds, int max, char *text, int size, int flags, int *msg_flags)
{
    union {
        char raw[CMSG_SPACE(sizeof(int) * 300)];
        struct cmsghdr align;
    } u;
    struct iovec v = {text, size};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = u.raw, .msg_controllen = max ? CMSG_SPACE(sizeof(int) * max) : 0};
    OK(recvmsg(s, &m, flags));
    if (msg_flags)
        *msg_flags = m.msg_flags;
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    if (!c || c->cmsg_type != SCM_RIGHTS)
        return 0;
    int n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(fds, CMSG_DATA(c), n * sizeof(int));
    return n;
}

static void passing_descriptors(void)
{
    int p[2], got[4], flags;
    char buf[16] = "";
    pair(SOCK_STREAM);
    OK(pipe(p));
    pid_t child = OK(fork());
    if (!child) {
        close(p[0]), close(p[1]);
        CHECK_EQ(recv_fds(g_s[1], got, 4, buf, 16, 0, NULL), 2);
        CHECK_STR(buf, "fds");
        CHECK_EQ(write(got[1], "via", 3), 3);
        _exit(0);
    }
    CHECK_EQ(send_fds(g_s[0], p, 2, "fds"), 3);
    WAIT_EXIT(child, 0);
    CHECK_EQ(read(p[0], buf, 16), 3);
    CHECK_EQ(send_fds(g_s[0], p, 1, "x"), 1);
    CHECK_EQ(recv_fds(g_s[1], got, 1, buf, 16, MSG_CMSG_CLOEXEC, NULL), 1);
    CHECK_EQ(fcntl(got[0], F_GETFD), FD_CLOEXEC);
    close(got[0]);
    CHECK_EQ(send_fds(g_s[0], p, 2, "x"), 1);
    CHECK_EQ(recv_fds(g_s[1], got, 0, buf, 16, 0, &flags), 0);
    CHECK(flags & MSG_CTRUNC);
    close(p[0]), close(p[1]);
    done();
}

static void descriptors_in_flight_survive_close(void)
{
    int p[2], got[1];
    char buf[16];
    pair(SOCK_DGRAM);
    OK(pipe(p));
    OK(send_fds(g_s[0], &p[1], 1, "x"));
    close(p[1]);
    CHECK_EQ(recv_fds(g_s[1], got, 1, buf, 16, 0, NULL), 1);
    OK(write(got[0], "y", 1));
    close(got[0]);
    CHECK_EQ(read(p[0], buf, 16), 1);
    CHECK_EQ(read(p[0], buf, 16), 0);
    close(p[0]);
    done();
}

static void passing_errors(void)
{
    int fds[300];
    pair(SOCK_STREAM);
    fds[0] = 999;
    CHECK_ERR(send_fds(g_s[0], fds, 1, "x"), EBADF);
    for (int i = 0; i < 300; i++)
        fds[i] = 0;
    CHECK_ERR(send_fds(g_s[0], fds, 254, "x"), EINVAL);
    CHECK_EQ(send_fds(g_s[0], fds, 253, "x"), 1);
    done();
}

static void cycle_of_sockets_is_collected(void)
{
    /* sockets that hold only each other: no way to see it but that nothing runs out */
    for (int i = 0; i < 200; i++) {
        pair(SOCK_STREAM);
        OK(send_fds(g_s[0], &g_s[1], 1, "x"));
        OK(send_fds(g_s[1], &g_s[0], 1, "x"));
        done();
    }
}

static void credentials(void)
{
    struct ucred uc;
    socklen_t len = sizeof(uc);
    int one = 1;
    pair(SOCK_STREAM);
    OK(getsockopt(g_s[0], SOL_SOCKET, SO_PEERCRED, &uc, &len));
    CHECK_EQ(uc.pid, getpid());
    CHECK_EQ(uc.uid, getuid());
    OK(setsockopt(g_s[1], SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)));
    pid_t p = OK(fork());
    if (!p)
        _exit(write(g_s[0], "x", 1) != 1);
    WAIT_EXIT(p, 0);
    union {
        char raw[CMSG_SPACE(sizeof(struct ucred))];
        struct cmsghdr align;
    } u;
    char c;
    struct iovec v = {&c, 1};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = u.raw, .msg_controllen = sizeof(u.raw)};
    CHECK_EQ(recvmsg(g_s[1], &m, 0), 1);
    struct cmsghdr *cm = CMSG_FIRSTHDR(&m);
    CHECK(cm && cm->cmsg_type == SCM_CREDENTIALS);
    memcpy(&uc, CMSG_DATA(cm), sizeof(uc));
    CHECK_EQ(uc.pid, p);
    done();
}

static void shutdowns(void)
{
    char c;
    pair(SOCK_STREAM);
    OK(shutdown(g_s[0], SHUT_WR));
    CHECK_EQ(read(g_s[1], &c, 1), 0);
    handle(SIGPIPE, SIG_IGN, 0);
    CHECK_ERR(write(g_s[0], "x", 1), EPIPE);
    CHECK_EQ(write(g_s[1], "x", 1), 1);
    CHECK_EQ(read(g_s[0], &c, 1), 1);
    struct pollfd p = {g_s[1], POLLIN | POLLRDHUP, 0};
    CHECK_EQ(poll(&p, 1, 0), 1);
    CHECK_EQ(p.revents, POLLIN | POLLRDHUP);
    OK(shutdown(g_s[1], SHUT_RDWR));
    p.fd = g_s[0], p.events = POLLIN | POLLOUT;
    CHECK_EQ(poll(&p, 1, 0), 1);
    CHECK(p.revents & POLLHUP);
    CHECK_ERR(shutdown(g_s[0], 7), EINVAL);
    done();
}

static void full_and_blocked(void)
{
    static char big[65536];
    pair(SOCK_STREAM);
    OK(fcntl(g_s[0], F_SETFL, O_NONBLOCK));
    long total = 0;
    for (ssize_t n; (n = write(g_s[0], big, sizeof(big))) > 0;)
        total += n;
    CHECK_EQ(errno, EAGAIN);
    CHECK(total >= 65536);
    struct pollfd p = {g_s[0], POLLOUT, 0};
    CHECK_EQ(poll(&p, 1, 0), 0);
    for (long left = total; left > 0;)
        left -= OK(read(g_s[1], big, sizeof(big)));
    CHECK_EQ(poll(&p, 1, 0), 1);
    done();
}

static void errors(void)
{
    struct sockaddr_un a = name("x");
    CHECK_ERR(socket(AF_UNIX, 77, 0), EINVAL);
    CHECK_ERR(socket(AF_UNIX, SOCK_STREAM, 99), EPROTONOSUPPORT);
    CHECK_ERR(socket(199, SOCK_STREAM, 0), EAFNOSUPPORT);
    CHECK_ERR(syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, 8L), EFAULT);
    CHECK_ERR(socketpair(AF_INET, SOCK_STREAM, 0, g_s), EOPNOTSUPP);
    int s = OK(socket(AF_UNIX, SOCK_STREAM, 0)), f = OK(open("f", O_RDWR | O_CREAT, 0644));
    CHECK_ERR(bind(f, (void *)&a, sizeof(a)), ENOTSOCK);
    CHECK_ERR(send(f, "x", 1, 0), ENOTSOCK);
    CHECK_ERR(bind(s, (void *)&a, 1), EINVAL);
    CHECK_ERR(bind(s, (void *)&a, sizeof(a) + 50), EINVAL);
    CHECK_ERR(listen(s, 1), EINVAL); /* not bound */
    CHECK_ERR(accept(s, NULL, NULL), EINVAL);
    CHECK_ERR(recv(s, &a, 1, 0), EINVAL);
    CHECK_ERR(connect(s, (void *)&a, 2), EINVAL);
    a.sun_family = AF_INET;
    CHECK_ERR(connect(s, (void *)&a, sizeof(a)), EINVAL);
    CHECK_ERR(send(s, "x", 1, MSG_NOSIGNAL), ENOTCONN);
    a = name("no/such/dir");
    CHECK_ERR(bind(s, (void *)&a, sizeof(a)), ENOENT);
    a = name("f");
    CHECK_ERR(connect(s, (void *)&a, sizeof(a)), ECONNREFUSED);
    close(s), close(f);
}

static void options(void)
{
    int v;
    socklen_t len = sizeof(v);
    pair(SOCK_STREAM);
    OK(getsockopt(g_s[0], SOL_SOCKET, SO_TYPE, &v, &len));
    CHECK_EQ(v, SOCK_STREAM);
    OK(getsockopt(g_s[0], SOL_SOCKET, SO_DOMAIN, &v, &len));
    CHECK_EQ(v, AF_UNIX);
    OK(getsockopt(g_s[0], SOL_SOCKET, SO_ERROR, &v, &len));
    CHECK_EQ(v, 0);
    OK(getsockopt(g_s[0], SOL_SOCKET, SO_ACCEPTCONN, &v, &len));
    CHECK_EQ(v, 0);
    v = 32768;
    OK(setsockopt(g_s[0], SOL_SOCKET, SO_SNDBUF, &v, sizeof(v)));
    OK(getsockopt(g_s[0], SOL_SOCKET, SO_SNDBUF, &v, &len));
    CHECK_EQ(v, 65536);
    struct timeval tv = {0, 50000};
    OK(setsockopt(g_s[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
    int64_t t = now_ns();
    char c;
    CHECK_ERR(recv(g_s[0], &c, 1, 0), EAGAIN);
    CHECK(now_ns() - t >= 50000000);
    CHECK_ERR(getsockopt(g_s[0], SOL_SOCKET, 9999, &v, &len), ENOPROTOOPT);
    CHECK_ERR(setsockopt(g_s[0], SOL_SOCKET, SO_SNDBUF, &v, 1), EINVAL);
    CHECK_ERR(setsockopt(g_s[0], 77, 1, &v, 4), EOPNOTSUPP);
    done();
}

static void many_messages_at_once(void)
{
    struct mmsghdr m[3];
    struct iovec v[3];
    char buf[3][8];
    pair(SOCK_DGRAM);
    memset(m, 0, sizeof(m));
    for (int i = 0; i < 3; i++) {
        v[i] = (struct iovec){"abc", i + 1};
        m[i].msg_hdr = (struct msghdr){.msg_iov = &v[i], .msg_iovlen = 1};
    }
    CHECK_EQ(OK(sendmmsg(g_s[0], m, 3, 0)), 3);
    CHECK_EQ(m[2].msg_len, 3);
    for (int i = 0; i < 3; i++)
        v[i] = (struct iovec){buf[i], 8};
    CHECK_EQ(OK(recvmmsg(g_s[1], m, 3, MSG_DONTWAIT, NULL)), 3);
    CHECK_EQ(m[1].msg_len, 2);
    done();
}

GUEST_MAIN(C(stream_pair), C(datagrams), C(seqpacket), C(named_stream), C(abstract_names), C(named_datagrams),
           C(passing_descriptors), C(descriptors_in_flight_survive_close), C(passing_errors),
           C(cycle_of_sockets_is_collected), C(credentials), C(shutdowns), C(full_and_blocked), C(errors), C(options),
           C(many_messages_at_once))
