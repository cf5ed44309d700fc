/* fanotify: groups, marks, events with descriptors and with handles, permission events, errnos. */
#include "guest.h"

#include <grp.h>
#include <poll.h>
#include <sys/fanotify.h>
#include <sys/mount.h>
#include <sys/statfs.h>

static int g_fan;

/* What is in the queue, in short: "mask:name " with a descriptor, names of directories by handle. */
static const char *events(void)
{
    static char out[4096];
    char buf[8192], link[64], path[512];
    out[0] = 0;
    ssize_t n = read(g_fan, buf, sizeof(buf));
    struct fanotify_event_metadata *m = (void *)buf;
    for (; n > 0 && FAN_EVENT_OK(m, n); m = FAN_EVENT_NEXT(m, n)) {
        CHECK_EQ(m->vers, FANOTIFY_METADATA_VERSION);
        CHECK_EQ(m->metadata_len, sizeof(*m));
        CHECK_EQ(m->pid, getpid());
        size_t len = strlen(out);
        len += snprintf(out + len, sizeof(out) - len, "%llx", (unsigned long long)m->mask);
        if (m->fd >= 0) {
            snprintf(link, sizeof(link), "/proc/self/fd/%d", m->fd);
            path[OK(readlink(link, path, sizeof(path) - 1))] = 0;
            len += snprintf(out + len, sizeof(out) - len, ":%s", strrchr(path, '/') + 1);
            close(m->fd);
        }
        char *p = (char *)m + m->metadata_len, *end = (char *)m + m->event_len;
        while (p < end) {
            struct fanotify_event_info_fid *f = (void *)p;
            struct file_handle *h = (void *)f->handle;
            int t = f->hdr.info_type;
            CHECK(f->hdr.len > 0 && f->hdr.len % 4 == 0);
            len += snprintf(out + len, sizeof(out) - len, "[%d", t);
            if (t == 2 || t == 10 || t == 12)
                len += snprintf(out + len, sizeof(out) - len, " %s",
                                (char *)h->f_handle + h->handle_bytes);
            len += snprintf(out + len, sizeof(out) - len, "]");
            p += f->hdr.len;
        }
        snprintf(out + len, sizeof(out) - len, " ");
    }
    return out;
}

static void start(unsigned flags)
{
    g_fan = syscall(SYS_fanotify_init, flags | FAN_NONBLOCK, O_RDONLY);
    if (g_fan < 0 && (errno == EINVAL || errno == ENOSYS))
        SKIP("the kernel has no such groups");
    CHECK(g_fan >= 0);
}

static void watch(unsigned flags, uint64_t mask, const char *path)
{
    OK(fanotify_mark(g_fan, FAN_MARK_ADD | flags, mask, AT_FDCWD, path));
}

static void touch(const char *name)
{
    char c;
    int fd = OK(open(name, O_RDWR));
    OK(read(fd, &c, 1));
    OK(write(fd, "y", 1));
    OK(close(fd));
}

static void one_file(void)
{
    write_file("f", "xyz", 3);
    start(0);
    watch(0, FAN_OPEN | FAN_ACCESS | FAN_MODIFY | FAN_CLOSE, "f");
    CHECK_ERR(read(g_fan, &errno, 4), EAGAIN);
    touch("f");
    CHECK_STR(events(), "2b:f ");
    OK(close(OK(open("f", O_RDONLY))));
    CHECK_STR(events(), "30:f ");
    struct pollfd p = {g_fan, POLLIN, 0};
    CHECK_EQ(poll(&p, 1, 0), 0);
    OK(close(OK(open("f", O_RDONLY))));
    CHECK_EQ(poll(&p, 1, 0), 1);
    CHECK_ERR(read(g_fan, &p, 4), EINVAL);
    CHECK_STR(events(), "30:f ");
    OK(fanotify_mark(g_fan, FAN_MARK_REMOVE, FAN_OPEN | FAN_ACCESS | FAN_MODIFY | FAN_CLOSE_WRITE, AT_FDCWD, "f"));
    touch("f");
    CHECK_STR(events(), "");
    OK(close(OK(open("f", O_RDONLY))));
    CHECK_STR(events(), "10:f ");
    OK(fanotify_mark(g_fan, FAN_MARK_REMOVE, FAN_CLOSE, AT_FDCWD, "f"));
    CHECK_ERR(fanotify_mark(g_fan, FAN_MARK_REMOVE, FAN_CLOSE, AT_FDCWD, "f"), ENOENT);
    OK(unlink("f"));
}

static void children(void)
{
    OK(mkdir("d", 0755));
    OK(mkdir("d/s", 0755));
    write_file("d/f", "x", 1);
    start(0);
    watch(0, FAN_OPEN | FAN_CLOSE_NOWRITE, "d");
    OK(close(OK(open("d/f", O_RDONLY))));
    CHECK_STR(events(), "");
    OK(close(OK(open("d", O_RDONLY))));
    CHECK_STR(events(), "");
    watch(0, FAN_EVENT_ON_CHILD, "d");
    OK(close(OK(open("d/f", O_RDONLY))));
    CHECK_STR(events(), "30:f ");
    OK(close(OK(open("d/s", O_RDONLY))));
    CHECK_STR(events(), "");
    watch(0, FAN_ONDIR, "d");
    OK(close(OK(open("d/s", O_RDONLY))));
    CHECK_STR(events(), "30:s ");
    OK(close(OK(open("d", O_RDONLY))));
    CHECK_STR(events(), "30:d ");
    OK(fanotify_mark(g_fan, FAN_MARK_FLUSH, 0, AT_FDCWD, "."));
    OK(close(OK(open("d/f", O_RDONLY))));
    CHECK_STR(events(), "");
}

static void ignoring(void)
{
    OK(mkdir("d", 0755));
    write_file("d/f", "x", 1);
    write_file("d/g", "x", 1);
    start(0);
    watch(0, FAN_OPEN | FAN_EVENT_ON_CHILD, "d");
    watch(FAN_MARK_IGNORED_MASK, FAN_OPEN, "d/f");
    OK(close(OK(open("d/f", O_RDONLY))));
    OK(close(OK(open("d/g", O_RDONLY))));
    CHECK_STR(events(), "20:g ");
    touch("d/f"); /* a modification ends it */
    OK(close(OK(open("d/f", O_RDONLY))));
    CHECK_STR(events(), "20:f ");
    watch(FAN_MARK_IGNORED_MASK | FAN_MARK_IGNORED_SURV_MODIFY, FAN_OPEN, "d/f");
    touch("d/f");
    OK(close(OK(open("d/f", O_RDONLY))));
    CHECK_STR(events(), "");
}

static void whole_mount(void)
{
    OK(mkdir("m", 0755));
    if (mount("none", "m", "tmpfs", 0, NULL))
        SKIP("may not mount");
    OK(mkdir("m/d", 0755));
    write_file("m/d/f", "x", 1);
    start(0);
    watch(FAN_MARK_MOUNT, FAN_OPEN, "m/d");
    OK(close(OK(open("m/d/f", O_RDONLY))));
    CHECK_STR(events(), "20:f ");
    OK(fanotify_mark(g_fan, FAN_MARK_FLUSH | FAN_MARK_MOUNT, 0, AT_FDCWD, "."));
    OK(close(OK(open("m/d/f", O_RDONLY))));
    CHECK_STR(events(), "");
    watch(FAN_MARK_FILESYSTEM, FAN_CLOSE_NOWRITE, "m");
    OK(close(OK(open("m/d/f", O_RDONLY))));
    CHECK_STR(events(), "10:f ");
    OK(fanotify_mark(g_fan, FAN_MARK_REMOVE | FAN_MARK_FILESYSTEM, FAN_CLOSE_NOWRITE, AT_FDCWD, "m"));
    watch(FAN_MARK_MOUNT, FAN_OPEN, "m/d");
    OK(umount("m"));
    close(g_fan);
}

#define NAMES (FAN_CREATE | FAN_DELETE | FAN_MOVE | FAN_ONDIR)

static void names_in(const char *dir)
{
    OK(chdir(dir));
    OK(mkdir("d", 0755));
    OK(mkdir("e", 0755));
    start(FAN_REPORT_DFID_NAME);
    watch(0, NAMES, "d");
    write_file("d/f", "x", 1);
    CHECK_STR(events(), "100[2 f] ");
    OK(mkdir("d/s", 0755));
    CHECK_STR(events(), "40000100[2 s] ");
    OK(rename("d/f", "d/g"));
    CHECK_STR(events(), "40[2 f] 80[2 g] ");
    OK(rename("d/g", "e/g"));
    CHECK_STR(events(), "40[2 g] ");
    OK(rename("e/g", "d/g"));
    CHECK_STR(events(), "80[2 g] ");
    OK(unlink("d/g"));
    OK(rmdir("d/s"));
    CHECK_STR(events(), "200[2 g] 40000200[2 s] ");
    watch(0, FAN_OPEN | FAN_EVENT_ON_CHILD, "d");
    write_file("d/f", "x", 1);
    CHECK_STR(events(), "120[2 f] ");
    OK(close(OK(open("d", O_RDONLY))));
    CHECK_STR(events(), "40000020[2 .] ");
    close(g_fan);
    start(FAN_REPORT_FID);
    watch(0, NAMES | FAN_EVENT_ON_CHILD | FAN_ATTRIB | FAN_OPEN, "d");
    OK(chmod("d/f", 0600));
    OK(close(OK(open("d/f", O_RDONLY))));
    CHECK_STR(events(), "24[1] ");
    OK(unlink("d/f"));
    OK(mkdir("d/s", 0700));
    CHECK_STR(events(), "200[1] 40000100[1] ");
    close(g_fan);
    start(FAN_REPORT_DFID_NAME | FAN_REPORT_FID);
    write_file("d/f", "x", 1);
    watch(0, FAN_OPEN | FAN_EVENT_ON_CHILD | FAN_ONDIR | FAN_CREATE, "d");
    OK(close(OK(open("d/f", O_RDONLY))));
    write_file("d/k", "x", 1);
    CHECK_STR(events(), "20[2 f][1] 100[2 k] 20[2 k][1] ");
    close(g_fan);
    start(FAN_REPORT_DIR_FID);
    watch(0, FAN_OPEN | FAN_EVENT_ON_CHILD | FAN_CREATE, "d");
    write_file("d/l", "x", 1);
    CHECK_STR(events(), "120[3] ");
    close(g_fan);
    start(FAN_REPORT_FID);
    watch(0, FAN_DELETE_SELF | FAN_MOVE_SELF, "d/l");
    OK(rename("d/l", "d/m"));
    OK(unlink("d/m"));
    CHECK_STR(events(), "c00[1] ");
    close(g_fan);
}

static void handles(void)
{
    char here[256], dir[] = "/dev/shm/fan.XXXXXX";
    CHECK(getcwd(here, sizeof(here)));
    names_in(here);
    CHECK(mkdtemp(dir));
    names_in(dir);
    OK(chdir("/"));
    nftw(dir, guest_rm, 16, FTW_DEPTH | FTW_PHYS);
}

static void renames(void)
{
    OK(mkdir("d", 0755));
    OK(mkdir("e", 0755));
    write_file("d/f", "x", 1);
    start(FAN_REPORT_DFID_NAME | FAN_REPORT_FID | 0x1000 /* FAN_REPORT_TARGET_FID */);
    watch(0, 0x10000000 /* FAN_RENAME */, "d");
    watch(0, 0x10000000, "e");
    OK(rename("d/f", "e/g"));
    CHECK_STR(events(), "10000000[10 f][12 g][1] ");
    OK(rename("e/g", "e/h"));
    CHECK_STR(events(), "10000000[10 g][12 h][1] ");
    watch(0, FAN_CREATE | FAN_ONDIR, "d");
    OK(mkdir("d/s", 0755));
    CHECK_STR(events(), "40000100[2 s][1] ");
}

/* What is left out: paths of truncations, places that are not known, directories nobody watches. */
static void records_left_out(void)
{
    OK(mkdir("d", 0755));
    OK(mkdir("e", 0755));
    write_file("d/f", "x", 1);
    start(0);
    watch(0, FAN_MODIFY | FAN_EVENT_ON_CHILD, "d");
    OK(truncate("d/f", 5));
    CHECK_STR(events(), "");
    close(g_fan);
    start(FAN_REPORT_DIR_FID);
    watch(0, FAN_OPEN | FAN_MOVE_SELF | FAN_EVENT_ON_CHILD, "d");
    watch(0, FAN_MOVE_SELF | FAN_ATTRIB, "d/f");
    OK(close(OK(open("d/f", O_RDONLY))));
    CHECK_STR(events(), "20[1] ");
    OK(link("d/f", "d/g"));
    OK(rename("d/f", "d/h"));
    CHECK_STR(events(), "");
    close(g_fan);
    start(FAN_REPORT_DFID_NAME | FAN_REPORT_FID | 0x1000);
    watch(0, 0x10000000 /* FAN_RENAME */, "d");
    OK(rename("d/h", "e/h"));
    CHECK_STR(events(), "10000000[10 h][1] ");
    OK(rename("e/h", "d/i"));
    CHECK_STR(events(), "10000000[12 i][1] ");
}

/* The handle of an event leads back to the directory, and its fsid is statfs's. */
static void handle_leads_back(void)
{
    char buf[1024], link[64], path[512], want[512];
    struct statfs sf;
    OK(mkdir("d", 0755));
    CHECK(getcwd(want, sizeof(want) - 4));
    strcat(want, "/d");
    start(FAN_REPORT_DFID_NAME);
    watch(0, FAN_CREATE, "d");
    write_file("d/f", "x", 1);
    OK(read(g_fan, buf, sizeof(buf)));
    struct fanotify_event_metadata *m = (void *)buf;
    CHECK_EQ(m->fd, FAN_NOFD);
    struct fanotify_event_info_fid *f = (void *)(m + 1);
    OK(statfs("d", &sf));
    CHECK(!memcmp(&f->fsid, &sf.f_fsid, sizeof(f->fsid)));
    CHECK(f->fsid.val[0] || f->fsid.val[1]);
    int dir = OK(open_by_handle_at(AT_FDCWD, (void *)f->handle, O_RDONLY));
    snprintf(link, sizeof(link), "/proc/self/fd/%d", dir);
    path[OK(readlink(link, path, sizeof(path) - 1))] = 0;
    CHECK_STR(path, want);
}

static void executing(void)
{
    start(0);
    char copy[4200];
    snprintf(copy, sizeof(copy), "cp %s prog", g_self);
    OK(system(copy));
    watch(0, FAN_OPEN_EXEC, "prog");
    OK(close(OK(open("prog", O_RDONLY))));
    CHECK_STR(events(), "");
    pid_t pid = OK(fork());
    if (!pid) {
        int null = open("/dev/null", O_WRONLY);
        dup2(null, 1);
        execl("./prog", "prog", "--list", NULL);
        _exit(1);
    }
    WAIT_EXIT(pid, 0);
    char buf[256];
    struct fanotify_event_metadata *m = (void *)buf;
    CHECK_EQ(OK(read(g_fan, buf, sizeof(buf))), 24);
    CHECK_EQ(m->mask, FAN_OPEN_EXEC);
    CHECK_EQ(m->pid, pid);
}

static void permission(void)
{
    write_file("f", "x", 1);
    g_fan = OK(fanotify_init(FAN_CLASS_CONTENT, O_RDONLY));
    OK(fanotify_mark(g_fan, FAN_MARK_ADD, FAN_OPEN_PERM | FAN_ACCESS_PERM, AT_FDCWD, "f"));
    pid_t pid = OK(fork());
    if (!pid) {
        char c;
        close(g_fan);
        int fd = OK(open("f", O_RDONLY));
        CHECK_ERR(read(fd, &c, 1), EPERM);
        CHECK_ERR(open("f", O_RDONLY), EPERM);
        OK(open("f", O_RDONLY)); /* the listener has gone */
        _exit(0);
    }
    struct fanotify_event_metadata m;
    static const struct {
        uint64_t mask;
        unsigned answer;
    } plan[] = {{FAN_OPEN_PERM, FAN_ALLOW}, {FAN_ACCESS_PERM, FAN_DENY}, {FAN_OPEN_PERM, FAN_DENY}};
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(OK(read(g_fan, &m, sizeof(m))), sizeof(m));
        CHECK_EQ(m.mask, plan[i].mask);
        CHECK_EQ(m.pid, pid);
        struct fanotify_response r = {m.fd, 77};
        CHECK_ERR(write(g_fan, &r, sizeof(r)), EINVAL);
        r = (struct fanotify_response){12345, FAN_ALLOW};
        CHECK_ERR(write(g_fan, &r, sizeof(r)), ENOENT);
        r = (struct fanotify_response){m.fd, plan[i].answer};
        CHECK_ERR(write(g_fan, &r, 4), EINVAL);
        CHECK_EQ(OK(write(g_fan, &r, sizeof(r))), sizeof(r));
        close(m.fd);
    }
    CHECK_EQ(OK(read(g_fan, &m, sizeof(m))), sizeof(m));
    close(g_fan);
    WAIT_EXIT(pid, 0);
}

static void asker_is_killed(void)
{
    write_file("f", "x", 1);
    g_fan = OK(fanotify_init(FAN_CLASS_CONTENT, O_RDONLY));
    OK(fanotify_mark(g_fan, FAN_MARK_ADD, FAN_OPEN_PERM, AT_FDCWD, "f"));
    pid_t pid = OK(fork());
    if (!pid) {
        open("f", O_RDONLY);
        _exit(0);
    }
    struct fanotify_event_metadata m;
    CHECK_EQ(OK(read(g_fan, &m, sizeof(m))), sizeof(m));
    OK(kill(pid, SIGKILL));
    WAIT_SIGNAL(pid, SIGKILL);
}

static void pidfds(void)
{
    char buf[256];
    write_file("f", "x", 1);
    start(0x80 /* FAN_REPORT_PIDFD */);
    watch(0, FAN_OPEN, "f");
    OK(close(OK(open("f", O_RDONLY))));
    CHECK_EQ(OK(read(g_fan, buf, sizeof(buf))), 24 + 8);
    CHECK_EQ(buf[24], 4);
    int fd;
    memcpy(&fd, buf + 28, 4);
    CHECK(fd >= 0);
    OK(syscall(424, fd, 0, NULL, 0));
}

static void init_errors(void)
{
    CHECK_ERR(fanotify_init(0x80000000, 0), EINVAL);
    CHECK_ERR(fanotify_init(FAN_CLASS_CONTENT | FAN_CLASS_PRE_CONTENT, 0), EINVAL);
    CHECK_ERR(fanotify_init(0, O_ACCMODE), EINVAL);
    CHECK_ERR(fanotify_init(0, O_CREAT), EINVAL);
    CHECK_ERR(fanotify_init(FAN_CLASS_CONTENT | FAN_REPORT_FID, 0), EINVAL);
    CHECK_ERR(fanotify_init(FAN_REPORT_NAME, 0), EINVAL);
    CHECK_ERR(fanotify_init(0x1000 | FAN_REPORT_FID, 0), EINVAL);
    CHECK_ERR(fanotify_init(0x80 | FAN_REPORT_TID, 0), EINVAL);
    IN_CHILD(OK(setgroups(0, NULL)); OK(setresgid(65534, 65534, 65534));
             OK(setresuid(65534, 65534, 65534)); CHECK_ERR(fanotify_init(0, 0), EPERM);
             CHECK_ERR(fanotify_init(FAN_CLASS_CONTENT, 0), EPERM);
             CHECK_ERR(fanotify_init(FAN_UNLIMITED_QUEUE | FAN_REPORT_FID, 0), EPERM);
             int fd = OK(fanotify_init(FAN_REPORT_FID, 0));
             CHECK_ERR(fanotify_mark(fd, FAN_MARK_ADD | FAN_MARK_MOUNT, FAN_OPEN, AT_FDCWD, "/"), EPERM));
}

static void mark_errors(void)
{
    int fid = OK(fanotify_init(FAN_REPORT_FID, 0)), p[2], other = OK(open(".", O_RDONLY));
    g_fan = OK(fanotify_init(0, 0));
    write_file("f", "x", 1);
    OK(pipe(p));
    CHECK_ERR(fanotify_mark(-1, FAN_MARK_ADD, FAN_OPEN, AT_FDCWD, "f"), EBADF);
    CHECK_ERR(fanotify_mark(other, FAN_MARK_ADD, FAN_OPEN, AT_FDCWD, "f"), EINVAL);
    CHECK_ERR(fanotify_mark(g_fan, FAN_MARK_ADD, 0, AT_FDCWD, "f"), EINVAL);
    CHECK_ERR(fanotify_mark(g_fan, 0, FAN_OPEN, AT_FDCWD, "f"), EINVAL);
    CHECK_ERR(fanotify_mark(g_fan, FAN_MARK_ADD | FAN_MARK_REMOVE, FAN_OPEN, AT_FDCWD, "f"), EINVAL);
    CHECK_ERR(fanotify_mark(g_fan, FAN_MARK_ADD | 0x8000, FAN_OPEN, AT_FDCWD, "f"), EINVAL);
    CHECK_ERR(fanotify_mark(g_fan, FAN_MARK_ADD, 1ull << 33, AT_FDCWD, "f"), EINVAL);
    CHECK_ERR(fanotify_mark(g_fan, FAN_MARK_ADD, FAN_OPEN_PERM, AT_FDCWD, "f"), EINVAL);
    CHECK_ERR(fanotify_mark(g_fan, FAN_MARK_ADD, FAN_CREATE, AT_FDCWD, "."), EINVAL);
    CHECK_ERR(fanotify_mark(fid, FAN_MARK_ADD | FAN_MARK_MOUNT, FAN_CREATE, AT_FDCWD, "."), EINVAL);
    CHECK_ERR(fanotify_mark(g_fan, FAN_MARK_FLUSH | FAN_MARK_ONLYDIR, 0, AT_FDCWD, "."), EINVAL);
    CHECK_ERR(fanotify_mark(g_fan, FAN_MARK_ADD | FAN_MARK_MOUNT | FAN_MARK_FILESYSTEM, FAN_OPEN, AT_FDCWD, "."), EINVAL);
    CHECK_ERR(fanotify_mark(g_fan, FAN_MARK_ADD | FAN_MARK_ONLYDIR, FAN_OPEN, AT_FDCWD, "f"), ENOTDIR);
    CHECK_ERR(fanotify_mark(g_fan, FAN_MARK_ADD, FAN_OPEN, AT_FDCWD, "missing"), ENOENT);
    CHECK_ERR(fanotify_mark(g_fan, FAN_MARK_ADD, FAN_OPEN, AT_FDCWD, (void *)1), EFAULT);
    CHECK_ERR(fanotify_mark(g_fan, FAN_MARK_ADD, FAN_OPEN, -1, NULL), EBADF);
    CHECK_ERR(fanotify_mark(g_fan, FAN_MARK_REMOVE, FAN_OPEN, AT_FDCWD, "f"), ENOENT);
    OK(fanotify_mark(g_fan, FAN_MARK_ADD, FAN_OPEN, other, NULL));
    CHECK_ERR(fanotify_mark(g_fan, FAN_MARK_ADD, FAN_OPEN, AT_FDCWD, NULL), EBADF);
    OK(symlink("f", "l"));
    OK(fanotify_mark(g_fan, FAN_MARK_ADD, FAN_OPEN, AT_FDCWD, "l"));
    OK(fanotify_mark(g_fan, FAN_MARK_REMOVE, FAN_OPEN, AT_FDCWD, "f"));
    CHECK_ERR(write(g_fan, "x", 1), EINVAL);
    CHECK_EQ(OK(lseek(g_fan, 3, SEEK_SET)), 0);
}

GUEST_MAIN(C(one_file), C(children), C(ignoring), C(whole_mount), C(handles), C(renames), C(records_left_out),
           C(handle_leads_back), C(executing), C(permission), C(asker_is_killed), C(pidfds),
           C(init_errors), C(mark_errors))
