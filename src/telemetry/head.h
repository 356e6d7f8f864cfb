#pragma once
/*
 * Head: what a tenant has taken since its last segment, in memory, and the write-ahead log that
 * makes it durable. When a head is full it is sealed into one segment and its log goes.
 *
 * Shared by reference count between the tenant and running queries. Batches are only ever added, so
 * a reader that knows their number needs no lock to walk them.
 */
#include "telemetry/head_row.h"

struct wal;

struct head {
    atomic_uint references;
    struct head *older; /* in the tenant's list */
    uint64_t generation;
    struct row_batch *first, *last;
    size_t batch_count, size_bytes;
    uint64_t span_count, line_count;
    uint64_t first_append_mono_ns; /* 0: empty */
    struct wal *wal;
};

int head_new(uint64_t generation, struct head **ret_head);
struct head *head_ref(struct head *head);
struct head *head_unref(struct head *head);                /* NULL is fine; returns NULL */
void head_add(struct head *head, struct row_batch *batch); /* taken; under the tenant's lock */
OBS_DEFINE_CLEANUP(struct head *, head_unref)
