/* Keyrings: links between keys, searching, and which keyrings a task has.
 *
 * Links form no cycle and are at most KEYRING_DEPTH deep where anybody looks. */
#include "kernel/keys_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- links --------------------------------------------------------------------------------------
 */

struct key *keyring_find(const struct key *ring, int type, const char *desc)
{
    for (unsigned i = 0; i < ring->link_count; i++) {
        struct key *k = ring->links[i];
        if ((int)k->type == type && !k->invalid && !strcmp(k->desc, desc))
            return k;
    }
    return NULL;
}

int keyring_unlink(struct key *ring, struct key *k)
{
    for (unsigned i = 0; i < ring->link_count; i++) {
        if (ring->links[i] != k)
            continue;
        memmove(ring->links + i, ring->links + i + 1,
                (ring->link_count - i - 1) * sizeof(*ring->links));
        ring->link_count--;
        key_put(k);
        return 0;
    }
    return -ENOENT;
}

void keyring_clear(struct key *ring)
{
    while (ring->link_count)
        key_put(ring->links[--ring->link_count]);
}

bool keyring_reaches(const struct key *ring, const struct key *k, int depth)
{
    if (ring->type != KEY_TYPE_KEYRING || depth > KEYRING_DEPTH)
        return false;
    for (unsigned i = 0; i < ring->link_count; i++)
        if (ring->links[i] == k || keyring_reaches(ring->links[i], k, depth + 1))
            return true;
    return false;
}

static int keyring_depth(const struct key *k, int depth)
{
    int most = depth;
    if (k->type != KEY_TYPE_KEYRING || depth > KEYRING_DEPTH)
        return depth;
    for (unsigned i = 0; i < k->link_count; i++) {
        int d = keyring_depth(k->links[i], depth + 1);
        most = d > most ? d : most;
    }
    return most;
}

static int link_check(struct key *ring, struct key *k)
{
    if (ring->restricted)
        return -EPERM;
    if (k->type != KEY_TYPE_KEYRING)
        return 0;
    if (k == ring || keyring_reaches(k, ring, 0))
        return -EDEADLK;
    return keyring_depth(k, 0) > KEYRING_DEPTH ? -ELOOP : 0;
}

int keyring_link(struct key *ring, struct key *k)
{
    int r = link_check(ring, k);
    if (r)
        return r;
    struct key *old = keyring_find(ring, k->type, k->desc);
    if (old == k)
        return 0;
    if (old) {
        for (unsigned i = 0; i < ring->link_count; i++)
            if (ring->links[i] == old)
                ring->links[i] = key_get(k);
        key_put(old);
        return 0;
    }
    if (ring->link_count >= KEYRING_LINKS_MAX)
        return -ENFILE;
    if (ring->link_count == ring->link_room) {
        unsigned room = ring->link_room ? ring->link_room * 2 : 8;
        struct key **links = realloc(ring->links, room * sizeof(*links));
        if (!links)
            return -ENOMEM;
        ring->links = links;
        ring->link_room = room;
    }
    ring->links[ring->link_count++] = key_get(k);
    return 0;
}

/* ---- searching ----------------------------------------------------------------------------------
 */

/* A better reason for failure than "not there". */
static void search_note(int *reason, int r)
{
    if (*reason == -ENOKEY || r != -EACCES)
        *reason = r;
}

static struct key *search_level(struct task *t, struct key *ring, int type, const char *desc,
                                int depth, int *reason)
{
    for (unsigned i = 0; i < ring->link_count; i++) {
        struct key *k = ring->links[i];
        if ((int)k->type != type || k->invalid || strcmp(k->desc, desc))
            continue;
        int r = key_validate(k);
        if (!r && key_permission(t, k, KEY_SEARCH))
            r = -EACCES;
        if (!r)
            return k;
        search_note(reason, r);
    }
    for (unsigned i = 0; i < ring->link_count && depth < KEYRING_DEPTH; i++) {
        struct key *k = ring->links[i], *found;
        if (k->type != KEY_TYPE_KEYRING || key_validate(k) || key_permission(t, k, KEY_SEARCH))
            continue;
        found = search_level(t, k, type, desc, depth + 1, reason);
        if (found)
            return found;
    }
    return NULL;
}

int keyring_search(struct task *t, struct key *ring, int type, const char *desc, struct key **out)
{
    int reason = -ENOKEY;
    if (ring->type != KEY_TYPE_KEYRING)
        return -ENOTDIR;
    if ((int)ring->type == type && !strcmp(ring->desc, desc) && !key_validate(ring)) {
        *out = ring;
        return 0;
    }
    struct key *k = search_level(t, ring, type, desc, 0, &reason);
    if (!k)
        return reason;
    *out = k;
    return 0;
}

/* ---- a task's own keyrings ----------------------------------------------------------------------
 */

#define NOGROUP      65534
#define PERM_OWN     (KEY_POS(KEY_ALL) | KEY_USR(KEY_VIEW))
#define PERM_SESSION (PERM_OWN | KEY_USR(KEY_READ))
#define PERM_USER    (KEY_POS(KEY_ALL & ~KEY_SETATTR) | KEY_USR(KEY_ALL))

/* Keyrings of users and named sessions are found by name, among those that exist. */
static struct key *ring_by_name(const char *name, uint32_t uid)
{
    struct key *k;
    for (int serial = 0; (k = key_after(serial)); serial = k->serial)
        if (k->type == KEY_TYPE_KEYRING && k->uid == uid && !key_validate(k) &&
            !strcmp(k->desc, name))
            return k;
    return NULL;
}

static int user_ring(struct task *t, bool session, struct key **out)
{
    char name[32];
    struct key *k, *user;
    uint32_t uid = t->cred->uid;
    snprintf(name, sizeof(name), session ? "_uid_ses.%u" : "_uid.%u", uid);
    k = ring_by_name(name, uid);
    if (k) {
        *out = k;
        return 0;
    }
    struct cred c = {.fsuid = uid, .fsgid = NOGROUP};
    int r = key_new(&c, KEY_TYPE_KEYRING, name, PERM_USER, NULL, 0, &k);
    if (r) /* its first reference is kept: users' keyrings stay */
        return r;
    if (session && !user_ring(t, /*session=*/false, &user))
        (void)keyring_link(k, user);
    *out = k;
    return 0;
}

static int session_ring(struct task *t, bool create, struct key **out)
{
    struct key *k;
    int r;
    if (t->session_ring) {
        *out = t->session_ring;
        return 0;
    }
    if (create) {
        r = task_join_session(t, NULL);
        *out = t->session_ring;
        return r < 0 ? r : 0;
    }
    r = user_ring(t, /*session=*/true, &k);
    if (!r) {
        t->session_ring = key_get(k);
        *out = k;
    }
    return r;
}

static int own_ring(struct task *t, struct key **slot, const char *name, bool create,
                    struct key **out)
{
    if (!*slot && !create)
        return -ENOKEY;
    int r = *slot ? 0 : key_new(t->cred, KEY_TYPE_KEYRING, name, PERM_OWN, NULL, 0, slot);
    *out = *slot;
    return r;
}

void task_rings(struct task *t, struct key *out[TASK_RINGS])
{
    char name[32];
    out[0] = t->thread_ring;
    out[1] = t->process->process_ring;
    out[2] = t->session_ring;
    if (out[2])
        return;
    snprintf(name, sizeof(name), "_uid_ses.%u", t->cred->uid);
    out[2] = ring_by_name(name, t->cred->uid);
}

/* A child has given its session keyring to this process (KEYCTL_SESSION_TO_PARENT). */
static void adopt_session(struct task *t)
{
    struct process *p = t->process;
    if (!p->session_ring_next)
        return;
    key_put(t->session_ring);
    t->session_ring = p->session_ring_next;
    p->session_ring_next = NULL;
}

int session_to_parent(struct task *t)
{
    lock_check_held(LR_TASKS);
    struct process *parent = t->process->parent;
    struct task *leader = parent ? parent->leader : NULL;
    if (!leader || parent == g_kernel.init || parent->task_count != 1)
        return -EPERM;
    const struct cred *a = t->cred, *b = leader->cred;
    bool same = b->uid == a->euid && b->euid == a->euid && b->suid == a->euid &&
                b->gid == a->egid && b->egid == a->egid && b->sgid == a->egid;
    if (!same)
        return -EPERM;
    struct key *ring;
    int r = session_ring(t, /*create=*/false, &ring);
    if (r)
        return r;
    key_put(parent->session_ring_next);
    parent->session_ring_next = key_get(ring);
    return 0;
}

static int special_ring(struct task *t, int id, bool create, struct key **out)
{
    switch (id) {
    case KEY_SPEC_THREAD_KEYRING:
        return own_ring(t, &t->thread_ring, "_tid", create, out);
    case KEY_SPEC_PROCESS_KEYRING:
        return own_ring(t, &t->process->process_ring, "_pid", create, out);
    case KEY_SPEC_SESSION_KEYRING:
        return session_ring(t, create, out);
    case KEY_SPEC_USER_KEYRING:
        return user_ring(t, /*session=*/false, out);
    case KEY_SPEC_USER_SESSION_KEYRING:
        return user_ring(t, /*session=*/true, out);
    case KEY_SPEC_REQKEY_AUTH_KEY:
    case KEY_SPEC_REQUESTOR_KEYRING:
        return -ENOKEY;
    }
    return -EINVAL;
}

int key_lookup(struct task *t, int id, unsigned flags, uint32_t need, struct key **out)
{
    adopt_session(t);
    struct key *k = id > 0 ? key_find(id) : NULL;
    int r = id > 0 ? (k ? 0 : -ENOKEY) : special_ring(t, id, flags & RING_CREATE, &k);
    if (!r && !(flags & RING_STALE))
        r = key_validate(k);
    if (!r && need)
        r = key_permission(t, k, need);
    if (!r)
        *out = k;
    return r;
}

int task_join_session(struct task *t, const char *name)
{
    struct key *k = name ? ring_by_name(name, t->cred->uid) : NULL;
    int r = 0;
    if (k && (r = key_permission(t, k, KEY_SEARCH)))
        return r;
    if (k)
        (void)key_get(k);
    else
        r = key_new(t->cred, KEY_TYPE_KEYRING, name ? name : "_ses",
                    PERM_SESSION | (name ? KEY_USR(KEY_LINK | KEY_SEARCH) : 0), NULL, 0, &k);
    if (r)
        return r;
    key_put(t->session_ring);
    t->session_ring = k;
    return k->serial;
}

/* ---- fork, exec, exit ---------------------------------------------------------------------------
 */

void keys_clone(struct task *t, struct task *n)
{
    if (!t->session_ring && !t->process->session_ring_next)
        return;
    LOCK_GUARD(&g_keys_lock);
    adopt_session(t);
    n->session_ring = key_get(t->session_ring);
}

static void drop(struct key **slot)
{
    if (!*slot)
        return;
    LOCK_GUARD(&g_keys_lock);
    key_put(*slot);
    *slot = NULL;
}

void keys_exec(struct task *t)
{
    drop(&t->thread_ring);
    drop(&t->process->process_ring);
}

void keys_task_free(struct task *t)
{
    drop(&t->thread_ring);
    drop(&t->session_ring);
}

void keys_process_free(struct process *p)
{
    drop(&p->process_ring);
    drop(&p->session_ring_next);
}
