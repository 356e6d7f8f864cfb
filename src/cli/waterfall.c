/*
 * Spans are tied to their parents by the ids' text, whatever its form (hex or base64). A span whose
 * parent did not arrive stands at the left, like a root. Depth first, children by their start.
 */
#include "cli/waterfall.h"

#include "base/clock.h"
#include "base/text.h"
#include "cli/telemetry_client.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SPANS_MAX 20000
#define NAME_COLUMNS 44

struct bar {
    const char *id, *parent, *name, *service;
    uint64_t start_ns, end_ns;
    bool is_failed, is_printed;
    long up; /* place of the parent; -1: none */
};

struct waterfall {
    const struct cli *cli;
    struct bar *bars;
    size_t count;
    uint64_t start_ns, end_ns;
    unsigned columns;
};

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text ? text : "";
}

/* OTLP JSON writes 64-bit numbers as text. */
static uint64_t number_of(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    const char *text = json_string_value(value);
    uint64_t number = 0;

    if (text)
        (void)obs_text_parse_u64(text, strlen(text), UINT64_MAX, &number);
    else if (json_is_integer(value) && json_integer_value(value) > 0)
        number = (uint64_t)json_integer_value(value);
    return number;
}

static const char *service_of(const json_t *resource)
{
    size_t i;
    json_t *attribute;

    json_array_foreach (json_object_get(resource, "attributes"), i, attribute) {
        if (strcmp(text_of(attribute, "key"), "service.name") == 0)
            return text_of(json_object_get(attribute, "value"), "stringValue");
    }
    return "";
}

static bool is_failed(const json_t *span)
{
    const json_t *code = json_object_get(json_object_get(span, "status"), "code");
    const char *text = json_string_value(code);

    return text ? strcmp(text, "STATUS_CODE_ERROR") == 0 : json_integer_value(code) == 2;
}

static void take_spans(struct waterfall *w, const json_t *scope, const char *service)
{
    size_t i;
    json_t *span;

    json_array_foreach (json_object_get(scope, "spans"), i, span) {
        struct bar *bar = &w->bars[w->count];

        if (w->count == SPANS_MAX)
            return;
        *bar = (struct bar){
            .id = text_of(span, "spanId"),
            .parent = text_of(span, "parentSpanId"),
            .name = text_of(span, "name"),
            .service = service,
            .start_ns = number_of(span, "startTimeUnixNano"),
            .end_ns = number_of(span, "endTimeUnixNano"),
            .is_failed = is_failed(span),
            .up = -1,
        };
        if (bar->end_ns < bar->start_ns)
            bar->end_ns = bar->start_ns;
        w->count++;
    }
}

static void take_trace(struct waterfall *w, const json_t *trace)
{
    const json_t *resources = json_object_get(trace, "batches");
    size_t i, j;
    json_t *resource, *scope;

    if (!resources)
        resources = json_object_get(trace, "resourceSpans");
    if (!resources)
        resources = json_object_get(json_object_get(trace, "trace"), "resourceSpans");
    json_array_foreach (resources, i, resource) {
        const char *service = service_of(json_object_get(resource, "resource"));

        json_array_foreach (json_object_get(resource, "scopeSpans"), j, scope)
            take_spans(w, scope, service);
    }
}

static int by_start(const void *a, const void *b)
{
    const struct bar *x = a, *y = b;

    if (x->start_ns != y->start_ns)
        return x->start_ns < y->start_ns ? -1 : 1;
    return x->end_ns < y->end_ns ? 1 : x->end_ns > y->end_ns ? -1 : strcmp(x->id, y->id);
}

/* Ids to places, then parents. */
static int tie(struct waterfall *w)
{
    OBS_JSON places = json_object();

    if (!places)
        return cli_fail("no memory");
    qsort(w->bars, w->count, sizeof(*w->bars), by_start);
    w->start_ns = w->bars[0].start_ns;
    for (size_t i = 0; i < w->count; i++) {
        if (w->bars[i].end_ns > w->end_ns)
            w->end_ns = w->bars[i].end_ns;
        (void)json_object_set_new(places, w->bars[i].id, json_integer((json_int_t)i));
    }
    for (size_t i = 0; i < w->count; i++) {
        const json_t *place = json_object_get(places, w->bars[i].parent);

        if (place && w->bars[i].parent[0] != '\0')
            w->bars[i].up = (long)json_integer_value(place);
    }
    return CLI_OK;
}

static void print_gap(const struct waterfall *w, const struct bar *bar)
{
    uint64_t whole = w->end_ns > w->start_ns ? w->end_ns - w->start_ns : 1;
    unsigned from = (unsigned)((double)(bar->start_ns - w->start_ns) * w->columns / (double)whole);
    unsigned until = (unsigned)((double)(bar->end_ns - w->start_ns) * w->columns / (double)whole);
    const char *colour = bar->is_failed ? "\033[31m" : "\033[36m";

    from = from < w->columns ? from : w->columns - 1;
    until = until > from ? until : from + 1;
    for (unsigned i = 0; i < w->columns; i++) {
        if (i == from && w->cli->is_colourful)
            fputs(colour, stdout);
        fputs(i >= from && i < until ? (bar->is_failed ? "▓" : "█") : " ", stdout);
        if (i + 1 == until && w->cli->is_colourful)
            fputs("\033[0m", stdout);
    }
}

static unsigned characters(const char *text)
{
    unsigned count = 0;

    for (; *text; text++)
        count += ((unsigned char)*text & 0xc0) != 0x80;
    return count;
}

static void print_bar(const struct waterfall *w, const struct bar *bar, unsigned depth)
{
    char label[512], duration[24];
    unsigned indent = depth * 2 < 24 ? depth * 2 : 24, shown;

    (void)snprintf(label, sizeof(label), "%.60s%s%.400s", bar->service, bar->service[0] ? ": " : "",
                   bar->name);
    shown = characters(label);
    printf("%*s", (int)indent, "");
    telemetry_print_text(label, NAME_COLUMNS - indent);
    for (unsigned i = indent + shown; i < NAME_COLUMNS; i++)
        putchar(' ');
    printf(" %8s%s ", telemetry_show_ns(bar->end_ns - bar->start_ns, duration),
           bar->is_failed ? "!" : " ");
    print_gap(w, bar);
    putchar('\n');
}

static void print_below(struct waterfall *w, long up, unsigned depth)
{
    for (size_t i = 0; i < w->count && depth < 200; i++) {
        if (w->bars[i].up != up || w->bars[i].is_printed)
            continue;
        w->bars[i].is_printed = true;
        print_bar(w, &w->bars[i], depth);
        print_below(w, (long)i, depth + 1);
    }
}

static unsigned count_services(const struct waterfall *w)
{
    OBS_JSON services = json_object();

    for (size_t i = 0; i < w->count; i++)
        (void)json_object_set_new(services, w->bars[i].service, json_true());
    return (unsigned)json_object_size(services);
}

static int print_all(struct waterfall *w)
{
    char start[OBS_RFC3339_SIZE], duration[24];
    unsigned columns = telemetry_columns();

    if (w->count == 0)
        return cli_fail("the trace has no spans");
    if (tie(w) != CLI_OK)
        return CLI_FAILED;
    w->columns = columns > NAME_COLUMNS + 32 ? columns - NAME_COLUMNS - 12 : 20;
    obs_time_rfc3339(w->start_ns, start);
    printf("%s  %s  %zu spans of %u services\n", start,
           telemetry_show_ns(w->end_ns - w->start_ns, duration), w->count, count_services(w));
    print_below(w, -1, 0);
    for (size_t i = 0; i < w->count; i++) /* parents in a circle: nobody's children */
        if (!w->bars[i].is_printed) {
            w->bars[i].is_printed = true;
            print_bar(w, &w->bars[i], 0);
            print_below(w, (long)i, 1);
        }
    return CLI_OK;
}

int waterfall_print(const struct cli *cli, const json_t *trace)
{
    struct waterfall w = {.cli = cli, .bars = calloc(SPANS_MAX + 1, sizeof(struct bar))};
    int r;

    if (!w.bars)
        return cli_fail("no memory");
    take_trace(&w, trace);
    r = print_all(&w);
    free(w.bars);
    return r;
}
