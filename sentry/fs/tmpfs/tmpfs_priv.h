/* tmpfs: shared by its files. */
#pragma once

#include "fs/vfs_priv.h"

struct tmpfs_sb {
    uint64_t max_pages, max_inodes; /* const but for remount; 0: no limit */
    uint64_t used_pages;            /* atomic */
    uint64_t used_inodes;           /* atomic */
};

/* A run of pages that are contiguous in the file and in the memory file. */
struct tmpfs_extent {
    struct tree_node node; /* by page */
    uint64_t page, count;
    uint64_t frame; /* offset in the memory file */
};

struct tmpfs_entry {
    struct tree_node by_name, by_pos;
    struct list_node pending; /* only while a whole tree is being freed */
    struct inode *inode;      /* counted */
    int64_t pos;              /* what readdir continues from; grows with every new entry */
    size_t name_len;
    char name[];
};

struct tmpfs_xattr {
    struct list_node node;
    size_t size;
    char *value; /* points behind the name */
    char name[];
};

struct tmpfs_inode {
    struct inode *inode; /* borrowed */
    /* directories; lock: inode->dir_lock */
    struct tree by_name, by_pos;
    int64_t next_pos;
    uint64_t entry_count;
    /* regular files */
    struct mappable mappable;
    struct rwlock data_lock; /* LR_INODE, inside inode->lock: read-held over copies out of frames,
                                write-held while frames are given back */
    struct tree extents;     /* lock: mappable.lock */
    uint64_t page_count;     /* lock: mappable.lock */
    unsigned writable_maps;  /* lock: mappable.lock */
    unsigned seals;          /* lock: mappable.lock */
    bool kept_size;          /* lock: inode->lock; fallocate has made pages beyond the end */
    /* symlinks */
    char *target; /* const; owned */
    /* all */
    struct list xattrs; /* lock: inode->lock */
    size_t xattr_bytes; /* lock: inode->lock */
};
static inline struct tmpfs_inode *tmpfs_of(struct inode *i)
{
    return i->priv;
}

extern const struct inode_ops g_tmpfs_dir_ops, g_tmpfs_file_ops, g_tmpfs_link_ops,
    g_tmpfs_special_ops;
extern const struct file_ops g_tmpfs_dir_file_ops, g_tmpfs_file_file_ops;
extern const struct mappable_ops g_tmpfs_mappable_ops;

int tmpfs_inode_new(struct superblock *sb, uint32_t mode, uint32_t uid, uint32_t gid, dev_t rdev,
                    struct inode **out);
void tmpfs_dir_free(struct tmpfs_inode *ti);
int tmpfs_getattr(struct inode *i, struct kstat *out);

/* data.c */
int tmpfs_data_truncate(struct tmpfs_inode *ti, uint64_t size); /* inode->lock held */
void tmpfs_data_free(struct tmpfs_inode *ti);

/* xattr.c */
int64_t tmpfs_getxattr(struct inode *i, const char *name, void *buf, size_t size);
int tmpfs_setxattr(struct inode *i, const char *name, const void *value, size_t size, int flags);
int64_t tmpfs_listxattr(struct inode *i, char *buf, size_t size);
int tmpfs_removexattr(struct inode *i, const char *name);
void tmpfs_xattr_free(struct tmpfs_inode *ti);
