#include "support/catalog_rig.h"
#include "base/clock.h"
#include "support/test.h"
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { CALL_MS = 20000 };

/* ---- HTTP ---- */

void rig_reply_done(struct rig_reply *reply)
{
    free(reply->body);
    reply->body = NULL;
}

struct obs_http_client *rig_client(const char *folder, const char *socket)
{
    struct obs_http_client_options options = {0};
    struct obs_http_client *client = NULL;
    char text[128];

    (void)snprintf(text, sizeof(text), "unix:%s/%s", folder, socket);
    assert_int_equal(obs_address_parse(text, &options.address, NULL), 0);
    assert_int_equal(obs_http_client_new(&options, &client), 0);
    return client;
}

static void copy_header(const struct obs_http_reply_data *data, const char *name, char *out,
                        size_t size)
{
    const struct obs_span_text *value = obs_http1_find(&data->parsed, name);

    if (value)
        (void)snprintf(out, size, "%.*s", (int)value->size, value->text);
}

struct rig_reply rig_call_with(struct obs_http_client *client, const char *method,
                               const char *target, const char *const *headers, const char *body,
                               unsigned timeout_ms)
{
    struct obs_http_call_header list[8];
    struct obs_http_call call = {.method = method,
                                 .target = target,
                                 .headers = list,
                                 .body = body,
                                 .body_size = body ? strlen(body) : 0,
                                 .content_type = body ? "application/json" : NULL,
                                 .timeout_ms = timeout_ms};
    OBS_HTTP_REPLY data = {0};
    struct rig_reply reply = {0};
    int r;

    for (; headers && *headers; headers += 2)
        list[call.header_count++] = (struct obs_http_call_header){headers[0], headers[1]};
    r = obs_http_client_call(client, &call, &data);
    reply.status = r < 0 ? r : data.status;
    if (r == 0) {
        copy_header(&data, "x-cache", reply.cache, sizeof(reply.cache));
        copy_header(&data, "set-cookie", reply.cookie, sizeof(reply.cookie));
    }
    reply.body = r == 0 && data.body.data ? strndup(data.body.data, data.body.size) : strdup("");
    assert_non_null(reply.body);
    return reply;
}

struct rig_reply rig_get(struct obs_http_client *client, const char *target)
{
    return rig_call_with(client, "GET", target, NULL, NULL, CALL_MS);
}

int rig_status(struct obs_http_client *client, const char *target)
{
    RIG_REPLY reply = rig_get(client, target);

    return reply.status;
}

void rig_settings(struct obs_http_client *admin, const char *json)
{
    RIG_REPLY reply =
        rig_call_with(admin, json ? "POST" : "DELETE", "/config", NULL, json, CALL_MS);

    if (reply.status != 200)
        fail_msg("%d: %s", reply.status, reply.body);
}

double rig_series(struct obs_http_client *admin, const char *series)
{
    RIG_REPLY reply = rig_get(admin, "/metrics");
    char line[256];
    const char *at;

    assert_int_equal(reply.status, 200);
    (void)snprintf(line, sizeof(line), "\n%s", series);
    at = strstr(reply.body, line);
    if (!at)
        return 0;
    at = strchr(at + strlen(line), ' ');
    assert_non_null(at);
    return strtod(at, NULL);
}

void rig_wait_ready(struct obs_http_client *admin)
{
    uint64_t deadline = obs_mono_ns() + CATALOG_WAIT_MS * OBS_NS_PER_MS;

    while (rig_status(admin, "/readyz") != 200) {
        if (obs_mono_ns() > deadline)
            fail_msg("the service did not become ready");
        obs_sleep_ns(10 * OBS_NS_PER_MS);
    }
}

static void *make_call(void *userdata)
{
    struct rig_call *call = userdata;

    call->reply = rig_get(call->client, call->target);
    return NULL;
}

void rig_call_start(struct rig_call *call)
{
    assert_int_equal(pthread_create(&call->thread, NULL, make_call, call), 0);
}

void rig_call_join(struct rig_call *call)
{
    assert_int_equal(pthread_join(call->thread, NULL), 0);
}

/* ---- the service ---- */

int catalog_rig_migrate(struct catalog_rig *rig, const char *migrations, const char *flag,
                        const char *value)
{
    const char *const argv[] = {
        rig->program,  "migrate",      "--database",
        rig->conninfo, "--migrations", migrations ? migrations : rig->migrations,
        flag,          value,          NULL};
    OBS_CLEANUP(obs_freep) char *output = NULL;

    return fixture_process_run(&(struct fixture_process_options){.argv = argv}, CATALOG_WAIT_MS,
                               &output);
}

void catalog_rig_start(struct catalog_rig *rig)
{
    char listen[96], admin[96], state[96];
    const char *const argv[] = {rig->program,
                                "--listen",
                                listen,
                                "--admin",
                                admin,
                                "--state",
                                state,
                                "--database",
                                rig->conninfo,
                                "--redis",
                                fixture_redis_address(rig->redis),
                                NULL};

    (void)snprintf(listen, sizeof(listen), "unix:%s/catalog.sock", rig->folder);
    (void)snprintf(admin, sizeof(admin), "unix:%s/catalog-admin.sock", rig->folder);
    (void)snprintf(state, sizeof(state), "%s/state", rig->folder);
    assert_int_equal(
        fixture_process_start(&(struct fixture_process_options){.argv = argv}, &rig->catalog), 0);
    assert_true(fixture_process_wait_for(rig->catalog, "\"serving\"", CATALOG_WAIT_MS));
    rig_wait_ready(rig->admin);
}

int catalog_rig_stop(struct catalog_rig *rig)
{
    int status;

    fixture_process_signal(rig->catalog, SIGTERM);
    status = fixture_process_wait(rig->catalog, CATALOG_WAIT_MS);
    if (status != 0) {
        OBS_CLEANUP(obs_freep) char *output = fixture_process_output(rig->catalog);

        fprintf(stderr, "# catalog ended with %d:\n%s\n", status, output);
    }
    rig->catalog = fixture_process_free(rig->catalog);
    return status;
}

void catalog_rig_kill(struct catalog_rig *rig)
{
    fixture_process_signal(rig->catalog, SIGKILL);
    (void)fixture_process_wait(rig->catalog, CATALOG_WAIT_MS);
    rig->catalog = fixture_process_free(rig->catalog);
}

void catalog_rig_init(struct catalog_rig *rig, const char *program, const char *migrations)
{
    *rig = (struct catalog_rig){.program = program, .migrations = migrations};
    assert_int_equal(fixture_folder_new(NULL, rig->folder), 0);
    assert_int_equal(fixture_postgres_start(&rig->postgres), 0);
    assert_int_equal(fixture_redis_start(&rig->redis), 0);
    assert_int_equal(fixture_postgres_database(rig->postgres, CATALOG_DATABASE, rig->conninfo), 0);
    assert_int_equal(catalog_rig_migrate(rig, NULL, NULL, NULL), 0);
    rig->api = rig_client(rig->folder, "catalog.sock");
    rig->admin = rig_client(rig->folder, "catalog-admin.sock");
}

void catalog_rig_done(struct catalog_rig *rig)
{
    if (rig->catalog)
        assert_int_equal(catalog_rig_stop(rig), 0);
    rig->api = obs_http_client_free(rig->api);
    rig->admin = obs_http_client_free(rig->admin);
    rig->redis = fixture_redis_free(rig->redis);
    rig->postgres = fixture_postgres_free(rig->postgres);
    fixture_folder_remove(rig->folder);
}
