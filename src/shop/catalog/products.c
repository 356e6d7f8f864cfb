#include "shop/catalog/products.h"
#include "base/buffer.h"
#include "shop/catalog/load.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PRODUCT_COLUMNS                                                                            \
    "p.id, p.name, p.description, c.slug, p.price_cents, p.popularity, p.rating,"                  \
    " to_char(p.updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
#define FROM_PRODUCTS " FROM products p JOIN categories c ON c.id = p.category_id "

/* ---- products as JSON ---- */

static int append_product(struct obs_buffer *b, const PGresult *result, int row)
{
    const char *name = PQgetvalue(result, row, 1), *description = PQgetvalue(result, row, 2);

    obs_buffer_printf(b, "{\"id\":%s,\"name\":", PQgetvalue(result, row, 0));
    obs_buffer_append_json(b, name, strlen(name));
    obs_buffer_append_text(b, ",\"description\":");
    obs_buffer_append_json(b, description, strlen(description));
    return obs_buffer_printf(
        b,
        ",\"category\":\"%s\",\"price_cents\":%s,\"currency\":\"EUR\",\"popularity\":%s,"
        "\"rating\":%s,\"updated_at\":\"%s\"}",
        PQgetvalue(result, row, 3), PQgetvalue(result, row, 4), PQgetvalue(result, row, 5),
        PQgetvalue(result, row, 6), PQgetvalue(result, row, 7));
}

static int product_text(const PGresult *result, int row, char **ret_text)
{
    struct obs_buffer b = OBS_BUFFER_INIT(LOAD_TEXT_MAX);
    int r = append_product(&b, result, row);

    if (r < 0) {
        obs_buffer_done(&b);
        return r;
    }
    *ret_text = b.data; /* malloc'd, like every buffer's bytes */
    return CATALOG_OK;
}

static int query_product(struct db_connection *connection, const struct load *l, char **ret_text)
{
    OBS_CLEANUP(PQclearp) PGresult *result = NULL;
    char id[LOAD_NUMBER_SIZE];
    int r;

    (void)snprintf(id, sizeof(id), "%" PRId64, l->id);
    r = db_query(connection, "products.find",
                 "SELECT " PRODUCT_COLUMNS FROM_PRODUCTS "WHERE p.id = $1", 1,
                 (const char *const[]){id}, &result);
    if (r != DB_OK)
        return catalog_outcome_of(connection, r);
    return PQntuples(result) > 0 ? product_text(result, 0, ret_text) : CATALOG_ABSENT;
}

int products_find(struct catalog *catalog, const struct catalog_policy *policy, int64_t id,
                  struct obs_arena *arena, const char **ret_json, enum products_source *ret_source)
{
    OBS_CLEANUP(obs_freep) char *text = NULL;
    char key[LOAD_KEY_SIZE], subject[LOAD_NUMBER_SIZE];
    struct load l = {.catalog = catalog,
                     .policy = policy,
                     .key = key,
                     .ttl_ms = policy->ttl_ms,
                     .query = query_product,
                     .id = id};
    int outcome;

    (void)snprintf(subject, sizeof(subject), "%" PRId64, id);
    load_make_key(policy, key, "product", subject);
    outcome = load_text(&l, &text, ret_source);
    return outcome == CATALOG_OK ? load_keep(arena, text, ret_json) : outcome;
}

/* ---- many products ---- */

struct batch {
    struct catalog *catalog;
    const struct catalog_policy *policy;
    struct obs_arena *arena;
    const int64_t *ids;
    size_t count;
    const char **jsons;          /* found so far */
    bool is_known[PRODUCTS_MAX]; /* found, or known to be absent */
    char keys[PRODUCTS_MAX]
             [LOAD_KEY_SIZE]; /* a thread's stack has room for it, but not for much more */
};

static int batch_from_cache(struct batch *b)
{
    const char *keys[PRODUCTS_MAX];
    char *texts[PRODUCTS_MAX];
    int outcomes[PRODUCTS_MAX];
    int r = CATALOG_OK;

    for (size_t i = 0; i < b->count; i++) {
        char subject[LOAD_NUMBER_SIZE];

        (void)snprintf(subject, sizeof(subject), "%" PRId64, b->ids[i]);
        load_make_key(b->policy, b->keys[i], "product", subject);
        keys[i] = b->keys[i];
    }
    cache_get_many(b->catalog->cache, keys, b->count, texts, outcomes);
    for (size_t i = 0; i < b->count; i++) {
        b->is_known[i] = outcomes[i] == CACHE_HIT || outcomes[i] == CACHE_NEGATIVE;
        if (texts[i] && r == CATALOG_OK)
            r = load_keep(b->arena, texts[i], &b->jsons[i]);
        free(texts[i]);
    }
    return r;
}

static size_t batch_unknown(const struct batch *b)
{
    size_t unknown = 0;

    for (size_t i = 0; i < b->count; i++)
        unknown += !b->is_known[i];
    return unknown;
}

/* "{1,2,3}": those not known yet. */
static int batch_array(const struct batch *b, struct obs_buffer *text)
{
    const char *separator = "{";

    for (size_t i = 0; i < b->count; i++) {
        if (b->is_known[i])
            continue;
        obs_buffer_printf(text, "%s%" PRId64, separator, b->ids[i]);
        separator = ",";
    }
    return obs_buffer_append_text(text, "}");
}

static int batch_take_row(struct batch *b, const PGresult *result, int row)
{
    OBS_CLEANUP(obs_freep) char *text = NULL;
    int64_t id = strtoll(PQgetvalue(result, row, 0), NULL, 10);
    int r = product_text(result, row, &text);

    for (size_t i = 0; r == CATALOG_OK && i < b->count; i++)
        if (b->ids[i] == id && !b->jsons[i])
            r = load_keep(b->arena, text, &b->jsons[i]);
    return r;
}

static void batch_fill(const struct batch *b)
{
    struct cache_entry entries[PRODUCTS_MAX];
    size_t count = 0;

    for (size_t i = 0; i < b->count; i++) {
        if (b->is_known[i] || (!b->jsons[i] && b->policy->negative_ttl_ms == 0))
            continue;
        entries[count++] =
            (struct cache_entry){.key = b->keys[i],
                                 .text = b->jsons[i],
                                 .ttl_ms = b->jsons[i] ? load_ttl(b->policy, b->policy->ttl_ms)
                                                       : b->policy->negative_ttl_ms};
    }
    cache_put_many(b->catalog->cache, entries, count);
}

static int batch_from_database(struct batch *b)
{
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer array = OBS_BUFFER_INIT(4096);
    OBS_CLEANUP(db_releasep) struct db_connection *connection = NULL;
    OBS_CLEANUP(PQclearp) PGresult *result = NULL;
    int r = batch_array(b, &array);

    if (r < 0)
        return r;
    r = db_acquire(b->catalog->db, &connection);
    if (r == DB_OK)
        r = db_query(connection, "products.find_many",
                     "SELECT " PRODUCT_COLUMNS FROM_PRODUCTS "WHERE p.id = ANY ($1::integer[])", 1,
                     (const char *const[]){array.data}, &result);
    if (r != DB_OK)
        return catalog_outcome_of(connection, r);
    for (int row = 0; row < PQntuples(result); row++) {
        r = batch_take_row(b, result, row);
        if (r != CATALOG_OK)
            return r;
    }
    return CATALOG_OK;
}

int products_find_many(struct catalog *catalog, const struct catalog_policy *policy,
                       const int64_t *ids, size_t count, struct obs_arena *arena,
                       const char **ret_jsons)
{
    bool is_cached = policy->is_cache_enabled && !policy->is_fresh;
    struct batch b = {.catalog = catalog,
                      .policy = policy,
                      .arena = arena,
                      .ids = ids,
                      .count = count,
                      .jsons = ret_jsons};
    int r = CATALOG_OK;

    memset(ret_jsons, 0, count * sizeof(*ret_jsons));
    if (count == 0)
        return CATALOG_OK;
    if (is_cached)
        r = batch_from_cache(&b);
    if (r != CATALOG_OK || batch_unknown(&b) == 0)
        return r;
    r = batch_from_database(&b);
    if (r == CATALOG_OK && is_cached)
        batch_fill(&b);
    return r;
}

/* ---- prices ---- */

int products_set_price(struct catalog *catalog, int64_t id, int64_t price_cents,
                       bool is_invalidated, struct obs_arena *arena, const char **ret_json)
{
    OBS_CLEANUP(db_releasep) struct db_connection *connection = NULL;
    OBS_CLEANUP(PQclearp) PGresult *result = NULL;
    OBS_CLEANUP(obs_freep) char *text = NULL;
    char id_text[LOAD_NUMBER_SIZE], price[LOAD_NUMBER_SIZE], key[LOAD_KEY_SIZE];
    int r = db_acquire(catalog->db, &connection);

    (void)snprintf(id_text, sizeof(id_text), "%" PRId64, id);
    (void)snprintf(price, sizeof(price), "%" PRId64, price_cents);
    if (r == DB_OK)
        r = db_query(connection, "products.set_price",
                     "WITH p AS (UPDATE products SET price_cents = $2, updated_at = now()"
                     " WHERE id = $1 RETURNING *) SELECT " PRODUCT_COLUMNS
                     " FROM p JOIN categories c ON c.id = p.category_id",
                     2, (const char *const[]){id_text, price}, &result);
    if (r != DB_OK)
        return catalog_outcome_of(connection, r);
    if (PQntuples(result) == 0)
        return CATALOG_ABSENT;
    if (is_invalidated) {
        (void)snprintf(key, sizeof(key), "product:%s", id_text);
        (void)cache_invalidate(catalog->cache, key);
    }
    r = product_text(result, 0, &text);
    return r == CATALOG_OK ? load_keep(arena, text, ret_json) : r;
}
