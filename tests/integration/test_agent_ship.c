/* The agent forwards what units print: real processes, a receiver that is up, away and back. */
#include "support/agent_rig.h"
#include "support/push_receiver.h"
#include "support/test.h"

#include "base/clock.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *program;

#define RIG __attribute__((cleanup(rig_done))) struct agent_rig

static void make(struct agent_rig *rig, struct push_receiver *receiver)
{
    rig_make(rig, program);
    push_receiver_init(receiver);
    setenv("OBSERVA_LOGS_ENDPOINT", receiver->address, 1);
}

static void unmake(struct push_receiver *receiver)
{
    unsetenv("OBSERVA_LOGS_ENDPOINT");
    assert_int_equal(receiver->mixed, 0);
    push_receiver_done(receiver);
}

static long metric(struct agent_rig *rig, const char *name)
{
    RIG_REPLY reply;
    char *at;

    rig_admin(rig, "/metrics", &reply);
    at = strstr(reply.body, name); /* with its brace: not in comments */
    assert_non_null(at);
    at = strchr(at, '}');
    assert_non_null(at);
    return strtol(at + 1, NULL, 10);
}

static void wait_metric(struct agent_rig *rig, const char *name, long least)
{
    uint64_t until = obs_mono_ns() + RIG_PATIENCE_MS * OBS_NS_PER_MS;

    while (metric(rig, name) < least) {
        if (obs_mono_ns() > until)
            fail_msg("%s stays below %ld", name, least);
        rig_moment();
    }
}

static const char UNITS[] =
    "units:\n"
    "  web:\n"
    "    exec: [sh, -c, \"echo '{\\\"level\\\":\\\"warn\\\",\\\"service\\\":\\\"shop\\\","
    "\\\"message\\\":\\\"first\\\",\\\"trace_id\\\":\\\"4bf92f3577b34da6a3ce929d0e0e4736\\\"}'; "
    "echo '2026-11-23 [error] second'; exec sleep 1000\"]\n"
    "    log: {format: json}\n"
    "  postgres:\n"
    "    exec: [sh, -c, \"echo '{\\\"user\\\":\\\"a_orders\\\",\\\"dbname\\\":\\\"a_orders\\\","
    "\\\"error_severity\\\":\\\"LOG\\\",\\\"message\\\":\\\"third\\\"}'; echo fourth; "
    "exec sleep 1000\"]\n"
    "    log: {format: json, tenants: postgres}\n";

static void every_line_arrives_with_its_labels(void **state)
{
    RIG rig;
    struct push_receiver receiver;
    const struct pushed_line *line;

    make(&rig, &receiver);
    rig_units(&rig, UNITS);
    push_receiver_start(&receiver);
    rig_start(&rig);
    line = push_receiver_line(&receiver, "first");
    assert_string_equal(line->tenant, "solo");
    assert_string_equal(line->service, "shop");
    assert_string_equal(line->level, "warn");
    assert_string_equal(line->unit, "web");
    assert_string_equal(line->trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
    line = push_receiver_line(&receiver, "second");
    assert_string_equal(line->service, "web");
    assert_string_equal(line->level, "error");
    assert_non_null(strstr(line->text, "\"message\":\"2026-11-23 [error] second\""));
    line = push_receiver_line(&receiver, "third");
    assert_string_equal(line->tenant, "a");
    assert_string_equal(line->service, "postgres");
    line = push_receiver_line(&receiver, "fourth");
    assert_string_equal(line->tenant, "solo");
    wait_metric(&rig, "log_lines_shipped_total{", 4);
    assert_int_equal(metric(&rig, "log_lines_waiting{"), 0);
    unmake(&receiver);
}

static void lines_outlast_a_receiver_that_is_away_or_busy(void **state)
{
    RIG rig;
    struct push_receiver receiver;

    make(&rig, &receiver);
    rig_units(&rig, UNITS);
    rig_start(&rig);
    wait_metric(&rig, "log_ship_failures_total{", 2);
    push_receiver_answer(&receiver, 429, "1");
    push_receiver_answer(&receiver, 503, NULL);
    push_receiver_start(&receiver);
    wait_metric(&rig, "log_lines_shipped_total{", 4);
    push_receiver_line(&receiver, "second");
    push_receiver_line(&receiver, "fourth");
    push_receiver_stop(&receiver); /* and away again */
    assert_int_equal(rig_post(&rig, "/v1/units/web/restart", NULL), 202);
    wait_metric(&rig, "log_lines_waiting{", 2);
    push_receiver_start(&receiver);
    wait_metric(&rig, "log_lines_shipped_total{", 6);
    unmake(&receiver);
}

static void refused_lines_are_counted_and_not_sent_again(void **state)
{
    RIG rig;
    struct push_receiver receiver;

    make(&rig, &receiver);
    rig_units(&rig, "units:\n  web: {exec: [sh, -c, \"echo one; exec sleep 1000\"]}\n");
    push_receiver_answer(&receiver, 400, NULL);
    push_receiver_start(&receiver);
    rig_start(&rig);
    wait_metric(&rig, "reason=\"refused\"", 1);
    assert_int_equal(rig_post(&rig, "/v1/units/web/restart", NULL), 202);
    wait_metric(&rig, "log_lines_shipped_total{", 1);
    assert_int_equal(receiver.seen, 2);
    assert_int_equal(receiver.line_count, 1);
    unmake(&receiver);
}

/* The receiver takes requests and never answers: units print on, and the agent answers. */
static void a_stalled_receiver_holds_up_nobody(void **state)
{
    RIG rig;
    struct push_receiver receiver;

    make(&rig, &receiver);
    rig_units(&rig,
              "units:\n"
              "  loud: {exec: [sh, -c, \"seq 1 50000; : > ${folder}/done; exec sleep 1000\"]}\n");
    push_receiver_stall(&receiver, true);
    push_receiver_start(&receiver);
    rig_start(&rig);
    push_receiver_wait_seen(&receiver, 1);
    rig_wait_file(&rig, "done", "");
    wait_metric(&rig, "log_lines_waiting{", 30000);
    assert_true(metric(&rig, "log_lines_waiting{") <= 32768);
    push_receiver_stall(&receiver, false);
    push_receiver_line(&receiver, "\"message\":\"50000\"");
    unmake(&receiver);
}

/* What a unit says when it is asked to end comes last. */
static void last_words_arrive(void **state)
{
    RIG rig;
    struct push_receiver receiver;

    make(&rig, &receiver);
    rig_units(&rig,
              "units:\n"
              "  a: {exec: [sh, -c, \"trap 'echo farewell; exit' TERM; : > ${folder}/up; "
              "while :; do sleep 0.01; done\"], ready: {exec: [test, -e, \"${folder}/up\"]}}\n");
    push_receiver_start(&receiver);
    rig_start(&rig);
    rig_wait_state(&rig, "a", "running");
    rig_stop(&rig);
    assert_non_null(push_receiver_line(&receiver, "farewell"));
    unmake(&receiver);
}

static void a_bad_endpoint_is_refused_with_its_reason(void **state)
{
    RIG rig;
    char *text;

    rig_make(&rig, program);
    setenv("OBSERVA_LOGS_ENDPOINT", "ftp://x", 1);
    rig_units(&rig, "units:\n  a: {exec: [sleep, \"1000\"]}\n");
    rig_launch(&rig);
    assert_int_equal(rig_join(&rig), 1);
    unsetenv("OBSERVA_LOGS_ENDPOINT");
    text = rig_read(&rig, "agent.out");
    assert_non_null(strstr(text, "expected http://HOST:PORT"));
    free(text);
}

int main(int argc, char *argv[])
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_line_arrives_with_its_labels),
        cmocka_unit_test(lines_outlast_a_receiver_that_is_away_or_busy),
        cmocka_unit_test(refused_lines_are_counted_and_not_sent_again),
        cmocka_unit_test(a_stalled_receiver_holds_up_nobody),
        cmocka_unit_test(last_words_arrive),
        cmocka_unit_test(a_bad_endpoint_is_refused_with_its_reason),
    };

    program = argv[1];
    return cmocka_run_group_tests_name("agent_ship", tests, NULL, NULL);
}
