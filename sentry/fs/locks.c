/* Advisory locks: POSIX (owner: a descriptor table), OFD and flock (owner: an open file).
 *
 * One lock guards all tables and the graph of who waits for whom. POSIX and OFD locks share the
 * list `ranges`, sorted by start; ranges of one owner never overlap. A waiter blocks on the inode's
 * queue and tries again when anything of that inode is unlocked; before it sleeps a POSIX waiter
 * checks that it would not close a circle (EDEADLK). */
#include "base/overflow.h"
#include "fs/vfs_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>

struct range_lock {
    struct list_node node;
    struct flock_k l;
    bool ofd;
};

struct whole_lock { /* flock */
    struct list_node node;
    struct file *file; /* borrowed: released with it */
    int type;
    int pid;
};

struct file_locks {
    struct inode *inode; /* borrowed */
    struct list ranges, wholes;
    struct waitq wq;
    struct list_node all;
};

/* A blocked POSIX waiter, on its task's stack. */
struct lock_wait {
    struct list_node node;
    const void *waiter, *holder;
};

static struct lock g_lock = LOCK_INITIALIZER(LR_FILE_LOCKS);
static struct list g_all = LIST_INIT(g_all);     /* file_locks */
static struct list g_waits = LIST_INIT(g_waits); /* lock_wait */

static struct file_locks *locks_of_locked(struct inode *i)
{
    if (i->locks)
        return i->locks;
    struct file_locks *fl = calloc(1, sizeof(*fl));
    if (!fl)
        return NULL;
    fl->inode = i;
    list_init(&fl->ranges);
    list_init(&fl->wholes);
    waitq_init(&fl->wq);
    list_push_back(&g_all, &fl->all);
    __atomic_store_n(&i->locks, fl, __ATOMIC_RELEASE);
    return fl;
}

/* The inode is going: nobody holds a lock any more (locks hold files). */
void locks_free(struct inode *i)
{
    if (!i->locks)
        return;
    lock_acquire(&g_lock);
    list_del(&i->locks->all);
    lock_release(&g_lock);
    free(i->locks);
    i->locks = NULL;
}

/* ---- ranges ---- */

static bool overlaps(const struct flock_k *a, const struct flock_k *b)
{
    return a->start <= b->end && b->start <= a->end;
}

static bool conflicts(const struct flock_k *held, const struct flock_k *want)
{
    return held->owner != want->owner && overlaps(held, want) &&
           (held->type == F_WRLCK || want->type == F_WRLCK);
}

static struct range_lock *find_conflict_locked(struct file_locks *fl, const struct flock_k *want)
{
    struct range_lock *h;
    list_for_each(h, &fl->ranges, node) if (conflicts(&h->l, want)) return h;
    return NULL;
}

static bool would_deadlock_locked(const void *waiter, const void *holder)
{
    for (unsigned depth = 0; depth < 64; depth++) {
        if (holder == waiter)
            return true;
        struct lock_wait *w, *next = NULL;
        list_for_each(w, &g_waits, node)
        {
            if (w->waiter == holder) {
                next = w;
                break;
            }
        }
        if (!next)
            return false;
        holder = next->holder;
    }
    return false;
}

static void insert_sorted_locked(struct file_locks *fl, struct range_lock *n)
{
    struct range_lock *h;
    list_for_each(h, &fl->ranges, node)
    {
        if (h->l.start > n->l.start) {
            list_insert_between(&n->node, h->node.prev, &h->node);
            return;
        }
    }
    list_push_back(&fl->ranges, &n->node);
}

/* Cut [l->start, l->end] out of h, which overlaps it; *spare is used when h falls in two. */
static void cut_locked(struct file_locks *fl, struct range_lock *h, const struct flock_k *l,
                       struct range_lock **spare)
{
    bool left = h->l.start < l->start, right = h->l.end > l->end;
    if (!left && !right) {
        list_del(&h->node);
        free(h);
        return;
    }
    if (left && right) {
        struct range_lock *n = *spare;
        *spare = NULL;
        *n = *h;
        n->l.start = l->end + 1;
        h->l.end = l->start - 1;
        list_insert_between(&n->node, &h->node, h->node.next);
        return;
    }
    if (left) {
        h->l.end = l->start - 1;
        return;
    }
    h->l.start = l->end + 1;
    list_del(&h->node); /* keep the list sorted */
    insert_sorted_locked(fl, h);
}

/* Neighbours of the same owner and type that touch l grow into it. */
static void merge_locked(struct file_locks *fl, struct flock_k *l)
{
    struct range_lock *h, *tmp;
    list_for_each_safe(h, tmp, &fl->ranges, node)
    {
        if (h->l.owner != l->owner || h->l.type != l->type)
            continue;
        bool touches = overlaps(&h->l, l) || (h->l.end < INT64_MAX && h->l.end + 1 == l->start) ||
                       (l->end < INT64_MAX && l->end + 1 == h->l.start);
        if (!touches)
            continue;
        l->start = MIN(l->start, h->l.start);
        l->end = MAX(l->end, h->l.end);
        list_del(&h->node);
        free(h);
    }
}

/* No conflict is left: put l in place. spare[0] becomes the lock itself, spare[1] a split. */
static void apply_locked(struct file_locks *fl, const struct flock_k *want, bool ofd,
                         struct range_lock *spare[2])
{
    struct flock_k l = *want;
    struct range_lock *h, *tmp;
    if (l.type != F_UNLCK)
        merge_locked(fl, &l);
    list_for_each_safe(h, tmp, &fl->ranges, node) if (h->l.owner == l.owner && overlaps(&h->l, &l))
        cut_locked(fl, h, &l, &spare[1]);
    if (l.type == F_UNLCK)
        return;
    spare[0]->l = l;
    spare[0]->ofd = ofd;
    insert_sorted_locked(fl, spare[0]);
    spare[0] = NULL;
}

int locks_posix_get(struct file *f, struct flock_k *l)
{
    LOCK_GUARD(&g_lock);
    struct file_locks *fl = f->inode->locks;
    struct range_lock *h = fl ? find_conflict_locked(fl, l) : NULL;
    if (!h)
        l->type = F_UNLCK;
    else
        *l = h->l;
    return 0;
}

/* One try: 0 done, -EAGAIN (and *holder), -EDEADLK. */
static int try_set(struct file_locks *fl, const struct flock_k *l, bool ofd,
                   struct range_lock *spare[2], struct lock_wait *wait)
{
    LOCK_GUARD(&g_lock);
    if (wait)
        list_del(&wait->node);
    struct range_lock *h = l->type == F_UNLCK ? NULL : find_conflict_locked(fl, l);
    if (!h) {
        apply_locked(fl, l, ofd, spare);
        return 0;
    }
    if (!wait)
        return -EAGAIN;
    if (!ofd && !h->ofd && would_deadlock_locked(l->owner, h->l.owner))
        return -EDEADLK;
    if (!ofd) {
        wait->waiter = l->owner;
        wait->holder = h->l.owner;
        list_push_back(&g_waits, &wait->node);
    }
    return -EAGAIN;
}

static int set_waiting(struct task *t, struct file_locks *fl, const struct flock_k *l, bool ofd,
                       struct range_lock *spare[2])
{
    struct lock_wait wait;
    int r = -EAGAIN;
    list_node_init(&wait.node);
    int w = wait_event(t, &fl->wq, DEADLINE_NONE,
                       (r = try_set(fl, l, ofd, spare, &wait)) != -EAGAIN);
    lock_acquire(&g_lock);
    list_del(&wait.node);
    lock_release(&g_lock);
    return r == -EAGAIN ? w : r;
}

/* Downgrades and unlocks may let others in. */
static void locks_wake(struct file_locks *fl)
{
    waitq_wake(&fl->wq, ~0u);
}

int locks_posix_set(struct task *t, struct file *f, const struct flock_k *l, bool wait)
{
    bool ofd = l->owner == f;
    struct range_lock *spare[2] = {calloc(1, sizeof(*spare[0])), calloc(1, sizeof(*spare[1]))};
    lock_acquire(&g_lock);
    struct file_locks *fl = locks_of_locked(f->inode);
    lock_release(&g_lock);
    int r = -ENOLCK;
    if (fl && spare[0] && spare[1])
        r = wait ? set_waiting(t, fl, l, ofd, spare) : try_set(fl, l, ofd, spare, NULL);
    free(spare[0]);
    free(spare[1]);
    if (!r)
        locks_wake(fl);
    return r;
}

/* ---- flock ---- */

static int flock_try(struct file_locks *fl, struct task *t, struct file *f, int type,
                     struct whole_lock **spare)
{
    LOCK_GUARD(&g_lock);
    struct whole_lock *h, *own = NULL;
    list_for_each(h, &fl->wholes, node) if (h->file == f) own = h;
    if (own && (type == F_UNLCK || own->type != type)) {
        list_del(&own->node); /* a change of type gives the old lock up first, as Linux does */
        free(own);
        own = NULL;
        if (type != F_UNLCK)
            waitq_wake(&fl->wq, ~0u);
    }
    if (own || type == F_UNLCK)
        return 0;
    list_for_each(h, &fl->wholes, node) if (h->type == F_WRLCK || type == F_WRLCK) return -EAGAIN;
    struct whole_lock *n = *spare;
    *spare = NULL;
    *n = (struct whole_lock){.file = f, .type = type, .pid = t->process->pid};
    list_push_back(&fl->wholes, &n->node);
    return 0;
}

int locks_flock(struct task *t, struct file *f, int op)
{
    int type = op & ~LOCK_NB;
    type = type == LOCK_SH ? F_RDLCK : type == LOCK_EX ? F_WRLCK : type == LOCK_UN ? F_UNLCK : -1;
    if (type < 0)
        return -EINVAL;
    struct whole_lock *spare = calloc(1, sizeof(*spare));
    lock_acquire(&g_lock);
    struct file_locks *fl = locks_of_locked(f->inode);
    lock_release(&g_lock);
    int r = -ENOLCK;
    if (fl && spare) {
        r = flock_try(fl, t, f, type, &spare);
        if (r == -EAGAIN && !(op & LOCK_NB))
            r = wait_event(t, &fl->wq, DEADLINE_NONE, flock_try(fl, t, f, type, &spare) == 0);
    }
    free(spare);
    if (!r)
        locks_wake(fl);
    return r;
}

/* ---- release, listing ---- */

void locks_release_owner(struct file *f, const void *owner)
{
    bool freed = false;
    lock_acquire(&g_lock);
    struct file_locks *fl = f->inode->locks;
    struct range_lock *h, *tmp;
    list_for_each_safe(h, tmp, &fl->ranges, node) if (h->l.owner == owner)
    {
        list_del(&h->node);
        free(h);
        freed = true;
    }
    struct whole_lock *w, *wtmp;
    list_for_each_safe(w, wtmp, &fl->wholes, node) if (w->file == owner)
    {
        list_del(&w->node);
        free(w);
        freed = true;
    }
    lock_release(&g_lock);
    if (freed)
        locks_wake(fl);
}

void locks_for_each(void (*fn)(struct inode *i, bool flock, bool ofd, const struct flock_k *l,
                               void *arg),
                    void *arg)
{
    LOCK_GUARD(&g_lock);
    struct file_locks *fl;
    list_for_each(fl, &g_all, all)
    {
        struct range_lock *h;
        list_for_each(h, &fl->ranges, node) fn(fl->inode, false, h->ofd, &h->l, arg);
        struct whole_lock *w;
        list_for_each(w, &fl->wholes, node)
        {
            struct flock_k l = {.type = w->type, .end = INT64_MAX, .pid = w->pid, .owner = w->file};
            fn(fl->inode, true, false, &l, arg);
        }
    }
}
