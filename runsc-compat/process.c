/* "process" of config.json, also as exec --process gives it. */
#include "convert.h"
#include "spec.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/capability.h>
#include <sys/resource.h>

static const struct {
    const char *name;
    int resource;
} g_rlimits[] = {
    {"RLIMIT_AS", RLIMIT_AS},
    {"RLIMIT_CORE", RLIMIT_CORE},
    {"RLIMIT_CPU", RLIMIT_CPU},
    {"RLIMIT_DATA", RLIMIT_DATA},
    {"RLIMIT_FSIZE", RLIMIT_FSIZE},
    {"RLIMIT_LOCKS", RLIMIT_LOCKS},
    {"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK},
    {"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE},
    {"RLIMIT_NICE", RLIMIT_NICE},
    {"RLIMIT_NOFILE", RLIMIT_NOFILE},
    {"RLIMIT_NPROC", RLIMIT_NPROC},
    {"RLIMIT_RSS", RLIMIT_RSS},
    {"RLIMIT_RTPRIO", RLIMIT_RTPRIO},
    {"RLIMIT_RTTIME", RLIMIT_RTTIME},
    {"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING},
    {"RLIMIT_STACK", RLIMIT_STACK},
};

static int rlimit_by_name(const char *name)
{
    for (size_t i = 0; i < sizeof(g_rlimits) / sizeof(g_rlimits[0]); i++)
        if (!strcmp(g_rlimits[i].name, name))
            return g_rlimits[i].resource;
    return -1;
}

static int convert_rlimits(const json_t *process, struct rf_arena *a, struct sb_process *out,
                           struct rf_error *e)
{
    size_t n = spec_count(process, "rlimits");
    struct sb_rlimit *list = arena_alloc(a, n, sizeof(*list));
    bool seen[RLIM_NLIMITS] = {false};
    if (!list)
        return rf_no_memory(e);
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(spec_get(process, "rlimits"), i);
        const char *name = spec_string(item, "type", "");
        int r = rlimit_by_name(name);
        if (r < 0)
            return rf_fail(e, "invalid rlimit type: %.64s", name);
        if (seen[r])
            return rf_fail(e, "process.rlimits: %s is given twice", name);
        seen[r] = true;
        list[i] = (struct sb_rlimit){
            .resource = r, .soft = spec_uint(item, "soft", 0), .hard = spec_uint(item, "hard", 0)};
        if (list[i].soft > list[i].hard)
            return rf_fail(e, "error setting rlimit %s: the soft limit is above the hard one",
                           name);
    }
    out->rlimits = list;
    out->rlimit_count = n;
    return 0;
}

uint64_t convert_capability(const char *name)
{
    cap_value_t v;
    if (strncasecmp(name, "CAP_", 4) == 0 && cap_from_name(name, &v) == 0 && v >= 0 && v < 64)
        return UINT64_C(1) << v;
    rf_log(RF_WARNING, "ignoring unknown or unavailable capability %.64s", name);
    return 0;
}

static uint64_t capability_set(const json_t *process, const char *which)
{
    char path[64];
    uint64_t mask = 0;
    size_t i;
    json_t *item;
    snprintf(path, sizeof(path), "capabilities.%s", which);
    json_array_foreach(spec_get(process, path), i, item)
    {
        const char *name = json_string_value(item);
        mask |= name ? convert_capability(name) : 0;
    }
    return mask;
}

static void convert_capabilities(const json_t *process, struct sb_process *out)
{
    static const char *const names[] = {[SB_CAP_BOUNDING] = "bounding",
                                        [SB_CAP_EFFECTIVE] = "effective",
                                        [SB_CAP_INHERITABLE] = "inheritable",
                                        [SB_CAP_PERMITTED] = "permitted",
                                        [SB_CAP_AMBIENT] = "ambient"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        out->caps[i] = capability_set(process, names[i]);
    /* Linux' own invariants: effective within permitted, ambient within both it and inheritable. */
    out->caps[SB_CAP_EFFECTIVE] &= out->caps[SB_CAP_PERMITTED];
    out->caps[SB_CAP_AMBIENT] &= out->caps[SB_CAP_PERMITTED] & out->caps[SB_CAP_INHERITABLE];
}

static int convert_user(const json_t *process, struct rf_arena *a, struct sb_process *out,
                        struct rf_error *e)
{
    size_t n = spec_count(process, "user.additionalGids");
    gid_t *groups = arena_alloc(a, n, sizeof(*groups));
    if (!groups)
        return rf_no_memory(e);
    for (size_t i = 0; i < n; i++)
        groups[i] = json_number_value(json_array_get(spec_get(process, "user.additionalGids"), i));
    out->uid = spec_uint(process, "user.uid", 0);
    out->gid = spec_uint(process, "user.gid", 0);
    out->groups = groups;
    out->group_count = n;
    out->umask =
        spec_get(process, "user.umask") ? spec_uint(process, "user.umask", 022) & 0777 : -1;
    return 0;
}

/* An argument list of our own: what spec_strings gives is not the arena's. */
static int take_strings(const json_t *obj, const char *path, struct rf_arena *a, char *const **out,
                        struct rf_error *e)
{
    size_t n = spec_count(obj, path), count = 0;
    char **list = arena_alloc(a, n + 2, sizeof(*list)); /* room for one more variable */
    if (!list)
        return rf_no_memory(e);
    for (size_t i = 0; i < n; i++) {
        const char *text = json_string_value(json_array_get(spec_get(obj, path), i));
        if (text)
            list[count++] = (char *)text;
    }
    *out = list;
    return 0;
}

static int check_process(const json_t *process, const struct sb_process *p, struct rf_error *e)
{
    if (!p->argv[0])
        return rf_fail(e, "process.args must not be empty");
    for (char *const *v = p->envp; *v; v++)
        if (!strchr(*v, '=') || (*v)[0] == '=')
            return rf_fail(e, "process.env: \"%.100s\" is not of the form NAME=VALUE", *v);
    int64_t adj = spec_int(process, "oomScoreAdj", 0);
    if (adj < -1000 || adj > 1000)
        return rf_fail(e, "process.oomScoreAdj: %lld is not between -1000 and 1000",
                       (long long)adj);
    return 0;
}

int convert_process(const json_t *process, struct rf_arena *a, struct sb_process *out,
                    struct rf_error *e)
{
    *out = (struct sb_process){.stdio = {-1, -1, -1}, .make_cwd = true, .umask = -1};
    out->cwd = spec_string(process, "cwd", "/");
    out->no_new_privs = spec_bool(process, "noNewPrivileges", false);
    out->terminal = spec_bool(process, "terminal", false);
    out->set_oom_score_adj = spec_get(process, "oomScoreAdj") != NULL;
    out->oom_score_adj = spec_int(process, "oomScoreAdj", 0);
    if (take_strings(process, "args", a, &out->argv, e) < 0 ||
        take_strings(process, "env", a, &out->envp, e) < 0 || check_process(process, out, e) < 0 ||
        convert_user(process, a, out, e) < 0 || convert_rlimits(process, a, out, e) < 0)
        return -1;
    convert_capabilities(process, out);
    return 0;
}
