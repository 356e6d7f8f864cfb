#include "otel/names.h"

const double OBS_DURATION_BUCKETS[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1,
                                       0.25,  0.5,    0.75,  1,    2.5,   5,    7.5,   10};
const size_t OBS_DURATION_BUCKET_COUNT = OBS_COUNT(OBS_DURATION_BUCKETS);

/* Every histogram of the table is a duration; a row with other bounds needs a count of its own. */
#define METRIC_ROW(id, name_, type_, unit_, buckets_, help_, ...)                                  \
    [OBS_##id] = {.name = name_,                                                                   \
                  .type = type_,                                                                   \
                  .unit = unit_,                                                                   \
                  .help = help_,                                                                   \
                  .labels = {__VA_ARGS__},                                                         \
                  .buckets = buckets_,                                                             \
                  .bucket_count = (type_) == OBS_HISTOGRAM ? OBS_COUNT(OBS_DURATION_BUCKETS) : 0},

const struct obs_metric OBS_METRICS[OBS_METRIC_NAME_COUNT] = {OBS_METRIC_NAMES(METRIC_ROW)};

struct obs_metric_family *obs_metrics_named(struct obs_metrics *metrics, enum obs_metric_name name)
{
    return obs_metrics_family(metrics, &OBS_METRICS[name]);
}
