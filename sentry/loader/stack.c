/* The initial stack, from the top down, as Linux lays it:
 *
 *   8 zero bytes | file name | environment strings | argument strings | (random gap)
 *   "x86_64" | 16 random bytes | (alignment) | auxv | envp[] | argv[] | argc  ← rsp, 16-aligned */
#include "loader_priv.h"

#include "base/host.h"
#include "kernel/kernel.h"

#include <cpuid.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define STACK_INITIAL   (132 * 1024) /* mapped below the strings from the start */
#define AUXV_MAX        32
#define AT_MINSIGSTKSZ_ 51

struct build {
    const struct stack_args *a;
    uint64_t sp;                   /* grows down */
    uint64_t args, envs, envs_end; /* the strings */
    uint64_t execfn, random, platform_name;
    uint64_t auxv[AUXV_MAX * 2];
    unsigned words;
};

static int map_stack(const struct stack_args *a, uint64_t strings)
{
    uint64_t size, va;
    if (!page_up(strings + STACK_INITIAL, &size))
        return -E2BIG;
    struct mm_map m = {.addr = a->top - size,
                       .size = size,
                       .prot = PROT_READ | PROT_WRITE | (a->executable ? PROT_EXEC : 0),
                       .flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_GROWSDOWN,
                       .name = NULL};
    return mm_mmap(a->mm, &m, &va);
}

static int push(struct build *b, const void *data, size_t size)
{
    b->sp -= size;
    return uaccess_write(b->a->mm, uaddr(b->sp), data, size);
}

static int push_strings(struct build *b)
{
    const struct loader_args *l = b->a->load;
    uint64_t zero = 0, env_size = 0;
    int r = push(b, &zero, sizeof(zero));
    if (!r)
        r = push(b, l->filename, strlen(l->filename) + 1);
    b->execfn = b->envs_end = b->sp;
    if (!r)
        r = push(b, l->strings->data, l->strings->size);
    b->args = b->sp;
    const char *p = l->strings->data;
    for (unsigned i = 0; i < l->strings->argc; i++)
        p += strlen(p) + 1;
    env_size = l->strings->size - (p - l->strings->data);
    b->envs = b->envs_end - env_size;
    return r;
}

static int push_random(struct build *b)
{
    uint8_t bytes[16];
    uint16_t gap = 0;
    int r = b->a->fixed ? 0 : host_getrandom(&gap, sizeof(gap));
    if (r)
        return r;
    b->sp = (b->sp - gap % 8192) & ~15ull;
    r = push(b, "x86_64", sizeof("x86_64"));
    b->platform_name = b->sp;
    if (!r)
        r = host_getrandom(bytes, sizeof(bytes));
    if (!r)
        r = push(b, bytes, sizeof(bytes));
    b->random = b->sp;
    return r;
}

static void aux(struct build *b, uint64_t type, uint64_t value)
{
    b->auxv[b->words++] = type;
    b->auxv[b->words++] = value;
}

static uint64_t hwcap(void)
{
    unsigned eax, ebx, ecx, edx = 0;
    __get_cpuid(1, &eax, &ebx, &ecx, &edx);
    return edx;
}

static void fill_auxv(struct build *b)
{
    const struct stack_args *a = b->a;
    const struct cred *c = a->load->cred;
    const struct platform *p = g_kernel.platform;
    if (a->vdso)
        aux(b, AT_SYSINFO_EHDR, a->vdso);
    /* The signal frame: registers and siginfo, red zone, aligned vector state. */
    aux(b, AT_MINSIGSTKSZ_, (p ? p->fpu_size : 576) + 1088);
    aux(b, AT_HWCAP, hwcap());
    aux(b, AT_PAGESZ, RF_PAGE_SIZE);
    aux(b, AT_CLKTCK, 100);
    aux(b, AT_PHDR, a->main->phdr_va);
    aux(b, AT_PHENT, sizeof(Elf64_Phdr));
    aux(b, AT_PHNUM, a->main->eh.e_phnum);
    aux(b, AT_BASE, a->interp_base);
    aux(b, AT_FLAGS, 0);
    aux(b, AT_ENTRY, a->main->entry);
    aux(b, AT_UID, c->uid);
    aux(b, AT_EUID, c->euid);
    aux(b, AT_GID, c->gid);
    aux(b, AT_EGID, c->egid);
    aux(b, AT_SECURE, a->load->secure);
    aux(b, AT_RANDOM, b->random);
    aux(b, AT_HWCAP2, p ? p->hwcap2 : 0);
    aux(b, AT_EXECFN, b->execfn);
    aux(b, AT_PLATFORM, b->platform_name);
    aux(b, AT_NULL, 0);
}

/* count pointers to consecutive strings beginning at va, then a null. */
static uint64_t *put_pointers(uint64_t *out, const char **p, uint64_t *va, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        size_t n = strlen(*p) + 1;
        *out++ = *va;
        *va += n;
        *p += n;
    }
    *out++ = 0;
    return out;
}

static int push_vectors(struct build *b)
{
    const struct exec_strings *s = b->a->load->strings;
    size_t words = 1 + s->argc + 1 + s->envc + 1 + b->words;
    uint64_t *v = malloc(words * sizeof(*v)), va = b->args;
    const char *p = s->data;
    if (!v)
        return -ENOMEM;
    v[0] = s->argc;
    uint64_t *out = put_pointers(v + 1, &p, &va, s->argc);
    out = put_pointers(out, &p, &va, s->envc);
    memcpy(out, b->auxv, b->words * sizeof(*v));
    b->sp = (b->sp - words * sizeof(*v)) & ~15ull;
    int r = uaccess_write(b->a->mm, uaddr(b->sp), v, words * sizeof(*v));
    free(v);
    return r;
}

int stack_build(const struct stack_args *a, struct mm_layout *layout, uint64_t *sp)
{
    const struct exec_strings *s = a->load->strings;
    struct build b = {.a = a, .sp = a->top};
    uint64_t pointers = ((uint64_t)s->argc + s->envc + AUXV_MAX * 2) * sizeof(uint64_t);
    int r = map_stack(a, s->size + strlen(a->load->filename) + pointers + 2 * RF_PAGE_SIZE);
    if (!r)
        r = push_strings(&b);
    if (!r)
        r = push_random(&b);
    if (r)
        return r;
    fill_auxv(&b);
    r = push_vectors(&b);
    if (r)
        return r;
    mm_auxv_set(a->mm, b.auxv, b.words);
    layout->start_stack = b.sp;
    layout->arg_start = b.args;
    layout->arg_end = layout->env_start = b.envs;
    layout->env_end = b.envs_end;
    *sp = b.sp;
    return 0;
}
