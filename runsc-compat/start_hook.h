/* startContainer hooks: programs of the container, run inside before its own program starts. */
#pragma once

#include "state.h"

/* Runs all of them; stops at the first that fails. */
int start_hooks_run(const struct rf_state *s, struct rf_error *e);
