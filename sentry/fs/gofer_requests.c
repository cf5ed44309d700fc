/* The typed requests of the gofer client: encode, call, decode. A reply that is too short or too
 * long breaks the connection: the gofer is another process, and not believed either. */
#include "fs/gofer_client_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* A request that is one body and perhaps some names, its reply one fixed structure (out may be
 * NULL: it is skipped) and perhaps a descriptor. */
struct simple {
    enum goferp_type type;
    const void *body;
    size_t body_size;
    const char *name, *name2;
    const struct gofercodec_bytes *value; /* a blob32 */
    void *out;
    size_t out_size;
    int *fd; /* NULL: none comes */
};

static int simple_reply(struct gofer_rpc *p, const struct simple *s)
{
    const void *at = gofercodec_take(&p->r, s->out_size);

    if (!gofercodec_done(&p->r))
        return gofer_rpc_break(p);
    if (s->out && s->out_size)
        memcpy(s->out, at, s->out_size);
    if (s->fd)
        *s->fd = p->fd;
    return 0;
}

static int simple_call(struct gofer *g, const struct simple *s)
{
    struct gofer_rpc p;
    int rc = gofer_rpc_begin(&p, g, s->type);

    if (rc < 0)
        return rc;
    gofercodec_put(&p.w, s->body, s->body_size);
    if (s->name)
        gofercodec_put_blob(&p.w, s->name, strlen(s->name));
    if (s->name2)
        gofercodec_put_blob(&p.w, s->name2, strlen(s->name2));
    if (s->value)
        gofercodec_put_blob32(&p.w, s->value->data, s->value->size);
    rc = gofer_rpc_call(&p, s->fd != NULL);
    if (rc == 0)
        rc = simple_reply(&p, s);
    gofer_rpc_end(&p);
    return rc;
}

#define BODY(q)  .body = (q), .body_size = sizeof(*(q))
#define REPLY(r) .out = (r), .out_size = sizeof(*(r))

int gofer_attach(struct gofer *g, uint32_t export, struct goferp_attach_rep *out)
{
    struct goferp_attach_req q = {.export = export};

    return simple_call(g, &(struct simple){GOFERP_ATTACH, BODY(&q), REPLY(out)});
}

int gofer_ping(struct gofer *g)
{
    return simple_call(g, &(struct simple){GOFERP_PING});
}

/* ---- walk ---- */

static bool is_dotdot(const char *s, size_t size)
{
    return size == 2 && s[0] == '.' && s[1] == '.';
}

/* Encode the components; or the first one is already -ENAMETOOLONG, or "..", -EINVAL. */
static int walk_put_names(struct gofer_walk *w, struct gofercodec_writer *out)
{
    unsigned max = w->node_max < GOFERP_WALK_MAX ? w->node_max : GOFERP_WALK_MAX;
    size_t at = 0, size;

    w->asked = 0;
    w->used = 0;
    while (w->asked < max) {
        const char *s;

        while (at < w->path_size && w->path[at] == '/')
            at++;
        s = w->path + at;
        for (size = 0; at + size < w->path_size && s[size] != '/'; size++)
            ;
        if (size == 0)
            break;
        if (is_dotdot(s, size))
            return w->asked ? 0 : -EINVAL;
        if (size > GOFERP_NAME_MAX)
            return w->asked ? 0 : -ENAMETOOLONG;
        at += size;
        w->used = at;
        if (size == 1 && s[0] == '.')
            continue;
        gofercodec_put_blob(out, s, size);
        w->asked++;
    }
    return 0;
}

static int walk_take(struct gofer_walk *w, struct gofer_rpc *p)
{
    unsigned entries = w->asked ? w->asked : 1;
    struct gofercodec_bytes target = {0};
    struct goferp_walk_rep head;

    gofercodec_get(&p->r, &head, sizeof(head));
    if (head.walked > entries || head.stop > 0 || head.stop < -4095)
        return gofer_rpc_break(p);
    if (head.stop == 0 && head.walked != entries)
        return gofer_rpc_break(p);
    gofercodec_get(&p->r, w->nodes, head.walked * sizeof(w->nodes[0]));
    if (head.walked && (w->nodes[head.walked - 1].attr.mode & 0170000) == 0120000)
        target = gofercodec_get_blob(&p->r, GOFERP_PATH_MAX);
    if (!gofercodec_done(&p->r))
        return gofer_rpc_break(p);
    if (w->target) {
        if (target.size)
            memcpy(w->target, target.data, target.size);
        w->target[target.size] = 0;
    }
    w->target_size = target.size;
    w->walked = head.walked;
    w->stop = head.stop;
    w->fd = p->fd;
    return 0;
}

int gofer_walk(struct gofer *g, struct gofer_walk *w)
{
    struct goferp_walk_req q = {.fid = w->fid, .flags = w->flags, .open_flags = w->open_flags};
    struct gofer_rpc p;
    void *head;
    int rc;

    if (w->node_max == 0)
        return -EINVAL;
    rc = gofer_rpc_begin(&p, g, GOFERP_WALK);
    if (rc < 0)
        return rc;
    head = gofercodec_reserve(&p.w, sizeof(q));
    rc = walk_put_names(w, &p.w);
    q.count = (uint16_t)w->asked;
    memcpy(head, &q, sizeof(q));
    if (rc == 0)
        rc = gofer_rpc_call(&p, (w->flags & GOFERP_WALK_OPEN) != 0);
    if (rc == 0)
        rc = walk_take(w, &p);
    gofer_rpc_end(&p);
    return rc;
}

/* ---- attributes ---- */

int gofer_getattr(struct gofer *g, uint64_t fid, struct goferp_attr *out)
{
    struct goferp_fid_req q = {fid};

    return simple_call(g, &(struct simple){GOFERP_GETATTR, BODY(&q), REPLY(out)});
}

int gofer_setattr(struct gofer *g, const struct goferp_setattr_req *q, struct goferp_attr *attr)
{
    return simple_call(g, &(struct simple){GOFERP_SETATTR, BODY(q), REPLY(attr)});
}

int gofer_statfs(struct gofer *g, uint64_t fid, struct goferp_statfs_rep *out)
{
    struct goferp_fid_req q = {fid};

    return simple_call(g, &(struct simple){GOFERP_STATFS, BODY(&q), REPLY(out)});
}

int gofer_readlink(struct gofer *g, uint64_t fid, char *buf)
{
    struct goferp_fid_req q = {fid};
    struct gofercodec_bytes target;
    struct gofer_rpc p;
    int rc = gofer_rpc_begin(&p, g, GOFERP_READLINK);

    if (rc < 0)
        return rc;
    gofercodec_put(&p.w, &q, sizeof(q));
    rc = gofer_rpc_call(&p, /*wants_fd=*/false);
    if (rc == 0) {
        target = gofercodec_get_blob(&p.r, GOFERP_PATH_MAX);
        if (gofercodec_done(&p.r)) {
            memcpy(buf, target.data, target.size);
            buf[target.size] = 0;
            rc = (int)target.size;
        } else {
            rc = gofer_rpc_break(&p);
        }
    }
    gofer_rpc_end(&p);
    return rc;
}

int gofer_access(struct gofer *g, uint64_t fid, unsigned mode)
{
    struct goferp_access_req q = {.fid = fid, .mode = mode};

    return simple_call(g, &(struct simple){GOFERP_ACCESS, BODY(&q)});
}

/* ---- opening and making ---- */

int gofer_open(struct gofer *g, uint64_t fid, unsigned flags, int *fd, struct goferp_node *node)
{
    struct goferp_open_req q = {.fid = fid, .flags = flags};

    return simple_call(g, &(struct simple){GOFERP_OPEN, BODY(&q), REPLY(node), .fd = fd});
}

int gofer_create(struct gofer *g, uint64_t dir, const char *name, unsigned flags,
                 const struct gofer_owner *own, int *fd, struct goferp_create_rep *out)
{
    struct goferp_create_req q = {dir, flags, own->mode, own->uid, own->gid};

    return simple_call(
        g, &(struct simple){GOFERP_CREATE, BODY(&q), .name = name, REPLY(out), .fd = fd});
}

int gofer_tmpfile(struct gofer *g, uint64_t dir, unsigned flags, const struct gofer_owner *own,
                  int *fd, struct goferp_node *out)
{
    struct goferp_create_req q = {dir, flags, own->mode, own->uid, own->gid};

    return simple_call(g, &(struct simple){GOFERP_TMPFILE, BODY(&q), REPLY(out), .fd = fd});
}

static int make(struct gofer *g, enum goferp_type type, uint64_t dir, const char *name,
                const struct gofer_owner *own, struct goferp_node *out)
{
    struct goferp_make_req q = {dir, own->mode, own->uid, own->gid, 0};

    return simple_call(g, &(struct simple){type, BODY(&q), .name = name, REPLY(out)});
}

int gofer_mkdir(struct gofer *g, uint64_t dir, const char *name, const struct gofer_owner *own,
                struct goferp_node *out)
{
    return make(g, GOFERP_MKDIR, dir, name, own, out);
}

int gofer_mknod(struct gofer *g, uint64_t dir, const char *name, const struct gofer_owner *own,
                struct goferp_node *out)
{
    return make(g, GOFERP_MKNOD, dir, name, own, out);
}

int gofer_symlink(struct gofer *g, uint64_t dir, const char *name, const char *target,
                  const struct gofer_owner *own, struct goferp_node *out)
{
    struct goferp_make_req q = {dir, own->mode, own->uid, own->gid, 0};

    return simple_call(
        g, &(struct simple){GOFERP_SYMLINK, BODY(&q), .name = name, .name2 = target, REPLY(out)});
}

int gofer_bind(struct gofer *g, uint64_t dir, const char *name, unsigned socktype,
               const struct gofer_owner *own, int *fd, struct goferp_node *out)
{
    struct goferp_make_req q = {dir, own->mode, own->uid, own->gid, socktype};

    return simple_call(g,
                       &(struct simple){GOFERP_BIND, BODY(&q), .name = name, REPLY(out), .fd = fd});
}

int gofer_connect_unix(struct gofer *g, uint64_t fid, unsigned socktype, int *fd)
{
    struct goferp_connect_req q = {.fid = fid, .socktype = socktype};

    return simple_call(g, &(struct simple){GOFERP_CONNECT, BODY(&q), .fd = fd});
}

/* ---- names ---- */

int gofer_link(struct gofer *g, uint64_t fid, uint64_t dir, const char *name,
               struct goferp_attr *attr)
{
    struct goferp_link_req q = {.fid = fid, .dir = dir};

    return simple_call(g, &(struct simple){GOFERP_LINK, BODY(&q), .name = name, REPLY(attr)});
}

int gofer_unlink(struct gofer *g, uint64_t dir, const char *name, bool is_dir)
{
    struct goferp_unlink_req q = {.dir = dir, .flags = is_dir ? AT_REMOVEDIR : 0};

    return simple_call(g, &(struct simple){GOFERP_UNLINK, BODY(&q), .name = name});
}

int gofer_rename(struct gofer *g, uint64_t olddir, const char *old, uint64_t newdir,
                 const char *new, unsigned flags)
{
    struct goferp_rename_req q = {.olddir = olddir, .newdir = newdir, .flags = flags};

    return simple_call(g, &(struct simple){GOFERP_RENAME, BODY(&q), .name = old, .name2 = new});
}

/* ---- readdir ---- */

/* The entries of a reply, checked only for their size; gofer_dirent_next does the rest. */
static int readdir_take(struct gofer_rpc *p, size_t max, void *buf, struct goferp_readdir_rep *head)
{
    gofercodec_get(&p->r, head, sizeof(*head));
    if (p->r.bad || p->r.left > max)
        return gofer_rpc_break(p);
    memcpy(buf, p->r.next, p->r.left);
    return (int)p->r.left;
}

static int readdir_call(struct gofer *g, const struct goferp_readdir_req *q, void *buf,
                        struct goferp_readdir_rep *head)
{
    struct gofer_rpc p;
    int rc = gofer_rpc_begin(&p, g, GOFERP_READDIR);

    if (rc < 0)
        return rc;
    gofercodec_put(&p.w, q, sizeof(*q));
    rc = gofer_rpc_call(&p, /*wants_fd=*/false);
    if (rc == 0)
        rc = readdir_take(&p, q->size, buf, head);
    gofer_rpc_end(&p);
    return rc;
}

int gofer_readdir(struct gofer *g, uint64_t dirfid, uint64_t cursor, unsigned flags, void *buf,
                  size_t size, bool *eof)
{
    struct goferp_readdir_req q = {
        .fid = dirfid,
        .cursor = cursor,
        .size = (uint32_t)(size < GOFERP_DATA_MAX ? size : GOFERP_DATA_MAX),
        .flags = flags,
    };
    struct goferp_readdir_rep head;
    int rc = readdir_call(g, &q, buf, &head);

    if (rc >= 0 && eof)
        *eof = head.eof;
    return rc;
}

int gofer_readdir_once(struct gofer *g, uint64_t fid, unsigned flags, void *buf, size_t size,
                       uint64_t *dirfid)
{
    struct goferp_readdir_req q = {
        .fid = fid,
        .size = (uint32_t)(size < GOFERP_DATA_MAX ? size : GOFERP_DATA_MAX),
        .flags = flags | GOFERP_READDIR_ONCE,
    };
    struct goferp_readdir_rep head;
    int rc = readdir_call(g, &q, buf, &head);

    if (rc >= 0)
        *dirfid = head.eof ? GOFERP_NOFID : head.fid;
    return rc;
}

bool gofer_dirent_next(const void *buf, size_t size, unsigned flags, size_t *at,
                       struct gofer_dirent *out)
{
    struct gofercodec_reader r;
    struct gofercodec_bytes name;

    if (*at >= size)
        return false;
    gofercodec_reader_init(&r, (const uint8_t *)buf + *at, size - *at);
    gofercodec_get(&r, &out->head, sizeof(out->head));
    name = gofercodec_get_sized(&r, out->head.name_size, GOFERP_NAME_MAX);
    memcpy(out->name, name.data, name.size);
    out->name[name.size] = 0;
    gofercodec_take(&r, -(sizeof(out->head) + name.size) & 7);
    if (flags & GOFERP_READDIR_PLUS)
        gofercodec_get(&r, &out->attr, sizeof(out->attr));
    *at = size - r.left;
    /* A name that is none would be a path: the walk must never see it. */
    return !r.bad && name.size && !memchr(name.data, '/', name.size) &&
           !memchr(name.data, 0, name.size);
}

/* ---- data ---- */

int gofer_fsync(struct gofer *g, uint64_t fid, bool datasync)
{
    struct goferp_fsync_req q = {.fid = fid, .datasync = datasync};

    return simple_call(g, &(struct simple){GOFERP_FSYNC, BODY(&q)});
}

int gofer_syncfs(struct gofer *g, uint64_t fid)
{
    struct goferp_fid_req q = {fid};

    return simple_call(g, &(struct simple){GOFERP_FLUSH, BODY(&q)});
}

int gofer_fallocate(struct gofer *g, uint64_t fid, unsigned mode, uint64_t offset, uint64_t length)
{
    struct goferp_fallocate_req q = {fid, offset, length, mode, 0};

    return simple_call(g, &(struct simple){GOFERP_FALLOCATE, BODY(&q)});
}

/* ---- extended attributes ---- */

static int xattr_value(struct gofer *g, enum goferp_type type, uint64_t fid, const char *name,
                       void *buf, size_t size)
{
    struct goferp_xattr_req q = {
        .fid = fid, .size = (uint32_t)(size < GOFERP_DATA_MAX ? size : GOFERP_DATA_MAX)};
    struct gofer_rpc p;
    uint32_t got;
    int rc = gofer_rpc_begin(&p, g, type);

    if (rc < 0)
        return rc;
    gofercodec_put(&p.w, &q, sizeof(q));
    if (name)
        gofercodec_put_blob(&p.w, name, strlen(name));
    rc = gofer_rpc_call(&p, /*wants_fd=*/false);
    if (rc == 0) {
        gofercodec_get(&p.r, &got, sizeof(got));
        if (p.r.bad || got > GOFERP_DATA_MAX || (q.size && got != p.r.left) || p.r.left > q.size)
            rc = gofer_rpc_break(&p);
        else
            rc = (int)got;
    }
    if (rc > 0 && q.size)
        memcpy(buf, p.r.next, (size_t)rc);
    gofer_rpc_end(&p);
    return rc;
}

int gofer_getxattr(struct gofer *g, uint64_t fid, const char *name, void *buf, size_t size)
{
    return xattr_value(g, GOFERP_GETXATTR, fid, name, buf, size);
}

int gofer_listxattr(struct gofer *g, uint64_t fid, void *buf, size_t size)
{
    return xattr_value(g, GOFERP_LISTXATTR, fid, NULL, buf, size);
}

int gofer_setxattr(struct gofer *g, uint64_t fid, const char *name, const void *value, size_t size,
                   unsigned flags)
{
    struct goferp_xattr_req q = {.fid = fid, .flags = flags};
    struct gofercodec_bytes v = {.data = value, .size = (uint32_t)size};

    if (size > GOFERP_DATA_MAX)
        return -E2BIG;
    return simple_call(g, &(struct simple){GOFERP_SETXATTR, BODY(&q), .name = name, .value = &v});
}

int gofer_removexattr(struct gofer *g, uint64_t fid, const char *name)
{
    struct goferp_xattr_req q = {.fid = fid};

    return simple_call(g, &(struct simple){GOFERP_REMOVEXATTR, BODY(&q), .name = name});
}
