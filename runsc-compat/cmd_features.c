/* features: what this runtime can do, as the specification's features.md has it. */
#include "convert.h"
#include "spec.h"

#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>

static json_t *strings(const char *const *list, size_t count)
{
    json_t *out = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(out, json_string(list[i]));
    return out;
}
#define LIST(...)                                                                                  \
    strings((const char *const[]){__VA_ARGS__},                                                    \
            sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

static json_t *mount_options(void)
{
    json_t *out = json_array();
    const char *name;
    for (size_t i = 0; (name = mount_option_name(i)); i++)
        json_array_append_new(out, json_string(name));
    return out;
}

static json_t *capabilities(void)
{
    json_t *out = json_array();
    for (cap_value_t c = 0; c <= CAP_LAST_CAP; c++) {
        char text[64];
        char *name = cap_to_name(c);
        snprintf(text, sizeof(text), "%s", name ? name : "");
        cap_free(name);
        for (char *p = text; *p; p++)
            if (*p >= 'a' && *p <= 'z')
                *p -= 'a' - 'A';
        if (*text)
            json_array_append_new(out, json_string(text));
    }
    return out;
}

static json_t *seccomp_section(void)
{
    return json_pack("{s:b, s:o, s:o, s:o, s:o, s:o}", "enabled", 1, "actions",
                     LIST("SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL",
                          "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_LOG",
                          "SCMP_ACT_TRACE", "SCMP_ACT_TRAP"),
                     "operators",
                     LIST("SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT",
                          "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE"),
                     "archs", LIST("SCMP_ARCH_X86_64"), "knownFlags",
                     LIST("SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
                          "SECCOMP_FILTER_FLAG_LOG"),
                     "supportedFlags",
                     LIST("SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
                          "SECCOMP_FILTER_FLAG_LOG"));
}

static json_t *linux_section(void)
{
    json_t *v = json_pack(
        "{s:o, s:o, s:{s:b, s:b, s:b, s:b, s:b}, s:o, s:{s:b}, s:{s:b}}", "namespaces",
        LIST("cgroup", "ipc", "mount", "network", "pid", "user", "uts"), "capabilities",
        capabilities(), "cgroup", "v1", 1, "v2", 1, "systemd", 1, "systemdUser", 1, "rdma", 0,
        "seccomp", seccomp_section(), "apparmor", "enabled", 0, "selinux", "enabled", 0);
    json_object_set_new(v, "intelRdt", json_pack("{s:b}", "enabled", 0));
    return v;
}

int cmd_features(int argc, char **argv)
{
    bool table = false;
    const struct rf_flag flags[] = {
        {"spec-fields", 0, RF_FLAG_BOOL, &table, NULL,
         "print the fields of config.json as a Markdown table instead"},
        RF_FLAGS_END,
    };
    static const struct rf_usage usage = {"", 0, 0};
    int status, at = rf_parse(argc, argv, flags, &usage, &status);
    if (at < 0)
        return status;
    if (table) {
        spec_print_table();
        return 0;
    }
    json_t *v = json_pack("{s:s, s:s, s:o, s:o, s:o, s:{s:s}}", "ociVersionMin", "1.0.0",
                          "ociVersionMax", "1.2.0", "hooks",
                          LIST("prestart", "createRuntime", "createContainer", "startContainer",
                               "poststart", "poststop"),
                          "mountOptions", mount_options(), "linux", linux_section(), "annotations",
                          "org.ringfence.runrf.version", RF_VERSION);
    json_dumpf(v, stdout, JSON_INDENT(4));
    puts("");
    json_decref(v);
    return 0;
}
