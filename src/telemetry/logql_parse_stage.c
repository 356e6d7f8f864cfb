/* LogQL's pipelines: what stands between a selector and its end. */
#include "telemetry/logql_parser.h"
#include "telemetry/logql_template.h"
#include <string.h>

enum { FILTER_DEPTH_MAX = 64 };

/* ---- line filters ---- */

static bool parse_needle(struct logql_parser *p, struct logql_stage *stage,
                         struct logql_needle *needle)
{
    struct logql_token value = p->token;

    if (logql_sees_name(p, "ip"))
        return logql_refuse(p, &value, "unexpected `ip`: IP filters are not supported");
    if (!logql_needs_string(p, &needle->text))
        return false;
    if (stage->line_op != LINE_FITS && stage->line_op != LINE_FITS_NOT)
        return true;
    return logql_add_regex(p, &value, REGEX_SEARCH, &needle->regex);
}

static bool parse_line_filter(struct logql_parser *p, struct logql_stage *stage,
                              enum logql_line_op op)
{
    const struct logql_needle **next = &stage->needles;

    stage->type = STAGE_LINE_FILTER;
    stage->line_op = op;
    do {
        struct logql_needle *needle;

        logql_advance(p); /* the operator, or `or` */
        needle = logql_alloc(p, sizeof(*needle));
        if (!needle || !parse_needle(p, stage, needle))
            return false;
        *next = needle;
        next = (const struct logql_needle **)&needle->next;
    } while (logql_sees_name(p, "or"));
    return true;
}

/* ---- label filters ---- */

static const struct logql_filter *parse_filter(struct logql_parser *p);

static bool read_compare(struct logql_parser *p, enum logql_compare *ret_compare)
{
    static const struct {
        enum logql_sign sign;
        enum logql_compare compare;
    } SIGNS[] = {{SIGN_ASSIGN, IS_EQUAL},
                 {SIGN_EQUAL, IS_EQUAL},
                 {SIGN_NOT_EQUAL, IS_NOT_EQUAL},
                 {SIGN_LESS, IS_LESS},
                 {SIGN_LESS_EQUAL, IS_LESS_EQUAL},
                 {SIGN_GREATER, IS_GREATER},
                 {SIGN_GREATER_EQUAL, IS_GREATER_EQUAL}};

    for (size_t i = 0; p->token.type == TOKEN_SIGN && i < OBS_COUNT(SIGNS); i++) {
        if (SIGNS[i].sign == p->token.sign) {
            *ret_compare = SIGNS[i].compare;
            return true;
        }
    }
    return logql_unexpected(p, "one of = != =~ !~ == > >= < <=");
}

static bool parse_value(struct logql_parser *p, struct logql_filter *filter)
{
    bool is_negative = logql_takes(p, SIGN_SUBTRACT);

    filter->type = FILTER_VALUE;
    if (p->token.type == TOKEN_NUMBER)
        filter->unit = UNIT_NUMBER;
    else if (p->token.type == TOKEN_DURATION)
        filter->unit = UNIT_DURATION;
    else if (p->token.type == TOKEN_BYTES)
        filter->unit = UNIT_BYTES;
    else if (logql_sees_name(p, "ip"))
        return logql_refuse(p, &p->token, "unexpected `ip`: IP filters are not supported");
    else
        return logql_unexpected(p, "a string, a number, a duration or a size");
    filter->value = is_negative ? -p->token.number : p->token.number;
    logql_advance(p);
    return true;
}

static const struct logql_filter *parse_comparison(struct logql_parser *p)
{
    struct logql_filter *filter = logql_alloc(p, sizeof(*filter));
    struct logql_token operator;

    if (!filter || !logql_needs_name(p, "a label name", &filter->text.name))
        return NULL;
    operator= p->token;
    if (logql_sees(p, SIGN_FITS) || logql_sees(p, SIGN_NOT_FITS))
        return logql_parse_matcher(p, &filter->text) ? filter : NULL;
    if (!read_compare(p, &filter->compare))
        return NULL;
    logql_advance(p);
    if (p->token.type != TOKEN_STRING)
        return parse_value(p, filter) ? filter : NULL;
    if (operator.sign != SIGN_ASSIGN && operator.sign != SIGN_NOT_EQUAL) {
        logql_unexpected(p, "a number, a duration or a size after this operator");
        return NULL;
    }
    filter->text.op = filter->compare == IS_EQUAL ? MATCH_EQUAL : MATCH_NOT_EQUAL;
    filter->text.value = p->token.text;
    logql_advance(p);
    return filter;
}

static const struct logql_filter *parse_filter_primary(struct logql_parser *p)
{
    const struct logql_filter *inner;

    if (!logql_takes(p, SIGN_OPEN_PAREN))
        return parse_comparison(p);
    inner = parse_filter(p);
    return inner && logql_needs(p, SIGN_CLOSE_PAREN, "`)`") ? inner : NULL;
}

static const struct logql_filter *join(struct logql_parser *p, enum logql_filter_type type,
                                       const struct logql_filter *left,
                                       const struct logql_filter *right)
{
    struct logql_filter *filter = right ? logql_alloc(p, sizeof(*filter)) : NULL;

    if (!filter)
        return NULL;
    if (++p->stages > LOGQL_STAGES_MAX) {
        logql_refuse(p, &p->token, "more than %d stages and operators", LOGQL_STAGES_MAX);
        return NULL;
    }
    filter->type = type;
    filter->left = left;
    filter->right = right;
    return filter;
}

/* `and`, a comma, or just another comparison behind this one. */
static const struct logql_filter *parse_filter_and(struct logql_parser *p)
{
    const struct logql_filter *left = parse_filter_primary(p);

    while (left) {
        if (logql_sees_name(p, "and") || logql_sees(p, SIGN_COMMA))
            logql_advance(p);
        else if (p->token.type != TOKEN_NAME || logql_sees_name(p, "or") ||
                 logql_sees_name(p, "offset"))
            break;
        left = join(p, FILTER_AND, left, parse_filter_primary(p));
    }
    return left;
}

static const struct logql_filter *parse_filter(struct logql_parser *p)
{
    const struct logql_filter *left;

    if (p->depth == FILTER_DEPTH_MAX) {
        logql_refuse(p, &p->token, "nested more than %d deep", FILTER_DEPTH_MAX);
        return NULL;
    }
    p->depth++;
    left = parse_filter_and(p);
    while (left && logql_sees_name(p, "or")) {
        logql_advance(p);
        left = join(p, FILTER_OR, left, parse_filter_and(p));
    }
    p->depth--;
    return left;
}

static bool parse_label_filter(struct logql_parser *p, struct logql_stage *stage)
{
    stage->type = STAGE_LABEL_FILTER;
    stage->filter = parse_filter(p);
    return stage->filter != NULL;
}

/* ---- parsers ---- */

/* One step of `a.b["c"][0]`; false also at the end. */
static bool read_path_step(struct logql_parser *p, const struct logql_token *at, const char **text,
                           const char *end, struct logql_json_step *step)
{
    const char *start;

    if (**text == '[') {
        start = ++*text;
        if (start < end && *start == '"') {
            start = ++*text;
            while (*text < end && **text != '"')
                ++*text;
            step->key = (struct text_view){start, (size_t)(*text - start)};
            *text += *text < end;
        } else {
            step->is_index = true;
            for (; *text < end && **text >= '0' && **text <= '9' && step->index < 1000000; ++*text)
                step->index = step->index * 10 + (unsigned)(**text - '0');
            if (*text == start)
                return logql_refuse(p, at, "invalid JSON path: expected an index or a key in []");
        }
        if (*text == end || **text != ']')
            return logql_refuse(p, at, "invalid JSON path: `]` is missing");
        ++*text;
        return true;
    }
    start = *text;
    while (*text < end && **text != '.' && **text != '[')
        ++*text;
    step->key = (struct text_view){start, (size_t)(*text - start)};
    return step->key.size > 0 || logql_refuse(p, at, "invalid JSON path: a field has no name");
}

static bool read_path(struct logql_parser *p, const struct logql_token *at,
                      struct logql_extraction *extraction)
{
    const struct logql_json_step **next = &extraction->path;
    const char *text = extraction->key.text, *end = text + extraction->key.size;

    if (text == end)
        return logql_refuse(p, at, "invalid JSON path: it is empty");
    while (text < end) {
        struct logql_json_step *step = logql_alloc(p, sizeof(*step));

        if (!step || !read_path_step(p, at, &text, end, step))
            return false;
        *next = step;
        next = (const struct logql_json_step **)&step->next;
        if (text < end && *text == '.' && ++text == end)
            return logql_refuse(p, at, "invalid JSON path: it ends with a point");
    }
    return true;
}

static bool parse_extractions(struct logql_parser *p, struct logql_stage *stage)
{
    const struct logql_extraction **next = &stage->extractions;

    while (p->token.type == TOKEN_FLAG) {
        if (stage->type == STAGE_LOGFMT && text_is(p->token.text, "strict"))
            stage->is_strict = true;
        else
            return logql_unexpected(p, "a name (of flags there is --strict of logfmt)");
        logql_advance(p);
    }
    while (p->token.type == TOKEN_NAME && !logql_sees_name(p, "offset")) {
        struct logql_extraction *extraction = logql_alloc(p, sizeof(*extraction));
        struct logql_token at = p->token;

        if (!extraction)
            return false;
        extraction->name = extraction->key = p->token.text;
        logql_advance(p);
        if (logql_takes(p, SIGN_ASSIGN)) {
            at = p->token;
            if (!logql_needs_string(p, &extraction->key))
                return false;
        }
        if (stage->type == STAGE_JSON && !read_path(p, &at, extraction))
            return false;
        if (++p->stages > LOGQL_STAGES_MAX)
            return logql_refuse(p, &at, "more than %d stages and operators", LOGQL_STAGES_MAX);
        *next = extraction;
        next = (const struct logql_extraction **)&extraction->next;
        if (!logql_takes(p, SIGN_COMMA))
            break;
    }
    return true;
}

static bool parse_regexp(struct logql_parser *p, struct logql_stage *stage)
{
    struct logql_token at = p->token;
    struct text_view pattern;
    unsigned named = 0;

    if (!logql_needs_string(p, &pattern) || !logql_add_regex(p, &at, REGEX_SEARCH, &stage->regex))
        return false;
    for (unsigned i = 1; i <= regex_group_count(stage->regex); i++) {
        const char *name = regex_group_name(stage->regex, i);

        named += *name != '\0';
        if (*name && !logql_is_label_name((struct text_view){name, strlen(name)}))
            return logql_refuse(p, &at, "invalid extracted label name '%s'", name);
    }
    return named > 0 || logql_refuse(p, &at, "at least one named capture must be supplied");
}

/* `<name>` at @text; otherwise NULL. */
static const char *capture_end(const char *text, const char *end, struct text_view *ret_name)
{
    const char *close;

    if (*text != '<')
        return NULL;
    close = memchr(text, '>', (size_t)(end - text));
    if (!close)
        return NULL;
    *ret_name = (struct text_view){text + 1, (size_t)(close - text - 1)};
    return logql_is_label_name(*ret_name) ? close + 1 : NULL;
}

static bool has_capture(const struct logql_pattern_part *parts, struct text_view name)
{
    for (; parts; parts = parts->next)
        if (parts->is_capture && parts->text.size == name.size &&
            memcmp(parts->text.text, name.text, name.size) == 0)
            return true;
    return false;
}

static bool parse_pattern(struct logql_parser *p, struct logql_stage *stage)
{
    struct logql_token at = p->token;
    const struct logql_pattern_part **next = &stage->pattern;
    struct logql_pattern_part *last = NULL;
    struct text_view pattern;
    unsigned named = 0;

    if (!logql_needs_string(p, &pattern))
        return false;
    for (const char *text = pattern.text, *end = text + pattern.size; text < end;) {
        struct text_view name;
        const char *after = capture_end(text, end, &name);

        if (!after && last && !last->is_capture) {
            last->text.size++;
            text++;
            continue;
        }
        if (after && last && last->is_capture)
            return logql_refuse(p, &at,
                                "found consecutive capture '<%.*s>' in pattern: put "
                                "something between them",
                                (int)name.size, name.text);
        if (after && !text_is(name, "_")) {
            if (has_capture(stage->pattern, name))
                return logql_refuse(p, &at, "duplicate capture name (%.*s) in pattern",
                                    (int)(name.size > 48 ? 48 : name.size), name.text);
            named++;
        }
        last = logql_alloc(p, sizeof(*last));
        if (!last)
            return false;
        last->is_capture = after != NULL;
        last->text = after ? name : (struct text_view){text, 1};
        if (after && text_is(name, "_"))
            last->text.size = 0;
        text = after ? after : text + 1;
        *next = last;
        next = (const struct logql_pattern_part **)&last->next;
    }
    return named > 0 || logql_refuse(p, &at, "at least one named capture must be supplied");
}

/* ---- formats, drop and keep ---- */

static bool parse_template(struct logql_parser *p, const struct logql_template **ret_template)
{
    struct logql_token at = p->token;
    struct obs_reason why = {0};
    struct text_view text;
    int r;

    if (!logql_needs_string(p, &text))
        return false;
    r = logql_template_parse(text, p->query->arena, ret_template, &why);
    if (r < 0)
        return logql_out_of_memory(p);
    return r == LOGQL_OK || logql_refuse(p, &at, "invalid template: %s", why.text);
}

static bool parse_assignments(struct logql_parser *p, struct logql_stage *stage)
{
    const struct logql_assignment **next = &stage->assignments;

    do {
        struct logql_assignment *assignment = logql_alloc(p, sizeof(*assignment));
        struct logql_token at = p->token;

        if (!assignment || !logql_needs_name(p, "a label name", &assignment->name) ||
            !logql_needs(p, SIGN_ASSIGN, "`=`"))
            return false;
        for (const struct logql_assignment *a = stage->assignments; a; a = a->next)
            if (a->name.size == assignment->name.size &&
                memcmp(a->name.text, assignment->name.text, a->name.size) == 0)
                return logql_refuse(p, &at,
                                    "multiple label name '%.*s' not allowed in a single "
                                    "format operation",
                                    (int)(a->name.size > 48 ? 48 : a->name.size), a->name.text);
        if (text_is(assignment->name, "__error__"))
            return logql_refuse(p, &at, "__error__ cannot be formatted");
        if (p->token.type == TOKEN_STRING
                ? !parse_template(p, &assignment->template)
                : !logql_needs_name(p, "a label name or a string", &assignment->source))
            return false;
        if (++p->stages > LOGQL_STAGES_MAX)
            return logql_refuse(p, &at, "more than %d stages and operators", LOGQL_STAGES_MAX);
        *next = assignment;
        next = (const struct logql_assignment **)&assignment->next;
    } while (logql_takes(p, SIGN_COMMA));
    return true;
}

static bool parse_choices(struct logql_parser *p, struct logql_stage *stage)
{
    const struct logql_choice **next = &stage->choices;

    do {
        struct logql_choice *choice = logql_alloc(p, sizeof(*choice));

        if (!choice || !logql_needs_name(p, "a label name", &choice->matcher.name))
            return false;
        choice->has_matcher = logql_sees(p, SIGN_ASSIGN) || logql_sees(p, SIGN_NOT_EQUAL) ||
                              logql_sees(p, SIGN_FITS) || logql_sees(p, SIGN_NOT_FITS);
        if (choice->has_matcher && !logql_parse_matcher(p, &choice->matcher))
            return false;
        if (++p->stages > LOGQL_STAGES_MAX)
            return logql_refuse(p, &p->token, "more than %d stages and operators",
                                LOGQL_STAGES_MAX);
        *next = choice;
        next = (const struct logql_choice **)&choice->next;
    } while (logql_takes(p, SIGN_COMMA));
    return true;
}

/* ---- stages ---- */

static bool parse_json(struct logql_parser *p, struct logql_stage *stage)
{
    return parse_extractions(p, stage);
}

static bool parse_line_format(struct logql_parser *p, struct logql_stage *stage)
{
    return parse_template(p, &stage->template);
}

static const struct stage_row {
    const char *name;
    enum logql_stage_type type;
    bool (*parse)(struct logql_parser *p, struct logql_stage *stage);
} STAGES[] = {
    {"json", STAGE_JSON, parse_json},
    {"logfmt", STAGE_LOGFMT, parse_json},
    {"regexp", STAGE_REGEXP, parse_regexp},
    {"pattern", STAGE_PATTERN, parse_pattern},
    {"line_format", STAGE_LINE_FORMAT, parse_line_format},
    {"label_format", STAGE_LABEL_FORMAT, parse_assignments},
    {"drop", STAGE_DROP, parse_choices},
    {"keep", STAGE_KEEP, parse_choices},
};

/* A label may be called as a stage is: `| json = "x"`. */
static bool is_comparison(const struct logql_parser *p)
{
    struct logql_lexer ahead = p->lexer;
    struct logql_token token;

    logql_lexer_next(&ahead, &token);
    return token.type == TOKEN_SIGN &&
           (token.sign >= SIGN_ASSIGN && token.sign <= SIGN_GREATER_EQUAL);
}

static bool parse_named_stage(struct logql_parser *p, struct logql_stage *stage)
{
    static const char *const UNSUPPORTED[] = {"unpack", "decolorize", "distinct"};

    if (is_comparison(p) || p->token.type != TOKEN_NAME)
        return parse_label_filter(p, stage);
    for (size_t i = 0; i < OBS_COUNT(UNSUPPORTED); i++)
        if (logql_sees_name(p, UNSUPPORTED[i]))
            return logql_refuse(p, &p->token, "unexpected `%s`: this stage is not supported",
                                UNSUPPORTED[i]);
    for (size_t i = 0; i < OBS_COUNT(STAGES); i++) {
        if (logql_sees_name(p, STAGES[i].name)) {
            stage->type = STAGES[i].type;
            logql_advance(p);
            return STAGES[i].parse(p, stage);
        }
    }
    return parse_label_filter(p, stage);
}

static bool parse_unwrap(struct logql_parser *p, struct logql_log *log)
{
    struct logql_token at;

    if (log->unwrap.size > 0)
        return logql_refuse(p, &p->token, "unexpected `unwrap`: there can be one");
    logql_advance(p);
    at = p->token;
    if (!logql_needs_name(p, "a label name", &log->unwrap))
        return false;
    if (!logql_takes(p, SIGN_OPEN_PAREN))
        return true;
    if (text_is(log->unwrap, "duration") || text_is(log->unwrap, "duration_seconds"))
        log->conversion = CONVERT_DURATION;
    else if (text_is(log->unwrap, "bytes"))
        log->conversion = CONVERT_BYTES;
    else
        return logql_refuse(p, &at,
                            "unexpected `%.*s`: conversions are duration(), "
                            "duration_seconds() and bytes()",
                            (int)(at.text.size > 48 ? 48 : at.text.size), at.text.text);
    return logql_needs_name(p, "a label name", &log->unwrap) &&
           logql_needs(p, SIGN_CLOSE_PAREN, "`)`");
}

static bool line_operator(const struct logql_parser *p, enum logql_line_op *ret_op)
{
    if (p->token.type != TOKEN_SIGN)
        return false;
    switch (p->token.sign) {
    case SIGN_PIPE_HAS:
        *ret_op = LINE_HAS;
        return true;
    case SIGN_PIPE_FITS:
        *ret_op = LINE_FITS;
        return true;
    case SIGN_NOT_EQUAL:
        *ret_op = LINE_HAS_NOT;
        return true;
    case SIGN_NOT_FITS:
        *ret_op = LINE_FITS_NOT;
        return true;
    default:
        return false;
    }
}

static bool parse_stage(struct logql_parser *p, struct logql_log *log, struct logql_stage *stage)
{
    enum logql_line_op op;

    if (line_operator(p, &op))
        return log->unwrap.size == 0 ? parse_line_filter(p, stage, op)
                                     : logql_unexpected(p, "a label filter after unwrap");
    logql_advance(p); /* | */
    if (log->unwrap.size > 0)
        return parse_label_filter(p, stage);
    return parse_named_stage(p, stage);
}

static bool is_unwrap(const struct logql_parser *p)
{
    struct logql_lexer ahead = p->lexer;
    struct logql_token token;

    if (!logql_sees(p, SIGN_PIPE))
        return false;
    logql_lexer_next(&ahead, &token);
    return token.type == TOKEN_NAME && text_is(token.text, "unwrap");
}

bool logql_parse_stages(struct logql_parser *p, struct logql_log *log)
{
    const struct logql_stage **next = &log->stages;
    enum logql_line_op op;

    for (;;) {
        struct logql_stage *stage;

        if (logql_sees(p, SIGN_PIPE_PATTERN) || logql_sees(p, SIGN_NOT_PATTERN))
            return logql_refuse(p, &p->token,
                                "unexpected `%.*s`: pattern line filters are not supported",
                                (int)p->token.shown.size, p->token.shown.text);
        if (is_unwrap(p)) {
            logql_advance(p);
            if (!parse_unwrap(p, log))
                return false;
            next = &log->after_unwrap;
            continue;
        }
        if (!logql_sees(p, SIGN_PIPE) && !line_operator(p, &op))
            return true;
        if (++p->stages > LOGQL_STAGES_MAX)
            return logql_refuse(p, &p->token, "more than %d stages and operators",
                                LOGQL_STAGES_MAX);
        stage = logql_alloc(p, sizeof(*stage));
        if (!stage || !parse_stage(p, log, stage))
            return false;
        *next = stage;
        next = &stage->next;
    }
}
