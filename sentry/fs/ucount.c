/* What each user holds of things that are limited per user. A user is in the table while a count of
 * his is not zero. */
#include "fs/vfs.h"

#include <stdlib.h>

#define BUCKETS 64u

struct ucount {
    struct ucount *next; /* lock: g_lock */
    uint32_t uid;        /* const */
    int64_t counts[UCOUNT_KINDS];
};

static struct lock g_lock = LOCK_INITIALIZER(LR_LEAF);
static struct ucount *g_buckets[BUCKETS]; /* lock: g_lock */

static bool is_idle(const struct ucount *u)
{
    for (unsigned i = 0; i < UCOUNT_KINDS; i++)
        if (u->counts[i])
            return false;
    return true;
}

/* The link that leads to the user, or to where he belongs. */
static struct ucount **find_locked(uint32_t uid)
{
    struct ucount **link = &g_buckets[uid % BUCKETS];
    while (*link && (*link)->uid != uid)
        link = &(*link)->next;
    return link;
}

int64_t ucount_add(enum ucount_kind kind, uint32_t uid, int64_t n)
{
    LOCK_GUARD(&g_lock);
    struct ucount **link = find_locked(uid), *u = *link;
    if (!u && !(u = *link = calloc(1, sizeof(*u))))
        return 0; /* no memory: nothing is counted, and giving back finds nothing either */
    u->uid = uid;
    int64_t now = u->counts[kind] += n;
    if (now < 0)
        now = u->counts[kind] = 0;
    if (is_idle(u)) {
        *link = u->next;
        free(u);
    }
    return now;
}
