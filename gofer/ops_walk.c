/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WALK, and the single step that every look-up is made of.
 *
 * A step opens one checked component with O_PATH|O_NOFOLLOW beneath a descriptor that we hold: no
 * "..", no symlink, no magic link is ever followed, so a rename or a symlink swapped in by another
 * process cannot lead out of the export. Mounts beneath the root are crossed (a host's /usr or
 * /home may be one), but not into kernel filesystems: a sandbox over the host's root must not find
 * the host's /proc or /sys in it.
 */
#include "gofer_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#define STAT_MASK  (STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID)
#define STAT_FLAGS (AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT)

int gofer_stat_fd(int fd, struct statx *st)
{
    return statx(fd, "", STAT_FLAGS | AT_EMPTY_PATH, STAT_MASK, st) < 0 ? -errno : 0;
}

int gofer_stat_name(int dirfd, const char *name, struct statx *st)
{
    return statx(dirfd, name, STAT_FLAGS, STAT_MASK, st) < 0 ? -errno : 0;
}

void gofer_attr_from(const struct statx *st, struct goferp_attr *attr)
{
    *attr = (struct goferp_attr){
        .ino = st->stx_ino,
        .size = st->stx_size,
        .blocks = st->stx_blocks,
        .atime = st->stx_atime.tv_sec,
        .mtime = st->stx_mtime.tv_sec,
        .ctime = st->stx_ctime.tv_sec,
        .btime = st->stx_btime.tv_sec,
        .atime_nsec = st->stx_atime.tv_nsec,
        .mtime_nsec = st->stx_mtime.tv_nsec,
        .ctime_nsec = st->stx_ctime.tv_nsec,
        .btime_nsec = st->stx_btime.tv_nsec,
        .mode = st->stx_mode,
        .nlink = st->stx_nlink,
        .uid = st->stx_uid,
        .gid = st->stx_gid,
        .dev_major = st->stx_dev_major,
        .dev_minor = st->stx_dev_minor,
        .rdev_major = st->stx_rdev_major,
        .rdev_minor = st->stx_rdev_minor,
        .blksize = st->stx_blksize,
        .mask = st->stx_mask,
        .attributes = st->stx_attributes,
        .mnt_id = st->stx_mnt_id,
    };
}

struct gofer_inode gofer_inode_from(const struct statx *st)
{
    return (struct gofer_inode){
        .format = st->stx_mode & S_IFMT,
        .dev_major = st->stx_dev_major,
        .dev_minor = st->stx_dev_minor,
    };
}

int gofer_call_put_attr(struct gofer_call *c, int fd)
{
    struct goferp_attr attr;
    struct statx st;
    int rc = gofer_stat_fd(fd, &st);

    if (rc < 0)
        return rc;
    gofer_attr_from(&st, &attr);
    gofercodec_put(&c->out, &attr, sizeof(attr));
    return 0;
}

#ifndef CONFIGFS_MAGIC
#define CONFIGFS_MAGIC 0x62656570
#endif
#ifndef FUSE_CTL_MAGIC
#define FUSE_CTL_MAGIC 0x65735543
#endif
#ifndef MQUEUE_MAGIC
#define MQUEUE_MAGIC 0x19800202
#endif

static bool fs_is_forbidden(int fd)
{
    static const uint32_t forbidden[] = {
        PROC_SUPER_MAGIC, SYSFS_MAGIC,      CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, DEBUGFS_MAGIC,
        TRACEFS_MAGIC,    SECURITYFS_MAGIC, BPF_FS_MAGIC,       DEVPTS_SUPER_MAGIC,  EFIVARFS_MAGIC,
        PSTOREFS_MAGIC,   SELINUX_MAGIC,    SMACK_MAGIC,        NSFS_MAGIC,          BINFMTFS_MAGIC,
        CONFIGFS_MAGIC,   FUSE_CTL_MAGIC,   MQUEUE_MAGIC,
    };
    struct statfs fs;
    size_t i;

    if (fstatfs(fd, &fs) < 0)
        return true;
    for (i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++)
        if ((uint32_t)fs.f_type == forbidden[i])
            return true;
    return false;
}

static bool is_other_fs(const struct gofer_inode *dir, const struct statx *st)
{
    return dir->dev_major != st->stx_dev_major || dir->dev_minor != st->stx_dev_minor;
}

int gofer_step(int dirfd, const struct gofer_inode *dir, const char *name, int *fd,
               struct statx *st)
{
    int at = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    int rc;

    if (at < 0)
        return -errno;
    rc = gofer_stat_fd(at, st);
    if (rc == 0 && is_other_fs(dir, st) && fs_is_forbidden(at))
        rc = -EACCES;
    if (rc < 0) {
        close(at);
        return rc;
    }
    *fd = at;
    return 0;
}

int gofer_step_stat(int dirfd, const struct gofer_inode *dir, const char *name, struct statx *st)
{
    int fd, rc = gofer_stat_name(dirfd, name, st);

    if (rc < 0 || !is_other_fs(dir, st))
        return rc;
    rc = gofer_step(dirfd, dir, name, &fd, st); /* the filesystem's type needs a descriptor */
    if (rc == 0)
        close(fd);
    return rc;
}

/* ---- WALK ---- */

/* Where a walk stands. fd belongs to `held` if that is set, else to the walk itself. */
struct walk {
    struct gofer_call *call;
    struct goferp_walk_req q;
    uint16_t export;
    int fd; /* -1: the last step was only a stat */
    struct gofer_fid *held;
    struct gofer_inode inode;
    struct statx st;
    size_t last; /* offset in the reply of the last entry */
    struct goferp_walk_rep r;
};

static void walk_leave(struct walk *w)
{
    if (w->held)
        gofer_call_put(w->call, w->held);
    else if (w->fd >= 0)
        close(w->fd);
    w->held = NULL;
    w->fd = -1;
}

static void walk_put_entry(struct walk *w, uint64_t fid)
{
    struct goferp_node node = {.fid = fid};

    gofer_attr_from(&w->st, &node.attr);
    w->last = w->call->out.size;
    gofercodec_put(&w->call->out, &node, sizeof(node));
    w->r.walked++;
}

/* Turn the walk's own descriptor into a fid that it holds. */
static int walk_make_fid(struct walk *w, uint64_t *fid)
{
    struct gofer_fid_table *t = &w->call->server->fids;
    struct gofer_fid *f;
    int rc = gofer_fid_reserve(t, &f);

    if (rc < 0)
        return rc;
    *fid = gofer_fid_install(t, f, w->fd, GOFER_FID_NODE, w->export, &w->inode);
    w->held = f;
    return 0;
}

/* A last component that needs no fid needs no descriptor either, unless it is a link to be read. */
static int walk_look(struct walk *w, const char *name, bool is_last, int *fd, struct statx *st)
{
    if (is_last && (w->q.flags & GOFERP_WALK_STAT)) {
        int rc = gofer_step_stat(w->fd, &w->inode, name, st);

        if (rc < 0 || !S_ISLNK(st->stx_mode))
            return rc;
    }
    return gofer_step(w->fd, &w->inode, name, fd, st);
}

/* One component; on failure the walk stays where it was. */
static int walk_step(struct walk *w, const char *name, bool is_last)
{
    uint64_t fid = GOFERP_NOFID;
    struct statx st;
    int fd = -1, rc;

    if (w->inode.format == S_IFLNK)
        return -ELOOP;
    if (w->inode.format != S_IFDIR)
        return -ENOTDIR;
    rc = walk_look(w, name, is_last, &fd, &st);
    if (rc < 0)
        return rc;
    if (w->q.flags & GOFERP_WALK_EACH) {
        struct walk next = *w;

        next.fd = fd;
        next.inode = gofer_inode_from(&st);
        rc = walk_make_fid(&next, &fid);
        if (rc < 0) {
            close(fd);
            return rc;
        }
        walk_leave(w);
        *w = next;
    } else {
        walk_leave(w);
        w->fd = fd;
        w->inode = gofer_inode_from(&st);
    }
    w->st = st;
    walk_put_entry(w, fid);
    return 0;
}

/* Before anything is done: are there really count names and nothing else? */
static int walk_names_check(const struct walk *w)
{
    struct gofercodec_reader in = w->call->in;
    uint16_t i;

    for (i = 0; i < w->q.count; i++)
        gofercodec_get_blob(&in, GOFERP_PATH_MAX);
    return gofercodec_done(&in) ? 0 : -EBADMSG;
}

static void walk_names(struct walk *w)
{
    struct gofer_name name;
    int rc = 0;
    uint16_t i;

    for (i = 0; i < w->q.count && rc == 0; i++) {
        rc = gofer_call_name(w->call, &name);
        if (rc == 0)
            rc = walk_step(w, name.s, i + 1 == w->q.count);
    }
    w->r.stop = rc;
}

/* Only the last entry has a fid: give it now. */
static int walk_fid_last(struct walk *w)
{
    struct gofer_call *c = w->call;
    uint64_t fid;
    int rc;

    if (w->r.walked == 0 || (w->q.flags & (GOFERP_WALK_EACH | GOFERP_WALK_STAT)))
        return 0;
    if (c->out.bad)
        return -EOVERFLOW;
    rc = walk_make_fid(w, &fid);
    if (rc == 0)
        memcpy(c->out.base + w->last + offsetof(struct goferp_node, fid), &fid, sizeof(fid));
    return rc;
}

/* The target of a symlink at the end, empty if it has become unreadable. */
static void walk_put_target(struct walk *w)
{
    char target[GOFERP_PATH_MAX + 1];
    ssize_t size = 0;

    if (w->r.walked == 0 || w->inode.format != S_IFLNK)
        return;
    if (w->fd >= 0)
        size = readlinkat(w->fd, "", target, sizeof(target));
    if (size < 0 || size > (ssize_t)GOFERP_PATH_MAX)
        size = 0;
    gofercodec_put_blob(&w->call->out, target, (size_t)size);
}

static void walk_open(struct walk *w)
{
    struct gofer_call *c = w->call;
    int fd;

    if (!(w->q.flags & GOFERP_WALK_OPEN) || w->r.stop || w->inode.format != S_IFREG || w->fd < 0)
        return;
    if (gofer_open_flags_check(c->server, w->q.open_flags, w->export) < 0)
        return;
    fd = gofer_reopen(c->server, w->fd, (int)w->q.open_flags);
    if (fd >= 0)
        c->fd = fd;
}

/* The start itself as the only entry. */
static int walk_clone(struct walk *w)
{
    int rc = gofer_stat_fd(w->fd, &w->st);
    int fd;

    if (rc < 0)
        return rc;
    fd = fcntl(w->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    walk_leave(w);
    w->fd = fd;
    w->q.flags &= (uint16_t)~GOFERP_WALK_EACH;
    walk_put_entry(w, GOFERP_NOFID);
    return 0;
}

static int walk_run(struct walk *w)
{
    struct gofer_call *c = w->call;
    void *head = gofercodec_reserve(&c->out, sizeof(w->r));
    int rc = 0;

    if (w->q.count)
        walk_names(w);
    else
        rc = walk_clone(w);
    if (rc == 0)
        rc = walk_fid_last(w);
    if (rc < 0)
        return rc;
    walk_put_target(w);
    walk_open(w);
    memcpy(head, &w->r, sizeof(w->r));
    return 0;
}

int gofer_op_walk(struct gofer_call *c)
{
    struct walk w = {.call = c, .fd = -1};
    int rc;

    gofercodec_get(&c->in, &w.q, sizeof(w.q));
    if (c->in.bad || w.q.count > GOFERP_WALK_MAX)
        return -EBADMSG;
    if (w.q.flags & ~(GOFERP_WALK_EACH | GOFERP_WALK_STAT | GOFERP_WALK_OPEN))
        return -EINVAL;
    if ((w.q.flags & GOFERP_WALK_STAT) && (w.q.flags & ~GOFERP_WALK_STAT))
        return -EINVAL;
    rc = walk_names_check(&w);
    if (rc == 0)
        rc = gofer_call_node(c, w.q.fid, /*changes=*/false, &w.held);
    if (rc < 0)
        return rc;
    w.fd = w.held->fd;
    w.export = w.held->export;
    w.inode = w.held->inode;
    rc = walk_run(&w);
    walk_leave(&w);
    return rc;
}
