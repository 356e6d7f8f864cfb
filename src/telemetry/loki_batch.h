#pragma once
/*
 * Batch: a push request's lines, decoded and checked.
 *
 * What breaks a limit is left out and told (rejected, reason), the rest is good: Loki's partial
 * errors. What cannot be decoded is refused as a whole.
 */
#include "base/arena.h"
#include "base/cleanup.h"
#include "base/reason.h"
#include "telemetry/model.h"

enum {
    LOKI_BODY_MAX = 16 << 20, /* decompressed */
    LOKI_LINE_MAX = 256 << 10,
    LOKI_LABELS_MAX = 15,
    LOKI_LABEL_NAME_MAX = 1024,
    LOKI_LABEL_VALUE_MAX = 2048,
    LOKI_METADATA_MAX = 128,
    LOKI_METADATA_BYTES_MAX = 64 << 10,
    LOKI_ENTRIES_MAX = 500000,
};

struct loki_batch;

/* Both borrow @data for the batch's life; @now_ns bounds times (a week back, ten minutes ahead).
 * Return: 0; 400 or 413 and a reason; -ENOMEM. */
int loki_batch_from_json(const char *data, size_t size, uint64_t now_ns,
                         struct loki_batch **ret_batch, struct obs_reason *reterr_reason);
/* @data: snappy (block format) around logproto's PushRequest. */
int loki_batch_from_snappy(const char *data, size_t size, uint64_t now_ns,
                           struct loki_batch **ret_batch, struct obs_reason *reterr_reason);
int loki_batch_from_protobuf(const char *data, size_t size, uint64_t now_ns,
                             struct loki_batch **ret_batch, struct obs_reason *reterr_reason);
struct loki_batch *loki_batch_free(struct loki_batch *batch);

const struct line_view *loki_batch_lines(const struct loki_batch *batch, size_t *ret_count);
/* Lines left out; @ret_reason: why the first was. */
size_t loki_batch_rejected(const struct loki_batch *batch, const struct obs_reason **ret_reason);
OBS_DEFINE_CLEANUP(struct loki_batch *, loki_batch_free)
