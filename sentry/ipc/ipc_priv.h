/* Private to ipc/: what the three System V kinds have in common. */
#pragma once

#include "base/lock.h"
#include "base/ref.h"
#include "ipc/ipc.h"
#include <linux/ipc.h>

#define IPC_ID_STRIDE 32768 /* ids are an index below this plus a sequence number times it */

/* First member of each object. A stale id misses by its sequence number. */
struct ipc_object {
    struct ref ref;
    struct ipc_ids *ids;           /* lock: table; of its namespace; NULL once removed */
    int id;                        /* const once in the table */
    uint32_t key;                  /* lock: table; IPC_PRIVATE once removed */
    uint32_t uid, gid, cuid, cgid; /* lock: table */
    uint32_t mode;                 /* lock: table */
    uint32_t seq;                  /* const */
    bool removed;                  /* lock: table */
};

enum ipc_kind { IPC_SEM_KIND, IPC_MSG_KIND, IPC_SHM_KIND, IPC_KINDS };

/* The objects of one kind in one namespace. */
struct ipc_ids {
    struct ipc_object **slots;          /* lock: table; one reference each */
    unsigned capacity, used, max_index; /* lock: table */
    uint32_t next_seq;                  /* lock: table */
    unsigned next_index;                /* lock: table; behind the index that was given last */
};

struct ipc_table { /* one per kind */
    struct lock lock;   /* LR_IPC */
    enum ipc_kind kind; /* const */
    int64_t *max, *next_id; /* const; in g_ipc_limits */
    void (*destroy)(
        struct ipc_object *o); /* const; last reference gone; may be called with lock held */
};

struct ipc_ns {
    struct ns ns;
    struct ipc_ids ids[IPC_KINDS];
    struct list queues;   /* lock: mq.c's; POSIX queues with a name */
    unsigned queue_count; /* lock: mq.c's */
};
struct ipc_ns *ipc_ns_current(void); /* the calling task's; borrowed */
static inline struct ipc_ids *ipc_ids(const struct ipc_table *tb)
{
    return &ipc_ns_current()->ids[tb->kind];
}
void mq_ns_exit(struct ipc_ns *ns); /* forget the names */

/* Make an object; called with the lock held. 0 or a negative errno. */
typedef int ipc_create_fn(struct task *t, void *arg, struct ipc_object **out);
/* xxxget(2): find by key or create. check (may be NULL) sees an existing object: its errno is
 * returned. */
int64_t ipc_get(struct ipc_table *tb, struct task *t, uint32_t key, int flags,
                ipc_create_fn *create, int (*check)(struct ipc_object *o, void *arg), void *arg);
/* By id, under the lock: borrowed; NULL with *err -EINVAL or -EIDRM. */
struct ipc_object *ipc_find_locked(struct ipc_table *tb, int id, int *err);
/* By table index (xxx_STAT): borrowed or NULL. */
struct ipc_object *ipc_index_locked(struct ipc_table *tb, unsigned index);
/* Mode bits as open: 4 read, 2 write. 0 or -EACCES. */
int ipc_access(struct task *t, const struct ipc_object *o, unsigned want);
/* May t change or remove it: 0 or -EPERM. */
int ipc_owner(struct task *t, const struct ipc_object *o);
/* Take out of the table; drops the table's reference. Lock held. */
void ipc_remove_locked(struct ipc_table *tb, struct ipc_object *o);
void ipc_put(struct ipc_table *tb, struct ipc_object *o);
void ipc_perm_fill(const struct ipc_object *o, struct ipc64_perm *out);
/* IPC_SET: check and apply. Lock held. */
int ipc_perm_set_locked(struct task *t, struct ipc_object *o, const struct ipc64_perm *in);

extern struct ipc_table g_sem_table, g_msg_table, g_shm_table;
int sem_proc_line(struct ipc_object *o, char *buf, size_t size);
int msg_proc_line(struct ipc_object *o, char *buf, size_t size);
int shm_proc_line(struct ipc_object *o, char *buf, size_t size);
