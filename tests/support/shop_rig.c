#include "support/shop_rig.h"
#include "base/clock.h"
#include "support/test.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define ARGUMENT 320

/* ---- environment ---- */

static void migrate(struct rig *rig)
{
    const char *const argv[] = {rig->orders_program, "migrate",       "--database", rig->conninfo,
                                "--migrations",      rig->migrations, NULL};

    assert_int_equal(
        fixture_process_run(&(struct fixture_process_options){.argv = argv}, RIG_WAIT_MS, NULL), 0);
}

static struct obs_http_client *client_for(struct rig *rig, const char *name)
{
    struct obs_http_client_options options = {0};
    struct obs_http_client *client = NULL;
    struct obs_reason why = {0};
    char text[128];

    snprintf(text, sizeof(text), "unix:%s/%s.sock", rig->folder, name);
    assert_int_equal(obs_address_parse(text, &options.address, &why), 0);
    assert_int_equal(obs_http_client_new(&options, &client), 0);
    return client;
}

void rig_init(struct rig *rig, char *argv[])
{
    *rig = (struct rig){
        .orders_program = argv[1], .fulfilment_program = argv[2], .migrations = argv[3]};
    assert_int_equal(fixture_folder_new(NULL, rig->folder), 0);
    assert_int_equal(fixture_rabbitmq_start(&rig->rabbitmq), 0);
    assert_int_equal(fixture_postgres_start(&rig->postgres), 0);
    assert_int_equal(fixture_postgres_database(rig->postgres, RIG_DATABASE, rig->conninfo), 0);
    migrate(rig);
    rig->orders_api = client_for(rig, "orders");
    rig->orders_admin = client_for(rig, "orders-admin");
    rig->fulfilment_api = client_for(rig, "fulfilment");
    rig->fulfilment_admin = client_for(rig, "fulfilment-admin");
}

void rig_done(struct rig *rig)
{
    if (rig->fulfilment)
        rig_stop(&rig->fulfilment); /* a sanitizer's complaint is an exit status */
    if (rig->orders)
        rig_stop(&rig->orders);
    obs_http_client_free(rig->orders_api);
    obs_http_client_free(rig->orders_admin);
    obs_http_client_free(rig->fulfilment_api);
    obs_http_client_free(rig->fulfilment_admin);
    rig->rabbitmq = fixture_rabbitmq_free(rig->rabbitmq);
    rig->postgres = fixture_postgres_free(rig->postgres);
    if (rig->folder[0] != '\0')
        fixture_folder_remove(rig->folder);
}

/* ---- services ---- */

static void wait_ready(struct obs_http_client *admin, struct fixture_process *process)
{
    uint64_t end = obs_mono_ns() + RIG_WAIT_MS * OBS_NS_PER_MS;

    /* A process on its way up has no event to wait for before it listens. */
    while (rig_call(admin, "GET", "/readyz", NULL, NULL, NULL) != 200) {
        if (obs_mono_ns() > end || fixture_process_wait(process, 10) >= 0) {
            char *output = fixture_process_output(process);
            fprintf(stderr, "# %s\n", output);
            free(output);
            fail_msg("the service did not become ready");
        }
    }
}

void rig_start_orders(struct rig *rig)
{
    char listen[ARGUMENT], admin[ARGUMENT], state[ARGUMENT];
    const char *const argv[] = {rig->orders_program,
                                "--listen",
                                listen,
                                "--admin",
                                admin,
                                "--state",
                                state,
                                "--database",
                                rig->conninfo,
                                "--amqp",
                                fixture_rabbitmq_address(rig->rabbitmq),
                                "--amqp-vhost",
                                FIXTURE_RABBITMQ_NAME,
                                "--amqp-user",
                                FIXTURE_RABBITMQ_NAME,
                                "--amqp-password-file",
                                fixture_rabbitmq_password_file(rig->rabbitmq),
                                NULL};

    snprintf(listen, sizeof(listen), "unix:%s/orders.sock", rig->folder);
    snprintf(admin, sizeof(admin), "unix:%s/orders-admin.sock", rig->folder);
    snprintf(state, sizeof(state), "%s/orders", rig->folder);
    assert_int_equal(
        fixture_process_start(&(struct fixture_process_options){.argv = argv}, &rig->orders), 0);
    wait_ready(rig->orders_admin, rig->orders);
    rig_configure(rig->orders_admin, "{\"payment.authorize_ms\":0,\"stock.replenish_interval\":0}");
}

void rig_start_fulfilment(struct rig *rig)
{
    char listen[ARGUMENT], admin[ARGUMENT], state[ARGUMENT], orders[ARGUMENT];
    const char *const argv[] = {rig->fulfilment_program,
                                "--listen",
                                listen,
                                "--admin",
                                admin,
                                "--state",
                                state,
                                "--orders",
                                orders,
                                "--amqp",
                                fixture_rabbitmq_address(rig->rabbitmq),
                                "--amqp-vhost",
                                FIXTURE_RABBITMQ_NAME,
                                "--amqp-user",
                                FIXTURE_RABBITMQ_NAME,
                                "--amqp-password-file",
                                fixture_rabbitmq_password_file(rig->rabbitmq),
                                NULL};

    snprintf(listen, sizeof(listen), "unix:%s/fulfilment.sock", rig->folder);
    snprintf(admin, sizeof(admin), "unix:%s/fulfilment-admin.sock", rig->folder);
    snprintf(state, sizeof(state), "%s/fulfilment", rig->folder);
    snprintf(orders, sizeof(orders), "unix:%s/orders.sock", rig->folder);
    assert_int_equal(
        fixture_process_start(&(struct fixture_process_options){.argv = argv}, &rig->fulfilment),
        0);
    wait_ready(rig->fulfilment_admin, rig->fulfilment);
    rig_configure(rig->fulfilment_admin, "{\"work.duration_ms\":0,\"carrier.latency_ms\":0}");
}

void rig_stop(struct fixture_process **process)
{
    int status;

    fixture_process_signal(*process, SIGTERM);
    status = fixture_process_wait(*process, RIG_WAIT_MS);
    if (status != 0) {
        char *output = fixture_process_output(*process);
        fprintf(stderr, "# %s\n", output);
        free(output);
    }
    assert_int_equal(status, 0);
    *process = fixture_process_free(*process);
}

void rig_kill(struct fixture_process **process)
{
    fixture_process_signal(*process, SIGKILL);
    assert_int_equal(fixture_process_wait(*process, RIG_WAIT_MS), 128 + SIGKILL);
    *process = fixture_process_free(*process);
}

/* ---- calls ---- */

int rig_call(struct obs_http_client *client, const char *method, const char *target,
             const char *const *headers, const char *body, json_t **ret_json)
{
    OBS_HTTP_REPLY reply = {0};
    struct obs_http_call_header list[8];
    struct obs_http_call call = {.method = method,
                                 .target = target,
                                 .headers = list,
                                 .body = body,
                                 .body_size = body ? strlen(body) : 0,
                                 .content_type = body ? "application/json" : NULL,
                                 .timeout_ms = RIG_WAIT_MS};
    int r;

    for (size_t i = 0; headers && headers[i] && call.header_count < OBS_COUNT(list); i += 2)
        list[call.header_count++] = (struct obs_http_call_header){headers[i], headers[i + 1]};
    r = obs_http_client_call(client, &call, &reply);
    if (ret_json) {
        *ret_json = NULL;
        if (r == 0)
            (void)obs_json_parse(reply.body.data ? reply.body.data : "", reply.body.size, ret_json,
                                 NULL);
    }
    return r < 0 ? r : reply.status;
}

void rig_configure(struct obs_http_client *admin, const char *json)
{
    assert_int_equal(rig_call(admin, "POST", "/config", NULL, json, NULL), 200);
}

double rig_metric(struct obs_http_client *admin, const char *series)
{
    OBS_HTTP_REPLY reply = {0};
    struct obs_http_call call = {.method = "GET", .target = "/metrics", .timeout_ms = RIG_WAIT_MS};
    const char *line;

    assert_int_equal(obs_http_client_call(admin, &call, &reply), 0);
    assert_int_equal(reply.status, 200);
    for (line = reply.body.data; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, series, strlen(series)) == 0 && strcspn(line, " ") < strcspn(line, "\n"))
            return strtod(line + strcspn(line, " "), NULL);
    }
    return -1;
}

int rig_order(struct rig *rig, const char *key, long product, const char *note,
              char ret_order_id[40])
{
    const char *const headers[] = {"Idempotency-Key", key, NULL};
    OBS_JSON json = NULL;
    char body[1024];
    int status;

    snprintf(body, sizeof(body),
             "{\"user_id\":17,\"items\":[{\"product_id\":%ld,\"quantity\":1,"
             "\"unit_price_cents\":1250}],\"delivery_note\":\"%s\"}",
             product, note);
    status = rig_call(rig->orders_api, "POST", "/orders", key ? headers : NULL, body, &json);
    if (status == 200 || status == 201)
        snprintf(ret_order_id, 40, "%s", json_string_value(json_object_get(json, "order_id")));
    return status;
}

long long rig_number(struct rig *rig, const char *sql)
{
    return fixture_postgres_number(rig->postgres, RIG_DATABASE, sql);
}

static void show_tail(struct fixture_process *process)
{
    char *output = process ? fixture_process_output(process) : NULL;
    size_t size = output ? strlen(output) : 0;

    if (output)
        fprintf(stderr, "# …%s\n", output + (size > 4000 ? size - 4000 : 0));
    free(output);
}

void rig_wait_number(struct rig *rig, const char *sql, long long value, unsigned timeout_ms)
{
    uint64_t end = obs_mono_ns() + timeout_ms * OBS_NS_PER_MS;
    long long number;

    /* The database announces nothing; ask it often. */
    while ((number = rig_number(rig, sql)) != value) {
        if (obs_mono_ns() > end) {
            show_tail(rig->orders);
            show_tail(rig->fulfilment);
        }
        if (obs_mono_ns() > end)
            fail_msg("%s: %lld after %u ms, expected %lld", sql, number, timeout_ms, value);
        obs_sleep_ns(20 * OBS_NS_PER_MS);
    }
}
