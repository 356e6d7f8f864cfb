/* logfmt, pattern and regexp; json is in logql_json.c. */
#include "telemetry/logql_extract.h"
#include "telemetry/logql.h"
#include <string.h>

bool logql_extract_name(struct text_view name, struct obs_arena *arena, struct text_view *ret_name)
{
    bool has_digit = name.size > 0 && name.text[0] >= '0' && name.text[0] <= '9';
    char *out;

    *ret_name = name;
    if (logql_is_label_name(name))
        return true;
    out = obs_arena_alloc(arena, name.size + 2);
    if (!out)
        return false;
    if (has_digit)
        out[0] = '_';
    for (size_t i = 0; i < name.size; i++) {
        struct text_view one = {name.text + i, 1};
        char c = name.text[i];

        out[i + has_digit] = logql_is_label_name(one) || (c >= '0' && c <= '9') ? c : '_';
    }
    *ret_name = (struct text_view){out, name.size + has_digit};
    return true;
}

bool logql_extract_add(struct logql_labels *labels, struct text_view name, struct text_view value,
                       struct obs_arena *arena)
{
    if (name.size == 0 || value.size == 0)
        return true;
    if (logql_labels_in_stream(labels, name)) {
        char *longer = obs_arena_printf(arena, "%.*s_extracted", (int)name.size, name.text);

        if (!longer)
            return false;
        name = (struct text_view){longer, strlen(longer)};
    }
    return logql_labels_set(labels, name, value, LABEL_PARSED);
}

/* ---- logfmt ---- */

enum logfmt_step { LOGFMT_PAIR, LOGFMT_END, LOGFMT_BAD };

struct logfmt {
    const char *at, *end;
    struct obs_arena *arena;
    const char *why;
};

static bool ends_word(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool logfmt_quoted(struct logfmt *f, struct text_view *ret_value)
{
    const char *start = ++f->at;
    bool has_escape = false;
    size_t used = 0;
    char *out;

    while (f->at < f->end && *f->at != '"') {
        if (*f->at == '\\' && f->at + 1 < f->end) {
            has_escape = true;
            f->at++;
        }
        f->at++;
    }
    if (f->at >= f->end) {
        f->at = f->end;
        f->why = "unterminated quoted value";
        return false;
    }
    *ret_value = (struct text_view){start, (size_t)(f->at - start)};
    f->at++;
    if (!has_escape)
        return true;
    out = obs_arena_alloc(f->arena, ret_value->size + 1);
    if (!out) {
        f->why = "line too large";
        return false;
    }
    for (const char *c = start; c < start + ret_value->size; c++) {
        if (*c == '\\') {
            c++;
            out[used++] = (char)(*c == 'n' ? '\n' : *c == 't' ? '\t' : *c == 'r' ? '\r' : *c);
        } else {
            out[used++] = *c;
        }
    }
    *ret_value = (struct text_view){out, used};
    return true;
}

static enum logfmt_step logfmt_next(struct logfmt *f, struct text_view *ret_key,
                                    struct text_view *ret_value)
{
    const char *start;

    while (f->at < f->end && (unsigned char)*f->at <= ' ')
        f->at++;
    if (f->at == f->end)
        return LOGFMT_END;
    start = f->at;
    while (f->at < f->end && (unsigned char)*f->at > ' ' && *f->at != '=' && *f->at != '"')
        f->at++;
    *ret_key = (struct text_view){start, (size_t)(f->at - start)};
    *ret_value = (struct text_view){"", 0};
    if (ret_key->size == 0 || (f->at < f->end && *f->at == '"')) {
        while (f->at < f->end && !ends_word(*f->at))
            f->at++;
        f->why = ret_key->size == 0 ? "a value without a key" : "unexpected '\"' in a key";
        return LOGFMT_BAD;
    }
    if (f->at == f->end || *f->at != '=')
        return LOGFMT_PAIR;
    f->at++;
    if (f->at < f->end && *f->at == '"')
        return logfmt_quoted(f, ret_value) ? LOGFMT_PAIR : LOGFMT_BAD;
    start = f->at;
    while (f->at < f->end && (unsigned char)*f->at > ' ')
        f->at++;
    *ret_value = (struct text_view){start, (size_t)(f->at - start)};
    return LOGFMT_PAIR;
}

static bool logfmt_take(const struct logql_stage *stage, struct text_view key,
                        struct text_view value, struct logql_labels *labels,
                        struct obs_arena *arena)
{
    struct text_view name;

    if (!stage->extractions)
        return logql_extract_name(key, arena, &name) &&
               logql_extract_add(labels, name, value, arena);
    for (const struct logql_extraction *e = stage->extractions; e; e = e->next)
        if (text_equal(e->key, key) && !logql_extract_add(labels, e->name, value, arena))
            return false;
    return true;
}

void logql_extract_logfmt(const struct logql_stage *stage, struct text_view line,
                          struct logql_labels *labels, struct obs_arena *arena)
{
    struct logfmt f = {.at = line.text, .end = line.text + line.size, .arena = arena};
    struct text_view key, value;
    enum logfmt_step step;

    while ((step = logfmt_next(&f, &key, &value)) != LOGFMT_END) {
        if (step == LOGFMT_BAD && stage->is_strict) {
            logql_labels_fail(labels, "LogfmtParserErr", f.why);
            return;
        }
        if (step == LOGFMT_PAIR && !logfmt_take(stage, key, value, labels, arena)) {
            logql_labels_fail(labels, "LogfmtParserErr", "too many fields");
            return;
        }
    }
}

/* ---- pattern ---- */

void logql_extract_pattern(const struct logql_stage *stage, struct text_view line,
                           struct logql_labels *labels, struct obs_arena *arena)
{
    const struct logql_pattern_part *part = stage->pattern;

    if (part && !part->is_capture) {
        if (line.size < part->text.size || memcmp(line.text, part->text.text, part->text.size) != 0)
            return;
        line.text += part->text.size;
        line.size -= part->text.size;
        part = part->next;
    }
    while (part) { /* a capture, and the text that ends it */
        const struct logql_pattern_part *after = part->next;
        struct text_view value = line;
        const char *found = NULL;

        if (after) {
            found = memmem(line.text, line.size, after->text.text, after->text.size);
            if (found)
                value.size = (size_t)(found - line.text);
        }
        if (part->text.size > 0 && !logql_extract_add(labels, part->text, value, arena)) {
            logql_labels_fail(labels, "PatternParserErr", "too many fields");
            return;
        }
        if (!found)
            return; /* the rest of the line was this capture */
        line.size -= value.size + after->text.size;
        line.text = found + after->text.size;
        part = after->next;
    }
}

/* ---- regexp ---- */

void logql_extract_regexp(const struct logql_stage *stage, struct text_view line,
                          struct logql_labels *labels, struct obs_arena *arena)
{
    if (!regex_matches(stage->regex, line))
        return;
    for (unsigned i = 1; i <= regex_group_count(stage->regex); i++) {
        const char *name = regex_group_name(stage->regex, i);

        if (*name && !logql_extract_add(labels, (struct text_view){name, strlen(name)},
                                        regex_group(stage->regex, line, i), arena)) {
            logql_labels_fail(labels, "RegexpParserErr", "too many fields");
            return;
        }
    }
}
