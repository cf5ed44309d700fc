/* The systemd driver: cgroupsPath is "slice:prefix:name", and systemd makes the scope. Asked
 * through busctl, which is part of systemd itself: where there is a systemd to ask, there is
 * busctl, and runrf needs no D-Bus library. Without one the cgroups are made directly, at the same
 * place. */
#include "cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static bool split(const char *path, const char *id, char *slice, char *unit, size_t size)
{
    char prefix[128] = "", name[256] = "";
    snprintf(slice, size, "%s", g_rf.rootless_now ? "user.slice" : "system.slice");
    if (!*path)
        return !rf_format(unit, size, "runrf-%s.scope", id);
    const char *first = strchr(path, ':'), *second = first ? strchr(first + 1, ':') : NULL;
    if (!second || strchr(second + 1, ':'))
        return false;
    if (first > path)
        snprintf(slice, size, "%.*s", (int)(first - path), path);
    snprintf(prefix, sizeof(prefix), "%.*s", (int)(second - first - 1), first + 1);
    snprintf(name, sizeof(name), "%s", second + 1);
    bool is_slice = strlen(name) > 6 && !strcmp(name + strlen(name) - 6, ".slice");
    return !rf_format(unit, size, "%s%s%s%s", is_slice ? "" : prefix,
                      !is_slice && *prefix ? "-" : "", name, is_slice ? "" : ".scope");
}

/* a-b.slice lies in a.slice: the directory names every level. */
static bool slice_path(const char *slice, char *out, size_t size)
{
    size_t len = strlen(slice), at = 0;
    *out = 0;
    if (len <= 6 || strcmp(slice + len - 6, ".slice"))
        return false;
    if (!strcmp(slice, "-.slice"))
        return true;
    for (const char *dash = slice;; dash++) {
        dash += strcspn(dash, "-.");
        int n = snprintf(out + at, size - at, "/%.*s.slice", (int)(dash - slice), slice);
        if (n < 0 || (size_t)n >= size - at)
            return false;
        at += n;
        if (*dash != '-')
            return true;
    }
}

bool cgroup_systemd_path(const char *cgroups_path, const char *id, char *out, size_t size)
{
    char slice[256], unit[512], dir[PATH_MAX];
    if (!split(cgroups_path, id, slice, unit, sizeof(slice)) ||
        !slice_path(slice, dir, sizeof(dir)))
        return false;
    return !rf_format(out, size, "%s/%s", dir, unit);
}

static bool bus_there(void)
{
    return access("/run/systemd/system", F_OK) == 0 &&
           (access("/run/dbus/system_bus_socket", F_OK) == 0 ||
            access("/run/systemd/private", F_OK) == 0);
}

static bool run_busctl(const char *const *args)
{
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);
        dup2(null, 0);
        dup2(null, 1);
        dup2(null, 2);
        execvp("busctl", (char *const *)args);
        _exit(127);
    }
    int status = -1;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

#define SYSTEMD                                                                                    \
    "org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"

bool cgroup_systemd_start(const char *cgroups_path, const char *id, pid_t pid)
{
    char slice[256], unit[512], number[16];
    if (!bus_there() || !split(cgroups_path, id, slice, unit, sizeof(slice))) {
        rf_log(RF_INFO, "--systemd-cgroup: no systemd answers here, the cgroups are made directly");
        return false;
    }
    snprintf(number, sizeof(number), "%d", (int)pid);
    const char *const args[] = {"busctl",
                                g_rf.rootless_now ? "--user" : "--system",
                                "call",
                                SYSTEMD,
                                "StartTransientUnit",
                                "ssa(sv)a(sa(sv))",
                                unit,
                                "replace",
                                "6",
                                "Description",
                                "s",
                                "runrf container",
                                "Slice",
                                "s",
                                slice,
                                "Delegate",
                                "b",
                                "true",
                                "PIDs",
                                "au",
                                "1",
                                number,
                                "DefaultDependencies",
                                "b",
                                "false",
                                "MemoryAccounting",
                                "b",
                                "true",
                                "0",
                                NULL};
    if (run_busctl(args))
        return true;
    rf_log(RF_WARNING, "systemd did not make the scope %s; the cgroups are made directly", unit);
    return false;
}

void cgroup_systemd_stop(const char *cgroups_path, const char *id)
{
    char slice[256], unit[512];
    if (!bus_there() || !split(cgroups_path, id, slice, unit, sizeof(slice)))
        return;
    const char *const args[] = {"busctl",   g_rf.rootless_now ? "--user" : "--system",
                                "call",     SYSTEMD,
                                "StopUnit", "ss",
                                unit,       "replace",
                                NULL};
    run_busctl(args);
}
