/*
 * price_consistency: does the shop show the price that the product has?
 *
 * Each round reads one product as users do and again past every cache, and they must agree. With
 * the operator's address it also raises that price by a cent, looks that users see it, and takes it
 * back. A difference counts only when it lasts: between two reads a price may change.
 */
#include "base/clock.h"
#include "load/probe_internal.h"
#include <inttypes.h>
#include <stdio.h>

#define LOOKS 5 /* within the grace time */

/* Return: 1 and the price, 0 when there is no answer to compare. */
static int read_price(struct probe *p, const char *product, bool is_fresh, int64_t *ret_cents)
{
    OBS_JSON json = NULL;
    char target[128];

    snprintf(target, sizeof(target), "/api/products/%s%s", product, is_fresh ? "?fresh=1" : "");
    if (probe_get(p, p->probes->target, target, false, &json) != 200 ||
        !json_is_integer(json_object_get(json, "price_cents"))) {
        probe_error(p);
        return 0;
    }
    *ret_cents = json_integer_value(json_object_get(json, "price_cents"));
    return 1;
}

/* Users see @expected, at least by the end of the grace time; @expected < 0: what a fresh read
 * says. */
static void check_shown(struct probe *p, const char *product, int64_t expected)
{
    int64_t shown = 0, actual = expected;
    char detail[128];

    for (int look = 0; look < LOOKS; look++) {
        if (look > 0 && !probe_sleep(p->probes, p->probes->options.grace_ns / (LOOKS - 1)))
            return;
        if (!read_price(p, product, false, &shown) ||
            (expected < 0 && !read_price(p, product, true, &actual)))
            return;
        if (shown == actual)
            break;
    }
    snprintf(detail, sizeof(detail), "product %s shows %" PRId64 " cents, expected %" PRId64,
             product, shown, actual);
    probe_check(p, shown == actual, detail);
}

static bool set_price(struct probe *p, const char *product, int64_t cents)
{
    OBS_HTTP_REPLY reply = {0};
    char target[128], body[64];
    struct obs_http_call call = {.method = "PUT",
                                 .target = target,
                                 .body = body,
                                 .content_type = "application/json",
                                 .timeout_ms = 2000};

    snprintf(target, sizeof(target), "/products/%s/price", product);
    call.body_size = (size_t)snprintf(body, sizeof(body), "{\"price_cents\":%" PRId64 "}", cents);
    if (obs_http_client_call(p->probes->catalog, &call, &reply) == 0 && reply.status == 200)
        return true;
    probe_error(p);
    return false;
}

void probe_prices_run(struct probe *p)
{
    char product[64];
    int64_t cents = 0;

    probe_draw(p->probes, "product_id", "1", product, sizeof(product));
    check_shown(p, product, -1);
    if (!p->probes->catalog || !read_price(p, product, true, &cents) ||
        !set_price(p, product, cents + 1))
        return;
    check_shown(p, product, cents + 1);
    for (int i = 0; i < 3 && !set_price(p, product, cents); i++)
        if (!probe_sleep(p->probes, p->probes->options.grace_ns))
            return;
    check_shown(p, product, cents);
}
