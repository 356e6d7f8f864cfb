/* The peer is a scripted server: one thread that answers each connection with given bytes. */
#include "support/test.h"

#include "base/clock.h"
#include "base/http_client.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define CONNECTIONS_MAX 8

/* What to do on the n-th accepted connection. */
struct act {
    const char *replies[4]; /* one per request received, NULL ends: then the connection is closed */
    bool stalls;            /* after the last reply: keep it open without a word */
};

static struct {
    struct obs_address address;
    int listen_fd;
    pthread_t thread;
    struct act acts[CONNECTIONS_MAX];
    int held[CONNECTIONS_MAX];
    int accepted;
    char last_request[8192];
} peer;

static struct obs_http_client *client;

/* Read one request: its head, and its body by Content-Length. False: the client has closed. */
static bool take_request(int fd)
{
    size_t size = 0;
    char *text = peer.last_request;

    for (;;) {
        char *end, *length;
        ssize_t n = recv(fd, text + size, sizeof(peer.last_request) - 1 - size, 0);

        if (n <= 0)
            return false;
        size += (size_t)n;
        text[size] = '\0';
        end = strstr(text, "\r\n\r\n");
        length = strstr(text, "Content-Length: ");
        if (end && size >= (size_t)(end + 4 - text) + (length ? strtoul(length + 16, NULL, 10) : 0))
            return true;
    }
}

static void play(int index, int fd)
{
    const struct act *act = &peer.acts[index];

    for (size_t i = 0; i < OBS_COUNT(act->replies) && act->replies[i]; i++) {
        if (!take_request(fd)) {
            close(fd);
            return;
        }
        send(fd, act->replies[i], strlen(act->replies[i]), MSG_NOSIGNAL);
    }
    if (act->stalls) {
        peer.held[index] = fd;
        return;
    }
    close(fd);
}

static void *serve(void *userdata)
{
    int fd;

    while (peer.accepted < CONNECTIONS_MAX && (fd = accept(peer.listen_fd, NULL, NULL)) >= 0)
        play(peer.accepted++, fd);
    return NULL;
}

static int start(void **state)
{
    struct obs_reason why;
    struct obs_http_client_options options = {.head_bytes_max = 2048, .body_bytes_max = 10000};
    int flags;

    memset(&peer, 0, sizeof(peer));
    for (int i = 0; i < CONNECTIONS_MAX; i++)
        peer.held[i] = -1;
    if (obs_address_parse("tcp:127.0.0.1:0", &peer.address, &why) != 0 ||
        obs_address_listen(&peer.address, 16, false, &peer.listen_fd, &why) != 0)
        return -1;
    flags = fcntl(peer.listen_fd, F_GETFL);
    fcntl(peer.listen_fd, F_SETFL, flags & ~O_NONBLOCK);
    options.address = peer.address;
    return obs_http_client_new(&options, &client);
}

static void begin(void)
{
    assert_int_equal(pthread_create(&peer.thread, NULL, serve, NULL), 0);
}

static int stop(void **state)
{
    client = obs_http_client_free(client);
    shutdown(peer.listen_fd, SHUT_RDWR);
    pthread_join(peer.thread, NULL);
    close(peer.listen_fd);
    for (int i = 0; i < CONNECTIONS_MAX; i++)
        obs_closep(&peer.held[i]);
    return 0;
}

static int call(const char *method, const char *body, unsigned timeout_ms, int *ret_status,
                char *ret_body)
{
    OBS_HTTP_REPLY reply = {0};
    struct obs_http_call wanted = {.method = method,
                                   .target = "/a",
                                   .body = body,
                                   .body_size = body ? strlen(body) : 0,
                                   .timeout_ms = timeout_ms};
    int r = obs_http_client_call(client, &wanted, &reply);

    *ret_status = reply.status;
    if (ret_body)
        snprintf(ret_body, 256, "%.*s", (int)reply.body.size,
                 reply.body.data ? reply.body.data : "");
    return r;
}

#define OK_TWO "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static void uses_one_connection_for_many_calls(void **state)
{
    struct obs_http_client_stats stats;
    char body[256];
    int status;

    peer.acts[0] = (struct act){
        {OK_TWO, "HTTP/1.1 201 X\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
         "HTTP/1.1 204 X\r\n\r\n"}};
    begin();
    assert_int_equal(call("GET", NULL, 2000, &status, body), 0);
    assert_int_equal(status, 200);
    assert_string_equal(body, "ok");
    assert_int_equal(call("POST", "data", 2000, &status, body), 0);
    assert_int_equal(status, 201);
    assert_string_equal(body, "abc");
    assert_non_null(strstr(peer.last_request, "Content-Length: 4\r\n\r\ndata"));
    assert_int_equal(call("GET", NULL, 2000, &status, body), 0);
    assert_int_equal(status, 204);
    obs_http_client_stats(client, &stats);
    assert_int_equal(stats.connects, 1);
    assert_int_equal(stats.calls, 3);
    assert_int_equal(stats.reused, 2);
}

static void reads_a_body_until_the_close(void **state)
{
    char body[256];
    int status;

    peer.acts[0] = (struct act){{"HTTP/1.0 200 OK\r\n\r\nall of it"}};
    begin();
    assert_int_equal(call("GET", NULL, 2000, &status, body), 0);
    assert_string_equal(body, "all of it");
}

static void skips_interim_responses(void **state)
{
    char body[256];
    int status;

    peer.acts[0] =
        (struct act){{"HTTP/1.1 103 Early\r\nX: y\r\n\r\nHTTP/1.1 100 C\r\n\r\n" OK_TWO}};
    begin();
    assert_int_equal(call("GET", NULL, 2000, &status, body), 0);
    assert_int_equal(status, 200);
    assert_string_equal(body, "ok");
}

static void goes_to_a_new_connection_when_the_kept_one_was_closed(void **state)
{
    int status;

    peer.acts[0] = (struct act){{OK_TWO}};
    peer.acts[1] = (struct act){{OK_TWO}};
    begin();
    assert_int_equal(call("POST", "x", 2000, &status, NULL), 0);
    while (peer.accepted < 1)
        obs_sleep_ns(OBS_NS_PER_MS);
    obs_sleep_ns(5 * OBS_NS_PER_MS); /* the close reaches us; without it the call must work too */
    assert_int_equal(call("POST", "x", 2000, &status, NULL), 0);
    assert_int_equal(status, 200);
}

static void keeps_its_deadline(void **state)
{
    uint64_t began = obs_mono_ns();
    int status;

    peer.acts[0] =
        (struct act){{"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"}, .stalls = true};
    begin();
    assert_int_equal(call("GET", NULL, 150, &status, NULL), -ETIMEDOUT);
    assert_in_range(obs_mono_ns() - began, 140 * OBS_NS_PER_MS, 1000 * OBS_NS_PER_MS);
}

static void tells_garbage_short_bodies_and_limits_apart(void **state)
{
    static char big[20000] = "HTTP/1.1 200 OK\r\nContent-Length: 15000\r\n\r\n";
    static char head[4000] = "HTTP/1.1 200 OK\r\nX: ";
    int status;

    memset(big + strlen(big), 'x', 15000);
    memset(head + strlen(head), 'x', 3000);
    peer.acts[0] = (struct act){{"SSH-2.0-thing\r\n"}};
    peer.acts[1] = (struct act){{"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"}};
    peer.acts[2] = (struct act){{big}};
    peer.acts[3] = (struct act){{head}};
    peer.acts[4] = (struct act){{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"}};
    peer.acts[5] = (struct act){{NULL}};
    begin();
    assert_int_equal(call("GET", NULL, 2000, &status, NULL), -EPROTO);
    assert_int_equal(call("GET", NULL, 2000, &status, NULL), -EPROTO);
    assert_int_equal(call("GET", NULL, 2000, &status, NULL), -EMSGSIZE);
    assert_int_equal(call("GET", NULL, 2000, &status, NULL), -EMSGSIZE);
    assert_int_equal(call("GET", NULL, 2000, &status, NULL), -EPROTO);
    assert_int_equal(call("GET", NULL, 2000, &status, NULL), -ECONNRESET);
}

static void says_when_nobody_listens(void **state)
{
    struct obs_http_client_options options = {0};
    struct obs_http_call wanted = {.method = "GET", .target = "/"};
    OBS_CLEANUP(obs_http_client_freep) struct obs_http_client *other = NULL;
    OBS_HTTP_REPLY reply = {0};

    begin();
    assert_int_equal(obs_address_parse("unix:/nonexistent/socket", &options.address, NULL), 0);
    assert_int_equal(obs_http_client_new(&options, &other), 0);
    assert_int_equal(obs_http_client_call(other, &wanted, &reply), -ENOENT);
}

static void refuses_a_call_that_would_inject_a_header(void **state)
{
    struct obs_http_call_header header = {"X-A", "b\r\nX-C: d"};
    struct obs_http_call calls[] = {
        {.method = "GET", .target = "/", .headers = &header, .header_count = 1},
        {.method = "GET", .target = "/a b"},
        {.method = "GET", .target = "a"},
        {.method = "GET /x", .target = "/"},
        {.method = "POST", .target = "/", .content_type = "a\r\nb: c"},
    };

    begin();
    for (size_t i = 0; i < OBS_COUNT(calls); i++) {
        OBS_HTTP_REPLY reply = {0};

        assert_int_equal(obs_http_client_call(client, &calls[i], &reply), -EINVAL);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(uses_one_connection_for_many_calls),
        TEST(reads_a_body_until_the_close),
        TEST(skips_interim_responses),
        TEST(goes_to_a_new_connection_when_the_kept_one_was_closed),
        TEST(keeps_its_deadline),
        TEST(tells_garbage_short_bodies_and_limits_apart),
        TEST(says_when_nobody_listens),
        TEST(refuses_a_call_that_would_inject_a_header),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
