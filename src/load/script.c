#include "load/script.h"
#include "base/file.h"
#include "load/field.h"
#include "load/step.h"
#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>

#define SCRIPT_BYTES_MAX (16 << 20)

struct script *script_free(struct script *script)
{
    if (!script)
        return NULL;
    for (unsigned i = 0; i < script->journey_count; i++) {
        struct journey *j = &script->journeys[i];

        for (unsigned s = 0; s < j->step_count; s++)
            step_done(&j->steps[s]);
        free(j->steps);
        free(j->name);
    }
    for (unsigned i = 0; i < script->group_count; i++)
        free(script->groups[i]);
    free(script->journeys);
    variable_table_done(&script->variables);
    pattern_free(script->pattern);
    free(script->name);
    free(script);
    return NULL;
}

int script_find(const struct script *script, const char *name)
{
    for (unsigned i = 0; i < script->journey_count; i++)
        if (script->journeys[i].name && strcmp(script->journeys[i].name, name) == 0)
            return (int)i;
    return -1;
}

static int find_group(struct script *script, const char *name)
{
    unsigned i;

    for (i = 0; i < script->group_count; i++)
        if (strcmp(script->groups[i], name) == 0)
            return (int)i;
    script->groups[i] = strdup(name);
    if (!script->groups[i])
        return -ENOMEM;
    script->group_count++;
    return (int)i;
}

static const char *const JOURNEY_NAMES[] = {"name",  "group", "weight",     "description",
                                            "steps", "then",  "then_share", NULL};

static int read_steps(struct script *script, struct journey *j, const struct field_object *o,
                      uint64_t timeout_ns)
{
    const json_t *steps;
    int r = field_array(o, "steps", true, 1, SCRIPT_STEPS_MAX, &steps);

    if (r != 0)
        return r;
    j->steps = calloc(json_array_size(steps), sizeof(*j->steps));
    if (!j->steps)
        return -ENOMEM;
    for (size_t i = 0; i < json_array_size(steps); i++) {
        struct step *step = &j->steps[j->step_count++];

        step->timeout_ns = timeout_ns;
        r = step_parse(json_array_get(steps, i), FIELD_ELEMENT(FIELD_AT(o->path, "steps"), i),
                       &script->variables, step, o->reason);
        if (r != 0)
            return r;
    }
    script->step_total += j->step_count;
    return 0;
}

static int read_journey(struct script *script, struct journey *j, const struct field_object *o,
                        uint64_t timeout_ns)
{
    const char *name = NULL, *group = NULL;
    int r = field_text(o, "name", true, 60, &name);

    if (r == 0 && script_find(script, name) >= 0)
        r = field_expected(o, "name", "a name that no journey before has");
    if (r == 0)
        r = field_text(o, "group", false, 60, &group);
    if (r == 0)
        r = field_number(o, "weight", false, 0, 1e6, &j->weight);
    if (r == 0)
        r = field_number(o, "then_share", false, 0, 1, &j->then_share);
    if (r != 0)
        return r;
    j->name = strdup(name);
    r = find_group(script, group ? group : name);
    if (!j->name || r < 0)
        return -ENOMEM;
    j->group = (unsigned)r;
    return read_steps(script, j, o, timeout_ns);
}

/* `then` may name a later journey, so it is read when all are known. */
static int read_then(struct script *script, struct journey *j, const struct field_object *o)
{
    const char *name = NULL;
    int r = field_text(o, "then", false, 60, &name);

    if (r != 0 || !name)
        return r;
    j->then = script_find(script, name);
    if (j->then < 0)
        return field_expected(o, "then", "the name of a journey");
    if (script->journeys[j->then].then >= 0 || &script->journeys[j->then] == j)
        return field_expected(o, "then", "a journey that has no \"then\" itself");
    return 0;
}

/* Variables that steps[0..step_count) have extracted. */
static uint64_t extracted_by(const struct journey *j, unsigned step_count)
{
    uint64_t variables = 0;

    for (unsigned s = 0; s < step_count; s++)
        for (unsigned e = 0; e < j->steps[s].extract_count; e++)
            variables |= 1ULL << j->steps[s].extracts[e].variable;
    return variables;
}

/* What a journey may count on at its start: what all journeys that lead to it extract. */
static uint64_t inherited(const struct script *script, unsigned index)
{
    uint64_t variables = UINT64_MAX;
    bool has_parent = false;

    for (unsigned i = 0; i < script->journey_count; i++) {
        if (script->journeys[i].then != (int)index)
            continue;
        has_parent = true;
        variables &= extracted_by(&script->journeys[i], script->journeys[i].step_count);
    }
    return has_parent && script->journeys[index].weight == 0 ? variables : 0;
}

static int check_variables_set(const struct script *script, const struct field_object *document)
{
    uint64_t made = 0;

    for (unsigned i = 0; i < script->variables.count; i++)
        if (script->variables.variables[i].kind != VARIABLE_EXTRACTED)
            made |= 1ULL << i;
    for (unsigned i = 0; i < script->journey_count; i++) {
        const struct journey *j = &script->journeys[i];
        uint64_t known = made | inherited(script, i);

        for (unsigned s = 0; s < j->step_count; s++) {
            uint64_t missing = step_variables(&j->steps[s]) & ~(known | extracted_by(j, s));
            struct field_object o = *document;

            if (missing == 0)
                continue;
            o.path = FIELD_ELEMENT(
                FIELD_AT(FIELD_ELEMENT(FIELD_AT(document->path, "journeys"), i), "steps"), s);
            return field_refuse(&o, NULL, "uses {%s} before a step has extracted it",
                                script->variables.variables[__builtin_ctzll(missing)].name);
        }
    }
    return 0;
}

/* Names first, so that templates of any journey may use what another extracts. */
static int declare_extracts(struct script *script, const json_t *journeys,
                            const struct field_object *document)
{
    const json_t *journey, *step;
    const char *name;
    json_t *value;
    size_t i, s;

    json_array_foreach (journeys, i, journey) {
        json_array_foreach (json_object_get(journey, "steps"), s, step) {
            json_object_foreach (json_object_get(step, "extract"), name, value) {
                struct field_object o = *document;
                int r = variable_table_extract(&script->variables, name);

                o.path = FIELD_AT(
                    FIELD_ELEMENT(
                        FIELD_AT(FIELD_ELEMENT(FIELD_AT(document->path, "journeys"), i), "steps"),
                        s),
                    "extract");
                if (r == -EEXIST)
                    return field_refuse(&o, name, "is already a variable with a value of its own");
                if (r < 0)
                    return field_refuse(&o, name, "is one variable too many: at most %d",
                                        VARIABLES_MAX);
            }
        }
    }
    return 0;
}

static int read_journeys(struct script *script, const struct field_object *document,
                         uint64_t timeout_ns)
{
    const json_t *journeys;
    double weights = 0;
    int r = field_array(document, "journeys", true, 1, SCRIPT_JOURNEYS_MAX, &journeys);

    if (r == 0)
        r = declare_extracts(script, journeys, document);
    if (r != 0)
        return r;
    script->journeys = calloc(json_array_size(journeys), sizeof(*script->journeys));
    if (!script->journeys)
        return -ENOMEM;
    for (size_t i = 0; i < json_array_size(journeys); i++) {
        struct journey *j = &script->journeys[script->journey_count++];
        struct field_object o;

        *j = (struct journey){.weight = 1, .then = -1, .then_share = 1};
        r = field_open(json_array_get(journeys, i),
                       FIELD_ELEMENT(FIELD_AT(document->path, "journeys"), i), JOURNEY_NAMES,
                       document->reason, &o);
        if (r == 0)
            r = read_journey(script, j, &o, timeout_ns);
        if (r != 0)
            return r;
        weights += j->weight;
    }
    if (weights <= 0)
        return field_refuse(document, "journeys", "have no weight: expected one above 0");
    for (size_t i = 0; i < script->journey_count; i++) {
        struct field_object o = {json_array_get(journeys, i),
                                 FIELD_ELEMENT(FIELD_AT(document->path, "journeys"), i),
                                 document->reason};

        r = read_then(script, &script->journeys[i], &o);
        if (r != 0)
            return r;
    }
    return check_variables_set(script, document);
}

static int read_document(struct script *script, const json_t *json, const char *folder,
                         struct obs_reason *reason)
{
    static const char *const names[] = {"name",     "description", "seed",    "users",
                                        "pattern",  "arrivals",    "timeout", "trace_sample",
                                        "journeys", "variables",   NULL};
    static const char *const arrivals[] = {"uniform", "poisson", NULL};
    struct field_object o;
    const char *name = "load";
    int64_t seed = 1, users = 100;
    unsigned kind = SCHEDULE_UNIFORM;
    uint64_t timeout_ns = 10000000000ULL;
    int r = field_open(json, NULL, names, reason, &o);

    if (r == 0)
        r = field_text(&o, "name", false, 60, &name);
    if (r == 0)
        r = field_integer(&o, "seed", false, 0, INT64_MAX, &seed);
    if (r == 0)
        r = field_integer(&o, "users", false, 1, SCRIPT_USERS_MAX, &users);
    if (r == 0)
        r = field_choice(&o, "arrivals", false, arrivals, &kind);
    if (r == 0)
        r = field_duration(&o, "timeout", false, 3600000000000ULL, &timeout_ns);
    if (r == 0 && timeout_ns == 0)
        r = field_expected(&o, "timeout", "a duration longer than 0");
    if (r == 0)
        r = field_number(&o, "trace_sample", false, 0, 1, &script->trace_sample);
    if (r == 0 && json_object_get(json, "pattern"))
        r = pattern_parse(json_object_get(json, "pattern"), FIELD_AT(NULL, "pattern"), folder,
                          &script->pattern, reason);
    if (r == 0)
        r = variable_table_parse(&script->variables, json_object_get(json, "variables"),
                                 FIELD_AT(NULL, "variables"), reason);
    if (r == 0)
        r = read_journeys(script, &o, timeout_ns);
    if (r != 0)
        return r;
    script->seed = (uint64_t)seed;
    script->users = (unsigned)users;
    script->arrivals = (enum schedule_arrivals)kind;
    script->name = strdup(name);
    return script->name ? 0 : -ENOMEM;
}

static int script_new(struct script **ret_script)
{
    struct script *script = calloc(1, sizeof(*script));

    if (!script)
        return -ENOMEM;
    variable_table_init(&script->variables);
    script->trace_sample = 0.01;
    *ret_script = script;
    return 0;
}

int script_parse(const char *text, size_t size, const char *folder, struct script **ret_script,
                 struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(script_freep) struct script *script = NULL;
    OBS_JSON json = NULL;
    int r = obs_json_parse(text, size, &json, reterr_reason);

    if (r == 0)
        r = script_new(&script);
    if (r == 0)
        r = read_document(script, json, folder, reterr_reason);
    if (r != 0)
        return r < 0 ? r : SCRIPT_REFUSED;
    *ret_script = OBS_TAKE(script);
    return 0;
}

int script_load(const char *path, struct script **ret_script, struct obs_reason *reterr_reason)
{
    struct obs_buffer text = OBS_BUFFER_INIT(SCRIPT_BYTES_MAX);
    OBS_CLEANUP(obs_freep) char *copy = strdup(path);
    struct obs_reason why = {0};
    int r = copy ? obs_file_read(path, &text) : -ENOMEM;

    if (r == -ENOMEM)
        return r;
    if (r < 0) {
        obs_reason_set(reterr_reason, "%.120s cannot be read: %s", path, strerror(-r));
        r = SCRIPT_REFUSED;
    } else {
        r = script_parse(text.data ? text.data : "", text.size, dirname(copy), ret_script, &why);
        if (r == SCRIPT_REFUSED && why.line > 0)
            obs_reason_set_at(reterr_reason, why.line, why.column, "%.100s line %u column %u: %s",
                              path, why.line, why.column, why.text);
        else if (r == SCRIPT_REFUSED)
            obs_reason_set(reterr_reason, "%.100s: %s", path, why.text);
    }
    obs_buffer_done(&text);
    return r;
}

/* ---- one request, from a command line ---- */

static int add_header(json_t *headers, const char *line, struct obs_reason *reason)
{
    const char *colon = strchr(line, ':'), *value;
    char name[100];

    if (!colon || colon == line || (size_t)(colon - line) >= sizeof(name)) {
        obs_reason_set(reason, "header \"%.80s\" is not \"Name: value\"", line);
        return SCRIPT_REFUSED;
    }
    snprintf(name, sizeof(name), "%.*s", (int)(colon - line), line);
    value = colon + 1 + strspn(colon + 1, " \t");
    return json_object_set_new(headers, name, json_string(value)) == 0 ? 0 : -ENOMEM;
}

int script_single(const struct script_single *single, struct script **ret_script,
                  struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(script_freep) struct script *script = NULL;
    OBS_JSON json = json_object();
    json_t *headers = json_object(), *step;
    struct field_object o = {.reason = reterr_reason};
    int r = 0;

    for (size_t i = 0; r == 0 && single->headers && single->headers[i]; i++)
        r = add_header(headers, single->headers[i], reterr_reason);
    if (r == 0 && single->content_type)
        json_object_set_new(headers, "Content-Type", json_string(single->content_type));
    step = json_pack("{s:s, s:s, s:o}", "method", single->method, "target", single->target,
                     "headers", headers);
    if (step && single->body)
        json_object_set_new(step, "body", json_string(single->body));
    json_object_set_new(json, "journeys",
                        json_pack("[{s:s, s:[o]}]", "name", "request", "steps", step));
    if (r == 0)
        r = script_new(&script);
    o.json = json;
    if (r == 0)
        r = read_journeys(script, &o, single->timeout_ns);
    if (r != 0)
        return r < 0 ? r : SCRIPT_REFUSED;
    script->journeys[0].steps[0].think_low_ns = single->think_ns;
    script->journeys[0].steps[0].think_high_ns = single->think_ns;
    script->trace_sample = 0;
    script->seed = 1;
    script->name = strdup("request");
    if (!script->name)
        return -ENOMEM;
    *ret_script = OBS_TAKE(script);
    return 0;
}
