#include "support/odd_server.h"
#include "base/address.h"
#include "base/clock.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define CONNECTIONS_MAX 4096
#define HEAD_MAX 8192
#define KEYS_MAX 1024

struct connection {
    struct odd_server *server;
    pthread_t thread;
    int fd;
    unsigned requests;
};

struct odd_server {
    int fd;
    char url[160];
    pthread_t thread;
    bool is_stopping;               /* atomic */
    uint64_t requests, connections; /* atomic */
    pthread_mutex_t lock;
    struct connection *list[CONNECTIONS_MAX];
    char last[HEAD_MAX];
    struct {
        char name[64];
        unsigned count;
    } keys[KEYS_MAX];
};

/* How often @name was asked for before. */
static unsigned count_key(struct odd_server *server, const char *name)
{
    unsigned count = 0;

    pthread_mutex_lock(&server->lock);
    for (size_t i = 0; i < KEYS_MAX; i++) {
        if (server->keys[i].name[0] == '\0')
            snprintf(server->keys[i].name, sizeof(server->keys[i].name), "%s", name);
        if (strcmp(server->keys[i].name, name) == 0) {
            count = server->keys[i].count++;
            break;
        }
    }
    pthread_mutex_unlock(&server->lock);
    return count;
}

static bool send_all(struct connection *c, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = send(c->fd, data, size, MSG_NOSIGNAL);

        if (n <= 0)
            return false;
        data += n;
        size -= (size_t)n;
    }
    return true;
}

static bool say(struct connection *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static bool say(struct connection *c, const char *format, ...)
{
    char text[HEAD_MAX];
    va_list args;
    int size;

    va_start(args, format);
    size = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return send_all(c, text, (size_t)size);
}

static bool reply(struct connection *c, int status, const char *extra, const char *body)
{
    return say(c, "HTTP/1.1 %d Text\r\n%sContent-Length: %zu\r\n\r\n%s", status, extra,
               strlen(body), body);
}

/* Wait, for ever when @ms is negative. False: stopping, or the peer has gone. */
static bool idle(struct connection *c, int ms)
{
    struct pollfd watch = {.fd = c->fd, .events = POLLRDHUP};
    uint64_t until_ns = obs_mono_ns() + (uint64_t)ms * OBS_NS_PER_MS;

    for (;;) {
        uint64_t now_ns = obs_mono_ns(), left_ms = 20;

        if (ms >= 0 && now_ns >= until_ns)
            return true;
        if (ms >= 0 && until_ns - now_ns < 20 * OBS_NS_PER_MS)
            left_ms = (until_ns - now_ns) / OBS_NS_PER_MS + 1;
        if (__atomic_load_n(&c->server->is_stopping, __ATOMIC_RELAXED) ||
            poll(&watch, 1, (int)left_ms) > 0)
            return false;
    }
}

static void header(const char *head, const char *name, char *out, size_t size)
{
    const char *at = strcasestr(head, name);

    *out = '\0';
    if (at)
        snprintf(out, size, "%.*s", (int)strcspn(at + strlen(name), "\r\n"), at + strlen(name));
}

static bool endless(struct connection *c, const char *begin, int pause_ms)
{
    char block[16384];

    memset(block, 'x', sizeof(block));
    if (!say(c, "%s", begin))
        return false;
    while (pause_ms == 0 || idle(c, pause_ms))
        if (!send_all(c, block, pause_ms == 0 ? sizeof(block) : 1) ||
            __atomic_load_n(&c->server->is_stopping, __ATOMIC_RELAXED))
            break;
    return false;
}

static bool reset(struct connection *c)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};

    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    return false;
}

static bool is_path(const char *path, const char *name)
{
    return strcmp(path, name) == 0;
}

/* False: close the connection. */
static bool answer(struct connection *c, const char *head, const char *path)
{
    char key[64], text[64];
    unsigned n;
    int number;

    if (is_path(path, "/ok"))
        return reply(c, 200, "", "hello world\n");
    if (is_path(path, "/echo"))
        return reply(c, 200, "Content-Type: text/plain\r\n", head);
    if (is_path(path, "/json")) {
        snprintf(text, sizeof(text), "{\"n\":%u,\"id\":\"a b\"}", ++c->requests);
        return reply(c, 200, "Content-Type: application/json\r\nX-Mark: seven\r\n", text);
    }
    if (sscanf(path, "/status/%d", &number) == 1)
        return reply(c, number, "", "");
    if (is_path(path, "/flaky")) {
        header(head, "Idempotency-Key: ", key, sizeof(key));
        n = count_key(c->server, key);
        return reply(c, n % 3 == 2 ? 200 : 503, "", "");
    }
    if (sscanf(path, "/poll/%d", &number) == 1) {
        header(head, "X-User: ", key, sizeof(key));
        n = count_key(c->server, key);
        return reply(c, 200, "", (int)n < number ? "{\"state\":\"busy\"}" : "{\"state\":\"done\"}");
    }
    if (is_path(path, "/cookie"))
        return reply(c, 200, "Set-Cookie: seen=yes; Path=/\r\n",
                     strstr(head, "Cookie: seen=yes") ? "again" : "first");
    if (is_path(path, "/refuse-reuse"))
        return c->requests++ == 0 && reply(c, 200, "", "once");
    if (is_path(path, "/reset"))
        return reset(c);
    if (is_path(path, "/close"))
        return false;
    if (is_path(path, "/half")) {
        say(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
        return false;
    }
    if (is_path(path, "/garbage"))
        return say(c, "\x16\x03\x01 this is no HTTP\r\n\r\n");
    if (is_path(path, "/double-length"))
        return say(c, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab");
    if (is_path(path, "/trickle"))
        return endless(c, "HTTP/1.1 200 OK\r\nX: ", 50);
    if (is_path(path, "/huge"))
        return endless(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffff0\r\n", 0);
    if (is_path(path, "/huge-head"))
        return endless(c, "HTTP/1.1 200 OK\r\nX: ", 0);
    if (is_path(path, "/silent")) {
        idle(c, -1);
        return false;
    }
    if (is_path(path, "/close-delimited")) {
        say(c, "HTTP/1.0 200 OK\r\n\r\nall of it");
        return false;
    }
    if (is_path(path, "/chunked"))
        return say(c,
                   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    if (sscanf(path, "/slow/%d", &number) == 1)
        return idle(c, number) && reply(c, 200, "", "late");
    return reply(c, 404, "", "");
}

/* Read one request; its body is thrown away. False: the peer has gone. */
static bool take_request(struct connection *c, char *buffer, size_t *used, char *head)
{
    char *end, length[32];
    size_t head_size, wanted;

    for (;;) {
        ssize_t n;

        buffer[*used] = '\0';
        end = strstr(buffer, "\r\n\r\n");
        if (end) {
            head_size = (size_t)(end - buffer) + 4;
            snprintf(head, HEAD_MAX, "%.*s", (int)head_size, buffer);
            header(head, "Content-Length: ", length, sizeof(length));
            wanted = head_size + (size_t)atoi(length);
            if (*used >= wanted) {
                memmove(buffer, buffer + wanted, *used - wanted);
                *used -= wanted;
                return true;
            }
        }
        if (*used == HEAD_MAX - 1)
            return false;
        n = recv(c->fd, buffer + *used, HEAD_MAX - 1 - *used, 0);
        if (n <= 0)
            return false;
        *used += (size_t)n;
    }
}

static void *serve(void *userdata)
{
    struct connection *c = userdata;
    char buffer[HEAD_MAX], head[HEAD_MAX], path[256];
    size_t used = 0;

    while (take_request(c, buffer, &used, head)) {
        if (sscanf(head, "%*s %255[^ ?]", path) != 1)
            break;
        __atomic_add_fetch(&c->server->requests, 1, __ATOMIC_RELAXED);
        pthread_mutex_lock(&c->server->lock);
        memcpy(c->server->last, head, sizeof(head));
        pthread_mutex_unlock(&c->server->lock);
        if (!answer(c, head, path))
            break;
    }
    pthread_mutex_lock(&c->server->lock); /* so that nobody shuts down another one's descriptor */
    close(c->fd);
    c->fd = -1;
    pthread_mutex_unlock(&c->server->lock);
    return NULL;
}

static void *accept_all(void *userdata)
{
    struct odd_server *server = userdata;
    struct pollfd watch = {.fd = server->fd, .events = POLLIN};

    while (!__atomic_load_n(&server->is_stopping, __ATOMIC_RELAXED)) {
        uint64_t n = __atomic_load_n(&server->connections, __ATOMIC_RELAXED);
        struct connection *c;
        int fd;

        if (poll(&watch, 1, 20) <= 0)
            continue;
        fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            continue;
        c = n < CONNECTIONS_MAX ? calloc(1, sizeof(*c)) : NULL;
        if (!c) {
            close(fd);
            continue;
        }
        c->server = server;
        c->fd = fd;
        server->list[n] = c;
        if (pthread_create(&c->thread, NULL, serve, c) != 0)
            abort();
        __atomic_add_fetch(&server->connections, 1, __ATOMIC_RELEASE);
    }
    return NULL;
}

int odd_server_start(const char *path, struct odd_server **ret_server)
{
    struct odd_server *server = calloc(1, sizeof(*server));
    struct obs_address address;
    char text[160];
    int r;

    if (!server)
        return -ENOMEM;
    pthread_mutex_init(&server->lock, NULL);
    snprintf(text, sizeof(text), path ? "unix:%s" : "tcp:127.0.0.1:0%s", path ? path : "");
    r = obs_address_parse(text, &address, NULL);
    if (r == 0)
        r = obs_address_listen(&address, 1024, false, &server->fd, NULL);
    if (r != 0) {
        free(server);
        return r < 0 ? r : -EADDRINUSE;
    }
    if (path)
        snprintf(server->url, sizeof(server->url), "unix:%s", path);
    else
        snprintf(server->url, sizeof(server->url), "http://127.0.0.1:%u",
                 obs_address_port(&address));
    pthread_create(&server->thread, NULL, accept_all, server);
    *ret_server = server;
    return 0;
}

struct odd_server *odd_server_free(struct odd_server *server)
{
    uint64_t count;

    if (!server)
        return NULL;
    __atomic_store_n(&server->is_stopping, true, __ATOMIC_RELAXED);
    pthread_join(server->thread, NULL);
    close(server->fd);
    count = __atomic_load_n(&server->connections, __ATOMIC_ACQUIRE);
    pthread_mutex_lock(&server->lock);
    for (uint64_t i = 0; i < count; i++)
        if (server->list[i]->fd >= 0)
            shutdown(server->list[i]->fd, SHUT_RDWR);
    pthread_mutex_unlock(&server->lock);
    for (uint64_t i = 0; i < count; i++) {
        pthread_join(server->list[i]->thread, NULL);
        free(server->list[i]);
    }
    if (strncmp(server->url, "unix:", 5) == 0)
        unlink(server->url + 5);
    pthread_mutex_destroy(&server->lock);
    free(server);
    return NULL;
}

const char *odd_server_url(const struct odd_server *server)
{
    return server->url;
}

uint64_t odd_server_requests(const struct odd_server *server)
{
    return __atomic_load_n(&server->requests, __ATOMIC_RELAXED);
}

uint64_t odd_server_connections(const struct odd_server *server)
{
    return __atomic_load_n(&server->connections, __ATOMIC_RELAXED);
}

void odd_server_last(struct odd_server *server, char *out, size_t size)
{
    pthread_mutex_lock(&server->lock);
    snprintf(out, size, "%s", server->last);
    pthread_mutex_unlock(&server->lock);
}
