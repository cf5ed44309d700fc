/* Starting a sandbox: from a description of what to run to two confined processes and an exit
 * status. Used by the command line (cli/) and by the OCI runtime.
 *
 * launch_start: platform choice → exports opened → gofer and sentry started, each in its own
 * namespaces. launch_wait: forwards signals, waits for the sentry's last word, cleans up.
 *
 * Errors are sentences: functions fill struct launch_error (what failed, on what, why, what to do).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct launch_error {
    int status;     /* exit status to use: RF_EXIT_* */
    char text[512]; /* without "ringfence: " in front, without newline */
};
void launch_fail(struct launch_error *e, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

struct launch_export {
    const char *host_path; /* outside */
    const char *dest;      /* inside, absolute */
    bool writable;
};

#define LAUNCH_MAX_EXPORTS 64

struct launch_spec {
    char *const *argv;     /* NULL-terminated; argv[0] is looked up in PATH inside */
    char *const *envp;     /* NULL-terminated */
    const char *cwd;       /* inside */
    const char *rootfs;    /* host directory that becomes / */
    const char *root_mode; /* "overlay", "ro", "rw" */
    struct launch_export exports[LAUNCH_MAX_EXPORTS];
    unsigned export_count;
    const char *platform; /* "auto", "systrap", "kvm" */
    const char *network;  /* "none", "host", "sandbox" */
    const char *hostname; /* NULL: the host's */
    uint32_t uid, gid;
    const gid_t *groups;
    unsigned group_count;
    uint64_t memory_limit; /* bytes, 0 = none */
    unsigned cpus;         /* 0 = as many as outside */
    const char *strace;    /* NULL: off; "": everything; else a set */
    const char *debug_log; /* file name, or NULL */
    bool stats;
};

struct launch {
    pid_t sentry_pid, gofer_pid;
    int control_fd; /* ours of the control channel */
    int sentry_pidfd, gofer_pidfd;
};

/* 0, or -1 with *e filled; nothing is left behind on failure. */
int launch_start(const struct launch_spec *s, struct launch *l, struct launch_error *e);
/* First of all, in main: where descriptor 0, 1 or 2 is closed, hold the place with /dev/null, so
 * that none of ours lands there and is taken for the program's. Inside it is closed as well. */
void launch_stdio_hold(void);

/* Wait to the end, forwarding this process's signals. Returns the exit status to leave with
 * (128+n for a signal). A sandbox that broke is a sentence in *e and 125. */
int launch_wait(struct launch *l, const struct launch_spec *s, struct launch_error *e);

/* Name of a helper program (rf-sentry, rf-gofer): beside this executable, or in its libexec. -1 and
 * *e. */
int launch_helper_path(const char *name, char *out, size_t size, struct launch_error *e);

/* The platform for "auto" and the named ones; *name borrowed static. */
int launch_platform_choose(const char *wanted, int kvm_fd, int log_fd, const char **name,
                           struct launch_error *e);

/* Start a helper process in fresh pid, mount, network, ipc, uts and cgroup namespaces (and, for an
 * ordinary user, a user namespace that holds its own id alone). Returns as fork does: 0 in the
 * child, which then calls launch_isolate_child; the child's pid and *pidfd in the parent; or a
 * negative errno. */
pid_t launch_isolate_fork(int *pidfd);
/* 0 or a negative errno with *step naming what failed. */
int launch_isolate_child(const char **step);
