#pragma once
/*
 * Session: one load from its start to its end: engine, record, probes, metrics and control API
 * around one event loop. `run` and `serve` differ in what they switch on.
 */
#include "base/address.h"
#include "load/engine.h"
#include "load/record.h"

struct session_options {
    const char *url;
    const struct script *script;
    const struct target *target;
    struct pattern *pattern;      /* taken; NULL: the script's */
    struct engine_options engine; /* script, target, first_plan, events, on_order are filled in */
    size_t event_count;           /* entries of the event log; 0: none */
    const char *admin;            /* control API; NULL or "": none */
    const char *catalog, *orders; /* operator's addresses for the probes; NULL or "": none */
    bool has_probes;
    uint64_t probe_interval_ns;
    bool is_recorded;  /* keep the seconds, for a report */
    bool has_progress; /* one line on standard error, rewritten every second */
};

struct session_result {
    struct engine *engine;
    struct record *record;
    uint64_t began_unix_ns;
    double length_s; /* of the schedule */
};

/* Until the schedule ends or SIGINT or SIGTERM comes (a second signal cuts what still runs).
 * Return: 0, 1 (@reterr_reason says why), < 0. */
int session_run(const struct session_options *options, struct session_result *ret_result,
                struct obs_reason *reterr_reason);
void session_result_done(struct session_result *result);
