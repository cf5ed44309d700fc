/* Lines of /proc/net. */
#include "net/net_priv.h"

int net_proc_line(enum net_proc_table table, unsigned *index, char *buf, size_t size)
{
    switch (table) {
    case NET_PROC_TCP:
        return net_inet_proc_line(AF_INET, SOCK_STREAM, index, buf, size);
    case NET_PROC_TCP6:
        return net_inet_proc_line(AF_INET6, SOCK_STREAM, index, buf, size);
    case NET_PROC_UDP:
        return net_inet_proc_line(AF_INET, SOCK_DGRAM, index, buf, size);
    case NET_PROC_UDP6:
        return net_inet_proc_line(AF_INET6, SOCK_DGRAM, index, buf, size);
    default:
        return net_unix_proc_line(index, buf, size);
    }
}
