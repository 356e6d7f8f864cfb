/* observa traces: search traces by TraceQL, or draw one. */
#include "base/clock.h"
#include "base/text.h"
#include "cli/telemetry_client.h"
#include "cli/waterfall.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { TRACES_LAST, TRACES_LIMIT, TRACES_TENANT, TRACES_TELEMETRY };
static const struct obs_arg ARGS[] = {
    [TRACES_LAST] = {"last", NULL, "1h", "DURATION", "how far back to search"},
    [TRACES_LIMIT] = {"limit", NULL, "20", "NUMBER", "how many traces at most"},
    [TRACES_TENANT] = TELEMETRY_TENANT_ARG,
    [TRACES_TELEMETRY] = TELEMETRY_ARG,
};

static bool is_trace_id(const char *word)
{
    size_t size = strlen(word);

    return size >= 8 && size <= 32 && strspn(word, "0123456789abcdefABCDEF") == size;
}

static int print_json(const json_t *json)
{
    (void)json_dumpf(json, stdout, JSON_INDENT(2));
    putchar('\n');
    return CLI_OK;
}

static int show_one(struct cli *cli)
{
    TELEMETRY_QUERY query = {0};
    OBS_JSON trace = NULL;
    char path[128];
    int r;

    (void)snprintf(path, sizeof(path), "/api/traces/%s", cli->words[0]);
    telemetry_query_init(&query, cli, cli->values[TRACES_TELEMETRY], cli->values[TRACES_TENANT],
                         path);
    r = telemetry_ask_json(&query, &trace);
    if (r != CLI_OK)
        return r;
    return cli->is_json ? print_json(trace) : waterfall_print(cli, trace);
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text ? text : "-";
}

static void print_trace(const json_t *trace)
{
    const char *nanoseconds = text_of(trace, "startTimeUnixNano");
    const json_t *milliseconds = json_object_get(trace, "durationMs");
    char start[OBS_RFC3339_SIZE] = "-", duration[24];
    uint64_t start_ns;

    if (obs_text_parse_u64(nanoseconds, strlen(nanoseconds), INT64_MAX, &start_ns) == 0)
        obs_time_rfc3339(start_ns, start);
    printf("%-32s  %.23s  %8s  %-12s  ", text_of(trace, "traceID"), start,
           json_number_value(milliseconds) < 1
               ? "<1ms"
               : telemetry_show_ns((uint64_t)(json_number_value(milliseconds) * 1e6), duration),
           text_of(trace, "rootServiceName"));
    telemetry_print_text(text_of(trace, "rootTraceName"), 60);
    putchar('\n');
}

static int print_table(const json_t *found)
{
    const json_t *traces = json_object_get(found, "traces");
    size_t i;
    json_t *trace;

    if (json_array_size(traces) == 0) {
        puts("no trace fits");
        return CLI_OK;
    }
    printf("%-32s  %-23s  %8s  %-12s  %s\n", "trace", "start (UTC)", "duration", "service", "root");
    json_array_foreach (traces, i, trace)
        print_trace(trace);
    return CLI_OK;
}

static int search(struct cli *cli, const char *text)
{
    uint64_t now_s = obs_time_ns() / OBS_NS_PER_SECOND + 1, last_ns, limit;
    TELEMETRY_QUERY query = {0};
    OBS_JSON found = NULL;
    int r = telemetry_duration("last", cli->values[TRACES_LAST], &last_ns);

    if (r == CLI_OK)
        r = telemetry_count("limit", cli->values[TRACES_LIMIT], 1000, &limit);
    if (r != CLI_OK)
        return r;
    telemetry_query_init(&query, cli, cli->values[TRACES_TELEMETRY], cli->values[TRACES_TENANT],
                         "/api/search");
    telemetry_query_add(&query, "q", text);
    telemetry_query_add_number(&query, "start", now_s - last_ns / OBS_NS_PER_SECOND - 1);
    telemetry_query_add_number(&query, "end", now_s);
    telemetry_query_add_number(&query, "limit", limit);
    r = telemetry_ask_json(&query, &found);
    if (r != CLI_OK)
        return r;
    return cli->is_json ? print_json(found) : print_table(found);
}

static int run(struct cli *cli)
{
    if (cli->word_count == 1 && is_trace_id(cli->words[0]))
        return show_one(cli);
    return search(cli, cli->word_count == 1 ? cli->words[0] : "{}");
}

const struct cli_verb verb_traces = {
    .name = "traces",
    .words = "[TRACE-ID | TRACEQL]",
    .summary = "search traces, or draw one as a waterfall",
    .text =
        "observa traces '{resource.service.name=\"orders\" && duration>100ms}' lists what fits, "
        "newest first; observa traces ID draws that trace. Without a word: the latest.",
    .word_max = 1,
    .has_json = true,
    .args = ARGS,
    .arg_count = OBS_COUNT(ARGS),
    .run = run,
};
