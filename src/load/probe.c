#include "load/probe.h"
#include "base/clock.h"
#include "base/log.h"
#include "load/probe_internal.h"
#include "otel/names.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TIMEOUT_MS 2000

/* Refused access between workloads (authz_negative) comes with the mesh. */
static const struct {
    const char *name;
    void (*run)(struct probe *p);
} PROBES[] = {
    {"price_consistency", probe_prices_run},
    {"order_conservation", probe_orders_run},
    {"uncached_search", probe_search_run},
};

void probe_check(struct probe *p, bool holds, const char *detail)
{
    obs_counter_add(p->checks, 1);
    if (holds)
        return;
    obs_counter_add(p->failures, 1);
    obs_log(OBS_LOG_WARN, "an answer is not what it must be", OBS_TEXT("probe", p->name),
            OBS_TEXT("detail", detail));
}

void probe_error(struct probe *p)
{
    obs_counter_add(p->errors, 1);
}

int probe_get(struct probe *p, struct obs_http_client *client, const char *target, bool is_timed,
              json_t **ret_json)
{
    OBS_HTTP_REPLY reply = {0};
    struct obs_http_call call = {.method = "GET", .target = target, .timeout_ms = TIMEOUT_MS};
    uint64_t began_ns = obs_mono_ns();
    int r = obs_http_client_call(client, &call, &reply);

    if (is_timed)
        obs_gauge_set(p->duration, (double)(obs_mono_ns() - began_ns) / 1e9);
    if (r < 0)
        return 0;
    if (reply.body.data)
        (void)obs_json_parse(reply.body.data, reply.body.size, ret_json, NULL);
    return reply.status;
}

bool probe_sleep(struct probes *probes, uint64_t duration_ns)
{
    uint64_t until_ns = obs_mono_ns() + duration_ns;
    struct timespec until = {(time_t)(until_ns / OBS_NS_PER_SECOND),
                             (long)(until_ns % OBS_NS_PER_SECOND)};
    bool is_stopping;

    pthread_mutex_lock(&probes->lock);
    while (!probes->is_stopping &&
           pthread_cond_timedwait(&probes->wake, &probes->lock, &until) != ETIMEDOUT)
        ;
    is_stopping = probes->is_stopping;
    pthread_mutex_unlock(&probes->lock);
    return !is_stopping;
}

void probe_draw(struct probes *probes, const char *name, const char *standard, char *out,
                size_t size)
{
    const struct variable_table *table = &probes->options.script->variables;
    int index = variable_find(table, name, strlen(name));
    struct variable_values values = {.seed = rng_next(&probes->rng)};
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer b = OBS_BUFFER_INIT(256);

    snprintf(out, size, "%s", standard);
    if (index < 0 || table->variables[index].kind == VARIABLE_EXTRACTED)
        return;
    if (variable_emit(table, (unsigned)index, &values, VARIABLE_IN_TARGET, &b) == 0 && b.size > 0)
        snprintf(out, size, "%s", b.data);
}

static void *run(void *userdata)
{
    struct probes *probes = userdata;

    while (probe_sleep(probes, probes->options.interval_ns)) {
        for (size_t i = 0; i < OBS_COUNT(PROBES); i++)
            PROBES[i].run(&probes->list[i]);
        pthread_mutex_lock(&probes->lock);
        probes->rounds++;
        pthread_mutex_unlock(&probes->lock);
    }
    return NULL;
}

unsigned probes_rounds(struct probes *probes)
{
    unsigned rounds;

    pthread_mutex_lock(&probes->lock);
    rounds = probes->rounds;
    pthread_mutex_unlock(&probes->lock);
    return rounds;
}

void probes_add_order(struct probes *probes, const char *order_id)
{
    pthread_mutex_lock(&probes->lock);
    if (probes->pending_count < PROBE_ORDERS_MAX && strlen(order_id) < PROBE_ORDER_ID_MAX) {
        struct probe_order *order = &probes->pending[probes->pending_count++];

        *order = (struct probe_order){.accepted_ns = obs_mono_ns()};
        snprintf(order->id, sizeof(order->id), "%s", order_id);
    }
    pthread_mutex_unlock(&probes->lock);
}

static struct obs_metric_series *series(struct probes *probes, enum obs_metric_name metric,
                                        const char *probe)
{
    struct obs_metric_family *family = obs_metrics_named(probes->options.metrics, metric);

    return family ? obs_metric_series(family, (const char *const[]){probe}) : NULL;
}

static int make_list(struct probes *probes)
{
    probes->list = calloc(OBS_COUNT(PROBES), sizeof(*probes->list));
    if (!probes->list)
        return -ENOMEM;
    for (size_t i = 0; i < OBS_COUNT(PROBES); i++) {
        struct probe *p = &probes->list[i];

        *p = (struct probe){
            .probes = probes,
            .name = PROBES[i].name,
            .checks = series(probes, OBS_PROBE_CHECKS, PROBES[i].name),
            .failures = series(probes, OBS_PROBE_FAILURES, PROBES[i].name),
            .errors = series(probes, OBS_PROBE_ERRORS, PROBES[i].name),
        };
        /* Only one is about time; a duration of 0 for the others would be a lie. */
        if (PROBES[i].run == probe_search_run)
            p->duration = series(probes, OBS_PROBE_DURATION, PROBES[i].name);
        if (!p->checks || !p->failures || !p->errors)
            return -ENOMEM;
    }
    return 0;
}

static int open_operator(const struct obs_address *address, struct obs_http_client **ret_client)
{
    struct obs_http_client_options options = {0};

    if (!address)
        return 0;
    options.address = *address;
    return obs_http_client_new(&options, ret_client);
}

static int open_clients(struct probes *probes)
{
    struct obs_http_client_options options = {.address = probes->options.target->address};
    int r;

    snprintf(options.host, sizeof(options.host), "%.127s", probes->options.target->host);
    r = obs_http_client_new(&options, &probes->target);
    if (r == 0)
        r = open_operator(probes->options.catalog, &probes->catalog);
    return r == 0 ? open_operator(probes->options.orders, &probes->orders) : r;
}

static void init_wake(struct probes *probes)
{
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&probes->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&probes->lock, NULL);
}

int probes_new(const struct probes_options *options, struct probes **ret_probes)
{
    struct probes *probes;
    int r;

    if (options->target->tls)
        return -ENOTSUP;
    probes = calloc(1, sizeof(*probes));
    if (!probes)
        return -ENOMEM;
    probes->options = *options;
    if (probes->options.interval_ns == 0)
        probes->options.interval_ns = 5 * OBS_NS_PER_SECOND;
    if (probes->options.grace_ns == 0)
        probes->options.grace_ns = OBS_NS_PER_SECOND;
    if (probes->options.order_limit_ns == 0)
        probes->options.order_limit_ns = 600 * OBS_NS_PER_SECOND;
    rng_init(&probes->rng, options->seed ^ 0x70726f6265ULL);
    init_wake(probes);
    probes->pending = calloc(PROBE_ORDERS_MAX, sizeof(*probes->pending));
    r = probes->pending ? make_list(probes) : -ENOMEM;
    if (r == 0)
        r = open_clients(probes);
    if (r == 0)
        r = -pthread_create(&probes->thread, NULL, run, probes);
    probes->has_thread = r == 0;
    if (r < 0) {
        probes_free(probes);
        return r;
    }
    *ret_probes = probes;
    return 0;
}

struct probes *probes_free(struct probes *probes)
{
    if (!probes)
        return NULL;
    pthread_mutex_lock(&probes->lock);
    probes->is_stopping = true;
    pthread_cond_signal(&probes->wake);
    pthread_mutex_unlock(&probes->lock);
    if (probes->has_thread)
        pthread_join(probes->thread, NULL);
    obs_http_client_free(probes->target);
    obs_http_client_free(probes->catalog);
    obs_http_client_free(probes->orders);
    pthread_mutex_destroy(&probes->lock);
    pthread_cond_destroy(&probes->wake);
    free(probes->pending);
    free(probes->list);
    free(probes);
    return NULL;
}
