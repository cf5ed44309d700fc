/* Private to net/: the socket object, its queues, and what a family provides. */
#pragma once

#include "net/net.h"
#include <netinet/in.h>
#include <sys/un.h>

#define NET_DEFAULT_BUF 212992 /* net.core.rmem_default, wmem_default */
#define NET_MAX_BUF     (4 << 20)
#define NET_SOMAXCONN   4096

struct net_addr {
    struct sockaddr_storage ss;
    unsigned size; /* 0: none */
};

/* A piece of data on its way: a message, or some bytes of a stream. Owned by the queue it is in. */
struct packet {
    struct list_node node; /* lock: g_net_lock */
    struct net_addr from;  /* const */
    size_t size;           /* const */
    size_t done;           /* lock: receiver's recv_lock; bytes a stream reader has taken */
    struct file **files;   /* SCM_RIGHTS, counted; taken by the first reader; lock: recv_lock */
    unsigned file_count;
    struct ucred creds; /* const */
    char data[];
};

enum socket_state { SOCK_IDLE, SOCK_LISTENING, SOCK_CONNECTED, SOCK_CLOSED };

enum { /* socket.flags: boolean options */
       SOCKF_REUSEADDR = 1,
       SOCKF_REUSEPORT = 2,
       SOCKF_KEEPALIVE = 4,
       SOCKF_BROADCAST = 8,
       SOCKF_PASSCRED = 16,
       SOCKF_OOBINLINE = 32,
       SOCKF_DONTROUTE = 64,
       SOCKF_TIMESTAMP = 128,
       SOCKF_V6ONLY = 256,
       SOCKF_NODELAY = 512,
       SOCKF_CORK = 1024,
       SOCKF_DEBUG = 2048,
       SOCKF_PKTINFO = 4096,
       SOCKF_PASSSEC = 8192,
};

struct socket {
    struct ref ref;
    const struct family *family; /* const */
    int domain, type, protocol;  /* const */
    struct waitq wq;
    struct lock recv_lock; /* LR_SOCKET_IO */

    /* lock: g_net_lock, all that follows */
    enum socket_state state;
    struct socket *peer; /* counted; the other end, or a datagram socket's default destination */
    struct list rx;      /* struct packet */
    uint64_t rx_bytes;
    bool rx_eof; /* no more will come: the peer closed or shut down writing */
    bool shut_read, shut_write;
    bool peer_gone;           /* connected once, and the other end is closed */
    int error;                /* pending SO_ERROR, positive */
    struct list accept_queue; /* struct socket.accept_node; one reference each */
    struct list_node accept_node;
    unsigned accept_count, backlog;
    struct net_addr local, remote;
    struct ucred own_cred, peer_cred;
    unsigned flags; /* SOCKF_* */
    uint64_t rcvbuf, sndbuf;
    int64_t rcvtimeo, sndtimeo; /* ns, 0 = none */
    struct linger linger;
    int priority, mark, rcvlowat, tos, ttl;
    int tcp_opts[16];           /* options that are kept and told back, see options.c */
    struct list_node name_node; /* in the family's table of bound sockets */
    bool named;
    struct path bound_path; /* unix: counted; mnt NULL if none */
    void *priv;             /* the family's own */
};

struct family {
    int domain;
    /* Is this (type, protocol) there? Fills s->protocol. 0, -EPROTONOSUPPORT, -ESOCKTNOSUPPORT,
     * -EPERM. */
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
    int (*setopt)(struct task *t, struct socket *s, int level, int name, const void *v,
                  unsigned size);
    int (*getopt)(struct socket *s, int level, int name, void *v, unsigned *size);
    /* NULL but for families that answer by themselves (netlink). */
    int64_t (*send)(struct task *t, struct socket *s, struct net_msg *m);
    bool drops_when_full;   /* UDP */
    bool refuses_when_gone; /* UDP: ECONNREFUSED instead of ENOTCONN semantics */
};

extern struct lock g_net_lock; /* LR_SOCKET */
extern const struct family g_family_unix, g_family_inet, g_family_inet6, g_family_netlink;
extern const struct file_ops g_socket_file_ops;

void socket_get(struct socket *s);
void socket_put(struct socket *s);
int socket_new(struct task *t, int domain, int type, int protocol, struct socket **out);
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
static inline bool socket_is_stream(const struct socket *s)
{
    return s->type == SOCK_STREAM;
}
static inline bool socket_is_connected_type(const struct socket *s)
{
    return s->type == SOCK_STREAM || s->type == SOCK_SEQPACKET;
}

struct packet *packet_new(size_t size);
void packet_free(struct packet *p);

/* stream.c, dgram.c: the two engines. */
int64_t stream_connect(struct task *t, struct socket *s, struct file *f, const struct net_addr *a);
int64_t stream_send(struct task *t, struct socket *s, struct file *f, struct net_msg *m);
int64_t stream_recv(struct task *t, struct socket *s, struct file *f, struct net_msg *m);
int64_t dgram_send(struct task *t, struct socket *s, struct file *f, struct net_msg *m);
int64_t dgram_recv(struct task *t, struct socket *s, struct file *f, struct net_msg *m);
/* Fill a packet from m: data, credentials, files (moved). Bytes copied or negative errno. */
int64_t packet_fill(struct task *t, struct socket *s, struct net_msg *m, size_t size,
                    struct packet **out);
void packet_attach(struct packet *p, struct socket *s, struct net_msg *m); /* ancillary data out */

unsigned socket_poll_locked(struct socket *s);
int64_t socket_setopt(struct task *t, struct socket *s, int level, int name, const void *v,
                      unsigned size);
int64_t socket_getopt(struct socket *s, int level, int name, void *v, unsigned *size);

/* inet.c */
void inet_connection_names_locked(struct socket *client, struct socket *server,
                                  const struct net_addr *to);
void inet_sender_name(struct socket *from, struct socket *to, struct net_addr *out);
int net_inet_proc_line(int domain, int type, unsigned *index, char *buf, size_t size);
int net_unix_proc_line(unsigned *index, char *buf, size_t size);
