#pragma once
/* Retry: when to try again what a receiver may still take. */
#include "base/http1.h"
#include <stdint.h>

/* What Retry-After of a reply asks for: seconds or a date (RFC 9110 section 10.2.3), at most
 * @max_ms; 0 when it does not ask. */
uint64_t obs_retry_after_ms(const struct obs_http1_head *head, uint64_t max_ms);

/* Doubles from @first_ms with each attempt (from 0), up to @max_ms, and then between half and all
 * of it, so that many senders spread out. */
uint64_t obs_retry_pause_ms(uint64_t first_ms, unsigned attempt, uint64_t max_ms);
