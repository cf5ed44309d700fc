/* Sockets inside the sandbox.
 *
 *   socket   the object behind a socket descriptor: state, queues, options
 *   family   AF_UNIX, AF_INET, AF_INET6, AF_NETLINK: names and lookups; the message engine is
 * shared
 *
 * Two engines carry all local traffic: connected byte or message streams (unix stream and
 * seqpacket, TCP) and datagrams (unix, UDP). There is no packet layer: loopback is a queue. A
 * provider that reaches the host's network (--network=host) or a stack of our own plugs in as
 * another family implementation.
 *
 * Locks: one lock of class LR_SOCKET guards the links between sockets and their queues; copies to
 * and from guests happen outside it. */
#pragma once

#include "fs/vfs.h"
#include "kernel/kernel.h"
#include <sys/socket.h>

struct socket;

/* socket(2), socketpair(2): new descriptors. */
int64_t net_socket(struct task *t, int family, int type, int protocol);
int64_t net_socketpair(struct task *t, int family, int type, int protocol, int fds[2]);

/* The calls on a descriptor; addresses are kernel memory, sizes checked by the callee. */
int64_t net_bind(struct task *t, int fd, const struct sockaddr_storage *addr, unsigned size);
int64_t net_connect(struct task *t, int fd, const struct sockaddr_storage *addr, unsigned size);
int64_t net_listen(struct task *t, int fd, int backlog);
int64_t net_accept(struct task *t, int fd, int flags, struct sockaddr_storage *addr,
                   unsigned *size);
int64_t net_shutdown(struct task *t, int fd, int how);
int64_t net_getname(struct task *t, int fd, bool peer, struct sockaddr_storage *addr,
                    unsigned *size);
int64_t net_setsockopt(struct task *t, int fd, int level, int name, const void *value,
                       unsigned size);
/* value has room for *size bytes (at most NET_OPT_MAX); *size becomes what was written. */
#define NET_OPT_MAX 4096
int64_t net_getsockopt(struct task *t, int fd, int level, int name, void *value, unsigned *size);

#define NET_SCM_MAX_FDS 253

/* One message in or out. */
struct net_msg {
    struct uio *uio;
    struct sockaddr_storage addr;        /* destination, or source */
    unsigned addr_size;                  /* 0: none */
    int flags;                           /* MSG_* of the caller */
    int out_flags;                       /* MSG_TRUNC, MSG_CTRUNC, MSG_EOR … for recvmsg */
    struct file *files[NET_SCM_MAX_FDS]; /* SCM_RIGHTS; counted */
    unsigned file_count;
    bool has_creds;
    struct ucred creds; /* SCM_CREDENTIALS */
};
int64_t net_sendmsg(struct task *t, struct socket *s, struct file *f, struct net_msg *m);
int64_t net_recvmsg(struct task *t, struct socket *s, struct file *f, struct net_msg *m);

/* The socket behind a descriptor: *f counted for the caller, the socket borrowed from it. -EBADF,
 * -ENOTSOCK. */
int net_socket_of(struct task *t, int fd, struct file **f, struct socket **out);
bool net_file_is_socket(struct file *f);
bool net_wants_creds(struct socket *s); /* SO_PASSCRED */

/* SIOCGIF* and other interface questions. */
int64_t net_ioctl_interface(struct task *t, unsigned cmd, uint64_t arg);

/* /proc/net/{unix,tcp,tcp6,udp,udp6}: line at *index, advancing it; 0 at the end. */
enum net_proc_table { NET_PROC_UNIX, NET_PROC_TCP, NET_PROC_TCP6, NET_PROC_UDP, NET_PROC_UDP6 };
int net_proc_line(enum net_proc_table table, unsigned *index, char *buf, size_t size);
