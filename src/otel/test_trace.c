#include "support/test.h"

#include "otel/ids.h"
#include "otel/trace.h"
#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN "00f067aa0ba902b7"

static int parse(const char *text, struct obs_trace_context *ret_context)
{
    return obs_traceparent_parse(text, strlen(text), ret_context);
}

static void reads_a_valid_traceparent(void **state)
{
    struct obs_trace_context context;
    char text[OBS_TRACEPARENT_SIZE];

    assert_int_equal(parse("00-" TRACE "-" SPAN "-01", &context), OBS_TRACE_OK);
    assert_true(obs_trace_is_sampled(&context));
    assert_true(obs_trace_is_valid(&context));
    assert_int_equal(context.trace_id[0], 0x4b);
    assert_int_equal(context.span_id[7], 0xb7);
    obs_traceparent_emit(&context, text);
    assert_string_equal(text, "00-" TRACE "-" SPAN "-01");
    assert_int_equal(parse("00-" TRACE "-" SPAN "-00", &context), OBS_TRACE_OK);
    assert_false(obs_trace_is_sampled(&context));
}

static void takes_only_the_known_flag(void **state)
{
    struct obs_trace_context context;

    assert_int_equal(parse("00-" TRACE "-" SPAN "-ff", &context), OBS_TRACE_OK);
    assert_int_equal(context.flags, 1);
}

static void reads_a_future_version_with_more_data(void **state)
{
    struct obs_trace_context context;

    assert_int_equal(parse("01-" TRACE "-" SPAN "-01", &context), OBS_TRACE_OK);
    assert_int_equal(parse("cc-" TRACE "-" SPAN "-01-what-the-future", &context), OBS_TRACE_OK);
    assert_int_equal(parse("cc-" TRACE "-" SPAN "-01.what", &context), OBS_TRACE_BAD);
    assert_int_equal(parse("00-" TRACE "-" SPAN "-01-more", &context), OBS_TRACE_BAD);
}

static void refuses_what_is_no_traceparent(void **state)
{
    static const char *const bad[] = {
        "",
        "00",
        "ff-" TRACE "-" SPAN "-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-" SPAN "-01",
        "00-" TRACE "-00F067AA0BA902B7-01",
        "0A-" TRACE "-" SPAN "-01",
        "00-" TRACE "-" SPAN "-0A",
        "00-00000000000000000000000000000000-" SPAN "-01",
        "00-" TRACE "-0000000000000000-01",
        "00-" TRACE "-" SPAN "-0",
        "00-" TRACE "-" SPAN,
        "00-" TRACE "-" SPAN "-01 ",
        " 00-" TRACE "-" SPAN "-01",
        "00_" TRACE "-" SPAN "-01",
        "00-" TRACE "_" SPAN "-01",
        "00-" TRACE "-" SPAN "_01",
        "0g-" TRACE "-" SPAN "-01",
        "00-" TRACE "-" SPAN "-0x",
    };
    struct obs_trace_context context = {.flags = 42};

    for (size_t i = 0; i < OBS_COUNT(bad); i++)
        assert_int_equal(parse(bad[i], &context), OBS_TRACE_BAD);
    assert_int_equal(context.flags, 42); /* untouched */
}

static void refuses_every_truncation(void **state)
{
    static const char whole[] = "00-" TRACE "-" SPAN "-01";
    struct obs_trace_context context;

    for (size_t size = 0; size < sizeof(whole) - 1; size++) {
        char *exact = malloc(size + 1); /* the sanitizer sees a read past the end */

        memcpy(exact, whole, size);
        assert_int_equal(obs_traceparent_parse(exact, size, &context), OBS_TRACE_BAD);
        free(exact);
    }
}

/* ---- spans ---- */

static struct obs_tracer *tracer_with_ratio(double ratio)
{
    struct obs_tracer_options options = {.service = "test", .version = "1", .sample_ratio = ratio};
    struct obs_tracer *tracer = NULL;

    assert_int_equal(obs_tracer_new(&options, &tracer), 0);
    return tracer;
}

static void a_span_without_parent_begins_a_trace(void **state)
{
    struct obs_tracer *tracer = tracer_with_ratio(1);
    struct obs_tracer_stats stats;
    struct obs_span a, b;

    obs_span_start(&a, tracer, OBS_SPAN_SERVER, "GET /", NULL);
    obs_span_start(&b, tracer, OBS_SPAN_SERVER, "GET /", &(struct obs_trace_context){.flags = 1});
    assert_true(obs_trace_is_valid(&a.context) && obs_trace_is_valid(&b.context));
    assert_true(obs_trace_is_sampled(&a.context));
    assert_memory_not_equal(a.context.trace_id, b.context.trace_id, 16);
    assert_memory_equal(b.parent_span_id, "\0\0\0\0\0\0\0\0", 8);
    obs_span_end(&a);
    obs_span_end(&a); /* once only */
    obs_span_end(&b);
    obs_tracer_stats(tracer, &stats);
    assert_int_equal(stats.ended, 2);
    assert_int_equal(stats.queued, 0);
    obs_tracer_free(tracer, 0);
}

static void a_span_follows_its_parents_decision(void **state)
{
    struct obs_tracer *never = tracer_with_ratio(0);
    struct obs_trace_context parent;
    struct obs_span span;

    assert_int_equal(parse("00-" TRACE "-" SPAN "-01", &parent), 0);
    obs_span_start(&span, never, OBS_SPAN_SERVER, "x", &parent);
    assert_ptr_equal(span.tracer, never);
    assert_memory_equal(span.context.trace_id, parent.trace_id, 16);
    assert_memory_equal(span.parent_span_id, parent.span_id, 8);
    assert_memory_not_equal(span.context.span_id, parent.span_id, 8);
    parent.flags = 0;
    obs_span_start(&span, never, OBS_SPAN_SERVER, "x", &parent);
    assert_null(span.tracer);
    assert_memory_equal(span.context.trace_id, parent.trace_id, 16);
    obs_span_text(&span, "a", "b"); /* all no-ops */
    obs_span_error(&span, "bad");
    obs_span_end(&span);
    obs_tracer_free(never, 0);
}

static void a_span_without_tracer_still_has_ids(void **state)
{
    struct obs_span span;

    obs_span_start(&span, NULL, OBS_SPAN_CLIENT, "x", NULL);
    assert_true(obs_trace_is_valid(&span.context));
    assert_false(obs_trace_is_sampled(&span.context));
    obs_span_end(&span);
}

static void the_ratio_is_the_share_of_new_traces(void **state)
{
    struct obs_tracer *tracer = tracer_with_ratio(0.25);
    struct obs_span span;
    int sampled = 0;

    for (int i = 0; i < 20000; i++) {
        obs_span_start(&span, tracer, OBS_SPAN_SERVER, "x", NULL);
        sampled += obs_trace_is_sampled(&span.context);
    }
    assert_in_range(sampled, 4600, 5400);
    obs_tracer_set_ratio(tracer, 0);
    obs_span_start(&span, tracer, OBS_SPAN_SERVER, "x", NULL);
    assert_false(obs_trace_is_sampled(&span.context));
    obs_tracer_free(tracer, 0);
}

static void texts_are_cut_and_made_valid(void **state)
{
    struct obs_tracer *tracer = tracer_with_ratio(1);
    char longest[2 * OBS_SPAN_TEXT_MAX];
    struct obs_span span;
    const char *kept;

    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    memcpy(longest + 309, "\xe2\x82\xac", 3); /* a character across the cut */
    obs_span_start(&span, tracer, OBS_SPAN_SERVER, "n", NULL);
    obs_span_text(&span, "bytes", "a\xff\xfe z");
    assert_string_equal(span.text + span.attributes[0].value.text, "a?? z");
    obs_span_text(&span, "long", longest);
    kept = span.text + span.attributes[1].value.text;
    assert_int_equal(strlen(kept), 309);
    obs_span_text(&span, "none left", longest + 309);
    obs_span_error(&span, "neither here");
    assert_string_equal(span.text + span.name, "n");
    for (int i = 0; i < 2 * OBS_SPAN_ATTRIBUTES_MAX; i++)
        obs_span_int(&span, "i", i);
    assert_int_equal(span.attribute_count, OBS_SPAN_ATTRIBUTES_MAX);
    obs_span_end(&span);
    obs_tracer_free(tracer, 0);
}

static void children_belong_to_the_current_span(void **state)
{
    struct obs_tracer *tracer = tracer_with_ratio(1);
    struct obs_span outer, inner, child, *before;

    assert_null(obs_trace_current());
    obs_span_start_child(&child, OBS_SPAN_CLIENT, "alone");
    assert_null(child.tracer);
    assert_true(obs_trace_is_valid(&child.context));

    obs_span_start(&outer, tracer, OBS_SPAN_SERVER, "outer", NULL);
    assert_null(obs_span_enter(&outer));
    obs_span_start_child(&inner, OBS_SPAN_INTERNAL, "inner");
    before = obs_span_enter(&inner);
    assert_ptr_equal(before, &outer);
    obs_span_start_child(&child, OBS_SPAN_CLIENT, "child");
    assert_memory_equal(child.parent_span_id, inner.context.span_id, 8);
    assert_memory_equal(child.context.trace_id, outer.context.trace_id, 16);
    obs_span_leave(before);
    assert_ptr_equal(obs_span_current(), &outer);
    obs_span_leave(NULL);
    assert_null(obs_span_current());
    obs_tracer_free(tracer, 0);
}

static void an_end_before_the_start_is_the_start(void **state)
{
    struct obs_tracer *tracer = tracer_with_ratio(1);
    struct obs_span span;

    obs_span_start(&span, tracer, OBS_SPAN_SERVER, "x", NULL);
    obs_span_set_start(&span, 1000);
    obs_span_end_at(&span, 900);
    assert_int_equal(span.end_ns, 1000);
    obs_tracer_free(tracer, 0);
}

static void a_fork_has_ids_of_its_own(void **state)
{
    uint64_t parents[4], childs[4];
    int pipe_fds[2], status;
    pid_t child;

    obs_random_u64(); /* seeded before the fork */
    assert_int_equal(pipe(pipe_fds), 0);
    child = fork();
    assert_true(child >= 0);
    for (size_t i = 0; i < 4; i++)
        parents[i] = obs_random_u64();
    if (child == 0) {
        ssize_t n = write(pipe_fds[1], parents, sizeof(parents));

        _exit(n == sizeof(parents) ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(read(pipe_fds[0], childs, sizeof(childs)), sizeof(childs));
    for (size_t i = 0; i < 4; i++)
        assert_true(parents[i] != childs[i]);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

static void refuses_an_endpoint_it_cannot_use(void **state)
{
    static const char *const bad[] = {"https://127.0.0.1:4318", "127.0.0.1:4318", "http://",
                                      "http://a b:1", "unix:"};
    struct obs_tracer *tracer = NULL;

    for (size_t i = 0; i < OBS_COUNT(bad); i++) {
        struct obs_tracer_options options = {
            .service = "test", .version = "1", .endpoint = bad[i], .sample_ratio = 1};

        assert_int_equal(obs_tracer_new(&options, &tracer), -EINVAL);
    }
    assert_null(tracer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_valid_traceparent),
        cmocka_unit_test(takes_only_the_known_flag),
        cmocka_unit_test(reads_a_future_version_with_more_data),
        cmocka_unit_test(refuses_what_is_no_traceparent),
        cmocka_unit_test(refuses_every_truncation),
        cmocka_unit_test(a_span_without_parent_begins_a_trace),
        cmocka_unit_test(a_span_follows_its_parents_decision),
        cmocka_unit_test(a_span_without_tracer_still_has_ids),
        cmocka_unit_test(the_ratio_is_the_share_of_new_traces),
        cmocka_unit_test(texts_are_cut_and_made_valid),
        cmocka_unit_test(children_belong_to_the_current_span),
        cmocka_unit_test(an_end_before_the_start_is_the_start),
        cmocka_unit_test(a_fork_has_ids_of_its_own),
        cmocka_unit_test(refuses_an_endpoint_it_cannot_use),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
