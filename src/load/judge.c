#include "load/judge.h"
#include "base/json.h"
#include "load/pointer.h"
#include "load/worker.h"
#include <string.h>

static struct variable_values values_of(const struct user *user)
{
    return (struct variable_values){.seed = user->seed,
                                    .user = user->number,
                                    .arrival = user->arrival,
                                    .extracted = user->values};
}

static bool set_value(struct worker *w, struct user *user, unsigned variable, const char *text,
                      size_t size)
{
    const struct variable_table *table = &w->options->script->variables;
    unsigned slot = table->variables[variable].slot;
    char *copy;

    if (size > VARIABLE_TEXT_MAX)
        size = VARIABLE_TEXT_MAX;
    if (!user->values)
        user->values = calloc(table->slot_count, sizeof(*user->values));
    copy = user->values ? strndup(text, size) : NULL;
    if (!copy)
        return false;
    free(user->values[slot]);
    user->values[slot] = copy;
    return true;
}

static void take_cookies(struct user *user, const struct obs_http1_head *head)
{
    for (size_t i = 0; i < head->header_count; i++) {
        struct obs_span_text name = head->headers[i].name;

        if (name.size == 10 && (*name.text | 0x20) == 's' &&
            strncasecmp(name.text, "set-cookie", 10) == 0)
            cookies_set(&user->cookies, head->headers[i].value);
    }
}

static bool extract_from_head(struct worker *w, struct user *user, const struct extract *extract,
                              const struct obs_http1_head *head)
{
    const struct obs_span_text *value;
    const char *cookie;

    if (extract->from == EXTRACT_HEADER) {
        value = obs_http1_find(head, extract->name);
        return value && set_value(w, user, extract->variable, value->text, value->size);
    }
    cookie = cookies_find(user->cookies, extract->name);
    return cookie && set_value(w, user, extract->variable, cookie, strlen(cookie));
}

void judge_head(const struct obs_http1_head *head, void *userdata)
{
    struct judge_context *context = userdata;
    struct worker *w = context->w;
    struct user *user = context->user;
    const struct step *step = worker_step(w, user);
    struct variable_values values = values_of(user);

    take_cookies(user, head);
    for (unsigned i = 0; i < step->check_count; i++)
        if (check_subject(step->checks[i]) == CHECK_HEADER &&
            !check_head(step->checks[i], head, &w->options->script->variables, &values))
            user->head_failed = true;
    for (unsigned i = 0; i < step->extract_count; i++)
        if (step->extracts[i].from != EXTRACT_JSON &&
            !extract_from_head(w, user, &step->extracts[i], head))
            user->head_failed = true;
}

bool judge_accepts(const struct step *step, int status)
{
    for (unsigned i = 0; i < step->accept_count; i++)
        if (status >= step->accept[i].low && status <= step->accept[i].high)
            return true;
    return false;
}

static bool extract_json(struct worker *w, struct user *user, const struct extract *extract,
                         json_t *json)
{
    json_t *value = json ? pointer_find(json, extract->name) : NULL;
    char *text;
    bool is_set;

    if (!value)
        return false;
    if (json_is_string(value))
        return set_value(w, user, extract->variable, json_string_value(value),
                         json_string_length(value));
    text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    is_set = text && set_value(w, user, extract->variable, text, strlen(text));
    free(text);
    return is_set;
}

static bool holds(const struct worker *w, const struct user *user, const struct check *check,
                  json_t *json)
{
    const struct variable_table *table = &w->options->script->variables;
    struct variable_values values = values_of(user);
    const struct obs_buffer *body = &user->response.body;

    switch (check_subject(check)) {
    case CHECK_BODY:
        return check_body(check, body->data ? body->data : "", body->size, table, &values);
    case CHECK_JSON:
        return check_json(check, json, table, &values);
    default:
        return true; /* on the head: done when it arrived */
    }
}

static void report_order(struct worker *w, struct user *user, const struct step *step)
{
    const struct variable_table *table = &w->options->script->variables;
    const char *id;

    if (step->accepted_order < 0 || !w->options->on_order || !user->values)
        return;
    id = user->values[table->variables[step->accepted_order].slot];
    if (id)
        w->options->on_order(id, w->options->userdata);
}

enum judge_verdict judge_body(struct worker *w, struct user *user, const struct step *step,
                              enum failure *ret_failure)
{
    OBS_JSON json = NULL;
    bool is_right = !user->head_failed && !(user->response.is_cut && step->needs_json);

    if (step->needs_json && user->response.body.data)
        (void)obs_json_parse(user->response.body.data, user->response.body.size, &json, NULL);
    if (step->until && !holds(w, user, step->until, json))
        return JUDGE_AGAIN;
    for (unsigned i = 0; is_right && i < step->check_count; i++)
        is_right = holds(w, user, step->checks[i], json);
    for (unsigned i = 0; is_right && i < step->extract_count; i++)
        if (step->extracts[i].from == EXTRACT_JSON)
            is_right = extract_json(w, user, &step->extracts[i], json);
    *ret_failure = is_right ? FAILURE_NONE : FAILURE_CHECK;
    if (is_right)
        report_order(w, user, step);
    return JUDGE_FINISHED;
}
