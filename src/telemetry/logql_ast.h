#pragma once
/*
 * LogQL's syntax tree. Everything lives in the query's arena; regular expressions are freed with
 * it.
 *
 * Made by logql_parse.c, read by logql_pipeline.c (lines) and logql_metric.c (numbers).
 */
#include "base/arena.h"
#include "telemetry/regex.h"
#include "telemetry/store.h"

/* A place in the query's text, for what is refused after parsing. */
struct logql_place {
    unsigned line, column;
};

struct logql_matcher { /* of a stream selector, of drop and keep, of a label filter on text */
    struct text_view name, value;
    enum matcher_op op;
    const struct regex *regex; /* of the regex ops */
};

enum logql_line_op { LINE_HAS, LINE_HAS_NOT, LINE_FITS, LINE_FITS_NOT };

struct logql_needle { /* `|= "a" or "b"`: one of the chain */
    struct text_view text;
    const struct regex *regex;
    struct logql_needle *next;
};

enum logql_compare { IS_EQUAL, IS_NOT_EQUAL, IS_LESS, IS_LESS_EQUAL, IS_GREATER, IS_GREATER_EQUAL };

enum logql_unit { UNIT_NUMBER, UNIT_DURATION, UNIT_BYTES };

enum logql_filter_type { FILTER_TEXT, FILTER_VALUE, FILTER_AND, FILTER_OR };

struct logql_filter { /* label filter */
    enum logql_filter_type type;
    struct logql_matcher text; /* FILTER_TEXT; its name also of FILTER_VALUE */
    enum logql_compare compare;
    enum logql_unit unit;
    double value; /* duration: seconds */
    const struct logql_filter *left, *right;
};

struct logql_json_step { /* one step of `a.b["c"][0]` */
    struct text_view key;
    unsigned index;
    bool is_index;
    struct logql_json_step *next;
};

struct logql_extraction { /* `name="path"` of json and logfmt */
    struct text_view name, key;
    const struct logql_json_step *path;
    struct logql_extraction *next;
};

struct logql_pattern_part { /* literal, or a capture; a capture without name is `<_>` */
    bool is_capture;
    struct text_view text;
    struct logql_pattern_part *next;
};

struct logql_template;

struct logql_assignment { /* of label_format: from a label, or from a template */
    struct text_view name, source;
    const struct logql_template *template;
    struct logql_assignment *next;
};

struct logql_choice { /* of drop and keep: a name, or a matcher */
    struct logql_matcher matcher;
    bool has_matcher;
    struct logql_choice *next;
};

enum logql_stage_type {
    STAGE_LINE_FILTER,
    STAGE_LABEL_FILTER,
    STAGE_JSON,
    STAGE_LOGFMT,
    STAGE_REGEXP,
    STAGE_PATTERN,
    STAGE_LINE_FORMAT,
    STAGE_LABEL_FORMAT,
    STAGE_DROP,
    STAGE_KEEP,
};

struct logql_stage {
    enum logql_stage_type type;
    enum logql_line_op line_op;
    const struct logql_needle *needles;
    const struct logql_filter *filter;
    const struct logql_extraction *extractions; /* json, logfmt: NULL for everything */
    bool is_strict;                             /* logfmt */
    const struct regex *regex;
    const struct logql_pattern_part *pattern;
    const struct logql_template *template;
    const struct logql_assignment *assignments;
    const struct logql_choice *choices;
    const struct logql_stage *next;
};

enum logql_conversion { CONVERT_NONE, CONVERT_DURATION, CONVERT_BYTES };

struct logql_log { /* selector and pipeline */
    const struct logql_matcher *matchers;
    size_t matcher_count;
    const struct logql_stage *stages;
    struct text_view unwrap; /* size 0: none */
    enum logql_conversion conversion;
    const struct logql_stage *after_unwrap; /* label filters only */
};

/* Operations over a range of lines. Columns: name in LogQL, needs unwrap, adds up (a sum over
 * series of it is it over the union of the series). */
#define LOGQL_RANGE_OPS(ROW)                                                                       \
    ROW(RANGE_RATE, "rate", false, true)                                                           \
    ROW(RANGE_COUNT, "count_over_time", false, true)                                               \
    ROW(RANGE_BYTES_RATE, "bytes_rate", false, true)                                               \
    ROW(RANGE_BYTES, "bytes_over_time", false, true)                                               \
    ROW(RANGE_ABSENT, "absent_over_time", false, false)                                            \
    ROW(RANGE_SUM, "sum_over_time", true, true)                                                    \
    ROW(RANGE_AVG, "avg_over_time", true, false)                                                   \
    ROW(RANGE_MIN, "min_over_time", true, false)                                                   \
    ROW(RANGE_MAX, "max_over_time", true, false)                                                   \
    ROW(RANGE_STDDEV, "stddev_over_time", true, false)                                             \
    ROW(RANGE_STDVAR, "stdvar_over_time", true, false)                                             \
    ROW(RANGE_FIRST, "first_over_time", true, false)                                               \
    ROW(RANGE_LAST, "last_over_time", true, false)                                                 \
    ROW(RANGE_QUANTILE, "quantile_over_time", true, false)

enum logql_range_op {
#define ROW(id, name, unwrap, adds) id,
    LOGQL_RANGE_OPS(ROW)
#undef ROW
};

#define LOGQL_VECTOR_OPS(ROW)                                                                      \
    ROW(VECTOR_SUM, "sum")                                                                         \
    ROW(VECTOR_AVG, "avg")                                                                         \
    ROW(VECTOR_MIN, "min")                                                                         \
    ROW(VECTOR_MAX, "max")                                                                         \
    ROW(VECTOR_COUNT, "count")                                                                     \
    ROW(VECTOR_STDDEV, "stddev")                                                                   \
    ROW(VECTOR_STDVAR, "stdvar")                                                                   \
    ROW(VECTOR_TOPK, "topk")                                                                       \
    ROW(VECTOR_BOTTOMK, "bottomk")

enum logql_vector_op {
#define ROW(id, name) id,
    LOGQL_VECTOR_OPS(ROW)
#undef ROW
};

enum logql_binary_op {
    BINARY_ADD,
    BINARY_SUBTRACT,
    BINARY_MULTIPLY,
    BINARY_DIVIDE,
    BINARY_MODULO,
    BINARY_POWER,
    BINARY_EQUAL,
    BINARY_NOT_EQUAL,
    BINARY_GREATER,
    BINARY_GREATER_EQUAL,
    BINARY_LESS,
    BINARY_LESS_EQUAL,
    BINARY_AND,
    BINARY_OR,
    BINARY_UNLESS,
};

enum logql_expr_type {
    EXPR_LOG,
    EXPR_RANGE,
    EXPR_VECTOR,
    EXPR_BINARY,
    EXPR_NUMBER,
    EXPR_CONSTANT, /* vector(n) */
};

struct logql_grouping { /* `by (…)`, `without (…)`; and on/ignoring of a binary operation */
    bool is_present, is_without;
    const struct text_view *names; /* sorted */
    size_t count;
};

struct logql_expr {
    enum logql_expr_type type;
    struct logql_place place;
    struct logql_log log; /* EXPR_LOG, EXPR_RANGE */
    enum logql_range_op range_op;
    uint64_t range_ns;
    int64_t offset_ns;
    enum logql_vector_op vector_op;
    enum logql_binary_op binary_op;
    bool is_bool;  /* comparison with `bool` */
    double number; /* literal, constant, quantile, k */
    struct logql_grouping grouping;
    const struct logql_expr *left; /* of binary; the inner of a vector aggregation */
    const struct logql_expr *right;
};

struct logql_query {
    struct obs_arena *arena;
    const struct logql_expr *root;
    struct regex **regexes; /* [regex_count], freed with the query */
    size_t regex_count;
};
