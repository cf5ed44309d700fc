/* Filesystem types, and what is asked of one before it is mounted: mount(2)'s string of options or
 * the parameters of fsconfig(2), one by one. */
#include "fs/vfs_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#define OPTIONS_MAX 4096

/* ---- the types ---- */

static int tmpfs_new(struct task *t, struct fs_context *fc)
{
    return tmpfs_mount_options(fc->options, &fc->sb);
}

static int proc_new(struct task *t, struct fs_context *fc)
{
    return procfs_mount(&fc->sb);
}

static int sys_new(struct task *t, struct fs_context *fc)
{
    return sysfs_mount(&fc->sb);
}

static int dev_new(struct task *t, struct fs_context *fc)
{
    return devfs_mount(&fc->sb);
}

static int pts_new(struct task *t, struct fs_context *fc)
{
    return devpts_mount(&fc->sb);
}

static int mqueue_new(struct task *t, struct fs_context *fc)
{
    return mqueuefs_mount(&fc->sb);
}

static const struct fs_param g_tmpfs_params[] = {
    {"size", FS_PARAM_VALUE},   {"nr_blocks", FS_PARAM_VALUE}, {"nr_inodes", FS_PARAM_VALUE},
    {"mode", FS_PARAM_VALUE},   {"uid", FS_PARAM_VALUE},       {"gid", FS_PARAM_VALUE},
    {"mpol", FS_PARAM_VALUE},   {"huge", FS_PARAM_VALUE},      {"inode32", FS_PARAM_FLAG},
    {"inode64", FS_PARAM_FLAG}, {"noswap", FS_PARAM_FLAG},     {0}};
static const struct fs_param g_ramfs_params[] = {{"mode", FS_PARAM_VALUE}, {0}};
static const struct fs_param g_proc_params[] = {
    {"gid", FS_PARAM_VALUE}, {"hidepid", FS_PARAM_VALUE}, {"subset", FS_PARAM_VALUE}, {0}};
static const struct fs_param g_pts_params[] = {{"uid", FS_PARAM_VALUE},
                                               {"gid", FS_PARAM_VALUE},
                                               {"mode", FS_PARAM_VALUE},
                                               {"ptmxmode", FS_PARAM_VALUE},
                                               {"max", FS_PARAM_VALUE},
                                               {"newinstance", FS_PARAM_FLAG},
                                               {0}};
static const struct fs_param g_no_params[] = {{0}};

static const struct fs_type g_tmpfs = {.name = "tmpfs",
                                       .nodev = true,
                                       .in_user_ns = true,
                                       .mount = tmpfs_new,
                                       .reconfigure = tmpfs_reconfigure,
                                       .params = g_tmpfs_params};
static const struct fs_type g_ramfs = {.name = "ramfs",
                                       .nodev = true,
                                       .in_user_ns = true,
                                       .mount = tmpfs_new,
                                       .params = g_ramfs_params};
static const struct fs_type g_proc = {
    .name = "proc", .nodev = true, .in_user_ns = true, .mount = proc_new, .params = g_proc_params};
static const struct fs_type g_sysfs = {
    .name = "sysfs", .nodev = true, .in_user_ns = true, .mount = sys_new, .params = g_no_params};
static const struct fs_type g_devtmpfs = {
    .name = "devtmpfs", .nodev = true, .mount = dev_new, .params = g_tmpfs_params};
static const struct fs_type g_devpts = {
    .name = "devpts", .nodev = true, .in_user_ns = true, .mount = pts_new, .params = g_pts_params};
static const struct fs_type g_mqueue = {.name = "mqueue",
                                        .nodev = true,
                                        .in_user_ns = true,
                                        .mount = mqueue_new,
                                        .params = g_no_params};
const struct fs_type *const g_fs_types[] = {&g_tmpfs,    &g_ramfs,  &g_proc,   &g_sysfs,
                                            &g_devtmpfs, &g_devpts, &g_mqueue, NULL};

static const struct fs_type *type_find(const char *name)
{
    for (unsigned i = 0; g_fs_types[i]; i++)
        if (!strcmp(g_fs_types[i]->name, name))
            return g_fs_types[i];
    return NULL;
}

/* ---- contexts ---- */

int fs_context_new(const char *type, struct fs_context **out)
{
    size_t len = strcspn(type, "."); /* "fuse.sshfs": the type and a subtype */
    char name[32];
    if (len >= sizeof(name))
        return -ENODEV;
    memcpy(name, type, len);
    name[len] = 0;
    const struct fs_type *ft = type_find(name);
    if (!ft || (type[len] && !ft->subtypes))
        return -ENODEV;
    struct fs_context *fc = calloc(1, sizeof(*fc));
    if (!fc)
        return -ENOMEM;
    fc->type = ft;
    *out = fc;
    return 0;
}

int fs_context_for(struct superblock *sb, struct fs_context **out)
{
    int r = fs_context_new(sb->type_name, out);
    if (r)
        return r == -ENODEV ? -EOPNOTSUPP : r;
    superblock_hold(sb);
    (*out)->sb = sb;
    (*out)->phase = FS_CONTEXT_RECONFIGURE;
    (*out)->sb_flags = __atomic_load_n(&sb->read_only, __ATOMIC_RELAXED) ? MS_RDONLY : 0;
    return 0;
}

void fs_context_free(struct fs_context *fc)
{
    if (!fc)
        return;
    if (fc->sb)
        superblock_unhold(fc->sb);
    free(fc->source);
    free(fc->options);
    free(fc);
}

int fs_mount_named(const char *type, const char *options, struct superblock **out)
{
    struct fs_context *fc;
    int r = fs_context_new(type, &fc);
    if (r)
        return r;
    fc->options = options ? strdup(options) : NULL;
    r = options && !fc->options ? -ENOMEM : fc->type->mount(NULL, fc);
    if (!r)
        *out = fc->sb;
    fc->sb = NULL; /* the caller's, or not there */
    fs_context_free(fc);
    return r;
}

static bool generic_flag(struct fs_context *fc, const char *key)
{
    static const struct {
        const char *name;
        unsigned set, clear;
    } flags[] = {
        {"ro", MS_RDONLY, 0},           {"rw", 0, MS_RDONLY},       {"sync", MS_SYNCHRONOUS, 0},
        {"async", 0, MS_SYNCHRONOUS},   {"dirsync", MS_DIRSYNC, 0}, {"lazytime", MS_LAZYTIME, 0},
        {"nolazytime", 0, MS_LAZYTIME}, {"mand", MS_MANDLOCK, 0},   {"nomand", 0, MS_MANDLOCK}};
    for (unsigned i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        if (!strcmp(flags[i].name, key)) {
            fc->sb_flags = (fc->sb_flags | flags[i].set) & ~flags[i].clear;
            return true;
        }
    return false;
}

static int set_source(struct fs_context *fc, const char *value)
{
    if (!value || fc->source)
        return -EINVAL;
    fc->source = strdup(value);
    return fc->source ? 0 : -ENOMEM;
}

static int append_option(struct fs_context *fc, const char *key, const char *value)
{
    size_t old = fc->options ? strlen(fc->options) : 0;
    size_t add = strlen(key) + (value ? strlen(value) + 1 : 0) + 2;
    if (old + add > OPTIONS_MAX || (value && strchr(value, ',')))
        return -EINVAL;
    char *bigger = realloc(fc->options, old + add);
    if (!bigger)
        return -ENOMEM;
    fc->options = bigger;
    snprintf(bigger + old, add, "%s%s%s%s", old ? "," : "", key, value ? "=" : "",
             value ? value : "");
    return 0;
}

int fs_context_param(struct fs_context *fc, const char *key, const char *value)
{
    if (!strcmp(key, "source"))
        return set_source(fc, value);
    if (!value && generic_flag(fc, key))
        return 0;
    for (const struct fs_param *p = fc->type->params; p->name; p++)
        if (!strcmp(p->name, key))
            return (p->kind == FS_PARAM_VALUE) == (value != NULL) ? append_option(fc, key, value)
                                                                  : -EINVAL;
    return -EINVAL;
}

/* mount(2)'s data. */
int fs_context_options(struct fs_context *fc, const char *data)
{
    char *copy = data ? strdup(data) : NULL, *save = NULL;
    int r = data && !copy ? -ENOMEM : 0;
    for (char *o = copy ? strtok_r(copy, ",", &save) : NULL; o && !r;
         o = strtok_r(NULL, ",", &save)) {
        char *eq = strchr(o, '=');
        if (eq)
            *eq = 0;
        r = fs_context_param(fc, o, eq ? eq + 1 : NULL);
    }
    free(copy);
    return r;
}

static bool may_create(struct task *t, const struct fs_context *fc)
{
    const struct user_ns *ns = fc->type->in_user_ns ? t->cred->user_ns : g_kernel.root_user_ns;
    return cred_capable(t->cred, ns, CAP_SYS_ADMIN);
}

int fs_context_create(struct task *t, struct fs_context *fc)
{
    if (!may_create(t, fc))
        return -EPERM;
    struct superblock *none = fc->sb;
    int r = none ? -EBUSY : fc->type->mount(t, fc);
    if (r)
        return r;
    __atomic_add_fetch(&fc->sb->active, 1, __ATOMIC_ACQ_REL); /* the context's hold */
    if (fc->sb_flags & MS_RDONLY)
        __atomic_store_n(&fc->sb->read_only, true, __ATOMIC_RELAXED);
    return 0;
}

int fs_context_reconfigure(struct task *t, struct fs_context *fc)
{
    if (!cred_capable(t->cred, g_kernel.root_user_ns, CAP_SYS_ADMIN))
        return -EPERM;
    bool ro = fc->sb_flags & MS_RDONLY;
    if (ro && mount_super_has_writers(fc->sb))
        return -EBUSY;
    int r = fc->options && fc->type->reconfigure ? fc->type->reconfigure(fc->sb, fc->options) : 0;
    if (!r)
        __atomic_store_n(&fc->sb->read_only, ro, __ATOMIC_RELAXED);
    return r;
}
