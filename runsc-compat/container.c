/* The rest of config.json → struct sb_container. */
#include "convert.h"
#include "spec.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static int convert_devices(const json_t *config, struct rf_arena *a, struct sb_container *out,
                           struct rf_error *e)
{
    size_t n = spec_count(config, "linux.devices");
    struct sb_device *list = arena_alloc(a, n, sizeof(*list));
    if (!list)
        return rf_no_memory(e);
    for (size_t i = 0; i < n; i++) {
        const json_t *d = json_array_get(spec_get(config, "linux.devices"), i);
        list[i] = (struct sb_device){.path = spec_string(d, "path", ""),
                                     .type = spec_string(d, "type", "c")[0],
                                     .major = spec_uint(d, "major", 0),
                                     .minor = spec_uint(d, "minor", 0),
                                     .mode = spec_uint(d, "fileMode", 0666) & 07777,
                                     .uid = spec_uint(d, "uid", 0),
                                     .gid = spec_uint(d, "gid", 0)};
        if (list[i].type == 'u')
            list[i].type = 'c';
    }
    out->devices = list;
    out->device_count = n;
    out->default_devices = true;
    return 0;
}

static int convert_sysctl(const json_t *config, struct rf_arena *a, struct sb_container *out,
                          struct rf_error *e)
{
    json_t *map = spec_get(config, "linux.sysctl"), *value;
    const char *key;
    size_t n = 0;
    const char **list = arena_alloc(a, json_object_size(map) + 1, sizeof(*list));
    if (!list)
        return rf_no_memory(e);
    json_object_foreach(map, key, value)
    {
        list[n++] = arena_format(a, "%s=%s", key, json_string_value(value));
        if (!list[n - 1])
            return rf_no_memory(e);
    }
    out->sysctl = list;
    return 0;
}

static int convert_paths(const json_t *config, const char *path, struct rf_arena *a,
                         const char *const **out, struct rf_error *e)
{
    size_t n = spec_count(config, path);
    const char **list = arena_alloc(a, n + 1, sizeof(*list));
    if (!list)
        return rf_no_memory(e);
    for (size_t i = 0; i < n; i++)
        list[i] = json_string_value(json_array_get(spec_get(config, path), i));
    *out = list;
    return 0;
}

static unsigned long propagation(const json_t *config)
{
    static const struct {
        const char *name;
        unsigned long flags;
    } known[] = {{"private", MS_PRIVATE},       {"rprivate", MS_PRIVATE | MS_REC},
                 {"shared", MS_SHARED},         {"rshared", MS_SHARED | MS_REC},
                 {"slave", MS_SLAVE},           {"rslave", MS_SLAVE | MS_REC},
                 {"unbindable", MS_UNBINDABLE}, {"runbindable", MS_UNBINDABLE | MS_REC}};
    const char *name = spec_string(config, "linux.rootfsPropagation", "");
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (!strcmp(known[i].name, name))
            return known[i].flags;
    return 0;
}

void convert_limits(const json_t *resources, struct sb_limits *out)
{
    *out = (struct sb_limits){.memory = spec_int(resources, "memory.limit", 0),
                              .cpu_quota_us = spec_int(resources, "cpu.quota", 0),
                              .cpu_period_us = spec_int(resources, "cpu.period", 0),
                              .cpu_shares = spec_int(resources, "cpu.shares", 0),
                              .pids = spec_int(resources, "pids.limit", 0)};
    if (out->cpu_quota_us && !out->cpu_period_us)
        out->cpu_period_us = 100000;
}

static int convert_root(const json_t *config, const char *bundle, struct rf_arena *a,
                        struct sb_container *out, struct rf_error *e)
{
    struct stat st;
    const char *path = spec_string(config, "root.path", "");
    out->rootfs = path[0] == '/' ? path : arena_format(a, "%s/%s", bundle, path);
    char *real = out->rootfs ? realpath(out->rootfs, NULL) : NULL;
    if (!real || stat(real, &st) < 0) {
        free(real);
        return rf_fail(e, "rootfs (%s) does not exist", out->rootfs ? out->rootfs : path);
    }
    out->rootfs = arena_format(a, "%s", real);
    free(real);
    if (!out->rootfs)
        return rf_no_memory(e);
    if (!S_ISDIR(st.st_mode))
        return rf_fail(e, "rootfs (%s) is not a directory", out->rootfs);
    out->root_readonly = spec_bool(config, "root.readonly", false);
    out->root_mode = !strcmp(g_rf.overlay, "none") ? "rw" : "overlay";
    out->root_shared = !strcmp(g_rf.file_access, "shared");
    return 0;
}

static int convert_names(const json_t *config, struct sb_container *out, struct rf_error *e)
{
    out->hostname = spec_string(config, "hostname", NULL);
    out->domainname = spec_string(config, "domainname", NULL);
    if (out->hostname && strlen(out->hostname) > 64)
        return rf_fail(e, "hostname: longer than 64 bytes");
    if (out->domainname && strlen(out->domainname) > 64)
        return rf_fail(e, "domainname: longer than 64 bytes");
    if (out->hostname && !*out->hostname)
        out->hostname = NULL;
    if (out->domainname && !*out->domainname)
        out->domainname = NULL;
    return 0;
}

int convert_container(const json_t *config, const char *bundle, struct rf_arena *a,
                      struct sb_container *out, struct rf_error *e)
{
    *out = (struct sb_container){.root_propagation = propagation(config)};
    convert_limits(spec_get(config, "linux.resources"), &out->limits);
    if (convert_root(config, bundle, a, out, e) < 0 || convert_names(config, out, e) < 0 ||
        convert_mounts(config, bundle, a, out, e) < 0 || convert_devices(config, a, out, e) < 0 ||
        convert_sysctl(config, a, out, e) < 0 ||
        convert_paths(config, "linux.maskedPaths", a, &out->masked_paths, e) < 0 ||
        convert_paths(config, "linux.readonlyPaths", a, &out->readonly_paths, e) < 0 ||
        convert_idmaps(config, "linux.uidMappings", a, &out->uid_maps, &out->uid_map_count, e) <
            0 ||
        convert_idmaps(config, "linux.gidMappings", a, &out->gid_maps, &out->gid_map_count, e) <
            0 ||
        convert_process(spec_get(config, "process"), a, &out->process, e) < 0)
        return -1;
    return convert_seccomp(spec_get(config, "linux.seccomp"), a, &out->process.seccomp, e);
}
