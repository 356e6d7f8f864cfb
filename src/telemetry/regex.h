#pragma once
/*
 * Regex: the regular expressions of the query languages, with bounded work.
 *
 * RE2's syntax as far as PCRE2 shares it; back references and verbs are refused. `.` does not match
 * a newline unless asked by (?s), `$` is the end of the text. Invalid UTF-8 in a text matches
 * nothing.
 *
 * Bounded: a match that takes more than a fixed number of steps is given up and marks the
 * expression (regex_gave_up()): the query must fail then, since "no match" would be a wrong answer.
 *
 * One thread at a time per expression.
 */
#include "base/cleanup.h"
#include "base/reason.h"
#include "telemetry/model.h"

#define REGEX_PATTERN_MAX 4096

enum regex_form {
    REGEX_ANCHORED, /* the whole text, as label matchers want it; (?s) is on */
    REGEX_SEARCH,   /* anywhere in the text, as line filters want it */
};

enum regex_outcome {
    REGEX_OK = 0,
    REGEX_REFUSED = 1, /* reason; its column counts in the pattern, from 1 */
};

struct regex;

/* Return: an enum regex_outcome value, -ENOMEM. */
int regex_compile(struct text_view pattern, enum regex_form form, struct regex **ret_regex,
                  struct obs_reason *reterr_reason);
struct regex *regex_free(struct regex *regex);

bool regex_matches(const struct regex *regex, struct text_view text);
/* After a match that was true: group @index (0: all). Empty when the group took no part. */
struct text_view regex_group(const struct regex *regex, struct text_view text, unsigned index);
unsigned regex_group_count(const struct regex *regex);
/* Name of group @index from 1; "" when it has none. */
const char *regex_group_name(const struct regex *regex, unsigned index);
/* Sticky: some match was given up since the compilation. */
bool regex_gave_up(const struct regex *regex);
OBS_DEFINE_CLEANUP(struct regex *, regex_free)
