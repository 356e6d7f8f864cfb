#pragma once
/*
 * Tails: clients that watch lines arrive (/loki/api/v1/tail), as server-sent events.
 *
 * A line is matched in the thread that appended it and sent from the loop's. A client that reads
 * too slowly loses lines, not memory: what is lost is counted and told (dropped_entries).
 */
#include "base/cleanup.h"
#include "telemetry/store.h"

struct event_base;
struct loki_tails;

enum {
    LOKI_TAILS_MAX = 64, /* of all tenants */
    LOKI_TENANT_TAILS_MAX = 10,
    LOKI_TAIL_PENDING_MAX = 1 << 20, /* bytes matched and not yet given to the connection */
};

/* Sets store_on_lines(); in the loop's thread. Return: 0, -ENOMEM, -errno. */
int loki_tails_new(struct event_base *base, struct store *store, struct loki_tails **ret_tails);
/* In the loop's thread, after the server is freed and when nobody appends any more. */
struct loki_tails *loki_tails_free(struct loki_tails *tails);
unsigned loki_tails_count(struct loki_tails *tails);
OBS_DEFINE_CLEANUP(struct loki_tails *, loki_tails_free)
