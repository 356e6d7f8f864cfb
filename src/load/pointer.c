#include "load/pointer.h"
#include "base/text.h"
#include <string.h>

#define TOKEN_MAX 256

bool pointer_is_valid(const char *pointer)
{
    if (*pointer != '/' && *pointer != '\0')
        return false;
    for (const char *p = pointer; *p; p++)
        if (*p == '~' && p[1] != '0' && p[1] != '1')
            return false;
    return true;
}

/* One reference token, unescaped, NUL-terminated. Returns what follows it, NULL when too long. */
static const char *take_token(const char *pointer, char token[TOKEN_MAX])
{
    size_t size = 0;

    for (; *pointer && *pointer != '/'; pointer++) {
        char c = *pointer;

        if (c == '~')
            c = *++pointer == '0' ? '~' : '/';
        if (size + 1 >= TOKEN_MAX)
            return NULL;
        token[size++] = c;
    }
    token[size] = '\0';
    return pointer;
}

static json_t *array_element(json_t *array, const char *token)
{
    size_t size = strlen(token);
    uint64_t index;

    if (size > 1 && *token == '0') /* no leading zeros: RFC 6901 section 4 */
        return NULL;
    if (obs_text_parse_u64(token, size, json_array_size(array), &index) != 0)
        return NULL;
    return json_array_get(array, (size_t)index);
}

json_t *pointer_find(json_t *json, const char *pointer)
{
    char token[TOKEN_MAX];

    while (json && *pointer == '/') {
        pointer = take_token(pointer + 1, token);
        if (!pointer)
            return NULL;
        if (json_is_object(json))
            json = json_object_get(json, token);
        else
            json = json_is_array(json) ? array_element(json, token) : NULL;
    }
    return json;
}
