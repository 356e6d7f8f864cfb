#include "load/worker.h"
#include "base/clock.h"
#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>

#define EVENTS_MAX 256
#define ARRIVALS_PER_TURN 256 /* then replies are read again */
#define REQUEST_MAX (4 << 20)
#define FAILED_PAUSE_NS 10000000ULL /* closed loop: before the next try when nothing answers */

enum { DRAW_JOURNEY = 1, DRAW_SEED };

/* ---- making ---- */

void worker_done(struct worker *w)
{
    for (unsigned i = 0; w->users && i < w->user_count; i++)
        user_done(&w->users[i], w->options->script->variables.slot_count);
    free(w->users);
    free(w->ring);
    plan_unref(w->plan);
    plan_unref(w->next_plan);
    plan_unref(w->inbox_plan);
    stats_free(w->stats);
    obs_buffer_done(&w->request);
    obs_buffer_done(&w->body);
    if (w->epoll_fd >= 0)
        close(w->epoll_fd);
    if (w->wake_fd >= 0)
        close(w->wake_fd);
    pthread_mutex_destroy(&w->inbox_lock);
}

static void push_free(struct worker *w, struct user *user)
{
    user->next = NULL;
    if (w->free_last)
        w->free_last->next = user;
    else
        w->free_first = user;
    w->free_last = user;
    w->free_count++;
}

static struct user *pop_free(struct worker *w)
{
    struct user *user = w->free_first;

    w->free_first = user->next;
    if (!w->free_first)
        w->free_last = NULL;
    w->free_count--;
    return user;
}

int worker_init(struct worker *w, struct engine *engine, const struct engine_options *options,
                unsigned index, unsigned user_count, uint32_t first_user)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    int r;

    w->engine = engine;
    w->options = options;
    w->index = index;
    w->epoll_fd = w->wake_fd = -1;
    pthread_mutex_init(&w->inbox_lock, NULL);
    w->request = OBS_BUFFER_INIT(REQUEST_MAX);
    w->body = OBS_BUFFER_INIT(REQUEST_MAX);
    w->plan = plan_ref(options->first_plan);
    w->users = calloc(user_count, sizeof(*w->users));
    if (!w->users)
        return -ENOMEM;
    w->user_count = user_count;
    for (unsigned i = 0; i < user_count; i++) {
        user_init(&w->users[i], first_user + i);
        push_free(w, &w->users[i]);
    }
    for (unsigned i = 1; i < options->script->journey_count; i++)
        w->first_step[i] = w->first_step[i - 1] + options->script->journeys[i - 1].step_count;
    r = stats_new(options->script, &w->stats);
    if (r < 0)
        return r;
    w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (w->epoll_fd < 0 || w->wake_fd < 0 ||
        epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, w->wake_fd, &event) < 0)
        return -errno;
    return 0;
}

void worker_wake(struct worker *w)
{
    uint64_t one = 1;

    (void)!write(w->wake_fd, &one, sizeof(one));
}

/* ---- the schedule ---- */

static void take_next(struct worker *w)
{
    const struct plan *plan = w->plan;
    double after_s;

    w->has_next = !plan->is_paused && !w->options->is_closed_loop &&
                  schedule_next(&w->schedule, &w->next) == SCHEDULE_OK;
    if (!w->has_next)
        return;
    after_s = w->next.t_s - plan->from_s;
    w->next_due_ns = plan->start_ns + (uint64_t)(after_s > 0 ? llround(after_s * 1e9) : 0);
}

static uint64_t plan_seed(const struct worker *w)
{
    uint64_t seed = w->options->seed;

    return w->plan->sequence == 1 ? seed : rng_at(seed, w->plan->sequence);
}

static void begin_plan(struct worker *w)
{
    schedule_init(&w->schedule, w->plan->pattern, w->options->script->arrivals, w->plan->scale,
                  w->plan->from_s, plan_seed(w), w->index, w->options->threads);
    take_next(w);
}

static void set_in_flight(struct worker *w)
{
    __atomic_store_n(&w->stats->in_flight, w->user_count - w->free_count, __ATOMIC_RELAXED);
    __atomic_store_n(&w->stats->waiting, w->ring_count, __ATOMIC_RELAXED);
}

static void begin_journey(struct worker *w, struct user *user, uint64_t index, uint64_t due_ns)
{
    /* All that an arrival does is drawn from its number. */
    uint64_t seed = rng_at(plan_seed(w), index);
    unsigned journey = plan_pick(w->plan, rng_to_unit(rng_at(seed, DRAW_JOURNEY)));

    if (w->now_ns > due_ns + w->options->late_after_ns)
        stats_count(&w->stats->late, 1);
    else
        stats_count(&w->stats->sent, 1);
    user_begin(w, user, journey, index, rng_at(seed, DRAW_SEED), due_ns);
}

static bool grow_ring(struct worker *w)
{
    size_t size = w->ring_size ? w->ring_size * 2 : 256;
    struct waiting_arrival *ring;

    if (w->ring_count >= w->options->waiting_max / w->options->threads)
        return false;
    ring = calloc(size, sizeof(*ring));
    if (!ring)
        return false;
    for (size_t i = 0; i < w->ring_count; i++)
        ring[i] = w->ring[(w->ring_first + i) % w->ring_size];
    free(w->ring);
    w->ring = ring;
    w->ring_size = size;
    w->ring_first = 0;
    return true;
}

static void wait_in_ring(struct worker *w, uint64_t index, uint64_t due_ns)
{
    if (w->ring_count == w->ring_size && !grow_ring(w)) {
        stats_count(&w->stats->dropped, 1);
        return;
    }
    w->ring[(w->ring_first + w->ring_count++) % w->ring_size] =
        (struct waiting_arrival){index, due_ns};
}

static struct waiting_arrival pop_ring(struct worker *w)
{
    struct waiting_arrival first = w->ring[w->ring_first];

    w->ring_first = (w->ring_first + 1) % w->ring_size;
    w->ring_count--;
    return first;
}

/* Arrivals that have waited too long are at the front. */
static void drop_stale(struct worker *w)
{
    while (w->ring_count > 0 &&
           w->ring[w->ring_first].due_ns + w->options->drop_after_ns < w->now_ns) {
        pop_ring(w);
        stats_count(&w->stats->dropped, 1);
    }
}

static void arrive(struct worker *w, uint64_t index, uint64_t due_ns)
{
    stats_count(&w->stats->scheduled, 1);
    if (w->ring_count == 0 && w->free_first)
        begin_journey(w, pop_free(w), index, due_ns);
    else
        wait_in_ring(w, index, due_ns);
}

/* All arrivals due before @until_ns, at most @count. */
static void take_arrivals(struct worker *w, uint64_t until_ns, unsigned count)
{
    while (w->has_next && w->next_due_ns < until_ns && count-- > 0) {
        uint64_t index = w->next.index, due_ns = w->next_due_ns;

        take_next(w);
        arrive(w, index, due_ns);
    }
}

static void begin_closed(struct worker *w, struct user *user, uint64_t due_ns)
{
    uint64_t index = w->closed_index++ * w->options->threads + w->index;

    stats_count(&w->stats->scheduled, 1);
    begin_journey(w, user, index, due_ns);
}

static bool is_closed_running(const struct worker *w)
{
    return w->options->is_closed_loop && w->now_ns < w->end_ns && !w->plan->is_paused;
}

void worker_user_free(struct worker *w, struct user *user, bool is_failed)
{
    if (is_closed_running(w)) {
        begin_closed(w, user, w->now_ns + (is_failed ? FAILED_PAUSE_NS : 0));
        return;
    }
    push_free(w, user);
    drop_stale(w);
    if (w->ring_count > 0) {
        struct waiting_arrival first = pop_ring(w);

        begin_journey(w, pop_free(w), first.index, first.due_ns);
    }
}

/* ---- plans and the inbox ---- */

static void switch_plan(struct worker *w)
{
    take_arrivals(w, w->next_plan->start_ns < w->end_ns ? w->next_plan->start_ns : w->end_ns,
                  UINT32_MAX);
    plan_unref(w->plan);
    w->plan = OBS_TAKE(w->next_plan);
    begin_plan(w);
}

static void read_inbox(struct worker *w)
{
    struct plan *plan;
    uint64_t stop_ns, drain_ns;

    pthread_mutex_lock(&w->inbox_lock);
    plan = OBS_TAKE(w->inbox_plan);
    stop_ns = w->stop_ns;
    drain_ns = w->stop_drain_ns;
    w->stop_ns = 0;
    __atomic_store_n(&w->has_inbox, false, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&w->inbox_lock);
    if (plan) {
        if (w->next_plan)
            switch_plan(w);
        w->next_plan = plan;
    }
    if (stop_ns && stop_ns < w->end_ns)
        w->end_ns = stop_ns;
    if (stop_ns)
        w->drain_ns = w->end_ns + drain_ns;
}

/* ---- the loop ---- */

static void on_timer(struct timer *timer, void *userdata)
{
    struct worker *w = userdata;

    w->now_ns = obs_mono_ns();
    user_timer(w, (struct user *)timer);
}

static void wait_for_events(struct worker *w, uint64_t until_ns)
{
    struct epoll_event events[EVENTS_MAX];
    uint64_t now_ns = obs_mono_ns(), wait_ns = until_ns > now_ns ? until_ns - now_ns : 0;
    struct timespec timeout = {(time_t)(wait_ns / OBS_NS_PER_SECOND),
                               (long)(wait_ns % OBS_NS_PER_SECOND)};
    int n = epoll_pwait2(w->epoll_fd, events, EVENTS_MAX, &timeout, NULL);

    if (n < 0 && errno == ENOSYS) /* before Linux 5.11 */
        n = epoll_wait(w->epoll_fd, events, EVENTS_MAX, (int)(wait_ns / OBS_NS_PER_MS));
    for (int i = 0; i < n; i++) {
        uint64_t drained;

        if (!events[i].data.ptr) {
            (void)!read(w->wake_fd, &drained, sizeof(drained));
            continue;
        }
        w->now_ns = obs_mono_ns();
        user_event(w, events[i].data.ptr, events[i].events);
    }
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static bool is_finished(const struct worker *w)
{
    if (w->now_ns < w->end_ns)
        return false;
    if (w->now_ns >= w->drain_ns)
        return true;
    return w->free_count == w->user_count && w->ring_count == 0 &&
           (!w->has_next || w->next_due_ns >= w->end_ns);
}

/* One turn. Returns when to look again at the latest. */
static uint64_t turn(struct worker *w)
{
    uint64_t until_ns, wake_ns;

    w->now_ns = obs_mono_ns();
    if (__atomic_load_n(&w->has_inbox, __ATOMIC_ACQUIRE))
        read_inbox(w);
    if (w->next_plan && w->now_ns >= w->next_plan->start_ns)
        switch_plan(w);
    until_ns = earlier(w->now_ns + 1, w->end_ns);
    take_arrivals(w, until_ns, ARRIVALS_PER_TURN);
    while (is_closed_running(w) && w->free_first)
        begin_closed(w, pop_free(w), w->now_ns);
    timers_expire(&w->timers, w->now_ns, on_timer, w);
    drop_stale(w);
    set_in_flight(w);

    wake_ns = timers_next_ns(&w->timers, w->now_ns);
    if (w->has_next)
        wake_ns = earlier(wake_ns, w->next_due_ns);
    if (w->next_plan)
        wake_ns = earlier(wake_ns, w->next_plan->start_ns);
    if (w->now_ns < w->end_ns)
        wake_ns = earlier(wake_ns, w->end_ns);
    return wake_ns;
}

/* What still waits or runs when the time is up. */
static void cut_all(struct worker *w)
{
    take_arrivals(w, w->end_ns, UINT32_MAX);
    stats_count(&w->stats->dropped, w->ring_count);
    w->ring_count = 0;
    for (unsigned i = 0; i < w->user_count; i++) {
        struct user *user = &w->users[i];

        if (user->state != USER_FREE) {
            stats_count(&w->stats->cut, 1);
            push_free(w, user);
        }
        user_cut(w, user);
    }
    set_in_flight(w);
}

void *worker_main(void *worker)
{
    struct worker *w = worker;
    uint64_t wake_ns;

    /* The default of 50 us would show in every latency at low rates. */
    prctl(PR_SET_TIMERSLACK, 1);
    w->now_ns = obs_mono_ns();
    timers_init(&w->timers, w->now_ns);
    rng_init(&w->rng, rng_at(w->options->seed ^ w->now_ns, w->index));
    begin_plan(w);
    for (;;) {
        wake_ns = turn(w);
        if (is_finished(w))
            break;
        wait_for_events(w, wake_ns);
    }
    cut_all(w);
    return NULL;
}
