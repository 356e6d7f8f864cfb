/*
 * logproto.PushRequest, the few fields of it, read by hand:
 *   PushRequest { streams = 1 }   Stream { labels = 1 (text), entries = 2 }
 *   Entry { timestamp = 1, line = 2, structuredMetadata = 3 }   Timestamp { seconds = 1, nanos = 2
 * } LabelPair { name = 1, value = 2 } Unknown fields are skipped; groups (wire types 3 and 4) are
 * refused.
 */
#include "base/clock.h"
#include "telemetry/logql.h"
#include "telemetry/loki_batch_internal.h"
#include <errno.h>
#include <snappy-c.h>
#include <string.h>

enum wire { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

struct reader {
    const uint8_t *at, *end;
};

struct field {
    uint64_t number, varint;
    enum wire wire;
    struct text_view bytes;
};

enum { FIELD_END, FIELD_OK, FIELD_BAD };

static struct reader reader_of(struct text_view bytes)
{
    return (struct reader){(const uint8_t *)bytes.text, (const uint8_t *)bytes.text + bytes.size};
}

static bool read_varint(struct reader *r, uint64_t *ret_value)
{
    *ret_value = 0;
    for (unsigned shift = 0; shift < 64 && r->at < r->end; shift += 7) {
        uint8_t byte = *r->at++;

        *ret_value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return true;
    }
    return false;
}

static bool skip(struct reader *r, uint64_t size, struct text_view *ret_bytes)
{
    if (size > (uint64_t)(r->end - r->at))
        return false;
    *ret_bytes = (struct text_view){(const char *)r->at, (size_t)size};
    r->at += size;
    return true;
}

static int next_field(struct reader *r, struct field *f)
{
    uint64_t tag;
    bool is_good;

    if (r->at == r->end)
        return FIELD_END;
    if (!read_varint(r, &tag))
        return FIELD_BAD;
    f->number = tag >> 3;
    f->wire = tag & 7;
    f->bytes = (struct text_view){"", 0};
    switch (f->wire) {
    case WIRE_VARINT:
        is_good = read_varint(r, &f->varint);
        break;
    case WIRE_64:
        is_good = skip(r, 8, &f->bytes);
        break;
    case WIRE_32:
        is_good = skip(r, 4, &f->bytes);
        break;
    case WIRE_BYTES:
        is_good = read_varint(r, &f->varint) && skip(r, f->varint, &f->bytes);
        break;
    default:
        is_good = false;
        break;
    }
    return is_good && f->number > 0 ? FIELD_OK : FIELD_BAD;
}

static int refuse(struct obs_reason *reterr_reason, const char *what)
{
    obs_reason_set(reterr_reason, "logproto.PushRequest: %s", what);
    return 400;
}

static bool is_bytes(const struct field *f, uint64_t number)
{
    return f->number == number && f->wire == WIRE_BYTES;
}

static bool read_time(struct text_view bytes, uint64_t *ret_ns)
{
    struct reader r = reader_of(bytes);
    uint64_t seconds = 0, nanos = 0;
    struct field f;
    int step;

    while ((step = next_field(&r, &f)) == FIELD_OK) {
        if (f.number == 1 && f.wire == WIRE_VARINT)
            seconds = f.varint;
        else if (f.number == 2 && f.wire == WIRE_VARINT)
            nanos = f.varint;
    }
    if (step == FIELD_BAD || seconds > INT64_MAX / OBS_NS_PER_SECOND - 1 ||
        nanos >= OBS_NS_PER_SECOND)
        return false;
    *ret_ns = seconds * OBS_NS_PER_SECOND + nanos;
    return true;
}

static bool read_pair(struct text_view bytes, struct label *ret_label)
{
    struct reader r = reader_of(bytes);
    struct field f;
    int step;

    *ret_label = (struct label){{"", 0}, {"", 0}};
    while ((step = next_field(&r, &f)) == FIELD_OK) {
        if (is_bytes(&f, 1))
            ret_label->name = f.bytes;
        else if (is_bytes(&f, 2))
            ret_label->value = f.bytes;
    }
    return step == FIELD_END;
}

static size_t count_fields(struct text_view bytes, uint64_t number)
{
    struct reader r = reader_of(bytes);
    struct field f;
    size_t count = 0;

    while (next_field(&r, &f) == FIELD_OK)
        count += is_bytes(&f, number);
    return count;
}

static int read_entry(struct loki_batch *batch, const struct loki_stream *stream,
                      struct text_view bytes, struct obs_reason *reterr_reason)
{
    struct reader r = reader_of(bytes);
    size_t pairs = count_fields(bytes, 3), count = 0;
    struct label *metadata = obs_arena_alloc(batch->arena, (pairs + 1) * sizeof(*metadata));
    struct text_view line = {"", 0};
    uint64_t time_ns = 0;
    struct field f;
    int step;

    if (!metadata)
        return -ENOMEM;
    while ((step = next_field(&r, &f)) == FIELD_OK) {
        if (is_bytes(&f, 1) && !read_time(f.bytes, &time_ns))
            return refuse(reterr_reason, "a timestamp is damaged");
        if (is_bytes(&f, 2))
            line = f.bytes;
        if (is_bytes(&f, 3) && (count == pairs || !read_pair(f.bytes, &metadata[count++])))
            return refuse(reterr_reason, "structured metadata is damaged");
    }
    if (step == FIELD_BAD)
        return refuse(reterr_reason, "an entry is damaged");
    return loki_batch_line(batch, stream, time_ns, line, metadata, count);
}

static int read_labels(struct loki_batch *batch, struct text_view text,
                       struct loki_stream *ret_stream, struct obs_reason *reterr_reason)
{
    struct label *labels = NULL;
    size_t count = 0;
    int r = logql_parse_labels(text, batch->arena, &labels, &count, reterr_reason);

    if (r != LOGQL_OK)
        return r < 0 ? r : 400;
    loki_batch_stream(batch, labels, count, ret_stream);
    return 0;
}

static int read_stream(struct loki_batch *batch, struct text_view bytes,
                       struct obs_reason *reterr_reason)
{
    struct reader r = reader_of(bytes);
    struct text_view labels = {"", 0};
    struct loki_stream stream;
    struct field f;
    int step, result;

    while ((step = next_field(&r, &f)) == FIELD_OK)
        if (is_bytes(&f, 1))
            labels = f.bytes;
    if (step == FIELD_BAD)
        return refuse(reterr_reason, "a stream is damaged");
    result = read_labels(batch, labels, &stream, reterr_reason);
    r = reader_of(bytes);
    while (result == 0 && next_field(&r, &f) == FIELD_OK) {
        if (batch->count + batch->rejected > LOKI_ENTRIES_MAX) {
            obs_reason_set(reterr_reason, "more than %d lines in a request", LOKI_ENTRIES_MAX);
            return 413;
        }
        if (is_bytes(&f, 2))
            result = read_entry(batch, &stream, f.bytes, reterr_reason);
    }
    return result;
}

static int read_request(struct loki_batch *batch, struct text_view bytes,
                        struct obs_reason *reterr_reason)
{
    struct reader r = reader_of(bytes);
    struct field f;
    int step, result = 0;

    while (result == 0 && (step = next_field(&r, &f)) != FIELD_END) {
        if (step == FIELD_BAD)
            return refuse(reterr_reason, "the message is damaged");
        if (is_bytes(&f, 1))
            result = read_stream(batch, f.bytes, reterr_reason);
    }
    return result;
}

int loki_batch_from_protobuf(const char *data, size_t size, uint64_t now_ns,
                             struct loki_batch **ret_batch, struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(loki_batch_freep) struct loki_batch *batch = NULL;
    int r = loki_batch_new(now_ns, &batch);

    if (r == 0)
        r = read_request(batch, (struct text_view){data, size}, reterr_reason);
    if (r == 0)
        *ret_batch = OBS_TAKE(batch);
    return r;
}

int loki_batch_from_snappy(const char *data, size_t size, uint64_t now_ns,
                           struct loki_batch **ret_batch, struct obs_reason *reterr_reason)
{
    char *plain;
    size_t plain_size = 0;
    int r;

    /* The length stands in front of the data: a bomb is refused before there is memory for it. */
    if (snappy_uncompressed_length(data, size, &plain_size) != SNAPPY_OK)
        return refuse(reterr_reason, "the body is not snappy (block format)");
    if (plain_size > LOKI_BODY_MAX) {
        obs_reason_set(reterr_reason, "the body is larger than %d bytes when decompressed",
                       LOKI_BODY_MAX);
        return 413;
    }
    if (plain_size / 64 > size)
        return refuse(reterr_reason, "the body claims a length that snappy cannot reach");
    plain = malloc(plain_size + 1);
    if (!plain)
        return -ENOMEM;
    if (snappy_uncompress(data, size, plain, &plain_size) != SNAPPY_OK) {
        free(plain);
        return refuse(reterr_reason, "the snappy body is damaged");
    }
    r = loki_batch_from_protobuf(plain, plain_size, now_ns, ret_batch, reterr_reason);
    if (r == 0)
        (*ret_batch)->plain = plain;
    else
        free(plain);
    return r;
}
