/* /config over a real server and client, on a unix socket. */
#include "support/test.h"

#include "base/http_client.h"
#include "base/http_server.h"
#include "base/mailbox.h"
#include "base/settings_api.h"
#include "support/scratch.h"
#include "support/settings_example.h"
#include <event2/event.h>
#include <pthread.h>

static struct {
    struct scratch scratch;
    char state_path[128];
    struct obs_settings *settings;
    struct event_base *base;
    struct obs_worker_pool *pool;
    struct obs_http_server *server;
    struct obs_mailbox *mailbox;
    struct obs_http_client *client;
    pthread_t thread;
} fix;

static void handle(struct obs_http_request *request, void *userdata)
{
    obs_settings_api_handle(request, fix.settings, &example_schema);
}

static const struct obs_http_route routes[] = {
    {"GET", "/config", handle, OBS_HTTP_ON_WORKER},
    {"PUT", "/config", handle, OBS_HTTP_ON_WORKER},
    {"POST", "/config", handle, OBS_HTTP_ON_WORKER},
    {"DELETE", "/config", handle, OBS_HTTP_ON_WORKER},
    {"GET", "/config/schema", handle, OBS_HTTP_ON_WORKER},
};

static void *run_loop(void *userdata)
{
    event_base_dispatch(fix.base);
    return NULL;
}

static void stop_loop(void *userdata)
{
    event_base_loopbreak(fix.base);
}

static int setup(void **state)
{
    struct obs_http_server_options options = {
        .routes = routes, .route_count = OBS_COUNT(routes), .limits = OBS_HTTP_LIMITS_DEFAULT};
    struct obs_http_client_options client = {0};
    struct obs_address address;
    char text[160];
    int fd;

    fix.scratch = scratch_new();
    strcpy(fix.state_path, scratch_path(&fix.scratch, "state/settings.json"));
    assert_int_equal(mkdir(scratch_path(&fix.scratch, "state"), 0700), 0);
    assert_int_equal(obs_settings_open(&example_schema, fix.state_path, &fix.settings, NULL), 0);
    fix.base = event_base_new();
    assert_int_equal(obs_mailbox_new(fix.base, &fix.mailbox), 0);
    assert_int_equal(obs_worker_pool_new("test", 2, 16, &fix.pool), 0);
    options.pool = fix.pool;
    assert_int_equal(obs_http_server_new(fix.base, &options, &fix.server), 0);
    snprintf(text, sizeof(text), "unix:%s", scratch_path(&fix.scratch, "x.sock"));
    assert_int_equal(obs_address_parse(text, &address, NULL), 0);
    assert_int_equal(obs_address_listen(&address, 16, false, &fd, NULL), 0);
    assert_int_equal(obs_http_server_add(fix.server, fd), 0);
    client.address = address;
    assert_int_equal(obs_http_client_new(&client, &fix.client), 0);
    return pthread_create(&fix.thread, NULL, run_loop, NULL);
}

static int teardown(void **state)
{
    obs_mailbox_post(fix.mailbox, stop_loop, NULL);
    pthread_join(fix.thread, NULL);
    obs_http_client_free(fix.client);
    obs_worker_pool_free(fix.pool);
    obs_http_server_free(fix.server);
    obs_mailbox_free(fix.mailbox);
    event_base_free(fix.base);
    obs_settings_free(fix.settings);
    scratch_done(&fix.scratch);
    return 0;
}

/* Status of the reply; *ret_json its body. */
static int call(const char *method, const char *target, const char *body, json_t **ret_json)
{
    OBS_HTTP_REPLY reply = {0};
    struct obs_http_call request = {.method = method,
                                    .target = target,
                                    .body = body,
                                    .body_size = body ? strlen(body) : 0,
                                    .content_type = body ? "application/json" : NULL};
    int r = obs_http_client_call(fix.client, &request, &reply);

    assert_int_equal(r, 0);
    if (ret_json)
        assert_int_equal(obs_json_parse(reply.body.data, reply.body.size, ret_json, NULL), 0);
    return reply.status;
}

static int64_t ttl_in(const json_t *json)
{
    return json_integer_value(json_object_get(json_object_get(json, "settings"), "cache.ttl"));
}

static void the_five_requests_do_what_they_say(void **state)
{
    OBS_JSON got = NULL;
    OBS_JSON posted = NULL;
    OBS_JSON put = NULL;
    OBS_JSON deleted = NULL;
    OBS_JSON schema = NULL;

    assert_int_equal(call("GET", "/config", NULL, &got), 200);
    assert_int_equal(ttl_in(got), 60);
    assert_int_equal(
        call("POST", "/config", "{\"cache\":{\"ttl\":5},\"server.workers\":2}", &posted), 200);
    assert_int_equal(ttl_in(posted), 5);
    assert_int_equal(call("PUT", "/config", "{\"cache.ttl\":6}", &put), 200);
    assert_int_equal(ttl_in(put), 6);
    assert_int_equal(json_array_size(json_object_get(put, "changed")), 1);
    assert_int_equal(call("DELETE", "/config", NULL, &deleted), 200);
    assert_int_equal(ttl_in(deleted), 60);
    assert_int_equal(json_array_size(json_object_get(deleted, "changed")), 0);
    assert_int_equal(call("GET", "/config/schema", NULL, &schema), 200);
    assert_int_equal(json_array_size(json_object_get(schema, "settings")),
                     example_schema.row_count);
}

static void what_was_answered_200_is_on_the_disk(void **state)
{
    OBS_JSON file = NULL;

    assert_int_equal(call("POST", "/config", "{\"cache.ttl\":7}", NULL), 200);
    file = json_load_file(fix.state_path, 0, NULL);
    assert_int_equal(json_integer_value(json_object_get(file, "cache.ttl")), 7);
}

static void a_refused_value_is_422_with_the_reason(void **state)
{
    OBS_JSON problem = NULL;
    OBS_JSON after = NULL;

    assert_int_equal(call("POST", "/config", "{\"server.workers\":2,\"cache.ttl\":-3}", &problem),
                     422);
    assert_string_equal(json_string_value(json_object_get(problem, "detail")),
                        "\"cache.ttl\" is -3: expected an integer from 1 to 86400 seconds");
    assert_int_equal(call("PUT", "/config", "{\"no.such\":1}", NULL), 422);
    assert_int_equal(call("PUT", "/config", "[]", NULL), 422);
    assert_int_equal(call("GET", "/config", NULL, &after), 200);
    assert_int_equal(json_array_size(json_object_get(after, "changed")), 0);
}

static void a_body_that_is_not_json_is_400(void **state)
{
    OBS_JSON after = NULL;

    assert_int_equal(call("POST", "/config", "{\"cache.ttl\":", NULL), 400);
    assert_int_equal(call("PUT", "/config", NULL, NULL), 400); /* no body */
    assert_int_equal(call("POST", "/config", "{\"cache.ttl\":1,\"cache.ttl\":2}", NULL), 400);
    assert_int_equal(call("GET", "/config", NULL, &after), 200);
    assert_int_equal(ttl_in(after), 60);
}

static void a_state_that_cannot_be_written_is_500_and_changes_nothing(void **state)
{
    OBS_JSON problem = NULL;
    OBS_JSON after = NULL;

    assert_int_equal(rmdir(scratch_path(&fix.scratch, "state")), 0);
    assert_int_equal(call("POST", "/config", "{\"cache.ttl\":8}", &problem), 500);
    assert_non_null(strstr(json_string_value(json_object_get(problem, "detail")), fix.state_path));
    assert_int_equal(call("GET", "/config", NULL, &after), 200);
    assert_int_equal(ttl_in(after), 60);
    assert_int_equal(mkdir(scratch_path(&fix.scratch, "state"), 0700), 0);
    assert_int_equal(call("POST", "/config", "{\"cache.ttl\":8}", NULL), 200); /* well again */
}

static void a_full_disk_is_507_and_changes_nothing(void **state)
{
    struct rlimit before, none;
    OBS_JSON after = NULL;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    none = (struct rlimit){1, before.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    assert_int_equal(call("POST", "/config", "{\"cache.ttl\":9}", NULL), 507);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(call("GET", "/config", NULL, &after), 200);
    assert_int_equal(ttl_in(after), 60);
    assert_int_equal(scratch_count(scratch_path(&fix.scratch, "state")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_five_requests_do_what_they_say, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_answered_200_is_on_the_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(a_refused_value_is_422_with_the_reason, setup, teardown),
        cmocka_unit_test_setup_teardown(a_body_that_is_not_json_is_400, setup, teardown),
        cmocka_unit_test_setup_teardown(a_state_that_cannot_be_written_is_500_and_changes_nothing,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_disk_is_507_and_changes_nothing, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
