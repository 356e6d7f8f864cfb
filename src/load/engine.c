#include "load/engine.h"
#include "base/clock.h"
#include "load/worker.h"
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#define CHANGE_AHEAD_NS (20 * OBS_NS_PER_MS) /* time for a change to reach every thread */

struct engine {
    struct engine_options options;
    struct worker *workers; /* [options.threads] */
    unsigned worker_count;  /* initialised */
    uint64_t started_ns;
    unsigned running; /* atomic: threads that have not ended */
    pthread_mutex_t lock;
    struct plan *plan; /* under the lock */
    double *cpu_s;     /* of threads that have ended; under the lock */
};

static unsigned usable_cores(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof(set), &set) < 0 || CPU_COUNT(&set) < 1)
        return 1;
    return (unsigned)CPU_COUNT(&set);
}

static int make_workers(struct engine *engine)
{
    unsigned threads = engine->options.threads, users = engine->options.users;
    uint32_t next_user = 1;

    engine->workers = calloc(threads, sizeof(*engine->workers));
    engine->cpu_s = calloc(threads, sizeof(*engine->cpu_s));
    if (!engine->workers || !engine->cpu_s)
        return -ENOMEM;
    for (unsigned i = 0; i < threads; i++) {
        unsigned share = users / threads + (i < users % threads ? 1 : 0);
        int r;

        engine->worker_count++;
        r = worker_init(&engine->workers[i], engine, &engine->options, i, share, next_user);
        if (r < 0)
            return r;
        next_user += share;
    }
    return 0;
}

int engine_new(const struct engine_options *options, struct engine **ret_engine)
{
    OBS_CLEANUP(engine_freep) struct engine *engine = calloc(1, sizeof(*engine));
    struct engine_options *o;
    int r;

    if (!engine)
        return -ENOMEM;
    pthread_mutex_init(&engine->lock, NULL);
    engine->options = *options;
    o = &engine->options;
    if (o->users == 0)
        return -EINVAL;
    if (o->threads == 0)
        o->threads = usable_cores();
    if (o->threads > o->users)
        o->threads = o->users;
    if (o->late_after_ns == 0)
        o->late_after_ns = 10 * OBS_NS_PER_MS;
    if (o->drop_after_ns == 0)
        o->drop_after_ns = 30 * OBS_NS_PER_SECOND;
    if (o->drain_ns == 0)
        o->drain_ns = 30 * OBS_NS_PER_SECOND;
    if (o->waiting_max == 0)
        o->waiting_max = 1000000;
    engine->plan = plan_ref(options->first_plan);
    r = make_workers(engine);
    if (r < 0)
        return r;
    *ret_engine = OBS_TAKE(engine);
    return 0;
}

static void *run_worker(void *worker)
{
    struct worker *w = worker;
    struct timespec cpu;
    char name[16];

    snprintf(name, sizeof(name), "load-%u", w->index);
    pthread_setname_np(pthread_self(), name);
    worker_main(w);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
    pthread_mutex_lock(&w->engine->lock);
    w->engine->cpu_s[w->index] = (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9;
    pthread_mutex_unlock(&w->engine->lock);
    __atomic_sub_fetch(&w->engine->running, 1, __ATOMIC_RELEASE);
    return NULL;
}

int engine_start(struct engine *engine)
{
    const struct engine_options *o = &engine->options;

    engine->started_ns = obs_mono_ns() + 5 * OBS_NS_PER_MS; /* time for all threads to begin */
    engine->plan->start_ns = engine->started_ns;
    for (unsigned i = 0; i < engine->worker_count; i++) {
        struct worker *w = &engine->workers[i];
        int r;

        w->end_ns = o->duration_ns ? engine->started_ns + o->duration_ns : UINT64_MAX;
        w->drain_ns = o->duration_ns ? w->end_ns + o->drain_ns : UINT64_MAX;
        __atomic_add_fetch(&engine->running, 1, __ATOMIC_RELAXED);
        r = pthread_create(&w->thread, NULL, run_worker, w);
        if (r != 0) {
            __atomic_sub_fetch(&engine->running, 1, __ATOMIC_RELAXED);
            return -r;
        }
        w->has_thread = true;
    }
    return 0;
}

bool engine_is_done(const struct engine *engine)
{
    return __atomic_load_n(&engine->running, __ATOMIC_ACQUIRE) == 0;
}

void engine_stop(struct engine *engine, uint64_t drain_ns)
{
    uint64_t now_ns = obs_mono_ns();

    for (unsigned i = 0; i < engine->worker_count; i++) {
        struct worker *w = &engine->workers[i];

        pthread_mutex_lock(&w->inbox_lock);
        w->stop_ns = now_ns;
        w->stop_drain_ns = drain_ns;
        __atomic_store_n(&w->has_inbox, true, __ATOMIC_RELEASE);
        pthread_mutex_unlock(&w->inbox_lock);
        worker_wake(w);
    }
}

struct engine *engine_free(struct engine *engine)
{
    if (!engine)
        return NULL;
    engine_stop(engine, 0);
    for (unsigned i = 0; i < engine->worker_count; i++) {
        if (engine->workers[i].has_thread)
            pthread_join(engine->workers[i].thread, NULL);
        worker_done(&engine->workers[i]);
    }
    free(engine->workers);
    free(engine->cpu_s);
    plan_unref(engine->plan);
    pthread_mutex_destroy(&engine->lock);
    free(engine);
    return NULL;
}

struct plan *engine_plan(struct engine *engine)
{
    struct plan *plan;

    pthread_mutex_lock(&engine->lock);
    plan = plan_ref(engine->plan);
    pthread_mutex_unlock(&engine->lock);
    return plan;
}

int engine_change(struct engine *engine, const json_t *json, bool is_replacement,
                  struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(plan_unrefp) struct plan *old = engine_plan(engine);
    struct plan *plan = NULL;
    uint64_t now_ns = obs_mono_ns();
    int r;

    if (now_ns < old->start_ns) /* the change before is not yet in force */
        obs_sleep_ns(old->start_ns - now_ns);
    r = plan_change(engine->options.script, old, json, is_replacement,
                    obs_mono_ns() + CHANGE_AHEAD_NS, &plan, reterr_reason);
    if (r != 0)
        return r;
    for (unsigned i = 0; i < engine->worker_count; i++) {
        struct worker *w = &engine->workers[i];

        pthread_mutex_lock(&w->inbox_lock);
        plan_unref(w->inbox_plan);
        w->inbox_plan = plan_ref(plan);
        __atomic_store_n(&w->has_inbox, true, __ATOMIC_RELEASE);
        pthread_mutex_unlock(&w->inbox_lock);
        worker_wake(w);
    }
    pthread_mutex_lock(&engine->lock);
    plan_unref(engine->plan);
    engine->plan = plan;
    pthread_mutex_unlock(&engine->lock);
    return 0;
}

void engine_stats(struct engine *engine, struct stats *into)
{
    stats_clear(into);
    for (unsigned i = 0; i < engine->worker_count; i++)
        stats_add(into, engine->workers[i].stats);
}

uint64_t engine_started_ns(const struct engine *engine)
{
    return engine->started_ns;
}

unsigned engine_threads(const struct engine *engine)
{
    return engine->worker_count;
}

void engine_cpu(struct engine *engine, double *seconds)
{
    pthread_mutex_lock(&engine->lock);
    for (unsigned i = 0; i < engine->worker_count; i++) {
        struct worker *w = &engine->workers[i];
        struct timespec cpu;
        clockid_t clock;

        seconds[i] = engine->cpu_s[i];
        if (seconds[i] == 0 && w->has_thread && pthread_getcpuclockid(w->thread, &clock) == 0 &&
            clock_gettime(clock, &cpu) == 0)
            seconds[i] = (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9;
    }
    pthread_mutex_unlock(&engine->lock);
}
