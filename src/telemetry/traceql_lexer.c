#include "telemetry/traceql_lexer.h"

#include "base/text.h"
#include <errno.h>
#include <string.h>

struct lexer {
    const char *at, *end;
    unsigned line, column;
    char *out; /* decoded text: never more than the query has left */
    struct obs_reason *why;
};

/* Longest first. */
static const struct {
    const char *text;
    enum traceql_token_type type;
    enum traceql_op op;
    bool is_negated, is_union;
} SIGNS[] = {
    {"!>>", TRACEQL_TOKEN_OPERATOR, TRACEQL_OP_DESCENDANT, true, false},
    {"!<<", TRACEQL_TOKEN_OPERATOR, TRACEQL_OP_ANCESTOR, true, false},
    {"&>>", TRACEQL_TOKEN_OPERATOR, TRACEQL_OP_DESCENDANT, false, true},
    {"&<<", TRACEQL_TOKEN_OPERATOR, TRACEQL_OP_ANCESTOR, false, true},
    {">>", TRACEQL_TOKEN_OPERATOR, TRACEQL_OP_DESCENDANT, false, false},
    {"<<", TRACEQL_TOKEN_OPERATOR, TRACEQL_OP_ANCESTOR, false, false},
    {"!>", TRACEQL_TOKEN_OPERATOR, TRACEQL_OP_CHILD, true, false},
    {"!<", TRACEQL_TOKEN_OPERATOR, TRACEQL_OP_PARENT, true, false},
    {"&>", TRACEQL_TOKEN_OPERATOR, TRACEQL_OP_CHILD, false, true},
    {"&<", TRACEQL_TOKEN_OPERATOR, TRACEQL_OP_PARENT, false, true},
    {"&~", TRACEQL_TOKEN_OPERATOR, TRACEQL_OP_SIBLING, false, true},
    {"&&", TRACEQL_TOKEN_OPERATOR, TRACEQL_OP_AND, false, false},
    {"||", TRACEQL_TOKEN_OPERATOR, TRACEQL_OP_OR, false, false},
    {"=~", TRACEQL_TOKEN_OPERATOR, TRACEQL_OP_REGEX, false, false},
    {"!~", TRACEQL_TOKEN_OPERATOR, TRACEQL_OP_NOT_REGEX, false, false},
    {"!=", TRACEQL_TOKEN_OPERATOR, TRACEQL_OP_NOT_EQUAL, false, false},
    {"<=", TRACEQL_TOKEN_OPERATOR, TRACEQL_OP_LESS_EQUAL, false, false},
    {">=", TRACEQL_TOKEN_OPERATOR, TRACEQL_OP_GREATER_EQUAL, false, false},
    {"=", TRACEQL_TOKEN_OPERATOR, TRACEQL_OP_EQUAL, false, false},
    {"<", TRACEQL_TOKEN_OPERATOR, TRACEQL_OP_LESS, false, false},
    {">", TRACEQL_TOKEN_OPERATOR, TRACEQL_OP_GREATER, false, false},
    {"~", TRACEQL_TOKEN_OPERATOR, TRACEQL_OP_SIBLING, false, false},
    {"!", TRACEQL_TOKEN_OPERATOR, TRACEQL_OP_NOT, false, false},
    {"+", TRACEQL_TOKEN_OPERATOR, TRACEQL_OP_ADD, false, false},
    {"-", TRACEQL_TOKEN_OPERATOR, TRACEQL_OP_SUBTRACT, false, false},
    {"*", TRACEQL_TOKEN_OPERATOR, TRACEQL_OP_MULTIPLY, false, false},
    {"/", TRACEQL_TOKEN_OPERATOR, TRACEQL_OP_DIVIDE, false, false},
    {"%", TRACEQL_TOKEN_OPERATOR, TRACEQL_OP_MODULO, false, false},
    {"^", TRACEQL_TOKEN_OPERATOR, TRACEQL_OP_POWER, false, false},
    {"{", TRACEQL_TOKEN_OPEN_BRACE, TRACEQL_OP_NONE, false, false},
    {"}", TRACEQL_TOKEN_CLOSE_BRACE, TRACEQL_OP_NONE, false, false},
    {"(", TRACEQL_TOKEN_OPEN, TRACEQL_OP_NONE, false, false},
    {")", TRACEQL_TOKEN_CLOSE, TRACEQL_OP_NONE, false, false},
    {",", TRACEQL_TOKEN_COMMA, TRACEQL_OP_NONE, false, false},
    {"|", TRACEQL_TOKEN_PIPE, TRACEQL_OP_NONE, false, false},
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_word_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_word(char c)
{
    return is_word_start(c) || is_digit(c) || c == ':';
}

/* An attribute's name goes on until a character that can only be something else. */
static bool is_attribute(char c)
{
    return c != '\0' && !is_space(c) && !strchr("{}()=~!<>&|^,\"`", c);
}

static void step(struct lexer *l)
{
    unsigned char c = (unsigned char)*l->at++;

    if (c == '\n') {
        l->line++;
        l->column = 1;
    } else if ((c & 0xc0) != 0x80) { /* columns are characters */
        l->column++;
    }
}

static void skip(struct lexer *l, size_t size)
{
    while (size-- > 0)
        step(l);
}

static void skip_blank(struct lexer *l)
{
    while (l->at < l->end) {
        if (is_space(*l->at)) {
            step(l);
        } else if (l->end - l->at >= 2 && l->at[0] == '/' && l->at[1] == '/') {
            while (l->at < l->end && *l->at != '\n')
                step(l);
        } else {
            return;
        }
    }
}

static int refuse(struct lexer *l, const struct traceql_token *token, const char *what)
{
    obs_reason_set_at(l->why, token->line, token->column, "%s", what);
    return 1;
}

static char escaped(char c)
{
    switch (c) {
    case 'n':
        return '\n';
    case 't':
        return '\t';
    case 'r':
        return '\r';
    case '"':
    case '\\':
        return c;
    default:
        return '\0';
    }
}

/* From the opening quote on, into @out; the text's end comes after the closing one. */
static int quoted(struct lexer *l, const struct traceql_token *token, char *out, size_t *size)
{
    char quote = *l->at;

    step(l);
    while (l->at < l->end && *l->at != quote) {
        char c = *l->at;

        if (c == '\\' && quote == '"') {
            struct traceql_token here = {.line = l->line, .column = l->column};

            step(l);
            c = l->at < l->end ? escaped(*l->at) : '\0';
            if (c == '\0')
                return refuse(l, &here,
                              "unknown escape: \\\" \\\\ \\n \\t \\r are known (write a "
                              "regular expression's \\d as \\\\d)");
        }
        out[(*size)++] = c;
        step(l);
    }
    if (l->at == l->end)
        return refuse(l, token, "text without its closing quote");
    step(l);
    return 0;
}

static int lex_text(struct lexer *l, struct traceql_token *token)
{
    char *out = l->out;
    size_t size = 0;
    int r = quoted(l, token, out, &size);

    if (r != 0)
        return r;
    if (!obs_text_is_utf8(out, size))
        return refuse(l, token, "text that is not UTF-8");
    token->type = TRACEQL_TOKEN_VALUE;
    token->value.type = TRACEQL_STRING;
    token->value.is.text = (struct text_view){out, size};
    l->out += size;
    return 0;
}

/* After the scope and its point. */
static int lex_attribute(struct lexer *l, struct traceql_token *token, enum traceql_scope scope)
{
    char *out = l->out;
    size_t size = 0;
    int r = 0;

    while (r == 0 && l->at < l->end && (is_attribute(*l->at) || *l->at == '"')) {
        if (*l->at == '"') {
            r = quoted(l, token, out, &size);
        } else {
            out[size++] = *l->at;
            step(l);
        }
    }
    if (r != 0)
        return r;
    if (size == 0)
        return refuse(l, token, "expected an attribute's name after \".\"");
    token->type = TRACEQL_TOKEN_ATTRIBUTE;
    token->scope = scope;
    token->value.is.text = (struct text_view){out, size};
    l->out += size;
    return 0;
}

static int lex_word(struct lexer *l, struct traceql_token *token)
{
    const char *start = l->at;
    struct text_view word = {.text = start};

    while (l->at < l->end && is_word(*l->at))
        step(l);
    word.size = (size_t)(l->at - start);
    token->type = TRACEQL_TOKEN_NAME;
    if (l->at == l->end || *l->at != '.')
        return 0;
    step(l);
    if (text_view_equal(word, text_view_of("span")))
        return lex_attribute(l, token, TRACEQL_SCOPE_SPAN);
    if (text_view_equal(word, text_view_of("resource")))
        return lex_attribute(l, token, TRACEQL_SCOPE_RESOURCE);
    obs_reason_set_at(l->why, token->line, token->column,
                      "scope \"%.*s.\" is not supported: span. and resource. are",
                      (int)(word.size > 40 ? 40 : word.size), word.text);
    return 1;
}

static size_t unit_of(const char *at, const char *end, double *ret_ns)
{
    static const struct {
        const char *text;
        double ns;
    } UNITS[] = {{"ns", 1},  {"us", 1e3}, {"\xc2\xb5s", 1e3}, {"ms", 1e6},
                 {"s", 1e9}, {"m", 6e10}, {"h", 3.6e12}};

    for (size_t i = 0; i < sizeof(UNITS) / sizeof(UNITS[0]); i++) {
        size_t size = strlen(UNITS[i].text);

        if ((size_t)(end - at) >= size && memcmp(at, UNITS[i].text, size) == 0) {
            *ret_ns = UNITS[i].ns;
            return size;
        }
    }
    return 0;
}

/* Digits, and perhaps a point, digits and an exponent. */
static size_t number_size(const char *at, const char *end, bool *ret_is_whole)
{
    const char *p = at;

    *ret_is_whole = true;
    while (p < end && is_digit(*p))
        p++;
    if (end - p >= 2 && *p == '.' && is_digit(p[1])) {
        *ret_is_whole = false;
        for (p++; p < end && is_digit(*p);)
            p++;
    }
    if (end - p >= 2 && (*p == 'e' || *p == 'E')) {
        const char *e = p + 1;

        if (end - e >= 2 && (*e == '-' || *e == '+'))
            e++;
        if (is_digit(*e)) {
            *ret_is_whole = false;
            for (p = e; p < end && is_digit(*p);)
                p++;
        }
    }
    return (size_t)(p - at);
}

/* `1h30m`: what follows the first number and unit. */
static int lex_duration(struct lexer *l, struct traceql_token *token, double first, double unit)
{
    double ns = first * unit;

    while (l->at < l->end && is_digit(*l->at)) {
        bool is_whole;
        size_t size = number_size(l->at, l->end, &is_whole);
        double number, next_unit;
        size_t unit_size = unit_of(l->at + size, l->end, &next_unit);

        if (unit_size == 0 || next_unit >= unit ||
            obs_text_parse_number(l->at, size, &number) != OBS_TEXT_OK)
            return refuse(l, token, "bad duration: write it as 100ms, 1.5s or 1h30m");
        ns += number * next_unit;
        unit = next_unit;
        skip(l, size + unit_size);
    }
    if (!(ns < 9.2e18))
        return refuse(l, token, "duration too long");
    token->value =
        (struct traceql_value){.type = TRACEQL_DURATION, .is.integer = (int64_t)(ns + 0.5)};
    return 0;
}

static int lex_number(struct lexer *l, struct traceql_token *token)
{
    bool is_whole;
    size_t size = number_size(l->at, l->end, &is_whole), unit_size;
    struct text_view text = {l->at, size};
    double number = 0, unit = 0;
    uint64_t whole = 0;
    int r;

    token->type = TRACEQL_TOKEN_VALUE;
    while (text.size > 1 && text.text[0] == '0' && is_digit(text.text[1])) /* JSON has no 007 */
        text.text++, text.size--;
    r = obs_text_parse_number(text.text, text.size, &number);
    if (r != OBS_TEXT_OK)
        return refuse(l, token, "number out of range");
    unit_size = unit_of(l->at + size, l->end, &unit);
    skip(l, size + unit_size);
    if (unit_size > 0) {
        r = lex_duration(l, token, number, unit);
        if (r != 0)
            return r;
    } else if (is_whole) {
        if (obs_text_parse_u64(text.text, text.size, INT64_MAX, &whole) != OBS_TEXT_OK)
            return refuse(l, token, "whole number out of range");
        token->value = (struct traceql_value){.type = TRACEQL_INT, .is.integer = (int64_t)whole};
    } else {
        token->value = (struct traceql_value){.type = TRACEQL_FLOAT, .is.number = number};
    }
    if (l->at < l->end && (is_word(*l->at) || *l->at == '.'))
        return refuse(l, token, "number runs into a word");
    return 0;
}

static int lex_sign(struct lexer *l, struct traceql_token *token)
{
    unsigned char c = (unsigned char)*l->at;

    for (size_t i = 0; i < sizeof(SIGNS) / sizeof(SIGNS[0]); i++) {
        size_t size = strlen(SIGNS[i].text);

        if ((size_t)(l->end - l->at) < size || memcmp(l->at, SIGNS[i].text, size) != 0)
            continue;
        token->type = SIGNS[i].type;
        token->op = SIGNS[i].op;
        token->is_negated = SIGNS[i].is_negated;
        token->is_union = SIGNS[i].is_union;
        skip(l, size);
        return 0;
    }
    if (c > ' ' && c < 0x7f)
        obs_reason_set_at(l->why, token->line, token->column, "unexpected character \"%c\"", c);
    else
        obs_reason_set_at(l->why, token->line, token->column, "unexpected byte 0x%02x", c);
    return 1;
}

static int lex_one(struct lexer *l, struct traceql_token *token)
{
    char c = *l->at;

    if (c == '"' || c == '`')
        return lex_text(l, token);
    if (c == '.') {
        step(l);
        return lex_attribute(l, token, TRACEQL_SCOPE_NONE);
    }
    if (is_digit(c))
        return lex_number(l, token);
    if (is_word_start(c))
        return lex_word(l, token);
    return lex_sign(l, token);
}

int traceql_lex(struct text_view text, struct obs_arena *arena, struct traceql_token **ret_tokens,
                size_t *ret_count, struct obs_reason *reterr_reason)
{
    struct lexer l = {.at = text.text,
                      .end = text.text + text.size,
                      .line = 1,
                      .column = 1,
                      .out = obs_arena_alloc(arena, text.size + 1),
                      .why = reterr_reason};
    size_t room = (text.size < TRACEQL_TOKENS_MAX ? text.size : TRACEQL_TOKENS_MAX) + 1, count = 0;
    struct traceql_token *tokens = obs_arena_alloc(arena, room * sizeof(*tokens));

    if (!tokens || !l.out)
        return -ENOMEM;
    for (;;) {
        struct traceql_token *token = &tokens[count];
        int r;

        skip_blank(&l);
        *token =
            (struct traceql_token){.line = l.line, .column = l.column, .source = {.text = l.at}};
        if (l.at == l.end)
            break;
        if (++count == room) {
            obs_reason_set_at(reterr_reason, l.line, l.column, "query of more than %d words",
                              TRACEQL_TOKENS_MAX);
            return 1;
        }
        r = lex_one(&l, token);
        if (r != 0)
            return r;
        token->source.size = (size_t)(l.at - token->source.text);
    }
    *ret_tokens = tokens;
    *ret_count = count + 1;
    return 0;
}
