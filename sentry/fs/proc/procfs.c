/* The filesystem around the tables: lookup, listing, owners, and files that are snapshots. */
#include "fs/proc/proc_priv.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#define PROC_SUPER_MAGIC 0x9fa0
#define PROC_WRITE_MAX   RF_PAGE_SIZE
#define NUMBERS_POS      1024 /* directory positions: first the table, then the numbers */

static const struct inode_ops g_dir_ops, g_file_ops_inode, g_link_ops, g_magic_ops;
static const struct file_ops g_dir_file_ops, g_text_ops;

static struct proc_inode *pi_of(const struct inode *i)
{
    return i->priv;
}

/* ---- from an inode to what it is about ---- */

static struct process *live_process(const struct proc_inode *pi)
{
    struct process *p = process_by_id(pi->pid);
    if (p && p->start_ns == pi->start_ns)
        return p;
    if (p)
        process_put(p);
    return NULL;
}

static struct task *leader_get(struct process *p)
{
    LOCK_GUARD(&g_kernel.tasks_lock);
    if (p->leader)
        task_get(p->leader);
    return p->leader;
}

static struct task *thread_get(struct process *p, int tid)
{
    struct task *t = task_by_id(tid);
    if (t && t->process == p)
        return t;
    if (t)
        task_put(t);
    return NULL;
}

int proc_ctx_begin(const struct inode *i, struct proc_ctx *c)
{
    const struct proc_inode *pi = i->priv;
    *c = (struct proc_ctx){
        .caller = task_current(), .ns = i->sb->priv, .fd = pi->fd, .e = pi->e};
    if (!pi->pid)
        return 0;
    c->p = live_process(pi);
    if (!c->p)
        return -ESRCH;
    c->one_thread = pi->tid != 0;
    c->t = pi->tid ? thread_get(c->p, pi->tid) : leader_get(c->p);
    if (c->t || !pi->tid)
        return 0;
    process_put(c->p);
    return -ESRCH;
}

void proc_ctx_end(struct proc_ctx *c)
{
    if (c->t)
        task_put(c->t);
    if (c->p)
        process_put(c->p);
}

int proc_may_look(const struct proc_ctx *c)
{
    if (!c->caller || !c->p || c->caller->process == c->p)
        return 0;
    return c->t ? cred_may_ptrace(c->caller, c->t) : -EACCES;
}

int proc_mm_get(const struct proc_ctx *c, struct mm **out)
{
    int r = proc_may_look(c);
    if (r)
        return r == -EPERM ? -EACCES : r;
    *out = c->t ? task_mm_get(c->t) : NULL;
    return *out ? 0 : -ESRCH;
}

/* ---- inodes ---- */

static uint64_t ino_of(const struct proc_inode *pi)
{
    uint64_t words[] = {(uintptr_t)pi->e, (unsigned)pi->pid, (unsigned)pi->tid, (unsigned)pi->fd,
                        pi->start_ns};
    uint64_t h = 0xcbf29ce484222325ull;
    for (size_t i = 0; i < ARRAY_COUNT(words); i++)
        h = (h ^ words[i]) * 0x9e3779b97f4a7c15ull, h ^= h >> 29;
    return (h & 0xffffffffffull) | 1ull << 40;
}

/* Who may not be dumped belongs to root, but for directories that all may list. */
static void owner_of(struct task *t, struct process *p, uint32_t mode, uint32_t *uid, uint32_t *gid)
{
    bool open = mode == (S_IFDIR | 0555) || __atomic_load_n(&p->dumpable, __ATOMIC_RELAXED);
    struct cred *c = t && open ? task_cred_get(t) : NULL;
    *uid = c ? c->euid : 0;
    *gid = c ? c->egid : 0;
    if (c)
        cred_put(c);
}

/* Files of a process belong to whom it runs as; that may change. False: it is gone. */
static bool refresh_owner(struct inode *i)
{
    struct proc_ctx c;
    uint32_t uid = 0, gid = 0;
    if (!pi_of(i)->pid)
        return true;
    if (proc_ctx_begin(i, &c))
        return false;
    owner_of(c.t, c.p, pi_of(i)->e->mode, &uid, &gid);
    proc_ctx_end(&c);
    lock_acquire(&i->lock);
    i->uid = uid;
    i->gid = gid;
    lock_release(&i->lock);
    return true;
}

static void set_ops(struct inode *i, const struct proc_entry *e)
{
    switch (e->mode & S_IFMT) {
    case S_IFDIR:
        i->ops = &g_dir_ops;
        i->file_ops = &g_dir_file_ops;
        i->nlink = 2;
        break;
    case S_IFLNK:
        i->ops = e->follow ? &g_magic_ops : &g_link_ops;
        break;
    default:
        i->ops = &g_file_ops_inode;
        i->file_ops = e->file_ops ? e->file_ops : &g_text_ops;
    }
}

static int proc_inode_new(struct superblock *sb, const struct proc_inode *like, struct inode **out)
{
    struct proc_inode *pi = malloc(sizeof(*pi));
    struct inode *i = pi ? inode_new(sb, like->e->mode) : NULL;
    if (!i) {
        free(pi);
        return -ENOMEM;
    }
    *pi = *like;
    i->priv = pi;
    i->ino = ino_of(pi);
    set_ops(i, pi->e);
    refresh_owner(i);
    *out = i;
    return 0;
}

static void proc_inode_free(struct inode *i)
{
    free(i->priv);
}

/* ---- lookup ---- */

static const struct proc_entry *table_find(const struct proc_entry *table, const char *name,
                                           size_t len)
{
    for (const struct proc_entry *e = table; e && e->name; e++)
        if (strlen(e->name) == len && !memcmp(e->name, name, len))
            return e;
    return NULL;
}

static int parse_number(const char *name, size_t len)
{
    int n = 0;
    if (!len || len > 9 || (name[0] == '0' && len > 1))
        return -1;
    for (size_t i = 0; i < len; i++) {
        if (name[i] < '0' || name[i] > '9')
            return -1;
        n = n * 10 + name[i] - '0';
    }
    return n;
}

/* The number names a process, a thread, or a descriptor of what the directory is about. */
static int number_apply(const struct proc_ctx *c, const struct proc_numbers *nums, int number,
                        struct proc_inode *pi)
{
    if (nums->of == PROC_OF_FD) {
        pi->fd = number;
    } else if (nums->of == PROC_OF_TID) {
        pi->tid = pid_id_from(c->ns, number);
    } else {
        int id = pid_id_from(c->ns, number);
        struct task *t = task_by_id(id); /* threads are found here too, if not listed */
        struct process *p = t ? t->process : process_by_id(id);
        if (!p)
            return -ENOENT;
        pi->pid = p->pid;
        pi->start_ns = p->start_ns;
        if (t)
            task_put(t);
        else
            process_put(p);
    }
    return 0;
}

static bool hidden_here(const struct proc_inode *dir, const struct proc_entry *e)
{
    return e->flags & (dir->tid ? PROC_LEADER : PROC_THREAD);
}

static int proc_lookup(struct inode *dir, const char *name, size_t len, struct inode **out)
{
    struct proc_inode pi = *pi_of(dir);
    const struct proc_numbers *nums = pi.e->numbers;
    struct proc_ctx c;
    const struct proc_entry *e = table_find(pi.e->children, name, len);
    if (e && !hidden_here(&pi, e)) {
        pi.e = e;
        return proc_inode_new(dir->sb, &pi, out);
    }
    int number = nums ? parse_number(name, len) : -1;
    if (number < 0 || proc_ctx_begin(dir, &c))
        return -ENOENT;
    int r = nums->has(&c, number) ? number_apply(&c, nums, number, &pi) : -ENOENT;
    proc_ctx_end(&c);
    pi.e = nums->entry;
    return r ? r : proc_inode_new(dir->sb, &pi, out);
}

static bool proc_revalidate(struct dentry *d)
{
    struct proc_ctx c;
    struct inode *i = d->inode;
    if (!i || !pi_of(i)->pid)
        return i != NULL;
    if (!refresh_owner(i) || proc_ctx_begin(i, &c))
        return false;
    struct inode *dir = d->parent->inode;
    const struct proc_numbers *nums = dir ? pi_of(dir)->e->numbers : NULL;
    bool ok = !nums || nums->of != PROC_OF_FD || pi_of(i)->fd < 0 || nums->has(&c, c.fd);
    proc_ctx_end(&c);
    return ok;
}

/* ---- listing ---- */

static int list_table(const struct proc_inode *dir, struct superblock *sb, int64_t pos,
                      struct dir_sink *s)
{
    const struct proc_entry *table = dir->e->children;
    for (int64_t i = pos - 2; table && table[i].name; i++) {
        struct proc_inode pi = *dir;
        pi.e = &table[i];
        if (pi.e->flags & PROC_HIDDEN || hidden_here(dir, pi.e))
            continue;
        if (s->emit(s, pi.e->name, strlen(pi.e->name), ino_of(&pi), IFTODT(pi.e->mode), i + 3))
            return 1;
    }
    return 0;
}

static int list_numbers(const struct proc_ctx *c, const struct proc_inode *dir, int64_t pos,
                        struct dir_sink *s)
{
    const struct proc_numbers *nums = dir->e->numbers;
    char name[16];
    for (int n = pos - NUMBERS_POS - 1; (n = nums->next(c, n)) >= 0;) {
        struct proc_inode pi = *dir;
        pi.e = nums->entry;
        int len = snprintf(name, sizeof(name), "%d", n);
        if (number_apply(c, nums, n, &pi))
            continue;
        if (s->emit(s, name, len, ino_of(&pi), IFTODT(pi.e->mode), (int64_t)n + NUMBERS_POS + 1))
            return 1;
    }
    return 0;
}

static int proc_readdir(struct file *f, int64_t pos, struct dir_sink *s)
{
    struct proc_inode *dir = pi_of(f->inode);
    struct dentry *parent = dentry_parent_get(f->path.dentry);
    uint64_t up = parent && parent->inode ? parent->inode->ino : f->inode->ino;
    struct proc_ctx c;
    if (parent)
        dentry_put(parent);
    if (pos < 1 && s->emit(s, ".", 1, f->inode->ino, DT_DIR, 1))
        return 0;
    if (pos < 2 && s->emit(s, "..", 2, up, DT_DIR, 2))
        return 0;
    int r = proc_ctx_begin(f->inode, &c);
    if (r)
        return r == -ESRCH ? -ENOENT : r;
    if (dir->e->flags & PROC_PTRACE)
        r = proc_may_look(&c);
    if (!r && (pos >= NUMBERS_POS || !list_table(dir, f->inode->sb, MAX(pos, (int64_t)2), s)) &&
        dir->e->numbers)
        list_numbers(&c, dir, MAX(pos, (int64_t)NUMBERS_POS), s);
    proc_ctx_end(&c);
    return r;
}

/* ---- links ---- */

static int proc_readlink(struct inode *i, char *buf, size_t size)
{
    struct proc_ctx c;
    int r = proc_ctx_begin(i, &c);
    if (r)
        return -ENOENT;
    if (c.e->flags & PROC_PTRACE)
        r = proc_may_look(&c);
    if (!r)
        r = c.e->readlink(&c, buf, size);
    proc_ctx_end(&c);
    return r;
}

static int proc_follow(struct inode *i, struct task *t, struct path *out)
{
    struct proc_ctx c;
    int r = proc_ctx_begin(i, &c);
    if (r)
        return -ENOENT;
    if (c.e->flags & PROC_PTRACE)
        r = proc_may_look(&c);
    if (!r)
        r = c.e->follow(&c, out);
    proc_ctx_end(&c);
    return r;
}

/* ---- files ---- */

struct proc_file {
    struct lock lock; /* LR_FILE_POS, inside the file's own */
    struct pbuf text; /* lock: lock; what reads are served from */
    bool made;        /* lock: lock */
};

static int proc_open(struct inode *i, struct file *f)
{
    struct proc_ctx c;
    int r = proc_ctx_begin(i, &c);
    if (r)
        return r;
    if (c.e->flags & PROC_PTRACE)
        r = proc_may_look(&c);
    proc_ctx_end(&c);
    if (r)
        return r == -EPERM ? -EACCES : r;
    f->ops = i->file_ops;
    if (f->ops != &g_text_ops)
        return 0;
    struct proc_file *pf = calloc(1, sizeof(*pf));
    if (!pf)
        return -ENOMEM;
    lock_init(&pf->lock, LR_FILE_POS);
    f->priv = pf;
    return 0;
}

static int text_make(struct file *f, struct proc_file *pf)
{
    struct proc_ctx c;
    int r = proc_ctx_begin(f->inode, &c);
    if (r)
        return r;
    pf->text.size = 0;
    r = c.e->show ? c.e->show(&pf->text, &c) : 0;
    proc_ctx_end(&c);
    if (!r && pf->text.failed)
        r = -ENOMEM;
    pf->made = r == 0;
    return r;
}

static int64_t text_read(struct file *f, struct uio *u, int64_t pos)
{
    struct proc_file *pf = f->priv;
    int64_t n = 0;
    lock_acquire_nested(&pf->lock);
    if (pos == 0 || !pf->made)
        n = text_make(f, pf);
    if (!n && (uint64_t)pos < pf->text.size) {
        size_t want = MIN(u->remaining, pf->text.size - (uint64_t)pos);
        n = uio_to_user(u, pf->text.data + pos, want);
        if (!n && want)
            n = -EFAULT;
    }
    lock_release(&pf->lock);
    return n;
}

static int64_t text_write(struct file *f, struct uio *u, int64_t pos)
{
    struct proc_ctx c;
    size_t size = MIN(u->remaining, (uint64_t)PROC_WRITE_MAX);
    char *text = malloc(size + 1);
    if (!text)
        return -ENOMEM;
    size_t n = uio_from_user(u, text, size);
    int64_t r = n == size ? proc_ctx_begin(f->inode, &c) : -EFAULT;
    if (!r) {
        size_t len = n && text[n - 1] == '\n' ? n - 1 : n;
        text[len] = 0;
        r = c.e->write ? c.e->write(&c, text, len) : -EINVAL;
        proc_ctx_end(&c);
    }
    free(text);
    return r < 0 ? r : (int64_t)n;
}

static void text_release(struct file *f)
{
    struct proc_file *pf = f->priv;
    lock_destroy(&pf->lock);
    free(pf->text.data);
    free(pf);
}

static int64_t text_lseek(struct file *f, int64_t off, int whence)
{
    if (whence != SEEK_SET && whence != SEEK_CUR)
        return -EINVAL;
    int64_t base = whence == SEEK_CUR ? f->pos : 0, to;
    if (__builtin_add_overflow(base, off, &to) || to < 0)
        return -EINVAL;
    f->pos = to;
    return to;
}

static const struct file_ops g_text_ops = {
    .read = text_read, .write = text_write, .lseek = text_lseek, .release = text_release};
static const struct file_ops g_dir_file_ops = {.readdir = proc_readdir};

/* The parts of mode and nlink that are not fixed: threads of a task directory, access of a
 * descriptor's link. */
static void live_attributes(struct inode *i)
{
    struct proc_ctx c;
    const struct proc_inode *pi = pi_of(i);
    const struct proc_numbers *nums = pi->e->numbers;
    bool threads = nums && nums->of == PROC_OF_TID;
    if ((!threads && !(pi->fd >= 0 && S_ISLNK(i->mode))) || proc_ctx_begin(i, &c))
        return;
    uint32_t bits = threads ? i->mode : proc_fd_mode(&c);
    lock_acquire(&i->lock);
    i->mode = (i->mode & S_IFMT) | (bits & 07777);
    if (threads)
        i->nlink = 2 + c.p->task_count;
    lock_release(&i->lock);
    proc_ctx_end(&c);
}

static int proc_getattr(struct inode *i, struct kstat *out)
{
    refresh_owner(i);
    live_attributes(i);
    LOCK_GUARD(&i->lock);
    *out = (struct kstat){.dev = i->sb->dev,
                          .ino = i->ino,
                          .mode = i->mode,
                          .nlink = i->nlink,
                          .uid = i->uid,
                          .gid = i->gid,
                          .blksize = 1024,
                          .atime = i->atime,
                          .mtime = i->mtime,
                          .ctime = i->ctime};
    return 0;
}

/* chmod and chown are refused, times are ignored, and so is truncation (echo x > /proc/…). */
static int proc_setattr(struct inode *i, const struct iattr *a)
{
    return a->valid & (IATTR_MODE | IATTR_UID | IATTR_GID) ? -EPERM : 0;
}

static const struct inode_ops g_dir_ops = {.lookup = proc_lookup,
                                           .revalidate = proc_revalidate,
                                           .getattr = proc_getattr,
                                           .setattr = proc_setattr};
static const struct inode_ops g_file_ops_inode = {.open = proc_open,
                                                  .revalidate = proc_revalidate,
                                                  .getattr = proc_getattr,
                                                  .setattr = proc_setattr};
static const struct inode_ops g_link_ops = {.readlink = proc_readlink,
                                            .revalidate = proc_revalidate,
                                            .getattr = proc_getattr,
                                            .setattr = proc_setattr};
static const struct inode_ops g_magic_ops = {.readlink = proc_readlink,
                                             .follow = proc_follow,
                                             .revalidate = proc_revalidate,
                                             .getattr = proc_getattr,
                                             .setattr = proc_setattr};

/* ---- the root ---- */

static int pid_next(const struct proc_ctx *c, int after)
{
    struct process *p = process_next_in(c->ns, after);
    int pid = p ? process_nr(p, c->ns) : -1;
    if (p)
        process_put(p);
    return pid;
}

static bool pid_has(const struct proc_ctx *c, int pid)
{
    return pid > 0;
}

static const struct proc_numbers g_pids = {
    .of = PROC_OF_PID, .next = pid_next, .has = pid_has, .entry = &g_proc_pid_dir};
static const struct proc_entry g_root = {
    .name = "", .mode = S_IFDIR | 0555, .children = g_proc_root_entries, .numbers = &g_pids};

static int procfs_statfs(struct superblock *sb, struct statfs *out)
{
    *out = (struct statfs){.f_type = sb->magic, .f_bsize = 4096, .f_namelen = 255};
    return 0;
}

static void procfs_shutdown(struct superblock *sb)
{
    pid_ns_put(sb->priv);
}

static const struct super_ops g_super_ops = {.statfs = procfs_statfs,
                                             .shutdown = procfs_shutdown,
                                             .inode_free = proc_inode_free};

int proc_mount_table(const char *type, uint64_t magic, const struct proc_entry *entry,
                     struct superblock **out)
{
    struct superblock *sb = superblock_new(&g_super_ops, type, magic);
    struct proc_inode pi = {.e = entry, .fd = -1};
    struct inode *root;
    if (!sb)
        return -ENOMEM;
    struct task *mounter = task_current();
    sb->priv = mounter ? mounter->process->pid_ns : g_kernel.root_pid_ns;
    pid_ns_get(sb->priv);
    sb->no_dcache_negative = true;
    sb->revalidate = true;
    sb->fixed_names = true;
    int r = proc_inode_new(sb, &pi, &root);
    if (!r && !(sb->root = dcache_new_root(sb, root)))
        r = -ENOMEM;
    if (r)
        superblock_put(sb);
    else
        *out = sb;
    return r;
}

int procfs_mount(struct superblock **out)
{
    return proc_mount_table("proc", PROC_SUPER_MAGIC, &g_root, out);
}
