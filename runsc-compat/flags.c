/* Flags from tables. Go's command lines accept -name and --name, --name=value and --name value, and
 * --flag=true for a boolean: so does this. */
#include "runrf.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HELP_CODE 1000

struct built {
    struct option longs[RF_FLAGS_MAX + 2];
    char shorts[2 * RF_FLAGS_MAX + 8];
};

static int has_arg(const struct rf_flag *f)
{
    if (f->kind == RF_FLAG_BOOL || !f->arg)
        return optional_argument; /* --flag=false */
    return required_argument;
}

static void build(struct built *b, const struct rf_flag *flags)
{
    size_t n = 0, s = 0;
    b->shorts[s++] = '+';
    b->shorts[s++] = 'h';
    for (const struct rf_flag *f = flags; f->name && n < RF_FLAGS_MAX; f++) {
        b->longs[n++] = (struct option){f->name, has_arg(f), NULL, HELP_CODE + 1 + (f - flags)};
        if (!f->letter)
            continue;
        b->shorts[s++] = f->letter;
        if (has_arg(f) == required_argument)
            b->shorts[s++] = ':';
    }
    b->longs[n++] = (struct option){"help", no_argument, NULL, HELP_CODE};
    b->longs[n] = (struct option){0};
    b->shorts[s] = 0;
}

static const struct rf_flag *flag_of(const struct rf_flag *flags, int code)
{
    if (code > HELP_CODE)
        return &flags[code - HELP_CODE - 1];
    for (const struct rf_flag *f = flags; f->name; f++)
        if (f->letter && f->letter == code)
            return f;
    return NULL;
}

static int list_add(struct rf_list *l, const char *item)
{
    const char **bigger = realloc(l->items, (l->count + 2) * sizeof(*bigger));
    if (!bigger)
        return -1;
    l->items = bigger;
    l->items[l->count++] = item;
    l->items[l->count] = NULL;
    return 0;
}

static int take_int(const struct rf_flag *f, const char *text)
{
    char *end;
    long v = strtol(text, &end, 10);
    if (end == text || *end || v < INT32_MIN || v > INT32_MAX)
        return -1;
    *(int *)f->value = v;
    return 0;
}

static int take_bool(const struct rf_flag *f, const char *text)
{
    bool yes = !text || !strcmp(text, "true") || !strcmp(text, "1") || !strcmp(text, "t");
    if (!yes && strcmp(text, "false") && strcmp(text, "0") && strcmp(text, "f"))
        return -1;
    *(bool *)f->value = yes;
    return 0;
}

static int take(const struct rf_flag *f, const char *text)
{
    switch (f->kind) {
    case RF_FLAG_BOOL:
        return take_bool(f, text);
    case RF_FLAG_STRING:
        *(const char **)f->value = text;
        return 0;
    case RF_FLAG_INT:
        return take_int(f, text);
    case RF_FLAG_LIST:
        return list_add(f->value, text);
    case RF_FLAG_IGNORED:
        return 0;
    }
    return -1;
}

void rf_print_flags(const struct rf_flag *flags)
{
    for (const struct rf_flag *f = flags; f->name; f++) {
        char name[64];
        snprintf(name, sizeof(name), "%s%c%s--%s%s%s", f->letter ? "-" : "  ",
                 f->letter ? f->letter : ' ', f->letter ? ", " : "  ", f->name, f->arg ? " " : "",
                 f->arg ? f->arg : "");
        printf("  %-34s %s\n", name, f->help);
    }
}

static void print_help(const char *verb, const struct rf_flag *flags, const struct rf_usage *u)
{
    printf("Usage: runrf [global flags] %s%s %s\n\n", verb, flags->name ? " [flags]" : "", u->args);
    rf_print_flags(flags);
}

int rf_parse(int argc, char **argv, const struct rf_flag *flags, const struct rf_usage *u,
             int *status)
{
    struct built b;
    char name[64], *verb = argv[0];
    snprintf(name, sizeof(name), "runrf %s", verb);
    build(&b, flags);
    argv[0] = name; /* what getopt puts in front of its sentences */
    optind = 0;
    *status = 1;
    int code;
    while ((code = getopt_long_only(argc, argv, b.shorts, b.longs, NULL)) != -1) {
        if (code == HELP_CODE || code == 'h') {
            print_help(verb, flags, u);
            *status = 0;
            return -1;
        }
        const struct rf_flag *f = flag_of(flags, code);
        if (!f)
            return -1; /* getopt has said what is wrong */
        if (take(f, optarg) < 0) {
            *status = rf_fatal(1, "%s: --%s: the value \"%s\" does not fit", verb, f->name,
                               optarg ? optarg : "");
            return -1;
        }
    }
    argv[0] = verb;
    int given = argc - optind;
    if (given < u->min_args || (u->max_args >= 0 && given > u->max_args)) {
        *status =
            rf_fatal(1, "runrf: \"%s\" requires %s %d argument(s): %s", verb,
                     u->max_args == u->min_args ? "exactly" : "a minimum of", u->min_args, u->args);
        return -1;
    }
    return optind;
}
