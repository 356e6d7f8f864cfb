/*
 * Log: lines are built on the stack and leave in one write().
 *
 * The end of a line is kept free while it is built, so a line can always be closed as valid JSON.
 */
#include "base/log.h"

#include "base/clock.h"
#include "base/text.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_SIZE 32
#define MESSAGE_MAX (OBS_LOG_LINE_MAX / 2)
#define TRUNCATED ",\"truncated\":true"
#define END "}\n"
#define ROOM (OBS_LOG_LINE_MAX - (sizeof(TRUNCATED) - 1) - (sizeof(END) - 1))

struct line {
    size_t size;
    bool is_cut;
    char data[OBS_LOG_LINE_MAX];
};

static const char *const level_names[] = {"debug", "info", "warn", "error"};

static char service_name[NAME_SIZE];
static char version_name[NAME_SIZE];
static pthread_mutex_t names_mutex = PTHREAD_MUTEX_INITIALIZER;
static atomic_int least_level = OBS_LOG_INFO;
static _Atomic uint64_t dropped;
static __thread char trace[33], span[17];

static void copy_name(char out[NAME_SIZE], const char *name)
{
    snprintf(out, NAME_SIZE, "%s", name ? name : "");
}

void obs_log_setup(const char *service, const char *version, enum obs_log_level least)
{
    struct stat st;
    int flags = fcntl(STDOUT_FILENO, F_GETFL);

    pthread_mutex_lock(&names_mutex);
    copy_name(service_name, service);
    copy_name(version_name, version);
    pthread_mutex_unlock(&names_mutex);
    atomic_store(&least_level, (int)least);
    /* Never on a terminal or a file: the flag is shared with whoever else has it open. */
    if (flags >= 0 && fstat(STDOUT_FILENO, &st) == 0 &&
        (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)))
        fcntl(STDOUT_FILENO, F_SETFL, flags | O_NONBLOCK);
}

void obs_log_set_version(const char *version)
{
    pthread_mutex_lock(&names_mutex);
    copy_name(version_name, version);
    pthread_mutex_unlock(&names_mutex);
}

void obs_log_set_level(enum obs_log_level least)
{
    atomic_store(&least_level, (int)least);
}

int obs_log_level_parse(const char *text, enum obs_log_level *ret_level)
{
    for (unsigned i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++)
        if (strcmp(text, level_names[i]) == 0) {
            *ret_level = (enum obs_log_level)i;
            return 0;
        }
    return -EINVAL;
}

void obs_log_set_trace(const char *trace_id, const char *span_id)
{
    snprintf(trace, sizeof(trace), "%s", trace_id ? trace_id : "");
    snprintf(span, sizeof(span), "%s", span_id ? span_id : "");
}

uint64_t obs_log_dropped(void)
{
    return atomic_load(&dropped);
}

/* All of @text or nothing. */
static bool put(struct line *line, const char *text)
{
    size_t size = strlen(text);

    if (size > ROOM - line->size)
        return false;
    memcpy(line->data + line->size, text, size);
    line->size += size;
    return true;
}

/* Quoted, cut to the room left or to @max escaped bytes; false when not even the quotes fit. */
static bool put_quoted(struct line *line, const char *text, size_t max)
{
    size_t room = ROOM - line->size, size = strlen(text), used;

    if (room < 2)
        return false;
    room = room - 2 < max ? room - 2 : max;
    line->data[line->size++] = '"';
    line->size += obs_text_json_escape(text, size, line->data + line->size, room, &used);
    line->data[line->size++] = '"';
    if (used < size)
        line->is_cut = true;
    return true;
}

static bool put_value(struct line *line, const struct obs_log_field *field)
{
    char number[OBS_TEXT_NUMBER_SIZE];

    switch (field->type) {
    case OBS_LOG_TEXT:
        return field->value.text ? put_quoted(line, field->value.text, SIZE_MAX)
                                 : put(line, "null");
    case OBS_LOG_INTEGER:
        snprintf(number, sizeof(number), "%" PRId64, field->value.integer);
        return put(line, number);
    case OBS_LOG_NUMBER: /* JSON has no NaN and no infinity */
        return put(line, isfinite(field->value.number)
                             ? obs_text_number(field->value.number, number)
                             : "null");
    case OBS_LOG_BOOLEAN:
        break;
    }
    return put(line, field->value.boolean ? "true" : "false");
}

/* The whole field (its text may be cut) or none of it. */
static void put_field(struct line *line, const struct obs_log_field *field)
{
    size_t before = line->size;

    if (put(line, ",\"") && put(line, field->name) && put(line, "\":") && put_value(line, field))
        return;
    line->size = before;
    line->is_cut = true;
}

static void put_head(struct line *line, enum obs_log_level level, const char *message)
{
    char time[OBS_RFC3339_SIZE], service[NAME_SIZE], version[NAME_SIZE];

    obs_time_rfc3339(obs_time_ns(), time);
    pthread_mutex_lock(&names_mutex);
    memcpy(service, service_name, sizeof(service));
    memcpy(version, version_name, sizeof(version));
    pthread_mutex_unlock(&names_mutex);

    put(line, "{\"time\":\"");
    put(line, time);
    put(line, "\",\"level\":\"");
    put(line, level_names[level]);
    put(line, "\",\"service\":");
    put_quoted(line, service, SIZE_MAX);
    put(line, ",\"version\":");
    put_quoted(line, version, SIZE_MAX);
    put(line, ",\"message\":");
    put_quoted(line, message, MESSAGE_MAX);
}

static void write_line(const struct line *line)
{
    ssize_t n;

    do
        n = write(STDOUT_FILENO, line->data, line->size);
    while (n < 0 && errno == EINTR);
    if (n != (ssize_t)line->size)
        atomic_fetch_add(&dropped, 1);
}

void obs_log_fields(enum obs_log_level level, const char *message,
                    const struct obs_log_field *fields, size_t count)
{
    struct line line;
    int error = errno; /* a caller may log before it looks at errno */

    if ((int)level < atomic_load_explicit(&least_level, memory_order_relaxed))
        return;
    line.size = 0;
    line.is_cut = false;
    put_head(&line, level, message);
    if (trace[0]) {
        put_field(&line, &OBS_TEXT("trace_id", trace));
        put_field(&line, &OBS_TEXT("span_id", span));
    }
    for (size_t i = 0; i < count; i++)
        put_field(&line, &fields[i]);
    if (line.is_cut) {
        memcpy(line.data + line.size, TRUNCATED, sizeof(TRUNCATED) - 1);
        line.size += sizeof(TRUNCATED) - 1;
    }
    memcpy(line.data + line.size, END, sizeof(END) - 1);
    line.size += sizeof(END) - 1;
    write_line(&line);
    errno = error;
}
