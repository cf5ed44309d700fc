/* seccomp(2) and seccomp_unotify(2): filters, their actions, the supervisor's descriptor. */
#include "guest.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define SECCOMP(op, flags, arg) syscall(SYS_seccomp, (op), (flags), (arg))
#ifndef SECCOMP_IOCTL_NOTIF_ADDFD
#error "old headers"
#endif

static int filter_for(long nr, unsigned action, unsigned flags)
{
    struct sock_filter f[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, action),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog prog = {4, f};
    OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    return SECCOMP(SECCOMP_SET_MODE_FILTER, flags, &prog);
}

static void known_actions(void)
{
    const unsigned good[] = {SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_TRAP,
                             SECCOMP_RET_ERRNO,        SECCOMP_RET_USER_NOTIF,  SECCOMP_RET_TRACE,
                             SECCOMP_RET_LOG,          SECCOMP_RET_ALLOW};
    unsigned bad = 0x12340000;
    struct seccomp_notif_sizes sizes;
    for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        OK(SECCOMP(SECCOMP_GET_ACTION_AVAIL, 0, &good[i]));
    CHECK_ERR(SECCOMP(SECCOMP_GET_ACTION_AVAIL, 0, &bad), EOPNOTSUPP);
    CHECK_ERR(SECCOMP(SECCOMP_GET_ACTION_AVAIL, 1, &bad), EINVAL);
    CHECK_ERR(SECCOMP(SECCOMP_GET_ACTION_AVAIL, 0, 8), EFAULT);
    OK(SECCOMP(SECCOMP_GET_NOTIF_SIZES, 0, &sizes));
    CHECK_EQ(sizes.seccomp_notif, 80);
    CHECK_EQ(sizes.seccomp_notif_resp, 24);
    CHECK_EQ(sizes.seccomp_data, 64);
    CHECK_ERR(SECCOMP(99, 0, NULL), EINVAL);
}

static void bad_filters(void)
{
    struct sock_filter f[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog prog = {1, f}, none = {0, f};
    IN_CHILD(OK(setresuid(1000, 1000, 1000));
             CHECK_ERR(SECCOMP(SECCOMP_SET_MODE_FILTER, 0, &prog), EACCES));
    IN_CHILD(OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
             CHECK_ERR(SECCOMP(SECCOMP_SET_MODE_FILTER, 0x1000, &prog), EINVAL);
             CHECK_ERR(SECCOMP(SECCOMP_SET_MODE_FILTER, 0, 8), EFAULT);
             CHECK_ERR(SECCOMP(SECCOMP_SET_MODE_FILTER, 0, &none), EINVAL);
             CHECK_ERR(SECCOMP(SECCOMP_SET_MODE_FILTER,
                               SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_NEW_LISTENER, &prog),
                       EINVAL);
             CHECK_ERR(SECCOMP(SECCOMP_SET_MODE_STRICT, 1, NULL), EINVAL);
             OK(SECCOMP(SECCOMP_SET_MODE_FILTER, 0, &prog));
             CHECK_EQ(prctl(PR_GET_SECCOMP, 0, 0, 0, 0), 2);
             CHECK_ERR(SECCOMP(SECCOMP_SET_MODE_STRICT, 0, NULL), EINVAL));
}

static void kill_child(unsigned action, int sig)
{
    pid_t pid = OK(fork());
    if (!pid) {
        OK(filter_for(SYS_getppid, action, 0));
        syscall(SYS_getppid);
        _exit(0);
    }
    WAIT_SIGNAL(pid, sig);
}

static void actions(void)
{
    kill_child(SECCOMP_RET_KILL_PROCESS, SIGSYS);
    kill_child(SECCOMP_RET_KILL_THREAD, SIGSYS);
    kill_child(SECCOMP_RET_TRAP, SIGSYS);
    kill_child(0x12340000, SIGSYS); /* unknown ones kill the process */
    IN_CHILD(OK(filter_for(SYS_getppid, SECCOMP_RET_ERRNO | 77, 0));
             CHECK_ERR(syscall(SYS_getppid), 77));
    IN_CHILD(OK(filter_for(SYS_getppid, SECCOMP_RET_TRACE, 0));
             CHECK_ERR(syscall(SYS_getppid), ENOSYS));
    IN_CHILD(OK(filter_for(SYS_getppid, SECCOMP_RET_USER_NOTIF, 0));
             CHECK_ERR(syscall(SYS_getppid), ENOSYS));
    IN_CHILD(OK(filter_for(SYS_getppid, SECCOMP_RET_LOG, 0)); OK(syscall(SYS_getppid)));
}

static void filters_in_status(void)
{
    char buf[4096];
    IN_CHILD(OK(filter_for(SYS_getppid, SECCOMP_RET_LOG, 0));
             OK(filter_for(SYS_getppid, SECCOMP_RET_LOG, 0));
             read_file("/proc/self/status", buf, sizeof(buf));
             CHECK(strstr(buf, "\nSeccomp:\t2\nSeccomp_filters:\t2\n") != NULL));
}

/* ---- a supervised child ---- */

static void give_fd(int sock, int fd)
{
    char c = 'x', room[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec iov = {&c, 1};
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room)};
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    h->cmsg_level = SOL_SOCKET, h->cmsg_type = SCM_RIGHTS, h->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(h), &fd, sizeof(int));
    OK(sendmsg(sock, &m, 0));
}

static int take_fd(int sock)
{
    char c, room[CMSG_SPACE(sizeof(int))];
    struct iovec iov = {&c, 1};
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room)};
    int fd;
    CHECK_EQ(OK(recvmsg(sock, &m, 0)), 1);
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(int));
    return fd;
}

static pid_t supervised(void (*fn)(void), int *listener)
{
    int sv[2];
    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
    pid_t pid = OK(fork());
    if (!pid) {
        int fd =
            OK(filter_for(SYS_getppid, SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER));
        CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        give_fd(sv[1], fd);
        close(fd);
        close(sv[0]);
        close(sv[1]);
        fn();
        _exit(0);
    }
    *listener = take_fd(sv[0]);
    close(sv[0]);
    close(sv[1]);
    return pid;
}

static struct seccomp_notif receive(int fd)
{
    struct seccomp_notif n = {0};
    OK(ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &n));
    return n;
}

static void answer(int fd, uint64_t id, int64_t val, int error, unsigned flags)
{
    struct seccomp_notif_resp r = {.id = id, .val = val, .error = error, .flags = flags};
    OK(ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &r));
}

static void three_calls(void)
{
    CHECK_EQ(syscall(SYS_getppid, 1, 2, 3, 4, 5, 6), 4711);
    CHECK_ERR(syscall(SYS_getppid), EDOM);
    CHECK_EQ(syscall(SYS_getppid), g_main_pid);
}

static void answers(void)
{
    int fd;
    pid_t pid = supervised(three_calls, &fd);
    struct seccomp_notif n = receive(fd);
    CHECK_EQ(n.pid, pid);
    CHECK_EQ(n.data.nr, SYS_getppid);
    CHECK_EQ(n.data.arch, AUDIT_ARCH_X86_64);
    CHECK_EQ(n.data.args[5], 6);
    OK(ioctl(fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &n.id));
    struct seccomp_notif_resp bad = {.id = n.id, .flags = 2};
    CHECK_ERR(ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &bad), EINVAL);
    bad = (struct seccomp_notif_resp){
        .id = n.id, .val = 1, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
    CHECK_ERR(ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &bad), EINVAL);
    answer(fd, n.id, 4711, 0, 0);
    bad = (struct seccomp_notif_resp){.id = n.id + 100};
    CHECK_ERR(ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &bad), ENOENT);
    uint64_t id = n.id + 100;
    CHECK_ERR(ioctl(fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &id), ENOENT);
    CHECK_ERR(ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &n), EINVAL); /* not zeroed */
    CHECK_ERR(ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, 8), EFAULT);
    n = receive(fd);
    answer(fd, n.id, 0, -EDOM, 0);
    n = receive(fd);
    answer(fd, n.id, 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
    WAIT_EXIT(pid, 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    CHECK_EQ(OK(poll(&p, 1, 2000)), 1);
    CHECK(p.revents & POLLHUP);
    close(fd);
}

static void one_call(void)
{
    int fd = syscall(SYS_getppid);
    char c;
    CHECK(fd >= 0);
    CHECK_EQ(OK(read(fd, &c, 1)), 1);
    CHECK_EQ(c, 'q');
}

static void descriptors(void)
{
    int fd, pipe_fd[2];
    OK(pipe(pipe_fd));
    CHECK_EQ(OK(write(pipe_fd[1], "q", 1)), 1);
    pid_t pid = supervised(one_call, &fd);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    CHECK_EQ(OK(poll(&p, 1, 5000)), 1);
    CHECK_EQ(p.revents, POLLIN);
    struct seccomp_notif n = receive(fd);
    struct seccomp_notif_addfd a = {.id = n.id, .srcfd = 999};
    CHECK_ERR(ioctl(fd, SECCOMP_IOCTL_NOTIF_ADDFD, &a), EBADF);
    a.srcfd = pipe_fd[0];
    a.newfd = 50;
    CHECK_ERR(ioctl(fd, SECCOMP_IOCTL_NOTIF_ADDFD, &a), EINVAL);
    a.flags = SECCOMP_ADDFD_FLAG_SETFD;
    CHECK_EQ(OK(ioctl(fd, SECCOMP_IOCTL_NOTIF_ADDFD, &a)), 50);
    a.flags = 0, a.newfd = 0, a.newfd_flags = O_NONBLOCK;
    CHECK_ERR(ioctl(fd, SECCOMP_IOCTL_NOTIF_ADDFD, &a), EINVAL);
    a.newfd_flags = O_CLOEXEC;
    int num = OK(ioctl(fd, SECCOMP_IOCTL_NOTIF_ADDFD, &a));
    a.id++;
    CHECK_ERR(ioctl(fd, SECCOMP_IOCTL_NOTIF_ADDFD, &a), ENOENT);
    answer(fd, n.id, num, 0, 0);
    WAIT_EXIT(pid, 0);
    close(fd);
    OK(write(pipe_fd[1], "q", 1));
    pid = supervised(one_call, &fd);
    n = receive(fd);
    a = (struct seccomp_notif_addfd){
        .id = n.id, .srcfd = pipe_fd[0], .flags = SECCOMP_ADDFD_FLAG_SEND};
    CHECK(OK(ioctl(fd, SECCOMP_IOCTL_NOTIF_ADDFD, &a)) >= 0); /* that was the answer, too */
    WAIT_EXIT(pid, 0);
    close(fd);
}

static void orphan_call(void)
{
    CHECK_ERR(syscall(SYS_getppid), ENOSYS);
}

static void supervisor_goes_away(void)
{
    int fd;
    pid_t pid = supervised(orphan_call, &fd);
    receive(fd);
    close(fd);
    WAIT_EXIT(pid, 0);
}

static volatile sig_atomic_t g_hit;

static void on_usr1(int sig)
{
    g_hit = 1;
}

static void interrupted_call(void)
{
    handle(SIGUSR1, on_usr1, 0);
    CHECK_ERR(syscall(SYS_getppid), EINTR);
    CHECK_EQ(g_hit, 1);
    handle(SIGUSR1, on_usr1, SA_RESTART);
    CHECK_EQ(syscall(SYS_getppid), 5);
}

static void signals_interrupt(void)
{
    int fd;
    pid_t pid = supervised(interrupted_call, &fd);
    struct seccomp_notif n = receive(fd);
    OK(kill(pid, SIGUSR1));
    struct seccomp_notif second = receive(fd); /* made after EINTR */
    CHECK(second.id != n.id);
    CHECK_ERR(ioctl(fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &n.id), ENOENT);
    OK(kill(pid, SIGUSR1));
    n = receive(fd); /* the same call, made again */
    CHECK(second.id != n.id);
    answer(fd, n.id, 5, 0, 0);
    WAIT_EXIT(pid, 0);
    close(fd);
}

static void one_listener_only(void)
{
    IN_CHILD(int fd =
                 OK(filter_for(SYS_getppid, SECCOMP_RET_ALLOW, SECCOMP_FILTER_FLAG_NEW_LISTENER));
             CHECK_ERR(filter_for(SYS_getppid, SECCOMP_RET_ALLOW, SECCOMP_FILTER_FLAG_NEW_LISTENER),
                       EBUSY);
             close(fd));
}

GUEST_MAIN(C(known_actions), C(bad_filters), C(actions), C(filters_in_status), C(answers),
           C(descriptors), C(supervisor_goes_away), C(signals_interrupt), C(one_listener_only))
