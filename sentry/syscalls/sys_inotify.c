/* inotify_init, inotify_init1, inotify_add_watch, inotify_rm_watch. */
#include "syscalls/sys_anon.h"
#include "syscalls/syscalls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>

static int64_t do_init(struct task *t, unsigned flags)
{
    struct file *f = NULL;
    int r = inotify_new(flags, &f);
    return anon_install(t, r, f, flags & IN_CLOEXEC);
}

int64_t sys_inotify_init(struct task *t, const struct sysargs *a)
{
    return do_init(t, 0);
}

int64_t sys_inotify_init1(struct task *t, const struct sysargs *a)
{
    return do_init(t, a->v[0]);
}

static int64_t watch_path(struct task *t, struct file *f, const char *name, uint32_t mask)
{
    struct path p;
    unsigned walk =
        (mask & IN_DONT_FOLLOW ? 0 : WALK_FOLLOW) | (mask & IN_ONLYDIR ? WALK_DIRECTORY : 0);
    int64_t r = vfs_walk(t, AT_FDCWD, name, walk, &p);
    if (r)
        return r;
    r = inode_permission(p.dentry->inode, R_OK, t->cred);
    if (!r)
        r = inode_keep(p.dentry->inode);
    if (!r)
        r = inotify_add(f, &p, mask);
    path_put(&p);
    return r;
}

int64_t sys_inotify_add_watch(struct task *t, const struct sysargs *a)
{
    char *name;
    struct file *f = fdtable_get_io(t->fds, a->v[0]);
    if (!f)
        return -EBADF;
    int64_t r = inotify_check(f, a->v[2]);
    if (!r)
        r = vfs_path_import(t, uaddr(a->v[1]), /*empty_ok=*/false, &name);
    if (!r) {
        r = watch_path(t, f, name, a->v[2]);
        free(name);
    }
    file_put(f);
    return r;
}

int64_t sys_inotify_rm_watch(struct task *t, const struct sysargs *a)
{
    struct file *f = fdtable_get_io(t->fds, a->v[0]);
    if (!f)
        return -EBADF;
    int r = inotify_remove(f, a->v[1]);
    file_put(f);
    return r;
}
