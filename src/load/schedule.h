#pragma once
/*
 * Schedule: the arrivals of one thread's share of the load.
 *
 * Arrival k of the whole load belongs to share k modulo share_count. Its time depends on the
 * pattern, the seed and k alone, so any number of threads makes the same schedule.
 */
#include "load/pattern.h"
#include "load/rng.h"

enum schedule_arrivals {
    SCHEDULE_UNIFORM, /* evenly spaced: what a rate promises, with the least noise */
    SCHEDULE_POISSON, /* independent users: gaps are exponential */
};

enum schedule_outcome {
    SCHEDULE_OK = 0,
    SCHEDULE_END = 1, /* no more arrivals */
};

struct schedule {
    const struct pattern *pattern; /* borrowed */
    enum schedule_arrivals arrivals;
    double scale;       /* multiplies the pattern's rate; > 0 */
    double start_count; /* arrivals due before this schedule began */
    double count;       /* of the arrival returned last, in the pattern's own count */
    uint64_t seed;
    uint64_t index; /* of the next arrival of the whole load */
    unsigned share, share_count;
};

struct arrival {
    uint64_t index; /* k */
    double t_s;     /* in the pattern's time */
};

/* @from_s: where in the pattern's time the schedule begins. */
void schedule_init(struct schedule *s, const struct pattern *pattern,
                   enum schedule_arrivals arrivals, double scale, double from_s, uint64_t seed,
                   unsigned share, unsigned share_count);
int schedule_next(struct schedule *s, struct arrival *ret_arrival);
