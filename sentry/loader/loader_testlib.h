/* A world for the loader: files with given bytes, opened by name, on the recording platform. */
#pragma once

#include "loader/loader.h"
#include "mm/mm_testlib.h"

void world_init(void);
/* name exists from now on with these bytes. */
void world_add(const char *name, const void *data, uint64_t size);
/* Load name with argv {name, "arg"} and envp {"A=b"}. */
int world_load(const char *name, struct loader_result *out);
/* Free what a successful load gave. */
void world_drop(struct loader_result *r);
/* Files opened and not yet closed, address spaces alive: 0 when nothing is leaked. */
unsigned world_open_files(void);
