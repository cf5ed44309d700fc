/* Shared by the handlers that make files without a name. */
#pragma once
#include "fs/vfs.h"
#include "kernel/kernel.h"

/* Put a new file (r == 0) into the table: the descriptor, or the error; consumes f. */
static inline int64_t anon_install(struct task *t, int r, struct file *f, bool cloexec)
{
    if (r)
        return r;
    r = fdtable_install(t, f, 0, cloexec);
    if (r < 0)
        file_put(f);
    return r;
}
