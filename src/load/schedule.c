#include "load/schedule.h"
#include <math.h>

void schedule_init(struct schedule *s, const struct pattern *pattern,
                   enum schedule_arrivals arrivals, double scale, double from_s, uint64_t seed,
                   unsigned share, unsigned share_count)
{
    double due = pattern_count(pattern, from_s) * scale;

    *s = (struct schedule){
        .pattern = pattern,
        .arrivals = arrivals,
        .scale = scale,
        /* Evenly spaced arrivals sit at whole counts, so that a pause does not shift them. */
        .start_count = arrivals == SCHEDULE_UNIFORM ? ceil(due - 1e-9) : due,
        .seed = seed,
        .share = share,
        .share_count = share_count,
    };
    s->count = s->start_count;
}

static double exponential(uint64_t seed, uint64_t index)
{
    return -log1p(-rng_to_unit(rng_at(seed ^ 0x5bf03635ULL, index)));
}

static void advance_uniform(struct schedule *s, struct arrival *ret_arrival)
{
    uint64_t skip = (s->share + s->share_count - s->index % s->share_count) % s->share_count;

    ret_arrival->index = s->index + skip;
    s->index = ret_arrival->index + 1;
    s->count = s->start_count + (double)ret_arrival->index;
}

/* Gaps add up, so each share walks over the arrivals of all. */
static void advance_poisson(struct schedule *s, struct arrival *ret_arrival)
{
    do {
        s->count += exponential(s->seed, s->index);
        ret_arrival->index = s->index++;
    } while (ret_arrival->index % s->share_count != s->share);
}

int schedule_next(struct schedule *s, struct arrival *ret_arrival)
{
    if (s->arrivals == SCHEDULE_UNIFORM)
        advance_uniform(s, ret_arrival);
    else
        advance_poisson(s, ret_arrival);
    ret_arrival->t_s = pattern_time(s->pattern, s->count / s->scale);
    return ret_arrival->t_s < pattern_length(s->pattern) ? SCHEDULE_OK : SCHEDULE_END;
}
