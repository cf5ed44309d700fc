/* mount(2): what guests may do to their mount namespace. The checks and their order are Linux's. */
#include "fs/vfs_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#define PROPAGATION (MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE)

bool mount_may(struct task *t)
{
    return cred_capable(t->cred, t->mount_ns->ns.owner, CAP_SYS_ADMIN);
}

bool mount_is_root_of(const struct path *p)
{
    return p->dentry == p->mnt->root;
}

/* ---- putting into the tree ---- */

/* The place where something mounted at *at comes to stand: on top of what is there. g_mount_lock
 * held. */
static int place_locked(struct task *t, struct path *at)
{
    lock_acquire(&g_dcache_lock);
    mount_follow_down_locked(at);
    bool gone = !at->dentry->hashed && at->dentry->parent != at->dentry;
    lock_release(&g_dcache_lock);
    if (gone)
        return -ENOENT;
    return at->mnt->ns == t->mount_ns ? 0 : -EINVAL;
}

/* Hang m, which is attached nowhere, there. The caller keeps its reference. */
static int attach_locked(struct mount *m, const struct path *at, struct list *doomed)
{
    if (at->mnt->ns->count + prop_tree_size_locked(m) > MOUNTS_MAX)
        return -ENOSPC;
    int r = prop_mount_locked(m, at, doomed);
    if (!r)
        mount_graft_locked(m, at);
    return r;
}

/* m, whose reference is consumed, at *at. */
static int graft_locked(struct task *t, const struct path *at, struct mount *m, struct list *doomed)
{
    struct path place = *at;
    int r = place_locked(t, &place);
    if (!r && inode_is_dir(place.dentry->inode) != inode_is_dir(m->root->inode))
        r = -ENOTDIR;
    if (!r)
        r = attach_locked(m, &place, doomed);
    if (r)
        mount_detach_locked(m, doomed);
    else
        mount_put_quiet(m);
    return r;
}

static int graft(struct task *t, const struct path *at, struct mount *m)
{
    struct list doomed = LIST_INIT(doomed);
    lock_acquire(&g_mount_lock);
    int r = graft_locked(t, at, m, &doomed);
    lock_release(&g_mount_lock);
    mount_put_doomed(&doomed);
    return r;
}

/* ---- new ---- */

static int do_new(struct task *t, const struct path *at, const char *source, const char *type,
                  unsigned sb_flags, unsigned flags, const char *data)
{
    struct fs_context *fc;
    struct mount *m = NULL;
    if (!type)
        return -EINVAL;
    int r = fs_context_new(type, &fc);
    if (r)
        return r;
    fc->sb_flags = sb_flags;
    if (source)
        r = fs_context_param(fc, "source", source);
    if (!r)
        r = fs_context_options(fc, data);
    if (!r)
        r = fs_context_create(t, fc);
    if (!r)
        r = (m = mount_new(fc->sb, fc->sb->root, flags, fc->source)) ? 0 : -ENOMEM;
    fs_context_free(fc);
    return r ? r : graft(t, at, m);
}

/* ---- bind ---- */

static int bind_check_locked(struct task *t, const struct path *from, bool recursive)
{
    if (from->mnt->unbindable)
        return -EINVAL;
    if (from->mnt->ns != t->mount_ns && !nsfs_is(from->dentry) &&
        !(from->mnt->ns && from->mnt->ns->anonymous))
        return -EINVAL;
    if (!recursive && prop_has_locked_children_locked(from->mnt, from->dentry))
        return -EINVAL;
    return 0;
}

int mount_bind_copy_locked(struct task *t, const struct path *from, bool recursive,
                           struct mount **out)
{
    int r = bind_check_locked(t, from, recursive);
    if (!r)
        r = mount_clone_locked(from->mnt, from->dentry,
                               recursive ? MOUNT_CLONE_REC : MOUNT_CLONE_ONE, MOUNT_COPY_SAME, out);
    if (!r)
        (*out)->locked = false;
    return r;
}

static int do_bind(struct task *t, const struct path *at, const char *source, bool recursive)
{
    struct path from;
    struct mount *m;
    if (!source || !*source)
        return -EINVAL;
    int r = vfs_walk(t, AT_FDCWD, source, WALK_FOLLOW, &from);
    if (r)
        return r;
    struct list doomed = LIST_INIT(doomed);
    lock_acquire(&g_mount_lock);
    r = mount_bind_copy_locked(t, &from, recursive, &m);
    if (!r)
        r = graft_locked(t, at, m, &doomed);
    lock_release(&g_mount_lock);
    mount_put_doomed(&doomed);
    path_put(&from);
    return r;
}

/* ---- flags ---- */

/* What came from a more privileged namespace may be tightened, not loosened. */
bool mount_flags_allowed_locked(const struct mount *m, unsigned next)
{
    unsigned locked = m->locked_flags & (MS_RDONLY | MS_NODEV | MS_NOSUID | MS_NOEXEC);
    if (locked & ~next)
        return false;
    return !(m->locked_flags & MS_NOATIME) || ((mount_flags(m) ^ next) & MOUNT_ATIME_FLAGS) == 0;
}

/* -EBUSY: it is to become read-only, and files are open for writing. */
int mount_flags_set_locked(struct mount *m, unsigned next)
{
    unsigned old = mount_flags(m);
    next = (old & ~MOUNT_GUEST_FLAGS) | (next & MOUNT_GUEST_FLAGS);
    __atomic_store_n(&m->flags, next, __ATOMIC_SEQ_CST);
    if (!(next & MS_RDONLY) || (old & MS_RDONLY) || !__atomic_load_n(&m->writers, __ATOMIC_SEQ_CST))
        return 0;
    __atomic_store_n(&m->flags, old, __ATOMIC_SEQ_CST);
    return -EBUSY;
}

static int change_flags_check_locked(struct task *t, const struct path *at, unsigned flags)
{
    if (at->mnt->ns != t->mount_ns || !mount_is_root_of(at))
        return -EINVAL;
    return mount_flags_allowed_locked(at->mnt, flags) ? 0 : -EPERM;
}

/* MS_REMOUNT|MS_BIND: of this one mount. */
static int do_reconfigure(struct task *t, const struct path *at, unsigned flags)
{
    LOCK_GUARD(&g_mount_lock);
    int r = change_flags_check_locked(t, at, flags);
    return r ? r : mount_flags_set_locked(at->mnt, flags);
}

/* MS_REMOUNT: of the filesystem, and of this mount of it. */
static int do_remount(struct task *t, const struct path *at, unsigned sb_flags, unsigned flags,
                      const char *data)
{
    struct fs_context *fc = NULL;
    lock_acquire(&g_mount_lock);
    int r = change_flags_check_locked(t, at, flags);
    lock_release(&g_mount_lock);
    if (!r)
        r = fs_context_for(at->mnt->sb, &fc);
    if (r == -EOPNOTSUPP) /* the root and its kin, which guests cannot mount: flags alone */
        return cred_has_cap(t->cred, CAP_SYS_ADMIN) ? do_reconfigure(t, at, flags) : -EPERM;
    if (!r) {
        fc->sb_flags = sb_flags;
        r = fs_context_options(fc, data);
    }
    if (!r)
        r = fs_context_reconfigure(t, fc);
    fs_context_free(fc);
    if (r)
        return r;
    LOCK_GUARD(&g_mount_lock);
    return mount_flags_set_locked(at->mnt, flags);
}

/* ---- propagation ---- */

int mount_propagation_locked(struct mount *m, unsigned type, bool recursive)
{
    if (type == MS_SHARED && recursive) {
        int r = prop_share_tree_locked(m);
        if (r)
            return r;
    }
    int r = prop_change_locked(m, type);
    struct mount *child;
    if (!r && recursive)
        list_for_each(child, &m->children, sibling)
        {
            r = mount_propagation_locked(child, type, true);
            if (r)
                break;
        }
    return r;
}

int mount_set_propagation(struct mount *m, unsigned type, bool recursive)
{
    LOCK_GUARD(&g_mount_lock);
    return mount_propagation_locked(m, type, recursive);
}

static int do_propagation(struct task *t, const struct path *at, uint64_t flags)
{
    uint64_t type = flags & ~(uint64_t)(MS_REC | MS_SILENT);
    if (!mount_is_root_of(at))
        return -EINVAL;
    if ((type & ~(uint64_t)PROPAGATION) || !type || (type & (type - 1)))
        return -EINVAL;
    LOCK_GUARD(&g_mount_lock);
    if (at->mnt->ns != t->mount_ns)
        return -EINVAL;
    return mount_propagation_locked(at->mnt, type, flags & MS_REC);
}

/* ---- move ---- */

/* g_mount_lock held: is m at or above below? */
static bool contains_locked(const struct mount *m, const struct mount *below)
{
    while (below && below != m)
        below = below->parent;
    return below == m;
}

static int move_check_locked(struct task *t, const struct path *from, const struct path *to)
{
    struct mount *m = from->mnt;
    bool attached = m->parent != NULL;
    if (!m->ns || (m->ns != t->mount_ns && !(m->ns->anonymous && m->ns->root == m)))
        return -EINVAL;
    if (!mount_is_root_of(from) || (!attached && !m->ns->anonymous) || m->locked)
        return -EINVAL;
    if (inode_is_dir(to->dentry->inode) != inode_is_dir(m->root->inode))
        return -EINVAL;
    if (attached && m->parent->group)
        return -EINVAL;
    if (to->mnt->group && prop_has_unbindable_locked(m))
        return -EINVAL;
    return contains_locked(m, to->mnt) ? -ELOOP : 0;
}

/* From where it is (or nowhere) to *to. old_links: to be put when the lock is dropped. */
static int move_locked(struct mount *m, const struct path *to, struct list *doomed,
                       struct path *old_links)
{
    struct mount_ns *from_ns = m->ns;
    if (m->ns != to->mnt->ns && to->mnt->ns->count + prop_tree_size_locked(m) > MOUNTS_MAX)
        return -ENOSPC;
    int r = prop_mount_locked(m, to, doomed);
    if (r)
        return r;
    *old_links = (struct path){m->parent, m->mountpoint};
    if (m->parent) {
        mount_hash_del(m);
        list_del(&m->sibling);
    } else {
        from_ns->root = NULL;
    }
    mount_tuck_locked(m, to); /* nothing stands there, but for MOVE_MOUNT_BENEATH */
    mount_put_quiet(m); /* tuck took a second tree reference */
    return 0;
}

/* Where the mount at *at itself is mounted. */
static int beneath_locked(struct task *t, struct path *at)
{
    struct mount *top = at->mnt;
    if (!mount_is_root_of(at) || !top->parent || top->ns != t->mount_ns || top->locked)
        return -EINVAL;
    *at = (struct path){top->parent, top->mountpoint};
    return 0;
}

int mount_move(struct task *t, const struct path *from, const struct path *to, bool beneath)
{
    struct list doomed = LIST_INIT(doomed);
    struct path old_links = {NULL, NULL}, place = *to;
    lock_acquire(&g_mount_lock);
    int r = beneath ? beneath_locked(t, &place) : place_locked(t, &place);
    if (!r)
        r = move_check_locked(t, from, &place);
    if (!r)
        r = move_locked(from->mnt, &place, &doomed, &old_links);
    lock_release(&g_mount_lock);
    mount_put_doomed(&doomed);
    path_put(&old_links);
    return r;
}

static int do_move(struct task *t, const struct path *at, const char *source)
{
    struct path from;
    if (!source || !*source)
        return -EINVAL;
    int r = vfs_walk(t, AT_FDCWD, source, WALK_FOLLOW, &from);
    if (r)
        return r;
    r = mount_move(t, &from, at, /*beneath=*/false);
    path_put(&from);
    return r;
}

/* ---- mount(2) ---- */

static unsigned per_mount_flags(const struct path *at, uint64_t flags)
{
    unsigned f = flags & (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME |
                          MS_NODIRATIME | MS_NOSYMFOLLOW_K);
    if (!(flags & MS_NOATIME))
        f |= MS_RELATIME;
    if (flags & MS_STRICTATIME)
        f &= ~(unsigned)(MS_RELATIME | MS_NOATIME);
    if ((flags & MS_REMOUNT) && !(flags & (MOUNT_ATIME_FLAGS | MS_STRICTATIME)))
        f = (f & ~MOUNT_ATIME_FLAGS) | (mount_flags(at->mnt) & MOUNT_ATIME_FLAGS);
    return f;
}

static int dispatch(struct task *t, const struct path *at, const char *source, const char *type,
                    uint64_t flags, const char *data)
{
    unsigned per_mount = per_mount_flags(at, flags);
    unsigned sb_flags =
        flags & (MS_RDONLY | MS_SYNCHRONOUS | MS_MANDLOCK | MS_DIRSYNC | MS_LAZYTIME);
    if ((flags & (MS_REMOUNT | MS_BIND)) == (MS_REMOUNT | MS_BIND))
        return do_reconfigure(t, at, per_mount);
    if (flags & MS_REMOUNT)
        return do_remount(t, at, sb_flags, per_mount, data);
    if (flags & MS_BIND)
        return do_bind(t, at, source, flags & MS_REC);
    if (flags & PROPAGATION)
        return do_propagation(t, at, flags);
    if (flags & MS_MOVE)
        return do_move(t, at, source);
    return do_new(t, at, source, type, sb_flags, per_mount, data);
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
    if (flags & (1ull << 31)) /* MS_NOUSER: the kernel's own */
        r = -EINVAL;
    else if (!mount_may(t))
        r = -EPERM;
    else
        r = dispatch(t, &at, source, type, flags, data);
    path_put(&at);
    return r;
}
