#include "shop/service/broker_args.h"
#include "base/text.h"
#include <stdio.h>
#include <string.h>

/* The name is kept and resolved at each connection, so that a broker may move. */
int broker_address_read(const char *const *values, struct broker_address *ret_address,
                        struct obs_reason *reterr_reason)
{
    const char *text = values[BROKER_ARG_ADDRESS];
    const char *host = strncmp(text, "tcp:", 4) == 0 ? text + 4 : "";
    const char *colon = strrchr(host, ':');
    size_t size = colon ? (size_t)(colon - host) : 0;
    uint64_t port = 0;

    if (size > 2 && host[0] == '[' && host[size - 1] == ']') { /* IPv6 */
        host++;
        size -= 2;
    }
    if (size == 0 || size >= sizeof(ret_address->host) ||
        obs_text_parse_u64(colon + 1, strlen(colon + 1), 65535, &port) != 0 || port == 0) {
        obs_reason_set(reterr_reason, "--amqp \"%s\": expected tcp:HOST:PORT", text);
        return 1;
    }
    snprintf(ret_address->host, sizeof(ret_address->host), "%.*s", (int)size, host);
    ret_address->port = (uint16_t)port;
    ret_address->vhost = values[BROKER_ARG_VHOST];
    ret_address->user = values[BROKER_ARG_USER];
    ret_address->password_file = values[BROKER_ARG_PASSWORD_FILE];
    return 0;
}
