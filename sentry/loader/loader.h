/* Loading a program: ELF images, #! scripts, the initial stack.
 *
 * exec = check, then commit: loader_load builds a complete new address space without touching the
 * old one; the caller (kernel/exec.c) then swaps it in, past the point of no return. */
#pragma once

#include "mm/mm.h"
#include "time/time.h"
#include <stdint.h>

struct cred;
struct file;
struct task;
struct vdso;

/* Strings of argv and envp, copied in once. Sizes as execve(2): each string <= 128 KiB, all
 * together
 * <= RLIMIT_STACK/4 (at most 6 MiB), else -E2BIG. */
struct exec_strings {
    char *data; /* NUL-terminated strings, one after the other; owned */
    size_t size, capacity;
    unsigned argc, envc;
};
int exec_strings_import(struct exec_strings *s, struct mm *mm, struct uaddr argv,
                        struct uaddr envp);
int exec_strings_from_host(struct exec_strings *s, char *const *argv, char *const *envp);
void exec_strings_free(struct exec_strings *s);

struct loader_args {
    struct task *task;            /* for path walks and credentials; its mm is not looked at */
    struct file *file;            /* opened for execution by the caller; borrowed */
    const char *filename;         /* as execve was given, for #! and AT_EXECFN */
    struct exec_strings *strings; /* a script's interpreter is inserted in front */
    const struct cred
        *cred; /* borrowed; the credentials that will hold after exec, for AT_*UID and AT_SECURE */
    bool fixed; /* addresses are not random */
    bool name_is_closed; /* an interpreter could not open filename: no scripts */
    bool secure;
    const struct vdso *vdso; /* may be NULL */
    uint64_t stack_limit;    /* RLIMIT_STACK soft */
};
struct loader_result {
    struct mm *mm; /* counted for the caller */
    uint64_t entry, stack_pointer;
    struct file *exe; /* the file finally executed (interpreter script resolved); counted */
    char comm[16];
    bool personality_read_implies_exec;
};
/* -ENOEXEC (unknown format, 32-bit ELF, broken headers), -ELIBBAD (broken interpreter), -ELOOP
 * (scripts nested too deep), -ENOMEM, -EACCES, -E2BIG, … Nothing is leaked or changed on failure.
 */
int loader_load(const struct loader_args *a, struct loader_result *out);
