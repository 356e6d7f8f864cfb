#include "agent/line_text.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include <ctype.h>
#include <string.h>
#include <time.h>

#define PLACE_BYTES 200                       /* the level stands near the front */
#define FAR_NS (600 * OBS_NS_PER_SECOND)      /* pipes are read within seconds */
#define COARSE_NS (2 * OBS_NS_PER_SECOND + 1) /* a second that is just over */

const char *const LINE_LEVEL_NAMES[OBS_LOG_ERROR + 1] = {"debug", "info", "warn", "error"};

/* ---- levels ---- */

bool line_text_level_word(const char *word, size_t size, enum obs_log_level *ret_level)
{
    static const struct {
        const char *word;
        enum obs_log_level level;
    } WORDS[] = {
        {"trace", OBS_LOG_DEBUG},  {"debug", OBS_LOG_DEBUG},  {"debug1", OBS_LOG_DEBUG},
        {"debug2", OBS_LOG_DEBUG}, {"debug3", OBS_LOG_DEBUG}, {"debug4", OBS_LOG_DEBUG},
        {"debug5", OBS_LOG_DEBUG}, {"info", OBS_LOG_INFO},    {"log", OBS_LOG_INFO},
        {"notice", OBS_LOG_INFO},  {"detail", OBS_LOG_INFO},  {"hint", OBS_LOG_INFO},
        {"warn", OBS_LOG_WARN},    {"warning", OBS_LOG_WARN}, {"err", OBS_LOG_ERROR},
        {"error", OBS_LOG_ERROR},  {"crit", OBS_LOG_ERROR},   {"critical", OBS_LOG_ERROR},
        {"alert", OBS_LOG_ERROR},  {"emerg", OBS_LOG_ERROR},  {"emergency", OBS_LOG_ERROR},
        {"fatal", OBS_LOG_ERROR},  {"panic", OBS_LOG_ERROR},
    };

    for (size_t i = 0; i < OBS_COUNT(WORDS); i++)
        if (obs_text_equal_nocase(word, size, WORDS[i].word)) {
            *ret_level = WORDS[i].level;
            return true;
        }
    return false;
}

/* nginx, RabbitMQ: "[error]". */
static bool level_in_brackets(const char *line, size_t size, enum obs_log_level *ret_level)
{
    const char *open = line, *end = line + size, *close;

    while ((open = memchr(open, '[', (size_t)(end - open)))) {
        open++;
        close = memchr(open, ']', (size_t)(end - open));
        if (!close)
            return false;
        if (line_text_level_word(open, (size_t)(close - open), ret_level))
            return true;
    }
    return false;
}

/* Prometheus and what is written in Go: level=warn, level="warn". */
static bool level_in_logfmt(const char *line, size_t size, enum obs_log_level *ret_level)
{
    const char *at = memmem(line, size, "level=", 6);
    size_t left, word = 0;

    if (!at || (at > line && at[-1] != ' '))
        return false;
    at += 6;
    left = size - (size_t)(at - line);
    if (left > 0 && *at == '"') {
        at++;
        left--;
    }
    while (word < left && isalpha((unsigned char)at[word]))
        word++;
    return line_text_level_word(at, word, ret_level);
}

/* "1234:M 23 Nov 2026 15:46:50.123 * Ready": returns what stands behind "1234:M ", or NULL. */
static const char *redis_time(const char *line, size_t size)
{
    size_t digits = 0;

    while (digits < size && isdigit((unsigned char)line[digits]))
        digits++;
    return digits > 0 && size - digits >= 28 && line[digits] == ':' &&
                   memchr("MSXC", line[digits + 1], 4) && line[digits + 2] == ' '
               ? line + digits + 3
               : NULL;
}

static bool level_of_redis(const char *line, size_t size, enum obs_log_level *ret_level)
{
    const char *time = redis_time(line, size);
    const char *mark = time ? memchr(time, '.', size - (size_t)(time - line)) : NULL;

    if (!mark || (size_t)(mark - line) + 6 > size || mark[4] != ' ')
        return false;
    *ret_level = mark[5] == '#' ? OBS_LOG_WARN : mark[5] == '.' ? OBS_LOG_DEBUG : OBS_LOG_INFO;
    return memchr("#*-.", mark[5], 4) != NULL;
}

/* PostgreSQL: "ERROR:  ", and what others shout: "ERROR REPORT". */
static bool level_in_capitals(const char *line, size_t size, enum obs_log_level *ret_level)
{
    static const char CAPITALS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

    for (size_t i = 0, word; i < size; i += word + 1) {
        word = 0;
        while (i + word < size && memchr(CAPITALS, line[i + word], sizeof(CAPITALS) - 1))
            word++;
        if (word > 2 && (i == 0 || !isalnum((unsigned char)line[i - 1])) &&
            (i + word == size || !isalnum((unsigned char)line[i + word])) &&
            line_text_level_word(line + i, word, ret_level))
            return true;
    }
    return false;
}

enum obs_log_level line_text_level(const char *line, size_t size)
{
    static bool (*const PLACES[])(const char *, size_t, enum obs_log_level *) = {
        level_of_redis, level_in_logfmt, level_in_brackets, level_in_capitals};
    enum obs_log_level level = OBS_LOG_INFO;

    if (size > PLACE_BYTES)
        size = PLACE_BYTES;
    for (size_t i = 0; i < OBS_COUNT(PLACES); i++)
        if (PLACES[i](line, size, &level))
            return level;
    return OBS_LOG_INFO;
}

/* ---- times ---- */

/* @count digits. Return: -1 when there are fewer. */
static int digits(const char *text, size_t count)
{
    int value = 0;

    for (size_t i = 0; i < count; i++) {
        if (!isdigit((unsigned char)text[i]))
            return -1;
        value = 10 * value + text[i] - '0';
    }
    return value;
}

/* "15:46:50" */
static bool read_clock(const char *text, struct tm *tm)
{
    tm->tm_hour = digits(text, 2);
    tm->tm_min = digits(text + 3, 2);
    tm->tm_sec = digits(text + 6, 2);
    return text[2] == ':' && text[5] == ':' && tm->tm_hour >= 0 && tm->tm_hour < 24 &&
           tm->tm_min >= 0 && tm->tm_min < 60 && tm->tm_sec >= 0 && tm->tm_sec <= 60;
}

/* "2026-11-23 15:46:50": 19 characters, @separator between the numbers of the date. */
static bool read_date_time(const char *text, size_t size, char separator, struct tm *tm)
{
    if (size < 19 || text[4] != separator || text[7] != separator)
        return false;
    tm->tm_year = digits(text, 4) - 1900;
    tm->tm_mon = digits(text + 5, 2) - 1;
    tm->tm_mday = digits(text + 8, 2);
    return tm->tm_year >= 70 && tm->tm_mon >= 0 && tm->tm_mon < 12 && tm->tm_mday > 0 &&
           tm->tm_mday <= 31 && (text[10] == ' ' || text[10] == 'T') && read_clock(text + 11, tm);
}

/* ".123456": nanoseconds, and how many characters it takes; none is 0 of 0. */
static uint64_t read_fraction(const char *text, size_t size, size_t *ret_used)
{
    uint64_t ns = 0, unit = OBS_NS_PER_SECOND;
    size_t used = 0;

    if (size > 1 && (*text == '.' || *text == ',') && isdigit((unsigned char)text[1]))
        for (used = 1; used < size && isdigit((unsigned char)text[used]); used++) {
            unit /= 10;
            ns += (uint64_t)(text[used] - '0') * unit;
        }
    *ret_used = used;
    return ns;
}

/* "Z", " UTC", "+01:00": seconds east of Greenwich. */
static bool read_zone(const char *text, size_t size, int *ret_seconds)
{
    int hours, minutes;

    *ret_seconds = 0;
    if (size >= 1 && *text == 'Z')
        return true;
    if (size >= 4 && (memcmp(text, " UTC", 4) == 0 || memcmp(text, " GMT", 4) == 0))
        return true;
    if (size < 6 || (*text != '+' && *text != '-') || text[3] != ':')
        return false;
    hours = digits(text + 1, 2);
    minutes = digits(text + 4, 2);
    *ret_seconds = (*text == '-' ? -60 : 60) * (60 * hours + minutes);
    return hours >= 0 && hours < 24 && minutes >= 0 && minutes < 60;
}

bool line_text_timestamp(const char *text, size_t size, uint64_t *ret_ns, bool *ret_is_coarse)
{
    struct tm tm = {0};
    uint64_t fraction;
    size_t used;
    int east;

    if (!read_date_time(text, size, '-', &tm))
        return false;
    fraction = read_fraction(text + 19, size - 19, &used);
    if (!read_zone(text + 19 + used, size - 19 - used, &east))
        return false;
    *ret_ns = (uint64_t)(timegm(&tm) - east) * OBS_NS_PER_SECOND + fraction;
    *ret_is_coarse = used == 0;
    return true;
}

/* "23 Nov 2026 15:46:50.123", in the machine's zone: ours too, as both have the same TZ. */
static bool redis_timestamp(const char *line, size_t size, uint64_t *ret_ns)
{
    static const char MONTHS[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    const char *text = redis_time(line, size), *month;
    char name[4] = "";
    struct tm tm = {.tm_isdst = -1};
    size_t used;

    if (!text)
        return false;
    memcpy(name, text + 3, 3);
    month = strstr(MONTHS, name);
    tm.tm_mday = digits(text, 2);
    tm.tm_year = digits(text + 7, 4) - 1900;
    if (!month || (month - MONTHS) % 3 != 0 || tm.tm_mday <= 0 || tm.tm_year < 70 ||
        !read_clock(text + 12, &tm))
        return false;
    tm.tm_mon = (int)(month - MONTHS) / 3;
    *ret_ns = read_fraction(text + 20, size - (size_t)(text + 20 - line), &used);
    *ret_ns += (uint64_t)mktime(&tm) * OBS_NS_PER_SECOND;
    return true;
}

static bool nginx_timestamp(const char *line, size_t size, uint64_t *ret_ns)
{
    struct tm tm = {.tm_isdst = -1};

    if (!read_date_time(line, size, '/', &tm))
        return false;
    *ret_ns = (uint64_t)mktime(&tm) * OBS_NS_PER_SECOND;
    return true;
}

uint64_t line_text_settle(uint64_t read_ns, bool is_coarse, uint64_t now_ns)
{
    uint64_t away_ns = read_ns < now_ns ? now_ns - read_ns : read_ns - now_ns;

    return away_ns > FAR_NS || (is_coarse && away_ns < COARSE_NS) ? now_ns : read_ns;
}

uint64_t line_text_time(const char *line, size_t size, uint64_t now_ns)
{
    static const char *const NAMES[] = {"ts=", "time=\"", "time="};
    bool is_coarse = false;
    uint64_t ns;

    for (size_t i = 0; i < OBS_COUNT(NAMES); i++) {
        size_t name = strlen(NAMES[i]);

        if (size > name && memcmp(line, NAMES[i], name) == 0) {
            line += name;
            size -= name;
            break;
        }
    }
    if (line_text_timestamp(line, size, &ns, &is_coarse) || redis_timestamp(line, size, &ns))
        return line_text_settle(ns, is_coarse, now_ns);
    if (nginx_timestamp(line, size, &ns))
        return line_text_settle(ns, true, now_ns);
    return now_ns;
}
