#pragma once
/*
 * Templates of line_format and label_format: the part of Go's text/template that docs/logql.md
 * lists.
 * `{{ .label | ToUpper }}`, `{{ trunc 8 .trace_id }}`, `{{__line__}}`; what is beyond it is
 * refused.
 */
#include "base/arena.h"
#include "base/reason.h"
#include "telemetry/model.h"

struct logql_template;
struct logql_labels;

/* Return: LOGQL_OK, LOGQL_REFUSED (reason names the token), -ENOMEM. Borrows @text. */
int logql_template_parse(struct text_view text, struct obs_arena *arena,
                         const struct logql_template **ret_template,
                         struct obs_reason *reterr_reason);
/* The text, in @arena; false when the arena is full. */
bool logql_template_run(const struct logql_template *template, const struct logql_labels *labels,
                        struct text_view line, struct obs_arena *arena, struct text_view *ret_text);
