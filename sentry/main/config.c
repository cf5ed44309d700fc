/* Parsing the start configuration. The launcher is trusted, yet nothing here believes a length. */
#include "main/config.h"
#include "base/host.h"
#include "base/overflow.h"
#include "control.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG_MAX_SIZE                                                                            \
    (64u << 20) /* far above any argv and environment that execve would take                       \
                 */

typedef int setter_fn(struct config *c, char *value);

static int parse_u64(const char *text, int base, uint64_t max, uint64_t *out)
{
    char *end;
    errno = 0;
    *out = strtoull(text, &end, base);
    return errno || end == text || *end || *out > max ? -EINVAL : 0;
}

static int append_string(char ***array, unsigned *count, char *value)
{
    /* Grown by doubling: capacity is twice the last power of two, and one for the end. */
    if ((*count & (*count - 1)) == 0) {
        char **bigger = realloc(*array, ((size_t)*count * 2 + 2) * sizeof(*bigger));
        if (!bigger)
            return -ENOMEM;
        *array = bigger;
    }
    (*array)[(*count)++] = value;
    (*array)[*count] = NULL;
    return 0;
}

static int set_argv(struct config *c, char *v)
{
    return append_string(&c->argv, &c->argc, v);
}

static int set_env(struct config *c, char *v)
{
    return append_string(&c->envp, &c->envc, v);
}

#define STRING_SETTER(key)                                                                         \
    static int set_##key(struct config *c, char *v)                                                \
    {                                                                                              \
        c->key = v;                                                                                \
        return 0;                                                                                  \
    }
#define NUMBER_SETTER(key, base, max)                                                              \
    static int set_##key(struct config *c, char *v)                                                \
    {                                                                                              \
        uint64_t n;                                                                                \
        int err = parse_u64(v, base, max, &n);                                                     \
        if (!err)                                                                                  \
            c->key = n;                                                                            \
        return err;                                                                                \
    }

STRING_SETTER(cwd)
STRING_SETTER(hostname)
STRING_SETTER(platform)
STRING_SETTER(root_mode)
STRING_SETTER(network)
STRING_SETTER(strace)
NUMBER_SETTER(uid, 10, UINT32_MAX - 1)
NUMBER_SETTER(gid, 10, UINT32_MAX - 1)
NUMBER_SETTER(caps, 16, UINT64_MAX)
NUMBER_SETTER(ignored, 16, UINT64_MAX)
NUMBER_SETTER(umask, 8, 0777)
NUMBER_SETTER(memory_limit, 10, INT64_MAX)
NUMBER_SETTER(memory_total, 10, INT64_MAX)
NUMBER_SETTER(cpus, 10, 4096)
NUMBER_SETTER(tty, 10, 2)

static int set_stats(struct config *c, char *v)
{
    c->stats = true;
    return 0;
}

static int set_group(struct config *c, char *v)
{
    uint64_t gid;
    int err = parse_u64(v, 10, UINT32_MAX - 1, &gid);
    uint32_t *bigger = err ? NULL : realloc(c->groups, (c->group_count + 1) * sizeof(*bigger));
    if (!bigger)
        return err ? err : -ENOMEM;
    c->groups = bigger;
    c->groups[c->group_count++] = gid;
    return 0;
}

static int set_rlimit(struct config *c, char *v)
{
    unsigned r;
    uint64_t soft, hard;
    if (sscanf(v, "%u %" SCNu64 " %" SCNu64, &r, &soft, &hard) != 3 || r >= RLIM_NLIMITS)
        return -EINVAL;
    c->rlimits[r] = (struct rlimit64){.rlim_cur = soft, .rlim_max = hard};
    return 0;
}

static int set_mount(struct config *c, char *v)
{
    unsigned index;
    int used = 0;
    if (c->mount_count == CONFIG_MAX_MOUNTS || sscanf(v, "%u,%n", &index, &used) != 1 || !used)
        return -EINVAL;
    bool writable = !strncmp(v + used, "rw,", 3);
    if (!writable && strncmp(v + used, "ro,", 3))
        return -EINVAL;
    c->mounts[c->mount_count++] =
        (struct config_mount){.export_index = index, .writable = writable, .dest = v + used + 3};
    return 0;
}

static int set_stdio(struct config *c, char *v)
{
    unsigned guest;
    int host;
    if (sscanf(v, "%u %d", &guest, &host) != 2 || guest > 2 || host < 0)
        return -EINVAL;
    c->stdio[guest] = host;
    return 0;
}

static const struct {
    const char *key;
    setter_fn *set;
} g_setters[] = {
    {CFG_ARGV, set_argv},
    {CFG_ENV, set_env},
    {CFG_CWD, set_cwd},
    {CFG_UID, set_uid},
    {CFG_GID, set_gid},
    {CFG_GROUP, set_group},
    {CFG_CAPS, set_caps},
    {CFG_UMASK, set_umask},
    {CFG_IGNORED, set_ignored},
    {CFG_HOSTNAME, set_hostname},
    {CFG_PLATFORM, set_platform},
    {CFG_MEMORY, set_memory_limit},
    {CFG_MEMTOTAL, set_memory_total},
    {CFG_CPUS, set_cpus},
    {CFG_RLIMIT, set_rlimit},
    {CFG_ROOT, set_root_mode},
    {CFG_MOUNT, set_mount},
    {CFG_NETWORK, set_network},
    {CFG_STRACE, set_strace},
    {CFG_STATS, set_stats},
    {CFG_TTY, set_tty},
    {CFG_STDIO, set_stdio},
};

static int apply_pair(struct config *c, const char *key, char *value, const char **bad)
{
    *bad = key;
    for (size_t i = 0; i < ARRAY_COUNT(g_setters); i++)
        if (!strcmp(g_setters[i].key, key))
            return g_setters[i].set(c, value);
    return -EINVAL;
}

static int read_all(int fd, char **text, size_t *size)
{
    struct stat st;
    int err = host_fstat(fd, &st);
    if (err)
        return err;
    if (st.st_size <= 0 || st.st_size > CONFIG_MAX_SIZE)
        return -EINVAL;
    *text = malloc(st.st_size + 1);
    if (!*text)
        return -ENOMEM;
    struct iovec iov = {.iov_base = *text, .iov_len = st.st_size};
    int64_t n = host_preadv(fd, &iov, 1, 0);
    if (n != st.st_size)
        return n < 0 ? n : -EIO;
    *size = n;
    (*text)[n] = 0;
    return 0;
}

static int apply_all(struct config *c, char *text, size_t size, const char **bad)
{
    char *end = text + size;
    while (text < end) {
        char *value = text + strlen(text) + 1;
        if (value >= end)
            return -EINVAL; /* a key without its value */
        int err = apply_pair(c, text, value, bad);
        if (err)
            return err;
        text = value + strlen(value) + 1;
    }
    *bad = CFG_ARGV;
    return c->argc && c->envp && c->cwd && c->platform && c->root_mode ? 0 : -EINVAL;
}

int config_read(int fd, struct config *c, const char **bad)
{
    char *text = NULL;
    size_t size = 0;
    *c = (struct config){
        .stdio = {-1, -1, -1}, .tty = -1, .cpus = 1, .hostname = "localhost", .umask = 022};
    for (int r = 0; r < RLIM_NLIMITS; r++)
        c->rlimits[r] = (struct rlimit64){.rlim_cur = RLIM64_INFINITY, .rlim_max = RLIM64_INFINITY};
    *bad = "(size)";
    int err = read_all(fd, &text, &size);
    if (!err)
        err = append_string(&c->envp, &c->envc, NULL);
    c->envc = 0; /* an empty environment is still an array */
    return err ? err : apply_all(c, text, size, bad);
}
