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
#define UNIQUE_ID_BASE (1ull << 31) /* where Linux begins, too */

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
    m->unique_id = UNIQUE_ID_BASE + m->id;
    list_init(&m->children);
    list_node_init(&m->sibling);
    list_node_init(&m->peer_node);
    list_node_init(&m->slave_node);
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
    handle_forget_superblock(sb);
    if (__atomic_load_n(&sb->fan_marks, __ATOMIC_ACQUIRE))
        fanotify_object_gone(&sb->fan_marks);
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
    if (__atomic_load_n(&m->expiry_mark, __ATOMIC_RELAXED))
        __atomic_store_n(&m->expiry_mark, false, __ATOMIC_RELAXED);
    mount_put_quiet(m);
}

/* The last one, too: it is in no group any more. */
void mount_put_quiet(struct mount *m)
{
    if (!ref_put(&m->ref))
        return;
    if (__atomic_load_n(&m->fan_marks, __ATOMIC_ACQUIRE))
        fanotify_object_gone(&m->fan_marks);
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

int mount_writer_get(struct mount *m)
{
    if (!m)
        return 0;
    __atomic_add_fetch(&m->writers, 1, __ATOMIC_SEQ_CST);
    if (!(__atomic_load_n(&m->flags, __ATOMIC_SEQ_CST) & MS_RDONLY))
        return 0;
    mount_writer_put(m);
    return -EROFS;
}

void mount_writer_put(struct mount *m)
{
    if (m)
        __atomic_sub_fetch(&m->writers, 1, __ATOMIC_SEQ_CST);
}

bool mount_super_has_writers(struct superblock *sb)
{
    LOCK_GUARD(&g_dcache_lock);
    for (unsigned i = 0; i < MOUNT_BUCKETS; i++)
        for (struct mount *m = g_mounts[i]; m; m = m->hash_next)
            if (m->sb == sb && __atomic_load_n(&m->writers, __ATOMIC_SEQ_CST))
                return true;
    return false;
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

void mount_tuck_locked(struct mount *m, const struct path *p)
{
    lock_acquire(&g_dcache_lock);
    struct mount *above = mount_at_locked(p->mnt, p->dentry);
    lock_release(&g_dcache_lock);
    mount_graft_locked(m, p);
    if (!above)
        return;
    mount_hash_del(above);
    list_del(&above->sibling);
    mount_graft_locked(above, &(struct path){m, m->root});
    dentry_put(p->dentry); /* its former links; neither is the last reference */
    mount_put_quiet(p->mnt);
    mount_put_quiet(above);
}

bool mount_reachable_locked(const struct path *p, const struct path *root)
{
    struct mount *m = p->mnt;
    struct dentry *d = p->dentry;
    while (m != root->mnt && m->parent) {
        d = m->mountpoint;
        m = m->parent;
    }
    return m == root->mnt && dcache_is_ancestor(root->dentry, d);
}

static void ns_move_locked(struct mount *m, struct mount_ns *ns)
{
    if (m->ns)
        m->ns->count--;
    __atomic_store_n(&m->ns, ns, __ATOMIC_RELAXED);
    if (ns)
        ns->count++;
}

void mount_set_ns_locked(struct mount *m, struct mount_ns *ns)
{
    ns_move_locked(m, ns);
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
    if (m->ns && m->ns->root == m)
        m->ns->root = NULL;
    ns_move_locked(m, NULL);
    prop_private_locked(m);
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

static int clone_children_locked(struct mount *m, struct mount *copy, int what,
                                 enum mount_copy_mode mode)
{
    struct mount *child, *sub;
    list_for_each(child, &m->children, sibling)
    {
        if (!dcache_is_ancestor(copy->root, child->mountpoint) ||
            (child->unbindable && what != MOUNT_CLONE_ALL))
            continue;
        int r = mount_clone_locked(child, child->root, what, mode, &sub);
        if (r)
            return r;
        mount_graft_locked(sub, &(struct path){copy, child->mountpoint});
        mount_put_quiet(sub);
    }
    return 0;
}

int mount_clone_locked(struct mount *m, struct dentry *root, int what, enum mount_copy_mode mode,
                       struct mount **out)
{
    struct mount *copy = mount_new(m->sb, root, mount_flags(m), m->source);
    if (!copy)
        return -ENOMEM;
    copy->locked = m->locked;
    copy->locked_flags = m->locked_flags;
    int r = prop_inherit_locked(copy, m, mode);
    if (!r && what != MOUNT_CLONE_ONE)
        r = clone_children_locked(m, copy, what, mode);
    if (r) {
        struct list doomed = LIST_INIT(doomed);
        mount_detach_locked(copy, &doomed);
        mount_put_doomed(&doomed); /* not the last of their superblocks: the originals live */
        return r;
    }
    *out = copy;
    return 0;
}

static struct mount *mounted_at_locked(const struct dentry *d, const struct mount_ns *ns)
{
    for (unsigned i = 0; i < MOUNT_BUCKETS; i++)
        for (struct mount *m = g_mounts[i]; m; m = m->hash_next)
            if (m->mountpoint == d && (!ns || __atomic_load_n(&m->ns, __ATOMIC_RELAXED) == ns))
                return m;
    return NULL;
}

bool mount_is_local(struct mount *in, const struct dentry *d)
{
    LOCK_GUARD(&g_dcache_lock);
    return mounted_at_locked(d, in ? __atomic_load_n(&in->ns, __ATOMIC_RELAXED) : NULL);
}

void mount_dentry_gone(struct dentry *d)
{
    if (!__atomic_load_n(&d->mounted, __ATOMIC_RELAXED))
        return;
    struct list doomed = LIST_INIT(doomed);
    lock_acquire(&g_mount_lock);
    for (struct mount *m;;) {
        lock_acquire(&g_dcache_lock);
        m = mounted_at_locked(d, NULL);
        lock_release(&g_dcache_lock);
        if (!m)
            break;
        mount_detach_locked(m, &doomed);
    }
    lock_release(&g_mount_lock);
    mount_put_doomed(&doomed);
}

int mount_attach(struct mount_ns *ns, const struct path *at, struct superblock *sb,
                 struct dentry *root, unsigned flags, const char *source)
{
    struct mount *m = mount_new(sb, root ? root : sb->root, flags | MS_RELATIME, source);
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
