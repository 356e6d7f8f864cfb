#pragma once
/*
 * Worker pool: N threads that run blocking jobs from one bounded queue, first in first out.
 *
 * Queue length, busy threads and waiting time can be read at any time, so saturation shows. The
 * number of threads and the queue limit change while jobs run; no job is lost by that.
 */
#include "base/cleanup.h"
#include <stddef.h>
#include <stdint.h>

struct obs_worker_pool;

typedef void obs_job_fn(void *userdata);

enum obs_worker_pool_outcome {
    OBS_WORKER_POOL_OK = 0,
    OBS_WORKER_POOL_FULL = 1, /* the queue is at its limit; the job was not taken */
};

struct obs_worker_pool_stats {
    unsigned workers; /* threads wanted */
    unsigned busy;    /* threads inside a job */
    size_t queued;    /* jobs waiting */
    size_t queue_limit;
    uint64_t done;        /* jobs finished since start */
    uint64_t refused;     /* jobs refused because the queue was full */
    uint64_t wait_ns_sum; /* waiting time of all jobs taken from the queue */
};

#define OBS_WORKERS_MAX 256

/* @name: thread name (at most 15 bytes show). Return: 0, -EINVAL (workers 0 or over
 * OBS_WORKERS_MAX), -ENOMEM, -EAGAIN. */
int obs_worker_pool_new(const char *name, unsigned workers, size_t queue_limit,
                        struct obs_worker_pool **ret_pool);
/* Finish what is queued, then join all threads. */
struct obs_worker_pool *obs_worker_pool_free(struct obs_worker_pool *pool);

/* Any thread. Return: 0, OBS_WORKER_POOL_FULL. */
int obs_worker_pool_submit(struct obs_worker_pool *pool, obs_job_fn *fn, void *userdata);

/* Threads over the number end after their current job. */
int obs_worker_pool_resize(struct obs_worker_pool *pool, unsigned workers, size_t queue_limit);
void obs_worker_pool_stats(struct obs_worker_pool *pool, struct obs_worker_pool_stats *ret_stats);
OBS_DEFINE_CLEANUP(struct obs_worker_pool *, obs_worker_pool_free)
