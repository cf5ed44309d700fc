/* UDP, multicast, raw and ping sockets, packet filters and the error queue, all over the loopback. */
#include "guest.h"
#include <arpa/inet.h>
#include <linux/errqueue.h>
#include <linux/filter.h>
#include <netinet/ip_icmp.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static struct sockaddr_in g_at;
static char g_buf[70000], g_control[512];
static struct msghdr g_m;
static struct iovec g_v;

static int bound(void)
{
    socklen_t len = sizeof(g_at);
    int s = OK(socket(AF_INET, SOCK_DGRAM, 0));
    g_at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    OK(bind(s, (void *)&g_at, sizeof(g_at)));
    OK(getsockname(s, (void *)&g_at, &len));
    return s;
}

static void set(int s, int level, int name, int v)
{
    OK(setsockopt(s, level, name, &v, sizeof(v)));
}

static ssize_t receive(int s, int flags)
{
    g_v = (struct iovec){g_buf, sizeof(g_buf)};
    g_m = (struct msghdr){.msg_iov = &g_v, .msg_iovlen = 1, .msg_control = g_control,
                          .msg_controllen = sizeof(g_control)};
    return recvmsg(s, &g_m, flags);
}

static void *told(int level, int type)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&g_m); c; c = CMSG_NXTHDR(&g_m, c))
        if (c->cmsg_level == level && c->cmsg_type == type)
            return CMSG_DATA(c);
    FAIL("no control message %d/%d", level, type);
}

static void send_to(int s, const char *text)
{
    CHECK_EQ(OK(sendto(s, text, strlen(text), 0, (void *)&g_at, sizeof(g_at))), strlen(text));
}

static void what_is_told_about_a_datagram(void)
{
    int a = bound(), b = OK(socket(AF_INET, SOCK_DGRAM, 0));
    set(a, IPPROTO_IP, IP_PKTINFO, 1);
    set(a, IPPROTO_IP, IP_RECVTTL, 1);
    set(a, IPPROTO_IP, IP_RECVTOS, 1);
    set(a, SOL_SOCKET, SO_TIMESTAMP, 1);
    set(b, IPPROTO_IP, IP_TTL, 33);
    set(b, IPPROTO_IP, IP_TOS, 0x10);
    send_to(b, "x");
    CHECK_EQ(OK(receive(a, 0)), 1);
    struct in_pktinfo *i = told(IPPROTO_IP, IP_PKTINFO);
    CHECK_EQ(i->ipi_addr.s_addr, htonl(INADDR_LOOPBACK));
    CHECK_EQ(i->ipi_ifindex, if_nametoindex("lo"));
    CHECK_EQ(*(int *)told(IPPROTO_IP, IP_TTL), 33);
    CHECK_EQ(*(unsigned char *)told(IPPROTO_IP, IP_TOS), 0x10);
    CHECK(((struct timeval *)told(SOL_SOCKET, SO_TIMESTAMP))->tv_sec > 1000000000);
    close(a), close(b);
}

static void six_is_told_too(void)
{
    struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    socklen_t len = sizeof(at);
    int a = socket(AF_INET6, SOCK_DGRAM, 0), b = socket(AF_INET6, SOCK_DGRAM, 0);
    if (a < 0)
        SKIP("no IPv6 here");
    OK(bind(a, (void *)&at, sizeof(at)));
    OK(getsockname(a, (void *)&at, &len));
    set(a, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
    set(a, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1);
    set(a, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
    set(b, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 9);
    set(b, IPPROTO_IPV6, IPV6_TCLASS, 0x20);
    OK(sendto(b, "6", 1, 0, (void *)&at, sizeof(at)));
    CHECK_EQ(OK(receive(a, 0)), 1);
    struct in6_pktinfo *i = told(IPPROTO_IPV6, IPV6_PKTINFO);
    CHECK(IN6_IS_ADDR_LOOPBACK(&i->ipi6_addr));
    CHECK_EQ(*(int *)told(IPPROTO_IPV6, IPV6_HOPLIMIT), 9);
    CHECK_EQ(*(int *)told(IPPROTO_IPV6, IPV6_TCLASS), 0x20);
    close(a), close(b);
}

static void control_too_small(void)
{
    int a = bound(), b = OK(socket(AF_INET, SOCK_DGRAM, 0));
    set(a, IPPROTO_IP, IP_PKTINFO, 1);
    send_to(b, "x");
    char small[8];
    g_v = (struct iovec){g_buf, 1};
    g_m = (struct msghdr){.msg_iov = &g_v, .msg_iovlen = 1, .msg_control = small, .msg_controllen = sizeof(small)};
    CHECK_EQ(OK(recvmsg(a, &g_m, 0)), 1);
    CHECK_EQ(g_m.msg_flags, MSG_CTRUNC);
    CHECK_EQ(g_m.msg_controllen, 0);
    close(a), close(b);
}

static void refused_and_the_error_queue(void)
{
    close(bound());
    int s = OK(socket(AF_INET, SOCK_DGRAM, 0));
    send_to(s, "unconnected hears nothing");
    set(s, IPPROTO_IP, IP_RECVERR, 1);
    send_to(s, "hello?");
    sleep_ms(5);
    struct pollfd p = {s, POLLIN, 0};
    CHECK_EQ(OK(poll(&p, 1, 1000)), 1);
    CHECK(p.revents & POLLERR);
    CHECK_EQ(OK(receive(s, MSG_ERRQUEUE)), 6);
    CHECK(g_m.msg_flags & MSG_ERRQUEUE);
    CHECK(!memcmp(g_buf, "hello?", 6));
    struct sock_extended_err *e = told(IPPROTO_IP, IP_RECVERR);
    CHECK_EQ(e->ee_errno, ECONNREFUSED);
    CHECK_EQ(e->ee_origin, SO_EE_ORIGIN_ICMP);
    CHECK_EQ(e->ee_type, 3);
    CHECK_EQ(e->ee_code, 3);
    CHECK_ERR(receive(s, MSG_ERRQUEUE), EAGAIN);
    CHECK_ERR(recv(s, g_buf, 1, MSG_DONTWAIT), EAGAIN);
    close(s);
    s = OK(socket(AF_INET, SOCK_DGRAM, 0));
    OK(connect(s, (void *)&g_at, sizeof(g_at)));
    OK(send(s, "x", 1, 0));
    sleep_ms(5);
    CHECK_ERR(send(s, "x", 1, 0), ECONNREFUSED);
    close(s);
}

static void held_back_and_cut_up(void)
{
    int a = bound(), b = OK(socket(AF_INET, SOCK_DGRAM, 0));
    OK(sendto(b, "one ", 4, MSG_MORE, (void *)&g_at, sizeof(g_at)));
    CHECK_ERR(recv(a, g_buf, 99, MSG_DONTWAIT), EAGAIN);
    OK(sendto(b, "two", 3, 0, (void *)&g_at, sizeof(g_at)));
    CHECK_EQ(OK(recv(a, g_buf, 99, 0)), 7);
    CHECK(!memcmp(g_buf, "one two", 7));
    set(b, IPPROTO_UDP, UDP_CORK, 1);
    send_to(b, "ab");
    send_to(b, "cd");
    set(b, IPPROTO_UDP, UDP_CORK, 0);
    CHECK_EQ(OK(recv(a, g_buf, 99, 0)), 4);
    set(b, IPPROTO_UDP, UDP_SEGMENT, 3);
    send_to(b, "12345678");
    CHECK_EQ(OK(recv(a, g_buf, 99, 0)), 3);
    CHECK_EQ(OK(recv(a, g_buf, 99, 0)), 3);
    CHECK_EQ(OK(recv(a, g_buf, 99, 0)), 2);
    close(a), close(b);
}

static void errors_of_addresses(void)
{
    int s = OK(socket(AF_INET, SOCK_DGRAM, 0));
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(9)};
    CHECK_ERR(send(s, "x", 1, 0), EDESTADDRREQ);
    a.sin_addr.s_addr = htonl(INADDR_BROADCAST);
    CHECK_ERR(sendto(s, "x", 1, 0, (void *)&a, sizeof(a)), EACCES);
    a.sin_addr.s_addr = htonl(0x7fffffff);
    CHECK_ERR(connect(s, (void *)&a, sizeof(a)), EACCES);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_ERR(sendto(s, "x", 1, MSG_OOB, (void *)&a, sizeof(a)), EOPNOTSUPP);
    CHECK_ERR(sendto(s, "x", 1, 0, (void *)&a, 4), EINVAL);
    CHECK_ERR(sendto(s, g_buf, 65508, 0, (void *)&a, sizeof(a)), EMSGSIZE);
    CHECK_ERR(sendto(s, (void *)8, 1, 0, (void *)&a, sizeof(a)), EFAULT);
    a.sin_port = 0;
    CHECK_ERR(sendto(s, "x", 1, 0, (void *)&a, sizeof(a)), EINVAL);
    a.sin_family = AF_APPLETALK;
    CHECK_ERR(sendto(s, "x", 1, 0, (void *)&a, sizeof(a)), EAFNOSUPPORT);
    CHECK_ERR(recvfrom(s, g_buf, 1, MSG_DONTWAIT, NULL, NULL), EAGAIN);
    close(s);
}

static void a_connected_one_hears_one(void)
{
    int a = bound();
    struct sockaddr_in to = g_at, none = {.sin_family = AF_UNSPEC};
    int b = bound();
    OK(connect(a, (void *)&g_at, sizeof(g_at)));
    int c = bound();
    OK(sendto(c, "other", 5, 0, (void *)&to, sizeof(to)));
    OK(sendto(b, "friend", 6, 0, (void *)&to, sizeof(to)));
    CHECK_EQ(OK(recv(a, g_buf, 99, 0)), 6);
    OK(connect(a, (void *)&none, sizeof(none)));
    socklen_t len = sizeof(to);
    OK(getsockname(a, (void *)&to, &len));
    CHECK_EQ(to.sin_port, 0); /* a port that it had not asked for by number is gone */
    CHECK_ERR(send(a, "x", 1, 0), EDESTADDRREQ);
    close(a), close(b), close(c);
}

static void groups(void)
{
    int one = 1, a = OK(socket(AF_INET, SOCK_DGRAM, 0)), b = OK(socket(AF_INET, SOCK_DGRAM, 0));
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = g_at.sin_port};
    close(bound());
    to.sin_port = g_at.sin_port;
    for (int i = 0; i < 2; i++) {
        OK(setsockopt(i ? b : a, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)));
        OK(bind(i ? b : a, (void *)&to, sizeof(to)));
    }
    to.sin_addr.s_addr = inet_addr("239.1.2.3");
    struct ip_mreqn r = {.imr_multiaddr = to.sin_addr, .imr_ifindex = if_nametoindex("lo")};
    OK(setsockopt(a, IPPROTO_IP, IP_ADD_MEMBERSHIP, &r, sizeof(r)));
    CHECK_ERR(setsockopt(a, IPPROTO_IP, IP_ADD_MEMBERSHIP, &r, sizeof(r)), EADDRINUSE);
    OK(setsockopt(b, IPPROTO_IP, IP_ADD_MEMBERSHIP, &r, sizeof(r)));
    int s = OK(socket(AF_INET, SOCK_DGRAM, 0));
    OK(setsockopt(s, IPPROTO_IP, IP_MULTICAST_IF, &r, sizeof(r)));
    OK(sendto(s, "all", 3, 0, (void *)&to, sizeof(to)));
    CHECK_EQ(OK(recv(a, g_buf, 99, 0)), 3);
    CHECK_EQ(OK(recv(b, g_buf, 99, 0)), 3);
    OK(setsockopt(b, IPPROTO_IP, IP_DROP_MEMBERSHIP, &r, sizeof(r)));
    CHECK_ERR(setsockopt(b, IPPROTO_IP, IP_DROP_MEMBERSHIP, &r, sizeof(r)), EADDRNOTAVAIL);
    int zero = 0;
    OK(setsockopt(b, IPPROTO_IP, IP_MULTICAST_ALL, &zero, sizeof(zero)));
    OK(sendto(s, "some", 4, 0, (void *)&to, sizeof(to)));
    CHECK_EQ(OK(recv(a, g_buf, 99, 0)), 4);
    CHECK_ERR(recv(b, g_buf, 99, MSG_DONTWAIT), EAGAIN);
    r.imr_multiaddr.s_addr = inet_addr("10.0.0.1");
    CHECK_ERR(setsockopt(a, IPPROTO_IP, IP_ADD_MEMBERSHIP, &r, sizeof(r)), EINVAL);
    close(a), close(b), close(s);
}

static int attach(int s, struct sock_filter *f, int n)
{
    struct sock_fprog p = {n, f};
    return setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &p, sizeof(p));
}

static void filters_run(void)
{
    int a = bound(), b = OK(socket(AF_INET, SOCK_DGRAM, 0)), one = 1;
    /* pass what begins with 'y' behind the UDP header, and cut it to 3 bytes of data */
    struct sock_filter f[] = {{BPF_LD | BPF_B | BPF_ABS, 0, 0, 8}, {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 'y'},
                              {BPF_RET | BPF_K, 0, 0, 11}, {BPF_RET | BPF_K, 0, 0, 0}};
    OK(attach(a, f, 4));
    send_to(b, "no");
    send_to(b, "yes!!");
    CHECK_EQ(OK(recv(a, g_buf, 99, 0)), 3);
    CHECK_ERR(recv(a, g_buf, 99, MSG_DONTWAIT), EAGAIN);
    OK(setsockopt(a, SOL_SOCKET, SO_DETACH_FILTER, &one, sizeof(one)));
    CHECK_ERR(setsockopt(a, SOL_SOCKET, SO_DETACH_FILTER, &one, sizeof(one)), ENOENT);
    send_to(b, "no");
    CHECK_EQ(OK(recv(a, g_buf, 99, 0)), 2);
    CHECK_ERR(attach(a, f, 0), EINVAL);
    f[1].jf = 9;
    CHECK_ERR(attach(a, f, 4), EINVAL);
    f[1].jf = 1;
    f[3].code = 0x77;
    CHECK_ERR(attach(a, f, 4), EINVAL);
    CHECK_ERR(attach(a, f, 2), EINVAL); /* does not end with a return */
    close(a), close(b);
}

static unsigned short sum(const unsigned char *p, int n)
{
    unsigned v = 0;
    for (int i = 0; i < n; i += 2)
        v += p[i] << 8 | p[i + 1];
    v = (v & 0xffff) + (v >> 16);
    v += v >> 16;
    return htons(~v);
}

static void raw_echo(void)
{
    int s = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
    if (s < 0 && errno == EPERM)
        SKIP("raw sockets need a right that we do not have");
    CHECK(s >= 0);
    struct icmphdr h = {.type = ICMP_ECHO, .un.echo = {htons(0x4242), htons(7)}};
    h.checksum = sum((void *)&h, sizeof(h));
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(a);
    OK(sendto(s, &h, sizeof(h), 0, (void *)&a, sizeof(a)));
    for (;;) { /* we hear our own request too */
        CHECK_EQ(OK(recvfrom(s, g_buf, 2000, 0, (void *)&a, &len)), 28);
        struct icmphdr *r = (void *)(g_buf + 20);
        if (r->un.echo.id != h.un.echo.id || r->type != ICMP_ECHOREPLY)
            continue;
        CHECK_EQ(r->un.echo.sequence, htons(7));
        CHECK_EQ(g_buf[0], 0x45);
        break;
    }
    CHECK_EQ(a.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
    int f = ~(1 << ICMP_ECHOREPLY);
    OK(setsockopt(s, 255 /* SOL_RAW */, 1 /* ICMP_FILTER */, &f, sizeof(f)));
    close(s);
}

static void raw_needs_a_right(void)
{
    IN_CHILD({
        if (setuid(12345))
            SKIP("cannot become somebody else");
        CHECK_ERR(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), EPERM);
        CHECK_ERR(socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6), EPERM);
        CHECK_ERR(socket(AF_PACKET, SOCK_RAW, 0), EPERM);
        CHECK_ERR(socket(AF_INET, SOCK_RAW, 0), EPROTONOSUPPORT);
        int s = OK(socket(AF_INET, SOCK_DGRAM, 0)), v = 1;
        CHECK_ERR(setsockopt(s, SOL_SOCKET, SO_MARK, &v, sizeof(v)), EPERM);
        CHECK_ERR(setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &v, sizeof(v)), EPERM);
        CHECK_ERR(setsockopt(s, SOL_SOCKET, SO_DEBUG, &v, sizeof(v)), EACCES);
        v = 7;
        CHECK_ERR(setsockopt(s, SOL_SOCKET, SO_PRIORITY, &v, sizeof(v)), EPERM);
        struct ifreq r = {.ifr_name = "lo"};
        CHECK_ERR(ioctl(s, 0x8914 /* SIOCSIFFLAGS */, &r), EPERM);
    });
}

static void packets_are_seen(void)
{
    int p = socket(AF_PACKET, SOCK_DGRAM, htons(0x0800));
    if (p < 0 && errno == EPERM)
        SKIP("packet sockets need a right that we do not have");
    CHECK(p >= 0);
    int a = bound(), b = OK(socket(AF_INET, SOCK_DGRAM, 0));
    send_to(b, "look at me");
    for (;;) {
        ssize_t n = OK(recv(p, g_buf, sizeof(g_buf), 0));
        if (n == 38 && !memcmp(g_buf + 28, "look at me", 10))
            break;
    }
    close(a), close(b), close(p);
}

static void peek_and_truncate(void)
{
    int a = bound(), b = OK(socket(AF_INET, SOCK_DGRAM, 0)), off = 0;
    send_to(b, "abcdef");
    CHECK_EQ(OK(recv(a, g_buf, 2, MSG_PEEK)), 2);
    CHECK_EQ(OK(recv(a, g_buf, 2, MSG_PEEK | MSG_TRUNC)), 6);
    OK(setsockopt(a, SOL_SOCKET, SO_PEEK_OFF, &off, sizeof(off)));
    CHECK_EQ(OK(recv(a, g_buf, 2, MSG_PEEK)), 2);
    CHECK_EQ(OK(recv(a, g_buf, 9, MSG_PEEK)), 4);
    CHECK_EQ(g_buf[0], 'c');
    CHECK_EQ(OK(receive(a, 0)), 6);
    int n = 1;
    OK(ioctl(a, FIONREAD, &n));
    CHECK_EQ(n, 0);
    close(a), close(b);
}

GUEST_MAIN(C(what_is_told_about_a_datagram), C(six_is_told_too), C(control_too_small), C(refused_and_the_error_queue),
           C(held_back_and_cut_up), C(errors_of_addresses), C(a_connected_one_hears_one), C(groups), C(filters_run), C(raw_echo),
           C(raw_needs_a_right), C(packets_are_seen), C(peek_and_truncate))
