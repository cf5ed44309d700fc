/* PID namespaces as pid_namespaces(7) has them. Root's business: skipped without CAP_SYS_ADMIN. */
#include "guest.h"

#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

static void need_root(void)
{
    if (geteuid() != 0)
        SKIP("needs root");
}

/* fork with flags; a child's failed CHECK must end it, whatever its number. */
static pid_t fork_with(uint64_t flags)
{
    struct clone_args a = {.flags = flags, .exit_signal = SIGCHLD};
    pid_t pid = syscall(SYS_clone3, &a, sizeof(a));
    if (!pid)
        g_main_pid = -1;
    return pid;
}

static int status_of(pid_t pid)
{
    int st;
    CHECK_EQ(waitpid(pid, &st, 0), pid);
    return st;
}

static void check_exit(pid_t pid, int code)
{
    int st = status_of(pid);
    CHECK(WIFEXITED(st));
    CHECK_EQ(WEXITSTATUS(st), code);
}

#define RUN_IN_NS(...)                                                                             \
    do {                                                                                           \
        pid_t p_ = OK(fork_with(CLONE_NEWPID));                                                    \
        if (!p_) {                                                                                 \
            __VA_ARGS__;                                                                           \
            _exit(0);                                                                              \
        }                                                                                          \
        check_exit(p_, 0);                                                                         \
    } while (0)

static void await_byte(int fd)
{
    char c;
    CHECK_EQ(read(fd, &c, 1), 1);
}

static void child_is_number_one(void)
{
    need_root();
    pid_t pid = OK(fork_with(CLONE_NEWPID));
    if (!pid) {
        CHECK_EQ(getpid(), 1);
        CHECK_EQ(syscall(SYS_gettid), 1);
        CHECK_EQ(getppid(), 0);
        CHECK_EQ(getsid(0), 0); /* its session's leader is not of this namespace */
        CHECK_EQ(getpgrp(), 0);
        CHECK_EQ(OK(setsid()), 1);
        CHECK_EQ(getsid(0), 1);
        CHECK_EQ(getpgid(1), 1);
        CHECK_ERR(getpgid(12345), ESRCH);
        pid_t next = OK(fork_with(0));
        if (!next) {
            CHECK_EQ(getpid(), 2);
            CHECK_EQ(getppid(), 1);
            _exit(3);
        }
        CHECK_EQ(next, 2);
        check_exit(2, 3);
        _exit(0);
    }
    CHECK(pid > 1);
    check_exit(pid, 0);
}

static void unshare_is_for_the_children(void)
{
    need_root();
    pid_t pid = OK(fork_with(0));
    if (!pid) {
        pid_t me = getpid(), parent = getppid();
        int go[2];
        OK(pipe(go));
        OK(unshare(CLONE_NEWPID));
        CHECK_EQ(getpid(), me);
        CHECK_EQ(getppid(), parent);
        CHECK_ERR(unshare(CLONE_NEWPID), EINVAL);
        pid_t init = OK(fork_with(0));
        if (!init) {
            CHECK_EQ(getpid(), 1);
            CHECK_EQ(getppid(), 0);
            await_byte(go[0]);
            _exit(5);
        }
        pid_t second = OK(fork_with(0));
        if (!second)
            _exit(getpid() == 2 ? 6 : 1);
        check_exit(second, 6);
        OK(write(go[1], "x", 1));
        check_exit(init, 5);
        CHECK_ERR(fork(), ENOMEM); /* its init is gone for good */
        _exit(0);
    }
    check_exit(pid, 0);
}

static int thread_fn(void *arg)
{
    return 0;
}

static void threads_stay_with_their_process(void)
{
    need_root();
    static char stack[16384] __attribute__((aligned(16)));
    int thread = CLONE_VM | CLONE_SIGHAND | CLONE_THREAD;
    CHECK_ERR(clone(thread_fn, stack + sizeof(stack), thread | CLONE_NEWPID, NULL), EINVAL);
    pid_t pid = OK(fork_with(0));
    if (!pid) {
        OK(unshare(CLONE_NEWPID));
        CHECK_ERR(clone(thread_fn, stack + sizeof(stack), thread, NULL), EINVAL);
        _exit(0);
    }
    check_exit(pid, 0);
}

static void needs_the_capability(void)
{
    need_root();
    pid_t pid = OK(fork_with(0));
    if (!pid) {
        OK(setresuid(1000, 1000, 1000));
        CHECK_ERR(unshare(CLONE_NEWPID), EPERM);
        CHECK_ERR(fork_with(CLONE_NEWPID), EPERM);
        _exit(0);
    }
    check_exit(pid, 0);
}

static void init_takes_all_with_it(void)
{
    need_root();
    int up[2], alive[2];
    OK(pipe(up));
    OK(pipe(alive));
    pid_t pid = OK(fork_with(CLONE_NEWPID));
    if (!pid) {
        for (int i = 0; i < 3; i++)
            if (!OK(fork_with(i == 2 ? CLONE_NEWPID : 0))) {
                if (i == 1)
                    OK(setsid());
                signal(SIGTERM, SIG_IGN);
                OK(write(up[1], "x", 1));
                for (;;)
                    pause();
            }
        for (int i = 0; i < 3; i++)
            await_byte(up[0]);
        _exit(9);
    }
    close(alive[1]);
    check_exit(pid, 9);
    char c;
    CHECK_EQ(read(alive[0], &c, 1), 0); /* nobody is left to hold the other end */
}

static void init_leaves_no_zombies_waiting(void)
{
    need_root();
    pid_t pid = OK(fork_with(CLONE_NEWPID));
    if (!pid) {
        for (int i = 0; i < 3; i++) {
            pid_t c = OK(fork_with(0));
            if (!c)
                _exit(0);
            siginfo_t info;
            OK(waitid(P_PID, c, &info, WEXITED | WNOWAIT));
        }
        _exit(4);
    }
    check_exit(pid, 4);
}

static void init_is_deaf_to_its_own(void)
{
    need_root();
    pid_t pid = OK(fork_with(CLONE_NEWPID));
    if (!pid) {
        OK(kill(1, SIGKILL));
        OK(kill(1, SIGTERM));
        OK(kill(1, SIGSTOP));
        OK(raise(SIGUSR1));
        OK(raise(SIGTSTP));
        pid_t c = OK(fork_with(0));
        if (!c) {
            OK(kill(1, SIGKILL));
            OK(kill(1, SIGINT));
            _exit(0);
        }
        check_exit(c, 0);
        sigset_t set, none;
        sigemptyset(&none);
        sigemptyset(&set);
        sigaddset(&set, SIGUSR2);
        OK(sigprocmask(SIG_BLOCK, &set, NULL));
        OK(raise(SIGUSR2));
        sigpending(&set);
        CHECK(sigismember(&set, SIGUSR2));         /* kept, */
        OK(sigprocmask(SIG_SETMASK, &none, NULL)); /* then dropped */
        _exit(7);
    }
    check_exit(pid, 7);
}

static void init_dies_of_its_own_faults(void)
{
    need_root();
    pid_t pid = OK(fork_with(CLONE_NEWPID));
    if (!pid) {
        signal(SIGSEGV, SIG_DFL);
        *(volatile int *)8 = 1;
        _exit(0);
    }
    int st = status_of(pid);
    CHECK(WIFSIGNALED(st));
    CHECK_EQ(WTERMSIG(st), SIGSEGV);
}

static volatile sig_atomic_t g_from = -1;
static void on_signal(int sig, siginfo_t *info, void *uc)
{
    g_from = info->si_pid;
}

static void catch_signal(int sig)
{
    struct sigaction sa = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    OK(sigaction(sig, &sa, NULL));
}

static void init_hears_from_outside(void)
{
    need_root();
    int up[2];
    OK(pipe(up));
    pid_t pid = OK(fork_with(CLONE_NEWPID));
    if (!pid) {
        sigset_t none, all;
        sigfillset(&all);
        sigemptyset(&none);
        catch_signal(SIGUSR1);
        OK(sigprocmask(SIG_SETMASK, &all, NULL));
        OK(write(up[1], "x", 1));
        while (g_from < 0)
            sigsuspend(&none);
        CHECK_EQ(g_from, 0); /* the sender is not of this world */
        OK(sigprocmask(SIG_SETMASK, &none, NULL));
        OK(write(up[1], "x", 1));
        for (;;)
            pause();
    }
    await_byte(up[0]);
    OK(kill(pid, SIGTERM)); /* no handler: nothing */
    OK(kill(pid, SIGUSR1));
    await_byte(up[0]);
    int st;
    OK(kill(pid, SIGTERM));
    OK(kill(pid, SIGSTOP));
    CHECK_EQ(waitpid(pid, &st, WUNTRACED), pid);
    CHECK(WIFSTOPPED(st));
    OK(kill(pid, SIGCONT));
    CHECK_EQ(waitpid(pid, &st, WCONTINUED), pid);
    CHECK(WIFCONTINUED(st));
    OK(kill(pid, SIGKILL));
    st = status_of(pid);
    CHECK(WIFSIGNALED(st));
    CHECK_EQ(WTERMSIG(st), SIGKILL);
}

static void orphans_fall_to_init(void)
{
    need_root();
    RUN_IN_NS({
        pid_t c = OK(fork_with(0));
        if (!c) {
            if (!OK(fork_with(0))) {
                while (getppid() == 2)
                    usleep(1000);
                _exit(getppid() == 1 ? 8 : 1);
            }
            _exit(2);
        }
        check_exit(2, 2);
        check_exit(3, 8);
    });
}

static void orphans_fall_to_a_subreaper(void)
{
    need_root();
    RUN_IN_NS({
        pid_t sub = OK(fork_with(0));
        if (!sub) {
            OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
            pid_t c = OK(fork_with(0));
            if (!c) {
                if (!OK(fork_with(0))) {
                    while (getppid() == 3)
                        usleep(1000);
                    _exit(getppid() == 2 ? 8 : 1);
                }
                _exit(0);
            }
            check_exit(3, 0);
            check_exit(4, 8);
            _exit(0);
        }
        check_exit(sub, 0);
    });
}

static void subreapers_outside_do_not_count(void)
{
    need_root();
    pid_t sub = OK(fork_with(0));
    if (!sub) {
        OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
        RUN_IN_NS({
            if (!OK(fork_with(0))) {
                if (!OK(fork_with(0))) {
                    while (getppid() == 2)
                        usleep(1000);
                    _exit(getppid() == 1 ? 8 : 1);
                }
                _exit(0);
            }
            check_exit(2, 0);
            check_exit(3, 8);
        });
        _exit(0);
    }
    check_exit(sub, 0);
}

static void signals_name_the_sender(void)
{
    need_root();
    RUN_IN_NS({
        sigset_t set;
        siginfo_t info;
        sigemptyset(&set);
        sigaddset(&set, SIGUSR1);
        sigaddset(&set, SIGCHLD);
        OK(sigprocmask(SIG_BLOCK, &set, NULL));
        pid_t c = OK(fork_with(0));
        if (!c) {
            OK(kill(1, SIGUSR1));
            _exit(3);
        }
        sigdelset(&set, SIGCHLD);
        CHECK_EQ(OK(sigwaitinfo(&set, &info)), SIGUSR1);
        CHECK_EQ(info.si_pid, 2);
        sigemptyset(&set);
        sigaddset(&set, SIGCHLD);
        CHECK_EQ(OK(sigwaitinfo(&set, &info)), SIGCHLD);
        CHECK_EQ(info.si_pid, 2);
        CHECK_EQ(info.si_status, 3);
        info.si_pid = 0;
        OK(waitid(P_ALL, 0, &info, WEXITED));
        CHECK_EQ(info.si_pid, 2);
    });
}

static void kill_all_stays_inside(void)
{
    need_root();
    pid_t witness = OK(fork_with(0));
    if (!witness)
        for (;;)
            pause();
    RUN_IN_NS({
        CHECK_ERR(kill(-1, SIGKILL), ESRCH);
        pid_t c = OK(fork_with(0));
        if (!c)
            for (;;)
                pause();
        OK(kill(-1, SIGKILL));
        int st = status_of(c);
        CHECK(WIFSIGNALED(st));
    });
    CHECK_EQ(waitpid(witness, NULL, WNOHANG), 0);
    OK(kill(witness, SIGKILL));
    status_of(witness);
}

static void send_creds(int fd)
{
    char byte = 'c';
    struct iovec iov = {&byte, 1};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    CHECK_EQ(OK(sendmsg(fd, &m, 0)), 1);
}

static pid_t take_creds(int fd)
{
    char byte, control[CMSG_SPACE(sizeof(struct ucred))];
    struct iovec iov = {&byte, 1};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = sizeof(control)};
    struct ucred c;
    CHECK_EQ(OK(recvmsg(fd, &m, 0)), 1);
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    CHECK(h && h->cmsg_type == SCM_CREDENTIALS);
    memcpy(&c, CMSG_DATA(h), sizeof(c));
    return c.pid;
}

static void credentials_are_translated(void)
{
    need_root();
    int s[2], one = 1;
    OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, s));
    OK(setsockopt(s[0], SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)));
    OK(setsockopt(s[1], SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)));
    pid_t pid = OK(fork_with(CLONE_NEWPID));
    if (!pid) {
        CHECK_EQ(take_creds(s[1]), 0);
        send_creds(s[1]);
        if (!OK(fork_with(0))) {
            send_creds(s[0]);
            _exit(0);
        }
        CHECK_EQ(take_creds(s[1]), 2);
        check_exit(2, 0);
        _exit(0);
    }
    send_creds(s[0]);
    CHECK_EQ(take_creds(s[0]), pid);
    check_exit(pid, 0);
}

static void locks_name_the_holder(void)
{
    need_root();
    int fd = OK(open("lock", O_RDWR | O_CREAT, 0600));
    struct flock l = {.l_type = F_WRLCK, .l_len = 10};
    OK(fcntl(fd, F_SETLK, &l));
    RUN_IN_NS({
        struct flock q = {.l_type = F_WRLCK, .l_len = 5};
        OK(fcntl(fd, F_GETLK, &q));
        CHECK_EQ(q.l_type, F_WRLCK);
        CHECK_EQ(q.l_pid, 0); /* someone out there */
        q = (struct flock){.l_type = F_WRLCK, .l_start = 20, .l_len = 5};
        OK(fcntl(fd, F_SETLK, &q));
        OK(fcntl(fd, F_SETOWN, 1));
        CHECK_EQ(OK(fcntl(fd, F_GETOWN)), 1);
        pid_t c = OK(fork_with(0));
        if (!c) {
            q = (struct flock){.l_type = F_WRLCK, .l_start = 20, .l_len = 5};
            OK(fcntl(fd, F_GETLK, &q));
            CHECK_EQ(q.l_pid, 1);
            _exit(0);
        }
        check_exit(c, 0);
    });
}

static void numbers_can_be_chosen(void)
{
    need_root();
    pid_t want = 31007;
    struct clone_args a = {.exit_signal = SIGCHLD, .set_tid = (uintptr_t)&want, .set_tid_size = 1};
    pid_t pid = syscall(SYS_clone3, &a, sizeof(a));
    if (!pid)
        _exit(0);
    CHECK_EQ(pid, want);
    struct clone_args again = a;
    again.exit_signal = SIGCHLD;
    CHECK_ERR(syscall(SYS_clone3, &again, sizeof(again)), EEXIST);
    check_exit(pid, 0);
    want = 0;
    CHECK_ERR(syscall(SYS_clone3, &a, sizeof(a)), EINVAL);
    want = -5;
    CHECK_ERR(syscall(SYS_clone3, &a, sizeof(a)), EINVAL);
    pid_t two[2] = {1, 31008};
    a = (struct clone_args){.flags = CLONE_NEWPID,
                            .exit_signal = SIGCHLD,
                            .set_tid = (uintptr_t)two,
                            .set_tid_size = 2};
    pid = OK(syscall(SYS_clone3, &a, sizeof(a)));
    if (!pid)
        _exit(getpid() == 1 ? 0 : 1);
    CHECK_EQ(pid, 31008);
    check_exit(pid, 0);
    two[0] = 2; /* a namespace begins with 1 */
    two[1] = 31009;
    CHECK_ERR(syscall(SYS_clone3, &a, sizeof(a)), EINVAL);
    a.set_tid = 0;
    CHECK_ERR(syscall(SYS_clone3, &a, sizeof(a)), EINVAL);
    a.set_tid = (uintptr_t)two;
    a.set_tid_size = 40;
    CHECK_ERR(syscall(SYS_clone3, &a, sizeof(a)), EINVAL);
}

static int nest(int depth)
{
    pid_t pid = fork_with(CLONE_NEWPID);
    if (pid < 0)
        return errno == ENOSPC && depth <= 32 ? 0 : 1;
    if (!pid)
        _exit(depth < 40 ? nest(depth + 1) : 1);
    int st;
    return waitpid(pid, &st, 0) == pid && WIFEXITED(st) ? WEXITSTATUS(st) : 1;
}

static void nesting_ends(void)
{
    need_root();
    CHECK_EQ(nest(0), 0);
}

static void proc_line(const char *path, const char *key, char *out, size_t size)
{
    FILE *f = fopen(path, "r");
    CHECK(f);
    while (fgets(out, size, f))
        if (!strncmp(out, key, strlen(key)))
            break;
    fclose(f);
    out[strcspn(out, "\n")] = 0;
}

static void proc_shows_its_mounters_numbers(void)
{
    need_root();
    pid_t pid = OK(fork_with(CLONE_NEWPID | CLONE_NEWNS));
    if (!pid) {
        char text[256], link[32] = "";
        OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
        OK(mkdir("p", 0755));
        OK(mount("proc", "p", "proc", 0, NULL));
        OK(readlink("p/self", link, sizeof(link) - 1));
        CHECK(!strcmp(link, "1"));
        proc_line("p/self/status", "NSpid:", text, sizeof(text));
        CHECK(!strcmp(text, "NSpid:\t1"));
        proc_line("p/1/status", "PPid:", text, sizeof(text));
        CHECK(!strcmp(text, "PPid:\t0"));
        CHECK_ERR(access("p/2", F_OK), ENOENT);
        int up[2];
        OK(pipe(up));
        pid_t c = OK(fork_with(CLONE_NEWPID));
        if (!c) {
            await_byte(up[0]);
            CHECK_EQ(readlink("p/self", link, sizeof(link) - 1), 1);
            CHECK_EQ(link[0], '2');
            _exit(0);
        }
        proc_line("p/2/status", "NSpid:", text, sizeof(text));
        CHECK(!strcmp(text, "NSpid:\t2\t1"));
        OK(write(up[1], "x", 1));
        check_exit(c, 0);
        OK(umount("p"));
        _exit(0);
    }
    check_exit(pid, 0);
}

static void others_are_not_there(void)
{
    need_root();
    int up[2];
    OK(pipe(up));
    pid_t outside = getpid();
    RUN_IN_NS({
        if (outside > 3)
            CHECK_ERR(kill(outside, 0), ESRCH);
        CHECK_ERR(waitpid(outside, NULL, 0), ECHILD);
        CHECK_ERR(syscall(SYS_pidfd_open, outside + 7, 0), ESRCH);
        CHECK_EQ(OK(syscall(SYS_pidfd_open, 1, 0)) > 0, 1);
        CHECK_ERR(setpgid(0, 12345), EPERM);
        OK(setpgid(0, 0));
        CHECK_EQ(getpgrp(), 1);
        CHECK_ERR(kill(-12345, 0), ESRCH);
    });
}

static void exec_by_a_thread_keeps_number_one(void)
{
    need_root();
    pid_t pid = OK(fork_with(CLONE_NEWPID));
    if (!pid) {
        execlp("sh", "sh", "-c", "exit $$", NULL);
        _exit(99);
    }
    check_exit(pid, 1);
}

GUEST_MAIN(C(child_is_number_one), C(unshare_is_for_the_children),
           C(threads_stay_with_their_process), C(needs_the_capability), C(init_takes_all_with_it),
           C(init_leaves_no_zombies_waiting), C(init_is_deaf_to_its_own),
           C(init_dies_of_its_own_faults), C(init_hears_from_outside), C(orphans_fall_to_init),
           C(orphans_fall_to_a_subreaper), C(subreapers_outside_do_not_count),
           C(signals_name_the_sender), C(kill_all_stays_inside), C(credentials_are_translated),
           C(locks_name_the_holder), C(numbers_can_be_chosen), C(nesting_ends),
           C(proc_shows_its_mounters_numbers), C(others_are_not_there),
           C(exec_by_a_thread_keeps_number_one))
