/* Private to main: building what the first process sees. */
#pragma once

struct config;
struct fdtable;
struct gofer;
struct kernel_init_args;
struct mount_ns;
struct tty;

/* The mount tree: the root from export 0, then /proc, /sys, /dev, and the further exports. *what
 * names the step that failed. */
int setup_mounts(const struct config *c, struct gofer *g, struct mount_ns **out, const char **what);

/* Descriptors 0 to 2 from the launcher's, and the terminal among them (or NULL). */
int setup_stdio(const struct config *c, struct fdtable **out, struct tty **tty);
