#include "support/test.h"

#include "otel/metrics.h"
#include "otel/names.h"
#include "otel/registry.h"
#include "otel/trace.h"
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static const double SMALL[] = {0.1, 1};

static const struct obs_metric REQUESTS = {.name = "requests",
                                           .type = OBS_COUNTER,
                                           .unit = "",
                                           .help = "Requests by route",
                                           .labels = {"route", "method"}};
static const struct obs_metric DURATION = {.name = "duration_seconds",
                                           .type = OBS_HISTOGRAM,
                                           .unit = "seconds",
                                           .help = "Time",
                                           .buckets = SMALL,
                                           .bucket_count = OBS_COUNT(SMALL)};
static const struct obs_metric LEVEL = {
    .name = "level", .type = OBS_GAUGE, .unit = "bytes", .help = "A \"level\"\nof \\"};

static struct obs_metrics *metrics;
static struct obs_buffer text;

static int start(void **state)
{
    text = OBS_BUFFER_INIT(4u << 20);
    return obs_metrics_new("shop", "1.0", &metrics);
}

static int stop(void **state)
{
    metrics = obs_metrics_free(metrics);
    obs_buffer_done(&text);
    return 0;
}

static const char *emitted(void)
{
    obs_buffer_clear(&text);
    assert_int_equal(obs_metrics_emit(metrics, &text), 0);
    return text.data;
}

static void assert_has(const char *part)
{
    if (!strstr(emitted(), part))
        fail_msg("no \"%s\" in:\n%s", part, text.data);
}

static void assert_has_not(const char *part)
{
    if (strstr(emitted(), part))
        fail_msg("\"%s\" in:\n%s", part, text.data);
}

static void emits_an_empty_registry_as_its_end(void **state)
{
    assert_string_equal(emitted(), "# EOF\n");
}

static void emits_each_type_in_its_own_form(void **state)
{
    struct obs_metric_series *duration = obs_metric_only(obs_metrics_family(metrics, &DURATION));

    obs_counter_add(
        obs_metric_series(obs_metrics_family(metrics, &REQUESTS), (const char *[]){"/x", "GET"}),
        3);
    obs_gauge_set(obs_metric_only(obs_metrics_family(metrics, &LEVEL)), -0.5);
    obs_histogram_observe(duration, 0.1, NULL); /* a bound belongs to its bucket */
    obs_histogram_observe(duration, 0.5, NULL);
    obs_histogram_observe(duration, 7, NULL);
    assert_string_equal(
        emitted(),
        "# TYPE duration_seconds histogram\n"
        "# UNIT duration_seconds seconds\n"
        "# HELP duration_seconds Time\n"
        "duration_seconds_bucket{service=\"shop\",version=\"1.0\",le=\"0.1\"} 1\n"
        "duration_seconds_bucket{service=\"shop\",version=\"1.0\",le=\"1.0\"} 2\n"
        "duration_seconds_bucket{service=\"shop\",version=\"1.0\",le=\"+Inf\"} 3\n"
        "duration_seconds_sum{service=\"shop\",version=\"1.0\"} 7.6\n"
        "duration_seconds_count{service=\"shop\",version=\"1.0\"} 3\n"
        "# TYPE requests counter\n"
        "# HELP requests Requests by route\n"
        "requests_total{service=\"shop\",version=\"1.0\",route=\"/x\",method=\"GET\"} 3\n"
        "# TYPE level gauge\n"
        "# HELP level A \\\"level\\\"\\nof \\\\\n"
        "level{service=\"shop\",version=\"1.0\"} -0.5\n"
        "# EOF\n");
}

static void escapes_label_values(void **state)
{
    obs_counter_add(obs_metric_series(obs_metrics_family(metrics, &REQUESTS),
                                      (const char *[]){"a\"b\\c\nd", "\xc3\xa9"}),
                    1);
    assert_has("route=\"a\\\"b\\\\c\\nd\",method=\"\xc3\xa9\"} 1\n");
}

static void spells_values_that_are_no_numbers(void **state)
{
    struct obs_metric_series *level = obs_metric_only(obs_metrics_family(metrics, &LEVEL));

    obs_gauge_set(level, INFINITY);
    assert_has("level{service=\"shop\",version=\"1.0\"} +Inf\n");
    obs_gauge_set(level, NAN);
    assert_has("level{service=\"shop\",version=\"1.0\"} NaN\n");
    obs_gauge_set(level, 1e300);
    assert_has("1e+300\n");
}

static void gives_one_series_for_equal_labels(void **state)
{
    struct obs_metric_family *family = obs_metrics_family(metrics, &REQUESTS);
    struct obs_metric_series *series = obs_metric_series(family, (const char *[]){"ab", "c"});

    assert_ptr_equal(obs_metrics_family(metrics, &REQUESTS), family);
    assert_ptr_equal(obs_metric_series(family, (const char *[]){"ab", "c"}), series);
    assert_ptr_not_equal(obs_metric_series(family, (const char *[]){"a", "bc"}), series);
}

static void counts_what_is_past_the_limit_as_other(void **state)
{
    struct obs_metric_family *family = obs_metrics_family(metrics, &REQUESTS);
    char route[16];

    assert_has_not("other");
    for (int i = 0; i < OBS_METRIC_SERIES_MAX + 5; i++) {
        snprintf(route, sizeof(route), "/%d", i);
        obs_counter_add(obs_metric_series(family, (const char *[]){route, "GET"}), 1);
    }
    assert_has("route=\"/999\",method=\"GET\"} 1\n");
    assert_has("route=\"other\",method=\"other\"} 5\n");
    assert_has_not("/1000");
}

static void says_the_version_in_force(void **state)
{
    obs_gauge_set(obs_metric_only(obs_metrics_family(metrics, &LEVEL)), 1);
    obs_metrics_set_version(metrics, "1.1");
    assert_has("level{service=\"shop\",version=\"1.1\"} 1\n");
}

static const struct obs_trace_context SAMPLED = {
    .trace_id = {0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6, 0xa3, 0xce, 0x92, 0x9d, 0x0e, 0x0e,
                 0x47, 0x36},
    .span_id = {0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7},
    .flags = 1};

static void keeps_the_last_sampled_trace_of_a_bucket(void **state)
{
    struct obs_metric_series *duration = obs_metric_only(obs_metrics_family(metrics, &DURATION));
    struct obs_trace_context unsampled = SAMPLED;

    unsampled.flags = 0;
    unsampled.trace_id[0] = 0x77;
    obs_histogram_observe(duration, 0.3, &SAMPLED);
    obs_histogram_observe(duration, 0.25, &SAMPLED);
    obs_histogram_observe(duration, 0.4, &unsampled);
    obs_histogram_observe(duration, 0.05, &unsampled);
    assert_has("le=\"0.1\"} 1\n");
    assert_has("le=\"1.0\"} 4 # {trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\","
               "span_id=\"00f067aa0ba902b7\"} 0.25 1");
    assert_has_not("{trace_id=\"77");
}

static void collect_level(struct obs_metrics *m, void *userdata)
{
    int *calls = userdata;

    obs_gauge_set(obs_metric_only(obs_metrics_family(m, &LEVEL)), ++*calls);
}

static void asks_collectors_at_each_emission(void **state)
{
    int calls = 0;

    assert_int_equal(obs_metrics_on_collect(metrics, collect_level, &calls), 0);
    assert_has("level{service=\"shop\",version=\"1.0\"} 1\n");
    assert_has("level{service=\"shop\",version=\"1.0\"} 2\n");
}

static double value_of(const char *name)
{
    const char *at = strstr(emitted(), name);

    assert_non_null(at);
    return strtod(strchr(at, '}') + 1, NULL);
}

static void reports_its_own_process(void **state)
{
    assert_int_equal(obs_metrics_add_process(metrics), 0);
    assert_true(value_of("\nprocess_cpu_seconds_total{") > 0);
    assert_true(value_of("\nprocess_resident_memory_bytes{") > 100e3);
    assert_true(value_of("\nprocess_open_fds{") >= 3);
    assert_true(value_of("\nprocess_threads{") >= 1);
    assert_true(value_of("process_start_time_seconds{") > 1.7e9);
}

static void fails_as_the_buffer_does(void **state)
{
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer small = OBS_BUFFER_INIT(20);

    obs_metrics_family(metrics, &LEVEL);
    assert_int_equal(obs_metrics_emit(metrics, &small), -EMSGSIZE);
}

/* ---- the table of names ---- */

static bool has_suffix(const char *name, const char *suffix)
{
    size_t a = strlen(name), b = strlen(suffix);

    return a > b && strcmp(name + a - b, suffix) == 0;
}

static void names_follow_the_rules_of_openmetrics(void **state)
{
    static const char first[] = "abcdefghijklmnopqrstuvwxyz", all[] = "abcdefghijklmnopqrstuvwxyz_";

    for (size_t i = 0; i < OBS_METRIC_NAME_COUNT; i++) {
        const struct obs_metric *metric = &OBS_METRICS[i];

        assert_non_null(strchr(first, metric->name[0]));
        assert_int_equal(strspn(metric->name, all), strlen(metric->name));
        assert_false(has_suffix(metric->name, "_total") || has_suffix(metric->name, "_count") ||
                     has_suffix(metric->name, "_sum") || has_suffix(metric->name, "_bucket"));
        assert_true(*metric->unit == '\0' || has_suffix(metric->name, metric->unit));
        assert_true((metric->type == OBS_HISTOGRAM) == (metric->bucket_count > 0));
        assert_true(strlen(metric->help) > 0);
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(OBS_METRICS[k].name, metric->name);
        assert_non_null(obs_metrics_named(metrics, (enum obs_metric_name)i));
    }
}

/* ---- many threads ---- */

enum { THREADS = 4, ROUNDS = 20000 };

static struct {
    struct obs_metric_family *requests;
    struct obs_metric_series *gauge, *duration;
} shared;

/* Trace id, span id and value of one exemplar belong together: all say the same number. */
static void *update(void *userdata)
{
    struct obs_trace_context context = {.flags = 1};
    char route[16];

    for (uint64_t i = 1; i <= ROUNDS; i++) {
        snprintf(route, sizeof(route), "/%d", (int)(i % 7));
        obs_counter_add(obs_metric_series(shared.requests, (const char *[]){route, "GET"}), 1);
        obs_gauge_add(shared.gauge, i % 2 ? 3 : -1);
        memcpy(context.trace_id, &i, sizeof(i));
        memcpy(context.span_id, &i, sizeof(i));
        obs_histogram_observe(shared.duration, (double)i, &context);
    }
    return NULL;
}

static void *read_exemplars(void *userdata)
{
    struct exemplar_value seen;
    uint64_t trace, span;

    for (int i = 0; i < ROUNDS; i++) {
        if (!registry_exemplar_read(&shared.duration->histogram->exemplars[2], &seen))
            continue;
        memcpy(&trace, seen.trace_id, sizeof(trace));
        memcpy(&span, seen.span_id, sizeof(span));
        if (trace != span || (double)trace != seen.value)
            return "torn";
    }
    return NULL;
}

static void adds_up_exactly_under_many_threads(void **state)
{
    pthread_t threads[THREADS], reader;
    void *torn;
    char part[160];

    shared.requests = obs_metrics_family(metrics, &REQUESTS);
    shared.gauge = obs_metric_only(obs_metrics_family(metrics, &LEVEL));
    shared.duration = obs_metric_only(obs_metrics_family(metrics, &DURATION));
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, update, NULL), 0);
    assert_int_equal(pthread_create(&reader, NULL, read_exemplars, NULL), 0);
    for (int i = 0; i < 20; i++)
        emitted();
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    pthread_join(reader, &torn);
    assert_null(torn);

    assert_true(value_of("requests_total{") > 0);
    for (int i = 0; i < 7; i++) {
        unsigned expected = 0;

        for (int k = 1; k <= ROUNDS; k++)
            expected += k % 7 == i;
        snprintf(part, sizeof(part), "route=\"/%d\",method=\"GET\"} %u\n", i, THREADS * expected);
        assert_has(part);
    }
    snprintf(part, sizeof(part), "level{service=\"shop\",version=\"1.0\"} %d\n", THREADS * ROUNDS);
    assert_has(part);
    snprintf(part, sizeof(part), "duration_seconds_count{service=\"shop\",version=\"1.0\"} %d\n",
             THREADS * ROUNDS);
    assert_has(part);
    snprintf(part, sizeof(part), "duration_seconds_sum{service=\"shop\",version=\"1.0\"} %lld\n",
             (long long)THREADS * ROUNDS * (ROUNDS + 1) / 2);
    assert_has(part);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(emits_an_empty_registry_as_its_end, start, stop),
        cmocka_unit_test_setup_teardown(emits_each_type_in_its_own_form, start, stop),
        cmocka_unit_test_setup_teardown(escapes_label_values, start, stop),
        cmocka_unit_test_setup_teardown(spells_values_that_are_no_numbers, start, stop),
        cmocka_unit_test_setup_teardown(gives_one_series_for_equal_labels, start, stop),
        cmocka_unit_test_setup_teardown(counts_what_is_past_the_limit_as_other, start, stop),
        cmocka_unit_test_setup_teardown(says_the_version_in_force, start, stop),
        cmocka_unit_test_setup_teardown(keeps_the_last_sampled_trace_of_a_bucket, start, stop),
        cmocka_unit_test_setup_teardown(asks_collectors_at_each_emission, start, stop),
        cmocka_unit_test_setup_teardown(reports_its_own_process, start, stop),
        cmocka_unit_test_setup_teardown(fails_as_the_buffer_does, start, stop),
        cmocka_unit_test_setup_teardown(names_follow_the_rules_of_openmetrics, start, stop),
        cmocka_unit_test_setup_teardown(adds_up_exactly_under_many_threads, start, stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
