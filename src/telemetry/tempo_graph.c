/*
 * GET /api/service-graph: who calls whom in a time range, from pairs of spans.
 *
 * A pair is a client span and the server span that has it as parent, or a producer span and a
 * consumer span. A client span without its other half is a call of a database, a broker or a
 * service outside, when its attributes name one. Durations go into buckets a sixteenth of a power
 * of two wide, so that quantiles are good to 3 % whatever the number of calls.
 *
 * Spans come in no order: callers are kept by the hash of trace and span id, callees by the hash of
 * their parent, and joined at the end. 32 bytes each; more spans than CALLS_MAX are refused.
 */
#include "telemetry/tempo.h"

#include "base/clock.h"
#include "base/text.h"
#include "otel/names.h"
#include "telemetry/store_set.h"
#include <errno.h>
#include <string.h>

enum {
    CALLS_MAX = 500000,
    NODES_MAX = 1000,
    EDGES_MAX = 2000,
    EDGE_SLOTS = 4096,
    BUCKETS = 16 * 48,
    KIND_SERVER = 2,
    KIND_CLIENT = 3,
    KIND_PRODUCER = 4,
    KIND_CONSUMER = 5,
};
#define NO_NODE UINT32_MAX

enum node_type { NODE_SERVICE, NODE_DATABASE, NODE_MESSAGING, NODE_EXTERNAL };
static const char *const NODE_TYPES[] = {"service", "database", "messaging", "external"};

struct half { /* of a pair */
    uint64_t key;
    uint64_t duration_ns;
    uint32_t node, peer; /* peer: of a caller, when it has no other half */
    bool is_error, is_message, is_met;
};

struct halves {
    struct half *list;
    size_t count, capacity;
};

struct edge {
    uint32_t client, server;
    bool is_message;
    uint64_t count, errors;
    uint32_t client_buckets[BUCKETS], server_buckets[BUCKETS];
};

struct node {
    enum node_type type;
    uint64_t requests, errors;
};

struct graph {
    struct store_set names;
    struct node nodes[NODES_MAX];
    struct halves callers, callees;
    struct edge *edges[EDGES_MAX];
    uint16_t edge_slots[EDGE_SLOTS]; /* edge + 1 */
    size_t edge_count;
    uint64_t spans_seen, deadline_ns, unpaired;
    struct obs_reason *why;
    int error;
};

static uint64_t key_of(const uint8_t trace_id[16], const uint8_t span_id[8])
{
    uint64_t a, b, c, key;

    memcpy(&a, trace_id, 8);
    memcpy(&b, trace_id + 8, 8);
    memcpy(&c, span_id, 8);
    key = (a ^ (b << 1 | b >> 63)) * 0x9e3779b97f4a7c15ULL;
    key = (key ^ key >> 29 ^ c) * 0xbf58476d1ce4e5b9ULL;
    return key ^ key >> 32;
}

static void refuse(struct graph *graph, const char *what, int limit)
{
    obs_reason_set(graph->why, "more than %d %s: narrow the time range", limit, what);
    graph->error = TEMPO_TOO_MUCH;
}

/* The node of that name; NO_NODE sets the error. */
static uint32_t node_of(struct graph *graph, struct text_view name, enum node_type type)
{
    bool is_new = false;
    uint32_t at = store_set_put(&graph->names, name, &is_new);

    if (at == STORE_SET_NONE) {
        graph->error = -ENOMEM;
        return NO_NODE;
    }
    if (at >= NODES_MAX) {
        refuse(graph, "services", NODES_MAX);
        return NO_NODE;
    }
    if (is_new)
        graph->nodes[at].type = type;
    else if (type == NODE_SERVICE)
        graph->nodes[at].type = NODE_SERVICE; /* it was only heard of before */
    return at;
}

static struct half *add_half(struct graph *graph, struct halves *halves)
{
    if (halves->count == CALLS_MAX) {
        refuse(graph, "calls", CALLS_MAX);
        return NULL;
    }
    if (halves->count == halves->capacity) {
        size_t capacity = halves->capacity ? halves->capacity * 2 : 1024;
        struct half *list = reallocarray(halves->list, capacity, sizeof(*list));

        if (!list) {
            graph->error = -ENOMEM;
            return NULL;
        }
        halves->list = list;
        halves->capacity = capacity;
    }
    return &halves->list[halves->count++];
}

static struct text_view attribute_text(const struct span_view *span, const char *name)
{
    for (size_t i = 0; i < span->attribute_count; i++) {
        if (span->attributes[i].value.type == VALUE_TEXT &&
            text_view_equal(span->attributes[i].name, text_view_of(name)))
            return span->attributes[i].value.is.text;
    }
    return (struct text_view){"", 0};
}

/* Whom a caller's attributes name. */
static uint32_t peer_of(struct graph *graph, const struct span_view *span)
{
    static const struct {
        const char *name;
        enum node_type type;
    } PEERS[] = {
        {OBS_ATTR_DB_SYSTEM, NODE_DATABASE},         {"db.system.name", NODE_DATABASE},
        {OBS_ATTR_MESSAGING_SYSTEM, NODE_MESSAGING}, {OBS_ATTR_PEER_SERVICE, NODE_EXTERNAL},
        {OBS_ATTR_SERVER_ADDRESS, NODE_EXTERNAL},
    };

    for (size_t i = 0; i < OBS_COUNT(PEERS); i++) {
        struct text_view text = attribute_text(span, PEERS[i].name);

        if (text.size > 0)
            return node_of(graph, text, PEERS[i].type);
    }
    return NO_NODE;
}

static enum store_next see_span(const struct span_view *span, void *userdata)
{
    struct graph *graph = userdata;
    bool is_caller = span->kind == KIND_CLIENT || span->kind == KIND_PRODUCER;
    bool is_callee = span->kind == KIND_SERVER || span->kind == KIND_CONSUMER;
    struct half *half;
    uint32_t node;

    if (++graph->spans_seen % 256 == 0 && obs_mono_ns() > graph->deadline_ns)
        graph->error = TEMPO_TIMEOUT;
    if (graph->error != 0)
        return STORE_STOP;
    if (!is_caller && !is_callee)
        return STORE_GO_ON;
    node = node_of(graph, span->service, NODE_SERVICE);
    half =
        graph->error == 0 ? add_half(graph, is_caller ? &graph->callers : &graph->callees) : NULL;
    if (!half)
        return STORE_STOP;
    *half = (struct half){
        .key = key_of(span->trace_id, is_caller ? span->span_id : span->parent_span_id),
        .duration_ns = traceql_duration(span),
        .node = node,
        .peer = is_caller ? peer_of(graph, span) : NO_NODE,
        .is_error = span->status == SPAN_STATUS_ERROR,
        .is_message = span->kind == KIND_PRODUCER || span->kind == KIND_CONSUMER};
    if (is_callee) {
        graph->nodes[node].requests++;
        graph->nodes[node].errors += half->is_error;
    }
    return graph->error == 0 ? STORE_GO_ON : STORE_STOP;
}

/* ---- edges ---- */

static size_t bucket_of(uint64_t ns)
{
    unsigned power = 63 - (unsigned)__builtin_clzll(ns | 16);
    size_t bucket = (power - 4) * 16 + (size_t)(ns >> (power - 4) & 15);

    return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

static double quantile_ms(const uint32_t buckets[BUCKETS], double q)
{
    uint64_t total = 0, below = 0;

    for (size_t i = 0; i < BUCKETS; i++)
        total += buckets[i];
    for (size_t i = 0; i < BUCKETS; i++) {
        below += buckets[i];
        if (total > 0 && (double)below >= q * (double)total) /* the bucket's middle */
            return (16.5 + (double)(i % 16)) * (double)(1ULL << (i / 16)) / (double)OBS_NS_PER_MS;
    }
    return 0;
}

static struct edge *edge_of(struct graph *graph, uint32_t client, uint32_t server, bool is_message)
{
    size_t slot = ((size_t)client * 31 + server) * 2 + is_message;
    struct edge *edge;

    for (;; slot++) {
        uint16_t at = graph->edge_slots[slot % EDGE_SLOTS];

        if (at == 0)
            break;
        edge = graph->edges[at - 1];
        if (edge->client == client && edge->server == server && edge->is_message == is_message)
            return edge;
    }
    if (graph->edge_count == EDGES_MAX) {
        refuse(graph, "connections", EDGES_MAX);
        return NULL;
    }
    edge = calloc(1, sizeof(*edge));
    if (!edge) {
        graph->error = -ENOMEM;
        return NULL;
    }
    edge->client = client;
    edge->server = server;
    edge->is_message = is_message;
    graph->edges[graph->edge_count++] = edge;
    graph->edge_slots[slot % EDGE_SLOTS] = (uint16_t)graph->edge_count;
    return edge;
}

static void count_pair(struct graph *graph, struct half *caller, const struct half *callee)
{
    struct edge *edge = edge_of(graph, caller->node, callee->node, callee->is_message);

    if (!edge)
        return;
    caller->is_met = true;
    edge->count++;
    edge->errors += caller->is_error || callee->is_error;
    edge->client_buckets[bucket_of(caller->duration_ns)]++;
    edge->server_buckets[bucket_of(callee->duration_ns)]++;
}

static int by_key(const void *a, const void *b)
{
    const struct half *x = a, *y = b;

    return (x->key > y->key) - (x->key < y->key);
}

static void join_pairs(struct graph *graph)
{
    struct halves *callers = &graph->callers, *callees = &graph->callees;
    size_t at = 0;

    if (callers->count > 0)
        qsort(callers->list, callers->count, sizeof(*callers->list), by_key);
    if (callees->count > 0)
        qsort(callees->list, callees->count, sizeof(*callees->list), by_key);
    for (size_t i = 0; i < callees->count && graph->error == 0; i++) {
        const struct half *callee = &callees->list[i];

        while (at < callers->count && callers->list[at].key < callee->key)
            at++;
        if (at < callers->count && callers->list[at].key == callee->key)
            count_pair(graph, &callers->list[at], callee);
    }
}

static void count_unmet(struct graph *graph)
{
    for (size_t i = 0; i < graph->callers.count && graph->error == 0; i++) {
        const struct half *caller = &graph->callers.list[i];
        struct edge *edge;

        if (caller->is_met)
            continue;
        if (caller->peer == NO_NODE) {
            graph->unpaired++;
            continue;
        }
        edge = edge_of(graph, caller->node, caller->peer, caller->is_message);
        if (!edge)
            return;
        edge->count++;
        edge->errors += caller->is_error;
        edge->client_buckets[bucket_of(caller->duration_ns)]++;
        if (graph->nodes[caller->peer].type != NODE_SERVICE) {
            graph->nodes[caller->peer].requests++;
            graph->nodes[caller->peer].errors += caller->is_error;
        }
    }
}

/* ---- the answer ---- */

static void append_quantile(const char *name, const uint32_t buckets[BUCKETS], double q,
                            struct obs_buffer *out)
{
    obs_buffer_printf(out, ",\"%s\":%.4g", name, quantile_ms(buckets, q));
}

static bool has_any(const uint32_t buckets[BUCKETS])
{
    for (size_t i = 0; i < BUCKETS; i++)
        if (buckets[i] > 0)
            return true;
    return false;
}

static void append_edge(const struct graph *graph, const struct edge *edge, struct obs_buffer *out)
{
    enum node_type type = graph->nodes[edge->server].type;

    obs_buffer_append_text(out, "{\"client\":");
    tempo_text_json(graph->names.entries[edge->client].text, out);
    obs_buffer_append_text(out, ",\"server\":");
    tempo_text_json(graph->names.entries[edge->server].text, out);
    obs_buffer_printf(out, ",\"type\":\"%s\",\"count\":%llu,\"errors\":%llu",
                      edge->is_message        ? "messaging"
                      : type == NODE_DATABASE ? "database"
                                              : "request",
                      (unsigned long long)edge->count, (unsigned long long)edge->errors);
    append_quantile("client_p50_ms", edge->client_buckets, 0.5, out);
    append_quantile("client_p95_ms", edge->client_buckets, 0.95, out);
    if (has_any(edge->server_buckets)) {
        append_quantile("server_p50_ms", edge->server_buckets, 0.5, out);
        append_quantile("server_p95_ms", edge->server_buckets, 0.95, out);
    }
    obs_buffer_append_char(out, '}');
}

static bool is_in_graph(const struct graph *graph, uint32_t node)
{
    if (graph->nodes[node].requests > 0)
        return true;
    for (size_t i = 0; i < graph->edge_count; i++)
        if (graph->edges[i]->client == node || graph->edges[i]->server == node)
            return true;
    return false;
}

static void write_answer(const struct graph *graph, struct obs_buffer *out)
{
    bool is_first = true;

    obs_buffer_append_text(out, "{\"nodes\":[");
    for (uint32_t i = 0; i < graph->names.count; i++) {
        if (!is_in_graph(graph, i))
            continue;
        obs_buffer_append_text(out, is_first ? "{\"name\":" : ",{\"name\":");
        tempo_text_json(graph->names.entries[i].text, out);
        obs_buffer_printf(out, ",\"type\":\"%s\",\"requests\":%llu,\"errors\":%llu}",
                          NODE_TYPES[graph->nodes[i].type],
                          (unsigned long long)graph->nodes[i].requests,
                          (unsigned long long)graph->nodes[i].errors);
        is_first = false;
    }
    obs_buffer_append_text(out, "],\"edges\":[");
    for (size_t i = 0; i < graph->edge_count; i++) {
        if (i > 0)
            obs_buffer_append_char(out, ',');
        append_edge(graph, graph->edges[i], out);
    }
    obs_buffer_printf(out,
                      "],\"metrics\":{\"inspectedSpans\":\"%llu\",\"unpairedSpans\":\"%llu\"}}",
                      (unsigned long long)graph->spans_seen, (unsigned long long)graph->unpaired);
}

static void graph_free(struct graph *graph)
{
    for (size_t i = 0; i < graph->edge_count; i++)
        free(graph->edges[i]);
    store_set_done(&graph->names);
    free(graph->callers.list);
    free(graph->callees.list);
    free(graph);
}

static int run(struct graph *graph, const struct telemetry *telemetry, const char *tenant,
               const struct tempo_range *range, struct obs_buffer *out)
{
    struct span_hints hints = {.from_ns = range->from_ns, .until_ns = range->until_ns};
    int r = store_scan_spans(telemetry->store, tenant, &hints, see_span, graph);

    if (graph->error == 0 && r < 0)
        return r;
    if (graph->error == 0)
        join_pairs(graph);
    if (graph->error == 0)
        count_unmet(graph);
    if (graph->error == 0)
        write_answer(graph, out);
    return graph->error;
}

void tempo_handle_graph(struct obs_http_request *request, void *userdata)
{
    const struct telemetry *telemetry = userdata;
    const char *tenant = telemetry_tenant(request, telemetry);
    struct obs_buffer body = OBS_BUFFER_INIT(TEMPO_REPLY_BYTES_MAX);
    struct obs_reason why = {0};
    struct tempo_range range;
    struct graph *graph;
    int r;

    if (!tenant || !tempo_read_range(request, &range))
        return;
    graph = calloc(1, sizeof(*graph));
    if (!graph) {
        tempo_reply_failed(request, telemetry, -ENOMEM, NULL);
        return;
    }
    graph->names.is_copying = true;
    graph->why = &why;
    graph->deadline_ns = tempo_deadline(telemetry);
    r = run(graph, telemetry, tenant, &range, &body);
    graph_free(graph);
    if (r != 0)
        tempo_reply_failed(request, telemetry, r, &why);
    else
        tempo_reply_json(request, telemetry, &body);
    obs_buffer_done(&body);
}
