/* Private to ipc/: what the three System V kinds have in common. */
#pragma once

#include "base/lock.h"
#include "base/ref.h"
#include "ipc/ipc.h"
#include <linux/ipc.h>

#define IPC_TABLE_MAX 32000 /* semaphores sets, queues, segments: Linux's default limits */

/* First member of each object. Ids are index + sequence * IPC_TABLE_MAX_ID, so that a stale id
 * misses. */
struct ipc_object {
    struct ref ref;
    int id;                        /* const once in the table */
    uint32_t key;                  /* lock: table; IPC_PRIVATE once removed */
    uint32_t uid, gid, cuid, cgid; /* lock: table */
    uint32_t mode;                 /* lock: table */
    uint32_t seq;                  /* const */
    bool removed;                  /* lock: table */
};

struct ipc_table {
    struct lock lock;                   /* LR_IPC */
    struct ipc_object **slots;          /* lock: lock; one reference each */
    unsigned capacity, used, max_index; /* lock: lock */
    uint32_t next_seq;                  /* lock: lock */
    void (*destroy)(
        struct ipc_object *o); /* const; last reference gone; may be called with lock held */
};

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
