#pragma once
/* The parser's own state, shared by logql_parse.c (selectors, numbers) and logql_parse_stage.c. */
#include "telemetry/logql.h"
#include "telemetry/logql_ast.h"
#include "telemetry/logql_lex.h"

enum { LOGQL_DEPTH_MAX = 64, LOGQL_STAGES_MAX = 128, LOGQL_REGEXES_MAX = 128 };

struct logql_parser {
    struct logql_lexer lexer;
    struct logql_token token; /* the one not yet taken */
    struct logql_query *query;
    struct obs_reason *reason;
    unsigned depth, stages;
    int result; /* LOGQL_OK until something is wrong: then every step returns at once */
};

/* Each answers false and sets parser->result; the first refusal is kept. */
bool logql_refuse(struct logql_parser *p, const struct logql_token *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool logql_unexpected(struct logql_parser *p, const char *expected); /* about the current token */
bool logql_out_of_memory(struct logql_parser *p);

void logql_advance(struct logql_parser *p);
static inline bool logql_sees(const struct logql_parser *p, enum logql_sign sign)
{
    return p->token.type == TOKEN_SIGN && p->token.sign == sign;
}
static inline bool logql_sees_name(const struct logql_parser *p, const char *name)
{
    return p->token.type == TOKEN_NAME && text_is(p->token.text, name);
}
bool logql_takes(struct logql_parser *p, enum logql_sign sign); /* takes it when it is there */
bool logql_needs(struct logql_parser *p, enum logql_sign sign, const char *shown);
bool logql_needs_name(struct logql_parser *p, const char *what, struct text_view *ret_name);
bool logql_needs_string(struct logql_parser *p, struct text_view *ret_text);
void *logql_alloc(struct logql_parser *p, size_t size); /* NULL: refused */
/* The pattern is @token's; refusals are at its place. */
bool logql_add_regex(struct logql_parser *p, const struct logql_token *token, enum regex_form form,
                     const struct regex **ret_regex);
bool logql_parse_matcher(struct logql_parser *p, struct logql_matcher *ret_matcher);
/* Everything after the selector up to what is no stage; `| unwrap` included. */
bool logql_parse_stages(struct logql_parser *p, struct logql_log *log);
