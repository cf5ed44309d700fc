/* ringfence: a person's sandbox command. A table of verbs over the launch library. */
#include "cli/cli.h"
#include "control.h"
#include "launch/sandbox.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct cli_command g_commands[] = {
    {"do", "[flags] [--] CMD [ARG...]",
     "run CMD over this machine's files; what it writes stays in memory", cmd_do},
    {"run", "--rootfs DIR [flags] [--] CMD [ARG...]", "run CMD over another root directory",
     cmd_run},
    {"ps", "[ID]", "list running sandboxes, or the processes of one", cmd_ps},
    {"exec", "[flags] ID [--] CMD [ARG...]", "run a further command in a running sandbox",
     cmd_exec},
    {"kill", "[-s SIGNAL] ID [PID]", "send a signal to a process of a sandbox, or end it",
     cmd_kill},
    {"stats", "ID", "figures about a running sandbox", cmd_stats},
    {"stacks", "ID", "what each task of a sandbox is doing", cmd_stacks},
    {"trace", "[-e SET] ID", "print the system calls of a running sandbox until interrupted",
     cmd_trace},
};

int cli_error(int status, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs("ringfence: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    return status;
}

static void usage(FILE *f)
{
    fputs("ringfence runs Linux programs in a sandbox: an application kernel of its own answers "
          "their\n"
          "system calls, and a separate file server is their only way to host files.\n\nUsage:\n",
          f);
    for (size_t i = 0; i < sizeof(g_commands) / sizeof(g_commands[0]); i++)
        fprintf(f, "  ringfence %s %s\n        %s\n", g_commands[i].name, g_commands[i].args,
                g_commands[i].summary);
    fputs("\n'ringfence COMMAND --help' tells the flags. Example:\n  ringfence do -- make test\n",
          f);
}

int main(int argc, char **argv)
{
    launch_stdio_hold();
    if (argc < 2) {
        usage(stderr);
        return RF_EXIT_ERROR;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        usage(stdout);
        return 0;
    }
    if (!strcmp(argv[1], "--version")) {
        puts("ringfence " RF_VERSION);
        return 0;
    }
    for (size_t i = 0; i < sizeof(g_commands) / sizeof(g_commands[0]); i++)
        if (!strcmp(argv[1], g_commands[i].name))
            return g_commands[i].run(argc - 1, argv + 1);
    return cli_error(RF_EXIT_ERROR, "unknown command \"%s\"; 'ringfence --help' lists the commands",
                     argv[1]);
}
