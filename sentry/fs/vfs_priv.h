/* What the core files of this room share among themselves. */
#pragma once

#include "fs/vfs.h"
#include <sys/mount.h>
#include "kernel/kernel.h"

/* ---- dcache.c: one lock for names, parents, the mount hash ---------------------------------- */

extern struct lock g_dcache_lock; /* LR_DCACHE */

uint32_t dcache_hash(const char *name, size_t len);
/* Borrowed, valid under the lock; NULL: not cached. */
struct dentry *dcache_lookup_locked(struct dentry *parent, const char *name, size_t len,
                                    uint32_t hash);
/* As dcache_fill, but forgets the inode if a name change of the superblock began after `changes`
 * was read: for answers that were asked for without the directory's lock. May return NULL. */
struct dentry *dcache_fill_unless_changed(struct dentry *parent, const char *name, size_t len,
                                          struct inode *consumed, uint64_t changes);
struct dentry *dcache_new_root(struct superblock *sb, struct inode *consumed);
/* A counted dentry that lookup does not find: negative ones of filesystems without negatives,
 * and the names of O_TMPFILE files. */
struct dentry *dcache_new_unhashed(struct dentry *parent, const char *name, size_t len,
                                   struct inode *consumed);
/* A negative dentry becomes positive, and found if its filesystem wants that. */
void dcache_instantiate(struct dentry *d, struct inode *consumed);
/* The name is gone from the filesystem; leaves a negative dentry in its place. */
void dcache_deleted(struct dentry *d);
/* rename: old takes new's parent and name; new is forgotten, or (exchange) takes old's. */
void dcache_move(struct dentry *old, struct dentry *new_d, bool exchange);
/* Is a the same as, or above, d? */
bool dcache_is_ancestor(const struct dentry *a, struct dentry *d);
struct dentry *dentry_parent_get(struct dentry *d);

/* Bracket every change of names of a superblock (create, unlink, rename …). */
void superblock_change_begin(struct superblock *sb);
void superblock_change_end(struct superblock *sb);

/* ---- nsfs.c ---------------------------------------------------------------------------------- */
void nsfs_init(void);
bool nsfs_is(const struct dentry *d);

/* ---- mount.c ---------------------------------------------------------------------------------- */

extern struct lock g_mount_lock; /* LR_MOUNT */

struct mount *mount_at_locked(struct mount *parent, const struct dentry *mountpoint);
/* Follow mounts stacked on *p down; LR_DCACHE held; borrowed in, borrowed out. True if it moved. */
bool mount_follow_down_locked(struct path *p);
void mount_hash_add(struct mount *m, struct mount *parent, struct dentry *mountpoint);
void mount_hash_del(struct mount *m);
#define MS_NOSYMFOLLOW_K 256 /* younger than our libc */
static inline unsigned mount_flags(const struct mount *m)
{
    return m ? __atomic_load_n(&m->flags, __ATOMIC_RELAXED) : 0; /* NULL: the kernel's own */
}
/* Would an unmount of m (children apart) leave users behind? g_mount_lock held. */
bool mount_busy_locked(struct mount *m);
/* Without taking note of the use (MNT_EXPIRE). */
void mount_put_quiet(struct mount *m);
/* A namespace around a detached tree. */
int mount_ns_anonymous(struct mount *consumed, struct user_ns *owner, struct mount_ns **out);
/* Take m and everything below it out of the tree; the tree's references land on doomed. */
void mount_detach_locked(struct mount *m, struct list *doomed);
void mount_put_doomed(struct list *doomed);
/* Copies of mounts: which of the original's ties they have. */
enum mount_copy_mode {
    MOUNT_COPY_SAME,         /* peer of a shared mount, slave of the same master */
    MOUNT_COPY_SLAVE,        /* slave of the original's group */
    MOUNT_COPY_SHARED_SLAVE, /* the same, and shared in a group of its own */
    MOUNT_COPY_DEMOTE,       /* slave if the original is shared, else the same */
};
enum {
    MOUNT_CLONE_ONE,
    MOUNT_CLONE_REC, /* with the mounts below, but for unbindable ones */
    MOUNT_CLONE_ALL, /* with those too */
};
#define MOUNTS_MAX 100000 /* in one namespace; /proc/sys/fs/mount-max */
/* Copy of the tree at m (not attached). */
int mount_clone_locked(struct mount *m, struct dentry *root, int what, enum mount_copy_mode mode,
                       struct mount **out);
/* As graft, but beneath what is mounted at p already. */
void mount_tuck_locked(struct mount *m, const struct path *p);
/* Is p within root (a mount's root or not)? g_mount_lock held. */
bool mount_reachable_locked(const struct path *p, const struct path *root);

#define MOUNT_ATIME_FLAGS (MS_NOATIME | MS_NODIRATIME | MS_RELATIME)
#define MOUNT_GUEST_FLAGS                                                                          \
    (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOSYMFOLLOW_K | MOUNT_ATIME_FLAGS)
/* A file is opened for writing there, until put. -EROFS. mnt may be NULL. */
int mount_writer_get(struct mount *m);
void mount_writer_put(struct mount *m);
bool mount_super_has_writers(struct superblock *sb);

/* Is something mounted at d in the namespace of in? d's name is gone: so is what others have there.
 */
bool mount_is_local(struct mount *in, const struct dentry *d);
void mount_dentry_gone(struct dentry *d);

/* ---- mount_sys.c: what mount(2) shares with its successors ---------------------------------- */
bool mount_may(struct task *t);
bool mount_is_root_of(const struct path *p);
int mount_bind_copy_locked(struct task *t, const struct path *from, bool recursive,
                           struct mount **out);
bool mount_flags_allowed_locked(const struct mount *m, unsigned next);
int mount_flags_set_locked(struct mount *m, unsigned next);
int mount_propagation_locked(struct mount *m, unsigned type, bool recursive);
struct mount *mount_tree_next(struct mount *m, struct mount *root); /* NULL at the end */

/* ---- fs_types.c: a filesystem on its way to a mount ----------------------------------------- */
struct fs_context {
    const struct fs_type *type; /* const */
    struct superblock *sb;      /* held as a mount does; NULL until created */
    enum {
        FS_CONTEXT_PARAMS,
        FS_CONTEXT_CREATED,
        FS_CONTEXT_MOUNTED,
        FS_CONTEXT_RECONFIGURE,
        FS_CONTEXT_FAILED,
    } phase;
    struct lock lock;  /* LR_FILE_POS; of a descriptor's: guards all of this */
    char message[128]; /* for read(2) */
    unsigned sb_flags;          /* MS_* of the superblock */
    char *source, *options;     /* owned; options: "a=1,b", checked names */
};
int fs_context_new(const char *type, struct fs_context **out);
int fs_context_for(struct superblock *sb, struct fs_context **out); /* -EOPNOTSUPP: no such type */
void fs_context_free(struct fs_context *fc);
int fs_context_param(struct fs_context *fc, const char *key, const char *value);
int fs_context_options(struct fs_context *fc, const char *data);
int fs_context_create(struct task *t, struct fs_context *fc);
int fs_context_reconfigure(struct task *t, struct fs_context *fc);

/* ---- propagate.c ----------------------------------------------------------------------------
 * All with g_mount_lock held. */
struct peer_group {
    int id;              /* const */
    struct list members; /* lock: LR_MOUNT; mount.peer_node */
    struct list slaves;  /* lock: LR_MOUNT; mount.slave_node */
};
void prop_private_locked(struct mount *m);
int prop_change_locked(struct mount *m, unsigned type); /* MS_SHARED … MS_UNBINDABLE */
int prop_inherit_locked(struct mount *copy, struct mount *of, enum mount_copy_mode mode);
int prop_share_tree_locked(struct mount *root);
bool prop_has_unbindable_locked(struct mount *root);
bool prop_has_locked_children_locked(struct mount *m, const struct dentry *below);
unsigned prop_tree_size_locked(struct mount *root);
/* source is about to be mounted at to: mount copies wherever that propagates. On failure nothing is
 * mounted, and doomed holds what is to be put. */
int prop_mount_locked(struct mount *source, const struct path *to, struct list *doomed);
/* fn for each mount that an unmount of m propagates to, until it returns false. It must not unmount.
 */
typedef bool prop_fn(struct mount *m, void *arg);
bool prop_each_locked(struct mount *m, prop_fn *fn, void *arg);

void mount_set_ns_locked(struct mount *m, struct mount_ns *ns);
/* Hang m under p, giving it a tree reference; the caller keeps its own. g_mount_lock held. */
void mount_graft_locked(struct mount *m, const struct path *p);
/* -EROFS if nothing may be changed through this path. */
int path_want_write(const struct path *p);

/* ---- namei.c: the walk ------------------------------------------------------------------------ */

enum walk_last { WALK_LAST_NORM, WALK_LAST_DOT, WALK_LAST_DOTDOT, WALK_LAST_ROOT };

struct walk {
    struct task *t;
    const struct cred *cred; /* borrowed */
    unsigned flags;
    unsigned links;   /* followed so far */
    struct path cur;  /* counted */
    struct path root; /* counted once root_known: where ".." stops and "/" begins */
    bool root_known;
    bool scoped;          /* RESOLVE_BENEATH or IN_ROOT */
    uint64_t rename_seq;  /* g_rename_seq at the start, for scoped walks */
    char *buf;            /* owned: rest points into it after a symlink */
    const char *rest;     /* what is still to be walked */
    const char *name;     /* the component at hand */
    unsigned name_len;    /* of name */
    uint32_t name_hash;   /* of name */
    const char *after;    /* behind the component and its slashes */
    enum walk_last last;  /* kind of the last component, after walk_parent */
    bool trailing;        /* slashes follow the last component */
    bool prefetched;      /* since the walk entered this superblock */
};
int walk_init(struct walk *w, struct task *t, int dirfd, const char *name, unsigned flags);
void walk_init_from(struct walk *w, struct task *t, const struct path *start, const char *name,
                    unsigned flags);
void walk_end(struct walk *w);
/* Up to the directory that holds the last component: w->cur, and w->name, w->last, w->trailing. */
int walk_parent(struct walk *w);
/* The dentry of w->name in w->cur: counted, perhaps negative; mounts not followed. dir_lock of the
 * directory is held by the caller if locked. */
int walk_lookup(struct walk *w, bool locked, struct dentry **out);
/* Step to the counted child (consumed), following what is mounted on it. */
int walk_step(struct walk *w, struct dentry *child);
/* The last component is this symlink: continue with its target. */
int walk_follow_last(struct walk *w, struct dentry *link);
/* All of it; *out counted, w done. */
int walk_whole(struct walk *w, struct path *out);

extern uint64_t g_rename_seq; /* atomic; renames of directories finished */

/* ---- attr.c, names ---------------------------------------------------------------------------- */

/* Set-id bits that a chown, a write or a truncation by c takes away. */
uint32_t inode_setid_kill(const struct inode *i, const struct cred *c);
/* The mode of something made in dir: less the umask, unless dir's default ACL speaks instead. */
uint32_t vfs_create_mode(struct task *t, struct inode *dir, uint32_t mode);
/* fs.protected_regular, protected_fifos: may what is there in a sticky dir be opened with O_CREAT? */
int protected_create_check(struct inode *dir, struct inode *i, const struct cred *c);

/* ---- file.c, open.c --------------------------------------------------------------------------- */

/* Count an open of i: -ETXTBSY. */
int file_open_counts_get(struct mount *mnt, struct inode *i, unsigned mode);
/* Undo what opening did to i's write_count or read_count; not for O_PATH. */
void file_open_counts_put(struct mount *mnt, struct inode *i, unsigned mode);
int file_alloc(unsigned flags, struct file **out);
void file_free_unopened(struct file *f);
/* A path, counted, for a file that has none (sockets, eventfds): good for stat, and for opening. */
int file_path_anon(struct file *f, struct path *out);
/* Open what is at p (permission has been checked). On success *out has its references. */
int file_open_path(struct task *t, const struct path *p, unsigned flags, struct file **out);
#define OPEN_NONOTIFY 0x40000000u /* among its flags: nobody is told what is done with the file */
#define OPEN_TO_EXEC  0x80000000u /* it is opened to be executed */

static inline bool inode_is_dir(const struct inode *i)
{
    return S_ISDIR(i->mode);
}
