/* umount2(2), pivot_root(2). */
#include "fs/vfs_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mount.h>

/* ---- umount2 ---- */

/* As path_put, without counting as a use of the mount (MNT_EXPIRE). */
static void path_put_quiet(struct path *p)
{
    dentry_put(p->dentry);
    mount_put_quiet(p->mnt);
}

/* A copy that an unmount propagates to: alone it may go if nobody is in it; with mounts below it
 * stays. */
static bool copy_is_idle(struct mount *m, void *arg)
{
    return !list_empty(&m->children) || ref_read(&m->ref) == 1;
}

static bool busy_locked(struct mount *m)
{
    return mount_busy_locked(m) || !prop_each_locked(m, copy_is_idle, NULL);
}

struct victims {
    struct mount **list;
    unsigned count, room;
};

static bool victim_add(struct mount *m, void *arg)
{
    struct victims *v = arg;
    if (v->count == v->room) {
        unsigned room = v->room ? v->room * 2 : 16;
        struct mount **bigger = realloc(v->list, room * sizeof(*bigger));
        if (!bigger)
            return false;
        v->list = bigger;
        v->room = room;
    }
    v->list[v->count++] = m;
    return true;
}

/* Without children, or with one that hides it only, which then takes its place. */
static void victim_remove_locked(struct mount *m, struct list *doomed)
{
    struct mount *top = list_first(&m->children, struct mount, sibling);
    if (top && (top->mountpoint != m->root || top->sibling.next != &m->children.head))
        return;
    if (top) {
        struct path place = {m->parent, m->mountpoint};
        mount_hash_del(top);
        list_del(&top->sibling);
        mount_graft_locked(top, &place);
        mount_put_quiet(top); /* its former tree reference, and what its former links held: */
        dentry_put(m->root);
        mount_put_quiet(m);
    }
    mount_detach_locked(m, doomed);
}

/* Deepest first, so that a copy has lost its own children when its turn comes. */
static void umount_tree_locked(struct mount *m, struct list *doomed)
{
    while (!list_empty(&m->children))
        umount_tree_locked(list_first(&m->children, struct mount, sibling), doomed);
    struct victims v = {0};
    (void)prop_each_locked(m, victim_add, &v); /* out of memory: fewer copies go */
    mount_detach_locked(m, doomed);
    for (unsigned i = 0; i < v.count; i++)
        victim_remove_locked(v.list[i], doomed);
    free(v.list);
}

static int expire_locked(struct task *t, struct mount *m, const struct path *root)
{
    if (m == root->mnt)
        return -EINVAL;
    if (mount_busy_locked(m))
        return -EBUSY;
    return __atomic_exchange_n(&m->expiry_mark, true, __ATOMIC_RELAXED) ? 0 : -EAGAIN;
}

static int umount_locked(struct task *t, struct mount *m, int flags, const struct path *root,
                         struct list *doomed)
{
    if (m->ns != t->mount_ns || m->locked)
        return -EINVAL;
    if ((flags & MNT_FORCE) && !cred_has_cap(t->cred, CAP_SYS_ADMIN))
        return -EPERM;
    int r = flags & MNT_EXPIRE ? expire_locked(t, m, root) : 0;
    if (r)
        return r;
    if (m == root->mnt && !(flags & MNT_DETACH)) { /* the root cannot go: it becomes read-only */
        if (!cred_has_cap(t->cred, CAP_SYS_ADMIN))
            return -EPERM;
        return mount_flags_set_locked(m, mount_flags(m) | MS_RDONLY);
    }
    if (!m->parent)
        return flags & MNT_DETACH ? -EINVAL : -EBUSY;
    if (!(flags & MNT_DETACH) && busy_locked(m))
        return -EBUSY;
    umount_tree_locked(m, doomed);
    return 0;
}

/* Also "." and the like name what is mounted over them. */
static void on_top_locked(struct path *p)
{
    struct path top = *p;
    lock_acquire(&g_dcache_lock);
    bool moved = mount_follow_down_locked(&top);
    lock_release(&g_dcache_lock);
    if (!moved)
        return;
    path_get(&top);
    dentry_put(p->dentry);
    mount_put_quiet(p->mnt);
    *p = top;
}

int mount_umount(struct task *t, const char *target, int flags)
{
    struct path p, root;
    if (flags & ~(MNT_FORCE | MNT_DETACH | MNT_EXPIRE | UMOUNT_NOFOLLOW))
        return -EINVAL;
    int r = vfs_walk(t, AT_FDCWD, target, flags & UMOUNT_NOFOLLOW ? 0 : WALK_FOLLOW, &p);
    if (r)
        return r;
    struct list doomed = LIST_INIT(doomed);
    fs_struct_root(t->fs, &root);
    lock_acquire(&g_mount_lock);
    on_top_locked(&p);
    if (!mount_may(t))
        r = -EPERM;
    else if (!mount_is_root_of(&p))
        r = -EINVAL;
    else if ((flags & MNT_EXPIRE) && (flags & (MNT_FORCE | MNT_DETACH)))
        r = -EINVAL;
    else
        r = umount_locked(t, p.mnt, flags, &root, &doomed);
    lock_release(&g_mount_lock);
    mount_put_doomed(&doomed);
    path_put(&root);
    path_put_quiet(&p);
    return r;
}

/* ---- pivot_root ---- */

static int pivot_check_locked(struct task *t, const struct path *new_root,
                              const struct path *put_old, const struct path *root)
{
    struct mount *n = new_root->mnt, *r = root->mnt;
    if (put_old->mnt->group || (n->parent && n->parent->group) || (r->parent && r->parent->group))
        return -EINVAL;
    if (n->ns != t->mount_ns || r->ns != t->mount_ns || put_old->mnt->ns != t->mount_ns ||
        n->locked)
        return -EINVAL;
    if (!new_root->dentry->hashed && new_root->dentry->parent != new_root->dentry)
        return -ENOENT;
    if (n == r || put_old->mnt == r)
        return -EBUSY;
    if (!mount_is_root_of(root) || !mount_is_root_of(new_root) || !n->parent)
        return -EINVAL;
    return mount_reachable_locked(put_old, new_root) && mount_reachable_locked(new_root, root)
               ? 0
               : -EINVAL;
}

/* The new root takes the old one's place, and the old one goes to put_old. */
static void pivot_locked(struct task *t, const struct path *new_root, const struct path *put_old,
                         const struct path *root, struct path old_links[2])
{
    struct mount *n = new_root->mnt, *o = root->mnt;
    old_links[0] = (struct path){n->parent, n->mountpoint};
    mount_hash_del(n);
    list_del(&n->sibling);
    old_links[1] = (struct path){o->parent, o->mountpoint};
    if (o->parent) {
        mount_hash_del(o);
        list_del(&o->sibling);
        mount_graft_locked(n, &old_links[1]);
        mount_put_quiet(n);
    } else {
        t->mount_ns->root = n; /* the tree's reference of n becomes the namespace's */
    }
    if (o->locked) {
        n->locked = true;
        o->locked = false;
    }
    struct path place = *put_old;
    lock_acquire(&g_dcache_lock);
    mount_follow_down_locked(&place);
    lock_release(&g_dcache_lock);
    mount_graft_locked(o, &place);
    mount_put_quiet(o);
}

struct pivot_fix {
    struct path from, to;
};

/* Every task whose root or cwd was the old root moves to the new one. */
static void pivot_fix_one(struct fs_struct *fs, const struct pivot_fix *fix)
{
    struct path drop[2] = {{NULL, NULL}, {NULL, NULL}};
    lock_acquire(&fs->lock);
    struct path *slots[2] = {&fs->root, &fs->cwd};
    for (int i = 0; i < 2; i++) {
        if (slots[i]->mnt != fix->from.mnt || slots[i]->dentry != fix->from.dentry)
            continue;
        drop[i] = *slots[i];
        *slots[i] = fix->to;
        path_get(slots[i]);
    }
    lock_release(&fs->lock);
    path_put(&drop[0]);
    path_put(&drop[1]);
}

static void pivot_fix_all(const struct pivot_fix *fix)
{
    int pid = 0;
    for (struct process *p; (p = process_next(pid)); process_put(p)) {
        pid = p->pid;
        int tid = 0;
        for (struct task *t; (t = task_next(p, tid)); task_put(t)) {
            tid = t->tid;
            struct fs_struct *fs = task_fs_get(t);
            if (!fs)
                continue;
            pivot_fix_one(fs, fix);
            fs_struct_put(fs);
        }
    }
}

int mount_pivot_root(struct task *t, const char *new_root, const char *put_old)
{
    if (!mount_may(t))
        return -EPERM;
    struct path n, o, root, old_links[2] = {{NULL, NULL}, {NULL, NULL}};
    int r = vfs_walk(t, AT_FDCWD, new_root, WALK_FOLLOW | WALK_DIRECTORY, &n);
    if (r)
        return r;
    r = vfs_walk(t, AT_FDCWD, put_old, WALK_FOLLOW | WALK_DIRECTORY, &o);
    if (r) {
        path_put(&n);
        return r;
    }
    fs_struct_root(t->fs, &root);
    lock_acquire(&g_mount_lock);
    r = pivot_check_locked(t, &n, &o, &root);
    if (!r)
        pivot_locked(t, &n, &o, &root, old_links);
    lock_release(&g_mount_lock);
    if (!r)
        pivot_fix_all(&(struct pivot_fix){root, n});
    path_put(&old_links[0]);
    path_put(&old_links[1]);
    path_put(&root);
    path_put(&o);
    path_put(&n);
    return r;
}
