/* Private to net/: the netlink core and its protocols. */
#pragma once

#include "net/iface_priv.h"
#include "net/net_priv.h"
#include <linux/netlink.h>

/* Answers being built: messages one behind the other. */
struct nl_reply {
    char *buf;
    size_t size, room;
    bool failed; /* out of memory */
    uint32_t seq, portid;
    uint16_t flags;  /* of each message: NLM_F_MULTI in a dump */
    const char *why; /* a sentence to go with an error, NULL: none */
};
struct nlmsghdr *nl_begin(struct nl_reply *r, int type, size_t *at);
void *nl_take(struct nl_reply *r, size_t size); /* zeroed; a scratch area when out of memory */
size_t nl_attr(struct nl_reply *r, int type, const void *data, size_t size); /* its offset */
void nl_attr_u32(struct nl_reply *r, int type, uint32_t v);
void nl_attr_end(struct nl_reply *r, size_t at); /* what came since belongs into it */
void nl_end(struct nl_reply *r, size_t at);

/* One request: the message as it came. */
struct nl_request {
    struct task *t;
    struct socket *s;
    struct nlmsghdr h;
    const char *body; /* behind the header */
    size_t size;
};
/* The attribute of this type behind head bytes of fixed part; NULL if there is none. */
const void *nl_find(const struct nl_request *q, size_t head, int type, size_t *size);

/* 0 = answered (a dump is ended by the core), or negative errno to be told in an error message. */
int nl_route(const struct nl_request *q, struct nl_reply *r);
int nl_diag(const struct nl_request *q, struct nl_reply *r);
int nl_generic(const struct nl_request *q, struct nl_reply *r);
/* A message of the kernel to all members of a group (number) of a protocol; r is consumed. */
void nl_notify(struct netns *net, int protocol, int group, struct nl_reply *r);
void unix_for_each_locked(bool (*fn)(struct socket *s, void *arg), void *arg);
