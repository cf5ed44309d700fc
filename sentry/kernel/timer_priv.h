/* Between itimer.c and posix_timer.c. */
#pragma once
#include "kernel/kernel_priv.h"

/* Fire the process's POSIX timers on CPU clocks that are due; lower *wait to the next one's. */
void posix_cpu_timers_look_locked(struct process *p, int64_t *wait);
