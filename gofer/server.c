/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handler table and what all handlers share. A message is checked here for its header, type and
 * the handshake; each handler then decodes its whole body before it does anything.
 */
#include "gofer_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define FD_RESERVE 160u /* channels, donated and temporary descriptors */

static const gofer_handler g_handlers[GOFERP_TYPE_END] = {
    [GOFERP_VERSION] = gofer_op_version,
    [GOFERP_ATTACH] = gofer_op_attach,
    [GOFERP_CHANNEL] = gofer_op_channel,
    [GOFERP_PING] = gofer_op_ping,
    [GOFERP_WALK] = gofer_op_walk,
    [GOFERP_CLUNK] = gofer_op_clunk,
    [GOFERP_GETATTR] = gofer_op_getattr,
    [GOFERP_SETATTR] = gofer_op_setattr,
    [GOFERP_OPEN] = gofer_op_open,
    [GOFERP_CREATE] = gofer_op_create,
    [GOFERP_MKDIR] = gofer_op_mkdir,
    [GOFERP_SYMLINK] = gofer_op_symlink,
    [GOFERP_LINK] = gofer_op_link,
    [GOFERP_MKNOD] = gofer_op_mknod,
    [GOFERP_UNLINK] = gofer_op_unlink,
    [GOFERP_RENAME] = gofer_op_rename,
    [GOFERP_READLINK] = gofer_op_readlink,
    [GOFERP_READDIR] = gofer_op_readdir,
    [GOFERP_STATFS] = gofer_op_statfs,
    [GOFERP_FSYNC] = gofer_op_fsync,
    [GOFERP_FLUSH] = gofer_op_flush,
    [GOFERP_GETXATTR] = gofer_op_getxattr,
    [GOFERP_SETXATTR] = gofer_op_setxattr,
    [GOFERP_LISTXATTR] = gofer_op_listxattr,
    [GOFERP_REMOVEXATTR] = gofer_op_removexattr,
    [GOFERP_FALLOCATE] = gofer_op_fallocate,
    [GOFERP_ACCESS] = gofer_op_access,
    [GOFERP_BIND] = gofer_op_bind,
    [GOFERP_CONNECT] = gofer_op_connect,
    [GOFERP_TMPFILE] = gofer_op_tmpfile,
};

static uint32_t fid_max_from_rlimit(uint32_t wanted)
{
    struct rlimit lim;
    uint32_t max = 64;

    if (getrlimit(RLIMIT_NOFILE, &lim) == 0 && lim.rlim_cur > FD_RESERVE + max)
        max = lim.rlim_cur > 1u << 20 ? 1u << 20 : (uint32_t)lim.rlim_cur - FD_RESERVE;
    return wanted && wanted < max ? wanted : max;
}

int gofer_server_init(struct gofer_server *s, uint32_t fid_max)
{
    s->channel_count = 1;
    s->versioned = false;
    return gofer_fid_table_init(&s->fids, fid_max_from_rlimit(fid_max));
}

void gofer_server_destroy(struct gofer_server *s)
{
    gofer_fid_table_destroy(&s->fids);
}

static int call_handler(struct gofer_call *c, const struct goferp_req *req, size_t size)
{
    if (size < sizeof(*req) || req->size != size || req->zero)
        return -EBADMSG;
    if (req->type >= GOFERP_TYPE_END || !g_handlers[req->type])
        return -EOPNOTSUPP;
    if (!__atomic_load_n(&c->server->versioned, __ATOMIC_ACQUIRE) && req->type != GOFERP_VERSION)
        return -EPROTO;
    return g_handlers[req->type](c);
}

/* A failed reply has no descriptor, whatever the handler had already prepared. */
static void call_fail(struct gofer_call *c)
{
    if (c->fd >= 0)
        close(c->fd);
    if (c->channel_fd >= 0)
        close(c->channel_fd);
    c->fd = c->channel_fd = -1;
    c->out.size = sizeof(struct goferp_rep);
}

size_t gofer_server_dispatch(struct gofer_server *s, const void *msg, size_t size, void *out,
                             struct gofer_call *call)
{
    struct goferp_req req;
    struct goferp_rep rep;

    *call = (struct gofer_call){.server = s, .fd = -1, .channel_fd = -1};
    gofercodec_reader_init(&call->in, msg, size);
    gofercodec_get(&call->in, &req, sizeof(req));
    gofercodec_writer_init(&call->out, out, GOFERP_MSG_MAX);
    gofercodec_reserve(&call->out, sizeof(rep));
    rep = (struct goferp_rep){.type = req.type, .tag = req.tag};
    rep.status = call_handler(call, &req, size);
    if (rep.status >= 0 && call->out.bad)
        rep.status = -EOVERFLOW;
    if (rep.status < 0)
        call_fail(call);
    rep.size = (uint32_t)call->out.size;
    rep.fd_count = call->fd >= 0;
    memcpy(out, &rep, sizeof(rep));
    return call->out.size;
}

/* ---- decoding ---- */

int gofer_call_end(const struct gofer_call *c)
{
    return gofercodec_done(&c->in) ? 0 : -EBADMSG;
}

static int name_check(const char *s, size_t size)
{
    if (size == 0)
        return -ENOENT;
    if (size > GOFERP_NAME_MAX)
        return -ENAMETOOLONG;
    if (memchr(s, '/', size) || memchr(s, 0, size))
        return -EINVAL;
    if (s[0] == '.' && (size == 1 || (size == 2 && s[1] == '.')))
        return -EINVAL;
    return 0;
}

int gofer_call_name(struct gofer_call *c, struct gofer_name *name)
{
    struct gofercodec_bytes b = gofercodec_get_blob(&c->in, GOFERP_PATH_MAX);
    int rc = c->in.bad ? -EBADMSG : name_check(b.data, b.size);

    if (rc < 0)
        return rc;
    memcpy(name->s, b.data, b.size);
    name->s[b.size] = 0;
    return 0;
}

static bool export_is_readonly(const struct gofer_call *c, const struct gofer_fid *f)
{
    return c->server->exports[f->export].flags & GOFERP_EXPORT_RO;
}

int gofer_call_node(struct gofer_call *c, uint64_t fid, bool changes, struct gofer_fid **out)
{
    struct gofer_fid *f = gofer_fid_get(&c->server->fids, fid);
    int rc = 0;

    if (!f)
        return -EBADF;
    if (f->kind != GOFER_FID_NODE)
        rc = -EBADF;
    else if (changes && export_is_readonly(c, f))
        rc = -EROFS;
    if (rc < 0) {
        gofer_call_put(c, f);
        return rc;
    }
    *out = f;
    return 0;
}

int gofer_call_dir(struct gofer_call *c, uint64_t fid, bool changes, struct gofer_fid **out)
{
    struct gofer_fid *f;
    int rc = gofer_call_node(c, fid, changes, &f);

    if (rc < 0)
        return rc;
    if (f->inode.format != S_IFDIR) {
        gofer_call_put(c, f);
        return -ENOTDIR;
    }
    *out = f;
    return 0;
}

void gofer_call_put(struct gofer_call *c, struct gofer_fid *f)
{
    if (f)
        gofer_fid_put(&c->server->fids, f);
}

const char *gofer_fdname(int fd, char buf[GOFER_FDNAME_SIZE])
{
    char *p = buf + GOFER_FDNAME_SIZE - 1;
    unsigned v = (unsigned)fd;

    *p = 0;
    do
        *--p = (char)('0' + v % 10);
    while (v /= 10);
    return p;
}
