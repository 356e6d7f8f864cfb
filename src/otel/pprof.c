/*
 * pprof's profile.proto (https://github.com/google/pprof/blob/main/proto/profile.proto), gzip'd.
 *
 * Each frame address is one location with one line; a location's id is its index and one. Functions
 * are told apart by name and file. No build ids or line numbers: names are all that we know.
 */
#include "otel/pb.h"
#include "otel/profile_internal.h"
#include <errno.h>
#include <string.h>
#include <zlib.h>

/* Field numbers: api/proto/pprof.proto. */
enum {
    PROFILE_SAMPLE_TYPE = 1,
    PROFILE_SAMPLE = 2,
    PROFILE_LOCATION = 4,
    PROFILE_FUNCTION = 5,
    PROFILE_STRING = 6,
    PROFILE_TIME = 9,
    PROFILE_DURATION = 10,
    PROFILE_PERIOD_TYPE = 11,
    PROFILE_PERIOD = 12,
    VALUE_TYPE_TYPE = 1,
    VALUE_TYPE_UNIT = 2,
    SAMPLE_LOCATION = 1,
    SAMPLE_VALUE = 2,
    SAMPLE_LABEL = 3,
    LABEL_KEY = 1,
    LABEL_TEXT = 2,
    LOCATION_ID = 1,
    LOCATION_ADDRESS = 3,
    LOCATION_LINE = 4,
    LINE_FUNCTION = 1,
    FUNCTION_ID = 1,
    FUNCTION_NAME = 2,
    FUNCTION_SYSTEM_NAME = 3,
    FUNCTION_FILE = 4,
};

/* The first strings have fixed places. */
enum { TEXT_EMPTY, TEXT_SAMPLES, TEXT_COUNT, TEXT_CPU, TEXT_NANOSECONDS, TEXT_THREAD, TEXT_FIRST };
static const char *const fixed_texts[TEXT_FIRST] = {"",    "samples",     "count",
                                                    "cpu", "nanoseconds", "thread"};

#define PROFILE_MAX (32u << 20)

/* Strings by their index in the table. Looked up by walking: a profile has a few hundred. */
struct texts {
    const char **items;
    size_t count;
};

struct writer {
    const struct named_profile *profile;
    struct obs_buffer out; /* the message, not yet compressed */
    struct texts texts;
};

static uint64_t text_index(struct texts *texts, const char *text)
{
    for (size_t i = 0; i < texts->count; i++)
        if (strcmp(texts->items[i], text) == 0)
            return i;
    texts->items[texts->count] = text; /* room for all: see texts_init() */
    return texts->count++;
}

/* Two per address (name and file), one per stack (thread), the fixed ones, and "[other]". */
static int texts_init(struct texts *texts, const struct named_profile *profile)
{
    size_t most =
        2 * profile->address_count + profile->table->stack_count + OBS_COUNT(fixed_texts) + 1;

    texts->items = calloc(most, sizeof(*texts->items));
    if (!texts->items)
        return -ENOMEM;
    for (size_t i = 0; i < OBS_COUNT(fixed_texts); i++)
        text_index(texts, fixed_texts[i]);
    return 0;
}

static void append_message(struct writer *w, unsigned field, const struct obs_pb *message)
{
    uint8_t bytes[16];
    struct obs_pb head = {.data = bytes, .capacity = sizeof(bytes) + message->size};

    obs_pb_open(&head, field, message->size);
    obs_buffer_append(&w->out, bytes, head.size);
    obs_buffer_append(&w->out, message->data, message->size);
}

static void append_integer(struct writer *w, unsigned field, uint64_t value)
{
    uint8_t bytes[32];
    struct obs_pb pb = {.data = bytes, .capacity = sizeof(bytes)};

    obs_pb_uint(&pb, field, value);
    obs_buffer_append(&w->out, bytes, pb.size);
}

static void append_value_type(struct writer *w, unsigned field, uint64_t type, uint64_t unit)
{
    uint8_t bytes[32];
    struct obs_pb pb = {.data = bytes, .capacity = sizeof(bytes)};

    obs_pb_uint(&pb, VALUE_TYPE_TYPE, type);
    obs_pb_uint(&pb, VALUE_TYPE_UNIT, unit);
    append_message(w, field, &pb);
}

static void put_thread(struct obs_pb *sample, uint64_t thread)
{
    uint8_t bytes[32];
    struct obs_pb label = {.data = bytes, .capacity = sizeof(bytes)};

    obs_pb_uint(&label, LABEL_KEY, TEXT_THREAD);
    obs_pb_uint(&label, LABEL_TEXT, thread);
    obs_pb_bytes(sample, SAMPLE_LABEL, label.data, label.size);
}

static void append_sample(struct writer *w, const uint64_t *locations, size_t depth, uint64_t count,
                          const char *thread)
{
    uint8_t bytes[OBS_PROFILER_DEPTH * 11 + 128];
    struct obs_pb sample = {.data = bytes, .capacity = sizeof(bytes)};

    for (size_t i = 0; i < depth; i++)
        obs_pb_uint(&sample, SAMPLE_LOCATION, locations[i]);
    obs_pb_uint(&sample, SAMPLE_VALUE, count);
    obs_pb_uint(&sample, SAMPLE_VALUE, count * OBS_PROFILE_PERIOD_NS);
    if (*thread)
        put_thread(&sample, text_index(&w->texts, thread));
    append_message(w, PROFILE_SAMPLE, &sample);
}

static void append_samples(struct writer *w)
{
    const struct obs_stack_table *table = w->profile->table;
    uint64_t locations[OBS_PROFILER_DEPTH];
    uint64_t other = w->profile->address_count + 1;

    for (size_t i = 0; i < table->stack_count; i++) {
        const struct obs_stack *stack = &table->stacks[i];

        for (size_t k = 0; k < stack->depth; k++)
            locations[k] =
                1 + obs_symbols_index(w->profile->symbols, table->frames[stack->first_frame + k]);
        append_sample(w, locations, stack->depth, stack->count, stack->thread);
    }
    if (table->other > 0)
        append_sample(w, &other, 1, table->other, "");
}

static void append_location(struct writer *w, uint64_t id, uint64_t address)
{
    uint8_t bytes[64], line_bytes[16];
    struct obs_pb location = {.data = bytes, .capacity = sizeof(bytes)};
    struct obs_pb line = {.data = line_bytes, .capacity = sizeof(line_bytes)};

    obs_pb_uint(&line, LINE_FUNCTION, id);
    obs_pb_uint(&location, LOCATION_ID, id);
    obs_pb_uint(&location, LOCATION_ADDRESS, address);
    obs_pb_bytes(&location, LOCATION_LINE, line.data, line.size);
    append_message(w, PROFILE_LOCATION, &location);
}

/* One function per location: pprof adds up functions of the same name itself. */
static void append_function(struct writer *w, uint64_t id, const char *name, const char *module)
{
    uint8_t bytes[64];
    struct obs_pb function = {.data = bytes, .capacity = sizeof(bytes)};
    uint64_t text = text_index(&w->texts, name);

    obs_pb_uint(&function, FUNCTION_ID, id);
    obs_pb_uint(&function, FUNCTION_NAME, text);
    obs_pb_uint(&function, FUNCTION_SYSTEM_NAME, text);
    obs_pb_uint(&function, FUNCTION_FILE, text_index(&w->texts, module));
    append_message(w, PROFILE_FUNCTION, &function);
}

static void append_locations(struct writer *w)
{
    const struct named_profile *profile = w->profile;

    for (size_t i = 0; i < profile->address_count; i++) {
        const struct obs_symbol *symbol = obs_symbols_at(profile->symbols, i);

        append_location(w, i + 1, symbol->address);
        append_function(w, i + 1, symbol->name, symbol->module);
    }
    if (profile->table->other > 0) {
        append_location(w, profile->address_count + 1, 0);
        append_function(w, profile->address_count + 1, OBS_PROFILE_OTHER, "");
    }
}

static void append_texts(struct writer *w)
{
    for (size_t i = 0; i < w->texts.count; i++) {
        const char *text = w->texts.items[i];
        struct obs_pb pb = {.data = (uint8_t *)text, .size = strlen(text)};

        append_message(w, PROFILE_STRING, &pb);
    }
}

static int write_profile(struct writer *w)
{
    const struct obs_stack_table *table = w->profile->table;

    append_value_type(w, PROFILE_SAMPLE_TYPE, TEXT_SAMPLES, TEXT_COUNT);
    append_value_type(w, PROFILE_SAMPLE_TYPE, TEXT_CPU, TEXT_NANOSECONDS);
    append_samples(w);
    append_locations(w);
    append_texts(w);
    append_integer(w, PROFILE_TIME, table->start_ns);
    append_integer(w, PROFILE_DURATION, table->end_ns - table->start_ns);
    append_value_type(w, PROFILE_PERIOD_TYPE, TEXT_CPU, TEXT_NANOSECONDS);
    append_integer(w, PROFILE_PERIOD, OBS_PROFILE_PERIOD_NS);
    return w->out.error;
}

static int append_gzip(struct obs_buffer *b, const struct obs_buffer *in)
{
    enum { GZIP_FRAME = 16 };
    z_stream z = {.next_in = (Bytef *)in->data, .avail_in = (uInt)in->size};
    char *space;
    size_t most;
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

int profile_emit_pprof(const struct named_profile *profile, struct obs_buffer *b)
{
    struct writer w = {.profile = profile, .out = OBS_BUFFER_INIT(PROFILE_MAX)};
    int r = texts_init(&w.texts, profile);

    if (r == 0)
        r = write_profile(&w);
    if (r == 0)
        r = append_gzip(b, &w.out);
    obs_buffer_done(&w.out);
    free(w.texts.items);
    return r;
}
