/* The number space that tasks, processes, process groups and sessions share. A number stays taken
 * while any of them bears it, so a process group keeps its dead leader's. */
#include "kernel/kernel_priv.h"

#include "base/log.h"
#include <errno.h>
#include <stdlib.h>

static int pid_cmp(const struct tree_node *a, const struct tree_node *b)
{
    int x = tree_entry(a, struct pid_node, node)->id, y = tree_entry(b, struct pid_node, node)->id;
    return (x > y) - (x < y);
}

static int pid_key(const void *key, const struct tree_node *n)
{
    int x = *(const int *)key, y = tree_entry(n, struct pid_node, node)->id;
    return (x > y) - (x < y);
}

struct pid_node *pid_find_locked(int id)
{
    struct tree_node *n = tree_find(&g_kernel.pids, &id, pid_key);
    return n ? tree_entry(n, struct pid_node, node) : NULL;
}

struct pid_node *pid_next_locked(int after)
{
    if (after == INT32_MAX)
        return NULL;
    int id = after + 1;
    struct tree_node *n = tree_lower_bound(&g_kernel.pids, &id, pid_key);
    return n ? tree_entry(n, struct pid_node, node) : NULL;
}

/* The least free number above last_pid, wrapping once. Linux reserves those below 300 after the
 * first round. */
static int pid_pick_locked(void)
{
    int id = g_kernel.last_pid + 1;
    for (int i = 0; i < g_kernel.pid_max; i++, id++) {
        if (id >= g_kernel.pid_max)
            id = 300;
        if (!pid_find_locked(id))
            return id;
    }
    return -EAGAIN;
}

int pid_alloc_locked(int wanted, struct pid_node **out)
{
    if (wanted && pid_find_locked(wanted))
        return -EEXIST;
    int id = wanted ? wanted : pid_pick_locked();
    if (id < 0)
        return id;
    struct pid_node *n = calloc(1, sizeof(*n));
    if (!n)
        return -ENOMEM;
    n->id = id;
    if (!wanted)
        g_kernel.last_pid = id;
    bug_on(!tree_insert(&g_kernel.pids, &n->node, pid_cmp));
    *out = n;
    return 0;
}

void pid_release_locked(struct pid_node *n)
{
    if (n->task || n->process || n->pgrp || n->session)
        return;
    tree_erase(&g_kernel.pids, &n->node);
    free(n);
}
