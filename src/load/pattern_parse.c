/* Reading patterns: the JSON form and the short one. */
#include "base/file.h"
#include "load/field.h"
#include "load/pattern_internal.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define LENGTH_MAX_NS (30 * 24 * 3600 * 1000000000ULL)

struct reader {
    struct field_object o;
    const char *folder;
};

static int read_for(const struct reader *in, struct pattern *p)
{
    uint64_t ns = 0;
    int r = field_duration(&in->o, "for", false, LENGTH_MAX_NS, &ns);

    if (r == 0 && ns > 0)
        p->length_s = (double)ns / 1e9;
    return r;
}

static int read_constant(const struct reader *in, struct pattern *p)
{
    double rate = 0;
    int r = field_number(&in->o, "rate", true, 0, PATTERN_RATE_MAX, &rate);

    return r != 0 ? r : pattern_add_piece(p, INFINITY, rate, rate);
}

static int read_ramp(const struct reader *in, struct pattern *p)
{
    double from = 0, to = 0;
    uint64_t over_ns = 0;
    int r = field_number(&in->o, "from", true, 0, PATTERN_RATE_MAX, &from);

    if (r == 0)
        r = field_number(&in->o, "to", true, 0, PATTERN_RATE_MAX, &to);
    if (r == 0)
        r = field_duration(&in->o, "over", true, LENGTH_MAX_NS, &over_ns);
    if (r == 0 && over_ns == 0)
        r = field_expected(&in->o, "over", "a duration longer than 0");
    if (r == 0)
        r = pattern_add_piece(p, (double)over_ns / 1e9, from, to);
    return r != 0 ? r : pattern_add_piece(p, INFINITY, to, to);
}

static int read_one_step(const struct field_object *o, bool is_last, struct pattern *p)
{
    double rate = 0;
    uint64_t ns = 0;
    int r = field_number(o, "rate", true, 0, PATTERN_RATE_MAX, &rate);

    if (r == 0)
        r = field_duration(o, "for", !is_last, LENGTH_MAX_NS, &ns);
    if (r == 0 && !is_last && ns == 0)
        r = field_expected(o, "for", "a duration longer than 0");
    if (r != 0)
        return r;
    if (!is_last)
        return pattern_add_piece(p, (double)ns / 1e9, rate, rate);
    r = pattern_add_piece(p, INFINITY, rate, rate);
    if (r == 0 && ns > 0)
        p->length_s = p->pieces[p->piece_count - 1].start_s + (double)ns / 1e9;
    return r;
}

static int read_step(const struct reader *in, struct pattern *p)
{
    static const char *const names[] = {"rate", "for", NULL};
    const json_t *steps;
    int r = field_array(&in->o, "steps", true, 1, 1000, &steps);

    for (size_t i = 0; r == 0 && i < json_array_size(steps); i++) {
        const struct field_path *path = FIELD_ELEMENT(FIELD_AT(in->o.path, "steps"), i);
        struct field_object o;

        r = field_open(json_array_get(steps, i), path, names, in->o.reason, &o);
        if (r == 0)
            r = read_one_step(&o, i + 1 == json_array_size(steps), p);
    }
    return r;
}

static int read_spike(const struct reader *in, struct pattern *p)
{
    double rate = 0, peak = 0;
    uint64_t at_ns = 0, length_ns = 0, every_ns = 0;
    int r = field_number(&in->o, "rate", true, 0, PATTERN_RATE_MAX, &rate);

    if (r == 0)
        r = field_number(&in->o, "peak", true, 0, PATTERN_RATE_MAX, &peak);
    if (r == 0)
        r = field_duration(&in->o, "at", true, LENGTH_MAX_NS, &at_ns);
    if (r == 0)
        r = field_duration(&in->o, "lasting", true, LENGTH_MAX_NS, &length_ns);
    if (r == 0 && length_ns == 0)
        r = field_expected(&in->o, "lasting", "a duration longer than 0");
    if (r == 0)
        r = field_duration(&in->o, "every", false, LENGTH_MAX_NS, &every_ns);
    if (r == 0 && every_ns > 0 && every_ns <= at_ns + length_ns)
        r = field_expected(&in->o, "every", "more than \"at\" and \"lasting\" together");
    if (r == 0 && at_ns > 0)
        r = pattern_add_piece(p, (double)at_ns / 1e9, rate, rate);
    if (r == 0)
        r = pattern_add_piece(p, (double)length_ns / 1e9, peak, peak);
    if (r != 0)
        return r;
    if (every_ns > 0)
        p->cycle_s = (double)every_ns / 1e9;
    return pattern_add_piece(
        p, every_ns > 0 ? (double)(every_ns - at_ns - length_ns) / 1e9 : INFINITY, rate, rate);
}

static int read_sine(const struct reader *in, struct pattern *p)
{
    uint64_t period_ns = 0;
    int r = field_number(&in->o, "rate", true, 0.001, PATTERN_RATE_MAX, &p->rate);

    if (r == 0)
        r = field_number(&in->o, "amplitude", true, 0, PATTERN_RATE_MAX, &p->amplitude);
    if (r == 0 && p->amplitude > p->rate)
        r = field_expected(&in->o, "amplitude", "at most \"rate\": a rate is never below 0");
    if (r == 0)
        r = field_duration(&in->o, "period", true, LENGTH_MAX_NS, &period_ns);
    if (r == 0 && period_ns == 0)
        r = field_expected(&in->o, "period", "a duration longer than 0");
    p->period_s = (double)period_ns / 1e9;
    return r;
}

static int add_arrival(struct pattern *p, size_t *capacity, double t_s)
{
    if (p->arrival_count == *capacity) {
        size_t wanted = *capacity ? *capacity * 2 : 1024;
        double *grown = reallocarray(p->arrivals_s, wanted, sizeof(*grown));

        if (!grown)
            return -ENOMEM;
        p->arrivals_s = grown;
        *capacity = wanted;
    }
    p->arrivals_s[p->arrival_count++] = t_s;
    return 0;
}

static bool is_next_time(const struct pattern *p, double t_s)
{
    return t_s >= 0 && t_s < 1e9 &&
           (p->arrival_count == 0 || t_s >= p->arrivals_s[p->arrival_count - 1]);
}

static int read_replay_list(const struct reader *in, const json_t *list, struct pattern *p)
{
    size_t capacity = 0;

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *value = json_array_get(list, i);

        if (!json_is_number(value) || !is_next_time(p, json_number_value(value))) {
            struct field_object o = in->o;

            o.path = FIELD_ELEMENT(FIELD_AT(in->o.path, "arrivals"), i);
            return field_refuse(&o, NULL, "is not a time: expected seconds, 0 or more, ascending");
        }
        if (add_arrival(p, &capacity, json_number_value(value)) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int read_replay_file(const struct reader *in, const char *name, struct pattern *p)
{
    struct obs_buffer text = OBS_BUFFER_INIT(512 << 20);
    size_t capacity = 0, line_number = 0;
    char path[4096];
    char *line;
    int r;

    if (!in->folder)
        return field_refuse(&in->o, "file", "is not possible here: send \"arrivals\" instead");
    snprintf(path, sizeof(path), "%s%s%s", *name == '/' ? "" : in->folder, *name == '/' ? "" : "/",
             name);
    r = obs_file_read(path, &text);
    if (r < 0) {
        obs_buffer_done(&text);
        return field_refuse(&in->o, "file", "%.100s cannot be read: %s", path, strerror(-r));
    }
    line = text.data;
    while (r == 0 && line && *line) {
        char *end = strchr(line, '\n'), *number_end;
        double t_s;

        line_number++;
        if (end)
            *end = '\0';
        t_s = strtod(line, &number_end);
        while (*number_end == ' ' || *number_end == '\r' || *number_end == '\t')
            number_end++;
        if (*line != '#' && *line != '\0' && *line != '\r') {
            if (*number_end != '\0' || !is_next_time(p, t_s))
                r = field_refuse(&in->o, "file",
                                 "%.80s line %zu is not a time: expected seconds, ascending", path,
                                 line_number);
            else
                r = add_arrival(p, &capacity, t_s);
        }
        line = end ? end + 1 : NULL;
    }
    obs_buffer_done(&text);
    return r;
}

static int read_replay(const struct reader *in, struct pattern *p)
{
    const json_t *list;
    const char *file = NULL;
    double speed = 1;
    bool is_repeated = false;
    int r = field_array(&in->o, "arrivals", false, 1, PATTERN_REPLAY_MAX, &list);

    if (r == 0)
        r = field_text(&in->o, "file", false, 1024, &file);
    if (r == 0 && !list == !file)
        r = field_refuse(&in->o, NULL, "needs one of \"arrivals\" and \"file\"");
    if (r == 0)
        r = field_number(&in->o, "speed", false, 0.001, 1000, &speed);
    if (r == 0)
        r = field_boolean(&in->o, "repeat", &is_repeated);
    if (r == 0)
        r = list ? read_replay_list(in, list, p) : read_replay_file(in, file, p);
    if (r != 0)
        return r;
    if (p->arrival_count == 0 || p->arrival_count > PATTERN_REPLAY_MAX)
        return field_refuse(&in->o, NULL, "holds %zu arrivals: expected 1 to %d", p->arrival_count,
                            PATTERN_REPLAY_MAX);
    for (size_t i = 0; i < p->arrival_count; i++)
        p->arrivals_s[i] /= speed;
    if (is_repeated) {
        double last_s = p->arrivals_s[p->arrival_count - 1], n = (double)p->arrival_count;

        if (last_s <= 0)
            return field_refuse(&in->o, "repeat", "needs arrivals that span some time");
        p->cycle_s = last_s * n / (n - 1); /* one mean gap between the last and the first */
    }
    return 0;
}

static const struct {
    const char *type;
    enum pattern_shape shape;
    int (*read)(const struct reader *in, struct pattern *p);
    const char *names[10];
} TYPES[] = {
    {"constant", SHAPE_PIECES, read_constant, {"type", "for", "rate", NULL}},
    {"ramp", SHAPE_PIECES, read_ramp, {"type", "for", "from", "to", "over", NULL}},
    {"step", SHAPE_PIECES, read_step, {"type", "steps", NULL}},
    {"spike",
     SHAPE_PIECES,
     read_spike,
     {"type", "for", "rate", "peak", "at", "lasting", "every", NULL}},
    {"sine", SHAPE_SINE, read_sine, {"type", "for", "rate", "amplitude", "period", NULL}},
    {"replay",
     SHAPE_LIST,
     read_replay,
     {"type", "for", "arrivals", "file", "speed", "repeat", NULL}},
};

int pattern_parse(const json_t *json, const struct field_path *path, const char *folder,
                  struct pattern **ret_pattern, struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(pattern_freep) struct pattern *p = NULL;
    const char *type_names[OBS_COUNT(TYPES) + 1] = {NULL};
    struct reader in = {.o = {json, path, reterr_reason}, .folder = folder};
    unsigned type = 0;
    int r;

    for (size_t i = 0; i < OBS_COUNT(TYPES); i++)
        type_names[i] = TYPES[i].type;
    if (!json_is_object(json))
        return field_refuse(&in.o, NULL, "is not a pattern: expected {\"type\": …}");
    r = field_choice(&in.o, "type", true, type_names, &type);
    if (r == 0)
        r = field_open(json, path, TYPES[type].names, reterr_reason, &in.o);
    if (r != 0)
        return PATTERN_REFUSED;
    r = pattern_new(TYPES[type].shape, &p);
    if (r < 0)
        return r;
    r = TYPES[type].read(&in, p);
    if (r == 0)
        r = read_for(&in, p);
    if (r != 0)
        return r < 0 ? r : PATTERN_REFUSED;
    p->json = json_deep_copy(json);
    if (!p->json)
        return -ENOMEM;
    *ret_pattern = OBS_TAKE(p);
    return 0;
}

int pattern_constant(double rate, struct pattern **ret_pattern)
{
    OBS_JSON json = json_pack("{s:s, s:f}", "type", "constant", "rate", rate);

    return json ? pattern_parse(json, NULL, NULL, ret_pattern, NULL) : -ENOMEM;
}

/* ---- the short form ---- */

static json_t *short_value(const char *name, const char *value)
{
    static const char *const texts[] = {"for", "over", "at", "lasting", "every", "period", "file"};
    char *end;
    double number;

    for (size_t i = 0; i < OBS_COUNT(texts); i++)
        if (strcmp(texts[i], name) == 0)
            return json_string(value);
    if (strcmp(value, "true") == 0 || strcmp(value, "false") == 0)
        return json_boolean(strcmp(value, "true") == 0);
    number = strtod(value, &end);
    return *value && !*end ? json_real(number) : json_string(value);
}

/* "10x30s" or "10" of a step pattern. */
static json_t *short_step(char *text)
{
    char *x = strchr(text, 'x');
    json_t *step = json_object();

    if (x)
        *x = '\0';
    json_object_set_new(step, "rate", short_value("rate", text));
    if (x)
        json_object_set_new(step, "for", json_string(x + 1));
    return step;
}

int pattern_parse_text(const char *text, const char *folder, struct pattern **ret_pattern,
                       struct obs_reason *reterr_reason)
{
    OBS_JSON json = json_object();
    OBS_CLEANUP(obs_freep) char *copy = strdup(text);
    char *rest, *word, *saved = NULL;
    json_t *steps = NULL;

    if (!json || !copy)
        return -ENOMEM;
    rest = strchr(copy, ':');
    if (rest)
        *rest++ = '\0';
    json_object_set_new(json, "type", json_string(copy));
    if (strcmp(copy, "step") == 0)
        json_object_set_new(json, "steps", steps = json_array());
    for (word = rest ? strtok_r(rest, ",", &saved) : NULL; word;
         word = strtok_r(NULL, ",", &saved)) {
        char *value = strchr(word, '=');

        if (steps) {
            json_array_append_new(steps, short_step(word));
            continue;
        }
        if (!value) {
            obs_reason_set(reterr_reason,
                           "\"%.60s\" is not NAME=VALUE, as in "
                           "ramp:from=10,to=100,over=30s",
                           word);
            return PATTERN_REFUSED;
        }
        *value++ = '\0';
        json_object_set_new(json, word, short_value(word, value));
    }
    return pattern_parse(json, NULL, folder, ret_pattern, reterr_reason);
}
