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
 * truncated escape and an encoded or plain NUL are OBS_TEXT_BAD; what does not fit is
 * OBS_TEXT_RANGE. @plus_is_space for query strings (application/x-www-form-urlencoded). @out may be
 * @in. @ret_size may be NULL. */
int obs_text_percent_decode(const char *in, size_t size, bool plus_is_space, char *out,
                            size_t capacity, size_t *ret_size);

/* Percent-encode everything but RFC 3986 unreserved characters; @out[capacity] NUL-terminated.
 * Return: 0, OBS_TEXT_RANGE (@out too small). */
int obs_text_percent_encode(const char *in, size_t size, char *out, size_t capacity);

/* Lower-case hex. @out has 2 * size + 1 bytes. */
void obs_text_hex(const uint8_t *bytes, size_t size, char *out);
/* Exactly 2 * size lower-case hex digits at @text. */
int obs_text_unhex(const char *text, size_t text_size, uint8_t *ret_bytes, size_t size);

/* Duration such as "250ms", "1.5s", "2m", "1h" to nanoseconds. The unit is required: ns, us, ms, s,
 * m or h. At most 9 digits after the point. */
int obs_text_parse_duration(const char *text, uint64_t *ret_ns);

/* A JSON number (RFC 8259 section 6). OBS_TEXT_RANGE when a double cannot hold it (1e999). */
int obs_text_parse_number(const char *text, size_t size, double *ret_value);
/* The shortest of 15 or 17 digits that reads back as @value: "0.2", "1e+300". NaN and infinities
 * are "NaN", "+Inf", "-Inf" (OpenMetrics' spelling). Returns @out. */
#define OBS_TEXT_NUMBER_SIZE 32
char *obs_text_number(double value, char out[OBS_TEXT_NUMBER_SIZE]);

/* Escape text[size] for the inside of a JSON string (RFC 8259 section 7); bytes that are not UTF-8
 * become U+FFFD. Stops at the first character that does not fit out[capacity]; no NUL is added.
 * @ret_used: bytes of text taken. Return: bytes written. */
size_t obs_text_json_escape(const char *text, size_t size, char *out, size_t capacity,
                            size_t *ret_used);

/* Write code point @code (at most U+10FFFF) as UTF-8. Return: bytes written, 1 to 4. */
size_t obs_text_put_utf8(uint32_t code, char out[4]);
bool obs_text_is_utf8(const char *text, size_t size);
/* Bytes of the character (RFC 3629) at the start of text[size]: 1 to 4, or 0 when there is none. */
size_t obs_text_utf8_length(const char *text, size_t size);
bool obs_text_equal_nocase(const char *a, size_t a_size, const char *b); /* ASCII only */
