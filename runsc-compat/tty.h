/* Terminals: a pty whose master goes to --console-socket, as runc's clients expect. */
#pragma once

#include "runrf.h"

/* Make a pty of that size (0, 0: none set), send its master to the socket at path; *slave is ours.
 */
int tty_console(const char *socket_path, unsigned rows, unsigned columns, int *slave,
                struct rf_error *e);
/* The same without a socket: *master stays with us. */
int tty_open(unsigned rows, unsigned columns, int *master, int *slave, struct rf_error *e);
