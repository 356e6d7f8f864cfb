#include "otel/endpoint.h"

#include "base/text.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCHEME "http://"

static bool has_port(const char *authority)
{
    const char *end = strrchr(authority, ']'); /* [IPv6] has colons of its own */

    return strchr(end ? end : authority, ':') != NULL;
}

static int parse_http(const char *text, struct obs_endpoint *endpoint, struct obs_reason *why)
{
    const char *authority = text + strlen(SCHEME);
    size_t size = strcspn(authority, "/");
    size_t prefix_size = strlen(authority + size);
    char address[160];

    while (prefix_size > 0 && authority[size + prefix_size - 1] == '/')
        prefix_size--;
    if (size == 0 || size >= sizeof(endpoint->client.host) ||
        prefix_size >= sizeof(endpoint->prefix) || strpbrk(authority, " ?#@\r\n")) {
        obs_reason_set(why, "\"%.100s\": expected http://HOST:PORT", text);
        return OBS_ENDPOINT_REFUSED;
    }
    memcpy(endpoint->client.host, authority, size);
    memcpy(endpoint->prefix, authority + size, prefix_size);
    snprintf(address, sizeof(address), "tcp:%s%s", endpoint->client.host,
             has_port(endpoint->client.host) ? "" : ":80");
    return obs_address_parse(address, &endpoint->client.address, why);
}

static bool is_name(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (!isalnum((unsigned char)text[i]) && text[i] != '-' && text[i] != '_')
            return false;
    return size > 0;
}

/* Add "name=value" as a header line if it is one and fits. */
static void add_header(char *lines, size_t capacity, const char *item, size_t size)
{
    const char *equals = memchr(item, '=', size);
    size_t used = strlen(lines), name_size = equals ? (size_t)(equals - item) : 0;
    char value[256];

    if (!equals || !is_name(item, name_size) || size - name_size - 1 >= sizeof(value) ||
        obs_text_percent_decode(equals + 1, size - name_size - 1, false, value, sizeof(value),
                                &(size_t){0}) != OBS_TEXT_OK ||
        strpbrk(value, "\r\n"))
        return;
    if (used + name_size + strlen(value) + 5 <= capacity)
        snprintf(lines + used, capacity - used, "%.*s: %s\r\n", (int)name_size, item, value);
}

static void add_headers(char *lines, size_t capacity)
{
    const char *at = getenv("OTEL_EXPORTER_OTLP_HEADERS");

    while (at && *at != '\0') {
        size_t size = strcspn(at, ",");

        while (size > 0 && *at == ' ') {
            at++;
            size--;
        }
        add_header(lines, capacity, at, size);
        at += size + (at[size] == ',');
    }
}

int obs_endpoint_parse(const char *text, struct obs_endpoint *ret_endpoint,
                       struct obs_reason *reterr_reason)
{
    struct obs_endpoint endpoint = {0};
    int r;

    if (strncmp(text, SCHEME, strlen(SCHEME)) == 0) {
        r = parse_http(text, &endpoint, reterr_reason);
    } else if (strncmp(text, "unix:", 5) == 0) {
        r = obs_address_parse(text, &endpoint.client.address, reterr_reason);
    } else {
        obs_reason_set(reterr_reason, "\"%.100s\": expected http://HOST:PORT or unix:PATH", text);
        r = OBS_ENDPOINT_REFUSED;
    }
    if (r != 0)
        return r;
    add_headers(endpoint.client.headers, sizeof(endpoint.client.headers));
    *ret_endpoint = endpoint;
    return 0;
}
