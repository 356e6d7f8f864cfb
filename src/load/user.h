#pragma once
/*
 * User: one virtual user, its connection, and the journey it is on. Internal to the engine.
 *
 *   free ── begin ──► pause ──► connect ──► send ──► receive ──┬─► next step ──► pause …
 *                       ▲          (kept connection: ─►)       ├─► again (retry, poll) ──► pause
 *                       └──────────────────────────────────────┴─► end ──► free, or `then`
 *
 * A free user holds its connection, cookies and extracted values, and no buffers.
 */
#include "load/cookies.h"
#include "load/response.h"
#include "load/script.h"
#include "load/timers.h"
#include "load/transport.h"
#include "otel/trace.h"

struct worker;

enum user_state {
    USER_FREE,
    USER_PAUSED,     /* thinks, backs off, or waits to poll again: the timer ends it */
    USER_CONNECTING, /* TCP and TLS */
    USER_SENDING,    /* part of the request is written */
    USER_RECEIVING,
    USER_FAILED, /* failed while it began; reported by the timer, so that calls do not nest */
};

struct user {
    struct timer timer; /* first: a timer is its user */
    struct user *next;  /* in the list of free users */
    uint32_t number;    /* from 1 */
    uint8_t state;
    uint8_t failure;  /* USER_FAILED: why */
    bool is_kept;     /* the connection has carried a request before this one */
    bool is_resent;   /* this request was already sent once on a closed connection */
    bool wants_write; /* epoll watches for writing */
    bool head_failed; /* a check on the head did not hold */
    uint8_t attempt;  /* of this step, from 1 */
    uint16_t step;
    uint16_t journey;
    bool is_failing; /* the last request failed without a reply */

    uint64_t arrival;     /* number in the schedule */
    uint64_t seed;        /* of the journey's variables */
    uint64_t due_ns;      /* when the journey was due */
    uint64_t step_due_ns; /* when this request was due */
    uint64_t sent_ns;     /* when it was really sent */
    uint64_t thought_ns;  /* sum of pauses for thought */
    uint64_t poll_end_ns;

    struct transport transport;
    struct response response;
    struct obs_buffer unsent; /* rest of a request that the socket did not take */
    struct obs_trace_context trace;
    struct cookies *cookies;
    char **values; /* extracted; NULL until the first */
};

void user_init(struct user *user, uint32_t number);
void user_done(struct user *user, unsigned value_count);

/* Begin journey @journey, due at @due_ns. Never ends before it returns: failures come by the timer.
 */
void user_begin(struct worker *w, struct user *user, unsigned journey, uint64_t arrival,
                uint64_t seed, uint64_t due_ns);
void user_event(struct worker *w, struct user *user, uint32_t epoll_events);
void user_timer(struct worker *w, struct user *user);
/* End the journey without an outcome and close the connection. */
void user_cut(struct worker *w, struct user *user);

/* request.c: write the current step's request to w->request. Return: 0, -EMSGSIZE, -ENOMEM. */
int request_emit(struct worker *w, struct user *user, const struct step *step);
