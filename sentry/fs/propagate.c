/* Mount propagation: mount_namespaces(7).
 *
 * A shared mount is a member of a peer group; a slave has a group as its master; it may be both.
 * What is mounted below, or unmounted from, a member of a group happens at the same place below
 * every other member that shows it, and below every slave, theirs included. All under g_mount_lock.
 *
 * Copies of what is mounted: those below peers join the groups of the original, those below a slave
 * become its slaves, and those below the peers of a shared slave form groups of their own. */
#include "base/log.h"
#include "fs/vfs_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mount.h>

static int g_next_group = 1; /* lock: LR_MOUNT */

/* ---- groups ---- */

static void master_set(struct mount *m, struct peer_group *master)
{
    if (m->master)
        list_del(&m->slave_node);
    m->master = master;
    if (master)
        list_push_back(&master->slaves, &m->slave_node);
}

static void group_join(struct mount *m, struct peer_group *g)
{
    m->group = g;
    list_push_back(&g->members, &m->peer_node);
}

/* The last member hands its slaves to its own master. */
static void group_leave(struct mount *m)
{
    struct peer_group *g = m->group;
    if (!g)
        return;
    m->group = NULL;
    list_del(&m->peer_node);
    if (!list_empty(&g->members))
        return;
    while (!list_empty(&g->slaves))
        master_set(list_first(&g->slaves, struct mount, slave_node), m->master);
    free(g);
}

static int group_new(struct mount *m)
{
    struct peer_group *g = m->group ? NULL : calloc(1, sizeof(*g));
    if (m->group)
        return 0;
    if (!g)
        return -ENOMEM;
    g->id = g_next_group++;
    list_init(&g->members);
    list_init(&g->slaves);
    group_join(m, g);
    m->unbindable = false;
    return 0;
}

static void make_slave(struct mount *m)
{
    struct peer_group *g = m->group;
    bool alone =
        g && g->members.head.next == &m->peer_node && g->members.head.prev == &m->peer_node;
    group_leave(m);
    if (g && !alone)
        master_set(m, g);
}

void prop_private_locked(struct mount *m)
{
    make_slave(m);
    master_set(m, NULL);
    m->unbindable = false;
}

int prop_change_locked(struct mount *m, unsigned type)
{
    if (type == MS_SHARED)
        return group_new(m);
    make_slave(m);
    if (type != MS_SLAVE)
        master_set(m, NULL);
    m->unbindable = type == MS_UNBINDABLE;
    return 0;
}

int prop_inherit_locked(struct mount *copy, struct mount *of, enum mount_copy_mode mode)
{
    bool slave = mode == MOUNT_COPY_SLAVE || mode == MOUNT_COPY_SHARED_SLAVE ||
                 (mode == MOUNT_COPY_DEMOTE && of->group);
    copy->unbindable = of->unbindable;
    if (slave) {
        master_set(copy, of->group);
        return mode == MOUNT_COPY_SHARED_SLAVE ? group_new(copy) : 0;
    }
    if (of->group)
        group_join(copy, of->group);
    master_set(copy, of->master);
    return 0;
}

struct mount *mount_tree_next(struct mount *m, struct mount *root)
{
    if (!list_empty(&m->children))
        return list_first(&m->children, struct mount, sibling);
    while (m != root) {
        struct mount *parent = m->parent;
        if (m->sibling.next != &parent->children.head)
            return list_entry(m->sibling.next, struct mount, sibling);
        m = parent;
    }
    return NULL;
}

int prop_share_tree_locked(struct mount *root)
{
    for (struct mount *m = root; m; m = mount_tree_next(m, root)) {
        int r = group_new(m);
        if (r)
            return r;
    }
    return 0;
}

bool prop_has_unbindable_locked(struct mount *root)
{
    for (struct mount *m = root; m; m = mount_tree_next(m, root))
        if (m->unbindable)
            return true;
    return false;
}

bool prop_has_locked_children_locked(struct mount *m, const struct dentry *below)
{
    struct mount *child;
    list_for_each(child, &m->children,
                  sibling) if (child->locked &&
                               dcache_is_ancestor(below, child->mountpoint)) return true;
    return false;
}

unsigned prop_tree_size_locked(struct mount *root)
{
    unsigned n = 0;
    for (struct mount *m = root; m; m = mount_tree_next(m, root))
        n++;
    return n;
}

/* ---- mounting ---- */

struct prop_event {
    struct mount *origin; /* where it is mounted by the guest: has it already */
    struct dentry *at;    /* the mountpoint */
    struct list *made;    /* struct prop_copy, to be attached or thrown away */
};
struct prop_copy {
    struct list_node node;
    struct mount *copy, *parent; /* counted, borrowed */
};

static bool shows(const struct mount *m, struct dentry *at)
{
    return m->ns && dcache_is_ancestor(m->root, at);
}

static int copy_for(struct prop_event *e, struct mount *parent, struct mount *like,
                    enum mount_copy_mode mode, struct mount **out)
{
    if (parent->ns->count + prop_tree_size_locked(like) > MOUNTS_MAX)
        return -ENOSPC;
    struct prop_copy *c = malloc(sizeof(*c));
    int r = c ? mount_clone_locked(like, like->root, MOUNT_CLONE_ALL, mode, &c->copy) : -ENOMEM;
    if (r) {
        free(c);
        return r;
    }
    c->parent = parent;
    list_push_back(e->made, &c->node);
    *out = c->copy;
    return 0;
}

static int to_slaves(struct prop_event *e, struct peer_group *g, struct mount *like);

/* The members of a shared slave's group: the first copy is slave of like, the rest its peers. */
static int to_slave_group(struct prop_event *e, struct peer_group *g, struct mount *like)
{
    struct mount *m, *first = NULL, *copy;
    int r = 0;
    list_for_each(m, &g->members, peer_node)
    {
        if (!shows(m, e->at) || m == e->origin)
            continue;
        r = first ? copy_for(e, m, first, MOUNT_COPY_SAME, &copy)
                  : copy_for(e, m, like, MOUNT_COPY_SHARED_SLAVE, &first);
        if (r)
            return r;
    }
    return to_slaves(e, g, first ? first : like);
}

/* Each group below once, when its first member among the slaves is met. */
static bool first_of_group(const struct mount *s)
{
    struct mount *m;
    list_for_each(m, &s->group->members, peer_node) if (m->master == s->master) return m == s;
    return false;
}

static int to_slaves(struct prop_event *e, struct peer_group *g, struct mount *like)
{
    struct mount *s, *copy;
    list_for_each(s, &g->slaves, slave_node)
    {
        int r = 0;
        if (s->group)
            r = first_of_group(s) ? to_slave_group(e, s->group, like) : 0;
        else if (shows(s, e->at) && s != e->origin)
            r = copy_for(e, s, like, MOUNT_COPY_SLAVE, &copy);
        if (r)
            return r;
    }
    return 0;
}

static int to_peers(struct prop_event *e, struct peer_group *g, struct mount *source)
{
    struct mount *m, *copy;
    list_for_each(m, &g->members, peer_node)
    {
        int r =
            m != e->origin && shows(m, e->at) ? copy_for(e, m, source, MOUNT_COPY_SAME, &copy) : 0;
        if (r)
            return r;
    }
    return to_slaves(e, g, source);
}

static void copies_attach(struct list *made, struct dentry *at)
{
    struct prop_copy *c, *tmp;
    list_for_each_safe(c, tmp, made, node)
    {
        list_del(&c->node);
        mount_tuck_locked(c->copy, &(struct path){c->parent, at});
        mount_put(c->copy); /* the tree has its own reference */
        free(c);
    }
}

static void copies_drop(struct list *made, struct list *doomed)
{
    struct prop_copy *c, *tmp;
    list_for_each_safe(c, tmp, made, node)
    {
        list_del(&c->node);
        mount_detach_locked(c->copy, doomed); /* our reference goes with it */
        free(c);
    }
}

int prop_mount_locked(struct mount *source, const struct path *to, struct list *doomed)
{
    struct list made = LIST_INIT(made);
    if (!to->mnt->group)
        return 0;
    struct prop_event e = {.origin = to->mnt, .at = to->dentry, .made = &made};
    int r = prop_share_tree_locked(source);
    if (!r)
        r = to_peers(&e, to->mnt->group, source);
    if (r)
        copies_drop(&made, doomed);
    else
        copies_attach(&made, to->dentry);
    return r;
}

/* ---- unmounting ---- */

/* fn for what stands at `at` below every receiver of an event in parent. */
static bool each_slave(struct peer_group *g, struct dentry *at, prop_fn *fn, void *arg);

static bool each_receiver(struct peer_group *g, struct mount *origin, struct dentry *at,
                          prop_fn *fn, void *arg)
{
    struct mount *m;
    list_for_each(m, &g->members, peer_node)
    {
        lock_acquire(&g_dcache_lock);
        struct mount *child = m == origin ? NULL : mount_at_locked(m, at);
        lock_release(&g_dcache_lock);
        if (child && !fn(child, arg))
            return false;
    }
    return each_slave(g, at, fn, arg);
}

static bool each_slave(struct peer_group *g, struct dentry *at, prop_fn *fn, void *arg)
{
    struct mount *s;
    list_for_each(s, &g->slaves, slave_node)
    {
        if (s->group) {
            if (first_of_group(s) && !each_receiver(s->group, NULL, at, fn, arg))
                return false;
            continue;
        }
        lock_acquire(&g_dcache_lock);
        struct mount *child = mount_at_locked(s, at);
        lock_release(&g_dcache_lock);
        if (child && !fn(child, arg))
            return false;
    }
    return true;
}

bool prop_each_locked(struct mount *m, prop_fn *fn, void *arg)
{
    struct mount *parent = m->parent;
    return !parent || !parent->group ||
           each_receiver(parent->group, parent, m->mountpoint, fn, arg);
}
