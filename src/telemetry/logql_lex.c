#include "telemetry/logql_lex.h"
#include "base/text.h"
#include <ctype.h>
#include <math.h>
#include <string.h>

static const struct unit {
    const char *name;
    double factor;
} DURATIONS[] = {{"ns", 1e-9}, {"us", 1e-6},  {"\xc2\xb5s", 1e-6}, {"\xce\xbcs", 1e-6},
                 {"ms", 1e-3}, {"s", 1},      {"m", 60},           {"h", 3600},
                 {"d", 86400}, {"w", 604800}, {"y", 31536000}},
  BYTES[] = {{"b", 1},
             {"kb", 1e3},
             {"mb", 1e6},
             {"gb", 1e9},
             {"tb", 1e12},
             {"pb", 1e15},
             {"kib", 1024},
             {"mib", 1048576},
             {"gib", 1073741824},
             {"tib", 1099511627776.},
             {"pib", 1125899906842624.},
             {"k", 1e3},
             {"m", 1e6},
             {"g", 1e9},
             {"t", 1e12},
             {"p", 1e15},
             {"ki", 1024},
             {"mi", 1048576},
             {"gi", 1073741824},
             {"ti", 1099511627776.},
             {"pi", 1125899906842624.}};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_name_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_name(char c)
{
    return is_name_start(c) || is_digit(c);
}

/* Decimal digits with at most one point; advances. */
static bool read_decimal(const char **at, const char *end, double *ret_value)
{
    double value = 0, scale = 1;
    bool has_digit = false, has_point = false;

    for (; *at < end; (*at)++) {
        if (is_digit(**at)) {
            has_digit = true;
            value = value * 10 + (**at - '0');
            if (has_point)
                scale *= 10;
        } else if (**at == '.' && !has_point) {
            has_point = true;
        } else {
            break;
        }
    }
    *ret_value = value / scale;
    return has_digit;
}

static size_t unit_size(const char *at, const char *end)
{
    const char *start = at;

    while (at < end && (is_name_start(*at) || (*at & 0x80)) && *at != '_')
        at++;
    return (size_t)(at - start);
}

bool logql_read_duration(struct text_view text, double *ret_seconds)
{
    const char *at = text.text, *end = text.text + text.size;
    bool is_negative = false;
    double total = 0;

    if (at < end && (*at == '-' || *at == '+'))
        is_negative = *at++ == '-';
    if (at == end)
        return false;
    while (at < end) {
        double value;
        size_t size, i;

        if (!read_decimal(&at, end, &value))
            return false;
        size = unit_size(at, end);
        for (i = 0; i < OBS_COUNT(DURATIONS); i++)
            if (strlen(DURATIONS[i].name) == size && memcmp(at, DURATIONS[i].name, size) == 0)
                break;
        if (i == OBS_COUNT(DURATIONS)) {
            if (size == 0 && at == end && value == 0 && total == 0)
                break; /* "0" */
            return false;
        }
        total += value * DURATIONS[i].factor;
        at += size;
    }
    *ret_seconds = is_negative ? -total : total;
    return isfinite(total);
}

bool logql_read_bytes(struct text_view text, double *ret_bytes)
{
    const char *at = text.text, *end = text.text + text.size;
    char unit[4] = "";
    size_t size;
    double value;

    if (!read_decimal(&at, end, &value))
        return false;
    while (at < end && *at == ' ')
        at++;
    size = (size_t)(end - at);
    if (size == 0) {
        *ret_bytes = value;
        return true;
    }
    if (size >= sizeof(unit))
        return false;
    for (size_t i = 0; i < size; i++)
        unit[i] = (char)tolower((unsigned char)at[i]);
    for (size_t i = 0; i < OBS_COUNT(BYTES); i++) {
        if (strcmp(BYTES[i].name, unit) == 0) {
            *ret_bytes = value * BYTES[i].factor;
            return true;
        }
    }
    return false;
}

bool logql_read_number(struct text_view text, double *ret_value)
{
    char copy[64];
    char *end = NULL;

    if (text.size == 0 || text.size >= sizeof(copy) || isspace((unsigned char)text.text[0]))
        return false;
    memcpy(copy, text.text, text.size);
    copy[text.size] = '\0';
    if (strpbrk(copy, "xX(") || strlen(copy) != text.size)
        return false; /* hexadecimal and nan(…) are C's, not ours */
    *ret_value = strtod(copy, &end);
    return *end == '\0';
}

void logql_lexer_init(struct logql_lexer *lexer, struct text_view text, struct obs_arena *arena)
{
    *lexer = (struct logql_lexer){.at = text.text,
                                  .end = text.text + text.size,
                                  .counted = text.text,
                                  .line = 1,
                                  .column = 1,
                                  .arena = arena};
}

static void skip_space(struct logql_lexer *lexer)
{
    for (; lexer->at < lexer->end; lexer->at++) {
        if (*lexer->at == '#')
            while (lexer->at + 1 < lexer->end && lexer->at[1] != '\n')
                lexer->at++;
        else if (*lexer->at != '\n' && *lexer->at != ' ' && *lexer->at != '\t' &&
                 *lexer->at != '\r')
            return;
    }
}

static void bad(struct logql_token *token, const char *why)
{
    token->type = TOKEN_BAD;
    token->text = (struct text_view){why, strlen(why)};
}

static bool read_code(const char **at, const char *end, int digits, int base, uint32_t *ret_code)
{
    *ret_code = 0;
    for (int i = 0; i < digits; i++, (*at)++) {
        int value;

        if (*at == end || !isxdigit((unsigned char)**at))
            return false;
        value = is_digit(**at) ? **at - '0' : (**at | 0x20) - 'a' + 10;
        if (value >= base)
            return false;
        *ret_code = *ret_code * (uint32_t)base + (uint32_t)value;
    }
    return true;
}

/* After the backslash. */
static bool read_escape(const char **at, const char *end, char *out, size_t *used)
{
    static const char FROM[] = "abfnrtv\\\"'", TO[] = "\a\b\f\n\r\t\v\\\"'";
    const char *found;
    uint32_t code;
    char c = **at;

    found = strchr(FROM, c);
    if (c && found) {
        out[(*used)++] = TO[found - FROM];
        (*at)++;
        return true;
    }
    if (c == 'x' || (c >= '0' && c <= '3')) {
        *at += c == 'x';
        if (!read_code(at, end, c == 'x' ? 2 : 3, c == 'x' ? 16 : 8, &code))
            return false;
        out[(*used)++] = (char)code;
        return true;
    }
    if (c != 'u' && c != 'U')
        return false;
    (*at)++;
    if (!read_code(at, end, c == 'u' ? 4 : 8, 16, &code) || code > 0x10ffff ||
        (code >= 0xd800 && code <= 0xdfff))
        return false;
    *used += obs_text_put_utf8(code, out + *used);
    return true;
}

static void lex_quoted(struct logql_lexer *lexer, struct logql_token *token)
{
    const char *at = lexer->at + 1, *end = lexer->end;
    size_t used = 0;
    char *out;

    for (end = at; end < lexer->end && *end != '"' && *end != '\n'; end++)
        if (*end == '\\' && end + 1 < lexer->end)
            end++;
    if (end < lexer->end)
        end++; /* with the quote */
    out = obs_arena_alloc(lexer->arena, (size_t)(end - at) + 1);
    lexer->at = end; /* when it is not closed there is nothing after it */
    if (!out) {
        bad(token, "query too large");
        return;
    }
    while (at < end && *at != '"') {
        if (*at == '\n')
            break;
        if (*at != '\\') {
            out[used++] = *at++;
        } else {
            at++;
            if (at == end)
                break;
            if (!read_escape(&at, end, out, &used)) {
                bad(token, "invalid escape in string");
                return;
            }
        }
    }
    if (at == end || *at != '"') {
        bad(token, "literal not terminated");
        return;
    }
    lexer->at = at + 1;
    token->type = TOKEN_STRING;
    token->text = (struct text_view){out, used};
}

static void lex_raw(struct logql_lexer *lexer, struct logql_token *token)
{
    const char *start = lexer->at + 1;
    const char *close = memchr(start, '`', (size_t)(lexer->end - start));

    if (!close) {
        lexer->at = lexer->end;
        bad(token, "literal not terminated");
        return;
    }
    token->type = TOKEN_STRING;
    token->text = (struct text_view){start, (size_t)(close - start)};
    lexer->at = close + 1;
}

/* Digits, with what hangs on them: 5, 1.5e3, 0x…: refused, 5m, 1h30m, 2KB. */
static void lex_number(struct logql_lexer *lexer, struct logql_token *token)
{
    const char *at = lexer->at;
    struct text_view all;

    while (at < lexer->end &&
           (is_name(*at) || *at == '.' || (*at & 0x80) ||
            ((*at == '+' || *at == '-') && at > lexer->at && (at[-1] | 0x20) == 'e' &&
             at + 1 < lexer->end && is_digit(at[1]) && is_digit(lexer->at[0]))))
        at++;
    all = (struct text_view){lexer->at, (size_t)(at - lexer->at)};
    token->text = all;
    lexer->at = at;
    if (logql_read_number(all, &token->number))
        token->type = TOKEN_NUMBER;
    else if (logql_read_duration(all, &token->number))
        token->type = TOKEN_DURATION;
    else if (logql_read_bytes(all, &token->number))
        token->type = TOKEN_BYTES;
    else
        bad(token, "not a number, a duration or a size");
}

static void lex_sign(struct logql_lexer *lexer, struct logql_token *token)
{
    static const struct {
        char text[3];
        enum logql_sign sign;
    } SIGNS[] = {/* the longer first */
                 {"==", SIGN_EQUAL},        {"!=", SIGN_NOT_EQUAL},  {"=~", SIGN_FITS},
                 {"!~", SIGN_NOT_FITS},     {"<=", SIGN_LESS_EQUAL}, {">=", SIGN_GREATER_EQUAL},
                 {"|=", SIGN_PIPE_HAS},     {"|~", SIGN_PIPE_FITS},  {"|>", SIGN_PIPE_PATTERN},
                 {"!>", SIGN_NOT_PATTERN},  {"{", SIGN_OPEN_BRACE},  {"}", SIGN_CLOSE_BRACE},
                 {"(", SIGN_OPEN_PAREN},    {")", SIGN_CLOSE_PAREN}, {"[", SIGN_OPEN_BRACKET},
                 {"]", SIGN_CLOSE_BRACKET}, {",", SIGN_COMMA},       {".", SIGN_DOT},
                 {"=", SIGN_ASSIGN},        {"<", SIGN_LESS},        {">", SIGN_GREATER},
                 {"|", SIGN_PIPE},          {"+", SIGN_ADD},         {"-", SIGN_SUBTRACT},
                 {"*", SIGN_MULTIPLY},      {"/", SIGN_DIVIDE},      {"%", SIGN_MODULO},
                 {"^", SIGN_POWER}};

    for (size_t i = 0; i < OBS_COUNT(SIGNS); i++) {
        size_t size = strlen(SIGNS[i].text);

        if ((size_t)(lexer->end - lexer->at) >= size &&
            memcmp(lexer->at, SIGNS[i].text, size) == 0) {
            token->type = TOKEN_SIGN;
            token->sign = SIGNS[i].sign;
            token->text = (struct text_view){lexer->at, size};
            lexer->at += size;
            return;
        }
    }
    {
        size_t size = obs_text_utf8_length(lexer->at, (size_t)(lexer->end - lexer->at));

        lexer->at += size > 0 ? size : 1;
    }
    bad(token, "unexpected character");
}

static void lex_flag(struct logql_lexer *lexer, struct logql_token *token)
{
    const char *start = lexer->at + 2;

    lexer->at = start;
    while (lexer->at < lexer->end && (is_name(*lexer->at) || *lexer->at == '-'))
        lexer->at++;
    token->type = TOKEN_FLAG;
    token->text = (struct text_view){start, (size_t)(lexer->at - start)};
}

static void count_columns(struct logql_lexer *lexer)
{
    for (; lexer->counted < lexer->at; lexer->counted++) {
        if (*lexer->counted == '\n') {
            lexer->line++;
            lexer->column = 1;
        } else {
            lexer->column += (*lexer->counted & 0xc0) != 0x80;
        }
    }
}

void logql_lexer_next(struct logql_lexer *lexer, struct logql_token *ret_token)
{
    const char *start;

    skip_space(lexer);
    start = lexer->at;
    count_columns(lexer);
    *ret_token = (struct logql_token){.line = lexer->line, .column = lexer->column};
    if (start == lexer->end)
        return;
    if (is_name_start(*start)) {
        while (lexer->at < lexer->end && is_name(*lexer->at))
            lexer->at++;
        ret_token->type = TOKEN_NAME;
        ret_token->text = (struct text_view){start, (size_t)(lexer->at - start)};
    } else if (*start == '"') {
        lex_quoted(lexer, ret_token);
    } else if (*start == '`') {
        lex_raw(lexer, ret_token);
    } else if (is_digit(*start) ||
               (*start == '.' && start + 1 < lexer->end && is_digit(start[1]))) {
        lex_number(lexer, ret_token);
    } else if (*start == '-' && start + 2 < lexer->end && start[1] == '-' &&
               is_name_start(start[2])) {
        lex_flag(lexer, ret_token);
    } else {
        lex_sign(lexer, ret_token);
    }
    ret_token->shown = (struct text_view){start, (size_t)(lexer->at - start)};
}
