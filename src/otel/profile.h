#pragma once
/*
 * Profile: a stack table as text or as a file that other tools read.
 *
 *   folded  `thread;outer;inner count`, one line per stack, as flame graph tools and Pyroscope take
 * it pprof   gzip'd profile.proto with sample types samples/count and cpu/nanoseconds, the thread's
 *           name as label `thread`
 */
#include "otel/stack_table.h"

#define OBS_PROFILE_PERIOD_NS (1000000000 / OBS_PROFILER_HZ)
#define OBS_PROFILE_OTHER "[other]" /* stacks that found no room */

/* Append @table's profile. Return: 0, -ENOMEM, or the buffer's error. */
int obs_profile_emit(const struct obs_stack_table *table, enum obs_profile_format format,
                     struct obs_buffer *b);
