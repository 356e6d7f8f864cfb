#include "load/template.h"
#include <errno.h>
#include <string.h>

struct template
{
    enum variable_use use;
    uint64_t variables;
    struct obs_buffer text; /* all literal pieces, one after the other */
    size_t piece_count;
    struct piece {
        size_t literal_size; /* this much text, then the variable */
        int variable;        /* -1: none */
    } pieces[];
};

struct template *template_free(struct template *t)
{
    if (t)
        obs_buffer_done(&t->text);
    free(t);
    return NULL;
}

/* Length of the name in "{name}" at @text, 0 when it is no such thing. */
static size_t name_size(const char *text)
{
    size_t size = strspn(text + 1, "abcdefghijklmnopqrstuvwxyz0123456789_");

    return size > 0 && text[1] >= 'a' && text[size + 1] == '}' ? size : 0;
}

static int cut(struct template *t, const char *text, bool bare_numbers,
               const struct variable_table *table, char ret_unknown[48])
{
    size_t start = 0; /* of the current literal in t->text */

    t->piece_count = 0;
    while (*text) {
        size_t size = *text == '{' ? name_size(text) : 0;
        int variable;

        if (text[0] == '{' && text[1] == '{') {
            obs_buffer_append_char(&t->text, '{');
            text += 2;
            continue;
        }
        if (size == 0) {
            obs_buffer_append_char(&t->text, *text++);
            continue;
        }
        variable = variable_find(table, text + 1, size);
        if (variable < 0) {
            size_t shown = size < 47 ? size : 47;

            memcpy(ret_unknown, text + 1, shown);
            ret_unknown[shown] = '\0';
            return -ENOENT;
        }
        text += size + 2;
        if (bare_numbers && variable_is_number(&table->variables[variable]) && *text == '"' &&
            t->text.size > start && t->text.data[t->text.size - 1] == '"') {
            t->text.size--;
            text++;
        }
        t->variables |= 1ULL << variable;
        t->pieces[t->piece_count++] = (struct piece){t->text.size - start, variable};
        start = t->text.size;
    }
    t->pieces[t->piece_count++] = (struct piece){t->text.size - start, -1};
    return t->text.error;
}

int template_compile(const char *text, enum variable_use use, bool bare_numbers,
                     const struct variable_table *table, struct template **ret_template,
                     char ret_unknown[48])
{
    OBS_CLEANUP(template_freep) struct template *t = NULL;
    size_t braces = 0;
    int r;

    for (const char *p = text; *p; p++)
        braces += *p == '{';
    t = calloc(1, sizeof(*t) + (braces + 1) * sizeof(t->pieces[0]));
    if (!t)
        return -ENOMEM;
    t->use = use;
    t->text = OBS_BUFFER_INIT(strlen(text) + 1);
    r = cut(t, text, bare_numbers, table, ret_unknown);
    if (r < 0)
        return r;
    *ret_template = OBS_TAKE(t);
    return 0;
}

int template_emit(const struct template *t, const struct variable_table *table,
                  const struct variable_values *values, struct obs_buffer *b)
{
    const char *literal = t->text.data;
    int r = 0;

    for (size_t i = 0; r == 0 && i < t->piece_count; i++) {
        const struct piece *piece = &t->pieces[i];

        if (piece->literal_size > 0) {
            r = obs_buffer_append(b, literal, piece->literal_size);
            literal += piece->literal_size;
        }
        if (r == 0 && piece->variable >= 0)
            r = variable_emit(table, (unsigned)piece->variable, values, t->use, b);
    }
    return r;
}

uint64_t template_variables(const struct template *t)
{
    return t->variables;
}
