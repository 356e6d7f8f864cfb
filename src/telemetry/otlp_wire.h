#pragma once
/*
 * Protobuf as it comes over the wire: a bounded reader of one message's fields
 * (https://protobuf.dev/programming-guides/encoding/). Nothing is allocated or copied.
 */
#include "telemetry/store_bytes.h"

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct wire_field {
    uint32_t number;
    enum wire_type type;
    uint64_t integer;       /* varint and fixed */
    struct text_view bytes; /* WIRE_BYTES */
};

static inline struct bytes_in wire_open(struct text_view message)
{
    const uint8_t *at = (const uint8_t *)message.text;

    return (struct bytes_in){at, at + message.size, false};
}

/* The next field. False at the end, and when the message is malformed (in->has_failed). Groups are.
 */
static inline bool wire_next(struct bytes_in *in, struct wire_field *ret_field)
{
    uint64_t tag;

    if (in->at >= in->end)
        return false;
    tag = bytes_get_varint(in);
    ret_field->number = (uint32_t)(tag >> 3);
    ret_field->type = (enum wire_type)(tag & 7);
    if (tag >> 32 != 0 || ret_field->number == 0)
        return bytes_fail(in);
    switch (ret_field->type) {
    case WIRE_VARINT:
        ret_field->integer = bytes_get_varint(in);
        break;
    case WIRE_FIXED64:
        ret_field->integer = bytes_get_u64(in);
        break;
    case WIRE_FIXED32:
        ret_field->integer = bytes_get_u32(in);
        break;
    case WIRE_BYTES:
        ret_field->bytes = bytes_get_text(in);
        break;
    default:
        return bytes_fail(in);
    }
    return !in->has_failed;
}

static inline bool wire_is(const struct wire_field *field, uint32_t number, enum wire_type type)
{
    return field->number == number && field->type == type;
}
