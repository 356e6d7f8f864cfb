#pragma once
/* Supervised: one unit's life, as supervisor.c and supervised.c share it. Nobody else includes
 * this. */
#include "agent/backoff.h"
#include "agent/probe.h"
#include "agent/supervisor.h"
#include <event2/event.h>

struct supervised {
    struct supervisor *supervisor;
    const struct unit *unit;
    enum unit_state state;
    bool is_wanted; /* somebody wants it up: when it has stopped it starts again */
    char reason[240];

    pid_t pid; /* 0: no process */
    uint64_t start_ticks, started_ns, started_mono_ns;
    unsigned lives;    /* processes so far */
    char verdict[200]; /* why the agent itself killed it; "" when it did not */
    bool has_ended;
    int last_status; /* as from wait(2) */
    uint64_t ended_ns;
    struct backoff backoff;

    char **environment;
    struct capture *capture;
    struct access_log *access_log;
    struct probe *ready, *liveness;
    struct event *next;     /* the end of a pause, or of the patience with a stop */
    struct event *deadline; /* of a start */
    struct event *ask_ready, *ask_liveness;
    unsigned ask_ms;
    unsigned bad_liveness;

    double cpu_ended, cpu_shown; /* seconds: of lives that ended; what was told last */
    uint64_t memory_bytes, looked_ns;
};

struct supervisor {
    struct event_base *base;
    struct reaper *reaper;
    struct supervisor_options options;
    struct supervised *units;
    size_t count;
    struct event *look; /* at the whole: see supervisor_touch() */
    struct event *sweep;
    bool is_sweeping; /* orphans are being ended: nothing starts */
    uint64_t sweep_since_ns;
    bool is_stopping;
    void (*stopped)(void *userdata);
    void *stopped_userdata;
};

int supervised_init(struct supervised *s, struct supervisor *supervisor, const struct unit *unit);
void supervised_done(struct supervised *s);
/* Start its process now; a failure counts like an end. */
void supervised_launch(struct supervised *s);
/* Ask its process to end: the stop signal, then SIGKILL. */
void supervised_end(struct supervised *s);
bool supervised_is_settled(const struct supervised *s); /* what waits for it may start */
void supervised_set_state(struct supervised *s, enum unit_state state, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Something changed: look what may start or stop, soon. */
void supervisor_touch(struct supervisor *supervisor);
void supervisor_sweep(struct supervisor *supervisor); /* a process ended: end its orphans */
void supervisor_write_ledger(struct supervisor *supervisor);

int environment_new(const struct unit *unit, const char *state_path, char ***ret_environment,
                    struct obs_reason *reterr_reason);
char **environment_free(char **environment);
