/*
 * Load for observa-telemetry: OTLP protobuf over real sockets, made while it runs.
 *
 * Traces of 8 spans over 6 services, about 265 bytes a span on the wire; log records of about 112
 * bytes a line. Prints a line per step: records, records per second, worst request.
 */
#include "base/clock.h"
#include "telemetry/store_bytes.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 64, TRACE_SPANS = 8 };

static struct {
    int port;
    bool is_lines;
    unsigned connections;
    size_t batch;
    uint64_t total, step;
    atomic_uint_fast64_t next, done, refused, worst_ns, bytes;
} load;

static uint64_t mix(uint64_t x)
{
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdULL;
    x ^= x >> 33;
    x *= 0xc4ceb9fe1a85ec53ULL;
    return x ^ x >> 33;
}

/* ---- protobuf, with the sizes of nested messages filled in afterwards (3 bytes each) ---- */

static size_t begin(struct bytes_out *out, unsigned field)
{
    bytes_put_varint(out, field << 3 | 2);
    bytes_put(out, "\x80\x80\0", 3);
    return out->size;
}

static void end(struct bytes_out *out, size_t at)
{
    size_t size = out->size - at;

    out->data[at - 3] = (uint8_t)(size | 0x80);
    out->data[at - 2] = (uint8_t)(size >> 7 | 0x80);
    out->data[at - 1] = (uint8_t)(size >> 14);
}

/* Small messages get the one byte that encoders would spend. */
static void put_text(struct bytes_out *out, unsigned field, const char *text, size_t size)
{
    bytes_put_varint(out, field << 3 | 2);
    bytes_put_text(out, (struct text_view){text, size});
}

static void put_attribute(struct bytes_out *out, unsigned field, const char *name,
                          const char *value)
{
    size_t name_size = strlen(name), value_size = strlen(value);

    bytes_put_varint(out, field << 3 | 2);
    bytes_put_varint(out, name_size + value_size + 6);
    put_text(out, 1, name, name_size);
    bytes_put_u8(out, 2 << 3 | 2);
    bytes_put_varint(out, value_size + 2);
    put_text(out, 1, value, value_size);
}

static void put_int(struct bytes_out *out, unsigned field, const char *name, uint64_t value)
{
    size_t name_size = strlen(name), value_size = value < 128 ? 1 : 2;

    bytes_put_varint(out, field << 3 | 2);
    bytes_put_varint(out, name_size + value_size + 5);
    put_text(out, 1, name, name_size);
    bytes_put_u8(out, 2 << 3 | 2);
    bytes_put_varint(out, value_size + 1);
    bytes_put_u8(out, 3 << 3);
    bytes_put_varint(out, value);
}

static void put_fixed(struct bytes_out *out, unsigned field, uint64_t value)
{
    bytes_put_varint(out, field << 3 | 1);
    bytes_put_u64(out, value);
}

static const char *const SERVICES[] = {"gateway", "storefront", "catalog",
                                       "orders",  "fulfilment", "payments"};
static const char *const ROUTES[] = {"GET /api/products/{id}", "GET /api/home",
                                     "POST /api/checkout", "GET /api/search"};

static void put_span(struct bytes_out *out, uint64_t number, uint64_t now_ns)
{
    uint64_t trace = number / TRACE_SPANS, random = mix(number), ids[2] = {mix(trace + 1), trace};
    uint64_t parent = mix(number - 1) ^ 1, id = random ^ 1;
    char path[32];
    size_t at = begin(out, 2), status;

    put_text(out, 1, (char *)ids, 16);
    put_text(out, 2, (char *)&id, 8);
    if (number % TRACE_SPANS != 0)
        put_text(out, 4, (char *)&parent, 8);
    put_text(out, 5, ROUTES[trace % 4], strlen(ROUTES[trace % 4]));
    bytes_put(out, "\x30\x02", 2);
    put_fixed(out, 7, now_ns - random % 40000000);
    put_fixed(out, 8, now_ns - random % 40000000 + 100000 + random % 30000000);
    snprintf(path, sizeof(path), "/api/products/%u", (unsigned)(random % 5000));
    put_attribute(out, 9, "http.request.method", "GET");
    put_attribute(out, 9, "http.route", ROUTES[trace % 4] + 4);
    put_attribute(out, 9, "url.path", path);
    put_int(out, 9, "http.response.status_code", random % 100 < 98 ? 200 : 500);
    put_attribute(out, 9, "network.peer.address", "127.0.0.1");
    if (number % 50000 == 7)
        put_attribute(out, 9, "app.rare", "needle");
    status = begin(out, 15);
    end(out, status);
    end(out, at);
}

static void put_line(struct bytes_out *out, uint64_t number, uint64_t now_ns)
{
    uint64_t random = mix(number);
    char text[160];
    int size = snprintf(text, sizeof(text),
                        "{\"message\":\"%s\",\"product_id\":%u,\"duration_ms\":%u.%03u,"
                        "\"status\":%u,\"route\":\"/api/products/{id}\",\"n\":%u}",
                        number % 100000 == 77 ? "needle in the hay" : "request answered",
                        (unsigned)(random % 5000), (unsigned)(random >> 20) % 80,
                        (unsigned)(random >> 40) % 1000, random % 100 < 98 ? 200 : 500,
                        (unsigned)(number % 100000000));
    size_t at = begin(out, 2), body;

    put_fixed(out, 1, now_ns + number % 1000);
    bytes_put_u8(out, 2 << 3);
    bytes_put_varint(out, random % 100 < 98 ? 9 : 17);
    body = begin(out, 5);
    put_text(out, 1, text, (size_t)size);
    end(out, body);
    end(out, at);
}

static void put_batch(struct bytes_out *out, uint64_t first, size_t count)
{
    uint64_t now_ns = obs_time_ns();
    size_t top, part;

    for (unsigned service = 0; service < 6; service++) {
        top = begin(out, 1);
        part = begin(out, 1);
        put_attribute(out, 1, "service.name", SERVICES[service]);
        put_attribute(out, 1, "service.version", "1.4.2");
        put_attribute(out, 1, "host.name", "shop-7");
        end(out, part);
        part = begin(out, 2);
        for (uint64_t i = first + service; i < first + count; i += 6) {
            if (load.is_lines)
                put_line(out, i, now_ns);
            else
                put_span(out, i, now_ns);
        }
        end(out, part);
        end(out, top);
    }
}

/* ---- HTTP ---- */

static int connect_to(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return -1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

static bool send_all(int fd, const void *data, size_t size)
{
    const char *at = data;

    while (size > 0) {
        ssize_t n = send(fd, at, size, MSG_NOSIGNAL);

        if (n <= 0)
            return false;
        at += n;
        size -= (size_t)n;
    }
    return true;
}

/* Replies here are short: one read has them. */
static int post(int fd, const struct bytes_out *body)
{
    char head[256], reply[4096];
    int size = snprintf(head, sizeof(head),
                        "POST /v1/%s HTTP/1.1\r\nHost: bench\r\nContent-Type: "
                        "application/x-protobuf\r\nContent-Length: %zu\r\n\r\n",
                        load.is_lines ? "logs" : "traces", body->size);
    ssize_t n;

    if (!send_all(fd, head, (size_t)size) || !send_all(fd, body->data, body->size))
        return -1;
    n = recv(fd, reply, sizeof(reply) - 1, 0);
    if (n < 12)
        return -1;
    reply[n] = '\0';
    if (memmem(reply, (size_t)n, "Content-Length: 0", 17) == NULL &&
        memcmp(reply + 9, "200", 3) == 0)
        return -2; /* a partial success: not what is measured */
    return atoi(reply + 9);
}

static void note_worst(uint64_t took_ns)
{
    uint64_t worst = atomic_load(&load.worst_ns);

    while (took_ns > worst && !atomic_compare_exchange_weak(&load.worst_ns, &worst, took_ns))
        ;
}

static void *run(void *userdata)
{
    struct bytes_out body = {0};
    int fd = connect_to(load.port);

    for (;;) {
        uint64_t first = atomic_fetch_add(&load.next, load.batch), started;
        int status;

        if (first >= load.total)
            break;
        bytes_clear(&body);
        put_batch(&body, first, load.batch);
        started = obs_mono_ns();
        while ((status = post(fd, &body)) == 429 || status == 503) {
            atomic_fetch_add(&load.refused, 1);
            obs_sleep_ns(5000000);
        }
        if (status != 200) {
            fprintf(stderr, "bench: answer %d\n", status);
            exit(1);
        }
        note_worst(obs_mono_ns() - started);
        atomic_fetch_add(&load.bytes, body.size);
        atomic_fetch_add(&load.done, load.batch);
    }
    bytes_done(&body);
    close(fd);
    return NULL;
}

int main(int argc, char *argv[])
{
    pthread_t threads[CONNECTIONS_MAX];
    uint64_t last = 0, last_ns, began_ns;

    if (argc < 6) {
        fprintf(stderr, "usage: bench-telemetry-load PORT spans|lines TOTAL BATCH CONNECTIONS\n");
        return 2;
    }
    load.port = atoi(argv[1]);
    load.is_lines = strcmp(argv[2], "lines") == 0;
    load.total = strtoull(argv[3], NULL, 10);
    load.batch = strtoull(argv[4], NULL, 10);
    load.connections = (unsigned)atoi(argv[5]);
    load.step = load.total / 10;
    began_ns = last_ns = obs_mono_ns();
    for (unsigned i = 0; i < load.connections && i < CONNECTIONS_MAX; i++)
        pthread_create(&threads[i], NULL, run, NULL);
    while (last < load.total) {
        uint64_t done, now;

        obs_sleep_ns(20000000);
        done = atomic_load(&load.done);
        if (done < last + load.step && done < load.total)
            continue;
        now = obs_mono_ns();
        printf("%9llu %s, %7.0f/s, worst request %.1f ms\n", (unsigned long long)done, argv[2],
               (double)(done - last) * 1e9 / (double)(now - last_ns),
               (double)atomic_exchange(&load.worst_ns, 0) / 1e6);
        fflush(stdout);
        last = done;
        last_ns = now;
    }
    for (unsigned i = 0; i < load.connections && i < CONNECTIONS_MAX; i++)
        pthread_join(threads[i], NULL);
    printf("all: %.0f/s, %.0f bytes each on the wire, %llu told to try again\n",
           (double)last * 1e9 / (double)(obs_mono_ns() - began_ns),
           (double)load.bytes / (double)last, (unsigned long long)load.refused);
    return 0;
}
