/* Descriptors in flight: SCM_RIGHTS in messages that nobody has received yet.
 *
 * A socket that is held only by messages in the queues of sockets that are themselves held only so
 * can never be reached again. A collection finds these: candidates are the sockets all of whose
 * file's references are in messages; those with a message outside the candidates' queues are
 * reachable, and what their queues hold with them; the rest is garbage, and its messages are
 * thrown away. It runs when unix sockets close, less often the more there is to look at. */
#include "base/log.h"
#include "base/overflow.h"
#include "net/net_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>

struct flyer { /* how many descriptors a user has in flight */
    struct list_node node;
    uint32_t uid;
    uint64_t count;
};

static struct list g_flyers = LIST_INIT(g_flyers); /* lock: g_net_lock */
static struct list g_flying = LIST_INIT(g_flying); /* lock: g_net_lock; socket.flight_node */
static unsigned g_flying_count;                    /* lock: g_net_lock */
static unsigned g_closes;                          /* lock: g_net_lock; since the last collection */
static bool g_collecting;                          /* lock: g_net_lock */

static struct socket *unix_of(struct file *f)
{
    if (!net_file_is_socket(f))
        return NULL;
    struct socket *s = f->priv;
    return socket_is_unix(s) ? s : NULL;
}

static struct flyer *flyer_locked(uint32_t uid)
{
    struct flyer *f;
    list_for_each(f, &g_flyers, node) if (f->uid == uid) return f;
    f = calloc(1, sizeof(*f));
    if (!f)
        return NULL;
    f->uid = uid;
    list_push_back(&g_flyers, &f->node);
    return f;
}

/* ---- taking off, landing
 * ------------------------------------------------------------------------ */

static void count_locked(struct scm *scm, int by)
{
    for (unsigned i = 0; i < scm->count; i++) {
        struct socket *s = unix_of(scm->files[i]);
        if (!s)
            continue;
        if (by > 0 && !s->flights++) {
            list_push_back(&g_flying, &s->flight_node);
            g_flying_count++;
        } else if (by < 0 && !--s->flights) {
            list_del(&s->flight_node);
            g_flying_count--;
        }
    }
}

int unix_scm_launch(struct task *t, struct scm *scm)
{
    uint64_t limit = rlimit_get(t->process, RLIMIT_NOFILE);
    bool free_of_limit =
        cred_has_cap(t->cred, CAP_SYS_RESOURCE) || cred_has_cap(t->cred, CAP_SYS_ADMIN);
    LOCK_GUARD(&g_net_lock);
    struct flyer *f = flyer_locked(t->cred->uid);
    if (!f)
        return -ENOMEM;
    if (f->count > limit && !free_of_limit)
        return -ETOOMANYREFS;
    f->count += scm->count;
    scm->uid = f->uid;
    scm->flying = true;
    count_locked(scm, +1);
    return 0;
}

void unix_scm_land(struct scm *scm)
{
    if (!scm->flying)
        return;
    LOCK_GUARD(&g_net_lock);
    struct flyer *f = flyer_locked(scm->uid);
    bug_on(!f || f->count < scm->count);
    f->count -= scm->count;
    if (!f->count) {
        list_del(&f->node);
        free(f);
    }
    scm->flying = false;
    count_locked(scm, -1);
}

/* ---- collection
 * ------------------------------------------------------------------------ */

/* Every flying socket in the messages that s holds, also in connections nobody has accepted. */
static void for_each_held(struct socket *s, void (*fn)(struct socket *c, struct list *arg),
                          struct list *arg)
{
    struct packet *p;
    struct socket *c;
    list_for_each(p, &s->rx, node)
    {
        for (unsigned i = 0; p->scm && i < p->scm->count; i++) {
            c = unix_of(p->scm->files[i]);
            if (c)
                fn(c, arg);
        }
    }
    list_for_each(c, &s->accept_queue, accept_node) for_each_held(c, fn, arg);
}

static void count_down(struct socket *c, struct list *arg)
{
    if (c->gc_seen)
        c->gc_count--;
}

/* A candidate that is reachable is none: it goes to the end of the list of those to look into. */
static void reach(struct socket *c, struct list *reached)
{
    if (!c->gc_seen)
        return;
    c->gc_seen = false;
    list_push_back(reached, &c->gc_node);
}

static void mark_candidates(void)
{
    struct socket *s;
    list_for_each(s, &g_flying, flight_node)
    {
        s->gc_count = s->flights;
        s->gc_seen = s->file && ref_read(&s->file->ref) == s->flights;
    }
    list_for_each(s, &g_flying, flight_node) if (s->gc_seen) for_each_held(s, count_down, NULL);
}

static void spare_reachable(void)
{
    struct list reached = LIST_INIT(reached);
    struct socket *s;
    list_for_each(s, &g_flying, flight_node) if (s->gc_count > 0) reach(s, &reached);
    while ((s = list_first(&reached, struct socket, gc_node))) {
        list_del(&s->gc_node);
        for_each_held(s, reach, &reached);
    }
}

static void strip(struct socket *s, struct list *garbage)
{
    struct packet *p, *tmp;
    list_for_each_safe(p, tmp, &s->rx, node)
    {
        if (!p->scm)
            continue;
        list_del(&p->node);
        s->rx_bytes -= p->size - p->done + (socket_is_connected_type(s) ? 0 : sizeof(*p));
        s->rx_count -= !socket_is_connected_type(s);
        if (s->urgent == p)
            s->urgent = NULL;
        list_push_back(garbage, &p->node);
    }
    struct socket *c;
    list_for_each(c, &s->accept_queue, accept_node) strip(c, garbage);
}

void unix_gc_socket_closed(void)
{
    struct list garbage = LIST_INIT(garbage);
    struct socket *s;
    lock_acquire(&g_net_lock);
    bool now = !g_collecting && g_flying_count && ++g_closes > g_flying_count / 16;
    if (now) {
        g_closes = 0;
        mark_candidates();
        spare_reachable();
        list_for_each(s, &g_flying, flight_node) if (s->gc_seen) strip(s, &garbage);
        g_collecting = true;
    }
    lock_release(&g_net_lock);
    if (!now)
        return;
    packets_bury(&garbage);
    LOCK_GUARD(&g_net_lock);
    g_collecting = false;
}
