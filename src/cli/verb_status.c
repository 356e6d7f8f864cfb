/* observa status: every unit of every agent, as a table or as JSON. */
#include "base/clock.h"
#include "cli/agent_client.h"
#include "cli/cli.h"
#include "cli/privileges.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const AGENTS[] = {PATHS_TENANT, PATHS_PLATFORM};

static const char *text_of(const json_t *unit, const char *name)
{
    const char *text = json_string_value(json_object_get(unit, name));

    return text ? text : "";
}

static void print_unit(const struct cli *cli, const json_t *unit)
{
    bool is_ready = json_is_true(json_object_get(unit, "ready"));
    json_int_t pid = json_integer_value(json_object_get(unit, "pid"));
    const char *colour = is_ready ? "\033[32m" : "\033[31m";
    char process[24] = "-";

    if (pid > 0)
        (void)snprintf(process, sizeof(process), "%lld", (long long)pid);
    printf("  %-26s %s%-9s%s %8s %8lld %9.1f %8.1f  %s\n", text_of(unit, "name"),
           cli->is_colourful ? colour : "", text_of(unit, "state"),
           cli->is_colourful ? "\033[0m" : "", process,
           (long long)json_integer_value(json_object_get(unit, "restarts")),
           json_number_value(json_object_get(unit, "cpu_seconds")),
           json_number_value(json_object_get(unit, "memory_bytes")) / 1048576,
           text_of(unit, "reason"));
}

static void print_agent(const struct cli *cli, const char *tenant, const json_t *status)
{
    size_t i;
    json_t *unit;

    printf("%s: %s\n  %-26s %-9s %8s %8s %9s %8s\n", tenant,
           json_is_true(json_object_get(status, "ready")) ? "ready" : "not ready", "unit", "state",
           "pid", "restarts", "cpu s", "MB");
    json_array_foreach (json_object_get(status, "units"), i, unit)
        print_unit(cli, unit);
}

static int run(struct cli *cli)
{
    OBS_JSON all = json_object();
    struct obs_reason why = {0};
    int r = 0, answers = 0;
    bool is_ready = true;

    if (privileges_drop(&why) < 0)
        return cli_fail("%s", why.text);
    for (size_t i = 0; i < OBS_COUNT(AGENTS); i++) {
        OBS_JSON status = NULL;

        r = agent_status(&cli->paths, AGENTS[i], &status, &why);
        if (r < 0) {
            is_ready = false;
            if (!agent_is_absent(r))
                cli_fail("%s", why.text);
            continue;
        }
        answers++;
        is_ready = is_ready && json_is_true(json_object_get(status, "ready"));
        if (!cli->is_json)
            print_agent(cli, AGENTS[i], status);
        (void)json_object_set(all, AGENTS[i], status);
    }
    if (cli->is_json) {
        OBS_JSON output =
            json_pack("{s:b, s:b, s:O}", "running", answers > 0, "ready", is_ready, "agents", all);

        (void)json_dumpf(output, stdout, JSON_INDENT(2));
        putchar('\n');
    } else if (answers == 0) {
        puts("ObservaStack is not up. Next: make up");
    }
    if (answers == 0)
        return CLI_NOT_RUNNING;
    return is_ready ? CLI_OK : CLI_FAILED;
}

const struct cli_verb verb_status = {
    .name = "status",
    .words = "",
    .summary = "every process: its state, restarts, CPU, memory",
    .text = "Exit status 0: all that is required is ready; 1: something is not; 3: nothing runs.",
    .has_json = true,
    .run = run,
};
