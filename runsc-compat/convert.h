/* From a checked config.json to what launch/sandbox.h takes. Strings are borrowed from the
 * document, arrays belong to an arena: both must outlive the use of the result. */
#pragma once

#include "launch/sandbox.h"
#include "runrf.h"

/* Memory that is given back in one piece. Zero is an empty one. */
struct rf_arena {
    struct rf_chunk *chunks;
};
/* Zeroed; NULL when there is no memory or the size overflows. */
void *arena_alloc(struct rf_arena *a, size_t count, size_t size);
char *arena_format(struct rf_arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void arena_free(struct rf_arena *a);
int rf_no_memory(struct rf_error *e);

/* The object "process" of a document, or what exec --process holds. Descriptors are left closed. */
int convert_process(const json_t *process, struct rf_arena *a, struct sb_process *out,
                    struct rf_error *e);
/* config: a whole document. Fills everything but namespaces, process' descriptors and the id. */
int convert_container(const json_t *config, const char *bundle, struct rf_arena *a,
                      struct sb_container *out, struct rf_error *e);
/* Adds HOME to an environment that has none. */
int convert_home(const char *rootfs, struct rf_arena *a, struct sb_process *p, struct rf_error *e);
/* linux.seccomp. absent (NULL): no filter. */
int convert_seccomp(const json_t *seccomp, struct rf_arena *a, struct sb_seccomp *out,
                    struct rf_error *e);
/* linux.resources, for the sentry's own limits. */
void convert_limits(const json_t *resources, struct sb_limits *out);
int convert_mounts(const json_t *config, const char *bundle, struct rf_arena *a,
                   struct sb_container *out, struct rf_error *e);
int convert_idmaps(const json_t *obj, const char *path, struct rf_arena *a,
                   const struct sb_idmap **out, unsigned *count, struct rf_error *e);

/* "CAP_CHOWN" → mask; unknown names are logged. */
uint64_t convert_capability(const char *name);
/* For "features": NULL after the last. */
const char *mount_option_name(size_t i);
