/* Memory of one conversion, given back in one piece. */
#include "convert.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct rf_chunk {
    struct rf_chunk *next;
    max_align_t data[];
};

void *arena_alloc(struct rf_arena *a, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count ? count : 1, size, &bytes) ||
        __builtin_add_overflow(bytes, sizeof(struct rf_chunk), &bytes))
        return NULL;
    struct rf_chunk *c = calloc(1, bytes);
    if (!c)
        return NULL;
    c->next = a->chunks;
    a->chunks = c;
    return c->data;
}

char *arena_format(struct rf_arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *text = n < 0 ? NULL : arena_alloc(a, n + 1, 1);
    if (!text)
        return NULL;
    va_start(ap, fmt);
    vsnprintf(text, n + 1, fmt, ap);
    va_end(ap);
    return text;
}

void arena_free(struct rf_arena *a)
{
    while (a->chunks) {
        struct rf_chunk *next = a->chunks->next;
        free(a->chunks);
        a->chunks = next;
    }
}

int rf_no_memory(struct rf_error *e)
{
    return rf_fail(e, "out of memory");
}
