/* list: all containers under --root. */
#include "state.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *member(const json_t *v, const char *key)
{
    const char *text = json_string_value(json_object_get(v, key));
    return text ? text : "";
}

static json_t *one(const char *id)
{
    struct rf_error e;
    struct rf_state s;
    if (state_peek(id, &s, &e) < 0) {
        rf_log(RF_DEBUG, "list: %s: %s", id, e.text); /* deleted meanwhile */
        return NULL;
    }
    json_t *doc = state_document(&s, s.status);
    struct passwd *pw = getpwuid(json_integer_value(json_object_get(s.json, "owner")));
    json_object_set_new(doc, "owner", json_string(pw ? pw->pw_name : ""));
    state_close(&s);
    return doc;
}

static json_t *all(void)
{
    json_t *list = json_array();
    char **ids = state_ids();
    for (char **id = ids; id && *id; id++) {
        json_t *doc = one(*id);
        if (doc)
            json_array_append_new(list, doc);
        free(*id);
    }
    free(ids);
    return list;
}

/* Columns as wide as their longest entry, at least 12, as Go's tabwriter lays them out. */
static void print_table(const json_t *list)
{
    static const char *const heads[] = {"ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"};
    static const char *const keys[] = {"id", NULL, "status", "bundle", "created", "owner"};
    int width[6];
    size_t i;
    json_t *doc;
    for (int k = 0; k < 6; k++) {
        width[k] = 12;
        json_array_foreach(list, i, doc)
        {
            int n = keys[k] ? (int)strlen(member(doc, keys[k])) + 3 : 0;
            if (n > width[k])
                width[k] = n;
        }
    }
    for (int k = 0; k < 6; k++)
        printf("%-*s", k < 5 ? width[k] : 0, heads[k]);
    printf("\n");
    json_array_foreach(list, i, doc)
    {
        for (int k = 0; k < 6; k++)
            if (keys[k])
                printf("%-*s", k < 5 ? width[k] : 0, member(doc, keys[k]));
            else
                printf("%-*lld", width[k],
                       (long long)json_integer_value(json_object_get(doc, "pid")));
        printf("\n");
    }
}

static void print_json(const json_t *list)
{
    if (json_array_size(list))
        json_dumpf(list, stdout, JSON_COMPACT);
    else
        printf("null"); /* as Go prints a list that is not there */
    puts("");
}

int cmd_list(int argc, char **argv)
{
    const char *format = "table";
    bool quiet = false;
    const struct rf_flag flags[] = {
        {"format", 'f', RF_FLAG_STRING, &format, "table|json", "how to print"},
        {"quiet", 'q', RF_FLAG_BOOL, &quiet, NULL, "ids only"},
        RF_FLAGS_END,
    };
    static const struct rf_usage usage = {"", 0, 0};
    int status, at = rf_parse(argc, argv, flags, &usage, &status);
    if (at < 0)
        return status;
    if (strcmp(format, "table") && strcmp(format, "json"))
        return rf_fatal(1, "invalid format option");
    json_t *list = all(), *doc;
    size_t i;
    if (quiet)
        json_array_foreach(list, i, doc) puts(member(doc, "id"));
    else if (!strcmp(format, "json"))
        print_json(list);
    else
        print_table(list);
    json_decref(list);
    return 0;
}
