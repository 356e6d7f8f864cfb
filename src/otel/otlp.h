#pragma once
/*
 * OTLP: spans as opentelemetry-proto 1.x's trace messages, the form that OTLP/HTTP carries
 * (https://opentelemetry.io/docs/specs/otlp/, binary protobuf).
 *
 * A span is encoded when it ends, on its owner's thread, into a few hundred bytes; a request is a
 * small frame around such spans.
 */
#include "base/buffer.h"
#include "otel/pb.h"
#include "otel/trace.h"

#define OBS_OTLP_SPAN_MAX 1536 /* bytes; attributes that do not fit are counted as dropped */

/* The fields of one Span message, without tag and length. Return: bytes written. */
size_t obs_otlp_encode_span(const struct obs_span *span, uint8_t out[OBS_OTLP_SPAN_MAX]);

/* The fields of the Resource message: service.name, the attributes of OTEL_RESOURCE_ATTRIBUTES form
 * (@extra, percent-encoded values), the exporter's own name. service.version is added per request.
 * Return: 0, -EINVAL (form), -ENOMEM. */
int obs_otlp_resource(const char *service, const char *extra, struct obs_buffer *ret_resource);

/* Append the start of an ExportTraceServiceRequest whose spans take @spans_size bytes, each with
 * obs_otlp_span_head() before it; the caller appends exactly those. */
int obs_otlp_begin(struct obs_buffer *b, const struct obs_buffer *resource, const char *version,
                   size_t spans_size);
size_t obs_otlp_span_size(size_t encoded_size); /* with its head */
int obs_otlp_append_span(struct obs_buffer *b, const void *encoded, size_t encoded_size);

/* Rejected spans of an ExportTraceServiceResponse; 0 when there is no partial success or the bytes
 * are no such message. */
uint64_t obs_otlp_rejected(const void *data, size_t size);
