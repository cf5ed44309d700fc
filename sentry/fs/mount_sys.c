/* mount(2), umount2(2), pivot_root(2): what guests may do to their mount namespace.
 *
 * Propagation types are stored and shown, but events do not propagate: a shared mount behaves as a
 * private one. */
#include "fs/vfs_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#define MOUNTS_MAX 4096 /* in one namespace */
#define MOUNT_KEPT_FLAGS                                                                           \
    (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME | MS_RELATIME)
#define PROPAGATION (MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE)

static int tmpfs_from_options(struct task *t, const char *source, uint64_t flags, const char *data,
                              struct superblock **out)
{
    return tmpfs_mount_options(data, out);
}

static int proc_new(struct task *t, const char *source, uint64_t flags, const char *data,
                    struct superblock **out)
{
    return procfs_mount(out);
}

static int sys_new(struct task *t, const char *source, uint64_t flags, const char *data,
                   struct superblock **out)
{
    return sysfs_mount(out);
}

static int dev_new(struct task *t, const char *source, uint64_t flags, const char *data,
                   struct superblock **out)
{
    return devfs_mount(out);
}

static int pts_new(struct task *t, const char *source, uint64_t flags, const char *data,
                   struct superblock **out)
{
    return devpts_mount(out);
}

static const struct fs_type g_tmpfs = {"tmpfs", true, tmpfs_from_options};
static const struct fs_type g_ramfs = {"ramfs", true, tmpfs_from_options};
static const struct fs_type g_proc = {"proc", true, proc_new};
static const struct fs_type g_sysfs = {"sysfs", true, sys_new};
static const struct fs_type g_devtmpfs = {"devtmpfs", true, dev_new};
static const struct fs_type g_devpts = {"devpts", true, pts_new};
const struct fs_type *const g_fs_types[] = {&g_tmpfs,    &g_ramfs,  &g_proc, &g_sysfs,
                                            &g_devtmpfs, &g_devpts, NULL};

static const struct fs_type *type_find(const char *name)
{
    for (unsigned i = 0; g_fs_types[i]; i++)
        if (!strcmp(g_fs_types[i]->name, name))
            return g_fs_types[i];
    return NULL;
}

static void count_one(struct mount *m, void *arg)
{
    ++*(unsigned *)arg;
}

static bool ns_full(struct mount_ns *ns)
{
    unsigned count = 0;
    mount_for_each(ns, count_one, &count);
    return count >= MOUNTS_MAX;
}

/* Graft m (reference consumed) at *at, or beneath what is mounted there already. */
static int graft(struct task *t, const struct path *at, struct mount *m)
{
    int r = ns_full(t->mount_ns) ? -ENOSPC : 0;
    lock_acquire(&g_mount_lock);
    if (!r && at->mnt->ns != t->mount_ns)
        r = -EINVAL;
    if (!r && inode_is_dir(at->dentry->inode) != inode_is_dir(m->root->inode))
        r = -ENOTDIR;
    if (!r)
        mount_graft_locked(m, at);
    lock_release(&g_mount_lock);
    mount_put(m);
    return r;
}

static int do_new(struct task *t, const struct path *at, const char *source, const char *type,
                  uint64_t flags, const char *data)
{
    if (!type)
        return -EINVAL;
    const struct fs_type *ft = type_find(type);
    if (!ft)
        return -ENODEV;
    struct superblock *sb;
    int r = ft->mount(t, source, flags, data, &sb);
    if (r)
        return r;
    struct mount *m = mount_new(sb, sb->root, flags & MOUNT_KEPT_FLAGS, source);
    superblock_put(sb);
    return m ? graft(t, at, m) : -ENOMEM;
}

static int do_bind(struct task *t, const struct path *at, const char *source, bool recursive)
{
    struct path from;
    if (!source || !*source)
        return -EINVAL;
    int r = vfs_walk(t, AT_FDCWD, source, WALK_FOLLOW, &from);
    if (r)
        return r;
    struct mount *m = NULL;
    lock_acquire(&g_mount_lock);
    if (from.mnt->propagation == MS_UNBINDABLE ||
        (from.mnt->ns != t->mount_ns && !nsfs_is(from.dentry)))
        r = -EINVAL;
    else
        r = mount_clone_locked(from.mnt, from.dentry, recursive, &m);
    lock_release(&g_mount_lock);
    path_put(&from);
    return r ? r : graft(t, at, m);
}

/* at must be the root of its mount for everything below. */
static bool is_mount_root(const struct path *p)
{
    return p->dentry == p->mnt->root;
}

static void set_flags(struct mount *m, uint64_t flags)
{
    unsigned keep = mount_flags(m) & ~MOUNT_KEPT_FLAGS;
    unsigned atime = MS_NOATIME | MS_NODIRATIME | MS_RELATIME;
    unsigned now = flags & MOUNT_KEPT_FLAGS;
    if (!(flags & (atime | MS_STRICTATIME)))
        now |= mount_flags(m) & atime;
    __atomic_store_n(&m->flags, keep | now, __ATOMIC_RELAXED);
}

static int do_remount(struct task *t, const struct path *at, uint64_t flags)
{
    if (!is_mount_root(at))
        return -EINVAL;
    LOCK_GUARD(&g_mount_lock);
    set_flags(at->mnt, flags);
    return 0;
}

static void set_propagation_locked(struct mount *m, int type, bool recursive)
{
    m->propagation = type;
    struct mount *child;
    if (recursive)
        list_for_each(child, &m->children, sibling) set_propagation_locked(child, type, true);
}

static int do_propagation(struct task *t, const struct path *at, uint64_t flags)
{
    unsigned type = flags & PROPAGATION;
    if (type & (type - 1))
        return -EINVAL;
    if (!is_mount_root(at))
        return -EINVAL;
    LOCK_GUARD(&g_mount_lock);
    set_propagation_locked(at->mnt, type, flags & MS_REC);
    return 0;
}

/* g_mount_lock held: is m at or above below? */
static bool mount_contains_locked(struct mount *m, struct mount *below)
{
    while (below && below != m)
        below = below->parent;
    return below == m;
}

static int move_locked(struct task *t, struct mount *m, const struct path *to,
                       struct path *old_links)
{
    if (!m->parent || m->ns != t->mount_ns || to->mnt->ns != t->mount_ns)
        return -EINVAL;
    if (mount_contains_locked(m, to->mnt))
        return -ELOOP;
    if (inode_is_dir(to->dentry->inode) != inode_is_dir(m->root->inode))
        return -ENOTDIR;
    *old_links = (struct path){m->parent, m->mountpoint};
    mount_hash_del(m);
    list_del(&m->sibling);
    mount_graft_locked(m, to);
    mount_put(m); /* graft took a second tree reference */
    return 0;
}

static int do_move(struct task *t, const struct path *at, const char *source)
{
    struct path from, old_links = {NULL, NULL};
    if (!source || !*source)
        return -EINVAL;
    int r = vfs_walk(t, AT_FDCWD, source, WALK_FOLLOW, &from);
    if (r)
        return r;
    if (is_mount_root(&from)) {
        lock_acquire(&g_mount_lock);
        r = move_locked(t, from.mnt, at, &old_links);
        lock_release(&g_mount_lock);
    } else {
        r = -EINVAL;
    }
    path_put(&old_links);
    path_put(&from);
    return r;
}

static int dispatch(struct task *t, const struct path *at, const char *source, const char *type,
                    uint64_t flags, const char *data)
{
    if (flags & MS_REMOUNT)
        return do_remount(t, at, flags);
    if (flags & MS_BIND)
        return do_bind(t, at, source, flags & MS_REC);
    if (flags & PROPAGATION)
        return do_propagation(t, at, flags);
    if (flags & MS_MOVE)
        return do_move(t, at, source);
    return do_new(t, at, source, type, flags, data);
}

int mount_do(struct task *t, const char *source, const char *target, const char *type,
             uint64_t flags, const char *data)
{
    struct path at;
    if ((flags & MS_MGC_MSK) == MS_MGC_VAL)
        flags &= ~(uint64_t)MS_MGC_MSK;
    int r = vfs_walk(t, AT_FDCWD, target, WALK_FOLLOW, &at);
    if (r)
        return r;
    r = cred_has_cap(t->cred, CAP_SYS_ADMIN) ? dispatch(t, &at, source, type, flags, data)
                                             : -EPERM;
    path_put(&at);
    return r;
}

/* ---- umount2 ---- */

static int umount_locked(struct task *t, struct mount *m, int flags, struct list *doomed)
{
    if (m->ns != t->mount_ns || !m->parent)
        return -EINVAL;
    if (flags & MNT_EXPIRE)
        return mount_busy_locked(m) ? -EBUSY : -EAGAIN;
    if (!(flags & MNT_DETACH) && mount_busy_locked(m))
        return -EBUSY;
    mount_detach_locked(m, doomed);
    return 0;
}

int mount_umount(struct task *t, const char *target, int flags)
{
    if (flags & ~(MNT_FORCE | MNT_DETACH | MNT_EXPIRE | UMOUNT_NOFOLLOW) ||
        ((flags & MNT_EXPIRE) && (flags & (MNT_FORCE | MNT_DETACH))))
        return -EINVAL;
    if (!cred_has_cap(t->cred, CAP_SYS_ADMIN))
        return -EPERM;
    struct path p;
    int r = vfs_walk(t, AT_FDCWD, target, flags & UMOUNT_NOFOLLOW ? 0 : WALK_FOLLOW, &p);
    if (r)
        return r;
    struct list doomed = LIST_INIT(doomed);
    if (!is_mount_root(&p)) {
        r = -EINVAL;
    } else {
        lock_acquire(&g_mount_lock);
        r = umount_locked(t, p.mnt, flags, &doomed);
        lock_release(&g_mount_lock);
    }
    mount_put_doomed(&doomed);
    path_put(&p);
    return r;
}

/* ---- pivot_root ---- */

static int pivot_check_locked(struct task *t, const struct path *new_root,
                              const struct path *put_old, const struct path *root)
{
    struct mount_ns *ns = t->mount_ns;
    if (new_root->mnt->ns != ns || put_old->mnt->ns != ns || root->mnt->ns != ns)
        return -EINVAL;
    if (new_root->mnt == root->mnt || put_old->mnt == root->mnt)
        return -EBUSY;
    if (!is_mount_root(new_root) || !is_mount_root(root) || !new_root->mnt->parent)
        return -EINVAL;
    return mount_contains_locked(new_root->mnt, put_old->mnt) ? 0 : -EINVAL;
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
        mount_put(n);
    } else {
        t->mount_ns->root = n; /* the tree's reference of n becomes the namespace's */
    }
    mount_graft_locked(o, put_old);
    mount_put(o);
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
    if (!cred_has_cap(t->cred, CAP_SYS_ADMIN))
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
