/* config.json, checked against one table of fields.
 *
 * The table (spec_fields.c) says of each field of the runtime specification what type it has, what
 * bounds, and whether runrf does it, notes it (accepted, without effect here, and logged) or
 * refuses it. The reader, the refusals and docs/spec-fields.md all come from it. A document that
 * passed spec_check has only values of the right type and size, so readers need not look again. */
#pragma once

#include "runrf.h"

enum spec_type {
    SPEC_OBJECT,
    SPEC_ARRAY, /* elements are the field "path[]" */
    SPEC_MAP,   /* keys are free; values are the field "path{}" */
    SPEC_STRING,
    SPEC_PATH, /* a string, absolute */
    SPEC_BOOL,
    SPEC_INT,  /* int64 */
    SPEC_UINT, /* uint64 */
    SPEC_ID,   /* uint32 */
    SPEC_ANY,
};

enum spec_status {
    SPEC_DONE,
    SPEC_NOTED,   /* accepted and logged: it changes nothing here, note says why */
    SPEC_REFUSED, /* an error, unless its value is empty */
};

struct spec_field {
    const char *path; /* "linux.devices[].path" */
    enum spec_type type;
    bool required; /* in its parent, where that is present */
    enum spec_status status;
    const char *choices; /* strings: "a|b|c", or NULL */
    const char *note;    /* for the documents and the log; NULL */
};

extern const struct spec_field g_spec_fields[];
extern const size_t g_spec_field_count;

#define SPEC_MAX_FILE  (16u << 20)
#define SPEC_MAX_ITEMS 65536
#define SPEC_MAX_TEXT  (128u << 10) /* what execve takes as one string */

/* Parse text as config.json; NULL and *e. json_decref it. */
json_t *spec_parse(const char *text, size_t size, struct rf_error *e);
/* Parse a bundle's config.json. */
json_t *spec_load(const char *bundle, struct rf_error *e);
/* Parse what is a part of config.json: at is its place there ("process", "linux.resources"). */
json_t *spec_parse_part(const char *text, size_t size, const char *at, struct rf_error *e);
int spec_check(const json_t *value, const char *at, struct rf_error *e);

/* Readers of a checked document. path is dotted, relative to obj; null counts as absent. */
json_t *spec_get(const json_t *obj, const char *path); /* borrowed; NULL: absent */
const char *spec_string(const json_t *obj, const char *path, const char *absent);
int64_t spec_int(const json_t *obj, const char *path, int64_t absent);
uint64_t spec_uint(const json_t *obj, const char *path, uint64_t absent);
bool spec_bool(const json_t *obj, const char *path, bool absent);
/* NULL-terminated array of borrowed strings, malloc'd (an empty one for an absent field); NULL: no
 * memory. */
char **spec_strings(const json_t *obj, const char *path);
size_t spec_count(const json_t *obj, const char *path);

/* The table as Markdown: docs/spec-fields.md. */
void spec_print_table(void);
