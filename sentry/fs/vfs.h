/* Files, in Linux's terms.
 *
 *   superblock  one instance of a filesystem           inode  one file of it
 *   dentry      one name in one directory (may be negative)   mount  a superblock grafted at a
 * dentry path        (mount, dentry)                        file   an open file description fdtable
 * descriptor → file, close-on-exec       fs_struct  root, cwd, umask
 *
 * A path walk is one loop (namei.c): for each component, dcache lookup, else inode->ops->lookup
 * under the directory's dir_lock; then mounts, symlinks, "..". Permission checks happen there and
 * nowhere else. read(2): fdtable_get → vfs_read (position, limits, access mode) →
 * file->ops->read(file, uio, pos).
 *
 * Every function returns 0 or a count, or a negative errno; blocking ones -ERESTARTSYS. */
#pragma once

#include "base/list.h"
#include "base/lock.h"
#include "base/ref.h"
#include "base/tree.h"
#include "base/waitq.h"
#include "kernel/ns.h"
#include "mm/mm.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <time.h>

struct cred;
struct dentry;
struct fdtable;
struct fs_struct;
struct mount_ns;
struct path;
struct file;
struct inode;
struct kstat;
struct mount;
struct process;
struct superblock;
struct task;
struct tty;

#define VFS_NAME_MAX  255
#define VFS_PATH_MAX  4096 /* with NUL */
#define VFS_MAX_LINKS 40   /* symlinks followed in one walk, then ELOOP */

/* /proc/sys/fs; atomic */
struct vfs_knobs {
    int64_t protected_symlinks, protected_hardlinks, protected_fifos, protected_regular;
    int64_t lease_break_time, leases_enable, dir_notify_enable, file_max;
    int64_t inotify_events, inotify_instances, inotify_watches;
    int64_t fanotify_events, fanotify_groups, fanotify_marks;
    int64_t pipe_max_size, pipe_user_pages_soft, pipe_user_pages_hard;
    int64_t epoll_max_user_watches, memfd_noexec, aio_max_nr, legacy_tiocsti;
};
extern struct vfs_knobs g_vfs_knobs;

enum ucount_kind { UCOUNT_PIPE_PAGES, UCOUNT_EPOLL_WATCHES, UCOUNT_KINDS };
/* Let uid hold n more (or, n negative, fewer) of these: how many it is then. */
int64_t ucount_add(enum ucount_kind kind, uint32_t uid, int64_t n);

/* ---- superblocks, inodes
 * ------------------------------------------------------------------------- */

struct super_ops {
    int (*statfs)(struct superblock *sb, struct statfs *out);
    int (*sync)(struct superblock *sb);
    void (*inode_free)(
        struct inode *inode); /* last reference gone: free inode->priv, host resources */
    void (*shutdown)(struct superblock *sb); /* last reference gone */
    /* Extra mount options for /proc/mounts, beginning with ",". May be NULL. */
    void (*show_options)(struct superblock *sb, char *buf, size_t size);
};

struct superblock {
    struct ref ref;
    const struct super_ops *ops;
    const char *type_name;   /* const; "tmpfs", "proc", … */
    uint64_t magic;          /* const; statfs f_type */
    dev_t dev;               /* const; st_dev */
    uint64_t max_bytes;      /* const after mount; a file's largest size; 0: 2^63 - 1 */
    bool read_only;          /* atomic */
    bool no_dcache_negative; /* const: names may appear behind our back (proc, shared binds) */
    bool revalidate;         /* const: ask d_revalidate on every dcache hit */
    bool fixed_names;        /* const: a name that is not there is ENOENT to its maker too (proc) */
    bool has_handles;        /* const: handle.c may be asked for its files */
    bool own_attrs;          /* const: ACLs, FS_*_FL and file capabilities are ours to keep */
    struct lock rename_lock; /* LR_RENAME */
    struct dentry *root;     /* const after init; counted */
    uint64_t next_ino;       /* atomic; for filesystems that number by counting */
    uint32_t active;         /* atomic; mounts; the last one lets go of root, which ends the cycle */
    uint64_t changes;        /* atomic; name changes begun; guards prefetched names (dcache.c) */
    uint32_t changing;       /* atomic; name changes under way */
    struct fan_mark *fan_marks; /* lock: fanotify's, atomic to see if there is one */
    void *priv;              /* the filesystem's own */
};
struct superblock *superblock_new(const struct super_ops *ops, const char *type_name,
                                  uint64_t magic);
dev_t superblock_dev_new(void); /* a further anonymous device number */
void superblock_get(struct superblock *sb);
void superblock_put(struct superblock *sb);
/* Use it as a mount does, with its root: the last unhold lets the whole tree go. */
void superblock_hold(struct superblock *sb);
void superblock_unhold(struct superblock *sb);

struct kstat { /* what stat, statx and fstatat are made from */
    dev_t dev, rdev;
    uint64_t ino, size, blocks, blksize;
    uint32_t mode, nlink, uid, gid;
    struct timespec atime, mtime, ctime, btime;
    uint64_t attributes, attributes_mask, mnt_id;
};

enum { /* iattr.valid */
       IATTR_MODE = 1,
       IATTR_UID = 2,
       IATTR_GID = 4,
       IATTR_SIZE = 8,
       IATTR_ATIME = 16,
       IATTR_MTIME = 32,
       IATTR_CTIME = 64,
       IATTR_TOUCH = 128, /* with times: they are now, so being allowed to write was enough */
       IATTR_CHOWN = 256, /* by chown, also if it changes neither: set-id bits go */
};
struct iattr {
    unsigned valid;
    uint32_t mode, uid, gid;
    uint64_t size;
    struct timespec atime, mtime, ctime;
};

/* Directory entries are handed to the sink; a nonzero answer means "full, stop before this one". */
struct dir_sink {
    int (*emit)(struct dir_sink *s, const char *name, size_t name_len, uint64_t ino,
                unsigned d_type, int64_t next_pos);
};

/* Operations on directories take the directory's dentry child, locked as said. NULL = not supported
 * (EPERM for creation, EINVAL for readlink …). Permissions are never looked at here: namei.c has
 * checked; c only says who owns what is made (inode_init_owner).
 *
 * Locks held by the caller: lookup, create … rename: dir_lock of the directories. setattr: lock of
 * the inode. All others: none. A filesystem looks at d->name and d->name_len, not at d->inode (an
 * overlay may call with a dentry of its own). */
struct inode_ops {
    /* Find name. On success sets *out to a counted inode; -ENOENT makes a negative dentry. dir_lock
     * held. */
    int (*lookup)(struct inode *dir, const char *name, size_t name_len, struct inode **out);
    /* Look up several components at once below dir (gofer: one round trip). May be NULL; purely an
     * optimisation. Fills out[0..n) with counted inodes of the first n names that exist, returns n;
     * *missing: the name after them certainly does not exist. No locks held. */
    int (*lookup_many)(struct inode *dir, const char *path, unsigned max, struct inode **out,
                       bool *missing);
    /* dcache hit on a revalidate superblock: false = drop the dentry and look up again. */
    bool (*revalidate)(struct dentry *d);
    int (*create)(struct inode *dir, struct dentry *d, uint32_t mode, const struct cred *c,
                  struct inode **out);
    int (*mkdir)(struct inode *dir, struct dentry *d, uint32_t mode, const struct cred *c,
                 struct inode **out);
    int (*mknod)(struct inode *dir, struct dentry *d, uint32_t mode, dev_t dev,
                 const struct cred *c, struct inode **out);
    int (*symlink)(struct inode *dir, struct dentry *d, const char *target, const struct cred *c,
                   struct inode **out);
    int (*link)(struct inode *dir, struct dentry *d, struct inode *target);
    int (*unlink)(struct inode *dir, struct dentry *d);
    int (*rmdir)(struct inode *dir, struct dentry *d);
    int (*rename)(struct inode *old_dir, struct dentry *old, struct inode *new_dir,
                  struct dentry *new_d, unsigned flags);
    int (*tmpfile)(struct inode *dir, uint32_t mode, const struct cred *c,
                   struct inode **out); /* O_TMPFILE */
    /* Target into buf; length (not NUL-terminated). */
    int (*readlink)(struct inode *inode, char *buf, size_t size);
    /* Magic links of /proc: jump to a path instead of reading text. Counted path. May be NULL. */
    int (*follow)(struct inode *inode, struct task *t, struct path *out);
    int (*getattr)(struct inode *inode, struct kstat *out); /* NULL: from the inode's fields */
    /* Truncation included. inode->lock held. NULL: inode_setattr_simple, without IATTR_SIZE. */
    int (*setattr)(struct inode *inode, const struct iattr *a);
    int (*permission)(struct inode *inode, unsigned mask,
                      const struct cred *c); /* NULL: mode bits */
    /* Make f->ops and f->priv ready; called for every open but O_PATH. NULL: f->ops =
     * inode->file_ops; without those, fifos and devices go to fifo_open and dev_open. */
    int (*open)(struct inode *inode, struct file *f);
    int64_t (*getxattr)(struct inode *inode, const char *name, void *buf, size_t size);
    int (*setxattr)(struct inode *inode, const char *name, const void *value, size_t size,
                    int flags);
    int64_t (*listxattr)(struct inode *inode, char *buf, size_t size);
    int (*removexattr)(struct inode *inode, const char *name);
    int (*statfs)(struct inode *inode, struct statfs *out); /* NULL: the superblock's */
    /* State beyond the file itself (a watch, flags, an ACL) will hang on this object: see that a
     * later look-up finds the same one. No locks held. NULL: it is so anyway. */
    int (*keep)(struct inode *inode);
};

struct inode {
    struct ref ref;
    struct superblock *sb; /* const; counted */
    const struct inode_ops *ops;
    const struct file_ops *file_ops;            /* default for open */
    uint64_t ino;                               /* const */
    struct lock lock;                           /* LR_INODE */
    struct lock dir_lock;                       /* LR_DIR; directories only: names */
    uint32_t mode;                              /* lock: lock; the S_IFMT part is const */
    uint32_t uid, gid, nlink;                   /* lock: lock */
    dev_t rdev;                                 /* const */
    uint64_t size;                              /* lock: lock */
    struct timespec atime, mtime, ctime, btime; /* lock: lock */
    struct mappable *mappable;                  /* const; NULL: cannot be mapped */
    uint32_t write_count; /* atomic; open for writing; (uint32_t)-n: n deniers (running text) →
                             ETXTBSY */
    uint32_t read_count;         /* atomic; regular files opened for reading alone; for leases */
    struct file_locks *locks;    /* lock: LR_FILE_LOCKS; lazily made */
    struct lease *leases;        /* lock: lease.c's, atomic to see if there is one */
    struct fsnotify_marks *marks; /* atomic; lazily made, stays */
    struct acl *acl[2];          /* lock: acl.c's, atomic to see if there is one; ACL_* */
    uint32_t fsflags;            /* atomic; FS_IMMUTABLE_FL, FS_APPEND_FL and their kin */
    bool dead;     /* lock: dir_lock; a removed directory: nothing can be made in it */
    uint8_t fcaps;               /* atomic; FCAPS_*: has it security.capability? */
    uint8_t rw_hint;             /* atomic; F_SET_RW_HINT */
    bool linkable; /* const once opened; O_TMPFILE without O_EXCL: may get a name at nlink 0 */
    void *pipe_or_socket; /* lock: lock; the pipe of an opened fifo, the socket bound here */
    void *priv;
};
struct inode *inode_new(struct superblock *sb, uint32_t mode); /* fields zero, times now, nlink 1 */
void inode_get(struct inode *i);
void inode_put(struct inode *i);
static inline uint32_t inode_type(const struct inode *i)
{
    return i->mode & S_IFMT;
}
/* Bits as access(2): R_OK|W_OK|X_OK for the fs ids of c. 0, -EACCES, -EROFS, -EPERM. */
int inode_permission(struct inode *i, unsigned mask, const struct cred *c);
void inode_touch(struct inode *i, unsigned which /* IATTR_ATIME|MTIME|CTIME */);
int inode_getattr(struct inode *i, struct kstat *out);
/* Store the valid attributes in the inode's fields. inode->lock held. Never fails. */
int inode_setattr_simple(struct inode *i, const struct iattr *a);
/* Owner and mode of something made in dir by c: fs ids, the set-group-id rule. */
void inode_init_owner(struct inode *dir, const struct cred *c, uint32_t *mode, uint32_t *uid,
                      uint32_t *gid);
/* A capability counts for inodes whose owners the caller's user namespace knows. */
bool inode_capable(const struct inode *i, const struct cred *c, int cap);
bool inode_owner_or_capable(struct inode *i, const struct cred *c); /* owner, or CAP_FOWNER */
static inline bool inode_has_flags(const struct inode *i, uint32_t fs_flags /* FS_*_FL */)
{
    return __builtin_expect(__atomic_load_n(&i->fsflags, __ATOMIC_RELAXED) & fs_flags, 0);
}
int inode_keep(struct inode *i); /* inode_ops.keep */
/* A regular file's bytes or owner change: security.capability goes. No locks held from LR_INODE on. */
void inode_kill_fcaps_slow(struct inode *i);
enum { FCAPS_UNKNOWN, FCAPS_NONE, FCAPS_SOME };
static inline void inode_kill_fcaps(struct inode *i)
{
    if (__builtin_expect(i->fcaps != FCAPS_NONE, 0) && i->sb->own_attrs)
        inode_kill_fcaps_slow(i);
}
struct file_caps { /* security.capability, decoded */
    uint64_t permitted, inheritable;
    bool effective;
};
/* For execve: true if i has some that count in the first user namespace. May ask the gofer, once. */
bool inode_file_caps(struct inode *i, struct file_caps *out);
/* FS_IOC_GETFLAGS and its kin (fileattr.c): -ENOTTY if cmd is none of them. */
int64_t fileattr_ioctl(struct task *t, struct file *f, unsigned cmd, uint64_t arg);

/* ---- POSIX ACLs: acl.c; kept in the inode, on superblocks with own_attrs */

enum { ACL_ACCESS, ACL_DEFAULT };
/* 0 or -EACCES as i's access ACL says for somebody who is not the owner; 1: there is none. */
int acl_permission(struct inode *i, unsigned mask, const struct cred *c);
static inline bool acl_has(const struct inode *i, int which)
{
    return __builtin_expect(__atomic_load_n(&i->acl[which], __ATOMIC_RELAXED) != NULL, 0);
}
/* made is new in dir, and nobody else knows it yet: give it what dir's default ACL says. */
void acl_inherit(struct inode *dir, struct inode *made);
void acl_chmod(struct inode *i); /* i's mode has changed; i->lock held */
void acl_free(struct inode *i);  /* i dies */
/* The values of system.posix_acl_access and _default. size 0: only how large. -ENODATA. */
int64_t acl_get_xattr(struct inode *i, int which, void *buf, size_t size);
/* size 0: remove. Permissions are checked here. */
int acl_set_xattr(struct task *t, const struct path *p, struct inode *i, int which,
                  const void *value, size_t size);
/* Writers and deniers of writers (running text) exclude each other: 0 or -ETXTBSY. exec denies, and
 * allows again when the mm goes. */
int inode_write_get(struct inode *i);
void inode_write_put(struct inode *i);
int inode_write_deny(struct inode *i);
void inode_write_allow(struct inode *i);

/* ---- dentries, mounts, paths
 * ---------------------------------------------------------------------- */

struct path {
    struct mount *mnt;
    struct dentry *dentry;
};

struct dentry {
    struct ref ref;
    struct superblock *sb; /* const */
    struct dentry *parent; /* lock: LR_DCACHE; counted; self for a root */
    struct inode *inode;   /* lock: LR_DCACHE for change; counted; NULL = negative */
    char *name;            /* lock: LR_DCACHE; owned, NUL-terminated */
    uint32_t name_len, hash;
    struct dentry *hash_next;      /* lock: LR_DCACHE */
    struct list children;          /* lock: LR_DCACHE */
    struct list_node sibling, lru; /* lock: LR_DCACHE */
    bool hashed;                   /* lock: LR_DCACHE; reachable by lookup; the cache holds a ref */
    bool used;                     /* lock: LR_DCACHE; looked up since the LRU hand passed */
    uint32_t mounted;              /* atomic; number of mounts on it, in any namespace */
    void *priv;                    /* the filesystem's (gofer fid generation) */
    char inline_name[];            /* storage of name until a rename */
};
void dentry_get(struct dentry *d);
void dentry_put(struct dentry *d);
/* Make (or find) the child dentry with this inode (consumed; NULL negative). Counted. NULL: no
 * memory. */
struct dentry *dcache_fill(struct dentry *parent, const char *name, size_t len,
                           struct inode *consumed);
void dcache_drop(struct dentry *d); /* unhash: forget the name */
void dcache_drop_children(struct dentry *d);
/* Forget about count unused dentries, coldest first; how many went. For filesystems whose inodes
 * pin something scarce. No locks from LR_DCACHE on held. */
unsigned dcache_shrink(unsigned count);

void path_get(const struct path *p);
void path_put(struct path *p);
/* Absolute name as seen from root, "(unreachable)…" if outside, " (deleted)" appended if unlinked.
 * Returns the start inside buf, or NULL if too long. */
char *path_name(const struct path *p, const struct path *root, char *buf, size_t size);

struct peer_group; /* propagate.c */
struct mount {
    struct ref ref;
    struct superblock *sb;     /* const; counted */
    struct dentry *root;       /* const; counted */
    struct mount *parent;      /* lock: LR_MOUNT and LR_DCACHE; counted; NULL: a root, detached */
    struct dentry *mountpoint; /* lock: LR_MOUNT and LR_DCACHE; counted */
    struct list children;      /* lock: LR_MOUNT */
    struct list_node sibling;
    struct mount_ns *ns;     /* lock: LR_MOUNT; NULL when detached */
    unsigned flags;          /* atomic; MS_RDONLY NOSUID NODEV NOEXEC NOATIME … */
    uint32_t writers;        /* atomic; files open for writing: they keep it from becoming read-only */
    int id;                  /* const */
    uint64_t unique_id;      /* const; never used again */
    char *source;            /* const; owned; for /proc/mounts */
    struct mount *hash_next; /* lock: LR_DCACHE */
    struct path detached_from; /* counted; what the tree's links held, while being unmounted */
    bool expiry_mark;          /* atomic; umount2(MNT_EXPIRE) was here; any use clears it */
    bool unbindable;           /* lock: LR_MOUNT */
    bool locked;               /* lock: LR_MOUNT; came from above in the tree of user namespaces */
    unsigned locked_flags;     /* lock: LR_MOUNT; those that may not be taken away, likewise */
    struct peer_group *group;  /* lock: LR_MOUNT; NULL: not shared */
    struct peer_group *master; /* lock: LR_MOUNT; NULL: no slave */
    struct list_node peer_node, slave_node; /* lock: LR_MOUNT */
    struct fan_mark *fan_marks;   /* lock: fanotify's, atomic to see if there is one */
};

struct mount_ns {
    struct ns ns;
    struct mount *root; /* lock: LR_MOUNT; counted; NULL: an anonymous one, moved elsewhere */
    unsigned count;     /* lock: LR_MOUNT; of mounts */
    bool anonymous;     /* const; holds what open_tree and fsmount have made, for a descriptor */
};
void mount_get(struct mount *m);
void mount_put(struct mount *m);
/* A mount outside every namespace (kernel use): counted. */
struct mount *mount_new(struct superblock *sb, struct dentry *root, unsigned flags,
                        const char *source);
void mount_ns_get(struct mount_ns *ns);
void mount_ns_put(struct mount_ns *ns);
int mount_ns_new(struct superblock *root_sb, unsigned flags, const char *source,
                 struct mount_ns **out);
int mount_ns_copy(struct mount_ns *src, struct user_ns *owner,
                  struct mount_ns **out); /* CLONE_NEWNS */
/* Move root and cwd of a not yet shared fs_struct to the same places in the copied namespace. */
void mount_ns_remap_fs(struct mount_ns *from, struct mount_ns *to, struct fs_struct *fs);
/* nsfs.c: a counted path, or an open file, that stands for a namespace; its name "net:[4026…]"; the
 * namespace (borrowed) behind an open file, NULL if it is none. */
int nsfs_path(struct ns *ns, struct path *out);
int nsfs_open(struct ns *ns, struct file **out);
int nsfs_name(const struct ns *ns, char *buf, size_t size);
struct ns *nsfs_ns(const struct file *f);
/* Attach sb at an existing path. consumes nothing. */
int mount_attach(struct mount_ns *ns, const struct path *at, struct superblock *sb,
                 struct dentry *root, unsigned flags, const char *source);
/* mount(2), umount2(2), pivot_root(2) for guests: the whole decision. */
int mount_do(struct task *t, const char *source, const char *target, const char *type,
             uint64_t flags, const char *data);
int mount_umount(struct task *t, const char *target, int flags);
int mount_pivot_root(struct task *t, const char *new_root, const char *put_old);
/* mount_api.c: the calls that came after mount(2); the caller may mount. */
int mount_open_tree(struct task *t, const struct path *p, bool clone, bool recursive,
                    struct file **out);
int mount_move(struct task *t, const struct path *from, const struct path *to, bool beneath);
int mount_set_group(struct task *t, const struct path *from, const struct path *to);
int fscontext_open(struct task *t, const char *type, struct file **out);
int fscontext_pick(struct task *t, const struct path *p, struct file **out);
bool fscontext_is(const struct file *f);
/* cmd FSCONFIG_*; key and value as it needs them. The last three want a context's file. */
int fscontext_config(struct task *t, struct file *f, unsigned cmd, const char *key,
                     const char *value);
int fscontext_mount(struct task *t, struct file *f, unsigned flags, struct file **out);
struct mount_change {
    unsigned set, clear, propagation; /* MS_* */
};
unsigned mount_attr_flags(uint64_t attr); /* MOUNT_ATTR_* but for atime, as MS_* */
int mount_attr_change(struct task *t, const struct path *p, bool recursive,
                      const struct mount_change *c);
/* Every mount of ns, for /proc/PID/{mounts,mountinfo}: calls fn in tree order under LR_MOUNT. */
void mount_for_each(struct mount_ns *ns, void (*fn)(struct mount *m, void *arg), void *arg);
/* Filesystem types by name for mount(2). */
struct fs_context;
struct fs_param {
    const char *name; /* NULL ends a table */
    enum { FS_PARAM_FLAG, FS_PARAM_VALUE } kind;
};
struct fs_type {
    const char *name;
    bool nodev;
    bool in_user_ns; /* capabilities in one's own user namespace are enough */
    bool subtypes;
    int (*mount)(struct task *t, struct fs_context *fc); /* fills fc->sb */
    int (*reconfigure)(struct superblock *sb, const char *options); /* NULL: nothing to change */
    const struct fs_param *params;
};
extern const struct fs_type *const g_fs_types[]; /* ends with NULL; shown in /proc/filesystems */
/* By the kernel itself: a new superblock (counted). -ENODEV: no such type. */
int fs_mount_named(const char *type, const char *options, struct superblock **out);
/* MS_SHARED, MS_PRIVATE, MS_SLAVE or MS_UNBINDABLE for m, and with recursive all below it. */
int mount_set_propagation(struct mount *m, unsigned type, bool recursive);

/* ---- walking
 * -------------------------------------------------------------------------------------- */

enum {                     /* walk flags */
       WALK_FOLLOW = 1,    /* follow a symlink in the last component */
       WALK_DIRECTORY = 2, /* result must be a directory */
       WALK_EMPTY = 4,     /* AT_EMPTY_PATH: "" means the start itself */
       WALK_NO_MAGIC = 8,  /* RESOLVE_NO_MAGICLINKS */
       WALK_NO_SYMLINKS = 16,
       WALK_BENEATH = 32,
       WALK_IN_ROOT = 64,
       WALK_NO_XDEV = 128,
       WALK_CACHED = 256,
};
/* Resolve name relative to dirfd (AT_FDCWD, or a descriptor) for task t. name is kernel memory.
 * *out is counted. */
int vfs_walk(struct task *t, int dirfd, const char *name, unsigned flags, struct path *out);
/* Can the directory that holds name be reached? */
int vfs_walk_parent(struct task *t, int dirfd, const char *name);
/* As someone else: access(2) uses the real ids. */
int vfs_walk_as(struct task *t, const struct cred *c, int dirfd, const char *name, unsigned flags,
                struct path *out);
/* Resolve from a given start instead (kernel use). */
/* t may be NULL: at start, with every permission; start is then also the root. */
int vfs_walk_from(struct task *t, const struct path *start, const char *name, unsigned flags,
                  struct path *out);
/* By the kernel itself, with every permission, when a container is set up: what name (relative to
 * start, which is also the root) leads to, made if it is missing; directories above it likewise (0755).
 * *out counted. Symlinks are followed; none leads out of start. */
struct vfs_node {
    uint32_t mode; /* with its type */
    dev_t dev;
    const char *target; /* S_IFLNK */
    uint32_t uid, gid;
};
int vfs_make_node(const struct path *start, const char *name, const struct vfs_node *n,
                  struct path *out);
int vfs_make_mountpoint(const struct path *start, const char *name, bool is_dir, struct path *out);
/* Copy a path string in from the guest: malloc'd; -ENAMETOOLONG, -EFAULT; -ENOENT for "" unless
 * empty_ok. */
int vfs_path_import(struct task *t, struct uaddr ua, bool empty_ok, char **out);

/* The name-level operations behind the *at system calls. */
struct open_how_k {
    uint64_t flags, mode, resolve; /* as openat2(2) */
};
int vfs_open(struct task *t, int dirfd, const char *name, const struct open_how_k *how,
             struct file **out);
int vfs_open_path(struct task *t, const struct path *p, int flags,
                  struct file **out); /* /proc/self/fd/N, exec */
/* For execve: permission to execute instead of to read, regular files on exec mounts only (EACCES);
 * while the file lives, writers are denied (ETXTBSY). flags: AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH. */
int vfs_open_exec(struct task *t, int dirfd, const char *name, int flags, struct file **out);
int vfs_mkdir(struct task *t, int dirfd, const char *name, uint32_t mode);
int vfs_mknod(struct task *t, int dirfd, const char *name, uint32_t mode, dev_t dev);
int vfs_symlink(struct task *t, const char *target, int dirfd, const char *name);
int vfs_link(struct task *t, int olddirfd, const char *old, int newdirfd, const char *new_name,
             int flags);
int vfs_unlink(struct task *t, int dirfd, const char *name, bool dir);
/* flags: a valid set of RENAME_* */
int vfs_rename(struct task *t, int olddirfd, const char *old, int newdirfd, const char *new_name,
               unsigned flags);
int vfs_setattr(struct task *t, const struct path *p,
                struct iattr *a); /* with the permission rules of ch* */
/* The same for an inode that may have no name: p may be empty. */
int vfs_setattr_inode(struct task *t, const struct path *p, struct inode *i, struct iattr *a);
int vfs_stat(const struct path *p, struct kstat *out);
void vfs_fsid(dev_t dev, void *out); /* 8 bytes: statfs's f_fsid, and fanotify's */
/* truncate(2), ftruncate(2) after the permission checks; p (for notification) and f may be NULL. */
int vfs_truncate(struct task *t, const struct path *p, struct inode *inode, struct file *f,
                 uint64_t size);
/* The largest size of a file on sb. */
static inline uint64_t sb_max_bytes(const struct superblock *sb)
{
    return sb->max_bytes ? sb->max_bytes : INT64_MAX;
}
/* Bytes of [pos, pos+size) that RLIMIT_FSIZE (-EFBIG after SIGXFSZ when none) and the filesystem
 * allow. */
int64_t vfs_fsize_limit(struct task *t, struct inode *i, int64_t pos, uint64_t size);
/* May a file grow to this size at once (truncate, fallocate)? 0, or -EFBIG, with SIGXFSZ if it is
 * RLIMIT_FSIZE that forbids it. t may be NULL. */
int vfs_newsize_check(struct task *t, struct inode *i, uint64_t size);
/* Bind a unix socket's name: a S_IFSOCK inode whose pipe_or_socket is obj. */
int vfs_bind_socket(struct task *t, const char *name, uint32_t mode, void *obj, struct path *out);

/* ---- open files
 * ------------------------------------------------------------------------------------ */

struct file_ops {
    /* Read, write at pos. Streams ignore pos. Move what can be moved, advance the uio. Blocking is
     * the callee's: it honours O_NONBLOCK in f->flags and returns -EAGAIN or waits on its own
     * waitq. */
    int64_t (*read)(struct file *f, struct uio *u, int64_t pos);
    int64_t (*write)(struct file *f, struct uio *u, int64_t pos);
    int64_t (*lseek)(struct file *f, int64_t off, int whence); /* NULL: plain size-based seek */
    int (*readdir)(struct file *f, int64_t pos, struct dir_sink *s); /* emits from pos on */
    /* poll(2) bits that hold now. */
    unsigned (*poll)(struct file *f);
    /* The queue woken when they may have changed; NULL: always ready (regular files). */
    struct waitq *(*waitq)(struct file *f);
    int64_t (*ioctl)(struct file *f, struct task *t, unsigned cmd, uint64_t arg);
    /* Agree to be mapped: *m is the mappable, or NULL: as anonymous memory (/dev/zero). No mmap:
     * ENODEV. */
    int (*mmap)(struct file *f, unsigned prot, unsigned flags, struct mappable **m);
    int (*fsync)(struct file *f, bool data_only);
    int (*fallocate)(struct file *f, int mode, int64_t off, int64_t len);
    void (*flush)(struct file *f, struct task *t); /* each close(2) of a descriptor */
    void (*release)(struct file *f);               /* the last reference is gone */
    /* No position: ESPIPE for pread and, unless there is an lseek, for lseek. */
    bool stream;
    bool no_splice_read, no_splice_write; /* not for splice and sendfile, in this direction */
    bool no_fasync; /* no O_ASYNC, although there is a queue */
    bool nowait; /* read and write heed uio.nowait (file_nonblock), or never wait long */
    /* The position is kept elsewhere (a host descriptor shared with other processes): read(2) and
     * write(2) pass pos -1 and do not touch f->pos, lseek is always asked. */
    bool own_pos;
    /* write and fallocate are called with f->inode->lock held, and end (mandatory then) gives the
     * size under it: how regular files get atomic appends. */
    bool inode_locked;
    int64_t (*end)(struct file *f);
    /* Text for /proc/PID/fdinfo/N beyond pos, flags, mnt_id. May be NULL. */
    int (*fdinfo)(struct file *f, char *buf, size_t size);
    /* Name for /proc/PID/fd/N of files without a path: "pipe:[12]", "anon_inode:[eventfd]". NULL:
     * path. */
    int (*fdname)(struct file *f, char *buf, size_t size);
    /* A host descriptor for direct use (sendfile, splice, host poll), or -1. May be NULL. */
    int (*host_fd)(struct file *f);
};

struct file {
    struct ref ref;
    const struct file_ops *ops; /* const after open; NULL for O_PATH */
    struct path path;           /* const; counted; mnt NULL for anonymous files */
    struct inode *inode;        /* const; counted */
    struct inode *data;         /* atomic; borrowed from inode; who holds the bytes (overlays) */
    struct lock lock;           /* LR_FILE */
    unsigned flags;       /* lock: lock to write, atomic to read; O_* without creation flags */
    unsigned mode;        /* const; FMODE_* */
    struct lock pos_lock; /* LR_FILE_POS */
    int64_t pos;          /* lock: pos_lock */
    int async_owner, async_sig;  /* lock: lock; F_SETOWN, F_SETSIG */
    int async_owner_type;        /* lock: lock; F_OWNER_* */
    int async_fd;                /* lock: lock; si_fd of its signals */
    uint32_t async_uid, async_euid; /* lock: lock; who set the owner */
    struct list epoll_items;     /* lock: LR_LEAF of epoll */
    struct waiter *async_waiter; /* lock: lock; FASYNC */
    void *priv;                  /* the opener's */
};
/* Shall this call not wait? */
static inline bool file_nonblock(const struct file *f, const struct uio *u)
{
    return u->nowait || (__atomic_load_n(&f->flags, __ATOMIC_RELAXED) & 04000 /* O_NONBLOCK */);
}
enum {
    FMODE_READ = 1,
    FMODE_WRITE = 2,
    FMODE_PATH = 4,
    FMODE_EXEC = 8,
    FMODE_NONOTIFY = 16,
    FMODE_CREATED = 32,
    FMODE_DETACHED = 64, /* priv is a mount namespace, counted, of its own: mount_api.c */
};

int64_t vfs_file_count(void); /* open file descriptions, for fs.file-nr */
void file_get(struct file *f);
void file_put(struct file *f);
/* An anonymous file on an inode of the shared anonymous superblock (eventfd, epoll, socket…). priv
 * is consumed by release. */
int file_new_anon(const struct file_ops *ops, unsigned flags, void *priv, uint32_t mode,
                  struct file **out);

/* A file on an inode without a name of its own (memfd, O_TMPFILE): path is root of its superblock's
 * kernel mount. inode's reference is consumed on success. */
int file_new_inode(struct inode *inode, unsigned flags, const char *name, struct file **out);
/* O_ASYNC: signals to the owner when the file's queue is woken. on and off are idempotent. */
int fasync_set(struct file *f, bool on);
bool fasync_possible(struct file *f);
void fasync_off(struct file *f);
/* For leases and dnotify: SIGIO, or f's F_SETSIG with code, band and fd, to f's owner, O_ASYNC or
 * not. No locks held. The owner is the caller's process unless F_SETOWN has named one. */
void fasync_tell(struct file *f, int fd, int code, long band);
void fasync_default_owner(struct task *t, struct file *f);
/* What every mmap of a file checks: access modes (EACCES), noexec mounts (EPERM). */
int file_mmap_check(struct file *f, unsigned prot, unsigned flags);
#define F_SEAL_EXEC_K 0x20 /* F_SEAL_EXEC: younger than our libc */
/* relatime and its kin, after a read. */
void file_accessed(struct file *f);
void path_accessed(const struct mount *mnt, struct inode *i); /* the same without a file; a symlink */

/* read(2) and kin with all checks: access mode (EBADF), position, RLIMIT_FSIZE, O_APPEND, inotify.
 */
int64_t vfs_read(struct task *t, struct file *f, struct uio *u);
int64_t vfs_write(struct task *t, struct file *f, struct uio *u);
int64_t vfs_pread(struct task *t, struct file *f, struct uio *u, int64_t pos);
int64_t vfs_write_flags(struct task *t, struct file *f, struct uio *u, unsigned rwf_flags);
int64_t vfs_pwrite(struct task *t, struct file *f, struct uio *u, int64_t pos, unsigned rwf_flags);
int64_t vfs_lseek(struct file *f, int64_t off, int whence);
int64_t vfs_lseek_noop(struct file *f, int64_t off, int whence); /* leads nowhere, and succeeds */
int64_t vfs_lseek_generic(struct file *f, int64_t off, int whence); /* for ops->lseek to fall to */
/* Kernel buffers: the ELF loader, the #! reader. Bytes read. */
int64_t vfs_read_kernel(struct file *f, void *buf, size_t size, int64_t pos);
/* RWF_* flags that f's kind of file cannot honour: -EOPNOTSUPP, -EINVAL. */
int vfs_rwf_check(struct file *f, unsigned rwf);
unsigned vfs_poll(struct file *f); /* POLLIN|POLLOUT|… for files without poll */

/* ---- descriptors, fs_struct
 * ------------------------------------------------------------------------- */

int fdtable_new(struct fdtable **out);
int fdtable_copy(struct fdtable *src, struct fdtable **out); /* fork */
void fdtable_get_ref(struct fdtable *t);
void fdtable_put(struct fdtable *t, struct task *closer); /* the last one closes all */
struct file *fdtable_get(struct fdtable *t, int fd);      /* counted, or NULL: EBADF */
/* As fdtable_get, but NULL for O_PATH files too. */
struct file *fdtable_get_io(struct fdtable *t, int fd);
/* Lowest free fd >= min below the task's RLIMIT_NOFILE: -EMFILE. f's reference is consumed on
 * success. */
int fdtable_install(struct task *t, struct file *f, int min, bool cloexec);
bool fdtable_full(struct task *t); /* would fdtable_install fail? */
/* At start, before the first task: put f at fd (reference consumed on success). */
int fdtable_install_at(struct fdtable *t, int fd, struct file *f);
/* dup2/dup3: close what is there, install f (reference consumed on success). */
int fdtable_replace(struct task *t, int fd, struct file *f, bool cloexec);
int fdtable_close(struct task *t, int fd);
int fdtable_close_range(struct task *t, unsigned first, unsigned last, bool set_cloexec);
void fdtable_close_on_exec(struct fdtable *ft, struct task *t);
int fdtable_flags(struct fdtable *t, int fd, bool *cloexec);
int fdtable_set_flags(struct fdtable *t, int fd, bool cloexec);
/* Least open fd >= from, or -1: for /proc/PID/fd. */
int fdtable_next(struct fdtable *t, int from);

struct fs_struct {
    struct ref ref;
    struct lock lock;      /* LR_FS_STRUCT */
    struct path root, cwd; /* lock: lock; counted */
    uint32_t umask;        /* lock: lock */
};
int fs_struct_new(const struct path *root, const struct path *cwd, uint32_t umask,
                  struct fs_struct **out);
int fs_struct_copy(struct fs_struct *src, struct fs_struct **out);
void fs_struct_get(struct fs_struct *fs);
void fs_struct_put(struct fs_struct *fs);
bool fs_task_is_chrooted(struct task *t); /* its root is not its mount namespace's */
bool fs_struct_is_shared(struct fs_struct *fs); /* with another task, by CLONE_FS */
void fs_struct_set_cwd(struct fs_struct *fs, const struct path *consumed);
void fs_struct_set_root(struct fs_struct *fs, const struct path *consumed);
void fs_struct_root(struct fs_struct *fs, struct path *out); /* counted */
void fs_struct_cwd(struct fs_struct *fs, struct path *out);  /* counted */

/* ---- change notification (inotify), extended attributes, locks
 * ------------------------------------- */

/* Watches in existence. Every hook below is skipped while it is 0. */
extern uint32_t g_fsnotify_watches; /* atomic */
/* IN_* about the inode at p: told to watchers of the inode, and of its parent with its name. */
void fsnotify_path_slow(const struct path *p, uint32_t mask);
/* The same about attributes and truncation: fanotify has no descriptor and no mount for it. */
void fsnotify_change_slow(const struct path *p, uint32_t mask);
/* IN_CREATE, IN_DELETE, IN_MOVED_FROM, IN_MOVED_TO (| IN_ISDIR) of a name in dir; cookie ties the
 * two halves of a move; child: what the name stands or stood for. */
void fsnotify_name_slow(struct dentry *dir, const char *name, uint32_t mask, uint32_t cookie,
                        struct dentry *child);
/* A whole move, for those who want both names in one event. */
void fsnotify_rename_slow(struct dentry *old_dir, const char *old_name, struct dentry *new_dir,
                          struct dentry *child);
/* IN_DELETE_SELF, IN_MOVE_SELF, IN_ATTRIB …: only the inode's own watchers. */
void fsnotify_dentry_slow(struct dentry *d, uint32_t mask);
/* The inode dies with i->marks set: free them, queue IN_IGNORED. */
void fsnotify_inode_gone(struct inode *i);
static inline bool fsnotify_on(void)
{
    return __atomic_load_n(&g_fsnotify_watches, __ATOMIC_RELAXED) != 0;
}
static inline void fsnotify_path(const struct path *p, uint32_t mask)
{
    if (__builtin_expect(fsnotify_on(), 0))
        fsnotify_path_slow(p, mask);
}
static inline void fsnotify_change(const struct path *p, uint32_t mask)
{
    if (__builtin_expect(fsnotify_on(), 0))
        fsnotify_change_slow(p, mask);
}
static inline void fsnotify_name(struct dentry *dir, const char *name, uint32_t mask,
                                 uint32_t cookie, struct dentry *child)
{
    if (__builtin_expect(fsnotify_on(), 0))
        fsnotify_name_slow(dir, name, mask, cookie, child);
}
static inline void fsnotify_dentry(struct dentry *d, uint32_t mask)
{
    if (__builtin_expect(fsnotify_on(), 0))
        fsnotify_dentry_slow(d, mask);
}
/* About an open file, unless fanotify opened it for a listener. */
static inline void fsnotify_file(const struct file *f, uint32_t mask)
{
    if (__builtin_expect(fsnotify_on(), 0) && f->path.dentry && !(f->mode & FMODE_NONOTIFY))
        fsnotify_path_slow(&f->path, mask);
}
/* fanotify's permission events, FAN_OPEN_PERM and its kin: 0, or -EPERM as a listener decided, or
 * -ERESTARTSYS if a fatal signal came first. No locks held but LR_FILE_POS. */
int fanotify_permission_slow(struct task *t, const struct path *p, uint64_t mask);
extern uint32_t g_fanotify_perm_marks; /* atomic */
static inline int fanotify_permission(struct task *t, const struct path *p, uint64_t mask)
{
    if (__builtin_expect(!__atomic_load_n(&g_fanotify_perm_marks, __ATOMIC_RELAXED), 1) || !t)
        return 0;
    return fanotify_permission_slow(t, p, mask);
}
/* A mount or a superblock goes: its marks go. */
void fanotify_object_gone(struct fan_mark **marks);
/* fanotify_init(2), and fanotify_mark(2) after the descriptor was looked up: dirfd and name (NULL:
 * dirfd itself) are the caller's. */
int fanotify_new(struct task *t, unsigned flags, unsigned event_flags, struct file **out);
int fanotify_mark(struct task *t, struct file *f, unsigned flags, uint64_t mask, int dirfd,
                  struct uaddr name);
int dnotify_set(struct task *t, struct file *f, int fd, uint32_t mask); /* F_NOTIFY */
void dnotify_close(struct file *f, const void *owner); /* a descriptor of table owner is closed */

/* f goes away and epoll instances still list it (f->epoll_items is not empty). anon/epoll.c. */
void epoll_file_gone(struct file *f);

/* Locks of a file. owner: the fdtable for POSIX locks, the file for OFD and flock ones. */
struct flock_k { /* absolute, inclusive end */
    int type;    /* F_RDLCK, F_WRLCK, F_UNLCK */
    int64_t start, end;
    int pid; /* -1 for OFD locks */
    const void *owner;
};
int locks_posix_get(struct file *f, struct flock_k *l); /* F_GETLK: l->type F_UNLCK if free */
int locks_posix_set(struct task *t, struct file *f, const struct flock_k *l, bool wait);
int locks_flock(struct task *t, struct file *f, int op);
void locks_release_owner(struct file *f, const void *owner); /* close of a descriptor, of a file */
void locks_free(struct inode *i);
/* /proc/locks: one line each, under the lock. */
void locks_for_each(void (*fn)(struct inode *i, bool flock, bool ofd, const struct flock_k *l,
                               void *arg),
                    void *arg);

/* ---- file handles: handle.c; as struct file_handle */

#define HANDLE_HEAD  8u  /* bytes before f_handle */
#define HANDLE_BYTES 12u /* of f_handle, all of ours */
#define HANDLE_TYPE  1   /* FILEID_INO32_GEN */
struct file_handle_k {
    uint32_t bytes;
    int32_t type;
    uint64_t ino;
    uint32_t generation;
} __attribute__((packed));
bool handle_possible(const struct superblock *sb);
void handle_of(struct inode *i, struct file_handle_k *out);
/* The handle of d's inode, remembered for handle_open. The inode has been kept. -EOPNOTSUPP,
 * -ENOMEM. No locks from LR_LEAF on. */
int handle_make(struct dentry *d, struct file_handle_k *out);
int handle_open(struct superblock *sb, const struct file_handle_k *h, struct dentry **out);
void handle_forget_name(struct dentry *d); /* d's name is being removed */
void handle_forget_superblock(const struct superblock *sb);

/* Leases: lease.c. Of the description f; fd is what signals name. */
int lease_set(struct task *t, struct file *f, int fd, int type); /* F_RDLCK, F_WRLCK, F_UNLCK */
int lease_get(struct file *f);
void lease_file_gone(struct file *f); /* f, whose inode has leases, is being destroyed */
int lease_break_slow(struct task *t, struct inode *i, bool write, bool nonblock);
/* i is about to be opened or truncated: wait until no lease is in the way. -EWOULDBLOCK,
 * -ERESTARTSYS. No locks held. */
static inline int lease_break(struct task *t, struct inode *i, bool write, bool nonblock)
{
    if (__builtin_expect(!__atomic_load_n(&i->leases, __ATOMIC_ACQUIRE), 1) || !t)
        return 0;
    return lease_break_slow(t, i, write, nonblock);
}

/* ---- filesystems and special files, each in its folder
 * ---------------------------------------------- */

int tmpfs_mount(uint64_t max_bytes, uint32_t root_mode, struct superblock **out);
int tmpfs_reconfigure(struct superblock *sb, const char *options);
int tmpfs_mount_options(const char *data, struct superblock **out); /* "size=…,mode=…" of mount(2) */
/* A regular file without a name on a tmpfs (or on the kernel's own, sb NULL): memfd, SysV shm,
 * /dev/zero shared maps. Counted inode, nlink 0. */
int tmpfs_new_file(struct superblock *sb, uint32_t mode, uint32_t uid, uint32_t gid,
                   struct inode **out);
/* F_GET_SEALS, F_ADD_SEALS; -EINVAL if inode is no tmpfs file. memfd: tmpfs_seal_allow first. */
void tmpfs_seal_allow(struct inode *inode);
int tmpfs_seals_get(struct inode *inode);
/* The setattr of its files, for who puts other operations in front of them. */
int tmpfs_setattr(struct inode *inode, const struct iattr *a);
int tmpfs_seals_add(struct inode *inode, unsigned seals);
struct gofer;
/* Export index of a connected gofer; shared: revalidate on every use (two writers see each other).
 */
int goferfs_mount(struct gofer *g, unsigned export_index, bool shared, struct superblock **out);
/* lower: counted by the overlay; upper is an own tmpfs. */
int overlay_mount(struct superblock *lower, struct superblock **out);
int procfs_mount(struct superblock **out);
/* Set /proc/sys/NAME ("kernel.msgmax") from outside. -ENOENT, -EACCES, -EINVAL. */
int procfs_sysctl_set(const char *name, char *value);
int sysfs_mount(struct superblock **out);
int devfs_mount(struct superblock **out); /* a populated /dev, with pts and shm left for mounts */
int devpts_mount(struct superblock **out);
int mqueuefs_mount(struct superblock **out);

int pipe_open(unsigned flags, struct file *out[2]); /* pipe2(2) */
/* Open end of a fifo inode; blocks for the other side as fifo(7) says. */
int fifo_open(struct inode *inode, struct file *f);
/* A device inode's open: dispatch by rdev (chr and blk): ENXIO if unknown. */
int dev_open(struct inode *inode, struct file *f);

/* stdin, stdout, stderr of the launcher: a plain file with shared offset, a pipe, socket, or
 * terminal. */
int hostfile_open(int host_fd, struct file **out);
/* The tty of a hostfile, counted by the file; NULL if it is none. */
struct tty *hostfile_tty(struct file *f);

/* Host descriptors that become ready wake a waitq, through one poller thread. */
struct poller_entry;
int poller_init(void);
int poller_add(int host_fd, unsigned events, struct waitq *wq, struct poller_entry **out);
void poller_rearm(struct poller_entry *e); /* edge consumed: tell me again */
/* Wake the queue once, as soon as one of these epoll(7) events (or an error) holds. Cheap when that
 * is already asked for. Takes LR_POLLER. */
void poller_want(struct poller_entry *e, unsigned events);
void poller_remove(struct poller_entry *e);

void vfs_init(void); /* caches, the anonymous superblock */

/* ---- terminals: fs/devpts/tty.c; a host terminal (hostfile.c) or one end of a pseudo terminal
 * ------------------------------------------------------------------------------------ */

void tty_get(struct tty *tty);
void tty_put(struct tty *tty);
/* Make tty the controlling terminal of session s (which takes a reference), with pgid in its
 * foreground: for the first process. tasks_lock is not held. */
struct session;
void tty_attach(struct tty *tty, struct session *s, int pgid);
/* The leader of s exits: SIGHUP and SIGCONT to the foreground group, and no process of s has a
 * controlling terminal any more. No locks held. */
void tty_session_gone(struct session *s);
/* vhangup(2): the controlling terminal of t, if it has one, is hung up. No locks held. */
void tty_vhangup_of(struct task *t);
/* To the foreground process group, as the keyboard would (SIGINT, SIGTSTP, SIGWINCH, …). */
void tty_signal_foreground(struct tty *tty, int sig);
/* For /proc/PID/stat: tty_nr and tpgid of a session, 0 and -1 without a terminal. tasks_lock held. */
void tty_session_numbers_locked(struct session *s, int *tty_nr, int *tpgid);
/* The first host terminal there is, for /dev/console; counted, NULL if none. */
struct tty *hostfile_console(void);
/* Its name below /dev: "pts/0". */
const char *tty_name(const struct tty *tty);

/* ---- pipes: fs/pipe ---- */

/* F_GETPIPE_SZ, F_SETPIPE_SZ: the size, or -EBADF if f is no pipe, -EBUSY, -EPERM. */
int64_t pipe_size_get(struct file *f);
int64_t pipe_size_set(struct file *f, struct task *t, uint64_t size);
/* Bytes queued, or -EBADF if f is no pipe. */
int64_t pipe_queued(struct file *f);
/* Put bytes that were just read back in front: a splice that its other end did not take. */
int pipe_unread(struct file *f, const void *buf, size_t size);
/* tee(2): copy up to size bytes from in to out without consuming. */
int64_t pipe_tee(struct file *in, struct file *out, uint64_t size, bool nonblock);

/* ---- waiting for files: fs/anon/poll.c, epoll.c ---- */

struct poll_item {
    struct file *file; /* borrowed; NULL: events stay 0 */
    unsigned events;   /* asked for */
    unsigned revents;  /* found */
    bool exact;        /* POLLERR and POLLHUP only if asked for (select) */
};
/* Wait until one item has an event it asked for, or POLLERR or POLLHUP: the number of such items, 0
 * at the deadline (0: do not wait), -EINTR as -ERESTARTNOHAND, -ENOMEM. */
int poll_wait(struct task *t, struct poll_item *items, unsigned count, int64_t deadline);

struct epoll_event;
int epoll_new(unsigned flags, struct file **out);
int epoll_control(struct file *ep, int op, int fd, struct file *f, const struct epoll_event *ev);
/* Up to max events into kernel memory: count, 0 at the deadline, -EINTR, -EINVAL (no epoll). */
int epoll_collect(struct task *t, struct file *ep, struct epoll_event *out, unsigned max,
                  int64_t deadline);

/* ---- files without a name: fs/anon ---- */

int eventfd_new(unsigned initial, unsigned flags, struct file **out);
/* ioctl-free use by others (io completion): add to the counter. -EINVAL: not an eventfd. */
int eventfd_signal(struct file *f, uint64_t n);
int userfaultfd_new(struct task *t, unsigned flags, struct file **out);
/* A fault that mm_fault or uaccess left to a userfaultfd: wait for its answer. 0: try again; else an
 * error of the access. Own thread, no locks. */
int userfault_handle(struct task *t, uint64_t addr, unsigned access, bool in_kernel);
int timerfd_new(int clockid, unsigned flags, struct file **out);
struct itimerspec;
int timerfd_set(struct file *f, int flags, const struct itimerspec *value, struct itimerspec *old);
int timerfd_get(struct file *f, struct itimerspec *out);
int signalfd_new(uint64_t mask, unsigned flags, struct file **out);
int signalfd_set(struct file *f, uint64_t mask); /* -EINVAL: not a signalfd */
int inotify_new(unsigned flags, struct file **out);
int inotify_check(struct file *f, uint32_t mask); /* is f an inotify, and mask one it may have? */
int inotify_add(struct file *f, const struct path *p, uint32_t mask);
int inotify_remove(struct file *f, int wd);
int memfd_secret_new(struct task *t, struct file **out);
int memfd_new(struct task *t, const char *name, unsigned flags, struct file **out);

/* ---- Linux native AIO: fs/anon/aio.c ---- */

struct aio_ctx;
struct iocb;
/* A context for asked requests: -EINVAL, -EAGAIN (fs.aio-max-nr), -ENOMEM. */
int aio_setup(struct mm *mm, unsigned asked, uint64_t *id);
int aio_destroy(struct mm *mm, uint64_t id); /* what waits is cancelled; -EINVAL: no such context */
struct aio_ctx *aio_find(struct mm *mm, uint64_t id); /* counted, or NULL */
void aio_ctx_put(struct aio_ctx *c);
/* Do, or begin, what io says; obj is where it stands in the guest. Errors that a completion tells
 * are not returned. Blocks where the file would. */
int aio_submit(struct task *t, struct aio_ctx *c, const struct iocb *io, uint64_t obj);
int aio_cancel(struct aio_ctx *c, uint64_t obj); /* -EINPROGRESS: done; -EINVAL: does not wait */
/* At least min (fewer at the deadline; 0: do not wait) and at most max completions to the guest:
 * their count, -EINTR, -EFAULT, -EINVAL (the context went away). */
int64_t aio_collect(struct task *t, struct aio_ctx *c, uint64_t min, uint64_t max,
                    struct uaddr events, int64_t deadline);
uint64_t aio_count(void); /* fs.aio-nr */
