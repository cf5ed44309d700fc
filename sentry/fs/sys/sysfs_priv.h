/* Between sysfs.c and memory.c. */
#pragma once
#include "fs/proc/proc_priv.h"

extern const struct proc_entry g_sys_kernel_mm[];
int sys_show_numastat(struct pbuf *b, const struct proc_ctx *c);
int sys_show_node_meminfo(struct pbuf *b, const struct proc_ctx *c);
