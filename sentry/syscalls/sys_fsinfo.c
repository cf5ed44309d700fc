/* Old questions about filesystems: ustat, sysfs; and quotactl, which finds no quotas here. */
#include "syscalls/sys_fs.h"

#include <fcntl.h>
#include <linux/quota.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

/* ---- ustat ---- */

struct ustat_k { /* of x86-64 */
    int32_t tfree;
    uint64_t tinode;
    char fname[6], fpack[6];
};

struct sb_search {
    dev_t dev;
    struct superblock *found; /* counted */
};

static void sb_match(struct mount *m, void *arg)
{
    struct sb_search *s = arg;
    if (s->found || m->sb->dev != s->dev)
        return;
    superblock_get(m->sb);
    s->found = m->sb;
}

int64_t sys_ustat(struct task *t, const struct sysargs *a)
{
    unsigned dev = a->v[0];
    struct sb_search s = {
        .dev = makedev(dev >> 8 & 0xfff, (dev & 0xff) | (dev >> 12 & 0xfff00))};
    mount_for_each(t->mount_ns, sb_match, &s);
    if (!s.found)
        return -EINVAL;
    struct statfs st = {0};
    int r = s.found->ops && s.found->ops->statfs ? s.found->ops->statfs(s.found, &st) : 0;
    superblock_put(s.found);
    if (r)
        return r;
    struct ustat_k u = {.tfree = st.f_bfree, .tinode = st.f_ffree};
    return uaccess_write_obj(t->mm, uaddr(a->v[1]), &u);
}

/* ---- sysfs ---- */

static int fs_type_count(void)
{
    int n = 0;
    while (g_fs_types[n])
        n++;
    return n;
}

static int64_t type_index(struct task *t, uint64_t name_ua)
{
    SYS_STR name = NULL;
    int r = vfs_path_import(t, uaddr(name_ua), /*empty_ok=*/false, &name);
    if (r)
        return r;
    for (int n = 0; g_fs_types[n]; n++)
        if (!strcmp(g_fs_types[n]->name, name))
            return n;
    return -EINVAL;
}

int64_t sys_sysfs(struct task *t, const struct sysargs *a)
{
    unsigned index = a->v[1];
    switch ((int)a->v[0]) {
    case 1:
        return type_index(t, a->v[1]);
    case 2:
        if (index >= (unsigned)fs_type_count())
            return -EINVAL;
        return uaccess_write(t->mm, uaddr(a->v[2]), g_fs_types[index]->name,
                             strlen(g_fs_types[index]->name) + 1);
    case 3:
        return fs_type_count();
    }
    return -EINVAL;
}

/* ---- quotactl ---- */

#define QUOTA_TYPES 3u
#define QUOTA_CMD(cmd) ((cmd) >> SUBCMDSHIFT)
#define QUOTA_TYPE(cmd) ((cmd)&SUBCMDMASK)

/* The block device called special; none carries a filesystem here. */
static int64_t quota_device(struct task *t, uint64_t special)
{
    SYS_PATH p = {NULL, NULL};
    SYS_FILE f = NULL;
    int r = sys_path_at(t, AT_FDCWD, uaddr(special), /*empty_ok=*/false, WALK_FOLLOW, &p, &f);
    if (r)
        return r;
    if (!S_ISBLK(p.dentry->inode->mode))
        return -ENOTBLK;
    return p.mnt && (p.mnt->flags & 4 /* MS_NODEV */) ? -EACCES : -ENODEV;
}

int64_t sys_quotactl(struct task *t, const struct sysargs *a)
{
    unsigned cmd = a->v[0];
    if (QUOTA_TYPE(cmd) >= QUOTA_TYPES)
        return -EINVAL;
    if (a->v[1])
        return quota_device(t, a->v[1]);
    return QUOTA_CMD(cmd) == (Q_SYNC & 0xffffff) ? 0 : -ENODEV;
}

int64_t sys_quotactl_fd(struct task *t, const struct sysargs *a)
{
    SYS_FILE f = fdtable_get(t->fds, a->v[0]);
    if (!f)
        return -EBADF;
    return QUOTA_TYPE((unsigned)a->v[1]) >= QUOTA_TYPES ? -EINVAL : -ENOSYS;
}
