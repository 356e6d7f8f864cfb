#pragma once
/* Clock: wall time for what people and formats read, monotonic time for durations and deadlines. */
#include <stddef.h>
#include <stdint.h>

#define OBS_NS_PER_US 1000ULL
#define OBS_NS_PER_MS 1000000ULL
#define OBS_NS_PER_SECOND 1000000000ULL

uint64_t obs_time_ns(void); /* Unix time */
uint64_t obs_mono_ns(void); /* CLOCK_MONOTONIC */
void obs_sleep_ns(uint64_t duration_ns);

/* "2026-11-23T15:46:50.123456Z" (RFC 3339, UTC, microseconds). */
#define OBS_RFC3339_SIZE 28
void obs_time_rfc3339(uint64_t time_ns, char out[OBS_RFC3339_SIZE]);
