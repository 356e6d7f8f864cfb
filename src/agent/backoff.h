#pragma once
/* Backoff: how long to wait before a unit starts again, and when to give it up. Times are
 * monotonic. */
#include "agent/unit.h"
#include <stdint.h>

struct backoff {
    unsigned next_ms;                  /* 0: the policy's first */
    uint64_t ended_ns[UNIT_COUNT_MAX]; /* the latest ends, as a ring */
    unsigned count, at;
};

enum backoff_outcome {
    BACKOFF_WAIT = 0,
    BACKOFF_GIVE_UP = 1, /* it ended too often */
};

/* It was up from @started_ns to @ended_ns. Return: BACKOFF_WAIT with *ret_wait_ms, or
 * BACKOFF_GIVE_UP. */
int backoff_ended(struct backoff *backoff, const struct unit_restart *policy, uint64_t started_ns,
                  uint64_t ended_ns, unsigned *ret_wait_ms);
void backoff_reset(struct backoff *backoff);
