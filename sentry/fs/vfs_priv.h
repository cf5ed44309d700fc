/* What the core files of this room share among themselves. */
#pragma once

#include "fs/vfs.h"
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
static inline unsigned mount_flags(const struct mount *m)
{
    return m ? __atomic_load_n(&m->flags, __ATOMIC_RELAXED) : 0; /* NULL: the kernel's own */
}
/* Would an unmount of m (children apart) leave users behind? g_mount_lock held. */
bool mount_busy_locked(struct mount *m);
/* Take m and everything below it out of the tree; the tree's references land on doomed. */
void mount_detach_locked(struct mount *m, struct list *doomed);
void mount_put_doomed(struct list *doomed);
/* Copy of the tree at m (not attached); recursive: with the mounts below. */
int mount_clone_locked(struct mount *m, struct dentry *root, bool recursive, struct mount **out);
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
int file_open_counts_get(struct inode *i, unsigned mode);
/* Undo what opening did to i's write_count or read_count; not for O_PATH. */
void file_open_counts_put(struct inode *i, unsigned mode);
int file_alloc(unsigned flags, struct file **out);
void file_free_unopened(struct file *f);
/* A path, counted, for a file that has none (sockets, eventfds): good for stat, and for opening. */
int file_path_anon(struct file *f, struct path *out);
/* Open what is at p (permission has been checked). On success *out has its references. */
int file_open_path(struct task *t, const struct path *p, unsigned flags, struct file **out);

static inline bool inode_is_dir(const struct inode *i)
{
    return S_ISDIR(i->mode);
}
