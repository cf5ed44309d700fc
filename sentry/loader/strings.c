/* argv and envp on their way from one address space to the next. */
#include "loader_priv.h"

#include <stdlib.h>
#include <string.h>

#define POINTER_BATCH 32u

/* Room for size more bytes after s->size. */
static int reserve(struct exec_strings *s, size_t size)
{
    if (s->size + size > EXEC_TOTAL_MAX)
        return -E2BIG;
    if (s->size + size <= s->capacity)
        return 0;
    size_t least = MAX(s->size + size, (size_t)8192);
    size_t capacity = MAX(s->capacity * 2, least);
    char *p = realloc(s->data, capacity);
    if (!p)
        return -ENOMEM;
    s->data = p;
    s->capacity = capacity;
    return 0;
}

int exec_strings_append(struct exec_strings *s, const char *str)
{
    size_t size = strlen(str) + 1;
    if (size > EXEC_STRING_MAX)
        return -E2BIG;
    int r = reserve(s, size);
    if (r)
        return r;
    memcpy(s->data + s->size, str, size);
    s->size += size;
    return 0;
}

static int import_one(struct exec_strings *s, struct mm *mm, struct uaddr from)
{
    for (size_t room = 512;; room *= 2) {
        room = MIN(room, (size_t)EXEC_STRING_MAX);
        int r = reserve(s, room);
        if (r)
            return r;
        ssize_t n = uaccess_read_str(mm, s->data + s->size, from, s->capacity - s->size);
        if (n >= EXEC_STRING_MAX || (n == -ENAMETOOLONG && room == EXEC_STRING_MAX))
            return -E2BIG;
        if (n == -ENAMETOOLONG)
            continue;
        if (n < 0)
            return n;
        s->size += n + 1;
        return 0;
    }
}

/* One NULL-terminated array of pointers; a null array counts as empty. */
static int import_array(struct exec_strings *s, struct mm *mm, struct uaddr array, unsigned *count)
{
    uint64_t batch[POINTER_BATCH];
    *count = 0;
    if (!array.v)
        return 0;
    for (;;) {
        size_t got = uaccess_read_some(mm, batch, uaddr_add(array, *count * 8ull), sizeof(batch)) / 8;
        if (!got)
            return -EFAULT;
        for (size_t i = 0; i < got; i++) {
            if (!batch[i])
                return 0;
            int r = import_one(s, mm, uaddr(batch[i]));
            if (r)
                return r;
            (*count)++;
        }
    }
}

int exec_strings_import(struct exec_strings *s, struct mm *mm, struct uaddr argv, struct uaddr envp)
{
    *s = (struct exec_strings){0};
    int r = import_array(s, mm, argv, &s->argc);
    /* An empty argv becomes {""}, as since Linux 5.18: programs look at argv[0] unasked. */
    if (!r && !s->argc) {
        r = exec_strings_append(s, "");
        s->argc = 1;
    }
    if (!r)
        r = import_array(s, mm, envp, &s->envc);
    if (r)
        exec_strings_free(s);
    return r;
}

int exec_strings_from_host(struct exec_strings *s, char *const *argv, char *const *envp)
{
    int r = 0;
    *s = (struct exec_strings){0};
    for (; argv && argv[s->argc] && !r; s->argc++)
        r = exec_strings_append(s, argv[s->argc]);
    if (!r && !s->argc) {
        r = exec_strings_append(s, "");
        s->argc = 1;
    }
    for (; envp && envp[s->envc] && !r; s->envc++)
        r = exec_strings_append(s, envp[s->envc]);
    if (r)
        exec_strings_free(s);
    return r;
}

void exec_strings_free(struct exec_strings *s)
{
    free(s->data);
    *s = (struct exec_strings){0};
}

int exec_strings_check(const struct exec_strings *s, uint64_t stack_limit)
{
    uint64_t limit = MIN(stack_limit / 4, EXEC_TOTAL_MAX);
    limit = MAX(limit, (uint64_t)EXEC_TOTAL_MIN);
    uint64_t pointers = ((uint64_t)s->argc + s->envc) * sizeof(uint64_t);
    return s->size + pointers > limit ? -E2BIG : 0;
}

int exec_strings_replace_first(struct exec_strings *s, const char *const *with, unsigned count)
{
    struct exec_strings n = {.argc = s->argc - 1 + count, .envc = s->envc};
    size_t first = strlen(s->data) + 1;
    int r = 0;
    for (unsigned i = 0; i < count && !r; i++)
        r = exec_strings_append(&n, with[i]);
    if (!r)
        r = reserve(&n, s->size - first);
    if (r) {
        exec_strings_free(&n);
        return r;
    }
    memcpy(n.data + n.size, s->data + first, s->size - first);
    n.size += s->size - first;
    free(s->data);
    *s = n;
    return 0;
}
