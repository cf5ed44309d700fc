/* ringfence ps, kill, stats, stacks, trace: looking into a running sandbox over its control socket.
 */
#include "cli/cli.h"
#include "control.h"

#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

static const struct option g_help_option[] = {{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};

/* Flags of these commands: --help and one with a value. 0 go on; -1 done (help); else a status. */
static int parse(int argc, char **argv, char flag, const char **value, int min, int max,
                 const char *usage)
{
    char name[32], flags[8];
    snprintf(name, sizeof(name), "ringfence: %s", argv[0]);
    snprintf(flags, sizeof(flags), flag ? "+h%c:" : "+h", flag);
    argv[0] = name;
    optind = 1;
    int opt;
    while ((opt = getopt_long(argc, argv, flags, g_help_option, NULL)) != -1) {
        if (opt == 'h') {
            printf("Usage: ringfence %s", usage);
            return -1;
        }
        if (opt == '?')
            return RF_EXIT_ERROR;
        *value = optarg;
    }
    if (argc - optind >= min && argc - optind <= max)
        return 0;
    fprintf(stderr, "Usage: ringfence %s", usage);
    return RF_EXIT_ERROR;
}

static int failed(struct sandbox *s, const struct launch_error *e)
{
    sandbox_close(s);
    return cli_error(RF_EXIT_ERROR, "%s", e->text);
}

/* ---- ps ---- */

static void age_text(int64_t start_ns, char *out, size_t size)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t s = now.tv_sec - start_ns / 1000000000;
    if (s < 0)
        s = 0;
    if (s < 100)
        snprintf(out, size, "%" PRId64 "s", s);
    else if (s < 6000)
        snprintf(out, size, "%" PRId64 "m%02ds", s / 60, (int)(s % 60));
    else
        snprintf(out, size, "%" PRId64 "h%02dm", s / 3600, (int)(s / 60 % 60));
}

static void print_sandbox(void *arg, const char *id, struct sandbox *s)
{
    static const char *const states[] = {"created", "running", "paused", "stopped"};
    struct launch_error e;
    struct sb_info info;
    struct sb_ps *ps = NULL;
    unsigned count = 0;
    char age[32] = "-";
    s->timeout_ms = 1000;
    if (container_info(s, CLI_CONTAINER, &info, &e) ||
        container_ps(s, CLI_CONTAINER, &ps, &count, &e)) {
        printf("%-16s %-8s %s\n", id, "?", e.text);
        return;
    }
    if (count)
        age_text(ps[0].start_ns, age, sizeof(age));
    printf("%-16s %-8s %9u %8s %s\n", id, (unsigned)info.state < 4 ? states[info.state] : "?",
           count, age, count ? ps[0].args[0] ? ps[0].args : ps[0].comm : "");
    free(ps);
}

static int ps_one(const char *id)
{
    struct sandbox s;
    struct launch_error e;
    struct sb_ps *ps;
    unsigned count;
    int err = registry_connect(id, &s);
    if (err)
        return err;
    if (container_ps(&s, CLI_CONTAINER, &ps, &count, &e))
        return failed(&s, &e);
    printf("%5s %5s %5s %c %3s %8s %8s %8s %s\n", "PID", "PPID", "UID", 'S', "THR", "RSS-KiB",
           "CPU-s", "AGE", "COMMAND");
    for (unsigned i = 0; i < count; i++) {
        char age[32];
        age_text(ps[i].start_ns, age, sizeof(age));
        printf("%5d %5d %5u %c %3d %8" PRIu64 " %8.2f %8s %s\n", ps[i].pid, ps[i].ppid, ps[i].uid,
               ps[i].state, ps[i].threads, ps[i].rss / 1024, (double)ps[i].cpu_ns / 1e9, age,
               ps[i].args[0] ? ps[i].args : ps[i].comm);
    }
    free(ps);
    sandbox_close(&s);
    return 0;
}

int cmd_ps(int argc, char **argv)
{
    int err = parse(argc, argv, 0, NULL, 0, 1,
                    "ps [ID]\n\nWithout ID: the sandboxes that 'ringfence do' and 'ringfence run' "
                    "have running.\nWith ID: the processes of that one, as it numbers them.\n");
    if (err)
        return err < 0 ? 0 : err;
    if (optind < argc)
        return ps_one(argv[optind]);
    printf("%-16s %-8s %9s %8s %s\n", "ID", "STATE", "PROCESSES", "AGE", "COMMAND");
    registry_each(print_sandbox, NULL);
    return 0;
}

/* ---- kill ---- */

static int parse_signal(const char *text)
{
    char *end;
    long n = strtol(text, &end, 10);
    if (end != text && !*end)
        return n > 0 && n <= 64 ? (int)n : -1;
    if (!strncasecmp(text, "SIG", 3))
        text += 3;
    for (int sig = 1; sig < 32; sig++)
        if (sigabbrev_np(sig) && !strcasecmp(sigabbrev_np(sig), text))
            return sig;
    return -1;
}

int cmd_kill(int argc, char **argv)
{
    const char *name = "TERM";
    int err = parse(argc, argv, 's', &name, 1, 2,
                    "kill [-s SIGNAL] ID [PID]\n\nSend SIGNAL (TERM) to process PID of sandbox ID, "
                    "as it numbers them, or to its first.\nKILL to the first ends the sandbox; PID "
                    "-1 is every process.\n");
    if (err)
        return err < 0 ? 0 : err;
    int sig = parse_signal(name), pid = 0;
    if (sig < 0)
        return cli_error(RF_EXIT_ERROR, "-s %s: there is no such signal", name);
    char *end = NULL;
    if (optind + 1 < argc)
        pid = (int)strtol(argv[optind + 1], &end, 10);
    if (end && (*end || pid < -1))
        return cli_error(RF_EXIT_ERROR, "%s: not a process id", argv[optind + 1]);
    struct sandbox s;
    struct launch_error e;
    err = registry_connect(argv[optind], &s);
    if (err)
        return err;
    if (container_signal(&s, CLI_CONTAINER, pid, sig, &e))
        return failed(&s, &e);
    sandbox_close(&s);
    return 0;
}

/* ---- stats, stacks ---- */

static void print_stats(const struct sb_stats *t)
{
    printf("processes        %" PRIu64 "\ntasks            %" PRIu64 "\nforks            %" PRIu64
           "\n",
           t->processes, t->pids_current, t->forks);
    printf("cpu user         %.3f s\ncpu system       %.3f s\n", (double)t->cpu_user_ns / 1e9,
           (double)t->cpu_system_ns / 1e9);
    printf("memory           %.1f MiB\n", (double)t->memory_usage / (1 << 20));
    if (t->memory_limit)
        printf("memory limit     %.1f MiB\n", (double)t->memory_limit / (1 << 20));
    if (t->oom_kills)
        printf("killed for want of memory %" PRIu64 "\n", t->oom_kills);
}

int cmd_stats(int argc, char **argv)
{
    int err = parse(argc, argv, 0, NULL, 1, 1, "stats ID\n\nWhat sandbox ID uses.\n");
    struct sandbox s;
    struct launch_error e;
    struct sb_stats t;
    if (err)
        return err < 0 ? 0 : err;
    err = registry_connect(argv[optind], &s);
    if (err)
        return err;
    if (container_stats(&s, CLI_CONTAINER, &t, &e))
        return failed(&s, &e);
    print_stats(&t);
    sandbox_close(&s);
    return 0;
}

static void print_line(void *arg, const char *line)
{
    puts(line);
}

int cmd_stacks(int argc, char **argv)
{
    int err =
        parse(argc, argv, 0, NULL, 1, 1,
              "stacks ID\n\nWhat each task of sandbox ID is doing: process, task, name, and the "
              "system call it is in.\n");
    struct sandbox s;
    struct launch_error e;
    if (err)
        return err < 0 ? 0 : err;
    err = registry_connect(argv[optind], &s);
    if (err)
        return err;
    printf("%5s %5s %-15s %s\n", "PID", "TID", "NAME", "DOES");
    if (container_stacks(&s, CLI_CONTAINER, print_line, NULL, &e))
        return failed(&s, &e);
    sandbox_close(&s);
    return 0;
}

/* ---- trace ---- */

int cmd_trace(int argc, char **argv)
{
    const char *set = "";
    int err =
        parse(argc, argv, 'e', &set, 1, 1,
              "trace [-e SET] ID\n\nPrint the system calls of sandbox ID until interrupted or "
              "until it ends.\n-e SET: only these, separated by commas.\n");
    struct sandbox s;
    struct launch_error e;
    int status;
    if (err)
        return err < 0 ? 0 : err;
    err = registry_connect(argv[optind], &s);
    if (err)
        return err;
    if (sandbox_trace(&s, set, STDOUT_FILENO, &e))
        return failed(&s, &e);
    if (container_wait(&s, CLI_CONTAINER, 0, &status, &e) && e.status != RF_EXIT_ABSENT)
        return failed(&s, &e);
    sandbox_close(&s);
    return 0;
}
