/* observa provision: a task unit of the platform's table, not for people. */
#include "cli/cli.h"
#include "cli/privileges.h"
#include "cli/provision.h"
#include "cli/tenant.h"
#include <errno.h>
#include <string.h>

#define RABBITMQ_WITHIN_MS 30000

static int run(struct cli *cli)
{
    struct obs_reason why = {0};
    const char *server = cli->words[0], *tenant = cli->words[1];
    int r = privileges_drop(&why);

    if (!tenant_is_name(tenant)) {
        cli_fail("\"%s\" is not a tenant's name", tenant);
        return CLI_USAGE;
    }
    if (r == 0 && strcmp(server, "postgres") == 0) {
        r = provision_postgres(&cli->paths, tenant, &why);
    } else if (r == 0 && strcmp(server, "rabbitmq") == 0) {
        r = provision_rabbitmq(&cli->paths, tenant, RABBITMQ_WITHIN_MS, &why);
    } else if (r == 0) {
        cli_fail("provision %s: expected postgres or rabbitmq", server);
        return CLI_USAGE;
    }
    return r == 0 ? CLI_OK : cli_fail("%s", why.text[0] ? why.text : strerror(-r));
}

const struct cli_verb verb_provision = {
    .name = "provision",
    .words = "postgres|rabbitmq TENANT",
    .summary = "make a tenant's databases, or its virtual host",
    .text = "A task of the platform's unit table. Safe to run again.",
    .word_min = 2,
    .word_max = 2,
    .is_hidden = true,
    .run = run,
};
