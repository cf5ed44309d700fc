/* The strace printer. Lines go to the user's standard error through log_user, or to who asked for
 * them; they look like
 * "[pid] name(args) = result". Guest strings are shortened and escaped; they never reach a format
 * string. */
#include "trace/trace.h"

#include "base/host.h"
#include "base/log.h"
#include "base/overflow.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TABLE_COUNT 512
#define STRING_MAX  64 /* bytes of a guest string shown */
#define LINE_MAX_   1024

struct trace_call {
    const char *name, *format;
};
static const struct trace_call g_calls[TABLE_COUNT] = {
#define SYSCALL(nr, name, fmt, status, note, entry) [nr] = {#name, fmt},
#include "syscalls/syscalls.def"
#undef SYSCALL
};

static uint64_t
    g_wanted[TABLE_COUNT / 64]; /* changed only while nobody looks closely: a line more or less */

/* Of the call being answered by this thread. */
static __thread char t_line[LINE_MAX_];
static __thread size_t t_used;

const char *trace_syscall_name(uint64_t nr)
{
    return nr < TABLE_COUNT ? g_calls[nr].name : NULL;
}

static void trace_want(const char *name, size_t len)
{
    for (unsigned i = 0; i < TABLE_COUNT; i++)
        if (g_calls[i].name && strlen(g_calls[i].name) == len &&
            !memcmp(g_calls[i].name, name, len))
            g_wanted[i / 64] |= 1ull << (i % 64);
}

void trace_enable(const char *set)
{
    memset(g_wanted, 0, sizeof(g_wanted));
    if (!set || !*set || !strcmp(set, "all")) {
        memset(g_wanted, 0xff, sizeof(g_wanted));
        set = "";
    }
    while (*set) {
        size_t len = strcspn(set, ",");
        trace_want(set, len);
        set += len + (set[len] == ',');
    }
    kernel_strace(true);
}

void trace_disable(void)
{
    kernel_strace(false);
}

/* ---- where lines go ---- */

static struct lock g_output_lock = LOCK_INITIALIZER(LR_TRACE);
static int g_output_fd = -1; /* lock: g_output_lock; -1: to the user */

int trace_output(int fd)
{
    LOCK_GUARD(&g_output_lock);
    int old = g_output_fd;
    g_output_fd = fd;
    return old;
}

/* A reader who does not read loses lines; no guest waits for him. */
static bool line_to_reader(const char *line, size_t size)
{
    struct iovec iov[2] = {{(void *)line, size}, {(void *)"\n", 1}};
    LOCK_GUARD(&g_output_lock);
    if (g_output_fd < 0)
        return false;
    int64_t n = host_writev_nowait(g_output_fd, iov, 2);
    if (n == -EOPNOTSUPP || n == -EINVAL)
        (void)host_writev(g_output_fd, iov, 2);
    return true;
}

__attribute__((format(printf, 1, 2))) static void say(const char *fmt, ...)
{
    char line[LINE_MAX_ + 128];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    if (n > 0 && !line_to_reader(line, MIN((size_t)n, sizeof(line) - 1)))
        log_user("%s", line);
}

static bool trace_wanted(uint64_t nr)
{
    return nr < TABLE_COUNT && (g_wanted[nr / 64] & 1ull << (nr % 64));
}

/* ---- the line
 * --------------------------------------------------------------------------------------- */

static void __attribute__((format(printf, 1, 2))) put(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(t_line + t_used, sizeof(t_line) - t_used, fmt, ap);
    va_end(ap);
    if (n > 0)
        t_used = MIN(t_used + n, sizeof(t_line) - 1);
}

static void put_char(unsigned char c)
{
    if (c == '\n')
        put("\\n");
    else if (c == '\t')
        put("\\t");
    else if (c == '"' || c == '\\')
        put("\\%c", c);
    else if (c < 32 || c > 126)
        put("\\%o", c);
    else
        put("%c", c);
}

static void put_string(struct task *t, uint64_t addr)
{
    char buf[STRING_MAX];
    if (!addr) {
        put("NULL");
        return;
    }
    size_t n = t->mm ? uaccess_read_some(t->mm, buf, uaddr(addr), sizeof(buf)) : 0;
    size_t len = strnlen(buf, n);
    if (!n) {
        put("%#llx", (unsigned long long)addr);
        return;
    }
    put("\"");
    for (size_t i = 0; i < len; i++)
        put_char(buf[i]);
    put(len == n ? "\"..." : "\"");
}

static void put_arg(struct task *t, char kind, uint64_t v)
{
    switch (kind) {
    case 's':
        put_string(t, v);
        break;
    case 'f':
    case 'd':
    case 't':
    case 'g':
        put("%d", (int)v);
        break;
    case 'F':
        if ((int)v == AT_FDCWD)
            put("AT_FDCWD");
        else
            put("%d", (int)v);
        break;
    case 'u':
        put("%llu", (unsigned long long)v);
        break;
    case 'i':
        put("%lld", (long long)v);
        break;
    case 'o':
        put("%#o", (unsigned)v);
        break;
    default:
        if (v || kind == 'x')
            put("%#llx", (unsigned long long)v);
        else
            put("NULL");
    }
}

void trace_enter(struct task *t, const struct sysargs *a)
{
    uint32_t nr = a->nr;
    t_used = 0;
    if (!trace_wanted(nr))
        return;
    if (nr < TABLE_COUNT && g_calls[nr].name)
        put("[%5d] %s(", t->tid, g_calls[nr].name);
    else
        put("[%5d] syscall_%u(", t->tid, nr);
    const char *f = nr < TABLE_COUNT && g_calls[nr].format ? g_calls[nr].format : "xxxxxx";
    for (int i = 0; f[i] && i < 6; i++) {
        put(i ? ", " : "");
        put_arg(t, f[i], a->v[i]);
    }
    put(")");
    if (nr == 60 || nr == 231) /* exit, exit_group do not come back */
        say("%s = ?", t_line);
}

static const char *restart_name(int64_t r)
{
    return r == -ERESTARTSYS             ? "ERESTARTSYS"
           : r == -ERESTARTNOINTR        ? "ERESTARTNOINTR"
           : r == -ERESTARTNOHAND        ? "ERESTARTNOHAND"
           : r == -ERESTART_RESTARTBLOCK ? "ERESTART_RESTARTBLOCK"
                                         : NULL;
}

void trace_exit(struct task *t, const struct sysargs *a, int64_t r)
{
    if (!trace_wanted((uint32_t)a->nr) || a->nr == 60 || a->nr == 231)
        return;
    if (restart_name(r))
        say("%s = ? %s", t_line, restart_name(r));
    else if (r < 0 && r >= -4095)
        say("%s = -1 %s (%s)", t_line, strerrorname_np(-r), strerrordesc_np(-r));
    else if (r > 0xffffff)
        say("%s = %#llx", t_line, (unsigned long long)r);
    else
        say("%s = %lld", t_line, (long long)r);
}

void trace_signal(struct task *t, int sig, const siginfo_t *info)
{
    if (!(t->slow_entry & TASK_SLOW_STRACE))
        return;
    const char *name = sigabbrev_np(sig);
    t_used = 0;
    put("[%5d] --- SIG%s (%d) si_code=%d", t->tid, name ? name : "RT", sig, info->si_code);
    if (sig == SIGSEGV || sig == SIGBUS || sig == SIGILL || sig == SIGFPE) {
        struct user_regs_struct *r = task_regs(t);
        put(" si_addr=%p ip=%#llx", info->si_addr, r ? (unsigned long long)r->rip : 0);
    }
    say("%s ---", t_line);
}
