/* The VFS without a guest: a task of straw on tmpfs, and an overlay over a tmpfs. */
#include "fs/vfs_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static struct task *g_t;
static struct superblock *g_lower; /* of the overlay */
static struct user_ns g_user_ns = {.ns = {.ref = {.count = 1}}};

/* ---- a task of straw ---- */

static struct cred *cred_make(uint32_t uid, uint64_t caps)
{
    struct cred *c = calloc(1, sizeof(*c));
    ref_init(&c->ref);
    c->uid = c->euid = c->suid = c->fsuid = c->gid = c->egid = c->sgid = c->fsgid = uid;
    c->cap_effective = c->cap_permitted = caps;
    c->user_ns = &g_user_ns;
    return c;
}

static struct task *task_make(struct mount_ns *ns)
{
    struct task *t = calloc(1, sizeof(*t));
    struct process *p = calloc(1, sizeof(*p));
    struct path root = {ns->root, ns->root->root};
    p->pid = 1;
    p->rlimits = calloc(RLIM_NLIMITS, sizeof(*p->rlimits));
    for (int i = 0; i < RLIM_NLIMITS; i++)
        p->rlimits[i] = (struct rlimit64){RLIM64_INFINITY, RLIM64_INFINITY};
    t->process = p;
    t->cred = cred_make(0, ~0ull);
    t->mount_ns = ns;
    assert_int_equal(fs_struct_new(&root, &root, 022, &t->fs), 0);
    assert_int_equal(fdtable_new(&t->fds), 0);
    return t;
}

static int mount_root(struct superblock *sb)
{
    struct mount_ns *ns;
    g_kernel.root_user_ns = &g_user_ns;
    assert_int_equal(mount_ns_new(sb, 0, "test", &ns), 0);
    superblock_put(sb);
    g_t = task_make(ns);
    return 0;
}

static int setup_tmpfs(void **state)
{
    struct superblock *sb;
    assert_int_equal(tmpfs_mount(0, 0755, &sb), 0);
    return mount_root(sb);
}

static int teardown(void **state)
{
    fdtable_put(g_t->fds, NULL);
    fs_struct_put(g_t->fs);
    mount_ns_put(g_t->mount_ns);
    free(g_t->cred);
    free(g_t->process->rlimits);
    free(g_t->process);
    free(g_t);
    return 0;
}

/* ---- shorthands ---- */

static int fopen_(const char *name, uint64_t flags, struct file **f)
{
    struct open_how_k how = {.flags = flags, .mode = 0666};
    return vfs_open(g_t, AT_FDCWD, name, &how, f);
}

static int64_t fwrite_(struct file *f, const char *s, int64_t pos)
{
    struct uio u;
    uio_init_kernel(&u, (void *)s, strlen(s));
    return pos < 0 ? vfs_write(g_t, f, &u) : vfs_pwrite(g_t, f, &u, pos, 0);
}

static void put(const char *name, const char *text)
{
    struct file *f;
    assert_int_equal(fopen_(name, O_CREAT | O_WRONLY | O_TRUNC, &f), 0);
    assert_int_equal(fwrite_(f, text, -1), strlen(text));
    file_put(f);
}

static void assert_text(const char *name, const char *text)
{
    struct file *f;
    char buf[256] = {0};
    assert_int_equal(fopen_(name, O_RDONLY, &f), 0);
    assert_int_equal(vfs_read_kernel(f, buf, sizeof(buf) - 1, 0), strlen(text));
    assert_string_equal(buf, text);
    file_put(f);
}

static int stat_(const char *name, unsigned walk, struct kstat *st)
{
    struct path p;
    int r = vfs_walk(g_t, AT_FDCWD, name, walk, &p);
    if (r)
        return r;
    r = vfs_stat(&p, st);
    path_put(&p);
    return r;
}

static int exists(const char *name)
{
    struct kstat st;
    return stat_(name, 0, &st);
}

static int mkdir_(const char *name)
{
    return vfs_mkdir(g_t, AT_FDCWD, name, 0777);
}

static int rename_(const char *a, const char *b, unsigned flags)
{
    return vfs_rename(g_t, AT_FDCWD, a, AT_FDCWD, b, flags);
}

static int unlink_(const char *name)
{
    return vfs_unlink(g_t, AT_FDCWD, name, false);
}

static int rmdir_(const char *name)
{
    return vfs_unlink(g_t, AT_FDCWD, name, true);
}

struct names {
    struct dir_sink sink;
    char text[512];
    int64_t next;
    int max;
};

static int names_emit(struct dir_sink *s, const char *name, size_t len, uint64_t ino,
                      unsigned type, int64_t next)
{
    struct names *n = container_of(s, struct names, sink);
    if (!n->max--)
        return 1;
    n->next = next;
    if (name[0] == '.' && len <= 2)
        return 0;
    strncat(n->text, name, len);
    strcat(n->text, " ");
    return 0;
}

static void read_names(struct file *f, struct names *n, int64_t pos, int max)
{
    *n = (struct names){.sink = {names_emit}, .max = max};
    assert_int_equal(f->ops->readdir(f, pos, &n->sink), 0);
}

static void assert_names(const char *dir, const char *names)
{
    struct file *f;
    struct names n;
    assert_int_equal(fopen_(dir, O_RDONLY | O_DIRECTORY, &f), 0);
    read_names(f, &n, 0, 100);
    assert_string_equal(n.text, names);
    file_put(f);
}

/* ---- walking ---- */

static void walk_errors(void **state)
{
    char big[300], path[5000];
    put("/f", "x");
    assert_int_equal(exists("/none"), -ENOENT);
    assert_int_equal(exists(""), -ENOENT);
    assert_int_equal(exists("/f/"), -ENOTDIR);
    assert_int_equal(exists("/f/x"), -ENOTDIR);
    assert_int_equal(exists("/none/x"), -ENOENT);
    memset(big, 'a', sizeof(big));
    big[256] = 0;
    assert_int_equal(exists(big), -ENAMETOOLONG);
    big[255] = 0;
    assert_int_equal(exists(big), -ENOENT);
    memset(path, '/', sizeof(path));
    path[4999] = 0;
    assert_int_equal(exists(path), 0);
}

static void walk_dots(void **state)
{
    assert_int_equal(mkdir_("/a"), 0);
    assert_int_equal(mkdir_("/a/b/"), 0);
    put("/a/f", "x");
    assert_int_equal(exists("/a/b/../f"), 0);
    assert_int_equal(exists("/../../a/./b/.."), 0);
    assert_int_equal(exists("/a/f/.."), -ENOTDIR);
    assert_int_equal(mkdir_("/"), -EEXIST);
    assert_int_equal(mkdir_("/a/."), -EEXIST);
    assert_int_equal(rmdir_("/a/."), -EINVAL);
    assert_int_equal(rmdir_("/a/b/.."), -ENOTEMPTY);
    assert_int_equal(unlink_("/a/b"), -EISDIR);
    assert_int_equal(rmdir_("/a"), -ENOTEMPTY);
    assert_int_equal(rmdir_("/a/b/"), 0);
}

static void walk_symlinks(void **state)
{
    struct kstat st;
    assert_int_equal(mkdir_("/d"), 0);
    put("/d/f", "deep");
    assert_int_equal(vfs_symlink(g_t, "d/", AT_FDCWD, "/l"), 0);
    assert_int_equal(vfs_symlink(g_t, "l/f", AT_FDCWD, "/m"), 0);
    assert_int_equal(vfs_symlink(g_t, "loop", AT_FDCWD, "/loop"), 0);
    assert_int_equal(vfs_symlink(g_t, "f/", AT_FDCWD, "/d/slash"), 0);
    assert_text("/m", "deep");
    assert_int_equal(stat_("/m", 0, &st), 0);
    assert_true(S_ISLNK(st.mode));
    assert_int_equal(stat_("/l/", 0, &st), 0);
    assert_true(S_ISDIR(st.mode));
    assert_int_equal(exists("/loop"), 0);
    assert_int_equal(stat_("/loop", WALK_FOLLOW, &st), -ELOOP);
    assert_int_equal(stat_("/d/slash", WALK_FOLLOW, &st), -ENOTDIR);
    struct file *f;
    assert_int_equal(fopen_("/m", O_RDONLY | O_NOFOLLOW, &f), -ELOOP);
    assert_int_equal(fopen_("/m", O_CREAT | O_EXCL | O_WRONLY, &f), -EEXIST);
    assert_int_equal(vfs_symlink(g_t, "made", AT_FDCWD, "/dangling"), 0);
    put("/dangling", "through");
    assert_text("/made", "through");
}

static void walk_chain_of_40(void **state)
{
    char a[16], b[16];
    struct kstat st;
    put("/s0", "end");
    for (int i = 1; i <= 41; i++) {
        snprintf(a, sizeof(a), "s%d", i - 1);
        snprintf(b, sizeof(b), "/s%d", i);
        assert_int_equal(vfs_symlink(g_t, a, AT_FDCWD, b), 0);
    }
    assert_int_equal(stat_("/s40", WALK_FOLLOW, &st), 0);
    assert_int_equal(stat_("/s41", WALK_FOLLOW, &st), -ELOOP);
}

static int open2(int dirfd, const char *name, uint64_t resolve)
{
    struct open_how_k how = {.flags = O_RDONLY, .resolve = resolve};
    struct file *f;
    int r = vfs_open(g_t, dirfd, name, &how, &f);
    if (!r)
        file_put(f);
    return r;
}

static void walk_resolve(void **state)
{
    struct file *d;
    assert_int_equal(mkdir_("/j"), 0);
    assert_int_equal(mkdir_("/j/k"), 0);
    put("/j/f", "x");
    put("/out", "x");
    assert_int_equal(vfs_symlink(g_t, "/out", AT_FDCWD, "/j/abs"), 0);
    assert_int_equal(vfs_symlink(g_t, "../out", AT_FDCWD, "/j/up"), 0);
    assert_int_equal(vfs_symlink(g_t, "f", AT_FDCWD, "/j/in"), 0);
    assert_int_equal(fopen_("/j", O_RDONLY, &d), 0);
    int fd = fdtable_install(g_t, d, 0, false);
    assert_true(fd >= 0);
    assert_int_equal(open2(fd, "k/../f", RESOLVE_BENEATH), 0);
    assert_int_equal(open2(fd, "in", RESOLVE_BENEATH), 0);
    assert_int_equal(open2(fd, "in", RESOLVE_NO_SYMLINKS), -ELOOP);
    assert_int_equal(open2(fd, "up", RESOLVE_BENEATH), -EXDEV);
    assert_int_equal(open2(fd, "abs", RESOLVE_BENEATH), -EXDEV);
    assert_int_equal(open2(fd, "/out", RESOLVE_BENEATH), -EXDEV);
    assert_int_equal(open2(fd, "/f", RESOLVE_IN_ROOT), 0);
    assert_int_equal(open2(fd, "up", RESOLVE_IN_ROOT), -ENOENT);
    assert_int_equal(open2(fd, "../../f", RESOLVE_IN_ROOT), 0);
}

static void permissions(void **state)
{
    struct file *f;
    assert_int_equal(mkdir_("/p"), 0);
    put("/p/mine", "x");
    struct cred *root = g_t->cred, *user = cred_make(1000, 0);
    g_t->cred = user;
    assert_int_equal(fopen_("/p/mine", O_RDWR, &f), -EACCES);
    assert_int_equal(fopen_("/p/new", O_CREAT | O_RDWR, &f), -EACCES);
    assert_text("/p/mine", "x");
    g_t->cred = root;
    struct path p;
    struct iattr a = {.valid = IATTR_MODE, .mode = 01777};
    assert_int_equal(vfs_walk(g_t, AT_FDCWD, "/p", 0, &p), 0);
    assert_int_equal(vfs_setattr(g_t, &p, &a), 0);
    g_t->cred = user;
    put("/p/new", "y");
    assert_int_equal(unlink_("/p/mine"), -EPERM); /* sticky */
    assert_int_equal(rename_("/p/mine", "/p/other", 0), -EPERM);
    assert_int_equal(unlink_("/p/new"), 0);
    a = (struct iattr){.valid = IATTR_MODE, .mode = 0700};
    assert_int_equal(vfs_setattr(g_t, &p, &a), -EPERM);
    g_t->cred = root;
    path_put(&p);
    free(user);
}

/* ---- names ---- */

static void rename_rules(void **state)
{
    assert_int_equal(mkdir_("/a"), 0);
    assert_int_equal(mkdir_("/a/b"), 0);
    assert_int_equal(mkdir_("/c"), 0);
    put("/a/b/f", "f");
    put("/g", "g");
    assert_int_equal(rename_("/a", "/a/b/x", 0), -EINVAL);
    assert_int_equal(rename_("/a/b", "/a", 0), -ENOTEMPTY);
    assert_int_equal(rename_("/g", "/c", 0), -EISDIR);
    assert_int_equal(rename_("/c", "/g", 0), -ENOTDIR);
    assert_int_equal(rename_("/g", "/c/", 0), -ENOTDIR);
    assert_int_equal(rename_("/g", "/a/b/f", RENAME_NOREPLACE), -EEXIST);
    assert_int_equal(rename_("/a/b", "/c", 0), 0);
    assert_text("/c/f", "f");
    assert_int_equal(exists("/a/b"), -ENOENT);
    assert_int_equal(rename_("/g", "/g", RENAME_EXCHANGE), 0);
    assert_int_equal(rename_("/g", "/c", RENAME_EXCHANGE), 0);
    assert_text("/c", "g");
    assert_text("/g/f", "f");
    assert_int_equal(rename_("/c", "/g/f", 0), 0);
    assert_text("/g/f", "g");
    assert_names("/", "a g ");
}

static void removed_directory(void **state)
{
    struct path p;
    assert_int_equal(mkdir_("/d"), 0);
    assert_int_equal(vfs_walk(g_t, AT_FDCWD, "/d", WALK_DIRECTORY, &p), 0);
    fs_struct_set_cwd(g_t->fs, &p);
    assert_int_equal(rmdir_("/d"), 0);
    assert_int_equal(mkdir_("x"), -ENOENT);
    assert_int_equal(exists("."), 0);
    assert_int_equal(exists(".."), 0);
}

static void hard_links(void **state)
{
    struct kstat a, b;
    put("/a", "1");
    assert_int_equal(vfs_link(g_t, AT_FDCWD, "/a", AT_FDCWD, "/b", 0), 0);
    assert_int_equal(vfs_link(g_t, AT_FDCWD, "/a", AT_FDCWD, "/b", 0), -EEXIST);
    assert_int_equal(stat_("/a", 0, &a), 0);
    assert_int_equal(stat_("/b", 0, &b), 0);
    assert_int_equal(a.ino, b.ino);
    assert_int_equal(a.nlink, 2);
    assert_int_equal(rename_("/a", "/b", 0), 0); /* the same file: nothing happens */
    assert_int_equal(exists("/a"), 0);
    assert_int_equal(unlink_("/a"), 0);
    assert_text("/b", "1");
}

static void directory_while_it_shrinks(void **state)
{
    char name[32];
    struct file *f;
    struct names n;
    assert_int_equal(mkdir_("/d"), 0);
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof(name), "/d/%c", 'a' + i);
        put(name, "");
    }
    assert_int_equal(fopen_("/d", O_RDONLY, &f), 0);
    read_names(f, &n, 0, 7);
    assert_string_equal(n.text, "a b c d e ");
    int64_t next = n.next;
    for (int i = 0; i < 5; i++) {
        snprintf(name, sizeof(name), "/d/%c", 'a' + i);
        assert_int_equal(unlink_(name), 0);
    }
    read_names(f, &n, next, 3);
    assert_string_equal(n.text, "f g h ");
    file_put(f);
}

/* ---- tmpfs data ---- */

static void sparse_file(void **state)
{
    struct file *f;
    struct kstat st;
    char buf[8192], zero[8192] = {0};
    assert_int_equal(fopen_("/s", O_CREAT | O_RDWR, &f), 0);
    assert_int_equal(fwrite_(f, "end", 1 << 20), 3);
    assert_int_equal(inode_getattr(f->inode, &st), 0);
    assert_int_equal(st.size, (1 << 20) + 3);
    assert_int_equal(st.blocks, 8);
    assert_int_equal(vfs_read_kernel(f, buf, sizeof(buf), 4000), sizeof(buf));
    assert_memory_equal(buf, zero, sizeof(buf));
    assert_int_equal(vfs_lseek(f, 0, SEEK_DATA), 1 << 20);
    assert_int_equal(vfs_lseek(f, 1 << 20, SEEK_HOLE), (1 << 20) + 3);
    assert_int_equal(vfs_lseek(f, (1 << 20) + 3, SEEK_DATA), -ENXIO);
    assert_int_equal(fwrite_(f, "start", 0), 5);
    lock_acquire(&f->inode->lock);
    assert_int_equal(f->ops->fallocate(f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1, 3), 0);
    lock_release(&f->inode->lock);
    assert_int_equal(vfs_read_kernel(f, buf, 6, 0), 6);
    assert_memory_equal(buf, "s\0\0\0t", 6);
    assert_int_equal(vfs_truncate(g_t, &f->path, f->inode, f, 2), 0);
    assert_int_equal(vfs_truncate(g_t, &f->path, f->inode, f, 6), 0);
    assert_int_equal(vfs_read_kernel(f, buf, 10, 0), 6);
    assert_memory_equal(buf, "s\0\0\0\0", 6);
    file_put(f);
}

static void append_and_limits(void **state)
{
    struct file *a, *b;
    assert_int_equal(fopen_("/log", O_CREAT | O_WRONLY | O_APPEND, &a), 0);
    assert_int_equal(fopen_("/log", O_WRONLY | O_APPEND, &b), 0);
    assert_int_equal(fwrite_(a, "one ", -1), 4);
    assert_int_equal(fwrite_(b, "two ", -1), 4);
    assert_int_equal(fwrite_(a, "three", 0), 5); /* pwrite appends, too */
    assert_text("/log", "one two three");
    g_t->process->rlimits[RLIMIT_FSIZE].rlim_cur = 15;
    assert_int_equal(fwrite_(a, "1234", -1), 2);
    g_t->process->rlimits[RLIMIT_FSIZE].rlim_cur = RLIM64_INFINITY;
    file_put(a);
    file_put(b);
}

static void small_filesystem_fills(void **state)
{
    struct superblock *sb;
    struct file *f;
    static char block[4096];
    assert_int_equal(mkdir_("/small"), 0);
    struct path p;
    assert_int_equal(vfs_walk(g_t, AT_FDCWD, "/small", 0, &p), 0);
    assert_int_equal(tmpfs_mount_options("size=16k,nr_inodes=3", &sb), 0);
    assert_int_equal(mount_attach(g_t->mount_ns, &p, sb, NULL, 0, "small"), 0);
    superblock_put(sb);
    path_put(&p);
    assert_int_equal(fopen_("/small/f", O_CREAT | O_WRONLY, &f), 0);
    memset(block, 'x', sizeof(block) - 1);
    for (int i = 0; i < 4; i++)
        assert_int_equal(fwrite_(f, block, i * 4096), 4095);
    assert_int_equal(fwrite_(f, block, 4 * 4096), -ENOSPC);
    put("/small/g", "");
    struct file *none;
    assert_int_equal(fopen_("/small/h", O_CREAT | O_WRONLY, &none), -ENOSPC);
    assert_int_equal(rename_("/small/g", "/g", 0), -EXDEV);
    assert_int_equal(rmdir_("/small"), -EBUSY);
    file_put(f);
    assert_int_equal(mount_umount(g_t, "/small", 0), 0);
    assert_int_equal(rmdir_("/small"), 0);
}

static void seals(void **state)
{
    struct inode *i;
    struct file *f;
    assert_int_equal(tmpfs_new_file(NULL, 0600, 0, 0, &i), 0);
    assert_int_equal(tmpfs_seals_get(i), F_SEAL_SEAL);
    tmpfs_seal_allow(i);
    assert_int_equal(file_new_inode(i, O_RDWR, "memfd:x", &f), 0);
    assert_int_equal(fwrite_(f, "abc", -1), 3);
    assert_int_equal(tmpfs_seals_add(i, F_SEAL_SHRINK | F_SEAL_WRITE), 0);
    assert_int_equal(fwrite_(f, "d", -1), -EPERM);
    assert_int_equal(vfs_truncate(g_t, &f->path, i, f, 1), -EPERM);
    assert_int_equal(vfs_truncate(g_t, &f->path, i, f, 10), 0);
    assert_int_equal(tmpfs_seals_add(i, F_SEAL_SEAL), 0);
    assert_int_equal(tmpfs_seals_add(i, F_SEAL_GROW), -EPERM);
    file_put(f);
}

/* ---- locks ---- */

static int lock_(struct file *f, const void *owner, int type, int64_t start, int64_t end)
{
    struct flock_k l = {.type = type, .start = start, .end = end, .owner = owner, .pid = 1};
    return locks_posix_set(g_t, f, &l, /*wait=*/false);
}

static void record_locks(void **state)
{
    struct file *f;
    int a, b;
    put("/l", "x");
    assert_int_equal(fopen_("/l", O_RDWR, &f), 0);
    assert_int_equal(lock_(f, &a, F_WRLCK, 0, 99), 0);
    assert_int_equal(lock_(f, &b, F_RDLCK, 50, 60), -EAGAIN);
    assert_int_equal(lock_(f, &a, F_UNLCK, 50, 59), 0); /* falls in two */
    assert_int_equal(lock_(f, &b, F_WRLCK, 50, 59), 0);
    assert_int_equal(lock_(f, &b, F_WRLCK, 60, 60), -EAGAIN);
    assert_int_equal(lock_(f, &a, F_RDLCK, 60, 99), 0); /* downgrade */
    assert_int_equal(lock_(f, &b, F_RDLCK, 60, 70), 0);
    struct flock_k q = {.type = F_WRLCK, .start = 0, .end = INT64_MAX, .owner = &b};
    assert_int_equal(locks_posix_get(f, &q), 0);
    assert_int_equal(q.type, F_WRLCK);
    assert_int_equal(q.start, 0);
    assert_int_equal(q.end, 49);
    locks_release_owner(f, &a);
    assert_int_equal(lock_(f, &b, F_WRLCK, 0, INT64_MAX), 0);
    locks_release_owner(f, &b);
    file_put(f);
}

static void whole_locks(void **state)
{
    struct file *f, *g;
    put("/w", "x");
    assert_int_equal(fopen_("/w", O_RDONLY, &f), 0);
    assert_int_equal(fopen_("/w", O_RDONLY, &g), 0);
    assert_int_equal(locks_flock(g_t, f, LOCK_SH), 0);
    assert_int_equal(locks_flock(g_t, g, LOCK_SH | LOCK_NB), 0);
    assert_int_equal(locks_flock(g_t, f, LOCK_EX | LOCK_NB), -EAGAIN);
    file_put(g);
    assert_int_equal(locks_flock(g_t, f, LOCK_EX | LOCK_NB), 0);
    file_put(f);
}

/* ---- descriptors ---- */

static void descriptors_grow(void **state)
{
    struct file *f;
    put("/f", "x");
    assert_int_equal(fopen_("/f", O_RDONLY, &f), 0);
    for (int i = 0; i < 1000; i++) {
        file_get(f);
        assert_int_equal(fdtable_install(g_t, f, 0, i & 1), i);
    }
    g_t->process->rlimits[RLIMIT_NOFILE].rlim_cur = 1000;
    assert_int_equal(fdtable_install(g_t, f, 0, false), -EMFILE);
    assert_int_equal(fdtable_close(g_t, 500), 0);
    assert_int_equal(fdtable_close(g_t, 500), -EBADF);
    file_get(f);
    assert_int_equal(fdtable_install(g_t, f, 0, false), 500);
    fdtable_close_on_exec(g_t->fds, g_t);
    assert_null(fdtable_get(g_t->fds, 501));
    assert_int_equal(fdtable_next(g_t->fds, 501), 502);
    assert_int_equal(fdtable_close_range(g_t, 2, 998, false), 0);
    assert_int_equal(fdtable_next(g_t->fds, 1), -1);
    file_put(f);
}

/* ---- the dentry cache ---- */

static void cache_is_bounded(void **state)
{
    char name[32];
    struct kstat st;
    put("/kept", "k");
    for (int i = 0; i < 40000; i++) {
        snprintf(name, sizeof(name), "/none%d", i);
        assert_int_equal(stat_(name, 0, &st), -ENOENT);
    }
    assert_text("/kept", "k");
    put("/none77", "now");
    assert_text("/none77", "now");
}

/* ---- overlay ---- */

static int setup_overlay(void **state)
{
    struct superblock *sb;
    assert_int_equal(tmpfs_mount(0, 0755, &g_lower), 0);
    superblock_get(g_lower);
    mount_root(g_lower);
    assert_int_equal(mkdir_("/etc"), 0);
    assert_int_equal(mkdir_("/etc/sub"), 0);
    put("/etc/passwd", "lower");
    put("/etc/sub/deep", "deep");
    struct task *t = g_t;
    assert_int_equal(overlay_mount(g_lower, &sb), 0);
    mount_root(sb);
    *state = t;
    return 0;
}

static int teardown_overlay(void **state)
{
    teardown(NULL);
    g_t = *state;
    superblock_put(g_lower);
    return teardown(NULL);
}

/* Run fn as the lower tree's own task: what does it look like below? */
static void assert_lower(struct task *lower, const char *name, const char *text)
{
    struct task *t = g_t;
    g_t = lower;
    assert_text(name, text);
    g_t = t;
}

static void overlay_copies_up(void **state)
{
    struct file *reader;
    struct kstat before, after;
    char buf[32] = {0};
    assert_int_equal(stat_("/etc/passwd", 0, &before), 0);
    assert_int_equal(fopen_("/etc/passwd", O_RDONLY, &reader), 0);
    put("/etc/passwd", "upper text");
    assert_text("/etc/passwd", "upper text");
    assert_int_equal(vfs_read_kernel(reader, buf, sizeof(buf), 0), 10);
    assert_string_equal(buf, "upper text"); /* opened before the first writer */
    assert_int_equal(stat_("/etc/passwd", 0, &after), 0);
    assert_int_equal(before.ino, after.ino);
    assert_int_equal(before.dev, after.dev);
    assert_int_equal(after.size, 10);
    file_put(reader);
    assert_lower(*state, "/etc/passwd", "lower");
}

static void overlay_hides(void **state)
{
    assert_int_equal(unlink_("/etc/passwd"), 0);
    assert_int_equal(exists("/etc/passwd"), -ENOENT);
    assert_names("/etc", "sub ");
    put("/etc/passwd", "again");
    assert_names("/etc", "passwd sub ");
    assert_int_equal(rmdir_("/etc/sub"), -ENOTEMPTY);
    assert_int_equal(unlink_("/etc/sub/deep"), 0);
    assert_int_equal(rmdir_("/etc/sub"), 0);
    assert_int_equal(mkdir_("/etc/sub"), 0);
    assert_names("/etc/sub", ""); /* the new one does not show what was below the old */
    assert_lower(*state, "/etc/sub/deep", "deep");
}

static void overlay_renames_directories(void **state)
{
    assert_int_equal(rename_("/etc", "/conf", 0), 0);
    assert_int_equal(exists("/etc"), -ENOENT);
    assert_text("/conf/sub/deep", "deep");
    put("/conf/sub/new", "n");
    assert_names("/conf/sub", "new deep ");
    assert_int_equal(mkdir_("/etc"), 0);
    assert_names("/etc", "");
    assert_int_equal(rename_("/conf/sub", "/etc/sub", 0), 0);
    assert_text("/etc/sub/deep", "deep");
    assert_int_equal(rename_("/conf", "/etc/passwd", RENAME_EXCHANGE), -ENOENT);
    assert_lower(*state, "/etc/sub/deep", "deep");
}

static void overlay_links_and_attributes(void **state)
{
    struct kstat a, b;
    struct path p;
    struct iattr attr = {.valid = IATTR_MODE | IATTR_UID, .mode = 0600, .uid = 7};
    assert_int_equal(vfs_link(g_t, AT_FDCWD, "/etc/passwd", AT_FDCWD, "/link", 0), 0);
    put("/link", "both");
    assert_text("/etc/passwd", "both");
    assert_int_equal(vfs_walk(g_t, AT_FDCWD, "/link", 0, &p), 0);
    assert_int_equal(vfs_setattr(g_t, &p, &attr), 0);
    path_put(&p);
    assert_int_equal(stat_("/etc/passwd", 0, &a), 0);
    assert_int_equal(stat_("/link", 0, &b), 0);
    assert_int_equal(a.ino, b.ino);
    assert_int_equal(a.uid, 7);
    assert_int_equal(a.mode & 07777, 0600);
    assert_int_equal(a.nlink, 2);
    assert_lower(*state, "/etc/passwd", "lower");
}

#define ON_TMPFS(fn)   cmocka_unit_test_setup_teardown(fn, setup_tmpfs, teardown)
#define ON_OVERLAY(fn) cmocka_unit_test_setup_teardown(fn, setup_overlay, teardown_overlay)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_TMPFS(walk_errors),
        ON_TMPFS(walk_dots),
        ON_TMPFS(walk_symlinks),
        ON_TMPFS(walk_chain_of_40),
        ON_TMPFS(walk_resolve),
        ON_TMPFS(permissions),
        ON_TMPFS(rename_rules),
        ON_TMPFS(removed_directory),
        ON_TMPFS(hard_links),
        ON_TMPFS(directory_while_it_shrinks),
        ON_TMPFS(sparse_file),
        ON_TMPFS(append_and_limits),
        ON_TMPFS(small_filesystem_fills),
        ON_TMPFS(seals),
        ON_TMPFS(record_locks),
        ON_TMPFS(whole_locks),
        ON_TMPFS(descriptors_grow),
        ON_TMPFS(cache_is_bounded),
        ON_OVERLAY(overlay_copies_up),
        ON_OVERLAY(overlay_hides),
        ON_OVERLAY(overlay_renames_directories),
        ON_OVERLAY(overlay_links_and_attributes),
    };
    if (memfile_init() || window_init())
        return 1;
    vfs_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
