/* POSIX ACLs: set, read, enforced, bent by chmod, inherited; on the overlay and on a tmpfs. */
#include "guest.h"

#include <grp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/xattr.h>

#define ACCESS  "system.posix_acl_access"
#define DEFAULT "system.posix_acl_default"

enum { UO = 1, U = 2, GO = 4, G = 8, M = 16, O = 32 };

struct acl {
    uint32_t version;
    struct {
        uint16_t tag, perm;
        uint32_t id;
    } e[16];
    unsigned n;
};

static struct acl *acl_start(struct acl *a)
{
    memset(a, 0, sizeof(*a));
    a->version = 2;
    return a;
}

static struct acl *add(struct acl *a, int tag, int perm, uint32_t id)
{
    a->e[a->n].tag = tag;
    a->e[a->n].perm = perm;
    a->e[a->n++].id = id;
    return a;
}

static int put(const char *file, const char *name, const struct acl *a)
{
    return setxattr(file, name, a, 4 + a->n * 8, 0);
}

/* "uo6 u1000:7 go4 m7 o0" */
static const char *show(const char *file, const char *name)
{
    static char buf[256];
    struct acl a;
    ssize_t n = getxattr(file, name, &a, sizeof(a));
    if (n < 0) {
        snprintf(buf, sizeof(buf), "%s", strerrorname_np(errno));
        return buf;
    }
    buf[0] = 0;
    for (int i = 0; i < (n - 4) / 8; i++) {
        int t = a.e[i].tag;
        const char *name_of = t == UO ? "uo" : t == U ? "u" : t == GO ? "go" : t == G ? "g" : t == M ? "m" : "o";
        char id[16] = "";
        if (t == U || t == G)
            snprintf(id, sizeof(id), "%u:", a.e[i].id);
        snprintf(buf + strlen(buf), sizeof(buf) - strlen(buf), "%s%s%s%d", i ? " " : "", name_of, id,
                 a.e[i].perm);
    }
    return buf;
}

static int mode_of(const char *file)
{
    struct stat st;
    OK(lstat(file, &st));
    return st.st_mode & 07777;
}

static void become(int uid, int gid, int group)
{
    gid_t g = group;
    OK(setgroups(group ? 1 : 0, &g));
    OK(setresgid(gid, gid, gid));
    OK(setresuid(uid, uid, uid));
}

static void on_both(void (*fn)(void))
{
    char dir[] = "/dev/shm/acl.XXXXXX";
    OK(mkdir("here", 0755));
    OK(chdir("here"));
    fn();
    CHECK(mkdtemp(dir));
    OK(chmod(dir, 0755));
    OK(chdir(dir));
    fn();
    OK(chdir("/"));
    nftw(dir, guest_rm, 16, FTW_DEPTH | FTW_PHYS);
}

/* u::rw u:1000:rw g::r g:2000:rw m::M o::- */
static struct acl *usual(struct acl *a, int mask)
{
    acl_start(a);
    add(add(a, UO, 6, -1), U, 6, 1000);
    add(add(a, GO, 4, -1), G, 6, 2000);
    return add(add(a, M, mask, -1), O, 0, -1);
}

static bool can(int uid, int gid, int group, const char *file, int how)
{
    pid_t pid = OK(fork());
    if (!pid) {
        become(uid, gid, group);
        int fd = open(file, how);
        _exit(fd >= 0 ? 0 : errno == EACCES ? 1 : 2);
    }
    int st = guest_wait(pid, __LINE__);
    CHECK(WIFEXITED(st) && WEXITSTATUS(st) < 2);
    return WEXITSTATUS(st) == 0;
}

static void enforce(void)
{
    struct acl a;
    write_file("f", "x", 1);
    OK(chmod("f", 0640));
    CHECK_STR(show("f", ACCESS), "ENODATA");
    OK(put("f", ACCESS, usual(&a, 6)));
    CHECK_EQ(mode_of("f"), 0660);
    CHECK_STR(show("f", ACCESS), "uo6 u1000:6 go4 g2000:6 m6 o0");
    CHECK(can(1000, 1000, 0, "f", O_RDWR));
    CHECK(!can(1001, 1001, 0, "f", O_RDONLY));
    CHECK(can(1001, 1001, 2000, "f", O_RDWR));
    CHECK(can(1001, 2000, 0, "f", O_WRONLY));
    CHECK(can(1001, 0, 0, "f", O_RDONLY));
    CHECK(!can(1001, 0, 0, "f", O_WRONLY));
    CHECK(can(1001, 0, 2000, "f", O_WRONLY));
    OK(put("f", ACCESS, usual(&a, 4)));
    CHECK_EQ(mode_of("f"), 0640);
    CHECK(!can(1000, 1000, 0, "f", O_RDWR));
    CHECK(can(1000, 1000, 0, "f", O_RDONLY));
    CHECK(!can(1001, 1001, 2000, "f", O_RDWR));
    OK(chmod("f", 0670));
    CHECK_STR(show("f", ACCESS), "uo6 u1000:6 go4 g2000:6 m7 o0");
    CHECK(can(1000, 1000, 0, "f", O_RDWR));
    OK(chmod("f", 0606));
    CHECK_STR(show("f", ACCESS), "uo6 u1000:6 go4 g2000:6 m0 o6");
    CHECK(can(1000, 1000, 0, "f", O_RDONLY)); /* clear group bits: Linux does not look at the list */
    CHECK(can(1001, 1001, 0, "f", O_RDWR));
    IN_CHILD(become(1000, 1000, 0); CHECK_ERR(put("f", ACCESS, &a), EPERM);
             CHECK_ERR(removexattr("f", ACCESS), EPERM);
             CHECK_STR(show("f", ACCESS), "uo6 u1000:6 go4 g2000:6 m0 o6"));
    OK(removexattr("f", ACCESS));
    CHECK_STR(show("f", ACCESS), "ENODATA");
    OK(removexattr("f", ACCESS));
}

static void enforced(void)
{
    on_both(enforce);
}

static void forms(void)
{
    struct acl a;
    char list[256];
    write_file("f", "x", 1);
    OK(put("f", ACCESS, add(add(add(acl_start(&a), UO, 7, -1), GO, 5, -1), O, 1, -1)));
    CHECK_EQ(mode_of("f"), 0751);
    CHECK_STR(show("f", ACCESS), "ENODATA");
    OK(put("f", ACCESS, usual(&a, 4)));
    CHECK_EQ(OK(listxattr("f", list, sizeof(list))), sizeof(ACCESS));
    CHECK_STR(list, ACCESS);
    CHECK_EQ(OK(getxattr("f", ACCESS, NULL, 0)), 4 + 6 * 8);
    CHECK_ERR(getxattr("f", ACCESS, list, 10), ERANGE);
    CHECK_ERR(put("f", DEFAULT, &a), EACCES);
    CHECK_ERR(put("f", ACCESS, add(add(acl_start(&a), UO, 7, -1), GO, 5, -1)), EINVAL);
    CHECK_ERR(put("f", ACCESS, add(add(add(acl_start(&a), GO, 7, -1), UO, 5, -1), O, 1, -1)), EINVAL);
    CHECK_ERR(put("f", ACCESS, add(add(add(acl_start(&a), UO, 15, -1), GO, 5, -1), O, 1, -1)), EINVAL);
    add(add(add(add(acl_start(&a), UO, 7, -1), U, 7, 5), GO, 5, -1), O, 1, -1);
    CHECK_ERR(put("f", ACCESS, &a), EINVAL); /* no mask */
    CHECK_ERR(setxattr("f", ACCESS, &a, 4 + 5, 0), EINVAL);
    CHECK_ERR(setxattr("f", ACCESS, &a, 3, 0), EINVAL);
    a.version = 3;
    CHECK_ERR(put("f", ACCESS, &a), EOPNOTSUPP);
    OK(symlink("f", "l"));
    CHECK_ERR(lsetxattr("l", ACCESS, usual(&a, 4), 4 + 6 * 8, 0), EOPNOTSUPP);
    OK(setxattr("f", ACCESS, NULL, 0, 0));
    CHECK_STR(show("f", ACCESS), "ENODATA");
}

static void well_formed(void)
{
    on_both(forms);
}

static void inherit(void)
{
    struct acl a;
    struct sockaddr_un un = {AF_UNIX, "d/sock"};
    umask(022);
    OK(mkdir("d", 0755));
    acl_start(&a);
    add(add(add(add(add(&a, UO, 7, -1), U, 7, 1000), GO, 5, -1), M, 7, -1), O, 5, -1);
    OK(put("d", DEFAULT, &a));
    CHECK_EQ(mode_of("d"), 0755);
    CHECK_STR(show("d", DEFAULT), "uo7 u1000:7 go5 m7 o5");
    umask(077); /* does not count here */
    OK(close(OK(open("d/f", O_CREAT | O_RDWR, 0666))));
    CHECK_EQ(mode_of("d/f"), 0664);
    CHECK_STR(show("d/f", ACCESS), "uo6 u1000:7 go5 m6 o4");
    CHECK(can(1000, 1000, 0, "d/f", O_RDWR));
    OK(close(OK(open("d/g", O_CREAT | O_RDWR, 0600))));
    CHECK_EQ(mode_of("d/g"), 0600);
    CHECK_STR(show("d/g", ACCESS), "uo6 u1000:7 go5 m0 o0");
    OK(mkdir("d/s", 0777));
    CHECK_EQ(mode_of("d/s"), 0775);
    CHECK_STR(show("d/s", ACCESS), "uo7 u1000:7 go5 m7 o5");
    CHECK_STR(show("d/s", DEFAULT), "uo7 u1000:7 go5 m7 o5");
    OK(mknod("d/p", S_IFIFO | 0660, 0));
    CHECK_STR(show("d/p", ACCESS), "uo6 u1000:7 go5 m6 o0");
    int s = OK(socket(AF_UNIX, SOCK_STREAM, 0));
    OK(bind(s, (void *)&un, sizeof(un)));
    CHECK_EQ(mode_of("d/sock"), 0700); /* bind(2) minds the umask all the same */
    OK(symlink("x", "d/l"));
    OK(put("d", DEFAULT, add(add(add(acl_start(&a), UO, 7, -1), GO, 0, -1), O, 0, -1)));
    OK(close(OK(open("d/h", O_CREAT | O_RDWR, 0666))));
    CHECK_EQ(mode_of("d/h"), 0600);
    CHECK_STR(show("d/h", ACCESS), "ENODATA");
    OK(removexattr("d", DEFAULT));
    OK(close(OK(open("d/i", O_CREAT | O_RDWR, 0666))));
    CHECK_EQ(mode_of("d/i"), 0600);
    int fd = OK(open("d", O_TMPFILE | O_RDWR, 0644));
    struct stat st;
    OK(fstat(fd, &st));
    CHECK_EQ(st.st_mode & 0777, 0600);
}

static void inherited(void)
{
    on_both(inherit);
}

static void search(void)
{
    struct acl a;
    OK(mkdir("d", 0700));
    write_file("d/f", "x", 1);
    OK(chmod("d/f", 0644));
    CHECK(!can(1000, 1000, 0, "d/f", O_RDONLY));
    acl_start(&a);
    add(add(add(add(add(&a, UO, 7, -1), U, 1, 1000), GO, 0, -1), M, 1, -1), O, 0, -1);
    OK(put("d", ACCESS, &a));
    CHECK(can(1000, 1000, 0, "d/f", O_RDONLY));
    CHECK(!can(1000, 1000, 0, "d", O_RDONLY));
    CHECK(!can(1001, 1001, 0, "d/f", O_RDONLY));
    IN_CHILD(become(1000, 1000, 0); OK(access("d", X_OK)); CHECK_ERR(access("d", R_OK), EACCES));
}

static void searched(void)
{
    on_both(search);
}

GUEST_MAIN(C(enforced), C(well_formed), C(inherited), C(searched))
