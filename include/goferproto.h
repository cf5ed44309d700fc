/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wire protocol between the sentry (client) and rf-gofer (server).
 *
 * Transport: SOCK_SEQPACKET unix sockets ("channels"). One datagram is one message. A channel
 * carries one request at a time: the client sends a request and reads the reply to it from the same
 * channel. Several requests are in flight by using several channels; the CHANNEL message makes one
 * more, and each is served by its own server thread, so a slow FSYNC blocks only its caller. The
 * tag is chosen by the client and echoed.
 *
 * Every message starts with a fixed 16-byte header; all integers are little-endian, all structures
 * have the same layout for every compiler (static_asserts below). Names and other variable parts
 * follow the fixed body, each as struct goferp_blob (u16 size) and that many bytes, without padding
 * or terminator.
 *
 * A *fid* is a 64-bit handle that the server made. A *node* fid stands for a file that the server
 * holds open with O_PATH; a *dir* fid, made by OPEN, is an open directory with a read position.
 * Fids live until CLUNK or until the last channel closes. A stale or invented fid is answered with
 * -EBADF; its number is not reused (generation in the upper half).
 *
 * Status in replies is 0 or a negative Linux errno. A reply with an error has no body and no
 * descriptor. -EMFILE means "too many fids": CLUNK some and try again.
 */
#pragma once

#include <assert.h>
#include <stdint.h>

#define GOFERP_MAGIC    0x31504652u /* "RFP1" */
#define GOFERP_PROTOCOL 1u

#define GOFERP_DATA_MAX       65536u /* most bytes of variable part (READDIR, xattr value) */
#define GOFERP_MSG_MAX        (GOFERP_DATA_MAX + 512u) /* most bytes of a whole message */
#define GOFERP_NAME_MAX       255u
#define GOFERP_PATH_MAX       4095u /* symlink target */
#define GOFERP_WALK_MAX       64u   /* components in one WALK */
#define GOFERP_CLUNK_MAX      1024u /* fids in one CLUNK */
#define GOFERP_CHANNELS_MAX   16u   /* channels of one connection, the first included */
#define GOFERP_XATTR_NAME_MAX 255u
#define GOFERP_NOFID          0ull
#define GOFERP_NOCPU          0xffffffffu
#define GOFERP_ID_KEEP        0xffffffffu /* uid/gid: leave what the host gives */

/* X(NAME, number, changes the tree, what it does). Numbers are ABI: append only. */
#define GOFERP_MESSAGES(X)                                                                         \
    X(VERSION, 1, 0, "handshake: must be the first message of a connection")                       \
    X(ATTACH, 2, 0, "fid and attributes of an export's root")                                      \
    X(CHANNEL, 3, 0, "a further channel, as a descriptor")                                         \
    X(PING, 4, 0, "nothing; measures the way")                                                     \
    X(WALK, 5, 0, "look up many components; stops at symlinks and missing names")                  \
    X(CLUNK, 6, 0, "drop fids, many at once")                                                      \
    X(GETATTR, 7, 0, "attributes of a fid")                                                        \
    X(SETATTR, 8, 1, "mode, owner, size, times")                                                   \
    X(OPEN, 9, 0, "open a node: host descriptor of a file, dir fid of a directory")                \
    X(CREATE, 10, 1, "create (or open) a regular file in a directory")                             \
    X(MKDIR, 11, 1, "make a directory")                                                            \
    X(SYMLINK, 12, 1, "make a symbolic link")                                                      \
    X(LINK, 13, 1, "make a hard link to a node")                                                   \
    X(MKNOD, 14, 1, "make a fifo, socket or regular file")                                         \
    X(UNLINK, 15, 1, "remove a name")                                                              \
    X(RENAME, 16, 1, "rename, with NOREPLACE and EXCHANGE")                                        \
    X(READLINK, 17, 0, "target of a symbolic link")                                                \
    X(READDIR, 18, 0, "directory entries from a cursor, with attributes if asked")                 \
    X(STATFS, 19, 0, "statistics of the filesystem of a fid")                                      \
    X(FSYNC, 20, 0, "fsync or fdatasync")                                                          \
    X(FLUSH, 21, 0, "syncfs of the filesystem of a fid")                                           \
    X(GETXATTR, 22, 0, "value of an extended attribute")                                           \
    X(SETXATTR, 23, 1, "set an extended attribute")                                                \
    X(LISTXATTR, 24, 0, "names of extended attributes")                                            \
    X(REMOVEXATTR, 25, 1, "remove an extended attribute")                                          \
    X(FALLOCATE, 26, 1, "fallocate(2) on a regular file")                                          \
    X(ACCESS, 27, 0, "what the gofer itself may do with a node")                                   \
    X(BIND, 28, 1, "make and bind a unix socket (policy)")                                         \
    X(CONNECT, 29, 0, "connect to a unix socket (policy)")                                         \
    X(TMPFILE, 30, 1, "make a regular file without a name")

enum goferp_type {
#define X(name, number, changes, what) GOFERP_##name = number,
    GOFERP_MESSAGES(X)
#undef X
        GOFERP_TYPE_END
};

/* Structures are naturally aligned without padding holes; copy them in and out of messages, never
 * cast. */
#define GOFERP_SIZE(name, size) static_assert(sizeof(struct name) == (size), #name " is ABI")

struct goferp_req { /* header of a request */
    uint32_t size;  /* of the whole message; equals the datagram's size */
    uint16_t type;  /* enum goferp_type */
    uint16_t zero;
    uint32_t tag;
    uint32_t cpu; /* where the caller runs, or GOFERP_NOCPU: the server thread follows (same-CPU
                     wake-ups are 5x cheaper) */
};
GOFERP_SIZE(goferp_req, 16);

struct goferp_rep { /* header of a reply */
    uint32_t size;
    uint16_t type;
    uint16_t fd_count; /* 0 or 1 descriptors come with it */
    uint32_t tag;
    int32_t status;
};
GOFERP_SIZE(goferp_rep, 16);

struct goferp_blob { /* in front of each name, path or value */
    uint16_t size;
};
GOFERP_SIZE(goferp_blob, 2);

struct goferp_attr {
    uint64_t ino, size, blocks;
    int64_t atime, mtime, ctime, btime; /* seconds */
    uint32_t atime_nsec, mtime_nsec, ctime_nsec, btime_nsec;
    uint32_t mode; /* type and permission bits */
    uint32_t nlink, uid, gid;
    uint32_t dev_major, dev_minor, rdev_major, rdev_minor;
    uint32_t blksize;
    uint32_t mask;       /* STATX_* bits that are valid */
    uint64_t attributes; /* STATX_ATTR_* */
    uint64_t mnt_id;
};
GOFERP_SIZE(goferp_attr, 128);

/* VERSION */
struct goferp_version_req {
    uint32_t magic, version_min, version_max, zero;
};
GOFERP_SIZE(goferp_version_req, 16);
struct goferp_version_rep {
    uint32_t version; /* chosen, within the client's range; else status is -EPROTONOSUPPORT */
    uint32_t msg_max;
    uint32_t channel_max;
    uint32_t fid_max; /* most fids the server will hold at once */
    uint32_t export_count;
    uint32_t features; /* GOFERP_F_* */
};
GOFERP_SIZE(goferp_version_rep, 24);
#define GOFERP_F_UNIX 1u /* BIND and CONNECT are allowed */
#define GOFERP_F_FIFO 2u /* OPEN of fifos is allowed */

/* ATTACH */
struct goferp_attach_req {
    uint32_t export, zero;
};
GOFERP_SIZE(goferp_attach_req, 8);
struct goferp_attach_rep {
    uint64_t fid;
    uint32_t flags; /* GOFERP_EXPORT_* */
    uint32_t zero;
    struct goferp_attr attr;
};
GOFERP_SIZE(goferp_attach_rep, 144);
#define GOFERP_EXPORT_RO 1u

/*
 * WALK: body, then count names (blobs). Reply: body, then `walked` entries, then, if the last entry
 * is a symlink, its target as one blob. `stop` says why fewer than count names were walked:
 * -ENOENT, -ENOTDIR, -ELOOP (the last entry is a symlink: the sentry resolves it), -EACCES ...; 0
 * when all were. count 0 gives one entry for the fid itself (a clone).
 * "." and ".." are -EINVAL: the sentry resolves them.
 */
struct goferp_walk_req {
    uint64_t fid;
    uint16_t count;
    uint16_t flags;      /* GOFERP_WALK_* */
    uint32_t open_flags; /* for GOFERP_WALK_OPEN: see OPEN */
};
GOFERP_SIZE(goferp_walk_req, 16);
#define GOFERP_WALK_EACH                                                                           \
    1u                      /* a fid for every component; without it only the last entry has one   \
                             */
#define GOFERP_WALK_STAT 2u /* no fids at all */
#define GOFERP_WALK_OPEN                                                                           \
    4u /* all walked, and the last is a regular file: donate its descriptor too (if it opens) */
struct goferp_walk_rep {
    uint16_t walked;
    uint16_t zero;
    int32_t stop;
};
GOFERP_SIZE(goferp_walk_rep, 8);
struct goferp_node { /* a walked entry; also the reply body of OPEN, MKDIR, SYMLINK, MKNOD, BIND,
                        TMPFILE */
    uint64_t fid;    /* GOFERP_NOFID where none was asked for */
    struct goferp_attr attr;
};
GOFERP_SIZE(goferp_node, 136);

/* CLUNK: body, then count u64 fids. Unknown ones are skipped; the reply says how many were dropped.
 */
struct goferp_clunk_req {
    uint32_t count, zero;
};
GOFERP_SIZE(goferp_clunk_req, 8);
struct goferp_clunk_rep {
    uint32_t dropped, zero;
};
GOFERP_SIZE(goferp_clunk_rep, 8);

/* GETATTR, READLINK, STATFS, FLUSH: only the fid. GETATTR's reply is struct goferp_attr, READLINK's
 * one blob. */
struct goferp_fid_req {
    uint64_t fid;
};
GOFERP_SIZE(goferp_fid_req, 8);

/*
 * SETATTR: applies owner, mode, size, times in this order and stops at the first error; reply is
 * struct goferp_attr. nsec may be UTIME_NOW or UTIME_OMIT.
 */
struct goferp_setattr_req {
    uint64_t fid;
    uint32_t valid; /* GOFERP_SET_* */
    uint32_t mode;  /* 07777 */
    uint32_t uid, gid;
    uint64_t size;
    int64_t atime, mtime;
    uint32_t atime_nsec, mtime_nsec;
};
GOFERP_SIZE(goferp_setattr_req, 56);
#define GOFERP_SET_MODE  1u
#define GOFERP_SET_OWNER 2u /* uid and gid; GOFERP_ID_KEEP leaves one */
#define GOFERP_SET_SIZE  4u
#define GOFERP_SET_TIMES 8u

/*
 * OPEN: access mode and O_TRUNC, O_APPEND, O_DIRECT, O_SYNC, O_DSYNC, O_NOATIME, O_NONBLOCK of
 * open(2) as on x86-64; others are -EINVAL. Regular files (and fifos, by policy): one descriptor,
 * fid is GOFERP_NOFID. Directories: a dir fid. Symlinks are -ELOOP, sockets -ENXIO, devices
 * -EACCES.
 */
struct goferp_open_req {
    uint64_t fid;
    uint32_t flags, zero;
};
GOFERP_SIZE(goferp_open_req, 16);

/* CREATE: body, name. With O_EXCL an existing name is -EEXIST; without, it is opened. Reply:
 * goferp_create_rep + fd. */
struct goferp_create_req {
    uint64_t dir;
    uint32_t flags; /* as OPEN, and O_EXCL */
    uint32_t mode;  /* umask already applied */
    uint32_t uid, gid;
};
GOFERP_SIZE(goferp_create_req, 24);
struct goferp_create_rep {
    struct goferp_node node;
    uint32_t created, zero;
};
GOFERP_SIZE(goferp_create_rep, 144);

/* TMPFILE: body only (goferp_create_req). Reply: goferp_node + fd. LINK can name it, unless O_EXCL
 * was given. */

/* MKDIR, SYMLINK, MKNOD, BIND: body, name (SYMLINK: name, target). Reply: goferp_node (BIND: and a
 * descriptor). */
struct goferp_make_req {
    uint64_t dir;
    uint32_t mode; /* MKNOD: with type, S_IFIFO, S_IFSOCK or S_IFREG; devices are -EPERM */
    uint32_t uid, gid;
    uint32_t socktype; /* BIND: SOCK_STREAM, SOCK_DGRAM or SOCK_SEQPACKET */
};
GOFERP_SIZE(goferp_make_req, 24);

/* LINK: body, name. Reply: goferp_attr of the node. */
struct goferp_link_req {
    uint64_t fid, dir;
};
GOFERP_SIZE(goferp_link_req, 16);

/* UNLINK: body, name. */
struct goferp_unlink_req {
    uint64_t dir;
    uint32_t flags; /* AT_REMOVEDIR or 0 */
    uint32_t zero;
};
GOFERP_SIZE(goferp_unlink_req, 16);

/* RENAME: body, old name, new name. Both directories must be of one export, else -EXDEV. */
struct goferp_rename_req {
    uint64_t olddir, newdir;
    uint32_t flags; /* RENAME_NOREPLACE or RENAME_EXCHANGE or 0 */
    uint32_t zero;
};
GOFERP_SIZE(goferp_rename_req, 24);

/*
 * READDIR on a dir fid. cursor is 0 or the `off` of the last entry taken. Reply: body, then count
 * entries, each struct goferp_dirent, name, zero padding to 8 bytes, and with GOFERP_READDIR_PLUS a
 * goferp_attr (mask 0 if the name vanished meanwhile). "." and ".." are not listed. count 0 is the
 * end. With GOFERP_READDIR_ONCE the fid is a node, opened for this request, and the cursor 0: a
 * small directory takes one round trip. If it does not end there, the reply's fid is its new dir
 * fid.
 */
struct goferp_readdir_req {
    uint64_t fid;
    uint64_t cursor;
    uint32_t size; /* most bytes of entries wanted, up to GOFERP_DATA_MAX */
    uint32_t flags;
};
GOFERP_SIZE(goferp_readdir_req, 24);
#define GOFERP_READDIR_PLUS 1u
#define GOFERP_READDIR_ONCE 2u
struct goferp_readdir_rep {
    uint32_t count;
    uint32_t eof; /* nothing follows these entries */
    uint64_t fid; /* READDIR_ONCE without eof: to go on with; else GOFERP_NOFID */
};
GOFERP_SIZE(goferp_readdir_rep, 16);
struct goferp_dirent {
    uint64_t ino;
    uint64_t off;
    uint8_t type; /* DT_* */
    uint8_t name_size;
    uint16_t zero;
    uint32_t zero2;
};
GOFERP_SIZE(goferp_dirent, 24);

struct goferp_statfs_rep {
    uint64_t type, bsize, blocks, bfree, bavail, files, ffree, fsid, namelen, frsize, flags;
};
GOFERP_SIZE(goferp_statfs_rep, 88);

struct goferp_fsync_req {
    uint64_t fid;
    uint32_t datasync, zero;
};
GOFERP_SIZE(goferp_fsync_req, 16);

/* GETXATTR: body, name; reply one blob32 (u32 size, bytes; only the size if req.size is 0).
 * LISTXATTR: body; the same reply, names each with its NUL. SETXATTR: body, name, blob32 value.
 * REMOVEXATTR: body, name. "security.*", "trusted.*" and POSIX ACL names are -EOPNOTSUPP where they
 * would be set. */
struct goferp_xattr_req {
    uint64_t fid;
    uint32_t size;  /* GET, LIST: room that the caller has, as getxattr(2) */
    uint32_t flags; /* SET: XATTR_CREATE or XATTR_REPLACE or 0 */
};
GOFERP_SIZE(goferp_xattr_req, 16);

struct goferp_fallocate_req {
    uint64_t fid;
    uint64_t offset, length;
    uint32_t mode, zero; /* FALLOC_FL_* */
};
GOFERP_SIZE(goferp_fallocate_req, 32);

struct goferp_access_req {
    uint64_t fid;
    uint32_t mode, zero; /* R_OK | W_OK | X_OK */
};
GOFERP_SIZE(goferp_access_req, 16);

struct goferp_connect_req {
    uint64_t fid;
    uint32_t socktype, zero;
};
GOFERP_SIZE(goferp_connect_req, 16);
