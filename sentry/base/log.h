/* The sentry's log and its two ways to complain.
 *
 * log_* go to the --debug-log descriptor (nowhere when it is not set): cheap when off. Never put
 * guest data in a format string. bug() is for broken invariants of our own and prints a stack; no
 * guest, file or peer may be able to cause it. */
#pragma once
#include <stdbool.h>

extern bool g_log_on; /* const after init */

void log_open(int fd); /* fd stays open for the life of the process; -1 turns the log off */
void log_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
#define log_debug(...)                                                                             \
    do {                                                                                           \
        if (__builtin_expect(g_log_on, 0))                                                         \
            log_line(__VA_ARGS__);                                                                 \
    } while (0)

/* A sentence for the person at the shell: goes to stderr of the launcher and to the log. */
void log_user(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_user_open(int fd); /* descriptor for log_user, default 2 */

_Noreturn void bug_at(const char *file, int line, const char *what);
#define bug(what) bug_at(__FILE__, __LINE__, what)
#define bug_on(cond)                                                                               \
    do {                                                                                           \
        if (__builtin_expect(!!(cond), 0))                                                         \
            bug_at(__FILE__, __LINE__, #cond);                                                     \
    } while (0)
