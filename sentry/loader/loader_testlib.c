/* See loader_testlib.h: stands in for the file system and the kernel root object. */
#include "loader/loader_testlib.h"

#include "base/log.h"
#include "fs/vfs.h"
#include "kernel/kernel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WORLD_MAX 16

struct world_file {
    char name[64];
    const void *data;
    uint64_t size;
};

static struct world_file g_files[WORLD_MAX];
static unsigned g_count;
static unsigned g_open;
static struct cred g_cred = {.uid = 1, .euid = 2, .gid = 3, .egid = 4};
static struct vdso g_vdso;
struct kernel g_kernel;

#pragma GCC diagnostic ignored "-Wmissing-prototypes"

void world_init(void)
{
    fake_init();
    g_kernel.platform = &g_fake;
    g_vdso.image_size = g_vdso.param_size = 4096;
    bug_on(memfile_alloc(4096, &g_vdso.image_offset));
    bug_on(memfile_alloc(4096, &g_vdso.param_offset));
}

void world_add(const char *name, const void *data, uint64_t size)
{
    struct world_file *f = NULL;
    for (unsigned i = 0; i < g_count; i++)
        if (!strcmp(g_files[i].name, name))
            f = &g_files[i];
    if (!f) {
        bug_on(g_count == WORLD_MAX);
        f = &g_files[g_count++];
    }
    strncpy(f->name, name, sizeof(f->name) - 1);
    f->data = data;
    f->size = size;
}

int vfs_open_exec(struct task *t, int dirfd, const char *name, int flags, struct file **out)
{
    for (unsigned i = 0; i < g_count; i++)
        if (!strcmp(g_files[i].name, name)) {
            *out = fake_file_new(g_files[i].data, g_files[i].size, /*writable=*/false);
            g_open++;
            return 0;
        }
    return -ENOENT;
}

int64_t vfs_read_kernel(struct file *f, void *buf, size_t size, int64_t pos)
{
    ssize_t n = pread(fake_file_fd(f), buf, size, pos);
    return n < 0 ? -EIO : n;
}

void file_get(struct file *f)
{
    ref_get(&f->ref);
}

void file_put(struct file *f)
{
    bool last = ref_read(&f->ref) == 1;
    fake_file_put(f);
    g_open -= last;
}

unsigned world_open_files(void)
{
    return g_open;
}

int world_load(const char *name, struct loader_result *out)
{
    struct file *f;
    struct exec_strings s;
    char *argv[] = {(char *)name, (char *)"arg", NULL}, *envp[] = {(char *)"A=b", NULL};
    int r = vfs_open_exec(NULL, 0, name, 0, &f);
    if (r)
        return r;
    bug_on(exec_strings_from_host(&s, argv, envp));
    struct loader_args a = {.file = f,
                            .filename = name,
                            .strings = &s,
                            .cred = &g_cred,
                            .vdso = &g_vdso,
                            .stack_limit = 8 << 20};
    r = loader_load(&a, out);
    exec_strings_free(&s);
    file_put(f);
    return r;
}

void world_drop(struct loader_result *r)
{
    mm_put(r->mm);
    file_put(r->exe);
}
