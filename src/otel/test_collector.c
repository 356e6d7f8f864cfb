#include "support/test.h"

#include "otel/test_collector.h"

#include "base/mailbox.h"
#include <event2/event.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static void keep(struct test_collector *c, const char *body, size_t size)
{
    Otlp__ExportTraceServiceRequest *request =
        otlp__export_trace_service_request__unpack(NULL, size, (const uint8_t *)body);

    assert_non_null(request);
    assert_true(c->request_count < TEST_COLLECTOR_REQUESTS);
    c->requests[c->request_count++] = request;
    for (size_t i = 0; i < request->n_resource_spans; i++)
        for (size_t k = 0; k < request->resource_spans[i]->n_scope_spans; k++)
            c->span_count += request->resource_spans[i]->scope_spans[k]->n_spans;
}

static void answer(struct obs_http_request *request, void *userdata)
{
    struct test_collector *c = userdata;
    struct test_answer a = {.status = 200};
    size_t size;
    const char *body = obs_http_body(request, &size);

    pthread_mutex_lock(&c->lock);
    if (c->answered < c->answer_count)
        a = c->answers[c->answered++];
    snprintf(c->targets[c->seen++ % TEST_COLLECTOR_REQUESTS], sizeof(c->targets[0]), "%s",
             obs_http_target(request));
    obs_buffer_clear(&c->last_body);
    obs_buffer_append(&c->last_body, body, size);
    pthread_cond_broadcast(&c->changed);
    while (c->is_stalled)
        pthread_cond_wait(&c->changed, &c->lock);
    if (a.status == 0)
        a.status = 200;
    if (a.status == 200 && strcmp(obs_http_path(request), "/v1/traces") == 0)
        keep(c, body, size);
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
    if (a.retry_after)
        obs_http_reply_header(request, "Retry-After", a.retry_after);
    obs_http_reply(request, a.status, "application/x-protobuf", a.body, a.body_size);
}

static const struct obs_http_route routes[] = {
    {"POST", "/{path...}", answer, OBS_HTTP_ON_LOOP},
};

void test_collector_init(struct test_collector *c)
{
    *c = (struct test_collector){.last_body = OBS_BUFFER_INIT(8u << 20)};
    strcpy(c->folder, "/tmp/obs-collector-XXXXXX");
    assert_non_null(mkdtemp(c->folder));
    snprintf(c->address, sizeof(c->address), "unix:%s/c.sock", c->folder);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->changed, NULL);
}

void test_collector_done(struct test_collector *c)
{
    test_collector_stop(c);
    for (size_t i = 0; i < c->request_count; i++)
        otlp__export_trace_service_request__free_unpacked(c->requests[i], NULL);
    obs_buffer_done(&c->last_body);
    unlink(c->address + strlen("unix:"));
    rmdir(c->folder);
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->changed);
}

static void *run_loop(void *userdata)
{
    struct test_collector *c = userdata;

    event_base_loop(c->base, EVLOOP_NO_EXIT_ON_EMPTY);
    return NULL;
}

void test_collector_start(struct test_collector *c)
{
    struct obs_http_server_options options = {.routes = routes,
                                              .route_count = OBS_COUNT(routes),
                                              .userdata = c,
                                              .limits = OBS_HTTP_LIMITS_DEFAULT};
    struct obs_address address;
    int fd;

    c->base = event_base_new();
    assert_int_equal(obs_mailbox_new(c->base, &c->mailbox), 0);
    assert_int_equal(obs_http_server_new(c->base, &options, &c->server), 0);
    assert_int_equal(obs_address_parse(c->address, &address, NULL), 0);
    assert_int_equal(obs_address_listen(&address, 16, false, &fd, NULL), 0);
    assert_int_equal(obs_http_server_add(c->server, fd), 0);
    assert_int_equal(pthread_create(&c->thread, NULL, run_loop, c), 0);
    c->is_running = true;
}

static void break_loop(void *userdata)
{
    event_base_loopbreak(userdata);
}

void test_collector_stop(struct test_collector *c)
{
    if (!c->is_running)
        return;
    c->is_running = false;
    test_collector_stall(c, false);
    obs_mailbox_post(c->mailbox, break_loop, c->base);
    pthread_join(c->thread, NULL);
    obs_http_server_free(c->server);
    obs_mailbox_free(c->mailbox);
    event_base_free(c->base);
}

void test_collector_stall(struct test_collector *c, bool is_stalled)
{
    pthread_mutex_lock(&c->lock);
    c->is_stalled = is_stalled;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

static void wait_for(struct test_collector *c, const size_t *value, size_t least)
{
    struct timespec until;
    int r = 0;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    pthread_mutex_lock(&c->lock);
    while (*value < least && r == 0)
        r = pthread_cond_timedwait(&c->changed, &c->lock, &until);
    pthread_mutex_unlock(&c->lock);
    assert_int_equal(r, 0);
}

void test_collector_wait_spans(struct test_collector *c, size_t spans)
{
    wait_for(c, &c->span_count, spans);
}

void test_collector_wait_seen(struct test_collector *c, size_t requests)
{
    wait_for(c, &c->seen, requests);
}

const Otlp__Span *test_collector_span(struct test_collector *c, size_t index,
                                      const Otlp__Resource **ret_resource)
{
    for (size_t i = 0; i < c->request_count; i++) {
        const Otlp__ResourceSpans *rs = c->requests[i]->resource_spans[0];
        size_t here = rs->scope_spans[0]->n_spans;

        if (index < here) {
            if (ret_resource)
                *ret_resource = rs->resource;
            return rs->scope_spans[0]->spans[index];
        }
        index -= here;
    }
    fail_msg("no such span");
    return NULL;
}

const char *test_attribute(Otlp__KeyValue **attributes, size_t count, const char *key)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(attributes[i]->key, key) == 0)
            return attributes[i]->value->string_value;
    return "";
}
