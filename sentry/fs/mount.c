/* The mount tree: which superblock is grafted where, in which namespace.
 *
 * A mount is attached (parent and mountpoint set, in the mount hash, the tree holds a reference),
 * the root of a namespace, or detached. g_mount_lock orders every change; the hash and the parent
 * links change under g_dcache_lock too, so that a path walk needs only that one. */
#include "base/log.h"
#include "fs/vfs_priv.h"

#include <errno.h>
#include <linux/sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#define MOUNT_BUCKETS 256

struct lock g_mount_lock = LOCK_INITIALIZER(LR_MOUNT);
static struct mount *g_mounts[MOUNT_BUCKETS]; /* lock: LR_DCACHE */
static int g_next_id = 20;                    /* atomic */

static struct mount **bucket_of(const struct mount *parent, const struct dentry *at)
{
    uint64_t h = ((uintptr_t)parent ^ ((uintptr_t)at >> 3)) * 0x9e3779b97f4a7c15ull;
    return &g_mounts[h >> 56];
}

struct mount *mount_at_locked(struct mount *parent, const struct dentry *at)
{
    struct mount *m = *bucket_of(parent, at);
    while (m && (m->parent != parent || m->mountpoint != at))
        m = m->hash_next;
    return m;
}

bool mount_follow_down_locked(struct path *p)
{
    bool moved = false;
    while (__atomic_load_n(&p->dentry->mounted, __ATOMIC_RELAXED)) {
        struct mount *m = mount_at_locked(p->mnt, p->dentry);
        if (!m)
            break;
        *p = (struct path){m, m->root};
        moved = true;
    }
    return moved;
}

void superblock_hold(struct superblock *sb)
{
    superblock_get(sb);
    __atomic_add_fetch(&sb->active, 1, __ATOMIC_ACQ_REL);
}

struct mount *mount_new(struct superblock *sb, struct dentry *root, unsigned flags,
                        const char *source)
{
    struct mount *m = calloc(1, sizeof(*m));
    char *copy = strdup(source ? source : "none");
    if (!m || !copy) {
        free(m);
        free(copy);
        return NULL;
    }
    ref_init(&m->ref);
    superblock_hold(sb);
    dentry_get(root);
    m->sb = sb;
    m->root = root;
    m->flags = flags;
    m->source = copy;
    m->id = __atomic_fetch_add(&g_next_id, 1, __ATOMIC_RELAXED);
    m->propagation = MS_PRIVATE;
    list_init(&m->children);
    list_node_init(&m->sibling);
    return m;
}

void mount_get(struct mount *m)
{
    ref_get(&m->ref);
}

/* The last mount of a superblock breaks the cycle superblock → root → inode → superblock. */
static void superblock_deactivate(struct superblock *sb)
{
    if (__atomic_sub_fetch(&sb->active, 1, __ATOMIC_ACQ_REL))
        return;
    struct dentry *root = sb->root;
    sb->root = NULL;
    if (root) {
        dcache_drop_children(root);
        dentry_put(root);
    }
}

void superblock_unhold(struct superblock *sb)
{
    superblock_deactivate(sb);
    superblock_put(sb);
}

void mount_put(struct mount *m)
{
    if (!ref_put(&m->ref))
        return;
    dentry_put(m->root);
    superblock_unhold(m->sb);
    free(m->source);
    free(m);
}

void path_get(const struct path *p)
{
    if (p->mnt)
        mount_get(p->mnt);
    if (p->dentry)
        dentry_get(p->dentry);
}

void path_put(struct path *p)
{
    if (p->dentry)
        dentry_put(p->dentry);
    if (p->mnt)
        mount_put(p->mnt);
    p->dentry = NULL;
    p->mnt = NULL;
}

int path_want_write(const struct path *p)
{
    if (p->dentry && p->dentry->sb->read_only)
        return -EROFS;
    return p->mnt && (mount_flags(p->mnt) & MS_RDONLY) ? -EROFS : 0;
}

/* ---- the tree ---- */

void mount_hash_add(struct mount *m, struct mount *parent, struct dentry *mountpoint)
{
    LOCK_GUARD(&g_dcache_lock);
    struct mount **b = bucket_of(parent, mountpoint);
    m->parent = parent;
    m->mountpoint = mountpoint;
    m->hash_next = *b;
    *b = m;
    __atomic_add_fetch(&mountpoint->mounted, 1, __ATOMIC_RELAXED);
}

void mount_hash_del(struct mount *m)
{
    LOCK_GUARD(&g_dcache_lock);
    struct mount **b = bucket_of(m->parent, m->mountpoint);
    while (*b != m)
        b = &(*b)->hash_next;
    *b = m->hash_next;
    __atomic_sub_fetch(&m->mountpoint->mounted, 1, __ATOMIC_RELAXED);
    m->parent = NULL;
    m->mountpoint = NULL;
}

void mount_graft_locked(struct mount *m, const struct path *p)
{
    mount_get(m);
    path_get(p);
    mount_hash_add(m, p->mnt, p->dentry);
    list_push_back(&p->mnt->children, &m->sibling);
    mount_set_ns_locked(m, p->mnt->ns);
}

void mount_set_ns_locked(struct mount *m, struct mount_ns *ns)
{
    m->ns = ns;
    struct mount *child;
    list_for_each(child, &m->children, sibling) mount_set_ns_locked(child, ns);
}

/* The tree holds one reference, each child one, and the caller of umount one (its path). */
bool mount_busy_locked(struct mount *m)
{
    return !list_empty(&m->children) || ref_read(&m->ref) > 2;
}

/* Nothing is freed here: doomed mounts keep their parent references until mount_put_doomed. */
void mount_detach_locked(struct mount *m, struct list *doomed)
{
    while (!list_empty(&m->children))
        mount_detach_locked(list_first(&m->children, struct mount, sibling), doomed);
    struct path at = {m->parent, m->mountpoint};
    if (m->parent)
        mount_hash_del(m);
    m->ns = NULL;
    list_del(&m->sibling);
    list_push_back(doomed, &m->sibling);
    m->detached_from = at;
}

void mount_put_doomed(struct list *doomed)
{
    struct mount *m, *next;
    list_for_each_safe(m, next, doomed, sibling)
    {
        list_del(&m->sibling);
        path_put(&m->detached_from);
        mount_put(m);
    }
}

int mount_clone_locked(struct mount *m, struct dentry *root, bool recursive, struct mount **out)
{
    struct mount *copy = mount_new(m->sb, root, mount_flags(m), m->source);
    if (!copy)
        return -ENOMEM;
    copy->propagation = m->propagation;
    struct mount *child;
    if (recursive)
        list_for_each(child, &m->children, sibling)
        {
            struct mount *sub;
            if (!dcache_is_ancestor(root, child->mountpoint))
                continue;
            int r = mount_clone_locked(child, child->root, true, &sub);
            if (r) {
                struct list doomed = LIST_INIT(doomed);
                mount_detach_locked(copy, &doomed);
                mount_put_doomed(&doomed);
                return r;
            }
            mount_graft_locked(sub, &(struct path){copy, child->mountpoint});
            mount_put(sub);
        }
    *out = copy;
    return 0;
}

int mount_attach(struct mount_ns *ns, const struct path *at, struct superblock *sb,
                 struct dentry *root, unsigned flags, const char *source)
{
    struct mount *m = mount_new(sb, root ? root : sb->root, flags, source);
    if (!m)
        return -ENOMEM;
    lock_acquire(&g_mount_lock);
    struct path p = *at;
    lock_acquire(&g_dcache_lock);
    mount_follow_down_locked(&p);
    lock_release(&g_dcache_lock);
    int r = p.mnt->ns == ns ? 0 : -EINVAL;
    if (!r)
        mount_graft_locked(m, &p);
    lock_release(&g_mount_lock);
    mount_put(m);
    return r;
}

/* ---- namespaces ---- */

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
    struct mount *m = ns ? mount_new(root_sb, root_sb->root, flags, source) : NULL;
    if (!m) {
        ns_put(ns ? &ns->ns : NULL);
        return -ENOMEM;
    }
    ns->root = m;
    m->ns = ns;
    *out = ns;
    return 0;
}

int mount_ns_copy(struct mount_ns *src, struct user_ns *owner, struct mount_ns **out)
{
    struct mount_ns *ns = ns_alloc(owner);
    if (!ns)
        return -ENOMEM;
    lock_acquire(&g_mount_lock);
    int r = mount_clone_locked(src->root, src->root->root, /*recursive=*/true, &ns->root);
    if (!r)
        mount_set_ns_locked(ns->root, ns);
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
