/* Names of signals. */
#pragma once

/* 1…64, or -1. */
int signal_by_name(const char *text);
