/* What the files of loader/ share. */
#pragma once

#include "base/overflow.h"
#include "loader/loader.h"
#include <elf.h>
#include <errno.h>

#define EXEC_STRING_MAX (128 * 1024) /* MAX_ARG_STRLEN, with NUL */
#define EXEC_TOTAL_MAX  (6ull << 20) /* strings and pointers, whatever RLIMIT_STACK says */
#define EXEC_TOTAL_MIN  (128 * 1024) /* ARG_MAX: always allowed */
#define SCRIPT_LINE     256          /* BINPRM_BUF_SIZE */
#define SCRIPT_DEPTH    5

/* strings.c */
int exec_strings_append(struct exec_strings *s, const char *str);
int exec_strings_check(const struct exec_strings *s, uint64_t stack_limit);
/* Replace argv[0] by count strings. */
int exec_strings_replace_first(struct exec_strings *s, const char *const *with, unsigned count);

/* script.c: head is SCRIPT_LINE bytes, zero-filled, and begins with "#!"; edited in place.
 * *arg is NULL without an argument. */
int script_parse(char *head, char **interpreter, char **arg);

/* elf.c */
struct elf_image {     /* a checked header, and where the image was put */
    struct file *file; /* borrowed */
    Elf64_Ehdr eh;
    Elf64_Phdr *ph; /* owned; eh.e_phnum of them */
    uint64_t bias, entry, phdr_va;
    uint64_t low, high; /* lowest and highest PT_LOAD address, before bias */
    uint64_t brk;       /* end of the highest segment, biased */
    uint64_t start_code, end_code, start_data, end_data; /* biased */
};
int elf_open(struct elf_image *e, struct file *f);
void elf_close(struct elf_image *e);
/* NUL-terminated path of PT_INTERP, malloc'd, or NULL if there is none. */
int elf_interpreter(const struct elf_image *e, char **out);
bool elf_exec_stack(const struct elf_image *e);
/* Map all segments. base: where e->low goes for ET_DYN; 0 = anywhere in the mmap region. */
int elf_map(struct elf_image *e, struct mm *mm, uint64_t base);

/* stack.c */
struct stack_args {
    struct mm *mm;
    const struct loader_args *load;
    const struct elf_image *main;
    uint64_t interp_base, entry, vdso;
    bool executable;
    uint64_t top; /* highest address of the stack VMA */
    bool fixed;   /* no random gap */
};
/* Build the initial stack; *sp is what rsp becomes. Fills layout's stack, arg and env fields. */
int stack_build(const struct stack_args *a, struct mm_layout *layout, uint64_t *sp);
