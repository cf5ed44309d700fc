/* Root, working directory and umask of a task, shared with CLONE_FS. */
#include "fs/vfs_priv.h"

#include <errno.h>
#include <stdlib.h>

int fs_struct_new(const struct path *root, const struct path *cwd, uint32_t umask,
                  struct fs_struct **out)
{
    struct fs_struct *fs = calloc(1, sizeof(*fs));
    if (!fs)
        return -ENOMEM;
    ref_init(&fs->ref);
    lock_init(&fs->lock, LR_FS_STRUCT);
    fs->root = *root;
    fs->cwd = *cwd;
    fs->umask = umask;
    path_get(root);
    path_get(cwd);
    *out = fs;
    return 0;
}

int fs_struct_copy(struct fs_struct *src, struct fs_struct **out)
{
    LOCK_GUARD(&src->lock);
    return fs_struct_new(&src->root, &src->cwd, src->umask, out);
}

void fs_struct_get(struct fs_struct *fs)
{
    ref_get(&fs->ref);
}

bool fs_struct_is_shared(struct fs_struct *fs)
{
    return ref_read(&fs->ref) > 1;
}

void fs_struct_put(struct fs_struct *fs)
{
    if (!ref_put(&fs->ref))
        return;
    path_put(&fs->root);
    path_put(&fs->cwd);
    lock_destroy(&fs->lock);
    free(fs);
}

void fs_struct_root(struct fs_struct *fs, struct path *out)
{
    LOCK_GUARD(&fs->lock);
    *out = fs->root;
    path_get(out);
}

void fs_struct_cwd(struct fs_struct *fs, struct path *out)
{
    LOCK_GUARD(&fs->lock);
    *out = fs->cwd;
    path_get(out);
}

/* Consumes p. */
static void swap_in(struct fs_struct *fs, struct path *slot, const struct path *p)
{
    lock_acquire(&fs->lock);
    struct path old = *slot;
    *slot = *p;
    lock_release(&fs->lock);
    path_put(&old);
}

void fs_struct_set_cwd(struct fs_struct *fs, const struct path *consumed)
{
    swap_in(fs, &fs->cwd, consumed);
}

void fs_struct_set_root(struct fs_struct *fs, const struct path *consumed)
{
    swap_in(fs, &fs->root, consumed);
}

bool fs_task_is_chrooted(struct task *t)
{
    struct path root, top;
    fs_struct_root(t->fs, &root);
    lock_acquire(&g_mount_lock);
    lock_acquire(&g_dcache_lock);
    top = (struct path){t->mount_ns->root, t->mount_ns->root->root};
    mount_follow_down_locked(&top);
    lock_release(&g_dcache_lock);
    bool same = root.mnt == top.mnt && root.dentry == top.dentry;
    lock_release(&g_mount_lock);
    path_put(&root);
    return !same;
}
