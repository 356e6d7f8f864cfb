#pragma once
/* Broker arguments: the flags by which a service finds its vhost, said once. */
#include "base/args.h"
#include <stdint.h>

enum {
    BROKER_ARG_ADDRESS,
    BROKER_ARG_VHOST,
    BROKER_ARG_USER,
    BROKER_ARG_PASSWORD_FILE,
    BROKER_ARG_COUNT
};

/* Rows of a service's table of arguments, from index @first on. */
#define BROKER_ARGS(first)                                                                         \
    [(first) + BROKER_ARG_ADDRESS] = {"amqp", "OBSERVA_AMQP", NULL, "ADDRESS",                     \
                                      "message broker, tcp:HOST:PORT"},                            \
               [(first) + BROKER_ARG_VHOST] = {"amqp-vhost", "OBSERVA_AMQP_VHOST", "/", "NAME",    \
                                               "virtual host on the broker"},                      \
               [(first) + BROKER_ARG_USER] = {"amqp-user", "OBSERVA_AMQP_USER", NULL, "NAME",      \
                                              "user on the broker"},                               \
               [(first) + BROKER_ARG_PASSWORD_FILE] = {"amqp-password-file",                       \
                                                       "OBSERVA_AMQP_PASSWORD_FILE", NULL, "FILE", \
                                                       "its first line is the password"}

struct broker_address {
    char host[128];
    uint16_t port;
    const char *vhost, *user, *password_file; /* borrowed from the arguments */
};

/* @values: the four arguments. Return: 0, 1 (reason names the flag). */
int broker_address_read(const char *const *values, struct broker_address *ret_address,
                        struct obs_reason *reterr_reason);
