#pragma once
/*
 * Bytes: the little-endian primitives that WAL rows and segment blocks are written in.
 *
 * Writers grow and remember the first failure; readers are bounded and remember that they ran over.
 * Either is asked once, at the end. Inline, because every field of every span passes here.
 */
#include "telemetry/model.h"
#include <stdlib.h>
#include <string.h>

struct bytes_out {
    uint8_t *data;
    size_t size, capacity;
    bool has_failed; /* out of memory; what follows is not written */
};

/* Grow so that @more bytes fit. */
bool bytes_grow(struct bytes_out *out, size_t more);

static inline void bytes_done(struct bytes_out *out)
{
    free(out->data);
    *out = (struct bytes_out){0};
}

static inline void bytes_clear(struct bytes_out *out)
{
    out->size = 0;
    out->has_failed = false;
}

static inline bool bytes_reserve(struct bytes_out *out, size_t more)
{
    return out->capacity - out->size >= more || bytes_grow(out, more);
}

static inline void bytes_put(struct bytes_out *out, const void *data, size_t size)
{
    if (size > 0 && bytes_reserve(out, size)) {
        memcpy(out->data + out->size, data, size);
        out->size += size;
    }
}

static inline void bytes_put_u8(struct bytes_out *out, uint8_t value)
{
    if (bytes_reserve(out, 1))
        out->data[out->size++] = value;
}

static inline void bytes_put_u32(struct bytes_out *out, uint32_t value)
{
    bytes_put(out, &value, sizeof(value));
}

static inline void bytes_put_u64(struct bytes_out *out, uint64_t value)
{
    bytes_put(out, &value, sizeof(value));
}

/* LEB128, as protobuf's varint. */
static inline void bytes_put_varint(struct bytes_out *out, uint64_t value)
{
    if (!bytes_reserve(out, 10))
        return;
    while (value >= 0x80) {
        out->data[out->size++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    out->data[out->size++] = (uint8_t)value;
}

static inline uint64_t bytes_zigzag(int64_t value)
{
    return ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
}

static inline int64_t bytes_unzigzag(uint64_t value)
{
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

static inline void bytes_put_text(struct bytes_out *out, struct text_view text)
{
    bytes_put_varint(out, text.size);
    bytes_put(out, text.text, text.size);
}

struct bytes_in {
    const uint8_t *at, *end;
    bool has_failed; /* ran over the end, or a number has no form; values read since are 0 */
};

static inline bool bytes_fail(struct bytes_in *in)
{
    in->has_failed = true;
    in->at = in->end;
    return false;
}

static inline const uint8_t *bytes_get(struct bytes_in *in, size_t size)
{
    const uint8_t *at = in->at;

    if ((size_t)(in->end - at) < size) {
        bytes_fail(in);
        return NULL;
    }
    in->at += size;
    return at;
}

static inline uint8_t bytes_get_u8(struct bytes_in *in)
{
    const uint8_t *at = bytes_get(in, 1);

    return at ? *at : 0;
}

static inline uint32_t bytes_get_u32(struct bytes_in *in)
{
    const uint8_t *at = bytes_get(in, 4);
    uint32_t value = 0;

    if (at)
        memcpy(&value, at, sizeof(value));
    return value;
}

static inline uint64_t bytes_get_u64(struct bytes_in *in)
{
    const uint8_t *at = bytes_get(in, 8);
    uint64_t value = 0;

    if (at)
        memcpy(&value, at, sizeof(value));
    return value;
}

static inline uint64_t bytes_get_varint(struct bytes_in *in)
{
    uint64_t value = 0;

    if (in->at < in->end && *in->at < 0x80) /* most are one byte */
        return *in->at++;
    for (unsigned shift = 0; shift < 64 && in->at < in->end; shift += 7) {
        uint8_t byte = *in->at++;

        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return value;
    }
    bytes_fail(in);
    return 0;
}

static inline struct text_view bytes_get_text(struct bytes_in *in)
{
    size_t size = bytes_get_varint(in);
    const uint8_t *at = bytes_get(in, size);

    return at ? (struct text_view){(const char *)at, size} : (struct text_view){"", 0};
}

/* A count of things that take at least one byte each: more than there are bytes is a failure. */
static inline size_t bytes_get_count(struct bytes_in *in)
{
    uint64_t count = bytes_get_varint(in);

    if (count > (size_t)(in->end - in->at)) {
        bytes_fail(in);
        return 0;
    }
    return (size_t)count;
}

/* A quick hash for tables and filters. Its values are on disk: it never changes within a version.
 */
uint64_t bytes_hash(const void *data, size_t size, uint64_t seed);
/* CRC-32C (RFC 3720, appendix B.4), by the processor where it can. */
uint32_t bytes_crc32c(const void *data, size_t size);

static inline bool text_equal(struct text_view a, struct text_view b)
{
    return a.size == b.size && memcmp(a.text, b.text, a.size) == 0;
}

static inline struct text_view text_of(const char *text)
{
    return (struct text_view){text, strlen(text)};
}
