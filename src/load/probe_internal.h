#pragma once
/* What the probes share. */
#include "base/http_client.h"
#include "base/json.h"
#include "load/probe.h"
#include "load/rng.h"
#include <pthread.h>

#define PROBE_ORDERS_MAX 4096
#define PROBE_ORDER_ID_MAX 64

struct probe_order {
    char id[PROBE_ORDER_ID_MAX];
    uint64_t accepted_ns;
    unsigned missing; /* times that it was not found */
};

/* One probe's series, and its place in the round. */
struct probe {
    struct probes *probes;
    const char *name;
    struct obs_metric_series *checks, *failures, *errors, *duration;
};

struct probes {
    struct probes_options options;
    struct obs_http_client *target, *catalog, *orders;
    struct rng rng;
    struct probe *list; /* as PROBES */
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool is_stopping; /* under the lock, as what follows */
    unsigned rounds;
    struct probe_order *pending; /* [PROBE_ORDERS_MAX] */
    size_t pending_count;
};

/* A check was made. @detail: what was seen, for the log when it does not hold. */
void probe_check(struct probe *p, bool holds, const char *detail);
void probe_error(struct probe *p);
/* GET @target from @client. Return: the status, 0 when there was no reply. @ret_json: NULL when
 * the body is no JSON. The time it took is the probe's duration when @is_timed. */
int probe_get(struct probe *p, struct obs_http_client *client, const char *target, bool is_timed,
              json_t **ret_json);
/* Sleep. False: the probes are stopping. */
bool probe_sleep(struct probes *probes, uint64_t duration_ns);
/* A value of the script's variable @name, or @standard. */
void probe_draw(struct probes *probes, const char *name, const char *standard, char *out,
                size_t size);

void probe_prices_run(struct probe *p);
void probe_orders_run(struct probe *p);
void probe_search_run(struct probe *p);
