/* observa restart, observa signal: act on one unit. */
#include "base/clock.h"
#include "cli/agent_client.h"
#include "cli/cli.h"
#include "cli/privileges.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define READY_WITHIN_NS (60 * OBS_NS_PER_SECOND)
#define POLL_NS (50 * OBS_NS_PER_MS)

/* One request about a unit; says what went wrong. Return: CLI_OK or what to exit with. */
static int act(struct cli *cli, const char *verb, const json_t *body, char tenant[64],
               const char **ret_unit)
{
    OBS_JSON reply = NULL;
    struct obs_reason why = {0};
    char target[128];
    int status = 0, r;

    if (privileges_drop(&why) < 0)
        return cli_fail("%s", why.text);
    r = agent_find_unit(&cli->paths, cli->words[0], tenant, ret_unit, &why);
    if (r == 0) {
        (void)snprintf(target, sizeof(target), "/v1/units/%s/%s", *ret_unit, verb);
        r = agent_call(&cli->paths, tenant, "POST", target, body, &status, &reply, &why);
    }
    if (agent_is_absent(r)) {
        cli_fail("ObservaStack is not up");
        return CLI_NOT_RUNNING;
    }
    if (r != 0)
        return cli_fail("%s", why.text);
    return status == 202 ? CLI_OK : cli_fail("%s: %s", cli->words[0], agent_refusal(reply));
}

/* Wait until the unit runs as another process than @before and is ready. */
static int wait_again(struct cli *cli, const char *tenant, const char *unit, json_int_t before)
{
    uint64_t deadline = obs_mono_ns() + READY_WITHIN_NS;
    char target[128];

    (void)snprintf(target, sizeof(target), "/v1/units/%s", unit);
    while (obs_mono_ns() < deadline) {
        OBS_JSON now = NULL;
        int status = 0;
        json_int_t pid;

        if (agent_call(&cli->paths, tenant, "GET", target, NULL, &status, &now, NULL) == 0 &&
            json_is_true(json_object_get(now, "ready"))) {
            pid = json_integer_value(json_object_get(now, "pid"));
            if (pid != before || pid == 0) {
                printf("%s is ready again, process %lld\n", unit, (long long)pid);
                return CLI_OK;
            }
        }
        obs_sleep_ns(POLL_NS);
    }
    cli_fail("%s was restarted, and is not ready after 60 s", unit);
    cli_next("observa logs %s", unit);
    return CLI_FAILED;
}

static json_int_t pid_now(struct cli *cli)
{
    OBS_JSON unit = NULL;
    const char *name;
    char tenant[64], target[128];
    int status = 0;

    if (agent_find_unit(&cli->paths, cli->words[0], tenant, &name, NULL) != 0)
        return 0;
    (void)snprintf(target, sizeof(target), "/v1/units/%s", name);
    if (agent_call(&cli->paths, tenant, "GET", target, NULL, &status, &unit, NULL) < 0)
        return 0;
    return json_integer_value(json_object_get(unit, "pid"));
}

static int run_restart(struct cli *cli)
{
    struct obs_reason why = {0};
    const char *unit;
    char tenant[64];
    json_int_t before;
    int r;

    if (privileges_drop(&why) < 0)
        return cli_fail("%s", why.text);
    before = pid_now(cli);
    r = act(cli, "restart", NULL, tenant, &unit);
    return r == CLI_OK ? wait_again(cli, tenant, unit, before) : r;
}

static int run_signal(struct cli *cli)
{
    OBS_JSON body = NULL;
    const char *unit, *word = cli->words[1];
    char tenant[64], name[16] = "";
    int r;

    if (strncasecmp(word, "SIG", 3) == 0)
        word += 3;
    for (size_t i = 0; word[i] != '\0' && i + 1 < sizeof(name); i++)
        name[i] = (char)toupper((unsigned char)word[i]);
    body = json_pack("{s:s}", "signal", name);
    r = act(cli, "signal", body, tenant, &unit);
    if (r == CLI_OK)
        printf("%s got SIG%s\n", unit, name);
    return r;
}

const struct cli_verb verb_restart = {
    .name = "restart",
    .words = "UNIT",
    .summary = "stop one process in order and start it again",
    .text =
        "Waits until it is ready. UNIT is a name from observa status; platform/UNIT names one of "
        "the platform.",
    .word_min = 1,
    .word_max = 1,
    .run = run_restart,
};

const struct cli_verb verb_signal = {
    .name = "signal",
    .words = "UNIT SIGNAL",
    .summary = "send a signal to one process",
    .text =
        "SIGNAL is TERM, HUP, KILL, USR1, STOP or CONT. What ends is started again by its agent.",
    .word_min = 2,
    .word_max = 2,
    .run = run_signal,
};
