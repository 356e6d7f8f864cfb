#pragma once
/*
 * Storefront: the shop's public API. Knows no data of its own but sessions: products come from
 * catalog, orders go to orders.
 */
#include "shop/service/service.h"
#include "shop/storefront/session.h"

struct storefront {
    struct service *service;
    struct obs_upstream *catalog, *orders;
    struct session_cache *sessions;
};

/* Settings of one request. */
struct storefront_policy {
    unsigned candidates, delivery_quote_ms, catalog_timeout_ms, orders_timeout_ms;
    unsigned retries, retry_delay_ms;
    double affinity;
};

void storefront_policy_read(struct storefront *storefront, struct storefront_policy *ret_policy);

/* The API: api_browse.c and api_checkout.c. */
void storefront_get_home(struct obs_http_request *request, void *userdata);
void storefront_get_products(struct obs_http_request *request, void *userdata);
void storefront_get_product(struct obs_http_request *request, void *userdata);
void storefront_get_search(struct obs_http_request *request, void *userdata);
void storefront_get_recommendations(struct obs_http_request *request, void *userdata);
void storefront_post_checkout(struct obs_http_request *request, void *userdata);
void storefront_get_order(struct obs_http_request *request, void *userdata);
