#pragma once
/*
 * The labels of one line while its pipeline runs: those of its stream, its structured metadata, and
 * what parsers took out of it. A label with an empty value is no label.
 */
#include "telemetry/model.h"

enum { LOGQL_LABELS_MAX = 256 };

enum logql_label_kind { LABEL_STREAM, LABEL_METADATA, LABEL_PARSED };

struct logql_entry {
    struct text_view name, value;
    enum logql_label_kind kind;
};

struct logql_labels {
    size_t count;
    bool has_error; /* __error__ is set */
    const struct line_view *line;
    struct logql_entry entries[LOGQL_LABELS_MAX];
};

#define LOGQL_ERROR "__error__"
#define LOGQL_ERROR_DETAILS "__error_details__"

void logql_labels_start(struct logql_labels *labels, const struct line_view *line);
const struct logql_entry *logql_labels_find(const struct logql_labels *labels,
                                            struct text_view name); /* NULL: none */
struct text_view logql_labels_get(const struct logql_labels *labels,
                                  struct text_view name); /* "" when there is none */
/* Views are borrowed. An empty value removes. false: full. */
bool logql_labels_set(struct logql_labels *labels, struct text_view name, struct text_view value,
                      enum logql_label_kind kind);
void logql_labels_remove(struct logql_labels *labels, struct text_view name);
/* Was it in the stream's labels before the pipeline began? */
bool logql_labels_in_stream(const struct logql_labels *labels, struct text_view name);
/* @type as Loki names it: "JSONParserErr". Both are static text or outlive the line. */
void logql_labels_fail(struct logql_labels *labels, const char *type, const char *details);
void logql_labels_sort(struct logql_labels *labels); /* by name */

static inline bool text_equal(struct text_view a, struct text_view b)
{
    return a.size == b.size && (a.size == 0 || __builtin_memcmp(a.text, b.text, a.size) == 0);
}
int logql_text_compare(struct text_view a, struct text_view b);
