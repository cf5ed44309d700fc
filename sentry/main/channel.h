/* Private to main: the sentry's end of the control channel (include/control.h). */
#pragma once

#include <stdbool.h>

void control_open(int fd);
/* Last words, then the end of the process. */
_Noreturn void control_fail(int exit_status, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
_Noreturn void control_exited(int wait_status, bool stats);
/* The first process has stopped by this signal. */
void control_stopped(int sig);
/* Start the thread that listens to the launcher; its end of file ends the sandbox. */
int control_serve(void);
