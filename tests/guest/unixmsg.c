/* Messages over unix sockets: descriptors and credentials, cycles of them, datagram rules, urgent data. */
#include "guest.h"
#include <poll.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

static int g_p[2];
static char g_buf[300000], g_control[4096];
static struct msghdr g_m;
static struct iovec g_v;

static void pair(int type)
{
    OK(socketpair(AF_UNIX, type, 0, g_p));
}

static int send_fds(int s, int fd, int n, const char *text)
{
    char c[CMSG_SPACE(256 * sizeof(int))] = {0};
    struct iovec v = {(char *)text, strlen(text)};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = c, .msg_controllen = CMSG_SPACE(n * sizeof(int))};
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    *h = (struct cmsghdr){.cmsg_len = CMSG_LEN(n * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    for (int i = 0; i < n; i++)
        ((int *)CMSG_DATA(h))[i] = fd;
    return sendmsg(s, &m, 0);
}

static ssize_t receive(int s, size_t room, int flags)
{
    g_v = (struct iovec){g_buf, 99};
    g_m = (struct msghdr){.msg_iov = &g_v, .msg_iovlen = 1, .msg_control = g_control, .msg_controllen = room};
    return recvmsg(s, &g_m, flags);
}

static int passed(void)
{
    return *(int *)CMSG_DATA(CMSG_FIRSTHDR(&g_m));
}

static void descriptors_arrive(void)
{
    pair(SOCK_STREAM);
    CHECK_EQ(OK(send_fds(g_p[0], g_p[0], 1, "hi")), 2);
    CHECK_EQ(OK(receive(g_p[1], 64, MSG_PEEK)), 2);
    close(passed());
    CHECK_EQ(OK(receive(g_p[1], 64, MSG_CMSG_CLOEXEC)), 2);
    CHECK_EQ(g_m.msg_flags, MSG_CMSG_CLOEXEC);
    CHECK_EQ(g_m.msg_controllen, CMSG_SPACE(4));
    CHECK_EQ(fcntl(passed(), F_GETFD), FD_CLOEXEC);
    close(passed());
    CHECK_ERR(send_fds(g_p[0], 0, 254, "x"), EINVAL);
    CHECK_ERR(send_fds(g_p[0], 999, 1, "x"), EBADF);
    OK(send_fds(g_p[0], 0, 3, "x"));
    OK(receive(g_p[1], CMSG_LEN(8), 0)); /* room for two of three */
    CHECK_EQ(g_m.msg_flags, MSG_CTRUNC);
    CHECK_EQ(g_m.msg_controllen, CMSG_LEN(8));
    OK(send_fds(g_p[0], 0, 1, "x"));
    OK(recv(g_p[1], g_buf, 9, 0)); /* nobody takes it: it is closed */
    OK(send(g_p[0], "zz", 2, 0));
    OK(send_fds(g_p[0], 0, 1, "hi"));
    OK(send(g_p[0], "yy", 2, 0));
    CHECK_EQ(OK(recv(g_p[1], g_buf, 20, 0)), 4); /* up to and with the bytes that carry one */
    CHECK_EQ(OK(recv(g_p[1], g_buf, 20, 0)), 2);
    close(g_p[0]), close(g_p[1]);
}

static void credentials(void)
{
    int one = 1;
    pair(SOCK_STREAM);
    OK(setsockopt(g_p[1], SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)));
    OK(send(g_p[0], "c", 1, 0));
    OK(receive(g_p[1], 64, 0));
    struct ucred c;
    memcpy(&c, CMSG_DATA(CMSG_FIRSTHDR(&g_m)), sizeof(c));
    CHECK(c.pid == getpid() && c.uid == getuid() && c.gid == getgid());
    OK(send(g_p[0], "c", 1, 0));
    OK(receive(g_p[1], 20, 0));
    CHECK(g_m.msg_flags & MSG_CTRUNC);
    CHECK_EQ(g_m.msg_controllen, 20);
    socklen_t len = sizeof(c);
    OK(getsockopt(g_p[0], SOL_SOCKET, SO_PEERCRED, &c, &len));
    CHECK_EQ(c.pid, getpid());
    OK(setsockopt(g_p[1], SOL_SOCKET, 76 /* SO_PASSPIDFD */, &one, sizeof(one)) ? 0 : 0);
    close(g_p[0]), close(g_p[1]);
}

static void lone_cycles_are_collected(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    socklen_t len = offsetof(struct sockaddr_un, sun_path) + 1 + snprintf(a.sun_path + 1, 50, "rf-cycle-%d", getpid());
    int s = OK(socket(AF_UNIX, SOCK_DGRAM, 0)), t = OK(socket(AF_UNIX, SOCK_DGRAM, 0));
    OK(bind(s, (void *)&a, len));
    OK(connect(t, (void *)&a, len));
    OK(send_fds(t, s, 1, "me")); /* s is now in its own queue */
    close(s);
    close(t);
    int r = -1;
    for (int i = 0; i < 200 && r; i++) {
        pair(SOCK_STREAM); /* a close makes the kernel look */
        close(g_p[0]), close(g_p[1]);
        int u = OK(socket(AF_UNIX, SOCK_DGRAM, 0));
        r = bind(u, (void *)&a, len);
        close(u);
        sleep_ms(5);
    }
    CHECK_EQ(r, 0);
}

static void long_chains_close(void)
{
    int in = OK(open("/dev/null", O_RDONLY));
    for (int i = 0; i < 2000; i++) {
        pair(SOCK_DGRAM);
        OK(send_fds(g_p[0], in, 1, "x"));
        close(in), close(g_p[0]);
        in = g_p[1];
    }
    close(in);
}

static void datagram_rules(void)
{
    struct sockaddr_un a = {AF_UNIX, "a"}, b = {AF_UNIX, "b"};
    int x = OK(socket(AF_UNIX, SOCK_DGRAM, 0)), y = OK(socket(AF_UNIX, SOCK_DGRAM, 0)), z = OK(socket(AF_UNIX, SOCK_DGRAM, 0));
    OK(bind(x, (void *)&a, sizeof(a)));
    OK(bind(y, (void *)&b, sizeof(b)));
    OK(connect(z, (void *)&a, sizeof(a)));
    OK(connect(x, (void *)&b, sizeof(b)));
    CHECK_ERR(send(z, "x", 1, 0), EPERM); /* x hears y alone */
    CHECK_ERR(connect(z, (void *)&a, sizeof(a)), EPERM);
    OK(sendto(y, "y", 1, 0, (void *)&a, sizeof(a)));
    CHECK_EQ(OK(recv(x, g_buf, 9, 0)), 1);
    close(x);
    CHECK_ERR(send(z, "x", 1, 0), ECONNREFUSED);
    CHECK_ERR(send(z, "x", 1, 0), ENOTCONN);
    CHECK_ERR(sendto(y, "y", 1, 0, (void *)&a, sizeof(a)), ECONNREFUSED);
    CHECK_ERR(send(y, g_buf, 300000, 0), EMSGSIZE);
    CHECK_ERR(send(y, g_buf, 1, MSG_OOB), EOPNOTSUPP);
    CHECK_ERR(listen(y, 1), EOPNOTSUPP);
    close(y), close(z);
}

static void sequenced(void)
{
    pair(SOCK_SEQPACKET);
    OK(send(g_p[0], "abcdef", 6, 0));
    g_v = (struct iovec){g_buf, 4};
    g_m = (struct msghdr){.msg_iov = &g_v, .msg_iovlen = 1};
    CHECK_EQ(OK(recvmsg(g_p[1], &g_m, MSG_TRUNC)), 6);
    CHECK_EQ(g_m.msg_flags, MSG_TRUNC);
    CHECK_ERR(recv(g_p[1], g_buf, 1, MSG_OOB), EOPNOTSUPP);
    int s = OK(socket(AF_UNIX, SOCK_SEQPACKET, 0));
    CHECK_ERR(recv(s, g_buf, 1, 0), ENOTCONN);
    CHECK_ERR(send(s, g_buf, 1, 0), ENOTCONN);
    close(s), close(g_p[0]), close(g_p[1]);
}

static void who_may_connect(void)
{
    struct sockaddr_un a = {AF_UNIX, "p"};
    int l = OK(socket(AF_UNIX, SOCK_STREAM, 0));
    OK(bind(l, (void *)&a, sizeof(a)));
    OK(listen(l, 5));
    OK(chmod("p", 0400));
    if (getuid() == 0)
        IN_CHILD({
            OK(setgid(12345));
            OK(setuid(12345));
            CHECK_ERR(connect(OK(socket(AF_UNIX, SOCK_STREAM, 0)), (void *)&a, sizeof(a)), EACCES);
        });
    CHECK_ERR(connect(OK(socket(AF_UNIX, SOCK_DGRAM, 0)), (void *)&a, sizeof(a)), EPROTOTYPE);
    CHECK_ERR(open("p", O_RDONLY), ENXIO);
    OK(rename("p", "q")); /* the name moves with the inode */
    strcpy(a.sun_path, "q");
    OK(connect(OK(socket(AF_UNIX, SOCK_STREAM, 0)), (void *)&a, sizeof(a)));
    close(l);
    CHECK_ERR(connect(OK(socket(AF_UNIX, SOCK_STREAM, 0)), (void *)&a, sizeof(a)), ECONNREFUSED);
    close(OK(creat("plain", 0644)));
    strcpy(a.sun_path, "plain");
    CHECK_ERR(connect(OK(socket(AF_UNIX, SOCK_STREAM, 0)), (void *)&a, sizeof(a)), ECONNREFUSED);
    CHECK_ERR(bind(OK(socket(AF_UNIX, SOCK_STREAM, 0)), (void *)&a, sizeof(a)), EADDRINUSE);
}

static void headers_with_errors(void)
{
    pair(SOCK_DGRAM);
    struct iovec v = {"x", 1};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
    CHECK_ERR(sendmsg(g_p[0], NULL, 0), EFAULT);
    m.msg_iovlen = 1025;
    CHECK_ERR(sendmsg(g_p[0], &m, 0), EMSGSIZE);
    CHECK_ERR(recvmsg(g_p[1], &m, 0), EMSGSIZE);
    m.msg_iovlen = 1;
    m.msg_control = (void *)8;
    m.msg_controllen = 20;
    CHECK_ERR(sendmsg(g_p[0], &m, 0), EFAULT);
    m.msg_controllen = -1;
    CHECK_ERR(sendmsg(g_p[0], &m, 0), ENOBUFS);
    m.msg_controllen = 0;
    m.msg_name = g_buf;
    m.msg_namelen = -1;
    CHECK_ERR(sendmsg(g_p[0], &m, 0), EINVAL);
    m.msg_name = NULL;
    v.iov_len = -1;
    CHECK_ERR(sendmsg(g_p[0], &m, 0), EINVAL);
    CHECK_ERR(send(0x7fff, "x", 1, 0), EBADF);
    int f = OK(open("/dev/null", O_RDWR));
    CHECK_ERR(send(f, "x", 1, 0), ENOTSOCK);
    CHECK_ERR(recvfrom(g_p[1], g_buf, 9, MSG_DONTWAIT, NULL, NULL), EAGAIN);
    CHECK_ERR(socketpair(AF_INET, SOCK_STREAM, 0, NULL), EFAULT);
    CHECK_ERR(socketpair(AF_INET, SOCK_STREAM, 0, g_p), EOPNOTSUPP);
}

GUEST_MAIN(C(descriptors_arrive), C(credentials), C(lone_cycles_are_collected), C(long_chains_close), C(datagram_rules), C(sequenced),
           C(who_may_connect), C(headers_with_errors))
