/* Mount namespaces: making, copying, entering. */
#include "fs/vfs_priv.h"

#include <errno.h>
#include <linux/sched.h>
#include <stdlib.h>
#include <sys/mount.h>

static void mount_ns_free(struct ns *base)
{
    struct mount_ns *ns = container_of(base, struct mount_ns, ns);
    struct list doomed = LIST_INIT(doomed);
    lock_acquire(&g_mount_lock);
    if (ns->root)
        mount_detach_locked(ns->root, &doomed);
    lock_release(&g_mount_lock);
    mount_put_doomed(&doomed);
    free(ns);
}

/* The caller's root and working directory become the root of the namespace, as what is mounted
 * there last shows it. */
static int mount_ns_enter(struct task *t, struct ns *base, struct ns_switch *sw)
{
    struct mount_ns *ns = container_of(base, struct mount_ns, ns);
    const struct cred *c = sw->cred ? sw->cred : t->cred;
    if (!cred_capable(c, base->owner, CAP_SYS_ADMIN) ||
        !cred_capable(c, c->user_ns, CAP_SYS_CHROOT) || !cred_capable(c, c->user_ns, CAP_SYS_ADMIN))
        return -EPERM;
    if (fs_struct_is_shared(t->fs))
        return -EINVAL;
    lock_acquire(&g_mount_lock);
    struct path top = {.mnt = ns->root, .dentry = ns->root->root};
    lock_acquire(&g_dcache_lock);
    mount_follow_down_locked(&top);
    lock_release(&g_dcache_lock);
    path_get(&top);
    lock_release(&g_mount_lock);
    struct path again = top;
    path_get(&again);
    fs_struct_set_root(sw->fs, &top);
    fs_struct_set_cwd(sw->fs, &again);
    mount_ns_get(ns);
    sw->mount_ns = ns;
    return 0;
}

static const struct ns_ops g_mount_ns_ops = {.kind = NS_MNT,
                                             .name = "mnt",
                                             .clone_flag = CLONE_NEWNS,
                                             .free = mount_ns_free,
                                             .enter = mount_ns_enter};

static struct mount_ns *ns_alloc(struct user_ns *owner)
{
    struct mount_ns *ns = calloc(1, sizeof(*ns));
    if (ns)
        ns_init(&ns->ns, &g_mount_ns_ops, owner);
    return ns;
}

void mount_ns_get(struct mount_ns *ns)
{
    ns_get(&ns->ns);
}

void mount_ns_put(struct mount_ns *ns)
{
    ns_put(&ns->ns);
}

int mount_ns_new(struct superblock *root_sb, unsigned flags, const char *source,
                 struct mount_ns **out)
{
    struct mount_ns *ns = ns_alloc(g_kernel.root_user_ns);
    struct mount *m = ns ? mount_new(root_sb, root_sb->root, flags | MS_RELATIME, source) : NULL;
    if (!m) {
        ns_put(ns ? &ns->ns : NULL);
        return -ENOMEM;
    }
    ns->root = m;
    m->ns = ns;
    *out = ns;
    return 0;
}

int mount_ns_anonymous(struct mount *consumed, struct user_ns *owner, struct mount_ns **out)
{
    struct mount_ns *ns = ns_alloc(owner);
    if (!ns)
        return -ENOMEM;
    ns->anonymous = true;
    ns->root = consumed;
    lock_acquire(&g_mount_lock);
    mount_set_ns_locked(consumed, ns);
    lock_release(&g_mount_lock);
    *out = ns;
    return 0;
}

/* In the hands of somebody with fewer rights: what hides below a mount stays hidden, and what a
 * flag forbids stays forbidden. */
static void mount_lock_tree_locked(struct mount *m)
{
    unsigned flags = mount_flags(m);
    m->locked_flags |= (flags & (MS_RDONLY | MS_NODEV | MS_NOSUID | MS_NOEXEC)) | MS_NOATIME;
    m->locked = m->parent != NULL;
    struct mount *child;
    list_for_each(child, &m->children, sibling) mount_lock_tree_locked(child);
}

int mount_ns_copy(struct mount_ns *src, struct user_ns *owner, struct mount_ns **out)
{
    struct mount_ns *ns = ns_alloc(owner);
    if (!ns)
        return -ENOMEM;
    lock_acquire(&g_mount_lock);
    bool below = owner != src->ns.owner;
    int r = mount_clone_locked(src->root, src->root->root, MOUNT_CLONE_ALL,
                               below ? MOUNT_COPY_DEMOTE : MOUNT_COPY_SAME, &ns->root);
    if (!r)
        mount_set_ns_locked(ns->root, ns);
    if (!r && below)
        mount_lock_tree_locked(ns->root);
    lock_release(&g_mount_lock);
    if (r)
        mount_ns_put(ns);
    else
        *out = ns;
    return r;
}

static void for_each_locked(struct mount *m, void (*fn)(struct mount *, void *), void *arg)
{
    fn(m, arg);
    struct mount *child;
    list_for_each(child, &m->children, sibling) for_each_locked(child, fn, arg);
}

void mount_for_each(struct mount_ns *ns, void (*fn)(struct mount *m, void *arg), void *arg)
{
    LOCK_GUARD(&g_mount_lock);
    for_each_locked(ns->root, fn, arg);
}

/* The mount in copy that stands where m stands in the tree below from: same shape by construction.
 */
static struct mount *counterpart_locked(struct mount *from, struct mount *copy, struct mount *m)
{
    if (from == m)
        return copy;
    struct mount *child;
    list_for_each(child, &from->children, sibling)
    {
        struct mount *sub = mount_at_locked(copy, child->mountpoint);
        struct mount *found = sub ? counterpart_locked(child, sub, m) : NULL;
        if (found)
            return found;
    }
    return NULL;
}

static void remap_path(struct mount_ns *from, struct mount_ns *to, struct path *p)
{
    lock_acquire(&g_mount_lock);
    lock_acquire(&g_dcache_lock);
    struct mount *m = counterpart_locked(from->root, to->root, p->mnt);
    lock_release(&g_dcache_lock);
    struct mount *old = NULL;
    if (m) {
        mount_get(m);
        old = p->mnt;
        p->mnt = m;
    }
    lock_release(&g_mount_lock);
    if (old)
        mount_put(old);
}

/* fs is not shared with anyone yet. */
void mount_ns_remap_fs(struct mount_ns *from, struct mount_ns *to, struct fs_struct *fs)
{
    remap_path(from, to, &fs->root);
    remap_path(from, to, &fs->cwd);
}
