/* The loader on arbitrary bytes, as a program, as its interpreter and as a script. */
#include "loader/loader_testlib.h"

#include "base/log.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static void on_fault(int sig, siginfo_t *si, void *uc)
{
    if (!uaccess_fixup(uc, (uint64_t)si->si_addr))
        abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigaction(SIGBUS, &sa, NULL);
    world_init();
    return 0;
}

/* The first byte says where the two files are cut apart. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct loader_result r;
    if (size < 2)
        return 0;
    size_t cut = (size - 1) * data[0] / 255;
    world_add("/p", data + 1, cut);
    world_add("/l", data + 1 + cut, size - 1 - cut);
    if (!world_load("/p", &r))
        world_drop(&r);
    bug_on(world_open_files());
    return 0;
}
