/* File handles: name_to_handle_at, open_by_handle_at, and what fanotify reports instead of
 * descriptors.
 *
 * A handle is an inode's number and a value made from its birth time, so it can be made of any inode
 * at any time and is the same each time. The way back is a table of the files that handles were made
 * of lately: it holds a reference on one name of each, at most HANDLES_MAX, the oldest going first.
 * A file that loses that name, or falls out of the table, is stale (ESTALE), as a file server's
 * would be that has forgotten it. */
#include "base/overflow.h"
#include "fs/vfs_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HANDLES_MAX 4096u
#define BUCKETS     1024u

struct entry {
    struct entry *next;    /* lock: g_lock; of the bucket */
    struct list_node age;  /* lock: g_lock; oldest first */
    struct dentry *dentry; /* const; counted */
    struct file_handle_k h; /* const */
};

static struct lock g_lock = LOCK_INITIALIZER(LR_LEAF);
static struct entry *g_buckets[BUCKETS]; /* lock: g_lock */
static struct list g_by_age = LIST_INIT(g_by_age);
static uint32_t g_count; /* lock: g_lock to write, atomic to see if there is any */

bool handle_possible(const struct superblock *sb)
{
    return sb->has_handles;
}

void handle_of(struct inode *i, struct file_handle_k *out)
{
    uint64_t born = (uint64_t)i->btime.tv_sec * 1000000000u + (uint64_t)i->btime.tv_nsec;
    *out = (struct file_handle_k){.bytes = HANDLE_BYTES, .type = HANDLE_TYPE};
    out->ino = i->ino;
    out->generation = (born * UINT64_C(0x9e3779b97f4a7c15)) >> 32;
}

static unsigned bucket_of(const struct file_handle_k *h)
{
    return ((h->ino ^ h->generation) * UINT64_C(0x9e3779b97f4a7c15)) >> 54;
}
_Static_assert(BUCKETS == 1u << 10, "bucket_of takes ten bits");

static bool same(const struct entry *e, const struct superblock *sb, const struct file_handle_k *h)
{
    return e->dentry->sb == sb && e->h.ino == h->ino && e->h.generation == h->generation;
}

static struct entry *find_locked(const struct superblock *sb, const struct file_handle_k *h)
{
    struct entry *e = g_buckets[bucket_of(h)];
    while (e && !same(e, sb, h))
        e = e->next;
    return e;
}

static void remove_locked(struct entry *e)
{
    struct entry **at = &g_buckets[bucket_of(&e->h)];
    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    list_del(&e->age);
    __atomic_store_n(&g_count, g_count - 1, __ATOMIC_RELEASE);
}

static void entry_free(struct entry *e)
{
    if (e)
        dentry_put(e->dentry);
    free(e);
}

/* Enter fresh; what has to go instead is handed back. */
static struct entry *insert_locked(struct entry *fresh)
{
    struct entry *old = find_locked(fresh->dentry->sb, &fresh->h);
    if (!old && g_count >= HANDLES_MAX)
        old = list_first(&g_by_age, struct entry, age);
    if (old)
        remove_locked(old);
    unsigned b = bucket_of(&fresh->h);
    fresh->next = g_buckets[b];
    g_buckets[b] = fresh;
    list_push_back(&g_by_age, &fresh->age);
    __atomic_store_n(&g_count, g_count + 1, __ATOMIC_RELEASE);
    return old;
}

static bool known(struct dentry *d, const struct file_handle_k *h)
{
    LOCK_GUARD(&g_lock);
    struct entry *e = find_locked(d->sb, h);
    return e && e->dentry->hashed;
}

int handle_make(struct dentry *d, struct file_handle_k *out)
{
    if (!handle_possible(d->sb))
        return -EOPNOTSUPP;
    handle_of(d->inode, out);
    if ((!d->hashed && d->parent != d) || known(d, out))
        return 0; /* a name that is gone is not worth keeping */
    struct entry *e = malloc(sizeof(*e));
    if (!e)
        return -ENOMEM;
    dentry_get(d);
    *e = (struct entry){.dentry = d, .h = *out};
    lock_acquire(&g_lock);
    struct entry *old = insert_locked(e);
    lock_release(&g_lock);
    entry_free(old);
    return 0;
}

int handle_open(struct superblock *sb, const struct file_handle_k *h, struct dentry **out)
{
    if (h->bytes != HANDLE_BYTES || h->type != HANDLE_TYPE)
        return -ESTALE;
    LOCK_GUARD(&g_lock);
    struct entry *e = find_locked(sb, h);
    if (!e || !e->dentry->inode || !e->dentry->inode->nlink)
        return -ESTALE;
    dentry_get(e->dentry);
    *out = e->dentry;
    return 0;
}

void handle_forget_name(struct dentry *d)
{
    struct file_handle_k h;
    if (!__atomic_load_n(&g_count, __ATOMIC_ACQUIRE) || !d->inode)
        return;
    handle_of(d->inode, &h);
    lock_acquire(&g_lock);
    struct entry *e = find_locked(d->sb, &h);
    if (e && e->dentry == d)
        remove_locked(e);
    else
        e = NULL;
    lock_release(&g_lock);
    entry_free(e);
}

static struct entry *take_of(const struct superblock *sb)
{
    LOCK_GUARD(&g_lock);
    struct entry *e;
    list_for_each(e, &g_by_age, age)
    {
        if (e->dentry->sb == sb) {
            remove_locked(e);
            return e;
        }
    }
    return NULL;
}

void handle_forget_superblock(const struct superblock *sb)
{
    struct entry *e;
    if (!__atomic_load_n(&g_count, __ATOMIC_ACQUIRE))
        return;
    while ((e = take_of(sb)))
        entry_free(e);
}
