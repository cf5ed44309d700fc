/* /proc: what programs read there. */
#include "guest.h"
#include <sched.h>
#include <dirent.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/utsname.h>

static char g_buf[1 << 18];

static char *slurp(const char *path)
{
    read_file(path, g_buf, sizeof(g_buf));
    return g_buf;
}

static char *line_value(const char *path, const char *key)
{
    static char value[512];
    char *p = slurp(path);
    size_t n = strlen(key);
    for (; p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL)
        if (!strncmp(p, key, n)) {
            p += n;
            p += strspn(p, " \t:");
            snprintf(value, sizeof(value), "%.*s", (int)strcspn(p, "\n"), p);
            return value;
        }
    FAIL("%s has no line %s", path, key);
}

static void status(void)
{
    char want[64];
    CHECK_EQ(atoi(line_value("/proc/self/status", "Pid:")), getpid());
    CHECK_EQ(atoi(line_value("/proc/self/status", "PPid:")), getppid());
    CHECK_EQ(atoi(line_value("/proc/self/status", "Tgid:")), getpid());
    CHECK_STR(line_value("/proc/self/status", "Name:"), "proc");
    CHECK_STR(line_value("/proc/self/status", "State:"), "R (running)");
    CHECK_STR(line_value("/proc/self/status", "Threads:"), "1");
    CHECK_STR(line_value("/proc/self/status", "Umask:"), "0022");
    snprintf(want, sizeof(want), "%d\t%d\t%d\t%d", getuid(), geteuid(), getuid(), geteuid());
    CHECK_STR(line_value("/proc/self/status", "Uid:"), want);
    sig_block(SIG_BLOCK, SIGUSR1);
    handle(SIGUSR2, SIG_IGN, 0);
    handle(SIGTERM, (void (*)(int))(void *)exit, 0);
    CHECK_STR(line_value("/proc/self/status", "SigBlk:"), "0000000000000200");
    CHECK_STR(line_value("/proc/self/status", "SigIgn:"), "0000000000000800");
    CHECK_STR(line_value("/proc/self/status", "SigCgt:"), "0000000000004000");
    raise(SIGUSR1);
    CHECK_STR(line_value("/proc/self/status", "SigPnd:"), "0000000000000200");
    CHECK(atoi(line_value("/proc/self/status", "VmSize:")) > 100);
    CHECK(atoi(line_value("/proc/self/status", "VmRSS:")) > 10);
    CHECK(strlen(line_value("/proc/self/status", "CapEff:")) == 16);
    CHECK_STR(line_value("/proc/self/status", "NoNewPrivs:"), "0");
}

static void stat_line(void)
{
    int pid, ppid, pgrp, session;
    char name[64], state;
    CHECK_EQ(sscanf(slurp("/proc/self/stat"), "%d (%63[^)]) %c %d %d %d", &pid, name, &state, &ppid, &pgrp, &session), 6);
    CHECK_EQ(pid, getpid());
    CHECK_STR(name, "proc");
    CHECK_EQ(state, 'R');
    CHECK_EQ(ppid, getppid());
    CHECK_EQ(pgrp, getpgrp());
    CHECK_EQ(session, getsid(0));
    int fields = 0;
    for (char *p = strtok(strrchr(g_buf, ')') + 1, " "); p; p = strtok(NULL, " "))
        fields++;
    CHECK_EQ(fields, 50);
}

static void states_of_a_child(void)
{
    pid_t p = OK(fork());
    if (!p)
        for (;;)
            pause();
    wait_state(p, "S");
    OK(kill(p, SIGSTOP));
    wait_state(p, "T");
    OK(kill(p, SIGCONT));
    wait_state(p, "S");
    OK(kill(p, SIGKILL));
    wait_state(p, "Z");
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/cmdline", p);
    CHECK_STR(slurp(path), "");
    WAIT_SIGNAL(p, SIGKILL);
    CHECK_ERR(open(path, O_RDONLY), ENOENT);
}

static void an_open_file_of_a_dead_process(void)
{
    char path[64];
    pid_t p = OK(fork());
    if (!p)
        for (;;)
            pause();
    snprintf(path, sizeof(path), "/proc/%d/stat", p);
    int fd = OK(open(path, O_RDONLY));
    OK(kill(p, SIGKILL));
    WAIT_SIGNAL(p, SIGKILL);
    CHECK_ERR(read(fd, g_buf, 10), ESRCH);
    close(fd);
}

static void maps(void)
{
    char want[128];
    char *p = OK(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    OK(mprotect(p + 4096, 4096, PROT_NONE));
    slurp("/proc/self/maps");
    snprintf(want, sizeof(want), "%lx-%lx ---p 00000000 00:00 0", (long)p + 4096, (long)p + 8192);
    CHECK(strstr(g_buf, want));
    CHECK(strstr(g_buf, "[stack]") && strstr(g_buf, "[vdso]") && strstr(g_buf, g_self));
    unsigned long last = 0, a, b;
    for (char *l = strtok(g_buf, "\n"); l; l = strtok(NULL, "\n")) {
        CHECK_EQ(sscanf(l, "%lx-%lx", &a, &b), 2);
        CHECK(a >= last && b > a);
        last = b;
    }
    write_file("mapped", "x", 1);
    int fd = OK(open("mapped", O_RDONLY));
    void *m = OK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0));
    slurp("/proc/self/maps");
    CHECK(strstr(g_buf, "/maps/mapped\n"));
    CHECK(strstr(g_buf, "r--s"));
    OK(unlink("mapped"));
    CHECK(strstr(slurp("/proc/self/maps"), "/maps/mapped (deleted)"));
    munmap(m, 4096);
    munmap(p, 8192);
    close(fd);
}

static void smaps(void)
{
    CHECK(strstr(slurp("/proc/self/smaps"), "Rss:"));
    CHECK(strstr(g_buf, "VmFlags:"));
}

static void own_memory_file(void)
{
    static volatile char word[] = "inside";
    int fd = OK(open("/proc/self/mem", O_RDWR));
    char buf[8] = "";
    CHECK_EQ(pread(fd, buf, 6, (off_t)word), 6);
    CHECK_STR(buf, "inside");
    CHECK_EQ(pwrite(fd, "IN", 2, (off_t)word), 2);
    CHECK_EQ(word[0], 'I');
    CHECK_ERR(pread(fd, buf, 6, 8), EIO);
    close(fd);
}

static void descriptors(void)
{
    char path[64], link[4200] = "", want[4200];
    write_file("file", "content", 7);
    int fd = OK(open("file", O_RDONLY | O_CLOEXEC));
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    OK(readlink(path, link, sizeof(link) - 1));
    snprintf(want, sizeof(want), "%s/descriptors/file", g_dir);
    CHECK_STR(link, want);
    struct stat a, b;
    OK(stat(path, &a));
    OK(fstat(fd, &b));
    CHECK_EQ(a.st_ino, b.st_ino);
    OK(lstat(path, &a));
    CHECK(S_ISLNK(a.st_mode));
    OK(lseek(fd, 3, SEEK_SET));
    int again = OK(open(path, O_RDONLY)); /* a new description */
    CHECK_EQ(lseek(again, 0, SEEK_CUR), 0);
    close(again);
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    CHECK_STR(line_value(path, "pos:"), "3");
    CHECK_EQ(strtol(line_value(path, "flags:"), NULL, 8), O_RDONLY | O_CLOEXEC | 0100000);
    CHECK_ERR(open("/proc/self/fd/999", O_RDONLY), ENOENT);
    DIR *d = opendir("/proc/self/fd");
    int seen = 0;
    for (struct dirent *e; (e = readdir(d));)
        seen += atoi(e->d_name) == fd && e->d_name[0] != '.';
    closedir(d);
    CHECK_EQ(seen, 1);
    close(fd);
}

static void links(void)
{
    char buf[4200] = "", cwd[4200];
    OK(readlink("/proc/self", buf, sizeof(buf)));
    CHECK_EQ(atoi(buf), getpid());
    memset(buf, 0, sizeof(buf));
    OK(readlink("/proc/self/exe", buf, sizeof(buf)));
    CHECK_STR(buf, g_self);
    memset(buf, 0, sizeof(buf));
    OK(readlink("/proc/self/cwd", buf, sizeof(buf)));
    CHECK_STR(buf, getcwd(cwd, sizeof(cwd)));
    memset(buf, 0, sizeof(buf));
    OK(readlink("/proc/self/root", buf, sizeof(buf)));
    CHECK_STR(buf, "/");
    memset(buf, 0, sizeof(buf));
    OK(readlink("/proc/thread-self", buf, sizeof(buf)));
    int a, b;
    CHECK_EQ(sscanf(buf, "%d/task/%d", &a, &b), 2);
    CHECK(a == getpid() && b == getpid());
    memset(buf, 0, sizeof(buf));
    OK(readlink("/proc/self/ns/pid", buf, sizeof(buf)));
    CHECK(!strncmp(buf, "pid:[", 5));
}

extern char **environ;

static void cmdline_and_environ(void)
{
    ssize_t n = read_file("/proc/self/cmdline", g_buf, sizeof(g_buf));
    CHECK(n > 0 && strlen(g_buf) + 1 <= (size_t)n);
    CHECK(strstr(g_buf, "proc"));
    pid_t p = OK(fork());
    if (!p) {
        char *argv[] = {"sleep", "77", NULL}, *envp[] = {"RF_X=1", NULL};
        execve("/bin/sleep", argv, envp);
        _exit(1);
    }
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/comm", p);
    for (int i = 0; i < 500 && strcmp(slurp(path), "sleep\n"); i++)
        sleep_ms(2);
    wait_state(p, "S"); /* the name changes before the arguments are in place */
    snprintf(path, sizeof(path), "/proc/%d/cmdline", p);
    CHECK_EQ(read_file(path, g_buf, sizeof(g_buf)), 9);
    CHECK(!memcmp(g_buf, "sleep\0" "77\0", 9));
    snprintf(path, sizeof(path), "/proc/%d/environ", p);
    CHECK_EQ(read_file(path, g_buf, sizeof(g_buf)), 7);
    CHECK_STR(g_buf, "RF_X=1");
    OK(kill(p, SIGKILL));
    WAIT_SIGNAL(p, SIGKILL);
}

static void comm_can_be_written(void)
{
    IN_CHILD({
        int fd = OK(open("/proc/self/comm", O_WRONLY));
        OK(write(fd, "renamed", 7));
        close(fd);
        char name[16];
        prctl(PR_GET_NAME, name);
        CHECK_STR(name, "renamed");
    });
}

static void *idle(void *arg)
{
    for (;;)
        pause();
    return arg;
}

static void tasks(void)
{
    IN_CHILD({
        pthread_t t;
        for (int i = 0; i < 3; i++)
            pthread_create(&t, NULL, idle, NULL);
        DIR *d = opendir("/proc/self/task");
        int n = 0;
        for (struct dirent *e; (e = readdir(d));)
            n += e->d_name[0] != '.';
        CHECK_EQ(n, 4);
        closedir(d);
        CHECK_STR(line_value("/proc/self/status", "Threads:"), "4");
        struct stat st;
        OK(stat("/proc/self/task", &st));
        CHECK_EQ(st.st_nlink, 6);
    });
}

static void limits_file(void)
{
    CHECK(strstr(slurp("/proc/self/limits"), "Max open files"));
    CHECK(strstr(g_buf, "Max stack size            8388608"));
}

static void system_files(void)
{
    struct utsname u;
    uname(&u);
    CHECK(atol(line_value("/proc/meminfo", "MemTotal:")) > 1000);
    CHECK(atol(line_value("/proc/meminfo", "MemFree:")) > 0);
    CHECK(atol(line_value("/proc/meminfo", "MemAvailable:")) > 0);
    CHECK(strlen(line_value("/proc/cpuinfo", "model name")) > 0);
    int cpus = 0;
    for (char *p = slurp("/proc/cpuinfo"); (p = strstr(p, "processor\t")); p++)
        cpus++;
    CHECK_EQ(cpus, sysconf(_SC_NPROCESSORS_CONF));
    CHECK(strtod(slurp("/proc/uptime"), NULL) > 0);
    int run, all, last;
    double l1, l5, l15;
    CHECK_EQ(sscanf(slurp("/proc/loadavg"), "%lf %lf %lf %d/%d %d", &l1, &l5, &l15, &run, &all, &last), 6);
    CHECK(!strncmp(slurp("/proc/stat"), "cpu ", 4));
    CHECK(strstr(g_buf, "btime ") && strstr(g_buf, "processes "));
    CHECK(!strncmp(slurp("/proc/version"), "Linux version ", 14));
    CHECK(strstr(g_buf, u.release));
    CHECK(strstr(slurp("/proc/filesystems"), "tmpfs\n"));
    CHECK(strstr(slurp("/proc/mounts"), " /proc proc "));
    CHECK(strstr(slurp("/proc/self/mountinfo"), " /proc "));
    slurp("/proc/cmdline");
    slurp("/proc/devices");
}

static void sysctls(void)
{
    struct utsname u;
    char want[80];
    uname(&u);
    CHECK_STR(slurp("/proc/sys/kernel/ostype"), "Linux\n");
    snprintf(want, sizeof(want), "%s\n", u.release);
    CHECK_STR(slurp("/proc/sys/kernel/osrelease"), want);
    snprintf(want, sizeof(want), "%s\n", u.nodename);
    CHECK_STR(slurp("/proc/sys/kernel/hostname"), want);
    CHECK(atoi(slurp("/proc/sys/kernel/pid_max")) >= 1000);
    CHECK_EQ(strlen(slurp("/proc/sys/kernel/random/uuid")), 37);
    char first[64];
    strcpy(first, slurp("/proc/sys/kernel/random/boot_id"));
    CHECK_STR(slurp("/proc/sys/kernel/random/boot_id"), first);
    CHECK(atol(slurp("/proc/sys/fs/file-max")) > 0);
    CHECK(atol(slurp("/proc/sys/fs/pipe-max-size")) >= 1 << 16);
    CHECK(atoi(slurp("/proc/sys/vm/overcommit_memory")) >= 0);
    CHECK(atoi(slurp("/proc/sys/kernel/cap_last_cap")) >= 37);
    CHECK(atoi(slurp("/proc/sys/kernel/ngroups_max")) == 65536);
}

static void proc_is_not_writable_like_a_disk(void)
{
    CHECK_ERR(open("/proc/new", O_RDWR | O_CREAT, 0644), ENOENT);
    CHECK_ERR(mkdir("/proc/newdir", 0755), ENOENT);
    CHECK_ERR(open("/proc/7654321", O_RDONLY), ENOENT);
}

static void small_reads(void)
{
    /* byte by byte gives the same as at once */
    char whole[4096], one[4096];
    int n = read_file("/proc/self/limits", whole, sizeof(whole)), fd = OK(open("/proc/self/limits", O_RDONLY)), k = 0;
    while (k < 4095 && read(fd, one + k, 1) == 1)
        k++;
    close(fd);
    CHECK_EQ(k, n);
    CHECK(!memcmp(whole, one, n));
}

static void children_file(void)
{
    char path[64], buf[256], want[32];
    pid_t pid = OK(fork());
    if (!pid)
        for (;;)
            pause();
    snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
    int fd = open(path, O_RDONLY);
    if (fd >= 0) {
        int n = read(fd, buf, sizeof(buf) - 1);
        buf[n > 0 ? n : 0] = 0;
        close(fd);
        n = snprintf(want, sizeof(want), "%d ", pid);
        CHECK(strlen(buf) >= n); /* an earlier check's child may still be there; ours is the last */
        CHECK_STR(buf + strlen(buf) - n, want);
    }
    OK(kill(pid, SIGKILL));
    WAIT_SIGNAL(pid, SIGKILL);
    if (fd < 0)
        SKIP("the kernel has no children file");
}

static unsigned long io_field(const char *name)
{
    char buf[512];
    read_file("/proc/self/io", buf, sizeof(buf));
    char *p = strstr(buf, name);
    CHECK(p != NULL);
    return strtoul(p + strlen(name), NULL, 10);
}

static void io_counts(void)
{
    char page[4096] = {0};
    unsigned long bytes = io_field("wchar: "), calls = io_field("syscw: ");
    int fd = OK(open("f", O_RDWR | O_CREAT, 0600));
    for (int i = 0; i < 5; i++)
        CHECK_EQ(OK(write(fd, page, sizeof(page))), sizeof(page));
    CHECK_EQ(io_field("wchar: ") - bytes, 5 * sizeof(page));
    CHECK_EQ(io_field("syscw: ") - calls, 5);
    bytes = io_field("rchar: ");
    CHECK_EQ(OK(pread(fd, page, sizeof(page), 0)), sizeof(page));
    CHECK(io_field("rchar: ") - bytes >= sizeof(page));
    close(fd);
}

static void blocked_call_is_told(void)
{
    char path[64], buf[256];
    pid_t pid = OK(fork());
    if (!pid)
        for (;;)
            syscall(SYS_pause, 0x11, 0x22);
    wait_state(pid, "S");
    snprintf(path, sizeof(path), "/proc/%d/syscall", pid);
    int fd = open(path, O_RDONLY);
    if (fd >= 0) {
        int n = read(fd, buf, sizeof(buf) - 1);
        buf[n > 0 ? n : 0] = 0;
        CHECK_EQ(strncmp(buf, "34 0x11 0x22 ", 13), 0);
        close(fd);
    }
    OK(kill(pid, SIGKILL));
    WAIT_SIGNAL(pid, SIGKILL);
    if (fd < 0)
        SKIP("the kernel has no syscall file");
}

static void timer_slack_file(void)
{
    char buf[64];
    int fd = OK(open("/proc/self/timerslack_ns", O_RDWR));
    CHECK_EQ(OK(write(fd, "12345", 5)), 5);
    CHECK_ERR(write(fd, "x", 1), EINVAL);
    close(fd);
    read_file("/proc/self/timerslack_ns", buf, sizeof(buf));
    CHECK_STR(buf, "12345\n");
    CHECK_EQ(prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0), 12345);
    OK(prctl(PR_SET_TIMERSLACK, 0, 0, 0, 0));
}

static void page_map(void)
{
    uint64_t e[3];
    char *p = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    p[4096] = 1;
    int fd = OK(open("/proc/self/pagemap", O_RDONLY));
    CHECK_EQ(OK(pread(fd, e, sizeof(e), (uint64_t)p / 4096 * 8)), sizeof(e));
    CHECK_EQ(e[0] >> 63, 0);
    CHECK_EQ(e[1] >> 63, 1);
    CHECK_EQ(e[2] >> 63, 0);
    CHECK_ERR(pread(fd, e, 8, 3), EINVAL);
    CHECK_ERR(pread(fd, e, 7, 0), EINVAL);
    close(fd);
    munmap(p, 3 * 4096);
}

static void clear_refs_values(void)
{
    int fd = OK(open("/proc/self/clear_refs", O_WRONLY));
    CHECK_EQ(OK(write(fd, "1", 1)), 1);
    CHECK_ERR(write(fd, "0", 1), EINVAL);
    CHECK_ERR(write(fd, "6", 1), EINVAL);
    CHECK_ERR(write(fd, "x", 1), EINVAL);
    close(fd);
}

static void affinity_in_status(void)
{
    char *buf = malloc(8192);
    cpu_set_t one, all;
    OK(sched_getaffinity(0, sizeof(all), &all));
    CPU_ZERO(&one);
    CPU_SET(0, &one);
    OK(sched_setaffinity(0, sizeof(one), &one));
    read_file("/proc/self/status", buf, 8192);
    OK(sched_setaffinity(0, sizeof(all), &all));
    CHECK(strstr(buf, "\nCpus_allowed_list:\t0\n") != NULL);
    free(buf);
}

GUEST_MAIN(C(status), C(stat_line), C(states_of_a_child), C(an_open_file_of_a_dead_process), C(maps), C(smaps),
           C(own_memory_file), C(descriptors), C(links), C(cmdline_and_environ), C(comm_can_be_written), C(tasks),
           C(limits_file), C(system_files), C(sysctls), C(proc_is_not_writable_like_a_disk), C(small_reads), C(children_file), C(io_counts), C(blocked_call_is_told), C(timer_slack_file),
           C(page_map), C(clear_refs_values), C(affinity_in_status))
