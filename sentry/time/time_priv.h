/* Private to the time room. */
#pragma once

/* Make the vDSO's parameter page answer for the next moments. Cheap when it was done just now. */
void vdso_refresh(void);
