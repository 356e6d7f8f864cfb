#pragma once
/*
 * pprof: profile.proto (api/proto/pprof.proto), read within limits and written.
 *
 * Read without building the message: one pass finds the tables, a second walks the samples straight
 * into one tree for each sample type. Sample labels are not kept: samples that differ in them alone
 * are added up. A location without a line is named by its address, an inlined call becomes a frame.
 */
#include "telemetry/profile_folded.h"

#define PPROF_TABLE_MAX 262144 /* strings, locations, functions, lines: each */
#define PPROF_SAMPLES_MAX 1048576
#define PPROF_FRAMES_MAX (8u << 20) /* of all samples together */
#define PPROF_TYPES_MAX 8
#define PPROF_INFLATED_MAX (16u << 20)

struct pprof_values {
    struct text_view type, unit; /* "alloc_space", "bytes" */
    struct profile_tree *tree;   /* PROFILE_LEFT */
};

struct pprof {
    struct pprof_values values[PPROF_TYPES_MAX];
    size_t value_count;
    struct text_view period_type, period_unit;
    uint64_t period; /* 0: not said */
    uint64_t time_ns, duration_ns;
};

/* Texts point into @data. Return: PROFILE_DECODED (release with pprof_done()), PROFILE_MALFORMED,
 * PROFILE_TOO_LARGE, -ENOMEM. */
int pprof_decode(const void *data, size_t size, struct pprof *ret_pprof,
                 struct obs_reason *reterr_reason);
void pprof_done(struct pprof *pprof);

/* Undo gzip when @data is gzip, else copy. Return as above; the limit is @b's. */
int profile_gunzip(const void *data, size_t size, struct obs_buffer *b,
                   struct obs_reason *reterr_reason);

struct pprof_header {
    const char *type, *unit; /* of the values */
    uint64_t period;         /* CPU nanoseconds between samples; 0: none */
    uint64_t time_ns, duration_ns;
};
/* Append gzip'd profile.proto of one side of a tree. Return: 0, the buffer's error. */
int pprof_emit(const struct profile_tree *tree, enum profile_side side,
               const struct pprof_header *header, struct obs_buffer *b);
