/* The server under test runs its loop in a thread; the tests are raw sockets. */
#include "support/test.h"

#include "base/clock.h"
#include "base/http_server.h"
#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

static struct {
    struct event_base *base;
    struct obs_worker_pool *pool;
    struct obs_http_server *server;
    struct obs_address address;
    pthread_t thread;
    int stop_fd;
    sem_t entered, open, gone;
    atomic_int begun, ended, last_status;
    struct obs_http_stream *stream;
    struct event *tick;
} fix;

static void say_hello(struct obs_http_request *request, void *userdata)
{
    obs_http_reply(request, 200, "text/plain", "hello", 5);
}

static void echo(struct obs_http_request *request, void *userdata)
{
    size_t size;
    const char *body = obs_http_body(request, &size);

    obs_http_reply(request, 200, "text/plain", body, size);
}

static void tell(struct obs_http_request *request, void *userdata)
{
    char text[512];
    const char *q = obs_http_query(request, "q");
    const char *header = obs_http_header(request, "x-test");

    snprintf(text, sizeof(text), "id=%s q=%s h=%s path=%s", obs_http_param(request, "id"),
             q ? q : "none", header ? header : "none", obs_http_path(request));
    obs_http_reply(request, 200, "text/plain", text, strlen(text));
}

static void wait_gate(struct obs_http_request *request, void *userdata)
{
    sem_post(&fix.entered);
    sem_wait(&fix.open);
    obs_http_reply(request, 200, "text/plain", "late", 4);
}

static void forget(struct obs_http_request *request, void *userdata)
{
}

static void split(struct obs_http_request *request, void *userdata)
{
    obs_http_reply_header(request, "X-Evil", "a\r\nX-Injected: b");
    obs_http_reply(request, 200, NULL, NULL, 0);
}

static void big(struct obs_http_request *request, void *userdata)
{
    struct obs_buffer body = OBS_BUFFER_INIT(16 * 1024 * 1024);
    char *space;

    obs_buffer_reserve(&body, 8 * 1024 * 1024, &space);
    memset(space, 'x', 8 * 1024 * 1024);
    obs_buffer_added(&body, 8 * 1024 * 1024);
    obs_http_reply_buffer(request, 200, "text/plain", &body);
}

static void stream_gone(void *userdata)
{
    fix.stream = NULL;
    sem_post(&fix.gone);
}

static void start_stream(struct obs_http_request *request, void *userdata)
{
    fix.stream = obs_http_stream_begin(request, 200, "text/event-stream", stream_gone, NULL);
    obs_http_stream_write(fix.stream, "one\n", 4);
}

static void finish_stream(struct obs_http_request *request, void *userdata)
{
    if (fix.stream) {
        obs_http_stream_write(fix.stream, "two\n", 4);
        obs_http_stream_end(fix.stream);
        fix.stream = NULL;
    }
    obs_http_reply(request, 204, NULL, NULL, 0);
}

static void fill_stream(struct obs_http_request *request, void *userdata)
{
    static char block[65536];
    int outcome = OBS_HTTP_STREAM_OK;

    for (int i = 0; i < 1000 && outcome == OBS_HTTP_STREAM_OK && fix.stream; i++)
        outcome = obs_http_stream_write(fix.stream, block, sizeof(block));
    obs_http_reply(request, outcome == OBS_HTTP_STREAM_FULL ? 200 : 500, NULL, NULL, 0);
}

static void on_begin(struct obs_http_request *request, void *userdata)
{
    atomic_fetch_add(&fix.begun, 1);
}

static void on_end(struct obs_http_request *request, void *userdata)
{
    atomic_store(&fix.last_status, obs_http_status(request));
    atomic_fetch_add(&fix.ended, 1);
}

static const struct obs_http_observer OBSERVER = {.begin = on_begin, .end = on_end};

static const struct obs_http_route ROUTES[] = {
    {"GET", "/hello", say_hello, OBS_HTTP_ON_LOOP},
    {"GET", "/work", say_hello, OBS_HTTP_ON_WORKER},
    {"POST", "/echo", echo, OBS_HTTP_ON_WORKER},
    {"PUT", "/echo", echo, OBS_HTTP_ON_LOOP},
    {"GET", "/things/{id}", tell, OBS_HTTP_ON_WORKER},
    {"GET", "/files/{id...}", tell, OBS_HTTP_ON_WORKER},
    {"GET", "/gate", wait_gate, OBS_HTTP_ON_WORKER},
    {"GET", "/forget", forget, OBS_HTTP_ON_WORKER},
    {"GET", "/split", split, OBS_HTTP_ON_LOOP},
    {"GET", "/big", big, OBS_HTTP_ON_WORKER},
    {"GET", "/stream", start_stream, OBS_HTTP_ON_LOOP},
    {"POST", "/stream/end", finish_stream, OBS_HTTP_ON_LOOP},
    {"POST", "/stream/fill", fill_stream, OBS_HTTP_ON_LOOP},
};

static void on_stop(evutil_socket_t fd, short what, void *userdata)
{
    event_base_loopbreak(fix.base);
}

static void *run_loop(void *userdata)
{
    struct event *stop = event_new(fix.base, fix.stop_fd, EV_READ, on_stop, NULL);

    event_add(stop, NULL);
    event_base_dispatch(fix.base);
    event_free(stop);
    return NULL;
}

static int start(void **state)
{
    struct obs_reason why = {0};
    struct obs_http_server_options options = {
        .routes = ROUTES,
        .route_count = OBS_COUNT(ROUTES),
        .limits = {.head_bytes = 4096,
                   .body_bytes = 100000,
                   .connections = 50,
                   .head_timeout_ms = 300,
                   .body_timeout_ms = 300,
                   .idle_timeout_ms = 5000,
                   .write_timeout_ms = 500},
        .observer = &OBSERVER,
    };
    int fd = -1;

    sem_init(&fix.entered, 0, 0);
    sem_init(&fix.open, 0, 0);
    sem_init(&fix.gone, 0, 0);
    atomic_store(&fix.begun, 0);
    atomic_store(&fix.ended, 0);
    fix.stream = NULL;
    fix.base = event_base_new();
    fix.stop_fd = eventfd(0, EFD_CLOEXEC);
    if (obs_worker_pool_new("test", 2, 4, &fix.pool) < 0)
        return -1;
    options.pool = fix.pool;
    if (obs_address_parse("tcp:127.0.0.1:0", &fix.address, &why) != 0 ||
        obs_address_listen(&fix.address, 64, false, &fd, &why) != 0 ||
        obs_http_server_new(fix.base, &options, &fix.server) < 0 ||
        obs_http_server_add(fix.server, fd) < 0)
        return -1;
    return pthread_create(&fix.thread, NULL, run_loop, NULL);
}

static int stop(void **state)
{
    if (write(fix.stop_fd, &(uint64_t){1}, 8) != 8)
        return -1;
    pthread_join(fix.thread, NULL);
    fix.pool = obs_worker_pool_free(fix.pool);
    fix.server = obs_http_server_free(fix.server);
    event_base_free(fix.base);
    close(fix.stop_fd);
    return 0;
}

static int dial(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(connect(fd, (struct sockaddr *)&fix.address.socket_address, fix.address.size),
                     0);
    return fd;
}

static void put(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = send(fd, data, size, MSG_NOSIGNAL);

        if (n <= 0)
            return; /* the server has closed: the reply will tell */
        data += n;
        size -= (size_t)n;
    }
}

static void say(int fd, const char *text)
{
    put(fd, text, strlen(text));
}

/* Read until the peer closes, @until is in the text, or five seconds have passed. */
static const char *get(int fd, const char *until)
{
    static char text[65536];
    size_t size = 0;
    struct pollfd wanted = {.fd = fd, .events = POLLIN};

    text[0] = '\0';
    while (size < sizeof(text) - 1 && poll(&wanted, 1, 5000) > 0) {
        ssize_t n = recv(fd, text + size, sizeof(text) - 1 - size, 0);

        if (n <= 0)
            break;
        size += (size_t)n;
        text[size] = '\0';
        if (until && memmem(text, size, until, strlen(until)))
            break;
    }
    return text;
}

static const char *ask(const char *request, size_t size)
{
    int fd = dial();
    const char *reply;

    put(fd, request, size);
    shutdown(fd, SHUT_WR);
    reply = get(fd, NULL);
    close(fd);
    return reply;
}

#define ASK(text) ask((text), sizeof(text) - 1)

static void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("\"%s\" is not in \"%s\"", part, text);
}

static void answers_from_the_loop_and_from_workers(void **state)
{
    assert_has(ASK("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"), "\r\n\r\nhello");
    assert_has(ASK("GET /work HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 200 OK\r\n");
}

static void gives_handlers_decoded_parameters(void **state)
{
    const char *reply =
        ASK("GET /things/a%2Fb%20c?x=1&q=d+%2B HTTP/1.1\r\nHost: x\r\nX-Test: yes\r\n\r\n");

    /* A decoded slash splits segments: this path has one too many for the route. */
    assert_has(reply, "404");
    reply = ASK("GET /things/b%20c?x=1&q=d+%2B HTTP/1.1\r\nHost: x\r\nX-Test: yes\r\n\r\n");
    assert_has(reply, "id=b c q=d + h=yes path=/things/b c");
    assert_has(ASK("GET /files/a/b/c HTTP/1.1\r\nHost: x\r\n\r\n"), "id=a/b/c");
}

static void serves_pipelined_requests_in_order(void **state)
{
    const char *reply = ASK("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nONE"
                            "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"
                            "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                            "3\r\nTWO\r\n0\r\n\r\n"
                            "GET /work HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    const char *one = strstr(reply, "ONE");
    const char *hello = one ? strstr(one, "hello") : NULL;
    const char *two = hello ? strstr(hello, "TWO") : NULL;

    assert_non_null(two);
    assert_non_null(strstr(two, "hello"));
}

static void takes_a_request_byte_by_byte(void **state)
{
    static const char text[] = "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
                               "Connection: close\r\n\r\n2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n";
    int fd = dial();

    for (size_t i = 0; i < sizeof(text) - 1; i++)
        put(fd, text + i, 1);
    assert_has(get(fd, NULL), "\r\n\r\nabcde");
    close(fd);
}

static void answers_head_without_a_body(void **state)
{
    const char *reply = ASK("HEAD /hello HTTP/1.1\r\nHost: x\r\n\r\n");

    assert_has(reply, "Content-Length: 5\r\n");
    assert_null(strstr(reply, "hello"));
}

static void tells_the_missing_page_from_the_wrong_method(void **state)
{
    const char *reply;

    assert_has(ASK("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 404");
    reply = ASK("DELETE /echo HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_has(reply, "HTTP/1.1 405");
    assert_has(reply, "Allow: POST, PUT");
}

static void refuses_malformed_requests_with_a_reason(void **state)
{
    assert_has(ASK("GET / HTTP/1.1\nHost: x\n\n"), "HTTP/1.1 400");
    assert_has(ASK("GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n"), "bad percent-escape");
    assert_has(ASK("GET /%00 HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 400");
    assert_has(ASK("GET /hello?q=%4 HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 400");
    assert_has(ASK("GET / HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n"), "HTTP/1.1 400");
    assert_has(
        ASK("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab"),
        "\\\"content-length\\\" stands 2 times");
    assert_has(ASK("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n"),
               "HTTP/1.1 400");
    assert_has(ASK("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100001\r\n\r\n"),
               "HTTP/1.1 413");
    assert_has(ASK("GET / HTTP/3.0\r\nHost: x\r\n\r\n"), "HTTP/1.1 505");
    assert_has(ASK("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"), "hello");
}

static void bounds_heads_targets_and_chunked_bodies(void **state)
{
    static char text[200000];
    size_t size = (size_t)sprintf(text, "GET /");

    memset(text + size, 'a', 5000);
    assert_has(ask(text, size + 5000), "HTTP/1.1 414");
    size = (size_t)sprintf(text, "GET / HTTP/1.1\r\nHost: x\r\nX: ");
    memset(text + size, 'a', 5000);
    assert_has(ask(text, size + 5000), "HTTP/1.1 431");
    size =
        (size_t)sprintf(text, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                              "1ADB0\r\n");
    memset(text + size, 'a', 110000);
    assert_has(ask(text, size + 110000), "HTTP/1.1 413");
}

static void ends_slow_senders(void **state)
{
    int head = dial(), body = dial();

    say(head, "GET / HT");
    say(body, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab");
    assert_has(get(head, NULL), "HTTP/1.1 408");
    assert_has(get(body, NULL), "HTTP/1.1 408");
    close(head);
    close(body);
}

static void says_continue_when_asked(void **state)
{
    int fd = dial();

    say(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    assert_has(get(fd, "\r\n\r\n"), "HTTP/1.1 100 Continue");
    say(fd, "ok");
    assert_has(get(fd, "ok"), "HTTP/1.1 200 OK");
    close(fd);
}

static void answers_503_when_workers_and_queue_are_full(void **state)
{
    int busy[6];

    for (int i = 0; i < 6; i++) { /* 2 workers and 4 places in the queue */
        busy[i] = dial();
        say(busy[i], "GET /gate HTTP/1.1\r\nHost: x\r\n\r\n");
        if (i < 2)
            sem_wait(&fix.entered);
    }
    for (struct obs_worker_pool_stats stats = {0}; stats.queued < 4;)
        obs_worker_pool_stats(fix.pool, &stats);
    assert_has(ASK("GET /work HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 503");
    assert_has(ASK("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"), "hello"); /* the loop still answers */
    for (int i = 0; i < 6; i++)
        sem_post(&fix.open);
    for (int i = 0; i < 6; i++) {
        assert_has(get(busy[i], "late"), "HTTP/1.1 200");
        close(busy[i]);
    }
}

static void survives_a_client_that_leaves_before_its_reply(void **state)
{
    int fd = dial();
    struct linger reset = {.l_onoff = 1, .l_linger = 0};

    say(fd, "GET /gate HTTP/1.1\r\nHost: x\r\n\r\n");
    sem_wait(&fix.entered);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close(fd);
    assert_has(ASK("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"),
               "hello"); /* the reset has been seen */
    sem_post(&fix.open);
    while (atomic_load(&fix.ended) < 2)
        obs_sleep_ns(OBS_NS_PER_MS);
    assert_int_equal(atomic_load(&fix.last_status), 499);
}

static void answers_500_for_a_handler_that_forgets_to(void **state)
{
    assert_has(ASK("GET /forget HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 500");
}

static void drops_a_header_that_would_inject_another(void **state)
{
    assert_null(strstr(ASK("GET /split HTTP/1.1\r\nHost: x\r\n\r\n"), "Injected"));
}

static void sends_a_big_reply_to_a_slow_reader(void **state)
{
    static char block[65536];
    int fd = dial();
    size_t total = 0;
    ssize_t n;

    say(fd, "GET /big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    while ((n = recv(fd, block, sizeof(block), 0)) > 0)
        total += (size_t)n;
    assert_true(total > 8 * 1024 * 1024);
    close(fd);
}

static void closes_on_a_reader_that_stops_reading(void **state)
{
    int fd = dial();

    say(fd, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
    while (atomic_load(&fix.ended) < 1)
        obs_sleep_ns(10 * OBS_NS_PER_MS);
    assert_int_equal(atomic_load(&fix.last_status), 499);
    close(fd);
}

static void streams_until_its_end(void **state)
{
    int fd = dial();

    say(fd, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_has(get(fd, "one\n"), "Transfer-Encoding: chunked");
    ASK("POST /stream/end HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_has(get(fd, "0\r\n\r\n"), "two\n");
    say(fd, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_has(get(fd, "hello"), "HTTP/1.1 200");
    close(fd);
}

static void tells_a_stream_that_its_reader_left(void **state)
{
    int fd = dial();

    say(fd, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    get(fd, "one\n");
    close(fd);
    sem_wait(&fix.gone);
    assert_null(fix.stream);
}

static void bounds_what_waits_for_a_slow_stream_reader(void **state)
{
    int fd = dial();

    say(fd, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    get(fd, "one\n");
    assert_has(ASK("POST /stream/fill HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 200");
    close(fd);
    sem_wait(&fix.gone);
}

static void accepts_again_after_its_connection_limit(void **state)
{
    int fds[60];

    for (int i = 0; i < 60; i++) {
        fds[i] = dial();
        say(fds[i], "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    for (int i = 0; i < 60; i++) {
        assert_has(get(fds[i], "hello"), "200 OK");
        close(fds[i]);
    }
}

static void observes_every_request_once(void **state)
{
    ASK("GET /hello HTTP/1.1\r\nHost: x\r\n\r\nGET /work HTTP/1.1\r\nHost: x\r\n\r\n");
    ASK("nonsense\r\n\r\n");
    ASK("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n");
    while (atomic_load(&fix.ended) < 4)
        obs_sleep_ns(OBS_NS_PER_MS);
    assert_int_equal(atomic_load(&fix.begun), 4);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(answers_from_the_loop_and_from_workers),
        TEST(gives_handlers_decoded_parameters),
        TEST(serves_pipelined_requests_in_order),
        TEST(takes_a_request_byte_by_byte),
        TEST(answers_head_without_a_body),
        TEST(tells_the_missing_page_from_the_wrong_method),
        TEST(refuses_malformed_requests_with_a_reason),
        TEST(bounds_heads_targets_and_chunked_bodies),
        TEST(ends_slow_senders),
        TEST(says_continue_when_asked),
        TEST(answers_503_when_workers_and_queue_are_full),
        TEST(survives_a_client_that_leaves_before_its_reply),
        TEST(answers_500_for_a_handler_that_forgets_to),
        TEST(drops_a_header_that_would_inject_another),
        TEST(sends_a_big_reply_to_a_slow_reader),
        TEST(closes_on_a_reader_that_stops_reading),
        TEST(streams_until_its_end),
        TEST(tells_a_stream_that_its_reader_left),
        TEST(bounds_what_waits_for_a_slow_stream_reader),
        TEST(accepts_again_after_its_connection_limit),
        TEST(observes_every_request_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
