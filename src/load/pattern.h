#pragma once
/*
 * Pattern: how many journeys per second are wanted, as a function of time.
 *
 *   {"type": "constant", "rate": 50}
 *   {"type": "ramp", "from": 10, "to": 100, "over": "1m"}                  then stays at `to`
 *   {"type": "step", "steps": [{"rate": 10, "for": "30s"}, {"rate": 50}]}  the last one stays
 *   {"type": "spike", "rate": 20, "peak": 200, "at": "30s", "lasting": "10s", "every": "2m"}
 *   {"type": "sine", "rate": 50, "amplitude": 30, "period": "5m"}
 *   {"type": "replay", "arrivals": [0, 0.25, 0.3], "speed": 1, "repeat": false}
 *   {"type": "replay", "file": "arrivals.txt"}                             seconds, one per line
 *
 * Each may have `for` (length; then the schedule ends), except step, whose last step has it.
 *
 * What the schedule needs is not the rate but when the n-th arrival is due: the inverse of the
 * rate's integral. Straight pieces have it in closed form; the sine is solved by Newton steps in a
 * bracket. Both start from absolute counts, so nothing drifts.
 */
#include "base/cleanup.h"
#include "base/json.h"
#include "base/reason.h"
#include <stdint.h>

struct pattern;
struct field_path;

enum pattern_outcome {
    PATTERN_OK = 0,
    PATTERN_REFUSED = 1, /* reason names the field and what would be right */
};

#define PATTERN_RATE_MAX 5e6
#define PATTERN_REPLAY_MAX 10000000 /* arrivals of one replay */

/**
 * pattern_parse() - make a pattern from its JSON form
 * @path: where @json stands, for the reason; NULL: it is the whole document
 * @folder: where a replay's file name is looked up; NULL refuses files (what came over the network)
 * Return: 0, PATTERN_REFUSED, -ENOMEM.
 */
int pattern_parse(const json_t *json, const struct field_path *path, const char *folder,
                  struct pattern **ret_pattern, struct obs_reason *reterr_reason);
/* The short form, for command lines: "ramp:from=10,to=100,over=30s", "step:10x30s,50". */
int pattern_parse_text(const char *text, const char *folder, struct pattern **ret_pattern,
                       struct obs_reason *reterr_reason);
int pattern_constant(double rate, struct pattern **ret_pattern);
struct pattern *pattern_ref(struct pattern *p);  /* a pattern never changes, so it may be shared */
struct pattern *pattern_free(struct pattern *p); /* gives up one reference */

const json_t *pattern_json(const struct pattern *p);       /* as given; borrowed */
double pattern_rate(const struct pattern *p, double t_s);  /* wanted per second at @t_s */
double pattern_count(const struct pattern *p, double t_s); /* arrivals due in [0, t_s] */
/* When @count arrivals are due, in seconds; INFINITY when never. */
double pattern_time(const struct pattern *p, double count);
double pattern_length(const struct pattern *p); /* seconds; INFINITY when it does not end */
OBS_DEFINE_CLEANUP(struct pattern *, pattern_free)
