/* Ports: see ports.h. */
#include "cli/ports.h"

#include "base/file.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#define FIRST 20000
#define LAST 31999

static const char *const NAMES[] = {
#define PORTS_NAME(name) name,
    PORTS(PORTS_NAME)
#undef PORTS_NAME
};

/* Nobody listens there on any address: a server of someone else's on 0.0.0.0 counts, and so does
 * one of [::1], which epmd takes too. SO_REUSEADDR forgives connections that linger after `down`.
 */
static bool can_bind(int family, const struct sockaddr *address, socklen_t size)
{
    OBS_CLEANUP(obs_closep) int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;

    if (fd < 0)
        return errno == EAFNOSUPPORT;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, address, size) == 0)
        return listen(fd, 1) == 0;
    return errno == EADDRNOTAVAIL; /* no such address here: nobody can be there */
}

bool ports_is_free(uint16_t port)
{
    struct sockaddr_in v4 = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

    v6.sin6_addr = in6addr_loopback;
    return can_bind(AF_INET, (struct sockaddr *)&v4, sizeof(v4)) &&
           can_bind(AF_INET6, (struct sockaddr *)&v6, sizeof(v6));
}

uint16_t ports_get(const json_t *ports, const char *name)
{
    json_int_t port = json_integer_value(json_object_get(ports, name));

    return port > 0 && port <= UINT16_MAX ? (uint16_t)port : 0;
}

int ports_read(const char *path, json_t **ret_ports, struct obs_reason *reterr_reason)
{
    struct obs_buffer b = OBS_BUFFER_INIT(65536);
    int r = obs_file_read(path, &b);

    if (r < 0)
        obs_reason_set(reterr_reason, "%s: %s", path, strerror(-r));
    else
        r = obs_json_parse(b.data ? b.data : "", b.size, ret_ports, reterr_reason);
    obs_buffer_done(&b);
    return r == 0 ? PORTS_OK : PORTS_REFUSED;
}

static bool is_taken_by_us(const json_t *ports, uint16_t port)
{
    const char *name;
    json_t *value;

    json_object_foreach ((json_t *)ports, name, value) {
        if (json_integer_value(value) == port)
            return true;
    }
    return false;
}

static uint16_t search(const json_t *ports, unsigned first, unsigned last, unsigned start)
{
    for (unsigned i = 0; i <= last - first; i++) {
        uint16_t port = (uint16_t)(first + (start + i) % (last - first + 1));

        if (!is_taken_by_us(ports, port) && ports_is_free(port))
            return port;
    }
    return 0;
}

static int choose_one(const json_t *kept, const char *name, uint32_t seed, int asked,
                      json_t *chosen, struct obs_reason *reterr_reason)
{
    bool is_control = strcmp(name, "control") == 0;
    bool is_known_range = is_control && asked == PORTS_CONTROL_KEEP;
    unsigned first = is_known_range ? PORTS_CONTROL_FIRST : FIRST;
    unsigned last = is_known_range ? PORTS_CONTROL_LAST : LAST;
    uint16_t port = ports_get(kept, name);

    if (is_control && asked > 0) {
        port = (uint16_t)asked;
        if (!ports_is_free(port)) {
            obs_reason_set(reterr_reason, "port %u is taken by another program", port);
            return PORTS_REFUSED;
        }
    } else if (port == 0 || is_taken_by_us(chosen, port) || !ports_is_free(port)) {
        port = search(chosen, first, last, is_known_range ? 0 : seed);
    }
    if (port == 0) {
        obs_reason_set(reterr_reason, "no free port on 127.0.0.1 from %u to %u", first, last);
        return PORTS_REFUSED;
    }
    return json_object_set_new(chosen, name, json_integer(port)) < 0 ? -ENOMEM : PORTS_OK;
}

int ports_choose(const char *path, uint32_t seed, int control, json_t **ret_ports,
                 struct obs_reason *reterr_reason)
{
    OBS_JSON kept = NULL;
    OBS_JSON chosen = json_object();
    struct obs_buffer b = OBS_BUFFER_INIT(65536);
    int r;

    if (!chosen)
        return -ENOMEM;
    (void)ports_read(path, &kept, NULL); /* none, or damaged: all are chosen anew */
    for (size_t i = 0; i < OBS_COUNT(NAMES); i++) {
        r = choose_one(kept, NAMES[i], seed, control, chosen, reterr_reason);
        if (r != 0)
            return r;
    }
    r = obs_json_emit(chosen, &b);
    if (r == 0 && !(kept && json_equal(kept, chosen)))
        r = obs_file_write_atomic(path, b.data, b.size, 0600, reterr_reason);
    obs_buffer_done(&b);
    if (r == 0)
        *ret_ports = OBS_TAKE(chosen);
    return r;
}
