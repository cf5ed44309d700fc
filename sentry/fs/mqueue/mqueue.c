/* The mqueue filesystem (mq_overview(7)): the POSIX message queues of the reader's ipc namespace as
 * files, to list, stat, read and remove. The queues themselves are ipc/mq.c; nothing is kept here,
 * so every look-up asks anew. */
#include "base/overflow.h"
#include "fs/vfs_priv.h"
#include "ipc/ipc.h"
#include "kernel/kernel.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

#define MQUEUE_MAGIC     0x19800202
#define INO_ROOT         1
#define QUEUE_FILE_SIZE  80
#define QUEUE_NAME_LIMIT 255

static const struct inode_ops g_queue_ops;

static int queue_inode(struct superblock *sb, const struct mq_info *q, struct inode **out)
{
    struct inode *i = inode_new(sb, S_IFREG | q->mode);
    if (!i)
        return -ENOMEM;
    i->ino = INO_ROOT + q->id;
    i->ops = &g_queue_ops;
    i->uid = q->uid;
    i->gid = q->gid;
    i->size = QUEUE_FILE_SIZE;
    *out = i;
    return 0;
}

static int name_copy(const char *name, size_t len, char out[QUEUE_NAME_LIMIT + 1])
{
    if (len > QUEUE_NAME_LIMIT)
        return -ENAMETOOLONG;
    memcpy(out, name, len);
    out[len] = 0;
    return 0;
}

static int dir_lookup(struct inode *dir, const char *name, size_t len, struct inode **out)
{
    char text[QUEUE_NAME_LIMIT + 1];
    struct mq_info q;
    int r = name_copy(name, len, text);
    if (!r)
        r = mq_find(text, &q);
    return r ? r : queue_inode(dir->sb, &q, out);
}

static int dir_create(struct inode *dir, struct dentry *d, uint32_t mode, const struct cred *c,
                      struct inode **out)
{
    struct mq_info q;
    int r = mq_make(task_current(), d->name, mode & 0777);
    if (!r)
        r = mq_find(d->name, &q);
    return r ? r : queue_inode(dir->sb, &q, out);
}

static int dir_unlink(struct inode *dir, struct dentry *d)
{
    return (int)mq_do_unlink(task_current(), d->name);
}

static int dir_readdir(struct file *f, int64_t pos, struct dir_sink *s)
{
    char name[QUEUE_NAME_LIMIT + 1];
    struct mq_info q;
    if (pos == 0 && s->emit(s, ".", 1, INO_ROOT, DT_DIR, 1))
        return 0;
    if (pos <= 1 && s->emit(s, "..", 2, INO_ROOT, DT_DIR, 2))
        return 0;
    for (unsigned i = pos <= 2 ? 0 : pos - 2; mq_at(i, name, &q); i++)
        if (s->emit(s, name, strlen(name), INO_ROOT + q.id, DT_REG, i + 3))
            break;
    return 0;
}

static int queue_open(struct inode *inode, struct file *f)
{
    return mq_open_by_id(inode->ino - INO_ROOT, f);
}

/* A name may go and come again behind our back. */
static bool queue_revalidate(struct dentry *d)
{
    struct mq_info q;
    return d->inode &&
           (S_ISDIR(d->inode->mode) || (!mq_find(d->name, &q) && INO_ROOT + q.id == d->inode->ino));
}

static const struct inode_ops g_dir_ops = {.lookup = dir_lookup,
                                           .create = dir_create,
                                           .unlink = dir_unlink,
                                           .revalidate = queue_revalidate};
static const struct inode_ops g_queue_ops = {.open = queue_open, .revalidate = queue_revalidate};
static const struct file_ops g_dir_file_ops = {.readdir = dir_readdir};

static int mqueue_statfs(struct superblock *sb, struct statfs *out)
{
    *out = (struct statfs){.f_type = MQUEUE_MAGIC, .f_bsize = 4096, .f_namelen = 255};
    return 0;
}

static const struct super_ops g_super_ops = {.statfs = mqueue_statfs};

int mqueuefs_mount(struct superblock **out)
{
    struct superblock *sb = superblock_new(&g_super_ops, "mqueue", MQUEUE_MAGIC);
    struct inode *root = sb ? inode_new(sb, S_IFDIR | 01777) : NULL;
    if (!root) {
        if (sb)
            superblock_put(sb);
        return -ENOMEM;
    }
    root->ino = INO_ROOT;
    root->nlink = 2;
    root->ops = &g_dir_ops;
    root->file_ops = &g_dir_file_ops;
    sb->no_dcache_negative = true;
    sb->revalidate = true;
    sb->root = dcache_new_root(sb, root);
    *out = sb;
    return 0;
}
