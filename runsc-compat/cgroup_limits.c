/* linux.resources → files of the cgroups. One table, a line per field; fields that need more than
 * a number have a function each. */
#include "cgroup.h"
#include "spec.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum form {
    NUMBER,       /* as it is */
    MAX_IF_MINUS, /* v2: -1 is "max" */
    SHARES,       /* v2: cpu.weight */
    FLAG,
    TEXT,
    BLKIO_WEIGHT, /* v2: "default N" */
};

static const struct limit {
    const char *field, *controller, *v1, *v2;
    enum form form;
    bool optional; /* a host without it is no error: it is logged */
} g_limits[] = {
    {"memory.reservation", "memory", "memory.soft_limit_in_bytes", "memory.low", MAX_IF_MINUS},
    {"memory.kernelTCP", "memory", "memory.kmem.tcp.limit_in_bytes", NULL, NUMBER, true},
    {"memory.swappiness", "memory", "memory.swappiness", NULL, NUMBER, true},
    {"memory.disableOOMKiller", "memory", "memory.oom_control", NULL, FLAG, true},
    {"memory.useHierarchy", "memory", "memory.use_hierarchy", NULL, FLAG, true},
    {"cpu.shares", "cpu", "cpu.shares", "cpu.weight", SHARES},
    {"cpu.burst", "cpu", "cpu.cfs_burst_us", "cpu.max.burst", NUMBER, true},
    {"cpu.realtimePeriod", "cpu", "cpu.rt_period_us", NULL, NUMBER, true},
    {"cpu.realtimeRuntime", "cpu", "cpu.rt_runtime_us", NULL, NUMBER, true},
    {"cpu.idle", "cpu", "cpu.idle", "cpu.idle", NUMBER, true},
    {"cpu.cpus", "cpuset", "cpuset.cpus", "cpuset.cpus", TEXT},
    {"cpu.mems", "cpuset", "cpuset.mems", "cpuset.mems", TEXT},
    {"pids.limit", "pids", "pids.max", "pids.max", MAX_IF_MINUS},
    {"blockIO.weight", "blkio", "blkio.weight", "io.bfq.weight", BLKIO_WEIGHT, true},
    {"blockIO.leafWeight", "blkio", "blkio.leaf_weight", NULL, NUMBER, true},
    {"network.classID", "net_cls", "net_cls.classid", NULL, NUMBER, true},
};

static int write_limit(const struct cgroup_set *set, const char *controller, const char *v1,
                       const char *v2, const char *value)
{
    bool is_v2;
    char path[PATH_MAX + 64];
    const char *dir = cgroup_dir(set, controller, &is_v2);
    const char *file = is_v2 ? v2 : v1;
    if (!dir || !file)
        return -ENOENT;
    snprintf(path, sizeof(path), "%s/%s", dir, file);
    return rf_write_file(path, value);
}

static bool is_v2(const struct cgroup_set *set, const char *controller)
{
    bool v2;
    return cgroup_dir(set, controller, &v2) && v2;
}

/* Shares 2…262144 ↔ weight 1…10000, as every runtime converts them. */
static uint64_t weight_of(uint64_t shares)
{
    if (shares == 0)
        return 0;
    shares = shares < 2 ? 2 : shares > 262144 ? 262144 : shares;
    return 1 + (shares - 2) * 9999 / 262142;
}

static void form_value(const struct cgroup_set *set, const struct limit *l, const json_t *resources,
                       char *out, size_t size)
{
    int64_t n = spec_int(resources, l->field, 0);
    bool v2 = is_v2(set, l->controller);
    if (l->form == TEXT)
        snprintf(out, size, "%s", spec_string(resources, l->field, ""));
    else if (l->form == FLAG)
        snprintf(out, size, "%d", spec_bool(resources, l->field, false));
    else if (l->form == MAX_IF_MINUS && (n < 0 || (n == 0 && !strcmp(l->controller, "pids"))))
        snprintf(out, size, "%s", v2 || !strcmp(l->controller, "pids") ? "max" : "-1");
    else if (l->form == SHARES && v2)
        snprintf(out, size, "%" PRIu64, weight_of(n));
    else if (l->form == BLKIO_WEIGHT && v2)
        snprintf(out, size, "default %" PRId64, n);
    else
        snprintf(out, size, "%" PRId64, n);
}

/* A limit that cannot be set: an error for those that every host has, a line in the log for others
 * and for an ordinary user, whose limits are the sentry's alone. */
static int cannot(const char *field, bool optional, int err, struct rf_error *e)
{
    if (optional || g_rf.rootless_now) {
        rf_log(RF_WARNING, "linux.resources.%s has no effect on this host: %s", field,
               strerror(-err));
        return 0;
    }
    return rf_fail(e, "linux.resources.%s: cannot write the cgroup's limit: %s", field,
                   strerror(-err));
}

static int write_table(const struct cgroup_set *set, const json_t *resources, struct rf_error *e)
{
    for (size_t i = 0; i < sizeof(g_limits) / sizeof(g_limits[0]); i++) {
        const struct limit *l = &g_limits[i];
        json_t *v = spec_get(resources, l->field);
        char value[256];
        if (!v || (l->form == TEXT && !json_string_length(v)) ||
            (json_is_number(v) && json_number_value(v) == 0 && strcmp(l->field, "cpu.idle")))
            continue;
        form_value(set, l, resources, value, sizeof(value));
        int err = write_limit(set, l->controller, l->v1, l->v2, value);
        if (err && cannot(l->field, l->optional || !l->v2 || err == -ENOENT, err, e) < 0)
            return -1;
    }
    return 0;
}

static int try_memory(const struct cgroup_set *set, int64_t limit)
{
    char text[32];
    if (limit < 0 && is_v2(set, "memory"))
        snprintf(text, sizeof(text), "max");
    else
        snprintf(text, sizeof(text), "%" PRId64, limit);
    return write_limit(set, "memory", "memory.limit_in_bytes", "memory.max", text);
}

/* v1 counts swap with memory, v2 alone. */
static int try_swap(const struct cgroup_set *set, int64_t limit, int64_t swap)
{
    char text[32];
    bool v2 = is_v2(set, "memory");
    if (swap < 0)
        snprintf(text, sizeof(text), "%s", v2 ? "max" : "-1");
    else
        snprintf(text, sizeof(text), "%" PRId64,
                 v2 && limit > 0 && swap >= limit ? swap - limit : swap);
    return write_limit(set, "memory", "memory.memsw.limit_in_bytes", "memory.swap.max", text);
}

/* v1 refuses a limit above the one with swap, and the reverse: so the second try goes first the
 * other way round. */
static int write_memory(const struct cgroup_set *set, const json_t *resources, struct rf_error *e)
{
    int64_t limit = spec_int(resources, "memory.limit", 0),
            swap = spec_int(resources, "memory.swap", 0);
    if (limit == 0 && swap == 0)
        return 0;
    if (limit > 0 && swap > 0 && swap < limit)
        return rf_fail(e,
                       "linux.resources.memory.swap: memory+swap limit should be > memory limit");
    int err = limit ? try_memory(set, limit) : 0, swap_err = swap ? try_swap(set, limit, swap) : 0;
    if (err == -EINVAL || err == -EBUSY)
        err = try_memory(set, limit);
    if (err == -EBUSY)
        return rf_fail(
            e, "linux.resources.memory.limit: %" PRId64 " bytes are less than what is in use",
            limit);
    if (swap_err)
        cannot("memory.swap", /*optional=*/true, swap_err, e);
    return err ? cannot("memory.limit", err == -ENOENT, err, e) : 0;
}

static int write_cpu(const struct cgroup_set *set, const json_t *resources, struct rf_error *e)
{
    int64_t quota = spec_int(resources, "cpu.quota", 0);
    uint64_t period = spec_uint(resources, "cpu.period", 0);
    char text[64];
    int err = 0;
    if (quota == 0 && period == 0)
        return 0;
    if (is_v2(set, "cpu")) {
        snprintf(text, sizeof(text), "%" PRId64 " %" PRIu64, quota, period ? period : 100000);
        if (quota <= 0)
            snprintf(text, sizeof(text), "max %" PRIu64, period ? period : 100000);
        err = write_limit(set, "cpu", NULL, "cpu.max", text);
    } else {
        snprintf(text, sizeof(text), "%" PRIu64, period);
        err = period ? write_limit(set, "cpu", "cpu.cfs_period_us", NULL, text) : 0;
        snprintf(text, sizeof(text), "%" PRId64, quota);
        if (!err && quota)
            err = write_limit(set, "cpu", "cpu.cfs_quota_us", NULL, text);
    }
    return err ? cannot("cpu.quota", err == -ENOENT, err, e) : 0;
}

static const char *const g_throttles[][4] = {
    {"throttleReadBpsDevice", "blkio.throttle.read_bps_device", "rbps"},
    {"throttleWriteBpsDevice", "blkio.throttle.write_bps_device", "wbps"},
    {"throttleReadIOPSDevice", "blkio.throttle.read_iops_device", "riops"},
    {"throttleWriteIOPSDevice", "blkio.throttle.write_iops_device", "wiops"},
};

static int write_throttle(const struct cgroup_set *set, const json_t *resources, int which,
                          struct rf_error *e)
{
    char field[64], text[128];
    size_t i;
    json_t *d;
    snprintf(field, sizeof(field), "blockIO.%s", g_throttles[which][0]);
    json_array_foreach(spec_get(resources, field), i, d)
    {
        snprintf(text, sizeof(text), "%" PRIu64 ":%" PRIu64 " %s%s%" PRIu64,
                 spec_uint(d, "major", 0), spec_uint(d, "minor", 0),
                 is_v2(set, "blkio") ? g_throttles[which][2] : "", is_v2(set, "blkio") ? "=" : "",
                 spec_uint(d, "rate", 0));
        int err = write_limit(set, "blkio", g_throttles[which][1], "io.max", text);
        if (err && cannot(field, /*optional=*/err == -ENOENT, err, e) < 0)
            return -1;
    }
    return 0;
}

static int write_weights(const struct cgroup_set *set, const json_t *resources, struct rf_error *e)
{
    size_t i;
    json_t *d;
    char text[96];
    json_array_foreach(spec_get(resources, "blockIO.weightDevice"), i, d)
    {
        snprintf(text, sizeof(text), "%" PRIu64 ":%" PRIu64 " %" PRIu64, spec_uint(d, "major", 0),
                 spec_uint(d, "minor", 0), spec_uint(d, "weight", 0));
        int err = write_limit(set, "blkio", "blkio.weight_device", "io.bfq.weight", text);
        if (err)
            cannot("blockIO.weightDevice", /*optional=*/true, err, e);
    }
    return 0;
}

static int write_hugepages(const struct cgroup_set *set, const json_t *resources,
                           struct rf_error *e)
{
    size_t i;
    json_t *h;
    json_array_foreach(spec_get(resources, "hugepageLimits"), i, h)
    {
        char v1[96], v2[96], text[32];
        const char *size = spec_string(h, "pageSize", "");
        if (strchr(size, '/') || strlen(size) > 16)
            return rf_fail(e, "linux.resources.hugepageLimits: pageSize \"%.32s\"", size);
        snprintf(v1, sizeof(v1), "hugetlb.%s.limit_in_bytes", size);
        snprintf(v2, sizeof(v2), "hugetlb.%s.max", size);
        snprintf(text, sizeof(text), "%" PRIu64, spec_uint(h, "limit", 0));
        int err = write_limit(set, "hugetlb", v1, v2, text);
        if (err && cannot("hugepageLimits", /*optional=*/false, err, e) < 0)
            return -1;
    }
    return 0;
}

static int write_priorities(const struct cgroup_set *set, const json_t *resources,
                            struct rf_error *e)
{
    size_t i;
    json_t *p;
    json_array_foreach(spec_get(resources, "network.priorities"), i, p)
    {
        char text[300];
        snprintf(text, sizeof(text), "%.255s %" PRIu64, spec_string(p, "name", ""),
                 spec_uint(p, "priority", 0));
        int err = write_limit(set, "net_prio", "net_prio.ifpriomap", NULL, text);
        if (err)
            cannot("network.priorities", /*optional=*/true, err, e);
    }
    return 0;
}

static int write_unified(const struct cgroup_set *set, const json_t *resources, struct rf_error *e)
{
    const char *key;
    json_t *value;
    json_object_foreach(spec_get(resources, "unified"), key, value)
    {
        if (strchr(key, '/') || !strchr(key, '.'))
            return rf_fail(e, "linux.resources.unified: \"%.64s\" is not a cgroup file", key);
        int err = write_limit(set, "unified", NULL, key, json_string_value(value));
        if (err)
            return rf_fail(e, "linux.resources.unified: %.64s: %s", key, strerror(-err));
    }
    return 0;
}

/* v1 alone: v2 has no such files, and what guests can reach is what is in their /dev anyway. */
static void write_devices(const struct cgroup_set *set, const json_t *resources)
{
    size_t i;
    json_t *d;
    json_array_foreach(spec_get(resources, "devices"), i, d)
    {
        char text[64], major[24] = "*", minor[24] = "*";
        const char *type = spec_string(d, "type", "a");
        int64_t ma = spec_int(d, "major", -1), mi = spec_int(d, "minor", -1);
        if (ma >= 0)
            snprintf(major, sizeof(major), "%" PRId64, ma);
        if (mi >= 0)
            snprintf(minor, sizeof(minor), "%" PRId64, mi);
        if (type[0] == 'a')
            snprintf(text, sizeof(text), "a");
        else
            snprintf(text, sizeof(text), "%s %s:%s %.8s", type, major, minor,
                     spec_string(d, "access", "rwm"));
        int err = write_limit(set, "devices",
                              spec_bool(d, "allow", false) ? "devices.allow" : "devices.deny", NULL,
                              text);
        if (err)
            rf_log(RF_DEBUG, "devices cgroup: %s: %s", text, strerror(-err));
    }
}

int cgroup_write_limits(const struct cgroup_set *set, const json_t *resources, struct rf_error *e)
{
    if (!resources)
        return 0;
    if (!set->count) {
        rf_log(RF_DEBUG, "no cgroup: limits are the sentry's alone");
        return 0;
    }
    if (write_memory(set, resources, e) < 0 || write_cpu(set, resources, e) < 0 ||
        write_table(set, resources, e) < 0 || write_weights(set, resources, e) < 0 ||
        write_hugepages(set, resources, e) < 0 || write_priorities(set, resources, e) < 0 ||
        write_unified(set, resources, e) < 0)
        return -1;
    for (int i = 0; i < 4; i++)
        if (write_throttle(set, resources, i, e) < 0)
            return -1;
    write_devices(set, resources);
    return 0;
}
