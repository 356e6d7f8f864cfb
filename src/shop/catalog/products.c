#include "shop/catalog/products.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/text.h"
#include "shop/catalog/rank.h"
#include "shop/catalog/settings.h"
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

enum { KEY_SIZE = 192, JSON_MAX = 256 << 10, FLIGHT_TIMEOUT_MS = 15000, NUMBER_SIZE = 24 };

#define PRODUCT_COLUMNS                                                                            \
    "p.id, p.name, p.description, c.slug, p.price_cents, p.popularity, p.rating,"                  \
    " to_char(p.updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
#define FROM_PRODUCTS " FROM products p JOIN categories c ON c.id = p.category_id "

/* ---- cached texts ---- */

struct load {
    struct catalog *catalog;
    const struct catalog_policy *policy;
    const char *key;
    unsigned ttl_ms;
    int (*query)(struct db_connection *connection, const struct load *load, char **ret_text);
    /* What the query is about; each uses what it needs. */
    int64_t id;
    const char *category, *words;
    unsigned page, limit;
};

static unsigned with_jitter(const struct catalog_policy *policy, unsigned ttl_ms)
{
    uint32_t random = 0;

    if (policy->jitter <= 0 || getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
        return ttl_ms;
    return (unsigned)(ttl_ms * (1.0 - policy->jitter * (random / 4294967296.0))) + 1;
}

static void put_one(const struct load *l, int outcome, const char *text)
{
    struct cache_entry entry = {.key = l->key, .text = text};

    if (outcome == CATALOG_OK)
        entry.ttl_ms = with_jitter(l->policy, l->ttl_ms);
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

    put_one(l, outcome, *ret_text);
    return outcome;
}

/* The text of l->key: from the cache, from another request that loads it, or from the database. */
static int find_text(struct load *l, char **ret_text, enum products_source *ret_source)
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

/* "kind:subject", and the request when the key fields say so. */
static void make_key(const struct catalog_policy *policy, char key[KEY_SIZE], const char *kind,
                     const char *subject)
{
    const struct obs_trace_context *context = obs_trace_current();
    char request[33] = "";

    if (policy->is_keyed_by_request && context)
        obs_text_hex(context->trace_id, sizeof(context->trace_id), request);
    (void)snprintf(key, KEY_SIZE, "%s:%s%s%s", kind, subject, *request != '\0' ? ":" : "", request);
}

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
    struct obs_buffer b = OBS_BUFFER_INIT(JSON_MAX);
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
    char id[NUMBER_SIZE];
    int r;

    (void)snprintf(id, sizeof(id), "%" PRId64, l->id);
    r = db_query(connection, "products.find",
                 "SELECT " PRODUCT_COLUMNS FROM_PRODUCTS "WHERE p.id = $1", 1,
                 (const char *const[]){id}, &result);
    if (r != DB_OK)
        return catalog_outcome_of(connection, r);
    return PQntuples(result) > 0 ? product_text(result, 0, ret_text) : CATALOG_ABSENT;
}

static int keep_in(struct obs_arena *arena, const char *text, const char **ret_text)
{
    *ret_text = obs_arena_strndup(arena, text, strlen(text));
    return *ret_text ? CATALOG_OK : -ENOMEM;
}

int products_find(struct catalog *catalog, const struct catalog_policy *policy, int64_t id,
                  struct obs_arena *arena, const char **ret_json, enum products_source *ret_source)
{
    OBS_CLEANUP(obs_freep) char *text = NULL;
    char key[KEY_SIZE], subject[NUMBER_SIZE];
    struct load l = {.catalog = catalog,
                     .policy = policy,
                     .key = key,
                     .ttl_ms = policy->ttl_ms,
                     .query = query_product,
                     .id = id};
    int outcome;

    (void)snprintf(subject, sizeof(subject), "%" PRId64, id);
    make_key(policy, key, "product", subject);
    outcome = find_text(&l, &text, ret_source);
    return outcome == CATALOG_OK ? keep_in(arena, text, ret_json) : outcome;
}

/* ---- many products ---- */

struct batch {
    struct catalog *catalog;
    const struct catalog_policy *policy;
    struct obs_arena *arena;
    const int64_t *ids;
    size_t count;
    const char **jsons;                /* found so far */
    bool is_known[PRODUCTS_MAX];       /* found, or known to be absent */
    char keys[PRODUCTS_MAX][KEY_SIZE]; /* a thread's stack has room for it, but not for much more */
};

static int batch_from_cache(struct batch *b)
{
    const char *keys[PRODUCTS_MAX];
    char *texts[PRODUCTS_MAX];
    int outcomes[PRODUCTS_MAX];
    int r = CATALOG_OK;

    for (size_t i = 0; i < b->count; i++) {
        char subject[NUMBER_SIZE];

        (void)snprintf(subject, sizeof(subject), "%" PRId64, b->ids[i]);
        make_key(b->policy, b->keys[i], "product", subject);
        keys[i] = b->keys[i];
    }
    cache_get_many(b->catalog->cache, keys, b->count, texts, outcomes);
    for (size_t i = 0; i < b->count; i++) {
        b->is_known[i] = outcomes[i] == CACHE_HIT || outcomes[i] == CACHE_NEGATIVE;
        if (texts[i] && r == CATALOG_OK)
            r = keep_in(b->arena, texts[i], &b->jsons[i]);
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
            r = keep_in(b->arena, text, &b->jsons[i]);
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
                                 .ttl_ms = b->jsons[i] ? with_jitter(b->policy, b->policy->ttl_ms)
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

/* ---- lists: "total;id,id,…" ---- */

static int list_text(const PGresult *result, const char *total, char **ret_text)
{
    struct obs_buffer b = OBS_BUFFER_INIT(JSON_MAX);
    int r = obs_buffer_printf(&b, "%s;", total);

    for (int row = 0; row < PQntuples(result); row++)
        r = obs_buffer_printf(&b, "%s%s", row > 0 ? "," : "", PQgetvalue(result, row, 0));
    if (r < 0) {
        obs_buffer_done(&b);
        return r;
    }
    *ret_text = b.data;
    return CATALOG_OK;
}

static int read_list(const char *text, struct product_list *ret_list)
{
    char *at = NULL;

    ret_list->total = strtoll(text, &at, 10);
    ret_list->count = 0;
    if (*at++ != ';')
        return -EBADMSG;
    while (*at != '\0' && ret_list->count < PRODUCTS_MAX) {
        char *end = NULL;

        ret_list->ids[ret_list->count++] = strtoll(at, &end, 10);
        if (end == at)
            return -EBADMSG;
        at = *end == ',' ? end + 1 : end;
    }
    return CATALOG_OK;
}

static int find_list(struct load *l, struct product_list *ret_list)
{
    OBS_CLEANUP(obs_freep) char *text = NULL;
    int outcome = find_text(l, &text, &ret_list->source);

    return outcome == CATALOG_OK ? read_list(text, ret_list) : outcome;
}

static int query_list(struct db_connection *connection, const struct load *l, char **ret_text)
{
    OBS_CLEANUP(PQclearp) PGresult *head = NULL;
    OBS_CLEANUP(PQclearp) PGresult *result = NULL;
    char offset[NUMBER_SIZE], limit[NUMBER_SIZE];
    int r;

    if (l->category)
        r = db_query(connection, "products.count_category",
                     "SELECT (SELECT count(*) FROM products p WHERE p.category_id = c.id), c.id"
                     " FROM categories c WHERE c.slug = $1",
                     1, &l->category, &head);
    else
        r = db_query(connection, "products.count", "SELECT count(*), NULL FROM products", 0, NULL,
                     &head);
    if (r != DB_OK)
        return catalog_outcome_of(connection, r);
    if (PQntuples(head) == 0)
        return CATALOG_ABSENT;
    (void)snprintf(offset, sizeof(offset), "%u", (l->page - 1) * l->limit);
    (void)snprintf(limit, sizeof(limit), "%u", l->limit);
    if (l->category)
        r = db_query(connection, "products.list_category",
                     "SELECT id FROM products WHERE category_id = $1"
                     " ORDER BY popularity DESC, id LIMIT $2 OFFSET $3",
                     3, (const char *const[]){PQgetvalue(head, 0, 1), limit, offset}, &result);
    else
        r = db_query(connection, "products.list",
                     "SELECT id FROM products ORDER BY popularity DESC, id LIMIT $1 OFFSET $2", 2,
                     (const char *const[]){limit, offset}, &result);
    if (r != DB_OK)
        return catalog_outcome_of(connection, r);
    return list_text(result, PQgetvalue(head, 0, 0), ret_text);
}

int products_list(struct catalog *catalog, const struct catalog_policy *policy,
                  const char *category, unsigned page, unsigned limit,
                  struct product_list *ret_list)
{
    char key[KEY_SIZE], subject[96];
    struct load l = {.catalog = catalog,
                     .policy = policy,
                     .key = key,
                     .ttl_ms = policy->ttl_ms,
                     .query = query_list,
                     .category = category,
                     .page = page,
                     .limit = limit};

    (void)snprintf(subject, sizeof(subject), "%s:%u:%u", category ? category : "all", page, limit);
    make_key(policy, key, "list", subject);
    return find_list(&l, ret_list);
}

/* The whole catalogue is weighed against the campaign's words: right, and dear. */
static int query_featured(struct db_connection *connection, const struct load *l, char **ret_text)
{
    OBS_CLEANUP(PQclearp) PGresult *result = NULL;
    char limit[NUMBER_SIZE];
    int r;

    (void)snprintf(limit, sizeof(limit), "%u", l->limit);
    r = db_query(connection, "products.featured",
                 "SELECT id FROM products ORDER BY ln(1 + popularity) *"
                 " (0.1 + ts_rank(to_tsvector('english', name || ' ' || description),"
                 " to_tsquery('english', 'gift | winter | warm | light | travel'))) DESC, id"
                 " LIMIT $1",
                 1, (const char *const[]){limit}, &result);
    if (r != DB_OK)
        return catalog_outcome_of(connection, r);
    return list_text(result, limit, ret_text);
}

int products_featured(struct catalog *catalog, const struct catalog_policy *policy, unsigned limit,
                      struct product_list *ret_list)
{
    char key[KEY_SIZE], subject[NUMBER_SIZE];
    struct load l = {.catalog = catalog,
                     .policy = policy,
                     .key = key,
                     .ttl_ms = policy->ttl_ms,
                     .query = query_featured,
                     .limit = limit};

    (void)snprintf(subject, sizeof(subject), "%u", limit);
    make_key(policy, key, "featured", subject);
    return find_list(&l, ret_list);
}

/* ---- search ---- */

static void rank_results(const struct load *l, struct rank_candidate *candidates, size_t count)
{
    bool is_weighted = l->policy->ranking == RANKING_WEIGHTED;
    struct obs_span span;
    struct obs_span *before;

    obs_span_start_child(&span, OBS_SPAN_INTERNAL, "search.rank");
    before = obs_span_enter(&span);
    obs_span_int(&span, "search.candidates", (int64_t)count);
    obs_span_text(&span, "search.ranking", is_weighted ? "weighted" : "proximity");
    if (is_weighted)
        rank_weighted(l->words, candidates, count);
    else
        rank_proximity(l->words, candidates, count);
    obs_span_leave(before);
    obs_span_end(&span);
}

static int ranked_text(const struct load *l, const PGresult *result, char **ret_text)
{
    size_t count = (size_t)PQntuples(result);
    OBS_CLEANUP(obs_freep)
    struct rank_candidate *candidates = calloc(count + 1, sizeof(*candidates));
    struct obs_buffer b = OBS_BUFFER_INIT(JSON_MAX);
    int r;

    if (!candidates)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        candidates[i] = (struct rank_candidate){
            .id = strtoll(PQgetvalue(result, (int)i, 0), NULL, 10),
            .name = PQgetvalue(result, (int)i, 1),
            .popularity = (int)strtol(PQgetvalue(result, (int)i, 2), NULL, 10)};
    rank_results(l, candidates, count);
    r = obs_buffer_printf(&b, "%zu;", count);
    for (size_t i = 0; i < count && i < l->limit; i++)
        r = obs_buffer_printf(&b, "%s%" PRId64, i > 0 ? "," : "", candidates[i].id);
    if (r < 0) {
        obs_buffer_done(&b);
        return r;
    }
    *ret_text = b.data;
    return CATALOG_OK;
}

/* Any of the words will do; the ranking sorts out how well each match fits. The connection goes back
 * before the ranking starts, which needs none. */
static int load_search(const struct load *l, PGresult **ret_result)
{
    OBS_CLEANUP(db_releasep) struct db_connection *connection = NULL;
    char limit[NUMBER_SIZE];
    int r = db_acquire(l->catalog->db, &connection);

    (void)snprintf(limit, sizeof(limit), "%u", l->policy->candidates);
    if (r == DB_OK)
        r = db_query(connection, "products.search",
                     "SELECT id, name, popularity FROM products"
                     " WHERE to_tsvector('english', name || ' ' || description)"
                     " @@ replace(plainto_tsquery('english', $1)::text, '&', '|')::tsquery"
                     " ORDER BY popularity DESC, id LIMIT $2",
                     2, (const char *const[]){l->words, limit}, ret_result);
    return r == DB_OK ? CATALOG_OK : catalog_outcome_of(connection, r);
}

static int search_and_rank(void *userdata, char **ret_text)
{
    const struct load *l = userdata;
    OBS_CLEANUP(PQclearp) PGresult *result = NULL;
    int outcome = load_search(l, &result);

    return outcome == CATALOG_OK ? ranked_text(l, result, ret_text) : outcome;
}

int products_search(struct catalog *catalog, const struct catalog_policy *policy, const char *query,
                    unsigned limit, struct product_list *ret_list)
{
    OBS_CLEANUP(obs_freep) char *text = NULL;
    bool is_cached = policy->is_cache_enabled && !policy->is_fresh && policy->search_ttl_ms > 0;
    char key[KEY_SIZE], subject[160];
    struct load l = {.catalog = catalog,
                     .policy = policy,
                     .key = key,
                     .ttl_ms = policy->search_ttl_ms,
                     .words = query,
                     .limit = limit};
    int outcome = CACHE_MISS;

    (void)snprintf(subject, sizeof(subject), "%u:%s", limit, query);
    make_key(policy, key, "search", subject);
    if (is_cached)
        outcome = cache_get(catalog->cache, key, &text);
    ret_list->source = outcome == CACHE_HIT ? FROM_CACHE : FROM_DATABASE;
    if (outcome != CACHE_HIT) {
        outcome = search_and_rank(&l, &text);
        if (is_cached)
            put_one(&l, outcome, text);
    }
    return outcome == CATALOG_OK ? read_list(text, ret_list) : outcome;
}

/* ---- categories ---- */

static int query_categories(struct db_connection *connection, const struct load *l, char **ret_text)
{
    OBS_CLEANUP(PQclearp) PGresult *result = NULL;
    struct obs_buffer b = OBS_BUFFER_INIT(JSON_MAX);
    int r = db_query(connection, "categories.list",
                     "SELECT c.id, c.slug, c.name, count(p.id) FROM categories c"
                     " LEFT JOIN products p ON p.category_id = c.id GROUP BY c.id ORDER BY c.name",
                     0, NULL, &result);

    if (r != DB_OK)
        return catalog_outcome_of(connection, r);
    obs_buffer_append_text(&b, "{\"items\":[");
    for (int row = 0; row < PQntuples(result); row++) {
        const char *name = PQgetvalue(result, row, 2);

        obs_buffer_printf(&b, "%s{\"id\":%s,\"slug\":\"%s\",\"name\":", row > 0 ? "," : "",
                          PQgetvalue(result, row, 0), PQgetvalue(result, row, 1));
        obs_buffer_append_json(&b, name, strlen(name));
        obs_buffer_printf(&b, ",\"product_count\":%s}", PQgetvalue(result, row, 3));
    }
    r = obs_buffer_append_text(&b, "]}");
    if (r < 0) {
        obs_buffer_done(&b);
        return r;
    }
    *ret_text = b.data;
    return CATALOG_OK;
}

int products_categories(struct catalog *catalog, const struct catalog_policy *policy,
                        struct obs_arena *arena, const char **ret_json,
                        enum products_source *ret_source)
{
    OBS_CLEANUP(obs_freep) char *text = NULL;
    char key[KEY_SIZE];
    struct load l = {.catalog = catalog,
                     .policy = policy,
                     .key = key,
                     .ttl_ms = policy->ttl_ms,
                     .query = query_categories};
    int outcome;

    make_key(policy, key, "categories", "all");
    outcome = find_text(&l, &text, ret_source);
    return outcome == CATALOG_OK ? keep_in(arena, text, ret_json) : outcome;
}

/* ---- prices ---- */

int products_set_price(struct catalog *catalog, int64_t id, int64_t price_cents,
                       bool is_invalidated, struct obs_arena *arena, const char **ret_json)
{
    OBS_CLEANUP(db_releasep) struct db_connection *connection = NULL;
    OBS_CLEANUP(PQclearp) PGresult *result = NULL;
    OBS_CLEANUP(obs_freep) char *text = NULL;
    char id_text[NUMBER_SIZE], price[NUMBER_SIZE], key[KEY_SIZE];
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
    return r == CATALOG_OK ? keep_in(arena, text, ret_json) : r;
}
