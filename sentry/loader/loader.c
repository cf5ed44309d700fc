/* From an opened file to an address space ready to run.
 *
 * Everything is built in a new mm; whatever fails, that mm is dropped and nothing has happened. */
#include "loader_priv.h"

#include "base/host.h"
#include "fs/vfs.h"
#include "kernel/kernel.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct load {
    const struct loader_args *a;
    struct file *file; /* counted; what is finally executed */
    struct mm *mm;     /* counted */
    struct elf_image main, interp;
    struct file *interp_file; /* counted; NULL if static */
    struct mm_layout layout;
    uint64_t stack_top, vdso;
    bool fixed; /* ADDR_NO_RANDOMIZE */
};

/* A random number of pages below 2^bits, in bytes; none for who asked for fixed addresses. */
static uint64_t random_pages(const struct load *l, unsigned bits)
{
    uint64_t r = 0;
    if (!l->fixed)
        (void)host_getrandom(&r, sizeof(r));
    return (r & ((1ull << bits) - 1)) << RF_PAGE_SHIFT;
}

/* ---- scripts --------------------------------------------------------------------------------- */

/* head begins with "#!": go on with the interpreter. */
static int enter_script(struct load *l, char *head, const char *script_name)
{
    char *name, *arg;
    struct file *f;
    int r = script_parse(head, &name, &arg);
    if (r)
        return r;
    r = vfs_open_exec(l->a->task, AT_FDCWD, name, /*flags=*/0, &f);
    if (r)
        return r;
    const char *with[3] = {name, arg ? arg : script_name, script_name};
    r = exec_strings_replace_first(l->a->strings, with, arg ? 3 : 2);
    if (r) {
        file_put(f);
        return r;
    }
    file_put(l->file);
    l->file = f;
    return 0;
}

static int resolve_scripts(struct load *l)
{
    char head[SCRIPT_LINE], name[SCRIPT_LINE];
    const char *script_name = l->a->filename;
    for (int depth = 0;; depth++) {
        memset(head, 0, sizeof(head));
        int64_t n = vfs_read_kernel(l->file, head, sizeof(head), 0);
        if (n < 0)
            return n;
        if (head[0] != '#' || head[1] != '!')
            return 0;
        if (depth == SCRIPT_DEPTH)
            return -ELOOP;
        if (depth == 0 && l->a->name_is_closed)
            return -ENOENT;
        int r = enter_script(l, head, script_name);
        if (r)
            return r;
        strcpy(name, l->a->strings->data); /* the interpreter's name fits: it came from head */
        script_name = name;
    }
}

/* ---- the address space ----------------------------------------------------------------------- */

/* Linux's picture: stack at the top, a gap for its growth, mmap below, programs at two thirds. */
static void choose_layout(struct load *l)
{
    uint64_t end = g_kernel.platform->va_end;
    uint64_t gap = MIN(l->a->stack_limit, end / 6 * 5);
    gap = MAX(gap, 128ull << 20) + (16ull << 30) + (1ull << 20); /* stack randomness, guard gap */
    gap = MIN(gap, end / 6 * 5);
    l->stack_top = end - RF_PAGE_SIZE - random_pages(l, 22);
    l->layout.mmap_base = page_down(end - gap - random_pages(l, 28));
}

static uint64_t program_base(const struct load *l)
{
    return page_down(g_kernel.platform->va_end / 3 * 2) + random_pages(l, 28);
}

static int map_interpreter(struct load *l)
{
    char *path;
    int r = elf_interpreter(&l->main, &path);
    if (r || !path)
        return r;
    r = vfs_open_exec(l->a->task, AT_FDCWD, path, /*flags=*/0, &l->interp_file);
    free(path);
    if (r)
        return r;
    r = elf_open(&l->interp, l->interp_file);
    if (!r)
        r = elf_map(&l->interp, l->mm, 0);
    return r == -ENOEXEC ? -ELIBBAD : r;
}

static int map_program(struct load *l)
{
    int r = elf_open(&l->main, l->file);
    if (r)
        return r;
    char *interp;
    r = elf_interpreter(&l->main, &interp);
    if (r)
        return r;
    /* A program that is its own loader goes where libraries go. */
    r = elf_map(&l->main, l->mm, interp ? program_base(l) : 0);
    free(interp);
    return r;
}

static int map_vdso(struct load *l)
{
    const struct vdso *v = l->a->vdso;
    uint64_t va, at;
    if (!v)
        return 0;
    struct mm_map all = {.size = v->param_size + v->image_size,
                         .flags = MAP_PRIVATE | MAP_ANONYMOUS};
    int r = mm_mmap(l->mm, &all, &va);
    if (!r)
        r = mm_munmap(l->mm, va, all.size);
    struct mm_map param = {.addr = va,
                           .size = v->param_size,
                           .prot = PROT_READ,
                           .flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
                           .name = "[vvar]",
                           .memfile_offset = v->param_offset,
                           .has_frames = true};
    struct mm_map image = {.addr = va + v->param_size,
                           .size = v->image_size,
                           .prot = PROT_READ | PROT_EXEC,
                           .flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
                           .name = "[vdso]",
                           .memfile_offset = v->image_offset,
                           .has_frames = true};
    if (!r && v->param_size)
        r = mm_mmap(l->mm, &param, &at);
    if (!r)
        r = mm_mmap(l->mm, &image, &l->vdso);
    return r;
}

/* The heap begins a random way behind the program; a self-loading one sits among the libraries,
 * where a heap could not grow, so its heap goes where programs go. */
static int choose_brk(struct load *l)
{
    uint64_t brk = l->main.brk;
    if (l->main.eh.e_type == ET_DYN && !l->interp_file)
        brk = program_base(l);
    if (!page_up(brk, &brk))
        return -ENOEXEC;
    l->layout.start_brk = l->layout.brk = brk + random_pages(l, 13);
    return 0;
}

static int build_stack(struct load *l, uint64_t *sp)
{
    struct stack_args s = {.mm = l->mm,
                           .load = l->a,
                           .main = &l->main,
                           .interp_base = l->interp_file ? l->interp.bias : 0,
                           .vdso = l->vdso,
                           .executable = elf_exec_stack(&l->main),
                           .fixed = l->fixed,
                           .top = l->stack_top};
    l->layout.start_code = l->main.start_code;
    l->layout.end_code = l->main.end_code;
    l->layout.start_data = l->main.start_data;
    l->layout.end_data = l->main.end_data;
    return stack_build(&s, &l->layout, sp);
}

static int build(struct load *l, struct loader_result *out)
{
    int r = resolve_scripts(l);
    if (!r)
        r = exec_strings_check(l->a->strings, l->a->stack_limit);
    if (!r)
        r = mm_create(g_kernel.platform, &l->mm);
    if (r)
        return r;
    choose_layout(l);
    mm_layout_set(l->mm, &l->layout);
    r = map_program(l);
    if (!r)
        r = map_interpreter(l);
    if (!r)
        r = map_vdso(l);
    if (!r)
        r = choose_brk(l);
    if (!r)
        r = build_stack(l, &out->stack_pointer);
    if (r)
        return r;
    out->entry = l->interp_file ? l->interp.entry : l->main.entry;
    if (out->entry >= g_kernel.platform->va_end)
        return -ENOEXEC;
    mm_layout_set(l->mm, &l->layout);
    mm_exe_set(l->mm, l->file);
    return 0;
}

static void set_comm(const char *filename, char comm[16])
{
    const char *slash = strrchr(filename, '/');
    memset(comm, 0, 16);
    strncpy(comm, slash ? slash + 1 : filename, 15);
}

int loader_load(const struct loader_args *a, struct loader_result *out)
{
    struct load l = {.a = a, .file = a->file, .fixed = a->fixed};
    struct loader_result res = {0};
    file_get(l.file);
    int r = build(&l, &res);
    elf_close(&l.main);
    elf_close(&l.interp);
    if (l.interp_file)
        file_put(l.interp_file);
    if (r) {
        if (l.mm)
            mm_put(l.mm);
        file_put(l.file);
        return r;
    }
    res.mm = l.mm;
    res.exe = l.file;
    set_comm(a->filename, res.comm);
    *out = res;
    return 0;
}
