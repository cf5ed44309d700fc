/* System V IPC (svipc(7)) and POSIX message queues (mq_overview(7)).
 *
 * Each kind has one table, guarded by one lock of class LR_IPC, that maps keys and ids to counted
 * objects. A sleeping operation holds a reference on its object, not the lock, and looks again when
 * woken: the object may have been removed meanwhile (EIDRM). */
#pragma once

#include "kernel/kernel.h"

int ipc_ns_new(struct user_ns *owner, struct ipc_ns **out); /* empty */
struct ns *ipc_ns_base(struct ipc_ns *ns);

/* /proc/sys/kernel/{sem,msg*,shm*} and /proc/sys/fs/mqueue; of all namespaces together. Atomic. */
struct ipc_limits {
    int64_t shm_max, shm_all; /* unsigned */
    int64_t shm_count, shm_rmid_forced;
    int64_t msg_max, msg_queue_bytes, msg_count;
    int64_t sem[4];                       /* SEMMSL SEMMNS SEMOPM SEMMNI */
    int64_t sem_next, msg_next, shm_next; /* the id to give next, or -1 */
    int64_t mq_queues, mq_messages, mq_size, mq_default_messages, mq_default_size;
};
extern struct ipc_limits g_ipc_limits;
static inline int64_t ipc_limit(const int64_t *limit)
{
    return __atomic_load_n(limit, __ATOMIC_RELAXED);
}

/* Semaphores. ops is kernel memory. deadline: absolute, DEADLINE_NONE for semop(2). */
struct sembuf;
int64_t sem_get(struct task *t, int key, int count, int flags);
int64_t sem_op(struct task *t, int id, const struct sembuf *ops, unsigned count, int64_t deadline);
int64_t sem_ctl(struct task *t, int id, int num, int cmd, uint64_t arg);
/* The process has ended: undo what SEM_UNDO promised. */
void sem_process_exit(struct process *p);

/* Message queues. text: guest address behind the long mtype. */
int64_t msg_get(struct task *t, int key, int flags);
int64_t msg_snd(struct task *t, int id, struct uaddr msgp, uint64_t size, int flags);
int64_t msg_rcv(struct task *t, int id, struct uaddr msgp, uint64_t size, int64_t type, int flags);
int64_t msg_ctl(struct task *t, int id, int cmd, struct uaddr buf);

/* Shared memory. */
int64_t shm_get(struct task *t, int key, uint64_t size, int flags);
int64_t shm_at(struct task *t, int id, uint64_t addr, int flags);
int64_t shm_dt(struct task *t, uint64_t addr);
int64_t shm_ctl(struct task *t, int id, int cmd, struct uaddr buf);

/* POSIX message queues. name: kernel memory, without a slash (the C library strips it). */
struct mq_attr;
int64_t mq_do_open(struct task *t, const char *name, int flags, uint32_t mode,
                   const struct mq_attr *attr);
int64_t mq_do_unlink(struct task *t, const char *name);
/* For the mqueue filesystem: the queues of the caller's namespace. */
struct mq_info {
    uint64_t id; /* never used again */
    uint32_t mode, uid, gid;
};
int mq_find(const char *name, struct mq_info *out); /* -ENOENT */
bool mq_at(unsigned index, char name[256], struct mq_info *out);
int mq_make(struct task *t, const char *name, uint32_t mode);
int mq_open_by_id(uint64_t id, struct file *f); /* sets f->ops and f->priv */
int64_t mq_do_send(struct task *t, int fd, struct uaddr msg, uint64_t size, unsigned prio,
                   int64_t deadline);
int64_t mq_do_receive(struct task *t, int fd, struct uaddr msg, uint64_t size, struct uaddr prio,
                      int64_t deadline);
int64_t mq_do_notify(struct task *t, int fd, const struct sigevent *ev /* NULL: cancel */);
int64_t mq_do_attr(struct task *t, int fd, const struct mq_attr *set, struct mq_attr *old);


/* For /proc/sysvipc/{sem,msg,shm}: the text of a line at index >= *index, advancing it; 0 at the
 * end. */
int ipc_proc_line(int kind /* 0 sem 1 msg 2 shm */, unsigned *index, char *buf, size_t size);
