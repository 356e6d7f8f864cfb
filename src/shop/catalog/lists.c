/* Lists of products, as texts "total;id,id,…", and the list of categories. */
#include "base/buffer.h"
#include "shop/catalog/load.h"
#include "shop/catalog/products.h"
#include "shop/catalog/rank.h"
#include "shop/catalog/settings.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- lists: "total;id,id,…" ---- */

static int list_text(const PGresult *result, const char *total, char **ret_text)
{
    struct obs_buffer b = OBS_BUFFER_INIT(LOAD_TEXT_MAX);
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
    int outcome = load_text(l, &text, &ret_list->source);

    return outcome == CATALOG_OK ? read_list(text, ret_list) : outcome;
}

static int query_list(struct db_connection *connection, const struct load *l, char **ret_text)
{
    OBS_CLEANUP(PQclearp) PGresult *head = NULL;
    OBS_CLEANUP(PQclearp) PGresult *result = NULL;
    char offset[LOAD_NUMBER_SIZE], limit[LOAD_NUMBER_SIZE];
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
    char key[LOAD_KEY_SIZE], subject[96];
    struct load l = {.catalog = catalog,
                     .policy = policy,
                     .key = key,
                     .ttl_ms = policy->ttl_ms,
                     .query = query_list,
                     .category = category,
                     .page = page,
                     .limit = limit};

    (void)snprintf(subject, sizeof(subject), "%s:%u:%u", category ? category : "all", page, limit);
    load_make_key(policy, key, "list", subject);
    return find_list(&l, ret_list);
}

/* The whole catalogue is weighed against the campaign's words: right, and dear. */
static int query_featured(struct db_connection *connection, const struct load *l, char **ret_text)
{
    OBS_CLEANUP(PQclearp) PGresult *result = NULL;
    char limit[LOAD_NUMBER_SIZE];
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
    char key[LOAD_KEY_SIZE], subject[LOAD_NUMBER_SIZE];
    struct load l = {.catalog = catalog,
                     .policy = policy,
                     .key = key,
                     .ttl_ms = policy->ttl_ms,
                     .query = query_featured,
                     .limit = limit};

    (void)snprintf(subject, sizeof(subject), "%u", limit);
    load_make_key(policy, key, "featured", subject);
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
    struct obs_buffer b = OBS_BUFFER_INIT(LOAD_TEXT_MAX);
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

/* Any of the words will do; the ranking sorts out how well each match fits. The connection goes
 * back before the ranking starts, which needs none. */
static int load_search(const struct load *l, PGresult **ret_result)
{
    OBS_CLEANUP(db_releasep) struct db_connection *connection = NULL;
    char limit[LOAD_NUMBER_SIZE];
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
    char key[LOAD_KEY_SIZE], subject[160];
    struct load l = {.catalog = catalog,
                     .policy = policy,
                     .key = key,
                     .ttl_ms = policy->search_ttl_ms,
                     .words = query,
                     .limit = limit};
    int outcome = CACHE_MISS;

    (void)snprintf(subject, sizeof(subject), "%u:%s", limit, query);
    load_make_key(policy, key, "search", subject);
    if (is_cached)
        outcome = cache_get(catalog->cache, key, &text);
    ret_list->source = outcome == CACHE_HIT ? FROM_CACHE : FROM_DATABASE;
    if (outcome != CACHE_HIT) {
        outcome = search_and_rank(&l, &text);
        if (is_cached)
            load_store(&l, outcome, text);
    }
    return outcome == CATALOG_OK ? read_list(text, ret_list) : outcome;
}

/* ---- categories ---- */

static int query_categories(struct db_connection *connection, const struct load *l, char **ret_text)
{
    OBS_CLEANUP(PQclearp) PGresult *result = NULL;
    struct obs_buffer b = OBS_BUFFER_INIT(LOAD_TEXT_MAX);
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
    char key[LOAD_KEY_SIZE];
    struct load l = {.catalog = catalog,
                     .policy = policy,
                     .key = key,
                     .ttl_ms = policy->ttl_ms,
                     .query = query_categories};
    int outcome;

    load_make_key(policy, key, "categories", "all");
    outcome = load_text(&l, &text, ret_source);
    return outcome == CATALOG_OK ? load_keep(arena, text, ret_json) : outcome;
}
