/* The load generator's engine against a server that behaves well or badly, as asked. */
#include "base/clock.h"
#include "load/engine.h"
#include "load/worker.h"
#include "support/odd_server.h"
#include "support/test.h"
#include <string.h>
#include <sys/resource.h>

struct rig {
    struct odd_server *server;
    struct target *target;
    struct script *script;
    struct plan *plan;
    struct engine_options options;
    struct engine *engine;
    struct stats *stats;
};

static void open_rig(struct rig *rig, const char *script)
{
    struct target_options target = {0};
    struct obs_reason why = {0};
    int r;

    *rig = (struct rig){.options = {.threads = 2,
                                    .users = 20,
                                    .seed = 1,
                                    .has_traceparent = true,
                                    .duration_ns = OBS_NS_PER_SECOND / 2,
                                    .limits = RESPONSE_LIMITS_DEFAULT}};
    assert_int_equal(odd_server_start(NULL, &rig->server), 0);
    assert_int_equal(target_parse(odd_server_url(rig->server), &target, &rig->target, &why), 0);
    r = script_parse(script, strlen(script), NULL, &rig->script, &why);
    if (r != 0)
        print_error("%s\n", why.text);
    assert_int_equal(r, 0);
    assert_int_equal(stats_new(rig->script, &rig->stats), 0);
}

static void start_rig(struct rig *rig, double rate)
{
    struct pattern *pattern = NULL;

    assert_int_equal(pattern_constant(rate, &pattern), 0);
    assert_int_equal(plan_new(rig->script, pattern, &rig->plan), 0);
    rig->options.script = rig->script;
    rig->options.target = rig->target;
    rig->options.first_plan = rig->plan;
    assert_int_equal(engine_new(&rig->options, &rig->engine), 0);
    assert_int_equal(engine_start(rig->engine), 0);
}

static uint64_t outcome_sum(const struct stats *stats)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < stats->journey_count; i++)
        for (unsigned o = 0; o < OUTCOME_COUNT; o++)
            sum += stats->journeys[i].outcomes[o];
    return sum;
}

/* Wait for the end; the sums that must always hold do. */
static void finish_rig(struct rig *rig)
{
    const struct stats *s = rig->stats;

    while (!engine_is_done(rig->engine))
        obs_sleep_ns(2 * OBS_NS_PER_MS);
    engine_stats(rig->engine, rig->stats);
    assert_int_equal(s->scheduled, s->sent + s->late + s->dropped);
    assert_int_equal(s->sent + s->late + s->followed, outcome_sum(s) + s->cut);
    assert_int_equal(s->waiting, 0);
    assert_int_equal(s->in_flight, 0);
    assert_int_equal(s->open, 0);
}

static void close_rig(struct rig *rig)
{
    engine_free(rig->engine);
    plan_unref(rig->plan);
    stats_free(rig->stats);
    script_free(rig->script);
    target_free(rig->target);
    odd_server_free(rig->server);
}

static void run_rig(struct rig *rig, double rate)
{
    start_rig(rig, rate);
    finish_rig(rig);
}

#define ONE(step) "{\"timeout\":\"300ms\",\"journeys\":[{\"name\":\"a\",\"steps\":[{" step "}]}]}"

static void every_arrival_is_sent_on_a_kept_connection(void **state)
{
    struct rig rig;

    open_rig(&rig, ONE("\"target\":\"/ok\""));
    run_rig(&rig, 1000);
    assert_int_equal(rig.stats->scheduled, 500);
    assert_int_equal(rig.stats->journeys[0].outcomes[OUTCOME_OK], 500);
    assert_int_equal(rig.stats->statuses[200], 500);
    assert_true(rig.stats->connects <= 20);
    assert_int_equal(odd_server_requests(rig.server), 500);
    close_rig(&rig);
}

static void bad_servers_are_counted_for_what_they_do(void **state)
{
    static const struct {
        const char *path;
        enum failure failure;
    } CASES[] = {
        {"/reset", FAILURE_CLOSED},
        {"/close", FAILURE_CLOSED},
        {"/half", FAILURE_CLOSED},
        {"/garbage", FAILURE_MALFORMED},
        {"/double-length", FAILURE_MALFORMED},
        {"/trickle", FAILURE_TIMEOUT},
        {"/silent", FAILURE_TIMEOUT},
        {"/huge-head", FAILURE_TOO_LARGE},
        {"/huge", FAILURE_TOO_LARGE},
        {"/status/500", FAILURE_STATUS},
        {"/status/404", FAILURE_STATUS},
        {"/close-delimited", FAILURE_NONE},
        {"/chunked", FAILURE_NONE},
        {"/slow/20", FAILURE_NONE},
        {"/refuse-reuse", FAILURE_NONE},
        {"/status/204", FAILURE_NONE},
    };

    for (size_t i = 0; i < OBS_COUNT(CASES); i++) {
        struct rig rig;
        char script[300];
        struct rusage usage;

        snprintf(script, sizeof(script), ONE("\"target\":\"%s\""), CASES[i].path);
        open_rig(&rig, script);
        rig.options.limits.body_bytes = 4 << 20;
        rig.options.duration_ns = OBS_NS_PER_SECOND / 5;
        run_rig(&rig, 50);
        assert_int_equal(rig.stats->scheduled, 10);
        if (rig.stats->journeys[0].outcomes[failure_outcome(CASES[i].failure)] != 10)
            print_error("%s\n", CASES[i].path);
        assert_int_equal(rig.stats->journeys[0].outcomes[failure_outcome(CASES[i].failure)], 10);
        if (CASES[i].failure != FAILURE_NONE)
            assert_int_equal(rig.stats->failures[CASES[i].failure], 10);
        close_rig(&rig);
        getrusage(RUSAGE_SELF, &usage);
        assert_true(usage.ru_maxrss < 1 << 20); /* kB; sanitizers included */
    }
}

static void a_target_that_is_down_costs_errors_only(void **state)
{
    struct rig rig;

    open_rig(&rig, ONE("\"target\":\"/ok\""));
    rig.server = odd_server_free(rig.server);
    run_rig(&rig, 200);
    assert_int_equal(rig.stats->journeys[0].outcomes[OUTCOME_ERROR], 100);
    assert_int_equal(rig.stats->failures[FAILURE_REFUSED], 100);
    assert_int_equal(rig.stats->requests, 0);
    close_rig(&rig);
}

static void what_finds_no_user_waits_or_is_dropped_and_counts_from_when_it_was_due(void **state)
{
    struct rig rig;

    open_rig(&rig, ONE("\"target\":\"/slow/50\""));
    rig.options.users = 2;
    rig.options.threads = 1;
    rig.options.drop_after_ns = 200 * OBS_NS_PER_MS;
    run_rig(&rig, 200);
    assert_int_equal(rig.stats->scheduled, 100);
    assert_true(rig.stats->dropped > 50);
    assert_true(rig.stats->late > 5);
    /* 50 ms of service, and up to 200 ms of waiting that a closed loop would not see. */
    assert_true(histogram_quantile(rig.stats->service, 0.5) < 120 * OBS_NS_PER_MS);
    assert_true(histogram_quantile(rig.stats->steps[0].latency, 0.5) > 150 * OBS_NS_PER_MS);
    close_rig(&rig);
}

static void a_stall_shows_in_the_latency(void **state)
{
    struct rig rig;
    uint64_t stalled;

    /* 1 of 100 requests takes 300 ms, on the only connection: those behind it wait. */
    open_rig(&rig,
             "{\"journeys\":[{\"name\":\"fast\",\"weight\":99,\"steps\":[{\"target\":\"/ok\"}]},"
             "{\"name\":\"slow\",\"weight\":1,\"steps\":[{\"target\":\"/slow/300\"}]}]}");
    rig.options.users = rig.options.threads = 1;
    rig.options.duration_ns = OBS_NS_PER_SECOND;
    run_rig(&rig, 200);
    assert_int_equal(rig.stats->scheduled, 200);
    stalled = rig.stats->steps[0].latency->count -
              histogram_count_to(rig.stats->steps[0].latency, 20 * OBS_NS_PER_MS);
    assert_true(stalled > 30 * rig.stats->steps[1].latency->count);
    close_rig(&rig);
}

static void values_are_extracted_and_checked_along_a_journey(void **state)
{
    struct rig rig;
    char head[1000];

    open_rig(&rig,
             "{\"journeys\":[{\"name\":\"a\",\"steps\":["
             "{\"target\":\"/json\",\"checks\":[{\"json\":\"/n\",\"op\":\">\",\"value\":0},"
             "{\"header\":\"content-type\",\"contains\":\"json\"}],"
             "\"extract\":{\"id\":{\"json\":\"/id\"},\"mark\":{\"header\":\"X-Mark\"}}},"
             "{\"target\":\"/echo?id={id}&m={mark}\",\"checks\":[{\"body\":\"id=a%20b&m={mark}\"}]}"
             "]}]}");
    run_rig(&rig, 100);
    assert_int_equal(rig.stats->journeys[0].outcomes[OUTCOME_OK], 50);
    assert_int_equal(rig.stats->requests, 100);
    odd_server_last(rig.server, head, sizeof(head));
    assert_non_null(strstr(head, "\r\ntraceparent: 00-"));
    close_rig(&rig);
}

static void an_answer_that_is_wrong_is_not_an_error(void **state)
{
    struct rig rig;

    open_rig(&rig,
             ONE("\"target\":\"/json\",\"checks\":[{\"json\":\"/n\",\"op\":\"<\",\"value\":0}]"));
    run_rig(&rig, 100);
    assert_int_equal(rig.stats->journeys[0].outcomes[OUTCOME_WRONG], 50);
    close_rig(&rig);
    open_rig(&rig, ONE("\"target\":\"/ok\",\"extract\":{\"x\":{\"json\":\"/x\"}}"));
    run_rig(&rig, 100);
    assert_int_equal(rig.stats->journeys[0].outcomes[OUTCOME_WRONG], 50);
    close_rig(&rig);
}

static void a_retry_sends_the_same_idempotency_key(void **state)
{
    struct rig rig;

    /* The server answers the third request with one key well. */
    open_rig(&rig,
             "{\"variables\":{\"key\":{\"uuid\":true}},\"journeys\":[{\"name\":\"a\",\"steps\":[{"
             "\"method\":\"POST\",\"target\":\"/flaky\",\"headers\":{\"Idempotency-Key\":"
             "\"{key}\"},\"retry\":{\"attempts\":3,\"on\":[\"5xx\"],\"backoff\":\"5ms\"}}]}]}");
    run_rig(&rig, 100);
    assert_int_equal(rig.stats->journeys[0].outcomes[OUTCOME_OK], 50);
    assert_int_equal(rig.stats->retries, 100);
    assert_int_equal(rig.stats->requests, 150);
    close_rig(&rig);
}

static void a_poll_ends_with_its_state_or_its_time(void **state)
{
    struct rig rig;

#define POLL(n)                                                                                    \
    "{\"variables\":{\"u\":{\"uuid\":true}},\"journeys\":[{\"name\":\"a\",\"steps\":[{"            \
    "\"target\":\"/poll/" n "\",\"headers\":{\"X-User\":\"{u}\"},\"poll\":{\"until\":"             \
    "{\"json\":\"/"                                                                                \
    "state\",\"op\":\"==\",\"value\":\"done\"},\"every\":\"10ms\",\"for\":\"100ms\"}}]}]}"
    open_rig(&rig, POLL("3"));
    run_rig(&rig, 50);
    assert_int_equal(rig.stats->journeys[0].outcomes[OUTCOME_OK], 25);
    assert_int_equal(rig.stats->requests, 100);
    close_rig(&rig);
    open_rig(&rig, POLL("1000"));
    run_rig(&rig, 50);
    assert_int_equal(rig.stats->journeys[0].outcomes[OUTCOME_TIMEOUT], 25);
    assert_int_equal(rig.stats->failures[FAILURE_POLL], 25);
    close_rig(&rig);
}

static void each_user_has_cookies_of_its_own(void **state)
{
    struct rig rig;

    open_rig(&rig, ONE("\"target\":\"/cookie\",\"checks\":[{\"body\":\"first\"}]"));
    rig.options.users = 10;
    run_rig(&rig, 100);
    assert_int_equal(rig.stats->journeys[0].outcomes[OUTCOME_OK], 10);
    assert_int_equal(rig.stats->journeys[0].outcomes[OUTCOME_WRONG], 40);
    close_rig(&rig);
}

static void one_journey_follows_another_with_its_values(void **state)
{
    struct rig rig;

    open_rig(&rig, "{\"journeys\":[{\"name\":\"a\",\"then\":\"b\",\"then_share\":0.5,\"steps\":[{"
                   "\"target\":\"/json\",\"extract\":{\"id\":{\"json\":\"/id\"}}}]},"
                   "{\"name\":\"b\",\"weight\":0,\"steps\":[{\"target\":\"/echo?{id}\","
                   "\"checks\":[{\"body\":\"?a%20b\"}]}]}]}");
    run_rig(&rig, 200);
    assert_int_equal(rig.stats->journeys[0].outcomes[OUTCOME_OK], 100);
    assert_true(rig.stats->followed > 25 && rig.stats->followed < 75);
    assert_int_equal(rig.stats->journeys[1].outcomes[OUTCOME_OK], rig.stats->followed);
    close_rig(&rig);
}

static void thinking_is_not_waiting(void **state)
{
    struct rig rig;

    open_rig(&rig, "{\"journeys\":[{\"name\":\"a\",\"steps\":[{\"target\":\"/ok\"},"
                   "{\"think\":\"100ms\",\"target\":\"/ok\"}]}]}");
    run_rig(&rig, 20);
    assert_int_equal(rig.stats->journeys[0].outcomes[OUTCOME_OK], 10);
    assert_true(histogram_quantile(rig.stats->journeys[0].duration, 0.5) < 80 * OBS_NS_PER_MS);
    close_rig(&rig);
}

static void a_closed_loop_runs_each_user_again_and_again(void **state)
{
    struct rig rig;

    open_rig(&rig, ONE("\"target\":\"/slow/20\""));
    rig.options.users = 5;
    rig.options.is_closed_loop = true;
    run_rig(&rig, 1);
    assert_true(rig.stats->sent >= 50 && rig.stats->sent <= 130); /* 5 users, 500 ms, 20 ms each */
    assert_int_equal(rig.stats->cut, 0);
    close_rig(&rig);
}

static void the_load_changes_while_it_runs_and_a_bad_change_does_nothing(void **state)
{
    struct rig rig;
    struct obs_reason why = {0};
    OBS_JSON pause = json_loads("{\"paused\":true}", 0, NULL);
    OBS_JSON faster = json_loads("{\"rate\":400,\"paused\":false}", 0, NULL);
    OBS_JSON bad = json_loads("{\"rate\":\"fast\"}", 0, NULL);
    uint64_t paused_at;

    open_rig(&rig, ONE("\"target\":\"/ok\""));
    rig.options.duration_ns = 0;
    start_rig(&rig, 100);
    while (odd_server_requests(rig.server) < 20)
        obs_sleep_ns(OBS_NS_PER_MS);
    assert_int_equal(engine_change(rig.engine, bad, false, &why), PLAN_REFUSED);
    assert_non_null(strstr(why.text, "rate is \"fast\": expected a number"));
    assert_int_equal(engine_change(rig.engine, pause, false, &why), 0);
    obs_sleep_ns(60 * OBS_NS_PER_MS);
    engine_stats(rig.engine, rig.stats);
    paused_at = rig.stats->scheduled;
    obs_sleep_ns(100 * OBS_NS_PER_MS);
    engine_stats(rig.engine, rig.stats);
    assert_int_equal(rig.stats->scheduled, paused_at);
    assert_int_equal(engine_change(rig.engine, faster, false, &why), 0);
    obs_sleep_ns(270 * OBS_NS_PER_MS);
    engine_stop(rig.engine, OBS_NS_PER_SECOND);
    finish_rig(&rig);
    /* 400/s for about 250 ms. */
    assert_true(rig.stats->scheduled > paused_at + 80 && rig.stats->scheduled < paused_at + 200);
    close_rig(&rig);
}

static void changes_one_after_the_other_keep_the_count_exact(void **state)
{
    struct rig rig;

    open_rig(&rig, ONE("\"target\":\"/ok\""));
    rig.options.duration_ns = 0;
    rig.options.threads = 3;
    start_rig(&rig, 3000);
    for (int i = 0; i < 12; i++) {
        OBS_JSON json = json_pack("{s:i, s:b}", "rate", 1000 + i * 300, "paused", i % 4 == 3);

        assert_int_equal(engine_change(rig.engine, json, i % 2 == 0, NULL), 0);
    }
    engine_stop(rig.engine, OBS_NS_PER_SECOND);
    finish_rig(&rig);
    assert_true(rig.stats->scheduled > 100);
    close_rig(&rig);
}

static void a_stop_cuts_what_does_not_end(void **state)
{
    struct rig rig;

    open_rig(&rig, "{\"timeout\":\"60s\",\"journeys\":[{\"name\":\"a\",\"steps\":[{\"target\":"
                   "\"/silent\"}]}]}");
    rig.options.duration_ns = 0;
    start_rig(&rig, 100);
    while (odd_server_requests(rig.server) < 10)
        obs_sleep_ns(OBS_NS_PER_MS);
    engine_stop(rig.engine, 50 * OBS_NS_PER_MS);
    finish_rig(&rig);
    assert_true(rig.stats->cut >= 10);
    assert_int_equal(outcome_sum(rig.stats), 0);
    close_rig(&rig);
}

static void the_same_seed_makes_the_same_requests(void **state)
{
    uint64_t counts[2][3];

    for (int run = 0; run < 2; run++) {
        struct rig rig;

        open_rig(&rig, "{\"arrivals\":\"poisson\",\"journeys\":["
                       "{\"name\":\"a\",\"weight\":3,\"steps\":[{\"target\":\"/ok\"}]},"
                       "{\"name\":\"b\",\"weight\":1,\"steps\":[{\"target\":\"/json\"}]}]}");
        rig.options.seed = 99;
        rig.options.threads = run == 0 ? 1 : 3;
        run_rig(&rig, 400);
        counts[run][0] = rig.stats->scheduled;
        counts[run][1] = rig.stats->steps[0].requests;
        counts[run][2] = rig.stats->steps[1].requests;
        close_rig(&rig);
    }
    assert_memory_equal(counts[0], counts[1], sizeof(counts[0]));
}

static void a_unix_socket_is_as_good_a_target(void **state)
{
    struct rig rig;
    struct target_options target = {0};
    char path[64];

    snprintf(path, sizeof(path), "/tmp/odd-%d.sock", (int)getpid());
    open_rig(&rig, ONE("\"target\":\"/ok\""));
    odd_server_free(rig.server);
    target_free(rig.target);
    assert_int_equal(odd_server_start(path, &rig.server), 0);
    assert_int_equal(target_parse(odd_server_url(rig.server), &target, &rig.target, NULL), 0);
    run_rig(&rig, 500);
    assert_int_equal(rig.stats->journeys[0].outcomes[OUTCOME_OK], 250);
    close_rig(&rig);
}

static void events_tell_who_had_which_outcome(void **state)
{
    struct event_log *log = NULL;
    struct event events[100];
    uint64_t lost;
    struct rig rig;

    assert_int_equal(event_log_new(128, &log), 0);
    open_rig(&rig, ONE("\"target\":\"/status/500\""));
    rig.options.events = log;
    rig.options.trace_sample = 1;
    run_rig(&rig, 100);
    assert_int_equal(event_log_read(log, 0, events, 100, &lost), 50);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(events[i].outcome, OUTCOME_ERROR);
        assert_int_equal(events[i].failure, FAILURE_STATUS);
        assert_true(events[i].user >= 1 && events[i].user <= 20);
        assert_true(events[i].trace_id[0] != 0);
    }
    close_rig(&rig);
    event_log_free(log);
}

static void a_user_costs_less_than_a_kilobyte_of_its_own(void **state)
{
    assert_true(sizeof(struct user) <= 640);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_arrival_is_sent_on_a_kept_connection),
        cmocka_unit_test(bad_servers_are_counted_for_what_they_do),
        cmocka_unit_test(a_target_that_is_down_costs_errors_only),
        cmocka_unit_test(what_finds_no_user_waits_or_is_dropped_and_counts_from_when_it_was_due),
        cmocka_unit_test(a_stall_shows_in_the_latency),
        cmocka_unit_test(values_are_extracted_and_checked_along_a_journey),
        cmocka_unit_test(an_answer_that_is_wrong_is_not_an_error),
        cmocka_unit_test(a_retry_sends_the_same_idempotency_key),
        cmocka_unit_test(a_poll_ends_with_its_state_or_its_time),
        cmocka_unit_test(each_user_has_cookies_of_its_own),
        cmocka_unit_test(one_journey_follows_another_with_its_values),
        cmocka_unit_test(thinking_is_not_waiting),
        cmocka_unit_test(a_closed_loop_runs_each_user_again_and_again),
        cmocka_unit_test(the_load_changes_while_it_runs_and_a_bad_change_does_nothing),
        cmocka_unit_test(changes_one_after_the_other_keep_the_count_exact),
        cmocka_unit_test(a_stop_cuts_what_does_not_end),
        cmocka_unit_test(the_same_seed_makes_the_same_requests),
        cmocka_unit_test(a_unix_socket_is_as_good_a_target),
        cmocka_unit_test(events_tell_who_had_which_outcome),
        cmocka_unit_test(a_user_costs_less_than_a_kilobyte_of_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
