/* SPDX-License-Identifier: Apache-2.0 */
/* VERSION, ATTACH, CHANNEL, PING, CLUNK: the connection itself. */
#include "gofer_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

static uint32_t features(const struct gofer_server *s)
{
    return (s->policy.unix_sockets ? GOFERP_F_UNIX : 0) | (s->policy.fifos ? GOFERP_F_FIFO : 0);
}

int gofer_op_version(struct gofer_call *c)
{
    struct gofer_server *s = c->server;
    struct goferp_version_req q;
    struct goferp_version_rep r = {
        .version = GOFERP_PROTOCOL,
        .msg_max = GOFERP_MSG_MAX,
        .channel_max = GOFERP_CHANNELS_MAX,
        .fid_max = s->fids.slot_max,
        .export_count = s->export_count,
        .features = features(s),
    };

    gofercodec_get(&c->in, &q, sizeof(q));
    if (gofer_call_end(c) < 0)
        return -EBADMSG;
    if (q.magic != GOFERP_MAGIC || q.version_min > GOFERP_PROTOCOL ||
        q.version_max < GOFERP_PROTOCOL)
        return -EPROTONOSUPPORT;
    __atomic_store_n(&s->versioned, true, __ATOMIC_RELEASE);
    gofercodec_put(&c->out, &r, sizeof(r));
    return 0;
}

int gofer_op_ping(struct gofer_call *c)
{
    return gofer_call_end(c);
}

int gofer_op_attach(struct gofer_call *c)
{
    struct gofer_server *s = c->server;
    struct goferp_attach_req q;
    struct goferp_attach_rep r = {0};
    struct gofer_inode inode;
    struct gofer_fid *f;
    struct statx st;
    int fd, rc;

    gofercodec_get(&c->in, &q, sizeof(q));
    if (gofer_call_end(c) < 0)
        return -EBADMSG;
    if (q.export >= s->export_count)
        return -ENOENT;
    rc = gofer_stat_fd(s->exports[q.export].fd, &st);
    if (rc < 0)
        return rc;
    rc = gofer_fid_reserve(&s->fids, &f);
    if (rc < 0)
        return rc;
    fd = fcntl(s->exports[q.export].fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0) {
        rc = -errno;
        gofer_fid_cancel(&s->fids, f);
        return rc;
    }
    inode = gofer_inode_from(&st);
    r.fid = gofer_fid_install(&s->fids, f, fd, GOFER_FID_NODE, (uint16_t)q.export, &inode);
    r.flags = s->exports[q.export].flags;
    gofer_attr_from(&st, &r.attr);
    gofer_fid_put(&s->fids, f);
    gofercodec_put(&c->out, &r, sizeof(r));
    return 0;
}

int gofer_op_channel(struct gofer_call *c)
{
    struct gofer_server *s = c->server;
    int sv[2];

    if (gofer_call_end(c) < 0)
        return -EBADMSG;
    if (__atomic_add_fetch(&s->channel_count, 1, __ATOMIC_ACQ_REL) > GOFERP_CHANNELS_MAX) {
        __atomic_sub_fetch(&s->channel_count, 1, __ATOMIC_ACQ_REL);
        return -EUSERS;
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0) {
        int rc = -errno;

        __atomic_sub_fetch(&s->channel_count, 1, __ATOMIC_ACQ_REL);
        return rc;
    }
    c->fd = sv[0];
    c->channel_fd = sv[1];
    return 0;
}

int gofer_op_clunk(struct gofer_call *c)
{
    struct goferp_clunk_req q;
    struct goferp_clunk_rep r = {0};
    uint64_t fid;
    uint32_t i;

    gofercodec_get(&c->in, &q, sizeof(q));
    if (c->in.bad || q.count > GOFERP_CLUNK_MAX || c->in.left != q.count * sizeof(fid))
        return -EBADMSG;
    for (i = 0; i < q.count; i++) {
        gofercodec_get(&c->in, &fid, sizeof(fid));
        r.dropped += gofer_fid_clunk(&c->server->fids, fid);
    }
    gofercodec_put(&c->out, &r, sizeof(r));
    return 0;
}
