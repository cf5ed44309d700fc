/* Private to cli/: one command, one line in the table of main.c. */
#pragma once

#include "launch/sandbox.h"

#include <stdbool.h>
#include <stddef.h>

struct cli_command {
    const char *name;
    const char *args;                  /* for the usage line */
    const char *summary;               /* one line */
    int (*run)(int argc, char **argv); /* argv[0] is the command's name; returns the exit status */
};

int cmd_do(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_exec(int argc, char **argv);
int cmd_kill(int argc, char **argv);
int cmd_ps(int argc, char **argv);
int cmd_stacks(int argc, char **argv);
int cmd_stats(int argc, char **argv);
int cmd_trace(int argc, char **argv);

/* "ringfence: …" on stderr; returns status. */
int cli_error(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- registry.c: sandboxes that can be looked into ---- */

#define CLI_CONTAINER "main" /* id of the one container of ringfence's own sandboxes */
#define CLI_ID_MAX    48

struct registration {
    char dir[200], socket_name[64];
    bool made;
};
/* Where the sandbox of this process is to listen; clears away what dead launchers left. name: NULL
 * for this process's number. Failing to find a place is no error: then nobody can look inside. -1
 * and an error printed: the name is taken or malformed. */
int registry_enter(struct registration *r, const char *name);
void registry_leave(struct registration *r);
/* Call fn for each living sandbox, in order of names; stale entries are removed. */
void registry_each(void (*fn)(void *arg, const char *id, struct sandbox *s), void *arg);
/* Connect to one by name; an error is printed. 0 or an exit status. */
int registry_connect(const char *id, struct sandbox *s);

/* ---- flags that several commands share ---- */

extern const char g_cli_env_help[];
/* A copy of our environment in which assignments can be set; NULL: no memory. */
struct cli_env {
    char **list; /* owned array, borrowed strings, NULL-terminated */
    unsigned count;
};
int cli_env_inherit(struct cli_env *env);
int cli_env_set(struct cli_env *env, char *assignment);
/* Ids, groups, umask, ignored signals and descriptors of this process. groups: owned by the caller.
 */
int cli_process_defaults(struct sb_process *p, gid_t **groups);
/* All capabilities for root, none for others. */
void cli_process_caps(struct sb_process *p);
int cli_number(const char *flag, const char *text, uint64_t max, uint64_t *out);
