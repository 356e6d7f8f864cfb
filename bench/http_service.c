/*
 * The least a service of ours can be: one endpoint that answers twelve bytes, on the loop (/loop)
 * and by a worker (/work). `--telemetry full` adds what every service reports: metrics, an access
 * log line and a span for each request. POST /v1/traces swallows spans, so that a second instance
 * is the collector.
 *
 * bench/http.sh measures it beside nginx.
 */
#include "base/args.h"
#include "base/http_server.h"
#include "base/log.h"
#include "otel/instrument.h"
#include <event2/event.h>
#include <stdio.h>
#include <string.h>

static void answer(struct obs_http_request *request, void *userdata)
{
    obs_http_reply(request, 200, "text/plain", "hello world\n", 12);
}

static const struct obs_http_route ROUTES[] = {
    {"GET", "/loop", answer, OBS_HTTP_ON_LOOP},
    {"GET", "/work", answer, OBS_HTTP_ON_WORKER},
    {"POST", "/v1/traces", answer, OBS_HTTP_ON_LOOP},
};

enum { ARG_LISTEN, ARG_TELEMETRY, ARG_ENDPOINT, ARG_COUNT };
static const struct obs_arg ARGS[ARG_COUNT] = {
    {"listen", NULL, "tcp:127.0.0.1:0", "ADDRESS", "where to listen", false},
    {"telemetry", NULL, "none", "none|full", "what to report", false},
    {"endpoint", NULL, "", "URL", "OTLP collector", false},
};

static const struct obs_http_observer *full_telemetry(const char *endpoint)
{
    static struct obs_telemetry telemetry; /* for the life of the process */
    struct obs_tracer_options options = {
        .service = "bench", .version = "1", .endpoint = endpoint, .sample_ratio = 1.0};
    struct obs_http_instrument *instrument = NULL;

    obs_log_setup("bench", "1", OBS_LOG_INFO);
    if (obs_metrics_new("bench", "1", &telemetry.metrics) < 0 ||
        obs_tracer_new(&options, &telemetry.tracer) < 0 ||
        obs_http_instrument_new(&telemetry, true, &instrument) < 0)
        return NULL;
    return obs_http_instrument_observer(instrument);
}

int main(int argc, char *argv[])
{
    const char *values[ARG_COUNT];
    struct obs_reason why = {0};
    struct obs_address address;
    struct obs_http_server *server = NULL;
    struct obs_http_server_options options = {
        .routes = ROUTES, .route_count = OBS_COUNT(ROUTES), .limits = OBS_HTTP_LIMITS_DEFAULT};
    struct event_base *base = event_base_new();
    int fd = -1;

    if (obs_args_parse("bench-http-service", "an endpoint to measure", ARGS, ARG_COUNT, argc, argv,
                       values, NULL, &why) != 0 ||
        obs_address_parse(values[ARG_LISTEN], &address, &why) != 0 ||
        obs_address_listen(&address, 512, false, &fd, &why) != 0) {
        fprintf(stderr, "bench-http-service: %s\n", why.text);
        return EXIT_FAILURE;
    }
    if (strcmp(values[ARG_TELEMETRY], "full") == 0)
        options.observer = full_telemetry(values[ARG_ENDPOINT]);
    if (obs_worker_pool_new("worker", 4, 1000, &options.pool) < 0 ||
        obs_http_server_new(base, &options, &server) < 0 || obs_http_server_add(server, fd) < 0)
        return EXIT_FAILURE;
    fprintf(stderr, "%s\n", address.text);
    return event_base_dispatch(base) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
