#pragma once
/*
 * Ids: random trace and span ids.
 *
 * Each thread has its own generator (xoshiro256++, Blackman and Vigna), seeded by the kernel at
 * first use and again in the child of a fork, so no two processes share a sequence. Not for
 * secrets.
 */
#include <stdint.h>

uint64_t obs_random_u64(void);
/* Never all zero (W3C Trace Context 3.2.2.3 and 3.2.2.4). */
void obs_trace_id_make(uint8_t ret_trace_id[16]);
void obs_span_id_make(uint8_t ret_span_id[8]);
