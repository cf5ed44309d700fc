/* SPDX-License-Identifier: Apache-2.0 */
/*
 * READDIR: the kernel's own directory offsets are the cursors, so nothing is remembered between
 * requests but the position of the descriptor, which saves a seek while a directory is read in
 * order.
 */
#include "gofer_priv.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KERNEL_BUF       16384u
#define POSITION_UNKNOWN UINT64_MAX

struct readdir {
    struct gofer_call *call;
    struct gofer_fid *dir;
    uint32_t flags;
    size_t limit;    /* reply size not to be passed */
    uint64_t cursor; /* of the last entry taken */
    struct goferp_readdir_rep r;
};

static bool is_dot(const char *name)
{
    return name[0] == '.' && (name[1] == 0 || (name[1] == '.' && name[2] == 0));
}

static size_t entry_size(const struct readdir *d, size_t name_size)
{
    size_t size = (sizeof(struct goferp_dirent) + name_size + 7) & ~(size_t)7;

    return size + (d->flags & GOFERP_READDIR_PLUS ? sizeof(struct goferp_attr) : 0);
}

static void put_attr_of(struct readdir *d, const char *name)
{
    struct goferp_attr attr = {0};
    struct statx st;

    if (gofer_step_stat(d->dir->fd, &d->dir->inode, name, &st) == 0)
        gofer_attr_from(&st, &attr);
    gofercodec_put(&d->call->out, &attr, sizeof(attr));
}

/* False: no room. */
static bool put_entry(struct readdir *d, const struct dirent64 *e)
{
    static const char zero[8];
    size_t name_size = strlen(e->d_name);
    struct goferp_dirent head = {
        .ino = e->d_ino,
        .off = (uint64_t)e->d_off,
        .type = e->d_type,
        .name_size = (uint8_t)name_size,
    };

    if (name_size > GOFERP_NAME_MAX || d->call->out.size + entry_size(d, name_size) > d->limit)
        return false;
    gofercodec_put(&d->call->out, &head, sizeof(head));
    gofercodec_put(&d->call->out, e->d_name, name_size);
    gofercodec_put(&d->call->out, zero, -(sizeof(head) + name_size) & 7);
    if (d->flags & GOFERP_READDIR_PLUS)
        put_attr_of(d, e->d_name);
    d->r.count++;
    return true;
}

/* One buffer of the kernel's; false when the reply is full. */
static bool put_entries(struct readdir *d, const char *buf, size_t size)
{
    size_t at;

    for (at = 0; at < size;) {
        const struct dirent64 *e = (const void *)(buf + at);

        if (!is_dot(e->d_name) && !put_entry(d, e))
            return false;
        d->cursor = (uint64_t)e->d_off;
        at += e->d_reclen;
    }
    return true;
}

static int seek_to(struct gofer_fid *dir, uint64_t cursor)
{
    if (dir->position == cursor)
        return 0;
    if (lseek(dir->fd, (off_t)cursor, SEEK_SET) < 0)
        return -errno;
    dir->position = cursor;
    return 0;
}

/* lock: dir->lock */
static int readdir_fill_locked(struct readdir *d)
{
    _Alignas(struct dirent64) char buf[KERNEL_BUF];
    int rc = seek_to(d->dir, d->cursor);
    bool room = true;

    while (rc == 0 && room && !d->r.eof) {
        long size = syscall(SYS_getdents64, d->dir->fd, buf, sizeof(buf));

        d->dir->position = POSITION_UNKNOWN;
        if (size < 0)
            rc = -errno;
        else if (size == 0)
            d->r.eof = 1;
        else
            room = put_entries(d, buf, (size_t)size);
        if (rc == 0 && room)
            d->dir->position = d->cursor;
    }
    if (rc < 0 && d->r.count)
        return 0; /* what there is first; the error comes again */
    if (rc == 0 && d->r.count == 0 && !d->r.eof)
        return -EINVAL; /* no room even for one entry, as getdents(2) */
    return rc;
}

static int readdir_fill(struct readdir *d)
{
    int rc;

    pthread_mutex_lock(&d->dir->lock);
    rc = readdir_fill_locked(d);
    pthread_mutex_unlock(&d->dir->lock);
    return rc;
}

/* READDIR_ONCE: through a dir fid of its own, which is kept only if the directory goes on. */
static int readdir_once(struct readdir *d, struct gofer_fid *node)
{
    struct gofer_fid_table *t = &d->call->server->fids;
    int rc;

    if (node->kind != GOFER_FID_NODE || d->cursor != 0)
        return -EINVAL;
    if (node->inode.format != S_IFDIR)
        return -ENOTDIR;
    rc = gofer_open_dir(d->call, node, 0, &d->r.fid);
    if (rc < 0)
        return rc;
    d->dir = gofer_fid_get(t, d->r.fid);
    rc = d->dir ? readdir_fill(d) : -EBADF; /* clunked by somebody who guessed the number */
    if (rc < 0 || d->r.eof) {
        gofer_fid_clunk(t, d->r.fid);
        d->r.fid = GOFERP_NOFID;
    }
    gofer_call_put(d->call, d->dir);
    return rc;
}

static int readdir_run(struct readdir *d, struct gofer_fid *f)
{
    if (d->flags & GOFERP_READDIR_ONCE)
        return readdir_once(d, f);
    if (f->kind != GOFER_FID_DIR)
        return f->inode.format == S_IFDIR ? -EBADF : -ENOTDIR;
    d->dir = f;
    return readdir_fill(d);
}

int gofer_op_readdir(struct gofer_call *c)
{
    struct readdir d = {.call = c};
    struct goferp_readdir_req q;
    struct gofer_fid *f;
    void *head;
    int rc;

    gofercodec_get(&c->in, &q, sizeof(q));
    if (gofer_call_end(c) < 0)
        return -EBADMSG;
    if (q.flags & ~(GOFERP_READDIR_PLUS | GOFERP_READDIR_ONCE))
        return -EINVAL;
    f = gofer_fid_get(&c->server->fids, q.fid);
    if (!f)
        return -EBADF;
    head = gofercodec_reserve(&c->out, sizeof(d.r));
    d.flags = q.flags;
    d.cursor = q.cursor;
    d.limit = c->out.size + (q.size < GOFERP_DATA_MAX ? q.size : GOFERP_DATA_MAX);
    rc = readdir_run(&d, f);
    gofer_call_put(c, f);
    memcpy(head, &d.r, sizeof(d.r));
    return rc;
}
