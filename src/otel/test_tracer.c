#include "support/test.h"

#include "base/clock.h"
#include "base/log.h"
#include "otel/test_collector.h"
#include "otel/trace.h"
#include <stdio.h>
#include <string.h>

static struct test_collector collector;
static struct obs_tracer *tracer;

static int start(void **state)
{
    obs_log_setup("test", "1", OBS_LOG_ERROR); /* standard output is the test's report */
    test_collector_init(&collector);
    return 0;
}

static int stop(void **state)
{
    tracer = obs_tracer_free(tracer, 0);
    test_collector_done(&collector);
    return 0;
}

static void open_tracer(size_t queue_limit, size_t batch_max, unsigned give_up_ms)
{
    struct obs_tracer_options options = {.service = "orders",
                                         .version = "1.0",
                                         .resource = "deployment.environment=test",
                                         .endpoint = collector.address,
                                         .sample_ratio = 1,
                                         .queue_limit = queue_limit,
                                         .batch_max = batch_max,
                                         .flush_ms = 10,
                                         .retry_ms = 10,
                                         .give_up_ms = give_up_ms};

    assert_int_equal(obs_tracer_new(&options, &tracer), 0);
}

static void end_spans(size_t count)
{
    struct obs_span span;
    char name[32];

    for (size_t i = 0; i < count; i++) {
        snprintf(name, sizeof(name), "span %zu", i);
        obs_span_start(&span, tracer, OBS_SPAN_SERVER, name, NULL);
        obs_span_text(&span, "http.route", "/x");
        obs_span_end(&span);
    }
}

/* Wait, at most 20 s, until that many spans have been delivered or dropped. */
static struct obs_tracer_stats settled(uint64_t spans)
{
    uint64_t until_ns = obs_mono_ns() + 20 * OBS_NS_PER_SECOND;
    struct obs_tracer_stats stats;

    do {
        obs_tracer_stats(tracer, &stats);
        if (stats.exported + stats.dropped >= spans && stats.queued == 0)
            return stats;
        obs_sleep_ns(OBS_NS_PER_MS);
    } while (obs_mono_ns() < until_ns);
    fail_msg("spans are still on their way");
    return stats;
}

static void spans_arrive_with_their_resource(void **state)
{
    const Otlp__Resource *resource = NULL;
    const Otlp__Span *span;
    struct obs_tracer_stats stats;

    test_collector_start(&collector);
    open_tracer(0, 0, 0);
    end_spans(3);
    test_collector_wait_spans(&collector, 3);
    stats = settled(3);
    assert_int_equal(stats.exported, 3);
    assert_int_equal(stats.dropped + stats.failures, 0);
    assert_string_equal(collector.targets[0], "/v1/traces");
    span = test_collector_span(&collector, 2, &resource);
    assert_string_equal(span->name, "span 2");
    assert_string_equal(test_attribute(span->attributes, span->n_attributes, "http.route"), "/x");
    assert_string_equal(
        test_attribute(resource->attributes, resource->n_attributes, "service.name"), "orders");
    assert_string_equal(
        test_attribute(resource->attributes, resource->n_attributes, "deployment.environment"),
        "test");
}

static void a_batch_is_never_larger_than_asked(void **state)
{
    test_collector_start(&collector);
    open_tracer(0, 10, 0);
    end_spans(95);
    test_collector_wait_spans(&collector, 95);
    for (size_t i = 0; i < collector.request_count; i++)
        assert_in_range(collector.requests[i]->resource_spans[0]->scope_spans[0]->n_spans, 1, 10);
    assert_int_equal(settled(95).exported, 95);
}

static void spans_keep_the_version_they_ended_under(void **state)
{
    const Otlp__Resource *resource;

    open_tracer(0, 0, 0); /* nobody listens yet: all wait in one queue */
    end_spans(2);
    obs_tracer_set_version(tracer, "1.1");
    end_spans(1);
    obs_tracer_set_version(tracer, "1.0");
    end_spans(1);
    test_collector_start(&collector);
    test_collector_wait_spans(&collector, 4);
    for (size_t i = 0; i < 4; i++) {
        test_collector_span(&collector, i, &resource);
        assert_string_equal(
            test_attribute(resource->attributes, resource->n_attributes, "service.version"),
            i == 2 ? "1.1" : "1.0");
    }
}

static void what_the_queue_cannot_hold_is_dropped_and_counted(void **state)
{
    struct obs_tracer_stats stats;

    test_collector_start(&collector);
    test_collector_stall(&collector, true);
    open_tracer(50, 10, 0);
    end_spans(10);
    test_collector_wait_seen(&collector, 1); /* the exporter hangs in its call: its 10 count too */
    end_spans(100);
    obs_tracer_stats(tracer, &stats);
    assert_int_equal(stats.queued, 50);
    assert_int_equal(stats.dropped, 60);
    test_collector_stall(&collector, false);
    stats = settled(110);
    assert_int_equal(stats.exported, 50);
    assert_int_equal(stats.dropped, 60);
}

static void spans_wait_for_a_collector_that_is_down(void **state)
{
    struct obs_tracer_stats stats;

    open_tracer(0, 0, 0);
    end_spans(5);
    do
        obs_tracer_stats(tracer, &stats);
    while (stats.failures < 2);
    assert_int_equal(stats.exported + stats.dropped, 0);
    test_collector_start(&collector);
    assert_int_equal(settled(5).exported, 5);

    test_collector_stop(&collector); /* the kept connection is dead now */
    end_spans(5);
    test_collector_start(&collector);
    stats = settled(10);
    assert_int_equal(stats.exported, 10);
    assert_int_equal(stats.dropped, 0);
}

static void what_nobody_takes_in_time_is_dropped(void **state)
{
    struct obs_tracer_stats stats;

    open_tracer(0, 0, 50);
    end_spans(5);
    stats = settled(5);
    assert_int_equal(stats.dropped, 5);
    assert_true(stats.failures > 1);
}

static void busy_answers_are_tried_again(void **state)
{
    static const int statuses[] = {429, 502, 503, 504};
    struct obs_tracer_stats stats;

    for (size_t i = 0; i < OBS_COUNT(statuses); i++)
        collector.answers[collector.answer_count++] = (struct test_answer){.status = statuses[i]};
    test_collector_start(&collector);
    open_tracer(0, 0, 0);
    end_spans(3);
    stats = settled(3);
    assert_int_equal(stats.exported, 3);
    assert_int_equal(stats.failures, 4);
    assert_int_equal(stats.batches, 5);
}

static void retry_after_is_honoured(void **state)
{
    uint64_t start_ns = obs_mono_ns();

    collector.answers[collector.answer_count++] =
        (struct test_answer){.status = 503, .retry_after = "1"};
    test_collector_start(&collector);
    open_tracer(0, 0, 0);
    end_spans(1);
    assert_int_equal(settled(1).exported, 1);
    assert_true(obs_mono_ns() - start_ns >= OBS_NS_PER_SECOND);
}

static void other_answers_refuse_for_good(void **state)
{
    struct obs_tracer_stats stats;

    collector.answers[collector.answer_count++] =
        (struct test_answer){.status = 500, .body = "oops", .body_size = 4};
    collector.answers[collector.answer_count++] = (struct test_answer){.status = 400};
    test_collector_start(&collector);
    open_tracer(0, 1, 0);
    end_spans(3);
    stats = settled(3);
    assert_int_equal(stats.dropped, 2);
    assert_int_equal(stats.exported, 1);
    assert_int_equal(stats.batches, 3);
}

static void partly_rejected_spans_are_counted(void **state)
{
    struct obs_tracer_stats stats;

    collector.answers[collector.answer_count++] =
        (struct test_answer){.body = "\x0a\x02\x08\x02", .body_size = 4}; /* rejected_spans: 2 */
    test_collector_start(&collector);
    test_collector_stall(&collector, true);
    open_tracer(0, 5, 0);
    end_spans(5);
    test_collector_stall(&collector, false);
    stats = settled(5);
    assert_int_equal(stats.dropped, 2);
    assert_int_equal(stats.exported, 3);
}

static void a_garbled_success_is_a_success(void **state)
{
    collector.answers[collector.answer_count++] =
        (struct test_answer){.body = "<html>\xff\xff", .body_size = 8};
    test_collector_start(&collector);
    open_tracer(0, 0, 0);
    end_spans(1);
    assert_int_equal(settled(1).exported, 1);
}

static void freeing_sends_what_waits(void **state)
{
    struct obs_tracer_options options = {.service = "orders",
                                         .version = "1.0",
                                         .endpoint = collector.address,
                                         .sample_ratio = 1,
                                         .batch_max = 7,
                                         .flush_ms = 600000};

    test_collector_start(&collector);
    assert_int_equal(obs_tracer_new(&options, &tracer), 0);
    end_spans(20);
    tracer = obs_tracer_free(tracer, 10000);
    assert_int_equal(collector.span_count, 20);
}

static void freeing_does_not_wait_for_a_collector_that_hangs(void **state)
{
    uint64_t start_ns;

    test_collector_start(&collector);
    test_collector_stall(&collector, true);
    open_tracer(0, 0, 0);
    end_spans(1);
    test_collector_wait_seen(&collector, 1);
    start_ns = obs_mono_ns();
    tracer = obs_tracer_free(tracer, 50);
    assert_true(obs_mono_ns() - start_ns < 2 * OBS_NS_PER_SECOND);
    test_collector_stall(&collector, false);
    test_collector_wait_spans(&collector, 1);
}

static void ending_a_span_never_waits_for_the_collector(void **state)
{
    uint64_t start_ns;

    test_collector_start(&collector);
    test_collector_stall(&collector, true);
    open_tracer(1000, 100, 0);
    end_spans(100);
    test_collector_wait_seen(&collector, 1);
    start_ns = obs_mono_ns();
    end_spans(5000);
    assert_true(obs_mono_ns() - start_ns < OBS_NS_PER_SECOND);
    test_collector_stall(&collector, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(spans_arrive_with_their_resource, start, stop),
        cmocka_unit_test_setup_teardown(a_batch_is_never_larger_than_asked, start, stop),
        cmocka_unit_test_setup_teardown(spans_keep_the_version_they_ended_under, start, stop),
        cmocka_unit_test_setup_teardown(what_the_queue_cannot_hold_is_dropped_and_counted, start,
                                        stop),
        cmocka_unit_test_setup_teardown(spans_wait_for_a_collector_that_is_down, start, stop),
        cmocka_unit_test_setup_teardown(what_nobody_takes_in_time_is_dropped, start, stop),
        cmocka_unit_test_setup_teardown(busy_answers_are_tried_again, start, stop),
        cmocka_unit_test_setup_teardown(retry_after_is_honoured, start, stop),
        cmocka_unit_test_setup_teardown(other_answers_refuse_for_good, start, stop),
        cmocka_unit_test_setup_teardown(partly_rejected_spans_are_counted, start, stop),
        cmocka_unit_test_setup_teardown(a_garbled_success_is_a_success, start, stop),
        cmocka_unit_test_setup_teardown(freeing_sends_what_waits, start, stop),
        cmocka_unit_test_setup_teardown(freeing_does_not_wait_for_a_collector_that_hangs, start,
                                        stop),
        cmocka_unit_test_setup_teardown(ending_a_span_never_waits_for_the_collector, start, stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
