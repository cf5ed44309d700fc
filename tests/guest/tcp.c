/* TCP over the loopback: the ends of a connection, resets, urgent data, connects that do not wait. */
#include "guest.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static struct sockaddr_in g_at;
static char g_buf[256];

static int listener(int backlog)
{
    socklen_t len = sizeof(g_at);
    int s = OK(socket(AF_INET, SOCK_STREAM, 0));
    g_at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    OK(bind(s, (void *)&g_at, sizeof(g_at)));
    OK(listen(s, backlog));
    OK(getsockname(s, (void *)&g_at, &len));
    return s;
}

static int g_l, g_c, g_s;
static void connection(void)
{
    g_l = listener(5);
    g_c = OK(socket(AF_INET, SOCK_STREAM, 0));
    OK(connect(g_c, (void *)&g_at, sizeof(g_at)));
    g_s = OK(accept(g_l, NULL, NULL));
    handle(SIGPIPE, SIG_IGN, 0);
}

static void done(void)
{
    close(g_l), close(g_c), close(g_s);
}

static int events(int fd)
{
    struct pollfd p = {fd, POLLIN | POLLOUT | POLLPRI | POLLRDHUP, 0};
    OK(poll(&p, 1, 0));
    return p.revents;
}

/* Waits until these events are there: even over the loopback they may take a moment. */
static void await(int fd, int want)
{
    for (int i = 0; i < 2000 && events(fd) != want; i++)
        sleep_ms(1);
    CHECK_EQ(events(fd), want);
}

static int so_error(int s)
{
    int e;
    socklen_t l = sizeof(e);
    OK(getsockopt(s, SOL_SOCKET, SO_ERROR, &e, &l));
    return e;
}

static int state(int s)
{
    struct tcp_info i;
    socklen_t l = sizeof(i);
    OK(getsockopt(s, IPPROTO_TCP, TCP_INFO, &i, &l));
    return i.tcpi_state;
}

static void write_to_closed_peer(void)
{
    struct sockaddr_in a;
    socklen_t l = sizeof(a);
    connection();
    close(g_s);
    await(g_c, POLLIN | POLLOUT | POLLRDHUP);
    CHECK_EQ(state(g_c), TCP_CLOSE_WAIT);
    OK(getpeername(g_c, (void *)&a, &l));
    CHECK_EQ(write(g_c, "x", 1), 1); /* meets a reset */
    await(g_c, POLLIN | POLLOUT | POLLRDHUP | POLLERR | POLLHUP);
    CHECK_EQ(state(g_c), TCP_CLOSE);
    CHECK_EQ(so_error(g_c), EPIPE);
    CHECK_ERR(write(g_c, "x", 1), EPIPE);
    CHECK_EQ(read(g_c, g_buf, 1), 0);
    CHECK_ERR(getpeername(g_c, (void *)&a, &l), ENOTCONN);
    CHECK_ERR(shutdown(g_c, SHUT_RDWR), ENOTCONN);
    close(g_c), close(g_l);
}

static void close_with_unread_data_resets(void)
{
    connection();
    OK(write(g_c, "abc", 3));
    await(g_s, POLLIN | POLLOUT);
    close(g_s);
    await(g_c, POLLIN | POLLOUT | POLLRDHUP | POLLERR | POLLHUP);
    CHECK_EQ(state(g_c), TCP_CLOSE);
    CHECK_ERR(write(g_c, "x", 1), ECONNRESET);
    CHECK_EQ(read(g_c, g_buf, 1), 0);
    CHECK_ERR(write(g_c, "x", 1), EPIPE);
    close(g_c), close(g_l);
}

static void connect_without_waiting(void)
{
    int l = listener(5), c = OK(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    CHECK_EQ(events(c), POLLOUT | POLLHUP);
    CHECK_ERR(connect(c, (void *)&g_at, sizeof(g_at)), EINPROGRESS);
    await(c, POLLOUT);
    CHECK_EQ(so_error(c), 0);
    OK(connect(c, (void *)&g_at, sizeof(g_at)));
    CHECK_ERR(connect(c, (void *)&g_at, sizeof(g_at)), EISCONN);
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    OK(connect(c, &none, sizeof(none)));
    CHECK_EQ(state(c), TCP_CLOSE);
    close(l), close(c);
    c = OK(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    CHECK_ERR(connect(c, (void *)&g_at, sizeof(g_at)), EINPROGRESS);
    await(c, POLLIN | POLLOUT | POLLERR | POLLHUP | POLLRDHUP);
    CHECK_EQ(so_error(c), ECONNREFUSED);
    CHECK_ERR(connect(c, (void *)&g_at, sizeof(g_at)), ECONNABORTED);
    CHECK_ERR(connect(c, (void *)&g_at, sizeof(g_at)), EINPROGRESS);
    close(c);
}

static void refused_can_try_again(void)
{
    close(listener(1));
    int c = OK(socket(AF_INET, SOCK_STREAM, 0));
    CHECK_ERR(connect(c, (void *)&g_at, sizeof(g_at)), ECONNREFUSED);
    CHECK(events(c) & POLLHUP);
    CHECK_EQ(so_error(c), 0);
    CHECK_ERR(connect(c, (void *)&g_at, sizeof(g_at)), ECONNREFUSED);
    close(c);
}

static void half_close(void)
{
    connection();
    OK(shutdown(g_c, SHUT_WR));
    await(g_s, POLLIN | POLLOUT | POLLRDHUP);
    CHECK_EQ(state(g_s), TCP_CLOSE_WAIT);
    CHECK_EQ(read(g_s, g_buf, 9), 0);
    CHECK_EQ(write(g_s, "late", 4), 4);
    CHECK_EQ(read(g_c, g_buf, 9), 4);
    CHECK_ERR(write(g_c, "x", 1), EPIPE);
    OK(shutdown(g_s, SHUT_WR));
    await(g_c, POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
    CHECK_EQ(state(g_c), TCP_CLOSE);
    CHECK_ERR(shutdown(g_s, SHUT_WR), ENOTCONN);
    done();
    int s = OK(socket(AF_INET, SOCK_STREAM, 0));
    CHECK_ERR(shutdown(s, SHUT_RDWR), ENOTCONN);
    CHECK_ERR(shutdown(s, 9), EINVAL);
    close(s);
}

static void shut_reading_still_reads(void)
{
    connection();
    OK(shutdown(g_c, SHUT_RD));
    CHECK_EQ(events(g_c), POLLIN | POLLOUT | POLLRDHUP);
    CHECK_EQ(read(g_c, g_buf, 1), 0);
    CHECK_EQ(write(g_s, "hello", 5), 5);
    sleep_ms(5);
    CHECK_EQ(read(g_c, g_buf, 9), 5);
    done();
}

static void urgent_data(void)
{
    int n, one = 1;
    connection();
    CHECK_ERR(recv(g_s, g_buf, 9, MSG_OOB), EINVAL);
    OK(send(g_c, "abc", 3, 0));
    OK(send(g_c, "def", 3, MSG_OOB));
    OK(send(g_c, "ghi", 3, 0));
    await(g_s, POLLIN | POLLOUT | POLLPRI);
    for (n = 0; n < 5;)
        OK(ioctl(g_s, FIONREAD, &n));
    CHECK_EQ(n, 5);
    OK(ioctl(g_s, SIOCATMARK, &n));
    CHECK_EQ(n, 0);
    CHECK_EQ(recv(g_s, g_buf, 99, 0), 5);
    OK(ioctl(g_s, SIOCATMARK, &n));
    CHECK_EQ(n, 1);
    CHECK_EQ(recv(g_s, g_buf, 9, MSG_OOB | MSG_PEEK), 1);
    CHECK_EQ(recv(g_s, g_buf, 9, MSG_OOB), 1);
    CHECK_EQ(g_buf[0], 'f');
    CHECK_ERR(recv(g_s, g_buf, 9, MSG_OOB), EINVAL);
    CHECK_EQ(events(g_s), POLLIN | POLLOUT);
    CHECK_EQ(recv(g_s, g_buf, 99, 0), 3);
    OK(setsockopt(g_s, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one)));
    OK(send(g_c, "xyz", 3, MSG_OOB));
    await(g_s, POLLIN | POLLOUT | POLLPRI);
    CHECK_ERR(recv(g_s, g_buf, 9, MSG_OOB), EINVAL);
    CHECK_EQ(recv(g_s, g_buf, 9, 0), 2);
    CHECK_EQ(recv(g_s, g_buf, 9, 0), 1);
    CHECK_EQ(g_buf[0], 'z');
    done();
}

static volatile int g_urgent;
static void on_urgent(int sig)
{
    (void)sig;
    g_urgent++;
}

static void urgent_data_signals(void)
{
    connection();
    handle(SIGURG, on_urgent, 0);
    OK(fcntl(g_s, F_SETOWN, getpid()));
    g_urgent = 0;
    OK(send(g_c, "!", 1, MSG_OOB));
    for (int i = 0; i < 2000 && !g_urgent; i++)
        sleep_ms(1);
    CHECK_EQ(g_urgent, 1);
    int who = -1;
    OK(ioctl(g_s, 0x8904 /* SIOCGPGRP */, &who));
    CHECK_EQ(who, getpid());
    done();
}

static void connect_to_itself(void)
{
    socklen_t len = sizeof(g_at);
    int s = OK(socket(AF_INET, SOCK_STREAM, 0));
    g_at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    OK(bind(s, (void *)&g_at, sizeof(g_at)));
    OK(getsockname(s, (void *)&g_at, &len));
    OK(connect(s, (void *)&g_at, sizeof(g_at)));
    CHECK_EQ(write(s, "me", 2), 2);
    CHECK_EQ(read(s, g_buf, 9), 2);
    OK(shutdown(s, SHUT_WR));
    CHECK_EQ(read(s, g_buf, 9), 0);
    close(s);
}

static void names_are_shared_by_rule(void)
{
    int one = 1, l = listener(1), s = OK(socket(AF_INET, SOCK_STREAM, 0));
    CHECK_ERR(bind(s, (void *)&g_at, sizeof(g_at)), EADDRINUSE);
    OK(setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)));
    CHECK_ERR(bind(s, (void *)&g_at, sizeof(g_at)), EADDRINUSE); /* it listens */
    close(s), close(l);
    int a[2];
    g_at.sin_port = 0;
    for (int i = 0; i < 2; i++) {
        socklen_t len = sizeof(g_at);
        a[i] = OK(socket(AF_INET, SOCK_STREAM, 0));
        OK(setsockopt(a[i], SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)));
        OK(bind(a[i], (void *)&g_at, sizeof(g_at)));
        OK(getsockname(a[i], (void *)&g_at, &len));
    }
    OK(listen(a[0], 1));
    CHECK_ERR(listen(a[1], 1), EADDRINUSE);
    close(a[0]), close(a[1]);
}

static void a_closed_connection_keeps_its_port(void)
{
    int one = 1;
    connection();
    close(g_s); /* this end closes first */
    await(g_c, POLLIN | POLLOUT | POLLRDHUP);
    close(g_c);
    close(g_l);
    sleep_ms(5);
    int s = OK(socket(AF_INET, SOCK_STREAM, 0));
    CHECK_ERR(bind(s, (void *)&g_at, sizeof(g_at)), EADDRINUSE);
    close(s);
    (void)one;
}

static void not_connected(void)
{
    handle(SIGPIPE, SIG_IGN, 0);
    int s = OK(socket(AF_INET, SOCK_STREAM, 0));
    CHECK_ERR(send(s, "x", 1, 0), EPIPE);
    CHECK_ERR(recv(s, g_buf, 1, 0), ENOTCONN);
    CHECK_ERR(accept(s, NULL, NULL), EINVAL);
    close(s);
    s = listener(1);
    CHECK_ERR(recv(s, g_buf, 1, 0), ENOTCONN);
    CHECK_ERR(connect(s, (void *)&g_at, sizeof(g_at)), EISCONN);
    OK(shutdown(s, SHUT_RD));
    CHECK_ERR(accept(s, NULL, NULL), EINVAL);
    close(s);
}

static void accept_and_bad_addresses(void)
{
    socklen_t len = sizeof(g_at);
    int l = listener(5), c = OK(socket(AF_INET, SOCK_STREAM, 0));
    int bad = -1;
    CHECK_ERR(accept4(l, NULL, NULL, 0x12345), EINVAL);
    OK(connect(c, (void *)&g_at, sizeof(g_at)));
    CHECK_ERR(accept(l, (void *)&g_at, (void *)&bad), EINVAL);
    close(c);
    (void)len;
    int u = OK(socket(AF_INET, SOCK_DGRAM, 0));
    CHECK_ERR(accept(u, NULL, NULL), EOPNOTSUPP);
    CHECK_ERR(listen(u, 1), EOPNOTSUPP);
    CHECK_ERR(listen(0x7fff, 1), EBADF);
    close(u), close(l);
}

static void a_full_backlog_keeps_them_waiting(void)
{
    int l = listener(0), c[3];
    for (int i = 0; i < 3; i++) {
        c[i] = OK(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
        CHECK_ERR(connect(c[i], (void *)&g_at, sizeof(g_at)), EINPROGRESS);
    }
    await(c[0], POLLOUT);
    CHECK_EQ(events(c[2]), 0);
    CHECK_ERR(connect(c[2], (void *)&g_at, sizeof(g_at)), EALREADY);
    close(OK(accept(l, NULL, NULL)));
    struct pollfd p[2] = {{c[1], POLLOUT, 0}, {c[2], POLLOUT, 0}};
    CHECK(OK(poll(p, 2, 20000)) >= 1); /* one of them gets in: Linux tries again after a second or three */
    close(l);
    for (int i = 0; i < 3; i++)
        close(c[i]);
}

static void a_listener_that_goes_resets(void)
{
    int l = listener(5), c = OK(socket(AF_INET, SOCK_STREAM, 0));
    OK(connect(c, (void *)&g_at, sizeof(g_at)));
    close(l);
    await(c, POLLIN | POLLOUT | POLLRDHUP | POLLERR | POLLHUP);
    CHECK_ERR(read(c, g_buf, 1), ECONNRESET);
    CHECK_ERR(send(c, "x", 1, MSG_NOSIGNAL), EPIPE);
    close(c);
}

static void low_water_and_waitall(void)
{
    int four = 4;
    connection();
    OK(setsockopt(g_s, SOL_SOCKET, SO_RCVLOWAT, &four, sizeof(four)));
    OK(write(g_c, "ab", 2));
    sleep_ms(5);
    CHECK_EQ(events(g_s), POLLOUT);
    OK(write(g_c, "cd", 2));
    await(g_s, POLLIN | POLLOUT);
    CHECK_EQ(read(g_s, g_buf, 99), 4);
    pid_t p = OK(fork());
    if (!p) {
        write(g_c, "12", 2);
        sleep_ms(20);
        write(g_c, "345", 3);
        _exit(0);
    }
    CHECK_EQ(recv(g_s, g_buf, 5, MSG_WAITALL), 5);
    WAIT_EXIT(p, 0);
    done();
}

GUEST_MAIN(C(write_to_closed_peer), C(close_with_unread_data_resets), C(connect_without_waiting), C(refused_can_try_again),
           C(half_close), C(shut_reading_still_reads), C(urgent_data), C(urgent_data_signals), C(connect_to_itself),
           C(names_are_shared_by_rule), C(a_closed_connection_keeps_its_port), C(not_connected), C(accept_and_bad_addresses),
           C(a_full_backlog_keeps_them_waiting), C(a_listener_that_goes_resets), C(low_water_and_waitall))
