#pragma once
/* Values of flags that are more than text, with reasons that name the flag. */
#include "base/reason.h"
#include <stdint.h>

/* Each: 0, or 1 with the reason set. "" leaves *ret_value as it is. */
int command_duration(const char *flag, const char *text, uint64_t *ret_ns, struct obs_reason *why);
int command_count(const char *flag, const char *text, uint64_t min, uint64_t max,
                  uint64_t *ret_value, struct obs_reason *why);
int command_number(const char *flag, const char *text, double min, double max, double *ret_value,
                   struct obs_reason *why);
/* Print "observa-load COMMAND: REASON" and return the exit status for @r. */
int command_fail(const char *command, int r, const struct obs_reason *why);
