/*
 * The hash multiplies 8 bytes at a time into 128 bits and folds them; the checksum uses SSE 4.2
 * when the processor has it, else a table.
 */
#include "telemetry/store_bytes.h"

#define MULTIPLIER_A 0x9e3779b97f4a7c15ULL
#define MULTIPLIER_B 0xd6e8feb86659fd93ULL

bool bytes_grow(struct bytes_out *out, size_t more)
{
    size_t capacity = out->capacity ? out->capacity : 256;
    uint8_t *data;

    if (out->has_failed || more > SIZE_MAX / 4)
        return !(out->has_failed = true);
    while (capacity - out->size < more)
        capacity *= 2;
    data = realloc(out->data, capacity);
    if (!data)
        return !(out->has_failed = true);
    out->data = data;
    out->capacity = capacity;
    return true;
}

static uint64_t fold(uint64_t a, uint64_t b)
{
    __extension__ unsigned __int128 product = (unsigned __int128)a * b;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t bytes_hash(const void *data, size_t size, uint64_t seed)
{
    const uint8_t *at = data;
    uint64_t hash = seed ^ (size * MULTIPLIER_A), word;

    for (; size >= 8; size -= 8, at += 8) {
        memcpy(&word, at, 8);
        hash = fold(hash ^ word, MULTIPLIER_A);
    }
    word = 0;
    if (size > 0)
        memcpy(&word, at, size);
    return fold(hash ^ word ^ MULTIPLIER_B, MULTIPLIER_B);
}

#define POLYNOMIAL 0x82f63b78U /* reflected */

static uint32_t crc_by_table(const uint8_t *at, size_t size, uint32_t crc)
{
    static const uint32_t NIBBLES[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
        0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
        0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };

    _Static_assert(POLYNOMIAL == 0x82f63b78U, "the table is of this polynomial");
    for (; size > 0; size--, at++) {
        crc ^= *at;
        crc = (crc >> 4) ^ NIBBLES[crc & 15];
        crc = (crc >> 4) ^ NIBBLES[crc & 15];
    }
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc_by_processor(const uint8_t *at, size_t size,
                                                                   uint32_t crc)
{
    uint64_t wide = crc, word;

    for (; size >= 8; size -= 8, at += 8) {
        memcpy(&word, at, 8);
        wide = __builtin_ia32_crc32di(wide, word);
    }
    crc = (uint32_t)wide;
    for (; size > 0; size--, at++)
        crc = __builtin_ia32_crc32qi(crc, *at);
    return crc;
}
#endif

uint32_t bytes_crc32c(const void *data, size_t size)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2"))
        return ~crc_by_processor(data, size, ~0U);
#endif
    return ~crc_by_table(data, size, ~0U);
}
