/* Keys as objects: types, quotas, permissions, life (keyrings(7)).
 *
 * A key lives while somebody holds it: a keyring's link, a task or process whose keyring it is.
 * Serial numbers are random, as Linux's, so that they cannot be guessed from one another. */
#include "kernel/keys_priv.h"

#include "base/host.h"
#include "base/log.h"
#include "base/overflow.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct lock g_keys_lock = LOCK_INITIALIZER(LR_KEYS);
static struct tree g_keys;    /* lock: g_keys_lock; by serial */
static unsigned g_keys_count; /* lock: g_keys_lock */
static struct tree
    g_key_users; /* lock: g_keys_lock; by uid; never freed: one per uid that had keys */

const struct key_type g_key_types[KEY_TYPE_COUNT] = {
    [KEY_TYPE_KEYRING] = {"keyring", 0, true, false},
    [KEY_TYPE_USER] = {"user", 32767, true, true},
    [KEY_TYPE_LOGON] = {"logon", 32767, false, true},
    [KEY_TYPE_BIG] = {"big_key", 1024 * 1024 - 1, true, true},
};

int key_type_by_name(const char *name)
{
    for (int i = 0; i < KEY_TYPE_COUNT; i++)
        if (!strcmp(g_key_types[i].name, name))
            return i;
    return -ENODEV;
}

/* ---- quotas -------------------------------------------------------------------------------------
 */

struct quota {
    struct tree_node node;
    struct key_user user;
};

static int quota_cmp(const struct tree_node *a, const struct tree_node *b)
{
    uint32_t x = tree_entry(a, struct quota, node)->user.uid;
    uint32_t y = tree_entry(b, struct quota, node)->user.uid;
    return (x > y) - (x < y);
}

static int quota_key(const void *key, const struct tree_node *n)
{
    uint32_t x = *(const uint32_t *)key, y = tree_entry(n, struct quota, node)->user.uid;
    return (x > y) - (x < y);
}

static struct quota *quota_get(uint32_t uid)
{
    struct tree_node *n = tree_find(&g_key_users, &uid, quota_key);
    if (n)
        return tree_entry(n, struct quota, node);
    struct quota *q = calloc(1, sizeof(*q));
    if (!q)
        return NULL;
    q->user.uid = uid;
    (void)tree_insert(&g_key_users, &q->node, quota_cmp);
    return q;
}

void key_quota_of(uint32_t uid, unsigned *keys, size_t *bytes)
{
    *keys = uid ? 200 : 1000000;
    *bytes = uid ? 20000 : 25000000;
}

static int quota_charge(uint32_t uid, unsigned keys, size_t bytes)
{
    struct quota *q = quota_get(uid);
    unsigned max_keys;
    size_t max_bytes;
    if (!q)
        return -ENOMEM;
    key_quota_of(uid, &max_keys, &max_bytes);
    if (q->user.keys + keys > max_keys || q->user.bytes + bytes > max_bytes)
        return -EDQUOT;
    q->user.keys += keys;
    q->user.bytes += bytes;
    return 0;
}

static void quota_return(uint32_t uid, unsigned keys, size_t bytes)
{
    struct quota *q = quota_get(uid);
    if (!q)
        return;
    q->user.keys -= keys;
    q->user.bytes -= bytes;
}

bool key_user_next(int64_t after, struct key_user *out)
{
    if (after >= UINT32_MAX)
        return false;
    uint32_t uid = after + 1;
    struct tree_node *n = tree_lower_bound(&g_key_users, &uid, quota_key);
    if (n)
        *out = tree_entry(n, struct quota, node)->user;
    return n;
}

/* ---- the table ----------------------------------------------------------------------------------
 */

static int key_cmp(const struct tree_node *a, const struct tree_node *b)
{
    int x = tree_entry(a, struct key, node)->serial, y = tree_entry(b, struct key, node)->serial;
    return (x > y) - (x < y);
}

static int serial_key(const void *key, const struct tree_node *n)
{
    int x = *(const int *)key, y = tree_entry(n, struct key, node)->serial;
    return (x > y) - (x < y);
}

struct key *key_find(int serial)
{
    struct tree_node *n = tree_find(&g_keys, &serial, serial_key);
    return n ? tree_entry(n, struct key, node) : NULL;
}

struct key *key_after(int serial)
{
    if (serial == INT32_MAX)
        return NULL;
    int next = serial + 1;
    struct tree_node *n = tree_lower_bound(&g_keys, &next, serial_key);
    return n ? tree_entry(n, struct key, node) : NULL;
}

static void key_insert(struct key *k)
{
    do {
        uint32_t r = 0;
        (void)host_getrandom(&r, sizeof(r));
        k->serial = (r >> 2) + 3; /* positive, and not one of the very small ones */
    } while (key_find(k->serial));
    (void)tree_insert(&g_keys, &k->node, key_cmp);
    g_keys_count++;
}

struct key *key_get(struct key *k)
{
    k->refs++;
    return k;
}

/* Chains of keyrings are as long as a guest likes: freed in a loop, through one list. */
void key_put(struct key *k)
{
    if (!k || --k->refs)
        return;
    struct key **dead = malloc(sizeof(*dead) * (g_keys_count + 1));
    size_t count = 0;
    if (!dead)
        return; /* leaked: better than half freed */
    dead[count++] = k;
    while (count) {
        k = dead[--count];
        for (unsigned i = 0; i < k->link_count; i++)
            if (!--k->links[i]->refs)
                dead[count++] = k->links[i];
        tree_erase(&g_keys, &k->node);
        g_keys_count--;
        quota_return(k->quota_uid, 1, k->charged);
        free(k->links);
        if (k->payload)
            explicit_bzero(k->payload, k->size);
        free(k->payload);
        free(k->desc);
        free(k);
    }
    free(dead);
}

static int payload_copy(const void *payload, size_t size, char **out)
{
    *out = NULL;
    if (!size)
        return 0;
    *out = malloc(size);
    if (!*out)
        return -ENOMEM;
    memcpy(*out, payload, size);
    return 0;
}

int key_new(const struct cred *c, enum key_type_id type, const char *desc, uint32_t perm,
            const void *payload, size_t size, struct key **out)
{
    size_t charge = strlen(desc) + 1 + size;
    if (g_keys_count >= KEYS_MAX)
        return -EDQUOT;
    int r = quota_charge(c->fsuid, 1, charge);
    if (r)
        return r;
    struct key *k = calloc(1, sizeof(*k));
    if (!k || !(k->desc = strdup(desc)) || payload_copy(payload, size, &k->payload)) {
        if (k)
            free(k->desc);
        free(k);
        quota_return(c->fsuid, 1, charge);
        return -ENOMEM;
    }
    k->refs = 1;
    k->type = type;
    k->uid = k->quota_uid = c->fsuid;
    k->gid = c->fsgid;
    k->perm = perm;
    k->size = size;
    k->charged = charge;
    key_insert(k);
    *out = k;
    return 0;
}

int key_set_payload(struct key *k, const void *payload, size_t size)
{
    char *copy;
    size_t charge = strlen(k->desc) + 1 + size;
    int r = charge > k->charged ? quota_charge(k->quota_uid, 0, charge - k->charged) : 0;
    if (r)
        return r;
    r = payload_copy(payload, size, &copy);
    if (r) {
        if (charge > k->charged)
            quota_return(k->quota_uid, 0, charge - k->charged);
        return r;
    }
    if (charge < k->charged)
        quota_return(k->quota_uid, 0, k->charged - charge);
    if (k->payload)
        explicit_bzero(k->payload, k->size);
    free(k->payload);
    k->payload = copy;
    k->size = size;
    k->charged = charge;
    k->expires_ns = 0;
    return 0;
}

int key_chown(struct key *k, uint32_t uid, uint32_t gid)
{
    if (uid != (uint32_t)-1 && uid != k->uid) {
        int r = quota_charge(uid, 1, k->charged);
        if (r)
            return r;
        quota_return(k->quota_uid, 1, k->charged);
        k->uid = k->quota_uid = uid;
    }
    if (gid != (uint32_t)-1)
        k->gid = gid;
    return 0;
}

void key_drop_links(struct key *k)
{
    struct key *ring;
    (void)key_get(k);
    for (int serial = 0; (ring = key_after(serial));) {
        serial = ring->serial;
        if (ring->type == KEY_TYPE_KEYRING)
            (void)keyring_unlink(ring, k);
    }
    key_put(k);
}

/* ---- what may be done with it -------------------------------------------------------------------
 */

int key_validate(const struct key *k)
{
    int64_t now = 0;
    if (k->invalid)
        return -ENOKEY;
    if (k->revoked)
        return -EKEYREVOKED;
    if (k->expires_ns && !time_clock_get(CLOCK_REALTIME, &now) && now >= k->expires_ns)
        return -EKEYEXPIRED;
    return 0;
}

bool key_possessed(struct task *t, const struct key *k)
{
    struct key *rings[TASK_RINGS];
    uint32_t search = k->perm >> 24 | (k->uid == t->cred->fsuid ? k->perm >> 16 : 0);
    if (!(search & KEY_SEARCH)) /* possession is by a search that finds it */
        return false;
    task_rings(t, rings);
    for (int i = 0; i < TASK_RINGS; i++)
        if (rings[i] && (rings[i] == k || keyring_reaches(rings[i], k, 0)))
            return true;
    return false;
}

int key_permission(struct task *t, const struct key *k, uint32_t need)
{
    const struct cred *c = t->cred;
    uint32_t perm = k->perm;
    uint32_t have = k->uid == c->fsuid                                  ? perm >> 16
                    : (perm >> 8 & KEY_ALL) && cred_in_group(c, k->gid) ? perm >> 8
                                                                        : perm;
    if ((have & need) == need)
        return 0;
    if (key_possessed(t, k))
        have |= perm >> 24;
    return (have & need & KEY_ALL) == need ? 0 : -EACCES;
}
