/* Private to net/: the socket object, its queues, and what a family provides. */
#pragma once

#include "net/net.h"
#include "net/options_priv.h"
#include <netinet/in.h>
#include <sys/un.h>

#define NET_SOMAXCONN 4096

struct net_addr {
    struct sockaddr_storage ss;
    unsigned size; /* 0: none */
};

/* How a datagram came: what IP_PKTINFO, IP_RECVTTL and their kin tell. const once queued. */
struct packet_meta {
    struct in6_addr to; /* destination, IPv4 as mapped */
    uint16_t to_port;   /* host order */
    uint8_t ttl, tos;
    uint8_t kind;   /* PACKET_HOST, PACKET_BROADCAST, PACKET_MULTICAST, PACKET_OUTGOING */
    uint16_t gso;   /* UDP_GRO: size of the pieces, 0: one piece */
    uint32_t mark;
    uint32_t priority;
    bool inet; /* the fields above are meant */
};

/* Descriptors on their way: SCM_RIGHTS. */
struct scm {
    unsigned count;
    uint32_t uid; /* whose in-flight count they are in */
    bool flying;  /* counted as in flight (unix_gc.c) */
    struct file *files[NET_SCM_MAX_FDS];
};
void scm_free(struct scm *scm); /* NULL is fine; puts the files */

/* A piece of data on its way: a message, or some bytes of a stream. Owned by the queue it is in. */
struct packet {
    struct list_node node; /* lock: g_net_lock */
    struct net_addr from;  /* const */
    size_t size;           /* const */
    size_t done;           /* lock: receiver's recv_lock; bytes a stream reader has taken */
    struct scm *scm;       /* owned; taken by the first reader; lock: recv_lock */
    struct ucred creds;    /* const */
    int64_t stamp;         /* const; CLOCK_REALTIME ns of arrival; 0: nobody asked */
    struct packet_meta meta;
    bool urgent; /* const; a stream's byte of urgent data */
    bool eor;    /* const; MSG_EOR of a sequenced packet */
    char data[];
};

/* Who is at the other end of a unix connection: SO_PEERCRED, SO_PEERGROUPS, SO_PEERPIDFD. */
struct peer_id {
    struct ref ref;
    struct ucred ids;
    struct cred *cred;       /* counted */
    struct process *process; /* counted */
};
struct peer_id *peer_id_new(struct task *t);
void peer_id_put(struct peer_id *p);

/* idle → listening; idle → connected → done (both directions ended, or reset); any → closed.
 * A closed TCP socket may stay in the table of names as time-wait. */
enum socket_state {
    SOCK_IDLE,
    SOCK_LISTENING,
    SOCK_CONNECTED,
    SOCK_DONE,
    SOCK_TIME_WAIT,
    SOCK_CLOSED
};

enum { CONNECT_NONE, CONNECT_OK, CONNECT_FAILED, CONNECT_WAITING };

struct netns;
struct mcast;
struct filter;

struct socket {
    struct ref ref;
    const struct family *family; /* const */
    int domain, type, protocol;  /* const */
    unsigned kind;               /* const; K_* of options_priv.h */
    uint64_t cookie;             /* const */
    struct ns *ns;               /* const once it has a name; counted */
    struct netns *net;           /* the same; of ns */
    struct waitq wq;
    struct lock recv_lock; /* LR_SOCKET_IO */
    struct file *file;     /* lock: g_net_lock; borrowed; NULL before install and after close */

    /* lock: g_net_lock, all that follows */
    enum socket_state state;
    struct socket *peer; /* counted; the other end, or a datagram socket's default destination */
    struct list rx;      /* struct packet */
    uint64_t rx_bytes;
    unsigned rx_count; /* of messages: datagrams */
    bool rx_eof; /* no more will come: the peer closed or shut down writing */
    bool shut_read, shut_write;
    bool fin_first;           /* TCP: our end of file went out before the peer's came */
    bool embryo;              /* closed before anybody accepted it */
    bool peer_gone;           /* connected once, and the other end is closed */
    int connecting;           /* CONNECT_*: a non-blocking connect that has not been told of */
    int error;                /* pending SO_ERROR, positive */
    struct list errq;         /* struct packet: MSG_ERRQUEUE */
    struct packet *urgent;    /* borrowed; the newest urgent byte in rx */
    bool urgent_unread;       /* it has not been taken by MSG_OOB */
    char urgent_byte;
    struct list accept_queue; /* struct socket.accept_node; one reference each */
    struct list_node accept_node;
    unsigned accept_count, backlog;
    struct list pending;        /* TCP: clients that wait for room, by their accept_node; counted */
    struct socket *pending_at;  /* the listener in whose list it is; counted */
    struct net_addr local, remote;
    struct peer_id *own_id, *peer_id; /* counted; unix only, else NULL */
    uint32_t uid;                     /* const; creator, for /proc and SO_REUSEPORT */
    uint64_t rcvbuf, sndbuf;
    int64_t rcvtimeo, sndtimeo; /* ns, 0 = none */
    struct linger linger;
    int opt[OPT_COUNT];         /* by options_priv.h */
    char congestion[16];        /* TCP_CONGESTION */
    struct filter *filter;      /* counted; SO_ATTACH_FILTER */
    struct list mcast;          /* struct mcast: memberships */
    struct list_node mcast_node; /* in the list of sockets with memberships */
    uint64_t last_stamp;        /* SIOCGSTAMP */
    uint32_t drops;             /* messages that found no room */
    uint32_t zerocopy_next, stamp_next; /* counters of MSG_ZEROCOPY and SOF_TIMESTAMPING_OPT_ID */
    struct packet *corked;      /* UDP_CORK, MSG_MORE: owned */
    uint64_t bytes_in, bytes_out, segs_in, segs_out; /* TCP_INFO */
    int64_t last_in_ns, last_out_ns;
    int64_t expires;            /* time-wait */
    struct list_node name_node; /* in the family's table of bound sockets */
    struct list_node wait_node; /* in the list of time-waits */
    bool named, user_port;      /* has a name; its port was asked for */
    struct path bound_path;     /* unix: counted; mnt NULL if none */
    unsigned flights;           /* unix_gc.c: how many descriptors of it are in messages */
    struct list_node flight_node;
    struct list_node all_node; /* unix: all there are, until closed */
    struct list_node gc_node;
    int gc_count;
    bool gc_seen;
    void *priv; /* the family's own; freed with the socket */
};

struct net_provider {
    int (*listen)(struct socket *s, int backlog);
    int (*accept)(struct task *t, struct socket *s, struct file *f, struct socket **out);
    int (*shutdown)(struct socket *s, int how);
    int64_t (*recv)(struct task *t, struct socket *s, struct file *f, struct net_msg *m);
    int (*setopt)(struct task *t, struct socket *s, int level, int name, const struct opt_in *in);
    int (*getopt)(struct task *t, struct socket *s, int level, int name, void *v, unsigned *size);
    unsigned (*poll)(struct socket *s);
    int64_t (*ioctl)(struct task *t, struct socket *s, unsigned cmd, uint64_t arg);
    int (*parse_control)(struct net_msg *m, const char *buf, size_t size);
    void (*close)(struct socket *s);
};

struct family {
    int domain;
    /* Is this (type, protocol) there? Fills s->protocol, s->kind. 0, -EPROTONOSUPPORT,
     * -ESOCKTNOSUPPORT, -EPERM. */
    int (*init)(struct task *t, struct socket *s);
    int (*bind)(struct task *t, struct socket *s, const struct net_addr *a);
    /* Give an unbound socket a name before it is needed as a sender or listener. */
    int (*autobind)(struct task *t, struct socket *s);
    /* Who listens or receives at this address: counted; for stream types a listener. */
    int (*find)(struct task *t, struct socket *s, const struct net_addr *a, struct socket **out);
    /* Connect of a datagram socket with AF_UNSPEC, and family-dependent checks of an address. */
    int (*check)(struct socket *s, const struct net_addr *a);
    void (*release)(
        struct socket *s); /* last reference gone or descriptor closed: forget the name */
    /* Options that are not in the table; -ENOPROTOOPT passes on. */
    int (*setopt)(struct task *t, struct socket *s, int level, int name, const struct opt_in *in);
    int (*getopt)(struct task *t, struct socket *s, int level, int name, void *v, unsigned *size);
    /* NULL but for families that do it by themselves. */
    int64_t (*send)(struct task *t, struct socket *s, struct file *f, struct net_msg *m);
    int (*connect)(struct task *t, struct socket *s, struct file *f, const struct net_addr *a);
    int (*name)(struct socket *s, bool peer, struct net_addr *out);
    /* The rest is for a provider that keeps its sockets elsewhere (hostnet.c): each replaces what is
     * otherwise done here. All or none. */
    const struct net_provider *provider;
    bool drops_when_full;   /* UDP */
    bool refuses_when_gone; /* UDP: ECONNREFUSED instead of ENOTCONN semantics */
};

extern struct lock g_net_lock; /* LR_SOCKET */
extern const struct family g_family_unix, g_family_inet, g_family_inet6, g_family_netlink,
    g_family_packet;
extern const struct file_ops g_socket_file_ops;

void socket_options_init(struct socket *s);
int net_pidfd_install(struct task *t, struct process *p); /* a descriptor, or negative errno */
void socket_get(struct socket *s);
void socket_put(struct socket *s);
/* For one that never got a descriptor: out of every table, and the caller's reference given back. */
void socket_discard(struct socket *s);
int socket_new(struct task *t, int domain, int type, int protocol, struct socket **out);
/* A file for s: consumes its reference also on failure. */
int socket_file(struct socket *s, int type_flags, struct file **out);
/* A descriptor for s; consumes its reference also on failure. */
int64_t socket_install(struct task *t, struct socket *s, int type_flags);
void socket_connect_pair_locked(struct socket *a, struct socket *b);
void socket_fill_cred(struct task *t, struct ucred *c);
/* Flags as the descriptor's O_NONBLOCK and the call's MSG_DONTWAIT say. */
bool socket_nonblocking(struct file *f, int msg_flags);
int64_t socket_deadline(int64_t timeout_ns);
/* What a wait's end means to the caller, who gave this timeout: its expiry is EAGAIN, and a call with
 * a timeout is never restarted after a signal. */
int socket_wait_result(int r, int64_t timeout_ns);
int socket_take_error(struct socket *s); /* pending error as negative errno, cleared */
static inline bool socket_is_stream(const struct socket *s)
{
    return s->type == SOCK_STREAM;
}
static inline bool socket_is_connected_type(const struct socket *s)
{
    return s->type == SOCK_STREAM || s->type == SOCK_SEQPACKET;
}
static inline bool socket_is_unix(const struct socket *s)
{
    return s->domain == AF_UNIX;
}

struct packet *packet_new(size_t size);
void packet_free(struct packet *p);
void packets_free(struct list *l);
/* The same, without recursion when descriptors in the packets are those of sockets with packets. No
 * locks held. */
void packets_bury(struct list *l);
/* Now, if any socket wants to know when its packets came; else 0. */
int64_t packet_stamp(void);
void packet_stamps_wanted(void); /* from now on */

#define STREAM_END INT64_MAX /* within stream.c: end of file, as opposed to nothing read */

/* stream.c, dgram.c: the two engines. */
int stream_connect(struct task *t, struct socket *s, struct file *f, const struct net_addr *a);
int64_t stream_send(struct task *t, struct socket *s, struct file *f, struct net_msg *m);
int64_t stream_recv(struct task *t, struct socket *s, struct file *f, struct net_msg *m);
int stream_at_mark(struct socket *s);
/* There may be room in l's backlog again: who waits for it is let in. */
void stream_admit(struct task *t, struct socket *l);
/* s waits no more, or nobody waits for s any more: they are refused. No locks held. */
void stream_pending_end(struct socket *s);
int stream_unread_locked(struct socket *s); /* FIONREAD */
int dgram_connect(struct task *t, struct socket *s, const struct net_addr *a);
int64_t dgram_send(struct task *t, struct socket *s, struct file *f, struct net_msg *m);
int64_t dgram_recv(struct task *t, struct socket *s, struct file *f, struct net_msg *m);
/* Put p, consumed, into to's queue if there is room: 0 or -EAGAIN (dropped and counted). */
int dgram_queue(struct socket *to, struct packet *p);
int dgram_uncork(struct task *t, struct socket *s); /* what MSG_MORE has collected goes out */
/* Fill a packet from m: data, credentials, files (moved). Bytes copied or negative errno. */
int64_t packet_fill(struct task *t, struct socket *s, struct net_msg *m, size_t size,
                    struct packet **out);
void packet_attach(struct packet *p, struct socket *s, struct net_msg *m); /* ancillary data out */
/* control.c: one control message for the receiver; MSG_CTRUNC if there is no room. */
void net_control_put(struct net_msg *m, int level, int type, const void *data, size_t size);
/* The time at, in the forms that the socket has asked for. */
void net_control_stamps(struct socket *s, struct net_msg *m, int64_t at, bool sent);
/* Nothing goes out any more, or nothing comes in: the two halves of the end of a TCP connection. */
void stream_update_state_locked(struct socket *s);
void stream_reset_locked(struct socket *s); /* a reset has come for s */
int stream_tcp_state(const struct socket *s); /* TCP_ESTABLISHED … as TCP_INFO tells */

unsigned socket_poll_locked(struct socket *s);
/* optlen as the caller gave it; in->fault: the value could not be read. */
int64_t socket_setopt(struct task *t, struct socket *s, int level, int name,
                      const struct opt_in *in);
int64_t socket_getopt(struct task *t, struct socket *s, int level, int name, void *v,
                      unsigned *size);
/* options_inet.c: what is not in the table. */
int inet_setopt(struct task *t, struct socket *s, int level, int name, const struct opt_in *in);
int inet_getopt(struct task *t, struct socket *s, int level, int name, void *v, unsigned *size);
int opt_give(void *out, unsigned *size, const void *v, unsigned have);
int opt_give_int(void *out, unsigned *size, int v);
int opt_set_timeout(const struct opt_in *in, int64_t *out); /* SO_RCVTIMEO: struct timeval */
int opt_give_timeout(void *out, unsigned *size, int64_t ns);

/* A socket without a file: family's, made ready by its init, or by the caller when init is false. */
/* netns.c: the namespace of a new socket is its maker's; of an accepted one, the listener's. */
int socket_enter_ns(struct task *t, struct socket *s);
void socket_same_ns(struct socket *s, struct socket *as);
struct netns *task_netns(struct task *t);
bool net_capable(struct task *t, int cap); /* over t's network namespace */

int socket_new_of(struct task *t, const struct family *fam, int type, int protocol, bool init,
                  struct socket **out);

/* hostnet.c: the family that answers for this domain when the host's network is used, else NULL. */
const struct family *hostnet_family(int domain, int type, int protocol);
int64_t hostnet_ioctl_interface(struct task *t, unsigned cmd, uint64_t arg);

/* errqueue.c: MSG_ERRQUEUE. */
struct sock_extended_err;
void errqueue_add_locked(struct socket *s, struct packet *p, const struct sock_extended_err *e);
int64_t errqueue_recv(struct socket *s, struct net_msg *m);
/* What was sent to a port that nobody has: told to the sender who asked (IP_RECVERR) or is connected. */
void errqueue_port_unreachable(struct socket *s, const struct net_addr *to, struct net_msg *m,
                               struct packet *p);
void errqueue_zerocopy(struct socket *s);
void errqueue_tx_stamp(struct socket *s, struct net_msg *m, struct packet *p);

/* filter.c: classic BPF. */
struct filter *filter_get(struct filter *f);
void filter_put(struct filter *f);
int filter_attach(struct task *t, struct socket *s, const struct opt_in *in);
int filter_detach(struct socket *s);
int filter_read(struct task *t, struct socket *s, void *v, unsigned *size);
/* Bytes of the packet to keep: 0 drops it. header is what stands in front of p's data. */
size_t filter_run(struct socket *to, const struct packet *p, const void *header,
                  size_t header_size);

/* mcast.c */
int mcast_setopt(struct task *t, struct socket *s, int level, int name, const struct opt_in *in);
int mcast_getopt(struct socket *s, int level, int name, void *v, unsigned *size);
void mcast_release(struct socket *s);
bool mcast_hears_locked(struct socket *s, const struct in6_addr *group,
                        const struct in6_addr *source);
int mcast_proc(bool v6, char *buf, size_t size);

/* inet.c */
/* An address in one form for both families: IPv4 as mapped IPv6. */
struct inet_name {
    struct in6_addr ip;
    uint16_t port; /* host order */
};
int inet_name_parse(struct socket *s, const struct net_addr *a, struct inet_name *out);
void inet_name_format(struct socket *s, const struct inet_name *n, struct net_addr *out);
void inet_name_local(struct socket *s, struct inet_name *out);
void inet_name_remote(struct socket *s, struct inet_name *out);
void inet_map_v4(struct in6_addr *out, uint32_t network_order);
bool inet_ip_is_v4(const struct in6_addr *ip);
bool inet_ip_is_any(const struct in6_addr *ip);
bool inet_ip_is_multicast(const struct in6_addr *ip);
bool inet_ip_is_broadcast(const struct in6_addr *ip);
bool inet_ip_is_local(const struct in6_addr *ip);
void inet_to_local(struct inet_name *n, struct socket *s); /* the wildcard means the loopback */
bool inet_hears_v4(const struct socket *s, const struct in6_addr *bound);
void inet_connection_names_locked(struct socket *client, struct socket *server,
                                  const struct net_addr *to);
void inet_connected_locked(struct socket *s, const struct net_addr *a);
bool inet_name_is_bound(struct socket *s); /* to an address, not only a port */
void inet_accepted_locked(struct socket *server, struct socket *listener);
void inet_forget_port_locked(struct socket *s);
int inet_may_listen(struct socket *s); /* -EADDRINUSE: another one listens there */
/* True if the closed TCP socket stays in the table, which then has the reference. */
bool inet_time_wait_locked(struct socket *s);
/* Everyone who hears a datagram to a group or to all: fn for each, under g_net_lock. */
void inet_for_each_hearer_locked(struct socket *from, const struct inet_name *to,
                                 void (*fn)(struct socket *o, void *arg), void *arg);
/* 0, or why nothing can go to this address: -EACCES, -ENETUNREACH, -EINVAL. */
int inet_reachable(struct socket *s, const struct inet_name *to);
int inet_reachable_addr(struct socket *s, const struct net_addr *a);
void inet_for_each_locked(int domain, int type, bool (*fn)(struct socket *s, void *arg), void *arg);

/* udp.c: sending to one, to all, to a group. */
int64_t udp_send(struct task *t, struct socket *s, struct file *f, struct net_msg *m);

/* raw.c: raw and ping sockets. */
int raw_init(struct task *t, struct socket *s);
int64_t raw_send(struct task *t, struct socket *s, struct file *f, struct net_msg *m);
int raw_bind(struct task *t, struct socket *s, const struct net_addr *a);
int raw_connect(struct task *t, struct socket *s, const struct net_addr *a);
void raw_release_locked(struct socket *s);
bool raw_wanted(void); /* does anyone look at raw packets at all */
/* A UDP datagram has gone out: raw and packet sockets see it. */
void raw_see_udp(struct socket *from, const struct inet_name *src, const struct inet_name *dst,
                 const struct packet *p);
void raw_for_each_locked(int domain, bool (*fn)(struct socket *s, void *arg), void *arg);

/* packet.c: AF_PACKET. */
bool packet_sockets_wanted(void);
void packet_sockets_see(struct netns *net, const void *ip, size_t size, bool v6);

/* unix.c, unix_gc.c */
int net_unix_proc_line(unsigned *index, char *buf, size_t size);
int unix_scm_launch(struct task *t, struct scm *scm); /* -ETOOMANYREFS */
void unix_scm_land(struct scm *scm);
void unix_gc_socket_closed(void);

int net_inet_proc_line(int domain, int type, unsigned *index, char *buf, size_t size);
