#pragma once
/*
 * Protocol Buffers wire format (https://protobuf.dev/programming-guides/encoding/), as much of it
 * as a request's path can afford: messages are written straight into memory of a fixed size,
 * without building trees. Whoever reads messages of others uses the code generated from api/proto
 * instead.
 *
 * What does not fit is left out as a whole and `is_full` says so.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { OBS_PB_VARINT = 0, OBS_PB_FIXED64 = 1, OBS_PB_BYTES = 2, OBS_PB_FIXED32 = 5 };

struct obs_pb {
    uint8_t *data;
    size_t size, capacity;
    bool is_full;
};

static inline size_t obs_pb_varint_size(uint64_t value)
{
    return 1 + (size_t)(63 - __builtin_clzll(value | 1)) / 7;
}

static inline uint64_t obs_pb_tag(unsigned field, unsigned wire)
{
    return (uint64_t)field << 3 | wire;
}

/* Size on the wire of a bytes, string or message field. */
static inline size_t obs_pb_field_size(unsigned field, size_t size)
{
    return obs_pb_varint_size(obs_pb_tag(field, OBS_PB_BYTES)) + obs_pb_varint_size(size) + size;
}

/* The forms below append one field each; zero and empty values are written too. */
void obs_pb_uint(struct obs_pb *pb, unsigned field, uint64_t value); /* also int64 and enums */
void obs_pb_fixed64(struct obs_pb *pb, unsigned field, uint64_t value);
void obs_pb_fixed32(struct obs_pb *pb, unsigned field, uint32_t value);
void obs_pb_double(struct obs_pb *pb, unsigned field, double value);
void obs_pb_bytes(struct obs_pb *pb, unsigned field, const void *data, size_t size);
void obs_pb_text(struct obs_pb *pb, unsigned field, const char *text);
/* Tag and length only: the caller appends the @size bytes of the message's own fields next. */
void obs_pb_open(struct obs_pb *pb, unsigned field, size_t size);

/* ---- reading, field by field ---- */

struct obs_pb_reader {
    const uint8_t *data;
    size_t size;
};

struct obs_pb_field {
    unsigned number, wire;
    uint64_t value;             /* varint and fixed */
    struct obs_pb_reader bytes; /* bytes, inside the reader's data */
};

/* Take the next field. False at the end and at anything malformed. */
bool obs_pb_next(struct obs_pb_reader *reader, struct obs_pb_field *ret_field);
