#pragma once
/*
 * Profile frame: the pieces of a profile file, written and read (docs/profiles.md, "On disk").
 *
 *   file     magic "OBSPROF\n", version, zero            16 bytes
 *   frame    magic, crc of all that follows, type, stored size, raw size, series, from, until
 *            40 bytes, then the payload: zstd when the sizes differ
 *
 *   STRINGS  texts, numbered from where the last STRINGS frame ended
 *   SERIES   one label set as pairs of numbers, numbered likewise
 *   PROFILE  rate, units, flags and a tree: for each node its distance to its parent, name, value
 *   END      the file was closed; nothing follows
 *
 * Integers are little-endian; inside payloads they are varints as in Protocol Buffers.
 */
#include "base/buffer.h"
#include "base/reason.h"
#include "telemetry/profile_tree.h"

#define PROFILE_FILE_HEADER 16
#define PROFILE_FRAME_HEADER 40
#define PROFILE_FRAME_RAW_MAX (32u << 20)

enum profile_frame_type { FRAME_STRINGS = 1, FRAME_SERIES = 2, FRAME_PROFILE = 3, FRAME_END = 4 };

struct profile_frame {
    uint32_t type, stored_size, raw_size, series, crc;
    uint64_t from_ns, until_ns;
    uint64_t offset; /* in the file; set by reading */
};

void profile_file_header_emit(struct obs_buffer *b);
/* Append a frame; payloads over 128 bytes are compressed when that helps. Sets the sizes. */
int profile_frame_emit(struct obs_buffer *b, struct profile_frame *frame, const void *payload,
                       size_t size);

void profile_varint_emit(struct obs_buffer *b, uint64_t value);
struct profile_bytes {
    const uint8_t *at, *end;
};
bool profile_varint_take(struct profile_bytes *bytes, uint64_t *ret_value);

/* Reads the frames of [0, @size) of a file, in order. One thread. */
struct profile_reader;
enum profile_read_outcome {
    PROFILE_READ_OK = 0,
    PROFILE_READ_END = 1,
    PROFILE_READ_DAMAGED = 2, /* cut short, wrong magic, checksum or size */
};
int profile_reader_new(const char *path, uint64_t size, struct profile_reader **ret_reader);
struct profile_reader *profile_reader_free(struct profile_reader *reader);
/* The header of the next frame; its payload may be left out. Return: an outcome, -errno. */
int profile_reader_next(struct profile_reader *reader, struct profile_frame *ret_frame);
/* The payload of the frame that next() gave, checked and unpacked; good until the next call. */
int profile_reader_payload(struct profile_reader *reader, struct profile_bytes *ret_payload);
int profile_reader_check(struct profile_reader *reader); /* its checksum alone */
/* Where the next frame begins: all before it has been taken. */
uint64_t profile_reader_offset(const struct profile_reader *reader);
void profile_reader_seek(struct profile_reader *reader, uint64_t offset);
OBS_DEFINE_CLEANUP(struct profile_reader *, profile_reader_free)
