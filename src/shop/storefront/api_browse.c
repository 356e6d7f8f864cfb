/* The pages a visitor looks at: home, lists, a product, a search, recommendations. */
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "shop/storefront/delivery.h"
#include "shop/storefront/recommend.h"
#include "shop/storefront/storefront.h"
#include "shop/storefront/upstream.h"
#include "shop/storefront/visitor.h"
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { TARGET_SIZE = 512, RECOMMENDED = 8, FEATURED = 12, CANDIDATES_MAX = 100 };

/* ---- JSON of catalog ---- */

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text ? text : "";
}

static int64_t number_of(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static json_t *parse_reply(const struct obs_http_reply_data *reply)
{
    json_t *json = NULL;

    if (reply->body.size == 0 || obs_json_parse(reply->body.data, reply->body.size, &json, NULL))
        return NULL;
    return json;
}

/* GET from catalog and parse. NULL after replying to the user what went wrong. */
static json_t *get_json(struct obs_http_request *request, struct storefront *storefront,
                        const struct storefront_policy *policy, const char *route,
                        const char *target)
{
    OBS_HTTP_REPLY reply = {0};
    json_t *json;
    int r = upstream_get_catalog(storefront, policy, route, target, &reply);

    if (!upstream_is_good(request, "catalog", r, &reply))
        return NULL;
    json = parse_reply(&reply);
    if (!json)
        obs_http_reply_problemf(request, 502, "catalog answered what is no JSON");
    return json;
}

/* The array "items", without what a list does not show. */
static json_t *take_items(json_t *list)
{
    json_t *items = json_object_get(list, "items"), *item;
    size_t i;

    json_array_foreach (items, i, item)
        json_object_del(item, "description");
    return json_incref(items);
}

/* ---- recommendations ---- */

static struct recommend_product product_of(const json_t *json)
{
    return (struct recommend_product){.id = number_of(json, "id"),
                                      .name = text_of(json, "name"),
                                      .description = text_of(json, "description"),
                                      .category = text_of(json, "category"),
                                      .price_cents = number_of(json, "price_cents"),
                                      .popularity = (int)number_of(json, "popularity"),
                                      .userdata = (void *)json};
}

static struct recommend_product seen_product(const struct session_view *view)
{
    return (struct recommend_product){.id = view->product_id,
                                      .name = view->name,
                                      .description = view->teaser,
                                      .category = view->category,
                                      .price_cents = view->price_cents};
}

static size_t read_candidates(const json_t *items, int64_t without_id,
                              struct recommend_product candidates[CANDIDATES_MAX])
{
    size_t count = 0, i;
    json_t *item;

    json_array_foreach (items, i, item) {
        if (count < CANDIDATES_MAX && number_of(item, "id") != without_id)
            candidates[count++] = product_of(item);
    }
    return count;
}

static json_t *best_of(const struct recommend_product *candidates, size_t count)
{
    json_t *best = json_array();

    for (size_t i = 0; best && i < count && i < RECOMMENDED; i++) {
        json_t *item = candidates[i].userdata;

        json_object_del(item, "description");
        json_object_set_new(item, "score", json_real(round(candidates[i].score * 1000) / 1000));
        json_array_append(best, item);
    }
    return best;
}

/* Products like @target and like what the visitor saw before. *ret_items: array. Return: 0, or < 0.
 */
static int rank_similar(const struct storefront_policy *policy, const json_t *list,
                        const struct recommend_product *target, const struct session_views *views,
                        json_t **ret_items)
{
    struct recommend_product candidates[CANDIDATES_MAX], seen[SESSION_VIEWS_MAX];
    size_t count = read_candidates(json_object_get(list, "items"), target->id, candidates);
    struct obs_span span;
    struct obs_span *before;

    for (size_t i = 0; i < views->count; i++)
        seen[i] = seen_product(&views->views[i]);
    obs_span_start_child(&span, OBS_SPAN_INTERNAL, "recommendations.rank");
    before = obs_span_enter(&span);
    obs_span_int(&span, "recommendations.candidates", (int64_t)count);
    recommend(target, seen, views->count, policy->affinity, candidates, count);
    obs_span_leave(before);
    obs_span_end(&span);
    *ret_items = best_of(candidates, count);
    return *ret_items ? 0 : -ENOMEM;
}

static void similar_target(char target[TARGET_SIZE], const char *category, unsigned limit)
{
    char encoded[256] = "";

    (void)obs_text_percent_encode(category, strlen(category), encoded, sizeof(encoded));
    (void)snprintf(target, TARGET_SIZE, "/products?category=%s&limit=%u", encoded, limit);
}

static bool product_target(struct obs_http_request *request, char target[TARGET_SIZE])
{
    const char *text = obs_http_param(request, "id");
    uint64_t id = 0;

    if (obs_text_parse_u64(text, strlen(text), INT32_MAX, &id) != 0 || id == 0) {
        obs_http_reply_problemf(request, 404, "there is no product \"%.40s\"", text);
        return false;
    }
    (void)snprintf(target, TARGET_SIZE, "/products/%" PRIu64, id);
    return true;
}

void storefront_get_recommendations(struct obs_http_request *request, void *userdata)
{
    struct storefront *storefront = userdata;
    struct storefront_policy policy;
    struct recommend_product product;
    struct session_views views;
    char target[TARGET_SIZE], visitor[SESSION_ID_MAX + 1];
    OBS_JSON target_json = NULL;
    OBS_JSON list = NULL;
    OBS_JSON items = NULL;
    OBS_JSON body = NULL;

    if (!product_target(request, target))
        return;
    storefront_policy_read(storefront, &policy);
    target_json = get_json(request, storefront, &policy, "GET /products/{id}", target);
    if (!target_json)
        return;
    product = product_of(target_json);
    similar_target(target, product.category, policy.candidates);
    list = get_json(request, storefront, &policy, "GET /products", target);
    if (!list)
        return;
    visitor_find(request, visitor);
    session_read(storefront->sessions, visitor, &views);
    if (rank_similar(&policy, list, &product, &views, &items) == 0)
        body = json_pack("{s:I, s:O}", "product_id", (json_int_t)product.id, "items", items);
    if (body)
        obs_http_reply_json(request, 200, body);
    else
        obs_http_reply_problemf(request, 500, "the request could not be answered");
}

/* ---- home ---- */

/* What a returning visitor may like, else what is popular. An empty list when catalog does not
 * tell: the page is worth showing without it. */
static json_t *home_recommendations(struct storefront *storefront,
                                    const struct storefront_policy *policy,
                                    const struct session_views *views)
{
    OBS_HTTP_REPLY reply = {0};
    OBS_JSON list = NULL;
    struct recommend_product target;
    char path[TARGET_SIZE];
    json_t *items = NULL;
    int r;

    if (views->count > 0)
        similar_target(path, views->views[0].category, policy->candidates);
    else
        (void)snprintf(path, sizeof(path), "/products?limit=%d", RECOMMENDED);
    r = upstream_get_catalog(storefront, policy, "GET /products", path, &reply);
    if (r == 0 && reply.status == 200)
        list = parse_reply(&reply);
    if (!list) {
        obs_log(OBS_LOG_WARN, "home page without recommendations", OBS_INT("error", r));
        return json_array();
    }
    if (views->count == 0)
        return take_items(list);
    target = seen_product(&views->views[0]);
    return rank_similar(policy, list, &target, views, &items) == 0 ? items : NULL;
}

void storefront_get_home(struct obs_http_request *request, void *userdata)
{
    struct storefront *storefront = userdata;
    struct storefront_policy policy;
    struct session_views views;
    char target[TARGET_SIZE], visitor[SESSION_ID_MAX + 1];
    OBS_JSON categories = NULL;
    OBS_JSON featured = NULL;
    OBS_JSON body = NULL;

    storefront_policy_read(storefront, &policy);
    categories = get_json(request, storefront, &policy, "GET /categories", "/categories");
    if (!categories)
        return;
    (void)snprintf(target, sizeof(target), "/products/featured?limit=%d", FEATURED);
    featured = get_json(request, storefront, &policy, "GET /products/featured", target);
    if (!featured)
        return;
    visitor_find(request, visitor);
    session_read(storefront->sessions, visitor, &views);
    body = json_pack("{s:O, s:o, s:o}", "categories", json_object_get(categories, "items"),
                     "featured", take_items(featured), "recommendations",
                     home_recommendations(storefront, &policy, &views));
    if (body)
        obs_http_reply_json(request, 200, body);
    else
        obs_http_reply_problemf(request, 502, "catalog answered what was not expected");
}

/* ---- lists and search: handed on as they are ---- */

static void hand_on_catalog(struct obs_http_request *request, struct storefront *storefront,
                            const char *route, const char *target)
{
    OBS_HTTP_REPLY reply = {0};
    struct storefront_policy policy;
    int r;

    storefront_policy_read(storefront, &policy);
    r = upstream_get_catalog(storefront, &policy, route, target, &reply);
    if (upstream_is_good(request, "catalog", r, &reply))
        upstream_hand_on(request, &reply);
}

/* Append "&name=value" of a query parameter that the visitor gave. */
static void pass_query(struct obs_http_request *request, char target[TARGET_SIZE], const char *name)
{
    const char *value = obs_http_query(request, name);
    char encoded[384];
    size_t size = strlen(target);

    if (value && obs_text_percent_encode(value, strlen(value), encoded, sizeof(encoded)) == 0)
        (void)snprintf(target + size, TARGET_SIZE - size, "%c%s=%s",
                       strchr(target, '?') ? '&' : '?', name, encoded);
}

void storefront_get_products(struct obs_http_request *request, void *userdata)
{
    char target[TARGET_SIZE] = "/products";

    pass_query(request, target, "category");
    pass_query(request, target, "page");
    pass_query(request, target, "limit");
    hand_on_catalog(request, userdata, "GET /products", target);
}

void storefront_get_search(struct obs_http_request *request, void *userdata)
{
    char target[TARGET_SIZE] = "/search";

    pass_query(request, target, "q");
    pass_query(request, target, "limit");
    pass_query(request, target, "fresh");
    hand_on_catalog(request, userdata, "GET /search", target);
}

/* ---- product page ---- */

static void note_view(struct obs_http_request *request, struct storefront *storefront,
                      const json_t *product)
{
    struct session_view view = {.product_id = number_of(product, "id"),
                                .price_cents = number_of(product, "price_cents"),
                                .seen_ns = obs_time_ns()};
    char visitor[SESSION_ID_MAX + 1];

    (void)snprintf(view.name, sizeof(view.name), "%s", text_of(product, "name"));
    (void)snprintf(view.category, sizeof(view.category), "%s", text_of(product, "category"));
    (void)snprintf(view.teaser, sizeof(view.teaser), "%s", text_of(product, "description"));
    visitor_find(request, visitor);
    if (session_note(storefront->sessions, visitor, &view) < 0)
        obs_log(OBS_LOG_WARN, "no memory for a session, ignoring", OBS_INT("views", 1));
}

void storefront_get_product(struct obs_http_request *request, void *userdata)
{
    struct storefront *storefront = userdata;
    struct storefront_policy policy;
    struct delivery_quote quote = {0};
    char target[TARGET_SIZE];
    OBS_JSON product = NULL;

    if (!product_target(request, target))
        return;
    pass_query(request, target, "fresh");
    storefront_policy_read(storefront, &policy);
    product = get_json(request, storefront, &policy, "GET /products/{id}", target);
    if (!product)
        return;
    note_view(request, storefront, product);
    if (policy.delivery_quote_ms > 0) {
        delivery_quote_ask(policy.delivery_quote_ms, number_of(product, "price_cents"), &quote);
        json_object_set_new(product, "delivery",
                            json_pack("{s:i, s:I}", "days", (int)quote.days, "price_cents",
                                      (json_int_t)quote.price_cents));
    }
    obs_http_reply_json(request, 200, product);
}
