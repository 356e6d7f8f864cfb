/* GET /api/traces/{id} and /api/v2/traces/{id}. */
#include "telemetry/tempo.h"

#include "base/text.h"
#include <string.h>

/* Tempo takes ids without their leading zeros. */
static bool read_trace_id(struct obs_http_request *request, uint8_t ret_id[16])
{
    const char *text = obs_http_param(request, "id");
    size_t size = text ? strlen(text) : 0;
    char digits[33];

    memset(digits, '0', 32);
    if (size >= 1 && size <= 32) {
        for (size_t i = 0; i < size; i++)
            digits[32 - size + i] =
                text[i] >= 'A' && text[i] <= 'F' ? (char)(text[i] - 'A' + 'a') : text[i];
        if (obs_text_unhex(digits, 32, ret_id, 16) == OBS_TEXT_OK)
            return true;
    }
    obs_http_reply_problemf(request, 400, "\"%.40s\" is no trace id: expected up to 32 hex digits",
                            text ? text : "");
    return false;
}

static void reply_trace(struct obs_http_request *request, const struct telemetry *telemetry,
                        struct tempo_spans *spans, enum tempo_version version)
{
    struct obs_buffer body = OBS_BUFFER_INIT(TEMPO_REPLY_BYTES_MAX);
    const char *accept = obs_http_header(request, "accept");

    tempo_spans_sort(spans);
    if (!accept || !strstr(accept, "application/protobuf")) {
        tempo_trace_json(spans, version, &body);
        tempo_reply_json(request, telemetry, &body);
        return;
    }
    tempo_trace_protobuf(spans, version, &body);
    if (body.error != 0)
        tempo_reply_failed(request, telemetry, body.error, NULL);
    else
        obs_http_reply_buffer(request, 200, "application/protobuf", &body);
    obs_buffer_done(&body);
}

static void handle(struct obs_http_request *request, const struct telemetry *telemetry,
                   enum tempo_version version)
{
    const char *tenant = telemetry_tenant(request, telemetry);
    const char *q = obs_http_query(request, "q");
    OBS_CLEANUP(obs_arena_freep) struct obs_arena *arena = NULL;
    OBS_CLEANUP(tempo_spans_done) struct tempo_spans spans = {0};
    struct obs_reason why = {0};
    struct tempo_range range;
    uint8_t trace_id[16];
    int r;

    if (!tenant || !read_trace_id(request, trace_id) || !tempo_read_range(request, &range))
        return;
    if (q && q[0] != '\0') {
        obs_http_reply_problemf(request, 400,
                                "q is not supported here: the whole trace is always given");
        return;
    }
    r = obs_arena_new(TEMPO_TRACE_BYTES_MAX, &spans.arena);
    arena = spans.arena;
    if (r == 0)
        r = tempo_spans_find(telemetry->store, tenant, trace_id, &spans);
    if (r == TEMPO_TOO_MUCH)
        obs_reason_set(&why, "the trace has more than %d spans", TRACEQL_SPANS_MAX);
    if (r != 0)
        tempo_reply_failed(request, telemetry, r, &why);
    else if (spans.count == 0 && version == TEMPO_V1) /* version 2 answers with an empty trace */
        obs_http_reply_problemf(request, 404, "trace not found");
    else
        reply_trace(request, telemetry, &spans, version);
}

void tempo_handle_trace(struct obs_http_request *request, void *userdata)
{
    handle(request, userdata, TEMPO_V1);
}

void tempo_handle_trace_v2(struct obs_http_request *request, void *userdata)
{
    handle(request, userdata, TEMPO_V2);
}
