#pragma once
/*
 * Profile merge: what a query found, as one tree and a timeline.
 *
 * Profiles of one sample rate stay in their ticks. Where rates differ, or nanoseconds are asked
 * for, everything becomes nanoseconds, which is a rate of 1,000,000,000. Levels (heap in use) are
 * averaged over the windows of the series that has most of them.
 */
#include "base/reason.h"
#include "telemetry/profile_selector.h"
#include "telemetry/profile_store.h"

#define PROFILE_NANOSECONDS 1000000000ULL
#define PROFILE_TIMELINE_MAX 1000

enum profile_merge_outcome { PROFILE_MERGED = 0, PROFILE_MERGE_REFUSED = 1 /* reason */ };

struct profile_merge;
int profile_merge_new(bool wants_nanoseconds, struct profile_merge **ret_merge);
struct profile_merge *profile_merge_free(struct profile_merge *merge);

struct profile_range {
    const struct profile_selector *selector;
    uint64_t from_ns, until_ns;
};
/* Add all profiles of @range to one side. Return: 0, PROFILE_MERGE_REFUSED (units that cannot be
 * added up, a regular expression that gave up), -errno of profile_scan(). */
int profile_merge_range(struct profile_merge *merge, struct profile_store *store,
                        const char *tenant, const struct profile_range *range,
                        enum profile_side side, uint64_t deadline_ns,
                        struct obs_reason *reterr_reason);
/* Averages and sums: nothing is added after this. */
int profile_merge_end(struct profile_merge *merge);

/* After the end. Borrowed. */
struct profile_merged {
    const struct profile_tree *tree;
    const char *units;
    uint64_t rate; /* ticks per second; 0: values are not ticks */
    uint64_t windows[2];
    uint64_t timeline_from_s, timeline_step_s; /* of the left side */
    const uint64_t *timeline;
    size_t timeline_count;
};
void profile_merge_get(const struct profile_merge *merge, struct profile_merged *ret_merged);
OBS_DEFINE_CLEANUP(struct profile_merge *, profile_merge_free)
