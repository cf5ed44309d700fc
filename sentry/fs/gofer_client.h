/* The sentry's end of the gofer protocol (include/goferproto.h): typed, blocking requests.
 *
 * Every function may be called from many threads at once. A request takes a free channel, sends,
 * and waits on that same channel for its own reply: no other sentry thread is involved. Channels
 * are made as threads need them, up to GOFERP_CHANNELS_MAX; one more thread waits for a free one.
 * No lock is held while a request is out.
 *
 * All return 0 (or a size) or a negative errno; -EIO when the gofer is gone or breaks the
 * protocol, and then for ever. Results are written only on success. Descriptors in results are
 * the caller's (close-on-exec). Fids in results are the caller's, to be given to gofer_fid_drop.
 * uid, gid GOFERP_ID_KEEP: whatever the host gives. Names are single components.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "goferproto.h"

struct gofer;

/* Handshake over a connected SOCK_SEQPACKET socket. consumes fd, also on failure. */
int gofer_connect(int fd, struct gofer **out);
/* Mounts hold references; with the last one the connection is closed, and fids die with it. No request
 * may be out then. */
void gofer_get(struct gofer *g);
void gofer_put(struct gofer *g);
/* The descriptor that tells by POLLHUP that the server is gone; borrowed. */
int gofer_poll_fd(const struct gofer *g);
/* What the server said of itself: export_count, fid_max, features. Borrowed. */
const struct goferp_version_rep *gofer_info(const struct gofer *g);

int gofer_attach(struct gofer *g, uint32_t export, struct goferp_attach_rep *out);
int gofer_ping(struct gofer *g);

/* A walk. `path` is relative to fid: components between slashes, empty ones and "." are skipped;
 * it ends before "..", after GOFERP_WALK_MAX components, or when nodes is full. */
struct gofer_walk {
    uint64_t fid;
    const char *path;
    size_t path_size;
    uint16_t flags;            /* GOFERP_WALK_* */
    uint32_t open_flags;       /* with GOFERP_WALK_OPEN */
    struct goferp_node *nodes; /* one for each component; fid where flags say so */
    unsigned node_max;
    char *target; /* GOFERP_PATH_MAX + 1 bytes or NULL: target of a symlink that ends the walk */
    /* results */
    unsigned asked;     /* components sent */
    unsigned walked;    /* entries in nodes */
    int stop;           /* 0 if walked == asked, else why not: -ENOENT, -ELOOP (a symlink) ... */
    size_t used;        /* bytes of path behind which the walk ended, with all that was asked */
    size_t target_size; /* 0: none. target is NUL-terminated */
    int fd;             /* GOFERP_WALK_OPEN: descriptor of the last, or -1: use gofer_open */
};
int gofer_walk(struct gofer *g, struct gofer_walk *w);

int gofer_getattr(struct gofer *g, uint64_t fid, struct goferp_attr *out);
/* attr (may be NULL): as it is afterwards. */
int gofer_setattr(struct gofer *g, const struct goferp_setattr_req *q, struct goferp_attr *attr);
int gofer_statfs(struct gofer *g, uint64_t fid, struct goferp_statfs_rep *out);
/* Size of the target, NUL-terminated in buf of GOFERP_PATH_MAX + 1 bytes. */
int gofer_readlink(struct gofer *g, uint64_t fid, char *buf);
int gofer_access(struct gofer *g, uint64_t fid, unsigned mode);

/* Regular file (or fifo, by policy): *fd. Directory: *fd is -1 and node->fid a dir fid for
 * gofer_readdir. node (may be NULL unless a directory is opened): attributes after the open. */
int gofer_open(struct gofer *g, uint64_t fid, unsigned flags, int *fd, struct goferp_node *node);
struct gofer_owner {
    uint32_t mode; /* umask applied; MKNOD: with its type */
    uint32_t uid, gid;
};
/* flags as open(2), O_EXCL or not. */
int gofer_create(struct gofer *g, uint64_t dir, const char *name, unsigned flags,
                 const struct gofer_owner *own, int *fd, struct goferp_create_rep *out);
/* O_TMPFILE: a file without a name in dir's filesystem; gofer_link can name it. */
int gofer_tmpfile(struct gofer *g, uint64_t dir, unsigned flags, const struct gofer_owner *own,
                  int *fd, struct goferp_node *out);
int gofer_mkdir(struct gofer *g, uint64_t dir, const char *name, const struct gofer_owner *own,
                struct goferp_node *out);
int gofer_mknod(struct gofer *g, uint64_t dir, const char *name, const struct gofer_owner *own,
                struct goferp_node *out);
int gofer_symlink(struct gofer *g, uint64_t dir, const char *name, const char *target,
                  const struct gofer_owner *own, struct goferp_node *out);
int gofer_link(struct gofer *g, uint64_t fid, uint64_t dir, const char *name,
               struct goferp_attr *attr);
int gofer_unlink(struct gofer *g, uint64_t dir, const char *name, bool is_dir);
int gofer_rename(struct gofer *g, uint64_t olddir, const char *old, uint64_t newdir,
                 const char *new, unsigned flags);

/* Entries (see READDIR in goferproto.h) into buf, from cursor on; bytes written, 0 at the end.
 * *eof (may be NULL): nothing follows these. Walk them with gofer_dirent_next. */
int gofer_readdir(struct gofer *g, uint64_t dirfid, uint64_t cursor, unsigned flags, void *buf,
                  size_t size, bool *eof);
/* The same from the start of a directory node, without opening it first. *dirfid: GOFERP_NOFID when
 * that was all, else a dir fid to go on with, from the last entry's head.off. */
int gofer_readdir_once(struct gofer *g, uint64_t fid, unsigned flags, void *buf, size_t size,
                       uint64_t *dirfid);
struct gofer_dirent {
    struct goferp_dirent head;
    char name[GOFERP_NAME_MAX + 1];
    struct goferp_attr attr; /* GOFERP_READDIR_PLUS; mask 0: vanished */
};
/* The entry at *at, which moves on; false at the end. Checks what the gofer sent. */
bool gofer_dirent_next(const void *buf, size_t size, unsigned flags, size_t *at,
                       struct gofer_dirent *out);

int gofer_fsync(struct gofer *g, uint64_t fid, bool datasync);
int gofer_syncfs(struct gofer *g, uint64_t fid);
int gofer_fallocate(struct gofer *g, uint64_t fid, unsigned mode, uint64_t offset, uint64_t length);

/* As getxattr(2), listxattr(2): the size; size 0 only asks. */
int gofer_getxattr(struct gofer *g, uint64_t fid, const char *name, void *buf, size_t size);
int gofer_listxattr(struct gofer *g, uint64_t fid, void *buf, size_t size);
int gofer_setxattr(struct gofer *g, uint64_t fid, const char *name, const void *value, size_t size,
                   unsigned flags);
int gofer_removexattr(struct gofer *g, uint64_t fid, const char *name);

/* Unix sockets, if gofer_info()->features has GOFERP_F_UNIX. *fd is non-blocking. */
int gofer_bind(struct gofer *g, uint64_t dir, const char *name, unsigned socktype,
               const struct gofer_owner *own, int *fd, struct goferp_node *out);
int gofer_connect_unix(struct gofer *g, uint64_t fid, unsigned socktype, int *fd);

/* Forget a fid, node or dir. Collected, and sent many at once: never blocks for long, never fails.
 * Its descriptor stays with the server until then; a request that finds the server full sends them
 * first and tries again. */
void gofer_fid_drop(struct gofer *g, uint64_t fid);
/* Send the collected ones now. */
void gofer_fid_drop_flush(struct gofer *g);
