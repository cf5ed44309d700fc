/* Arithmetic on sizes that a guest chose. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RF_PAGE_SHIFT  12
#define RF_PAGE_SIZE   4096ul
#define RF_PAGE_MASK   (~(RF_PAGE_SIZE - 1))
#define ARRAY_COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)                                                                                  \
    ({                                                                                             \
        __typeof__(a) min_a_ = (a);                                                                \
        __typeof__(b) min_b_ = (b);                                                                \
        min_a_ < min_b_ ? min_a_ : min_b_;                                                         \
    })
#define MAX(a, b)                                                                                  \
    ({                                                                                             \
        __typeof__(a) max_a_ = (a);                                                                \
        __typeof__(b) max_b_ = (b);                                                                \
        max_a_ > max_b_ ? max_a_ : max_b_;                                                         \
    })

static inline uint64_t page_down(uint64_t v)
{
    return v & RF_PAGE_MASK;
}
static inline uint64_t page_offset(uint64_t v)
{
    return v & ~RF_PAGE_MASK;
}
/* False when rounding up would wrap. */
static inline bool page_up(uint64_t v, uint64_t *out)
{
    if (v > UINT64_MAX - (RF_PAGE_SIZE - 1))
        return false;
    *out = (v + RF_PAGE_SIZE - 1) & RF_PAGE_MASK;
    return true;
}
static inline bool add_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}
static inline bool mul_size(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}
