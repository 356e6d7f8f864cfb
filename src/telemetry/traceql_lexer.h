#pragma once
/* The words of a TraceQL query, each with its place. */
#include "base/arena.h"
#include "base/reason.h"
#include "telemetry/traceql_ast.h"

#define TRACEQL_TOKENS_MAX 2048

enum traceql_token_type {
    TRACEQL_TOKEN_END,
    TRACEQL_TOKEN_OPEN_BRACE,
    TRACEQL_TOKEN_CLOSE_BRACE,
    TRACEQL_TOKEN_OPEN,
    TRACEQL_TOKEN_CLOSE,
    TRACEQL_TOKEN_COMMA,
    TRACEQL_TOKEN_PIPE,
    TRACEQL_TOKEN_OPERATOR,  /* op; is_negated, is_union */
    TRACEQL_TOKEN_ATTRIBUTE, /* scope, value.is.text: its name */
    TRACEQL_TOKEN_NAME,      /* a word: intrinsic, function, ok, true … */
    TRACEQL_TOKEN_VALUE,     /* number, duration or text */
};

struct traceql_token {
    enum traceql_token_type type;
    enum traceql_op op;
    bool is_negated, is_union;
    enum traceql_scope scope;
    struct traceql_value value;
    struct text_view source; /* as it was written */
    unsigned line, column;
};

/* Return: 0 (ret_tokens ends with TRACEQL_TOKEN_END), 1 (refused), -ENOMEM. Tokens borrow @text. */
int traceql_lex(struct text_view text, struct obs_arena *arena, struct traceql_token **ret_tokens,
                size_t *ret_count, struct obs_reason *reterr_reason);
