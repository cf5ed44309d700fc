/* What all namespaces have in common, sets of them, and the UTS kind. */
#include "kernel/kernel_priv.h"

#include "base/log.h"
#include "fs/vfs.h"
#include "ipc/ipc.h"
#include <errno.h>
#include <linux/sched.h>
#include <stdlib.h>
#include <string.h>

static uint64_t g_next_id = 0xf0000000; /* atomic; as Linux numbers them */

uint64_t ns_id_new(void)
{
    return __atomic_fetch_add(&g_next_id, 1, __ATOMIC_RELAXED);
}

#define MAX_DEFAULT 63459

int64_t g_ns_max[NS_KINDS] = {MAX_DEFAULT, MAX_DEFAULT, MAX_DEFAULT, MAX_DEFAULT,
                              MAX_DEFAULT, MAX_DEFAULT, MAX_DEFAULT, MAX_DEFAULT};
static int64_t g_ns_count[NS_KINDS]; /* atomic */

int ns_may_make(enum ns_kind kind)
{
    int64_t max = __atomic_load_n(&g_ns_max[kind], __ATOMIC_RELAXED);
    return __atomic_load_n(&g_ns_count[kind], __ATOMIC_RELAXED) <= max && max > 0 ? 0 : -ENOSPC;
}

void ns_init(struct ns *ns, const struct ns_ops *ops, struct user_ns *owner)
{
    ref_init(&ns->ref);
    ns->ops = ops;
    ns->id = ns_id_new();
    ns->owner = owner;
    __atomic_add_fetch(&g_ns_count[ops->kind], 1, __ATOMIC_RELAXED);
    if (owner)
        user_ns_get(owner);
}

void ns_get(struct ns *ns)
{
    ref_get(&ns->ref);
}

void ns_put(struct ns *ns)
{
    while (ns && ref_put(&ns->ref)) {
        struct user_ns *owner = ns->owner;
        __atomic_sub_fetch(&g_ns_count[ns->ops->kind], 1, __ATOMIC_RELAXED);
        ns->ops->free(ns);
        ns = owner ? &owner->ns : NULL;
    }
}

int ns_may_enter(struct task *t, struct ns *ns, const struct ns_switch *sw)
{
    const struct cred *c = sw->cred ? sw->cred : t->cred;
    bool may =
        cred_capable(c, ns->owner, CAP_SYS_ADMIN) && cred_capable(c, c->user_ns, CAP_SYS_ADMIN);
    return may ? 0 : -EPERM;
}

/* ---- kinds that are but names ---- */

static void plain_free(struct ns *ns)
{
    free(ns);
}

static int net_enter(struct task *t, struct ns *ns, struct ns_switch *sw)
{
    int r = ns_may_enter(t, ns, sw);
    if (r)
        return r;
    ns_get(ns);
    ns_put(sw->set->net);
    sw->set->net = ns;
    return 0;
}

static int cgroup_enter(struct task *t, struct ns *ns, struct ns_switch *sw)
{
    int r = ns_may_enter(t, ns, sw);
    if (r)
        return r;
    ns_get(ns);
    ns_put(sw->set->cgroup);
    sw->set->cgroup = ns;
    return 0;
}

void (*g_net_ns_gone)(struct ns *ns);

static void net_free(struct ns *ns)
{
    void (*gone)(struct ns *) = __atomic_load_n(&g_net_ns_gone, __ATOMIC_ACQUIRE);
    if (gone)
        gone(ns);
    free(ns);
}

static const struct ns_ops g_net_ops = {.kind = NS_NET,
                                        .name = "net",
                                        .clone_flag = CLONE_NEWNET,
                                        .free = net_free,
                                        .enter = net_enter};
static const struct ns_ops g_cgroup_ops = {.kind = NS_CGROUP,
                                           .name = "cgroup",
                                           .clone_flag = CLONE_NEWCGROUP,
                                           .free = plain_free,
                                           .enter = cgroup_enter};

static int plain_new(const struct ns_ops *ops, struct user_ns *owner, struct ns **slot)
{
    struct ns *ns = calloc(1, sizeof(*ns));
    if (!ns)
        return -ENOMEM;
    ns_init(ns, ops, owner);
    ns_put(*slot);
    *slot = ns;
    return 0;
}

/* ---- UTS ---- */

static int uts_enter(struct task *t, struct ns *ns, struct ns_switch *sw)
{
    int r = ns_may_enter(t, ns, sw);
    if (r)
        return r;
    ns_get(ns);
    ns_put(&sw->set->uts->ns);
    sw->set->uts = container_of(ns, struct uts_ns, ns);
    return 0;
}

static void uts_free(struct ns *ns)
{
    struct uts_ns *u = container_of(ns, struct uts_ns, ns);
    lock_destroy(&u->lock);
    free(u);
}

static const struct ns_ops g_uts_ops = {.kind = NS_UTS,
                                        .name = "uts",
                                        .clone_flag = CLONE_NEWUTS,
                                        .free = uts_free,
                                        .enter = uts_enter};

static int uts_new(struct uts_ns *like, struct user_ns *owner, struct uts_ns **out)
{
    struct uts_ns *u = calloc(1, sizeof(*u));
    if (!u)
        return -ENOMEM;
    ns_init(&u->ns, &g_uts_ops, owner);
    lock_init(&u->lock, LR_LEAF);
    if (like) {
        lock_acquire(&like->lock);
        u->names = like->names;
        lock_release(&like->lock);
    }
    *out = u;
    return 0;
}

static int uts_renew(struct ns_set *s, struct user_ns *owner)
{
    struct uts_ns *u;
    int r = uts_new(s->uts, owner, &u);
    if (r)
        return r;
    ns_put(&s->uts->ns);
    s->uts = u;
    return 0;
}

/* ---- sets ---- */

void ns_set_get(struct ns_set *s)
{
    ref_get(&s->ref);
}

void ns_set_put(struct ns_set *s)
{
    if (!s || !ref_put(&s->ref))
        return;
    if (s->uts)
        ns_put(&s->uts->ns);
    if (s->ipc)
        ns_put(ipc_ns_base(s->ipc));
    ns_put(s->net);
    ns_put(s->cgroup);
    if (s->pid_children)
        pid_ns_put(s->pid_children);
    free(s);
}

struct ns_set *ns_set_copy(const struct ns_set *s)
{
    struct ns_set *n = malloc(sizeof(*n));
    if (!n)
        return NULL;
    *n = *s;
    ref_init(&n->ref);
    ns_get(&n->uts->ns);
    ns_get(ipc_ns_base(n->ipc));
    ns_get(n->net);
    ns_get(n->cgroup);
    pid_ns_get(n->pid_children);
    return n;
}

static int pid_renew(struct ns_set *s, struct user_ns *owner)
{
    struct pid_ns *ns;
    int r = pid_ns_new(s->pid_children, owner, &ns);
    if (r)
        return r;
    pid_ns_put(s->pid_children);
    s->pid_children = ns;
    return 0;
}

static int ipc_renew(struct ns_set *s, struct user_ns *owner)
{
    struct ipc_ns *ns;
    int r = ipc_ns_new(owner, &ns);
    if (r)
        return r;
    ns_put(ipc_ns_base(s->ipc));
    s->ipc = ns;
    return 0;
}

static int may_make_all(uint64_t flags)
{
    static const struct {
        uint64_t flag;
        enum ns_kind kind;
    } kinds[] = {{CLONE_NEWUTS, NS_UTS}, {CLONE_NEWIPC, NS_IPC}, {CLONE_NEWPID, NS_PID},
                 {CLONE_NEWNET, NS_NET}, {CLONE_NEWCGROUP, NS_CGROUP}};
    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if ((flags & kinds[i].flag) && ns_may_make(kinds[i].kind))
            return -ENOSPC;
    return 0;
}

int ns_set_renew(struct task *t, struct ns_set *s, struct user_ns *owner, uint64_t flags)
{
    int r = may_make_all(flags);
    if (!r && (flags & CLONE_NEWUTS))
        r = uts_renew(s, owner);
    if (!r && (flags & CLONE_NEWIPC))
        r = ipc_renew(s, owner);
    if (!r && (flags & CLONE_NEWPID))
        r = pid_renew(s, owner);
    if (!r && (flags & CLONE_NEWNET))
        r = plain_new(&g_net_ops, owner, &s->net);
    if (!r && (flags & CLONE_NEWCGROUP))
        r = plain_new(&g_cgroup_ops, owner, &s->cgroup);
    return r;
}

static void share_one(struct ns **slot, struct ns *ns)
{
    ns_get(ns);
    ns_put(*slot);
    *slot = ns;
}

void ns_set_share(struct ns_set *s, const struct ns_set *from, uint64_t flags)
{
    if (flags & CLONE_NEWUTS) {
        ns_get(&from->uts->ns);
        ns_put(&s->uts->ns);
        s->uts = from->uts;
    }
    if (flags & CLONE_NEWIPC) {
        ns_get(ipc_ns_base(from->ipc));
        ns_put(ipc_ns_base(s->ipc));
        s->ipc = from->ipc;
    }
    if (flags & CLONE_NEWPID) {
        pid_ns_get(from->pid_children);
        pid_ns_put(s->pid_children);
        s->pid_children = from->pid_children;
    }
    if (flags & CLONE_NEWNET)
        share_one(&s->net, from->net);
    if (flags & CLONE_NEWCGROUP)
        share_one(&s->cgroup, from->cgroup);
}

struct ns_set *task_ns_set_get(struct task *t)
{
    LOCK_GUARD(&t->lock);
    if (t->ns_set)
        ns_set_get(t->ns_set);
    return t->ns_set;
}

static struct ns *set_member(struct ns_set *s, enum ns_kind kind)
{
    switch (kind) {
    case NS_UTS:
        return &s->uts->ns;
    case NS_IPC:
        return ipc_ns_base(s->ipc);
    case NS_NET:
        return s->net;
    case NS_CGROUP:
        return s->cgroup;
    case NS_PID:
        return &s->pid_children->ns;
    default:
        return NULL;
    }
}

static struct ns *from_set(struct task *t, enum ns_kind kind)
{
    struct ns_set *s = task_ns_set_get(t);
    struct ns *ns = s ? set_member(s, kind) : NULL;
    if (ns)
        ns_get(ns);
    ns_set_put(s);
    return ns;
}

static struct ns *mount_member(struct task *t)
{
    LOCK_GUARD(&t->lock);
    if (t->mount_ns)
        mount_ns_get(t->mount_ns);
    return t->mount_ns ? &t->mount_ns->ns : NULL;
}

struct ns *task_ns_get(struct task *t, enum ns_kind kind, bool for_children)
{
    if (kind == NS_MNT)
        return mount_member(t);
    if (kind == NS_USER) {
        struct cred *c = task_cred_get(t);
        struct ns *ns = &c->user_ns->ns;
        ns_get(ns);
        cred_put(c);
        return ns;
    }
    if (kind == NS_PID && !for_children) {
        ns_get(&t->process->pid_ns->ns);
        return &t->process->pid_ns->ns;
    }
    return from_set(t, kind);
}

/* ---- the first ones ---- */

static void uts_first(struct uts *u)
{
    strcpy(u->sysname, "Linux");
    strcpy(u->nodename, "ringfence");
    strcpy(u->release, "6.1.0");
    strcpy(u->version, "#1 SMP ringfence");
    strcpy(u->machine, "x86_64");
    strcpy(u->domainname, "(none)");
}

void ns_first(void)
{
    struct ns_set *s = calloc(1, sizeof(*s));
    struct user_ns *root = g_kernel.root_user_ns;
    bug_on(!s);
    ref_init(&s->ref);
    bug_on(uts_new(NULL, root, &s->uts) || ipc_ns_new(root, &s->ipc) ||
           plain_new(&g_net_ops, root, &s->net) || plain_new(&g_cgroup_ops, root, &s->cgroup));
    uts_first(&s->uts->names);
    s->uts->ns.id = 0xeffffffe;
    ipc_ns_base(s->ipc)->id = 0xefffffff;
    s->cgroup->id = 0xeffffffb;
    s->pid_children = g_kernel.root_pid_ns;
    pid_ns_get(s->pid_children);
    g_kernel.root_ns_set = s;
    g_kernel.root_uts_ns = s->uts;
}
