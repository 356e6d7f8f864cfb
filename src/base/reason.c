/*
 * Reason: formats the text and makes it fit to be shown anywhere: one line, valid UTF-8, cut
 * between characters. Input quoted in a reason is the input of a stranger.
 */
#include "base/reason.h"

#include "base/text.h"
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static void make_showable(char *text, bool is_cut)
{
    size_t size = strlen(text);

    for (size_t at = 0; at < size;) {
        size_t length = obs_text_utf8_length(text + at, size - at);
        unsigned char c = (unsigned char)text[at];

        if (length == 0 && is_cut && at + 4 > size && c >= 0xC0) { /* half a character */
            text[at] = '\0';
            return;
        }
        if (length == 0 || c < 0x20 || c == 0x7F)
            text[at] = '?';
        at += length ? length : 1;
    }
}

__attribute__((format(printf, 4, 0))) static void
set(struct obs_reason *reason, unsigned line, unsigned column, const char *format, va_list args)
{
    int size = vsnprintf(reason->text, sizeof(reason->text), format, args);

    reason->line = line;
    reason->column = column;
    if (size <= 0)
        strcpy(reason->text, "refused");
    make_showable(reason->text, size >= (int)sizeof(reason->text));
}

void obs_reason_set(struct obs_reason *reterr_reason, const char *format, ...)
{
    va_list args;

    if (!reterr_reason)
        return;
    va_start(args, format);
    set(reterr_reason, 0, 0, format, args);
    va_end(args);
}

void obs_reason_set_at(struct obs_reason *reterr_reason, unsigned line, unsigned column,
                       const char *format, ...)
{
    va_list args;

    if (!reterr_reason)
        return;
    va_start(args, format);
    set(reterr_reason, line, column, format, args);
    va_end(args);
}
