/* Overlay: shared by its files.
 *
 * A read-only lower filesystem shows through; everything that changes is kept in memory. There is
 * no upper directory tree: an overlay inode carries its own changes, whatever they are: attributes
 * in the struct inode's fields, once attrs_own is set data         an unnamed tmpfs file, made at
 * the first open for writing or truncation xattrs       another unnamed tmpfs file, made at the
 * first change names        of a directory: entries that replace, add to or hide (whiteout) the
 * lower names So renaming a directory moves one entry, whatever lies below it.
 *
 * An inode is *clean* while it has no change: it may be forgotten and made again by a lookup.
 * Before the first change it is *pinned*: its parent gets an entry that holds it (and the parent is
 * pinned likewise), up to the root. A clean inode holds its parent (home); a pinned one is held by
 * it; never both.
 *
 * Locks: names_lock (LR_LEAF) of the superblock guards all entry trees and home pointers.
 * Attributes and data are under inode->lock; a lower directory's dir_lock nests inside ours. */
#pragma once

#include "fs/vfs_priv.h"

struct ov_sb {
    struct superblock *lower, *store; /* const; counted; store: the tmpfs for data and xattrs */
    struct inode *lower_root;         /* const; borrowed from lower */
    struct lock names_lock;           /* LR_LEAF */
};

struct ov_entry {
    struct tree_node by_name, by_pos;
    struct inode *inode; /* counted; NULL: a whiteout */
    int64_t pos;         /* where readdir goes on; grows with every new entry */
    size_t name_len;
    char name[];
};

struct ov_inode {
    struct inode *lower;         /* const; counted; NULL: exists in memory only */
    struct inode *data;          /* lock: inode->lock to set, atomic to read; counted; once set it
                                    stays */
    struct mappable *data_map;   /* set before data; the data's own mappable */
    struct mappable mappable;    /* regular files: leads to data_map, or to the lower one */
    struct inode *xattrs;        /* lock: inode->lock; counted */
    bool attrs_own;              /* lock: inode->lock */
    char *target;                /* const; owned; of a symlink made here */
    struct tree by_name, by_pos; /* lock: names_lock; directories */
    int64_t next_pos;            /* lock: names_lock */
    uint64_t entry_count;        /* lock: names_lock; without whiteouts */
    struct inode *home;          /* lock: names_lock; counted; parent of a clean inode */
    size_t home_name_len;
    char home_name[];
};

static inline struct ov_inode *ov_of(struct inode *i)
{
    return i->priv;
}
/* Who holds the bytes of a regular file now. Any thread. */
static inline struct inode *ov_real(struct inode *i)
{
    struct inode *data = __atomic_load_n(&ov_of(i)->data, __ATOMIC_ACQUIRE);
    return data ? data : ov_of(i)->lower;
}
static inline struct ov_sb *ov_sb_of(struct inode *i)
{
    return i->sb->priv;
}

extern const struct inode_ops g_ov_dir_ops, g_ov_file_ops, g_ov_link_ops, g_ov_special_ops;
extern const struct file_ops g_ov_dir_file_ops, g_ov_file_file_ops;
extern const struct mappable_ops g_ov_mappable_ops;

/* overlay.c */
/* An overlay inode over lower (consumed also on failure), clean, below home. */
int ov_wrap(struct superblock *sb, struct inode *lower, struct inode *home, const char *name,
            size_t name_len, struct inode **out);
/* One that exists in memory only; attributes from c and dir as for creation. */
int ov_make(struct inode *dir, uint32_t mode, dev_t rdev, const struct cred *c, struct inode **out);
int ov_pin(struct inode *i); /* before the first change; 0 or -ENOMEM */
int ov_getattr(struct inode *i, struct kstat *out);
int ov_setattr(struct inode *i, const struct iattr *a);
void ov_own_attrs(struct inode *i, int nlink_by, unsigned touch); /* takes inode->lock */

/* dir.c: entries; names_lock is taken inside. */
/* 1: *out counted; 0: a whiteout; -ENOENT: nothing of ours under this name. */
int ov_entry_get(struct inode *dir, const char *name, size_t len, struct inode **out);
/* Put inode (a reference is taken; NULL: a whiteout) under a name; what was there is forgotten. */
int ov_entry_set(struct inode *dir, const char *name, size_t len, struct inode *inode);
void ov_entries_free(struct ov_inode *o);

/* data.c */
/* Own data of at most size bytes copied from below; inode->lock held. */
int ov_copy_up_locked(struct inode *i, uint64_t size);
int ov_open_inode(struct inode *real, unsigned flags,
                  struct file **out); /* a nameless file on it */
/* Make data (reference consumed) the holder of the bytes; inode->lock held, or i is still ours. */
void ov_data_set(struct inode *i, struct inode *data);
int64_t ov_getxattr(struct inode *i, const char *name, void *buf, size_t size);
int ov_setxattr(struct inode *i, const char *name, const void *value, size_t size, int flags);
int64_t ov_listxattr(struct inode *i, char *buf, size_t size);
int ov_removexattr(struct inode *i, const char *name);
