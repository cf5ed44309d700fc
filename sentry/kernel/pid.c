/* Numbers of tasks, processes, process groups and sessions, in PID namespaces (pid_namespaces(7)).
 *
 * A struct pid bears one number in the namespace it was made in and one in each above. The one in
 * the root namespace is its id: unique in the sandbox, and what the rest of the sentry keeps and
 * compares. Only what goes to a guest, or comes from one, is translated. A struct pid stays hashed
 * while a task, process, group or session bears it, so a process group keeps its dead leader's. */
#include "kernel/kernel_priv.h"

#include "base/log.h"
#include <errno.h>
#include <stdlib.h>

#define PIDS_RESERVED 300 /* not given out again after the first round */

static struct pid_number *number_of(const struct tree_node *n)
{
    return tree_entry(n, struct pid_number, node);
}

static int number_cmp(const struct tree_node *a, const struct tree_node *b)
{
    int x = number_of(a)->nr, y = number_of(b)->nr;
    return (x > y) - (x < y);
}

static int number_key(const void *key, const struct tree_node *n)
{
    int x = *(const int *)key, y = number_of(n)->nr;
    return (x > y) - (x < y);
}

static struct pid *pid_of_number(struct tree_node *n, unsigned level)
{
    return n ? container_of(number_of(n) - level, struct pid, numbers[0]) : NULL;
}

/* ---- finding ---- */

struct pid *pid_find_in_locked(struct pid_ns *ns, int nr)
{
    return pid_of_number(tree_find(&ns->pids, &nr, number_key), ns->level);
}

struct pid *pid_find_locked(int id)
{
    return pid_find_in_locked(g_kernel.root_pid_ns, id);
}

struct pid *pid_next_locked(struct pid_ns *ns, int after)
{
    if (after == INT32_MAX)
        return NULL;
    int nr = after + 1;
    return pid_of_number(tree_lower_bound(&ns->pids, &nr, number_key), ns->level);
}

/* ---- making ---- */

/* The least free number above the last one, wrapping once. */
static int pid_pick_locked(struct pid_ns *ns)
{
    int nr = ns->last_pid + 1;
    for (int i = 0; i < ns->pid_max; i++, nr++) {
        if (nr >= ns->pid_max)
            nr = PIDS_RESERVED;
        if (!tree_find(&ns->pids, &nr, number_key))
            return ns->last_pid = nr;
    }
    return -EAGAIN;
}

/* A number that the guest has chosen (clone3's set_tid). */
static int pid_wanted_locked(struct pid_ns *ns, int nr, const struct cred *by)
{
    if (nr < 1 || nr >= ns->pid_max || (nr != 1 && !ns->init))
        return -EINVAL;
    if (!cred_capable(by, ns->ns.owner, CAP_SYS_ADMIN) &&
        !cred_capable(by, ns->ns.owner, CAP_CHECKPOINT_RESTORE))
        return -EPERM;
    return tree_find(&ns->pids, &nr, number_key) ? -EEXIST : nr;
}

static void pid_unhash_locked(struct pid *p, unsigned levels)
{
    for (unsigned i = 0; i < levels; i++) {
        struct pid_number *n = &p->numbers[p->level - i];
        tree_erase(&n->ns->pids, &n->node);
    }
}

/* Innermost first, as set_tid counts. */
static int pid_hash_locked(struct pid *p, struct pid_ns *ns, const struct pid_choice *choice)
{
    for (unsigned i = 0; ns; ns = ns->parent, i++) {
        bool chosen = choice && i < choice->count;
        int nr = chosen ? pid_wanted_locked(ns, choice->nr[i], choice->by) : pid_pick_locked(ns);
        if (nr < 0) {
            pid_unhash_locked(p, i);
            return nr;
        }
        struct pid_number *n = &p->numbers[ns->level];
        n->nr = nr;
        n->ns = ns;
        bug_on(!tree_insert(&ns->pids, &n->node, number_cmp));
    }
    return 0;
}

int pid_alloc_locked(struct pid_ns *ns, const struct pid_choice *choice, struct pid **out)
{
    if (ns->dying)
        return -ENOMEM; /* as Linux says it */
    if (choice && choice->count > ns->level + 1)
        return -EINVAL;
    struct pid *p = calloc(1, sizeof(*p) + (ns->level + 1) * sizeof(p->numbers[0]));
    if (!p)
        return -ENOMEM;
    ref_init(&p->ref);
    p->level = ns->level;
    int r = pid_hash_locked(p, ns, choice);
    if (r) {
        free(p);
        return r;
    }
    pid_ns_get(ns);
    *out = p;
    return 0;
}

void pid_release_locked(struct pid *p)
{
    if (p->task || p->process || p->pgrp || p->session)
        return;
    pid_unhash_locked(p, p->level + 1);
    pid_put(p);
}

struct pid *pid_get(struct pid *p)
{
    ref_get(&p->ref);
    return p;
}

void pid_put(struct pid *p)
{
    if (!p || !ref_put(&p->ref))
        return;
    pid_ns_put(p->numbers[p->level].ns);
    free(p);
}

/* ---- translating ---- */

int pid_nr(const struct pid *p, const struct pid_ns *ns)
{
    return ns->level <= p->level && p->numbers[ns->level].ns == ns ? p->numbers[ns->level].nr : 0;
}

int pid_id_to(struct pid_ns *ns, int id)
{
    if (!ns->level || id <= 0)
        return id;
    LOCK_GUARD(&g_kernel.tasks_lock);
    return pid_id_to_locked(ns, id);
}

int pid_id_to_locked(struct pid_ns *ns, int id)
{
    struct pid *p = ns->level && id > 0 ? pid_find_locked(id) : NULL;
    return p ? pid_nr(p, ns) : ns->level && id > 0 ? 0 : id;
}

int pid_id_from(struct pid_ns *ns, int nr)
{
    if (!ns->level || nr <= 0)
        return nr;
    LOCK_GUARD(&g_kernel.tasks_lock);
    return pid_id_from_locked(ns, nr);
}

int pid_id_from_locked(struct pid_ns *ns, int nr)
{
    struct pid *p = ns->level && nr > 0 ? pid_find_in_locked(ns, nr) : NULL;
    return p ? pid_id(p) : ns->level && nr > 0 ? PID_NOBODY : nr;
}
