/* See netns.h. A child makes the namespace; the descriptor we open keeps it when the child has
 * gone. */
#include "netns.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void loopback_up(void)
{
    struct ifreq r = {.ifr_name = "lo"};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (ioctl(fd, SIOCGIFFLAGS, &r) == 0) {
        r.ifr_flags |= IFF_UP;
        ioctl(fd, SIOCSIFFLAGS, &r);
    }
    close(fd);
}

_Noreturn static void child(int ready, int go)
{
    char c = unshare(CLONE_NEWNET) < 0 ? errno : 0;
    if (!c)
        loopback_up();
    (void)!write(ready, &c, 1);
    (void)!read(go, &c, 1); /* the end of the pipe: the parent has what it wants, or has gone */
    _exit(0);
}

static int open_of(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
    return open(path, O_RDONLY | O_CLOEXEC);
}

int netns_new(struct rf_error *e)
{
    int ready[2], go[2], fd = -1;
    char err = EIO;
    if (pipe2(ready, O_CLOEXEC) < 0)
        return rf_fail(e, "cannot make a pipe: %s", strerror(errno));
    if (pipe2(go, O_CLOEXEC) < 0) {
        close(ready[0]);
        close(ready[1]);
        return rf_fail(e, "cannot make a pipe: %s", strerror(errno));
    }
    pid_t pid = fork();
    if (pid == 0) {
        close(go[1]);
        child(ready[1], go[0]);
    }
    close(ready[1]);
    close(go[0]);
    if (pid > 0 && read(ready[0], &err, 1) == 1 && err == 0)
        fd = open_of(pid);
    close(ready[0]);
    close(go[1]);
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    if (fd < 0)
        rf_fail(e, "cannot make a network namespace: %s", strerror(err ? err : errno));
    return fd;
}
