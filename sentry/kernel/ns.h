/* Namespaces (namespaces(7)): the third part of kernel.h. Include kernel/kernel.h.
 *
 * Every kind begins with struct ns, so that descriptors (/proc/PID/ns, fs/nsfs.c), setns and
 * unshare treat them alike. A task's own are in its ns_set, but for three: the user namespace is
 * part of its credentials, the PID namespace of its process's numbers, and the mount namespace
 * stands beside its fs_struct, whose paths lie in it. */
#pragma once
#include "base/list.h"
#include "base/lock.h"
#include "base/ref.h"
#include "base/tree.h"
#include <stdbool.h>
#include <stdint.h>

struct cred;
struct process;
struct task;
struct user_ns;

enum ns_kind { NS_CGROUP, NS_IPC, NS_MNT, NS_NET, NS_PID, NS_TIME, NS_USER, NS_UTS, NS_KINDS };

struct ns {
    struct ref ref;
    const struct ns_ops *ops; /* const */
    uint64_t id;              /* const; inode number on nsfs */
    struct user_ns *owner;    /* const; counted; NULL for the first user namespace */
};

/* What unshare(2), clone(2) and setns(2) prepare before they commit: private copies to edit, NULL
 * for what stays as it is. */
struct ns_switch {
    struct ns_set *set;
    struct cred *cred;
    struct fs_struct *fs;
    struct mount_ns *mount_ns; /* counted */
};

struct ns_ops {
    enum ns_kind kind;
    const char *name; /* as in /proc/PID/ns */
    int clone_flag;
    void (*free)(struct ns *ns); /* last reference gone; the owner has been let go */
    /* May t enter ns, and what changes then: fills sw. 0 or a negative errno. */
    int (*enter)(struct task *t, struct ns *ns, struct ns_switch *sw);
    struct ns *(*parent)(struct ns *ns); /* borrowed or NULL; itself NULL: no hierarchy */
};

/* /proc/sys/user/max_*_namespaces: how many of a kind there may be in the sandbox. */
extern int64_t g_ns_max[NS_KINDS];  /* atomic */
int ns_may_make(enum ns_kind kind); /* 0 or -ENOSPC */
/* In a new object: one reference; takes one on owner. */
void ns_init(struct ns *ns, const struct ns_ops *ops, struct user_ns *owner);
void ns_get(struct ns *ns);
void ns_put(struct ns *ns); /* NULL: nothing */
uint64_t ns_id_new(void);

/* Const once a task has it; replaced whole, under task.lock. */
struct ns_set {
    struct ref ref;
    struct uts_ns *uts;          /* all counted */
    struct ipc_ns *ipc;          /* ipc/ipc.h */
    struct ns *net, *cgroup;     /* names without contents of their own, so far */
    struct pid_ns *pid_children; /* where its children are born */
};
/* The net room's: a network namespace is being freed. */
extern void (*g_net_ns_gone)(struct ns *ns);
void ns_set_get(struct ns_set *s);
void ns_set_put(struct ns_set *s);
/* A copy to edit. NULL: no memory. */
struct ns_set *ns_set_copy(const struct ns_set *s);
struct ns_set *
task_ns_set_get(struct task *t); /* counted, or NULL once it has exited; any thread */
/* The namespace of this kind that t is in, counted, or NULL; for_children: PID and time. */
struct ns *task_ns_get(struct task *t, enum ns_kind kind, bool for_children);

/* The rule of most kinds: CAP_SYS_ADMIN over the namespace and over one's own user namespace. */
int ns_may_enter(struct task *t, struct ns *ns, const struct ns_switch *sw);
/* The namespaces of from that CLONE_NEW* flags name, into a set that nobody else has yet. */
void ns_set_share(struct ns_set *s, const struct ns_set *from, uint64_t flags);
/* Fresh namespaces as CLONE_NEW* flags ask, into a set that nobody else has yet. */
int ns_set_renew(struct task *t, struct ns_set *s, struct user_ns *owner, uint64_t flags);

/* ---- UTS ---- */

struct uts {
    char sysname[65], nodename[65], release[65], version[65], machine[65], domainname[65];
};
struct uts_ns {
    struct ns ns;
    struct lock lock; /* LR_LEAF */
    struct uts names; /* lock: lock */
};

/* ---- PID ----
 *
 * The numbers in process.pid, task.tid, pgrp.pgid and session.sid are those of the root namespace:
 * ids, unique in the sandbox. Guests see and say the numbers of their own namespace (vpid, vtid).
 */

struct pid;
struct pid_ns {
    struct ns ns;
    struct pid_ns *parent;  /* const; counted; NULL for the root */
    unsigned level;         /* const; 0 for the root */
    struct tree pids;       /* lock: tasks_lock; pid_number.node */
    int last_pid;           /* lock: tasks_lock */
    int pid_max;            /* atomic */
    struct process *init;   /* lock: tasks_lock; borrowed; NULL before its birth, after its end */
    bool dying;             /* lock: tasks_lock; init is ending: no more births */
    unsigned process_count; /* lock: tasks_lock; living ones, descendants' too; not of the root */
    struct task *zapper;    /* lock: tasks_lock; init's last task, waiting for the others' end */
};
#define PID_NS_DEPTH 33         /* levels there can be */
#define PID_NOBODY   0x7ffffffe /* an id that nothing ever bears */
/* A new child of parent. -ENOSPC: nested too deep. */
int pid_ns_new(struct pid_ns *parent, struct user_ns *owner, struct pid_ns **out);
void pid_ns_get(struct pid_ns *ns);
void pid_ns_put(struct pid_ns *ns);
/* From an id to the number in ns: 0 if it has none there. From a number to the id: PID_NOBODY if
 * nothing bears it. 0 and negative ones stay as they are. Free of cost in the root namespace. */
int pid_id_to(struct pid_ns *ns, int id);
int pid_id_from(struct pid_ns *ns, int nr);
int pid_id_to_locked(struct pid_ns *ns, int id); /* tasks_lock held */
int pid_id_from_locked(struct pid_ns *ns, int nr);

/* ---- user ---- */

struct user_ns {
    struct ns ns;       /* ns.owner is the parent */
    uint32_t owner_uid; /* const; euid of its maker */
    uint32_t owner_gid; /* const */
    int level;          /* const */
    struct id_map *uid_map, *gid_map; /* atomic; written once; NULL before, and for the first */
    bool setgroups_allowed;           /* atomic */
};
struct id_extent {
    uint32_t first, lower, count;
};
/* Ids as the sentry keeps them (those of the first namespace) and as ns shows them: 65534 if it does
 * not; what is said in ns means UINT32_MAX if it is not mapped. */
uint32_t uid_to(const struct user_ns *ns, uint32_t id);
uint32_t gid_to(const struct user_ns *ns, uint32_t id);
uint32_t uid_from(const struct user_ns *ns, uint32_t id);
uint32_t gid_from(const struct user_ns *ns, uint32_t id);
bool ids_mapped(const struct user_ns *ns, uint32_t uid, uint32_t gid);
bool user_ns_may_setgroups(const struct user_ns *ns);
/* /proc/PID/uid_map and gid_map: how many extents there are, and one of them. text is changed. */
unsigned user_ns_map_get(const struct user_ns *ns, const struct user_ns *reader, bool gids,
                         unsigned index, struct id_extent *out);
int user_ns_map_set(struct task *t, struct user_ns *ns, bool gids, char *text);
/* A container's namespace, given its maps from outside before anybody is in it. */
int user_ns_new_for_container(struct user_ns **out);
int user_ns_map_give(struct user_ns *ns, bool gids, const struct id_extent *extents, unsigned count);
int user_ns_setgroups_set(struct task *t, struct user_ns *ns, bool allow);
void user_ns_get(struct user_ns *ns);
void user_ns_put(struct user_ns *ns);
/* Has c this capability over what ns owns: in ns itself, or as owner of ns or of one above it. */
bool cred_capable(const struct cred *c, const struct user_ns *ns, int cap);
/* Over its own user namespace, whichever that is. */
bool cred_capable_here(const struct cred *c, int cap);
