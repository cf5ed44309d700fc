/* Host cgroups of a container: found by mountinfo, in v1, v2 or both at once (hybrid); by the
 * cgroupfs driver, or by systemd's over D-Bus.
 *
 *   cgroup_place   where the container's cgroups are to be (from cgroupsPath)
 *   cgroup_create  make them and write the limits; on failure what was made is removed
 *   cgroup_join    in a child of the launcher: this process into all of them
 *   cgroup_destroy remove them, with whatever still runs in them
 *
 * The set goes into state.json as {"memory": "/sys/fs/cgroup/memory/x", …}; a v2 hierarchy is "".
 */
#pragma once

#include "runrf.h"

#include <limits.h>

#define CGROUP_MAX 24

struct cgroup {
    char controllers[64]; /* "memory", "cpu,cpuacct", "name=systemd"; "": v2 */
    char path[PATH_MAX];  /* the directory */
    char mountpoint[256];
    bool joined; /* false: our processes stay out of it (see cgroup_create) */
};

struct cgroup_set {
    struct cgroup items[CGROUP_MAX];
    unsigned count;
};

/* config: the whole document. */
int cgroup_place(const json_t *config, const char *id, struct cgroup_set *set, struct rf_error *e);
/* resources: linux.resources or NULL. */
int cgroup_create(struct cgroup_set *set, const json_t *resources, struct rf_error *e);
int cgroup_update(const struct cgroup_set *set, const json_t *resources, struct rf_error *e);
/* Async-signal-safe. 0 or a negative errno. */
int cgroup_join(const struct cgroup_set *set);
void cgroup_destroy(const struct cgroup_set *set);

json_t *cgroup_to_json(const struct cgroup_set *set);
void cgroup_from_json(const json_t *v, struct cgroup_set *set);

/* The directory of a controller (v1) or of the unified hierarchy (v2); NULL: there is none. */
const char *cgroup_dir(const struct cgroup_set *set, const char *controller, bool *v2);
/* A file's first number; 0 when there is none. */
uint64_t cgroup_read_number(const struct cgroup_set *set, const char *controller, const char *v1,
                            const char *v2);
bool cgroup_v2_only(void);

/* cgroup_limits.c: writes what resources asks for. */
int cgroup_write_limits(const struct cgroup_set *set, const json_t *resources, struct rf_error *e);
/* cgroup_systemd.c: have systemd make slice:prefix:name; -1: there is no systemd to ask. */
bool cgroup_systemd_path(const char *cgroups_path, const char *id, char *out, size_t size);
bool cgroup_systemd_start(const char *cgroups_path, const char *id, pid_t pid);
void cgroup_systemd_stop(const char *cgroups_path, const char *id);
