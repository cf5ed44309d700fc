/* ELF images: check every number of the headers, then map the segments.
 *
 * The file is hostile. All sums are checked before use; anything that cannot be a program is
 * ENOEXEC. What a valid image may ask for is what mmap allows: no more is checked here. */
#include "loader_priv.h"

#include "fs/vfs.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PHDRS_MAX (65536 / sizeof(Elf64_Phdr))

static int read_exact(struct file *f, void *buf, size_t size, uint64_t pos)
{
    if (pos > INT64_MAX - size)
        return -ENOEXEC;
    int64_t n = vfs_read_kernel(f, buf, size, pos);
    if (n < 0)
        return n;
    return (uint64_t)n == size ? 0 : -ENOEXEC;
}

static bool header_ok(const Elf64_Ehdr *eh)
{
    return !memcmp(eh->e_ident, ELFMAG, SELFMAG) && eh->e_ident[EI_CLASS] == ELFCLASS64 &&
           eh->e_ident[EI_DATA] == ELFDATA2LSB && eh->e_machine == EM_X86_64 &&
           (eh->e_type == ET_EXEC || eh->e_type == ET_DYN) &&
           eh->e_phentsize == sizeof(Elf64_Phdr) && eh->e_phnum && eh->e_phnum <= PHDRS_MAX;
}

/* One PT_LOAD: congruent, ordered sizes, no wrap. */
static bool segment_ok(const Elf64_Phdr *p)
{
    uint64_t end;
    return p->p_filesz <= p->p_memsz && page_offset(p->p_vaddr) == page_offset(p->p_offset) &&
           add_u64(p->p_vaddr, p->p_memsz, &end) && page_up(end, &end) && end < (1ull << 47) &&
           add_u64(p->p_offset, p->p_filesz, &end) && end < INT64_MAX;
}

static int check_segments(struct elf_image *e)
{
    e->low = UINT64_MAX;
    for (unsigned i = 0; i < e->eh.e_phnum; i++) {
        const Elf64_Phdr *p = &e->ph[i];
        if (p->p_type != PT_LOAD || !p->p_memsz)
            continue;
        if (!segment_ok(p))
            return -ENOEXEC;
        e->low = MIN(e->low, page_down(p->p_vaddr));
        e->high = MAX(e->high, p->p_vaddr + p->p_memsz);
    }
    return e->high ? 0 : -ENOEXEC;
}

int elf_open(struct elf_image *e, struct file *f)
{
    *e = (struct elf_image){.file = f};
    int r = read_exact(f, &e->eh, sizeof(e->eh), 0);
    if (r)
        return r;
    if (!header_ok(&e->eh))
        return -ENOEXEC;
    size_t size = e->eh.e_phnum * sizeof(Elf64_Phdr);
    e->ph = malloc(size);
    if (!e->ph)
        return -ENOMEM;
    r = read_exact(f, e->ph, size, e->eh.e_phoff);
    if (!r)
        r = check_segments(e);
    if (r)
        elf_close(e);
    return r;
}

void elf_close(struct elf_image *e)
{
    free(e->ph);
    e->ph = NULL;
}

static const Elf64_Phdr *find_phdr(const struct elf_image *e, uint32_t type)
{
    for (unsigned i = 0; i < e->eh.e_phnum; i++)
        if (e->ph[i].p_type == type)
            return &e->ph[i];
    return NULL;
}

int elf_interpreter(const struct elf_image *e, char **out)
{
    const Elf64_Phdr *p = find_phdr(e, PT_INTERP);
    *out = NULL;
    if (!p)
        return 0;
    if (p->p_filesz < 2 || p->p_filesz > VFS_PATH_MAX)
        return -ENOEXEC;
    char *path = malloc(p->p_filesz);
    if (!path)
        return -ENOMEM;
    int r = read_exact(e->file, path, p->p_filesz, p->p_offset);
    if (!r && path[p->p_filesz - 1])
        r = -ENOEXEC;
    if (r) {
        free(path);
        return r;
    }
    *out = path;
    return 0;
}

bool elf_exec_stack(const struct elf_image *e)
{
    const Elf64_Phdr *p = find_phdr(e, PT_GNU_STACK);
    return p && p->p_flags & PF_X;
}

static unsigned segment_prot(const Elf64_Phdr *p)
{
    return (p->p_flags & PF_R ? PROT_READ : 0) | (p->p_flags & PF_W ? PROT_WRITE : 0) |
           (p->p_flags & PF_X ? PROT_EXEC : 0);
}

/* Zeros: the rest of the last file page, then whole pages. */
static int map_bss(struct elf_image *e, struct mm *mm, const Elf64_Phdr *p)
{
    uint64_t from = e->bias + p->p_vaddr + p->p_filesz, end = e->bias + p->p_vaddr + p->p_memsz;
    uint64_t first, last, va;
    if (!page_up(from, &first) || !page_up(end, &last))
        return -ENOEXEC;
    if (!p->p_filesz)
        first = page_down(from);
    else if (first > from && end > from && p->p_flags & PF_W &&
             uaccess_zero(mm, uaddr(from), first - from)) /* to the page's end: ld.so allocates there */
        return -ENOEXEC; /* the file is shorter than its headers say */
    if (last <= first)
        return 0;
    struct mm_map m = {.addr = first,
                       .size = last - first,
                       .prot = segment_prot(p) | PROT_READ | PROT_WRITE,
                       .flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED};
    return mm_mmap(mm, &m, &va);
}

static int map_segment(struct elf_image *e, struct mm *mm, const Elf64_Phdr *p)
{
    uint64_t va = e->bias + p->p_vaddr;
    int r = 0;
    if (p->p_filesz) {
        struct mm_map m = {.addr = page_down(va),
                           .size = p->p_filesz + page_offset(va),
                           .prot = segment_prot(p),
                           .flags = MAP_PRIVATE | MAP_FIXED | MAP_DENYWRITE,
                           .file = e->file,
                           .offset = page_down(p->p_offset)};
        uint64_t at;
        r = mm_mmap(mm, &m, &at);
    }
    if (!r && p->p_memsz > p->p_filesz)
        r = map_bss(e, mm, p);
    return r;
}

/* Find room for the whole image. Nobody else uses this address space yet, so the place may be
 * given up again at once: the segments then take it piece by piece, and gaps stay unmapped. */
static int choose_place(struct elf_image *e, struct mm *mm, uint64_t base)
{
    uint64_t va, size = e->high - e->low;
    struct mm_map m = {.size = size,
                       .flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                       .prot = PROT_NONE};
    uint64_t align = RF_PAGE_SIZE;
    for (unsigned i = 0; i < e->eh.e_phnum; i++) {
        uint64_t a = e->ph[i].p_align;
        if (e->ph[i].p_type == PT_LOAD && a > align && !(a & (a - 1)) && a <= 1ull << 30)
            align = a;
    }
    if (e->eh.e_type == ET_EXEC) {
        m.addr = e->low;
    } else if (base) {
        m.addr = base & ~(align - 1);
    } else { /* anywhere: room for aligning upwards */
        m.size += align - RF_PAGE_SIZE;
    }
    if (m.addr)
        m.flags |= MAP_FIXED_NOREPLACE;
    int r = mm_mmap(mm, &m, &va);
    if (r)
        return r;
    r = mm_munmap(mm, va, m.size);
    /* Keep p_vaddr and its address congruent modulo the alignment. */
    if (e->eh.e_type == ET_DYN)
        e->bias = ((va + align - 1) & ~(align - 1)) - (e->low & ~(align - 1));
    if (e->eh.e_type == ET_DYN && m.addr)
        e->bias = va - (e->low & ~(align - 1));
    return r;
}

static void note_bounds(struct elf_image *e, const Elf64_Phdr *p)
{
    uint64_t start = e->bias + p->p_vaddr, end = start + p->p_filesz;
    if (p->p_flags & PF_X) {
        e->start_code = e->start_code ? MIN(e->start_code, start) : start;
        e->end_code = MAX(e->end_code, end);
    }
    e->start_data = MAX(e->start_data, start);
    e->end_data = MAX(e->end_data, end);
    if (p->p_offset <= e->eh.e_phoff && e->eh.e_phoff - p->p_offset < p->p_filesz)
        e->phdr_va = e->eh.e_phoff - p->p_offset + start;
}

int elf_map(struct elf_image *e, struct mm *mm, uint64_t base)
{
    int r = choose_place(e, mm, base);
    for (unsigned i = 0; i < e->eh.e_phnum && !r; i++) {
        const Elf64_Phdr *p = &e->ph[i];
        if (p->p_type != PT_LOAD || !p->p_memsz)
            continue;
        r = map_segment(e, mm, p);
        note_bounds(e, p);
    }
    e->brk = e->bias + e->high;
    e->entry = e->bias + e->eh.e_entry;
    if (find_phdr(e, PT_PHDR))
        e->phdr_va = e->bias + find_phdr(e, PT_PHDR)->p_vaddr;
    return r == -EINVAL || r == -EEXIST || r == -EPERM || r == -EOVERFLOW ? -ENOEXEC : r;
}
