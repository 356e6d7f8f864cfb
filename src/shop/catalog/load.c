#include "shop/catalog/load.h"
#include "base/text.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

enum { FLIGHT_TIMEOUT_MS = 15000 };

unsigned load_ttl(const struct catalog_policy *policy, unsigned ttl_ms)
{
    uint32_t random = 0;

    if (policy->jitter <= 0 || getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
        return ttl_ms;
    return (unsigned)(ttl_ms * (1.0 - policy->jitter * (random / 4294967296.0))) + 1;
}

void load_store(const struct load *l, int outcome, const char *text)
{
    struct cache_entry entry = {.key = l->key, .text = text};

    if (outcome == CATALOG_OK)
        entry.ttl_ms = load_ttl(l->policy, l->ttl_ms);
    else if (outcome == CATALOG_ABSENT && l->policy->negative_ttl_ms > 0)
        entry.ttl_ms = l->policy->negative_ttl_ms;
    else
        return;
    cache_put_many(l->catalog->cache, &entry, 1);
}

static int load_from_database(const struct load *l, char **ret_text)
{
    OBS_CLEANUP(db_releasep) struct db_connection *connection = NULL;
    int r = db_acquire(l->catalog->db, &connection);

    if (r != DB_OK)
        return catalog_outcome_of(NULL, r);
    return l->query(connection, l, ret_text);
}

static int load_and_fill(void *userdata, char **ret_text)
{
    const struct load *l = userdata;
    int outcome = load_from_database(l, ret_text);

    load_store(l, outcome, *ret_text);
    return outcome;
}

int load_text(struct load *l, char **ret_text, enum products_source *ret_source)
{
    const struct catalog_policy *policy = l->policy;
    bool is_shared = false;
    int outcome;

    *ret_text = NULL;
    *ret_source = FROM_DATABASE;
    if (!policy->is_cache_enabled || policy->is_fresh || l->ttl_ms == 0)
        return load_from_database(l, ret_text);
    outcome = cache_get(l->catalog->cache, l->key, ret_text);
    if (outcome == CACHE_HIT || outcome == CACHE_NEGATIVE) {
        *ret_source = FROM_CACHE;
        return outcome == CACHE_HIT ? CATALOG_OK : CATALOG_ABSENT;
    }
    if (!policy->is_single_flight)
        return load_and_fill(l, ret_text);
    outcome = single_flight_run(l->catalog->flights, l->key, load_and_fill, l, FLIGHT_TIMEOUT_MS,
                                ret_text, &is_shared);
    return outcome == SINGLE_FLIGHT_TIMEOUT ? CATALOG_BUSY : outcome;
}

void load_make_key(const struct catalog_policy *policy, char key[LOAD_KEY_SIZE], const char *kind,
                   const char *subject)
{
    const struct obs_trace_context *context = obs_trace_current();
    char request[2 * sizeof(context->span_id) + 1] = "";

    if (policy->is_keyed_by_request && context) /* the server span: one for each request */
        obs_text_hex(context->span_id, sizeof(context->span_id), request);
    (void)snprintf(key, LOAD_KEY_SIZE, "%s:%s%s%s", kind, subject, *request != '\0' ? ":" : "",
                   request);
}

int load_keep(struct obs_arena *arena, const char *text, const char **ret_text)
{
    *ret_text = obs_arena_strndup(arena, text, strlen(text));
    return *ret_text ? CATALOG_OK : -ENOMEM;
}
