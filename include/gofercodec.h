/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one bounds-checked codec of the gofer protocol, for both sides.
 *
 * A reader or writer walks over a buffer. The first step past the end sets `bad`, and every later
 * step then does nothing (a reader yields zeroes): callers decode everything and check once, with
 * gofercodec_done() or `bad`.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "goferproto.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the wire is little-endian and so are we");

struct gofercodec_reader {
    const uint8_t *next;
    size_t left;
    bool bad;
};

struct gofercodec_writer {
    uint8_t *base;
    size_t size; /* written */
    size_t room; /* of the whole buffer */
    bool bad;
};

/* A name or value inside a message: borrowed, not terminated. */
struct gofercodec_bytes {
    const char *data;
    uint32_t size;
};

static inline void gofercodec_reader_init(struct gofercodec_reader *r, const void *data,
                                          size_t size)
{
    *r = (struct gofercodec_reader){.next = data, .left = size};
}

/* size bytes in place, or NULL and bad. */
static inline const void *gofercodec_take(struct gofercodec_reader *r, size_t size)
{
    const uint8_t *at = r->next;

    if (r->bad || size > r->left) {
        r->bad = true;
        return NULL;
    }
    r->next += size;
    r->left -= size;
    return at;
}

static inline void gofercodec_get(struct gofercodec_reader *r, void *to, size_t size)
{
    const void *at = gofercodec_take(r, size);

    if (at)
        memcpy(to, at, size);
    else
        memset(to, 0, size);
}

static inline struct gofercodec_bytes gofercodec_get_sized(struct gofercodec_reader *r, size_t size,
                                                           size_t max)
{
    struct gofercodec_bytes b = {.data = ""};
    const char *at = NULL;

    if (size > max)
        r->bad = true;
    at = gofercodec_take(r, size);
    if (at) {
        b.data = at;
        b.size = (uint32_t)size;
    }
    return b;
}

/* A blob of at most max bytes. */
static inline struct gofercodec_bytes gofercodec_get_blob(struct gofercodec_reader *r, size_t max)
{
    struct goferp_blob head;

    gofercodec_get(r, &head, sizeof(head));
    return gofercodec_get_sized(r, head.size, max);
}

/* The same with a 32-bit size, for xattr values. */
static inline struct gofercodec_bytes gofercodec_get_blob32(struct gofercodec_reader *r, size_t max)
{
    uint32_t size;

    gofercodec_get(r, &size, sizeof(size));
    return gofercodec_get_sized(r, size, max);
}

/* Everything was there, and nothing is left over. */
static inline bool gofercodec_done(const struct gofercodec_reader *r)
{
    return !r->bad && r->left == 0;
}

static inline void gofercodec_writer_init(struct gofercodec_writer *w, void *buf, size_t room)
{
    *w = (struct gofercodec_writer){.base = buf, .room = room};
}

/* Room for size bytes, to be filled by the caller, or NULL and bad. */
static inline void *gofercodec_reserve(struct gofercodec_writer *w, size_t size)
{
    uint8_t *at = w->base + w->size;

    if (w->bad || size > w->room - w->size) {
        w->bad = true;
        return NULL;
    }
    w->size += size;
    return at;
}

static inline void gofercodec_put(struct gofercodec_writer *w, const void *from, size_t size)
{
    void *at = gofercodec_reserve(w, size);

    if (at && size)
        memcpy(at, from, size);
}

static inline void gofercodec_put_blob(struct gofercodec_writer *w, const void *from, size_t size)
{
    struct goferp_blob head = {.size = (uint16_t)size};

    if (size > UINT16_MAX)
        w->bad = true;
    gofercodec_put(w, &head, sizeof(head));
    gofercodec_put(w, from, size);
}

static inline void gofercodec_put_blob32(struct gofercodec_writer *w, const void *from, size_t size)
{
    uint32_t head = (uint32_t)size;

    if (size > UINT32_MAX)
        w->bad = true;
    gofercodec_put(w, &head, sizeof(head));
    gofercodec_put(w, from, size);
}
