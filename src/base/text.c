/*
 * Text: see text.h. Numbers are read and written by hand or in the "C" locale, so that a program
 * that calls setlocale() reads the same files.
 */
#include "base/text.h"

#include "base/clock.h"
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int hex_value(char c)
{
    if (is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int obs_text_parse_u64(const char *text, size_t size, uint64_t max, uint64_t *ret_value)
{
    uint64_t value = 0;
    bool fits = true;

    if (size == 0)
        return OBS_TEXT_BAD;
    for (size_t i = 0; i < size; i++) {
        if (!is_digit(text[i]))
            return OBS_TEXT_BAD;
        fits = fits && !__builtin_mul_overflow(value, 10, &value) &&
               !__builtin_add_overflow(value, (uint64_t)(text[i] - '0'), &value);
    }
    if (!fits || value > max)
        return OBS_TEXT_RANGE;
    *ret_value = value;
    return OBS_TEXT_OK;
}

int obs_text_percent_decode(const char *in, size_t size, bool plus_is_space, char *out,
                            size_t capacity, size_t *ret_size)
{
    size_t written = 0;

    if (capacity == 0)
        return OBS_TEXT_RANGE;
    for (size_t i = 0; i < size; i++) {
        int c = (unsigned char)in[i];

        if (c == '%') {
            int high, low;

            if (size - i < 3)
                return OBS_TEXT_BAD;
            high = hex_value(in[i + 1]);
            low = hex_value(in[i + 2]);
            if (high < 0 || low < 0)
                return OBS_TEXT_BAD;
            c = high * 16 + low;
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        if (c == '\0')
            return OBS_TEXT_BAD;
        if (written + 1 >= capacity)
            return OBS_TEXT_RANGE;
        out[written++] = (char)c;
    }
    out[written] = '\0';
    if (ret_size)
        *ret_size = written;
    return OBS_TEXT_OK;
}

static bool is_unreserved(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

int obs_text_percent_encode(const char *in, size_t size, char *out, size_t capacity)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t written = 0;

    for (size_t i = 0; i < size; i++) {
        size_t wanted = is_unreserved(in[i]) ? 1 : 3;

        if (capacity - written <= wanted)
            return OBS_TEXT_RANGE;
        if (wanted == 1) {
            out[written++] = in[i];
        } else {
            out[written++] = '%';
            out[written++] = digits[(unsigned char)in[i] >> 4];
            out[written++] = digits[(unsigned char)in[i] & 15];
        }
    }
    if (capacity == 0)
        return OBS_TEXT_RANGE;
    out[written] = '\0';
    return OBS_TEXT_OK;
}

void obs_text_hex(const uint8_t *bytes, size_t size, char *out)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < size; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * size] = '\0';
}

int obs_text_unhex(const char *text, size_t text_size, uint8_t *ret_bytes, size_t size)
{
    if (text_size != 2 * size)
        return OBS_TEXT_BAD;
    for (size_t i = 0; i < text_size; i++)
        if (hex_value(text[i]) < 0 || (text[i] >= 'A' && text[i] <= 'F'))
            return OBS_TEXT_BAD;
    for (size_t i = 0; i < size; i++)
        ret_bytes[i] = (uint8_t)(hex_value(text[2 * i]) * 16 + hex_value(text[2 * i + 1]));
    return OBS_TEXT_OK;
}

static uint64_t duration_unit_ns(const char *unit)
{
    static const struct {
        const char *name;
        uint64_t ns;
    } units[] = {{"ns", 1},
                 {"us", OBS_NS_PER_US},
                 {"ms", OBS_NS_PER_MS},
                 {"s", OBS_NS_PER_SECOND},
                 {"m", 60 * OBS_NS_PER_SECOND},
                 {"h", 3600 * OBS_NS_PER_SECOND}};

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (strcmp(unit, units[i].name) == 0)
            return units[i].ns;
    return 0;
}

int obs_text_parse_duration(const char *text, uint64_t *ret_ns)
{
    size_t whole_size = strspn(text, "0123456789"), fraction_size = 0;
    uint64_t whole, fraction = 0, scale = 1, unit_ns;
    const char *unit = text + whole_size;
    unsigned __int128 ns;
    int r;

    if (*unit == '.') {
        fraction_size = strspn(++unit, "0123456789");
        if (fraction_size == 0 || fraction_size > 9)
            return OBS_TEXT_BAD;
        obs_text_parse_u64(unit, fraction_size, UINT64_MAX, &fraction);
        unit += fraction_size;
    }
    unit_ns = duration_unit_ns(unit);
    if (unit_ns == 0)
        return OBS_TEXT_BAD;
    r = obs_text_parse_u64(text, whole_size, UINT64_MAX, &whole);
    if (r != 0)
        return r;
    for (size_t i = 0; i < fraction_size; i++)
        scale *= 10;
    ns = (unsigned __int128)whole * unit_ns + (unsigned __int128)fraction * unit_ns / scale;
    if (ns > UINT64_MAX)
        return OBS_TEXT_RANGE;
    *ret_ns = (uint64_t)ns;
    return OBS_TEXT_OK;
}

static locale_t c_locale;

static void make_c_locale(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

/* Size of the number that text starts with by RFC 8259's grammar, 0 when there is none. */
static size_t number_size(const char *text, size_t size)
{
    size_t i = 0, start;

    if (i < size && text[i] == '-')
        i++;
    start = i;
    while (i < size && is_digit(text[i]))
        i++;
    if (i == start || (text[start] == '0' && i - start > 1))
        return 0;
    if (i < size && text[i] == '.') {
        start = ++i;
        while (i < size && is_digit(text[i]))
            i++;
        if (i == start)
            return 0;
    }
    if (i < size && (text[i] == 'e' || text[i] == 'E')) {
        i++;
        if (i < size && (text[i] == '+' || text[i] == '-'))
            i++;
        start = i;
        while (i < size && is_digit(text[i]))
            i++;
        if (i == start)
            return 0;
    }
    return i;
}

int obs_text_parse_number(const char *text, size_t size, double *ret_value)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    char copy[400]; /* longer than any double needs (DBL_MAX has 309 digits) */
    double value;

    if (size == 0 || number_size(text, size) != size)
        return OBS_TEXT_BAD;
    if (size >= sizeof(copy))
        return OBS_TEXT_RANGE;
    memcpy(copy, text, size);
    copy[size] = '\0';
    pthread_once(&once, make_c_locale);
    value = c_locale ? strtod_l(copy, NULL, c_locale) : strtod(copy, NULL);
    if (!isfinite(value))
        return OBS_TEXT_RANGE;
    *ret_value = value;
    return OBS_TEXT_OK;
}

/* printf's decimal point is the locale's, which may be several bytes; ours is '.'. */
static void set_point(char *text)
{
    size_t end = strspn(text, "+-0123456789e");
    size_t point = strcspn(text + end, "+-0123456789e");

    if (text[end] == '\0')
        return;
    text[end] = '.';
    memmove(text + end + 1, text + end + point, strlen(text + end + point) + 1);
}

char *obs_text_number(double value, char out[OBS_TEXT_NUMBER_SIZE])
{
    if (isnan(value))
        return strcpy(out, "NaN");
    if (isinf(value))
        return strcpy(out, value < 0 ? "-Inf" : "+Inf");
    for (int digits = 15; digits <= 17; digits += 2) {
        double back;

        snprintf(out, OBS_TEXT_NUMBER_SIZE, "%.*g", digits, value);
        set_point(out);
        if (obs_text_parse_number(out, strlen(out), &back) == OBS_TEXT_OK && !(back < value) &&
            !(back > value))
            break;
    }
    return out;
}

/* One character's escape into @out; bytes written. */
static size_t json_escape_one(unsigned char c, char out[6])
{
    static const char digits[] = "0123456789abcdef";
    static const char plain[] = "\"\"\\\\\bb\ff\nn\rr\tt"; /* pairs: character, letter */

    out[0] = '\\';
    for (size_t i = 0; plain[i]; i += 2)
        if ((unsigned char)plain[i] == c) {
            out[1] = plain[i + 1];
            return 2;
        }
    memcpy(out + 1, "u00", 3);
    out[4] = digits[c >> 4];
    out[5] = digits[c & 15];
    return 6;
}

size_t obs_text_json_escape(const char *text, size_t size, char *out, size_t capacity,
                            size_t *ret_used)
{
    size_t written = 0, at = 0;

    while (at < size) {
        unsigned char c = (unsigned char)text[at];
        size_t length = 1, wanted;
        const char *piece = text + at;
        char escape[6];

        if (c >= 0x20 && c < 0x7F && c != '"' && c != '\\') {
            wanted = 1;
        } else if (c < 0x80) {
            wanted = json_escape_one(c, escape);
            piece = escape;
        } else {
            length = wanted = obs_text_utf8_length(text + at, size - at);
            if (length == 0) {
                length = 1;
                wanted = 3;
                piece = "\xEF\xBF\xBD"; /* U+FFFD */
            }
        }
        if (wanted > capacity - written)
            break;
        memcpy(out + written, piece, wanted);
        written += wanted;
        at += length;
    }
    *ret_used = at;
    return written;
}

size_t obs_text_utf8_length(const char *text, size_t size)
{
    const unsigned char *b = (const unsigned char *)text;
    unsigned char low = 0x80, high = 0xBF; /* range of the second byte: RFC 3629 section 4 */
    size_t length;

    if (size == 0)
        return 0;
    if (b[0] < 0x80)
        return 1;
    if (b[0] < 0xC2 || b[0] > 0xF4)
        return 0;
    length = b[0] < 0xE0 ? 2 : b[0] < 0xF0 ? 3 : 4;
    if (size < length)
        return 0;
    if (b[0] == 0xE0)
        low = 0xA0;
    else if (b[0] == 0xED)
        high = 0x9F;
    else if (b[0] == 0xF0)
        low = 0x90;
    else if (b[0] == 0xF4)
        high = 0x8F;
    if (b[1] < low || b[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if (b[i] < 0x80 || b[i] > 0xBF)
            return 0;
    return length;
}

bool obs_text_is_utf8(const char *text, size_t size)
{
    for (size_t at = 0; at < size;) {
        size_t length = obs_text_utf8_length(text + at, size - at);

        if (length == 0)
            return false;
        at += length;
    }
    return true;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool obs_text_equal_nocase(const char *a, size_t a_size, const char *b)
{
    if (strlen(b) != a_size)
        return false;
    for (size_t i = 0; i < a_size; i++)
        if (lower(a[i]) != lower(b[i]))
            return false;
    return true;
}

size_t obs_text_put_utf8(uint32_t code, char out[4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xe0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3f));
        out[2] = (char)(0x80 | (code & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3f));
    out[2] = (char)(0x80 | (code >> 6 & 0x3f));
    out[3] = (char)(0x80 | (code & 0x3f));
    return 4;
}
