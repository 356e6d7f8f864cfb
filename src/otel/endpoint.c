#include "otel/endpoint.h"

#include <errno.h>
#include <stdio.h>
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
    if (r == 0)
        *ret_endpoint = endpoint;
    return r;
}
