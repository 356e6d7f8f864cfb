/* What there is: label names, values of one, applications. */
#include "telemetry/pyroscope.h"

#include "telemetry/profile_names.h"
#include "telemetry/profile_selector.h"
#include <errno.h>
#include <string.h>

#define FOUND_BYTES_MAX (4u << 20)
#define REPLY_MAX (16u << 20)

struct listing {
    struct obs_http_request *request;
    const struct telemetry *telemetry;
    const char *tenant, *label; /* NULL: the names of labels are wanted */
    struct profile_selector *selector;
    struct profile_query query;
    struct profile_names *found;
};

static int take_labels(const struct label *labels, size_t label_count, void *userdata)
{
    struct listing *listing = userdata;
    uint32_t number;
    int r = 0;

    for (size_t i = 0; i < label_count && r == 0; i++) {
        if (!listing->label)
            r = profile_names_put(listing->found, labels[i].name, &number);
        else if (labels[i].name.size == strlen(listing->label) &&
                 memcmp(labels[i].name.text, listing->label, labels[i].name.size) == 0)
            r = profile_names_put(listing->found, labels[i].value, &number);
    }
    return r;
}

static int compare_texts(const void *a, const void *b)
{
    const struct text_view *x = a, *y = b;
    int order = memcmp(x->text, y->text, x->size < y->size ? x->size : y->size);

    return order != 0 ? order : (x->size > y->size) - (x->size < y->size);
}

static int read_query(struct listing *listing)
{
    const char *query = obs_http_query(listing->request, "query");
    struct obs_reason why = {0};
    int r;

    if (pyroscope_time(listing->request, "from", "0", &listing->query.from_ns) != 0 ||
        pyroscope_time(listing->request, "until", "9000000000", &listing->query.until_ns) != 0)
        return 1;
    listing->query.deadline_ns = pyroscope_deadline(listing->telemetry);
    if (!query || query[0] == '\0')
        return 0;
    r = profile_selector_parse(query, &listing->selector, &why);
    if (r != 0) {
        obs_http_reply_problemf(listing->request, r < 0 ? 503 : 400, "query: %.150s at position %u",
                                why.text, why.column);
        return 1;
    }
    listing->query.matchers = listing->selector->matchers;
    listing->query.matcher_count = listing->selector->matcher_count;
    return 0;
}

static int find(struct listing *listing)
{
    int r = profile_names_new(FOUND_BYTES_MAX, &listing->found);

    if (r == 0)
        r = profile_series(listing->telemetry->profiles, listing->tenant, &listing->query,
                           take_labels, listing);
    if (r < 0)
        pyroscope_query_failed(listing->request, r);
    return r;
}

/* A JSON array in order; @before and @after stand around each text. */
static void reply(struct listing *listing, const char *before, const char *after)
{
    struct obs_buffer b = OBS_BUFFER_INIT(REPLY_MAX);
    size_t count = profile_names_count(listing->found);
    struct text_view *texts = calloc(count + 1, sizeof(*texts));

    if (!texts) {
        pyroscope_query_failed(listing->request, -ENOMEM);
        return;
    }
    for (size_t i = 0; i < count; i++)
        texts[i] = profile_names_at(listing->found, (uint32_t)i);
    qsort(texts, count, sizeof(*texts), compare_texts);
    obs_buffer_append_char(&b, '[');
    for (size_t i = 0; i < count; i++) {
        obs_buffer_append_text(&b, i > 0 ? "," : "");
        obs_buffer_append_text(&b, before);
        obs_buffer_append_json(&b, texts[i].text, texts[i].size);
        obs_buffer_append_text(&b, after);
    }
    obs_buffer_append_char(&b, ']');
    free(texts);
    if (b.error)
        pyroscope_query_failed(listing->request, b.error);
    else
        obs_http_reply_buffer(listing->request, 200, "application/json", &b);
    obs_buffer_done(&b);
}

static void list(struct obs_http_request *request, void *userdata, const char *label,
                 const char *before, const char *after)
{
    struct listing listing = {.request = request, .telemetry = userdata, .label = label};

    listing.tenant = telemetry_tenant(request, listing.telemetry);
    if (!listing.tenant)
        return;
    if (read_query(&listing) == 0 && find(&listing) == 0)
        reply(&listing, before, after);
    profile_selector_free(listing.selector);
    profile_names_free(listing.found);
}

void pyroscope_label_names(struct obs_http_request *request, void *userdata)
{
    list(request, userdata, NULL, "", "");
}

void pyroscope_label_values(struct obs_http_request *request, void *userdata)
{
    const char *label = obs_http_query(request, "label");

    if (!label || label[0] == '\0')
        obs_http_reply_problemf(request, 400, "the parameter label is missing");
    else
        list(request, userdata, label, "", "");
}

void pyroscope_apps(struct obs_http_request *request, void *userdata)
{
    list(request, userdata, "__name__", "{\"name\":", "}");
}
