/* multipart/form-data, as much of it as profiles come in: no nesting, no transfer encodings. */
#include "telemetry/pyroscope.h"

#include <string.h>
#include <strings.h>

#define BOUNDARY_MAX 70 /* RFC 2046 section 5.1.1 */

static int bad(struct obs_reason *reterr_reason, const char *what)
{
    obs_reason_set(reterr_reason, "multipart body: %s", what);
    return 400;
}

/* "\r\n--BOUNDARY" into @out; its size, 0 when there is none. */
static size_t find_boundary(const char *content_type, char out[BOUNDARY_MAX + 8])
{
    const char *at = strcasestr(content_type, "boundary=");
    size_t size;

    if (!at)
        return 0;
    at += strlen("boundary=");
    if (*at == '"')
        size = strcspn(++at, "\"");
    else
        size = strcspn(at, "; \t");
    if (size == 0 || size > BOUNDARY_MAX)
        return 0;
    memcpy(stpcpy(out, "\r\n--"), at, size);
    return size + 4;
}

/* The value of name="…" in the part's head. */
static void find_name(struct text_view head, char out[64])
{
    static const char KEY[] = "; name=\"";
    const char *at = memmem(head.text, head.size, KEY, strlen(KEY)), *end;

    out[0] = '\0';
    if (!at)
        return;
    at += strlen(KEY);
    end = memchr(at, '"', (size_t)(head.text + head.size - at));
    if (end && end - at < 64) {
        memcpy(out, at, (size_t)(end - at));
        out[end - at] = '\0';
    }
}

int pyroscope_parts(const char *content_type, struct text_view body,
                    struct pyroscope_part parts[PYROSCOPE_PARTS_MAX], size_t *ret_count,
                    struct obs_reason *reterr_reason)
{
    char boundary[BOUNDARY_MAX + 8];
    size_t size = find_boundary(content_type, boundary), count = 0;
    const char *at = body.text, *end = at + body.size;

    if (size == 0)
        return bad(reterr_reason, "Content-Type names no boundary of 1 to 70 characters");
    /* The first boundary may stand at the very start, without its line end. */
    if (body.size >= size - 2 && memcmp(at, boundary + 2, size - 2) == 0) {
        at += size - 2;
    } else {
        at = memmem(at, body.size, boundary, size);
        if (!at)
            return bad(reterr_reason, "the boundary is not in it");
        at += size;
    }
    while (end - at >= 2 && memcmp(at, "--", 2) != 0) {
        const char *head = at, *data = memmem(at, (size_t)(end - at), "\r\n\r\n", 4), *next;

        if (!data)
            return bad(reterr_reason, "a part's head has no end");
        data += 4;
        next = memmem(data, (size_t)(end - data), boundary, size);
        if (!next)
            return bad(reterr_reason, "a part has no end");
        if (count == PYROSCOPE_PARTS_MAX)
            return bad(reterr_reason, "over 8 parts");
        find_name((struct text_view){head, (size_t)(data - head)}, parts[count].name);
        parts[count++].data = (struct text_view){data, (size_t)(next - data)};
        at = next + size;
    }
    if (end - at < 2)
        return bad(reterr_reason, "the closing boundary is missing");
    *ret_count = count;
    return 0;
}
