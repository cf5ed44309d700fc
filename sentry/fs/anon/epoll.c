/* epoll instances.
 *
 *   epoll ── tree of items, one for each watched (file, descriptor number)
 *     item: idle → (wake callback) on the ready list → collected → idle again, or for level
 *     triggered ones back on the list until a look finds nothing
 *
 * An item holds no reference on its file: the file's end (epoll_file_gone) takes its items out
 * first. An item looks at its file only under the instance's lock, and leaves under it, so the file
 * is always there.
 *
 * Locks: g_nest_lock (LR_EPOLL, outermost): nesting of instances, and the end of files and
 * instances. ep->lock (LR_EPOLL, parent before child): the tree and what items want. ready_lock
 * (LR_EPOLL_READY): the ready list, from wake callbacks too. g_files_lock (leaf): lists of items of
 * each file. */
#include "base/overflow.h"
#include "fs/vfs.h"
#include "kernel/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define EP_MAX_NESTS 4
#define EP_ALWAYS    (EPOLLERR | EPOLLHUP)
#define EP_PRIVATE   (EPOLLWAKEUP | EPOLLONESHOT | EPOLLET | EPOLLEXCLUSIVE)
#define EP_POLL_BITS 0xffffu
#define EP_EXCL_OK                                                                                 \
    (EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE)
#define EP_MAX_COLLECT (INT32_MAX / (int)sizeof(struct epoll_event))

struct epoll {
    struct ref ref;
    struct lock lock;       /* LR_EPOLL */
    struct tree items;      /* lock: lock; by (file, fd) */
    struct lock ready_lock; /* LR_EPOLL_READY */
    struct list ready;      /* lock: ready_lock */
    uint32_t ready_hint;    /* atomic; nonzero while the list is not empty */
    struct waitq wq;        /* LR_EPOLL_WAITQ */
    struct file *file;      /* const; borrowed: owns us */
    uint32_t uid;           /* const; whose watches the items are */
    uint64_t params;        /* atomic; EPIOCSPARAMS; kept and told back */
};

struct epitem {
    struct tree_node node;       /* lock: ep->lock */
    struct epoll *ep;            /* const; borrowed */
    struct file *file;           /* const; borrowed, see above */
    int fd;                      /* const */
    uint32_t events;             /* atomic; lock: ep->lock to write */
    uint64_t data;               /* lock: ep->lock */
    struct list_node ready_node; /* lock: ep->ready_lock */
    struct list_node file_node;  /* lock: g_files_lock; file->epoll_items */
    struct waiter waiter;
    struct waitq *wq; /* const; borrowed from the file */
};

static struct lock g_nest_lock = LOCK_INITIALIZER(LR_EPOLL);
static struct lock g_files_lock = LOCK_INITIALIZER(LR_LEAF);
static const struct file_ops g_epoll_ops;

struct item_key {
    struct file *file;
    int fd;
};

static int key_compare(struct file *file, int fd, const struct tree_node *n)
{
    const struct epitem *it = tree_entry(n, struct epitem, node);
    if (file != it->file)
        return file < it->file ? -1 : 1;
    return (fd > it->fd) - (fd < it->fd);
}

static int item_cmp(const struct tree_node *a, const struct tree_node *b)
{
    const struct epitem *it = tree_entry(a, struct epitem, node);
    return key_compare(it->file, it->fd, b);
}

static int item_key_cmp(const void *key, const struct tree_node *n)
{
    const struct item_key *k = key;
    return key_compare(k->file, k->fd, n);
}

static struct epitem *item_find_locked(struct epoll *ep, struct file *f, int fd)
{
    struct item_key key = {f, fd};
    struct tree_node *n = tree_find(&ep->items, &key, item_key_cmp);
    return n ? tree_entry(n, struct epitem, node) : NULL;
}

/* ---- the ready list ---- */

static void ready_hint_update_locked(struct epoll *ep)
{
    __atomic_store_n(&ep->ready_hint, !list_empty(&ep->ready), __ATOMIC_RELEASE);
}

static void ready_add(struct epitem *it)
{
    LOCK_GUARD(&it->ep->ready_lock);
    if (!list_linked(&it->ready_node))
        list_push_back(&it->ep->ready, &it->ready_node);
    ready_hint_update_locked(it->ep);
}

static void ready_remove(struct epitem *it)
{
    LOCK_GUARD(&it->ep->ready_lock);
    list_del(&it->ready_node);
    ready_hint_update_locked(it->ep);
}

static struct epitem *ready_take(struct epoll *ep, struct list *from)
{
    LOCK_GUARD(&ep->ready_lock);
    struct epitem *it = list_first(from, struct epitem, ready_node);
    if (it)
        list_del(&it->ready_node);
    return it;
}

static void item_wake(struct waiter *w, unsigned events)
{
    struct epitem *it = container_of(w, struct epitem, waiter);
    uint32_t wanted = __atomic_load_n(&it->events, __ATOMIC_RELAXED);
    if (!(wanted & ~EP_PRIVATE) || !(events & wanted & EP_POLL_BITS))
        return;
    ready_add(it);
    waitq_wake(&it->ep->wq, POLLIN | POLLRDNORM);
}

static uint32_t item_look_locked(struct epitem *it)
{
    if (!(it->events & ~EP_PRIVATE))
        return 0; /* a spent one-shot */
    return vfs_poll(it->file) & it->events & EP_POLL_BITS;
}

/* ---- items ---- */

/* The waiter goes first: after that no callback can make the item ready again. */
static void item_remove_locked(struct epoll *ep, struct epitem *it)
{
    waitq_remove(it->wq, &it->waiter);
    ready_remove(it);
    lock_acquire(&g_files_lock);
    list_del(&it->file_node);
    lock_release(&g_files_lock);
    tree_erase(&ep->items, &it->node);
    ucount_add(UCOUNT_EPOLL_WATCHES, ep->uid, -1);
    free(it);
}

static struct epitem *item_new(struct epoll *ep, struct file *f, int fd,
                               const struct epoll_event *ev)
{
    struct epitem *it = calloc(1, sizeof(*it));
    if (!it)
        return NULL;
    it->ep = ep;
    it->file = f;
    it->fd = fd;
    it->events = ev->events | EP_ALWAYS;
    it->data = ev->data.u64;
    list_node_init(&it->ready_node);
    list_node_init(&it->file_node);
    it->wq = f->ops->waitq(f);
    it->waiter = (struct waiter){.wake = item_wake, .events = ~0u};
    list_node_init(&it->waiter.node);
    return it;
}

static void item_check_ready_locked(struct epitem *it)
{
    if (!item_look_locked(it))
        return;
    ready_add(it);
    waitq_wake(&it->ep->wq, POLLIN | POLLRDNORM);
}

static int item_add_locked(struct epoll *ep, int fd, struct file *f, const struct epoll_event *ev)
{
    if (item_find_locked(ep, f, fd))
        return -EEXIST;
    if (ucount_add(UCOUNT_EPOLL_WATCHES, ep->uid, 1) > g_vfs_knobs.epoll_max_user_watches) {
        ucount_add(UCOUNT_EPOLL_WATCHES, ep->uid, -1);
        return -ENOSPC;
    }
    struct epitem *it = item_new(ep, f, fd, ev);
    if (!it) {
        ucount_add(UCOUNT_EPOLL_WATCHES, ep->uid, -1);
        return -ENOMEM;
    }
    tree_insert(&ep->items, &it->node, item_cmp);
    lock_acquire(&g_files_lock);
    list_push_back(&f->epoll_items, &it->file_node);
    lock_release(&g_files_lock);
    waitq_add(it->wq, &it->waiter);
    item_check_ready_locked(it);
    return 0;
}

static int item_modify_locked(struct epitem *it, const struct epoll_event *ev)
{
    if (it->events & EPOLLEXCLUSIVE || ev->events & EPOLLEXCLUSIVE)
        return -EINVAL;
    __atomic_store_n(&it->events, ev->events | EP_ALWAYS, __ATOMIC_RELAXED);
    it->data = ev->data.u64;
    item_check_ready_locked(it);
    return 0;
}

/* ---- nesting ---- */

static struct epoll *epoll_of(struct file *f)
{
    return f->ops == &g_epoll_ops ? f->priv : NULL;
}

/* Levels of instances below and including ep; too many, or finding target, is more than allowed.
 * g_nest_lock held: nesting does not change. */
static int depth_below(struct epoll *ep, struct epoll *target, int level)
{
    if (ep == target || level > EP_MAX_NESTS)
        return EP_MAX_NESTS + 2;
    int deepest = 0;
    lock_acquire_nested(&ep->lock);
    for (struct tree_node *n = tree_first(&ep->items); n; n = tree_next(n)) {
        struct epoll *child = epoll_of(tree_entry(n, struct epitem, node)->file);
        if (child)
            deepest = MAX(deepest, depth_below(child, target, level + 1));
        if (deepest > EP_MAX_NESTS)
            break;
    }
    lock_release(&ep->lock);
    return deepest + 1;
}

/* Levels above ep. Under g_files_lock all the way: instances do not go while their items are on it.
 */
static int depth_above_locked(struct epoll *ep, int level)
{
    int highest = 0;
    struct epitem *it;
    if (level > EP_MAX_NESTS)
        return EP_MAX_NESTS + 2;
    list_for_each(it, &ep->file->epoll_items, file_node) highest =
        MAX(highest, 1 + depth_above_locked(it->ep, level + 1));
    return highest;
}

static int nest_check(struct epoll *ep, struct epoll *child)
{
    int below = depth_below(child, ep, 0);
    lock_acquire(&g_files_lock);
    int above = depth_above_locked(ep, 0);
    lock_release(&g_files_lock);
    return above + below > EP_MAX_NESTS ? -ELOOP : 0;
}

/* ---- epoll_ctl ---- */

static int control_add(struct epoll *ep, int fd, struct file *f, const struct epoll_event *ev)
{
    struct epoll *child = epoll_of(f);
    int r = 0;
    if (child) {
        lock_acquire(&g_nest_lock);
        r = nest_check(ep, child);
    }
    if (!r) {
        lock_acquire_nested(&ep->lock);
        r = item_add_locked(ep, fd, f, ev);
        lock_release(&ep->lock);
    }
    if (child)
        lock_release(&g_nest_lock);
    return r;
}

static int control_existing(struct epoll *ep, int op, int fd, struct file *f,
                            const struct epoll_event *ev)
{
    lock_acquire_nested(&ep->lock);
    struct epitem *it = item_find_locked(ep, f, fd);
    int r = 0;
    if (!it)
        r = -ENOENT;
    else if (op == EPOLL_CTL_MOD)
        r = item_modify_locked(it, ev);
    else
        item_remove_locked(ep, it);
    lock_release(&ep->lock);
    return r;
}

static bool exclusive_is_valid(int op, struct file *f, const struct epoll_event *ev)
{
    if (!(ev->events & EPOLLEXCLUSIVE))
        return true;
    return op == EPOLL_CTL_ADD && !epoll_of(f) && !(ev->events & ~EP_EXCL_OK);
}

int epoll_control(struct file *epf, int op, int fd, struct file *f, const struct epoll_event *ev)
{
    struct epoll *ep = epoll_of(epf);
    if (!f->ops || !f->ops->waitq)
        return -EPERM;
    if (!ep || f == epf)
        return -EINVAL;
    if (op != EPOLL_CTL_DEL && !exclusive_is_valid(op, f, ev))
        return -EINVAL;
    switch (op) {
    case EPOLL_CTL_ADD:
        return control_add(ep, fd, f, ev);
    case EPOLL_CTL_MOD:
    case EPOLL_CTL_DEL:
        return control_existing(ep, op, fd, f, ev);
    default:
        return -EINVAL;
    }
}

/* ---- epoll_wait ---- */

/* Report one item and decide where it goes next. False: nothing to report. */
static bool collect_item_locked(struct epitem *it, struct epoll_event *out, struct list *again)
{
    uint32_t got = item_look_locked(it);
    if (!got)
        return false;
    out->events = got;
    out->data.u64 = it->data;
    if (it->events & EPOLLONESHOT) {
        __atomic_store_n(&it->events, it->events & EP_PRIVATE, __ATOMIC_RELAXED);
    } else if (!(it->events & EPOLLET)) {
        LOCK_GUARD(&it->ep->ready_lock);
        if (!list_linked(&it->ready_node))
            list_push_back(again, &it->ready_node);
    }
    return true;
}

/* What was not looked at goes back to the front, what is still ready behind it. */
static bool ready_give_back(struct epoll *ep, struct list *unseen, struct list *again)
{
    LOCK_GUARD(&ep->ready_lock);
    bool some = !list_empty(again) || !list_empty(unseen);
    list_splice_back(unseen, &ep->ready);
    list_splice_back(unseen, again);
    list_splice_back(&ep->ready, unseen);
    ready_hint_update_locked(ep);
    return some;
}

static unsigned collect(struct epoll *ep, struct epoll_event *out, unsigned max)
{
    struct list mine, again;
    struct epitem *it;
    unsigned count = 0;
    list_init(&mine);
    list_init(&again);
    lock_acquire_nested(&ep->lock);
    lock_acquire(&ep->ready_lock);
    list_splice_back(&mine, &ep->ready);
    lock_release(&ep->ready_lock);
    while (count < max && (it = ready_take(ep, &mine)))
        count += collect_item_locked(it, &out[count], &again);
    bool more = ready_give_back(ep, &mine, &again);
    lock_release(&ep->lock);
    if (more && count)
        waitq_wake(&ep->wq, POLLIN | POLLRDNORM);
    return count;
}

static bool epoll_has_ready(struct epoll *ep)
{
    return __atomic_load_n(&ep->ready_hint, __ATOMIC_ACQUIRE);
}

int epoll_collect(struct task *t, struct file *epf, struct epoll_event *out, unsigned max,
                  int64_t deadline)
{
    struct epoll *ep = epoll_of(epf);
    if (!ep || !max)
        return -EINVAL;
    for (;;) {
        unsigned n = epoll_has_ready(ep) ? collect(ep, out, max) : 0;
        if (n || !deadline)
            return n;
        int r = wait_event_mask(t, &ep->wq, POLLIN, deadline, epoll_has_ready(ep));
        if (r)
            return r == -ETIMEDOUT ? 0 : -EINTR;
    }
}

/* ---- the file ---- */

/* Is there a ready item that is really so? Those that are not leave the list. */
static bool epoll_look_locked(struct epoll *ep)
{
    struct list mine, again;
    struct epitem *it;
    bool found = false;
    list_init(&mine);
    list_init(&again);
    lock_acquire(&ep->ready_lock);
    list_splice_back(&mine, &ep->ready);
    lock_release(&ep->ready_lock);
    while (!found && (it = ready_take(ep, &mine))) {
        found = item_look_locked(it) != 0;
        if (found) {
            LOCK_GUARD(&ep->ready_lock);
            if (!list_linked(&it->ready_node))
                list_push_back(&again, &it->ready_node);
        }
    }
    list_splice_back(&again, &mine);
    ready_give_back(ep, &again, &mine);
    return found;
}

static unsigned epoll_poll(struct file *f)
{
    struct epoll *ep = f->priv;
    if (!epoll_has_ready(ep))
        return 0;
    lock_acquire_nested(&ep->lock);
    bool found = epoll_look_locked(ep);
    lock_release(&ep->lock);
    return found ? POLLIN | POLLRDNORM : 0;
}

/* Busy polling is a matter of network devices, of which there are none to poll. */
#define EPIOCSPARAMS_K 0x40088a01u
#define EPIOCGPARAMS_K 0x80088a02u
#define NAPI_BUDGET    64

struct epoll_params_abi {
    uint32_t busy_poll_usecs;
    uint16_t busy_poll_budget;
    uint8_t prefer_busy_poll, pad;
};

static int64_t epoll_params_set(struct epoll *ep, struct task *t, uint64_t arg)
{
    struct epoll_params_abi a;
    if (uaccess_read_obj(t->mm, &a, uaddr(arg)))
        return -EFAULT;
    if (a.pad || a.busy_poll_usecs > INT32_MAX || a.prefer_busy_poll > 1)
        return -EINVAL;
    if (a.busy_poll_budget > NAPI_BUDGET && !cred_has_cap(t->cred, CAP_NET_ADMIN))
        return -EPERM;
    uint64_t packed;
    memcpy(&packed, &a, sizeof(packed));
    __atomic_store_n(&ep->params, packed, __ATOMIC_RELAXED);
    return 0;
}

static int64_t epoll_ioctl(struct file *f, struct task *t, unsigned cmd, uint64_t arg)
{
    struct epoll *ep = f->priv;
    if (cmd == EPIOCSPARAMS_K)
        return epoll_params_set(ep, t, arg);
    if (cmd != EPIOCGPARAMS_K)
        return -EINVAL;
    uint64_t packed = __atomic_load_n(&ep->params, __ATOMIC_RELAXED);
    return uaccess_write_obj(t->mm, uaddr(arg), &packed);
}

static struct waitq *epoll_waitq(struct file *f)
{
    struct epoll *ep = f->priv;
    return &ep->wq;
}

static void epoll_free(struct epoll *ep)
{
    lock_destroy(&ep->lock);
    lock_destroy(&ep->ready_lock);
    free(ep);
}

static void epoll_release(struct file *f)
{
    struct epoll *ep = f->priv;
    lock_acquire(&g_nest_lock);
    lock_acquire_nested(&ep->lock);
    struct tree_node *n;
    while ((n = tree_first(&ep->items)))
        item_remove_locked(ep, tree_entry(n, struct epitem, node));
    lock_release(&ep->lock);
    lock_release(&g_nest_lock);
    epoll_free(ep);
}

static struct epitem *first_item_of(struct file *f)
{
    LOCK_GUARD(&g_files_lock);
    return list_first(&f->epoll_items, struct epitem, file_node);
}

/* g_nest_lock keeps the instances: they end only under it. An item found may still be taken out by
 * EPOLL_CTL_DEL of another (file, fd) pair's owner only under its ep->lock, and never freed before
 * it has left the file's list. */
void epoll_file_gone(struct file *f)
{
    struct epitem *it;
    lock_acquire(&g_nest_lock);
    while ((it = first_item_of(f))) {
        struct epoll *ep = it->ep;
        lock_acquire_nested(&ep->lock);
        if (first_item_of(f) == it)
            item_remove_locked(ep, it);
        lock_release(&ep->lock);
    }
    lock_release(&g_nest_lock);
}

static int epoll_fdinfo(struct file *f, char *buf, size_t size)
{
    struct epoll *ep = f->priv;
    size_t len = 0;
    lock_acquire_nested(&ep->lock);
    for (struct tree_node *n = tree_first(&ep->items); n && len < size; n = tree_next(n)) {
        struct epitem *it = tree_entry(n, struct epitem, node);
        struct inode *i = it->file->inode;
        len += snprintf(buf + len, size - len,
                        "tfd: %8d events: %8x data: %16llx  pos:%lli ino:%lx sdev:%x\n", it->fd,
                        it->events, (unsigned long long)it->data, (long long)it->file->pos,
                        i ? (unsigned long)i->ino : 0ul, i ? (unsigned)i->sb->dev : 0u);
    }
    lock_release(&ep->lock);
    return MIN(len, size);
}

static int epoll_fdname(struct file *f, char *buf, size_t size)
{
    return snprintf(buf, size, "anon_inode:[eventpoll]");
}

static const struct file_ops g_epoll_ops = {
    .poll = epoll_poll,
    .waitq = epoll_waitq,
    .ioctl = epoll_ioctl,
    .release = epoll_release,
    .fdinfo = epoll_fdinfo,
    .fdname = epoll_fdname,
    .lseek = vfs_lseek_noop,
    .stream = true,
    .no_fasync = true,
};

int epoll_new(unsigned flags, struct file **out)
{
    struct epoll *ep = calloc(1, sizeof(*ep));
    if (!ep)
        return -ENOMEM;
    lock_init(&ep->lock, LR_EPOLL);
    lock_init(&ep->ready_lock, LR_EPOLL_READY);
    list_init(&ep->ready);
    waitq_init_ranked(&ep->wq, LR_EPOLL_WAITQ);
    int r = file_new_anon(&g_epoll_ops, O_RDWR | flags, ep, 0600, out);
    if (r) {
        epoll_free(ep);
        return r;
    }
    ep->file = *out;
    struct task *t = task_current();
    ep->uid = t ? t->cred->uid : 0;
    return 0;
}
