/* ps: the container's processes, with the numbers that they have inside. */
#include "runrf.h"
#include "state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void print_row(const struct sb_ps *p)
{
    char start[16] = "?";
    time_t when = p->start_ns / 1000000000;
    struct tm tm;
    long seconds = p->cpu_ns / 1000000000;
    if (localtime_r(&when, &tm))
        strftime(start, sizeof(start), time(NULL) - when < 86400 ? "%H:%M" : "%b%d", &tm);
    printf("%-8u %7d %7d  0 %5s ?        %02ld:%02ld:%02ld %s\n", p->uid, p->pid, p->ppid, start,
           seconds / 3600, seconds / 60 % 60, seconds % 60, p->args[0] ? p->args : p->comm);
}

static void print_json(const struct sb_ps *list, unsigned count)
{
    json_t *pids = json_array();
    for (unsigned i = 0; i < count; i++)
        json_array_append_new(pids, json_integer(list[i].pid));
    json_dumpf(pids, stdout, JSON_COMPACT);
    puts("");
    json_decref(pids);
}

static int fetch(struct rf_state *s, struct sb_ps **list, unsigned *count, struct rf_error *e)
{
    struct sandbox sb;
    struct launch_error le = {0};
    if (s->status == RF_STOPPED)
        return rf_fail(e, "container not running");
    if (state_connect(s, &sb, e) < 0)
        return -1;
    int ret = container_ps(&sb, s->id, list, count, &le);
    sandbox_close(&sb);
    return ret < 0 ? rf_fail(e, "%s", le.text) : 0;
}

int cmd_ps(int argc, char **argv)
{
    const char *format = "table";
    const struct rf_flag flags[] = {
        {"format", 'f', RF_FLAG_STRING, &format, "table|json", "how to print"},
        RF_FLAGS_END,
    };
    static const struct rf_usage usage = {"ID [PS OPTIONS]", 1, -1};
    int status, at = rf_parse(argc, argv, flags, &usage, &status);
    if (at < 0)
        return status;
    if (strcmp(format, "table") && strcmp(format, "json"))
        return rf_fatal(1, "invalid format option");
    struct rf_error e;
    struct rf_state s;
    struct sb_ps *list = NULL;
    unsigned count = 0;
    if (state_peek(argv[at], &s, &e) < 0 || fetch(&s, &list, &count, &e) < 0)
        return rf_fatal(1, "%s", e.text);
    if (!strcmp(format, "json")) {
        print_json(list, count);
    } else {
        printf("%-8s %7s %7s  C %5s TTY          TIME CMD\n", "UID", "PID", "PPID", "STIME");
        for (unsigned i = 0; i < count; i++)
            print_row(&list[i]);
    }
    free(list);
    state_close(&s);
    return 0;
}
