/*
 * `| json`: one pass over the line without a tree. Everything: objects are flattened with `_`,
 * arrays are left out. With parameters: only those paths; an object or array answers as its JSON
 * text.
 */
#include "base/text.h"
#include "telemetry/logql_extract.h"
#include <string.h>

enum { JSON_DEPTH_MAX = 64, JSON_KEY_MAX = 1024 };

struct reader {
    const char *at, *end;
    struct obs_arena *arena;
    struct logql_labels *labels;
    unsigned depth;
    const char *why;
    char key[JSON_KEY_MAX]; /* the flattened name so far */
};

static bool fail(struct reader *r, const char *why)
{
    if (!r->why)
        r->why = why;
    return false;
}

static void skip_space(struct reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r'))
        r->at++;
}

static bool takes(struct reader *r, char c)
{
    skip_space(r);
    if (r->at == r->end || *r->at != c)
        return false;
    r->at++;
    return true;
}

/* ---- values ---- */

/* Behind the opening quote; the raw inside. */
static bool read_raw_string(struct reader *r, struct text_view *ret_raw, bool *ret_has_escape)
{
    const char *start = r->at;

    *ret_has_escape = false;
    for (; r->at < r->end && *r->at != '"'; r->at++) {
        if ((unsigned char)*r->at < 0x20)
            return fail(r, "a control character in a string");
        if (*r->at == '\\') {
            *ret_has_escape = true;
            if (++r->at == r->end)
                break;
        }
    }
    if (r->at == r->end)
        return fail(r, "a string that does not end");
    *ret_raw = (struct text_view){start, (size_t)(r->at - start)};
    r->at++;
    return true;
}

static bool read_hex(const char *at, const char *end, uint32_t *ret_code)
{
    *ret_code = 0;
    if (end - at < 4)
        return false;
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        int digit = c >= '0' && c <= '9'                     ? c - '0'
                    : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
                                                             : -1;

        if (digit < 0)
            return false;
        *ret_code = *ret_code << 4 | (uint32_t)digit;
    }
    return true;
}

/* \uXXXX at @at (behind the u), surrogate pairs joined; a lone half becomes U+FFFD. */
static bool read_unicode(const char **at, const char *end, char *out, size_t *used)
{
    uint32_t code, low;

    if (!read_hex(*at, end, &code))
        return false;
    *at += 4;
    if (code >= 0xd800 && code < 0xdc00 && end - *at >= 6 && (*at)[0] == '\\' && (*at)[1] == 'u' &&
        read_hex(*at + 2, end, &low) && low >= 0xdc00 && low < 0xe000) {
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        *at += 6;
    }
    *used += obs_text_put_utf8(code >= 0xd800 && code < 0xe000 ? 0xfffd : code, out + *used);
    return true;
}

static bool unescape(struct reader *r, struct text_view raw, struct text_view *ret_text)
{
    static const char FROM[] = "\"\\/bfnrt", TO[] = "\"\\/\b\f\n\r\t";
    const char *at = raw.text, *end = raw.text + raw.size;
    char *out = obs_arena_alloc(r->arena, raw.size + 1);
    size_t used = 0;

    if (!out)
        return fail(r, "line too large");
    while (at < end) {
        const char *found;

        if (*at != '\\') {
            out[used++] = *at++;
            continue;
        }
        at++; /* there is a byte behind it: read_raw_string() saw to that */
        found = *at ? strchr(FROM, *at) : NULL;
        if (found) {
            out[used++] = TO[found - FROM];
            at++;
        } else if (*at++ != 'u' || !read_unicode(&at, end, out, &used)) {
            return fail(r, "an unknown escape in a string");
        }
    }
    *ret_text = (struct text_view){out, used};
    return true;
}

static bool read_string(struct reader *r, struct text_view *ret_text)
{
    bool has_escape;

    return read_raw_string(r, ret_text, &has_escape) &&
           (!has_escape || unescape(r, *ret_text, ret_text));
}

static bool read_word(struct reader *r, struct text_view *ret_text)
{
    const char *start = r->at;
    double number;

    while (r->at < r->end && !strchr(",]} \t\n\r:\"[{", *r->at))
        r->at++;
    *ret_text = (struct text_view){start, (size_t)(r->at - start)};
    if (ret_text->size == 4 && (memcmp(start, "true", 4) == 0 || memcmp(start, "null", 4) == 0))
        return true;
    if (ret_text->size == 5 && memcmp(start, "false", 5) == 0)
        return true;
    return obs_text_parse_number(start, ret_text->size, &number) != OBS_TEXT_BAD ||
           fail(r, "a value that is no JSON");
}

/* Any value, without looking at it. */
static bool skip_value(struct reader *r)
{
    struct text_view text;
    bool has_escape;
    char close;

    skip_space(r);
    if (r->at == r->end)
        return fail(r, "a value is missing");
    if (*r->at == '"') {
        r->at++;
        return read_raw_string(r, &text, &has_escape);
    }
    if (*r->at != '{' && *r->at != '[')
        return read_word(r, &text);
    close = *r->at++ == '{' ? '}' : ']';
    if (++r->depth > JSON_DEPTH_MAX)
        return fail(r, "nested more than 64 deep");
    if (!takes(r, close)) {
        do {
            if (close == '}' &&
                !(takes(r, '"') && read_raw_string(r, &text, &has_escape) && takes(r, ':')))
                return fail(r, "an object that is no JSON");
            if (!skip_value(r))
                return false;
        } while (takes(r, ','));
        if (!takes(r, close))
            return fail(r, "an object or array that does not end");
    }
    r->depth--;
    return true;
}

/* ---- everything, flattened ---- */

static bool add_flat(struct reader *r, size_t key_size, struct text_view value)
{
    char *name;

    if (r->key[0] >= '0' && r->key[0] <= '9') {
        name = obs_arena_printf(r->arena, "_%.*s", (int)key_size, r->key);
        key_size++;
    } else {
        name = obs_arena_copy(r->arena, r->key, key_size);
    }
    return (name &&
            logql_extract_add(r->labels, (struct text_view){name, key_size}, value, r->arena)) ||
           fail(r, "too many fields");
}

static bool push_key(struct reader *r, size_t size, struct text_view key, size_t *ret_size)
{
    if (size + key.size + 1 > JSON_KEY_MAX)
        return fail(r, "a name of more than 1024 bytes");
    if (size > 0)
        r->key[size++] = '_';
    for (size_t i = 0; i < key.size; i++) {
        char c = key.text[i];

        r->key[size++] =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ? c : '_';
    }
    *ret_size = size;
    return true;
}

static bool flatten_object(struct reader *r, size_t key_size);

static bool flatten_value(struct reader *r, size_t key_size)
{
    struct text_view value;

    skip_space(r);
    if (r->at < r->end && *r->at == '{') {
        r->at++;
        return flatten_object(r, key_size);
    }
    if (r->at == r->end || *r->at == '[')
        return skip_value(r);
    if (*r->at == '"') {
        r->at++;
        return read_string(r, &value) && add_flat(r, key_size, value);
    }
    return read_word(r, &value) && (*value.text == 'n' || add_flat(r, key_size, value));
}

/* Behind the brace. */
static bool flatten_object(struct reader *r, size_t key_size)
{
    if (++r->depth > JSON_DEPTH_MAX)
        return fail(r, "nested more than 64 deep");
    if (!takes(r, '}')) {
        do {
            struct text_view key;
            size_t size;

            if (!takes(r, '"') || !read_string(r, &key) || !takes(r, ':'))
                return fail(r, "an object that is no JSON");
            if (!push_key(r, key_size, key, &size) || !flatten_value(r, size))
                return false;
        } while (takes(r, ','));
        if (!takes(r, '}'))
            return fail(r, "an object that does not end");
    }
    r->depth--;
    return true;
}

/* ---- paths ---- */

/* Moves to the value of @step inside the value at r->at; false without r->why: there is none. */
static bool enter(struct reader *r, const struct logql_json_step *step)
{
    char open = step->is_index ? '[' : '{', close = step->is_index ? ']' : '}';

    if (!takes(r, open) || takes(r, close))
        return false;
    for (unsigned i = 0;; i++) {
        struct text_view key = {"", 0};

        if (!step->is_index && !(takes(r, '"') && read_string(r, &key) && takes(r, ':')))
            return fail(r, "an object that is no JSON");
        if (step->is_index ? i == step->index : text_equal(key, step->key))
            return true;
        if (!skip_value(r))
            return false;
        if (!takes(r, ','))
            return false;
    }
}

static bool extract_path(struct reader *r, const struct logql_extraction *extraction)
{
    struct text_view value;

    for (const struct logql_json_step *step = extraction->path; step; step = step->next)
        if (!enter(r, step))
            return !r->why;
    skip_space(r);
    if (r->at < r->end && *r->at == '"') {
        r->at++;
        if (!read_string(r, &value))
            return false;
    } else {
        value.text = r->at;
        if (!skip_value(r))
            return false;
        value.size = (size_t)(r->at - value.text);
        if (*value.text == 'n')
            value.size = 0;
    }
    return logql_extract_add(r->labels, extraction->name, value, r->arena) ||
           fail(r, "too many fields");
}

void logql_extract_json(const struct logql_stage *stage, struct text_view line,
                        struct logql_labels *labels, struct obs_arena *arena)
{
    struct reader r = {
        .at = line.text, .end = line.text + line.size, .arena = arena, .labels = labels};
    bool is_good;

    if (!stage->extractions) {
        is_good = takes(&r, '{') ? flatten_object(&r, 0) : fail(&r, "the line is no JSON object");
    } else {
        is_good = takes(&r, '{') || fail(&r, "the line is no JSON object");
        if (is_good) {
            r.at--;
            is_good = skip_value(&r); /* the whole line must be good */
        }
    }
    skip_space(&r);
    if (is_good && r.at < r.end)
        is_good = fail(&r, "text behind the JSON object");
    for (const struct logql_extraction *e = stage->extractions; is_good && e; e = e->next) {
        r.at = line.text;
        r.depth = 0;
        is_good = extract_path(&r, e);
    }
    if (!is_good)
        logql_labels_fail(labels, "JSONParserErr", r.why ? r.why : "no JSON");
}
