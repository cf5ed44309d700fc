/* The ELF core file: notes about the process and each thread, then memory.
 *
 *   ELF header | program headers | notes | (page) | contents of each mapping, holes left out
 *
 * Pages that were never touched are not written: the file is sparse there and reads as zeros. */
#include "kernel/coredump.h"

#include "base/overflow.h"
#include "fs/vfs.h"
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/procfs.h>

#define CHUNK_PAGES 64
#define NAMES_MAX   (4u << 20) /* of mapped files, in NT_FILE */

enum { /* /proc/PID/coredump_filter */
       DUMP_ANON_PRIVATE = 1,
       DUMP_ANON_SHARED = 2,
       DUMP_FILE_PRIVATE = 4,
       DUMP_FILE_SHARED = 8,
       DUMP_ELF_HEADERS = 16,
};

struct segment {
    uint64_t start, end, dumped; /* dumped: bytes from start that the file has */
    unsigned prot;
    bool may_be_empty; /* no private page is there: nothing to read */
};

struct out {
    struct task *t;
    struct core *c;
    struct file *f;
    uint64_t pos;
    bool full; /* the limit is reached, or the disk is: the rest is dropped */
    bool began;
    struct segment *segments;
    unsigned count, room;
    char *notes; /* malloc'd */
    size_t notes_size;
};

/* ---- bytes --------------------------------------------------------------------------------------
 */

static void put(struct out *o, const void *data, size_t size)
{
    struct uio u;
    if (o->full || signal_fatal_pending(o->t))
        return;
    if (o->pos + size > o->c->limit) {
        size = o->c->limit > o->pos ? o->c->limit - o->pos : 0;
        o->full = true;
    }
    uio_init_kernel(&u, (void *)data, size);
    while (u.remaining) {
        int64_t n = vfs_pwrite(o->t, o->f, &u, o->pos, 0);
        if (n <= 0) {
            o->full = true;
            return;
        }
        o->pos += n;
        o->began = true;
    }
}

static void *notes_grow(struct out *o, size_t size)
{
    char *p = realloc(o->notes, o->notes_size + size);
    if (!p)
        return NULL;
    o->notes = p;
    p += o->notes_size;
    memset(p, 0, size);
    o->notes_size += size;
    return p;
}

/* Room for one note's contents; NULL: no memory, the note is left out. */
static void *note(struct out *o, uint32_t type, const char *name, size_t size)
{
    size_t name_size = strlen(name) + 1, name_room = (name_size + 3) & ~3ul;
    char *p = notes_grow(o, sizeof(Elf64_Nhdr) + name_room + ((size + 3) & ~3ul));
    if (!p)
        return NULL;
    Elf64_Nhdr h = {.n_namesz = name_size, .n_descsz = size, .n_type = type};
    memcpy(p, &h, sizeof(h));
    memcpy(p + sizeof(h), name, name_size);
    return p + sizeof(h) + name_room;
}

/* ---- notes --------------------------------------------------------------------------------------
 */

static struct timeval tv_of(int64_t ns)
{
    return (struct timeval){.tv_sec = ns / NSEC_PER_SEC, .tv_usec = ns % NSEC_PER_SEC / 1000};
}

static void note_thread(struct out *o, const struct core_thread *n)
{
    struct process *p = o->t->process;
    struct elf_prstatus s = {.pr_info = {.si_signo = o->c->info.si_signo,
                                         .si_code = o->c->info.si_code,
                                         .si_errno = o->c->info.si_errno},
                             .pr_cursig = o->c->info.si_signo,
                             .pr_sigpend = n->pending,
                             .pr_sighold = n->blocked,
                             .pr_pid = n->tid,
                             .pr_ppid = task_sees_id(o->t, process_ppid(p)),
                             .pr_pgrp = task_sees_id(o->t, process_pgid(p)),
                             .pr_sid = task_sees_id(o->t, process_sid(p)),
                             .pr_fpvalid = 1};
    s.pr_utime = tv_of(n->utime_ns);
    s.pr_stime = tv_of(n->stime_ns);
    memcpy(&s.pr_reg, &n->regs, sizeof(s.pr_reg));
    void *at = note(o, NT_PRSTATUS, "CORE", sizeof(s));
    if (at)
        memcpy(at, &s, sizeof(s));
}

static void note_fpu(struct out *o, const struct core_thread *n)
{
    void *at = note(o, NT_PRFPREG, "CORE", sizeof(struct user_fpregs_struct));
    if (at)
        memcpy(at, n->fpu, sizeof(struct user_fpregs_struct));
    at = note(o, NT_X86_XSTATE, "LINUX", g_kernel.platform->fpu_size);
    if (!at)
        return;
    memcpy(at, n->fpu, g_kernel.platform->fpu_size);
    memcpy((char *)at + 464, &g_kernel.platform->xfeatures, 8); /* where debuggers find XCR0 */
}

static void fill_args(struct task *t, char *out, size_t size)
{
    struct mm_layout l;
    mm_layout_get(t->mm, &l);
    size_t n = MIN(l.arg_end - l.arg_start, size - 1);
    n = uaccess_read_forced(t->mm, out, uaddr(l.arg_start), n);
    for (size_t i = 0; i < n; i++)
        if (!out[i])
            out[i] = ' ';
}

static void note_process(struct out *o)
{
    struct task *t = o->t;
    struct process *p = t->process;
    struct elf_prpsinfo i = {.pr_sname = 'R',
                             .pr_nice = t->nice,
                             .pr_uid = t->cred->uid,
                             .pr_gid = t->cred->gid,
                             .pr_pid = p->vpid,
                             .pr_ppid = task_sees_id(t, process_ppid(p)),
                             .pr_pgrp = task_sees_id(t, process_pgid(p)),
                             .pr_sid = task_sees_id(t, process_sid(p))};
    task_comm(t, i.pr_fname);
    fill_args(t, i.pr_psargs, sizeof(i.pr_psargs));
    void *at = note(o, NT_PRPSINFO, "CORE", sizeof(i));
    if (at)
        memcpy(at, &i, sizeof(i));
    at = note(o, NT_SIGINFO, "CORE", sizeof(siginfo_t));
    if (at)
        memcpy(at, &o->c->info, sizeof(siginfo_t));
    uint64_t words[64];
    unsigned count = mm_auxv_get(t->mm, words, ARRAY_COUNT(words));
    at = note(o, NT_AUXV, "CORE", count * sizeof(words[0]));
    if (at)
        memcpy(at, words, count * sizeof(words[0]));
}

struct file_list {
    uint64_t *rows; /* start, end, page offset */
    unsigned count;
    char *names;
    size_t names_size;
};

static void file_list_add(struct file_list *l, const struct mm_vma_info *v)
{
    char room[VFS_PATH_MAX];
    const char *name = path_name(&v->file->path, NULL, room, sizeof(room));
    size_t size = name ? strlen(name) + 1 : 0;
    if (!size || l->names_size + size > NAMES_MAX)
        return;
    char *names = realloc(l->names, l->names_size + size);
    if (names)
        l->names = names;
    uint64_t *rows = realloc(l->rows, (l->count + 1) * 3 * sizeof(*rows));
    if (rows)
        l->rows = rows;
    if (!names || !rows)
        return;
    memcpy(names + l->names_size, name, size);
    l->names_size += size;
    rows += l->count++ * 3;
    rows[0] = v->start, rows[1] = v->end, rows[2] = v->offset / RF_PAGE_SIZE;
}

static void note_files(struct out *o)
{
    struct file_list l = {0};
    struct mm_vma_info v;
    for (uint64_t at = 0; mm_vma_next(o->t->mm, at, &v); at = v.end) {
        if (!v.file)
            continue;
        if (v.file->path.dentry)
            file_list_add(&l, &v);
        file_put(v.file);
    }
    size_t rows = l.count * 3 * sizeof(uint64_t);
    char *at = l.count ? note(o, NT_FILE, "CORE", 16 + rows + l.names_size) : NULL;
    if (at) {
        uint64_t head[2] = {l.count, RF_PAGE_SIZE};
        memcpy(at, head, sizeof(head));
        memcpy(at + sizeof(head), l.rows, rows);
        memcpy(at + sizeof(head) + rows, l.names, l.names_size);
    }
    free(l.rows);
    free(l.names);
}

/* Debuggers want the dumping thread's status first, then what concerns the process. */
static void notes_make(struct out *o)
{
    struct core_thread *n;
    bool first = true;
    list_for_each(n, &o->c->threads, node)
    {
        note_thread(o, n);
        if (first) {
            note_process(o);
            note_files(o);
        }
        first = false;
        note_fpu(o, n);
    }
}

/* ---- memory -------------------------------------------------------------------------------------
 */

static bool is_elf_head(struct out *o, uint64_t at)
{
    char magic[SELFMAG];
    return uaccess_read_forced(o->t->mm, magic, uaddr(at), SELFMAG) == SELFMAG &&
           !memcmp(magic, ELFMAG, SELFMAG);
}

static uint64_t segment_dumped(struct out *o, const struct mm_vma_info *v)
{
    unsigned filter = o->t->process->coredump_filter;
    uint64_t all = v->end - v->start;
    if (v->dont_dump)
        return 0;
    if (v->flags & MAP_SHARED)
        return filter & (v->file ? DUMP_FILE_SHARED : DUMP_ANON_SHARED) ? all : 0;
    if (!v->file)
        return filter & DUMP_ANON_PRIVATE ? all : 0;
    if (((filter & DUMP_ANON_PRIVATE) && v->anon) || (filter & DUMP_FILE_PRIVATE))
        return all;
    if ((filter & DUMP_ELF_HEADERS) && !v->offset && (v->prot & PROT_READ) &&
        is_elf_head(o, v->start))
        return RF_PAGE_SIZE;
    return 0;
}

static int segments_make(struct out *o)
{
    struct mm_vma_info v;
    for (uint64_t at = 0; mm_vma_next(o->t->mm, at, &v); at = v.end) {
        if (o->count == o->room) {
            unsigned room = o->room ? o->room * 2 : 64;
            struct segment *s = realloc(o->segments, room * sizeof(*s));
            if (!s) {
                if (v.file)
                    file_put(v.file);
                return -ENOMEM;
            }
            o->segments = s;
            o->room = room;
        }
        o->segments[o->count++] =
            (struct segment){.start = v.start,
                             .end = v.end,
                             .prot = v.prot,
                             .dumped = segment_dumped(o, &v),
                             .may_be_empty = !v.file && !v.anon && !(v.flags & MAP_SHARED)};
        if (v.file)
            file_put(v.file);
    }
    return 0;
}

static void put_chunk(struct out *o, uint64_t va, unsigned pages, uint64_t at, char *buf)
{
    uint8_t in_core[CHUNK_PAGES];
    if (mm_mincore(o->t->mm, va, pages * RF_PAGE_SIZE, in_core))
        return;
    for (unsigned i = 0, n; i < pages; i += n) {
        for (n = 1; i + n < pages && in_core[i + n] == in_core[i];)
            n++;
        if (!in_core[i])
            continue;
        size_t got =
            uaccess_read_forced(o->t->mm, buf, uaddr(va + i * RF_PAGE_SIZE), n * RF_PAGE_SIZE);
        o->pos = at + i * RF_PAGE_SIZE;
        put(o, buf, got);
    }
}

static void put_segment(struct out *o, const struct segment *s, uint64_t at, char *buf)
{
    if (s->may_be_empty)
        return;
    for (uint64_t done = 0; done < s->dumped && !o->full;) {
        unsigned pages = MIN((s->dumped - done) / RF_PAGE_SIZE, (uint64_t)CHUNK_PAGES);
        if (signal_fatal_pending(o->t))
            return;
        put_chunk(o, s->start + done, pages, at + done, buf);
        done += pages * RF_PAGE_SIZE;
    }
}

/* ---- the whole ----------------------------------------------------------------------------------
 */

static void put_heads(struct out *o, uint64_t notes_at, uint64_t data_at)
{
    unsigned count = o->count + 1;
    Elf64_Ehdr eh = {
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_CORE,
        .e_machine = EM_X86_64,
        .e_version = EV_CURRENT,
        .e_phoff = sizeof(eh),
        .e_ehsize = sizeof(eh),
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = MIN(count, (unsigned)PN_XNUM)};
    put(o, &eh, sizeof(eh));
    Elf64_Phdr ph = {.p_type = PT_NOTE, .p_offset = notes_at, .p_filesz = o->notes_size};
    put(o, &ph, sizeof(ph));
    for (unsigned i = 0; i < o->count; i++) {
        const struct segment *s = &o->segments[i];
        ph = (Elf64_Phdr){.p_type = PT_LOAD,
                          .p_flags = (s->prot & PROT_READ ? PF_R : 0) |
                                     (s->prot & PROT_WRITE ? PF_W : 0) |
                                     (s->prot & PROT_EXEC ? PF_X : 0),
                          .p_offset = data_at,
                          .p_vaddr = s->start,
                          .p_filesz = s->dumped,
                          .p_memsz = s->end - s->start,
                          .p_align = RF_PAGE_SIZE};
        put(o, &ph, sizeof(ph));
        data_at += s->dumped;
    }
    put(o, o->notes, o->notes_size);
}

/* The last mapping may end in a hole: the file still ends where it should. */
static void set_size(struct out *o, uint64_t end)
{
    struct file *f = o->f;
    end = MIN(end, o->c->limit);
    if (!signal_fatal_pending(o->t) && o->pos != end)
        (void)vfs_truncate(o->t, &f->path, f->inode, f, end);
}

int core_elf_write(struct task *t, struct core *c, struct file *f)
{
    struct out o = {.t = t, .c = c, .f = f};
    char *buf = malloc(CHUNK_PAGES * RF_PAGE_SIZE);
    int r = buf ? segments_make(&o) : -ENOMEM;
    if (!r) {
        notes_make(&o);
        uint64_t notes_at = sizeof(Elf64_Ehdr) + (o.count + 1) * sizeof(Elf64_Phdr), at = 0;
        r = page_up(notes_at + o.notes_size, &at) ? 0 : -EFBIG;
        if (!r)
            put_heads(&o, notes_at, at);
        for (unsigned i = 0; i < o.count && !r && !o.full; i++) {
            put_segment(&o, &o.segments[i], at, buf);
            at += o.segments[i].dumped;
        }
        set_size(&o, at);
    }
    free(buf);
    free(o.segments);
    free(o.notes);
    return r ? r : o.began ? 0 : -EIO;
}
