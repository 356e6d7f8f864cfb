#pragma once
/*
 * Load: one text by its key, from the cache, from another request that loads it already, or from
 * the database.
 */
#include "shop/catalog/catalog.h"
#include "shop/catalog/products.h"

enum { LOAD_KEY_SIZE = 192, LOAD_TEXT_MAX = 256 << 10, LOAD_NUMBER_SIZE = 24 };

struct load {
    struct catalog *catalog;
    const struct catalog_policy *policy;
    const char *key;
    unsigned ttl_ms; /* 0: not cached */
    /* Ask the database. Return: an enum catalog_outcome value; *ret_text is malloc'd with
     * CATALOG_OK. */
    int (*query)(struct db_connection *connection, const struct load *load, char **ret_text);
    /* What the query is about; each uses what it needs. */
    int64_t id;
    const char *category, *words;
    unsigned page, limit;
};

/* "kind:subject", and the request when the key fields say so. */
void load_make_key(const struct catalog_policy *policy, char key[LOAD_KEY_SIZE], const char *kind,
                   const char *subject);
/* @ttl_ms less what the policy's jitter draws. */
unsigned load_ttl(const struct catalog_policy *policy, unsigned ttl_ms);
/* Store what a load ended with: a text, or that there is none. */
void load_store(const struct load *load, int outcome, const char *text);

/* Return: an enum catalog_outcome value or < 0. *ret_text: free() it; set with CATALOG_OK. */
int load_text(struct load *load, char **ret_text, enum products_source *ret_source);

/* Copy into @arena. Return: CATALOG_OK, -ENOMEM. */
int load_keep(struct obs_arena *arena, const char *text, const char **ret_text);
