/* Inside the kernel room: the dispatch table. */
#pragma once
#include "kernel/kernel.h"

#define SYSCALL_TABLE_COUNT 512
extern syscall_fn *const g_syscalls[SYSCALL_TABLE_COUNT]; /* NULL: ENOSYS */
