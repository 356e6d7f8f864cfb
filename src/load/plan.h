#pragma once
/*
 * Plan: what may change while the load runs: pattern, scale, mix, pause.
 *
 * A plan never changes once it is published; a change makes a new one, which takes effect at its
 * own start time in all threads alike. Shared by reference count.
 */
#include "load/script.h"

struct plan {
    unsigned references; /* atomic */
    uint64_t sequence;   /* 1 for the first */
    struct pattern *pattern;
    double scale; /* multiplies the pattern's rate */
    bool is_paused;
    double mix[SCRIPT_JOURNEYS_MAX]; /* weight of each journey of the script */
    double from_s;                   /* the pattern's time at start_ns */
    uint64_t start_ns;               /* CLOCK_MONOTONIC */
    /* Derived. */
    double cumulative[SCRIPT_JOURNEYS_MAX]; /* of the mix, ends with 1 */
    unsigned journey_count;
};

enum plan_outcome {
    PLAN_OK = 0,
    PLAN_REFUSED = 1, /* reason names the field; nothing changes */
};

/* The first plan of a script. @pattern: taken; NULL: the script's own, which must exist then. */
int plan_new(const struct script *script, struct pattern *pattern, struct plan **ret_plan);
struct plan *plan_ref(struct plan *plan);
struct plan *plan_unref(struct plan *plan); /* NULL is fine; returns NULL */

/**
 * plan_change() - the plan that follows @old
 * @json: {"pattern": {…} or its short form | "rate": N, "scale": N, "mix": {"journey": weight},
 * "paused": bool}
 * @is_replacement: absent fields go back to the script's values; otherwise they stay as they are
 * @now_ns: CLOCK_MONOTONIC; a new pattern begins at its own second 0, a kept one goes on
 */
int plan_change(const struct script *script, const struct plan *old, const json_t *json,
                bool is_replacement, uint64_t now_ns, struct plan **ret_plan,
                struct obs_reason *reterr_reason);

/* Seconds of the pattern at @now_ns. */
double plan_time(const struct plan *plan, uint64_t now_ns);
double plan_rate(const struct plan *plan,
                 uint64_t now_ns); /* journeys per second wanted; 0 paused */
/* Share of journey @index in what is wanted, with those that follow another (may sum up to over 1).
 */
double plan_share(const struct plan *plan, const struct script *script, unsigned index);
/* The journey for a random number in [0, 1). */
unsigned plan_pick(const struct plan *plan, double random);
json_t *plan_json(const struct plan *plan, const struct script *script); /* new reference */
OBS_DEFINE_CLEANUP(struct plan *, plan_unref)
