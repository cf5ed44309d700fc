/* Private to the time room. */
#pragma once

#include <stdint.h>

/* Make the vDSO's parameter page answer for the next moments. Cheap when it was done just now. */
void vdso_refresh(void);
/* The wall clock has been set: what the page says of it is wrong. */
void vdso_clock_set(void);
int64_t wallclock_offset(void); /* to be added to the host's CLOCK_REALTIME */
int64_t wallclock_tai_ns(void); /* CLOCK_TAI's lead over the wall clock */
void wallclock_init(void);
