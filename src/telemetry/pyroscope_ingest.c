/*
 * POST /ingest: one push is one time span of one application. A pprof push may hold several sample
 * types; each becomes a series of its own, all of them durable before the answer, or none.
 */
#include "telemetry/pyroscope.h"

#include "base/clock.h"
#include "base/text.h"
#include "telemetry/profile_folded.h"
#include "telemetry/profile_pprof.h"
#include "telemetry/profile_selector.h"
#include <string.h>
#include <strings.h>

#define FUTURE_MAX_NS (600 * OBS_NS_PER_SECOND) /* clocks differ */
#define DURATION_MAX_NS (86400 * OBS_NS_PER_SECOND)
#define RATE_STANDARD 100
#define RATE_MAX 1000000000

struct push {
    struct obs_http_request *request;
    const struct telemetry *telemetry;
    const char *tenant;
    struct profile_name name;
    uint64_t from_ns, until_ns, rate;
    struct obs_buffer body, inflated;
    struct text_view data, type_config; /* what is to be decoded; sample_type_config */
    struct pprof pprof;
    struct profile_tree *folded;
    struct profile_view views[PPROF_TYPES_MAX];
    struct label labels[PPROF_TYPES_MAX][PROFILE_LABELS_MAX];
    char names[PPROF_TYPES_MAX][PROFILE_LABEL_SIZE_MAX + 64]; /* __name__ */
    const struct profile_type *types[PPROF_TYPES_MAX];        /* of the views */
    size_t view_count;
    struct obs_reason why;
};

static struct text_view view_of(const char *text)
{
    return (struct text_view){text, strlen(text)};
}

static bool is_text(struct text_view view, const char *text)
{
    return view.size == strlen(text) && memcmp(view.text, text, view.size) == 0;
}

static int refuse(struct push *push, int status, const char *text)
{
    obs_reason_set(&push->why, "%s", text);
    return status;
}

/* ---- parameters ---- */

static int read_time_span(struct push *push)
{
    uint64_t now_ns = obs_time_ns();

    if (pyroscope_time(push->request, "from", NULL, &push->from_ns) != 0 ||
        pyroscope_time(push->request, "until", NULL, &push->until_ns) != 0)
        return -1; /* answered */
    if (push->until_ns < push->from_ns)
        return refuse(push, 400, "until is before from");
    if (push->until_ns - push->from_ns > DURATION_MAX_NS)
        return refuse(push, 400, "from and until are more than a day apart");
    if (push->until_ns > now_ns + FUTURE_MAX_NS)
        return refuse(push, 400, "until is more than 10 minutes in the future");
    if (push->until_ns + profile_store_retention(push->telemetry->profiles) < now_ns)
        return refuse(push, 400, "the profile is older than what the store keeps");
    return 0;
}

static int read_parameters(struct push *push)
{
    const char *name = obs_http_query(push->request, "name");
    const char *rate = obs_http_query(push->request, "sampleRate");
    int r;

    if (!name)
        return refuse(push, 400, "the parameter name is missing");
    r = profile_name_parse(name, &push->name, &push->why);
    if (r != 0)
        return r < 0 ? 503 : 400;
    push->rate = RATE_STANDARD;
    if (rate &&
        (obs_text_parse_u64(rate, strlen(rate), RATE_MAX, &push->rate) != 0 || push->rate == 0))
        return refuse(push, 400, "sampleRate is not a number from 1 to 1000000000");
    return read_time_span(push);
}

/* ---- series ---- */

static int compare_labels(const void *a, const void *b)
{
    const struct label *x = a, *y = b;
    size_t size = x->name.size < y->name.size ? x->name.size : y->name.size;
    int order = memcmp(x->name.text, y->name.text, size);

    return order != 0 ? order : (x->name.size > y->name.size) - (x->name.size < y->name.size);
}

static int add_view(struct push *push, const struct profile_type *type, uint64_t rate,
                    const struct profile_tree *tree)
{
    size_t at = push->view_count;
    struct label *labels = push->labels[at];
    size_t count = push->name.label_count;
    char *name = push->names[at];

    for (size_t i = 0; i < at; i++) {
        if (push->types[i] == type)
            return refuse(push, 400, "pprof: two sample types mean the same profile type");
    }
    if (profile_tree_count(tree) == 1)
        return 0; /* nothing was sampled */
    memcpy(name, push->name.service.text, push->name.service.size);
    name[push->name.service.size] = '.';
    strcpy(name + push->name.service.size + 1, type->name);
    memcpy(labels, push->name.labels, count * sizeof(*labels));
    labels[count++] = (struct label){view_of("__name__"), view_of(name)};
    labels[count++] = (struct label){view_of("__profile_type__"), view_of(type->id)};
    labels[count++] = (struct label){view_of("__type__"), view_of(type->name)};
    labels[count++] = (struct label){view_of("service_name"), push->name.service};
    qsort(labels, count, sizeof(*labels), compare_labels);
    push->types[at] = type;
    push->views[push->view_count++] = (struct profile_view){
        .labels = labels,
        .label_count = count,
        .from_ns = push->from_ns,
        .until_ns = push->until_ns,
        .rate = profile_type_is_time(type) ? rate : 0,
        .units = view_of(type->units),
        .is_level = type->is_level,
        .tree = tree,
    };
    return 0;
}

/* ---- pprof ---- */

static bool has_type(const struct pprof *pprof, const char *type)
{
    for (size_t i = 0; i < pprof->value_count; i++) {
        if (is_text(pprof->values[i].type, type))
            return true;
    }
    return false;
}

/* What the client says that its sample types are: {"contentions":{"display-name":"mutex_count"}}.
 * Types that it leaves out are not kept. */
static int type_by_config(struct push *push, struct text_view name,
                          const struct profile_type **ret_type)
{
    OBS_JSON config = NULL;
    struct obs_reason why = {0};
    const json_t *entry;
    const char *display;
    char key[128];

    *ret_type = NULL;
    if (obs_json_parse(push->type_config.text, push->type_config.size, &config, &why) != 0 ||
        !json_is_object(config)) {
        obs_reason_set(&push->why, "sample_type_config: %s",
                       why.text[0] ? why.text : "expected an object");
        return 400;
    }
    if (name.size >= sizeof(key))
        return 0;
    memcpy(key, name.text, name.size);
    key[name.size] = '\0';
    entry = json_object_get(config, key);
    if (!entry)
        return 0;
    display = json_string_value(json_object_get(entry, "display-name"));
    *ret_type = profile_type_find(view_of(display ? display : key));
    if (!*ret_type && strcmp(key, "samples") == 0)
        *ret_type = PROFILE_TYPE_CPU;
    if (*ret_type)
        return 0;
    obs_reason_set(&push->why, "sample_type_config: \"%.60s\" is not a known profile type",
                   display ? display : key);
    return 400;
}

/* Names of Go's, Node's and our own profilers. NULL: not kept, because another type says the same.
 */
static int type_by_name(struct push *push, struct text_view name,
                        const struct profile_type **ret_type)
{
    static const struct {
        const char *name, *type, *block_type;
    } KNOWN[] = {
        {"samples", "cpu", NULL},
        {"sample", "cpu", NULL},
        {"cpu", "cpu", NULL},
        {"wall", "wall", NULL},
        {"alloc_objects", "alloc_objects", NULL},
        {"alloc_space", "alloc_space", NULL},
        {"inuse_objects", "inuse_objects", NULL},
        {"inuse_space", "inuse_space", NULL},
        {"objects", "inuse_objects", NULL},
        {"space", "inuse_space", NULL},
        {"goroutine", "goroutines", NULL},
        {"goroutines", "goroutines", NULL},
        {"contentions", "mutex_count", "block_count"},
        {"delay", "mutex_duration", "block_duration"},
    };
    const struct profile_type *asked = push->name.type;
    bool is_block = asked && strncmp(asked->name, "block", 5) == 0;
    bool has_samples = has_type(&push->pprof, "samples") || has_type(&push->pprof, "sample");

    *ret_type = NULL;
    if (has_samples && (is_text(name, "cpu") || is_text(name, "wall")))
        return 0;
    for (size_t i = 0; i < OBS_COUNT(KNOWN); i++) {
        if (!is_text(name, KNOWN[i].name))
            continue;
        *ret_type = profile_type_find(
            view_of(is_block && KNOWN[i].block_type ? KNOWN[i].block_type : KNOWN[i].type));
        if (asked && strcmp(asked->name, "wall") == 0 && *ret_type == PROFILE_TYPE_CPU)
            *ret_type = asked;
        return 0;
    }
    obs_reason_set(&push->why,
                   "pprof: \"%.*s\" is not a known sample type: send sample_type_config",
                   (int)(name.size < 60 ? name.size : 60), name.text);
    return 400;
}

static uint64_t rate_of(const struct push *push, const struct pprof_values *values)
{
    const struct pprof *pprof = &push->pprof;

    if (is_text(values->unit, "nanoseconds"))
        return 1000000000;
    if (is_text(pprof->period_unit, "nanoseconds") && pprof->period > 0 &&
        pprof->period <= 1000000000)
        return (1000000000 + pprof->period / 2) / pprof->period;
    return push->rate;
}

static int status_of(int outcome)
{
    return outcome < 0 ? 503 : outcome == PROFILE_TOO_LARGE ? 413 : 400;
}

static int decode_pprof(struct push *push)
{
    int r;

    push->inflated = OBS_BUFFER_INIT(PPROF_INFLATED_MAX);
    r = profile_gunzip(push->data.text, push->data.size, &push->inflated, &push->why);
    if (r == 0)
        r = pprof_decode(push->inflated.data, push->inflated.size, &push->pprof, &push->why);
    if (r != 0)
        return status_of(r);
    for (size_t i = 0; i < push->pprof.value_count && r == 0; i++) {
        const struct pprof_values *values = &push->pprof.values[i];
        const struct profile_type *type;

        r = push->type_config.size > 0 ? type_by_config(push, values->type, &type)
                                       : type_by_name(push, values->type, &type);
        if (r == 0 && type)
            r = add_view(push, type, rate_of(push, values), values->tree);
    }
    return r;
}

static int decode_folded(struct push *push, enum profile_folded_form form)
{
    int r = profile_tree_new(NULL, &push->folded);

    if (r == 0)
        r = profile_folded_decode(push->data, form, push->folded, &push->why);
    if (r != 0)
        return status_of(r);
    return add_view(push, push->name.type ? push->name.type : PROFILE_TYPE_CPU, push->rate,
                    push->folded);
}

/* ---- the body ---- */

static int find_parts(struct push *push, const char *content_type)
{
    struct pyroscope_part parts[PYROSCOPE_PARTS_MAX];
    size_t count;
    int r = pyroscope_parts(content_type, push->data, parts, &count, &push->why);
    bool has_profile = false;

    for (size_t i = 0; i < count && r == 0; i++) {
        if (strcmp(parts[i].name, "profile") == 0) {
            push->data = parts[i].data;
            has_profile = true;
        } else if (strcmp(parts[i].name, "sample_type_config") == 0) {
            push->type_config = parts[i].data;
        } else if (strcmp(parts[i].name, "prev_profile") == 0) {
            r = refuse(push, 422,
                       "prev_profile is not supported: send the difference as the profile");
        }
    }
    return r != 0 || has_profile ? r : refuse(push, 400, "multipart body: no field \"profile\"");
}

static int decode(struct push *push)
{
    const char *content_type = obs_http_header(push->request, "content-type");
    const char *format = obs_http_query(push->request, "format");
    bool is_form = content_type && strncasecmp(content_type, "multipart/form-data", 19) == 0;
    int r = 0;

    if (is_form)
        r = find_parts(push, content_type);
    if (r != 0)
        return r;
    if (push->data.size == 0)
        return refuse(push, 400, "the profile is empty");
    if (!format || format[0] == '\0')
        format = is_form || (content_type && strstr(content_type, "pprof")) ? "pprof" : "folded";
    if (strcmp(format, "pprof") == 0)
        return decode_pprof(push);
    if (strcmp(format, "folded") == 0 || strcmp(format, "groups") == 0)
        return decode_folded(push, PROFILE_GROUPS);
    if (strcmp(format, "lines") == 0)
        return decode_folded(push, PROFILE_LINES);
    obs_reason_set(&push->why, "format=%.40s: expected pprof, folded, groups or lines", format);
    return 415;
}

static int store(struct push *push)
{
    static const int STATUS[] = {
        [STORE_OK] = 200, [STORE_BUSY] = 429, [STORE_FULL] = 507, [STORE_REFUSED] = 400};
    int r = profile_append(push->telemetry->profiles, push->tenant, push->views, push->view_count,
                           &push->why);

    return r < 0 ? 503 : STATUS[r];
}

static int take(struct push *push)
{
    int r = read_parameters(push);

    if (r == 0)
        r = telemetry_body(push->request, PYROSCOPE_BODY_MAX, &push->body, &push->why);
    if (r != 0)
        return r;
    push->data = (struct text_view){push->body.data, push->body.size};
    r = decode(push);
    return r == 0 ? store(push) : r;
}

/* ---- figures ---- */

static void count(const struct telemetry *telemetry, const struct push *push, int status)
{
    static const struct obs_metric ACCEPTED = {
        "telemetry_profiles_accepted", OBS_COUNTER, "", "Profiles kept", {NULL}, NULL, 0};
    static const struct obs_metric REFUSED = {"telemetry_profiles_refused",
                                              OBS_COUNTER,
                                              "",
                                              "Pushes of profiles refused, by the answer's status",
                                              {"status_code", NULL},
                                              NULL,
                                              0};
    char text[16];
    const char *values[] = {text};
    struct obs_metric_family *family;

    if (!telemetry->own.metrics)
        return;
    family = obs_metrics_family(telemetry->own.metrics, status == 200 ? &ACCEPTED : &REFUSED);
    (void)snprintf(text, sizeof(text), "%d", status);
    if (family && status == 200)
        obs_counter_add(obs_metric_only(family), (double)push->view_count);
    else if (family)
        obs_counter_add(obs_metric_series(family, values), 1);
}

void pyroscope_ingest(struct obs_http_request *request, void *userdata)
{
    const struct telemetry *telemetry = userdata;
    struct push *push;
    int status;

    const char *tenant = telemetry_tenant(request, telemetry);

    if (!tenant)
        return;
    push = calloc(1, sizeof(*push));
    if (!push) {
        obs_http_reply_problemf(request, 503, "no memory");
        return;
    }
    push->request = request;
    push->telemetry = telemetry;
    push->tenant = tenant;
    status = take(push);
    count(telemetry, push, status < 0 ? 400 : status);
    if (status == 200)
        obs_http_reply(request, 200, "text/plain; charset=utf-8", "", 0);
    else if (status > 0)
        pyroscope_refuse(request, status, &push->why);
    profile_tree_free(push->folded);
    pprof_done(&push->pprof);
    profile_name_done(&push->name);
    obs_buffer_done(&push->body);
    obs_buffer_done(&push->inflated);
    free(push);
}
