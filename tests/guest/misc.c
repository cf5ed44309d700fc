/* uname, limits, scheduling, random, devices, mounts, and calls that answer one thing. */
#include "guest.h"
#include <linux/fs.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <ucontext.h>

static void uname_fields(void)
{
    struct utsname u;
    OK(uname(&u));
    CHECK_STR(u.sysname, "Linux");
    CHECK_STR(u.machine, "x86_64");
    CHECK(atoi(u.release) >= 4);
    CHECK_ERR(uname((void *)8), EFAULT);
}

static void limits(void)
{
    struct rlimit rl, old;
    for (int i = 0; i < RLIM_NLIMITS; i++)
        OK(getrlimit(i, &rl));
    CHECK_ERR(getrlimit(99, &rl), EINVAL);
    OK(getrlimit(RLIMIT_STACK, &rl));
    CHECK_EQ(rl.rlim_cur, 8 << 20);
    IN_CHILD({
        rl = (struct rlimit){100, 200};
        OK(setrlimit(RLIMIT_NOFILE, &rl));
        OK(prlimit(0, RLIMIT_NOFILE, &(struct rlimit){150, 200}, &old));
        CHECK(old.rlim_cur == 100 && old.rlim_max == 200);
        CHECK_ERR(setrlimit(RLIMIT_NOFILE, &(struct rlimit){300, 200}), EINVAL);
        OK(setresuid(65534, 65534, 65534));
        CHECK_ERR(setrlimit(RLIMIT_NOFILE, &(struct rlimit){100, 300}), EPERM);
        OK(setrlimit(RLIMIT_NOFILE, &(struct rlimit){100, 150}));
        CHECK_ERR(prlimit(7654321, RLIMIT_NOFILE, NULL, &old), ESRCH);
        CHECK_ERR(prlimit(getppid(), RLIMIT_NOFILE, NULL, &old), EPERM);
    });
}

static void random_bytes(void)
{
    unsigned char a[256], b[256];
    memset(a, 0, 256), memset(b, 0, 256);
    CHECK_EQ(getrandom(a, 256, 0), 256);
    CHECK_EQ(getrandom(b, 256, GRND_NONBLOCK), 256);
    CHECK(memcmp(a, b, 256));
    CHECK_ERR(getrandom(a, 1, 0x100), EINVAL);
    CHECK_ERR(getrandom((void *)8, 10, 0), EFAULT);
    CHECK_EQ(getrandom(a, 0, 0), 0);
}

static void scheduling(void)
{
    CHECK_EQ(sched_getscheduler(0), SCHED_OTHER);
    struct sched_param sp = {0};
    OK(sched_getparam(0, &sp));
    CHECK_EQ(sp.sched_priority, 0);
    CHECK_EQ(sched_get_priority_max(SCHED_FIFO), 99);
    CHECK_EQ(sched_get_priority_min(SCHED_RR), 1);
    CHECK_EQ(sched_get_priority_max(SCHED_OTHER), 0);
    CHECK_ERR(sched_get_priority_max(77), EINVAL);
    OK(sched_yield());
    IN_CHILD({
        OK(setpriority(PRIO_PROCESS, 0, 15)); /* above what the test itself may be started with */
        CHECK_EQ(getpriority(PRIO_PROCESS, 0), 15);
        errno = 0;
        CHECK_EQ(nice(3), 18);
        CHECK_ERR(getpriority(77, 0), EINVAL);
        CHECK_ERR(getpriority(PRIO_PROCESS, 7654321), ESRCH);
        pid_t p = fork();
        if (!p)
            _exit(getpriority(PRIO_PROCESS, 0));
        WAIT_EXIT(p, 18);
        OK(setresuid(65534, 65534, 65534));
        CHECK_ERR(setpriority(PRIO_PROCESS, 0, 0), EACCES);
    });
    struct timespec ts;
    OK(sched_rr_get_interval(0, &ts));
}

static void devices(void)
{
    char buf[64];
    int fd = OK(open("/dev/null", O_RDWR));
    CHECK_EQ(write(fd, buf, 64), 64);
    CHECK_EQ(read(fd, buf, 64), 0);
    close(fd);
    fd = OK(open("/dev/zero", O_RDWR));
    memset(buf, 1, 64);
    CHECK_EQ(read(fd, buf, 64), 64);
    CHECK(buf[0] == 0 && buf[63] == 0);
    CHECK_EQ(write(fd, buf, 64), 64);
    close(fd);
    fd = OK(open("/dev/full", O_RDWR));
    CHECK_ERR(write(fd, buf, 1), ENOSPC);
    CHECK_EQ(read(fd, buf, 1), 1);
    close(fd);
    fd = OK(open("/dev/urandom", O_RDONLY));
    CHECK_EQ(read(fd, buf, 64), 64);
    struct pollfd p = {fd, POLLIN, 0};
    CHECK_EQ(poll(&p, 1, 0), 1);
    close(fd);
    struct stat st;
    static const struct {
        const char *name;
        unsigned major, minor;
    } d[] = {{"/dev/null", 1, 3}, {"/dev/zero", 1, 5}, {"/dev/full", 1, 7}, {"/dev/random", 1, 8}, {"/dev/urandom", 1, 9}, {"/dev/tty", 5, 0}};
    for (int i = 0; i < 6; i++) {
        OK(stat(d[i].name, &st));
        CHECK(S_ISCHR(st.st_mode));
        CHECK_EQ(st.st_rdev, makedev(d[i].major, d[i].minor));
    }
    OK(readlink("/dev/fd", buf, 64));
    CHECK(!strncmp(buf, "/proc/self/fd", 13));
    OK(access("/dev/stdin", F_OK) == 0 || errno == ENOENT ? 0 : -1);
}

static void shm_open_works(void)
{
    char name[32];
    snprintf(name, sizeof(name), "/rf.%d", getpid());
    int fd = OK(shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600));
    OK(ftruncate(fd, 4096));
    char *p = OK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    int again = OK(shm_open(name, O_RDWR, 0));
    p[7] = 'q';
    char c;
    CHECK_EQ(pread(again, &c, 1, 7), 1);
    CHECK_EQ(c, 'q');
    OK(shm_unlink(name));
    CHECK_ERR(shm_open(name, O_RDWR, 0), ENOENT);
    munmap(p, 4096);
    close(fd), close(again);
}

static void tmpfs_mount(void)
{
    OK(mkdir("m", 0755));
    IN_CHILD({
        if (unshare(CLONE_NEWNS))
            SKIP("no mount namespaces for us");
        OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
        OK(mount("none", "m", "tmpfs", 0, "size=1m,mode=0711"));
        struct stat st;
        struct statfs sf;
        OK(stat("m", &st));
        CHECK_EQ(st.st_mode & 07777, 0711);
        OK(statfs("m", &sf));
        CHECK_EQ(sf.f_type, 0x01021994);
        static char big[2 << 20];
        int fd = OK(open("m/f", O_RDWR | O_CREAT, 0644));
        CHECK_EQ(write(fd, big, sizeof(big)), 1 << 20);
        CHECK_ERR(write(fd, big, 1), ENOSPC);
        CHECK_ERR(umount("m"), EBUSY);
        close(fd);
        OK(mount("none", "m", NULL, MS_REMOUNT | MS_RDONLY, NULL));
        CHECK_ERR(open("m/g", O_RDWR | O_CREAT, 0644), EROFS);
        CHECK_ERR(rename("m", "n"), EBUSY);
        OK(umount("m"));
        CHECK_ERR(umount("m"), EINVAL);
    });
}

static void bind_mount(void)
{
    OK(mkdir("a", 0755));
    OK(mkdir("b", 0755));
    write_file("a/f", "bound", 5);
    IN_CHILD({
        if (unshare(CLONE_NEWNS))
            SKIP("no mount namespaces for us");
        OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
        OK(mount("a", "b", NULL, MS_BIND, NULL));
        char buf[8];
        read_file("b/f", buf, 8);
        CHECK_STR(buf, "bound");
        CHECK_ERR(rename("b/f", "c"), EXDEV);
        OK(umount2("b", MNT_DETACH));
        CHECK_ERR(access("b/f", F_OK), ENOENT);
    });
}

static void host_name(void)
{
    IN_CHILD({
        if (unshare(CLONE_NEWUTS))
            SKIP("no uts namespaces for us");
        struct utsname u;
        OK(sethostname("testname", 8));
        OK(uname(&u));
        CHECK_STR(u.nodename, "testname");
        CHECK_ERR(sethostname("x", -1), EINVAL);
        CHECK_ERR(sethostname("x", 65), EINVAL);
    });
}

static void vdso_is_there(void)
{
    char buf[16384];
    read_file("/proc/self/maps", buf, sizeof(buf));
    CHECK(strstr(buf, "[vdso]"));
}

static ucontext_t g_main, g_co;
static int g_steps;

static void coroutine(void)
{
    for (int i = 0; i < 3; i++) {
        g_steps++;
        swapcontext(&g_co, &g_main);
    }
}

static void user_contexts(void)
{
    static char stack[65536];
    getcontext(&g_co);
    g_co.uc_stack.ss_sp = stack, g_co.uc_stack.ss_size = sizeof(stack), g_co.uc_link = &g_main;
    makecontext(&g_co, coroutine, 0);
    g_steps = 0;
    for (int i = 0; i < 3; i++)
        swapcontext(&g_main, &g_co);
    CHECK_EQ(g_steps, 3);
}

static void membarrier_and_rseq(void)
{
    int mask = syscall(SYS_membarrier, 0, 0, 0);
    CHECK(mask >= 0 || errno == ENOSYS);
    if (mask > 0) {
        OK(syscall(SYS_membarrier, 16 /* REGISTER_PRIVATE_EXPEDITED */, 0, 0));
        OK(syscall(SYS_membarrier, 8, 0, 0));
        CHECK_ERR(syscall(SYS_membarrier, 1 << 30, 0, 0), EINVAL);
    }
}

static void popen_and_system(void)
{
    CHECK_EQ(system("exit 3"), 3 << 8);
    FILE *f = popen("echo from popen", "r");
    char buf[64] = "";
    CHECK(f && fgets(buf, sizeof(buf), f));
    CHECK_STR(buf, "from popen\n");
    CHECK_EQ(pclose(f), 0);
}

static void old_calls(void)
{
    CHECK_ERR(syscall(SYS_uselib, "x"), ENOSYS);
    CHECK_ERR(syscall(SYS_create_module), ENOSYS);
    CHECK_ERR(syscall(SYS_tuxcall), ENOSYS);
    CHECK_ERR(syscall(SYS_getpmsg), ENOSYS);
    CHECK_ERR(syscall(SYS_epoll_ctl_old), ENOSYS);
    CHECK_ERR(syscall(SYS_security), ENOSYS);
    CHECK_ERR(syscall(SYS_vserver), ENOSYS);
}

static void stdio_streams(void)
{
    FILE *f = fopen("f", "w+");
    CHECK(f);
    for (int i = 0; i < 10000; i++)
        fprintf(f, "%d\n", i);
    rewind(f);
    int x, n = 0;
    while (fscanf(f, "%d", &x) == 1)
        CHECK_EQ(x, n++);
    CHECK_EQ(n, 10000);
    fclose(f);
}

GUEST_MAIN(C(uname_fields), C(limits), C(random_bytes), C(scheduling), C(devices), C(shm_open_works), C(tmpfs_mount),
           C(bind_mount), C(host_name), C(vdso_is_there), C(user_contexts), C(membarrier_and_rseq), C(popen_and_system),
           C(old_calls), C(stdio_streams))
