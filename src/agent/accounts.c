/*
 * Accounts: what a unit uses and how it stands, for metrics and the API.
 *
 * CPU time is that of all lives: what wait4(2) told of processes that ended (with the children they
 * had waited for) and what /proc says of those that live. It never goes down. Memory is what the
 * unit's processes hold resident and share with nobody through files or shared memory.
 */
#include "agent/supervised.h"

#include "agent/proc.h"
#include "base/clock.h"
#include <errno.h>
#include <string.h>
#include <sys/wait.h>

#define LOOK_EVERY_NS (500 * OBS_NS_PER_MS)
#define LAST_LINES 10

static void look(struct supervised *s)
{
    pid_t pids[PROC_TREE_MAX];
    struct proc_stat leader;
    double cpu = s->cpu_ended;
    uint64_t memory = 0;
    size_t count = 0;

    if (s->pid > 0 && proc_stat_read(s->pid, &leader) == 0) {
        /* Units below another agent are told by that agent. */
        bool is_agent = strcmp(leader.name, "observa-guard") == 0;

        count = proc_tree(s->pid, is_agent ? leader.session : 0, pids, PROC_TREE_MAX);
    }
    for (size_t i = 0; i < count; i++) {
        struct proc_stat stat;

        if (proc_stat_read(pids[i], &stat) < 0)
            continue;
        cpu += proc_ticks_to_seconds(stat.cpu_ticks);
        memory += proc_private_bytes(pids[i]);
    }
    s->cpu_shown = cpu > s->cpu_shown ? cpu : s->cpu_shown;
    s->memory_bytes = memory;
}

static void look_if_old(struct supervised *s)
{
    uint64_t now = obs_mono_ns();

    if (s->looked_ns && now - s->looked_ns < LOOK_EVERY_NS)
        return;
    s->looked_ns = now;
    look(s);
}

double supervised_cpu_seconds(struct supervised *s)
{
    look_if_old(s);
    return s->cpu_shown;
}

uint64_t supervised_memory_bytes(struct supervised *s)
{
    look_if_old(s);
    return s->memory_bytes;
}

unsigned supervised_restarts(const struct supervised *s)
{
    return s->lives > 0 ? s->lives - 1 : 0;
}

bool supervised_last_exit(const struct supervised *s, int *ret_code)
{
    *ret_code =
        WIFEXITED(s->last_status) ? WEXITSTATUS(s->last_status) : 128 + WTERMSIG(s->last_status);
    return s->has_ended;
}

double supervised_started_seconds(const struct supervised *s)
{
    return s->pid > 0 ? (double)s->started_ns / 1e9 : 0;
}

static json_t *last_exit_json(const struct supervised *s)
{
    char time[OBS_RFC3339_SIZE];
    int code;

    if (!supervised_last_exit(s, &code))
        return json_null();
    obs_time_rfc3339(s->ended_ns, time);
    return json_pack("{s:i, s:s?, s:s}", "code", code, "signal",
                     WIFSIGNALED(s->last_status) ? unit_signal_name(WTERMSIG(s->last_status))
                                                 : NULL,
                     "at", time);
}

static void add_line(const char *line, size_t size, void *userdata)
{
    json_array_append_new(userdata, json_stringn(line, size));
}

int supervised_json(struct supervised *s, json_t **ret_json)
{
    const struct unit *unit = s->unit;
    char started[OBS_RFC3339_SIZE];
    json_t *after = json_array(), *json;

    for (size_t i = 0; i < unit->after_count; i++)
        json_array_append_new(after, json_string(unit->after[i]->name));
    obs_time_rfc3339(s->started_ns, started);
    json = json_pack("{s:s, s:s, s:s, s:b, s:b, s:s%, s:o, s:o, s:i, s:o, s:o, s:b, s:f, s:I}",
                     "name", unit->name, "kind", unit->kind == UNIT_TASK ? "task" : "service",
                     "state", UNIT_STATE_TEXTS[s->state], "required", unit->is_required, "ready",
                     supervised_is_ready(s), "reason", s->reason, strlen(s->reason), "pid",
                     s->pid > 0 ? json_integer(s->pid) : json_null(), "started",
                     s->pid > 0 ? json_string(started) : json_null(), "restarts",
                     supervised_restarts(s), "last_exit", last_exit_json(s), "after", after,
                     "config", unit->has_admin || unit->settings != UNIT_SETTINGS_NONE,
                     "cpu_seconds", supervised_cpu_seconds(s), "memory_bytes",
                     (json_int_t)supervised_memory_bytes(s));
    if (!json)
        return -ENOMEM;
    if (s->state == UNIT_FAILED || s->state == UNIT_BACKOFF) {
        json_t *lines = json_array();

        capture_tail(s->capture, LAST_LINES, add_line, lines);
        json_object_set_new(json, "last_lines", lines);
    }
    *ret_json = json;
    return 0;
}
