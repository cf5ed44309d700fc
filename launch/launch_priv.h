/* Private to launch/. */
#pragma once
#include "launch/launch.h"

/* Write the configuration (include/control.h) of s into an unnamed file; its descriptor or -1 and
 * *e. */
extern bool g_launch_stdio_closed[3]; /* const after launch_stdio_hold */
int launch_config_write(const struct launch_spec *s, const char *platform, struct launch_error *e);
