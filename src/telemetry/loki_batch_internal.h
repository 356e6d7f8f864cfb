#pragma once
/* What the decoders of a push share. */
#include "base/json.h"
#include "telemetry/loki_batch.h"

struct loki_batch {
    struct obs_arena *arena;
    json_t *json;
    char *plain; /* decompressed */
    struct line_view *lines;
    size_t count, capacity, rejected;
    struct obs_reason why; /* of the first rejected */
    uint64_t now_ns, streams;
};

struct loki_stream { /* labels of the lines that follow */
    const struct label *labels;
    size_t count;
    bool is_bad;    /* rejected; its lines too */
    char shown[96]; /* as in reasons */
};

int loki_batch_new(uint64_t now_ns, struct loki_batch **ret_batch);
/* Sorts and checks @labels; they must live as long as the batch. A refusal marks the stream. */
void loki_batch_stream(struct loki_batch *batch, struct label *labels, size_t count,
                       struct loki_stream *ret_stream);
/* Adds, or rejects and counts. Return: 0, -ENOMEM. */
int loki_batch_line(struct loki_batch *batch, const struct loki_stream *stream, uint64_t time_ns,
                    struct text_view line, struct label *metadata, size_t metadata_count);
