/* fanotify: shared by its two halves, fanotify.c (groups, their queues and files) and fanotify_mark.c
 * (marks, and which group hears of what).
 *
 * One lock (g_fan_lock, LR_INOTIFY) guards groups, marks and events. An event is queued until a
 * reader takes it. A permission event is shared between the task that waits for the answer and the
 * reader: queued → reported (a descriptor was made, the answer names it) → answered. */
#pragma once

#include "fs/anon/fsnotify_priv.h"

#include <linux/fanotify.h>

/* fs.fanotify.*: groups of the whole sandbox, marks and queued events of each group */
#define FAN_GROUPS_MAX g_vfs_knobs.fanotify_groups
#define FAN_MARKS_MAX  g_vfs_knobs.fanotify_marks
#define FAN_FID_MODE   (FAN_REPORT_FID | FAN_REPORT_DIR_FID | FAN_REPORT_NAME | FAN_REPORT_TARGET_FID)
#define FAN_DIRENT     (FAN_CREATE | FAN_DELETE | FAN_MOVE | FAN_RENAME)
#define FAN_PERM       (FAN_OPEN_PERM | FAN_ACCESS_PERM | FAN_OPEN_EXEC_PERM)
#define FAN_FD_EVENTS  (FAN_ACCESS | FAN_MODIFY | FAN_CLOSE | FAN_OPEN | FAN_OPEN_EXEC)
#define FAN_CLASS_BITS (FAN_CLASS_CONTENT | FAN_CLASS_PRE_CONTENT)

extern struct lock g_fan_lock;

struct fan_group {
    struct ref ref;          /* the file's, and one of each task that waits for an answer */
    struct list_node all;    /* lock: g_fan_lock */
    unsigned flags;          /* const; of fanotify_init */
    unsigned event_flags;    /* const; of the descriptors that are made */
    bool unprivileged;       /* const */
    bool closing;            /* lock: g_fan_lock */
    struct list marks;       /* lock: g_fan_lock; fan_mark.of_group */
    unsigned mark_count;     /* lock: g_fan_lock */
    struct list queue;       /* lock: g_fan_lock; fan_event.node */
    unsigned queued;         /* lock: g_fan_lock to write, atomic to read */
    unsigned queue_max;      /* const; fs.fanotify.max_queued_events when it was made */
    struct list reported;    /* lock: g_fan_lock; permission events that wait for an answer */
    struct waitq readers, askers;
};

enum fan_on { FAN_ON_INODE, FAN_ON_MOUNT, FAN_ON_SB };
struct fan_mark {
    struct fan_mark *next;     /* lock: g_fan_lock; on the same object */
    struct fan_mark **head;    /* const; the object's list */
    struct list_node of_group; /* lock: g_fan_lock */
    struct fan_group *group;   /* const */
    enum fan_on on;            /* const */
    struct inode *inode;       /* const; FAN_ON_INODE: counted */
    uint64_t ino;              /* const; for fdinfo, as the next two */
    dev_t dev;
    int mnt_id;
    uint32_t mask, ignored;    /* lock: g_fan_lock */
    unsigned flags;            /* lock: g_fan_lock; FAN_MARK_IGNORED_SURV_MODIFY, FAN_MARK_IGNORE */
};

struct fan_name { /* a directory, and perhaps a name in it */
    bool given;
    struct file_handle_k h;
    char *name; /* owned; may be NULL */
};
enum fan_state { FAN_QUEUED, FAN_REPORTED, FAN_ANSWERED };
struct fan_event {
    struct ref ref;
    struct list_node node;   /* lock: g_fan_lock; group.queue or group.reported */
    uint64_t mask;           /* lock: g_fan_lock while queued */
    int pid;                 /* const */
    struct process *process; /* const; counted; for FAN_REPORT_PIDFD, else NULL */
    struct path path;        /* const; counted; what a descriptor is made of */
    dev_t dev;               /* const; the filesystem's, for the fsid */
    bool has_object;         /* const */
    struct file_handle_k object;
    struct fan_name dir, new_dir; /* const */
    bool overflow;           /* const */
    /* permission events */
    bool perm;            /* const */
    enum fan_state state; /* lock: g_fan_lock */
    bool allowed;         /* lock: g_fan_lock */
    int fd;               /* lock: g_fan_lock; as reported */
};
struct fan_event *fan_event_new(uint64_t mask);
void fan_event_put(struct fan_event *e);
/* Queue e (reference consumed), or melt it into one that says the same. g_fan_lock held; what is
 * returned is to be put after it. */
struct fan_event *fan_queue_locked(struct fan_group *g, struct fan_event *e);

/* Queue the permission event e with g and wait for the answer: 0, -EPERM, -ERESTARTSYS. The caller
 * holds a reference of both. */
int fan_ask(struct task *t, struct fan_group *g, struct fan_event *e);
void fan_group_put(struct fan_group *g);

/* fanotify_mark.c */
void fan_group_enter(struct fan_group *g); /* from now on it may be told */
struct fan_group *fan_group_of(struct file *f); /* borrowed; NULL: not a fanotify file */
void fan_marks_flush(struct fan_group *g, bool all, enum fan_on on);
