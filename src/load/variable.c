#include "load/variable.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "load/rng.h"
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define ZIPF_MAX 1000000
#define PICK_MAX 10000

static struct variable *add(struct variable_table *table, const char *name, enum variable_kind kind)
{
    struct variable *v;

    if (table->count == VARIABLES_MAX)
        return NULL;
    v = &table->variables[table->count++];
    *v = (struct variable){.kind = kind};
    snprintf(v->name, sizeof(v->name), "%s", name);
    return v;
}

void variable_table_init(struct variable_table *table)
{
    memset(table, 0, sizeof(*table));
    add(table, "user", VARIABLE_USER);
    add(table, "arrival", VARIABLE_ARRIVAL);
}

void variable_table_done(struct variable_table *table)
{
    for (unsigned i = 0; i < table->count; i++) {
        struct variable *v = &table->variables[i];

        free(v->cumulative);
        for (size_t c = 0; c < v->choice_count; c++)
            free(v->choices[c]);
        free(v->choices);
    }
    table->count = table->slot_count = 0;
}

int variable_find(const struct variable_table *table, const char *name, size_t size)
{
    for (unsigned i = 0; i < table->count; i++)
        if (strlen(table->variables[i].name) == size &&
            memcmp(table->variables[i].name, name, size) == 0)
            return (int)i;
    return -1;
}

int variable_table_extract(struct variable_table *table, const char *name)
{
    int index = variable_find(table, name, strlen(name));
    struct variable *v;

    if (index >= 0)
        return table->variables[index].kind == VARIABLE_EXTRACTED ? index : -EEXIST;
    v = add(table, name, VARIABLE_EXTRACTED);
    if (!v)
        return -ENOSPC;
    v->slot = table->slot_count++;
    return (int)table->count - 1;
}

bool variable_is_number(const struct variable *v)
{
    return v->kind == VARIABLE_USER || v->kind == VARIABLE_ARRIVAL || v->kind == VARIABLE_INTEGER ||
           v->kind == VARIABLE_ZIPF;
}

/* ---- reading ---- */

static int read_range(const struct field_object *o, const char *name, const char *const *names,
                      struct variable *v, struct field_object *ret_range)
{
    int r = field_open(json_object_get(o->json, name), FIELD_AT(o->path, name), names, o->reason,
                       ret_range);

    if (r == 0)
        r = field_integer(ret_range, "from", true, INT64_MIN / 2, INT64_MAX / 2, &v->low);
    if (r == 0)
        r = field_integer(ret_range, "to", true, v->low, INT64_MAX / 2, &v->high);
    return r;
}

static int read_integer(const struct field_object *o, struct variable *v)
{
    static const char *const names[] = {"from", "to", NULL};
    struct field_object range;

    return read_range(o, "integer", names, v, &range);
}

static int read_zipf(const struct field_object *o, struct variable *v)
{
    static const char *const names[] = {"from", "to", "exponent", NULL};
    struct field_object range;
    double exponent = 1, sum = 0;
    size_t n;
    int r = read_range(o, "zipf", names, v, &range);

    if (r == 0)
        r = field_number(&range, "exponent", false, 0, 10, &exponent);
    if (r != 0)
        return r;
    n = (size_t)(v->high - v->low) + 1;
    if (n > ZIPF_MAX)
        return field_expected(&range, "to", "at most a million values from \"from\"");
    v->cumulative = calloc(n, sizeof(double));
    if (!v->cumulative)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++)
        v->cumulative[i] = sum += pow((double)(i + 1), -exponent);
    for (size_t i = 0; i < n; i++)
        v->cumulative[i] /= sum;
    return 0;
}

static int read_pick(const struct field_object *o, struct variable *v)
{
    const json_t *list;
    int r = field_array(o, "pick", true, 1, PICK_MAX, &list);

    if (r != 0)
        return r;
    v->choices = calloc(json_array_size(list), sizeof(*v->choices));
    if (!v->choices)
        return -ENOMEM;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *value = json_array_get(list, i);

        if (!json_is_string(value))
            return field_expected(o, "pick", "a list of texts");
        v->choices[i] = strdup(json_string_value(value));
        if (!v->choices[i])
            return -ENOMEM;
        v->choice_count++;
    }
    return 0;
}

static int read_uuid(const struct field_object *o, struct variable *v)
{
    if (!json_is_true(json_object_get(o->json, "uuid")))
        return field_expected(o, "uuid", "true");
    return 0;
}

static const struct {
    const char *name;
    enum variable_kind kind;
    int (*read)(const struct field_object *o, struct variable *v);
} KINDS[] = {
    {"integer", VARIABLE_INTEGER, read_integer},
    {"zipf", VARIABLE_ZIPF, read_zipf},
    {"pick", VARIABLE_PICK, read_pick},
    {"uuid", VARIABLE_UUID, read_uuid},
};

static bool is_name(const char *name)
{
    size_t size = strlen(name);

    if (size == 0 || size >= sizeof(((struct variable *)0)->name) || !islower(*name))
        return false;
    return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == size;
}

static int read_one(struct variable_table *table, const char *name, const struct field_object *o)
{
    struct variable *v;

    if (!is_name(name))
        return field_refuse(o, NULL, "is no name for a variable: expected a-z, 0-9, _, at most 39");
    if (variable_find(table, name, strlen(name)) >= 0)
        return field_refuse(o, NULL, "is the name of a variable that is always there");
    for (size_t i = 0; i < OBS_COUNT(KINDS); i++) {
        if (!json_object_get(o->json, KINDS[i].name))
            continue;
        v = add(table, name, KINDS[i].kind);
        if (!v)
            return field_refuse(o, NULL, "is one too many: at most %d variables", VARIABLES_MAX);
        return KINDS[i].read(o, v);
    }
    return field_refuse(o, NULL, "is empty: expected one of integer, zipf, pick, uuid");
}

int variable_table_parse(struct variable_table *table, const json_t *json,
                         const struct field_path *path, struct obs_reason *reterr_reason)
{
    static const char *const kinds[] = {"integer", "zipf", "pick", "uuid", NULL};
    struct field_object all = {json, path, reterr_reason};
    const char *name;
    json_t *value;
    int r = 0;

    if (!json)
        return 0;
    if (!json_is_object(json))
        return field_refuse(&all, NULL, "is not an object: expected {\"name\": {…}}");
    json_object_foreach ((json_t *)json, name, value) {
        struct field_object o;

        r = field_open(value, FIELD_AT(path, name), kinds, reterr_reason, &o);
        if (r == 0)
            r = read_one(table, name, &o);
        if (r != 0)
            return r;
    }
    return 0;
}

/* ---- writing ---- */

static int64_t draw_zipf(const struct variable *v, uint64_t random)
{
    double u = rng_to_unit(random);
    size_t low = 0, high = (size_t)(v->high - v->low);

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (v->cumulative[middle] <= u)
            low = middle + 1;
        else
            high = middle;
    }
    return v->low + (int64_t)low;
}

static int draw_uuid(uint64_t high, uint64_t low, struct obs_buffer *b)
{
    return obs_buffer_printf(b, "%08x-%04x-4%03x-%04x-%012" PRIx64, (unsigned)(high >> 32),
                             (unsigned)(high >> 16) & 0xffff, (unsigned)high & 0xfff,
                             (unsigned)((low >> 48) & 0x3fff) | 0x8000, (low << 16) >> 16);
}

static int emit_target(const char *text, size_t size, struct obs_buffer *b)
{
    char *space;
    size_t room = size * 3 + 1;
    int r = obs_buffer_reserve(b, room, &space);

    if (r == 0 && obs_text_percent_encode(text, size, space, room) == 0)
        obs_buffer_added(b, strlen(space));
    return r;
}

static int emit_header(const char *text, size_t size, struct obs_buffer *b)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < size; i++)
        if ((unsigned char)text[i] >= 0x20 && text[i] != 0x7f)
            r = obs_buffer_append_char(b, text[i]);
    return r;
}

static int emit_json(const char *text, size_t size, struct obs_buffer *b)
{
    size_t start = b->size;
    int r = obs_buffer_append_json(b, text, size);

    if (r != 0)
        return r;
    memmove(b->data + start, b->data + start + 1, b->size - start - 1);
    b->size -= 2; /* the quotes stand in the template */
    return 0;
}

static int emit_text(const char *text, enum variable_use use, struct obs_buffer *b)
{
    size_t size = strlen(text);

    switch (use) {
    case VARIABLE_IN_TARGET:
        return emit_target(text, size, b);
    case VARIABLE_IN_HEADER:
        return emit_header(text, size, b);
    case VARIABLE_IN_JSON:
        return emit_json(text, size, b);
    default:
        return obs_buffer_append(b, text, size);
    }
}

int variable_emit(const struct variable_table *table, unsigned index,
                  const struct variable_values *values, enum variable_use use, struct obs_buffer *b)
{
    const struct variable *v = &table->variables[index];
    uint64_t random = rng_at(values->seed, index);
    const char *text;

    switch (v->kind) {
    case VARIABLE_USER:
        return obs_buffer_printf(b, "%" PRIu64, values->user);
    case VARIABLE_ARRIVAL:
        return obs_buffer_printf(b, "%" PRIu64, values->arrival);
    case VARIABLE_INTEGER:
        return obs_buffer_printf(b, "%" PRId64, rng_to_range(random, v->low, v->high));
    case VARIABLE_ZIPF:
        return obs_buffer_printf(b, "%" PRId64, draw_zipf(v, random));
    case VARIABLE_PICK:
        return emit_text(v->choices[rng_to_range(random, 0, (int64_t)v->choice_count - 1)], use, b);
    case VARIABLE_UUID:
        return draw_uuid(random, rng_at(values->seed ^ random, index), b);
    case VARIABLE_EXTRACTED:
        text = values->extracted ? values->extracted[v->slot] : NULL;
        return text ? emit_text(text, use, b) : 0;
    }
    return 0;
}
