/*
 * The table is read in two passes: each unit by itself, field by field from one list of fields,
 * then `after` by name, and cycles.
 *
 * The YAML reader gives values without their places, so a refusal finds its line again in the
 * source by the unit's name and the key under it; a table is refused once and read by a person.
 */
#include "agent/unit.h"

#include "base/arena.h"
#include "base/file.h"
#include "base/text.h"
#include "base/yaml.h"
#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define UNIT_ARENA_BYTES 4194304
#define UNIT_LIST_MAX 200

struct reading {
    const char *source;
    size_t size;
    const struct variables *variables;
    struct obs_arena *arena;
    const char *unit; /* being read */
    const char *key;  /* of the unit, being read; NULL: the unit itself */
    struct obs_reason *reason;
};

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

/* ---- refusals and their lines ---- */

/* Line of `name:` (perhaps quoted) between the lines @from and @until whose indentation is more
 * than
 * @outer; 0 when there is none. The indentation found is left in *ret_indent. */
static unsigned find_key(const struct reading *in, const char *name, unsigned from, unsigned *until,
                         int outer, int *ret_indent)
{
    size_t name_size = strlen(name);
    const char *end = in->source + in->size;
    unsigned line = 0, found = 0;

    for (const char *p = in->source; p < end;) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        const char *q = p;

        stop = stop ? stop : end;
        line++;
        while (q < stop && *q == ' ')
            q++;
        int indent = (int)(q - p);
        p = stop + 1;
        if (q == stop || *q == '#' || line <= from || (*until && line >= *until))
            continue;
        if (found && indent <= *ret_indent) {
            *until = line;
            return found;
        }
        if (q < stop && (*q == '"' || *q == '\''))
            q++;
        if (!found && indent > outer && (size_t)(stop - q) > name_size &&
            memcmp(q, name, name_size) == 0 && strchr(":\"'", q[name_size])) {
            found = line;
            *ret_indent = indent;
        }
    }
    return found;
}

static unsigned find_line(const struct reading *in)
{
    int indent = -1;
    unsigned until = 0, line = find_key(in, "units", 0, &until, -1, &indent), deeper;

    if (line == 0 || !in->unit)
        return line ? line : 1;
    deeper = find_key(in, in->unit, line, &until, indent, &indent);
    if (deeper == 0 || !in->key)
        return deeper ? deeper : line;
    line = deeper;
    deeper = find_key(in, in->key, line, &until, indent, &indent);
    return deeper ? deeper : line;
}

static int refuse(const struct reading *in, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static int refuse(const struct reading *in, const char *format, ...)
{
    char text[200];
    unsigned line = find_line(in);
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (in->unit && in->key)
        obs_reason_set_at(in->reason, line, 1, "line %u: %s.%s: %s", line, in->unit, in->key, text);
    else if (in->unit)
        obs_reason_set_at(in->reason, line, 1, "line %u: %s: %s", line, in->unit, text);
    else
        obs_reason_set_at(in->reason, line, 1, "line %u: %s", line, text);
    return UNIT_REFUSED;
}

/* ---- values ---- */

static int read_text(struct reading *in, const json_t *value, const char **ret_text)
{
    struct obs_reason why = {0};
    struct obs_buffer b = OBS_BUFFER_INIT(VARIABLES_TEXT_MAX);
    char number[64];
    const char *text = number;
    int r;

    if (json_is_string(value))
        text = json_string_value(value);
    else if (json_is_integer(value))
        snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        snprintf(number, sizeof(number), "%.15g", json_real_value(value));
    else if (json_is_boolean(value))
        text = json_is_true(value) ? "true" : "false";
    else
        return refuse(in, "expected a text");
    r = variables_fill(in->variables, text, strlen(text), &b, &why);
    if (r == 0) {
        *ret_text = obs_arena_strndup(in->arena, b.data ? b.data : "", b.size);
        r = *ret_text ? 0 : -ENOMEM;
    } else if (r > 0) {
        r = refuse(in, "%s", why.text);
    } else if (r == -EMSGSIZE) {
        r = refuse(in, "the text is too long");
    }
    obs_buffer_done(&b);
    return r;
}

static int read_raw_texts(struct reading *in, const json_t *value, bool is_filled,
                          char ***ret_texts)
{
    size_t count = json_array_size(value);
    char **texts;

    if (!json_is_array(value) || count > UNIT_LIST_MAX)
        return refuse(in, "expected a list of texts");
    texts = obs_arena_alloc(in->arena, (count + 1) * sizeof(*texts));
    if (!texts)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        const char *text = json_string_value(json_array_get(value, i));
        int r = is_filled || !text ? read_text(in, json_array_get(value, i), &text) : 0;

        if (r != 0)
            return r;
        texts[i] = obs_arena_strndup(in->arena, text, strlen(text));
        if (!texts[i])
            return -ENOMEM;
    }
    *ret_texts = texts;
    return 0;
}

static int read_texts(struct reading *in, const json_t *value, char ***ret_texts)
{
    return read_raw_texts(in, value, true, ret_texts);
}

static int read_words(struct reading *in, const json_t *value, char ***ret_texts)
{
    int r = read_texts(in, value, ret_texts);

    return r == 0 && (!**ret_texts || !***ret_texts) ? refuse(in, "expected a program") : r;
}

static int read_bool(struct reading *in, const json_t *value, bool *ret_value)
{
    const char *text;
    int r = read_text(in, value, &text);

    if (r != 0)
        return r;
    if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
        return refuse(in, "\"%.40s\": expected true or false", text);
    *ret_value = *text == 't';
    return 0;
}

static int read_ms(struct reading *in, const json_t *value, unsigned *ret_ms)
{
    const char *text;
    uint64_t ns;
    int r = read_text(in, value, &text);

    if (r != 0)
        return r;
    if (obs_text_parse_duration(text, &ns) != 0 || ns < 1000000 || ns > 86400ull * 1000000000)
        return refuse(in, "\"%.40s\": expected a duration from 1ms to 24h, such as 500ms", text);
    *ret_ms = (unsigned)(ns / 1000000);
    return 0;
}

static int read_count(struct reading *in, const json_t *value, unsigned *ret_count)
{
    const char *text;
    uint64_t count;
    int r = read_text(in, value, &text);

    if (r != 0)
        return r;
    if (obs_text_parse_u64(text, strlen(text), UNIT_COUNT_MAX, &count) != 0 || count == 0)
        return refuse(in, "\"%.40s\": expected a number from 1 to %d", text, UNIT_COUNT_MAX);
    *ret_count = (unsigned)count;
    return 0;
}

static int read_address(struct reading *in, const json_t *value, struct obs_address *ret_address)
{
    struct obs_reason why = {0};
    const char *text;
    int r = read_text(in, value, &text);

    if (r != 0)
        return r;
    r = obs_address_parse(text, ret_address, &why);
    return r > 0 ? refuse(in, "%s", why.text) : r;
}

static int read_signal(struct reading *in, const json_t *value, int *ret_signal)
{
    const char *text;
    int r = read_text(in, value, &text);

    if (r != 0)
        return r;
    *ret_signal = unit_signal_parse(text);
    return *ret_signal ? 0 : refuse(in, "\"%.40s\" is no signal, such as TERM", text);
}

static int read_choice(struct reading *in, const json_t *value, const char *const *names,
                       unsigned *ret_choice)
{
    char all[120] = "";
    const char *text;
    int r = read_text(in, value, &text);

    if (r != 0)
        return r;
    for (unsigned i = 0; names[i]; i++) {
        if (strcmp(names[i], text) == 0) {
            *ret_choice = i;
            return 0;
        }
        snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s", i ? ", " : "", names[i]);
    }
    return refuse(in, "\"%.40s\": expected one of %s", text, all);
}

/* ---- maps: one list of keys each ---- */

typedef int field_fn(struct reading *in, const json_t *value, void *target);
struct field {
    const char *name;
    field_fn *read;
};

static int read_map(struct reading *in, const json_t *map, const struct field *fields, void *target)
{
    const char *key;
    json_t *value;

    if (!json_is_object(map))
        return refuse(in, "expected a map");
    json_object_foreach ((json_t *)map, key, value) {
        const struct field *field = fields;
        int r;

        while (field->name && strcmp(field->name, key) != 0)
            field++;
        if (!field->name)
            return refuse(in, "there is no key \"%.40s\" here", key);
        r = field->read(in, value, target);
        if (r != 0)
            return r;
    }
    return 0;
}

#define FIELD(function, type, reader, member)                                                      \
    static int function(struct reading *in, const json_t *value, void *target)                     \
    {                                                                                              \
        return reader(in, value, &((type *)target)->member);                                       \
    }

static int probe_http(struct reading *in, const json_t *value, void *target)
{
    struct unit_probe *probe = target;

    probe->kind = UNIT_PROBE_HTTP;
    return read_address(in, value, &probe->address);
}

static int probe_connect(struct reading *in, const json_t *value, void *target)
{
    struct unit_probe *probe = target;

    probe->kind = UNIT_PROBE_CONNECT;
    return read_address(in, value, &probe->address);
}

static int probe_exec(struct reading *in, const json_t *value, void *target)
{
    struct unit_probe *probe = target;

    probe->kind = UNIT_PROBE_EXEC;
    return read_words(in, value, &probe->argv);
}

FIELD(probe_path, struct unit_probe, read_text, path)
FIELD(probe_timeout, struct unit_probe, read_ms, timeout_ms)
FIELD(probe_interval, struct unit_probe, read_ms, interval_ms)
FIELD(probe_within, struct unit_probe, read_ms, within_ms)
FIELD(probe_failures, struct unit_probe, read_count, failures)

static const struct field PROBE_FIELDS[] = {
    {"http", probe_http},     {"connect", probe_connect},   {"exec", probe_exec},
    {"path", probe_path},     {"timeout", probe_timeout},   {"interval", probe_interval},
    {"within", probe_within}, {"failures", probe_failures}, {NULL, NULL},
};

static int read_probe(struct reading *in, const json_t *value, struct unit_probe *probe)
{
    int r;

    if (json_is_null(value) ||
        (json_is_string(value) && strcmp(json_string_value(value), "none") == 0)) {
        probe->kind = UNIT_PROBE_NONE;
        return 0;
    }
    r = read_map(in, value, PROBE_FIELDS, probe);
    if (r != 0)
        return r;
    if (!!json_object_get(value, "http") + !!json_object_get(value, "connect") +
            !!json_object_get(value, "exec") !=
        1)
        return refuse(in, "expected one of http, connect and exec");
    if (probe->kind == UNIT_PROBE_HTTP && probe->path[0] != '/')
        return refuse(in, "expected a path that begins with \"/\"");
    return 0;
}

FIELD(restart_backoff, struct unit_restart, read_ms, backoff_ms)
FIELD(restart_backoff_max, struct unit_restart, read_ms, backoff_max_ms)
FIELD(restart_reset_after, struct unit_restart, read_ms, reset_after_ms)
FIELD(restart_limit, struct unit_restart, read_count, limit)
FIELD(restart_window, struct unit_restart, read_ms, window_ms)

static const struct field RESTART_FIELDS[] = {
    {"backoff", restart_backoff},         {"backoff_max", restart_backoff_max},
    {"reset_after", restart_reset_after}, {"limit", restart_limit},
    {"window", restart_window},           {NULL, NULL},
};

FIELD(stop_signal, struct unit, read_signal, stop_signal)
FIELD(stop_timeout, struct unit, read_ms, stop_timeout_ms)

static const struct field STOP_FIELDS[] = {
    {"signal", stop_signal}, {"timeout", stop_timeout}, {NULL, NULL}};

static int read_log_format(struct reading *in, const json_t *value, void *target)
{
    static const char *const NAMES[] = {"text", "json", "nginx-access", NULL};

    return read_choice(in, value, NAMES, &((struct unit *)target)->log_format);
}

static int read_stub(struct reading *in, const json_t *value, void *target)
{
    ((struct unit *)target)->has_stub_status = true;
    return read_address(in, value, &((struct unit *)target)->stub_status);
}

FIELD(log_service, struct unit, read_text, log_service)
FIELD(log_routes, struct unit, read_texts, log_routes)
FIELD(log_stub_path, struct unit, read_text, stub_path)

static const struct field LOG_FIELDS[] = {
    {"format", read_log_format}, {"service", log_service},     {"routes", log_routes},
    {"stub_status", read_stub},  {"stub_path", log_stub_path}, {NULL, NULL},
};

static int template_mode(struct reading *in, const json_t *value, void *target)
{
    const char *text;
    char *end;
    int r = read_text(in, value, &text);

    if (r != 0)
        return r;
    unsigned long mode = strtoul(text, &end, 8);
    if (*end || end == text || mode > 0777 || !json_is_string(value))
        return refuse(in, "\"%.40s\": expected a mode such as \"0600\", in quotes", text);
    ((struct unit_template *)target)->mode = (mode_t)mode;
    return 0;
}

FIELD(template_source, struct unit_template, read_text, source)
FIELD(template_target, struct unit_template, read_text, target)

static const struct field TEMPLATE_FIELDS[] = {{"source", template_source},
                                               {"target", template_target},
                                               {"mode", template_mode},
                                               {NULL, NULL}};

static int read_templates(struct reading *in, const json_t *value, void *target)
{
    struct unit *unit = target;
    size_t count = json_array_size(value);

    if (!json_is_array(value) || count > UNIT_LIST_MAX)
        return refuse(in, "expected a list of {source, target, mode}");
    unit->templates = obs_arena_alloc(in->arena, (count + 1) * sizeof(*unit->templates));
    if (!unit->templates)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        struct unit_template *t = &unit->templates[i];
        int r;

        t->mode = 0600;
        r = read_map(in, json_array_get(value, i), TEMPLATE_FIELDS, t);
        if (r != 0)
            return r;
        if (!t->source || !t->target)
            return refuse(in, "a template needs source and target");
    }
    unit->template_count = count;
    return 0;
}

static int environment_file(struct reading *in, const json_t *value, void *target)
{
    return read_text(in, value, &((struct unit_environment *)target)->file);
}

static const struct field ENVIRONMENT_FIELDS[] = {{"file", environment_file}, {NULL, NULL}};

static int read_environment(struct reading *in, const json_t *map, void *target)
{
    struct unit *unit = target;
    const char *key;
    json_t *value;

    if (!json_is_object(map))
        return refuse(in, "expected a map");
    unit->environment =
        obs_arena_alloc(in->arena, (json_object_size(map) + 1) * sizeof(*unit->environment));
    if (!unit->environment)
        return -ENOMEM;
    json_object_foreach ((json_t *)map, key, value) {
        struct unit_environment *e = &unit->environment[unit->environment_count];
        int r;

        if (*key == '\0' || strchr(key, '='))
            return refuse(in, "\"%.40s\" is no name of an environment variable", key);
        e->name = obs_arena_strndup(in->arena, key, strlen(key));
        if (!e->name)
            return -ENOMEM;
        r = json_is_object(value) ? read_map(in, value, ENVIRONMENT_FIELDS, e)
                                  : read_text(in, value, &e->value);
        if (r != 0)
            return r;
        if (!e->value && !e->file)
            return refuse(in, "%.40s: expected a text or {file: PATH}", key);
        unit->environment_count++;
    }
    return 0;
}

static int read_kind(struct reading *in, const json_t *value, void *target)
{
    static const char *const NAMES[] = {"service", "task", NULL};

    return read_choice(in, value, NAMES, &((struct unit *)target)->kind);
}

static int read_settings(struct reading *in, const json_t *value, void *target)
{
    static const char *const NAMES[] = {"none", "gateway", "redis", NULL};

    return read_choice(in, value, NAMES, &((struct unit *)target)->settings);
}

static int read_check(struct reading *in, const json_t *value, void *target)
{
    return read_raw_texts(in, value, false, &((struct unit *)target)->check);
}

static int read_admin(struct reading *in, const json_t *value, void *target)
{
    ((struct unit *)target)->has_admin = true;
    return read_address(in, value, &((struct unit *)target)->admin);
}

static int read_own_address(struct reading *in, const json_t *value, void *target)
{
    ((struct unit *)target)->has_address = true;
    return read_address(in, value, &((struct unit *)target)->address);
}

static int read_restart(struct reading *in, const json_t *value, void *target)
{
    return read_map(in, value, RESTART_FIELDS, &((struct unit *)target)->restart);
}

static int read_stop(struct reading *in, const json_t *value, void *target)
{
    return read_map(in, value, STOP_FIELDS, target);
}

static int read_log(struct reading *in, const json_t *value, void *target)
{
    return read_map(in, value, LOG_FIELDS, target);
}

/* `after` needs all units, `enabled` none: read elsewhere. */
static int read_elsewhere(struct reading *in, const json_t *value, void *target)
{
    return 0;
}

FIELD(unit_exec, struct unit, read_words, argv)
FIELD(unit_directory, struct unit, read_text, directory)
FIELD(unit_folders, struct unit, read_texts, folders)
FIELD(unit_sockets, struct unit, read_texts, sockets)
FIELD(unit_required, struct unit, read_bool, is_required)
FIELD(unit_ready, struct unit, read_probe, ready)
FIELD(unit_liveness, struct unit, read_probe, liveness)
FIELD(unit_death_signal, struct unit, read_signal, death_signal)
FIELD(unit_reload, struct unit, read_signal, reload_signal)

static const struct field UNIT_FIELDS[] = {
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
static int check_unit(struct reading *in, struct unit *unit)
{
    in->key = NULL;
    if (!unit->argv)
        return refuse(in, "\"exec\" is missing");
    if (unit->restart.backoff_max_ms < unit->restart.backoff_ms)
        return refuse(in, "restart.backoff_max is less than restart.backoff");
    if (unit->settings != UNIT_SETTINGS_NONE && unit->has_admin)
        return refuse(in, "has both \"settings\" and \"admin\"");
    if (unit->settings == UNIT_SETTINGS_REDIS && !unit->has_address)
        return refuse(in, "settings: redis needs \"address\"");
    if (unit->check && (unit->settings == UNIT_SETTINGS_NONE || unit->template_count == 0))
        return refuse(in, "\"check\" needs \"settings\" and \"templates\"");
    if (unit->kind == UNIT_TASK &&
        (unit->ready.kind != UNIT_PROBE_NONE || unit->liveness.kind != UNIT_PROBE_NONE))
        return refuse(in, "a task has no probes");
    if (unit->log_format == UNIT_LOG_NGINX_ACCESS && !unit->log_service)
        unit->log_service = unit->name;
    if (unit->death_signal == 0)
        unit->death_signal = unit->stop_signal;
    return 0;
}

static int read_unit(struct reading *in, const char *name, const json_t *value,
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
        return refuse(in, "a name is made of a-z, 0-9 and \"-\", at most %d", UNIT_NAME_MAX);
    if (!json_is_object(value))
        return refuse(in, "expected a map");
    *unit = (struct unit){.name = obs_arena_strndup(in->arena, name, strlen(name)),
                          .line = find_line(in),
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
    for (const struct field *field = UNIT_FIELDS; field->name; field++) {
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
        const struct field *field = UNIT_FIELDS;

        while (field->name && strcmp(field->name, key) != 0)
            field++;
        in->key = key;
        if (!field->name)
            return refuse(in, "there is no such key");
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
static int read_after(struct reading *in, const struct unit_table *table, const json_t *units,
                      struct unit *unit)
{
    const json_t *names = json_object_get(json_object_get(units, unit->name), "after");

    in->unit = unit->name;
    in->key = "after";
    if (!names)
        return 0;
    if (!json_is_array(names) || json_array_size(names) > UNITS_MAX)
        return refuse(in, "expected a list of units");
    unit->after = obs_arena_alloc(in->arena, (json_array_size(names) + 1) * sizeof(*unit->after));
    if (!unit->after)
        return -ENOMEM;
    for (size_t i = 0; i < json_array_size(names); i++) {
        const char *name = json_string_value(json_array_get(names, i));
        struct unit *other = name ? unit_table_find(table, name) : NULL;

        if (!name || !json_object_get(units, name))
            return refuse(in, "there is no unit \"%.40s\"", name ? name : "");
        if (other)
            unit->after[unit->after_count++] = other;
    }
    return 0;
}

/* Depth first; @state: 0 not seen, 1 on the way here, 2 done. */
static int check_cycles(struct reading *in, const struct unit_table *table, size_t at, char *state)
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
            return refuse(in, "a cycle: %s waits, in the end, for itself", unit->after[i]->name);
        }
        if (state[next] == 0)
            r = check_cycles(in, table, next, state);
        if (r != 0)
            return r;
    }
    state[at] = 2;
    return 0;
}

static int read_units(struct reading *in, const json_t *units, struct unit_table *table)
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
        r = enabled ? read_bool(in, enabled, &is_enabled) : 0;
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

static int read_document(struct reading *in, const json_t *documents, struct unit_table *table)
{
    const json_t *document = json_array_get(documents, 0), *units;

    if (json_array_size(documents) != 1 || !json_is_object(document))
        return refuse(in, "expected one document with a map \"units\"");
    units = json_object_get(document, "units");
    if (!json_is_object(units) || json_object_size(document) != 1)
        return refuse(in, "expected one key, \"units\", with a map");
    if (json_object_size(units) > UNITS_MAX)
        return refuse(in, "more than %d units", UNITS_MAX);
    return read_units(in, units, table);
}

int unit_table_parse(const char *source, size_t size, const struct variables *variables,
                     struct unit_table **ret_table, struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(unit_table_freep) struct unit_table *table = calloc(1, sizeof(*table));
    OBS_JSON documents = NULL;
    struct obs_reason why = {0};
    struct reading in = {.source = source,
                         .size = size,
                         .variables = variables,
                         .reason = reterr_reason ? reterr_reason : &why};
    int r = table ? obs_arena_new(UNIT_ARENA_BYTES, &table->arena) : -ENOMEM;

    if (r < 0)
        return r;
    in.arena = table->arena;
    r = obs_yaml_parse(source, size, &documents, &why);
    if (r > 0)
        obs_reason_set_at(in.reason, why.line, why.column, "line %u: %s", why.line,
                          strdupa(why.text));
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
