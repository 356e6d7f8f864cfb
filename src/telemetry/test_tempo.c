/* Tempo's API in one process: a server over a unix socket, a filled store behind it. */
#include "support/test.h"

#include "base/clock.h"
#include "base/http_client.h"
#include "base/http_server.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "otlp_trace.pb-c.h"
#include "support/scratch.h"
#include "telemetry/telemetry.h"
#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#define TEXT(literal) ((struct text_view){literal, sizeof(literal) - 1})
#define BASE_S 1700000000ULL
#define MS(n) (BASE_S * OBS_NS_PER_SECOND + (uint64_t)(n)*OBS_NS_PER_MS)

struct rig {
    struct scratch scratch;
    struct telemetry telemetry;
    struct event_base *base;
    struct event *stop;
    int stop_fd;
    struct obs_worker_pool *pool;
    struct obs_http_server *server;
    struct obs_http_client *client;
    pthread_t thread;
    struct obs_buffer body; /* of the last answer */
    json_t *json;           /* the same, when it was JSON */
};

enum { INTERNAL = 1, SERVER, CLIENT, PRODUCER, CONSUMER };

static struct text_view view(const char *text)
{
    return (struct text_view){text, strlen(text)};
}

static void put(struct store *store, const char *tenant, const struct span_view *spans,
                size_t count)
{
    struct obs_reason why = {0};

    assert_int_equal(store_append_spans(store, tenant, spans, count, &why), STORE_OK);
}

/* Trace @number: front GET / -> catalog GET /p -> postgresql, and a message to worker. Starts
 * @number seconds after the base; each is 10 ms slower than the one before. Every tenth has errors.
 */
static void put_trace(struct store *store, const char *tenant, unsigned number)
{
    char path[32];
    struct attribute front[] = {{TEXT("service.name"), {VALUE_TEXT, .is.text = TEXT("front")}}};
    struct attribute catalog[] = {{TEXT("service.name"), {VALUE_TEXT, .is.text = TEXT("catalog")}},
                                  {TEXT("zone"), {VALUE_TEXT, .is.text = TEXT("eu-1")}}};
    struct attribute worker[] = {{TEXT("service.name"), {VALUE_TEXT, .is.text = TEXT("worker")}}};
    struct attribute of_front[] = {{TEXT("url.path"), {VALUE_TEXT}},
                                   {TEXT("number"), {VALUE_INT, .is.integer = number}}};
    struct attribute of_catalog[] = {{TEXT("hit"), {VALUE_BOOL, .is.boolean = number % 2}},
                                     {TEXT("ratio"), {VALUE_DOUBLE, .is.number = 0.5}}};
    struct attribute of_database[] = {
        {TEXT("db.system"), {VALUE_TEXT, .is.text = TEXT("postgresql")}}};
    struct attribute of_event[] = {
        {TEXT("exception.type"), {VALUE_TEXT, .is.text = TEXT("Timeout")}}};
    struct span_event event = {MS(number * 1000 + 3), TEXT("exception"), of_event, 1};
    struct span_link link = {.trace_id = {9}, .span_id = {8}};
    uint64_t slow = number * 10ULL, at = number * 1000ULL;
    uint8_t status = number % 10 == 0 ? SPAN_STATUS_ERROR : SPAN_STATUS_UNSET;
    struct span_view spans[] = {
        {.span_id = {1},
         .start_ns = MS(at),
         .end_ns = MS(at + 100 + slow),
         .kind = SERVER,
         .name = TEXT("GET /"),
         .resource = front,
         .resource_count = 1,
         .attributes = of_front,
         .attribute_count = 2,
         .scope_name = TEXT("lib"),
         .scope_version = TEXT("1.0"),
         .trace_state = TEXT("k=v")},
        {.span_id = {2},
         .parent_span_id = {1},
         .start_ns = MS(at + 1),
         .end_ns = MS(at + 50 + slow),
         .kind = CLIENT,
         .name = TEXT("GET"),
         .resource = front,
         .resource_count = 1,
         .status = status,
         .status_message = status ? TEXT("no answer") : TEXT(""),
         .events = &event,
         .event_count = 1,
         .links = &link,
         .link_count = 1},
        {.span_id = {3},
         .parent_span_id = {2},
         .start_ns = MS(at + 2),
         .end_ns = MS(at + 40 + slow),
         .kind = SERVER,
         .name = TEXT("GET /p"),
         .resource = catalog,
         .resource_count = 2,
         .attributes = of_catalog,
         .attribute_count = 2,
         .status = status},
        {.span_id = {4},
         .parent_span_id = {3},
         .start_ns = MS(at + 3),
         .end_ns = MS(at + 13),
         .kind = CLIENT,
         .name = TEXT("SELECT"),
         .resource = catalog,
         .resource_count = 2,
         .attributes = of_database,
         .attribute_count = 1},
        {.span_id = {5},
         .parent_span_id = {1},
         .start_ns = MS(at + 60),
         .end_ns = MS(at + 61),
         .kind = PRODUCER,
         .name = TEXT("publish"),
         .resource = front,
         .resource_count = 1},
        {.span_id = {6},
         .parent_span_id = {5},
         .start_ns = MS(at + 70),
         .end_ns = MS(at + 90),
         .kind = CONSUMER,
         .name = TEXT("process"),
         .resource = worker,
         .resource_count = 1},
    };

    snprintf(path, sizeof(path), "/p/%u", number);
    of_front[0].value.is.text = view(path);
    for (size_t i = 0; i < OBS_COUNT(spans); i++) {
        spans[i].trace_id[0] = 0xab;
        spans[i].trace_id[15] = (uint8_t)number;
        spans[i].service = spans[i].resource[0].value.is.text;
    }
    put(store, tenant, spans, OBS_COUNT(spans));
}

static void stop_loop(evutil_socket_t fd, short what, void *userdata)
{
    event_base_loopbreak(userdata);
}

static void *run_loop(void *userdata)
{
    event_base_dispatch(userdata);
    return NULL;
}

static int start(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    struct obs_http_server_options options = {.limits = OBS_HTTP_LIMITS_DEFAULT};
    struct store_options store = {0};
    struct obs_http_client_options client = {.body_bytes_max = 64 << 20};
    struct obs_address address;
    struct obs_reason why;
    char text[160];
    int fd;

    rig->scratch = scratch_new();
    rig->body = OBS_BUFFER_INIT(64 << 20);
    store.folder = rig->scratch.path;
    store.retention_ns = UINT64_MAX; /* the spans are of 2023 */
    assert_int_equal(store_open(&store, &rig->telemetry.store, &why), 0);
    rig->telemetry.default_tenant = "solo";
    rig->telemetry.query_timeout_ms = 20000;
    for (unsigned number = 1; number <= 50; number++)
        put_trace(rig->telemetry.store, "solo", number);
    rig->base = event_base_new();
    rig->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    rig->stop = event_new(rig->base, rig->stop_fd, EV_READ, stop_loop, rig->base);
    event_add(rig->stop, NULL);
    assert_int_equal(obs_worker_pool_new("test", 2, 64, &rig->pool), 0);
    options.routes = TEMPO_ROUTES.routes;
    options.route_count = TEMPO_ROUTES.count;
    options.userdata = &rig->telemetry;
    options.pool = rig->pool;
    options.limits.head_bytes = 65536;
    assert_int_equal(obs_http_server_new(rig->base, &options, &rig->server), 0);
    snprintf(text, sizeof(text), "unix:%s/.sock", rig->scratch.path);
    assert_int_equal(obs_address_parse(text, &address, &why), 0);
    assert_int_equal(obs_address_listen(&address, 16, false, &fd, &why), 0);
    assert_int_equal(obs_http_server_add(rig->server, fd), 0);
    client.address = address;
    assert_int_equal(obs_http_client_new(&client, &rig->client), 0);
    pthread_create(&rig->thread, NULL, run_loop, rig->base);
    *state = rig;
    return 0;
}

static int stop(void **state)
{
    struct rig *rig = *state;
    uint64_t one = 1;

    assert_int_equal(write(rig->stop_fd, &one, sizeof(one)), sizeof(one));
    pthread_join(rig->thread, NULL);
    obs_http_client_free(rig->client);
    obs_worker_pool_free(rig->pool);
    obs_http_server_free(rig->server);
    event_free(rig->stop);
    event_base_free(rig->base);
    close(rig->stop_fd);
    store_free(rig->telemetry.store);
    obs_buffer_done(&rig->body);
    json_decref(rig->json);
    scratch_done(&rig->scratch);
    free(rig);
    return 0;
}

static int get_as(struct rig *rig, const char *target, const char *header, const char *value)
{
    OBS_HTTP_REPLY reply = {0};
    struct obs_http_call_header h = {header, value};
    struct obs_http_call call = {.method = "GET",
                                 .target = target,
                                 .headers = &h,
                                 .header_count = header ? 1 : 0,
                                 .timeout_ms = 60000};

    assert_int_equal(obs_http_client_call(rig->client, &call, &reply), 0);
    obs_buffer_clear(&rig->body);
    obs_buffer_append(&rig->body, reply.body.data ? reply.body.data : "", reply.body.size);
    json_decref(rig->json);
    rig->json = json_loadb(rig->body.data, rig->body.size, 0, NULL);
    return reply.status;
}

static int get(struct rig *rig, const char *target)
{
    return get_as(rig, target, NULL, NULL);
}

static int search(struct rig *rig, const char *query, const char *more)
{
    char encoded[65536], target[65600];

    assert_int_equal(obs_text_percent_encode(query, strlen(query), encoded, sizeof(encoded)), 0);
    snprintf(target, sizeof(target), "/api/search?q=%s%s", encoded, more);
    return get(rig, target);
}

/* Value at a path such as "traces.0.traceID". */
static const json_t *at(struct rig *rig, const char *path)
{
    const json_t *json = rig->json;
    char copy[160], *rest = copy;

    snprintf(copy, sizeof(copy), "%s", path);
    for (char *part = strsep(&rest, "."); part && json; part = strsep(&rest, "."))
        json = json_is_array(json) ? json_array_get(json, (size_t)atoi(part))
                                   : json_object_get(json, part);
    return json;
}

static const char *text_at(struct rig *rig, const char *path)
{
    const char *text = json_string_value(at(rig, path));

    return text ? text : "(none)";
}

static long long int_at(struct rig *rig, const char *path)
{
    return json_integer_value(at(rig, path));
}

static size_t count_at(struct rig *rig, const char *path)
{
    return json_array_size(at(rig, path));
}

static void gives_a_trace_as_tempo_writes_it(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(get(rig, "/api/traces/ab00000000000000000000000000000a"), 200);
    assert_int_equal(count_at(rig, "batches"), 3);
    /* resources by service: catalog, front, worker */
    assert_string_equal(text_at(rig, "batches.1.resource.attributes.0.key"), "service.name");
    assert_string_equal(text_at(rig, "batches.1.resource.attributes.0.value.stringValue"), "front");
    assert_string_equal(text_at(rig, "batches.1.scopeSpans.1.scope.name"), "lib");
    assert_string_equal(text_at(rig, "batches.1.scopeSpans.1.scope.version"), "1.0");
#define ROOT "batches.1.scopeSpans.1.spans.0."
    assert_string_equal(text_at(rig, ROOT "traceId"), "qwAAAAAAAAAAAAAAAAAACg==");
    assert_string_equal(text_at(rig, ROOT "spanId"), "AQAAAAAAAAA=");
    assert_null(at(rig, ROOT "parentSpanId"));
    assert_string_equal(text_at(rig, ROOT "name"), "GET /");
    assert_string_equal(text_at(rig, ROOT "kind"), "SPAN_KIND_SERVER");
    assert_string_equal(text_at(rig, ROOT "traceState"), "k=v");
    assert_string_equal(text_at(rig, ROOT "startTimeUnixNano"), "1700000010000000000");
    assert_string_equal(text_at(rig, ROOT "endTimeUnixNano"), "1700000010200000000");
    assert_string_equal(text_at(rig, ROOT "attributes.1.value.intValue"), "10");
    assert_int_equal(json_object_size(at(rig, "batches.1.scopeSpans.1.spans.0.status")), 0);
#define CALL "batches.1.scopeSpans.0.spans.0."
    assert_string_equal(text_at(rig, CALL "parentSpanId"), "AQAAAAAAAAA=");
    assert_string_equal(text_at(rig, CALL "status.code"), "STATUS_CODE_ERROR");
    assert_string_equal(text_at(rig, CALL "status.message"), "no answer");
    assert_string_equal(text_at(rig, CALL "events.0.name"), "exception");
    assert_string_equal(text_at(rig, CALL "events.0.timeUnixNano"), "1700000010003000000");
    assert_string_equal(text_at(rig, CALL "events.0.attributes.0.value.stringValue"), "Timeout");
    assert_string_equal(text_at(rig, CALL "links.0.spanId"), "CAAAAAAAAAA=");
    assert_false(json_boolean_value(at(rig, "batches.0.scopeSpans.0.spans.0.attributes.0.value."
                                            "boolValue")));
    assert_true(json_real_value(at(rig, "batches.0.scopeSpans.0.spans.0.attributes.1.value."
                                        "doubleValue")) == 0.5);
}

static void gives_a_trace_in_version_two(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(get(rig, "/api/v2/traces/AB00000000000000000000000000000A"), 200);
    assert_int_equal(count_at(rig, "trace.resourceSpans"), 3);
    assert_int_equal(get(rig, "/api/v2/traces/1"), 200);
    assert_int_equal(count_at(rig, "trace.resourceSpans"), 0);
}

static void check_protobuf(const uint8_t *data, size_t size)
{
    Otlp__ExportTraceServiceRequest *trace =
        otlp__export_trace_service_request__unpack(NULL, size, data);
    Otlp__Span *span;

    assert_non_null(trace);
    assert_int_equal(trace->n_resource_spans, 3);
    assert_string_equal(trace->resource_spans[1]->resource->attributes[0]->value->string_value,
                        "front");
    assert_int_equal(trace->resource_spans[1]->n_scope_spans, 2);
    assert_string_equal(trace->resource_spans[1]->scope_spans[1]->scope->name, "lib");
    span = trace->resource_spans[1]->scope_spans[0]->spans[0];
    assert_int_equal(span->trace_id.len, 16);
    assert_int_equal(span->trace_id.data[15], 10);
    assert_int_equal(span->parent_span_id.len, 8);
    assert_string_equal(span->name, "GET");
    assert_int_equal(span->kind, OTLP__SPAN__KIND__CLIENT);
    assert_int_equal(span->start_time_unix_nano, MS(10001));
    assert_int_equal(span->end_time_unix_nano, MS(10150));
    assert_int_equal(span->status->code, OTLP__STATUS__CODE__ERROR);
    assert_string_equal(span->status->message, "no answer");
    assert_int_equal(span->n_events, 1);
    assert_string_equal(span->events[0]->attributes[0]->value->string_value, "Timeout");
    assert_int_equal(span->n_links, 1);
    span = trace->resource_spans[0]->scope_spans[0]->spans[0];
    assert_true(span->attributes[1]->value->double_value == 0.5);
    otlp__export_trace_service_request__free_unpacked(trace, NULL);
}

static void gives_a_trace_as_protobuf(void **state)
{
    struct rig *rig = *state;
    const uint8_t *data;

    assert_int_equal(get_as(rig, "/api/traces/ab00000000000000000000000000000a", "Accept",
                            "application/protobuf"),
                     200);
    check_protobuf((uint8_t *)rig->body.data, rig->body.size);
    assert_int_equal(get_as(rig, "/api/v2/traces/ab00000000000000000000000000000a", "Accept",
                            "application/protobuf"),
                     200);
    data = (uint8_t *)rig->body.data; /* field 1, a length of five bytes */
    assert_int_equal(data[0], 1 << 3 | 2);
    check_protobuf(data + 6, rig->body.size - 6);
}

static void says_when_there_is_no_such_trace(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(get(rig, "/api/traces/abc"), 404);
    assert_int_equal(get(rig, "/api/traces/xyz"), 400);
    assert_int_equal(get(rig, "/api/traces/000000000000000000000000000000000"), 400);
    assert_int_equal(
        get_as(rig, "/api/traces/ab00000000000000000000000000000a", "X-Scope-OrgID", "other"), 404);
    assert_int_equal(get(rig, "/api/v2/traces/abc?q=%7Btrue%7D"), 400);
}

static void searches_and_answers_as_tempo_does(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(search(rig, "{ status = error && kind = server } | select(.zone)", ""), 200);
    assert_int_equal(count_at(rig, "traces"), 5);
#define FIRST "traces.0."
    assert_string_equal(text_at(rig, FIRST "traceID"), "ab000000000000000000000000000032");
    assert_string_equal(text_at(rig, FIRST "rootServiceName"), "front");
    assert_string_equal(text_at(rig, FIRST "rootTraceName"), "GET /");
    assert_string_equal(text_at(rig, FIRST "startTimeUnixNano"), "1700000050000000000");
    assert_int_equal(int_at(rig, FIRST "durationMs"), 600);
    assert_int_equal(int_at(rig, FIRST "spanSet.matched"), 1);
    assert_int_equal(count_at(rig, FIRST "spanSets"), 1);
#define SPAN FIRST "spanSets.0.spans.0."
    assert_string_equal(text_at(rig, SPAN "spanID"), "0300000000000000");
    assert_string_equal(text_at(rig, SPAN "name"), "GET /p");
    assert_string_equal(text_at(rig, SPAN "startTimeUnixNano"), "1700000050002000000");
    assert_string_equal(text_at(rig, SPAN "durationNanos"), "538000000");
    assert_string_equal(text_at(rig, SPAN "attributes.0.key"), "status");
    assert_string_equal(text_at(rig, SPAN "attributes.0.value.stringValue"), "error");
    assert_string_equal(text_at(rig, SPAN "attributes.2.key"), "zone");
    assert_string_equal(text_at(rig, SPAN "attributes.2.value.stringValue"), "eu-1");
    assert_int_equal(int_at(rig, FIRST "serviceStats.front.spanCount"), 3);
    assert_int_equal(int_at(rig, FIRST "serviceStats.catalog.errorCount"), 1);
}

static void searches_newest_first_within_its_limits(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(search(rig, "{}", ""), 200);
    assert_int_equal(count_at(rig, "traces"), 20);
    assert_string_equal(text_at(rig, "traces.0.traceID"), "ab000000000000000000000000000032");
    assert_string_equal(text_at(rig, "traces.19.traceID"), "ab00000000000000000000000000001f");
    assert_int_equal(count_at(rig, "traces.0.spanSets.0.spans"), 3);
    assert_int_equal(int_at(rig, "traces.0.spanSets.0.matched"), 6);
    assert_int_equal(search(rig, "{}", "&limit=2&spss=5"), 200);
    assert_int_equal(count_at(rig, "traces"), 2);
    assert_int_equal(count_at(rig, "traces.0.spanSets.0.spans"), 5);
    assert_int_equal(search(rig, "{ } with (most_recent = true)", "&limit=1"), 200);
    assert_string_equal(text_at(rig, "traces.0.traceID"), "ab000000000000000000000000000032");
    assert_int_equal(search(rig, "{}", "&limit=1001"), 400);
    assert_int_equal(search(rig, "{}", "&limit=-1"), 400);
}

static void searches_in_a_range_of_time(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(search(rig, "{}", "&start=1700000010&end=1700000012"), 200);
    assert_int_equal(count_at(rig, "traces"), 2);
    assert_int_equal(search(rig, "{}", "&start=1600000010&end=1600000012"), 200);
    assert_int_equal(count_at(rig, "traces"), 0);
    assert_int_equal(search(rig, "{}", "&start=3&end=2"), 400);
    assert_int_equal(search(rig, "{}", "&start=now"), 400);
}

static void searches_by_what_only_whole_traces_tell(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(search(rig, "{ name = \"GET /\" } >> { status = error && kind = server }", ""),
                     200);
    assert_int_equal(count_at(rig, "traces"), 5);
    assert_int_equal(search(rig, "{ traceDuration > 590ms }", ""), 200);
    assert_int_equal(count_at(rig, "traces"), 1);
    assert_int_equal(int_at(rig, "traces.0.spanSets.0.matched"), 6);
    assert_int_equal(search(rig, "{ span.number = 7 } && { kind = consumer }", ""), 200);
    assert_int_equal(count_at(rig, "traces"), 1);
    assert_int_equal(search(rig, "{ kind = server } | avg(duration) > 550ms", ""), 200);
    assert_int_equal(count_at(rig, "traces"), 2);
    assert_string_equal(text_at(rig, "traces.0.spanSets.0.attributes.0.key"), "avg(duration)");
    assert_string_equal(text_at(rig, "traces.0.spanSets.0.attributes.0.value.stringValue"),
                        "569ms");
    assert_int_equal(search(rig, "{ } | by(resource.service.name) | count() > 2", "&limit=1"), 200);
    assert_string_equal(text_at(rig, "traces.0.spanSets.0.attributes.1.value.stringValue"),
                        "front");
    assert_string_equal(text_at(rig, "traces.0.spanSets.0.attributes.0.value.intValue"), "3");
    assert_int_equal(search(rig, "{ rootServiceName = \"catalog\" }", ""), 200);
    assert_int_equal(count_at(rig, "traces"), 0);
}

/* More traces than are looked up one by one: judged together, from scans. */
static void searches_many_traces_that_do_not_match(void **state)
{
    struct rig *rig = *state;
    struct attribute resource[] = {{TEXT("service.name"), {VALUE_TEXT, .is.text = TEXT("many")}}};

    for (unsigned i = 0; i < 3000; i++) {
        struct span_view spans[2] = {
            {.span_id = {1}, .name = TEXT("parent")},
            {.span_id = {2}, .parent_span_id = {1}, .name = TEXT("child")}};

        for (unsigned j = 0; j < 2; j++) {
            memcpy(spans[j].trace_id, &(unsigned){i + 1}, 4);
            spans[j].start_ns = MS(100000 + i);
            spans[j].end_ns = MS(100000 + i + (i == 1234 ? 7 : 5));
            spans[j].service = TEXT("many");
            spans[j].resource = resource;
            spans[j].resource_count = 1;
        }
        put(rig->telemetry.store, "many", spans, 2);
    }
    assert_int_equal(get_as(rig,
                            "/api/search?q=%7B%20name%3D%22parent%22%20%7D%20%3E%20%7B%20"
                            "traceDuration%3E6ms%20%7D",
                            "X-Scope-OrgID", "many"),
                     200);
    assert_int_equal(count_at(rig, "traces"), 1);
    assert_string_equal(text_at(rig, "traces.0.traceID"), "d3040000000000000000000000000000");
    assert_true(int_at(rig, "metrics.inspectedTraces") >= 3000);
    assert_int_equal(get_as(rig, "/api/search?q=%7B%7D%7Ccount()%3E2", "X-Scope-OrgID", "many"),
                     200);
    assert_int_equal(count_at(rig, "traces"), 0);
}

static void searches_by_tags(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(get(rig, "/api/search?tags=service.name%3DCATA%20hit%3Dtrue&limit=100"), 200);
    assert_int_equal(count_at(rig, "traces"), 25);
    assert_int_equal(get(rig, "/api/search?tags=url.path%3D%22%2Fp%2F42%22"), 200);
    assert_int_equal(count_at(rig, "traces"), 1);
    assert_int_equal(get(rig, "/api/search?tags=error%3Dtrue&minDuration=500ms"), 200);
    assert_int_equal(count_at(rig, "traces"), 2);
    assert_int_equal(get(rig, "/api/search?minDuration=150ms&maxDuration=200ms"), 200);
    assert_int_equal(count_at(rig, "traces"), 6);
    assert_int_equal(get(rig, "/api/search?tags=nothing"), 400);
    assert_int_equal(get(rig, "/api/search?tags=a%3D%22b"), 400);
    assert_int_equal(get(rig, "/api/search?minDuration=long"), 400);
    assert_int_equal(get(rig, "/api/search?q=%7B%7D&minDuration=1s"), 400);
}

static void says_what_is_wrong_with_a_query_and_where(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(search(rig, "{ name = }", ""), 400);
    assert_int_equal(int_at(rig, "line"), 1);
    assert_int_equal(int_at(rig, "column"), 10);
    assert_string_equal(text_at(rig, "detail"),
                        "invalid TraceQL query: line 1, column 10: unexpected "
                        "\"}\": expected a field or a value");
    assert_int_equal(search(rig, "{ } | rate()", ""), 400);
}

static void refuses_hostile_queries(void **state)
{
    struct rig *rig = *state;
    char *deep = malloc(2001), *slow = malloc(4000);

    memset(deep, '(', 2000);
    deep[2000] = '\0';
    assert_int_equal(search(rig, deep, ""), 400);
    memset(deep, 'a', 2000);
    assert_int_equal(search(rig, deep, ""), 400);
    assert_int_equal(search(rig, "{ name =~ \"(\" }", ""), 400);
    assert_int_equal(search(rig, "{ name = \"\x01\" } \x7f", ""), 400);
    snprintf(slow, 4000, "{ .a = \"%03000d\" =~ \"x\" }", 0);
    assert_int_equal(search(rig, slow, ""), 400);
    free(deep);
    free(slow);
}

static void stops_at_its_deadline(void **state)
{
    struct rig *rig = *state;
    struct telemetry telemetry = rig->telemetry;

    rig->telemetry.query_timeout_ms = 1;
    for (unsigned i = 0; i < 20; i++)
        for (unsigned number = 60; number < 160; number++)
            put_trace(rig->telemetry.store, "slow", number);
    assert_int_equal(get_as(rig, "/api/search?q=%7Bname%3D~%22(x%7Cy)*z%22%7D%7Ccount()%3E9",
                            "X-Scope-OrgID", "slow"),
                     504);
    rig->telemetry = telemetry;
}

static bool has_text(const json_t *array, const char *text)
{
    size_t i;
    json_t *value;

    json_array_foreach (array, i, value) {
        const char *have =
            json_string_value(json_is_object(value) ? json_object_get(value, "value") : value);

        if (have && strcmp(have, text) == 0)
            return true;
    }
    return false;
}

static void lists_names_by_scope(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(get(rig, "/api/search/tags"), 200);
    assert_true(has_text(at(rig, "tagNames"), "service.name"));
    assert_true(has_text(at(rig, "tagNames"), "db.system"));
    assert_int_equal(get(rig, "/api/v2/search/tags"), 200);
    assert_int_equal(count_at(rig, "scopes"), 3);
    assert_string_equal(text_at(rig, "scopes.0.name"), "resource");
    assert_true(has_text(at(rig, "scopes.0.tags"), "zone"));
    assert_false(has_text(at(rig, "scopes.0.tags"), "db.system"));
    assert_true(has_text(at(rig, "scopes.1.tags"), "db.system"));
    assert_true(has_text(at(rig, "scopes.2.tags"), "rootServiceName"));
    assert_int_equal(get(rig, "/api/v2/search/tags?scope=span&limit=1"), 200);
    assert_int_equal(count_at(rig, "scopes"), 1);
    assert_int_equal(count_at(rig, "scopes.0.tags"), 1);
    assert_int_equal(get(rig, "/api/v2/search/tags?scope=mine"), 400);
}

static void lists_values_with_their_types(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(get(rig, "/api/search/tag/service.name/values"), 200);
    assert_int_equal(count_at(rig, "tagValues"), 3);
    assert_true(has_text(at(rig, "tagValues"), "worker"));
    assert_int_equal(get(rig, "/api/search/tag/status/values"), 200);
    assert_true(has_text(at(rig, "tagValues"), "error"));
    assert_int_equal(get(rig, "/api/v2/search/tag/resource.service.name/values"), 200);
    assert_int_equal(count_at(rig, "tagValues"), 3);
    assert_string_equal(text_at(rig, "tagValues.0.type"), "string");
    assert_int_equal(get(rig, "/api/v2/search/tag/.number/values?limit=10"), 200);
    assert_int_equal(count_at(rig, "tagValues"), 10);
    assert_string_equal(text_at(rig, "tagValues.0.type"), "int");
    assert_int_equal(get(rig, "/api/v2/search/tag/kind/values"), 200);
    assert_string_equal(text_at(rig, "tagValues.2.type"), "keyword");
    assert_string_equal(text_at(rig, "tagValues.2.value"), "server");
    assert_int_equal(get(rig, "/api/v2/search/tag/name/values"), 200);
    assert_int_equal(count_at(rig, "tagValues"), 6);
    assert_int_equal(get(rig, "/api/v2/search/tag/rootServiceName/values"), 200);
    assert_int_equal(count_at(rig, "tagValues"), 1);
    assert_int_equal(get(rig, "/api/v2/search/tag/service.name/values"), 400);
}

static void narrows_values_by_a_query(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(
        get(rig, "/api/v2/search/tag/resource.service.name/values?q=%7Bkind%3Dconsumer%7D"), 200);
    assert_int_equal(count_at(rig, "tagValues"), 1);
    assert_string_equal(text_at(rig, "tagValues.0.value"), "worker");
    assert_int_equal(get(rig, "/api/v2/search/tag/resource.service.name/values?q=%7Bkind%3D%7D"),
                     200);
    assert_int_equal(count_at(rig, "tagValues"), 3); /* not finished yet: everything */
}

static const json_t *find_edge(struct rig *rig, const char *client, const char *server)
{
    size_t i;
    json_t *edge;

    json_array_foreach (at(rig, "edges"), i, edge) {
        if (strcmp(json_string_value(json_object_get(edge, "client")), client) == 0 &&
            strcmp(json_string_value(json_object_get(edge, "server")), server) == 0)
            return edge;
    }
    return NULL;
}

static double number_of(const json_t *edge, const char *name)
{
    return json_number_value(json_object_get(edge, name));
}

static void draws_the_graph_of_services(void **state)
{
    struct rig *rig = *state;
    const json_t *edge;

    assert_int_equal(get(rig, "/api/service-graph?start=1700000000&end=1700000100"), 200);
    assert_int_equal(count_at(rig, "edges"), 3);
    assert_int_equal(count_at(rig, "nodes"), 4);
    edge = find_edge(rig, "front", "catalog");
    assert_non_null(edge);
    assert_int_equal(number_of(edge, "count"), 50);
    assert_int_equal(number_of(edge, "errors"), 5);
    /* 59 to 549 ms: the median is 299 or so, within a bucket */
    assert_true(number_of(edge, "client_p50_ms") > 280 && number_of(edge, "client_p50_ms") < 320);
    assert_true(number_of(edge, "client_p95_ms") > 490 && number_of(edge, "client_p95_ms") < 550);
    assert_true(number_of(edge, "server_p50_ms") > 270 && number_of(edge, "server_p50_ms") < 310);
    edge = find_edge(rig, "catalog", "postgresql");
    assert_non_null(edge);
    assert_string_equal(json_string_value(json_object_get(edge, "type")), "database");
    assert_int_equal(number_of(edge, "count"), 50);
    edge = find_edge(rig, "front", "worker");
    assert_non_null(edge);
    assert_string_equal(json_string_value(json_object_get(edge, "type")), "messaging");
    assert_int_equal(number_of(edge, "errors"), 0);
    assert_int_equal(get(rig, "/api/service-graph?start=1600000000&end=1600000001"), 200);
    assert_int_equal(count_at(rig, "edges"), 0);
}

static void keeps_tenants_apart(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(get_as(rig, "/api/search?q=%7B%7D", "X-Scope-OrgID", "nobody"), 200);
    assert_int_equal(count_at(rig, "traces"), 0);
    assert_int_equal(get_as(rig, "/api/search/tags", "X-Scope-OrgID", "nobody"), 200);
    assert_int_equal(count_at(rig, "tagNames"), 0);
    assert_int_equal(get_as(rig, "/api/search", "X-Scope-OrgID", "../up"), 400);
}

static void says_that_it_is_there(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(get(rig, "/api/echo"), 200);
    assert_string_equal(rig->body.data, "echo");
    assert_int_equal(get(rig, "/api/status/buildinfo"), 200);
    assert_string_not_equal(text_at(rig, "version"), "(none)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_a_trace_as_tempo_writes_it),
        cmocka_unit_test(gives_a_trace_in_version_two),
        cmocka_unit_test(gives_a_trace_as_protobuf),
        cmocka_unit_test(says_when_there_is_no_such_trace),
        cmocka_unit_test(searches_and_answers_as_tempo_does),
        cmocka_unit_test(searches_newest_first_within_its_limits),
        cmocka_unit_test(searches_in_a_range_of_time),
        cmocka_unit_test(searches_by_what_only_whole_traces_tell),
        cmocka_unit_test(searches_many_traces_that_do_not_match),
        cmocka_unit_test(searches_by_tags),
        cmocka_unit_test(says_what_is_wrong_with_a_query_and_where),
        cmocka_unit_test(refuses_hostile_queries),
        cmocka_unit_test(stops_at_its_deadline),
        cmocka_unit_test(lists_names_by_scope),
        cmocka_unit_test(lists_values_with_their_types),
        cmocka_unit_test(narrows_values_by_a_query),
        cmocka_unit_test(draws_the_graph_of_services),
        cmocka_unit_test(keeps_tenants_apart),
        cmocka_unit_test(says_that_it_is_there),
    };

    signal(SIGPIPE, SIG_IGN);
    obs_log_setup("test", "0", OBS_LOG_ERROR + 1);
    return cmocka_run_group_tests(tests, start, stop);
}
