/* Lines of /proc/net, and counts of sockets. */
#include "net/net_priv.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static void format_name(const struct net_addr *a, bool v6, char *buf, size_t size)
{
    const struct sockaddr_in *in = (const void *)&a->ss;
    const struct sockaddr_in6 *in6 = (const void *)&a->ss;
    if (!v6) {
        snprintf(buf, size, "%08X:%04X", a->size ? in->sin_addr.s_addr : 0,
                 a->size ? ntohs(in->sin_port) : 0);
        return;
    }
    uint32_t w[4] = {0};
    if (a->size)
        memcpy(w, &in6->sin6_addr, sizeof(w));
    snprintf(buf, size, "%08X%08X%08X%08X:%04X", w[0], w[1], w[2], w[3],
             a->size ? ntohs(in6->sin6_port) : 0);
}

struct finder {
    unsigned skip;
    int protocol;
    struct socket *found;
};

static bool find_one(struct socket *s, void *arg)
{
    struct finder *f = arg;
    if (f->protocol && s->protocol != f->protocol)
        return true;
    if (f->skip--)
        return true;
    f->found = s;
    return false;
}

static int inet_line(struct socket *s, unsigned number, char *buf, size_t size)
{
    char local[48], remote[48];
    bool v6 = s->domain == AF_INET6;
    format_name(&s->local, v6, local, sizeof(local));
    format_name(&s->remote, v6, remote, sizeof(remote));
    int state = s->kind & K_TCP ? stream_tcp_state(s) : s->state == SOCK_CONNECTED ? 1 : 7;
    unsigned long ino = s->file ? s->file->inode->ino : 0;
    uint64_t rx = s->state == SOCK_LISTENING ? s->accept_count : s->rx_bytes;
    int n = snprintf(buf, size,
                     "%4u: %s %s %02X %08X:%08lX 00:00000000 00000000 %5u        0 %lu %u "
                     "0000000000000000",
                     number, local, remote, state, s->state == SOCK_LISTENING ? s->backlog : 0,
                     (unsigned long)rx, s->uid, ino, ref_read(&s->ref));
    if (s->kind & K_TCP)
        n += snprintf(buf + n, size - n, " 100 0 0 10 %d", s->state == SOCK_LISTENING ? 0 : -1);
    else
        n += snprintf(buf + n, size - n, " %u", s->drops);
    return n + snprintf(buf + n, size - n, "\n");
}

static int inet_table(int domain, int type, int protocol, unsigned *index, char *buf, size_t size)
{
    struct finder f = {.skip = *index, .protocol = protocol};
    LOCK_GUARD(&g_net_lock);
    if (type == SOCK_RAW)
        raw_for_each_locked(domain, find_one, &f);
    else
        inet_for_each_locked(domain, type, find_one, &f);
    return f.found ? inet_line(f.found, (*index)++, buf, size) : 0;
}

int net_proc_line(enum net_proc_table table, unsigned *index, char *buf, size_t size)
{
    switch (table) {
    case NET_PROC_TCP:
        return inet_table(AF_INET, SOCK_STREAM, IPPROTO_TCP, index, buf, size);
    case NET_PROC_TCP6:
        return inet_table(AF_INET6, SOCK_STREAM, IPPROTO_TCP, index, buf, size);
    case NET_PROC_UDP:
        return inet_table(AF_INET, SOCK_DGRAM, IPPROTO_UDP, index, buf, size);
    case NET_PROC_UDP6:
        return inet_table(AF_INET6, SOCK_DGRAM, IPPROTO_UDP, index, buf, size);
    case NET_PROC_UDPLITE:
        return inet_table(AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE, index, buf, size);
    case NET_PROC_UDPLITE6:
        return inet_table(AF_INET6, SOCK_DGRAM, IPPROTO_UDPLITE, index, buf, size);
    case NET_PROC_RAW:
        return inet_table(AF_INET, SOCK_RAW, 0, index, buf, size);
    case NET_PROC_RAW6:
        return inet_table(AF_INET6, SOCK_RAW, 0, index, buf, size);
    case NET_PROC_UNIX:
        return net_unix_proc_line(index, buf, size);
    default:
        return 0;
    }
}

static bool count_one(struct socket *s, void *arg)
{
    struct net_counts *c = arg;
    bool v6 = s->domain == AF_INET6;
    if (s->state == SOCK_TIME_WAIT)
        c->tcp_tw++;
    else if (s->kind & K_TCP)
        (*(v6 ? &c->tcp6 : &c->tcp))++;
    else if (s->kind & K_UDP)
        (*(v6 ? &c->udp6 : &c->udp))++;
    else
        (*(v6 ? &c->raw6 : &c->raw))++;
    c->sockets++;
    return true;
}

void net_counts(struct net_counts *out)
{
    memset(out, 0, sizeof(*out));
    LOCK_GUARD(&g_net_lock);
    static const int domains[] = {AF_INET, AF_INET6};
    for (int d = 0; d < 2; d++) {
        inet_for_each_locked(domains[d], SOCK_STREAM, count_one, out);
        inet_for_each_locked(domains[d], SOCK_DGRAM, count_one, out);
        raw_for_each_locked(domains[d], count_one, out);
    }
}
