/* Between sys_prctl.c and prctl_mm.c. */
#pragma once
#include "kernel/kernel.h"

int64_t prctl_set_mm(struct task *t, const uint64_t *v);   /* PR_SET_MM */
int64_t prctl_vma_name(struct task *t, const uint64_t *v); /* PR_SET_VMA */
