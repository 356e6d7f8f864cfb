/* Routes: patterns of literal segments, {name} for one segment, {name...} for the rest. */
#include "base/http_internal.h"

#include <stdio.h>
#include <string.h>

static bool is_capture(const char *segment, size_t size)
{
    return size > 2 && segment[0] == '{' && segment[size - 1] == '}';
}

static bool is_rest(const char *segment, size_t size)
{
    return is_capture(segment, size) && size > 5 && memcmp(segment + size - 4, "...", 3) == 0;
}

static size_t segment_size(const char *at)
{
    return strcspn(at, "/");
}

bool route_pattern_is_valid(const char *pattern)
{
    const char *at = pattern;

    if (*at != '/')
        return false;
    while (*at == '/') {
        size_t size = segment_size(++at);

        if (is_rest(at, size) && at[size] != '\0')
            return false;
        at += size;
    }
    return *at == '\0';
}

/* Walk pattern and path together. @name: stop at that capture and give its value. */
static bool walk(const char *pattern, const char *path, const char *name, const char **ret_value,
                 size_t *ret_size)
{
    while (*pattern == '/' && *path == '/') {
        size_t want = segment_size(++pattern);
        size_t have = segment_size(++path);
        bool is_named = is_capture(pattern, want);

        if (is_rest(pattern, want))
            have = strlen(path);
        if (is_named ? have == 0 : (want != have || memcmp(pattern, path, want) != 0))
            return false;
        if (name && is_named) {
            size_t name_size = want - (is_rest(pattern, want) ? 5 : 2);

            if (strlen(name) == name_size && memcmp(pattern + 1, name, name_size) == 0) {
                *ret_value = path;
                *ret_size = have;
                return true;
            }
        }
        pattern += want;
        path += have;
    }
    return !name && *pattern == '\0' && *path == '\0';
}

const struct obs_http_route *route_find(const struct obs_http_server_options *options,
                                        const char *method, const char *path)
{
    const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;

    for (size_t i = 0; i < options->route_count; i++) {
        const struct obs_http_route *route = &options->routes[i];

        if (strcmp(route->method, wanted) == 0 && walk(route->pattern, path, NULL, NULL, NULL))
            return route;
    }
    return NULL;
}

bool route_methods(const struct obs_http_server_options *options, const char *path, char *out,
                   size_t capacity)
{
    size_t used = 0;

    for (size_t i = 0; i < options->route_count; i++) {
        const struct obs_http_route *route = &options->routes[i];
        size_t size = strlen(route->method);

        if (!walk(route->pattern, path, NULL, NULL, NULL) || used + size + 3 > capacity)
            continue;
        used += (size_t)snprintf(out + used, capacity - used, "%s%s", used > 0 ? ", " : "",
                                 route->method);
    }
    return used > 0;
}

const char *route_param(const char *pattern, const char *path, const char *name, size_t *ret_size)
{
    const char *value = NULL;

    return walk(pattern, path, name, &value, ret_size) ? value : NULL;
}
