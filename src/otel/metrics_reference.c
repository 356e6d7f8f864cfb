/*
 * Writes docs/metrics.md from the table in otel/names.h:
 *
 *   metrics_reference > docs/metrics.md    or, in a build folder, `ninja metrics-reference`
 *   metrics_reference docs/metrics.md      fails when that file is not what it would write
 */
#include "base/file.h"
#include "otel/names.h"
#include <stdio.h>
#include <string.h>

static const char *const type_names[] = {
    [OBS_COUNTER] = "counter", [OBS_GAUGE] = "gauge", [OBS_HISTOGRAM] = "histogram"};

static void append_row(struct obs_buffer *b, const struct obs_metric *metric)
{
    obs_buffer_printf(b, "| `%s%s` | %s | %s | ", metric->name,
                      metric->type == OBS_COUNTER ? "_total" : "", type_names[metric->type],
                      metric->unit);
    for (size_t i = 0; metric->labels[i]; i++)
        obs_buffer_printf(b, "%s`%s`", i ? ", " : "", metric->labels[i]);
    obs_buffer_printf(b, " | %s |\n", metric->help);
}

static int append_page(struct obs_buffer *b)
{
    obs_buffer_append_text(
        b,
        "# Metrics\n\n"
        "<!-- Made from src/otel/names.h: `ninja metrics-reference` in the build folder. -->\n\n"
        "What our own programs expose at `/metrics`, as OpenMetrics text. Every series also has\n"
        "`service` and `version`; Prometheus adds `tenant`, `job` and `instance`. A histogram is\n"
        "`NAME_bucket`, `NAME_sum` and `NAME_count`; the buckets of durations carry exemplars "
        "with\n"
        "`trace_id` and `span_id`. A program exposes the rows that it has a use for.\n\n"
        "| name | type | unit | labels | meaning |\n"
        "| --- | --- | --- | --- | --- |\n");
    for (size_t i = 0; i < OBS_METRIC_NAME_COUNT; i++)
        append_row(b, &OBS_METRICS[i]);
    return b->error;
}

static int compare(const char *path, const struct obs_buffer *page)
{
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer file = OBS_BUFFER_INIT(1u << 20);
    int r = obs_file_read(path, &file);

    if (r == 0 && file.size == page->size && memcmp(file.data, page->data, page->size) == 0)
        return EXIT_SUCCESS;
    fprintf(stderr, "%s is not up to date: run `ninja metrics-reference` in the build folder\n",
            path);
    return EXIT_FAILURE;
}

int main(int argc, char *argv[])
{
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer page = OBS_BUFFER_INIT(1u << 20);

    if (append_page(&page) < 0)
        return EXIT_FAILURE;
    if (argc > 1)
        return compare(argv[1], &page);
    fwrite(page.data, 1, page.size, stdout);
    return EXIT_SUCCESS;
}
