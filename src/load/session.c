#include "load/session.h"
#include "base/clock.h"
#include "base/log.h"
#include "load/control.h"
#include "load/exposition.h"
#include "load/probe.h"
#include "load/report.h"
#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#define TICK_MS 50
#define STOP_DRAIN_NS (2 * OBS_NS_PER_SECOND) /* after a signal */
#define SPARE_FILES 64

struct session {
    const struct session_options *options;
    struct event_base *base;
    struct event *tick, *on_int, *on_term;
    struct pattern *pattern; /* until the plan has taken it */
    struct plan *plan;
    struct event_log *events;
    struct engine *engine;
    struct record *record;
    struct obs_metrics *metrics;
    struct exposition *exposition;
    struct control *control;
    struct obs_address admin;
    struct probes *probes; /* atomic: journeys of all threads report to them */
    uint64_t next_sample_ns, stopped_ns;
    unsigned signals;
};

/* ---- parts ---- */

static void on_order(const char *order_id, void *userdata)
{
    struct session *s = userdata;
    struct probes *probes = __atomic_load_n(&s->probes, __ATOMIC_ACQUIRE);

    if (probes)
        probes_add_order(probes, order_id);
}

static int open_engine(struct session *s)
{
    const struct session_options *o = s->options;
    struct engine_options engine = o->engine;
    int r = plan_new(o->script, OBS_TAKE(s->pattern), &s->plan);

    if (r == 0 && o->event_count > 0)
        r = event_log_new(o->event_count, &s->events);
    if (r < 0)
        return r;
    engine.script = o->script;
    engine.target = o->target;
    engine.first_plan = s->plan;
    engine.events = s->events;
    engine.on_order = o->has_probes ? on_order : NULL;
    engine.userdata = s;
    return engine_new(&engine, &s->engine);
}

static int open_control(struct session *s, struct obs_reason *why)
{
    const struct session_options *o = s->options;
    struct control_options control = {
        .script = o->script,
        .events = s->events,
        .target = o->url,
        .is_closed_loop = o->engine.is_closed_loop,
    };
    int r;

    if (!o->admin || !*o->admin)
        return 0;
    r = obs_metrics_new("load", OBS_VERSION, &s->metrics);
    if (r == 0)
        r = obs_metrics_add_process(s->metrics);
    if (r == 0)
        r = exposition_new(s->metrics, s->engine, o->script, &s->exposition);
    if (r == 0)
        r = obs_address_parse(o->admin, &s->admin, why);
    control.engine = s->engine;
    control.metrics = s->metrics;
    return r != 0 ? r : control_new(s->base, &control, &s->admin, &s->control, why);
}

static int open_probes(struct session *s, struct obs_reason *why)
{
    const struct session_options *o = s->options;
    struct obs_address catalog, orders;
    struct probes_options probes = {
        .target = o->target,
        .script = o->script,
        .metrics = s->metrics,
        .seed = o->engine.seed,
        .interval_ns = o->probe_interval_ns,
    };
    struct probes *made = NULL;
    int r = 0;

    if (!o->has_probes || !s->metrics)
        return 0;
    if (o->catalog && *o->catalog) {
        r = obs_address_parse(o->catalog, &catalog, why);
        probes.catalog = &catalog;
    }
    if (r == 0 && o->orders && *o->orders) {
        r = obs_address_parse(o->orders, &orders, why);
        probes.orders = &orders;
    }
    if (r == 0)
        r = probes_new(&probes, &made);
    if (r == -ENOTSUP) {
        obs_reason_set(why, "the probes speak plain HTTP only: expected a target without TLS");
        return 1;
    }
    __atomic_store_n(&s->probes, made, __ATOMIC_RELEASE);
    return r;
}

/* One descriptor for each user, and some. */
static int check_files(const struct session *s, struct obs_reason *why)
{
    rlim_t wanted = s->options->engine.users + SPARE_FILES;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return -errno;
    if (limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur >= wanted)
        return 0;
    obs_reason_set(why,
                   "%u users need %llu open files, this process may have %llu: raise it "
                   "(ulimit -n) or take fewer users",
                   s->options->engine.users, (unsigned long long)wanted,
                   (unsigned long long)limit.rlim_cur);
    return 1;
}

/* ---- while it runs ---- */

static void show_progress(const struct session *s, const struct interval *interval)
{
    OBS_CLEANUP(plan_unrefp) struct plan *plan = engine_plan(s->engine);
    char p50[24], p99[24];
    double bad =
        interval->journeys > 0 ? 100 * (double)interval->bad / (double)interval->journeys : 0;

    report_duration((double)interval->p50_ns / 1e6, p50);
    report_duration((double)interval->p99_ns / 1e6, p99);
    fprintf(stderr, "\r\033[K%5.0f s  %.0f/s", interval->t_s,
            (double)interval->journeys / interval->length_s);
    if (!s->options->engine.is_closed_loop)
        fprintf(stderr, " of %.0f/s", plan_rate(plan, obs_mono_ns()));
    fprintf(stderr, "  bad %.2f %%  p50 %s  p99 %s  under way %" PRIu64 "  waiting %" PRIu64, bad,
            p50, p99, s->record->stats->in_flight, s->record->stats->waiting);
    fflush(stderr);
}

static void sample(struct session *s, uint64_t now_ns)
{
    const struct interval *interval;

    if (!s->options->is_recorded || now_ns < s->next_sample_ns)
        return;
    s->next_sample_ns += OBS_NS_PER_SECOND;
    if (s->next_sample_ns <= now_ns) /* this process was stopped for a while */
        s->next_sample_ns = now_ns + OBS_NS_PER_SECOND;
    interval = record_sample(s->record, s->engine, now_ns);
    if (interval && s->options->has_progress)
        show_progress(s, interval);
}

static void on_tick(evutil_socket_t fd, short what, void *userdata)
{
    struct session *s = userdata;

    sample(s, obs_mono_ns());
    if (engine_is_done(s->engine))
        event_base_loopbreak(s->base);
}

static void on_signal(evutil_socket_t fd, short what, void *userdata)
{
    struct session *s = userdata;

    s->signals++;
    if (s->stopped_ns == 0)
        s->stopped_ns = obs_mono_ns();
    engine_stop(s->engine, s->signals == 1 ? STOP_DRAIN_NS : 0);
}

static int open_loop(struct session *s)
{
    struct timeval every = {.tv_usec = TICK_MS * 1000};

    s->tick = event_new(s->base, -1, EV_PERSIST, on_tick, s);
    s->on_int = evsignal_new(s->base, SIGINT, on_signal, s);
    s->on_term = evsignal_new(s->base, SIGTERM, on_signal, s);
    if (!s->tick || !s->on_int || !s->on_term || event_add(s->tick, &every) < 0 ||
        event_add(s->on_int, NULL) < 0 || event_add(s->on_term, NULL) < 0)
        return -ENOMEM;
    return 0;
}

static int open_all(struct session *s, struct obs_reason *why)
{
    int r = check_files(s, why);

    s->base = r == 0 ? event_base_new() : NULL;
    if (r == 0 && !s->base)
        r = -ENOMEM;
    if (r == 0)
        r = open_loop(s);
    if (r == 0)
        r = open_engine(s);
    if (r == 0)
        r = record_new(s->options->script, &s->record);
    if (r == 0)
        r = open_control(s, why);
    if (r == 0)
        r = open_probes(s, why);
    return r;
}

static void close_all(struct session *s)
{
    bool has_socket = s->control && s->admin.socket_address.ss_family == AF_UNIX;

    control_free(s->control);
    if (has_socket)
        unlink(s->admin.text + strlen("unix:"));
    s->engine = engine_free(s->engine); /* its threads report orders to the probes until here */
    probes_free(s->probes);
    obs_metrics_free(s->metrics);
    exposition_free(s->exposition);
    record_free(s->record);
    event_log_free(s->events);
    plan_unref(s->plan);
    pattern_free(s->pattern);
    if (s->tick)
        event_free(s->tick);
    if (s->on_int)
        event_free(s->on_int);
    if (s->on_term)
        event_free(s->on_term);
    if (s->base)
        event_base_free(s->base);
}

static double schedule_length(const struct session *s)
{
    uint64_t began_ns = engine_started_ns(s->engine);

    if (s->stopped_ns > began_ns)
        return (double)(s->stopped_ns - began_ns) / 1e9;
    return (double)s->options->engine.duration_ns / 1e9;
}

int session_run(const struct session_options *options, struct session_result *ret_result,
                struct obs_reason *reterr_reason)
{
    struct session s = {.options = options, .pattern = options->pattern};
    int r = open_all(&s, reterr_reason);

    signal(SIGPIPE, SIG_IGN);
    if (r == 0)
        r = engine_start(s.engine);
    if (r == 0) {
        if (s.control)
            obs_log(OBS_LOG_INFO, "serving", OBS_TEXT("admin", s.admin.text),
                    OBS_TEXT("target", options->url));
        ret_result->began_unix_ns = obs_time_ns();
        s.next_sample_ns = engine_started_ns(s.engine) + OBS_NS_PER_SECOND;
        r = event_base_dispatch(s.base) < 0 ? -EIO : 0;
    }
    if (r == 0) {
        record_finish(s.record, s.engine);
        ret_result->length_s = schedule_length(&s);
        ret_result->engine = s.engine;
        ret_result->record = OBS_TAKE(s.record);
        s.engine = NULL;
        if (options->has_progress)
            fprintf(stderr, "\r\033[K");
    }
    close_all(&s);
    return r;
}

void session_result_done(struct session_result *result)
{
    result->engine = engine_free(result->engine);
    result->record = record_free(result->record);
}
