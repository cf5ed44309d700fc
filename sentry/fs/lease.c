/* Leases: F_SETLEASE, F_GETLEASE. A holder is told by a signal before somebody opens or truncates
 * the file in a way that the lease excludes, and the other waits until the lease is given up, or
 * fs.lease-break-time seconds have passed.
 *
 * A lease belongs to an open file description. States: held; breaking (somebody wants it reduced to
 * `target`, by `deadline`); gone. One lock guards all of them: leases are rare, and opening a file
 * looks at inode.leases first. */
#include "base/host.h"
#include "fs/vfs_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct lease {
    struct lease *next;  /* lock: g_lock; of the same inode */
    struct file *file;   /* borrowed: goes with it */
    int type;            /* lock: g_lock; F_RDLCK or F_WRLCK */
    int target;          /* lock: g_lock; what a breaker asks for; == type: nobody does */
    int fd;              /* lock: g_lock; told in si_fd */
    int64_t deadline;    /* lock: g_lock; CLOCK_MONOTONIC, DEADLINE_NONE */
};

static struct lock g_lock = LOCK_INITIALIZER(LR_FILE_LOCKS);
static struct waitq g_wq;
static pthread_once_t g_once = PTHREAD_ONCE_INIT;

static void init_once(void)
{
    waitq_init(&g_wq);
}

static void changed(void)
{
    pthread_once(&g_once, init_once);
    waitq_wake(&g_wq, ~0u);
}

static void remove_locked(struct inode *i, struct lease *l)
{
    struct lease **at = &i->leases;
    while (*at != l)
        at = &(*at)->next;
    __atomic_store_n(at, l->next, __ATOMIC_RELEASE);
    free(l);
}

/* Breakers have waited long enough: take what they asked for. */
static void time_out_locked(struct inode *i)
{
    int64_t now = host_clock_ns(CLOCK_MONOTONIC);
    for (struct lease *l = i->leases, *next; l; l = next) {
        next = l->next;
        if (l->target == l->type || l->deadline > now)
            continue;
        if (l->target == F_UNLCK)
            remove_locked(i, l);
        else
            l->type = l->target;
    }
}

static struct lease *of_file_locked(struct inode *i, const struct file *f)
{
    struct lease *l = i->leases;
    while (l && l->file != f)
        l = l->next;
    return l;
}

int lease_get(struct file *f)
{
    LOCK_GUARD(&g_lock);
    time_out_locked(f->inode);
    struct lease *l = of_file_locked(f->inode, f);
    return l ? l->target : F_UNLCK;
}

/* Who has it open already? */
static int conflicting_open(struct file *f, int type)
{
    int32_t writers = __atomic_load_n((int32_t *)&f->inode->write_count, __ATOMIC_ACQUIRE);
    uint32_t readers = __atomic_load_n(&f->inode->read_count, __ATOMIC_ACQUIRE);
    if (type == F_RDLCK)
        return writers > 0 ? -EAGAIN : 0;
    bool self_writes = f->mode & FMODE_WRITE;
    return writers != self_writes || readers != !self_writes ? -EAGAIN : 0;
}

static int add_locked(struct file *f, int fd, int type, struct lease **spare)
{
    struct inode *i = f->inode;
    time_out_locked(i);
    int r = conflicting_open(f, type);
    struct lease *own = of_file_locked(i, f);
    for (struct lease *l = i->leases; l && !r; l = l->next)
        if (l != own && (type == F_WRLCK || l->target == F_UNLCK))
            r = -EAGAIN;
    if (r)
        return r;
    if (own) {
        own->type = own->target = type;
        return 0;
    }
    **spare = (struct lease){.next = i->leases, .file = f, .type = type, .target = type, .fd = fd};
    __atomic_store_n(&i->leases, *spare, __ATOMIC_RELEASE);
    *spare = NULL;
    return 0;
}

static int lease_drop(struct file *f)
{
    lock_acquire(&g_lock);
    struct lease *l = of_file_locked(f->inode, f);
    if (l)
        remove_locked(f->inode, l);
    lock_release(&g_lock);
    if (!l)
        return -EAGAIN;
    changed();
    return 0;
}

static int set_checks(struct task *t, struct file *f, int type)
{
    if (type != F_RDLCK && type != F_WRLCK && type != F_UNLCK)
        return -EINVAL;
    if (t->cred->fsuid != f->inode->uid && !cred_has_cap(t->cred, CAP_LEASE))
        return -EACCES;
    return S_ISREG(f->inode->mode) && f->path.mnt ? 0 : -EINVAL;
}

int lease_set(struct task *t, struct file *f, int fd, int type)
{
    int r = set_checks(t, f, type);
    if (r)
        return r;
    if (type == F_UNLCK)
        return lease_drop(f);
    if (!g_vfs_knobs.leases_enable)
        return -EINVAL;
    struct lease *spare = malloc(sizeof(*spare));
    r = spare ? inode_keep(f->inode) : -ENOMEM;
    if (!r) {
        lock_acquire(&g_lock);
        r = add_locked(f, fd, type, &spare);
        lock_release(&g_lock);
    }
    free(spare);
    if (r)
        return r;
    fasync_default_owner(t, f);
    changed();
    return 0;
}

void lease_file_gone(struct file *f)
{
    lease_drop(f);
}

/* ---- breaking ---- */

struct told { /* a holder to be signalled once the lock is off */
    struct file *file; /* counted */
    int fd;
};
#define TELL_AT_ONCE 8

/* Ask every lease in the way to give in; false: none is. */
static bool ask_locked(struct inode *i, bool write, struct told *told, unsigned *count)
{
    int64_t limit = g_vfs_knobs.lease_break_time;
    int64_t deadline =
        limit ? host_clock_ns(CLOCK_MONOTONIC) + limit * 1000000000 : DEADLINE_NONE;
    bool found = false;
    time_out_locked(i);
    for (struct lease *l = i->leases; l; l = l->next) {
        if (!write && l->type != F_WRLCK)
            continue;
        found = true;
        bool asked = write ? l->target == F_UNLCK : l->target != l->type;
        if (asked || *count == TELL_AT_ONCE || !ref_get_unless_zero(&l->file->ref))
            continue;
        l->target = write ? F_UNLCK : F_RDLCK;
        l->deadline = deadline;
        told[(*count)++] = (struct told){l->file, l->fd};
    }
    return found;
}

static void tell_all(struct told *told, unsigned count)
{
    while (count--) {
        fasync_tell(told[count].file, told[count].fd, POLL_MSG, POLLIN | POLLRDNORM | POLLMSG);
        file_put(told[count].file);
    }
}

/* Ask (again), and say whether something is still in the way. */
static bool in_the_way(struct inode *i, bool write, int64_t *deadline)
{
    struct told told[TELL_AT_ONCE];
    unsigned count;
    bool found;
    do {
        count = 0;
        lock_acquire(&g_lock);
        found = ask_locked(i, write, told, &count);
        *deadline = DEADLINE_NONE;
        for (struct lease *l = i->leases; l; l = l->next)
            if (l->target != l->type && l->deadline < *deadline)
                *deadline = l->deadline;
        lock_release(&g_lock);
        tell_all(told, count);
    } while (count == TELL_AT_ONCE);
    return found;
}

int lease_break_slow(struct task *t, struct inode *i, bool write, bool nonblock)
{
    int64_t deadline;
    pthread_once(&g_once, init_once);
    while (in_the_way(i, write, &deadline)) {
        if (nonblock)
            return -EWOULDBLOCK;
        int r = wait_event(t, &g_wq, deadline, !in_the_way(i, write, &deadline));
        if (r && r != -ETIMEDOUT)
            return r;
    }
    return 0;
}
