/*
 * Address: parsing, listening, connecting.
 *
 * A stale unix socket is found by connecting to it. Probe, unlink and bind happen under a lock on
 * the socket's folder, so that of two programs starting at once one gets the socket and one is
 * refused.
 */
#include "base/address.h"

#include "base/cleanup.h"
#include "base/text.h"
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>

static int parse_unix(const char *text, const char *path, struct obs_address *address,
                      struct obs_reason *reterr_reason)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&address->socket_address;
    size_t size = strlen(path);

    if (size == 0) {
        obs_reason_set(reterr_reason, "\"%s\" has no path: expected unix:PATH", text);
        return OBS_ADDRESS_REFUSED;
    }
    if (size >= sizeof(un->sun_path)) {
        obs_reason_set(reterr_reason,
                       "the path of \"%.100s...\" has %zu bytes: expected at most %zu", text, size,
                       sizeof(un->sun_path) - 1);
        return OBS_ADDRESS_REFUSED;
    }
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, size + 1);
    address->size = sizeof(*un);
    return OBS_ADDRESS_OK;
}

static int resolve(const char *text, const char *host, const char *port,
                   struct obs_address *address, struct obs_reason *reterr_reason)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *found;
    int r = getaddrinfo(host, port, &hints, &found);

    if (r == EAI_MEMORY)
        return -ENOMEM;
    if (r != 0) {
        obs_reason_set(reterr_reason, "\"%s\": the host is unknown (%s)", text, gai_strerror(r));
        return OBS_ADDRESS_REFUSED;
    }
    memcpy(&address->socket_address, found->ai_addr, found->ai_addrlen);
    address->size = found->ai_addrlen;
    freeaddrinfo(found);
    return OBS_ADDRESS_OK;
}

static int parse_tcp(const char *text, const char *host, struct obs_address *address,
                     struct obs_reason *reterr_reason)
{
    const char *port = strrchr(host, ':'), *end = port;
    char copy[sizeof(address->text)], port_copy[8];
    uint64_t number;

    if (port && *host == '[' && port > host + 1 && port[-1] == ']') {
        host++;
        end--;
    } else if (port && memchr(host, ':', (size_t)(port - host))) {
        port = NULL; /* IPv6 without brackets: nobody can tell which colon is the port's */
    }
    if (!port || end == host) {
        obs_reason_set(reterr_reason, "\"%s\" is not tcp:HOST:PORT (IPv6 as tcp:[::1]:PORT)", text);
        return OBS_ADDRESS_REFUSED;
    }
    if (obs_text_parse_u64(port + 1, strlen(port + 1), 65535, &number) != OBS_TEXT_OK) {
        obs_reason_set(reterr_reason, "\"%s\": the port is not a number from 0 to 65535", text);
        return OBS_ADDRESS_REFUSED;
    }
    memcpy(copy, host, (size_t)(end - host));
    copy[end - host] = '\0';
    snprintf(port_copy, sizeof(port_copy), "%u", (unsigned)number);
    return resolve(text, copy, port_copy, address, reterr_reason);
}

int obs_address_parse(const char *text, struct obs_address *ret_address,
                      struct obs_reason *reterr_reason)
{
    struct obs_address address = {0};
    int r = OBS_ADDRESS_REFUSED;

    if (strlen(text) >= sizeof(address.text)) {
        obs_reason_set(reterr_reason, "the address \"%.60s...\" is too long: at most %zu bytes",
                       text, sizeof(address.text) - 1);
        return r;
    }
    strcpy(address.text, text);
    if (strncmp(text, "unix:", 5) == 0)
        r = parse_unix(text, text + 5, &address, reterr_reason);
    else if (strncmp(text, "tcp:", 4) == 0)
        r = parse_tcp(text, text + 4, &address, reterr_reason);
    else
        obs_reason_set(reterr_reason,
                       "\"%s\" is not an address: expected unix:PATH or tcp:HOST:PORT", text);
    if (r == OBS_ADDRESS_OK)
        *ret_address = address;
    return r;
}

static const char *unix_path(const struct obs_address *address)
{
    return ((const struct sockaddr_un *)&address->socket_address)->sun_path;
}

/* What a person can put right is a refusal; the rest is broken. */
static int refuse(const struct obs_address *address, int error, struct obs_reason *reterr_reason)
{
    const char *why;

    switch (error) {
    case EADDRINUSE:
        why = "in use by another program";
        break;
    case EACCES:
    case EPERM:
        why = "no permission";
        break;
    case ENOENT:
    case ENOTDIR:
        why = "its folder does not exist";
        break;
    case EADDRNOTAVAIL:
        why = "not an address of this machine";
        break;
    case EROFS:
    case ENOSPC:
    case ENOTSOCK:
        why =
            error == ENOTSOCK ? "something that is not a socket is there" : strerrordesc_np(error);
        break;
    default:
        return -error;
    }
    obs_reason_set(reterr_reason, "cannot listen on \"%s\": %s", address->text, why);
    return OBS_ADDRESS_REFUSED;
}

/* Lock on the folder of @path, or -1: a folder that may be written but not read is used unlocked.
 */
static int lock_folder(const char *path)
{
    char folder[sizeof(((struct sockaddr_un *)0)->sun_path) + 2];
    const char *slash = strrchr(path, '/');
    int fd;

    if (!slash)
        strcpy(folder, ".");
    else
        snprintf(folder, sizeof(folder), "%.*s", slash == path ? 1 : (int)(slash - path), path);
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        while (flock(fd, LOCK_EX) < 0 && errno == EINTR)
            ;
    return fd;
}

/* Return: 0 (nothing in the way any more) or an errno. */
static int remove_stale(const struct obs_address *address)
{
    OBS_CLEANUP(obs_closep) int probe = -1;
    struct stat st;

    if (lstat(unix_path(address), &st) < 0)
        return errno == ENOENT ? 0 : errno;
    if (!S_ISSOCK(st.st_mode))
        return ENOTSOCK;
    probe = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (probe < 0)
        return errno;
    if (connect(probe, (const struct sockaddr *)&address->socket_address, address->size) == 0)
        return EADDRINUSE;
    if (errno != ECONNREFUSED) /* EAGAIN: someone is there, too busy to accept */
        return errno == EAGAIN ? EADDRINUSE : errno;
    return unlink(unix_path(address)) < 0 && errno != ENOENT ? errno : 0;
}

static int bind_unix(const struct obs_address *address, int fd, int backlog, mode_t mode)
{
    OBS_CLEANUP(obs_closep) int lock = lock_folder(unix_path(address));
    int r;

    (void)lock; /* held to the end of this scope */
    r = remove_stale(address);

    if (r != 0)
        return r;
    /* The mode before bind() is the one the socket is born with, less the umask's bits. */
    if (fchmod(fd, mode) < 0 ||
        bind(fd, (const struct sockaddr *)&address->socket_address, address->size) < 0)
        return errno;
    if (chmod(unix_path(address), mode) < 0 || listen(fd, backlog) < 0) {
        r = errno;
        unlink(unix_path(address));
        return r;
    }
    return 0;
}

static int bind_tcp(const struct obs_address *address, int fd, int backlog)
{
    int one = 1;

    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
        bind(fd, (const struct sockaddr *)&address->socket_address, address->size) < 0 ||
        listen(fd, backlog) < 0)
        return errno;
    return 0;
}

static int read_port(struct obs_address *address, int fd)
{
    char *colon = strrchr(address->text, ':');

    address->size = sizeof(address->socket_address);
    if (getsockname(fd, (struct sockaddr *)&address->socket_address, &address->size) < 0)
        return -errno;
    snprintf(colon, (size_t)(address->text + sizeof(address->text) - colon), ":%u",
             (unsigned)obs_address_port(address));
    return 0;
}

int obs_address_listen(struct obs_address *address, int backlog, _Bool group_access, int *ret_fd,
                       struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(obs_closep) int fd = -1;
    int family = address->socket_address.ss_family, r;

    fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (family == AF_UNIX)
        r = bind_unix(address, fd, backlog, group_access ? 0660 : 0600);
    else
        r = bind_tcp(address, fd, backlog);
    if (r != 0)
        return refuse(address, r, reterr_reason);
    if (family != AF_UNIX && obs_address_port(address) == 0) {
        r = read_port(address, fd);
        if (r < 0)
            return r;
    }
    *ret_fd = OBS_TAKE_FD(fd);
    return OBS_ADDRESS_OK;
}

int obs_address_connect(const struct obs_address *address, int *ret_fd)
{
    OBS_CLEANUP(obs_closep) int fd = -1;
    int family = address->socket_address.ss_family, one = 1;

    fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(fd, (const struct sockaddr *)&address->socket_address, address->size) < 0 &&
        errno != EINPROGRESS)
        return -errno;
    *ret_fd = OBS_TAKE_FD(fd);
    return 0;
}

uint16_t obs_address_port(const struct obs_address *address)
{
    const struct sockaddr *sa = (const struct sockaddr *)&address->socket_address;

    if (sa->sa_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)&address->socket_address)->sin_port);
    if (sa->sa_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)&address->socket_address)->sin6_port);
    return 0;
}
