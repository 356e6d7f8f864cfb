#pragma once
/* Settings of the catalog: rows of CATALOG_SETTINGS, by index. */
#include "shop/service/service.h"

enum {
    ROW_SEARCH_RANKING = SERVICE_ROW_FIRST_OWN,
    ROW_SEARCH_CANDIDATES,
    ROW_SEARCH_CACHE_TTL,
    ROW_CACHE_ENABLED,
    ROW_CACHE_TTL,
    ROW_CACHE_JITTER,
    ROW_CACHE_SINGLE_FLIGHT,
    ROW_CACHE_KEY_FIELDS,
    ROW_CACHE_INVALIDATE_ON_WRITE,
    ROW_CACHE_NEGATIVE_TTL,
    ROW_CACHE_TIMEOUT,
    ROW_CACHE_POOL_SIZE,
    ROW_DB_POOL_SIZE,
    ROW_DB_ACQUIRE_TIMEOUT,
    ROW_DB_STATEMENT_TIMEOUT,
    CATALOG_ROW_COUNT
};

/* Choices, in the order of the table. */
enum catalog_ranking { RANKING_WEIGHTED, RANKING_PROXIMITY };
enum catalog_key_fields { KEY_FIELDS_PRODUCT, KEY_FIELDS_PRODUCT_REQUEST };

extern const struct obs_settings_schema CATALOG_SETTINGS;
