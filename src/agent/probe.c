#include "agent/probe.h"

#include "agent/command.h"
#include "base/http1.h"
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define REPLY_MAX 4096 /* bytes of an answer that are looked at */

struct probe {
    struct event_base *base;
    struct reaper *reaper;
    const struct unit_probe *definition;
    char *const *environment;
    const char *directory;
    probe_done_fn *done;
    void *userdata;
    bool is_open;
    int fd;
    struct event *event, *timer;
    struct command *command;
    char *reply;
    size_t reply_size;
    char reason[200]; /* of a question that failed before it was asked */
};

static void close_question(struct probe *p)
{
    if (p->event)
        event_free(p->event);
    p->event = NULL;
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
    event_del(p->timer);
    p->command = command_cancel(p->command);
    free(p->reply);
    p->reply = NULL;
    p->reply_size = 0;
    p->is_open = false;
}

static void answer(struct probe *p, bool is_good, const char *reason)
{
    close_question(p);
    p->done(is_good, reason, p->userdata);
}

static void on_timer(evutil_socket_t fd, short what, void *userdata)
{
    struct probe *p = userdata;
    char reason[200];

    if (p->reason[0])
        snprintf(reason, sizeof(reason), "%s", p->reason);
    else
        snprintf(reason, sizeof(reason), "no answer within %u ms", p->definition->timeout_ms);
    answer(p, false, reason);
}

/* Answer @reason soon, but not from inside probe_ask(). */
static void fail_soon(struct probe *p, const char *what, int error)
{
    struct timeval at_once = {0, 0};

    snprintf(p->reason, sizeof(p->reason), "%s: %s", what, strerror(error));
    event_add(p->timer, &at_once);
}

/* ---- HTTP ---- */

/* Body of problem+json, or any text: its "detail", or its first line. */
static void explain(const struct obs_http1_head *head, const char *body, size_t size, char *out,
                    size_t capacity)
{
    OBS_JSON json = NULL;
    const char *detail = NULL;

    if (obs_json_parse(body, size, &json, NULL) == 0)
        detail = json_string_value(json_object_get(json, "detail"));
    if (detail)
        snprintf(out, capacity, "%d: %s", head->status, detail);
    else if (size > 0 && body[0] != '<' && body[0] != '{')
        snprintf(out, capacity, "%d: %.*s", head->status, (int)strcspn(body, "\r\n"), body);
    else
        snprintf(out, capacity, "answered %d", head->status);
}

static void judge_reply(struct probe *p, bool is_end)
{
    struct obs_http1_head head;
    char reason[200] = "";
    size_t scanned = 0;
    int r = obs_http1_parse_response(p->reply, p->reply_size, &scanned, false, &head, NULL);

    if (r == OBS_HTTP1_MORE && !is_end && p->reply_size < REPLY_MAX)
        return;
    if (r != OBS_HTTP1_DONE) {
        answer(p, false, p->reply_size == 0 ? "closed the connection" : "not an HTTP answer");
        return;
    }
    if (head.status >= 200 && head.status < 300) {
        answer(p, true, "");
        return;
    }
    bool is_whole =
        is_end || p->reply_size == REPLY_MAX ||
        (head.framing == OBS_HTTP1_LENGTH && p->reply_size >= head.size + head.content_length);
    if (!is_whole)
        return;
    explain(&head, p->reply + head.size, p->reply_size - head.size, reason, sizeof(reason));
    answer(p, false, reason);
}

static void on_reply(evutil_socket_t fd, short what, void *userdata)
{
    struct probe *p = userdata;
    ssize_t n = recv(p->fd, p->reply + p->reply_size, REPLY_MAX - p->reply_size, 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0) {
        answer(p, false, strerror(errno));
        return;
    }
    p->reply_size += (size_t)n;
    p->reply[p->reply_size] = '\0';
    judge_reply(p, n == 0);
}

static void send_request(struct probe *p)
{
    char request[512];
    int size = snprintf(request, sizeof(request),
                        "GET %.400s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
                        p->definition->path);

    /* A fresh socket takes so little at once. */
    if (send(p->fd, request, (size_t)size, MSG_NOSIGNAL) != size) {
        answer(p, false, strerror(errno));
        return;
    }
    p->reply = malloc(REPLY_MAX + 1);
    event_free(p->event);
    p->event = event_new(p->base, p->fd, EV_READ | EV_PERSIST, on_reply, p);
    if (!p->reply || !p->event || event_add(p->event, NULL) < 0)
        answer(p, false, strerror(ENOMEM));
}

static void on_connected(evutil_socket_t fd, short what, void *userdata)
{
    struct probe *p = userdata;
    int error = 0;
    socklen_t size = sizeof(error);

    getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0)
        answer(p, false, strerror(error));
    else if (p->definition->kind == UNIT_PROBE_CONNECT)
        answer(p, true, "");
    else
        send_request(p);
}

static void ask_address(struct probe *p)
{
    int r = obs_address_connect(&p->definition->address, &p->fd);

    if (r < 0) {
        p->fd = -1;
        fail_soon(p, p->definition->address.text, -r);
        return;
    }
    p->event = event_new(p->base, p->fd, EV_WRITE, on_connected, p);
    if (!p->event || event_add(p->event, NULL) < 0)
        fail_soon(p, "probe", ENOMEM);
}

/* ---- programs ---- */

static void on_program_end(const struct command_result *result, void *userdata)
{
    struct probe *p = userdata;
    char line[160], reason[200];

    p->command = NULL;
    if (result->exit_code == 0) {
        answer(p, true, "");
        return;
    }
    command_last_line(result->output, line, sizeof(line));
    if (result->is_timeout)
        snprintf(reason, sizeof(reason), "no answer within %u ms", p->definition->timeout_ms);
    else if (line[0])
        snprintf(reason, sizeof(reason), "%s", line);
    else
        snprintf(reason, sizeof(reason), "%s: exit status %d", p->definition->argv[0],
                 result->exit_code);
    answer(p, false, reason);
}

static void ask_program(struct probe *p)
{
    struct command_plan plan = {.argv = p->definition->argv,
                                .environment = p->environment,
                                .directory = p->directory,
                                .timeout_ms = p->definition->timeout_ms};
    int r = command_start(p->base, p->reaper, &plan, on_program_end, p, &p->command);

    if (r < 0)
        fail_soon(p, p->definition->argv[0], -r);
}

/* ---- the rest ---- */

void probe_ask(struct probe *p)
{
    struct timeval timeout = {p->definition->timeout_ms / 1000,
                              p->definition->timeout_ms % 1000 * 1000};

    if (p->is_open)
        return;
    p->is_open = true;
    p->reason[0] = '\0';
    if (p->definition->kind == UNIT_PROBE_EXEC) {
        ask_program(p);
        return;
    }
    event_add(p->timer, &timeout);
    ask_address(p);
}

void probe_cancel(struct probe *p)
{
    close_question(p);
}

int probe_new(struct event_base *base, struct reaper *reaper, const struct unit_probe *definition,
              char *const *environment, const char *directory, probe_done_fn *done, void *userdata,
              struct probe **ret_probe)
{
    struct probe *p = calloc(1, sizeof(*p));

    if (!p)
        return -ENOMEM;
    *p = (struct probe){.base = base,
                        .reaper = reaper,
                        .definition = definition,
                        .environment = environment,
                        .directory = directory,
                        .done = done,
                        .userdata = userdata,
                        .fd = -1,
                        .timer = evtimer_new(base, on_timer, p)};
    if (!p->timer) {
        free(p);
        return -ENOMEM;
    }
    *ret_probe = p;
    return 0;
}

struct probe *probe_free(struct probe *p)
{
    if (!p)
        return NULL;
    close_question(p);
    event_free(p->timer);
    free(p);
    return NULL;
}
