/* Prototypes of all handlers, generated from syscalls.def. Only kernel/syscall_table.c includes
 * this, and the sys_*.c files that define them. */
#pragma once
#include "kernel/kernel.h"

#define SYSCALL_PROTO_FULL(name)    syscall_fn sys_##name;
#define SYSCALL_PROTO_PARTIAL(name) syscall_fn sys_##name;
#define SYSCALL_PROTO_STUB(name)    syscall_fn sys_##name;
#define SYSCALL_PROTO_ENOSYS(name)
#define SYSCALL(nr, name, fmt, status, note, entry) SYSCALL_PROTO_##status(name)
#include "syscalls/syscalls.def"
#undef SYSCALL
