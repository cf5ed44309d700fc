/* tmpfs directories: entries in two trees, by name and by age. dir_lock is the caller's. */
#include "base/overflow.h"
#include "fs/tmpfs/tmpfs_priv.h"

#include <dirent.h>
#include <errno.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>

struct name_key {
    const char *name;
    size_t len;
};

static int name_cmp(const char *a, size_t a_len, const char *b, size_t b_len)
{
    int c = memcmp(a, b, MIN(a_len, b_len));
    return c ? c : a_len < b_len ? -1 : a_len > b_len;
}

static int by_name_cmp(const struct tree_node *a, const struct tree_node *b)
{
    const struct tmpfs_entry *x = tree_entry(a, struct tmpfs_entry, by_name);
    const struct tmpfs_entry *y = tree_entry(b, struct tmpfs_entry, by_name);
    return name_cmp(x->name, x->name_len, y->name, y->name_len);
}

static int by_name_key(const void *key, const struct tree_node *n)
{
    const struct name_key *k = key;
    const struct tmpfs_entry *e = tree_entry(n, struct tmpfs_entry, by_name);
    return name_cmp(k->name, k->len, e->name, e->name_len);
}

static int by_pos_cmp(const struct tree_node *a, const struct tree_node *b)
{
    int64_t x = tree_entry(a, struct tmpfs_entry, by_pos)->pos;
    int64_t y = tree_entry(b, struct tmpfs_entry, by_pos)->pos;
    return x < y ? -1 : x > y;
}

static int by_pos_key(const void *key, const struct tree_node *n)
{
    int64_t x = *(const int64_t *)key, y = tree_entry(n, struct tmpfs_entry, by_pos)->pos;
    return x < y ? -1 : x > y;
}

static struct tmpfs_entry *entry_find(struct inode *dir, const char *name, size_t len)
{
    struct name_key k = {name, len};
    struct tree_node *n = tree_find(&tmpfs_of(dir)->by_name, &k, by_name_key);
    return n ? tree_entry(n, struct tmpfs_entry, by_name) : NULL;
}

/* A new entry, not yet in a directory. The inode's reference is taken. */
static struct tmpfs_entry *entry_new(const struct dentry *d, struct inode *inode)
{
    struct tmpfs_entry *e = calloc(1, sizeof(*e) + d->name_len + 1);
    if (!e)
        return NULL;
    memcpy(e->name, d->name, d->name_len);
    e->name_len = d->name_len;
    e->inode = inode;
    inode_get(inode);
    return e;
}

static void dir_changed(struct inode *dir)
{
    LOCK_GUARD(&dir->lock);
    inode_touch(dir, IATTR_MTIME | IATTR_CTIME);
}

static void entry_add(struct inode *dir, struct tmpfs_entry *e)
{
    struct tmpfs_inode *td = tmpfs_of(dir);
    e->pos = td->next_pos++;
    tree_insert(&td->by_name, &e->by_name, by_name_cmp);
    tree_insert(&td->by_pos, &e->by_pos, by_pos_cmp);
    td->entry_count++;
    dir_changed(dir);
}

static void entry_unlink(struct inode *dir, struct tmpfs_entry *e)
{
    struct tmpfs_inode *td = tmpfs_of(dir);
    tree_erase(&td->by_name, &e->by_name);
    tree_erase(&td->by_pos, &e->by_pos);
    td->entry_count--;
    dir_changed(dir);
}

static void nlink_add(struct inode *i, int by)
{
    LOCK_GUARD(&i->lock);
    i->nlink += by;
    inode_touch(i, IATTR_CTIME);
}

/* ---- operations ---- */

static int lookup(struct inode *dir, const char *name, size_t len, struct inode **out)
{
    struct tmpfs_entry *e = entry_find(dir, name, len);
    if (!e)
        return -ENOENT;
    inode_get(e->inode);
    *out = e->inode;
    return 0;
}

/* Enter a fresh inode; its reference is the caller's result on success, put on failure. */
static int enter(struct inode *dir, struct dentry *d, struct inode *inode, struct inode **out)
{
    struct tmpfs_entry *e = entry_new(d, inode);
    if (!e) {
        inode_put(inode);
        return -ENOMEM;
    }
    entry_add(dir, e);
    if (S_ISDIR(inode->mode))
        nlink_add(dir, 1);
    *out = inode;
    return 0;
}

static int make(struct inode *dir, struct dentry *d, uint32_t mode, dev_t dev, const struct cred *c,
                struct inode **out)
{
    uint32_t uid, gid;
    struct inode *inode;
    inode_init_owner(dir, c, &mode, &uid, &gid);
    int r = tmpfs_inode_new(dir->sb, mode, uid, gid, dev, &inode);
    return r ? r : enter(dir, d, inode, out);
}

static int create(struct inode *dir, struct dentry *d, uint32_t mode, const struct cred *c,
                  struct inode **out)
{
    return make(dir, d, (mode & 07777) | S_IFREG, 0, c, out);
}

static int mkdir_op(struct inode *dir, struct dentry *d, uint32_t mode, const struct cred *c,
                    struct inode **out)
{
    return make(dir, d, (mode & 07777) | S_IFDIR, 0, c, out);
}

static int mknod_op(struct inode *dir, struct dentry *d, uint32_t mode, dev_t dev,
                    const struct cred *c, struct inode **out)
{
    return make(dir, d, mode, dev, c, out);
}

static int symlink_op(struct inode *dir, struct dentry *d, const char *target,
                      const struct cred *c, struct inode **out)
{
    struct inode *inode;
    uint32_t mode = S_IFLNK | 0777, uid, gid;
    inode_init_owner(dir, c, &mode, &uid, &gid);
    int r = tmpfs_inode_new(dir->sb, S_IFLNK | 0777, uid, gid, 0, &inode);
    if (r)
        return r;
    struct tmpfs_inode *ti = tmpfs_of(inode);
    ti->target = strdup(target);
    if (!ti->target) {
        inode_put(inode);
        return -ENOMEM;
    }
    inode->size = strlen(target);
    return enter(dir, d, inode, out);
}

static int tmpfile(struct inode *dir, uint32_t mode, const struct cred *c, struct inode **out)
{
    uint32_t uid, gid;
    inode_init_owner(dir, c, &mode, &uid, &gid);
    return tmpfs_new_file(dir->sb, mode, uid, gid, out);
}

static int link_op(struct inode *dir, struct dentry *d, struct inode *target)
{
    struct tmpfs_entry *e = entry_new(d, target);
    if (!e)
        return -ENOMEM;
    entry_add(dir, e);
    nlink_add(target, 1);
    return 0;
}

static void entry_drop(struct inode *dir, struct tmpfs_entry *e)
{
    entry_unlink(dir, e);
    bool is_dir = S_ISDIR(e->inode->mode);
    nlink_add(e->inode, is_dir ? -2 : -1);
    if (is_dir)
        nlink_add(dir, -1);
    inode_put(e->inode); /* the dentry still holds one: nothing is freed under the lock */
    free(e);
}

static int unlink_op(struct inode *dir, struct dentry *d)
{
    struct tmpfs_entry *e = entry_find(dir, d->name, d->name_len);
    if (!e)
        return -ENOENT;
    entry_drop(dir, e);
    return 0;
}

static int rmdir_op(struct inode *dir, struct dentry *d)
{
    struct tmpfs_entry *e = entry_find(dir, d->name, d->name_len);
    if (!e)
        return -ENOENT;
    if (tmpfs_of(e->inode)->entry_count)
        return -ENOTEMPTY;
    entry_drop(dir, e);
    return 0;
}

static int exchange(struct inode *old_dir, struct tmpfs_entry *a, struct inode *new_dir,
                    struct tmpfs_entry *b)
{
    struct inode *tmp = a->inode;
    a->inode = b->inode;
    b->inode = tmp;
    int shift = S_ISDIR(a->inode->mode) - S_ISDIR(b->inode->mode); /* what old_dir gained */
    if (shift && old_dir != new_dir) {
        nlink_add(old_dir, shift);
        nlink_add(new_dir, -shift);
    }
    nlink_add(a->inode, 0);
    nlink_add(b->inode, 0);
    dir_changed(old_dir);
    dir_changed(new_dir);
    return 0;
}

static int rename_op(struct inode *old_dir, struct dentry *old, struct inode *new_dir,
                     struct dentry *new_d, unsigned flags)
{
    struct tmpfs_entry *a = entry_find(old_dir, old->name, old->name_len);
    struct tmpfs_entry *b = entry_find(new_dir, new_d->name, new_d->name_len);
    if (!a || ((flags & RENAME_EXCHANGE) && !b))
        return -ENOENT;
    if (flags & RENAME_EXCHANGE)
        return exchange(old_dir, a, new_dir, b);
    bool is_dir = S_ISDIR(a->inode->mode);
    if (b && S_ISDIR(b->inode->mode) && tmpfs_of(b->inode)->entry_count)
        return -ENOTEMPTY;
    struct tmpfs_entry *moved = entry_new(new_d, a->inode);
    if (!moved)
        return -ENOMEM;
    if (b)
        entry_drop(new_dir, b);
    entry_unlink(old_dir, a);
    inode_put(a->inode);
    free(a);
    entry_add(new_dir, moved);
    if (is_dir && old_dir != new_dir) {
        nlink_add(old_dir, -1);
        nlink_add(new_dir, 1);
    }
    nlink_add(moved->inode, 0); /* ctime */
    return 0;
}

/* ---- reading ---- */

static struct tmpfs_entry *entry_from(struct tmpfs_inode *td, int64_t pos)
{
    struct tree_node *n = tree_lower_bound(&td->by_pos, &pos, by_pos_key);
    return n ? tree_entry(n, struct tmpfs_entry, by_pos) : NULL;
}

static uint64_t parent_ino(struct file *f)
{
    if (!f->path.dentry)
        return f->inode->ino;
    struct dentry *parent = dentry_parent_get(f->path.dentry);
    uint64_t ino = parent->inode ? parent->inode->ino : f->inode->ino;
    dentry_put(parent);
    return ino;
}

static int readdir_op(struct file *f, int64_t pos, struct dir_sink *s)
{
    struct inode *dir = f->data;
    struct tmpfs_inode *td = tmpfs_of(dir);
    if (pos < 1 && s->emit(s, ".", 1, dir->ino, DT_DIR, 1))
        return 0;
    if (pos < 2 && s->emit(s, "..", 2, parent_ino(f), DT_DIR, 2))
        return 0;
    lock_acquire_nested(&dir->dir_lock); /* an overlay above may hold its own */
    struct tmpfs_entry *e = entry_from(td, MAX(pos, 3));
    while (e && !s->emit(s, e->name, e->name_len, e->inode->ino, IFTODT(e->inode->mode),
                         e->pos + 1)) {
        struct tree_node *n = tree_next(&e->by_pos);
        e = n ? tree_entry(n, struct tmpfs_entry, by_pos) : NULL;
    }
    lock_release(&dir->dir_lock);
    file_accessed(f);
    return 0;
}

/* ---- the end ---- */

/* Freeing a deep tree must not recurse: the outermost call on this thread drains the list. */
void tmpfs_dir_free(struct tmpfs_inode *td)
{
    static __thread struct list *t_pending;
    struct list mine = LIST_INIT(mine);
    struct list *pending = t_pending ? t_pending : &mine;
    struct tree_node *n;
    while ((n = td->by_name.root)) {
        struct tmpfs_entry *e = tree_entry(n, struct tmpfs_entry, by_name);
        tree_erase(&td->by_name, n);
        list_push_back(pending, &e->pending);
    }
    if (pending != &mine)
        return;
    t_pending = &mine;
    while (!list_empty(&mine)) {
        struct tmpfs_entry *e = list_first(&mine, struct tmpfs_entry, pending);
        list_del(&e->pending);
        inode_put(e->inode);
        free(e);
    }
    t_pending = NULL;
}

const struct inode_ops g_tmpfs_dir_ops = {
    .lookup = lookup,
    .create = create,
    .mkdir = mkdir_op,
    .mknod = mknod_op,
    .symlink = symlink_op,
    .link = link_op,
    .unlink = unlink_op,
    .rmdir = rmdir_op,
    .rename = rename_op,
    .tmpfile = tmpfile,
    .setattr = tmpfs_setattr,
    .getattr = tmpfs_getattr,
    .getxattr = tmpfs_getxattr,
    .setxattr = tmpfs_setxattr,
    .listxattr = tmpfs_listxattr,
    .removexattr = tmpfs_removexattr,
};

const struct file_ops g_tmpfs_dir_file_ops = {
    .readdir = readdir_op,
};
