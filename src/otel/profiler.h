#pragma once
/*
 * CPU profiler: samples the stacks of this process while it uses CPU (SIGPROF, ITIMER_PROF), on
 * demand and all the time.
 *
 * The signal handler unwinds with glibc's backtrace() (lock-free unwinder tables since glibc 2.35)
 * and counts equal stacks in a fixed table, so it never allocates. Addresses become names (ELF
 * .symtab, then .dynsym) only when a profile is read. One profiler per process.
 */
#include "base/buffer.h"
#include <stdint.h>

#define OBS_PROFILER_HZ 97 /* samples per second of CPU time, off the beat of round timers */
#define OBS_PROFILER_STACKS                                                                        \
    2048 /* different stacks in one window; more are counted as "[other]"                          \
          */
#define OBS_PROFILER_DEPTH 48

enum obs_profile_format { OBS_PROFILE_FOLDED, OBS_PROFILE_PPROF /* gzip, profile.proto */ };

enum obs_profiler_outcome {
    OBS_PROFILER_OK = 0,
    OBS_PROFILER_BUSY = 1, /* an on-demand profile is being taken */
};

struct obs_profiler_options {
    const char *service;
    const char *endpoint; /* Pyroscope server (/ingest), "http://HOST:PORT" or "unix:PATH"; NULL or
                           * "": windows are only kept */
    unsigned window_s;    /* length of a continuous window; 0: 10 */
    unsigned windows;     /* finished windows kept; 0: 6 */
};

/* Starts continuous sampling. Return: 0, -EALREADY, -ENOMEM, -errno. */
int obs_profiler_start(const struct obs_profiler_options *options);
void obs_profiler_stop(void);
/* Label `version` of what is pushed from now on; the window under way ends at once. */
void obs_profiler_set_version(const char *version);

/* Blocks for @seconds (1 to 60), then appends the profile of that time. Worker thread only.
 * Return: 0, OBS_PROFILER_BUSY, < 0. */
int obs_profiler_take(unsigned seconds, enum obs_profile_format format, struct obs_buffer *b);
/* Append the merged profile of the kept windows that overlap [from_ns, until_ns) (Unix time). */
int obs_profiler_window(uint64_t from_ns, uint64_t until_ns, enum obs_profile_format format,
                        struct obs_buffer *b);
