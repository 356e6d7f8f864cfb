/* POST /loki/api/v1/push: 204 when every line is durable. */
#include "base/clock.h"
#include "telemetry/loki_api.h"
#include "telemetry/loki_batch.h"
#include "telemetry/loki_reply.h"
#include "telemetry/telemetry.h"
#include <errno.h>
#include <string.h>
#include <strings.h>

static bool is_type(struct obs_http_request *request, const char *type)
{
    const char *header = obs_http_header(request, "content-type");
    size_t size = strlen(type);

    return header && strncasecmp(header, type, size) == 0 &&
           (header[size] == '\0' || header[size] == ';' || header[size] == ' ');
}

/* Some clients name snappy as the encoding although it is part of the type. */
static int take_body(struct obs_http_request *request, struct obs_buffer *ret_body,
                     struct obs_reason *why)
{
    const char *encoding = obs_http_header(request, "content-encoding");
    size_t size;
    const char *data = obs_http_body(request, &size);

    if (!encoding || strcasecmp(encoding, "snappy") != 0)
        return telemetry_body(request, LOKI_BODY_MAX, ret_body, why);
    *ret_body = OBS_BUFFER_INIT(size + 1);
    return obs_buffer_append(ret_body, data, size) < 0 ? 500 : 0;
}

static void answer_stored(struct obs_http_request *request, const struct loki_batch *batch)
{
    const struct obs_reason *first;
    size_t rejected = loki_batch_rejected(batch, &first), stored;
    struct obs_reason why = {0};

    loki_batch_lines(batch, &stored);
    if (rejected == 0) {
        obs_http_reply(request, 204, NULL, NULL, 0);
        return;
    }
    obs_reason_set(&why, "%s (%zu of %zu lines were left out, the others are stored)", first->text,
                   rejected, rejected + stored);
    loki_reply_refusal(request, 400, &why);
}

static void answer_store(struct obs_http_request *request, const struct loki_batch *batch,
                         int outcome, struct obs_reason *why)
{
    switch (outcome) {
    case STORE_OK:
        answer_stored(request, batch);
        return;
    case STORE_BUSY:
        obs_http_reply_header(request, "Retry-After", "1");
        obs_reason_set(why, "ingestion is behind: try again");
        loki_reply_refusal(request, 429, why);
        return;
    case STORE_FULL:
        if (why->text[0] == '\0')
            obs_reason_set(why, "the store is full");
        loki_reply_refusal(request, 507, why);
        return;
    case STORE_REFUSED:
        loki_reply_refusal(request, 400, why);
        return;
    default:
        loki_reply_refusal(request, 500, why);
        return;
    }
}

static void store(struct obs_http_request *request, const struct telemetry *telemetry,
                  const char *tenant, const struct loki_batch *batch)
{
    struct obs_reason why = {0};
    size_t count;
    const struct line_view *lines = loki_batch_lines(batch, &count);
    int outcome = STORE_OK;

    if (count > 0)
        outcome = store_append_lines(telemetry->store, tenant, lines, count, &why);
    answer_store(request, batch, outcome, &why);
}

void loki_push(struct obs_http_request *request, void *userdata)
{
    const struct telemetry *telemetry = userdata;
    const char *tenant = telemetry_tenant(request, telemetry);
    OBS_CLEANUP(loki_batch_freep) struct loki_batch *batch = NULL;
    struct obs_buffer body = {0};
    struct obs_reason why = {0};
    int r;

    if (!tenant)
        return;
    r = take_body(request, &body, &why);
    if (r == 0 && body.size == 0) {
        obs_reason_set(&why, "the body is empty");
        r = 400;
    } else if (r == 0 && is_type(request, "application/json")) {
        r = loki_batch_from_json(body.data, body.size, obs_time_ns(), &batch, &why);
    } else if (r == 0 && (!obs_http_header(request, "content-type") ||
                          is_type(request, "application/x-protobuf"))) {
        r = loki_batch_from_snappy(body.data, body.size, obs_time_ns(), &batch, &why);
    } else if (r == 0) {
        obs_reason_set(&why, "Content-Type is application/json or application/x-protobuf");
        r = 415;
    }
    if (r == -ENOMEM)
        obs_reason_set(&why, "the request needs more memory than one may have: send less at once");
    if (r != 0)
        loki_reply_refusal(request, r == -ENOMEM ? 413 : r < 0 ? 500 : r, &why);
    else
        store(request, telemetry, tenant, batch);
    obs_buffer_done(&body);
}
