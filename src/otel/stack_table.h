#pragma once
/*
 * Stack table: how often each call stack was seen, in memory of a fixed size.
 *
 * Adding never allocates, so a signal handler may do it; the memory is mapped once, and pages that
 * no stack has needed take no room. One user at a time: the profiler sees to that.
 */
#include "base/cleanup.h"
#include "otel/profiler.h"
#include <stddef.h>
#include <stdint.h>

#define OBS_STACK_THREAD_SIZE 16 /* bytes of a thread's name, as the kernel keeps it */
#define OBS_STACK_WORDS (OBS_PROFILER_STACKS * 24) /* frames of all stacks together */
#define OBS_STACK_HEADS 4096

struct obs_stack {
    char thread[OBS_STACK_THREAD_SIZE];
    uint64_t hash, count;
    uint32_t first_frame; /* in frames[] */
    uint16_t depth;
    uint16_t next; /* index + 1 in the hash chain */
};

struct obs_stack_table {
    uint64_t start_ns, end_ns; /* Unix time that it covers */
    uint64_t other;            /* samples whose stack found no room */
    uint32_t stack_count, frame_count;
    uint16_t heads[OBS_STACK_HEADS]; /* index + 1 */
    struct obs_stack stacks[OBS_PROFILER_STACKS];
    uintptr_t frames[OBS_STACK_WORDS]; /* leaf first; callers are return addresses minus one */
};

/* A table that is finished with, packed into memory of just its size. */
struct obs_stack_window {
    uint64_t start_ns, end_ns, other;
    uint32_t stack_count, frame_count;
    struct obs_stack stacks[]; /* [stack_count], and behind them frames[frame_count] */
};

int obs_stack_table_new(struct obs_stack_table **ret_table); /* 0, -ENOMEM */
struct obs_stack_table *obs_stack_table_free(struct obs_stack_table *table);
void obs_stack_table_clear(struct obs_stack_table *table); /* and gives the pages back */

/* Async-signal-safe. */
void obs_stack_table_add(struct obs_stack_table *table, const char thread[OBS_STACK_THREAD_SIZE],
                         const uintptr_t *frames, size_t depth, uint64_t count);
/* Add all of @window, and cover its time too. */
void obs_stack_table_merge(struct obs_stack_table *table, const struct obs_stack_window *window);
uint64_t obs_stack_table_samples(const struct obs_stack_table *table);
struct obs_stack_window *
obs_stack_window_new(const struct obs_stack_table *table); /* NULL: memory */
OBS_DEFINE_CLEANUP(struct obs_stack_table *, obs_stack_table_free)
