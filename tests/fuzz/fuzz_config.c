/* config.json of arbitrary bytes: parsed, checked against the table, and converted to what the
 * sandbox takes. */
#include "runsc-compat/convert.h"
#include "runsc-compat/spec.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

struct rf_options g_rf = {
    .root = "", .overlay = "none", .file_access = "exclusive", .log = "/dev/null"};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct rf_error e;
    return rf_log_open(&e);
}

static void convert(const json_t *config)
{
    struct rf_error e;
    struct rf_arena arena = {0};
    struct sb_container c;
    (void)!convert_container(config, "/nonexistent", &arena, &c, &e);
    (void)!convert_mounts(config, "/nonexistent", &arena, &c, &e);
    (void)!convert_process(spec_get(config, "process"), &arena, &c.process, &e);
    (void)!convert_seccomp(spec_get(config, "linux.seccomp"), &arena, &c.process.seccomp, &e);
    arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rf_error e;
    json_t *config = spec_parse((const char *)data, size, &e);
    if (config)
        convert(config);
    json_decref(config);
    return 0;
}
