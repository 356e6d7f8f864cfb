#include "load/worker.h"
#include <stdio.h>
#include <string.h>

static void put_hex(char *out, const uint8_t *bytes, size_t size)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < size; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
}

/* W3C Trace Context, level 1: one trace per journey, whose span is the parent of all its requests.
 */
static int emit_traceparent(struct worker *w, struct user *user)
{
    static const char pattern[] =
        "traceparent: 00-00000000000000000000000000000000-0000000000000000-00\r\n";
    const struct obs_trace_context *trace = &user->trace;
    char *line;
    int r = obs_buffer_reserve(&w->request, sizeof(pattern), &line);

    if (r != 0)
        return r;
    memcpy(line, pattern, sizeof(pattern));
    put_hex(line + 16, trace->trace_id, sizeof(trace->trace_id));
    put_hex(line + 49, trace->span_id, sizeof(trace->span_id));
    line[67] = (char)('0' + trace->flags);
    obs_buffer_added(&w->request, sizeof(pattern) - 1);
    return 0;
}

static int emit_body(struct worker *w, const struct step *step,
                     const struct variable_values *values)
{
    obs_buffer_clear(&w->body);
    if (step->body &&
        template_emit(step->body, &w->options->script->variables, values, &w->body) != 0)
        return w->body.error;
    if (!step->body && strcmp(step->method, "POST") != 0 && strcmp(step->method, "PUT") != 0 &&
        strcmp(step->method, "PATCH") != 0)
        return 0;
    return obs_buffer_printf(&w->request, "Content-Length: %zu\r\n", w->body.size);
}

int request_emit(struct worker *w, struct user *user, const struct step *step)
{
    const struct variable_table *table = &w->options->script->variables;
    struct obs_buffer *b = &w->request;
    struct variable_values values = {.seed = user->seed,
                                     .user = user->number,
                                     .arrival = user->arrival,
                                     .extracted = user->values};

    obs_buffer_clear(b);
    obs_buffer_append_text(b, step->method);
    obs_buffer_append_char(b, ' ');
    template_emit(step->target, table, &values, b);
    obs_buffer_append(b, " HTTP/1.1\r\nHost: ", 17);
    obs_buffer_append_text(b, w->options->target->host);
    obs_buffer_append_text(b, "\r\nUser-Agent: observa-load\r\n");
    if (step->headers)
        template_emit(step->headers, table, &values, b);
    if (user->cookies)
        cookies_emit(user->cookies, b);
    if (w->options->has_traceparent)
        emit_traceparent(w, user);
    if (step->body || !step->is_idempotent || step->method[0] == 'P')
        if (emit_body(w, step, &values) != 0)
            return w->body.error ? w->body.error : b->error;
    obs_buffer_append(b, "\r\n", 2);
    if (step->body)
        obs_buffer_append(b, w->body.data ? w->body.data : "", w->body.size);
    return b->error;
}
