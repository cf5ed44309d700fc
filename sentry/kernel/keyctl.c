/* What add_key, request_key and keyctl do, and what /proc/keys and /proc/key-users say. */
#include "kernel/keys_priv.h"

#include "base/overflow.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- adding, requesting -------------------------------------------------------------------------
 */

static int add_check(int type, const char *desc, size_t size)
{
    const struct key_type *kt = &g_key_types[type];
    const char *colon = strchr(desc, ':');
    if (!*desc)
        return -EINVAL;
    if (type == KEY_TYPE_KEYRING)
        return desc[0] == '.' ? -EPERM : size ? -EINVAL : 0;
    if (type == KEY_TYPE_LOGON && (!colon || colon == desc))
        return -EINVAL; /* "service:name" */
    return !size || size > kt->payload_max ? -EINVAL : 0;
}

static uint32_t default_perm(int type)
{
    uint32_t pos = KEY_VIEW | KEY_SEARCH | KEY_LINK | KEY_SETATTR | KEY_WRITE |
                   (g_key_types[type].readable ? KEY_READ : 0);
    return KEY_POS(pos) | KEY_USR(KEY_VIEW);
}

int64_t key_add(struct task *t, const char *type_name, const char *desc, const void *payload,
                size_t size, int ring_id)
{
    struct key *ring, *k;
    LOCK_GUARD(&g_keys_lock);
    int r = key_lookup(t, ring_id, RING_CREATE, KEY_WRITE, &ring);
    if (r)
        return r;
    int type = key_type_by_name(type_name);
    if (type < 0)
        return type;
    if (ring->type != KEY_TYPE_KEYRING)
        return -ENOTDIR;
    r = add_check(type, desc, size);
    if (r)
        return r;
    k = g_key_types[type].updatable ? keyring_find(ring, type, desc) : NULL;
    if (k && !key_validate(k)) {
        r = key_permission(t, k, KEY_WRITE);
        if (!r)
            r = key_set_payload(k, payload, size);
        return r ? r : k->serial;
    }
    r = key_new(t->cred, type, desc, default_perm(type), payload, size, &k);
    if (r)
        return r;
    r = keyring_link(ring, k);
    int serial = k->serial;
    key_put(k); /* the link holds it, if there is one */
    return r ? r : serial;
}

/* There is no program that would make a key on demand: what cannot be found is not there. */
int64_t key_request(struct task *t, const char *type_name, const char *desc, int dest_id)
{
    struct key *rings[TASK_RINGS], *k = NULL, *dest = NULL;
    LOCK_GUARD(&g_keys_lock);
    int r = dest_id ? key_lookup(t, dest_id, RING_CREATE, KEY_WRITE, &dest) : 0;
    int type = key_type_by_name(type_name);
    if (r)
        return r;
    if (type < 0)
        return -ENOKEY;
    task_rings(t, rings);
    for (int i = 0; i < TASK_RINGS && !k; i++)
        if (rings[i] && !key_validate(rings[i]))
            (void)keyring_search(t, rings[i], type, desc, &k);
    if (!k) /* a stale or forbidden one is no better than none */
        return -ENOKEY;
    if (dest && dest->type != KEY_TYPE_KEYRING)
        return -ENOTDIR;
    r = dest ? keyring_link(dest, k) : 0;
    return r ? r : k->serial;
}

/* ---- one key ------------------------------------------------------------------------------------
 */

int64_t key_update(struct task *t, int id, const void *payload, size_t size)
{
    struct key *k;
    LOCK_GUARD(&g_keys_lock);
    int r = key_lookup(t, id, 0, KEY_WRITE, &k);
    if (r)
        return r;
    if (!g_key_types[k->type].updatable)
        return -EOPNOTSUPP;
    return size && size <= g_key_types[k->type].payload_max ? key_set_payload(k, payload, size)
                                                            : -EINVAL;
}

static int64_t do_revoke(struct task *t, int id)
{
    struct key *k;
    int r = key_lookup(t, id, 0, KEY_WRITE, &k);
    if (r == -EACCES)
        r = key_lookup(t, id, 0, KEY_SETATTR, &k);
    if (r)
        return r;
    k->revoked = true;
    if (k->type == KEY_TYPE_KEYRING)
        keyring_clear(k);
    return 0;
}

static int64_t do_invalidate(struct task *t, int id)
{
    struct key *k;
    int r = key_lookup(t, id, 0, KEY_SEARCH, &k);
    if (r)
        return r;
    k->invalid = true;
    key_drop_links(k);
    return 0;
}

static int64_t do_chown(struct task *t, int id, uint32_t uid, uint32_t gid)
{
    struct key *k;
    if (uid == (uint32_t)-1 && gid == (uint32_t)-1)
        return 0;
    int r = key_lookup(t, id, RING_CREATE, KEY_SETATTR, &k);
    if (r)
        return r;
    bool admin = cred_has_cap(t->cred, CAP_SYS_ADMIN);
    if (!admin && uid != (uint32_t)-1 && uid != k->uid)
        return -EACCES;
    if (!admin && gid != (uint32_t)-1 && gid != k->gid && !cred_in_group(t->cred, gid))
        return -EACCES;
    return key_chown(k, uid, gid);
}

static int64_t do_setperm(struct task *t, int id, uint32_t perm)
{
    struct key *k;
    if (perm & ~KEY_PERM_KNOWN)
        return -EINVAL;
    int r = key_lookup(t, id, RING_CREATE, KEY_SETATTR, &k);
    if (r)
        return r;
    if (k->uid != t->cred->fsuid && !cred_has_cap(t->cred, CAP_SYS_ADMIN))
        return -EACCES;
    k->perm = perm;
    return 0;
}

static int64_t do_timeout(struct task *t, int id, uint32_t seconds)
{
    struct key *k;
    int64_t now = 0;
    int r = key_lookup(t, id, RING_CREATE, KEY_SETATTR, &k);
    if (r)
        return r;
    (void)time_clock_get(CLOCK_REALTIME, &now);
    k->expires_ns = seconds ? now + seconds * NSEC_PER_SEC : 0;
    return 0;
}

/* ---- keyrings -----------------------------------------------------------------------------------
 */

static int ring_for(struct task *t, int id, unsigned flags, uint32_t need, struct key **out)
{
    int r = key_lookup(t, id, flags, need, out);
    if (r)
        return r;
    return (*out)->type == KEY_TYPE_KEYRING ? 0 : -ENOTDIR;
}

static int64_t do_clear(struct task *t, int id)
{
    struct key *ring;
    int r = ring_for(t, id, RING_CREATE, KEY_WRITE, &ring);
    if (!r)
        keyring_clear(ring);
    return r;
}

static int64_t do_link(struct task *t, int id, int ring_id)
{
    struct key *ring, *k;
    int r = key_lookup(t, ring_id, RING_CREATE, KEY_WRITE, &ring);
    if (!r)
        r = key_lookup(t, id, RING_CREATE, KEY_LINK, &k);
    if (r)
        return r;
    return ring->type == KEY_TYPE_KEYRING ? keyring_link(ring, k) : -ENOTDIR;
}

static int64_t do_unlink(struct task *t, int id, int ring_id)
{
    struct key *ring, *k;
    int r = key_lookup(t, ring_id, 0, KEY_WRITE, &ring);
    if (!r)
        r = key_lookup(t, id, RING_STALE, 0, &k);
    if (r)
        return r;
    return ring->type == KEY_TYPE_KEYRING ? keyring_unlink(ring, k) : -ENOTDIR;
}

static int64_t do_move(struct task *t, int id, int from_id, int to_id, unsigned flags)
{
    struct key *k, *from, *to;
    if (flags & ~KEYCTL_MOVE_EXCL)
        return -EINVAL;
    int r = key_lookup(t, id, RING_CREATE, KEY_LINK, &k);
    if (!r)
        r = ring_for(t, from_id, 0, KEY_WRITE, &from);
    if (!r)
        r = ring_for(t, to_id, RING_CREATE, KEY_WRITE, &to);
    if (r || from == to)
        return r;
    if ((flags & KEYCTL_MOVE_EXCL) && keyring_find(to, k->type, k->desc))
        return -EEXIST;
    if (keyring_find(from, k->type, k->desc) != k)
        return -ENOENT;
    r = keyring_link(to, k);
    return r ? r : keyring_unlink(from, k);
}

int64_t key_search(struct task *t, int ring_id, const char *type_name, const char *desc,
                   int dest_id)
{
    struct key *ring, *k, *dest = NULL;
    LOCK_GUARD(&g_keys_lock);
    int r = key_lookup(t, ring_id, 0, KEY_SEARCH, &ring);
    if (!r && dest_id)
        r = key_lookup(t, dest_id, RING_CREATE, KEY_WRITE, &dest);
    if (r)
        return r;
    int type = key_type_by_name(type_name);
    if (type < 0)
        return -ENOKEY;
    r = keyring_search(t, ring, type, desc, &k);
    if (!r && dest) {
        r = key_permission(t, k, KEY_LINK);
        if (!r)
            r = dest->type == KEY_TYPE_KEYRING ? keyring_link(dest, k) : -ENOTDIR;
    }
    return r ? r : k->serial;
}

int64_t key_join_session(struct task *t, const char *name)
{
    LOCK_GUARD(&g_keys_lock);
    if (name && name[0] == '.')
        return -EPERM;
    return task_join_session(t, name);
}

/* ---- what is told -------------------------------------------------------------------------------
 */

int64_t key_describe(struct task *t, int id, char **out)
{
    struct key *k;
    LOCK_GUARD(&g_keys_lock);
    int r = key_lookup(t, id, 0, KEY_VIEW, &k);
    if (r)
        return r;
    int n = asprintf(out, "%s;%d;%d;%08x;%s", g_key_types[k->type].name, (int)k->uid, (int)k->gid,
                     k->perm, k->desc);
    return n < 0 ? -ENOMEM : n + 1;
}

static int read_may(struct task *t, int id, struct key **k)
{
    int r = key_lookup(t, id, RING_STALE, 0, k);
    if (!r && key_permission(t, *k, KEY_READ) && !key_possessed(t, *k))
        r = -EACCES;
    if (!r && !g_key_types[(*k)->type].readable)
        r = -EOPNOTSUPP;
    return r ? r : key_validate(*k);
}

int64_t key_read(struct task *t, int id, char **out)
{
    struct key *k;
    LOCK_GUARD(&g_keys_lock);
    int r = read_may(t, id, &k);
    if (r)
        return r;
    bool ring = k->type == KEY_TYPE_KEYRING;
    size_t size = ring ? k->link_count * sizeof(int32_t) : k->size;
    *out = malloc(size + 1);
    if (!*out)
        return -ENOMEM;
    for (unsigned i = 0; ring && i < k->link_count; i++)
        memcpy(*out + i * sizeof(int32_t), &k->links[i]->serial, sizeof(int32_t));
    if (!ring && size)
        memcpy(*out, k->payload, size);
    return size;
}

static int64_t do_get_id(struct task *t, int id, bool create)
{
    struct key *k;
    int r = key_lookup(t, id, create ? RING_CREATE : 0, KEY_SEARCH, &k);
    return r ? r : k->serial;
}

static int64_t do_reqkey_keyring(struct task *t, int where)
{
    int old = t->reqkey_keyring;
    if (where == KEY_REQKEY_DEFL_NO_CHANGE)
        return old;
    if (where < KEY_REQKEY_DEFL_DEFAULT || where > KEY_REQKEY_DEFL_REQUESTOR_KEYRING ||
        where == KEY_REQKEY_DEFL_GROUP_KEYRING)
        return -EINVAL;
    t->reqkey_keyring = where;
    return old;
}

static int64_t do_restrict(struct task *t, int id, bool typed)
{
    struct key *ring;
    int r = ring_for(t, id, 0, KEY_SETATTR, &ring);
    if (r)
        return r;
    if (typed)
        return -ENOENT; /* no type here knows a restriction */
    if (ring->restricted)
        return -EEXIST;
    ring->restricted = true;
    return 0;
}

static int64_t do_security(struct task *t, int id)
{
    struct key *k;
    return key_lookup(t, id, 0, KEY_VIEW, &k);
}

int64_t key_session_to_parent(struct task *t)
{
    LOCK_GUARD(&g_kernel.tasks_lock);
    LOCK_GUARD(&g_keys_lock);
    return session_to_parent(t);
}

int64_t key_control(struct task *t, int op, const uint64_t *v)
{
    LOCK_GUARD(&g_keys_lock);
    switch (op) {
    case KEYCTL_GET_KEYRING_ID:
        return do_get_id(t, (int)v[0], (int)v[1]);
    case KEYCTL_REVOKE:
        return do_revoke(t, (int)v[0]);
    case KEYCTL_CHOWN:
        return do_chown(t, (int)v[0], v[1], v[2]);
    case KEYCTL_SETPERM:
        return do_setperm(t, (int)v[0], v[1]);
    case KEYCTL_CLEAR:
        return do_clear(t, (int)v[0]);
    case KEYCTL_LINK:
        return do_link(t, (int)v[0], (int)v[1]);
    case KEYCTL_UNLINK:
        return do_unlink(t, (int)v[0], (int)v[1]);
    case KEYCTL_MOVE:
        return do_move(t, (int)v[0], (int)v[1], (int)v[2], v[3]);
    case KEYCTL_REJECT:
        if ((int)v[2] <= 0 || (int)v[2] >= ERESTARTSYS)
            return -EINVAL;
        __attribute__((fallthrough));
    case KEYCTL_INSTANTIATE:
    case KEYCTL_INSTANTIATE_IOV:
    case KEYCTL_NEGATE:
        return -EPERM; /* only who was asked to make a key may */
    case KEYCTL_SET_REQKEY_KEYRING:
        return do_reqkey_keyring(t, (int)v[0]);
    case KEYCTL_SET_TIMEOUT:
        return do_timeout(t, (int)v[0], v[1]);
    case KEYCTL_ASSUME_AUTHORITY:
        return (int)v[0] < 0 ? -EINVAL : v[0] ? -ENOKEY : 0;
    case KEYCTL_GET_SECURITY:
        return do_security(t, (int)v[0]);
    case KEYCTL_INVALIDATE:
        return do_invalidate(t, (int)v[0]);
    case KEYCTL_RESTRICT_KEYRING:
        return do_restrict(t, (int)v[0], v[1]);
    }
    return -EOPNOTSUPP;
}

/* ---- /proc --------------------------------------------------------------------------------------
 */

static void expiry_text(const struct key *k, char out[16])
{
    static const struct {
        int64_t unit;
        char letter;
    } units[] = {{604800, 'w'}, {86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
    int64_t now = 0, left;
    (void)time_clock_get(CLOCK_REALTIME, &now);
    left = (k->expires_ns - now) / NSEC_PER_SEC;
    if (!k->expires_ns)
        snprintf(out, 16, "perm");
    else if (k->expires_ns <= now)
        snprintf(out, 16, "expd");
    for (size_t i = 0; k->expires_ns > now && i < ARRAY_COUNT(units); i++) {
        if (left < units[i].unit && i + 1 < ARRAY_COUNT(units))
            continue;
        snprintf(out, 16, "%lld%c", (long long)(left / units[i].unit), units[i].letter);
        break;
    }
}

int key_proc_line(struct task *t, int after, int *serial, char *buf, size_t size)
{
    char expiry[16] = "", tail[32] = "";
    LOCK_GUARD(&g_keys_lock);
    struct key *k = key_after(after);
    if (!k)
        return -1;
    *serial = k->serial;
    if (key_permission(t, k, KEY_VIEW))
        return 0;
    expiry_text(k, expiry);
    if (k->type == KEY_TYPE_KEYRING && !k->link_count)
        snprintf(tail, sizeof(tail), ": empty");
    else if (k->type == KEY_TYPE_KEYRING)
        snprintf(tail, sizeof(tail), ": %u", k->link_count);
    else
        snprintf(tail, sizeof(tail), ": %zu", k->size);
    int n = snprintf(buf, size, "%08x I%c%cQ--%c %5u %4s %08x %5d %5d %-9s %s%s\n", k->serial,
                     k->revoked ? 'R' : '-', '-', k->invalid ? 'i' : '-', k->refs, expiry, k->perm,
                     (int)k->uid, (int)k->gid, g_key_types[k->type].name, k->desc, tail);
    return MIN(n, (int)size - 1);
}

int key_users_proc_line(int64_t after, uint32_t *uid, char *buf, size_t size)
{
    struct key_user u;
    unsigned max_keys;
    size_t max_bytes;
    LOCK_GUARD(&g_keys_lock);
    if (!key_user_next(after, &u))
        return -1;
    *uid = u.uid;
    key_quota_of(u.uid, &max_keys, &max_bytes);
    return snprintf(buf, size, "%5u: %5u %u/%u %u/%u %zu/%zu\n", u.uid, u.keys + 1, u.keys, u.keys,
                    u.keys, max_keys, u.bytes, max_bytes);
}
