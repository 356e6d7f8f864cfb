#include "otel/pb.h"

#include <endian.h>
#include <string.h>

static void put_varint(struct obs_pb *pb, uint64_t value)
{
    while (value >= 0x80) {
        pb->data[pb->size++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    pb->data[pb->size++] = (uint8_t)value;
}

static bool has_room(struct obs_pb *pb, size_t size)
{
    if (size <= pb->capacity - pb->size)
        return true;
    pb->is_full = true;
    return false;
}

static bool put_tag(struct obs_pb *pb, unsigned field, unsigned wire, size_t value_size)
{
    uint64_t tag = obs_pb_tag(field, wire);

    if (!has_room(pb, obs_pb_varint_size(tag) + value_size))
        return false;
    put_varint(pb, tag);
    return true;
}

void obs_pb_uint(struct obs_pb *pb, unsigned field, uint64_t value)
{
    if (put_tag(pb, field, OBS_PB_VARINT, obs_pb_varint_size(value)))
        put_varint(pb, value);
}

void obs_pb_fixed64(struct obs_pb *pb, unsigned field, uint64_t value)
{
    if (!put_tag(pb, field, OBS_PB_FIXED64, sizeof(value)))
        return;
    value = htole64(value);
    memcpy(pb->data + pb->size, &value, sizeof(value));
    pb->size += sizeof(value);
}

void obs_pb_fixed32(struct obs_pb *pb, unsigned field, uint32_t value)
{
    if (!put_tag(pb, field, OBS_PB_FIXED32, sizeof(value)))
        return;
    value = htole32(value);
    memcpy(pb->data + pb->size, &value, sizeof(value));
    pb->size += sizeof(value);
}

void obs_pb_double(struct obs_pb *pb, unsigned field, double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof(bits));
    obs_pb_fixed64(pb, field, bits);
}

void obs_pb_bytes(struct obs_pb *pb, unsigned field, const void *data, size_t size)
{
    if (!put_tag(pb, field, OBS_PB_BYTES, obs_pb_varint_size(size) + size))
        return;
    put_varint(pb, size);
    memcpy(pb->data + pb->size, data, size);
    pb->size += size;
}

void obs_pb_text(struct obs_pb *pb, unsigned field, const char *text)
{
    obs_pb_bytes(pb, field, text, strlen(text));
}

void obs_pb_open(struct obs_pb *pb, unsigned field, size_t size)
{
    if (put_tag(pb, field, OBS_PB_BYTES, obs_pb_varint_size(size) + size))
        put_varint(pb, size);
}

/* ---- reading ---- */

static bool take_varint(struct obs_pb_reader *reader, uint64_t *ret_value)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 64 && reader->size > 0; shift += 7) {
        uint8_t byte = *reader->data++;

        reader->size--;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            *ret_value = value;
            return true;
        }
    }
    return false;
}

static bool take_bytes(struct obs_pb_reader *reader, uint64_t size, struct obs_pb_reader *ret_bytes)
{
    if (size > reader->size)
        return false;
    *ret_bytes = (struct obs_pb_reader){reader->data, (size_t)size};
    reader->data += size;
    reader->size -= (size_t)size;
    return true;
}

static bool take_fixed(struct obs_pb_reader *reader, size_t size, uint64_t *ret_value)
{
    struct obs_pb_reader bytes;
    uint64_t value = 0;

    if (!take_bytes(reader, size, &bytes))
        return false;
    memcpy(&value, bytes.data, size);
    *ret_value = le64toh(value);
    return true;
}

bool obs_pb_next(struct obs_pb_reader *reader, struct obs_pb_field *ret_field)
{
    struct obs_pb_field field = {0};
    uint64_t tag;

    if (!take_varint(reader, &tag) || tag >> 3 == 0 || tag >> 3 > 0x1fffffff)
        return false;
    field.number = (unsigned)(tag >> 3);
    field.wire = (unsigned)(tag & 7);
    if (field.wire == OBS_PB_VARINT    ? !take_varint(reader, &field.value)
        : field.wire == OBS_PB_FIXED64 ? !take_fixed(reader, 8, &field.value)
        : field.wire == OBS_PB_FIXED32 ? !take_fixed(reader, 4, &field.value)
        : field.wire == OBS_PB_BYTES
            ? !take_varint(reader, &field.value) || !take_bytes(reader, field.value, &field.bytes)
            : true)
        return false;
    *ret_field = field;
    return true;
}
