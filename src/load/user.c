#include "load/user.h"
#include "base/clock.h"
#include "load/judge.h"
#include "load/worker.h"
#include "otel/names.h"
#include "otel/trace.h"
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

/* Random numbers that belong to a journey beside its variables, which take 0 to VARIABLES_MAX. */
enum { DRAW_SAMPLED = 1000, DRAW_THEN, DRAW_THINK };

static void request_begin(struct worker *w, struct user *user);
static void request_end(struct worker *w, struct user *user, enum failure failure, bool has_reply);

void user_init(struct user *user, uint32_t number)
{
    *user = (struct user){.number = number, .transport.fd = -1};
}

static void disconnect(struct worker *w, struct user *user)
{
    if (user->transport.fd >= 0)
        stats_count(&w->stats->open, (uint64_t)-1);
    transport_close(&user->transport);
    user->is_kept = false;
    user->wants_write = false;
    if (user->unsent.data)
        obs_buffer_done(&user->unsent);
}

void user_done(struct user *user, unsigned value_count)
{
    transport_close(&user->transport);
    response_done(&user->response);
    if (user->unsent.data)
        obs_buffer_done(&user->unsent);
    cookies_free(user->cookies);
    for (unsigned i = 0; user->values && i < value_count; i++)
        free(user->values[i]);
    free(user->values);
}

static struct step_stats *step_stats_of(const struct worker *w, const struct user *user)
{
    return &w->stats->steps[w->first_step[user->journey] + user->step];
}

/* ---- the journey ---- */

static void pause_until(struct worker *w, struct user *user, uint64_t when_ns)
{
    user->state = USER_PAUSED;
    timers_add(&w->timers, &user->timer, when_ns);
}

static uint64_t think_time(const struct user *user, const struct step *step)
{
    uint64_t random = rng_at(user->seed, DRAW_THINK + user->step);

    if (step->think_high_ns == 0)
        return 0;
    return (uint64_t)rng_to_range(random, (int64_t)step->think_low_ns,
                                  (int64_t)step->think_high_ns);
}

static void step_begin(struct worker *w, struct user *user, uint64_t due_ns)
{
    uint64_t think_ns = think_time(user, worker_step(w, user));

    user->attempt = 1;
    user->poll_end_ns = 0;
    user->thought_ns += think_ns;
    user->step_due_ns = due_ns + think_ns;
    if (user->step_due_ns > w->now_ns)
        pause_until(w, user, user->step_due_ns);
    else
        request_begin(w, user);
}

void user_begin(struct worker *w, struct user *user, unsigned journey, uint64_t arrival,
                uint64_t seed, uint64_t due_ns)
{
    user->journey = (uint16_t)journey;
    user->step = 0;
    user->arrival = arrival;
    user->seed = seed;
    user->due_ns = due_ns;
    user->thought_ns = 0;
    if (w->options->has_traceparent) {
        uint64_t id[2] = {rng_next(&w->rng), rng_next(&w->rng) | 1};
        uint64_t span = rng_next(&w->rng) | 1; /* all zero is not allowed */

        memcpy(user->trace.trace_id, id, sizeof(id));
        memcpy(user->trace.span_id, &span, sizeof(span));
        user->trace.flags =
            rng_to_unit(rng_at(seed, DRAW_SAMPLED)) < w->options->trace_sample ? 1 : 0;
    }
    step_begin(w, user, due_ns);
}

static unsigned exemplar_bucket(uint64_t value_ns)
{
    unsigned log2 = 63U - (unsigned)__builtin_clzll(value_ns | 1);

    /* 2^16 ns = 65 us and less, and so on up to minutes. */
    return log2 <= 16 ? 0 : log2 - 16 < STATS_EXEMPLARS ? log2 - 16 : STATS_EXEMPLARS - 1;
}

static void log_event(struct worker *w, const struct user *user, enum failure failure,
                      uint64_t duration_ns, uint64_t time_ns)
{
    struct event event = {
        .time_ns = time_ns,
        .duration_us = duration_ns / 1000,
        .user = user->number,
        .journey = user->journey,
        .outcome = (uint8_t)failure_outcome(failure),
        .failure = (uint8_t)failure,
    };

    if (obs_trace_is_sampled(&user->trace))
        memcpy(event.trace_id, user->trace.trace_id, sizeof(event.trace_id));
    event_log_add(w->options->events, &event);
}

/* The journey as a span: the root of all that it made the target do. */
static void trace_journey(struct worker *w, const struct user *user, enum failure failure,
                          uint64_t spent_ns, uint64_t time_ns)
{
    struct obs_span span;
    bool is_ok = failure_outcome(failure) == OUTCOME_OK;

    obs_span_start(&span, w->options->tracer, OBS_SPAN_CLIENT, worker_journey(w, user)->name, NULL);
    span.context = user->trace;
    obs_span_set_start(&span, time_ns - spent_ns);
    obs_span_int(&span, OBS_ATTR_USER_NUMBER, user->number);
    obs_span_text(&span, OBS_ATTR_JOURNEY_OUTCOME, outcome_name(failure_outcome(failure)));
    if (!is_ok)
        obs_span_error(&span, failure_name(failure));
    obs_span_end_at(&span, time_ns);
}

static void journey_end(struct worker *w, struct user *user, enum failure failure)
{
    const struct journey *journey = worker_journey(w, user);
    struct journey_stats *stats = &w->stats->journeys[user->journey];
    uint64_t spent_ns = w->now_ns - user->due_ns, duration_ns;
    bool is_sampled = obs_trace_is_sampled(&user->trace);

    duration_ns = spent_ns > user->thought_ns ? spent_ns - user->thought_ns : 0;
    stats_count(&stats->outcomes[failure_outcome(failure)], 1);
    histogram_record(stats->duration, duration_ns);
    if (is_sampled || w->options->events) {
        uint64_t time_ns = obs_time_ns();

        if (is_sampled)
            exemplar_set(&stats->exemplars[exemplar_bucket(duration_ns)], &user->trace, duration_ns,
                         time_ns);
        if (is_sampled && w->options->tracer)
            trace_journey(w, user, failure, spent_ns, time_ns);
        if (w->options->events)
            log_event(w, user, failure, duration_ns, time_ns);
    }
    user->state = USER_FREE;
    if (failure == FAILURE_NONE && journey->then >= 0 &&
        rng_to_unit(rng_at(user->seed, DRAW_THEN)) < journey->then_share) {
        stats_count(&w->stats->followed, 1);
        user_begin(w, user, (unsigned)journey->then, user->arrival, user->seed, w->now_ns);
        return;
    }
    worker_user_free(w, user, user->is_failing);
}

void user_cut(struct worker *w, struct user *user)
{
    timer_remove(&user->timer);
    disconnect(w, user);
    response_done(&user->response);
    user->state = USER_FREE;
}

/* ---- one request ---- */

static void fail_later(struct worker *w, struct user *user, enum failure failure)
{
    user->state = USER_FAILED;
    user->failure = (uint8_t)failure;
    timers_add(&w->timers, &user->timer, w->now_ns);
}

static enum failure failure_of(const struct user *user, int error)
{
    switch (-error) {
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
    case EADDRNOTAVAIL:
        return FAILURE_LOCAL;
    case EPROTO:
        return FAILURE_TLS;
    default:
        return user->state == USER_CONNECTING ? FAILURE_REFUSED : FAILURE_CLOSED;
    }
}

static void watch(struct worker *w, struct user *user, int operation)
{
    struct epoll_event event = {.data.ptr = user};

    event.events = EPOLLIN | EPOLLRDHUP | (user->wants_write ? (uint32_t)EPOLLOUT : 0);
    epoll_ctl(w->epoll_fd, operation, user->transport.fd, &event);
}

static void set_wants_write(struct worker *w, struct user *user, bool wants_write)
{
    if (user->wants_write == wants_write)
        return;
    user->wants_write = wants_write;
    watch(w, user, EPOLL_CTL_MOD);
}

/* The connection was kept and the peer closed it before it answered: a race that is nobody's fault,
 * so the request goes out once more on a new one where that is allowed (RFC 9110 section 9.2.2). */
static bool may_resend(const struct worker *w, const struct user *user)
{
    return user->is_kept && !user->is_resent && !user->response.has_bytes &&
           worker_step(w, user)->is_idempotent;
}

static void write_request(struct worker *w, struct user *user, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = transport_write(&user->transport, data, size);

        if (n == -EAGAIN) {
            /* @data may be what `unsent` holds already. */
            if (user->unsent.data && data >= user->unsent.data &&
                data <= user->unsent.data + user->unsent.size)
                obs_buffer_consume(&user->unsent, (size_t)(data - user->unsent.data));
            else if (obs_buffer_append(&user->unsent, data, size) != 0) {
                fail_later(w, user, FAILURE_LOCAL);
                return;
            }
            user->state = USER_SENDING;
            set_wants_write(w, user, true);
            return;
        }
        if (n < 0) { /* the reason, or the reply that explains it, may be there to read */
            user->state = USER_RECEIVING;
            return;
        }
        stats_count(&w->stats->bytes_out, (uint64_t)n);
        data += n;
        size -= (size_t)n;
    }
    if (user->unsent.data)
        obs_buffer_done(&user->unsent);
    set_wants_write(w, user, user->transport.wants_write);
    user->state = USER_RECEIVING;
}

static void send_request(struct worker *w, struct user *user)
{
    const struct step *step = worker_step(w, user);

    if (request_emit(w, user, step) != 0) {
        fail_later(w, user, FAILURE_LOCAL);
        return;
    }
    user->sent_ns = w->now_ns;
    user->head_failed = false;
    user->unsent = OBS_BUFFER_INIT(w->request.size);
    response_begin(&user->response, &w->options->limits, step->is_head, step->needs_body);
    stats_count(&w->stats->requests, 1);
    stats_count(&step_stats_of(w, user)->requests, 1);
    write_request(w, user, w->request.data, w->request.size);
}

static void connect_user(struct worker *w, struct user *user)
{
    int r = transport_connect(&user->transport, w->options->target);

    user->state = USER_CONNECTING;
    if (user->transport.fd >= 0) {
        stats_count(&w->stats->open, 1);
        stats_count(&w->stats->connects, 1);
    }
    if (r < 0 && r != -EAGAIN) {
        enum failure failure = failure_of(user, r);

        disconnect(w, user);
        fail_later(w, user, failure);
        return;
    }
    user->wants_write =
        r == -EAGAIN && (!user->transport.has_socket || user->transport.wants_write);
    watch(w, user, EPOLL_CTL_ADD);
    if (r == 0)
        send_request(w, user);
}

static void request_begin(struct worker *w, struct user *user)
{
    user->is_resent = false;
    timers_add(&w->timers, &user->timer, w->now_ns + worker_step(w, user)->timeout_ns);
    if (user->transport.fd < 0)
        connect_user(w, user);
    else
        send_request(w, user);
}

/* No (valid) reply. */
static void fail(struct worker *w, struct user *user, enum failure failure)
{
    bool is_race = failure == FAILURE_CLOSED && may_resend(w, user);

    disconnect(w, user);
    if (is_race) {
        user->is_resent = true;
        stats_count(&w->stats->resent, 1);
        connect_user(w, user); /* under the same time limit */
        return;
    }
    request_end(w, user, failure, false);
}

/* ---- the reply ---- */

static void poll_again(struct worker *w, struct user *user, const struct step *step)
{
    if (user->poll_end_ns == 0)
        user->poll_end_ns = user->step_due_ns + step->until_limit_ns;
    if (w->now_ns + step->every_ns > user->poll_end_ns) {
        request_end(w, user, FAILURE_POLL, true);
        return;
    }
    histogram_record(step_stats_of(w, user)->latency, w->now_ns - user->step_due_ns);
    user->step_due_ns = w->now_ns + step->every_ns;
    pause_until(w, user, user->step_due_ns);
}

static void reply_complete(struct worker *w, struct user *user)
{
    const struct step *step = worker_step(w, user);
    enum failure failure = FAILURE_NONE;
    enum judge_verdict verdict = JUDGE_FINISHED;
    int status = user->response.status;

    timer_remove(&user->timer);
    stats_count(&w->stats->replies, 1);
    stats_count(&step_stats_of(w, user)->replies, 1);
    stats_count(&w->stats->statuses[status < STATS_STATUS_MAX ? status : 0], 1);
    histogram_record(w->stats->service, w->now_ns - user->sent_ns);
    if (!judge_accepts(step, status))
        failure = FAILURE_STATUS;
    else if (user->head_failed && !step->until)
        failure = FAILURE_CHECK;
    else if (step->needs_body)
        verdict = judge_body(w, user, step, &failure);
    if (user->response.keep_alive && user->state == USER_RECEIVING)
        user->is_kept = true;
    else
        disconnect(w, user);
    if (verdict == JUDGE_AGAIN) {
        response_done(&user->response);
        poll_again(w, user, step);
        return;
    }
    request_end(w, user, failure, true);
}

static bool is_retried(const struct user *user, const struct step *step, enum failure failure)
{
    unsigned cause = 0;
    int status = user->response.status;

    if (failure == FAILURE_TIMEOUT)
        cause = RETRY_TIMEOUT;
    else if (failure == FAILURE_STATUS)
        cause = status >= 500 ? RETRY_5XX : status >= 400 ? RETRY_4XX : 0;
    else if (failure == FAILURE_REFUSED || failure == FAILURE_CLOSED || failure == FAILURE_TLS ||
             failure == FAILURE_MALFORMED)
        cause = RETRY_CONNECTION;
    return (step->retry_on & cause) && user->attempt < step->attempts;
}

static void request_end(struct worker *w, struct user *user, enum failure failure, bool has_reply)
{
    const struct step *step = worker_step(w, user);
    struct step_stats *stats = step_stats_of(w, user);
    bool is_retry = is_retried(user, step, failure);

    timer_remove(&user->timer);
    user->is_failing = !has_reply;
    if (failure != FAILURE_NONE) {
        stats_count(&stats->failures[failure], 1);
        stats_count(&w->stats->failures[failure], 1);
    }
    if (has_reply || failure == FAILURE_TIMEOUT)
        histogram_record(stats->latency, w->now_ns - user->step_due_ns);
    response_done(&user->response);
    if (is_retry) {
        user->attempt++;
        stats_count(&w->stats->retries, 1);
        user->step_due_ns = w->now_ns + step->backoff_ns;
        pause_until(w, user, user->step_due_ns);
    } else if (failure == FAILURE_NONE && user->step + 1U < worker_journey(w, user)->step_count) {
        user->step++;
        step_begin(w, user, w->now_ns);
    } else {
        journey_end(w, user, failure);
    }
}

/* ---- events ---- */

static void read_reply(struct worker *w, struct user *user)
{
    struct judge_context context = {w, user};

    do {
        ssize_t n = transport_read(&user->transport, w->scratch, sizeof(w->scratch));
        size_t used = 0;
        int outcome;

        if (n == -EAGAIN) {
            set_wants_write(w, user, user->transport.wants_write || user->state == USER_SENDING);
            return;
        }
        if (n < 0) {
            fail(w, user, failure_of(user, (int)n));
            return;
        }
        if (n == 0)
            outcome = response_close(&user->response);
        else
            outcome = response_feed(&user->response, &w->options->limits, &w->head, w->scratch,
                                    (size_t)n, &used, judge_head, &context);
        stats_count(&w->stats->bytes_in, (uint64_t)n);
        if (outcome == RESPONSE_DONE) {
            if (used < (size_t)n || n == 0) /* more than one reply, or no more to come */
                user->response.keep_alive = false;
            reply_complete(w, user);
            return;
        }
        if (outcome == RESPONSE_MORE && n > 0)
            continue;
        fail(w, user,
             outcome == RESPONSE_BAD         ? FAILURE_MALFORMED
             : outcome == RESPONSE_TOO_LARGE ? FAILURE_TOO_LARGE
                                             : FAILURE_CLOSED);
        return;
        /* What TLS has read ahead does not make the socket readable. */
    } while (user->transport.tls && SSL_pending(user->transport.tls) > 0);
}

static void continue_connect(struct worker *w, struct user *user)
{
    int r = transport_continue(&user->transport, w->options->target);

    if (r == 0) {
        set_wants_write(w, user, false);
        send_request(w, user);
    } else if (r == -EAGAIN) {
        set_wants_write(w, user, user->transport.wants_write);
    } else {
        fail(w, user, failure_of(user, r));
    }
}

void user_event(struct worker *w, struct user *user, uint32_t events)
{
    switch (user->state) {
    case USER_CONNECTING:
        continue_connect(w, user);
        break;
    case USER_SENDING:
        if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
            write_request(w, user, user->unsent.data, user->unsent.size);
        if (!(events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP)) ||
            (user->state != USER_SENDING && user->state != USER_RECEIVING))
            break;
        read_reply(w, user);
        break;
    case USER_RECEIVING:
        read_reply(w, user);
        break;
    default: /* nobody asked: the peer closes, or says what has no request */
        disconnect(w, user);
        break;
    }
}

void user_timer(struct worker *w, struct user *user)
{
    switch (user->state) {
    case USER_PAUSED:
        request_begin(w, user);
        break;
    case USER_FAILED:
        fail(w, user, (enum failure)user->failure);
        break;
    case USER_CONNECTING:
    case USER_SENDING:
    case USER_RECEIVING:
        fail(w, user, FAILURE_TIMEOUT);
        break;
    default:
        break;
    }
}
