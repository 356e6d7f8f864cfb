/* The catalog's API: what is asked for, checked and handed to products.c, and what is answered. */
#include "base/json.h"
#include "base/text.h"
#include "shop/catalog/catalog.h"
#include "shop/catalog/products.h"
#include "shop/catalog/settings.h"
#include <inttypes.h>
#include <string.h>

enum { PAGE_MAX = 1000, LIMIT_STANDARD = 24, SEARCH_LIMIT = 24, FEATURED_LIMIT = 12 };
enum { QUERY_SIZE_MAX = 100, REPLY_MAX = 4 << 20, ID_MAX = 2147483647, PRICE_MAX = 100000000 };

/* ---- parameters ---- */

/* Query parameter @name as a number from 1 to @max; @ret_value keeps its default when it is absent.
 */
static bool read_number(struct obs_http_request *request, const char *name, uint64_t max,
                        uint64_t *ret_value)
{
    const char *text = obs_http_query(request, name);

    if (!text)
        return true;
    if (obs_text_parse_u64(text, strlen(text), max, ret_value) == 0 && *ret_value > 0)
        return true;
    obs_http_reply_problemf(request, 422, "\"%s\" is \"%.40s\": expected 1 to %" PRIu64, name, text,
                            max);
    return false;
}

static bool read_id(struct obs_http_request *request, int64_t *ret_id)
{
    const char *text = obs_http_param(request, "id");
    uint64_t id = 0;

    if (obs_text_parse_u64(text, strlen(text), ID_MAX, &id) == 0 && id > 0) {
        *ret_id = (int64_t)id;
        return true;
    }
    obs_http_reply_problemf(request, 404, "there is no product \"%.40s\"", text);
    return false;
}

static void read_policy(struct obs_http_request *request, struct catalog *catalog,
                        struct catalog_policy *ret_policy)
{
    const char *fresh = obs_http_query(request, "fresh");

    catalog_policy_read(catalog, ret_policy);
    ret_policy->is_fresh = fresh && strcmp(fresh, "1") == 0;
}

static void reply_source(struct obs_http_request *request, const struct catalog_policy *policy,
                         enum products_source source)
{
    bool is_bypassed = policy->is_fresh || !policy->is_cache_enabled;

    obs_http_reply_header(request, "X-Cache",
                          is_bypassed            ? "bypass"
                          : source == FROM_CACHE ? "hit"
                                                 : "miss");
}

static void reply_text(struct obs_http_request *request, const char *json)
{
    obs_http_reply(request, 200, "application/json", json, strlen(json));
}

/* ---- products ---- */

static void append_items(struct obs_buffer *b, const char *const *jsons, size_t count)
{
    const char *separator = "";

    obs_buffer_append_text(b, "\"items\":[");
    for (size_t i = 0; i < count; i++) {
        if (!jsons[i])
            continue;
        obs_buffer_append_text(b, separator);
        obs_buffer_append_text(b, jsons[i]);
        separator = ",";
    }
    obs_buffer_append_char(b, ']');
}

/* {"total":…,"items":[…],…} of a list; @b has its beginning. */
static void reply_list(struct obs_http_request *request, struct catalog *catalog,
                       const struct catalog_policy *policy, const struct product_list *list,
                       struct obs_buffer *b)
{
    const char *jsons[PRODUCTS_MAX];
    int outcome =
        products_find_many(catalog, policy, list->ids, list->count, obs_http_arena(request), jsons);

    if (outcome != CATALOG_OK) {
        catalog_reply_failure(request, outcome, "products");
        return;
    }
    obs_buffer_printf(b, "\"total\":%" PRId64 ",", list->total);
    append_items(b, jsons, list->count);
    if (obs_buffer_append_char(b, '}') < 0) {
        obs_http_reply_problemf(request, 500, "the reply does not fit");
        return;
    }
    reply_source(request, policy, list->source);
    obs_http_reply_buffer(request, 200, "application/json", b);
}

static void get_products(struct obs_http_request *request, void *userdata)
{
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer b = OBS_BUFFER_INIT(REPLY_MAX);
    struct catalog *catalog = userdata;
    struct catalog_policy policy;
    struct product_list list = {0};
    const char *category = obs_http_query(request, "category");
    uint64_t page = 1, limit = LIMIT_STANDARD;
    int outcome;

    if (!read_number(request, "page", PAGE_MAX, &page) ||
        !read_number(request, "limit", PRODUCTS_MAX, &limit))
        return;
    if (category && (*category == '\0' || strlen(category) > 64)) {
        obs_http_reply_problemf(request, 422, "\"category\" must have 1 to 64 characters");
        return;
    }
    read_policy(request, catalog, &policy);
    outcome = products_list(catalog, &policy, category, (unsigned)page, (unsigned)limit, &list);
    if (outcome != CATALOG_OK) {
        catalog_reply_failure(request, outcome, "category");
        return;
    }
    obs_buffer_printf(&b, "{\"page\":%" PRIu64 ",\"limit\":%" PRIu64 ",", page, limit);
    reply_list(request, catalog, &policy, &list, &b);
}

static void get_featured(struct obs_http_request *request, void *userdata)
{
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer b = OBS_BUFFER_INIT(REPLY_MAX);
    struct catalog *catalog = userdata;
    struct catalog_policy policy;
    struct product_list list = {0};
    uint64_t limit = FEATURED_LIMIT;
    int outcome;

    if (!read_number(request, "limit", PRODUCTS_MAX, &limit))
        return;
    read_policy(request, catalog, &policy);
    outcome = products_featured(catalog, &policy, (unsigned)limit, &list);
    if (outcome != CATALOG_OK) {
        catalog_reply_failure(request, outcome, "products");
        return;
    }
    obs_buffer_append_char(&b, '{');
    reply_list(request, catalog, &policy, &list, &b);
}

static void get_product(struct obs_http_request *request, void *userdata)
{
    struct catalog *catalog = userdata;
    struct catalog_policy policy;
    enum products_source source = FROM_DATABASE;
    const char *json = NULL;
    int64_t id = 0;
    int outcome;

    if (!read_id(request, &id))
        return;
    read_policy(request, catalog, &policy);
    outcome = products_find(catalog, &policy, id, obs_http_arena(request), &json, &source);
    if (outcome != CATALOG_OK) {
        catalog_reply_failure(request, outcome, "product");
        return;
    }
    reply_source(request, &policy, source);
    reply_text(request, json);
}

/* "1,2,3": 1 to PRODUCTS_MAX ids. */
static bool read_ids(struct obs_http_request *request, int64_t ids[PRODUCTS_MAX], size_t *ret_count)
{
    const char *at = obs_http_query(request, "ids");
    size_t count = 0;

    while (at && *at != '\0' && count < PRODUCTS_MAX) {
        size_t size = strcspn(at, ",");
        uint64_t id = 0;

        if (obs_text_parse_u64(at, size, ID_MAX, &id) != 0 || id == 0)
            break;
        ids[count++] = (int64_t)id;
        at += size + (at[size] == ',');
    }
    *ret_count = count;
    if (at && *at == '\0' && count > 0)
        return true;
    obs_http_reply_problemf(request, 422, "\"ids\" must be 1 to %d product ids with commas",
                            PRODUCTS_MAX);
    return false;
}

static void get_batch(struct obs_http_request *request, void *userdata)
{
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer b = OBS_BUFFER_INIT(REPLY_MAX);
    struct catalog *catalog = userdata;
    struct catalog_policy policy;
    const char *jsons[PRODUCTS_MAX];
    const char *separator = "";
    int64_t ids[PRODUCTS_MAX];
    size_t count = 0;
    int outcome;

    if (!read_ids(request, ids, &count))
        return;
    read_policy(request, catalog, &policy);
    outcome = products_find_many(catalog, &policy, ids, count, obs_http_arena(request), jsons);
    if (outcome != CATALOG_OK) {
        catalog_reply_failure(request, outcome, "products");
        return;
    }
    obs_buffer_append_char(&b, '{');
    append_items(&b, jsons, count);
    obs_buffer_append_text(&b, ",\"missing\":[");
    for (size_t i = 0; i < count; i++) {
        if (jsons[i])
            continue;
        obs_buffer_printf(&b, "%s%" PRId64, separator, ids[i]);
        separator = ",";
    }
    if (obs_buffer_append_text(&b, "]}") < 0)
        obs_http_reply_problemf(request, 500, "the reply does not fit");
    else
        obs_http_reply_buffer(request, 200, "application/json", &b);
}

static void get_categories(struct obs_http_request *request, void *userdata)
{
    struct catalog *catalog = userdata;
    struct catalog_policy policy;
    enum products_source source = FROM_DATABASE;
    const char *json = NULL;
    int outcome;

    read_policy(request, catalog, &policy);
    outcome = products_categories(catalog, &policy, obs_http_arena(request), &json, &source);
    if (outcome != CATALOG_OK) {
        catalog_reply_failure(request, outcome, "categories");
        return;
    }
    reply_source(request, &policy, source);
    reply_text(request, json);
}

static void get_search(struct obs_http_request *request, void *userdata)
{
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer b = OBS_BUFFER_INIT(REPLY_MAX);
    struct catalog *catalog = userdata;
    struct catalog_policy policy;
    struct product_list list = {0};
    const char *query = obs_http_query(request, "q");
    uint64_t limit = SEARCH_LIMIT;
    int outcome;

    if (!query || *query == '\0' || strlen(query) > QUERY_SIZE_MAX ||
        !obs_text_is_utf8(query, strlen(query))) {
        obs_http_reply_problemf(request, 422, "\"q\" must have 1 to %d characters", QUERY_SIZE_MAX);
        return;
    }
    if (!read_number(request, "limit", PRODUCTS_MAX, &limit))
        return;
    read_policy(request, catalog, &policy);
    outcome = products_search(catalog, &policy, query, (unsigned)limit, &list);
    if (outcome != CATALOG_OK) {
        catalog_reply_failure(request, outcome, "products");
        return;
    }
    obs_buffer_append_text(&b, "{\"query\":");
    obs_buffer_append_json(&b, query, strlen(query));
    obs_buffer_append_char(&b, ',');
    reply_list(request, catalog, &policy, &list, &b);
}

/* ---- prices ---- */

static bool read_price(struct obs_http_request *request, int64_t *ret_price_cents)
{
    static const char *const NAMES[] = {"price_cents", NULL};
    struct obs_reason why = {0};
    OBS_JSON body = NULL;
    size_t size = 0;
    const char *text = obs_http_body(request, &size);
    int r = obs_json_parse(text, size, &body, &why);

    if (r != 0) {
        obs_http_reply_problem(request, 400, &why);
        return false;
    }
    r = obs_json_only(body, NAMES, &why);
    if (r == 0)
        r = obs_json_get_int(body, NAMES[0], 1, PRICE_MAX, ret_price_cents, &why);
    if (r != 0)
        obs_http_reply_problem(request, 422, &why);
    return r == 0;
}

static void put_price(struct obs_http_request *request, void *userdata)
{
    struct catalog *catalog = userdata;
    const struct obs_settings_view *view;
    const char *json = NULL;
    int64_t id = 0, price_cents = 0;
    bool is_invalidated;
    int outcome;

    if (!read_id(request, &id) || !read_price(request, &price_cents))
        return;
    view = obs_settings_acquire(service_settings(catalog->service));
    is_invalidated = obs_setting_bool(view, ROW_CACHE_INVALIDATE_ON_WRITE);
    obs_settings_release(view);
    outcome = products_set_price(catalog, id, price_cents, is_invalidated, obs_http_arena(request),
                                 &json);
    if (outcome == CATALOG_OK)
        reply_text(request, json);
    else
        catalog_reply_failure(request, outcome, "product");
}

const struct obs_http_route CATALOG_ROUTES[] = {
    {"GET", "/products", get_products, OBS_HTTP_ON_WORKER},
    {"GET", "/products/featured", get_featured, OBS_HTTP_ON_WORKER},
    {"GET", "/products/batch", get_batch, OBS_HTTP_ON_WORKER},
    {"GET", "/products/{id}", get_product, OBS_HTTP_ON_WORKER},
    {"PUT", "/products/{id}/price", put_price, OBS_HTTP_ON_WORKER},
    {"GET", "/categories", get_categories, OBS_HTTP_ON_WORKER},
    {"GET", "/search", get_search, OBS_HTTP_ON_WORKER},
};
const size_t CATALOG_ROUTE_COUNT = OBS_COUNT(CATALOG_ROUTES);
