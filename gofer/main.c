/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rf-gofer: serves host files to one sentry. Started by the launcher with everything it needs as
 * descriptors; see README.md for the arguments. Exit status: 0 the sentry has gone, 125 it could
 * not start.
 */
#include "gofer_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/capability.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXIT_OWN_ERROR 125

int g_gofer_log_fd = -1;
static struct gofer_server g_server;

void gofer_log(const char *fmt, ...)
{
    char line[512] = "rf-gofer: ";
    size_t size = strlen(line);
    va_list args;
    int n;

    if (g_gofer_log_fd < 0)
        return;
    va_start(args, fmt);
    n = vsnprintf(line + size, sizeof(line) - size - 1, fmt, args);
    va_end(args);
    if (n < 0)
        return;
    size = size + (size_t)n < sizeof(line) - 2 ? size + (size_t)n : sizeof(line) - 2;
    line[size++] = '\n';
    if (write(g_gofer_log_fd, line, size) < 0)
        return;
}

static int fail(const char *what, const char *why)
{
    fprintf(stderr, "rf-gofer: %s: %s\n", what, why);
    return EXIT_OWN_ERROR;
}

/* A descriptor number that is open. */
static bool parse_fd(const char *text, char **end, int *fd)
{
    long v;

    errno = 0;
    v = strtol(text, end, 10);
    if (errno || *end == text || v < 0 || v > 1 << 20 || fcntl((int)v, F_GETFD) < 0)
        return false;
    *fd = (int)v;
    return true;
}

/* FD:ro or FD:rw; anything after a further colon is only for people who read the command line. */
static bool parse_export(const char *text, struct gofer_server *s, struct gofer_config *cfg)
{
    struct gofer_export *e = &s->exports[s->export_count];
    char *end;

    if (s->export_count == GOFER_EXPORT_MAX || !parse_fd(text, &end, &e->fd))
        return false;
    if (strncmp(end, ":ro", 3) == 0)
        e->flags = GOFERP_EXPORT_RO;
    else if (strncmp(end, ":rw", 3) != 0)
        return false;
    if (end[3] != 0 && end[3] != ':')
        return false;
    cfg->changes |= !(e->flags & GOFERP_EXPORT_RO);
    s->export_count++;
    return true;
}

static bool parse_caps(const char *text, uint64_t *keep)
{
    static const struct {
        const char *name;
        int cap;
    } known[] = {{"CHOWN", CAP_CHOWN},
                 {"DAC_OVERRIDE", CAP_DAC_OVERRIDE},
                 {"FOWNER", CAP_FOWNER},
                 {"FSETID", CAP_FSETID},
                 {"DAC_READ_SEARCH", CAP_DAC_READ_SEARCH}};
    size_t i, size;

    for (; *text; text += size + (text[size] == ',')) {
        size = strcspn(text, ",");
        for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
            if (strlen(known[i].name) == size && strncmp(known[i].name, text, size) == 0)
                break;
        if (i == sizeof(known) / sizeof(known[0]))
            return false;
        *keep |= 1ull << known[i].cap;
    }
    return true;
}

enum {
    OPT_FD = 1,
    OPT_EXPORT,
    OPT_LOG,
    OPT_CAPS,
    OPT_UNIX,
    OPT_FIFO,
    OPT_FIDS,
    OPT_PARTIAL,
    OPT_SELFTEST,
    OPT_PRINT
};

static const struct option g_options[] = {
    {"fd", required_argument, NULL, OPT_FD},
    {"export", required_argument, NULL, OPT_EXPORT},
    {"debug-log-fd", required_argument, NULL, OPT_LOG},
    {"keep-caps", required_argument, NULL, OPT_CAPS},
    {"allow-unix", no_argument, NULL, OPT_UNIX},
    {"allow-fifo", no_argument, NULL, OPT_FIFO},
    {"max-fids", required_argument, NULL, OPT_FIDS},
    {"allow-partial", no_argument, NULL, OPT_PARTIAL},
    {"selftest", required_argument, NULL, OPT_SELFTEST},
    {"print-seccomp", no_argument, NULL, OPT_PRINT},
    {0},
};

static bool parse_option(int opt, struct gofer_server *s, struct gofer_config *cfg)
{
    char *end;

    switch (opt) {
    case OPT_FD:
        return parse_fd(optarg, &end, &cfg->fd) && !*end;
    case OPT_LOG:
        return parse_fd(optarg, &end, &cfg->log_fd) && !*end;
    case OPT_EXPORT:
        return parse_export(optarg, s, cfg);
    case OPT_CAPS:
        return parse_caps(optarg, &cfg->keep_caps);
    case OPT_UNIX:
        return cfg->policy.unix_sockets = true;
    case OPT_FIFO:
        return cfg->policy.fifos = true;
    case OPT_FIDS:
        cfg->policy.fid_max = (uint32_t)strtoul(optarg, &end, 10);
        return cfg->policy.fid_max > 0 && !*end;
    case OPT_PARTIAL:
        return cfg->allow_partial = true;
    case OPT_SELFTEST:
        cfg->selftest = optarg;
        return strcmp(optarg, "forbidden") == 0;
    case OPT_PRINT:
        gofer_seccomp_print();
        exit(0);
    }
    return false;
}

static int parse_all(int argc, char **argv, struct gofer_server *s, struct gofer_config *cfg)
{
    int opt;

    while ((opt = getopt_long(argc, argv, "", g_options, NULL)) != -1)
        if (!parse_option(opt, s, cfg))
            return fail(argv[optind - 1], "bad option or value (see gofer/README.md)");
    if (optind < argc)
        return fail(argv[optind], "not an option");
    if (cfg->fd < 0 || s->export_count == 0)
        return fail("arguments", "--fd=N and at least one --export=FD:ro|rw are needed");
    return 0;
}

static bool is_wanted(int fd, const struct gofer_server *s, const struct gofer_config *cfg)
{
    uint32_t i;

    for (i = 0; i < s->export_count; i++)
        if (s->exports[i].fd == fd)
            return true;
    return fd == cfg->fd || fd == cfg->log_fd;
}

/* Everything but what the arguments name; 0, 1 and 2 stay occupied, by the empty device. */
static int close_others(const struct gofer_server *s, const struct gofer_config *cfg)
{
    int highest = cfg->fd > cfg->log_fd ? cfg->fd : cfg->log_fd;
    int fd, null = open("/dev/null", O_RDWR | O_CLOEXEC);
    uint32_t i;

    for (i = 0; i < s->export_count; i++)
        highest = s->exports[i].fd > highest ? s->exports[i].fd : highest;
    for (fd = 0; fd <= highest; fd++) {
        if (is_wanted(fd, s, cfg))
            fcntl(fd, F_SETFD, FD_CLOEXEC);
        else if (fd < 3 && null >= 0)
            dup2(null, fd);
        else
            close(fd);
    }
    return close_range((unsigned)highest + 1, ~0u, 0) < 0 ? -errno : 0;
}

/* Must not return: the must-die test. */
static int selftest_forbidden(void)
{
    syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0);
    return 1;
}

static int start(struct gofer_server *s, const struct gofer_config *cfg)
{
    int rc = close_others(s, cfg);

    if (rc == 0)
        rc = gofer_confine(s, cfg);
    if (rc == 0)
        rc = gofer_server_init(s, cfg->policy.fid_max);
    if (rc == 0)
        rc = gofer_seccomp_load(cfg->changes, cfg->policy.unix_sockets);
    return rc;
}

int main(int argc, char **argv)
{
    struct gofer_config cfg = {.fd = -1, .log_fd = -1};
    int rc = parse_all(argc, argv, &g_server, &cfg);

    if (rc)
        return rc;
    g_gofer_log_fd = cfg.log_fd;
    g_server.policy = cfg.policy;
    umask(0);
    /* One heap: a second one makes the C library count CPUs, which needs files and calls that we
     * shall not have. */
    mallopt(M_ARENA_MAX, 1);
    rc = start(&g_server, &cfg);
    if (rc < 0) {
        gofer_log("cannot start: %s", strerror(-rc));
        return EXIT_OWN_ERROR;
    }
    if (cfg.selftest)
        return selftest_forbidden();
    gofer_channel_serve(&g_server, cfg.fd);
    _exit(0); /* the sentry is gone: other threads with it */
}
