/* The sentry's own confinement: what a compromised sentry is left with. See docs/architecture.md.
 */
#pragma once

#include <stdbool.h>

/* die_with_parent: the launcher stays, and we are to end with it.
 * First step, single-threaded, before anything of a guest is read: an empty read-only root, no
 * privilege to regain (nobody, where we were root), no capabilities, no_new_privs. 0 or a negative
 * errno with *step. */
int confine_enter(bool die_with_parent, const char **step);

/* Last step before guest code runs: the list of host calls, enforced for all threads to come. */
int confine_seccomp(bool host_network);

/* One line per allowed call with its reason, and the count, on stdout: --print-seccomp. */
void confine_print(bool host_network);

/* Make a host call that the list does not have. Returns only if the list has failed to stop it. */
void confine_break(void);
