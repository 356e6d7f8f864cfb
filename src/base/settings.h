#pragma once
/*
 * Settings: the values of a running program that an operator may change (`/config`).
 *
 * A program declares its settings in one table; parser, validation, `/config/schema` and reference
 * pages come from it. Readers take an immutable view (no locks held while they work); a change
 * makes a new view after it has been written to the state directory (atomic rename, fsync), so what
 * was acknowledged survives kill -9.
 *
 * `version` is special: it names a release, and a release has its own defaults. The value in force
 * is the operator's, else the release's, else the table's.
 */
#include "base/json.h"
#include "base/reason.h"
#include <stdbool.h>
#include <stdint.h>

enum obs_setting_type {
    OBS_SETTING_BOOL,
    OBS_SETTING_INT,
    OBS_SETTING_NUMBER,
    OBS_SETTING_CHOICE, /* one of `choices` */
    OBS_SETTING_STRING, /* at most 200 bytes, no control characters */
};

struct obs_setting {
    const char *name; /* dotted, lower case: "cache.ttl" */
    enum obs_setting_type type;
    const char *standard;    /* the default, as text: "true", "4", "0.2", "lru" */
    double minimum, maximum; /* INT and NUMBER, both included */
    const char *choices;     /* CHOICE: "a|b|c" */
    const char *unit;        /* "ms", "connections"; "" for none */
    bool needs_restart;      /* takes effect when the process starts again */
    const char *meaning;     /* one sentence for an operator */
};

struct obs_release_value {
    const char *name, *value;
};

struct obs_release {
    const char *version;                 /* "1.2" */
    struct obs_release_value values[16]; /* ends with a NULL name */
};

/* Row 0 of @rows must be `version` (CHOICE; its choices are the releases). */
struct obs_settings_schema {
    const char *service;
    const struct obs_setting *rows;
    size_t row_count;
    const struct obs_release *releases;
    size_t release_count;
};

struct obs_settings;
struct obs_settings_view; /* immutable; counted */

enum obs_settings_outcome {
    OBS_SETTINGS_OK = 0,
    OBS_SETTINGS_REFUSED = 1, /* reason: field, value and accepted range; nothing changed */
};

/* @state_path: file that keeps the operator's values; NULL keeps them in memory only. A file that
 * cannot be read or is damaged is OBS_SETTINGS_REFUSED with the path in the reason. A table that
 * contradicts itself (a default out of range) is -EINVAL. */
int obs_settings_open(const struct obs_settings_schema *schema, const char *state_path,
                      struct obs_settings **ret_settings, struct obs_reason *reterr_reason);
struct obs_settings *obs_settings_free(struct obs_settings *settings); /* views may outlive it */

/* Changes: @values is a JSON object {"cache.ttl": 30, …} (nested objects are taken as dotted
 * names). merge changes the named ones (null: back to default), replace sets the whole, reset
 * forgets all. Return: 0, OBS_SETTINGS_REFUSED, -errno when the state could not be written (reason
 * set, nothing changed). Thread-safe; may block on the disk, so call it from a worker. */
int obs_settings_merge(struct obs_settings *settings, const json_t *values,
                       struct obs_reason *reterr_reason);
int obs_settings_replace(struct obs_settings *settings, const json_t *values,
                         struct obs_reason *reterr_reason);
int obs_settings_reset(struct obs_settings *settings, struct obs_reason *reterr_reason);

/* Check and turn away a change before it is written: OBS_SETTINGS_REFUSED with a reason refuses it.
 * For rules between settings, and for programs that must apply a change elsewhere first: when the
 * change cannot be written after all, it runs once more with the view that stays in force. */
typedef int obs_settings_check_fn(const struct obs_settings_view *next, void *userdata,
                                  struct obs_reason *reterr_reason);
/* Runs after each change, in the changing thread, once it is durable and in force. Neither function
 * may change settings. */
typedef void obs_settings_changed_fn(const struct obs_settings_view *view, void *userdata);
void obs_settings_on_change(struct obs_settings *settings, obs_settings_check_fn *check,
                            obs_settings_changed_fn *changed, void *userdata);

/* A view of all values in force. Release it soon; values of type text live as long as the view. */
const struct obs_settings_view *obs_settings_acquire(struct obs_settings *settings);
void obs_settings_release(const struct obs_settings_view *view);

/* @row: index in the schema's table; asking for another type than the row's is a bug. */
bool obs_setting_bool(const struct obs_settings_view *view, size_t row);
int64_t obs_setting_int(const struct obs_settings_view *view, size_t row);
double obs_setting_number(const struct obs_settings_view *view, size_t row);
const char *obs_setting_text(const struct obs_settings_view *view, size_t row);
/* Index of the value among the row's choices. */
unsigned obs_setting_choice(const struct obs_settings_view *view, size_t row);

/* {"service":…, "version":…, "settings":{name: value…}, "changed":[names the operator set],
 *  "restart_pending":[names that take effect when the process starts again]} */
int obs_settings_json(struct obs_settings *settings, json_t **ret_json);
/* {"service":…,
 * "settings":[{name,type,default,minimum,maximum,choices,unit,needs_restart,meaning}]} type:
 * boolean, integer, number, choice, string. minimum and maximum only of integer and number, choices
 * (an array) only of choice. */
int obs_settings_schema_json(const struct obs_settings_schema *schema, json_t **ret_json);
OBS_DEFINE_CLEANUP(struct obs_settings *, obs_settings_free)
