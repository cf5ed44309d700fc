/* Names of signals, as kill(1) and runc take them: TERM, SIGTERM, 15, RTMIN+1. */
#include "signals.h"

#include <stdbool.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SIGNAL_MAX 64

static int realtime(const char *name)
{
    char *end;
    bool low = !strncasecmp(name, "RTMIN", 5);
    if (!low && strncasecmp(name, "RTMAX", 5))
        return -1;
    long n = strtol(name + 5, &end, 10);
    if (*end)
        return -1;
    n += low ? 34 : SIGNAL_MAX;
    return n >= 34 && n <= SIGNAL_MAX ? n : -1;
}

int signal_by_name(const char *text)
{
    char *end;
    long n = strtol(text, &end, 10);
    if (end != text && !*end)
        return n > 0 && n <= SIGNAL_MAX ? n : -1;
    if (!strncasecmp(text, "SIG", 3))
        text += 3;
    for (int sig = 1; sig < 32; sig++) {
        const char *name = sigabbrev_np(sig);
        if (name && !strcasecmp(name, text))
            return sig;
    }
    if (!strcasecmp(text, "IOT"))
        return SIGIOT;
    if (!strcasecmp(text, "CLD"))
        return SIGCHLD;
    return realtime(text);
}
