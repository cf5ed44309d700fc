/* Where cgroups are, making, joining and removing them. See cgroup.h. */
#include "cgroup.h"
#include "spec.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DESTROY_TRIES 100 /* of 10 ms */

/* ---- finding the hierarchies ---- */

static bool has_word(const char *list, const char *word)
{
    size_t len = strlen(word);
    for (const char *p = list; *p; p += strcspn(p, ","), p += *p == ',')
        if (!strncmp(p, word, len) && (p[len] == ',' || !p[len]))
            return true;
    return false;
}

/* Of a v1 mount's options, those that name controllers. */
static void controllers_of(const char *options, char *out, size_t size)
{
    static const char *const known[] = {"cpu",     "cpuacct", "cpuset",   "memory", "devices",
                                        "freezer", "net_cls", "net_prio", "blkio",  "perf_event",
                                        "hugetlb", "pids",    "rdma",     "misc"};
    *out = 0;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (has_word(options, known[i]))
            snprintf(out + strlen(out), size - strlen(out), "%s%s", *out ? "," : "", known[i]);
    const char *name = strstr(options, "name=");
    if (!*out && name)
        snprintf(out, size, "%.*s", (int)strcspn(name, ","), name);
}

/* One line of mountinfo: "ID PARENT DEV ROOT MOUNTPOINT OPTS … - TYPE SOURCE SUPEROPTS". */
static void take_mount(char *line, struct cgroup_set *set)
{
    char *dash = strstr(line, " - "), root[PATH_MAX], at[256], type[32], options[256];
    if (!dash || set->count == CGROUP_MAX ||
        sscanf(line, "%*d %*d %*s %4095s %255s", root, at) != 2 ||
        sscanf(dash, " - %31s %*s %255s", type, options) != 2 || strncmp(type, "cgroup", 6))
        return;
    struct cgroup *c = &set->items[set->count];
    *c = (struct cgroup){.joined = true};
    if (!strcmp(type, "cgroup"))
        controllers_of(options, c->controllers, sizeof(c->controllers));
    for (unsigned i = 0; i < set->count; i++)
        if (!strcmp(set->items[i].controllers, c->controllers))
            return; /* mounted twice */
    snprintf(c->mountpoint, sizeof(c->mountpoint), "%s", at);
    snprintf(c->path, sizeof(c->path), "%s", !strcmp(root, "/") ? "" : root);
    set->count++;
}

static void find_mounts(struct cgroup_set *set)
{
    set->count = 0;
    char *text = rf_read_file("/proc/self/mountinfo", 8 << 20, NULL), *save = NULL;
    for (char *l = text ? strtok_r(text, "\n", &save) : NULL; l; l = strtok_r(NULL, "\n", &save))
        take_mount(l, set);
    free(text);
}

/* This process's own cgroup in a hierarchy, as /proc/self/cgroup names it. */
static void own_path(const char *cgroups, const char *controllers, char *out, size_t size)
{
    snprintf(out, size, "/");
    for (const char *l = cgroups; l && *l; l = strchr(l, '\n'), l = l ? l + 1 : NULL) {
        char names[128] = "", *colon;
        const char *p = strchr(l, ':');
        if (!p)
            return;
        snprintf(names, sizeof(names), "%.*s", (int)strcspn(p + 1, "\n"), p + 1);
        colon = strchr(names, ':');
        if (!colon)
            continue;
        *colon = 0;
        if (strcmp(names, controllers) && !(*names && *controllers && has_word(controllers, names)))
            continue;
        p = strchr(p + 1, ':') + 1;
        snprintf(out, size, "%.*s", (int)strcspn(p, "\n"), p);
        return;
    }
}

static bool is_plain(const char *path)
{
    for (const char *p = path; *p; p += strcspn(p, "/"), p += *p == '/')
        if (!strncmp(p, "..", 2) && (!p[2] || p[2] == '/'))
            return false;
    return true;
}

/* The place of one: mountpoint + (own path, for a relative one) + path. */
static int place_one(struct cgroup *c, const char *cgroups, const char *path, struct rf_error *e)
{
    char own[PATH_MAX] = "", *rel = own;
    char root[PATH_MAX];
    snprintf(root, sizeof(root), "%s", c->path);
    if (path[0] != '/') {
        own_path(cgroups, c->controllers, own, sizeof(own));
        if (*root && !strncmp(own, root, strlen(root)))
            rel = own + strlen(root);
    }
    while (*rel && rel[strlen(rel) - 1] == '/')
        rel[strlen(rel) - 1] = 0;
    while (*path == '/')
        path++;
    if (rf_format(c->path, sizeof(c->path), "%s%s/%s", c->mountpoint, rel, path))
        return rf_fail(e, "linux.cgroupsPath: too long");
    return 0;
}

int cgroup_place(const json_t *config, const char *id, struct cgroup_set *set, struct rf_error *e)
{
    char unit[PATH_MAX];
    const char *path = spec_string(config, "linux.cgroupsPath", "");
    set->count = 0;
    if (g_rf.ignore_cgroups)
        return 0;
    if (g_rf.systemd_cgroup && cgroup_systemd_path(path, id, unit, sizeof(unit)))
        path = unit;
    if (!*path)
        path = id;
    if (!is_plain(path))
        return rf_fail(e, "linux.cgroupsPath: \"%.200s\" leads upwards", path);
    find_mounts(set);
    char *cgroups = rf_read_file("/proc/self/cgroup", 1 << 20, NULL);
    int ret = 0;
    for (unsigned i = 0; i < set->count && ret == 0; i++)
        ret = place_one(&set->items[i], cgroups, path, e);
    free(cgroups);
    return ret;
}

bool cgroup_v2_only(void)
{
    struct cgroup_set *set = calloc(1, sizeof(*set));
    if (set)
        find_mounts(set);
    bool yes = set && set->count == 1 && !*set->items[0].controllers;
    free(set);
    return yes;
}

/* ---- making ---- */

/* A new v1 cpuset has no processors and no memory nodes, and then takes no process. */
static void fill_cpuset(const char *dir, const char *parent)
{
    static const char *const files[] = {"cpuset.cpus", "cpuset.mems"};
    for (int i = 0; i < 2; i++) {
        char to[PATH_MAX + 16], from[PATH_MAX + 16];
        snprintf(to, sizeof(to), "%s/%s", dir, files[i]);
        snprintf(from, sizeof(from), "%s/%s", parent, files[i]);
        char *mine = rf_read_file(to, 4096, NULL);
        if (mine && (*mine == 0 || *mine == '\n')) {
            char *theirs = rf_read_file(from, 4096, NULL);
            if (theirs)
                rf_write_file(to, theirs);
            free(theirs);
        }
        free(mine);
    }
}

/* v2: what the parent has is handed down, controller by controller: one that cannot be is no reason
 * to go without the others. */
static void enable_controllers(const char *parent)
{
    char path[PATH_MAX + 32], word[40], *save = NULL;
    snprintf(path, sizeof(path), "%s/cgroup.controllers", parent);
    char *have = rf_read_file(path, 4096, NULL);
    snprintf(path, sizeof(path), "%s/cgroup.subtree_control", parent);
    for (char *c = have ? strtok_r(have, " \n", &save) : NULL; c;
         c = strtok_r(NULL, " \n", &save)) {
        snprintf(word, sizeof(word), "+%s", c);
        rf_write_file(path, word);
    }
    free(have);
}

static int make_level(const struct cgroup *c, const char *dir, const char *parent)
{
    if (!*c->controllers)
        enable_controllers(parent);
    if (mkdir(dir, 0755) < 0 && errno != EEXIST)
        return -errno;
    if (has_word(c->controllers, "cpuset"))
        fill_cpuset(dir, parent);
    return 0;
}

static int make_one(const struct cgroup *c)
{
    char dir[PATH_MAX], parent[PATH_MAX];
    size_t base = strlen(c->mountpoint);
    snprintf(dir, sizeof(dir), "%s", c->path);
    snprintf(parent, sizeof(parent), "%s", c->mountpoint);
    for (char *p = dir + base + 1;; p++) {
        char was = *p;
        if (was && was != '/')
            continue;
        *p = 0;
        int err = p > dir && p[-1] == '/' ? 0 : make_level(c, dir, parent);
        if (err)
            return err;
        snprintf(parent, sizeof(parent), "%s", dir);
        *p = was;
        if (!was)
            return 0;
    }
}

static void drop(struct cgroup_set *set, unsigned i)
{
    memmove(&set->items[i], &set->items[i + 1], (set->count - i - 1) * sizeof(set->items[0]));
    set->count--;
}

/* Where an ordinary user may make none, the container goes without: its limits are the sentry's. A
 * hierarchy that refuses root is left out as well, aloud. */
static void make_all(struct cgroup_set *set)
{
    for (unsigned i = 0; i < set->count;) {
        int err = make_one(&set->items[i]);
        if (!err) {
            i++;
            continue;
        }
        rf_log(g_rf.rootless_now ? RF_DEBUG : RF_WARNING,
               "cannot make the cgroup %s: %s; going without it", set->items[i].path,
               strerror(-err));
        drop(set, i);
    }
}

/* A tight limit on processes counts guest processes, and the sentry keeps it. Our own threads, of
 * which there are about three to each guest process, would use it up: they stay outside the pids
 * cgroup. */
#define PIDS_ROOMY 2048

static void choose_joined(struct cgroup_set *set, const json_t *resources)
{
    int64_t limit = spec_int(resources, "pids.limit", 0);
    for (unsigned i = 0; i < set->count; i++)
        if (has_word(set->items[i].controllers, "pids") && limit > 0 && limit < PIDS_ROOMY)
            set->items[i].joined = false;
}

int cgroup_create(struct cgroup_set *set, const json_t *resources, struct rf_error *e)
{
    make_all(set);
    choose_joined(set, resources);
    if (cgroup_write_limits(set, resources, e) == 0)
        return 0;
    cgroup_destroy(set);
    set->count = 0;
    return -1;
}

int cgroup_update(const struct cgroup_set *set, const json_t *resources, struct rf_error *e)
{
    return cgroup_write_limits(set, resources, e);
}

int cgroup_join(const struct cgroup_set *set)
{
    for (unsigned i = 0; i < set->count; i++) {
        char path[PATH_MAX + 16];
        if (!set->items[i].joined)
            continue;
        snprintf(path, sizeof(path), "%s/cgroup.procs", set->items[i].path);
        int err = rf_write_file(path, "0");
        if (err)
            return err;
    }
    return 0;
}

/* ---- removing ---- */

static void kill_members(const char *dir)
{
    char path[PATH_MAX + 16], *save = NULL;
    snprintf(path, sizeof(path), "%s/cgroup.procs", dir);
    char *text = rf_read_file(path, 1 << 20, NULL);
    for (char *p = text ? strtok_r(text, "\n", &save) : NULL; p; p = strtok_r(NULL, "\n", &save)) {
        pid_t pid = atoi(p);
        if (pid > 1 && pid != getpid())
            kill(pid, SIGKILL);
    }
    free(text);
}

/* Guests cannot make cgroups here; a child directory is a manager's, made for us. */
static void remove_children(const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *entry;
    while (d && (entry = readdir(d)))
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
            unlinkat(dirfd(d), entry->d_name, AT_REMOVEDIR);
    if (d)
        closedir(d);
}

static void destroy_one(const struct cgroup *c)
{
    if (strlen(c->path) <= strlen(c->mountpoint) + 1)
        return;
    for (int i = 0; i < DESTROY_TRIES; i++) {
        if (rmdir(c->path) == 0 || errno == ENOENT)
            return;
        if (i == 5)
            remove_children(c->path);
        if (i >= 5)
            kill_members(c->path);
        nanosleep(&(struct timespec){.tv_nsec = i < 5 ? 1000000 : 10000000}, NULL);
    }
    rf_log(RF_WARNING, "cannot remove the cgroup %s: %s", c->path, strerror(errno));
}

void cgroup_destroy(const struct cgroup_set *set)
{
    for (unsigned i = 0; i < set->count; i++)
        destroy_one(&set->items[i]);
}

/* ---- in state.json, and reading ---- */

json_t *cgroup_to_json(const struct cgroup_set *set)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < set->count; i++) {
        const struct cgroup *c = &set->items[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:b}", "controllers", c->controllers,
                                              "path", c->path, "mountpoint", c->mountpoint,
                                              "joined", (int)c->joined));
    }
    return list;
}

void cgroup_from_json(const json_t *v, struct cgroup_set *set)
{
    size_t i;
    json_t *item;
    set->count = 0;
    json_array_foreach(v, i, item)
    {
        const char *controllers, *path, *mountpoint;
        int joined;
        if (set->count == CGROUP_MAX ||
            json_unpack(item, "{s:s, s:s, s:s, s:b}", "controllers", &controllers, "path", &path,
                        "mountpoint", &mountpoint, "joined", &joined) < 0)
            continue;
        struct cgroup *c = &set->items[set->count++];
        *c = (struct cgroup){.joined = joined};
        snprintf(c->controllers, sizeof(c->controllers), "%s", controllers);
        snprintf(c->path, sizeof(c->path), "%s", path);
        snprintf(c->mountpoint, sizeof(c->mountpoint), "%s", mountpoint);
    }
}

const char *cgroup_dir(const struct cgroup_set *set, const char *controller, bool *v2)
{
    const char *unified = NULL;
    for (unsigned i = 0; i < set->count; i++) {
        const struct cgroup *c = &set->items[i];
        *v2 = false;
        if (*c->controllers && has_word(c->controllers, controller))
            return c->path;
        if (!*c->controllers)
            unified = c->path;
    }
    *v2 = true;
    return unified;
}

uint64_t cgroup_read_number(const struct cgroup_set *set, const char *controller, const char *v1,
                            const char *v2)
{
    bool is_v2;
    char path[PATH_MAX + 64];
    const char *dir = cgroup_dir(set, controller, &is_v2);
    const char *file = is_v2 ? v2 : v1;
    if (!dir || !file)
        return 0;
    snprintf(path, sizeof(path), "%s/%s", dir, file);
    char *text = rf_read_file(path, 1 << 20, NULL);
    uint64_t n = text ? strtoull(text, NULL, 10) : 0;
    free(text);
    return n;
}
