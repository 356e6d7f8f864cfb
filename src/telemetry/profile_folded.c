/* Empty frames are skipped: a thread without a name is one. */
#include "telemetry/profile_folded.h"

#include "base/text.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>

struct line {
    const char *text; /* the whole line, for columns */
    unsigned number;
    struct text_view stack;
    uint64_t count;
};

static int malformed(const struct line *line, const char *at, const char *what,
                     struct obs_reason *reterr_reason)
{
    obs_reason_set_at(reterr_reason, line->number, (unsigned)(at - line->text) + 1, "%s", what);
    return PROFILE_MALFORMED;
}

static int read_count(struct line *line, struct obs_reason *reterr_reason)
{
    const char *end = line->stack.text + line->stack.size;
    const char *space = memrchr(line->stack.text, ' ', line->stack.size);

    if (!space)
        return malformed(line, end, "expected a space and the stack's count", reterr_reason);
    if (obs_text_parse_u64(space + 1, (size_t)(end - space - 1), PROFILE_VALUE_MAX, &line->count) !=
        0)
        return malformed(line, space + 1, "the count is not a number from 0 to 9007199254740991",
                         reterr_reason);
    line->stack.size = (size_t)(space - line->stack.text);
    return 0;
}

static int take_stack(const struct line *line, struct profile_tree *tree,
                      struct obs_reason *reterr_reason)
{
    const char *at = line->stack.text, *end = at + line->stack.size;
    uint32_t node = PROFILE_ROOT;
    unsigned depth = 0;

    while (at < end) {
        const char *semicolon = memchr(at, ';', (size_t)(end - at));
        struct text_view name = {at, (size_t)((semicolon ? semicolon : end) - at)};
        int r = name.size == 0 ? 0 : profile_tree_child(tree, node, name, &node);

        if (r == -EMSGSIZE || ++depth > PROFILE_DEPTH_MAX) {
            obs_reason_set_at(reterr_reason, line->number, (unsigned)(at - line->text) + 1,
                              depth > PROFILE_DEPTH_MAX ? "the stack has more than 1024 frames"
                                                        : "too many different stacks or names");
            return PROFILE_TOO_LARGE;
        }
        if (r < 0)
            return r;
        at = semicolon ? semicolon + 1 : end;
    }
    if (node == PROFILE_ROOT)
        return malformed(line, line->text, "the stack has no frame", reterr_reason);
    profile_tree_add(tree, node, PROFILE_LEFT, line->count);
    return 0;
}

int profile_folded_decode(struct text_view text, enum profile_folded_form form,
                          struct profile_tree *tree, struct obs_reason *reterr_reason)
{
    const char *at = text.text, *end = at + text.size;

    for (unsigned number = 1; at < end; number++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *stop = newline ? newline : end;
        struct line line = {at, number, {at, (size_t)(stop - at)}, 1};
        int r = 0;

        at = newline ? newline + 1 : end;
        if (line.stack.size > 0 && stop[-1] == '\r')
            line.stack.size--;
        if (line.stack.size == 0)
            continue;
        if (!obs_text_is_utf8(line.stack.text, line.stack.size))
            return malformed(&line, line.text, "the line is not UTF-8", reterr_reason);
        if (memchr(line.stack.text, '\0', line.stack.size))
            return malformed(&line, line.text, "the line holds a NUL", reterr_reason);
        if (form == PROFILE_GROUPS)
            r = read_count(&line, reterr_reason);
        if (r == 0)
            r = take_stack(&line, tree, reterr_reason);
        if (r != 0)
            return r;
    }
    return PROFILE_DECODED;
}

static void append_frame(struct obs_buffer *b, struct text_view name)
{
    for (size_t i = 0; i < name.size; i++) {
        char c = name.text[i];

        obs_buffer_append_char(b, c == ';' || c == '\n' || c == '\r' ? '_' : c);
    }
}

static void append_stack(const struct profile_tree *tree, uint32_t node, struct obs_buffer *b)
{
    uint32_t path[PROFILE_DEPTH_MAX];
    size_t depth = 0;

    for (; node != PROFILE_ROOT && depth < PROFILE_DEPTH_MAX;
         node = profile_tree_at(tree, node)->parent)
        path[depth++] = node;
    while (depth > 0) {
        append_frame(b, profile_tree_name(tree, profile_tree_at(tree, path[--depth])->name));
        if (depth > 0)
            obs_buffer_append_char(b, ';');
    }
}

int profile_folded_emit(const struct profile_tree *tree, enum profile_side side,
                        struct obs_buffer *b)
{
    obs_buffer_append_text(b, "");
    for (uint32_t i = 1; i < profile_tree_count(tree) && !b->error; i++) {
        uint64_t self = profile_tree_at(tree, i)->self[side];

        if (self == 0)
            continue;
        append_stack(tree, i, b);
        obs_buffer_printf(b, " %" PRIu64 "\n", self);
    }
    return b->error;
}
