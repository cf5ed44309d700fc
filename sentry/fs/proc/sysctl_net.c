/* /proc/sys/net. What sockets look at is a row of g_net_knobs (net/knobs.c); other numbers and texts
 * are kept, so that a program that sets one reads back what it set. */
#include "fs/proc/proc_priv.h"

#include "base/lock.h"
#include "net/net.h"

#include <ctype.h>

/* ---- numbers ---- */

struct knobs {
    struct net_knob *first;
    unsigned count;
};

static int show_knobs(struct pbuf *b, const struct proc_ctx *c)
{
    const struct knobs *k = c->e->data;
    for (unsigned i = 0; i < k->count; i++)
        pb_printf(b, "%s%lld", i ? "\t" : "",
                  (long long)__atomic_load_n(&k->first[i].value, __ATOMIC_RELAXED));
    pb_str(b, "\n");
    return 0;
}

/* As proc_dointvec_minmax: as many numbers as there are, and the rest stays. A range is one whole:
 * its end may not lie before its start. */
static int write_knobs(const struct proc_ctx *c, char *text, size_t size)
{
    const struct knobs *k = c->e->data;
    long long v[4];
    unsigned n = 0;
    for (char *at = text, *end; n < k->count; n++, at = end) {
        errno = 0;
        v[n] = strtoll(at, &end, 0);
        if (end == at && n)
            break;
        if (end == at || errno || (*end && !isspace((unsigned char)*end)) ||
            v[n] < k->first[n].min || v[n] > k->first[n].max)
            return -EINVAL;
    }
    if (k->first == &g_net_knobs[NET_PORT_FIRST] && (n < 2 || v[0] > v[1]))
        return -EINVAL;
    for (unsigned i = 0; i < n; i++)
        __atomic_store_n(&k->first[i].value, v[i], __ATOMIC_RELAXED);
    return 0;
}

#define KNOB(n, id, how_many)                                                                      \
    {                                                                                              \
        .name = (n), .mode = S_IFREG | 0644, .show = show_knobs, .write = write_knobs,             \
        .data = &(struct knobs)                                                                    \
        {                                                                                          \
            &g_net_knobs[id], how_many                                                             \
        }                                                                                          \
    }
#define KEPT(n, v, lo, hi)                                                                         \
    {                                                                                              \
        .name = (n), .mode = S_IFREG | 0644, .show = show_knobs, .write = write_knobs,             \
        .data = &(struct knobs)                                                                    \
        {                                                                                          \
            &(struct net_knob){v, lo, hi}, 1                                                       \
        }                                                                                          \
    }

/* ---- texts ---- */

struct text {
    char value[64]; /* lock: g_text_lock */
};
static struct lock g_text_lock = LOCK_INITIALIZER(LR_LEAF);

static int show_text(struct pbuf *b, const struct proc_ctx *c)
{
    const struct text *t = c->e->data;
    char copy[sizeof(t->value)];
    lock_acquire(&g_text_lock);
    memcpy(copy, t->value, sizeof(copy));
    lock_release(&g_text_lock);
    pb_printf(b, "%s\n", copy);
    return 0;
}

static int write_text(const struct proc_ctx *c, char *text, size_t size)
{
    struct text *t = c->e->data;
    bool control = !strcmp(c->e->name, "tcp_congestion_control");
    if (control && strcmp(text, "cubic") && strcmp(text, "reno"))
        return -ENOENT;
    LOCK_GUARD(&g_text_lock);
    snprintf(t->value, sizeof(t->value), "%s", text);
    return 0;
}

#define TEXT(n, v, m)                                                                              \
    {                                                                                              \
        .name = (n), .mode = S_IFREG | (m), .show = show_text,                                     \
        .write = (m)&0222 ? write_text : NULL, .data = &(struct text)                              \
        {                                                                                          \
            v                                                                                      \
        }                                                                                          \
    }

/* ---- the tree ---- */

/* clang-format off */
static const struct proc_entry g_core[] = {
    KEPT("busy_poll", 0, 0, INT32_MAX),
    KEPT("busy_read", 0, 0, INT32_MAX),
    TEXT("default_qdisc", "pfifo_fast", 0644),
    KEPT("dev_weight", 64, 0, INT32_MAX),
    KEPT("dev_weight_rx_bias", 1, 0, INT32_MAX),
    KEPT("dev_weight_tx_bias", 1, 0, INT32_MAX),
    KEPT("devconf_inherit_init_net", 0, 0, INT32_MAX),
    KEPT("fb_tunnels_only_for_init_net", 0, 0, INT32_MAX),
    KEPT("flow_limit_cpu_bitmap", 0, 0, INT32_MAX),
    KEPT("flow_limit_table_len", 4096, 0, INT32_MAX),
    KEPT("gro_normal_batch", 8, 0, INT32_MAX),
    KEPT("high_order_alloc_disable", 0, 0, INT32_MAX),
    KEPT("max_skb_frags", 17, 0, INT32_MAX),
    KEPT("mem_pcpu_rsv", 256, 0, INT32_MAX),
    KEPT("message_burst", 10, 0, INT32_MAX),
    KEPT("message_cost", 5, 0, INT32_MAX),
    KEPT("netdev_budget", 300, 0, INT32_MAX),
    KEPT("netdev_budget_usecs", 8000, 0, INT32_MAX),
    KEPT("netdev_max_backlog", 1000, 0, INT32_MAX),
    KEPT("netdev_tstamp_prequeue", 1, 0, INT32_MAX),
    KEPT("netdev_unregister_timeout_secs", 10, 0, INT32_MAX),
    KEPT("optmem_max", 131072, 0, INT32_MAX),
    KNOB("rmem_default", NET_RMEM_DEFAULT, 1),
    KNOB("rmem_max", NET_RMEM_MAX, 1),
    KEPT("skb_defer_max", 64, 0, INT32_MAX),
    KNOB("somaxconn", NET_SOMAXCONN_KNOB, 1),
    KEPT("tstamp_allow_data", 1, 0, INT32_MAX),
    KEPT("txrehash", 1, 0, INT32_MAX),
    KEPT("warnings", 0, 0, INT32_MAX),
    KNOB("wmem_default", NET_WMEM_DEFAULT, 1),
    KNOB("wmem_max", NET_WMEM_MAX, 1),
    {0},
};
static const struct proc_entry g_conf4_all[] = {
    KEPT("accept_local", 0, 0, INT32_MAX),
    KEPT("accept_redirects", 1, 0, INT32_MAX),
    KEPT("accept_source_route", 1, 0, INT32_MAX),
    KEPT("arp_accept", 0, 0, INT32_MAX),
    KEPT("arp_announce", 0, 0, INT32_MAX),
    KEPT("arp_evict_nocarrier", 1, 0, INT32_MAX),
    KEPT("arp_filter", 0, 0, INT32_MAX),
    KEPT("arp_ignore", 0, 0, INT32_MAX),
    KEPT("arp_notify", 0, 0, INT32_MAX),
    KEPT("bc_forwarding", 0, 0, INT32_MAX),
    KEPT("bootp_relay", 0, 0, INT32_MAX),
    KEPT("disable_policy", 1, 0, INT32_MAX),
    KEPT("disable_xfrm", 1, 0, INT32_MAX),
    KEPT("drop_gratuitous_arp", 0, 0, INT32_MAX),
    KEPT("drop_unicast_in_l2_multicast", 0, 0, INT32_MAX),
    KEPT("force_igmp_version", 0, 0, INT32_MAX),
    KEPT("forwarding", 1, 0, INT32_MAX),
    KEPT("igmpv2_unsolicited_report_interval", 10000, 0, INT32_MAX),
    KEPT("igmpv3_unsolicited_report_interval", 1000, 0, INT32_MAX),
    KEPT("ignore_routes_with_linkdown", 0, 0, INT32_MAX),
    KEPT("log_martians", 0, 0, INT32_MAX),
    KEPT("mc_forwarding", 0, 0, INT32_MAX),
    KEPT("medium_id", 0, 0, INT32_MAX),
    KEPT("promote_secondaries", 0, 0, INT32_MAX),
    KEPT("proxy_arp", 0, 0, INT32_MAX),
    KEPT("proxy_arp_pvlan", 0, 0, INT32_MAX),
    KEPT("route_localnet", 0, 0, INT32_MAX),
    KEPT("rp_filter", 0, 0, INT32_MAX),
    KEPT("secure_redirects", 1, 0, INT32_MAX),
    KEPT("send_redirects", 1, 0, INT32_MAX),
    KEPT("shared_media", 1, 0, INT32_MAX),
    KEPT("src_valid_mark", 0, 0, INT32_MAX),
    KEPT("tag", 0, 0, INT32_MAX),
    {0},
};
static const struct proc_entry g_conf4_default[] = {
    KEPT("accept_local", 0, 0, INT32_MAX),
    KEPT("accept_redirects", 1, 0, INT32_MAX),
    KEPT("accept_source_route", 1, 0, INT32_MAX),
    KEPT("arp_accept", 0, 0, INT32_MAX),
    KEPT("arp_announce", 0, 0, INT32_MAX),
    KEPT("arp_evict_nocarrier", 1, 0, INT32_MAX),
    KEPT("arp_filter", 0, 0, INT32_MAX),
    KEPT("arp_ignore", 0, 0, INT32_MAX),
    KEPT("arp_notify", 0, 0, INT32_MAX),
    KEPT("bc_forwarding", 0, 0, INT32_MAX),
    KEPT("bootp_relay", 0, 0, INT32_MAX),
    KEPT("disable_policy", 1, 0, INT32_MAX),
    KEPT("disable_xfrm", 1, 0, INT32_MAX),
    KEPT("drop_gratuitous_arp", 0, 0, INT32_MAX),
    KEPT("drop_unicast_in_l2_multicast", 0, 0, INT32_MAX),
    KEPT("force_igmp_version", 0, 0, INT32_MAX),
    KEPT("forwarding", 1, 0, INT32_MAX),
    KEPT("igmpv2_unsolicited_report_interval", 10000, 0, INT32_MAX),
    KEPT("igmpv3_unsolicited_report_interval", 1000, 0, INT32_MAX),
    KEPT("ignore_routes_with_linkdown", 0, 0, INT32_MAX),
    KEPT("log_martians", 0, 0, INT32_MAX),
    KEPT("mc_forwarding", 0, 0, INT32_MAX),
    KEPT("medium_id", 0, 0, INT32_MAX),
    KEPT("promote_secondaries", 0, 0, INT32_MAX),
    KEPT("proxy_arp", 0, 0, INT32_MAX),
    KEPT("proxy_arp_pvlan", 0, 0, INT32_MAX),
    KEPT("route_localnet", 0, 0, INT32_MAX),
    KEPT("rp_filter", 0, 0, INT32_MAX),
    KEPT("secure_redirects", 1, 0, INT32_MAX),
    KEPT("send_redirects", 1, 0, INT32_MAX),
    KEPT("shared_media", 1, 0, INT32_MAX),
    KEPT("src_valid_mark", 0, 0, INT32_MAX),
    KEPT("tag", 0, 0, INT32_MAX),
    {0},
};
static const struct proc_entry g_conf4_lo[] = {
    KEPT("accept_local", 0, 0, INT32_MAX),
    KEPT("accept_redirects", 1, 0, INT32_MAX),
    KEPT("accept_source_route", 1, 0, INT32_MAX),
    KEPT("arp_accept", 0, 0, INT32_MAX),
    KEPT("arp_announce", 0, 0, INT32_MAX),
    KEPT("arp_evict_nocarrier", 1, 0, INT32_MAX),
    KEPT("arp_filter", 0, 0, INT32_MAX),
    KEPT("arp_ignore", 0, 0, INT32_MAX),
    KEPT("arp_notify", 0, 0, INT32_MAX),
    KEPT("bc_forwarding", 0, 0, INT32_MAX),
    KEPT("bootp_relay", 0, 0, INT32_MAX),
    KEPT("disable_policy", 1, 0, INT32_MAX),
    KEPT("disable_xfrm", 1, 0, INT32_MAX),
    KEPT("drop_gratuitous_arp", 0, 0, INT32_MAX),
    KEPT("drop_unicast_in_l2_multicast", 0, 0, INT32_MAX),
    KEPT("force_igmp_version", 0, 0, INT32_MAX),
    KEPT("forwarding", 1, 0, INT32_MAX),
    KEPT("igmpv2_unsolicited_report_interval", 10000, 0, INT32_MAX),
    KEPT("igmpv3_unsolicited_report_interval", 1000, 0, INT32_MAX),
    KEPT("ignore_routes_with_linkdown", 0, 0, INT32_MAX),
    KEPT("log_martians", 0, 0, INT32_MAX),
    KEPT("mc_forwarding", 0, 0, INT32_MAX),
    KEPT("medium_id", 0, 0, INT32_MAX),
    KEPT("promote_secondaries", 0, 0, INT32_MAX),
    KEPT("proxy_arp", 0, 0, INT32_MAX),
    KEPT("proxy_arp_pvlan", 0, 0, INT32_MAX),
    KEPT("route_localnet", 0, 0, INT32_MAX),
    KEPT("rp_filter", 0, 0, INT32_MAX),
    KEPT("secure_redirects", 1, 0, INT32_MAX),
    KEPT("send_redirects", 1, 0, INT32_MAX),
    KEPT("shared_media", 1, 0, INT32_MAX),
    KEPT("src_valid_mark", 0, 0, INT32_MAX),
    KEPT("tag", 0, 0, INT32_MAX),
    {0},
};
static const struct proc_entry g_conf4[] = {
    PROC_DIR("all", 0555, g_conf4_all), PROC_DIR("default", 0555, g_conf4_default),
    PROC_DIR("lo", 0555, g_conf4_lo), {0},
};
static const struct proc_entry g_ipv4[] = {
    PROC_DIR("conf", 0555, g_conf4),
    KEPT("fib_multipath_hash_fields", 7, 0, INT32_MAX),
    KEPT("fib_multipath_hash_policy", 0, 0, INT32_MAX),
    KEPT("fib_multipath_use_neigh", 0, 0, INT32_MAX),
    KEPT("fib_notify_on_flag_change", 0, 0, INT32_MAX),
    KEPT("fib_sync_mem", 524288, 0, INT32_MAX),
    KEPT("fwmark_reflect", 0, 0, INT32_MAX),
    KEPT("icmp_echo_enable_probe", 0, 0, INT32_MAX),
    KEPT("icmp_echo_ignore_all", 0, 0, INT32_MAX),
    KEPT("icmp_echo_ignore_broadcasts", 1, 0, INT32_MAX),
    KEPT("icmp_errors_use_inbound_ifaddr", 0, 0, INT32_MAX),
    KEPT("icmp_ignore_bogus_error_responses", 1, 0, INT32_MAX),
    KEPT("icmp_msgs_burst", 50, 0, INT32_MAX),
    KEPT("icmp_msgs_per_sec", 1000, 0, INT32_MAX),
    KEPT("icmp_ratelimit", 1000, 0, INT32_MAX),
    KEPT("icmp_ratemask", 6168, 0, INT32_MAX),
    KEPT("igmp_link_local_mcast_reports", 1, 0, INT32_MAX),
    KEPT("igmp_max_memberships", 20, 0, INT32_MAX),
    KEPT("igmp_max_msf", 10, 0, INT32_MAX),
    KEPT("igmp_qrv", 2, 0, INT32_MAX),
    KEPT("inet_peer_maxttl", 600, 0, INT32_MAX),
    KEPT("inet_peer_minttl", 120, 0, INT32_MAX),
    KEPT("inet_peer_threshold", 65664, 0, INT32_MAX),
    KEPT("ip_autobind_reuse", 0, 0, INT32_MAX),
    KNOB("ip_default_ttl", NET_DEFAULT_TTL, 1),
    KEPT("ip_dynaddr", 0, 0, INT32_MAX),
    KEPT("ip_early_demux", 1, 0, INT32_MAX),
    KEPT("ip_forward", 0, 0, INT32_MAX),
    KEPT("ip_forward_update_priority", 1, 0, INT32_MAX),
    KEPT("ip_forward_use_pmtu", 0, 0, INT32_MAX),
    KNOB("ip_local_port_range", NET_PORT_FIRST, 2),
    TEXT("ip_local_reserved_ports", "", 0644),
    KEPT("ip_no_pmtu_disc", 0, 0, INT32_MAX),
    KNOB("ip_nonlocal_bind", NET_NONLOCAL_BIND, 1),
    KNOB("ip_unprivileged_port_start", NET_UNPRIVILEGED_PORT, 1),
    KEPT("ipfrag_high_thresh", 4194304, 0, INT32_MAX),
    KEPT("ipfrag_low_thresh", 3145728, 0, INT32_MAX),
    KEPT("ipfrag_max_dist", 64, 0, INT32_MAX),
    KEPT("ipfrag_secret_interval", 0, 0, INT32_MAX),
    KEPT("ipfrag_time", 30, 0, INT32_MAX),
    KEPT("nexthop_compat_mode", 1, 0, INT32_MAX),
    KNOB("ping_group_range", NET_PING_GROUP_FIRST, 2),
    KEPT("raw_l3mdev_accept", 1, 0, INT32_MAX),
    KEPT("tcp_abort_on_overflow", 0, 0, INT32_MAX),
    KEPT("tcp_adv_win_scale", 1, 0, INT32_MAX),
    TEXT("tcp_allowed_congestion_control", "reno cubic", 0644),
    KEPT("tcp_app_win", 31, 0, INT32_MAX),
    KEPT("tcp_autocorking", 1, 0, INT32_MAX),
    TEXT("tcp_available_congestion_control", "reno cubic", 0444),
    TEXT("tcp_available_ulp", "mptcp", 0444),
    KEPT("tcp_backlog_ack_defer", 1, 0, INT32_MAX),
    KEPT("tcp_base_mss", 1024, 0, INT32_MAX),
    KEPT("tcp_challenge_ack_limit", 2147483647, 0, INT32_MAX),
    TEXT("tcp_child_ehash_entries", "0", 0444),
    KEPT("tcp_comp_sack_delay_ns", 1000000, 0, INT32_MAX),
    KEPT("tcp_comp_sack_nr", 44, 0, INT32_MAX),
    KEPT("tcp_comp_sack_slack_ns", 100000, 0, INT32_MAX),
    TEXT("tcp_congestion_control", "cubic", 0644),
    KEPT("tcp_dsack", 1, 0, INT32_MAX),
    KEPT("tcp_early_demux", 1, 0, INT32_MAX),
    KEPT("tcp_early_retrans", 3, 0, INT32_MAX),
    KEPT("tcp_ecn", 2, 0, INT32_MAX),
    KEPT("tcp_ecn_fallback", 1, 0, INT32_MAX),
    KEPT("tcp_ecn_option", 2, 0, INT32_MAX),
    KEPT("tcp_ecn_option_beacon", 3, 0, INT32_MAX),
    TEXT("tcp_ehash_entries", "262144", 0444),
    KEPT("tcp_fack", 0, 0, INT32_MAX),
    KEPT("tcp_fastopen", 1, 0, INT32_MAX),
    KEPT("tcp_fastopen_blackhole_timeout_sec", 0, 0, INT32_MAX),
    KNOB("tcp_fin_timeout", NET_FIN_TIMEOUT, 1),
    KEPT("tcp_frto", 2, 0, INT32_MAX),
    KEPT("tcp_fwmark_accept", 0, 0, INT32_MAX),
    KEPT("tcp_invalid_ratelimit", 500, 0, INT32_MAX),
    KNOB("tcp_keepalive_intvl", NET_KEEPALIVE_INTVL, 1),
    KNOB("tcp_keepalive_probes", NET_KEEPALIVE_PROBES, 1),
    KNOB("tcp_keepalive_time", NET_KEEPALIVE_TIME, 1),
    KEPT("tcp_l3mdev_accept", 0, 0, INT32_MAX),
    KEPT("tcp_limit_output_bytes", 4194304, 0, INT32_MAX),
    KEPT("tcp_low_latency", 0, 0, INT32_MAX),
    KEPT("tcp_max_orphans", 131072, 0, INT32_MAX),
    KEPT("tcp_max_reordering", 300, 0, INT32_MAX),
    KEPT("tcp_max_syn_backlog", 512, 0, INT32_MAX),
    KEPT("tcp_max_tw_buckets", 131072, 0, INT32_MAX),
    TEXT("tcp_mem", "287901\t383868\t575802", 0644),
    KEPT("tcp_migrate_req", 0, 0, INT32_MAX),
    KEPT("tcp_min_rtt_wlen", 300, 0, INT32_MAX),
    KEPT("tcp_min_snd_mss", 48, 0, INT32_MAX),
    KEPT("tcp_min_tso_segs", 2, 0, INT32_MAX),
    KEPT("tcp_moderate_rcvbuf", 1, 0, INT32_MAX),
    KEPT("tcp_mtu_probe_floor", 48, 0, INT32_MAX),
    KEPT("tcp_mtu_probing", 0, 0, INT32_MAX),
    KEPT("tcp_no_metrics_save", 0, 0, INT32_MAX),
    KEPT("tcp_no_ssthresh_metrics_save", 1, 0, INT32_MAX),
    KEPT("tcp_notsent_lowat", 4294967295, 0, INT64_MAX),
    KEPT("tcp_orphan_retries", 0, 0, INT32_MAX),
    KEPT("tcp_pacing_ca_ratio", 120, 0, INT32_MAX),
    KEPT("tcp_pacing_ss_ratio", 200, 0, INT32_MAX),
    KEPT("tcp_pingpong_thresh", 1, 0, INT32_MAX),
    KEPT("tcp_plb_cong_thresh", 128, 0, INT32_MAX),
    KEPT("tcp_plb_enabled", 0, 0, INT32_MAX),
    KEPT("tcp_plb_idle_rehash_rounds", 3, 0, INT32_MAX),
    KEPT("tcp_plb_rehash_rounds", 12, 0, INT32_MAX),
    KEPT("tcp_plb_suspend_rto_sec", 60, 0, INT32_MAX),
    KEPT("tcp_probe_interval", 600, 0, INT32_MAX),
    KEPT("tcp_probe_threshold", 8, 0, INT32_MAX),
    KEPT("tcp_recovery", 1, 0, INT32_MAX),
    KEPT("tcp_reflect_tos", 0, 0, INT32_MAX),
    KEPT("tcp_reordering", 3, 0, INT32_MAX),
    KEPT("tcp_retrans_collapse", 1, 0, INT32_MAX),
    KEPT("tcp_retries1", 3, 0, INT32_MAX),
    KEPT("tcp_retries2", 15, 0, INT32_MAX),
    KEPT("tcp_rfc1337", 0, 0, INT32_MAX),
    KNOB("tcp_rmem", NET_TCP_RMEM_MIN, 3),
    KEPT("tcp_rto_max_ms", 120000, 0, INT32_MAX),
    KEPT("tcp_rto_min_us", 200000, 0, INT32_MAX),
    KEPT("tcp_sack", 1, 0, INT32_MAX),
    KEPT("tcp_shrink_window", 0, 0, INT32_MAX),
    KEPT("tcp_slow_start_after_idle", 1, 0, INT32_MAX),
    KEPT("tcp_stdurg", 0, 0, INT32_MAX),
    KEPT("tcp_syn_linear_timeouts", 4, 0, INT32_MAX),
    KNOB("tcp_syn_retries", NET_SYN_RETRIES, 1),
    KEPT("tcp_synack_retries", 5, 0, INT32_MAX),
    KEPT("tcp_syncookies", 1, 0, INT32_MAX),
    KEPT("tcp_thin_linear_timeouts", 0, 0, INT32_MAX),
    KEPT("tcp_timestamps", 1, 0, INT32_MAX),
    KEPT("tcp_tso_rtt_log", 9, 0, INT32_MAX),
    KEPT("tcp_tso_win_divisor", 3, 0, INT32_MAX),
    KEPT("tcp_tw_reuse", 2, 0, INT32_MAX),
    KEPT("tcp_tw_reuse_delay", 1000, 0, INT32_MAX),
    KEPT("tcp_window_scaling", 1, 0, INT32_MAX),
    KNOB("tcp_wmem", NET_TCP_WMEM_MIN, 3),
    KEPT("tcp_workaround_signed_windows", 0, 0, INT32_MAX),
    TEXT("udp_child_hash_entries", "0", 0444),
    KEPT("udp_early_demux", 1, 0, INT32_MAX),
    TEXT("udp_hash_entries", "16384", 0444),
    KEPT("udp_l3mdev_accept", 0, 0, INT32_MAX),
    TEXT("udp_mem", "575802\t767736\t1151604", 0644),
    KEPT("udp_rmem_min", 4096, 0, INT32_MAX),
    KEPT("udp_wmem_min", 4096, 0, INT32_MAX),
    {0},
};
static const struct proc_entry g_conf6_all[] = {
    KEPT("accept_dad", -1, INT32_MIN, INT32_MAX),
    KEPT("accept_ra", 1, INT32_MIN, INT32_MAX),
    KEPT("accept_redirects", 1, INT32_MIN, INT32_MAX),
    KEPT("accept_source_route", 0, INT32_MIN, INT32_MAX),
    KEPT("autoconf", 1, INT32_MIN, INT32_MAX),
    KEPT("dad_transmits", 1, INT32_MIN, INT32_MAX),
    KEPT("disable_ipv6", 0, INT32_MIN, INT32_MAX),
    KEPT("forwarding", 0, INT32_MIN, INT32_MAX),
    KEPT("hop_limit", 64, INT32_MIN, INT32_MAX),
    KEPT("mc_forwarding", 0, INT32_MIN, INT32_MAX),
    KEPT("mtu", 65536, INT32_MIN, INT32_MAX),
    KEPT("proxy_ndp", 0, INT32_MIN, INT32_MAX),
    KEPT("router_solicitations", -1, INT32_MIN, INT32_MAX),
    KEPT("use_tempaddr", -1, INT32_MIN, INT32_MAX),
    {0},
};
static const struct proc_entry g_conf6_default[] = {
    KEPT("accept_dad", -1, INT32_MIN, INT32_MAX),
    KEPT("accept_ra", 1, INT32_MIN, INT32_MAX),
    KEPT("accept_redirects", 1, INT32_MIN, INT32_MAX),
    KEPT("accept_source_route", 0, INT32_MIN, INT32_MAX),
    KEPT("autoconf", 1, INT32_MIN, INT32_MAX),
    KEPT("dad_transmits", 1, INT32_MIN, INT32_MAX),
    KEPT("disable_ipv6", 0, INT32_MIN, INT32_MAX),
    KEPT("forwarding", 0, INT32_MIN, INT32_MAX),
    KEPT("hop_limit", 64, INT32_MIN, INT32_MAX),
    KEPT("mc_forwarding", 0, INT32_MIN, INT32_MAX),
    KEPT("mtu", 65536, INT32_MIN, INT32_MAX),
    KEPT("proxy_ndp", 0, INT32_MIN, INT32_MAX),
    KEPT("router_solicitations", -1, INT32_MIN, INT32_MAX),
    KEPT("use_tempaddr", -1, INT32_MIN, INT32_MAX),
    {0},
};
static const struct proc_entry g_conf6_lo[] = {
    KEPT("accept_dad", -1, INT32_MIN, INT32_MAX),
    KEPT("accept_ra", 1, INT32_MIN, INT32_MAX),
    KEPT("accept_redirects", 1, INT32_MIN, INT32_MAX),
    KEPT("accept_source_route", 0, INT32_MIN, INT32_MAX),
    KEPT("autoconf", 1, INT32_MIN, INT32_MAX),
    KEPT("dad_transmits", 1, INT32_MIN, INT32_MAX),
    KEPT("disable_ipv6", 0, INT32_MIN, INT32_MAX),
    KEPT("forwarding", 0, INT32_MIN, INT32_MAX),
    KEPT("hop_limit", 64, INT32_MIN, INT32_MAX),
    KEPT("mc_forwarding", 0, INT32_MIN, INT32_MAX),
    KEPT("mtu", 65536, INT32_MIN, INT32_MAX),
    KEPT("proxy_ndp", 0, INT32_MIN, INT32_MAX),
    KEPT("router_solicitations", -1, INT32_MIN, INT32_MAX),
    KEPT("use_tempaddr", -1, INT32_MIN, INT32_MAX),
    {0},
};
static const struct proc_entry g_conf6[] = {
    PROC_DIR("all", 0555, g_conf6_all), PROC_DIR("default", 0555, g_conf6_default),
    PROC_DIR("lo", 0555, g_conf6_lo), {0},
};
static const struct proc_entry g_ipv6[] = {
    PROC_DIR("conf", 0555, g_conf6), KNOB("bindv6only", NET_BINDV6ONLY, 1),
    KEPT("ip_nonlocal_bind", 0, 0, 1), {0},
};
static const struct proc_entry g_unix[] = {KNOB("max_dgram_qlen", NET_UNIX_QLEN, 1), {0}};
/* clang-format on */

const struct proc_entry g_proc_sys_net_entries[] = {
    PROC_DIR("core", 0555, g_core), PROC_DIR("ipv4", 0555, g_ipv4), PROC_DIR("ipv6", 0555, g_ipv6),
    PROC_DIR("unix", 0555, g_unix), {0}};
