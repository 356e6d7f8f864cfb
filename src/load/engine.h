#pragma once
/*
 * Engine: virtual users on one event loop per thread, driven by a schedule.
 *
 * Threads share nothing while they run: each has its share of the schedule, its own users and
 * connections, and its own statistics, which others only read. A new plan reaches a thread through
 * its own inbox.
 *
 * Open loop (the default): the schedule says when a journey is due, whatever the target does. An
 * arrival takes a free user, or waits until there is one, and counts as dropped when it has waited
 * too long. Closed loop: every user begins a journey when the one before has ended.
 */
#include "load/event_log.h"
#include "load/plan.h"
#include "load/response.h"
#include "load/stats.h"
#include "load/target.h"

struct engine;
struct obs_tracer;

struct engine_options {
    const struct script *script; /* borrowed, as are all pointers, for the engine's life */
    const struct target *target;
    struct plan *first_plan; /* its start_ns is set by engine_start() */
    unsigned threads;        /* 0: as many as the process may use cores */
    unsigned users;          /* of all threads together; at least `threads` */
    uint64_t seed;
    bool is_closed_loop;
    bool has_traceparent;   /* send the header */
    double trace_sample;    /* share of journeys whose traceparent says sampled */
    uint64_t duration_ns;   /* of the schedule; 0: until engine_stop() */
    uint64_t drain_ns;      /* what runs so long after the end is cut; 0: 30 s */
    uint64_t late_after_ns; /* tolerance of `sent`; 0: 10 ms */
    uint64_t drop_after_ns; /* an arrival waits at most so long; 0: 30 s */
    size_t waiting_max;     /* arrivals that may wait; 0: a million */
    struct response_limits limits;
    struct event_log *events;  /* NULL: none */
    struct obs_tracer *tracer; /* of one span per sampled journey; NULL: none */
    /* Journeys of all threads report an order that the target accepted. Any thread; must not block.
     */
    void (*on_order)(const char *order_id, void *userdata);
    void *userdata;
};

/* Return: 0, -EINVAL, -ENOMEM, -errno. */
int engine_new(const struct engine_options *options, struct engine **ret_engine);
/* Begin now. Return: 0, -errno (no thread). */
int engine_start(struct engine *engine);
/* No arrival is due any more; what has begun or waits ends by itself, or is cut after @drain_ns. */
void engine_stop(struct engine *engine, uint64_t drain_ns);
bool engine_is_done(const struct engine *engine); /* all threads have ended */
/* Stops (without drain) when still running. */
struct engine *engine_free(struct engine *engine);

/**
 * engine_change() - change the plan while it runs; see plan_change()
 *
 * Takes effect a few milliseconds from now, in all threads at the same instant. One thread at a
 * time; may sleep for some milliseconds after a change just before.
 *
 * Return: 0, PLAN_REFUSED (nothing changed), -ENOMEM.
 */
int engine_change(struct engine *engine, const json_t *json, bool is_replacement,
                  struct obs_reason *reterr_reason);
/* The plan in force; a new reference. */
struct plan *engine_plan(struct engine *engine);

/* Add up what all threads have counted so far. @into is cleared first. */
void engine_stats(struct engine *engine, struct stats *into);
uint64_t engine_started_ns(const struct engine *engine); /* CLOCK_MONOTONIC */
unsigned engine_threads(const struct engine *engine);
/* CPU seconds of each thread so far; @seconds[engine_threads()]. */
void engine_cpu(struct engine *engine, double *seconds);
OBS_DEFINE_CLEANUP(struct engine *, engine_free)
