#include "telemetry/profile_pprof.h"

#include "base/text.h"
#include "otel/pb.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
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
    LOCATION_ID = 1,
    LOCATION_ADDRESS = 3,
    LOCATION_LINE = 4,
    LINE_FUNCTION = 1,
    FUNCTION_ID = 1,
    FUNCTION_NAME = 2,
};

struct location {
    uint64_t id, address;
    uint32_t first_line, line_count;
};

struct function {
    uint64_t id, name;
};

struct array {
    void *items;
    size_t count, room;
};

struct decoder {
    struct array strings;   /* struct text_view */
    struct array locations; /* struct location, by id once sorted */
    struct array lines;     /* uint64_t: function id; innermost first, as in the message */
    struct array functions; /* struct function, by id once sorted */
    struct {
        uint64_t type, unit;
    } values[PPROF_TYPES_MAX], period;
    size_t samples, frames;
    struct pprof *out;
    struct obs_reason *reason;
};

static int malformed(struct decoder *d, const char *what)
{
    obs_reason_set(d->reason, "pprof: %s", what);
    return PROFILE_MALFORMED;
}

static int too_large(struct decoder *d, const char *what, size_t limit)
{
    obs_reason_set(d->reason, "pprof: over %zu %s", limit, what);
    return PROFILE_TOO_LARGE;
}

static int append(struct decoder *d, struct array *array, size_t size, const void *item,
                  const char *what)
{
    if (array->count == PPROF_TABLE_MAX)
        return too_large(d, what, PPROF_TABLE_MAX);
    if (array->count == array->room) {
        size_t room = array->room ? array->room * 2 : 64;
        void *items = realloc(array->items, room * size);

        if (!items)
            return -ENOMEM;
        array->items = items;
        array->room = room;
    }
    memcpy((char *)array->items + array->count++ * size, item, size);
    return 0;
}

/* Calls @fn for each field of @message. */
typedef int field_fn(struct decoder *d, const struct obs_pb_field *field, void *userdata);

static int each_field(struct decoder *d, struct obs_pb_reader message, field_fn *fn, void *userdata)
{
    struct obs_pb_field field;
    int r = 0;

    while (r == 0 && message.size > 0) {
        if (!obs_pb_next(&message, &field))
            return malformed(d, "a field is cut short or of an unknown wire type");
        r = fn(d, &field, userdata);
    }
    return r;
}

static bool is_message(const struct obs_pb_field *field, unsigned number)
{
    return field->number == number && field->wire == OBS_PB_BYTES;
}

static bool is_varint(const struct obs_pb_field *field, unsigned number)
{
    return field->number == number && field->wire == OBS_PB_VARINT;
}

/* ---- tables ---- */

static int read_value_type(struct decoder *d, const struct obs_pb_field *field, void *userdata)
{
    uint64_t *pair = userdata;

    if (is_varint(field, VALUE_TYPE_TYPE))
        pair[0] = field->value;
    else if (is_varint(field, VALUE_TYPE_UNIT))
        pair[1] = field->value;
    return 0;
}

static int read_line(struct decoder *d, const struct obs_pb_field *field, void *userdata)
{
    if (is_varint(field, LINE_FUNCTION))
        *(uint64_t *)userdata = field->value;
    return 0;
}

static int read_location(struct decoder *d, const struct obs_pb_field *field, void *userdata)
{
    struct location *location = userdata;
    uint64_t function = 0;
    int r;

    if (is_varint(field, LOCATION_ID))
        location->id = field->value;
    else if (is_varint(field, LOCATION_ADDRESS))
        location->address = field->value;
    if (!is_message(field, LOCATION_LINE))
        return 0;
    r = each_field(d, field->bytes, read_line, &function);
    if (r == 0)
        r = append(d, &d->lines, sizeof(function), &function, "lines");
    if (r == 0)
        location->line_count++;
    return r;
}

static int read_function(struct decoder *d, const struct obs_pb_field *field, void *userdata)
{
    struct function *function = userdata;

    if (is_varint(field, FUNCTION_ID))
        function->id = field->value;
    else if (is_varint(field, FUNCTION_NAME))
        function->name = field->value;
    return 0;
}

static int read_string(struct decoder *d, const struct obs_pb_reader *bytes)
{
    struct text_view text = {(const char *)bytes->data, bytes->size};

    if (!obs_text_is_utf8(text.text, text.size))
        return malformed(d, "a string is not UTF-8");
    return append(d, &d->strings, sizeof(text), &text, "strings");
}

static int read_table(struct decoder *d, const struct obs_pb_field *field, void *userdata)
{
    int r;

    if (is_message(field, PROFILE_SAMPLE_TYPE)) {
        if (d->out->value_count == PPROF_TYPES_MAX)
            return too_large(d, "sample types", PPROF_TYPES_MAX);
        return each_field(d, field->bytes, read_value_type, &d->values[d->out->value_count++]);
    }
    if (is_message(field, PROFILE_LOCATION)) {
        struct location location = {.first_line = (uint32_t)d->lines.count};

        r = each_field(d, field->bytes, read_location, &location);
        return r == 0 ? append(d, &d->locations, sizeof(location), &location, "locations") : r;
    }
    if (is_message(field, PROFILE_FUNCTION)) {
        struct function function = {0};

        r = each_field(d, field->bytes, read_function, &function);
        return r == 0 ? append(d, &d->functions, sizeof(function), &function, "functions") : r;
    }
    if (is_message(field, PROFILE_STRING))
        return read_string(d, &field->bytes);
    if (is_message(field, PROFILE_PERIOD_TYPE))
        return each_field(d, field->bytes, read_value_type, &d->period);
    if (is_varint(field, PROFILE_TIME))
        d->out->time_ns = field->value;
    else if (is_varint(field, PROFILE_DURATION))
        d->out->duration_ns = field->value;
    else if (is_varint(field, PROFILE_PERIOD))
        d->out->period = field->value;
    return 0;
}

/* ---- looking up ---- */

static int compare_ids(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static const void *find(const struct array *array, size_t size, uint64_t id)
{
    return array->count ? bsearch(&id, array->items, array->count, size, compare_ids) : NULL;
}

/* Sorted by id; an id given twice would make the profile mean two things. */
static int sort_by_id(struct decoder *d, struct array *array, size_t size, const char *what)
{
    if (array->count > 0)
        qsort(array->items, array->count, size, compare_ids);
    for (size_t i = 1; i < array->count; i++) {
        const char *item = (const char *)array->items + i * size;

        if (compare_ids(item, item - size) == 0)
            return malformed(d, what);
    }
    return 0;
}

static int text_at(struct decoder *d, uint64_t index, struct text_view *ret_text)
{
    if (index >= d->strings.count)
        return malformed(d, "a string index is past the string table");
    *ret_text = ((const struct text_view *)d->strings.items)[index];
    return 0;
}

static int name_of_function(struct decoder *d, uint64_t id, struct text_view *ret_name)
{
    const struct function *function = find(&d->functions, sizeof(struct function), id);
    int r;

    if (!function)
        return malformed(d, "a line names a function that is not there");
    r = text_at(d, function->name, ret_name);
    if (r == 0 && ret_name->size == 0)
        *ret_name = (struct text_view){"[unknown]", 9};
    return r;
}

/* ---- samples ---- */

struct sample {
    uint64_t locations[PROFILE_DEPTH_MAX]; /* innermost first */
    size_t location_count;
    uint64_t values[PPROF_TYPES_MAX];
    size_t value_count;
};

static int take_number(struct decoder *d, struct sample *sample, unsigned number, uint64_t value)
{
    if (number == SAMPLE_LOCATION) {
        if (sample->location_count == PROFILE_DEPTH_MAX)
            return too_large(d, "frames in one stack", PROFILE_DEPTH_MAX);
        sample->locations[sample->location_count++] = value;
        return 0;
    }
    if (sample->value_count == d->out->value_count)
        return malformed(d, "a sample has more values than there are sample types");
    if (value > PROFILE_VALUE_MAX)
        return malformed(d, "a value is negative or over 9007199254740991");
    sample->values[sample->value_count++] = value;
    return 0;
}

static int read_sample(struct decoder *d, const struct obs_pb_field *field, void *userdata)
{
    struct obs_pb_reader packed = field->bytes;
    struct sample *sample = userdata;
    int r = 0;

    if (field->number != SAMPLE_LOCATION && field->number != SAMPLE_VALUE)
        return 0;
    if (field->wire == OBS_PB_VARINT)
        return take_number(d, sample, field->number, field->value);
    if (field->wire != OBS_PB_BYTES)
        return malformed(d, "a sample's numbers are of another wire type");
    while (r == 0 && packed.size > 0) {
        uint64_t value = 0;
        unsigned shift = 0;
        uint8_t byte;

        do {
            if (packed.size == 0 || shift > 63)
                return malformed(d, "a packed number is cut short");
            byte = *packed.data++;
            packed.size--;
            value |= (uint64_t)(byte & 0x7f) << shift;
            shift += 7;
        } while (byte & 0x80);
        r = take_number(d, sample, field->number, value);
    }
    return r;
}

struct path {
    struct text_view names[PROFILE_DEPTH_MAX]; /* outermost first */
    char addresses[PROFILE_DEPTH_MAX][20];
    size_t depth;
};

static int append_frames(struct decoder *d, const struct location *location, struct path *path)
{
    const uint64_t *lines = (const uint64_t *)d->lines.items + location->first_line;
    size_t frames = location->line_count ? location->line_count : 1;
    int r = 0;

    if (path->depth + frames > PROFILE_DEPTH_MAX)
        return too_large(d, "frames in one stack", PROFILE_DEPTH_MAX);
    if (d->frames + frames > PPROF_FRAMES_MAX)
        return too_large(d, "frames in all stacks", PPROF_FRAMES_MAX);
    d->frames += frames;
    if (location->line_count == 0) {
        char *address = path->addresses[path->depth];
        int size = snprintf(address, sizeof(path->addresses[0]), "0x%" PRIx64, location->address);

        path->names[path->depth++] = (struct text_view){address, (size_t)size};
    }
    for (uint32_t i = location->line_count; i > 0 && r == 0; i--)
        r = name_of_function(d, lines[i - 1], &path->names[path->depth++]);
    return r;
}

static int add_path(struct decoder *d, const struct path *path, struct profile_tree *tree,
                    uint64_t value)
{
    uint32_t node = PROFILE_ROOT;
    int r = 0;

    for (size_t i = 0; i < path->depth && r == 0; i++)
        r = profile_tree_child(tree, node, path->names[i], &node);
    if (r == -EMSGSIZE) {
        obs_reason_set(d->reason, "pprof: too many different stacks or names");
        return PROFILE_TOO_LARGE;
    }
    if (r == 0)
        profile_tree_add(tree, node, PROFILE_LEFT, value);
    return r;
}

struct scratch {
    struct sample sample;
    struct path path;
};

static int take_sample(struct decoder *d, const struct obs_pb_field *field, void *userdata)
{
    struct scratch *scratch = userdata;
    struct sample *sample = &scratch->sample;
    struct path *path = &scratch->path;
    int r;

    if (!is_message(field, PROFILE_SAMPLE))
        return 0;
    if (++d->samples > PPROF_SAMPLES_MAX)
        return too_large(d, "samples", PPROF_SAMPLES_MAX);
    sample->location_count = sample->value_count = path->depth = 0;
    r = each_field(d, field->bytes, read_sample, sample);
    for (size_t i = sample->location_count; i > 0 && r == 0; i--) {
        const struct location *location =
            find(&d->locations, sizeof(struct location), sample->locations[i - 1]);

        r = location ? append_frames(d, location, path)
                     : malformed(d, "a sample names a location that is not there");
    }
    if (r == 0 && sample->value_count != d->out->value_count)
        r = malformed(d, "a sample has fewer values than there are sample types");
    if (path->depth == 0) /* nothing to show it under */
        return r;
    for (size_t i = 0; i < sample->value_count && r == 0; i++) {
        if (sample->values[i] > 0)
            r = add_path(d, path, d->out->values[i].tree, sample->values[i]);
    }
    return r;
}

static int name_values(struct decoder *d)
{
    struct pprof *out = d->out;
    int r = 0;

    if (out->value_count == 0)
        return malformed(d, "there is no sample type");
    for (size_t i = 0; i < out->value_count && r == 0; i++) {
        r = text_at(d, d->values[i].type, &out->values[i].type);
        if (r == 0)
            r = text_at(d, d->values[i].unit, &out->values[i].unit);
        if (r == 0)
            r = profile_tree_new(NULL, &out->values[i].tree);
    }
    if (r == 0)
        r = text_at(d, d->period.type, &out->period_type);
    return r == 0 ? text_at(d, d->period.unit, &out->period_unit) : r;
}

static int decode(struct decoder *d, struct obs_pb_reader message)
{
    struct scratch *scratch;
    int r = each_field(d, message, read_table, NULL);

    if (r == 0)
        r = sort_by_id(d, &d->locations, sizeof(struct location), "a location id is given twice");
    if (r == 0)
        r = sort_by_id(d, &d->functions, sizeof(struct function), "a function id is given twice");
    if (r == 0)
        r = name_values(d);
    if (r != 0)
        return r;
    scratch = malloc(sizeof(*scratch));
    if (!scratch)
        return -ENOMEM;
    r = each_field(d, message, take_sample, scratch);
    free(scratch);
    return r;
}

int pprof_decode(const void *data, size_t size, struct pprof *ret_pprof,
                 struct obs_reason *reterr_reason)
{
    struct pprof pprof = {0};
    struct decoder d = {.out = &pprof, .reason = reterr_reason};
    int r = decode(&d, (struct obs_pb_reader){data, size});

    free(d.strings.items);
    free(d.locations.items);
    free(d.lines.items);
    free(d.functions.items);
    if (r == 0)
        *ret_pprof = pprof;
    else
        pprof_done(&pprof);
    return r;
}

void pprof_done(struct pprof *pprof)
{
    for (size_t i = 0; i < pprof->value_count; i++)
        profile_tree_free(pprof->values[i].tree);
    *pprof = (struct pprof){0};
}

int profile_gunzip(const void *data, size_t size, struct obs_buffer *b,
                   struct obs_reason *reterr_reason)
{
    enum { GZIP_FRAME = 16, CHUNK = 65536 };
    z_stream z = {.next_in = (Bytef *)data, .avail_in = (uInt)size};
    int r = Z_OK;

    if (size < 2 || memcmp(data, "\x1f\x8b", 2) != 0) {
        if (obs_buffer_append(b, data, size) == 0)
            return 0;
        obs_reason_set(reterr_reason, "the profile is over %zu bytes", b->limit);
        return PROFILE_TOO_LARGE;
    }
    if (inflateInit2(&z, MAX_WBITS + GZIP_FRAME) != Z_OK)
        return -ENOMEM;
    while (r == Z_OK) {
        size_t room = b->limit - b->size < CHUNK ? b->limit - b->size : CHUNK;
        char *space;

        if (room == 0 || obs_buffer_reserve(b, room, &space) < 0) {
            obs_reason_set(reterr_reason, "gzip: over %zu bytes when unpacked", b->limit);
            inflateEnd(&z);
            return PROFILE_TOO_LARGE;
        }
        z.next_out = (Bytef *)space;
        z.avail_out = (uInt)room;
        r = inflate(&z, Z_NO_FLUSH);
        obs_buffer_added(b, room - z.avail_out);
    }
    inflateEnd(&z);
    if (r == Z_STREAM_END)
        return 0;
    obs_reason_set(reterr_reason, "gzip: damaged or cut short");
    return PROFILE_MALFORMED;
}
