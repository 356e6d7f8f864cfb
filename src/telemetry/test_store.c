#include "telemetry/store.h"

#include "support/scratch.h"
#include "support/test.h"
#include "telemetry/store_bytes.h"

#define BASE_NS 1700000000000000000ULL

static struct store *open_store(const char *path)
{
    struct store_options options = {.folder = path, .retention_ns = UINT64_MAX};
    struct obs_reason why = {0};
    struct store *store = NULL;

    if (store_open(&options, &store, &why) != 0)
        fail_msg("%s", why.text);
    return store;
}

static bool use_segments, use_replay; /* each test runs over memory, segments, and the log again */

static void settle(struct store **store, const char *path)
{
    if (use_segments)
        assert_int_equal(store_seal_now(*store), 0);
    if (use_replay) {
        *store = store_free(*store);
        *store = open_store(path);
    }
}

static struct attribute text_attribute(const char *name, const char *value)
{
    return (struct attribute){text_of(name), {VALUE_TEXT, {.text = text_of(value)}}};
}

static void append_spans(struct store *store, const char *service, unsigned first, unsigned count)
{
    struct attribute resource[] = {text_attribute("service.name", service)};
    struct obs_reason why = {0};

    for (unsigned i = first; i < first + count; i++) {
        char path[32];
        struct attribute attributes[] = {
            text_attribute("url.path", path),
            {text_of("http.response.status_code"), {VALUE_INT, {.integer = 200 + i % 3}}},
        };
        struct attribute of_event[] = {text_attribute("exception.type", "Broken")};
        struct span_event event = {BASE_NS + i, text_of("exception"), of_event, 1};
        struct span_view span = {.start_ns = BASE_NS + i * 1000ULL,
                                 .end_ns = BASE_NS + i * 1000ULL + 500 + i,
                                 .service = text_of(service),
                                 .name = text_of(i % 2 ? "odd" : "even"),
                                 .kind = 2,
                                 .status_message = text_of(""),
                                 .trace_state = text_of("k=v"),
                                 .scope_name = text_of("scope"),
                                 .scope_version = text_of("1"),
                                 .attributes = attributes,
                                 .attribute_count = 2,
                                 .resource = resource,
                                 .resource_count = 1,
                                 .events = &event,
                                 .event_count = i % 5 == 0};

        snprintf(path, sizeof(path), "/p/%u", i);
        attributes[0].value.is.text = text_of(path);
        span.trace_id[0] = 1;
        memcpy(span.trace_id + 8, &(unsigned){i / 10}, 4);
        memcpy(span.span_id, &(unsigned){i + 1}, 4);
        assert_int_equal(store_append_spans(store, "solo", &span, 1, &why), 0);
    }
}

struct seen {
    unsigned count, events, odd;
    uint64_t last_ns;
    bool is_disordered, is_forward;
    char text[64];
};

static enum store_next see_span(const struct span_view *span, void *userdata)
{
    struct seen *seen = userdata;

    seen->count++;
    seen->odd += text_equal(span->name, text_of("odd"));
    seen->events += span->event_count == 1 &&
                    text_equal(span->events[0].attributes[0].value.is.text, text_of("Broken"));
    assert_int_equal(span->attribute_count, 2);
    assert_true(text_equal(span->resource[0].name, text_of("service.name")));
    assert_true(text_equal(span->trace_state, text_of("k=v")));
    return STORE_GO_ON;
}

static void finds_the_spans_of_a_trace(void **state)
{
    SCRATCH folder = scratch_new();
    OBS_CLEANUP(store_freep) struct store *store = open_store(folder.path);
    struct seen seen = {0};
    uint8_t id[16] = {1, [8] = 2};

    append_spans(store, "orders", 0, 50);
    settle(&store, folder.path);
    assert_int_equal(store_find_trace(store, "solo", id, see_span, &seen), 0);
    assert_int_equal(seen.count, 10);
    assert_int_equal(seen.odd, 5);
    assert_int_equal(seen.events, 2);
}

static void narrows_by_what_the_hints_say(void **state)
{
    SCRATCH folder = scratch_new();
    OBS_CLEANUP(store_freep) struct store *store = open_store(folder.path);
    struct span_hints hints = {.until_ns = UINT64_MAX, .service = text_of("orders")};
    struct seen seen = {0};

    append_spans(store, "orders", 0, 30);
    settle(&store, folder.path);
    append_spans(store, "catalog", 30, 30);
    store_scan_spans(store, "solo", &hints, see_span, &seen);
    assert_int_equal(seen.count, 30);
    hints.equals =
        (struct attribute){text_of("http.response.status_code"), {VALUE_DOUBLE, {.number = 201}}};
    hints.duration_min_ns = 505;
    seen = (struct seen){0};
    store_scan_spans(store, "solo", &hints, see_span, &seen);
    assert_int_equal(seen.count, 8); /* 7, 10, … 28 */
}

static void append_lines(struct store *store, const char *service, unsigned first, unsigned count)
{
    struct label labels[] = {{text_of("level"), text_of("info")},
                             {text_of("service_name"), text_of(service)}};
    struct obs_reason why = {0};
    struct line_view lines[100];
    char texts[100][32];

    assert_true(count <= 100);
    for (unsigned i = 0; i < count; i++) {
        snprintf(texts[i], sizeof(texts[i]), "line %u of many", first + i);
        lines[i] = (struct line_view){.time_ns = BASE_NS + (first + i) * 1000ULL,
                                      .line = text_of(texts[i]),
                                      .labels = labels,
                                      .label_count = 2};
    }
    assert_int_equal(store_append_lines(store, "solo", lines, count, &why), 0);
}

static enum store_next see_line(const struct line_view *line, void *userdata)
{
    struct seen *seen = userdata;

    if (seen->count > 0 &&
        (seen->is_forward ? line->time_ns < seen->last_ns : line->time_ns > seen->last_ns))
        seen->is_disordered = true;
    seen->last_ns = line->time_ns;
    seen->count++;
    return STORE_GO_ON;
}

static void gives_lines_in_time_order(void **state)
{
    SCRATCH folder = scratch_new();
    OBS_CLEANUP(store_freep) struct store *store = open_store(folder.path);
    struct matcher matcher = {text_of("service_name"), text_of("orders"), MATCH_EQUAL, NULL};
    struct line_query query = {.until_ns = UINT64_MAX, .matchers = &matcher, .matcher_count = 1};
    struct seen seen = {0};

    append_lines(store, "orders", 50, 100);
    settle(&store, folder.path);
    append_lines(store, "orders", 0, 100);
    append_lines(store, "catalog", 0, 100);
    settle(&store, folder.path);
    store_scan_lines(store, "solo", &query, see_line, &seen);
    assert_int_equal(seen.count, 200);
    assert_false(seen.is_disordered);
    seen = (struct seen){.is_forward = true};
    query.is_forward = true;
    query.contains = text_of("line 60 of");
    store_scan_lines(store, "solo", &query, see_line, &seen);
    assert_int_equal(seen.count, 2);
    assert_false(seen.is_disordered);
}

static enum store_next see_text(struct text_view text, void *userdata)
{
    struct seen *seen = userdata;

    seen->count++;
    snprintf(seen->text, sizeof(seen->text), "%.*s", (int)text.size, text.text);
    return STORE_GO_ON;
}

static void names_each_label_once(void **state)
{
    SCRATCH folder = scratch_new();
    OBS_CLEANUP(store_freep) struct store *store = open_store(folder.path);
    struct seen seen = {0};

    append_lines(store, "orders", 0, 10);
    append_lines(store, "catalog", 0, 10);
    settle(&store, folder.path);
    store_label_names(store, "solo", 0, UINT64_MAX, see_text, &seen);
    assert_int_equal(seen.count, 2);
    seen.count = 0;
    store_label_values(store, "solo", text_of("service_name"), 0, UINT64_MAX, see_text, &seen);
    assert_int_equal(seen.count, 2);
    seen.count = 0;
    store_label_values(store, "solo", text_of("level"), 0, UINT64_MAX, see_text, &seen);
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.text, "info");
}

static void refuses_names_that_are_no_folder(void **state)
{
    SCRATCH folder = scratch_new();
    OBS_CLEANUP(store_freep) struct store *store = open_store(folder.path);
    struct span_view span = {.start_ns = 1};
    struct obs_reason why = {0};

    assert_int_equal(store_append_spans(store, "../etc", &span, 1, &why), STORE_REFUSED);
    assert_int_equal(store_append_spans(store, "", &span, 1, &why), STORE_REFUSED);
}

static int in_memory(void **state)
{
    use_segments = use_replay = false;
    return 0;
}

static int after_a_restart(void **state)
{
    use_segments = false;
    use_replay = true;
    return 0;
}

static int in_segments(void **state)
{
    use_segments = use_replay = true;
    return 0;
}

#define EACH_WAY(test)                                                                             \
    {#test " in memory", test, in_memory, NULL, NULL},                                             \
        {#test " after a restart", test, after_a_restart, NULL, NULL},                             \
    {                                                                                              \
#test " in segments", test, in_segments, NULL, NULL                                        \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH_WAY(finds_the_spans_of_a_trace),
        EACH_WAY(narrows_by_what_the_hints_say),
        EACH_WAY(gives_lines_in_time_order),
        EACH_WAY(names_each_label_once),
        cmocka_unit_test(refuses_names_that_are_no_folder),
    };

    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
