/* open_tree, move_mount, fsopen, fsconfig, fsmount, fspick, mount_setattr. */
#include "guest.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>

#define MOVE_BENEATH 0x200

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

static int new_tmpfs(const char *key, const char *value)
{
    int fs = OK(fsopen("tmpfs", FSOPEN_CLOEXEC));
    OK(fsconfig(fs, FSCONFIG_SET_STRING, "source", "src", 0));
    if (key)
        OK(fsconfig(fs, FSCONFIG_SET_STRING, key, value, 0));
    OK(fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
    int m = OK(fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV));
    close(fs);
    return m;
}

static void a_mount_in_steps(void)
{
    APART({
        struct statfs fs;
        struct statvfs sv;
        OK(mkdir("d", 0755));
        int m = new_tmpfs("size", "64k");
        close(
            OK(openat(m, "early", O_CREAT | O_WRONLY, 0600))); /* it works before it is anywhere */
        OK(move_mount(m, "", AT_FDCWD, "d", MOVE_MOUNT_F_EMPTY_PATH));
        OK(access("d/early", F_OK));
        OK(statfs("d", &fs));
        CHECK_EQ(fs.f_blocks, 16);
        OK(statvfs("d", &sv));
        CHECK_EQ(sv.f_flag & (ST_NOSUID | ST_NODEV | ST_NOEXEC), ST_NOSUID | ST_NODEV);
        close(m);
        OK(access("d/early", F_OK)); /* the tree has it now */
        OK(umount("d"));
    });
}

static void fsopen_refuses(void)
{
    APART({
        CHECK_ERR(fsopen("nosuchfs", 0), ENODEV);
        CHECK_ERR(fsopen("tmpfs", 8), EINVAL);
        CHECK_ERR(fsopen((void *)1, 0), EFAULT);
        int fs = OK(fsopen("tmpfs", 0));
        CHECK_EQ(OK(fcntl(fs, F_GETFD)), 0);
        CHECK_ERR(fsconfig(-1, FSCONFIG_SET_FLAG, "ro", NULL, 0), EINVAL);
        CHECK_ERR(fsconfig(999, FSCONFIG_SET_FLAG, "ro", NULL, 0), EBADF);
        CHECK_ERR(fsconfig(0, FSCONFIG_SET_FLAG, "ro", NULL, 0), EINVAL);
        CHECK_ERR(fsconfig(fs, 77, NULL, NULL, 0), EOPNOTSUPP);
        CHECK_ERR(fsconfig(fs, FSCONFIG_SET_FLAG, NULL, NULL, 0), EINVAL);
        CHECK_ERR(fsconfig(fs, FSCONFIG_SET_FLAG, "ro", "1", 0), EINVAL);
        CHECK_ERR(fsconfig(fs, FSCONFIG_SET_STRING, "size", NULL, 0), EINVAL);
        CHECK_ERR(fsconfig(fs, FSCONFIG_SET_STRING, "size", "1m", 5), EINVAL);
        CHECK_ERR(fsconfig(fs, FSCONFIG_SET_BINARY, "x", "y", 0), EINVAL);
        CHECK_ERR(fsconfig(fs, FSCONFIG_SET_PATH, "x", "y", -3), EINVAL);
        CHECK_ERR(fsconfig(fs, FSCONFIG_SET_FD, "x", NULL, -1), EINVAL);
        CHECK_ERR(fsconfig(fs, FSCONFIG_CMD_CREATE, "x", NULL, 0), EINVAL);
        CHECK_ERR(fsconfig(fs, FSCONFIG_SET_FLAG, (void *)1, NULL, 0), EFAULT);
        CHECK_ERR(fsconfig(fs, FSCONFIG_SET_STRING, "nosuch", "1", 0), EINVAL);
        CHECK_ERR(fsconfig(fs, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0), EBUSY);
        OK(fsconfig(fs, FSCONFIG_SET_STRING, "source", "a", 0));
        CHECK_ERR(fsconfig(fs, FSCONFIG_SET_STRING, "source", "b", 0), EINVAL);
        CHECK_ERR(fsmount(fs, 0, 0), EINVAL); /* nothing created */
        OK(fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
        CHECK_ERR(fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0), EBUSY);
        CHECK_ERR(fsconfig(fs, FSCONFIG_SET_FLAG, "ro", NULL, 0), EBUSY);
        CHECK_ERR(fsmount(fs, 8, 0), EINVAL);
        CHECK_ERR(fsmount(fs, 0, 0x70), EINVAL);
        CHECK_ERR(fsmount(fs, 0, 1u << 30), EINVAL);
        CHECK_ERR(fsmount(0, 0, 0), EINVAL);
        CHECK_ERR(fsmount(999, 0, 0), EBADF);
        OK(fsmount(fs, 0, 0));
        CHECK_ERR(fsmount(fs, 0, 0), EBUSY);
        OK(setresuid(1000, 1000, 1000));
        CHECK_ERR(fsopen("tmpfs", 0), EPERM);
        CHECK_ERR(fsmount(fs, 0, 0), EPERM);
        CHECK_ERR(fspick(AT_FDCWD, ".", 0), EPERM);
        CHECK_ERR(move_mount(0, "", AT_FDCWD, ".", 0), EPERM);
        CHECK_ERR(open_tree(AT_FDCWD, ".", OPEN_TREE_CLONE), EPERM);
    });
}

static void fspick_reconfigures(void)
{
    APART({
        struct statfs fs;
        OK(mkdir("d", 0755));
        OK(mount("x", "d", "tmpfs", 0, "size=64k"));
        int c = OK(fspick(AT_FDCWD, "d", FSPICK_CLOEXEC));
        OK(fsconfig(c, FSCONFIG_SET_STRING, "size", "128k", 0));
        OK(fsconfig(c, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0));
        OK(statfs("d", &fs));
        CHECK_EQ(fs.f_blocks, 32);
        OK(fsconfig(c, FSCONFIG_SET_FLAG, "ro", NULL, 0));
        OK(fsconfig(c, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0));
        CHECK_ERR(open("d/f", O_CREAT | O_WRONLY, 0600), EROFS);
        CHECK_ERR(fspick(AT_FDCWD, "d", 0x40), EINVAL);
        OK(mkdir("e", 0755));
        CHECK_ERR(fspick(AT_FDCWD, "e", 0), EINVAL);
        CHECK_ERR(fspick(AT_FDCWD, "none", 0), ENOENT);
    });
}

static void open_tree_clones(void)
{
    APART({
        OK(mkdir("a", 0755));
        OK(mkdir("b", 0755));
        OK(mount("x", "a", "tmpfs", 0, NULL));
        OK(mkdir("a/in", 0755));
        OK(mount("y", "a/in", "tmpfs", 0, NULL));
        touch("a/in/deep");
        int one = OK(open_tree(AT_FDCWD, "a", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
        CHECK_EQ(OK(fcntl(one, F_GETFD)), FD_CLOEXEC);
        CHECK_EQ(OK(fcntl(one, F_GETFL)) & O_PATH, O_PATH);
        CHECK_ERR(faccessat(one, "in/deep", F_OK, 0), ENOENT);
        int all = OK(open_tree(AT_FDCWD, "a", OPEN_TREE_CLONE | AT_RECURSIVE));
        OK(faccessat(all, "in/deep", F_OK, 0));
        OK(umount2("a", MNT_DETACH));
        OK(faccessat(all, "in/deep", F_OK, 0));
        OK(move_mount(all, "", AT_FDCWD, "b", MOVE_MOUNT_F_EMPTY_PATH));
        OK(access("b/in/deep", F_OK));
        int plain = OK(open_tree(AT_FDCWD, "b", 0));
        OK(faccessat(plain, "in/deep", F_OK, 0));
        OK(move_mount(plain, "", AT_FDCWD, "a", MOVE_MOUNT_F_EMPTY_PATH)); /* moves the real one */
        OK(access("a/in/deep", F_OK));
        CHECK_ERR(access("b/in", F_OK), ENOENT);
        CHECK_ERR(open_tree(AT_FDCWD, "a", AT_RECURSIVE), EINVAL);
        CHECK_ERR(open_tree(AT_FDCWD, "a", 2), EINVAL);
        CHECK_ERR(open_tree(AT_FDCWD, "none", OPEN_TREE_CLONE), ENOENT);
        CHECK_ERR(open_tree(AT_FDCWD, "", OPEN_TREE_CLONE), ENOENT);
        CHECK_ERR(open_tree(99, "", OPEN_TREE_CLONE | AT_EMPTY_PATH), EBADF);
    });
}

static void move_mount_refuses(void)
{
    APART({
        OK(mkdir("d", 0755));
        touch("f");
        int m = new_tmpfs(NULL, NULL);
        CHECK_ERR(move_mount(m, "", AT_FDCWD, "d", 0), ENOENT);
        CHECK_ERR(move_mount(m, "", AT_FDCWD, "d", 0x8000), EINVAL);
        CHECK_ERR(move_mount(m, "", AT_FDCWD, "f", MOVE_MOUNT_F_EMPTY_PATH), EINVAL);
        CHECK_ERR(move_mount(m, "", AT_FDCWD, "none", MOVE_MOUNT_F_EMPTY_PATH), ENOENT);
        CHECK_ERR(move_mount(AT_FDCWD, "d", AT_FDCWD, "d", 0), EINVAL); /* no mount */
        OK(move_mount(m, "", AT_FDCWD, "d", MOVE_MOUNT_F_EMPTY_PATH));
        OK(mkdir("d/in", 0755));
        CHECK_ERR(move_mount(AT_FDCWD, "d", AT_FDCWD, "d/in", 0), ELOOP);
    });
}

static void a_tree_that_goes_nowhere_goes(void)
{
    APART({
        int m = new_tmpfs(NULL, NULL);
        int file = OK(openat(m, "f", O_CREAT | O_RDWR, 0600));
        OK(write(file, "x", 1));
        close(m);
        char c;
        CHECK_EQ(OK(pread(file, &c, 1, 0)), 1);
    });
}

static void setattr_sets(void)
{
    APART({
        struct statvfs sv;
        OK(mkdir("d", 0755));
        OK(mount("x", "d", "tmpfs", MS_NOSUID, NULL));
        OK(mkdir("d/in", 0755));
        OK(mount("y", "d/in", "tmpfs", 0, NULL));
        struct mount_attr a = {.attr_set = MOUNT_ATTR_RDONLY, .attr_clr = MOUNT_ATTR_NOSUID};
        OK(mount_setattr(AT_FDCWD, "d", 0, &a, sizeof(a)));
        OK(statvfs("d", &sv));
        CHECK_EQ(sv.f_flag & (ST_RDONLY | ST_NOSUID), ST_RDONLY);
        OK(statvfs("d/in", &sv));
        CHECK_EQ(sv.f_flag & ST_RDONLY, 0);
        OK(mount_setattr(AT_FDCWD, "d", AT_RECURSIVE, &a, sizeof(a)));
        OK(statvfs("d/in", &sv));
        CHECK_EQ(sv.f_flag & ST_RDONLY, ST_RDONLY);
        a = (struct mount_attr){.attr_clr = MOUNT_ATTR_RDONLY};
        OK(mount_setattr(AT_FDCWD, "d", AT_RECURSIVE, &a, sizeof(a)));
        int fd = OK(open("d/in/f", O_CREAT | O_WRONLY, 0600));
        a = (struct mount_attr){.attr_set = MOUNT_ATTR_RDONLY};
        CHECK_ERR(mount_setattr(AT_FDCWD, "d", AT_RECURSIVE, &a, sizeof(a)), EBUSY);
        OK(statvfs("d", &sv));
        CHECK_EQ(sv.f_flag & ST_RDONLY, 0); /* all or nothing */
        close(fd);
        a = (struct mount_attr){.attr_clr = MOUNT_ATTR__ATIME, .attr_set = MOUNT_ATTR_NOATIME};
        OK(mount_setattr(AT_FDCWD, "d", 0, &a, sizeof(a)));
        OK(statvfs("d", &sv));
        CHECK_EQ(sv.f_flag & ST_NOATIME, ST_NOATIME);
    });
}

static void setattr_refuses(void)
{
    APART({
        OK(mkdir("d", 0755));
        struct mount_attr a = {.attr_set = MOUNT_ATTR_RDONLY};
        CHECK_ERR(mount_setattr(AT_FDCWD, "d", 0, &a, sizeof(a)), EINVAL); /* no mount */
        CHECK_ERR(mount_setattr(AT_FDCWD, ".", 0x40, &a, sizeof(a)), EINVAL);
        CHECK_ERR(mount_setattr(AT_FDCWD, ".", 0, &a, 16), EINVAL);
        CHECK_ERR(mount_setattr(AT_FDCWD, ".", 0, &a, 5000), E2BIG);
        CHECK_ERR(mount_setattr(AT_FDCWD, ".", 0, (void *)1, sizeof(a)), EFAULT);
        char big[64] = {0};
        big[40] = 1;
        CHECK_ERR(mount_setattr(AT_FDCWD, ".", 0, (void *)big, sizeof(big)), E2BIG);
        a = (struct mount_attr){.attr_set = MOUNT_ATTR_NOATIME};
        CHECK_ERR(mount_setattr(AT_FDCWD, ".", 0, &a, sizeof(a)), EINVAL);
        a = (struct mount_attr){.attr_clr = MOUNT_ATTR_NOATIME};
        CHECK_ERR(mount_setattr(AT_FDCWD, ".", 0, &a, sizeof(a)), EINVAL);
        a = (struct mount_attr){.attr_set = 1ull << 40};
        CHECK_ERR(mount_setattr(AT_FDCWD, ".", 0, &a, sizeof(a)), EINVAL);
        a = (struct mount_attr){.propagation = MS_SHARED | MS_PRIVATE};
        CHECK_ERR(mount_setattr(AT_FDCWD, ".", 0, &a, sizeof(a)), EINVAL);
        a = (struct mount_attr){.propagation = MS_NOSUID};
        CHECK_ERR(mount_setattr(AT_FDCWD, ".", 0, &a, sizeof(a)), EINVAL);
        a = (struct mount_attr){0};
        OK(mount_setattr(AT_FDCWD, "none", 0, &a,
                         sizeof(a))); /* nothing to do, nothing looked at */
        a = (struct mount_attr){.attr_set = MOUNT_ATTR_RDONLY};
        CHECK_ERR(mount_setattr(AT_FDCWD, "none", 0, &a, sizeof(a)), ENOENT);
    });
}

static void groups_can_be_set(void)
{
    APART({
        OK(mkdir("a", 0755));
        OK(mkdir("b", 0755));
        OK(mount("x", "a", "tmpfs", 0, NULL));
        OK(mkdir("a/m", 0755));
        OK(mount("a", "b", NULL, MS_BIND, NULL)); /* both private */
        OK(mount(NULL, "a", NULL, MS_SHARED, NULL));
        OK(move_mount(AT_FDCWD, "a", AT_FDCWD, "b", MOVE_MOUNT_SET_GROUP));
        OK(mount("y", "a/m", "tmpfs", 0, NULL));
        touch("a/m/f");
        OK(access("b/m/f", F_OK));
        CHECK_ERR(move_mount(AT_FDCWD, "a", AT_FDCWD, "b", MOVE_MOUNT_SET_GROUP), EINVAL);
    });
}

GUEST_MAIN(C(a_mount_in_steps), C(fsopen_refuses), C(fspick_reconfigures), C(open_tree_clones),
           C(move_mount_refuses), C(a_tree_that_goes_nowhere_goes), C(setattr_sets),
           C(setattr_refuses), C(groups_can_be_set))
