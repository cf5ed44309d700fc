/* fork(2), vfork(2), clone(2), clone3(2), _exit(2). */
#include "guest.h"
#include <linux/sched.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static void exit_status(void)
{
    for (int i = 0; i < 256; i += 51) {
        pid_t p = OK(fork());
        if (!p)
            _exit(i | 0x300);
        WAIT_EXIT(p, i);
    }
}

static void ids_differ(void)
{
    pid_t me = getpid(), p = OK(fork());
    if (!p)
        _exit(!(getppid() == me && getpid() != me && syscall(SYS_gettid) == getpid()));
    WAIT_EXIT(p, 0);
}

static void memory_is_private(void)
{
    volatile int *x = malloc(4096 * 10);
    x[0] = 1, x[5000] = 2;
    pid_t p = OK(fork());
    if (!p) {
        CHECK_EQ(x[0], 1);
        x[0] = 7;
        CHECK_EQ(x[5000], 2);
        _exit(0);
    }
    x[5000] = 9;
    WAIT_EXIT(p, 0);
    CHECK_EQ(x[0], 1);
}

static void offsets_are_shared(void)
{
    write_file("f", "abcdefgh", 8);
    int fd = OK(open("f", O_RDONLY));
    pid_t p = OK(fork());
    char c[3] = "";
    if (!p)
        _exit(!(read(fd, c, 2) == 2));
    WAIT_EXIT(p, 0);
    CHECK_EQ(read(fd, c, 1), 1);
    CHECK_EQ(c[0], 'c');
    close(fd);
}

static void fd_table_is_private(void)
{
    int fd = OK(open("/dev/null", O_RDONLY));
    pid_t p = OK(fork());
    if (!p)
        _exit(close(fd) != 0);
    WAIT_EXIT(p, 0);
    CHECK(fcntl(fd, F_GETFD) == 0);
    close(fd);
}

static void deep_tree(void)
{
    pid_t p = OK(fork());
    if (!p) {
        int depth = 0;
        for (;;) {
            pid_t q = fork();
            if (q < 0)
                _exit(99);
            if (q) {
                WAIT_EXIT(q, 42);
                _exit(42);
            }
            if (++depth == 30)
                _exit(42);
        }
    }
    WAIT_EXIT(p, 42);
}

static void hundred_children(void)
{
    pid_t p[100];
    for (int i = 0; i < 100; i++) {
        p[i] = OK(fork());
        if (!p[i])
            _exit(i);
    }
    for (int i = 99; i >= 0; i--)
        WAIT_EXIT(p[i], i);
}

static void orphan_goes_to_init(void)
{
    int fds[2];
    OK(pipe(fds));
    pid_t p = OK(fork());
    if (!p) {
        if (fork() == 0) {
            pid_t parent = getppid();
            for (int i = 0; i < 1000 && getppid() == parent; i++)
                sleep_ms(2);
            int changed = getppid() != parent;
            _exit(write(fds[1], &changed, sizeof(changed)) != sizeof(changed));
        }
        sleep_ms(20);
        _exit(0);
    }
    WAIT_EXIT(p, 0);
    int changed = 0;
    close(fds[1]);
    CHECK_EQ(read(fds[0], &changed, sizeof(changed)), sizeof(changed));
    CHECK_EQ(changed, 1);
    close(fds[0]);
}

static void subreaper(void)
{
    OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
    pid_t p = OK(fork());
    if (!p) {
        if (fork() == 0) {
            sleep_ms(50);
            _exit(33);
        }
        _exit(11);
    }
    WAIT_EXIT(p, 11);
    int st;
    pid_t q = OK(wait(&st));
    CHECK(q != p);
    CHECK_EQ(WEXITSTATUS(st), 33);
    OK(prctl(PR_SET_CHILD_SUBREAPER, 0));
}

static void parent_death_signal(void)
{
    int fds[2];
    char c;
    OK(pipe(fds));
    pid_t p = OK(fork());
    if (!p) {
        pid_t q = fork();
        if (!q) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (write(fds[1], "r", 1) != 1)
                _exit(1);
            for (;;)
                pause();
        }
        if (read(fds[0], &c, 1) != 1)
            _exit(1);
        _exit(0);
    }
    close(fds[1]);
    WAIT_EXIT(p, 0);
    CHECK_EQ(read(fds[0], &c, 1), 0); /* the grandchild's end is closed by its death */
    close(fds[0]);
}

static void vfork_shares_and_waits(void)
{
    static volatile int x;
    x = 0;
    pid_t p = vfork();
    if (p == 0) {
        x = 5;
        struct timespec ts = {0, 30000000};
        nanosleep(&ts, NULL);
        x = 6;
        _exit(3);
    }
    CHECK_EQ(x, 6);
    WAIT_EXIT(p, 3);
}

static void vfork_exec(void)
{
    pid_t p = vfork();
    if (p == 0) {
        execl("/bin/true", "true", NULL);
        _exit(127);
    }
    WAIT_EXIT(p, 0);
}

static int clone_fn(void *arg)
{
    *(volatile int *)arg += 1;
    return 17;
}

static char g_stack[65536] __attribute__((aligned(16)));

static void clone_vm(void)
{
    static int x;
    x = 1;
    pid_t p = OK(clone(clone_fn, g_stack + sizeof(g_stack), CLONE_VM | SIGCHLD, &x));
    WAIT_EXIT(p, 17);
    CHECK_EQ(x, 2);
}

static void clone_without_vm(void)
{
    static int x;
    x = 1;
    pid_t p = OK(clone(clone_fn, g_stack + sizeof(g_stack), SIGCHLD, &x));
    WAIT_EXIT(p, 17);
    CHECK_EQ(x, 1);
}

static int close_fn(void *arg)
{
    return close(*(int *)arg) != 0;
}

static void clone_files(void)
{
    int fd = OK(open("/dev/null", O_RDONLY));
    pid_t p = OK(clone(close_fn, g_stack + sizeof(g_stack), CLONE_FILES | SIGCHLD, &fd));
    WAIT_EXIT(p, 0);
    CHECK_ERR(fcntl(fd, F_GETFD), EBADF);
}

static int chdir_fn(void *arg)
{
    (void)arg;
    umask(077);
    return chdir("/") != 0;
}

static void clone_fs(void)
{
    char buf[4096];
    pid_t p = OK(clone(chdir_fn, g_stack + sizeof(g_stack), CLONE_FS | SIGCHLD, NULL));
    WAIT_EXIT(p, 0);
    CHECK(getcwd(buf, sizeof(buf)));
    CHECK_STR(buf, "/");
    CHECK_EQ(umask(022), 077);
}

static void clone_no_signal_needs_wclone(void)
{
    static int x;
    int st;
    pid_t p = OK(clone(clone_fn, g_stack + sizeof(g_stack), 0, &x));
    CHECK_ERR(waitpid(p, &st, 0), ECHILD);
    CHECK_EQ(OK(waitpid(p, &st, __WALL)), p);
}

static void clone_bad_flags(void)
{
    CHECK_ERR(syscall(SYS_clone, CLONE_THREAD, 0, 0, 0, 0), EINVAL);
    CHECK_ERR(syscall(SYS_clone, CLONE_SIGHAND, 0, 0, 0, 0), EINVAL);
    CHECK_ERR(syscall(SYS_clone, CLONE_THREAD | CLONE_SIGHAND, 0, 0, 0, 0), EINVAL);
    CHECK_ERR(syscall(SYS_clone, CLONE_FS | CLONE_NEWNS | SIGCHLD, 0, 0, 0, 0), EINVAL);
}

static void clone_tids(void)
{
    static int parent_tid, child_tid;
    parent_tid = child_tid = 0;
    long p = OK(syscall(SYS_clone, CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | SIGCHLD, 0,
                        &parent_tid, &child_tid, 0));
    if (!p)
        _exit(!(child_tid == syscall(SYS_getpid)));
    CHECK_EQ(parent_tid, p);
    CHECK_EQ(child_tid, 0);
    WAIT_EXIT(p, 0);
}

static void clone3_basic(void)
{
    static int tid;
    struct clone_args a = {
        .flags = CLONE_PARENT_SETTID, .parent_tid = (uintptr_t)&tid, .exit_signal = SIGCHLD};
    long p = OK(syscall(SYS_clone3, &a, sizeof(a)));
    if (!p)
        _exit(44);
    CHECK_EQ(tid, p);
    WAIT_EXIT(p, 44);
}

static void clone3_errors(void)
{
    struct {
        struct clone_args a;
        uint64_t more[2];
    } big = {.a.exit_signal = SIGCHLD, .more = {0, 1}};
    struct clone_args a = {.exit_signal = 200};
    CHECK_ERR(syscall(SYS_clone3, &a, sizeof(a)), EINVAL);
    a.exit_signal = SIGCHLD;
    CHECK_ERR(syscall(SYS_clone3, &a, 32), EINVAL);
    CHECK_ERR(syscall(SYS_clone3, &big, sizeof(big)), E2BIG);
    CHECK_ERR(syscall(SYS_clone3, &a, 5000), E2BIG);
    CHECK_ERR(syscall(SYS_clone3, 8L, sizeof(a)), EFAULT);
    a.stack = (uintptr_t)g_stack;
    CHECK_ERR(syscall(SYS_clone3, &a, sizeof(a)), EINVAL);
}

static void clone3_pidfd(void)
{
    int pidfd = -1;
    struct clone_args a = {
        .flags = CLONE_PIDFD, .pidfd = (uintptr_t)&pidfd, .exit_signal = SIGCHLD};
    long p = OK(syscall(SYS_clone3, &a, sizeof(a)));
    if (!p)
        _exit(45);
    siginfo_t si = {0};
    CHECK(pidfd >= 0);
    OK(waitid(3 /* P_PIDFD */, pidfd, &si, WEXITED));
    CHECK_EQ(si.si_status, 45);
    CHECK_EQ(si.si_pid, p);
    close(pidfd);
}

static void nproc_limit(void)
{
    IN_CHILD({
        uid_t u = 50000 + getpid(); /* a user of our own */
        OK(setresuid(u, u, u));
        struct rlimit rl = {3, 3};
        OK(setrlimit(RLIMIT_NPROC, &rl));
        int made = 0;
        for (int i = 0; i < 10; i++) {
            pid_t p = fork();
            if (p == 0) {
                sleep_ms(300);
                _exit(0);
            }
            if (p < 0) {
                CHECK_EQ(errno, EAGAIN);
                break;
            }
            made++;
        }
        CHECK_EQ(made, 2);
        while (wait(NULL) > 0)
            ;
    });
}

static void exit_group_ends_threads_of_child(void)
{
    pid_t p = OK(fork());
    if (!p) {
        OK(clone(clone_fn, g_stack + sizeof(g_stack), CLONE_VM | CLONE_THREAD | CLONE_SIGHAND,
                 g_stack));
        syscall(SYS_exit_group, 9);
    }
    WAIT_EXIT(p, 9);
}

static int g_seen;

static void note(int sig)
{
    g_seen = sig;
}

/* Without CLONE_THREAD too the table of handlers is one. */
static int set_handler(void *arg)
{
    struct sigaction sa = {.sa_handler = note};
    return sigaction(SIGUSR2, &sa, NULL) ? 1 : 0;
}

static void shared_handlers(void)
{
    char *stack = malloc(65536);
    g_seen = 0;
    pid_t pid = OK(clone(set_handler, stack + 65536, CLONE_VM | CLONE_SIGHAND | SIGCHLD, NULL));
    WAIT_EXIT(pid, 0);
    raise(SIGUSR2);
    CHECK_EQ(g_seen, SIGUSR2);
}

static void odd_exit_signals(void)
{
    for (int sig = 60; sig < 256; sig += 39) {
        pid_t pid = OK(syscall(SYS_clone, sig > 64 ? sig : 0, NULL, NULL, NULL, 0));
        if (!pid)
            _exit(3);
        int st;
        CHECK_EQ(OK(waitpid(pid, &st, __WALL)), pid);
        CHECK_EQ(WEXITSTATUS(st), 3);
    }
}

static void chosen_pid(void)
{
    pid_t want = 31000;
    struct clone_args a = {.exit_signal = SIGCHLD, .set_tid = (uint64_t)&want, .set_tid_size = 1};
    while (!kill(want, 0))
        want++;
    pid_t pid = syscall(SYS_clone3, &a, sizeof(a));
    if (pid == 0)
        _exit(getpid() == want ? 0 : 1);
    CHECK_EQ(OK(pid), want);
    CHECK_ERR(syscall(SYS_clone3, &a, sizeof(a)), EEXIST);
    WAIT_EXIT(pid, 0);
    pid_t one = want;
    want = -1;
    CHECK_ERR(syscall(SYS_clone3, &a, sizeof(a)), EINVAL);
    want = 0;
    CHECK_ERR(syscall(SYS_clone3, &a, sizeof(a)), EINVAL);
    want = one;
    a.set_tid_size = 33;
    CHECK_ERR(syscall(SYS_clone3, &a, sizeof(a)), EINVAL);
    a.set_tid_size = 1;
    IN_CHILD(OK(setresuid(1000, 1000, 1000)); CHECK_ERR(syscall(SYS_clone3, &a, sizeof(a)), EPERM));
}

static void into_a_cgroup_that_is_none(void)
{
    struct clone_args a = {.exit_signal = SIGCHLD, .flags = 0x200000000ull, .cgroup = 999};
    CHECK_ERR(syscall(SYS_clone3, &a, sizeof(a)), EBADF);
    a.cgroup = 1ull << 40;
    CHECK_ERR(syscall(SYS_clone3, &a, sizeof(a)), EINVAL);
    a.cgroup = 0;
    CHECK_ERR(syscall(SYS_clone3, &a, 64), EINVAL);
}

GUEST_MAIN(C(exit_status), C(ids_differ), C(memory_is_private), C(offsets_are_shared),
           C(fd_table_is_private), C(deep_tree), C(hundred_children), C(orphan_goes_to_init),
           C(subreaper), C(parent_death_signal), C(vfork_shares_and_waits), C(vfork_exec),
           C(clone_vm), C(clone_without_vm), C(clone_files), C(clone_fs),
           C(clone_no_signal_needs_wclone), C(clone_bad_flags), C(clone_tids), C(clone3_basic),
           C(clone3_errors), C(clone3_pidfd), C(nproc_limit), C(exit_group_ends_threads_of_child),
           C(shared_handlers), C(odd_exit_signals), C(chosen_pid), C(into_a_cgroup_that_is_none))
