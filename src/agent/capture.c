#include "agent/capture.h"

#include "agent/line_text.h"
#include "base/buffer.h"
#include "base/clock.h"
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>

#define PIPE_BYTES 262144
#define READS_AT_ONCE 16 /* then other events have their turn */

/* One pipe. A unit that starts again gets a new one; the old one lives until its last writer is
 * gone. */
struct stream {
    LIST_ENTRY(stream) link;
    struct capture *capture;
    int fd;
    struct event *event;
    char *rest; /* of a line that has not ended */
    size_t rest_size;
};

struct capture_follower {
    LIST_ENTRY(capture_follower) link;
    capture_line_fn *fn;
    void *userdata;
};

struct capture {
    struct event_base *base;
    struct capture_options options;
    char *path;
    int file;
    size_t file_size, file_limit;
    char *ring[CAPTURE_RING_LINES];
    size_t first, count, ring_bytes;
    uint64_t lost_lines;
    LIST_HEAD(, stream) streams;
    LIST_HEAD(, capture_follower) followers;
};

/* All captures read on one thread, one after the other: one space for reading, one for writing. */
static char scratch[2 * CAPTURE_LINE_MAX + 1];
static struct obs_buffer batch = {.limit = 16 * CAPTURE_LINE_MAX};

/* ---- file ---- */

static void open_file(struct capture *c)
{
    struct stat info;

    c->file = open(c->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    c->file_size = c->file >= 0 && fstat(c->file, &info) == 0 ? (size_t)info.st_size : 0;
}

static void rotate(struct capture *c)
{
    char before[PATH_MAX];

    close(c->file);
    snprintf(before, sizeof(before), "%s.1", c->path);
    if (rename(c->path, before) < 0)
        unlink(c->path);
    open_file(c);
}

static void count_lost(struct capture *c)
{
    for (size_t i = 0; i < batch.size; i++)
        c->lost_lines += batch.data[i] == '\n';
}

static void write_batch(struct capture *c)
{
    ssize_t n;

    if (batch.size == 0)
        return;
    if (c->file < 0)
        open_file(c);
    else if (c->file_size > 0 && c->file_size + batch.size > c->file_limit)
        rotate(c);
    n = c->file < 0 ? -1 : write(c->file, batch.data, batch.size);
    if (n != (ssize_t)batch.size)
        count_lost(c);
    c->file_size += n > 0 ? (size_t)n : 0;
    obs_buffer_clear(&batch);
}

/* ---- lines ---- */

static void remember(struct capture *c, const char *line, size_t size)
{
    char *copy = strndup(line, size);

    if (!copy)
        return;
    while (c->count > 0 &&
           (c->count == CAPTURE_RING_LINES || c->ring_bytes + size > CAPTURE_RING_BYTES)) {
        c->ring_bytes -= strlen(c->ring[c->first]);
        free(c->ring[c->first]);
        c->ring[c->first] = NULL;
        c->first = (c->first + 1) % CAPTURE_RING_LINES;
        c->count--;
    }
    c->ring[(c->first + c->count++) % CAPTURE_RING_LINES] = copy;
    c->ring_bytes += strlen(copy);
}

static void wrap(struct capture *c, const char *line, size_t size)
{
    char time[OBS_RFC3339_SIZE];

    obs_time_rfc3339(line_text_time(line, size, obs_time_ns()), time);
    obs_buffer_printf(&batch,
                      "{\"time\":\"%s\",\"level\":\"%s\",\"service\":\"%s\",\"message\":", time,
                      LINE_LEVEL_NAMES[line_text_level(line, size)], c->options.service);
    obs_buffer_append_json(&batch, line, size);
    obs_buffer_append_char(&batch, '}');
}

static void take_line(struct capture *c, const char *line, size_t size)
{
    struct capture_follower *follower, *next;
    bool is_json;
    size_t start;

    while (size > 0 && (line[size - 1] == '\r' || line[size - 1] == '\0'))
        size--;
    if (size == 0)
        return;
    is_json = c->options.format != UNIT_LOG_TEXT && line[0] == '{' && line[size - 1] == '}';
    if (batch.size + 8 * size + 200 > batch.limit) /* the worst that escaping does */
        write_batch(c);
    start = batch.size;
    if (is_json)
        obs_buffer_append(&batch, line, size);
    else
        wrap(c, line, size);
    if (batch.error) { /* no memory: this line is lost */
        batch.error = 0;
        batch.size = start;
        c->lost_lines++;
        return;
    }
    line = batch.data + start;
    size = batch.size - start;
    remember(c, line, size);
    if (is_json && c->options.on_line)
        c->options.on_line(line, size, c->options.userdata);
    for (follower = LIST_FIRST(&c->followers); follower; follower = next) {
        next = LIST_NEXT(follower, link); /* it may leave in its call */
        follower->fn(line, size, follower->userdata);
    }
    obs_buffer_append_char(&batch, '\n');
}

/* ---- pipes ---- */

static void stream_free(struct stream *s)
{
    LIST_REMOVE(s, link);
    event_free(s->event);
    close(s->fd);
    free(s->rest);
    free(s);
}

static void keep_rest(struct stream *s, const char *rest, size_t size)
{
    s->rest = size > 0 ? malloc(size) : NULL;
    s->rest_size = s->rest ? size : 0;
    if (s->rest)
        memcpy(s->rest, rest, size);
}

/* Return: false when there is nothing to read now. */
static bool read_some(struct stream *s, bool *ret_is_end)
{
    size_t size = s->rest_size;
    char *line = scratch, *newline;
    ssize_t n;

    n = read(s->fd, scratch + size, CAPTURE_LINE_MAX);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (size > 0)
        memcpy(scratch, s->rest, size);
    free(s->rest);
    s->rest = NULL;
    s->rest_size = 0;
    *ret_is_end = n <= 0;
    size += n > 0 ? (size_t)n : 0;
    while ((newline = memchr(line, '\n', size))) {
        take_line(s->capture, line, (size_t)(newline - line));
        size -= (size_t)(newline + 1 - line);
        line = newline + 1;
    }
    if (*ret_is_end || size >= CAPTURE_LINE_MAX)
        take_line(s->capture, line, size);
    else
        keep_rest(s, line, size);
    write_batch(s->capture);
    return n > 0;
}

static void read_stream(struct stream *s, unsigned limit)
{
    bool is_end = false;

    while (limit-- > 0 && read_some(s, &is_end))
        ;
    if (is_end)
        stream_free(s);
}

static void on_readable(evutil_socket_t fd, short what, void *userdata)
{
    read_stream(userdata, READS_AT_ONCE);
}

void capture_drain(struct capture *c)
{
    struct stream *s, *next;

    for (s = LIST_FIRST(&c->streams); s; s = next) {
        next = LIST_NEXT(s, link);
        read_stream(s, 2 * PIPE_BYTES / CAPTURE_LINE_MAX);
    }
}

int capture_attach(struct capture *c, int *ret_fd)
{
    struct stream *s = calloc(1, sizeof(*s));
    int ends[2];

    if (!s)
        return -ENOMEM;
    if (pipe2(ends, O_CLOEXEC) < 0) {
        free(s);
        return -errno;
    }
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    fcntl(ends[0], F_SETPIPE_SZ, PIPE_BYTES); /* less is fine: a user's pipes are limited */
    s->capture = c;
    s->fd = ends[0];
    s->event = event_new(c->base, s->fd, EV_READ | EV_PERSIST, on_readable, s);
    if (!s->event || event_add(s->event, NULL) < 0) {
        if (s->event)
            event_free(s->event);
        close(ends[0]);
        close(ends[1]);
        free(s);
        return -ENOMEM;
    }
    LIST_INSERT_HEAD(&c->streams, s, link);
    *ret_fd = ends[1];
    return 0;
}

/* ---- the rest ---- */

int capture_new(struct event_base *base, const struct capture_options *options,
                struct capture **ret_capture)
{
    OBS_CLEANUP(capture_freep) struct capture *c = calloc(1, sizeof(*c));

    if (!c)
        return -ENOMEM;
    c->file = -1;
    LIST_INIT(&c->streams);
    LIST_INIT(&c->followers);
    c->base = base;
    c->options = *options;
    c->file_limit = options->file_bytes ? options->file_bytes : CAPTURE_FILE_BYTES;
    c->path = strdup(options->path);
    if (!c->path)
        return -ENOMEM;
    *ret_capture = OBS_TAKE(c);
    return 0;
}

struct capture *capture_free(struct capture *c)
{
    if (!c)
        return NULL;
    while (!LIST_EMPTY(&c->streams))
        stream_free(LIST_FIRST(&c->streams));
    while (!LIST_EMPTY(&c->followers))
        capture_unfollow(LIST_FIRST(&c->followers));
    for (size_t i = 0; i < c->count; i++)
        free(c->ring[(c->first + i) % CAPTURE_RING_LINES]);
    if (c->file >= 0)
        close(c->file);
    free(c->path);
    free(c);
    obs_buffer_done(&batch);
    return NULL;
}

void capture_tail(const struct capture *c, size_t count, capture_line_fn *fn, void *userdata)
{
    for (size_t i = count < c->count ? c->count - count : 0; i < c->count; i++) {
        const char *line = c->ring[(c->first + i) % CAPTURE_RING_LINES];

        fn(line, strlen(line), userdata);
    }
}

struct capture_follower *capture_follow(struct capture *c, capture_line_fn *fn, void *userdata)
{
    struct capture_follower *follower = malloc(sizeof(*follower));

    if (!follower)
        return NULL;
    follower->fn = fn;
    follower->userdata = userdata;
    LIST_INSERT_HEAD(&c->followers, follower, link);
    return follower;
}

void capture_unfollow(struct capture_follower *follower)
{
    if (!follower)
        return;
    LIST_REMOVE(follower, link);
    free(follower);
}

uint64_t capture_lost_lines(const struct capture *c)
{
    return c->lost_lines;
}
