#include "support/test.h"

#include "agent/ship.h"
#include "base/clock.h"
#include "support/push_receiver.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct rig {
    struct push_receiver receiver;
    struct ship *ship;
    struct ship_options options;
    struct obs_endpoint endpoint;
};

static const struct unit WEB = {.name = "web"};
static const struct unit POSTGRES = {.name = "postgres", .log_tenants = UNIT_LOG_TENANTS_POSTGRES};

static void make(struct rig *rig)
{
    *rig = (struct rig){.options = {.tenant = "platform", .flush_ms = 20, .retry_ms = 20}};
    push_receiver_init(&rig->receiver);
}

static void begin(struct rig *rig)
{
    assert_int_equal(obs_endpoint_parse(rig->receiver.address, &rig->endpoint, NULL), 0);
    rig->options.endpoint = &rig->endpoint;
    assert_int_equal(ship_new(&rig->options, &rig->ship), 0);
}

static void unmake(struct rig *rig)
{
    ship_free(rig->ship);
    assert_int_equal(rig->receiver.mixed, 0);
    push_receiver_done(&rig->receiver);
}

static void take(struct rig *rig, const struct unit *unit, const char *line)
{
    ship_take(rig->ship, unit, line, strlen(line));
}

static void take_numbered(struct rig *rig, size_t from, size_t to)
{
    char line[80];

    for (size_t i = from; i < to; i++) {
        snprintf(line, sizeof(line), "{\"service\":\"web\",\"message\":\"line %zu.\"}", i);
        take(rig, &WEB, line);
    }
}

static struct ship_counts counts(struct rig *rig)
{
    struct ship_counts c;

    ship_count(rig->ship, &c);
    return c;
}

static void wait_counts(struct rig *rig, uint64_t shipped, uint64_t overflowed, uint64_t refused)
{
    uint64_t until = obs_mono_ns() + 20 * OBS_NS_PER_SECOND;
    struct ship_counts c = counts(rig);

    while (c.shipped != shipped || c.overflowed != overflowed || c.refused != refused) {
        if (obs_mono_ns() > until)
            fail_msg("shipped %d, overflowed %d, refused %d", (int)c.shipped, (int)c.overflowed,
                     (int)c.refused);
        obs_sleep_ns(2 * OBS_NS_PER_MS);
        c = counts(rig);
    }
}

static void sends_lines_with_labels_and_metadata(void **state)
{
    struct rig rig;
    const struct pushed_line *line;

    make(&rig);
    push_receiver_start(&rig.receiver);
    begin(&rig);
    take(&rig, &WEB,
         "{\"level\":\"error\",\"service\":\"orders\",\"message\":\"no \\\"luck\\\"\","
         "\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\",\"span_id\":\"00f067aa0ba902b7\"}");
    take(&rig, &WEB, "{\"message\":\"\xff plain\"}");
    line = push_receiver_line(&rig.receiver, "luck");
    assert_string_equal(line->tenant, "platform");
    assert_string_equal(line->service, "orders");
    assert_string_equal(line->level, "error");
    assert_string_equal(line->unit, "web");
    assert_string_equal(line->trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_string_equal(line->span_id, "00f067aa0ba902b7");
    assert_int_equal(strlen(line->time), 19);
    assert_int_equal(strspn(line->time, "0123456789"), 19);
    assert_non_null(strstr(line->text, "\"message\":\"no \\\"luck\\\"\""));
    line = push_receiver_line(&rig.receiver, "plain");
    assert_string_equal(line->service, "web");
    assert_string_equal(line->level, "info");
    assert_string_equal(line->trace_id, "");
    wait_counts(&rig, 2, 0, 0);
    assert_int_equal(counts(&rig).waiting, 0);
    unmake(&rig);
}

static void lines_of_two_tenants_never_share_a_request(void **state)
{
    struct rig rig;

    make(&rig);
    setenv("OTEL_EXPORTER_OTLP_HEADERS", "X-Scope-OrgID=b,x-token=t", 1);
    push_receiver_start(&rig.receiver);
    begin(&rig);
    unsetenv("OTEL_EXPORTER_OTLP_HEADERS");
    take(&rig, &POSTGRES, "{\"user\":\"a_orders\",\"dbname\":\"a_orders\",\"message\":\"of a\"}");
    take(&rig, &POSTGRES, "{\"user\":\"b_orders\",\"dbname\":\"b_orders\",\"message\":\"of b\"}");
    take(&rig, &POSTGRES, "{\"user\":\"postgres\",\"dbname\":\"b_orders\",\"message\":\"of p\"}");
    assert_string_equal(push_receiver_line(&rig.receiver, "of a")->tenant, "a");
    assert_string_equal(push_receiver_line(&rig.receiver, "of b")->tenant, "b");
    assert_string_equal(push_receiver_line(&rig.receiver, "of p")->tenant, "platform");
    wait_counts(&rig, 3, 0, 0);
    assert_int_equal(rig.receiver.seen, 3);
    unmake(&rig);
}

static void a_full_batch_does_not_wait_for_its_time(void **state)
{
    struct rig rig;

    make(&rig);
    rig.options.flush_ms = 3600000;
    rig.options.batch_bytes = 20000;
    push_receiver_start(&rig.receiver);
    begin(&rig);
    take_numbered(&rig, 0, 1000);
    push_receiver_wait_lines(&rig.receiver, 900);
    assert_true(rig.receiver.seen > 3);
    take_numbered(&rig, 1000, 1001); /* is sent at the end, whatever the time */
    ship_free(OBS_TAKE(rig.ship));
    assert_int_equal(rig.receiver.line_count, 1001);
    unmake(&rig);
}

static void lines_wait_while_the_store_is_away(void **state)
{
    struct rig rig;

    make(&rig);
    begin(&rig);
    take_numbered(&rig, 0, 500);
    while (counts(&rig).failures < 2)
        obs_sleep_ns(2 * OBS_NS_PER_MS);
    assert_int_equal(counts(&rig).waiting, 500);
    push_receiver_start(&rig.receiver);
    wait_counts(&rig, 500, 0, 0);
    for (int i = 0; i < 500; i++) {
        char text[40];

        snprintf(text, sizeof(text), "line %d.", i);
        assert_non_null(strstr(rig.receiver.lines[i].text, text));
    }
    unmake(&rig);
}

static void past_the_bound_the_oldest_lines_go(void **state)
{
    struct rig rig;

    make(&rig);
    rig.options.queue_lines = 100;
    begin(&rig);
    take_numbered(&rig, 0, 300);
    assert_int_equal(counts(&rig).waiting, 100);
    assert_int_equal(counts(&rig).overflowed, 200);
    push_receiver_start(&rig.receiver);
    wait_counts(&rig, 100, 200, 0);
    for (size_t i = 0; i < 100; i++)
        assert_null(strstr(rig.receiver.lines[i].text, "line 5."));
    assert_non_null(push_receiver_line(&rig.receiver, "line 299."));
    unmake(&rig);
}

static void memory_is_bounded_and_the_longest_lane_pays(void **state)
{
    struct rig rig;
    char *big = malloc(10001);
    static const char HEAD[] = "{\"user\":\"a_orders\",\"dbname\":\"a_orders\",\"message\":\"";

    memset(big, 'x', 10000);
    memcpy(big, HEAD, strlen(HEAD));
    memcpy(big + 9998, "\"}", 3);
    make(&rig);
    rig.options.queue_bytes = 100000;
    begin(&rig);
    take_numbered(&rig, 0, 10);
    for (int i = 0; i < 100; i++)
        take(&rig, &POSTGRES, big);
    assert_true(counts(&rig).waiting <= 20);
    push_receiver_start(&rig.receiver);
    for (int i = 0; i < 10; i++) {
        char text[40];

        snprintf(text, sizeof(text), "line %d.", i);
        assert_string_equal(push_receiver_line(&rig.receiver, text)->tenant, "platform");
    }
    free(big);
    unmake(&rig);
}

static void waits_as_long_as_retry_after_asks(void **state)
{
    struct rig rig;
    uint64_t since = obs_mono_ns();

    make(&rig);
    push_receiver_answer(&rig.receiver, 429, "1");
    push_receiver_answer(&rig.receiver, 503, NULL);
    push_receiver_answer(&rig.receiver, 500, NULL);
    push_receiver_start(&rig.receiver);
    begin(&rig);
    take_numbered(&rig, 0, 3);
    wait_counts(&rig, 3, 0, 0);
    assert_true(obs_mono_ns() - since >= OBS_NS_PER_SECOND);
    assert_int_equal(counts(&rig).failures, 3);
    assert_int_equal(rig.receiver.seen, 4);
    unmake(&rig);
}

static void what_the_store_refuses_is_not_sent_again(void **state)
{
    struct rig rig;

    make(&rig);
    push_receiver_answer(&rig.receiver, 400, NULL);
    push_receiver_start(&rig.receiver);
    begin(&rig);
    take_numbered(&rig, 0, 3);
    wait_counts(&rig, 0, 0, 3);
    take_numbered(&rig, 3, 5);
    wait_counts(&rig, 2, 0, 3);
    assert_int_equal(rig.receiver.seen, 2);
    unmake(&rig);
}

static void a_slow_store_does_not_hold_up_the_taker(void **state)
{
    struct rig rig;
    uint64_t since;

    make(&rig);
    rig.options.queue_lines = 2000;
    push_receiver_stall(&rig.receiver, true);
    push_receiver_start(&rig.receiver);
    begin(&rig);
    take_numbered(&rig, 0, 10);
    push_receiver_wait_seen(&rig.receiver, 1);
    since = obs_mono_ns();
    take_numbered(&rig, 10, 20000);
    assert_true(obs_mono_ns() - since < 2 * OBS_NS_PER_SECOND);
    assert_int_equal(counts(&rig).waiting, 2000);
    push_receiver_stall(&rig.receiver, false);
    wait_counts(&rig, 2000, 18000, 0);
    unmake(&rig);
}

static void the_end_waits_for_no_store(void **state)
{
    struct rig rig;
    uint64_t since;

    make(&rig);
    push_receiver_stall(&rig.receiver, true);
    push_receiver_start(&rig.receiver);
    rig.options.call_ms = 100;
    begin(&rig);
    take_numbered(&rig, 0, 10);
    push_receiver_wait_seen(&rig.receiver, 1);
    take_numbered(&rig, 10, 20);
    since = obs_mono_ns();
    ship_free(OBS_TAKE(rig.ship));
    assert_true(obs_mono_ns() - since < 2 * OBS_NS_PER_SECOND);
    unmake(&rig);
}

static void new_tenants_past_the_limit_are_the_agents_own(void **state)
{
    struct rig rig;
    char line[200];

    make(&rig);
    push_receiver_start(&rig.receiver);
    begin(&rig);
    for (int i = 0; i < SHIP_LANES_MAX + 10; i++) {
        snprintf(line, sizeof(line),
                 "{\"user\":\"t%d_orders\",\"dbname\":\"t%d_orders\",\"message\":\"%d.\"}", i, i,
                 i);
        take(&rig, &POSTGRES, line);
    }
    assert_string_equal(push_receiver_line(&rig.receiver, "\"254.")->tenant, "t254");
    assert_string_equal(push_receiver_line(&rig.receiver, "\"255.")->tenant, "platform");
    wait_counts(&rig, SHIP_LANES_MAX + 10, 0, 0);
    unmake(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sends_lines_with_labels_and_metadata),
        cmocka_unit_test(lines_of_two_tenants_never_share_a_request),
        cmocka_unit_test(a_full_batch_does_not_wait_for_its_time),
        cmocka_unit_test(lines_wait_while_the_store_is_away),
        cmocka_unit_test(past_the_bound_the_oldest_lines_go),
        cmocka_unit_test(memory_is_bounded_and_the_longest_lane_pays),
        cmocka_unit_test(waits_as_long_as_retry_after_asks),
        cmocka_unit_test(what_the_store_refuses_is_not_sent_again),
        cmocka_unit_test(a_slow_store_does_not_hold_up_the_taker),
        cmocka_unit_test(the_end_waits_for_no_store),
        cmocka_unit_test(new_tenants_past_the_limit_are_the_agents_own),
    };

    return cmocka_run_group_tests_name("ship", tests, NULL, NULL);
}
