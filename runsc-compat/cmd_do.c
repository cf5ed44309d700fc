/* do: a command over this machine's files, as runsc's do. ringfence does that: it is asked to. */
#include "launch/launch.h"
#include "runrf.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool beside_us(char *out, size_t size)
{
    ssize_t n = readlink("/proc/self/exe", out, size - 16);
    char *slash;
    if (n < 0)
        return false;
    out[n] = 0;
    slash = strrchr(out, '/');
    strcpy(slash ? slash + 1 : out, "ringfence");
    return access(out, X_OK) == 0;
}

int cmd_do(int argc, char **argv)
{
    const char *cwd = NULL, *uid = NULL;
    bool quiet = false;
    char path[PATH_MAX], platform[64], network[64];
    const struct rf_flag flags[] = {
        {"cwd", 0, RF_FLAG_STRING, &cwd, "DIR", "working directory inside"},
        {"user", 'u', RF_FLAG_STRING, &uid, "UID", "as this user"},
        {"root", 0, RF_FLAG_IGNORED, NULL, "DIR", "use 'ringfence run --rootfs DIR'"},
        {"ip", 0, RF_FLAG_IGNORED, NULL, "ADDRESS", "ignored"},
        {"quiet", 0, RF_FLAG_BOOL, &quiet, NULL, "accepted"},
        RF_FLAGS_END,
    };
    static const struct rf_usage usage = {"CMD [ARG...]", 1, -1};
    int status, at = rf_parse(argc, argv, flags, &usage, &status);
    if (at < 0)
        return status;
    if (!beside_us(path, sizeof(path)))
        return rf_fatal(128, "the command ringfence is missing beside runrf; reinstall");
    snprintf(platform, sizeof(platform), "--platform=%s", g_rf.platform);
    snprintf(network, sizeof(network), "--network=%s",
             strcmp(g_rf.network, "auto") ? g_rf.network : "none");
    const char **args = calloc(argc + 12, sizeof(*args));
    size_t n = 0;
    if (!args)
        return rf_fatal(128, "out of memory");
    args[n++] = "ringfence";
    args[n++] = "do";
    args[n++] = platform;
    args[n++] = network;
    if (cwd)
        args[n++] = "--cwd", args[n++] = cwd;
    if (uid)
        args[n++] = "--uid", args[n++] = uid;
    args[n++] = "--";
    for (; argv[at]; at++)
        args[n++] = argv[at];
    execv(path, (char *const *)args);
    free(args);
    return rf_fatal(128, "cannot run %s: %s", path, strerror(errno));
}
