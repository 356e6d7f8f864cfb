/*
 * Reading a file: names and label sets as they come, profiles only when their label set and time
 * fit. Numbers that point nowhere are damage, whatever the checksum says.
 */
#include "telemetry/profile_file.h"

#include "base/arena.h"
#include "base/clock.h"
#include "telemetry/profile_selector.h"
#include <errno.h>
#include <string.h>

#define NAMES_BYTES_MAX (64u << 20)

struct series {
    struct label *labels;
    size_t label_count;
    bool is_wanted;
};

struct scan {
    const struct profile_query *query;
    profile_record_fn *record_fn;
    profile_labels_fn *labels_fn;
    void *userdata;
    struct obs_arena *arena;
    struct text_view *names;
    size_t name_count, name_room;
    struct series *series;
    size_t series_count, series_room;
    struct profile_record_node *nodes;
    size_t node_room;
};

static int make_room(void **items, size_t *room, size_t wanted, size_t size)
{
    size_t bigger_room = *room * 2 > wanted ? *room * 2 : wanted + 32;
    void *bigger;

    if (wanted <= *room)
        return 0;
    bigger = realloc(*items, bigger_room * size);
    if (!bigger)
        return -ENOMEM;
    *items = bigger;
    *room = bigger_room;
    return 0;
}

static int take_names(struct scan *scan, struct profile_bytes *payload)
{
    uint64_t size;

    while (payload->at < payload->end) {
        char *copy;
        int r;

        if (!profile_varint_take(payload, &size) || size > (size_t)(payload->end - payload->at))
            return PROFILE_FILE_DAMAGED;
        r = make_room((void **)&scan->names, &scan->name_room, scan->name_count + 1,
                      sizeof(*scan->names));
        copy = r == 0 ? obs_arena_alloc(scan->arena, size + 1) : NULL;
        if (!copy)
            return -ENOMEM;
        memcpy(copy, payload->at, size);
        payload->at += size;
        scan->names[scan->name_count++] = (struct text_view){copy, size};
    }
    return 0;
}

static bool take_name(const struct scan *scan, struct profile_bytes *payload,
                      struct text_view *ret_name)
{
    uint64_t number;

    if (!profile_varint_take(payload, &number) || number >= scan->name_count)
        return false;
    *ret_name = scan->names[number];
    return true;
}

static int take_series(struct scan *scan, struct profile_bytes *payload)
{
    struct series series = {0};
    uint64_t count;
    int r;

    if (!profile_varint_take(payload, &count) || count > PROFILE_LABELS_MAX)
        return PROFILE_FILE_DAMAGED;
    r = make_room((void **)&scan->series, &scan->series_room, scan->series_count + 1,
                  sizeof(*scan->series));
    series.labels =
        r == 0 ? obs_arena_alloc(scan->arena, (count + 1) * sizeof(struct label)) : NULL;
    if (!series.labels)
        return -ENOMEM;
    for (; series.label_count < count; series.label_count++) {
        struct label *label = &series.labels[series.label_count];

        if (!take_name(scan, payload, &label->name) || !take_name(scan, payload, &label->value))
            return PROFILE_FILE_DAMAGED;
    }
    series.is_wanted = profile_matches(scan->query->matchers, scan->query->matcher_count,
                                       series.labels, series.label_count);
    scan->series[scan->series_count++] = series;
    if (scan->labels_fn && series.is_wanted)
        return scan->labels_fn(series.labels, series.label_count, scan->userdata);
    return 0;
}

static bool take_node(struct scan *scan, struct profile_bytes *payload, size_t index,
                      struct profile_record_node *ret_node)
{
    uint64_t distance, name, self;

    if (!profile_varint_take(payload, &distance) || distance == 0 || distance > index ||
        !profile_varint_take(payload, &name) || name >= scan->name_count ||
        !profile_varint_take(payload, &self))
        return false;
    *ret_node = (struct profile_record_node){(uint32_t)(index - distance), (uint32_t)name, self};
    return true;
}

static int take_profile(struct scan *scan, const struct profile_frame *frame,
                        struct profile_bytes *payload)
{
    const struct series *series = &scan->series[frame->series];
    struct profile_record record = {
        .labels = series->labels,
        .label_count = series->label_count,
        .series = frame->series,
        .from_ns = frame->from_ns,
        .until_ns = frame->until_ns,
        .names = scan->names,
    };
    uint64_t is_level, count;
    int r;

    if (!profile_varint_take(payload, &record.rate) || !take_name(scan, payload, &record.units) ||
        !profile_varint_take(payload, &is_level) || !profile_varint_take(payload, &count) ||
        count > (size_t)(payload->end - payload->at)) /* a node is three bytes at least */
        return PROFILE_FILE_DAMAGED;
    r = make_room((void **)&scan->nodes, &scan->node_room, count + 1, sizeof(*scan->nodes));
    if (r < 0)
        return r;
    scan->nodes[0] = (struct profile_record_node){0};
    for (size_t i = 1; i <= count; i++) {
        if (!take_node(scan, payload, i, &scan->nodes[i]))
            return PROFILE_FILE_DAMAGED;
        record.sum += scan->nodes[i].self;
    }
    record.is_level = is_level != 0;
    record.nodes = scan->nodes;
    record.node_count = count + 1;
    return scan->record_fn(&record, scan->userdata);
}

static bool is_wanted(const struct scan *scan, const struct profile_frame *frame)
{
    uint64_t until_ns = frame->until_ns > frame->from_ns ? frame->until_ns : frame->from_ns + 1;

    return scan->record_fn && scan->series[frame->series].is_wanted &&
           frame->from_ns < scan->query->until_ns && until_ns > scan->query->from_ns;
}

static int take_frame(struct scan *scan, struct profile_reader *reader,
                      const struct profile_frame *frame)
{
    struct profile_bytes payload;
    int r;

    if (frame->type == FRAME_PROFILE && frame->series >= scan->series_count)
        return PROFILE_FILE_DAMAGED;
    if (frame->type == FRAME_END || (frame->type == FRAME_PROFILE && !is_wanted(scan, frame)))
        return 0;
    r = profile_reader_payload(reader, &payload);
    if (r != 0)
        return r < 0 ? r : PROFILE_FILE_DAMAGED;
    return frame->type == FRAME_STRINGS  ? take_names(scan, &payload)
           : frame->type == FRAME_SERIES ? take_series(scan, &payload)
                                         : take_profile(scan, frame, &payload);
}

static int read_frames(struct scan *scan, struct profile_reader *reader)
{
    struct profile_frame frame;
    unsigned count = 0;
    int r;

    while ((r = profile_reader_next(reader, &frame)) == PROFILE_READ_OK) {
        r = take_frame(scan, reader, &frame);
        if (r != 0)
            return r;
        if (scan->query->deadline_ns && ++count % 16 == 0 &&
            obs_mono_ns() > scan->query->deadline_ns)
            return -ETIMEDOUT;
    }
    return r == PROFILE_READ_END ? 0 : r < 0 ? r : PROFILE_FILE_DAMAGED;
}

int profile_file_scan(const char *path, uint64_t size, const struct profile_query *query,
                      profile_record_fn *record_fn, profile_labels_fn *labels_fn, void *userdata)
{
    OBS_CLEANUP(profile_reader_freep) struct profile_reader *reader = NULL;
    struct scan scan = {
        .query = query, .record_fn = record_fn, .labels_fn = labels_fn, .userdata = userdata};
    int r = profile_reader_new(path, size, &reader);

    if (r != 0)
        return r < 0 ? r : PROFILE_FILE_DAMAGED;
    r = obs_arena_new(NAMES_BYTES_MAX, &scan.arena);
    if (r == 0)
        r = read_frames(&scan, reader);
    obs_arena_free(scan.arena);
    free(scan.names);
    free(scan.series);
    free(scan.nodes);
    return r;
}

int profile_record_merge(const struct profile_record *record, struct profile_tree *tree,
                         enum profile_side side, uint64_t numerator, uint64_t denominator)
{
    uint32_t *places = malloc(record->node_count * sizeof(*places));
    int r = 0;

    if (!places)
        return -ENOMEM;
    places[0] = PROFILE_ROOT;
    for (size_t i = 1; i < record->node_count && r == 0; i++) {
        const struct profile_record_node *node = &record->nodes[i];

        r = profile_tree_child(tree, places[node->parent], record->names[node->name], &places[i]);
        if (r == 0 && node->self > 0)
            profile_tree_add(tree, places[i], side,
                             numerator == denominator
                                 ? node->self
                                 : profile_scale(node->self, numerator, denominator));
    }
    free(places);
    return r;
}
