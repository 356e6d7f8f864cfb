/* observa-load serve: a steady load that is steered over HTTP, with metrics and correctness probes.
 */
#include "base/args.h"
#include "base/log.h"
#include "load/command.h"
#include "load/command_args.h"
#include "load/session.h"
#include "otel/trace.h"
#include <string.h>

#define FLUSH_MS 500

/*  identifier, flag, environment, default, value, meaning */
#define SERVE_ARGS(ROW)                                                                            \
    ROW(TARGET, "target", "OBSERVA_LOAD_TARGET", NULL, "URL",                                      \
        "where the load goes: unix:PATH, tcp:HOST:PORT, http://… or https://…")                    \
    ROW(JOURNEYS, "journeys", NULL, NULL, "FILE",                                                  \
        "user journeys and their pattern (docs/load.md)")                                          \
    ROW(ADMIN, "admin", NULL, NULL, "ADDRESS",                                                     \
        "control API, metrics and health: unix:PATH or tcp:HOST:PORT")                             \
    ROW(CATALOG, "catalog", NULL, "", "ADDRESS",                                                   \
        "catalog's API: lets the price probe change a price for a moment")                         \
    ROW(ORDERS, "orders", NULL, "", "ADDRESS",                                                     \
        "orders' API: the order probe asks here instead of on the users' path")                    \
    ROW(PROBE_INTERVAL, "probe-interval", NULL, "5s", "TIME", "between two rounds of the probes")  \
    ROW(USERS, "users", NULL, "", "N", "virtual users; default: the file's")                       \
    ROW(THREADS, "threads", NULL, "1", "N", "event loops")                                         \
    ROW(SEED, "seed", NULL, "", "N", "of everything random; default: the file's")                  \
    ROW(TRACE_SAMPLE, "trace-sample", NULL, "", "SHARE",                                           \
        "share of journeys whose traceparent says sampled; default: the file's")                   \
    ROW(HOST, "host", NULL, "", "NAME", "Host header")                                             \
    ROW(CA_FILE, "ca-file", NULL, "", "FILE", "trusted certificates for https")                    \
    ROW(EVENTS, "events", NULL, "65536", "N", "journeys kept in the event log")                    \
    ROW(OTLP, "otlp-endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT", "", "URL",                           \
        "receiver of a span for each sampled journey")

#define SERVE_SWITCHES(ROW) ROW(NO_PROBES, "no-probes", "no correctness probes")

enum {
#define ARG_ENUM(id, ...) ARG_##id,
    SERVE_ARGS(ARG_ENUM) SERVE_SWITCHES(ARG_ENUM)
#undef ARG_ENUM
        ARG_COUNT
};

static const struct obs_arg ARGS[ARG_COUNT] = {
#define ARG_ROW(id, name_, environment_, standard_, value_, meaning_)                              \
    {.name = name_,                                                                                \
     .environment = environment_,                                                                  \
     .standard = standard_,                                                                        \
     .value_name = value_,                                                                         \
     .meaning = meaning_},
#define SWITCH_ROW(id, name_, meaning_)                                                            \
    {.name = name_, .standard = "", .meaning = meaning_, .is_switch = true},
    SERVE_ARGS(ARG_ROW) SERVE_SWITCHES(SWITCH_ROW)
#undef ARG_ROW
#undef SWITCH_ROW
};

struct serve {
    const char *values[ARG_COUNT];
    struct target *target;
    struct script *script;
    struct session_options session;
};

static int open_parts(struct serve *serve, struct obs_reason *why)
{
    struct target_options options = {.host = serve->values[ARG_HOST],
                                     .ca_file = serve->values[ARG_CA_FILE]};
    int r = target_parse(serve->values[ARG_TARGET], &options, &serve->target, why);

    if (r == 0)
        r = script_load(serve->values[ARG_JOURNEYS], &serve->script, why);
    if (r == 0 && !serve->script->pattern) {
        obs_reason_set(why, "%.120s: pattern is missing: expected {\"type\": \"constant\", …}",
                       serve->values[ARG_JOURNEYS]);
        r = 1;
    }
    return r;
}

static int set_engine(struct serve *serve, struct obs_reason *why)
{
    struct engine_options *engine = &serve->session.engine;
    uint64_t users = serve->script->users, threads = 1;
    int r = command_count("users", serve->values[ARG_USERS], 1, SCRIPT_USERS_MAX, &users, why);

    engine->seed = serve->script->seed;
    engine->trace_sample = serve->script->trace_sample;
    engine->has_traceparent = true;
    engine->limits = RESPONSE_LIMITS_DEFAULT;
    if (r == 0)
        r = command_count("threads", serve->values[ARG_THREADS], 1, 256, &threads, why);
    if (r == 0)
        r = command_count("seed", serve->values[ARG_SEED], 0, UINT64_MAX, &engine->seed, why);
    if (r == 0)
        r = command_number("trace-sample", serve->values[ARG_TRACE_SAMPLE], 0, 1,
                           &engine->trace_sample, why);
    engine->users = (unsigned)users;
    engine->threads = (unsigned)threads;
    return r;
}

static int open_tracer(struct serve *serve, struct obs_reason *why)
{
    struct obs_tracer_options options = {.service = "load",
                                         .version = OBS_VERSION,
                                         .resource = getenv("OTEL_RESOURCE_ATTRIBUTES"),
                                         .endpoint = serve->values[ARG_OTLP],
                                         .sample_ratio = 1};
    int r = obs_tracer_new(&options, &serve->session.engine.tracer);

    if (r < 0)
        obs_reason_set(why, "--otlp-endpoint is \"%.100s\": expected http://HOST:PORT or unix:PATH",
                       options.endpoint);
    return r;
}

static int prepare(struct serve *serve, struct obs_reason *why)
{
    struct session_options *session = &serve->session;
    uint64_t events = 0;
    int r = open_parts(serve, why);

    if (r == 0)
        r = set_engine(serve, why);
    if (r == 0)
        r = open_tracer(serve, why);
    if (r == 0)
        r = command_count("events", serve->values[ARG_EVENTS], 1, 1 << 24, &events, why);
    if (r == 0)
        r = command_duration("probe-interval", serve->values[ARG_PROBE_INTERVAL],
                             &session->probe_interval_ns, why);
    session->url = serve->values[ARG_TARGET];
    session->script = serve->script;
    session->target = serve->target;
    session->event_count = events;
    session->admin = serve->values[ARG_ADMIN];
    session->catalog = serve->values[ARG_CATALOG];
    session->orders = serve->values[ARG_ORDERS];
    session->has_probes = !*serve->values[ARG_NO_PROBES];
    return r;
}

int command_serve(int argc, char *argv[])
{
    struct obs_reason why = {0};
    struct session_result result = {0};
    struct serve serve = {0};
    int r = obs_args_parse("observa-load serve", "a load that is steered over HTTP", ARGS,
                           ARG_COUNT, argc, argv, serve.values, NULL, &why);

    if (r == OBS_ARGS_HELP)
        return EXIT_SUCCESS;
    obs_log_setup("load", OBS_VERSION, OBS_LOG_INFO);
    if (r == 0)
        r = prepare(&serve, &why);
    if (r == 0)
        r = session_run(&serve.session, &result, &why);
    if (r == 0)
        obs_log(OBS_LOG_INFO, "stopped", OBS_INT("pid", getpid()));
    session_result_done(&result);
    (void)obs_tracer_free(serve.session.engine.tracer, FLUSH_MS);
    target_free(serve.target);
    script_free(serve.script);
    return r == 0 ? EXIT_SUCCESS : command_fail("serve", r, &why);
}
