/* Descriptions that come over the control socket: any bytes are parsed or refused. The first byte
 * says whether as a container or as a process. */
#include "control/control_priv.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct container_desc d;
    const char *bad = "";
    if (!size)
        return 0;
    char *text = malloc(size);
    memcpy(text, data + 1, size - 1);
    text[size - 1] = 0;
    int err = desc_parse(text, size - 1, data[0] & 1, &d, &bad);
    if (!err && (!d.process.argc || !d.process.cwd || d.process.argv[d.process.argc]))
        abort();
    for (unsigned i = 0; !err && i < d.mount_count; i++)
        if (d.mounts[i].dest[0] != '/' || !d.mounts[i].type || !d.mounts[i].data)
            abort();
    desc_free(&d);
    return 0;
}
