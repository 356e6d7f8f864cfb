#include "shop/fulfilment/shipments.h"
#include "base/clock.h"
#include "base/text.h"
#include <pthread.h>
#include <string.h>

struct shipments {
    pthread_mutex_t lock;
    struct shipment ring[SHIPMENTS_KEPT];
    size_t total; /* the newest is ring[(total - 1) % SHIPMENTS_KEPT] */
};

struct shipments *shipments_new(void)
{
    struct shipments *s = calloc(1, sizeof(*s));

    if (s)
        pthread_mutex_init(&s->lock, NULL);
    return s;
}

struct shipments *shipments_free(struct shipments *s)
{
    if (!s)
        return NULL;
    pthread_mutex_destroy(&s->lock);
    free(s);
    return NULL;
}

void shipments_add(struct shipments *s, const struct shipment *shipment)
{
    pthread_mutex_lock(&s->lock);
    s->ring[s->total++ % SHIPMENTS_KEPT] = *shipment;
    pthread_mutex_unlock(&s->lock);
}

static json_t *shipment_json(const struct shipment *shipment)
{
    char at[OBS_RFC3339_SIZE];

    obs_time_rfc3339(shipment->shipped_ns, at);
    return json_pack("{s:s, s:s, s:s, s:I, s:s, s:f}", "order_id", shipment->order_id, "carrier",
                     shipment->carrier, "tracking", shipment->tracking, "pieces",
                     (json_int_t)shipment->pieces, "shipped_at", at, "duration_ms",
                     shipment->duration_ms);
}

void shipments_reply(struct shipments *s, struct obs_http_request *request)
{
    const char *text = obs_http_query(request, "limit");
    OBS_JSON json = NULL;
    json_t *list;
    uint64_t limit = 20;

    if (text &&
        (obs_text_parse_u64(text, strlen(text), SHIPMENTS_KEPT, &limit) != 0 || limit == 0)) {
        obs_http_reply_problemf(request, 422, "limit: expected an integer from 1 to %d",
                                SHIPMENTS_KEPT);
        return;
    }
    list = json_array();
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < limit && i < s->total; i++)
        json_array_append_new(list, shipment_json(&s->ring[(s->total - 1 - i) % SHIPMENTS_KEPT]));
    pthread_mutex_unlock(&s->lock);
    json = json_pack("{s:o}", "shipments", list);
    obs_http_reply_json(request, 200, json);
}
