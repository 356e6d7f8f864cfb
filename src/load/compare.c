#include "load/compare.h"
#include "load/report.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct ranked {
    double value, rank;
    bool is_a;
};

static int by_value(const void *a, const void *b)
{
    double x = ((const struct ranked *)a)->value, y = ((const struct ranked *)b)->value;

    return (x > y) - (x < y);
}

/* Equal values share the mean of their ranks. Returns the sum of t^3 - t over groups of t equals.
 */
static double rank(struct ranked *all, size_t n)
{
    double ties = 0;

    qsort(all, n, sizeof(*all), by_value);
    for (size_t i = 0, end; i < n; i = end) {
        double t;

        for (end = i + 1; end < n && all[end].value == all[i].value;)
            end++;
        t = (double)(end - i);
        ties += t * t * t - t;
        for (size_t k = i; k < end; k++)
            all[k].rank = (double)i + (t + 1) / 2;
    }
    return ties;
}

double compare_p_value(const double *a, size_t a_count, const double *b, size_t b_count)
{
    size_t n = a_count + b_count;
    struct ranked *all = calloc(n ? n : 1, sizeof(*all));
    double ties, rank_sum = 0, mean, variance, distance;
    double na = (double)a_count, nb = (double)b_count, total = na + nb;

    if (!all || a_count == 0 || b_count == 0) {
        free(all);
        return 1;
    }
    for (size_t i = 0; i < n; i++)
        all[i] = (struct ranked){i < a_count ? a[i] : b[i - a_count], 0, i < a_count};
    ties = rank(all, n);
    for (size_t i = 0; i < n; i++)
        rank_sum += all[i].is_a ? all[i].rank : 0;
    free(all);
    mean = na * (total + 1) / 2;
    variance = na * nb / 12 * (total + 1 - ties / (total * (total - 1)));
    distance = fabs(rank_sum - mean) - 0.5; /* continuity */
    if (variance <= 0 || distance <= 0)
        return 1;
    return erfc(distance / sqrt(2 * variance));
}

struct sample {
    double values[8192];
    size_t count;
};

struct figure {
    const char *name, *member; /* member of an interval; NULL with `per` */
    const char *part;          /* part / whole */
    const char *whole;
    bool is_more_better, is_duration;
    const char *summary; /* in latency_ms, for the run as a whole; NULL: mean of the seconds */
};

static const struct figure FIGURES[] = {
    {"replies per second", NULL, "replies", "length_s", true, false, NULL},
    {"bad journeys", NULL, "bad", "replies", false, false, NULL},
    {"latency p50", "p50_ms", NULL, NULL, false, true, "p50"},
    {"latency p95", "p95_ms", NULL, NULL, false, true, "p95"},
    {"latency p99", "p99_ms", NULL, NULL, false, true, "p99"},
};

static double member(const json_t *json, const char *name)
{
    return json_number_value(json_object_get(json, name));
}

/* The first second warms up (connections, caches); what is shorter than half a second says little.
 */
static void collect(const json_t *report, const struct figure *figure, struct sample *sample)
{
    const json_t *intervals = json_object_get(report, "intervals"), *interval;
    size_t i;

    sample->count = 0;
    json_array_foreach (intervals, i, interval) {
        double value;

        if (i == 0 || member(interval, "length_s") < 0.5 ||
            sample->count == OBS_COUNT(sample->values))
            continue;
        if (figure->member) {
            value = member(interval, figure->member);
            if (member(interval, "replies") == 0)
                continue;
        } else {
            double whole = member(interval, figure->whole);

            value = whole > 0 ? member(interval, figure->part) / whole : 0;
        }
        sample->values[sample->count++] = value;
    }
}

static double mean(const struct sample *sample)
{
    double sum = 0;

    for (size_t i = 0; i < sample->count; i++)
        sum += sample->values[i];
    return sample->count ? sum / (double)sample->count : 0;
}

static double whole_run(const json_t *report, const struct figure *figure,
                        const struct sample *sample)
{
    return figure->summary ? member(json_object_get(report, "latency_ms"), figure->summary)
                           : mean(sample);
}

/* The smallest shift that these seconds would have shown: 2.8 standard errors of the difference
 * (5 % level, 80 % power), in percent of A's mean. */
static double visible_percent(const struct sample *a, const struct sample *b)
{
    double mean_a = mean(a), mean_b = mean(b), va = 0, vb = 0;

    for (size_t i = 0; i < a->count; i++)
        va += pow(a->values[i] - mean_a, 2);
    for (size_t i = 0; i < b->count; i++)
        vb += pow(b->values[i] - mean_b, 2);
    va /= (double)(a->count - 1) * (double)a->count;
    vb /= (double)(b->count - 1) * (double)b->count;
    return mean_a > 0 ? 100 * 2.8 * sqrt(va + vb) / mean_a : 0;
}

static void show_value(const struct figure *figure, double value, char out[24])
{
    if (figure->is_duration)
        report_duration(value, out);
    else if (!figure->is_more_better)
        snprintf(out, 24, "%.3f %%", value * 100);
    else
        snprintf(out, 24, "%.1f", value);
}

/* Returns 1 when a difference is shown. */
static int print_verdict(const struct figure *figure, const struct sample *a,
                         const struct sample *b, FILE *out)
{
    double p, shift = mean(b) - mean(a);
    bool is_better = (shift > 0) == figure->is_more_better;

    if (a->count < COMPARE_SECONDS_MIN || b->count < COMPARE_SECONDS_MIN) {
        fprintf(out, "too short to tell from chance\n");
        return 0;
    }
    p = compare_p_value(a->values, a->count, b->values, b->count);
    if (p < 0.001)
        fprintf(out, "%s (p < 0.001)\n", is_better ? "better" : "worse");
    else if (p < 0.01)
        fprintf(out, "%s (p = %.3f)\n", is_better ? "better" : "worse", p);
    else if (p < 0.05)
        fprintf(out, "maybe %s (p = %.2f): run both again\n", is_better ? "better" : "worse", p);
    else if (mean(a) == 0 && mean(b) == 0)
        fprintf(out, "none in either\n");
    else
        fprintf(out, "no difference shown; one below %.1f %% would not show\n",
                visible_percent(a, b));
    return p < 0.01;
}

static bool is_same(const json_t *a, const json_t *b, const char *name)
{
    return json_equal(json_object_get(a, name), json_object_get(b, name));
}

static void print_caveats(const json_t *a, const json_t *b, int differences, FILE *out)
{
    static const char *const names[] = {"target", "script", "loop", "pattern", "users"};
    const json_t *reports[] = {a, b}, *warning;
    size_t i;

    for (i = 0; i < OBS_COUNT(names); i++)
        if (!is_same(a, b, names[i]))
            fprintf(out, "note: the runs differ in \"%s\": the figures compare that as well\n",
                    names[i]);
    for (size_t k = 0; k < OBS_COUNT(reports); k++)
        json_array_foreach (json_object_get(reports[k], "warnings"), i, warning)
            fprintf(out, "note: %c: %s\n", (int)('A' + k), json_string_value(warning));
    if (differences > 0)
        fprintf(out,
                "note: the machine may have differed as well: only runs in turns (A B A B) tell "
                "the change from the hour\n");
    fprintf(out, "note: each line is judged alone; of 100 such lines without any difference, one "
                 "would say better or worse\n");
}

int compare_print(const char *a_name, const json_t *a, const char *b_name, const json_t *b,
                  FILE *out)
{
    struct sample *samples = calloc(2, sizeof(*samples));
    int differences = 0;

    if (!samples)
        return 0;
    fprintf(out, "A  %s\nB  %s\n\n%-20s %12s %12s %9s\n", a_name, b_name, "", "A", "B", "B to A");
    for (size_t i = 0; i < OBS_COUNT(FIGURES); i++) {
        const struct figure *figure = &FIGURES[i];
        char shown_a[24], shown_b[24], change[24] = "";
        double value_a, value_b;

        collect(a, figure, &samples[0]);
        collect(b, figure, &samples[1]);
        value_a = whole_run(a, figure, &samples[0]);
        value_b = whole_run(b, figure, &samples[1]);
        show_value(figure, value_a, shown_a);
        show_value(figure, value_b, shown_b);
        if (value_a > 0)
            snprintf(change, sizeof(change), "%+.1f %%", 100 * (value_b - value_a) / value_a);
        fprintf(out, "%-20s %12s %12s %9s  ", figure->name, shown_a, shown_b, change);
        differences += print_verdict(figure, &samples[0], &samples[1], out);
    }
    fprintf(out, "\n");
    print_caveats(a, b, differences, out);
    free(samples);
    return differences;
}
