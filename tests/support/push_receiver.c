#include "support/test.h"

#include "support/push_receiver.h"

#include "base/json.h"
#include "base/mailbox.h"
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void copy(char *out, size_t capacity, const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    snprintf(out, capacity, "%s", text ? text : "");
}

#define COPY(out, object, name) copy((out), sizeof(out), (object), (name))

static void keep_line(struct push_receiver *p, const char *tenant, const json_t *labels,
                      const json_t *value)
{
    struct pushed_line *line = &p->lines[p->line_count];

    assert_true(p->line_count < PUSH_RECEIVER_LINES);
    assert_int_equal(json_object_size(labels), 3);
    snprintf(line->tenant, sizeof(line->tenant), "%s", tenant);
    COPY(line->service, labels, "service_name");
    COPY(line->level, labels, "level");
    COPY(line->unit, labels, "unit");
    COPY(line->trace_id, json_array_get(value, 2), "trace_id");
    COPY(line->span_id, json_array_get(value, 2), "span_id");
    snprintf(line->time, sizeof(line->time), "%s", json_string_value(json_array_get(value, 0)));
    line->text = strdup(json_string_value(json_array_get(value, 1)));
    p->line_count++;
}

static void keep(struct push_receiver *p, const char *tenant, const char *body, size_t size)
{
    OBS_JSON json = NULL;
    size_t i, k;
    json_t *stream, *value;

    assert_int_equal(obs_json_parse(body, size, &json, NULL), 0);
    json_array_foreach (json_object_get(json, "streams"), i, stream)
        json_array_foreach (json_object_get(stream, "values"), k, value)
            keep_line(p, tenant, json_object_get(stream, "stream"), value);
}

static void answer(struct obs_http_request *request, void *userdata)
{
    struct push_receiver *p = userdata;
    struct push_answer a = {0};
    const char *tenant = obs_http_header(request, "x-scope-orgid");
    size_t size;
    const char *body = obs_http_body(request, &size);

    pthread_mutex_lock(&p->lock);
    if (p->answered < p->answer_count)
        a = p->answers[p->answered++];
    p->seen++;
    p->mixed += !tenant || strpbrk(tenant, ",| ") != NULL;
    pthread_cond_broadcast(&p->changed);
    while (p->is_stalled)
        pthread_cond_wait(&p->changed, &p->lock);
    if (a.status == 0 && strcmp(obs_http_path(request), "/loki/api/v1/push") == 0)
        keep(p, tenant ? tenant : "", body, size);
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
    if (a.retry_after)
        obs_http_reply_header(request, "Retry-After", a.retry_after);
    obs_http_reply(request, a.status ? a.status : 204, "text/plain", "", 0);
}

static const struct obs_http_route ROUTES[] = {
    {"POST", "/{path...}", answer, OBS_HTTP_ON_LOOP},
};

void push_receiver_init(struct push_receiver *p)
{
    *p = (struct push_receiver){0};
    strcpy(p->folder, "/tmp/obs-push-XXXXXX");
    assert_non_null(mkdtemp(p->folder));
    snprintf(p->address, sizeof(p->address), "unix:%s/push.sock", p->folder);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->changed, NULL);
    p->lines = calloc(PUSH_RECEIVER_LINES, sizeof(*p->lines));
    assert_non_null(p->lines);
}

void push_receiver_done(struct push_receiver *p)
{
    push_receiver_stop(p);
    for (size_t i = 0; i < p->line_count; i++)
        free(p->lines[i].text);
    free(p->lines);
    unlink(p->address + strlen("unix:"));
    rmdir(p->folder);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->changed);
}

static void *run_loop(void *userdata)
{
    struct push_receiver *p = userdata;

    event_base_loop(p->base, EVLOOP_NO_EXIT_ON_EMPTY);
    return NULL;
}

void push_receiver_start(struct push_receiver *p)
{
    struct obs_http_server_options options = {.routes = ROUTES,
                                              .route_count = OBS_COUNT(ROUTES),
                                              .userdata = p,
                                              .limits = OBS_HTTP_LIMITS_DEFAULT};
    struct obs_address address;
    int fd;

    p->base = event_base_new();
    assert_int_equal(obs_mailbox_new(p->base, &p->mailbox), 0);
    assert_int_equal(obs_http_server_new(p->base, &options, &p->server), 0);
    assert_int_equal(obs_address_parse(p->address, &address, NULL), 0);
    assert_int_equal(obs_address_listen(&address, 16, false, &fd, NULL), 0);
    assert_int_equal(obs_http_server_add(p->server, fd), 0);
    assert_int_equal(pthread_create(&p->thread, NULL, run_loop, p), 0);
    p->is_running = true;
}

static void break_loop(void *userdata)
{
    event_base_loopbreak(userdata);
}

void push_receiver_stop(struct push_receiver *p)
{
    if (!p->is_running)
        return;
    p->is_running = false;
    push_receiver_stall(p, false);
    obs_mailbox_post(p->mailbox, break_loop, p->base);
    pthread_join(p->thread, NULL);
    obs_http_server_free(p->server);
    obs_mailbox_free(p->mailbox);
    event_base_free(p->base);
}

void push_receiver_stall(struct push_receiver *p, bool is_stalled)
{
    pthread_mutex_lock(&p->lock);
    p->is_stalled = is_stalled;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

void push_receiver_answer(struct push_receiver *p, int status, const char *retry_after)
{
    assert_true(p->answer_count < OBS_COUNT(p->answers));
    p->answers[p->answer_count++] = (struct push_answer){status, retry_after};
}

/* Under the lock. */
static void wait_change(struct push_receiver *p, const struct timespec *until)
{
    assert_int_equal(pthread_cond_timedwait(&p->changed, &p->lock, until), 0);
}

static struct timespec patience(void)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    return until;
}

static void wait_for(struct push_receiver *p, const size_t *value, size_t least)
{
    struct timespec until = patience();

    pthread_mutex_lock(&p->lock);
    while (*value < least)
        wait_change(p, &until);
    pthread_mutex_unlock(&p->lock);
}

void push_receiver_wait_lines(struct push_receiver *p, size_t lines)
{
    wait_for(p, &p->line_count, lines);
}

void push_receiver_wait_seen(struct push_receiver *p, size_t requests)
{
    wait_for(p, &p->seen, requests);
}

const struct pushed_line *push_receiver_line(struct push_receiver *p, const char *text)
{
    struct timespec until = patience();

    pthread_mutex_lock(&p->lock);
    for (size_t i = 0;; i++) {
        while (i == p->line_count)
            wait_change(p, &until);
        if (strstr(p->lines[i].text, text)) {
            pthread_mutex_unlock(&p->lock);
            return &p->lines[i];
        }
    }
}
