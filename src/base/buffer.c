/* Buffer: doubles its memory until the limit; a failed append leaves the bytes as they were. */
#include "base/buffer.h"

#include "base/text.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define FIRST_CAPACITY 256

void obs_buffer_done(struct obs_buffer *b)
{
    free(b->data);
    b->data = NULL;
    b->size = b->capacity = 0;
    b->error = 0;
}

void obs_buffer_clear(struct obs_buffer *b)
{
    b->size = 0;
    b->error = 0;
    if (b->data)
        b->data[0] = '\0';
}

/* Room for @size more bytes and the NUL. */
static int make_room(struct obs_buffer *b, size_t size)
{
    size_t capacity = b->capacity ? b->capacity : FIRST_CAPACITY;
    char *data;

    if (b->error)
        return b->error;
    if (b->size > b->limit || size > b->limit - b->size || b->limit == SIZE_MAX)
        return b->error = -EMSGSIZE;
    if (b->data && b->size + size < b->capacity)
        return 0;
    while (capacity <= b->size + size)
        capacity = capacity > SIZE_MAX / 2 ? b->size + size + 1 : capacity * 2;
    if (capacity > b->limit + 1)
        capacity = b->limit + 1;
    data = realloc(b->data, capacity);
    if (!data)
        return b->error = -ENOMEM;
    b->data = data;
    b->capacity = capacity;
    return 0;
}

int obs_buffer_append(struct obs_buffer *b, const void *data, size_t size)
{
    int r = make_room(b, size);

    if (r < 0)
        return r;
    if (size > 0)
        memcpy(b->data + b->size, data, size);
    b->size += size;
    b->data[b->size] = '\0';
    return 0;
}

int obs_buffer_append_text(struct obs_buffer *b, const char *text)
{
    return obs_buffer_append(b, text, strlen(text));
}

int obs_buffer_append_char(struct obs_buffer *b, char c)
{
    return obs_buffer_append(b, &c, 1);
}

int obs_buffer_vprintf(struct obs_buffer *b, const char *format, va_list args)
{
    va_list again;
    size_t room;
    int size;

    if (b->error)
        return b->error;
    room = b->data ? b->capacity - b->size : 0;
    va_copy(again, args);
    size = vsnprintf(room ? b->data + b->size : NULL, room, format, again);
    va_end(again);
    if (size < 0) /* an encoding error: only wide-character formats have them */
        return b->error = -EINVAL;
    if (make_room(b, (size_t)size) < 0) {
        if (b->data)
            b->data[b->size] = '\0';
        return b->error;
    }
    if ((size_t)size >= room)
        vsnprintf(b->data + b->size, (size_t)size + 1, format, args);
    b->size += (size_t)size;
    return 0;
}

int obs_buffer_printf(struct obs_buffer *b, const char *format, ...)
{
    va_list args;
    int r;

    va_start(args, format);
    r = obs_buffer_vprintf(b, format, args);
    va_end(args);
    return r;
}

int obs_buffer_append_json(struct obs_buffer *b, const char *text, size_t size)
{
    size_t before = b->size;
    int r = obs_buffer_append_char(b, '"');

    while (r == 0 && size > 0) {
        size_t room = size < 16 ? 16 : size, left = b->limit - b->size, used;
        char *space;

        /* Escapes may need less room than the text's size and a bit: go as far as the limit. */
        r = obs_buffer_reserve(b, room < left ? room : left, &space);
        if (r < 0)
            break;
        obs_buffer_added(b,
                         obs_text_json_escape(text, size, space, room < left ? room : left, &used));
        if (used == 0)
            r = b->error = -EMSGSIZE;
        text += used;
        size -= used;
    }
    if (r == 0)
        r = obs_buffer_append_char(b, '"');
    if (r < 0 && b->data) {
        b->size = before;
        b->data[before] = '\0';
    }
    return r;
}

int obs_buffer_reserve(struct obs_buffer *b, size_t size, char **ret_space)
{
    int r = make_room(b, size);

    if (r < 0)
        return r;
    *ret_space = b->data + b->size;
    return 0;
}

void obs_buffer_added(struct obs_buffer *b, size_t size)
{
    b->size += size;
    b->data[b->size] = '\0';
}

void obs_buffer_consume(struct obs_buffer *b, size_t size)
{
    if (size == 0)
        return;
    b->size -= size;
    memmove(b->data, b->data + size, b->size + 1);
}
