/*
 * The table is read in two passes: each unit by itself, key by key from one list of keys
 * (unit_fields.c), then `after` by name, and cycles.
 */
#include "agent/unit.h"

#include "agent/unit_read.h"
#include "base/arena.h"
#include "base/file.h"
#include "base/yaml.h"
#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define UNIT_ARENA_BYTES 4194304

/* ---- signals ---- */

static const struct {
    const char *name;
    int number;
} SIGNALS[] = {
    {"TERM", SIGTERM}, {"HUP", SIGHUP},   {"KILL", SIGKILL}, {"USR1", SIGUSR1}, {"USR2", SIGUSR2},
    {"STOP", SIGSTOP}, {"CONT", SIGCONT}, {"INT", SIGINT},   {"QUIT", SIGQUIT}, {"SEGV", SIGSEGV},
    {"ABRT", SIGABRT}, {"BUS", SIGBUS},   {"PIPE", SIGPIPE}, {"FPE", SIGFPE},   {"ILL", SIGILL},
    {"ALRM", SIGALRM}, {"XCPU", SIGXCPU}, {"XFSZ", SIGXFSZ}, {"TRAP", SIGTRAP}, {"SYS", SIGSYS},
};

int unit_signal_parse(const char *name)
{
    if (strncmp(name, "SIG", 3) == 0)
        name += 3;
    for (size_t i = 0; i < OBS_COUNT(SIGNALS); i++)
        if (strcmp(SIGNALS[i].name, name) == 0)
            return SIGNALS[i].number;
    return 0;
}

const char *unit_signal_name(int number)
{
    for (size_t i = 0; i < OBS_COUNT(SIGNALS); i++)
        if (SIGNALS[i].number == number)
            return SIGNALS[i].name;
    return "?";
}

/* ---- units ---- */

static const struct unit_probe PROBE_DEFAULT = {
    .path = "/", .timeout_ms = 2000, .interval_ms = 5000, .within_ms = 60000, .failures = 3};

static bool is_unit_name(const char *name)
{
    size_t size = strlen(name);

    if (size == 0 || size > UNIT_NAME_MAX || !islower((unsigned char)name[0]))
        return false;
    return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == size;
}

/* Rules between the keys of one unit. */
static int check_unit(struct unit_reading *in, struct unit *unit)
{
    in->key = NULL;
    if (!unit->argv)
        return unit_read_refuse(in, "\"exec\" is missing");
    if (unit->restart.backoff_max_ms < unit->restart.backoff_ms)
        return unit_read_refuse(in, "restart.backoff_max is less than restart.backoff");
    if (unit->settings != UNIT_SETTINGS_NONE && unit->has_admin)
        return unit_read_refuse(in, "has both \"settings\" and \"admin\"");
    if (unit->settings == UNIT_SETTINGS_REDIS && !unit->has_address)
        return unit_read_refuse(in, "settings: redis needs \"address\"");
    if (unit->check && (unit->settings == UNIT_SETTINGS_NONE || unit->template_count == 0))
        return unit_read_refuse(in, "\"check\" needs \"settings\" and \"templates\"");
    if (unit->kind == UNIT_TASK &&
        (unit->ready.kind != UNIT_PROBE_NONE || unit->liveness.kind != UNIT_PROBE_NONE))
        return unit_read_refuse(in, "a task has no probes");
    if (unit->log_format == UNIT_LOG_NGINX_ACCESS && !unit->log_service)
        unit->log_service = unit->name;
    if (unit->death_signal == 0)
        unit->death_signal = unit->stop_signal;
    return 0;
}

static int read_unit(struct unit_reading *in, const char *name, const json_t *value,
                     struct unit **ret_unit)
{
    const char *const *state = &(const char *){variables_find(in->variables, "state")};
    struct unit *unit = obs_arena_alloc(in->arena, sizeof(*unit));
    static char *nothing[] = {NULL};

    if (!unit)
        return -ENOMEM;
    in->key = NULL;
    in->unit = name;
    if (!is_unit_name(name))
        return unit_read_refuse(in, "a name is made of a-z, 0-9 and \"-\", at most %d",
                                UNIT_NAME_MAX);
    if (!json_is_object(value))
        return unit_read_refuse(in, "expected a map");
    *unit = (struct unit){.name = obs_arena_strndup(in->arena, name, strlen(name)),
                          .line = unit_read_line(in),
                          .is_required = true,
                          .directory = *state ? *state : "/",
                          .folders = nothing,
                          .sockets = nothing,
                          .ready = PROBE_DEFAULT,
                          .liveness = PROBE_DEFAULT,
                          .restart = {200, 10000, 30000, 10, 120000},
                          .stop_signal = SIGTERM,
                          .stop_timeout_ms = 10000,
                          .log_routes = nothing,
                          .stub_path = "/stub_status"};
    for (const struct unit_field *field = UNIT_FIELDS; field->name; field++) {
        const json_t *member = json_object_get(value, field->name);
        int r;

        in->key = field->name;
        r = member ? field->read(in, member, unit) : 0;
        if (r != 0)
            return r;
    }
    in->key = NULL;
    const char *key;
    json_t *ignored;
    json_object_foreach ((json_t *)value, key, ignored) {
        const struct unit_field *field = UNIT_FIELDS;

        while (field->name && strcmp(field->name, key) != 0)
            field++;
        in->key = key;
        if (!field->name)
            return unit_read_refuse(in, "there is no such key");
    }
    *ret_unit = unit;
    return check_unit(in, unit);
}

struct unit *unit_table_find(const struct unit_table *table, const char *name)
{
    for (size_t i = 0; i < table->count; i++)
        if (strcmp(table->units[i]->name, name) == 0)
            return table->units[i];
    return NULL;
}

/* @units: the whole map, so that a unit that is switched off may be named: nobody waits for it. */
static int read_after(struct unit_reading *in, const struct unit_table *table, const json_t *units,
                      struct unit *unit)
{
    const json_t *names = json_object_get(json_object_get(units, unit->name), "after");

    in->unit = unit->name;
    in->key = "after";
    if (!names)
        return 0;
    if (!json_is_array(names) || json_array_size(names) > UNITS_MAX)
        return unit_read_refuse(in, "expected a list of units");
    unit->after = obs_arena_alloc(in->arena, (json_array_size(names) + 1) * sizeof(*unit->after));
    if (!unit->after)
        return -ENOMEM;
    for (size_t i = 0; i < json_array_size(names); i++) {
        const char *name = json_string_value(json_array_get(names, i));
        struct unit *other = name ? unit_table_find(table, name) : NULL;

        if (!name || !json_object_get(units, name))
            return unit_read_refuse(in, "there is no unit \"%.40s\"", name ? name : "");
        if (other)
            unit->after[unit->after_count++] = other;
    }
    return 0;
}

/* Depth first; @state: 0 not seen, 1 on the way here, 2 done. */
static int check_cycles(struct unit_reading *in, const struct unit_table *table, size_t at,
                        char *state)
{
    struct unit *unit = table->units[at];

    state[at] = 1;
    for (size_t i = 0; i < unit->after_count; i++) {
        size_t next = 0;
        int r = 0;

        while (table->units[next] != unit->after[i])
            next++;
        if (state[next] == 1) {
            in->unit = unit->name;
            in->key = "after";
            return unit_read_refuse(in, "a cycle: %s waits, in the end, for itself",
                                    unit->after[i]->name);
        }
        if (state[next] == 0)
            r = check_cycles(in, table, next, state);
        if (r != 0)
            return r;
    }
    state[at] = 2;
    return 0;
}

static int read_units(struct unit_reading *in, const json_t *units, struct unit_table *table)
{
    char seen[UNITS_MAX] = {0};
    const char *name;
    json_t *value;
    int r = 0;

    table->units =
        obs_arena_alloc(in->arena, (json_object_size(units) + 1) * sizeof(*table->units));
    if (!table->units)
        return -ENOMEM;
    json_object_foreach ((json_t *)units, name, value) {
        const json_t *enabled = json_object_get(value, "enabled");
        struct unit *unit = NULL;
        bool is_enabled = true;

        in->unit = name;
        in->key = "enabled";
        r = enabled ? unit_read_bool(in, enabled, &is_enabled) : 0;
        if (r == 0)
            r = is_enabled ? read_unit(in, name, value, &unit) : 0;
        if (r != 0)
            return r;
        if (unit)
            table->units[table->count++] = unit;
    }
    for (size_t i = 0; i < table->count && r == 0; i++)
        r = read_after(in, table, units, table->units[i]);
    for (size_t i = 0; i < table->count && r == 0; i++)
        if (!seen[i])
            r = check_cycles(in, table, i, seen);
    return r;
}

static int read_document(struct unit_reading *in, const json_t *documents, struct unit_table *table)
{
    const json_t *document = json_array_get(documents, 0), *units;

    if (json_array_size(documents) != 1 || !json_is_object(document))
        return unit_read_refuse(in, "expected one document with a map \"units\"");
    units = json_object_get(document, "units");
    if (!json_is_object(units) || json_object_size(document) != 1)
        return unit_read_refuse(in, "expected one key, \"units\", with a map");
    if (json_object_size(units) > UNITS_MAX)
        return unit_read_refuse(in, "more than %d units", UNITS_MAX);
    return read_units(in, units, table);
}

int unit_table_parse(const char *source, size_t size, const struct variables *variables,
                     struct unit_table **ret_table, struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(unit_table_freep) struct unit_table *table = calloc(1, sizeof(*table));
    OBS_JSON documents = NULL;
    struct obs_reason why = {0}, unread = {0};
    struct unit_reading in = {.source = source,
                              .size = size,
                              .variables = variables,
                              .reason = reterr_reason ? reterr_reason : &unread};
    int r = table ? obs_arena_new(UNIT_ARENA_BYTES, &table->arena) : -ENOMEM;

    if (r < 0)
        return r;
    in.arena = table->arena;
    r = obs_yaml_parse(source, size, &documents, &why);
    if (r > 0) {
        unsigned line = why.line > 0 ? why.line : 1;

        obs_reason_set_at(in.reason, line, why.column, "line %u: %.200s", line, why.text);
    }
    if (r == 0)
        r = read_document(&in, documents, table);
    if (r != 0)
        return r < 0 ? r : UNIT_REFUSED;
    *ret_table = OBS_TAKE(table);
    return 0;
}

int unit_table_read(const char *path, const struct variables *variables,
                    struct unit_table **ret_table, struct obs_reason *reterr_reason)
{
    struct obs_buffer b = OBS_BUFFER_INIT(UNIT_FILE_BYTES_MAX);
    struct obs_reason why = {0};
    int r = obs_file_read(path, &b);

    if (r < 0) {
        obs_reason_set(reterr_reason, "%s: %s", path,
                       r == -EMSGSIZE ? "the file is too long" : strerror(-r));
        r = r == -ENOMEM ? r : UNIT_REFUSED;
    } else {
        r = unit_table_parse(b.data ? b.data : "", b.size, variables, ret_table, &why);
        if (r > 0)
            obs_reason_set_at(reterr_reason, why.line, why.column, "%s: %s", path, why.text);
    }
    obs_buffer_done(&b);
    return r;
}

struct unit_table *unit_table_free(struct unit_table *table)
{
    if (table)
        obs_arena_free(table->arena);
    free(table);
    return NULL;
}
