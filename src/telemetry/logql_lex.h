#pragma once
/* LogQL's tokens. Strings are unquoted, durations and byte sizes are read to numbers. */
#include "base/arena.h"
#include "base/reason.h"
#include "telemetry/model.h"

enum logql_token_type {
    TOKEN_END,
    TOKEN_NAME,
    TOKEN_STRING,
    TOKEN_NUMBER,
    TOKEN_DURATION, /* number: seconds */
    TOKEN_BYTES,    /* number: bytes */
    TOKEN_FLAG,     /* --strict: text is without the dashes */
    TOKEN_SIGN,     /* sign: one of LOGQL_SIGNS */
    TOKEN_BAD,      /* text: what is wrong with it */
};

enum logql_sign {
    SIGN_NONE,
    SIGN_OPEN_BRACE,
    SIGN_CLOSE_BRACE,
    SIGN_OPEN_PAREN,
    SIGN_CLOSE_PAREN,
    SIGN_OPEN_BRACKET,
    SIGN_CLOSE_BRACKET,
    SIGN_COMMA,
    SIGN_DOT,
    SIGN_ASSIGN,    /* = */
    SIGN_EQUAL,     /* == */
    SIGN_NOT_EQUAL, /* != */
    SIGN_FITS,      /* =~ */
    SIGN_NOT_FITS,  /* !~ */
    SIGN_LESS,
    SIGN_LESS_EQUAL,
    SIGN_GREATER,
    SIGN_GREATER_EQUAL,
    SIGN_PIPE,         /* | */
    SIGN_PIPE_HAS,     /* |= */
    SIGN_PIPE_FITS,    /* |~ */
    SIGN_PIPE_PATTERN, /* |> */
    SIGN_NOT_PATTERN,  /* !> */
    SIGN_ADD,
    SIGN_SUBTRACT,
    SIGN_MULTIPLY,
    SIGN_DIVIDE,
    SIGN_MODULO,
    SIGN_POWER,
};

struct logql_token {
    enum logql_token_type type;
    enum logql_sign sign;
    struct text_view text;  /* unquoted string, name; else as written */
    struct text_view shown; /* as written, for what a person reads */
    double number;
    unsigned line, column; /* of its first character, 1-based; columns count characters */
};

struct logql_lexer {
    const char *at, *end;
    const char *counted; /* columns are counted up to here */
    unsigned line, column;
    struct obs_arena *arena;
};

void logql_lexer_init(struct logql_lexer *lexer, struct text_view text, struct obs_arena *arena);
void logql_lexer_next(struct logql_lexer *lexer, struct logql_token *ret_token);

/* "1h30m", "1.5s", "250ms", "2d", "1w", "1y" to seconds; "2KB", "1.5MiB" to bytes. The whole text.
 */
bool logql_read_duration(struct text_view text, double *ret_seconds);
bool logql_read_bytes(struct text_view text, double *ret_bytes);
/* A Go float: "1", "-0.5", "1e3", "Inf". The whole text. */
bool logql_read_number(struct text_view text, double *ret_value);
static inline bool text_is(struct text_view a, const char *b)
{
    size_t i = 0;

    while (i < a.size && b[i] && a.text[i] == b[i])
        i++;
    return i == a.size && b[i] == '\0';
}
