/* The dispatch table and the platform's hint bitmap, both from syscalls.def. */
#include "kernel/syscall_table.h"

#define PROTO_FULL(name)    syscall_fn sys_##name;
#define PROTO_PARTIAL(name) syscall_fn sys_##name;
#define PROTO_STUB(name)    syscall_fn sys_##name;
#define PROTO_ENOSYS(name)
#define SYSCALL(nr, name, fmt, status, note, entry) PROTO_##status(name)
#include "syscalls/syscalls.def"
#undef SYSCALL

#define ENTRY_FULL(name)    sys_##name
#define ENTRY_PARTIAL(name) sys_##name
#define ENTRY_STUB(name)    sys_##name
#define ENTRY_ENOSYS(name)  NULL

syscall_fn *const g_syscalls[SYSCALL_TABLE_COUNT] = {
#define SYSCALL(nr, name, fmt, status, note, entry) [nr] = ENTRY_##status(name),
#include "syscalls/syscalls.def"
#undef SYSCALL
};

#define WORDS    (SYSCALL_TABLE_COUNT / 64)
#define IS_LIGHT false
#define IS_REGS  true

const uint64_t *syscall_full_calls(unsigned *words)
{
    static uint64_t map[WORDS];
    static const struct {
        uint16_t nr;
        bool regs;
    } entries[] = {
#define SYSCALL(nr, name, fmt, status, note, entry) {nr, IS_##entry},
#include "syscalls/syscalls.def"
#undef SYSCALL
    };
    for (unsigned i = 0; i < sizeof(entries) / sizeof(entries[0]); i++)
        if (entries[i].regs)
            map[entries[i].nr / 64] |= 1ull << (entries[i].nr % 64);
    *words = WORDS;
    return map;
}
