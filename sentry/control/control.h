/* The control room: who starts containers, looks at them and ends them from outside.
 *
 * One thread, the sentry's main thread, listens to all clients (include/control.h). What may block
 * on a gofer or on a guest's memory is done by a worker thread for that client, which is not
 * listened to meanwhile; so a client has one request out at a time, and no client can hold up
 * another. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* The sandbox's own configuration. Strings live as long as the process. */
struct sandbox_config {
    const char *hostname, *platform, *network, *strace;
    uint64_t memory_limit, memory_total;
    unsigned cpus;
    bool stats;
};
/* Read everything from fd. 0, or a negative errno with *bad naming the key at fault. */
int sandbox_config_read(int fd, struct sandbox_config *c, const char **bad);

/* First of all: the connection to the starter, for last words; and, while host calls are free, what
 * the server needs. signals: host signals sent to the sentry are the root container's. */
void control_open(int first_client, int listener);
int control_init(bool signals);
/* Last words to the starter, then the end of the process. */
_Noreturn void control_fail(int exit_status, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Serve until the root container has ended, or nobody is left who could create one. Ends the
 * process with its init's status. */
_Noreturn void control_serve(const struct sandbox_config *c);
