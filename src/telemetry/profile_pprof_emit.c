/* One function and one location for each name; ids are a name's index and one. */
#include "telemetry/profile_pprof.h"

#include "otel/pb.h"
#include <errno.h>
#include <string.h>
#include <zlib.h>

#define EMIT_MAX (64u << 20)

enum {
    TEXT_TYPE,
    TEXT_UNIT,
    TEXT_CPU,
    TEXT_NANOSECONDS,
    TEXT_COUNT
}; /* string table: "", then these, then the names */

static void append_bytes(struct obs_buffer *b, unsigned field, const void *data, size_t size)
{
    uint8_t head[20];
    struct obs_pb pb = {.data = head, .capacity = sizeof(head) + size}; /* as if it all fit */

    obs_pb_open(&pb, field, size);
    obs_buffer_append(b, head, pb.size);
    obs_buffer_append(b, data, size);
}

static void append_integer(struct obs_buffer *b, unsigned field, uint64_t value)
{
    uint8_t bytes[20];
    struct obs_pb pb = {.data = bytes, .capacity = sizeof(bytes)};

    obs_pb_uint(&pb, field, value);
    obs_buffer_append(b, bytes, pb.size);
}

static void append_type(struct obs_buffer *b, unsigned field, unsigned type, unsigned unit)
{
    uint8_t bytes[40];
    struct obs_pb pb = {.data = bytes, .capacity = sizeof(bytes)};

    obs_pb_uint(&pb, 1, 1 + type);
    obs_pb_uint(&pb, 2, 1 + unit);
    append_bytes(b, field, bytes, pb.size);
}

static void append_sample(struct obs_buffer *b, const struct profile_tree *tree, uint32_t node,
                          uint64_t value)
{
    uint8_t bytes[PROFILE_DEPTH_MAX * 8 + 16]; /* a location: tag and at most four bytes */
    struct obs_pb pb = {.data = bytes, .capacity = sizeof(bytes)};

    for (; node != PROFILE_ROOT; node = profile_tree_at(tree, node)->parent)
        obs_pb_uint(&pb, 1, profile_tree_at(tree, node)->name + 1);
    obs_pb_uint(&pb, 2, value);
    append_bytes(b, 2, bytes, pb.size);
}

static void append_name(struct obs_buffer *b, uint32_t name)
{
    uint32_t id = name + 1;
    uint8_t line_bytes[16], bytes[48];
    struct obs_pb line = {.data = line_bytes, .capacity = sizeof(line_bytes)};
    struct obs_pb location = {.data = bytes, .capacity = sizeof(bytes)};
    struct obs_pb function = location;

    obs_pb_uint(&line, 1, id);
    obs_pb_uint(&location, 1, id);
    obs_pb_bytes(&location, 4, line.data, line.size);
    append_bytes(b, 4, bytes, location.size);
    obs_pb_uint(&function, 1, id);
    obs_pb_uint(&function, 2, TEXT_COUNT + id);
    obs_pb_uint(&function, 3, TEXT_COUNT + id);
    append_bytes(b, 5, bytes, function.size);
}

static int append_gzip(struct obs_buffer *b, const struct obs_buffer *in)
{
    enum { GZIP_FRAME = 16 };
    z_stream z = {.next_in = (Bytef *)in->data, .avail_in = (uInt)in->size};
    size_t most;
    char *space;
    int r;

    if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, MAX_WBITS + GZIP_FRAME, 8,
                     Z_DEFAULT_STRATEGY) != Z_OK)
        return -ENOMEM;
    most = deflateBound(&z, (uLong)in->size);
    r = obs_buffer_reserve(b, most, &space);
    if (r == 0) {
        z.next_out = (Bytef *)space;
        z.avail_out = (uInt)most;
        r = deflate(&z, Z_FINISH) == Z_STREAM_END ? 0 : -EIO;
    }
    if (r == 0)
        obs_buffer_added(b, most - z.avail_out);
    deflateEnd(&z);
    return r;
}

int pprof_emit(const struct profile_tree *tree, enum profile_side side,
               const struct pprof_header *header, struct obs_buffer *b)
{
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer out = OBS_BUFFER_INIT(EMIT_MAX);

    append_type(&out, 1, TEXT_TYPE, TEXT_UNIT);
    for (uint32_t i = 1; i < profile_tree_count(tree) && !out.error; i++) {
        uint64_t self = profile_tree_at(tree, i)->self[side];

        if (self > 0)
            append_sample(&out, tree, i, self);
    }
    for (uint32_t i = 0; i < profile_tree_names(tree) && !out.error; i++)
        append_name(&out, i);
    append_bytes(&out, 6, "", 0);
    append_bytes(&out, 6, header->type, strlen(header->type));
    append_bytes(&out, 6, header->unit, strlen(header->unit));
    append_bytes(&out, 6, "cpu", 3);
    append_bytes(&out, 6, "nanoseconds", 11);
    for (uint32_t i = 0; i < profile_tree_names(tree) && !out.error; i++) {
        struct text_view name = profile_tree_name(tree, i);

        append_bytes(&out, 6, name.text, name.size);
    }
    append_integer(&out, 9, header->time_ns);
    append_integer(&out, 10, header->duration_ns);
    if (header->period > 0) {
        append_type(&out, 11, TEXT_CPU, TEXT_NANOSECONDS);
        append_integer(&out, 12, header->period);
    }
    return out.error ? out.error : append_gzip(b, &out);
}
