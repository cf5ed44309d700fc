/* Id maps of user namespaces: between the ids that a namespace's processes see and the ids that the
 * sentry keeps, which are those of the first namespace. Written once, through /proc/PID/uid_map and
 * gid_map (user_namespaces(7)). */
#include "kernel/kernel_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define EXTENTS_MAX 340
#define OVERFLOW_ID 65534
#define NO_ID       UINT32_MAX

struct id_map {
    unsigned count;
    struct id_extent extents[]; /* lower: ids of the first namespace */
};

static struct lock g_map_lock = LOCK_INITIALIZER(LR_LEAF); /* one writer at a time */

static const struct id_map *map_of(const struct user_ns *ns, bool gids)
{
    return __atomic_load_n(gids ? &ns->gid_map : &ns->uid_map, __ATOMIC_ACQUIRE);
}

static uint32_t up(const struct id_map *m, uint32_t id)
{
    for (unsigned i = 0; m && i < m->count; i++)
        if (id - m->extents[i].lower < m->extents[i].count)
            return m->extents[i].first + (id - m->extents[i].lower);
    return NO_ID;
}

/* The whole range of count ids must be inside one extent. */
static uint32_t down(const struct id_map *m, uint32_t id, uint32_t count)
{
    for (unsigned i = 0; m && i < m->count; i++) {
        const struct id_extent *e = &m->extents[i];
        if (id >= e->first && count <= e->count && id - e->first <= e->count - count)
            return e->lower + (id - e->first);
    }
    return NO_ID;
}

static bool is_first(const struct user_ns *ns)
{
    return ns->level == 0;
}

uint32_t uid_to(const struct user_ns *ns, uint32_t id)
{
    uint32_t r = is_first(ns) ? id : up(map_of(ns, false), id);
    return r == NO_ID && !is_first(ns) ? OVERFLOW_ID : r;
}

uint32_t gid_to(const struct user_ns *ns, uint32_t id)
{
    uint32_t r = is_first(ns) ? id : up(map_of(ns, true), id);
    return r == NO_ID && !is_first(ns) ? OVERFLOW_ID : r;
}

uint32_t uid_from(const struct user_ns *ns, uint32_t id)
{
    return is_first(ns) || id == NO_ID ? id : down(map_of(ns, false), id, 1);
}

uint32_t gid_from(const struct user_ns *ns, uint32_t id)
{
    return is_first(ns) || id == NO_ID ? id : down(map_of(ns, true), id, 1);
}

bool ids_mapped(const struct user_ns *ns, uint32_t uid, uint32_t gid)
{
    return is_first(ns) ||
           (up(map_of(ns, false), uid) != NO_ID && up(map_of(ns, true), gid) != NO_ID);
}

bool user_ns_may_setgroups(const struct user_ns *ns)
{
    return is_first(ns) || (map_of(ns, true) && ns->setgroups_allowed);
}

/* ---- showing ---- */

unsigned user_ns_map_get(const struct user_ns *ns, const struct user_ns *reader, bool gids,
                         unsigned index, struct id_extent *out)
{
    const struct id_map *m = map_of(ns, gids);
    if (is_first(ns)) {
        *out = (struct id_extent){0, 0, UINT32_MAX};
        return 1;
    }
    if (!m || index >= m->count)
        return m ? m->count : 0;
    *out = m->extents[index];
    /* As the reader sees them: its own namespace's are shown in terms of the parent. */
    const struct user_ns *lower = reader == ns && ns->ns.owner ? ns->ns.owner : reader;
    if (!is_first(lower))
        out->lower = up(map_of(lower, gids), out->lower);
    return m->count;
}

void user_ns_maps_free(struct user_ns *ns)
{
    free(ns->uid_map);
    free(ns->gid_map);
}

/* ---- writing ---- */

static bool parse_number(char **s, uint32_t *out)
{
    char *end;
    while (**s == ' ' || **s == '\t')
        ++*s;
    if (**s < '0' || **s > '9')
        return false;
    errno = 0;
    unsigned long v = strtoul(*s, &end, 10);
    if (errno || v > UINT32_MAX || (*end && *end != ' ' && *end != '\t'))
        return false;
    *s = end;
    *out = v;
    return true;
}

static int parse_line(char *line, struct id_extent *e)
{
    if (!parse_number(&line, &e->first) || !parse_number(&line, &e->lower) ||
        !parse_number(&line, &e->count))
        return -EINVAL;
    while (*line == ' ' || *line == '\t')
        line++;
    if (*line || e->first == NO_ID || e->lower == NO_ID)
        return -EINVAL;
    bool wraps = e->first + e->count <= e->first || e->lower + e->count <= e->lower;
    return wraps ? -EINVAL : 0;
}

static bool overlaps(const struct id_map *m, const struct id_extent *e)
{
    for (unsigned i = 0; i < m->count; i++) {
        const struct id_extent *o = &m->extents[i];
        if ((e->first < o->first + o->count && o->first < e->first + e->count) ||
            (e->lower < o->lower + o->count && o->lower < e->lower + e->count))
            return true;
    }
    return false;
}

static int parse_map(char *text, struct id_map *m)
{
    char *next = text;
    while (next && *next) {
        char *line = next;
        next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        struct id_extent e;
        int r = m->count < EXTENTS_MAX ? parse_line(line, &e) : -EINVAL;
        if (r || overlaps(m, &e))
            return -EINVAL;
        m->extents[m->count++] = e;
    }
    return m->count ? 0 : -EINVAL;
}

/* One's own id alone, or anything with the capability over the parent. */
static bool map_permitted(const struct cred *c, const struct user_ns *ns, const struct id_map *m,
                          bool gids)
{
    const struct user_ns *parent = ns->ns.owner;
    if (m->count == 1 && m->extents[0].count == 1 && ns->owner_uid == c->euid) {
        uint32_t id = m->extents[0].lower;
        if (!gids && uid_from(parent, id) == c->euid)
            return true;
        if (gids && !ns->setgroups_allowed && gid_from(parent, id) == c->egid)
            return true;
    }
    return cred_capable(c, parent, gids ? CAP_SETGID : CAP_SETUID);
}

static int map_lower(const struct user_ns *ns, struct id_map *m, bool gids)
{
    const struct user_ns *parent = ns->ns.owner;
    for (unsigned i = 0; i < m->count; i++) {
        struct id_extent *e = &m->extents[i];
        if (!is_first(parent))
            e->lower = down(map_of(parent, gids), e->lower, e->count);
        if (e->lower == NO_ID)
            return -EPERM;
    }
    return 0;
}

int user_ns_map_set(struct task *t, struct user_ns *ns, bool gids, char *text)
{
    const struct cred *c = t->cred;
    if (!ns->ns.owner || (c->user_ns != ns && c->user_ns != ns->ns.owner))
        return -EPERM;
    struct id_map *m = malloc(sizeof(*m) + EXTENTS_MAX * sizeof(m->extents[0]));
    if (!m)
        return -ENOMEM;
    m->count = 0;
    struct id_map **slot = gids ? &ns->gid_map : &ns->uid_map;
    lock_acquire(&g_map_lock);
    int r = *slot || !cred_capable(c, ns, CAP_SYS_ADMIN) ? -EPERM : 0;
    if (!r)
        r = parse_map(text, m);
    if (!r && !map_permitted(c, ns, m, gids))
        r = -EPERM;
    if (!r)
        r = map_lower(ns, m, gids);
    if (!r)
        __atomic_store_n(slot, m, __ATOMIC_RELEASE);
    lock_release(&g_map_lock);
    if (r)
        free(m);
    return r;
}

int user_ns_map_give(struct user_ns *ns, bool gids, const struct id_extent *extents, unsigned count)
{
    if (!count || count > EXTENTS_MAX)
        return -EINVAL;
    struct id_map *m = malloc(sizeof(*m) + count * sizeof(m->extents[0]));
    if (!m)
        return -ENOMEM;
    m->count = 0;
    for (unsigned i = 0; i < count; i++) {
        const struct id_extent *e = &extents[i];
        bool wraps = e->first + e->count <= e->first || e->lower + e->count <= e->lower;
        if (wraps || overlaps(m, e)) {
            free(m);
            return -EINVAL;
        }
        m->extents[m->count++] = *e;
    }
    __atomic_store_n(gids ? &ns->gid_map : &ns->uid_map, m, __ATOMIC_RELEASE);
    return 0;
}

/* "allow" or "deny": the latter for good, and only before there is a map of groups. */
int user_ns_setgroups_set(struct task *t, struct user_ns *ns, bool allow)
{
    if (!cred_capable(t->cred, ns, CAP_SYS_ADMIN))
        return -EACCES;
    LOCK_GUARD(&g_map_lock);
    if (allow)
        return ns->setgroups_allowed ? 0 : -EPERM;
    if (is_first(ns) || (ns->gid_map && ns->setgroups_allowed))
        return -EPERM;
    ns->setgroups_allowed = false;
    return 0;
}
