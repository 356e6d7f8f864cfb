/* The HTTP API in one process: a server over a unix socket, a store in a scratch folder. */
#include "support/test.h"

#include "base/clock.h"
#include "base/http_client.h"
#include "base/http_server.h"
#include "base/json.h"
#include "base/log.h"
#include "support/scratch.h"
#include "telemetry/profile_folded.h"
#include "telemetry/profile_pprof.h"
#include "telemetry/profile_store.h"
#include "telemetry/telemetry.h"
#include <event2/event.h>
#include <event2/thread.h>
#include <inttypes.h>
#include <pthread.h>
#include <sys/eventfd.h>

struct rig {
    struct scratch scratch;
    struct telemetry telemetry;
    struct event_base *base;
    struct event *stop;
    int stop_fd;
    struct obs_worker_pool *pool;
    struct obs_http_server *server;
    struct obs_http_client *client;
    pthread_t thread;
    struct obs_buffer body; /* of the last answer */
    uint64_t t0_s;          /* an hour ago */
};

static void stop_loop(evutil_socket_t fd, short what, void *userdata)
{
    event_base_loopbreak(userdata);
}

static void *run_loop(void *userdata)
{
    event_base_dispatch(userdata);
    return NULL;
}

static int start(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    struct obs_http_server_options options = {.limits = OBS_HTTP_LIMITS_DEFAULT};
    struct profile_store_options store = {0};
    struct obs_http_client_options client = {.body_bytes_max = 64 << 20};
    struct obs_address address;
    struct obs_reason why;
    char text[160];
    int fd;

    rig->scratch = scratch_new();
    rig->t0_s = obs_time_ns() / OBS_NS_PER_SECOND - 3600;
    rig->body = OBS_BUFFER_INIT(64 << 20);
    store.folder = rig->scratch.path;
    assert_int_equal(profile_store_open(&store, &rig->telemetry.profiles, &why), 0);
    assert_int_equal(obs_metrics_new("telemetry", "0", &rig->telemetry.own.metrics), 0);
    rig->telemetry.default_tenant = "solo";
    rig->base = event_base_new();
    rig->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    rig->stop = event_new(rig->base, rig->stop_fd, EV_READ, stop_loop, rig->base);
    event_add(rig->stop, NULL);
    assert_int_equal(obs_worker_pool_new("test", 2, 64, &rig->pool), 0);
    options.routes = PROFILE_ROUTES.routes;
    options.route_count = PROFILE_ROUTES.count;
    options.userdata = &rig->telemetry;
    options.pool = rig->pool;
    options.limits.body_bytes = 20 << 20;
    assert_int_equal(obs_http_server_new(rig->base, &options, &rig->server), 0);
    snprintf(text, sizeof(text), "unix:%s/.sock", rig->scratch.path);
    assert_int_equal(obs_address_parse(text, &address, &why), 0);
    assert_int_equal(obs_address_listen(&address, 16, false, &fd, &why), 0);
    assert_int_equal(obs_http_server_add(rig->server, fd), 0);
    client.address = address;
    assert_int_equal(obs_http_client_new(&client, &rig->client), 0);
    pthread_create(&rig->thread, NULL, run_loop, rig->base);
    *state = rig;
    return 0;
}

static int stop(void **state)
{
    struct rig *rig = *state;
    uint64_t one = 1;

    assert_int_equal(write(rig->stop_fd, &one, sizeof(one)), sizeof(one));
    pthread_join(rig->thread, NULL);
    obs_http_client_free(rig->client);
    obs_worker_pool_free(rig->pool);
    obs_http_server_free(rig->server);
    event_free(rig->stop);
    event_base_free(rig->base);
    close(rig->stop_fd);
    profile_store_free(rig->telemetry.profiles);
    obs_metrics_free(rig->telemetry.own.metrics);
    obs_buffer_done(&rig->body);
    scratch_done(&rig->scratch);
    free(rig);
    return 0;
}

static int call(struct rig *rig, const char *method, const char *target, const char *tenant,
                const char *content_type, const void *body, size_t size)
{
    OBS_HTTP_REPLY reply = {0};
    struct obs_http_call_header header = {"X-Scope-OrgID", tenant};
    struct obs_http_call c = {.method = method,
                              .target = target,
                              .headers = &header,
                              .header_count = tenant ? 1 : 0,
                              .body = body,
                              .body_size = size,
                              .content_type = content_type,
                              .timeout_ms = 30000};

    assert_int_equal(obs_http_client_call(rig->client, &c, &reply), 0);
    obs_buffer_clear(&rig->body);
    obs_buffer_append(&rig->body, reply.body.data ? reply.body.data : "", reply.body.size);
    return reply.status;
}

static int push_as(struct rig *rig, const char *tenant, const char *name, unsigned at_s,
                   const char *extra, const void *body, size_t size)
{
    char target[2000];

    snprintf(target, sizeof(target), "/ingest?name=%s&from=%" PRIu64 "&until=%" PRIu64 "%s", name,
             rig->t0_s + at_s, rig->t0_s + at_s + 10, extra);
    return call(rig, "POST", target, tenant, "text/plain", body, size);
}

static int push(struct rig *rig, const char *name, unsigned at_s, const char *extra,
                const char *body)
{
    return push_as(rig, NULL, name, at_s, extra, body, strlen(body));
}

__attribute__((format(printf, 2, 3))) static int get(struct rig *rig, const char *format, ...)
{
    char target[2000];
    va_list args;

    va_start(args, format);
    vsnprintf(target, sizeof(target), format, args);
    va_end(args);
    return call(rig, "GET", target, NULL, NULL, NULL, 0);
}

static void expect_body(const struct rig *rig, const char *text)
{
    if (!strstr(rig->body.data, text))
        fail_msg("expected %s in %.900s", text, rig->body.data);
}

/* ---- in ---- */

/* What src/otel/profiler.c sends. */
static void our_services_windows_arrive(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(push(rig, "orders", 0,
                          "&format=folded&sampleRate=97&units=samples&aggregationType=sum",
                          "worker;main;work 7\n"),
                     200);
    assert_int_equal(push(rig, "orders", 10, "&format=folded&sampleRate=97", "worker;main 3\n"),
                     200);
    assert_int_equal(get(rig, "/render?query=orders.cpu&from=%" PRIu64 "&until=now", rig->t0_s),
                     200);
    expect_body(rig, "\"numTicks\":10");
    expect_body(rig, "\"sampleRate\":97");
    expect_body(rig, "\"units\":\"samples\"");
    expect_body(rig, "\"levels\":[[0,10,0,0],[0,10,0,1],[0,10,3,2],[3,7,7,3]]");
}

static void labels_in_the_name_part_series(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(push(rig, "orders.cpu%7Bversion%3D1.2%7D", 0, "", "a 5\n"), 200);
    assert_int_equal(push(rig, "orders.cpu%7Bversion%3D1.3%7D", 0, "", "b 6\n"), 200);
    assert_int_equal(get(rig, "/pyroscope/render?query=orders.cpu%%7Bversion%%3D%%221.3%%22%%7D"
                              "&from=now-2h&format=folded"),
                     200);
    assert_string_equal(rig->body.data, "b 6\n");
    assert_int_equal(get(rig, "/render?query=orders&from=now-2h&format=collapsed"), 200);
    assert_string_equal(rig->body.data, "a 5\nb 6\n");
    assert_int_equal(get(rig, "/label-values?label=version"), 200);
    assert_string_equal(rig->body.data, "[\"1.2\",\"1.3\"]");
    assert_int_equal(get(rig, "/pyroscope/labels?query=orders.cpu%%7Bversion%%3D%%221.3%%22%%7D"),
                     200);
    assert_string_equal(
        rig->body.data,
        "[\"__name__\",\"__profile_type__\",\"__type__\",\"service_name\",\"version\"]");
    assert_int_equal(get(rig, "/api/apps"), 200);
    assert_string_equal(rig->body.data, "[{\"name\":\"orders.cpu\"}]");
    assert_int_equal(get(rig, "/label-values?label=__profile_type__&from=now-2h&until=now"), 200);
    assert_string_equal(rig->body.data, "[\"process_cpu:cpu:nanoseconds:cpu:nanoseconds\"]");
}

static void make_pprof(struct obs_buffer *b, const char *type, const char *unit)
{
    OBS_CLEANUP(profile_tree_freep) struct profile_tree *tree = NULL;
    struct pprof_header header = {type, unit, 10000000, 0, 0};
    struct obs_reason why;
    static const char FOLDED[] = "main;work 40\nmain 2\n";

    assert_int_equal(profile_tree_new(NULL, &tree), 0);
    assert_int_equal(profile_folded_decode((struct text_view){FOLDED, strlen(FOLDED)},
                                           PROFILE_GROUPS, tree, &why),
                     0);
    assert_int_equal(pprof_emit(tree, PROFILE_LEFT, &header, b), 0);
}

static void pprof_comes_bare_or_as_a_form(void **state)
{
    struct rig *rig = *state;
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer pprof = OBS_BUFFER_INIT(1 << 20);
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer form = OBS_BUFFER_INIT(1 << 20);
    char target[300];

    make_pprof(&pprof, "samples", "count");
    assert_int_equal(
        push_as(rig, NULL, "go.app", 0, "&format=pprof&sampleRate=97", pprof.data, pprof.size),
        200);
    obs_buffer_append_text(&form, "--b0undary\r\nContent-Disposition: form-data; name=\"profile\"; "
                                  "filename=\"profile.pprof\"\r\n"
                                  "Content-Type: application/octet-stream\r\n\r\n");
    obs_buffer_append(&form, pprof.data, pprof.size);
    obs_buffer_append_text(
        &form, "\r\n--b0undary\r\nContent-Disposition: form-data; name=\"sample_type_config\"\r\n"
               "\r\n{\"samples\":{\"units\":\"samples\",\"sampled\":true}}\r\n--b0undary--\r\n");
    snprintf(target, sizeof(target), "/ingest?name=go.app.cpu&from=%" PRIu64 "&until=%" PRIu64,
             rig->t0_s + 10, rig->t0_s + 20);
    assert_int_equal(call(rig, "POST", target, NULL, "multipart/form-data; boundary=b0undary",
                          form.data, form.size),
                     200);
    assert_int_equal(get(rig, "/render?query=go.app.cpu&from=now-2h&format=folded"), 200);
    assert_string_equal(rig->body.data, "main 4\nmain;work 80\n");
    for (size_t cut = 1; cut < form.size; cut += 7) {
        int status = call(rig, "POST", target, NULL, "multipart/form-data; boundary=b0undary",
                          form.data, form.size - cut);

        assert_true(status == 400 || (cut <= 4 && status == 200));
    }
}

static void memory_types_are_series_of_their_own(void **state)
{
    struct rig *rig = *state;
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer pprof = OBS_BUFFER_INIT(1 << 20);

    make_pprof(&pprof, "inuse_space", "bytes");
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(
            push_as(rig, NULL, "go.app", i * 10, "&format=pprof", pprof.data, pprof.size), 200);
    assert_int_equal(get(rig, "/render?query=go.app.inuse_space&from=now-2h"), 200);
    expect_body(rig, "\"numTicks\":42"); /* a level: averaged */
    expect_body(rig, "\"units\":\"bytes\"");
    assert_int_equal(get(rig, "/render?query=go.app.cpu&from=now-2h"), 200);
    expect_body(rig, "\"levels\":[[0,0,0,0]]");
    obs_buffer_clear(&pprof);
    make_pprof(&pprof, "flux", "capacitors");
    assert_int_equal(push_as(rig, NULL, "go.app", 0, "&format=pprof", pprof.data, pprof.size), 400);
    expect_body(rig, "flux");
}

static void different_rates_are_added_up_as_time(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(push(rig, "orders", 0, "&sampleRate=100", "a 50\n"), 200);
    assert_int_equal(push(rig, "orders", 10, "&sampleRate=1000", "a 50\nb 1\n"), 200);
    assert_int_equal(get(rig, "/render?query=orders&from=now-2h&format=folded"), 200);
    assert_string_equal(rig->body.data, "a 550000000\nb 1000000\n");
    assert_int_equal(get(rig, "/render?query=orders&from=now-2h"), 200);
    expect_body(rig, "\"sampleRate\":1000000000");
    assert_int_equal(get(rig,
                         "/render?query=process_cpu:cpu:nanoseconds:cpu:nanoseconds"
                         "%%7Bservice_name%%3D%%22orders%%22%%7D&from=%" PRIu64 "&until=%" PRIu64
                         "&format=folded",
                         rig->t0_s, rig->t0_s + 5),
                     200);
    assert_string_equal(rig->body.data, "a 500000000\n");
}

static uint64_t counter(struct rig *rig, const char *start_of_line)
{
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer b = OBS_BUFFER_INIT(1 << 20);
    const char *at;

    assert_int_equal(obs_metrics_emit(rig->telemetry.own.metrics, &b), 0);
    at = strstr(b.data, start_of_line);
    at = at ? strchr(at, '}') : NULL;
    return at ? strtoull(at + 1, NULL, 10) : 0;
}

static void hostile_pushes_are_refused_and_counted(void **state)
{
    struct rig *rig = *state;
    uint64_t now_s = obs_time_ns() / OBS_NS_PER_SECOND;
    char target[300];
    char *large = calloc(1, 18 << 20);
    static const struct {
        const char *name, *extra, *body;
        int status;
        const char *text;
    } BAD[] = {
        {"x%7B", "", "a 1\n", 400, "found the end"},
        {"", "", "a 1\n", 400, "application name"},
        {"x", "&sampleRate=0", "a 1\n", 400, "sampleRate"},
        {"x", "&format=jfr", "a 1\n", 415, "jfr"},
        {"x", "", "", 400, "empty"},
        {"x", "", "a b\n", 400, "count"},
        {"x", "", "a;\xff 1\n", 400, "UTF-8"},
        {"x", "&format=pprof", "\x1f\x8b garbage", 400, "gzip"},
        {"x", "&format=pprof", "garbage", 400, "pprof"},
    };

    for (size_t i = 0; i < OBS_COUNT(BAD); i++) {
        assert_int_equal(push(rig, BAD[i].name, 0, BAD[i].extra, BAD[i].body), BAD[i].status);
        expect_body(rig, BAD[i].text);
    }
    static const struct {
        int64_t from, until;
        const char *text;
    } TIMES[] = {{0, 10, "older"}, {100000, 100010, "future"}, {-10, -20, "before"}};

    for (size_t i = 0; i < OBS_COUNT(TIMES); i++) {
        int64_t base = i == 0 ? 0 : (int64_t)now_s;

        snprintf(target, sizeof(target), "/ingest?name=x&from=%" PRId64 "&until=%" PRId64,
                 base + TIMES[i].from, base + TIMES[i].until);
        assert_int_equal(call(rig, "POST", target, NULL, "text/plain", "a 1\n", 4), 400);
        expect_body(rig, TIMES[i].text);
    }
    snprintf(target, sizeof(target), "/ingest?name=x&from=%" PRIu64 "&until=99999999999999999999",
             now_s);
    assert_int_equal(call(rig, "POST", target, NULL, "text/plain", "a 1\n", 4), 400);
    assert_int_equal(push_as(rig, NULL, "x", 0, "", large, 18 << 20), 413);
    assert_int_equal(push_as(rig, "../x", "x", 0, "", "a 1\n", 4), 400);
    assert_int_equal(push(rig, "x", 0, "", "a 1\n"), 200);
    assert_int_equal(counter(rig, "telemetry_profiles_accepted_total{"), 1);
    assert_true(counter(rig, "status_code=\"413\"") == 1);
    assert_true(counter(rig, "status_code=\"415\"") == 1);
    free(large);
}

/* ---- out ---- */

static void refused_queries_name_the_token_and_its_position(void **state)
{
    struct rig *rig = *state;
    static const struct {
        const char *target, *text;
    } BAD[] = {
        {"/render", "query is missing"},
        {"/render?query=orders%7Bversion%3D1%7D", "found \\\"1\\\" at position 16"},
        {"/render?query=orders&from=yesterday", "yesterday: not a time at position 1"},
        {"/render?query=orders&from=now&until=now-1h", "until is not after from"},
        {"/render?query=orders&max-nodes=many", "max-nodes=many"},
        {"/render?query=orders&format=svg", "format=svg"},
        {"/render?query=orders&groupBy=x", "groupBy"},
        {"/render?query=orders%7Ba%3D~%22(%22%7D", "position 11"},
        {"/render-diff?query=orders&leftFrom=x", "leftFrom=x"},
        {"/render-diff?leftQuery=orders", "rightQuery is missing"},
        {"/label-values", "label is missing"},
        {"/labels?query=%7B", "found the end"},
    };

    for (size_t i = 0; i < OBS_COUNT(BAD); i++) {
        assert_int_equal(get(rig, "%s", BAD[i].target), 400);
        expect_body(rig, BAD[i].text);
    }
}

static void a_diff_puts_two_ranges_beside_each_other(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(push(rig, "orders", 0, "&sampleRate=97", "main;a 5\nmain;b 1\n"), 200);
    assert_int_equal(push(rig, "orders", 100, "&sampleRate=97", "main;a 2\nmain;c 9\n"), 200);
    assert_int_equal(get(rig,
                         "/pyroscope/render-diff?query=orders.cpu&leftFrom=%" PRIu64
                         "&leftUntil=%" PRIu64 "&rightFrom=%" PRIu64 "&rightUntil=%" PRIu64,
                         rig->t0_s, rig->t0_s + 50, rig->t0_s + 100, rig->t0_s + 150),
                     200);
    expect_body(rig, "\"format\":\"double\"");
    expect_body(rig, "\"leftTicks\":6,\"rightTicks\":11");
    expect_body(rig, "\"levels\":[[0,6,0,0,11,0,0],[0,6,0,0,11,0,1],"
                     "[0,5,5,0,2,2,2,0,1,1,0,0,0,3,0,0,0,0,9,9,4]]");
    expect_body(rig, "\"numTicks\":17,\"maxSelf\":9");
}

static void the_timeline_adds_up_to_all_ticks(void **state)
{
    struct rig *rig = *state;
    OBS_JSON json = NULL;
    struct obs_reason why;
    json_int_t sum = 0;
    size_t i;
    json_t *sample;

    for (unsigned n = 0; n < 30; n++)
        assert_int_equal(push(rig, "orders", n * 10, "", "a 2\nb;c 1\n"), 200);
    assert_int_equal(get(rig, "/render?query=orders&from=%" PRIu64 "&until=now", rig->t0_s), 200);
    assert_int_equal(obs_json_parse(rig->body.data, rig->body.size, &json, &why), 0);
    json_array_foreach (json_object_get(json_object_get(json, "timeline"), "samples"), i, sample)
        sum += json_integer_value(sample);
    assert_int_equal(sum, 90);
    assert_in_range(i, 360, 362);
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(json, "flamebearer"), "numTicks")), 90);
}

/* Correlation: the service and the time of a trace are the whole query. */
static void a_trace_finds_the_profile_of_its_time(void **state)
{
    struct rig *rig = *state;
    uint64_t start_ns = (rig->t0_s + 14) * OBS_NS_PER_SECOND + 123456789;

    assert_int_equal(push(rig, "orders", 0, "", "before 1\n"), 200);
    assert_int_equal(push(rig, "orders", 10, "", "during 1\n"), 200);
    assert_int_equal(push(rig, "orders", 20, "", "after 1\n"), 200);
    assert_int_equal(get(rig,
                         "/render?query=orders.cpu&format=folded&from=%" PRIu64 "&until=%" PRIu64,
                         start_ns, start_ns + 40000000),
                     200);
    assert_string_equal(rig->body.data, "during 1\n");
}

static void an_exported_pprof_can_be_pushed_again(void **state)
{
    struct rig *rig = *state;
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer pprof = OBS_BUFFER_INIT(1 << 20);

    assert_int_equal(push(rig, "orders", 0, "&sampleRate=97", "main;a 5\nmain;b 1\n"), 200);
    assert_int_equal(get(rig, "/render?query=orders&from=now-2h&format=pprof"), 200);
    obs_buffer_append(&pprof, rig->body.data, rig->body.size);
    assert_int_equal(
        push_as(rig, NULL, "copy", 0, "&format=pprof&sampleRate=97", pprof.data, pprof.size), 200);
    assert_int_equal(get(rig, "/render?query=copy&from=now-2h&format=folded"), 200);
    assert_string_equal(rig->body.data, "main;a 5\nmain;b 1\n");
}

static void tenants_are_kept_apart_and_may_be_required(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(push_as(rig, "other", "orders", 0, "", "secret 1\n", 9), 200);
    assert_int_equal(get(rig, "/render?query=orders&from=now-2h&format=folded"), 200);
    assert_string_equal(rig->body.data, "");
    rig->telemetry.default_tenant = "";
    assert_int_equal(get(rig, "/render?query=orders"), 401);
    assert_int_equal(push(rig, "orders", 0, "", "a 1\n"), 401);
}

int main(void)
{
#define API_TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        API_TEST(our_services_windows_arrive),
        API_TEST(labels_in_the_name_part_series),
        API_TEST(pprof_comes_bare_or_as_a_form),
        API_TEST(memory_types_are_series_of_their_own),
        API_TEST(different_rates_are_added_up_as_time),
        API_TEST(hostile_pushes_are_refused_and_counted),
        API_TEST(refused_queries_name_the_token_and_its_position),
        API_TEST(a_diff_puts_two_ranges_beside_each_other),
        API_TEST(the_timeline_adds_up_to_all_ticks),
        API_TEST(a_trace_finds_the_profile_of_its_time),
        API_TEST(an_exported_pprof_can_be_pushed_again),
        API_TEST(tenants_are_kept_apart_and_may_be_required),
    };

    signal(SIGPIPE, SIG_IGN);
    obs_log_setup("test", "0", OBS_LOG_ERROR + 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
