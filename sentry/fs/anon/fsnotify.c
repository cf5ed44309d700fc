/* The hooks of change notification; see fsnotify_priv.h. */
#include "fs/anon/fsnotify_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>

uint32_t g_fsnotify_watches;

struct fsnotify_marks *fsnotify_marks_get(struct inode *i)
{
    struct fsnotify_marks *there = fsnotify_marks_of(i), *fresh;
    if (there)
        return there;
    fresh = malloc(sizeof(*fresh));
    if (!fresh)
        return NULL;
    list_init(&fresh->watches);
    list_init(&fresh->dnotifies);
    fresh->fans = NULL;
    if (__atomic_compare_exchange_n(&i->marks, &there, fresh, /*weak=*/false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE))
        return fresh;
    free(fresh);
    return there;
}

/* Marks keep their inode, so none is left here: only the list heads are freed. */
void fsnotify_inode_gone(struct inode *i)
{
    free(i->marks);
    i->marks = NULL;
}

static void tell_inode(struct inode *i, uint32_t mask)
{
    if (!fsnotify_marks_of(i))
        return;
    inotify_tell(i, mask, 0, NULL, false);
    if (mask & FSN_ISDIR)
        dnotify_tell(i, mask);
}

void fsnotify_dentry_slow(struct dentry *d, uint32_t mask)
{
    struct fsn_event e = {.mask = mask, .child = d};
    if (inode_is_dir(d->inode))
        e.mask |= FSN_ISDIR;
    inotify_tell(d->inode, mask, 0, NULL, false);
    if (__atomic_load_n(&g_fanotify_marks, __ATOMIC_RELAXED))
        fanotify_tell(&e);
}

void fsnotify_name_slow(struct dentry *dir, const char *name, uint32_t mask, uint32_t cookie,
                        struct dentry *child)
{
    struct fsn_event e = {
        .mask = mask, .cookie = cookie, .child = child, .dir = dir, .name = name};
    inotify_tell(dir->inode, mask, cookie, name, false);
    dnotify_tell(dir->inode, mask & ~FSN_ISDIR);
    if (__atomic_load_n(&g_fanotify_marks, __ATOMIC_RELAXED))
        fanotify_tell(&e);
}

void fsnotify_rename_slow(struct dentry *old_dir, const char *old_name, struct dentry *new_dir,
                          struct dentry *child)
{
    struct fsn_event e = {.mask = FSN_RENAME | (inode_is_dir(child->inode) ? FSN_ISDIR : 0),
                          .child = child,
                          .dir = old_dir,
                          .name = old_name,
                          .new_dir = new_dir};
    dnotify_tell(old_dir->inode, FSN_RENAME);
    if (__atomic_load_n(&g_fanotify_marks, __ATOMIC_RELAXED))
        fanotify_tell(&e);
}

/* The name may change under a rename: it is copied under the lock that guards it. */
static void path_event(const struct path *p, uint32_t mask, bool shown)
{
    char name[VFS_NAME_MAX + 1];
    struct dentry *d = p->dentry;
    struct inode *i = d ? d->inode : NULL;
    if (!i || !p->mnt)
        return;
    if (inode_is_dir(i))
        mask |= FSN_ISDIR;
    struct fsn_event e = {
        .mask = mask, .path = shown ? p : NULL, .child = d, .on_child = true};
    struct dentry *parent = dentry_parent_get(d);
    if (parent != d && parent->inode) {
        lock_acquire(&g_dcache_lock);
        snprintf(name, sizeof(name), "%.*s", (int)d->name_len, d->name);
        e.unlinked = !d->hashed;
        lock_release(&g_dcache_lock);
        e.dir = parent;
        e.name = name;
        inotify_tell(parent->inode, mask & ~0x1000u, 0, name, e.unlinked);
        dnotify_tell(parent->inode, mask & ~FSN_ISDIR);
    }
    tell_inode(i, mask & ~0x1000u);
    if (__atomic_load_n(&g_fanotify_marks, __ATOMIC_RELAXED))
        fanotify_tell(&e);
    dentry_put(parent);
}

void fsnotify_path_slow(const struct path *p, uint32_t mask)
{
    path_event(p, mask, /*shown=*/true);
}

void fsnotify_change_slow(const struct path *p, uint32_t mask)
{
    path_event(p, mask, /*shown=*/false);
}
