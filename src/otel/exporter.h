#pragma once
/*
 * Exporter: sends what waits in a span queue to an OTLP/HTTP receiver, from a thread of its own.
 *
 * What a receiver may still take later (429, 502, 503, 504, no connection, no answer in time: OTLP,
 * failures) is sent again after a growing, jittered pause, or the one that Retry-After asks for,
 * until the batch is `give_up_ms` old. Everything else that is not 2xx is refused for good.
 */
#include "base/http_client.h"
#include "otel/span_queue.h"
#include <stdatomic.h>

#define OBS_EXPORTER_VERSIONS_MAX 64

struct obs_exporter {
    struct obs_span_queue queue;
    struct obs_http_client *client;
    char target[160];
    struct obs_buffer resource; /* see obs_otlp_resource() */
    unsigned retry_ms, give_up_ms;
    uint64_t warned_ns; /* monotonic time of the last warning */

    pthread_mutex_t version_lock;
    char *versions[OBS_EXPORTER_VERSIONS_MAX];
    _Atomic uint16_t version; /* of spans ended from now on */

    _Atomic uint64_t exported, dropped, batches, failures;
};

/* Put the version in force; spans that ended before keep theirs. */
void obs_exporter_set_version(struct obs_exporter *e, const char *version);
/* Until the queue stops. */
void obs_exporter_run(struct obs_exporter *e);
