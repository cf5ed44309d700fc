/* Hooks of config.json: programs of the host that are run at set moments, with the container's
 * state on standard input.
 *
 *   creating  prestart, createRuntime (our namespaces); createContainer (the container's host ones)
 *   start     startContainer (inside, see create.c), poststart
 *   delete    poststop
 *
 * A failure of the first four is the verb's failure; of the last two a line in the log. */
#pragma once

#include "runrf.h"

/* Runs config's hooks.<name>, in order; stops at the first that fails. netns_pid: 0, or a process
 * whose network namespace the hooks are to be in. */
int hooks_run(const json_t *config, const char *name, const json_t *state, pid_t netns_pid,
              struct rf_error *e);
/* The same, all of them, failures logged. */
void hooks_run_lenient(const json_t *config, const char *name, const json_t *state);
