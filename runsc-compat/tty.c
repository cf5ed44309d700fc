/* See tty.h. */
#include "tty.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int tty_open(unsigned rows, unsigned columns, int *master, int *slave, struct rf_error *e)
{
    struct winsize size = {.ws_row = rows, .ws_col = columns};
    *slave = -1;
    *master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (*master >= 0 && grantpt(*master) == 0 && unlockpt(*master) == 0)
        *slave = ioctl(*master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (*slave < 0) {
        int err = errno;
        if (*master >= 0)
            close(*master);
        return rf_fail(e, "cannot make a terminal: %s", strerror(err));
    }
    if (rows && columns)
        ioctl(*master, TIOCSWINSZ, &size);
    return 0;
}

static int connect_to(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(a.sun_path))
        return -ENAMETOOLONG;
    strcpy(a.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
        int err = -errno;
        if (fd >= 0)
            close(fd);
        return err;
    }
    return fd;
}

static int send_fd(int socket_fd, int fd)
{
    char name[] = "/dev/ptmx", control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec iov = {.iov_base = name, .iov_len = sizeof(name) - 1};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = sizeof(control)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    *c = (struct cmsghdr){
        .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
    memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    return sendmsg(socket_fd, &m, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int tty_console(const char *socket_path, unsigned rows, unsigned columns, int *slave,
                struct rf_error *e)
{
    int master;
    int fd = connect_to(socket_path);
    if (fd < 0)
        return rf_fail(e, "--console-socket %s: %s", socket_path, strerror(-fd));
    int ret = tty_open(rows, columns, &master, slave, e);
    if (ret == 0) {
        int err = send_fd(fd, master);
        close(master);
        if (err) {
            close(*slave);
            ret = rf_fail(e, "--console-socket %s: %s", socket_path, strerror(-err));
        }
    }
    close(fd);
    return ret;
}
