/* User namespaces (user_namespaces(7)): who owns what, and what a capability is good for. */
#include "kernel/kernel_priv.h"

#include "fs/vfs.h"
#include <errno.h>
#include <linux/sched.h>
#include <stdlib.h>

#define USER_NS_LEVEL_MAX 32

static int user_enter(struct task *t, struct ns *ns, struct ns_switch *sw);

static void user_free(struct ns *ns)
{
    user_ns_maps_free(container_of(ns, struct user_ns, ns));
    free(container_of(ns, struct user_ns, ns));
}

static struct ns *user_parent(struct ns *ns)
{
    return ns->owner ? &ns->owner->ns : NULL;
}

static const struct ns_ops g_user_ops = {.kind = NS_USER,
                                         .name = "user",
                                         .clone_flag = CLONE_NEWUSER,
                                         .free = user_free,
                                         .enter = user_enter,
                                         .parent = user_parent};
static struct user_ns g_root_user_ns;

void user_ns_init(void)
{
    struct user_ns *ns = &g_root_user_ns;
    ns_init(&ns->ns, &g_user_ops, NULL);
    ns->ns.id = 0xeffffffd;
    ns->setgroups_allowed = true;
    g_kernel.root_user_ns = ns;
}

void user_ns_get(struct user_ns *ns)
{
    ns_get(&ns->ns);
}

void user_ns_put(struct user_ns *ns)
{
    ns_put(&ns->ns);
}

int user_ns_new(struct task *t, struct user_ns **out)
{
    struct user_ns *old = t->cred->user_ns;
    if (old->level >= USER_NS_LEVEL_MAX || ns_may_make(NS_USER))
        return -ENOSPC;
    /* Nobody makes one who is nobody, or has been shut in. */
    if (!ids_mapped(old, t->cred->euid, t->cred->egid) || fs_task_is_chrooted(t))
        return -EPERM;
    struct user_ns *ns = calloc(1, sizeof(*ns));
    if (!ns)
        return -ENOMEM;
    ns_init(&ns->ns, &g_user_ops, old);
    ns->level = old->level + 1;
    ns->owner_uid = t->cred->euid;
    ns->owner_gid = t->cred->egid;
    ns->setgroups_allowed = old->setgroups_allowed;
    *out = ns;
    return 0;
}

int user_ns_new_for_container(struct user_ns **out)
{
    struct user_ns *ns = calloc(1, sizeof(*ns));
    if (!ns)
        return -ENOMEM;
    ns_init(&ns->ns, &g_user_ops, &g_root_user_ns);
    ns->level = 1;
    ns->setgroups_allowed = true;
    *out = ns;
    return 0;
}

void user_ns_adopt(struct cred *c, struct user_ns *ns)
{
    user_ns_get(ns);
    user_ns_put(c->user_ns);
    c->user_ns = ns;
    c->cap_permitted = c->cap_effective = c->cap_bounding = CAP_ALL;
    c->cap_inheritable = c->cap_ambient = 0;
    c->securebits = 0;
}

bool cred_capable_here(const struct cred *c, int cap)
{
    return c->cap_effective & 1ull << cap;
}

bool cred_capable(const struct cred *c, const struct user_ns *ns, int cap)
{
    for (; ns; ns = ns->ns.owner) {
        if (ns == c->user_ns)
            return c->cap_effective & 1ull << cap;
        if (ns->level <= c->user_ns->level)
            return false;
        if (ns->ns.owner == c->user_ns && ns->owner_uid == c->euid)
            return true;
    }
    return false;
}

static bool is_single(struct task *t)
{
    LOCK_GUARD(&t->process->sig_lock);
    return t->process->task_count == 1;
}

static int user_enter(struct task *t, struct ns *ns, struct ns_switch *sw)
{
    struct user_ns *to = container_of(ns, struct user_ns, ns);
    if (to == t->cred->user_ns || !is_single(t) || fs_struct_is_shared(t->fs))
        return -EINVAL;
    if (!cred_capable(t->cred, to, CAP_SYS_ADMIN))
        return -EPERM;
    user_ns_adopt(sw->cred, to);
    return 0;
}
