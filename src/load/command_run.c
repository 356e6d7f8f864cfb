/* observa-load run: one load against any HTTP target, with a report at the end. */
#include "base/args.h"
#include "base/file.h"
#include "load/command.h"
#include "load/command_args.h"
#include "load/report.h"
#include "load/session.h"
#include <errno.h>
#include <math.h>
#include <string.h>

#define REPORT_BYTES_MAX (256 << 20)

/*  identifier, flag, default, value, meaning */
#define RUN_ARGS(ROW)                                                                              \
    ROW(RATE, "rate", "", "N", "journeys per second, evenly spaced (open loop)")                   \
    ROW(PATTERN, "pattern", "", "PATTERN",                                                         \
        "rate over time: constant:rate=50 | ramp:from=1,to=50,over=30s | step:10x30s,50x1m | "     \
        "spike:rate=10,peak=99,at=5s,lasting=5s | sine:rate=50,amplitude=30,period=1m | "          \
        "replay:file=arrivals.txt")                                                                \
    ROW(DURATION, "duration", "", "TIME", "length; default 10s, or the pattern's own")             \
    ROW(USERS, "users", "", "N",                                                                   \
        "virtual users, each with its own connection; without a rate they run in a closed loop; "  \
        "default 256 with a rate, 50 without")                                                     \
    ROW(CONNECTIONS, "connections", "", "N", "the same as --users")                                \
    ROW(THREADS, "threads", "", "N", "event loops; default: the cores this process may use")       \
    ROW(JOURNEYS, "journeys", "", "FILE", "user journeys (docs/load.md) instead of one request")   \
    ROW(METHOD, "method", "GET", "METHOD", "of the request")                                       \
    ROW(BODY, "body", "", "TEXT", "of the request")                                                \
    ROW(CONTENT_TYPE, "content-type", "", "TYPE", "of the body")                                   \
    ROW(HEADER, "header", "", "LINES", "\"Name: value\"; several in lines of their own")           \
    ROW(TIMEOUT, "timeout", "10s", "TIME", "longest wait for one reply")                           \
    ROW(THINK, "think", "", "TIME", "pause of a user before each request")                         \
    ROW(ARRIVALS, "arrivals", "", "KIND", "uniform (default) or poisson")                          \
    ROW(SEED, "seed", "", "N", "of everything random; the same seed makes the same schedule")      \
    ROW(TRACE_SAMPLE, "trace-sample", "", "SHARE",                                                 \
        "share of journeys whose traceparent says sampled; \"off\" sends no traceparent")          \
    ROW(HOST, "host", "", "NAME", "Host header, and the name in the certificate")                  \
    ROW(CA_FILE, "ca-file", "", "FILE", "trusted certificates; default: the system's")             \
    ROW(LATE, "late", "10ms", "TIME", "a journey begun so much after it was due counts as late")   \
    ROW(WAIT, "wait", "30s", "TIME", "a journey that waits so long for a user is dropped")         \
    ROW(JSON, "json", "", "FILE", "write the report as JSON as well; - for standard output only")  \
    ROW(ADMIN, "admin", "", "ADDRESS", "control API while it runs: unix:PATH or tcp:HOST:PORT")    \
    ROW(EVENTS, "events", "65536", "N", "journeys kept for the control API's event log")

/*  switches */
#define RUN_SWITCHES(ROW)                                                                          \
    ROW(INSECURE, "insecure", "certificates are not checked")                                      \
    ROW(QUIET, "quiet", "no progress line")

enum {
#define ARG_ENUM(id, ...) ARG_##id,
    RUN_ARGS(ARG_ENUM) RUN_SWITCHES(ARG_ENUM)
#undef ARG_ENUM
        ARG_COUNT
};

static const struct obs_arg ARGS[ARG_COUNT] = {
#define ARG_ROW(id, name_, standard_, value_, meaning_)                                            \
    {.name = name_, .standard = standard_, .value_name = value_, .meaning = meaning_},
#define SWITCH_ROW(id, name_, meaning_)                                                            \
    {.name = name_, .standard = "", .meaning = meaning_, .is_switch = true},
    RUN_ARGS(ARG_ROW) RUN_SWITCHES(SWITCH_ROW)
#undef ARG_ROW
#undef SWITCH_ROW
};

struct run {
    const char *values[ARG_COUNT];
    const char *url;
    struct target *target;
    struct script *script;
    struct pattern *pattern;
    struct session_options session;
};

static void run_done(struct run *run)
{
    target_free(run->target);
    script_free(run->script);
    pattern_free(run->pattern);
}

/* "URL --flags" is as good as "--flags URL". */
static void url_to_end(int argc, char *argv[])
{
    char *url;

    if (argc < 3 || argv[1][0] == '-')
        return;
    url = argv[1];
    memmove(argv + 1, argv + 2, (size_t)(argc - 2) * sizeof(*argv));
    argv[argc - 1] = url;
}

static int read_flags(struct run *run, int argc, char *argv[], struct obs_reason *why)
{
    int rest = argc, r;

    url_to_end(argc, argv);
    r = obs_args_parse("observa-load run", "URL: one load, and what it showed", ARGS, ARG_COUNT,
                       argc, argv, run->values, &rest, why);
    if (r != 0)
        return r;
    if (rest != argc - 1) {
        obs_reason_set(why,
                       rest >= argc ? "a target is missing: expected a URL such as "
                                      "http://127.0.0.1:8080/ after the flags"
                                    : "\"%.60s\" is one word too many: expected one URL",
                       rest + 1 < argc ? argv[rest + 1] : "");
        return 1;
    }
    run->url = argv[rest];
    return 0;
}

static int open_target(struct run *run, struct obs_reason *why)
{
    struct target_options options = {
        .host = run->values[ARG_HOST],
        .ca_file = run->values[ARG_CA_FILE],
        .is_insecure = *run->values[ARG_INSECURE] != '\0',
    };

    return target_parse(run->url, &options, &run->target, why);
}

#define HEADERS_MAX 32

static int open_single(struct run *run, struct obs_reason *why)
{
    OBS_CLEANUP(obs_freep) char *lines = strdup(run->values[ARG_HEADER]);
    const char *headers[HEADERS_MAX + 1] = {NULL};
    struct script_single single = {
        .method = run->values[ARG_METHOD], .target = run->target->path, .headers = headers};
    char *saved = NULL;
    size_t count = 0;
    int r;

    for (char *line = lines ? strtok_r(lines, "\n", &saved) : NULL; line && count < HEADERS_MAX;
         line = strtok_r(NULL, "\n", &saved))
        headers[count++] = line;
    if (*run->values[ARG_BODY])
        single.body = run->values[ARG_BODY];
    if (*run->values[ARG_CONTENT_TYPE])
        single.content_type = run->values[ARG_CONTENT_TYPE];
    r = command_duration("timeout", run->values[ARG_TIMEOUT], &single.timeout_ns, why);
    if (r == 0)
        r = command_duration("think", run->values[ARG_THINK], &single.think_ns, why);
    return r != 0 ? r : script_single(&single, &run->script, why);
}

static int open_script(struct run *run, struct obs_reason *why)
{
    const char *arrivals = run->values[ARG_ARRIVALS];
    int r;

    if (*run->values[ARG_JOURNEYS])
        r = script_load(run->values[ARG_JOURNEYS], &run->script, why);
    else
        r = open_single(run, why);
    if (r != 0 || *arrivals == '\0')
        return r;
    if (strcmp(arrivals, "uniform") != 0 && strcmp(arrivals, "poisson") != 0) {
        obs_reason_set(why, "--arrivals is \"%.40s\": expected uniform or poisson", arrivals);
        return 1;
    }
    run->script->arrivals = *arrivals == 'p' ? SCHEDULE_POISSON : SCHEDULE_UNIFORM;
    return 0;
}

/* Sets is_closed_loop when nothing says how many per second. */
static int open_pattern(struct run *run, struct obs_reason *why)
{
    struct engine_options *engine = &run->session.engine;
    const char *rate = run->values[ARG_RATE], *pattern = run->values[ARG_PATTERN];
    double per_second = 0;
    int r;

    if (*rate && *pattern) {
        obs_reason_set(why, "both --rate and --pattern are given: expected one of them");
        return 1;
    }
    if (*pattern)
        return pattern_parse_text(pattern, ".", &run->pattern, why);
    r = command_number("rate", rate, 0.001, PATTERN_RATE_MAX, &per_second, why);
    if (r != 0)
        return r;
    if (per_second > 0)
        return pattern_constant(per_second, &run->pattern);
    if (run->script->pattern && !*run->values[ARG_USERS] && !*run->values[ARG_CONNECTIONS])
        return 0;
    engine->is_closed_loop = true;
    return pattern_constant(1, &run->pattern); /* not used: no arrival is scheduled */
}

static int set_duration(struct run *run, struct obs_reason *why)
{
    const struct pattern *pattern = run->pattern ? run->pattern : run->script->pattern;
    struct engine_options *engine = &run->session.engine;
    double length_s = pattern_length(pattern);
    int r = command_duration("duration", run->values[ARG_DURATION], &engine->duration_ns, why);

    if (r == 0 && engine->duration_ns == 0)
        engine->duration_ns = isinf(length_s) ? 10000000000ULL : (uint64_t)(length_s * 1e9);
    return r;
}

static int set_users(struct run *run, struct obs_reason *why)
{
    const char *connections = run->values[ARG_CONNECTIONS], *users = run->values[ARG_USERS];
    struct engine_options *engine = &run->session.engine;
    uint64_t count = *run->values[ARG_JOURNEYS] ? run->script->users
                     : engine->is_closed_loop   ? 50
                                                : 256;
    uint64_t threads = 0;
    int r = command_count(*users ? "users" : "connections", *users ? users : connections, 1,
                          SCRIPT_USERS_MAX, &count, why);

    if (r == 0)
        r = command_count("threads", run->values[ARG_THREADS], 1, 256, &threads, why);
    engine->users = (unsigned)count;
    engine->threads = (unsigned)threads;
    return r;
}

static int set_tracing(struct run *run, struct obs_reason *why)
{
    struct engine_options *engine = &run->session.engine;
    const char *share = run->values[ARG_TRACE_SAMPLE];

    engine->has_traceparent = strcmp(share, "off") != 0;
    engine->trace_sample = run->script->trace_sample;
    return engine->has_traceparent
               ? command_number("trace-sample", share, 0, 1, &engine->trace_sample, why)
               : 0;
}

static int set_rest(struct run *run, struct obs_reason *why)
{
    struct engine_options *engine = &run->session.engine;
    uint64_t events = 0;
    int r;

    engine->seed = run->script->seed;
    engine->limits = RESPONSE_LIMITS_DEFAULT;
    r = command_count("seed", run->values[ARG_SEED], 0, UINT64_MAX, &engine->seed, why);
    if (r == 0)
        r = command_duration("late", run->values[ARG_LATE], &engine->late_after_ns, why);
    if (r == 0)
        r = command_duration("wait", run->values[ARG_WAIT], &engine->drop_after_ns, why);
    if (r == 0)
        r = command_count("events", run->values[ARG_EVENTS], 0, 1 << 24, &events, why);
    if (*run->values[ARG_ADMIN])
        run->session.event_count = events;
    run->session.admin = run->values[ARG_ADMIN];
    run->session.is_recorded = true;
    run->session.has_progress = isatty(STDERR_FILENO) && !*run->values[ARG_QUIET];
    return r;
}

static int prepare(struct run *run, struct obs_reason *why)
{
    static int (*const steps[])(struct run * run, struct obs_reason * why) = {
        open_target, open_script, open_pattern, set_duration, set_users, set_tracing, set_rest};
    int r = 0;

    for (size_t i = 0; r == 0 && i < OBS_COUNT(steps); i++)
        r = steps[i](run, why);
    run->session.url = run->url;
    run->session.script = run->script;
    run->session.target = run->target;
    if (r == 0)
        run->session.pattern = OBS_TAKE(run->pattern);
    return r;
}

static bool is_utf8_terminal(void)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};

    for (size_t i = 0; i < OBS_COUNT(names); i++) {
        const char *value = getenv(names[i]);

        if (value && *value)
            return strcasestr(value, "utf-8") || strcasestr(value, "utf8");
    }
    return false;
}

static int write_json(const json_t *report, const char *path, struct obs_reason *why)
{
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer b = OBS_BUFFER_INIT(REPORT_BYTES_MAX);
    int r = obs_json_emit(report, &b);

    if (r == 0)
        r = obs_buffer_append_char(&b, '\n');
    if (r < 0)
        return r;
    if (strcmp(path, "-") == 0)
        return fwrite(b.data, 1, b.size, stdout) == b.size ? 0 : -EIO;
    return obs_file_write_atomic(path, b.data, b.size, 0644, why);
}

static int show(struct run *run, struct session_result *result, struct obs_reason *why)
{
    const char *path = run->values[ARG_JSON];
    struct report_about about = {
        .target = run->url,
        .script = run->script,
        .users = run->session.engine.users,
        .seed = run->session.engine.seed,
        .is_closed_loop = run->session.engine.is_closed_loop,
        .began_unix_ns = result->began_unix_ns,
        .length_s = result->length_s,
    };
    OBS_JSON report = report_new(&about, result->engine, result->record);
    int r = 0;

    if (*path)
        r = write_json(report, path, why);
    if (strcmp(path, "-") != 0)
        report_print(report, is_utf8_terminal(), stdout);
    return r;
}

int command_run(int argc, char *argv[])
{
    struct obs_reason why = {0};
    struct session_result result = {0};
    struct run run = {0};
    int r = read_flags(&run, argc, argv, &why);

    if (r == OBS_ARGS_HELP)
        return EXIT_SUCCESS;
    if (r == 0)
        r = prepare(&run, &why);
    if (r == 0)
        r = session_run(&run.session, &result, &why);
    if (r == 0)
        r = show(&run, &result, &why);
    session_result_done(&result);
    run_done(&run);
    return r == 0 ? EXIT_SUCCESS : command_fail("run", r, &why);
}
