/*
 * order_conservation: every order that the shop has accepted is fulfilled or dead-lettered in the
 * end, and no order ends twice.
 *
 * The journeys report what was accepted. Each round looks at the oldest; one that has ended is
 * checked and forgotten, one that has not ended stays until its time is up.
 */
#include "base/clock.h"
#include "load/probe_internal.h"
#include <stdio.h>
#include <string.h>

#define PER_ROUND 50
#define REST_NS (2 * OBS_NS_PER_SECOND) /* an order is left alone at first */
#define MISSING_MAX 3

enum look { LOOK_KEEP, LOOK_FORGET };

static bool is_ending(const char *status)
{
    return status && (strcmp(status, "fulfilled") == 0 || strcmp(status, "dead_lettered") == 0);
}

static unsigned count_endings(const json_t *order)
{
    const json_t *history = json_object_get(order, "history"), *entry;
    unsigned endings = 0;
    size_t i;

    json_array_foreach (history, i, entry)
        endings += is_ending(json_string_value(json_object_get(entry, "status")));
    return json_is_array(history) ? endings : 1;
}

static enum look look_at(struct probe *p, struct probe_order *order)
{
    OBS_JSON json = NULL;
    char target[128], detail[160];
    const char *status;
    int code;

    snprintf(target, sizeof(target), "%s/orders/%s", p->probes->orders ? "" : "/api", order->id);
    code = probe_get(p, p->probes->orders ? p->probes->orders : p->probes->target, target, false,
                     &json);
    if (code == 404 && ++order->missing < MISSING_MAX)
        return LOOK_KEEP;
    snprintf(detail, sizeof(detail), "order %s is not found", order->id);
    if (code == 404) {
        probe_check(p, false, detail);
        return LOOK_FORGET;
    }
    status = json_string_value(json_object_get(json, "status"));
    if (code != 200 || !status) {
        probe_error(p);
        return LOOK_KEEP;
    }
    if (is_ending(status)) {
        unsigned endings = count_endings(json);

        snprintf(detail, sizeof(detail), "order %s has ended %u times", order->id, endings);
        probe_check(p, endings == 1, detail);
        return LOOK_FORGET;
    }
    if (obs_mono_ns() - order->accepted_ns < p->probes->options.order_limit_ns)
        return LOOK_KEEP;
    snprintf(detail, sizeof(detail), "order %s is still %s after its time", order->id, status);
    probe_check(p, false, detail);
    return LOOK_FORGET;
}

/* The oldest order, taken out. False: none is old enough. */
static bool take_oldest(struct probes *probes, struct probe_order *ret_order)
{
    bool is_found;

    pthread_mutex_lock(&probes->lock);
    is_found =
        probes->pending_count > 0 && obs_mono_ns() - probes->pending[0].accepted_ns > REST_NS;
    if (is_found) {
        *ret_order = probes->pending[0];
        probes->pending_count--;
        memmove(probes->pending, probes->pending + 1,
                probes->pending_count * sizeof(probes->pending[0]));
    }
    pthread_mutex_unlock(&probes->lock);
    return is_found;
}

static void put_back(struct probes *probes, const struct probe_order *orders, size_t count)
{
    pthread_mutex_lock(&probes->lock);
    /* They are the oldest: newer ones give way. */
    if (probes->pending_count + count > PROBE_ORDERS_MAX)
        probes->pending_count = PROBE_ORDERS_MAX - count;
    memmove(probes->pending + count, probes->pending,
            probes->pending_count * sizeof(probes->pending[0]));
    memcpy(probes->pending, orders, count * sizeof(*orders));
    probes->pending_count += count;
    pthread_mutex_unlock(&probes->lock);
}

void probe_orders_run(struct probe *p)
{
    struct probe_order kept[PER_ROUND], order;
    size_t count = 0;

    for (int i = 0; i < PER_ROUND && take_oldest(p->probes, &order); i++)
        if (look_at(p, &order) == LOOK_KEEP)
            kept[count++] = order;
    put_back(p->probes, kept, count);
}
