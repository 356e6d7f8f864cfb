/*
 * PCRE2 with limits. Its just-in-time compiler is used where it works; the interpreter otherwise,
 * with the same limits. A text that is one plain word needs neither: see plain_text().
 */
#include "telemetry/regex.h"
#define PCRE2_CODE_UNIT_WIDTH 8
#include <errno.h>
#include <pcre2.h>
#include <string.h>

enum {
    REGEX_STEPS_MAX = 200000, /* of one match, as PCRE2 counts them */
    REGEX_DEPTH_MAX = 1000,
    REGEX_HEAP_KIB_MAX = 4096,
    REGEX_GROUPS_MAX = 128,
};

struct regex {
    pcre2_code *code;
    pcre2_match_data *match;
    pcre2_match_context *limits;
    const char **names; /* by group, [groups + 1] */
    unsigned groups;
    char *plain; /* the pattern, when it has no operator: compared or searched as it is */
    size_t plain_size;
    bool is_plain, is_anchored;
    bool gave_up;
};

struct regex *regex_free(struct regex *regex)
{
    if (!regex)
        return NULL;
    pcre2_match_data_free(regex->match);
    pcre2_match_context_free(regex->limits);
    pcre2_code_free(regex->code);
    free(regex->names);
    free(regex->plain);
    free(regex);
    return NULL;
}

/* RE2 has no verbs; PCRE2's (*…) could switch our limits and modes. */
static bool has_verb(struct text_view pattern, unsigned *ret_column)
{
    for (size_t i = 0; i + 1 < pattern.size; i++) {
        if (pattern.text[i] == '\\') {
            i++;
        } else if (pattern.text[i] == '(' && pattern.text[i + 1] == '*') {
            *ret_column = (unsigned)i + 1;
            return true;
        }
    }
    return false;
}

static int refuse(struct obs_reason *reterr_reason, struct text_view pattern, unsigned column,
                  const char *why)
{
    int shown = pattern.size > 80 ? 80 : (int)pattern.size;

    obs_reason_set_at(reterr_reason, 1, column, "error parsing regexp `%.*s` at %u: %s", shown,
                      pattern.text, column, why);
    return REGEX_REFUSED;
}

static int read_names(struct regex *regex)
{
    uint32_t count = 0, size = 0;
    PCRE2_SPTR table = NULL;

    pcre2_pattern_info(regex->code, PCRE2_INFO_CAPTURECOUNT, &regex->groups);
    regex->names = calloc(regex->groups + 1, sizeof(*regex->names));
    if (!regex->names)
        return -ENOMEM;
    pcre2_pattern_info(regex->code, PCRE2_INFO_NAMECOUNT, &count);
    pcre2_pattern_info(regex->code, PCRE2_INFO_NAMEENTRYSIZE, &size);
    pcre2_pattern_info(regex->code, PCRE2_INFO_NAMETABLE, &table);
    for (uint32_t i = 0; i < count; i++) {
        PCRE2_SPTR row = table + i * size;

        regex->names[row[0] << 8 | row[1]] = (const char *)row + 2;
    }
    return 0;
}

static bool is_plain_text(struct text_view pattern)
{
    for (size_t i = 0; i < pattern.size; i++)
        if (strchr("\\^$.|?*+()[]{}", pattern.text[i]) || (pattern.text[i] & 0x80))
            return false;
    return true;
}

static int compile_code(struct text_view pattern, enum regex_form form, struct regex *regex,
                        struct obs_reason *reterr_reason)
{
    uint32_t options =
        PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C;
    uint32_t back_references = 0;
    size_t place = 0;
    int error = 0;
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);

    if (!context)
        return -ENOMEM;
    if (form == REGEX_ANCHORED) {
        options |= PCRE2_DOTALL | PCRE2_ANCHORED | PCRE2_ENDANCHORED;
    }
    pcre2_set_parens_nest_limit(context, 100);
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    regex->code =
        pcre2_compile((PCRE2_SPTR)pattern.text, pattern.size, options, &error, &place, context);
    pcre2_compile_context_free(context);
    if (!regex->code) {
        PCRE2_UCHAR text[128];

        if (error == PCRE2_ERROR_NOMEMORY)
            return -ENOMEM;
        pcre2_get_error_message(error, text, sizeof(text));
        return refuse(reterr_reason, pattern, (unsigned)place + 1, (const char *)text);
    }
    pcre2_pattern_info(regex->code, PCRE2_INFO_BACKREFMAX, &back_references);
    if (back_references > 0)
        return refuse(reterr_reason, pattern, 1, "back references are not supported");
    return 0;
}

int regex_compile(struct text_view pattern, enum regex_form form, struct regex **ret_regex,
                  struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(regex_freep) struct regex *regex = NULL;
    unsigned column = 0;
    int r;

    if (pattern.size > REGEX_PATTERN_MAX)
        return refuse(reterr_reason, pattern, REGEX_PATTERN_MAX + 1,
                      "an expression may have at most 4096 bytes");
    if (has_verb(pattern, &column))
        return refuse(reterr_reason, pattern, column,
                      "missing argument to repetition operator: `*`");
    regex = calloc(1, sizeof(*regex));
    if (!regex)
        return -ENOMEM;
    regex->is_anchored = form == REGEX_ANCHORED;
    if (pattern.size == 0)
        pattern.text = "";
    r = compile_code(pattern, form, regex, reterr_reason);
    if (r != 0)
        return r;
    r = read_names(regex);
    if (r < 0)
        return r;
    if (regex->groups > REGEX_GROUPS_MAX)
        return refuse(reterr_reason, pattern, 1, "more than 128 groups");
    regex->is_plain = is_plain_text(pattern);
    if (regex->is_plain) {
        regex->plain = strndup(pattern.text, pattern.size);
        regex->plain_size = pattern.size;
    }
    regex->match = pcre2_match_data_create_from_pattern(regex->code, NULL);
    regex->limits = pcre2_match_context_create(NULL);
    if (!regex->match || !regex->limits || (regex->is_plain && !regex->plain))
        return -ENOMEM;
    pcre2_set_match_limit(regex->limits, REGEX_STEPS_MAX);
    pcre2_set_depth_limit(regex->limits, REGEX_DEPTH_MAX);
    pcre2_set_heap_limit(regex->limits, REGEX_HEAP_KIB_MAX);
    if (!regex->is_plain)
        pcre2_jit_compile(regex->code, PCRE2_JIT_COMPLETE); /* refused: the interpreter serves */
    *ret_regex = OBS_TAKE(regex);
    return REGEX_OK;
}

static bool matches_plain(const struct regex *regex, struct text_view text)
{
    if (regex->is_anchored)
        return text.size == regex->plain_size &&
               (text.size == 0 || memcmp(text.text, regex->plain, text.size) == 0);
    return regex->plain_size == 0 ||
           (text.size > 0 && memmem(text.text, text.size, regex->plain, regex->plain_size));
}

bool regex_matches(const struct regex *regex, struct text_view text)
{
    int r;

    if (regex->is_plain)
        return matches_plain(regex, text);
    r = pcre2_match(regex->code, (PCRE2_SPTR)(text.size > 0 ? text.text : ""), text.size, 0, 0,
                    regex->match, regex->limits);
    if (r < 0 && r != PCRE2_ERROR_NOMATCH)
        ((struct regex *)regex)->gave_up = true; /* noted, not changed: matching stays const */
    return r > 0;
}

struct text_view regex_group(const struct regex *regex, struct text_view text, unsigned index)
{
    size_t *places = pcre2_get_ovector_pointer(regex->match);

    if (regex->is_plain || index > regex->groups || places[2 * index] == PCRE2_UNSET ||
        places[2 * index] > places[2 * index + 1] || places[2 * index + 1] > text.size)
        return (struct text_view){"", 0};
    return (struct text_view){text.text + places[2 * index],
                              places[2 * index + 1] - places[2 * index]};
}

unsigned regex_group_count(const struct regex *regex)
{
    return regex->groups;
}

const char *regex_group_name(const struct regex *regex, unsigned index)
{
    return index <= regex->groups && regex->names[index] ? regex->names[index] : "";
}

bool regex_gave_up(const struct regex *regex)
{
    return regex->gave_up;
}
