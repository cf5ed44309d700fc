/* update: new limits for a container, from --resources or from flags, on the host's cgroups and in
 * the sentry. */
#include "cgroup.h"
#include "convert.h"
#include "runrf.h"
#include "spec.h"
#include "state.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct update_args {
    const char *resources, *memory, *reservation, *swap, *kernel, *kernel_tcp, *quota, *period,
        *burst, *shares, *rt_period, *rt_runtime, *cpus, *mems, *pids, *weight, *idle;
};

/* "64m", "1G", "-1", plain bytes. */
static int parse_size(const char *text, int64_t *out)
{
    char *end;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    int shift = 0;
    switch (tolower((unsigned char)*end)) {
    case 'k':
        shift = 10;
        break;
    case 'm':
        shift = 20;
        break;
    case 'g':
        shift = 30;
        break;
    case 't':
        shift = 40;
        break;
    }
    end += shift != 0;
    end += shift && (*end == 'b' || *end == 'B');
    if (errno || end == text || (*end && strcmp(end, "b")) || n > (INT64_MAX >> shift))
        return -1;
    *out = n < 0 ? n : n << shift;
    return 0;
}

static int put(json_t *resources, const char *group, const char *key, const char *flag,
               const char *text, struct rf_error *e)
{
    int64_t n;
    if (!text || !*text)
        return 0;
    if (parse_size(text, &n) < 0)
        return rf_fail(e, "invalid value for --%s: %s", flag, text);
    json_t *g = json_object_get(resources, group);
    if (!g) {
        g = json_object();
        json_object_set_new(resources, group, g);
    }
    json_object_set_new(g, key, json_integer(n));
    return 0;
}

static int from_flags(json_t *r, const struct update_args *a, struct rf_error *e)
{
    const struct {
        const char *group, *key, *flag, *text;
    } all[] = {
        {"memory", "limit", "memory", a->memory},
        {"memory", "reservation", "memory-reservation", a->reservation},
        {"memory", "swap", "memory-swap", a->swap},
        {"memory", "kernel", "kernel-memory", a->kernel},
        {"memory", "kernelTCP", "kernel-memory-tcp", a->kernel_tcp},
        {"cpu", "quota", "cpu-quota", a->quota},
        {"cpu", "period", "cpu-period", a->period},
        {"cpu", "burst", "cpu-burst", a->burst},
        {"cpu", "shares", "cpu-share", a->shares},
        {"cpu", "realtimePeriod", "cpu-rt-period", a->rt_period},
        {"cpu", "realtimeRuntime", "cpu-rt-runtime", a->rt_runtime},
        {"cpu", "idle", "cpu-idle", a->idle},
        {"pids", "limit", "pids-limit", a->pids},
        {"blockIO", "weight", "blkio-weight", a->weight},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (put(r, all[i].group, all[i].key, all[i].flag, all[i].text, e) < 0)
            return -1;
    json_t *cpu = json_object_get(r, "cpu");
    if ((a->cpus || a->mems) && !cpu) {
        cpu = json_object();
        json_object_set_new(r, "cpu", cpu);
    }
    if (a->cpus)
        json_object_set_new(cpu, "cpus", json_string(a->cpus));
    if (a->mems)
        json_object_set_new(cpu, "mems", json_string(a->mems));
    return 0;
}

static json_t *resources_of(const struct update_args *a, struct rf_error *e)
{
    size_t size;
    if (!a->resources) {
        json_t *r = json_object();
        if (from_flags(r, a, e) == 0)
            return r;
        json_decref(r);
        return NULL;
    }
    char *text = rf_read_file(a->resources, SPEC_MAX_FILE, &size);
    if (!text) {
        rf_fail(e, "--resources %s: %s", a->resources, strerror(errno));
        return NULL;
    }
    json_t *r = spec_parse_part(text, size, "linux.resources", e);
    free(text);
    return r;
}

/* "0" in an update means "as it was" to runc's clients. */
static int update(struct rf_state *s, const json_t *resources, struct rf_error *e)
{
    struct sandbox sb;
    struct launch_error le = {0};
    struct sb_limits limits;
    if (s->status == RF_STOPPED)
        return rf_fail(e, "container not running");
    struct cgroup_set *set = calloc(1, sizeof(*set));
    if (!set)
        return rf_no_memory(e);
    cgroup_from_json(json_object_get(s->json, "cgroups"), set);
    int ret = cgroup_update(set, resources, e);
    free(set);
    if (ret < 0 || state_connect(s, &sb, e) < 0)
        return -1;
    convert_limits(resources, &limits);
    ret = container_update(&sb, s->id, &limits, &le);
    sandbox_close(&sb);
    if (ret < 0)
        return rf_fail(e, "%s", le.text);
    return state_save(s, e);
}

static int update_with(const char *id, const struct update_args *a)
{
    struct rf_error e;
    struct rf_state s;
    json_t *resources = resources_of(a, &e);
    if (!resources)
        return rf_fatal(1, "%s", e.text);
    int ret = state_open(id, &s, &e);
    if (ret == 0) {
        ret = update(&s, resources, &e);
        state_close(&s);
    }
    json_decref(resources);
    return ret < 0 ? rf_fatal(1, "%s", e.text) : 0;
}

int cmd_update(int argc, char **argv)
{
    struct update_args a = {0};
    const struct rf_flag flags[] = {
        {"resources", 'r', RF_FLAG_STRING, &a.resources, "FILE|-", "linux.resources, as JSON"},
        {"memory", 'm', RF_FLAG_STRING, &a.memory, "SIZE", "memory"},
        {"memory-reservation", 0, RF_FLAG_STRING, &a.reservation, "SIZE", "soft limit"},
        {"memory-swap", 0, RF_FLAG_STRING, &a.swap, "SIZE", "memory and swap, -1: unlimited"},
        {"kernel-memory", 0, RF_FLAG_STRING, &a.kernel, "SIZE", "accepted"},
        {"kernel-memory-tcp", 0, RF_FLAG_STRING, &a.kernel_tcp, "SIZE", "TCP buffers"},
        {"cpu-quota", 0, RF_FLAG_STRING, &a.quota, "US", "processor time in a period"},
        {"cpu-period", 0, RF_FLAG_STRING, &a.period, "US", "the period"},
        {"cpu-burst", 0, RF_FLAG_STRING, &a.burst, "US", "burst"},
        {"cpu-share", 0, RF_FLAG_STRING, &a.shares, "N", "relative weight"},
        {"cpu-rt-period", 0, RF_FLAG_STRING, &a.rt_period, "US", "real-time period"},
        {"cpu-rt-runtime", 0, RF_FLAG_STRING, &a.rt_runtime, "US", "real-time share"},
        {"cpu-idle", 0, RF_FLAG_STRING, &a.idle, "0|1", "idle class"},
        {"cpuset-cpus", 0, RF_FLAG_STRING, &a.cpus, "LIST", "processors"},
        {"cpuset-mems", 0, RF_FLAG_STRING, &a.mems, "LIST", "memory nodes"},
        {"pids-limit", 0, RF_FLAG_STRING, &a.pids, "N", "processes, -1: unlimited"},
        {"blkio-weight", 0, RF_FLAG_STRING, &a.weight, "N", "10 to 1000"},
        {"l3-cache-schema", 0, RF_FLAG_IGNORED, NULL, "TEXT", "ignored"},
        {"mem-bw-schema", 0, RF_FLAG_IGNORED, NULL, "TEXT", "ignored"},
        RF_FLAGS_END,
    };
    static const struct rf_usage usage = {"ID", 1, 1};
    int status, at = rf_parse(argc, argv, flags, &usage, &status);
    return at < 0 ? status : update_with(argv[at], &a);
}
