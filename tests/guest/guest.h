/* guest.h: the whole harness of the guest tests.
 *
 * A program holds a family of checks, each one behaviour. guest_run() runs them in turn, each in a
 * fresh directory with default signal handling, and writes one line per event that tests/run reads:
 *     plan N / run NAME / ok NAME / FAIL NAME: why / SKIP NAME: why
 * Arguments choose checks by name. Exit status: 0 all passed, 1 one failed, 77 all skipped.
 * A failed CHECK ends that check alone; in a child or a second thread it ends the process.
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define GUEST_FN __attribute__((unused)) static

struct guest_check {
    const char *name;
    void (*fn)(void);
};

static const char *g_check = "main";
static pid_t g_main_pid;
static char g_dir[64];
static char g_self[4096];
static sigjmp_buf g_escape;
static int g_outcome; /* of the running check: 0 ok, 1 failed, 2 skipped */

__attribute__((format(printf, 3, 4), noreturn)) GUEST_FN void guest_leave(int outcome, int line,
                                                                          const char *fmt, ...)
{
    char buf[1024];
    int n = outcome == 2 ? snprintf(buf, sizeof(buf), "SKIP %s: ", g_check)
                         : snprintf(buf, sizeof(buf), "FAIL %s: line %d: ", g_check, line);
    va_list ap;
    va_start(ap, fmt);
    n += vsnprintf(buf + n, sizeof(buf) - n - 1, fmt, ap);
    va_end(ap);
    if (n > (int)sizeof(buf) - 2)
        n = sizeof(buf) - 2;
    buf[n++] = '\n';
    if (write(1, buf, n) != n)
        _exit(1);
    if (syscall(SYS_gettid) != g_main_pid)
        _exit(outcome == 2 ? 77 : 1);
    g_outcome = outcome;
    siglongjmp(g_escape, 1);
}

#define FAIL(...) guest_leave(1, __LINE__, __VA_ARGS__)
#define SKIP(...) guest_leave(2, __LINE__, __VA_ARGS__)

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond))                                                                               \
            FAIL("not true: %s", #cond);                                                           \
    } while (0)

#define CHECK_EQ(got, want)                                                                        \
    do {                                                                                           \
        long long g_ = (long long)(got), w_ = (long long)(want);                                   \
        if (g_ != w_)                                                                              \
            FAIL("%s is %lld (0x%llx), want %s = %lld", #got, g_, g_, #want, w_);                  \
    } while (0)

#define CHECK_STR(got, want)                                                                       \
    do {                                                                                           \
        const char *g_ = (got), *w_ = (want);                                                      \
        if (strcmp(g_, w_))                                                                        \
            FAIL("%s is \"%s\", want \"%s\"", #got, g_, w_);                                       \
    } while (0)

/* The value of a call that must not return -1. */
#define OK(call)                                                                                   \
    ({                                                                                             \
        errno = 0;                                                                                 \
        __auto_type r_ = (call);                                                                   \
        if ((long)r_ == -1)                                                                        \
            FAIL("%s: %s", #call, strerrorname_np(errno) ?: "?");                                  \
        r_;                                                                                        \
    })

/* A call that must return -1 with this errno. */
#define CHECK_ERR(call, want)                                                                      \
    do {                                                                                           \
        errno = 0;                                                                                 \
        long r_ = (long)(call);                                                                    \
        int e_ = errno;                                                                            \
        if (r_ != -1)                                                                              \
            FAIL("%s gave %ld, want %s", #call, r_, #want);                                        \
        if (e_ != (want))                                                                          \
            FAIL("%s: %s, want %s", #call, strerrorname_np(e_) ?: "?", #want);                     \
    } while (0)

/* A call that gives this value, or (want negative) fails with this errno. With GUEST_SOFT in the
 * environment a difference is only told, and the check goes on: to see all of them at once. */
#define CHECK_RET(call, want)                                                                      \
    do {                                                                                           \
        errno = 0;                                                                                 \
        long r_ = (long)(call), w_ = (long)(want);                                                 \
        if (r_ == -1)                                                                              \
            r_ = -errno;                                                                           \
        if (r_ != w_ && getenv("GUEST_SOFT"))                                                      \
            dprintf(1, "DIFF %s:%d: %s gave %ld %s, want %ld %s\n", g_check, __LINE__, #call, r_,  \
                    r_ < 0 ? strerrorname_np(-r_) ?: "" : "", w_,                                  \
                    w_ < 0 ? strerrorname_np(-w_) ?: "" : "");                                     \
        else if (r_ != w_)                                                                         \
            FAIL("%s gave %ld %s, want %ld %s", #call, r_,                                         \
                 r_ < 0 ? strerrorname_np(-r_) ?: "" : "", w_,                                     \
                 w_ < 0 ? strerrorname_np(-w_) ?: "" : "");                                        \
    } while (0)

/* A call that returns its error number (pthread_*, posix_*). */
#define CHECK_ZERO(call)                                                                           \
    do {                                                                                           \
        int e_ = (call);                                                                           \
        if (e_)                                                                                    \
            FAIL("%s: %d %s", #call, e_, strerrorname_np(e_) ?: "?");                              \
    } while (0)

GUEST_FN int guest_wait(pid_t pid, int line)
{
    int st = 0;
    pid_t r;
    do
        r = waitpid(pid, &st, 0);
    while (r < 0 && errno == EINTR);
    if (r != pid)
        guest_leave(1, line, "waitpid(%d) gave %d: %s", pid, r, strerrorname_np(errno) ?: "?");
    return st;
}

/* The child must exit with this status, or die by this signal. */
#define WAIT_EXIT(pid, want)                                                                       \
    do {                                                                                           \
        int st_ = guest_wait(pid, __LINE__);                                                       \
        if (!WIFEXITED(st_) || WEXITSTATUS(st_) != (want))                                         \
            FAIL("child's wait status is 0x%x, want exit %d", st_, (int)(want));                   \
    } while (0)
#define WAIT_SIGNAL(pid, want)                                                                     \
    do {                                                                                           \
        int st_ = guest_wait(pid, __LINE__);                                                       \
        if (!WIFSIGNALED(st_) || WTERMSIG(st_) != (want))                                          \
            FAIL("child's wait status is 0x%x, want death by signal %d", st_, (int)(want));        \
    } while (0)

/* Runs the block in a child, which exits 0 at its end; CHECK works inside. */
#define IN_CHILD(...)                                                                              \
    do {                                                                                           \
        pid_t in_child_ = OK(fork());                                                              \
        if (in_child_ == 0) {                                                                      \
            __VA_ARGS__;                                                                           \
            _exit(0);                                                                              \
        }                                                                                          \
        WAIT_EXIT(in_child_, 0);                                                                   \
    } while (0)

GUEST_FN int64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

GUEST_FN void sleep_ms(int ms)
{
    struct timespec ts = {ms / 1000, ms % 1000 * 1000000L};
    while (nanosleep(&ts, &ts) && errno == EINTR)
        ;
}

GUEST_FN void handle(int sig, void (*fn)(int), int flags)
{
    struct sigaction sa = {.sa_handler = fn, .sa_flags = flags};
    OK(sigaction(sig, &sa, NULL));
}

GUEST_FN void handle_info(int sig, void (*fn)(int, siginfo_t *, void *), int flags)
{
    struct sigaction sa = {.sa_sigaction = fn, .sa_flags = flags | SA_SIGINFO};
    OK(sigaction(sig, &sa, NULL));
}

GUEST_FN void sig_block(int how, int sig)
{
    sigset_t s;
    sigemptyset(&s);
    sigaddset(&s, sig);
    OK(sigprocmask(how, &s, NULL));
}

/* Waits until the state letter in /proc/PID/stat is one of these. */
GUEST_FN void wait_state(pid_t pid, const char *states)
{
    char path[64], buf[512];
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    for (int i = 0; i < 2000; i++) {
        int fd = OK(open(path, O_RDONLY));
        int n = read(fd, buf, sizeof(buf) - 1);
        close(fd);
        buf[n > 0 ? n : 0] = 0;
        char *p = strrchr(buf, ')');
        if (p && p[1] && strchr(states, p[2]))
            return;
        sleep_ms(2);
    }
    FAIL("process %d never reached state %s", pid, states);
}

GUEST_FN void write_file(const char *name, const void *data, size_t size)
{
    int fd = OK(open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644));
    CHECK_EQ(OK(write(fd, data, size)), size);
    OK(close(fd));
}

GUEST_FN ssize_t read_file(const char *name, char *buf, size_t size)
{
    int fd = OK(open(name, O_RDONLY));
    size_t done = 0;
    while (done + 1 < size) {
        ssize_t n = OK(read(fd, buf + done, size - 1 - done));
        if (n == 0)
            break;
        done += n;
    }
    buf[done] = 0;
    OK(close(fd));
    return done;
}

GUEST_FN int guest_rm(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path), 0;
}

GUEST_FN void guest_reset(void)
{
    sigset_t none;
    sigemptyset(&none);
    for (int s = 1; s < 65; s++)
        if (s != SIGKILL && s != SIGSTOP && s != 32 && s != 33)
            signal(s, SIG_DFL);
    alarm(0);
    sigprocmask(SIG_SETMASK, &none, NULL);
    umask(022);
}

GUEST_FN void guest_one(const struct guest_check *c)
{
    char dir[256];
    g_check = c->name;
    g_outcome = 0;
    guest_reset();
    snprintf(dir, sizeof(dir), "%s/%s", g_dir, c->name);
    if (mkdir(dir, 0755) || chdir(dir))
        dprintf(1, "FAIL %s: cannot make %s\n", c->name, dir);
    dprintf(1, "run %s\n", c->name);
    if (!sigsetjmp(g_escape, 1))
        c->fn();
    if (g_outcome == 0)
        dprintf(1, "ok %s\n", c->name);
    guest_reset();
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
}

GUEST_FN bool guest_wanted(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (!strcmp(name, argv[i]))
            return true;
    return argc < 2;
}

GUEST_FN int guest_run(const struct guest_check *checks, int argc, char **argv)
{
    int planned = 0, failed = 0, passed = 0;
    g_main_pid = getpid();
    if (argc == 2 && !strcmp(argv[1], "--list")) {
        for (const struct guest_check *c = checks; c->name; c++)
            dprintf(1, "%s\n", c->name);
        return 0;
    }
    if (!realpath(argv[0], g_self))
        snprintf(g_self, sizeof(g_self), "%s", argv[0]);
    snprintf(g_dir, sizeof(g_dir), "/tmp/rfguest.XXXXXX");
    if (!mkdtemp(g_dir)) {
        dprintf(1, "FAIL main: mkdtemp: %s\n", strerror(errno));
        return 1;
    }
    chmod(g_dir, 0755);
    for (const struct guest_check *c = checks; c->name; c++)
        planned += guest_wanted(c->name, argc, argv);
    dprintf(1, "plan %d\n", planned);
    for (const struct guest_check *c = checks; c->name; c++) {
        if (!guest_wanted(c->name, argc, argv))
            continue;
        guest_one(c);
        failed += g_outcome == 1;
        passed += g_outcome == 0;
    }
    if (!chdir("/"))
        nftw(g_dir, guest_rm, 16, FTW_DEPTH | FTW_PHYS);
    return failed ? 1 : passed ? 0 : 77;
}

#define C(fn) {#fn, fn}
#define GUEST_CHECKS(...) static const struct guest_check g_checks[] = {__VA_ARGS__, {NULL, NULL}}
#define GUEST_MAIN(...)                                                                            \
    GUEST_CHECKS(__VA_ARGS__);                                                                     \
    int main(int argc, char **argv)                                                                \
    {                                                                                              \
        return guest_run(g_checks, argc, argv);                                                    \
    }
