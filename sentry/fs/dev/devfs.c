/* /dev: a tmpfs with the usual nodes made in it, so that guests may add their own. */
#include "base/overflow.h"
#include "fs/vfs.h"

#include <errno.h>
#include <string.h>
#include <sys/sysmacros.h>

static const struct dev_node {
    const char *name;
    uint32_t mode;
    unsigned major_no, minor_no;
} g_nodes[] = {
    {"null", S_IFCHR | 0666, 1, 3},    {"zero", S_IFCHR | 0666, 1, 5},
    {"full", S_IFCHR | 0666, 1, 7},    {"random", S_IFCHR | 0666, 1, 8},
    {"urandom", S_IFCHR | 0666, 1, 9}, {"tty", S_IFCHR | 0666, 5, 0},
    {"console", S_IFCHR | 0600, 5, 1}, {"pts", S_IFDIR | 0755, 0, 0},
    {"shm", S_IFDIR | 01777, 0, 0},    {"mqueue", S_IFDIR | 01777, 0, 0},
};

static const struct dev_link {
    const char *name, *target;
} g_links[] = {
    {"fd", "/proc/self/fd"},       {"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"},
    {"stderr", "/proc/self/fd/2"}, {"ptmx", "pts/ptmx"},         {"core", "/proc/kcore"},
};

/* The node is made in the filesystem below the dentry cache, which then forgets the name: the next
 * lookup finds it. */
static int make_node(struct dentry *root, struct dentry *d, const struct dev_node *n)
{
    struct inode *dir = root->inode, *made = NULL;
    int r;
    if (S_ISDIR(n->mode))
        r = dir->ops->mkdir(dir, d, n->mode, NULL, &made);
    else
        r = dir->ops->mknod(dir, d, n->mode, makedev(n->major_no, n->minor_no), NULL, &made);
    if (!r)
        inode_put(made);
    return r;
}

static int make_link(struct dentry *root, struct dentry *d, const char *target)
{
    struct inode *dir = root->inode, *made = NULL;
    int r = dir->ops->symlink(dir, d, target, NULL, &made);
    if (!r)
        inode_put(made);
    return r;
}

static int make_one(struct dentry *root, const char *name, const struct dev_node *n,
                    const char *target)
{
    struct dentry *d = dcache_fill(root, name, strlen(name), NULL);
    if (!d)
        return -ENOMEM;
    lock_acquire(&root->inode->dir_lock);
    int r = n ? make_node(root, d, n) : make_link(root, d, target);
    lock_release(&root->inode->dir_lock);
    dcache_drop(d);
    dentry_put(d);
    return r;
}

int devfs_mount(struct superblock **out)
{
    struct superblock *sb;
    int r = tmpfs_mount(0, 0755, &sb);
    if (r)
        return r;
    for (size_t i = 0; !r && i < ARRAY_COUNT(g_nodes); i++)
        r = make_one(sb->root, g_nodes[i].name, &g_nodes[i], NULL);
    for (size_t i = 0; !r && i < ARRAY_COUNT(g_links); i++)
        r = make_one(sb->root, g_links[i].name, NULL, g_links[i].target);
    if (r)
        superblock_put(sb);
    else
        *out = sb;
    return r;
}
