#pragma once
/* Worker: one thread of the engine, and what it shares with its virtual users. Internal. */
#include "load/engine.h"
#include "load/timers.h"
#include "load/user.h"
#include <pthread.h>

#define WORKER_SCRATCH (64 << 10)

struct waiting_arrival {
    uint64_t index, due_ns;
};

struct worker {
    struct engine *engine;
    const struct engine_options *options;
    unsigned index;
    pthread_t thread;
    bool has_thread;

    int epoll_fd, wake_fd;
    uint64_t now_ns; /* of the event that is being handled */
    struct timers timers;
    struct stats *stats;
    unsigned first_step[SCRIPT_JOURNEYS_MAX]; /* first step of each journey in stats */
    struct rng rng;                           /* ids of traces and spans */

    /* Users, and those without a journey in the order in which they became free. */
    struct user *users;
    unsigned user_count;
    struct user *free_first, *free_last;
    unsigned free_count;

    /* The schedule of the plan in force; `next` is its first arrival not yet taken. */
    struct plan *plan, *next_plan;
    struct schedule schedule;
    struct arrival next;
    bool has_next;
    uint64_t next_due_ns;
    uint64_t closed_index; /* closed loop: journeys begun */

    /* Arrivals that wait for a user: a ring. */
    struct waiting_arrival *ring;
    size_t ring_size, ring_first, ring_count;

    uint64_t end_ns;   /* no arrival from here on */
    uint64_t drain_ns; /* what still runs then is cut; UINT64_MAX: not yet known */

    /* Inbox: written by other threads. */
    pthread_mutex_t inbox_lock;
    struct plan *inbox_plan;
    bool has_inbox;                  /* atomic */
    uint64_t stop_ns, stop_drain_ns; /* under the lock; 0: not asked to stop */

    struct obs_http1_head head; /* scratch of the parser */
    struct obs_buffer request, body;
    char scratch[WORKER_SCRATCH];
};

int worker_init(struct worker *w, struct engine *engine, const struct engine_options *options,
                unsigned index, unsigned user_count, uint32_t first_user);
void worker_done(struct worker *w);
void *worker_main(void *worker); /* for pthread_create() */
void worker_wake(struct worker *w);

/* From users, in the worker's thread. */
void worker_user_free(struct worker *w, struct user *user, bool is_failed);

static inline const struct journey *worker_journey(const struct worker *w, const struct user *user)
{
    return &w->options->script->journeys[user->journey];
}

static inline const struct step *worker_step(const struct worker *w, const struct user *user)
{
    return &worker_journey(w, user)->steps[user->step];
}
