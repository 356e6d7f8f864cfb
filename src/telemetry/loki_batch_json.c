/* {"streams": [{"stream": {"a": "b"}, "values": [["<ns>", "line", {"trace_id": "…"}]]}]} */
#include "base/text.h"
#include "telemetry/loki_batch_internal.h"
#include <errno.h>
#include <string.h>

static int refuse(struct obs_reason *reterr_reason, const char *what)
{
    obs_reason_set(reterr_reason, "loghttp.PushRequest: %s", what);
    return 400;
}

static struct text_view view(const json_t *text)
{
    return (struct text_view){json_string_value(text), json_string_length(text)};
}

/* An object of texts. */
static int read_pairs(struct loki_batch *batch, json_t *object, struct label **ret_labels,
                      size_t *ret_count, struct obs_reason *reterr_reason)
{
    struct label *labels;
    const char *name;
    json_t *value;
    size_t count = 0;

    if (!json_is_object(object))
        return refuse(reterr_reason, "labels and structured metadata are objects");
    labels = obs_arena_alloc(batch->arena, (json_object_size(object) + 1) * sizeof(*labels));
    if (!labels)
        return -ENOMEM;
    json_object_foreach (object, name, value) {
        if (!json_is_string(value))
            return refuse(reterr_reason,
                          "values of labels and structured metadata are strings, not nested");
        labels[count++] = (struct label){{name, strlen(name)}, view(value)};
    }
    *ret_labels = labels;
    *ret_count = count;
    return 0;
}

static int read_entry(struct loki_batch *batch, const struct loki_stream *stream,
                      const json_t *entry, struct obs_reason *reterr_reason)
{
    const json_t *time = json_array_get(entry, 0), *line = json_array_get(entry, 1);
    struct label *metadata = NULL;
    size_t count = 0;
    uint64_t time_ns;
    int r;

    if (!json_is_array(entry) || json_array_size(entry) < 2 || json_array_size(entry) > 3)
        return refuse(reterr_reason, "an entry is [\"<ns>\", \"line\"] or has an object behind it");
    if (!json_is_string(time) ||
        obs_text_parse_u64(json_string_value(time), json_string_length(time), INT64_MAX,
                           &time_ns) != OBS_TEXT_OK)
        return refuse(reterr_reason, "a time is a string of Unix nanoseconds");
    if (!json_is_string(line))
        return refuse(reterr_reason, "a line is a string");
    if (json_array_size(entry) == 3) {
        r = read_pairs(batch, json_array_get(entry, 2), &metadata, &count, reterr_reason);
        if (r != 0)
            return r;
    }
    return loki_batch_line(batch, stream, time_ns, view(line), metadata, count);
}

static int read_stream(struct loki_batch *batch, const json_t *object,
                       struct obs_reason *reterr_reason)
{
    const json_t *values = json_object_get(object, "values");
    struct loki_stream stream;
    struct label *labels;
    size_t count;
    int r;

    r = read_pairs(batch, json_object_get(object, "stream"), &labels, &count, reterr_reason);
    if (r != 0)
        return r;
    if (!json_is_array(values))
        return refuse(reterr_reason, "\"values\" is an array");
    if (batch->count + batch->rejected + json_array_size(values) > LOKI_ENTRIES_MAX) {
        obs_reason_set(reterr_reason, "more than %d lines in a request", LOKI_ENTRIES_MAX);
        return 413;
    }
    loki_batch_stream(batch, labels, count, &stream);
    for (size_t i = 0; i < json_array_size(values) && r == 0; i++)
        r = read_entry(batch, &stream, json_array_get(values, i), reterr_reason);
    return r;
}

int loki_batch_from_json(const char *data, size_t size, uint64_t now_ns,
                         struct loki_batch **ret_batch, struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(loki_batch_freep) struct loki_batch *batch = NULL;
    const json_t *streams;
    int r = loki_batch_new(now_ns, &batch);

    if (r < 0)
        return r;
    r = obs_json_parse(data, size, &batch->json, reterr_reason);
    if (r != OBS_JSON_OK)
        return r < 0 ? r : 400;
    streams = json_object_get(batch->json, "streams");
    if (!json_is_array(streams))
        return refuse(reterr_reason, "\"streams\" is an array");
    for (size_t i = 0; i < json_array_size(streams) && r == 0; i++)
        r = read_stream(batch, json_array_get(streams, i), reterr_reason);
    if (r != 0)
        return r;
    *ret_batch = OBS_TAKE(batch);
    return 0;
}
