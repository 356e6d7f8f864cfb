#pragma once
/*
 * Supervisor: keeps the units of a table as they should be: started in the order of their
 * dependencies, in parallel where they have none; started again when they end; stopped in reverse
 * order.
 *
 * Loop thread only.
 */
#include "agent/access_log.h"
#include "agent/capture.h"
#include "agent/unit.h"
#include "base/cleanup.h"
#include "base/json.h"

struct event_base;
struct reaper;
struct ship;
struct supervisor;
struct supervised; /* one unit */

/* name, text */
#define UNIT_STATES(STATE)                                                                         \
    STATE(WAITING, "waiting")                                                                      \
    STATE(STARTING, "starting")                                                                    \
    STATE(RUNNING, "running")                                                                      \
    STATE(UNREADY, "unready")                                                                      \
    STATE(BACKOFF, "backoff")                                                                      \
    STATE(STOPPING, "stopping")                                                                    \
    STATE(STOPPED, "stopped")                                                                      \
    STATE(FAILED, "failed")                                                                        \
    STATE(DONE, "done")

enum unit_state {
#define UNIT_STATE_ENUM(id, text) UNIT_##id,
    UNIT_STATES(UNIT_STATE_ENUM)
#undef UNIT_STATE_ENUM
        UNIT_STATE_COUNT
};
extern const char *const UNIT_STATE_TEXTS[UNIT_STATE_COUNT];

/* Adds the unit's settings, as "settings.NAME", to what its templates know. Return: 0 or < 0. */
typedef int supervisor_settings_fn(const struct unit *unit, struct variables *variables,
                                   void *userdata);
/* The unit is up (ready for the first time in this life). */
typedef void supervisor_up_fn(const struct unit *unit, void *userdata);

struct supervisor_options { /* all borrowed */
    const struct unit_table *table;
    const struct variables *variables;
    const char *state_path;
    const char *log_path;             /* folder of NAME.log */
    const char *endpoint, *resource;  /* of the spans of access logs */
    struct ship *ship;                /* gets every captured line; NULL: nobody */
    supervisor_settings_fn *settings; /* may be NULL */
    supervisor_up_fn *up;             /* may be NULL */
    void *userdata;
};

enum supervisor_outcome {
    SUPERVISOR_OK = 0,
    SUPERVISOR_REFUSED = 1, /* not in this state; reason set */
};

int supervisor_new(struct event_base *base, struct reaper *reaper,
                   const struct supervisor_options *options, struct supervisor **ret_supervisor);
/* Every process must have ended (supervisor_stop()). */
struct supervisor *supervisor_free(struct supervisor *supervisor);

void supervisor_start(struct supervisor *supervisor);
/* Stop all units, then end what is left; then @done, once. */
void supervisor_stop(struct supervisor *supervisor, void (*done)(void *userdata), void *userdata);
bool supervisor_is_ready(const struct supervisor *supervisor); /* all required units are up */

size_t supervisor_count(const struct supervisor *supervisor);
struct supervised *supervisor_at(const struct supervisor *supervisor, size_t index);
struct supervised *supervisor_find(const struct supervisor *supervisor, const char *name);

/* What an operator may do. Return: 0, SUPERVISOR_REFUSED. */
int supervised_start(struct supervised *s, struct obs_reason *reterr_reason);
int supervised_stop(struct supervised *s, struct obs_reason *reterr_reason);
int supervised_restart(struct supervised *s, struct obs_reason *reterr_reason);
int supervised_signal(struct supervised *s, int number, struct obs_reason *reterr_reason);
/* Send the unit's reload signal, when it runs and has one. The files are written already. */
void supervised_reload(struct supervised *s);

const struct unit *supervised_unit(const struct supervised *s);
struct capture *supervised_capture(const struct supervised *s);
struct access_log *supervised_access_log(const struct supervised *s); /* NULL for most */
enum unit_state supervised_state(const struct supervised *s);
bool supervised_is_ready(const struct supervised *s);
/* Up to now, over all lives; memory now. Looked up at most every 500 ms. */
double supervised_cpu_seconds(struct supervised *s);
uint64_t supervised_memory_bytes(struct supervised *s);
unsigned supervised_restarts(const struct supervised *s);
/* As a shell says it: status, or 128 + signal; false when it never ended. */
bool supervised_last_exit(const struct supervised *s, int *ret_code);
double supervised_started_seconds(const struct supervised *s); /* Unix time; 0: not running */
/* The unit as the API shows it: docs/agent.md. Return: 0, -ENOMEM. */
int supervised_json(struct supervised *s, json_t **ret_json);

OBS_DEFINE_CLEANUP(struct supervisor *, supervisor_free)
