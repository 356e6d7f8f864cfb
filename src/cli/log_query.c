/* Lines of all streams come in one order of time, each with the service that wrote it. */
#include "cli/log_query.h"

#include "base/clock.h"
#include "base/text.h"
#include "cli/telemetry_client.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct line {
    uint64_t time_ns;
    const char *text, *service;
    size_t order; /* as the store gave them */
};

static const char *service_of(const json_t *stream)
{
    static const char *const LABELS[] = {"service_name", "service", "unit", "job"};

    for (size_t i = 0; i < OBS_COUNT(LABELS); i++) {
        const char *value = json_string_value(json_object_get(stream, LABELS[i]));

        if (value)
            return value;
    }
    return "-";
}

static int by_time(const void *a, const void *b)
{
    const struct line *x = a, *y = b;

    if (x->time_ns != y->time_ns)
        return x->time_ns < y->time_ns ? -1 : 1;
    return x->order < y->order ? -1 : 1;
}

static size_t count_lines(const json_t *result)
{
    size_t i, count = 0;
    json_t *stream;

    json_array_foreach (result, i, stream)
        count += json_array_size(json_object_get(stream, "values"));
    return count;
}

static int print_lines(const json_t *result)
{
    size_t room = count_lines(result), count = 0, i, j;
    struct line *lines = calloc(room + 1, sizeof(*lines));
    json_t *stream, *value;

    if (!lines)
        return cli_fail("no memory");
    json_array_foreach (result, i, stream) {
        json_array_foreach (json_object_get(stream, "values"), j, value) {
            const char *time = json_string_value(json_array_get(value, 0));
            const char *text = json_string_value(json_array_get(value, 1));

            if (!time || !text ||
                obs_text_parse_u64(time, strlen(time), INT64_MAX, &lines[count].time_ns) != 0)
                continue;
            lines[count].text = text;
            lines[count].service = service_of(json_object_get(stream, "stream"));
            lines[count].order = room - count; /* newest came first */
            count++;
        }
    }
    qsort(lines, count, sizeof(*lines), by_time);
    for (i = 0; i < count; i++) {
        char time[OBS_RFC3339_SIZE];

        obs_time_rfc3339(lines[i].time_ns, time);
        printf("%.23s  %-12s  ", time, lines[i].service);
        telemetry_print_text(lines[i].text, 0);
        putchar('\n');
    }
    free(lines);
    return CLI_OK;
}

static void print_labels(const json_t *metric)
{
    const char *name;
    json_t *value;
    bool is_first = true;

    putchar('{');
    json_object_foreach ((json_t *)metric, name, value) {
        printf("%s%s=\"", is_first ? "" : ", ", name);
        telemetry_print_text(json_string_value(value) ? json_string_value(value) : "", 0);
        putchar('"');
        is_first = false;
    }
    putchar('}');
}

/* A series is its latest value here; --json has all of them. */
static int print_series(const json_t *result)
{
    size_t i;
    json_t *series;

    json_array_foreach (result, i, series) {
        const json_t *values = json_object_get(series, "values");
        const json_t *last = values ? json_array_get(values, json_array_size(values) - 1)
                                    : json_object_get(series, "value");
        const char *text = json_string_value(json_array_get(last, 1));

        printf("%14s  ", text ? text : "-");
        print_labels(json_object_get(series, "metric"));
        putchar('\n');
    }
    return CLI_OK;
}

/* About sixty steps that end now: a metric query's last value is then the one of now. */
static void add_range(struct telemetry_query *ask, uint64_t last_ns)
{
    uint64_t now_ns = obs_time_ns(), last_s = (last_ns + OBS_NS_PER_SECOND - 1) / OBS_NS_PER_SECOND;
    uint64_t step_s = (last_s + 59) / 60, steps = (last_s + step_s - 1) / step_s;

    telemetry_query_add_number(ask, "start", now_ns - steps * step_s * OBS_NS_PER_SECOND);
    telemetry_query_add_number(ask, "end", now_ns);
    telemetry_query_add_number(ask, "step", step_s);
}

int log_query_run(struct cli *cli, const struct log_query *query)
{
    uint64_t last_ns;
    TELEMETRY_QUERY ask = {0};
    OBS_JSON reply = NULL;
    const json_t *data, *result;
    const char *type;
    int r = telemetry_duration("last", query->last, &last_ns);

    if (r != CLI_OK)
        return r;
    telemetry_query_init(&ask, cli, query->telemetry, query->tenant, "/loki/api/v1/query_range");
    telemetry_query_add(&ask, "query", query->text);
    add_range(&ask, last_ns);
    telemetry_query_add_number(&ask, "limit", query->limit);
    telemetry_query_add(&ask, "direction", "backward");
    r = telemetry_ask_json(&ask, &reply);
    if (r != CLI_OK)
        return r;
    if (cli->is_json) {
        (void)json_dumpf(reply, stdout, JSON_INDENT(2));
        putchar('\n');
        return CLI_OK;
    }
    data = json_object_get(reply, "data");
    result = json_object_get(data, "result");
    type = json_string_value(json_object_get(data, "resultType"));
    if (json_array_size(result) == 0) {
        puts("nothing fits");
        return CLI_OK;
    }
    return type && strcmp(type, "streams") == 0 ? print_lines(result) : print_series(result);
}
