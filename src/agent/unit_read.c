/*
 * The YAML reader gives values without their places, so a refusal finds its line again in the
 * source by the unit's name and the key under it; a table is refused once and read by a person.
 */
#include "agent/unit_read.h"

#include "base/arena.h"
#include "base/text.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- refusals and their lines ---- */

/* Line of `name:` (perhaps quoted) between the lines @from and @until, indented deeper than @outer;
 * 0 when there is none. Its indentation is left in *ret_indent. */
static unsigned find_key(const struct unit_reading *in, const char *name, unsigned from,
                         unsigned *until, int outer, int *ret_indent)
{
    size_t name_size = strlen(name);
    const char *end = in->source + in->size;
    unsigned line = 0, found = 0;

    for (const char *p = in->source; p < end;) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        const char *q = p;

        stop = stop ? stop : end;
        line++;
        while (q < stop && *q == ' ')
            q++;
        int indent = (int)(q - p);
        p = stop + 1;
        if (q == stop || *q == '#' || line <= from || (*until && line >= *until))
            continue;
        if (found && indent <= *ret_indent) {
            *until = line;
            return found;
        }
        if (q < stop && (*q == '"' || *q == '\''))
            q++;
        if (!found && indent > outer && (size_t)(stop - q) > name_size &&
            memcmp(q, name, name_size) == 0 && strchr(":\"'", q[name_size])) {
            found = line;
            *ret_indent = indent;
        }
    }
    return found;
}

unsigned unit_read_line(const struct unit_reading *in)
{
    int indent = -1;
    unsigned until = 0, line = find_key(in, "units", 0, &until, -1, &indent), deeper;

    if (line == 0 || !in->unit)
        return line ? line : 1;
    deeper = find_key(in, in->unit, line, &until, indent, &indent);
    if (deeper == 0 || !in->key)
        return deeper ? deeper : line;
    line = deeper;
    deeper = find_key(in, in->key, line, &until, indent, &indent);
    return deeper ? deeper : line;
}

int unit_read_refuse(const struct unit_reading *in, const char *format, ...)
{
    char text[200];
    unsigned line = unit_read_line(in);
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (in->unit && in->key)
        obs_reason_set_at(in->reason, line, 1, "line %u: %s.%s: %s", line, in->unit, in->key, text);
    else if (in->unit)
        obs_reason_set_at(in->reason, line, 1, "line %u: %s: %s", line, in->unit, text);
    else
        obs_reason_set_at(in->reason, line, 1, "line %u: %s", line, text);
    return UNIT_REFUSED;
}

/* ---- values ---- */

int unit_read_text(struct unit_reading *in, const json_t *value, const char **ret_text)
{
    struct obs_reason why = {0};
    struct obs_buffer b = OBS_BUFFER_INIT(VARIABLES_TEXT_MAX);
    char number[64];
    const char *text = number;
    int r;

    if (json_is_string(value))
        text = json_string_value(value);
    else if (json_is_integer(value))
        snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        snprintf(number, sizeof(number), "%.15g", json_real_value(value));
    else if (json_is_boolean(value))
        text = json_is_true(value) ? "true" : "false";
    else
        return unit_read_refuse(in, "expected a text");
    r = variables_fill(in->variables, text, strlen(text), &b, &why);
    if (r == 0) {
        *ret_text = obs_arena_strndup(in->arena, b.data ? b.data : "", b.size);
        r = *ret_text ? 0 : -ENOMEM;
    } else if (r > 0) {
        r = unit_read_refuse(in, "%s", why.text);
    } else if (r == -EMSGSIZE) {
        r = unit_read_refuse(in, "the text is too long");
    }
    obs_buffer_done(&b);
    return r;
}

int unit_read_raw_texts(struct unit_reading *in, const json_t *value, bool is_filled,
                        char ***ret_texts)
{
    size_t count = json_array_size(value);
    char **texts;

    if (!json_is_array(value) || count > UNIT_LIST_MAX)
        return unit_read_refuse(in, "expected a list of texts");
    texts = obs_arena_alloc(in->arena, (count + 1) * sizeof(*texts));
    if (!texts)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        const char *text = json_string_value(json_array_get(value, i));
        int r = is_filled || !text ? unit_read_text(in, json_array_get(value, i), &text) : 0;

        if (r != 0)
            return r;
        texts[i] = obs_arena_strndup(in->arena, text, strlen(text));
        if (!texts[i])
            return -ENOMEM;
    }
    *ret_texts = texts;
    return 0;
}

int unit_read_texts(struct unit_reading *in, const json_t *value, char ***ret_texts)
{
    return unit_read_raw_texts(in, value, true, ret_texts);
}

int unit_read_words(struct unit_reading *in, const json_t *value, char ***ret_texts)
{
    int r = unit_read_texts(in, value, ret_texts);

    return r == 0 && (!**ret_texts || !***ret_texts) ? unit_read_refuse(in, "expected a program")
                                                     : r;
}

int unit_read_bool(struct unit_reading *in, const json_t *value, bool *ret_value)
{
    const char *text;
    int r = unit_read_text(in, value, &text);

    if (r != 0)
        return r;
    if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
        return unit_read_refuse(in, "\"%.40s\": expected true or false", text);
    *ret_value = *text == 't';
    return 0;
}

int unit_read_ms(struct unit_reading *in, const json_t *value, unsigned *ret_ms)
{
    const char *text;
    uint64_t ns;
    int r = unit_read_text(in, value, &text);

    if (r != 0)
        return r;
    if (obs_text_parse_duration(text, &ns) != 0 || ns < 1000000 || ns > 86400ull * 1000000000)
        return unit_read_refuse(in, "\"%.40s\": expected a duration from 1ms to 24h, such as 500ms",
                                text);
    *ret_ms = (unsigned)(ns / 1000000);
    return 0;
}

int unit_read_count(struct unit_reading *in, const json_t *value, unsigned *ret_count)
{
    const char *text;
    uint64_t count;
    int r = unit_read_text(in, value, &text);

    if (r != 0)
        return r;
    if (obs_text_parse_u64(text, strlen(text), UNIT_COUNT_MAX, &count) != 0 || count == 0)
        return unit_read_refuse(in, "\"%.40s\": expected a number from 1 to %d", text,
                                UNIT_COUNT_MAX);
    *ret_count = (unsigned)count;
    return 0;
}

int unit_read_address(struct unit_reading *in, const json_t *value, struct obs_address *ret_address)
{
    struct obs_reason why = {0};
    const char *text;
    int r = unit_read_text(in, value, &text);

    if (r != 0)
        return r;
    r = obs_address_parse(text, ret_address, &why);
    return r > 0 ? unit_read_refuse(in, "%s", why.text) : r;
}

int unit_read_signal(struct unit_reading *in, const json_t *value, int *ret_signal)
{
    const char *text;
    int r = unit_read_text(in, value, &text);

    if (r != 0)
        return r;
    *ret_signal = unit_signal_parse(text);
    return *ret_signal ? 0 : unit_read_refuse(in, "\"%.40s\" is no signal, such as TERM", text);
}

int unit_read_choice(struct unit_reading *in, const json_t *value, const char *const *names,
                     unsigned *ret_choice)
{
    char all[120] = "";
    const char *text;
    int r = unit_read_text(in, value, &text);

    if (r != 0)
        return r;
    for (unsigned i = 0; names[i]; i++) {
        if (strcmp(names[i], text) == 0) {
            *ret_choice = i;
            return 0;
        }
        snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s", i ? ", " : "", names[i]);
    }
    return unit_read_refuse(in, "\"%.40s\": expected one of %s", text, all);
}

/* ---- maps: one list of keys each ---- */

int unit_read_map(struct unit_reading *in, const json_t *map, const struct unit_field *fields,
                  void *target)
{
    const char *key;
    json_t *value;

    if (!json_is_object(map))
        return unit_read_refuse(in, "expected a map");
    json_object_foreach ((json_t *)map, key, value) {
        const struct unit_field *field = fields;
        int r;

        while (field->name && strcmp(field->name, key) != 0)
            field++;
        if (!field->name)
            return unit_read_refuse(in, "there is no key \"%.40s\" here", key);
        r = field->read(in, value, target);
        if (r != 0)
            return r;
    }
    return 0;
}
