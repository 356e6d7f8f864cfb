#pragma once
/*
 * Products: reads and writes of the catalog, each from the cache where the policy allows.
 *
 * Lists (a page, featured ones, a search) hold ids only. The products themselves come from one
 * entry each, so a price has one place to be right or wrong in.
 */
#include "shop/catalog/catalog.h"

enum { PRODUCTS_MAX = 100 }; /* in one reply */

/* Where an answer came from: header X-Cache. */
enum products_source { FROM_DATABASE, FROM_CACHE };

struct product_list {
    int64_t ids[PRODUCTS_MAX];
    size_t count;
    int64_t total;
    enum products_source source;
};

/* All return an enum catalog_outcome value or < 0. Texts live in @arena. */

/* One product as JSON. */
int products_find(struct catalog *catalog, const struct catalog_policy *policy, int64_t id,
                  struct obs_arena *arena, const char **ret_json, enum products_source *ret_source);
/* ret_jsons[count]: NULL for those that do not exist. count <= PRODUCTS_MAX. */
int products_find_many(struct catalog *catalog, const struct catalog_policy *policy,
                       const int64_t *ids, size_t count, struct obs_arena *arena,
                       const char **ret_jsons);
/* A page of a category (NULL: of all), most popular first. */
int products_list(struct catalog *catalog, const struct catalog_policy *policy,
                  const char *category, unsigned page, unsigned limit,
                  struct product_list *ret_list);
/* Popular products that fit the season's campaign. */
int products_featured(struct catalog *catalog, const struct catalog_policy *policy, unsigned limit,
                      struct product_list *ret_list);
/* The best @limit of a search, by the policy's ranking. */
int products_search(struct catalog *catalog, const struct catalog_policy *policy, const char *query,
                    unsigned limit, struct product_list *ret_list);
/* {"items":[…]} */
int products_categories(struct catalog *catalog, const struct catalog_policy *policy,
                        struct obs_arena *arena, const char **ret_json,
                        enum products_source *ret_source);
/* Write a price; then the entry goes if @is_invalidated. *ret_json: the product as it is now. */
int products_set_price(struct catalog *catalog, int64_t id, int64_t price_cents,
                       bool is_invalidated, struct obs_arena *arena, const char **ret_json);
