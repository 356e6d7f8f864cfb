#include "telemetry/logql_pipeline.h"
#include "telemetry/logql_extract.h"
#include "telemetry/logql_lex.h"
#include "telemetry/logql_template.h"
#include <errno.h>
#include <string.h>

enum { LINE_MEMORY_MAX = 4 << 20 };

struct logql_pipeline {
    const struct logql_log *log;
    struct obs_arena *arena; /* of one line */
    struct logql_labels labels;
};

int logql_pipeline_new(const struct logql_log *log, struct logql_pipeline **ret_pipeline)
{
    struct logql_pipeline *pipeline = calloc(1, sizeof(*pipeline));
    int r;

    if (!pipeline)
        return -ENOMEM;
    pipeline->log = log;
    r = obs_arena_new(LINE_MEMORY_MAX, &pipeline->arena);
    if (r < 0) {
        free(pipeline);
        return r;
    }
    *ret_pipeline = pipeline;
    return 0;
}

struct logql_pipeline *logql_pipeline_free(struct logql_pipeline *pipeline)
{
    if (!pipeline)
        return NULL;
    obs_arena_free(pipeline->arena);
    free(pipeline);
    return NULL;
}

struct logql_labels *logql_pipeline_labels(struct logql_pipeline *pipeline)
{
    return &pipeline->labels;
}

/* ---- filters ---- */

static bool matcher_fits(const struct logql_matcher *matcher, struct text_view value)
{
    switch (matcher->op) {
    case MATCH_EQUAL:
        return text_equal(matcher->value, value);
    case MATCH_NOT_EQUAL:
        return !text_equal(matcher->value, value);
    case MATCH_REGEX:
        return regex_matches(matcher->regex, value);
    case MATCH_NOT_REGEX:
        return !regex_matches(matcher->regex, value);
    }
    return false;
}

static bool line_passes(const struct logql_stage *stage, struct text_view line)
{
    bool is_regex = stage->line_op == LINE_FITS || stage->line_op == LINE_FITS_NOT;
    bool found = false;

    for (const struct logql_needle *n = stage->needles; n && !found; n = n->next)
        found = is_regex ? regex_matches(n->regex, line)
                         : n->text.size == 0 ||
                               (line.size >= n->text.size &&
                                memmem(line.text, line.size, n->text.text, n->text.size));
    return found == (stage->line_op == LINE_HAS || stage->line_op == LINE_FITS);
}

static bool compare(enum logql_compare compare, double a, double b)
{
    switch (compare) {
    case IS_EQUAL:
        return a == b;
    case IS_NOT_EQUAL:
        return a != b;
    case IS_LESS:
        return a < b;
    case IS_LESS_EQUAL:
        return a <= b;
    case IS_GREATER:
        return a > b;
    case IS_GREATER_EQUAL:
        return a >= b;
    }
    return false;
}

static bool read_unit(enum logql_unit unit, struct text_view text, double *ret_value)
{
    switch (unit) {
    case UNIT_DURATION:
        return logql_read_duration(text, ret_value);
    case UNIT_BYTES:
        return logql_read_bytes(text, ret_value);
    case UNIT_NUMBER:
        break;
    }
    return logql_read_number(text, ret_value);
}

/* A value that cannot be read lets the line pass, marked, as Loki does: `__error__` can then be
 * filtered. So does a line that is marked already. */
static bool value_passes(const struct logql_filter *filter, struct logql_labels *labels)
{
    const struct logql_entry *entry = logql_labels_find(labels, filter->text.name);
    double value;

    if (labels->has_error)
        return true;
    if (!entry)
        return false;
    if (read_unit(filter->unit, entry->value, &value))
        return compare(filter->compare, value, filter->value);
    logql_labels_fail(labels, "LabelFilterErr", "the value is not of the filter's kind");
    return true;
}

static bool filter_passes(const struct logql_filter *filter, struct logql_labels *labels)
{
    switch (filter->type) {
    case FILTER_TEXT:
        return matcher_fits(&filter->text, logql_labels_get(labels, filter->text.name));
    case FILTER_VALUE:
        return value_passes(filter, labels);
    case FILTER_AND:
        return filter_passes(filter->left, labels) && filter_passes(filter->right, labels);
    case FILTER_OR:
        return filter_passes(filter->left, labels) || filter_passes(filter->right, labels);
    }
    return false;
}

/* ---- formats ---- */

static bool format_labels(struct logql_pipeline *pipeline, const struct logql_stage *stage,
                          struct text_view line)
{
    struct logql_labels *labels = &pipeline->labels;

    for (const struct logql_assignment *a = stage->assignments; a; a = a->next) {
        const struct logql_entry *source;
        struct text_view value;

        if (a->template) {
            if (!logql_template_run(a->template, labels, line, pipeline->arena, &value) ||
                !logql_labels_set(labels, a->name, value, LABEL_PARSED))
                return false;
            continue;
        }
        source = logql_labels_find(labels, a->source);
        if (!source)
            continue;
        value = source->value;
        if (text_equal(a->name, a->source))
            continue;
        logql_labels_remove(labels, a->source);
        if (!logql_labels_set(labels, a->name, value, LABEL_PARSED))
            return false;
    }
    return true;
}

static bool is_chosen(const struct logql_choice *choices, const struct logql_entry *entry)
{
    for (; choices; choices = choices->next)
        if (text_equal(choices->matcher.name, entry->name) &&
            (!choices->has_matcher || matcher_fits(&choices->matcher, entry->value)))
            return true;
    return false;
}

static void choose(const struct logql_stage *stage, struct logql_labels *labels)
{
    for (size_t i = labels->count; i-- > 0;) {
        struct logql_entry *entry = &labels->entries[i];
        bool is_mark =
            text_is(entry->name, LOGQL_ERROR) || text_is(entry->name, LOGQL_ERROR_DETAILS);
        bool chosen = is_chosen(stage->choices, entry);

        if (stage->type == STAGE_DROP ? chosen : !chosen && !is_mark)
            logql_labels_remove(labels, entry->name);
    }
}

/* ---- stages ---- */

static enum logql_verdict run_stage(struct logql_pipeline *pipeline,
                                    const struct logql_stage *stage, struct text_view *line)
{
    struct logql_labels *labels = &pipeline->labels;

    switch (stage->type) {
    case STAGE_LINE_FILTER:
        return line_passes(stage, *line) ? LINE_KEPT : LINE_DROPPED;
    case STAGE_LABEL_FILTER:
        return filter_passes(stage->filter, labels) ? LINE_KEPT : LINE_DROPPED;
    case STAGE_JSON:
        logql_extract_json(stage, *line, labels, pipeline->arena);
        return LINE_KEPT;
    case STAGE_LOGFMT:
        logql_extract_logfmt(stage, *line, labels, pipeline->arena);
        return LINE_KEPT;
    case STAGE_REGEXP:
        logql_extract_regexp(stage, *line, labels, pipeline->arena);
        return LINE_KEPT;
    case STAGE_PATTERN:
        logql_extract_pattern(stage, *line, labels, pipeline->arena);
        return LINE_KEPT;
    case STAGE_LINE_FORMAT:
        return logql_template_run(stage->template, labels, *line, pipeline->arena, line)
                   ? LINE_KEPT
                   : LINE_TOO_LARGE;
    case STAGE_LABEL_FORMAT:
        return format_labels(pipeline, stage, *line) ? LINE_KEPT : LINE_TOO_LARGE;
    case STAGE_DROP:
    case STAGE_KEEP:
        choose(stage, labels);
        return LINE_KEPT;
    }
    return LINE_DROPPED;
}

enum logql_verdict logql_pipeline_run(struct logql_pipeline *pipeline, const struct line_view *line,
                                      struct text_view *ret_line)
{
    const struct logql_stage *stage = pipeline->log->stages;

    *ret_line = line->line;
    /* Most lines end at a line filter in front: before any label is looked at. */
    for (; stage && stage->type == STAGE_LINE_FILTER; stage = stage->next)
        if (!line_passes(stage, *ret_line))
            return LINE_DROPPED;
    logql_labels_start(&pipeline->labels, line);
    if (stage)
        obs_arena_reset(pipeline->arena);
    for (; stage; stage = stage->next) {
        enum logql_verdict verdict = run_stage(pipeline, stage, ret_line);

        if (verdict != LINE_KEPT)
            return verdict;
    }
    return LINE_KEPT;
}

enum logql_verdict logql_pipeline_unwrap(struct logql_pipeline *pipeline, double *ret_value)
{
    static const enum logql_unit UNITS[] = {[CONVERT_NONE] = UNIT_NUMBER,
                                            [CONVERT_DURATION] = UNIT_DURATION,
                                            [CONVERT_BYTES] = UNIT_BYTES};
    const struct logql_log *log = pipeline->log;
    struct logql_labels *labels = &pipeline->labels;
    const struct logql_entry *entry = logql_labels_find(labels, log->unwrap);

    if (!entry)
        return LINE_DROPPED;
    if (read_unit(UNITS[log->conversion], entry->value, ret_value)) {
        logql_labels_remove(labels, log->unwrap);
    } else {
        *ret_value = 0;
        logql_labels_fail(labels, "SampleExtractionErr", "the value to unwrap is no number");
    }
    for (const struct logql_stage *stage = log->after_unwrap; stage; stage = stage->next)
        if (!filter_passes(stage->filter, labels))
            return LINE_DROPPED;
    return LINE_KEPT;
}

/* ---- before a line is read ---- */

bool logql_selects(const struct logql_log *log, const struct label *labels, size_t count)
{
    for (size_t m = 0; m < log->matcher_count; m++) {
        struct text_view value = {"", 0};

        for (size_t i = 0; i < count; i++)
            if (text_equal(labels[i].name, log->matchers[m].name))
                value = labels[i].value;
        if (!matcher_fits(&log->matchers[m], value))
            return false;
    }
    return true;
}

static void hint_equality(const struct logql_filter *filter, struct label *ret_metadata)
{
    while (filter->type == FILTER_AND) {
        hint_equality(filter->left, ret_metadata);
        filter = filter->right;
    }
    /* The longest value is the rarest: a trace id rather than a level. */
    if (filter->type == FILTER_TEXT && filter->text.op == MATCH_EQUAL &&
        filter->text.value.size > ret_metadata->value.size &&
        !text_is(filter->text.name, LOGQL_ERROR) &&
        !text_is(filter->text.name, LOGQL_ERROR_DETAILS))
        *ret_metadata = (struct label){filter->text.name, filter->text.value};
}

void logql_hints(const struct logql_log *log, struct text_view *ret_contains,
                 struct label *ret_metadata)
{
    bool has_labels_of_line = false; /* from here on labels may come from the line itself */

    *ret_contains = (struct text_view){"", 0};
    *ret_metadata = (struct label){{"", 0}, {"", 0}};
    for (const struct logql_stage *s = log->stages; s && s->type != STAGE_LINE_FORMAT;
         s = s->next) {
        if (s->type == STAGE_LINE_FILTER && s->line_op == LINE_HAS && !s->needles->next &&
            s->needles->text.size > ret_contains->size)
            *ret_contains = s->needles->text;
        else if (s->type == STAGE_LABEL_FILTER && !has_labels_of_line)
            hint_equality(s->filter, ret_metadata);
        else if (s->type != STAGE_LINE_FILTER && s->type != STAGE_LABEL_FILTER)
            has_labels_of_line = true;
    }
}
