#pragma once
/*
 * Segment: one sealed head in one immutable file: blocks of spans, blocks of lines, their index, a
 * trailer with checksums. Format: docs/telemetry-format.md.
 *
 * Shared by reference count between the tenant and running queries; the file of a dropped segment
 * goes with the last of them.
 */
#include "telemetry/block.h"
#include "telemetry/head.h"

struct segment {
    atomic_uint references;
    atomic_bool is_dropped, is_damage_said;
    char *path;
    uint64_t generation, min_ns, max_ns, span_count, line_count, size_bytes;
    struct block_info *blocks;
    size_t block_count;
    _Atomic(uint8_t **) trace_filters; /* one per block; read when first asked for */
};
/* May block @block have spans of the trace? @fd: of the segment's file. */
bool segment_has_trace(struct segment *segment, int fd, size_t block, uint64_t hash);

/* Write @head's rows (all batches up to @batch_count that are not dead) to @path: complete and
 * synced, or not there. Return: 0 or -errno. */
int segment_write(const char *path, const struct head *head, size_t batch_count);
/* Return: 0, -errno, -EBADMSG (damaged: a checksum or a place is wrong), -EPROTO (newer version).
 */
int segment_open(const char *path, uint64_t generation, struct segment **ret_segment);
struct segment *segment_ref(struct segment *segment);
struct segment *segment_unref(struct segment *segment); /* NULL is fine; returns NULL */
OBS_DEFINE_CLEANUP(struct segment *, segment_unref)
