/* Reading config.json by the table of spec_fields.c. The document is hostile in the sense that any
 * value may have any type and size: everything is checked here, before anyone reads it.
 *
 * Integers are decoded as reals: an unlimited rlimit is written 18446744073709551615, which jansson
 * takes for no integer. Up to 2^53 nothing is lost, and above that only "unlimited" is ever meant.
 */
#include "spec.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_TEXT 256

struct checker {
    struct rf_error *e;
    char field[PATH_TEXT]; /* as in the table: "mounts[].options[]" */
    char shown[PATH_TEXT]; /* as a person says it: "mounts[3].options[0]" */
};

static int check_value(struct checker *c, const json_t *v);

static const struct spec_field *field_find(const char *path)
{
    for (size_t i = 0; i < g_spec_field_count; i++)
        if (!strcmp(g_spec_fields[i].path, path))
            return &g_spec_fields[i];
    return NULL;
}

static const char *type_name(enum spec_type t)
{
    static const char *const names[] = {
        [SPEC_OBJECT] = "an object",
        [SPEC_ARRAY] = "an array",
        [SPEC_MAP] = "an object",
        [SPEC_STRING] = "a string",
        [SPEC_PATH] = "an absolute path",
        [SPEC_BOOL] = "true or false",
        [SPEC_INT] = "an integer",
        [SPEC_UINT] = "an integer that is not negative",
        [SPEC_ID] = "an integer from 0 to 4294967295",
        [SPEC_ANY] = "anything",
    };
    return names[t];
}

static bool integer_in(const json_t *v, double low, double high)
{
    if (!json_is_number(v))
        return false;
    double d = json_number_value(v);
    return d == floor(d) && d >= low && d <= high;
}

static bool type_fits(const json_t *v, enum spec_type t)
{
    switch (t) {
    case SPEC_OBJECT:
    case SPEC_MAP:
        return json_is_object(v);
    case SPEC_ARRAY:
        return json_is_array(v);
    case SPEC_STRING:
        return json_is_string(v);
    case SPEC_PATH:
        return json_is_string(v) && json_string_value(v)[0] == '/';
    case SPEC_BOOL:
        return json_is_boolean(v);
    case SPEC_INT:
        return integer_in(v, -9223372036854775808.0, 9223372036854775807.0);
    case SPEC_UINT:
        return integer_in(v, 0, 18446744073709551615.0);
    case SPEC_ID:
        return integer_in(v, 0, UINT32_MAX);
    case SPEC_ANY:
        return true;
    }
    return false;
}

static bool is_choice(const char *choices, const char *text)
{
    size_t len = strlen(text);
    for (const char *p = choices;; p++) {
        size_t n = strcspn(p, "|");
        if (n == len && !strncmp(p, text, n))
            return true;
        p += n;
        if (!*p)
            return false;
    }
}

static bool is_empty(const json_t *v)
{
    return (json_is_string(v) && !json_string_length(v)) ||
           (json_is_array(v) && !json_array_size(v)) ||
           (json_is_object(v) && !json_object_size(v)) || json_is_false(v);
}

static int check_string(struct checker *c, const struct spec_field *f, const json_t *v)
{
    const char *text = json_string_value(v);
    size_t max = f->type == SPEC_PATH ? PATH_MAX - 1 : SPEC_MAX_TEXT;
    if (json_string_length(v) > max)
        return rf_fail(c->e, "config.json: %s: longer than %zu bytes", c->shown, max);
    if (strlen(text) != json_string_length(v))
        return rf_fail(c->e, "config.json: %s: contains a zero byte", c->shown);
    if (f->choices && !is_choice(f->choices, text))
        return rf_fail(c->e, "config.json: %s: \"%.100s\" is not one of %s", c->shown, text,
                       f->choices[0] == '|' ? f->choices + 1 : f->choices);
    return 0;
}

/* Go one step down: extends both names, and cuts them again afterwards. A name too long to be in
 * the table is nobody's field. */
static int check_below(struct checker *c, const char *field_step, const char *shown_step,
                       const json_t *v)
{
    size_t field_len = strlen(c->field), shown_len = strlen(c->shown);
    int ret = 0;
    bool fits = !rf_format(c->field + field_len, PATH_TEXT - field_len, "%s", field_step);
    snprintf(c->shown + shown_len, PATH_TEXT - shown_len, "%s", shown_step);
    if (fits)
        ret = check_value(c, v);
    c->field[field_len] = 0;
    c->shown[shown_len] = 0;
    return ret;
}

static int check_array(struct checker *c, const json_t *v)
{
    size_t i;
    json_t *item;
    if (json_array_size(v) > SPEC_MAX_ITEMS)
        return rf_fail(c->e, "config.json: %s: more than %d elements", c->shown, SPEC_MAX_ITEMS);
    json_array_foreach(v, i, item)
    {
        char step[32];
        snprintf(step, sizeof(step), "[%zu]", i);
        if (check_below(c, "[]", step, item) < 0)
            return -1;
    }
    return 0;
}

static int check_members(struct checker *c, const json_t *v, bool free_keys)
{
    const char *key;
    json_t *item;
    if (json_object_size(v) > SPEC_MAX_ITEMS)
        return rf_fail(c->e, "config.json: %s: more than %d members", c->shown, SPEC_MAX_ITEMS);
    json_object_foreach((json_t *)v, key, item)
    {
        char step[PATH_TEXT];
        snprintf(step, sizeof(step), "%s%s", c->field[0] ? "." : "", key);
        if (check_below(c, free_keys ? "{}" : step, step, item) < 0)
            return -1;
    }
    return 0;
}

/* Is f a direct member of the object named parent? */
static bool is_member(const struct spec_field *f, const char *parent)
{
    size_t len = strlen(parent);
    if (strncmp(f->path, parent, len))
        return false;
    const char *rest = f->path + len;
    if (len && *rest++ != '.')
        return false;
    return *rest && !rest[strcspn(rest, ".[{")];
}

static int check_required(struct checker *c, const json_t *v)
{
    for (size_t i = 0; i < g_spec_field_count; i++) {
        const struct spec_field *f = &g_spec_fields[i];
        if (!f->required || !is_member(f, c->field))
            continue;
        const char *dot = strrchr(f->path, '.');
        const json_t *member = json_object_get(v, dot ? dot + 1 : f->path);
        if (!member || json_is_null(member))
            return rf_fail(c->e, "config.json: %s%s%s is missing", c->shown, c->shown[0] ? "." : "",
                           dot ? dot + 1 : f->path);
    }
    return 0;
}

static int check_status(struct checker *c, const struct spec_field *f, const json_t *v)
{
    if (f->status == SPEC_DONE || is_empty(v))
        return 0;
    if (f->status == SPEC_REFUSED)
        return rf_fail(c->e, "config.json: %s: not supported: %s", c->shown, f->note);
    rf_log(RF_DEBUG, "config.json: %s has no effect: %s", c->shown, f->note);
    return 0;
}

static int check_value(struct checker *c, const json_t *v)
{
    const struct spec_field *f = field_find(c->field);
    if (!f) {
        rf_log(RF_DEBUG, "config.json: %s is unknown to the specification, ignored", c->shown);
        return 0;
    }
    if (json_is_null(v))
        return 0;
    if (!type_fits(v, f->type))
        return rf_fail(c->e, "config.json: %s must be %s", c->shown, type_name(f->type));
    if (check_status(c, f, v) < 0)
        return -1;
    switch (f->type) {
    case SPEC_OBJECT:
        return check_members(c, v, /*free_keys=*/false) < 0 ? -1 : check_required(c, v);
    case SPEC_MAP:
        return check_members(c, v, /*free_keys=*/true);
    case SPEC_ARRAY:
        return check_array(c, v);
    case SPEC_STRING:
    case SPEC_PATH:
        return check_string(c, f, v);
    default:
        return 0;
    }
}

int spec_check(const json_t *value, const char *at, struct rf_error *e)
{
    struct checker c = {.e = e};
    snprintf(c.field, sizeof(c.field), "%s", at);
    snprintf(c.shown, sizeof(c.shown), "%s", at);
    if (!json_is_object(value))
        return rf_fail(e, "config.json: %s must be an object", *at ? at : "the document");
    if (*at)
        return check_value(&c, value);
    return check_members(&c, value, /*free_keys=*/false) < 0 ? -1 : check_required(&c, value);
}

static json_t *parse_text(const char *text, size_t size, struct rf_error *e)
{
    json_error_t je;
    json_t *v = json_loadb(text, size, JSON_DECODE_INT_AS_REAL, &je);
    if (!v)
        rf_fail(e, "config.json: line %d, column %d: %s", je.line, je.column, je.text);
    return v;
}

json_t *spec_parse_part(const char *text, size_t size, const char *at, struct rf_error *e)
{
    json_t *v = parse_text(text, size, e);
    if (v && spec_check(v, at, e) < 0) {
        json_decref(v);
        return NULL;
    }
    return v;
}

static int check_version(const json_t *v, struct rf_error *e)
{
    const char *version = spec_string(v, "ociVersion", "");
    if (!strncmp(version, "1.", 2))
        return 0;
    return rf_fail(e, "config.json: ociVersion: \"%.64s\" is not supported, only 1.x is", version);
}

json_t *spec_parse(const char *text, size_t size, struct rf_error *e)
{
    json_t *v = spec_parse_part(text, size, "", e);
    if (v && check_version(v, e) < 0) {
        json_decref(v);
        return NULL;
    }
    return v;
}

json_t *spec_load(const char *bundle, struct rf_error *e)
{
    char path[PATH_MAX];
    size_t size;
    if (rf_format(path, sizeof(path), "%s/config.json", bundle)) {
        rf_fail(e, "the bundle's path is too long");
        return NULL;
    }
    char *text = rf_read_file(path, SPEC_MAX_FILE, &size);
    if (!text) {
        if (errno == ENOENT)
            rf_fail(e, "JSON specification file config.json not found in %s", bundle);
        else
            rf_fail(e, "cannot read %s: %s", path, strerror(errno));
        return NULL;
    }
    json_t *v = spec_parse(text, size, e);
    free(text);
    return v;
}

/* ---- readers ---- */

json_t *spec_get(const json_t *obj, const char *path)
{
    while (obj) {
        size_t n = strcspn(path, ".");
        char key[64];
        if (n >= sizeof(key))
            return NULL;
        memcpy(key, path, n);
        key[n] = 0;
        obj = json_object_get(obj, key);
        if (!obj || json_is_null(obj))
            return NULL;
        if (!path[n])
            return (json_t *)obj;
        path += n + 1;
    }
    return NULL;
}

const char *spec_string(const json_t *obj, const char *path, const char *absent)
{
    const char *text = json_string_value(spec_get(obj, path));
    return text ? text : absent;
}

/* Doubles beyond the range were let in as "unlimited". */
int64_t spec_int(const json_t *obj, const char *path, int64_t absent)
{
    json_t *v = spec_get(obj, path);
    if (!json_is_number(v))
        return absent;
    if (json_is_integer(v))
        return json_integer_value(v);
    double d = json_real_value(v);
    return d >= 9223372036854775807.0 ? INT64_MAX : (int64_t)d;
}

uint64_t spec_uint(const json_t *obj, const char *path, uint64_t absent)
{
    json_t *v = spec_get(obj, path);
    if (!json_is_number(v))
        return absent;
    if (json_is_integer(v))
        return json_integer_value(v);
    double d = json_real_value(v);
    return d >= 18446744073709551615.0 ? UINT64_MAX : (uint64_t)d;
}

bool spec_bool(const json_t *obj, const char *path, bool absent)
{
    json_t *v = spec_get(obj, path);
    return json_is_boolean(v) ? json_is_true(v) : absent;
}

size_t spec_count(const json_t *obj, const char *path)
{
    return json_array_size(spec_get(obj, path));
}

char **spec_strings(const json_t *obj, const char *path)
{
    json_t *list = spec_get(obj, path);
    size_t n = json_array_size(list), count = 0;
    char **out = calloc(n + 1, sizeof(*out));
    for (size_t i = 0; out && i < n; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (text)
            out[count++] = (char *)text;
    }
    return out;
}

/* ---- the document ---- */

void spec_print_table(void)
{
    static const char *const status[] = {"done", "noted", "refused"};
    puts("# Fields of config.json\n\n"
         "Generated by `runrf features --spec-fields` from the table that the parser itself uses.\n"
         "*done*: honoured. *noted*: accepted and logged with `--debug`, without effect, for the\n"
         "reason given. *refused*: an error. Unknown fields are ignored, as the specification\n"
         "demands; a wrong type, a missing required field or an absurd size is an error.\n\n"
         "| field | type | status | note |\n| --- | --- | --- | --- |");
    for (size_t i = 0; i < g_spec_field_count; i++) {
        const struct spec_field *f = &g_spec_fields[i];
        printf("| `%s` | %s%s | %s | %s |\n", f->path, type_name(f->type),
               f->required ? ", required" : "", status[f->status], f->note ? f->note : "");
    }
}
