#include "agent/served.h"

#include "agent/command.h"
#include "agent/files.h"
#include "agent/supervised.h"
#include "base/file.h"
#include "base/http_server.h"
#include "base/log.h"
#include "base/settings_api.h"
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define CHECK_TIMEOUT_MS 10000

struct served_unit {
    struct served *served;
    const struct unit *unit;
    const struct obs_settings_schema *schema;
    struct obs_settings *settings;
};

/* What a worker wants the loop to do for it. */
struct errand {
    struct served_unit *unit;
    const struct obs_settings_view *view;
};

struct served {
    struct served_options options;
    struct supervisor *supervisor;
    struct served_unit *units;
    size_t count;
    /* One errand at a time: a worker waits for the loop to do something. */
    pthread_mutex_t turn;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t done;
    struct errand errand; /* good while a worker waits */
    bool is_closed, is_done;
    int outcome;
    struct obs_reason reason;
    struct command *command;
};

static struct served_unit *find(struct served *served, const struct unit *unit)
{
    for (size_t i = 0; i < served->count; i++)
        if (served->units[i].unit == unit)
            return &served->units[i];
    return NULL;
}

/* ---- settings as variables ---- */

static int fill(const struct obs_settings_schema *schema, const struct obs_settings_view *view,
                struct variables *variables)
{
    int r = 0;

    for (size_t i = 0; i < schema->row_count && r == 0; i++) {
        char name[120], number[40];
        const char *text = number;

        snprintf(name, sizeof(name), "settings.%s", schema->rows[i].name);
        switch (schema->rows[i].type) {
        case OBS_SETTING_BOOL:
            text = obs_setting_bool(view, i) ? "true" : "false";
            break;
        case OBS_SETTING_INT:
            snprintf(number, sizeof(number), "%lld", (long long)obs_setting_int(view, i));
            break;
        case OBS_SETTING_NUMBER:
            snprintf(number, sizeof(number), "%.15g", obs_setting_number(view, i));
            break;
        default:
            text = obs_setting_text(view, i);
        }
        r = variables_set(variables, name, text, NULL);
    }
    return r;
}

int served_fill(const struct unit *unit, struct variables *variables, void *userdata)
{
    struct served_unit *u = find(userdata, unit);
    const struct obs_settings_view *view = u ? obs_settings_acquire(u->settings) : NULL;
    int r = view ? fill(u->schema, view, variables) : 0;

    if (view)
        obs_settings_release(view);
    return r;
}

/* ---- errands: worker to loop and back ---- */

static void finish(struct served *served, int outcome, const char *text)
{
    pthread_mutex_lock(&served->lock);
    served->outcome = outcome;
    snprintf(served->reason.text, sizeof(served->reason.text), "%s", text);
    served->is_done = true;
    pthread_cond_broadcast(&served->done);
    pthread_mutex_unlock(&served->lock);
}

static int run_on_loop(struct served_unit *u, obs_letter_fn *fn,
                       const struct obs_settings_view *view, struct obs_reason *reterr_reason)
{
    struct served *served = u->served;
    int outcome = OBS_SETTINGS_REFUSED;

    pthread_mutex_lock(&served->turn);
    pthread_mutex_lock(&served->lock);
    if (!served->is_closed) {
        served->is_done = false;
        served->errand = (struct errand){u, view};
    }
    if (!served->is_closed && obs_mailbox_post(served->options.mailbox, fn, served) == 0) {
        while (!served->is_done) /* served_close() ends this too */
            pthread_cond_wait(&served->done, &served->lock);
        outcome = served->outcome;
        if (outcome != 0)
            obs_reason_set(reterr_reason, "%s", served->reason.text);
    } else {
        obs_reason_set(reterr_reason, "the agent is shutting down");
    }
    pthread_mutex_unlock(&served->lock);
    pthread_mutex_unlock(&served->turn);
    return outcome;
}

/* ---- check: trial files, and the program's own opinion (loop) ---- */

static void trial_path(const struct unit_template *t, char out[PATH_MAX])
{
    snprintf(out, PATH_MAX, "%s.trial", t->target);
}

static void remove_trials(const struct unit *unit)
{
    char path[PATH_MAX];

    for (size_t i = 0; i < unit->template_count; i++) {
        trial_path(&unit->templates[i], path);
        unlink(path);
    }
}

/* nginx says "nginx: [emerg] … in FILE:LINE": the trial file's name would only puzzle. */
static void hide_trial(const struct unit *unit, char *text)
{
    char path[PATH_MAX];

    for (size_t i = 0; i < unit->template_count; i++) {
        char *found;

        trial_path(&unit->templates[i], path);
        found = strstr(text, path);
        if (found) {
            size_t size = strlen(path);
            size_t kept = strlen(unit->templates[i].target);

            memmove(found + kept, found + size, strlen(found + size) + 1);
        }
    }
}

static void on_checked(const struct command_result *result, void *userdata)
{
    struct served_unit *u = userdata;
    char line[COMMAND_OUTPUT_MAX + 1], text[240];

    u->served->command = NULL;
    remove_trials(u->unit);
    /* Programs say first what is wrong, last that something is. */
    snprintf(line, sizeof(line), "%.*s", (int)strcspn(result->output, "\n"), result->output);
    hide_trial(u->unit, line);
    if (result->exit_code == 0)
        finish(u->served, 0, "");
    else if (result->is_timeout)
        finish(u->served, OBS_SETTINGS_REFUSED, "the check of the new configuration took too long");
    else {
        snprintf(text, sizeof(text), "%.200s", line[0] ? line : "the new configuration is refused");
        finish(u->served, OBS_SETTINGS_REFUSED, text);
    }
}

static int render_trials(struct served_unit *u, const struct obs_settings_view *next,
                         struct variables *variables, struct obs_reason *reterr_reason)
{
    int r = fill(u->schema, next, variables);

    for (size_t i = 0; i < u->unit->template_count && r == 0; i++) {
        const struct unit_template *t = &u->unit->templates[i];
        char path[PATH_MAX];

        trial_path(t, path);
        r = files_render(t->source, variables, path, t->mode, reterr_reason);
        if (r == 0 && i == 0)
            r = variables_set(variables, "template", path, reterr_reason);
    }
    return r;
}

static void free_words(char **words)
{
    for (char **word = words; word && *word; word++)
        free(*word);
    free(words);
}

static int fill_words(char *const *raw, const struct variables *variables, char ***ret_words,
                      struct obs_reason *reterr_reason)
{
    size_t count = 0;
    char **words;

    while (raw[count])
        count++;
    words = calloc(count + 1, sizeof(*words));
    for (size_t i = 0; words && i < count; i++) {
        struct obs_buffer b = OBS_BUFFER_INIT(VARIABLES_TEXT_MAX);

        if (variables_fill(variables, raw[i], strlen(raw[i]), &b, reterr_reason) == 0)
            words[i] = strdup(b.data);
        obs_buffer_done(&b);
        if (!words[i]) {
            free_words(words);
            return -EINVAL;
        }
    }
    *ret_words = words;
    return words ? 0 : -ENOMEM;
}

static int start_check(struct served_unit *u, const struct obs_settings_view *next,
                       struct obs_reason *reterr_reason)
{
    const struct served_options *options = &u->served->options;
    OBS_CLEANUP(variables_freep) struct variables *variables = NULL;
    struct command_plan plan = {.directory = u->unit->directory, .timeout_ms = CHECK_TIMEOUT_MS};
    char **words = NULL, **environment = NULL;
    int r = variables_new(options->variables, &variables);

    for (char **folder = u->unit->folders; *folder && r == 0; folder++)
        r = obs_file_mkdirs(*folder, 0700);
    if (r == 0)
        r = render_trials(u, next, variables, reterr_reason);
    if (r == 0)
        r = fill_words(u->unit->check, variables, &words, reterr_reason);
    if (r == 0)
        r = environment_new(u->unit, options->state_path, &environment, reterr_reason);
    if (r == 0) {
        plan.argv = words;
        plan.environment = environment;
        r = command_start(options->base, options->reaper, &plan, on_checked, u,
                          &u->served->command);
    }
    free_words(words);
    environment_free(environment);
    return r;
}

static void check_on_loop(void *userdata)
{
    struct served *served = userdata;
    struct served_unit *u = served->errand.unit;
    struct obs_reason why = {.text = "the check could not be run"};

    if (served->is_closed) /* nobody waits: the errand is gone */
        return;
    if (start_check(u, served->errand.view, &why) < 0) {
        remove_trials(u->unit);
        finish(u->served, -EIO, why.text);
    }
}

static int check(const struct obs_settings_view *next, void *userdata,
                 struct obs_reason *reterr_reason)
{
    struct served_unit *u = userdata;

    return u->unit->check ? run_on_loop(u, check_on_loop, next, reterr_reason) : 0;
}

/* ---- apply ---- */

static void apply_on_loop(void *userdata)
{
    struct served *served = userdata;
    const struct served_unit *u = served->errand.unit;
    OBS_CLEANUP(variables_freep) struct variables *variables = NULL;
    const struct unit *unit;
    struct supervised *s;
    struct obs_reason why = {.text = "out of memory"};
    int r;

    if (served->is_closed)
        return;
    unit = u->unit;
    s = supervisor_find(served->supervisor, unit->name);
    r = variables_new(served->options.variables, &variables);
    if (r == 0)
        r = fill(u->schema, served->errand.view, variables);
    for (size_t i = 0; i < unit->template_count && r == 0; i++)
        r = files_render(unit->templates[i].source, variables, unit->templates[i].target,
                         unit->templates[i].mode, &why);
    if (r == 0)
        supervised_reload(s);
    else
        obs_log(OBS_LOG_ERROR, "settings are kept but not applied, ignoring",
                OBS_TEXT("unit", unit->name), OBS_TEXT("reason", why.text));
    if (supervised_access_log(s))
        access_log_set_version(supervised_access_log(s), obs_setting_text(served->errand.view, 0));
    finish(served, r, why.text);
}

static void changed(const struct obs_settings_view *view, void *userdata)
{
    struct served_unit *u = userdata;
    struct obs_reason why = {0};

    run_on_loop(u, apply_on_loop, view, NULL);
    if (u->unit->settings != UNIT_SETTINGS_REDIS)
        return;
    /* A Redis that is down reads the new file when it starts. */
    if (settings_redis_apply(&u->unit->address, view, &why) < 0)
        obs_log(OBS_LOG_WARN, "settings take effect when the unit starts again",
                OBS_TEXT("unit", u->unit->name), OBS_TEXT("reason", why.text));
}

/* ---- the whole ---- */

static int open_unit(struct served_unit *u, struct obs_reason *reterr_reason)
{
    char path[PATH_MAX];
    int r;

    u->schema = u->unit->settings == UNIT_SETTINGS_GATEWAY ? &SETTINGS_GATEWAY : &SETTINGS_REDIS;
    snprintf(path, sizeof(path), "%s/settings/%s.json", u->served->options.state_path,
             u->unit->name);
    r = obs_settings_open(u->schema, path, &u->settings, reterr_reason);
    if (r == 0)
        obs_settings_on_change(u->settings, check, changed, u);
    return r;
}

int served_new(const struct served_options *options, struct served **ret_served,
               struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(served_freep) struct served *served = calloc(1, sizeof(*served));
    char path[PATH_MAX];
    int r;

    if (!served)
        return -ENOMEM;
    pthread_mutex_init(&served->turn, NULL);
    pthread_mutex_init(&served->lock, NULL);
    pthread_cond_init(&served->done, NULL);
    served->options = *options;
    served->units = calloc(options->table->count + 1, sizeof(*served->units));
    if (!served->units)
        return -ENOMEM;
    snprintf(path, sizeof(path), "%s/settings", options->state_path);
    r = obs_file_mkdirs(path, 0700);
    if (r < 0) {
        obs_reason_set(reterr_reason, "cannot make folder %s: %s", path, strerror(-r));
        return r;
    }
    for (size_t i = 0; i < options->table->count && r == 0; i++) {
        if (options->table->units[i]->settings == UNIT_SETTINGS_NONE)
            continue;
        served->units[served->count] =
            (struct served_unit){.served = served, .unit = options->table->units[i]};
        r = open_unit(&served->units[served->count++], reterr_reason);
    }
    if (r != 0)
        return r;
    *ret_served = OBS_TAKE(served);
    return 0;
}

struct served *served_free(struct served *served)
{
    if (!served)
        return NULL;
    for (size_t i = 0; i < served->count; i++)
        obs_settings_free(served->units[i].settings);
    pthread_mutex_destroy(&served->turn);
    pthread_mutex_destroy(&served->lock);
    pthread_cond_destroy(&served->done);
    free(served->units);
    free(served);
    return NULL;
}

void served_attach(struct served *served, struct supervisor *supervisor)
{
    served->supervisor = supervisor;
    for (size_t i = 0; i < served->count; i++) {
        struct served_unit *u = &served->units[i];
        struct supervised *s = supervisor_find(supervisor, u->unit->name);
        const struct obs_settings_view *view = obs_settings_acquire(u->settings);

        if (supervised_access_log(s))
            access_log_set_version(supervised_access_log(s), obs_setting_text(view, 0));
        obs_settings_release(view);
    }
}

void served_close(struct served *served)
{
    served->command = command_cancel(served->command);
    pthread_mutex_lock(&served->lock);
    served->is_closed = true;
    served->outcome = OBS_SETTINGS_REFUSED;
    snprintf(served->reason.text, sizeof(served->reason.text), "the agent is shutting down");
    served->is_done = true;
    pthread_cond_broadcast(&served->done);
    pthread_mutex_unlock(&served->lock);
}

void served_handle(struct served *served, const struct unit *unit, struct obs_http_request *request)
{
    struct served_unit *u = find(served, unit);

    obs_settings_api_handle(request, u->settings, u->schema);
}
