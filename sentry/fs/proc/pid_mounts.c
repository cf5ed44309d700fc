/* /proc/PID/mounts, mountinfo, mountstats. */
#include "fs/proc/proc_priv.h"

#include "kernel/kernel.h"

#include <sys/mount.h>
#include <sys/sysmacros.h>

enum mounts_kind { MOUNTS, MOUNTINFO, MOUNTSTATS };

struct mounts_out {
    struct pbuf *b;
    struct path root; /* counted; where names begin */
    enum mounts_kind kind;
};

static void show_flags(struct pbuf *b, const struct mount *m)
{
    static const struct {
        unsigned flag;
        const char *text;
    } names[] = {{MS_NOSUID, ",nosuid"},         {MS_NODEV, ",nodev"},
                 {MS_NOEXEC, ",noexec"},         {MS_NOATIME, ",noatime"},
                 {MS_NODIRATIME, ",nodiratime"}, {MS_RELATIME, ",relatime"}};
    unsigned flags = mount_flags(m);
    pb_str(b, flags & MS_RDONLY ? "ro" : "rw");
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        if (flags & names[i].flag)
            pb_str(b, names[i].text);
    if (flags & MS_NOSYMFOLLOW_K)
        pb_str(b, ",nosymfollow");
}

static void show_super_options(struct pbuf *b, struct superblock *sb)
{
    char options[256] = "";
    pb_str(b, __atomic_load_n(&sb->read_only, __ATOMIC_RELAXED) ? "ro" : "rw");
    if (sb->ops && sb->ops->show_options)
        sb->ops->show_options(sb, options, sizeof(options));
    pb_str(b, options);
}

/* The name of m's root within its filesystem: "/" but for bind mounts. */
static void show_root(struct pbuf *b, struct mount *m)
{
    char room[VFS_PATH_MAX];
    struct path whole = {.mnt = NULL, .dentry = m->root};
    char *at = room + sizeof(room) - 1;
    *at = 0;
    lock_acquire(&g_dcache_lock);
    for (struct dentry *d = whole.dentry; d->parent != d; d = d->parent) {
        if (at - room < (ptrdiff_t)d->name_len + 1)
            break;
        at -= d->name_len;
        memcpy(at, d->name, d->name_len);
        *--at = '/';
    }
    lock_release(&g_dcache_lock);
    pb_escaped(b, *at ? at : "/");
}

/* A namespace's file has its name for a root. */
static void show_ns_root(struct pbuf *b, const struct mount *m)
{
    char name[64];
    nsfs_name(m->root->inode->priv, name, sizeof(name));
    pb_str(b, name);
}

static void show_propagation(struct pbuf *b, const struct mount *m)
{
    if (m->group)
        pb_printf(b, "shared:%d ", m->group->id);
    if (m->master)
        pb_printf(b, "master:%d ", m->master->id);
    if (m->unbindable)
        pb_str(b, "unbindable ");
}

static void one_mountinfo(struct pbuf *b, struct mount *m, const char *name)
{
    pb_printf(b, "%d %d %u:%u ", m->id, m->parent ? m->parent->id : m->id, major(m->sb->dev),
              minor(m->sb->dev));
    if (nsfs_is(m->root))
        show_ns_root(b, m);
    else
        show_root(b, m);
    pb_str(b, " ");
    pb_escaped(b, name);
    pb_str(b, " ");
    show_flags(b, m);
    pb_str(b, " ");
    show_propagation(b, m);
    pb_printf(b, "- %s ", m->sb->type_name);
    pb_escaped(b, m->source);
    pb_str(b, " ");
    show_super_options(b, m->sb);
    pb_str(b, "\n");
}

static void one_mounts(struct pbuf *b, struct mount *m, const char *name)
{
    char options[256] = "";
    pb_escaped(b, m->source);
    pb_str(b, " ");
    pb_escaped(b, name);
    pb_printf(b, " %s ", m->sb->type_name);
    show_flags(b, m);
    if (m->sb->ops && m->sb->ops->show_options)
        m->sb->ops->show_options(m->sb, options, sizeof(options));
    pb_str(b, options);
    pb_str(b, " 0 0\n");
}

static void one_mountstats(struct pbuf *b, struct mount *m, const char *name)
{
    pb_str(b, "device ");
    pb_escaped(b, m->source);
    pb_str(b, " mounted on ");
    pb_escaped(b, name);
    pb_printf(b, " with fstype %s\n", m->sb->type_name);
}

static void one_mount(struct mount *m, void *arg)
{
    struct mounts_out *o = arg;
    char room[VFS_PATH_MAX];
    struct path at = {.mnt = m, .dentry = m->root};
    const char *name = path_name(&at, &o->root, room, sizeof(room));
    if (!name || !strncmp(name, "(unreachable)", 13))
        return;
    if (o->kind == MOUNTINFO)
        one_mountinfo(o->b, m, name);
    else if (o->kind == MOUNTS)
        one_mounts(o->b, m, name);
    else
        one_mountstats(o->b, m, name);
}

static int show(struct pbuf *b, const struct proc_ctx *c, enum mounts_kind kind)
{
    struct mounts_out o = {.b = b, .kind = kind};
    struct fs_struct *fs = c->t ? task_fs_get(c->t) : NULL;
    if (!fs)
        return -EINVAL;
    fs_struct_root(fs, &o.root);
    fs_struct_put(fs);
    lock_acquire(&c->t->lock);
    struct mount_ns *ns = c->t->mount_ns;
    if (ns)
        mount_ns_get(ns);
    lock_release(&c->t->lock);
    if (ns) {
        mount_for_each(ns, one_mount, &o);
        mount_ns_put(ns);
    }
    path_put(&o.root);
    return 0;
}

int proc_show_mounts(struct pbuf *b, const struct proc_ctx *c)
{
    return show(b, c, MOUNTS);
}

int proc_show_mountinfo(struct pbuf *b, const struct proc_ctx *c)
{
    return show(b, c, MOUNTINFO);
}

int proc_show_mountstats(struct pbuf *b, const struct proc_ctx *c)
{
    return show(b, c, MOUNTSTATS);
}
