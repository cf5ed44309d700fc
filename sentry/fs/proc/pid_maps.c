/* /proc/PID/maps, smaps, cmdline, environ, auxv and mem: what an address space holds. */
#include "fs/proc/proc_priv.h"

#include "kernel/kernel.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define MAPS_NAME_COLUMN 73
#define STRINGS_MAX      (1u << 20) /* of cmdline and environ */

static void root_of_caller(const struct proc_ctx *c, struct path *out)
{
    struct fs_struct *fs = c->caller ? task_fs_get(c->caller) : NULL;
    *out = (struct path){0};
    if (!fs)
        return;
    fs_struct_root(fs, out);
    fs_struct_put(fs);
}

static void vma_name(struct pbuf *b, const struct mm_vma_info *v, const struct path *root)
{
    char room[VFS_PATH_MAX];
    const char *name = v->name;
    if (v->file && v->file->path.dentry)
        name = path_name(&v->file->path, root->dentry ? root : NULL, room, sizeof(room));
    else if (v->file)
        name = "/dev/zero (deleted)";
    if (name)
        pb_printf(b, "%s", name);
}

static void vma_line(struct pbuf *b, const struct mm_vma_info *v, const struct path *root)
{
    struct kstat st = {0};
    size_t start = b->size;
    if (v->file && v->file->data)
        inode_getattr(v->file->inode, &st);
    pb_printf(b, "%08lx-%08lx %c%c%c%c %08lx %02x:%02x %lu ", (unsigned long)v->start,
              (unsigned long)v->end, v->prot & PROT_READ ? 'r' : '-',
              v->prot & PROT_WRITE ? 'w' : '-', v->prot & PROT_EXEC ? 'x' : '-',
              v->flags & MAP_SHARED ? 's' : 'p', (unsigned long)(v->file ? v->offset : 0),
              major(st.dev), minor(st.dev), (unsigned long)st.ino);
    if (v->file || v->name)
        while (!b->failed && b->size - start < MAPS_NAME_COLUMN)
            pb_str(b, " ");
    vma_name(b, v, root);
    pb_str(b, "\n");
}

typedef void vma_fn(struct pbuf *b, const struct mm_vma_info *v, const struct path *root,
                    void *arg);

static int each_vma(struct pbuf *b, const struct proc_ctx *c, vma_fn *fn, void *arg)
{
    struct mm_vma_info v;
    struct path root;
    struct mm *mm;
    int r = proc_mm_get(c, &mm);
    if (r)
        return r == -ESRCH ? 0 : r; /* a zombie's maps are empty */
    root_of_caller(c, &root);
    for (uint64_t at = 0; mm_vma_next(mm, at, &v); at = v.end) {
        fn(b, &v, &root, arg);
        if (v.file)
            file_put(v.file);
    }
    path_put(&root);
    mm_put(mm);
    return 0;
}

static void maps_one(struct pbuf *b, const struct mm_vma_info *v, const struct path *root,
                     void *arg)
{
    vma_line(b, v, root);
}

int proc_show_maps(struct pbuf *b, const struct proc_ctx *c)
{
    return each_vma(b, c, maps_one, NULL);
}

static void smaps_numbers(struct pbuf *b, uint64_t rss, uint64_t anon, bool shared)
{
    unsigned long r = rss / 1024, a = anon / 1024;
    pb_printf(b,
              "Rss:            %8lu kB\nPss:            %8lu kB\nPss_Dirty:      %8lu kB\n"
              "Shared_Clean:   %8lu kB\nShared_Dirty:   %8lu kB\nPrivate_Clean:  %8lu kB\n"
              "Private_Dirty:  %8lu kB\nReferenced:     %8lu kB\nAnonymous:      %8lu kB\n",
              r, r, a, shared ? r - a : 0, 0ul, shared ? 0 : r - a, a, r, a);
    pb_str(b, "LazyFree:              0 kB\nAnonHugePages:         0 kB\n"
              "ShmemPmdMapped:        0 kB\nFilePmdMapped:         0 kB\n"
              "Shared_Hugetlb:        0 kB\nPrivate_Hugetlb:       0 kB\n"
              "Swap:                  0 kB\nSwapPss:               0 kB\n"
              "Locked:                0 kB\n");
}

static void smaps_flags(struct pbuf *b, const struct mm_vma_info *v)
{
    pb_str(b, "THPeligible:           0\nVmFlags:");
    pb_printf(b, "%s%s%s%s mr mw me%s%s \n", v->prot & PROT_READ ? " rd" : "",
              v->prot & PROT_WRITE ? " wr" : "", v->prot & PROT_EXEC ? " ex" : "",
              v->flags & MAP_SHARED ? " sh" : "", v->flags & MAP_GROWSDOWN ? " gd" : "",
              v->flags & MAP_LOCKED ? " lo" : "");
}

static void smaps_one(struct pbuf *b, const struct mm_vma_info *v, const struct path *root,
                      void *arg)
{
    vma_line(b, v, root);
    pb_printf(b,
              "Size:           %8lu kB\nKernelPageSize:        4 kB\nMMUPageSize:           4 kB\n",
              (unsigned long)(v->end - v->start) / 1024);
    smaps_numbers(b, v->rss, v->anon, v->flags & MAP_SHARED);
    smaps_flags(b, v);
}

int proc_show_smaps(struct pbuf *b, const struct proc_ctx *c)
{
    return each_vma(b, c, smaps_one, NULL);
}

struct rollup {
    uint64_t rss, anon, start, end;
};

static void rollup_one(struct pbuf *b, const struct mm_vma_info *v, const struct path *root,
                       void *arg)
{
    struct rollup *r = arg;
    if (!r->end)
        r->start = v->start;
    r->end = v->end;
    r->rss += v->rss;
    r->anon += v->anon;
}

int proc_show_smaps_rollup(struct pbuf *b, const struct proc_ctx *c)
{
    struct rollup r = {0};
    int err = each_vma(b, c, rollup_one, &r);
    if (err || !r.end)
        return err;
    pb_printf(b, "%08lx-%08lx ---p 00000000 00:00 0                          [rollup]\n",
              (unsigned long)r.start, (unsigned long)r.end);
    smaps_numbers(b, r.rss, r.anon, /*shared=*/false);
    return 0;
}

/* ---- strings on the stack ---- */

static void copy_range(struct pbuf *b, struct mm *mm, uint64_t start, uint64_t end)
{
    char page[1024];
    end = MIN(end, start + STRINGS_MAX);
    while (start < end) {
        size_t n = uaccess_read_forced(mm, page, uaddr(start), MIN(end - start, sizeof(page)));
        if (!n)
            return;
        pb_write(b, page, n);
        start += n;
    }
}

/* A program that overwrote the end of its arguments (setproctitle) means one string, which may run
 * on into the environment. */
static void cmdline_title(struct pbuf *b, struct mm *mm, const struct mm_layout *l)
{
    if (!b->size || !b->data[b->size - 1])
        return;
    if (l->env_start == l->arg_end)
        copy_range(b, mm, l->env_start, l->env_end);
    char *nul = memchr(b->data, 0, b->size);
    if (nul)
        b->size = nul - b->data + 1;
}

int proc_show_cmdline(struct pbuf *b, const struct proc_ctx *c)
{
    struct mm *mm = c->t ? task_mm_get(c->t) : NULL;
    struct mm_layout l;
    if (!mm)
        return 0;
    mm_layout_get(mm, &l);
    copy_range(b, mm, l.arg_start, l.arg_end);
    cmdline_title(b, mm, &l);
    mm_put(mm);
    return 0;
}

int proc_show_environ(struct pbuf *b, const struct proc_ctx *c)
{
    struct mm_layout l;
    struct mm *mm;
    int r = proc_mm_get(c, &mm);
    if (r)
        return r == -ESRCH ? 0 : r;
    mm_layout_get(mm, &l);
    copy_range(b, mm, l.env_start, l.env_end);
    mm_put(mm);
    return 0;
}

int proc_show_auxv(struct pbuf *b, const struct proc_ctx *c)
{
    uint64_t words[64];
    struct mm *mm;
    int r = proc_mm_get(c, &mm);
    if (r)
        return r == -ESRCH ? 0 : r;
    pb_write(b, words, mm_auxv_get(mm, words, ARRAY_COUNT(words)) * sizeof(*words));
    mm_put(mm);
    return 0;
}

/* ---- mem ---- */

static int64_t mem_move(struct file *f, struct uio *u, int64_t pos, bool write)
{
    struct proc_ctx c;
    struct mm *mm;
    char buf[2048];
    int64_t done = 0;
    int64_t r = proc_ctx_begin(f->inode, &c);
    if (r)
        return 0; /* the process is gone: nothing to read */
    r = proc_mm_get(&c, &mm);
    proc_ctx_end(&c);
    if (r)
        return r == -ESRCH ? 0 : r;
    while (u->remaining) {
        struct uaddr at = uaddr(pos + done);
        size_t want = MIN(u->remaining, (uint64_t)sizeof(buf)), n;
        if (write) {
            size_t got = uio_from_user(u, buf, want);
            n = got ? uaccess_write_forced(mm, at, buf, got) : 0;
        } else {
            size_t got = uaccess_read_forced(mm, buf, at, want);
            n = got ? uio_to_user(u, buf, got) : 0;
        }
        done += n;
        if (n < want)
            break;
    }
    r = done || !u->remaining ? done : write ? -EFAULT : -EIO;
    mm_put(mm);
    return r;
}

static int64_t mem_read(struct file *f, struct uio *u, int64_t pos)
{
    return mem_move(f, u, pos, /*write=*/false);
}

static int64_t mem_write(struct file *f, struct uio *u, int64_t pos)
{
    return mem_move(f, u, pos, /*write=*/true);
}

static int64_t mem_lseek(struct file *f, int64_t off, int whence)
{
    if (whence == SEEK_CUR)
        off += f->pos;
    else if (whence != SEEK_SET)
        return -EINVAL;
    f->pos = off;
    return off;
}

const struct file_ops g_proc_mem_ops = {.read = mem_read, .write = mem_write, .lseek = mem_lseek};
