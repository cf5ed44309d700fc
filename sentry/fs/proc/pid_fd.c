/* /proc/PID/fd and fdinfo. */
#include "fs/proc/proc_priv.h"

#include <fcntl.h>

static struct fdtable *table_get(const struct proc_ctx *c)
{
    return c->t ? task_fds_get(c->t) : NULL;
}

static int fd_next(const struct proc_ctx *c, int after)
{
    struct fdtable *ft = table_get(c);
    int fd = ft ? fdtable_next(ft, after + 1) : -1;
    if (ft)
        fdtable_put(ft, c->caller);
    return fd;
}

static struct file *fd_file(const struct proc_ctx *c, int fd, bool *cloexec)
{
    struct fdtable *ft = table_get(c);
    struct file *f = ft ? fdtable_get(ft, fd) : NULL;
    if (f && cloexec && fdtable_flags(ft, fd, cloexec))
        *cloexec = false;
    if (ft)
        fdtable_put(ft, c->caller);
    return f;
}

static bool fd_has(const struct proc_ctx *c, int fd)
{
    struct file *f = fd_file(c, fd, NULL);
    if (f)
        file_put(f);
    return f != NULL;
}

uint32_t proc_fd_mode(const struct proc_ctx *c)
{
    struct file *f = fd_file(c, c->fd, NULL);
    uint32_t mode = 0;
    if (!f)
        return 0700;
    if (f->mode & FMODE_READ)
        mode |= 0500;
    if (f->mode & FMODE_WRITE)
        mode |= 0300;
    file_put(f);
    return mode;
}

static int file_name(const struct proc_ctx *c, struct file *f, char *buf, size_t size)
{
    char room[VFS_PATH_MAX];
    struct path root;
    int n = f->ops && f->ops->fdname ? f->ops->fdname(f, room, sizeof(room)) : -ENOENT;
    const char *name = room;
    if (n < 0) {
        struct fs_struct *fs = task_fs_get(c->caller);
        if (!fs || !f->path.dentry) {
            if (fs)
                fs_struct_put(fs);
            return snprintf(buf, size, "anon_inode:[file]");
        }
        fs_struct_root(fs, &root);
        fs_struct_put(fs);
        name = path_name(&f->path, &root, room, sizeof(room));
        path_put(&root);
    }
    if (!name)
        return -ENAMETOOLONG;
    n = MIN(strlen(name), size);
    memcpy(buf, name, n);
    return n;
}

static int fd_readlink(const struct proc_ctx *c, char *buf, size_t size)
{
    struct file *f = c->caller ? fd_file(c, c->fd, NULL) : NULL;
    if (!f)
        return -ENOENT;
    int r = file_name(c, f, buf, size);
    file_put(f);
    return r;
}

/* Files without any name in a tree (sockets, eventfds) get one for the length of the walk, so that
 * stat works through the link. */
static int fd_follow(const struct proc_ctx *c, struct path *out)
{
    struct file *f = fd_file(c, c->fd, NULL);
    if (!f)
        return -ENOENT;
    int r = 0;
    *out = f->path;
    if (out->dentry)
        path_get(out);
    else
        r = file_path_anon(f, out);
    file_put(f);
    return r;
}

static int fdinfo_show(struct pbuf *b, const struct proc_ctx *c)
{
    bool cloexec = false;
    struct file *f = fd_file(c, c->fd, &cloexec);
    char *extra = malloc(RF_PAGE_SIZE);
    if (!f || !extra) {
        if (f)
            file_put(f);
        free(extra);
        return f ? -ENOMEM : -ENOENT;
    }
    unsigned flags = __atomic_load_n(&f->flags, __ATOMIC_RELAXED);
    pb_printf(b, "pos:\t%lld\nflags:\t0%o\nmnt_id:\t%d\nino:\t%lu\n",
              (long long)(f->ops && f->ops->stream ? 0 : f->pos), flags | (cloexec ? O_CLOEXEC : 0),
              f->path.mnt ? f->path.mnt->id : 15, f->inode ? (unsigned long)f->inode->ino : 0ul);
    int n = f->ops && f->ops->fdinfo ? f->ops->fdinfo(f, extra, RF_PAGE_SIZE) : 0;
    if (n > 0)
        pb_write(b, extra, MIN(n, (int)RF_PAGE_SIZE));
    file_put(f);
    free(extra);
    return 0;
}

static const struct proc_entry g_fd_link = {
    .name = "", .mode = S_IFLNK | 0700, .readlink = fd_readlink, .follow = fd_follow};
static const struct proc_entry g_fdinfo_file = {
    .name = "", .mode = S_IFREG | 0444, .show = fdinfo_show};

const struct proc_numbers g_proc_fd_numbers = {
    .of = PROC_OF_FD, .next = fd_next, .has = fd_has, .entry = &g_fd_link};
const struct proc_numbers g_proc_fdinfo_numbers = {
    .of = PROC_OF_FD, .next = fd_next, .has = fd_has, .entry = &g_fdinfo_file};
