/* The growing text buffer behind every /proc file. */
#include "fs/proc/proc_priv.h"

#include <stdarg.h>

static bool pb_reserve(struct pbuf *b, size_t size)
{
    if (b->failed)
        return false;
    if (b->room - b->size > size)
        return true;
    size_t room = MAX(b->room * 2, b->size + size + 1024);
    char *data = realloc(b->data, room);
    if (!data) {
        b->failed = true;
        return false;
    }
    b->data = data;
    b->room = room;
    return true;
}

void pb_write(struct pbuf *b, const void *data, size_t size)
{
    if (!pb_reserve(b, size))
        return;
    memcpy(b->data + b->size, data, size);
    b->size += size;
}

void pb_str(struct pbuf *b, const char *s)
{
    pb_write(b, s, strlen(s));
}

void pb_escaped(struct pbuf *b, const char *s)
{
    for (; *s; s++) {
        if (strchr(" \t\n\\", *s))
            pb_printf(b, "\\%03o", (unsigned char)*s);
        else
            pb_write(b, s, 1);
    }
}

void pb_printf(struct pbuf *b, const char *fmt, ...)
{
    char small[512];
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(small, sizeof(small), fmt, ap);
    if (n < (int)sizeof(small)) {
        pb_write(b, small, n);
    } else if (pb_reserve(b, n)) {
        vsnprintf(b->data + b->size, n + 1, fmt, again);
        b->size += n;
    }
    va_end(again);
    va_end(ap);
}
