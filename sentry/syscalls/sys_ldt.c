/* modify_ldt(2): a process's descriptors are checked, kept and told, but never loaded: the
 * platforms give no local descriptor table, and code for one is 16- or 32-bit, which nobody runs
 * here. */
#include "syscalls/syscalls.h"

#include "base/overflow.h"
#include <asm/ldt.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_LDT_SIZE 128
#define LDT_WRITE_OLD    1
#define LDT_WRITE        0x11

/* The processor's form of a descriptor (Intel SDM 3A, 3.4.5). */
static uint64_t descriptor(const struct user_desc *d)
{
    uint64_t base = d->base_addr, limit = d->limit;
    uint64_t type = 0x10 | (uint64_t)(d->contents << 2) | (!d->read_exec_only << 1) | 1;
    uint64_t access = type | 3 << 5 | (uint64_t)!d->seg_not_present << 7;
    uint64_t upper = (limit >> 16 & 15) | (uint64_t)d->useable << 4 | (uint64_t)d->seg_32bit << 6 |
                     (uint64_t)d->limit_in_pages << 7;
    return (limit & 0xffff) | (base & 0xffffff) << 16 | access << 40 | upper << 48 |
           (base >> 24) << 56;
}

static bool is_empty(const struct user_desc *d, bool old)
{
    if (d->base_addr || d->limit)
        return false;
    return old || (!d->contents && d->read_exec_only && !d->seg_32bit && !d->limit_in_pages &&
                   d->seg_not_present && !d->useable);
}

static int64_t ldt_write(struct task *t, uint64_t ua, uint64_t size, bool old)
{
    struct user_desc d;
    if (size != sizeof(d))
        return -EINVAL;
    if (uaccess_read_obj(t->mm, &d, uaddr(ua)))
        return -EFAULT;
    if (d.entry_number >= LDT_ENTRIES || (d.contents == 3 && (old || !d.seg_not_present)))
        return -EINVAL;
    if (old)
        d.useable = 0;
    return mm_ldt_write(t->mm, d.entry_number, is_empty(&d, old) ? 0 : descriptor(&d));
}

static int64_t ldt_read(struct task *t, uint64_t ua, uint64_t size)
{
    size = MIN(size, (uint64_t)LDT_ENTRIES * LDT_ENTRY_SIZE);
    uint64_t *all = calloc(LDT_ENTRIES, LDT_ENTRY_SIZE);
    if (!all)
        return -ENOMEM;
    int64_t r = mm_ldt_read(t->mm, all) ? (int64_t)size : 0;
    if (r && uaccess_write(t->mm, uaddr(ua), all, size))
        r = -EFAULT;
    free(all);
    return r;
}

int64_t sys_modify_ldt(struct task *t, const struct sysargs *a)
{
    int64_t r = -ENOSYS;
    uint64_t size = a->v[2];
    switch ((int)a->v[0]) {
    case 0:
        r = ldt_read(t, a->v[1], size);
        break;
    case LDT_WRITE_OLD:
    case LDT_WRITE:
        r = ldt_write(t, a->v[1], size, (int)a->v[0] == LDT_WRITE_OLD);
        break;
    case 2:
        size = MIN(size, (uint64_t)DEFAULT_LDT_SIZE);
        r = uaccess_zero(t->mm, uaddr(a->v[1]), size) ? -EFAULT : (int64_t)size;
    }
    return (uint32_t)r; /* an int in rax, also for errors: an old accident that is ABI now */
}
