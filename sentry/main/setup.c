/* What the first process sees: its mounts and its standard descriptors. */
#include "main/setup.h"
#include "base/log.h"
#include "fs/vfs.h"
#include "kernel/kernel.h"
#include "main/config.h"

#include <errno.h>
#include <string.h>
#include <sys/mount.h>

static int make_root(const struct config *c, struct gofer *g, struct mount_ns **out)
{
    struct superblock *lower, *sb;
    int err = goferfs_mount(g, 0, /*shared=*/false, &lower);
    if (err)
        return err;
    unsigned flags = !strcmp(c->root_mode, "ro") ? MS_RDONLY : 0;
    bool overlay = !strcmp(c->root_mode, "overlay");
    err = overlay ? overlay_mount(lower, &sb) : 0;
    if (!err)
        err = mount_ns_new(overlay ? sb : lower, flags, overlay ? "overlay" : "gofer", out);
    if (overlay && !err)
        superblock_put(sb);
    superblock_put(lower);
    return err;
}

static int root_path(struct mount_ns *ns, struct path *out)
{
    *out = (struct path){.mnt = ns->root, .dentry = ns->root->root};
    path_get(out);
    return 0;
}

/* Graft sb at an absolute path inside; the place is made where it is missing. consumes sb. */
static int graft(struct mount_ns *ns, const char *where, struct superblock *sb, unsigned flags,
                 const char *source)
{
    struct path root, at;
    int err = root_path(ns, &root);
    if (!err)
        err = vfs_make_mountpoint(&root, where + 1, &at);
    path_put(&root);
    if (!err) {
        err = mount_attach(ns, &at, sb, sb->root, flags, source);
        path_put(&at);
    }
    superblock_put(sb);
    return err;
}

struct pseudo {
    const char *where, *source;
    unsigned flags;
    int (*mount)(struct superblock **out);
};

static int shm_mount(struct superblock **out)
{
    return tmpfs_mount(/*max_bytes=*/0, 01777, out);
}

static const struct pseudo g_pseudo[] = {
    {"/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, procfs_mount},
    {"/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, sysfs_mount},
    {"/dev", "devtmpfs", MS_NOSUID, devfs_mount},
    {"/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, devpts_mount},
    {"/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, shm_mount},
};

/* A root without, say, /sys is still a root: what has no place is left out, aloud in the log. */
static int mount_pseudo(struct mount_ns *ns, const char **what)
{
    for (size_t i = 0; i < sizeof(g_pseudo) / sizeof(g_pseudo[0]); i++) {
        struct superblock *sb;
        *what = g_pseudo[i].where;
        int err = g_pseudo[i].mount(&sb);
        if (!err)
            err = graft(ns, g_pseudo[i].where, sb, g_pseudo[i].flags, g_pseudo[i].source);
        if (err == -ENOENT || err == -ENOTDIR)
            log_debug("mount: the root has no %s", g_pseudo[i].where);
        else if (err)
            return err;
    }
    return 0;
}

static int mount_exports(const struct config *c, struct gofer *g, struct mount_ns *ns,
                         const char **what)
{
    for (unsigned i = 0; i < c->mount_count; i++) {
        struct superblock *sb;
        *what = c->mounts[i].dest;
        int err = goferfs_mount(g, c->mounts[i].export_index, /*shared=*/true, &sb);
        if (!err)
            err = graft(ns, c->mounts[i].dest, sb, c->mounts[i].writable ? 0 : MS_RDONLY,
                        c->mounts[i].dest);
        if (err)
            return err;
    }
    return 0;
}

int setup_mounts(const struct config *c, struct gofer *g, struct mount_ns **out, const char **what)
{
    *what = "the root";
    int err = make_root(c, g, out);
    if (!err)
        err = mount_pseudo(*out, what);
    if (!err)
        err = mount_exports(c, g, *out, what);
    return err;
}

int setup_stdio(const struct config *c, struct fdtable **out, struct tty **tty)
{
    struct fdtable *ft;
    int err = fdtable_new(&ft);
    if (err)
        return err;
    *tty = NULL;
    for (int fd = 0; fd <= 2; fd++) {
        struct file *f;
        if (c->stdio[fd] < 0)
            continue;
        err = hostfile_open(c->stdio[fd], &f);
        if (!err)
            err = fdtable_install_at(ft, fd, f);
        if (err)
            return err;
        if (fd == c->tty)
            *tty = hostfile_tty(f);
    }
    *out = ft;
    return 0;
}
