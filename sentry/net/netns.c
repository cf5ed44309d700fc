/* Network namespaces: network_namespaces(7). A namespace has its own names (ports, abstract names,
 * netlink ports: each table is shared, and looked up by namespace) and its own loopback interface,
 * which is down in a new one. It lives as long as the kernel room's struct ns, which sockets hold.
 */
#include "net/iface_priv.h"
#include "net/net_priv.h"

#include <errno.h>
#include <linux/if.h>
#include <stdlib.h>

static struct lock g_netns_lock = LOCK_INITIALIZER(LR_LEAF);
static struct list g_others = LIST_INIT(g_others); /* lock: g_netns_lock */

static void netns_gone(struct ns *ns)
{
    struct netns *n, *tmp, *found = NULL;
    lock_acquire(&g_netns_lock);
    list_for_each_safe(n, tmp, &g_others, node)
    {
        if (n->id != ns->id)
            continue;
        list_del(&n->node);
        found = n;
    }
    lock_release(&g_netns_lock);
    if (found)
        iface_forget(found);
    free(found);
}

/* NULL: no memory. Borrowed from ns. */
static struct netns *netns_of(struct ns *ns)
{
    struct netns *n;
    if (ns->id == g_kernel.root_ns_set->net->id)
        return &g_netns_root;
    LOCK_GUARD(&g_netns_lock);
    list_for_each(n, &g_others, node) if (n->id == ns->id) return n;
    n = calloc(1, sizeof(*n));
    if (!n)
        return NULL;
    n->id = ns->id;
    n->lo = (struct iface){.flags = IFF_LOOPBACK, .mtu = 65536, .qlen = 1000};
    list_push_back(&g_others, &n->node);
    __atomic_store_n(&g_net_ns_gone, netns_gone, __ATOMIC_RELEASE);
    return n;
}

void net_ns_set_up(struct ns *ns)
{
    struct netns *n = netns_of(ns);
    if (n)
        iface_set_flags(n, IFF_UP, IFF_UP);
}

int socket_enter_ns(struct task *t, struct socket *s)
{
    s->ns = task_ns_get(t, NS_NET, /*for_children=*/false);
    s->net = s->ns ? netns_of(s->ns) : NULL;
    return s->net ? 0 : -ENOMEM;
}

void socket_same_ns(struct socket *s, struct socket *as)
{
    ns_get(as->ns);
    ns_put(s->ns);
    s->ns = as->ns;
    s->net = as->net;
}

struct netns *task_netns(struct task *t)
{
    struct ns *ns = task_ns_get(t, NS_NET, /*for_children=*/false);
    struct netns *n = ns ? netns_of(ns) : NULL;
    ns_put(ns); /* the task has it still */
    return n ? n : &g_netns_root;
}

bool net_capable(struct task *t, int cap)
{
    struct ns *ns = task_ns_get(t, NS_NET, /*for_children=*/false);
    bool can =
        ns && (ns->owner ? cred_capable(t->cred, ns->owner, cap) : cred_has_cap(t->cred, cap));
    ns_put(ns);
    return can;
}
