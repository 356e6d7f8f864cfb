#pragma once
/*
 * RabbitMQ: a private node with its own epmd in a temporary folder, on loopback ports that were
 * free.
 *
 * It boots in about five seconds, without plugins. One vhost with one user of the same name; what
 * is durable survives kill and restart.
 */
#include "base/cleanup.h"
#include <stddef.h>
#include <stdint.h>

#define FIXTURE_RABBITMQ_NAME "shop" /* vhost and user */

struct fixture_rabbitmq;

/* Return: 0, -ENOENT when RabbitMQ is not installed, -errno. */
int fixture_rabbitmq_start(struct fixture_rabbitmq **ret_rabbitmq);
struct fixture_rabbitmq *fixture_rabbitmq_free(struct fixture_rabbitmq *rabbitmq);

uint16_t fixture_rabbitmq_port(const struct fixture_rabbitmq *rabbitmq);
const char *
fixture_rabbitmq_address(const struct fixture_rabbitmq *rabbitmq); /* "tcp:127.0.0.1:N" */
const char *fixture_rabbitmq_password(const struct fixture_rabbitmq *rabbitmq);
const char *fixture_rabbitmq_password_file(const struct fixture_rabbitmq *rabbitmq);

void fixture_rabbitmq_signal(struct fixture_rabbitmq *rabbitmq, int number); /* SIGSTOP, SIGCONT */
void fixture_rabbitmq_kill(struct fixture_rabbitmq *rabbitmq);               /* SIGKILL, reaped */
int fixture_rabbitmq_restart(struct fixture_rabbitmq *rabbitmq);             /* after kill */

/* Messages ready in the queue, and its consumers (may be NULL); -EIO when it is not there. */
int fixture_rabbitmq_depth(struct fixture_rabbitmq *rabbitmq, const char *queue,
                           unsigned *ret_consumers);
/* Publish any bytes, persistent, without headers. Return: 0, -EIO. */
int fixture_rabbitmq_publish(struct fixture_rabbitmq *rabbitmq, const char *exchange,
                             const char *routing_key, const void *body, size_t size);
/* Take one message off the queue: body and the text of one header, truncated to fit,
 * NUL-terminated. Return: 1, 0 (the queue is empty), -EIO. */
int fixture_rabbitmq_take(struct fixture_rabbitmq *rabbitmq, const char *queue,
                          const char *header_name, char *ret_body, size_t body_capacity,
                          char *ret_header, size_t header_capacity);
int fixture_rabbitmq_delete_queue(struct fixture_rabbitmq *rabbitmq, const char *queue);

OBS_DEFINE_CLEANUP(struct fixture_rabbitmq *, fixture_rabbitmq_free)
