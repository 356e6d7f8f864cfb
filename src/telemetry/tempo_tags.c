/*
 * What can be asked for: names of attributes, and values of fields. Version 1 mixes the scopes;
 * version 2 keeps them apart, types the values, and narrows them by the spans that a query fits.
 */
#include "telemetry/tempo.h"

#include "base/clock.h"
#include "telemetry/store_set.h"
#include <errno.h>
#include <string.h>

struct listing {
    struct obs_buffer *out;
    size_t count, limit;
    struct store_set seen; /* of values */
    bool is_typed;
    int error;
    /* of values that are read from spans */
    const struct traceql_query *field, *only; /* only: NULL for all spans */
    uint64_t deadline_ns, spans_seen;
};

static enum store_next add_name(struct text_view name, void *userdata)
{
    struct listing *list = userdata;

    if (list->count == list->limit)
        return STORE_STOP;
    if (list->count++ > 0)
        obs_buffer_append_char(list->out, ',');
    tempo_text_json(name, list->out);
    return list->out->error == 0 ? STORE_GO_ON : STORE_STOP;
}

static bool read_listing(struct obs_http_request *request, const struct telemetry *telemetry,
                         struct obs_buffer *body, struct listing *list, struct tempo_range *range)
{
    uint64_t limit = TEMPO_NAMES_MAX;

    if (!tempo_read_range(request, range) ||
        !tempo_read_uint(request, "limit", TEMPO_NAMES_MAX, &limit))
        return false;
    *list = (struct listing){.out = body,
                             .limit = limit > 0 ? limit : TEMPO_NAMES_MAX,
                             .deadline_ns = tempo_deadline(telemetry)};
    list->seen.is_copying = true;
    return true;
}

/* ---- names ---- */

enum scope { SCOPE_RESOURCE = 1, SCOPE_SPAN = 2, SCOPE_INTRINSIC = 4, SCOPE_ALL = 7 };

static bool read_scope(struct obs_http_request *request, unsigned *ret_scope)
{
    static const struct {
        const char *name;
        unsigned scope;
    } SCOPES[] = {{"", SCOPE_ALL},       {"all", SCOPE_ALL},
                  {"none", SCOPE_ALL},   {"resource", SCOPE_RESOURCE},
                  {"span", SCOPE_SPAN},  {"intrinsic", SCOPE_INTRINSIC},
                  {"event", 0},          {"link", 0}, /* not searched here: no names */
                  {"instrumentation", 0}};
    const char *text = obs_http_query(request, "scope");

    for (size_t i = 0; i < OBS_COUNT(SCOPES); i++) {
        if (strcmp(text ? text : "", SCOPES[i].name) != 0)
            continue;
        *ret_scope = SCOPES[i].scope;
        return true;
    }
    obs_http_reply_problemf(request, 400,
                            "scope is \"%.40s\": expected resource, span or intrinsic", text);
    return false;
}

static void list_intrinsics(struct listing *list)
{
    static const char *const NAMES[] = {
#define ROW(id, bare, scoped, type, is_of_trace) bare, scoped,
        TRACEQL_INTRINSICS(ROW)
#undef ROW
    };

    for (size_t i = 0; i < OBS_COUNT(NAMES); i++) {
        if (NAMES[i][0] != '\0')
            add_name(text_view_of(NAMES[i]), list);
    }
}

static enum store_next add_new_name(struct text_view name, void *userdata)
{
    struct listing *list = userdata;
    bool is_new = false;

    if (store_set_put(&list->seen, name, &is_new) == STORE_SET_NONE)
        list->error = -ENOMEM;
    if (list->error != 0)
        return STORE_STOP;
    return is_new ? add_name(name, list) : STORE_GO_ON;
}

void tempo_handle_tags(struct obs_http_request *request, void *userdata)
{
    const struct telemetry *telemetry = userdata;
    const char *tenant = telemetry_tenant(request, telemetry);
    struct obs_buffer body = OBS_BUFFER_INIT(TEMPO_REPLY_BYTES_MAX);
    struct tempo_range range;
    struct listing list;
    unsigned scope;
    int r = 0;

    if (!tenant || !read_listing(request, telemetry, &body, &list, &range) ||
        !read_scope(request, &scope))
        return;
    obs_buffer_append_text(&body, "{\"tagNames\":[");
    if (scope & SCOPE_RESOURCE)
        r = store_span_tags(telemetry->store, tenant, range.from_ns, range.until_ns, true,
                            add_new_name, &list);
    if (r == 0 && list.error == 0 && (scope & SCOPE_SPAN))
        r = store_span_tags(telemetry->store, tenant, range.from_ns, range.until_ns, false,
                            add_new_name, &list);
    if (scope == SCOPE_INTRINSIC)
        list_intrinsics(&list);
    obs_buffer_append_text(&body, "],\"metrics\":{}}");
    store_set_done(&list.seen);
    if (r < 0 || list.error != 0)
        tempo_reply_failed(request, telemetry, r < 0 ? r : list.error, NULL);
    else
        tempo_reply_json(request, telemetry, &body);
    obs_buffer_done(&body);
}

static int list_scope(const struct telemetry *telemetry, const char *tenant,
                      const struct tempo_range *range, unsigned scope, struct listing *list)
{
    const char *name = scope == SCOPE_RESOURCE ? "resource"
                       : scope == SCOPE_SPAN   ? "span"
                                               : "intrinsic";
    int r = 0;

    list->count = 0;
    obs_buffer_printf(list->out, "{\"name\":\"%s\",\"tags\":[", name);
    if (scope == SCOPE_INTRINSIC)
        list_intrinsics(list);
    else
        r = store_span_tags(telemetry->store, tenant, range->from_ns, range->until_ns,
                            scope == SCOPE_RESOURCE, add_name, list);
    obs_buffer_append_text(list->out, "]}");
    return r;
}

void tempo_handle_tags_v2(struct obs_http_request *request, void *userdata)
{
    const struct telemetry *telemetry = userdata;
    const char *tenant = telemetry_tenant(request, telemetry);
    struct obs_buffer body = OBS_BUFFER_INIT(TEMPO_REPLY_BYTES_MAX);
    struct tempo_range range;
    struct listing list;
    unsigned scopes;
    bool is_first = true;
    int r = 0;

    if (!tenant || !read_listing(request, telemetry, &body, &list, &range) ||
        !read_scope(request, &scopes))
        return;
    obs_buffer_append_text(&body, "{\"scopes\":[");
    for (unsigned scope = SCOPE_RESOURCE; r == 0 && scope <= SCOPE_INTRINSIC; scope *= 2) {
        if (!(scopes & scope))
            continue;
        if (!is_first)
            obs_buffer_append_char(&body, ',');
        is_first = false;
        r = list_scope(telemetry, tenant, &range, scope, &list);
    }
    obs_buffer_append_text(&body, "],\"metrics\":{}}");
    if (r < 0)
        tempo_reply_failed(request, telemetry, r, NULL);
    else
        tempo_reply_json(request, telemetry, &body);
    obs_buffer_done(&body);
}

/* ---- values ---- */

static const char *type_name(enum traceql_type type)
{
    switch (type) {
    case TRACEQL_STRING:
        return "string";
    case TRACEQL_INT:
        return "int";
    case TRACEQL_FLOAT:
        return "float";
    case TRACEQL_BOOL:
        return "bool";
    case TRACEQL_DURATION:
        return "duration";
    default:
        return "keyword";
    }
}

static enum store_next list_value(struct listing *list, const struct traceql_value *value)
{
    char room[TRACEQL_TEXT_SIZE];
    struct text_view text = traceql_value_text(value, room);
    const char *type = type_name(value->type);
    struct obs_buffer key = OBS_BUFFER_INIT(1U << 20);
    bool is_new = false;

    if (list->count == list->limit)
        return STORE_STOP;
    if (list->is_typed)
        obs_buffer_append_text(&key, type);
    obs_buffer_append_char(&key, ' ');
    obs_buffer_append(&key, text.size > 0 ? text.text : "", text.size);
    if (key.error != 0 || store_set_put(&list->seen, (struct text_view){key.data, key.size},
                                        &is_new) == STORE_SET_NONE)
        list->error = -ENOMEM;
    obs_buffer_done(&key);
    if (list->error != 0)
        return STORE_STOP;
    if (!is_new)
        return STORE_GO_ON;
    if (list->count++ > 0)
        obs_buffer_append_char(list->out, ',');
    if (list->is_typed)
        obs_buffer_printf(list->out, "{\"type\":\"%s\",\"value\":", type);
    tempo_text_json(text, list->out);
    if (list->is_typed)
        obs_buffer_append_char(list->out, '}');
    return list->out->error == 0 ? STORE_GO_ON : STORE_STOP;
}

static enum store_next add_value(const struct value *value, void *userdata)
{
    struct attribute attribute = {text_view_of("v"), *value};
    struct span_view view = {.attributes = &attribute, .attribute_count = 1};
    struct traceql_field field = {.id = TRACEQL_FIELD_ATTRIBUTE, .name = text_view_of("v")};
    char hex[TRACEQL_HEX_SIZE];
    struct traceql_value known = traceql_field_value(&field, &view, NULL, 0, hex);

    return list_value(userdata, &known);
}

static enum store_next see_span(const struct span_view *span, void *userdata)
{
    struct listing *list = userdata;
    struct traceql_field field = list->field->fields[0];
    struct traceql_value value;
    char hex[TRACEQL_HEX_SIZE];

    if (++list->spans_seen % 256 == 0 && obs_mono_ns() > list->deadline_ns)
        list->error = TEMPO_TIMEOUT;
    if (list->error != 0)
        return STORE_STOP;
    if (list->only && !traceql_may_match(list->only, span))
        return STORE_GO_ON;
    if (field.id == TRACEQL_FIELD_ROOT_NAME || field.id == TRACEQL_FIELD_ROOT_SERVICE) {
        static const uint8_t NONE[8] = {0};

        if (memcmp(span->parent_span_id, NONE, 8) != 0)
            return STORE_GO_ON;
        field = field.id == TRACEQL_FIELD_ROOT_NAME
                    ? (struct traceql_field){.id = TRACEQL_FIELD_NAME}
                    : (struct traceql_field){.id = TRACEQL_FIELD_ATTRIBUTE,
                                             .scope = TRACEQL_SCOPE_RESOURCE,
                                             .name = text_view_of("service.name")};
    }
    value = traceql_field_value(&field, span, NULL, 0, hex);
    return value.type == TRACEQL_NIL ? STORE_GO_ON : list_value(list, &value);
}

static void list_keywords(struct listing *list, enum traceql_type type, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        list_value(list, &(struct traceql_value){.type = type, .is.integer = i});
}

static int list_from_spans(const struct telemetry *telemetry, const char *tenant,
                           const struct tempo_range *range, struct listing *list)
{
    struct span_hints hints = {.from_ns = range->from_ns, .until_ns = range->until_ns};

    if (list->only)
        traceql_hints(list->only, &hints);
    return store_scan_spans(telemetry->store, tenant, &hints, see_span, list);
}

static int list_values(const struct telemetry *telemetry, const char *tenant,
                       const struct tempo_range *range, struct listing *list)
{
    const struct traceql_field *field = &list->field->fields[0];
    int r = 0;

    switch (field->id) {
    case TRACEQL_FIELD_STATUS:
        list_keywords(list, TRACEQL_STATUS, 3);
        return 0;
    case TRACEQL_FIELD_KIND:
        list_keywords(list, TRACEQL_KIND, 6);
        return 0;
    case TRACEQL_FIELD_NAME:
    case TRACEQL_FIELD_STATUS_MESSAGE:
    case TRACEQL_FIELD_ROOT_NAME:
    case TRACEQL_FIELD_ROOT_SERVICE:
    case TRACEQL_FIELD_SCOPE_NAME:
    case TRACEQL_FIELD_SCOPE_VERSION:
        return list_from_spans(telemetry, tenant, range, list);
    case TRACEQL_FIELD_ATTRIBUTE:
        break;
    default: /* times and ids: as many as spans */
        return 0;
    }
    if (list->only)
        return list_from_spans(telemetry, tenant, range, list);
    if (field->scope != TRACEQL_SCOPE_SPAN)
        r = store_span_tag_values(telemetry->store, tenant, field->name, range->from_ns,
                                  range->until_ns, true, add_value, list);
    if (r == 0 && list->error == 0 && field->scope != TRACEQL_SCOPE_RESOURCE)
        r = store_span_tag_values(telemetry->store, tenant, field->name, range->from_ns,
                                  range->until_ns, false, add_value, list);
    return r;
}

static void handle_values(struct obs_http_request *request, const struct telemetry *telemetry,
                          const struct traceql_query *field, const struct traceql_query *only,
                          bool is_typed)
{
    const char *tenant = telemetry_tenant(request, telemetry);
    struct obs_buffer body = OBS_BUFFER_INIT(TEMPO_REPLY_BYTES_MAX);
    struct tempo_range range;
    struct listing list;
    struct obs_reason why = {0};
    int r;

    if (!tenant || !read_listing(request, telemetry, &body, &list, &range))
        return;
    list.is_typed = is_typed;
    list.field = field;
    list.only = only;
    obs_buffer_append_text(&body, "{\"tagValues\":[");
    r = list_values(telemetry, tenant, &range, &list);
    obs_buffer_append_text(&body, "],\"metrics\":{}}");
    store_set_done(&list.seen);
    if (r == 0)
        r = list.error;
    if (r == 0 && only && traceql_gave_up(only, &why))
        r = TEMPO_REFUSED;
    if (r != 0)
        tempo_reply_failed(request, telemetry, r, &why);
    else
        tempo_reply_json(request, telemetry, &body);
    obs_buffer_done(&body);
}

/* Version 1 has plain names: an intrinsic's, or an attribute's of any scope. */
void tempo_handle_values(struct obs_http_request *request, void *userdata)
{
    OBS_CLEANUP(traceql_query_freep) struct traceql_query *field = NULL;
    const char *name = obs_http_param(request, "name");
    struct obs_reason why = {0};
    int r = traceql_parse_field(name, strlen(name), &field, &why);

    if (r == TRACEQL_REFUSED || (r == 0 && field->fields[0].id == TRACEQL_FIELD_ATTRIBUTE)) {
        field = traceql_query_free(field);
        r = traceql_tags_new(&field);
        if (r == 0)
            r = traceql_tags_add(field, text_view_of(name), text_view_of(""));
    }
    if (r != 0)
        tempo_reply_failed(request, userdata, r, &why);
    else
        handle_values(request, userdata, field, NULL, false);
}

/* A query that is not finished yet, as editors send while one types, narrows nothing. */
static int parse_only(struct obs_http_request *request, struct traceql_query **ret_only)
{
    const char *q = obs_http_query(request, "q");
    struct obs_reason ignored;
    int r = q && q[0] != '\0' ? traceql_parse(q, strlen(q), ret_only, &ignored) : 0;

    if (r == 0 && *ret_only && !traceql_is_single(*ret_only))
        *ret_only = traceql_query_free(*ret_only);
    return r < 0 ? r : 0;
}

void tempo_handle_values_v2(struct obs_http_request *request, void *userdata)
{
    OBS_CLEANUP(traceql_query_freep) struct traceql_query *field = NULL;
    OBS_CLEANUP(traceql_query_freep) struct traceql_query *only = NULL;
    const char *name = obs_http_param(request, "name");
    struct obs_reason why = {0};
    int r = traceql_parse_field(name, strlen(name), &field, &why);

    if (r == 0)
        r = parse_only(request, &only);
    if (r != 0)
        tempo_reply_failed(request, userdata, r, &why);
    else
        handle_values(request, userdata, field, only && only->root->a->a ? only : NULL, true);
}
