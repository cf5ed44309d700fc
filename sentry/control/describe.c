/* Parsing configurations and descriptions: key, NUL, value, NUL. The writer is the launcher
 * library, yet nothing here believes a length, a count or a number. One table says which keys there
 * are. */
#include "control/control_priv.h"

#include "base/host.h"
#include "base/overflow.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#define DESC_MAX_SIZE (64u << 20) /* far above any argv and environment that execve would take */
#define DESC_MAX_LIST 65536       /* entries of one kind */

typedef int setter_fn(void *obj, char *value);
struct key {
    const char *name;
    setter_fn *set;
};

/* ---- values ---- */

static int parse_u64(const char *text, int base, uint64_t max, uint64_t *out)
{
    char *end;
    errno = 0;
    *out = strtoull(text, &end, base);
    return errno || end == text || *end || text[0] == '-' || *out > max ? -EINVAL : 0;
}

/* Room for one more element (and a zero one behind it) of an array grown by doubling. */
static int grow(void *array, unsigned count, size_t size)
{
    void **at = array;
    if (count >= DESC_MAX_LIST)
        return -E2BIG;
    if (count & (count - 1))
        return 0;
    void *bigger = realloc(*at, ((size_t)count * 2 + 2) * size);
    if (!bigger)
        return -ENOMEM;
    *at = bigger;
    return 0;
}

static int append_string(char ***array, unsigned *count, char *value)
{
    int r = grow(array, *count, sizeof(**array));
    if (r)
        return r;
    (*array)[(*count)++] = value;
    (*array)[*count] = NULL;
    return 0;
}

/* "SIZE:bytes" at *at, which moves behind it; the bytes become a string in place. */
static int take_sized(char **at, const char **out)
{
    char *colon = strchr(*at, ':');
    char digits[12];
    uint64_t size;
    if (!colon || colon - *at >= (ptrdiff_t)sizeof(digits))
        return -EINVAL;
    memcpy(digits, *at, colon - *at);
    digits[colon - *at] = 0;
    if (parse_u64(digits, 10, DESC_MAX_SIZE, &size) || strlen(colon + 1) <= size)
        return -EINVAL;
    char *end = colon + 1 + size;
    if (*end != ' ')
        return -EINVAL;
    *end = 0;
    *out = colon + 1;
    *at = end + 1;
    return 0;
}

static bool is_absolute(const char *path)
{
    return path[0] == '/' && strlen(path) < 4096;
}

/* ---- of the sandbox ---- */

#define STRING_SETTER(type, fn, field)                                                             \
    static int fn(void *obj, char *v)                                                              \
    {                                                                                              \
        ((struct type *)obj)->field = v;                                                           \
        return 0;                                                                                  \
    }
#define NUMBER_SETTER(type, fn, field, base, max)                                                  \
    static int fn(void *obj, char *v)                                                              \
    {                                                                                              \
        uint64_t n;                                                                                \
        int err = parse_u64(v, base, max, &n);                                                     \
        if (!err)                                                                                  \
            ((struct type *)obj)->field = n;                                                       \
        return err;                                                                                \
    }
#define FLAG_SETTER(type, fn, field)                                                               \
    static int fn(void *obj, char *v)                                                              \
    {                                                                                              \
        ((struct type *)obj)->field = true;                                                        \
        return 0;                                                                                  \
    }

STRING_SETTER(sandbox_config, sb_hostname, hostname)
STRING_SETTER(sandbox_config, sb_platform, platform)
STRING_SETTER(sandbox_config, sb_network, network)
STRING_SETTER(sandbox_config, sb_strace, strace)
NUMBER_SETTER(sandbox_config, sb_memory, memory_limit, 10, INT64_MAX)
NUMBER_SETTER(sandbox_config, sb_memtotal, memory_total, 10, INT64_MAX)
NUMBER_SETTER(sandbox_config, sb_cpus, cpus, 10, 4096)
FLAG_SETTER(sandbox_config, sb_stats, stats)

static const struct key g_sandbox_keys[] = {
    {CFG_HOSTNAME, sb_hostname}, {CFG_PLATFORM, sb_platform}, {CFG_NETWORK, sb_network},
    {CFG_STRACE, sb_strace},     {CFG_MEMORY, sb_memory},     {CFG_MEMTOTAL, sb_memtotal},
    {CFG_CPUS, sb_cpus},         {CFG_STATS, sb_stats},       {NULL, NULL},
};

/* ---- of a process ---- */

static int set_argv(void *obj, char *v)
{
    struct process_desc *p = &((struct container_desc *)obj)->process;
    return append_string(&p->argv, &p->argc, v);
}

static int set_env(void *obj, char *v)
{
    struct process_desc *p = &((struct container_desc *)obj)->process;
    return append_string(&p->envp, &p->envc, v);
}

static int set_cwd(void *obj, char *v)
{
    ((struct container_desc *)obj)->process.cwd = v;
    return is_absolute(v) ? 0 : -EINVAL;
}

NUMBER_SETTER(container_desc, set_uid, process.uid, 10, UINT32_MAX - 1)
NUMBER_SETTER(container_desc, set_gid, process.gid, 10, UINT32_MAX - 1)
NUMBER_SETTER(container_desc, set_ignored, process.ignored, 16, UINT64_MAX)
NUMBER_SETTER(container_desc, set_umask, process.umask, 8, 0777)
NUMBER_SETTER(container_desc, set_tty, process.tty, 10, 1 << 20)
FLAG_SETTER(container_desc, set_mkcwd, process.make_cwd)
FLAG_SETTER(container_desc, set_nnp, process.no_new_privs)

static int set_group(void *obj, char *v)
{
    struct process_desc *p = &((struct container_desc *)obj)->process;
    uint64_t gid;
    int err = parse_u64(v, 10, UINT32_MAX - 1, &gid);
    if (!err)
        err = grow(&p->groups, p->group_count, sizeof(*p->groups));
    if (!err)
        p->groups[p->group_count++] = gid;
    return err;
}

static int set_caps(void *obj, char *v)
{
    uint64_t *c = ((struct container_desc *)obj)->process.caps;
    int n = sscanf(v, "%" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64, &c[0], &c[1],
                   &c[2], &c[3], &c[4]);
    for (int i = 0; i < CAPS_COUNT; i++)
        c[i] &= CAP_ALL;
    return n == CAPS_COUNT ? 0 : -EINVAL;
}

static int set_oom(void *obj, char *v)
{
    int n;
    if (sscanf(v, "%d", &n) != 1 || n < -1000 || n > 1000)
        return -EINVAL;
    ((struct container_desc *)obj)->process.oom_score_adj = n;
    return 0;
}

static int set_rlimit(void *obj, char *v)
{
    unsigned r;
    uint64_t soft, hard;
    if (sscanf(v, "%u %" SCNu64 " %" SCNu64, &r, &soft, &hard) != 3 || r >= RLIM_NLIMITS ||
        soft > hard)
        return -EINVAL;
    ((struct container_desc *)obj)->process.rlimits[r] =
        (struct rlimit64){.rlim_cur = soft, .rlim_max = hard};
    return 0;
}

static int set_fd(void *obj, char *v)
{
    struct process_desc *p = &((struct container_desc *)obj)->process;
    int guest;
    unsigned index;
    if (p->fd_count == DESC_FDS_MAX || sscanf(v, "%d %u", &guest, &index) != 2 || guest < 0 ||
        guest > 1 << 20 || index >= CONTROL_FDS_MAX)
        return -EINVAL;
    p->fds[p->fd_count].guest = guest;
    p->fds[p->fd_count++].index = index;
    return 0;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int set_seccomp(void *obj, char *v)
{
    struct process_desc *p = &((struct container_desc *)obj)->process;
    int used = 0;
    if (p->seccomp || sscanf(v, "%u %n", &p->seccomp_flags, &used) != 1 || !used)
        return -EINVAL;
    size_t digits = strlen(v + used), size = digits / 2;
    if (digits % (2 * sizeof(struct sock_filter)) || !size ||
        size > BPF_MAXINSNS * sizeof(struct sock_filter))
        return -EINVAL;
    uint8_t *bytes = malloc(size);
    p->seccomp = (struct sock_filter *)bytes;
    if (!bytes)
        return -ENOMEM;
    for (size_t i = 0; i < size; i++) {
        int hi = hex_digit(v[used + 2 * i]), lo = hex_digit(v[used + 2 * i + 1]);
        if (hi < 0 || lo < 0)
            return -EINVAL;
        bytes[i] = hi << 4 | lo;
    }
    p->seccomp_count = size / sizeof(struct sock_filter);
    return 0;
}

/* ---- of a container ---- */

static int set_id(void *obj, char *v)
{
    ((struct container_desc *)obj)->id = v;
    size_t len = strlen(v);
    return len && len <= CONTROL_ID_MAX ? 0 : -EINVAL;
}

STRING_SETTER(container_desc, set_root_mode, root_mode)
NUMBER_SETTER(container_desc, set_rootprop, root_propagation, 10, UINT32_MAX)

static int set_rootopts(void *obj, char *v)
{
    struct container_desc *d = obj;
    d->root_readonly = strstr(v, "readonly");
    d->root_shared = strstr(v, "shared");
    return 0;
}

static int set_hostname(void *obj, char *v)
{
    ((struct container_desc *)obj)->hostname = v;
    return strlen(v) <= 64 ? 0 : -EINVAL;
}

static int set_domain(void *obj, char *v)
{
    ((struct container_desc *)obj)->domainname = v;
    return strlen(v) <= 64 ? 0 : -EINVAL;
}

static int set_defaults(void *obj, char *v)
{
    struct container_desc *d = obj;
    d->defaults = (strstr(v, "mounts") ? DEFAULT_MOUNTS : 0) |
                  (strstr(v, "devices") ? DEFAULT_DEVICES : 0) |
                  (strstr(v, "console") ? DEFAULT_CONSOLE : 0);
    return 0;
}

static int set_mount(void *obj, char *v)
{
    struct container_desc *d = obj;
    struct mount_desc m;
    int used = 0;
    if (sscanf(v, "%d %lu %lu %u %n", &m.export, &m.flags, &m.propagation, &m.options, &used) !=
            4 ||
        !used)
        return -EINVAL;
    char *at = v + used;
    int err = take_sized(&at, &m.type);
    if (!err)
        err = take_sized(&at, &m.source);
    if (!err)
        err = take_sized(&at, &m.dest);
    if (!err)
        err = take_sized(&at, &m.data);
    if (!err && (!is_absolute(m.dest) || m.export < -1))
        err = -EINVAL;
    if (!err)
        err = grow(&d->mounts, d->mount_count, sizeof(m));
    if (!err)
        d->mounts[d->mount_count++] = m;
    return err;
}

static int set_device(void *obj, char *v)
{
    struct container_desc *d = obj;
    struct device_desc n;
    int used = 0;
    if (sscanf(v, "%c %u %u %o %u %u %n", &n.type, &n.major_no, &n.minor_no, &n.mode, &n.uid,
               &n.gid, &used) != 6 ||
        !used || !strchr("cbup", n.type) || !is_absolute(v + used))
        return -EINVAL;
    n.path = v + used;
    int err = grow(&d->devices, d->device_count, sizeof(n));
    if (!err)
        d->devices[d->device_count++] = n;
    return err;
}

static int set_masked(void *obj, char *v)
{
    struct container_desc *d = obj;
    return is_absolute(v) ? append_string(&d->masked, &d->masked_count, v) : -EINVAL;
}

static int set_readonly(void *obj, char *v)
{
    struct container_desc *d = obj;
    return is_absolute(v) ? append_string(&d->readonly, &d->readonly_count, v) : -EINVAL;
}

static int set_sysctl(void *obj, char *v)
{
    struct container_desc *d = obj;
    return strchr(v, '=') ? append_string(&d->sysctls, &d->sysctl_count, v) : -EINVAL;
}

static int set_ns(void *obj, char *v)
{
    static const char *const kinds[] = {"pid", "ipc", "uts", "net", "mount", "user"};
    struct container_desc *d = obj;
    size_t len = strcspn(v, " ");
    for (int i = 0; i < DESC_NS_COUNT; i++)
        if (strlen(kinds[i]) == len && !strncmp(kinds[i], v, len)) {
            d->ns[i] = v[len] ? v + len + 1 : "";
            return 0;
        }
    return -EINVAL;
}

static int add_idmap(struct idmap_desc **maps, unsigned *count, const char *v)
{
    struct idmap_desc m;
    if (sscanf(v, "%u %u %u", &m.inside, &m.outside, &m.count) != 3 || !m.count)
        return -EINVAL;
    int err = grow(maps, *count, sizeof(m));
    if (!err)
        (*maps)[(*count)++] = m;
    return err;
}

static int set_uidmap(void *obj, char *v)
{
    struct container_desc *d = obj;
    return add_idmap(&d->uid_maps, &d->uid_map_count, v);
}

static int set_gidmap(void *obj, char *v)
{
    struct container_desc *d = obj;
    return add_idmap(&d->gid_maps, &d->gid_map_count, v);
}

static int set_limits(void *obj, char *v)
{
    struct control_limits *l = &((struct container_desc *)obj)->limits;
    int n = sscanf(v, "%" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64, &l->memory,
                   &l->cpu_quota_us, &l->cpu_period_us, &l->cpu_shares, &l->pids);
    return n == 5 ? 0 : -EINVAL;
}

static const struct key g_process_keys[] = {
    {CFG_ARGV, set_argv},       {CFG_ENV, set_env},   {CFG_CWD, set_cwd},
    {CFG_MKCWD, set_mkcwd},     {CFG_UID, set_uid},   {CFG_GID, set_gid},
    {CFG_GROUP, set_group},     {CFG_CAPS, set_caps}, {CFG_UMASK, set_umask},
    {CFG_NNP, set_nnp},         {CFG_OOM, set_oom},   {CFG_IGNORED, set_ignored},
    {CFG_RLIMIT, set_rlimit},   {CFG_FD, set_fd},     {CFG_TTY, set_tty},
    {CFG_SECCOMP, set_seccomp}, {NULL, NULL},
};

static const struct key g_container_keys[] = {
    {CFG_ID, set_id},
    {CFG_ROOT, set_root_mode},
    {CFG_ROOTOPTS, set_rootopts},
    {CFG_ROOTPROP, set_rootprop},
    {CFG_HOSTNAME, set_hostname},
    {CFG_DOMAIN, set_domain},
    {CFG_DEFAULTS, set_defaults},
    {CFG_MOUNT, set_mount},
    {CFG_DEVICE, set_device},
    {CFG_MASKED, set_masked},
    {CFG_READONLY, set_readonly},
    {CFG_SYSCTL, set_sysctl},
    {CFG_NS, set_ns},
    {CFG_UIDMAP, set_uidmap},
    {CFG_GIDMAP, set_gidmap},
    {CFG_LIMITS, set_limits},
    {NULL, NULL},
};

/* ---- all of it ---- */

static setter_fn *key_find(const struct key *keys, const char *name)
{
    for (; keys && keys->name; keys++)
        if (!strcmp(keys->name, name))
            return keys->set;
    return NULL;
}

static int apply_all(char *text, size_t size, const struct key *first, const struct key *second,
                     void *obj, const char **bad)
{
    char *end = text + size;
    while (text < end) {
        char *value = text + strlen(text) + 1;
        *bad = text;
        if (value >= end)
            return -EINVAL;                     /* a key without its value */
        char *next = value + strlen(value) + 1; /* before a setter cuts the value up */
        setter_fn *set = key_find(first, text);
        set = set ? set : key_find(second, text);
        int err = set ? set(obj, value) : -EINVAL;
        if (err)
            return err;
        text = next;
    }
    return 0;
}

static int read_all(int fd, char **text, size_t *size)
{
    struct stat st;
    int err = host_fstat(fd, &st);
    if (err)
        return err;
    if (!S_ISREG(st.st_mode) || st.st_size <= 0 || st.st_size > DESC_MAX_SIZE)
        return -EINVAL;
    char *buf = malloc(st.st_size + 1);
    if (!buf)
        return -ENOMEM;
    struct iovec iov = {.iov_base = buf, .iov_len = st.st_size};
    int64_t n = host_preadv(fd, &iov, 1, 0);
    if (n != st.st_size) {
        free(buf);
        return n < 0 ? n : -EIO;
    }
    buf[n] = 0;
    *text = buf;
    *size = n;
    return 0;
}

int sandbox_config_read(int fd, struct sandbox_config *c, const char **bad)
{
    char *text;
    size_t size;
    *c = (struct sandbox_config){.cpus = 1, .hostname = "localhost"};
    *bad = "(size)";
    int err = read_all(fd, &text, &size);
    if (!err)
        err = apply_all(text, size, g_sandbox_keys, NULL, c, bad);
    if (!err && !c->platform) {
        *bad = CFG_PLATFORM;
        return -EINVAL;
    }
    return err;
}

static void desc_defaults(struct container_desc *d)
{
    *d = (struct container_desc){.process = {.tty = -1, .umask = 022}};
    for (int r = 0; r < RLIM_NLIMITS; r++)
        d->process.rlimits[r] =
            (struct rlimit64){.rlim_cur = RLIM64_INFINITY, .rlim_max = RLIM64_INFINITY};
}

static int desc_check(struct container_desc *d, bool process_only, const char **bad)
{
    static const char *const modes[] = {"overlay", "ro", "rw"};
    *bad = CFG_ARGV;
    if (!d->process.argc)
        return -EINVAL;
    *bad = CFG_CWD;
    if (!d->process.cwd)
        return -EINVAL;
    if (process_only)
        return 0;
    *bad = CFG_ID;
    if (!d->id)
        return -EINVAL;
    *bad = CFG_ROOT;
    for (int i = 0; d->root_mode && i < 3; i++)
        if (!strcmp(d->root_mode, modes[i]))
            return 0;
    return -EINVAL;
}

int desc_parse(char *text, size_t size, bool process_only, struct container_desc *d,
               const char **bad)
{
    desc_defaults(d);
    d->text = text;
    int err = append_string(&d->process.envp, &d->process.envc, NULL);
    d->process.envc = 0; /* an empty environment is still an array */
    *bad = "(size)";
    if (!err)
        err = apply_all(text, size, g_process_keys, process_only ? NULL : g_container_keys, d, bad);
    return err ? err : desc_check(d, process_only, bad);
}

int desc_read(int fd, bool process_only, struct container_desc *d, const char **bad)
{
    char *text;
    size_t size;
    desc_defaults(d);
    *bad = "(size)";
    int err = read_all(fd, &text, &size);
    return err ? err : desc_parse(text, size, process_only, d, bad);
}

void desc_free(struct container_desc *d)
{
    free(d->process.argv);
    free(d->process.envp);
    free(d->process.groups);
    free(d->process.seccomp);
    free(d->mounts);
    free(d->devices);
    free(d->uid_maps);
    free(d->gid_maps);
    free(d->masked);
    free(d->readonly);
    free(d->sysctls);
    free(d->text);
    *d = (struct container_desc){0};
}
