/* observa config: read and change the settings of a running unit. */
#include "base/file.h"
#include "cli/agent_client.h"
#include "cli/cli.h"
#include "cli/privileges.h"
#include "cli/suggest.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

struct target {
    struct cli *cli;
    char tenant[64];
    const char *unit;
};

/* One request to the unit's /config. Return: CLI_OK, or what to exit with after saying why. */
static int call(const struct target *t, const char *method, const char *more, const json_t *body,
                json_t **ret_reply)
{
    struct obs_reason why = {0};
    char path[128];
    int status = 0, r;

    (void)snprintf(path, sizeof(path), "/v1/units/%s/config%s", t->unit, more);
    r = agent_call(&t->cli->paths, t->tenant, method, path, body, &status, ret_reply, &why);
    if (r < 0)
        return cli_fail("%s", why.text);
    if (status == 404)
        return cli_fail("%s has no settings", t->unit);
    if (status >= 300)
        return cli_fail("%s: %s", t->unit, agent_refusal(*ret_reply));
    return CLI_OK;
}

static const json_t *schema_of(const json_t *schema, const char *name)
{
    size_t i;
    json_t *row;

    json_array_foreach (json_object_get(schema, "settings"), i, row) {
        const char *found = json_string_value(json_object_get(row, "name"));

        if (found && strcmp(found, name) == 0)
            return row;
    }
    return NULL;
}

static bool is_changed(const json_t *config, const char *name)
{
    size_t i;
    json_t *changed;

    json_array_foreach (json_object_get(config, "changed"), i, changed) {
        if (strcmp(json_string_value(changed), name) == 0)
            return true;
    }
    return false;
}

static void print_setting(const json_t *config, const json_t *schema, const char *name,
                          const json_t *value)
{
    OBS_CLEANUP(obs_freep)
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(10));
    const json_t *row = schema_of(schema, name);
    const char *unit = json_string_value(json_object_get(row, "unit"));
    const char *meaning = json_string_value(json_object_get(row, "meaning"));

    printf("%s %-32s %-14s %-12s %s\n", is_changed(config, name) ? "*" : " ", name,
           json_is_string(value) ? json_string_value(value) : text, unit ? unit : "",
           meaning ? meaning : "");
}

static int print_config(const struct target *t, const char *only)
{
    OBS_JSON config = NULL;
    OBS_JSON schema = NULL;
    const char *name;
    json_t *value, *settings;
    int r = call(t, "GET", "", NULL, &config);

    if (r != CLI_OK)
        return r;
    settings = json_object_get(config, "settings");
    if (only && !json_object_get(settings, only))
        return cli_fail("%s has no setting \"%s\": observa config get %s lists them", t->unit, only,
                        t->unit);
    if (t->cli->is_json) {
        (void)json_dumpf(only ? json_object_get(settings, only) : config, stdout,
                         JSON_ENCODE_ANY | JSON_INDENT(2));
        putchar('\n');
        return CLI_OK;
    }
    r = call(t, "GET", "/schema", NULL, &schema);
    if (r != CLI_OK)
        return r;
    json_object_foreach (settings, name, value) {
        if (!only || strcmp(only, name) == 0)
            print_setting(config, schema, name, value);
    }
    if (!only)
        puts("\n* changed from its default");
    return CLI_OK;
}

/* VALUE as the setting's type asks for it: text stays text though it looks like a number. */
static json_t *read_value(const json_t *row, const char *text)
{
    const char *type = json_string_value(json_object_get(row, "type"));
    json_t *value = NULL;

    if (type && (strcmp(type, "string") == 0 || strcmp(type, "choice") == 0))
        return json_string(text);
    value = json_loads(text, JSON_DECODE_ANY, NULL);
    return value ? value : json_string(text);
}

static int set_values(const struct target *t, bool is_reset)
{
    OBS_JSON changes = json_object();
    OBS_JSON schema = NULL;
    OBS_JSON reply = NULL;
    int r = call(t, "GET", "/schema", NULL, &schema);

    for (int i = 2; i < t->cli->word_count && r == CLI_OK; i++) {
        char name[128];
        const char *word = t->cli->words[i], *equals = strchr(word, '=');

        if (!is_reset && !equals) {
            cli_fail("\"%s\": expected NAME=VALUE", word);
            return CLI_USAGE;
        }
        (void)snprintf(name, sizeof(name), "%.*s", (int)(equals ? equals - word : 120), word);
        if (json_object_set_new(changes, name,
                                is_reset ? json_null()
                                         : read_value(schema_of(schema, name), equals + 1)) < 0)
            return cli_fail("%s", strerror(ENOMEM));
    }
    if (r == CLI_OK && is_reset && t->cli->word_count == 2)
        r = call(t, "DELETE", "", NULL, &reply);
    else if (r == CLI_OK)
        r = call(t, "POST", "", changes, &reply);
    return r == CLI_OK ? print_config(t, NULL) : r;
}

static int run(struct cli *cli)
{
    static const char *const ACTS[] = {"get", "set", "reset"};
    struct target t = {.cli = cli};
    struct obs_reason why = {0};
    const char *act = cli->words[0], *nearest;
    int r;

    if (strcmp(act, "get") != 0 && strcmp(act, "set") != 0 && strcmp(act, "reset") != 0) {
        nearest = suggest_nearest(act, ACTS, OBS_COUNT(ACTS));
        cli_fail("config %s: expected get, set or reset%s%s", act, nearest ? "; did you mean " : "",
                 nearest ? nearest : "");
        return CLI_USAGE;
    }
    if (cli->word_count < 2 || (strcmp(act, "set") == 0 && cli->word_count < 3)) {
        cli_fail("expected: observa config %s UNIT %s", act,
                 strcmp(act, "set") == 0 ? "NAME=VALUE..." : "[NAME]");
        return CLI_USAGE;
    }
    if (privileges_drop(&why) < 0)
        return cli_fail("%s", why.text);
    r = agent_find_unit(&cli->paths, cli->words[1], t.tenant, &t.unit, &why);
    if (agent_is_absent(r)) {
        cli_fail("ObservaStack is not up");
        return CLI_NOT_RUNNING;
    }
    if (r != 0)
        return cli_fail("%s", why.text);
    if (strcmp(act, "get") == 0)
        return print_config(&t, cli->word_count > 2 ? cli->words[2] : NULL);
    return set_values(&t, strcmp(act, "reset") == 0);
}

const struct cli_verb verb_config = {
    .name = "config",
    .words = "get UNIT [NAME] | set UNIT NAME=VALUE... | reset UNIT [NAME...]",
    .summary = "read or change the settings of a running unit",
    .text =
        "A change takes effect at once, loses no request, and survives restarts. A value that the "
        "unit does\nnot accept changes nothing. reset goes back to the defaults.",
    .word_min = 1,
    .word_max = -1,
    .has_json = true,
    .run = run,
};
