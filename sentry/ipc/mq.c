/* POSIX message queues: mq_overview(7), mq_open(3) and kin.
 *
 * A queue lives as long as its name or an open descriptor does. Messages are kept in order of
 * priority, then age. Senders wait for room, receivers for a message, both on the queue's wait
 * queue. */
#include "base/overflow.h"
#include "fs/vfs.h"
#include "ipc/ipc_priv.h"
#include "net/net.h"
#include "time/time.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mqueue.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MQ_HARD_MESSAGES 65536 /* for holders of CAP_SYS_RESOURCE */
#define MQ_HARD_SIZE     (16 * 1024 * 1024)
#define MQ_NODE_SIZE     48 /* what Linux counts for a message, and for a priority, besides the text \
                             */
#define MQ_FILE_SIZE  80    /* what stat(2) says */
#define COOKIE_SIZE   NOTIFY_COOKIE_LEN
#define MQ_PRIO_LIMIT 32768
#define MQ_NAME_LIMIT 255

struct mq_message {
    struct list_node node; /* lock: g_mq.lock */
    unsigned prio;         /* const */
    uint64_t size;         /* const */
    char text[];
};

/* SIGEV_THREAD: the C library waits on a netlink socket for its cookie, whose last byte says why.
 */
struct mq_thread {
    struct file *file; /* counted; NULL: none */
    struct socket *socket;
    uint8_t cookie[COOKIE_SIZE];
};

struct mq {
    struct ref ref;
    struct list_node node;        /* lock: g_mq.lock; linked while it has its name */
    char name[MQ_NAME_LIMIT + 1]; /* const */
    struct waitq wq;
    struct list messages;                          /* lock: g_mq.lock; highest priority first */
    uint64_t max_messages, max_size, count, bytes; /* lock: g_mq.lock */
    uint32_t mode, uid, gid;                       /* const */
    unsigned receivers_waiting;                    /* lock: g_mq.lock */
    int notify_pid;                                /* lock: g_mq.lock; 0: nobody registered */
    struct file *notify_file; /* lock: g_mq.lock; borrowed: registration ends with the descriptor */
    struct sigevent notify;   /* lock: g_mq.lock */
    struct mq_thread thread;  /* lock: g_mq.lock; of SIGEV_THREAD */
    struct list_node all_node; /* lock: g_mq.lock; g_mq.all */
    uint64_t charged;          /* const; against RLIMIT_MSGQUEUE */
    uint64_t id;               /* const */
};

static struct {
    struct lock lock;
    struct list all;  /* lock: lock; every queue, with a name or without */
    uint64_t last_id; /* lock: lock */
} g_mq = {.lock = LOCK_INITIALIZER(LR_IPC), .all = LIST_INIT(g_mq.all)};

static void mq_put(struct mq *q)
{
    struct mq_message *m, *tmp;
    if (!ref_put(&q->ref))
        return;
    lock_acquire(&g_mq.lock);
    list_del(&q->all_node);
    lock_release(&g_mq.lock);
    list_for_each_safe(m, tmp, &q->messages, node)
    {
        list_del(&m->node);
        free(m);
    }
    free(q);
}

/* ---- the descriptor
 * ---------------------------------------------------------------------------------- */

static unsigned mq_poll(struct file *f)
{
    struct mq *q = f->priv;
    LOCK_GUARD(&g_mq.lock);
    return (q->count ? POLLIN | POLLRDNORM : 0) |
           (q->count < q->max_messages ? POLLOUT | POLLWRNORM : 0);
}

static struct waitq *mq_waitq(struct file *f)
{
    return &((struct mq *)f->priv)->wq;
}

/* Reading the descriptor tells the queue's state: mq_overview(7). */
static int64_t mq_read(struct file *f, struct uio *u, int64_t pos)
{
    struct mq *q = f->priv;
    char text[128];
    lock_acquire(&g_mq.lock);
    int id = q->notify_pid;
    lock_release(&g_mq.lock);
    id = task_sees_id(task_current(), id);
    lock_acquire(&g_mq.lock);
    int n = snprintf(
        text, sizeof(text), "QSIZE:%-10lu NOTIFY:%-5d SIGNO:%-5d NOTIFY_PID:%-6d\n",
        (unsigned long)q->bytes, q->notify_pid ? q->notify.sigev_notify : 0,
        q->notify_pid && q->notify.sigev_notify == SIGEV_SIGNAL ? q->notify.sigev_signo : 0, id);
    lock_release(&g_mq.lock);
    if (pos >= n)
        return 0;
    uint64_t want = MIN((uint64_t)(n - pos), u->remaining);
    size_t done = uio_to_user(u, text + pos, want);
    return done < want && !done ? -EFAULT : (int64_t)done;
}

static struct mq_thread notify_clear_locked(struct mq *q)
{
    struct mq_thread th = q->thread;
    q->notify_pid = 0;
    q->notify_file = NULL;
    q->thread.file = NULL;
    return th;
}

/* Let the one who waits on a netlink socket know. No locks. */
static void thread_tell(struct mq_thread *th, int why)
{
    if (!th->file)
        return;
    th->cookie[COOKIE_SIZE - 1] = why;
    net_netlink_push(th->socket, th->cookie, COOKIE_SIZE);
    file_put(th->file);
    th->file = NULL;
}

static void notify_drop(struct mq *q, int pid, struct file *f)
{
    struct mq_thread th = {0};
    lock_acquire(&g_mq.lock);
    if (q->notify_pid && (f ? q->notify_file == f : q->notify_pid == pid))
        th = notify_clear_locked(q);
    lock_release(&g_mq.lock);
    thread_tell(&th, NOTIFY_REMOVED);
}

static void mq_flush(struct file *f, struct task *t)
{
    if (t)
        notify_drop(f->priv, t->process->pid, NULL);
}

static void mq_release(struct file *f)
{
    notify_drop(f->priv, 0, f);
    mq_put(f->priv);
}

static int mq_fdname(struct file *f, char *buf, size_t size)
{
    return snprintf(buf, size, "/%s", ((struct mq *)f->priv)->name);
}

static const struct file_ops g_mq_file_ops = {.read = mq_read,
                                              .poll = mq_poll,
                                              .waitq = mq_waitq,
                                              .flush = mq_flush,
                                              .release = mq_release,
                                              .fdname = mq_fdname};

void mq_ns_exit(struct ipc_ns *ns)
{
    struct mq *q;
    for (;;) {
        lock_acquire(&g_mq.lock);
        q = list_first(&ns->queues, struct mq, node);
        if (q)
            list_del(&q->node);
        lock_release(&g_mq.lock);
        if (!q)
            return;
        mq_put(q);
    }
}

/* ---- open, unlink
 * ------------------------------------------------------------------------------------ */

static struct mq *find_locked(const char *name)
{
    struct mq *q;
    list_for_each(q, &ipc_ns_current()->queues, node) if (!strcmp(q->name, name)) return q;
    return NULL;
}

static int check_name(const char *name)
{
    if (!*name)
        return -ENOENT;
    if (strlen(name) > MQ_NAME_LIMIT)
        return -ENAMETOOLONG;
    return strchr(name, '/') || !strcmp(name, ".") || !strcmp(name, "..") ? -EACCES : 0;
}

static int check_attr(struct task *t, const struct mq_attr *a)
{
    const struct ipc_limits *l = &g_ipc_limits;
    bool privileged = cred_has_cap(t->cred, CAP_SYS_RESOURCE);
    if (a->mq_maxmsg <= 0 || a->mq_msgsize <= 0)
        return -EINVAL;
    if (a->mq_maxmsg > (privileged ? MQ_HARD_MESSAGES : ipc_limit(&l->mq_messages)) ||
        a->mq_msgsize > (privileged ? MQ_HARD_SIZE : ipc_limit(&l->mq_size)))
        return -EINVAL;
    return 0;
}

/* RLIMIT_MSGQUEUE bounds what all of a user's queues may come to hold. */
static int charge_locked(struct task *t, const struct mq_attr *a, uint64_t *charge)
{
    uint64_t sum = 0, nodes = MIN(a->mq_maxmsg, (long)MQ_PRIO_LIMIT);
    struct mq *q;
    *charge = a->mq_maxmsg * (a->mq_msgsize + MQ_NODE_SIZE) + nodes * MQ_NODE_SIZE;
    list_for_each(q, &g_mq.all, all_node) if (q->uid == t->cred->fsuid) sum += q->charged;
    return sum + *charge > rlimit_get(t->process, RLIMIT_MSGQUEUE) ? -EMFILE : 0;
}

static int create_locked(struct task *t, const char *name, uint32_t mode,
                         const struct mq_attr *attr, struct mq **out)
{
    const struct ipc_limits *l = &g_ipc_limits;
    struct ipc_ns *ns = ipc_ns_current();
    struct mq_attr a = {.mq_maxmsg =
                            MIN(ipc_limit(&l->mq_default_messages), ipc_limit(&l->mq_messages)),
                        .mq_msgsize = MIN(ipc_limit(&l->mq_default_size), ipc_limit(&l->mq_size))};
    uint64_t charge;
    if (attr)
        a = *attr;
    int err = attr ? check_attr(t, attr) : 0;
    if (!err && ns->queue_count >= ipc_limit(&l->mq_queues) &&
        !cred_has_cap(t->cred, CAP_SYS_RESOURCE))
        err = -ENOSPC;
    if (!err)
        err = charge_locked(t, &a, &charge);
    if (err)
        return err;
    struct mq *q = calloc(1, sizeof(*q));
    if (!q)
        return -ENOMEM;
    ref_init(&q->ref);
    waitq_init(&q->wq);
    list_init(&q->messages);
    snprintf(q->name, sizeof(q->name), "%s", name);
    q->max_messages = a.mq_maxmsg;
    q->max_size = a.mq_msgsize;
    q->charged = charge;
    q->id = ++g_mq.last_id;
    q->mode = mode;
    q->uid = t->cred->fsuid;
    q->gid = t->cred->fsgid;
    list_push_back(&ns->queues, &q->node);
    list_push_back(&g_mq.all, &q->all_node);
    ns->queue_count++;
    *out = q;
    return 0;
}

static int check_access(struct task *t, const struct mq *q, int flags)
{
    unsigned want = (flags & O_ACCMODE) == O_RDONLY ? 4 : (flags & O_ACCMODE) == O_WRONLY ? 2 : 6;
    unsigned granted = q->mode;
    if (t->cred->fsuid == q->uid)
        granted >>= 6;
    else if (cred_in_group(t->cred, q->gid))
        granted >>= 3;
    return (want & ~granted) && !cred_has_cap(t->cred, CAP_DAC_OVERRIDE) ? -EACCES : 0;
}

/* Counted. */
static int open_queue(struct task *t, const char *name, int flags, uint32_t mode,
                      const struct mq_attr *attr, struct mq **out)
{
    LOCK_GUARD(&g_mq.lock);
    struct mq *q = find_locked(name);
    if (!q) {
        int err = flags & O_CREAT ? create_locked(t, name, mode, attr, out) : -ENOENT;
        if (!err)
            ref_get(&(*out)->ref); /* one for the name, one for the descriptor */
        return err;
    }
    if ((flags & O_CREAT) && (flags & O_EXCL))
        return -EEXIST;
    int err = check_access(t, q, flags);
    if (err)
        return err;
    ref_get(&q->ref);
    *out = q;
    return 0;
}

int64_t mq_do_open(struct task *t, const char *name, int flags, uint32_t mode,
                   const struct mq_attr *attr)
{
    struct mq *q;
    struct file *f;
    int err = check_name(name);
    if (!err && (flags & O_ACCMODE) == O_ACCMODE)
        err = -EINVAL;
    if (!err)
        err = open_queue(t, name, flags, mode & ~t->fs->umask & 0777, attr, &q);
    if (err)
        return err;
    err = file_new_anon(&g_mq_file_ops, flags & (O_ACCMODE | O_NONBLOCK), q, S_IFREG | q->mode, &f);
    if (err) {
        mq_put(q);
        return err;
    }
    f->inode->uid = q->uid;
    f->inode->gid = q->gid;
    f->inode->size = MQ_FILE_SIZE;
    int fd = fdtable_install(t, f, 0, /*cloexec=*/true);
    if (fd < 0)
        file_put(f);
    return fd;
}

int64_t mq_do_unlink(struct task *t, const char *name)
{
    int err = check_name(name);
    if (err)
        return err;
    lock_acquire(&g_mq.lock);
    struct mq *q = find_locked(name);
    err = !q                                                               ? -ENOENT
          : t->cred->fsuid != q->uid && !cred_has_cap(t->cred, CAP_FOWNER) ? -EACCES
                                                                           : 0;
    if (!err) {
        list_del(&q->node);
        ipc_ns_current()->queue_count--;
    }
    lock_release(&g_mq.lock);
    if (!err)
        mq_put(q);
    return err;
}

/* ---- for the filesystem
 * ------------------------------------------------------------------------------- */

static void info_fill(const struct mq *q, struct mq_info *out)
{
    *out = (struct mq_info){.id = q->id, .mode = q->mode, .uid = q->uid, .gid = q->gid};
}

int mq_find(const char *name, struct mq_info *out)
{
    LOCK_GUARD(&g_mq.lock);
    struct mq *q = find_locked(name);
    if (q)
        info_fill(q, out);
    return q ? 0 : -ENOENT;
}

bool mq_at(unsigned index, char name[MQ_NAME_LIMIT + 1], struct mq_info *out)
{
    struct mq *q;
    LOCK_GUARD(&g_mq.lock);
    list_for_each(q, &ipc_ns_current()->queues, node)
    {
        if (index--)
            continue;
        info_fill(q, out);
        memcpy(name, q->name, sizeof(q->name));
        return true;
    }
    return false;
}

int mq_make(struct task *t, const char *name, uint32_t mode)
{
    struct mq *q;
    int err = check_name(name);
    if (err)
        return err;
    LOCK_GUARD(&g_mq.lock);
    return find_locked(name) ? -EEXIST : create_locked(t, name, mode, NULL, &q);
}

int mq_open_by_id(uint64_t id, struct file *f)
{
    struct mq *q;
    LOCK_GUARD(&g_mq.lock);
    list_for_each(q, &g_mq.all, all_node)
    {
        if (q->id != id || !ref_get_unless_zero(&q->ref))
            continue;
        f->ops = &g_mq_file_ops;
        f->priv = q;
        return 0;
    }
    return -ENOENT;
}

/* ---- send, receive
 * ----------------------------------------------------------------------------------- */

/* The descriptor's file, counted, if it is a queue opened for what is wanted: -EBADF. */
static int queue_of(struct task *t, int fd, unsigned mode, struct file **out)
{
    struct file *f = fdtable_get_io(t->fds, fd);
    if (!f)
        return -EBADF;
    if (f->ops != &g_mq_file_ops || (f->mode & mode) != mode) {
        file_put(f);
        return -EBADF;
    }
    *out = f;
    return 0;
}

/* A message into an empty queue that nobody waits on tells the one who registered, once:
 * mq_notify(3). */
struct mq_told {
    struct process *process; /* counted; NULL: no signal */
    siginfo_t info;
    struct mq_thread thread;
};

static void notify_take_locked(struct mq *q, struct task *t, struct mq_told *told)
{
    if (!q->notify_pid || q->count != 1 || q->receivers_waiting)
        return;
    int pid = q->notify_pid;
    told->thread = notify_clear_locked(q);
    if (q->notify.sigev_notify != SIGEV_SIGNAL || !q->notify.sigev_signo)
        return;
    told->info.si_signo = q->notify.sigev_signo;
    told->info.si_code = SI_MESGQ;
    told->info.si_value = q->notify.sigev_value;
    told->info.si_uid = t->cred->uid;
    told->process = process_by_id(pid);
    told->info.si_pid = told->process ? process_nr(t->process, told->process->pid_ns) : 0;
}

static void tell(struct mq_told *told)
{
    thread_tell(&told->thread, NOTIFY_WOKENUP);
    if (!told->process)
        return;
    (void)signal_send_process(told->process, told->info.si_signo, &told->info);
    process_put(told->process);
}

static int try_send(struct task *t, struct mq *q, struct mq_message *m, struct mq_told *told)
{
    LOCK_GUARD(&g_mq.lock);
    if (q->count >= q->max_messages)
        return -EAGAIN;
    struct mq_message *i;
    list_for_each(i, &q->messages, node) if (i->prio < m->prio) break;
    list_insert_between(&m->node, i->node.prev, &i->node);
    q->count++;
    q->bytes += m->size;
    notify_take_locked(q, t, told);
    return 0;
}

static int message_import(struct task *t, struct mq *q, struct uaddr msg, uint64_t size,
                          unsigned prio, struct mq_message **out)
{
    if (size > q->max_size)
        return -EMSGSIZE;
    struct mq_message *m = malloc(sizeof(*m) + size);
    if (!m)
        return -ENOMEM;
    *m = (struct mq_message){.prio = prio, .size = size};
    if (uaccess_read(t->mm, m->text, msg, size)) {
        free(m);
        return -EFAULT;
    }
    *out = m;
    return 0;
}

#define MQ_RETRY(t, q, f, deadline, attempt)                                                       \
    ({                                                                                             \
        int64_t ret_;                                                                              \
        int woken_ = 0;                                                                            \
        struct task_waiter w_;                                                                     \
        task_waiter_init(&w_, (t), ~0u);                                                           \
        waitq_add(&(q)->wq, &w_.w);                                                                \
        for (;;) {                                                                                 \
            task_sleep_prepare(t);                                                                 \
            ret_ = (attempt);                                                                      \
            if (ret_ != -EAGAIN || (__atomic_load_n(&(f)->flags, __ATOMIC_RELAXED) & O_NONBLOCK))  \
                break;                                                                             \
            if (woken_) {                                                                          \
                ret_ = woken_;                                                                     \
                break;                                                                             \
            }                                                                                      \
            woken_ = task_sleep((t), (deadline), /*interruptible=*/true);                          \
        }                                                                                          \
        waitq_remove(&(q)->wq, &w_.w);                                                             \
        ret_;                                                                                      \
    })

static int64_t send_message(struct task *t, struct file *f, struct mq_message *m, int64_t deadline)
{
    struct mq *q = f->priv;
    struct mq_told told = {0};
    int64_t ret = MQ_RETRY(t, q, f, deadline, try_send(t, q, m, &told));
    if (ret == 0)
        waitq_wake(&q->wq, POLLIN | POLLRDNORM);
    tell(&told);
    return ret;
}

int64_t mq_do_send(struct task *t, int fd, struct uaddr msg, uint64_t size, unsigned prio,
                   int64_t deadline)
{
    struct file *f;
    struct mq_message *m;
    if (prio >= MQ_PRIO_LIMIT)
        return -EINVAL;
    int64_t ret = queue_of(t, fd, FMODE_WRITE, &f);
    if (ret)
        return ret;
    ret = message_import(t, f->priv, msg, size, prio, &m);
    if (ret == 0) {
        ret = send_message(t, f, m, deadline);
        if (ret)
            free(m);
    }
    file_put(f);
    return ret;
}

static int try_receive(struct mq *q, struct mq_message **out)
{
    LOCK_GUARD(&g_mq.lock);
    struct mq_message *m = list_first(&q->messages, struct mq_message, node);
    if (!m)
        return -EAGAIN;
    list_del(&m->node);
    q->count--;
    q->bytes -= m->size;
    *out = m;
    return 0;
}

static void receivers_add(struct mq *q, int by)
{
    LOCK_GUARD(&g_mq.lock);
    q->receivers_waiting += by;
}

static int64_t receive_message(struct task *t, struct file *f, struct uaddr msg, struct uaddr prio,
                               int64_t deadline)
{
    struct mq *q = f->priv;
    struct mq_message *m = NULL;
    receivers_add(q, 1);
    int64_t ret = MQ_RETRY(t, q, f, deadline, try_receive(q, &m));
    receivers_add(q, -1);
    if (ret)
        return ret;
    waitq_wake(&q->wq, POLLOUT | POLLWRNORM);
    ret = m->size;
    if (uaccess_write(t->mm, msg, m->text, m->size) ||
        (prio.v && uaccess_write_obj(t->mm, prio, &m->prio)))
        ret = -EFAULT;
    free(m);
    return ret;
}

int64_t mq_do_receive(struct task *t, int fd, struct uaddr msg, uint64_t size, struct uaddr prio,
                      int64_t deadline)
{
    struct file *f;
    int64_t ret = queue_of(t, fd, FMODE_READ, &f);
    if (ret)
        return ret;
    struct mq *q = f->priv;
    ret = size < q->max_size ? -EMSGSIZE : receive_message(t, f, msg, prio, deadline);
    file_put(f);
    return ret;
}

/* ---- notify, attributes
 * ------------------------------------------------------------------------------ */

static int notify_set(struct task *t, struct file *f, const struct sigevent *ev,
                      struct mq_thread *th)
{
    struct mq *q = f->priv;
    LOCK_GUARD(&g_mq.lock);
    if (q->notify_pid)
        return -EBUSY;
    q->notify_pid = t->process->pid;
    q->notify_file = f;
    q->notify = *ev;
    q->thread = *th;
    th->file = NULL;
    return 0;
}

/* sigev_signo is the netlink socket here, sigev_value the cookie: what the C library agreed on with
 * the kernel. */
static int notify_thread(struct task *t, const struct sigevent *ev, struct mq_thread *th)
{
    if (uaccess_read(t->mm, th->cookie, uaddr((uintptr_t)ev->sigev_value.sival_ptr), COOKIE_SIZE))
        return -EFAULT;
    return net_netlink_of(t, ev->sigev_signo, &th->file, &th->socket);
}

static int notify_check(const struct sigevent *ev)
{
    if (ev->sigev_notify != SIGEV_NONE && ev->sigev_notify != SIGEV_SIGNAL &&
        ev->sigev_notify != SIGEV_THREAD)
        return -EINVAL;
    if (ev->sigev_notify == SIGEV_SIGNAL && (unsigned)ev->sigev_signo > SIG_COUNT)
        return -EINVAL;
    return 0;
}

int64_t mq_do_notify(struct task *t, int fd, const struct sigevent *ev)
{
    struct mq_thread th = {0};
    struct file *f;
    int err = ev ? notify_check(ev) : 0;
    if (!err && ev && ev->sigev_notify == SIGEV_THREAD)
        err = notify_thread(t, ev, &th);
    if (err)
        return err;
    err = queue_of(t, fd, 0, &f);
    if (!err) {
        if (ev)
            err = notify_set(t, f, ev, &th);
        else
            notify_drop(f->priv, t->process->pid, NULL);
        file_put(f);
    }
    if (th.file)
        file_put(th.file);
    return err;
}

int64_t mq_do_attr(struct task *t, int fd, const struct mq_attr *set, struct mq_attr *old)
{
    struct file *f;
    if (set && (set->mq_flags & ~O_NONBLOCK))
        return -EINVAL;
    int err = queue_of(t, fd, 0, &f);
    if (err)
        return err;
    struct mq *q = f->priv;
    memset(old, 0, sizeof(*old));
    lock_acquire(&g_mq.lock);
    old->mq_maxmsg = q->max_messages;
    old->mq_msgsize = q->max_size;
    old->mq_curmsgs = q->count;
    lock_release(&g_mq.lock);
    lock_acquire(&f->lock);
    old->mq_flags = f->flags & O_NONBLOCK;
    if (set)
        f->flags = (f->flags & ~(unsigned)O_NONBLOCK) | (set->mq_flags & O_NONBLOCK);
    lock_release(&f->lock);
    file_put(f);
    return 0;
}
