/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fid table. A slot is free, reserved (one reference, no number), live (the table's reference
 * and those of the requests at work), or clunked (only requests hold it); its descriptor is closed
 * with the last reference, so that no request ever works on a recycled descriptor. Slots live in
 * chunks and never move.
 */
#include "gofer_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define CHUNK_SLOTS 256u

int gofer_fid_table_init(struct gofer_fid_table *t, uint32_t max)
{
    *t = (struct gofer_fid_table){.slot_max = max};
    t->chunks = calloc(max / CHUNK_SLOTS + 1, sizeof(*t->chunks));
    if (!t->chunks)
        return -ENOMEM;
    pthread_mutex_init(&t->lock, NULL);
    return 0;
}

static struct gofer_fid *slot_at(struct gofer_fid_table *t, uint32_t index)
{
    return &t->chunks[index / CHUNK_SLOTS][index % CHUNK_SLOTS];
}

void gofer_fid_table_destroy(struct gofer_fid_table *t)
{
    uint32_t i;

    for (i = 0; i < t->slot_count; i++) {
        if (slot_at(t, i)->fd >= 0)
            close(slot_at(t, i)->fd);
        pthread_mutex_destroy(&slot_at(t, i)->lock);
    }
    for (i = 0; i <= t->slot_max / CHUNK_SLOTS; i++)
        free(t->chunks[i]);
    free(t->chunks);
    pthread_mutex_destroy(&t->lock);
}

/* lock: table. The slot's generation moves on whenever it becomes free. */
static void slot_free_locked(struct gofer_fid_table *t, struct gofer_fid *f)
{
    f->fd = -1;
    f->live = false;
    f->refs = 0;
    if (++f->generation == 0)
        f->generation = 1;
    f->next_free = t->first_free;
    t->first_free = f->index + 1;
}

static int slot_add_locked(struct gofer_fid_table *t)
{
    uint32_t index = t->slot_count;
    struct gofer_fid *f;

    if (index >= t->slot_max)
        return -EMFILE;
    if (!t->chunks[index / CHUNK_SLOTS]) {
        t->chunks[index / CHUNK_SLOTS] = calloc(CHUNK_SLOTS, sizeof(struct gofer_fid));
        if (!t->chunks[index / CHUNK_SLOTS])
            return -ENOMEM;
    }
    t->slot_count++;
    f = slot_at(t, index);
    f->index = index;
    pthread_mutex_init(&f->lock, NULL);
    slot_free_locked(t, f);
    return 0;
}

int gofer_fid_reserve(struct gofer_fid_table *t, struct gofer_fid **out)
{
    struct gofer_fid *f;
    int rc = 0;

    pthread_mutex_lock(&t->lock);
    if (!t->first_free)
        rc = slot_add_locked(t);
    if (rc == 0) {
        f = slot_at(t, t->first_free - 1);
        t->first_free = f->next_free;
        f->refs = 1;
        *out = f;
    }
    pthread_mutex_unlock(&t->lock);
    return rc;
}

void gofer_fid_cancel(struct gofer_fid_table *t, struct gofer_fid *f)
{
    gofer_fid_put(t, f);
}

uint64_t gofer_fid_install(struct gofer_fid_table *t, struct gofer_fid *f, int fd,
                           enum gofer_fid_kind kind, uint16_t export,
                           const struct gofer_inode *inode)
{
    uint64_t number;

    f->fd = fd;
    f->kind = (uint8_t)kind;
    f->export = export;
    f->inode = *inode;
    f->position = 0;
    pthread_mutex_lock(&t->lock);
    f->refs++;
    f->live = true;
    number = (uint64_t)f->generation << 32 | (f->index + 1);
    pthread_mutex_unlock(&t->lock);
    return number;
}

static struct gofer_fid *find_locked(struct gofer_fid_table *t, uint64_t fid)
{
    uint32_t index = (uint32_t)fid - 1;
    struct gofer_fid *f;

    if (index >= t->slot_count)
        return NULL;
    f = slot_at(t, index);
    return f->live && f->generation == fid >> 32 ? f : NULL;
}

struct gofer_fid *gofer_fid_get(struct gofer_fid_table *t, uint64_t fid)
{
    struct gofer_fid *f;

    pthread_mutex_lock(&t->lock);
    f = find_locked(t, fid);
    if (f)
        f->refs++;
    pthread_mutex_unlock(&t->lock);
    return f;
}

/* lock: table. Returns the descriptor to close, outside the lock, or -1. */
static int put_locked(struct gofer_fid_table *t, struct gofer_fid *f)
{
    int fd = -1;

    if (--f->refs == 0) {
        fd = f->fd;
        slot_free_locked(t, f);
    }
    return fd;
}

void gofer_fid_put(struct gofer_fid_table *t, struct gofer_fid *f)
{
    int fd;

    pthread_mutex_lock(&t->lock);
    fd = put_locked(t, f);
    pthread_mutex_unlock(&t->lock);
    if (fd >= 0)
        close(fd);
}

bool gofer_fid_clunk(struct gofer_fid_table *t, uint64_t fid)
{
    struct gofer_fid *f;
    int fd = -1;

    pthread_mutex_lock(&t->lock);
    f = find_locked(t, fid);
    if (f) {
        f->live = false;
        fd = put_locked(t, f);
    }
    pthread_mutex_unlock(&t->lock);
    if (fd >= 0)
        close(fd);
    return f;
}
