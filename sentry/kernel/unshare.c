/* unshare(2), and the namespaces that clone makes. Real: files, fs, mounts, UTS names are shared by
 * the sandbox and may be set by whoever has the right. Time namespaces do not exist. */
#include "kernel/kernel_priv.h"

#include "fs/vfs.h"
#include <errno.h>
#include <linux/sched.h>
#include <stdlib.h>

/* A new user namespace: the caller is its owner and has every capability in it. The sentry checks
 * capabilities against the root namespace (cred_has_cap), so these count for nothing outside. */
static int unshare_user(struct task *n)
{
    struct user_ns *old = n->cred->user_ns;
    if (old->level >= 32)
        return -ENOSPC;
    struct user_ns *ns = calloc(1, sizeof(*ns));
    struct cred *c = ns ? cred_copy(n->cred) : NULL;
    if (!c) {
        free(ns);
        return -ENOMEM;
    }
    ref_init(&ns->ref);
    ref_get(&old->ref);
    ns->parent = old;
    ns->level = old->level + 1;
    ns->owner_uid = n->cred->euid;
    (void)!ref_put(&c->user_ns->ref); /* cred_copy counted it; n->cred still holds it */
    c->user_ns = ns;
    c->cap_permitted = c->cap_effective = c->cap_bounding = CAP_ALL;
    c->cap_inheritable = c->cap_ambient = 0;
    c->securebits = 0;
    cred_commit(n, c);
    return 0;
}

static int unshare_mounts(struct task *n)
{
    struct mount_ns *copy;
    int r = mount_ns_copy(n->mount_ns, &copy);
    if (r)
        return r;
    mount_ns_remap_fs(n->mount_ns, copy, n->fs); /* a copy of its own, made before */
    lock_acquire(&n->lock);
    struct mount_ns *old = n->mount_ns;
    n->mount_ns = copy;
    lock_release(&n->lock);
    mount_ns_put(old);
    return 0;
}

/* For the children: a task's own namespace never changes. */
static int unshare_pids(struct task *n)
{
    struct pid_ns *old = n->child_pid_ns, *ns;
    int r = pid_ns_new(old, n->cred->user_ns, &ns);
    if (r)
        return r;
    n->child_pid_ns = ns;
    pid_ns_put(old);
    return 0;
}

int task_unshare_namespaces(struct task *n, uint64_t flags)
{
    int r = flags & CLONE_NEWUSER ? unshare_user(n) : 0;
    if (!r && (flags & CLONE_NEWPID))
        r = unshare_pids(n);
    if (!r && (flags & CLONE_NEWNS))
        r = unshare_mounts(n);
    return r;
}

static int unshare_files(struct task *t)
{
    struct fdtable *copy;
    int r = fdtable_copy(t->fds, &copy);
    if (r)
        return r;
    lock_acquire(&t->lock);
    struct fdtable *old = t->fds;
    t->fds = copy;
    lock_release(&t->lock);
    fdtable_put(old, t);
    return 0;
}

static int unshare_fs(struct task *t)
{
    struct fs_struct *copy;
    int r = fs_struct_copy(t->fs, &copy);
    if (r)
        return r;
    lock_acquire(&t->lock);
    struct fs_struct *old = t->fs;
    t->fs = copy;
    lock_release(&t->lock);
    fs_struct_put(old);
    return 0;
}

#define UNSHARE_KNOWN                                                                              \
    (CLONE_THREAD | CLONE_FS | CLONE_NEWNS | CLONE_SIGHAND | CLONE_VM | CLONE_FILES |              \
     CLONE_SYSVSEM | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWUSER | CLONE_NEWPID |   \
     CLONE_NEWCGROUP | CLONE_NEWTIME)
#define UNSHARE_SYSTEM                                                                             \
    (CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWCGROUP |   \
     CLONE_NEWTIME)

static bool unshare_is_single(struct task *t)
{
    LOCK_GUARD(&t->process->sig_lock);
    return t->process->task_count == 1;
}

int64_t task_unshare(struct task *t, uint64_t flags)
{
    if (flags & ~(uint64_t)UNSHARE_KNOWN)
        return -EINVAL;
    if ((flags & (CLONE_THREAD | CLONE_SIGHAND | CLONE_VM | CLONE_NEWUSER)) &&
        !unshare_is_single(t))
        return -EINVAL;
    if ((flags & CLONE_NEWTIME) ||
        ((flags & CLONE_NEWPID) && t->child_pid_ns != t->process->pid_ns))
        return -EINVAL;
    if ((flags & UNSHARE_SYSTEM) && !(flags & CLONE_NEWUSER) &&
        !cred_has_cap(t->cred, CAP_SYS_ADMIN))
        return -EPERM;
    int r = 0;
    if (flags & (CLONE_FS | CLONE_NEWNS | CLONE_NEWUSER))
        r = unshare_fs(t);
    if (!r && (flags & CLONE_FILES))
        r = unshare_files(t);
    if (!r)
        r = task_unshare_namespaces(t, flags);
    return r;
}
