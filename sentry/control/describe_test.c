/* Unit tests of the descriptions' parser. */
#include "control/control_priv.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include <cmocka.h>

/* Keys and values with '|' for NUL. */
static int parse(const char *text, bool process_only, struct container_desc *d)
{
    size_t size = strlen(text);
    char *copy = malloc(size + 1);
    const char *bad;
    for (size_t i = 0; i <= size; i++)
        copy[i] = text[i] == '|' ? 0 : text[i];
    return desc_parse(copy, size, process_only, d, &bad);
}

#define WHOLE                                                                                      \
    "id|c1|root|rw|rootopts|readonly shared|argv|sh|argv|-c|env|A=1|cwd|/|uid|7|gid|8|group|9|"    \
    "caps|1 2 3 4 5|umask|27|nnp||oom|-5|rlimit|7 10 20|fd|0 2|fd|1 3|tty|0|ns|pid|ns|ipc other|"  \
    "mount|-1 1 262144 8 5:tmpfs 1:x 4:/tmp 9:mode=1777 |device|c 1 3 666 0 5 /dev/null|"          \
    "masked|/proc/kcore|readonly|/proc/sys|sysctl|a=b|limits|1 2 3 4 5|uidmap|0 1000 10|"          \
    "seccomp|0 0600000000000000|hostname|h|defaults|mounts console|"

static void test_whole(void **state)
{
    struct container_desc d;
    assert_int_equal(parse(WHOLE, false, &d), 0);
    assert_string_equal(d.id, "c1");
    assert_true(d.root_readonly && d.root_shared);
    assert_int_equal(d.process.argc, 2);
    assert_null(d.process.argv[2]);
    assert_string_equal(d.process.envp[0], "A=1");
    assert_int_equal(d.process.umask, 027);
    assert_int_equal(d.process.caps[CAPS_AMBIENT], 5);
    assert_int_equal(d.process.oom_score_adj, -5);
    assert_int_equal(d.process.rlimits[7].rlim_max, 20);
    assert_int_equal(d.process.fds[1].index, 3);
    assert_int_equal(d.process.seccomp_count, 1);
    assert_string_equal(d.ns[DESC_NS_PID], "");
    assert_string_equal(d.ns[DESC_NS_IPC], "other");
    assert_null(d.ns[DESC_NS_UTS]);
    assert_int_equal(d.mount_count, 1);
    assert_string_equal(d.mounts[0].type, "tmpfs");
    assert_string_equal(d.mounts[0].data, "mode=1777");
    assert_int_equal(d.mounts[0].flags, MS_RDONLY);
    assert_int_equal(d.devices[0].mode, 0666);
    assert_string_equal(d.masked[0], "/proc/kcore");
    assert_int_equal(d.limits.pids, 5);
    assert_int_equal(d.defaults, DEFAULT_MOUNTS | DEFAULT_CONSOLE);
    desc_free(&d);
}

static void test_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "argv",
                                      "argv|sh",
                                      "argv|sh|cwd|/",
                                      "nonsense|1|",
                                      "argv|sh|cwd|relative|",
                                      "id||",
                                      "uid|-1|",
                                      "uid|4294967295|",
                                      "uid|1x|",
                                      "umask|1000|",
                                      "caps|1 2|",
                                      "rlimit|99 1 1|",
                                      "rlimit|7 2 1|",
                                      "fd|-1 0|",
                                      "fd|0 100000|",
                                      "tty|-1|",
                                      "mount|-2 0 0 0 1:a 1:b 2:/c 0: |",
                                      "mount|0 0 0 0 9999:a|",
                                      "mount|0 0 0 0 1:a 1:b 1:c 0: |",
                                      "mount|0 0 0 0 -1:a 1:b 2:/c 0: |",
                                      "device|z 1 3 666 0 0 /x|",
                                      "device|c 1 3 666 0 0 x|",
                                      "masked|x|",
                                      "sysctl|x|",
                                      "ns|nonsense|",
                                      "uidmap|0 0 0|",
                                      "limits|1 2|",
                                      "oom|2000|",
                                      "seccomp|0 06|",
                                      "seccomp|0 zz00000000000000|",
                                      "seccomp|0 |",
                                      "root|strange|"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct container_desc d;
        if (parse(bad[i], false, &d) == 0)
            fail_msg("accepted: %s", bad[i]);
        desc_free(&d);
    }
}

/* What a container has is not known to a process. */
static void test_process_only(void **state)
{
    struct container_desc d;
    assert_int_equal(parse("argv|a|cwd|/|", true, &d), 0);
    desc_free(&d);
    assert_int_equal(parse("argv|a|cwd|/|root|rw|", true, &d), -EINVAL);
    desc_free(&d);
}

/* Every prefix, and every single byte changed: an answer, and nothing else. */
static void test_cut_and_bent(void **state)
{
    static const char whole[] = WHOLE;
    for (size_t cut = 0; cut < sizeof(whole); cut++)
        for (int bend = -1; bend < 3; bend++) {
            struct container_desc d;
            char text[sizeof(whole)];
            memcpy(text, whole, sizeof(whole));
            if (bend < 0)
                text[cut] = 0;
            else if (cut < sizeof(whole) - 1)
                text[cut] = "|9/"[bend];
            (void)parse(text, false, &d);
            desc_free(&d);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_whole), cmocka_unit_test(test_refused),
                                       cmocka_unit_test(test_process_only),
                                       cmocka_unit_test(test_cut_and_bent)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
