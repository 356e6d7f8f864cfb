/* observa-agent: docs/agent.md. */
#include "agent/agent.h"
#include "agent/guard.h"
#include "agent/ledger.h"
#include "agent/served.h"
#include "agent/version.h"
#include "base/args.h"
#include "base/file.h"
#include "base/log.h"
#include "base/settings_page.h"
#include "base/yaml.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define LOCK_WAIT_MS 10000 /* for the guard of an agent that was killed */
#define VARIABLES_FILE_MAX 1048576

enum {
    ARG_TENANT,
    ARG_UNITS,
    ARG_RUN,
    ARG_STATE,
    ARG_DIST,
    ARG_LISTEN,
    ARG_ADMIN,
    ARG_KEY,
    ARG_VARIABLES,
    ARG_ENDPOINT,
    ARG_RESOURCE,
    ARG_LOGS_ENDPOINT,
    ARG_COUNT
};

static const struct obs_arg ARGS[ARG_COUNT] = {
    [ARG_TENANT] = {"tenant", NULL, NULL, "NAME", "whose units these are; audience of the tokens"},
    [ARG_UNITS] = {"units", NULL, NULL, "FILE", "unit table (YAML, see docs/agent.md)"},
    [ARG_RUN] = {"run", NULL, NULL, "DIR", "folder of sockets"},
    [ARG_STATE] = {"state", NULL, NULL, "DIR", "folder of what must last"},
    [ARG_DIST] = {"dist", NULL, NULL, "DIR", "folder of installed programs and files"},
    [ARG_LISTEN] = {"listen", NULL, NULL, "ADDRESS", "control API; every request needs a token"},
    [ARG_ADMIN] = {"admin", NULL, NULL, "ADDRESS", "metrics and health"},
    [ARG_KEY] = {"public-key", NULL, NULL, "FILE", "PEM of the key that tokens are checked with"},
    [ARG_VARIABLES] = {"variables", NULL, "", "FILE",
                       "JSON object of variables for the unit table"},
    [ARG_ENDPOINT] = {"otlp-endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT", "", "URL",
                      "where spans of gateways go; empty: nowhere"},
    [ARG_RESOURCE] = {"resource-attributes", "OTEL_RESOURCE_ATTRIBUTES", "", "K=V,...",
                      "attributes of those spans"},
    [ARG_LOGS_ENDPOINT] = {"logs-endpoint", "OBSERVA_LOGS_ENDPOINT", "", "URL",
                           "where lines of units go, Loki's push API; empty: they stay here"},
};

static int read_variables_file(struct variables *variables, const char *path,
                               struct obs_reason *reterr_reason)
{
    struct obs_buffer b = OBS_BUFFER_INIT(VARIABLES_FILE_MAX);
    struct obs_reason why = {0};
    OBS_JSON json = NULL;
    int r = obs_file_read(path, &b);

    if (r < 0)
        obs_reason_set(&why, "%s", strerror(-r));
    else
        r = obs_json_parse(b.data, b.size, &json, &why);
    if (r == 0 && !json_is_object(json)) {
        obs_reason_set(&why, "expected an object");
        r = VARIABLES_REFUSED;
    }
    if (r == 0)
        r = variables_set_json(variables, "", json, &why);
    if (r != 0)
        obs_reason_set(reterr_reason, "%s: %s", path, why.text);
    obs_buffer_done(&b);
    return r;
}

/* The file, then the words, then what is always there. */
static int read_variables(struct variables *variables, const char *const *values,
                          char *const *words, struct obs_reason *reterr_reason)
{
    static const struct {
        const char *name;
        int arg;
    } STANDARD[] = {
        {"tenant", ARG_TENANT}, {"run", ARG_RUN}, {"state", ARG_STATE}, {"dist", ARG_DIST}};
    int r = 0;

    if (values[ARG_VARIABLES][0])
        r = read_variables_file(variables, values[ARG_VARIABLES], reterr_reason);
    for (; *words && r == 0; words++)
        r = variables_set_pair(variables, *words, reterr_reason);
    for (size_t i = 0; i < OBS_COUNT(STANDARD) && r == 0; i++)
        r = variables_set(variables, STANDARD[i].name, values[STANDARD[i].arg], reterr_reason);
    return r;
}

static int read_config(const char *const *values, struct agent_config *config,
                       struct obs_reason *reterr_reason)
{
    int r = obs_address_parse(values[ARG_LISTEN], &config->listen, reterr_reason);

    config->tenant = values[ARG_TENANT];
    config->state_path = values[ARG_STATE];
    config->key_path = values[ARG_KEY];
    config->endpoint = values[ARG_ENDPOINT];
    config->resource = values[ARG_RESOURCE];
    config->logs_endpoint = values[ARG_LOGS_ENDPOINT];
    return r == 0 ? obs_address_parse(values[ARG_ADMIN], &config->admin, reterr_reason) : r;
}

static int make_folder(const char *path, struct obs_reason *reterr_reason)
{
    int r = obs_file_mkdirs(path, 0700);

    if (r < 0)
        obs_reason_set(reterr_reason, "cannot make folder %s: %s", path, strerror(-r));
    return r;
}

static int take_place(const char *const *values, int *ret_lock_fd, struct obs_reason *reterr_reason)
{
    int r = make_folder(values[ARG_STATE], reterr_reason);

    if (r == 0)
        r = make_folder(values[ARG_RUN], reterr_reason);
    return r == 0 ? ledger_lock(values[ARG_STATE], LOCK_WAIT_MS, ret_lock_fd, reterr_reason) : r;
}

static int run(const char *const *values, char *const *words, int lock_fd,
               struct obs_reason *reterr_reason)
{
    OBS_CLEANUP(variables_freep) struct variables *variables = NULL;
    OBS_CLEANUP(unit_table_freep) struct unit_table *table = NULL;
    struct agent_config config = {0};
    int r = ledger_sign(lock_fd, values[ARG_STATE], reterr_reason);

    if (r == 0)
        r = variables_new(NULL, &variables);
    if (r == 0)
        r = read_variables(variables, values, words, reterr_reason);
    if (r == 0)
        r = unit_table_read(values[ARG_UNITS], variables, &table, reterr_reason);
    if (r == 0)
        r = read_config(values, &config, reterr_reason);
    if (r != 0)
        return r;
    config.table = table;
    config.variables = variables;
    return agent_run(&config, reterr_reason);
}

int main(int argc, char *argv[])
{
    const char *values[ARG_COUNT] = {0};
    struct obs_reason why = {.text = "out of memory"};
    int rest = argc, lock_fd = -1;
    int r;

    if (argc == 2 && strcmp(argv[1], "settings") == 0)
        return obs_settings_page(&SETTINGS_GATEWAY, stdout) < 0 ||
                       obs_settings_page(&SETTINGS_REDIS, stdout) < 0
                   ? EXIT_FAILURE
                   : EXIT_SUCCESS;
    r = obs_args_parse("observa-agent", "runs the units of one system", ARGS, ARG_COUNT, argc, argv,
                       values, &rest, &why);

    if (r == OBS_ARGS_HELP)
        return EXIT_SUCCESS;
    signal(SIGPIPE, SIG_IGN);
    obs_log_setup("agent", AGENT_VERSION, OBS_LOG_INFO);
    if (r == 0)
        r = take_place(values, &lock_fd, &why);
    if (r == 0)
        r = guard_enter(); /* returns in the agent */
    if (r == 0)
        r = run(values, argv + rest, lock_fd, &why);
    if (r != 0)
        fprintf(stderr, "observa-agent: %s\n", why.text);
    return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
