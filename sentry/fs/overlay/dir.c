/* Overlay directories: entries of our own over the names below. */
#include "base/overflow.h"
#include "fs/overlay/overlay_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>

#define LOWER_POS_BASE (INT64_C(1) << 61) /* positions from here on are in the lower directory */

/* ---- entries
 * ------------------------------------------------------------------------------------------ */

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
    const struct ov_entry *x = tree_entry(a, struct ov_entry, by_name),
                          *y = tree_entry(b, struct ov_entry, by_name);
    return name_cmp(x->name, x->name_len, y->name, y->name_len);
}

static int by_name_key(const void *key, const struct tree_node *n)
{
    const struct name_key *k = key;
    const struct ov_entry *e = tree_entry(n, struct ov_entry, by_name);
    return name_cmp(k->name, k->len, e->name, e->name_len);
}

static int by_pos_cmp(const struct tree_node *a, const struct tree_node *b)
{
    int64_t x = tree_entry(a, struct ov_entry, by_pos)->pos,
            y = tree_entry(b, struct ov_entry, by_pos)->pos;
    return x < y ? -1 : x > y;
}

static int by_pos_key(const void *key, const struct tree_node *n)
{
    int64_t x = *(const int64_t *)key, y = tree_entry(n, struct ov_entry, by_pos)->pos;
    return x < y ? -1 : x > y;
}

static struct ov_entry *find_locked(struct ov_inode *o, const char *name, size_t len)
{
    struct name_key k = {name, len};
    struct tree_node *n = tree_find(&o->by_name, &k, by_name_key);
    return n ? tree_entry(n, struct ov_entry, by_name) : NULL;
}

int ov_entry_get(struct inode *dir, const char *name, size_t len, struct inode **out)
{
    LOCK_GUARD(&ov_sb_of(dir)->names_lock);
    struct ov_entry *e = find_locked(ov_of(dir), name, len);
    if (!e)
        return -ENOENT;
    if (!e->inode)
        return 0;
    inode_get(e->inode);
    *out = e->inode;
    return 1;
}

static struct ov_entry *entry_new(const char *name, size_t len)
{
    struct ov_entry *e = calloc(1, sizeof(*e) + len + 1);
    if (!e)
        return NULL;
    memcpy(e->name, name, len);
    e->name_len = len;
    return e;
}

static void insert_locked(struct ov_inode *o, struct ov_entry *e)
{
    e->pos = o->next_pos++;
    tree_insert(&o->by_name, &e->by_name, by_name_cmp);
    tree_insert(&o->by_pos, &e->by_pos, by_pos_cmp);
}

int ov_entry_set(struct inode *dir, const char *name, size_t len, struct inode *inode)
{
    struct ov_inode *o = ov_of(dir);
    struct ov_entry *fresh = entry_new(name, len);
    struct inode *old = NULL;
    if (!fresh)
        return -ENOMEM;
    if (inode)
        inode_get(inode);
    lock_acquire(&ov_sb_of(dir)->names_lock);
    struct ov_entry *e = find_locked(o, name, len);
    if (!e) {
        e = fresh;
        fresh = NULL;
        insert_locked(o, e);
    }
    old = e->inode;
    e->inode = inode;
    o->entry_count += !!inode - !!old;
    lock_release(&ov_sb_of(dir)->names_lock);
    free(fresh);
    if (old)
        inode_put(old);
    return 0;
}

static void entry_erase(struct inode *dir, const char *name, size_t len)
{
    struct ov_inode *o = ov_of(dir);
    lock_acquire(&ov_sb_of(dir)->names_lock);
    struct ov_entry *e = find_locked(o, name, len);
    if (e) {
        tree_erase(&o->by_name, &e->by_name);
        tree_erase(&o->by_pos, &e->by_pos);
        o->entry_count -= !!e->inode;
    }
    lock_release(&ov_sb_of(dir)->names_lock);
    if (e && e->inode)
        inode_put(e->inode);
    free(e);
}

void ov_entries_free(struct ov_inode *o)
{
    struct tree_node *n;
    while ((n = o->by_name.root)) {
        struct ov_entry *e = tree_entry(n, struct ov_entry, by_name);
        tree_erase(&o->by_name, n);
        if (e->inode)
            inode_put(e->inode);
        free(e);
    }
}

/* ---- lookup
 * ------------------------------------------------------------------------------------------- */

static int lower_lookup(struct inode *dir, const char *name, size_t len, struct inode **out)
{
    struct inode *lower = ov_of(dir)->lower;
    if (!lower)
        return -ENOENT;
    lock_acquire_nested(&lower->dir_lock);
    int err = lower->ops->lookup(lower, name, len, out);
    lock_release(&lower->dir_lock);
    /* The gofer refuses the host's /proc and /sys: as if they were not there, ours can be. */
    if (err == -EACCES && lower == ov_sb_of(dir)->lower_root)
        err = -ENOENT;
    return err;
}

static int lookup_op(struct inode *dir, const char *name, size_t len, struct inode **out)
{
    struct inode *lower;
    int r = ov_entry_get(dir, name, len, out);
    if (r != -ENOENT)
        return r == 1 ? 0 : -ENOENT;
    int err = lower_lookup(dir, name, len, &lower);
    return err ? err : ov_wrap(dir->sb, lower, dir, name, len, out);
}

static size_t next_name(const char **path)
{
    *path += strspn(*path, "/");
    return strcspn(*path, "/");
}

/* Wrap the lower answers for the names of path, each below the one before. */
static int wrap_run(struct inode *dir, const char *path, struct inode **lower, int count,
                    struct inode **out)
{
    int done = 0, err = 0;
    struct inode *home = dir;
    for (; done < count && !err; done++) {
        size_t len = next_name(&path);
        err = ov_wrap(dir->sb, lower[done], home, path, len, &out[done]);
        if (err)
            break;
        home = out[done];
        path += len;
    }
    for (int i = done + 1; err && i < count; i++)
        inode_put(lower[i]);
    return done;
}

/* Our own entries as far as they go; where they end, a clean directory's subtree is all lower. */
static int lookup_many_op(struct inode *dir, const char *path, unsigned max, struct inode **out,
                          bool *missing)
{
    int done = 0;
    struct inode *cur = dir;
    for (; done < (int)max; done++) {
        size_t len = next_name(&path);
        if (!len || !S_ISDIR(cur->mode) ||
            (path[0] == '.' && (len == 1 || (len == 2 && path[1] == '.'))))
            return done;
        int r = ov_entry_get(cur, path, len, &out[done]);
        if (r == 0)
            *missing = true;
        if (r == -ENOENT)
            break;
        if (r <= 0)
            return done;
        cur = out[done];
        path += len;
    }
    struct inode *lower = ov_of(cur)->lower;
    if (done == (int)max || !lower)
        return done;
    if (!lower->ops->lookup_many)
        return done;
    struct inode *found[32];
    unsigned room = MIN(max - done, (unsigned)ARRAY_COUNT(found));
    int n = lower->ops->lookup_many(lower, path, room, found, missing);
    if (n <= 0)
        return done;
    int wrapped = wrap_run(cur, path, found, n, out + done);
    if (wrapped < n)
        *missing = false;
    return done + wrapped;
}

/* ---- making
 * ------------------------------------------------------------------------------------------- */

static void dir_changed(struct inode *dir, int nlink_by)
{
    ov_own_attrs(dir, nlink_by, IATTR_MTIME | IATTR_CTIME);
}

/* Enter a fresh inode: its reference is the caller's result on success, put on failure. */
static int enter(struct inode *dir, struct dentry *d, struct inode *inode, struct inode **out)
{
    int err = ov_pin(dir);
    if (!err)
        err = ov_entry_set(dir, d->name, d->name_len, inode);
    if (err) {
        inode_put(inode);
        return err;
    }
    dir_changed(dir, S_ISDIR(inode->mode) ? 1 : 0);
    *out = inode;
    return 0;
}

static int make(struct inode *dir, struct dentry *d, uint32_t mode, dev_t rdev,
                const struct cred *c, struct inode **out)
{
    struct inode *i;
    int err = ov_make(dir, mode, rdev, c, &i);
    return err ? err : enter(dir, d, i, out);
}

static int create_op(struct inode *dir, struct dentry *d, uint32_t mode, const struct cred *c,
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

static int symlink_op(struct inode *dir, struct dentry *d, const char *target, const struct cred *c,
                      struct inode **out)
{
    struct inode *i;
    int err = ov_make(dir, S_IFLNK | 0777, 0, c, &i);
    if (err)
        return err;
    i->size = strlen(target);
    ov_of(i)->target = strdup(target);
    if (ov_of(i)->target)
        return enter(dir, d, i, out);
    inode_put(i);
    return -ENOMEM;
}

static int tmpfile_op(struct inode *dir, uint32_t mode, const struct cred *c, struct inode **out)
{
    int err = ov_make(dir, (mode & 07777) | S_IFREG, 0, c, out);
    if (!err)
        (*out)->nlink = 0;
    return err;
}

static int link_op(struct inode *dir, struct dentry *d, struct inode *target)
{
    int err = ov_pin(dir);
    if (!err)
        err = ov_pin(target);
    if (!err)
        err = ov_entry_set(dir, d->name, d->name_len, target);
    if (err)
        return err;
    dir_changed(dir, 0);
    ov_own_attrs(target, 1, IATTR_CTIME);
    return 0;
}

/* ---- unmaking
 * ----------------------------------------------------------------------------------------- */

/* Make the name absent: by a whiteout if something below would show, else by having no entry. */
static int name_hide(struct inode *dir, const char *name, size_t len)
{
    struct inode *lower;
    int err = lower_lookup(dir, name, len, &lower);
    if (err == -ENOENT) {
        entry_erase(dir, name, len);
        return 0;
    }
    if (err)
        return err;
    inode_put(lower);
    return ov_entry_set(dir, name, len, NULL);
}

/* The inode has lost a name: it no longer stands for what is below there. */
static void name_lost(struct inode *i, int nlink_by)
{
    struct ov_inode *o = ov_of(i);
    lock_acquire(&ov_sb_of(i)->names_lock);
    struct inode *home = o->home;
    o->home = NULL;
    lock_release(&ov_sb_of(i)->names_lock);
    if (home)
        inode_put(home);
    ov_own_attrs(i, nlink_by, IATTR_CTIME);
}

static int drop(struct inode *dir, struct dentry *d)
{
    struct inode *victim = d->inode;
    bool is_dir = S_ISDIR(victim->mode);
    int err = ov_pin(dir);
    if (!err)
        err = name_hide(dir, d->name, d->name_len);
    if (err)
        return err;
    name_lost(victim, is_dir ? -(int)victim->nlink : -1);
    dir_changed(dir, is_dir ? -1 : 0);
    return 0;
}

struct empty_sink {
    struct dir_sink sink;
    struct inode *dir;
    bool found;
};

static bool name_is_ours(struct inode *dir, const char *name, size_t len)
{
    LOCK_GUARD(&ov_sb_of(dir)->names_lock);
    return find_locked(ov_of(dir), name, len);
}

static bool is_dots(const char *name, size_t len)
{
    return name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.'));
}

static int empty_emit(struct dir_sink *s, const char *name, size_t len, uint64_t ino, unsigned type,
                      int64_t next)
{
    struct empty_sink *e = container_of(s, struct empty_sink, sink);
    if (is_dots(name, len) || name_is_ours(e->dir, name, len))
        return 0;
    e->found = true;
    return 1;
}

static int check_empty(struct inode *dir)
{
    struct ov_inode *o = ov_of(dir);
    struct empty_sink s = {.sink.emit = empty_emit, .dir = dir};
    struct file *f;
    if (o->entry_count)
        return -ENOTEMPTY;
    if (!o->lower)
        return 0;
    int err = ov_open_inode(o->lower, O_RDONLY | O_DIRECTORY, &f);
    if (err)
        return err;
    err = f->ops->readdir(f, 0, &s.sink);
    file_put(f);
    return s.found ? -ENOTEMPTY : err;
}

static int unlink_op(struct inode *dir, struct dentry *d)
{
    return drop(dir, d);
}

static int rmdir_op(struct inode *dir, struct dentry *d)
{
    int err = check_empty(d->inode);
    return err ? err : drop(dir, d);
}

/* ---- rename
 * ------------------------------------------------------------------------------------------- */

static void count_move(struct inode *from, struct inode *to, bool is_dir)
{
    int by = is_dir && from != to;
    dir_changed(from, -by);
    dir_changed(to, by);
}

static int exchange(struct inode *old_dir, struct dentry *old, struct inode *new_dir,
                    struct dentry *new_d)
{
    struct inode *a = old->inode, *b = new_d->inode;
    int err = ov_entry_set(new_dir, new_d->name, new_d->name_len, a);
    if (!err)
        err = ov_entry_set(old_dir, old->name, old->name_len, b);
    if (err)
        return err;
    count_move(old_dir, new_dir, S_ISDIR(a->mode));
    count_move(new_dir, old_dir, S_ISDIR(b->mode));
    ov_own_attrs(a, 0, IATTR_CTIME);
    ov_own_attrs(b, 0, IATTR_CTIME);
    return 0;
}

static int rename_op(struct inode *old_dir, struct dentry *old, struct inode *new_dir,
                     struct dentry *new_d, unsigned flags)
{
    struct inode *moved = old->inode, *victim = new_d->inode;
    int err = ov_pin(old_dir);
    if (!err)
        err = ov_pin(new_dir);
    if (!err)
        err = ov_pin(moved); /* from now on it is held by an entry, wherever that stands */
    if (!err && (flags & RENAME_EXCHANGE))
        err = ov_pin(victim);
    if (err)
        return err;
    if (flags & RENAME_EXCHANGE)
        return exchange(old_dir, old, new_dir, new_d);
    bool victim_dir = victim && S_ISDIR(victim->mode);
    if (victim_dir && (err = check_empty(victim)))
        return err;
    err = ov_entry_set(new_dir, new_d->name, new_d->name_len, moved);
    if (!err)
        err = name_hide(old_dir, old->name, old->name_len);
    if (err)
        return err;
    if (victim) {
        name_lost(victim, victim_dir ? -(int)victim->nlink : -1);
        dir_changed(new_dir, victim_dir ? -1 : 0);
    }
    count_move(old_dir, new_dir, S_ISDIR(moved->mode));
    ov_own_attrs(moved, 0, IATTR_CTIME);
    return 0;
}

/* ---- reading
 * ------------------------------------------------------------------------------------------ */

/* One entry of our own from pos on, copied out so that no lock is held over emit. */
struct own_entry {
    int64_t pos;
    uint64_t ino;
    unsigned type;
    size_t len;
    char name[VFS_NAME_MAX + 1];
};

static bool own_next(struct inode *dir, int64_t pos, struct own_entry *out)
{
    LOCK_GUARD(&ov_sb_of(dir)->names_lock);
    struct tree_node *n = tree_lower_bound(&ov_of(dir)->by_pos, &pos, by_pos_key);
    for (; n; n = tree_next(n)) {
        struct ov_entry *e = tree_entry(n, struct ov_entry, by_pos);
        if (!e->inode)
            continue;
        *out = (struct own_entry){.pos = e->pos,
                                  .ino = e->inode->ino,
                                  .type = IFTODT(e->inode->mode),
                                  .len = e->name_len};
        memcpy(out->name, e->name, e->name_len);
        return true;
    }
    return false;
}

struct merge_sink {
    struct dir_sink sink;
    struct dir_sink *to;
    struct inode *dir;
};

static int merge_emit(struct dir_sink *s, const char *name, size_t len, uint64_t ino, unsigned type,
                      int64_t next)
{
    struct merge_sink *m = container_of(s, struct merge_sink, sink);
    if (is_dots(name, len) || name_is_ours(m->dir, name, len))
        return 0;
    return m->to->emit(m->to, name, len, ino, type, LOWER_POS_BASE + next);
}

static int read_lower(struct file *f, int64_t pos, struct dir_sink *s)
{
    struct merge_sink m = {.sink.emit = merge_emit, .to = s, .dir = f->inode};
    struct file *lower = f->priv;
    if (!lower)
        return 0;
    return lower->ops->readdir(lower, pos < LOWER_POS_BASE ? 0 : pos - LOWER_POS_BASE, &m.sink);
}

static uint64_t parent_ino(struct file *f)
{
    struct dentry *parent = dentry_parent_get(f->path.dentry);
    uint64_t ino = parent->inode ? parent->inode->ino : f->inode->ino;
    dentry_put(parent);
    return ino;
}

static int readdir_op(struct file *f, int64_t pos, struct dir_sink *s)
{
    struct inode *dir = f->inode;
    struct own_entry e;
    file_accessed(f);
    if (pos < 1 && s->emit(s, ".", 1, dir->ino, DT_DIR, 1))
        return 0;
    if (pos < 2 && s->emit(s, "..", 2, parent_ino(f), DT_DIR, 2))
        return 0;
    if (pos < LOWER_POS_BASE)
        for (int64_t at = MAX(pos, 3); own_next(dir, at, &e); at = e.pos + 1)
            if (s->emit(s, e.name, e.len, e.ino, e.type, e.pos + 1))
                return 0;
    return read_lower(f, pos, s);
}

static void dir_release(struct file *f)
{
    if (f->priv)
        file_put(f->priv);
}

static int dir_open(struct inode *dir, struct file *f)
{
    struct file *lower = NULL;
    int err =
        ov_of(dir)->lower ? ov_open_inode(ov_of(dir)->lower, O_RDONLY | O_DIRECTORY, &lower) : 0;
    if (err)
        return err;
    f->ops = &g_ov_dir_file_ops;
    f->priv = lower;
    return 0;
}

const struct file_ops g_ov_dir_file_ops = {.readdir = readdir_op, .release = dir_release};

const struct inode_ops g_ov_dir_ops = {
    .lookup = lookup_op,
    .lookup_many = lookup_many_op,
    .create = create_op,
    .mkdir = mkdir_op,
    .mknod = mknod_op,
    .symlink = symlink_op,
    .link = link_op,
    .unlink = unlink_op,
    .rmdir = rmdir_op,
    .rename = rename_op,
    .tmpfile = tmpfile_op,
    .open = dir_open,
    .getattr = ov_getattr,
    .setattr = ov_setattr,
    .getxattr = ov_getxattr,
    .setxattr = ov_setxattr,
    .listxattr = ov_listxattr,
    .removexattr = ov_removexattr,
    .keep = ov_pin,
};
