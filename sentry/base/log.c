/* Log lines are built in one buffer and written by one write(2), so that threads do not interleave.
 */
#include "base/log.h"
#include "base/host.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool g_log_on;
static int g_log_fd = -1;     /* const after init */
static int g_log_user_fd = 2; /* const after init */

#define LOG_LINE_MAX  2048
#define LOG_FRAME_MAX (1 << 20) /* a larger step is no frame of ours */

void log_open(int fd)
{
    g_log_fd = fd;
    g_log_on = fd >= 0;
}

void log_user_open(int fd)
{
    g_log_user_fd = fd;
}

/* The log is best effort: a full disk or a closed pipe must not stop the sandbox. */
static void log_write(int fd, const char *buf, size_t size)
{
    struct iovec iov = {.iov_base = (void *)buf, .iov_len = size};
    (void)host_writev(fd, &iov, 1);
}

static void log_vline(int fd, const char *prefix, const char *fmt, va_list ap)
{
    char buf[LOG_LINE_MAX];
    int n = snprintf(buf, sizeof(buf), "%s", prefix);
    int m = vsnprintf(buf + n, sizeof(buf) - n - 1, fmt, ap);
    n = m < 0 ? n : n + m;
    if (n > (int)sizeof(buf) - 2)
        n = sizeof(buf) - 2;
    buf[n++] = '\n';
    log_write(fd, buf, n);
}

void log_line(const char *fmt, ...)
{
    if (g_log_fd < 0)
        return;
    char prefix[32];
    int64_t now = host_clock_ns(CLOCK_MONOTONIC);
    snprintf(prefix, sizeof(prefix), "%8.3f ", (double)(now % 100000000000000) / 1e9);
    va_list ap;
    va_start(ap, fmt);
    log_vline(g_log_fd, prefix, fmt, ap);
    va_end(ap);
}

void log_user(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    log_vline(g_log_user_fd, "ringfence: ", fmt, ap);
    va_end(ap);
    if (g_log_on) {
        va_start(ap, fmt);
        log_vline(g_log_fd, "user: ", fmt, ap);
        va_end(ap);
    }
}

/* The chain of frame pointers (the build keeps them): needs no host call, no file, no allocation,
 * and may be walked from a fault handler. Offsets into the executable: addr2line -e rf-sentry tells
 * the rest. */
static void log_stack(void)
{
    extern const char __executable_start[];
    const uintptr_t *frame = __builtin_frame_address(0);
    for (int depth = 0; depth < 32; depth++) {
        const uintptr_t *next = (const uintptr_t *)frame[0];
        log_user("  #%d rf-sentry+%#lx", depth,
                 (unsigned long)(frame[1] - (uintptr_t)__executable_start));
        if (next <= frame || (uintptr_t)next - (uintptr_t)frame > LOG_FRAME_MAX ||
            ((uintptr_t)next & 7))
            return;
        frame = next;
    }
}

void bug_at(const char *file, int line, const char *what)
{
    log_user("BUG: %s (%s:%d); this is a defect of ringfence, please report it", what, file, line);
    log_stack();
    _exit(125); /* abort() would need host calls that our list does not have */
}
