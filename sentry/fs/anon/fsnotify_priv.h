/* Change notification: what the hooks of the VFS hand to inotify, dnotify and fanotify.
 *
 * fsnotify.c turns each hook into one struct fsn_event and asks the three in turn. Marks hang on the
 * object they watch; g_fsnotify_watches counts them all, and no hook does anything while it is 0. */
#pragma once

#include "fs/vfs_priv.h"

/* Events have fanotify's numbers, of which inotify's are the lower ones. */
#define FSN_ISDIR  0x40000000u /* IN_ISDIR, FAN_ONDIR */
#define FSN_RENAME 0x10000000u /* FAN_RENAME: told of the old directory, once per move */

struct fsn_event {
    uint64_t mask;
    uint32_t cookie;
    const struct path *path; /* of what it happened to, where the hook knows it */
    struct dentry *child;    /* what it happened to; NULL: only the name is known */
    struct dentry *dir;      /* the directory, if name is set */
    const char *name;        /* in dir */
    struct dentry *new_dir;  /* FSN_RENAME: where it went; child carries the new name */
    bool on_child;           /* about the child, as its parent sees it; else about a name of dir */
    bool unlinked;           /* on_child: the name is gone already */
};

struct fsnotify_marks {    /* of an inode */
    struct list watches;   /* inotify.c */
    struct list dnotifies; /* dnotify.c */
    struct fan_mark *fans; /* fanotify_mark.c */
};
/* i's marks, made if there are none; NULL: no memory. */
struct fsnotify_marks *fsnotify_marks_get(struct inode *i);
static inline struct fsnotify_marks *fsnotify_marks_of(struct inode *i)
{
    return __atomic_load_n(&i->marks, __ATOMIC_ACQUIRE);
}

void inotify_tell(struct inode *i, uint32_t mask, uint32_t cookie, const char *name, bool unlinked);
void dnotify_tell(struct inode *dir, uint32_t mask);
void fanotify_tell(const struct fsn_event *e);
extern uint32_t g_fanotify_marks; /* atomic */
