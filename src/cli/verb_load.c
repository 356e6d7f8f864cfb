/* observa load: see and steer the load that runs against the shop (docs/load.md). */
#include "base/http_client.h"
#include "base/json.h"
#include "cli/cli.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { ARG_TENANT, ARG_COUNT };
static const struct obs_arg ARGS[ARG_COUNT] = {
    {.name = "tenant", .standard = PATHS_TENANT, .value_name = "NAME", .meaning = "whose load"},
};

/* One request to the load generator. Return: CLI_OK, or what to exit with after saying why. */
static int call(const struct cli *cli, const char *method, const char *target, const json_t *body,
                json_t **ret_reply)
{
    OBS_CLEANUP(obs_http_client_freep) struct obs_http_client *client = NULL;
    OBS_CLEANUP(obs_buffer_done) struct obs_buffer text = OBS_BUFFER_INIT(1 << 20);
    OBS_HTTP_REPLY reply = {0};
    struct obs_http_client_options options = {0};
    struct obs_http_call request = {.method = method, .target = target};
    struct obs_reason why = {0};
    char address[PATHS_ROOM];
    int r;

    paths_format(address, "unix:%s/tenants/%s/load-admin.sock", cli->paths.run,
                 cli->values[ARG_TENANT]);
    if (obs_address_parse(address, &options.address, &why) != 0)
        return cli_fail("%s", why.text);
    if (body) {
        if (obs_json_emit(body, &text) < 0)
            return cli_fail("that is too long");
        request.body = text.data;
        request.body_size = text.size;
        request.content_type = "application/json";
    }
    r = obs_http_client_new(&options, &client);
    if (r == 0)
        r = obs_http_client_call(client, &request, &reply);
    if (r == -ENOENT || r == -ECONNREFUSED) {
        cli_fail("no load runs for %s", cli->values[ARG_TENANT]);
        cli_next("make up, or observa status to see what runs");
        return CLI_NOT_RUNNING;
    }
    if (r < 0)
        return cli_fail("the load generator does not answer: %s", strerror(-r));
    r = obs_json_parse(reply.body.data ? reply.body.data : "", reply.body.size, ret_reply, NULL);
    if (reply.status >= 300)
        return cli_fail("%s", r == 0 && json_object_get(*ret_reply, "detail")
                                  ? json_string_value(json_object_get(*ret_reply, "detail"))
                                  : "the load generator refused");
    return r == 0 ? CLI_OK : cli_fail("the load generator did not answer in JSON");
}

static void print_json(const json_t *json)
{
    (void)json_dumpf(json, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(8));
    putchar('\n');
}

static double number(const json_t *json, const char *name)
{
    return json_number_value(json_object_get(json, name));
}

static void print_plan(const json_t *plan)
{
    char *pattern = json_dumps(json_object_get(plan, "pattern"), JSON_REAL_PRECISION(6));
    const char *name;
    json_t *weight;

    printf("wanted    %.4g/s%s\n", number(plan, "target_rps"),
           json_is_true(json_object_get(plan, "paused")) ? "  (paused)" : "");
    printf("pattern   %s, times %.4g\nmix      ", pattern ? pattern : "", number(plan, "scale"));
    json_object_foreach (json_object_get(plan, "mix"), name, weight)
        printf(" %s=%g", name, json_number_value(weight));
    putchar('\n');
    free(pattern);
}

static void print_status(const json_t *status)
{
    const char *name;
    json_t *journey;

    printf("journeys  %.0f scheduled = %.0f sent + %.0f late + %.0f dropped + %.0f waiting; %.0f "
           "under way\n\n",
           number(status, "scheduled"), number(status, "sent"), number(status, "late"),
           number(status, "dropped"), number(status, "waiting"), number(status, "in_flight"));
    printf("%-12s %10s %8s %8s %8s %10s %10s\n", "journey", "ok", "error", "timeout", "wrong",
           "p50 ms", "p95 ms");
    json_object_foreach (json_object_get(status, "journeys"), name, journey)
        printf("%-12s %10.0f %8.0f %8.0f %8.0f %10.1f %10.1f\n", name, number(journey, "ok"),
               number(journey, "error"), number(journey, "timeout"), number(journey, "wrong"),
               number(journey, "p50_ms"), number(journey, "p95_ms"));
}

static int show(struct cli *cli)
{
    OBS_JSON plan = NULL;
    OBS_JSON status = NULL;
    int r = call(cli, "GET", "/load", NULL, &plan);

    if (r == CLI_OK)
        r = call(cli, "GET", "/load/status", NULL, &status);
    if (r != CLI_OK)
        return r;
    if (cli->is_json) {
        OBS_JSON both = json_pack("{s:O, s:O}", "load", plan, "status", status);

        print_json(both);
        return CLI_OK;
    }
    print_plan(plan);
    print_status(status);
    return CLI_OK;
}

/* ---- changes: each makes the body of a PATCH from the word after it ---- */

static json_t *change_number(const char *field, const char *word)
{
    char *end;
    double value = strtod(word, &end);

    /* What is no number is sent as it is: the load generator says what would be right. */
    return *word && !*end && isfinite(value) ? json_pack("{s:f}", field, value)
                                             : json_pack("{s:s}", field, word);
}

static json_t *change_pattern(const char *field, const char *word)
{
    json_t *json = *word == '{' ? json_loads(word, 0, NULL) : NULL;

    return json ? json_pack("{s:o}", field, json) : json_pack("{s:s}", field, word);
}

/* "browse-home=3,search=1" */
static json_t *change_mix(const char *field, const char *word)
{
    json_t *mix = json_object();

    while (*word) {
        size_t size = strcspn(word, ","), name = strcspn(word, "=,");
        char key[64];

        (void)snprintf(key, sizeof(key), "%.*s", (int)name, word);
        json_object_set_new(mix, key,
                            name < size ? json_real(strtod(word + name + 1, NULL)) : json_null());
        word += size + (word[size] == ',');
    }
    return json_pack("{s:o}", field, mix);
}

static json_t *change_paused(const char *field, const char *word)
{
    return json_pack("{s:b}", "paused", *field == 'p');
}

static const struct change {
    const char *word, *field;
    bool has_value;
    json_t *(*make)(const char *field, const char *word);
} CHANGES[] = {
    {"rate", "rate", true, change_number},        {"scale", "scale", true, change_number},
    {"pattern", "pattern", true, change_pattern}, {"mix", "mix", true, change_mix},
    {"pause", "paused", false, change_paused},    {"resume", "", false, change_paused},
};

static int apply(struct cli *cli, const char *method, const json_t *body)
{
    OBS_JSON plan = NULL;
    int r = call(cli, method, "/load", body, &plan);

    if (r != CLI_OK)
        return r;
    if (cli->is_json)
        print_json(plan);
    else
        print_plan(plan);
    return CLI_OK;
}

static int run_load(struct cli *cli)
{
    const char *word = cli->word_count > 0 ? cli->words[0] : "status";
    OBS_JSON body = NULL;

    if (strcmp(word, "status") == 0 && cli->word_count <= 1)
        return show(cli);
    if (strcmp(word, "reset") == 0 && cli->word_count == 1) {
        body = json_object();
        return apply(cli, "PUT", body);
    }
    for (size_t i = 0; i < OBS_COUNT(CHANGES); i++) {
        if (strcmp(word, CHANGES[i].word) != 0 || cli->word_count != 1 + CHANGES[i].has_value)
            continue;
        body = CHANGES[i].make(CHANGES[i].field, CHANGES[i].has_value ? cli->words[1] : "");
        return apply(cli, "PATCH", body);
    }
    cli_fail("\"%s\" is not understood here: expected status, rate N, scale N, pattern PATTERN, "
             "mix JOURNEY=WEIGHT,…, pause, resume or reset",
             word);
    return CLI_USAGE;
}

const struct cli_verb verb_load = {
    .name = "load",
    .words = "[status | rate N | scale N | pattern PATTERN | mix JOURNEY=WEIGHT,... | pause | "
             "resume | reset]",
    .summary = "see and steer the load that runs against the shop",
    .text = "Without words: what is wanted, and what users got. A change takes effect at once and "
            "is refused as a whole when it is wrong; reset goes back to the file's values. "
            "PATTERN is such as ramp:from=10,to=100,over=2m or spike:rate=30,peak=120,at=10s,"
            "lasting=45s (docs/load.md).",
    .word_max = 2,
    .has_json = true,
    .args = ARGS,
    .arg_count = ARG_COUNT,
    .run = run_load,
};
