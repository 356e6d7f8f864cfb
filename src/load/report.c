#include "load/report.h"
#include "base/clock.h"
#include <inttypes.h>
#include <string.h>

static const struct {
    const char *name;
    double share;
} QUANTILES[] = {
    {"p50", 0.5},  {"p75", 0.75},    {"p90", 0.9},       {"p95", 0.95},
    {"p99", 0.99}, {"p99.9", 0.999}, {"p99.99", 0.9999},
};

/* ---- JSON ---- */

static json_t *milliseconds(uint64_t ns)
{
    return json_real((double)ns / 1e6);
}

static json_t *latency_json(const struct histogram *h)
{
    json_t *json = json_object();

    json_object_set_new(json, "count", json_integer((json_int_t)h->count));
    if (h->count == 0)
        return json;
    json_object_set_new(json, "mean", json_real(histogram_mean_ns(h) / 1e6));
    json_object_set_new(json, "min", milliseconds(h->min_ns));
    for (size_t i = 0; i < OBS_COUNT(QUANTILES); i++)
        json_object_set_new(json, QUANTILES[i].name,
                            milliseconds(histogram_quantile(h, QUANTILES[i].share)));
    json_object_set_new(json, "max", milliseconds(h->max_ns));
    return json;
}

static json_t *histogram_json(const struct histogram *h)
{
    json_t *json = json_array();

    for (uint32_t i = h->first; i <= h->last && i < HISTOGRAM_SIZE; i++)
        if (h->counts[i] > 0)
            json_array_append_new(json, json_pack("[I, I]", (json_int_t)histogram_part_top(i),
                                                  (json_int_t)h->counts[i]));
    return json;
}

static json_t *outcomes_json(const uint64_t *outcomes)
{
    json_t *json = json_object();

    for (unsigned i = 0; i < OUTCOME_COUNT; i++)
        json_object_set_new(json, outcome_name((enum outcome)i),
                            json_integer((json_int_t)outcomes[i]));
    return json;
}

static json_t *failures_json(const uint64_t *failures)
{
    json_t *json = json_object();

    for (unsigned i = 1; i < FAILURE_COUNT; i++)
        if (failures[i] > 0)
            json_object_set_new(json, failure_name((enum failure)i),
                                json_integer((json_int_t)failures[i]));
    return json;
}

static json_t *statuses_json(const struct stats *stats)
{
    json_t *json = json_object();
    char code[8];

    for (unsigned i = 0; i < STATS_STATUS_MAX; i++) {
        if (stats->statuses[i] == 0)
            continue;
        snprintf(code, sizeof(code), "%u", i);
        json_object_set_new(json, i > 0 ? code : "other",
                            json_integer((json_int_t)stats->statuses[i]));
    }
    return json;
}

static json_t *counters_json(const struct stats *stats)
{
    json_t *json = json_object();

#define COUNTER_JSON(name, meaning)                                                                \
    json_object_set_new(json, #name, json_integer((json_int_t)stats->name));
    STATS_COUNTERS(COUNTER_JSON)
#undef COUNTER_JSON
    return json;
}

static json_t *steps_json(const struct journey *journey, const struct step_stats *stats)
{
    json_t *json = json_array();

    for (unsigned i = 0; i < journey->step_count; i++)
        json_array_append_new(json,
                              json_pack("{s:s, s:I, s:o, s:o}", "step", journey->steps[i].name,
                                        "requests", (json_int_t)stats[i].requests, "failures",
                                        failures_json(stats[i].failures), "latency_ms",
                                        latency_json(stats[i].latency)));
    return json;
}

static json_t *journeys_json(const struct script *script, const struct stats *stats)
{
    json_t *json = json_array();
    unsigned step = 0;

    for (unsigned i = 0; i < script->journey_count; i++) {
        const struct journey *journey = &script->journeys[i];

        json_array_append_new(json,
                              json_pack("{s:s, s:s, s:o, s:o, s:o}", "journey", journey->name,
                                        "group", script->groups[journey->group], "outcomes",
                                        outcomes_json(stats->journeys[i].outcomes), "duration_ms",
                                        latency_json(stats->journeys[i].duration), "steps",
                                        steps_json(journey, &stats->steps[step])));
        step += journey->step_count;
    }
    return json;
}

static json_t *intervals_json(const struct record *record)
{
    json_t *json = json_array();

    for (size_t i = 0; i < record->count; i++) {
        const struct interval *interval = &record->intervals[i];

        json_array_append_new(
            json,
            json_pack("{s:f, s:f, s:I, s:I, s:f, s:f, s:f}", "t_s", interval->t_s, "length_s",
                      interval->length_s, "replies", (json_int_t)interval->replies, "bad",
                      (json_int_t)interval->bad, "p50_ms", (double)interval->p50_ns / 1e6, "p95_ms",
                      (double)interval->p95_ns / 1e6, "p99_ms", (double)interval->p99_ns / 1e6));
    }
    return json;
}

/* Busiest thread as a share of the run, and CPU time of all. */
static json_t *generator_json(struct engine *engine, const struct stats *stats, double length_s)
{
    unsigned threads = engine_threads(engine);
    OBS_CLEANUP(obs_freep) double *cpu_s = calloc(threads, sizeof(*cpu_s));
    double sum = 0, busiest = 0;

    if (!cpu_s)
        return json_object();
    engine_cpu(engine, cpu_s);
    for (unsigned i = 0; i < threads; i++) {
        sum += cpu_s[i];
        busiest = cpu_s[i] > busiest ? cpu_s[i] : busiest;
    }
    return json_pack("{s:i, s:f, s:f, s:f}", "threads", (int)threads, "cpu_s", sum,
                     "cpu_us_per_request",
                     stats->requests > 0 ? sum * 1e6 / (double)stats->requests : 0.0, "busiest",
                     length_s > 0 ? busiest / length_s : 0.0);
}

static void warn(json_t *warnings, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void warn(json_t *warnings, const char *format, ...)
{
    char text[300];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    json_array_append_new(warnings, json_string(text));
}

/* What a reader must know before believing the figures. */
static json_t *warnings_json(const struct stats *stats, double busiest)
{
    json_t *warnings = json_array();
    double scheduled = (double)stats->scheduled;

    if (busiest > 0.9)
        warn(warnings,
             "a thread of the generator was busy %.0f %% of the time: these figures show the "
             "generator as much as the target; give it more threads, or a lower rate",
             busiest * 100);
    if (stats->dropped > 0)
        warn(warnings,
             "%" PRIu64 " journeys (%.2f %%) were never begun: no user became free in time",
             stats->dropped, 100 * (double)stats->dropped / scheduled);
    if ((double)stats->late > 0.01 * scheduled)
        warn(warnings,
             "%.2f %% of the journeys began late; their latency counts from when they were due",
             100 * (double)stats->late / scheduled);
    if (stats->cut > 0)
        warn(warnings, "%" PRIu64 " journeys were still under way at the end and have no outcome",
             stats->cut);
    if (stats->replies > 0 && stats->replies < 10000)
        warn(warnings, "%" PRIu64 " replies are too few for p99.99 (10,000) to mean more than max",
             stats->replies);
    return warnings;
}

static void sum_outcomes(const struct stats *stats, uint64_t sums[OUTCOME_COUNT])
{
    memset(sums, 0, OUTCOME_COUNT * sizeof(*sums));
    for (unsigned i = 0; i < stats->journey_count; i++)
        for (unsigned o = 0; o < OUTCOME_COUNT; o++)
            sums[o] += stats->journeys[i].outcomes[o];
}

json_t *report_new(const struct report_about *about, struct engine *engine,
                   const struct record *record)
{
    const struct stats *stats = record->stats;
    OBS_CLEANUP(plan_unrefp) struct plan *plan = engine_plan(engine);
    json_t *json = json_object(), *generator;
    uint64_t sums[OUTCOME_COUNT];
    char began[OBS_RFC3339_SIZE];
    double length_s = about->length_s > 0 ? about->length_s : 1e-9;

    sum_outcomes(stats, sums);
    obs_time_rfc3339(about->began_unix_ns, began);
    generator = generator_json(engine, stats, length_s);
    json_object_set_new(json, "format", json_string(REPORT_FORMAT));
    json_object_set_new(json, "target", json_string(about->target));
    json_object_set_new(json, "script", json_string(about->script->name));
    json_object_set_new(json, "began", json_string(began));
    json_object_set_new(json, "length_s", json_real(about->length_s));
    json_object_set_new(json, "loop", json_string(about->is_closed_loop ? "closed" : "open"));
    if (!about->is_closed_loop)
        json_object_set(json, "pattern", (json_t *)pattern_json(plan->pattern));
    json_object_set_new(json, "users", json_integer(about->users));
    json_object_set_new(json, "seed", json_integer((json_int_t)about->seed));
    json_object_set_new(json, "counters", counters_json(stats));
    json_object_set_new(json, "outcomes", outcomes_json(sums));
    json_object_set_new(json, "failures", failures_json(stats->failures));
    json_object_set_new(json, "statuses", statuses_json(stats));
    json_object_set_new(json, "rates",
                        json_pack("{s:f, s:f}", "scheduled_per_s",
                                  (double)stats->scheduled / length_s, "replies_per_s",
                                  (double)stats->replies / length_s));
    json_object_set_new(json, "latency_ms", latency_json(record->latency));
    json_object_set_new(json, "service_ms", latency_json(stats->service));
    json_object_set_new(json, "journeys", journeys_json(about->script, stats));
    json_object_set_new(
        json, "warnings",
        warnings_json(stats, about->is_closed_loop
                                 ? 0
                                 : json_number_value(json_object_get(generator, "busiest"))));
    json_object_set_new(json, "generator", generator);
    json_object_set_new(json, "intervals", intervals_json(record));
    json_object_set_new(json, "latency_histogram_ns", histogram_json(record->latency));
    return json;
}

int report_check(const json_t *report, struct obs_reason *reterr_reason)
{
    const char *format = json_string_value(json_object_get(report, "format"));

    if (format && strcmp(format, REPORT_FORMAT) == 0 &&
        json_is_object(json_object_get(report, "latency_ms")) &&
        json_is_array(json_object_get(report, "intervals")))
        return 0;
    obs_reason_set(reterr_reason,
                   "is no report: expected \"format\": \"%s\", as written by "
                   "observa-load run --json",
                   REPORT_FORMAT);
    return OBS_JSON_REFUSED;
}

/* ---- text ---- */

void report_duration(double ms, char *out)
{
    if (ms < 1)
        snprintf(out, 24, "%.0f us", ms * 1000);
    else if (ms < 10)
        snprintf(out, 24, "%.2f ms", ms);
    else if (ms < 1000)
        snprintf(out, 24, "%.1f ms", ms);
    else
        snprintf(out, 24, "%.2f s", ms / 1000);
}

static double number(const json_t *json, const char *name)
{
    return json_number_value(json_object_get(json, name));
}

static uint64_t integer(const json_t *json, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(json, name));
}

static const char *text(const json_t *json, const char *name)
{
    const char *value = json_string_value(json_object_get(json, name));

    return value ? value : "";
}

static const char *const COLUMNS[] = {"p50", "p90", "p95", "p99", "p99.9", "p99.99", "max"};

static void print_latency_row(const char *title, const json_t *latency, FILE *out)
{
    char value[24];

    fprintf(out, "  %-26.26s", title);
    for (size_t i = 0; i < OBS_COUNT(COLUMNS); i++) {
        const json_t *ms = json_object_get(latency, COLUMNS[i]);

        if (ms)
            report_duration(json_number_value(ms), value);
        fprintf(out, " %9s", ms ? value : "-");
    }
    fprintf(out, "\n");
}

static void print_latency_head(const char *title, FILE *out)
{
    fprintf(out, "\n%-28s", title);
    for (size_t i = 0; i < OBS_COUNT(COLUMNS); i++)
        fprintf(out, " %9s", COLUMNS[i]);
    fprintf(out, "\n");
}

static void print_counts(const char *title, const json_t *counts, FILE *out)
{
    const char *name;
    json_t *value;
    bool is_first = true;

    json_object_foreach ((json_t *)counts, name, value) {
        if (json_integer_value(value) == 0)
            continue;
        if (is_first)
            fprintf(out, "  %-12s", title);
        fprintf(out, "%s%s %" PRId64, is_first ? "" : ", ", name,
                (int64_t)json_integer_value(value));
        is_first = false;
    }
    if (!is_first)
        fprintf(out, "\n");
}

static void print_head(const json_t *report, FILE *out)
{
    bool is_open = strcmp(text(report, "loop"), "open") == 0;
    char *pattern = json_dumps(json_object_get(report, "pattern"), JSON_REAL_PRECISION(6));

    fprintf(out, "\n%s: %.1f s, %s loop", text(report, "target"), number(report, "length_s"),
            text(report, "loop"));
    if (is_open && pattern && strlen(pattern) < 120)
        fprintf(out, " %s", pattern);
    fprintf(out, ", %" PRIu64 " users, %" PRIu64 " threads, seed %" PRIu64 "\n\n",
            integer(report, "users"), integer(json_object_get(report, "generator"), "threads"),
            integer(report, "seed"));
    free(pattern);
}

static void print_counters(const json_t *report, FILE *out)
{
    const json_t *c = json_object_get(report, "counters");
    const json_t *rates = json_object_get(report, "rates");
    double length_s = number(report, "length_s");

    fprintf(out,
            "  scheduled   %" PRIu64 " = %" PRIu64 " sent + %" PRIu64 " late + %" PRIu64
            " dropped\n",
            integer(c, "scheduled"), integer(c, "sent"), integer(c, "late"), integer(c, "dropped"));
    fprintf(out, "  requests    %" PRIu64 ", %" PRIu64 " replies, %.1f/s", integer(c, "requests"),
            integer(c, "replies"), number(rates, "replies_per_s"));
    if (length_s > 0)
        fprintf(out, ", %.2f MB/s in", number(c, "bytes_in") / length_s / 1e6);
    fprintf(out, ", %" PRIu64 " connections", integer(c, "connects"));
    if (integer(c, "retries") + integer(c, "resent") > 0)
        fprintf(out, ", %" PRIu64 " retried, %" PRIu64 " resent", integer(c, "retries"),
                integer(c, "resent"));
    fprintf(out, "\n");
    print_counts("outcomes", json_object_get(report, "outcomes"), out);
    print_counts("failures", json_object_get(report, "failures"), out);
    print_counts("statuses", json_object_get(report, "statuses"), out);
    fprintf(out, "  generator   %.2f s CPU, %.1f us per request\n",
            number(json_object_get(report, "generator"), "cpu_s"),
            number(json_object_get(report, "generator"), "cpu_us_per_request"));
}

static void print_journeys(const json_t *report, FILE *out)
{
    const json_t *journeys = json_object_get(report, "journeys"), *journey, *step;
    size_t i, s;

    if (json_array_size(journeys) == 1 &&
        json_array_size(json_object_get(json_array_get(journeys, 0), "steps")) == 1)
        return;
    print_latency_head("journeys", out);
    json_array_foreach (journeys, i, journey) {
        const json_t *steps = json_object_get(journey, "steps");

        print_latency_row(text(journey, "journey"), json_object_get(journey, "duration_ms"), out);
        print_counts("", json_object_get(journey, "outcomes"), out);
        json_array_foreach (steps, s, step) {
            char title[64];

            if (json_array_size(steps) == 1)
                break;
            snprintf(title, sizeof(title), "  %.60s", text(step, "step"));
            print_latency_row(title, json_object_get(step, "latency_ms"), out);
        }
    }
}

void report_print(const json_t *report, bool is_utf8, FILE *out)
{
    const json_t *warnings = json_object_get(report, "warnings"), *warning;
    size_t i;

    print_head(report, out);
    print_counters(report, out);
    print_latency_head("latency", out);
    print_latency_row("from when it was due", json_object_get(report, "latency_ms"), out);
    print_latency_row("from when it was sent", json_object_get(report, "service_ms"), out);
    print_journeys(report, out);
    fprintf(out, "\n");
    chart_print(json_object_get(report, "latency_histogram_ns"), is_utf8, out);
    json_array_foreach (warnings, i, warning)
        fprintf(out, "%swarning: %s\n", i == 0 ? "\n" : "", json_string_value(warning));
}
