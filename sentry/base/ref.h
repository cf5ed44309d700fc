/* Counted references. Every shared object embeds one struct ref; its room offers x_get and x_put.
 * Underflow and resurrection are fatal in all builds: they are memory errors waiting to happen. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct ref {
    uint32_t count; /* atomic */
};

void ref_init(struct ref *r); /* one reference, the caller's */
void ref_get(struct ref *r);  /* the caller must already be sure that the object lives */
/* Take a reference unless the count has reached zero: for lookups in tables that hold none. */
bool ref_get_unless_zero(struct ref *r) __attribute__((warn_unused_result));
/* True for the caller that dropped the last one and must now destroy the object. */
bool ref_put(struct ref *r) __attribute__((warn_unused_result));
uint32_t ref_read(const struct ref *r); /* for diagnostics and "am I the only one" under a lock */
