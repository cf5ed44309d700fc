/* Private to net/: the loopback interface, its addresses and routes: what rtnetlink(7) and
 * netdevice(7) show and change. */
#pragma once

#include "base/list.h"
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IFACE_INDEX     1
#define IFACE_MAX_ADDRS 64

struct iface_addr {
    struct in6_addr ip; /* IPv4 as mapped */
    uint8_t prefix;     /* of the family's own length */
    uint8_t scope;      /* RT_SCOPE_* */
    uint32_t flags;     /* IFA_F_* */
    uint32_t broadcast; /* network order; 0: none */
    char label[16];
};

struct iface {
    unsigned flags; /* IFF_* without RUNNING and LOWER_UP */
    unsigned mtu, qlen;
    uint64_t packets, bytes;
    unsigned addr_count;
    struct iface_addr addrs[IFACE_MAX_ADDRS];
};

struct netns {
    struct list_node node; /* lock: netns.c's */
    uint64_t id;           /* const */
    bool up;               /* atomic; lo's IFF_UP at a glance */
    struct iface lo;       /* lock: iface.c's */
};
extern struct netns g_netns_root;

bool iface_is_up(struct netns *n);
bool iface_has_address(const struct in6_addr *ip);
bool iface_is_broadcast(uint32_t v4_host_order);
void iface_get(struct netns *n, struct iface *out); /* a copy */
/* 0, -EEXIST, -ENOBUFS; -EADDRNOTAVAIL. Privileges have been checked. */
int iface_addr_add(struct netns *n, const struct iface_addr *a);
int iface_addr_del(struct netns *n, const struct in6_addr *ip, int prefix /* -1: any */);
void iface_set_flags(struct netns *n, unsigned set, unsigned mask);
int iface_set_mtu(struct netns *n, unsigned mtu);
void iface_set_qlen(struct netns *n, unsigned qlen);
void iface_forget(struct netns *n);                /* the namespace goes */
unsigned iface_flags_shown(const struct iface *i); /* with RUNNING */
