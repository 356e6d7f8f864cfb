/* Loki's API in one process: a server over a unix socket, a filled store behind it. */
#include "support/test.h"

#include "base/clock.h"
#include "base/http_client.h"
#include "base/http_server.h"
#include "base/json.h"
#include "base/text.h"
#include "support/scratch.h"
#include "telemetry/loki_batch.h"
#include "telemetry/loki_params.h"
#include "telemetry/loki_tails.h"
#include "telemetry/telemetry.h"
#include <event2/event.h>
#include <inttypes.h>
#include <pthread.h>
#include <snappy-c.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <zlib.h>

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
    struct obs_http_route routes[32];
    char socket[100];
    uint64_t now_s;         /* of the first line */
    struct obs_buffer body; /* of the last answer */
    json_t *json;           /* the same, when it was JSON */
};

static void stop_loop(evutil_socket_t fd, short what, void *userdata)
{
    event_base_loopbreak(userdata);
}

static void *run_loop(void *userdata)
{
    event_base_dispatch(userdata);
    return NULL;
}

/* ---- calls ---- */

static void keep_body(struct rig *rig, const struct obs_http_reply_data *reply)
{
    obs_buffer_clear(&rig->body);
    obs_buffer_append(&rig->body, reply->body.data ? reply->body.data : "", reply->body.size);
    json_decref(rig->json);
    rig->json = json_loadb(rig->body.data, rig->body.size, 0, NULL);
}

static int call(struct rig *rig, const char *method, const char *target, const char *type,
                const void *body, size_t size, const char *header, const char *value)
{
    OBS_HTTP_REPLY reply = {0};
    struct obs_http_call_header h = {header, value};
    struct obs_http_call c = {.method = method,
                              .target = target,
                              .content_type = type,
                              .body = body,
                              .body_size = size,
                              .headers = &h,
                              .header_count = header ? 1 : 0,
                              .timeout_ms = 60000};

    assert_int_equal(obs_http_client_call(rig->client, &c, &reply), 0);
    keep_body(rig, &reply);
    return reply.status;
}

static int get(struct rig *rig, const char *target)
{
    return call(rig, "GET", target, NULL, NULL, 0, NULL, NULL);
}

static int query(struct rig *rig, const char *path, const char *text, const char *more)
{
    char encoded[4096], target[8192];

    assert_int_equal(obs_text_percent_encode(text, strlen(text), encoded, sizeof(encoded)), 0);
    snprintf(target, sizeof(target), "/loki/api/v1/%s?query=%s%s", path, encoded, more);
    return get(rig, target);
}

static int push_as(struct rig *rig, const char *text, const char *tenant)
{
    return call(rig, "POST", "/loki/api/v1/push", "application/json", text, strlen(text),
                tenant ? "X-Scope-OrgID" : NULL, tenant);
}

static int push(struct rig *rig, const char *text)
{
    return push_as(rig, text, NULL);
}

static char *one_line(const struct rig *rig, const char *stream, unsigned second, const char *line,
                      const char *more)
{
    static char text[4096];

    snprintf(text, sizeof(text),
             "{\"streams\":[{\"stream\":%s,\"values\":[[\"%" PRIu64 "000000000\",\"%s\"%s]]}]}",
             stream, rig->now_s + second, line, more);
    return text;
}

/* Value at a path such as "data.result.0.stream". */
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

static void expect_body(struct rig *rig, const char *part)
{
    if (!strstr(rig->body.data, part))
        print_error("%s\n", rig->body.data);
    assert_non_null(strstr(rig->body.data, part));
}

/* ---- life ---- */

static void fill(struct rig *rig)
{
#define ORDERS "{\"service_name\":\"orders\",\"env\":\"prod\"}"
#define CATALOG "{\"service_name\":\"catalog\",\"env\":\"prod\"}"
    assert_int_equal(
        push(rig, one_line(rig, ORDERS, 0, "level=info took=20ms", ",{\"trace_id\":\"aa11\"}")),
        204);
    assert_int_equal(
        push(rig, one_line(rig, CATALOG, 1, "level=error took=2s", ",{\"trace_id\":\"aa11\"}")),
        204);
    assert_int_equal(
        push(rig, one_line(rig, ORDERS, 2, "level=error took=3s", ",{\"trace_id\":\"bb22\"}")),
        204);
}

static int start(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    struct obs_http_server_options options = {.limits = OBS_HTTP_LIMITS_DEFAULT};
    struct store_options store = {0};
    struct obs_http_client_options client = {.body_bytes_max = 64 << 20};
    struct obs_address address;
    struct obs_reason why;
    int fd;

    rig->scratch = scratch_new();
    rig->body = OBS_BUFFER_INIT(64 << 20);
    rig->now_s = obs_time_ns() / OBS_NS_PER_SECOND - 100;
    store.folder = rig->scratch.path;
    assert_int_equal(store_open(&store, &rig->telemetry.store, &why), 0);
    rig->telemetry.default_tenant = "solo";
    rig->telemetry.query_timeout_ms = 20000;
    rig->base = event_base_new();
    assert_int_equal(loki_tails_new(rig->base, rig->telemetry.store, &rig->telemetry.tails), 0);
    rig->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    rig->stop = event_new(rig->base, rig->stop_fd, EV_READ, stop_loop, rig->base);
    event_add(rig->stop, NULL);
    assert_int_equal(obs_worker_pool_new("test", 2, 64, &rig->pool), 0);
    memcpy(rig->routes, LOKI_ROUTES.routes, LOKI_ROUTES.count * sizeof(*rig->routes));
    memcpy(rig->routes + LOKI_ROUTES.count, LOKI_PUSH_ROUTES.routes,
           LOKI_PUSH_ROUTES.count * sizeof(*rig->routes));
    options.routes = rig->routes;
    options.route_count = LOKI_ROUTES.count + LOKI_PUSH_ROUTES.count;
    options.userdata = &rig->telemetry;
    options.pool = rig->pool;
    options.limits.body_bytes = 32 << 20;
    assert_int_equal(obs_http_server_new(rig->base, &options, &rig->server), 0);
    snprintf(rig->socket, sizeof(rig->socket), "%s/.sock", rig->scratch.path);
    {
        char text[200];

        snprintf(text, sizeof(text), "unix:%s", rig->socket);
        assert_int_equal(obs_address_parse(text, &address, &why), 0);
    }
    assert_int_equal(obs_address_listen(&address, 16, false, &fd, &why), 0);
    assert_int_equal(obs_http_server_add(rig->server, fd), 0);
    client.address = address;
    assert_int_equal(obs_http_client_new(&client, &rig->client), 0);
    pthread_create(&rig->thread, NULL, run_loop, rig->base);
    fill(rig);
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
    loki_tails_free(rig->telemetry.tails);
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

/* ---- reading ---- */

static void answers_streams_newest_first(void **state)
{
    struct rig *rig = *state;
    char expected[64];

    assert_int_equal(query(rig, "query_range", "{env=\"prod\"} |= \"error\"", ""), 200);
    assert_string_equal(text_at(rig, "status"), "success");
    assert_string_equal(text_at(rig, "data.resultType"), "streams");
    assert_int_equal(json_array_size(at(rig, "data.result")), 2);
    assert_string_equal(text_at(rig, "data.result.0.stream.service_name"), "orders");
    assert_string_equal(text_at(rig, "data.result.0.stream.trace_id"), "bb22");
    assert_string_equal(text_at(rig, "data.result.0.values.0.1"), "level=error took=3s");
    snprintf(expected, sizeof(expected), "%" PRIu64 "000000000", rig->now_s + 2);
    assert_string_equal(text_at(rig, "data.result.0.values.0.0"), expected);
    assert_int_equal(json_integer_value(at(rig, "data.stats.summary.totalEntriesReturned")), 2);
    assert_int_equal(query(rig, "query_range", "{env=\"prod\"}", "&direction=forward&limit=1"),
                     200);
    assert_string_equal(text_at(rig, "data.result.0.values.0.1"), "level=info took=20ms");
    assert_int_equal(json_array_size(at(rig, "data.result")), 1);
}

static void sets_metadata_apart_when_asked(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(call(rig, "GET",
                          "/loki/api/v1/query_range?query=%7Benv%3D%22prod%22%7D%20%7C%20logfmt",
                          NULL, NULL, 0, "X-Loki-Response-Encoding-Flags", "categorize-labels"),
                     200);
    assert_string_equal(text_at(rig, "data.encodingFlags.0"), "categorize-labels");
    assert_int_equal(json_array_size(at(rig, "data.result")), 2);
    assert_int_equal(json_object_size(at(rig, "data.result.0.stream")), 2);
    assert_string_equal(text_at(rig, "data.result.0.values.0.2.structuredMetadata.trace_id"),
                        "bb22");
    assert_string_equal(text_at(rig, "data.result.0.values.0.2.parsed.level"), "error");
}

static void finds_the_logs_of_a_trace_in_one_query(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(query(rig, "query_range", "{service_name=~\".+\"} | trace_id=\"aa11\"", ""),
                     200);
    assert_int_equal(json_array_size(at(rig, "data.result")), 2);
}

static void computes_vectors_and_matrices(void **state)
{
    struct rig *rig = *state;
    char more[128];

    snprintf(more, sizeof(more), "&time=%" PRIu64, rig->now_s + 10);
    assert_int_equal(
        query(rig, "query", "sum by (level) (count_over_time({env=\"prod\"} | logfmt [1m]))", more),
        200);
    assert_string_equal(text_at(rig, "data.resultType"), "vector");
    assert_string_equal(text_at(rig, "data.result.0.metric.level"), "error");
    assert_int_equal(json_integer_value(at(rig, "data.result.0.value.0")), rig->now_s + 10);
    assert_string_equal(text_at(rig, "data.result.0.value.1"), "2");
    snprintf(more, sizeof(more), "&start=%" PRIu64 "&end=%" PRIu64 ".5&step=2s", rig->now_s,
             rig->now_s + 5);
    assert_int_equal(query(rig, "query_range", "sum(count_over_time({env=\"prod\"}[2s]))", more),
                     200);
    assert_string_equal(text_at(rig, "data.resultType"), "matrix");
    assert_int_equal(json_array_size(at(rig, "data.result.0.values")), 2);
    assert_string_equal(text_at(rig, "data.result.0.values.1.1"), "2");
    assert_int_equal(query(rig, "query", "2 * 3", ""), 200);
    assert_string_equal(text_at(rig, "data.resultType"), "scalar");
    assert_string_equal(text_at(rig, "data.result.1"), "6");
}

static void lists_labels_values_streams_and_amounts(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(get(rig, "/loki/api/v1/labels"), 200);
    expect_body(rig, "\"data\":[\"env\",\"service_name\"]");
    assert_int_equal(query(rig, "label/service_name/values", "{env=\"prod\"}", ""), 200);
    expect_body(rig, "\"data\":[\"catalog\",\"orders\"]");
    assert_int_equal(get(rig, "/loki/api/v1/label/service_name/values?start=1&end=2"), 200);
    expect_body(rig, "\"data\":[]");
    assert_int_equal(get(rig, "/loki/api/v1/series?match%5B%5D=%7Benv%3D%22prod%22%7D&match%5B%5D="
                              "%7Bservice_name%3D%22orders%22%7D"),
                     200);
    assert_int_equal(json_array_size(at(rig, "data")), 2);
    assert_int_equal(query(rig, "index/stats", "{env=\"prod\"}", ""), 200);
    assert_int_equal(json_integer_value(at(rig, "streams")), 2);
    assert_int_equal(json_integer_value(at(rig, "entries")), 3);
    assert_int_equal(json_integer_value(at(rig, "bytes")), 58);
    assert_int_equal(get(rig, "/loki/api/v1/status/buildinfo"), 200);
    assert_string_equal(text_at(rig, "version"), "3.0.0");
}

static void takes_parameters_from_a_form(void **state)
{
    static const char FORM[] = "query=%7Benv%3D%22prod%22%7D&limit=2";
    struct rig *rig = *state;

    assert_int_equal(call(rig, "POST", "/loki/api/v1/query_range",
                          "application/x-www-form-urlencoded", FORM, sizeof(FORM) - 1, NULL, NULL),
                     200);
    assert_int_equal(json_integer_value(at(rig, "data.stats.summary.totalEntriesReturned")), 2);
}

static void refuses_wrong_questions_with_text(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(query(rig, "query_range", "{env=\"prod\"} | wat", ""), 400);
    expect_body(rig, "parse error at line 1, col 19: syntax error: unexpected end of query");
    assert_int_equal(query(rig, "query", "{env=\"prod\"}", ""), 400);
    expect_body(rig, "log queries are not supported as an instant query type");
    assert_int_equal(query(rig, "query_range", "{env=\"prod\"}", "&limit=5001"), 400);
    expect_body(rig, "max entries limit per query exceeded");
    assert_int_equal(query(rig, "query_range", "{env=\"prod\"}", "&start=noon"), 400);
    assert_int_equal(query(rig, "query_range", "{env=\"prod\"}", "&start=20&end=10"), 400);
    assert_int_equal(query(rig, "query_range", "{env=\"prod\"}", "&direction=up"), 400);
    assert_int_equal(query(rig, "query_range", "rate({env=\"prod\"}[1m])", "&step=-1"), 400);
    assert_int_equal(query(rig, "query_range", "rate({env=\"prod\"}[1m])", "&step=0.0001"), 400);
    expect_body(rig, "11,000 points");
    assert_int_equal(get(rig, "/loki/api/v1/series"), 400);
    assert_int_equal(get(rig, "/loki/api/v1/label/0x/values"), 400);
}

static void keeps_tenants_apart(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(
        push_as(rig, one_line(rig, "{\"service_name\":\"other\"}", 3, "secret", ""), "b"), 204);
    assert_int_equal(query(rig, "query_range", "{service_name=~\".+\"} |= \"secret\"", ""), 200);
    assert_int_equal(json_array_size(at(rig, "data.result")), 0);
}

static void reads_times_as_loki_does(void **state)
{
    uint64_t t;

    assert_true(loki_read_time("1700000000", &t) && t == 1700000000ULL * OBS_NS_PER_SECOND);
    assert_true(loki_read_time("1700000000123456789", &t) && t == 1700000000123456789ULL);
    assert_true(loki_read_time("1700000000.5", &t) && t == 1700000000500000000ULL);
    assert_true(loki_read_time("2023-11-14T22:13:20.25Z", &t) && t == 1700000000250000000ULL);
    assert_true(loki_read_time("2023-11-15T00:13:20+02:00", &t) && t == 1700000000000000000ULL);
    assert_false(loki_read_time("2023-11-15", &t));
    assert_false(loki_read_time("-5", &t));
    assert_false(loki_read_time("NaN", &t));
    assert_false(loki_read_time("99999999999999999999", &t));
}

/* ---- pushing ---- */

static size_t put_varint(char *out, uint64_t value)
{
    size_t used = 0;

    for (; value >= 128; value >>= 7)
        out[used++] = (char)(value | 128);
    out[used++] = (char)value;
    return used;
}

static size_t put_field(char *out, unsigned number, const void *data, size_t size)
{
    size_t used = put_varint(out, number << 3 | 2);

    used += put_varint(out + used, size);
    memcpy(out + used, data, size);
    return used + size;
}

/* PushRequest with one line and a trace id; its size. */
static size_t make_request(char *out, const char *labels, uint64_t seconds, const char *line)
{
    char time[16], pair[64], entry[1024], stream[2048];
    size_t time_size, pair_size, entry_size, stream_size;

    time[0] = 8;
    time_size = 1 + put_varint(time + 1, seconds);
    pair_size = put_field(pair, 1, "trace_id", 8);
    pair_size += put_field(pair + pair_size, 2, "cc33", 4);
    entry_size = put_field(entry, 1, time, time_size);
    entry_size += put_field(entry + entry_size, 2, line, strlen(line));
    entry_size += put_field(entry + entry_size, 3, pair, pair_size);
    stream_size = put_field(stream, 1, labels, strlen(labels));
    stream_size += put_field(stream + stream_size, 2, entry, entry_size);
    return put_field(out, 1, stream, stream_size);
}

static int push_snappy(struct rig *rig, const char *data, size_t size)
{
    return call(rig, "POST", "/loki/api/v1/push", "application/x-protobuf", data, size, NULL, NULL);
}

static void takes_snappy_protobuf(void **state)
{
    struct rig *rig = *state;
    char plain[4096], packed[8192];
    size_t size = make_request(plain, "{service_name=\"proto\", env=\"prod\"}", rig->now_s + 4,
                               "from proto"),
           packed_size = sizeof(packed);

    assert_int_equal(snappy_compress(plain, size, packed, &packed_size), SNAPPY_OK);
    assert_int_equal(push_snappy(rig, packed, packed_size), 204);
    assert_int_equal(query(rig, "query_range", "{service_name=\"proto\"} | trace_id=\"cc33\"", ""),
                     200);
    assert_string_equal(text_at(rig, "data.result.0.values.0.1"), "from proto");
    assert_int_equal(call(rig, "POST", "/loki/api/v1/push", "application/x-protobuf", packed,
                          packed_size, "Content-Encoding", "snappy"),
                     204);
    /* every cut of it is refused, and so is every cut of what is inside */
    for (size_t cut = 1; cut < packed_size; cut += 7)
        assert_int_equal(push_snappy(rig, packed, cut), 400);
}

static void takes_gzip(void **state)
{
    struct rig *rig = *state;
    const char *text = one_line(rig, "{\"service_name\":\"zipped\"}", 5, "small", "");
    unsigned char out[4096];
    z_stream z = {.next_in = (Bytef *)text,
                  .avail_in = (uInt)strlen(text),
                  .next_out = out,
                  .avail_out = sizeof(out)};

    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    assert_int_equal(call(rig, "POST", "/loki/api/v1/push", "application/json", out, z.total_out,
                          "Content-Encoding", "gzip"),
                     204);
    deflateEnd(&z);
    assert_int_equal(query(rig, "query_range", "{service_name=\"zipped\"}", ""), 200);
    assert_string_equal(text_at(rig, "data.result.0.values.0.1"), "small");
}

static void stores_what_is_good_and_tells_what_is_not(void **state)
{
    struct rig *rig = *state;
    char text[1024];

    snprintf(
        text, sizeof(text),
        "{\"streams\":[{\"stream\":{\"service_name\":\"part\"},\"values\":[[\"1\",\"ancient\"],"
        "[\"%" PRIu64 "000000000\",\"good\"]]},{\"stream\":{},\"values\":[[\"1\",\"bare\"]]}]}",
        rig->now_s);
    assert_int_equal(push(rig, text), 400);
    expect_body(rig, "entry for stream '{service_name=\"part\"}' has timestamp too old");
    expect_body(rig, "2 of 3 lines were left out");
    assert_int_equal(query(rig, "query_range", "{service_name=\"part\"}", ""), 200);
    assert_string_equal(text_at(rig, "data.result.0.values.0.1"), "good");
    snprintf(text, sizeof(text),
             "{\"streams\":[{\"stream\":{\"a\":\"b\"},\"values\":[[\"%" PRIu64
             "000000000\",\"far\"]]}]}",
             rig->now_s + 100000);
    assert_int_equal(push(rig, text), 400);
    expect_body(rig, "timestamp too new");
}

static void refuses_bodies_that_are_no_push(void **state)
{
    static const char *const BAD[] = {
        "",
        "{",
        "[]",
        "{\"streams\":{}}",
        "{\"streams\":[{\"stream\":{\"a\":\"b\"}}]}",
        "{\"streams\":[{\"stream\":{\"a\":1},\"values\":[]}]}",
        "{\"streams\":[{\"stream\":{\"a\":\"b\"},\"values\":[[1,\"x\"]]}]}",
        "{\"streams\":[{\"stream\":{\"a\":\"b\"},\"values\":[[\"x\",\"x\"]]}]}",
        "{\"streams\":[{\"stream\":{\"a\":\"b\"},\"values\":[[\"1\"]]}]}",
        "{\"streams\":[{\"stream\":{\"a\":\"b\"},\"values\":[[\"1\",\"x\",{\"m\":{}}]]}]}",
        "{\"streams\":[{\"stream\":{\"a\":\"\xff\"},\"values\":[]}]}"};
    struct rig *rig = *state;
    char bomb[16];

    for (size_t i = 0; i < OBS_COUNT(BAD); i++)
        assert_int_equal(push(rig, BAD[i]), 400);
    assert_int_equal(call(rig, "POST", "/loki/api/v1/push", "text/plain", "x", 1, NULL, NULL), 415);
    assert_int_equal(push_snappy(rig, "hello", 5), 400);
    assert_int_equal(push_snappy(rig, bomb, put_varint(bomb, 4000000000U)), 413); /* claims 4 GB */
    assert_int_equal(push_snappy(rig, bomb, put_varint(bomb, 10 << 20)), 400);    /* claims 10 MB */
    assert_int_equal(call(rig, "POST", "/loki/api/v1/push", "application/json", "x", 1,
                          "Content-Encoding", "br"),
                     415);
}

static void refuses_label_explosions(void **state)
{
    struct rig *rig = *state;
    char *text = malloc(400000);
    size_t used = (size_t)sprintf(text, "{\"streams\":[{\"stream\":{");

    for (int i = 0; i < 10000; i++)
        used += (size_t)sprintf(text + used, "%s\"l%d\":\"v\"", i ? "," : "", i);
    sprintf(text + used, "},\"values\":[[\"%" PRIu64 "000000000\",\"x\"]]}]}", rig->now_s);
    assert_int_equal(push(rig, text), 400);
    expect_body(rig, "more than 15 label names");
    used = (size_t)sprintf(text,
                           "{\"streams\":[{\"stream\":{\"a\":\"b\"},\"values\":[[\"%" PRIu64
                           "000000000\",\"x\",{",
                           rig->now_s);
    for (int i = 0; i < 10000; i++)
        used += (size_t)sprintf(text + used, "%s\"l%d\":\"v\"", i ? "," : "", i);
    sprintf(text + used, "}]]}]}");
    assert_int_equal(push(rig, text), 400);
    expect_body(rig, "too many structured metadata labels: 10000, limit: 128");
    assert_int_equal(push(rig, one_line(rig, "{\"a-b\":\"c\"}", 1, "x", "")), 400);
    expect_body(rig, "a label's name is not");
    memset(text, 'x', 300000);
    used = (size_t)sprintf(
        text, "{\"streams\":[{\"stream\":{\"a\":\"b\"},\"values\":[[\"%" PRIu64 "000000000\",\"",
        rig->now_s);
    text[used] = 'x';
    strcpy(text + 300000, "\"]]}]}");
    assert_int_equal(push(rig, text), 400);
    expect_body(rig, "Max entry size '262144' bytes exceeded");
    free(text);
}

/* ---- tails ---- */

struct watcher {
    int fd;
    char text[8192];
    size_t size;
};

static void watch(struct rig *rig, struct watcher *w, const char *target)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval limit = {.tv_sec = 30};
    char request[512];
    int size = snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", target);

    w->size = 0;
    w->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", rig->socket);
    setsockopt(w->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    assert_int_equal(connect(w->fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(write(w->fd, request, (size_t)size), size);
}

static void read_until(struct watcher *w, const char *part)
{
    w->text[w->size] = '\0';
    while (!strstr(w->text, part)) {
        ssize_t got = read(w->fd, w->text + w->size, sizeof(w->text) - 1 - w->size);

        assert_true(got > 0);
        w->size += (size_t)got;
        w->text[w->size] = '\0';
    }
}

#define TAIL "/loki/api/v1/tail?query=%7Bservice_name%3D%22live%22%7D%7C%3D%22yes%22"

static void shows_lines_as_they_arrive(void **state)
{
    struct rig *rig = *state;
    struct watcher w;

    watch(rig, &w, TAIL);
    read_until(&w, "text/event-stream");
    read_until(&w, "lines follow");
    assert_int_equal(push(rig, one_line(rig, "{\"service_name\":\"live\"}", 6, "no", "")), 204);
    assert_int_equal(push(rig, one_line(rig, "{\"service_name\":\"other\"}", 6, "yes 1", "")), 204);
    assert_int_equal(
        push_as(rig, one_line(rig, "{\"service_name\":\"live\"}", 6, "yes 2", ""), "b"), 204);
    assert_int_equal(push(rig, one_line(rig, "{\"service_name\":\"live\"}", 6, "yes 3",
                                        ",{\"trace_id\":\"dd44\"}")),
                     204);
    read_until(&w, "yes 3\"]]}],\"dropped_entries\":[]}\n\n");
    assert_non_null(strstr(w.text, "data: {\"streams\":[{\"stream\":{\"service_name\":\"live\","
                                   "\"trace_id\":\"dd44\"},\"values\":[[\""));
    assert_null(strstr(w.text, "yes 1"));
    assert_null(strstr(w.text, "yes 2"));
    close(w.fd);
}

static void bounds_tails_of_a_tenant_and_forgets_those_that_leave(void **state)
{
    struct rig *rig = *state;
    struct watcher w[LOKI_TENANT_TAILS_MAX];
    uint64_t until = obs_mono_ns() + 20 * OBS_NS_PER_SECOND;

    while (loki_tails_count(rig->telemetry.tails) > 0 && obs_mono_ns() < until)
        sched_yield(); /* the one of the test before */
    for (size_t i = 0; i < OBS_COUNT(w); i++) {
        watch(rig, &w[i], TAIL);
        read_until(&w[i], "lines follow");
    }
    assert_int_equal(get(rig, TAIL), 429);
    for (size_t i = 0; i < OBS_COUNT(w); i++)
        close(w[i].fd);
    while (loki_tails_count(rig->telemetry.tails) > 0 && obs_mono_ns() < until)
        sched_yield();
    assert_int_equal(loki_tails_count(rig->telemetry.tails), 0);
    assert_int_equal(get(rig, "/loki/api/v1/tail?query=rate(%7Ba%3D%22b%22%7D%5B1m%5D)"), 400);
    assert_int_equal(get(rig, "/loki/api/v1/tail"), 400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_streams_newest_first),
        cmocka_unit_test(sets_metadata_apart_when_asked),
        cmocka_unit_test(finds_the_logs_of_a_trace_in_one_query),
        cmocka_unit_test(computes_vectors_and_matrices),
        cmocka_unit_test(lists_labels_values_streams_and_amounts),
        cmocka_unit_test(takes_parameters_from_a_form),
        cmocka_unit_test(refuses_wrong_questions_with_text),
        cmocka_unit_test(keeps_tenants_apart),
        cmocka_unit_test(reads_times_as_loki_does),
        cmocka_unit_test(takes_snappy_protobuf),
        cmocka_unit_test(takes_gzip),
        cmocka_unit_test(stores_what_is_good_and_tells_what_is_not),
        cmocka_unit_test(refuses_bodies_that_are_no_push),
        cmocka_unit_test(refuses_label_explosions),
        cmocka_unit_test(shows_lines_as_they_arrive),
        cmocka_unit_test(bounds_tails_of_a_tenant_and_forgets_those_that_leave),
    };

    return cmocka_run_group_tests_name("loki", tests, start, stop);
}
