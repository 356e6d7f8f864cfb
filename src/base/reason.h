#pragma once
/*
 * Reason: why an input was refused, in words for the person who wrote it.
 *
 * A function whose input a person writes takes a `struct obs_reason *reterr_reason` last. It is set
 * only when the function refuses the input; NULL is fine when nobody will read it.
 */
#include <stdarg.h>

struct obs_reason {
    unsigned line, column; /* 1-based; 0 when the input has no lines */
    char text[240];        /* UTF-8, truncated to fit, never empty when set */
};

/* Write the text of a refusal that has no place in the input. */
void obs_reason_set(struct obs_reason *reterr_reason, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Write the text of a refusal at @line and @column (1-based; 0 for unknown). */
void obs_reason_set_at(struct obs_reason *reterr_reason, unsigned line, unsigned column,
                       const char *format, ...) __attribute__((format(printf, 4, 5)));
