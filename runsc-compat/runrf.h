/* Private to runsc-compat/: the OCI runtime command.
 *
 * A verb is one file cmd_<verb>.c and one line in the table of main.c. What verbs share is in the
 * library part: spec (config.json), state (the state directory), cgroup, hooks, ns, seccomp, tty.
 *
 * Errors: functions return 0, or -1 with a sentence in struct rf_error; a verb ends with
 * rf_fatal(), which writes the sentence as runc's clients expect it. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* ---- errors and the log ---- */

struct rf_error {
    char text[1024];
};

/* Sets the sentence; returns -1, so that "return rf_fail(e, …)" reads well. */
int rf_fail(struct rf_error *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

enum rf_level { RF_DEBUG, RF_INFO, RF_WARNING, RF_ERROR };

/* A line in --log (or stderr without it), in --log-format. Debug lines only with --debug. */
void rf_log(enum rf_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The last word of a failed verb: into the log, and on stderr. Returns the exit status. */
int rf_fatal(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* 0 or -1 and *e. */
int rf_log_open(struct rf_error *e);

/* ---- global flags ---- */

struct rf_options {
    const char *root; /* state directory; never NULL after main's defaults */
    const char *log, *log_format;
    const char *platform, *network, *overlay, *file_access, *rootless;
    const char *debug_log, *strace;
    bool debug, systemd_cgroup, ignore_cgroups, strace_all;
    bool rootless_now; /* we are not root of the machine, or --rootless=true */
};
extern struct rf_options g_rf;

/* ---- flags of a verb ---- */

enum rf_flag_kind { RF_FLAG_BOOL, RF_FLAG_STRING, RF_FLAG_INT, RF_FLAG_LIST, RF_FLAG_IGNORED };

struct rf_list {
    const char **items;
    size_t count;
};

struct rf_flag {
    const char *name;
    char letter; /* 0: none */
    enum rf_flag_kind kind;
    void *value;      /* bool *, const char **, int *, struct rf_list *; NULL for IGNORED */
    const char *arg;  /* NULL: takes none (BOOL and IGNORED only) */
    const char *help; /* one line */
};

#define RF_FLAGS_END                                                                               \
    {                                                                                              \
        0                                                                                          \
    }
#define RF_FLAGS_MAX 96

/* How many positional arguments a verb takes. */
struct rf_usage {
    const char *args; /* for the usage line */
    int min_args, max_args;
};

/* Parses argv (argv[0] is the verb). Returns the index of the first positional argument, or -1
 * when the verb is to end with *status (help was printed, or the flags were wrong). */
int rf_parse(int argc, char **argv, const struct rf_flag *flags, const struct rf_usage *u,
             int *status);
void rf_print_flags(const struct rf_flag *flags);

/* ---- verbs ---- */

struct rf_command {
    const char *name;
    const char *summary;
    int (*run)(int argc, char **argv);
};

int cmd_create(int argc, char **argv);
int cmd_delete(int argc, char **argv);
int cmd_do(int argc, char **argv);
int cmd_events(int argc, char **argv);
int cmd_exec(int argc, char **argv);
int cmd_features(int argc, char **argv);
int cmd_kill(int argc, char **argv);
int cmd_list(int argc, char **argv);
int cmd_pause(int argc, char **argv);
int cmd_ps(int argc, char **argv);
int cmd_resume(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_spec(int argc, char **argv);
int cmd_start(int argc, char **argv);
int cmd_state(int argc, char **argv);
int cmd_update(int argc, char **argv);
int cmd_wait(int argc, char **argv);

/* ---- small tools ---- */

/* RFC 3339 with nanoseconds, UTC, as Go prints a time. out has 40 bytes. */
void rf_time_now(char *out, size_t size);
/* Whole file as a NUL-terminated string (free), at most max bytes. NULL and errno. */
char *rf_read_file(const char *path, size_t max, size_t *size);
/* 0 or a negative errno. */
int rf_write_file(const char *path, const char *text);
/* Written beside and renamed, so that readers see the old or the new. 0 or a negative errno. */
int rf_write_file_atomic(const char *path, const char *text, size_t size);
int rf_mkdir_p(const char *path, mode_t mode);
/* snprintf that reports truncation: 0 or -ENAMETOOLONG. */
int rf_format(char *out, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
