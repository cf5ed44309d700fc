/* The dentry cache: names that were looked up, positive and negative.
 *
 * A dentry is *hashed* (found by lookup; the cache holds one reference, its parent's children list
 * and the LRU hold its nodes) or *unhashed* (deleted, evicted: lives while someone holds it). It
 * holds its parent and its inode. All links are guarded by one lock, held for moments; a whole
 * cached path is walked under one acquisition of it (namei.c). Eviction: a clock hand over the LRU
 * list frees what nobody else holds, so a parent never goes before its children. */
#include "base/host.h"
#include "base/log.h"
#include "base/overflow.h"
#include "fs/vfs_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>

#define DCACHE_MAX       16384 /* hashed dentries; each may pin a gofer fid */
#define DCACHE_SCAN      64    /* entries looked at per insertion over the bound */
#define DCACHE_EVICT_MAX 16

struct lock g_dcache_lock = LOCK_INITIALIZER(LR_DCACHE);

static struct {
    struct dentry **buckets;
    uint32_t mask;
    uint32_t count;
    uint64_t seed;   /* const after init: names are chosen by guests */
    struct list lru; /* coldest first */
} g_dcache = {.lru = LIST_INIT(g_dcache.lru)};

static void dcache_init_once(void)
{
    g_dcache.mask = 1023;
    g_dcache.buckets = calloc(g_dcache.mask + 1, sizeof(*g_dcache.buckets));
    bug_on(!g_dcache.buckets);
    host_getrandom(&g_dcache.seed, sizeof(g_dcache.seed));
}

static pthread_once_t g_dcache_once = PTHREAD_ONCE_INIT;

uint32_t dcache_hash(const char *name, size_t len)
{
    uint64_t h = g_dcache.seed ^ len;
    for (; len >= 8; len -= 8, name += 8) {
        uint64_t v;
        memcpy(&v, name, 8);
        h = (h ^ v) * 0x9e3779b97f4a7c15ull;
        h ^= h >> 29;
    }
    uint64_t tail = 0;
    memcpy(&tail, name, len);
    h = (h ^ tail) * 0xbf58476d1ce4e5b9ull;
    return h ^ (h >> 32);
}

static struct dentry **bucket_of(const struct dentry *parent, uint32_t hash)
{
    uint64_t h = ((uintptr_t)parent >> 4) * 0x9e3779b97f4a7c15ull;
    return &g_dcache.buckets[(hash ^ (uint32_t)(h >> 32)) & g_dcache.mask];
}

struct dentry *dcache_lookup_locked(struct dentry *parent, const char *name, size_t len,
                                    uint32_t hash)
{
    for (struct dentry *d = *bucket_of(parent, hash); d; d = d->hash_next)
        if (d->hash == hash && d->parent == parent && d->name_len == len &&
            !memcmp(d->name, name, len)) {
            d->used = true;
            return d;
        }
    return NULL;
}

static void bucket_add(struct dentry *d)
{
    struct dentry **b = bucket_of(d->parent, d->hash);
    d->hash_next = *b;
    *b = d;
}

static void bucket_del(struct dentry *d)
{
    struct dentry **b = bucket_of(d->parent, d->hash);
    while (*b != d)
        b = &(*b)->hash_next;
    *b = d->hash_next;
    d->hash_next = NULL;
}

static void table_grow(void)
{
    uint32_t old_count = g_dcache.mask + 1;
    struct dentry **old = g_dcache.buckets;
    struct dentry **grown = calloc(old_count * 2, sizeof(*grown));
    if (!grown)
        return; /* longer chains, nothing worse */
    g_dcache.buckets = grown;
    g_dcache.mask = old_count * 2 - 1;
    for (uint32_t i = 0; i < old_count; i++)
        for (struct dentry *d = old[i], *next; d; d = next) {
            next = d->hash_next;
            bucket_add(d);
        }
    free(old);
}

/* The cache's reference is the caller's afterwards (or was just made). */
static void hash_add_locked(struct dentry *d)
{
    d->hashed = true;
    d->used = true;
    bucket_add(d);
    list_push_back(&d->parent->children, &d->sibling);
    list_push_back(&g_dcache.lru, &d->lru);
    if (++g_dcache.count > g_dcache.mask)
        table_grow();
}

/* Hands the cache's reference to the caller. */
static void hash_del_locked(struct dentry *d)
{
    bucket_del(d);
    list_del(&d->sibling);
    list_del(&d->lru);
    d->hashed = false;
    g_dcache.count--;
}

/* Collect up to max unused dentries, unhashed; their cache references become the caller's. */
static unsigned evict_locked(struct dentry **victims, unsigned max, unsigned scan)
{
    unsigned n = 0;
    while (scan-- && n < max && !list_empty(&g_dcache.lru)) {
        struct dentry *d = list_first(&g_dcache.lru, struct dentry, lru);
        if (!d->used && ref_read(&d->ref) == 1) {
            hash_del_locked(d);
            victims[n++] = d;
            continue;
        }
        d->used = false;
        list_del(&d->lru);
        list_push_back(&g_dcache.lru, &d->lru);
    }
    return n;
}

static void put_all(struct dentry **d, unsigned count)
{
    while (count--)
        dentry_put(d[count]);
}

unsigned dcache_shrink(unsigned count)
{
    struct dentry *victims[DCACHE_EVICT_MAX];
    unsigned done = 0;
    for (unsigned round = 0; done < count && round < 2 * count / DCACHE_EVICT_MAX + 2; round++) {
        lock_acquire(&g_dcache_lock);
        unsigned n = evict_locked(victims, DCACHE_EVICT_MAX, /*scan=*/512);
        lock_release(&g_dcache_lock);
        put_all(victims, n);
        done += n;
    }
    return done;
}

static struct dentry *dentry_alloc(struct superblock *sb, const char *name, size_t len)
{
    pthread_once(&g_dcache_once, dcache_init_once);
    struct dentry *d = calloc(1, sizeof(*d) + len + 1);
    if (!d)
        return NULL;
    ref_init(&d->ref);
    d->sb = sb;
    d->name = d->inline_name;
    memcpy(d->name, name, len);
    d->name_len = len;
    d->hash = dcache_hash(name, len);
    list_init(&d->children);
    list_node_init(&d->sibling);
    list_node_init(&d->lru);
    return d;
}

static void dentry_free(struct dentry *d)
{
    if (d->name != d->inline_name)
        free(d->name);
    free(d);
}

struct dentry *dcache_new_root(struct superblock *sb, struct inode *consumed)
{
    struct dentry *d = dentry_alloc(sb, "/", 1);
    if (!d) {
        inode_put(consumed);
        return NULL;
    }
    d->parent = d;
    d->inode = consumed;
    return d;
}

struct dentry *dcache_new_unhashed(struct dentry *parent, const char *name, size_t len,
                                   struct inode *consumed)
{
    struct dentry *d = dentry_alloc(parent->sb, name, len);
    if (!d) {
        if (consumed)
            inode_put(consumed);
        return NULL;
    }
    dentry_get(parent);
    d->parent = parent;
    d->inode = consumed;
    return d;
}

void dentry_get(struct dentry *d)
{
    ref_get(&d->ref);
}

void dentry_put(struct dentry *d)
{
    while (d && ref_put(&d->ref)) {
        struct dentry *parent = d->parent == d ? NULL : d->parent;
        if (d->inode) {
            if (fsnotify_on() && !d->inode->nlink) /* its last name, and nobody has it open */
                fsnotify_dentry_slow(d, IN_DELETE_SELF);
            inode_put(d->inode);
        }
        dentry_free(d);
        d = parent;
    }
}

/* Insert fresh (its only reference becomes the cache's) unless the name is there already; the
 * result is counted for the caller. *unused: what the caller must put after unlocking. */
static struct dentry *insert_locked(struct dentry *fresh, struct dentry **unused)
{
    struct dentry *there =
        dcache_lookup_locked(fresh->parent, fresh->name, fresh->name_len, fresh->hash);
    if (there) {
        dentry_get(there);
        *unused = fresh;
        return there;
    }
    dentry_get(fresh);
    hash_add_locked(fresh);
    return fresh;
}

static struct dentry *fill(struct dentry *parent, const char *name, size_t len,
                           struct inode *consumed, const uint64_t *changes)
{
    struct dentry *fresh = dcache_new_unhashed(parent, name, len, consumed);
    if (!fresh)
        return NULL;
    struct dentry *victims[DCACHE_EVICT_MAX], *unused = NULL, *d = NULL;
    unsigned victim_count = 0;
    struct superblock *sb = parent->sb;
    lock_acquire(&g_dcache_lock);
    if (changes && __atomic_load_n(&sb->changes, __ATOMIC_SEQ_CST) != *changes)
        unused = fresh;
    else
        d = insert_locked(fresh, &unused);
    if (g_dcache.count > DCACHE_MAX)
        victim_count = evict_locked(victims, DCACHE_EVICT_MAX, DCACHE_SCAN);
    lock_release(&g_dcache_lock);
    dentry_put(unused);
    put_all(victims, victim_count);
    return d;
}

struct dentry *dcache_fill(struct dentry *parent, const char *name, size_t len,
                           struct inode *consumed)
{
    return fill(parent, name, len, consumed, NULL);
}

struct dentry *dcache_fill_unless_changed(struct dentry *parent, const char *name, size_t len,
                                          struct inode *consumed, uint64_t changes)
{
    return fill(parent, name, len, consumed, &changes);
}

void dcache_instantiate(struct dentry *d, struct inode *consumed)
{
    struct dentry *unused = NULL;
    lock_acquire(&g_dcache_lock);
    d->inode = consumed;
    if (!d->hashed) {
        dentry_get(d);
        struct dentry *there = dcache_lookup_locked(d->parent, d->name, d->name_len, d->hash);
        if (there) {
            hash_del_locked(there);
            unused = there;
        }
        hash_add_locked(d);
    }
    lock_release(&g_dcache_lock);
    dentry_put(unused);
}

void dcache_drop(struct dentry *d)
{
    lock_acquire(&g_dcache_lock);
    bool was = d->hashed;
    if (was)
        hash_del_locked(d);
    lock_release(&g_dcache_lock);
    if (was)
        dentry_put(d);
}

void dcache_deleted(struct dentry *d)
{
    handle_forget_name(d);
    dcache_drop(d);
    if (!d->sb->no_dcache_negative)
        dentry_put(dcache_fill(d->parent, d->name, d->name_len, NULL));
}

/* One level at a time from the bottom: a child that others hold is only unhashed. */
void dcache_drop_children(struct dentry *top)
{
    for (;;) {
        lock_acquire(&g_dcache_lock);
        struct dentry *d = top;
        while (!list_empty(&d->children))
            d = list_first(&d->children, struct dentry, sibling);
        if (d != top)
            hash_del_locked(d);
        lock_release(&g_dcache_lock);
        if (d == top)
            return;
        dentry_put(d);
    }
}

static void swap_names(struct dentry *a, struct dentry *b, char *a_name, char *b_name)
{
    uint32_t len = a->name_len, hash = a->hash;
    a->name = a_name;
    a->name_len = b->name_len;
    a->hash = b->hash;
    b->name = b_name;
    b->name_len = len;
    b->hash = hash;
    struct dentry *parent = a->parent;
    a->parent = b->parent;
    b->parent = parent;
}

void dcache_move(struct dentry *old, struct dentry *new_d, bool exchange)
{
    char *old_name = strndup(new_d->name, new_d->name_len); /* stable: both directories locked */
    char *new_name = strndup(old->name, old->name_len);
    if (!old_name || !new_name) {
        free(old_name);
        free(new_name);
        dcache_drop(old); /* to be looked up again */
        dcache_drop(new_d);
        return;
    }
    char *free_a = old->name == old->inline_name ? NULL : old->name;
    char *free_b = new_d->name == new_d->inline_name ? NULL : new_d->name;
    bool drop_new = !exchange;
    lock_acquire(&g_dcache_lock);
    if (old->hashed)
        hash_del_locked(old);
    else
        dentry_get(old);
    if (new_d->hashed)
        hash_del_locked(new_d);
    else
        dentry_get(new_d);
    swap_names(old, new_d, old_name, new_name);
    hash_add_locked(old);
    if (exchange)
        hash_add_locked(new_d);
    lock_release(&g_dcache_lock);
    free(free_a);
    free(free_b);
    if (drop_new) {
        handle_forget_name(new_d);
        dentry_put(new_d);
    }
}

bool dcache_is_ancestor(const struct dentry *a, struct dentry *d)
{
    LOCK_GUARD(&g_dcache_lock);
    for (; d != a; d = d->parent)
        if (d->parent == d)
            return false;
    return true;
}

struct dentry *dentry_parent_get(struct dentry *d)
{
    LOCK_GUARD(&g_dcache_lock);
    dentry_get(d->parent);
    return d->parent;
}

void superblock_change_begin(struct superblock *sb)
{
    __atomic_add_fetch(&sb->changing, 1, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&sb->changes, 1, __ATOMIC_SEQ_CST);
}

void superblock_change_end(struct superblock *sb)
{
    __atomic_sub_fetch(&sb->changing, 1, __ATOMIC_SEQ_CST);
}

/* ---- names of paths ---- */

static char *prepend(char *at, char *buf, const char *s, size_t len)
{
    if (!at || at - buf < (ptrdiff_t)len)
        return NULL;
    return memcpy(at - len, s, len);
}

/* Walks up under the lock; *reached: root was met. */
static char *name_up_locked(struct path p, const struct path *root, char *at, char *buf,
                            bool *reached)
{
    for (;;) {
        if (root && p.mnt == root->mnt && p.dentry == root->dentry) {
            *reached = true;
            return at;
        }
        if (p.dentry == p.mnt->root || p.dentry->parent == p.dentry) {
            if (!p.mnt->parent)
                return at;
            p = (struct path){p.mnt->parent, p.mnt->mountpoint};
            continue;
        }
        at = prepend(at, buf, p.dentry->name, p.dentry->name_len);
        at = prepend(at, buf, "/", 1);
        if (!at)
            return NULL;
        p.dentry = p.dentry->parent;
    }
}

char *path_name(const struct path *p, const struct path *root, char *buf, size_t size)
{
    if (size < 2)
        return NULL;
    char *at = buf + size;
    *--at = 0;
    bool reached = false;
    char *end = at;
    lock_acquire(&g_dcache_lock);
    if (!p->dentry->hashed && p->dentry->parent != p->dentry)
        end = at = prepend(at, buf, " (deleted)", 10);
    if (p->mnt)
        at = at ? name_up_locked(*p, root, at, buf, &reached) : NULL;
    else if (at) /* an unnamed file of the kernel's own filesystems: its own name alone */
        at = prepend(prepend(at, buf, p->dentry->name, p->dentry->name_len), buf, "/", 1);
    lock_release(&g_dcache_lock);
    if (at == end)
        at = prepend(at, buf, "/", 1);
    if (at && root && !reached && p->mnt)
        at = prepend(at, buf, "(unreachable)", 13);
    return at;
}
