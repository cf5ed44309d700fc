/* goferfs: shared by its files. */
#pragma once

#include "fs/gofer_client.h"
#include "fs/vfs_priv.h"

#define GOFERFS_BUCKETS 4096u
#define GOFERFS_DEVS    16

struct gofer_fs {
    struct gofer *g;
    struct superblock *sb; /* borrowed: it owns us */
    bool shared;           /* const: others write too */
    uint64_t root_fid;
    uint32_t fid_limit; /* const; inodes beyond which unused ones are let go */
    struct lock lock;   /* LR_LEAF */
    struct gofer_inode *buckets[GOFERFS_BUCKETS]; /* lock: lock; by (device, ino) */
    uint32_t inode_count;                         /* lock: lock */
    struct list idle; /* lock: lock; inodes with descriptors nobody has open, coldest first */
    uint32_t idle_count;
    /* Host devices below the export: the first is sb->dev, others get numbers of their own. */
    struct {
        uint64_t host;
        dev_t dev;
    } devs[GOFERFS_DEVS]; /* lock: lock */
    unsigned dev_count;
    uint64_t list_bytes; /* atomic; of all directory listings alive */
    int plus;            /* atomic; > 0: listings are followed by lookups, so ask for attributes too */
};

/* The names of a directory at one time; names are immutable once built. */
struct gofer_list {
    struct ref ref;
    struct gofer_fs *fs; /* borrowed */
    uint32_t count, capacity;
    uint32_t *at; /* offsets into data */
    char *data;
    size_t size, data_capacity, charged;
    /* Each entry's attributes, once: mask 0 when used up (they age) or not given. NULL: not asked
     * for. lock: the directory's inode->lock, as for index */
    struct goferp_attr *attrs;
    size_t attrs_capacity;
    bool attrs_used;
    uint32_t *index; /* open hash of entry numbers + 1; made by the first lookup */
    uint32_t index_mask;
};
struct gofer_list_entry {
    uint64_t ino;
    uint8_t type, name_len;
    char name[];
} __attribute__((packed));

struct gofer_inode {
    struct inode *inode; /* borrowed */
    uint64_t fid; /* atomic; GOFERP_NOFID until first needed, see goferfs_fid */
    struct inode *lazy_parent; /* lock: fs->lock; counted; where to get the fid from */
    char *lazy_name;           /* lock: fs->lock; owned */
    uint64_t host_dev;   /* const */
    dev_t dev;           /* const; as shown */
    struct gofer_inode *hash_next;
    uint64_t blocks;   /* lock: inode->lock */
    uint32_t blksize;  /* lock: inode->lock */
    bool stale;        /* atomic; the host has changed attributes since we copied them */
    uint64_t fresh;    /* atomic; serial of the walk that brought them (shared mode) */
    /* regular files */
    struct mappable mappable;
    int fd_r, fd_w;            /* lock: inode->lock to set, atomic to read while open_files > 0 */
    bool fd_w_readable;        /* same */
    uint32_t open_files;       /* lock: fs->lock */
    struct list_node idle_node; /* lock: fs->lock */
    /* directories; lock: inode->lock */
    struct gofer_list *list; /* counted; NULL: not read, or changed since */
    /* symlinks */
    char *target; /* lock: inode->lock to set, atomic to read; owned; never replaced */
};

static inline struct gofer_inode *gofer_of(struct inode *i)
{
    return i->priv;
}
static inline struct gofer_fs *gofer_fs_of(struct inode *i)
{
    return i->sb->priv;
}

/* super.c */
extern __thread uint64_t t_gofer_serial;
/* The inode of a node that the gofer named; consumes its fid, also on failure. target may be NULL. */
int goferfs_inode_get(struct gofer_fs *fs, const struct goferp_node *node, const char *target,
                      size_t target_size, struct inode **out);
/* The fid, fetched now if the inode came out of a listing. GOFERP_NOFID if the file is gone. */
uint64_t goferfs_fid(struct inode *i);
/* The same, and the file opened on the way if that takes no further request: *fd or -1. */
uint64_t goferfs_fid_open(struct inode *i, unsigned open_flags, int *fd);
/* The inode of a name in dir whose attributes a listing brought. */
int goferfs_inode_lazy(struct inode *dir, const char *name, size_t len,
                       const struct goferp_attr *a, struct inode **out);
void goferfs_attr_store_locked(struct gofer_inode *gi, const struct goferp_attr *a);
int goferfs_getattr(struct inode *i, struct kstat *out);
int goferfs_setattr(struct inode *i, const struct iattr *a);
void goferfs_serial_new(void);
void goferfs_mark_stale(struct inode *i);

/* data.c */
extern const struct mappable_ops g_goferfs_mappable_ops;
extern const struct file_ops g_goferfs_file_ops;
int goferfs_file_open(struct inode *i, struct file *f);
/* A descriptor that came with CREATE or WALK: kept if none is there yet, else closed. */
void goferfs_fd_adopt(struct inode *i, int fd);
int goferfs_any_fd(struct gofer_inode *gi);
void goferfs_data_free(struct gofer_inode *gi);

/* dir.c */
extern const struct inode_ops g_goferfs_dir_ops;
extern const struct file_ops g_goferfs_dir_file_ops;
void goferfs_list_put(struct gofer_list *l);
/* What the kept listing of dir says of a name: 1 *a is filled, 0 nothing, -ENOENT it is not there.
 */
int goferfs_list_lookup(struct inode *dir, const char *name, size_t len, struct goferp_attr *a);

/* xattr.c */
int64_t goferfs_getxattr(struct inode *i, const char *name, void *buf, size_t size);
int goferfs_setxattr(struct inode *i, const char *name, const void *value, size_t size, int flags);
int64_t goferfs_listxattr(struct inode *i, char *buf, size_t size);
int goferfs_removexattr(struct inode *i, const char *name);
int goferfs_statfs(struct inode *i, struct statfs *out);
