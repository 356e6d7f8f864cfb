#pragma once
/*
 * The syntax tree of a TraceQL query, as parser, checker and evaluator share it.
 *
 * Nodes live in the query's arena. Language and limits: docs/traceql.md.
 */
#include "telemetry/model.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum traceql_type {
    TRACEQL_NIL,
    TRACEQL_STRING,
    TRACEQL_INT,
    TRACEQL_FLOAT,
    TRACEQL_DURATION, /* is.integer, nanoseconds */
    TRACEQL_BOOL,
    TRACEQL_STATUS, /* is.integer, SPAN_STATUS_… */
    TRACEQL_KIND,   /* is.integer, OTLP span kind */
    TRACEQL_ANY,    /* of a node only: known when a span is seen */
};

struct traceql_value {
    enum traceql_type type;
    union {
        struct text_view text;
        int64_t integer;
        double number;
        bool boolean;
    } is;
};

/*  id, bare name, scoped name, type, is it about the whole trace */
#define TRACEQL_INTRINSICS(ROW)                                                                    \
    ROW(NAME, "name", "span:name", STRING, false)                                                  \
    ROW(STATUS, "status", "span:status", STATUS, false)                                            \
    ROW(STATUS_MESSAGE, "statusMessage", "span:statusMessage", STRING, false)                      \
    ROW(DURATION, "duration", "span:duration", DURATION, false)                                    \
    ROW(KIND, "kind", "span:kind", KIND, false)                                                    \
    ROW(SPAN_ID, "", "span:id", STRING, false)                                                     \
    ROW(PARENT_ID, "", "span:parentID", STRING, false)                                             \
    ROW(CHILD_COUNT, "childCount", "span:childCount", INT, true)                                   \
    ROW(NESTED_SET_LEFT, "nestedSetLeft", "span:nestedSetLeft", INT, true)                         \
    ROW(NESTED_SET_RIGHT, "nestedSetRight", "span:nestedSetRight", INT, true)                      \
    ROW(NESTED_SET_PARENT, "nestedSetParent", "span:nestedSetParent", INT, true)                   \
    ROW(TRACE_DURATION, "traceDuration", "trace:duration", DURATION, true)                         \
    ROW(ROOT_NAME, "rootName", "trace:rootName", STRING, true)                                     \
    ROW(ROOT_SERVICE, "rootServiceName", "trace:rootService", STRING, true)                        \
    ROW(TRACE_ID, "", "trace:id", STRING, false)                                                   \
    ROW(SCOPE_NAME, "", "instrumentation:name", STRING, false)                                     \
    ROW(SCOPE_VERSION, "", "instrumentation:version", STRING, false)

enum traceql_field_id {
#define ROW(id, bare, scoped, type, is_of_trace) TRACEQL_FIELD_##id,
    TRACEQL_INTRINSICS(ROW)
#undef ROW
        TRACEQL_FIELD_ATTRIBUTE,
};

enum traceql_scope { TRACEQL_SCOPE_NONE, TRACEQL_SCOPE_SPAN, TRACEQL_SCOPE_RESOURCE };

struct traceql_field {
    enum traceql_field_id id;
    enum traceql_scope scope; /* of an attribute; NONE: the span's, else the resource's */
    struct text_view name;    /* attribute's name, or the intrinsic as it was written */
};

/* In the lexer's tokens, too. */
enum traceql_op {
    TRACEQL_OP_NONE,
    TRACEQL_OP_AND,
    TRACEQL_OP_OR,
    TRACEQL_OP_NOT,
    TRACEQL_OP_EQUAL,
    TRACEQL_OP_NOT_EQUAL,
    TRACEQL_OP_LESS,
    TRACEQL_OP_LESS_EQUAL,
    TRACEQL_OP_GREATER,
    TRACEQL_OP_GREATER_EQUAL,
    TRACEQL_OP_REGEX,
    TRACEQL_OP_NOT_REGEX,
    TRACEQL_OP_ADD,
    TRACEQL_OP_SUBTRACT,
    TRACEQL_OP_MULTIPLY,
    TRACEQL_OP_DIVIDE,
    TRACEQL_OP_MODULO,
    TRACEQL_OP_POWER,
    /* between spansets */
    TRACEQL_OP_CHILD,
    TRACEQL_OP_PARENT,
    TRACEQL_OP_DESCENDANT,
    TRACEQL_OP_ANCESTOR,
    TRACEQL_OP_SIBLING,
    /* aggregates */
    TRACEQL_OP_COUNT,
    TRACEQL_OP_AVG,
    TRACEQL_OP_MAX,
    TRACEQL_OP_MIN,
    TRACEQL_OP_SUM,
};

enum traceql_kind {
    /* expressions */
    TRACEQL_VALUE,
    TRACEQL_FIELD,
    TRACEQL_UNARY,
    TRACEQL_BINARY,
    TRACEQL_AGGREGATE,
    TRACEQL_CONTAINS, /* tag search: text of field a has is.value, whatever the case */
    /* spansets and stages */
    TRACEQL_FILTER,       /* a: expression, or NULL for { } */
    TRACEQL_SPANSET_PAIR, /* op, a, b */
    TRACEQL_PIPELINE,     /* a: first stage, then its `next` */
    TRACEQL_SCALAR,       /* a: comparison of aggregates */
    TRACEQL_BY,           /* a: expression */
    TRACEQL_COALESCE,
    TRACEQL_SELECT,
};

struct regex;

struct traceql_node {
    enum traceql_kind kind;
    enum traceql_op op;
    enum traceql_type type; /* of an expression's value */
    bool needs_trace;       /* cannot be told from one span alone */
    bool is_negated;        /* SPANSET_PAIR: !> !< !>> !<< !~ */
    bool is_union;          /* SPANSET_PAIR: &> &< &>> &<< &~ */
    bool has_aggregate;
    bool is_witness_b; /* SPANSET_PAIR: see traceql_hints.c */
    unsigned line, column;
    struct text_view source; /* as it was written: `avg(duration)` */
    struct traceql_node *a, *b, *next;
    struct regex *regex;
    union {
        struct traceql_value value;
        struct traceql_field field;
    } is;
};

#define TRACEQL_FIELDS_MAX 32 /* distinct fields in one query */
#define TRACEQL_REGEXES_MAX 32

struct obs_arena;

struct traceql_query {
    struct obs_arena *arena;
    struct traceql_node *root; /* a PIPELINE; its first stage is a spanset */
    struct regex *regexes[TRACEQL_REGEXES_MAX];
    size_t regex_count;
    struct traceql_field fields[TRACEQL_FIELDS_MAX]; /* mentioned, in the order of first mention */
    size_t field_count;
    bool is_most_recent; /* with (most_recent = true) */
};

static inline bool text_view_equal(struct text_view a, struct text_view b)
{
    return a.size == b.size && (a.size == 0 || __builtin_memcmp(a.text, b.text, a.size) == 0);
}

static inline struct text_view text_view_of(const char *text)
{
    return (struct text_view){.text = text, .size = __builtin_strlen(text)};
}
