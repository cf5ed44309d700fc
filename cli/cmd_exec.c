/* ringfence exec: a further command in a running sandbox. It sees what the first one sees. */
#include "cli/cli.h"
#include "control.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char g_help[] =
    "Usage: ringfence exec [flags] ID [--] CMD [ARG...]\n\n"
    "  --env K=V        set a variable (may be repeated); the rest is inherited\n"
    "  --cwd DIR        working directory inside (default: /)\n"
    "  --uid N, --gid N identity inside (default: the caller's)\n\n"
    "Runs CMD in the sandbox ID ('ringfence ps' lists them). The exit status is the command's "
    "own.\n";

static const struct option g_options[] = {
    {"env", required_argument, NULL, 'e'}, {"cwd", required_argument, NULL, 'c'},
    {"uid", required_argument, NULL, 'u'}, {"gid", required_argument, NULL, 'g'},
    {"help", no_argument, NULL, 'h'},      {NULL, 0, NULL, 0},
};

struct parsed {
    struct sb_process process;
    struct cli_env env;
    gid_t *groups;
    bool help;
};

static int take_option(struct parsed *p, int opt)
{
    uint64_t v;
    switch (opt) {
    case 'e':
        return cli_env_set(&p->env, optarg);
    case 'c':
        p->process.cwd = optarg;
        return *optarg == '/'
                   ? 0
                   : cli_error(RF_EXIT_ERROR, "--cwd %s: must be an absolute path inside", optarg);
    case 'u':
    case 'g':
        if (cli_number(opt == 'u' ? "uid" : "gid", optarg, UINT32_MAX - 1, &v))
            return RF_EXIT_ERROR;
        *(opt == 'u' ? &p->process.uid : &p->process.gid) = v;
        p->process.group_count = 0;
        return 0;
    case 'h':
        p->help = true;
        return 0;
    }
    return cli_error(RF_EXIT_ERROR, "'ringfence exec --help' lists the flags");
}

static int parse(struct parsed *p, int argc, char **argv)
{
    if (cli_process_defaults(&p->process, &p->groups) || cli_env_inherit(&p->env))
        return RF_EXIT_ERROR;
    p->process.cwd = "/";
    char name[32];
    snprintf(name, sizeof(name), "ringfence: %s", argv[0]);
    argv[0] = name;
    optind = 1;
    int opt;
    while ((opt = getopt_long(argc, argv, "+h", g_options, NULL)) != -1) {
        int err = take_option(p, opt);
        if (err || p->help)
            return err;
    }
    if (optind >= argc)
        return cli_error(RF_EXIT_ERROR, "no sandbox given; 'ringfence ps' lists them");
    int at = optind + 1;
    if (at < argc && !strcmp(argv[at], "--"))
        at++;
    if (at >= argc)
        return cli_error(RF_EXIT_ERROR, "no command given; example: ringfence exec %s -- ps",
                         argv[optind]);
    p->process.argv = argv + at;
    return 0;
}

static int execute(struct parsed *p, const char *id)
{
    struct sandbox s;
    struct launch_error e = {0};
    int pid, err = registry_connect(id, &s);
    if (err)
        return err;
    p->process.envp = p->env.list;
    cli_process_caps(&p->process);
    if (container_exec(&s, CLI_CONTAINER, &p->process, SB_ATTACH, &pid, &e)) {
        sandbox_close(&s);
        return cli_error(e.status ? e.status : RF_EXIT_ERROR, "%s", e.text);
    }
    int status = sandbox_attend(&s, &e);
    if (e.text[0])
        cli_error(status, "%s", e.text);
    return status;
}

int cmd_exec(int argc, char **argv)
{
    struct parsed p = {.help = false};
    int err = parse(&p, argc, argv);
    if (p.help)
        fputs(g_help, stdout);
    else if (!err)
        err = execute(&p, argv[optind]);
    free(p.env.list);
    free(p.groups);
    return err;
}
