#include "load/step.h"
#include "load/pointer.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TEXT_MAX (1 << 20)
#define THINK_MAX_NS 3600000000000ULL

static const char *const NAMES[] = {"name",   "method",  "target",         "headers", "body",
                                    "status", "checks",  "extract",        "poll",    "retry",
                                    "think",  "timeout", "accepted_order", "comment", NULL};

void step_done(struct step *step)
{
    free(step->name);
    free(step->method);
    template_free(step->target);
    template_free(step->headers);
    template_free(step->body);
    check_free(step->until);
    for (unsigned i = 0; i < step->check_count; i++)
        check_free(step->checks[i]);
    for (unsigned i = 0; i < step->extract_count; i++)
        free(step->extracts[i].name);
}

uint64_t step_variables(const struct step *step)
{
    uint64_t variables = template_variables(step->target);

    if (step->headers)
        variables |= template_variables(step->headers);
    if (step->body)
        variables |= template_variables(step->body);
    return variables;
}

static int compile(const struct field_object *o, const char *name, const char *text,
                   enum variable_use use, bool bare_numbers, const struct variable_table *table,
                   struct template **ret_template)
{
    char unknown[48];
    int r = template_compile(text, use, bare_numbers, table, ret_template, unknown);

    if (r == -ENOENT)
        return field_refuse(o, name, "has {%s}, which is no variable; {{ stands for a brace",
                            unknown);
    return r;
}

static int read_method(const struct field_object *o, struct step *step)
{
    static const char *const methods[] = {"GET",    "HEAD",  "POST",    "PUT",
                                          "DELETE", "PATCH", "OPTIONS", NULL};
    unsigned index = 0;
    int r = field_choice(o, "method", false, methods, &index);

    if (r != 0)
        return r;
    step->method = strdup(methods[index]);
    step->is_head = index == 1;
    step->is_idempotent = index != 2 && index != 5; /* RFC 9110 section 9.2.2 */
    return step->method ? 0 : -ENOMEM;
}

static int read_target(const struct field_object *o, const struct variable_table *table,
                       struct step *step)
{
    const char *target = NULL;
    int r = field_text(o, "target", true, 8192, &target);

    if (r != 0)
        return r;
    if (*target != '/')
        return field_expected(o, "target", "a path that begins with /");
    for (const char *p = target; *p; p++)
        if (*p <= ' ' || *p == 0x7f || *p == '#')
            return field_expected(o, "target", "a path without spaces, control characters and #");
    return compile(o, "target", target, VARIABLE_IN_TARGET, false, table, &step->target);
}

static bool is_token(const char *name)
{
    if (!*name)
        return false;
    for (; *name; name++)
        if (!isalnum((unsigned char)*name) && !strchr("!#$%&'*+-.^_`|~", *name))
            return false;
    return true;
}

/* Headers that observa-load writes itself. */
static bool is_reserved(const char *name)
{
    static const char *const reserved[] = {"host",       "content-length", "transfer-encoding",
                                           "connection", "traceparent",    "expect",
                                           "upgrade"};

    for (size_t i = 0; i < OBS_COUNT(reserved); i++)
        if (strcasecmp(name, reserved[i]) == 0)
            return true;
    return false;
}

static int read_headers(const struct field_object *o, const struct variable_table *table,
                        struct step *step)
{
    struct obs_buffer lines = OBS_BUFFER_INIT(64 << 10);
    json_t *headers = json_object_get(o->json, "headers"), *value;
    const char *name;
    int r = 0;

    if (!headers)
        return 0;
    if (!json_is_object(headers))
        return field_expected(o, "headers", "{\"Name\": \"value\"}");
    json_object_foreach (headers, name, value) {
        struct field_object h = {headers, FIELD_AT(o->path, "headers"), o->reason};

        if (!is_token(name) || is_reserved(name))
            r = field_refuse(&h, NULL, "has \"%.60s\", which is %s", name,
                             is_token(name) ? "set by observa-load" : "no header name");
        else if (!json_is_string(value) || strpbrk(json_string_value(value), "\r\n"))
            r = field_expected(&h, name, "a text of one line");
        if (r != 0)
            break;
        if (strcasecmp(name, "idempotency-key") == 0)
            step->is_idempotent = true;
        obs_buffer_printf(&lines, "%s: %s\r\n", name, json_string_value(value));
    }
    if (r == 0 && lines.error)
        r = field_expected(o, "headers", "at most 64 kB");
    if (r == 0 && lines.size > 0)
        r = compile(o, "headers", lines.data, VARIABLE_IN_HEADER, false, table, &step->headers);
    obs_buffer_done(&lines);
    return r;
}

static bool is_json_type(const struct field_object *o)
{
    const char *name;
    json_t *value;

    json_object_foreach (json_object_get(o->json, "headers"), name, value)
        if (strcasecmp(name, "content-type") == 0)
            return json_is_string(value) && strstr(json_string_value(value), "json");
    return false;
}

static int read_body(const struct field_object *o, const struct variable_table *table,
                     struct step *step)
{
    json_t *body = json_object_get(o->json, "body");
    OBS_CLEANUP(obs_freep) char *text = NULL;

    if (!body)
        return 0;
    if (json_is_string(body))
        return compile(o, "body", json_string_value(body),
                       is_json_type(o) ? VARIABLE_IN_JSON : VARIABLE_IN_TEXT, false, table,
                       &step->body);
    if (!json_is_object(body) && !json_is_array(body))
        return field_expected(o, "body", "a text, an object or a list");
    text = json_dumps(body, JSON_COMPACT);
    if (!text)
        return -ENOMEM;
    return compile(o, "body", text, VARIABLE_IN_JSON, true, table, &step->body);
}

/* 200, "2xx", or a list of these. */
static int read_one_status(const json_t *value, struct step *step)
{
    struct status_range *range = &step->accept[step->accept_count];
    const char *text = json_string_value(value);

    if (json_is_integer(value) && json_integer_value(value) >= 200 &&
        json_integer_value(value) <= 599)
        range->low = range->high = (int)json_integer_value(value);
    else if (text && strlen(text) == 3 && *text >= '2' && *text <= '5' &&
             strcmp(text + 1, "xx") == 0)
        *range = (struct status_range){(*text - '0') * 100, (*text - '0') * 100 + 99};
    else
        return FIELD_REFUSED;
    step->accept_count++;
    return 0;
}

static int read_status(const struct field_object *o, struct step *step)
{
    json_t *value = json_object_get(o->json, "status");
    int r = 0;

    if (!value) {
        step->accept[step->accept_count++] = (struct status_range){200, 399};
        return 0;
    }
    if (!json_is_array(value))
        r = read_one_status(value, step);
    else if (json_array_size(value) == 0 || json_array_size(value) > OBS_COUNT(step->accept))
        r = FIELD_REFUSED;
    for (size_t i = 0; r == 0 && i < json_array_size(value); i++)
        r = read_one_status(json_array_get(value, i), step);
    return r == 0 ? 0
                  : field_expected(o, "status", "200, \"2xx\", or a list of at most 8 of these");
}

static void note_need(struct step *step, const struct check *check)
{
    step->needs_body |= check_subject(check) != CHECK_HEADER;
    step->needs_json |= check_subject(check) == CHECK_JSON;
}

static int read_checks(const struct field_object *o, const struct variable_table *table,
                       struct step *step)
{
    const json_t *checks;
    int r = field_array(o, "checks", false, 0, SCRIPT_CHECKS_MAX, &checks);

    for (size_t i = 0; r == 0 && i < json_array_size(checks); i++) {
        r = check_parse(json_array_get(checks, i), FIELD_ELEMENT(FIELD_AT(o->path, "checks"), i),
                        table, &step->checks[i], o->reason);
        if (r == 0)
            note_need(step, step->checks[step->check_count++]);
    }
    return r;
}

static int read_one_extract(const struct field_object *o, const char *variable,
                            const struct variable_table *table, struct step *step)
{
    static const char *const names[] = {"json", "header", "cookie"};
    struct extract *extract = &step->extracts[step->extract_count];
    const char *name = NULL;
    unsigned from;
    int r;

    for (from = 0; from < OBS_COUNT(names) && !json_object_get(o->json, names[from]); from++)
        ;
    if (from == OBS_COUNT(names))
        return field_refuse(o, NULL, "is empty: expected one of json, header, cookie");
    r = field_text(o, names[from], true, 512, &name);
    if (r == 0 && from == EXTRACT_JSON && !pointer_is_valid(name))
        r = field_expected(o, "json", "a JSON Pointer such as \"/items/0/id\"");
    if (r != 0)
        return r;
    extract->from = from;
    extract->variable = (unsigned)variable_find(table, variable, strlen(variable));
    extract->name = strdup(name);
    if (!extract->name)
        return -ENOMEM;
    for (char *p = extract->name; from == EXTRACT_HEADER && *p; p++)
        *p = (char)tolower((unsigned char)*p);
    step->needs_body |= from == EXTRACT_JSON;
    step->needs_json |= from == EXTRACT_JSON;
    step->extract_count++;
    return 0;
}

static int read_extracts(const struct field_object *o, const struct variable_table *table,
                         struct step *step)
{
    static const char *const names[] = {"json", "header", "cookie", NULL};
    json_t *extracts = json_object_get(o->json, "extract"), *value;
    const char *name;

    if (!extracts)
        return 0;
    if (!json_is_object(extracts) || json_object_size(extracts) > SCRIPT_CHECKS_MAX)
        return field_expected(o, "extract", "{\"variable\": {\"json\": \"/pointer\"}}, at most 16");
    json_object_foreach (extracts, name, value) {
        struct field_object e;
        int r =
            field_open(value, FIELD_AT(FIELD_AT(o->path, "extract"), name), names, o->reason, &e);

        if (r == 0)
            r = read_one_extract(&e, name, table, step);
        if (r != 0)
            return r;
    }
    return 0;
}

static int read_poll(const struct field_object *o, const struct variable_table *table,
                     struct step *step)
{
    static const char *const names[] = {"until", "every", "for", NULL};
    const json_t *json = json_object_get(o->json, "poll");
    struct field_object p;
    int r;

    if (!json)
        return 0;
    r = field_open(json, FIELD_AT(o->path, "poll"), names, o->reason, &p);
    if (r == 0)
        r = field_duration(&p, "every", true, THINK_MAX_NS, &step->every_ns);
    if (r == 0 && step->every_ns < 1000000)
        r = field_expected(&p, "every", "at least \"1ms\"");
    if (r == 0)
        r = field_duration(&p, "for", true, 24 * THINK_MAX_NS, &step->until_limit_ns);
    if (r == 0 && !json_object_get(json, "until"))
        r = field_expected(&p, "until", "a check");
    if (r == 0)
        r = check_parse(json_object_get(json, "until"), FIELD_AT(p.path, "until"), table,
                        &step->until, o->reason);
    if (r == 0)
        note_need(step, step->until);
    return r;
}

static int read_retry(const struct field_object *o, struct step *step)
{
    static const char *const names[] = {"attempts", "on", "backoff", NULL};
    static const char *const causes[] = {"timeout", "connection", "5xx", "4xx"};
    const json_t *json = json_object_get(o->json, "retry"), *on;
    struct field_object t;
    int64_t attempts = 1;
    int r;

    step->attempts = 1;
    step->backoff_ns = 100000000;
    if (!json)
        return 0;
    r = field_open(json, FIELD_AT(o->path, "retry"), names, o->reason, &t);
    if (r == 0)
        r = field_integer(&t, "attempts", true, 1, 20, &attempts);
    if (r == 0)
        r = field_duration(&t, "backoff", false, THINK_MAX_NS, &step->backoff_ns);
    if (r == 0)
        r = field_array(&t, "on", true, 1, 4, &on);
    for (size_t i = 0; r == 0 && i < json_array_size(on); i++) {
        const char *text = json_string_value(json_array_get(on, i));
        unsigned cause = 0;

        while (text && cause < OBS_COUNT(causes) && strcmp(text, causes[cause]) != 0)
            cause++;
        if (!text || cause == OBS_COUNT(causes))
            r = field_expected(&t, "on", "a list of timeout, connection, 5xx, 4xx");
        else
            step->retry_on |= 1U << cause;
    }
    step->attempts = (unsigned)attempts;
    return r;
}

/* "500ms", or ["200ms", "2s"] for a pause drawn from that range. */
static int read_think(const struct field_object *o, struct step *step)
{
    const json_t *value = json_object_get(o->json, "think");
    OBS_JSON range = NULL;
    struct field_object t = *o;
    int r;

    if (!json_is_array(value)) {
        r = field_duration(o, "think", false, THINK_MAX_NS, &step->think_low_ns);
        step->think_high_ns = step->think_low_ns;
        return r;
    }
    range = json_pack("{s:O?, s:O?}", "low", json_array_get(value, 0), "high",
                      json_array_get(value, 1));
    t.json = range;
    r = json_array_size(value) == 2 && range ? 0 : FIELD_REFUSED;
    if (r == 0)
        r = field_duration(&t, "low", true, THINK_MAX_NS, &step->think_low_ns);
    if (r == 0)
        r = field_duration(&t, "high", true, THINK_MAX_NS, &step->think_high_ns);
    if (r != 0 || step->think_low_ns > step->think_high_ns)
        return field_expected(o, "think", "\"500ms\" or [\"200ms\", \"2s\"]");
    return 0;
}

static int read_accepted_order(const struct field_object *o, const struct variable_table *table,
                               struct step *step)
{
    const char *name = NULL;
    int r = field_text(o, "accepted_order", false, 40, &name);

    step->accepted_order = -1;
    if (r != 0 || !name)
        return r;
    for (unsigned i = 0; i < step->extract_count; i++)
        if (strcmp(table->variables[step->extracts[i].variable].name, name) == 0)
            step->accepted_order = (int)step->extracts[i].variable;
    if (step->accepted_order < 0)
        return field_expected(o, "accepted_order", "a variable that this step extracts");
    return 0;
}

static int read_name(const struct field_object *o, struct step *step)
{
    const char *name = NULL, *target = json_string_value(json_object_get(o->json, "target"));
    int r = field_text(o, "name", false, 60, &name);

    if (r != 0)
        return r;
    if (name)
        step->name = strdup(name);
    else if (asprintf(&step->name, "%s %.100s", step->method, target) < 0)
        step->name = NULL;
    return step->name ? 0 : -ENOMEM;
}

int step_parse(const json_t *json, const struct field_path *path,
               const struct variable_table *table, struct step *step,
               struct obs_reason *reterr_reason)
{
    struct field_object o;
    int r = field_open(json, path, NAMES, reterr_reason, &o);

    if (r == 0)
        r = read_method(&o, step);
    if (r == 0)
        r = read_target(&o, table, step);
    if (r == 0)
        r = read_name(&o, step);
    if (r == 0)
        r = read_headers(&o, table, step);
    if (r == 0)
        r = read_body(&o, table, step);
    if (r == 0)
        r = read_status(&o, step);
    if (r == 0)
        r = read_checks(&o, table, step);
    if (r == 0)
        r = read_extracts(&o, table, step);
    if (r == 0)
        r = read_poll(&o, table, step);
    if (r == 0)
        r = read_retry(&o, step);
    if (r == 0)
        r = read_think(&o, step);
    if (r == 0)
        r = field_duration(&o, "timeout", false, THINK_MAX_NS, &step->timeout_ns);
    if (r == 0 && step->timeout_ns == 0)
        r = field_expected(&o, "timeout", "a duration longer than 0");
    return r == 0 ? read_accepted_order(&o, table, step) : r;
}
