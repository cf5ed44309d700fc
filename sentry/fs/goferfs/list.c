/* Contents of directories: read whole, kept while nobody changes them (exclusive mode), and held by
 * each open directory as a snapshot, so that what is deleted between two getdents moves nothing. */
#include "base/overflow.h"
#include "fs/goferfs/goferfs_priv.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LIST_MAX_BYTES  (256ul << 20)
#define LISTS_KEPT_BYTES (32ul << 20) /* of all directories; beyond, listings are not kept */
#define PLUS_MAX         8

void goferfs_list_put(struct gofer_list *l)
{
    if (!l || !ref_put(&l->ref))
        return;
    if (l->attrs && !l->attrs_used) /* asked for in vain */
        __atomic_sub_fetch(&l->fs->plus, 2, __ATOMIC_RELAXED);
    __atomic_sub_fetch(&l->fs->list_bytes, l->charged, __ATOMIC_RELAXED);
    free(l->attrs);
    free(l->index);
    free(l->at);
    free(l->data);
    free(l);
}

static bool room_for(void **p, size_t item, size_t used, size_t more, size_t *capacity)
{
    if (used + more <= *capacity)
        return true;
    size_t want = MAX(*capacity * 2, used + more + 16);
    void *bigger = realloc(*p, want * item);
    if (!bigger)
        return false;
    *p = bigger;
    *capacity = want;
    return true;
}

static int list_add(struct gofer_list *l, const struct gofer_dirent *d, bool plus)
{
    const struct goferp_dirent *e = &d->head;
    const char *name = d->name;
    size_t len = strlen(name), size = sizeof(struct gofer_list_entry) + len;
    size_t at_capacity = l->capacity;
    if (l->size + size > LIST_MAX_BYTES)
        return -ENOMEM;
    if (!room_for((void **)&l->data, 1, l->size, size, &l->data_capacity) ||
        !room_for((void **)&l->at, sizeof(*l->at), l->count, 1, &at_capacity))
        return -ENOMEM;
    l->capacity = at_capacity;
    if (plus) {
        if (!room_for((void **)&l->attrs, sizeof(*l->attrs), l->count, 1, &l->attrs_capacity))
            return -ENOMEM;
        l->attrs[l->count] = d->attr;
    }
    struct gofer_list_entry head = {.ino = e->ino, .type = e->type, .name_len = len};
    memcpy(l->data + l->size, &head, sizeof(head));
    memcpy(l->data + l->size + sizeof(head), name, len);
    l->at[l->count++] = l->size;
    l->size += size;
    return 0;
}

static int list_parse(struct gofer_list *l, const void *buf, size_t size, unsigned flags,
                      uint64_t *cursor)
{
    struct gofer_dirent e;
    size_t at = 0;
    int r = 0;
    while (!r && gofer_dirent_next(buf, size, flags, &at, &e)) {
        *cursor = e.head.off;
        if (e.name[0] && !strchr(e.name, '/') && strcmp(e.name, ".") && strcmp(e.name, ".."))
            r = list_add(l, &e, flags & GOFERP_READDIR_PLUS);
    }
    return r;
}

static int list_read(struct gofer_fs *fs, uint64_t fid, struct gofer_list *l)
{
    uint64_t dirfid = GOFERP_NOFID, cursor = 0;
    bool plus = !fs->shared && __atomic_load_n(&fs->plus, __ATOMIC_RELAXED) > 0;
    unsigned flags = plus ? GOFERP_READDIR_PLUS : 0;
    void *buf = malloc(GOFERP_DATA_MAX);
    if (!buf)
        return -ENOMEM;
    int n = gofer_readdir_once(fs->g, fid, flags, buf, GOFERP_DATA_MAX, &dirfid);
    int r = n < 0 ? n : list_parse(l, buf, n, flags, &cursor);
    bool eof = false;
    while (!r && dirfid != GOFERP_NOFID && !eof) {
        n = gofer_readdir(fs->g, dirfid, cursor, flags, buf, GOFERP_DATA_MAX, &eof);
        if (n <= 0)
            r = n;
        else
            r = list_parse(l, buf, n, flags, &cursor);
        if (n == 0)
            break;
    }
    if (dirfid != GOFERP_NOFID)
        gofer_fid_drop(fs->g, dirfid);
    free(buf);
    return r;
}

static bool list_charge(struct gofer_fs *fs, struct gofer_list *l)
{
    l->charged = sizeof(*l) + l->size + l->count * (sizeof(*l->at) * 3) +
                 (l->attrs ? l->count * sizeof(*l->attrs) : 0);
    return __atomic_add_fetch(&fs->list_bytes, l->charged, __ATOMIC_RELAXED) <= LISTS_KEPT_BYTES;
}

/* ---- looking up in a kept listing; the directory's inode->lock held ---- */

static struct gofer_list_entry *entry_of(struct gofer_list *l, uint32_t n)
{
    return (void *)(l->data + l->at[n]);
}

static bool index_build(struct gofer_list *l)
{
    uint32_t size = 16;
    while (size < l->count * 2)
        size *= 2;
    l->index = calloc(size, sizeof(*l->index));
    if (!l->index)
        return false;
    l->index_mask = size - 1;
    for (uint32_t n = 0; n < l->count; n++) {
        struct gofer_list_entry *e = entry_of(l, n);
        uint32_t h = dcache_hash(e->name, e->name_len);
        while (l->index[h & l->index_mask])
            h++;
        l->index[h & l->index_mask] = n + 1;
    }
    return true;
}

/* The entry's number, -1: no such name. */
static int64_t index_find(struct gofer_list *l, const char *name, size_t len)
{
    for (uint32_t h = dcache_hash(name, len);; h++) {
        uint32_t n = l->index[h & l->index_mask];
        if (!n)
            return -1;
        struct gofer_list_entry *e = entry_of(l, n - 1);
        if (e->name_len == len && !memcmp(e->name, name, len))
            return n - 1;
    }
}

static void plus_wanted(struct gofer_fs *fs)
{
    int plus = __atomic_load_n(&fs->plus, __ATOMIC_RELAXED);
    __atomic_store_n(&fs->plus, plus < 0 ? 1 : MIN(plus + 1, PLUS_MAX), __ATOMIC_RELAXED);
}

/* A file with more names may have changed through another one; a symlink's target is not in the
 * attributes. */
static bool attr_good(const struct goferp_attr *a)
{
    return a->mask && (S_ISDIR(a->mode) || (S_ISREG(a->mode) && a->nlink == 1));
}

int goferfs_list_lookup(struct inode *dir, const char *name, size_t len, struct goferp_attr *a)
{
    LOCK_GUARD(&dir->lock);
    struct gofer_list *l = gofer_of(dir)->list;
    if (!l || (!l->index && !index_build(l)))
        return 0;
    int64_t n = index_find(l, name, len);
    if (n < 0)
        return -ENOENT;
    if (!l->attrs)
        plus_wanted(l->fs);
    if (!l->attrs || !attr_good(&l->attrs[n]))
        return 0;
    *a = l->attrs[n];
    l->attrs[n].mask = 0;
    l->attrs_used = true;
    return 1;
}

/* The list as it is now; counted. */
static int list_get(struct inode *dir, struct gofer_list **out)
{
    struct gofer_inode *gi = gofer_of(dir);
    struct gofer_fs *fs = gofer_fs_of(dir);
    lock_acquire(&dir->lock);
    if (gi->list && !fs->shared) {
        ref_get(&gi->list->ref);
        *out = gi->list;
        lock_release(&dir->lock);
        return 0;
    }
    lock_release(&dir->lock);
    struct gofer_list *l = calloc(1, sizeof(*l));
    if (!l)
        return -ENOMEM;
    ref_init(&l->ref);
    l->fs = fs;
    /* No change may slip in between reading and keeping. An overlay above holds its own. */
    lock_acquire_nested(&dir->dir_lock);
    int r = list_read(fs, goferfs_fid(dir), l);
    if (!r && !fs->shared && list_charge(fs, l)) {
        ref_get(&l->ref);
        lock_acquire(&dir->lock);
        struct gofer_list *old = gi->list;
        gi->list = l;
        lock_release(&dir->lock);
        goferfs_list_put(old);
    }
    lock_release(&dir->dir_lock);
    if (r)
        goferfs_list_put(l);
    else
        *out = l;
    return r;
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

static int emit_dots(struct file *f, int64_t pos, struct dir_sink *s)
{
    if (pos < 1 && s->emit(s, ".", 1, f->inode->ino, DT_DIR, 1))
        return 1;
    return pos < 2 && s->emit(s, "..", 2, parent_ino(f), DT_DIR, 2);
}

static int readdir_op(struct file *f, int64_t pos, struct dir_sink *s)
{
    struct gofer_list *l = f->priv; /* pos_lock held */
    if (!l || pos == 0) {
        int r = list_get(f->data, &l);
        if (r)
            return r;
        goferfs_list_put(f->priv);
        f->priv = l;
    }
    if (pos < 0 || emit_dots(f, pos, s))
        return 0;
    for (uint64_t n = MAX(pos, (int64_t)2) - 2; n < l->count; n++) {
        struct gofer_list_entry *e = (void *)(l->data + l->at[n]);
        if (s->emit(s, e->name, e->name_len, e->ino, e->type, n + 3))
            break;
    }
    return 0;
}

static void release_op(struct file *f)
{
    goferfs_list_put(f->priv);
}

static int fsync_op(struct file *f, bool data_only)
{
    struct inode *i = f->data;
    return gofer_fsync(gofer_fs_of(i)->g, goferfs_fid(i), data_only);
}

const struct file_ops g_goferfs_dir_file_ops = {
    .readdir = readdir_op,
    .release = release_op,
    .fsync = fsync_op,
};
