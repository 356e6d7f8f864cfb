/* A push body: as JSON, as snappy, and as the protobuf inside. */
#include "telemetry/loki_batch.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look(struct loki_batch *batch)
{
    size_t count;
    const struct line_view *lines;
    volatile char sink = 0;

    if (!batch)
        return;
    lines = loki_batch_lines(batch, &count);
    for (size_t i = 0; i < count; i++) { /* every byte is there to be read */
        if (lines[i].line.size > 0)
            sink ^= lines[i].line.text[lines[i].line.size - 1];
        if (lines[i].label_count == 0)
            abort();
        for (size_t l = 0; l < lines[i].label_count; l++)
            sink ^= lines[i].labels[l].value.text[lines[i].labels[l].value.size - 1];
        for (size_t m = 0; m < lines[i].metadata_count; m++)
            sink ^= lines[i].metadata[m].value.text[lines[i].metadata[m].value.size - 1];
    }
    (void)sink;
    loki_batch_free(batch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct loki_batch *batch = NULL;
    struct obs_reason why = {0};
    const char *text = (const char *)data;
    uint64_t now = 1700000000000000000ULL;

    if (size == 0)
        return 0;
    if (text[0] == '{') {
        if (loki_batch_from_json(text, size, now, &batch, &why) == 0)
            look(batch);
        return 0;
    }
    if (loki_batch_from_protobuf(text, size, now, &batch, &why) == 0)
        look(batch);
    batch = NULL;
    if (loki_batch_from_snappy(text, size, now, &batch, &why) == 0)
        look(batch);
    return 0;
}
