#pragma once
/*
 * Profile types: what a profile measures, under the short name that a classic Pyroscope client puts
 * behind the application ("storefront.cpu") and the id that Grafana's data source uses.
 */
#include "telemetry/model.h"

/*  short name, id, units of the stored values, values are levels (averaged) rather than amounts */
#define PROFILE_TYPES(TYPE)                                                                        \
    TYPE(CPU, "cpu", "process_cpu:cpu:nanoseconds:cpu:nanoseconds", "samples", false)              \
    TYPE(WALL, "wall", "wall:wall:nanoseconds:wall:nanoseconds", "samples", false)                 \
    TYPE(ALLOC_OBJECTS, "alloc_objects", "memory:alloc_objects:count:space:bytes", "objects",      \
         false)                                                                                    \
    TYPE(ALLOC_SPACE, "alloc_space", "memory:alloc_space:bytes:space:bytes", "bytes", false)       \
    TYPE(INUSE_OBJECTS, "inuse_objects", "memory:inuse_objects:count:space:bytes", "objects",      \
         true)                                                                                     \
    TYPE(INUSE_SPACE, "inuse_space", "memory:inuse_space:bytes:space:bytes", "bytes", true)        \
    TYPE(GOROUTINES, "goroutines", "goroutines:goroutine:count:goroutine:count", "goroutines",     \
         true)                                                                                     \
    TYPE(MUTEX_COUNT, "mutex_count", "mutex:contentions:count:contentions:count", "lock_samples",  \
         false)                                                                                    \
    TYPE(MUTEX_DURATION, "mutex_duration", "mutex:delay:nanoseconds:contentions:count",            \
         "lock_nanoseconds", false)                                                                \
    TYPE(BLOCK_COUNT, "block_count", "block:contentions:count:contentions:count", "lock_samples",  \
         false)                                                                                    \
    TYPE(BLOCK_DURATION, "block_duration", "block:delay:nanoseconds:contentions:count",            \
         "lock_nanoseconds", false)                                                                \
    TYPE(EXCEPTIONS, "exceptions", "exceptions:exception:count:exception:count", "exceptions",     \
         false)

struct profile_type {
    const char *name, *id, *units;
    bool is_level;
};

extern const struct profile_type PROFILE_TYPE_TABLE[];
extern const size_t PROFILE_TYPE_COUNT;
extern const struct profile_type *const PROFILE_TYPE_CPU;

/* Are values ticks of a clock, so that a sample rate turns them into time? */
bool profile_type_is_time(const struct profile_type *type);

const struct profile_type *profile_type_find(struct text_view name);  /* NULL: unknown */
const struct profile_type *profile_type_find_id(struct text_view id); /* NULL: unknown */

/* Part "storefront.cpu" into "storefront" and its type; without a known ending all of it is the
 * service and the type is NULL. */
const struct profile_type *profile_type_split(struct text_view application,
                                              struct text_view *ret_service);
