/* The page that the sentry writes and every guest address space maps read-only below the vDSO
 * image.
 *
 * A reading of clock c is base_ns[c] + ((tsc - base_tsc) * mult >> 32), good while tsc - base_tsc
 * is below valid_ticks; afterwards (or with seq odd, or valid_ticks 0) the caller makes the real
 * system call, whose handler freshens the page. So idle sandboxes need no periodic update. */
#pragma once
#include <stdint.h>

struct vdso_params {
    uint32_t seq; /* odd while being written */
    uint32_t pad;
    uint64_t base_tsc, valid_ticks;
    uint64_t mult;   /* ns per tick, 32.32 fixed point */
    int64_t mono_ns; /* CLOCK_MONOTONIC at base_tsc */
    int64_t real_ns; /* CLOCK_REALTIME at base_tsc */
    int64_t boot_ns; /* CLOCK_BOOTTIME at base_tsc */
};
