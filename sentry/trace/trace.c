/* The strace printer. Lines go to the user's standard error through log_user: they look like
 * "[pid] name(args) = result". Guest strings are shortened and escaped; they never reach a format
 * string. */
#include "trace/trace.h"

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

static uint64_t g_wanted[TABLE_COUNT / 64]; /* const after init */

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
    g_kernel.strace = true;
    if (!set || !*set || !strcmp(set, "all")) {
        memset(g_wanted, 0xff, sizeof(g_wanted));
        return;
    }
    while (*set) {
        size_t len = strcspn(set, ",");
        trace_want(set, len);
        set += len + (set[len] == ',');
    }
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
        log_user("%s = ?", t_line);
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
        log_user("%s = ? %s", t_line, restart_name(r));
    else if (r < 0 && r >= -4095)
        log_user("%s = -1 %s (%s)", t_line, strerrorname_np(-r), strerrordesc_np(-r));
    else if (r > 0xffffff)
        log_user("%s = %#llx", t_line, (unsigned long long)r);
    else
        log_user("%s = %lld", t_line, (long long)r);
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
    log_user("%s ---", t_line);
}
