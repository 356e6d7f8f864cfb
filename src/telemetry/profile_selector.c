/* One cursor over the text; every refusal points at the token where it stands. */
#include "telemetry/profile_selector.h"

#include "base/text.h"
#include "telemetry/regex.h"
#include <errno.h>
#include <string.h>

struct cursor {
    const char *start, *at;
    char *out; /* where unescaped values are written */
    struct obs_reason *reason;
};

struct term { /* one label="value" */
    struct text_view name, value;
    enum matcher_op op;
    const char *name_at, *value_at;
};

static int refuse(const struct cursor *c, const char *at, const char *what)
{
    size_t size = strcspn(at, ",{}= \"");

    if (*at == '\0') {
        obs_reason_set_at(c->reason, 1, (unsigned)(at - c->start) + 1, "%s, found the end", what);
    } else {
        if (size == 0)
            size = 1;
        obs_reason_set_at(c->reason, 1, (unsigned)(at - c->start) + 1, "%s, found \"%.*s\"", what,
                          (int)(size < 60 ? size : 60), at);
    }
    return PROFILE_SELECTOR_REFUSED;
}

static void skip_spaces(struct cursor *c)
{
    c->at += strspn(c->at, " \t");
}

static bool is_name_char(char ch, bool is_first)
{
    return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || ch == '_' ||
           (!is_first && ((ch >= '0' && ch <= '9') || ch == '.' || ch == '-'));
}

static int read_label_name(struct cursor *c, struct term *term)
{
    skip_spaces(c);
    term->name_at = c->at;
    while (is_name_char(*c->at, c->at == term->name_at))
        c->at++;
    term->name = (struct text_view){term->name_at, (size_t)(c->at - term->name_at)};
    if (term->name.size == 0)
        return refuse(c, c->at, "expected a label name");
    return term->name.size > 128 ? refuse(c, term->name_at, "a label name over 128 bytes") : 0;
}

static int read_operator(struct cursor *c, bool is_query, struct term *term)
{
    skip_spaces(c);
    if (is_query && strncmp(c->at, "!=", 2) == 0)
        term->op = MATCH_NOT_EQUAL;
    else if (is_query && strncmp(c->at, "=~", 2) == 0)
        term->op = MATCH_REGEX;
    else if (is_query && strncmp(c->at, "!~", 2) == 0)
        term->op = MATCH_NOT_REGEX;
    else if (*c->at == '=')
        term->op = MATCH_EQUAL;
    else
        return refuse(c, c->at, is_query ? "expected =, !=, =~ or !~" : "expected =");
    c->at += term->op == MATCH_EQUAL ? 1 : 2;
    skip_spaces(c);
    return 0;
}

static int read_quoted(struct cursor *c, struct term *term)
{
    const char *quote = c->at++;

    while (*c->at != *quote) {
        char ch = *c->at;

        if (ch == '\0')
            return refuse(c, quote, "this quoted value has no end");
        if (ch == '\\' && *quote == '"') {
            ch = *++c->at;
            if (ch == 'n')
                ch = '\n';
            else if (ch == 't')
                ch = '\t';
            else if (ch != '"' && ch != '\\')
                return refuse(c, c->at - 1, "an unknown escape (use \\\", \\\\, \\n or \\t)");
        }
        *c->out++ = ch;
        c->at++;
    }
    c->at++;
    return 0;
}

static int read_value(struct cursor *c, bool is_query, struct term *term)
{
    char *begin = c->out;
    int r = 0;

    term->value_at = c->at;
    if (*c->at == '"' || *c->at == '`') {
        r = read_quoted(c, term);
    } else if (is_query) {
        return refuse(c, c->at, "expected a quoted value");
    } else {
        while (*c->at != '\0' && *c->at != ',' && *c->at != '}')
            *c->out++ = *c->at++;
        while (c->out > begin && c->out[-1] == ' ')
            c->out--;
    }
    term->value = (struct text_view){begin, (size_t)(c->out - begin)};
    *c->out++ = '\0';
    if (r != 0)
        return r;
    return term->value.size > PROFILE_LABEL_SIZE_MAX
               ? refuse(c, term->value_at, "a label value over 1024 bytes")
               : 0;
}

typedef int term_fn(const struct cursor *c, const struct term *term, void *userdata);

/* `{a="b",…}` up to the end of the text; nothing is fine too. */
static int read_terms(struct cursor *c, bool is_query, term_fn *fn, void *userdata)
{
    int r = 0;

    skip_spaces(c);
    if (*c->at == '\0')
        return 0;
    if (*c->at != '{')
        return refuse(c, c->at, "expected {");
    c->at++;
    for (skip_spaces(c); *c->at != '}'; skip_spaces(c)) {
        struct term term = {0};

        r = read_label_name(c, &term);
        if (r == 0)
            r = read_operator(c, is_query, &term);
        if (r == 0)
            r = read_value(c, is_query, &term);
        if (r == 0)
            r = fn(c, &term, userdata);
        if (r != 0)
            return r;
        skip_spaces(c);
        if (*c->at == ',')
            c->at++;
        else if (*c->at != '}')
            return refuse(c, c->at, "expected , or }");
    }
    c->at++;
    skip_spaces(c);
    return *c->at == '\0' ? 0 : refuse(c, c->at, "expected the end");
}

static int begin(const char *text, struct cursor *c, struct text_view *ret_name,
                 struct obs_reason *reterr_reason)
{
    size_t size = strlen(text);

    c->start = c->at = text;
    c->reason = reterr_reason;
    if (size > PROFILE_SELECTOR_SIZE_MAX) {
        obs_reason_set(reterr_reason, "the name is over %d bytes", PROFILE_SELECTOR_SIZE_MAX);
        return PROFILE_SELECTOR_REFUSED;
    }
    if (!obs_text_is_utf8(text, size)) {
        obs_reason_set(reterr_reason, "the name is not UTF-8");
        return PROFILE_SELECTOR_REFUSED;
    }
    skip_spaces(c);
    ret_name->text = c->at;
    c->at += strcspn(c->at, "{}\"`,=");
    ret_name->size = (size_t)(c->at - ret_name->text);
    while (ret_name->size > 0 && ret_name->text[ret_name->size - 1] == ' ')
        ret_name->size--;
    for (size_t i = 0; i < ret_name->size; i++) {
        if ((unsigned char)ret_name->text[i] <= ' ' || ret_name->text[i] == 0x7f)
            return refuse(c, ret_name->text + i, "a name holds no space or control character");
    }
    return ret_name->size > 256 ? refuse(c, ret_name->text, "an application name over 256 bytes")
                                : 0;
}

static bool is_named(struct text_view view, const char *text)
{
    return view.size == strlen(text) && memcmp(view.text, text, view.size) == 0;
}

/* ---- matching ---- */

static int compile_regex(const struct cursor *c, const struct term *term, struct regex **ret_regex)
{
    struct obs_reason why = {0};
    int r = regex_compile(term->value, REGEX_ANCHORED, ret_regex, &why);

    if (r == REGEX_REFUSED)
        obs_reason_set_at(c->reason, 1, (unsigned)(term->value_at - c->start) + 1, "\"%.*s\": %s",
                          (int)(term->value.size < 60 ? term->value.size : 60), term->value.text,
                          why.text);
    return r == REGEX_REFUSED ? PROFILE_SELECTOR_REFUSED : r;
}

/* A label that is not there is empty, as in PromQL. */
bool profile_matches(const struct matcher *matchers, size_t matcher_count,
                     const struct label *labels, size_t label_count)
{
    for (size_t i = 0; i < matcher_count; i++) {
        const struct matcher *m = &matchers[i];
        struct text_view value = {"", 0};
        bool is_equal;

        for (size_t j = 0; j < label_count; j++) {
            if (labels[j].name.size == m->name.size &&
                memcmp(labels[j].name.text, m->name.text, m->name.size) == 0)
                value = labels[j].value;
        }
        if (m->op == MATCH_REGEX || m->op == MATCH_NOT_REGEX)
            is_equal = regex_matches(m->regex, value);
        else
            is_equal =
                value.size == m->value.size && memcmp(value.text, m->value.text, value.size) == 0;
        if (is_equal != (m->op == MATCH_EQUAL || m->op == MATCH_REGEX))
            return false;
    }
    return true;
}

/* ---- queries ---- */

static int add_matcher(const struct cursor *c, const char *at, struct profile_selector *selector,
                       const struct matcher *matcher)
{
    if (selector->matcher_count == PROFILE_MATCHERS_MAX)
        return refuse(c, at, "over 30 label matchers");
    selector->matchers[selector->matcher_count++] = *matcher;
    return 0;
}

static struct text_view view_of(const char *text)
{
    return (struct text_view){text, strlen(text)};
}

struct selecting {
    struct profile_selector *selector;
    bool is_type_chosen;
};

static void take_id(struct profile_selector *selector, const struct profile_type *type)
{
    selector->type = type;
    selector->wants_nanoseconds = profile_type_is_time(type);
}

static int take_matcher(const struct cursor *c, const struct term *term, void *userdata)
{
    struct selecting *selecting = userdata;
    struct matcher matcher = {term->name, term->value, term->op, NULL};
    OBS_CLEANUP(regex_freep) struct regex *regex = NULL;
    int r = 0;

    if (is_named(term->name, "__profile_type__") || is_named(term->name, "__type__") ||
        is_named(term->name, "__name__"))
        selecting->is_type_chosen = true;
    if (is_named(term->name, "__profile_type__") && term->op == MATCH_EQUAL) {
        const struct profile_type *type = profile_type_find_id(term->value);

        if (!type)
            return refuse(c, term->value_at, "an unknown profile type");
        take_id(selecting->selector, type);
        return 0;
    }
    if (term->op == MATCH_REGEX || term->op == MATCH_NOT_REGEX)
        r = compile_regex(c, term, &regex);
    matcher.regex = regex;
    if (r == 0)
        r = add_matcher(c, term->name_at, selecting->selector, &matcher);
    if (r == 0)
        (void)OBS_TAKE(regex);
    return r;
}

static int take_application(struct cursor *c, struct text_view name, struct selecting *selecting)
{
    struct profile_selector *selector = selecting->selector;
    struct matcher service = {.name = view_of("service_name"), .op = MATCH_EQUAL};

    if (memchr(name.text, ':', name.size)) {
        const struct profile_type *type = profile_type_find_id(name);

        if (!type)
            return refuse(c, name.text, "an unknown profile type");
        take_id(selector, type);
        return 0;
    }
    selector->type = profile_type_split(name, &service.value);
    return add_matcher(c, name.text, selector, &service);
}

int profile_selector_parse(const char *text, struct profile_selector **ret_selector,
                           struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(profile_selector_freep)
    struct profile_selector *selector = calloc(1, sizeof(*selector));
    struct selecting selecting = {.selector = selector};
    struct cursor c = {0};
    struct text_view name;
    int r;

    if (!selector)
        return -ENOMEM;
    r = begin(text, &c, &name, reterr_reason);
    if (r != 0)
        return r;
    selector->texts = c.out = malloc(strlen(text) * 2 + 2); /* each value and its NUL */
    if (!selector->texts)
        return -ENOMEM;
    if (name.size == 0 && *c.at != '{')
        return refuse(&c, c.at, "expected an application name or {");
    if (name.size > 0)
        r = take_application(&c, name, &selecting);
    if (r == 0)
        r = read_terms(&c, true, take_matcher, &selecting);
    if (r != 0)
        return r;
    if (!selector->type && !selecting.is_type_chosen)
        selector->type = PROFILE_TYPE_CPU;
    if (selector->type) {
        struct matcher type = {view_of("__type__"), view_of(selector->type->name), MATCH_EQUAL,
                               NULL};

        r = add_matcher(&c, c.at, selector, &type);
        if (r != 0)
            return r;
    }
    /* Label names point into the caller's text: keep them. */
    for (size_t i = 0; i < selector->matcher_count; i++) {
        struct text_view *texts[] = {&selector->matchers[i].name, &selector->matchers[i].value};

        for (size_t j = 0; j < OBS_COUNT(texts); j++) {
            if (texts[j]->text >= text && texts[j]->text < text + strlen(text)) {
                memcpy(c.out, texts[j]->text, texts[j]->size);
                texts[j]->text = c.out;
                c.out += texts[j]->size;
            }
        }
    }
    *ret_selector = OBS_TAKE(selector);
    return 0;
}

bool profile_selector_gave_up(const struct profile_selector *selector)
{
    for (size_t i = 0; i < selector->matcher_count; i++) {
        if (selector->matchers[i].regex && regex_gave_up(selector->matchers[i].regex))
            return true;
    }
    return false;
}

struct profile_selector *profile_selector_free(struct profile_selector *selector)
{
    if (!selector)
        return NULL;
    for (size_t i = 0; i < selector->matcher_count; i++)
        regex_free((struct regex *)selector->matchers[i].regex);
    free(selector->texts);
    free(selector);
    return NULL;
}

/* ---- pushed names ---- */

static int take_label(const struct cursor *c, const struct term *term, void *userdata)
{
    struct profile_name *name = userdata;
    size_t at = name->label_count;

    if (is_named(term->name, "service_name")) {
        name->service = term->value;
        return term->value.size > 0 ? 0 : refuse(c, term->value_at, "an empty service_name");
    }
    if ((term->name.size > 1 && memcmp(term->name.text, "__", 2) == 0) || term->value.size == 0)
        return 0;
    if (name->label_count == PROFILE_LABELS_MAX - 4)
        return refuse(c, term->name_at, "over 32 labels");
    while (at > 0) {
        struct text_view before = name->labels[at - 1].name;
        size_t size = before.size < term->name.size ? before.size : term->name.size;
        int order = memcmp(before.text, term->name.text, size);

        if (order == 0 && before.size == term->name.size)
            return refuse(c, term->name_at, "a label given twice");
        if (order < 0 || (order == 0 && before.size < term->name.size))
            break;
        name->labels[at] = name->labels[at - 1];
        at--;
    }
    name->labels[at] = (struct label){term->name, term->value};
    name->label_count++;
    return 0;
}

void profile_name_done(struct profile_name *name)
{
    free(name->texts);
    name->texts = NULL;
}

int profile_name_parse(const char *text, struct profile_name *ret_name,
                       struct obs_reason *reterr_reason)
{
    struct profile_name name = {0};
    struct text_view application;
    struct cursor c = {0};
    int r = begin(text, &c, &application, reterr_reason);

    if (r != 0)
        return r;
    if (application.size == 0)
        return refuse(&c, c.at, "expected an application name");
    /* Names and values point into this copy. */
    name.texts = malloc(strlen(text) * 2 + 2);
    if (!name.texts)
        return -ENOMEM;
    strcpy(name.texts, text);
    c.at = name.texts + (c.at - c.start);
    application.text = name.texts + (application.text - c.start);
    c.start = name.texts;
    c.out = name.texts + strlen(text) + 1;
    name.type = profile_type_split(application, &name.service);
    r = read_terms(&c, false, take_label, &name);
    if (r != 0) {
        profile_name_done(&name);
        return r;
    }
    *ret_name = name;
    return 0;
}
