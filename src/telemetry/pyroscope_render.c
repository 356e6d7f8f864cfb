/* GET /render and /render-diff: the profiles of a time range as a flame graph, folded stacks or
 * pprof, and two ranges beside each other. */
#include "telemetry/pyroscope.h"

#include "base/clock.h"
#include "base/text.h"
#include "telemetry/profile_flamebearer.h"
#include "telemetry/profile_folded.h"
#include "telemetry/profile_merge.h"
#include "telemetry/profile_pprof.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define REPLY_MAX (64u << 20)
#define RATE_WHEN_NONE 100 /* what Pyroscope says when nothing was found */

struct side {
    const char *query;
    struct profile_selector *selector;
    struct profile_range range;
};

struct render {
    struct obs_http_request *request;
    const struct telemetry *telemetry;
    const char *tenant;
    struct side sides[2];
    size_t max_nodes;
    struct profile_merge *merge;
    struct profile_merged merged;
    struct obs_buffer body;
};

/* ---- parameters: each answers the request and returns 1 when it refuses ---- */

static int read_side(struct render *render, struct side *side, const char *query_name,
                     const char *from_name, const char *until_name)
{
    struct obs_reason why = {0}, named;
    int r;

    side->query = obs_http_query(render->request, query_name);
    if (!side->query || side->query[0] == '\0')
        side->query = obs_http_query(render->request, "query");
    if (!side->query || side->query[0] == '\0') {
        obs_http_reply_problemf(render->request, 400, "the parameter %s is missing", query_name);
        return 1;
    }
    r = profile_selector_parse(side->query, &side->selector, &why);
    if (r != 0) {
        obs_reason_set_at(&named, why.line, why.column, "%s: %.150s at position %u", query_name,
                          why.text, why.column);
        obs_http_reply_problem(render->request, r < 0 ? 503 : 400, &named);
        return 1;
    }
    if (pyroscope_time(render->request, from_name, "now-1h", &side->range.from_ns) != 0 ||
        pyroscope_time(render->request, until_name, "now", &side->range.until_ns) != 0)
        return 1;
    if (side->range.until_ns <= side->range.from_ns) {
        obs_http_reply_problemf(render->request, 400, "%s is not after %s", until_name, from_name);
        return 1;
    }
    side->range.selector = side->selector;
    return 0;
}

static int read_max_nodes(struct render *render)
{
    const char *text = obs_http_query(render->request, "max-nodes");
    uint64_t value = 0;

    if (!text)
        text = obs_http_query(render->request, "maxNodes");
    if (text && text[0] != '\0' &&
        obs_text_parse_u64(text, strlen(text), FLAMEBEARER_NODES_MAX, &value) != 0) {
        obs_http_reply_problemf(render->request, 400,
                                "max-nodes=%.40s: expected a number from 1 to %d", text,
                                FLAMEBEARER_NODES_MAX);
        return 1;
    }
    render->max_nodes = value ? (size_t)value : FLAMEBEARER_NODES;
    return 0;
}

static int refuse_unknown(struct render *render)
{
    static const char *const NAMES[] = {"groupBy", "groupByValue", "name"};

    for (size_t i = 0; i < OBS_COUNT(NAMES); i++) {
        const char *value = obs_http_query(render->request, NAMES[i]);

        if (value && value[0] != '\0') {
            obs_http_reply_problemf(render->request, 400, "the parameter %s is not supported",
                                    NAMES[i]);
            return 1;
        }
    }
    return 0;
}

/* ---- merging ---- */

static int merge_sides(struct render *render, size_t count)
{
    uint64_t deadline_ns = pyroscope_deadline(render->telemetry);
    struct obs_reason why = {0};
    bool wants_nanoseconds = false;
    int r;

    for (size_t i = 0; i < count; i++)
        wants_nanoseconds = wants_nanoseconds || render->sides[i].selector->wants_nanoseconds;
    r = profile_merge_new(wants_nanoseconds, &render->merge);
    for (size_t i = 0; i < count && r == 0; i++)
        r = profile_merge_range(render->merge, render->telemetry->profiles, render->tenant,
                                &render->sides[i].range, i == 0 ? PROFILE_LEFT : PROFILE_RIGHT,
                                deadline_ns, &why);
    if (r == 0)
        r = profile_merge_end(render->merge);
    if (r == PROFILE_MERGE_REFUSED)
        obs_http_reply_problem(render->request, 400, &why);
    else if (r < 0)
        pyroscope_query_failed(render->request, r);
    else
        profile_merge_get(render->merge, &render->merged);
    return r != 0;
}

/* ---- answers ---- */

static void append_text(struct obs_buffer *b, const char *text)
{
    obs_buffer_append_json(b, text, strlen(text));
}

static void append_metadata(struct render *render, bool is_double)
{
    const struct profile_range *range = &render->sides[0].range;
    struct obs_buffer *b = &render->body;

    obs_buffer_printf(b,
                      ",\"metadata\":{\"format\":\"%s\",\"spyName\":\"\",\"sampleRate\":%" PRIu64,
                      is_double ? "double" : "single",
                      render->merged.rate ? render->merged.rate : RATE_WHEN_NONE);
    obs_buffer_append_text(b, ",\"units\":");
    append_text(b, render->merged.units);
    obs_buffer_append_text(b, ",\"name\":");
    append_text(b, render->sides[0].query);
    obs_buffer_append_text(b, ",\"query\":");
    append_text(b, render->sides[0].query);
    obs_buffer_printf(b, ",\"startTime\":%" PRIu64 ",\"endTime\":%" PRIu64 ",\"maxNodes\":%zu",
                      (uint64_t)(range->from_ns / OBS_NS_PER_SECOND),
                      (uint64_t)(range->until_ns / OBS_NS_PER_SECOND), render->max_nodes);
    obs_buffer_printf(b, ",\"windows\":[%" PRIu64 ",%" PRIu64 "]}", render->merged.windows[0],
                      render->merged.windows[1]);
}

static void append_timeline(struct render *render)
{
    const struct profile_merged *merged = &render->merged;
    struct obs_buffer *b = &render->body;

    obs_buffer_printf(
        b, ",\"timeline\":{\"startTime\":%" PRIu64 ",\"durationDelta\":%" PRIu64 ",\"samples\":[",
        merged->timeline_from_s, merged->timeline_step_s);
    for (size_t i = 0; i < merged->timeline_count; i++)
        obs_buffer_printf(b, "%s%" PRIu64, i > 0 ? "," : "", merged->timeline[i]);
    obs_buffer_append_text(b, "],\"watermarks\":{}}");
}

static void reply_flamebearer(struct render *render, bool is_double)
{
    const struct profile_node *root = profile_tree_at(render->merged.tree, PROFILE_ROOT);
    struct obs_buffer *b = &render->body;
    int r;

    obs_buffer_append_text(b, "{\"version\":1,\"flamebearer\":");
    r = profile_flamebearer_emit(render->merged.tree, is_double, render->max_nodes, b);
    append_metadata(render, is_double);
    if (is_double)
        obs_buffer_printf(b, ",\"timeline\":null,\"leftTicks\":%" PRIu64 ",\"rightTicks\":%" PRIu64,
                          root->total[0], root->total[1]);
    else
        append_timeline(render);
    obs_buffer_append_text(b, ",\"groups\":{},\"heatmap\":null}");
    if (r == 0)
        r = b->error;
    if (r < 0)
        pyroscope_query_failed(render->request, r);
    else
        obs_http_reply_buffer(render->request, 200, "application/json", b);
}

static void reply_pprof(struct render *render)
{
    const struct profile_range *range = &render->sides[0].range;
    const struct profile_merged *merged = &render->merged;
    bool is_nanoseconds = merged->rate == PROFILE_NANOSECONDS;
    struct pprof_header header = {
        .type = merged->rate ? (is_nanoseconds ? "cpu" : "samples") : merged->units,
        .unit = merged->rate ? (is_nanoseconds ? "nanoseconds" : "count") : "count",
        .period = merged->rate ? (PROFILE_NANOSECONDS + merged->rate / 2) / merged->rate : 0,
        .time_ns = range->from_ns,
        .duration_ns = range->until_ns - range->from_ns,
    };
    int r = pprof_emit(merged->tree, PROFILE_LEFT, &header, &render->body);

    if (r < 0) {
        pyroscope_query_failed(render->request, r);
        return;
    }
    obs_http_reply_header(render->request, "Content-Disposition",
                          "attachment; filename=\"profile.pb.gz\"");
    obs_http_reply_buffer(render->request, 200, "application/octet-stream", &render->body);
}

static void reply_folded(struct render *render)
{
    int r = profile_folded_emit(render->merged.tree, PROFILE_LEFT, &render->body);

    if (r < 0)
        pyroscope_query_failed(render->request, r);
    else
        obs_http_reply_buffer(render->request, 200, "text/plain; charset=utf-8", &render->body);
}

static void reply_single(struct render *render)
{
    reply_flamebearer(render, false);
}

static const struct {
    const char *name;
    void (*reply)(struct render *render);
} FORMATS[] = {
    {"json", reply_single},
    {"folded", reply_folded},
    {"collapsed", reply_folded},
    {"pprof", reply_pprof},
};

static void (*find_format(struct render *render))(struct render *render)
{
    const char *format = obs_http_query(render->request, "format");

    if (!format || format[0] == '\0')
        return reply_single;
    for (size_t i = 0; i < OBS_COUNT(FORMATS); i++) {
        if (strcmp(format, FORMATS[i].name) == 0)
            return FORMATS[i].reply;
    }
    obs_http_reply_problemf(render->request, 400,
                            "format=%.40s: expected json, folded, collapsed or pprof", format);
    return NULL;
}

static void done(struct render *render)
{
    profile_selector_free(render->sides[0].selector);
    profile_selector_free(render->sides[1].selector);
    profile_merge_free(render->merge);
    obs_buffer_done(&render->body);
}

void pyroscope_render(struct obs_http_request *request, void *userdata)
{
    struct render render = {
        .request = request, .telemetry = userdata, .body = OBS_BUFFER_INIT(REPLY_MAX)};
    void (*reply)(struct render *);

    render.tenant = telemetry_tenant(request, render.telemetry);
    if (!render.tenant)
        return;
    reply = find_format(&render);
    if (reply && refuse_unknown(&render) == 0 && read_max_nodes(&render) == 0 &&
        read_side(&render, &render.sides[0], "query", "from", "until") == 0 &&
        merge_sides(&render, 1) == 0)
        reply(&render);
    done(&render);
}

void pyroscope_render_diff(struct obs_http_request *request, void *userdata)
{
    struct render render = {
        .request = request, .telemetry = userdata, .body = OBS_BUFFER_INIT(REPLY_MAX)};
    const char *format = obs_http_query(request, "format");

    render.tenant = telemetry_tenant(request, render.telemetry);
    if (!render.tenant)
        return;
    if (format && format[0] != '\0' && strcmp(format, "json") != 0)
        obs_http_reply_problemf(request, 400, "format=%.40s: a diff is json", format);
    else if (refuse_unknown(&render) == 0 && read_max_nodes(&render) == 0 &&
             read_side(&render, &render.sides[0], "leftQuery", "leftFrom", "leftUntil") == 0 &&
             read_side(&render, &render.sides[1], "rightQuery", "rightFrom", "rightUntil") == 0 &&
             merge_sides(&render, 2) == 0)
        reply_flamebearer(&render, true);
    done(&render);
}
