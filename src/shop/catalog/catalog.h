#pragma once
/*
 * Catalog: products, categories, prices and search, from PostgreSQL through a cache in Redis.
 *
 * What a handler needs stands in struct catalog. Every request takes one policy from the settings
 * and works by it to its end, so a change in between cannot split it.
 */
#include "base/arena.h"
#include "shop/catalog/cache.h"
#include "shop/catalog/single_flight.h"
#include "shop/service/db_pool.h"
#include "shop/service/service.h"

struct catalog {
    struct service *service;
    struct db_pool *db;
    struct cache *cache;
    struct single_flight *flights;
    _Atomic bool has_schema; /* seen once: the migrations have run */
};

/* How one of the catalog's reads ended. */
enum catalog_outcome {
    CATALOG_OK = 0,
    CATALOG_ABSENT = 1, /* there is no such thing */
    CATALOG_BUSY = 2,   /* no database connection became free in time */
    CATALOG_SLOW = 3,   /* the database took longer than statement_timeout */
    CATALOG_DOWN = 4,   /* the database cannot be reached */
};

/* Settings of one request. */
struct catalog_policy {
    bool is_cache_enabled, is_fresh; /* fresh: neither read nor filled, asked for by ?fresh=1 */
    bool is_single_flight, is_keyed_by_request;
    unsigned ttl_ms, negative_ttl_ms, search_ttl_ms;
    double jitter;
    unsigned candidates;
    unsigned ranking;
};

void catalog_policy_read(struct catalog *catalog, struct catalog_policy *ret_policy);

/* Map what the database said. @r: an enum db_outcome value or < 0. */
int catalog_outcome_of(const struct db_connection *connection, int r);
/* Answer a request that did not end well; <0 is 500. */
void catalog_reply_failure(struct obs_http_request *request, int outcome, const char *what);

/* The API. */
extern const struct obs_http_route CATALOG_ROUTES[];
extern const size_t CATALOG_ROUTE_COUNT;
