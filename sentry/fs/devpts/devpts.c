/* /dev/pts: one node for each terminal there is, and ptmx.
 *
 * The table of terminals is the sandbox's; there is one superblock, made on first need, which every
 * mount shows. A node exists while its terminal is in the table. */
#include "base/log.h"
#include "base/overflow.h"
#include "fs/tty_priv.h"
#include "fs/vfs_priv.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#define DEVPTS_SUPER_MAGIC 0x1cd1
#define DEVPTS_MAX         4096u /* kernel.pty.max */
#define PTS_MAJOR          136
#define INO_ROOT           1
#define INO_PTMX           2
#define INO_FIRST          3

static struct lock g_lock = LOCK_INITIALIZER(LR_LEAF);
static struct superblock *g_devpts; /* const after first use; lock: g_lock to make */
static struct {
    struct tty *tty;     /* lock: g_lock; borrowed */
    struct inode *inode; /* lock: g_lock; counted while the tty is registered, made lazily */
} g_table[DEVPTS_MAX];
static unsigned g_table_end; /* lock: g_lock; no tty at or above */

int devpts_register(struct tty *tty)
{
    LOCK_GUARD(&g_lock);
    for (unsigned i = 0; i < DEVPTS_MAX; i++) {
        if (g_table[i].tty)
            continue;
        g_table[i].tty = tty;
        tty->rdev = makedev(PTS_MAJOR, i);
        snprintf(tty->name, sizeof(tty->name), "pts/%u", i);
        g_table_end = MAX(g_table_end, i + 1);
        return 0;
    }
    return -ENOSPC;
}

void devpts_unregister(struct tty *tty)
{
    lock_acquire(&g_lock);
    unsigned i = minor(tty->rdev);
    struct inode *inode = g_table[i].inode;
    g_table[i].tty = NULL;
    g_table[i].inode = NULL;
    lock_release(&g_lock);
    if (inode)
        inode_put(inode);
}

struct tty *devpts_lookup(unsigned index)
{
    LOCK_GUARD(&g_lock);
    struct tty *tty = index < DEVPTS_MAX ? g_table[index].tty : NULL;
    return tty && ref_get_unless_zero(&tty->ref) ? tty : NULL;
}

static bool index_used(unsigned index)
{
    LOCK_GUARD(&g_lock);
    return index < DEVPTS_MAX && g_table[index].tty;
}

/* The least used index >= from, or -1. */
static int index_next(unsigned from)
{
    LOCK_GUARD(&g_lock);
    for (unsigned i = from; i < g_table_end; i++)
        if (g_table[i].tty)
            return i;
    return -1;
}

/* ---- the filesystem ---- */

static const struct inode_ops g_dir_ops;
static const struct inode_ops g_node_ops;
static const struct file_ops g_dir_file_ops;

static int devpts_statfs(struct superblock *sb, struct statfs *out)
{
    *out = (struct statfs){.f_type = DEVPTS_SUPER_MAGIC, .f_bsize = 4096, .f_namelen = 255};
    return 0;
}

static void devpts_show_options(struct superblock *sb, char *buf, size_t size)
{
    snprintf(buf, size, ",gid=5,mode=620,ptmxmode=666");
}

static const struct super_ops g_super_ops = {
    .statfs = devpts_statfs,
    .show_options = devpts_show_options,
};

static struct superblock *make_super(void)
{
    struct superblock *sb = superblock_new(&g_super_ops, "devpts", DEVPTS_SUPER_MAGIC);
    struct inode *root = sb ? inode_new(sb, S_IFDIR | 0755) : NULL;
    if (!root) {
        if (sb)
            superblock_put(sb);
        return NULL;
    }
    root->ino = INO_ROOT;
    root->nlink = 2;
    root->ops = &g_dir_ops;
    root->file_ops = &g_dir_file_ops;
    sb->no_dcache_negative = true;
    sb->revalidate = true;
    sb->root = dcache_new_root(sb, root);
    return sb;
}

/* Counted. */
static struct superblock *devpts_super(void)
{
    struct superblock *made = __atomic_load_n(&g_devpts, __ATOMIC_ACQUIRE) ? NULL : make_super();
    LOCK_GUARD(&g_lock);
    if (!g_devpts)
        __atomic_store_n(&g_devpts, made, __ATOMIC_RELEASE);
    if (g_devpts)
        superblock_get(g_devpts);
    return g_devpts;
}

static struct inode *node_new(struct superblock *sb, uint64_t ino, uint32_t mode, dev_t rdev)
{
    struct inode *i = inode_new(sb, mode);
    if (!i)
        return NULL;
    i->ino = ino;
    i->rdev = rdev;
    i->ops = &g_node_ops;
    return i;
}

static struct inode *tty_inode_new(struct superblock *sb, struct tty *tty)
{
    struct inode *i = node_new(sb, INO_FIRST + minor(tty->rdev), S_IFCHR | 0620, tty->rdev);
    struct task *t = task_current();
    if (i && t)
        i->uid = t->cred->fsuid;
    if (i)
        i->gid = 5; /* tty */
    return i;
}

struct inode *devpts_inode_get(struct tty *tty)
{
    struct superblock *sb = devpts_super();
    struct inode *made = sb ? tty_inode_new(sb, tty) : NULL, *result;
    if (sb)
        superblock_put(sb);
    if (!made)
        return NULL;
    lock_acquire(&g_lock);
    unsigned i = minor(tty->rdev);
    if (!g_table[i].inode && g_table[i].tty == tty) {
        g_table[i].inode = made;
        inode_get(made);
    }
    result = g_table[i].inode ? g_table[i].inode : made;
    if (result != made)
        inode_get(result);
    lock_release(&g_lock);
    if (result != made)
        inode_put(made);
    return result;
}

/* A decimal number without leading zeros, or -1. */
static int parse_index(const char *name, size_t len)
{
    int n = 0;
    if (!len || len > 5 || (name[0] == '0' && len > 1))
        return -1;
    for (size_t i = 0; i < len; i++) {
        if (name[i] < '0' || name[i] > '9')
            return -1;
        n = n * 10 + name[i] - '0';
    }
    return n;
}

static int dir_lookup(struct inode *dir, const char *name, size_t len, struct inode **out)
{
    if (len == 4 && !memcmp(name, "ptmx", 4)) {
        *out = node_new(dir->sb, INO_PTMX, S_IFCHR | 0666, makedev(5, 2));
        return *out ? 0 : -ENOMEM;
    }
    int index = parse_index(name, len);
    struct tty *tty = index < 0 ? NULL : devpts_lookup(index);
    if (!tty)
        return -ENOENT;
    *out = devpts_inode_get(tty);
    tty_put(tty);
    return *out ? 0 : -ENOMEM;
}

static bool node_revalidate(struct dentry *d)
{
    struct inode *i = d->inode;
    if (!i || S_ISDIR(i->mode) || i->ino == INO_PTMX)
        return i != NULL;
    if (!index_used(minor(i->rdev)))
        return false;
    LOCK_GUARD(&g_lock);
    return g_table[minor(i->rdev)].inode == i; /* the number may belong to another by now */
}

static int dir_readdir(struct file *f, int64_t pos, struct dir_sink *s)
{
    char name[16];
    if (pos == 0 && s->emit(s, ".", 1, INO_ROOT, DT_DIR, 1))
        return 0;
    if (pos <= 1 && s->emit(s, "..", 2, INO_ROOT, DT_DIR, 2))
        return 0;
    if (pos <= 2 && s->emit(s, "ptmx", 4, INO_PTMX, DT_CHR, 3))
        return 0;
    for (int i = pos <= 3 ? 0 : pos - 3; (i = index_next(i)) >= 0; i++) {
        int n = snprintf(name, sizeof(name), "%d", i);
        if (s->emit(s, name, n, INO_FIRST + i, DT_CHR, i + 4))
            break;
    }
    return 0;
}

static const struct inode_ops g_dir_ops = {.lookup = dir_lookup, .revalidate = node_revalidate};
static const struct inode_ops g_node_ops = {.open = dev_open, .revalidate = node_revalidate};
static const struct file_ops g_dir_file_ops = {.readdir = dir_readdir};

int devpts_mount(struct superblock **out)
{
    *out = devpts_super();
    return *out ? 0 : -ENOMEM;
}
