/* AF_UNIX names: unix(7). Path names are inodes whose pipe_or_socket is the bound socket; abstract
 * names are a list. Both are guarded by the net lock. */
#include "base/overflow.h"
#include "net/netlink_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define UNIX_PATH_OFFSET offsetof(struct sockaddr_un, sun_path)

static struct list g_abstract = LIST_INIT(g_abstract); /* lock: g_net_lock */
static struct list g_paths = LIST_INIT(g_paths);       /* lock: g_net_lock; for /proc/net/unix */
static struct list g_all = LIST_INIT(g_all);           /* lock: g_net_lock; socket.all_node */
static uint32_t g_autobind_next;                       /* lock: g_net_lock */

static int unix_init(struct task *t, struct socket *s)
{
    if (s->protocol != 0 && s->protocol != AF_UNIX)
        return -EPROTONOSUPPORT;
    if (s->type == SOCK_RAW)
        s->type = SOCK_DGRAM;
    if (s->type != SOCK_STREAM && s->type != SOCK_DGRAM && s->type != SOCK_SEQPACKET)
        return -ESOCKTNOSUPPORT;
    s->kind = K_UNIX;
    s->own_id = peer_id_new(t);
    if (!s->own_id)
        return -ENOMEM;
    LOCK_GUARD(&g_net_lock);
    list_push_back(&g_all, &s->all_node);
    return 0;
}

static int unix_check(struct socket *s, const struct net_addr *a)
{
    if (a->ss.ss_family != AF_UNIX || a->size <= UNIX_PATH_OFFSET ||
        a->size > sizeof(struct sockaddr_un))
        return -EINVAL;
    return 0;
}

static const struct sockaddr_un *un(const struct net_addr *a)
{
    return (const struct sockaddr_un *)&a->ss;
}

static bool is_abstract(const struct net_addr *a)
{
    return un(a)->sun_path[0] == 0;
}

static void path_of(const struct net_addr *a,
                    char out[sizeof(((struct sockaddr_un *)0)->sun_path) + 1])
{
    size_t n = a->size - UNIX_PATH_OFFSET;
    memcpy(out, un(a)->sun_path, n);
    out[n] = 0;
}

static struct socket *abstract_find_locked(struct netns *net, const struct net_addr *a, int type)
{
    struct socket *s;
    list_for_each(s, &g_abstract, name_node) if (s->net == net && s->local.size == a->size &&
                                                 !memcmp(&s->local.ss, &a->ss, a->size) &&
                                                 s->type == type) return s;
    return NULL;
}

static int bind_abstract(struct socket *s, const struct net_addr *a)
{
    LOCK_GUARD(&g_net_lock);
    if (s->named)
        return -EINVAL;
    if (abstract_find_locked(s->net, a, s->type))
        return -EADDRINUSE;
    s->local = *a;
    s->named = true;
    list_push_back(&g_abstract, &s->name_node);
    return 0;
}

/* A name of five hexadecimal digits, chosen by us: unix(7), Autobind. */
static int unix_autobind(struct task *t, struct socket *s)
{
    struct net_addr a = {.size = UNIX_PATH_OFFSET + 6};
    for (unsigned tries = 0; tries < 0x100000; tries++) {
        struct sockaddr_un *name = (struct sockaddr_un *)&a.ss;
        lock_acquire(&g_net_lock);
        uint32_t n = g_autobind_next++ & 0xfffff;
        lock_release(&g_net_lock);
        name->sun_family = AF_UNIX;
        snprintf(name->sun_path + 1, 6, "%05x", n);
        int err = bind_abstract(s, &a);
        if (err != -EADDRINUSE)
            return err;
    }
    return -ENOSPC;
}

static int bind_path(struct task *t, struct socket *s, const struct net_addr *a)
{
    char name[sizeof(un(a)->sun_path) + 1];
    struct path at;
    path_of(a, name);
    if (s->named) { /* a name that is there already is told first */
        int err = vfs_walk(t, AT_FDCWD, name, 0, &at);
        if (!err)
            path_put(&at);
        return err ? -EINVAL : -EADDRINUSE;
    }
    int err = vfs_bind_socket(t, name, 0777 & ~t->fs->umask, NULL, &at);
    if (err)
        return err == -EEXIST ? -EADDRINUSE : err;
    lock_acquire(&g_net_lock);
    if (s->named) { /* another thread has bound it meanwhile */
        at.dentry->inode->pipe_or_socket = NULL;
        lock_release(&g_net_lock);
        path_put(&at);
        return -EINVAL;
    }
    s->local = *a;
    /* As Linux: the name that comes back ends with its NUL. */
    s->local.size = UNIX_PATH_OFFSET + strlen(name) + 1;
    ((struct sockaddr_un *)&s->local.ss)->sun_path[MIN(strlen(name), sizeof(un(a)->sun_path) - 1)] =
        0;
    s->bound_path = at;
    s->named = true;
    at.dentry->inode->pipe_or_socket = s;
    list_push_back(&g_paths, &s->name_node);
    lock_release(&g_net_lock);
    return 0;
}

static int unix_bind(struct task *t, struct socket *s, const struct net_addr *a)
{
    if (a->ss.ss_family != AF_UNIX)
        return -EINVAL;
    if (a->size == sizeof(sa_family_t))
        return s->named ? 0 : unix_autobind(t, s);
    int err = unix_check(s, a);
    if (err)
        return err;
    return is_abstract(a) ? bind_abstract(s, a) : bind_path(t, s, a);
}

static int check_found_locked(struct socket *s, struct socket *found)
{
    if (!found)
        return -ECONNREFUSED;
    if (found->type != s->type)
        return -EPROTOTYPE;
    if (socket_is_connected_type(s) && found->state != SOCK_LISTENING)
        return -ECONNREFUSED;
    return 0;
}

static int find_path(struct task *t, struct socket *s, const struct net_addr *a,
                     struct socket **out)
{
    char name[sizeof(un(a)->sun_path) + 1];
    struct path at;
    path_of(a, name);
    int err = vfs_walk(t, AT_FDCWD, name, WALK_FOLLOW, &at);
    if (err)
        return err;
    struct inode *inode = at.dentry->inode;
    err = inode_permission(inode, W_OK, t->cred);
    if (!err && inode_type(inode) != S_IFSOCK)
        err = -ECONNREFUSED;
    if (!err) {
        LOCK_GUARD(&g_net_lock);
        err = check_found_locked(s, inode->pipe_or_socket);
        if (!err) {
            *out = inode->pipe_or_socket;
            socket_get(*out);
        }
    }
    path_put(&at);
    return err;
}

static int unix_find(struct task *t, struct socket *s, const struct net_addr *a,
                     struct socket **out)
{
    if (!is_abstract(a))
        return find_path(t, s, a, out);
    LOCK_GUARD(&g_net_lock);
    struct socket *found = abstract_find_locked(s->net, a, s->type);
    int err = check_found_locked(s, found);
    if (err)
        return err;
    socket_get(found);
    *out = found;
    return 0;
}

static void unix_release(struct socket *s)
{
    lock_check_held(LR_SOCKET);
    list_del(&s->name_node);
    if (s->bound_path.dentry && s->bound_path.dentry->inode &&
        s->bound_path.dentry->inode->pipe_or_socket == s)
        s->bound_path.dentry->inode->pipe_or_socket = NULL;
}

const struct family g_family_unix = {
    .domain = AF_UNIX,
    .init = unix_init,
    .bind = unix_bind,
    .autobind = unix_autobind,
    .find = unix_find,
    .check = unix_check,
    .release = unix_release,
};

static int format_line(struct socket *s, char *buf, size_t size)
{
    unsigned n = s->local.size > UNIX_PATH_OFFSET ? s->local.size - UNIX_PATH_OFFSET : 0;
    const char *p = un(&s->local)->sun_path;
    int len = snprintf(buf, size, "%016lx: %08X %08X %08X %04X %02X %5lu", 0ul, ref_read(&s->ref),
                       0, s->state == SOCK_LISTENING ? 0x10000 : 0, s->type,
                       s->state == SOCK_CONNECTED ? 3 : 1,
                       s->file ? (unsigned long)s->file->inode->ino : 0);
    if (n)
        buf[len++] = ' ';
    for (unsigned i = 0; i < n && len < (int)size - 2; i++)
        if (p[i] || i == 0)
            buf[len++] = p[i] ? p[i] : '@';
    buf[len++] = '\n';
    return len;
}

void unix_for_each_locked(bool (*fn)(struct socket *s, void *arg), void *arg)
{
    struct socket *s;
    struct netns *net = task_netns(task_current());
    list_for_each(s, &g_all, all_node) if (s->net == net && !fn(s, arg)) return;
}

int net_unix_proc_line(unsigned *index, char *buf, size_t size)
{
    unsigned i = 0;
    struct socket *s;
    struct netns *net = task_netns(task_current());
    LOCK_GUARD(&g_net_lock);
    list_for_each(s, &g_all, all_node)
    {
        if (s->net != net || i++ < *index)
            continue;
        ++*index;
        return format_line(s, buf, size);
    }
    return 0;
}
