#pragma once
/* Control: the agent's API for operators (docs/agent.md). Every request needs a token. */
#include "agent/served.h"
#include "agent/supervisor.h"
#include "agent/token.h"
#include "base/http_server.h"

struct control;

struct control_options { /* all borrowed */
    struct event_base *base;
    const char *tenant;
    const struct unit_table *table;
    struct supervisor *supervisor;
    struct served *served;
    const struct token_checker *tokens;
    struct obs_worker_pool *pool;
    void (*shutdown)(void *userdata);
    void *userdata;
};

int control_new(const struct control_options *options, struct control **ret_control);
/* Serve on @listen_fd (taken). Return: 0, < 0. */
int control_listen(struct control *control, int listen_fd);
/* End followed logs, answer what is under way, then @done, soon. */
void control_drain(struct control *control, void (*done)(void *userdata), void *userdata);
/* The pool must be free of jobs. */
struct control *control_free(struct control *control);
OBS_DEFINE_CLEANUP(struct control *, control_free)

/* ---- between control.c, control_config.c and control_logs.c ---- */

struct control_logs; /* who follows */

bool control_admits(struct control *control, struct obs_http_request *request);
struct control_options *control_parts(struct control *control);
struct control_logs **control_followers(struct control *control);
void control_reply_no_unit(struct control *control, struct obs_http_request *request);
void control_get_logs(struct obs_http_request *request, void *userdata);
void control_close_logs(struct control *control);

struct control_proxies; /* clients of the units' own admin sockets */
int control_proxies_new(const struct unit_table *table, struct control_proxies **ret_proxies);
struct control_proxies *control_proxies_free(struct control_proxies *proxies);
struct control_proxies *control_proxies_of(struct control *control);
void control_config(struct obs_http_request *request, void *userdata);
