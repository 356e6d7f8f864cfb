/* observa-load as a program: run, compare, check, and serve with its control API and its probes,
 * against a small shop of our own. argv[1]: the program. */
#include "base/clock.h"
#include "base/file.h"
#include "base/http_client.h"
#include "base/http_server.h"
#include "base/mailbox.h"
#include "support/fixture_process.h"
#include "support/odd_server.h"
#include "support/test.h"
#include <event2/event.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static const char *PROGRAM;

/* ---- a shop: prices, searches, orders, and each way to be wrong ---- */

struct shop {
    struct event_base *base;
    struct obs_http_server *server;
    struct obs_mailbox *mailbox;
    pthread_t thread;
    char folder[64], address[128];
    int64_t price, shown;
    atomic_bool is_stale;       /* a price change does not show */
    atomic_bool ends_twice;     /* orders are fulfilled twice */
    atomic_bool forgets_orders; /* accepted orders are not found */
    atomic_uint checkouts;
};

static void get_product(struct obs_http_request *request, void *userdata)
{
    struct shop *shop = userdata;
    const char *fresh = obs_http_query(request, "fresh");
    OBS_JSON json = json_pack("{s:i, s:I}", "id", atoi(obs_http_param(request, "id")),
                              "price_cents", (json_int_t)(fresh ? shop->price : shop->shown));

    obs_http_reply_json(request, 200, json);
}

static void put_price(struct obs_http_request *request, void *userdata)
{
    struct shop *shop = userdata;
    size_t size;
    OBS_JSON json = NULL;
    const char *body = obs_http_body(request, &size);

    assert_int_equal(obs_json_parse(body, size, &json, NULL), 0);
    shop->price = json_integer_value(json_object_get(json, "price_cents"));
    if (!shop->is_stale)
        shop->shown = shop->price;
    obs_http_reply_json(request, 200, json);
}

static void get_search(struct obs_http_request *request, void *userdata)
{
    OBS_JSON json = json_pack("{s:[]}", "items");

    obs_http_reply_json(request, 200, json);
}

static void post_checkout(struct obs_http_request *request, void *userdata)
{
    struct shop *shop = userdata;
    char id[40];
    OBS_JSON json = NULL;

    snprintf(id, sizeof(id), "order-%u", ++shop->checkouts);
    json = json_pack("{s:s, s:s}", "order_id", id, "status", "accepted");
    obs_http_reply_json(request, 201, json);
}

static void get_order(struct obs_http_request *request, void *userdata)
{
    struct shop *shop = userdata;
    OBS_JSON json = json_pack("{s:s, s:[{s:s}, {s:s}]}", "status", "fulfilled", "history", "status",
                              "accepted", "status", "fulfilled");

    if (shop->forgets_orders) {
        obs_http_reply(request, 404, "text/plain", "", 0);
        return;
    }
    if (shop->ends_twice)
        json_array_append_new(json_object_get(json, "history"),
                              json_pack("{s:s}", "status", "dead_lettered"));
    obs_http_reply_json(request, 200, json);
}

static const struct obs_http_route SHOP_ROUTES[] = {
    {"GET", "/api/products/{id}", get_product, OBS_HTTP_ON_LOOP},
    {"PUT", "/products/{id}/price", put_price, OBS_HTTP_ON_LOOP},
    {"GET", "/api/search", get_search, OBS_HTTP_ON_LOOP},
    {"POST", "/api/checkout", post_checkout, OBS_HTTP_ON_LOOP},
    {"GET", "/api/orders/{id}", get_order, OBS_HTTP_ON_LOOP},
};

static void *run_shop(void *userdata)
{
    struct shop *shop = userdata;

    event_base_loop(shop->base, EVLOOP_NO_EXIT_ON_EMPTY);
    return NULL;
}

static void open_shop(struct shop *shop)
{
    struct obs_http_server_options options = {.routes = SHOP_ROUTES,
                                              .route_count = OBS_COUNT(SHOP_ROUTES),
                                              .userdata = shop,
                                              .limits = OBS_HTTP_LIMITS_DEFAULT};
    struct obs_address address;
    int fd;

    *shop = (struct shop){.price = 1000, .shown = 1000};
    assert_int_equal(fixture_folder_new(NULL, shop->folder), 0);
    snprintf(shop->address, sizeof(shop->address), "unix:%s/shop.sock", shop->folder);
    shop->base = event_base_new();
    assert_non_null(shop->base);
    assert_int_equal(obs_mailbox_new(shop->base, &shop->mailbox), 0);
    assert_int_equal(obs_http_server_new(shop->base, &options, &shop->server), 0);
    assert_int_equal(obs_address_parse(shop->address, &address, NULL), 0);
    assert_int_equal(obs_address_listen(&address, 64, false, &fd, NULL), 0);
    assert_int_equal(obs_http_server_add(shop->server, fd), 0);
    assert_int_equal(pthread_create(&shop->thread, NULL, run_shop, shop), 0);
}

static void stop_shop(void *userdata)
{
    event_base_loopbreak(userdata);
}

static void close_shop(struct shop *shop)
{
    obs_mailbox_post(shop->mailbox, stop_shop, shop->base);
    pthread_join(shop->thread, NULL);
    obs_http_server_free(shop->server);
    obs_mailbox_free(shop->mailbox);
    event_base_free(shop->base);
    fixture_folder_remove(shop->folder);
}

/* ---- observa-load serve, and its API ---- */

static const char SCRIPT[] =
    "{\"name\":\"test\",\"users\":20,\"trace_sample\":1,\"pattern\":{\"type\":\"constant\","
    "\"rate\":50},"
    "\"variables\":{\"product_id\":{\"integer\":{\"from\":1,\"to\":9}},\"key\":{\"uuid\":true}},"
    "\"journeys\":["
    "{\"name\":\"view\",\"group\":\"browse\",\"weight\":2,\"steps\":[{\"target\":\"/api/products/"
    "{product_id}\"}]},"
    "{\"name\":\"missing\",\"group\":\"browse\",\"weight\":1,\"steps\":[{\"target\":\"/none\"}]},"
    "{\"name\":\"checkout\",\"weight\":1,\"steps\":[{\"method\":\"POST\",\"target\":\"/api/"
    "checkout\","
    "\"headers\":{\"Idempotency-Key\":\"{key}\"},\"status\":201,"
    "\"extract\":{\"order_id\":{\"json\":\"/order_id\"}},\"accepted_order\":\"order_id\"}]}]}";

struct serve {
    struct shop shop;
    struct fixture_process *process;
    struct obs_http_client *client;
};

static void open_serve(struct serve *s)
{
    char script[128], admin[128], catalog[160];
    const char *argv[] = {PROGRAM,   "serve", "--target", s->shop.address,    "--journeys", script,
                          "--admin", admin,   catalog,    "--probe-interval", "50ms",       NULL};
    struct fixture_process_options options = {.argv = argv};
    struct obs_http_client_options client = {0};

    open_shop(&s->shop);
    snprintf(script, sizeof(script), "%s/script.json", s->shop.folder);
    snprintf(admin, sizeof(admin), "unix:%s/admin.sock", s->shop.folder);
    snprintf(catalog, sizeof(catalog), "--catalog=%s", s->shop.address);
    assert_int_equal(obs_file_write_atomic(script, SCRIPT, strlen(SCRIPT), 0600, NULL), 0);
    assert_int_equal(fixture_process_start(&options, &s->process), 0);
    assert_true(fixture_process_wait_for(s->process, "serving", 10000));
    assert_int_equal(obs_address_parse(admin, &client.address, NULL), 0);
    assert_int_equal(obs_http_client_new(&client, &s->client), 0);
}

static void close_serve(struct serve *s)
{
    obs_http_client_free(s->client);
    fixture_process_signal(s->process, SIGTERM);
    assert_int_equal(fixture_process_wait(s->process, 10000), 0);
    fixture_process_free(s->process);
    close_shop(&s->shop);
}

/* Return: the status. @ret_body: free() it; NULL: not wanted. */
static int call(struct serve *s, const char *method, const char *target, const char *body,
                char **ret_body)
{
    OBS_HTTP_REPLY reply = {0};
    struct obs_http_call request = {.method = method,
                                    .target = target,
                                    .body = body,
                                    .body_size = body ? strlen(body) : 0,
                                    .content_type = body ? "application/json" : NULL};

    assert_int_equal(obs_http_client_call(s->client, &request, &reply), 0);
    if (ret_body)
        *ret_body = strdup(reply.body.data ? reply.body.data : "");
    return reply.status;
}

static json_t *get_json(struct serve *s, const char *target)
{
    OBS_CLEANUP(obs_freep) char *body = NULL;
    json_t *json;

    assert_int_equal(call(s, "GET", target, NULL, &body), 200);
    json = json_loads(body, 0, NULL);
    assert_non_null(json);
    return json;
}

static double metric(struct serve *s, const char *name, const char *label)
{
    OBS_CLEANUP(obs_freep) char *body = NULL;
    char *line;

    assert_int_equal(call(s, "GET", "/metrics", NULL, &body), 200);
    for (line = strtok(body, "\n"); line; line = strtok(NULL, "\n"))
        if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == '{' &&
            (!label || strstr(line, label)))
            return atof(strchr(line, '}') + 1);
    return -1;
}

/* Wait, 20 s at most, until the metric is at least @least. */
static void wait_for_metric(struct serve *s, const char *name, const char *label, double least)
{
    for (int i = 0; i < 400 && metric(s, name, label) < least; i++)
        obs_sleep_ns(50 * OBS_NS_PER_MS);
    if (metric(s, name, label) < least)
        print_error("%s %s is %g, expected at least %g\n", name, label, metric(s, name, label),
                    least);
    assert_true(metric(s, name, label) >= least);
}

static void serves_health_metrics_and_what_the_criteria_need(void **state)
{
    struct serve s;
    OBS_CLEANUP(obs_freep) char *body = NULL;

    open_serve(&s);
    assert_int_equal(call(&s, "GET", "/healthz", NULL, NULL), 200);
    assert_int_equal(call(&s, "GET", "/readyz", NULL, NULL), 200);
    assert_int_equal(call(&s, "GET", "/nothing", NULL, NULL), 404);
    wait_for_metric(&s, "journey_requests_total", "journey=\"browse\",outcome=\"ok\"", 10);
    wait_for_metric(&s, "journey_requests_total", "journey=\"browse\",outcome=\"error\"", 2);
    wait_for_metric(&s, "journey_duration_seconds_count", "journey=\"checkout\"", 2);
    assert_true(metric(&s, "journey_requests_total", "outcome=\"timeout\"") == 0);
    assert_true(metric(&s, "loadgen_target_rps", "journey=\"browse\"") == 37.5);
    assert_true(metric(&s, "loadgen_target_rps", "journey=\"checkout\"") == 12.5);
    assert_int_equal(call(&s, "GET", "/metrics", NULL, &body), 200);
    assert_non_null(strstr(body, "journey_duration_seconds_bucket"));
    assert_non_null(strstr(body, " # {trace_id=\""));
    assert_non_null(strstr(body, "# EOF"));
    close_serve(&s);
}

static void the_load_is_changed_and_bad_changes_are_refused(void **state)
{
    struct serve s;
    OBS_CLEANUP(obs_freep) char *body = NULL;
    json_t *json;
    json_int_t before;

    open_serve(&s);
    assert_int_equal(call(&s, "PATCH", "/load", "{\"rate\":\"x\"}", &body), 422);
    assert_non_null(strstr(body, "rate is"));
    assert_int_equal(call(&s, "PATCH", "/load", "{", NULL), 400);
    assert_int_equal(call(&s, "PATCH", "/load", "{\"mix\":{\"nobody\":1}}", NULL), 422);
    assert_int_equal(call(&s, "PUT", "/load",
                          "{\"pattern\":{\"type\":\"replay\",\"file\":"
                          "\"/etc/passwd\"}}",
                          NULL),
                     422);
    json = get_json(&s, "/load");
    assert_true(json_number_value(json_object_get(json, "target_rps")) == 50);
    assert_int_equal(json_integer_value(json_object_get(json, "change")), 1);
    json_decref(json);

    assert_int_equal(call(&s, "PATCH", "/load", "{\"scale\":2,\"mix\":{\"missing\":0}}", NULL),
                     200);
    assert_true(metric(&s, "loadgen_target_rps", "journey=\"browse\"") > 66);
    assert_int_equal(call(&s, "PATCH", "/load", "{\"paused\":true}", NULL), 200);
    assert_true(metric(&s, "loadgen_target_rps", "journey=\"browse\"") == 0);
    obs_sleep_ns(100 * OBS_NS_PER_MS);
    json = get_json(&s, "/load/status");
    before = json_integer_value(json_object_get(json, "scheduled"));
    assert_true(json_is_true(json_object_get(json, "paused")));
    json_decref(json);
    obs_sleep_ns(200 * OBS_NS_PER_MS);
    json = get_json(&s, "/load/status");
    assert_int_equal(json_integer_value(json_object_get(json, "scheduled")), before);
    json_decref(json);
    assert_int_equal(call(&s, "PATCH", "/load",
                          "{\"pattern\":\"ramp:from=8,to=8,over=1s\",\"paused\":false}", NULL),
                     200);
    assert_true(metric(&s, "loadgen_target_rps", "journey=\"checkout\"") > 5);
    assert_int_equal(call(&s, "PUT", "/load", "{}", NULL), 200); /* back to the file's values */
    assert_true(metric(&s, "loadgen_target_rps", "journey=\"browse\"") == 37.5);
    close_serve(&s);
}

static void events_are_read_on_from_where_the_reader_was(void **state)
{
    struct serve s;
    json_t *first, *second, *events;
    char target[64];

    open_serve(&s);
    wait_for_metric(&s, "journey_requests_total", "journey=\"browse\",outcome=\"ok\"", 5);
    first = get_json(&s, "/events?after=0&limit=3");
    events = json_object_get(first, "events");
    assert_int_equal(json_array_size(events), 3);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(events, 2), "seq")), 3);
    assert_true(json_integer_value(json_object_get(json_array_get(events, 0), "user")) > 0);
    assert_non_null(json_object_get(json_array_get(events, 0), "trace_id"));
    snprintf(target, sizeof(target), "/events?after=%" JSON_INTEGER_FORMAT "&limit=1",
             json_integer_value(json_object_get(first, "next")));
    second = get_json(&s, target);
    events = json_object_get(second, "events");
    assert_int_equal(json_integer_value(json_object_get(json_array_get(events, 0), "seq")), 4);
    assert_int_equal(json_integer_value(json_object_get(second, "lost")), 0);
    assert_int_equal(call(&s, "GET", "/events?limit=999999", NULL, NULL), 422);
    json_decref(first);
    json_decref(second);
    close_serve(&s);
}

#define CHECKS "probe_correctness_checks_total"
#define FAILURES "probe_correctness_failures_total"

static void probes_pass_a_shop_that_is_right(void **state)
{
    struct serve s;

    open_serve(&s);
    wait_for_metric(&s, CHECKS, "price_consistency", 9);
    wait_for_metric(&s, CHECKS, "uncached_search", 3);
    wait_for_metric(&s, CHECKS, "order_conservation", 3);
    assert_true(metric(&s, FAILURES, "price_consistency") == 0);
    assert_true(metric(&s, FAILURES, "uncached_search") == 0);
    assert_true(metric(&s, FAILURES, "order_conservation") == 0);
    assert_true(metric(&s, "probe_duration_seconds", "uncached_search") > 0);
    assert_true(metric(&s, "probe_duration_seconds", "price_consistency") == -1);
    close_serve(&s);
}

static void probes_find_a_stale_price(void **state)
{
    struct serve s;

    open_serve(&s);
    s.shop.is_stale = true;
    wait_for_metric(&s, FAILURES, "price_consistency", 2);
    assert_true(metric(&s, FAILURES, "order_conservation") == 0);
    close_serve(&s);
}

static void probes_find_orders_that_end_twice_or_never(void **state)
{
    struct serve s;

    open_serve(&s);
    s.shop.ends_twice = true;
    wait_for_metric(&s, FAILURES, "order_conservation", 2);
    s.shop.forgets_orders = true;
    wait_for_metric(&s, FAILURES, "order_conservation",
                    metric(&s, FAILURES, "order_conservation") + 5);
    assert_true(metric(&s, FAILURES, "price_consistency") == 0);
    close_serve(&s);
}

/* ---- run, compare, check ---- */

static int run(const char *const *argv, char **ret_output)
{
    struct fixture_process_options options = {.argv = argv,
                                              .environment = (const char *[]){"LC_ALL=C", NULL}};

    return fixture_process_run(&options, 30000, ret_output);
}

static void run_reports_and_compare_compares(void **state)
{
    OBS_CLEANUP(odd_server_freep) struct odd_server *server = NULL;
    char folder[64], url[128], path[2][128];
    char *output = NULL;
    json_error_t error;
    json_t *report;

    assert_int_equal(odd_server_start(NULL, &server), 0);
    assert_int_equal(fixture_folder_new(NULL, folder), 0);
    snprintf(url, sizeof(url), "%s/ok", odd_server_url(server));
    for (int i = 0; i < 2; i++) {
        const char *argv[] = {PROGRAM,      "run", url,      "--rate", "300",
                              "--duration", "2s",  "--json", path[i],  NULL};

        snprintf(path[i], sizeof(path[i]), "%s/%d.json", folder, i);
        assert_int_equal(run(argv, &output), 0);
        assert_non_null(strstr(output, "scheduled   600 = "));
        assert_non_null(strstr(output, "ok 600"));
        assert_non_null(strstr(output, "p99.99"));
        assert_non_null(strstr(output, "####")); /* the chart */
        free(output);
    }
    report = json_load_file(path[0], 0, &error);
    assert_non_null(report);
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(report, "counters"), "scheduled")), 600);
    json_decref(report);
    assert_int_equal(run((const char *[]){PROGRAM, "compare", path[0], path[1], NULL}, &output), 0);
    assert_non_null(strstr(output, "too short to tell from chance"));
    free(output);
    fixture_folder_remove(folder);
}

static void mistakes_on_the_command_line_are_explained(void **state)
{
    static const struct {
        const char *argv[8], *expected;
    } CASES[] = {
        {{"run"}, "a target is missing"},
        {{"run", "http://127.0.0.1:1/", "--rate", "fast"}, "--rate is \"fast\": expected a number"},
        {{"run", "http://127.0.0.1:1/", "--duration", "10"}, "expected a duration such as"},
        {{"run", "gopher://x"}, "expected http://HOST"},
        {{"run", "http://127.0.0.1:1/", "--rate", "1", "--pattern", "constant:rate=2"},
         "expected one of them"},
        {{"run", "http://127.0.0.1:1/", "--journeys", "/no/such.json"}, "cannot be read"},
        {{"run", "http://127.0.0.1:1/", "--rats", "1"}, "--rats"},
        {{"check", "/dev/null"}, "/dev/null"},
        {{"compare", "/dev/null", "/dev/null"}, "/dev/null"},
        {{"sprint"}, "there is no command \"sprint\""},
        {{"serve", "--target", "unix:/x"}, "--journeys"},
    };

    for (size_t i = 0; i < OBS_COUNT(CASES); i++) {
        const char *argv[10] = {PROGRAM};
        char *output = NULL;

        memcpy(argv + 1, CASES[i].argv, sizeof(CASES[i].argv));
        assert_int_equal(run(argv, &output), 1);
        if (!strstr(output, CASES[i].expected))
            print_error("\"%s\" has no \"%s\"\n", output, CASES[i].expected);
        assert_non_null(strstr(output, CASES[i].expected));
        free(output);
    }
}

int main(int argc, char *argv[])
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(serves_health_metrics_and_what_the_criteria_need),
        cmocka_unit_test(the_load_is_changed_and_bad_changes_are_refused),
        cmocka_unit_test(events_are_read_on_from_where_the_reader_was),
        cmocka_unit_test(probes_pass_a_shop_that_is_right),
        cmocka_unit_test(probes_find_a_stale_price),
        cmocka_unit_test(probes_find_orders_that_end_twice_or_never),
        cmocka_unit_test(run_reports_and_compare_compares),
        cmocka_unit_test(mistakes_on_the_command_line_are_explained),
    };

    if (argc != 2)
        return 2;
    PROGRAM = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
