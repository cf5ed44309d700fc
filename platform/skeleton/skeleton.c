/* A platform that compiles and refuses: the shape to start a new one from. See include/platform.h
 * for what each call must do and docs/howto-platform.md for the order in which to fill them in. */
#include "platform.h"

#include <errno.h>
#include <stdio.h>

static int skeleton_probe(int kvm_fd, bool measure, struct pl_probe *p)
{
    snprintf(p->reason, sizeof(p->reason), "the skeleton platform runs nothing; it only shows the shape");
    return -ENOSYS;
}

static int skeleton_create(const struct pl_config *c, struct platform **out)
{
    return -ENOSYS;
}

const struct pl_ops g_platform_skeleton = {
    .name = "skeleton",
    .probe = skeleton_probe,
    .create = skeleton_create,
};
