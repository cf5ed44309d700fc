/* Keys: add_key(2), request_key(2), keyctl(2), keyrings(7). */
#include "guest.h"

#include <linux/keyctl.h>

#define ADD(type, desc, data, size, ring)                                                          \
    syscall(SYS_add_key, (type), (desc), (data), (size_t)(size), (long)(ring))
#define REQUEST(type, desc, callout, ring)                                                         \
    syscall(SYS_request_key, (type), (desc), (callout), (long)(ring))
#define CTL(op, a, b, c, d)                                                                        \
    syscall(SYS_keyctl, (long)(op), (long)(a), (long)(b), (long)(c), (long)(d))

static char g_big[40000];

static long own_ring(void)
{
    OK(CTL(KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0));
    return OK(ADD("keyring", "rf-ring", NULL, 0, KEY_SPEC_PROCESS_KEYRING));
}

static void add_errors(void)
{
    long ring = own_ring();
    CHECK_ERR(ADD("nosuch", "a", "x", 1, ring), ENODEV);
    CHECK_ERR(ADD("", "a", "x", 1, ring), EINVAL);
    CHECK_ERR(ADD(".x", "a", "x", 1, ring), EPERM);
    CHECK_ERR(ADD("user", "", "x", 1, ring), EINVAL);
    CHECK_ERR(ADD("user", "a", "x", 0, ring), EINVAL);
    CHECK_ERR(ADD("user", "a", g_big, 32768, ring), EINVAL);
    CHECK_ERR(ADD("user", "a", g_big, 1 << 20, ring), EINVAL);
    CHECK_ERR(ADD("user", "a", 8, 4, ring), EFAULT);
    CHECK_ERR(ADD("user", 8, "x", 1, ring), EFAULT);
    CHECK_ERR(ADD("keyring", "k", "x", 1, ring), EINVAL);
    CHECK_ERR(ADD("keyring", ".k", NULL, 0, ring), EPERM);
    CHECK_ERR(ADD("logon", "nocolon", "x", 1, ring), EINVAL);
    CHECK_ERR(ADD("user", "a", "x", 1, 0), EINVAL);
    CHECK_ERR(ADD("user", "a", "x", 1, -99), EINVAL);
    CHECK_ERR(ADD("user", "a", "x", 1, 1), ENOKEY);
    long k = OK(ADD("user", "a", g_big, 32767, ring));
    CHECK_ERR(ADD("user", "b", "x", 1, k), ENOTDIR);
}

static void read_and_update(void)
{
    char buf[64];
    long ring = own_ring(), k = OK(ADD("user", "a", "first", 5, ring));
    CHECK_EQ(OK(ADD("user", "a", "second", 6, ring)), k); /* the same key, updated */
    CHECK_EQ(OK(CTL(KEYCTL_READ, k, buf, sizeof(buf), 0)), 6);
    CHECK_EQ(memcmp(buf, "second", 6), 0);
    memset(buf, 'z', sizeof(buf));
    CHECK_EQ(OK(CTL(KEYCTL_READ, k, buf, 3, 0)), 6); /* too small: nothing is copied */
    CHECK_EQ(buf[0], 'z');
    OK(CTL(KEYCTL_UPDATE, k, "third", 5, 0));
    CHECK_EQ(OK(CTL(KEYCTL_READ, k, NULL, 0, 0)), 5);
    CHECK_ERR(CTL(KEYCTL_UPDATE, ring, "x", 1, 0), EOPNOTSUPP);
    CHECK_ERR(CTL(KEYCTL_UPDATE, k, g_big, 40000, 0), EINVAL);
    long logon = OK(ADD("logon", "service:me", "secret", 6, ring));
    CHECK_ERR(CTL(KEYCTL_READ, logon, buf, sizeof(buf), 0), EOPNOTSUPP);
    OK(CTL(KEYCTL_DESCRIBE, k, buf, sizeof(buf), 0));
    CHECK_STR(buf, "user;0;0;3f010000;a");
}

static void links(void)
{
    int32_t ids[8];
    long ring = own_ring(), k = OK(ADD("user", "a", "x", 1, ring));
    long sub = OK(ADD("keyring", "sub", NULL, 0, ring));
    OK(CTL(KEYCTL_LINK, k, sub, 0, 0));
    CHECK_EQ(OK(CTL(KEYCTL_READ, sub, ids, sizeof(ids), 0)), 4);
    CHECK_EQ(ids[0], k);
    CHECK_ERR(CTL(KEYCTL_LINK, ring, ring, 0, 0), EDEADLK);
    CHECK_ERR(CTL(KEYCTL_LINK, ring, sub, 0, 0), EDEADLK);
    CHECK_ERR(CTL(KEYCTL_LINK, k, k, 0, 0), ENOTDIR);
    OK(CTL(KEYCTL_UNLINK, k, ring, 0, 0));
    CHECK_ERR(CTL(KEYCTL_UNLINK, k, ring, 0, 0), ENOENT);
    CHECK_EQ(OK(CTL(KEYCTL_SEARCH, ring, "user", "a", 0)), k); /* below, in sub */
    CHECK_EQ(OK(REQUEST("user", "a", NULL, 0)), k);
    CHECK_ERR(REQUEST("user", "nowhere", NULL, 0), ENOKEY);
    CHECK_ERR(CTL(KEYCTL_SEARCH, ring, "user", "nowhere", 0), ENOKEY);
    CHECK_ERR(CTL(KEYCTL_SEARCH, k, "user", "a", 0), ENOTDIR);
    OK(CTL(KEYCTL_CLEAR, sub, 0, 0, 0));
    CHECK_ERR(CTL(KEYCTL_CLEAR, OK(ADD("user", "b", "x", 1, ring)), 0, 0, 0), ENOTDIR);
    CHECK_ERR(REQUEST("user", "a", NULL, 0), ENOKEY);
}

static void ends_of_a_key(void)
{
    char buf[64];
    long ring = own_ring(), k = OK(ADD("user", "a", "x", 1, ring));
    OK(CTL(KEYCTL_REVOKE, k, 0, 0, 0));
    CHECK_ERR(CTL(KEYCTL_READ, k, buf, sizeof(buf), 0), EKEYREVOKED);
    CHECK_ERR(CTL(KEYCTL_REVOKE, k, 0, 0, 0), EKEYREVOKED);
    CHECK_ERR(CTL(KEYCTL_SEARCH, ring, "user", "a", 0), EKEYREVOKED);
    OK(CTL(KEYCTL_UNLINK, k, ring, 0, 0));
    k = OK(ADD("user", "b", "x", 1, ring));
    OK(CTL(KEYCTL_SET_TIMEOUT, k, 1, 0, 0));
    sleep_ms(1300);
    CHECK_ERR(CTL(KEYCTL_READ, k, buf, sizeof(buf), 0), EKEYEXPIRED);
    k = OK(ADD("user", "c", "x", 1, ring));
    OK(CTL(KEYCTL_INVALIDATE, k, 0, 0, 0));
    CHECK_EQ(CTL(KEYCTL_SEARCH, ring, "user", "c", 0), -1);
    CHECK(errno == ENOKEY || errno == EKEYREVOKED); /* Linux takes it out a little later */
}

static void keyrings_over_fork_and_exec(void)
{
    own_ring();
    long k = OK(ADD("user", "s", "x", 1, KEY_SPEC_SESSION_KEYRING));
    OK(CTL(KEYCTL_GET_KEYRING_ID, KEY_SPEC_THREAD_KEYRING, 1, 0, 0));
    IN_CHILD(CHECK_ERR(CTL(KEYCTL_GET_KEYRING_ID, KEY_SPEC_THREAD_KEYRING, 0, 0, 0), ENOKEY);
             CHECK_ERR(CTL(KEYCTL_GET_KEYRING_ID, KEY_SPEC_PROCESS_KEYRING, 0, 0, 0), ENOKEY);
             CHECK_EQ(OK(REQUEST("user", "s", NULL, 0)), k));
}

static void permissions(void)
{
    char buf[64];
    long ring = own_ring(), k = OK(ADD("user", "a", "x", 1, ring));
    CHECK_ERR(CTL(KEYCTL_SETPERM, k, 0x40000000, 0, 0), EINVAL);
    IN_CHILD(OK(setresuid(1000, 1000, 1000));
             CHECK_ERR(CTL(KEYCTL_READ, k, buf, sizeof(buf), 0), EACCES);
             CHECK_ERR(CTL(KEYCTL_SETPERM, k, 0, 0, 0), EACCES);
             CHECK_ERR(CTL(KEYCTL_REVOKE, k, 0, 0, 0), EACCES));
    OK(CTL(KEYCTL_SETPERM, k, 0, 0, 0));
    CHECK_ERR(CTL(KEYCTL_READ, k, buf, sizeof(buf), 0), EACCES);
}

static void quota_child(void)
{
    char name[32];
    int i;
    OK(setresuid(1234, 1234, 1234));
    OK(CTL(KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0));
    for (i = 0; i < 400; i++) {
        snprintf(name, sizeof(name), "key %d", i);
        if (ADD("user", name, "x", 1, KEY_SPEC_PROCESS_KEYRING) < 0)
            break;
    }
    CHECK_EQ(errno, EDQUOT);
    CHECK(i > 150 && i <= 200);
}

static void quota(void)
{
    IN_CHILD(quota_child());
}

static void listing(void)
{
    char want[32], *buf = malloc(1 << 20);
    long ring = own_ring(), k = OK(ADD("user", "listed key", "xyz", 3, ring));
    read_file("/proc/keys", buf, 1 << 20);
    snprintf(want, sizeof(want), "%08lx ", k);
    char *line = strstr(buf, want);
    CHECK(line != NULL);
    CHECK(strstr(line, "perm 3f010000     0     0 user      listed key: 3\n") != NULL);
    read_file("/proc/key-users", buf, 1 << 20);
    CHECK(strstr(buf, "    0: ") != NULL);
    free(buf);
}

GUEST_MAIN(C(add_errors), C(read_and_update), C(links), C(ends_of_a_key),
           C(keyrings_over_fork_and_exec), C(permissions), C(quota), C(listing))
