/* events: a container's figures, as runc prints them: a JSON object a line. The processor, memory
 * and process figures are the sentry's own (what guests used), block figures the host cgroup's. */
#include "cgroup.h"
#include "state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static json_t *memory_entry(uint64_t usage, uint64_t peak, uint64_t limit, uint64_t failures)
{
    return json_pack("{s:I, s:I, s:I, s:I}", "limit",
                     (json_int_t)(limit ? limit : 9223372036854771712ull), "usage",
                     (json_int_t)usage, "max", (json_int_t)peak, "failcnt", (json_int_t)failures);
}

static json_t *figures(const struct sb_stats *st)
{
    json_t *cpu = json_pack("{s:{s:I, s:I, s:I}, s:{s:I, s:I, s:I}}", "usage", "total",
                            (json_int_t)(st->cpu_user_ns + st->cpu_system_ns), "kernel",
                            (json_int_t)st->cpu_system_ns, "user", (json_int_t)st->cpu_user_ns,
                            "throttling", "periods", (json_int_t)st->cpu_periods,
                            "throttledPeriods", (json_int_t)st->cpu_throttled_periods,
                            "throttledTime", (json_int_t)st->cpu_throttled_ns);
    json_t *memory = json_pack(
        "{s:o, s:o, s:{s:I, s:I}}", "usage",
        memory_entry(st->memory_usage, st->memory_peak, st->memory_limit, st->memory_failures),
        "swap", memory_entry(0, 0, 0, 0), "raw", "oom_kill", (json_int_t)st->oom_kills, "failures",
        (json_int_t)st->memory_failures);
    json_t *pids = json_pack("{s:I, s:I}", "current", (json_int_t)st->pids_current, "limit",
                             (json_int_t)st->pids_limit);
    return json_pack("{s:o, s:o, s:o, s:{}, s:{}, s:{}, s:n}", "cpu", cpu, "memory", memory, "pids",
                     pids, "blkio", "hugetlb", "intel_rdt", "network_interfaces");
}

static void print_event(const char *type, const char *id, json_t *data)
{
    json_t *event = json_pack("{s:s, s:s}", "type", type, "id", id);
    if (data)
        json_object_set_new(event, "data", data);
    json_dumpf(event, stdout, JSON_COMPACT);
    puts("");
    fflush(stdout);
    json_decref(event);
}

static int fetch(const struct rf_state *s, struct sb_stats *st, struct rf_error *e)
{
    struct sandbox sb;
    struct launch_error le = {0};
    if (state_connect(s, &sb, e) < 0)
        return -1;
    int ret = container_stats(&sb, s->id, st, &le);
    sandbox_close(&sb);
    return ret < 0 ? rf_fail(e, "%s", le.text) : 0;
}

static int watch(const char *id, int interval, bool once, struct rf_error *e)
{
    uint64_t oom_kills = 0;
    for (int round = 0;; round++) {
        struct rf_state s;
        struct sb_stats st = {0};
        if (state_peek(id, &s, e) < 0)
            return round ? 0 : -1;
        int ret = s.status == RF_STOPPED ? rf_fail(e, "container with id %s is not running", id)
                                         : fetch(&s, &st, e);
        state_close(&s);
        if (ret < 0)
            return round ? 0 : -1;
        if (st.oom_kills > oom_kills && !once)
            print_event("oom", id, NULL);
        oom_kills = st.oom_kills;
        print_event("stats", id, figures(&st));
        if (once)
            return 0;
        nanosleep(&(struct timespec){.tv_sec = interval}, NULL);
    }
}

/* "5s", "1m", "500ms" or a number of seconds; -1: no duration. */
static int seconds_of(const char *text)
{
    char *end;
    double n = strtod(text, &end);
    if (end == text || n <= 0 || n > 1e6)
        return -1;
    if (!strcmp(end, "ms"))
        return n < 1000 ? 1 : n / 1000;
    if (!strcmp(end, "m"))
        return n * 60;
    return *end && strcmp(end, "s") ? -1 : n < 1 ? 1 : n;
}

int cmd_events(int argc, char **argv)
{
    bool stats = false;
    const char *interval = "5s";
    const struct rf_flag flags[] = {
        {"stats", 0, RF_FLAG_BOOL, &stats, NULL, "print the figures once"},
        {"interval", 0, RF_FLAG_STRING, &interval, "TIME", "how often (default 5s)"},
        RF_FLAGS_END,
    };
    static const struct rf_usage usage = {"ID", 1, 1};
    int status, at = rf_parse(argc, argv, flags, &usage, &status);
    if (at < 0)
        return status;
    struct rf_error e;
    int seconds = seconds_of(interval);
    if (seconds < 0)
        return rf_fatal(1, "duration interval must be greater than 0");
    return watch(argv[at], seconds, stats, &e) < 0 ? rf_fatal(1, "%s", e.text) : 0;
}
