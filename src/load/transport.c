#include "load/transport.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <unistd.h>

int transport_connect(struct transport *t, const struct target *target)
{
    int on = 1, r;

    *t = (struct transport){.fd = -1};
    r = obs_address_connect(&target->address, &t->fd);
    if (r < 0) {
        t->fd = -1;
        return r;
    }
    if (target->address.socket_address.ss_family != AF_UNIX) {
        setsockopt(t->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        return -EAGAIN; /* under way: readiness to write tells the end */
    }
    return transport_continue(t, target);
}

static int finish_connect(struct transport *t)
{
    int error = 0;
    socklen_t size = sizeof(error);

    if (getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
        return -errno;
    t->has_socket = error == 0;
    return -error;
}

static int begin_tls(struct transport *t, const struct target *target)
{
    struct in6_addr number;

    t->tls = SSL_new(target->tls);
    if (!t->tls)
        return -ENOMEM;
    SSL_set_fd(t->tls, t->fd);
    if (inet_pton(AF_INET, target->tls_name, &number) == 1) {
        X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(t->tls), target->tls_name);
    } else {
        SSL_set_tlsext_host_name(t->tls, target->tls_name);
        SSL_set1_host(t->tls, target->tls_name);
    }
    SSL_set_connect_state(t->tls);
    return 0;
}

/* What OpenSSL's answer @result means. */
static int tls_error(struct transport *t, int result)
{
    int error = SSL_get_error(t->tls, result), saved = errno;

    ERR_clear_error();
    t->wants_write = error == SSL_ERROR_WANT_WRITE;
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
        return -EAGAIN;
    if (error == SSL_ERROR_SYSCALL && saved != 0)
        return -saved;
    return -EPROTO;
}

int transport_continue(struct transport *t, const struct target *target)
{
    int r;

    if (!t->has_socket) {
        r = finish_connect(t);
        if (r < 0)
            return r;
        if (target->tls && (r = begin_tls(t, target)) < 0)
            return r;
    }
    if (t->tls) {
        errno = 0;
        r = SSL_do_handshake(t->tls);
        if (r != 1)
            return tls_error(t, r);
        t->wants_write = false;
    }
    t->is_open = true;
    return 0;
}

static ssize_t tls_read(struct transport *t, char *data, size_t size)
{
    size_t n = 0;
    int r;

    errno = 0;
    r = SSL_read_ex(t->tls, data, size, &n);
    if (r == 1)
        return (ssize_t)n;
    if (SSL_get_error(t->tls, r) == SSL_ERROR_ZERO_RETURN)
        return 0;
    return tls_error(t, r);
}

ssize_t transport_read(struct transport *t, char *data, size_t size)
{
    ssize_t n;

    if (t->tls)
        return tls_read(t, data, size);
    do
        n = recv(t->fd, data, size, 0);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

ssize_t transport_write(struct transport *t, const char *data, size_t size)
{
    size_t written = 0;
    ssize_t n;
    int r;

    if (!t->tls) {
        do
            n = send(t->fd, data, size, MSG_NOSIGNAL);
        while (n < 0 && errno == EINTR);
        return n < 0 ? -errno : n;
    }
    errno = 0;
    r = SSL_write_ex(t->tls, data, size, &written);
    return r == 1 ? (ssize_t)written : tls_error(t, r);
}

void transport_close(struct transport *t)
{
    if (t->tls)
        SSL_free(t->tls);
    if (t->fd >= 0)
        close(t->fd);
    *t = (struct transport){.fd = -1};
}
