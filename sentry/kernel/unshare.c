/* unshare(2), setns(2), and the namespaces that clone makes.
 *
 * All is prepared in a struct ns_switch first; what is committed then cannot fail. There are no
 * time namespaces. */
#include "kernel/kernel_priv.h"

#include "fs/vfs.h"
#include "ipc/ipc.h"
#include <errno.h>
#include <linux/sched.h>
#include <stdlib.h>

#define IN_SET (CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWCGROUP)

/* ---- preparing, committing ---- */

static void switch_drop(struct ns_switch *sw)
{
    ns_set_put(sw->set);
    if (sw->cred)
        cred_put(sw->cred);
    if (sw->fs)
        fs_struct_put(sw->fs);
    if (sw->mount_ns)
        mount_ns_put(sw->mount_ns);
}

static void switch_commit(struct task *n, struct ns_switch *sw)
{
    struct ns_switch old = {0};
    lock_acquire(&n->lock);
    if (sw->set)
        old.set = n->ns_set, n->ns_set = sw->set;
    if (sw->cred)
        old.cred = n->cred, n->cred = sw->cred;
    if (sw->fs)
        old.fs = n->fs, n->fs = sw->fs;
    if (sw->mount_ns)
        old.mount_ns = n->mount_ns, n->mount_ns = sw->mount_ns;
    lock_release(&n->lock);
    switch_drop(&old);
}

static int prepare_user(struct task *n, struct ns_switch *sw)
{
    struct user_ns *ns;
    int r = user_ns_new(n, &ns);
    if (r)
        return r;
    sw->cred = cred_copy(n->cred);
    if (sw->cred)
        user_ns_adopt(sw->cred, ns);
    user_ns_put(ns);
    return sw->cred ? 0 : -ENOMEM;
}

static int prepare_mounts(struct task *n, struct ns_switch *sw, struct user_ns *owner)
{
    int r = ns_may_make(NS_MNT);
    if (!r)
        r = mount_ns_copy(n->mount_ns, owner, &sw->mount_ns);
    if (!r) /* fs is still ours alone */
        mount_ns_remap_fs(n->mount_ns, sw->mount_ns, sw->fs);
    return r;
}

static int prepare(struct task *n, uint64_t flags, struct ns_switch *sw)
{
    int r = flags & CLONE_NEWUSER ? prepare_user(n, sw) : 0;
    struct user_ns *owner = sw->cred ? sw->cred->user_ns : n->cred->user_ns;
    if (!r && (flags & (CLONE_FS | CLONE_NEWNS | CLONE_NEWUSER)))
        r = fs_struct_copy(n->fs, &sw->fs);
    if (!r && (flags & CLONE_NEWNS))
        r = prepare_mounts(n, sw, owner);
    if (!r && (flags & IN_SET))
        r = (sw->set = ns_set_copy(n->ns_set)) ? 0 : -ENOMEM;
    if (!r && sw->set)
        r = ns_set_renew(n, sw->set, owner, flags);
    return r;
}

int task_unshare_namespaces(struct task *n, uint64_t flags)
{
    struct ns_switch sw = {0};
    int r = prepare(n, flags, &sw);
    if (r)
        switch_drop(&sw);
    else
        switch_commit(n, &sw);
    return r;
}

/* ---- unshare(2) ---- */

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

#define UNSHARE_KNOWN                                                                              \
    (CLONE_THREAD | CLONE_FS | CLONE_NEWNS | CLONE_SIGHAND | CLONE_VM | CLONE_FILES |              \
     CLONE_SYSVSEM | CLONE_NEWUSER | IN_SET | CLONE_NEWTIME)
#define UNSHARE_SYSTEM (IN_SET | CLONE_NEWNS | CLONE_NEWTIME)

static bool unshare_is_single(struct task *t)
{
    LOCK_GUARD(&t->process->sig_lock);
    return t->process->task_count == 1;
}

static int unshare_check(struct task *t, uint64_t flags)
{
    if (flags & ~(uint64_t)UNSHARE_KNOWN)
        return -EINVAL;
    if ((flags & (CLONE_THREAD | CLONE_SIGHAND | CLONE_VM | CLONE_NEWUSER)) &&
        !unshare_is_single(t))
        return -EINVAL;
    if (flags & CLONE_NEWTIME)
        return -EINVAL;
    if ((flags & UNSHARE_SYSTEM) && !(flags & CLONE_NEWUSER) &&
        !cred_capable(t->cred, t->cred->user_ns, CAP_SYS_ADMIN))
        return -EPERM;
    if ((flags & CLONE_NEWPID) && t->ns_set->pid_children != t->process->pid_ns)
        return -EINVAL;
    return 0;
}

int64_t task_unshare(struct task *t, uint64_t flags)
{
    struct ns_switch sw = {0};
    int r = unshare_check(t, flags);
    if (!r)
        r = prepare(t, flags, &sw);
    if (!r && (flags & CLONE_FILES))
        r = unshare_files(t);
    if (r) {
        switch_drop(&sw);
        return r;
    }
    if (flags & (CLONE_SYSVSEM | CLONE_NEWIPC))
        sem_process_exit(t->process);
    switch_commit(t, &sw);
    return 0;
}

/* ---- setns(2) ---- */

static int setns_begin(struct task *t, uint64_t flags, struct ns_switch *sw)
{
    *sw = (struct ns_switch){.set = ns_set_copy(t->ns_set)};
    int r = sw->set ? 0 : -ENOMEM;
    if (!r && (flags & CLONE_NEWUSER))
        r = (sw->cred = cred_copy(t->cred)) ? 0 : -ENOMEM;
    if (!r && (flags & CLONE_NEWNS))
        r = fs_struct_copy(t->fs, &sw->fs);
    if (r)
        switch_drop(sw);
    return r;
}

static int64_t setns_end(struct task *t, int r, struct ns_switch *sw)
{
    if (r) {
        switch_drop(sw);
        return r;
    }
    if (sw->set->ipc != t->ns_set->ipc)
        sem_process_exit(t->process);
    switch_commit(t, sw);
    return 0;
}

int64_t task_setns(struct task *t, struct ns *ns, int type)
{
    struct ns_switch sw;
    if (type && type != ns->ops->clone_flag)
        return -EINVAL;
    int r = setns_begin(t, ns->ops->clone_flag, &sw);
    return r ? r : setns_end(t, ns->ops->enter(t, ns, &sw), &sw);
}

/* The user namespace first: the others are judged by what one may do in it. */
int64_t task_setns_process(struct task *t, struct process *p, int flags)
{
    static const enum ns_kind order[] = {NS_USER, NS_MNT,    NS_UTS, NS_IPC,
                                         NS_PID,  NS_CGROUP, NS_NET};
    static const int flag_of[NS_KINDS] = {
        [NS_CGROUP] = CLONE_NEWCGROUP, [NS_IPC] = CLONE_NEWIPC, [NS_MNT] = CLONE_NEWNS,
        [NS_NET] = CLONE_NEWNET,       [NS_PID] = CLONE_NEWPID, [NS_USER] = CLONE_NEWUSER,
        [NS_UTS] = CLONE_NEWUTS};
    struct ns_switch sw;
    if (!flags || (flags & ~(IN_SET | CLONE_NEWNS | CLONE_NEWUSER)))
        return -EINVAL;
    struct task *o = task_by_id(p->pid);
    int r = o && o->process == p ? cred_may_ptrace(t, o) : -ESRCH;
    if (!r)
        r = setns_begin(t, flags, &sw);
    for (unsigned i = 0; !r && i < sizeof(order) / sizeof(order[0]); i++) {
        struct ns *ns = flags & flag_of[order[i]] ? task_ns_get(o, order[i], false) : NULL;
        if (flags & flag_of[order[i]])
            r = ns ? ns->ops->enter(t, ns, &sw) : -ESRCH;
        ns_put(ns);
        if (r)
            switch_drop(&sw);
    }
    if (o)
        task_put(o);
    return r ? r : setns_end(t, 0, &sw);
}
