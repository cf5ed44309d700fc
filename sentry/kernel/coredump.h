/* Between coredump.c and coredump_elf.c. */
#pragma once
#include "kernel/kernel_priv.h"

struct core_thread { /* one task as it was when the dump began */
    struct list_node node;
    int tid;
    struct user_regs_struct regs;
    sigmask_t pending, blocked;
    int64_t utime_ns, stime_ns;
    uint8_t fpu[]; /* platform.fpu_size bytes */
};

struct core {
    struct list threads; /* lock: process.sig_lock until the dumper is alone; the dumper's first */
    siginfo_t info;
    uint64_t limit; /* bytes the file may have */
};

/* A note of t's own state, or NULL. Own thread. */
struct core_thread *core_thread_new(struct task *t);
/* Write the whole file. Negative errno: not even its head was written. */
int core_elf_write(struct task *t, struct core *c, struct file *f);
