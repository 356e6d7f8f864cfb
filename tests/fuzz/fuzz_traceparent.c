/* What obs_traceparent_parse() accepts, it can write and read back to the same. */
#include "otel/trace.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct obs_trace_context context, again;
    char text[OBS_TRACEPARENT_SIZE];

    if (obs_traceparent_parse((const char *)data, size, &context) != OBS_TRACE_OK)
        return 0;
    obs_traceparent_emit(&context, text);
    if (strlen(text) != OBS_TRACEPARENT_SIZE - 1 || !obs_trace_is_valid(&context) ||
        obs_traceparent_parse(text, strlen(text), &again) != OBS_TRACE_OK ||
        memcmp(&context, &again, sizeof(context)) != 0)
        abort();
    return 0;
}
