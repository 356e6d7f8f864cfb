#pragma once
/*
 * Ship: forwards log lines to a log store through Loki's push API (POST /loki/api/v1/push).
 *
 *   capture ──ship_take()──► lane of its tenant ──► the one sending thread ──► store
 *
 * Each tenant has a lane of its own: lines of two tenants are never in one request, and each
 * request names its tenant (X-Scope-OrgID). A lane is sent when it holds `batch_bytes` or its
 * oldest line is `flush_ms` old. What a store may take later (no connection, no answer in time,
 * 429, 5xx) waits in its lane and is sent again after a growing, jittered pause, or the one that
 * Retry-After asks for; everything else that is not 2xx is refused for good. All lanes together are
 * bounded: past that the oldest line of the longest lane goes. A line may arrive twice, when an
 * answer got lost.
 *
 * Decided against a queue on disk: each unit's file (agent/capture.h) has the lines of an outage.
 */
#include "agent/ship_line.h"
#include "base/cleanup.h"
#include "otel/endpoint.h"
#include <stddef.h>
#include <stdint.h>

#define SHIP_LANES_MAX 256 /* past that, lines of new tenants go to the agent's own */

struct ship;

struct ship_options {
    const char *tenant; /* copied: the agent's own */
    /* Borrowed. A tenant that its headers name is left out: it would override the lanes' own. */
    const struct obs_endpoint *endpoint;
    /* 0: what stands behind. */
    size_t queue_bytes; /* memory of all that waits or is being sent: 8 MiB */
    size_t queue_lines; /* 32768 */
    size_t batch_bytes; /* of lines: 256 KiB */
    unsigned flush_ms;  /* 1000 */
    unsigned retry_ms;  /* first pause: 250; doubles up to 10 s */
    unsigned call_ms;   /* patience with one request: 5000 */
};

struct ship_counts {
    uint64_t shipped;
    uint64_t overflowed; /* lines given up: they waited too long, or memory was short */
    uint64_t refused;    /* lines given up: the store refused them */
    uint64_t failures;   /* requests that will be made again */
    uint64_t waiting;    /* lines, now */
};

/* Starts the thread. Return: 0, -ENOMEM, -errno. */
int ship_new(const struct ship_options *options, struct ship **ret_ship);
/* Sends what waits, each lane once more and for at most `flush_ms`, then ends the thread. */
struct ship *ship_free(struct ship *ship);

/* Any thread; never waits for the network. @line (no newline) is copied, @unit is borrowed for the
 * ship's life. */
void ship_take(struct ship *ship, const struct unit *unit, const char *line, size_t size);

void ship_count(struct ship *ship, struct ship_counts *ret_counts); /* any thread */

OBS_DEFINE_CLEANUP(struct ship *, ship_free)
