/*
 * Worker pool: a ring of jobs under one mutex.
 *
 * One mutex is enough: a job here is a request of tens of microseconds or more, the critical
 * sections are a few instructions. Threads keep their slot when they end and are joined by whoever
 * needs the slot next, so no thread outlives the pool.
 */
#include "base/worker_pool.h"

#include "base/clock.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>

#define STACK_BYTES (512 * 1024)

struct job {
    obs_job_fn *fn;
    void *userdata;
    uint64_t submitted_ns;
};

struct slot {
    struct obs_worker_pool *pool;
    pthread_t thread;
    bool is_started; /* must be joined; written by who starts threads */
    bool has_ended;  /* written by the thread itself, under the mutex */
};

struct obs_worker_pool {
    pthread_mutex_t mutex;
    pthread_cond_t has_work;
    char name[16];
    struct job *ring; /* capacity entries; first at `head` */
    size_t capacity, head;
    unsigned running; /* threads that have not decided to end */
    bool is_closing;
    struct obs_worker_pool_stats stats;
    struct slot slots[OBS_WORKERS_MAX];
};

static bool take_job(struct obs_worker_pool *pool, struct job *ret_job)
{
    while (pool->stats.queued == 0 && !pool->is_closing && pool->running <= pool->stats.workers)
        pthread_cond_wait(&pool->has_work, &pool->mutex);
    if (pool->stats.queued == 0 || pool->running > pool->stats.workers)
        return false;
    *ret_job = pool->ring[pool->head];
    pool->head = (pool->head + 1) % pool->capacity;
    pool->stats.queued--;
    pool->stats.wait_ns_sum += obs_mono_ns() - ret_job->submitted_ns;
    return true;
}

static void *work(void *userdata)
{
    struct slot *slot = userdata;
    struct obs_worker_pool *pool = slot->pool;
    struct job job;

    pthread_setname_np(pthread_self(), pool->name);
    pthread_mutex_lock(&pool->mutex);
    while (take_job(pool, &job)) {
        pool->stats.busy++;
        pthread_mutex_unlock(&pool->mutex);
        job.fn(job.userdata);
        pthread_mutex_lock(&pool->mutex);
        pool->stats.busy--;
        pool->stats.done++;
    }
    pool->running--;
    slot->has_ended = true;
    /* This thread may have taken a wake-up meant for one that stays. */
    pthread_cond_signal(&pool->has_work);
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

/* Signals stay with the thread that runs the event loop. */
static int start_thread(struct slot *slot)
{
    sigset_t all, before;
    pthread_attr_t attributes;
    int r;

    sigfillset(&all);
    sigdelset(&all, SIGPROF); /* the profiler samples whoever uses the CPU */
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&slot->thread, &attributes, work, slot);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return -r;
}

/* Start threads up to the wanted number. Called with the mutex held. */
static int start_missing(struct obs_worker_pool *pool)
{
    for (size_t i = 0; i < OBS_WORKERS_MAX && pool->running < pool->stats.workers; i++) {
        struct slot *slot = &pool->slots[i];
        int r;

        if (slot->is_started && !slot->has_ended)
            continue;
        if (slot->is_started)
            pthread_join(slot->thread, NULL); /* past its last use of the mutex, or nearly */
        *slot = (struct slot){.pool = pool};
        r = start_thread(slot);
        if (r < 0)
            return r;
        slot->is_started = true;
        pool->running++;
    }
    return 0;
}

int obs_worker_pool_new(const char *name, unsigned workers, size_t queue_limit,
                        struct obs_worker_pool **ret_pool)
{
    OBS_CLEANUP(obs_worker_pool_freep) struct obs_worker_pool *pool = NULL;
    int r;

    if (workers == 0 || workers > OBS_WORKERS_MAX || queue_limit == 0)
        return -EINVAL;
    pool = calloc(1, sizeof(*pool));
    if (!pool)
        return -ENOMEM;
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->has_work, NULL);
    strncpy(pool->name, name, sizeof(pool->name) - 1);
    r = obs_worker_pool_resize(pool, workers, queue_limit);
    if (r < 0)
        return r;
    *ret_pool = OBS_TAKE(pool);
    return 0;
}

struct obs_worker_pool *obs_worker_pool_free(struct obs_worker_pool *pool)
{
    if (!pool)
        return NULL;
    pthread_mutex_lock(&pool->mutex);
    pool->is_closing = true;
    pthread_cond_broadcast(&pool->has_work);
    pthread_mutex_unlock(&pool->mutex);
    for (size_t i = 0; i < OBS_WORKERS_MAX; i++)
        if (pool->slots[i].is_started)
            pthread_join(pool->slots[i].thread, NULL);
    pthread_cond_destroy(&pool->has_work);
    pthread_mutex_destroy(&pool->mutex);
    free(pool->ring);
    free(pool);
    return NULL;
}

/* The ring grows with the queue rather than to its limit at once. Called with the mutex held. */
static int grow_ring(struct obs_worker_pool *pool)
{
    size_t capacity = pool->capacity ? pool->capacity * 2 : 16;
    struct job *ring = malloc(capacity * sizeof(*ring));

    if (!ring)
        return -ENOMEM;
    for (size_t i = 0; i < pool->stats.queued; i++)
        ring[i] = pool->ring[(pool->head + i) % pool->capacity];
    free(pool->ring);
    pool->ring = ring;
    pool->capacity = capacity;
    pool->head = 0;
    return 0;
}

int obs_worker_pool_submit(struct obs_worker_pool *pool, obs_job_fn *fn, void *userdata)
{
    int r = OBS_WORKER_POOL_OK;

    pthread_mutex_lock(&pool->mutex);
    if (pool->stats.queued >= pool->stats.queue_limit ||
        (pool->stats.queued == pool->capacity && grow_ring(pool) < 0)) {
        pool->stats.refused++;
        r = OBS_WORKER_POOL_FULL;
    } else {
        size_t last = (pool->head + pool->stats.queued) % pool->capacity;

        pool->ring[last] = (struct job){fn, userdata, obs_mono_ns()};
        pool->stats.queued++;
        pthread_cond_signal(&pool->has_work);
    }
    pthread_mutex_unlock(&pool->mutex);
    return r;
}

int obs_worker_pool_resize(struct obs_worker_pool *pool, unsigned workers, size_t queue_limit)
{
    int r;

    if (workers == 0 || workers > OBS_WORKERS_MAX || queue_limit == 0)
        return -EINVAL;
    pthread_mutex_lock(&pool->mutex);
    pool->stats.workers = workers;
    pool->stats.queue_limit = queue_limit;
    r = start_missing(pool);
    pthread_cond_broadcast(&pool->has_work);
    pthread_mutex_unlock(&pool->mutex);
    return r;
}

void obs_worker_pool_stats(struct obs_worker_pool *pool, struct obs_worker_pool_stats *ret_stats)
{
    pthread_mutex_lock(&pool->mutex);
    *ret_stats = pool->stats;
    pthread_mutex_unlock(&pool->mutex);
}
