/* The state directory: ROOT/ID holds "lock", "state.json", the sandbox's "control.sock".
 *
 * A verb opens a container with state_open (which takes its lock) or state_peek (which does not,
 * and sees the last complete state.json). Status is never believed from the file alone:
 * state_refresh asks the processes.
 *
 *   creating ─(create done)→ created ─(start)→ running ⇄ paused → stopped ─(delete)→ gone */
#pragma once

#include "launch/sandbox.h"

#include "runrf.h"
#include <limits.h>

enum rf_status { RF_CREATING, RF_CREATED, RF_RUNNING, RF_PAUSED, RF_STOPPED };
extern const char *const g_status_names[];

struct rf_state {
    char id[256];
    char dir[PATH_MAX];
    int lock_fd;  /* -1: peeked */
    json_t *json; /* what state.json holds; see state_new */
    enum rf_status status;
};

/* Names as runc allows them. 0 or -1 and *e. */
int state_check_id(const char *id, struct rf_error *e);
/* Make the directory, take the lock. The id must be free: "container with id exists: X". */
int state_new(const char *id, struct rf_state *s, struct rf_error *e);
/* Open, lock and refresh. No such container: "container does not exist". */
int state_open(const char *id, struct rf_state *s, struct rf_error *e);
/* The same for a forced deletion: whoever holds the lock for more than half a second is ended. */
int state_open_force(const char *id, struct rf_state *s, struct rf_error *e);
int state_peek(const char *id, struct rf_state *s, struct rf_error *e);
int state_save(struct rf_state *s, struct rf_error *e);
/* Remove the directory. Keeps the lock until state_close. */
void state_remove(struct rf_state *s);
void state_close(struct rf_state *s);
void state_refresh(struct rf_state *s);
/* The container's lock let go early: what follows may take long. */
void state_unlock(struct rf_state *s);

/* As hooks and the verb "state" see it (json_decref). status: as given. */
json_t *state_document(const struct rf_state *s, enum rf_status status);

/* Ids under the state directory: malloc'd NULL-terminated array of malloc'd strings. */
char **state_ids(void);

pid_t state_pid(const struct rf_state *s); /* 0: none */
/* Of the sandbox: its sentry, and the directory of its socket. */
pid_t state_sentry(const struct rf_state *s, uint64_t *start_time);
const char *state_sandbox_dir(const struct rf_state *s);
/* Is this container the sandbox's first? */
bool state_is_root(const struct rf_state *s);
void state_set_string(struct rf_state *s, const char *key, const char *value);
void state_set_int(struct rf_state *s, const char *key, int64_t value);

/* Is the process of this pid the one that started then, and no zombie? */
bool rf_process_alive(pid_t pid, uint64_t start_time);

/* Connect to the container's sandbox. */
int state_connect(const struct rf_state *s, struct sandbox *sb, struct rf_error *e);
