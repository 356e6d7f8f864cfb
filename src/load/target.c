#include "load/target.h"
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct target *target_free(struct target *target)
{
    if (!target)
        return NULL;
    SSL_CTX_free(target->tls);
    free(target);
    return NULL;
}

static int refuse(struct obs_reason *why, const char *url)
{
    obs_reason_set(why,
                   "target \"%.100s\": expected http://HOST[:PORT][/PATH], https://…, "
                   "unix:/SOCKET[:/PATH] or tcp:HOST:PORT",
                   url);
    return TARGET_REFUSED;
}

static int set_path(struct target *target, const char *path, struct obs_reason *why)
{
    size_t size = strcspn(path, "#"), good = 0;

    while (good < size && path[good] > ' ' && path[good] <= '~')
        good++;
    if (good < size || size >= sizeof(target->path) - 1) {
        obs_reason_set(why, "target: the path is too long or holds a character that must be "
                            "percent-encoded");
        return TARGET_REFUSED;
    }
    if (size == 0 || *path == '?')
        snprintf(target->path, sizeof(target->path), "/%.*s", (int)size, path);
    else
        snprintf(target->path, sizeof(target->path), "%.*s", (int)size, path);
    return 0;
}

static int parse_unix(struct target *target, const char *url, struct obs_reason *why)
{
    const char *path = strstr(url + 5, ":/");
    char address[sizeof(target->address.text)];
    size_t size = path ? (size_t)(path - url) : strlen(url);

    if (size >= sizeof(address))
        return refuse(why, url);
    snprintf(address, sizeof(address), "%.*s", (int)size, url);
    snprintf(target->host, sizeof(target->host), "localhost");
    if (set_path(target, path ? path + 1 : "", why) != 0)
        return TARGET_REFUSED;
    return obs_address_parse(address, &target->address, why);
}

/* HOST, HOST:PORT, [V6] or [V6]:PORT at @authority[size]. */
static int parse_authority(struct target *target, const char *url, const char *authority,
                           size_t size, unsigned standard_port, struct obs_reason *why)
{
    char address[sizeof(target->address.text)];
    const char *end = authority + size, *port = NULL, *host_end = end;

    if (size == 0 || size > 140 || memchr(authority, '@', size))
        return refuse(why, url);
    if (*authority == '[') {
        host_end = memchr(authority, ']', size);
        if (!host_end)
            return refuse(why, url);
        host_end++;
    } else if (memchr(authority, ':', size)) {
        host_end = memchr(authority, ':', size);
    }
    if (host_end < end) {
        if (*host_end != ':' || host_end + 1 == end)
            return refuse(why, url);
        port = host_end + 1;
    }
    snprintf(target->tls_name, sizeof(target->tls_name), "%.*s", (int)(host_end - authority),
             authority);
    snprintf(target->host, sizeof(target->host), "%.*s", (int)size, authority);
    if (port)
        snprintf(address, sizeof(address), "tcp:%.*s", (int)size, authority);
    else
        snprintf(address, sizeof(address), "tcp:%.*s:%u", (int)size, authority, standard_port);
    return obs_address_parse(address, &target->address, why);
}

static int parse_http(struct target *target, const char *url, const char *authority,
                      unsigned standard_port, struct obs_reason *why)
{
    size_t size = strcspn(authority, "/?#");
    int r = parse_authority(target, url, authority, size, standard_port, why);

    return r != 0 ? r : set_path(target, authority + size, why);
}

static int open_tls(struct target *target, const struct target_options *options,
                    struct obs_reason *why)
{
    const char *ca_file = options->ca_file && *options->ca_file ? options->ca_file : NULL;

    target->tls = SSL_CTX_new(TLS_client_method());
    if (!target->tls)
        return -ENOMEM;
    SSL_CTX_set_mode(target->tls, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(target->tls, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_verify(target->tls, options->is_insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    if (options->is_insecure)
        return 0;
    if (ca_file ? SSL_CTX_load_verify_locations(target->tls, ca_file, NULL)
                : SSL_CTX_set_default_verify_paths(target->tls))
        return 0;
    ERR_clear_error();
    obs_reason_set(why, "certificates cannot be read from %.120s",
                   ca_file ? ca_file : "the system");
    return TARGET_REFUSED;
}

int target_parse(const char *url, const struct target_options *options, struct target **ret_target,
                 struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(target_freep) struct target *target = calloc(1, sizeof(*target));
    int r;

    if (!target)
        return -ENOMEM;
    if (strncmp(url, "unix:", 5) == 0)
        r = parse_unix(target, url, reterr_reason);
    else if (strncmp(url, "tcp:", 4) == 0)
        r = parse_http(target, url, url + 4, 80, reterr_reason);
    else if (strncmp(url, "http://", 7) == 0)
        r = parse_http(target, url, url + 7, 80, reterr_reason);
    else if (strncmp(url, "https://", 8) == 0)
        r = parse_http(target, url, url + 8, 443, reterr_reason);
    else
        r = refuse(reterr_reason, url);
    if (r == 0 && strncmp(url, "https:", 6) == 0)
        r = open_tls(target, options, reterr_reason);
    if (r == 0 && options->host && *options->host) {
        if (strpbrk(options->host, "\r\n \t") ||
            strlen(options->host) >= sizeof(target->tls_name)) {
            obs_reason_set(reterr_reason, "host \"%.60s\" is no host name", options->host);
            r = TARGET_REFUSED;
        }
        snprintf(target->host, sizeof(target->host), "%s", options->host);
        snprintf(target->tls_name, sizeof(target->tls_name), "%.*s",
                 (int)strcspn(options->host, ":"), options->host);
    }
    if (r != 0)
        return r < 0 ? r : TARGET_REFUSED;
    *ret_target = OBS_TAKE(target);
    return 0;
}
