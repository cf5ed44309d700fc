/* "mounts" of config.json: options by one table, the rest as data for the file system. */
#include "convert.h"
#include "spec.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256
#endif

enum option_kind {
    OPT_SET,         /* sets flags */
    OPT_CLEAR,       /* clears flags */
    OPT_PROPAGATION, /* sets the propagation */
    OPT_BIND,        /* makes it a bind; bits: SB_MOUNT_* */
    OPT_EXTRA,       /* sets SB_MOUNT_* bits */
    OPT_NOTHING,     /* accepted: it is the default, or means nothing inside */
};

static const struct {
    const char *name;
    enum option_kind kind;
    unsigned long bits;
} g_options[] = {
    {"acl", OPT_NOTHING, 0},
    {"async", OPT_CLEAR, MS_SYNCHRONOUS},
    {"atime", OPT_CLEAR, MS_NOATIME},
    {"bind", OPT_BIND, 0},
    {"defaults", OPT_NOTHING, 0},
    {"dev", OPT_CLEAR, MS_NODEV},
    {"diratime", OPT_CLEAR, MS_NODIRATIME},
    {"dirsync", OPT_NOTHING, 0},
    {"exec", OPT_CLEAR, MS_NOEXEC},
    {"idmap", OPT_NOTHING, 0},
    {"iversion", OPT_NOTHING, 0},
    {"lazytime", OPT_NOTHING, 0},
    {"loud", OPT_NOTHING, 0},
    {"mand", OPT_NOTHING, 0},
    {"noacl", OPT_NOTHING, 0},
    {"noatime", OPT_SET, MS_NOATIME},
    {"nodev", OPT_SET, MS_NODEV},
    {"nodiratime", OPT_SET, MS_NODIRATIME},
    {"noexec", OPT_SET, MS_NOEXEC},
    {"noiversion", OPT_NOTHING, 0},
    {"nolazytime", OPT_NOTHING, 0},
    {"nomand", OPT_NOTHING, 0},
    {"norelatime", OPT_CLEAR, MS_RELATIME},
    {"nostrictatime", OPT_CLEAR, MS_STRICTATIME},
    {"nosuid", OPT_SET, MS_NOSUID},
    {"nosymfollow", OPT_SET, MS_NOSYMFOLLOW},
    {"private", OPT_PROPAGATION, MS_PRIVATE},
    {"ratime", OPT_CLEAR, MS_NOATIME},
    {"rbind", OPT_BIND, SB_MOUNT_RECURSIVE},
    {"rdev", OPT_CLEAR, MS_NODEV},
    {"rdiratime", OPT_CLEAR, MS_NODIRATIME},
    {"relatime", OPT_SET, MS_RELATIME},
    {"remount", OPT_NOTHING, 0},
    {"rexec", OPT_CLEAR, MS_NOEXEC},
    {"ridmap", OPT_NOTHING, 0},
    {"rnoatime", OPT_SET, MS_NOATIME},
    {"rnodev", OPT_SET, MS_NODEV},
    {"rnodiratime", OPT_SET, MS_NODIRATIME},
    {"rnoexec", OPT_SET, MS_NOEXEC},
    {"rnorelatime", OPT_CLEAR, MS_RELATIME},
    {"rnostrictatime", OPT_CLEAR, MS_STRICTATIME},
    {"rnosuid", OPT_SET, MS_NOSUID},
    {"rnosymfollow", OPT_SET, MS_NOSYMFOLLOW},
    {"ro", OPT_SET, MS_RDONLY},
    {"rprivate", OPT_PROPAGATION, MS_PRIVATE | MS_REC},
    {"rrelatime", OPT_SET, MS_RELATIME},
    {"rro", OPT_EXTRA, SB_MOUNT_RO_RECURSIVE},
    {"rrw", OPT_CLEAR, MS_RDONLY},
    {"rshared", OPT_PROPAGATION, MS_SHARED | MS_REC},
    {"rslave", OPT_PROPAGATION, MS_SLAVE | MS_REC},
    {"rstrictatime", OPT_SET, MS_STRICTATIME},
    {"rsuid", OPT_CLEAR, MS_NOSUID},
    {"rsymfollow", OPT_CLEAR, MS_NOSYMFOLLOW},
    {"runbindable", OPT_PROPAGATION, MS_UNBINDABLE | MS_REC},
    {"rw", OPT_CLEAR, MS_RDONLY},
    {"shared", OPT_PROPAGATION, MS_SHARED},
    {"silent", OPT_NOTHING, 0},
    {"slave", OPT_PROPAGATION, MS_SLAVE},
    {"strictatime", OPT_SET, MS_STRICTATIME},
    {"suid", OPT_CLEAR, MS_NOSUID},
    {"symfollow", OPT_CLEAR, MS_NOSYMFOLLOW},
    {"sync", OPT_SET, MS_SYNCHRONOUS},
    {"tmpcopyup", OPT_EXTRA, SB_MOUNT_COPY_UP},
    {"unbindable", OPT_PROPAGATION, MS_UNBINDABLE},
};
#define OPTION_COUNT (sizeof(g_options) / sizeof(g_options[0]))

const char *mount_option_name(size_t i)
{
    return i < OPTION_COUNT ? g_options[i].name : NULL;
}

static int option_find(const char *name)
{
    for (size_t i = 0; i < OPTION_COUNT; i++)
        if (!strcmp(g_options[i].name, name))
            return i;
    return -1;
}

static void option_apply(int i, struct sb_mount *m, bool *bind)
{
    unsigned long bits = g_options[i].bits;
    switch (g_options[i].kind) {
    case OPT_SET:
        m->flags |= bits;
        break;
    case OPT_CLEAR:
        m->flags &= ~bits;
        break;
    case OPT_PROPAGATION:
        m->propagation = bits;
        break;
    case OPT_BIND:
        *bind = true;
        m->options |= bits;
        break;
    case OPT_EXTRA:
        m->options |= bits;
        if (bits == SB_MOUNT_RO_RECURSIVE)
            m->flags |= MS_RDONLY;
        break;
    case OPT_NOTHING:
        break;
    }
}

static int add_data(struct sb_mount *m, const char *text, struct rf_arena *a, struct rf_error *e)
{
    m->data = arena_format(a, "%s%s%s", m->data ? m->data : "", m->data ? "," : "", text);
    return m->data ? 0 : rf_no_memory(e);
}

static int convert_options(const json_t *item, struct rf_arena *a, struct sb_mount *m, bool *bind,
                           struct rf_error *e)
{
    size_t i;
    json_t *o;
    json_array_foreach(spec_get(item, "options"), i, o)
    {
        const char *text = json_string_value(o);
        int known = text ? option_find(text) : -1;
        if (known >= 0)
            option_apply(known, m, bind);
        else if (text && *text && add_data(m, text, a, e) < 0)
            return -1;
    }
    return 0;
}

static int check_type(struct sb_mount *m, bool bind, struct rf_error *e)
{
    static const char *const types[] = {"bind",   "tmpfs",  "proc",   "sysfs",  "devtmpfs",
                                        "devpts", "mqueue", "cgroup", "cgroup2"};
    if (bind)
        m->type = "bind";
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (!strcmp(types[i], m->type))
            return 0;
    return rf_fail(e, "config.json: mounts: %s: a file system of type \"%.64s\" cannot be mounted",
                   m->dest, m->type);
}

static int bind_source(struct sb_mount *m, const char *bundle, struct rf_arena *a,
                       struct rf_error *e)
{
    struct stat st;
    if (!*m->source)
        return rf_fail(e, "config.json: mounts: %s: a bind mount needs a source", m->dest);
    if (m->source[0] != '/')
        m->source = arena_format(a, "%s/%s", bundle, m->source);
    if (!m->source)
        return rf_no_memory(e);
    if (stat(m->source, &st) < 0)
        return rf_fail(e,
                       "error mounting \"%s\" to rootfs at \"%s\": stat %s: no such file or "
                       "directory",
                       m->source, m->dest, m->source);
    if (!strcmp(g_rf.file_access, "shared-binds"))
        m->options |= SB_MOUNT_SHARED_ACCESS;
    m->data = NULL; /* as the kernel: a bind has no options of its own */
    return 0;
}

int convert_idmaps(const json_t *obj, const char *path, struct rf_arena *a,
                   const struct sb_idmap **out, unsigned *count, struct rf_error *e)
{
    size_t n = spec_count(obj, path);
    struct sb_idmap *maps = arena_alloc(a, n, sizeof(*maps));
    if (!maps)
        return rf_no_memory(e);
    for (size_t i = 0; i < n; i++) {
        const json_t *m = json_array_get(spec_get(obj, path), i);
        maps[i] = (struct sb_idmap){.inside = spec_uint(m, "containerID", 0),
                                    .outside = spec_uint(m, "hostID", 0),
                                    .count = spec_uint(m, "size", 0)};
    }
    *out = maps;
    *count = n;
    return 0;
}

static int convert_mount(const json_t *item, const char *bundle, struct rf_arena *a,
                         struct sb_mount *m, struct rf_error *e)
{
    bool bind = false;
    *m = (struct sb_mount){.type = spec_string(item, "type", "none"),
                           .source = spec_string(item, "source", ""),
                           .dest = spec_string(item, "destination", "")};
    if (!*m->dest)
        return rf_fail(e, "config.json: mounts: a destination is empty");
    if (m->dest[0] != '/') /* older specifications allow it: relative to the root */
        m->dest = arena_format(a, "/%s", m->dest);
    if (!m->dest)
        return rf_no_memory(e);
    if (convert_options(item, a, m, &bind, e) < 0 || check_type(m, bind, e) < 0 ||
        convert_idmaps(item, "uidMappings", a, &m->uid_maps, &m->uid_map_count, e) < 0 ||
        convert_idmaps(item, "gidMappings", a, &m->gid_maps, &m->gid_map_count, e) < 0)
        return -1;
    if (!strcmp(m->type, "bind"))
        return bind_source(m, bundle, a, e);
    if (!*m->source)
        m->source = m->type;
    return 0;
}

int convert_mounts(const json_t *config, const char *bundle, struct rf_arena *a,
                   struct sb_container *out, struct rf_error *e)
{
    size_t n = spec_count(config, "mounts");
    struct sb_mount *list = arena_alloc(a, n, sizeof(*list));
    if (!list)
        return rf_no_memory(e);
    for (size_t i = 0; i < n; i++)
        if (convert_mount(json_array_get(spec_get(config, "mounts"), i), bundle, a, &list[i], e) <
            0)
            return -1;
    out->mounts = list;
    out->mount_count = n;
    return 0;
}
