/* Keys: between keys.c (objects, search), keyring.c (links), keyctl.c (what keyctl asks). All under
 * g_keys_lock; nothing below it is ever taken, and no guest memory touched. */
#pragma once
#include "kernel/kernel_priv.h"

#include <linux/keyctl.h>

#define KEY_VIEW    0x01u
#define KEY_READ    0x02u
#define KEY_WRITE   0x04u
#define KEY_SEARCH  0x08u
#define KEY_LINK    0x10u
#define KEY_SETATTR 0x20u
#define KEY_ALL     0x3fu

#define KEY_POS(n)     ((n) << 24)
#define KEY_USR(n)     ((n) << 16)
#define KEY_GRP(n)     ((n) << 8)
#define KEY_OTH(n)     (n)
#define KEY_PERM_KNOWN (KEY_POS(KEY_ALL) | KEY_USR(KEY_ALL) | KEY_GRP(KEY_ALL) | KEY_OTH(KEY_ALL))

#define KEYRING_LINKS_MAX 4096
#define KEYRING_DEPTH     6
#define KEYS_MAX          65536 /* of all users together */

enum key_type_id { KEY_TYPE_KEYRING, KEY_TYPE_USER, KEY_TYPE_LOGON, KEY_TYPE_BIG, KEY_TYPE_COUNT };
struct key_type {
    const char *name;
    size_t payload_max;
    bool readable, updatable;
};
extern const struct key_type g_key_types[KEY_TYPE_COUNT];

struct key {               /* lock: g_keys_lock, all of it */
    struct tree_node node; /* by serial */
    unsigned refs;         /* holders and links; at zero it is freed */
    int serial;
    enum key_type_id type;
    char *desc;
    uint32_t uid, gid, perm;
    uint32_t quota_uid; /* who is charged */
    size_t charged;
    char *payload; /* not of keyrings */
    size_t size;
    struct key **links; /* of keyrings */
    unsigned link_count, link_room;
    bool revoked, invalid, restricted;
    int64_t expires_ns; /* CLOCK_REALTIME; 0: never */
};

/* ---- keys.c ---- */
extern struct lock g_keys_lock; /* LR_KEYS */
struct key *key_get(struct key *k);
void key_put(struct key *k); /* NULL: nothing */
struct key *key_find(int serial);
struct key *key_after(int serial); /* the next one, for /proc/keys */
int key_type_by_name(const char *name);
/* -EDQUOT, -ENOMEM. The new key has one reference. payload is copied. */
int key_new(const struct cred *c, enum key_type_id type, const char *desc, uint32_t perm,
            const void *payload, size_t size, struct key **out);
int key_set_payload(struct key *k, const void *payload, size_t size);
/* 0, -EKEYREVOKED, -EKEYEXPIRED, -ENOKEY (invalidated). */
int key_validate(const struct key *k);
/* May t do all of need (KEY_*) with k: 0 or -EACCES. */
int key_permission(struct task *t, const struct key *k, uint32_t need);
bool key_possessed(struct task *t, const struct key *k);
struct key_user {
    uint32_t uid;
    unsigned keys;
    size_t bytes;
};
bool key_user_next(int64_t after, struct key_user *out); /* the least uid > after */
void key_quota_of(uint32_t uid, unsigned *keys, size_t *bytes);
int key_chown(struct key *k, uint32_t uid, uint32_t gid); /* -1: as it is; -EDQUOT */
void key_drop_links(struct key *k);                       /* from every keyring */

/* ---- keyring.c ---- */
struct key *keyring_find(const struct key *ring, int type, const char *desc); /* direct link */
int keyring_link(struct key *ring, struct key *k);   /* replaces one of the same name */
int keyring_unlink(struct key *ring, struct key *k); /* -ENOENT */
void keyring_clear(struct key *ring);
bool keyring_reaches(const struct key *ring, const struct key *k, int depth);
/* The first usable key of that name below ring; borrowed. -ENOKEY, -EACCES, -EKEYREVOKED… */
int keyring_search(struct task *t, struct key *ring, int type, const char *desc, struct key **out);
/* The keyrings of t itself, in order of search; NULL where there is none. */
#define TASK_RINGS 3
void task_rings(struct task *t, struct key *out[TASK_RINGS]);
enum { RING_CREATE = 1, RING_STALE = 2 }; /* STALE: also revoked and expired ones */
/* An id as keyctl takes it: serial or KEY_SPEC_*; borrowed. need 0: no permission is asked. */
int key_lookup(struct task *t, int id, unsigned flags, uint32_t need, struct key **out);
int session_to_parent(struct task *t);                   /* tasks_lock held */
int task_join_session(struct task *t, const char *name); /* NULL: a new one; the serial */
