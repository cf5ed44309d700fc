/* The smallest program that says something: what comes up first on a new platform. */
#include "guest.h"

static void alive(void)
{
    CHECK(getpid() > 0);
}

GUEST_MAIN(C(alive))
