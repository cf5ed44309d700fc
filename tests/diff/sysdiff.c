/* sysdiff SEED FIRST COUNT [NAME]: random system calls with edge-case arguments, one line of result each.
 *
 * A case is one call in a process of its own, before which the same files and descriptors are made anew; what it is
 * depends on the seed and its number alone. So the lines of a run on the bare host and of a run in the sandbox
 * can be compared one by one: tests/diff/run does. Run natively, it must be in namespaces of its own. */
#include "sysdiff.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FD_FIRST = 20, FD_OUT = 500, PAGE = 4096, CASE_MS = 400 };

static uint64_t g_rng;
static char *g_map;      /* 8 pages: 0-3 ours to change, 4 read-only, 5 no access, 6-7 writable */
static char g_text[1024]; /* of the case */
static size_t g_len;
static int g_out;
static int g_null, g_zero; /* opened once: a case may remove the nodes */
static char g_long[300], g_longer[5000];
static char *g_buffer; /* the first buffer of the call */

static uint32_t rnd(uint32_t n)
{
    g_rng += 0x9e3779b97f4a7c15u;
    uint64_t z = g_rng;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ (z >> 31)) >> 32) % n;
}

__attribute__((format(printf, 1, 2))) static void say(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(g_text + g_len, sizeof(g_text) - g_len, fmt, ap);
    va_end(ap);
    g_len += n;
    if (g_len > sizeof(g_text) - 1)
        g_len = sizeof(g_text) - 1;
}

/* ---- the world of a case ---------------------------------------------------------------------- */

static void put(int fd)
{
    static int next;
    if (fd < 0)
        _exit(90);
    if (dup2(fd, FD_FIRST + next) < 0)
        _exit(91);
    next++;
    close(fd);
}

static void make_file(const char *name, mode_t mode, unsigned size)
{
    char buf[10000];
    for (unsigned i = 0; i < sizeof(buf); i++)
        buf[i] = 'a' + i % 26;
    int fd = open(name, O_CREAT | O_WRONLY | O_TRUNC, 0600);
    if (fd < 0 || write(fd, buf, size) != size || fchmod(fd, mode))
        _exit(92);
    close(fd);
}

static int bound_socket(const char *name)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    strcpy(a.sun_path, name);
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (bind(s, (void *)&a, sizeof(a)) || listen(s, 5))
        _exit(93);
    return s;
}

static void make_files(const char *dir)
{
    umask(0);
    if (mkdir(dir, 0777) || chdir(dir))
        _exit(94);
    make_file("file", 0644, 10000);
    make_file("empty", 0666, 0);
    make_file("ro", 0444, 100);
    make_file("private", 0600, 100);
    make_file("script", 0755, 10);
    mkdir("dir", 0777), mkdir("dir/sub", 0755), mkdir("locked", 0700);
    make_file("dir/x", 0644, 5);
    make_file("locked/x", 0644, 5);
    symlink("file", "link"), symlink("nowhere", "dangling"), symlink("loop", "loop"), symlink("dir", "dlink");
    mkfifo("fifo", 0666);
}

static void make_fds(void)
{
    int p[2], sp[2];
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    put(open("file", O_RDWR));
    put(open("file", O_RDONLY));
    put(open("file", O_WRONLY | O_APPEND));
    put(open("dir", O_RDONLY));
    put(open("file", O_PATH));
    if (pipe2(p, O_NONBLOCK) || write(p[1], "0123456789", 10) != 10)
        _exit(95);
    put(p[0]), put(p[1]);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sp) || write(sp[1], "abcdef", 6) != 6)
        _exit(96);
    put(sp[0]), put(sp[1]);
    put(eventfd(5, EFD_NONBLOCK));
    put(epoll_create1(0));
    put(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
    int m = memfd_create("m", MFD_ALLOW_SEALING);
    if (ftruncate(m, 4096))
        _exit(97);
    put(m);
    put(signalfd(-1, &set, SFD_NONBLOCK));
    put(inotify_init1(IN_NONBLOCK));
    put(dup(g_null));
    put(dup(g_zero));
    put(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    put(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
    put(bound_socket("sock"));
    put(open(".", O_PATH | O_DIRECTORY));
    put(syscall(SYS_pidfd_open, getpid(), 0));
    put(open("fifo", O_RDWR | O_NONBLOCK));
    put(open("/proc/self/status", O_RDONLY));
    put(socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0));
    put(open("empty", O_RDWR));
}

enum { FD_COUNT = 26 };

static void make_memory(void)
{
    g_map = mmap((void *)0x10000000, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    for (int i = 0; i < 4 * PAGE; i++)
        g_map[i] = i * 7 % 251;
    memset(g_map, 0, PAGE);
    mprotect(g_map + 4 * PAGE, PAGE, PROT_READ);
    mprotect(g_map + 5 * PAGE, PAGE, PROT_NONE);
    memset(g_long, 'n', 299);
    memset(g_longer, 'n', sizeof(g_longer) - 1);
    for (unsigned i = 0; i < sizeof(g_longer) - 1; i += 100)
        g_longer[i] = '/';
}

/* ---- arguments ---------------------------------------------------------------------------------- */

static int64_t pick_fd(bool dir)
{
    static const int dirs[] = {23, 40, -100, -100, -100, -100, 20, 25};
    uint32_t r = rnd(20);
    int64_t fd = r == 0 ? -1 : r == 1 ? 9999 : r == 2 ? 19 : dir ? dirs[rnd(8)] : FD_FIRST + (int)rnd(FD_COUNT);
    say("%lld", (long long)fd);
    return fd;
}

static int64_t pick_path(void)
{
    static const char *const paths[] = {
        "file", "empty", "ro", "private", "script", "dir", "dir/sub", "dir/x", "locked", "locked/x", "link", "dangling",
        "loop", "dlink", "fifo", "sock", "missing", "missing/x", "file/x", "dir/", "file/", "dlink/", ".", "..", "/", "",
        "dir/..", "dir/.", "missing/", "link/", "/proc/self/exe", "dir/missing", "//", "./file", "sub/../file",
        "/dev/null", "/proc/self/fd/20", "/proc/nope", "new",
    };
    uint32_t n = sizeof(paths) / sizeof(paths[0]), r = rnd(n + 5);
    if (r < n) {
        say("\"%s\"", paths[r]);
        return (int64_t)paths[r];
    }
    static const char *const names[] = {"NULL", "BAD", "LONGNAME", "LONGPATH", "NOACCESS"};
    say("%s", names[r - n]);
    return r == n ? 0 : r == n + 1 ? -4096 : r == n + 2 ? (int64_t)g_long : r == n + 3 ? (int64_t)g_longer : (int64_t)g_map + 5 * PAGE;
}

static int64_t pick_buffer(void)
{
    uint32_t r = rnd(16);
    char *b = g_map;
    if (r < 8)
        say("buf"), b = g_map + rnd(2) * PAGE;
    else if (r < 9)
        say("buf+1"), b = g_map + PAGE + 1;
    else if (r < 11)
        say("NULL"), b = NULL;
    else if (r < 12)
        say("BAD"), b = (char *)-4096;
    else if (r < 13)
        say("RO"), b = g_map + 4 * PAGE;
    else if (r < 14)
        say("NOACCESS"), b = g_map + 5 * PAGE;
    else if (r < 15)
        say("EDGE"), b = g_map + 4 * PAGE - 8;
    else { /* a number or two in it */
        uint32_t *w = (uint32_t *)(g_map + 2 * PAGE);
        for (int i = 0; i < 8; i++)
            w[i] = rnd(4) ? rnd(5) : rnd(0xffffffff);
        say("words{%x,%x,%x,%x}", w[0], w[1], w[2], w[3]);
        b = (char *)w;
    }
    if (!g_buffer)
        g_buffer = r < 9 || r > 14 ? b : (char *)-1;
    return (int64_t)b;
}

static int64_t pick_of(const int64_t *v, unsigned n, const char *fmt)
{
    int64_t x = v[rnd(n)];
    say(fmt, (long long)x);
    return x;
}
#define PICK(fmt, ...)                                                                             \
    ({                                                                                             \
        static const int64_t v_[] = {__VA_ARGS__};                                                 \
        pick_of(v_, sizeof(v_) / sizeof(v_[0]), fmt);                                              \
    })

static int64_t pick_set(const int64_t *set, bool bits)
{
    unsigned n = 0;
    while (set[n] != SET_END)
        n++;
    int64_t x = set[rnd(n)];
    if (bits && rnd(4) == 0)
        x |= set[rnd(n)];
    if (bits && rnd(24) == 0)
        x |= 1ll << rnd(32);
    say("0x%llx", (unsigned long long)x);
    return x;
}

static int64_t pick_time(bool micro)
{
    static const int64_t v[][2] = {{0, 0}, {0, 1000}, {-1, 0}, {0, -1}, {0, 1000000000}, {0, 999}, {0, 1000000}};
    uint32_t r = rnd(9);
    if (r >= 7) {
        say(r == 7 ? "NULL" : "BAD");
        return r == 7 ? 0 : -4096;
    }
    int64_t *p = (int64_t *)(g_map + 3 * PAGE + 64 * (micro ? 1 : 2));
    memcpy(p, v[r], 16);
    memcpy(p + 2, v[r], 16);
    say("{%lld,%lld}", (long long)v[r][0], (long long)v[r][1]);
    return (int64_t)p;
}

static int64_t pick_iovec(void)
{
    struct iovec *v = (void *)(g_map + 3 * PAGE + 256 + 128 * rnd(2));
    uint32_t r = rnd(10);
    if (r < 2) {
        say(r ? "NULL" : "BAD");
        return r ? 0 : -4096;
    }
    say("[");
    for (int i = 0; i < 3; i++) {
        char *saved = g_buffer;
        v[i].iov_base = (void *)pick_buffer();
        g_buffer = saved;
        say(",");
        v[i].iov_len = PICK("%lld ", 0, 1, 5, 100, 4096, 20, 8, 3, -1);
    }
    say("]");
    return (int64_t)v;
}

static int64_t pick_pid(void)
{
    switch (rnd(6)) {
    case 0:
    case 1:
    case 2:
        say("self");
        return getpid();
    case 3:
        say("0");
        return 0;
    case 4:
        say("nobody");
        return 4000000;
    default:
        say("-99999");
        return -99999;
    }
}

static int64_t pick(char c, const struct call *k)
{
    switch (c) {
    case 'f': return pick_fd(false);
    case 'd': return pick_fd(true);
    case 'p': case 's': return pick_path();
    case 'b': return pick_buffer();
    case 'l': return PICK("%lld", 0, 1, 2, 4, 7, 8, 16, 100, 128, 512, 4096, 4000, -1, 0x7fffffff, 1ll << 40);
    case 'm': return PICK("0%llo", 0, 0644, 0755, 04755, 02775, 01777, 0777, 0100644, 0200000, -1);
    case 'i': return PICK("%lld", -1, 0, 0, 1, 1, 2, 3, 4, 8, 20, 64, 1000, 0x7fffffff, -0x7fffffff - 1);
    case 'u': return PICK("%lld", -1, 0, 1000, 65534, 1, 100000);
    case 't': return pick_time(false);
    case 'T': return pick_time(true);
    case 'g': return PICK("%lld", 0, 0, 1, 10, 17, 18, 23, 28, 32, 34, 64, 65, -1, 9, 19);
    case 'k': return pick_buffer();
    case 'K': return PICK("%lld", 8, 8, 8, 8, 0, 4, 16);
    case 'P': return pick_pid();
    case 'o': return PICK("%lld", 0, 0, 1, 5, 100, 4095, 4096, 10000, 20000, -1, -4096, 0x7fffffffffffffff, 1ll << 32);
    case 'v': return pick_iovec();
    case 'n': return PICK("%lld", 0, 1, 2, 3, 3, 3, -1, 1024, 1025);
    case '0': say("0"); return 0;
    case 'a': return (int64_t)g_map + PICK("map+%lld", 0, 0, 4096, 8192, 16384, 20480, 1, 32768, -0x10000000);
    case 'L': return PICK("%lld", 0, 1, 4096, 4096, 8192, 4095, 32768, 16384, -1, -4096);
    case 'x': {
        static const char *const n[] = {"user.a", "user.", "trusted.b", "security.c", "bad", "", "system.x", "tmpfs", "proc",
                                        "none", "/q", "user", "keyring", "user.posix"};
        const char *s = n[rnd(14)];
        say("\"%s\"", s);
        return (int64_t)s;
    }
    case 'A': case 'B': case 'C': return pick_set(k->sets[c - 'A'], false);
    default: return pick_set(k->sets[c - 'X'], true);
    }
}

/* ---- one case ------------------------------------------------------------------------------------ */

static void result(const struct call *k, long r, int err)
{
    if (r == -1)
        say(") = %s", strerrorname_np(err) ?: "E?");
    else if (k->flags & CALL_PTR)
        say(") = ptr");
    else if (k->flags & CALL_OPAQUE)
        say(") = ok");
    else if (k->flags & CALL_PID && r > 0)
        say(") = pid");
    else
        say(") = %ld", r);
    if (k->flags & CALL_OUT && r > 0 && r <= 2 * PAGE && g_buffer && g_buffer != (char *)-1) {
        uint32_t h = 0;
        for (long i = 0; i < r; i++)
            h = h * 31 + (unsigned char)g_buffer[i];
        say(" #%x", h);
    }
    say("\n");
    if (write(g_out, g_text, g_len) < 0)
        _exit(98);
}

static void child(const struct call *k, const char *dir)
{
    struct itimerval limit = {.it_value = {.tv_usec = CASE_MS * 1000}};
    setsid();
    make_files(dir);
    make_fds();
    make_memory();
    if (rnd(4) == 0) {
        say("user ");
        if (setresgid(1000, 1000, 1000) || setresuid(1000, 1000, 1000))
            _exit(99);
        prctl(PR_SET_DUMPABLE, 1);
    }
    say("%s(", k->name);
    int64_t a[6] = {0};
    for (int i = 0; k->args[i]; i++) {
        if (i)
            say(", ");
        a[i] = pick(k->args[i], k);
    }
    setitimer(ITIMER_REAL, &limit, NULL);
    errno = 0;
    long r = syscall(k->nr, a[0], a[1], a[2], a[3], a[4], a[5]);
    int err = errno;
    if (k->nr == SYS_clone3 && r == 0)
        _exit(0);
    result(k, r, err);
    _exit(0);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *w)
{
    (void)st, (void)w;
    return kind == FTW_DP || kind == FTW_DNR ? rmdir(path) : unlink(path);
}

static void remove_all(const char *dir)
{
    char path[64];
    for (int i = 0; i < 4; i++) {
        static const char *const places[] = {"%s/dir/sub", "%s/dir", "%s/locked", "%s"};
        snprintf(path, sizeof(path), places[i], dir);
        while (umount2(path, MNT_DETACH) == 0)
            ;
    }
    if (nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS) && errno != ENOENT)
        fprintf(stderr, "cannot remove %s: %s\n", dir, strerror(errno));
}

static void run_case(uint64_t seed, unsigned n, const char *only)
{
    g_rng = seed * 1000003 + n;
    const struct call *k = &g_calls[rnd(g_call_count)];
    if (only && strcmp(only, k->name))
        return;
    char dir[32];
    snprintf(dir, sizeof(dir), "w%u", n);
    g_len = 0;
    say("%u ", n);
    fflush(stdout);
    pid_t p = fork();
    if (!p)
        child(k, dir);
    int st;
    waitpid(p, &st, WUNTRACED);
    if (WIFSTOPPED(st)) {
        kill(p, SIGKILL);
        waitpid(p, NULL, 0);
    }
    if (st) {
        g_text[g_len = 0] = 0;
        say("%u %s: %s %d\n", n, k->name, WIFSTOPPED(st) ? "stop" : WIFSIGNALED(st) ? "signal" : "exit",
            WIFSIGNALED(st) ? WTERMSIG(st) : WEXITSTATUS(st));
        if (write(g_out, g_text, g_len) < 0)
            exit(1);
    }
    remove_all(dir);
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "sysdiff SEED FIRST COUNT [NAME]\n");
        return 2;
    }
    g_out = fcntl(1, F_DUPFD_CLOEXEC, FD_OUT);
    g_null = fcntl(open("/dev/null", O_RDWR | O_CLOEXEC), F_DUPFD_CLOEXEC, FD_OUT);
    g_zero = fcntl(open("/dev/zero", O_RDWR | O_CLOEXEC), F_DUPFD_CLOEXEC, FD_OUT);
    close_range(3, FD_FIRST, 0);
    unsigned first = strtoul(argv[2], NULL, 0), count = strtoul(argv[3], NULL, 0);
    for (unsigned n = first; n < first + count; n++)
        run_case(strtoull(argv[1], NULL, 0), n, argc > 4 ? argv[4] : NULL);
    return 0;
}
