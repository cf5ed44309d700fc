/* ringfence do, ringfence run: parse the flags into a description of a sandbox and its one
 * container, start them, stay with it. */
#include "cli/cli.h"
#include "control.h"
#include "launch/sandbox.h"

#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    OPT_PLATFORM = 256,
    OPT_NETWORK,
    OPT_ROOTFS,
    OPT_RW,
    OPT_RO,
    OPT_ENV,
    OPT_CWD,
    OPT_UID,
    OPT_GID,
    OPT_HOSTNAME,
    OPT_NAME,
    OPT_MEMORY,
    OPT_CPUS,
    OPT_STRACE,
    OPT_DEBUG_LOG,
    OPT_STATS,
    OPT_HELP,
};

static const struct option g_options[] = {
    {"platform", required_argument, NULL, OPT_PLATFORM},
    {"network", required_argument, NULL, OPT_NETWORK},
    {"rootfs", required_argument, NULL, OPT_ROOTFS},
    {"rw", required_argument, NULL, OPT_RW},
    {"ro", required_argument, NULL, OPT_RO},
    {"env", required_argument, NULL, OPT_ENV},
    {"cwd", required_argument, NULL, OPT_CWD},
    {"uid", required_argument, NULL, OPT_UID},
    {"gid", required_argument, NULL, OPT_GID},
    {"hostname", required_argument, NULL, OPT_HOSTNAME},
    {"name", required_argument, NULL, OPT_NAME},
    {"memory", required_argument, NULL, OPT_MEMORY},
    {"cpus", required_argument, NULL, OPT_CPUS},
    {"strace", optional_argument, NULL, OPT_STRACE},
    {"debug-log", required_argument, NULL, OPT_DEBUG_LOG},
    {"stats", no_argument, NULL, OPT_STATS},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

static const char g_help[] =
    "  --platform=auto|systrap|kvm  how guest code runs; auto measures and takes the faster "
    "(default)\n"
    "  --rw PATH                    let the sandbox write to PATH outside (may be repeated)\n"
    "  --ro PATH[:DEST]             show PATH read-only, at DEST (may be repeated)\n"
    "  --env K=V                    set a variable (may be repeated); the rest is inherited\n"
    "  --cwd DIR                    working directory inside (default: the present one)\n"
    "  --uid N, --gid N             identity inside (default: the caller's)\n"
    "  --hostname NAME              host name inside\n"
    "  --name=NAME                  name for ringfence ps, exec, kill … (default: a number)\n"
    "  --network=none|host          none: only loopback inside (default)\n"
    "  --memory=SIZE                limit of guest memory, with K, M, G (default: none)\n"
    "  --cpus=N                     processors that programs see (default: all)\n"
    "  --strace[=set]               print system calls on stderr; set: names separated by commas\n"
    "  --debug-log=FILE             append what the sandbox notes about itself to FILE\n"
    "  --stats                      print figures about the run on stderr at its end\n"
    "\n"
    "The exit status is the command's own, 128+n if signal n killed it; 125 if ringfence itself\n"
    "failed, 126 if the command cannot be executed, 127 if it is not found.\n";

#define EXPORTS_MAX 64

struct parsed {
    struct sandbox_spec spec;
    struct sb_container container;
    struct sb_mount mounts[EXPORTS_MAX];
    struct cli_env env;
    const char *name; /* that it is registered under, or NULL */
    char cwd[PATH_MAX];
    gid_t *groups;
    bool help, is_run;
};

static int parse_size(const char *text, uint64_t *out)
{
    static const char units[] = "KMGT";
    char *end;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    const char *u = *end ? strchr(units, *end & ~0x20) : NULL;
    unsigned shift = u ? 10 * (unsigned)(u - units + 1) : 0;
    if (errno || end == text || text[0] == '-' || (*end && (!u || end[1])) || v == 0 ||
        v > (UINT64_MAX >> shift))
        return cli_error(RF_EXIT_ERROR, "--memory=%s: write a size such as 512M or 2G", text);
    *out = v << shift;
    return 0;
}

/* PATH or PATH:DEST; without DEST it appears under its own resolved name. */
static int add_export(struct parsed *p, char *arg, bool writable)
{
    struct sb_container *c = &p->container;
    if (c->mount_count == EXPORTS_MAX)
        return cli_error(RF_EXIT_ERROR, "more than %d --rw and --ro", EXPORTS_MAX);
    char *colon = strrchr(arg, ':');
    if (colon)
        *colon++ = 0;
    char *real = realpath(arg, NULL);
    if (!real)
        return cli_error(RF_EXIT_ERROR, "--%s %s: %s", writable ? "rw" : "ro", arg,
                         strerror(errno));
    if (colon && colon[0] != '/')
        return cli_error(RF_EXIT_ERROR, "--%s %s:%s: the place inside must be an absolute path",
                         writable ? "rw" : "ro", arg, colon);
    p->mounts[c->mount_count++] = (struct sb_mount){.type = "bind",
                                                    .source = real,
                                                    .dest = colon ? colon : real,
                                                    .flags = writable ? 0 : MS_RDONLY,
                                                    .options = SB_MOUNT_SHARED_ACCESS};
    return 0;
}

static int check_choice(const char *flag, const char *value, const char *choices)
{
    size_t len = strlen(value);
    for (const char *c = choices; *c; c += strspn(c, "|")) {
        size_t n = strcspn(c, "|");
        if (n == len && !strncmp(c, value, n))
            return 0;
        c += n;
    }
    return cli_error(RF_EXIT_ERROR, "--%s=%s: choose one of %s", flag, value, choices);
}

static int take_identity(struct parsed *p, int opt)
{
    uint64_t v;
    if (cli_number(opt == OPT_UID ? "uid" : "gid", optarg, UINT32_MAX - 1, &v))
        return RF_EXIT_ERROR;
    struct sb_process *process = &p->container.process;
    if (opt == OPT_UID)
        process->uid = v;
    else
        process->gid = v;
    process->group_count = 0;
    return 0;
}

static int take_option(struct parsed *p, int opt)
{
    struct sandbox_spec *s = &p->spec;
    struct sb_container *c = &p->container;
    uint64_t v;
    switch (opt) {
    case OPT_PLATFORM:
        s->platform = optarg;
        return check_choice("platform", optarg, "auto|systrap|kvm");
    case OPT_NETWORK:
        s->network = optarg;
        if (!strcmp(optarg, "sandbox"))
            return cli_error(RF_EXIT_ERROR,
                             "--network=sandbox is not there yet: ringfence has no TCP/IP stack of its "
                             "own; use none (loopback inside) or host (the host's sockets)");
        return check_choice("network", optarg, "none|host");
    case OPT_ROOTFS:
        c->rootfs = optarg;
        return 0;
    case OPT_RW:
    case OPT_RO:
        return add_export(p, optarg, opt == OPT_RW);
    case OPT_ENV:
        return cli_env_set(&p->env, optarg);
    case OPT_CWD:
        c->process.cwd = optarg;
        return 0;
    case OPT_UID:
    case OPT_GID:
        return take_identity(p, opt);
    case OPT_HOSTNAME:
        s->hostname = optarg;
        return strlen(optarg) <= 64 ? 0
                                    : cli_error(RF_EXIT_ERROR, "--hostname: at most 64 characters");
    case OPT_NAME:
        p->name = optarg;
        return 0;
    case OPT_MEMORY:
        return parse_size(optarg, &s->memory_limit);
    case OPT_CPUS:
        if (cli_number("cpus", optarg, 1024, &v) || v == 0)
            return RF_EXIT_ERROR;
        s->cpus = v;
        return 0;
    case OPT_STRACE:
        s->strace = optarg ? optarg : "";
        return 0;
    case OPT_DEBUG_LOG:
        s->debug_log = optarg;
        return 0;
    case OPT_STATS:
        s->stats = true;
        return 0;
    case OPT_HELP:
        p->help = true;
        return 0;
    default: /* getopt_long has already named the flag */
        return cli_error(RF_EXIT_ERROR, "'ringfence %s --help' lists the flags",
                         p->is_run ? "run" : "do");
    }
}

static int parsed_defaults(struct parsed *p)
{
    struct sandbox_spec *s = &p->spec;
    struct sb_container *c = &p->container;
    s->platform = "auto";
    s->network = "none";
    s->attached = true;
    c->id = CLI_CONTAINER;
    c->namespaces[SB_NS_PID] = SB_NS_SANDBOX; /* kill -9 $$ ends the command, as outside */
    c->rootfs = p->is_run ? NULL : "/";
    c->root_mode = "overlay";
    c->default_mounts = true;
    c->mounts = p->mounts;
    if (cli_process_defaults(&c->process, &p->groups))
        return RF_EXIT_ERROR;
    return cli_env_inherit(&p->env);
}

static int parse(struct parsed *p, int argc, char **argv)
{
    if (parsed_defaults(p))
        return RF_EXIT_ERROR;
    char name[32];
    snprintf(name, sizeof(name), "ringfence: %s", argv[0]);
    argv[0] = name; /* what getopt_long puts in front of its sentences */
    optind = 1;
    int opt;
    while ((opt = getopt_long(argc, argv, "+h", g_options, NULL)) != -1) {
        int err = take_option(p, opt == 'h' ? OPT_HELP : opt);
        if (err || p->help)
            return err;
    }
    if (optind >= argc)
        return cli_error(RF_EXIT_ERROR, "no command given; example: ringfence do -- ls -l");
    if (!p->container.rootfs)
        return cli_error(
            RF_EXIT_ERROR,
            "run needs --rootfs DIR; to run over this machine's own files use 'ringfence do'");
    p->container.process.argv = argv + optind;
    return 0;
}

static int attend(struct parsed *p)
{
    struct sandbox s;
    struct launch_error e = {0};
    if (sandbox_start(&p->spec, &s, &e))
        return cli_error(e.status, "%s", e.text);
    if (container_create(&s, &p->container, SB_START | SB_ATTACH, &e)) {
        sandbox_abandon(&s);
        return cli_error(e.status, "%s", e.text);
    }
    int status = sandbox_attend(&s, &e);
    if (e.text[0])
        cli_error(status, "%s", e.text);
    return status;
}

static int finish(struct parsed *p)
{
    struct sb_process *process = &p->container.process;
    if (!process->cwd)
        process->cwd =
            p->is_run || !getcwd(p->cwd, sizeof(p->cwd)) || p->cwd[0] != '/' ? "/" : p->cwd;
    else if (process->cwd[0] != '/')
        return cli_error(RF_EXIT_ERROR, "--cwd %s: must be an absolute path inside", process->cwd);
    process->envp = p->env.list;
    cli_process_caps(process);
    struct registration r;
    if (registry_enter(&r, p->name))
        return RF_EXIT_ERROR;
    if (r.made) {
        p->spec.dir = r.dir;
        p->spec.socket_name = r.socket_name;
    }
    int status = attend(p);
    registry_leave(&r);
    return status;
}

static int run(int argc, char **argv, bool is_run)
{
    struct parsed p = {.is_run = is_run};
    int err = parse(&p, argc, argv);
    if (p.help)
        printf("Usage: ringfence %s%s [flags] [--] CMD [ARG...]\n\n%s%s", is_run ? "run" : "do",
               is_run ? " --rootfs DIR" : "",
               is_run ? "  --rootfs DIR                 the directory that becomes / inside; "
                        "writes stay in memory\n"
                      : "",
               g_help);
    else if (!err)
        err = finish(&p);
    free(p.env.list);
    free(p.groups);
    return err;
}

int cmd_do(int argc, char **argv)
{
    return run(argc, argv, /*is_run=*/false);
}

int cmd_run(int argc, char **argv)
{
    return run(argc, argv, /*is_run=*/true);
}
