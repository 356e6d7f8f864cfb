/* What a service tells of itself, and how its settings reach the skeleton's own parts. */
#include "base/file.h"
#include "base/log.h"
#include "otel/profiler.h"
#include "shop/service/service_internal.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- settings ---- */

void service_settings_apply(struct service *s, const struct obs_settings_view *view)
{
    const struct service_definition *d = s->definition;
    const char *version = obs_setting_text(view, SERVICE_ROW_VERSION);
    enum obs_log_level level = OBS_LOG_INFO;

    if (d->row_log_level != SIZE_MAX) {
        (void)obs_log_level_parse(obs_setting_text(view, d->row_log_level), &level);
        obs_log_set_level(level);
    }
    obs_log_set_version(version);
    obs_metrics_set_version(s->telemetry.metrics, version);
    obs_tracer_set_version(s->telemetry.tracer, version);
    obs_profiler_set_version(version);
    if (d->row_trace_ratio != SIZE_MAX)
        obs_tracer_set_ratio(s->telemetry.tracer, obs_setting_number(view, d->row_trace_ratio));
    if (d->row_workers != SIZE_MAX) {
        int r = obs_worker_pool_resize(s->pool, (unsigned)obs_setting_int(view, d->row_workers),
                                       (size_t)obs_setting_int(view, d->row_queue_limit));
        if (r < 0)
            obs_log(OBS_LOG_ERROR, "worker pool could not be resized, ignoring",
                    OBS_TEXT("error", strerror(-r)));
    }
}

static int check_settings(const struct obs_settings_view *next, void *userdata,
                          struct obs_reason *reterr_reason)
{
    struct service *s = userdata;

    return s->definition->check ? s->definition->check(next, reterr_reason) : 0;
}

static void settings_changed(const struct obs_settings_view *view, void *userdata)
{
    struct service *s = userdata;

    service_settings_apply(s, view);
    if (s->definition->changed)
        s->definition->changed(s->state, view);
    obs_log(OBS_LOG_INFO, "settings changed",
            OBS_TEXT("settings.version", obs_setting_text(view, SERVICE_ROW_VERSION)));
}

void service_settings_watch(struct service *s)
{
    obs_settings_on_change(s->settings, check_settings, settings_changed, s);
}

int service_settings_open(struct service *s, const char *folder, struct obs_reason *reterr_reason)
{
    int r = 0;

    if (*folder != '\0') {
        r = obs_file_mkdirs(folder, 0700);
        if (r < 0) {
            obs_reason_set(reterr_reason, "cannot make folder %s: %s", folder, strerror(-r));
            return r;
        }
        if ((size_t)snprintf(s->settings_path, sizeof(s->settings_path), "%s/settings.json",
                             folder) >= sizeof(s->settings_path)) {
            obs_reason_set(reterr_reason, "--state %s is too long", folder);
            return -ENAMETOOLONG;
        }
    }
    r = obs_settings_open(s->definition->settings, *folder != '\0' ? s->settings_path : NULL,
                          &s->settings, reterr_reason);
    return r > 0 ? -EINVAL : r;
}

/* ---- telemetry ---- */

static void collect_pool(struct obs_metrics *metrics, void *userdata)
{
    struct service *s = userdata;
    struct obs_worker_pool_stats stats;

    obs_worker_pool_stats(s->pool, &stats);
    obs_gauge_set(obs_metric_only(obs_metrics_named(metrics, OBS_APP_WORKER_LIMIT)), stats.workers);
    obs_gauge_set(obs_metric_only(obs_metrics_named(metrics, OBS_APP_WORKERS_BUSY)), stats.busy);
    obs_gauge_set(obs_metric_only(obs_metrics_named(metrics, OBS_APP_QUEUE_LENGTH)),
                  (double)stats.queued);
    obs_gauge_set(obs_metric_only(obs_metrics_named(metrics, OBS_APP_QUEUE_LIMIT)),
                  (double)stats.queue_limit);
    obs_counter_set(obs_metric_only(obs_metrics_named(metrics, OBS_APP_QUEUE_REFUSED)),
                    (double)stats.refused);
    obs_counter_set(obs_metric_only(obs_metrics_named(metrics, OBS_LOG_LINES_DROPPED)),
                    (double)obs_log_dropped());
    if (s->telemetry.tracer) {
        struct obs_tracer_stats spans;

        obs_tracer_stats(s->telemetry.tracer, &spans);
        obs_counter_set(obs_metric_only(obs_metrics_named(metrics, OBS_OTEL_SPANS_EXPORTED)),
                        (double)spans.exported);
        obs_counter_set(obs_metric_only(obs_metrics_named(metrics, OBS_OTEL_SPANS_DROPPED)),
                        (double)spans.dropped);
    }
}

static void observe_enter(struct obs_http_request *request, void *userdata)
{
    struct service *s = userdata;
    const struct obs_http_observer *inner = obs_http_instrument_observer(s->instrument);

    inner->enter(request, inner->userdata);
    obs_histogram_observe(s->queue_wait, (double)obs_http_waited_ns(request) / 1e9,
                          obs_trace_current());
}

static void observe_begin(struct obs_http_request *request, void *userdata)
{
    struct service *s = userdata;
    const struct obs_http_observer *inner = obs_http_instrument_observer(s->instrument);

    inner->begin(request, inner->userdata);
}

static void observe_leave(struct obs_http_request *request, void *userdata)
{
    struct service *s = userdata;
    const struct obs_http_observer *inner = obs_http_instrument_observer(s->instrument);

    inner->leave(request, inner->userdata);
}

static void observe_end(struct obs_http_request *request, void *userdata)
{
    struct service *s = userdata;
    const struct obs_http_observer *inner = obs_http_instrument_observer(s->instrument);

    inner->end(request, inner->userdata);
}

int service_telemetry_start(struct service *s, const char *const *args,
                            struct obs_reason *reterr_reason)
{
    const struct service_definition *d = s->definition;
    const struct obs_settings_view *view = obs_settings_acquire(s->settings);
    const char *version = obs_setting_text(view, SERVICE_ROW_VERSION);
    struct obs_tracer_options tracing = {
        .service = d->name,
        .version = version,
        .resource = args[ARG_RESOURCE],
        .endpoint = args[ARG_OTLP],
        .sample_ratio =
            d->row_trace_ratio != SIZE_MAX ? obs_setting_number(view, d->row_trace_ratio) : 1.0,
    };
    int r;

    obs_log_setup(d->name, version, OBS_LOG_INFO);
    r = obs_metrics_new(d->name, version, &s->telemetry.metrics);
    if (r == 0)
        r = obs_metrics_add_process(s->telemetry.metrics);
    if (r == 0)
        r = obs_metrics_on_collect(s->telemetry.metrics, collect_pool, s);
    if (r == 0)
        r = obs_tracer_new(&tracing, &s->telemetry.tracer);
    if (r == 0)
        r = obs_http_instrument_new(&s->telemetry, true, &s->instrument);
    obs_settings_release(view);
    if (r < 0) {
        obs_reason_set(reterr_reason, "telemetry cannot start (--otlp-endpoint \"%s\"): %s",
                       args[ARG_OTLP], strerror(-r));
        return r;
    }
    s->queue_wait = obs_metric_only(obs_metrics_named(s->telemetry.metrics, OBS_APP_QUEUE_WAIT));
    s->observer = (struct obs_http_observer){.begin = observe_begin,
                                             .enter = observe_enter,
                                             .leave = observe_leave,
                                             .end = observe_end,
                                             .userdata = s};
    return 0;
}

/* A service without its profiler still serves: say so and go on. */
void service_profiler_start(struct service *s, const char *const *args)
{
    struct obs_profiler_options options = {.service = s->definition->name,
                                           .endpoint = args[ARG_PROFILES]};
    const struct obs_settings_view *view = obs_settings_acquire(s->settings);
    int r = obs_profiler_start(&options);

    obs_profiler_set_version(obs_setting_text(view, SERVICE_ROW_VERSION));
    obs_settings_release(view);
    if (r < 0)
        obs_log(OBS_LOG_WARN, "profiler could not start, ignoring",
                OBS_TEXT("error", strerror(-r)));
}
