/* The first line of a #! script: interpreter and at most one argument, as Linux cuts them. */
#include "loader_priv.h"

#include <string.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static char *skip_blanks(char *p, const char *end)
{
    while (p < end && is_blank(*p))
        p++;
    return p;
}

static char *word_end(char *p, const char *end)
{
    while (p < end && *p && !is_blank(*p))
        p++;
    return p;
}

/* End of the line, or of the buffer if only an argument can have been cut off there. */
static char *line_end(char *head)
{
    char *limit = head + SCRIPT_LINE;
    char *end = memchr(head, '\n', SCRIPT_LINE);
    if (end)
        return end;
    char *name = skip_blanks(head + 2, limit);
    if (name == limit || word_end(name, limit) == limit)
        return NULL; /* the interpreter's name itself may be cut: executing a prefix is worse */
    return limit - 1;
}

int script_parse(char *head, char **interpreter, char **arg)
{
    char *end = line_end(head);
    if (!end)
        return -ENOEXEC;
    while (end > head + 2 && is_blank(end[-1]))
        end--;
    *end = '\0';
    char *name = skip_blanks(head + 2, end);
    if (!*name)
        return -ENOEXEC;
    char *stop = word_end(name, end);
    char *rest = skip_blanks(stop, end);
    *arg = *stop && *rest ? rest : NULL;
    *stop = '\0';
    *interpreter = name;
    return 0;
}
