#pragma once
/*
 * Buffer: bytes that grow up to a named limit.
 *
 * Appends fail as a whole or succeed as a whole. The first failure sticks (`error`), so a caller
 * may append many times and check once at the end. `data` is always NUL-terminated after an append
 * (the NUL is not counted), NULL before the first.
 */
#include "base/cleanup.h"
#include <stdarg.h>
#include <stddef.h>

struct obs_buffer {
    char *data;
    size_t size;     /* bytes in use */
    size_t capacity; /* bytes allocated */
    size_t limit;    /* size never passes this */
    int error;       /* 0, -ENOMEM or -EMSGSIZE (limit reached): the first failed append */
};

#define OBS_BUFFER_INIT(limit_bytes) ((struct obs_buffer){.limit = (limit_bytes)})

void obs_buffer_done(struct obs_buffer *b);  /* frees the bytes; the limit stays */
void obs_buffer_clear(struct obs_buffer *b); /* size and error to 0; keeps the memory */

/* Each returns 0, or b->error (-ENOMEM, -EMSGSIZE) and then b holds what it held before the call.
 */
int obs_buffer_append(struct obs_buffer *b, const void *data, size_t size);
int obs_buffer_append_text(struct obs_buffer *b, const char *text);
int obs_buffer_append_char(struct obs_buffer *b, char c);
int obs_buffer_printf(struct obs_buffer *b, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
int obs_buffer_vprintf(struct obs_buffer *b, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

/* Append @text[size] as a JSON string with its quotes (RFC 8259 section 7). Bytes that are not
 * UTF-8 become U+FFFD. */
int obs_buffer_append_json(struct obs_buffer *b, const char *text, size_t size);

/* Make room for @size more bytes and point *ret_space at it; the caller then adds what it wrote
 * with obs_buffer_added(). */
int obs_buffer_reserve(struct obs_buffer *b, size_t size, char **ret_space);
void obs_buffer_added(struct obs_buffer *b, size_t size);

/* Drop @size bytes from the front (size <= b->size). */
void obs_buffer_consume(struct obs_buffer *b, size_t size);
