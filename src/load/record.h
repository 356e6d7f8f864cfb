#pragma once
/* Record: a run second by second, for the progress line, the report and the comparison of two runs.
 */
#include "load/engine.h"

#define RECORD_INTERVALS_MAX 100000 /* then the oldest half is thrown away */

struct interval {
    double t_s, length_s;                    /* end of it, from the run's start */
    uint64_t replies, journeys, bad;         /* bad: any outcome but ok */
    uint64_t p50_ns, p95_ns, p99_ns, max_ns; /* latencies of this interval; 0 without replies */
};

struct record {
    struct stats *stats;       /* as of the last sample */
    struct histogram *latency; /* all of the run */
    struct interval *intervals;
    size_t count, capacity;
    /* Inside. */
    struct histogram *before, *difference;
    uint64_t replies, journeys, bad, sampled_ns;
};

int record_new(const struct script *script, struct record **ret_record);
struct record *record_free(struct record *record);
/* End an interval now. Return: the interval, NULL on -ENOMEM. */
const struct interval *record_sample(struct record *record, struct engine *engine, uint64_t now_ns);
/* Take the last counts without ending an interval. */
void record_finish(struct record *record, struct engine *engine);
OBS_DEFINE_CLEANUP(struct record *, record_free)
