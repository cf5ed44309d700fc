/* The start configuration, parsed from key/value pairs (include/control.h) into one struct. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>

#define CONFIG_MAX_MOUNTS 64

struct config_mount {
    unsigned export_index;
    bool writable;
    const char *dest;
};

/* Strings are borrowed from the configuration text, which lives as long as the process. */
struct config {
    char **argv, **envp; /* NULL-terminated */
    unsigned argc, envc;
    const char *cwd, *hostname, *platform, *root_mode, *network, *strace;
    uint32_t uid, gid;
    uint32_t *groups;
    unsigned group_count;
    uint64_t caps, ignored;
    uint32_t umask;
    uint64_t memory_limit, memory_total;
    unsigned cpus;
    struct rlimit64 rlimits[RLIM_NLIMITS];
    struct config_mount mounts[CONFIG_MAX_MOUNTS];
    unsigned mount_count;
    int stdio[3]; /* host descriptor of guest descriptor 0, 1, 2; -1: closed */
    int tty;      /* guest descriptor that is the terminal, or -1 */
    bool stats;
};

/* Read everything from fd. 0, or a negative errno with *bad naming the key at fault. */
int config_read(int fd, struct config *c, const char **bad);
