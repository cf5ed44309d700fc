/* Which file is to be run, and what it means if it cannot be. As execvp(3) looks: PATH of the
 * process's own environment, inside. */
#include "control/control_priv.h"

#include "fs/vfs.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int complain(struct complaint *c, int status, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    c->status = status;
    vsnprintf(c->text, sizeof(c->text), fmt, ap);
    va_end(ap);
    return -1;
}

int program_failed(struct complaint *why, const char *name, int err)
{
    if (err == -ENOENT || err == -ENOTDIR)
        return complain(why, RF_EXIT_NOTFOUND, "%s: %s", name,
                        strchr(name, '/') ? strerror(-err) : "command not found");
    if (err == -EISDIR || err == -EACCES)
        return complain(why, RF_EXIT_NOEXEC, "%s: %s", name,
                        err == -EISDIR ? "is a directory" : strerror(-err));
    if (err == -ENOEXEC || err == -ELIBBAD)
        return complain(why, RF_EXIT_NOEXEC, "%s: not a program for 64-bit x86 Linux (%s)", name,
                        strerror(-err));
    return complain(why, RF_EXIT_NOEXEC, "%s: cannot be executed: %s", name, strerror(-err));
}

static const char *env_path(char *const *envp)
{
    for (; *envp; envp++)
        if (!strncmp(*envp, "PATH=", 5))
            return *envp + 5;
    return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

/* Could this be it? The process's own rights are looked at when it is executed. */
static int try(struct mount_ns *ns, const char *cwd, const char *name)
{
    struct path root = {ns->root, ns->root->root}, at;
    char whole[VFS_PATH_MAX];
    bool absolute = *name == '/';
    int n =
        snprintf(whole, sizeof(whole), "%s%s%s", absolute ? "" : cwd, absolute ? "" : "/", name);
    if (n >= (int)sizeof(whole))
        return -ENAMETOOLONG;
    int r = vfs_walk_from(NULL, &root, whole, WALK_FOLLOW, &at);
    if (r)
        return r;
    uint32_t mode = at.dentry->inode->mode;
    path_put(&at);
    if (S_ISDIR(mode))
        return -EISDIR;
    return S_ISREG(mode) && (mode & 0111) ? 0 : -EACCES;
}

/* Go on after ENOENT and ENOTDIR, remember EACCES, stop at the first other answer. */
static int try_path(struct mount_ns *ns, const struct process_desc *p, char *out, size_t size)
{
    const char *name = p->argv[0];
    int result = -ENOENT;
    for (const char *dir = env_path(p->envp);; dir++) {
        int len = strcspn(dir, ":");
        int n = snprintf(out, size, "%.*s%s%s", len, dir, len ? "/" : "", name);
        int err = n < (int)size ? try(ns, p->cwd, out) : -ENAMETOOLONG;
        if (err == -EACCES || err == -EISDIR)
            result = -EACCES;
        else if (err != -ENOENT && err != -ENOTDIR && err != -ENAMETOOLONG)
            return err;
        dir += len;
        if (!*dir)
            return result;
    }
}

int program_find(struct mount_ns *ns, const struct process_desc *p, char **path,
                 struct complaint *why)
{
    const char *name = p->argv[0];
    char found[VFS_PATH_MAX];
    int err = -ENOENT;
    if (strlen(name) >= sizeof(found))
        err = -ENAMETOOLONG;
    else if (strchr(name, '/'))
        err = try(ns, p->cwd, strcpy(found, name));
    else if (*name)
        err = try_path(ns, p, found, sizeof(found));
    if (err)
        return program_failed(why, name, err);
    *path = strdup(found);
    return *path ? 0 : program_failed(why, name, -ENOMEM);
}
