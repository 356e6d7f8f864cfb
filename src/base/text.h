#pragma once
/*
 * Text: strict parsing and encoding of small things. No function reads past the given size, none
 * depends on the locale.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum obs_text_outcome {
    OBS_TEXT_OK = 0,
    OBS_TEXT_BAD = 1,   /* not of the form asked for */
    OBS_TEXT_RANGE = 2, /* of the form, but does not fit */
};

/* Decimal digits only, no sign or space, at most @max. */
int obs_text_parse_u64(const char *text, size_t size, uint64_t max, uint64_t *ret_value);

/* Percent-decode (RFC 3986 section 2.1) @in[size] into @out[capacity], NUL-terminated. A bad or
 * truncated escape and an encoded or plain NUL are OBS_TEXT_BAD. @plus_is_space for query strings
 * (application/x-www-form-urlencoded). @out may be @in. */
int obs_text_percent_decode(const char *in, size_t size, bool plus_is_space, char *out,
                            size_t capacity, size_t *ret_size);

/* Percent-encode everything but RFC 3986 unreserved characters; @out[capacity] NUL-terminated. */
int obs_text_percent_encode(const char *in, size_t size, char *out, size_t capacity);

/* Lower-case hex. @out has 2 * size + 1 bytes. */
void obs_text_hex(const uint8_t *bytes, size_t size, char *out);
/* Exactly 2 * size lower-case hex digits at @text. */
int obs_text_unhex(const char *text, size_t text_size, uint8_t *ret_bytes, size_t size);

/* Duration such as "250ms", "1.5s", "2m", "1h" to nanoseconds. The unit is required. */
int obs_text_parse_duration(const char *text, uint64_t *ret_ns);

bool obs_text_is_utf8(const char *text, size_t size);
bool obs_text_equal_nocase(const char *a, size_t a_size, const char *b); /* ASCII only */
