#pragma once
/*
 * Profile time: how clients write a moment. "now", "now-1h", "now-90s"; Unix seconds, milli-,
 * micro- or nanoseconds, told apart by their size (11, 14 and 17 digits are the first of the next).
 */
#include "base/reason.h"
#include <stdint.h>

enum profile_time_outcome { PROFILE_TIME_OK = 0, PROFILE_TIME_REFUSED = 1 };

/* @name: of the parameter, for the reason. Units after "now-": s, m, h, d, w. */
int profile_time_parse(const char *name, const char *text, uint64_t now_ns, uint64_t *ret_ns,
                       struct obs_reason *reterr_reason);
