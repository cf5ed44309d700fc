/* The table of platforms that this build has. Build options choose the entries, not the code. */
#include "platform.h"

const struct pl_ops *const g_platforms[] = {
#ifdef RF_HAVE_SYSTRAP
    &g_platform_systrap,
#endif
#ifdef RF_HAVE_KVM
    &g_platform_kvm,
#endif
    &g_platform_skeleton, NULL};
