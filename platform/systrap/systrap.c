/* The systrap platform: guest code runs in stub processes, and seccomp user notification brings its
 * system calls, faults and signals to the sentry. README.md draws the picture. */
#include "systrap_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/utsname.h>
#include <unistd.h>

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif

enum { MINSIGSTKSZ_DEFAULT = 3632 };

static bool kernel_older_than(int major, int minor)
{
    struct utsname u;
    int a = 0, b = 0;

    if (uname(&u) || sscanf(u.release, "%d.%d", &a, &b) != 2)
        return true;
    return a < major || (a == major && b < minor);
}

/* A slot holds the largest frame that the kernel writes on this machine. */
static uint32_t slot_size(void)
{
    unsigned long frame = getauxval(AT_MINSIGSTKSZ);

    if (!frame)
        frame = MINSIGSTKSZ_DEFAULT;
    return (SLOT_HEAD + frame + PL_PAGE_SIZE - 1) / PL_PAGE_SIZE * PL_PAGE_SIZE;
}

static void systrap_destroy(struct platform *pl)
{
    struct systrap *p = (struct systrap *)pl;

    st_watch_stop(p);
    st_pool_stop(p);
    st_zygote_stop(p);
    pthread_mutex_destroy(&p->lock);
    pthread_mutex_destroy(&p->zygote_lock);
    pthread_mutex_destroy(&p->watch_lock);
    pthread_cond_destroy(&p->watch_cond);
    free(p);
}

static struct systrap *systrap_alloc(const struct pl_config *c)
{
    struct systrap *p = calloc(1, sizeof(*p));

    if (!p)
        return NULL;
    p->pl.ops = &g_platform_systrap;
    p->pl.va_end = STUB_VA;
    p->pl.host_tsc = true; /* guest code runs in an ordinary process */
    p->pl.hwcap2 = getauxval(AT_HWCAP2) & 2;
    p->memfile_fd = c->memfile_fd;
    p->log = c->log;
    p->stub_fd = p->text_fd = -1;
    p->slot_size = slot_size();
    p->poll_first = kernel_older_than(6, 11);
    pthread_mutex_init(&p->lock, NULL);
    pthread_mutex_init(&p->zygote_lock, NULL);
    pthread_mutex_init(&p->watch_lock, NULL);
    pthread_cond_init(&p->watch_cond, NULL);
    for (unsigned i = ST_BLOCK_COUNT - 1; i >= 1; i--)
        p->free_blocks[p->free_count++] = i;
    return p;
}

static int systrap_create(const struct pl_config *c, struct platform **out)
{
    struct systrap *p = systrap_alloc(c);
    struct pl_aspace *first;

    if (!p)
        return -ENOMEM;
    int err = st_zygote_start(p, c);
    if (!err)
        err = st_aspace_create(&p->pl, &first); /* also learns the layout of the FP image */
    if (err) {
        c->log("systrap: no stub process: %d", err);
        systrap_destroy(&p->pl);
        return err;
    }
    st_aspace_destroy(first); /* into the pool */
    c->log("systrap: fpu %u bytes, features %#llx", p->pl.fpu_size,
           (unsigned long long)p->pl.xfeatures);
    *out = &p->pl;
    return 0;
}

const struct pl_ops g_platform_systrap = {
    .name = "systrap",
    .needs_hva = false,
    .probe = st_probe,
    .create = systrap_create,
    .destroy = systrap_destroy,
    .as_create = st_aspace_create,
    .as_destroy = st_aspace_destroy,
    .as_map = st_as_map,
    .as_unmap = st_as_unmap,
    .as_protect = st_as_protect,
    .as_flush = st_as_flush,
    .ctx_create = st_ctx_create,
    .ctx_destroy = st_ctx_destroy,
    .ctx_run = st_ctx_run,
    .ctx_set_result = st_ctx_set_result,
    .ctx_interrupt = st_ctx_interrupt,
    .ctx_get_regs = st_ctx_get_regs,
    .ctx_set_regs = st_ctx_set_regs,
    .ctx_set_base = st_ctx_set_base,
    .ctx_get_fpu = st_ctx_get_fpu,
    .ctx_set_fpu = st_ctx_set_fpu,
};
