/* runrf: the OCI runtime command. Global flags, then a verb of the table. */
#include "launch/launch.h"
#include "runrf.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct rf_options g_rf = {.platform = "auto",
                          .network = "auto",
                          .overlay = "none",
                          .file_access = "exclusive",
                          .rootless = "auto",
                          .root = ""};

static const struct rf_command g_commands[] = {
    {"create", "create a container", cmd_create},
    {"delete", "delete what a container holds", cmd_delete},
    {"do", "run a command over this machine's files", cmd_do},
    {"events", "show events and figures of a container", cmd_events},
    {"exec", "run a further process in a container", cmd_exec},
    {"features", "show what this runtime can do, as JSON", cmd_features},
    {"kill", "send a signal to a container's init", cmd_kill},
    {"list", "list the containers started with this --root", cmd_list},
    {"pause", "suspend all processes of a container", cmd_pause},
    {"ps", "list the processes of a container", cmd_ps},
    {"resume", "resume a paused container", cmd_resume},
    {"run", "create and start a container", cmd_run},
    {"spec", "write an example config.json", cmd_spec},
    {"start", "start a created container", cmd_start},
    {"state", "print the state of a container", cmd_state},
    {"update", "change the limits of a container", cmd_update},
    {"wait", "wait for a container to end", cmd_wait},
};

static bool g_overlay_old, g_net_raw;

static const struct rf_flag g_flags[] = {
    {"root", 0, RF_FLAG_STRING, &g_rf.root, "DIR", "where the states of containers are kept"},
    {"log", 0, RF_FLAG_STRING, &g_rf.log, "FILE", "log file (default: standard error)"},
    {"log-format", 0, RF_FLAG_STRING, &g_rf.log_format, "text|json", "format of the log"},
    {"debug", 0, RF_FLAG_BOOL, &g_rf.debug, NULL, "log more"},
    {"systemd-cgroup", 0, RF_FLAG_BOOL, &g_rf.systemd_cgroup, NULL,
     "cgroupsPath is slice:prefix:name, made by systemd"},
    {"rootless", 0, RF_FLAG_STRING, &g_rf.rootless, "auto|true|false",
     "tolerate what an ordinary user may not do"},
    {"platform", 0, RF_FLAG_STRING, &g_rf.platform, "auto|systrap|kvm", "how guest code is run"},
    {"network", 0, RF_FLAG_STRING, &g_rf.network, "auto|none|host|sandbox",
     "none: loopback inside; host: sockets of the container's network namespace"},
    {"overlay2", 0, RF_FLAG_STRING, &g_rf.overlay, "none|root:memory|…",
     "where writes to the root go (default none: into the rootfs)"},
    {"overlay", 0, RF_FLAG_BOOL, &g_overlay_old, NULL, "the same as --overlay2=root:memory"},
    {"file-access", 0, RF_FLAG_STRING, &g_rf.file_access, "exclusive|shared",
     "shared: others change the rootfs meanwhile"},
    {"ignore-cgroups", 0, RF_FLAG_BOOL, &g_rf.ignore_cgroups, NULL, "make no host cgroups"},
    {"debug-log", 0, RF_FLAG_STRING, &g_rf.debug_log, "FILE", "the sentry's log"},
    {"strace", 0, RF_FLAG_BOOL, &g_rf.strace_all, NULL, "log guest system calls to --debug-log"},
    {"strace-syscalls", 0, RF_FLAG_STRING, &g_rf.strace, "LIST", "only these"},
    /* What runc and runsc have besides, and what means nothing here. */
    {"criu", 0, RF_FLAG_IGNORED, NULL, "PATH", "ignored: there is no checkpointing"},
    {"alsologtostderr", 0, RF_FLAG_IGNORED, NULL, NULL, "ignored"},
    {"debug-log-format", 0, RF_FLAG_IGNORED, NULL, "FORMAT", "ignored"},
    {"file-access-mounts", 0, RF_FLAG_IGNORED, NULL, "MODE", "ignored: binds are shared"},
    {"host-uds", 0, RF_FLAG_IGNORED, NULL, "MODE", "ignored: no host sockets through files"},
    {"host-fifo", 0, RF_FLAG_IGNORED, NULL, "MODE", "ignored"},
    {"fsgofer-host-uds", 0, RF_FLAG_IGNORED, NULL, NULL, "ignored"},
    {"net-raw", 0, RF_FLAG_BOOL, &g_net_raw, NULL, "ignored: CAP_NET_RAW decides"},
    {"num-network-channels", 0, RF_FLAG_IGNORED, NULL, "N", "ignored"},
    {"gso", 0, RF_FLAG_IGNORED, NULL, NULL, "ignored"},
    {"watchdog-action", 0, RF_FLAG_IGNORED, NULL, "ACTION", "ignored"},
    {"panic-signal", 0, RF_FLAG_IGNORED, NULL, "N", "ignored"},
    {"profile", 0, RF_FLAG_IGNORED, NULL, NULL, "ignored"},
    {"oci-seccomp", 0, RF_FLAG_IGNORED, NULL, NULL, "ignored: profiles are always enforced"},
    {"cpu-num-from-quota", 0, RF_FLAG_IGNORED, NULL, NULL, "ignored"},
    {"vfs2", 0, RF_FLAG_IGNORED, NULL, NULL, "ignored"},
    {"fuse", 0, RF_FLAG_IGNORED, NULL, NULL, "ignored"},
    {"lisafs", 0, RF_FLAG_IGNORED, NULL, NULL, "ignored"},
    {"directfs", 0, RF_FLAG_IGNORED, NULL, NULL, "ignored"},
    {"ref-leak-mode", 0, RF_FLAG_IGNORED, NULL, "MODE", "ignored"},
    RF_FLAGS_END,
};

static void usage(FILE *f)
{
    fputs("runrf runs OCI containers in sandboxes: an application kernel of its own answers their\n"
          "system calls, and a separate file server is their only way to host files.\n\n"
          "Usage: runrf [global flags] VERB [flags] ARGS\n\nVerbs:\n",
          f);
    for (size_t i = 0; i < sizeof(g_commands) / sizeof(g_commands[0]); i++)
        fprintf(f, "  %-10s %s\n", g_commands[i].name, g_commands[i].summary);
    fputs("\n'runrf VERB --help' tells a verb's flags. Global flags:\n", f);
    fflush(f);
    if (f == stdout)
        rf_print_flags(g_flags);
}

static bool in_initial_user_ns(void)
{
    char *map = rf_read_file("/proc/self/uid_map", 4096, NULL);
    unsigned inside = 1, outside = 1, count = 0;
    bool yes = !map || (sscanf(map, "%u %u %u", &inside, &outside, &count) == 3 && inside == 0 &&
                        outside == 0 && count == UINT32_MAX);
    free(map);
    return yes;
}

static int default_root(char *out, size_t size)
{
    const char *dir = getenv("XDG_RUNTIME_DIR");
    if (!g_rf.rootless_now || (geteuid() == 0 && !(dir && dir[0] == '/')))
        return rf_format(out, size, "/run/runrf");
    if (dir && dir[0] == '/')
        return rf_format(out, size, "%s/runrf", dir);
    return rf_format(out, size, "/tmp/runrf-%u", (unsigned)geteuid());
}

static int check_flags(struct rf_error *e)
{
    if (!strcmp(g_rf.platform, "ptrace"))
        return rf_fail(e, "--platform=ptrace: runrf has no ptrace platform; use systrap, which is "
                          "faster and needs no ptrace, or auto");
    if (strcmp(g_rf.platform, "auto") && strcmp(g_rf.platform, "systrap") &&
        strcmp(g_rf.platform, "kvm"))
        return rf_fail(e, "--platform=%s: there is no such platform; use auto, systrap or kvm",
                       g_rf.platform);
    if (strcmp(g_rf.network, "auto") && strcmp(g_rf.network, "none") &&
        strcmp(g_rf.network, "host") && strcmp(g_rf.network, "sandbox"))
        return rf_fail(e, "--network=%s: choose one of auto, none, host, sandbox", g_rf.network);
    if (strcmp(g_rf.file_access, "exclusive") && strcmp(g_rf.file_access, "shared"))
        return rf_fail(e, "--file-access=%s: choose exclusive or shared", g_rf.file_access);
    if (strcmp(g_rf.rootless, "auto") && strcmp(g_rf.rootless, "true") &&
        strcmp(g_rf.rootless, "false"))
        return rf_fail(e, "--rootless=%s: choose auto, true or false", g_rf.rootless);
    return 0;
}

static int finish_flags(void)
{
    static char root[PATH_MAX];
    struct rf_error e;
    bool user_ns = geteuid() != 0 || !in_initial_user_ns();
    g_rf.rootless_now = !strcmp(g_rf.rootless, "auto") ? user_ns : !strcmp(g_rf.rootless, "true");
    if (g_overlay_old)
        g_rf.overlay = "root:memory";
    if (g_rf.strace_all && !g_rf.strace)
        g_rf.strace = "";
    if (rf_log_open(&e) < 0 || check_flags(&e) < 0)
        return rf_fatal(1, "%s", e.text);
    if (!*g_rf.root && !default_root(root, sizeof(root)))
        g_rf.root = root;
    else if (realpath(g_rf.root, root) ||
             (rf_mkdir_p(g_rf.root, 0711) == 0 && realpath(g_rf.root, root)))
        g_rf.root = root; /* verbs change directory */
    return 0;
}

int main(int argc, char **argv)
{
    static const struct rf_usage any = {"VERB …", 0, -1};
    int status;
    launch_stdio_hold();
    if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") ||
                     !strcmp(argv[1], "-help") || !strcmp(argv[1], "help"))) {
        usage(stdout);
        return 0;
    }
    if (argc > 1 &&
        (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-v") || !strcmp(argv[1], "-version"))) {
        puts("runrf version " RF_VERSION "\nspec: 1.0.2-dev");
        return 0;
    }
    char name[] = "runrf";
    argv[0] = name;
    int at = rf_parse(argc, argv, g_flags, &any, &status);
    if (at < 0)
        return status;
    if (at >= argc) {
        usage(stderr);
        return 1;
    }
    status = finish_flags();
    if (status)
        return status;
    for (size_t i = 0; i < sizeof(g_commands) / sizeof(g_commands[0]); i++)
        if (!strcmp(argv[at], g_commands[i].name))
            return g_commands[i].run(argc - at, argv + at);
    return rf_fatal(3, "unknown command \"%s\"; 'runrf --help' lists the verbs", argv[at]);
}
