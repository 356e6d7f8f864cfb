/* The keys of a unit, each in one row of a table: docs/agent.md says what they mean. */
#include "agent/unit_read.h"

#include "base/arena.h"
#include <errno.h>
#include <string.h>

#define FIELD(function, type, reader, member)                                                      \
    static int function(struct unit_reading *in, const json_t *value, void *target)                \
    {                                                                                              \
        return reader(in, value, &((type *)target)->member);                                       \
    }

static int probe_http(struct unit_reading *in, const json_t *value, void *target)
{
    struct unit_probe *probe = target;

    probe->kind = UNIT_PROBE_HTTP;
    return unit_read_address(in, value, &probe->address);
}

static int probe_connect(struct unit_reading *in, const json_t *value, void *target)
{
    struct unit_probe *probe = target;

    probe->kind = UNIT_PROBE_CONNECT;
    return unit_read_address(in, value, &probe->address);
}

static int probe_exec(struct unit_reading *in, const json_t *value, void *target)
{
    struct unit_probe *probe = target;

    probe->kind = UNIT_PROBE_EXEC;
    return unit_read_words(in, value, &probe->argv);
}

FIELD(probe_path, struct unit_probe, unit_read_text, path)
FIELD(probe_timeout, struct unit_probe, unit_read_ms, timeout_ms)
FIELD(probe_interval, struct unit_probe, unit_read_ms, interval_ms)
FIELD(probe_within, struct unit_probe, unit_read_ms, within_ms)
FIELD(probe_failures, struct unit_probe, unit_read_count, failures)

static const struct unit_field PROBE_FIELDS[] = {
    {"http", probe_http},     {"connect", probe_connect},   {"exec", probe_exec},
    {"path", probe_path},     {"timeout", probe_timeout},   {"interval", probe_interval},
    {"within", probe_within}, {"failures", probe_failures}, {NULL, NULL},
};

static int read_probe(struct unit_reading *in, const json_t *value, struct unit_probe *probe)
{
    int r;

    if (json_is_null(value) ||
        (json_is_string(value) && strcmp(json_string_value(value), "none") == 0)) {
        probe->kind = UNIT_PROBE_NONE;
        return 0;
    }
    r = unit_read_map(in, value, PROBE_FIELDS, probe);
    if (r != 0)
        return r;
    if (!!json_object_get(value, "http") + !!json_object_get(value, "connect") +
            !!json_object_get(value, "exec") !=
        1)
        return unit_read_refuse(in, "expected one of http, connect and exec");
    if (probe->kind == UNIT_PROBE_HTTP && probe->path[0] != '/')
        return unit_read_refuse(in, "expected a path that begins with \"/\"");
    return 0;
}

FIELD(restart_backoff, struct unit_restart, unit_read_ms, backoff_ms)
FIELD(restart_backoff_max, struct unit_restart, unit_read_ms, backoff_max_ms)
FIELD(restart_reset_after, struct unit_restart, unit_read_ms, reset_after_ms)
FIELD(restart_limit, struct unit_restart, unit_read_count, limit)
FIELD(restart_window, struct unit_restart, unit_read_ms, window_ms)

static const struct unit_field RESTART_FIELDS[] = {
    {"backoff", restart_backoff},         {"backoff_max", restart_backoff_max},
    {"reset_after", restart_reset_after}, {"limit", restart_limit},
    {"window", restart_window},           {NULL, NULL},
};

FIELD(stop_signal, struct unit, unit_read_signal, stop_signal)
FIELD(stop_timeout, struct unit, unit_read_ms, stop_timeout_ms)

static const struct unit_field STOP_FIELDS[] = {
    {"signal", stop_signal}, {"timeout", stop_timeout}, {NULL, NULL}};

static int read_log_format(struct unit_reading *in, const json_t *value, void *target)
{
    static const char *const NAMES[] = {"text", "json", "nginx-access", NULL};

    return unit_read_choice(in, value, NAMES, &((struct unit *)target)->log_format);
}

static int read_log_tenants(struct unit_reading *in, const json_t *value, void *target)
{
    static const char *const NAMES[] = {"own", "postgres", "rabbitmq", NULL};

    return unit_read_choice(in, value, NAMES, &((struct unit *)target)->log_tenants);
}

static int read_stub(struct unit_reading *in, const json_t *value, void *target)
{
    ((struct unit *)target)->has_stub_status = true;
    return unit_read_address(in, value, &((struct unit *)target)->stub_status);
}

FIELD(log_service, struct unit, unit_read_text, log_service)
FIELD(log_routes, struct unit, unit_read_texts, log_routes)
FIELD(log_stub_path, struct unit, unit_read_text, stub_path)

static const struct unit_field LOG_FIELDS[] = {
    {"format", read_log_format},
    {"service", log_service},
    {"routes", log_routes},
    {"stub_status", read_stub},
    {"stub_path", log_stub_path},
    {"tenants", read_log_tenants},
    {NULL, NULL},
};

static int template_mode(struct unit_reading *in, const json_t *value, void *target)
{
    const char *text;
    char *end;
    int r = unit_read_text(in, value, &text);

    if (r != 0)
        return r;
    unsigned long mode = strtoul(text, &end, 8);
    if (*end || end == text || mode > 0777 || !json_is_string(value))
        return unit_read_refuse(in, "\"%.40s\": expected a mode such as \"0600\", in quotes", text);
    ((struct unit_template *)target)->mode = (mode_t)mode;
    return 0;
}

FIELD(template_source, struct unit_template, unit_read_text, source)
FIELD(template_target, struct unit_template, unit_read_text, target)

static const struct unit_field TEMPLATE_FIELDS[] = {{"source", template_source},
                                                    {"target", template_target},
                                                    {"mode", template_mode},
                                                    {NULL, NULL}};

static int read_templates(struct unit_reading *in, const json_t *value, void *target)
{
    struct unit *unit = target;
    size_t count = json_array_size(value);

    if (!json_is_array(value) || count > UNIT_LIST_MAX)
        return unit_read_refuse(in, "expected a list of {source, target, mode}");
    unit->templates = obs_arena_alloc(in->arena, (count + 1) * sizeof(*unit->templates));
    if (!unit->templates)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        struct unit_template *t = &unit->templates[i];
        int r;

        t->mode = 0600;
        r = unit_read_map(in, json_array_get(value, i), TEMPLATE_FIELDS, t);
        if (r != 0)
            return r;
        if (!t->source || !t->target)
            return unit_read_refuse(in, "a template needs source and target");
    }
    unit->template_count = count;
    return 0;
}

static int environment_file(struct unit_reading *in, const json_t *value, void *target)
{
    return unit_read_text(in, value, &((struct unit_environment *)target)->file);
}

static const struct unit_field ENVIRONMENT_FIELDS[] = {{"file", environment_file}, {NULL, NULL}};

static int read_environment(struct unit_reading *in, const json_t *map, void *target)
{
    struct unit *unit = target;
    const char *key;
    json_t *value;

    if (!json_is_object(map))
        return unit_read_refuse(in, "expected a map");
    unit->environment =
        obs_arena_alloc(in->arena, (json_object_size(map) + 1) * sizeof(*unit->environment));
    if (!unit->environment)
        return -ENOMEM;
    json_object_foreach ((json_t *)map, key, value) {
        struct unit_environment *e = &unit->environment[unit->environment_count];
        int r;

        if (*key == '\0' || strchr(key, '='))
            return unit_read_refuse(in, "\"%.40s\" is no name of an environment variable", key);
        e->name = obs_arena_strndup(in->arena, key, strlen(key));
        if (!e->name)
            return -ENOMEM;
        r = json_is_object(value) ? unit_read_map(in, value, ENVIRONMENT_FIELDS, e)
                                  : unit_read_text(in, value, &e->value);
        if (r != 0)
            return r;
        if (!e->value && !e->file)
            return unit_read_refuse(in, "%.40s: expected a text or {file: PATH}", key);
        unit->environment_count++;
    }
    return 0;
}

static int read_kind(struct unit_reading *in, const json_t *value, void *target)
{
    static const char *const NAMES[] = {"service", "task", NULL};

    return unit_read_choice(in, value, NAMES, &((struct unit *)target)->kind);
}

static int read_settings(struct unit_reading *in, const json_t *value, void *target)
{
    static const char *const NAMES[] = {"none", "gateway", "redis", NULL};

    return unit_read_choice(in, value, NAMES, &((struct unit *)target)->settings);
}

static int read_check(struct unit_reading *in, const json_t *value, void *target)
{
    return unit_read_raw_texts(in, value, false, &((struct unit *)target)->check);
}

static int read_admin(struct unit_reading *in, const json_t *value, void *target)
{
    ((struct unit *)target)->has_admin = true;
    return unit_read_address(in, value, &((struct unit *)target)->admin);
}

static int read_own_address(struct unit_reading *in, const json_t *value, void *target)
{
    ((struct unit *)target)->has_address = true;
    return unit_read_address(in, value, &((struct unit *)target)->address);
}

static int read_restart(struct unit_reading *in, const json_t *value, void *target)
{
    return unit_read_map(in, value, RESTART_FIELDS, &((struct unit *)target)->restart);
}

static int read_stop(struct unit_reading *in, const json_t *value, void *target)
{
    return unit_read_map(in, value, STOP_FIELDS, target);
}

static int read_log(struct unit_reading *in, const json_t *value, void *target)
{
    return unit_read_map(in, value, LOG_FIELDS, target);
}

/* `after` needs all units, `enabled` none: read elsewhere. */
static int read_elsewhere(struct unit_reading *in, const json_t *value, void *target)
{
    return 0;
}

FIELD(unit_exec, struct unit, unit_read_words, argv)
FIELD(unit_directory, struct unit, unit_read_text, directory)
FIELD(unit_folders, struct unit, unit_read_texts, folders)
FIELD(unit_sockets, struct unit, unit_read_texts, sockets)
FIELD(unit_required, struct unit, unit_read_bool, is_required)
FIELD(unit_ready, struct unit, read_probe, ready)
FIELD(unit_liveness, struct unit, read_probe, liveness)
FIELD(unit_death_signal, struct unit, unit_read_signal, death_signal)
FIELD(unit_reload, struct unit, unit_read_signal, reload_signal)

const struct unit_field UNIT_FIELDS[] = {
    {"kind", read_kind},
    {"exec", unit_exec},
    {"directory", unit_directory},
    {"folders", unit_folders},
    {"sockets", unit_sockets},
    {"environment", read_environment},
    {"after", read_elsewhere},
    {"required", unit_required},
    {"enabled", read_elsewhere},
    {"ready", unit_ready},
    {"liveness", unit_liveness},
    {"restart", read_restart},
    {"stop", read_stop},
    {"death_signal", unit_death_signal},
    {"reload", unit_reload},
    {"templates", read_templates},
    {"settings", read_settings},
    {"check", read_check},
    {"admin", read_admin},
    {"address", read_own_address},
    {"log", read_log},
    {NULL, NULL},
};
