/* spec: an example config.json to start from. */
#include "runrf.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static json_t *strings(const char *const *list)
{
    json_t *out = json_array();
    for (; *list; list++)
        json_array_append_new(out, json_string(*list));
    return out;
}
#define STRINGS(...) strings((const char *const[]){__VA_ARGS__, NULL})

static json_t *process(void)
{
    json_t *caps = json_object();
    static const char *const sets[] = {"bounding", "effective", "permitted", "ambient"};
    for (size_t i = 0; i < 4; i++)
        json_object_set_new(caps, sets[i],
                            STRINGS("CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"));
    return json_pack(
        "{s:b, s:{s:i, s:i}, s:o, s:o, s:s, s:o, s:[{s:s, s:i, s:i}], s:b}", "terminal", 1, "user",
        "uid", 0, "gid", 0, "args", STRINGS("sh"), "env",
        STRINGS("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"),
        "cwd", "/", "capabilities", caps, "rlimits", "type", "RLIMIT_NOFILE", "hard", 1024, "soft",
        1024, "noNewPrivileges", 1);
}

static json_t *mount(const char *dest, const char *type, const char *source, json_t *options)
{
    json_t *m = json_pack("{s:s, s:s, s:s}", "destination", dest, "type", type, "source", source);
    if (options)
        json_object_set_new(m, "options", options);
    return m;
}

static json_t *mounts(bool rootless)
{
    json_t *list = json_array();
    json_array_append_new(list, mount("/proc", "proc", "proc", NULL));
    json_array_append_new(list, mount("/dev", "tmpfs", "tmpfs",
                                      STRINGS("nosuid", "strictatime", "mode=755", "size=65536k")));
    json_array_append_new(list, mount("/dev/pts", "devpts", "devpts",
                                      rootless ? STRINGS("nosuid", "noexec", "newinstance",
                                                         "ptmxmode=0666", "mode=0620")
                                               : STRINGS("nosuid", "noexec", "newinstance",
                                                         "ptmxmode=0666", "mode=0620", "gid=5")));
    json_array_append_new(list,
                          mount("/dev/shm", "tmpfs", "shm",
                                STRINGS("nosuid", "noexec", "nodev", "mode=1777", "size=65536k")));
    json_array_append_new(
        list, mount("/dev/mqueue", "mqueue", "mqueue", STRINGS("nosuid", "noexec", "nodev")));
    json_array_append_new(
        list, mount("/sys", "sysfs", "sysfs", STRINGS("nosuid", "noexec", "nodev", "ro")));
    if (!rootless)
        json_array_append_new(list, mount("/sys/fs/cgroup", "cgroup", "cgroup",
                                          STRINGS("nosuid", "noexec", "nodev", "relatime", "ro")));
    return list;
}

static json_t *linux_section(bool rootless)
{
    static const char *const kinds[] = {"pid", "network", "ipc", "uts", "mount", "cgroup"};
    json_t *ns = json_array();
    for (size_t i = 0; i < 6; i++)
        if (!rootless || strcmp(kinds[i], "network"))
            json_array_append_new(ns, json_pack("{s:s}", "type", kinds[i]));
    if (rootless)
        json_array_append_new(ns, json_pack("{s:s}", "type", "user"));
    json_t *v = json_pack(
        "{s:{s:[{s:b, s:s}]}, s:o, s:o, s:o}", "resources", "devices", "allow", 0, "access", "rwm",
        "namespaces", ns, "maskedPaths",
        STRINGS("/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware",
                "/proc/scsi"),
        "readonlyPaths",
        STRINGS("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"));
    if (rootless) {
        json_object_del(v, "resources");
        json_object_set_new(v, "uidMappings",
                            json_pack("[{s:i, s:I, s:i}]", "containerID", 0, "hostID",
                                      (json_int_t)geteuid(), "size", 1));
        json_object_set_new(v, "gidMappings",
                            json_pack("[{s:i, s:I, s:i}]", "containerID", 0, "hostID",
                                      (json_int_t)getegid(), "size", 1));
    }
    return v;
}

int cmd_spec(int argc, char **argv)
{
    const char *bundle = ".";
    bool rootless = false;
    const struct rf_flag flags[] = {
        {"bundle", 'b', RF_FLAG_STRING, &bundle, "DIR", "where to write it (default: here)"},
        {"rootless", 0, RF_FLAG_BOOL, &rootless, NULL, "for an ordinary user"},
        RF_FLAGS_END,
    };
    static const struct rf_usage usage = {"", 0, -1};
    int status, at = rf_parse(argc, argv, flags, &usage, &status);
    if (at < 0)
        return status;
    char path[PATH_MAX];
    if (rf_format(path, sizeof(path), "%s/config.json", *bundle ? bundle : "."))
        return rf_fatal(1, "--bundle: the path is too long");
    if (access(path, F_OK) == 0)
        return rf_fatal(1, "File config.json exists. Remove it first");
    json_t *v = json_pack("{s:s, s:o, s:{s:s, s:b}, s:s, s:o, s:o}", "ociVersion", "1.0.2-dev",
                          "process", process(), "root", "path", "rootfs", "readonly", 1, "hostname",
                          "runrf", "mounts", mounts(rootless), "linux", linux_section(rootless));
    int err = json_dump_file(v, path, JSON_INDENT(4)) < 0 ? errno : 0;
    json_decref(v);
    return err ? rf_fatal(1, "cannot write %s: %s", path, strerror(err)) : 0;
}
