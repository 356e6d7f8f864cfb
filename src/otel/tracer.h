#pragma once
/*
 * Tracer: what spans need of it, inside otel. The rest stands in otel/trace.h.
 */
#include "otel/trace.h"

/* The sampling decision of a new trace: the same for all processes with the same ratio. */
bool obs_tracer_is_sampled(struct obs_tracer *tracer, const uint8_t trace_id[16]);
/* Copy an ended span into the queue, or drop and count it. Never blocks on the exporter. */
void obs_tracer_take(struct obs_tracer *tracer, const struct obs_span *span);
