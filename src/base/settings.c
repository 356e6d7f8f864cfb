/*
 * Settings: who may change what when.
 *
 *   change_mutex  one change at a time: check, write, put in force, tell. Held over the disk write.
 *   view_mutex    the pointer to the view in force. Held for a few instructions.
 *
 * A reader takes a reference under view_mutex and then works without locks, however long a change
 * waits for the disk.
 */
#include "base/settings.h"

#include "base/file.h"
#include "base/settings_view.h"
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define STATE_SIZE_MAX 1048576

struct obs_settings {
    const struct obs_settings_schema *schema;
    char *state_path; /* NULL: in memory only */

    pthread_mutex_t change_mutex;
    obs_settings_check_fn *check;
    obs_settings_changed_fn *changed;
    void *userdata;

    pthread_mutex_t view_mutex;
    struct obs_settings_view *view;
    const struct obs_settings_view *first; /* as the process started: what needs a restart shows */
};

/* ---- the state file ---- */

static int refuse_state(const char *path, const struct obs_reason *why,
                        struct obs_reason *reterr_reason)
{
    obs_reason_set_at(reterr_reason, why->line, why->column, "the settings in \"%.100s\": %.110s",
                      path, why->text);
    return OBS_SETTINGS_REFUSED;
}

static int parse_state(const struct obs_settings_schema *schema, const char *path,
                       const struct obs_buffer *b, json_t **ret_chosen,
                       struct obs_reason *reterr_reason)
{
    OBS_JSON json = NULL;
    OBS_JSON chosen = NULL;
    struct obs_reason why = {0};
    const char *key;
    json_t *value;
    int r = obs_json_parse(b->data, b->size, &json, &why);

    if (r == OBS_JSON_OK)
        r = obs_settings_flatten(schema, json, &chosen, &why);
    if (r < 0)
        return r;
    if (r > 0)
        return refuse_state(path, &why, reterr_reason);
    json_object_foreach (chosen, key, value) {
        if (json_is_null(value)) {
            obs_reason_set(&why, "\"%s\" is null", key);
            return refuse_state(path, &why, reterr_reason);
        }
    }
    *ret_chosen = OBS_TAKE(chosen);
    return 0;
}

static int read_state(const struct obs_settings_schema *schema, const char *path,
                      json_t **ret_chosen, struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer b = OBS_BUFFER_INIT(STATE_SIZE_MAX);
    struct obs_reason why = {0};
    int r = path ? obs_file_read(path, &b) : -ENOENT;

    if (r == -ENOENT) {
        *ret_chosen = json_object();
        return *ret_chosen ? 0 : -ENOMEM;
    }
    if (r == -ENOMEM)
        return r;
    if (r < 0) {
        obs_reason_set(&why, "cannot be read: %s",
                       r == -EMSGSIZE ? "File too large" : strerrordesc_np(-r));
        return refuse_state(path, &why, reterr_reason);
    }
    return parse_state(schema, path, &b, ret_chosen, reterr_reason);
}

static int write_state(const struct obs_settings *settings, const json_t *chosen,
                       struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer b = OBS_BUFFER_INIT(STATE_SIZE_MAX);
    int r = obs_json_emit(chosen, &b);

    if (!settings->state_path)
        return 0;
    if (r == 0)
        r = obs_buffer_append_char(&b, '\n');
    if (r < 0) {
        obs_reason_set(reterr_reason, "cannot write the settings: %s", strerrordesc_np(-r));
        return r;
    }
    return obs_file_write_atomic(settings->state_path, b.data, b.size, 0600, reterr_reason);
}

/* ---- life ---- */

/* The table's own promises: row 0 is the version, and every release can be put in force. */
static int check_schema(const struct obs_settings_schema *schema, struct obs_reason *reterr_reason)
{
    if (schema->row_count == 0 || strcmp(schema->rows[0].name, "version") != 0 ||
        schema->rows[0].type != OBS_SETTING_CHOICE) {
        obs_reason_set(reterr_reason, "the table of %s does not begin with version",
                       schema->service);
        return -EINVAL;
    }
    for (size_t i = 0; i < schema->release_count; i++) {
        OBS_JSON chosen = json_pack("{s:s}", "version", schema->releases[i].version);
        struct obs_settings_view *view;
        int r = chosen ? obs_settings_view_new(schema, chosen, &view, reterr_reason) : -ENOMEM;

        if (r < 0)
            return r;
        obs_settings_release(view);
    }
    return 0;
}

int obs_settings_open(const struct obs_settings_schema *schema, const char *state_path,
                      struct obs_settings **ret_settings, struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(obs_settings_freep) struct obs_settings *settings = NULL;
    OBS_JSON chosen = NULL;
    int r = check_schema(schema, reterr_reason);

    if (r < 0)
        return r;
    settings = calloc(1, sizeof(*settings));
    if (!settings)
        return -ENOMEM;
    settings->schema = schema;
    pthread_mutex_init(&settings->change_mutex, NULL);
    pthread_mutex_init(&settings->view_mutex, NULL);
    if (state_path) {
        settings->state_path = strdup(state_path);
        if (!settings->state_path)
            return -ENOMEM;
        obs_file_sweep(state_path);
    }
    r = read_state(schema, state_path, &chosen, reterr_reason);
    if (r != 0)
        return r;
    r = obs_settings_view_new(schema, chosen, &settings->view, reterr_reason);
    if (r < 0)
        return r;
    settings->first = obs_settings_view_ref(settings->view);
    *ret_settings = OBS_TAKE(settings);
    return 0;
}

struct obs_settings *obs_settings_free(struct obs_settings *settings)
{
    if (!settings)
        return NULL;
    obs_settings_release(settings->first);
    obs_settings_release(settings->view);
    pthread_mutex_destroy(&settings->view_mutex);
    pthread_mutex_destroy(&settings->change_mutex);
    free(settings->state_path);
    free(settings);
    return NULL;
}

const struct obs_settings_view *obs_settings_acquire(struct obs_settings *settings)
{
    const struct obs_settings_view *view;

    pthread_mutex_lock(&settings->view_mutex);
    view = obs_settings_view_ref(settings->view);
    pthread_mutex_unlock(&settings->view_mutex);
    return view;
}

void obs_settings_on_change(struct obs_settings *settings, obs_settings_check_fn *check,
                            obs_settings_changed_fn *changed, void *userdata)
{
    pthread_mutex_lock(&settings->change_mutex);
    settings->check = check;
    settings->changed = changed;
    settings->userdata = userdata;
    pthread_mutex_unlock(&settings->change_mutex);
}

/* ---- changes: all under change_mutex ---- */

static void put_in_force(struct obs_settings *settings, struct obs_settings_view *next)
{
    struct obs_settings_view *before = settings->view;

    pthread_mutex_lock(&settings->view_mutex);
    settings->view = next;
    pthread_mutex_unlock(&settings->view_mutex);
    obs_settings_release(before);
    if (settings->changed)
        settings->changed(next, settings->userdata);
}

/* Refusals of the check function and failures of the disk leave everything as it was. */
static int change_to(struct obs_settings *settings, json_t *chosen,
                     struct obs_reason *reterr_reason)
{
    struct obs_settings_view *next;
    int r;

    if (json_equal(chosen, obs_settings_view_chosen(settings->view)))
        return 0;
    r = obs_settings_view_new(settings->schema, chosen, &next, reterr_reason);
    if (r < 0)
        return r;
    if (settings->check)
        r = settings->check(next, settings->userdata, reterr_reason);
    if (r == 0) {
        r = write_state(settings, chosen, reterr_reason);
        if (r < 0 && settings->check)
            settings->check(settings->view, settings->userdata, NULL);
    }
    if (r != 0) {
        obs_settings_release(next);
        return r;
    }
    put_in_force(settings, next);
    return 0;
}

/* Lay @flat over @base; null takes a name away. */
static int overlay(json_t *base, json_t *flat)
{
    const char *key;
    json_t *value;

    json_object_foreach (flat, key, value) {
        if (json_is_null(value))
            json_object_del(base, key);
        else if (json_object_set(base, key, value) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int change(struct obs_settings *settings, const json_t *values, bool keep_others,
                  struct obs_reason *reterr_reason)
{
    OBS_JSON flat = NULL;
    OBS_JSON chosen = NULL;
    int r = obs_settings_flatten(settings->schema, values, &flat, reterr_reason);

    if (r != 0)
        return r;
    pthread_mutex_lock(&settings->change_mutex);
    chosen = keep_others ? json_deep_copy(obs_settings_view_chosen(settings->view)) : json_object();
    r = chosen ? overlay(chosen, flat) : -ENOMEM;
    if (r == 0)
        r = change_to(settings, chosen, reterr_reason);
    pthread_mutex_unlock(&settings->change_mutex);
    if (r == -ENOMEM)
        obs_reason_set(reterr_reason, "out of memory");
    return r;
}

int obs_settings_merge(struct obs_settings *settings, const json_t *values,
                       struct obs_reason *reterr_reason)
{
    return change(settings, values, true, reterr_reason);
}

int obs_settings_replace(struct obs_settings *settings, const json_t *values,
                         struct obs_reason *reterr_reason)
{
    return change(settings, values, false, reterr_reason);
}

int obs_settings_reset(struct obs_settings *settings, struct obs_reason *reterr_reason)
{
    OBS_JSON none = json_object();

    return none ? change(settings, none, false, reterr_reason) : -ENOMEM;
}

/* ---- as JSON ---- */

static json_t *restart_json(const struct obs_settings *settings,
                            const struct obs_settings_view *view)
{
    json_t *names = json_array();

    for (size_t i = 0; names && i < settings->schema->row_count; i++)
        if (settings->schema->rows[i].needs_restart &&
            !obs_settings_view_same(view, settings->first, i))
            json_array_append_new(names, json_string(settings->schema->rows[i].name));
    return names;
}

static json_t *view_json(const struct obs_settings *settings, const struct obs_settings_view *view)
{
    OBS_JSON values = json_object();
    OBS_JSON changed = json_array();
    const struct obs_settings_schema *schema = settings->schema;

    for (size_t i = 0; i < schema->row_count; i++) {
        const char *name = schema->rows[i].name;

        if (json_object_set_new(values, name, obs_settings_view_value(view, i)) < 0)
            return NULL;
        if (json_object_get(obs_settings_view_chosen(view), name) &&
            json_array_append_new(changed, json_string(name)) < 0)
            return NULL;
    }
    return json_pack("{s:s, s:s, s:O, s:O, s:o}", "service", schema->service, "version",
                     obs_setting_text(view, 0), "settings", values, "changed", changed,
                     "restart_pending", restart_json(settings, view));
}

int obs_settings_json(struct obs_settings *settings, json_t **ret_json)
{
    const struct obs_settings_view *view = obs_settings_acquire(settings);
    json_t *json = view_json(settings, view);

    obs_settings_release(view);
    if (!json)
        return -ENOMEM;
    *ret_json = json;
    return 0;
}
