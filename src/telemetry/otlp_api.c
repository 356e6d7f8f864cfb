/*
 * POST /v1/traces and /v1/logs: OTLP/HTTP 1.x
 * (https://opentelemetry.io/docs/specs/otlp/#otlphttp).
 *
 * A request is kept whole or not at all, but for records that cannot be kept, which are counted in
 * its partial success. Errors are a google.rpc.Status in the request's encoding. What may be tried
 * again is 429 or 503 with Retry-After: the specification's clients give up on any other status.
 */
#include "telemetry/otlp_sink.h"
#include "telemetry/telemetry.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <strings.h>

enum { BODY_BYTES_MAX = 16 << 20, JSON_BYTES_MAX = 4 << 20, INFLIGHT_BYTES_MAX = 64 << 20 };
enum { STATUS_INVALID = 3, STATUS_EXHAUSTED = 8, STATUS_INTERNAL = 13, STATUS_UNAVAILABLE = 14 };

static const char PROTOBUF[] = "application/x-protobuf", JSON[] = "application/json";

struct otlp_request {
    struct obs_http_request *http;
    const struct telemetry *telemetry;
    const char *tenant;
    bool is_logs, is_json;
    struct obs_buffer decompressed;
    struct text_view body;
    struct otlp_sink sink;
    struct obs_reason why;
};

/* ---- figures ---- */

static void count(const struct otlp_request *r, const char *outcome, uint64_t records)
{
    static const struct obs_metric RECORDS = {"telemetry_records",
                                              OBS_COUNTER,
                                              "",
                                              "Spans and log records that came over OTLP, by what "
                                              "became of them: accepted, rejected (one "
                                              "by one, said in the partial success)",
                                              {"signal", "outcome", NULL},
                                              NULL,
                                              0};
    const char *const values[] = {r->is_logs ? "logs" : "traces", outcome};

    if (r->telemetry->own.metrics && records > 0)
        obs_counter_add(
            obs_metric_series(obs_metrics_family(r->telemetry->own.metrics, &RECORDS), values),
            (double)records);
}

static void count_request(const struct otlp_request *r, int status)
{
    static const struct obs_metric REQUESTS = {
        "telemetry_requests",
        OBS_COUNTER,
        "",
        "OTLP requests by outcome: kept, malformed, busy, full, refused",
        {"signal", "outcome", NULL},
        NULL,
        0};
    static const struct obs_metric BYTES = {
        "telemetry_received_bytes", OBS_COUNTER, "bytes", "Bytes of OTLP messages, decompressed",
        {"signal", NULL},           NULL,        0};
    const char *outcome = status == 200   ? "kept"
                          : status == 400 ? "malformed"
                          : status == 429 ? "busy"
                          : status == 503 ? "full"
                                          : "refused";
    const char *const values[] = {r->is_logs ? "logs" : "traces", outcome};

    if (!r->telemetry->own.metrics)
        return;
    obs_counter_add(
        obs_metric_series(obs_metrics_family(r->telemetry->own.metrics, &REQUESTS), values), 1);
    obs_counter_add(
        obs_metric_series(obs_metrics_family(r->telemetry->own.metrics, &BYTES), values),
        (double)r->body.size);
}

/* ---- replies ---- */

static void put_proto_text(struct bytes_out *out, uint8_t tag, const char *text)
{
    bytes_put_u8(out, tag);
    bytes_put_text(out, text_of(text));
}

static void reply_proto(struct otlp_request *r, int status, const struct bytes_out *message)
{
    obs_http_reply(r->http, status, PROTOBUF, message->size ? (const char *)message->data : "",
                   message->size);
}

static int code_of(int status)
{
    switch (status) {
    case 429:
        return STATUS_EXHAUSTED;
    case 500:
        return STATUS_INTERNAL;
    case 503:
        return STATUS_UNAVAILABLE;
    default:
        return STATUS_INVALID;
    }
}

static void reply_error(struct otlp_request *r, int status)
{
    struct bytes_out message = {0};

    if (status == 429 || status == 503)
        obs_http_reply_header(r->http, "Retry-After", status == 429 ? "1" : "30");
    if (r->is_json) {
        OBS_JSON json = json_pack("{s:i, s:s}", "code", code_of(status), "message", r->why.text);

        obs_http_reply_json(r->http, status, json);
    } else {
        bytes_put_u8(&message, 1 << 3);
        bytes_put_varint(&message, (uint64_t)code_of(status));
        put_proto_text(&message, 2 << 3 | 2, r->why.text);
        reply_proto(r, status, &message);
    }
    bytes_done(&message);
    count_request(r, status);
}

static void reply_partial_json(struct otlp_request *r)
{
    char rejected[24];
    OBS_JSON json = NULL;

    (void)snprintf(rejected, sizeof(rejected), "%llu", (unsigned long long)r->sink.rejected);
    json = json_pack("{s:{s:s, s:s}}", "partialSuccess",
                     r->is_logs ? "rejectedLogRecords" : "rejectedSpans", rejected, "errorMessage",
                     r->sink.why.text);
    obs_http_reply_json(r->http, 200, json);
}

static void reply_partial_proto(struct otlp_request *r)
{
    struct bytes_out partial = {0}, message = {0};

    bytes_put_u8(&partial, 1 << 3);
    bytes_put_varint(&partial, r->sink.rejected);
    put_proto_text(&partial, 2 << 3 | 2, r->sink.why.text);
    bytes_put_u8(&message, 1 << 3 | 2);
    bytes_put_text(&message, (struct text_view){(char *)partial.data, partial.size});
    reply_proto(r, 200, &message);
    bytes_done(&partial);
    bytes_done(&message);
}

static void reply_kept(struct otlp_request *r)
{
    count(r, "accepted", r->sink.accepted);
    count(r, "rejected", r->sink.rejected);
    count_request(r, 200);
    if (r->sink.rejected > 0 && r->is_json)
        reply_partial_json(r);
    else if (r->sink.rejected > 0)
        reply_partial_proto(r);
    else if (r->is_json)
        obs_http_reply(r->http, 200, JSON, "{}", 2);
    else
        obs_http_reply(r->http, 200, PROTOBUF, "", 0);
}

static int status_of(struct otlp_request *r, int outcome)
{
    switch (outcome) {
    case STORE_OK:
        return 200;
    case STORE_BUSY:
        return 429;
    case STORE_FULL:
        return 503;
    case STORE_REFUSED:
        return 400;
    default:
        obs_reason_set(&r->why, "the store failed: %s", strerror(-outcome));
        return outcome == -ENOMEM ? 503 : 500;
    }
}

/* ---- request ---- */

static int read_type(struct otlp_request *r)
{
    const char *type = obs_http_header(r->http, "content-type");
    size_t size = type ? strcspn(type, "; \t") : 0;

    r->is_json = size == strlen(JSON) && strncasecmp(type, JSON, size) == 0;
    if (r->is_json || (size == strlen(PROTOBUF) && strncasecmp(type, PROTOBUF, size) == 0))
        return 200;
    obs_reason_set(&r->why, "Content-Type \"%.60s\": expected %s or %s", type ? type : "", PROTOBUF,
                   JSON);
    return 415;
}

static int read_body(struct otlp_request *r)
{
    size_t limit = r->is_json ? JSON_BYTES_MAX : BODY_BYTES_MAX, size;
    const char *encoding = obs_http_header(r->http, "content-encoding");
    const char *data = obs_http_body(r->http, &size);
    int status;

    if (!encoding && size <= limit) { /* as it stands: no copy */
        r->body = (struct text_view){data, size};
        return 200;
    }
    status = telemetry_body(r->http, limit, &r->decompressed, &r->why);
    if (status != 0)
        return status;
    r->body =
        (struct text_view){r->decompressed.size ? r->decompressed.data : "", r->decompressed.size};
    return 200;
}

static int keep(struct otlp_request *r)
{
    OBS_CLEANUP(store_batch_freep) struct store_batch *batch = NULL;
    int e = r->is_logs ? store_batch_lines(r->telemetry->store, r->tenant, &batch, &r->why)
                       : store_batch_spans(r->telemetry->store, r->tenant, &batch, &r->why);

    if (e == 0)
        e = otlp_sink_init(&r->sink, batch, r->is_logs);
    if (e != 0)
        return status_of(r, e);
    e = r->is_json ? otlp_json_decode(&r->sink, r->body, &r->why)
                   : otlp_proto_decode(&r->sink, r->body, &r->why);
    if (e == OTLP_MALFORMED)
        return 400;
    return status_of(r, e < 0 ? e : store_batch_commit(batch, &r->why));
}

static void handle(struct otlp_request *r)
{
    static atomic_size_t inflight_bytes;
    size_t before;
    int status = read_type(r);

    if (status == 200)
        status = read_body(r);
    if (status == 200) {
        before = atomic_fetch_add(&inflight_bytes, r->body.size);
        if (before > 0 && before + r->body.size > INFLIGHT_BYTES_MAX) {
            obs_reason_set(&r->why, "too many bytes of requests are being read: try again");
            status = 429;
        } else {
            status = keep(r);
        }
        atomic_fetch_sub(&inflight_bytes, r->body.size);
    }
    if (status == 200)
        reply_kept(r);
    else
        reply_error(r, status);
    otlp_sink_done(&r->sink);
    obs_buffer_done(&r->decompressed);
}

static void post(struct obs_http_request *http, void *userdata, bool is_logs)
{
    struct otlp_request request = {.http = http, .telemetry = userdata, .is_logs = is_logs};

    request.tenant = telemetry_tenant(http, userdata);
    if (request.tenant)
        handle(&request);
}

static void post_traces(struct obs_http_request *request, void *userdata)
{
    post(request, userdata, false);
}

static void post_logs(struct obs_http_request *request, void *userdata)
{
    post(request, userdata, true);
}

static const struct obs_http_route ROUTES[] = {
    {"POST", "/v1/traces", post_traces, OBS_HTTP_ON_WORKER},
    {"POST", "/v1/logs", post_logs, OBS_HTTP_ON_WORKER},
};

const struct telemetry_routes OTLP_ROUTES = {ROUTES, OBS_COUNT(ROUTES)};
