/* Which parts of a guest address space its stub has mapped: a sorted array of ranges that do not
 * touch. mprotect needs to know (it stops at the first hole), and unmapping nothing can be left
 * out. When memory is short the set may say more than is true, which costs time only. */
#include "systrap_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The first range that ends at or behind va; with strict, behind it. */
unsigned st_ranges_find(const struct st_ranges *r, uint64_t va, bool strict)
{
    unsigned low = 0, high = r->count;

    while (low < high) {
        unsigned mid = low + (high - low) / 2;
        if (r->v[mid].end > va || (!strict && r->v[mid].end == va))
            high = mid;
        else
            low = mid + 1;
    }
    return low;
}

static int ranges_insert(struct st_ranges *r, unsigned at, uint64_t start, uint64_t end)
{
    if (r->count == r->room) {
        unsigned room = r->room ? 2 * r->room : 32;
        struct st_range *more = realloc(r->v, room * sizeof(*more));
        if (!more)
            return -ENOMEM;
        r->v = more;
        r->room = room;
    }
    memmove(r->v + at + 1, r->v + at, (r->count - at) * sizeof(*r->v));
    r->v[at] = (struct st_range){start, end};
    r->count++;
    return 0;
}

static void ranges_delete(struct st_ranges *r, unsigned at, unsigned count)
{
    memmove(r->v + at, r->v + at + count, (r->count - at - count) * sizeof(*r->v));
    r->count -= count;
}

int st_ranges_add(struct st_ranges *r, uint64_t start, uint64_t end)
{
    unsigned at = st_ranges_find(r, start, /*strict=*/false), last = at;

    while (last < r->count && r->v[last].start <= end)
        last++;
    if (last == at)
        return ranges_insert(r, at, start, end);
    if (r->v[at].start < start)
        start = r->v[at].start;
    if (r->v[last - 1].end > end)
        end = r->v[last - 1].end;
    r->v[at] = (struct st_range){start, end};
    ranges_delete(r, at + 1, last - at - 1);
    return 0;
}

void st_ranges_remove(struct st_ranges *r, uint64_t start, uint64_t end)
{
    unsigned at = st_ranges_find(r, start, /*strict=*/true), last;

    if (at < r->count && r->v[at].start < start && r->v[at].end > end) {
        uint64_t tail = r->v[at].end;
        if (!ranges_insert(r, at + 1, end, tail)) /* else it stays one: more than is true */
            r->v[at].end = start;
        return;
    }
    if (at < r->count && r->v[at].start < start)
        r->v[at++].end = start;
    for (last = at; last < r->count && r->v[last].end <= end;)
        last++;
    if (last < r->count && r->v[last].start < end)
        r->v[last].start = end;
    ranges_delete(r, at, last - at);
}

void st_ranges_clear(struct st_ranges *r)
{
    free(r->v);
    *r = (struct st_ranges){0};
}
