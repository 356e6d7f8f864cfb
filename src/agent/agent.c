#include "agent/agent.h"

#include "agent/admin.h"
#include "agent/control.h"
#include "agent/ledger.h"
#include "agent/reaper.h"
#include "agent/served.h"
#include "agent/ship.h"
#include "agent/supervisor.h"
#include "agent/version.h"
#include "base/file.h"
#include "base/log.h"
#include <errno.h>
#include <event2/event.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define CONTROL_WORKERS 2
#define CONTROL_QUEUE 32
#define ADMIN_WORKERS 1
#define ADMIN_QUEUE 8
#define BACKLOG 64

struct agent {
    const struct agent_config *config;
    char log_path[PATH_MAX];
    struct event_base *base;
    struct event *terminate, *interrupt, *hang_up;
    struct reaper *reaper;
    struct obs_mailbox *mailbox;
    struct obs_worker_pool *control_pool, *admin_pool;
    struct token_checker *tokens;
    struct served *served;
    struct ship *ship;
    struct supervisor *supervisor;
    struct control *control;
    struct admin *admin;
    bool is_stopping;
};

/* ---- the end ---- */

static void on_drained(void *userdata)
{
    event_base_loopbreak(((struct agent *)userdata)->base);
}

static void on_stopped(void *userdata)
{
    struct agent *agent = userdata;

    control_drain(agent->control, on_drained, agent);
}

static void stop(void *userdata)
{
    struct agent *agent = userdata;

    if (agent->is_stopping)
        return;
    agent->is_stopping = true;
    obs_log(OBS_LOG_INFO, "stopping all units");
    served_close(agent->served);
    supervisor_stop(agent->supervisor, on_stopped, agent);
}

static void on_signal(evutil_socket_t number, short what, void *userdata)
{
    if (number != SIGHUP)
        stop(userdata);
}

/* ---- parts, in the order in which they need each other ---- */

static int make_base(struct agent *agent, struct obs_reason *reterr_reason)
{
    struct event_config *config = event_config_new();
    int r;

    if (!config)
        return -ENOMEM;
    agent->base = event_base_new_with_config(config);
    event_config_free(config);
    if (!agent->base)
        return -ENOMEM;
    agent->terminate = evsignal_new(agent->base, SIGTERM, on_signal, agent);
    agent->interrupt = evsignal_new(agent->base, SIGINT, on_signal, agent);
    agent->hang_up = evsignal_new(agent->base, SIGHUP, on_signal, agent);
    if (!agent->terminate || !agent->interrupt || !agent->hang_up)
        return -ENOMEM;
    event_add(agent->terminate, NULL);
    event_add(agent->interrupt, NULL);
    event_add(agent->hang_up, NULL);
    r = reaper_new(agent->base, &agent->reaper);
    return r < 0 ? r : obs_mailbox_new(agent->base, &agent->mailbox);
}

static int make_folders(struct agent *agent, struct obs_reason *reterr_reason)
{
    int r;

    snprintf(agent->log_path, sizeof(agent->log_path), "%s/log", agent->config->state_path);
    r = obs_file_mkdirs(agent->log_path, 0700);
    if (r < 0)
        obs_reason_set(reterr_reason, "cannot make folder %s: %s", agent->log_path, strerror(-r));
    return r;
}

static int make_tokens(struct agent *agent, struct obs_reason *reterr_reason)
{
    return token_checker_new(agent->config->key_path, agent->config->tenant, &agent->tokens,
                             reterr_reason);
}

static int make_served(struct agent *agent, struct obs_reason *reterr_reason)
{
    struct served_options options = {.base = agent->base,
                                     .reaper = agent->reaper,
                                     .mailbox = agent->mailbox,
                                     .table = agent->config->table,
                                     .variables = agent->config->variables,
                                     .state_path = agent->config->state_path};

    return served_new(&options, &agent->served, reterr_reason);
}

static int make_ship(struct agent *agent, struct obs_reason *reterr_reason)
{
    struct obs_endpoint endpoint;
    struct ship_options options = {.tenant = agent->config->tenant, .endpoint = &endpoint};
    int r;

    if (!agent->config->logs_endpoint[0])
        return 0;
    r = obs_endpoint_parse(agent->config->logs_endpoint, &endpoint, reterr_reason);
    return r == 0 ? ship_new(&options, &agent->ship) : r;
}

static int make_supervisor(struct agent *agent, struct obs_reason *reterr_reason)
{
    struct supervisor_options options = {.table = agent->config->table,
                                         .variables = agent->config->variables,
                                         .state_path = agent->config->state_path,
                                         .log_path = agent->log_path,
                                         .endpoint = agent->config->endpoint,
                                         .resource = agent->config->resource,
                                         .ship = agent->ship,
                                         .settings = served_fill,
                                         .userdata = agent->served};
    int r = supervisor_new(agent->base, agent->reaper, &options, &agent->supervisor);

    if (r == 0)
        served_attach(agent->served, agent->supervisor);
    return r;
}

static int listen_on(struct obs_address address, int *ret_fd, struct obs_reason *reterr_reason)
{
    struct obs_reason why = {0};
    int r = obs_address_listen(&address, BACKLOG, false, ret_fd, &why);

    if (r > 0)
        obs_reason_set(reterr_reason, "cannot listen: %s", why.text);
    return r;
}

static int make_control(struct agent *agent, struct obs_reason *reterr_reason)
{
    struct control_options options = {.base = agent->base,
                                      .tenant = agent->config->tenant,
                                      .table = agent->config->table,
                                      .supervisor = agent->supervisor,
                                      .served = agent->served,
                                      .tokens = agent->tokens,
                                      .shutdown = stop,
                                      .userdata = agent};
    int fd = -1;
    int r = obs_worker_pool_new("control", CONTROL_WORKERS, CONTROL_QUEUE, &agent->control_pool);

    options.pool = agent->control_pool;
    if (r == 0)
        r = control_new(&options, &agent->control);
    if (r == 0)
        r = listen_on(agent->config->listen, &fd, reterr_reason);
    return r == 0 ? control_listen(agent->control, fd) : r;
}

static int make_admin(struct agent *agent, struct obs_reason *reterr_reason)
{
    int fd = -1;
    int r = obs_worker_pool_new("admin", ADMIN_WORKERS, ADMIN_QUEUE, &agent->admin_pool);

    if (r == 0)
        r = admin_new(agent->base, agent->supervisor, agent->ship, agent->admin_pool,
                      &agent->admin);
    if (r == 0)
        r = listen_on(agent->config->admin, &fd, reterr_reason);
    return r == 0 ? admin_listen(agent->admin, fd) : r;
}

static int clean_leftovers(struct agent *agent, struct obs_reason *reterr_reason)
{
    size_t ended = 0;
    int r = ledger_clean(agent->config->state_path, &ended, reterr_reason);

    if (ended > 0)
        obs_log(OBS_LOG_WARN, "ended processes of an earlier agent", OBS_INT("processes", ended));
    return r;
}

static int make(struct agent *agent, struct obs_reason *reterr_reason)
{
    static int (*const STEPS[])(struct agent *, struct obs_reason *) = {
        make_base, make_folders,    make_tokens,  clean_leftovers, make_served,
        make_ship, make_supervisor, make_control, make_admin,
    };
    int r = 0;

    for (size_t i = 0; i < OBS_COUNT(STEPS) && r == 0; i++)
        r = STEPS[i](agent, reterr_reason);
    return r;
}

static void take_apart(struct agent *agent)
{
    struct event *events[] = {agent->terminate, agent->interrupt, agent->hang_up};

    /* Workers first: they may still hold a request. */
    obs_worker_pool_free(agent->control_pool);
    obs_worker_pool_free(agent->admin_pool);
    control_free(agent->control);
    admin_free(agent->admin);
    supervisor_free(agent->supervisor);
    ship_free(agent->ship); /* after the last words of all units */
    if (agent->served)
        served_close(agent->served);
    if (agent->mailbox)
        obs_mailbox_free(agent->mailbox);
    served_free(agent->served);
    token_checker_free(agent->tokens);
    reaper_free(agent->reaper);
    for (size_t i = 0; i < OBS_COUNT(events); i++)
        if (events[i])
            event_free(events[i]);
    if (agent->base)
        event_base_free(agent->base);
}

int agent_run(const struct agent_config *config, struct obs_reason *reterr_reason)
{
    struct agent agent = {.config = config};
    struct obs_reason why = {0};
    int r = make(&agent, &why);

    if (r != 0 && !why.text[0])
        obs_reason_set(&why, "%s", r < 0 ? strerror(-r) : "unknown");
    if (r == 0) {
        obs_log(OBS_LOG_INFO, "agent started", OBS_TEXT("tenant", config->tenant),
                OBS_INT("units", config->table->count));
        supervisor_start(agent.supervisor);
        event_base_dispatch(agent.base);
        obs_log(OBS_LOG_INFO, "agent stopped");
    } else {
        *reterr_reason = why;
    }
    take_apart(&agent);
    return r;
}
