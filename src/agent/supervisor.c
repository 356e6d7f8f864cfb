#include "agent/supervisor.h"

#include "agent/ledger.h"
#include "agent/supervised.h"
#include "base/clock.h"
#include "base/log.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SWEEP_MS 10
#define SWEEP_PATIENCE_MS 5000 /* then units start all the same */

static void look_around(struct supervisor *supervisor);

static struct supervised *of_unit(const struct supervisor *supervisor, const struct unit *unit)
{
    for (size_t i = 0; i < supervisor->count; i++)
        if (supervisor->units[i].unit == unit)
            return &supervisor->units[i];
    return NULL;
}

/* ---- orphans ---- */

static void on_sweep(evutil_socket_t fd, short what, void *userdata)
{
    struct supervisor *supervisor = userdata;
    struct timeval soon = {0, SWEEP_MS * 1000};
    size_t left = reaper_kill_orphans(supervisor->reaper);

    if (left > 0 &&
        obs_mono_ns() - supervisor->sweep_since_ns < SWEEP_PATIENCE_MS * OBS_NS_PER_MS) {
        event_add(supervisor->sweep, &soon);
        return;
    }
    if (left > 0)
        obs_log(OBS_LOG_ERROR, "processes that units left behind do not end, ignoring",
                OBS_INT("processes", left));
    supervisor->is_sweeping = false;
    supervisor_touch(supervisor);
}

void supervisor_sweep(struct supervisor *supervisor)
{
    supervisor->is_sweeping = true;
    supervisor->sweep_since_ns = obs_mono_ns();
    on_sweep(-1, 0, supervisor);
}

/* ---- ledger ---- */

void supervisor_write_ledger(struct supervisor *supervisor)
{
    struct ledger_entry entries[UNITS_MAX];
    size_t count = 0;
    int r;

    for (size_t i = 0; i < supervisor->count; i++) {
        const struct supervised *s = &supervisor->units[i];

        if (s->pid > 0)
            entries[count++] = (struct ledger_entry){s->unit->name, s->pid, s->start_ticks};
    }
    r = ledger_write(supervisor->options.state_path, entries, count);
    if (r < 0)
        obs_log(OBS_LOG_WARN, "cannot write the list of processes, ignoring",
                OBS_TEXT("folder", supervisor->options.state_path),
                OBS_TEXT("error", strerror(-r)));
}

/* ---- starting ---- */

/* The first unit that @s waits for; NULL: it may start. */
static const struct supervised *missing(const struct supervisor *supervisor,
                                        const struct supervised *s)
{
    for (size_t i = 0; i < s->unit->after_count; i++) {
        const struct supervised *other = of_unit(supervisor, s->unit->after[i]);

        if (!supervised_is_settled(other))
            return other;
    }
    return NULL;
}

static void start_what_may(struct supervisor *supervisor)
{
    for (size_t i = 0; i < supervisor->count; i++) {
        struct supervised *s = &supervisor->units[i];
        const struct supervised *other;

        if (s->state != UNIT_WAITING || !s->is_wanted)
            continue;
        other = missing(supervisor, s);
        if (other)
            snprintf(s->reason, sizeof(s->reason), "waits for %s, which is %s", other->unit->name,
                     UNIT_STATE_TEXTS[other->state]);
        else if (!supervisor->is_sweeping)
            supervised_launch(s);
    }
}

void supervisor_start(struct supervisor *supervisor)
{
    supervisor_touch(supervisor);
}

/* ---- stopping ---- */

/* Also by way of others: a task that is long done still says who needs what. No cycles: unit.h. */
static bool needs(const struct unit *unit, const struct unit *other)
{
    for (size_t i = 0; i < unit->after_count; i++)
        if (unit->after[i] == other || needs(unit->after[i], other))
            return true;
    return false;
}

static bool is_needed(const struct supervisor *supervisor, const struct supervised *s)
{
    for (size_t i = 0; i < supervisor->count; i++)
        if (supervisor->units[i].pid > 0 && needs(supervisor->units[i].unit, s->unit))
            return true;
    return false;
}

static void stop_what_may(struct supervisor *supervisor)
{
    size_t running = 0;

    for (size_t i = 0; i < supervisor->count; i++) {
        struct supervised *s = &supervisor->units[i];

        running += s->pid > 0;
        if (s->pid > 0 && !is_needed(supervisor, s))
            supervised_end(s);
    }
    if (running == 0 && !supervisor->is_sweeping && supervisor->stopped) {
        void (*stopped)(void *userdata) = supervisor->stopped;

        supervisor->stopped = NULL;
        stopped(supervisor->stopped_userdata);
    }
}

void supervisor_stop(struct supervisor *supervisor, void (*done)(void *userdata), void *userdata)
{
    if (supervisor->is_stopping)
        return;
    supervisor->is_stopping = true;
    supervisor->stopped = done;
    supervisor->stopped_userdata = userdata;
    for (size_t i = 0; i < supervisor->count; i++) {
        struct supervised *s = &supervisor->units[i];

        s->is_wanted = false;
        if (s->pid == 0 && s->state != UNIT_DONE && s->state != UNIT_FAILED) {
            event_del(s->next);
            supervised_set_state(s, UNIT_STOPPED, "the agent stops");
        }
    }
    supervisor_sweep(supervisor);
    supervisor_touch(supervisor);
}

/* ---- the whole ---- */

static void look_around(struct supervisor *supervisor)
{
    if (supervisor->is_stopping)
        stop_what_may(supervisor);
    else
        start_what_may(supervisor);
}

static void on_look(evutil_socket_t fd, short what, void *userdata)
{
    look_around(userdata);
}

void supervisor_touch(struct supervisor *supervisor)
{
    struct timeval at_once = {0, 0};

    event_add(supervisor->look, &at_once);
}

int supervisor_new(struct event_base *base, struct reaper *reaper,
                   const struct supervisor_options *options, struct supervisor **ret_supervisor)
{
    OBS_CLEANUP(supervisor_freep) struct supervisor *supervisor = calloc(1, sizeof(*supervisor));

    if (!supervisor)
        return -ENOMEM;
    supervisor->base = base;
    supervisor->reaper = reaper;
    supervisor->options = *options;
    supervisor->units = calloc(options->table->count + 1, sizeof(*supervisor->units));
    supervisor->look = evtimer_new(base, on_look, supervisor);
    supervisor->sweep = evtimer_new(base, on_sweep, supervisor);
    if (!supervisor->units || !supervisor->look || !supervisor->sweep)
        return -ENOMEM;
    for (size_t i = 0; i < options->table->count; i++) {
        int r = supervised_init(&supervisor->units[i], supervisor, options->table->units[i]);

        supervisor->count++;
        if (r < 0)
            return r;
    }
    *ret_supervisor = OBS_TAKE(supervisor);
    return 0;
}

struct supervisor *supervisor_free(struct supervisor *supervisor)
{
    if (!supervisor)
        return NULL;
    for (size_t i = 0; i < supervisor->count; i++)
        supervised_done(&supervisor->units[i]);
    free(supervisor->units);
    if (supervisor->look)
        event_free(supervisor->look);
    if (supervisor->sweep)
        event_free(supervisor->sweep);
    free(supervisor);
    return NULL;
}

bool supervisor_is_ready(const struct supervisor *supervisor)
{
    for (size_t i = 0; i < supervisor->count; i++) {
        const struct supervised *s = &supervisor->units[i];

        if (s->unit->is_required && !supervised_is_ready(s))
            return false;
    }
    return true;
}

size_t supervisor_count(const struct supervisor *supervisor)
{
    return supervisor->count;
}

struct supervised *supervisor_at(const struct supervisor *supervisor, size_t index)
{
    return &supervisor->units[index];
}

struct supervised *supervisor_find(const struct supervisor *supervisor, const char *name)
{
    for (size_t i = 0; i < supervisor->count; i++)
        if (strcmp(supervisor->units[i].unit->name, name) == 0)
            return &supervisor->units[i];
    return NULL;
}
