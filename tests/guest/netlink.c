/* Netlink: what rtnetlink tells about lo, errors in messages, names. */
#include "guest.h"
#include <linux/genetlink.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <net/if.h>
#include <sys/socket.h>

static char g_buf[65536];
static struct {
    struct nlmsghdr h;
    union {
        struct rtgenmsg g;
        struct ifinfomsg i;
        struct inet_diag_req_v2 d;
        char pad[256];
    };
} g_q;

static int ask(int proto, int type, int flags, size_t size)
{
    int s = OK(socket(AF_NETLINK, SOCK_RAW, proto));
    g_q.h = (struct nlmsghdr){.nlmsg_len = sizeof(g_q.h) + size, .nlmsg_type = type,
                              .nlmsg_flags = NLM_F_REQUEST | flags, .nlmsg_seq = 77};
    OK(send(s, &g_q, g_q.h.nlmsg_len, 0));
    return s;
}

static int answer_error(int s)
{
    OK(recv(s, g_buf, sizeof(g_buf), 0));
    struct nlmsghdr *h = (void *)g_buf;
    CHECK_EQ(h->nlmsg_seq, 77);
    CHECK_EQ(h->nlmsg_type, NLMSG_ERROR);
    close(s);
    return ((struct nlmsgerr *)NLMSG_DATA(h))->error;
}

static void links(void)
{
    bool lo = false, over = false;
    memset(&g_q, 0, sizeof(g_q));
    int s = ask(NETLINK_ROUTE, RTM_GETLINK, NLM_F_DUMP, sizeof(g_q.i));
    while (!over) {
        int n = OK(recv(s, g_buf, sizeof(g_buf), 0));
        for (struct nlmsghdr *h = (void *)g_buf; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
            over |= h->nlmsg_type == NLMSG_DONE;
            if (h->nlmsg_type != RTM_NEWLINK)
                continue;
            CHECK(h->nlmsg_flags & NLM_F_MULTI);
            struct ifinfomsg *i = NLMSG_DATA(h);
            lo |= i->ifi_index == 1 && (i->ifi_flags & IFF_LOOPBACK);
        }
    }
    CHECK(lo);
    close(s);
}

static void errors(void)
{
    memset(&g_q, 0, sizeof(g_q));
    g_q.i.ifi_index = 9999;
    CHECK_EQ(answer_error(ask(NETLINK_ROUTE, RTM_GETLINK, 0, sizeof(g_q.i))), -ENODEV);
    CHECK_EQ(answer_error(ask(NETLINK_ROUTE, 9999, 0, sizeof(g_q.i))), -EOPNOTSUPP);
    CHECK_EQ(answer_error(ask(NETLINK_ROUTE, NLMSG_NOOP, NLM_F_ACK, 0)), 0);
    memset(&g_q, 0, sizeof(g_q));
    g_q.pad[0] = 99;
    CHECK_EQ(answer_error(ask(NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, 0, sizeof(g_q.d))), -EINVAL);
    CHECK_ERR(socket(AF_NETLINK, SOCK_STREAM, 0), ESOCKTNOSUPPORT);
    CHECK_ERR(socket(AF_NETLINK, SOCK_RAW, 40), EPROTONOSUPPORT);
}

static void names(void)
{
    struct sockaddr_nl a = {.nl_family = AF_NETLINK}, b;
    socklen_t len = sizeof(a);
    int s = OK(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE)), t = OK(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
    CHECK_ERR(bind(s, (void *)&a, 4), EINVAL);
    OK(bind(s, (void *)&a, sizeof(a)));
    OK(getsockname(s, (void *)&a, &len));
    CHECK_EQ(a.nl_pid, getpid());
    CHECK_ERR(bind(t, (void *)&a, sizeof(a)), EADDRINUSE);
    b = a;
    b.nl_pid = 0;
    OK(bind(t, (void *)&b, sizeof(b)));
    len = sizeof(b);
    OK(getsockname(t, (void *)&b, &len));
    CHECK(b.nl_pid != a.nl_pid);
    close(s), close(t);
}

static void between_processes(void)
{
    struct sockaddr_nl a = {.nl_family = AF_NETLINK}, b = {.nl_family = AF_NETLINK};
    socklen_t len = sizeof(a);
    int s = OK(socket(AF_NETLINK, SOCK_RAW, NETLINK_USERSOCK)), t = OK(socket(AF_NETLINK, SOCK_RAW, NETLINK_USERSOCK));
    OK(bind(s, (void *)&a, sizeof(a)));
    OK(getsockname(s, (void *)&a, &len));
    OK(sendto(t, "hello", 5, 0, (void *)&a, sizeof(a)));
    len = sizeof(b);
    CHECK_EQ(OK(recvfrom(s, g_buf, 99, 0, (void *)&b, &len)), 5);
    CHECK(b.nl_pid && b.nl_pid != a.nl_pid);
    b.nl_pid = 0x7ffffff0;
    CHECK_ERR(sendto(t, "hello", 5, 0, (void *)&b, sizeof(b)), ECONNREFUSED);
    close(s), close(t);
}

static void the_controller(void)
{
    struct {
        struct nlmsghdr h;
        struct genlmsghdr g;
        struct nlattr a;
        char name[8];
    } q = {{sizeof(q), GENL_ID_CTRL, NLM_F_REQUEST, 1, 0}, {CTRL_CMD_GETFAMILY, 1, 0}, {4 + 7, CTRL_ATTR_FAMILY_NAME}, "nlctrl"};
    int s = OK(socket(AF_NETLINK, SOCK_RAW, NETLINK_GENERIC));
    OK(send(s, &q, sizeof(q), 0));
    OK(recv(s, g_buf, sizeof(g_buf), 0));
    CHECK_EQ(((struct nlmsghdr *)g_buf)->nlmsg_type, GENL_ID_CTRL);
    strcpy(q.name, "nothere");
    q.a.nla_len = 4 + 8;
    OK(send(s, &q, sizeof(q), 0));
    OK(recv(s, g_buf, sizeof(g_buf), 0));
    CHECK_EQ(((struct nlmsghdr *)g_buf)->nlmsg_type, NLMSG_ERROR);
    CHECK_EQ(((struct nlmsgerr *)NLMSG_DATA(g_buf))->error, -ENOENT);
    close(s);
}

GUEST_MAIN(C(links), C(errors), C(names), C(between_processes), C(the_controller))
