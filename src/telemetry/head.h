#pragma once
/*
 * Head: what a tenant has taken since its last segment, in memory, and the write-ahead log that
 * makes it durable. When a head is full it is sealed into one segment and its log goes.
 *
 * Shared by reference count between the tenant and running queries. Batches are only ever added, so
 * a reader that knows their number needs no lock to walk them.
 */
#include "telemetry/head_row.h"
#include "telemetry/store_set.h"

struct wal;

struct head {
    atomic_uint references;
    struct head *older; /* in the tenant's list */
    uint64_t generation;
    struct row_batch *first, *last;
    size_t batch_count, size_bytes;
    uint64_t span_count, line_count;
    struct store_set streams;      /* hashes of the streams that its lines have */
    uint64_t first_append_mono_ns; /* 0: empty */
    struct wal *wal;
};

int head_new(uint64_t generation, struct head **ret_head);
struct head *head_ref(struct head *head);
struct head *head_unref(struct head *head); /* NULL is fine; returns NULL */
/* Both under the tenant's lock. */
void head_add(struct head *head, struct row_batch *batch); /* taken */
/* Note the streams of a batch of lines, before it is added. Return: 0, -ENOMEM, -E2BIG (there would
 * be more than @limit). */
int head_note_streams(struct head *head, const struct row_batch *batch, size_t limit);
OBS_DEFINE_CLEANUP(struct head *, head_unref)
