/* What we write by hand is read back with the code that protoc-c made from api/proto. */
#include "support/test.h"

#include "otel/otlp.h"
#include "otlp_trace.pb-c.h"
#include <errno.h>
#include <string.h>

static struct obs_tracer *tracer;

static int start(void **state)
{
    struct obs_tracer_options options = {.service = "test", .version = "1", .sample_ratio = 1};

    return obs_tracer_new(&options, &tracer);
}

static int stop(void **state)
{
    tracer = obs_tracer_free(tracer, 0);
    return 0;
}

static Otlp__Span *encoded(const struct obs_span *span)
{
    uint8_t bytes[OBS_OTLP_SPAN_MAX];
    size_t size = obs_otlp_encode_span(span, bytes);
    Otlp__Span *read = otlp__span__unpack(NULL, size, bytes);

    assert_non_null(read);
    return read;
}

static void a_span_reads_back_as_it_was(void **state)
{
    const struct obs_trace_context parent = {.trace_id = {1, 2}, .span_id = {3}, .flags = 1};
    struct obs_span span;
    Otlp__Span *read;

    obs_span_start(&span, tracer, OBS_SPAN_SERVER, "GET /products/{id}", &parent);
    obs_span_set_start(&span, 1795421304000000001ULL);
    obs_span_text(&span, "http.route", "/products/{id}");
    obs_span_int(&span, "http.response.status_code", 503);
    obs_span_number(&span, "app.queue.wait_ms", 1.5);
    obs_span_bool(&span, "cache.hit", true);
    obs_span_int(&span, "negative", -7);
    obs_span_error(&span, "no worker");
    span.end_ns = 1795421304000000002ULL;
    read = encoded(&span);

    assert_int_equal(read->trace_id.len, 16);
    assert_memory_equal(read->trace_id.data, parent.trace_id, 16);
    assert_memory_equal(read->span_id.data, span.context.span_id, 8);
    assert_memory_equal(read->parent_span_id.data, parent.span_id, 8);
    assert_string_equal(read->name, "GET /products/{id}");
    assert_int_equal(read->kind, OTLP__SPAN__KIND__SERVER);
    assert_true(read->start_time_unix_nano == 1795421304000000001ULL);
    assert_true(read->end_time_unix_nano == 1795421304000000002ULL);
    assert_int_equal(read->flags, 1);
    assert_int_equal(read->status->code, OTLP__STATUS__CODE__ERROR);
    assert_string_equal(read->status->message, "no worker");
    assert_int_equal(read->n_attributes, 5);
    assert_string_equal(read->attributes[0]->key, "http.route");
    assert_string_equal(read->attributes[0]->value->string_value, "/products/{id}");
    assert_int_equal(read->attributes[1]->value->int_value, 503);
    assert_true(read->attributes[2]->value->double_value == 1.5);
    assert_int_equal(read->attributes[3]->value->value_case, OTLP__ANY_VALUE__VALUE_BOOL_VALUE);
    assert_true(read->attributes[3]->value->bool_value);
    assert_int_equal(read->attributes[4]->value->int_value, -7);
    assert_int_equal(read->dropped_attributes_count, 0);
    otlp__span__free_unpacked(read, NULL);
    obs_span_end(&span);
}

static void a_root_has_no_parent_and_no_status(void **state)
{
    struct obs_span span;
    Otlp__Span *read;

    obs_span_start(&span, tracer, OBS_SPAN_INTERNAL, "", NULL);
    read = encoded(&span);
    assert_int_equal(read->parent_span_id.len, 0);
    assert_null(read->status);
    assert_string_equal(read->name, "");
    otlp__span__free_unpacked(read, NULL);
}

static void what_does_not_fit_is_counted_as_dropped(void **state)
{
    char name[400];
    struct obs_span span;
    Otlp__Span *read;

    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    obs_span_start(&span, tracer, OBS_SPAN_INTERNAL, "x", NULL);
    for (int i = 0; i < OBS_SPAN_ATTRIBUTES_MAX; i++)
        obs_span_int(&span, name, i);
    read = encoded(&span);
    assert_int_equal(read->n_attributes, 3);
    assert_int_equal(read->dropped_attributes_count, OBS_SPAN_ATTRIBUTES_MAX - 3);
    assert_int_equal(read->flags, 1);
    otlp__span__free_unpacked(read, NULL);
}

static void a_request_frames_its_spans(void **state)
{
    struct obs_buffer resource = OBS_BUFFER_INIT(4096), body = OBS_BUFFER_INIT(65536);
    uint8_t bytes[OBS_OTLP_SPAN_MAX];
    struct obs_span span;
    Otlp__ExportTraceServiceRequest *read;
    Otlp__Resource *r;
    size_t size;

    obs_span_start(&span, tracer, OBS_SPAN_INTERNAL, "one", NULL);
    size = obs_otlp_encode_span(&span, bytes);
    assert_int_equal(obs_otlp_resource("orders", "deployment.environment=a%20b,x=,", &resource), 0);
    assert_int_equal(obs_otlp_begin(&body, &resource, "1.3", 300 * obs_otlp_span_size(size)), 0);
    for (int i = 0; i < 300; i++)
        assert_int_equal(obs_otlp_append_span(&body, bytes, size), 0);
    read = otlp__export_trace_service_request__unpack(NULL, body.size, (uint8_t *)body.data);
    assert_non_null(read);
    assert_int_equal(read->n_resource_spans, 1);
    r = read->resource_spans[0]->resource;
    assert_int_equal(r->n_attributes, 5);
    assert_string_equal(r->attributes[0]->key, "service.name");
    assert_string_equal(r->attributes[0]->value->string_value, "orders");
    assert_string_equal(r->attributes[2]->key, "deployment.environment");
    assert_string_equal(r->attributes[2]->value->string_value, "a b");
    assert_string_equal(r->attributes[3]->value->string_value, "");
    assert_string_equal(r->attributes[4]->key, "service.version");
    assert_string_equal(r->attributes[4]->value->string_value, "1.3");
    assert_int_equal(read->resource_spans[0]->n_scope_spans, 1);
    assert_string_equal(read->resource_spans[0]->scope_spans[0]->scope->name, "observastack");
    assert_int_equal(read->resource_spans[0]->scope_spans[0]->n_spans, 300);
    assert_string_equal(read->resource_spans[0]->scope_spans[0]->spans[299]->name, "one");
    otlp__export_trace_service_request__free_unpacked(read, NULL);
    obs_buffer_done(&resource);
    obs_buffer_done(&body);
}

static void refuses_malformed_resource_attributes(void **state)
{
    static const char *const bad[] = {"novalue", "=x", "a=%zz", "a=b,c", "a=%ff"};
    struct obs_buffer resource = OBS_BUFFER_INIT(4096);

    for (size_t i = 0; i < OBS_COUNT(bad); i++)
        assert_int_equal(obs_otlp_resource("s", bad[i], &resource), -EINVAL);
    assert_int_equal(resource.size, 0);
}

static void the_programs_own_name_and_version_win(void **state)
{
    struct obs_buffer resource = OBS_BUFFER_INIT(4096);
    Otlp__Resource *read;

    assert_int_equal(obs_otlp_resource("s", "service.name=t,service.version=9", &resource), 0);
    read = otlp__resource__unpack(NULL, resource.size, (uint8_t *)resource.data);
    assert_int_equal(read->n_attributes, 2);
    assert_string_equal(read->attributes[0]->value->string_value, "s");
    otlp__resource__free_unpacked(read, NULL);
    obs_buffer_done(&resource);
}

static void reads_how_many_spans_were_rejected(void **state)
{
    Otlp__ExportTracePartialSuccess partial = OTLP__EXPORT_TRACE_PARTIAL_SUCCESS__INIT;
    Otlp__ExportTraceServiceResponse response = OTLP__EXPORT_TRACE_SERVICE_RESPONSE__INIT;
    uint8_t bytes[64];
    size_t size;

    partial.rejected_spans = 300;
    partial.error_message = "too many";
    response.partial_success = &partial;
    size = otlp__export_trace_service_response__pack(&response, bytes);
    assert_int_equal(obs_otlp_rejected(bytes, size), 300);
    assert_int_equal(obs_otlp_rejected(bytes, 0), 0);
    for (size_t i = 0; i < size; i++)
        (void)obs_otlp_rejected(bytes, i); /* no truncation is read past */
    assert_int_equal(obs_otlp_rejected("<html>no</html>", 15), 0);
    assert_int_equal(obs_otlp_rejected("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_span_reads_back_as_it_was),
        cmocka_unit_test(a_root_has_no_parent_and_no_status),
        cmocka_unit_test(what_does_not_fit_is_counted_as_dropped),
        cmocka_unit_test(a_request_frames_its_spans),
        cmocka_unit_test(refuses_malformed_resource_attributes),
        cmocka_unit_test(the_programs_own_name_and_version_win),
        cmocka_unit_test(reads_how_many_spans_were_rejected),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
