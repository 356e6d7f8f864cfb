/*
 *            ┌────────────── backoff ◄──────────────┐
 *            ▼                                      │ ends
 *   waiting ──► starting ──► running ⇄ unready ─────┤
 *      ▲  dependencies  ready                       ├──► failed (too often)
 *      └──── stopped ◄──── stopping ◄── operator ───┘    done (a task that succeeded)
 */
#include "agent/supervised.h"

#include "agent/files.h"
#include "agent/proc.h"
#include "agent/process.h"
#include "agent/ship.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define ASK_FIRST_MS 20
#define ASK_LAST_MS 250
#define LAST_LINES 5 /* told when a unit is given up */

const char *const UNIT_STATE_TEXTS[UNIT_STATE_COUNT] = {
#define UNIT_STATE_TEXT(id, text) [UNIT_##id] = (text),
    UNIT_STATES(UNIT_STATE_TEXT)
#undef UNIT_STATE_TEXT
};

static void start_timer(struct event *timer, unsigned ms)
{
    struct timeval after = {ms / 1000, ms % 1000 * 1000};

    event_add(timer, &after);
}

void supervised_set_state(struct supervised *s, enum unit_state state, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(s->reason, sizeof(s->reason), format, args);
    va_end(args);
    s->state = state;
    supervisor_touch(s->supervisor);
}

bool supervised_is_settled(const struct supervised *s)
{
    return s->state == UNIT_RUNNING || s->state == UNIT_UNREADY || s->state == UNIT_DONE;
}

/* ---- end ---- */

static void log_line(const char *line, size_t size, void *userdata)
{
    obs_log(OBS_LOG_ERROR, "last output", OBS_TEXT("unit", userdata), OBS_TEXT("line", line));
}

static void forget_process(struct supervised *s)
{
    s->ready = probe_free(s->ready);
    s->liveness = probe_free(s->liveness);
    event_del(s->next);
    event_del(s->deadline);
    event_del(s->ask_ready);
    event_del(s->ask_liveness);
}

/* It ended, or did not come to life, and should be up. */
static void retry(struct supervised *s, const char *why)
{
    const struct unit_restart *policy = &s->unit->restart;
    unsigned wait_ms;

    if (backoff_ended(&s->backoff, policy, s->started_mono_ns, obs_mono_ns(), &wait_ms) ==
        BACKOFF_GIVE_UP) {
        s->is_wanted = false;
        obs_log(OBS_LOG_ERROR, "unit ended too often; not starting it again",
                OBS_TEXT("unit", s->unit->name), OBS_TEXT("reason", why),
                OBS_INT("ends", policy->limit), OBS_INT("within_s", policy->window_ms / 1000));
        capture_tail(s->capture, LAST_LINES, log_line, (void *)s->unit->name);
        supervised_set_state(s, UNIT_FAILED, "ended %u times within %u s; the last time: %s",
                             policy->limit, policy->window_ms / 1000, why);
        return;
    }
    obs_log(OBS_LOG_WARN, "unit ended; starting it again", OBS_TEXT("unit", s->unit->name),
            OBS_TEXT("reason", why), OBS_INT("after_ms", wait_ms));
    supervised_set_state(s, UNIT_BACKOFF, "%s", why);
    start_timer(s->next, wait_ms);
}

static void describe_end(const struct supervised *s, int status, char *out, size_t capacity)
{
    if (s->verdict[0])
        snprintf(out, capacity, "%s", s->verdict);
    else if (WIFSIGNALED(status))
        snprintf(out, capacity, "ended by signal %s", unit_signal_name(WTERMSIG(status)));
    else
        snprintf(out, capacity, "ended with status %d", WEXITSTATUS(status));
}

static void on_end(pid_t pid, int status, const struct rusage *usage, void *userdata)
{
    struct supervised *s = userdata;
    char why[200];

    capture_drain(s->capture);
    forget_process(s);
    s->pid = 0;
    s->has_ended = true;
    s->last_status = status;
    s->ended_ns = obs_time_ns();
    s->cpu_ended += (double)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) +
                    (double)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) / 1e6;
    supervisor_write_ledger(s->supervisor);
    supervisor_sweep(s->supervisor);
    describe_end(s, status, why, sizeof(why));
    if (s->state == UNIT_STOPPING && s->is_wanted)
        supervised_set_state(s, UNIT_WAITING, "starts again");
    else if (s->state == UNIT_STOPPING || !s->is_wanted)
        supervised_set_state(s, UNIT_STOPPED, "stopped by an operator");
    else if (s->unit->kind == UNIT_TASK && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        supervised_set_state(s, UNIT_DONE, "%s", "");
    else
        retry(s, why);
}

static void on_next(evutil_socket_t fd, short what, void *userdata)
{
    struct supervised *s = userdata;

    if (s->state == UNIT_BACKOFF)
        supervised_set_state(s, UNIT_WAITING, "starts again");
    else if (s->state == UNIT_STOPPING && s->pid > 0) {
        obs_log(OBS_LOG_WARN, "unit did not stop in time; killing it",
                OBS_TEXT("unit", s->unit->name), OBS_INT("timeout_ms", s->unit->stop_timeout_ms));
        kill(-s->pid, SIGKILL);
        kill(s->pid, SIGKILL);
    }
}

void supervised_end(struct supervised *s)
{
    if (s->pid == 0 || s->state == UNIT_STOPPING)
        return;
    s->ready = probe_free(s->ready);
    s->liveness = probe_free(s->liveness);
    event_del(s->ask_ready);
    event_del(s->ask_liveness);
    event_del(s->deadline);
    kill(s->pid, s->unit->stop_signal);
    kill(s->pid, SIGCONT); /* a stopped process takes no other signal */
    start_timer(s->next, s->unit->stop_timeout_ms);
    supervised_set_state(s, UNIT_STOPPING, "%s", "");
}

/* ---- probes ---- */

static void come_up(struct supervised *s)
{
    event_del(s->deadline);
    supervised_set_state(s, UNIT_RUNNING, "%s", "");
    obs_log(OBS_LOG_INFO, "unit is up", OBS_TEXT("unit", s->unit->name), OBS_INT("pid", s->pid),
            OBS_INT("after_ms", (obs_mono_ns() - s->started_mono_ns) / OBS_NS_PER_MS));
    if (s->unit->liveness.kind != UNIT_PROBE_NONE)
        start_timer(s->ask_liveness, s->unit->liveness.interval_ms);
    if (s->supervisor->options.up)
        s->supervisor->options.up(s->unit, s->supervisor->options.userdata);
}

static void on_ready_answer(bool is_good, const char *reason, void *userdata)
{
    struct supervised *s = userdata;

    if (s->state == UNIT_STARTING && !is_good) {
        snprintf(s->reason, sizeof(s->reason), "not ready yet: %s", reason);
        s->ask_ms =
            s->ask_ms + s->ask_ms / 3 < ASK_LAST_MS ? s->ask_ms + s->ask_ms / 3 : ASK_LAST_MS;
    } else if (s->state == UNIT_STARTING) {
        come_up(s);
        s->ask_ms = s->unit->ready.interval_ms;
    } else if (is_good && s->state == UNIT_UNREADY) {
        supervised_set_state(s, UNIT_RUNNING, "%s", "");
    } else if (!is_good) {
        supervised_set_state(s, UNIT_UNREADY, "%s", reason);
    }
    start_timer(s->ask_ready, s->ask_ms);
}

static void on_ask_ready(evutil_socket_t fd, short what, void *userdata)
{
    probe_ask(((struct supervised *)userdata)->ready);
}

static void on_ask_liveness(evutil_socket_t fd, short what, void *userdata)
{
    probe_ask(((struct supervised *)userdata)->liveness);
}

static void on_liveness_answer(bool is_good, const char *reason, void *userdata)
{
    struct supervised *s = userdata;

    s->bad_liveness = is_good ? 0 : s->bad_liveness + 1;
    if (s->bad_liveness < s->unit->liveness.failures) {
        start_timer(s->ask_liveness, s->unit->liveness.interval_ms);
        return;
    }
    obs_log(OBS_LOG_WARN, "unit does not answer; killing it", OBS_TEXT("unit", s->unit->name),
            OBS_TEXT("reason", reason), OBS_INT("failures", s->bad_liveness));
    kill(-s->pid, SIGKILL);
}

static void on_deadline(evutil_socket_t fd, short what, void *userdata)
{
    struct supervised *s = userdata;

    snprintf(s->verdict, sizeof(s->verdict), "not ready within %u ms (%.130s)",
             s->unit->ready.within_ms, s->reason[0] ? s->reason : "no answer");
    probe_cancel(s->ready);
    event_del(s->ask_ready);
    kill(-s->pid, SIGKILL);
}

static int start_probes(struct supervised *s)
{
    const struct unit *unit = s->unit;
    struct supervisor *supervisor = s->supervisor;
    int r = 0;

    s->bad_liveness = 0;
    s->ask_ms = ASK_FIRST_MS;
    if (unit->liveness.kind != UNIT_PROBE_NONE)
        r = probe_new(supervisor->base, supervisor->reaper, &unit->liveness, s->environment,
                      unit->directory, on_liveness_answer, s, &s->liveness);
    if (r < 0 || unit->ready.kind == UNIT_PROBE_NONE)
        return r;
    r = probe_new(supervisor->base, supervisor->reaper, &unit->ready, s->environment,
                  unit->directory, on_ready_answer, s, &s->ready);
    if (r < 0)
        return r;
    start_timer(s->deadline, unit->ready.within_ms);
    start_timer(s->ask_ready, s->ask_ms);
    return 0;
}

/* ---- start ---- */

static int make_folders(const struct unit *unit, struct obs_reason *reterr_reason)
{
    for (char **folder = unit->folders; *folder; folder++) {
        int r = obs_file_mkdirs(*folder, 0700);

        if (r < 0) {
            obs_reason_set(reterr_reason, "cannot make folder %s: %s", *folder, strerror(-r));
            return r;
        }
    }
    return 0;
}

static int remove_sockets(const struct unit *unit, struct obs_reason *reterr_reason)
{
    for (char **path = unit->sockets; *path; path++) {
        struct stat info;

        if (lstat(*path, &info) < 0)
            continue;
        if (!S_ISSOCK(info.st_mode)) {
            obs_reason_set(reterr_reason, "%s is in the way: not a socket", *path);
            return -EEXIST;
        }
        if (unlink(*path) < 0) {
            obs_reason_set(reterr_reason, "cannot remove %s: %s", *path, strerror(errno));
            return -EACCES;
        }
    }
    return 0;
}

static int render_templates(struct supervised *s, struct obs_reason *reterr_reason)
{
    const struct supervisor_options *options = &s->supervisor->options;
    OBS_CLEANUP(variables_freep) struct variables *variables = NULL;
    int r = variables_new(options->variables, &variables);

    if (r == 0 && s->unit->settings != UNIT_SETTINGS_NONE && options->settings)
        r = options->settings(s->unit, variables, options->userdata);
    for (size_t i = 0; i < s->unit->template_count && r == 0; i++) {
        const struct unit_template *t = &s->unit->templates[i];

        r = files_render(t->source, variables, t->target, t->mode, reterr_reason);
    }
    return r;
}

static int prepare(struct supervised *s, struct obs_reason *reterr_reason)
{
    int r = make_folders(s->unit, reterr_reason);

    if (r == 0)
        r = remove_sockets(s->unit, reterr_reason);
    if (r == 0)
        r = render_templates(s, reterr_reason);
    if (r < 0)
        return r;
    s->environment = environment_free(s->environment);
    return environment_new(s->unit, s->supervisor->options.state_path, &s->environment,
                           reterr_reason);
}

static int spawn(struct supervised *s, struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(obs_closep) int output_fd = -1;
    struct process_plan plan = {.argv = s->unit->argv,
                                .environment = s->environment,
                                .directory = s->unit->directory,
                                .death_signal = s->unit->death_signal};
    struct proc_stat stat = {0};
    int r = capture_attach(s->capture, &output_fd);

    if (r < 0) {
        obs_reason_set(reterr_reason, "cannot make a pipe: %s", strerror(-r));
        return r;
    }
    plan.output_fd = output_fd;
    if (process_spawn(&plan, &s->pid, reterr_reason) != 0)
        return -EIO;
    if (reaper_watch(s->supervisor->reaper, s->pid, on_end, s) < 0) {
        kill(s->pid, SIGKILL);
        s->pid = 0;
        obs_reason_set(reterr_reason, "not enough memory");
        return -ENOMEM;
    }
    proc_stat_read(s->pid, &stat);
    s->start_ticks = stat.start_ticks;
    return 0;
}

void supervised_launch(struct supervised *s)
{
    struct obs_reason why = {.text = "not enough memory"};
    int r;

    s->started_mono_ns = obs_mono_ns();
    s->verdict[0] = '\0';
    r = prepare(s, &why);
    if (r == 0)
        r = spawn(s, &why);
    if (r < 0) {
        retry(s, why.text);
        return;
    }
    s->lives++;
    s->started_ns = obs_time_ns();
    supervised_set_state(s, UNIT_STARTING, "%s", "");
    supervisor_write_ledger(s->supervisor);
    obs_log(OBS_LOG_INFO, "unit started", OBS_TEXT("unit", s->unit->name), OBS_INT("pid", s->pid));
    r = start_probes(s);
    if (r < 0)
        obs_log(OBS_LOG_ERROR, "cannot watch the unit, ignoring", OBS_TEXT("unit", s->unit->name),
                OBS_TEXT("error", strerror(-r)));
    if (s->unit->kind == UNIT_SERVICE && !s->ready)
        come_up(s);
}

/* ---- operators ---- */

static int refuse_stopping(const struct supervised *s, struct obs_reason *reterr_reason)
{
    if (!s->supervisor->is_stopping)
        return 0;
    obs_reason_set(reterr_reason, "the agent is shutting down");
    return SUPERVISOR_REFUSED;
}

int supervised_start(struct supervised *s, struct obs_reason *reterr_reason)
{
    if (refuse_stopping(s, reterr_reason) != 0)
        return SUPERVISOR_REFUSED;
    backoff_reset(&s->backoff);
    s->is_wanted = true;
    if (s->pid == 0) {
        event_del(s->next);
        supervised_set_state(s, UNIT_WAITING, "starts");
    }
    return 0;
}

int supervised_stop(struct supervised *s, struct obs_reason *reterr_reason)
{
    if (refuse_stopping(s, reterr_reason) != 0)
        return SUPERVISOR_REFUSED;
    s->is_wanted = false;
    event_del(s->next);
    if (s->pid > 0 && s->state == UNIT_STOPPING)
        start_timer(s->next, s->unit->stop_timeout_ms);
    else if (s->pid > 0)
        supervised_end(s);
    else if (s->state != UNIT_DONE)
        supervised_set_state(s, UNIT_STOPPED, "stopped by an operator");
    return 0;
}

int supervised_restart(struct supervised *s, struct obs_reason *reterr_reason)
{
    int r = supervised_start(s, reterr_reason);

    if (r == 0)
        supervised_end(s);
    return r;
}

int supervised_signal(struct supervised *s, int number, struct obs_reason *reterr_reason)
{
    if (s->pid == 0) {
        obs_reason_set(reterr_reason, "%s does not run: it is %s", s->unit->name,
                       UNIT_STATE_TEXTS[s->state]);
        return SUPERVISOR_REFUSED;
    }
    if (kill(s->pid, number) < 0) {
        obs_reason_set(reterr_reason, "cannot signal %s: %s", s->unit->name, strerror(errno));
        return SUPERVISOR_REFUSED;
    }
    return 0;
}

void supervised_reload(struct supervised *s)
{
    if (s->pid > 0 && s->unit->reload_signal && s->state != UNIT_STOPPING)
        kill(s->pid, s->unit->reload_signal);
}

/* ---- the whole ---- */

static void on_access_line(const char *line, size_t size, void *userdata)
{
    access_log_take(userdata, line, size);
}

static void on_captured_line(const char *line, size_t size, void *userdata)
{
    struct supervised *s = userdata;

    ship_take(s->supervisor->options.ship, s->unit, line, size);
}

static int open_access_log(struct supervised *s)
{
    struct access_log_options options = {.service = s->unit->log_service,
                                         .version = "",
                                         .routes = (const char *const *)s->unit->log_routes,
                                         .endpoint = s->supervisor->options.endpoint,
                                         .resource = s->supervisor->options.resource};

    if (s->unit->log_format != UNIT_LOG_NGINX_ACCESS)
        return 0;
    return access_log_new(&options, &s->access_log);
}

int supervised_init(struct supervised *s, struct supervisor *supervisor, const struct unit *unit)
{
    struct capture_options capture = {.service = unit->log_service ? unit->log_service : unit->name,
                                      .format = unit->log_format};
    char path[PATH_MAX];
    int r;

    *s = (struct supervised){.supervisor = supervisor, .unit = unit, .is_wanted = true};
    r = open_access_log(s);
    if (r < 0)
        return r;
    snprintf(path, sizeof(path), "%s/%s.log", supervisor->options.log_path, unit->name);
    capture.path = path;
    if (s->access_log) {
        capture.on_line = on_access_line;
        capture.userdata = s->access_log;
    }
    r = capture_new(supervisor->base, &capture, &s->capture);
    if (r < 0)
        return r;
    if (supervisor->options.ship && !capture_follow(s->capture, on_captured_line, s))
        return -ENOMEM;
    s->next = evtimer_new(supervisor->base, on_next, s);
    s->deadline = evtimer_new(supervisor->base, on_deadline, s);
    s->ask_ready = evtimer_new(supervisor->base, on_ask_ready, s);
    s->ask_liveness = evtimer_new(supervisor->base, on_ask_liveness, s);
    return s->next && s->deadline && s->ask_ready && s->ask_liveness ? 0 : -ENOMEM;
}

void supervised_done(struct supervised *s)
{
    struct event *timers[] = {s->next, s->deadline, s->ask_ready, s->ask_liveness};

    probe_free(s->ready);
    probe_free(s->liveness);
    for (size_t i = 0; i < OBS_COUNT(timers); i++)
        if (timers[i])
            event_free(timers[i]);
    capture_free(s->capture);
    access_log_free(s->access_log);
    environment_free(s->environment);
}

const struct unit *supervised_unit(const struct supervised *s)
{
    return s->unit;
}

struct capture *supervised_capture(const struct supervised *s)
{
    return s->capture;
}

struct access_log *supervised_access_log(const struct supervised *s)
{
    return s->access_log;
}

enum unit_state supervised_state(const struct supervised *s)
{
    return s->state;
}

bool supervised_is_ready(const struct supervised *s)
{
    return s->state == UNIT_RUNNING || s->state == UNIT_DONE;
}
