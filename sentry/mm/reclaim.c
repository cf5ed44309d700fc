/* Giving back what was never used: frames that came with a chunk around a fault and that the guest
 * has not touched. Only needed when the sandbox reaches its memory ceiling.
 *
 * A guest may touch a frame while we look, so the order is: hole found → translation removed and
 * flushed → still a hole → frame freed. */
#include "mm_priv.h"

#define COARSE (16 * RF_PAGE_SIZE) /* tried first: shorter holes split mappings for little */

static bool is_hole(uint64_t offset, uint64_t size)
{
    return memfile_next_data(offset, offset + size) == offset + size;
}

static uint64_t reclaim_hole(struct mm *mm, uint64_t va, uint64_t offset, uint64_t size)
{
    mm_unmap_platform(mm, va, va + size);
    frames_change(&mm->frames, va, va + size, 0, FRAME_MAPPED);
    if (!is_hole(offset, size))
        return 0;
    frames_clear(&mm->frames, va, va + size);
    return size;
}

static uint64_t reclaim_run(struct mm *mm, const struct frame_run *run, uint64_t piece)
{
    uint64_t end = run->offset + run->size, data, sum = 0;
    for (uint64_t at = run->offset; at < end; at = data + piece) {
        data = memfile_next_data(at, end);
        if (data - at >= piece)
            sum += reclaim_hole(mm, run->va + (at - run->offset), at, data - at);
    }
    return sum;
}

static uint64_t reclaim_pieces(struct mm *mm, uint64_t piece)
{
    const uint64_t end = mm->platform->va_end;
    struct frame_run run;
    uint64_t sum = 0;
    for (uint64_t at = 0; frames_run(&mm->frames, at, end, FRAME_COW, &run); at = run.va + run.size)
        if (!(run.flags & FRAME_COW))
            sum += reclaim_run(mm, &run, piece);
    return sum;
}

bool mm_reclaim(struct mm *mm)
{
    uint64_t held = mm->frames.count << RF_PAGE_SHIFT, sum = reclaim_pieces(mm, COARSE);
    if (sum < held / 16)
        sum += reclaim_pieces(mm, RF_PAGE_SIZE);
    return sum;
}
