/* The mount calls of Linux 5.2 and later: open_tree, move_mount's groups, fsopen, fsconfig,
 * fsmount, fspick, mount_setattr.
 *
 * A detached tree is the root of an anonymous mount namespace, which its descriptor holds: if it
 * has not been moved into a real one by the time the descriptor goes, it goes too. A context's
 * states: parameters → created → (fsmount) mounted, which can be configured anew; or failed, for
 * good. */
#include "fs/vfs_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- detached trees ---- */

/* A descriptor for the root of m, whose reference is consumed. */
static int open_detached(struct task *t, struct mount *m, struct file **out)
{
    struct mount_ns *ns;
    struct path p = {m, m->root};
    path_get(&p);
    int r = mount_ns_anonymous(m, t->cred->user_ns, &ns);
    if (r) {
        struct list doomed = LIST_INIT(doomed);
        lock_acquire(&g_mount_lock);
        mount_detach_locked(m, &doomed);
        lock_release(&g_mount_lock);
        mount_put_doomed(&doomed);
    } else {
        r = file_open_path(t, &p, O_PATH, out);
        if (r) {
            mount_ns_put(ns);
        } else {
            (*out)->mode |= FMODE_DETACHED;
            (*out)->priv = ns;
        }
    }
    path_put(&p);
    return r;
}

int mount_open_tree(struct task *t, const struct path *p, bool clone, bool recursive,
                    struct file **out)
{
    struct mount *m;
    if (!clone)
        return file_open_path(t, p, O_PATH, out);
    lock_acquire(&g_mount_lock);
    int r = mount_bind_copy_locked(t, p, recursive, &m);
    lock_release(&g_mount_lock);
    return r ? r : open_detached(t, m, out);
}

static bool in_reach_locked(struct task *t, const struct mount *m)
{
    return m->ns && (m->ns == t->mount_ns || m->ns->anonymous);
}

/* MOVE_MOUNT_SET_GROUP: to, private so far, joins the peers and the master of from. */
int mount_set_group(struct task *t, const struct path *from, const struct path *to)
{
    LOCK_GUARD(&g_mount_lock);
    struct mount *f = from->mnt, *d = to->mnt;
    if (!mount_is_root_of(from) || !mount_is_root_of(to) || !in_reach_locked(t, f) ||
        !in_reach_locked(t, d))
        return -EINVAL;
    if (d->group || d->master || f->sb != d->sb || !dcache_is_ancestor(f->root, d->root) ||
        prop_has_locked_children_locked(f, d->root))
        return -EINVAL;
    return prop_inherit_locked(d, f, MOUNT_COPY_SAME);
}

/* ---- contexts ---- */

static void fscontext_release(struct file *f)
{
    struct fs_context *fc = f->priv;
    lock_destroy(&fc->lock);
    fs_context_free(fc);
}

/* What went wrong, in words; ENODATA when there is nothing to tell. */
static int64_t fscontext_read(struct file *f, struct uio *u, int64_t pos)
{
    struct fs_context *fc = f->priv;
    char text[sizeof(fc->message)];
    lock_acquire(&fc->lock);
    memcpy(text, fc->message, sizeof(text));
    fc->message[0] = 0;
    lock_release(&fc->lock);
    size_t len = strlen(text);
    if (!len)
        return -ENODATA;
    if (len > u->remaining)
        return -EMSGSIZE;
    return uio_to_user(u, text, len) == len ? (int64_t)len : -EFAULT;
}

static int fscontext_name(struct file *f, char *buf, size_t size)
{
    return snprintf(buf, size, "anon_inode:[fscontext]");
}

static const struct file_ops g_fscontext_ops = {
    .read = fscontext_read, .release = fscontext_release, .fdname = fscontext_name, .stream = true};

static int fscontext_file(struct fs_context *fc, struct file **out)
{
    lock_init(&fc->lock, LR_FILE_POS);
    int r = file_new_anon(&g_fscontext_ops, O_RDWR, fc, 0600, out);
    if (r) {
        lock_destroy(&fc->lock);
        fs_context_free(fc);
    }
    return r;
}

int fscontext_open(struct task *t, const char *type, struct file **out)
{
    struct fs_context *fc;
    int r = fs_context_new(type, &fc);
    return r ? r : fscontext_file(fc, out);
}

int fscontext_pick(struct task *t, const struct path *p, struct file **out)
{
    struct fs_context *fc;
    if (!mount_is_root_of(p))
        return -EINVAL;
    int r = fs_context_for(p->mnt->sb, &fc);
    return r ? r : fscontext_file(fc, out);
}

bool fscontext_is(const struct file *f)
{
    return f->ops == &g_fscontext_ops;
}

static int config_create(struct task *t, struct fs_context *fc, bool exclusive)
{
    if (fc->phase != FS_CONTEXT_PARAMS)
        return -EBUSY;
    int r = fs_context_create(t, fc);
    if (r != -EPERM)
        fc->phase = r ? FS_CONTEXT_FAILED : FS_CONTEXT_CREATED;
    return r;
}

static int config_reconfigure(struct task *t, struct fs_context *fc)
{
    if (fc->phase != FS_CONTEXT_RECONFIGURE)
        return -EBUSY;
    int r = fs_context_reconfigure(t, fc);
    free(fc->options);
    fc->options = NULL;
    fc->phase = r ? FS_CONTEXT_FAILED : FS_CONTEXT_MOUNTED;
    return r;
}

static int config_param(struct fs_context *fc, const char *key, const char *value)
{
    if (fc->phase == FS_CONTEXT_MOUNTED)
        fc->phase = FS_CONTEXT_RECONFIGURE;
    if (fc->phase != FS_CONTEXT_PARAMS && fc->phase != FS_CONTEXT_RECONFIGURE)
        return -EBUSY;
    int r = fs_context_param(fc, key, value);
    if (r == -EINVAL)
        snprintf(fc->message, sizeof(fc->message), "e %s: Unknown parameter '%.64s'\n",
                 fc->type->name, key);
    return r;
}

int fscontext_config(struct task *t, struct file *f, unsigned cmd, const char *key,
                     const char *value)
{
    struct fs_context *fc = f->priv;
    LOCK_GUARD(&fc->lock);
    if (cmd != FSCONFIG_SET_STRING && cmd != FSCONFIG_SET_FLAG &&
        fc->phase == FS_CONTEXT_MOUNTED) /* it has been mounted: from here on it is configured */
        fc->phase = FS_CONTEXT_RECONFIGURE;
    switch (cmd) {
    case FSCONFIG_SET_FLAG:
    case FSCONFIG_SET_STRING:
        return config_param(fc, key, value);
    case FSCONFIG_CMD_CREATE:
        return config_create(t, fc, false);
    case FSCONFIG_CMD_RECONFIGURE:
        return config_reconfigure(t, fc);
    case 8: /* FSCONFIG_CMD_CREATE_EXCL: younger than our libc; every instance here is new */
        return config_create(t, fc, true);
    default: /* binary values, paths and descriptors: no filesystem here has such a parameter */
        return fc->phase == FS_CONTEXT_PARAMS || fc->phase == FS_CONTEXT_RECONFIGURE ? -EINVAL
                                                                                     : -EBUSY;
    }
}

static int context_mount(struct fs_context *fc, unsigned flags, struct mount **out)
{
    LOCK_GUARD(&fc->lock);
    if (!fc->sb)
        return -EINVAL;
    if (fc->phase != FS_CONTEXT_CREATED)
        return -EBUSY;
    *out = mount_new(fc->sb, fc->sb->root, flags, fc->source);
    if (!*out)
        return -ENOMEM;
    free(fc->options);
    fc->options = NULL;
    fc->phase = FS_CONTEXT_MOUNTED;
    return 0;
}

int fscontext_mount(struct task *t, struct file *f, unsigned flags, struct file **out)
{
    struct mount *m;
    int r = context_mount(f->priv, flags, &m);
    return r ? r : open_detached(t, m, out);
}

/* ---- attributes of mounts ---- */

unsigned mount_attr_flags(uint64_t attr)
{
    static const struct {
        uint64_t attr;
        unsigned flag;
    } map[] = {{MOUNT_ATTR_RDONLY, MS_RDONLY},         {MOUNT_ATTR_NOSUID, MS_NOSUID},
               {MOUNT_ATTR_NODEV, MS_NODEV},           {MOUNT_ATTR_NOEXEC, MS_NOEXEC},
               {MOUNT_ATTR_NODIRATIME, MS_NODIRATIME}, {MOUNT_ATTR_NOSYMFOLLOW, MS_NOSYMFOLLOW_K}};
    unsigned flags = 0;
    for (unsigned i = 0; i < sizeof(map) / sizeof(map[0]); i++)
        if (attr & map[i].attr)
            flags |= map[i].flag;
    return flags;
}

static unsigned next_flags(const struct mount *m, const struct mount_change *c)
{
    return (mount_flags(m) & ~c->clear) | c->set;
}

static int attr_check_locked(const struct mount *m, const struct mount_change *c)
{
    unsigned next = next_flags(m, c);
    if (!mount_flags_allowed_locked(m, next))
        return -EPERM;
    bool turns = (next & MS_RDONLY) && !(mount_flags(m) & MS_RDONLY);
    return turns && __atomic_load_n(&m->writers, __ATOMIC_SEQ_CST) ? -EBUSY : 0;
}

int mount_attr_change(struct task *t, const struct path *p, bool recursive,
                      const struct mount_change *c)
{
    LOCK_GUARD(&g_mount_lock);
    struct mount *root = p->mnt, *m;
    if (!mount_is_root_of(p) || !in_reach_locked(t, root))
        return -EINVAL;
    for (m = root; m; m = recursive ? mount_tree_next(m, root) : NULL) {
        int r = attr_check_locked(m, c);
        if (r)
            return r;
    }
    if (c->propagation) {
        int r = mount_propagation_locked(root, c->propagation, recursive);
        if (r)
            return r;
    }
    for (m = root; m; m = recursive ? mount_tree_next(m, root) : NULL)
        (void)mount_flags_set_locked(m, next_flags(m, c)); /* a writer since: stays as it is */
    return 0;
}
