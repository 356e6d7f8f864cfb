#pragma once
/*
 * A receiver of OTLP for tests: our own server on a unix socket in a folder of its own, its loop in
 * a thread. It keeps what it was sent, and answers as it is told.
 */
#include "base/http_server.h"
#include "otlp_trace.pb-c.h"
#include <pthread.h>
#include <stdbool.h>

#define TEST_COLLECTOR_REQUESTS 64

struct test_answer {
    int status; /* 0: 200 */
    const char *retry_after;
    const void *body;
    size_t body_size;
};

struct test_collector {
    char folder[64], address[96]; /* "unix:FOLDER/c.sock" */
    pthread_t thread;
    bool is_running;
    struct event_base *base;
    struct obs_mailbox *mailbox;
    struct obs_http_server *server;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* Under the lock. */
    Otlp__ExportTraceServiceRequest *requests[TEST_COLLECTOR_REQUESTS]; /* answered 2xx */
    char targets[TEST_COLLECTOR_REQUESTS][256];                         /* of all */
    struct obs_buffer last_body;
    size_t request_count, seen, span_count;
    struct test_answer answers[8]; /* of the next requests; then 200 */
    size_t answer_count, answered;
    bool is_stalled; /* answers wait until it is false */
};

/* Make the folder and the address; nothing listens yet. */
void test_collector_init(struct test_collector *c);
void test_collector_done(struct test_collector *c);
void test_collector_start(struct test_collector *c);
void test_collector_stop(struct test_collector *c);
void test_collector_stall(struct test_collector *c, bool is_stalled);
/* Wait, at most 20 s. */
void test_collector_wait_spans(struct test_collector *c, size_t spans);
void test_collector_wait_seen(struct test_collector *c, size_t requests);
/* The @index-th span received, in order; @ret_resource may be NULL. */
const Otlp__Span *test_collector_span(struct test_collector *c, size_t index,
                                      const Otlp__Resource **ret_resource);
/* Value of a text attribute, or "". */
const char *test_attribute(Otlp__KeyValue **attributes, size_t count, const char *key);
