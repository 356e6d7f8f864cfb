#include "telemetry/logql_template.h"
#include "base/cleanup.h"
#include "telemetry/logql.h"
#include "telemetry/logql_labels.h"
#include "telemetry/logql_lex.h"
#include <errno.h>
#include <string.h>

enum { ARGUMENTS_MAX = 4, PARTS_MAX = 256, COMMANDS_MAX = 16 };

enum argument_type { ARGUMENT_TEXT, ARGUMENT_NUMBER, ARGUMENT_LABEL, ARGUMENT_LINE };

struct argument {
    enum argument_type type;
    struct text_view text;
    double number;
};

/* Columns: name, arguments, of which the last is the value (piped, or written last), run. */
#define TEMPLATE_FUNCTIONS(ROW)                                                                    \
    ROW("ToUpper", 1, run_upper)                                                                   \
    ROW("upper", 1, run_upper)                                                                     \
    ROW("ToLower", 1, run_lower)                                                                   \
    ROW("lower", 1, run_lower)                                                                     \
    ROW("TrimSpace", 1, run_trim)                                                                  \
    ROW("trim", 1, run_trim)                                                                       \
    ROW("trunc", 2, run_trunc)                                                                     \
    ROW("default", 2, run_default)                                                                 \
    ROW("trimPrefix", 2, run_trim_prefix)                                                          \
    ROW("trimSuffix", 2, run_trim_suffix)                                                          \
    ROW("replace", 3, run_replace)

/* @arguments[n] are texts; the number of ARGUMENT_NUMBER is beside them. false: arena full. */
typedef bool run_function(const struct argument *arguments, struct obs_arena *arena,
                          struct text_view *ret_text);

struct function {
    const char *name;
    unsigned arguments;
    run_function *run;
};

struct command { /* one step of a pipeline: a function, or (function NULL) its only argument */
    const struct function *function;
    struct argument arguments[ARGUMENTS_MAX];
    unsigned count;
    const struct command *next;
};

struct logql_template {
    struct text_view literal; /* before the pipeline */
    const struct command *commands;
    const struct logql_template *next;
};

/* ---- functions ---- */

static bool map_case(const struct argument *arguments, struct obs_arena *arena, char first,
                     char last, struct text_view *ret_text)
{
    struct text_view text = arguments[0].text;
    char *out = obs_arena_alloc(arena, text.size + 1);

    if (!out)
        return false;
    for (size_t i = 0; i < text.size; i++)
        out[i] = text.text[i] >= first && text.text[i] <= last ? (char)(text.text[i] ^ 0x20)
                                                               : text.text[i];
    *ret_text = (struct text_view){out, text.size};
    return true;
}

static bool run_upper(const struct argument *arguments, struct obs_arena *arena,
                      struct text_view *ret_text)
{
    return map_case(arguments, arena, 'a', 'z', ret_text);
}

static bool run_lower(const struct argument *arguments, struct obs_arena *arena,
                      struct text_view *ret_text)
{
    return map_case(arguments, arena, 'A', 'Z', ret_text);
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool run_trim(const struct argument *arguments, struct obs_arena *arena,
                     struct text_view *ret_text)
{
    struct text_view text = arguments[0].text;

    for (; text.size > 0 && is_space(text.text[0]); text.text++)
        text.size--;
    while (text.size > 0 && is_space(text.text[text.size - 1]))
        text.size--;
    *ret_text = text;
    return true;
}

/* trunc 5: the first five bytes; trunc -5: the last five. */
static bool run_trunc(const struct argument *arguments, struct obs_arena *arena,
                      struct text_view *ret_text)
{
    struct text_view text = arguments[1].text;
    double number = arguments[0].number;
    double kept = number < 0 ? -number : number;

    *ret_text = text;
    if (kept < (double)text.size) {
        ret_text->size = (size_t)kept;
        if (number < 0)
            ret_text->text += text.size - ret_text->size;
    }
    return true;
}

static bool run_default(const struct argument *arguments, struct obs_arena *arena,
                        struct text_view *ret_text)
{
    *ret_text = arguments[1].text.size > 0 ? arguments[1].text : arguments[0].text;
    return true;
}

static bool run_trim_prefix(const struct argument *arguments, struct obs_arena *arena,
                            struct text_view *ret_text)
{
    struct text_view part = arguments[0].text, text = arguments[1].text;

    *ret_text = text;
    if (part.size > 0 && part.size <= text.size && memcmp(text.text, part.text, part.size) == 0)
        *ret_text = (struct text_view){text.text + part.size, text.size - part.size};
    return true;
}

static bool run_trim_suffix(const struct argument *arguments, struct obs_arena *arena,
                            struct text_view *ret_text)
{
    struct text_view part = arguments[0].text, text = arguments[1].text;

    *ret_text = text;
    if (part.size > 0 && part.size <= text.size &&
        memcmp(text.text + text.size - part.size, part.text, part.size) == 0)
        ret_text->size -= part.size;
    return true;
}

static bool run_replace(const struct argument *arguments, struct obs_arena *arena,
                        struct text_view *ret_text)
{
    struct text_view from = arguments[0].text, to = arguments[1].text, text = arguments[2].text;
    const char *at = text.text, *end = text.text + text.size, *found;
    size_t count = 0, used = 0;
    char *out;

    *ret_text = text;
    if (from.size == 0 || text.size == 0)
        return true;
    for (found = at; (found = memmem(found, (size_t)(end - found), from.text, from.size));
         found += from.size)
        count++;
    out = obs_arena_alloc(arena, text.size + count * to.size + 1);
    if (!out)
        return false;
    while ((found = memmem(at, (size_t)(end - at), from.text, from.size))) {
        memcpy(out + used, at, (size_t)(found - at));
        used += (size_t)(found - at);
        if (to.size > 0)
            memcpy(out + used, to.text, to.size);
        used += to.size;
        at = found + from.size;
    }
    memcpy(out + used, at, (size_t)(end - at));
    *ret_text = (struct text_view){out, used + (size_t)(end - at)};
    return true;
}

static const struct function FUNCTIONS[] = {
#define ROW(name, arguments, run) {name, arguments, run},
    TEMPLATE_FUNCTIONS(ROW)
#undef ROW
};

/* ---- parsing ---- */

struct template_parser {
    struct logql_lexer lexer;
    struct logql_token token;
    struct obs_arena *arena;
    struct obs_reason *reason;
    size_t at; /* where the action begins in the template */
};

static bool refuse(struct template_parser *p, const char *why)
{
    int size = p->token.shown.size > 40 ? 40 : (int)p->token.shown.size;

    if (p->token.type == TOKEN_END)
        obs_reason_set(p->reason, "unexpected end of {{ }}: %s", why);
    else
        obs_reason_set(p->reason, "unexpected `%.*s` in {{ }}: %s", size, p->token.shown.text, why);
    return false;
}

static bool parse_argument(struct template_parser *p, struct argument *argument)
{
    bool is_negative = p->token.type == TOKEN_SIGN && p->token.sign == SIGN_SUBTRACT;

    if (is_negative)
        logql_lexer_next(&p->lexer, &p->token);
    if (p->token.type == TOKEN_NUMBER) {
        argument->type = ARGUMENT_NUMBER;
        argument->number = is_negative ? -p->token.number : p->token.number;
        argument->text = p->token.text;
    } else if (is_negative) {
        return refuse(p, "expected a number");
    } else if (p->token.type == TOKEN_STRING) {
        argument->type = ARGUMENT_TEXT;
        argument->text = p->token.text;
    } else if (p->token.type == TOKEN_NAME && text_is(p->token.text, "__line__")) {
        argument->type = ARGUMENT_LINE;
    } else if (p->token.type == TOKEN_SIGN && p->token.sign == SIGN_DOT) {
        logql_lexer_next(&p->lexer, &p->token);
        if (p->token.type != TOKEN_NAME)
            return refuse(p, "expected a label name after the point");
        argument->type = ARGUMENT_LABEL;
        argument->text = p->token.text;
    } else {
        return refuse(p, "expected .label, a string, a number, __line__ or a function of "
                         "docs/logql.md");
    }
    logql_lexer_next(&p->lexer, &p->token);
    return true;
}

static const struct function *find_function(const struct logql_token *token)
{
    for (size_t i = 0; token->type == TOKEN_NAME && i < OBS_COUNT(FUNCTIONS); i++)
        if (text_is(token->text, FUNCTIONS[i].name))
            return &FUNCTIONS[i];
    return NULL;
}

static bool ends_command(const struct logql_token *token)
{
    return token->type == TOKEN_END || (token->type == TOKEN_SIGN && token->sign == SIGN_PIPE);
}

static bool parse_command(struct template_parser *p, bool is_piped, struct command *command)
{
    unsigned wanted = 1;

    command->function = find_function(&p->token);
    if (command->function) {
        wanted = command->function->arguments - is_piped;
        logql_lexer_next(&p->lexer, &p->token);
    } else if (is_piped) {
        return refuse(p, "expected a function of docs/logql.md");
    }
    while (!ends_command(&p->token)) {
        if (command->count == wanted)
            return refuse(p, "one argument too many");
        if (!parse_argument(p, &command->arguments[command->count++]))
            return false;
    }
    if (command->count < wanted)
        return refuse(p, "an argument is missing");
    if (command->function && command->function->run == run_trunc &&
        command->arguments[0].type != ARGUMENT_NUMBER)
        return refuse(p, "trunc needs a number");
    return true;
}

static bool parse_action(struct template_parser *p, struct logql_template *part, int *ret_error)
{
    const struct command **next = &part->commands;
    unsigned count = 0;

    logql_lexer_next(&p->lexer, &p->token);
    for (;;) {
        struct command *command = obs_arena_alloc(p->arena, sizeof(*command));

        if (!command) {
            *ret_error = -ENOMEM;
            return false;
        }
        if (count == COMMANDS_MAX)
            return refuse(p, "more than 16 steps");
        if (!parse_command(p, count++ > 0, command))
            return false;
        *next = command;
        next = (const struct command **)&command->next;
        if (p->token.type == TOKEN_END)
            return true;
        logql_lexer_next(&p->lexer, &p->token); /* | */
    }
}

int logql_template_parse(struct text_view text, struct obs_arena *arena,
                         const struct logql_template **ret_template,
                         struct obs_reason *reterr_reason)
{
    const char *at = text.text, *end = text.text + text.size;
    const struct logql_template *first = NULL, **next = &first;
    int error = LOGQL_REFUSED;

    for (unsigned parts = 0; parts == 0 || at < end; parts++) {
        struct logql_template *part = obs_arena_alloc(arena, sizeof(*part));
        const char *open = memmem(at, (size_t)(end - at), "{{", 2), *close = NULL;
        struct template_parser p = {.arena = arena, .reason = reterr_reason};

        if (!part)
            return -ENOMEM;
        if (parts == PARTS_MAX) {
            obs_reason_set(reterr_reason, "more than %d {{ }}", PARTS_MAX);
            return LOGQL_REFUSED;
        }
        part->literal = (struct text_view){at, (size_t)((open ? open : end) - at)};
        if (open) {
            close = memmem(open + 2, (size_t)(end - open - 2), "}}", 2);
            if (!close) {
                obs_reason_set(reterr_reason, "unclosed {{ at byte %zu",
                               (size_t)(open - text.text) + 1);
                return LOGQL_REFUSED;
            }
            logql_lexer_init(&p.lexer, (struct text_view){open + 2, (size_t)(close - open - 2)},
                             arena);
            if (!parse_action(&p, part, &error))
                return error;
        }
        *next = part;
        next = (const struct logql_template **)&part->next;
        at = close ? close + 2 : end;
    }
    *ret_template = first;
    return LOGQL_OK;
}

/* ---- running ---- */

static struct argument resolve(const struct argument *argument, const struct logql_labels *labels,
                               struct text_view line)
{
    struct argument out = *argument;

    if (argument->type == ARGUMENT_LABEL)
        out.text = logql_labels_get(labels, argument->text);
    else if (argument->type == ARGUMENT_LINE)
        out.text = line;
    return out;
}

static bool run_commands(const struct command *command, const struct logql_labels *labels,
                         struct text_view line, struct obs_arena *arena, struct text_view *ret_text)
{
    struct text_view value = {"", 0};

    for (; command; command = command->next) {
        struct argument arguments[ARGUMENTS_MAX] = {0};

        for (unsigned i = 0; i < command->count; i++)
            arguments[i] = resolve(&command->arguments[i], labels, line);
        if (!command->function) {
            value = arguments[0].text;
            continue;
        }
        if (command->count < command->function->arguments)
            arguments[command->count].text = value; /* piped: the last argument */
        if (!command->function->run(arguments, arena, &value))
            return false;
    }
    *ret_text = value;
    return true;
}

bool logql_template_run(const struct logql_template *template, const struct logql_labels *labels,
                        struct text_view line, struct obs_arena *arena, struct text_view *ret_text)
{
    struct text_view values[PARTS_MAX];
    const struct logql_template *part;
    size_t size = 0, used = 0, i = 0;
    char *out;

    for (part = template; part; part = part->next, i++) {
        if (!run_commands(part->commands, labels, line, arena, &values[i]))
            return false;
        size += part->literal.size + values[i].size;
    }
    out = obs_arena_alloc(arena, size + 1);
    if (!out)
        return false;
    for (part = template, i = 0; part; part = part->next, i++) {
        if (part->literal.size > 0)
            memcpy(out + used, part->literal.text, part->literal.size);
        used += part->literal.size;
        if (values[i].size > 0)
            memcpy(out + used, values[i].text, values[i].size);
        used += values[i].size;
    }
    *ret_text = (struct text_view){out, used};
    return true;
}
