/* Files that stand for namespaces (/proc/PID/ns, bind mounts of them, ioctl_ns(2)).
 *
 * An inode holds one reference on its namespace and bears its number; two inodes of one namespace
 * are the same file to a guest, because device and number are equal. */
#include "fs/vfs_priv.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NSFS_SUPER_MAGIC 0x6e736673

static struct superblock *g_nsfs;  /* const after vfs_init */
static struct mount *g_nsfs_mount; /* const after vfs_init */

static struct ns *ns_of(const struct inode *i)
{
    return i->priv;
}

static void nsfs_inode_free(struct inode *i)
{
    ns_put(ns_of(i));
}

static int nsfs_statfs(struct superblock *sb, struct statfs *out)
{
    *out = (struct statfs){.f_type = NSFS_SUPER_MAGIC, .f_bsize = 4096, .f_namelen = 255};
    return 0;
}

static const struct super_ops g_super_ops = {.inode_free = nsfs_inode_free, .statfs = nsfs_statfs};

/* A descriptor for a related namespace, or why there is none. */
static int64_t give(struct task *t, struct ns *ns)
{
    struct file *f;
    int r = nsfs_open(ns, &f);
    if (r)
        return r;
    r = fdtable_install(t, f, 0, /*cloexec=*/true);
    if (r < 0)
        file_put(f);
    return r;
}

/* Only what lies at or below the caller's own may be looked at. */
static bool user_visible(struct task *t, const struct user_ns *ns)
{
    for (; ns; ns = ns->ns.owner)
        if (ns == t->cred->user_ns)
            return true;
    return false;
}

static bool parent_visible(struct task *t, struct ns *parent)
{
    if (parent->ops->kind == NS_USER)
        return user_visible(t, container_of(parent, struct user_ns, ns));
    for (struct ns *p = parent; p; p = p->ops->parent(p))
        if (p == &t->process->pid_ns->ns)
            return true;
    return false;
}

static int64_t get_parent(struct task *t, struct ns *ns)
{
    if (!ns->ops->parent)
        return -EINVAL;
    struct ns *parent = ns->ops->parent(ns);
    return parent && parent_visible(t, parent) ? give(t, parent) : -EPERM;
}

static int64_t get_owner(struct task *t, struct ns *ns, uint64_t arg)
{
    if (ns->ops->kind != NS_USER)
        return -EINVAL;
    uint32_t uid = container_of(ns, struct user_ns, ns)->owner_uid;
    return uaccess_write_obj(t->mm, uaddr(arg), &uid) ? -EFAULT : 0;
}

static int64_t nsfs_ioctl(struct file *f, struct task *t, unsigned cmd, uint64_t arg)
{
    struct ns *ns = ns_of(f->inode);
    switch (cmd) {
    case NS_GET_USERNS:
        return ns->owner && user_visible(t, ns->owner) ? give(t, &ns->owner->ns) : -EPERM;
    case NS_GET_PARENT:
        return get_parent(t, ns);
    case NS_GET_NSTYPE:
        return ns->ops->clone_flag;
    case NS_GET_OWNER_UID:
        return get_owner(t, ns, arg);
    default:
        return -ENOTTY;
    }
}

static int nsfs_fdname(struct file *f, char *buf, size_t size)
{
    return nsfs_name(ns_of(f->inode), buf, size);
}

static const struct file_ops g_file_ops = {.ioctl = nsfs_ioctl, .fdname = nsfs_fdname};

static const struct inode_ops g_inode_ops = {0};

int nsfs_name(const struct ns *ns, char *buf, size_t size)
{
    return snprintf(buf, size, "%s:[%lu]", ns->ops->name, (unsigned long)ns->id);
}

int nsfs_path(struct ns *ns, struct path *out)
{
    struct inode *i = inode_new(g_nsfs, S_IFREG | 0444);
    if (!i)
        return -ENOMEM;
    ns_get(ns);
    i->priv = ns;
    i->ino = ns->id;
    i->ops = &g_inode_ops;
    i->file_ops = &g_file_ops;
    struct dentry *d = dcache_new_root(g_nsfs, i);
    if (!d)
        return -ENOMEM;
    mount_get(g_nsfs_mount);
    *out = (struct path){.mnt = g_nsfs_mount, .dentry = d};
    return 0;
}

int nsfs_open(struct ns *ns, struct file **out)
{
    struct path p;
    int r = nsfs_path(ns, &p);
    if (r)
        return r;
    r = file_open_path(task_current(), &p, O_RDONLY, out);
    path_put(&p);
    return r;
}

struct ns *nsfs_ns(const struct file *f)
{
    return f->inode && f->inode->sb == g_nsfs && S_ISREG(f->inode->mode) ? ns_of(f->inode) : NULL;
}

bool nsfs_is(const struct dentry *d)
{
    return d->sb == g_nsfs;
}

void nsfs_init(void)
{
    g_nsfs = superblock_new(&g_super_ops, "nsfs", NSFS_SUPER_MAGIC);
    struct inode *root = g_nsfs ? inode_new(g_nsfs, S_IFDIR | 0700) : NULL;
    bug_on(!root);
    root->ino = 1;
    g_nsfs->root = dcache_new_root(g_nsfs, root);
    bug_on(!g_nsfs->root);
    g_nsfs_mount = mount_new(g_nsfs, g_nsfs->root, 0, "nsfs");
    bug_on(!g_nsfs_mount);
}
