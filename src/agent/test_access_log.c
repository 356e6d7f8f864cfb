#include "support/test.h"

#include "agent/access_log.h"
#include "agent/stub_status.h"
#include <stdio.h>
#include <string.h>

static const char *const ROUTES[] = {
    "/api/home", "/api/products", "/api/products/{id}/recommendations", "/api/products/{id}", NULL};

static void names_routes_by_their_pattern(void **state)
{
    assert_string_equal(access_log_route(ROUTES, "/api/home"), "/api/home");
    assert_string_equal(access_log_route(ROUTES, "/api/products"), "/api/products");
    assert_string_equal(access_log_route(ROUTES, "/api/products/17"), "/api/products/{id}");
    assert_string_equal(access_log_route(ROUTES, "/api/products/17/recommendations"),
                        "/api/products/{id}/recommendations");
    assert_string_equal(access_log_route(ROUTES, "/api/products/"), "other");
    assert_string_equal(access_log_route(ROUTES, "/api/products/1/2"), "other");
    assert_string_equal(access_log_route(ROUTES, "/api/home/x"), "other");
    assert_string_equal(access_log_route(ROUTES, ""), "other");
}

#define LINE                                                                                       \
    "{\"time_s\":1795452056.413,\"method\":\"GET\",\"path\":\"/api/products/4\",\"status\":200,"   \
    "\"duration_s\":0.012,\"trace_id\":\"0123456789abcdef0123456789abcdef\","                      \
    "\"span_id\":\"0123456789abcdef\",\"parent_span_id\":\"\"}"

static void counts_durations_with_exemplars(void **state)
{
    OBS_CLEANUP(access_log_freep) struct access_log *log = NULL;
    struct access_log_options options = {.service = "gateway", .version = "1.1", .routes = ROUTES};
    struct obs_buffer b = OBS_BUFFER_INIT(100000);

    assert_int_equal(access_log_new(&options, &log), 0);
    access_log_take(log, LINE, strlen(LINE));
    assert_int_equal(access_log_bad_lines(log), 0);
    access_log_set_version(log, "1.2");
    assert_int_equal(obs_metrics_emit(access_log_metrics(log), &b), 0);
    assert_non_null(strstr(b.data, "http_server_request_duration_seconds_count{service=\"gateway\","
                                   "version=\"1.2\",route=\"/api/products/{id}\",method=\"GET\","
                                   "status_code=\"200\"} 1"));
    assert_non_null(strstr(b.data, "trace_id=\"0123456789abcdef0123456789abcdef\""));
    obs_buffer_done(&b);
}

static void counts_lines_that_make_no_sense(void **state)
{
    static const char *const LINES[] = {
        "{}",
        "{",
        "{\"method\":\"GET\",\"path\":\"/\",\"status\":\"200\",\"duration_s\":1}",
        "{\"method\":\"GET\",\"path\":\"/\",\"status\":999,\"duration_s\":1}",
        "{\"method\":\"GET\",\"path\":\"/\",\"status\":200,\"duration_s\":-1}",
        "{\"method\":\"GET\",\"path\":\"/\",\"status\":200,\"duration_s\":1e300}",
        "{\"time_s\":1e24,\"method\":\"GET\",\"path\":\"/\",\"status\":200,\"duration_s\":1}",
        "{\"time_s\":-1,\"method\":\"GET\",\"path\":\"/\",\"status\":200,\"duration_s\":0}",
        "{\"method\":4,\"path\":\"/\",\"status\":200,\"duration_s\":1}",
    };
    OBS_CLEANUP(access_log_freep) struct access_log *log = NULL;
    struct access_log_options options = {.service = "gateway", .version = "1", .routes = ROUTES};

    assert_int_equal(access_log_new(&options, &log), 0);
    for (size_t i = 0; i < OBS_COUNT(LINES); i++)
        access_log_take(log, LINES[i], strlen(LINES[i]));
    assert_int_equal(access_log_bad_lines(log), OBS_COUNT(LINES));
}

static void reads_stub_status(void **state)
{
    struct stub_status s;

    assert_int_equal(stub_status_parse("Active connections: 3 \n"
                                       "server accepts handled requests\n"
                                       " 16 15 31 \n"
                                       "Reading: 0 Writing: 1 Waiting: 2 \n",
                                       &s),
                     0);
    assert_int_equal(s.active, 3);
    assert_int_equal(s.accepted, 16);
    assert_int_equal(s.handled, 15);
    assert_int_equal(s.requests, 31);
    assert_int_equal(s.waiting, 2);
    assert_int_equal(stub_status_parse("<html>", &s), STUB_STATUS_REFUSED);
    assert_int_equal(stub_status_parse("", &s), STUB_STATUS_REFUSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_routes_by_their_pattern),
        cmocka_unit_test(counts_durations_with_exemplars),
        cmocka_unit_test(counts_lines_that_make_no_sense),
        cmocka_unit_test(reads_stub_status),
    };

    return cmocka_run_group_tests_name("access_log", tests, NULL, NULL);
}
