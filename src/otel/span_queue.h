#pragma once
/*
 * Span queue: ended spans, already encoded, from any thread to the exporter's.
 *
 * Producers append to one buffer under a short lock; the exporter swaps it for an empty one and
 * reads at leisure. So an idle queue holds no memory, a busy one a few hundred bytes a span, and
 * never more than the limit: spans that the exporter still holds count too.
 */
#include "base/buffer.h"
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct obs_span_queue {
    pthread_mutex_t lock;
    pthread_cond_t wake; /* the exporter; CLOCK_MONOTONIC */
    struct obs_buffer filling, draining;
    size_t drained;    /* bytes of `draining` that are done with */
    size_t count;      /* spans in both */
    size_t fresh;      /* spans in `filling` */
    uint64_t first_ns; /* monotonic time of the oldest span in `filling` */
    size_t limit, batch_max;
    uint64_t flush_ns;
    bool is_waiting; /* the exporter sleeps, and an append may have to wake it */
    bool is_stopping;
    uint64_t stop_ns; /* with is_stopping: monotonic deadline */
};

struct obs_queued_span {
    uint16_t version; /* index in the tracer's table */
    uint16_t size;
    const uint8_t *encoded;
};

enum obs_span_queue_outcome { OBS_SPAN_QUEUE_OK = 0, OBS_SPAN_QUEUE_FULL = 1 };

void obs_span_queue_init(struct obs_span_queue *q, size_t limit, size_t batch_max,
                         uint64_t flush_ns);
void obs_span_queue_done(struct obs_span_queue *q);

/* Any thread. */
int obs_span_queue_put(struct obs_span_queue *q, uint16_t version, const uint8_t *encoded,
                       size_t size);
void obs_span_queue_stop(struct obs_span_queue *q, uint64_t stop_ns);
size_t obs_span_queue_count(struct obs_span_queue *q);

/* The exporter's thread. Wait until a batch is due; false: stopping, and nothing left or no time.
 */
bool obs_span_queue_wait(struct obs_span_queue *q);
/* Sleep until @until_ns (monotonic), at most to the stop deadline; stopping wakes it once, for a
 * last try at once. */
void obs_span_queue_sleep(struct obs_span_queue *q, uint64_t until_ns);
/* Walk what waits in `draining`: start with *@at = q->drained. False at its end. */
bool obs_span_queue_next(const struct obs_span_queue *q, size_t *at,
                         struct obs_queued_span *ret_span);
/* The first @spans of `draining`, which end at @at, are done with. */
void obs_span_queue_release(struct obs_span_queue *q, size_t at, size_t spans);
/* Milliseconds that a call may take before the stop deadline, at most @most_ms. */
unsigned obs_span_queue_time_left_ms(struct obs_span_queue *q, unsigned most_ms);
