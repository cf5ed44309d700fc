/* What sysdiff.c and its table share. */
#pragma once

#include <stdint.h>

enum { CALL_PTR = 1, /* the result is an address */
       CALL_PID = 2, /* the result is a process id */
       CALL_OUT = 4, /* the first buffer holds `result` bytes that must be the same everywhere */
       CALL_OPAQUE = 8 /* only failed or not is comparable */ };

/* args: one letter an argument.
 *   f descriptor   d directory descriptor   p path   s second path   b buffer   l length
 *   m mode   i small integer   u user or group id   t timespec   T timeval   g signal
 *   k signal set   K its size   P pid   o file offset   v iovec   n iovec count   0 zero
 *   a address in the test mapping   L length of memory   x extended attribute's name
 *   A B C one of sets[0..2]   X Y Z a combination of bits of sets[0..2] */
struct call {
    const char *name;
    long nr;
    const char *args;
    unsigned flags;
    const int64_t *sets[3]; /* each ends with SET_END */
};

#define SET_END INT64_MIN
#define SET(...) (const int64_t[]) { __VA_ARGS__, SET_END }

extern const struct call g_calls[];
extern const unsigned g_call_count;
