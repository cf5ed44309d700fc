/* mount(2), umount2(2), pivot_root(2) and mount_namespaces(7). Each check works in a mount
 * namespace of its own, on a tmpfs of its own. */
#include "guest.h"

#include <limits.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256
#endif

/* In a child: a private mount namespace, and a tmpfs as working directory. */
static void enter(void)
{
    g_main_pid = -1;
    OK(unshare(CLONE_NEWNS));
    OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
    OK(mkdir("w", 0755));
    OK(mount("w", "w", "tmpfs", 0, NULL));
    OK(chdir("w"));
}

#define APART(...)                                                                                 \
    do {                                                                                           \
        if (geteuid())                                                                             \
            SKIP("needs root");                                                                    \
        pid_t p_ = OK(fork());                                                                     \
        if (!p_) {                                                                                 \
            enter();                                                                               \
            __VA_ARGS__;                                                                           \
            _exit(0);                                                                              \
        }                                                                                          \
        int st_;                                                                                   \
        CHECK_EQ(waitpid(p_, &st_, 0), p_);                                                        \
        CHECK(WIFEXITED(st_));                                                                     \
        CHECK_EQ(WEXITSTATUS(st_), 0);                                                             \
    } while (0)

static void touch(const char *name)
{
    close(OK(open(name, O_CREAT | O_WRONLY, 0644)));
}

static void dirs(const char *a, const char *b)
{
    OK(mkdir(a, 0755));
    if (b)
        OK(mkdir(b, 0755));
}

/* The rest of the line of mountinfo whose mount point ends in name, from its options on. */
static bool info(const char *name, char *out, size_t size)
{
    char line[4096], place[1024];
    bool found = false;
    FILE *f = fopen("/proc/self/mountinfo", "r");
    CHECK(f);
    while (fgets(line, sizeof(line), f)) {
        int at = 0;
        if (sscanf(line, "%*d %*d %*s %*s %1023s %n", place, &at) < 1 || !at)
            continue;
        size_t l = strlen(place), n = strlen(name);
        if (l < n || strcmp(place + l - n, name))
            continue;
        line[strcspn(line, "\n")] = 0;
        snprintf(out, size, "%s", line + at);
        found = true;
    }
    fclose(f);
    return found;
}

static void new_and_gone(void)
{
    APART({
        dirs("d", NULL);
        touch("d/below");
        OK(mount("src", "d", "tmpfs", 0, "size=64k,mode=0711"));
        CHECK_ERR(access("d/below", F_OK), ENOENT);
        struct stat st;
        OK(stat("d", &st));
        CHECK_EQ(st.st_mode & 07777, 0711);
        struct statfs fs;
        OK(statfs("d", &fs));
        CHECK_EQ(fs.f_type, 0x01021994);
        CHECK_EQ(fs.f_blocks, 16);
        CHECK_ERR(rmdir("d"), EBUSY);
        CHECK_ERR(rename("d", "e"), EBUSY);
        OK(umount("d"));
        OK(access("d/below", F_OK));
        CHECK_ERR(umount("d"), EINVAL);
        CHECK_ERR(umount("nothing"), ENOENT);
        CHECK_ERR(umount("d/below"), EINVAL);
    });
}

static void mount_refuses(void)
{
    APART({
        dirs("d", NULL);
        touch("f");
        CHECK_ERR(mount("x", "d", "nosuchfs", 0, NULL), ENODEV);
        CHECK_ERR(mount("x", "d", NULL, 0, NULL), EINVAL);
        CHECK_ERR(mount("x", "nothing", "tmpfs", 0, NULL), ENOENT);
        CHECK_ERR(mount("x", "f", "tmpfs", 0, NULL), ENOTDIR);
        CHECK_ERR(mount("x", "f/g", "tmpfs", 0, NULL), ENOTDIR);
        CHECK_ERR(mount("x", "d", "tmpfs", 0, "nosuchoption=1"), EINVAL);
        CHECK_ERR(mount("x", "d", "tmpfs", 0, "size=banana"), EINVAL);
        CHECK_ERR(mount("x", "d", "tmpfs", 0, (void *)1), EFAULT);
        CHECK_ERR(mount((void *)1, "d", "tmpfs", 0, NULL), EFAULT);
        CHECK_ERR(mount("x", (void *)1, "tmpfs", 0, NULL), EFAULT);
        CHECK_ERR(mount("x", "d", (void *)1, 0, NULL), EFAULT);
        CHECK_ERR(mount(NULL, "d", NULL, MS_BIND, NULL), EINVAL);
        CHECK_ERR(mount("", "d", NULL, MS_BIND, NULL), EINVAL);
        CHECK_ERR(mount("nothing", "d", NULL, MS_BIND, NULL), ENOENT);
        CHECK_ERR(mount("f", "d", NULL, MS_BIND, NULL), ENOTDIR);
        CHECK_ERR(mount("d", "f", NULL, MS_BIND, NULL), ENOTDIR);
        CHECK_ERR(mount(NULL, "d", NULL, MS_REMOUNT, NULL), EINVAL);
        CHECK_ERR(mount(NULL, "d", NULL, MS_REMOUNT | MS_BIND, NULL), EINVAL);
        CHECK_ERR(mount(NULL, "d", NULL, MS_PRIVATE, NULL), EINVAL);
        CHECK_ERR(mount(NULL, ".", NULL, MS_PRIVATE | MS_SHARED, NULL), EINVAL);
        CHECK_ERR(mount(NULL, ".", NULL, MS_PRIVATE | MS_NOSUID, NULL), EINVAL);
        CHECK_ERR(mount("d", "f", NULL, MS_MOVE, NULL), EINVAL);
        OK(setresuid(1000, 1000, 1000));
        CHECK_ERR(mount("x", "d", "tmpfs", 0, NULL), EPERM);
        CHECK_ERR(mount("x", "nothing", "tmpfs", 0, NULL), ENOENT);
        CHECK_ERR(umount("d"), EPERM);
        CHECK_ERR(umount2("d", 0x100), EINVAL);
        CHECK_ERR(syscall(SYS_pivot_root, "d", "d"), EPERM);
    });
}

static void flags_bite(void)
{
    APART({
        dirs("d", NULL);
        OK(mount("x", "d", "tmpfs", MS_NODEV | MS_NOEXEC | MS_NOSUID, NULL));
        OK(mknod("d/null", S_IFCHR | 0666, makedev(1, 3)));
        CHECK_ERR(open("d/null", O_RDONLY), EACCES);
        OK(symlink("/bin/true", "d/link"));
        int fd = OK(open("d/prog", O_CREAT | O_WRONLY, 0755));
        OK(write(fd, "#!/bin/sh\nexit 0\n", 17));
        close(fd);
        char *argv[] = {"d/prog", NULL};
        CHECK_ERR(execve("d/prog", argv, argv), EACCES);
        struct statvfs sv;
        OK(statvfs("d", &sv));
        CHECK_EQ(sv.f_flag & (ST_NOSUID | ST_NODEV | ST_NOEXEC | ST_RDONLY),
                 ST_NOSUID | ST_NODEV | ST_NOEXEC);
        OK(mount(NULL, "d", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL));
        CHECK_ERR(open("d/new", O_CREAT | O_WRONLY, 0600), EROFS);
        CHECK_ERR(mkdir("d/new", 0700), EROFS);
        CHECK_ERR(unlink("d/prog"), EROFS);
        CHECK_ERR(chmod("d/prog", 0700), EROFS);
        CHECK_ERR(truncate("d/prog", 0), EROFS);
        CHECK_ERR(access("d/prog", W_OK), EROFS);
        OK(statvfs("d", &sv));
        CHECK_EQ(sv.f_flag & (ST_NOSUID | ST_RDONLY), ST_RDONLY); /* not named: gone */
        OK(close(OK(open("d/null", O_RDONLY))));
    });
}

static void read_only_waits_for_writers(void)
{
    APART({
        dirs("d", "e");
        OK(mount("x", "d", "tmpfs", 0, NULL));
        OK(mount("d", "e", NULL, MS_BIND, NULL));
        int fd = OK(open("d/f", O_CREAT | O_WRONLY, 0600));
        CHECK_ERR(mount(NULL, "d", NULL, MS_REMOUNT | MS_RDONLY, NULL), EBUSY);
        CHECK_ERR(mount(NULL, "d", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), EBUSY);
        OK(mount(NULL, "e", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL)); /* another mount */
        CHECK_ERR(open("e/f", O_WRONLY), EROFS);
        close(fd);
        OK(mount(NULL, "d", NULL, MS_REMOUNT | MS_RDONLY, NULL));
        CHECK_ERR(open("d/f", O_WRONLY), EROFS);
        OK(mount(NULL, "d", NULL, MS_REMOUNT, NULL));
        close(OK(open("d/f", O_WRONLY)));
    });
}

static void remount_changes_limits(void)
{
    APART({
        dirs("d", NULL);
        char text[512];
        struct statfs fs;
        OK(mount("x", "d", "tmpfs", 0, "size=64k"));
        OK(mount(NULL, "d", NULL, MS_REMOUNT, "size=128k"));
        OK(statfs("d", &fs));
        CHECK_EQ(fs.f_blocks, 32);
        CHECK_ERR(mount(NULL, "d", NULL, MS_REMOUNT, "size=x"), EINVAL);
        CHECK(info("/w/d", text, sizeof(text)));
        CHECK(strstr(text, "size=128k"));
    });
}

static void atime_flags(void)
{
    APART({
        char text[512];
        dirs("d", NULL);
        OK(mount("x", "d", "tmpfs", 0, NULL));
        CHECK(info("/w/d", text, sizeof(text)));
        CHECK(strstr(text, "rw,relatime"));
        OK(mount(NULL, "d", NULL, MS_REMOUNT | MS_BIND | MS_NOATIME, NULL));
        CHECK(info("/w/d", text, sizeof(text)));
        CHECK(!strncmp(text, "rw,noatime", 10));
        OK(mount(NULL, "d", NULL, MS_REMOUNT | MS_BIND | MS_NOSUID, NULL)); /* kept */
        CHECK(info("/w/d", text, sizeof(text)));
        CHECK(!strncmp(text, "rw,nosuid,noatime", 17));
        OK(mount(NULL, "d", NULL, MS_REMOUNT | MS_BIND | MS_STRICTATIME, NULL));
        CHECK(info("/w/d", text, sizeof(text)));
        CHECK(!strncmp(text, "rw - ", 5) || !strncmp(text, "rw ", 3));
        touch("d/f");
        struct timespec old[2] = {{1000, 0}, {2000000000, 0}};
        OK(utimensat(AT_FDCWD, "d/f", (struct timespec[]){{1700000000, 0}, {1600000000, 0}}, 0));
        int fd = OK(open("d/f", O_RDWR));
        OK(write(fd, "x", 1));
        OK(futimens(fd, old));
        char c;
        OK(pread(fd, &c, 1, 0));
        struct stat st;
        OK(fstat(fd, &st));
        CHECK(st.st_atime > 1000);
        close(fd);
    });
}

static void symlinks_are_not_followed(void)
{
    APART({
        dirs("d", NULL);
        OK(mount("x", "d", "tmpfs", MS_NOSYMFOLLOW, NULL));
        touch("d/f");
        OK(symlink("f", "d/l"));
        CHECK_ERR(open("d/l", O_RDONLY), ELOOP);
        char b[8];
        CHECK_EQ(OK(readlink("d/l", b, sizeof(b))), 1);
        struct stat st;
        OK(lstat("d/l", &st));
    });
}

static void bind_shows_the_same(void)
{
    APART({
        char text[512];
        dirs("a", "b");
        dirs("a/sub", NULL);
        OK(mount("x", "a/sub", "tmpfs", 0, NULL));
        touch("a/sub/deep");
        touch("a/flat");
        OK(mount("a", "b", NULL, MS_BIND, NULL));
        OK(access("b/flat", F_OK));
        CHECK_ERR(access("b/sub/deep", F_OK), ENOENT);
        touch("b/late");
        OK(access("a/late", F_OK));
        OK(umount("b"));
        OK(mount("a", "b", NULL, MS_BIND | MS_REC, NULL));
        OK(access("b/sub/deep", F_OK));
        CHECK_ERR(umount("b"), EBUSY);
        OK(umount("b/sub"));
        OK(umount("b"));
        touch("file");
        OK(mount("a/flat", "file", NULL, MS_BIND, NULL));
        CHECK(info("/w/file", text, sizeof(text)));
        CHECK_ERR(unlink("file"), EBUSY);
        OK(umount("file"));
        OK(unlink("file"));
    });
}

static void mounts_stack(void)
{
    APART({
        dirs("d", NULL);
        OK(mount("1", "d", "tmpfs", 0, NULL));
        touch("d/one");
        OK(mount("2", "d", "tmpfs", 0, NULL));
        touch("d/two");
        CHECK_ERR(access("d/one", F_OK), ENOENT);
        OK(umount("d"));
        OK(access("d/one", F_OK));
        OK(umount("d"));
        CHECK_ERR(umount("d"), EINVAL);
    });
}

static void move_moves(void)
{
    APART({
        dirs("a", "b");
        OK(mount("x", "a", "tmpfs", 0, NULL));
        dirs("a/in", NULL);
        OK(mount("y", "a/in", "tmpfs", 0, NULL));
        touch("a/in/f");
        OK(mount("a", "b", NULL, MS_MOVE, NULL));
        OK(access("b/in/f", F_OK));
        CHECK_ERR(access("a/in", F_OK), ENOENT);
        CHECK_ERR(mount("b", "b/in", NULL, MS_MOVE, NULL), ELOOP);
        CHECK_ERR(mount("a", "b", NULL, MS_MOVE, NULL), EINVAL); /* no mount */
        touch("file");
        CHECK_ERR(mount("b", "file", NULL, MS_MOVE, NULL), EINVAL);
        OK(mount("b/in", "a", NULL, MS_MOVE, NULL));
        OK(access("a/f", F_OK));
    });
}

static void busy_and_lazy(void)
{
    APART({
        dirs("d", NULL);
        OK(mount("x", "d", "tmpfs", 0, NULL));
        int fd = OK(open("d/f", O_CREAT | O_RDWR, 0600));
        CHECK_ERR(umount("d"), EBUSY);
        OK(umount2("d", MNT_DETACH));
        CHECK_ERR(access("d/f", F_OK), ENOENT);
        OK(write(fd, "still", 5)); /* and it goes with its last user */
        struct stat st;
        OK(fstat(fd, &st));
        CHECK_EQ(st.st_size, 5);
        close(fd);
        OK(mount("x", "d", "tmpfs", 0, NULL));
        OK(chdir("d"));
        CHECK_ERR(umount("../d"), EBUSY);
        OK(umount2("../d", MNT_DETACH));
    });
}

static void expire_takes_two(void)
{
    APART({
        dirs("d", NULL);
        OK(mount("x", "d", "tmpfs", 0, NULL));
        CHECK_ERR(umount2("d", MNT_EXPIRE | MNT_DETACH), EINVAL);
        CHECK_ERR(umount2("d", MNT_EXPIRE | MNT_FORCE), EINVAL);
        int fd = OK(open("d", O_RDONLY));
        CHECK_ERR(umount2("d", MNT_EXPIRE), EBUSY);
        close(fd);
        CHECK_ERR(umount2("d", MNT_EXPIRE), EAGAIN);
        OK(access("d/..", F_OK)); /* used in between */
        close(OK(open("d", O_RDONLY)));
        CHECK_ERR(umount2("d", MNT_EXPIRE), EAGAIN);
        OK(umount2("d", MNT_EXPIRE));
        CHECK_ERR(umount2("d", MNT_EXPIRE), EINVAL);
    });
}

static void umount_and_symlinks(void)
{
    APART({
        dirs("d", NULL);
        OK(symlink("d", "l"));
        OK(mount("x", "d", "tmpfs", 0, NULL));
        CHECK_ERR(umount2("l", UMOUNT_NOFOLLOW), EINVAL);
        OK(umount2("l", 0));
    });
}

/* ---- propagation ---- */

static void peers_see_each_other(void)
{
    APART({
        char text[512];
        dirs("a", "b");
        OK(mount("x", "a", "tmpfs", 0, NULL));
        OK(mount(NULL, "a", NULL, MS_SHARED, NULL));
        dirs("a/m", NULL);
        OK(mount("a", "b", NULL, MS_BIND, NULL));
        CHECK(info("/w/b", text, sizeof(text)));
        CHECK(strstr(text, " shared:"));
        OK(mount("y", "a/m", "tmpfs", 0, NULL));
        touch("a/m/f");
        OK(access("b/m/f", F_OK));
        CHECK(info("/w/b/m", text, sizeof(text)));
        CHECK(strstr(text, " shared:"));
        OK(umount("b/m"));
        CHECK_ERR(access("a/m/f", F_OK), ENOENT);
        OK(mount("y", "b/m", "tmpfs", 0, NULL));
        touch("a/m/g");
        OK(access("b/m/g", F_OK));
        int fd = OK(open("a/m/g", O_RDONLY));
        CHECK_ERR(umount("b/m"), EBUSY); /* the peer's copy is in use */
        close(fd);
        OK(umount("b/m"));
    });
}

static void slaves_only_receive(void)
{
    APART({
        char text[512];
        dirs("a", "b");
        OK(mount("x", "a", "tmpfs", 0, NULL));
        OK(mount(NULL, "a", NULL, MS_SHARED, NULL));
        dirs("a/m", "a/n");
        OK(mount("a", "b", NULL, MS_BIND, NULL));
        OK(mount(NULL, "b", NULL, MS_SLAVE, NULL));
        CHECK(info("/w/b", text, sizeof(text)));
        CHECK(strstr(text, " master:") && !strstr(text, "shared:"));
        OK(mount("y", "a/m", "tmpfs", 0, NULL));
        touch("a/m/f");
        OK(access("b/m/f", F_OK));
        OK(mount("z", "b/n", "tmpfs", 0, NULL));
        touch("b/n/g");
        CHECK_ERR(access("a/n/g", F_OK), ENOENT);
        OK(umount("a/m"));
        CHECK_ERR(access("b/m/f", F_OK), ENOENT);
        OK(mount(NULL, "b", NULL, MS_SHARED, NULL)); /* both at once */
        CHECK(info("/w/b", text, sizeof(text)));
        CHECK(strstr(text, " shared:") && strstr(text, " master:"));
        OK(mount(NULL, "b", NULL, MS_PRIVATE, NULL));
        CHECK(info("/w/b", text, sizeof(text)));
        CHECK(!strstr(text, "shared:") && !strstr(text, "master:"));
        OK(mount("y", "a/m", "tmpfs", 0, NULL));
        touch("a/m/f");
        CHECK_ERR(access("b/m/f", F_OK), ENOENT);
    });
}

static void shared_slaves_pass_on(void)
{
    APART({
        dirs("a", "b");
        dirs("c", NULL);
        OK(mount("x", "a", "tmpfs", 0, NULL));
        OK(mount(NULL, "a", NULL, MS_SHARED, NULL));
        dirs("a/m", "a/n");
        OK(mount("a", "b", NULL, MS_BIND, NULL));
        OK(mount(NULL, "b", NULL, MS_SLAVE, NULL));
        OK(mount(NULL, "b", NULL, MS_SHARED, NULL));
        OK(mount("b", "c", NULL, MS_BIND, NULL));
        OK(mount("y", "a/m", "tmpfs", 0, NULL));
        touch("a/m/f");
        OK(access("b/m/f", F_OK));
        OK(access("c/m/f", F_OK));
        OK(mount("y", "c/n", "tmpfs", 0, NULL));
        touch("c/n/f");
        OK(access("b/n/f", F_OK));
        CHECK_ERR(access("a/n/f", F_OK), ENOENT);
        OK(umount("a/m"));
        CHECK_ERR(access("c/m/f", F_OK), ENOENT);
    });
}

static void unbindable_stays_alone(void)
{
    APART({
        char text[512];
        dirs("a", "b");
        OK(mount("x", "a", "tmpfs", 0, NULL));
        OK(mount(NULL, "a", NULL, MS_UNBINDABLE, NULL));
        CHECK(info("/w/a", text, sizeof(text)));
        CHECK(strstr(text, " unbindable "));
        CHECK_ERR(mount("a", "b", NULL, MS_BIND, NULL), EINVAL);
        touch("a/f");
        OK(mount(".", "b", NULL, MS_BIND | MS_REC, NULL));
        CHECK_ERR(access("b/a/f", F_OK), ENOENT); /* pruned */
    });
}

static void shared_parents_hold_their_children(void)
{
    APART({
        dirs("a", "b");
        OK(mount("x", "a", "tmpfs", 0, NULL));
        OK(mount(NULL, "a", NULL, MS_SHARED, NULL));
        dirs("a/m", NULL);
        OK(mount("y", "a/m", "tmpfs", 0, NULL));
        CHECK_ERR(mount("a/m", "b", NULL, MS_MOVE, NULL), EINVAL);
    });
}

static void namespaces_propagate(void)
{
    APART({
        dirs("a", NULL);
        int up[2], go[2];
        char c;
        OK(pipe(up));
        OK(pipe(go));
        OK(mount("x", "a", "tmpfs", 0, NULL));
        OK(mount(NULL, "a", NULL, MS_SHARED, NULL));
        dirs("a/m", NULL);
        pid_t pid = OK(fork());
        if (!pid) {
            OK(unshare(CLONE_NEWNS));
            OK(write(up[1], "x", 1));
            OK(read(go[0], &c, 1));
            OK(access("a/m/f", F_OK)); /* came after the copy was made */
            OK(umount("a/m"));
            _exit(0);
        }
        OK(read(up[0], &c, 1));
        OK(mount("y", "a/m", "tmpfs", 0, NULL));
        touch("a/m/f");
        OK(write(go[1], "x", 1));
        int st;
        OK(waitpid(pid, &st, 0));
        CHECK_EQ(st, 0);
        CHECK_ERR(access("a/m/f", F_OK), ENOENT);
    });
}

static void a_mountpoint_elsewhere_can_go(void)
{
    APART({
        int up[2], go[2];
        char c;
        OK(pipe(up));
        OK(pipe(go));
        dirs("d", NULL);
        pid_t pid = OK(fork());
        if (!pid) {
            OK(unshare(CLONE_NEWNS));
            OK(mount("y", "d", "tmpfs", 0, NULL));
            OK(write(up[1], "x", 1));
            OK(read(go[0], &c, 1));
            _exit(access("d", F_OK) ? 0 : 1);
        }
        OK(read(up[0], &c, 1));
        OK(rmdir("d"));
        OK(write(go[1], "x", 1));
        int st;
        OK(waitpid(pid, &st, 0));
        CHECK_EQ(st, 0);
    });
}

/* ---- pivot_root ---- */

static void pivot_swaps(void)
{
    APART({
        dirs("new", NULL);
        CHECK_ERR(syscall(SYS_pivot_root, "new", "new"), EINVAL);
        OK(mount("x", "new", "tmpfs", 0, NULL));
        dirs("new/old", NULL);
        touch("new/mark");
        CHECK_ERR(syscall(SYS_pivot_root, "new", "nothing"), ENOENT);
        CHECK_ERR(syscall(SYS_pivot_root, "new/mark", "new/old"), ENOTDIR);
        CHECK_ERR(syscall(SYS_pivot_root, "/", "/"), EBUSY);
        OK(syscall(SYS_pivot_root, "new", "new/old"));
        OK(access("/mark", F_OK));
        OK(access("/old/proc", F_OK));
        OK(umount2("/old", MNT_DETACH));
        CHECK_ERR(access("/old/proc", F_OK), ENOENT);
    });
}

static void pivot_onto_itself(void)
{
    APART({
        dirs("new", NULL);
        OK(mount("x", "new", "tmpfs", 0, NULL));
        touch("new/mark");
        OK(chdir("new"));
        OK(syscall(SYS_pivot_root, ".", "."));
        OK(umount2(".", MNT_DETACH));
        OK(chdir("/"));
        OK(access("/mark", F_OK));
        CHECK_ERR(access("/proc", F_OK), ENOENT);
    });
}

GUEST_MAIN(C(new_and_gone), C(mount_refuses), C(flags_bite), C(read_only_waits_for_writers),
           C(remount_changes_limits), C(atime_flags), C(symlinks_are_not_followed),
           C(bind_shows_the_same), C(mounts_stack), C(move_moves), C(busy_and_lazy),
           C(expire_takes_two), C(umount_and_symlinks), C(peers_see_each_other),
           C(slaves_only_receive), C(shared_slaves_pass_on), C(unbindable_stays_alone),
           C(shared_parents_hold_their_children), C(namespaces_propagate),
           C(a_mountpoint_elsewhere_can_go), C(pivot_swaps), C(pivot_onto_itself))
