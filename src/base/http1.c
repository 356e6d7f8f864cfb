/*
 * HTTP/1.1 heads.
 *
 * A head is parsed only when all of it is there: lines are found first (memchr), so that a slow
 * sender costs one look at each byte, and then read once.
 */
#include "base/http1.h"

#include "base/text.h"
#include <string.h>

#define METHOD_MAX 32

/* tchar of RFC 9110 section 5.6.2. */
static const bool IS_TOKEN[256] = {
    ['!'] = 1,         ['#'] = 1, ['$'] = 1, ['%'] = 1, ['&'] = 1,         ['\''] = 1,
    ['*'] = 1,         ['+'] = 1, ['-'] = 1, ['.'] = 1, ['0' ... '9'] = 1, ['^'] = 1,
    ['A' ... 'Z'] = 1, ['_'] = 1, ['`'] = 1, ['|'] = 1, ['~'] = 1,         ['a' ... 'z'] = 1,
};

bool obs_http1_is_token(char c)
{
    return IS_TOKEN[(unsigned char)c];
}

/* Lines of one head, taken one after the other. */
struct lines {
    const char *at, *end;
};

static bool is_all(const bool table[256], struct obs_span_text span)
{
    for (size_t i = 0; i < span.size; i++)
        if (!table[(unsigned char)span.text[i]])
            return false;
    return span.size > 0;
}

static bool equals_nocase(struct obs_span_text span, const char *lower)
{
    return obs_text_equal_nocase(span.text, span.size, lower);
}

/* Find the empty line that ends the head. Sets *ret_size to the bytes of the head. */
static int find_end(const char *data, size_t size, size_t *scanned, size_t *ret_size,
                    struct obs_reason *why)
{
    size_t line = *scanned;

    for (;;) {
        const char *newline = memchr(data + line, '\n', size - line);
        size_t at;

        if (!newline) {
            *scanned = line;
            return OBS_HTTP1_MORE;
        }
        at = (size_t)(newline - data);
        if (at == line || data[at - 1] != '\r') {
            obs_reason_set(why, "a line ends in LF alone: expected CR LF");
            return OBS_HTTP1_BAD;
        }
        if (at - 1 == line) {
            *ret_size = at + 1;
            return OBS_HTTP1_DONE;
        }
        line = at + 1;
    }
}

static struct obs_span_text next_line(struct lines *lines)
{
    const char *newline = memchr(lines->at, '\n', (size_t)(lines->end - lines->at));
    struct obs_span_text line = {lines->at, (size_t)(newline - lines->at) - 1};

    lines->at = newline + 1;
    return line;
}

static struct obs_span_text trim(struct obs_span_text span)
{
    while (span.size > 0 && (span.text[0] == ' ' || span.text[0] == '\t')) {
        span.text++;
        span.size--;
    }
    while (span.size > 0 && (span.text[span.size - 1] == ' ' || span.text[span.size - 1] == '\t'))
        span.size--;
    return span;
}

/* field-value: visible characters, obs-text, space and tab (RFC 9110 section 5.5). */
static bool is_field_value(struct obs_span_text value)
{
    for (size_t i = 0; i < value.size; i++) {
        unsigned char c = (unsigned char)value.text[i];

        if ((c < ' ' && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

/* Return: 0, or the status to refuse with. */
static int read_header(struct obs_span_text line, struct obs_http1_head *head,
                       struct obs_reason *why)
{
    const char *colon = memchr(line.text, ':', line.size);
    struct obs_http1_header *header = &head->headers[head->header_count];

    if (head->header_count == OBS_HTTP1_HEADERS_MAX) {
        obs_reason_set(why, "more than %d header fields", OBS_HTTP1_HEADERS_MAX);
        return 431;
    }
    if (!colon) {
        obs_reason_set(why, "a header line has no colon");
        return 400;
    }
    header->name = (struct obs_span_text){line.text, (size_t)(colon - line.text)};
    header->value = trim((struct obs_span_text){colon + 1, line.size - header->name.size - 1});
    if (!is_all(IS_TOKEN, header->name)) {
        obs_reason_set(why, "a header name is empty or holds a character that is not allowed");
        return 400;
    }
    if (!is_field_value(header->value)) {
        obs_reason_set(why, "header \"%.*s\" holds a control character",
                       (int)(header->name.size < 64 ? header->name.size : 64), header->name.text);
        return 400;
    }
    head->header_count++;
    return 0;
}

/* What the framing headers of a message say; each counts how often it stands. */
struct framing_headers {
    unsigned lengths, codings, hosts;
    struct obs_span_text length, coding;
    bool says_close, says_keep_alive, expects, expects_other;
};

static void read_connection(struct obs_span_text list, struct framing_headers *found)
{
    while (list.size > 0) {
        const char *comma = memchr(list.text, ',', list.size);
        size_t size = comma ? (size_t)(comma - list.text) : list.size;
        struct obs_span_text item = trim((struct obs_span_text){list.text, size});

        found->says_close |= equals_nocase(item, "close");
        found->says_keep_alive |= equals_nocase(item, "keep-alive");
        list.text += size + (comma ? 1 : 0);
        list.size -= size + (comma ? 1 : 0);
    }
}

static struct framing_headers find_framing(const struct obs_http1_head *head)
{
    struct framing_headers found = {0};

    for (size_t i = 0; i < head->header_count; i++) {
        const struct obs_http1_header *header = &head->headers[i];

        switch (header->name.size) { /* most names end here without a comparison */
        case 4:
            found.hosts += equals_nocase(header->name, "host");
            break;
        case 6:
            if (equals_nocase(header->name, "expect")) {
                found.expects = equals_nocase(header->value, "100-continue");
                found.expects_other |= !found.expects;
            }
            break;
        case 10:
            if (equals_nocase(header->name, "connection"))
                read_connection(header->value, &found);
            break;
        case 14:
            if (equals_nocase(header->name, "content-length")) {
                found.lengths++;
                found.length = header->value;
            }
            break;
        case 17:
            if (equals_nocase(header->name, "transfer-encoding")) {
                found.codings++;
                found.coding = header->value;
            }
            break;
        default:
            break;
        }
    }
    return found;
}

/* Framing common to both directions. Return: 0, or the status to refuse with. */
static int decide_framing(const struct framing_headers *found, struct obs_http1_head *head,
                          struct obs_reason *why)
{
    if (found->lengths > 1) {
        obs_reason_set(why, "header \"content-length\" stands %u times: expected once",
                       found->lengths);
        return 400;
    }
    if (found->codings > 0) {
        if (found->lengths > 0 || found->codings > 1 || head->minor_version == 0) {
            obs_reason_set(why, "header \"transfer-encoding\" must stand once, in HTTP/1.1, "
                                "without \"content-length\"");
            return 400;
        }
        if (!equals_nocase(found->coding, "chunked")) {
            obs_reason_set(why, "header \"transfer-encoding\": only \"chunked\" is supported");
            return 501;
        }
        head->framing = OBS_HTTP1_CHUNKED;
    } else if (found->lengths == 1) {
        if (obs_text_parse_u64(found->length.text, found->length.size, INT64_MAX,
                               &head->content_length) != OBS_TEXT_OK) {
            obs_reason_set(why, "header \"content-length\" is not a number of bytes");
            return 400;
        }
        head->framing = OBS_HTTP1_LENGTH;
    }
    head->keep_alive = !found->says_close && (head->minor_version == 1 || found->says_keep_alive);
    return 0;
}

/* "HTTP/1.x". Return: 0, or the status to refuse with. */
static int read_version(struct obs_span_text text, int *ret_minor, struct obs_reason *why)
{
    if (text.size == 8 && memcmp(text.text, "HTTP/1.", 7) == 0 &&
        (text.text[7] == '0' || text.text[7] == '1')) {
        *ret_minor = text.text[7] - '0';
        return 0;
    }
    if (text.size == 8 && memcmp(text.text, "HTTP/", 5) == 0 && text.text[6] == '.' &&
        text.text[5] >= '0' && text.text[5] <= '9' && text.text[7] >= '0' && text.text[7] <= '9') {
        obs_reason_set(why, "%.8s is not supported: use HTTP/1.1", text.text);
        return 505;
    }
    obs_reason_set(why, "the first line does not name a version of HTTP");
    return 400;
}

/* Origin form, `*`, or absolute form reduced to its origin form. */
static int read_target(struct obs_span_text target, struct obs_http1_head *head,
                       struct obs_reason *why)
{
    if (target.size > 7 && memcmp(target.text, "http://", 7) == 0) {
        const char *path = memchr(target.text + 7, '/', target.size - 7);

        target.size = path ? target.size - (size_t)(path - target.text) : 1;
        target.text = path ? path : "/";
    }
    if (target.size == 0 ||
        (target.text[0] != '/' && !(target.size == 1 && target.text[0] == '*'))) {
        obs_reason_set(why, "the request target must begin with \"/\"");
        return 400;
    }
    for (size_t i = 0; i < target.size; i++)
        if (target.text[i] <= ' ' || target.text[i] > '~') {
            obs_reason_set(why, "the request target holds a character that must be "
                                "percent-encoded");
            return 400;
        }
    head->target = target;
    return 0;
}

static int read_request_line(struct obs_span_text line, struct obs_http1_head *head,
                             struct obs_reason *why)
{
    const char *first = memchr(line.text, ' ', line.size);
    const char *last = memrchr(line.text, ' ', line.size);
    int status;

    if (!first || first == last) {
        obs_reason_set(why, "the request line must be METHOD TARGET HTTP/1.1");
        return 400;
    }
    head->method = (struct obs_span_text){line.text, (size_t)(first - line.text)};
    if (!is_all(IS_TOKEN, head->method) || head->method.size > METHOD_MAX) {
        obs_reason_set(why, "the method is not a token of 1 to %d characters", METHOD_MAX);
        return 400;
    }
    status =
        read_version((struct obs_span_text){last + 1, (size_t)(line.text + line.size - last) - 1},
                     &head->minor_version, why);
    if (status != 0)
        return status;
    return read_target((struct obs_span_text){first + 1, (size_t)(last - first) - 1}, head, why);
}

static int read_headers(struct lines *lines, struct obs_http1_head *head, struct obs_reason *why)
{
    for (;;) {
        struct obs_span_text line = next_line(lines);
        int status;

        if (line.size == 0)
            return 0;
        status = read_header(line, head, why);
        if (status != 0)
            return status;
    }
}

static int read_request(struct lines *lines, struct obs_http1_head *head, struct obs_reason *why)
{
    struct framing_headers found;
    int status = read_request_line(next_line(lines), head, why);

    if (status == 0)
        status = read_headers(lines, head, why);
    if (status != 0)
        return status;
    found = find_framing(head);
    if (found.hosts > 1 || (found.hosts == 0 && head->minor_version == 1)) {
        obs_reason_set(why, "header \"host\" stands %u times: expected once", found.hosts);
        return 400;
    }
    if (found.expects_other) {
        obs_reason_set(why, "header \"expect\": only \"100-continue\" is supported");
        return 417;
    }
    head->expect_continue = found.expects && head->minor_version == 1;
    return decide_framing(&found, head, why);
}

int obs_http1_parse_request(const char *data, size_t size, size_t *scanned,
                            struct obs_http1_head *ret_head, int *reterr_status,
                            struct obs_reason *reterr_reason)
{
    size_t skip = 0; /* one empty line before a request is ignored: RFC 9112 section 2.2 */
    struct lines lines;
    int r;

    if (size > 0 && data[0] == '\r')
        skip = 2;
    if (size <= skip)
        return OBS_HTTP1_MORE;
    *reterr_status = 400;
    if ((skip > 0 && data[1] != '\n') || !IS_TOKEN[(unsigned char)data[skip]]) {
        obs_reason_set(reterr_reason, "this is not an HTTP request");
        return OBS_HTTP1_BAD;
    }
    if (*scanned < skip)
        *scanned = skip;
    ret_head->header_count = 0;
    ret_head->framing = OBS_HTTP1_NO_BODY;
    ret_head->content_length = 0;
    ret_head->status = 0;
    r = find_end(data, size, scanned, &ret_head->size, reterr_reason);
    if (r != OBS_HTTP1_DONE)
        return r;
    lines = (struct lines){data + skip, data + ret_head->size};
    r = read_request(&lines, ret_head, reterr_reason);
    if (r == 0)
        return OBS_HTTP1_DONE;
    *reterr_status = r;
    return OBS_HTTP1_BAD;
}

/* status-line of RFC 9112 section 4; the reason phrase and its space may be missing. */
static int read_status_line(struct obs_span_text line, struct obs_http1_head *head,
                            struct obs_reason *why)
{
    uint64_t status = 0;

    if (line.size < 12 || line.text[8] != ' ' || (line.size > 12 && line.text[12] != ' ') ||
        obs_text_parse_u64(line.text + 9, 3, 599, &status) != OBS_TEXT_OK || status < 100) {
        obs_reason_set(why, "the status line must be HTTP/1.1 STATUS REASON");
        return 400;
    }
    if (!is_field_value((struct obs_span_text){line.text + 12, line.size - 12})) {
        obs_reason_set(why, "the reason phrase holds a control character");
        return 400;
    }
    head->status = (int)status;
    return read_version((struct obs_span_text){line.text, 8}, &head->minor_version, why);
}

static int read_response(struct lines *lines, bool request_was_head, struct obs_http1_head *head,
                         struct obs_reason *why)
{
    struct framing_headers found;
    int r = read_status_line(next_line(lines), head, why);

    if (r == 0)
        r = read_headers(lines, head, why);
    if (r != 0)
        return r;
    found = find_framing(head);
    r = decide_framing(&found, head, why);
    if (r != 0)
        return r;
    if (request_was_head || head->status < 200 || head->status == 204 || head->status == 304)
        head->framing = OBS_HTTP1_NO_BODY;
    else if (head->framing == OBS_HTTP1_NO_BODY)
        head->framing = OBS_HTTP1_UNTIL_CLOSE;
    if (head->framing == OBS_HTTP1_UNTIL_CLOSE)
        head->keep_alive = false;
    return 0;
}

int obs_http1_parse_response(const char *data, size_t size, size_t *scanned, bool request_was_head,
                             struct obs_http1_head *ret_head, struct obs_reason *reterr_reason)
{
    struct lines lines;
    int r;

    if (size > 0 && data[0] != 'H') {
        obs_reason_set(reterr_reason, "this is not an HTTP response");
        return OBS_HTTP1_BAD;
    }
    *ret_head = (struct obs_http1_head){.size = 0};
    r = find_end(data, size, scanned, &ret_head->size, reterr_reason);
    if (r != OBS_HTTP1_DONE)
        return r;
    lines = (struct lines){data, data + ret_head->size};
    r = read_response(&lines, request_was_head, ret_head, reterr_reason);
    return r == 0 ? OBS_HTTP1_DONE : OBS_HTTP1_BAD;
}

const struct obs_span_text *obs_http1_find(const struct obs_http1_head *head, const char *name)
{
    for (size_t i = 0; i < head->header_count; i++)
        if (equals_nocase(head->headers[i].name, name))
            return &head->headers[i].value;
    return NULL;
}
