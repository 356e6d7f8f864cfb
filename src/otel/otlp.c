#include "otel/otlp.h"

#include "base/text.h"
#include <errno.h>
#include <string.h>

/* Field numbers: api/proto/otlp_trace.proto. */
enum {
    REQUEST_RESOURCE_SPANS = 1,
    RESOURCE_SPANS_RESOURCE = 1,
    RESOURCE_SPANS_SCOPE_SPANS = 2,
    RESOURCE_ATTRIBUTES = 1,
    SCOPE_SPANS_SCOPE = 1,
    SCOPE_SPANS_SPANS = 2,
    SCOPE_NAME = 1,
    SPAN_TRACE_ID = 1,
    SPAN_SPAN_ID = 2,
    SPAN_PARENT_SPAN_ID = 4,
    SPAN_NAME = 5,
    SPAN_KIND = 6,
    SPAN_START = 7,
    SPAN_END = 8,
    SPAN_ATTRIBUTES = 9,
    SPAN_DROPPED_ATTRIBUTES = 10,
    SPAN_STATUS = 15,
    SPAN_FLAGS = 16,
    STATUS_MESSAGE = 2,
    STATUS_CODE = 3,
    KEY_VALUE_KEY = 1,
    KEY_VALUE_VALUE = 2,
    ANY_TEXT = 1,
    ANY_BOOL = 2,
    ANY_INT = 3,
    ANY_DOUBLE = 4,
    RESPONSE_PARTIAL_SUCCESS = 1,
    PARTIAL_REJECTED = 1,
};

#define STATUS_ERROR 2
#define SPAN_TAIL_SIZE 12 /* dropped attributes and flags: always fit behind the rest */
#define SCOPE "observastack"
#define RESOURCE_MAX 8192

/* One encoded KeyValue fits: a name of the table and a span's whole text. */
#define KEY_VALUE_MAX 512

static void put_any(struct obs_pb *pb, const struct obs_span *span,
                    const struct obs_span_attribute *attribute)
{
    switch (attribute->type) {
    case OBS_ATTRIBUTE_TEXT:
        obs_pb_text(pb, ANY_TEXT, span->text + attribute->value.text);
        break;
    case OBS_ATTRIBUTE_INT:
        obs_pb_uint(pb, ANY_INT, (uint64_t)attribute->value.integer);
        break;
    case OBS_ATTRIBUTE_DOUBLE:
        obs_pb_double(pb, ANY_DOUBLE, attribute->value.number);
        break;
    case OBS_ATTRIBUTE_BOOL:
        obs_pb_uint(pb, ANY_BOOL, attribute->value.boolean);
        break;
    }
}

static void put_attribute(struct obs_pb *pb, const struct obs_span *span,
                          const struct obs_span_attribute *attribute)
{
    uint8_t value_bytes[KEY_VALUE_MAX];
    struct obs_pb value = {.data = value_bytes, .capacity = sizeof(value_bytes)};
    size_t name_size = strlen(attribute->name);
    size_t size;

    put_any(&value, span, attribute);
    size = obs_pb_field_size(KEY_VALUE_KEY, name_size) +
           obs_pb_field_size(KEY_VALUE_VALUE, value.size);
    if (value.is_full || obs_pb_field_size(SPAN_ATTRIBUTES, size) > pb->capacity - pb->size) {
        pb->is_full = true;
        return;
    }
    obs_pb_open(pb, SPAN_ATTRIBUTES, size);
    obs_pb_bytes(pb, KEY_VALUE_KEY, attribute->name, name_size);
    obs_pb_bytes(pb, KEY_VALUE_VALUE, value.data, value.size);
}

static void put_status(struct obs_pb *pb, const struct obs_span *span)
{
    const char *message = span->text + span->message;
    size_t message_size = strlen(message);
    size_t size = obs_pb_field_size(STATUS_MESSAGE, message_size) + 2;

    obs_pb_open(pb, SPAN_STATUS, size);
    obs_pb_bytes(pb, STATUS_MESSAGE, message, message_size);
    obs_pb_uint(pb, STATUS_CODE, STATUS_ERROR);
}

static bool has_parent(const struct obs_span *span)
{
    static const uint8_t none[8];

    return memcmp(span->parent_span_id, none, sizeof(none)) != 0;
}

size_t obs_otlp_encode_span(const struct obs_span *span, uint8_t out[OBS_OTLP_SPAN_MAX])
{
    struct obs_pb pb = {.data = out, .capacity = OBS_OTLP_SPAN_MAX - SPAN_TAIL_SIZE};
    unsigned dropped = 0;

    obs_pb_bytes(&pb, SPAN_TRACE_ID, span->context.trace_id, sizeof(span->context.trace_id));
    obs_pb_bytes(&pb, SPAN_SPAN_ID, span->context.span_id, sizeof(span->context.span_id));
    if (has_parent(span))
        obs_pb_bytes(&pb, SPAN_PARENT_SPAN_ID, span->parent_span_id, sizeof(span->parent_span_id));
    obs_pb_text(&pb, SPAN_NAME, span->text + span->name);
    obs_pb_uint(&pb, SPAN_KIND, (uint64_t)span->kind);
    obs_pb_fixed64(&pb, SPAN_START, span->start_ns);
    obs_pb_fixed64(&pb, SPAN_END, span->end_ns);
    if (span->is_error)
        put_status(&pb, span);
    for (size_t i = 0; i < span->attribute_count; i++) {
        pb.is_full = false;
        put_attribute(&pb, span, &span->attributes[i]);
        dropped += pb.is_full;
    }
    pb.capacity = OBS_OTLP_SPAN_MAX;
    if (dropped > 0)
        obs_pb_uint(&pb, SPAN_DROPPED_ATTRIBUTES, dropped);
    obs_pb_fixed32(&pb, SPAN_FLAGS, span->context.flags);
    return pb.size;
}

/* ---- resource ---- */

static void put_text_attribute(struct obs_pb *pb, unsigned field, const char *key, size_t key_size,
                               const char *value, size_t value_size)
{
    size_t any = obs_pb_field_size(ANY_TEXT, value_size);

    obs_pb_open(pb, field,
                obs_pb_field_size(KEY_VALUE_KEY, key_size) +
                    obs_pb_field_size(KEY_VALUE_VALUE, any));
    obs_pb_bytes(pb, KEY_VALUE_KEY, key, key_size);
    obs_pb_open(pb, KEY_VALUE_VALUE, any);
    obs_pb_bytes(pb, ANY_TEXT, value, value_size);
}

static bool is_key(const char *key, size_t size, const char *name)
{
    return size == strlen(name) && memcmp(key, name, size) == 0;
}

static int put_pair(struct obs_pb *pb, const char *pair, size_t size)
{
    const char *equals = memchr(pair, '=', size);
    char value[1024];
    size_t key_size, value_size;

    if (size == 0)
        return 0;
    if (!equals || equals == pair)
        return -EINVAL;
    key_size = (size_t)(equals - pair);
    if (obs_text_percent_decode(equals + 1, size - key_size - 1, false, value, sizeof(value),
                                &value_size) != 0 ||
        !obs_text_is_utf8(value, value_size) || !obs_text_is_utf8(pair, key_size))
        return -EINVAL;
    /* The program knows its own name and version better than its environment. */
    if (!is_key(pair, key_size, "service.name") && !is_key(pair, key_size, "service.version"))
        put_text_attribute(pb, RESOURCE_ATTRIBUTES, pair, key_size, value, value_size);
    return 0;
}

static int put_pairs(struct obs_pb *pb, const char *pairs)
{
    while (*pairs) {
        size_t size = strcspn(pairs, ",");
        int r = put_pair(pb, pairs, size);

        if (r < 0)
            return r;
        pairs += size + (pairs[size] == ',');
    }
    return 0;
}

int obs_otlp_resource(const char *service, const char *extra, struct obs_buffer *ret_resource)
{
    static const char sdk[] = "telemetry.sdk.name", name[] = "service.name";
    uint8_t bytes[RESOURCE_MAX];
    struct obs_pb pb = {.data = bytes, .capacity = sizeof(bytes)};
    int r;

    put_text_attribute(&pb, RESOURCE_ATTRIBUTES, name, sizeof(name) - 1, service, strlen(service));
    put_text_attribute(&pb, RESOURCE_ATTRIBUTES, sdk, sizeof(sdk) - 1, SCOPE, strlen(SCOPE));
    r = put_pairs(&pb, extra ? extra : "");
    if (r < 0)
        return r;
    if (pb.is_full)
        return -EINVAL;
    return obs_buffer_append(ret_resource, bytes, pb.size);
}

/* ---- request ---- */

size_t obs_otlp_span_size(size_t encoded_size)
{
    return obs_pb_field_size(SCOPE_SPANS_SPANS, encoded_size);
}

int obs_otlp_append_span(struct obs_buffer *b, const void *encoded, size_t encoded_size)
{
    uint8_t head[16];
    struct obs_pb pb = {.data = head, .capacity = sizeof(head) + encoded_size};

    obs_pb_open(&pb, SCOPE_SPANS_SPANS, encoded_size);
    obs_buffer_append(b, head, pb.size);
    return obs_buffer_append(b, encoded, encoded_size);
}

static void put_version(struct obs_pb *pb, const char *version)
{
    static const char key[] = "service.version";

    put_text_attribute(pb, RESOURCE_ATTRIBUTES, key, sizeof(key) - 1, version, strlen(version));
}

int obs_otlp_begin(struct obs_buffer *b, const struct obs_buffer *resource, const char *version,
                   size_t spans_size)
{
    uint8_t version_bytes[256], bytes[128];
    struct obs_pb version_pb = {.data = version_bytes, .capacity = sizeof(version_bytes)};
    struct obs_pb pb = {.data = bytes,
                        .capacity = SIZE_MAX / 2}; /* heads only: see obs_pb_open() */
    size_t scope = obs_pb_field_size(SCOPE_NAME, strlen(SCOPE));
    size_t scope_spans = obs_pb_field_size(SCOPE_SPANS_SCOPE, scope) + spans_size;
    size_t resource_size, head_size;

    put_version(&version_pb, version);
    resource_size = resource->size + version_pb.size;
    obs_pb_open(&pb, REQUEST_RESOURCE_SPANS,
                obs_pb_field_size(RESOURCE_SPANS_RESOURCE, resource_size) +
                    obs_pb_field_size(RESOURCE_SPANS_SCOPE_SPANS, scope_spans));
    obs_pb_open(&pb, RESOURCE_SPANS_RESOURCE, resource_size);
    obs_buffer_append(b, bytes, pb.size);
    obs_buffer_append(b, resource->data, resource->size);
    obs_buffer_append(b, version_bytes, version_pb.size);
    head_size = pb.size;
    obs_pb_open(&pb, RESOURCE_SPANS_SCOPE_SPANS, scope_spans);
    obs_pb_open(&pb, SCOPE_SPANS_SCOPE, scope);
    obs_pb_text(&pb, SCOPE_NAME, SCOPE);
    return obs_buffer_append(b, bytes + head_size, pb.size - head_size);
}

uint64_t obs_otlp_rejected(const void *data, size_t size)
{
    struct obs_pb_reader response = {data, size};
    struct obs_pb_field field;
    uint64_t rejected = 0;

    while (obs_pb_next(&response, &field)) {
        struct obs_pb_reader partial = field.bytes;

        if (field.number != RESPONSE_PARTIAL_SUCCESS || field.wire != OBS_PB_BYTES)
            continue;
        while (obs_pb_next(&partial, &field))
            if (field.number == PARTIAL_REJECTED && field.wire == OBS_PB_VARINT)
                rejected = field.value;
    }
    return rejected;
}
