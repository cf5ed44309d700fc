/* Running sandboxes, by name: each has its control socket in the runtime directory as NAME.sock.
 * The launcher takes it away at the end; what a killed one left is cleared away by the next command
 * that looks. */
#include "cli/cli.h"
#include "control.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SUFFIX ".sock"

static bool name_ok(const char *name)
{
    return *name && *name != '.' && strlen(name) <= CLI_ID_MAX &&
           name[strspn(name,
                       "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")] == 0;
}

/* The name in a file name of ours. */
static bool name_of(const char *file, char *name, size_t size)
{
    size_t len = strlen(file), suffix = strlen(SUFFIX);
    if (len <= suffix || len - suffix >= size || strcmp(file + len - suffix, SUFFIX))
        return false;
    memcpy(name, file, len - suffix);
    name[len - suffix] = 0;
    return name_ok(name);
}

static void remove_socket(const char *dir, const char *file)
{
    char path[300];
    snprintf(path, sizeof(path), "%s/%s", dir, file);
    unlink(path);
}

/* Connect, or clear away what nobody listens behind. */
static bool visit(const char *dir, const char *file, struct sandbox *s)
{
    struct launch_error e;
    if (sandbox_connect_named(dir, file, s, &e) == 0)
        return true;
    if (e.status == RF_EXIT_ABSENT)
        remove_socket(dir, file);
    return false;
}

static int is_socket_file(const struct dirent *d)
{
    char name[CLI_ID_MAX + 1];
    return name_of(d->d_name, name, sizeof(name));
}

void registry_each(void (*fn)(void *arg, const char *id, struct sandbox *s), void *arg)
{
    char dir[200], name[CLI_ID_MAX + 1];
    struct launch_error e;
    struct dirent **list;
    int count = sandbox_runtime_dir(dir, sizeof(dir), &e)
                    ? -1
                    : scandir(dir, &list, is_socket_file, versionsort);
    for (int i = 0; i < count; i++) {
        struct sandbox s;
        if (name_of(list[i]->d_name, name, sizeof(name)) && visit(dir, list[i]->d_name, &s)) {
            fn(arg, name, &s);
            sandbox_close(&s);
        }
        free(list[i]);
    }
    if (count >= 0)
        free(list);
}

static void nothing(void *arg, const char *id, struct sandbox *s) {}

int registry_enter(struct registration *r, const char *name)
{
    struct launch_error e;
    struct sandbox s;
    *r = (struct registration){.made = false};
    if (name && !name_ok(name))
        return cli_error(RF_EXIT_ERROR,
                         "--name=%s: a name has letters, digits, '_', '-' and '.', at most %d",
                         name, CLI_ID_MAX);
    if (sandbox_runtime_dir(r->dir, sizeof(r->dir), &e))
        return 0;
    registry_each(nothing, NULL);
    if (name)
        snprintf(r->socket_name, sizeof(r->socket_name), "%s" SUFFIX, name);
    else
        snprintf(r->socket_name, sizeof(r->socket_name), "%d" SUFFIX, (int)getpid());
    if (visit(r->dir, r->socket_name, &s)) {
        sandbox_close(&s);
        return cli_error(RF_EXIT_ERROR, "--name=%s: a sandbox of that name is running", name);
    }
    r->made = true;
    return 0;
}

void registry_leave(struct registration *r)
{
    if (r->made)
        remove_socket(r->dir, r->socket_name);
}

int registry_connect(const char *id, struct sandbox *s)
{
    char dir[200], file[CLI_ID_MAX + 16];
    struct launch_error e;
    if (!name_ok(id))
        return cli_error(RF_EXIT_ERROR, "%s: not a sandbox; 'ringfence ps' lists them", id);
    if (sandbox_runtime_dir(dir, sizeof(dir), &e))
        return cli_error(RF_EXIT_ERROR, "%s", e.text);
    snprintf(file, sizeof(file), "%s" SUFFIX, id);
    if (visit(dir, file, s))
        return 0;
    return cli_error(RF_EXIT_ERROR, "%s: no such sandbox is running; 'ringfence ps' lists them",
                     id);
}
