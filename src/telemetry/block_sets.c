/*
 * Attribute sets in columns: one column per name, in the order in which rows have it; a row is its
 * shape, the list of its names. Equal names make rows of few bytes, equal values compress to
 * nothing.
 *
 *   names: varint count, then each: text, texts (varint count, varint size, texts), tokens (varint
 *          size, varints), numbers (varint size, bytes)
 *   shapes: varint count, then each: varint names, varint numbers of names
 *   rows: a varint each, the number of the shape
 *
 * A token is what a value is: a text not seen before (0), a number that stands in the numbers (1:
 * zigzag varint, 2: double), false (3), true (4), or the text number token - 5 of the column.
 */
#include "telemetry/block.h"

#include <errno.h>

enum { TOKEN_NEW, TOKEN_INT, TOKEN_DOUBLE, TOKEN_FALSE, TOKEN_TRUE, TOKEN_TEXT };

/* ---- writing ---- */

void block_sets_clear(struct block_sets *sets)
{
    for (size_t i = 0; i < sets->names.count; i++) {
        struct block_column *column = &sets->columns[i];

        store_set_clear(&column->texts);
        bytes_clear(&column->tokens);
        bytes_clear(&column->texts_out);
        bytes_clear(&column->numbers);
    }
    store_set_clear(&sets->names);
    sets->shapes.is_copying = true;
    store_set_clear(&sets->shapes);
    bytes_clear(&sets->shape_refs);
    bytes_clear(&sets->shapes_out);
}

void block_sets_done(struct block_sets *sets)
{
    for (size_t i = 0; i < sets->column_capacity; i++) {
        store_set_done(&sets->columns[i].texts);
        bytes_done(&sets->columns[i].tokens);
        bytes_done(&sets->columns[i].texts_out);
        bytes_done(&sets->columns[i].numbers);
    }
    free(sets->columns);
    store_set_done(&sets->names);
    store_set_done(&sets->shapes);
    bytes_done(&sets->shape_refs);
    bytes_done(&sets->shapes_out);
    bytes_done(&sets->shape_key);
}

static struct block_column *column_of(struct block_sets *sets, struct text_view name,
                                      uint32_t *ret_number)
{
    bool is_new;
    uint32_t number = store_set_put(&sets->names, name, &is_new);

    if (number == STORE_SET_NONE)
        return NULL;
    if (number >= sets->column_capacity) {
        size_t capacity = sets->column_capacity ? sets->column_capacity * 2 : 16;
        struct block_column *columns =
            reallocarray(sets->columns, capacity, sizeof(struct block_column));

        if (!columns)
            return NULL;
        memset(columns + sets->column_capacity, 0,
               (capacity - sets->column_capacity) * sizeof(*columns));
        sets->columns = columns;
        sets->column_capacity = capacity;
    }
    if (is_new)
        sets->columns[number].latest_number_hash = 0;
    *ret_number = number;
    return &sets->columns[number];
}

static int put_text(struct block_column *column, const struct attribute *attribute,
                    struct block_hashes *values)
{
    bool is_new;
    uint32_t number = store_set_put(&column->texts, attribute->value.is.text, &is_new);

    if (number == STORE_SET_NONE)
        return -ENOMEM;
    bytes_put_varint(&column->tokens, is_new ? TOKEN_NEW : TOKEN_TEXT + (uint64_t)number);
    if (!is_new)
        return 0;
    bytes_put_text(&column->texts_out, attribute->value.is.text);
    return values ? block_note_hash(values, block_value_hash(attribute->name, &attribute->value))
                  : 0;
}

static int put_other(struct block_column *column, const struct attribute *attribute,
                     struct block_hashes *values)
{
    const struct value *value = &attribute->value;
    uint64_t hash = values ? block_value_hash(attribute->name, value) : 0;

    if (value->type == VALUE_BOOL) {
        bytes_put_u8(&column->tokens, value->is.boolean ? TOKEN_TRUE : TOKEN_FALSE);
    } else if (value->type == VALUE_INT) {
        bytes_put_u8(&column->tokens, TOKEN_INT);
        bytes_put_varint(&column->numbers, bytes_zigzag(value->is.integer));
    } else {
        bytes_put_u8(&column->tokens, TOKEN_DOUBLE);
        bytes_put(&column->numbers, &value->is.number, sizeof(value->is.number));
    }
    if (!values || hash == column->latest_number_hash)
        return 0;
    column->latest_number_hash = hash;
    return block_note_hash(values, hash);
}

int block_sets_add(struct block_sets *sets, const struct attribute *attributes, size_t count,
                   struct block_hashes *values)
{
    uint32_t shape;
    bool is_new;
    int r = 0;

    bytes_clear(&sets->shape_key);
    bytes_put_varint(&sets->shape_key, count);
    for (size_t i = 0; r == 0 && i < count; i++) {
        uint32_t number;
        struct block_column *column = column_of(sets, attributes[i].name, &number);

        if (!column)
            return -ENOMEM;
        bytes_put_varint(&sets->shape_key, number);
        r = attributes[i].value.type == VALUE_TEXT ? put_text(column, &attributes[i], values)
                                                   : put_other(column, &attributes[i], values);
    }
    shape = store_set_put(&sets->shapes,
                          (struct text_view){(char *)sets->shape_key.data, sets->shape_key.size},
                          &is_new);
    if (r < 0 || shape == STORE_SET_NONE || sets->shape_key.has_failed)
        return -ENOMEM;
    if (is_new)
        bytes_put(&sets->shapes_out, sets->shape_key.data, sets->shape_key.size);
    bytes_put_varint(&sets->shape_refs, shape);
    return 0;
}

static void put_part(struct bytes_out *out, const struct bytes_out *part)
{
    bytes_put_varint(out, part->size);
    bytes_put(out, part->data, part->size);
    out->has_failed |= part->has_failed;
}

void block_sets_put(struct block_sets *sets, struct bytes_out *out)
{
    bytes_put_varint(out, sets->names.count);
    for (size_t i = 0; i < sets->names.count; i++) {
        struct block_column *column = &sets->columns[i];

        bytes_put_text(out, sets->names.entries[i].text);
        bytes_put_varint(out, column->texts.count);
        put_part(out, &column->texts_out);
        put_part(out, &column->tokens);
        put_part(out, &column->numbers);
    }
    bytes_put_varint(out, sets->shapes.count);
    bytes_put(out, sets->shapes_out.data, sets->shapes_out.size);
    bytes_put(out, sets->shape_refs.data, sets->shape_refs.size);
}

/* ---- reading ---- */

struct column_cursor {
    struct text_view name;
    struct bytes_in texts, tokens, numbers;
    size_t first_text, text_count, seen;
};
struct shape {
    struct bytes_in names;
    size_t count;
};

void block_sets_view_done(struct block_sets_view *view)
{
    free(view->attributes);
    free(view->first);
    free(view->texts);
    *view = (struct block_sets_view){0};
}

static struct bytes_in get_part(struct bytes_in *in)
{
    size_t size = bytes_get_varint(in);
    const uint8_t *at = bytes_get(in, size);

    return at ? (struct bytes_in){at, at + size, false} : (struct bytes_in){in->end, in->end, true};
}

static bool room(void *array, size_t *capacity, size_t needed, size_t element)
{
    void **pointer = array, *grown;
    size_t wanted = *capacity ? *capacity : 1024;

    if (needed <= *capacity)
        return true;
    while (wanted < needed)
        wanted *= 2;
    grown = reallocarray(*pointer, wanted, element);
    if (!grown)
        return false;
    *pointer = grown;
    *capacity = wanted;
    return true;
}

static bool next_value(struct column_cursor *column, struct text_view *texts, struct value *value)
{
    uint64_t token = bytes_get_varint(&column->tokens);
    const uint8_t *raw;

    switch (token) {
    case TOKEN_NEW:
        if (column->seen >= column->text_count)
            return false;
        value->type = VALUE_TEXT;
        value->is.text = texts[column->first_text + column->seen++] =
            bytes_get_text(&column->texts);
        return !column->texts.has_failed && !column->tokens.has_failed;
    case TOKEN_INT:
        value->type = VALUE_INT;
        value->is.integer = bytes_unzigzag(bytes_get_varint(&column->numbers));
        return !column->numbers.has_failed;
    case TOKEN_DOUBLE:
        value->type = VALUE_DOUBLE;
        raw = bytes_get(&column->numbers, 8);
        if (raw)
            memcpy(&value->is.number, raw, 8);
        return raw != NULL;
    case TOKEN_FALSE:
    case TOKEN_TRUE:
        value->type = VALUE_BOOL;
        value->is.boolean = token == TOKEN_TRUE;
        return true;
    default:
        if (token - TOKEN_TEXT >= column->seen)
            return false;
        value->type = VALUE_TEXT;
        value->is.text = texts[column->first_text + token - TOKEN_TEXT];
        return true;
    }
}

static int read_columns(struct bytes_in *in, struct column_cursor *columns, size_t count,
                        struct block_sets_view *view, size_t *ret_attributes)
{
    size_t texts = 0;

    *ret_attributes = 0;
    for (size_t i = 0; i < count; i++) {
        struct column_cursor *column = &columns[i];

        column->name = bytes_get_text(in);
        column->text_count = bytes_get_count(in);
        column->texts = get_part(in);
        column->tokens = get_part(in);
        column->numbers = get_part(in);
        column->first_text = texts;
        texts += column->text_count;
        *ret_attributes += (size_t)(column->tokens.end - column->tokens.at);
    }
    if (in->has_failed)
        return -EBADMSG;
    return room(&view->texts, &view->text_capacity, texts, sizeof(*view->texts)) ? 0 : -ENOMEM;
}

static int read_shapes(struct bytes_in *in, struct shape *shapes, size_t count, size_t names)
{
    for (size_t i = 0; i < count; i++) {
        const uint8_t *from;

        shapes[i].count = bytes_get_count(in);
        from = in->at;
        for (size_t k = 0; k < shapes[i].count; k++)
            if (bytes_get_varint(in) >= names)
                return -EBADMSG;
        shapes[i].names = (struct bytes_in){from, in->at, false};
    }
    return in->has_failed ? -EBADMSG : 0;
}

static int read_rows(struct bytes_in *in, size_t rows, struct column_cursor *columns,
                     const struct shape *shapes, size_t shape_count, size_t limit,
                     struct block_sets_view *view)
{
    size_t at = 0;

    for (size_t i = 0; i < rows; i++) {
        size_t shape = bytes_get_varint(in);
        struct bytes_in names;

        view->first[i] = (uint32_t)at;
        if (shape >= shape_count || at + shapes[shape].count > limit)
            return -EBADMSG;
        names = shapes[shape].names;
        for (size_t k = shapes[shape].count; k > 0; k--, at++) {
            struct column_cursor *column = &columns[bytes_get_varint(&names)];

            view->attributes[at].name = column->name;
            if (!next_value(column, view->texts, &view->attributes[at].value))
                return -EBADMSG;
        }
    }
    view->first[rows] = (uint32_t)at;
    return in->has_failed ? -EBADMSG : 0;
}

int block_sets_read(struct bytes_in *in, size_t rows, struct block_sets_view *view)
{
    size_t name_count = bytes_get_count(in), shape_count, total;
    OBS_CLEANUP(obs_freep)
    struct column_cursor *columns = calloc(name_count + 1, sizeof(struct column_cursor));
    OBS_CLEANUP(obs_freep) struct shape *shapes = NULL;
    int r = columns ? read_columns(in, columns, name_count, view, &total) : -ENOMEM;

    if (r < 0)
        return r;
    shape_count = bytes_get_count(in);
    shapes = calloc(shape_count + 1, sizeof(*shapes));
    if (!shapes ||
        !room(&view->attributes, &view->attribute_capacity, total + 1, sizeof(*view->attributes)) ||
        !room(&view->first, &view->first_capacity, rows + 1, sizeof(*view->first)))
        return -ENOMEM;
    r = read_shapes(in, shapes, shape_count, name_count);
    return r < 0 ? r : read_rows(in, rows, columns, shapes, shape_count, total, view);
}

static int each_value(struct column_cursor *column, block_name_fn *fn, void *userdata)
{
    struct value latest = {.type = VALUE_BOOL}, value = {.type = VALUE_TEXT};
    bool has_latest = false;
    int r = 0;

    for (size_t i = 0; r == 0 && i < column->text_count; i++) {
        value.is.text = bytes_get_text(&column->texts);
        r = fn(column->name, &value, userdata);
    }
    while (r == 0 && column->tokens.at < column->tokens.end) {
        struct column_cursor texts = {.text_count = 0};
        uint64_t token = bytes_get_varint(&column->tokens);
        uint8_t one = (uint8_t)token;

        if (token == TOKEN_NEW || token >= TOKEN_TEXT)
            continue;
        texts.tokens = (struct bytes_in){&one, &one + 1, false};
        texts.numbers = column->numbers;
        if (!next_value(&texts, NULL, &value))
            return -EBADMSG;
        column->numbers = texts.numbers;
        if (has_latest && latest.type == value.type &&
            memcmp(&latest.is, &value.is, value.type == VALUE_BOOL ? 1 : 8) == 0)
            continue;
        latest = value;
        has_latest = true;
        r = fn(column->name, &value, userdata);
    }
    return r;
}

int block_sets_names(struct bytes_in *in, const struct text_view *values_of, block_name_fn *fn,
                     void *userdata)
{
    int r = 0;

    for (size_t left = bytes_get_count(in); r == 0 && left > 0 && !in->has_failed; left--) {
        struct column_cursor column = {.name = bytes_get_text(in)};

        column.text_count = bytes_get_count(in);
        column.texts = get_part(in);
        column.tokens = get_part(in);
        column.numbers = get_part(in);
        if (in->has_failed)
            break;
        if (!values_of)
            r = fn(column.name, NULL, userdata);
        else if (text_equal(column.name, *values_of))
            r = each_value(&column, fn, userdata);
    }
    return r == 0 && in->has_failed ? -EBADMSG : r;
}
