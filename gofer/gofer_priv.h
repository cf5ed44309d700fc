/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rf-gofer: shared by its own files only.
 *
 * channel.c receives a datagram, server.c checks it and finds its handler in the table, ops_*.c do
 * the work on descriptors that fid.c keeps, confine.c and seccomp.c shut the process in before the
 * first byte is read.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "gofercodec.h"
#include "goferproto.h"

struct gofer_export {
    int fd;         /* O_PATH root; const after init */
    uint32_t flags; /* GOFERP_EXPORT_*; const after init */
};

#define GOFER_EXPORT_MAX 256

struct gofer_policy {
    bool unix_sockets; /* BIND, CONNECT */
    bool fifos;        /* OPEN of fifos */
    uint32_t fid_max;  /* 0: from RLIMIT_NOFILE */
};

/* ---- fids: see fid.c ---- */

enum gofer_fid_kind { GOFER_FID_NODE, GOFER_FID_DIR };

/* What is fixed about an inode. */
struct gofer_inode {
    uint16_t format; /* S_IFMT bits */
    uint32_t dev_major, dev_minor;
};

struct gofer_fid {
    int fd;                   /* const while referenced */
    uint16_t export;          /* const while referenced */
    uint8_t kind;             /* enum gofer_fid_kind; const while referenced */
    struct gofer_inode inode; /* const while referenced */
    uint32_t generation;      /* lock: table */
    uint32_t refs;            /* lock: table; 0 = free */
    uint32_t next_free;       /* lock: table */
    uint32_t index;           /* const after init */
    bool live;                /* lock: table; not yet clunked */
    pthread_mutex_t lock;     /* DIR: the descriptor's position */
    uint64_t position;        /* lock: lock; where the next getdents reads */
};

struct gofer_fid_table {
    pthread_mutex_t lock;
    struct gofer_fid **chunks; /* lock: lock; slots never move */
    uint32_t slot_count;       /* lock: lock; made so far */
    uint32_t slot_max;         /* const after init */
    uint32_t first_free;       /* lock: lock; index + 1, 0 = none */
};

int gofer_fid_table_init(struct gofer_fid_table *t, uint32_t max);
void gofer_fid_table_destroy(struct gofer_fid_table *t);
/* A free slot, not yet visible, with the caller's reference; -EMFILE. Give it to install or cancel.
 */
int gofer_fid_reserve(struct gofer_fid_table *t, struct gofer_fid **out);
void gofer_fid_cancel(struct gofer_fid_table *t, struct gofer_fid *f);
/* Publish: consumes fd; the caller keeps its reference. Returns the fid's number. */
uint64_t gofer_fid_install(struct gofer_fid_table *t, struct gofer_fid *f, int fd,
                           enum gofer_fid_kind kind, uint16_t export,
                           const struct gofer_inode *inode);
/* A counted reference, or NULL: no such fid. */
struct gofer_fid *gofer_fid_get(struct gofer_fid_table *t, uint64_t fid);
void gofer_fid_put(struct gofer_fid_table *t, struct gofer_fid *f);
/* Forget the number; the descriptor goes with the last reference. */
bool gofer_fid_clunk(struct gofer_fid_table *t, uint64_t fid);

/* ---- server ---- */

struct gofer_server {
    struct gofer_export exports[GOFER_EXPORT_MAX]; /* const after init */
    uint32_t export_count;                         /* const after init */
    int procfd; /* /proc/self/fd: reopens exactly the inode behind an O_PATH descriptor; const after
                   init */
    struct gofer_policy policy; /* const after init */
    struct gofer_fid_table fids;
    bool versioned;         /* atomic: the handshake is done */
    uint32_t channel_count; /* atomic */
};

/* One request being served; private to its thread. */
struct gofer_call {
    struct gofer_server *server;
    struct gofercodec_reader in;
    struct gofercodec_writer out;
    int fd;         /* donated with the reply and then closed here; -1 */
    int channel_fd; /* CHANNEL: our end of the new socket, to be served; -1 */
};

typedef int (*gofer_handler)(struct gofer_call *call);

/*
 * Serve one message: writes a whole reply into out (GOFERP_MSG_MAX bytes) and returns its size.
 * Never fails; nothing in the message is trusted. The caller sends it with call->fd, closes that,
 * and serves call->channel_fd.
 */
size_t gofer_server_dispatch(struct gofer_server *s, const void *msg, size_t size, void *out,
                             struct gofer_call *call);
int gofer_server_init(struct gofer_server *s, uint32_t fid_max);
void gofer_server_destroy(struct gofer_server *s);

/* Serves the first channel in this thread until the peer closes it. */
void gofer_channel_serve(struct gofer_server *s, int fd);

/* ---- helpers of the handlers ---- */

#define GOFER_FDNAME_SIZE 12
/* "123": the name of a descriptor below procfd (and below the working directory, which is procfd).
 */
const char *gofer_fdname(int fd, char buf[GOFER_FDNAME_SIZE]);

struct gofer_name {
    char s[GOFERP_NAME_MAX + 1];
};
/* The next blob as one path component: -ENOENT, -ENAMETOOLONG, -EINVAL, -EBADMSG. */
int gofer_call_name(struct gofer_call *c, struct gofer_name *name);
/* The whole request must have been read. */
int gofer_call_end(const struct gofer_call *c);
/* A node fid / a directory node to be changed; counted references. */
int gofer_call_node(struct gofer_call *c, uint64_t fid, bool changes, struct gofer_fid **out);
int gofer_call_dir(struct gofer_call *c, uint64_t fid, bool changes, struct gofer_fid **out);
void gofer_call_put(struct gofer_call *c, struct gofer_fid *f);

int gofer_stat_fd(int fd, struct statx *st);
int gofer_stat_name(int dirfd, const char *name, struct statx *st);
void gofer_attr_from(const struct statx *st, struct goferp_attr *attr);
struct gofer_inode gofer_inode_from(const struct statx *st);
int gofer_call_put_attr(struct gofer_call *c, int fd);
/* Look up one name beneath dirfd without following anything: an O_PATH descriptor and its
 * attributes. */
int gofer_step(int dirfd, const struct gofer_inode *dir, const char *name, int *fd,
               struct statx *st);
/* The same without a descriptor. */
int gofer_step_stat(int dirfd, const struct gofer_inode *dir, const char *name, struct statx *st);
int gofer_open_flags_check(const struct gofer_server *s, uint32_t flags, uint16_t export);
/* A new dir fid for a directory node. */
int gofer_open_dir(struct gofer_call *c, struct gofer_fid *node, uint32_t flags, uint64_t *fid);
/* A real descriptor for the inode that an O_PATH descriptor stands for. */
int gofer_reopen(const struct gofer_server *s, int fd, int flags);

int gofer_op_version(struct gofer_call *c);
int gofer_op_attach(struct gofer_call *c);
int gofer_op_channel(struct gofer_call *c);
int gofer_op_ping(struct gofer_call *c);
int gofer_op_clunk(struct gofer_call *c);
int gofer_op_walk(struct gofer_call *c);
int gofer_op_getattr(struct gofer_call *c);
int gofer_op_setattr(struct gofer_call *c);
int gofer_op_statfs(struct gofer_call *c);
int gofer_op_readlink(struct gofer_call *c);
int gofer_op_access(struct gofer_call *c);
int gofer_op_open(struct gofer_call *c);
int gofer_op_create(struct gofer_call *c);
int gofer_op_tmpfile(struct gofer_call *c);
int gofer_op_fsync(struct gofer_call *c);
int gofer_op_flush(struct gofer_call *c);
int gofer_op_fallocate(struct gofer_call *c);
int gofer_op_readdir(struct gofer_call *c);
int gofer_op_mkdir(struct gofer_call *c);
int gofer_op_symlink(struct gofer_call *c);
int gofer_op_mknod(struct gofer_call *c);
int gofer_op_link(struct gofer_call *c);
int gofer_op_unlink(struct gofer_call *c);
int gofer_op_rename(struct gofer_call *c);
int gofer_op_getxattr(struct gofer_call *c);
int gofer_op_setxattr(struct gofer_call *c);
int gofer_op_listxattr(struct gofer_call *c);
int gofer_op_removexattr(struct gofer_call *c);
int gofer_op_bind(struct gofer_call *c);
int gofer_op_connect(struct gofer_call *c);

/* ---- confinement: main.c only ---- */

struct gofer_config {
    int fd;             /* first channel */
    int log_fd;         /* -1: none */
    uint64_t keep_caps; /* bit set of CAP_* */
    bool allow_partial; /* go on where a namespace or the empty root cannot be had */
    bool changes;       /* some export is writable */
    struct gofer_policy policy;
    const char *selftest; /* NULL or "forbidden" */
};

/* All but seccomp: namespaces, empty root, capabilities, limits. 0, or negative errno after a log
 * line. */
int gofer_confine(struct gofer_server *s, const struct gofer_config *cfg);
int gofer_seccomp_load(bool changes, bool unix_sockets);
void gofer_seccomp_print(void);
void gofer_log(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
extern int g_gofer_log_fd;
