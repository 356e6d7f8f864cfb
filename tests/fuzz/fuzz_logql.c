/* A query, an empty line, and lines: parsed, and run over them when it parses. */
#include "base/clock.h"
#include "telemetry/logql.h"
#include "telemetry/logql_run.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const char *text;
    size_t size;
};

static int scan(void *userdata, const struct line_query *query, store_line_fn *fn,
                void *fn_userdata)
{
    static const struct label STREAM[] = {{{"a", 1}, {"b", 1}}, {{"level", 5}, {"info", 4}}};
    static const struct label METADATA[] = {{{"trace_id", 8}, {"aa", 2}}};
    const struct input *input = userdata;
    const char *at = input->text, *end = at + input->size;

    for (uint64_t time = 1; at < end && time < 64; time++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        struct line_view line = {.time_ns = time * OBS_NS_PER_SECOND,
                                 .labels = STREAM,
                                 .label_count = 2,
                                 .metadata = METADATA,
                                 .metadata_count = 1};

        line.line = (struct text_view){at, (size_t)((stop ? stop : end) - at)};
        if (fn(&line, fn_userdata) == STORE_STOP)
            break;
        at = stop ? stop + 1 : end;
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    const char *middle = size > 0 ? memmem(text, size, "\n\n", 2) : NULL;
    struct input input = {middle ? middle + 2 : "",
                          middle ? size - (size_t)(middle + 2 - text) : 0};
    struct logql_source source = {scan, &input};
    struct logql_range range = {.start_ns = 10 * OBS_NS_PER_SECOND,
                                .end_ns = 20 * OBS_NS_PER_SECOND,
                                .step_ns = 5 * OBS_NS_PER_SECOND,
                                .limit = 20,
                                .is_forward = true,
                                .deadline_ns = UINT64_MAX};
    struct logql_query *query = NULL;
    struct logql_lines *lines = NULL;
    struct logql_numbers *numbers = NULL;
    struct obs_reason why = {0};
    int r = logql_parse(text, middle ? (size_t)(middle - text) : size, &query, &why);

    if (r == LOGQL_REFUSED && (why.text[0] == '\0' || why.line == 0 || why.column == 0))
        abort(); /* every refusal says why and where */
    if (r != LOGQL_OK)
        return 0;
    if (logql_is_log(query))
        logql_run_lines(query, &source, &range, size % 2, &lines, &why);
    else
        logql_run_numbers(query, &source, &range, &numbers, &why);
    logql_lines_free(lines);
    logql_numbers_free(numbers);
    logql_query_free(query);
    return 0;
}
