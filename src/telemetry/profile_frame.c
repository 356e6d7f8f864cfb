/* The reader keeps a window of the file, so that headers beside each other cost one read. Not mmap:
 * a disk error would be a signal instead of a return value. */
#include "telemetry/profile_frame.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#define FRAME_MAGIC 0x4650424fu /* "OBPF" */
#define FILE_MAGIC "OBSPROF\n"
#define FILE_VERSION 1u
#define COMPRESS_FROM 128
#define COMPRESS_LEVEL 3
#define WINDOW (128u << 10)

/* ---- writing ---- */

static void put32(uint8_t *out, uint32_t value)
{
    value = htole32(value);
    memcpy(out, &value, sizeof(value));
}

static void put64(uint8_t *out, uint64_t value)
{
    value = htole64(value);
    memcpy(out, &value, sizeof(value));
}

void profile_file_header_emit(struct obs_buffer *b)
{
    uint8_t header[PROFILE_FILE_HEADER] = FILE_MAGIC;

    put32(header + 8, FILE_VERSION);
    put32(header + 12, 0);
    obs_buffer_append(b, header, sizeof(header));
}

void profile_varint_emit(struct obs_buffer *b, uint64_t value)
{
    char bytes[10];
    size_t size = 0;

    for (; value >= 0x80; value >>= 7)
        bytes[size++] = (char)(value | 0x80);
    bytes[size++] = (char)value;
    obs_buffer_append(b, bytes, size);
}

static uint32_t checksum(const uint8_t *header, const void *payload, size_t size)
{
    uLong crc = crc32(0, header + 8, PROFILE_FRAME_HEADER - 8);

    return (uint32_t)crc32(crc, payload, (uInt)size);
}

static void write_header(const struct profile_frame *frame, uint8_t out[PROFILE_FRAME_HEADER])
{
    put32(out, FRAME_MAGIC);
    put32(out + 4, frame->crc);
    put32(out + 8, frame->type);
    put32(out + 12, frame->stored_size);
    put32(out + 16, frame->raw_size);
    put32(out + 20, frame->series);
    put64(out + 24, frame->from_ns);
    put64(out + 32, frame->until_ns);
}

/* Into @space[bound]; 0 when it would not become smaller. */
static size_t pack(const void *payload, size_t size, char *space, size_t bound)
{
    size_t packed = ZSTD_compress(space, bound, payload, size, COMPRESS_LEVEL);

    return ZSTD_isError(packed) || packed >= size ? 0 : packed;
}

int profile_frame_emit(struct obs_buffer *b, struct profile_frame *frame, const void *payload,
                       size_t size)
{
    size_t bound = size >= COMPRESS_FROM ? ZSTD_compressBound(size) : size;
    uint8_t *header;
    size_t stored = 0;
    char *space;
    int r;

    if (size > PROFILE_FRAME_RAW_MAX)
        return -EMSGSIZE;
    r = obs_buffer_reserve(b, PROFILE_FRAME_HEADER + bound, &space);
    if (r < 0)
        return r;
    header = (uint8_t *)space;
    space += PROFILE_FRAME_HEADER;
    if (size >= COMPRESS_FROM)
        stored = pack(payload, size, space, bound);
    if (stored == 0 && size > 0) {
        memcpy(space, payload, size);
        stored = size;
    }
    frame->raw_size = (uint32_t)size;
    frame->stored_size = (uint32_t)stored;
    frame->crc = 0;
    write_header(frame, header);
    frame->crc = checksum(header, space, stored);
    write_header(frame, header);
    obs_buffer_added(b, PROFILE_FRAME_HEADER + stored);
    return 0;
}

/* ---- reading ---- */

struct profile_reader {
    int fd;
    uint64_t size, offset; /* of the file; of the next frame */
    struct profile_frame frame;
    uint8_t header[PROFILE_FRAME_HEADER];
    uint8_t *window, *raw;
    ZSTD_DCtx *unpacker;
    uint64_t window_at;
    size_t window_size, window_room, raw_room;
};

struct profile_reader *profile_reader_free(struct profile_reader *reader)
{
    if (!reader)
        return NULL;
    if (reader->fd >= 0)
        close(reader->fd);
    free(reader->window);
    free(reader->raw);
    ZSTD_freeDCtx(reader->unpacker);
    free(reader);
    return NULL;
}

static int make_room(uint8_t **bytes, size_t *room, size_t size)
{
    uint8_t *bigger;

    if (size <= *room)
        return 0;
    bigger = realloc(*bytes, size);
    if (!bigger)
        return -ENOMEM;
    *bytes = bigger;
    *room = size;
    return 0;
}

/* Point at @size bytes of the file from @offset on. */
static int view(struct profile_reader *reader, uint64_t offset, size_t size, const uint8_t **ret)
{
    size_t wanted = size > WINDOW ? size : WINDOW;
    size_t got = 0;
    int r;

    if (offset > reader->size || size > reader->size - offset)
        return PROFILE_READ_DAMAGED;
    if (offset < reader->window_at || offset + size > reader->window_at + reader->window_size) {
        if (wanted > reader->size - offset)
            wanted = (size_t)(reader->size - offset);
        r = make_room(&reader->window, &reader->window_room, wanted);
        if (r < 0)
            return r;
        reader->window_size = 0;
        while (got < wanted) {
            ssize_t n =
                pread(reader->fd, reader->window + got, wanted - got, (off_t)(offset + got));

            if (n < 0 && errno == EINTR)
                continue;
            if (n < 0)
                return -errno;
            if (n == 0)
                break;
            got += (size_t)n;
        }
        reader->window_at = offset;
        reader->window_size = got;
        if (got < size)
            return PROFILE_READ_DAMAGED;
    }
    *ret = reader->window + (offset - reader->window_at);
    return 0;
}

int profile_reader_new(const char *path, uint64_t size, struct profile_reader **ret_reader)
{
    OBS_CLEANUP(profile_reader_freep) struct profile_reader *reader = calloc(1, sizeof(*reader));
    uint8_t expected[PROFILE_FILE_HEADER] = FILE_MAGIC;
    const uint8_t *header;
    int r;

    if (!reader)
        return -ENOMEM;
    reader->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (reader->fd < 0)
        return -errno;
    reader->size = size;
    r = view(reader, 0, PROFILE_FILE_HEADER, &header);
    put32(expected + 8, FILE_VERSION);
    if (r == 0 && memcmp(header, expected, sizeof(expected)) != 0)
        r = PROFILE_READ_DAMAGED;
    if (r != 0)
        return r;
    reader->offset = PROFILE_FILE_HEADER;
    *ret_reader = OBS_TAKE(reader);
    return 0;
}

uint64_t profile_reader_offset(const struct profile_reader *reader)
{
    return reader->offset;
}

void profile_reader_seek(struct profile_reader *reader, uint64_t offset)
{
    reader->offset = offset;
}

static uint32_t get32(const uint8_t *in)
{
    uint32_t value;

    memcpy(&value, in, sizeof(value));
    return le32toh(value);
}

static uint64_t get64(const uint8_t *in)
{
    uint64_t value;

    memcpy(&value, in, sizeof(value));
    return le64toh(value);
}

int profile_reader_next(struct profile_reader *reader, struct profile_frame *ret_frame)
{
    struct profile_frame frame;
    const uint8_t *header;
    int r;

    if (reader->offset == reader->size)
        return PROFILE_READ_END;
    r = view(reader, reader->offset, PROFILE_FRAME_HEADER, &header);
    if (r != 0)
        return r;
    frame = (struct profile_frame){
        .crc = get32(header + 4),
        .type = get32(header + 8),
        .stored_size = get32(header + 12),
        .raw_size = get32(header + 16),
        .series = get32(header + 20),
        .from_ns = get64(header + 24),
        .until_ns = get64(header + 32),
        .offset = reader->offset,
    };
    if (get32(header) != FRAME_MAGIC || frame.type < FRAME_STRINGS || frame.type > FRAME_END ||
        frame.raw_size > PROFILE_FRAME_RAW_MAX || frame.stored_size > frame.raw_size ||
        frame.stored_size > reader->size - reader->offset - PROFILE_FRAME_HEADER)
        return PROFILE_READ_DAMAGED;
    memcpy(reader->header, header, sizeof(reader->header));
    reader->offset += PROFILE_FRAME_HEADER + frame.stored_size;
    reader->frame = *ret_frame = frame;
    return PROFILE_READ_OK;
}

/* The stored bytes, with the right checksum. */
static int stored_payload(struct profile_reader *reader, const uint8_t **ret_stored)
{
    const struct profile_frame *frame = &reader->frame;
    int r = view(reader, frame->offset + PROFILE_FRAME_HEADER, frame->stored_size, ret_stored);

    if (r == 0 && checksum(reader->header, *ret_stored, frame->stored_size) != frame->crc)
        r = PROFILE_READ_DAMAGED;
    return r;
}

int profile_reader_check(struct profile_reader *reader)
{
    const uint8_t *stored;

    return stored_payload(reader, &stored);
}

int profile_reader_payload(struct profile_reader *reader, struct profile_bytes *ret_payload)
{
    const struct profile_frame *frame = &reader->frame;
    const uint8_t *stored = NULL;
    int r = stored_payload(reader, &stored);

    if (r == 0 && frame->stored_size < frame->raw_size) {
        if (!reader->unpacker)
            reader->unpacker = ZSTD_createDCtx();
        r = reader->unpacker ? make_room(&reader->raw, &reader->raw_room, frame->raw_size)
                             : -ENOMEM;
        if (r == 0 && ZSTD_decompressDCtx(reader->unpacker, reader->raw, frame->raw_size, stored,
                                          frame->stored_size) != frame->raw_size)
            r = PROFILE_READ_DAMAGED;
        stored = reader->raw;
    }
    if (r == 0)
        *ret_payload = (struct profile_bytes){stored, stored + frame->raw_size};
    return r;
}

bool profile_varint_take(struct profile_bytes *bytes, uint64_t *ret_value)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 64 && bytes->at < bytes->end; shift += 7) {
        uint8_t byte = *bytes->at++;

        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            *ret_value = value;
            return true;
        }
    }
    return false;
}
