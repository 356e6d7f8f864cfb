/* observa where, observa token: what scripts ask for. */
#include "base/text.h"
#include "cli/agent_client.h"
#include "cli/cli.h"
#include "cli/keys.h"
#include "cli/ports.h"
#include "cli/privileges.h"
#include "cli/tenant.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

static int run_where(struct cli *cli)
{
    OBS_JSON ports = NULL;
    OBS_JSON output = NULL;
    const char *name;
    json_t *value;
    char path[PATHS_ROOM];

    (void)privileges_drop(NULL); /* before the first install there is no such user: no ports then */
    (void)ports_read(paths_format(path, "%s/platform/ports.json", cli->paths.state), &ports, NULL);
    if (!cli->is_json) {
        printf("state_dir=%s\nrun_dir=%s\n", cli->paths.state, cli->paths.run);
        json_object_foreach (ports, name, value)
            printf("port.%s=%lld\n", name, (long long)json_integer_value(value));
        return CLI_OK;
    }
    output = json_pack("{s:s, s:s, s:s, s:O?}", "state_dir", cli->paths.state, "run_dir",
                       cli->paths.run, "dist", cli->paths.dist, "ports", ports);
    (void)json_dumpf(output, stdout, JSON_INDENT(2));
    putchar('\n');
    return CLI_OK;
}

const struct cli_verb verb_where = {
    .name = "where",
    .words = "",
    .summary = "the installation's folders and ports",
    .text =
        "Folders come from --state-dir, else from the environment, else from the checkout's path. "
        "Ports are\nthere after the first up.",
    .has_json = true,
    .run = run_where,
};

enum { TOKEN_TENANT, TOKEN_SECONDS };
static const struct obs_arg TOKEN_ARGS[] = {
    [TOKEN_TENANT] = {"tenant", NULL, PATHS_TENANT, "NAME", "whose agent shall take it"},
    [TOKEN_SECONDS] = {"seconds", NULL, "300", "NUMBER", "how long it is good, at most 300"},
};

static int run_token(struct cli *cli)
{
    OBS_CLEANUP(obs_freep) char *token = NULL;
    struct obs_reason why = {0};
    const char *tenant = cli->values[TOKEN_TENANT], *text = cli->values[TOKEN_SECONDS];
    uint64_t seconds = 0;
    char path[PATHS_ROOM];

    if (!tenant_is_name(tenant) && strcmp(tenant, PATHS_PLATFORM) != 0) {
        cli_fail("--tenant %s: not a tenant's name", tenant);
        return CLI_USAGE;
    }
    if (obs_text_parse_u64(text, strlen(text), 300, &seconds) != 0 || seconds == 0) {
        cli_fail("--seconds %s: expected a number from 1 to 300", text);
        return CLI_USAGE;
    }
    if (privileges_drop(&why) < 0 ||
        keys_token(paths_format(path, "%s/platform/keys/agent.key", cli->paths.state), tenant,
                   (unsigned)seconds, &token, &why) < 0) {
        cli_fail("%s", why.text);
        cli_next("make up, which makes the key");
        return CLI_FAILED;
    }
    puts(token);
    return CLI_OK;
}

const struct cli_verb verb_token = {
    .name = "token",
    .words = "",
    .summary = "print a token for an agent's control API",
    .text = "A JWT (ES256), for scripts that speak with the agent themselves:\n"
            "  curl -H \"Authorization: Bearer $(observa token)\" --unix-socket "
            "RUN_DIR/tenants/solo/agent.sock \\\n       http://agent/v1/status",
    .args = TOKEN_ARGS,
    .arg_count = OBS_COUNT(TOKEN_ARGS),
    .run = run_token,
};
