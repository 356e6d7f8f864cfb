/* observa down: stop everything in order, and make sure that nothing is left. */
#include "base/clock.h"
#include "cli/agent_client.h"
#include "cli/cli.h"
#include "cli/leftovers.h"
#include "cli/platform.h"
#include "cli/privileges.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ORDERLY_NS (8 * OBS_NS_PER_SECOND)
#define KILL_MS 2000
#define SHOWN_MAX 16

static void name_leftovers(const struct paths *paths)
{
    pid_t pids[SHOWN_MAX];
    size_t count = leftovers_find(paths, pids, SHOWN_MAX);
    char name[64];

    for (size_t i = 0; i < count && i < SHOWN_MAX; i++)
        fprintf(stderr, "    %s\n", leftovers_name(pids[i], name));
}

/* Ask the agent. Return: was there one that agreed? */
static bool ask(const struct paths *paths)
{
    OBS_JSON body = NULL;
    struct obs_reason why = {0};
    int status = 0;
    int r = agent_call(paths, PATHS_PLATFORM, "POST", "/v1/shutdown", NULL, &status, &body, &why);

    if (r == 0 && status == 202)
        return true;
    if (r == 0)
        cli_fail("the agent refuses to stop (%d: %s); killing it", status, agent_refusal(body));
    else if (!agent_is_absent(r))
        cli_fail("%s; killing it", why.text);
    return false;
}

static int run(struct cli *cli)
{
    OBS_CLEANUP(obs_closep) int lock = -1;
    struct obs_reason why = {0};
    uint64_t began = obs_mono_ns();
    char path[PATHS_ROOM];
    bool was_asked;
    size_t left;

    if (privileges_drop(&why) < 0)
        return cli_fail("%s", why.text);
    if (access(paths_format(path, "%s/platform", cli->paths.state), F_OK) < 0) {
        puts("ObservaStack is not up.");
        return CLI_OK;
    }
    lock = platform_lock(&cli->paths, &why);
    if (lock < 0)
        return cli_fail("%s", why.text);
    was_asked = ask(&cli->paths);
    left = leftovers_find(&cli->paths, NULL, 0);
    if (!was_asked && left == 0) {
        puts("ObservaStack is not up.");
        return CLI_OK;
    }
    while (was_asked && left > 0 && obs_mono_ns() - began < ORDERLY_NS) {
        obs_sleep_ns(20 * OBS_NS_PER_MS);
        left = leftovers_find(&cli->paths, NULL, 0);
    }
    if (left > 0) {
        fprintf(stderr, "observa: killing what did not end by itself:\n");
        name_leftovers(&cli->paths);
        left = leftovers_kill(&cli->paths, KILL_MS);
    }
    if (left > 0) {
        cli_fail("%zu processes are still there", left);
        name_leftovers(&cli->paths);
        cli_next("kill -9 these process numbers, then observa down again");
        return CLI_FAILED;
    }
    printf("ObservaStack is down, after %.1f s. Nothing of it is running.\n",
           (double)(obs_mono_ns() - began) / 1e9);
    return CLI_OK;
}

const struct cli_verb verb_down = {
    .name = "down",
    .words = "",
    .summary = "stop everything",
    .text =
        "Stops the shop and the servers in order and waits for them. What has not ended after 8 s "
        "is killed.\nData, settings and ports are kept for the next up.",
    .run = run,
};
