/* prctl(2) on the address space: PR_SET_MM, PR_SET_VMA. */
#include "syscalls/prctl_priv.h"

#include "base/overflow.h"
#include "fs/vfs.h"
#include <errno.h>
#include <linux/prctl.h>
#include <string.h>
#include <sys/stat.h>

#define MMAP_MIN_ADDR 65536
#define AUXV_WORDS    54

/* ---- the layout that /proc shows ----------------------------------------------------------------
 */

static bool addr_ok(uint64_t addr)
{
    return addr >= MMAP_MIN_ADDR && addr < g_kernel.platform->va_end;
}

static int layout_check(const struct mm_layout *l)
{
    const uint64_t all[] = {l->start_code, l->end_code,  l->start_data,  l->end_data,
                            l->start_brk,  l->brk,       l->start_stack, l->arg_start,
                            l->arg_end,    l->env_start, l->env_end};
    for (size_t i = 0; i < ARRAY_COUNT(all); i++)
        if (!addr_ok(all[i]))
            return -EINVAL;
    bool ordered = l->start_code < l->end_code && l->start_data <= l->end_data &&
                   l->start_brk <= l->brk && l->arg_start <= l->arg_end &&
                   l->env_start <= l->env_end;
    return ordered ? 0 : -EINVAL;
}

static int set_exe(struct task *t, int fd)
{
    struct kstat st;
    struct file *f = fdtable_get(t->fds, fd);
    if (!f)
        return -EBADF;
    int r = f->path.dentry ? vfs_stat(&f->path, &st) : -EACCES;
    if (!r && (!S_ISREG(st.mode) || !(st.mode & 0111)))
        r = -EACCES;
    if (!r)
        mm_exe_set(t->mm, f);
    file_put(f);
    return r;
}

static int set_auxv(struct task *t, uint64_t ua, uint64_t size)
{
    uint64_t words[AUXV_WORDS] = {0};
    if (size > sizeof(words))
        return -EINVAL;
    if (uaccess_read(t->mm, words, uaddr(ua), size))
        return -EFAULT;
    words[AUXV_WORDS - 2] = words[AUXV_WORDS - 1] = 0; /* ends with AT_NULL whatever was given */
    mm_auxv_set(t->mm, words, size / sizeof(words[0]));
    return 0;
}

static int set_map(struct task *t, uint64_t ua, uint64_t size)
{
    struct prctl_mm_map m;
    struct mm_layout l;
    if (size != sizeof(m))
        return -EINVAL;
    if (uaccess_read_obj(t->mm, &m, uaddr(ua)))
        return -EFAULT;
    mm_layout_get(t->mm, &l);
    l.start_code = m.start_code, l.end_code = m.end_code;
    l.start_data = m.start_data, l.end_data = m.end_data;
    l.start_brk = m.start_brk, l.brk = m.brk, l.start_stack = m.start_stack;
    l.arg_start = m.arg_start, l.arg_end = m.arg_end;
    l.env_start = m.env_start, l.env_end = m.env_end;
    int r = layout_check(&l);
    if (!r && m.auxv_size)
        r = set_auxv(t, (uint64_t)m.auxv, m.auxv_size);
    if (!r && m.exe_fd != (uint32_t)-1)
        r = set_exe(t, (int)m.exe_fd);
    if (!r)
        mm_layout_set(t->mm, &l);
    return r;
}

static uint64_t *layout_field(struct mm_layout *l, int which)
{
    switch (which) {
    case PR_SET_MM_START_CODE:
        return &l->start_code;
    case PR_SET_MM_END_CODE:
        return &l->end_code;
    case PR_SET_MM_START_DATA:
        return &l->start_data;
    case PR_SET_MM_END_DATA:
        return &l->end_data;
    case PR_SET_MM_START_STACK:
        return &l->start_stack;
    case PR_SET_MM_START_BRK:
        return &l->start_brk;
    case PR_SET_MM_BRK:
        return &l->brk;
    case PR_SET_MM_ARG_START:
        return &l->arg_start;
    case PR_SET_MM_ARG_END:
        return &l->arg_end;
    case PR_SET_MM_ENV_START:
        return &l->env_start;
    case PR_SET_MM_ENV_END:
        return &l->env_end;
    }
    return NULL;
}

/* These are strings and a stack: somebody must have put something there. */
static bool field_needs_vma(int which)
{
    return which == PR_SET_MM_START_STACK || which == PR_SET_MM_ARG_START ||
           which == PR_SET_MM_ARG_END || which == PR_SET_MM_ENV_START || which == PR_SET_MM_ENV_END;
}

static bool is_mapped(struct mm *mm, uint64_t addr)
{
    struct mm_vma_info v;
    if (!mm_vma_next(mm, addr, &v))
        return false;
    if (v.file)
        file_put(v.file);
    return v.start <= addr;
}

static int set_field(struct task *t, int which, uint64_t addr)
{
    struct mm_layout l;
    mm_layout_get(t->mm, &l);
    uint64_t *field = layout_field(&l, which);
    if (!field || !addr_ok(addr))
        return -EINVAL;
    *field = addr;
    int r = layout_check(&l);
    if (!r && field_needs_vma(which) && !is_mapped(t->mm, addr))
        r = -EFAULT;
    if (!r)
        mm_layout_set(t->mm, &l);
    return r;
}

int64_t prctl_set_mm(struct task *t, const uint64_t *v)
{
    int which = v[0];
    uint32_t size = sizeof(struct prctl_mm_map);
    bool sized = which == PR_SET_MM_AUXV || which == PR_SET_MM_MAP || which == PR_SET_MM_MAP_SIZE;
    if (v[3] || (v[2] && !sized))
        return -EINVAL;
    if (which == PR_SET_MM_MAP_SIZE)
        return uaccess_write_obj(t->mm, uaddr(v[1]), &size);
    if (which == PR_SET_MM_MAP && v[2] != size)
        return -EINVAL;
    if (!cred_has_cap(t->cred, CAP_SYS_RESOURCE))
        return -EPERM;
    if (which == PR_SET_MM_MAP)
        return set_map(t, v[1], v[2]);
    if (which == PR_SET_MM_EXE_FILE)
        return set_exe(t, (int)v[1]);
    if (which == PR_SET_MM_AUXV)
        return set_auxv(t, v[1], v[2]);
    return set_field(t, which, v[1]);
}

/* ---- names of anonymous memory ------------------------------------------------------------------
 */

#define NAME_MAX_BYTES 80 /* with the NUL */

static bool name_ok(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || (unsigned char)*s > 0x7e || strchr("\\`$[]", *s))
            return false;
    return true;
}

/* Linux built without CONFIG_ANON_VMA_NAME says EINVAL to all of it; with it, names show in
 * /proc/PID/maps. */
int64_t prctl_vma_name(struct task *t, const uint64_t *v)
{
    char name[NAME_MAX_BYTES];
    uint64_t end;
    if (v[0] != PR_SET_VMA_ANON_NAME)
        return -EINVAL;
    if (v[3]) {
        ssize_t n = uaccess_read_str(t->mm, name, uaddr(v[3]), sizeof(name));
        if (n < 0)
            return n == -EFAULT ? -EFAULT : -EINVAL;
        if (!name_ok(name))
            return -EINVAL;
    }
    if (page_offset(v[1]) || !add_u64(v[1], v[2], &end) || !page_up(end, &end))
        return -EINVAL;
    return mm_name_range(t->mm, v[1], end - v[1], v[3] ? name : NULL);
}
