/* The log, in the two formats that runc's clients parse: logrus' text and JSON lines. containerd
 * takes the last line of level "error" as the reason; conmon takes stderr. */
#include "runrf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int g_log_fd = -1; /* -1: stderr */

int rf_fail(struct rf_error *e, const char *fmt, ...)
{
    char text[sizeof(e->text)]; /* the arguments may be e->text itself */
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    memcpy(e->text, text, sizeof(text));
    return -1;
}

void rf_time_now(char *out, size_t size)
{
    struct timespec now;
    struct tm tm;
    char day[32];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out, size, "%s.%09ldZ", day, now.tv_nsec);
}

static void time_seconds(char *out, size_t size)
{
    time_t now = time(NULL);
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(out, size, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

int rf_log_open(struct rf_error *e)
{
    if (g_rf.log_format && strcmp(g_rf.log_format, "text") && strcmp(g_rf.log_format, "json"))
        return rf_fail(e, "invalid log-format: %s", g_rf.log_format);
    if (!g_rf.log || !*g_rf.log || !strcmp(g_rf.log, "/dev/stderr"))
        return 0;
    g_log_fd = open(g_rf.log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (g_log_fd < 0)
        return rf_fail(e, "--log %s: %s", g_rf.log, strerror(errno));
    return 0;
}

static const char *const g_level_names[] = {"debug", "info", "warning", "error"};

/* A string between double quotes, with what must be escaped escaped; the same for both formats. */
static char *quoted(const char *text)
{
    json_t *s = json_string(text);
    if (!s)
        s = json_string("(a message that is not UTF-8)");
    char *out = json_dumps(s, JSON_ENCODE_ANY);
    json_decref(s);
    return out;
}

static void log_line(enum rf_level level, const char *text)
{
    char when[40];
    time_seconds(when, sizeof(when));
    char *msg = quoted(text);
    int fd = g_log_fd < 0 ? 2 : g_log_fd;
    bool json = g_rf.log_format && !strcmp(g_rf.log_format, "json");
    if (json)
        dprintf(fd, "{\"level\":\"%s\",\"msg\":%s,\"time\":\"%s\"}\n", g_level_names[level],
                msg ? msg : "\"\"", when);
    else
        dprintf(fd, "time=\"%s\" level=%s msg=%s\n", when, g_level_names[level], msg ? msg : "");
    free(msg);
}

void rf_log(enum rf_level level, const char *fmt, ...)
{
    char text[1200];
    if (level == RF_DEBUG && !g_rf.debug)
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    log_line(level, text);
}

int rf_fatal(int status, const char *fmt, ...)
{
    char text[1200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    log_line(RF_ERROR, text);
    if (g_log_fd >= 0)
        fprintf(stderr, "%s\n", text);
    return status;
}
