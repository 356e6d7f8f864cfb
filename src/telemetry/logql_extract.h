#pragma once
/* Parsers of log lines: what `| json`, `| logfmt`, `| pattern` and `| regexp` do with one line. */
#include "base/arena.h"
#include "telemetry/logql_ast.h"
#include "telemetry/logql_labels.h"

/* Each adds labels of kind LABEL_PARSED, or marks the line (__error__). New text is in @arena. A
 * name that the stream has gets `_extracted` behind it. */
void logql_extract_json(const struct logql_stage *stage, struct text_view line,
                        struct logql_labels *labels, struct obs_arena *arena);
void logql_extract_logfmt(const struct logql_stage *stage, struct text_view line,
                          struct logql_labels *labels, struct obs_arena *arena);
void logql_extract_pattern(const struct logql_stage *stage, struct text_view line,
                           struct logql_labels *labels, struct obs_arena *arena);
void logql_extract_regexp(const struct logql_stage *stage, struct text_view line,
                          struct logql_labels *labels, struct obs_arena *arena);

/* Adds one; false: no room (marked by the caller). */
bool logql_extract_add(struct logql_labels *labels, struct text_view name, struct text_view value,
                       struct obs_arena *arena);
/* @name as a label name: other characters become `_`. Borrowed when it is one already. */
bool logql_extract_name(struct text_view name, struct obs_arena *arena, struct text_view *ret_name);
