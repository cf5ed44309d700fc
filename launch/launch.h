/* What the launcher's parts share with their users: errors as sentences, the helper programs, the
 * platform choice. Sandboxes and containers: launch/sandbox.h. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct launch_error {
    int status;     /* exit status to use: RF_EXIT_* */
    char text[512]; /* without "ringfence: " in front, without newline */
};
/* Fills *e and returns -1. */
int launch_fail(struct launch_error *e, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* First of all, in main: where descriptor 0, 1 or 2 is closed, hold the place with /dev/null, so
 * that none of ours lands there and is taken for the program's. */
void launch_stdio_hold(void);
/* What the guest's descriptor fd (0, 1 or 2) is to be: fd, or -1 if it was closed. */
int launch_stdio(int fd);
/* A program started here inherits ignored signals (nohup), as it would outside: bit n-1, signal n.
 */
uint64_t launch_ignored_signals(void);

/* Name of a helper program (rf-sentry, rf-gofer): beside this executable, or in its libexec. -1 and
 * *e. */
int launch_helper_path(const char *name, char *out, size_t size, struct launch_error *e);

/* The platform for "auto" and the named ones; *name borrowed static. */
int launch_platform_choose(const char *wanted, int kvm_fd, int log_fd, const char **name,
                           struct launch_error *e);
