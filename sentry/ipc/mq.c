/* POSIX message queues: mq_overview(7), mq_open(3) and kin.
 *
 * A queue lives as long as its name or an open descriptor does. Messages are kept in order of
 * priority, then age. Senders wait for room, receivers for a message, both on the queue's wait
 * queue. */
#include "base/overflow.h"
#include "fs/vfs.h"
#include "ipc/ipc_priv.h"
#include "time/time.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mqueue.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MQ_DEFAULT_MESSAGES 10
#define MQ_DEFAULT_SIZE     8192
#define MQ_MAX_MESSAGES     10 /* without CAP_SYS_RESOURCE; /proc/sys/fs/mqueue/msg_max */
#define MQ_MAX_SIZE         8192
#define MQ_HARD_MESSAGES    65536
#define MQ_HARD_SIZE        (16 * 1024 * 1024)
#define MQ_MAX_QUEUES       256
#define MQ_PRIO_LIMIT       32768
#define MQ_NAME_LIMIT       255

struct mq_message {
    struct list_node node; /* lock: g_mq.lock */
    unsigned prio;         /* const */
    uint64_t size;         /* const */
    char text[];
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
};

static struct {
    struct lock lock;
} g_mq = {.lock = LOCK_INITIALIZER(LR_IPC)};

static void mq_put(struct mq *q)
{
    struct mq_message *m, *tmp;
    if (!ref_put(&q->ref))
        return;
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
    int n = snprintf(text, sizeof(text), "QSIZE:%-10lu NOTIFY:%-5d SIGNO:%-5d NOTIFY_PID:%-6d\n",
                     (unsigned long)q->bytes, q->notify_pid ? q->notify.sigev_notify : 0,
                     q->notify_pid && q->notify.sigev_notify == SIGEV_SIGNAL ? q->notify.sigev_signo
                                                                             : 0,
                     id);
    lock_release(&g_mq.lock);
    if (pos >= n)
        return 0;
    uint64_t want = MIN((uint64_t)(n - pos), u->remaining);
    size_t done = uio_to_user(u, text + pos, want);
    return done < want && !done ? -EFAULT : (int64_t)done;
}

static void notify_clear_locked(struct mq *q)
{
    q->notify_pid = 0;
    q->notify_file = NULL;
}

static void mq_flush(struct file *f, struct task *t)
{
    struct mq *q = f->priv;
    LOCK_GUARD(&g_mq.lock);
    if (t && q->notify_pid == t->process->pid)
        notify_clear_locked(q);
}

static void mq_release(struct file *f)
{
    struct mq *q = f->priv;
    lock_acquire(&g_mq.lock);
    if (q->notify_file == f)
        notify_clear_locked(q);
    lock_release(&g_mq.lock);
    mq_put(q);
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
    bool privileged = cred_has_cap(t->cred, CAP_SYS_RESOURCE);
    if (a->mq_maxmsg <= 0 || a->mq_msgsize <= 0)
        return -EINVAL;
    if (a->mq_maxmsg > (privileged ? MQ_HARD_MESSAGES : MQ_MAX_MESSAGES) ||
        a->mq_msgsize > (privileged ? MQ_HARD_SIZE : MQ_MAX_SIZE))
        return -EINVAL;
    /* RLIMIT_MSGQUEUE bounds what one queue may come to hold. */
    uint64_t bytes = (uint64_t)a->mq_maxmsg * (a->mq_msgsize + sizeof(struct mq_message));
    return bytes > rlimit_get(t->process, RLIMIT_MSGQUEUE) ? -EMFILE : 0;
}

static int create_locked(struct task *t, const char *name, uint32_t mode,
                         const struct mq_attr *attr, struct mq **out)
{
    struct mq_attr a = {.mq_maxmsg = MQ_DEFAULT_MESSAGES, .mq_msgsize = MQ_DEFAULT_SIZE};
    int err = attr ? check_attr(t, attr) : 0;
    if (err)
        return err;
    struct ipc_ns *ns = ipc_ns_current();
    if (ns->queue_count >= MQ_MAX_QUEUES && !cred_has_cap(t->cred, CAP_SYS_RESOURCE))
        return -ENOSPC;
    struct mq *q = calloc(1, sizeof(*q));
    if (!q)
        return -ENOMEM;
    if (attr)
        a = *attr;
    ref_init(&q->ref);
    waitq_init(&q->wq);
    list_init(&q->messages);
    snprintf(q->name, sizeof(q->name), "%s", name);
    q->max_messages = a.mq_maxmsg;
    q->max_size = a.mq_msgsize;
    q->mode = mode;
    q->uid = t->cred->fsuid;
    q->gid = t->cred->fsgid;
    list_push_back(&ns->queues, &q->node);
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
    err = file_new_anon(&g_mq_file_ops, flags & (O_ACCMODE | O_NONBLOCK), q, S_IFREG | 0600, &f);
    if (err) {
        mq_put(q);
        return err;
    }
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
static struct process *notify_take_locked(struct mq *q, siginfo_t *info, struct task *t)
{
    if (!q->notify_pid || q->count != 1 || q->receivers_waiting)
        return NULL;
    struct process *p = NULL;
    if (q->notify.sigev_notify == SIGEV_SIGNAL) {
        memset(info, 0, sizeof(*info));
        info->si_signo = q->notify.sigev_signo;
        info->si_code = SI_MESGQ;
        info->si_value = q->notify.sigev_value;
        info->si_uid = t->cred->uid;
        p = process_by_id(q->notify_pid);
        info->si_pid = p ? process_nr(t->process, p->pid_ns) : 0;
    }
    notify_clear_locked(q);
    return p;
}

static int try_send(struct task *t, struct mq *q, struct mq_message *m, struct process **tell,
                    siginfo_t *info)
{
    LOCK_GUARD(&g_mq.lock);
    if (q->count >= q->max_messages)
        return -EAGAIN;
    struct mq_message *i;
    list_for_each(i, &q->messages, node) if (i->prio < m->prio) break;
    list_insert_between(&m->node, i->node.prev, &i->node);
    q->count++;
    q->bytes += m->size;
    *tell = notify_take_locked(q, info, t);
    return 0;
}

static int message_import(struct task *t, struct mq *q, struct uaddr msg, uint64_t size,
                          unsigned prio, struct mq_message **out)
{
    if (prio >= MQ_PRIO_LIMIT)
        return -EINVAL;
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
    struct process *tell = NULL;
    siginfo_t info;
    int64_t ret = MQ_RETRY(t, q, f, deadline, try_send(t, q, m, &tell, &info));
    if (ret == 0)
        waitq_wake(&q->wq, POLLIN | POLLRDNORM);
    if (tell) {
        (void)signal_send_process(tell, info.si_signo, &info);
        process_put(tell);
    }
    return ret;
}

int64_t mq_do_send(struct task *t, int fd, struct uaddr msg, uint64_t size, unsigned prio,
                   int64_t deadline)
{
    struct file *f;
    struct mq_message *m;
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

static int notify_set(struct task *t, struct file *f, const struct sigevent *ev)
{
    struct mq *q = f->priv;
    LOCK_GUARD(&g_mq.lock);
    if (!ev) {
        if (q->notify_pid == t->process->pid)
            notify_clear_locked(q);
        return 0;
    }
    if (q->notify_pid)
        return -EBUSY;
    q->notify_pid = t->process->pid;
    q->notify_file = f;
    q->notify = *ev;
    return 0;
}

int64_t mq_do_notify(struct task *t, int fd, const struct sigevent *ev)
{
    struct file *f;
    if (ev && ev->sigev_notify != SIGEV_NONE && ev->sigev_notify != SIGEV_SIGNAL)
        return -EINVAL;
    if (ev && ev->sigev_notify == SIGEV_SIGNAL &&
        (ev->sigev_signo < 1 || ev->sigev_signo > SIG_COUNT))
        return -EINVAL;
    int err = queue_of(t, fd, 0, &f);
    if (err)
        return err;
    err = notify_set(t, f, ev);
    file_put(f);
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
