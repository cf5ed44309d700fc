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
/* The two files; the caller has found that it can install them. */
int net_socketpair(struct task *t, int family, int type, int protocol, struct file *out[2]);

/* The calls on a descriptor; addresses are kernel memory, sizes checked by the callee. */
int64_t net_bind(struct task *t, int fd, const struct sockaddr_storage *addr, unsigned size);
int64_t net_connect(struct task *t, int fd, const struct sockaddr_storage *addr, unsigned size);
int64_t net_listen(struct task *t, int fd, int backlog);
int64_t net_accept(struct task *t, int fd, int flags, struct sockaddr_storage *addr,
                   unsigned *size);
int64_t net_shutdown(struct task *t, int fd, int how);
int64_t net_getname(struct task *t, int fd, bool peer, struct sockaddr_storage *addr,
                    unsigned *size);
/* value: what could be read of the guest's size bytes, at most NET_OPT_MAX; fault: nothing could. */
int64_t net_setsockopt(struct task *t, int fd, int level, int name, const void *value,
                       unsigned size, bool fault);
/* value has room for *size bytes (at most NET_OPT_MAX); *size becomes what was written. */
#define NET_OPT_MAX 4096
int64_t net_getsockopt(struct task *t, int fd, int level, int name, void *value, unsigned *size);

#define NET_SCM_MAX_FDS 253
#define NET_CONTROL_MAX 65536 /* ancillary data of one message, net.core.optmem_max's order */

struct packet_meta;
struct scm;

/* One message in or out. */
struct net_msg {
    struct uio *uio;
    struct sockaddr_storage addr; /* destination, or source */
    unsigned addr_size;           /* 0: none */
    int flags;                    /* MSG_* of the caller */
    int out_flags;                /* MSG_TRUNC, MSG_CTRUNC, MSG_EOR … for recvmsg */
    struct scm *scm;              /* SCM_RIGHTS; owned */
    bool has_creds;
    bool want_pidfd;    /* SO_PASSPIDFD: one for creds.pid */
    struct ucred creds; /* SCM_CREDENTIALS */
    /* Out: what the control messages asked for. */
    struct {
        int ttl, tos;                     /* -1: the socket's */
        uint16_t gso;                     /* UDP_SEGMENT */
        bool has_source, has_gso, has_mark, has_stamping, has_txtime;
        uint8_t source[16];               /* IP_PKTINFO, IPV6_PKTINFO; IPv4 as mapped */
        int ifindex;
        uint32_t mark, stamping, priority;
    } tx;
    char *raw_control; /* owned; as the caller gave them, for a provider */
    size_t raw_control_size;
    /* In: control messages are collected here if set (kernel memory); else they are dropped. */
    char *control;
    size_t control_room, control_size;
};
/* lo of a new namespace is down until somebody sets it up: for containers, we do. */
struct ns;
void net_ns_set_up(struct ns *ns);
void net_use_host(void); /* before the first socket: --network=host */
void net_msg_init(struct net_msg *m, struct uio *u, int flags);
void net_msg_release(struct net_msg *m);
/* Ancillary data of a sender: kernel memory, as cmsg(3) lays it out. */
int net_control_parse(struct task *t, struct socket *s, struct net_msg *m, const char *buf,
                      size_t size);
/* After a receive: descriptors become the task's, and the rest of the control messages are written.
 */
void net_control_finish(struct task *t, struct net_msg *m);
int64_t net_sendmsg(struct task *t, struct socket *s, struct file *f, struct net_msg *m);
int64_t net_recvmsg(struct task *t, struct socket *s, struct file *f, struct net_msg *m);

/* The socket behind a descriptor: *f counted for the caller, the socket borrowed from it. -EBADF,
 * -ENOTSOCK. */
int net_socket_of(struct task *t, int fd, struct file **f, struct socket **out);
bool net_file_is_socket(struct file *f);
void net_set_error(struct socket *s, int err); /* pending SO_ERROR, positive */
/* The same for a netlink socket (-EINVAL: another kind), and a message into its queue from us. */
int net_netlink_of(struct task *t, int fd, struct file **f, struct socket **out);
void net_netlink_push(struct socket *s, const void *data, size_t size);

/* SIOCGIF* and other interface questions. */
int64_t net_ioctl_interface(struct task *t, unsigned cmd, uint64_t arg);

/* /proc/net: line at *index, advancing it; 0 at the end. */
enum net_proc_table {
    NET_PROC_UNIX,
    NET_PROC_TCP,
    NET_PROC_TCP6,
    NET_PROC_UDP,
    NET_PROC_UDP6,
    NET_PROC_RAW,
    NET_PROC_RAW6,
    NET_PROC_UDPLITE,
    NET_PROC_UDPLITE6,
    NET_PROC_PACKET,
    NET_PROC_NETLINK,
};
int net_proc_line(enum net_proc_table table, unsigned *index, char *buf, size_t size);
struct net_counts {
    unsigned sockets, tcp, tcp6, tcp_tw, udp, udp6, raw, raw6;
};
void net_counts(struct net_counts *out);

/* /proc/sys/net: numbers that mean something to sockets. */
struct net_knob {
    int64_t value; /* atomic */
    int64_t min, max;
};
enum net_knob_id {
    NET_SOMAXCONN_KNOB,
    NET_RMEM_DEFAULT,
    NET_RMEM_MAX,
    NET_WMEM_DEFAULT,
    NET_WMEM_MAX,
    NET_PORT_FIRST,
    NET_PORT_LAST,
    NET_PING_GROUP_FIRST,
    NET_PING_GROUP_LAST,
    NET_UNPRIVILEGED_PORT,
    NET_DEFAULT_TTL,
    NET_NONLOCAL_BIND,
    NET_BINDV6ONLY,
    NET_UNIX_QLEN,
    NET_TCP_RMEM_MIN,
    NET_TCP_RMEM,
    NET_TCP_RMEM_MAX,
    NET_TCP_WMEM_MIN,
    NET_TCP_WMEM,
    NET_TCP_WMEM_MAX,
    NET_FIN_TIMEOUT,
    NET_KEEPALIVE_TIME,
    NET_KEEPALIVE_INTVL,
    NET_KEEPALIVE_PROBES,
    NET_SYN_RETRIES,
    NET_KNOB_COUNT,
};
extern struct net_knob g_net_knobs[NET_KNOB_COUNT];
static inline int64_t net_knob(enum net_knob_id id)
{
    return __atomic_load_n(&g_net_knobs[id].value, __ATOMIC_RELAXED);
}
