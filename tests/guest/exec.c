/* execve(2), execveat(2): arguments, scripts, errors, what survives and what does not. */
#include "guest.h"
#include <elf.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static char *const g_noenv[] = {NULL};

/* Runs FILE with ARGV in a child; its stdout comes back in buf, its wait status as the result. */
static int run_out(const char *file, char *const argv[], char *const envp[], char *buf, size_t size)
{
    int fds[2];
    OK(pipe(fds));
    pid_t p = OK(fork());
    if (!p) {
        dup2(fds[1], 1);
        close(fds[0]);
        close(fds[1]);
        execve(file, argv, envp);
        dprintf(1, "errno %s", strerrorname_np(errno));
        _exit(111);
    }
    close(fds[1]);
    size_t n = 0;
    for (ssize_t r; n + 1 < size && (r = read(fds[0], buf + n, size - 1 - n)) > 0;)
        n += r;
    buf[n] = 0;
    close(fds[0]);
    return guest_wait(p, __LINE__);
}

static void args_and_env(void)
{
    char buf[512];
    char *argv[] = {"zero", "--echo", "a b", "", "c", NULL}, *envp[] = {"X=1", "Y", NULL};
    CHECK_EQ(run_out(g_self, argv, envp, buf, sizeof(buf)), 0);
    CHECK_STR(buf, "[zero][--echo][a b][][c]{X=1}{Y}");
}

static void empty_argv(void)
{
    char buf[512], *argv[] = {NULL};
    int st = run_out("/bin/true", argv, g_noenv, buf, sizeof(buf));
    CHECK_EQ(WEXITSTATUS(st), 0); /* Linux passes one empty argument since 5.18 */
}

static void script(void)
{
    char buf[512], *argv[] = {"ignored", "x", NULL};
    write_file("s.sh", "#!/bin/sh -e\necho \"$0 $1 $#\"\n", 29);
    OK(chmod("s.sh", 0755));
    CHECK_EQ(run_out("./s.sh", argv, g_noenv, buf, sizeof(buf)), 0);
    CHECK_STR(buf, "./s.sh x 1\n");
}

static void script_argument_is_one(void)
{
    char buf[512], line[4200], *argv[] = {"s", "t", NULL};
    int n = snprintf(line, sizeof(line), "#!%.4000s  --echo  two words \nrest", g_self);
    write_file("s", line, n);
    OK(chmod("s", 0755));
    CHECK_EQ(run_out("./s", argv, g_noenv, buf, sizeof(buf)), 0);
    CHECK(strstr(buf, "[--echo  two words][./s][t]"));
}

static void script_nested(void)
{
    char buf[512], *argv[] = {"b", NULL}, dir[4096], line[5000];
    CHECK(getcwd(dir, sizeof(dir)));
    write_file("a", "#!/bin/sh\necho nested $1\n", 25);
    int n = snprintf(line, sizeof(line), "#!%.4000s/a\n", dir);
    write_file("b", line, n);
    OK(chmod("a", 0755));
    OK(chmod("b", 0755));
    CHECK_EQ(run_out("./b", argv, g_noenv, buf, sizeof(buf)), 0);
    CHECK_STR(buf, "nested ./b\n");
}

static void script_loop(void)
{
    char buf[512], *argv[] = {"b", NULL}, dir[4096], line[5000];
    CHECK(getcwd(dir, sizeof(dir)));
    int n = snprintf(line, sizeof(line), "#!%.4000s/b\n", dir);
    write_file("b", line, n);
    OK(chmod("b", 0755));
    run_out("./b", argv, g_noenv, buf, sizeof(buf));
    CHECK_STR(buf, "errno ELOOP");
}

static void expect_errno(const char *path, const char *name)
{
    char buf[128], want[64], *argv[] = {"x", NULL};
    snprintf(want, sizeof(want), "errno %s", name);
    run_out(path, argv, g_noenv, buf, sizeof(buf));
    if (strcmp(buf, want))
        FAIL("exec of %s: %s, want %s", path, buf, want);
}

static void errors(void)
{
    expect_errno("./nothing", "ENOENT");
    expect_errno("/", "EACCES");
    expect_errno("", "ENOENT");
    write_file("plain", "hello", 5);
    expect_errno("./plain", "EACCES");
    OK(chmod("plain", 0755));
    expect_errno("./plain", "ENOEXEC");
    expect_errno("./plain/x", "ENOTDIR");
    write_file("empty", "", 0);
    OK(chmod("empty", 0755));
    expect_errno("./empty", "ENOEXEC");
    write_file("nointerp", "#!/no/such/interp\n", 18);
    OK(chmod("nointerp", 0755));
    expect_errno("./nointerp", "ENOENT");
    write_file("bang", "#!\n", 3);
    OK(chmod("bang", 0755));
    expect_errno("./bang", "ENOEXEC");
    OK(symlink("loop", "loop"));
    expect_errno("./loop", "ELOOP");
    expect_errno("/dev/null", "EACCES");
    char name[300];
    memset(name, 'n', 299);
    name[299] = 0;
    expect_errno(name, "ENAMETOOLONG");
}

static void bad_pointers(void)
{
    char *argv[] = {(char *)8, NULL};
    CHECK_ERR(syscall(SYS_execve, 8L, argv, g_noenv), EFAULT);
    CHECK_ERR(syscall(SYS_execve, "/bin/true", argv, g_noenv), EFAULT);
    CHECK_ERR(syscall(SYS_execve, "/bin/true", 8L, g_noenv), EFAULT);
}

static void text_busy(void)
{
    char buf[128], *argv[] = {"x", NULL};
    char *data = malloc(1 << 20);
    int in = OK(open("/bin/true", O_RDONLY));
    ssize_t n = OK(read(in, data, 1 << 20));
    write_file("t", data, n);
    OK(chmod("t", 0755));
    int fd = OK(open("t", O_WRONLY));
    run_out("./t", argv, g_noenv, buf, sizeof(buf));
    CHECK_STR(buf, "errno ETXTBSY");
    close(fd);
    CHECK_EQ(run_out("./t", argv, g_noenv, buf, sizeof(buf)), 0);
    close(in);
}

static void running_text_cannot_be_written(void)
{
    OK(symlink(g_self, "l"));
    CHECK_ERR(open(g_self, O_WRONLY), ETXTBSY);
    CHECK_ERR(open("l", O_RDWR), ETXTBSY);
}

static void too_big(void)
{
    char buf[128];
    char *one = malloc(200 * 1024);
    memset(one, 'a', 200 * 1024 - 1);
    one[200 * 1024 - 1] = 0;
    char *argv[] = {"x", one, NULL};
    run_out("/bin/true", argv, g_noenv, buf, sizeof(buf));
    CHECK_STR(buf, "errno E2BIG"); /* one string over 128 KiB */
    char **many = calloc(200001, sizeof(char *));
    for (int i = 0; i < 200000; i++)
        many[i] = "twenty characters...";
    run_out("/bin/true", many, g_noenv, buf, sizeof(buf));
    CHECK_STR(buf, "errno E2BIG"); /* over a quarter of the 8 MiB stack limit */
}

static void large_but_allowed(void)
{
    char buf[128];
    char *one = malloc(131072);
    memset(one, 'a', 131071);
    one[131071] = 0;
    char *argv[] = {"x", "--lens", one, one, one, NULL};
    CHECK_EQ(run_out(g_self, argv, g_noenv, buf, sizeof(buf)), 0);
    CHECK_STR(buf, "1 6 131071 131071 131071 ");
}

static void cloexec(void)
{
    char arg[64], buf[256];
    int keep = OK(open("/dev/null", O_RDONLY)), lose = OK(open("/dev/null", O_RDONLY | O_CLOEXEC));
    snprintf(arg, sizeof(arg), "%d,%d", keep, lose);
    char *argv[] = {"x", "--fds", arg, NULL};
    CHECK_EQ(run_out(g_self, argv, g_noenv, buf, sizeof(buf)), 0);
    CHECK_STR(buf, "open closed ");
    close(keep);
    close(lose);
}

static void signals_over_exec(void)
{
    char buf[256], *argv[] = {"x", "--sigs", NULL};
    handle(SIGUSR1, SIG_IGN, 0);
    handle(SIGUSR2, (void (*)(int))guest_reset, 0);
    sig_block(SIG_BLOCK, SIGTERM);
    CHECK_EQ(run_out(g_self, argv, g_noenv, buf, sizeof(buf)), 0);
    CHECK_STR(buf, "ign dfl blocked");
}

static void pending_signal_survives(void)
{
    char buf[256], *argv[] = {"x", "--pending", NULL};
    sig_block(SIG_BLOCK, SIGTERM);
    pid_t p = OK(fork());
    if (!p) {
        raise(SIGTERM);
        CHECK_EQ(run_out("/bin/true", argv, g_noenv, buf, sizeof(buf)), 0); /* not inherited by fork */
        execve(g_self, argv, g_noenv);
        _exit(1);
    }
    WAIT_EXIT(p, 55);
}

static void pid_stays(void)
{
    pid_t p = OK(fork());
    if (!p) {
        char arg[32];
        snprintf(arg, sizeof(arg), "%d", getpid());
        execl(g_self, "x", "--pid", arg, NULL);
        _exit(1);
    }
    WAIT_EXIT(p, 0);
}

static void comm_and_cmdline(void)
{
    char buf[256], *argv[] = {"an argv", "--comm", NULL}, link[5000];
    (void)link;
    OK(symlink(g_self, "averylongcommandname"));
    CHECK_EQ(run_out("./averylongcommandname", argv, g_noenv, buf, sizeof(buf)), 0);
    CHECK_STR(buf, "averylongcomman an argv");
}

static void proc_self_exe(void)
{
    char buf[4200], *argv[] = {"x", "--exe", NULL};
    CHECK_EQ(run_out("/proc/self/exe", argv, g_noenv, buf, sizeof(buf)), 0);
    CHECK_STR(buf, g_self);
}

static void auxv(void)
{
    char buf[4200], *argv[] = {"x", "--auxv", NULL};
    CHECK_EQ(run_out(g_self, argv, g_noenv, buf, sizeof(buf)), 0);
    CHECK_STR(buf, "ok");
}

static void relative_execfn(void)
{
    char buf[4200], *argv[] = {"x", "--execfn", NULL};
    OK(symlink(g_self, "rel"));
    CHECK_EQ(run_out("./rel", argv, g_noenv, buf, sizeof(buf)), 0);
    CHECK_STR(buf, "./rel");
}

static void execveat_fd(void)
{
    int fd = OK(open("/bin/true", O_PATH | O_CLOEXEC));
    char *argv[] = {"x", NULL};
    IN_CHILD(syscall(SYS_execveat, fd, "", argv, g_noenv, AT_EMPTY_PATH); FAIL("execveat: %d", errno));
    int dir = OK(open("/bin", O_RDONLY | O_DIRECTORY));
    IN_CHILD(syscall(SYS_execveat, dir, "true", argv, g_noenv, 0); FAIL("execveat: %d", errno));
    CHECK_ERR(syscall(SYS_execveat, 999, "true", argv, g_noenv, 0), EBADF);
    CHECK_ERR(syscall(SYS_execveat, fd, "true", argv, g_noenv, 0), ENOTDIR);
    CHECK_ERR(syscall(SYS_execveat, dir, "true", argv, g_noenv, 0x8000), EINVAL);
    OK(symlink("/bin/true", "ln"));
    CHECK_ERR(syscall(SYS_execveat, AT_FDCWD, "ln", argv, g_noenv, AT_SYMLINK_NOFOLLOW), ELOOP);
    close(fd);
    close(dir);
}

static void memfd_exec(void)
{
    static char data[1 << 20];
    int in = OK(open("/bin/true", O_RDONLY)), fd = OK(memfd_create("prog", MFD_CLOEXEC));
    ssize_t n = OK(read(in, data, sizeof(data)));
    CHECK_EQ(write(fd, data, n), n);
    int ro = OK(open(({ static char p[64]; snprintf(p, sizeof(p), "/proc/self/fd/%d", fd); p; }), O_RDONLY | O_CLOEXEC));
    close(fd);
    char *argv[] = {"x", NULL};
    IN_CHILD(syscall(SYS_execveat, ro, "", argv, g_noenv, AT_EMPTY_PATH); FAIL("execveat: %d", errno));
    close(ro);
    close(in);
}

static void *sleeper(void *arg)
{
    pause();
    return arg;
}

#include <pthread.h>

static void *execer(void *arg)
{
    char pid[32];
    snprintf(pid, sizeof(pid), "%d", getpid());
    execl(g_self, "x", "--pid", pid, NULL);
    return arg;
}

static void exec_from_a_thread_kills_the_others(void)
{
    pid_t p = OK(fork());
    if (!p) {
        pthread_t t;
        for (int i = 0; i < 4; i++)
            pthread_create(&t, NULL, sleeper, NULL);
        pthread_create(&t, NULL, execer, NULL);
        pause();
        _exit(1);
    }
    WAIT_EXIT(p, 0);
}

static void setuid_bit(void)
{
    static char data[1 << 21];
    int in = OK(open(g_self, O_RDONLY));
    ssize_t n = OK(read(in, data, sizeof(data)));
    write_file("/tmp/rfguest.suid", data, n);
    OK(chown("/tmp/rfguest.suid", 12345, 23456));
    OK(chmod("/tmp/rfguest.suid", 06755));
    char buf[64], *argv[] = {"x", "--euid", NULL};
    int st = run_out("/tmp/rfguest.suid", argv, g_noenv, buf, sizeof(buf));
    unlink("/tmp/rfguest.suid");
    close(in);
    CHECK_EQ(st, 0);
    CHECK_STR(buf, "0 12345 0 23456 secure=1");
}

static void damaged_elf(void)
{
    static char data[1 << 20];
    int in = OK(open("/bin/true", O_RDONLY));
    ssize_t n = OK(read(in, data, sizeof(data)));
    close(in);
    Elf64_Ehdr *eh = (void *)data, good = *eh;
    char buf[128], *argv[] = {"x", NULL};
    write_file("t", data, 40); /* cut in the middle of its header */
    OK(chmod("t", 0755));
    run_out("./t", argv, g_noenv, buf, sizeof(buf));
    CHECK_STR(buf, "errno ENOEXEC");
    eh->e_machine = EM_AARCH64;
    write_file("t", data, n);
    run_out("./t", argv, g_noenv, buf, sizeof(buf));
    CHECK_STR(buf, "errno ENOEXEC");
    *eh = good;
    eh->e_type = ET_REL;
    write_file("t", data, n);
    run_out("./t", argv, g_noenv, buf, sizeof(buf));
    CHECK_STR(buf, "errno ENOEXEC");
    *eh = good;
    eh->e_phentsize = 1;
    write_file("t", data, n);
    run_out("./t", argv, g_noenv, buf, sizeof(buf));
    CHECK_STR(buf, "errno ENOEXEC");
    *eh = good;
    eh->e_phoff = 0xfffffffffffffff0ull;
    write_file("t", data, n);
    CHECK(run_out("./t", argv, g_noenv, buf, sizeof(buf)) != 0);
}

static int helper(int argc, char **argv)
{
    if (!strcmp(argv[1], "--pid"))
        return getpid() != atoi(argv[2]) || syscall(SYS_gettid) != getpid();
    if (!strcmp(argv[1], "--fds")) {
        for (char *s = strtok(argv[2], ","); s; s = strtok(NULL, ","))
            dprintf(1, "%s ", fcntl(atoi(s), F_GETFD) >= 0 ? "open" : "closed");
        return 0;
    }
    if (!strcmp(argv[1], "--lens")) {
        for (int i = 0; i < argc; i++)
            dprintf(1, "%zu ", strlen(argv[i]));
        return 0;
    }
    if (!strcmp(argv[1], "--sigs")) {
        struct sigaction a, b;
        sigset_t m;
        sigaction(SIGUSR1, NULL, &a);
        sigaction(SIGUSR2, NULL, &b);
        sigprocmask(0, NULL, &m);
        dprintf(1, "%s %s %s", a.sa_handler == SIG_IGN ? "ign" : "not", b.sa_handler == SIG_DFL ? "dfl" : "not",
                sigismember(&m, SIGTERM) ? "blocked" : "open");
        return 0;
    }
    if (!strcmp(argv[1], "--pending")) {
        sigset_t m;
        sigpending(&m);
        return sigismember(&m, SIGTERM) ? 55 : 0;
    }
    if (!strcmp(argv[1], "--comm")) {
        char name[32];
        char cmd[256] = "";
        prctl(PR_GET_NAME, name);
        int fd = open("/proc/self/cmdline", O_RDONLY);
        if (read(fd, cmd, sizeof(cmd) - 1) < 0)
            return 1;
        dprintf(1, "%s %s", name, cmd);
        return 0;
    }
    if (!strcmp(argv[1], "--exe")) {
        char path[4096] = "";
        if (readlink("/proc/self/exe", path, sizeof(path) - 1) < 0)
            return 1;
        dprintf(1, "%s", path);
        return 0;
    }
    if (!strcmp(argv[1], "--execfn")) {
        dprintf(1, "%s", (char *)getauxval(AT_EXECFN));
        return 0;
    }
    if (!strcmp(argv[1], "--euid")) {
        dprintf(1, "%d %d %d %d secure=%lu", getuid(), geteuid(), getgid(), getegid(), getauxval(AT_SECURE));
        return 0;
    }
    if (!strcmp(argv[1], "--auxv")) {
        const unsigned char *r = (void *)getauxval(AT_RANDOM);
        unsigned any = 0;
        for (int i = 0; r && i < 16; i++)
            any |= r[i];
        const char *bad = !any                                                    ? "AT_RANDOM"
                          : getauxval(AT_PAGESZ) != 4096                          ? "AT_PAGESZ"
                          : getauxval(AT_CLKTCK) != 100                           ? "AT_CLKTCK"
                          : getauxval(AT_UID) != getuid()                         ? "AT_UID"
                          : getauxval(AT_SECURE)                                  ? "AT_SECURE"
                          : !getauxval(AT_PHDR)                                   ? "AT_PHDR"
                          : getauxval(AT_PHENT) != sizeof(Elf64_Phdr)             ? "AT_PHENT"
                          : !getauxval(AT_ENTRY)                                  ? "AT_ENTRY"
                          : strcmp((char *)(getauxval(AT_PLATFORM) ?: (long)""), "x86_64") ? "AT_PLATFORM"
                                                                                  : "ok";
        dprintf(1, "%s", bad);
        return 0;
    }
    return 99;
}

/* A script run through a descriptor is opened again by its interpreter, as /dev/fd/N. */
static void script_by_descriptor(void)
{
    char *const argv[] = {"x", NULL}, *const envp[] = {NULL};
    const char text[] = "#!/bin/cat\nfrom the script\n";
    char buf[128];
    int fd[2];
    write_file("s", text, strlen(text));
    OK(chmod("s", 0755));
    OK(pipe(fd));
    int script = OK(open("s", O_RDONLY | O_CLOEXEC));
    CHECK_ERR(syscall(SYS_execveat, script, "", argv, envp, 0x1000), ENOENT);
    pid_t pid = OK(fork());
    if (!pid) {
        dup2(fd[1], 1);
        OK(fcntl(script, F_SETFD, 0));
        syscall(SYS_execveat, script, "", argv, envp, 0x1000);
        _exit(9);
    }
    WAIT_EXIT(pid, 0);
    ssize_t n = OK(read(fd[0], buf, sizeof(buf) - 1));
    buf[n] = 0;
    CHECK_STR(buf, text);
    close(script), close(fd[0]), close(fd[1]);
}

GUEST_CHECKS(C(args_and_env), C(empty_argv), C(script), C(script_argument_is_one), C(script_nested), C(script_loop),
             C(errors), C(bad_pointers), C(text_busy), C(running_text_cannot_be_written), C(too_big),
             C(large_but_allowed), C(cloexec), C(signals_over_exec), C(pending_signal_survives), C(pid_stays),
             C(comm_and_cmdline), C(proc_self_exe), C(auxv), C(relative_execfn), C(execveat_fd), C(memfd_exec),
             C(exec_from_a_thread_kills_the_others), C(setuid_bit), C(damaged_elf), C(script_by_descriptor));

extern char **environ;

int main(int argc, char **argv)
{
    if (argc > 1 && (!strcmp(argv[1], "--echo") || !strncmp(argv[1], "--echo ", 7))) {
        for (int i = 0; i < argc; i++)
            dprintf(1, "[%s]", argv[i]);
        for (char **e = environ; *e; e++)
            dprintf(1, "{%s}", *e);
        return 0;
    }
    if (argc > 1 && !strncmp(argv[1], "--", 2) && strcmp(argv[1], "--list"))
        return helper(argc, argv);
    return guest_run(g_checks, argc, argv);
}
