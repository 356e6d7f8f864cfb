/*
 * Folded stacks. Stacks that differ only in addresses inside the same functions are one line, so
 * the lines are made first, then sorted and added up.
 */
#include "otel/profile_internal.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define LINES_MAX (16u << 20)

struct line {
    size_t offset; /* in the text of all lines */
    uint64_t count;
};

struct lines {
    struct obs_buffer text; /* each line with its NUL */
    struct line *items;
    size_t count;
};

static int compare_lines(const void *a, const void *b, void *text)
{
    const struct line *x = a, *y = b;

    return strcmp((char *)text + x->offset, (char *)text + y->offset);
}

/* Names come from symbol tables and pthread_setname_np(): neither may break the line's form. */
static void append_name(struct obs_buffer *text, const char *name, size_t size)
{
    for (size_t i = 0; i < size && name[i]; i++)
        obs_buffer_append_char(text, name[i] == ';' || name[i] == '\n' ? '_' : name[i]);
}

static int append_line(struct lines *lines, const struct named_profile *profile,
                       const struct obs_stack *stack)
{
    struct obs_buffer *text = &lines->text;
    const uintptr_t *frames = profile->table->frames + stack->first_frame;

    lines->items[lines->count++] = (struct line){text->size, stack->count};
    append_name(text, stack->thread, sizeof(stack->thread));
    for (size_t i = stack->depth; i > 0; i--) {
        size_t index = obs_symbols_index(profile->symbols, frames[i - 1]);
        const char *name = obs_symbols_at(profile->symbols, index)->name;

        obs_buffer_append_char(text, ';');
        append_name(text, name, strlen(name));
    }
    return obs_buffer_append_char(text, '\0');
}

static void emit_lines(const struct lines *lines, struct obs_buffer *b)
{
    const char *text = lines->text.data;

    for (size_t i = 0; i < lines->count;) {
        const char *line = text + lines->items[i].offset;
        uint64_t count = 0;

        while (i < lines->count && strcmp(line, text + lines->items[i].offset) == 0)
            count += lines->items[i++].count;
        obs_buffer_printf(b, "%s %" PRIu64 "\n", line, count);
    }
}

int profile_emit_folded(const struct named_profile *profile, struct obs_buffer *b)
{
    const struct obs_stack_table *table = profile->table;
    struct lines lines = {.text = OBS_BUFFER_INIT(LINES_MAX)};
    int r = obs_buffer_append_text(b, "");

    lines.items = calloc(table->stack_count + 1, sizeof(*lines.items));
    if (!lines.items)
        return -ENOMEM;
    for (size_t i = 0; r == 0 && i < table->stack_count; i++)
        r = append_line(&lines, profile, &table->stacks[i]);
    if (r == 0) {
        qsort_r(lines.items, lines.count, sizeof(*lines.items), compare_lines, lines.text.data);
        emit_lines(&lines, b);
        if (table->other > 0)
            obs_buffer_printf(b, "%s %" PRIu64 "\n", OBS_PROFILE_OTHER, table->other);
        r = b->error;
    }
    obs_buffer_done(&lines.text);
    free(lines.items);
    return r;
}
