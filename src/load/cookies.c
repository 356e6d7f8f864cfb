#include "load/cookies.h"
#include "base/text.h"
#include <stdlib.h>
#include <string.h>

struct cookies {
    unsigned count;
    size_t bytes;
    struct {
        char *name, *value;
    } items[COOKIES_MAX];
};

struct cookies *cookies_free(struct cookies *cookies)
{
    for (unsigned i = 0; cookies && i < cookies->count; i++) {
        free(cookies->items[i].name);
        free(cookies->items[i].value);
    }
    free(cookies);
    return NULL;
}

static struct obs_span_text trim(struct obs_span_text s)
{
    while (s.size > 0 && (*s.text == ' ' || *s.text == '\t')) {
        s.text++;
        s.size--;
    }
    while (s.size > 0 && (s.text[s.size - 1] == ' ' || s.text[s.size - 1] == '\t'))
        s.size--;
    return s;
}

/* Cut @rest at the first @separator; what stands before is returned. */
static struct obs_span_text cut(struct obs_span_text *rest, char separator)
{
    const char *at = rest->size > 0 ? memchr(rest->text, separator, rest->size) : NULL;
    struct obs_span_text part = {rest->text, at ? (size_t)(at - rest->text) : rest->size};

    rest->text += part.size + (at ? 1 : 0);
    rest->size -= part.size + (at ? 1 : 0);
    return trim(part);
}

static bool is_ended(struct obs_span_text attributes)
{
    while (attributes.size > 0) {
        struct obs_span_text attribute = cut(&attributes, ';');
        struct obs_span_text name = cut(&attribute, '=');
        struct obs_span_text value = trim(attribute);

        if (obs_text_equal_nocase(name.text, name.size, "max-age"))
            return value.size > 0 && (*value.text == '-' || *value.text == '0');
    }
    return false;
}

static void drop(struct cookies *cookies, unsigned i)
{
    cookies->bytes -= strlen(cookies->items[i].name) + strlen(cookies->items[i].value);
    free(cookies->items[i].name);
    free(cookies->items[i].value);
    cookies->items[i] = cookies->items[--cookies->count];
}

static int find(const struct cookies *cookies, const char *name, size_t size)
{
    for (unsigned i = 0; cookies && i < cookies->count; i++)
        if (strlen(cookies->items[i].name) == size &&
            memcmp(cookies->items[i].name, name, size) == 0)
            return (int)i;
    return -1;
}

void cookies_set(struct cookies **cookies, struct obs_span_text set_cookie)
{
    struct obs_span_text rest = set_cookie, pair = cut(&rest, ';');
    bool has_value = pair.size > 0 && memchr(pair.text, '=', pair.size);
    struct obs_span_text name = cut(&pair, '='), value = trim(pair);
    struct cookies *c = *cookies;
    int known;

    if (!has_value || name.size == 0)
        return;
    if (!c)
        c = *cookies = calloc(1, sizeof(*c));
    if (!c)
        return;
    known = find(c, name.text, name.size);
    if (known >= 0)
        drop(c, (unsigned)known);
    if (is_ended(rest) || c->count == COOKIES_MAX ||
        c->bytes + name.size + value.size > COOKIE_BYTES_MAX)
        return;
    c->items[c->count].name = strndup(name.text, name.size);
    c->items[c->count].value = strndup(value.text, value.size);
    if (!c->items[c->count].name || !c->items[c->count].value) {
        free(c->items[c->count].name);
        free(c->items[c->count].value);
        return;
    }
    /* As stored: a NUL cannot be inside, the parser refuses it. */
    c->bytes += name.size + value.size;
    c->count++;
}

int cookies_emit(const struct cookies *cookies, struct obs_buffer *b)
{
    if (!cookies || cookies->count == 0)
        return 0;
    for (unsigned i = 0; i < cookies->count; i++) {
        obs_buffer_append_text(b, i == 0 ? "Cookie: " : "; ");
        obs_buffer_append_text(b, cookies->items[i].name);
        obs_buffer_append_char(b, '=');
        obs_buffer_append_text(b, cookies->items[i].value);
    }
    return obs_buffer_append_text(b, "\r\n");
}

const char *cookies_find(const struct cookies *cookies, const char *name)
{
    int i = find(cookies, name, strlen(name));

    return i < 0 ? NULL : cookies->items[i].value;
}
