/* W3C Trace Context level 1, section 3.2: the traceparent header. */
#include "base/text.h"
#include "otel/trace.h"
#include <string.h>

#define VERSION_00_SIZE 55 /* without the NUL */

static bool is_all_zero(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

bool obs_trace_is_valid(const struct obs_trace_context *context)
{
    return !is_all_zero(context->trace_id, sizeof(context->trace_id)) &&
           !is_all_zero(context->span_id, sizeof(context->span_id));
}

/* A later version may add fields behind a dash; version 00 is exactly its four fields, ff is
 * invalid. */
static bool is_known_form(uint8_t version, const char *text, size_t size)
{
    if (version == 0xff)
        return false;
    if (version == 0)
        return size == VERSION_00_SIZE;
    return size == VERSION_00_SIZE || text[VERSION_00_SIZE] == '-';
}

int obs_traceparent_parse(const char *text, size_t size, struct obs_trace_context *ret_context)
{
    struct obs_trace_context context;
    uint8_t version;

    if (size < VERSION_00_SIZE || text[2] != '-' || text[35] != '-' || text[52] != '-')
        return OBS_TRACE_BAD;
    if (obs_text_unhex(text, 2, &version, 1) != 0 ||
        obs_text_unhex(text + 3, 32, context.trace_id, 16) != 0 ||
        obs_text_unhex(text + 36, 16, context.span_id, 8) != 0 ||
        obs_text_unhex(text + 53, 2, &context.flags, 1) != 0)
        return OBS_TRACE_BAD;
    if (!is_known_form(version, text, size) || !obs_trace_is_valid(&context))
        return OBS_TRACE_BAD;
    context.flags &= 1; /* the only flag that level 1 defines */
    *ret_context = context;
    return OBS_TRACE_OK;
}

void obs_traceparent_emit(const struct obs_trace_context *context, char out[OBS_TRACEPARENT_SIZE])
{
    memcpy(out, "00-", 3);
    obs_text_hex(context->trace_id, 16, out + 3);
    out[35] = '-';
    obs_text_hex(context->span_id, 8, out + 36);
    out[52] = '-';
    obs_text_hex(&context->flags, 1, out + 53);
}
