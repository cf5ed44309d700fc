/* A container's files: its mount namespace, built from the description in the order that runc has:
 * root, mounts, device nodes and links, masked and read-only paths, and last the root's own flags.
 * Nothing of it is visible to anyone until it is complete. */
#include "control/control_priv.h"

#include "base/log.h"
#include "base/overflow.h"
#include "fs/gofer_client.h"
#include "fs/vfs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>

#define MOUNT_FLAGS_KNOWN                                                                          \
    (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_SYNCHRONOUS | MS_NOATIME | MS_NODIRATIME |  \
     MS_RELATIME | MS_STRICTATIME | MS_NOSYMFOLLOW | MS_DIRSYNC)
#define PROPAGATION_TYPES (MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE)
#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256
#endif

struct files {
    const struct container_desc *d;
    struct gofer *g;
    struct mount_ns *ns;
    struct path root;           /* counted */
    struct superblock *devices; /* a /dev of ours to bind from; held; NULL until needed */
};

/* ---- grafting ---- */

static int graft_at(struct files *f, const struct path *at, struct superblock *sb,
                    struct dentry *root, const struct mount_desc *m)
{
    if (S_ISDIR(at->dentry->inode->mode) != S_ISDIR(root->inode->mode))
        return -ENOTDIR;
    unsigned flags = m->flags & MOUNT_FLAGS_KNOWN & ~(unsigned long)MS_STRICTATIME;
    return mount_attach(f->ns, at, sb, root, flags, m->source);
}

/* sb's reference is consumed. */
static int graft(struct files *f, const struct mount_desc *m, struct superblock *sb)
{
    struct path at;
    int r = vfs_make_mountpoint(&f->root, m->dest, S_ISDIR(sb->root->inode->mode), &at);
    if (!r) {
        r = graft_at(f, &at, sb, sb->root, m);
        path_put(&at);
    }
    superblock_put(sb);
    return r;
}

static int bind_path(struct files *f, const struct path *from, const struct path *at,
                     unsigned long flags)
{
    struct mount_desc m = {.flags = flags | from->mnt->flags, .source = from->mnt->source};
    return graft_at(f, at, from->mnt->sb, from->dentry, &m);
}

/* ---- mounts ---- */

static int files_root(struct files *f)
{
    const struct container_desc *d = f->d;
    struct superblock *lower, *sb;
    int err = goferfs_mount(f->g, 0, d->root_shared, &lower);
    if (err)
        return err;
    bool overlay = !strcmp(d->root_mode, "overlay");
    err = overlay ? overlay_mount(lower, &sb) : 0;
    if (!err)
        err = mount_ns_new(overlay ? sb : lower, 0, overlay ? "overlay" : "gofer", &f->ns);
    if (overlay && !err)
        superblock_put(sb);
    superblock_put(lower);
    if (err)
        return err;
    f->root = (struct path){.mnt = f->ns->root, .dentry = f->ns->root->root};
    path_get(&f->root);
    return 0;
}

/* What we do not have a filesystem for is an empty place of that name. */
static int type_mount(const struct mount_desc *m, struct superblock **out)
{
    static const char *const empty[] = {"mqueue", "cgroup", "cgroup2"};
    int err = fs_mount_named(m->type, m->data, out);
    for (size_t i = 0; err == -ENODEV && i < ARRAY_COUNT(empty); i++)
        if (!strcmp(m->type, empty[i]))
            return fs_mount_named("tmpfs", "mode=755", out);
    return err;
}

static int files_mount(struct files *f, const struct mount_desc *m)
{
    struct superblock *sb;
    int err = m->export >= 0 ? goferfs_mount(f->g, m->export, m->options & MOUNT_SHARED_ACCESS, &sb)
                             : type_mount(m, &sb);
    return err ? err : graft(f, m, sb);
}

static const struct mount_desc g_defaults[] = {
    {-1, MS_NOSUID | MS_NODEV | MS_NOEXEC, 0, 0, "proc", "proc", "/proc", ""},
    {-1, MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, 0, 0, "sysfs", "sysfs", "/sys", ""},
    {-1, MS_NOSUID, 0, 0, "devtmpfs", "devtmpfs", "/dev", ""},
    {-1, MS_NOSUID | MS_NOEXEC, 0, 0, "devpts", "devpts", "/dev/pts", ""},
    {-1, MS_NOSUID | MS_NODEV, 0, 0, "tmpfs", "tmpfs", "/dev/shm", "mode=1777"},
};

/* A root without, say, /sys is still a root: what has no place is left out, aloud in the log. */
static int files_default_mounts(struct files *f, struct complaint *why)
{
    for (size_t i = 0; i < ARRAY_COUNT(g_defaults); i++) {
        int err = files_mount(f, &g_defaults[i]);
        if (err == -ENOENT || err == -ENOTDIR)
            log_debug("mount: the root has no %s", g_defaults[i].dest);
        else if (err)
            return complain(why, RF_EXIT_ERROR, "cannot set up %s inside: %s", g_defaults[i].dest,
                            strerror(-err));
    }
    return 0;
}

static void set_propagation(struct mount *m, unsigned long how)
{
    if (how & PROPAGATION_TYPES)
        (void)mount_set_propagation(m, how & PROPAGATION_TYPES, how & MS_REC);
}

static void files_propagation(struct files *f, const struct mount_desc *m)
{
    struct path at;
    if (!m->propagation || vfs_walk_from(NULL, &f->root, m->dest, WALK_FOLLOW, &at))
        return;
    set_propagation(at.mnt, m->propagation);
    path_put(&at);
}

static int files_mounts(struct files *f, struct complaint *why)
{
    if ((f->d->defaults & DEFAULT_MOUNTS) && files_default_mounts(f, why))
        return -1;
    for (unsigned i = 0; i < f->d->mount_count; i++) {
        const struct mount_desc *m = &f->d->mounts[i];
        int err = files_mount(f, m);
        if (err)
            return complain(why, RF_EXIT_ERROR, "cannot mount %s at %s inside: %s",
                            m->export >= 0 ? m->source : m->type, m->dest, strerror(-err));
        files_propagation(f, m);
    }
    return 0;
}

/* ---- devices ---- */

static int devices_of_ours(struct files *f)
{
    if (f->devices)
        return 0;
    int r = devfs_mount(&f->devices);
    if (!r)
        superblock_hold(f->devices);
    return r;
}

/* The node cannot be made where /dev is the host's: one of ours is bound over a file. */
static int bind_device(struct files *f, const struct device_desc *n)
{
    const char *name = strrchr(n->path, '/') + 1;
    struct path from, at;
    int r = devices_of_ours(f);
    if (r)
        return r;
    struct mount *m = mount_new(f->devices, f->devices->root, MS_NOSUID, "devtmpfs");
    if (!m)
        return -ENOMEM;
    struct path root = {m, m->root};
    r = vfs_walk_from(NULL, &root, name, 0, &from);
    if (!r) {
        r = vfs_make_mountpoint(&f->root, n->path, /*is_dir=*/false, &at);
        if (!r) {
            r = bind_path(f, &from, &at, MS_NOSUID);
            path_put(&at);
        }
        path_put(&from);
    }
    mount_put(m);
    return r;
}

static int files_device(struct files *f, const struct device_desc *n)
{
    struct vfs_node v = {.mode = n->mode & 07777, .uid = n->uid, .gid = n->gid};
    v.mode |= n->type == 'b' ? S_IFBLK : n->type == 'p' ? S_IFIFO : S_IFCHR;
    v.dev = n->type == 'p' ? 0 : makedev(n->major_no, n->minor_no);
    struct path at;
    int r = vfs_make_node(&f->root, n->path, &v, &at);
    if (!r)
        path_put(&at);
    return r ? bind_device(f, n) : 0;
}

static const struct device_desc g_devices[] = {
    {'c', 1, 3, 0666, 0, 0, "/dev/null"},    {'c', 1, 5, 0666, 0, 0, "/dev/zero"},
    {'c', 1, 7, 0666, 0, 0, "/dev/full"},    {'c', 1, 8, 0666, 0, 0, "/dev/random"},
    {'c', 1, 9, 0666, 0, 0, "/dev/urandom"}, {'c', 5, 0, 0666, 0, 0, "/dev/tty"},
};

static const struct {
    const char *path, *target;
} g_links[] = {
    {"/dev/fd", "/proc/self/fd"},       {"/dev/stdin", "/proc/self/fd/0"},
    {"/dev/stdout", "/proc/self/fd/1"}, {"/dev/stderr", "/proc/self/fd/2"},
    {"/dev/ptmx", "pts/ptmx"},
};

static void files_link(struct files *f, const char *path, const char *target)
{
    struct vfs_node n = {.mode = S_IFLNK | 0777, .target = target};
    struct path at;
    int r = vfs_make_node(&f->root, path, &n, &at);
    if (r)
        log_debug("link %s: %s", path, strerror(-r));
    else
        path_put(&at);
}

static int files_devices(struct files *f, struct complaint *why)
{
    const struct container_desc *d = f->d;
    bool defaults = d->defaults & DEFAULT_DEVICES;
    unsigned before = defaults ? ARRAY_COUNT(g_devices) : 0;
    for (unsigned i = 0; i < before + d->device_count; i++) {
        const struct device_desc *n = i < before ? &g_devices[i] : &d->devices[i - before];
        int err = files_device(f, n);
        if (err && i >= before)
            return complain(why, RF_EXIT_ERROR, "cannot make the device %s inside: %s", n->path,
                            strerror(-err));
    }
    for (size_t i = 0; defaults && i < ARRAY_COUNT(g_links); i++)
        files_link(f, g_links[i].path, g_links[i].target);
    return 0;
}

/* ---- masked and read-only paths ---- */

static int mask_with(struct files *f, const struct path *at)
{
    struct superblock *sb;
    int r = tmpfs_mount(/*max_bytes=*/4096, 0755, &sb);
    if (r)
        return r;
    struct mount_desc m = {.flags = MS_RDONLY, .source = "tmpfs"};
    r = graft_at(f, at, sb, sb->root, &m);
    superblock_put(sb);
    return r;
}

static int files_mask(struct files *f, const char *path)
{
    struct path at;
    int r = vfs_walk_from(NULL, &f->root, path, WALK_FOLLOW, &at);
    if (r)
        return r == -ENOENT || r == -ENOTDIR ? 0 : r;
    if (S_ISDIR(at.dentry->inode->mode)) {
        r = mask_with(f, &at);
    } else {
        struct device_desc null = {'c', 1, 3, 0666, 0, 0, "/dev/null"};
        r = devices_of_ours(f);
        struct mount *m = r ? NULL : mount_new(f->devices, f->devices->root, 0, "devtmpfs");
        struct path root = {m, m ? m->root : NULL}, from;
        if (!r)
            r = m ? vfs_walk_from(NULL, &root, null.path + 5, 0, &from) : -ENOMEM;
        if (!r) {
            r = bind_path(f, &from, &at, 0);
            path_put(&from);
        }
        if (m)
            mount_put(m);
    }
    path_put(&at);
    return r;
}

static int files_make_readonly(struct files *f, const char *path)
{
    struct path at;
    int r = vfs_walk_from(NULL, &f->root, path, WALK_FOLLOW, &at);
    if (r)
        return r == -ENOENT || r == -ENOTDIR ? 0 : r;
    r = bind_path(f, &at, &at, MS_RDONLY);
    path_put(&at);
    return r;
}

static int files_cover(struct files *f, struct complaint *why)
{
    for (char **p = f->d->readonly; p && *p; p++) {
        int err = files_make_readonly(f, *p);
        if (err)
            return complain(why, RF_EXIT_ERROR, "cannot make %s read-only inside: %s", *p,
                            strerror(-err));
    }
    for (char **p = f->d->masked; p && *p; p++) {
        int err = files_mask(f, *p);
        if (err)
            return complain(why, RF_EXIT_ERROR, "cannot mask %s inside: %s", *p, strerror(-err));
    }
    return 0;
}

/* ---- console ---- */

static int console_bind(struct mount_ns *ns, const char *name)
{
    struct files f = {.ns = ns, .root = {.mnt = ns->root, .dentry = ns->root->root}};
    struct path from, at;
    int r = vfs_walk_from(NULL, &f.root, name, WALK_FOLLOW, &from);
    if (r)
        return r;
    r = vfs_make_mountpoint(&f.root, "/dev/console", /*is_dir=*/false, &at);
    if (!r) {
        r = bind_path(&f, &from, &at, 0);
        path_put(&at);
    }
    path_put(&from);
    return r;
}

void files_console(struct mount_ns *ns, struct tty *tty)
{
    char name[32];
    snprintf(name, sizeof(name), "/dev/%s", tty_name(tty));
    int r = console_bind(ns, name);
    if (r)
        log_debug("/dev/console: %s", strerror(-r));
}

/* ---- all of it ---- */

static int files_cwd(struct files *f, struct complaint *why)
{
    const struct process_desc *p = &f->d->process;
    struct vfs_node n = {.mode = S_IFDIR | 0755};
    struct path at;
    int r = p->make_cwd ? vfs_make_node(&f->root, p->cwd, &n, &at) : -EEXIST;
    if (!r)
        path_put(&at);
    return p->make_cwd && r
               ? complain(why, RF_EXIT_ERROR, "cannot make %s inside: %s", p->cwd, strerror(-r))
               : 0;
}

static void files_finish(struct files *f)
{
    struct mount *root = f->ns->root;
    set_propagation(root, f->d->root_propagation);
    if (f->d->root_readonly || !strcmp(f->d->root_mode, "ro"))
        __atomic_or_fetch(&root->flags, MS_RDONLY, __ATOMIC_RELAXED);
}

int files_make(const struct container_desc *d, struct gofer *g, struct mount_ns **out,
               struct complaint *why)
{
    struct files f = {.d = d, .g = g};
    int err = files_root(&f);
    if (err)
        return complain(why, RF_EXIT_ERROR, "cannot set up the root inside: %s", strerror(-err));
    err = files_mounts(&f, why);
    if (!err)
        err = files_devices(&f, why);
    if (!err)
        err = files_cwd(&f, why);
    if (!err)
        err = files_cover(&f, why);
    if (!err)
        files_finish(&f);
    path_put(&f.root);
    if (f.devices) {
        superblock_unhold(f.devices);
        superblock_put(f.devices);
    }
    if (err)
        mount_ns_put(f.ns);
    else
        *out = f.ns;
    return err;
}
