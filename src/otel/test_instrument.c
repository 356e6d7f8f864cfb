/* Two instrumented services in one process: a front one whose handler calls the back one. */
#include "support/test.h"

#include "base/log.h"
#include "base/mailbox.h"
#include "otel/instrument.h"
#include "otel/names.h"
#include "otel/test_collector.h"
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define TRACEPARENT "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

static struct {
    struct test_collector collector;
    struct obs_telemetry telemetry;
    struct obs_http_instrument *instrument;
    struct obs_worker_pool *pool;
    struct event_base *base;
    struct obs_mailbox *mailbox;
    struct obs_http_server *server;
    struct obs_upstream *upstream;
    struct obs_http_client *client;
    pthread_t thread;
    int log_fd, stdout_fd; /* a file that standard output goes to; what it was before */
    char address[128];
    char back_traceparent[64];
} t;

static void handle_product(struct obs_http_request *request, void *userdata)
{
    struct obs_http_call call = {.method = "GET", .target = "/back?x=1"};
    OBS_HTTP_REPLY reply = {0};

    obs_span_text(obs_span_current(), OBS_ATTR_PRODUCT_ID, obs_http_param(request, "id"));
    obs_log(OBS_LOG_INFO, "inside");
    assert_int_equal(obs_upstream_call(t.upstream, "GET /back", &call, &reply), 0);
    obs_http_reply(request, reply.status == 200 ? 201 : 502, "text/plain", "ok", 2);
}

static void handle_back(struct obs_http_request *request, void *userdata)
{
    const char *traceparent = obs_http_header(request, "traceparent");

    snprintf(t.back_traceparent, sizeof(t.back_traceparent), "%s", traceparent ? traceparent : "");
    obs_http_reply(request, 200, "text/plain", "", 0);
}

static void handle_broken(struct obs_http_request *request, void *userdata)
{
    obs_http_reply(request, 503, "text/plain", "", 0);
}

static void handle_health(struct obs_http_request *request, void *userdata)
{
    assert_null(obs_span_current());
    obs_http_reply(request, 200, "text/plain", "ok", 2);
}

static const struct obs_http_route routes[] = {
    {"GET", "/products/{id}", handle_product, OBS_HTTP_ON_WORKER},
    {"GET", "/back", handle_back, OBS_HTTP_ON_LOOP},
    {"GET", "/broken", handle_broken, OBS_HTTP_ON_LOOP},
    {"GET", "/healthz", handle_health, OBS_HTTP_ON_LOOP},
};

static void *run_loop(void *userdata)
{
    event_base_loop(t.base, EVLOOP_NO_EXIT_ON_EMPTY);
    return NULL;
}

/* Access lines are read from where standard output was led. */
static void catch_log(void)
{
    char path[] = "/tmp/obs-log-XXXXXX";

    t.log_fd = mkstemp(path);
    assert_true(t.log_fd >= 0);
    unlink(path);
    fflush(stdout);
    t.stdout_fd = dup(STDOUT_FILENO);
    dup2(t.log_fd, STDOUT_FILENO);
    obs_log_setup("front", "1.0", OBS_LOG_INFO);
}

static void release_log(void)
{
    if (t.stdout_fd < 0)
        return;
    dup2(t.stdout_fd, STDOUT_FILENO);
    close(t.stdout_fd);
    t.stdout_fd = -1;
}

static int start(void **state)
{
    struct obs_http_client_options client = {.idle_max = 4};
    struct obs_tracer_options tracer = {
        .service = "front", .version = "1.0", .sample_ratio = 1, .flush_ms = 5};
    struct obs_http_server_options server = {
        .routes = routes, .route_count = OBS_COUNT(routes), .limits = OBS_HTTP_LIMITS_DEFAULT};
    struct obs_address address;
    int fd;

    memset(&t, 0, sizeof(t));
    test_collector_init(&t.collector);
    test_collector_start(&t.collector);
    tracer.endpoint = t.collector.address;
    assert_int_equal(obs_metrics_new("front", "1.0", &t.telemetry.metrics), 0);
    assert_int_equal(obs_tracer_new(&tracer, &t.telemetry.tracer), 0);
    assert_int_equal(obs_http_instrument_new(&t.telemetry, true, &t.instrument), 0);
    assert_int_equal(obs_worker_pool_new("worker", 2, 8, &t.pool), 0);
    t.base = event_base_new();
    assert_int_equal(obs_mailbox_new(t.base, &t.mailbox), 0);
    server.pool = t.pool;
    server.observer = obs_http_instrument_observer(t.instrument);
    assert_int_equal(obs_http_server_new(t.base, &server, &t.server), 0);
    snprintf(t.address, sizeof(t.address), "unix:%s/front.sock", t.collector.folder);
    assert_int_equal(obs_address_parse(t.address, &address, NULL), 0);
    client.address = address;
    assert_int_equal(obs_address_listen(&address, 16, false, &fd, NULL), 0);
    assert_int_equal(obs_http_server_add(t.server, fd), 0);
    assert_int_equal(obs_upstream_new(&t.telemetry, "back", &client, &t.upstream), 0);
    assert_int_equal(obs_http_client_new(&client, &t.client), 0);
    catch_log();
    return pthread_create(&t.thread, NULL, run_loop, NULL);
}

static void break_loop(void *userdata)
{
    event_base_loopbreak(t.base);
}

static int stop(void **state)
{
    release_log();
    obs_mailbox_post(t.mailbox, break_loop, NULL);
    pthread_join(t.thread, NULL);
    obs_worker_pool_free(t.pool);
    obs_http_server_free(t.server);
    obs_mailbox_free(t.mailbox);
    event_base_free(t.base);
    obs_upstream_free(t.upstream);
    obs_http_client_free(t.client);
    obs_http_instrument_free(t.instrument);
    obs_tracer_free(t.telemetry.tracer, 1000);
    obs_metrics_free(t.telemetry.metrics);
    close(t.log_fd);
    unlink(t.address + strlen("unix:"));
    test_collector_done(&t.collector);
    return 0;
}

static int get(const char *target, const char *traceparent)
{
    struct obs_http_call_header header = {"traceparent", traceparent};
    struct obs_http_call call = {
        .method = "GET", .target = target, .headers = &header, .header_count = traceparent ? 1 : 0};
    OBS_HTTP_REPLY reply = {0};

    assert_int_equal(obs_http_client_call(t.client, &call, &reply), 0);
    return reply.status;
}

static const Otlp__Span *find_span(const char *name, Otlp__Span__Kind kind)
{
    for (size_t i = 0; i < t.collector.span_count; i++) {
        const Otlp__Span *span = test_collector_span(&t.collector, i, NULL);

        if (span->kind == kind && strcmp(span->name, name) == 0)
            return span;
    }
    fail_msg("no span %s", name);
    return NULL;
}

static int64_t int_attribute(const Otlp__Span *span, const char *key)
{
    for (size_t i = 0; i < span->n_attributes; i++)
        if (strcmp(span->attributes[i]->key, key) == 0)
            return span->attributes[i]->value->int_value;
    return -1;
}

static const char *text_attribute(const Otlp__Span *span, const char *key)
{
    return test_attribute(span->attributes, span->n_attributes, key);
}

static void one_trace_leads_through_both_services(void **state)
{
    const Otlp__Span *front, *call, *back;

    assert_int_equal(get("/products/42?q=1", TRACEPARENT), 201);
    test_collector_wait_spans(&t.collector, 3);
    front = find_span("GET /products/{id}", OTLP__SPAN__KIND__SERVER);
    call = find_span("GET /back", OTLP__SPAN__KIND__CLIENT);
    back = find_span("GET /back", OTLP__SPAN__KIND__SERVER);

    assert_memory_equal(front->trace_id.data, "\x4b\xf9\x2f\x35\x77\xb3\x4d\xa6", 8);
    assert_memory_equal(front->parent_span_id.data, "\x00\xf0\x67\xaa\x0b\xa9\x02\xb7", 8);
    assert_memory_equal(call->parent_span_id.data, front->span_id.data, 8);
    assert_memory_equal(back->parent_span_id.data, call->span_id.data, 8);
    assert_memory_equal(back->trace_id.data, front->trace_id.data, 16);
    assert_true(front->start_time_unix_nano <= call->start_time_unix_nano);
    assert_true(front->end_time_unix_nano >= call->end_time_unix_nano);

    assert_int_equal(int_attribute(front, OBS_ATTR_HTTP_STATUS), 201);
    assert_string_equal(text_attribute(front, OBS_ATTR_URL_PATH), "/products/42");
    assert_string_equal(text_attribute(front, OBS_ATTR_PRODUCT_ID), "42");
    assert_string_equal(text_attribute(call, OBS_ATTR_PEER_SERVICE), "back");
    assert_string_equal(text_attribute(call, OBS_ATTR_URL_PATH), "/back");
    assert_int_equal(int_attribute(call, OBS_ATTR_HTTP_STATUS), 200);
    assert_null(front->status);
}

static void requests_are_counted_with_exemplars(void **state)
{
    struct obs_buffer text = OBS_BUFFER_INIT(1u << 20);

    assert_int_equal(get("/products/42", TRACEPARENT), 201);
    assert_int_equal(get("/nowhere", NULL), 404);
    test_collector_wait_spans(&t.collector, 4);
    assert_int_equal(obs_metrics_emit(t.telemetry.metrics, &text), 0);
    assert_non_null(strstr(text.data,
                           "http_server_request_duration_seconds_count{service=\"front\","
                           "version=\"1.0\",route=\"/products/{id}\",method=\"GET\","
                           "status_code=\"201\"} 1\n"));
    assert_non_null(strstr(text.data, "route=\"unmatched\",method=\"GET\",status_code=\"404\"} 1"));
    assert_non_null(strstr(text.data,
                           "http_client_request_duration_seconds_count{service=\"front\","
                           "version=\"1.0\",peer=\"back\",route=\"GET /back\","
                           "status_code=\"200\"} 1\n"));
    assert_non_null(strstr(text.data, "# {trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\""));
    assert_non_null(
        strstr(text.data, "app_inflight_requests{service=\"front\",version=\"1.0\"} 0"));
    obs_buffer_done(&text);
}

static void each_request_is_one_log_line_with_its_ids(void **state)
{
    char text[16384], *line, ids[128];
    const Otlp__Span *front;
    ssize_t size;

    assert_int_equal(get("/products/42?q=1", TRACEPARENT), 201);
    test_collector_wait_spans(&t.collector, 3);
    front = find_span("GET /products/{id}", OTLP__SPAN__KIND__SERVER);
    snprintf(ids, sizeof(ids),
             "\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\",\"span_id\":\"%02x%02x",
             front->span_id.data[0], front->span_id.data[1]);
    size = pread(t.log_fd, text, sizeof(text) - 1, 0);
    assert_true(size > 0);
    text[size] = '\0';
    line = strstr(text, "\"message\":\"inside\"");
    assert_non_null(line);
    assert_memory_equal(strstr(line, "\"trace_id\""), ids, strlen(ids));
    line = strstr(text, "\"route\":\"/products/{id}\"");
    assert_non_null(line);
    *strchr(line, '\n') = '\0';
    while (line[-1] != '\n' && line > text)
        line--;
    assert_non_null(strstr(line, "\"message\":\"request\""));
    assert_non_null(strstr(line, ids));
    assert_non_null(strstr(line, "\"method\":\"GET\""));
    assert_non_null(strstr(line, "\"path\":\"/products/42\""));
    assert_non_null(strstr(line, "\"status\":201"));
    assert_non_null(strstr(line, "\"duration_ms\":"));
    assert_non_null(strstr(line, "\"response_bytes\":"));
    assert_non_null(strstr(line, "\"app.product.id\":\"42\""));
}

static void an_unsampled_request_hands_its_decision_on(void **state)
{
    assert_int_equal(get("/products/42", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"),
                     201);
    assert_memory_equal(t.back_traceparent, "00-4bf92f3577b34da6a3ce929d0e0e4736-", 36);
    assert_string_equal(t.back_traceparent + 52, "-00");
    assert_int_equal(get("/broken", TRACEPARENT), 503);
    test_collector_wait_spans(&t.collector, 1);
    assert_int_equal(t.collector.span_count, 1);
}

static void a_failed_request_is_an_error_span(void **state)
{
    const Otlp__Span *span;

    assert_int_equal(get("/broken", "not a traceparent"), 503);
    test_collector_wait_spans(&t.collector, 1);
    span = find_span("GET /broken", OTLP__SPAN__KIND__SERVER);
    assert_int_equal(span->parent_span_id.len, 0);
    assert_int_equal(span->status->code, OTLP__STATUS__CODE__ERROR);
    assert_string_equal(text_attribute(span, OBS_ATTR_ERROR_TYPE), "503");
}

static void health_checks_leave_no_trace(void **state)
{
    struct obs_buffer text = OBS_BUFFER_INIT(1u << 20);
    char log[4096];

    assert_int_equal(get("/healthz", TRACEPARENT), 200);
    assert_int_equal(get("/broken", NULL), 503);
    test_collector_wait_spans(&t.collector, 1);
    assert_int_equal(t.collector.span_count, 1);
    assert_int_equal(obs_metrics_emit(t.telemetry.metrics, &text), 0);
    assert_null(strstr(text.data, "healthz"));
    log[pread(t.log_fd, log, sizeof(log) - 1, 0)] = '\0';
    assert_null(strstr(log, "healthz"));
    obs_buffer_done(&text);
}

static void an_upstream_that_is_gone_is_counted(void **state)
{
    struct obs_http_client_options options = {.idle_max = 1};
    struct obs_http_call call = {.method = "GET", .target = "/x"};
    struct obs_buffer text = OBS_BUFFER_INIT(1u << 20);
    struct obs_upstream *gone;
    struct obs_span span, *before;
    const Otlp__Span *read;
    char address[128];

    snprintf(address, sizeof(address), "unix:%s/nobody.sock", t.collector.folder);
    assert_int_equal(obs_address_parse(address, &options.address, NULL), 0);
    assert_int_equal(obs_upstream_new(&t.telemetry, "gone", &options, &gone), 0);
    obs_span_start(&span, t.telemetry.tracer, OBS_SPAN_INTERNAL, "outer", NULL);
    before = obs_span_enter(&span);
    {
        OBS_HTTP_REPLY reply = {0};

        assert_true(obs_upstream_call(gone, "GET /x", &call, &reply) < 0);
    }
    obs_span_leave(before);
    obs_span_end(&span);
    test_collector_wait_spans(&t.collector, 2);
    read = find_span("GET /x", OTLP__SPAN__KIND__CLIENT);
    assert_int_equal(read->status->code, OTLP__STATUS__CODE__ERROR);
    assert_string_equal(text_attribute(read, OBS_ATTR_ERROR_TYPE), "refused");
    assert_int_equal(obs_metrics_emit(t.telemetry.metrics, &text), 0);
    assert_non_null(
        strstr(text.data, "peer=\"gone\",route=\"GET /x\",status_code=\"refused\"} 1\n"));
    obs_buffer_done(&text);
    obs_upstream_free(gone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_trace_leads_through_both_services, start, stop),
        cmocka_unit_test_setup_teardown(requests_are_counted_with_exemplars, start, stop),
        cmocka_unit_test_setup_teardown(each_request_is_one_log_line_with_its_ids, start, stop),
        cmocka_unit_test_setup_teardown(an_unsampled_request_hands_its_decision_on, start, stop),
        cmocka_unit_test_setup_teardown(a_failed_request_is_an_error_span, start, stop),
        cmocka_unit_test_setup_teardown(health_checks_leave_no_trace, start, stop),
        cmocka_unit_test_setup_teardown(an_upstream_that_is_gone_is_counted, start, stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
