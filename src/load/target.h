#pragma once
/*
 * Target: where the load goes.
 *
 *   http://HOST[:PORT][/PATH]   https://HOST[:PORT][/PATH]
 *   unix:/run/gateway.sock      unix:/run/gateway.sock:/PATH
 *   tcp:HOST:PORT
 */
#include "base/address.h"
#include "base/cleanup.h"
#include <openssl/ssl.h>
#include <stdbool.h>

struct target {
    struct obs_address address;
    char host[300];     /* Host header; for TLS also the name the certificate must have */
    char tls_name[256]; /* without port */
    char path[2048];    /* path and query of the URL, "/" when it has none */
    SSL_CTX *tls;       /* NULL: plain */
};

enum target_outcome {
    TARGET_OK = 0,
    TARGET_REFUSED = 1,
};

struct target_options {
    const char *host;    /* overrides the Host header; NULL or "": from the URL */
    const char *ca_file; /* trusted certificates; NULL or "": the system's */
    bool is_insecure;    /* certificates are not checked */
};

int target_parse(const char *url, const struct target_options *options, struct target **ret_target,
                 struct obs_reason *reterr_reason);
struct target *target_free(struct target *target);
OBS_DEFINE_CLEANUP(struct target *, target_free)
