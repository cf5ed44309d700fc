/* Keys, ids and permissions: the part of System V IPC that is the same for all kinds (ipc(2),
 * svipc(7)). */
#include "base/overflow.h"
#include "ipc/ipc_priv.h"

#include <errno.h>
#include <linux/sched.h>
#include <stdlib.h>
#include <string.h>

static struct ipc_table *const g_tables[IPC_KINDS] = {
    [IPC_SEM_KIND] = &g_sem_table, [IPC_MSG_KIND] = &g_msg_table, [IPC_SHM_KIND] = &g_shm_table};

/* ---- namespaces ---- */

/* Nobody in it is left; a segment that is still attached lives on without its id. */
static void ipc_ns_free(struct ns *base)
{
    struct ipc_ns *ns = container_of(base, struct ipc_ns, ns);
    for (int k = 0; k < IPC_KINDS; k++) {
        struct ipc_ids *ids = &ns->ids[k];
        lock_acquire(&g_tables[k]->lock);
        for (unsigned i = 0; i < ids->capacity; i++)
            if (ids->slots[i])
                ipc_remove_locked(g_tables[k], ids->slots[i]);
        lock_release(&g_tables[k]->lock);
        free(ids->slots);
    }
    mq_ns_exit(ns);
    free(ns);
}

static int ipc_ns_enter(struct task *t, struct ns *base, struct ns_switch *sw)
{
    int r = ns_may_enter(t, base, sw);
    if (r)
        return r;
    ns_get(base);
    ns_put(&sw->set->ipc->ns);
    sw->set->ipc = container_of(base, struct ipc_ns, ns);
    return 0;
}

static const struct ns_ops g_ipc_ns_ops = {.kind = NS_IPC,
                                           .name = "ipc",
                                           .clone_flag = CLONE_NEWIPC,
                                           .free = ipc_ns_free,
                                           .enter = ipc_ns_enter};

int ipc_ns_new(struct user_ns *owner, struct ipc_ns **out)
{
    struct ipc_ns *ns = calloc(1, sizeof(*ns));
    if (!ns)
        return -ENOMEM;
    ns_init(&ns->ns, &g_ipc_ns_ops, owner);
    list_init(&ns->queues);
    *out = ns;
    return 0;
}

struct ns *ipc_ns_base(struct ipc_ns *ns)
{
    return &ns->ns;
}

struct ipc_ns *ipc_ns_current(void)
{
    struct task *t = task_current();
    return t && t->ns_set ? t->ns_set->ipc : g_kernel.root_ns_set->ipc;
}

struct ipc_limits g_ipc_limits = {
    .shm_max = -(1 << 24) - 1, /* unsigned: ULONG_MAX less 16 MiB */
    .shm_all = -(1 << 24) - 1,
    .shm_count = 4096,
    .msg_max = 8192,
    .msg_queue_bytes = 16384,
    .msg_count = 32000,
    .sem = {32000, 1024000000, 500, 32000},
    .sem_next = -1,
    .msg_next = -1,
    .shm_next = -1,
    .mq_queues = 256,
    .mq_messages = 10,
    .mq_size = 8192,
    .mq_default_messages = 10,
    .mq_default_size = 8192,
};

/* ---- tables ---- */

static int ids_grow(struct ipc_ids *tb)
{
    unsigned capacity = tb->capacity ? tb->capacity * 2 : 16;
    struct ipc_object **bigger = realloc(tb->slots, capacity * sizeof(*bigger));
    if (!bigger)
        return -ENOMEM;
    memset(bigger + tb->capacity, 0, (capacity - tb->capacity) * sizeof(*bigger));
    tb->slots = bigger;
    tb->capacity = capacity;
    return 0;
}

#define IPC_ROUND 64u

static unsigned free_index(const struct ipc_ids *tb, unsigned from)
{
    while (from < tb->capacity && tb->slots[from])
        from++;
    return from;
}

/* Indices go round, over at least IPC_ROUND of them, before one comes again: as Linux's ids do. */
static unsigned pick_index(const struct ipc_ids *tb)
{
    unsigned round = MAX(tb->used + tb->used / 2, IPC_ROUND);
    unsigned i = free_index(tb, tb->next_index);
    return i < MIN(round, IPC_ID_STRIDE) ? i : free_index(tb, 0);
}

static int ids_insert(struct ipc_ids *tb, struct ipc_object *o, const struct ipc_table *kind)
{
    int64_t wanted = __atomic_exchange_n(kind->next_id, -1, __ATOMIC_RELAXED);
    if (tb->used >= ipc_limit(kind->max))
        return -ENOSPC;
    unsigned i = wanted < 0 ? pick_index(tb) : free_index(tb, (uint64_t)wanted % IPC_ID_STRIDE);
    if (i >= IPC_ID_STRIDE)
        return -ENOSPC;
    while (i >= tb->capacity)
        if (ids_grow(tb))
            return -ENOMEM;
    if (wanted < 0 && i < tb->next_index)
        tb->next_seq++; /* an index comes again: the id must be another */
    tb->next_index = i + 1;
    o->seq = (wanted < 0 ? tb->next_seq : (uint64_t)wanted / IPC_ID_STRIDE) & 0x7fff;
    o->id = i + o->seq * IPC_ID_STRIDE;
    o->ids = tb;
    tb->slots[i] = o;
    tb->used++;
    if (i > tb->max_index)
        tb->max_index = i;
    return 0;
}

static struct ipc_object *find_key(const struct ipc_ids *tb, uint32_t key)
{
    for (unsigned i = 0; i < tb->capacity; i++)
        if (tb->slots[i] && tb->slots[i]->key == key && !tb->slots[i]->removed)
            return tb->slots[i];
    return NULL;
}

static int64_t create(struct ipc_table *tb, struct task *t, uint32_t key, int flags,
                      ipc_create_fn *fn, void *arg)
{
    struct ipc_object *o;
    int err = fn(t, arg, &o);
    if (err)
        return err;
    ref_init(&o->ref);
    o->key = key;
    o->uid = o->cuid = t->cred->euid;
    o->gid = o->cgid = t->cred->egid;
    o->mode = flags & 0777;
    err = ids_insert(ipc_ids(tb), o, tb);
    if (!err)
        return o->id;
    tb->destroy(o);
    return err;
}

/* The bits a caller asks for in flags' mode: any of user, group, other. */
static unsigned wanted_of_flags(int flags)
{
    return ((flags >> 6) | (flags >> 3) | flags) & 7;
}

int64_t ipc_get(struct ipc_table *tb, struct task *t, uint32_t key, int flags, ipc_create_fn *fn,
                int (*check)(struct ipc_object *o, void *arg), void *arg)
{
    LOCK_GUARD(&tb->lock);
    struct ipc_object *o = key == IPC_PRIVATE ? NULL : find_key(ipc_ids(tb), key);
    if (!o) {
        if (key != IPC_PRIVATE && !(flags & IPC_CREAT))
            return -ENOENT;
        return create(tb, t, key, flags, fn, arg);
    }
    if ((flags & IPC_CREAT) && (flags & IPC_EXCL))
        return -EEXIST;
    int err = check ? check(o, arg) : 0;
    if (!err)
        err = ipc_access(t, o, wanted_of_flags(flags));
    return err ? err : o->id;
}

struct ipc_object *ipc_find_locked(struct ipc_table *tb, int id, int *err)
{
    lock_check_held(LR_IPC);
    const struct ipc_ids *ids = ipc_ids(tb);
    unsigned index = (unsigned)id % IPC_ID_STRIDE;
    *err = -EINVAL;
    if (id < 0 || index >= ids->capacity || !ids->slots[index])
        return NULL;
    struct ipc_object *o = ids->slots[index];
    if (o->id == id)
        return o;
    *err = -EIDRM; /* the index lives on with another sequence number */
    return NULL;
}

struct ipc_object *ipc_index_locked(struct ipc_table *tb, unsigned index)
{
    const struct ipc_ids *ids = ipc_ids(tb);
    index %= IPC_ID_STRIDE; /* a whole id names its index too */
    return index < ids->capacity ? ids->slots[index] : NULL;
}

int ipc_access(struct task *t, const struct ipc_object *o, unsigned want)
{
    const struct cred *c = t->cred;
    unsigned granted = o->mode;
    if (c->euid == o->uid || c->euid == o->cuid)
        granted >>= 6;
    else if (cred_in_group(c, o->gid) || cred_in_group(c, o->cgid))
        granted >>= 3;
    if ((want & ~granted & 7) && !cred_capable(c, ipc_ns_current()->ns.owner, CAP_IPC_OWNER))
        return -EACCES;
    return 0;
}

int ipc_owner(struct task *t, const struct ipc_object *o)
{
    const struct cred *c = t->cred;
    if (c->euid == o->uid || c->euid == o->cuid ||
        cred_capable(c, ipc_ns_current()->ns.owner, CAP_SYS_ADMIN))
        return 0;
    return -EPERM;
}

void ipc_put(struct ipc_table *tb, struct ipc_object *o)
{
    if (ref_put(&o->ref))
        tb->destroy(o);
}

void ipc_remove_locked(struct ipc_table *tb, struct ipc_object *o)
{
    unsigned index = (unsigned)o->id % IPC_ID_STRIDE;
    struct ipc_ids *ids = o->ids;
    o->removed = true;
    o->key = IPC_PRIVATE;
    o->ids = NULL;
    ids->slots[index] = NULL;
    ids->used--;
    while (ids->max_index > 0 && !ids->slots[ids->max_index])
        ids->max_index--;
    ipc_put(tb, o);
}

void ipc_perm_fill(const struct ipc_object *o, struct ipc64_perm *out)
{
    const struct user_ns *ns = task_current()->cred->user_ns;
    *out = (struct ipc64_perm){.key = o->key,
                               .uid = uid_to(ns, o->uid),
                               .gid = gid_to(ns, o->gid),
                               .cuid = uid_to(ns, o->cuid),
                               .cgid = gid_to(ns, o->cgid),
                               .mode = o->mode,
                               .seq = o->seq};
}

int ipc_perm_set_locked(struct task *t, struct ipc_object *o, const struct ipc64_perm *in)
{
    int err = ipc_owner(t, o);
    if (err)
        return err;
    uint32_t uid = uid_from(t->cred->user_ns, in->uid), gid = gid_from(t->cred->user_ns, in->gid);
    if (uid == UINT32_MAX || gid == UINT32_MAX)
        return -EINVAL;
    o->uid = uid;
    o->gid = gid;
    o->mode = (o->mode & ~0777u) | (in->mode & 0777);
    return 0;
}

int ipc_proc_line(int kind, unsigned *index, char *buf, size_t size)
{
    static int (*const lines[])(struct ipc_object *, char *,
                                size_t) = {sem_proc_line, msg_proc_line, shm_proc_line};
    struct ipc_table *tb = g_tables[kind];
    struct ipc_ids *ids = ipc_ids(tb);
    LOCK_GUARD(&tb->lock);
    for (; *index < ids->capacity; ++*index)
        if (ids->slots[*index])
            return lines[kind](ids->slots[(*index)++], buf, size);
    return 0;
}
