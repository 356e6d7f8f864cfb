#include "load/plan.h"
#include "base/clock.h"
#include "load/field.h"
#include <errno.h>
#include <string.h>

struct plan *plan_ref(struct plan *plan)
{
    __atomic_add_fetch(&plan->references, 1, __ATOMIC_RELAXED);
    return plan;
}

struct plan *plan_unref(struct plan *plan)
{
    if (plan && __atomic_sub_fetch(&plan->references, 1, __ATOMIC_ACQ_REL) == 0) {
        pattern_free(plan->pattern);
        free(plan);
    }
    return NULL;
}

static int derive(struct plan *plan)
{
    double sum = 0, seen = 0;

    for (unsigned i = 0; i < plan->journey_count; i++)
        sum += plan->mix[i];
    if (sum <= 0)
        return PLAN_REFUSED;
    for (unsigned i = 0; i < plan->journey_count; i++) {
        seen += plan->mix[i];
        plan->cumulative[i] = seen / sum;
    }
    return PLAN_OK;
}

static struct plan *blank(const struct script *script)
{
    struct plan *plan = calloc(1, sizeof(*plan));

    if (!plan)
        return NULL;
    plan->references = 1;
    plan->sequence = 1;
    plan->scale = 1;
    plan->journey_count = script->journey_count;
    for (unsigned i = 0; i < script->journey_count; i++)
        plan->mix[i] = script->journeys[i].weight;
    return plan;
}

int plan_new(const struct script *script, struct pattern *pattern, struct plan **ret_plan)
{
    struct plan *plan = blank(script);

    if (!plan) {
        pattern_free(pattern);
        return -ENOMEM;
    }
    plan->pattern = pattern;
    if (!pattern && script->pattern)
        plan->pattern = pattern_ref(script->pattern);
    if (!plan->pattern || derive(plan) != 0) {
        plan_unref(plan);
        return -EINVAL;
    }
    *ret_plan = plan;
    return 0;
}

double plan_time(const struct plan *plan, uint64_t now_ns)
{
    if (plan->is_paused || now_ns <= plan->start_ns)
        return plan->from_s;
    return plan->from_s + (double)(now_ns - plan->start_ns) / 1e9;
}

double plan_rate(const struct plan *plan, uint64_t now_ns)
{
    return plan->is_paused ? 0 : plan->scale * pattern_rate(plan->pattern, plan_time(plan, now_ns));
}

static double direct_share(const struct plan *plan, unsigned index)
{
    return plan->cumulative[index] - (index > 0 ? plan->cumulative[index - 1] : 0);
}

double plan_share(const struct plan *plan, const struct script *script, unsigned index)
{
    double share = direct_share(plan, index);

    for (unsigned i = 0; i < plan->journey_count; i++)
        if (script->journeys[i].then == (int)index)
            share += direct_share(plan, i) * script->journeys[i].then_share;
    return share;
}

unsigned plan_pick(const struct plan *plan, double random)
{
    unsigned i = 0;

    while (i + 1 < plan->journey_count && random >= plan->cumulative[i])
        i++;
    return i;
}

/* ---- changes ---- */

static int read_mix(const struct script *script, const struct field_object *o, struct plan *plan)
{
    json_t *mix = json_object_get(o->json, "mix"), *value;
    const char *name;

    if (!mix)
        return 0;
    if (!json_is_object(mix))
        return field_expected(o, "mix", "{\"journey\": weight}");
    json_object_foreach (mix, name, value) {
        struct field_object m = {mix, FIELD_AT(o->path, "mix"), o->reason};
        int index = script_find(script, name);

        if (index < 0)
            return field_refuse(&m, NULL, "has \"%.40s\": there is no journey of that name", name);
        if (field_number(&m, name, true, 0, 1e6, &plan->mix[index]) != 0)
            return PLAN_REFUSED;
    }
    if (derive(plan) != 0)
        return field_refuse(o, "mix", "leaves no journey: expected one weight above 0");
    return 0;
}

static int read_pattern(const struct field_object *o, struct plan *plan)
{
    const json_t *json = json_object_get(o->json, "pattern");
    struct pattern *pattern = NULL;
    double rate = -1;
    int r = field_number(o, "rate", false, 0, PATTERN_RATE_MAX, &rate);

    if (r == 0 && json && rate >= 0)
        r = field_refuse(o, NULL, "has both \"pattern\" and \"rate\": expected one of them");
    if (r == 0 && json_is_string(json))
        r = pattern_parse_text(json_string_value(json), NULL, &pattern, o->reason);
    else if (r == 0 && json)
        r = pattern_parse(json, FIELD_AT(o->path, "pattern"), NULL, &pattern, o->reason);
    else if (r == 0 && rate >= 0)
        r = pattern_constant(rate, &pattern);
    if (r != 0 || !pattern)
        return r;
    pattern_free(plan->pattern);
    plan->pattern = pattern;
    plan->from_s = 0;
    return 0;
}

int plan_change(const struct script *script, const struct plan *old, const json_t *json,
                bool is_replacement, uint64_t now_ns, struct plan **ret_plan,
                struct obs_reason *reterr_reason)
{
    static const char *const names[] = {"pattern", "rate", "scale", "mix", "paused", NULL};
    OBS_CLEANUP(plan_unrefp) struct plan *plan = blank(script);
    struct field_object o;
    int r;

    if (!plan)
        return -ENOMEM;
    if (!is_replacement) {
        memcpy(plan->mix, old->mix, sizeof(plan->mix));
        plan->scale = old->scale;
        plan->is_paused = old->is_paused;
    }
    plan->sequence = old->sequence + 1;
    plan->start_ns = now_ns;
    plan->from_s = plan_time(old, now_ns);
    r = field_open(json, NULL, names, reterr_reason, &o);
    plan->pattern = pattern_ref(is_replacement && script->pattern ? script->pattern : old->pattern);
    if (r == 0)
        r = derive(plan);
    if (r == 0 && is_replacement && script->pattern)
        plan->from_s = 0;
    if (r == 0)
        r = read_pattern(&o, plan);
    if (r == 0)
        r = field_number(&o, "scale", false, 0.001, 1000, &plan->scale);
    if (r == 0)
        r = read_mix(script, &o, plan);
    if (r == 0)
        r = field_boolean(&o, "paused", &plan->is_paused);
    if (r != 0)
        return r < 0 ? r : PLAN_REFUSED;
    *ret_plan = OBS_TAKE(plan);
    return 0;
}

json_t *plan_json(const struct plan *plan, const struct script *script)
{
    json_t *mix = json_object();

    for (unsigned i = 0; i < plan->journey_count; i++)
        if (plan->mix[i] > 0)
            json_object_set_new(mix, script->journeys[i].name, json_real(plan->mix[i]));
    return json_pack("{s:O, s:f, s:b, s:o}", "pattern", pattern_json(plan->pattern), "scale",
                     plan->scale, "paused", plan->is_paused, "mix", mix);
}
