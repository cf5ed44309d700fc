/* TCP and UDP over the loopback, IPv4 and IPv6. */
#include "guest.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static union {
    struct sockaddr sa;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} g_addr;

static socklen_t local(int family)
{
    memset(&g_addr, 0, sizeof(g_addr));
    g_addr.sa.sa_family = family;
    if (family == AF_INET) {
        g_addr.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        return sizeof(g_addr.v4);
    }
    g_addr.v6.sin6_addr = in6addr_loopback;
    return sizeof(g_addr.v6);
}

/* A bound socket; g_addr has its address. */
static int bound(int family, int type)
{
    socklen_t len = local(family), full = sizeof(g_addr);
    int s = socket(family, type, 0);
    if (s < 0 && errno == EAFNOSUPPORT)
        SKIP("no such address family here");
    CHECK(s >= 0);
    if (bind(s, &g_addr.sa, len) && errno == EADDRNOTAVAIL)
        SKIP("no loopback address of this family here");
    OK(getsockname(s, &g_addr.sa, &full));
    return s;
}

static void tcp_echo(int family)
{
    static char out[200000], in[200000];
    int l = bound(family, SOCK_STREAM);
    OK(listen(l, 5));
    int c = OK(socket(family, SOCK_STREAM, 0));
    OK(connect(c, &g_addr.sa, sizeof(g_addr)));
    int s = OK(accept(l, NULL, NULL));
    pid_t p = OK(fork());
    if (!p) {
        close(c);
        for (ssize_t n; (n = read(s, in, sizeof(in))) > 0;)
            for (ssize_t off = 0; off < n;)
                off += write(s, in + off, n - off);
        _exit(0);
    }
    close(s);
    for (size_t i = 0; i < sizeof(out); i++)
        out[i] = i * 7;
    pid_t w = OK(fork());
    if (!w) {
        for (size_t off = 0; off < sizeof(out);)
            off += OK(write(c, out + off, sizeof(out) - off));
        OK(shutdown(c, SHUT_WR));
        _exit(0);
    }
    size_t got = 0;
    for (ssize_t n; (n = OK(read(c, in + got, sizeof(in) - got))) > 0;)
        got += n;
    CHECK_EQ(got, sizeof(out));
    CHECK(!memcmp(in, out, sizeof(out)));
    WAIT_EXIT(w, 0);
    WAIT_EXIT(p, 0);
    close(c), close(l);
}

static void tcp4(void)
{
    tcp_echo(AF_INET);
}

static void tcp6(void)
{
    tcp_echo(AF_INET6);
}

static void udp_echo(int family)
{
    char buf[2000];
    socklen_t len = sizeof(g_addr);
    int a = bound(family, SOCK_DGRAM), b = OK(socket(family, SOCK_DGRAM, 0));
    CHECK_EQ(OK(sendto(b, "hello", 5, 0, &g_addr.sa, sizeof(g_addr))), 5);
    CHECK_EQ(OK(recvfrom(a, buf, sizeof(buf), 0, &g_addr.sa, &len)), 5);
    CHECK_EQ(OK(sendto(a, "back!!", 6, 0, &g_addr.sa, len)), 6);
    CHECK_EQ(OK(recv(b, buf, 3, MSG_TRUNC)), 6);
    CHECK_ERR(recv(b, buf, 1, MSG_DONTWAIT), EAGAIN);
    OK(sendto(a, "", 0, 0, &g_addr.sa, len));
    CHECK_EQ(OK(recv(b, buf, 10, 0)), 0);
    static char big[70000];
    CHECK_ERR(sendto(a, big, sizeof(big), 0, &g_addr.sa, len), EMSGSIZE);
    close(a), close(b);
}

static void udp4(void)
{
    udp_echo(AF_INET);
}

static void udp6(void)
{
    udp_echo(AF_INET6);
}

static void refused(void)
{
    int l = bound(AF_INET, SOCK_STREAM), c = OK(socket(AF_INET, SOCK_STREAM, 0));
    close(l);
    CHECK_ERR(connect(c, &g_addr.sa, sizeof(g_addr)), ECONNREFUSED);
    close(c);
    c = OK(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    if (connect(c, &g_addr.sa, sizeof(g_addr)))
        CHECK(errno == EINPROGRESS || errno == ECONNREFUSED);
    struct pollfd p = {c, POLLOUT, 0};
    CHECK_EQ(OK(poll(&p, 1, 3000)), 1);
    close(c);
}

static void nonblocking_connect_and_accept(void)
{
    int l = bound(AF_INET, SOCK_STREAM), c = OK(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)), err;
    socklen_t len = sizeof(err);
    OK(listen(l, 1));
    OK(fcntl(l, F_SETFL, O_NONBLOCK));
    CHECK_ERR(accept(l, NULL, NULL), EAGAIN);
    if (connect(c, &g_addr.sa, sizeof(g_addr)))
        CHECK_EQ(errno, EINPROGRESS);
    struct pollfd p = {c, POLLOUT, 0}, q = {l, POLLIN, 0};
    CHECK_EQ(OK(poll(&p, 1, 3000)), 1);
    OK(getsockopt(c, SOL_SOCKET, SO_ERROR, &err, &len));
    CHECK_EQ(err, 0);
    CHECK_EQ(OK(poll(&q, 1, 3000)), 1);
    int s = OK(accept(l, NULL, NULL));
    CHECK_EQ(fcntl(s, F_GETFL) & O_NONBLOCK, 0); /* not inherited */
    close(l), close(c), close(s);
}

static void addresses_and_errors(void)
{
    struct sockaddr_in a;
    socklen_t len = sizeof(a);
    int l = bound(AF_INET, SOCK_STREAM), s = OK(socket(AF_INET, SOCK_STREAM, 0));
    CHECK(g_addr.v4.sin_port != 0);
    CHECK_ERR(bind(s, &g_addr.sa, 4), EINVAL);
    OK(listen(l, 1));
    CHECK_ERR(bind(s, &g_addr.sa, sizeof(g_addr.v4)), EADDRINUSE);
    CHECK_ERR(getpeername(s, (void *)&a, &len), ENOTCONN);
    handle(SIGPIPE, SIG_IGN, 0);
    CHECK_ERR(send(s, "x", 1, 0), EPIPE);
    CHECK_ERR(recv(s, &a, 1, 0), ENOTCONN);
    CHECK_ERR(accept(s, NULL, NULL), EINVAL);
    g_addr.v4.sin_addr.s_addr = inet_addr("192.0.2.77");
    CHECK_ERR(bind(s, &g_addr.sa, sizeof(g_addr.v4)), EADDRNOTAVAIL);
    g_addr.sa.sa_family = AF_UNIX;
    CHECK_ERR(bind(s, &g_addr.sa, sizeof(g_addr.v4)), EAFNOSUPPORT);
    CHECK_ERR(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP), EPROTONOSUPPORT);
    CHECK_ERR(socket(AF_INET, SOCK_SEQPACKET, 0), ESOCKTNOSUPPORT);
    close(l), close(s);
}

static void socket_options(void)
{
    int v, s = OK(socket(AF_INET, SOCK_STREAM, 0));
    socklen_t len = sizeof(v);
    v = 1;
    OK(setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &v, sizeof(v)));
    OK(getsockopt(s, SOL_SOCKET, SO_REUSEADDR, &v, &len));
    CHECK_EQ(v, 1);
    OK(setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &v, sizeof(v)));
    OK(getsockopt(s, IPPROTO_TCP, TCP_NODELAY, &v, &len));
    CHECK_EQ(v, 1);
    OK(setsockopt(s, SOL_SOCKET, SO_KEEPALIVE, &v, sizeof(v)));
    struct linger lg = {1, 5}, got;
    OK(setsockopt(s, SOL_SOCKET, SO_LINGER, &lg, sizeof(lg)));
    len = sizeof(got);
    OK(getsockopt(s, SOL_SOCKET, SO_LINGER, &got, &len));
    CHECK(got.l_onoff == 1 && got.l_linger == 5);
    len = sizeof(v);
    OK(getsockopt(s, SOL_SOCKET, SO_PROTOCOL, &v, &len));
    CHECK_EQ(v, IPPROTO_TCP);
    CHECK_ERR(setsockopt(s, IPPROTO_TCP, 9999, &v, sizeof(v)), ENOPROTOOPT);
    CHECK_ERR(setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &v, 1), EINVAL);
    close(s);
}

static void reset_and_shutdown(void)
{
    char c;
    int l = bound(AF_INET, SOCK_STREAM), a = OK(socket(AF_INET, SOCK_STREAM, 0));
    OK(listen(l, 1));
    OK(connect(a, &g_addr.sa, sizeof(g_addr)));
    int b = OK(accept(l, NULL, NULL));
    struct linger lg = {1, 0};
    OK(setsockopt(a, SOL_SOCKET, SO_LINGER, &lg, sizeof(lg)));
    close(a);
    CHECK_ERR(read(b, &c, 1), ECONNRESET);
    CHECK_EQ(read(b, &c, 1), 0);
    close(b);
    a = OK(socket(AF_INET, SOCK_STREAM, 0));
    OK(connect(a, &g_addr.sa, sizeof(g_addr)));
    b = OK(accept(l, NULL, NULL));
    OK(shutdown(a, SHUT_WR));
    CHECK_EQ(read(b, &c, 1), 0);
    OK(write(b, "x", 1));
    CHECK_EQ(read(a, &c, 1), 1);
    close(a), close(b), close(l);
}

static void v4_mapped(void)
{
    int l = bound(AF_INET, SOCK_STREAM);
    OK(listen(l, 1));
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = g_addr.v4.sin_port};
    inet_pton(AF_INET6, "::ffff:127.0.0.1", &a.sin6_addr);
    int c = socket(AF_INET6, SOCK_STREAM, 0);
    if (c < 0)
        SKIP("no IPv6 here");
    OK(connect(c, (void *)&a, sizeof(a)));
    close(c), close(l);
}

static void interfaces(void)
{
    char buf[4096];
    struct {
        int len;
        void *p;
    } __attribute__((packed, aligned(8))) dummy;
    (void)buf, (void)dummy;
    int s = OK(socket(AF_INET, SOCK_DGRAM, 0));
    struct {
        char name[16];
        union {
            short flags;
            struct sockaddr addr;
            char pad[24];
        } u;
    } r = {.name = "lo"};
    OK(ioctl(s, 0x8913 /* SIOCGIFFLAGS */, &r));
    CHECK(r.u.flags & 8 /* IFF_LOOPBACK */);
    OK(ioctl(s, 0x8933 /* SIOCGIFINDEX */, &r));
    strcpy(r.name, "nothing9");
    CHECK_ERR(ioctl(s, 0x8913, &r), ENODEV);
    close(s);
}

static void refused_pairs_leave_nothing(void)
{
    int sv[2];
    for (int i = 0; i < 100; i++) {
        CHECK_ERR(socketpair(AF_INET, SOCK_PACKET, 0, sv), EOPNOTSUPP);
        CHECK_ERR(socketpair(AF_INET, SOCK_STREAM, 0, sv), EOPNOTSUPP);
        int s = socket(AF_PACKET, SOCK_RAW, 0);
        if (s < 0) /* not for everybody */
            CHECK_EQ(errno, EPERM);
        else
            close(s);
    }
}

GUEST_MAIN(C(refused_pairs_leave_nothing), C(tcp4), C(tcp6), C(udp4), C(udp6), C(refused), C(nonblocking_connect_and_accept), C(addresses_and_errors),
           C(socket_options), C(reset_and_shutdown), C(v4_mapped), C(interfaces))
