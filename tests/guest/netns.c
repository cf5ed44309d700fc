/* Network namespaces: a new one has a loopback that is down, and names of its own. */
#include "guest.h"
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

static struct sockaddr_in g_at = {.sin_family = AF_INET};

static void enter_new(void)
{
    if (unshare(CLONE_NEWNET) && errno == EPERM)
        SKIP("cannot make a network namespace");
}

static int flags(int s)
{
    struct ifreq r = {.ifr_name = "lo"};
    OK(ioctl(s, SIOCGIFFLAGS, &r));
    return r.ifr_flags;
}

static void up(int s)
{
    struct ifreq r = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    OK(ioctl(s, SIOCSIFFLAGS, &r));
}

static void loopback_starts_down(void)
{
    IN_CHILD({
        enter_new();
        int s = OK(socket(AF_INET, SOCK_DGRAM, 0));
        CHECK_EQ(flags(s) & (IFF_UP | IFF_LOOPBACK), IFF_LOOPBACK);
        g_at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        g_at.sin_port = htons(9);
        CHECK_ERR(sendto(s, "x", 1, 0, (void *)&g_at, sizeof(g_at)), ENETUNREACH);
        up(s);
        CHECK(flags(s) & IFF_UP);
        OK(sendto(s, "x", 1, 0, (void *)&g_at, sizeof(g_at)));
    });
    int s = OK(socket(AF_INET, SOCK_DGRAM, 0));
    CHECK(flags(s) & IFF_UP); /* ours is as it was */
    close(s);
}

static void names_are_apart(void)
{
    int l = OK(socket(AF_INET, SOCK_STREAM, 0)), u = OK(socket(AF_UNIX, SOCK_STREAM, 0));
    socklen_t len = sizeof(g_at);
    g_at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    g_at.sin_port = 0;
    OK(bind(l, (void *)&g_at, sizeof(g_at)));
    OK(listen(l, 1));
    OK(getsockname(l, (void *)&g_at, &len));
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    socklen_t ulen = offsetof(struct sockaddr_un, sun_path) + 1 + snprintf(a.sun_path + 1, 50, "rf-ns-%d", getpid());
    OK(bind(u, (void *)&a, ulen));
    OK(listen(u, 1));
    IN_CHILD({
        enter_new();
        int s = OK(socket(AF_INET, SOCK_STREAM, 0));
        up(s);
        CHECK_ERR(connect(s, (void *)&g_at, sizeof(g_at)), ECONNREFUSED);
        close(s);
        s = OK(socket(AF_INET, SOCK_STREAM, 0));
        OK(bind(s, (void *)&g_at, sizeof(g_at)));
        int v = OK(socket(AF_UNIX, SOCK_STREAM, 0));
        CHECK_ERR(connect(v, (void *)&a, ulen), ECONNREFUSED);
        OK(bind(v, (void *)&a, ulen));
    });
    close(l), close(u);
}

static void sockets_stay_where_they_were_made(void)
{
    IN_CHILD({
        int old = OK(socket(AF_INET, SOCK_DGRAM, 0));
        enter_new();
        int new = OK(socket(AF_INET, SOCK_DGRAM, 0));
        g_at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        g_at.sin_port = htons(9);
        OK(sendto(old, "x", 1, 0, (void *)&g_at, sizeof(g_at)));
        CHECK_ERR(sendto(new, "x", 1, 0, (void *)&g_at, sizeof(g_at)), ENETUNREACH);
    });
}

GUEST_MAIN(C(loopback_starts_down), C(names_are_apart), C(sockets_stay_where_they_were_made))
