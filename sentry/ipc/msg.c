/* System V message queues: msgget(2), msgsnd(2), msgrcv(2), msgctl(2).
 *
 * Senders and receivers sleep on the queue's one wait queue and look again after each change. */
#include "base/overflow.h"
#include "ipc/ipc_priv.h"
#include "time/time.h"

#include <errno.h>
#include <linux/msg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef MSG_COPY
#define MSG_COPY 040000
#endif

struct msg {
    struct list_node node; /* lock: table; queue.messages */
    int64_t type;          /* const */
    uint64_t size;         /* const */
    char text[];
};

struct msg_queue {
    struct ipc_object obj;
    struct waitq wq;
    struct list messages;                         /* lock: table */
    uint64_t bytes, max_bytes;                    /* lock: table */
    unsigned count;                               /* lock: table */
    int last_sender, last_receiver;               /* lock: table */
    int64_t send_time, receive_time, change_time; /* lock: table; seconds */
};

static void msg_destroy(struct ipc_object *o)
{
    struct msg_queue *q = container_of(o, struct msg_queue, obj);
    struct msg *m, *tmp;
    list_for_each_safe(m, tmp, &q->messages, node)
    {
        list_del(&m->node);
        free(m);
    }
    free(q);
}

struct ipc_table g_msg_table = {
    .lock = LOCK_INITIALIZER(LR_IPC),
    .kind = IPC_MSG_KIND,
    .max = &g_ipc_limits.msg_count,
    .next_id = &g_ipc_limits.msg_next,
    .destroy = msg_destroy,
};

static int64_t now_seconds(void)
{
    return time_realtime() / NSEC_PER_SEC;
}

static int msg_create(struct task *t, void *arg, struct ipc_object **out)
{
    struct msg_queue *q = calloc(1, sizeof(*q));
    if (!q)
        return -ENOMEM;
    waitq_init(&q->wq);
    list_init(&q->messages);
    q->max_bytes = ipc_limit(&g_ipc_limits.msg_queue_bytes);
    q->change_time = now_seconds();
    *out = &q->obj;
    return 0;
}

int64_t msg_get(struct task *t, int key, int flags)
{
    return ipc_get(&g_msg_table, t, key, flags, msg_create, NULL, NULL);
}

static struct msg_queue *msg_find_locked(int id, int *err)
{
    struct ipc_object *o = ipc_find_locked(&g_msg_table, id, err);
    return o ? container_of(o, struct msg_queue, obj) : NULL;
}

static struct msg_queue *msg_find_get(int id, int *err)
{
    LOCK_GUARD(&g_msg_table.lock);
    struct msg_queue *q = msg_find_locked(id, err);
    if (q)
        ref_get(&q->obj.ref);
    return q;
}

/* ---- send
 * -------------------------------------------------------------------------------------------- */

static int msg_import(struct task *t, struct uaddr msgp, uint64_t size, struct msg **out)
{
    int64_t type;
    if (size > (uint64_t)ipc_limit(&g_ipc_limits.msg_max))
        return -EINVAL;
    if (uaccess_read_obj(t->mm, &type, msgp))
        return -EFAULT;
    if (type < 1)
        return -EINVAL;
    struct msg *m = malloc(sizeof(*m) + size);
    if (!m)
        return -ENOMEM;
    m->type = type;
    m->size = size;
    list_node_init(&m->node);
    if (uaccess_read(t->mm, m->text, uaddr_add(msgp, sizeof(type)), size)) {
        free(m);
        return -EFAULT;
    }
    *out = m;
    return 0;
}

static int try_send(struct task *t, struct msg_queue *q, struct msg *m)
{
    LOCK_GUARD(&g_msg_table.lock);
    if (q->obj.removed)
        return -EIDRM;
    int err = ipc_access(t, &q->obj, 2);
    if (err)
        return err;
    /* The count is limited too, or empty messages would take memory without end: msgsnd(2). */
    if (q->bytes + m->size > q->max_bytes || q->count + 1 > q->max_bytes)
        return -EAGAIN;
    list_push_back(&q->messages, &m->node);
    q->bytes += m->size;
    q->count++;
    q->last_sender = t->process->pid;
    q->send_time = now_seconds();
    waitq_wake(&q->wq, ~0u);
    return 0;
}

/* Run attempt until it does not say retry_on, or a signal comes (never restarted: signal(7)). */
#define MSG_RETRY(t, q, flags, retry_on, attempt)                                                  \
    ({                                                                                             \
        int64_t ret_;                                                                              \
        int woken_ = 0;                                                                            \
        struct task_waiter w_;                                                                     \
        task_waiter_init(&w_, (t), ~0u);                                                           \
        waitq_add(&(q)->wq, &w_.w);                                                                \
        for (;;) {                                                                                 \
            task_sleep_prepare(t);                                                                 \
            ret_ = (attempt);                                                                      \
            if (ret_ != (retry_on) || ((flags)&IPC_NOWAIT))                                        \
                break;                                                                             \
            if (woken_) {                                                                          \
                ret_ = -EINTR;                                                                     \
                break;                                                                             \
            }                                                                                      \
            woken_ = task_sleep((t), DEADLINE_NONE, /*interruptible=*/true);                       \
        }                                                                                          \
        waitq_remove(&(q)->wq, &w_.w);                                                             \
        ret_;                                                                                      \
    })

int64_t msg_snd(struct task *t, int id, struct uaddr msgp, uint64_t size, int flags)
{
    struct msg *m;
    int64_t type;
    int err = uaccess_read_obj(t->mm, &type, msgp);
    if (!err)
        err = id < 0 ? -EINVAL : msg_import(t, msgp, size, &m);
    if (err)
        return err;
    struct msg_queue *q = msg_find_get(id, &err);
    if (!q) {
        free(m);
        return err;
    }
    int64_t ret = MSG_RETRY(t, q, flags, -EAGAIN, try_send(t, q, m));
    if (ret)
        free(m);
    ipc_put(&g_msg_table, &q->obj);
    return ret;
}

/* ---- receive
 * ----------------------------------------------------------------------------------------- */

static struct msg *select_nth(struct msg_queue *q, int64_t n)
{
    struct msg *m;
    list_for_each(m, &q->messages, node) if (n-- == 0) return m;
    return NULL;
}

/* type > 0: the first of (or, MSG_EXCEPT, not of) the type; 0: the first; < 0: the least type <=
 * -type. */
static struct msg *select_msg(struct msg_queue *q, int64_t type, int flags)
{
    struct msg *m, *best = NULL;
    if (flags & MSG_COPY)
        return select_nth(q, type);
    list_for_each(m, &q->messages, node)
    {
        if (type == 0 || (type > 0 && (m->type == type) != !!(flags & MSG_EXCEPT)))
            return m;
        int64_t bound = type == INT64_MIN ? INT64_MAX : -type;
        if (type < 0 && m->type <= bound && (!best || m->type < best->type))
            best = m;
    }
    return best;
}

static struct msg *msg_duplicate(const struct msg *m)
{
    struct msg *copy = malloc(sizeof(*m) + m->size);
    if (!copy)
        return NULL;
    memcpy(copy, m, sizeof(*m) + m->size);
    list_node_init(&copy->node);
    return copy;
}

static int try_receive(struct task *t, struct msg_queue *q, uint64_t size, int64_t type, int flags,
                       struct msg **out)
{
    LOCK_GUARD(&g_msg_table.lock);
    if (q->obj.removed)
        return -EIDRM;
    int err = ipc_access(t, &q->obj, 4);
    if (err)
        return err;
    struct msg *m = select_msg(q, type, flags);
    if (!m)
        return -ENOMSG;
    if (m->size > size && !(flags & MSG_NOERROR))
        return -E2BIG;
    if (flags & MSG_COPY) {
        *out = msg_duplicate(m);
        return *out ? 0 : -ENOMEM;
    }
    list_del(&m->node);
    q->bytes -= m->size;
    q->count--;
    q->last_receiver = t->process->pid;
    q->receive_time = now_seconds();
    waitq_wake(&q->wq, ~0u);
    *out = m;
    return 0;
}

static int64_t msg_export(struct task *t, struct uaddr msgp, uint64_t size, const struct msg *m)
{
    uint64_t n = MIN(size, m->size);
    if (uaccess_write_obj(t->mm, msgp, &m->type) ||
        uaccess_write(t->mm, uaddr_add(msgp, sizeof(m->type)), m->text, n))
        return -EFAULT;
    return n;
}

int64_t msg_rcv(struct task *t, int id, struct uaddr msgp, uint64_t size, int64_t type, int flags)
{
    struct msg *m = NULL;
    int err;
    if (id < 0 || (int64_t)size < 0)
        return -EINVAL;
    if ((flags & MSG_COPY) && ((flags & MSG_EXCEPT) || !(flags & IPC_NOWAIT)))
        return -EINVAL;
    struct msg_queue *q = msg_find_get(id, &err);
    if (!q)
        return err;
    int64_t ret = MSG_RETRY(t, q, flags, -ENOMSG, try_receive(t, q, size, type, flags, &m));
    if (ret == 0)
        ret = msg_export(t, msgp, size, m);
    free(m);
    ipc_put(&g_msg_table, &q->obj);
    return ret;
}

/* ---- control
 * ----------------------------------------------------------------------------------------- */

static void fill_ds(struct msg_queue *q, struct msqid64_ds *ds)
{
    memset(ds, 0, sizeof(*ds));
    ipc_perm_fill(&q->obj, &ds->msg_perm);
    ds->msg_stime = q->send_time;
    ds->msg_rtime = q->receive_time;
    ds->msg_ctime = q->change_time;
    ds->msg_cbytes = q->bytes;
    ds->msg_qnum = q->count;
    ds->msg_qbytes = q->max_bytes;
    ds->msg_lspid = q->last_sender;
    ds->msg_lrpid = q->last_receiver;
}

static int64_t ctl_stat(struct task *t, int id, int cmd, struct uaddr buf)
{
    struct msqid64_ds ds;
    int64_t ret;
    {
        LOCK_GUARD(&g_msg_table.lock);
        int err = -EINVAL;
        struct ipc_object *o = cmd == IPC_STAT ? ipc_find_locked(&g_msg_table, id, &err)
                                               : ipc_index_locked(&g_msg_table, id);
        if (!o)
            return err;
        err = cmd == MSG_STAT_ANY ? 0 : ipc_access(t, o, 4);
        if (err)
            return err;
        fill_ds(container_of(o, struct msg_queue, obj), &ds);
        ret = cmd == IPC_STAT ? 0 : o->id;
    }
    ds.msg_lspid = task_sees_id(t, ds.msg_lspid);
    ds.msg_lrpid = task_sees_id(t, ds.msg_lrpid);
    return uaccess_write_obj(t->mm, buf, &ds) ? -EFAULT : ret;
}

static int64_t ctl_info(struct task *t, int cmd, struct uaddr buf)
{
    const struct ipc_limits *l = &g_ipc_limits;
    struct msginfo info = {.msgpool =
                               ipc_limit(&l->msg_count) * ipc_limit(&l->msg_queue_bytes) / 1024,
                           .msgmap = ipc_limit(&l->msg_queue_bytes),
                           .msgmax = ipc_limit(&l->msg_max),
                           .msgmnb = ipc_limit(&l->msg_queue_bytes),
                           .msgmni = ipc_limit(&l->msg_count),
                           .msgssz = 16,
                           .msgtql = ipc_limit(&l->msg_queue_bytes),
                           .msgseg = 0xffff};
    int64_t ret;
    {
        LOCK_GUARD(&g_msg_table.lock);
        const struct ipc_ids *ids = ipc_ids(&g_msg_table);
        ret = ids->max_index;
        if (cmd == MSG_INFO) {
            info.msgpool = ids->used;
            info.msgmap = info.msgtql = 0;
            for (unsigned i = 0; i < ids->capacity; i++) {
                if (!ids->slots[i])
                    continue;
                struct msg_queue *q = container_of(ids->slots[i], struct msg_queue, obj);
                info.msgmap += q->count;
                info.msgtql += q->bytes;
            }
        }
    }
    return uaccess_write_obj(t->mm, buf, &info) ? -EFAULT : ret;
}

static int64_t ctl_set(struct task *t, int id, struct uaddr buf)
{
    struct msqid64_ds ds;
    int err;
    if (uaccess_read_obj(t->mm, &ds, buf))
        return -EFAULT;
    LOCK_GUARD(&g_msg_table.lock);
    struct msg_queue *q = msg_find_locked(id, &err);
    if (!q || (err = ipc_owner(t, &q->obj)))
        return err;
    if (ds.msg_qbytes > (uint64_t)ipc_limit(&g_ipc_limits.msg_queue_bytes) &&
        !cred_has_cap(t->cred, CAP_SYS_RESOURCE))
        return -EPERM;
    err = ipc_perm_set_locked(t, &q->obj, &ds.msg_perm);
    if (err)
        return err;
    q->max_bytes = MIN((uint64_t)ds.msg_qbytes, (uint64_t)INT32_MAX);
    q->change_time = now_seconds();
    waitq_wake(&q->wq, ~0u);
    return 0;
}

static int64_t ctl_remove(int id, struct task *t)
{
    int err;
    LOCK_GUARD(&g_msg_table.lock);
    struct msg_queue *q = msg_find_locked(id, &err);
    if (!q || (err = ipc_owner(t, &q->obj)))
        return err;
    ref_get(&q->obj.ref);
    ipc_remove_locked(&g_msg_table, &q->obj);
    waitq_wake(&q->wq, ~0u);
    ipc_put(&g_msg_table, &q->obj);
    return 0;
}

int64_t msg_ctl(struct task *t, int id, int cmd, struct uaddr buf)
{
    if (id < 0)
        return -EINVAL;
    switch (cmd & ~IPC_64) {
    case IPC_INFO:
    case MSG_INFO:
        return ctl_info(t, cmd & ~IPC_64, buf);
    case IPC_STAT:
    case MSG_STAT:
    case MSG_STAT_ANY:
        return ctl_stat(t, id, cmd & ~IPC_64, buf);
    case IPC_SET:
        return ctl_set(t, id, buf);
    case IPC_RMID:
        return ctl_remove(id, t);
    default:
        return -EINVAL;
    }
}

int msg_proc_line(struct ipc_object *o, char *buf, size_t size)
{
    struct msg_queue *q = container_of(o, struct msg_queue, obj);
    return snprintf(buf, size,
                    "%10d %10d  %4o  %10lu %10u %5u %5u %5u %5u %5u %5u %10ld %10ld %10ld\n",
                    (int)o->key, o->id, o->mode, (unsigned long)q->bytes, q->count, q->last_sender,
                    q->last_receiver, o->uid, o->gid, o->cuid, o->cgid, (long)q->send_time,
                    (long)q->receive_time, (long)q->change_time);
}
