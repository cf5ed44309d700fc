/* The start configuration as key/value pairs in an unnamed file: see include/control.h. */
#include "control.h"
#include "launch/launch_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

static void put(FILE *f, const char *key, const char *value)
{
    fwrite(key, 1, strlen(key) + 1, f);
    fwrite(value, 1, strlen(value) + 1, f);
}

__attribute__((format(printf, 3, 4))) static void putf(FILE *f, const char *key, const char *fmt,
                                                       ...)
{
    va_list ap;
    va_start(ap, fmt);
    fwrite(key, 1, strlen(key) + 1, f);
    vfprintf(f, fmt, ap);
    fputc(0, f);
    va_end(ap);
}

/* A program started here inherits ignored signals (nohup), as it would outside. */
static uint64_t ignored_signals(void)
{
    uint64_t mask = 0;
    for (int sig = 1; sig <= 64; sig++) {
        struct sigaction sa;
        if (sigaction(sig, NULL, &sa) == 0 && sa.sa_handler == SIG_IGN)
            mask |= 1ull << (sig - 1);
    }
    return mask;
}

static void put_identity(FILE *f, const struct launch_spec *s)
{
    putf(f, CFG_UID, "%u", s->uid);
    putf(f, CFG_GID, "%u", s->gid);
    for (unsigned i = 0; i < s->group_count; i++)
        putf(f, CFG_GROUP, "%u", (unsigned)s->groups[i]);
    putf(f, CFG_CAPS, "%" PRIx64, s->uid == 0 ? (UINT64_C(1) << 41) - 1 : UINT64_C(0));
    mode_t mask = umask(0);
    umask(mask);
    putf(f, CFG_UMASK, "%o", mask);
    putf(f, CFG_IGNORED, "%" PRIx64, ignored_signals());
}

static void put_limits(FILE *f, const struct launch_spec *s)
{
    struct sysinfo si;
    if (sysinfo(&si) == 0)
        putf(f, CFG_MEMTOTAL, "%" PRIu64,
             s->memory_limit ? s->memory_limit : (uint64_t)si.totalram * si.mem_unit);
    if (s->memory_limit)
        putf(f, CFG_MEMORY, "%" PRIu64, s->memory_limit);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    putf(f, CFG_CPUS, "%u", s->cpus ? s->cpus : (unsigned)(online > 0 ? online : 1));
    for (int r = 0; r < RLIM_NLIMITS; r++) {
        struct rlimit rl;
        if (getrlimit(r, &rl) == 0)
            putf(f, CFG_RLIMIT, "%d %" PRIu64 " %" PRIu64, r, (uint64_t)rl.rlim_cur,
                 (uint64_t)rl.rlim_max);
    }
}

bool g_launch_stdio_closed[3];

void launch_stdio_hold(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        g_launch_stdio_closed[fd] = fcntl(fd, F_GETFD) < 0;
        if (g_launch_stdio_closed[fd])
            open("/dev/null", O_RDWR); /* takes the lowest free number: this one */
    }
}

static void put_files(FILE *f, const struct launch_spec *s)
{
    put(f, CFG_ROOT, s->root_mode);
    for (unsigned i = 0; i < s->export_count; i++)
        putf(f, CFG_MOUNT, "%u,%s,%s", i + 1, s->exports[i].writable ? "rw" : "ro",
             s->exports[i].dest);
    int tty = -1;
    for (int fd = 0; fd <= 2; fd++) {
        struct stat st;
        if (g_launch_stdio_closed[fd] || fstat(fd, &st) < 0)
            continue;
        putf(f, CFG_STDIO, "%d %d", fd, fd);
        if (tty < 0 && isatty(fd))
            tty = fd;
    }
    if (tty >= 0)
        putf(f, CFG_TTY, "%d", tty);
}

static void put_all(FILE *f, const struct launch_spec *s, const char *platform)
{
    struct utsname u;
    uname(&u);
    for (char *const *p = s->argv; *p; p++)
        put(f, CFG_ARGV, *p);
    for (char *const *p = s->envp; *p; p++)
        put(f, CFG_ENV, *p);
    put(f, CFG_CWD, s->cwd);
    put(f, CFG_HOSTNAME, s->hostname ? s->hostname : u.nodename);
    put(f, CFG_PLATFORM, platform);
    put(f, CFG_NETWORK, s->network);
    if (s->strace)
        put(f, CFG_STRACE, s->strace);
    if (s->stats)
        put(f, CFG_STATS, "");
    put_identity(f, s);
    put_limits(f, s);
    put_files(f, s);
}

int launch_config_write(const struct launch_spec *s, const char *platform, struct launch_error *e)
{
    int fd = memfd_create("ringfence-config", MFD_CLOEXEC);
    FILE *f = fd < 0 ? NULL : fdopen(dup(fd), "w");
    if (f)
        put_all(f, s, platform);
    if (!f || fclose(f) != 0) {
        launch_fail(e, RF_EXIT_ERROR, "cannot write the sandbox's configuration: %s",
                    strerror(errno));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}
