/*
 * LogQL's grammar by recursive descent: selectors and everything that computes numbers. Binary
 * operators climb by precedence (^, then * / %, + -, comparisons, and unless, or).
 */
#include "telemetry/logql_labels.h"
#include "telemetry/logql_parser.h"
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { QUERY_MEMORY_MAX = 4 << 20, MATCHERS_MAX = 64, NAMES_MAX = 64 };

struct logql_query *logql_query_free(struct logql_query *query)
{
    if (!query)
        return NULL;
    for (size_t i = 0; i < query->regex_count; i++)
        regex_free(query->regexes[i]);
    free(query->regexes);
    obs_arena_free(query->arena);
    free(query);
    return NULL;
}

bool logql_is_log(const struct logql_query *query)
{
    return query->root->type == EXPR_LOG;
}

bool logql_is_label_name(struct text_view name)
{
    for (size_t i = 0; i < name.size; i++) {
        char c = name.text[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
              (i > 0 && c >= '0' && c <= '9')))
            return false;
    }
    return name.size > 0;
}

/* ---- the parser's hands ---- */

bool logql_refuse(struct logql_parser *p, const struct logql_token *at, const char *format, ...)
{
    char text[200];
    va_list args;

    if (p->result != LOGQL_OK)
        return false;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    p->result = LOGQL_REFUSED;
    obs_reason_set_at(p->reason, at->line, at->column, "parse error at line %u, col %u: %s",
                      at->line, at->column, text);
    return false;
}

bool logql_out_of_memory(struct logql_parser *p)
{
    if (p->result == LOGQL_OK)
        p->result = -ENOMEM;
    return false;
}

bool logql_unexpected(struct logql_parser *p, const char *expected)
{
    const struct logql_token *token = &p->token;
    int size = token->shown.size > 48 ? 48 : (int)token->shown.size;

    if (token->type == TOKEN_BAD)
        return logql_refuse(p, token, "%.*s: `%.*s`", (int)token->text.size, token->text.text, size,
                            token->shown.text);
    if (token->type == TOKEN_END)
        return logql_refuse(p, token, "syntax error: unexpected end of query, expected %s",
                            expected);
    return logql_refuse(p, token, "syntax error: unexpected `%.*s`, expected %s", size,
                        token->shown.text, expected);
}

void logql_advance(struct logql_parser *p)
{
    logql_lexer_next(&p->lexer, &p->token);
}

bool logql_takes(struct logql_parser *p, enum logql_sign sign)
{
    if (!logql_sees(p, sign))
        return false;
    logql_advance(p);
    return true;
}

bool logql_needs(struct logql_parser *p, enum logql_sign sign, const char *shown)
{
    return logql_takes(p, sign) || logql_unexpected(p, shown);
}

bool logql_needs_name(struct logql_parser *p, const char *what, struct text_view *ret_name)
{
    if (p->token.type != TOKEN_NAME)
        return logql_unexpected(p, what);
    *ret_name = p->token.text;
    logql_advance(p);
    return true;
}

bool logql_needs_string(struct logql_parser *p, struct text_view *ret_text)
{
    if (p->token.type != TOKEN_STRING)
        return logql_unexpected(p, "a string");
    *ret_text = p->token.text;
    logql_advance(p);
    return true;
}

void *logql_alloc(struct logql_parser *p, size_t size)
{
    void *memory = obs_arena_alloc(p->query->arena, size);

    if (!memory)
        logql_refuse(p, &p->token, "the query is too large");
    return memory;
}

bool logql_add_regex(struct logql_parser *p, const struct logql_token *token, enum regex_form form,
                     const struct regex **ret_regex)
{
    struct obs_reason why = {0};
    struct regex *regex = NULL;
    int r;

    if (p->query->regex_count == LOGQL_REGEXES_MAX)
        return logql_refuse(p, token, "more than %d regular expressions", LOGQL_REGEXES_MAX);
    if (!p->query->regexes)
        p->query->regexes = calloc(LOGQL_REGEXES_MAX, sizeof(struct regex *));
    if (!p->query->regexes)
        return logql_out_of_memory(p);
    r = regex_compile(token->text, form, &regex, &why);
    if (r < 0)
        return logql_out_of_memory(p);
    if (r != REGEX_OK)
        return logql_refuse(p, token, "%s", why.text);
    p->query->regexes[p->query->regex_count++] = regex;
    *ret_regex = regex;
    return true;
}

/* ---- selectors ---- */

bool logql_parse_matcher(struct logql_parser *p, struct logql_matcher *ret_matcher)
{
    struct logql_token value;

    if (logql_takes(p, SIGN_ASSIGN))
        ret_matcher->op = MATCH_EQUAL;
    else if (logql_takes(p, SIGN_NOT_EQUAL))
        ret_matcher->op = MATCH_NOT_EQUAL;
    else if (logql_takes(p, SIGN_FITS))
        ret_matcher->op = MATCH_REGEX;
    else if (logql_takes(p, SIGN_NOT_FITS))
        ret_matcher->op = MATCH_NOT_REGEX;
    else
        return logql_unexpected(p, "one of = != =~ !~");
    value = p->token;
    if (!logql_needs_string(p, &ret_matcher->value))
        return false;
    return ret_matcher->op == MATCH_EQUAL || ret_matcher->op == MATCH_NOT_EQUAL ||
           logql_add_regex(p, &value, REGEX_ANCHORED, &ret_matcher->regex);
}

static bool fits_empty(const struct logql_matcher *matcher)
{
    struct text_view empty = {"", 0};

    switch (matcher->op) {
    case MATCH_EQUAL:
        return matcher->value.size == 0;
    case MATCH_NOT_EQUAL:
        return matcher->value.size != 0;
    case MATCH_REGEX:
        return regex_matches(matcher->regex, empty);
    case MATCH_NOT_REGEX:
        return !regex_matches(matcher->regex, empty);
    }
    return true;
}

static bool parse_selector(struct logql_parser *p, struct logql_log *log)
{
    struct logql_token start = p->token;
    struct logql_matcher *matchers;
    bool is_selective = false;

    if (!logql_needs(p, SIGN_OPEN_BRACE, "a stream selector such as {service_name=\"orders\"}"))
        return false;
    matchers = logql_alloc(p, MATCHERS_MAX * sizeof(*matchers));
    if (!matchers)
        return false;
    log->matchers = matchers;
    while (!logql_sees(p, SIGN_CLOSE_BRACE)) {
        struct logql_matcher *matcher = &matchers[log->matcher_count];

        if (log->matcher_count == MATCHERS_MAX)
            return logql_refuse(p, &p->token, "more than %d matchers", MATCHERS_MAX);
        if (!logql_needs_name(p, "a label name or }", &matcher->name) ||
            !logql_parse_matcher(p, matcher))
            return false;
        is_selective |= !fits_empty(matcher);
        log->matcher_count++;
        if (!logql_takes(p, SIGN_COMMA))
            break;
    }
    if (!logql_needs(p, SIGN_CLOSE_BRACE, "`,` or `}`"))
        return false;
    if (!is_selective)
        return logql_refuse(
            p, &start,
            "queries require at least one regexp or equality matcher that does not "
            "have an empty-compatible value: app=~\".+\" has none, app=~\".*\" has");
    return true;
}

/* ---- expressions ---- */

static const struct logql_expr *parse_expr(struct logql_parser *p, unsigned min_precedence);

static struct logql_expr *new_expr(struct logql_parser *p, enum logql_expr_type type)
{
    struct logql_expr *expr = logql_alloc(p, sizeof(*expr));

    if (expr) {
        expr->type = type;
        expr->place = (struct logql_place){p->token.line, p->token.column};
    }
    return expr;
}

static int by_text(const void *a, const void *b)
{
    return logql_text_compare(*(const struct text_view *)a, *(const struct text_view *)b);
}

static bool parse_names(struct logql_parser *p, struct logql_grouping *grouping)
{
    struct text_view *names;

    if (!logql_needs(p, SIGN_OPEN_PAREN, "`(`"))
        return false;
    names = logql_alloc(p, NAMES_MAX * sizeof(*names));
    if (!names)
        return false;
    grouping->is_present = true;
    grouping->names = names;
    while (!logql_sees(p, SIGN_CLOSE_PAREN)) {
        if (grouping->count == NAMES_MAX)
            return logql_refuse(p, &p->token, "more than %d labels", NAMES_MAX);
        if (!logql_needs_name(p, "a label name or )", &names[grouping->count]))
            return false;
        grouping->count++;
        if (!logql_takes(p, SIGN_COMMA))
            break;
    }
    if (grouping->count > 1)
        qsort(names, grouping->count, sizeof(*names), by_text);
    return logql_needs(p, SIGN_CLOSE_PAREN, "`,` or `)`");
}

static bool parse_grouping(struct logql_parser *p, struct logql_grouping *grouping)
{
    if (grouping->is_present || !(logql_sees_name(p, "by") || logql_sees_name(p, "without")))
        return true;
    grouping->is_without = logql_sees_name(p, "without");
    logql_advance(p);
    return parse_names(p, grouping);
}

static bool needs_duration(struct logql_parser *p, uint64_t *ret_ns)
{
    if (p->token.type != TOKEN_DURATION)
        return logql_unexpected(p, "a duration such as 5m");
    if (p->token.number <= 0 || p->token.number > 366 * 86400.0)
        return logql_refuse(p, &p->token, "a duration must be above 0 and at most 366d: `%.*s`",
                            (int)(p->token.shown.size > 48 ? 48 : p->token.shown.size),
                            p->token.shown.text);
    *ret_ns = (uint64_t)llround(p->token.number * 1e9);
    if (*ret_ns == 0)
        return logql_refuse(p, &p->token, "a duration must be at least 1ns");
    logql_advance(p);
    return true;
}

static bool parse_range(struct logql_parser *p, struct logql_expr *expr)
{
    return logql_takes(p, SIGN_OPEN_BRACKET) && needs_duration(p, &expr->range_ns) &&
           logql_needs(p, SIGN_CLOSE_BRACKET, "`]`");
}

static bool parse_offset(struct logql_parser *p, struct logql_expr *expr)
{
    bool is_negative;
    uint64_t offset;

    if (!logql_sees_name(p, "offset"))
        return true;
    logql_advance(p);
    is_negative = logql_takes(p, SIGN_SUBTRACT);
    if (!needs_duration(p, &offset))
        return false;
    expr->offset_ns = is_negative ? -(int64_t)offset : (int64_t)offset;
    return true;
}

/* `{…} | stages [5m]`, and the same with the range right behind the selector, `{…}[5m] | stages`.
 */
static bool parse_log_range(struct logql_parser *p, struct logql_expr *expr)
{
    unsigned parens = 0;

    while (parens < LOGQL_DEPTH_MAX && logql_takes(p, SIGN_OPEN_PAREN))
        parens++;
    if (!parse_selector(p, &expr->log))
        return false;
    if (logql_sees(p, SIGN_OPEN_BRACKET) && !(parse_range(p, expr) && parse_offset(p, expr)))
        return false;
    if (!logql_parse_stages(p, &expr->log))
        return false;
    while (parens > 0 && logql_takes(p, SIGN_CLOSE_PAREN))
        parens--;
    if (expr->range_ns == 0) {
        if (!logql_sees(p, SIGN_OPEN_BRACKET))
            return logql_unexpected(p, "a range such as [5m]");
        if (!parse_range(p, expr))
            return false;
    }
    if (expr->offset_ns == 0 && !parse_offset(p, expr))
        return false;
    while (parens > 0) {
        if (!logql_needs(p, SIGN_CLOSE_PAREN, "`)`"))
            return false;
        parens--;
    }
    return true;
}

static const struct range_row {
    const char *name;
    bool needs_unwrap, adds;
} RANGE_OPS[] = {
#define ROW(id, name, unwrap, adds) {name, unwrap, adds},
    LOGQL_RANGE_OPS(ROW)
#undef ROW
};
static const char *const VECTOR_OPS[] = {
#define ROW(id, name) name,
    LOGQL_VECTOR_OPS(ROW)
#undef ROW
};

static bool needs_number(struct logql_parser *p, double *ret_number)
{
    bool is_negative = logql_takes(p, SIGN_SUBTRACT);

    if (p->token.type != TOKEN_NUMBER)
        return logql_unexpected(p, "a number");
    *ret_number = is_negative ? -p->token.number : p->token.number;
    logql_advance(p);
    return true;
}

static bool check_range(struct logql_parser *p, const struct logql_token *name,
                        const struct logql_expr *expr)
{
    const struct range_row *row = &RANGE_OPS[expr->range_op];
    bool has_unwrap = expr->log.unwrap.size > 0;

    if (row->needs_unwrap && !has_unwrap)
        return logql_refuse(p, name, "invalid aggregation %s without unwrap", row->name);
    if (has_unwrap && !row->needs_unwrap && expr->range_op != RANGE_RATE)
        return logql_refuse(p, name, "invalid aggregation %s with unwrap", row->name);
    if (expr->grouping.is_present && (!row->needs_unwrap || expr->range_op == RANGE_SUM))
        return logql_refuse(p, name, "grouping not allowed for %s aggregation", row->name);
    return true;
}

static const struct logql_expr *parse_range_op(struct logql_parser *p, enum logql_range_op op)
{
    struct logql_token name = p->token;
    struct logql_expr *expr = new_expr(p, EXPR_RANGE);

    if (!expr)
        return NULL;
    expr->range_op = op;
    logql_advance(p);
    if (!logql_needs(p, SIGN_OPEN_PAREN, "`(`"))
        return NULL;
    if (op == RANGE_QUANTILE &&
        !(needs_number(p, &expr->number) && logql_needs(p, SIGN_COMMA, "`,`")))
        return NULL;
    if (!parse_log_range(p, expr) || !logql_needs(p, SIGN_CLOSE_PAREN, "`)`") ||
        !parse_grouping(p, &expr->grouping) || !check_range(p, &name, expr))
        return NULL;
    return expr;
}

static bool parse_k(struct logql_parser *p, struct logql_expr *expr)
{
    struct logql_token at = p->token;

    if (!needs_number(p, &expr->number))
        return false;
    if (expr->number < 1 || expr->number > 10000 || expr->number != floor(expr->number))
        return logql_refuse(p, &at, "invalid parameter: expected a whole number from 1 to 10000");
    return logql_needs(p, SIGN_COMMA, "`,`");
}

static bool is_log(const struct logql_expr *expr)
{
    return expr->type == EXPR_LOG;
}

static const struct logql_expr *parse_vector_op(struct logql_parser *p, enum logql_vector_op op)
{
    struct logql_expr *expr = new_expr(p, EXPR_VECTOR);
    struct logql_token inner;

    if (!expr)
        return NULL;
    expr->vector_op = op;
    logql_advance(p);
    if (!parse_grouping(p, &expr->grouping) || !logql_needs(p, SIGN_OPEN_PAREN, "`(`"))
        return NULL;
    if ((op == VECTOR_TOPK || op == VECTOR_BOTTOMK) && !parse_k(p, expr))
        return NULL;
    inner = p->token;
    expr->left = parse_expr(p, 0);
    if (!expr->left || !logql_needs(p, SIGN_CLOSE_PAREN, "`)`") ||
        !parse_grouping(p, &expr->grouping))
        return NULL;
    if (is_log(expr->left) || expr->left->type == EXPR_NUMBER) {
        logql_refuse(p, &inner, "%s needs something that computes a vector, such as rate({…}[5m])",
                     VECTOR_OPS[op]);
        return NULL;
    }
    return expr;
}

static const struct logql_expr *parse_number(struct logql_parser *p, bool is_negative)
{
    struct logql_expr *expr = new_expr(p, EXPR_NUMBER);

    if (!expr)
        return NULL;
    if (p->token.type != TOKEN_NUMBER) {
        logql_unexpected(p, "a number");
        return NULL;
    }
    expr->number = is_negative ? -p->token.number : p->token.number;
    logql_advance(p);
    return expr;
}

static const struct logql_expr *parse_constant(struct logql_parser *p)
{
    struct logql_expr *expr = new_expr(p, EXPR_CONSTANT);

    logql_advance(p);
    if (!expr || !logql_needs(p, SIGN_OPEN_PAREN, "`(`") || !needs_number(p, &expr->number) ||
        !logql_needs(p, SIGN_CLOSE_PAREN, "`)`"))
        return NULL;
    return expr;
}

static const struct logql_expr *parse_named(struct logql_parser *p)
{
    int size = p->token.text.size > 48 ? 48 : (int)p->token.text.size;

    for (unsigned i = 0; i < OBS_COUNT(RANGE_OPS); i++)
        if (logql_sees_name(p, RANGE_OPS[i].name))
            return parse_range_op(p, (enum logql_range_op)i);
    for (unsigned i = 0; i < OBS_COUNT(VECTOR_OPS); i++)
        if (logql_sees_name(p, VECTOR_OPS[i]))
            return parse_vector_op(p, (enum logql_vector_op)i);
    if (logql_sees_name(p, "vector"))
        return parse_constant(p);
    logql_refuse(p, &p->token,
                 "syntax error: unexpected `%.*s`: no function that is supported here", size,
                 p->token.text.text);
    return NULL;
}

static const struct logql_expr *parse_primary(struct logql_parser *p)
{
    const struct logql_expr *inner;
    struct logql_expr *expr;

    if (logql_takes(p, SIGN_OPEN_PAREN)) {
        inner = parse_expr(p, 0);
        return inner && logql_needs(p, SIGN_CLOSE_PAREN, "`)`") ? inner : NULL;
    }
    if (logql_takes(p, SIGN_SUBTRACT))
        return parse_number(p, true);
    if (logql_takes(p, SIGN_ADD) || p->token.type == TOKEN_NUMBER)
        return parse_number(p, false);
    if (p->token.type == TOKEN_NAME)
        return parse_named(p);
    expr = new_expr(p, EXPR_LOG);
    if (!expr || !parse_selector(p, &expr->log) || !logql_parse_stages(p, &expr->log))
        return NULL;
    return expr;
}

/* 0: no binary operator. */
static unsigned binary_operator(const struct logql_parser *p, enum logql_binary_op *ret_op)
{
    static const struct {
        enum logql_sign sign;
        enum logql_binary_op op;
        unsigned precedence;
    } SIGNS[] = {{SIGN_POWER, BINARY_POWER, 6},     {SIGN_MULTIPLY, BINARY_MULTIPLY, 5},
                 {SIGN_DIVIDE, BINARY_DIVIDE, 5},   {SIGN_MODULO, BINARY_MODULO, 5},
                 {SIGN_ADD, BINARY_ADD, 4},         {SIGN_SUBTRACT, BINARY_SUBTRACT, 4},
                 {SIGN_EQUAL, BINARY_EQUAL, 3},     {SIGN_NOT_EQUAL, BINARY_NOT_EQUAL, 3},
                 {SIGN_GREATER, BINARY_GREATER, 3}, {SIGN_GREATER_EQUAL, BINARY_GREATER_EQUAL, 3},
                 {SIGN_LESS, BINARY_LESS, 3},       {SIGN_LESS_EQUAL, BINARY_LESS_EQUAL, 3}};
    static const struct {
        const char *name;
        enum logql_binary_op op;
        unsigned precedence;
    } NAMES[] = {{"and", BINARY_AND, 2}, {"unless", BINARY_UNLESS, 2}, {"or", BINARY_OR, 1}};

    for (size_t i = 0; p->token.type == TOKEN_SIGN && i < OBS_COUNT(SIGNS); i++) {
        if (SIGNS[i].sign == p->token.sign) {
            *ret_op = SIGNS[i].op;
            return SIGNS[i].precedence;
        }
    }
    for (size_t i = 0; i < OBS_COUNT(NAMES); i++) {
        if (logql_sees_name(p, NAMES[i].name)) {
            *ret_op = NAMES[i].op;
            return NAMES[i].precedence;
        }
    }
    return 0;
}

static bool parse_modifiers(struct logql_parser *p, struct logql_expr *expr)
{
    if (logql_sees_name(p, "bool")) {
        if (expr->binary_op < BINARY_EQUAL || expr->binary_op > BINARY_LESS_EQUAL)
            return logql_refuse(p, &p->token, "unexpected `bool`: it goes with a comparison");
        expr->is_bool = true;
        logql_advance(p);
    }
    if (logql_sees_name(p, "on") || logql_sees_name(p, "ignoring")) {
        expr->grouping.is_without = logql_sees_name(p, "ignoring");
        logql_advance(p);
        if (!parse_names(p, &expr->grouping))
            return false;
    }
    if (logql_sees_name(p, "group_left") || logql_sees_name(p, "group_right"))
        return logql_refuse(p, &p->token,
                            "unexpected `%.*s`: many-to-one matching is not supported",
                            (int)p->token.text.size, p->token.text.text);
    return true;
}

static bool check_binary(struct logql_parser *p, const struct logql_token *at,
                         const struct logql_expr *expr)
{
    bool has_number = expr->left->type == EXPR_NUMBER || expr->right->type == EXPR_NUMBER;
    bool is_set = expr->binary_op >= BINARY_AND;

    if (is_log(expr->left) || is_log(expr->right))
        return logql_refuse(p, at,
                            "unexpected type for leg of binary operation: a log query; use "
                            "something that computes, such as rate({…}[5m])");
    if (is_set && has_number)
        return logql_refuse(p, at, "unexpected literal for leg of logical/set binary operation");
    if (has_number && expr->grouping.is_present)
        return logql_refuse(p, at, "vector matching only allowed between instant vectors");
    return true;
}

static const struct logql_expr *parse_binary(struct logql_parser *p, unsigned min_precedence)
{
    const struct logql_expr *left = parse_primary(p);
    enum logql_binary_op op = BINARY_ADD;
    unsigned precedence;

    while (left && (precedence = binary_operator(p, &op)) > min_precedence) {
        struct logql_token at = p->token;
        struct logql_expr *expr = new_expr(p, EXPR_BINARY);

        if (!expr)
            return NULL;
        if (++p->stages > LOGQL_STAGES_MAX) {
            logql_refuse(p, &at, "more than %d stages and operators", LOGQL_STAGES_MAX);
            return NULL;
        }
        expr->binary_op = op;
        expr->left = left;
        logql_advance(p);
        if (!parse_modifiers(p, expr))
            return NULL;
        expr->right = parse_expr(p, op == BINARY_POWER ? precedence - 1 : precedence);
        if (!expr->right || !check_binary(p, &at, expr))
            return NULL;
        left = expr;
    }
    return left;
}

static const struct logql_expr *parse_expr(struct logql_parser *p, unsigned min_precedence)
{
    const struct logql_expr *expr;

    if (p->depth == LOGQL_DEPTH_MAX) {
        logql_refuse(p, &p->token, "nested more than %d deep", LOGQL_DEPTH_MAX);
        return NULL;
    }
    p->depth++;
    expr = parse_binary(p, min_precedence);
    p->depth--;
    return expr;
}

/* ---- entries ---- */

static int start(struct logql_parser *p, struct logql_query *query, const char *text, size_t size,
                 struct obs_reason *reterr_reason)
{
    int r;

    *p = (struct logql_parser){.query = query, .reason = reterr_reason};
    if (size > LOGQL_QUERY_MAX) {
        obs_reason_set_at(reterr_reason, 1, LOGQL_QUERY_MAX + 1,
                          "parse error at line 1, col %d: a query may have at most %d bytes",
                          LOGQL_QUERY_MAX + 1, LOGQL_QUERY_MAX);
        return LOGQL_REFUSED;
    }
    r = obs_arena_new(QUERY_MEMORY_MAX, &query->arena);
    if (r < 0)
        return r;
    text = obs_arena_copy(query->arena, text, size);
    if (!text)
        return -ENOMEM;
    logql_lexer_init(&p->lexer, (struct text_view){text, size}, query->arena);
    logql_advance(p);
    return 0;
}

static const struct logql_expr *parse_bare_selector(struct logql_parser *p)
{
    struct logql_expr *expr = new_expr(p, EXPR_LOG);

    return expr && parse_selector(p, &expr->log) ? expr : NULL;
}

static const struct logql_expr *parse_whole(struct logql_parser *p)
{
    const struct logql_expr *expr = parse_expr(p, 0);

    if (expr && is_log(expr) && expr->log.unwrap.size > 0) {
        struct logql_token at = {.line = expr->place.line, .column = expr->place.column};

        logql_refuse(p, &at,
                     "unwrap needs a range aggregation around it, such as "
                     "sum_over_time({…} | unwrap latency [5m])");
        return NULL;
    }
    return expr;
}

static int parse(const char *text, size_t size,
                 const struct logql_expr *(*parse_root)(struct logql_parser *p),
                 struct logql_query **ret_query, struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(logql_query_freep) struct logql_query *query = calloc(1, sizeof(*query));
    struct logql_parser p;
    int r;

    if (!query)
        return -ENOMEM;
    r = start(&p, query, text, size, reterr_reason);
    if (r != 0)
        return r;
    query->root = parse_root(&p);
    if (query->root && p.token.type != TOKEN_END)
        logql_unexpected(&p, "an operator or the end of the query");
    if (p.result != LOGQL_OK || !query->root)
        return p.result != LOGQL_OK ? p.result : -ENOMEM;
    *ret_query = OBS_TAKE(query);
    return LOGQL_OK;
}

int logql_parse(const char *text, size_t size, struct logql_query **ret_query,
                struct obs_reason *reterr_reason)
{
    return parse(text, size, parse_whole, ret_query, reterr_reason);
}

int logql_parse_selector(const char *text, size_t size, struct logql_query **ret_query,
                         struct obs_reason *reterr_reason)
{
    return parse(text, size, parse_bare_selector, ret_query, reterr_reason);
}

/* ---- labels of a pushed stream ---- */

static bool parse_pairs(struct logql_parser *p, struct label *labels, size_t *ret_count)
{
    if (!logql_needs(p, SIGN_OPEN_BRACE, "{"))
        return false;
    while (!logql_sees(p, SIGN_CLOSE_BRACE)) {
        struct label *label = &labels[*ret_count];

        if (*ret_count == LOGQL_STREAM_LABELS_MAX)
            return logql_refuse(p, &p->token, "more than %d labels", LOGQL_STREAM_LABELS_MAX);
        if (!logql_needs_name(p, "a label name or }", &label->name) ||
            !logql_needs(p, SIGN_ASSIGN, "=") || !logql_needs_string(p, &label->value))
            return false;
        (*ret_count)++;
        if (!logql_takes(p, SIGN_COMMA))
            break;
    }
    if (!logql_needs(p, SIGN_CLOSE_BRACE, "`,` or `}`"))
        return false;
    return p->token.type == TOKEN_END || logql_unexpected(p, "nothing behind }");
}

int logql_parse_labels(struct text_view text, struct obs_arena *arena, struct label **ret_labels,
                       size_t *ret_count, struct obs_reason *reterr_reason)
{
    struct logql_query query = {.arena = arena};
    struct logql_parser p = {.query = &query, .reason = reterr_reason};
    struct label *labels = obs_arena_alloc(arena, LOGQL_STREAM_LABELS_MAX * sizeof(*labels));

    *ret_count = 0;
    if (!labels)
        return -ENOMEM;
    if (text.size > LOGQL_QUERY_MAX) {
        obs_reason_set(reterr_reason, "labels of more than %d bytes", LOGQL_QUERY_MAX);
        return LOGQL_REFUSED;
    }
    logql_lexer_init(&p.lexer, text, arena);
    logql_advance(&p);
    if (!parse_pairs(&p, labels, ret_count))
        return p.result;
    *ret_labels = labels;
    return LOGQL_OK;
}
