/* Process groups and sessions. A group lives while it has members, a session while it has groups;
 * each keeps its number in the pid table. All under tasks_lock. */
#include "kernel/kernel_priv.h"

#include "base/log.h"
#include <errno.h>
#include <stdlib.h>

static void session_put_locked(struct session *s)
{
    if (!ref_put(&s->ref))
        return;
    struct pid *n = pid_find_locked(s->sid);
    if (n && n->session == s) {
        n->session = NULL;
        pid_release_locked(n);
    }
    free(s);
}

static struct pgrp *pgrp_new_locked(struct session *s, struct pid *n)
{
    struct pgrp *g = calloc(1, sizeof(*g));
    if (!g)
        return NULL;
    ref_init(&g->ref);
    g->pgid = pid_id(n);
    g->session = s;
    ref_get(&s->ref);
    list_init(&g->members);
    list_push_back(&s->pgrps, &g->node);
    n->pgrp = g;
    return g;
}

static void pgrp_put_locked(struct pgrp *g)
{
    if (!ref_put(&g->ref))
        return;
    bug_on(!list_empty(&g->members));
    list_del(&g->node);
    struct pid *n = pid_find_locked(g->pgid);
    if (n && n->pgrp == g) {
        n->pgrp = NULL;
        pid_release_locked(n);
    }
    session_put_locked(g->session);
    free(g);
}

void pgrp_leave_locked(struct process *p)
{
    struct pgrp *g = p->pgrp;
    if (!g)
        return;
    list_del(&p->pgrp_node);
    p->pgrp = NULL;
    pgrp_put_locked(g);
}

void pgrp_join_locked(struct process *p, struct pgrp *g)
{
    ref_get(&g->ref);
    pgrp_leave_locked(p);
    p->pgrp = g;
    list_push_back(&g->members, &p->pgrp_node);
}

/* p becomes leader of a session and group of its own, numbered as p. */
int session_new_locked(struct process *p, struct pid *n)
{
    struct session *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    ref_init(&s->ref);
    s->sid = pid_id(n);
    s->leader = p;
    list_init(&s->pgrps);
    struct pgrp *g = pgrp_new_locked(s, n);
    if (!g) {
        free(s);
        return -ENOMEM;
    }
    n->session = s;
    pgrp_join_locked(p, g);
    pgrp_put_locked(g);
    session_put_locked(s); /* the group holds it now */
    return 0;
}

int process_setsid(struct task *t)
{
    struct process *p = t->process;
    LOCK_GUARD(&g_kernel.tasks_lock);
    struct pid *n = pid_find_locked(p->pid);
    if (n->pgrp || n->session)
        return -EPERM;
    int r = session_new_locked(p, n);
    return r ? r : p->vpid;
}

static int setpgid_check_locked(struct process *me, struct process *p)
{
    if (p != me && p->parent != me)
        return -ESRCH;
    if (!p->pgrp || p->pgrp->session != me->pgrp->session)
        return -EPERM;
    if (p != me && p->did_exec)
        return -EACCES;
    return p->pgrp->session->leader == p ? -EPERM : 0;
}

static int setpgid_locked(struct process *me, int pid, int pgid)
{
    struct pid *n = pid_find_locked(pid);
    struct process *p = n ? n->process : NULL;
    if (n && n->task && !p)
        return -EINVAL; /* a thread that leads nothing */
    if (!p || !me->pgrp)
        return -ESRCH;
    int r = setpgid_check_locked(me, p);
    if (r)
        return r;
    struct pid *gn = pid_find_locked(pgid);
    struct pgrp *g = gn ? gn->pgrp : NULL;
    if (g) {
        if (g->session != me->pgrp->session)
            return -EPERM;
        if (p->pgrp != g)
            pgrp_join_locked(p, g);
        return 0;
    }
    if (pgid != pid)
        return -EPERM;
    g = pgrp_new_locked(me->pgrp->session, gn);
    if (!g)
        return -ENOMEM;
    pgrp_join_locked(p, g);
    pgrp_put_locked(g);
    return 0;
}

int process_setpgid(struct task *t, int pid, int pgid)
{
    struct process *p = t->process;
    if (pgid < 0 || (!pgid && pid < 0))
        return -EINVAL;
    LOCK_GUARD(&g_kernel.tasks_lock);
    pid = pid ? pid_id_from_locked(p->pid_ns, pid) : p->pid;
    pgid = pgid ? pid_id_from_locked(p->pid_ns, pgid) : pid;
    return setpgid_locked(p, pid, pgid);
}

int process_pgid(struct process *p)
{
    LOCK_GUARD(&g_kernel.tasks_lock);
    return p->pgrp ? p->pgrp->pgid : 0;
}

int process_sid(struct process *p)
{
    LOCK_GUARD(&g_kernel.tasks_lock);
    return p->pgrp ? p->pgrp->session->sid : 0;
}

int process_ppid(struct process *p)
{
    LOCK_GUARD(&g_kernel.tasks_lock);
    return p->parent ? p->parent->pid : 0;
}

struct session *session_led_by(struct process *p)
{
    LOCK_GUARD(&g_kernel.tasks_lock);
    struct session *s = p->pgrp ? p->pgrp->session : NULL;
    if (!s || s->leader != p)
        return NULL;
    ref_get(&s->ref);
    return s;
}

void session_put(struct session *s)
{
    LOCK_GUARD(&g_kernel.tasks_lock);
    session_put_locked(s);
}

/* ---- orphaned groups ----------------------------------------------------------------------------
 */

/* Nobody outside the group, but inside its session, watches over it: no living member has a parent
 * in another group of the same session. */
bool pgrp_orphaned_locked(struct pgrp *g, struct process *ignored)
{
    struct process *p;
    list_for_each(p, &g->members, pgrp_node)
    {
        if (p == ignored || p->state >= PROCESS_ZOMBIE || !p->parent)
            continue;
        struct pgrp *pg = p->parent->pgrp;
        if (pg && pg != g && pg->session == g->session)
            return false;
    }
    return true;
}

bool pgrp_is_orphaned(int pgid)
{
    LOCK_GUARD(&g_kernel.tasks_lock);
    struct pid *n = pid_find_locked(pgid);
    return !n || !n->pgrp || pgrp_orphaned_locked(n->pgrp, NULL);
}

bool pgrp_in_session(int pgid, int sid)
{
    LOCK_GUARD(&g_kernel.tasks_lock);
    struct pid *n = pid_find_locked(pgid);
    return n && n->pgrp && n->pgrp->session->sid == sid;
}

static bool pgrp_has_stopped_locked(struct pgrp *g)
{
    struct process *p;
    list_for_each(p, &g->members, pgrp_node) if (p->state == PROCESS_STOPPED) return true;
    return false;
}

/* g was kept from being orphaned by the link child→parent only: hang it up. */
static void pgrp_hangup_locked(struct pgrp *g, struct process *ignored)
{
    if (!pgrp_orphaned_locked(g, ignored) || !pgrp_has_stopped_locked(g))
        return;
    struct process *p;
    list_for_each(p, &g->members, pgrp_node)
    {
        signal_send_process(p, SIGHUP, NULL);
        signal_send_process(p, SIGCONT, NULL);
    }
}

static bool pgrp_watched_by_locked(struct pgrp *g, struct process *parent)
{
    return g && parent && parent->pgrp && parent->pgrp != g && parent->pgrp->session == g->session;
}

void pgrp_orphan_check_locked(struct process *p)
{
    if (pgrp_watched_by_locked(p->pgrp, p->parent))
        pgrp_hangup_locked(p->pgrp, p);
}

void pgrp_orphan_child_locked(struct process *c, struct process *old_parent)
{
    if (pgrp_watched_by_locked(c->pgrp, old_parent))
        pgrp_hangup_locked(c->pgrp, NULL);
}
