/*
 * observa demo: one order, placed through the gateways as a browser would, and followed until it is
 * fulfilled. The trace is ours from the first request on, so its id leads through everything.
 */
#include "base/clock.h"
#include "base/http_client.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/ports.h"
#include "cli/privileges.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#define FOLLOW_NS (60 * OBS_NS_PER_SECOND)
#define POLL_NS (100 * OBS_NS_PER_MS)
#define SHOP "/sut/" PATHS_TENANT

struct demo {
    struct obs_http_client *client;
    unsigned port;
    char trace_id[33], traceparent[64], key[33];
    double last_ms;
};

static int fresh_hex(char *out, size_t bytes)
{
    uint8_t raw[16];

    if (getrandom(raw, bytes, 0) != (ssize_t)bytes)
        return -EIO;
    obs_text_hex(raw, bytes, out);
    return 0;
}

/* One request to the shop; says what failed. Return: CLI_OK, CLI_FAILED. */
static int ask(struct demo *d, const char *method, const char *path, const json_t *body,
               int expected, json_t **ret_reply)
{
    OBS_HTTP_REPLY reply = {0};
    struct obs_buffer text = OBS_BUFFER_INIT(65536);
    struct obs_http_call_header headers[] = {{"traceparent", d->traceparent},
                                             {"Idempotency-Key", d->key}};
    struct obs_http_call call = {.method = method,
                                 .target = path,
                                 .headers = headers,
                                 .header_count = body ? 2 : 1,
                                 .timeout_ms = 10000};
    uint64_t began = obs_mono_ns();
    int r = body ? obs_json_emit(body, &text) : 0;

    call.body = text.data;
    call.body_size = text.size;
    call.content_type = body ? "application/json" : NULL;
    if (r == 0)
        r = obs_http_client_call(d->client, &call, &reply);
    obs_buffer_done(&text);
    d->last_ms = (double)(obs_mono_ns() - began) / 1e6;
    if (r < 0) {
        cli_fail("http://127.0.0.1:%u%s: %s", d->port, path, strerror(-r));
        cli_next("make status, or make up");
        return CLI_FAILED;
    }
    if (reply.status != expected || obs_json_parse(reply.body.data ? reply.body.data : "",
                                                   reply.body.size, ret_reply, NULL) != 0) {
        cli_fail("%s %s answered %d: %.300s", method, path, reply.status,
                 reply.body.data ? reply.body.data : "");
        cli_next("observa logs gateway, and the trace id %s", d->trace_id);
        return CLI_FAILED;
    }
    return CLI_OK;
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text ? text : "?";
}

/* The first product of a list, whatever the list is called. */
static const json_t *first_product(const json_t *page)
{
    const char *name;
    json_t *value;

    if (json_is_array(page))
        return json_array_get(page, 0);
    json_object_foreach ((json_t *)page, name, value) {
        if (json_is_array(value) && json_object_get(json_array_get(value, 0), "price_cents"))
            return json_array_get(value, 0);
    }
    return NULL;
}

static const json_t *id_of(const json_t *product)
{
    const json_t *id = json_object_get(product, "id");

    return id ? id : json_object_get(product, "product_id");
}

static int place(struct demo *d, json_t **ret_order)
{
    OBS_JSON page = NULL;
    OBS_JSON basket = NULL;
    const json_t *product;
    int r = ask(d, "GET", SHOP "/api/products", NULL, 200, &page);

    if (r != CLI_OK)
        return r;
    product = first_product(page);
    if (!id_of(product))
        return cli_fail("the shop lists no products: observa logs catalog");
    printf("  chose     %s, %.2f  (%.0f ms)\n", text_of(product, "name"),
           json_number_value(json_object_get(product, "price_cents")) / 100, d->last_ms);
    basket = json_pack("{s:s, s:[{s:O, s:i}]}", "user_id", "demo", "items", "product_id",
                       id_of(product), "quantity", 1);
    r = ask(d, "POST", SHOP "/api/checkout", basket, 201, ret_order);
    if (r == CLI_OK)
        printf("  ordered   %s, %s  (%.0f ms)\n", text_of(*ret_order, "order_id"),
               text_of(*ret_order, "status"), d->last_ms);
    return r;
}

static int follow(struct demo *d, const char *order_id, const char *first_status)
{
    uint64_t began = obs_mono_ns();
    char path[160], shown[40];

    (void)snprintf(path, sizeof(path), SHOP "/api/orders/%s", order_id);
    (void)snprintf(shown, sizeof(shown), "%s", first_status);
    while (obs_mono_ns() - began < FOLLOW_NS) {
        OBS_JSON order = NULL;
        int r = ask(d, "GET", path, NULL, 200, &order);
        const char *status = text_of(order, "status");

        if (r != CLI_OK)
            return r;
        if (strcmp(status, shown) != 0)
            printf("  then      %s  (%.1f s after the order)\n", status,
                   (double)(obs_mono_ns() - began) / 1e9);
        (void)snprintf(shown, sizeof(shown), "%s", status);
        if (strcmp(status, "fulfilled") == 0)
            return CLI_OK;
        obs_sleep_ns(POLL_NS);
    }
    cli_fail("order %s is still \"%s\" after 60 s", order_id, shown);
    cli_next("observa logs fulfilment");
    return CLI_FAILED;
}

static int begin(const struct cli *cli, struct demo *d, struct obs_reason *reterr_reason)
{
    OBS_JSON ports = NULL;
    struct obs_http_client_options options = {0};
    char path[PATHS_ROOM], address[64], span[17];

    if (ports_read(paths_format(path, "%s/platform/ports.json", cli->paths.state), &ports,
                   reterr_reason) != 0)
        return -ENOENT;
    d->port = ports_get(ports, "control");
    (void)snprintf(address, sizeof(address), "tcp:127.0.0.1:%u", d->port);
    if (obs_address_parse(address, &options.address, reterr_reason) != 0 ||
        fresh_hex(d->trace_id, 16) < 0 || fresh_hex(span, 8) < 0 || fresh_hex(d->key, 16) < 0)
        return -EINVAL;
    (void)snprintf(d->traceparent, sizeof(d->traceparent), "00-%s-%s-01", d->trace_id, span);
    return obs_http_client_new(&options, &d->client);
}

static int run(struct cli *cli)
{
    OBS_JSON order = NULL;
    struct demo d = {0};
    struct obs_reason why = {0};
    int r;

    if (privileges_drop(&why) < 0 || begin(cli, &d, &why) < 0) {
        cli_fail("%s", why.text);
        cli_next("make up");
        return CLI_FAILED;
    }
    printf("A customer orders at http://127.0.0.1:%u" SHOP "/\n\n", d.port);
    r = place(&d, &order);
    if (r == CLI_OK)
        r = follow(&d, text_of(order, "order_id"), text_of(order, "status"));
    if (r == CLI_OK)
        printf("\nWhat happened on the way, across all services (the last spans arrive within two "
               "seconds):\n  %s/bin/observa traces %s\n  %s/bin/observa logs --query "
               "'{service_name=~\".+\"} | trace_id=\"%s\"'\n",
               cli->paths.dist, d.trace_id, cli->paths.dist, d.trace_id);
    obs_http_client_free(d.client);
    return r;
}

const struct cli_verb verb_demo = {
    .name = "demo",
    .words = "",
    .summary = "place an order and follow it until it is fulfilled",
    .text = "Uses the shop's public API through the control gateway, under one trace id, which it "
            "prints.",
    .run = run,
};
