#pragma once
/* Shipments: the latest orders that left the house, in memory, for GET /shipments/recent. */
#include "base/http_server.h"
#include <stdint.h>

#define SHIPMENTS_KEPT 100

struct shipments;

struct shipment {
    char order_id[40], carrier[24], tracking[24];
    int64_t pieces;
    uint64_t shipped_ns; /* Unix time */
    double duration_ms;  /* from arrival of the message to the report */
};

struct shipments *shipments_new(void);
struct shipments *shipments_free(struct shipments *shipments);
void shipments_add(struct shipments *shipments, const struct shipment *shipment); /* any thread */
/* Newest first; answers ?limit=1..100. */
void shipments_reply(struct shipments *shipments, struct obs_http_request *request);
