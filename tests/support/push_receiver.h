#pragma once
/*
 * A receiver of Loki's push API for tests: our own server on a unix socket in a folder of its own,
 * its loop in a thread. It keeps the lines that it answered 204, and answers as it is told.
 */
#include "base/http_server.h"
#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>

#define PUSH_RECEIVER_LINES 65536

struct pushed_line {
    char tenant[64], service[64], level[16], unit[64], trace_id[40], span_id[24];
    char time[24]; /* as sent */
    char *text;
};

struct push_answer {
    int status; /* 0: 204 */
    const char *retry_after;
};

struct push_receiver {
    char folder[64], address[96]; /* "unix:FOLDER/push.sock" */
    pthread_t thread;
    bool is_running;
    struct event_base *base;
    struct obs_mailbox *mailbox;
    struct obs_http_server *server;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* Under the lock. */
    struct pushed_line *lines;     /* [PUSH_RECEIVER_LINES] */
    size_t line_count, seen;       /* lines taken; requests */
    size_t mixed;                  /* requests that did not name exactly one tenant */
    struct push_answer answers[8]; /* of the next requests; then 204 */
    size_t answer_count, answered;
    bool is_stalled; /* answers wait until it is false */
};

/* Make the folder and the address; nothing listens yet. */
void push_receiver_init(struct push_receiver *p);
void push_receiver_done(struct push_receiver *p);
void push_receiver_start(struct push_receiver *p);
void push_receiver_stop(struct push_receiver *p);
void push_receiver_stall(struct push_receiver *p, bool is_stalled);
/* Before it is started: what it answers first. */
void push_receiver_answer(struct push_receiver *p, int status, const char *retry_after);
/* Wait, at most 20 s. */
void push_receiver_wait_lines(struct push_receiver *p, size_t lines);
void push_receiver_wait_seen(struct push_receiver *p, size_t requests);
/* Wait for a line that holds @text; it stays where it is until the receiver is done. */
const struct pushed_line *push_receiver_line(struct push_receiver *p, const char *text);
